use std::collections::{BTreeMap, BTreeSet};

use model::TopicName;

use crate::TopicPartition;

/// Topics with equally many partitions, of which one leads: the group shares out the leader's partitions, and the
/// others' partitions of the same numbers go along. So equal numbers are always with one member.
pub(super) struct Companions {
    groups: BTreeMap<TopicName, Vec<TopicName>>,
}

impl Companions {
    /// All members of a group must name the same topics; then they find the same leaders.
    pub(super) fn new(partitions: &BTreeMap<TopicName, u32>) -> Self {
        let mut by_count: BTreeMap<u32, Vec<TopicName>> = BTreeMap::new();
        for (topic, count) in partitions {
            by_count.entry(*count).or_default().push(topic.clone());
        }
        let groups = by_count
            .into_values()
            .filter_map(|topics| Some((topics.first()?.clone(), topics)))
            .collect();
        Self { groups }
    }

    pub(super) fn leads(&self) -> impl Iterator<Item = &TopicName> {
        self.groups.keys()
    }

    /// The leaders' partitions with all that go along.
    pub(super) fn all(&self, leading: &[TopicPartition]) -> BTreeSet<TopicPartition> {
        leading
            .iter()
            .flat_map(|slot| {
                let topics = self
                    .groups
                    .get(&slot.topic)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                topics.iter().map(|topic| TopicPartition {
                    topic: topic.clone(),
                    partition: slot.partition,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use model::Partition;

    use super::*;

    #[test]
    fn equal_numbers_go_together() {
        let topic = TopicName::from_static;
        let slot = |name, number| TopicPartition {
            topic: topic(name),
            partition: Partition::new(number),
        };
        let counts = [(topic("a"), 4), (topic("b"), 4), (topic("c"), 2)].into();
        let companions = Companions::new(&counts);
        assert_eq!(
            companions.leads().cloned().collect::<Vec<_>>(),
            [topic("a"), topic("c")]
        );
        let all = companions.all(&[slot("a", 3), slot("c", 1)]);
        assert_eq!(all, [slot("a", 3), slot("b", 3), slot("c", 1)].into());
    }
}
