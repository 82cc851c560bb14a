use model::{Slug, StateVersion, UserId};

use crate::Denied;

/// What a hook says is gone, at once and before GitLab is asked. It only takes away, so the hook may be believed. It holds for
/// each project until there are facts of it of a later version. What is public stays so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// From whom; none: from everybody.
    pub user: Option<UserId>,
    /// Where; none: everywhere.
    pub below: Option<GroupPath>,
    /// Takes from a user also what everybody who is signed in sees: he is blocked, or no more.
    pub signed_in: bool,
    /// Facts of this version or an earlier one may still grant what is gone.
    pub version: StateVersion,
}

/// Path of a group: whole segments, joined by `/`. GitLab's hooks give the last segment only, so it may be a part of the whole.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GroupPath(Box<str>);

impl GroupPath {
    /// Takes a path as a hook gives it; none: it has no segment, or an empty one.
    pub fn new(path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let fits = path.len() <= 1024 && path.split('/').all(|segment| !segment.is_empty());
        fits.then(|| Self(path.to_lowercase().into()))
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a project is, or may be, below the group. GitLab's paths do not differ in case alone.
    pub fn holds(&self, project: &Slug) -> bool {
        let namespace = project.namespace().to_lowercase();
        let mut rest = &namespace[..];
        loop {
            match rest.strip_prefix(&*self.0) {
                Some(after) if after.is_empty() || after.starts_with('/') => return true,
                _ => match rest.split_once('/') {
                    Some((_, deeper)) => rest = deeper,
                    None => return false,
                },
            }
        }
    }
}

impl Denial {
    /// What this takes from a user (none: somebody without a number) of a project whose facts are of `facts`.
    pub fn takes(&self, user: Option<UserId>, project: &Slug, facts: StateVersion) -> Denied {
        let held = facts > self.version || self.below.as_ref().is_some_and(|below| !below.holds(project));
        match self.user {
            _ if held => Denied::Nothing,
            None => Denied::SignedIn,
            Some(_) if self.user != user => Denied::Nothing,
            Some(_) if self.signed_in => Denied::SignedIn,
            Some(_) => Denied::Membership,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_what_may_be_below_them() {
        let holds = |group: &str, slug: &str| GroupPath::new(group).unwrap().holds(&slug.parse().unwrap());
        for (group, slug) in [
            ("a", "a/p"),
            ("A", "a/b/p"),
            ("b", "a/B/p"),
            ("a/b", "a/b/c/p"),
            ("b/c", "a/b/c/p"),
        ] {
            assert!(holds(group, slug), "{group} {slug}");
        }
        for (group, slug) in [
            ("p", "a/p"),
            ("a", "ab/p"),
            ("b", "a/bb/p"),
            ("a/c", "a/b/c/p"),
            ("b/p", "a/b/p"),
        ] {
            assert!(!holds(group, slug), "{group} {slug}");
        }
        assert_eq!(GroupPath::new(""), None);
        assert_eq!(GroupPath::new("a//b"), None);
    }

    #[test]
    fn denials_hold_until_later_facts() {
        let user = UserId::new(3).unwrap();
        let slug = "a/p".parse().unwrap();
        let version = StateVersion::new(10);
        let denial = |who, below: Option<&str>| Denial {
            user: who,
            below: below.and_then(GroupPath::new),
            signed_in: who.is_some() && below.is_none(),
            version,
        };
        let group = denial(Some(user), Some("a"));
        assert_eq!(group.takes(Some(user), &slug, version), Denied::Membership);
        assert_eq!(
            group.takes(Some(user), &slug, StateVersion::new(11)),
            Denied::Nothing
        );
        assert_eq!(group.takes(UserId::new(4).ok(), &slug, version), Denied::Nothing);
        assert_eq!(group.takes(None, &slug, version), Denied::Nothing);
        assert_eq!(
            denial(Some(user), Some("b")).takes(Some(user), &slug, version),
            Denied::Nothing
        );
        assert_eq!(
            denial(Some(user), None).takes(Some(user), &slug, version),
            Denied::SignedIn
        );
        assert_eq!(
            denial(None, Some("a")).takes(None, &slug, version),
            Denied::SignedIn
        );
    }
}
