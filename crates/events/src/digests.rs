use std::fmt;

use model::{Digest, GitObjectId};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A digest as records hold it: Avro `fixed(32)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sha256(pub Digest);

impl Sha256 {
    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Digest::new(sha2::Sha256::digest(bytes).into()))
    }

    /// All zero: stands for "nothing here".
    pub const ZERO: Self = Self(Digest::new([0; 32]));
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_bytes(BytesVisitor)?;
        Digest::try_from(bytes.as_slice())
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// `#[serde(with = "crate::digests::git_id")]`: a git object id as Avro `bytes`.
pub(crate) mod git_id {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(id: &GitObjectId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(id.as_bytes())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GitObjectId, D::Error> {
        let bytes = deserializer.deserialize_bytes(BytesVisitor)?;
        GitObjectId::try_from(bytes.as_slice()).map_err(de::Error::custom)
    }
}

/// `#[serde(with = "crate::digests::raw")]`: Avro `bytes`.
pub(crate) mod raw {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &bytes::Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bytes::Bytes, D::Error> {
        deserializer
            .deserialize_bytes(BytesVisitor)
            .map(bytes::Bytes::from)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
