//! What a batch of graphs came to.

use std::collections::BTreeMap;

use model::Partition;

use crate::prepare::LargeItem;
use crate::work::{GraphChange, GraphItem, Item};

/// What a batch came to, partition by partition.
#[derive(Default)]
pub(crate) struct Sorted {
    pub items: Vec<Item>,
    pub bytes: u64,
    pub large: BTreeMap<Partition, Vec<LargeItem>>,
    pub failed: BTreeMap<Partition, String>,
}

impl Sorted {
    pub(crate) fn push(&mut self, item: GraphItem) {
        if let GraphChange::Apply { difference, .. } = &item.change {
            self.bytes += difference
                .put
                .iter()
                .map(|piece| piece.text.len() as u64)
                .sum::<u64>();
        }
        self.bytes += item.record.len() as u64;
        self.items.push(Item::Graph(Box::new(item)));
    }
}
