use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{BlobName, Digest, GitObjectId, Timestamp};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use crate::verify::fits;
use crate::{BlobError, Blobs};

/// Values shorter than this are rows of one SQLite file, longer ones are files. Bytes. The index files that each push to a
/// large project writes anew have up to 300 KiB and are compressed to a tenth: as rows they wait for the disk together.
pub const SMALL: usize = 512 * 1024;

/// Values longer than this are compressed where that helps. Bytes.
const WORTH_COMPRESSING: usize = 512;

/// A value that is used again is not written anew more often than this.
const REFRESH: Duration = Duration::from_secs(3600);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS blob (
        name BLOB NOT NULL,
        used INTEGER NOT NULL,   -- seconds since 1970
        size INTEGER NOT NULL,   -- of the value
        form INTEGER NOT NULL,   -- 0 as it is, 1 zstd, 2 in a file
        bytes BLOB
    );
    CREATE UNIQUE INDEX IF NOT EXISTS blob_name ON blob (name);
    CREATE INDEX IF NOT EXISTS blob_used ON blob (used);
";

const PLAIN: i64 = 0;
const ZSTD: i64 = 1;
const FILE: i64 = 2;

/// Values in a folder: `small.sqlite` and `large/<2 hex>/<name>`. Several processes of one host may use it at once.
pub struct FolderBlobs {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl FolderBlobs {
    /// Opens the folder, making it where it is missing.
    pub fn open(folder: &Path, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Result<Self, BlobError> {
        let unusable = |source| BlobError::Unusable {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder.join("large")).map_err(|e| unusable(e.into()))?;
        // SQLite does not wait for another process that makes the same new file ready: it says "locked" at once. So one
        // process after the other.
        let turn = File::create(folder.join("open.lock")).map_err(|e| unusable(e.into()))?;
        turn.lock().map_err(|e| unusable(e.into()))?;
        let writer = connect(folder).map_err(|e| unusable(e.into()))?;
        writer.execute_batch(SCHEMA).map_err(|e| unusable(e.into()))?;
        drop(turn);
        let inner = Inner {
            folder: folder.to_owned(),
            now,
            writer: Mutex::new(writer),
            readers: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, BlobError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, BlobError> + Send + 'static,
    {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|error| BlobError::Unavailable(Box::new(error)))?
    }
}

fn connect(folder: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(folder.join("small.sqlite"))?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

fn key(name: &BlobName) -> Vec<u8> {
    match name {
        BlobName::Digest(digest) => [b"d".as_slice(), digest.as_bytes()].concat(),
        BlobName::Git(id) => [b"g".as_slice(), id.as_bytes()].concat(),
    }
}

fn name(key: &[u8]) -> Option<BlobName> {
    match key.split_first()? {
        (b'd', digest) => Digest::try_from(digest).ok().map(BlobName::Digest),
        (b'g', id) => GitObjectId::try_from(id).ok().map(BlobName::Git),
        _ => None,
    }
}

impl Inner {
    fn seconds(&self) -> i64 {
        (self.now)().as_micros().div_euclid(1_000_000)
    }

    fn reading<T>(&self, work: impl FnOnce(&Connection) -> Result<T, BlobError>) -> Result<T, BlobError> {
        let pooled = self.readers.lock().pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => connect(&self.folder)?,
        };
        let done = work(&connection);
        let mut readers = self.readers.lock();
        if readers.len() < 4 {
            readers.push(connection);
        }
        done
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        let text = name.to_string().replace('/', "-");
        let fold = text.split_once('-').map_or("00", |(_, hex)| &hex[..2]).to_owned();
        self.folder.join("large").join(fold).join(text)
    }

    fn put(&self, values: &[(BlobName, Bytes)]) -> Result<(), BlobError> {
        for (name, bytes) in values {
            if !fits(*name, bytes) {
                return Err(BlobError::OtherContent(*name));
            }
            if bytes.len() >= SMALL && !self.path(name).exists() {
                self.put_file(name, bytes)?;
            }
        }
        let now = self.seconds();
        let mut connection = self.writer.lock();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO blob (name, used, size, form, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (name) DO UPDATE SET used = max(used, excluded.used)",
            )?;
            for (name, bytes) in values {
                let size = bytes.len() as i64;
                if bytes.len() >= SMALL {
                    // A sweep may have taken the file since it was seen; now that the transaction is ours it cannot.
                    if !self.path(name).exists() {
                        self.put_file(name, bytes)?;
                    }
                    insert.execute(params![key(name), now, size, FILE, None::<&[u8]>])?;
                    continue;
                }
                let packed = compressed(bytes);
                let (form, stored) = packed
                    .as_deref()
                    .map_or((PLAIN, &bytes[..]), |packed| (ZSTD, packed));
                insert.execute(params![key(name), now, size, form, stored])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn put_file(&self, name: &BlobName, bytes: &[u8]) -> Result<(), BlobError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder).to_owned();
        if !folder.exists() {
            fs::create_dir_all(&folder)?;
            File::open(self.folder.join("large"))?.sync_all()?;
        }
        // The temporary name is unique among threads and processes; a crash leaves it behind, and nobody reads it.
        let unique = format!("{}-{:?}", std::process::id(), std::thread::current().id());
        let temporary = path.with_extension(format!("tmp-{}", unique.replace(['(', ')'], "")));
        let mut file = File::create(&temporary)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            // The error that matters is the first one.
            let _ = fs::remove_file(&temporary);
            return Err(error.into());
        }
        File::open(&folder)?.sync_all()?;
        Ok(())
    }

    fn get(&self, connection: &Connection, name: &BlobName) -> Result<Option<Bytes>, BlobError> {
        let mut select = connection.prepare_cached("SELECT size, form, bytes FROM blob WHERE name = ?1")?;
        let row = select
            .query_row([key(name)], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<Vec<u8>>>(2)?,
                ))
            })
            .optional()?;
        let Some((size, form, stored)) = row else {
            return Ok(None);
        };
        let bytes = match (form, stored) {
            (FILE, _) => match fs::read(self.path(name)) {
                Ok(bytes) => bytes,
                // Swept between the look at the row and here.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            (ZSTD, Some(packed)) => {
                let size = usize::try_from(size).unwrap_or(0).min(SMALL);
                zstd::bulk::decompress(&packed, size).map_err(|_| BlobError::Damaged(*name))?
            }
            (_, stored) => stored.unwrap_or_default(),
        };
        if fits(*name, &bytes) {
            Ok(Some(bytes.into()))
        } else {
            Err(BlobError::Damaged(*name))
        }
    }

    fn used(&self, connection: &Connection, name: &BlobName) -> Result<Option<i64>, BlobError> {
        let mut select = connection.prepare_cached("SELECT used FROM blob WHERE name = ?1")?;
        Ok(select.query_row([key(name)], |row| row.get(0)).optional()?)
    }

    fn touch(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        let now = self.seconds();
        let used = self.reading(|c| {
            names
                .iter()
                .map(|name| self.used(c, name))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let stale = |used: &Option<i64>| used.is_some_and(|used| used < now - REFRESH.as_secs() as i64);
        let aged: Vec<_> = names
            .iter()
            .zip(&used)
            .filter(|(_, used)| stale(used))
            .map(|(name, _)| name)
            .collect();
        let mut there: Vec<bool> = used.iter().map(Option::is_some).collect();
        if aged.is_empty() {
            return Ok(there);
        }
        let mut connection = self.writer.lock();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut update =
                transaction.prepare_cached("UPDATE blob SET used = max(used, ?2) WHERE name = ?1")?;
            for (at, name) in names.iter().enumerate().filter(|(at, _)| stale(&used[*at])) {
                // A sweep may have come in between: then it is not there any more.
                there[at] = update.execute(params![key(name), now])? == 1;
            }
        }
        transaction.commit()?;
        Ok(there)
    }

    fn remove(&self, names: &[BlobName], before: Timestamp) -> Result<usize, BlobError> {
        let before = before.as_micros().div_euclid(1_000_000);
        let mut gone = Vec::new();
        let mut connection = self.writer.lock();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut delete = transaction
                .prepare_cached("DELETE FROM blob WHERE name = ?1 AND used < ?2 RETURNING form")?;
            for name in names {
                let form: Option<i64> = delete
                    .query_row(params![key(name), before], |row| row.get(0))
                    .optional()?;
                gone.extend(form.map(|form| (name, form)));
            }
            // Files go inside the transaction: whoever puts the value again looks for the file in one of its own.
            for (name, _) in gone.iter().filter(|(_, form)| *form == FILE) {
                match fs::remove_file(self.path(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        transaction.commit()?;
        Ok(gone.len())
    }
}

fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() <= WORTH_COMPRESSING {
        return None;
    }
    zstd::bulk::compress(bytes, 1)
        .ok()
        .filter(|packed| packed.len() < bytes.len() / 8 * 7)
}

#[async_trait]
impl Blobs for FolderBlobs {
    async fn put_many(&self, values: Vec<(BlobName, Bytes)>) -> Result<(), BlobError> {
        if values.is_empty() {
            return Ok(());
        }
        self.blocking(move |inner| inner.put(&values)).await
    }

    async fn get_many(&self, names: &[BlobName]) -> Result<Vec<Option<Bytes>>, BlobError> {
        let names = names.to_vec();
        self.blocking(move |inner| {
            inner.reading(|connection| names.iter().map(|name| inner.get(connection, name)).collect())
        })
        .await
    }

    async fn touch_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        let names = names.to_vec();
        self.blocking(move |inner| inner.touch(&names)).await
    }

    async fn contains_many(&self, names: &[BlobName]) -> Result<Vec<bool>, BlobError> {
        let names = names.to_vec();
        self.blocking(move |inner| {
            inner.reading(|connection| {
                names
                    .iter()
                    .map(|name| Ok(inner.used(connection, name)?.is_some()))
                    .collect()
            })
        })
        .await
    }

    async fn unused_since(&self, before: Timestamp, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        let before = before.as_micros().div_euclid(1_000_000);
        self.blocking(move |inner| {
            inner.reading(|connection| {
                let mut select = connection
                    .prepare_cached("SELECT name FROM blob WHERE used < ?1 ORDER BY used LIMIT ?2")?;
                let keys = select.query_map(params![before, limit as i64], |row| row.get::<_, Vec<u8>>(0))?;
                let keys = keys.collect::<Result<Vec<_>, _>>()?;
                Ok(keys.iter().filter_map(|key| name(key)).collect())
            })
        })
        .await
    }

    async fn remove_unused(&self, names: &[BlobName], before: Timestamp) -> Result<usize, BlobError> {
        let names = names.to_vec();
        self.blocking(move |inner| inner.remove(&names, before)).await
    }
}
