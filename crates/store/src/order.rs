//! Keys of the quad indexes: three terms in one of three orders, then the graph; and graph first.

use crate::tables::{Table, Tables};
use crate::term_id::TermId;
use crate::triples::Triple;

/// Bytes of a key.
pub(crate) const KEY: usize = 22;
/// Bytes of the terms of a key whose graph is last.
pub(crate) const TERMS: usize = 18;

/// The number of a graph in this environment. 0 is none.
pub(crate) type Gid = u32;

/// An index whose graph is last: copies of one triple are neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Spo,
    Pos,
    Osp,
}

impl Order {
    pub(crate) const ALL: [Self; 3] = [Self::Spo, Self::Pos, Self::Osp];

    pub(crate) fn table(self, tables: &Tables) -> Table {
        match self {
            Self::Spo => tables.spog,
            Self::Pos => tables.posg,
            Self::Osp => tables.ospg,
        }
    }

    /// Puts subject, predicate, object into this order.
    pub(crate) fn arrange<T>(self, [s, p, o]: [T; 3]) -> [T; 3] {
        match self {
            Self::Spo => [s, p, o],
            Self::Pos => [p, o, s],
            Self::Osp => [o, s, p],
        }
    }

    /// Undoes [`Order::arrange`].
    pub(crate) fn restore<T>(self, [a, b, c]: [T; 3]) -> [T; 3] {
        match self {
            Self::Spo => [a, b, c],
            Self::Pos => [c, a, b],
            Self::Osp => [b, c, a],
        }
    }

    /// The order in which the given terms come first, and how many they are.
    pub(crate) fn for_pattern(pattern: &[Option<TermId>; 3]) -> (Self, usize) {
        match pattern.map(|term| term.is_some()) {
            [true, true, true] => (Self::Spo, 3),
            [true, true, false] => (Self::Spo, 2),
            [true, false, true] => (Self::Osp, 2),
            [true, false, false] => (Self::Spo, 1),
            [false, true, true] => (Self::Pos, 2),
            [false, true, false] => (Self::Pos, 1),
            [false, false, true] => (Self::Osp, 1),
            [false, false, false] => (Self::Spo, 0),
        }
    }

    pub(crate) fn key(self, triple: Triple, graph: Gid) -> [u8; KEY] {
        let [a, b, c] = self.arrange(triple);
        let mut key = [0; KEY];
        key[..6].copy_from_slice(&a.to_bytes());
        key[6..12].copy_from_slice(&b.to_bytes());
        key[12..18].copy_from_slice(&c.to_bytes());
        key[18..].copy_from_slice(&graph.to_be_bytes());
        key
    }

    /// Reads a key of 22 bytes; others give ids of no kind and graph 0, which nobody sees.
    pub(crate) fn read(self, key: &[u8]) -> (Triple, Gid) {
        let Ok(key) = <&[u8; KEY]>::try_from(key) else {
            return ([TermId::from_raw(0); 3], 0);
        };
        let ids = [
            TermId::read(key),
            TermId::read(&key[6..]),
            TermId::read(&key[12..]),
        ];
        (self.restore(ids), graph_of(key))
    }
}

/// The graph of a key whose graph is last.
pub(crate) fn graph_of(key: &[u8]) -> Gid {
    match key.get(TERMS..KEY) {
        Some([a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// A key of `gspo`.
pub(crate) fn graph_key(graph: Gid, [s, p, o]: Triple) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..4].copy_from_slice(&graph.to_be_bytes());
    key[4..10].copy_from_slice(&s.to_bytes());
    key[10..16].copy_from_slice(&p.to_bytes());
    key[16..].copy_from_slice(&o.to_bytes());
    key
}

/// The triple of a key of `gspo`.
pub(crate) fn triple_of(key: &[u8]) -> Triple {
    let at = |from: usize| TermId::read(key.get(from..).unwrap_or_default());
    [at(4), at(10), at(16)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term_id::Kind;

    #[test]
    fn keys_are_read_back() {
        let triple = [1, 2, 3].map(|n| TermId::new(Kind::Named, n));
        for order in Order::ALL {
            assert_eq!(order.read(&order.key(triple, 9)), (triple, 9));
        }
        assert_eq!(triple_of(&graph_key(9, triple)), triple);
        assert_eq!(Order::Spo.read(&[1, 2]).1, 0);
    }
}
