//! Two lists of buckets or pieces and what differs between them. Pure.

use std::collections::HashMap;

use events::{Graph, PieceRef, PieceSection, bucket_of};
use model::Digest;
use store::PieceKey;

/// The most bits that name a bucket.
const MOST_BITS: u32 = 12;

/// A graph record contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// Not `2^bucket_bits` buckets.
    #[error("the record names {buckets} buckets and {bits} bits")]
    Buckets {
        /// As the record has it.
        bits: i32,
        /// As the record has it.
        buckets: usize,
    },
    /// A bucket lists a piece of another bucket, or not in order.
    #[error("bucket {bucket} lists the piece {piece:?} that is not its own, or not in order")]
    Piece {
        /// Which bucket.
        bucket: usize,
        /// The piece's id.
        piece: String,
    },
}

/// The bits of the record's buckets, if they fit its list.
pub fn bits_of(graph: &Graph) -> Result<u32, Inconsistent> {
    let bad = || Inconsistent::Buckets {
        bits: graph.bucket_bits,
        buckets: graph.buckets.len(),
    };
    let bits = u32::try_from(graph.bucket_bits)
        .ok()
        .filter(|bits| *bits <= MOST_BITS)
        .ok_or_else(bad)?;
    (graph.buckets.len() == 1 << bits).then_some(bits).ok_or_else(bad)
}

/// The numbers of the buckets of `new` that are not the same in `old`; all of them when the number of buckets changed.
pub fn changed(old: &[Digest], new: &[Digest]) -> Vec<usize> {
    if old.len() == new.len() {
        (0..new.len()).filter(|at| old[*at] != new[*at]).collect()
    } else {
        (0..new.len()).collect()
    }
}

/// What has to be done to pieces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PieceChanges {
    /// Pieces that go, sorted.
    pub removed: Vec<PieceKey>,
    /// Pieces that are new or have another text, in the order of the sections.
    pub written: Vec<PieceRef>,
}

/// Checks that a section lists what belongs into its bucket, in order and once.
pub fn check_section(section: &PieceSection, bucket: usize, bits: u32) -> Result<(), Inconsistent> {
    let mut before: Option<&str> = None;
    for piece in &section.pieces {
        if bucket_of(&piece.id, bits) != bucket || before.is_some_and(|before| before >= piece.id.as_str()) {
            return Err(Inconsistent::Piece {
                bucket,
                piece: piece.id.chars().take(200).collect(),
            });
        }
        before = Some(&piece.id);
    }
    Ok(())
}

/// The changes that turn the pieces `old` (all stored pieces of the changed buckets) into `new`.
pub fn piece_changes(mut old: HashMap<PieceKey, Digest>, new: Vec<PieceSection>) -> PieceChanges {
    let mut written = Vec::new();
    for piece in new.into_iter().flat_map(|section| section.pieces) {
        if old.remove(&PieceKey::of(&piece.id)) != Some(piece.digest.0) {
            written.push(piece);
        }
    }
    let mut removed: Vec<_> = old.into_keys().collect();
    removed.sort_unstable();
    PieceChanges { removed, written }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use events::{Sha256, bucket_bits};
    use proptest::prelude::*;

    fn sections(pieces: &BTreeMap<String, Sha256>) -> (u32, Vec<PieceSection>) {
        let bits = bucket_bits(pieces.len());
        let mut sections = vec![PieceSection::default(); 1 << bits];
        for (id, digest) in pieces {
            sections[bucket_of(id, bits)].pieces.push(PieceRef {
                id: id.clone(),
                digest: *digest,
                size: 1,
            });
        }
        (bits, sections)
    }

    fn digests(sections: &[PieceSection]) -> Vec<Digest> {
        let text = |section: &PieceSection| format!("{section:?}");
        sections
            .iter()
            .map(|section| Sha256::of(text(section).as_bytes()).0)
            .collect()
    }

    fn graphs() -> impl Strategy<Value = BTreeMap<String, Sha256>> {
        let piece = (
            "/(plans|activities)/[0-9a-f]{1,2}",
            any::<u8>().prop_map(|n| Sha256::of(&[n % 3])),
        );
        proptest::collection::btree_map(piece.0, piece.1, 0..120)
    }

    proptest! {
        /// Applying the changes of the changed buckets alone gives the new graph.
        #[test]
        fn changes_lead_from_one_graph_to_the_other(old in graphs(), new in graphs()) {
            let ((old_bits, old_sections), (bits, new_sections)) = (sections(&old), sections(&new));
            let changed = changed(&digests(&old_sections), &digests(&new_sections));
            let stored: HashMap<_, _> = old
                .iter()
                .filter(|(id, _)| old_bits != bits || changed.contains(&bucket_of(id, bits)))
                .map(|(id, digest)| (PieceKey::of(id), digest.0))
                .collect();
            let fetched: Vec<_> = changed.iter().map(|at| new_sections[*at].clone()).collect();
            for (at, section) in changed.iter().zip(&fetched) {
                prop_assert_eq!(check_section(section, *at, bits), Ok(()));
            }
            let changes = piece_changes(stored, fetched);
            let keyed = |graph: &BTreeMap<String, Sha256>| -> BTreeMap<PieceKey, Digest> {
                graph.iter().map(|(id, digest)| (PieceKey::of(id), digest.0)).collect()
            };
            let mut applied = keyed(&old);
            for key in &changes.removed {
                prop_assert!(applied.remove(key).is_some());
            }
            for piece in &changes.written {
                let digest = piece.digest.0;
                prop_assert_ne!(applied.insert(PieceKey::of(&piece.id), digest), Some(digest));
            }
            prop_assert_eq!(applied, keyed(&new));
        }
    }

    #[test]
    fn foreign_pieces_are_found() {
        let section = PieceSection {
            pieces: vec![PieceRef {
                id: "/plans/1".into(),
                digest: Sha256::ZERO,
                size: 0,
            }],
        };
        let own = bucket_of("/plans/1", 4);
        assert_eq!(check_section(&section, own, 4), Ok(()));
        assert!(check_section(&section, (own + 1) % 16, 4).is_err());
        let twice = PieceSection {
            pieces: [section.pieces.clone(), section.pieces].concat(),
        };
        assert!(check_section(&twice, own, 4).is_err());
    }
}
