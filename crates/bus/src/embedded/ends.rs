use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use model::{LogId, Offset};

use crate::local::Pid;

const MAGIC: &[u8; 8] = b"renkend1";
const HEADER: u64 = 24;
const ENTRY: u64 = 16;

/// The mirror of the partitions' ends: never fsynced, so it costs nothing, yet it outlives a kill.
/// An entry is the end and its complement, so a torn or foreign one is told from a whole one.
pub(super) struct Ends {
    file: File,
}

impl Ends {
    /// Opens the mirror and reads what it says of the log `log_id`; of another log, or damaged, it says nothing.
    pub(super) fn open(folder: &Path, log_id: LogId) -> io::Result<(Self, Vec<Option<Offset>>)> {
        let path = folder.join("log.ends");
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut header = [0; HEADER as usize];
        let whole = file.read_exact_at(&mut header, 0).is_ok();
        let ours = whole && header.starts_with(MAGIC) && header.ends_with(&log_id.0.to_le_bytes());
        let ends = Self { file };
        if !ours {
            ends.restart(log_id)?;
            return Ok((ends, Vec::new()));
        }
        let count = ends.file.metadata()?.len().saturating_sub(HEADER) / ENTRY;
        let entries = (0..count).map(|n| ends.entry(n));
        let known = entries.collect();
        Ok((ends, known))
    }

    /// Forgets everything and starts anew for that log.
    pub(super) fn restart(&self, log_id: LogId) -> io::Result<()> {
        self.file.set_len(0)?;
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(MAGIC);
        header[8..].copy_from_slice(&log_id.0.to_le_bytes());
        self.file.write_all_at(&header, 0)
    }

    pub(super) fn note(&self, pid: Pid, end: Offset) -> io::Result<()> {
        let mut entry = [0; ENTRY as usize];
        entry[..8].copy_from_slice(&end.get().to_le_bytes());
        entry[8..].copy_from_slice(&(!end.get()).to_le_bytes());
        self.file.write_all_at(&entry, HEADER + u64::from(pid) * ENTRY)
    }

    fn entry(&self, n: u64) -> Option<Offset> {
        let mut value = [0; 8];
        let mut check = [0; 8];
        self.file.read_exact_at(&mut value, HEADER + n * ENTRY).ok()?;
        self.file.read_exact_at(&mut check, HEADER + n * ENTRY + 8).ok()?;
        let value = u64::from_le_bytes(value);
        (value == !u64::from_le_bytes(check)).then_some(Offset::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_per_log_and_doubts_what_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let (ends, known) = Ends::open(folder.path(), LogId(7)).unwrap();
        assert!(known.is_empty());
        ends.note(2, Offset::new(40)).unwrap();
        let (ends, known) = Ends::open(folder.path(), LogId(7)).unwrap();
        assert_eq!(known, [None, None, Some(Offset::new(40))]);
        ends.file.write_all_at(&[9], HEADER + 2 * ENTRY).unwrap();
        assert_eq!(Ends::open(folder.path(), LogId(7)).unwrap().1, [None, None, None]);
        assert!(Ends::open(folder.path(), LogId(8)).unwrap().1.is_empty());
    }
}
