use std::fs::{File, TryLockError};
use std::path::Path;

use crate::BusError;

/// Keeps other processes out of the folder for as long as it lives; the kernel gives it back when the process dies.
pub(super) struct FolderLock {
    _file: File,
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
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(BusError::Locked {
                path: folder.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(BusError::Unavailable(e.into())),
        }
    }
}
