use bus::Record;
use events::{
    CommitFetched, Covers, Decoder, LookReason, PROJECTS, ProjectRecord, PushEvent, RECORD_VERSION,
};
use model::{Generation, ProjectId, Timestamp};

/// What all waiting events of a project ask for together: one look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The events that the look answers for.
    pub covers: Covers,
    /// Make the content again even if the commit is the one known.
    pub regenerate: bool,
    /// The look must be newer than this one: of a regression, what was seen in the log.
    pub floor: Generation,
    /// Somebody else wrote what this role writes: what is known is not trusted, and all of it is written again.
    pub doubted: bool,
    /// The newest rebuild that asked.
    pub campaign: Option<String>,
    /// When the oldest of the events was written.
    pub oldest: Timestamp,
    /// `traceparent` of each cause that has one, without doubles.
    pub causes: Vec<String>,
    /// How many events.
    pub events: usize,
    /// How many of them could not be read. They ask for a look all the same: their key says at which project.
    pub unreadable: usize,
}

/// The most causes that a look remembers.
const CAUSES: usize = 16;

impl Request {
    /// Merges the events of one project. An event means "look again" whatever else it says, so none is ever rejected.
    pub fn merge<'a>(decoder: &Decoder, records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut request = Self {
            covers: Covers::default(),
            regenerate: false,
            floor: Generation::default(),
            doubted: false,
            campaign: None,
            oldest: Timestamp::from_micros(i64::MAX),
            causes: Vec::new(),
            events: 0,
            unreadable: 0,
        };
        for record in records {
            request.events += 1;
            request.covers.add(record.next());
            request.oldest = request.oldest.min(record.timestamp);
            if let Some(cause) = record.headers.text(runtime::trace_context::TRACEPARENT)
                && request.causes.len() < CAUSES
                && !request.causes.iter().any(|known| known == cause)
            {
                request.causes.push(cause.to_owned());
            }
            match bus::value_of::<PushEvent>(decoder, record) {
                Ok(Some(event)) if event.envelope.record_version <= RECORD_VERSION => request.ask(event),
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => request.unreadable += 1,
            }
        }
        request
    }

    fn ask(&mut self, event: PushEvent) {
        // After a zombie's write the graph in the log may be an old one although the commit is the one known.
        let fell = event.reason == LookReason::Regression;
        self.regenerate |= event.regenerate || fell;
        self.doubted |= fell;
        self.floor = self.floor.max(event.envelope.generation);
        self.covers.merge(&event.envelope.covers);
        if event.envelope.campaign.is_some() {
            self.campaign = event.envelope.campaign;
        }
    }

    /// One event that asks for what all of them ask for.
    pub fn event(&self, project: ProjectId, now: Timestamp) -> PushEvent {
        let reason = if self.doubted {
            LookReason::Regression
        } else {
            LookReason::Push
        };
        let mut event = PushEvent::new(project, reason, self.oldest.min(now));
        event.envelope.covers = self.covers.clone();
        event.envelope.generation = self.floor;
        event.envelope.campaign.clone_from(&self.campaign);
        event.regenerate = self.regenerate;
        event
    }

    /// Takes in a record of the role's own output that somebody else wrote. It asks for a look that is newer, and it
    /// does so even if it cannot be read: then the views cannot read it either.
    pub fn doubt(&mut self, decoder: &Decoder, record: &Record) {
        self.doubted = true;
        self.regenerate = true;
        let envelope = if record.topic == PROJECTS {
            bus::value_of::<ProjectRecord>(decoder, record).map(|facts| facts.map(|facts| facts.envelope))
        } else {
            bus::value_of::<CommitFetched>(decoder, record).map(|commit| commit.map(|commit| commit.envelope))
        };
        if let Ok(Some(envelope)) = envelope {
            self.floor = self.floor.max(envelope.generation).max(envelope.state_version);
        }
    }

    /// What the look's span goes on with, if it is one, or is linked to.
    pub fn causes(&self) -> impl Iterator<Item = &str> {
        self.causes.iter().map(String::as_str)
    }
}

/// The project that an event's key names.
pub fn project_of(key: &[u8]) -> Option<ProjectId> {
    std::str::from_utf8(key).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{Offset, Partition};

    use super::*;
    use crate::samples;

    fn record(offset: u64, event: &PushEvent, trace: Option<&str>) -> Record {
        samples::event_record(event, Partition::new(1), Offset::new(offset), trace)
    }

    #[test]
    fn events_are_merged() {
        let decoder = Decoder::default();
        let at = Timestamp::from_micros;
        let project = ProjectId::new(7).unwrap();
        let plain = PushEvent::new(project, LookReason::Push, at(20));
        let mut rebuild = PushEvent::new(project, LookReason::Rebuild, at(10));
        rebuild.regenerate = true;
        rebuild.envelope.campaign = Some("c".into());
        let mut bad = record(6, &plain, None);
        bad.value = Some(Bytes::from_static(b"?"));
        let records = [record(3, &rebuild, Some("a")), record(5, &plain, Some("a")), bad];
        let request = Request::merge(&decoder, &records);
        assert_eq!(request.oldest, at(10));
        assert!(request.regenerate && request.campaign.as_deref() == Some("c"));
        assert_eq!((request.events, request.unreadable), (3, 1));
        assert_eq!(request.causes, ["a"]);
        assert!(request.covers.covers(&records[2].next()));
    }

    #[test]
    fn one_event_asks_for_what_all_ask_for() {
        let decoder = Decoder::default();
        let project = ProjectId::new(7).unwrap();
        let plain = PushEvent::new(project, LookReason::Push, Timestamp::from_micros(20));
        let mut fallen = PushEvent::new(project, LookReason::Regression, Timestamp::from_micros(10));
        fallen.envelope.generation = Generation::new(77);
        fallen.envelope.campaign = Some("c".into());
        let records = [record(3, &plain, None), record(5, &fallen, None)];
        let all = Request::merge(&decoder, &records);
        let one = Request::merge(
            &decoder,
            [&record(5, &all.event(project, Timestamp::from_micros(99)), None)],
        );
        assert_eq!((one.floor, one.regenerate), (all.floor, true));
        assert_eq!((&one.covers, &one.campaign), (&all.covers, &all.campaign));
    }

    #[test]
    fn a_regression_makes_the_content_again() {
        let event = PushEvent::new(
            ProjectId::new(7).unwrap(),
            LookReason::Regression,
            Timestamp::from_micros(1),
        );
        assert!(Request::merge(&Decoder::default(), &[record(0, &event, None)]).regenerate);
    }

    #[test]
    fn what_somebody_else_wrote_makes_all_again_and_newer() {
        let mut request = Request::merge(&Decoder::default(), []);
        let record = samples::read_back(samples::facts_record(7, 9), Partition::new(1), Offset::new(3));
        request.doubt(&Decoder::default(), &record);
        assert!(request.doubted && request.regenerate);
        assert_eq!((request.floor.get(), request.events), (9, 0));
        assert_eq!(request.covers, Covers::default(), "it is no event");
        let mut bad = record;
        bad.value = Some(Bytes::from_static(b"?"));
        let mut request = Request::merge(&Decoder::default(), []);
        request.doubt(&Decoder::default(), &bad);
        assert!(request.doubted);
    }

    #[test]
    fn keys_are_project_ids() {
        assert_eq!(project_of(b"7").map(ProjectId::get), Some(7));
        for bad in [&b""[..], b"0", b"-1", b"x", b"7/8", b"\xff"] {
            assert!(project_of(bad).is_none());
        }
    }
}
