use std::sync::LazyLock;
use std::time::Duration;

use model::{CleanUp, TopicName, TopicSpec};
use serde::{Deserialize, Serialize};

/// "Look at project N", from hooks.
pub const PUSH_EVENTS: TopicName = TopicName::from_static("renku.push-events.v1");
/// "Look at project N", from imports and rebuilds.
pub const PUSH_EVENTS_BACKFILL: TopicName = TopicName::from_static("renku.push-events-backfill.v1");
/// Facts.
pub const PROJECTS: TopicName = TopicName::from_static("renku.projects.v1");
/// Newest commits.
pub const COMMITS: TopicName = TopicName::from_static("renku.commits.v1");
/// Graphs.
pub const PROJECT_GRAPHS: TopicName = TopicName::from_static("renku.project-graphs.v1");
/// Progress.
pub const EVENT_STATUS: TopicName = TopicName::from_static("renku.event-status.v1");
/// Which projects take part.
pub const PROJECT_HOOKS: TopicName = TopicName::from_static("renku.project-hooks.v1");
/// Access tokens, sealed.
pub const PROJECT_TOKENS: TopicName = TopicName::from_static("renku.project-tokens.v1");
/// Access taken away on the word of a hook.
pub const ACCESS_DENIALS: TopicName = TopicName::from_static("renku.access-denials.v1");

/// A value that has a topic, a schema and a key.
pub trait TopicValue: Serialize + for<'de> Deserialize<'de> + Send {
    /// Its schema: the folder in `schemas/`.
    const SUBJECT: &'static str;
    /// The record's key. Compaction keeps the newest record of a key.
    fn key(&self) -> String;
    /// The bytes hashed to choose the partition: the decimal digits of the project's number, for what is of a project.
    fn partition_by(&self) -> String;
}

/// `topics/<topic>.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicDeclaration {
    /// The topic.
    pub topic: TopicName,
    /// What the key is, for people.
    pub key: String,
    /// What is hashed to choose the partition.
    pub partition_by: PartitionBy,
    /// How many.
    pub partitions: u32,
    /// Subject of the value's schema.
    pub value: String,
    /// What is forgotten.
    pub clean_up: CleanUpDeclaration,
    /// Roles.
    pub written_by: Vec<String>,
    /// Roles.
    pub read_by: Vec<String>,
    /// `false`: no lanes for retry and parking although a worker reads it.
    #[serde(default = "with_lanes")]
    lanes: bool,
}

fn with_lanes() -> bool {
    true
}

/// What of a record is hashed to choose its partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// The project's number, with which every key of such a topic begins; a `/` ends it.
    ProjectId,
    /// The whole key.
    Key,
}

impl PartitionBy {
    /// The bytes that are hashed, of a record with this key.
    pub fn of_key(self, key: &[u8]) -> &[u8] {
        match self {
            Self::Key => key,
            Self::ProjectId => key.split(|byte| *byte == b'/').next().unwrap_or(key),
        }
    }
}

/// `clean_up` of a declaration: `compact: true`, `delete: 7d`, or both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanUpDeclaration {
    #[serde(default)]
    compact: bool,
    delete: Option<String>,
}

impl TopicDeclaration {
    /// Does it have lanes for retry and parking? Those that a worker reads have, but where they say no.
    pub fn has_lanes(&self) -> bool {
        self.lanes && self.read_by.iter().any(|role| is_worker(role))
    }
}

/// Roles that read as a group, and put aside what they cannot do now.
pub fn is_worker(role: &str) -> bool {
    matches!(role, "commit-fetcher" | "triple-generator")
}

const DECLARATIONS: [&str; 9] = [
    include_str!("../../../topics/renku.push-events.v1.yaml"),
    include_str!("../../../topics/renku.push-events-backfill.v1.yaml"),
    include_str!("../../../topics/renku.projects.v1.yaml"),
    include_str!("../../../topics/renku.commits.v1.yaml"),
    include_str!("../../../topics/renku.project-graphs.v1.yaml"),
    include_str!("../../../topics/renku.event-status.v1.yaml"),
    include_str!("../../../topics/renku.project-hooks.v1.yaml"),
    include_str!("../../../topics/renku.project-tokens.v1.yaml"),
    include_str!("../../../topics/renku.access-denials.v1.yaml"),
];

/// How long retry and parked records are kept.
const LANE_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// The declarations of `topics/`, as built in.
pub fn declared_topics() -> &'static [TopicDeclaration] {
    static TOPICS: LazyLock<Vec<TopicDeclaration>> = LazyLock::new(|| {
        DECLARATIONS
            .iter()
            .filter_map(|text| serde_yaml_ng::from_str(text).ok())
            .collect()
    });
    &TOPICS
}

/// What a bus must have: every declared topic, and lanes for retry and parking beside each one that a worker works off.
pub fn topic_specs() -> Vec<TopicSpec> {
    let mut specs = Vec::new();
    for declaration in declared_topics() {
        let CleanUpDeclaration { compact, delete } = &declaration.clean_up;
        let age = delete.as_deref().and_then(days);
        let clean_up = match (compact, age) {
            (true, None) => CleanUp::Compact,
            (true, Some(age)) => CleanUp::CompactAndDelete(age),
            (false, age) => CleanUp::Delete(age.unwrap_or(LANE_RETENTION)),
        };
        specs.push(TopicSpec {
            name: declaration.topic.clone(),
            partitions: declaration.partitions,
            clean_up,
        });
        if declaration.has_lanes() {
            specs.extend(
                [retry(&declaration.topic), parked(&declaration.topic)].map(|name| TopicSpec {
                    name,
                    partitions: declaration.partitions,
                    clean_up: CleanUp::Delete(LANE_RETENTION),
                }),
            );
        }
    }
    specs
}

/// Where a topic's rejected records go.
pub fn parked(topic: &TopicName) -> TopicName {
    lane(topic, "parked")
}

/// Where a topic's records wait for another try.
pub fn retry(topic: &TopicName) -> TopicName {
    lane(topic, "retry")
}

fn lane(topic: &TopicName, suffix: &str) -> TopicName {
    // A declared name is far below the limit of 249 characters, so the fallback cannot be reached with one.
    format!("{topic}.{suffix}")
        .parse()
        .unwrap_or_else(|_| topic.clone())
}

fn days(text: &str) -> Option<Duration> {
    text.strip_suffix('d')?
        .parse::<u64>()
        .ok()
        .map(|days| Duration::from_secs(days * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declaration_is_built_in_and_right() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../topics");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut built_in: Vec<_> = DECLARATIONS
            .iter()
            .map(|text| {
                let declaration: TopicDeclaration = serde_yaml_ng::from_str(text).unwrap();
                assert!(
                    crate::all_schemas()
                        .iter()
                        .any(|s| s.subject == declaration.value),
                    "{} has no schema",
                    declaration.topic
                );
                if let Some(age) = &declaration.clean_up.delete {
                    assert!(days(age).is_some(), "{age}");
                }
                format!("{}.yaml", declaration.topic)
            })
            .collect();
        built_in.sort();
        assert_eq!(files, built_in);
    }

    #[test]
    fn project_topics_are_co_partitioned() {
        let of_projects = declared_topics()
            .iter()
            .filter(|topic| topic.partition_by == PartitionBy::ProjectId);
        let partitions: Vec<_> = of_projects.map(|topic| topic.partitions).collect();
        assert_eq!(partitions, [16; 8]);
    }

    #[test]
    fn a_key_says_what_is_hashed() {
        assert_eq!(PartitionBy::ProjectId.of_key(b"7/06d8"), b"7");
        assert_eq!(PartitionBy::ProjectId.of_key(b"7"), b"7");
        assert_eq!(PartitionBy::Key.of_key(b"group/7/user/3"), b"group/7/user/3");
    }

    #[test]
    fn tokens_are_in_no_lane() {
        let specs = topic_specs();
        assert!(specs.iter().any(|spec| spec.name == PROJECT_TOKENS));
        for lane in [retry(&PROJECT_TOKENS), parked(&PROJECT_TOKENS)] {
            assert!(!specs.iter().any(|spec| spec.name == lane), "{lane}");
        }
        assert!(specs.iter().any(|spec| spec.name == retry(&PROJECTS)));
    }
}
