//! From a graph record to the difference that the view has to apply: only what changed is fetched.

use std::sync::Arc;

use blobs::Blobs;
use bytes::Bytes;
use events::{Decoder, Graph, PieceRef, PieceSection, ProjectGraph, Sha256, TopicValue};
use model::{Generation, Position, ProjectId};
use store::{Difference, GraphState, Inventory, Needs, Piece, PieceKey, Stock, StoreError, Verdict, decide};

use crate::batch::{Newest, rank};
use crate::buckets::{PieceChanges, bits_of, changed, check_section, piece_changes};
use crate::content::{Content, ContentError};
use crate::work::{GraphChange, GraphItem};

/// The subject of a bucket's bytes.
const PIECE_SECTION: &str = "renku.piece-section";

/// Why a record cannot be prepared now.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The view cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blobs cannot be read at the moment.
    #[error("graph of project {project}: {why}")]
    Passing {
        /// Whose graph.
        project: ProjectId,
        /// What is down.
        why: String,
    },
}

/// A graph, ready to be applied.
#[derive(Debug)]
pub enum Prepared {
    /// In one transaction.
    Small(GraphItem),
    /// In steps: too much changes for one transaction. The texts are fetched step by step.
    Large(LargeItem),
    /// A blob that the record names is nowhere. Unless a newer record makes it needless, it is left out.
    Missing(GraphItem),
}

/// A graph that is loaded beside the one that is shown.
#[derive(Debug)]
pub struct LargeItem {
    /// What to flip in; its difference lists what goes, and none of what comes.
    pub item: GraphItem,
    /// Pieces that stay as they are.
    pub kept: Vec<PieceKey>,
    /// Pieces that come.
    pub new: Vec<PieceRef>,
    /// The record, for its attachments.
    pub graph: Graph,
}

/// Prepares records beside the writer.
#[derive(Clone)]
pub struct Preparer {
    inventory: Inventory,
    blobs: Arc<dyn Blobs>,
    decoder: Decoder,
    /// The most bytes of pieces that are changed in one transaction.
    most_bytes: u64,
}

enum Failed {
    Content(ContentError),
    LeaveOut(&'static str, String),
    Prepare(PrepareError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Prepare(error.into())
    }
}

impl From<ContentError> for Failed {
    fn from(error: ContentError) -> Self {
        Self::Content(error)
    }
}

/// What the stored rows say is to be done.
enum Plan {
    Nothing,
    Hold,
    Gone,
    Fetch {
        base: Option<GraphState>,
        bits: u32,
        changed: Vec<usize>,
    },
}

impl Preparer {
    /// `most_bytes`: larger changes are loaded in steps.
    pub fn new(inventory: Inventory, blobs: Arc<dyn Blobs>, most_bytes: u64) -> Self {
        Self {
            inventory,
            blobs,
            decoder: Decoder::default(),
            most_bytes,
        }
    }

    /// Reads a record that has been waiting in the view.
    pub fn waiting(&self, project: ProjectId) -> Result<Option<(ProjectGraph, Bytes)>, StoreError> {
        let Some(pending) = self.inventory.look()?.pending(project)? else {
            return Ok(None);
        };
        let bytes = Bytes::from(pending.record);
        // It was decoded before it was kept.
        let graph = self.decoder.decode(ProjectGraph::SUBJECT, &bytes).ok();
        Ok(graph.map(|graph| (graph, bytes)))
    }

    /// Projects with a record that waits.
    pub fn projects_waiting(&self) -> Result<Vec<ProjectId>, StoreError> {
        self.inventory.look()?.waiting()
    }

    /// Prepares one project's newest record. `at`: where it is; none for one that has been waiting.
    pub async fn prepare(&self, newest: Newest, at: Option<Position>) -> Result<Prepared, PrepareError> {
        let Newest {
            read,
            covers,
            superseded,
            asked,
        } = newest;
        let project = read.graph.project_id;
        let needs = |(covers, graph, facts)| (covers, Needs { facts, graph });
        let mut item = GraphItem {
            project,
            at,
            rank: rank(&read.graph),
            state_version: read.graph.envelope.state_version,
            record: read.bytes,
            covers: covers.into_iter().map(needs).collect(),
            superseded,
            asked,
            change: GraphChange::Nothing,
        };
        match self.change(&item, read.graph.graph).await {
            Ok(Change::Small(change)) => {
                item.change = change;
                Ok(Prepared::Small(item))
            }
            Ok(Change::Large {
                change,
                kept,
                new,
                graph,
            }) => {
                item.change = change;
                Ok(Prepared::Large(LargeItem {
                    item,
                    kept,
                    new,
                    graph,
                }))
            }
            Err(Failed::LeaveOut(code, why)) => {
                item.change = GraphChange::LeaveOut { code, why };
                Ok(Prepared::Small(item))
            }
            Err(Failed::Content(error @ ContentError::Missing(_))) => {
                item.change = GraphChange::LeaveOut {
                    code: "blob-missing",
                    why: error.to_string(),
                };
                Ok(Prepared::Missing(item))
            }
            Err(Failed::Content(ContentError::Damaged(error))) => {
                item.change = GraphChange::LeaveOut {
                    code: "blob-damaged",
                    why: error.to_string(),
                };
                Ok(Prepared::Missing(item))
            }
            Err(Failed::Content(ContentError::Passing(error))) => Err(PrepareError::Passing {
                project,
                why: with_causes(&error),
            }),
            Err(Failed::Prepare(error)) => Err(error),
        }
    }

    /// Fetches the texts of some pieces of a large graph.
    pub(crate) async fn texts(&self, graph: &Graph, pieces: &[PieceRef]) -> Result<Vec<Piece>, TextsError> {
        let content = Content::new(&graph.attached, &self.blobs);
        match texts(&content, pieces).await {
            Ok(pieces) => Ok(pieces),
            Err(Failed::Content(ContentError::Passing(error))) => {
                Err(TextsError::Passing(with_causes(&error)))
            }
            Err(Failed::Content(error)) => Err(TextsError::LeaveOut("blob-missing", error.to_string())),
            Err(Failed::LeaveOut(code, why)) => Err(TextsError::LeaveOut(code, why)),
            Err(Failed::Prepare(error)) => Err(TextsError::Passing(error.to_string())),
        }
    }

    async fn change(&self, item: &GraphItem, graph: Option<Graph>) -> Result<Change, Failed> {
        let plan = plan(&self.inventory.look()?, item, graph.as_ref())?;
        let (base, bits, changed) = match (plan, &graph) {
            (Plan::Fetch { base, bits, changed }, Some(_)) => (base, bits, changed),
            (Plan::Hold, _) => return Ok(Change::Small(GraphChange::Hold)),
            (Plan::Gone, _) => return Ok(Change::Small(GraphChange::Gone(state(item, 0, &[], Vec::new())))),
            _ => return Ok(Change::Small(GraphChange::Nothing)),
        };
        let Some(graph) = graph else {
            return Ok(Change::Small(GraphChange::Nothing));
        };
        let content = Content::new(&graph.attached, &self.blobs);
        let sections = self.sections(&content, &graph, bits, &changed).await?;
        let whole = base.as_ref().is_some_and(|base| base.bits == bits);
        let stored = {
            let stock = self.inventory.look()?;
            let mut stored = std::collections::HashMap::new();
            if whole {
                for bucket in &changed {
                    stored.extend(stock.pieces(item.project, bits, *bucket as u32)?);
                }
            } else {
                stored.extend(stock.pieces(item.project, 0, 0)?);
            }
            stored
        };
        let PieceChanges { removed, written } = piece_changes(stored, sections);
        let new_state = state(item, bits, &graph.buckets, payload(&graph));
        let base_rank = base.as_ref().map(GraphState::rank);
        let bytes: u64 = written
            .iter()
            .map(|piece| u64::try_from(piece.size).unwrap_or(0))
            .sum();
        if bytes > self.most_bytes {
            let all = self.inventory.look()?.pieces(item.project, 0, 0)?;
            let goes: std::collections::HashSet<PieceKey> = removed
                .iter()
                .copied()
                .chain(written.iter().map(|piece| PieceKey::of(&piece.id)))
                .collect();
            let kept = all
                .into_iter()
                .map(|(key, _)| key)
                .filter(|key| !goes.contains(key))
                .collect();
            let difference = Difference {
                removed,
                put: Vec::new(),
            };
            let change = GraphChange::Apply {
                base: base_rank,
                state: new_state,
                difference,
            };
            return Ok(Change::Large {
                change,
                kept,
                new: written,
                graph,
            });
        }
        let put = texts(&content, &written).await?;
        let difference = Difference { removed, put };
        Ok(Change::Small(GraphChange::Apply {
            base: base_rank,
            state: new_state,
            difference,
        }))
    }

    async fn sections(
        &self,
        content: &Content<'_>,
        graph: &Graph,
        bits: u32,
        changed: &[usize],
    ) -> Result<Vec<PieceSection>, Failed> {
        let digests = || {
            changed
                .iter()
                .filter_map(|at| Some((*at, *graph.buckets.get(*at)?)))
        };
        let named: Vec<(usize, Sha256)> = digests().filter(|(_, digest)| *digest != Sha256::ZERO).collect();
        let wanted: Vec<_> = named.iter().map(|(_, digest)| *digest).collect();
        let mut sections = Vec::with_capacity(named.len());
        for ((bucket, _), bytes) in named.into_iter().zip(content.get(&wanted).await?) {
            let section: PieceSection = self
                .decoder
                .decode(PIECE_SECTION, &bytes)
                .map_err(|error| Failed::LeaveOut("section-unreadable", with_causes(&error)))?;
            check_section(&section, bucket, bits)
                .map_err(|error| Failed::LeaveOut("section-inconsistent", error.to_string()))?;
            sections.push(section);
        }
        Ok(sections)
    }
}

enum Change {
    Small(GraphChange),
    Large {
        change: GraphChange,
        kept: Vec<PieceKey>,
        new: Vec<PieceRef>,
        graph: Graph,
    },
}

/// Why texts of a large graph were not had.
pub(crate) enum TextsError {
    Passing(String),
    LeaveOut(&'static str, String),
}

fn plan(stock: &Stock<'_>, item: &GraphItem, graph: Option<&Graph>) -> Result<Plan, Failed> {
    let (facts, base) = (stock.facts(item.project)?, stock.applied(item.project)?);
    let held = stock
        .pending(item.project)?
        .filter(|held| (held.generation, held.digest) != item.rank);
    let verdict = decide(
        item.rank,
        item.state_version,
        facts.as_ref(),
        base.as_ref(),
        held.as_ref(),
    );
    Ok(match (verdict, graph) {
        (Verdict::Superseded, _) => Plan::Nothing,
        // That there is nothing needs no facts.
        (_, None) => Plan::Gone,
        (Verdict::Hold, _) => Plan::Hold,
        (Verdict::Apply, Some(graph)) => {
            let bits =
                bits_of(graph).map_err(|error| Failed::LeaveOut("record-inconsistent", error.to_string()))?;
            let new: Vec<_> = graph.buckets.iter().map(|digest| digest.0).collect();
            let old = base.as_ref().map_or(&[][..], |base| &base.sections);
            let changed = changed(old, &new);
            Plan::Fetch { base, bits, changed }
        }
    })
}

fn state(item: &GraphItem, bits: u32, buckets: &[Sha256], payload: Vec<u8>) -> GraphState {
    GraphState {
        generation: item.rank.0,
        digest: item.rank.1,
        state_version: item.state_version,
        bits,
        sections: buckets.iter().map(|bucket| bucket.0).collect(),
        payload,
    }
}

/// What is kept of a graph record beside its pieces, for those who answer with it: the commit and the warnings.
fn payload(graph: &Graph) -> Vec<u8> {
    let kept = serde_json::json!({ "sha": graph.sha.to_string(), "warnings": graph.warnings });
    kept.to_string().into_bytes()
}

async fn texts(content: &Content<'_>, pieces: &[PieceRef]) -> Result<Vec<Piece>, Failed> {
    let digests: Vec<_> = pieces.iter().map(|piece| piece.digest).collect();
    let texts = content.get(&digests).await?;
    let piece = |(piece, bytes): (&PieceRef, Bytes)| {
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| {
            Failed::LeaveOut(
                "piece-unreadable",
                format!("piece {:?} is not UTF-8", shortened(&piece.id)),
            )
        })?;
        Ok(Piece {
            key: PieceKey::of(&piece.id),
            digest: piece.digest.0,
            text,
        })
    };
    pieces.iter().zip(texts).map(piece).collect()
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

/// An error with what caused it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// How long a push took to be queryable, if its generation tells when its look began.
pub(crate) fn since_look(now: model::Timestamp, generation: Generation) -> Option<std::time::Duration> {
    let began = model::Timestamp::from_micros(i64::try_from(generation.get()).ok()?);
    let took = now.since(began);
    // Generations of tests and of clocks that went back tell nothing.
    (took < std::time::Duration::from_secs(7 * 24 * 3600)).then_some(took)
}
