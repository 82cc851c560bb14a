use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use git2::{ErrorCode, ObjectType, Odb, OdbLookupFlags, Oid, Repository, Tree};
use lru::LruCache;
use model::GitObjectId;
use parking_lot::Mutex;

use super::{FetchLimits, MetadataFile, MetadataFolder};

/// Folders deeper than this below `.renku/metadata` hold no objects of the database.
const DEEPEST: usize = 6;
/// Files of remembered folders, over all projects.
const REMEMBERED_FILES: usize = 400_000;

const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;

/// What was listed.
pub(crate) struct Listed {
    pub(crate) folders: Vec<MetadataFolder>,
    pub(crate) ignored: u32,
}

/// Why there is no list.
pub(crate) enum ListingError {
    /// These blobs are metadata, and were too large to come with the pack.
    Missing(Vec<Oid>),
    /// See the limits.
    TooLarge(String),
    /// Objects are absent that must be there.
    Damaged(git2::Error),
}

impl From<git2::Error> for ListingError {
    fn from(error: git2::Error) -> Self {
        Self::Damaged(error)
    }
}

/// Lists of folders that did not change since they were walked, by the id of their tree.
pub(crate) struct Folders {
    known: LruCache<Oid, Known>,
    files: usize,
}

#[derive(Clone)]
struct Known {
    files: Arc<[MetadataFile]>,
    ignored: u32,
}

impl Default for Folders {
    fn default() -> Self {
        Self {
            known: LruCache::unbounded(),
            files: 0,
        }
    }
}

impl Folders {
    /// Forgets everything: what was seen may not be in a mirror that was made anew.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Equal trees are equal lists only below equal names: the paths are in the list.
    fn of(&mut self, tree: Oid, path: &str) -> Option<Known> {
        let known = self.known.get(&tree)?;
        let here = |file: &MetadataFile| file.path.starts_with(path);
        known.files.first().is_none_or(here).then(|| known.clone())
    }

    fn put(&mut self, tree: Oid, known: Known) {
        self.files += known.files.len() + 1;
        if let Some(old) = self.known.put(tree, known) {
            self.files -= old.files.len() + 1;
        }
        while self.files > REMEMBERED_FILES {
            match self.known.pop_lru() {
                Some((_, old)) => self.files -= old.files.len() + 1,
                None => break,
            }
        }
    }
}

/// Walks `.renku/metadata` and `.renku/metadata.yml` of a commit's tree. Folders seen before are not walked again, and of
/// those that differ from `old`, the tree of the commit seen before, only what differs.
pub(crate) fn list(
    repository: &Repository,
    root: &Tree<'_>,
    old: Option<&Tree<'_>>,
    folders: &Mutex<Folders>,
    limits: &FetchLimits,
) -> Result<Listed, ListingError> {
    let odb = repository.odb()?;
    odb.refresh()?;
    let mut walk = Walk {
        repository,
        odb,
        limits,
        visited: 0,
        ignored: 0,
        missing: Vec::new(),
    };
    let mut listed = Vec::new();
    let mut others = Vec::new();
    let mut ignored = 0;
    let Some(renku) = walk.folder(root, ".renku")? else {
        return Ok(Listed {
            folders: Vec::new(),
            ignored: walk.ignored,
        });
    };
    if let Some(entry) = renku.get_name("metadata.yml") {
        walk.entry(&entry, "metadata.yml".into(), DEEPEST, &mut others)?;
    }
    let old_metadata = old
        .and_then(|old| old.get_path(Path::new(".renku/metadata")).ok())
        .and_then(|entry| repository.find_tree(entry.id()).ok());
    if let Some(metadata) = walk.folder(&renku, "metadata")? {
        for entry in &metadata {
            let Ok(name) = std::str::from_utf8(entry.name_bytes()) else {
                ignored += 1;
                continue;
            };
            let path = format!("metadata/{name}");
            if !(is_key(name) && entry.kind() == Some(ObjectType::Tree)) {
                walk.entry(&entry, path, 0, &mut others)?;
                continue;
            }
            // The lock must not be held while walking.
            let found = folders.lock().of(entry.id(), &path);
            let known = match found {
                Some(known) => known,
                None => {
                    let (before, missing) = (walk.ignored, walk.missing.len());
                    let seen = walk.seen(old_metadata.as_ref(), name, folders, &path);
                    let mut files = Vec::new();
                    walk.section(&entry, path, seen, &mut files)?;
                    files.sort_unstable();
                    let known = Known {
                        files: files.into(),
                        ignored: walk.ignored - before,
                    };
                    if walk.missing.len() == missing {
                        folders.lock().put(entry.id(), known.clone());
                    }
                    walk.ignored = before;
                    known
                }
            };
            ignored += known.ignored;
            if !known.files.is_empty() {
                listed.push(MetadataFolder {
                    key: name.to_owned(),
                    name: named(name, entry.id()),
                    files: known.files,
                });
            }
        }
    }
    if !walk.missing.is_empty() {
        walk.missing.sort_unstable();
        walk.missing.dedup();
        return Err(ListingError::Missing(walk.missing));
    }
    if !others.is_empty() {
        listed.push(folder_of(String::new(), others));
    }
    listed.sort_by(|left, right| left.key.cmp(&right.key));
    let files: usize = listed.iter().map(|folder| folder.files.len()).sum();
    if files > limits.metadata_files {
        return Err(walk.too_many());
    }
    Ok(Listed {
        folders: listed,
        ignored: ignored + walk.ignored,
    })
}

/// Groups files that come without trees.
pub(crate) fn group(files: Vec<MetadataFile>) -> Vec<MetadataFolder> {
    let mut groups: BTreeMap<String, Vec<MetadataFile>> = BTreeMap::new();
    for file in files {
        let key = match file
            .path
            .strip_prefix("metadata/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((folder, _)) if is_key(folder) => folder.to_owned(),
            _ => String::new(),
        };
        groups.entry(key).or_default().push(file);
    }
    groups
        .into_iter()
        .map(|(key, files)| folder_of(key, files))
        .collect()
}

fn folder_of(key: String, mut files: Vec<MetadataFile>) -> MetadataFolder {
    files.sort_unstable();
    let mut text = String::from("renku metadata folder\n");
    for file in &files {
        text.push_str(&format!("{} {}\n", file.blob, file.path));
    }
    let name = Oid::hash_object(ObjectType::Blob, text.as_bytes()).map_or(GitObjectId::ZERO, id);
    MetadataFolder {
        key,
        name,
        files: files.into(),
    }
}

/// The paths are part of a list, so one tree below two names makes two lists.
fn named(key: &str, tree: Oid) -> GitObjectId {
    Oid::hash_object(
        ObjectType::Blob,
        format!("renku metadata folder {key} {tree}").as_bytes(),
    )
    .map_or(GitObjectId::ZERO, id)
}

/// The names of the database's first-level folders.
fn is_key(name: &str) -> bool {
    name.len() == 2
        && name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

pub(crate) fn id(oid: Oid) -> GitObjectId {
    GitObjectId::try_from(oid.as_bytes()).unwrap_or(GitObjectId::ZERO)
}

struct Walk<'a> {
    repository: &'a Repository,
    odb: Odb<'a>,
    limits: &'a FetchLimits,
    visited: usize,
    ignored: u32,
    missing: Vec<Oid>,
}

/// A folder as it was, and what it held.
struct Seen<'a> {
    tree: Tree<'a>,
    files: Arc<[MetadataFile]>,
}

impl<'a> Walk<'a> {
    /// What is known of the folder in the commit seen before, if nothing was left out of it.
    fn seen(
        &self,
        old_metadata: Option<&Tree<'_>>,
        name: &str,
        folders: &Mutex<Folders>,
        path: &str,
    ) -> Option<Seen<'a>> {
        let entry = old_metadata?.get_name(name)?;
        let known = folders.lock().of(entry.id(), path)?;
        let tree = self.repository.find_tree(entry.id()).ok()?;
        (known.ignored == 0).then_some(Seen {
            tree,
            files: known.files,
        })
    }

    /// A first-level folder: the folders in it that are as they were are taken from the old list.
    fn section(
        &mut self,
        entry: &git2::TreeEntry<'_>,
        path: String,
        seen: Option<Seen<'a>>,
        files: &mut Vec<MetadataFile>,
    ) -> Result<(), ListingError> {
        let Some(seen) = seen else {
            return self.entry(entry, path, 0, files);
        };
        let tree = self.repository.find_tree(entry.id())?;
        for below in &tree {
            let Ok(name) = std::str::from_utf8(below.name_bytes()) else {
                self.ignored += 1;
                continue;
            };
            let here = format!("{path}/{name}");
            let same = seen
                .tree
                .get_name(name)
                .is_some_and(|old| old.id() == below.id() && old.filemode() == below.filemode());
            if same && below.kind() == Some(ObjectType::Tree) {
                let prefix = format!("{here}/");
                let start = seen.files.partition_point(|file| *file.path < *prefix);
                let held = seen.files[start..].iter();
                files.extend(held.take_while(|file| file.path.starts_with(&prefix)).cloned());
            } else {
                self.entry(&below, here, 1, files)?;
            }
        }
        Ok(())
    }

    fn too_many(&self) -> ListingError {
        ListingError::TooLarge(format!(
            "it has more than {} metadata files: raise limits.metadata_files, or run `renku gc`",
            self.limits.metadata_files
        ))
    }

    /// A folder by name; anything else of that name counts as ignored.
    fn folder(&mut self, parent: &Tree<'a>, name: &str) -> Result<Option<Tree<'a>>, ListingError> {
        match parent.get_name(name) {
            None => Ok(None),
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => {
                Ok(Some(self.repository.find_tree(entry.id())?))
            }
            Some(_) => {
                self.ignored += 1;
                Ok(None)
            }
        }
    }

    fn entry(
        &mut self,
        entry: &git2::TreeEntry<'_>,
        path: String,
        depth: usize,
        files: &mut Vec<MetadataFile>,
    ) -> Result<(), ListingError> {
        self.visited += 1;
        if self.visited > 2 * self.limits.metadata_files {
            return Err(self.too_many());
        }
        match entry.filemode() {
            LINK | SUBMODULE => self.ignored += 1,
            _ if entry.kind() == Some(ObjectType::Tree) => {
                if depth >= DEEPEST {
                    self.ignored += 1;
                    return Ok(());
                }
                let tree = self.repository.find_tree(entry.id())?;
                for below in &tree {
                    match std::str::from_utf8(below.name_bytes()) {
                        Ok(name) => self.entry(&below, format!("{path}/{name}"), depth + 1, files)?,
                        Err(_) => self.ignored += 1,
                    }
                }
            }
            _ => self.file(entry.id(), path, files)?,
        }
        Ok(())
    }

    fn file(&mut self, oid: Oid, path: String, files: &mut Vec<MetadataFile>) -> Result<(), ListingError> {
        if files.len() >= self.limits.metadata_files {
            return Err(self.too_many());
        }
        if !self.odb.exists_ext(oid, OdbLookupFlags::NO_REFRESH) {
            self.missing.push(oid);
            return Ok(());
        }
        let (size, kind) = match self.odb.read_header(oid) {
            Ok(header) => header,
            Err(error) if error.code() == ErrorCode::NotFound => {
                self.missing.push(oid);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if kind != ObjectType::Blob {
            self.ignored += 1;
            return Ok(());
        }
        if size as u64 > self.limits.metadata_file_bytes {
            return Err(ListingError::TooLarge(format!(
                ".renku/{path} has {size} bytes, more than the {} that a metadata file may have",
                self.limits.metadata_file_bytes
            )));
        }
        files.push(MetadataFile {
            path: path.into(),
            blob: id(oid),
            size: size as u64,
        });
        Ok(())
    }
}
