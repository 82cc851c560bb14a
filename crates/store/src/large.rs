//! Graphs too large for one transaction: loaded in steps where nobody sees them, then flipped in. And what is left over.

use model::ProjectId;

use crate::change::{GraphState, Piece, PieceKey};
use crate::error::StoreError;
use crate::interning;
use crate::order::{Gid, graph_key, triple_of};
use crate::row::AccessRow;
use crate::writer::{WriteBatch, Writer, piece_key, read_piece};

const LOADING: u8 = 0;
const DROPPED: u8 = 1;

/// A graph on its way in. When it is dropped, or the process dies, what was loaded is left over and is collected.
#[derive(Debug)]
pub struct LargeLoad {
    project: ProjectId,
    own: Gid,
    claims: Gid,
    /// The graph that is shown meanwhile; 0: none.
    from: Gid,
}

impl WriteBatch<'_> {
    /// Begins one.
    pub fn begin_load(&mut self, project: ProjectId) -> Result<LargeLoad, StoreError> {
        let from = self.access(project)?.own;
        let (own, claims) = self.new_graphs(project)?;
        for graph in [own, claims] {
            self.shared
                .tables
                .garbage
                .put(&mut self.txn, &graph.to_be_bytes(), &[LOADING])?;
        }
        Ok(LargeLoad {
            project,
            own,
            claims,
            from,
        })
    }

    /// Loads new pieces.
    ///
    /// # Errors
    /// [`StoreError::BadPiece`]: give the load up.
    pub fn load(&mut self, load: &LargeLoad, pieces: &[Piece]) -> Result<(), StoreError> {
        let (mut said, mut claimed) = (Vec::new(), Vec::new());
        for piece in pieces {
            interning::check(
                &self.shared.names,
                !self.shared.options.claims,
                load.project,
                piece.key,
                &piece.text,
            )?;
            self.put_piece(load.project, load.own, piece, &mut said, &mut claimed)?;
        }
        self.change_loaded(load, said, claimed)
    }

    /// Loads pieces that are as they are in the graph that is shown.
    pub fn load_kept(&mut self, load: &LargeLoad, keys: &[PieceKey]) -> Result<(), StoreError> {
        let pieces = self.shared.tables.pieces;
        let (mut said, mut claimed) = (Vec::new(), Vec::new());
        for key in keys {
            let row = pieces
                .get(&self.txn, &piece_key(load.from, *key))?
                .ok_or(StoreError::Damaged("a piece that was to be kept is not there"))?
                .to_vec();
            let (_, own, claims) = read_piece(&row)?;
            said.extend(own.into_iter().map(|triple| (triple, 1)));
            claimed.extend(claims.into_iter().map(|triple| (triple, 1)));
            pieces.put(&mut self.txn, &piece_key(load.own, *key), &row)?;
        }
        self.change_loaded(load, said, claimed)
    }

    fn change_loaded(
        &mut self,
        load: &LargeLoad,
        mut said: Vec<(crate::triples::Triple, i32)>,
        mut claimed: Vec<(crate::triples::Triple, i32)>,
    ) -> Result<(), StoreError> {
        let tables = &self.shared.tables;
        self.quads
            .change((tables, &mut self.txn), load.own, false, &mut said)?;
        self.quads
            .change((tables, &mut self.txn), load.claims, false, &mut claimed)
    }

    /// Shows what was loaded in place of what was shown.
    pub fn flip(&mut self, load: LargeLoad, state: &GraphState) -> Result<(), StoreError> {
        self.drop_graphs(load.project)?;
        for graph in [load.own, load.claims] {
            self.shared
                .tables
                .garbage
                .delete(&mut self.txn, &graph.to_be_bytes())?;
        }
        let LargeLoad {
            project, own, claims, ..
        } = load;
        self.set_access(project, |row| AccessRow { own, claims, ..row })?;
        self.set_applied(project, state)
    }

    /// Takes a project's graphs out of sight. [`Writer::collect`] removes them.
    pub(crate) fn drop_graphs(&mut self, project: ProjectId) -> Result<(), StoreError> {
        let row = self.access(project)?;
        for graph in [row.own, row.claims] {
            if graph != 0 {
                self.shared
                    .tables
                    .garbage
                    .put(&mut self.txn, &graph.to_be_bytes(), &[DROPPED])?;
            }
        }
        self.set_access(project, |row| AccessRow {
            own: 0,
            claims: 0,
            ..row
        })
    }
}

impl Writer {
    /// Loads that the last process did not finish are left over.
    pub(crate) fn disown_loads(&mut self) -> Result<(), StoreError> {
        let tables = self.shared.tables;
        let mut txn = self.shared.env.write_txn()?;
        let loading: Vec<Vec<u8>> = tables
            .garbage
            .iter(&txn)?
            .filter_map(|row| match row {
                Ok((key, [LOADING])) => Some(Ok(key.to_vec())),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<_, _>>()?;
        for key in loading {
            tables.garbage.put(&mut txn, &key, &[DROPPED])?;
        }
        Ok(txn.commit()?)
    }

    /// Gives up a load.
    pub fn give_up(&mut self, load: LargeLoad) -> Result<(), StoreError> {
        let tables = self.shared.tables;
        let mut txn = self.shared.env.write_txn()?;
        for graph in [load.own, load.claims] {
            tables.garbage.put(&mut txn, &graph.to_be_bytes(), &[DROPPED])?;
        }
        Ok(txn.commit()?)
    }

    /// Removes about `quads` quads of graphs that are left over, in one transaction. True: there is more.
    pub fn collect(&mut self, quads: usize) -> Result<bool, StoreError> {
        let tables = self.shared.tables;
        let txn = self.shared.env.read_txn()?;
        let mut left = None;
        for row in tables.garbage.iter(&txn)? {
            if let (key, [DROPPED]) = row? {
                left = Some(crate::row::Take(key).u32()?);
                break;
            }
        }
        drop(txn);
        let Some(graph) = left else {
            return Ok(false);
        };
        let mut batch = self.begin()?;
        let prefix = graph.to_be_bytes();
        let mut found = Vec::new();
        for row in tables.gspo.prefix_iter(&batch.txn, &prefix)?.take(quads.max(1)) {
            found.push(triple_of(row?.0));
        }
        for triple in &found {
            tables.gspo.delete(&mut batch.txn, &graph_key(graph, *triple))?;
            batch.quads.remove(*triple, graph);
        }
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for row in tables.pieces.prefix_iter(&batch.txn, &prefix)?.take(quads.max(1)) {
            pieces.push(row?.0.to_vec());
        }
        for key in &pieces {
            tables.pieces.delete(&mut batch.txn, key)?;
        }
        if found.is_empty() && pieces.is_empty() {
            tables.garbage.delete(&mut batch.txn, &prefix)?;
            tables.graphs.delete(&mut batch.txn, &prefix)?;
        }
        batch.commit()?;
        Ok(true)
    }
}
