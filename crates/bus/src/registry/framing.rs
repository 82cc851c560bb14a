//! The two framings of one datum.

use bytes::{BufMut, Bytes, BytesMut};

/// Avro single-object encoding.
const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];
/// Confluent's.
const CONFLUENT: u8 = 0;

/// Fingerprint and datum of a value in single-object encoding.
pub(super) fn single_object(value: &Bytes) -> Option<([u8; 8], Bytes)> {
    let rest = value.strip_prefix(&SINGLE_OBJECT)?;
    let fingerprint = rest.first_chunk::<8>()?;
    Some((*fingerprint, value.slice(10..)))
}

/// The registry's number and the datum of a value in Confluent's framing.
pub(super) fn confluent(value: &Bytes) -> Option<(u32, Bytes)> {
    let rest = value.strip_prefix(&[CONFLUENT])?;
    let id = rest.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*id), value.slice(5..)))
}

pub(super) fn as_single_object(fingerprint: [u8; 8], datum: &Bytes) -> Bytes {
    let mut value = BytesMut::with_capacity(10 + datum.len());
    value.put_slice(&SINGLE_OBJECT);
    value.put_slice(&fingerprint);
    value.put_slice(datum);
    value.freeze()
}

pub(super) fn as_confluent(id: u32, datum: &Bytes) -> Bytes {
    let mut value = BytesMut::with_capacity(5 + datum.len());
    value.put_u8(CONFLUENT);
    value.put_u32(id);
    value.put_slice(datum);
    value.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datum_goes_through_both() {
        let datum = Bytes::from_static(b"datum");
        let single = as_single_object([7; 8], &datum);
        assert_eq!(single_object(&single), Some(([7; 8], datum.clone())));
        assert_eq!(confluent(&single), None);
        let framed = as_confluent(258, &datum);
        assert_eq!(&framed[..5], [0, 0, 0, 1, 2]);
        assert_eq!(confluent(&framed), Some((258, datum)));
        for cut in 0..10 {
            assert_eq!(single_object(&single.slice(..cut)), None);
        }
        for cut in 0..5 {
            assert_eq!(confluent(&framed.slice(..cut)), None);
        }
    }
}
