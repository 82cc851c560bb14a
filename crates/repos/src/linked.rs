//! Symlinks of old "external" dataset files that end inside the repository.

use git2::{ObjectType, Repository, Tree};

const LINK: i32 = 0o120_000;
const POINTERS: &str = ".renku/pointers";
/// As many hops as Linux follows.
const HOPS: usize = 40;
/// Longest link text and path.
const LONGEST: usize = 4_096;
const DEEPEST: usize = 128;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkedError {
    /// The commit has more entries than the caller wants to look at.
    #[error("the commit has more than {0} files and folders")]
    TooMany(usize),
    /// An object is absent or damaged.
    #[error(transparent)]
    Git(#[from] git2::Error),
}

/// Sorted paths of the symlinks whose text contains `.renku/pointers` and which finally resolve to something inside the
/// repository. Walks the whole commit, but only where it has a `.renku/pointers` folder, which only old projects have.
pub fn linked_inside(
    repository: &Repository,
    root: &Tree<'_>,
    most_entries: usize,
) -> Result<Vec<String>, LinkedError> {
    if root.get_path(std::path::Path::new(POINTERS)).is_err() {
        return Ok(Vec::new());
    }
    let mut search = Search {
        repository,
        root,
        left: most_entries,
        most_entries,
        found: Vec::new(),
    };
    search.walk(root, "", 0)?;
    search.found.sort_unstable();
    Ok(search.found)
}

struct Search<'a> {
    repository: &'a Repository,
    root: &'a Tree<'a>,
    left: usize,
    most_entries: usize,
    found: Vec<String>,
}

impl Search<'_> {
    fn walk(&mut self, tree: &Tree<'_>, path: &str, depth: usize) -> Result<(), LinkedError> {
        for entry in tree {
            self.left = self
                .left
                .checked_sub(1)
                .ok_or(LinkedError::TooMany(self.most_entries))?;
            let Ok(name) = std::str::from_utf8(entry.name_bytes()) else {
                continue;
            };
            let here = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            };
            if entry.filemode() == LINK {
                if let Some(text) = self.text(entry.id())
                    && text.contains(POINTERS)
                    && self.ends_inside(&here, text)
                {
                    self.found.push(here);
                }
            } else if entry.kind() == Some(ObjectType::Tree) && depth < DEEPEST && here != POINTERS {
                let below = self.repository.find_tree(entry.id())?;
                self.walk(&below, &here, depth + 1)?;
            }
        }
        Ok(())
    }

    fn text(&self, id: git2::Oid) -> Option<String> {
        let blob = self.repository.find_blob(id).ok()?;
        (blob.size() <= LONGEST).then(|| std::str::from_utf8(blob.content()).ok().map(str::to_owned))?
    }

    /// Follows a link until something that is no link. Links among the folders on the way are not followed.
    fn ends_inside(&self, from: &str, text: String) -> bool {
        let (mut from, mut text) = (from.to_owned(), text);
        for _ in 0..HOPS {
            let Some(target) = resolve(&from, &text) else {
                return false;
            };
            if target.is_empty() {
                return true;
            }
            let Ok(entry) = self.root.get_path(std::path::Path::new(&target)) else {
                return false;
            };
            if entry.filemode() != LINK {
                return true;
            }
            match self.text(entry.id()) {
                Some(next) => (from, text) = (target, next),
                None => return false,
            }
        }
        false
    }
}

/// Where a link at `from` with this text leads, within the repository; None when outside.
fn resolve(from: &str, text: &str) -> Option<String> {
    if text.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn links_stay_inside() {
        assert_eq!(
            resolve("data/x", "../.renku/pointers/1").as_deref(),
            Some(".renku/pointers/1")
        );
        assert_eq!(resolve("x", "./a//b").as_deref(), Some("a/b"));
        assert_eq!(resolve("data/x", "../../etc/passwd"), None);
        assert_eq!(resolve("data/x", "/etc/passwd"), None);
        assert_eq!(resolve("data/x", "..").as_deref(), Some(""));
    }
}
