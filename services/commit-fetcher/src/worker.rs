//! Carries looks out: the automaton of [`crate::look`] between the bus, GitLab, git and the blob store.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use blobs::Blobs;
use bus::worker::{Lane, Turn, Worker};
use bus::{Bus, BusError, NewRecord, Origin, ReadLimits, Record, TopicPartition, record_of, value_of};
use events::{COMMITS, Decoder, EVENT_STATUS, EncodeError, PROJECTS, PUSH_EVENTS, ProjectRecord, TopicValue};
use model::{Generation, Outcome, Owner, Partition, ProjectId, Reason, TopicName};
use runtime::traces::Kind;
use runtime::{Edges, Span, Traces};
use tracing::Instrument;

use crate::edges::{ContentSource, FactsSource, Fetched};
use crate::facts::KnownFacts;
use crate::failure::{NOT_OWNED, WriteError, failed, refusal, retry_us};
use crate::look::{Command, Ending, Look, Patience, Step, fetched_status, rejected_instead, remember};
use crate::memory::{Memories, ProjectMemory};
use crate::meters::Meters;
use crate::own_output::{Sent, is_output};
use crate::publish::publish;
use crate::request::{Request, project_of};
use crate::sections::SectionCache;

/// The group and the source of its records.
pub(crate) const ROLE: &str = "commit-fetcher";

/// What a worker stands on.
#[derive(Clone)]
pub struct Sources {
    /// Where records come from and go to.
    pub bus: Arc<dyn Bus>,
    /// Where content goes.
    pub blobs: Arc<dyn Blobs>,
    /// GitLab's API.
    pub facts: Arc<dyn FactsSource>,
    /// Repositories.
    pub content: Arc<dyn ContentSource>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// Looks at projects, one turn one look. Drive it with [`bus::worker::run`], or call it turn by turn.
pub struct Fetcher {
    sources: Sources,
    edges: Edges,
    traces: Traces,
    meters: Meters,
    decoder: Decoder,
    memories: Memories,
    cache: Arc<SectionCache>,
    patience: Patience,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("projects", &self.memories.known())
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A worker that remembers nothing yet.
    ///
    /// # Errors
    /// When a metric of its catalogue is taken.
    pub fn new(
        sources: Sources,
        patience: Patience,
        cached_sections: NonZeroUsize,
        edges: &Edges,
    ) -> Result<Self, runtime::metrics::MetricError> {
        Ok(Self {
            sources,
            edges: edges.clone(),
            traces: edges.traces.of(ROLE),
            meters: Meters::register(&edges.metrics)?,
            decoder: Decoder::default(),
            memories: Memories::default(),
            cache: Arc::new(SectionCache::new(cached_sections)),
            patience,
        })
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    async fn look(&self, project: ProjectId, turn: &Turn) -> Outcome {
        let Some(partition) = turn.records.first().map(|(_, record)| record.partition) else {
            return Outcome::Done;
        };
        let (output, asked): (Vec<_>, Vec<_>) = turn
            .records
            .iter()
            .partition(|(_, record)| is_output(&record.topic));
        let output: Vec<&Record> = output.into_iter().map(|(_, record)| record).collect();
        let foreign = self.memories.foreign(partition, project, &output);
        let mut request = Request::merge(&self.decoder, asked.iter().map(|(_, record)| record));
        // A null is erasure's.
        for record in foreign.iter().filter(|record| record.value.is_some()) {
            tracing::warn!(project.id = %project, position = %record.next(), "written by another process, looked at again");
            self.meters.doubted();
            request.doubt(&self.decoder, record);
        }
        let (asks, events) = (request.events > 0 || request.doubted, request.events);
        let outcome = if asks {
            self.look_for(Place { project, partition }, request, &asked, turn.attempt)
                .await
        } else {
            Outcome::Done
        };
        // The status says it; there is no event to be parked.
        let outcome = match outcome {
            Outcome::Reject(_) if events == 0 => Outcome::Done,
            outcome => outcome,
        };
        if !matches!(outcome, Outcome::Retry { .. }) {
            self.memories.settled(partition, project, &output);
        }
        outcome
    }

    async fn look_for(
        &self,
        place: Place,
        request: Request,
        asked: &[&(Lane, Record)],
        attempt: u32,
    ) -> Outcome {
        let Place { project, partition } = place;
        self.memories
            .update(partition, project, |memory| memory.raise(request.floor));
        let Some((generation, known)) = self.memories.begin(partition, project, self.edges.clock.now())
        else {
            return retry_us(NOT_OWNED);
        };
        let mut trace = self.traces.begin("look", Kind::Consumer, request.causes());
        trace.number("project.id", project.get());
        trace.number("generation", generation.get());
        trace.number("events", request.events as u64);
        trace.number("attempt", attempt);
        let span = tracing::info_span!(
            "look",
            project.id = %project,
            generation = generation.get(),
            trace.id = trace.trace_id(),
            events = request.events,
            causes = tracing::field::Empty,
        );
        if request.causes.len() > 1 {
            span.record("causes", request.causes.join(" "));
        }
        let backfill = asked.iter().filter(|(lane, _)| *lane == Lane::Backfill).count();
        let (live, unreadable) = (asked.len() - backfill, request.unreadable);
        let look = Look::begin(project, generation, known, request, attempt, self.patience);
        let started = self.edges.clock.monotonic();
        let (how, outcome) = self.carry_out(place, look, &trace).instrument(span).await;
        trace.word("outcome", how);
        if matches!(outcome, Outcome::Retry { .. }) {
            trace.fail();
        }
        drop(trace);
        self.meters
            .looked(how, self.edges.clock.monotonic().saturating_sub(started));
        if !matches!(outcome, Outcome::Retry { .. }) {
            self.meters.events(live, backfill, unreadable);
            self.sources.content.looked(project, how == "gone").await;
        }
        outcome
    }

    async fn carry_out(&self, place: Place, look: Step, trace: &Span) -> (&'static str, Outcome) {
        let (ending, fetched) = match self.ask(place.project, look, trace).await {
            Ok(asked) => asked,
            Err(error) => return failed(error),
        };
        let Ending {
            commands,
            outcome,
            how,
        } = ending;
        for (n, command) in commands.iter().enumerate() {
            let Err(error) = self.write(place, command, fetched.as_ref(), trace).await else {
                continue;
            };
            let reason = refusal(&error).filter(|_| !matches!(outcome, Outcome::Retry { .. }));
            let Some((reason, status)) =
                reason.and_then(|reason| Some((reason.clone(), rejected_instead(&commands[n..], &reason)?)))
            else {
                return failed(error);
            };
            return match self
                .write(place, &Command::Status(Box::new(status)), None, trace)
                .await
            {
                Ok(()) => ("rejected", Outcome::Reject(reason)),
                Err(error) => failed(error),
            };
        }
        if let Err(tripped) = runtime::failpoint!("commit-fetcher.before-settle") {
            return failed(tripped.into());
        }
        tracing::debug!(how, "looked");
        (how, outcome)
    }

    async fn ask(
        &self,
        project: ProjectId,
        mut step: Step,
        trace: &Span,
    ) -> Result<(Ending, Option<Fetched>), WriteError> {
        let clock = &self.edges.clock;
        let mut fetched = None;
        loop {
            let started = clock.monotonic();
            step = match step {
                Step::Fetch(look, aim) => {
                    let mut asking = trace.child("fetch", Kind::Client);
                    let answer = self.sources.content.fetch(project, &aim).await;
                    if answer.is_err() {
                        asking.fail();
                    }
                    drop(asking);
                    self.meters
                        .step("fetch", clock.monotonic().saturating_sub(started));
                    runtime::failpoint!("commit-fetcher.after-fetch")?;
                    let head = match answer {
                        Ok(content) => {
                            self.meters.fetched(content.bytes);
                            let head = content.head.clone();
                            fetched = Some(content);
                            Ok(head)
                        }
                        Err(error) => {
                            fetched = None;
                            Err(error)
                        }
                    };
                    look.fetched(aim, head)
                }
                Step::AskFacts(look) => {
                    let mut asking = trace.child("facts", Kind::Client);
                    let answer = self.sources.facts.facts(project).await;
                    if answer.is_err() {
                        asking.fail();
                    }
                    drop(asking);
                    self.meters
                        .step("facts", clock.monotonic().saturating_sub(started));
                    look.facts(answer, clock.now())?
                }
                Step::End(ending) => return Ok((ending, fetched)),
            };
        }
    }

    async fn write(
        &self,
        place: Place,
        command: &Command,
        fetched: Option<&Fetched>,
        trace: &Span,
    ) -> Result<(), WriteError> {
        let traceparent = trace.traceparent();
        match command {
            Command::Facts(facts) => {
                let record = self.record(&PROJECTS, &**facts, &traceparent)?;
                self.append_output(place, facts.envelope.generation, vec![record], trace)
                    .await?;
            }
            Command::Status(status) => {
                let record = self.record(&EVENT_STATUS, &**status, &traceparent)?;
                self.append(vec![record], trace).await?;
            }
            Command::Content(commit) => {
                // The automaton ends in content only after a fetch that succeeded.
                let Some(fetched) = fetched else { return Ok(()) };
                let mut commit = (**commit).clone();
                let started = self.edges.clock.monotonic();
                let sources = &self.sources;
                let storing = trace.child("blobs", Kind::Internal);
                let published = publish(
                    place.project,
                    fetched,
                    &*sources.content,
                    &*sources.blobs,
                    &self.cache,
                    started,
                )
                .await?;
                drop(storing);
                self.meters
                    .step("blobs", self.edges.clock.monotonic().saturating_sub(started));
                self.meters.stored(published.stored);
                runtime::failpoint!("commit-fetcher.after-blobs")?;
                commit.sections = published.sections;
                commit.attached = published.attached;
                commit.linked.clone_from(&fetched.linked);
                let status = fetched_status(&commit);
                runtime::failpoint!("commit-fetcher.before-content")?;
                let record = self.record(&COMMITS, &commit, &traceparent)?;
                let status = self.record(&EVENT_STATUS, &status, &traceparent)?;
                self.append_output(place, commit.envelope.generation, vec![record, status], trace)
                    .await?;
            }
        }
        let mut remembered = Ok(());
        self.memories.update(place.partition, place.project, |memory| {
            remembered = remember(memory, command)
        });
        remembered?;
        if matches!(command, Command::Facts(_)) {
            self.meters.known_projects(self.memories.known());
            runtime::failpoint!("commit-fetcher.after-facts")?;
        }
        Ok(())
    }

    /// Appends to what the role reads back. Only what was acknowledged is known as its own: anything else may be in the log
    /// or not, now or later, and nothing is remembered of it.
    async fn append_output(
        &self,
        place: Place,
        generation: Generation,
        records: Vec<NewRecord>,
        trace: &Span,
    ) -> Result<(), WriteError> {
        let Place { project, partition } = place;
        if !self.memories.owns(partition) {
            return Err(WriteError::NotOwned);
        }
        let ids: Vec<Sent> = records
            .iter()
            .filter(|record| is_output(&record.topic))
            .filter_map(|record| Sent::of(generation, record))
            .collect();
        self.append(records, trace).await?;
        self.memories.sent(partition, project, ids);
        Ok(())
    }

    fn record<T: TopicValue>(
        &self,
        topic: &TopicName,
        value: &T,
        traceparent: &str,
    ) -> Result<NewRecord, EncodeError> {
        let origin = Origin {
            source: ROLE,
            at: self.edges.clock.now(),
            traceparent: Some(traceparent),
            id: None,
        };
        record_of(topic, value, origin)
    }

    async fn append(&self, records: Vec<NewRecord>, trace: &Span) -> Result<(), BusError> {
        let started = self.edges.clock.monotonic();
        let _log = trace.child("log", Kind::Producer);
        self.sources.bus.append(records).await?;
        self.meters
            .step("log", self.edges.clock.monotonic().saturating_sub(started));
        Ok(())
    }

    async fn restore(&self, partitions: &[Partition]) -> Result<(), BusError> {
        let mut projects: HashMap<Partition, HashMap<ProjectId, ProjectMemory>> = partitions
            .iter()
            .map(|partition| (*partition, HashMap::new()))
            .collect();
        bus::restore(
            &*self.sources.bus,
            &PROJECTS,
            Some(partitions),
            ReadLimits::default(),
            |record| {
                let Some(known) = projects.get_mut(&record.partition) else {
                    return;
                };
                match value_of::<ProjectRecord>(&self.decoder, &record) {
                    Ok(Some(facts)) => match KnownFacts::of(&facts) {
                        Ok(summary) => known
                            .entry(facts.project_id)
                            .or_default()
                            .restore(&facts, summary),
                        Err(error) => {
                            tracing::error!(project.id = %facts.project_id, %error, "facts not remembered")
                        }
                    },
                    Ok(None) => {
                        if let Some(project) = project_of(&record.key) {
                            known.remove(&project);
                        }
                    }
                    // They will be written anew at the next look.
                    Err(error) => tracing::error!(position = %record.next(), %error, "facts cannot be read"),
                }
            },
        )
        .await?;
        for (partition, projects) in projects {
            self.memories.own(partition, projects);
        }
        self.meters.known_projects(self.memories.known());
        Ok(())
    }
}

/// Whose look it is.
#[derive(Clone, Copy)]
struct Place {
    project: ProjectId,
    partition: Partition,
}

#[async_trait]
impl Worker for Fetcher {
    async fn assigned(&self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        let mut unknown: Vec<Partition> = partitions
            .iter()
            .map(|slot| slot.partition)
            .filter(|partition| !self.memories.owns(*partition))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            self.restore(&unknown).await?;
        }
        for slot in partitions {
            self.memories.hold(slot.partition, &slot.topic);
        }
        Ok(())
    }

    fn revoked(&self, partitions: &[TopicPartition]) {
        for slot in partitions {
            self.memories.let_go(slot.partition, &slot.topic);
        }
        self.meters.known_projects(self.memories.known());
    }

    fn merged(&self, records: &[(Lane, Record)]) -> Option<NewRecord> {
        let (_, first) = records.first()?;
        let project = project_of(&first.key)?;
        let records = records.iter().map(|(_, record)| record);
        let (output, events): (Vec<&Record>, Vec<&Record>) =
            records.partition(|record| is_output(&record.topic));
        let mut request = Request::merge(&self.decoder, events);
        for record in self.memories.foreign(first.partition, project, &output) {
            request.doubt(&self.decoder, record);
        }
        let event = request.event(project, self.edges.clock.now());
        // One cause goes on as it is. Several have a span of no length that is linked to them, so that the look is too.
        let traceparent = match request.causes.as_slice() {
            [cause] => cause.clone(),
            _ => self
                .traces
                .begin("wait", Kind::Internal, request.causes())
                .traceparent(),
        };
        self.record(&PUSH_EVENTS, &event, &traceparent).ok()
    }

    async fn handle(&self, turn: Turn) -> Outcome {
        match project_of(&turn.key) {
            Some(project) => self.look(project, &turn).await,
            None => Outcome::Reject(Reason {
                code: "no-project",
                owner: Owner::Caller,
                message: "the key of the event is not a project id: nothing can be looked at".to_owned(),
            }),
        }
    }
}
