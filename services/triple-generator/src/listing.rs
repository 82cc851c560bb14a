use std::collections::BTreeMap;

use events::{MetadataEntry, MetadataSection, SectionRef, Sha256};
use model::{BlobName, GitObjectId};

/// The metadata files of a project's newest commit, kept by section: taking in the next commit costs the sections
/// that changed.
#[derive(Default)]
pub(crate) struct Listing {
    sections: BTreeMap<Box<str>, Section>,
}

struct Section {
    digest: Sha256,
    entries: Vec<MetadataEntry>,
    weight: usize,
}

impl Section {
    fn new(digest: Sha256, entries: Vec<MetadataEntry>) -> Self {
        let entry = |entry: &MetadataEntry| entry.path.len() + size_of::<MetadataEntry>();
        let weight = entries.iter().map(entry).sum();
        Self {
            digest,
            entries,
            weight,
        }
    }
}

impl Listing {
    /// The sections of a commit that are not known: their bytes are needed before [`Listing::take_in`].
    pub(crate) fn unknown<'a>(&self, sections: &'a [SectionRef]) -> Vec<&'a SectionRef> {
        let known = |section: &&SectionRef| {
            self.sections
                .get(section.key.as_str())
                .is_some_and(|have| have.digest == section.digest)
        };
        sections.iter().filter(|section| !known(section)).collect()
    }

    /// Becomes the listing of a commit, given what was [`Listing::unknown`]. Returns what is another one now.
    pub(crate) fn take_in(
        &mut self,
        sections: &[SectionRef],
        unknown: Vec<(SectionRef, MetadataSection)>,
    ) -> Changes {
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for (section, content) in unknown {
            let mut entries = content.entries;
            // Sorted by its writer; a foreign one may not have.
            entries.sort_unstable();
            let old = self
                .sections
                .get(section.key.as_str())
                .map_or(&[][..], |s| &s.entries);
            changed.extend(
                entries
                    .iter()
                    .filter(|entry| find(old, &entry.path) != Some(*entry))
                    .cloned(),
            );
            let old = self
                .sections
                .insert(section.key.as_str().into(), Section::new(section.digest, entries));
            let new = self
                .sections
                .get(section.key.as_str())
                .map_or(&[][..], |s| &s.entries);
            let old = old.into_iter().flat_map(|section| section.entries);
            gone.extend(
                old.map(|entry| entry.path)
                    .filter(|path| find(new, path).is_none()),
            );
        }
        self.sections.retain(|key, have| {
            let at = sections.binary_search_by(|section| section.key.as_str().cmp(key));
            let stays = at.is_ok_and(|at| sections[at].digest == have.digest);
            if !stays {
                gone.extend(have.entries.iter().map(|entry| entry.path.clone()));
            }
            stays
        });
        Changes { changed, gone }
    }

    /// The git blob of a file below `.renku/`.
    pub(crate) fn blob(&self, path: &str) -> Option<GitObjectId> {
        let section = self.sections.get(MetadataEntry::section_key(path))?;
        find(&section.entries, path).map(|entry| entry.blob)
    }

    /// About how much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        self.sections.values().map(|section| section.weight).sum()
    }

    /// Whether there is any file.
    pub(crate) fn is_empty(&self) -> bool {
        self.sections.values().all(|section| section.entries.is_empty())
    }
}

/// How a listing differs from the one before.
pub(crate) struct Changes {
    /// Files that are new or have another content.
    pub(crate) changed: Vec<MetadataEntry>,
    /// Paths of files that are not there any more.
    pub(crate) gone: Vec<String>,
}

fn find<'a>(entries: &'a [MetadataEntry], path: &str) -> Option<&'a MetadataEntry> {
    entries
        .binary_search_by(|entry| entry.path.as_str().cmp(path))
        .ok()
        .map(|at| &entries[at])
}

/// The blob that holds a section.
pub(crate) fn blob_of(section: &SectionRef) -> BlobName {
    BlobName::Digest(section.digest.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, blob: u8) -> MetadataEntry {
        MetadataEntry {
            path: path.into(),
            blob: GitObjectId::new([blob; 20]),
            size: 1,
        }
    }

    fn section(key: &str, entries: &[MetadataEntry]) -> (SectionRef, MetadataSection) {
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|e| [e.path.as_bytes(), e.blob.as_bytes()].concat())
            .collect();
        let section = SectionRef {
            key: key.into(),
            digest: Sha256::of(&bytes),
            entries: entries.len() as i32,
        };
        (
            section,
            MetadataSection {
                entries: entries.to_vec(),
            },
        )
    }

    #[test]
    fn a_commit_is_taken_in_by_difference() {
        let mut listing = Listing::default();
        let first = [
            section("", &[entry("metadata/project", 1), entry("metadata/root", 1)]),
            section("ab", &[entry("metadata/ab/cd/ab1", 2)]),
            section("cd", &[entry("metadata/cd/cd/cd1", 3)]),
        ];
        let refs: Vec<_> = first.iter().map(|(r, _)| r.clone()).collect();
        assert_eq!(listing.unknown(&refs).len(), 3);
        assert_eq!(listing.take_in(&refs, first.to_vec()).changed.len(), 4);

        let second = [
            section("", &[entry("metadata/project", 1), entry("metadata/root", 9)]),
            first[1].clone(),
        ];
        let refs: Vec<_> = second.iter().map(|(r, _)| r.clone()).collect();
        let unknown: Vec<_> = listing.unknown(&refs).into_iter().cloned().collect();
        assert_eq!(unknown, [refs[0].clone()]);
        let changes = listing.take_in(&refs, vec![second[0].clone()]);
        assert_eq!(changes.changed, [entry("metadata/root", 9)]);
        assert_eq!(changes.gone, ["metadata/cd/cd/cd1"]);
        assert_eq!(
            listing.blob("metadata/ab/cd/ab1"),
            Some(GitObjectId::new([2; 20]))
        );
        assert_eq!(
            listing.blob("metadata/cd/cd/cd1"),
            None,
            "the section went with the second commit"
        );
        assert_eq!(listing.blob("metadata/root"), Some(GitObjectId::new([9; 20])));
        assert!(!listing.is_empty());
        listing.take_in(&[], vec![]);
        assert!(listing.is_empty());
    }
}
