use model::{Timestamp, TopicName};
use sha2::{Digest as _, Sha256};

/// The content type of every value, as the CloudEvents Kafka binding asks for.
pub const CONTENT_TYPE: &str = "application/avro";

/// A record header: name and value.
pub type Header = (String, Vec<u8>);

/// The headers of the CloudEvents Kafka binding (binary mode), plus W3C `traceparent` when there is one.
pub fn cloud_event_headers(
    topic: &TopicName,
    id: &str,
    source: &str,
    at: Timestamp,
    traceparent: Option<&str>,
) -> Vec<Header> {
    let text = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut headers = vec![
        text("ce_specversion", "1.0"),
        text("ce_id", id),
        text("ce_type", topic.as_str()),
        text("ce_source", source),
        text("ce_time", &at.to_string()),
        text("content-type", CONTENT_TYPE),
    ];
    if let Some(traceparent) = traceparent {
        headers.push(text("traceparent", traceparent));
    }
    headers
}

/// An id that is a function of the record: the same topic, key and value give the same id.
pub fn record_id(topic: &TopicName, key: &[u8], value: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [topic.as_str().as_bytes(), key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(value);
    hex::encode(&hash.finalize()[..16])
}
