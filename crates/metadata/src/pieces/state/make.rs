//! Makes the pieces of objects, and holds the decoded files that this needs.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rdf::{Graph, Piece, TermId, TooLarge, skolem_iri};

use super::{DECODED_BYTES, KEPT_BYTES, Made, State, Turn};
use crate::decode::decode;
use crate::emit;
use crate::error::MetadataError;
use crate::object::{ObjectFile, Value};
use crate::pieces::{MAX_TRIPLES, MAX_WARNINGS};

impl State {
    /// Makes the pieces of these objects; gives those whose text is another one now.
    pub(super) fn make(
        &mut self,
        turn: &mut Turn<'_>,
        places: &BTreeSet<u32>,
    ) -> Result<Vec<Piece>, MetadataError> {
        let mut graph = Graph::new(self.host.clone()).with_limits(MAX_TRIPLES, 1 << 30);
        if let Some(outline) = self.outline(self.project) {
            graph.set_placeholder_for(&outline.stored_id);
        }
        let mut put = Vec::new();
        for &place in places {
            if self.outline(place).is_none() {
                continue;
            }
            graph.clear();
            self.emit(turn, &mut graph, place)?;
            graph.finish();
            graph.check_size()?;
            let Some(outline) = self.outline(place) else {
                continue;
            };
            let mut warnings = Vec::new();
            let piece = Piece::of(&outline.piece, &graph, |dropped| {
                if warnings.len() < MAX_WARNINGS {
                    warnings.push(dropped);
                }
            });
            let made = Made {
                id: outline.piece.clone(),
                digest: piece.digest,
                triples: graph.triples().len(),
                warnings,
            };
            self.triples += made.triples;
            if made.warnings.is_empty() {
                self.warned.remove(&place);
            } else {
                self.warned.insert(place);
            }
            let old = self.objects[place as usize].piece.replace(made);
            self.triples -= old.as_ref().map_or(0, |old| old.triples);
            if self.triples > MAX_TRIPLES {
                return Err(TooLarge {
                    triples: MAX_TRIPLES,
                    bytes: 1 << 30,
                }
                .into());
            }
            if old.is_none_or(|old| old.digest != piece.digest) {
                put.push(piece);
            }
        }
        Ok(put)
    }

    /// Writes an object and all embedded ones that it reaches.
    pub(super) fn emit(
        &mut self,
        turn: &mut Turn<'_>,
        graph: &mut Graph,
        top: u32,
    ) -> Result<(), MetadataError> {
        let mut seen = HashSet::from([(top, 0)]);
        let mut work = vec![(top, 0)];
        self.member(graph, top);
        while let Some((place, node)) = work.pop() {
            let file = self.file(turn, place)?;
            let subject = graph.node(file.id(node));
            emit::types(graph, &file, node, subject);
            for statement in file.statements(node) {
                let object = match statement.value {
                    Value::Node(child) => {
                        let winner = file.nodes[child as usize]
                            .key
                            .and_then(|key| self.winners.winner(key))
                            .unwrap_or((place, child));
                        let term = if winner.0 == place {
                            graph.node(file.id(winner.1))
                        } else {
                            let other = self.file(turn, winner.0)?;
                            graph.node(other.id(winner.1))
                        };
                        if seen.insert(winner) {
                            work.push(winner);
                        }
                        term
                    }
                    Value::Persistent(reference) => {
                        let target = self.places.get(&*file.references[reference as usize].oid);
                        match target.and_then(|&target| self.outline(target)) {
                            Some(outline) => graph.node(&outline.written_id),
                            None => continue,
                        }
                    }
                    value => match emit::scalar(graph, turn.reader.source, &file, value) {
                        Some(term) => term,
                        None => continue,
                    },
                };
                if statement.reverse {
                    graph.insert(object, statement.predicate, subject);
                } else {
                    graph.insert(subject, statement.predicate, object);
                }
            }
            if let Some(body) = file.body(node) {
                let iri = |graph: &mut Graph, number: u32| -> TermId {
                    let iri = skolem_iri(graph.host(), file.id(node), number as usize);
                    graph.node(&iri)
                };
                let blanks = body.blanks.len() as u32;
                emit::body(graph, subject, body, iri, |graph, cell| iri(graph, blanks + cell));
            }
        }
        Ok(())
    }

    pub(super) fn member(&self, graph: &mut Graph, place: u32) {
        let Some(outline) = self.outline(place) else {
            return;
        };
        let Some(predicate) = outline.class.membership() else {
            return;
        };
        let object = graph.node(&outline.written_id);
        let (is_ours, is_stored) = self.objects[place as usize].member;
        let say = |project: Option<&str>, graph: &mut Graph| {
            if let Some(id) = project {
                let subject = graph.node(id);
                graph.insert(subject, predicate, object);
            }
        };
        if is_ours {
            say(
                self.outline(self.project).map(|outline| &*outline.written_id),
                graph,
            );
        }
        if is_stored {
            say(outline.project_id.as_deref(), graph);
        }
    }

    /// A file's content: held, or decoded again.
    pub(super) fn file(&mut self, turn: &mut Turn<'_>, place: u32) -> Result<Arc<ObjectFile>, MetadataError> {
        if let Some(file) = self.decoded.get(&place) {
            return Ok(Arc::clone(file));
        }
        let oid = &self.objects[place as usize].oid;
        let file = Arc::new(turn.reader.need(oid, "an object of the project", decode)?);
        self.hold(place, Arc::clone(&file));
        Ok(file)
    }

    pub(super) fn hold(&mut self, place: u32, file: Arc<ObjectFile>) {
        self.decoded_bytes += file.weight();
        if let Some(old) = self.decoded.put(place, file) {
            self.decoded_bytes -= old.weight();
        }
        self.let_go(DECODED_BYTES);
    }

    pub(super) fn let_go(&mut self, most: usize) {
        while self.decoded_bytes > most {
            let Some((_, file)) = self.decoded.pop_lru() else {
                break;
            };
            self.decoded_bytes -= file.weight();
        }
    }

    pub(super) fn trim(&mut self) {
        self.let_go(KEPT_BYTES);
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let warned = self.warned.iter();
        let made = warned.filter_map(|&place| self.objects[place as usize].piece.as_ref());
        made.flat_map(|made| made.warnings.iter().map(ToString::to_string))
            .take(MAX_WARNINGS)
            .collect()
    }
}
