//! Opening a view's folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use heed::{Env, EnvFlags, EnvOpenOptions, WithoutTls};

use crate::error::StoreError;
use crate::names::Names;
use crate::reader::Reader;
use crate::tables::{Tables, meta};
use crate::writer::Writer;

/// Raised when what is stored changes its meaning. A view of another format is rebuilt from the log.
const FORMAT: u64 = 2;

/// How a view is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `rdf.host`: the names of projects and persons hang on it.
    pub host: String,
    /// The largest size of the file. Only address space: the file grows as data comes. Bytes.
    pub map_size: usize,
    /// How many snapshots may be open at once, over all processes.
    pub max_readers: u32,
    /// How old a snapshot may get: its pages cannot be used again before it ends.
    pub snapshot_age: Duration,
    /// Keep what a repository says about others' things out of the default graph. Off only for data that nobody said,
    /// as conformance suites; blank nodes are allowed then, too.
    pub claims: bool,
}

impl StoreOptions {
    /// The usual ones.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            map_size: 1 << 40,
            max_readers: 1024,
            snapshot_age: Duration::from_secs(120),
            claims: true,
        }
    }
}

/// What reader and writer of one process share.
pub(crate) struct Shared {
    pub(crate) env: Env<WithoutTls>,
    pub(crate) tables: Tables,
    pub(crate) names: Names,
    pub(crate) options: StoreOptions,
    pub(crate) path: PathBuf,
}

/// Says to other processes that a folder has its writer. The operating system lets go of it when the process dies.
pub(crate) struct WriterLock(File);

impl WriterLock {
    fn take(path: &Path) -> Result<Self, StoreError> {
        let file = File::create(path.join("writer.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::AlreadyWritten {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is just being started has the file open, too, for a moment.
        // If unlocking fails, closing does it later.
        let _ = self.0.unlock();
    }
}

/// Opens a folder for writing and reading, and makes it if need be.
///
/// # Errors
/// [`StoreError::AlreadyWritten`] when another process writes there; [`StoreError::OtherHost`] and
/// [`StoreError::OtherFormat`] when the folder has to be deleted and rebuilt.
pub fn open(path: &Path, options: StoreOptions) -> Result<(Writer, Reader), StoreError> {
    std::fs::create_dir_all(path)?;
    let lock = WriterLock::take(path)?;
    let env = environment(path, &options, EnvFlags::empty())?;
    env.clear_stale_readers()?;
    let mut txn = env.write_txn()?;
    let tables = Tables::create(&env, &mut txn)?;
    let format = tables.number(&txn, meta::FORMAT)?;
    if format == 0 {
        tables.set_number(&mut txn, meta::FORMAT, FORMAT)?;
        tables.meta.put(&mut txn, meta::HOST, options.host.as_bytes())?;
    }
    check(path, &options, &tables, &txn)?;
    txn.commit()?;
    let shared = Arc::new(Shared {
        names: Names::new(&options.host, options.claims),
        env,
        tables,
        options,
        path: path.to_owned(),
    });
    let writer = Writer::new(shared.clone(), lock)?;
    Ok((writer, Reader::new(shared)))
}

/// Opens a folder that another process writes, for reading.
///
/// # Errors
/// [`StoreError::Absent`] until a writer has made it.
pub fn open_reader(path: &Path, options: StoreOptions) -> Result<Reader, StoreError> {
    let absent = || StoreError::Absent {
        path: path.to_owned(),
    };
    if !path.join("data.mdb").is_file() {
        return Err(absent());
    }
    let env = environment(path, &options, EnvFlags::READ_ONLY)?;
    env.clear_stale_readers()?;
    let txn = env.read_txn()?;
    let tables = Tables::open(&env, &txn)?.ok_or_else(absent)?;
    check(path, &options, &tables, &txn)?;
    // The handles of the tables stay valid only if the transaction that opened them is committed.
    txn.commit()?;
    Ok(Reader::new(Arc::new(Shared {
        names: Names::new(&options.host, options.claims),
        env,
        tables,
        options,
        path: path.to_owned(),
    })))
}

fn environment(path: &Path, options: &StoreOptions, flags: EnvFlags) -> Result<Env<WithoutTls>, StoreError> {
    // Snapshots move between threads, so readers' slots belong to snapshots and not to threads.
    let mut open = EnvOpenOptions::new().read_txn_without_tls();
    let page = 1 << 16;
    open.map_size(options.map_size.div_ceil(page) * page)
        .max_readers(options.max_readers)
        .max_dbs(Tables::COUNT + 4);
    // SAFETY: the flags given are none or READ_ONLY, which break none of LMDB's guarantees; the file is changed by LMDB
    // alone (one writer, held by `writer.lock`), is not truncated while open, and is no network file.
    let env = unsafe {
        open.flags(flags);
        open.open(path)
    };
    env.map_err(|error| match error {
        heed::Error::EnvAlreadyOpened => StoreError::AlreadyOpen {
            path: path.to_owned(),
        },
        other => other.into(),
    })
}

fn check(
    path: &Path,
    options: &StoreOptions,
    tables: &Tables,
    txn: &heed::RoTxn<'_>,
) -> Result<(), StoreError> {
    let format = tables.number(txn, meta::FORMAT)?;
    if format != FORMAT {
        return Err(StoreError::OtherFormat {
            path: path.to_owned(),
            found: format as u32,
            known: FORMAT as u32,
        });
    }
    let host = tables.meta.get(txn, meta::HOST)?.unwrap_or_default();
    if host != options.host.as_bytes() {
        return Err(StoreError::OtherHost {
            path: path.to_owned(),
            found: String::from_utf8_lossy(host).into_owned(),
            wanted: options.host.clone(),
        });
    }
    Ok(())
}
