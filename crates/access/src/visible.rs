use model::{ProjectId, Visibility};

use crate::Caller;

/// What the decision needs to know of one project that exists (one that is gone has no such facts).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProjectAccess {
    /// The project.
    pub project: ProjectId,
    /// As GitLab has it.
    pub visibility: Visibility,
}

/// The projects that a caller may see, by the facts of one snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VisibleSet {
    caller: Caller,
    epoch: u64,
    projects: Vec<ProjectId>,
}

impl VisibleSet {
    /// Decides. `epoch` names the state of the facts; a set is good for reads of that state only.
    pub fn decide(caller: Caller, epoch: u64, facts: impl IntoIterator<Item = ProjectAccess>) -> Self {
        let mut projects: Vec<_> = facts
            .into_iter()
            .filter(|access| may_see(caller, access.visibility))
            .map(|access| access.project)
            .collect();
        projects.sort_unstable();
        projects.dedup();
        Self {
            caller,
            epoch,
            projects,
        }
    }

    /// Whose set it is.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// The state of the facts that it was decided by.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the caller may see it.
    pub fn contains(&self, project: ProjectId) -> bool {
        self.projects.binary_search(&project).is_ok()
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

fn may_see(caller: Caller, visibility: Visibility) -> bool {
    match caller {
        Caller::Administrator => true,
        Caller::Anonymous => visibility == Visibility::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_sees_his_own() {
        let facts = [
            (3, Visibility::Public),
            (1, Visibility::Private),
            (2, Visibility::Internal),
        ]
        .map(|(id, visibility)| ProjectAccess {
            project: ProjectId::new(id).unwrap(),
            visibility,
        });
        let ids = |caller| {
            VisibleSet::decide(caller, 7, facts)
                .iter()
                .map(ProjectId::get)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(Caller::Anonymous), [3]);
        assert_eq!(ids(Caller::Administrator), [1, 2, 3]);
        assert!(!VisibleSet::decide(Caller::Anonymous, 7, facts).contains(ProjectId::new(1).unwrap()));
    }
}
