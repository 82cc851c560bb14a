//! Quads on their way into the indexes: collected over a transaction, written in the order of each index.

use heed::{RoTxn, RwTxn};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::dictionary::Dictionary;
use crate::error::StoreError;
use crate::order::{Gid, Order, graph_key};
use crate::row::GraphRow;
use crate::tables::{Table, Tables};
use crate::term_id::TermId;
use crate::triples::{Triple, read_count, write_count};

/// Written to the indexes when this many have come together.
const FLUSH: usize = 1 << 20;

/// Changes of quads within one transaction.
#[derive(Default)]
pub(crate) struct QuadChanges {
    waiting: Vec<(Triple, Gid, bool)>,
    counts: FxHashMap<Gid, i64>,
    /// Terms of quads that went: they may have no quad left.
    loosened: FxHashSet<TermId>,
    /// How many quads came or went.
    pub(crate) changed: usize,
}

impl QuadChanges {
    /// Changes how many pieces of a graph hold each triple. `fresh`: the graph holds nothing yet.
    pub(crate) fn change(
        &mut self,
        (tables, txn): (&Tables, &mut RwTxn<'_>),
        graph: Gid,
        fresh: bool,
        changes: &mut [(Triple, i32)],
    ) -> Result<(), StoreError> {
        changes.sort_unstable_by_key(|(triple, _)| *triple);
        let mut at = 0;
        while let Some((triple, _)) = changes.get(at).copied() {
            let same = changes[at..].iter().take_while(|(t, _)| *t == triple);
            let (len, by) = same.fold((0, 0i64), |(len, by), (_, n)| (len + 1, by + i64::from(*n)));
            at += len;
            if by == 0 {
                continue;
            }
            let key = graph_key(graph, triple);
            let before = match fresh {
                true => None,
                false => tables.gspo.get(txn, &key)?.map(read_count).transpose()?,
            };
            let after = i64::from(before.unwrap_or(0)) + by;
            let after = u32::try_from(after).map_err(|_| StoreError::Damaged("a triple has no piece"))?;
            if after == 0 {
                tables.gspo.delete(txn, &key)?;
                self.remove(triple, graph);
            } else {
                let (bytes, len) = write_count(after);
                tables.gspo.put(txn, &key, &bytes[..len])?;
                if before.is_none() {
                    self.waiting.push((triple, graph, true));
                    *self.counts.entry(graph).or_default() += 1;
                    self.changed += 1;
                }
            }
        }
        if self.waiting.len() > FLUSH {
            self.flush(tables, txn)?;
        }
        Ok(())
    }

    /// Takes a quad whose `gspo` entry is gone out of the other indexes.
    pub(crate) fn remove(&mut self, triple: Triple, graph: Gid) {
        self.waiting.push((triple, graph, false));
        *self.counts.entry(graph).or_default() -= 1;
        self.loosened
            .extend(triple.iter().filter(|id| id.in_dictionary()));
        self.changed += 1;
    }

    /// Writes what waits.
    fn flush(&mut self, tables: &Tables, txn: &mut RwTxn<'_>) -> Result<(), StoreError> {
        // The last word on a quad holds; the sort is stable.
        self.waiting.sort_by_key(|(triple, graph, _)| (*triple, *graph));
        let mut kept: Vec<(Triple, Gid, bool)> = Vec::with_capacity(self.waiting.len());
        for change in self.waiting.drain(..) {
            match kept.last_mut() {
                Some(last) if (last.0, last.1) == (change.0, change.1) => *last = change,
                _ => kept.push(change),
            }
        }
        for order in Order::ALL {
            let table = order.table(tables);
            let mut keys: Vec<_> = kept
                .iter()
                .map(|(triple, graph, add)| (order.key(*triple, *graph), *add))
                .collect();
            keys.sort_unstable();
            for (key, add) in &keys {
                if *add {
                    table.put(txn, key, &[])?;
                } else {
                    table.delete(txn, key)?;
                }
            }
        }
        Ok(())
    }

    /// Writes everything and takes terms that have no quad left out of the dictionary.
    pub(crate) fn finish(
        &mut self,
        tables: &Tables,
        txn: &mut RwTxn<'_>,
        dictionary: &mut Dictionary,
    ) -> Result<(), StoreError> {
        self.flush(tables, txn)?;
        for (graph, by) in self.counts.drain() {
            let key = graph.to_be_bytes();
            if let Some(row) = tables.graphs.get(txn, &key)? {
                let mut row = GraphRow::read(row)?;
                row.quads = row.quads.saturating_add_signed(by);
                tables.graphs.put(txn, &key, &row.write())?;
            }
        }
        let mut loosened: Vec<_> = self.loosened.drain().collect();
        loosened.sort_unstable();
        for id in loosened {
            let prefix = id.to_bytes();
            let used = [tables.spog, tables.posg, tables.ospg];
            let used = used
                .iter()
                .map(|table| begins_with(table, txn, &prefix))
                .collect::<Result<Vec<_>, _>>()?;
            if !used.contains(&true) {
                dictionary.remove(tables, txn, id)?;
            }
        }
        Ok(())
    }
}

fn begins_with(table: &Table, txn: &RoTxn<'_>, prefix: &[u8]) -> Result<bool, StoreError> {
    Ok(table
        .get_greater_than_or_equal_to(txn, prefix)?
        .is_some_and(|(key, _)| key.starts_with(prefix)))
}
