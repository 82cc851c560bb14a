//! From records to what the view is asked. Pure.

use bus::{Record, value_of};
use events::{
    AccessDenial, Decoder, Envelope, EventStatus, ProjectGraph, ProjectRecord, RECORD_VERSION, TopicValue,
};
use model::ProjectId;
use runtime::trace_context::TRACEPARENT;

use crate::asked::Asked;
use crate::batch::Read;
use crate::prepare::with_causes;
use crate::work::{Item, at};

/// The item of a record of facts; none for a tombstone, which erases from the log what the view knows to be gone.
pub(crate) fn facts(decoder: &Decoder, record: &Record) -> Option<Item> {
    let why = match understood::<ProjectRecord>(decoder, record, |value| &value.envelope) {
        Ok(value) => return value.map(|value| Item::Facts(Box::new(value), Some(at(record)))),
        Err(why) => why,
    };
    let at = at(record);
    // A project whose newest facts are unknown might have become private with them.
    Some(match project_of(record) {
        Some(project) => {
            tracing::error!(project.id = %project, position = %at, why, "facts are unreadable, the project is hidden");
            Item::Unreadable { project, at, why }
        }
        None => skipped(record, "key-unreadable", why),
    })
}

/// The item of a denial; none where it takes nothing away.
pub(crate) fn denial(decoder: &Decoder, record: &Record) -> Option<Item> {
    match understood::<AccessDenial>(decoder, record, |value| &value.envelope) {
        Ok(value) => value
            .filter(AccessDenial::takes_away)
            .map(|value| Item::Denial(Box::new(value))),
        Err(why) => Some(skipped(record, "denial-unreadable", why)),
    }
}

/// The item of a record of status.
pub(crate) fn status(decoder: &Decoder, record: &Record) -> Option<Item> {
    match understood::<EventStatus>(decoder, record, |value| &value.envelope) {
        Ok(value) => value.map(|value| Item::Status(Box::new(value))),
        Err(why) => Some(skipped(record, "record-unreadable", why)),
    }
}

/// What a graph record says; or the item that tells why it is left out.
pub(crate) fn graph(decoder: &Decoder, record: &Record) -> Option<Result<Read, Item>> {
    match understood::<ProjectGraph>(decoder, record, |value| &value.envelope) {
        Ok(None) => None,
        Ok(Some(graph)) => Some(Ok(Read {
            partition: record.partition,
            offset: record.offset,
            graph,
            bytes: record.value.clone().unwrap_or_default(),
            asked: Asked {
                causes: record
                    .headers
                    .text(TRACEPARENT)
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
                since: None,
            },
        })),
        Err(why) => Some(Err(skipped(record, "record-unreadable", why))),
    }
}

fn understood<T: TopicValue>(
    decoder: &Decoder,
    record: &Record,
    envelope: impl Fn(&T) -> &Envelope,
) -> Result<Option<T>, String> {
    let Some(value) = value_of::<T>(decoder, record).map_err(|error| with_causes(&error))? else {
        return Ok(None);
    };
    let version = envelope(&value).record_version;
    if version > RECORD_VERSION {
        return Err(format!(
            "the record has version {version} and this release understands {RECORD_VERSION}: upgrade, then rebuild the view"
        ));
    }
    // Another key would outlive this record in compaction, or be outlived by it.
    if value.key().as_bytes() != &record.key[..] {
        return Err(format!(
            "the record's key is not {:?}, as its value says",
            value.key()
        ));
    }
    Ok(Some(value))
}

fn project_of(record: &Record) -> Option<ProjectId> {
    std::str::from_utf8(&record.key).ok()?.parse().ok()
}

fn skipped(record: &Record, code: &'static str, why: String) -> Item {
    let at = at(record);
    tracing::error!(position = %at, code, why, "record left out");
    Item::Skipped { at, code, why }
}
