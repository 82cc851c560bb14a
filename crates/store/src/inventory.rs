//! What the writer has to know to plan: rows of all projects, whoever may see them. Only who holds the [`Writer`] gets it.

use std::ops::Bound;
use std::sync::Arc;

use heed::{RoTxn, WithoutTls};
use model::{Digest, LogId, Position, ProjectId};

use crate::change::{Facts, GraphState, Pending, PieceKey};
use crate::environment::Shared;
use crate::error::StoreError;
use crate::reader::Reader;
use crate::row::{Take, project_of};
use crate::tables::{Table, Tables, meta};
use crate::writer::{Writer, piece_key};
use crate::{read_rows, row};

/// Reads rows for planning, beside the writer and on any thread.
#[derive(Clone)]
pub struct Inventory {
    shared: Arc<Shared>,
}

/// The rows of one moment.
pub struct Stock<'a> {
    shared: &'a Shared,
    txn: RoTxn<'a, WithoutTls>,
}

impl Writer {
    /// For planning.
    pub fn inventory(&self) -> Inventory {
        Inventory {
            shared: self.shared.clone(),
        }
    }

    /// Forgets how far the log was read and what was left out. The next start reads all of it, over what is there: what is known
    /// is passed over, what was left out gets another try.
    pub fn read_again(&mut self) -> Result<(), StoreError> {
        self.disown_loads()?;
        let tables = self.shared.tables;
        let mut txn = self.shared.env.write_txn()?;
        tables.positions.clear(&mut txn)?;
        tables.rejects.clear(&mut txn)?;
        Ok(txn.commit()?)
    }

    /// Empties the view: no data, no facts, no positions. Format, names and the count of facts' changes stay. For a view
    /// whose positions mean nothing any more.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        let tables = self.shared.tables;
        let mut txn = self.shared.env.write_txn()?;
        let epoch = tables.number(&txn, meta::EPOCH)?;
        let written = tables.number(&txn, meta::WRITTEN)?;
        let kept: Vec<(&[u8], Vec<u8>)> = [meta::FORMAT, meta::HOST]
            .into_iter()
            .map(|name| Ok((name, tables.meta.get(&txn, name)?.unwrap_or_default().to_vec())))
            .collect::<Result<_, StoreError>>()?;
        for table in all(&tables) {
            table.clear(&mut txn)?;
        }
        for (name, bytes) in kept {
            tables.meta.put(&mut txn, name, &bytes)?;
        }
        tables.set_number(&mut txn, meta::EPOCH, epoch + 1)?;
        tables.set_number(&mut txn, meta::WRITTEN, written + 1)?;
        Ok(txn.commit()?)
    }
}

/// Every table; the length makes a forgotten one fail to compile.
fn all(tables: &Tables) -> [Table; Tables::COUNT as usize] {
    let Tables {
        meta,
        text,
        ids,
        spog,
        posg,
        ospg,
        gspo,
        graphs,
        garbage,
        access,
        facts,
        members,
        denials,
        sources,
        slugs,
        pieces,
        applied,
        pending,
        log,
        positions,
        status,
        rejects,
        notes,
    } = *tables;
    [
        meta, text, ids, spog, posg, ospg, gspo, graphs, garbage, access, facts, members, denials, sources,
        slugs, pieces, applied, pending, log, positions, status, rejects, notes,
    ]
}

impl Inventory {
    /// The rows as they are now.
    pub fn look(&self) -> Result<Stock<'_>, StoreError> {
        Ok(Stock {
            shared: &self.shared,
            txn: self.shared.env.read_txn()?,
        })
    }

    /// Quads of all graphs, those on their way in or out included.
    pub fn quads(&self) -> Result<u64, StoreError> {
        let txn = self.shared.env.read_txn()?;
        Ok(self.shared.tables.gspo.len(&txn)?)
    }

    /// Where reading goes on and of which log, for the start.
    pub fn positions(&self) -> Result<(Option<LogId>, Vec<Position>), StoreError> {
        let snapshot = Reader::new(self.shared.clone()).snapshot()?;
        Ok((snapshot.log()?, snapshot.positions()?))
    }
}

impl Stock<'_> {
    /// The facts that hold.
    pub fn facts(&self, project: ProjectId) -> Result<Option<Facts>, StoreError> {
        read_rows::facts(&self.shared.tables, &self.txn, project)
    }

    /// The graph that is applied.
    pub fn applied(&self, project: ProjectId) -> Result<Option<GraphState>, StoreError> {
        read_rows::applied(&self.shared.tables, &self.txn, project)
    }

    /// The graph record that waits for facts.
    pub fn pending(&self, project: ProjectId) -> Result<Option<Pending>, StoreError> {
        read_rows::pending(&self.shared.tables, &self.txn, project)
    }

    /// Projects that have a graph record waiting for facts.
    pub fn waiting(&self) -> Result<Vec<ProjectId>, StoreError> {
        let rows = self.shared.tables.pending.iter(&self.txn)?;
        rows.map(|row| project_of(row?.0)).collect()
    }

    /// Keys and digests of the stored pieces of one bucket of `2^bits`, by key; all pieces when `bits` is 0.
    pub fn pieces(
        &self,
        project: ProjectId,
        bits: u32,
        bucket: u32,
    ) -> Result<Vec<(PieceKey, Digest)>, StoreError> {
        let access = read_rows::access(&self.shared.tables, &self.txn, project)?;
        let graph = access.map_or(0, |access: row::AccessRow<'_>| access.own);
        if graph == 0 {
            return Ok(Vec::new());
        }
        let (from, to) = PieceKey::bucket(bits, bucket);
        let (from, to) = (piece_key(graph, from), piece_key(graph, to));
        let range = (Bound::Included(&from[..]), Bound::Included(&to[..]));
        let rows = self.shared.tables.pieces.range(&self.txn, &range)?;
        rows.map(|row| {
            let (key, row) = row?;
            Ok((
                PieceKey::read(key.get(4..).unwrap_or_default())?,
                Take(row).digest()?,
            ))
        })
        .collect()
    }
}
