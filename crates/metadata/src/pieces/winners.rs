//! Which copy of an embedded object counts: the one that is loaded first.

use crate::object::{Key, KeyMap};

/// A copy: the place of its file, its number in the file.
pub(super) type Copy = (u32, u32);

#[derive(Debug)]
struct Copies {
    winner: Copy,
    hash: u64,
    others: Vec<Copy>,
}

/// What happened to a key since winners were last decided.
#[derive(Debug, Default)]
struct Touched {
    /// The content before, if there was any.
    before: Option<u64>,
    added: Vec<Copy>,
    /// A copy went away or moved: all have to be looked at.
    rescan: bool,
}

/// The copies of every unified object.
#[derive(Debug, Default)]
pub(super) struct Winners {
    keys: KeyMap<Copies>,
    touched: KeyMap<Touched>,
}

/// The winner before the first is decided.
const NONE: Copy = (u32::MAX, u32::MAX);

impl Winners {
    pub(super) fn winner(&self, key: Key) -> Option<Copy> {
        self.keys.get(&key).map(|copies| copies.winner)
    }

    pub(super) fn copies(&self, key: Key) -> impl Iterator<Item = Copy> {
        self.keys
            .get(&key)
            .into_iter()
            .flat_map(|copies| std::iter::once(copies.winner).chain(copies.others.iter().copied()))
    }

    pub(super) fn count(&self, key: Key) -> usize {
        self.keys.get(&key).map_or(0, |copies| 1 + copies.others.len())
    }

    pub(super) fn key_count(&self) -> usize {
        self.keys.len()
    }

    fn touch(&mut self, key: Key) -> &mut Touched {
        let before = self.keys.get(&key).map(|copies| copies.hash);
        self.touched.entry(key).or_insert_with(|| Touched {
            before,
            ..Touched::default()
        })
    }

    pub(super) fn add(&mut self, key: Key, copy: Copy) {
        self.touch(key).added.push(copy);
    }

    pub(super) fn remove(&mut self, key: Key, copy: Copy) {
        let touched = self.touch(key);
        touched.rescan = true;
        touched.added.retain(|added| *added != copy);
        if let Some(copies) = self.keys.get_mut(&key) {
            if copies.winner == copy {
                copies.winner = NONE;
            } else {
                copies.others.retain(|other| *other != copy);
            }
        }
    }

    /// The file of a copy is loaded at another time than before.
    pub(super) fn moved(&mut self, key: Key) {
        self.touch(key).rescan = true;
    }

    /// Decides the winners of the keys that were touched; gives the keys whose content is another one now.
    /// `order` tells when a copy is loaded, `hash` what its content is.
    pub(super) fn decide(
        &mut self,
        order: impl Fn(Copy) -> (u32, u32),
        hash: impl Fn(Copy) -> u64,
    ) -> Vec<Key> {
        let mut changed = Vec::new();
        for (key, touched) in std::mem::take(&mut self.touched) {
            let copies = self.keys.entry(key).or_insert_with(|| Copies {
                winner: NONE,
                hash: 0,
                others: Vec::new(),
            });
            for copy in touched.added {
                if copies.winner == NONE {
                    copies.winner = copy;
                } else if order(copy) < order(copies.winner) {
                    copies.others.push(std::mem::replace(&mut copies.winner, copy));
                } else {
                    copies.others.push(copy);
                }
            }
            if touched.rescan {
                if copies.winner == NONE
                    && let Some(any) = copies.others.pop()
                {
                    copies.winner = any;
                }
                for other in &mut copies.others {
                    if order(*other) < order(copies.winner) {
                        std::mem::swap(other, &mut copies.winner);
                    }
                }
            }
            if copies.winner == NONE {
                self.keys.remove(&key);
                continue;
            }
            copies.hash = hash(copies.winner);
            if touched.before != Some(copies.hash) {
                changed.push(key);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_loaded_wins() {
        let mut winners = Winners::default();
        let key = Key(7);
        let order = |copy: Copy| (copy.0, copy.1);
        // Copies of files 1 and 2 have equal content, that of file 0 has another.
        let hash = |copy: Copy| u64::from(copy.0 == 0);
        winners.add(key, (2, 1));
        assert_eq!(winners.decide(order, hash), [key]);
        winners.add(key, (1, 1));
        assert_eq!(winners.decide(order, hash), []);
        assert_eq!(winners.winner(key), Some((1, 1)));
        winners.add(key, (0, 1));
        assert_eq!(winners.decide(order, hash), [key]);
        winners.remove(key, (0, 1));
        assert_eq!(winners.decide(order, hash), [key]);
        assert_eq!(winners.winner(key), Some((1, 1)));
        winners.moved(key);
        assert_eq!(winners.decide(|copy| (9 - copy.0, 0), hash), []);
        assert_eq!(winners.winner(key), Some((2, 1)));
        assert_eq!(winners.count(key), 2);
        winners.remove(key, (2, 1));
        winners.remove(key, (1, 1));
        winners.decide(order, hash);
        assert_eq!(winners.winner(key), None);
    }
}
