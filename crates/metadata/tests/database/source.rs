//! Files in memory, and files of recorded repositories.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metadata::{ObjectSource, SourceError};

/// A commit's files below `.renku/`, by path.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Files {
    pub files: BTreeMap<String, Vec<u8>>,
    pub linked: Vec<String>,
}

impl ObjectSource for Files {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        Ok(self.files.get(path).map(|bytes| Cow::Borrowed(bytes.as_slice())))
    }

    fn is_linked(&self, path: &str) -> bool {
        self.linked.iter().any(|linked| linked == path)
    }
}

impl Files {
    /// The paths of files that differ.
    pub fn changed_from(&self, old: &Self) -> Vec<String> {
        let new = self
            .files
            .iter()
            .filter(|(path, bytes)| old.files.get(*path) != Some(bytes));
        let gone = old.files.keys().filter(|path| !self.files.contains_key(*path));
        new.map(|(path, _)| path).chain(gone).cloned().collect()
    }
}

/// The folder of recorded repositories.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// A recorded repository, unpacked with the `git` program.
pub struct Recorded {
    folder: tempfile::TempDir,
}

impl Recorded {
    pub fn clone_of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundle = fixtures().join(format!("{name}.bundle"));
        let status = Command::new("git")
            .args(["clone", "-q", "--bare", "-c", "safe.directory=*"])
            .arg(bundle)
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        Self { folder }
    }

    fn git(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        output.stdout
    }

    /// All commits of the branch, the oldest first.
    pub fn commits(&self) -> Vec<String> {
        let out = self.git(&["rev-list", "--reverse", "--first-parent", "HEAD"]);
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The files of a commit. `contents` keeps blobs between calls.
    pub fn files(&self, commit: &str, contents: &mut HashMap<String, Vec<u8>>) -> Files {
        let listing = self.git(&["ls-tree", "-r", "-z", commit, ".renku/"]);
        let mut files = Files::default();
        for entry in String::from_utf8(listing).unwrap().split_terminator('\0') {
            let (meta, path) = entry.split_once('\t').unwrap();
            let mut meta = meta.split(' ');
            let (mode, id) = (meta.next().unwrap(), meta.nth(1).unwrap());
            if mode == "120000" || !path.starts_with(".renku/metadata") {
                continue;
            }
            let bytes = contents
                .entry(id.to_owned())
                .or_insert_with(|| self.git(&["cat-file", "blob", id]));
            files
                .files
                .insert(path[".renku/".len()..].to_owned(), bytes.clone());
        }
        files
    }

    pub fn head(&self) -> Files {
        self.files("HEAD", &mut HashMap::new())
    }
}
