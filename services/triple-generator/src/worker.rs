//! Carries turns out: records in, blobs and records out.

use std::sync::Arc;

use async_trait::async_trait;
use blobs::Blobs;
use bus::worker::{Turn, Worker, was_tried};
use bus::{Bus, BusError, NewRecord, Record, TopicPartition, record_of, value_of};
use events::{
    COMMITS, CommitFetched, Covers, Decoder, EVENT_STATUS, Envelope, EventStatus, Graph, PROJECT_GRAPHS,
    ProjectGraph, ProjectRecord, Stage, StageOutcome,
};
use model::{Generation, Outcome, Owner, Partition, ProjectId, Reason};
use runtime::trace_context::TRACEPARENT;
use runtime::traces::Kind;
use runtime::{Edges, Span, Traces};
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::maker::{GENERATOR_VERSION, MakeError, Maker};
use crate::meters::Meters;
use crate::newest::{Change, Given, OwnOutput, output_partitions};
use crate::plan::{Newest, Step, out_of_order, plan};
use crate::{ROLE, RoleError, origin};

/// Makes graphs, one turn one graph. Drive it with [`bus::worker::run`], or call it turn by turn.
pub struct Generator {
    bus: Arc<dyn Bus>,
    blobs: Arc<dyn Blobs>,
    edges: Edges,
    traces: Traces,
    meters: Meters,
    decoder: Decoder,
    own: OwnOutput,
    changes: mpsc::UnboundedSender<Change>,
    maker: Maker,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

impl Generator {
    /// A generator that remembers nothing yet.
    ///
    /// # Errors
    /// When a metric of its catalogue is taken.
    pub(crate) fn new(
        host: rdf::Host,
        cache_bytes: usize,
        bus: Arc<dyn Bus>,
        blobs: Arc<dyn Blobs>,
        changes: mpsc::UnboundedSender<Change>,
        edges: &Edges,
    ) -> Result<Self, runtime::metrics::MetricError> {
        let meters = Meters::register(&edges.metrics)?;
        Ok(Self {
            maker: Maker::new(
                host,
                cache_bytes,
                blobs.clone(),
                meters.clone(),
                edges.clock.clone(),
            ),
            bus,
            blobs,
            edges: edges.clone(),
            traces: edges.traces.of(ROLE),
            meters,
            decoder: Decoder::default(),
            own: OwnOutput::default(),
            changes,
        })
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    async fn turn(&self, partition: Partition, project: ProjectId, turn: Turn) -> Outcome {
        let (mut commits, mut facts) = (Vec::new(), Vec::new());
        let mut causes = Causes::default();
        // What waited in the retry lane is late by right: it goes first and is not asked whether it is in order.
        let (late, fresh): (Vec<_>, Vec<_>) = turn
            .records
            .iter()
            .map(|(_, record)| record)
            .partition(|record| was_tried(record));
        let (mut late_commits, mut late_facts) = (0, 0);
        for (at, record) in late.iter().chain(&fresh).copied().enumerate() {
            if at == late.len() {
                (late_commits, late_facts) = (commits.len(), facts.len());
            }
            causes.note(record);
            let read = if record.topic == COMMITS {
                value_of::<CommitFetched>(&self.decoder, record).map(|value| commits.extend(value))
            } else {
                value_of::<ProjectRecord>(&self.decoder, record).map(|value| facts.extend(value))
            };
            if let Err(error) = read {
                return Outcome::Reject(Reason {
                    code: "unreadable-record",
                    owner: Owner::Us,
                    message: format!("{}@{}: {}", record.slot(), record.offset, chain(&error)),
                });
            }
        }
        if fresh.is_empty() {
            (late_commits, late_facts) = (commits.len(), facts.len());
        }
        let newest = self.own.newest(partition, project);
        let fell_below = out_of_order(newest, &commits[late_commits..], &facts[late_facts..]);
        let mut covers = Covers::default();
        for commit in &commits {
            covers.merge(&commit.envelope.covers);
        }
        let step = plan(newest, commits, facts);
        let mut trace = self
            .traces
            .begin("generate", Kind::Consumer, causes.of_commits_or_facts());
        trace.number("project.id", project.get());
        trace.number("attempt", turn.attempt);
        match &step {
            Step::Generate(commit, _) => trace.number("generation", commit.envelope.generation.get()),
            Step::Bury(facts, _) => trace.number("generation", facts.envelope.generation.get()),
            // Facts that change no graph, mostly.
            Step::Nothing => trace.discard(),
        }
        let span = tracing::info_span!("generate", project.id = %project, trace.id = trace.trace_id());
        let outcome = self.carry_out(partition, project, step, fell_below, covers, &trace);
        let outcome = outcome.instrument(span).await;
        match outcome {
            Outcome::Done => {}
            Outcome::Retry { .. } => trace.fail(),
            Outcome::Reject(ref reason) => trace.word("outcome", reason.code),
        }
        outcome
    }

    async fn carry_out(
        &self,
        partition: Partition,
        project: ProjectId,
        step: Step,
        fell_below: Option<Generation>,
        covers: Covers,
        trace: &Span,
    ) -> Outcome {
        let outcome = match step {
            Step::Nothing => {
                self.meters.ended("older");
                Outcome::Done
            }
            Step::Bury(facts, covers) => {
                let buried = self.bury(partition, &facts, covers, trace).await;
                self.written(buried, "gone")
            }
            Step::Generate(commit, covers) => self.generate(partition, *commit, covers, trace).await,
        };
        match fell_below {
            Some(floor) if outcome == Outcome::Done => {
                tracing::warn!(%floor, "commits came out of order, the project is looked at again");
                self.meters.regressed();
                match self.look_again(project, floor, covers).await {
                    Ok(()) => outcome,
                    Err(error) => self.written(Err(error), ""),
                }
            }
            _ => outcome,
        }
    }

    async fn bury(
        &self,
        partition: Partition,
        facts: &ProjectRecord,
        covers: Covers,
        trace: &Span,
    ) -> Result<(), RoleError> {
        let envelope = Envelope {
            covers,
            ..self.envelope(&facts.envelope)
        };
        let gone = ProjectGraph {
            envelope,
            project_id: facts.project_id,
            graph: None,
        };
        self.maker.forget(facts.project_id);
        self.write(partition, gone, None, trace).await
    }

    async fn generate(
        &self,
        partition: Partition,
        commit: CommitFetched,
        covers: Covers,
        trace: &Span,
    ) -> Outcome {
        let project = commit.project_id;
        let (sha, envelope) = (
            commit.sha,
            Envelope {
                covers,
                ..self.envelope(&commit.envelope)
            },
        );
        let making = trace.child("make", Kind::Internal);
        let made = self.maker.make(commit).await;
        drop(making);
        if let Err(tripped) = runtime::failpoint!("triple-generator.after-make") {
            return self.written(Err(tripped.into()), "");
        }
        match made {
            Ok(made) => {
                let done = async {
                    let started = self.edges.clock.monotonic();
                    let storing = trace.child("blobs", Kind::Internal);
                    self.meters
                        .stored(made.values.iter().map(|(_, bytes)| bytes.len()).sum());
                    if !made.values.is_empty() {
                        self.blobs.put_many(made.values.clone()).await?;
                    }
                    drop(storing);
                    self.meters
                        .step("blobs", self.edges.clock.monotonic().saturating_sub(started));
                    runtime::failpoint!("triple-generator.after-blobs")?;
                    let status = EventStatus {
                        envelope: Envelope {
                            covers: Covers::default(),
                            ..envelope.clone()
                        },
                        project_id: project,
                        sha: Some(sha),
                        stage: Stage::Generated,
                        outcome: StageOutcome::Done,
                        awaits_generation: envelope.generation,
                        code: None,
                        message: made.graph.warnings.first().cloned(),
                    };
                    let graph: Graph = made.graph.clone();
                    let graph = ProjectGraph {
                        envelope,
                        project_id: project,
                        graph: Some(graph),
                    };
                    self.write(partition, graph, Some(status), trace).await
                };
                let done = done.await;
                // Only what the log holds may be built upon by the next push.
                if done.is_ok() {
                    self.maker.keep(project, made);
                }
                self.written(done, "graph")
            }
            Err(MakeError::Refused { code, message }) => {
                let status = EventStatus {
                    envelope,
                    project_id: project,
                    sha: Some(sha),
                    stage: Stage::Generated,
                    outcome: StageOutcome::Rejected,
                    awaits_generation: model::Generation::default(),
                    code: Some(code.to_owned()),
                    message: Some(message.clone()),
                };
                if let Err(error) = self.append_status(&status, trace).await {
                    return self.written(Err(error), "");
                }
                self.meters.ended(code);
                Outcome::Reject(Reason {
                    code,
                    owner: Owner::Caller,
                    message,
                })
            }
            Err(MakeError::Missing(blob)) => {
                // Swept or lost: whatever comes next of the project brings it back, so ask for that and let this go.
                tracing::warn!(%blob, "a blob is missing, the project is looked at again");
                match self
                    .look_again(project, envelope.generation, envelope.covers.clone())
                    .await
                {
                    Ok(()) => Outcome::Reject(Reason {
                        code: "blob-missing",
                        owner: Owner::Us,
                        message: format!("blob {blob} is missing; the project is looked at again"),
                    }),
                    Err(error) => self.written(Err(error), ""),
                }
            }
            Err(MakeError::Failed(error)) => self.written(Err(error), ""),
        }
    }

    fn envelope(&self, from: &Envelope) -> Envelope {
        Envelope {
            record_version: events::RECORD_VERSION,
            generator_version: GENERATOR_VERSION,
            observed_at: self.edges.clock.now(),
            ..from.clone()
        }
    }

    async fn write(
        &self,
        partition: Partition,
        graph: ProjectGraph,
        status: Option<EventStatus>,
        trace: &Span,
    ) -> Result<(), RoleError> {
        let started = self.edges.clock.monotonic();
        let (now, traceparent) = (self.edges.clock.now(), trace.traceparent());
        let mut records: Vec<NewRecord> = vec![record_of(
            &PROJECT_GRAPHS,
            &graph,
            origin(now, Some(&traceparent)),
        )?];
        if let Some(status) = &status {
            records.push(record_of(&EVENT_STATUS, status, origin(now, Some(&traceparent)))?);
        }
        let log = trace.child("log", Kind::Producer);
        self.bus.append(records).await?;
        drop(log);
        let newest = Newest {
            generation: graph.envelope.generation,
            digest: Some(graph.digest()),
        };
        self.own.note(partition, graph.project_id, newest);
        self.meters
            .step("log", self.edges.clock.monotonic().saturating_sub(started));
        runtime::failpoint!("triple-generator.before-settle")?;
        Ok(())
    }

    async fn append_status(&self, status: &EventStatus, trace: &Span) -> Result<(), RoleError> {
        let traceparent = trace.traceparent();
        let record = record_of(
            &EVENT_STATUS,
            status,
            origin(self.edges.clock.now(), Some(&traceparent)),
        )?;
        self.bus.append(vec![record]).await?;
        Ok(())
    }

    async fn look_again(
        &self,
        project: ProjectId,
        floor: Generation,
        covers: Covers,
    ) -> Result<(), RoleError> {
        crate::newest::look_again(&*self.bus, self.edges.clock.now(), project, floor, covers).await
    }

    fn written(&self, done: Result<(), RoleError>, how: &str) -> Outcome {
        match done {
            Ok(()) => {
                self.meters.ended(how);
                Outcome::Done
            }
            Err(error) => Outcome::Retry {
                after: None,
                owner: Owner::Us,
                why: chain(&error),
            },
        }
    }
}

/// Whose work a graph goes on with: that of the commits; without any, that of the facts.
#[derive(Default)]
struct Causes<'a> {
    commits: Vec<&'a str>,
    facts: Vec<&'a str>,
}

impl<'a> Causes<'a> {
    fn note(&mut self, record: &'a Record) {
        let causes = if record.topic == COMMITS {
            &mut self.commits
        } else {
            &mut self.facts
        };
        causes.extend(record.headers.text(TRACEPARENT));
    }

    fn of_commits_or_facts(&self) -> impl Iterator<Item = &'a str> {
        let causes = if self.commits.is_empty() {
            &self.facts
        } else {
            &self.commits
        };
        causes.iter().copied()
    }
}

/// An error with its sources, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[async_trait]
impl Worker for Generator {
    async fn assigned(&self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        let partitions = output_partitions(partitions);
        let (ends, fallen) = self.own.restore(&*self.bus, &partitions).await?;
        let newest = self.own.of(&partitions);
        // Whoever watches may have ended with the process.
        let _ = self.changes.send(Change::Given(Given { ends, newest, fallen }));
        Ok(())
    }

    fn revoked(&self, partitions: &[TopicPartition]) {
        let partitions = output_partitions(partitions);
        for partition in &partitions {
            self.own.forget(*partition);
        }
        let _ = self.changes.send(Change::Taken(partitions));
    }

    async fn handle(&self, turn: Turn) -> Outcome {
        let key = std::str::from_utf8(&turn.key)
            .ok()
            .and_then(|key| key.parse::<ProjectId>().ok());
        match (key, turn.records.first().map(|(_, record)| record.partition)) {
            (Some(project), Some(partition)) => self.turn(partition, project, turn).await,
            (None, _) => Outcome::Reject(Reason {
                code: "bad-key",
                owner: Owner::Us,
                message: format!(
                    "the key {:?} is not a project id",
                    String::from_utf8_lossy(&turn.key)
                ),
            }),
            (_, None) => Outcome::Done,
        }
    }
}
