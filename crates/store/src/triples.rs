//! The triples of a piece as one row: sorted, each written as its difference to the one before.

use crate::error::StoreError;
use crate::term_id::TermId;

/// A triple by ids.
pub(crate) type Triple = [TermId; 3];

fn put_varint(mut n: u64, into: &mut Vec<u8>) {
    while n >= 0x80 {
        into.push(n as u8 | 0x80);
        n >>= 7;
    }
    into.push(n as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, StoreError> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes
            .split_first()
            .ok_or(StoreError::Damaged("a number is cut short"))?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(StoreError::Damaged("a number is too long"))
}

fn zigzag(from: u64, to: u64) -> u64 {
    let d = to.wrapping_sub(from) as i64;
    ((d << 1) ^ (d >> 63)) as u64
}

fn unzigzag(from: u64, n: u64) -> u64 {
    from.wrapping_add((n >> 1) ^ (n & 1).wrapping_neg())
}

/// Appends the triples, which are sorted here, to a row.
pub(crate) fn write(triples: &mut Vec<Triple>, into: &mut Vec<u8>) {
    triples.sort_unstable();
    triples.dedup();
    let mut before = [0u64; 3];
    for triple in triples {
        for (last, id) in before.iter_mut().zip(triple.iter()) {
            put_varint(zigzag(*last, id.raw()), into);
            *last = id.raw();
        }
    }
}

/// The triples of a row.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Vec<Triple>, StoreError> {
    let mut triples = Vec::with_capacity(bytes.len() / 6);
    let mut before = [0u64; 3];
    while !bytes.is_empty() {
        for last in &mut before {
            *last = unzigzag(*last, take_varint(&mut bytes)?);
        }
        triples.push(before.map(TermId::from_raw));
    }
    Ok(triples)
}

/// A small number as the value of a quad: how many pieces of the graph hold it.
pub(crate) fn write_count(count: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let (mut n, mut len) = (count, 0);
    while n >= 0x80 {
        bytes[len] = n as u8 | 0x80;
        n >>= 7;
        len += 1;
    }
    bytes[len] = n as u8;
    (bytes, len + 1)
}

/// Reads [`write_count`].
pub(crate) fn read_count(mut bytes: &[u8]) -> Result<u32, StoreError> {
    u32::try_from(take_varint(&mut bytes)?).map_err(|_| StoreError::Damaged("a count is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn triples_are_read_back(raw in proptest::collection::vec([0u64..1 << 48, 0u64..1 << 48, 0u64..1 << 48], 0..40), n: u32) {
            let mut triples: Vec<Triple> = raw.iter().map(|t| t.map(TermId::from_raw)).collect();
            let mut row = Vec::new();
            write(&mut triples, &mut row);
            prop_assert_eq!(read(&row).unwrap(), triples);
            let (bytes, len) = write_count(n);
            prop_assert_eq!(read_count(&bytes[..len]).unwrap(), n);
        }
    }

    #[test]
    fn damage_is_an_error() {
        assert!(read(&[0x80]).is_err());
        assert!(read(&[1, 1]).is_err());
        assert!(read(&[0xff; 11]).is_err());
    }
}
