use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Held while the process lives: the embedded log belongs to one process.
#[derive(Debug)]
struct Alone(File);

impl Drop for Alone {
    fn drop(&mut self) {
        // A child being started just now holds a copy of the file a moment longer than this process does.
        let _ = self.0.unlock();
    }
}

/// The folder that everything of a node lives in: `bus/`, `blobs/`, `views/`, `mirrors/`.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    _lock: Option<Alone>,
}

impl DataFolder {
    /// Opens (and makes) the folder. `alone`: no other process may hold it alone at the same time.
    pub fn open(root: &Path, alone: bool) -> Result<Self> {
        // Private repositories, the log and blobs are in it: nobody else on the machine may look.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.with_context(|| {
            format!(
                "the data folder {} cannot be made: choose another with --data",
                root.display()
            )
        })?;
        let lock = if alone { Some(lock(root)?) } else { None };
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
        })
    }

    /// What the schema registry said; see [`bus::registry::Registry`].
    pub fn registry(&self) -> PathBuf {
        self.root.join("registry.json")
    }

    /// The log.
    pub fn bus(&self) -> PathBuf {
        self.root.join("bus")
    }

    /// Claim-checked values.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// What queries read. May be deleted while nothing runs: the log brings it back.
    pub fn views(&self) -> PathBuf {
        self.root.join("views")
    }

    /// Maps of positions of copied topics. Of use until no reader of an old topic is left.
    pub fn migrations(&self) -> PathBuf {
        self.root.join("migrations")
    }

    /// Bare git repositories, a cache. May be deleted while nothing runs.
    pub fn mirrors(&self) -> PathBuf {
        self.root.join("mirrors")
    }
}

fn lock(root: &Path) -> Result<Alone> {
    let path = root.join("process.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| {
            format!(
                "{} cannot be opened: is the data folder writable?",
                path.display()
            )
        })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            bail!(
                "the data folder {} is in use by process {}: stop that one first, or choose another folder with --data",
                root.display(),
                holder.trim()
            );
        }
        Err(std::fs::TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
        }
    }
    // The number is for people only; the lock itself goes with the process, however that ends.
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Alone(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open(folder.path(), true).unwrap();
        let told = DataFolder::open(folder.path(), true).unwrap_err().to_string();
        assert!(
            told.contains(&format!("in use by process {}", std::process::id())),
            "{told}"
        );
        DataFolder::open(folder.path(), false).unwrap();
        drop(first);
        DataFolder::open(folder.path(), true).unwrap();
    }

    #[test]
    fn nobody_else_may_look() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        DataFolder::open(&data, true).unwrap();
        let mode = std::fs::metadata(&data).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
