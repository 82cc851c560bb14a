//! Why somebody may see a project, or may not; and who may.

use ::access::{Caller, Denial, Why, why};
use axum::Json;
use axum::extract::{Query, State};
use model::{Day, ProjectId, Slug, UserId};
use serde::{Deserialize, Serialize};
use store::{Facts, Reader, Snapshot};

use crate::desk::Operations;
use crate::refusal::Refusal;

/// Whom and what is asked about.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// Number or path.
    project: String,
    /// Number in GitLab; none: somebody who is not signed in.
    user: Option<UserId>,
}

/// Why a caller may see a project, or may not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The project.
    pub project: ProjectId,
    /// Its path; none: it is gone.
    pub slug: Option<String>,
    /// None: somebody who is not signed in.
    pub user: Option<UserId>,
    /// Whether the user sees it.
    pub visible: bool,
    /// By which rule: `public`, `signed-in`, `member`, `denied`, `membership-expired`, `not-a-member`, `hidden`, `gone`.
    pub why: String,
    /// As GitLab has it.
    pub visibility: Option<String>,
    /// The first day without access, of a member; `never` without one.
    pub member_until: Option<String>,
    /// The version of the facts that were decided by.
    pub facts_version: u64,
    /// The record that they came with: `topic/partition@offset`.
    pub record: Option<String>,
    /// Denials that take something of this.
    pub denials: Vec<String>,
}

/// Who may see a project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Audience {
    /// The project.
    pub project: ProjectId,
    /// Its path.
    pub slug: String,
    /// `everybody`, `everybody who is signed in`, or `members`.
    pub class: String,
    /// What each member may.
    pub members: Vec<Explanation>,
}

/// `GET /admin/access/explain?project=…&user=…`
pub(crate) async fn explain(
    State(desk): State<Operations>,
    Query(asked): Query<Asked>,
) -> Result<Json<Explanation>, Refusal> {
    on_snapshot(&desk, move |snapshot, today| {
        let project = find(snapshot, &asked.project)?;
        explanation(snapshot, project, asked.user, today)
    })
    .await
}

/// `GET /admin/access/who?project=…`
pub(crate) async fn who(
    State(desk): State<Operations>,
    Query(asked): Query<Asked>,
) -> Result<Json<Audience>, Refusal> {
    on_snapshot(&desk, move |snapshot, today| {
        let project = find(snapshot, &asked.project)?;
        let facts = facts(snapshot, project, today)?.ok_or_else(|| absent(&asked.project))?;
        let live = facts.live.ok_or_else(|| absent(&asked.project))?;
        let members = live
            .members
            .iter()
            .map(|member| explanation(snapshot, project, Some(member.user), today))
            .collect::<Result<_, _>>()?;
        Ok(Audience {
            project,
            slug: live.slug.to_string(),
            class: match live.visibility {
                model::Visibility::Public => "everybody",
                model::Visibility::Internal => "everybody who is signed in",
                model::Visibility::Private => "members",
            }
            .to_owned(),
            members,
        })
    })
    .await
}

async fn on_snapshot<T: Send + 'static>(
    desk: &Operations,
    read: impl FnOnce(&Snapshot, Day) -> Result<T, Refusal> + Send + 'static,
) -> Result<Json<T>, Refusal> {
    let inner = desk.inner();
    let reader: Reader = inner.reader.clone().ok_or(Refusal::NoView)?;
    let today = Day::of(inner.edges.clock.now());
    let read = move || read(&reader.snapshot()?, today);
    tokio::task::spawn_blocking(read).await?.map(Json)
}

fn absent(project: &str) -> Refusal {
    Refusal::Absent(format!("the view has no project {project}"))
}

fn find(snapshot: &Snapshot, project: &str) -> Result<ProjectId, Refusal> {
    if let Ok(id) = project.parse::<ProjectId>() {
        return Ok(id);
    }
    let slug: Slug = project
        .parse()
        .map_err(|error| Refusal::Wrong(format!("{error}; the number of a project will do as well")))?;
    let all = snapshot.visible(&Caller::Administrator, Day::default())?;
    snapshot
        .project_by_slug(&all, &slug)?
        .ok_or_else(|| absent(project))
}

fn facts(snapshot: &Snapshot, project: ProjectId, today: Day) -> Result<Option<Facts>, Refusal> {
    let all = snapshot.visible(&Caller::Administrator, today)?;
    Ok(snapshot.facts(&all, project)?)
}

fn explanation(
    snapshot: &Snapshot,
    project: ProjectId,
    user: Option<UserId>,
    today: Day,
) -> Result<Explanation, Refusal> {
    let caller = user.map_or(Caller::Anonymous, Caller::User);
    let facts = facts(snapshot, project, today)?;
    let live = facts.as_ref().and_then(|facts| facts.live.as_ref());
    let rights = snapshot.rights(&caller, project)?;
    let record = snapshot.source(project)?;
    if facts.is_none() && record.is_none() && rights.is_none() {
        return Err(absent(&project.to_string()));
    }
    let rule = rights.map(|rights| why(&caller, today, &rights));
    let version = facts
        .as_ref()
        .map(|facts| facts.state_version)
        .unwrap_or_default();
    let takes = |denial: &Denial| {
        live.is_some_and(|live| denial.takes(user, &live.slug, version) > ::access::Denied::Nothing)
    };
    let denials = snapshot.denials()?;
    let member = rights.and_then(|rights| rights.membership);
    Ok(Explanation {
        project,
        slug: live.map(|live| live.slug.to_string()),
        user,
        visible: rule.is_some_and(Why::may_see),
        why: match (rule, live) {
            (Some(rule), _) => rule.as_str(),
            // Its newest facts cannot be read.
            (None, Some(_)) => "hidden",
            (None, None) => "gone",
        }
        .to_owned(),
        visibility: live.map(|live| live.visibility.to_string()),
        member_until: member.map(|member| member.until.map_or("never".to_owned(), |day| day.to_string())),
        facts_version: version.get(),
        record: record.map(|at| at.to_string()),
        denials: denials
            .into_iter()
            .filter(|(_, denial)| takes(denial))
            .map(|(key, _)| key)
            .collect(),
    })
}
