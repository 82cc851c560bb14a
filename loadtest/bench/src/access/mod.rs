//! What it costs to answer everybody by what he may see, and whether the time of an answer tells what is hidden.

mod cost;
mod timing;

use std::path::PathBuf;
use std::time::Duration;

use access::Caller;
use anyhow::Context as _;
use model::{Digest, Generation, ProjectId, UserId, Visibility};
use sha2::{Digest as _, Sha256};
use store::{
    Difference, Facts, FactsMember, GraphState, LiveFacts, Piece, PieceKey, Reader, StoreOptions, Writer,
};

use crate::store::data::{HOST, Platform, Project};
use crate::table::Report;

/// How many private projects each user is a member of; his number is one more.
const MEMBERSHIPS: [usize; 4] = [0, 10, 1_000, 2_500];
/// Lines of pieces in one transaction.
const LINES_PER_COMMIT: usize = 200_000;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub platform: Platform,
    /// Both parts, not the times of requests alone.
    pub cost: bool,
    pub cache: PathBuf,
    /// Only queries whose names have this in them.
    pub only: Option<String>,
    /// Interleaved pairs for each query and caller.
    pub pairs: usize,
    /// Runs of interleaved pairs of requests, and pairs in each.
    pub requests: (usize, usize),
}

/// Runs both parts.
///
/// # Errors
/// The store cannot be made or read, or the server does not answer.
pub fn run(settings: &Settings, now: time::OffsetDateTime) -> anyhow::Result<Report> {
    let moment = crate::machine::Moment::observe(now);
    let mut report = Report::new("Access: what the filter costs, and what its time tells", &moment);
    let (_writer, reader) = ready(settings)?;
    if settings.cost {
        cost::run(settings, &reader, &mut report)?;
    }
    if settings.only.is_none() {
        timing::run(settings, &reader, &mut report)?;
    }
    Ok(report)
}

fn user(memberships: usize) -> anyhow::Result<Caller> {
    Ok(Caller::User(UserId::new(i64::try_from(memberships)? + 1)?))
}

fn id(number: usize) -> anyhow::Result<ProjectId> {
    Ok(ProjectId::new(i64::try_from(number)? + 1)?)
}

/// Half of all projects are public, a quarter internal, a quarter private.
fn visibility(number: usize) -> Visibility {
    match number % 4 {
        0 | 1 => Visibility::Public,
        2 => Visibility::Internal,
        _ => Visibility::Private,
    }
}

/// The store, made unless it is there. The last project's facts are written last, so that they tell that it is whole.
fn ready(settings: &Settings) -> anyhow::Result<(Writer, Reader)> {
    let platform = settings.platform;
    let folder = settings.cache.join(format!(
        "bench/access-{}-{}",
        platform.projects, platform.activities
    ));
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let options = StoreOptions {
        snapshot_age: Duration::from_secs(3_600),
        ..StoreOptions::new(HOST)
    };
    let (mut writer, reader) = store::open(&folder, options).context("open the store")?;
    let whole = writer.begin()?.facts(id(platform.projects - 1)?)?.is_some();
    if !whole {
        writer.clear()?;
        let mut number = 0;
        while number < platform.projects {
            let mut batch = writer.begin()?;
            let mut lines = 0;
            while lines < LINES_PER_COMMIT && number < platform.projects {
                let project = platform.project(number);
                batch.apply_facts(id(number)?, &facts(&project)?)?;
                let (state, difference) = graph(&project);
                lines += difference
                    .put
                    .iter()
                    .map(|piece| piece.text.lines().count())
                    .sum::<usize>();
                batch.apply_graph(id(number)?, &state, &difference)?;
                number += 1;
            }
            batch.commit()?;
        }
    }
    Ok((writer, reader))
}

fn facts(project: &Project) -> anyhow::Result<Facts> {
    let version = Generation::new(1);
    let visibility = visibility(project.number);
    let mut members = Vec::new();
    if visibility == Visibility::Private {
        for memberships in MEMBERSHIPS {
            if project.number / 4 < memberships {
                let Caller::User(user) = user(memberships)? else {
                    continue;
                };
                members.push(FactsMember { user, until: None });
            }
        }
    }
    Ok(Facts {
        state_version: version,
        generation: version,
        live: Some(LiveFacts {
            slug: project.slug.parse()?,
            visibility,
            members,
        }),
        payload: Vec::new(),
    })
}

fn graph(project: &Project) -> (GraphState, Difference) {
    let digest = |text: &str| Digest::new(Sha256::digest(text.as_bytes()).into());
    let put: Vec<Piece> = project
        .pieces
        .iter()
        .map(|piece| Piece {
            key: PieceKey::of(&piece.id),
            digest: digest(&piece.text),
            text: piece.text.clone(),
        })
        .collect();
    let all = digest(&project.slug);
    let state = GraphState {
        generation: Generation::new(1),
        digest: all,
        state_version: Generation::new(1),
        bits: 0,
        sections: vec![all],
        payload: Vec::new(),
    };
    let removed = Vec::new();
    (state, Difference { removed, put })
}
