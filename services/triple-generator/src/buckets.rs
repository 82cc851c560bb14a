use std::collections::BTreeMap;
use std::collections::BTreeSet;

use bytes::Bytes;
use events::{EncodeError, PieceRef, PieceSection, Sha256, bucket_bits, bucket_of, encode};

/// The pieces of one project's graph by name, in buckets. Changing some pieces costs those and their buckets,
/// whatever the size of the graph.
#[derive(Default)]
pub(crate) struct Buckets {
    bits: u32,
    buckets: Vec<Bucket>,
    pieces: usize,
    bytes: i64,
}

#[derive(Default)]
struct Bucket {
    pieces: BTreeMap<Box<str>, (Sha256, i64)>,
    digest: Option<Sha256>,
}

/// A bucket whose content changed: its digest and the bytes of its `renku.piece-section`.
pub(crate) type EncodedBucket = (Sha256, Bytes);

impl Buckets {
    /// Puts pieces in, replaces those of the same id, takes others out. Gives the changed buckets that hold something.
    pub(crate) fn change(
        &mut self,
        put: impl IntoIterator<Item = PieceRef>,
        take: impl IntoIterator<Item = String>,
    ) -> Result<Vec<EncodedBucket>, EncodeError> {
        if self.buckets.is_empty() {
            self.buckets.push(Bucket::default());
        }
        let mut touched = BTreeSet::new();
        for id in take {
            let at = bucket_of(&id, self.bits);
            if let Some((_, size)) = self.buckets[at].pieces.remove(id.as_str()) {
                self.pieces -= 1;
                self.bytes -= size;
                touched.insert(at);
            }
        }
        for piece in put {
            let at = bucket_of(&piece.id, self.bits);
            self.bytes += piece.size;
            match self.buckets[at]
                .pieces
                .insert(piece.id.into(), (piece.digest, piece.size))
            {
                Some((_, size)) => self.bytes -= size,
                None => self.pieces += 1,
            }
            touched.insert(at);
        }
        if bucket_bits(self.pieces) != self.bits {
            self.spread_anew();
            touched = (0..self.buckets.len()).collect();
        }
        let mut encoded = Vec::with_capacity(touched.len());
        for at in touched {
            let bucket = &mut self.buckets[at];
            bucket.digest = None;
            if !bucket.pieces.is_empty() {
                let bytes = Bytes::from(encode("renku.piece-section", &bucket.section())?);
                let digest = Sha256::of(&bytes);
                bucket.digest = Some(digest);
                encoded.push((digest, bytes));
            }
        }
        Ok(encoded)
    }

    /// Digests of all buckets, [`Sha256::ZERO`] for an empty one.
    pub(crate) fn digests(&self) -> Vec<Sha256> {
        self.buckets
            .iter()
            .map(|bucket| bucket.digest.unwrap_or(Sha256::ZERO))
            .collect()
    }

    /// See [`events::Graph::bucket_bits`].
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    /// How many pieces.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> i64 {
        self.bytes
    }

    /// All pieces, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Sha256)> {
        self.buckets
            .iter()
            .flat_map(|b| b.pieces.iter().map(|(id, (digest, _))| (&**id, *digest)))
    }

    /// The bytes of every bucket that holds something.
    pub(crate) fn encode_all(&self) -> Result<Vec<EncodedBucket>, EncodeError> {
        let holding = self.buckets.iter().filter(|bucket| !bucket.pieces.is_empty());
        holding
            .map(|bucket| {
                let bytes = Bytes::from(encode("renku.piece-section", &bucket.section())?);
                Ok((Sha256::of(&bytes), bytes))
            })
            .collect()
    }

    fn spread_anew(&mut self) {
        let old = std::mem::take(&mut self.buckets);
        self.bits = bucket_bits(self.pieces);
        self.buckets.resize_with(1 << self.bits, Bucket::default);
        for (id, piece) in old.into_iter().flat_map(|bucket| bucket.pieces) {
            let at = bucket_of(&id, self.bits);
            self.buckets[at].pieces.insert(id, piece);
        }
    }
}

impl Bucket {
    fn section(&self) -> PieceSection {
        let pieces = self.pieces.iter();
        PieceSection {
            pieces: pieces
                .map(|(id, (digest, size))| PieceRef {
                    id: id.to_string(),
                    digest: *digest,
                    size: *size,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(number: u16, text: u8) -> PieceRef {
        PieceRef {
            id: format!("/activities/{number}"),
            digest: Sha256::of(&[text]),
            size: i64::from(text),
        }
    }

    fn from_nothing(pieces: &BTreeMap<u16, u8>) -> Buckets {
        let mut buckets = Buckets::default();
        buckets
            .change(pieces.iter().map(|(n, t)| piece(*n, *t)), [])
            .unwrap();
        buckets
    }

    proptest! {
        /// However a graph came to be, its buckets are those of the graph made at once.
        #[test]
        fn history_does_not_show(steps in proptest::collection::vec(proptest::collection::vec((0u16..300, proptest::option::of(any::<u8>())), 0..120), 1..6)) {
            let mut buckets = Buckets::default();
            let mut pieces = BTreeMap::new();
            for step in steps {
                let (mut put, mut take) = (BTreeMap::new(), Vec::new());
                for (number, text) in step.into_iter().collect::<BTreeMap<_, _>>() {
                    match text {
                        Some(text) => { put.insert(number, text); pieces.insert(number, text); }
                        None => { take.push(format!("/activities/{number}")); pieces.remove(&number); }
                    }
                }
                let before: BTreeSet<_> = buckets.digests().into_iter().collect();
                let encoded = buckets.change(put.iter().map(|(n, t)| piece(*n, *t)), take).unwrap();
                let known: BTreeSet<_> = before.into_iter().chain(encoded.iter().map(|(d, _)| *d)).chain([Sha256::ZERO]).collect();
                prop_assert!(buckets.digests().iter().all(|d| known.contains(d)), "every digest was encoded at some time");
                let whole = from_nothing(&pieces);
                prop_assert_eq!(buckets.digests(), whole.digests());
                prop_assert_eq!(buckets.pieces(), pieces.len());
                prop_assert_eq!(buckets.bytes(), whole.bytes());
            }
        }
    }

    #[test]
    fn a_small_change_touches_few_buckets() {
        let mut buckets = from_nothing(&(0..10_000).map(|n| (n, 1)).collect());
        assert_eq!(buckets.digests().len(), 512);
        let encoded = buckets.change([piece(10_001, 1), piece(10_002, 1)], []).unwrap();
        assert!(encoded.len() <= 2);
        assert!(encoded.iter().all(|(_, bytes)| bytes.len() < 8_000));
    }
}
