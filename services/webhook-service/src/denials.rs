//! What hooks about groups and users take away, or have looked at again. Pure.
//!
//! A hook may be believed where it takes away: at worst somebody sees less until GitLab was asked. Where it gives, nothing is
//! given before GitLab said so.

use std::time::Duration;

use events::{AccessDenial, DenialScope, Envelope};
use gitlab::{GroupChange, GroupHook, GroupMemberHook, MemberChange, UserChange, UserHook};
use model::{AccessLevel, GroupId, StateVersion, Timestamp};

use crate::decide::hint;

/// By so much the clocks of processes may differ. A look that began before the hook, on a clock that is ahead, must not count
/// as one that came after it.
const SKEW: Duration = Duration::from_secs(5);

/// Denies, or only has projects looked at.
fn until(takes_away: bool, now: Timestamp) -> StateVersion {
    match takes_away {
        // Versions of facts are moments.
        true => StateVersion::new(now.plus(SKEW).micros_since_epoch()),
        false => StateVersion::default(),
    }
}

fn nothing(scope: DenialScope, hook: &str, now: Timestamp) -> AccessDenial {
    AccessDenial {
        envelope: Envelope::unlooked(now),
        scope,
        group_id: None,
        group_path: None,
        group_full_path: None,
        user_id: None,
        username: None,
        holds_until: StateVersion::default(),
        hook: hook.to_owned(),
    }
}

/// A level below guest reads nothing. Whoever keeps a level keeps what he sees; a new last day is GitLab's to tell.
pub(crate) fn of_member(member: &GroupMemberHook, now: Timestamp) -> Option<AccessDenial> {
    let reads = member
        .access_level
        .is_none_or(|level| level >= AccessLevel::GUEST);
    let (takes_away, hook) = match member.change {
        MemberChange::Added => (false, "user_add_to_group"),
        MemberChange::Updated => (!reads, "user_update_for_group"),
        MemberChange::Removed => (true, "user_remove_from_group"),
    };
    Some(AccessDenial {
        group_id: GroupId::new(member.group_id.into()).ok(),
        group_path: member.group_path.as_deref().map(hint),
        user_id: Some(member.user_id),
        holds_until: until(takes_away, now),
        ..nothing(DenialScope::GroupMember, hook, now)
    })
}

/// A group that is destroyed takes all its projects along. One that is renamed is found by the path that facts still have.
pub(crate) fn of_group(group: &GroupHook, now: Timestamp) -> Option<AccessDenial> {
    let (takes_away, path, hook) = match group.change {
        GroupChange::Created => return None,
        GroupChange::Destroyed => (true, &group.path, "group_destroy"),
        GroupChange::Renamed => (false, &group.old_path, "group_rename"),
    };
    Some(AccessDenial {
        group_id: GroupId::new(group.group_id.into()).ok(),
        group_full_path: path.as_deref().map(hint),
        holds_until: until(takes_away, now),
        ..nothing(DenialScope::Group, hook, now)
    })
}

/// A user who is destroyed sees nothing any more. One who is renamed has projects of another name.
pub(crate) fn of_user(user: &UserHook, now: Timestamp) -> Option<AccessDenial> {
    match user.change {
        UserChange::Created => None,
        UserChange::Destroyed => Some(AccessDenial {
            user_id: Some(user.user_id),
            username: user.username.as_deref().map(hint),
            holds_until: until(true, now),
            ..nothing(DenialScope::User, "user_destroy", now)
        }),
        UserChange::Renamed => Some(AccessDenial {
            user_id: Some(user.user_id),
            username: user.username.as_deref().map(hint),
            group_full_path: user.old_username.as_deref().map(hint),
            ..nothing(DenialScope::Group, "user_rename", now)
        }),
    }
}

#[cfg(test)]
mod tests {
    use model::UserId;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(77);

    #[test]
    fn what_takes_away_denies_and_what_gives_does_not() {
        let member = |change, level| GroupMemberHook {
            change,
            group_id: 3,
            group_path: Some("team".into()),
            user_id: UserId::new(9).unwrap(),
            access_level: level,
        };
        let guest = Some(AccessLevel::GUEST);
        for (change, level, takes_away, key) in [
            (MemberChange::Removed, guest, true, "group/3/user/9"),
            (MemberChange::Removed, None, true, "group/3/user/9"),
            (MemberChange::Added, guest, false, "look/group/3/user/9"),
            (MemberChange::Updated, guest, false, "look/group/3/user/9"),
            (MemberChange::Updated, None, false, "look/group/3/user/9"),
            (
                MemberChange::Updated,
                Some(AccessLevel(5)),
                true,
                "group/3/user/9",
            ),
        ] {
            let denial = of_member(&member(change, level), NOW).unwrap();
            assert_eq!(denial.takes_away(), takes_away, "{change:?} {level:?}");
            assert_eq!(denial.holds_until.get(), if takes_away { 5_000_077 } else { 0 });
            assert_eq!(events::TopicValue::key(&denial), key);
        }
    }

    #[test]
    fn groups_and_users() {
        let group = |change| GroupHook {
            change,
            group_id: 3,
            path: Some("new".into()),
            old_path: Some("old".into()),
        };
        assert_eq!(of_group(&group(GroupChange::Created), NOW), None);
        let gone = of_group(&group(GroupChange::Destroyed), NOW).unwrap();
        assert_eq!(
            (gone.takes_away(), gone.group_full_path.as_deref()),
            (true, Some("new"))
        );
        let renamed = of_group(&group(GroupChange::Renamed), NOW).unwrap();
        assert_eq!(
            (renamed.takes_away(), renamed.group_full_path.as_deref()),
            (false, Some("old"))
        );
        let user = |change| UserHook {
            change,
            user_id: UserId::new(9).unwrap(),
            username: Some("ada".into()),
            old_username: Some("old-ada".into()),
        };
        assert_eq!(of_user(&user(UserChange::Created), NOW), None);
        let gone = of_user(&user(UserChange::Destroyed), NOW).unwrap();
        assert_eq!((gone.takes_away(), gone.scope), (true, DenialScope::User));
        let renamed = of_user(&user(UserChange::Renamed), NOW).unwrap();
        assert_eq!(
            (renamed.takes_away(), renamed.group_full_path.as_deref()),
            (false, Some("old-ada"))
        );
    }
}
