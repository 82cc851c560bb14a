use std::cell::RefCell;
use std::collections::HashMap;

use git2::{Blob, ObjectType, Oid, Repository, Tree};

const LINK: i32 = 0o120000;

/// How many symlinks one path may go through, as in Linux.
const MAX_LINKS: usize = 40;

/// The files of one commit.
pub struct Snapshot<'r> {
    git: &'r Repository,
    tree: Tree<'r>,
    /// `.renku`
    renku: Option<Tree<'r>>,
    /// Trees directly below `.renku/metadata`, by name: each holds many of the database's files.
    below: RefCell<HashMap<String, Option<Tree<'r>>>>,
}

impl<'r> Snapshot<'r> {
    pub(super) fn new(git: &'r Repository, tree: Tree<'r>) -> Self {
        let renku = tree.get_name(".renku").and_then(|entry| subtree(git, entry.id()));
        Self {
            git,
            tree,
            renku,
            below: RefCell::new(HashMap::new()),
        }
    }

    /// The content of a file below `.renku/`, e.g. `metadata/root`; `None` if there is none.
    pub fn read(&self, path: &str) -> Result<Option<Blob<'r>>, git2::Error> {
        let Some(id) = self.find(path)? else {
            return Ok(None);
        };
        self.git.find_blob(id).map(Some)
    }

    fn find(&self, path: &str) -> Result<Option<Oid>, git2::Error> {
        let Some(renku) = &self.renku else { return Ok(None) };
        let mut parts = path.split('/');
        let (Some(first), second) = (parts.next(), parts.next()) else {
            return Ok(None);
        };
        let Some(second) = second else {
            return Ok(blob_id(renku, first));
        };
        let front = &path[..first.len()];
        let metadata = self.cached(front, || {
            renku
                .get_name(first)
                .and_then(|entry| subtree(self.git, entry.id()))
        });
        let Some(metadata) = metadata else { return Ok(None) };
        let Some(third) = parts.next() else {
            return Ok(blob_id(&metadata, second));
        };
        let front = &path[..first.len() + 1 + second.len()];
        let Some(mut tree) = self.cached(front, || {
            metadata
                .get_name(second)
                .and_then(|entry| subtree(self.git, entry.id()))
        }) else {
            return Ok(None);
        };
        let mut name = third;
        for next in parts {
            match tree
                .get_name(name)
                .and_then(|entry| subtree(self.git, entry.id()))
            {
                Some(below) => tree = below,
                None => return Ok(None),
            }
            name = next;
        }
        Ok(blob_id(&tree, name))
    }

    fn cached(&self, path: &str, find: impl FnOnce() -> Option<Tree<'r>>) -> Option<Tree<'r>> {
        if let Some(known) = self.below.borrow().get(path) {
            return known.clone();
        }
        let found = find();
        self.below.borrow_mut().insert(path.to_owned(), found.clone());
        found
    }

    /// Whether `path` is a symlink whose text goes through `.renku/pointers` and which ends inside the repository.
    pub fn is_linked(&self, path: &str) -> bool {
        match self.link(path) {
            Some(text) => text.contains(".renku/pointers") && self.ends_inside(path),
            None => false,
        }
    }

    /// The text of the symlink at `path`.
    fn link(&self, path: &str) -> Option<String> {
        let entry = self.tree.get_path(std::path::Path::new(path)).ok()?;
        if entry.filemode() != LINK {
            return None;
        }
        let blob = self.git.find_blob(entry.id()).ok()?;
        String::from_utf8(blob.content().to_vec()).ok()
    }

    /// Follows symlinks part by part, as `realpath` does. The end need not exist.
    fn ends_inside(&self, path: &str) -> bool {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    if done.pop().is_none() {
                        return false;
                    }
                    continue;
                }
                _ => done.push(part),
            }
            let Some(text) = self.link(&done.join("/")) else {
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return false;
            }
            let target = match (text.strip_prefix('/'), self.git.workdir()) {
                (None, _) => {
                    done.pop();
                    text.as_str()
                }
                (Some(_), Some(top)) => match std::path::Path::new(&text).strip_prefix(top) {
                    Ok(inside) => {
                        done.clear();
                        match inside.to_str() {
                            Some(inside) => inside,
                            None => return false,
                        }
                    }
                    Err(_) => return false,
                },
                (Some(_), None) => return false,
            };
            left.extend(target.split('/').rev().map(str::to_owned));
        }
        true
    }
}

fn subtree(git: &Repository, id: Oid) -> Option<Tree<'_>> {
    git.find_tree(id).ok()
}

fn blob_id(tree: &Tree<'_>, name: &str) -> Option<Oid> {
    let entry = tree.get_name(name)?;
    (entry.kind() == Some(ObjectType::Blob) && entry.filemode() != LINK).then(|| entry.id())
}
