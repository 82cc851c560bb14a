use model::{Digest, GitObjectId};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::Sha256;
use crate::digests::git_id;

/// One section of a commit's metadata: which files, and the digest of the [`MetadataSection`] that lists them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SectionRef {
    /// First two hex digits of the objects' names; empty for everything else.
    pub key: String,
    /// The section's bytes are the blob of this name.
    pub digest: Sha256,
    /// How many files.
    pub entries: i32,
}

/// Files of a commit's `.renku` folder, sorted by path.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MetadataSection {
    /// The files.
    pub entries: Vec<MetadataEntry>,
}

/// One file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct MetadataEntry {
    /// Below `.renku/`, e.g. `metadata/ab/cd/abcd…` or `metadata.yml`.
    pub path: String,
    /// The git blob.
    #[serde(with = "git_id")]
    pub blob: GitObjectId,
    /// Bytes of its content.
    pub size: i64,
}

impl MetadataEntry {
    /// The key of the section that a path belongs to.
    pub fn section_key(path: &str) -> &str {
        match path
            .strip_prefix("metadata/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((folder, _)) if folder.len() == 2 && folder.bytes().all(|b| b.is_ascii_hexdigit()) => folder,
            _ => "",
        }
    }
}

/// The pieces of one bucket, sorted by id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PieceSection {
    /// The pieces.
    pub pieces: Vec<PieceRef>,
}

/// One piece by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PieceRef {
    /// The stored id of the object, e.g. `/activities/<hex>`.
    pub id: String,
    /// SHA-256 of the text; the text is the blob of this name.
    pub digest: Sha256,
    /// Bytes of the text.
    pub size: i64,
}

/// How many bits of the hash of a piece's id choose its bucket, for a graph of `pieces` pieces: buckets hold 32 on
/// average at most, and there are 4,096 at most. A function of the number alone, so that equal graphs have equal digests.
pub fn bucket_bits(pieces: usize) -> u32 {
    pieces.div_ceil(32).next_power_of_two().trailing_zeros().min(12)
}

/// The bucket of a piece: the first `bits` bits of SHA-256 of its id.
pub fn bucket_of(piece_id: &str, bits: u32) -> usize {
    let hash = sha2::Sha256::digest(piece_id.as_bytes());
    let first = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    if bits == 0 {
        0
    } else {
        (first >> (32 - bits.min(12))) as usize
    }
}

/// The digest of a whole graph: over the digests of its buckets. Of two graphs of one generation the larger one wins.
pub fn graph_digest(buckets: &[Sha256]) -> Digest {
    let mut hash = sha2::Sha256::new();
    for bucket in buckets {
        hash.update(bucket.0.as_bytes());
    }
    Digest::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stay_small() {
        assert_eq!(bucket_bits(0), 0);
        assert_eq!(bucket_bits(32), 0);
        assert_eq!(bucket_bits(33), 1);
        assert_eq!(bucket_bits(10_000), 9);
        assert_eq!(bucket_bits(10_000_000), 12);
        assert_eq!(bucket_of("/plans/1", 0), 0);
        assert!((0..1000).all(|i| bucket_of(&format!("/plans/{i}"), 5) < 32));
    }

    #[test]
    fn section_keys() {
        assert_eq!(MetadataEntry::section_key("metadata/ab/cd/abcd00"), "ab");
        assert_eq!(MetadataEntry::section_key("metadata/root"), "");
        assert_eq!(MetadataEntry::section_key("metadata/zz/cd/x"), "");
        assert_eq!(MetadataEntry::section_key("metadata.yml"), "");
    }
}
