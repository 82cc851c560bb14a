//! Looking after topics, groups and access rules of a cluster. Every call blocks: run it on a thread that may.

mod native;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use model::TopicSpec;

pub(super) use native::{commit, wake};
pub use plan::{Change, Fact, PlannedTopic, plan, settings_of};

use super::errors::Refusal;
use super::producer::Producer;

/// A topic on the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TopicState {
    pub(super) name: String,
    /// Another one with the same name has another id.
    pub(super) id: u128,
    pub(super) partitions: u32,
}

/// What an access rule is about, by its name on the cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// A consumer group.
    Group(String),
}

impl Resource {
    /// Its name on the cluster.
    pub fn name(&self) -> &str {
        match self {
            Self::Topic(name) | Self::Group(name) => name,
        }
    }
}

/// What an access rule allows. Reading and writing include describing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// Reading records, or being a member.
    Read,
    /// Writing records.
    Write,
    /// Knowing that it is there.
    Describe,
}

/// Allows one operation on one thing to one principal, from everywhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AccessRule {
    /// As Kafka writes it: `User:commit-fetcher`.
    pub principal: String,
    /// On what.
    pub resource: Resource,
    /// Which.
    pub operation: Operation,
}

/// Requests through a producer's connections.
pub(super) struct Admin<'a> {
    through: native::Through<'a>,
}

impl<'a> Admin<'a> {
    pub(super) fn new(producer: &'a Producer, deadline: Duration) -> Self {
        Self {
            through: native::Through::new(producer.client(), deadline),
        }
    }

    pub(super) fn describe(&self, topics: &[String]) -> Result<Vec<TopicState>, Refusal> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        native::describe_topics(self.through, topics)
    }

    /// For programs that end soon: see [`super::watching`].
    pub(super) fn set_group_offsets(
        &self,
        group: &str,
        positions: &rdkafka::TopicPartitionList,
    ) -> Result<(), Refusal> {
        native::set_group_offsets(self.through, group, positions)
    }

    /// What the cluster has of these topics, by their names there.
    pub(super) fn facts(&self, topics: &[String]) -> Result<BTreeMap<String, Fact>, Refusal> {
        let mut facts = BTreeMap::new();
        for state in self.describe(topics)? {
            let settings = native::topic_settings(self.through, &state.name)?;
            let fact = Fact {
                partitions: state.partitions,
                settings: settings.into_iter().collect(),
            };
            facts.insert(state.name, fact);
        }
        Ok(facts)
    }

    pub(super) fn apply(&self, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::Make {
                topic,
                partitions,
                replication,
                settings,
            } => native::create_topic(self.through, topic, *partitions, *replication, settings),
            Change::Configure { topic, settings } => native::configure_topic(self.through, topic, settings),
            Change::Delete { topic } => native::delete_topic(self.through, topic),
            Change::Allow(rules) => native::create_rules(self.through, rules),
            // Told, not done: a person has to see to it.
            Change::Grow { .. } | Change::Unwanted(_) => Ok(()),
        }
    }

    pub(super) fn rules(&self) -> Result<Vec<AccessRule>, Refusal> {
        native::rules(self.through)
    }
}

/// The wanted topics by their names on the cluster.
pub(super) fn planned(
    specs: &[TopicSpec],
    name: impl Fn(&model::TopicName) -> String,
    replication: Option<u16>,
) -> Vec<PlannedTopic> {
    specs
        .iter()
        .map(|spec| PlannedTopic {
            name: name(&spec.name),
            partitions: spec.partitions,
            replication,
            settings: settings_of(spec.clean_up),
        })
        .collect()
}
