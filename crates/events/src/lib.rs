//! What goes over the bus: record types checked against `schemas/`, their envelope, their topics, both wire framings.
//!
//! A record's bytes are Avro, framed as a *single object* (`C3 01`, fingerprint, datum) or as Confluent's clients do
//! (`00`, schema id, datum). [`Decoder`] reads both and every schema version that was ever released.

mod attached;
mod codec;
mod digests;
mod envelope;
mod headers;
mod records;
mod schemas;
mod sections;
mod taking_part;
mod topics;

pub use attached::{ATTACH_LIMIT, attach_if_small};
pub use codec::{DecodeError, Decoder, EncodeError, encode, encode_confluent};
pub use digests::Sha256;
pub use envelope::{Cover, Covers, Envelope, RECORD_VERSION};
pub use headers::{CONTENT_TYPE, Header, cloud_event_headers, record_id};
pub use records::{
    Attachment, CommitFetched, EventStatus, Graph, LookReason, Member, ProjectGraph, ProjectRecord,
    ProjectState, PushEvent, Signature, Stage, StageOutcome, StatusRank,
};
pub use schemas::{SchemaVersion, all_schemas, known_schema};
pub use sections::{
    MetadataEntry, MetadataSection, PieceRef, PieceSection, SectionRef, bucket_bits, bucket_of, graph_digest,
};
pub use taking_part::{AccessDenial, Activation, DenialScope, ProjectHook, ProjectToken, SealedToken};
pub use topics::{
    ACCESS_DENIALS, COMMITS, EVENT_STATUS, PROJECT_GRAPHS, PROJECT_HOOKS, PROJECT_TOKENS, PROJECTS,
    PUSH_EVENTS, PUSH_EVENTS_BACKFILL, PartitionBy, TopicDeclaration, TopicValue, declared_topics, is_worker,
    parked, retry, topic_specs,
};
