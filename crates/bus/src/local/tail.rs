use std::collections::{HashMap, VecDeque};

use model::{Offset, Partition};

use super::{Chunk, Pid};
use crate::{NewRecord, ReadLimits, Record};

/// The newest records of all partitions, up to a number of bytes: who keeps up never touches the disk.
/// Of each partition it holds a gapless run up to the end.
pub(super) struct Tail {
    most: usize,
    bytes: usize,
    partitions: HashMap<Pid, VecDeque<Record>>,
    /// In order of arrival, for forgetting.
    order: VecDeque<(Pid, Offset)>,
}

impl Tail {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            bytes: 0,
            partitions: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, pid: Pid, partition: Partition, record: &NewRecord, offset: Offset) {
        let record = Record {
            topic: record.topic.clone(),
            partition,
            offset,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
            timestamp: record.timestamp,
        };
        self.bytes += record.bytes();
        self.partitions.entry(pid).or_default().push_back(record);
        self.order.push_back((pid, offset));
        while self.bytes > self.most {
            let Some((pid, offset)) = self.order.pop_front() else {
                return;
            };
            self.forget_below(pid, offset.next());
        }
    }

    pub(super) fn forget_below(&mut self, pid: Pid, start: Offset) {
        let Some(records) = self.partitions.get_mut(&pid) else {
            return;
        };
        while records.front().is_some_and(|record| record.offset < start) {
            if let Some(record) = records.pop_front() {
                self.bytes -= record.bytes();
            }
        }
        if records.is_empty() {
            self.partitions.remove(&pid);
        }
    }

    pub(super) fn read(&self, pid: Pid, from: Offset, to: Offset, limits: ReadLimits) -> Option<Chunk> {
        let records = self.partitions.get(&pid)?;
        if records.front()?.offset > from {
            return None;
        }
        let first = records.partition_point(|record| record.offset < from);
        let mut chunk = Chunk {
            records: Vec::new(),
            next: to,
        };
        let mut bytes = 0;
        for record in records.range(first..) {
            if record.offset >= to {
                break;
            }
            bytes += record.bytes();
            if !chunk.records.is_empty() && (bytes > limits.bytes || chunk.records.len() >= limits.records) {
                chunk.next = record.offset;
                break;
            }
            chunk.records.push(record.clone());
        }
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{Timestamp, TopicName};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What it gives is what was pushed, or it says that it does not know.
        #[test]
        fn it_never_hides_a_record(sizes in proptest::collection::vec((0u32..3, 0usize..400), 1..60), from in 0u64..30) {
            let mut tail = Tail::new(4_000);
            let mut ends = [0u64; 3];
            for (pid, size) in &sizes {
                let topic = TopicName::from_static("t");
                let record = NewRecord::new(topic, "k", Bytes::from(vec![0; *size]), Timestamp::default());
                tail.push(*pid, Partition::new(*pid), &record, Offset::new(ends[*pid as usize]));
                ends[*pid as usize] += 1;
            }
            prop_assert!(tail.bytes <= 4_000);
            for pid in 0..3u32 {
                let end = ends[pid as usize];
                if let Some(chunk) = tail.read(pid, Offset::new(from), Offset::new(end), ReadLimits { records: 5, bytes: 900 }) {
                    let offsets: Vec<u64> = chunk.records.iter().map(|r| r.offset.get()).collect();
                    let expected: Vec<u64> = (from..end).take(offsets.len()).collect();
                    prop_assert_eq!(&offsets, &expected);
                    prop_assert!(from >= end || !offsets.is_empty());
                    prop_assert_eq!(chunk.next.get(), if offsets.is_empty() { end } else { from + offsets.len() as u64 });
                }
            }
        }
    }
}
