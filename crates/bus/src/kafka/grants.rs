//! Who may do what, as the declarations of topics say: one principal a role.

use events::{TopicDeclaration, is_worker, parked, retry};
use model::TopicName;

use super::admin::Operation;

/// Looks at what is parked, and has it done again or dropped.
const OPERATOR: &str = "operator";

/// One right of one role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The role, which is its principal's name.
    pub role: String,
    /// On what.
    pub on: Granted,
    /// Which.
    pub operation: Operation,
}

/// What a right is on, by our names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Granted {
    /// A topic.
    Topic(TopicName),
    /// A group.
    Group(String),
    /// The name that all readers give. Nobody joins it.
    Readers,
}

/// The rights that follow from `written_by` and `read_by`.
pub fn grants(declared: &[TopicDeclaration]) -> Vec<Grant> {
    let mut grants = Vec::new();
    let mut grant = |role: &str, on: Granted, operation| {
        grants.push(Grant {
            role: role.to_owned(),
            on,
            operation,
        });
    };
    for topic in declared {
        for role in &topic.written_by {
            grant(role, Granted::Topic(topic.topic.clone()), Operation::Write);
        }
        for role in &topic.read_by {
            grant(role, Granted::Topic(topic.topic.clone()), Operation::Read);
            grant(role, Granted::Readers, Operation::Read);
            if !is_worker(role) {
                continue;
            }
            grant(role, Granted::Group(role.clone()), Operation::Read);
            grant(OPERATOR, Granted::Readers, Operation::Read);
            if !topic.has_lanes() {
                continue;
            }
            for lane in [retry(&topic.topic), parked(&topic.topic)] {
                for operation in [Operation::Read, Operation::Write] {
                    grant(role, Granted::Topic(lane.clone()), operation);
                    grant(OPERATOR, Granted::Topic(lane.clone()), operation);
                }
            }
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [&str; 6] = [
        "webhook-service",
        "commit-fetcher",
        "triple-generator",
        "graph-writer",
        "query-service",
        OPERATOR,
    ];

    fn may(role: &str, topic: &TopicName, operation: Operation) -> bool {
        grants(events::declared_topics()).contains(&Grant {
            role: role.to_owned(),
            on: Granted::Topic(topic.clone()),
            operation,
        })
    }

    fn who_may(topic: &TopicName, operation: Operation) -> Vec<&'static str> {
        ROLES
            .into_iter()
            .filter(|role| may(role, topic, operation))
            .collect()
    }

    #[test]
    fn rules_follow_the_declarations() {
        assert!(may("graph-writer", &events::PROJECTS, Operation::Read));
        assert_eq!(who_may(&events::PROJECTS, Operation::Write), ["commit-fetcher"]);
        let lane = parked(&events::PUSH_EVENTS);
        for operation in [Operation::Read, Operation::Write] {
            assert_eq!(who_may(&lane, operation), ["commit-fetcher", OPERATOR]);
        }
        assert_eq!(who_may(&events::PUSH_EVENTS, Operation::Read), ["commit-fetcher"]);
    }

    #[test]
    fn tokens_are_for_their_writer_and_their_reader_alone() {
        let tokens = events::PROJECT_TOKENS;
        assert_eq!(who_may(&tokens, Operation::Read), ["commit-fetcher"]);
        assert_eq!(who_may(&tokens, Operation::Write), ["webhook-service"]);
        for lane in [retry(&tokens), parked(&tokens)] {
            assert!(who_may(&lane, Operation::Read).is_empty());
            assert!(who_may(&lane, Operation::Write).is_empty());
        }
    }
}
