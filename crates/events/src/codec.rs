use std::collections::HashMap;
use std::io::Read;

use apache_avro::{from_avro_datum, from_value, write_avro_datum_ref};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schemas::{SchemaVersion, all_schemas, known_schema, newest};

const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];
const CONFLUENT: u8 = 0x00;

/// A value could not be written: a defect of ours.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// No such schema.
    #[error("there is no schema {0}")]
    NoSchema(&'static str),
    /// The value does not fit it.
    #[error("the value does not fit schema {subject}")]
    DoesNotFit {
        /// The schema.
        subject: &'static str,
        /// What Avro says.
        #[source]
        source: Box<apache_avro::Error>,
    },
}

/// Bytes could not be read as the record they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Neither framing.
    #[error(
        "the value is {len} bytes in neither Avro framing (first byte {first:?}); was it written by another program?"
    )]
    NotFramed {
        /// How long.
        len: usize,
        /// How it begins.
        first: Option<u8>,
    },
    /// A schema that this build does not have: written by a newer release.
    #[error(
        "the value's schema has the unknown fingerprint {0:016x}; a newer release wrote it, upgrade this one"
    )]
    UnknownFingerprint(u64),
    /// A registry's id that was not learnt yet: ask the registry, then [`Decoder::learn`].
    #[error("the value's schema has the registry id {0}, which is not known")]
    UnknownSchemaId(u32),
    /// Another record than asked for.
    #[error("a {found} is there where a {wanted} was expected")]
    OtherSubject {
        /// What the bytes say.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Cut short, or with something behind it.
    #[error("the value is not exactly one {subject}: {over} bytes are over, or some are missing")]
    NotWhole {
        /// The schema.
        subject: &'static str,
        /// Bytes behind the value.
        over: usize,
    },
    /// Not of its schema.
    #[error("the value is not a whole {subject}")]
    Malformed {
        /// The schema.
        subject: &'static str,
        /// What Avro says.
        #[source]
        source: Box<apache_avro::Error>,
    },
}

/// Writes a value in single-object encoding with the newest schema of its subject.
pub fn encode<T: Serialize>(subject: &'static str, value: &T) -> Result<Vec<u8>, EncodeError> {
    let schema = newest(subject).ok_or(EncodeError::NoSchema(subject))?;
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&SINGLE_OBJECT);
    bytes.extend_from_slice(&schema.fingerprint);
    datum(schema, value, &mut bytes)?;
    Ok(bytes)
}

/// Writes a value in Confluent's framing; `id` is what the registry gave for the newest schema of the subject.
pub fn encode_confluent<T: Serialize>(
    subject: &'static str,
    id: u32,
    value: &T,
) -> Result<Vec<u8>, EncodeError> {
    let schema = newest(subject).ok_or(EncodeError::NoSchema(subject))?;
    let mut bytes = vec![CONFLUENT];
    bytes.extend_from_slice(&id.to_be_bytes());
    datum(schema, value, &mut bytes)?;
    Ok(bytes)
}

fn datum<T: Serialize>(schema: &SchemaVersion, value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_avro_datum_ref(&schema.schema, value, into)
        .map(|_| ())
        .map_err(|source| EncodeError::DoesNotFit {
            subject: schema.subject,
            source: Box::new(source),
        })
}

/// Notes whether the reader asked for more than there was: the Avro library takes a union that is cut short for null,
/// which here would turn a cut record into "gone".
struct Whole<'a> {
    rest: &'a [u8],
    ran_dry: bool,
}

impl Read for Whole<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.rest.read(into)?;
        self.ran_dry |= read == 0 && !into.is_empty();
        Ok(read)
    }
}

/// Reads values of both framings and of every schema version. Cheap to clone the default one; a decoder that learnt
/// registry ids should be kept.
#[derive(Default, Clone)]
pub struct Decoder {
    by_id: HashMap<u32, [u8; 8]>,
}

impl Decoder {
    /// Takes in what a registry says of an id. Returns false, and learns nothing, if the text is none of the built-in
    /// schemas.
    pub fn learn(&mut self, id: u32, schema_text: &str) -> bool {
        let known = known_schema(schema_text);
        if let Some(known) = known {
            self.by_id.insert(id, known.fingerprint);
        }
        known.is_some()
    }

    /// Reads a value of `subject`.
    pub fn decode<T: DeserializeOwned>(&self, subject: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
        let (fingerprint, datum) = self.unframe(bytes)?;
        // Two subjects may share one schema text, so the subject asked for comes first.
        let mut candidates = all_schemas()
            .iter()
            .filter(|s| s.fingerprint == fingerprint)
            .peekable();
        let first = candidates
            .peek()
            .copied()
            .ok_or(DecodeError::UnknownFingerprint(u64::from_le_bytes(fingerprint)))?;
        let Some(written) = candidates.find(|s| s.subject == subject) else {
            return Err(DecodeError::OtherSubject {
                found: first.subject,
                wanted: subject,
            });
        };
        let malformed = |source| DecodeError::Malformed {
            subject,
            source: Box::new(source),
        };
        let reader = newest(subject)
            .map(|s| &s.schema)
            .filter(|s| *s != &written.schema);
        let mut datum = Whole {
            rest: datum,
            ran_dry: false,
        };
        let value = from_avro_datum(&written.schema, &mut datum, reader).map_err(malformed)?;
        if datum.ran_dry || !datum.rest.is_empty() {
            return Err(DecodeError::NotWhole {
                subject,
                over: datum.rest.len(),
            });
        }
        from_value(&value).map_err(malformed)
    }

    fn unframe<'a>(&self, bytes: &'a [u8]) -> Result<([u8; 8], &'a [u8]), DecodeError> {
        match bytes {
            [0xC3, 0x01, a, b, c, d, e, f, g, h, rest @ ..] => Ok(([*a, *b, *c, *d, *e, *f, *g, *h], rest)),
            [CONFLUENT, a, b, c, d, rest @ ..] => {
                let id = u32::from_be_bytes([*a, *b, *c, *d]);
                let fingerprint = self.by_id.get(&id).ok_or(DecodeError::UnknownSchemaId(id))?;
                Ok((*fingerprint, rest))
            }
            _ => Err(DecodeError::NotFramed {
                len: bytes.len(),
                first: bytes.first().copied(),
            }),
        }
    }
}
