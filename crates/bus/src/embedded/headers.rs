use bytes::{Buf, BufMut, Bytes};

use crate::Headers;

/// Headers as one column: for each, length and bytes of name and value, lengths as 32 bits little-endian.
/// None at all is an empty column.
pub(super) fn encode(headers: &Headers) -> Vec<u8> {
    let mut column = Vec::new();
    for (name, value) in headers.iter() {
        for part in [name.as_bytes(), value] {
            column.put_u32_le(part.len() as u32);
            column.put_slice(part);
        }
    }
    column
}

/// The other way; `None` when the bytes were not written by [`encode`].
pub(super) fn decode(mut column: Bytes) -> Option<Headers> {
    let mut headers = Headers::new();
    while column.has_remaining() {
        let name = part(&mut column)?;
        let value = part(&mut column)?;
        headers.push(String::from_utf8(name.into()).ok()?, value);
    }
    Some(headers)
}

fn part(column: &mut Bytes) -> Option<Bytes> {
    let length = column.try_get_u32_le().ok()? as usize;
    (length <= column.remaining()).then(|| column.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_ways(pairs in proptest::collection::vec((".{0,20}", proptest::collection::vec(any::<u8>(), 0..50)), 0..6)) {
            let headers: Headers = pairs.into_iter().collect();
            prop_assert_eq!(decode(encode(&headers).into()), Some(headers));
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_worse(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(bytes.into());
        }
    }
}
