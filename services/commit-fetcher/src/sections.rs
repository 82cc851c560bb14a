use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use events::{EncodeError, MetadataEntry, MetadataSection, SectionRef, Sha256, encode};
use lru::LruCache;
use model::{GitObjectId, ProjectId, Sha};
use parking_lot::Mutex;
use repos::{MetadataFile, MetadataFolder};

/// How long the blob store is believed to have a section without being asked. Short against the age that its values reach.
const BELIEVED: Duration = Duration::from_secs(3600);

/// Files of remembered lists, over all projects. The lists are those that the mirrors remember, too.
const REMEMBERED_FILES: usize = 100_000;

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
pub struct SectionCache {
    known: Mutex<LruCache<(GitObjectId, String), Section>>,
    stored: Mutex<LruCache<Sha256, Stored>>,
    published: Mutex<Published>,
}

/// What a project's section was when it was published last. While the blob store has that section, it has its files.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The section.
    pub digest: Sha256,
    files: Arc<[MetadataFile]>,
}

impl Earlier {
    /// Whether it names this file with this content.
    pub fn names(&self, file: &MetadataFile) -> bool {
        let at = self.files.binary_search_by(|held| held.path.cmp(&file.path));
        at.is_ok_and(|at| self.files[at].blob == file.blob)
    }
}

#[derive(Debug)]
struct Published {
    sections: LruCache<(ProjectId, String), Earlier>,
    files: usize,
}

/// The blob store has a section.
#[derive(Clone, Copy, Debug)]
struct Stored {
    /// When it last said so.
    asked: Duration,
    /// The last commit with this section.
    commit: Sha,
}

impl SectionCache {
    /// Holds this many sections; about 400 bytes each.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            known: Mutex::new(LruCache::new(capacity)),
            stored: Mutex::new(LruCache::new(capacity)),
            published: Mutex::new(Published {
                sections: LruCache::new(capacity),
                files: 0,
            }),
        }
    }

    /// What a project's section was when it was published last.
    pub fn earlier(&self, project: ProjectId, folder: &MetadataFolder) -> Option<Earlier> {
        let mut published = self.published.lock();
        published.sections.get(&(project, folder.key.clone())).cloned()
    }

    /// Whether the blob store need not be asked for a section of this commit. A commit that is published again is one
    /// that somebody could not read: then it is asked.
    pub fn is_stored(&self, section: Sha256, commit: Sha, now: Duration) -> bool {
        let mut stored = self.stored.lock();
        let Some(seen) = stored.get_mut(&section) else {
            return false;
        };
        let before = std::mem::replace(&mut seen.commit, commit);
        before != commit && now.saturating_sub(seen.asked) < BELIEVED
    }

    /// Notes that the blob store has a section of this commit.
    pub fn note_stored(&self, section: Sha256, commit: Sha, now: Duration) {
        self.stored.lock().put(section, Stored { asked: now, commit });
    }

    /// Notes that a project's section was published, and is in the blob store.
    pub fn note_published(&self, project: ProjectId, folder: &MetadataFolder, digest: Sha256) {
        let published = &mut *self.published.lock();
        let files = folder.files.clone();
        published.files += files.len();
        let key = (project, folder.key.clone());
        // The one of before, or the one that was not used for the longest time.
        if let Some((_, gone)) = published.sections.push(key, Earlier { digest, files }) {
            published.files -= gone.files.len();
        }
        while published.files > REMEMBERED_FILES {
            let Some((_, gone)) = published.sections.pop_lru() else {
                break;
            };
            published.files -= gone.files.len();
        }
    }

    /// The section of a folder, and its bytes if they had to be made.
    pub fn section(&self, folder: &MetadataFolder) -> Result<(Section, Option<Bytes>), EncodeError> {
        let key = (folder.name, folder.key.clone());
        if let Some(section) = self.known.lock().get(&key) {
            return Ok((section.clone(), None));
        }
        let (section, bytes) = encode_section(folder)?;
        self.known.lock().put(key, section.clone());
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
    fn the_store_is_believed_for_a_while_and_for_other_commits() {
        let cache = SectionCache::new(NonZeroUsize::new(4).unwrap());
        let (section, now) = (Sha256::of(b"section"), Duration::from_secs(7));
        let [first, second, third] = [1, 2, 3].map(|n| Sha::new([n; 20]));
        assert!(!cache.is_stored(section, first, now));
        cache.note_stored(section, first, now);
        assert!(!cache.is_stored(section, first, now), "the same commit again");
        assert!(cache.is_stored(section, second, now));
        assert!(!cache.is_stored(section, second, now), "the same commit again");
        assert!(!cache.is_stored(section, third, now + BELIEVED));
    }

    #[test]
    fn files_of_the_section_before_are_known() {
        let cache = SectionCache::new(NonZeroUsize::new(4).unwrap());
        let (project, digest) = (ProjectId::new(7).unwrap(), Sha256::of(b"section"));
        let mut folder = folder();
        assert!(cache.earlier(project, &folder).is_none());
        for _ in 0..2 {
            cache.note_published(project, &folder, digest);
        }
        assert_eq!(cache.published.lock().files, 2);
        let earlier = cache.earlier(project, &folder).unwrap();
        assert!(earlier.digest == digest && folder.files.iter().all(|file| earlier.names(file)));
        let mut changed = folder.files[0].clone();
        changed.blob = GitObjectId::new([8; 20]);
        assert!(!earlier.names(&changed), "the same path with another content");
        folder.key = "cd".into();
        assert!(cache.earlier(project, &folder).is_none());
    }

    #[test]
    fn a_list_that_is_known_by_name_is_not_written_again() {
        let cache = SectionCache::new(NonZeroUsize::new(4).unwrap());
        let (first, bytes) = cache.section(&folder()).unwrap();
        assert!(bytes.is_some());
        assert_eq!(cache.section(&folder()).unwrap(), (first, None));
    }
}
