use std::collections::VecDeque;

use model::Offset;

/// The records of one partition that were handed out, and which of them are settled.
///
/// A later success must not pass an earlier failure, so only the settled prefix counts. Offsets may have holes:
/// order of receipt counts, not arithmetic.
#[derive(Debug, Default)]
pub struct Prefix {
    handed_out: VecDeque<(Offset, bool)>,
}

impl Prefix {
    /// Notes a record that was handed out. One that is not above all others is ignored: it is being worked on already.
    pub fn hand_out(&mut self, offset: Offset) {
        if self.handed_out.back().is_none_or(|(last, _)| *last < offset) {
            self.handed_out.push_back((offset, false));
        }
    }

    /// Settles one, and gives the new position of the prefix if that moved it.
    pub fn settle(&mut self, offset: Offset) -> Option<Offset> {
        let at = self.handed_out.binary_search_by_key(&offset, |(o, _)| *o).ok()?;
        self.handed_out.get_mut(at)?.1 = true;
        let mut next = None;
        while let Some((done, true)) = self.handed_out.front().copied() {
            self.handed_out.pop_front();
            next = Some(done.next());
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the holes and the order of settling, the position is just above the longest settled prefix.
        #[test]
        fn only_a_settled_prefix_counts(
            offsets in proptest::collection::btree_set(0u64..200, 1..40),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let offsets: Vec<u64> = offsets.into_iter().collect();
            let mut prefix = Prefix::default();
            for offset in &offsets {
                prefix.hand_out(Offset::new(*offset));
            }
            let mut settled = BTreeSet::new();
            let mut position = None;
            for pick in order {
                let offset = offsets[pick.index(offsets.len())];
                settled.insert(offset);
                let moved = prefix.settle(Offset::new(offset));
                let expected = offsets.iter().take_while(|o| settled.contains(o)).last().map(|o| Offset::new(o + 1));
                if moved.is_some() {
                    prop_assert!(moved > position, "it never falls");
                    position = moved;
                }
                prop_assert_eq!(position, expected);
            }
        }
    }

    #[test]
    fn handed_out_again_is_one_record() {
        let mut prefix = Prefix::default();
        prefix.hand_out(Offset::new(3));
        prefix.hand_out(Offset::new(3));
        prefix.hand_out(Offset::new(1));
        assert_eq!(prefix.settle(Offset::new(3)), Some(Offset::new(4)));
        assert_eq!(prefix.settle(Offset::new(3)), None);
    }
}
