use std::collections::{BTreeMap, HashMap};

use model::TopicName;
use parking_lot::RwLock;
use tokio::sync::watch;

/// What is known of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// Another topic of that name has another id.
    pub(super) id: u128,
    pub(super) partitions: u32,
}

/// Topics as they were when they were last looked at.
pub(super) struct Catalog {
    topics: RwLock<HashMap<TopicName, Known>>,
    changed: watch::Sender<u64>,
}

impl Catalog {
    pub(super) fn new() -> Self {
        Self {
            topics: RwLock::default(),
            changed: watch::Sender::new(0),
        }
    }

    pub(super) fn get(&self, topic: &TopicName) -> Option<Known> {
        self.topics.read().get(topic).copied()
    }

    /// Takes over what was seen. A topic that is not there at the moment is kept: it may come back, and if another one
    /// comes, its id tells.
    pub(super) fn take(&self, seen: impl IntoIterator<Item = (TopicName, Known)>) {
        let mut other = false;
        let mut topics = self.topics.write();
        for (topic, known) in seen {
            let before = topics.insert(topic, known);
            other |= before.is_some_and(|before| before != known);
        }
        drop(topics);
        if other {
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// The broker says that it is not there: look again before it is used.
    pub(super) fn forget(&self, topic: &TopicName) {
        self.topics.write().remove(topic);
    }

    pub(super) fn names(&self) -> Vec<TopicName> {
        self.topics.read().keys().cloned().collect()
    }

    /// Tells when a topic turned out to be another one.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Which of these topics is another one by now.
    pub(super) fn replaced(&self, ids: &BTreeMap<TopicName, u128>) -> Option<TopicName> {
        let topics = self.topics.read();
        ids.iter()
            .find(|(topic, id)| topics.get(*topic).is_some_and(|known| known.id != **id))
            .map(|(topic, _)| topic.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TopicName = TopicName::from_static("t");

    #[test]
    fn another_topic_of_the_same_name_is_noticed() {
        let catalog = Catalog::new();
        let known = |id| Known { id, partitions: 1 };
        catalog.take([(T, known(1))]);
        let ids = BTreeMap::from([(T, 1)]);
        let mut changes = catalog.watch();
        catalog.take([(T, known(1))]);
        assert!(!changes.has_changed().unwrap() && catalog.replaced(&ids).is_none());
        catalog.take([(T, known(2))]);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(catalog.replaced(&ids), Some(T));
    }
}
