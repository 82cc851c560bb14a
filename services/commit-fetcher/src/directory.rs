//! Which projects a denial concerns: all projects by what their facts say. Pure.

use std::collections::BTreeMap;

use access::GroupPath;
use bus::Record;
use events::{AccessDenial, Decoder, DenialScope, LookReason, ProjectRecord, PushEvent};
use model::{Generation, ProjectId, Slug, StateVersion, Timestamp, UserId};

use crate::request::project_of;

/// What is kept of the facts of a project.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    version: StateVersion,
    slug: Slug,
    /// Sorted.
    members: Vec<UserId>,
}

/// Projects that exist.
#[derive(Debug, Default)]
pub struct Directory(BTreeMap<ProjectId, Entry>);

impl Directory {
    /// Takes in a record of facts. One that cannot be read takes nothing away: its project is looked at by what was known.
    pub fn take(&mut self, decoder: &Decoder, record: &Record) {
        match bus::value_of::<ProjectRecord>(decoder, record) {
            Ok(Some(facts)) => self.put(facts),
            Ok(None) => {
                if let Some(project) = project_of(&record.key) {
                    self.0.remove(&project);
                }
            }
            Err(error) => tracing::warn!(%error, "facts cannot be read"),
        }
    }

    fn put(&mut self, facts: ProjectRecord) {
        let (project, version) = (facts.project_id, facts.state_version());
        if self.0.get(&project).is_some_and(|known| known.version > version) {
            return;
        }
        match facts.state {
            None => drop(self.0.remove(&project)),
            Some(state) => {
                let mut members: Vec<_> = state.members.iter().map(|member| member.user_id).collect();
                members.sort_unstable();
                let slug = state.slug;
                self.0.insert(
                    project,
                    Entry {
                        version,
                        slug,
                        members,
                    },
                );
            }
        }
    }

    /// Events that have every project looked at again that a denial concerns and whose facts are not later than it.
    pub fn looks(&self, denial: &AccessDenial, written: Timestamp) -> Vec<PushEvent> {
        // One that takes nothing away is answered by facts that are later than itself.
        let moment = Generation::new(written.micros_since_epoch());
        let until = match denial.takes_away() {
            true => denial.holds_until,
            false => moment,
        };
        let path = denial.group_full_path.as_deref().or(denial.group_path.as_deref());
        let below = path.and_then(GroupPath::new);
        let is_below = |entry: &Entry| below.as_ref().is_none_or(|below| below.holds(&entry.slug));
        let is_member = |entry: &Entry| {
            denial
                .user_id
                .is_some_and(|user| entry.members.binary_search(&user).is_ok())
        };
        let concerns = |entry: &Entry| match denial.scope {
            // Whoever is added is no member yet.
            DenialScope::GroupMember if denial.takes_away() => is_below(entry) && is_member(entry),
            DenialScope::GroupMember | DenialScope::Group => is_below(entry),
            DenialScope::User | DenialScope::Unknown => is_member(entry) || denial.user_id.is_none(),
        };
        self.0
            .iter()
            .filter(|(_, entry)| entry.version <= until && concerns(entry))
            .map(|(project, entry)| {
                let mut event = PushEvent::new(*project, LookReason::System, written);
                event.hook = Some(denial.hook.clone());
                event.slug = Some(entry.slug.to_string());
                // Facts of this version are written even if they say nothing new.
                event.envelope.generation = Generation::new(until.get() + 1);
                event
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use events::{Envelope, Member};
    use model::{AccessLevel, GroupId};

    use super::*;
    use crate::samples;

    const WRITTEN: Timestamp = Timestamp::from_micros(100);

    fn user(number: i64) -> UserId {
        UserId::new(number).unwrap()
    }

    fn directory() -> Directory {
        let mut directory = Directory::default();
        for (id, slug, version, members) in [
            (1, "team/a", 50, &[7, 9][..]),
            (2, "team/sub/b", 50, &[9]),
            (3, "other/c", 50, &[9]),
            (4, "team/d", 200, &[9]),
            (5, "team/e", 50, &[7]),
        ] {
            let mut facts = samples::facts(id, slug, Some("main"));
            facts.envelope.state_version = StateVersion::new(version);
            facts.state.as_mut().unwrap().members = members
                .iter()
                .map(|number| Member {
                    user_id: user(*number),
                    access_level: AccessLevel::GUEST,
                    expires_at: None,
                    username: "u".into(),
                    name: "U".into(),
                })
                .collect();
            directory.put(facts);
        }
        directory
    }

    fn denial(scope: DenialScope, group: Option<&str>, of: Option<i64>, until: u64) -> AccessDenial {
        AccessDenial {
            envelope: Envelope::unlooked(WRITTEN),
            scope,
            group_id: GroupId::new(3).ok(),
            group_path: group.map(str::to_owned),
            group_full_path: None,
            user_id: of.map(user),
            username: None,
            holds_until: StateVersion::new(until),
            hook: "hook".into(),
        }
    }

    #[test]
    fn those_concerned_are_looked_at() {
        use DenialScope::{Group, GroupMember, User};
        for (scope, group, of, until, projects) in [
            (GroupMember, Some("team"), Some(9), 100, &[1, 2][..]),
            (GroupMember, Some("sub"), Some(9), 100, &[2]),
            (GroupMember, Some("team"), Some(9), 300, &[1, 2, 4]),
            (GroupMember, Some("team"), Some(8), 100, &[]),
            // Added: everything below, member or not.
            (GroupMember, Some("team"), Some(8), 0, &[1, 2, 5]),
            (Group, Some("team"), None, 100, &[1, 2, 5]),
            (Group, Some("nobody"), None, 100, &[]),
            (User, None, Some(7), 100, &[1, 5]),
        ] {
            let looks = directory().looks(&denial(scope, group, of, until), WRITTEN);
            let told: Vec<_> = looks
                .iter()
                .map(|look| i64::from(look.project_id.get()))
                .collect();
            assert_eq!(told, projects, "{scope:?} {group:?} {of:?} {until}");
            let floor = if until == 0 { 101 } else { until + 1 };
            assert!(looks.iter().all(|look| look.envelope.generation.get() == floor));
        }
    }

    #[test]
    fn the_latest_facts_are_known() {
        let mut directory = directory();
        let mut older = samples::facts(1, "moved/a", Some("main"));
        older.envelope.state_version = StateVersion::new(49);
        directory.put(older);
        let all = denial(DenialScope::Group, Some("team"), None, 100);
        assert_eq!(directory.looks(&all, WRITTEN).len(), 3);
        let mut gone = samples::facts(1, "team/a", Some("main"));
        gone.envelope.state_version = StateVersion::new(51);
        gone.state = None;
        directory.put(gone);
        assert_eq!(directory.looks(&all, WRITTEN).len(), 2);
    }
}
