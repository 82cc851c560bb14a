//! The tables of the one LMDB environment.

use heed::types::Bytes;
use heed::{Database, Env, RoTxn, RwTxn, WithoutTls};

use crate::error::StoreError;

/// A table of bytes to bytes.
pub(crate) type Table = Database<Bytes, Bytes>;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// All tables.
        #[derive(Clone, Copy)]
        pub(crate) struct Tables { $($(#[$doc])* pub(crate) $name: Table),+ }

        impl Tables {
            pub(crate) const COUNT: u32 = [$(stringify!($name)),+].len() as u32;

            pub(crate) fn create(env: &Env<WithoutTls>, txn: &mut RwTxn<'_>) -> Result<Self, StoreError> {
                Ok(Self { $($name: env.create_database(txn, Some(stringify!($name)))?),+ })
            }

            /// None: the file has not been made by a writer yet.
            pub(crate) fn open(env: &Env<WithoutTls>, txn: &RoTxn<'_, WithoutTls>) -> Result<Option<Self>, StoreError> {
                Ok(Some(Self { $($name: match env.open_database(txn, Some(stringify!($name)))? {
                    Some(table) => table,
                    None => return Ok(None),
                }),+ }))
            }
        }
    };
}

tables! {
    /// Name → number or text: format, host, log, counters.
    meta,
    /// Term id → its text.
    text,
    /// Hash of kind and text → the ids that have it (one, but for collisions).
    ids,
    /// Subject, predicate, object, graph.
    spog,
    /// Predicate, object, subject, graph.
    posg,
    /// Object, subject, predicate, graph.
    ospg,
    /// Graph, subject, predicate, object → how many pieces hold it.
    gspo,
    /// Graph → project, number of quads.
    graphs,
    /// Graphs that nobody sees and that are to be removed, or are being loaded.
    garbage,
    /// Project → visibility, graphs, slug.
    access,
    /// Project → facts.
    facts,
    /// User and project → the first day without access.
    members,
    /// Key of the record → what is denied, to whom, below what.
    denials,
    /// Project → topic, partition and offset of the record that its facts are of.
    sources,
    /// Slug and project → state version.
    slugs,
    /// Graph and hash of piece id → digest, triples.
    pieces,
    /// Project → what is applied: generation, digests of the sections.
    applied,
    /// Project → the newest graph record that waits for facts.
    pending,
    /// Project and generation → how often it was applied.
    log,
    /// Topic and partition → next offset.
    positions,
    /// Project and name → status.
    status,
    /// Topic, partition and offset → why it was left out.
    rejects,
    /// Project → notes of the writer.
    notes,
}

/// Names in `meta`.
pub(crate) mod meta {
    pub(crate) const FORMAT: &[u8] = b"format";
    pub(crate) const HOST: &[u8] = b"host";
    pub(crate) const LOG: &[u8] = b"log";
    pub(crate) const NEXT_TERM: &[u8] = b"next-term";
    pub(crate) const NEXT_GRAPH: &[u8] = b"next-graph";
    pub(crate) const EPOCH: &[u8] = b"epoch";
    /// How often facts or denials were written: the guard's own clock, beside the epoch.
    pub(crate) const WRITTEN: &[u8] = b"facts-written";
    pub(crate) const FOREIGN: &[u8] = b"foreign-terms";
}

impl Tables {
    /// A counter of `meta`; 0 before it was ever written.
    pub(crate) fn number(&self, txn: &RoTxn<'_>, name: &[u8]) -> Result<u64, StoreError> {
        match self.meta.get(txn, name)? {
            None => Ok(0),
            Some(bytes) => bytes
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| StoreError::Damaged("a counter is not 8 bytes")),
        }
    }

    pub(crate) fn set_number(&self, txn: &mut RwTxn<'_>, name: &[u8], number: u64) -> Result<(), StoreError> {
        Ok(self.meta.put(txn, name, &number.to_be_bytes())?)
    }
}
