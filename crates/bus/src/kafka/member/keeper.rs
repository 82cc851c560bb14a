use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::{Offset, Position, TopicName};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset as RawOffset;

use super::super::admin::commit;
use super::super::client::{Context, Wanted};
use super::super::errors::{Kind, Refusal, bus_error};
use super::super::records::record_in;
use super::super::shared::Shared;
use super::super::slot_list;
use super::desk::Desk;
use super::shares::Companions;
use crate::{Assignment, BusError, TopicPartition};

/// Settled positions are stored this long after the first of them was settled, at the latest.
const SAVE_EVERY: Duration = Duration::from_millis(500);

const SAVING: &str = "storing positions";

/// How long a member that leaves tries to store its last positions.
const SAVE_LAST: Duration = Duration::from_secs(3);

/// After a request to the cluster failed.
const AGAIN: Duration = Duration::from_millis(500);

/// So many records are taken from the library before the rest is looked at again.
const AT_ONCE: usize = 200;

/// Partitions that were taken away and are not given back yet.
struct Drain {
    slots: BTreeSet<TopicPartition>,
    until: Instant,
}

/// Talks to the cluster for one member, on a thread of its own.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Context>>,
    desk: Arc<Desk>,
    companions: Companions,
    ids: BTreeMap<TopicName, u128>,
    drain: Duration,
    owned: BTreeMap<TopicPartition, Offset>,
    wanted: VecDeque<Wanted>,
    draining: Option<Drain>,
    /// What the library was told to pause.
    paused: BTreeSet<TopicPartition>,
    save_at: Option<Instant>,
    not_before: Instant,
}

impl Keeper {
    pub(super) fn new(
        shared: Arc<Shared>,
        consumer: Arc<BaseConsumer<Context>>,
        desk: Arc<Desk>,
        companions: Companions,
        ids: BTreeMap<TopicName, u128>,
        drain: Duration,
    ) -> Self {
        Self {
            shared,
            consumer,
            desk,
            companions,
            ids,
            drain,
            owned: BTreeMap::new(),
            wanted: VecDeque::new(),
            draining: None,
            paused: BTreeSet::new(),
            save_at: None,
            not_before: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        while !self.desk.is_leaving() {
            if let Err(error) = self.step() {
                tracing::warn!(%error, "the member of the group ends");
                self.desk.fail(error);
                break;
            }
        }
        self.save_the_last();
        self.consumer.context().leaving.store(true, Ordering::Release);
        self.answer_the_last();
        let Self { consumer, desk, .. } = self;
        // What the group is told about leaving, the library does here.
        drop(consumer);
        desk.gone();
    }

    /// What is settled need not be done again by whoever comes next.
    fn save_the_last(&mut self) {
        let until = Instant::now() + self.shared.options.deadline.min(SAVE_LAST);
        self.desk.save_now();
        while !self.desk.is_saved() && Instant::now() < until {
            self.not_before = Instant::now();
            if let Err(error) = self.save().and_then(|()| self.poll()) {
                tracing::debug!(%error, "the last positions were not stored");
                return;
            }
        }
    }

    /// Closing waits for an answer to everything that the coordinator wanted.
    fn answer_the_last(&mut self) {
        self.note_wanted();
        let mut given: Vec<BTreeSet<TopicPartition>> = Vec::new();
        let mut taken = false;
        given.extend(self.draining.take().map(|drain| drain.slots));
        for wanted in std::mem::take(&mut self.wanted) {
            match wanted {
                Wanted::Give(leading) => given.push(self.companions.all(&leading)),
                Wanted::Take(_) => taken = true,
            }
        }
        let mut answers = Vec::new();
        for slots in given {
            let slots: Vec<_> = slots.into_iter().collect();
            answers.push(
                self.consumer
                    .incremental_unassign(&slot_list(&self.shared.names, &slots)),
            );
        }
        if taken {
            answers.push(
                self.consumer
                    .incremental_assign(&slot_list(&self.shared.names, &[])),
            );
        }
        for error in answers.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "a last answer to the group was not taken");
        }
    }

    fn step(&mut self) -> Result<(), BusError> {
        self.check_topics()?;
        self.note_wanted();
        self.hand_over_what_is_due()?;
        self.do_wanted()?;
        self.pause_and_resume()?;
        self.save()?;
        self.poll()
    }

    fn check_topics(&self) -> Result<(), BusError> {
        match self.shared.catalog.replaced(&self.ids) {
            Some(topic) => Err(BusError::Replaced { topic }),
            None => Ok(()),
        }
    }

    fn note_wanted(&mut self) {
        while let Some(wanted) = self.consumer.context().next_wanted() {
            self.wanted.push_back(wanted);
        }
    }

    /// One after the other, in the order in which the coordinator wants it.
    fn do_wanted(&mut self) -> Result<(), BusError> {
        while self.draining.is_none() && Instant::now() >= self.not_before {
            match self.wanted.pop_front() {
                None => return Ok(()),
                Some(Wanted::Give(leading)) => self.begin_to_give(&leading)?,
                Some(Wanted::Take(leading)) => match self.take(&leading) {
                    Ok(()) => {}
                    Err(error) if error.is_transient() => {
                        tracing::warn!(%error, "partitions cannot be taken over yet, will try again");
                        self.wanted.push_front(Wanted::Take(leading));
                        self.not_before = Instant::now() + AGAIN;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn take(&mut self, leading: &[TopicPartition]) -> Result<(), BusError> {
        let slots: Vec<_> = self.companions.all(leading).into_iter().collect();
        let assignments = self.assignments(&slots)?;
        let positions: Vec<Position> = assignments.iter().map(|a| a.position.clone()).collect();
        let list = self.shared.position_list(&positions)?;
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| bus_error("taking over partitions", &error))?;
        if assignments.is_empty() {
            return Ok(());
        }
        // The library remembers that a partition was paused when it was given back.
        self.consumer
            .resume(&slot_list(&self.shared.names, &slots))
            .map_err(|error| bus_error("resuming partitions", &error))?;
        for position in &positions {
            let slot = TopicPartition::from(position);
            self.paused.remove(&slot);
            self.owned.insert(slot, position.next);
        }
        self.desk.put_assigned(assignments);
        Ok(())
    }

    /// Where to begin: where the group was, or at the start.
    fn assignments(&self, slots: &[TopicPartition]) -> Result<Vec<Assignment>, BusError> {
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let list = slot_list(&self.shared.names, slots);
        let stored = self
            .consumer
            .committed_offsets(list, self.shared.options.deadline)
            .map_err(|error| bus_error("asking for stored positions", &error))?;
        let mut positions = BTreeMap::new();
        for element in stored.elements() {
            element
                .error()
                .map_err(|error| bus_error("asking for stored positions", &error))?;
            if let RawOffset::Offset(offset) = element.offset() {
                positions.insert(
                    (element.topic().to_owned(), element.partition()),
                    Offset::new(u64::try_from(offset).unwrap_or_default()),
                );
            }
        }
        let extents = self.shared.extents_now(slots)?;
        let mut assignments = Vec::with_capacity(slots.len());
        for slot in slots {
            let extent = extents.get(slot).ok_or_else(|| {
                BusError::Unavailable(format!("the broker does not say where {slot} lies").into())
            })?;
            let name = (
                self.shared.names.topic(&slot.topic),
                super::super::raw_partition(slot.partition),
            );
            let stored = positions.get(&name).copied();
            if let Some(stored) = stored.filter(|stored| *stored > extent.end) {
                return Err(BusError::PastEnd {
                    position: slot.at(stored),
                    end: extent.end,
                });
            }
            assignments.push(Assignment {
                position: slot.at(stored.unwrap_or(extent.start).max(extent.start)),
                lost_from: stored.filter(|stored| *stored < extent.start),
            });
        }
        Ok(assignments)
    }

    fn begin_to_give(&mut self, leading: &[TopicPartition]) -> Result<(), BusError> {
        let slots = self.companions.all(leading);
        let lost = self.consumer.assignment_lost();
        let within = if lost { Duration::ZERO } else { self.drain };
        if !slots.is_empty() {
            // What is fetched ahead is of no use here any more.
            let list: Vec<_> = slots.iter().cloned().collect();
            self.consumer
                .pause(&slot_list(&self.shared.names, &list))
                .map_err(|error| bus_error("pausing partitions", &error))?;
            for slot in &slots {
                self.owned.remove(slot);
            }
            self.desk.put_revoked(&slots, within);
        }
        if lost {
            tracing::warn!("the group has given this member's partitions away");
            self.desk.forget(&slots);
        }
        self.draining = Some(Drain {
            slots,
            until: Instant::now() + within,
        });
        self.hand_over_what_is_due()
    }

    /// Gives back what was released and stored, or what is overdue.
    fn hand_over_what_is_due(&mut self) -> Result<(), BusError> {
        let Some(drain) = &self.draining else {
            return Ok(());
        };
        let overdue = Instant::now() >= drain.until;
        if !overdue {
            if !self.desk.are_released(&drain.slots) {
                return Ok(());
            }
            if !self.desk.is_saved() {
                self.desk.save_now();
                return Ok(());
            }
        }
        let Some(drain) = self.draining.take() else {
            return Ok(());
        };
        self.desk.forget(&drain.slots);
        let slots: Vec<_> = drain.slots.into_iter().collect();
        for slot in &slots {
            self.paused.remove(slot);
        }
        self.consumer
            .incremental_unassign(&slot_list(&self.shared.names, &slots))
            .map_err(|error| bus_error("giving partitions back", &error))
    }

    /// The worker's wishes; and everything, while the desk is full.
    fn pause_and_resume(&mut self) -> Result<(), BusError> {
        let wanted: BTreeSet<_> = if self.desk.is_full() {
            self.owned.keys().cloned().collect()
        } else {
            let paused = self.desk.paused();
            paused
                .into_iter()
                .filter(|slot| self.owned.contains_key(slot))
                .collect()
        };
        let more: Vec<_> = wanted.difference(&self.paused).cloned().collect();
        let fewer: Vec<_> = self
            .paused
            .iter()
            .filter(|slot| !wanted.contains(*slot) && self.owned.contains_key(*slot))
            .cloned()
            .collect();
        if !more.is_empty() {
            self.consumer
                .pause(&slot_list(&self.shared.names, &more))
                .map_err(|error| bus_error("pausing partitions", &error))?;
        }
        if !fewer.is_empty() {
            self.consumer
                .resume(&slot_list(&self.shared.names, &fewer))
                .map_err(|error| bus_error("resuming partitions", &error))?;
        }
        self.paused = wanted;
        Ok(())
    }

    /// Stores settled prefixes: soon, or at once if somebody waits.
    fn save(&mut self) -> Result<(), BusError> {
        while let Some(outcome) = self.consumer.context().next_commit() {
            match outcome {
                // Nothing to store is no failure.
                Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {
                    self.desk.end_saving(true)
                }
                Err(error) => self.not_saved(Refusal::new(SAVING, &error))?,
            }
        }
        let now = Instant::now();
        if !self.desk.has_unsaved() {
            self.save_at = None;
            return Ok(());
        }
        let due = *self.save_at.get_or_insert(now + SAVE_EVERY);
        if now < due && !(self.desk.wants_saving() && now >= self.not_before) {
            return Ok(());
        }
        let Some(positions) = self.desk.begin_saving() else {
            return Ok(());
        };
        self.save_at = None;
        let positions: Vec<_> = positions.iter().map(|(slot, next)| slot.at(*next)).collect();
        let list = self.shared.position_list(&positions)?;
        commit(self.consumer.client(), &list).or_else(|refusal| self.not_saved(refusal))
    }

    fn not_saved(&mut self, refusal: Refusal) -> Result<(), BusError> {
        self.desk.end_saving(false);
        self.not_before = Instant::now() + AGAIN;
        self.save_at = Some(self.not_before);
        match refusal.code.map(|code| self.shared.kind(code)) {
            Some(Kind::Refused | Kind::Fenced) => Err(refusal.into()),
            _ => {
                tracing::debug!(error = %refusal, "positions were not stored, will try again");
                Ok(())
            }
        }
    }

    fn wait(&self) -> Duration {
        if self.desk.is_leaving() {
            return Duration::from_millis(20);
        }
        let now = Instant::now();
        let mut wait = SAVE_EVERY;
        let mut until = |at: Instant| wait = wait.min(at.saturating_duration_since(now));
        if let Some(drain) = &self.draining {
            until(drain.until);
        }
        if let Some(at) = self.save_at {
            until(at);
        }
        if !self.wanted.is_empty() && self.draining.is_none() {
            until(self.not_before);
        }
        wait.max(Duration::from_millis(1))
    }

    fn poll(&mut self) -> Result<(), BusError> {
        let mut wait = self.wait();
        let mut records = Vec::new();
        for _ in 0..AT_ONCE {
            let Some(polled) = self.consumer.poll(wait) else {
                break;
            };
            wait = Duration::ZERO;
            let message = match polled {
                Ok(message) => message,
                Err(error) => {
                    self.desk.put_records(std::mem::take(&mut records));
                    self.fault(&error)?;
                    continue;
                }
            };
            let Some(record) = record_in(&self.shared.names, &message) else {
                continue;
            };
            if let Some(next) = self.owned.get_mut(&record.slot())
                && record.offset >= *next
            {
                *next = record.offset.next();
                records.push(record);
            }
        }
        self.desk.put_records(records);
        Ok(())
    }

    /// What the library mends by itself is no fault.
    fn fault(&mut self, error: &KafkaError) -> Result<(), BusError> {
        let Some(code) = error.rdkafka_error_code() else {
            return Ok(());
        };
        if matches!(
            code,
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
        ) {
            return self.overtaken();
        }
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) || self.shared.kind(code) == Kind::Fenced {
            return Err(BusError::Fenced);
        }
        match self.shared.kind(code) {
            Kind::Refused => Err(bus_error("reading", error)),
            _ => {
                tracing::debug!(%error, "kafka member: will go on");
                Ok(())
            }
        }
    }

    /// Retention took records before they were read: go on behind them, and say so.
    fn overtaken(&mut self) -> Result<(), BusError> {
        let slots: Vec<_> = self.owned.keys().cloned().collect();
        let extents = match self.shared.extents_now(&slots) {
            Ok(extents) => extents,
            Err(error) if error.is_transient() => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut assignments = Vec::new();
        for (slot, extent) in extents {
            let Some(next) = self.owned.get_mut(&slot) else {
                continue;
            };
            if *next > extent.end {
                return Err(BusError::PastEnd {
                    position: slot.at(*next),
                    end: extent.end,
                });
            }
            if *next >= extent.start {
                continue;
            }
            let lost_from = Some(*next);
            *next = extent.start;
            let position = slot.at(extent.start);
            self.consumer
                .seek(
                    &self.shared.names.topic(&slot.topic),
                    super::super::raw_partition(slot.partition),
                    RawOffset::Offset(super::super::raw(extent.start)),
                    self.shared.options.deadline,
                )
                .map_err(|error| bus_error("going on behind lost records", &error))?;
            assignments.push(Assignment { position, lost_from });
        }
        if !assignments.is_empty() {
            self.desk.put_assigned(assignments);
        }
        Ok(())
    }
}
