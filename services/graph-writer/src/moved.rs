//! Carrying a view's positions over to the copy of a topic, while no process has the view.

use std::path::Path;

use model::{LogId, Position, TopicName};
use store::{StoreError, StoreOptions, Writer};

use crate::service::TOPICS;

/// A view whose positions are to be carried over.
pub struct Moving {
    writer: Writer,
    log: LogId,
    positions: Vec<Position>,
}

impl std::fmt::Debug for Moving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Moving")
    }
}

impl Moving {
    /// Takes the view of a folder. None: there is none, or it was never filled, and it begins with whatever topics there are.
    ///
    /// # Errors
    /// [`StoreError::AlreadyWritten`] while graph-writer runs.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Option<Self>, StoreError> {
        if !folder.join("data.mdb").is_file() {
            return Ok(None);
        }
        let (writer, _) = store::open(folder, options)?;
        let (log, positions) = writer.inventory().positions()?;
        Ok(log.map(|log| Self {
            writer,
            log,
            positions,
        }))
    }

    /// The log that it was made from.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Where it stands.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// The topics that it reads: of each the newest version that it stands in.
    pub fn topics(&self) -> Vec<TopicName> {
        TOPICS
            .into_iter()
            .map(|topic| {
                let newest = self
                    .positions
                    .iter()
                    .filter(|position| split(&position.topic).0 == split(&topic).0)
                    .max_by_key(|position| split(&position.topic).1);
                newest.map_or(topic, |position| position.topic.clone())
            })
            .collect()
    }

    /// From now on it stands there, in a log of that id.
    pub fn carry(mut self, positions: &[Position], log: LogId) -> Result<(), StoreError> {
        let mut txn = self.writer.begin()?;
        for position in positions {
            txn.set_position(position)?;
        }
        txn.set_log(log)?;
        txn.commit()
    }
}

/// A topic's name without its version, and the version.
fn split(topic: &TopicName) -> (&str, u32) {
    let (name, version) = topic.as_str().rsplit_once(".v").unwrap_or((topic.as_str(), ""));
    (name, version.parse().unwrap_or_default())
}
