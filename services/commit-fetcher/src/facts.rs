use events::{EncodeError, ProjectRecord, ProjectState, Sha256, TopicValue, encode};
use model::{ProjectId, Slug, StateVersion};

/// Where a project's content is: the newest commit of this branch of this repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aim {
    /// `path_with_namespace` as GitLab has it now.
    pub slug: Slug,
    /// The default branch, without `refs/heads/`.
    pub branch: String,
}

impl Aim {
    /// None where the facts leave nothing to read: no commit yet, or no default branch.
    pub fn of(state: &ProjectState) -> Option<Self> {
        let branch = state.content_branch()?.to_owned();
        Some(Self {
            slug: state.slug.clone(),
            branch,
        })
    }
}

/// What is remembered of the facts that were written last. Small: one is kept for every project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownFacts {
    /// The version of these facts.
    pub state_version: StateVersion,
    /// None: Gone.
    pub there: Option<There>,
}

/// The part of [`KnownFacts`] of a project that exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct There {
    /// Over all that makes a new record.
    pub digest: Sha256,
    /// None: nothing to read.
    pub aim: Option<Aim>,
}

impl KnownFacts {
    /// What to remember of a record that was written, or read back.
    pub fn of(record: &ProjectRecord) -> Result<Self, EncodeError> {
        let there = match &record.state {
            None => None,
            Some(state) => Some(There {
                digest: digest_of(record.project_id, state)?,
                aim: Aim::of(state),
            }),
        };
        Ok(Self {
            state_version: record.state_version(),
            there,
        })
    }

    /// Whether these facts say what the known ones said.
    pub fn says(&self, project: ProjectId, state: &ProjectState) -> Result<bool, EncodeError> {
        match &self.there {
            None => Ok(false),
            Some(there) => Ok(there.digest == digest_of(project, state)?),
        }
    }
}

/// The digest of facts without what changes by itself: `updated_at` and the counts make no new record.
fn digest_of(project: ProjectId, state: &ProjectState) -> Result<Sha256, EncodeError> {
    let mut state = state.clone();
    state.updated_at = None;
    state.forks_count = 0;
    state.stars_count = 0;
    let record = ProjectRecord {
        envelope: events::Envelope::unlooked(model::Timestamp::default()),
        project_id: project,
        state: Some(state),
    };
    Ok(Sha256::of(&encode(ProjectRecord::SUBJECT, &record)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_changes_by_itself_says_nothing_new() {
        let record = samples::facts(7, "a/b", Some("main"));
        let known = KnownFacts::of(&record).unwrap();
        let mut state = record.state.clone().unwrap();
        state.updated_at = Some(model::Timestamp::from_micros(99));
        state.stars_count = 5;
        state.forks_count = 6;
        assert!(known.says(record.project_id, &state).unwrap());
        state.visibility = model::Visibility::Private;
        assert!(!known.says(record.project_id, &state).unwrap());
    }

    #[test]
    fn an_empty_repository_has_no_aim() {
        let mut state = samples::facts(7, "a/b", Some("main")).state.unwrap();
        assert_eq!(Aim::of(&state).map(|aim| aim.branch).as_deref(), Some("main"));
        state.empty_repository = true;
        assert_eq!(Aim::of(&state), None);
        state.empty_repository = false;
        state.default_branch = None;
        assert_eq!(Aim::of(&state), None);
    }
}
