//! One look at a project, as a pure automaton: it says what to ask, is told the answer, and ends in commands.
//!
//! Content is read first and facts after it, so that no content is ever shown with facts that are older than it.
//! Facts of an older look tell where the content is; if the facts read afterwards say that it is elsewhere (the
//! project was renamed, the default branch changed), what was fetched is forgotten and fetched from there.

use std::time::Duration;

use events::{
    CommitFetched, EncodeError, Envelope, EventStatus, ProjectRecord, ProjectState, RECORD_VERSION, Stage,
    StageOutcome,
};
use model::{Generation, Outcome, ProjectId, Reason, StateVersion, Timestamp};

use crate::edges::{FactsError, FetchError, Head, Trouble};
use crate::facts::{Aim, KnownFacts};
use crate::memory::ProjectMemory;
use crate::request::Request;

/// How often the facts may turn out to point elsewhere before the look is tried again later.
const HOPS: u8 = 4;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Ask GitLab for the facts, then call [`Look::facts`].
    AskFacts(Look),
    /// Fetch from there, then call [`Look::fetched`].
    Fetch(Look, Aim),
    /// The look is over.
    End(Ending),
}

/// How a look ends.
#[derive(Debug)]
pub struct Ending {
    /// To be done in this order, each durable before the next begins.
    pub commands: Vec<Command>,
    /// What then becomes of the events.
    pub outcome: Outcome,
    /// A word for metrics.
    pub how: &'static str,
}

/// One write.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Write the facts.
    Facts(Box<ProjectRecord>),
    /// Store what the content names, then write the commit. Sections and attachments are still to be filled in.
    Content(Box<CommitFetched>),
    /// Write the status.
    Status(Box<EventStatus>),
}

/// Bounds that decide when a look is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Events that have waited this long are rejected: well below the retention of their topic, so that none is lost
    /// without a trace.
    pub give_up_after: Duration,
    /// The first wait after a refused token; doubles each time.
    pub refused_first: Duration,
    /// The longest of those.
    pub refused_most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            give_up_after: Duration::from_secs(3 * 24 * 3600),
            refused_first: Duration::from_secs(15),
            refused_most: Duration::from_secs(300),
        }
    }
}

/// A look that has begun.
#[derive(Debug)]
pub struct Look {
    project: ProjectId,
    generation: Generation,
    attempt: u32,
    request: Request,
    known: ProjectMemory,
    patience: Patience,
    hops: u8,
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    aim: Aim,
    what: Result<Head, FetchError>,
    /// The branch was missing there twice in a row.
    twice: bool,
}

impl Look {
    /// Begins. `generation` was taken from `known` before; nothing was asked of GitLab since before that.
    pub fn begin(
        project: ProjectId,
        generation: Generation,
        known: ProjectMemory,
        request: Request,
        attempt: u32,
        patience: Patience,
    ) -> Step {
        let aim = known
            .facts
            .as_ref()
            .and_then(|facts| facts.there.as_ref()?.aim.clone());
        let look = Self {
            project,
            generation,
            attempt,
            request,
            known,
            patience,
            hops: 0,
            seen: None,
        };
        match aim {
            Some(aim) => Step::Fetch(look, aim),
            None => Step::AskFacts(look),
        }
    }

    /// The number of this look.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Takes what a fetch gave. Facts come next in any case: they say why a repository is not there, and a changed
    /// visibility must not wait for a repository that cannot be read.
    pub fn fetched(mut self, aim: Aim, what: Result<Head, FetchError>) -> Step {
        let missing = |seen: &Seen| seen.what == Err(FetchError::NoBranch);
        let before = self
            .seen
            .take()
            .is_some_and(|seen| seen.aim == aim && missing(&seen));
        let mut seen = Seen {
            aim,
            what,
            twice: false,
        };
        seen.twice = before && missing(&seen);
        self.seen = Some(seen);
        Step::AskFacts(self)
    }

    /// Takes what GitLab says of the project.
    pub fn facts(
        mut self,
        answer: Result<ProjectState, FactsError>,
        now: Timestamp,
    ) -> Result<Step, EncodeError> {
        let mut state = match answer {
            Ok(state) => state,
            Err(FactsError::Gone) => return self.gone(now).map(Step::End),
            Err(FactsError::Trouble(trouble)) => {
                return Ok(Step::End(self.trouble(Vec::new(), trouble, now)));
            }
        };
        let Some(aim) = Aim::of(&state) else {
            return self.nothing_to_read(state, now).map(Step::End);
        };
        let seen = match self.seen.take() {
            Some(seen) if seen.aim == aim => seen,
            // Nothing was fetched yet, or from elsewhere.
            _ => return self.hop(state, aim, now),
        };
        match seen.what {
            Ok(head) => self.content(state, head, now).map(Step::End),
            Err(FetchError::NoBranch) if seen.twice => {
                // GitLab names a branch that does not exist; that is none.
                state.default_branch = None;
                self.nothing_to_read(state, now).map(Step::End)
            }
            Err(FetchError::NoBranch) => {
                self.seen = Some(Seen {
                    aim: aim.clone(),
                    what: Err(FetchError::NoBranch),
                    twice: false,
                });
                self.hop(state, aim, now)
            }
            Err(error) => {
                let facts = self.facts_if_new(state, now)?;
                Ok(Step::End(match error {
                    FetchError::Rejected(reason) => self.rejected(facts, reason, now),
                    FetchError::Trouble(trouble) => self.trouble(facts, trouble, now),
                    // The facts are there and the repository is not, which passes: GitLab makes a project before its repository.
                    FetchError::NoRepository | FetchError::NoBranch => {
                        self.trouble(facts, Trouble::down("the repository is not there yet"), now)
                    }
                }))
            }
        }
    }

    fn hop(mut self, state: ProjectState, aim: Aim, now: Timestamp) -> Result<Step, EncodeError> {
        self.hops += 1;
        if self.hops <= HOPS {
            return Ok(Step::Fetch(self, aim));
        }
        let facts = self.facts_if_new(state, now)?;
        let why = "the project was renamed or its default branch changed while it was read";
        Ok(Step::End(self.trouble(facts, Trouble::down(why), now)))
    }

    fn gone(self, now: Timestamp) -> Result<Ending, EncodeError> {
        let known_gone = self.trusted().is_some_and(|facts| facts.there.is_none());
        let mut commands = Vec::new();
        if !known_gone {
            commands.push(Command::Facts(Box::new(self.facts_record(None, now))));
        }
        let mut status = self.status(&commands, Stage::Looked, StageOutcome::Done, now);
        status.envelope.covers = self.covers();
        status.code = Some("project-gone".to_owned());
        status.message = Some(
            "gitlab has no such project, or does not show it to the service: if it exists, make the service's user a member"
                .to_owned(),
        );
        commands.push(Command::Status(Box::new(status)));
        Ok(Ending {
            commands,
            outcome: Outcome::Done,
            how: "gone",
        })
    }

    fn nothing_to_read(self, state: ProjectState, now: Timestamp) -> Result<Ending, EncodeError> {
        let mut commands = self.facts_if_new(state, now)?;
        let mut status = self.status(&commands, Stage::Looked, StageOutcome::Done, now);
        status.envelope.covers = self.covers();
        // Facts that leave nothing to read take the graph away: triple-generator answers them with Gone.
        status.awaits_generation = status.envelope.state_version;
        status.code = Some("nothing-to-read".to_owned());
        status.message = Some(
            "the repository has no commit on a default branch: push one, or choose a default branch"
                .to_owned(),
        );
        commands.push(Command::Status(Box::new(status)));
        Ok(Ending {
            commands,
            outcome: Outcome::Done,
            how: "nothing-to-read",
        })
    }

    fn content(self, state: ProjectState, head: Head, now: Timestamp) -> Result<Ending, EncodeError> {
        let mut commands = self.facts_if_new(state, now)?;
        let same =
            self.known.content.as_ref().filter(|known| {
                known.sha == head.sha && known.r#ref == head.r#ref && !self.request.regenerate
            });
        if let Some(known) = same {
            let mut status = self.status(&commands, Stage::Looked, StageOutcome::NothingNew, now);
            status.envelope.covers = self.covers();
            status.awaits_generation = known.generation;
            commands.push(Command::Status(Box::new(status)));
            return Ok(Ending {
                commands,
                outcome: Outcome::Done,
                how: "nothing-new",
            });
        }
        let mut envelope = self.envelope(&commands, now);
        envelope.covers = self.covers();
        commands.push(Command::Content(Box::new(CommitFetched {
            envelope,
            project_id: self.project,
            sha: head.sha,
            parents: head.parents,
            author: head.author,
            committer: head.committer,
            title: head.title,
            r#ref: head.r#ref,
            sections: Vec::new(),
            linked: Vec::new(),
            attached: Vec::new(),
        })));
        Ok(Ending {
            commands,
            outcome: Outcome::Done,
            how: "content",
        })
    }

    fn rejected(self, mut commands: Vec<Command>, reason: Reason, now: Timestamp) -> Ending {
        let mut status = self.status(&commands, Stage::Looked, StageOutcome::Rejected, now);
        status.envelope.covers = self.covers();
        status.code = Some(reason.code.to_owned());
        status.message = Some(reason.message.clone());
        commands.push(Command::Status(Box::new(status)));
        Ending {
            commands,
            outcome: Outcome::Reject(reason),
            how: "rejected",
        }
    }

    /// Ends a look that failed for now.
    pub fn trouble(self, mut commands: Vec<Command>, trouble: Trouble, now: Timestamp) -> Ending {
        let waited = now.since(self.request.oldest);
        if waited >= self.patience.give_up_after && trouble.owner() != model::Owner::Us {
            let reason = Reason {
                code: trouble.code(),
                owner: trouble.owner(),
                message: format!(
                    "{trouble}; given up after {} hours, the next push or a parked record sent again tries anew",
                    waited.as_secs() / 3600
                ),
            };
            return self.rejected(commands, reason, now);
        }
        // The first failures are told, later ones less and less often.
        if self.attempt.is_power_of_two() {
            let mut status = self.status(&commands, Stage::Looked, StageOutcome::Retrying, now);
            status.code = Some(trouble.code().to_owned());
            status.message = Some(format!("{trouble}; will be tried again"));
            commands.push(Command::Status(Box::new(status)));
        }
        let after = match &trouble {
            Trouble::Refused => {
                let doubled = 1u32
                    .checked_shl(self.attempt.saturating_sub(1).min(20))
                    .unwrap_or(1);
                Some(
                    self.patience
                        .refused_first
                        .saturating_mul(doubled)
                        .min(self.patience.refused_most),
                )
            }
            other => other.after(),
        };
        let outcome = Outcome::Retry {
            after,
            owner: trouble.owner(),
            why: trouble.to_string(),
        };
        Ending {
            commands,
            outcome,
            how: trouble.code(),
        }
    }

    fn facts_if_new(&self, state: ProjectState, now: Timestamp) -> Result<Vec<Command>, EncodeError> {
        let known = match self.trusted() {
            Some(facts) => facts.says(self.project, &state)?,
            None => false,
        };
        if known {
            return Ok(Vec::new());
        }
        Ok(vec![Command::Facts(Box::new(
            self.facts_record(Some(state), now),
        ))])
    }

    /// The facts that are known, unless something else was seen in the log: then they are written again, as the newest.
    fn trusted(&self) -> Option<&KnownFacts> {
        let facts = self.known.facts.as_ref()?;
        (!self.request.doubted && facts.state_version >= self.request.floor).then_some(facts)
    }

    fn facts_record(&self, state: Option<ProjectState>, now: Timestamp) -> ProjectRecord {
        let mut envelope = self.envelope(&[], now);
        envelope.state_version = self.generation;
        ProjectRecord {
            envelope,
            project_id: self.project,
            state,
        }
    }

    fn status(
        &self,
        commands: &[Command],
        stage: Stage,
        outcome: StageOutcome,
        now: Timestamp,
    ) -> EventStatus {
        EventStatus {
            envelope: self.envelope(commands, now),
            project_id: self.project,
            // The key without a commit tells how the last look ended; the one with it belongs to the commit's content.
            sha: None,
            stage,
            outcome,
            awaits_generation: Generation::default(),
            code: None,
            message: None,
        }
    }

    /// The facts that hold once `commands` are done.
    fn envelope(&self, commands: &[Command], now: Timestamp) -> Envelope {
        let written = commands.iter().find_map(|command| match command {
            Command::Facts(record) => Some(record.state_version()),
            _ => None,
        });
        let known = || {
            self.known
                .facts
                .as_ref()
                .map_or(StateVersion::default(), |facts| facts.state_version)
        };
        Envelope {
            record_version: RECORD_VERSION,
            generation: self.generation,
            state_version: written.unwrap_or_else(known),
            generator_version: 0,
            observed_at: now,
            campaign: self.request.campaign.clone(),
            covers: events::Covers::default(),
        }
    }

    fn covers(&self) -> events::Covers {
        let mut covers = self.known.covers.clone();
        covers.merge(&self.request.covers);
        covers
    }
}

/// The status that goes with a commits record: what became of the look is told under the commit's own key from here on.
pub fn fetched_status(commit: &CommitFetched) -> EventStatus {
    let mut envelope = commit.envelope.clone();
    envelope.covers = events::Covers::default();
    EventStatus {
        envelope,
        project_id: commit.project_id,
        sha: Some(commit.sha),
        stage: Stage::Fetched,
        outcome: StageOutcome::Done,
        awaits_generation: Generation::default(),
        code: None,
        message: None,
    }
}

/// The status that stands in for commands that cannot be done: `left` is the failed one and those after it. None where
/// they answer for no events.
pub fn rejected_instead(left: &[Command], reason: &Reason) -> Option<EventStatus> {
    let (envelope, project_id) = match left.last()? {
        Command::Facts(record) => (&record.envelope, record.project_id),
        Command::Content(commit) => (&commit.envelope, commit.project_id),
        Command::Status(status) => (&status.envelope, status.project_id),
    };
    let mut envelope = envelope.clone();
    if matches!(left.first(), Some(Command::Facts(_))) {
        envelope.state_version = StateVersion::default();
    }
    Some(EventStatus {
        envelope,
        project_id,
        sha: None,
        stage: Stage::Looked,
        outcome: StageOutcome::Rejected,
        awaits_generation: Generation::default(),
        code: Some(reason.code.to_owned()),
        message: Some(reason.message.clone()),
    })
}

/// Takes in what a command wrote, once it is durable.
pub fn remember(memory: &mut ProjectMemory, command: &Command) -> Result<(), EncodeError> {
    match command {
        Command::Facts(record) => memory.wrote_facts(record, KnownFacts::of(record)?),
        Command::Content(commit) => {
            memory.covers.merge(&commit.envelope.covers);
            memory.content = Some(crate::memory::KnownContent {
                sha: commit.sha,
                r#ref: commit.r#ref.clone(),
                generation: commit.envelope.generation,
            });
        }
        Command::Status(status) => memory.covers.merge(&status.envelope.covers),
    }
    Ok(())
}
