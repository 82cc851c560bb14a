use std::path::PathBuf;

/// Why the store could not do what it was asked. What had been committed before is untouched.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder holds a view for other names.
    #[error(
        "the view in {path} was made for rdf.host {found}, this one is {wanted}: delete the folder, it is rebuilt from the log"
    )]
    OtherHost {
        /// The folder.
        path: PathBuf,
        /// As stored.
        found: String,
        /// As configured.
        wanted: String,
    },
    /// The folder holds a view of another format.
    #[error(
        "the view in {path} has format {found}, this release reads {known}: delete the folder, it is rebuilt from the log"
    )]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// As stored.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// There is nothing to read yet.
    #[error("there is no view in {path} yet: start a graph-writer on this folder")]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// LMDB must not be opened twice in one process: its locks would break.
    #[error("the view in {path} is already open in this process: share the one that is open")]
    AlreadyOpen {
        /// The folder.
        path: PathBuf,
    },
    /// Another process writes there.
    #[error("the view in {path} has a writer in another process: one folder has one writer")]
    AlreadyWritten {
        /// The folder.
        path: PathBuf,
    },
    /// The address range for the file is used up.
    #[error("the view has reached store.map_size: stop the node, raise store.map_size, start it again")]
    MapFull,
    /// Nothing of the transaction was written. Works again when there is room.
    #[error("the disk that holds the view is full, or fails: make room, nothing else is needed")]
    DiskFull(#[source] heed::Error),
    /// Too many snapshots at once.
    #[error("all {0} reader slots of the view are taken: try again, or raise store.max_readers")]
    ReadersFull(u32),
    /// Pages of an old snapshot cannot be used again, so snapshots have an end.
    #[error("the snapshot is older than store.snapshot_age: begin again with a new one")]
    SnapshotTooOld,
    /// The facts have changed between computing the set and reading.
    #[error(
        "the visible set is of facts epoch {set}, the snapshot of {snapshot}: take it from the snapshot that is read"
    )]
    OtherEpoch {
        /// Of the set.
        set: u64,
        /// Of the snapshot.
        snapshot: u64,
    },
    /// The guard found that the caller would have been given what is not his to see: a defect here, or damage.
    #[error("project {project} was read for a caller ({caller}) who may not see it: the answer is withheld")]
    Withheld {
        /// Which.
        project: model::ProjectId,
        /// What kind of caller.
        caller: &'static str,
    },
    /// A piece's text breaks the rules of pieces.
    #[error("line {line} of piece {piece} of project {project}: {why}")]
    BadPiece {
        /// Whose.
        project: model::ProjectId,
        /// Its key.
        piece: String,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// What is stored makes no sense: a defect, or damage to the file.
    #[error("the view is damaged ({0}): delete the folder, it is rebuilt from the log")]
    Damaged(&'static str),
    /// The operating system refused.
    #[error("the view's files cannot be used")]
    Io(#[from] std::io::Error),
    /// Everything else that LMDB says.
    #[error("the view cannot be read or written")]
    Lmdb(#[source] heed::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing configuration or data.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::DiskFull(_) | Self::ReadersFull(_) | Self::SnapshotTooOld | Self::OtherEpoch { .. }
        )
    }
}

impl From<heed::Error> for StoreError {
    fn from(error: heed::Error) -> Self {
        match &error {
            heed::Error::Mdb(heed::MdbError::MapFull) => Self::MapFull,
            heed::Error::Io(io) if is_full(io) => Self::DiskFull(error),
            _ => Self::Lmdb(error),
        }
    }
}

/// `EIO` of Linux. LMDB says it when a write came to less than it should, which a disk that has just become full does.
const SHORT_WRITE: i32 = 5;

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    ) || error.raw_os_error() == Some(SHORT_WRITE)
}
