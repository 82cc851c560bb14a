//! Records for tests.

use bus::{NewRecord, Origin, Record, record_of};
use events::{Envelope, ProjectRecord, ProjectState, PushEvent, Signature};
use model::{Generation, Offset, Partition, ProjectId, Sha, Timestamp, Visibility};

use crate::edges::Head;

pub(crate) fn facts(project: i64, slug: &str, branch: Option<&str>) -> ProjectRecord {
    let mut envelope = Envelope::unlooked(Timestamp::from_micros(5));
    envelope.generation = Generation::new(5);
    envelope.state_version = Generation::new(5);
    ProjectRecord {
        envelope,
        project_id: ProjectId::new(project).unwrap(),
        state: Some(state(slug, branch)),
    }
}

pub(crate) fn state(slug: &str, branch: Option<&str>) -> ProjectState {
    ProjectState {
        slug: slug.parse().unwrap(),
        name: "name".into(),
        description: None,
        visibility: Visibility::Public,
        members: Vec::new(),
        default_branch: branch.map(str::to_owned),
        created_at: Timestamp::from_micros(1),
        updated_at: None,
        creator_id: None,
        topics: Vec::new(),
        images: Vec::new(),
        fork_parent: None,
        empty_repository: false,
        archived: false,
        http_url: format!("https://gitlab.test/{slug}.git"),
        ssh_url: String::new(),
        web_url: String::new(),
        readme_url: None,
        forks_count: 0,
        stars_count: 0,
    }
}

pub(crate) fn head(sha: u8, branch: &str) -> Head {
    let signature = Signature {
        name: "Ada".into(),
        email: "ada@example.org".into(),
        at: Timestamp::from_micros(3),
    };
    Head {
        sha: Sha::new([sha; 20]),
        parents: Vec::new(),
        author: signature.clone(),
        committer: signature,
        title: "commit".into(),
        r#ref: format!("refs/heads/{branch}"),
    }
}

pub(crate) fn event_record(
    event: &PushEvent,
    partition: Partition,
    offset: Offset,
    traceparent: Option<&str>,
) -> Record {
    let origin = Origin {
        source: "test",
        at: event.envelope.observed_at,
        traceparent,
        id: None,
    };
    read_back(
        record_of(&events::PUSH_EVENTS, event, origin).unwrap(),
        partition,
        offset,
    )
}

pub(crate) fn facts_record(project: i64, version: u64) -> NewRecord {
    let mut facts = facts(project, "a/b", Some("main"));
    facts.envelope.generation = Generation::new(version);
    facts.envelope.state_version = Generation::new(version);
    let origin = Origin {
        source: "test",
        at: facts.envelope.observed_at,
        traceparent: None,
        id: None,
    };
    record_of(&events::PROJECTS, &facts, origin).unwrap()
}

pub(crate) fn read_back(new: NewRecord, partition: Partition, offset: Offset) -> Record {
    Record {
        topic: new.topic,
        partition,
        offset,
        key: new.key,
        value: new.value,
        headers: new.headers,
        timestamp: new.timestamp,
    }
}
