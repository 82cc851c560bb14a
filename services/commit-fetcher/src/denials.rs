//! Follows denials: every project that one concerns is looked at again, so that it ends, and that what a hook gave is seen.
//!
//! Nothing is kept: at start all denials of the log are gone over, and those whose projects have later facts ask for nothing.
//! Several instances ask for the same looks, which come to one.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, NewRecord, Origin, ReadLimits, Reader, Record, behind, record_of};
use events::{ACCESS_DENIALS, AccessDenial, Decoder, PROJECTS, PUSH_EVENTS_BACKFILL};
use model::{Position, TopicName};
use runtime::{BoxError, Edges, Stop};

use crate::directory::Directory;
use crate::worker::ROLE;

/// Records of one append.
const TOGETHER: usize = 500;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The task.
pub(crate) struct Denials {
    pub bus: Arc<dyn Bus>,
    pub edges: Edges,
    pub stop: Stop,
}

impl Denials {
    /// Until the stop. Passing faults of the log are outlasted: what was not settled is gone over again.
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let mut wait = FIRST_WAIT;
        loop {
            match self.stop.or(self.follow(&mut wait)).await {
                None => return Ok(()),
                Some(Err(error)) if error.is_transient() => {
                    tracing::warn!(%error, "denials cannot be followed, will retry");
                    let _ = self.stop.or(self.edges.clock.sleep(wait)).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(never)) => match never {},
            }
        }
    }

    async fn follow(&self, wait: &mut Duration) -> Result<std::convert::Infallible, BusError> {
        let decoder = Decoder::default();
        let mut directory = Directory::default();
        let mut facts = self.reader(&PROJECTS).await?;
        let mut denials = self.reader(&ACCESS_DENIALS).await?;
        loop {
            let records = denials.next().await?;
            if records.is_empty() {
                continue;
            }
            // What was known when the denial was written is known here before it is acted on.
            self.catch_up(&mut *facts, |record| directory.take(&decoder, record))
                .await?;
            for record in &records {
                match bus::value_of::<AccessDenial>(&decoder, record) {
                    Ok(Some(denial)) => self.ask(&directory, &denial, record).await?,
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(%error, "a denial cannot be read: its projects are looked at when they are pushed to")
                    }
                }
            }
            *wait = FIRST_WAIT;
        }
    }

    async fn reader(&self, topic: &TopicName) -> Result<Box<dyn Reader>, BusError> {
        let extents = self.bus.extents(topic).await?;
        let from = extents.iter().map(|extent| Position {
            topic: topic.clone(),
            partition: extent.partition,
            next: extent.start,
        });
        self.bus.read(from.collect(), ReadLimits::default()).await
    }

    /// Reads to where the topic ends now.
    async fn catch_up(&self, reader: &mut dyn Reader, mut take: impl FnMut(&Record)) -> Result<(), BusError> {
        let ends = self.bus.extents(&PROJECTS).await?;
        while behind(&PROJECTS, &reader.positions(), &ends) > 0 {
            reader.next().await?.iter().for_each(&mut take);
        }
        Ok(())
    }

    async fn ask(
        &self,
        directory: &Directory,
        denial: &AccessDenial,
        record: &Record,
    ) -> Result<(), BusError> {
        let looks = directory.looks(denial, record.timestamp);
        if looks.is_empty() {
            return Ok(());
        }
        tracing::info!(
            hook = denial.hook,
            projects = looks.len(),
            "projects are looked at again"
        );
        let origin = Origin {
            source: ROLE,
            at: self.edges.clock.now(),
            traceparent: None,
            id: None,
        };
        // Pushes of others go first: a denial is in force already.
        let records = looks
            .iter()
            .map(|look| record_of(&PUSH_EVENTS_BACKFILL, look, origin));
        let records: Vec<NewRecord> = records
            .collect::<Result<_, _>>()
            .map_err(|error| BusError::Unavailable(error.into()))?;
        for some in records.chunks(TOGETHER) {
            self.bus.append(some.to_vec()).await?;
        }
        Ok(())
    }
}
