use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::CleanUp;

use super::AccessRule;

/// A tombstone stays this long, the longest age that a view may have: an older view starts from empty.
const TOMBSTONES: Duration = Duration::from_secs(7 * 24 * 3600);

/// A superseded record stays at least this long, so that who reads along sees every record.
const SUPERSEDED_LEAST: Duration = Duration::from_secs(60);

/// A superseded record is gone after this long, if the cleaner keeps up.
const SUPERSEDED_MOST: Duration = Duration::from_secs(24 * 3600);

/// A topic as it should be, by its name on the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedTopic {
    /// The name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// Copies of each; `None`: the cluster's default.
    pub replication: Option<u16>,
    /// The settings that matter to us.
    pub settings: Vec<(String, String)>,
}

/// A topic as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fact {
    /// How many partitions.
    pub partitions: u32,
    /// All settings in force.
    pub settings: BTreeMap<String, String>,
}

/// What to do to a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Make a topic.
    Make {
        /// Its name.
        topic: String,
        /// How many partitions.
        partitions: u32,
        /// Copies of each; `None`: the cluster's default.
        replication: Option<u16>,
        /// Its settings.
        settings: Vec<(String, String)>,
    },
    /// Change settings of a topic.
    Configure {
        /// Its name.
        topic: String,
        /// Only those that differ.
        settings: Vec<(String, String)>,
    },
    /// Never done: a key would move to another partition. A new version of the topic is needed.
    Grow {
        /// Its name.
        topic: String,
        /// What it has.
        have: u32,
        /// What is declared.
        want: u32,
    },
    /// Delete a topic. Planned only for names that were given twice.
    Delete {
        /// Its name.
        topic: String,
    },
    /// Allow these.
    Allow(Vec<AccessRule>),
    /// Told, not done: these allow one of our principals what it need not do. A person has to take them away.
    Unwanted(Vec<AccessRule>),
}

/// The settings of a topic that follow from its clean-up rule.
pub fn settings_of(clean_up: CleanUp) -> Vec<(String, String)> {
    let millis = |age: Duration| age.as_millis().to_string();
    let mut settings = Vec::new();
    let mut set = |key: &str, value: String| settings.push((key.to_owned(), value));
    let age = match clean_up {
        CleanUp::Delete(age) => {
            set("cleanup.policy", "delete".to_owned());
            Some(age)
        }
        CleanUp::Compact => {
            set("cleanup.policy", "compact".to_owned());
            None
        }
        CleanUp::CompactAndDelete(age) => {
            set("cleanup.policy", "compact,delete".to_owned());
            Some(age)
        }
    };
    if let Some(age) = age {
        set("retention.ms", millis(age));
    }
    if !matches!(clean_up, CleanUp::Delete(_)) {
        set("delete.retention.ms", millis(TOMBSTONES));
        set("min.compaction.lag.ms", millis(SUPERSEDED_LEAST));
        set("max.compaction.lag.ms", millis(SUPERSEDED_MOST));
    }
    set("message.timestamp.type", "CreateTime".to_owned());
    settings
}

/// What has to be done so that the cluster has what is declared. `rules` are wanted and `allowed` are there;
/// `delete` has topics that are to go, and `confirmed` the same names again: only what is in both is deleted, and
/// nothing that is declared ever is.
pub fn plan(
    wanted: &[PlannedTopic],
    facts: &BTreeMap<String, Fact>,
    rules: &[AccessRule],
    allowed: &[AccessRule],
    delete: &[String],
    confirmed: &[String],
) -> Vec<Change> {
    let mut changes = Vec::new();
    for topic in wanted {
        let Some(fact) = facts.get(&topic.name) else {
            changes.push(Change::Make {
                topic: topic.name.clone(),
                partitions: topic.partitions,
                replication: topic.replication,
                settings: topic.settings.clone(),
            });
            continue;
        };
        if fact.partitions != topic.partitions {
            changes.push(Change::Grow {
                topic: topic.name.clone(),
                have: fact.partitions,
                want: topic.partitions,
            });
        }
        let differing: Vec<_> = topic
            .settings
            .iter()
            .filter(|(key, value)| !same(key, fact.settings.get(key), value))
            .cloned()
            .collect();
        if !differing.is_empty() {
            changes.push(Change::Configure {
                topic: topic.name.clone(),
                settings: differing,
            });
        }
    }
    for topic in delete {
        let declared = wanted.iter().any(|wanted| wanted.name == *topic);
        if !declared && confirmed.contains(topic) && facts.contains_key(topic) {
            changes.push(Change::Delete { topic: topic.clone() });
        }
    }
    let missing: BTreeSet<_> = rules
        .iter()
        .filter(|rule| !allowed.contains(rule))
        .cloned()
        .collect();
    if !missing.is_empty() {
        changes.push(Change::Allow(missing.into_iter().collect()));
    }
    let ours: BTreeSet<_> = rules.iter().map(|rule| &rule.principal).collect();
    let unwanted: BTreeSet<_> = allowed
        .iter()
        .filter(|rule| ours.contains(&rule.principal) && !rules.contains(rule))
        .cloned()
        .collect();
    if !unwanted.is_empty() {
        changes.push(Change::Unwanted(unwanted.into_iter().collect()));
    }
    changes
}

/// The order in a list of policies means nothing.
fn same(key: &str, have: Option<&String>, want: &str) -> bool {
    let Some(have) = have else { return false };
    if key != "cleanup.policy" {
        return have == want;
    }
    let set = |text: &str| {
        text.split(',')
            .map(|p| p.trim().to_owned())
            .collect::<BTreeSet<_>>()
    };
    set(have) == set(want)
}

#[cfg(test)]
mod tests {
    use super::super::{Operation, Resource};
    use super::*;

    fn topic(clean_up: CleanUp) -> PlannedTopic {
        PlannedTopic {
            name: "t".to_owned(),
            partitions: 4,
            replication: Some(3),
            settings: settings_of(clean_up),
        }
    }

    fn fact(topic: &PlannedTopic) -> BTreeMap<String, Fact> {
        let settings = topic.settings.iter().cloned().collect();
        let fact = Fact {
            partitions: topic.partitions,
            settings,
        };
        [(topic.name.clone(), fact)].into()
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_missing_topic_is_made_and_a_right_one_left_alone() {
        let wanted = [topic(CleanUp::Compact)];
        let made = plan(&wanted, &BTreeMap::new(), &[], &[], &[], &[]);
        assert!(
            matches!(&made[..], [Change::Make { partitions: 4, replication: Some(3), settings, .. }]
            if settings.contains(&("cleanup.policy".to_owned(), "compact".to_owned())))
        );
        assert_eq!(plan(&wanted, &fact(&wanted[0]), &[], &[], &[], &[]), []);
    }

    #[test]
    fn only_what_differs_is_set() {
        let wanted = topic(CleanUp::CompactAndDelete(DAY * 180));
        let mut facts = fact(&wanted);
        let settings = &mut facts.get_mut("t").unwrap().settings;
        settings.insert("cleanup.policy".to_owned(), "delete, compact".to_owned());
        settings.insert("retention.ms".to_owned(), "1".to_owned());
        settings.insert("segment.ms".to_owned(), "5".to_owned());
        let changes = plan(&[wanted], &facts, &[], &[], &[], &[]);
        let expected = Change::Configure {
            topic: "t".to_owned(),
            settings: vec![("retention.ms".to_owned(), (DAY * 180).as_millis().to_string())],
        };
        assert_eq!(changes, [expected]);
    }

    #[test]
    fn partitions_are_never_added() {
        let wanted = topic(CleanUp::Delete(DAY));
        let mut facts = fact(&wanted);
        facts.get_mut("t").unwrap().partitions = 2;
        let changes = plan(&[wanted], &facts, &[], &[], &[], &[]);
        assert!(matches!(&changes[..], [Change::Grow { have: 2, want: 4, .. }]));
    }

    #[test]
    fn only_what_was_named_twice_goes_and_nothing_declared() {
        let wanted = [topic(CleanUp::Compact)];
        let mut facts = fact(&wanted[0]);
        facts.insert("old".to_owned(), Fact::default());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let told = |delete: &[&str], confirmed: &[&str]| {
            plan(&wanted, &facts, &[], &[], &names(delete), &names(confirmed))
        };
        assert_eq!(told(&["old"], &[]), []);
        assert_eq!(told(&["old"], &["older"]), []);
        assert_eq!(told(&["t"], &["t"]), []);
        assert_eq!(
            told(&["old"], &["old"]),
            [Change::Delete {
                topic: "old".to_owned()
            }]
        );
    }

    #[test]
    fn only_missing_rules_are_made() {
        let rule = |operation| AccessRule {
            principal: "User:commit-fetcher".to_owned(),
            resource: Resource::Topic("t".to_owned()),
            operation,
        };
        let wanted = [rule(Operation::Read), rule(Operation::Write)];
        let changes = plan(&[], &BTreeMap::new(), &wanted, &wanted[..1], &[], &[]);
        assert_eq!(changes, [Change::Allow(vec![rule(Operation::Write)])]);
    }

    #[test]
    fn rules_that_our_principals_need_no_more_are_told() {
        let rule = |principal: &str, operation| AccessRule {
            principal: principal.to_owned(),
            resource: Resource::Topic("t".to_owned()),
            operation,
        };
        let wanted = [rule("User:a", Operation::Read)];
        let old = rule("User:a", Operation::Write);
        let allowed = [
            wanted[0].clone(),
            old.clone(),
            rule("User:monitor", Operation::Read),
        ];
        let changes = plan(&[], &BTreeMap::new(), &wanted, &allowed, &[], &[]);
        assert_eq!(changes, [Change::Unwanted(vec![old])]);
    }
}
