use model::{Day, ProjectId, Visibility};

use crate::{Caller, Grant};

/// What the decision needs to know of one project that exists (one that is gone has no such facts).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProjectAccess {
    /// The project.
    pub project: ProjectId,
    /// As GitLab has it.
    pub visibility: Visibility,
    /// The caller's own membership.
    pub membership: Option<Membership>,
    /// What hooks say is gone and GitLab was not asked of since.
    pub denied: Denied,
}

impl ProjectAccess {
    /// A project that the caller is no member of.
    pub fn of(project: ProjectId, visibility: Visibility) -> Self {
        Self {
            project,
            visibility,
            membership: None,
            denied: Denied::Nothing,
        }
    }
}

/// A user is member of a project.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The first day without access; none: no end.
    pub until: Option<Day>,
}

/// What a caller is denied of a project, from less to more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Denied {
    /// Nothing.
    #[default]
    Nothing,
    /// To be a member.
    Membership,
    /// To see more than somebody who is not signed in.
    SignedIn,
}

/// A state of the facts on one day. A set is good for reads of that state only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Names the state of the facts.
    pub epoch: u64,
    /// Memberships end at the beginning of a day.
    pub today: Day,
}

/// The projects that a caller may see, by the facts of one snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VisibleSet {
    caller: Caller,
    moment: Moment,
    projects: Vec<ProjectId>,
}

impl VisibleSet {
    /// Decides.
    pub fn decide(caller: Caller, moment: Moment, facts: impl IntoIterator<Item = ProjectAccess>) -> Self {
        let mut projects: Vec<_> = facts
            .into_iter()
            .filter(|access| why(&caller, moment.today, access).may_see())
            .map(|access| access.project)
            .collect();
        projects.sort_unstable();
        projects.dedup();
        Self {
            caller,
            moment,
            projects,
        }
    }

    /// Whose set it is.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The state of the facts that it was decided by.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Whether the caller may see it.
    pub fn contains(&self, project: ProjectId) -> bool {
        self.projects.binary_search(&project).is_ok()
    }

    /// Whether the caller may see all that he may see by another set.
    pub fn contains_all(&self, other: &Self) -> bool {
        let mut own = self.projects.iter();
        other.projects.iter().all(|project| own.any(|own| own == project))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ProjectId> + '_ {
        self.projects.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.projects.len()
    }

    /// Whether nothing is visible.
    pub fn is_empty(&self) -> bool {
        self.projects.is_empty()
    }
}

/// Why a caller may see a project, or may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It is public.
    Public,
    /// It is internal and the caller is signed in.
    SignedIn,
    /// The caller is a member.
    Member,
    /// The service's token names it.
    Granted,
    /// The caller is the administrator, and asked as such.
    Administrator,
    /// It is the canary, and the caller its prober.
    Canary,
    /// A hook said that this was taken away; GitLab was not asked since.
    Denied,
    /// The caller's membership is over.
    Expired,
    /// None of the above.
    Nothing,
}

impl Why {
    /// Whether this lets the caller see it.
    pub const fn may_see(self) -> bool {
        !matches!(self, Self::Denied | Self::Expired | Self::Nothing)
    }

    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::SignedIn => "signed-in",
            Self::Member => "member",
            Self::Granted => "granted",
            Self::Administrator => "administrator",
            Self::Canary => "canary",
            Self::Denied => "denied",
            Self::Expired => "membership-expired",
            Self::Nothing => "not-a-member",
        }
    }
}

/// Decides about one project: the one place where it is said who may see what.
pub fn why(caller: &Caller, today: Day, access: &ProjectAccess) -> Why {
    match (caller, access.project == ProjectId::CANARY) {
        (Caller::Prober, true) => return Why::Canary,
        // For all others the canary is a private project of nobody, by the same rules as any: else it would not tell
        // when these rules fail.
        (Caller::Prober, false) | (Caller::Administrator, true) => return Why::Nothing,
        (Caller::Administrator, false) => return Why::Administrator,
        _ if access.visibility == Visibility::Public => return Why::Public,
        _ => {}
    }
    match caller {
        Caller::User(_) => of_user(today, access, access.visibility == Visibility::Internal),
        // GitLab: external users see of internal projects those that they are members of, as of private ones.
        Caller::External(_) => of_user(today, access, false),
        Caller::Service(service) => match (&service.grant, access.visibility) {
            _ if access.denied == Denied::SignedIn => Why::Denied,
            (Grant::Internal, Visibility::Internal) => Why::SignedIn,
            (Grant::Projects(projects), _) if projects.binary_search(&access.project).is_ok() => Why::Granted,
            _ => Why::Nothing,
        },
        _ => Why::Nothing,
    }
}

/// `internal`: signing in is enough.
fn of_user(today: Day, access: &ProjectAccess, internal: bool) -> Why {
    let member = access.membership;
    if internal && access.denied < Denied::SignedIn {
        return Why::SignedIn;
    }
    match member {
        _ if access.denied > Denied::Nothing && (internal || member.is_some()) => Why::Denied,
        Some(Membership { until: Some(day) }) if today >= day => Why::Expired,
        Some(_) => Why::Member,
        None => Why::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::UserId;

    use super::*;
    use crate::ServiceScope;

    fn id(number: i64) -> ProjectId {
        ProjectId::new(number).unwrap()
    }

    fn user() -> Caller {
        Caller::User(UserId::new(1).unwrap())
    }

    fn service(grant: Grant) -> Caller {
        Caller::Service(Arc::new(ServiceScope {
            name: "s".into(),
            grant,
        }))
    }

    const TODAY: Day = Day::from_number(100);

    fn moment() -> Moment {
        Moment {
            epoch: 7,
            today: TODAY,
        }
    }

    #[test]
    fn each_caller_sees_his_own() {
        let mut facts = [
            (3, Visibility::Public),
            (1, Visibility::Private),
            (2, Visibility::Internal),
            (4, Visibility::Private),
        ]
        .map(|(number, visibility)| ProjectAccess::of(id(number), visibility));
        let see = |caller, facts: &[ProjectAccess]| {
            VisibleSet::decide(caller, moment(), facts.iter().copied())
                .iter()
                .map(ProjectId::get)
                .collect::<Vec<_>>()
        };
        assert_eq!(see(Caller::Anonymous, &facts), [3]);
        assert_eq!(see(user(), &facts), [2, 3]);
        assert_eq!(see(service(Grant::Public), &facts), [3]);
        assert_eq!(see(service(Grant::Internal), &facts), [2, 3]);
        assert_eq!(
            see(service(Grant::Projects(vec![id(2), id(4)])), &facts),
            [2, 3, 4]
        );
        assert_eq!(see(Caller::Administrator, &facts), [1, 2, 3, 4]);
        assert!(see(Caller::Prober, &facts).is_empty());
        let external = || Caller::External(UserId::new(1).unwrap());
        assert_eq!(see(external(), &facts), [3]);
        facts[1].membership = Some(Membership { until: None });
        assert_eq!(see(user(), &facts), [1, 2, 3]);
        assert_eq!(see(external(), &facts), [1, 3]);
        facts[2].membership = Some(Membership { until: None });
        assert_eq!(see(external(), &facts), [1, 2, 3]);
        facts[2].denied = Denied::Membership;
        assert_eq!(see(external(), &facts), [1, 3]);
        assert_eq!(see(user(), &facts), [1, 2, 3]);
    }

    #[test]
    fn nobody_but_the_prober_sees_the_canary() {
        let canary = ProjectAccess::of(ProjectId::CANARY, Visibility::Private);
        let callers = [
            Caller::Anonymous,
            Caller::Administrator,
            user(),
            service(Grant::Internal),
        ];
        for caller in callers {
            assert!(!why(&caller, TODAY, &canary).may_see(), "{caller:?}");
        }
        assert!(why(&Caller::Prober, TODAY, &canary).may_see());
    }

    #[test]
    fn memberships_end_and_denials_take_away() {
        let table = [
            (Visibility::Private, Some(None), Denied::Nothing, Why::Member),
            (Visibility::Private, Some(Some(101)), Denied::Nothing, Why::Member),
            (
                Visibility::Private,
                Some(Some(100)),
                Denied::Nothing,
                Why::Expired,
            ),
            (Visibility::Private, Some(None), Denied::Membership, Why::Denied),
            (Visibility::Private, None, Denied::Membership, Why::Nothing),
            (Visibility::Internal, None, Denied::Membership, Why::SignedIn),
            (Visibility::Internal, Some(None), Denied::SignedIn, Why::Denied),
            (Visibility::Internal, None, Denied::SignedIn, Why::Denied),
            (Visibility::Public, None, Denied::SignedIn, Why::Public),
        ];
        for (visibility, member, denied, wanted) in table {
            let access = ProjectAccess {
                membership: member.map(|until| Membership {
                    until: until.map(Day::from_number),
                }),
                denied,
                ..ProjectAccess::of(id(1), visibility)
            };
            assert_eq!(why(&user(), TODAY, &access), wanted, "{access:?}");
        }
    }

    #[test]
    fn sets_are_compared() {
        let set = |numbers: &[i64]| {
            let facts = numbers
                .iter()
                .map(|number| ProjectAccess::of(id(*number), Visibility::Public));
            VisibleSet::decide(Caller::Anonymous, moment(), facts)
        };
        assert!(set(&[1, 2, 3]).contains_all(&set(&[1, 3])));
        assert!(set(&[1]).contains_all(&set(&[])));
        assert!(!set(&[1, 3]).contains_all(&set(&[1, 2])));
        assert!(!set(&[]).contains_all(&set(&[2])));
    }
}
