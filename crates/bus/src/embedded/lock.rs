use std::fs::{File, TryLockError};
use std::path::Path;

use crate::BusError;

/// Keeps other processes out of the folder for as long as it lives; the kernel gives it back when the process dies.
pub(super) struct FolderLock {
    file: File,
}

impl FolderLock {
    pub(super) fn take(folder: &Path) -> Result<Self, BusError> {
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("log.lock"));
        let file = open.map_err(|e| BusError::Unavailable(e.into()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(BusError::Locked {
                path: folder.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(BusError::Unavailable(e.into())),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // A child being started just now holds a copy of the file a moment longer: closing alone would
        // leave the folder locked until the child runs its own program.
        let _ = self.file.unlock();
    }
}
