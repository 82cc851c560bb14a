//! The claim check: makes everything that a graph record names readable before the record is written.

use std::collections::HashMap;

use bytes::Bytes;
use events::{ATTACH_LIMIT, Attachment, EncodeError, Graph, PieceRef, Sha256, attach_if_small};
use model::{BlobName, Sha};
use rdf::Piece;

use crate::buckets::Buckets;

/// A project's pieces by name, and their texts while all of them are small enough to travel with the record.
#[derive(Default)]
pub(crate) struct Named {
    buckets: Buckets,
    /// `None` once the texts were larger than [`ATTACH_LIMIT`]: then they are in the blob store.
    texts: Texts,
}

enum Texts {
    AtHand(HashMap<Sha256, Bytes>),
    Stored,
}

impl Default for Texts {
    fn default() -> Self {
        Self::AtHand(HashMap::new())
    }
}

/// What has to be written for a changed graph.
pub(crate) struct Publication {
    /// For the record.
    pub(crate) graph: Graph,
    /// To be durable before the record.
    pub(crate) values: Vec<(BlobName, Bytes)>,
}

impl Named {
    /// Takes in what changed.
    pub(crate) fn change(
        &mut self,
        sha: Sha,
        put: Vec<Piece>,
        take: Vec<String>,
        warnings: Vec<String>,
    ) -> Result<Publication, EncodeError> {
        let put: Vec<_> = put
            .into_iter()
            .map(|piece| {
                let text = Bytes::from(piece.text);
                let named = PieceRef {
                    id: piece.id,
                    digest: Sha256(piece.digest),
                    size: text.len() as i64,
                };
                (named, text)
            })
            .collect();
        let encoded = self
            .buckets
            .change(put.iter().map(|(named, _)| named.clone()), take)?;
        let changed = put.into_iter().map(|(named, text)| (named.digest, text));
        let (attached, values) = match &mut self.texts {
            Texts::AtHand(texts) => {
                texts.extend(changed);
                match attach(&self.buckets, texts)? {
                    Some(attached) => (attached, Vec::new()),
                    // All of it is in the blob store from now on, not only what changed.
                    None => {
                        let texts = match std::mem::replace(&mut self.texts, Texts::Stored) {
                            Texts::AtHand(texts) => texts,
                            Texts::Stored => HashMap::new(),
                        };
                        let texts = texts.into_iter().map(value);
                        (
                            Vec::new(),
                            texts
                                .chain(self.buckets.encode_all()?.into_iter().map(value))
                                .collect(),
                        )
                    }
                }
            }
            Texts::Stored => (
                Vec::new(),
                changed.map(value).chain(encoded.into_iter().map(value)).collect(),
            ),
        };
        let graph = Graph {
            sha,
            bucket_bits: self.buckets.bits() as i32,
            buckets: self.buckets.digests(),
            pieces: i32::try_from(self.buckets.pieces()).unwrap_or(i32::MAX),
            bytes: self.buckets.bytes(),
            warnings,
            attached,
        };
        Ok(Publication { graph, values })
    }

    /// About how much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let texts = match &self.texts {
            Texts::AtHand(texts) => texts.values().map(Bytes::len).sum(),
            Texts::Stored => 0,
        };
        self.buckets.pieces() * 160 + texts
    }
}

fn value((digest, bytes): (Sha256, Bytes)) -> (BlobName, Bytes) {
    (BlobName::Digest(digest.0), bytes)
}

/// All that the record names, if it is small together; forgets texts that no piece has any more.
fn attach(
    buckets: &Buckets,
    texts: &mut HashMap<Sha256, Bytes>,
) -> Result<Option<Vec<Attachment>>, EncodeError> {
    if buckets.bytes() > ATTACH_LIMIT as i64 {
        return Ok(None);
    }
    let mut blobs: Vec<_> = buckets.encode_all()?.into_iter().map(value).collect();
    let mut used: Vec<Sha256> = buckets.iter().map(|(_, digest)| digest).collect();
    used.sort_unstable();
    used.dedup();
    texts.retain(|digest, _| used.binary_search(digest).is_ok());
    blobs.extend(
        used.iter()
            .filter_map(|digest| Some(value((*digest, texts.get(digest)?.clone())))),
    );
    Ok(attach_if_small(&blobs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{Decoder, PieceSection};
    use std::collections::{BTreeMap, BTreeSet};

    fn piece(number: usize, size: usize) -> Piece {
        let text = format!("<urn:x:{number}> <urn:x:p> \"{}\" .\n", "x".repeat(size));
        Piece {
            id: format!("/activities/{number}"),
            digest: rdf::digest_of(text.as_bytes()),
            text,
        }
    }

    /// Reads a publication as a consumer does.
    fn texts(graph: &Graph, store: &BTreeMap<BlobName, Bytes>) -> BTreeMap<String, Bytes> {
        let attached: BTreeMap<_, _> = graph.attached.iter().filter_map(Attachment::blob).collect();
        let get = |digest: Sha256| {
            let name = BlobName::Digest(digest.0);
            attached.get(&name).or_else(|| store.get(&name)).unwrap().clone()
        };
        let mut texts = BTreeMap::new();
        for bucket in graph.buckets.iter().filter(|bucket| **bucket != Sha256::ZERO) {
            let section: PieceSection = Decoder::default()
                .decode("renku.piece-section", &get(*bucket))
                .unwrap();
            texts.extend(
                section
                    .pieces
                    .into_iter()
                    .map(|piece| (piece.id, get(piece.digest))),
            );
        }
        texts
    }

    #[test]
    fn a_reader_finds_everything_whatever_the_size() {
        let mut named = Named::default();
        let mut store = BTreeMap::new();
        let mut expected = BTreeMap::new();
        let mut ways = BTreeSet::new();
        // Grows from attached to stored and shrinks again.
        let steps: [(std::ops::Range<usize>, usize, std::ops::Range<usize>); 5] = [
            (0..5, 100, 0..0),
            (3..8, 200, 0..1),
            (8..400, 300, 1..2),
            (2..3, 50, 0..0),
            (0..1, 10, 5..400),
        ];
        for (put, size, take) in steps {
            let put: Vec<_> = put.map(|n| piece(n, size)).collect();
            let take: Vec<_> = take.map(|n| format!("/activities/{n}")).collect();
            for id in &take {
                expected.remove(id);
            }
            expected.extend(put.iter().map(|p| (p.id.clone(), Bytes::from(p.text.clone()))));
            let publication = named.change(Sha::ZERO, put, take, vec![]).unwrap();
            store.extend(publication.values);
            ways.insert(publication.graph.attached.is_empty());
            assert_eq!(texts(&publication.graph, &store), expected);
            assert_eq!(publication.graph.pieces as usize, expected.len());
        }
        assert_eq!(ways.len(), 2, "both ways were taken");
    }
}
