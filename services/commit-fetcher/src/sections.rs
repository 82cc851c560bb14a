use std::num::NonZeroUsize;

use bytes::Bytes;
use events::{EncodeError, MetadataEntry, MetadataSection, SectionRef, Sha256, encode};
use lru::LruCache;
use model::GitObjectId;
use parking_lot::Mutex;
use repos::MetadataFolder;

/// Schema of a section's bytes.
const SUBJECT: &str = "renku.metadata-section";

/// A section as the commits record names it, with the sizes that decide how its content travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Key, digest, number of files.
    pub named: SectionRef,
    /// Bytes of the section itself.
    pub own_bytes: usize,
    /// Bytes of the files that it names.
    pub file_bytes: u64,
}

/// Writes one section.
pub fn encode_section(folder: &MetadataFolder) -> Result<(Section, Bytes), EncodeError> {
    let entry = |file: &repos::MetadataFile| MetadataEntry {
        path: file.path.to_string(),
        blob: file.blob,
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
    };
    let section = MetadataSection {
        entries: folder.files.iter().map(entry).collect(),
    };
    let bytes = Bytes::from(encode(SUBJECT, &section)?);
    let named = SectionRef {
        key: folder.key.clone(),
        digest: Sha256::of(&bytes),
        entries: i32::try_from(folder.files.len()).unwrap_or(i32::MAX),
    };
    let file_bytes = folder.files.iter().map(|file| file.size).sum();
    Ok((
        Section {
            named,
            own_bytes: bytes.len(),
            file_bytes,
        },
        bytes,
    ))
}

/// Sections of folders that were seen before, by the name of the list: a push changes a few folders of some hundred,
/// and only those are written and hashed again.
#[derive(Debug)]
pub struct SectionCache(Mutex<LruCache<(GitObjectId, String), Section>>);

impl SectionCache {
    /// Holds this many sections; about 200 bytes each.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(capacity)))
    }

    /// The section of a folder, and its bytes if they had to be made.
    pub fn section(&self, folder: &MetadataFolder) -> Result<(Section, Option<Bytes>), EncodeError> {
        let key = (folder.name, folder.key.clone());
        if let Some(section) = self.0.lock().get(&key) {
            return Ok((section.clone(), None));
        }
        let (section, bytes) = encode_section(folder)?;
        self.0.lock().put(key, section.clone());
        Ok((section, Some(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use events::Decoder;
    use repos::MetadataFile;

    use super::*;

    fn folder() -> MetadataFolder {
        let file = |n: u8| MetadataFile {
            path: format!("metadata/ab/cd/abcd{n:02x}").into(),
            blob: GitObjectId::new([n; 20]),
            size: u64::from(n),
        };
        let files = [file(1), file(2)].into();
        MetadataFolder {
            key: "ab".into(),
            name: GitObjectId::new([9; 20]),
            files,
        }
    }

    #[test]
    fn sections_are_read_back() {
        let (section, bytes) = encode_section(&folder()).unwrap();
        assert_eq!((section.named.entries, section.file_bytes), (2, 3));
        assert_eq!(Sha256::of(&bytes), section.named.digest);
        let back: MetadataSection = Decoder::default().decode(SUBJECT, &bytes).unwrap();
        assert_eq!(back.entries.len(), 2);
        assert_eq!(back.entries[1].path, "metadata/ab/cd/abcd02");
    }

    #[test]
    fn a_list_that_is_known_by_name_is_not_written_again() {
        let cache = SectionCache::new(NonZeroUsize::new(4).unwrap());
        let (first, bytes) = cache.section(&folder()).unwrap();
        assert!(bytes.is_some());
        assert_eq!(cache.section(&folder()).unwrap(), (first, None));
    }
}
