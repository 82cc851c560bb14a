//! Sorted copies of the little that a caller sees. A query that makes one leaves it to the next queries of the same moment.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::order::{KEY, Order};

/// All keys of a small set of graphs, in one order.
pub(crate) type SortedKeys = Arc<Vec<[u8; KEY]>>;

/// The default graph (0) and the named graphs (1), each in each order.
pub(crate) type Sorted = [[Option<SortedKeys>; 3]; 2];

/// Larger copies end with their query. 1.4 MB; a caller has six of them at most.
const LARGEST: usize = 1 << 16;

/// The copies of one caller that later queries may use.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Moment>);

#[derive(Debug, Default)]
struct Moment {
    /// The transaction that the copies are of: after the next commit they say nothing.
    txn: usize,
    sorted: Sorted,
}

impl Kept {
    /// The copies of that moment.
    pub(crate) fn of(&self, txn: usize) -> Sorted {
        let moment = self.0.lock();
        if moment.txn == txn {
            moment.sorted.clone()
        } else {
            Sorted::default()
        }
    }

    /// Keeps a copy; a later moment takes the place of an earlier one.
    pub(crate) fn keep(&self, txn: usize, set: usize, order: Order, keys: &SortedKeys) {
        let mut moment = self.0.lock();
        if keys.len() > LARGEST || txn < moment.txn {
            return;
        }
        if txn > moment.txn {
            *moment = Moment {
                txn,
                sorted: Sorted::default(),
            };
        }
        moment.sorted[set][order as usize] = Some(keys.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_of_one_moment() {
        let (kept, keys) = (Kept::default(), SortedKeys::new(vec![[1; KEY]]));
        kept.keep(7, 0, Order::Pos, &keys);
        assert_eq!(kept.of(7)[0][Order::Pos as usize], Some(keys.clone()));
        assert_eq!(kept.of(8), Sorted::default());
        kept.keep(8, 1, Order::Spo, &keys);
        kept.keep(7, 0, Order::Pos, &keys);
        assert_eq!(kept.of(7), Sorted::default());
        assert!(kept.of(8)[0].iter().all(Option::is_none));
        kept.keep(8, 0, Order::Osp, &SortedKeys::new(vec![[1; KEY]; LARGEST + 1]));
        assert!(kept.of(8)[0].iter().all(Option::is_none));
    }
}
