use bytes::Bytes;
use model::{Offset, Partition, Timestamp};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};

use super::names::Names;
use crate::{Headers, Record};

/// Headers as the library sends them.
pub(super) fn headers_out(headers: &Headers) -> OwnedHeaders {
    let mut out = OwnedHeaders::new_with_capacity(headers.iter().len());
    for (key, value) in headers.iter() {
        out = out.insert(Header {
            key,
            value: Some(value.as_ref()),
        });
    }
    out
}

/// A record as the library gives it. `None`: it is of a topic that is not ours.
pub(super) fn record_in(names: &Names, message: &BorrowedMessage<'_>) -> Option<Record> {
    let headers = message.headers().map_or_else(Headers::new, |headers| {
        headers
            .iter()
            .map(|header| {
                let value = header.value.map_or_else(Bytes::new, Bytes::copy_from_slice);
                (header.key.to_owned(), value)
            })
            .collect()
    });
    Some(Record {
        topic: names.local(message.topic())?,
        partition: Partition::new(u32::try_from(message.partition()).ok()?),
        offset: Offset::new(u64::try_from(message.offset()).ok()?),
        // A foreign writer may have sent no key.
        key: message.key().map_or_else(Bytes::new, Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers,
        timestamp: Timestamp::from_micros(
            message
                .timestamp()
                .to_millis()
                .unwrap_or_default()
                .saturating_mul(1000),
        ),
    })
}
