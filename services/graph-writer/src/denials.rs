//! From what a hook took away to what the view subtracts. Pure.

use access::{Denial, GroupPath};
use events::{AccessDenial, DenialScope};

/// Where it is not said, or not understood, of which group, it is of every one: a denial may take too much, never too little.
pub(crate) fn of(record: &AccessDenial) -> Denial {
    let path = record.group_full_path.as_deref().or(record.group_path.as_deref());
    let below = path.and_then(GroupPath::new);
    let (user, below, signed_in) = match record.scope {
        DenialScope::GroupMember => (record.user_id, below, false),
        DenialScope::Group => (None, below, false),
        DenialScope::User => (record.user_id, None, true),
        DenialScope::Unknown => match record.user_id {
            Some(user) => (Some(user), None, true),
            None => (None, below, false),
        },
    };
    Denial {
        user,
        below,
        signed_in,
        version: record.holds_until,
    }
}

#[cfg(test)]
mod tests {
    use events::Envelope;
    use model::{GroupId, StateVersion, Timestamp, UserId};

    use super::*;

    #[test]
    fn what_is_not_understood_takes_more() {
        let record = |scope, user: bool, path: Option<&str>| AccessDenial {
            envelope: Envelope::unlooked(Timestamp::default()),
            scope,
            group_id: GroupId::new(3).ok(),
            group_path: path.map(str::to_owned),
            group_full_path: None,
            user_id: user.then(|| UserId::new(9).unwrap()),
            username: None,
            holds_until: StateVersion::new(5),
            hook: String::new(),
        };
        let team = GroupPath::new("team");
        for (scope, user, path, wanted) in [
            (
                DenialScope::GroupMember,
                true,
                Some("team"),
                (true, team.clone(), false),
            ),
            (DenialScope::GroupMember, true, None, (true, None, false)),
            (
                DenialScope::Group,
                false,
                Some("team"),
                (false, team.clone(), false),
            ),
            (DenialScope::User, true, None, (true, None, true)),
            (DenialScope::Unknown, true, Some("team"), (true, None, true)),
            (DenialScope::Unknown, false, Some("team"), (false, team, false)),
        ] {
            let denial = of(&record(scope, user, path));
            assert_eq!(
                (denial.user.is_some(), denial.below, denial.signed_in),
                wanted,
                "{scope:?}"
            );
        }
    }
}
