use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::{LogId, Offset, Partition, Position, TopicName};
use serde::{Deserialize, Serialize};

use crate::Extent;

/// Where each record of a topic went in its copy: a file that only grows, so that a copy that was broken off goes on.
///
/// A line of JSON says which topics, then come entries of 24 bytes: partition and offset in the old topic, partition and
/// offset in the new one, big-endian. An entry of a partition that cannot be ends a copy that is whole.
#[derive(Debug)]
pub struct PositionMap {
    path: PathBuf,
    file: File,
    header: Header,
    /// Bytes before the first entry.
    begin: u64,
    entries: u64,
    whole: bool,
    /// The old offset to go on with.
    next: BTreeMap<Partition, Offset>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    from: TopicName,
    to: TopicName,
    /// Of both topics together: one that was made anew is another one.
    log: LogId,
}

const FORMAT: u32 = 1;
const ENTRY: usize = 24;
const WHOLE: u32 = u32::MAX;

/// A map cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The disk.
    #[error("the map of positions {path} cannot be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// What the disk says.
        #[source]
        source: std::io::Error,
    },
    /// It is of another copy.
    #[error("the map of positions {path} is of another copy: move it away to begin anew with an empty topic")]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// The copy is not whole.
    #[error("the map of positions {path} is not whole: copy the topic first")]
    NotWhole {
        /// The file.
        path: PathBuf,
    },
}

/// One record's two places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub from: (Partition, Offset),
    pub to: (Partition, Offset),
}

impl Entry {
    fn write(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..4].copy_from_slice(&self.from.0.get().to_be_bytes());
        bytes[4..12].copy_from_slice(&self.from.1.get().to_be_bytes());
        bytes[12..16].copy_from_slice(&self.to.0.get().to_be_bytes());
        bytes[16..].copy_from_slice(&self.to.1.get().to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8; ENTRY]) -> Self {
        let small = |at: usize| {
            let mut number = [0; 4];
            number.copy_from_slice(&bytes[at..at + 4]);
            Partition::new(u32::from_be_bytes(number))
        };
        let large = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            Offset::new(u64::from_be_bytes(number))
        };
        Self {
            from: (small(0), large(4)),
            to: (small(12), large(16)),
        }
    }
}

impl PositionMap {
    /// Opens the map of a copy, or begins one. An entry that was not written to its end is cut off.
    ///
    /// # Errors
    /// [`MapError::Other`] when the file is of other topics, or one of them was made anew since.
    pub fn open(path: &Path, from: &TopicName, to: &TopicName, log: LogId) -> Result<Self, MapError> {
        let wanted = Header {
            format: FORMAT,
            from: from.clone(),
            to: to.clone(),
            log,
        };
        let failed = |source| MapError::File {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            let mut line = serde_json::to_vec(&wanted).map_err(|error| failed(error.into()))?;
            line.push(b'\n');
            file.write_all(&line)
                .and_then(|()| file.sync_all())
                .map_err(failed)?;
        }
        let mut line = Vec::new();
        file.rewind().map_err(failed)?;
        BufReader::new(&file)
            .take(64 << 10)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        let header: Header = serde_json::from_slice(&line).map_err(|_| MapError::Other {
            path: path.to_owned(),
        })?;
        if header != wanted {
            return Err(MapError::Other {
                path: path.to_owned(),
            });
        }
        let mut map = Self {
            path: path.to_owned(),
            file,
            header,
            begin: line.len() as u64,
            entries: 0,
            whole: false,
            next: BTreeMap::new(),
        };
        let (mut next, mut entries, mut whole) = (BTreeMap::new(), 0, false);
        map.each(|entry| {
            entries += 1;
            whole = entry.from.0.get() == WHOLE;
            if !whole {
                let at: &mut Offset = next.entry(entry.from.0).or_default();
                *at = entry.from.1.next().max(*at);
            }
        })?;
        (map.next, map.entries, map.whole) = (next, entries, whole);
        let end = map.begin + entries * ENTRY as u64;
        map.file.set_len(end).map_err(failed)?;
        map.file.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok(map)
    }

    /// The old topic.
    pub fn from(&self) -> &TopicName {
        &self.header.from
    }

    /// The new topic.
    pub fn to(&self) -> &TopicName {
        &self.header.to
    }

    /// Was everything copied that there was when the copy ended last?
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Where in the old topic the copy goes on. None: nothing of the partition was copied.
    pub(super) fn next(&self, partition: Partition) -> Option<Offset> {
        self.next.get(&partition).copied()
    }

    /// Nothing was copied yet.
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Adds entries. They are durable when it returns.
    pub(super) fn add(&mut self, entries: &[Entry]) -> Result<(), MapError> {
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
        for entry in entries {
            bytes.extend_from_slice(&entry.write());
            let next = self.next.entry(entry.from.0).or_default();
            *next = entry.from.1.next().max(*next);
        }
        self.put(&bytes)?;
        self.whole = false;
        Ok(())
    }

    /// Says that everything is copied.
    pub(super) fn finish(&mut self) -> Result<(), MapError> {
        if !self.whole {
            let nowhere = (Partition::new(WHOLE), Offset::default());
            self.put(
                &Entry {
                    from: nowhere,
                    to: nowhere,
                }
                .write(),
            )?;
            self.whole = true;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), MapError> {
        self.file
            .write_all(bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| MapError::File {
                path: self.path.clone(),
                source,
            })?;
        self.entries += (bytes.len() / ENTRY) as u64;
        Ok(())
    }

    fn each(&self, mut take: impl FnMut(Entry)) -> Result<(), MapError> {
        let failed = |source| MapError::File {
            path: self.path.clone(),
            source,
        };
        // A handle of its own: the place to write at stays.
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.begin)).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let mut bytes = [0; ENTRY];
        loop {
            match reader.read_exact(&mut bytes) {
                Ok(()) => take(Entry::read(&bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Where a reader goes on in the new topic that has dealt with everything below `settled` in the old one: in each
    /// partition the first record whose original is not below, so everything before it was dealt with. What was after it and
    /// was dealt with comes again, which readers bear. `extents`: of the new topic.
    ///
    /// # Errors
    /// [`MapError::NotWhole`]: something that was not dealt with may not be in the new topic yet.
    pub fn translate(&self, settled: &[Position], extents: &[Extent]) -> Result<Vec<Position>, MapError> {
        if !self.whole {
            return Err(MapError::NotWhole {
                path: self.path.clone(),
            });
        }
        let settled: BTreeMap<Partition, Offset> = settled
            .iter()
            .filter(|position| position.topic == self.header.from)
            .map(|position| (position.partition, position.next))
            .collect();
        let mut copied_to: BTreeMap<Partition, Offset> = BTreeMap::new();
        let mut open: BTreeMap<Partition, Offset> = BTreeMap::new();
        self.each(|entry| {
            let (partition, offset) = entry.to;
            if entry.from.0.get() == WHOLE {
                return;
            }
            let end = copied_to.entry(partition).or_default();
            *end = offset.next().max(*end);
            if entry.from.1 >= settled.get(&entry.from.0).copied().unwrap_or_default() {
                let first = open.entry(partition).or_insert(offset);
                *first = offset.min(*first);
            }
        })?;
        let positions = extents.iter().map(|extent| {
            let end = copied_to.get(&extent.partition).copied().unwrap_or_default();
            let next = open.get(&extent.partition).copied().unwrap_or(end);
            Position {
                topic: self.header.to.clone(),
                partition: extent.partition,
                // What came after the copy was dealt with by nobody; what retention took need not be.
                next: next.max(extent.start),
            }
        });
        Ok(positions.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM: TopicName = TopicName::from_static("t.v1");
    const TO: TopicName = TopicName::from_static("t.v2");

    fn entry(from: (u32, u64), to: (u32, u64)) -> Entry {
        Entry {
            from: (Partition::new(from.0), Offset::new(from.1)),
            to: (Partition::new(to.0), Offset::new(to.1)),
        }
    }

    fn at(topic: TopicName, partition: u32, next: u64) -> Position {
        Position {
            topic,
            partition: Partition::new(partition),
            next: Offset::new(next),
        }
    }

    fn extents(partitions: u32) -> Vec<Extent> {
        let extent = |partition| Extent {
            partition: Partition::new(partition),
            start: Offset::default(),
            end: Offset::new(1_000),
        };
        (0..partitions).map(extent).collect()
    }

    #[test]
    fn a_map_is_kept_and_a_torn_end_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        let mut map = PositionMap::open(&path, &FROM, &TO, LogId(1)).unwrap();
        assert!(map.is_empty() && !map.is_whole());
        map.add(&[entry((0, 4), (1, 0)), entry((2, 7), (1, 1))]).unwrap();
        map.finish().unwrap();
        drop(map);
        let mut map = PositionMap::open(&path, &FROM, &TO, LogId(1)).unwrap();
        assert!(map.is_whole());
        map.add(&[entry((0, 6), (0, 0))]).unwrap();
        drop(map);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[1; 11]).unwrap();
        let map = PositionMap::open(&path, &FROM, &TO, LogId(1)).unwrap();
        assert!(!map.is_whole());
        assert_eq!(map.next(Partition::new(0)), Some(Offset::new(7)));
        assert_eq!(map.next(Partition::new(1)), None);
        assert_eq!(map.entries, 4);
        assert!(matches!(
            map.translate(&[], &extents(2)),
            Err(MapError::NotWhole { .. })
        ));
        for (from, to, log) in [(TO, FROM, 1), (FROM, TO, 2)] {
            let other = PositionMap::open(&path, &from, &to, LogId(log));
            assert!(matches!(other, Err(MapError::Other { .. })));
        }
        std::fs::write(&path, b"not a map").unwrap();
        let other = PositionMap::open(&path, &FROM, &TO, LogId(1));
        assert!(matches!(other, Err(MapError::Other { .. })));
    }

    #[test]
    fn everything_before_the_position_was_dealt_with() {
        let folder = tempfile::tempdir().unwrap();
        let mut map = PositionMap::open(&folder.path().join("map"), &FROM, &TO, LogId(1)).unwrap();
        map.add(&[
            entry((0, 0), (0, 0)),
            entry((1, 5), (0, 1)),
            entry((0, 1), (0, 2)),
            entry((1, 6), (2, 0)),
        ])
        .unwrap();
        map.finish().unwrap();
        let settled = [at(FROM, 0, 2), at(FROM, 1, 6), at(TO, 1, 9)];
        let wanted = [at(TO, 0, 3), at(TO, 1, 0), at(TO, 2, 0)];
        assert_eq!(map.translate(&settled, &extents(3)).unwrap(), wanted);
        let wanted = [at(TO, 0, 1), at(TO, 1, 0), at(TO, 2, 0)];
        assert_eq!(map.translate(&[at(FROM, 0, 2)], &extents(3)).unwrap(), wanted);
        assert_eq!(map.translate(&[], &extents(1)).unwrap(), [at(TO, 0, 0)]);
    }

    proptest! {
        /// Whatever was settled: before the new positions lies nothing that was not, and each is as far on as it can be.
        #[test]
        fn translated_positions_lose_nothing(
            records in proptest::collection::vec((0u32..4, 0u32..6), 0..60),
            settled in proptest::collection::vec(0u64..20, 4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut map = PositionMap::open(&folder.path().join("map"), &FROM, &TO, LogId(1)).unwrap();
            let (mut old, mut new) = ([0u64; 4], [0u64; 6]);
            let mut entries = Vec::new();
            for (from, to) in records {
                entries.push(entry((from, old[from as usize]), (to, new[to as usize])));
                // Compaction leaves holes.
                old[from as usize] += 1 + u64::from(to % 2);
                new[to as usize] += 1;
            }
            map.add(&entries).unwrap();
            map.finish().unwrap();
            let positions: Vec<_> = (0..).zip(&settled).map(|(partition, next)| at(FROM, partition, *next)).collect();
            for position in map.translate(&positions, &extents(6)).unwrap() {
                let of_it: Vec<_> = entries.iter().filter(|entry| entry.to.0 == position.partition).collect();
                let is_settled = |entry: &Entry| entry.from.1.get() < settled[entry.from.0.get() as usize];
                prop_assert!(of_it.iter().filter(|entry| entry.to.1 < position.next).all(|entry| is_settled(entry)));
                let at_it = of_it.iter().find(|entry| entry.to.1 == position.next);
                prop_assert!(at_it.is_none_or(|entry| !is_settled(entry)));
                prop_assert!(at_it.is_some() || position.next.get() == new[position.partition.get() as usize]);
            }
        }
    }
}
