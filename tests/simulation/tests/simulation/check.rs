//! What must hold when all is done, whatever happened.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use access::{Caller, VisibleSet};
use bus::{Bus, ReadLimits, restore, value_of};
use events::{
    COMMITS, CommitFetched, Decoder, EVENT_STATUS, EventStatus, PROJECT_GRAPHS, PROJECTS, PUSH_EVENTS,
    PUSH_EVENTS_BACKFILL, ProjectGraph, ProjectRecord, TopicValue,
};
use model::{ProjectId, TopicName};
use store::{ProjectNotes, Query, QueryLimits, RowFormat, Snapshot, Stop, TripleFormat};

use crate::contents::{HOST, VERSIONS};
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

/// What each group reads.
const GROUPS: [(&str, &[TopicName]); 2] = [
    (
        "commit-fetcher",
        &[PUSH_EVENTS, PUSH_EVENTS_BACKFILL, PROJECTS, COMMITS],
    ),
    ("triple-generator", &[COMMITS, PROJECTS]),
];

/// Whether every worker has settled all and the view has applied all.
pub fn is_idle(world: &World) -> bool {
    let settled = GROUPS.iter().all(|(group, topics)| {
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
        .visible(&Caller::Administrator, model::Day::default())
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
        let version = &VERSIONS[content];
        let graph = format!("https://{HOST}/projects/{}", project.slug);
        let difference = difference(
            &stored_lines(&snapshot, &visible, &graph)?,
            &version.graph.lines(&project.slug),
        );
        if !difference.is_empty() {
            return Err(format!(
                "the graph of project {id} is not that of {}:\n{difference}",
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
    a_rebuilt_view_is_equal(world, &snapshot, projects.keys().copied())?;
    world.totals.count("rebuilt view compared");
    Ok(())
}

/// What the view answers when asked for a project's graph, as `subject predicate object `, sorted.
fn stored_lines(snapshot: &Snapshot, visible: &VisibleSet, graph: &str) -> Result<Vec<String>, String> {
    let text = format!("CONSTRUCT {{ ?s ?p ?o }} WHERE {{ GRAPH <{graph}> {{ ?s ?p ?o }} }}");
    let query = Query::parse(&text, None).map_err(|e| e.to_string())?;
    let limits = QueryLimits {
        time: Duration::from_secs(60),
        ..QueryLimits::NONE
    };
    let mut answer = Vec::new();
    snapshot
        .query(visible, &query, limits, &Stop::default(), |found| {
            found.write(RowFormat::Tsv, TripleFormat::NTriples, &mut answer)
        })
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8(answer).map_err(|e| e.to_string())?;
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| line.trim_end_matches('.').to_owned())
        .collect();
    lines.sort_unstable();
    Ok(lines)
}

/// Some of what is on one side only.
fn difference(stored: &[String], expected: &[String]) -> String {
    let without = |lines: &[String], others: &[String], mark: &str| {
        let others: HashSet<&String> = others.iter().collect();
        let only: Vec<String> = lines
            .iter()
            .filter(|line| !others.contains(line))
            .take(8)
            .map(|line| format!("{mark} {line}"))
            .collect();
        only
    };
    let mut only = without(stored, expected, "too much:");
    only.extend(without(expected, stored, "missing:"));
    only.join("\n")
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

/// What the log says of each project, for whoever reads a failing schedule.
pub fn print_log(world: &World) {
    let decoder = Decoder::default();
    let mut lines = Vec::new();
    for topic in [PUSH_EVENTS, PROJECTS, COMMITS, PROJECT_GRAPHS, EVENT_STATUS] {
        let read = restore(&world.log, &topic, None, ReadLimits::default(), |record| {
            let place = format!(
                "{} {topic}@{}",
                String::from_utf8_lossy(&record.key),
                record.offset
            );
            let said = match topic.as_str() {
                "renku.projects.v1" => format!("{:?}", value_of::<ProjectRecord>(&decoder, &record)),
                "renku.commits.v1" => value_of::<CommitFetched>(&decoder, &record)
                    .map(|c| format!("{:?}", c.map(|c| (c.sha, c.title, c.envelope))))
                    .unwrap_or_default(),
                "renku.project-graphs.v1" => value_of::<ProjectGraph>(&decoder, &record)
                    .map(|g| {
                        format!(
                            "{:?}",
                            g.map(|g| (g.digest(), g.graph.map(|g| g.sha), g.envelope))
                        )
                    })
                    .unwrap_or_default(),
                "renku.event-status.v1" => format!("{:?}", value_of::<EventStatus>(&decoder, &record)),
                _ => String::new(),
            };
            lines.push(format!("{place}: {said}"));
        });
        let _ = block_on(read);
    }
    lines.sort_unstable();
    println!("{}", lines.join("\n"));
}

/// The compacted log's last word on each project is what the view holds.
fn the_log_agrees(world: &World, snapshot: &Snapshot) -> Result<(), String> {
    // Late enough for all clocks: nothing is left but last words.
    world.log.clean_up(world.now().plus(Duration::from_secs(60)));
    let visible = snapshot
        .visible(&Caller::Administrator, model::Day::default())
        .map_err(|e| e.to_string())?;
    for facts in last_words::<ProjectRecord>(world, &PROJECTS)? {
        let id = facts.project_id;
        let applied = snapshot.facts(&visible, id).map_err(|e| e.to_string())?;
        if let Some(applied) = applied
            && applied.state_version != facts.state_version()
        {
            return Err(format!(
                "the log ends with facts {} of project {id}, the view has {}",
                facts.state_version(),
                applied.state_version
            ));
        }
    }
    for graph in last_words::<ProjectGraph>(world, &PROJECT_GRAPHS)? {
        let id = graph.project_id;
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

/// The last record of each key.
fn last_words<T: TopicValue>(world: &World, topic: &TopicName) -> Result<Vec<T>, String> {
    let decoder = Decoder::default();
    let mut last = BTreeMap::new();
    let read = restore(&world.log, topic, None, ReadLimits::default(), |record| {
        if let Ok(Some(value)) = value_of::<T>(&decoder, &record) {
            last.insert(record.key.clone(), value);
        }
    });
    block_on(read).map_err(|e| e.to_string())?;
    Ok(last.into_values().collect())
}

fn a_rebuilt_view_is_equal(
    world: &World,
    live: &Snapshot,
    projects: impl Iterator<Item = ProjectId>,
) -> Result<(), String> {
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
        let digests = (live.project_digest(id), rebuilt.project_digest(id));
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
    for (group, topics) in GROUPS {
        let stored = block_on(world.log.group_positions(group, topics)).unwrap();
        for topic in topics {
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
