use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bus::{AccessRule, BusError, Change, KafkaBus, Resource, grants};
use events::{declared_topics, topic_specs};
use model::{CleanUp, TopicName, TopicSpec};
use runtime::{Clock, Edges};

use crate::bus_settings::BusKind;
use crate::cli::{ApplyTopics, TopicsCommand};
use crate::data_folder::DataFolder;
use crate::open_bus::OpenBus;
use crate::settings::Settings;
use crate::topics_migrate::migrate;

/// `renkud topics …`: what the bus has, beside what is declared.
pub async fn run(settings: &Settings, command: &TopicsCommand) -> Result<String> {
    let data = DataFolder::open(&settings.data, settings.bus.kind == BusKind::Embedded)?;
    let edges = Edges::system();
    let bus = OpenBus::open(settings, &data, &edges).await?;
    let mut out = String::new();
    match command {
        TopicsCommand::Describe => describe(&bus, true, &mut out).await?,
        TopicsCommand::Plan(_) => describe(&bus, false, &mut out).await?,
        TopicsCommand::Apply(_) => {}
        TopicsCommand::Migrate(what) => migrate(settings, &data, &bus, what, &mut out).await?,
    }
    match (&bus, command) {
        (_, TopicsCommand::Describe | TopicsCommand::Migrate(_)) => {}
        (OpenBus::Kafka(kafka), TopicsCommand::Plan(what)) => {
            tell(&plan(kafka, what).await?, &mut out)?;
        }
        (OpenBus::Kafka(kafka), TopicsCommand::Apply(what)) => {
            let changes = plan(kafka, what).await?;
            tell(&changes, &mut out)?;
            let grown = changes.iter().any(|change| matches!(change, Change::Grow { .. }));
            ensure!(!grown, "nothing was applied:\n{out}");
            kafka.apply(changes).await.context("not everything was applied")?;
            wait_until_applied(kafka, what, &*edges.clock).await?;
            writeln!(out, "applied")?;
        }
        (OpenBus::Embedded(_), TopicsCommand::Plan(_)) => {}
        (OpenBus::Embedded(_), TopicsCommand::Apply(_)) => {
            let made = bus.seam(None).ensure_topics(&topic_specs()).await;
            made.context("the topics cannot be made as declared")?;
            describe(&bus, false, &mut out).await?;
            writeln!(out, "applied")?;
        }
    }
    bus.close().await?;
    Ok(out)
}

/// One line a topic; `sizes`: also how much it holds.
async fn describe(bus: &OpenBus, sizes: bool, out: &mut String) -> Result<()> {
    for spec in topic_specs() {
        let state = match bus.seam(None).extents(&spec.name).await {
            Ok(extents) if extents.len() == spec.partitions as usize => {
                let offsets: u64 = extents.iter().map(|e| e.end.get() - e.start.get()).sum();
                if sizes {
                    format!("as declared, {offsets} offsets")
                } else {
                    "as declared".to_owned()
                }
            }
            Ok(extents) => format!(
                "has {} partitions: grow it by a new topic version and a copy",
                extents.len()
            ),
            Err(BusError::UnknownTopic(_)) => "missing".to_owned(),
            Err(error) => return Err(error).context("the bus cannot be asked"),
        };
        writeln!(
            out,
            "{:<40} {:>3} partitions  {:<18} {state}",
            spec.name,
            spec.partitions,
            clean_up(&spec)
        )?;
    }
    Ok(())
}

async fn plan(kafka: &KafkaBus, what: &ApplyTopics) -> Result<Vec<Change>> {
    let rules: Vec<AccessRule> = if what.access_rules {
        kafka.access_rules(&grants(declared_topics()))
    } else {
        Vec::new()
    };
    let names =
        |names: &[String]| -> Result<Vec<TopicName>> { names.iter().map(|name| Ok(name.parse()?)).collect() };
    let (delete, confirmed) = (names(&what.delete)?, names(&what.really_delete)?);
    kafka
        .plan(&topic_specs(), rules, &delete, &confirmed)
        .await
        .context("the cluster cannot be asked")
}

/// How long a cluster may take until all of it knows what was applied.
const APPLIED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Any broker may answer: so many answers in a row must agree.
const ANSWERS: u32 = 3;

/// A broker takes a change over a moment after the controller has it, access rules above all. Waits until nothing is left to
/// do, so that whoever is told "applied" can rely on it.
async fn wait_until_applied(kafka: &KafkaBus, what: &ApplyTopics, clock: &dyn Clock) -> Result<()> {
    let until = clock.monotonic() + APPLIED_WITHIN;
    let mut agreed = 0;
    loop {
        let mut left = plan(kafka, what).await?;
        // A person has to see to those.
        left.retain(|change| !matches!(change, Change::Unwanted(_)));
        agreed = if left.is_empty() { agreed + 1 } else { 0 };
        if agreed == ANSWERS {
            return Ok(());
        }
        if clock.monotonic() >= until {
            let mut still = String::new();
            tell(&left, &mut still)?;
            bail!(
                "applied, but the cluster does not say so after {} s:\n{still}",
                APPLIED_WITHIN.as_secs()
            );
        }
        clock.sleep(ASK_EVERY).await;
    }
}

fn tell(changes: &[Change], out: &mut String) -> Result<()> {
    if changes.is_empty() {
        writeln!(out, "nothing to do")?;
    }
    for change in changes {
        match change {
            Change::Make {
                topic, partitions, ..
            } => writeln!(out, "make      {topic} with {partitions} partitions")?,
            Change::Configure { topic, settings } => {
                let settings: Vec<_> = settings
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                writeln!(out, "configure {topic}: {}", settings.join(" "))?;
            }
            Change::Grow { topic, have, want } => writeln!(
                out,
                "refused   {topic} has {have} partitions and {want} are declared: grow it by a new topic version and a copy"
            )?,
            Change::Delete { topic } => writeln!(out, "delete    {topic} with all its records")?,
            Change::Allow(rules) => {
                for rule in rules {
                    writeln!(out, "allow     {}", in_words(rule))?;
                }
            }
            Change::Unwanted(rules) => {
                for rule in rules {
                    let rule = in_words(rule);
                    writeln!(out, "unwanted  {rule}: take it away with Kafka's own tools")?;
                }
            }
        }
    }
    Ok(())
}

fn in_words(rule: &AccessRule) -> String {
    let on = match &rule.resource {
        Resource::Topic(name) => format!("topic {name}"),
        Resource::Group(name) => format!("group {name}"),
    };
    format!("{} {:?} on {on}", rule.principal, rule.operation)
}

fn clean_up(spec: &TopicSpec) -> String {
    let days = |age: std::time::Duration| age.as_secs() / 86_400;
    match spec.clean_up {
        CleanUp::Delete(age) => format!("{} d", days(age)),
        CleanUp::Compact => "compact".to_owned(),
        CleanUp::CompactAndDelete(age) => format!("compact, {} d", days(age)),
    }
}
