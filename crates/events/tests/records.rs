//! Every record survives a round trip in both framings, and its bytes are the frozen ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use bytes::Bytes;
use events::*;
use model::*;
use std::path::PathBuf;

fn envelope() -> Envelope {
    Envelope {
        record_version: RECORD_VERSION,
        generation: Generation::new(1_700_000_000_000_001),
        state_version: Generation::new(1_700_000_000_000_000),
        generator_version: 1,
        observed_at: Timestamp::from_micros(1_700_000_000_000_002),
        campaign: Some("rebuild-1".into()),
        covers: Covers::record(&PUSH_EVENTS, Partition::new(3), Offset::new(41)),
    }
}

fn project() -> ProjectId {
    ProjectId::new(7).unwrap()
}

fn sha() -> Sha {
    "06d8c296b4a214c3ff5c5da9b549f0438ac38bcb".parse().unwrap()
}

fn signature() -> Signature {
    Signature {
        name: "Ada".into(),
        email: "ada@example.org".into(),
        at: Timestamp::from_micros(5),
    }
}

fn push_event() -> PushEvent {
    PushEvent {
        slug: Some("group/project".into()),
        r#ref: Some("refs/heads/main".into()),
        after: Some(sha().to_string()),
        hook: Some("push".into()),
        ..PushEvent::new(project(), LookReason::Push, Timestamp::from_micros(9))
    }
}

fn project_record() -> ProjectRecord {
    ProjectRecord {
        envelope: envelope(),
        project_id: project(),
        state: Some(ProjectState {
            slug: "group/project".parse().unwrap(),
            name: "Project".into(),
            description: None,
            visibility: Visibility::Internal,
            members: vec![Member {
                user_id: UserId::new(3).unwrap(),
                username: "ada".into(),
                name: "Ada".into(),
                access_level: AccessLevel(40),
                expires_at: Some("2030-01-01".into()),
            }],
            default_branch: Some("main".into()),
            created_at: Timestamp::from_micros(1),
            updated_at: Some(Timestamp::from_micros(2)),
            creator_id: Some(UserId::new(3).unwrap()),
            topics: vec!["a".into()],
            images: vec![],
            fork_parent: Some(ProjectId::new(2).unwrap()),
            empty_repository: false,
            archived: true,
            http_url: "http://gitlab/group/project.git".into(),
            ssh_url: "git@gitlab:group/project.git".into(),
            web_url: "http://gitlab/group/project".into(),
            readme_url: None,
            forks_count: 1,
            stars_count: 2,
        }),
    }
}

fn commit() -> CommitFetched {
    CommitFetched {
        envelope: envelope(),
        project_id: project(),
        sha: sha(),
        parents: vec![GitObjectId::new([1; 20])],
        author: signature(),
        committer: signature(),
        title: "Add data".into(),
        r#ref: "refs/heads/main".into(),
        sections: vec![SectionRef {
            key: "ab".into(),
            digest: Sha256::of(b"section"),
            entries: 1,
        }],
        linked: vec!["data/x".into()],
        attached: vec![Attachment::new(
            BlobName::Digest(Sha256::of(b"section").0),
            Bytes::from_static(b"section"),
        )],
    }
}

fn graph() -> ProjectGraph {
    ProjectGraph {
        envelope: envelope(),
        project_id: project(),
        graph: Some(Graph {
            sha: sha(),
            bucket_bits: 1,
            buckets: vec![Sha256::of(b"bucket"), Sha256::ZERO],
            pieces: 33,
            bytes: 4096,
            warnings: vec!["an IRI was left out".into()],
            attached: vec![],
        }),
    }
}

fn status() -> EventStatus {
    EventStatus {
        envelope: envelope(),
        project_id: project(),
        sha: Some(sha()),
        stage: Stage::Generated,
        outcome: StageOutcome::Rejected,
        awaits_generation: Generation::new(12),
        code: Some("migration-needed".into()),
        message: Some("run `renku migrate`".into()),
    }
}

fn metadata_section() -> MetadataSection {
    MetadataSection {
        entries: vec![MetadataEntry {
            path: "metadata/root".into(),
            blob: GitObjectId::new([2; 20]),
            size: 9,
        }],
    }
}

fn piece_section() -> PieceSection {
    PieceSection {
        pieces: vec![PieceRef {
            id: "/plans/1".into(),
            digest: Sha256::of(b"piece"),
            size: 5,
        }],
    }
}

fn hook() -> ProjectHook {
    ProjectHook {
        envelope: envelope(),
        project_id: project(),
        version: 1_700_000_000_000_003,
        activation: Activation::Active,
        hook_id: Some(1 << 40),
        hook_url: Some("https://renku.example.org/webhooks/events".into()),
        signed_with: Some("00112233aabbccdd".into()),
        activated_at: Some(Timestamp::from_micros(7)),
        changed_by: Some(UserId::new(3).unwrap()),
    }
}

fn token() -> ProjectToken {
    ProjectToken {
        envelope: envelope(),
        project_id: project(),
        version: 1_700_000_000_000_004,
        token: Some(SealedToken {
            key_id: "2026".into(),
            nonce: Bytes::from_static(&[7; 12]),
            ciphertext: Bytes::from_static(&[9; 40]),
            sealed_for: PROJECT_TOKENS.to_string(),
        }),
        gitlab_token_id: Some(5),
        expires_on: Some("2030-01-01".into()),
        scopes: vec!["read_api".into(), "read_repository".into()],
    }
}

fn denial() -> AccessDenial {
    AccessDenial {
        envelope: Envelope::unlooked(Timestamp::from_micros(9)),
        scope: DenialScope::GroupMember,
        group_id: Some(GroupId::new(4).unwrap()),
        group_path: Some("group".into()),
        group_full_path: None,
        user_id: Some(UserId::new(3).unwrap()),
        username: Some("ada".into()),
        holds_until: Generation::new(1_700_000_000_000_005),
        hook: "user_remove_from_group".into(),
    }
}

/// Round trip in both framings, and the bytes of version 1 as they were frozen when it was released.
fn holds<T>(name: &str, subject: &'static str, value: &T)
where
    T: serde::Serialize + for<'de> serde::Deserialize<'de> + PartialEq + std::fmt::Debug,
{
    let bytes = encode(subject, value).unwrap();
    let mut decoder = Decoder::default();
    assert_eq!(&decoder.decode::<T>(subject, &bytes).unwrap(), value);

    let framed = encode_confluent(subject, 77, value).unwrap();
    assert!(matches!(
        decoder.decode::<T>(subject, &framed),
        Err(DecodeError::UnknownSchemaId(77))
    ));
    let text = all_schemas().iter().rfind(|s| s.subject == subject).unwrap().text;
    assert!(decoder.learn(77, text));
    assert_eq!(&decoder.decode::<T>(subject, &framed).unwrap(), value);

    let file: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "tests",
        "golden",
        &format!("{name}.1.hex"),
    ]
    .iter()
    .collect();
    let frozen = std::fs::read_to_string(&file).unwrap_or_else(|e| {
        panic!(
            "{}: {e}; a new record's bytes are: {}",
            file.display(),
            hex::encode(&bytes)
        )
    });
    let frozen = hex::decode(frozen.trim()).unwrap();
    assert_eq!(
        &decoder.decode::<T>(subject, &frozen).unwrap(),
        value,
        "what was stored must be read for ever"
    );
    assert_eq!(
        frozen, bytes,
        "{name}: the bytes changed, so this is a new version of the schema"
    );

    for cut in 0..bytes.len() {
        assert!(
            decoder.decode::<T>(subject, &bytes[..cut]).is_err(),
            "cut at {cut}"
        );
    }
}

#[test]
fn records_hold() {
    holds("push-event", PushEvent::SUBJECT, &push_event());
    holds(
        "push-event-backfill",
        "renku.push-events-backfill.v1-value",
        &push_event(),
    );
    holds("project", ProjectRecord::SUBJECT, &project_record());
    holds(
        "project-gone",
        ProjectRecord::SUBJECT,
        &ProjectRecord {
            state: None,
            ..project_record()
        },
    );
    holds("commit", CommitFetched::SUBJECT, &commit());
    holds("graph", ProjectGraph::SUBJECT, &graph());
    holds(
        "graph-gone",
        ProjectGraph::SUBJECT,
        &ProjectGraph {
            graph: None,
            ..graph()
        },
    );
    holds("status", EventStatus::SUBJECT, &status());
    holds("hook", ProjectHook::SUBJECT, &hook());
    holds("token", ProjectToken::SUBJECT, &token());
    holds(
        "token-gone",
        ProjectToken::SUBJECT,
        &ProjectToken {
            token: None,
            ..token()
        },
    );
    holds("denial", AccessDenial::SUBJECT, &denial());
    holds("metadata-section", "renku.metadata-section", &metadata_section());
    holds("piece-section", "renku.piece-section", &piece_section());
}

#[test]
fn denials_of_the_same_replace_each_other() {
    let group_member = denial();
    assert_eq!(group_member.key(), "group/4/user/3");
    let user = AccessDenial {
        group_id: None,
        scope: DenialScope::User,
        ..denial()
    };
    assert_eq!(
        (user.key(), user.partition_by()),
        ("user/3".into(), "user/3".into())
    );
    let group = AccessDenial {
        user_id: None,
        scope: DenialScope::Group,
        ..denial()
    };
    assert_eq!(group.key(), "group/4");
}

#[test]
fn another_record_is_named() {
    let bytes = encode(EventStatus::SUBJECT, &status()).unwrap();
    let error = Decoder::default()
        .decode::<CommitFetched>(CommitFetched::SUBJECT, &bytes)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a renku.event-status.v1-value is there where a renku.commits.v1-value was expected"
    );
    assert!(matches!(
        Decoder::default().decode::<CommitFetched>(CommitFetched::SUBJECT, b"{}"),
        Err(DecodeError::NotFramed { len: 2, .. })
    ));
}

mod garbage {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), flips in proptest::collection::vec((0usize..4096, any::<u8>()), 1..4)) {
            let decoder = Decoder::default();
            let _ = decoder.decode::<ProjectGraph>(ProjectGraph::SUBJECT, &bytes);
            let mut real = encode(ProjectGraph::SUBJECT, &graph()).unwrap();
            for (at, byte) in flips {
                let len = real.len();
                real[10 + at % (len - 10)] = byte;
            }
            let _ = decoder.decode::<ProjectGraph>(ProjectGraph::SUBJECT, &real);
        }
    }
}
