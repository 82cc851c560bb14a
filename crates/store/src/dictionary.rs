//! Terms by id and ids by term.

use heed::{RoTxn, RwTxn};

use crate::error::StoreError;
use crate::lexical::hash_key;
use crate::tables::{Tables, meta};
use crate::term_id::{Kind, TermId};

/// The id of a dictionary term, if it is there.
pub(crate) fn find(
    tables: &Tables,
    txn: &RoTxn<'_>,
    kind: Kind,
    bytes: &[u8],
) -> Result<Option<TermId>, StoreError> {
    let Some(ids) = tables.ids.get(txn, &hash_key(kind, bytes))? else {
        return Ok(None);
    };
    for id in ids.chunks(TermId::LEN) {
        let same_kind = TermId::read(id).kind() == Some(kind);
        if same_kind && tables.text.get(txn, id)? == Some(bytes) {
            return Ok(Some(TermId::read(id)));
        }
    }
    Ok(None)
}

/// The dictionary's bytes of a term.
pub(crate) fn text<'t>(tables: &Tables, txn: &'t RoTxn<'_>, id: TermId) -> Result<&'t [u8], StoreError> {
    tables.text.get(txn, &id.to_bytes())?.ok_or(StoreError::Damaged(
        "a quad names a term that is not in the dictionary",
    ))
}

/// Adds terms and takes them out within one transaction.
pub(crate) struct Dictionary {
    next: u64,
    foreign: u64,
}

impl Dictionary {
    pub(crate) fn load(tables: &Tables, txn: &RoTxn<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            next: tables.number(txn, meta::NEXT_TERM)?,
            foreign: tables.number(txn, meta::FOREIGN)?,
        })
    }

    /// Writes the counters back.
    pub(crate) fn save(&self, tables: &Tables, txn: &mut RwTxn<'_>) -> Result<(), StoreError> {
        tables.set_number(txn, meta::NEXT_TERM, self.next)?;
        tables.set_number(txn, meta::FOREIGN, self.foreign)
    }

    /// The id of a term, new if need be. Ids are given out in order and never again.
    pub(crate) fn intern(
        &mut self,
        tables: &Tables,
        txn: &mut RwTxn<'_>,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<TermId, StoreError> {
        let key = hash_key(kind, bytes);
        let mut ids = Vec::new();
        if let Some(known) = tables.ids.get(txn, &key)? {
            for id in known.chunks(TermId::LEN) {
                let same_kind = TermId::read(id).kind() == Some(kind);
                if same_kind && tables.text.get(txn, id)? == Some(bytes) {
                    return Ok(TermId::read(id));
                }
            }
            ids.extend_from_slice(known);
        }
        self.next += 1;
        let id = TermId::new(kind, self.next);
        ids.extend_from_slice(&id.to_bytes());
        tables.ids.put(txn, &key, &ids)?;
        tables.text.put(txn, &id.to_bytes(), bytes)?;
        self.foreign += u64::from(kind == Kind::Foreign);
        Ok(id)
    }

    /// Takes out a term that no quad has.
    pub(crate) fn remove(
        &mut self,
        tables: &Tables,
        txn: &mut RwTxn<'_>,
        id: TermId,
    ) -> Result<(), StoreError> {
        let Some(kind) = id.kind() else {
            return Err(StoreError::Damaged("a quad has an id of no kind"));
        };
        let Some(bytes) = tables.text.get(txn, &id.to_bytes())? else {
            return Ok(());
        };
        let key = hash_key(kind, bytes);
        let left: Vec<u8> = tables
            .ids
            .get(txn, &key)?
            .unwrap_or_default()
            .chunks(TermId::LEN)
            .filter(|known| TermId::read(known) != id)
            .flatten()
            .copied()
            .collect();
        if left.is_empty() {
            tables.ids.delete(txn, &key)?;
        } else {
            tables.ids.put(txn, &key, &left)?;
        }
        tables.text.delete(txn, &id.to_bytes())?;
        self.foreign -= u64::from(kind == Kind::Foreign);
        Ok(())
    }
}
