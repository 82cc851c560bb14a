use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::BusError;

/// The file of the log in its folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("log.sqlite")
}

/// The connection that writes: durable at every commit, a power cut included.
pub(super) fn open_for_writing(folder: &Path) -> Result<Connection, BusError> {
    let path = file(folder);
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(&path)?;
        // Only takes effect on a new file; free pages are given back in small steps.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -2048)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    };
    open().map_err(|e| error(folder, e))
}

/// A connection that reads.
pub(super) fn open_for_reading(folder: &Path) -> Result<Connection, BusError> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file(folder), flags)?;
        connection.pragma_update(None, "cache_size", -256)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(connection)
    };
    open().map_err(|e| error(folder, e))
}

/// What an SQLite error means to the caller.
pub(super) fn error(folder: &Path, error: rusqlite::Error) -> BusError {
    // A column that is not what we wrote there.
    if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) {
        return BusError::Corrupt {
            path: file(folder),
            source: error.into(),
        };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BusError::Full(error.into()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => BusError::Corrupt {
            path: file(folder),
            source: error.into(),
        },
        _ => BusError::Unavailable(error.into()),
    }
}
