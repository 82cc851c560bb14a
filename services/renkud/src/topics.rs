use std::fmt::Write;

use anyhow::{Context, Result};
use bus::{Bus, BusError};
use model::{CleanUp, TopicSpec};
use runtime::Edges;

use crate::cli::TopicsCommand;
use crate::data_folder::DataFolder;
use crate::node::open_bus;
use crate::settings::Settings;

/// `renkud topics …`: what the bus has, beside what is declared.
pub async fn run(settings: &Settings, command: TopicsCommand) -> Result<String> {
    let data = DataFolder::open(&settings.data, true)?;
    let bus = open_bus(settings, &data, &Edges::system()).await?;
    let declared = events::topic_specs();
    let mut out = String::new();
    for spec in &declared {
        let state = match bus.extents(&spec.name).await {
            Ok(extents) if extents.len() == spec.partitions as usize => "as declared".to_owned(),
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
            clean_up(spec)
        )?;
    }
    if matches!(command, TopicsCommand::Apply) {
        bus.ensure_topics(&declared)
            .await
            .context("the topics cannot be made as declared")?;
        writeln!(out, "applied")?;
    }
    Ok(out)
}

fn clean_up(spec: &TopicSpec) -> String {
    let days = |age: std::time::Duration| age.as_secs() / 86_400;
    match spec.clean_up {
        CleanUp::Delete(age) => format!("{} d", days(age)),
        CleanUp::Compact => "compact".to_owned(),
        CleanUp::CompactAndDelete(age) => format!("compact, {} d", days(age)),
    }
}
