use std::sync::Arc;

use async_trait::async_trait;
use events::{Member, ProjectState};
use gitlab::{GitLab, GitLabError, Project};
use model::ProjectId;

use crate::edges::{FactsError, FactsSource, Trouble};

/// Facts from GitLab's REST API.
pub struct GitLabFacts(Arc<dyn GitLab>);

impl GitLabFacts {
    /// Asks with the service's own token.
    pub fn new(gitlab: Arc<dyn GitLab>) -> Self {
        Self(gitlab)
    }
}

impl std::fmt::Debug for GitLabFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitLabFacts").finish_non_exhaustive()
    }
}

#[async_trait]
impl FactsSource for GitLabFacts {
    async fn facts(&self, project: ProjectId) -> Result<ProjectState, FactsError> {
        // Both at once: the members of a project that is not there are not there either.
        let (facts, members) = futures::join!(self.0.project(project, None), self.0.members(project, None));
        let facts = facts.map_err(error)?;
        // Somebody deleted it; that GitLab keeps it for some more days is for its owners.
        if facts.pending_deletion {
            return Err(FactsError::Gone);
        }
        let members = members.map_err(|failure| match error(failure) {
            // The project is there: it goes just now, or comes just now.
            FactsError::Gone => Trouble::down("the project's members are not there").into(),
            other => other,
        })?;
        Ok(state(facts, members))
    }
}

fn state(project: Project, members: Vec<gitlab::Member>) -> ProjectState {
    // A repository that is switched off cannot be read, so it has no branch.
    let default_branch = project.default_branch.filter(|_| !project.repository_disabled);
    ProjectState {
        slug: project.slug,
        name: project.name,
        description: project.description,
        visibility: project.visibility,
        members: members
            .into_iter()
            .map(|member| Member {
                user_id: member.user_id,
                username: member.username,
                name: member.name,
                access_level: member.access_level,
                expires_at: member.expires_at,
            })
            .collect(),
        default_branch,
        created_at: project.created_at,
        updated_at: project.updated_at,
        creator_id: project.creator_id,
        topics: project.topics,
        images: project.avatar_url.into_iter().collect(),
        fork_parent: project.fork_parent,
        empty_repository: project.empty_repository,
        archived: project.archived,
        http_url: project.http_url,
        ssh_url: project.ssh_url,
        web_url: project.web_url,
        readme_url: project.readme_url,
        forks_count: project.forks_count,
        stars_count: project.stars_count,
    }
}

fn error(error: GitLabError) -> FactsError {
    FactsError::Trouble(match error {
        GitLabError::NotFound(_) => return FactsError::Gone,
        GitLabError::Refused(_) => Trouble::Refused,
        GitLabError::Busy { retry_after } => Trouble::Busy { after: retry_after },
        GitLabError::Down { why, retry_after } => Trouble::Down {
            why,
            after: retry_after,
        },
        GitLabError::Garbage(why) => Trouble::Garbage(why),
    })
}
