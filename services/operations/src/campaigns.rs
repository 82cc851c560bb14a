//! Rebuilds: graphs made again from git, as a campaign whose progress can be followed.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use bus::{Origin, ReadLimits, record_of, value_of};
use events::{Decoder, LookReason, PROJECTS, PUSH_EVENTS_BACKFILL, ProjectRecord, PushEvent};
use model::{Position, ProjectId, Slug};
use serde::{Deserialize, Serialize};
use store::ProjectNotes;

use crate::desk::{Inner, Operations};
use crate::refusal::Refusal;

/// Events that are appended at once.
const BATCH: usize = 500;

/// `POST /admin/rebuild`: exactly one of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RebuildOf {
    /// A project by its number.
    Id(ProjectId),
    /// A project by its path.
    Slug(Slug),
    /// Every project that there is. The value is `true`.
    All(bool),
}

/// The answer: events are in the backfill lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CampaignStarted {
    /// Its name.
    pub campaign: String,
    /// How many projects it looks at.
    pub projects: usize,
}

/// `GET /admin/campaigns/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Its name.
    pub campaign: String,
    /// How many looks it asked for.
    pub looks: usize,
    /// How many of them this node's view has the answer of.
    pub done: usize,
    /// Projects whose look is not answered, the first hundred.
    pub open: Vec<ProjectId>,
}

pub(crate) async fn rebuild(
    State(desk): State<Operations>,
    Json(wanted): Json<RebuildOf>,
) -> Result<Json<CampaignStarted>, Refusal> {
    let inner = desk.inner();
    let known = projects(inner).await?;
    let chosen: Vec<ProjectId> = match wanted {
        RebuildOf::All(true) => known.keys().copied().collect(),
        RebuildOf::All(false) => return Err(Refusal::Wrong("\"all\" is true or left out".to_owned())),
        // A project that is not known yet may be in GitLab: the look will tell.
        RebuildOf::Id(id) => vec![id],
        RebuildOf::Slug(slug) => known
            .iter()
            .find(|(_, has)| **has == slug)
            .map(|(id, _)| vec![*id])
            .ok_or_else(|| Refusal::Absent(format!("there is no project {slug}: give its number instead")))?,
    };
    let campaign = format!("rebuild-{:016x}", inner.edges.randomness.bits64());
    for batch in chosen.chunks(BATCH) {
        let now = inner.edges.clock.now();
        let records = batch.iter().map(|project| {
            let mut event = PushEvent::new(*project, LookReason::Rebuild, now);
            event.regenerate = true;
            event.envelope.campaign = Some(campaign.clone());
            let origin = Origin {
                source: "operations",
                at: now,
                traceparent: None,
                id: None,
            };
            record_of(&PUSH_EVENTS_BACKFILL, &event, origin)
        });
        let records = records.collect::<Result<Vec<_>, _>>()?;
        inner.bus.append(records).await?;
    }
    tracing::info!(campaign, projects = chosen.len(), "a rebuild was asked for");
    Ok(Json(CampaignStarted {
        campaign,
        projects: chosen.len(),
    }))
}

/// The projects that the log knows, with their paths.
async fn projects(inner: &Inner) -> Result<BTreeMap<ProjectId, Slug>, Refusal> {
    let decoder = Decoder::default();
    let mut known = BTreeMap::new();
    bus::restore(&*inner.bus, &PROJECTS, None, ReadLimits::default(), |record| {
        // What cannot be read is not known; the view alarms about it.
        if let Ok(Some(facts)) = value_of::<ProjectRecord>(&decoder, &record) {
            match facts.state {
                Some(state) => known.insert(facts.project_id, state.slug),
                None => known.remove(&facts.project_id),
            };
        }
    })
    .await?;
    Ok(known)
}

pub(crate) async fn progress(
    State(desk): State<Operations>,
    Path(campaign): Path<String>,
) -> Result<Json<Progress>, Refusal> {
    let inner = desk.inner();
    let reader = inner.reader.clone().ok_or(Refusal::NoView)?;
    let decoder = Decoder::default();
    let mut looks: Vec<(ProjectId, Position)> = Vec::new();
    bus::restore(
        &*inner.bus,
        &PUSH_EVENTS_BACKFILL,
        None,
        ReadLimits::default(),
        |record| {
            if let Ok(Some(event)) = value_of::<PushEvent>(&decoder, &record)
                && event.envelope.campaign.as_deref() == Some(&campaign)
            {
                looks.push((event.project_id, record.next()));
            }
        },
    )
    .await?;
    if looks.is_empty() {
        return Err(Refusal::Absent(format!(
            "no campaign {campaign} is in the log: it keeps them for seven days"
        )));
    }
    let total = looks.len();
    let open = tokio::task::spawn_blocking(move || {
        let snapshot = reader.snapshot()?;
        let mut open = Vec::new();
        for (project, position) in looks {
            let notes = ProjectNotes::read(snapshot.note(project)?.as_deref())?;
            if !notes.answered.covers(&position) {
                open.push(project);
            }
        }
        Ok::<_, store::StoreError>(open)
    });
    let mut open = open.await??;
    let done = total - open.len();
    open.truncate(100);
    Ok(Json(Progress {
        campaign,
        looks: total,
        done,
        open,
    }))
}
