use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bus::migrate::{CopyProgress, CopyTopic, PositionMap, copy};
use bus::{BusError, Change};
use events::{TopicDeclaration, declared_topics, is_worker, parked, retry, topic_specs};
use graph_writer::Moving;
use model::{CleanUp, Position, TopicName, TopicSpec};

use crate::cli::MigrateTopic;
use crate::data_folder::DataFolder;
use crate::open_bus::OpenBus;
use crate::settings::Settings;

/// On a cluster: nobody may have written for so long.
const QUIET: Duration = Duration::from_secs(3);

/// How often, and how many times, new topics are asked for until all brokers know them.
const AGAIN: Duration = Duration::from_millis(200);
const TRIES: u32 = 100;

/// A topic, or one of its lanes, and its copy.
struct Pair {
    from: TopicName,
    to: TopicSpec,
}

/// What is to be done.
struct Plan {
    declared: &'static TopicDeclaration,
    pairs: Vec<Pair>,
    groups: Vec<String>,
}

/// `renkud topics migrate FROM TO`: copies a topic to its next version and carries positions over. Nothing is deleted.
pub(crate) async fn migrate(
    settings: &Settings,
    data: &DataFolder,
    bus: &OpenBus,
    what: &MigrateTopic,
    out: &mut String,
) -> Result<()> {
    let plan = plan(bus, what).await?;
    for pair in &plan.pairs {
        let extents = bus.seam(None).extents(&pair.from).await?;
        let offsets: u64 = extents.iter().map(|e| e.end.get() - e.start.get()).sum();
        writeln!(
            out,
            "copy      {} ({} partitions, {offsets} offsets) to {} ({} partitions)",
            pair.from,
            extents.len(),
            pair.to.name,
            pair.to.partitions
        )?;
    }
    for group in &plan.groups {
        writeln!(out, "carry     positions of group {group}")?;
    }
    writeln!(
        out,
        "carry     positions of the view in {}",
        data.views().display()
    )?;
    if !what.yes {
        writeln!(
            out,
            "nothing was done. Stop {} and who reads it, then say the same with --yes",
            plan.declared.written_by.join(", ")
        )?;
        return Ok(());
    }
    make(bus, &plan).await.context("the new topics cannot be made")?;
    let mut maps = Vec::new();
    for pair in &plan.pairs {
        maps.push(copy_pair(data, bus, &plan, pair, out).await?);
    }
    for group in &plan.groups {
        carry_group(bus, group, &maps, out).await?;
    }
    carry_view(settings, data, bus, &maps, out).await?;
    writeln!(
        out,
        "done. {} stays as it is: when nothing needs it any more, `renkud topics apply` deletes it if it is named twice",
        what.from
    )?;
    Ok(())
}

async fn plan(bus: &OpenBus, what: &MigrateTopic) -> Result<Plan> {
    let (from, to): (TopicName, TopicName) = (what.from.parse()?, what.to.parse()?);
    let ((old_name, old), (new_name, new)) = (version(&from)?, version(&to)?);
    ensure!(
        old_name == new_name && new > old,
        "{to} is no later version of {from}: the names must be equal but for a larger number after .v"
    );
    let declaration = |topic: &TopicName| declared_topics().iter().find(|known| known.topic == *topic);
    let declared = declaration(&from)
        .or_else(|| declaration(&to))
        .with_context(|| format!("this release declares neither {from} nor {to}"))?;
    let extents = match bus.seam(None).extents(&from).await {
        Err(BusError::UnknownTopic(_)) => bail!("there is no topic {from}"),
        extents => extents?,
    };
    let specs = topic_specs();
    let spec = |topic: &TopicName| specs.iter().find(|spec| spec.name == *topic);
    let partitions = what
        .partitions
        .unwrap_or_else(|| spec(&to).map_or(extents.len() as u32, |declared| declared.partitions));
    ensure!(
        partitions >= extents.len() as u32,
        "{from} has {} partitions, and a later version has as many or more",
        extents.len()
    );
    let mut pairs = Vec::new();
    let sides = |make: fn(&TopicName) -> TopicName| (make(&from), make(&to));
    let mut lanes = vec![sides(Clone::clone)];
    if declared.has_lanes() {
        lanes.extend([sides(retry), sides(parked)]);
    }
    for (from, to) in lanes {
        let clean_up: CleanUp = spec(&to)
            .or_else(|| spec(&from))
            .map(|spec| spec.clean_up)
            .with_context(|| format!("this release declares neither {from} nor {to}"))?;
        match bus.seam(None).extents(&from).await {
            // A lane that was never made has nothing to copy.
            Err(BusError::UnknownTopic(_)) => continue,
            extents => drop(extents?),
        }
        let to = TopicSpec {
            name: to,
            partitions,
            clean_up,
        };
        pairs.push(Pair { from, to });
    }
    let groups = declared.read_by.iter().filter(|role| is_worker(role)).cloned();
    Ok(Plan {
        groups: groups.collect(),
        declared,
        pairs,
    })
}

/// A topic's name without its version, and the version.
fn version(topic: &TopicName) -> Result<(&str, u32)> {
    let read = || {
        let (name, version) = topic.as_str().rsplit_once(".v")?;
        Some((name, version.parse().ok()?))
    };
    read().with_context(|| format!("{topic} has no version: a topic's name ends with .v and a number"))
}

async fn make(bus: &OpenBus, plan: &Plan) -> Result<()> {
    let specs: Vec<_> = plan.pairs.iter().map(|pair| pair.to.clone()).collect();
    if let OpenBus::Kafka(kafka) = bus {
        // Whatever the settings say of making topics: this was asked for.
        let mut changes = kafka.plan(&specs, Vec::new(), &[], &[]).await?;
        changes.retain(|change| !matches!(change, Change::Grow { .. }));
        kafka.apply(changes).await?;
    }
    let mut tries = 0;
    loop {
        match bus.seam(None).ensure_topics(&specs).await {
            // Not every broker knows a topic at once that was just made.
            Err(error)
                if tries < TRIES && (error.is_transient() || matches!(error, BusError::UnknownTopic(_))) =>
            {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
            }
            made => return Ok(made?),
        }
    }
}

async fn copy_pair(
    data: &DataFolder,
    bus: &OpenBus,
    plan: &Plan,
    pair: &Pair,
    out: &mut String,
) -> Result<PositionMap> {
    let seam = bus.seam(None);
    let log = seam.log_id(&[pair.from.clone(), pair.to.name.clone()]).await?;
    let mut map = PositionMap::open(&map_file(data, pair)?, &pair.from, &pair.to.name, log)?;
    let what = CopyTopic {
        from: pair.from.clone(),
        to: pair.to.name.clone(),
        partition_by: plan.declared.partition_by,
        quiet: match bus {
            // The data folder is ours alone: nobody else can write.
            OpenBus::Embedded(_) => Duration::ZERO,
            OpenBus::Kafka(_) => QUIET,
        },
    };
    let mut told = Told::default();
    let copied = copy(&*seam, &what, &mut map, |progress| {
        told.tell(&pair.from, progress)
    })
    .await
    .with_context(|| {
        format!(
            "{} is not copied; what is copied stays, and the same command goes on. Who writes it: {}",
            pair.from,
            plan.declared.written_by.join(", ")
        )
    })?;
    writeln!(
        out,
        "copied    {} records to {}{}",
        copied.records,
        pair.to.name,
        match copied.left_behind {
            0 => String::new(),
            left => format!("; {left} that were dealt with stay behind"),
        }
    )?;
    Ok(map)
}

fn map_file(data: &DataFolder, pair: &Pair) -> Result<PathBuf> {
    let folder = data.migrations();
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder.join(format!("{}--{}.map", pair.from, pair.to.name)))
}

/// Tells a person now and then.
#[derive(Default)]
struct Told {
    tenths: u64,
}

impl Told {
    #[allow(clippy::print_stderr, reason = "a person waits for a long command")]
    fn tell(&mut self, topic: &TopicName, progress: CopyProgress) {
        let tenths = (progress.passed * 10).checked_div(progress.total).unwrap_or(10);
        if tenths > self.tenths {
            self.tenths = tenths;
            eprintln!("{topic}: {} of {} offsets", progress.passed, progress.total);
        }
    }
}

async fn carry_group(bus: &OpenBus, group: &str, maps: &[PositionMap], out: &mut String) -> Result<()> {
    let seam = bus.seam(None);
    for map in maps
        .iter()
        .filter(|map| !map.from().as_str().ends_with(".parked"))
    {
        let settled = seam.group_positions(group, &[map.from().clone()]).await?;
        if settled.is_empty() {
            writeln!(
                out,
                "carried   group {group} has no position in {}: it begins at the start",
                map.from()
            )?;
            continue;
        }
        let mut positions = map.translate(&settled, &seam.extents(map.to()).await?)?;
        // Who reads the new topic already is not set back.
        let there = seam.group_positions(group, &[map.to().clone()]).await?;
        positions.retain(|position| {
            !there
                .iter()
                .any(|there| there.partition == position.partition && there.next >= position.next)
        });
        bus.set_group_positions(group, &positions).await?;
        writeln!(
            out,
            "carried   group {group} in {} partitions of {}",
            positions.len(),
            map.to()
        )?;
    }
    Ok(())
}

async fn carry_view(
    settings: &Settings,
    data: &DataFolder,
    bus: &OpenBus,
    maps: &[PositionMap],
    out: &mut String,
) -> Result<()> {
    let options = settings.store.options(&settings.rdf_host()?);
    let view = Moving::open(&data.views(), options).context("the view cannot be opened")?;
    let (Some(view), Some(map)) = (view, maps.first()) else {
        writeln!(
            out,
            "carried   there is no view here: it begins with the new topic"
        )?;
        return Ok(());
    };
    let seam = bus.seam(None);
    let mut topics = view.topics();
    if !topics.contains(map.from()) {
        let why = if topics.contains(map.to()) {
            "stands in the new topic"
        } else {
            "does not read it"
        };
        writeln!(out, "carried   the view {why}: it stays as it is")?;
        return Ok(());
    }
    if seam.log_id(&topics).await? != view.log() {
        writeln!(
            out,
            "carried   the view is of another log: it is built anew when it starts"
        )?;
        return Ok(());
    }
    let read: Vec<Position> = view.positions().to_vec();
    let positions = map.translate(&read, &seam.extents(map.to()).await?)?;
    for topic in &mut topics {
        if topic == map.from() {
            *topic = map.to().clone();
        }
    }
    view.carry(&positions, seam.log_id(&topics).await?)?;
    writeln!(
        out,
        "carried   the view in {} partitions of {}",
        positions.len(),
        map.to()
    )?;
    Ok(())
}

#[cfg(test)]
#[path = "topics_migrate_tests.rs"]
mod tests;
