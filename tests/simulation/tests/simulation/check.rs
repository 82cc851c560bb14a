//! What must hold when all is done, whatever happened.

use std::collections::BTreeMap;
use std::time::Duration;

use access::Caller;
use bus::{Bus, ReadLimits, restore, value_of};
use events::{
    COMMITS, Decoder, EVENT_STATUS, PROJECT_GRAPHS, PROJECTS, PUSH_EVENTS, PUSH_EVENTS_BACKFILL, ProjectGraph,
};
use model::{Digest, ProjectId, TopicName};
use sha2::Digest as _;
use store::{ProjectNotes, Snapshot};

use crate::contents::CONTENTS;
use crate::gates::Gates;
use crate::process::{Ground, Process, Role};
use crate::world::{World, scratch};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// Whether every worker has settled all and the view has applied all.
pub fn is_idle(world: &World) -> bool {
    let groups = [
        ("commit-fetcher", [PUSH_EVENTS, PUSH_EVENTS_BACKFILL]),
        ("triple-generator", [COMMITS, PROJECTS]),
    ];
    let settled = groups.iter().all(|(group, topics)| {
        let stored = block_on(world.log.group_positions(group, topics)).unwrap();
        let settled: u64 = stored.iter().map(|position| position.next.get()).sum();
        settled == topics.iter().map(|topic| ends(world, topic)).sum::<u64>()
    });
    settled && world.writer().is_some_and(|writer| is_caught_up(world, writer))
}

fn ends(world: &World, topic: &TopicName) -> u64 {
    // Where nothing was ever settled there is no position; its end must then be its start.
    block_on(world.log.extents(topic))
        .unwrap()
        .iter()
        .map(|extent| extent.end.get())
        .sum()
}

fn is_caught_up(world: &World, writer: &Process) -> bool {
    let Some(reader) = &writer.reader else {
        return false;
    };
    let positions = reader.snapshot().unwrap().positions().unwrap();
    let applied = |topic: &TopicName| -> u64 {
        positions
            .iter()
            .filter(|position| position.topic == *topic)
            .map(|position| position.next.get())
            .sum()
    };
    [PROJECTS, PROJECT_GRAPHS, EVENT_STATUS]
        .iter()
        .all(|topic| applied(topic) == ends(world, topic))
}

pub fn check(world: &mut World) -> Result<(), String> {
    if !is_idle(world) {
        return Err(format!("it does not come to rest: {}", unrest(world)));
    }
    let reader = world
        .writer()
        .and_then(|writer| writer.reader.clone())
        .ok_or("no view")?;
    let snapshot = reader.snapshot().map_err(|e| e.to_string())?;
    let projects = world.ground.projects.lock().clone();
    let visible = snapshot
        .visible(Caller::Administrator)
        .map_err(|e| e.to_string())?;
    for (id, project) in &projects {
        let applied = snapshot.applied(&visible, *id).map_err(|e| e.to_string())?;
        if !project.is_there {
            if visible.contains(*id) {
                return Err(format!("project {id} was deleted and is visible"));
            }
            world.totals.count("gone checked");
            continue;
        }
        let found = snapshot
            .project_by_slug(&visible, &project.slug)
            .map_err(|e| e.to_string())?;
        let namesakes = projects
            .values()
            .filter(|other| other.is_there && other.slug == project.slug)
            .count();
        if namesakes == 1 && found != Some(*id) {
            return Err(format!(
                "project {id} is not found by its slug {}, but {found:?}",
                project.slug
            ));
        }
        let facts = snapshot.facts(&visible, *id).map_err(|e| e.to_string())?;
        let facts = facts
            .and_then(|facts| facts.live)
            .ok_or(format!("project {id} has no facts"))?;
        if (&facts.slug, facts.visibility) != (&project.slug, project.visibility) {
            return Err(format!(
                "the facts of project {id} are old: {facts:?}, not {project:?}"
            ));
        }
        let Some(content) = project.content else { continue };
        if applied.is_none() {
            return Err(format!("project {id} has no graph"));
        }
        let version = &CONTENTS.versions[content];
        let stored = snapshot
            .content_digest(&visible, *id)
            .map_err(|e| e.to_string())?;
        if stored != digest_of(&version.expected(&project.slug)) {
            return Err(format!(
                "the graph of project {id} is not that of {}",
                version.name
            ));
        }
        world.totals.count("graphs checked");
    }
    for id in projects.keys() {
        let doubled = snapshot
            .applied_log(*id)
            .map_err(|e| e.to_string())?
            .into_iter()
            .find(|(_, times)| *times != 1);
        if let Some((generation, times)) = doubled {
            return Err(format!(
                "generation {generation} of project {id} was applied {times} times"
            ));
        }
    }
    if let Some((position, why)) = snapshot.rejects().map_err(|e| e.to_string())?.first() {
        return Err(format!("a record was left out at {position}: {why}"));
    }
    every_push_is_answered_for(world, &snapshot)?;
    the_log_agrees(world, &snapshot)?;
    a_rebuilt_view_is_equal(world, &snapshot, &projects.keys().copied().collect::<Vec<_>>())
}

fn digest_of(lines: &[String]) -> Digest {
    let mut hash = sha2::Sha256::new();
    for line in lines {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    Digest::new(hash.finalize().into())
}

fn every_push_is_answered_for(world: &World, snapshot: &Snapshot) -> Result<(), String> {
    for accepted in &world.accepted {
        let note = snapshot.note(accepted.project).map_err(|e| e.to_string())?;
        let notes = ProjectNotes::read(note.as_deref()).map_err(|e| e.to_string())?;
        if !notes.answered.covers(&accepted.position) {
            return Err(format!(
                "the push event of project {} before {} is not answered for: {:?}",
                accepted.project, accepted.position, notes.answered
            ));
        }
    }
    Ok(())
}

/// The compacted log's last word on each project is what the view holds.
fn the_log_agrees(world: &World, snapshot: &Snapshot) -> Result<(), String> {
    world.log.clean_up(world.now());
    let decoder = Decoder::default();
    let mut last: BTreeMap<ProjectId, ProjectGraph> = BTreeMap::new();
    let topic = PROJECT_GRAPHS;
    let read = restore(&world.log, &topic, None, ReadLimits::default(), |record| {
        if let Ok(Some(graph)) = value_of::<ProjectGraph>(&decoder, &record) {
            last.insert(graph.project_id, graph);
        }
    });
    block_on(read).map_err(|e| e.to_string())?;
    let visible = snapshot
        .visible(Caller::Administrator)
        .map_err(|e| e.to_string())?;
    for (id, graph) in last {
        let applied = snapshot.applied(&visible, id).map_err(|e| e.to_string())?;
        if let Some(applied) = applied
            && applied.rank() != (graph.envelope.generation, graph.digest())
        {
            return Err(format!(
                "the log ends with generation {} of project {id}, the view has {}",
                graph.envelope.generation, applied.generation
            ));
        }
    }
    Ok(())
}

fn a_rebuilt_view_is_equal(world: &World, live: &Snapshot, projects: &[ProjectId]) -> Result<(), String> {
    let folder = scratch();
    let gates = Gates::default();
    gates.open_all();
    let ground = Ground {
        gates,
        ..world.ground.clone()
    };
    let writer = Process::start(Role::Writer, 0, &ground, world.now(), 0, folder.path());
    for _ in 0..100 {
        writer.run_for(Duration::from_secs(1));
        if is_caught_up(world, &writer) {
            break;
        }
    }
    writer.run_for(Duration::from_secs(1));
    let reader = writer.reader.clone().ok_or("no view")?;
    let rebuilt = reader.snapshot().map_err(|e| e.to_string())?;
    for id in projects {
        let digests = (live.project_digest(*id), rebuilt.project_digest(*id));
        match digests {
            (Ok(a), Ok(b)) if a == b => {}
            other => return Err(format!("project {id} differs in a rebuilt view: {other:?}")),
        }
    }
    let whole = (live.digest(), rebuilt.digest());
    if !matches!(&whole, (Ok(a), Ok(b)) if a == b) {
        return Err(format!("a rebuilt view differs: {whole:?}"));
    }
    let sizes = (
        live.index_sizes(),
        live.terms(),
        rebuilt.index_sizes(),
        rebuilt.terms(),
    );
    match sizes {
        (Ok(a), Ok(at), Ok(b), Ok(bt)) if a == b && at == bt && a.iter().all(|size| *size == a[0]) => Ok(()),
        other => Err(format!("indexes or terms differ in a rebuilt view: {other:?}")),
    }
}

fn unrest(world: &World) -> String {
    let mut text = String::new();
    for (group, topics) in [
        ("commit-fetcher", [PUSH_EVENTS, PUSH_EVENTS_BACKFILL]),
        ("triple-generator", [COMMITS, PROJECTS]),
    ] {
        let stored = block_on(world.log.group_positions(group, &topics)).unwrap();
        for topic in &topics {
            for extent in block_on(world.log.extents(topic)).unwrap() {
                let position = stored
                    .iter()
                    .find(|p| p.topic == *topic && p.partition == extent.partition);
                let next = position.map_or(0, |position| position.next.get());
                if next != extent.end.get() {
                    text += &format!(
                        "{group} at {next} of {} in {topic}/{}; ",
                        extent.end, extent.partition
                    );
                }
            }
        }
    }
    if text.is_empty() {
        "the view is behind".to_owned()
    } else {
        text
    }
}
