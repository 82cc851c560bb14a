//! The only writer of a view: one transaction changes data, facts and positions.

use std::sync::Arc;

use heed::RwTxn;
use model::{Digest, Generation, LogId, Offset, Partition, Position, ProjectId, TopicName};

use crate::change::{Difference, Facts, GraphState, Pending, Piece, PieceKey, allows};
use crate::dictionary::Dictionary;
use crate::environment::{Shared, WriterLock};
use crate::error::StoreError;
use crate::faults::{self, Fault};
use crate::interning::{self, TermCache};
use crate::order::Gid;
use crate::quads::QuadChanges;
use crate::read_rows;
use crate::row::{AccessRow, GraphRow, Put};
use crate::tables::meta;
use crate::triples::{self, Triple};

/// How many generations of a project the log of applied graphs keeps.
const LOGGED: usize = 256;

/// Writes a view. There is one per folder, over all processes.
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
    /// Held for the writer's life.
    _lock: WriterLock,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, lock: WriterLock) -> Result<Self, StoreError> {
        let mut writer = Self { shared, _lock: lock };
        writer.disown_loads()?;
        Ok(writer)
    }

    /// Begins a transaction. Dropping it undoes it.
    pub fn begin(&mut self) -> Result<WriteBatch<'_>, StoreError> {
        let shared = &*self.shared;
        let txn = shared.env.write_txn()?;
        Ok(WriteBatch {
            dictionary: Dictionary::load(&shared.tables, &txn)?,
            next_graph: shared.tables.number(&txn, meta::NEXT_GRAPH)?,
            new_epoch: false,
            terms: TermCache::default(),
            quads: QuadChanges::default(),
            shared,
            txn,
        })
    }

    /// Frees the slots of readers whose process died. Call it now and then.
    pub fn clear_stale_readers(&self) -> Result<usize, StoreError> {
        Ok(self.shared.env.clear_stale_readers()?)
    }
}

/// One transaction.
pub struct WriteBatch<'w> {
    pub(crate) shared: &'w Shared,
    pub(crate) txn: RwTxn<'w>,
    pub(crate) dictionary: Dictionary,
    next_graph: u64,
    /// Which graphs exist or who may see them has changed.
    pub(crate) new_epoch: bool,
    terms: TermCache,
    pub(crate) quads: QuadChanges,
}

/// What became of facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FactsApplied {
    /// Newer ones, or these, were there.
    Superseded,
    /// They hold now. A graph record that waited for them may be applied, see [`WriteBatch::pending`].
    Applied {
        /// Whether one waited.
        graph_waits: bool,
    },
}

impl WriteBatch<'_> {
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

    /// Keys and digests of the pieces of one section, by key.
    pub fn pieces(
        &self,
        project: ProjectId,
        bits: u32,
        bucket: u32,
    ) -> Result<Vec<(PieceKey, Digest)>, StoreError> {
        let graph = self.access(project)?.own;
        if graph == 0 {
            return Ok(Vec::new());
        }
        let (from, to) = PieceKey::bucket(bits, bucket);
        let (from, to) = (piece_key(graph, from), piece_key(graph, to));
        let range = (
            std::ops::Bound::Included(&from[..]),
            std::ops::Bound::Included(&to[..]),
        );
        let mut pieces = Vec::new();
        for row in self.shared.tables.pieces.range(&self.txn, &range)? {
            let (key, row) = row?;
            pieces.push((
                PieceKey::read(key.get(4..).unwrap_or_default())?,
                crate::row::Take(row).digest()?,
            ));
        }
        Ok(pieces)
    }

    /// Takes facts over, if no newer ones hold. Visibility, slug and existence change with this transaction.
    pub fn apply_facts(&mut self, project: ProjectId, facts: &Facts) -> Result<FactsApplied, StoreError> {
        let tables = self.shared.tables;
        let before = self.facts(project)?;
        if before.as_ref().is_some_and(|b| facts.rank() <= b.rank()) {
            return Ok(FactsApplied::Superseded);
        }
        if let Some(old) = before.as_ref().and_then(|b| b.live.as_ref()) {
            tables.slugs.delete(
                &mut self.txn,
                &read_rows::slug_key(old.slug.as_str(), Some(project)),
            )?;
        }
        let id = project.get().to_be_bytes();
        tables.facts.put(&mut self.txn, &id, &facts.write())?;
        self.replace_members(project, before.as_ref(), facts)?;
        let (slug, visibility) = match &facts.live {
            Some(live) => {
                let key = read_rows::slug_key(live.slug.as_str(), Some(project));
                let version = facts.state_version.get().to_be_bytes();
                tables.slugs.put(&mut self.txn, &key, &version)?;
                (live.slug.as_str(), Some(live.visibility))
            }
            None => ("", None),
        };
        if !faults::is_on(Fault::Access) {
            self.set_access(project, |row| AccessRow {
                visibility,
                slug,
                ..row
            })?;
        }
        if let Some(before) = &before {
            // A later version ends the denials that held for the one before.
            self.new_epoch |= self.may_be_denied(before.state_version)?;
        }
        let waits = self
            .pending(project)?
            .is_some_and(|p| allows(Some(facts), p.state_version));
        Ok(FactsApplied::Applied { graph_waits: waits })
    }

    /// Makes a project invisible whose facts cannot be read, until readable ones of a later version come.
    pub fn hide(&mut self, project: ProjectId) -> Result<(), StoreError> {
        self.note_written()?;
        self.set_access(project, |row| AccessRow {
            visibility: None,
            ..row
        })
    }

    /// Keeps a graph record until its facts come. The newest only; [`crate::decide`] said that it is.
    pub fn hold(&mut self, project: ProjectId, pending: &Pending) -> Result<(), StoreError> {
        let id = project.get().to_be_bytes();
        Ok(self
            .shared
            .tables
            .pending
            .put(&mut self.txn, &id, &pending.write())?)
    }

    /// Applies a graph by its difference to the one that is stored. [`crate::decide`] said that it may be.
    ///
    /// # Errors
    /// [`StoreError::BadPiece`] before anything has changed.
    pub fn apply_graph(
        &mut self,
        project: ProjectId,
        state: &GraphState,
        difference: &Difference,
    ) -> Result<(), StoreError> {
        for piece in &difference.put {
            interning::check(
                &self.shared.names,
                !self.shared.options.claims,
                project,
                piece.key,
                &piece.text,
            )?;
        }
        let access = self.access(project)?;
        let fresh = access.own == 0;
        let (own, claims) = match fresh {
            false => (access.own, access.claims),
            true => self.new_graphs(project)?,
        };
        let (mut said, mut claimed) = (Vec::new(), Vec::new());
        for key in &difference.removed {
            self.take_piece(own, *key, &mut said, &mut claimed)?;
        }
        for piece in &difference.put {
            if !fresh {
                self.take_piece(own, piece.key, &mut said, &mut claimed)?;
            }
            self.put_piece(project, own, piece, &mut said, &mut claimed)?;
        }
        let tables = &self.shared.tables;
        self.quads
            .change((tables, &mut self.txn), own, fresh, &mut said)?;
        self.quads
            .change((tables, &mut self.txn), claims, fresh, &mut claimed)?;
        if fresh {
            self.set_access(project, |row| AccessRow { own, claims, ..row })?;
        }
        self.set_applied(project, state)
    }

    /// Applies that a project's graph is gone. [`crate::decide`] said that it may be; `state` has no sections.
    pub fn apply_gone(&mut self, project: ProjectId, state: &GraphState) -> Result<(), StoreError> {
        self.drop_graphs(project)?;
        self.set_applied(project, state)
    }

    /// Notes what is applied now: the waiting record, if not newer, is done with.
    pub(crate) fn set_applied(&mut self, project: ProjectId, state: &GraphState) -> Result<(), StoreError> {
        let id = project.get().to_be_bytes();
        let tables = self.shared.tables;
        tables.applied.put(&mut self.txn, &id, &state.write())?;
        if self
            .pending(project)?
            .is_some_and(|p| (p.generation, p.digest) <= state.rank())
        {
            tables.pending.delete(&mut self.txn, &id)?;
        }
        let key = Put::default().u32(project.get()).u64(state.generation.get()).0;
        let times = match tables.log.get(&self.txn, &key)? {
            Some(row) => crate::row::Take(row).u32()?,
            None => 0,
        };
        tables.log.put(&mut self.txn, &key, &(times + 1).to_be_bytes())?;
        if times == 0 {
            let old: Vec<Vec<u8>> = tables
                .log
                .rev_prefix_iter(&self.txn, &id)?
                .skip(LOGGED)
                .map(|row| row.map(|(key, _)| key.to_vec()))
                .collect::<Result<_, _>>()?;
            for key in old {
                tables.log.delete(&mut self.txn, &key)?;
            }
        }
        Ok(())
    }

    /// Takes the triples of a stored piece off, and the piece with them.
    fn take_piece(
        &mut self,
        graph: Gid,
        key: PieceKey,
        said: &mut Vec<(Triple, i32)>,
        claimed: &mut Vec<(Triple, i32)>,
    ) -> Result<(), StoreError> {
        let key = piece_key(graph, key);
        let pieces = self.shared.tables.pieces;
        let Some(row) = pieces.get(&self.txn, &key)? else {
            return Ok(());
        };
        let (_, own, claims) = read_piece(row)?;
        said.extend(own.into_iter().map(|triple| (triple, -1)));
        claimed.extend(claims.into_iter().map(|triple| (triple, -1)));
        pieces.delete(&mut self.txn, &key)?;
        Ok(())
    }

    /// Stores a piece and puts its triples on.
    pub(crate) fn put_piece(
        &mut self,
        project: ProjectId,
        graph: Gid,
        piece: &Piece,
        said: &mut Vec<(Triple, i32)>,
        claimed: &mut Vec<(Triple, i32)>,
    ) -> Result<(), StoreError> {
        let shared = self.shared;
        let mut parsed = self.terms.parse(
            (&shared.tables, &mut self.txn, &shared.names, &mut self.dictionary),
            project,
            &piece.text,
        )?;
        let row = write_piece(&piece.digest, &mut parsed.own, &mut parsed.claims);
        shared
            .tables
            .pieces
            .put(&mut self.txn, &piece_key(graph, piece.key), &row)?;
        said.extend(parsed.own.into_iter().map(|triple| (triple, 1)));
        claimed.extend(parsed.claims.into_iter().map(|triple| (triple, 1)));
        Ok(())
    }

    pub(crate) fn access(&self, project: ProjectId) -> Result<AccessRow<'_>, StoreError> {
        read_rows::access(&self.shared.tables, &self.txn, project).map(Option::unwrap_or_default)
    }

    pub(crate) fn set_access<'s>(
        &mut self,
        project: ProjectId,
        change: impl FnOnce(AccessRow<'s>) -> AccessRow<'s>,
    ) -> Result<(), StoreError> {
        let id = project.get().to_be_bytes();
        let before = self.shared.tables.access.get(&self.txn, &id)?.map(<[u8]>::to_vec);
        let row = match &before {
            Some(bytes) => AccessRow::read(bytes)?,
            None => AccessRow::default(),
        };
        let slug = row.slug.to_owned();
        // The slug is given back after the change unless the change gave another.
        let changed = change(AccessRow {
            slug: KEEP,
            visibility: row.visibility,
            own: row.own,
            claims: row.claims,
        });
        let slug = if changed.slug == KEEP {
            slug.as_str()
        } else {
            changed.slug
        };
        let changed = AccessRow { slug, ..changed };
        if changed != row {
            self.new_epoch = true;
            self.shared
                .tables
                .access
                .put(&mut self.txn, &id, &changed.write())?;
        }
        Ok(())
    }

    /// Numbers for a project's two graphs. They hold nothing and nobody sees them yet.
    pub(crate) fn new_graphs(&mut self, project: ProjectId) -> Result<(Gid, Gid), StoreError> {
        let mut new = || {
            self.next_graph += 1;
            u32::try_from(self.next_graph).map_err(|_| {
                StoreError::Damaged(
                    "four billion graphs have been made: rebuild the view to begin again at 1",
                )
            })
        };
        let (own, claims) = (new()?, new()?);
        let row = GraphRow { project, quads: 0 }.write();
        for graph in [own, claims] {
            self.shared
                .tables
                .graphs
                .put(&mut self.txn, &graph.to_be_bytes(), &row)?;
        }
        Ok((own, claims))
    }

    /// The view's log: positions of another one mean nothing.
    pub fn set_log(&mut self, log: LogId) -> Result<(), StoreError> {
        Ok(self
            .shared
            .tables
            .meta
            .put(&mut self.txn, meta::LOG, &log.0.to_be_bytes())?)
    }

    /// Everything below is applied.
    pub fn set_position(&mut self, position: &Position) -> Result<(), StoreError> {
        let key = partition_key(&position.topic, position.partition);
        let next = position.next.get().to_be_bytes();
        Ok(self.shared.tables.positions.put(&mut self.txn, &key, &next)?)
    }

    /// A record that was left out, and why.
    pub fn put_reject(&mut self, position: &Position, reason: &str) -> Result<(), StoreError> {
        let mut key = partition_key(&position.topic, position.partition);
        key.extend_from_slice(&position.next.get().to_be_bytes());
        Ok(self
            .shared
            .tables
            .rejects
            .put(&mut self.txn, &key, reason.as_bytes())?)
    }

    /// The status row of that name.
    pub fn status(&self, project: ProjectId, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = status_key(project, name);
        Ok(self
            .shared
            .tables
            .status
            .get(&self.txn, &key)?
            .map(<[u8]>::to_vec))
    }

    /// Sets it. The name is at most 400 bytes; the rest of a longer one is not looked at.
    pub fn put_status(&mut self, project: ProjectId, name: &str, row: &[u8]) -> Result<(), StoreError> {
        let key = status_key(project, name);
        Ok(self.shared.tables.status.put(&mut self.txn, &key, row)?)
    }

    /// The writer's note on a project.
    pub fn note(&self, project: ProjectId) -> Result<Option<Vec<u8>>, StoreError> {
        let id = project.get().to_be_bytes();
        Ok(self.shared.tables.notes.get(&self.txn, &id)?.map(<[u8]>::to_vec))
    }

    /// Sets it.
    pub fn put_note(&mut self, project: ProjectId, note: &[u8]) -> Result<(), StoreError> {
        let id = project.get().to_be_bytes();
        Ok(self.shared.tables.notes.put(&mut self.txn, &id, note)?)
    }

    /// How many quads this transaction has added and removed so far.
    pub fn changed_quads(&self) -> usize {
        self.quads.changed
    }

    /// Makes all of it durable and visible at once. Blocks until the disk has it.
    pub fn commit(mut self) -> Result<(), StoreError> {
        let tables = &self.shared.tables;
        self.quads.finish(tables, &mut self.txn, &mut self.dictionary)?;
        self.dictionary.save(tables, &mut self.txn)?;
        tables.set_number(&mut self.txn, meta::NEXT_GRAPH, self.next_graph)?;
        if self.new_epoch && !faults::is_on(Fault::Epoch) {
            let epoch = tables.number(&self.txn, meta::EPOCH)?;
            tables.set_number(&mut self.txn, meta::EPOCH, epoch + 1)?;
        }
        Ok(self.txn.commit()?)
    }
}

/// Stands for "the slug as it was"; no slug has this text.
const KEEP: &str = "\u{0}";

pub(crate) fn piece_key(graph: Gid, key: PieceKey) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&graph.to_be_bytes());
    bytes[4..].copy_from_slice(key.as_bytes());
    bytes
}

pub(crate) fn partition_key(topic: &TopicName, partition: Partition) -> Vec<u8> {
    let mut key = topic.as_str().as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&partition.get().to_be_bytes());
    key
}

pub(crate) fn status_key(project: ProjectId, name: &str) -> Vec<u8> {
    let mut key = project.get().to_be_bytes().to_vec();
    key.extend(name.bytes().take(400));
    key
}

fn write_piece(digest: &Digest, own: &mut Vec<Triple>, claims: &mut Vec<Triple>) -> Vec<u8> {
    let mut said = Vec::with_capacity(own.len() * 8);
    triples::write(own, &mut said);
    let mut row = Put::default().digest(digest).bytes(&said).0;
    triples::write(claims, &mut row);
    row
}

pub(crate) fn read_piece(row: &[u8]) -> Result<(Digest, Vec<Triple>, Vec<Triple>), StoreError> {
    let mut take = crate::row::Take(row);
    let digest = take.digest()?;
    let own = triples::read(take.bytes()?)?;
    Ok((digest, own, triples::read(take.0)?))
}

/// A generation as the log of applied graphs names it.
pub(crate) type Applied = (Generation, u32);

pub(crate) fn offset(bytes: &[u8]) -> Result<Offset, StoreError> {
    crate::row::Take(bytes).u64().map(Offset::new)
}
