//! Loads objects and writes them, as `renku graph export` does.
//!
//! Files are loaded in the CLI's order, because the first loaded embedded object with an id wins over later ones. In a full
//! export every object is written as soon as it is loaded and then dropped: all that its nested objects can resolve to is
//! known by then. What was loaded but not yet written is kept until something reaches it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rdf::{Graph, Host, Known, TermId};

use crate::class::Class;
use crate::decode::decode;
use crate::document::Documents;
use crate::emit;
use crate::error::{Damage, MetadataError};
use crate::object::{KeyMap, ObjectFile, Value};
use crate::oid::{file_of, oid_of};
use crate::reader::{Entry, Reader};

/// The most objects with a file of their own that are read for one project.
pub const MAX_OBJECTS: usize = 200_000;

/// Where the winning object of an id is, and its term.
#[derive(Clone, Copy)]
struct Winner {
    file: u32,
    node: u32,
    term: TermId,
}

/// A file that something named.
pub(crate) struct File {
    pub(crate) oid: Box<str>,
    /// Loaded, or referenced by something loaded.
    pub(crate) known: bool,
    pub(crate) loaded: Option<Loaded>,
}

/// What is kept of a file after it was read.
pub(crate) struct Loaded {
    pub(crate) class: Class,
    pub(crate) term: TermId,
    pub(crate) project_id: Option<Box<str>>,
    /// The objects with files of their own that this one's triples name, in order.
    pub(crate) references: Box<[u32]>,
    pub(crate) plan: Option<u32>,
    /// Its sub-plans are loaded, or about to be.
    walked: bool,
    sub_plans: Box<[u32]>,
    pub(crate) slug: Option<Box<str>>,
    ancestor: Option<Box<str>>,
    stored_id: Box<str>,
    /// The annotations of the file's own object, if some body has blank nodes.
    pub(crate) annotations: Vec<(Arc<ObjectFile>, u32, TermId)>,
    /// There until everything that may be needed of it is written.
    content: Option<Arc<ObjectFile>>,
    written: Vec<bool>,
}

struct Pending {
    subject: TermId,
    predicate: Known,
    reverse: bool,
    file: u32,
}

pub(crate) struct Export<'s> {
    pub(crate) reader: Reader<'s>,
    pub(crate) graph: Graph,
    pub(crate) files: Vec<File>,
    places: HashMap<Box<str>, u32>,
    winners: KeyMap<Winner>,
    pending: Vec<Pending>,
    pub(crate) project_term: TermId,
    pub(crate) project_id: Box<str>,
    loaded_count: usize,
    /// Write every object as soon as it is loaded.
    pub(crate) eager: bool,
    /// Some body has blank nodes, which are numbered per document at the end.
    pub(crate) has_blanks: bool,
    cells: usize,
}

impl<'s> Export<'s> {
    pub(crate) fn new(reader: Reader<'s>, host: Host, eager: bool) -> Self {
        Self {
            reader,
            graph: Graph::new(host),
            files: Vec::new(),
            places: HashMap::new(),
            winners: KeyMap::default(),
            pending: Vec::new(),
            project_term: Known::RdfNil.into(),
            project_id: "".into(),
            loaded_count: 0,
            eager,
            has_blanks: false,
            cells: 0,
        }
    }

    pub(crate) fn place_of(&mut self, oid: &str) -> usize {
        if let Some(&place) = self.places.get(oid) {
            return place as usize;
        }
        let place = self.files.len();
        self.files.push(File {
            oid: oid.into(),
            known: false,
            loaded: None,
        });
        self.places.insert(oid.into(), place as u32);
        place
    }

    pub(crate) fn know(&mut self, oid: &str) {
        let place = self.place_of(oid);
        self.files[place].known = true;
    }

    pub(crate) fn loaded(&self, place: usize) -> Option<&Loaded> {
        self.files[place].loaded.as_ref()
    }

    pub(crate) fn is_loaded(&self, oid: &str) -> bool {
        self.places
            .get(oid)
            .is_some_and(|&place| self.files[place as usize].loaded.is_some())
    }

    pub(crate) fn project(&mut self, oid: &str) -> Result<usize, MetadataError> {
        let place = self.load(oid, ".renku/metadata/root")?;
        if let Some(loaded) = self.files[place].loaded.as_ref() {
            self.project_term = loaded.term;
            self.project_id = loaded.stored_id.clone();
        }
        Ok(place)
    }

    pub(crate) fn load_all(&mut self, entries: &[Entry], index: &str) -> Result<Vec<usize>, MetadataError> {
        let needed_by = format!(".renku/metadata/{index}");
        entries
            .iter()
            .map(|entry| self.load(&entry.oid, &needed_by))
            .collect()
    }

    /// The plan of an activity or a collection, and what it is made of: depth first, from the last to the first.
    pub(crate) fn load_plans(&mut self, owner: usize) -> Result<(), MetadataError> {
        let Some(plan) = self.loaded(owner).and_then(|loaded| loaded.plan) else {
            return Ok(());
        };
        let mut stack = vec![(plan, owner as u32)];
        while let Some((plan, owner)) = stack.pop() {
            self.load_place(plan as usize, owner as usize)?;
            if let Some(loaded) = self.files[plan as usize].loaded.as_mut()
                && !std::mem::replace(&mut loaded.walked, true)
            {
                stack.extend(loaded.sub_plans.iter().map(|&sub| (sub, plan)));
            }
        }
        Ok(())
    }

    /// Loads the datasets that one was derived from.
    pub(crate) fn ancestors(&mut self, tail: usize, top: &mut Vec<usize>) -> Result<(), MetadataError> {
        let mut current = tail;
        let mut chain = HashSet::from([tail]);
        while let Some(id) = self.loaded(current).and_then(|loaded| loaded.ancestor.clone()) {
            let needed_by = file_of(&self.files[current].oid);
            current = self.load(&oid_of(&id), &needed_by)?;
            if !chain.insert(current) {
                return Err(MetadataError::Cycle {
                    id: id.into(),
                    file: needed_by,
                });
            }
            top.push(current);
        }
        Ok(())
    }

    fn load_place(&mut self, place: usize, owner: usize) -> Result<usize, MetadataError> {
        if self.files[place].loaded.is_some() {
            return Ok(place);
        }
        let oid = self.files[place].oid.clone();
        let needed_by = file_of(&self.files[owner].oid);
        self.load(&oid, &needed_by)
    }

    /// Loads a file, unless it is loaded already.
    pub(crate) fn load(&mut self, oid: &str, needed_by: &str) -> Result<usize, MetadataError> {
        let place = self.place_of(oid);
        if self.files[place].loaded.is_some() {
            return Ok(place);
        }
        self.loaded_count += 1;
        if self.loaded_count > MAX_OBJECTS {
            return Err(MetadataError::TooManyObjects { limit: MAX_OBJECTS });
        }
        let file = self.reader.need(oid, needed_by, decode)?;
        check_exported(&file, oid)?;
        let term = self.graph.node(file.id(0));
        let file = Arc::new(file);
        for &node in &file.finished {
            if let Some(key) = file.nodes[node as usize].key {
                let graph = &mut self.graph;
                self.winners.entry(key).or_insert_with(|| Winner {
                    file: place as u32,
                    node,
                    term: graph.node(file.id(node)),
                });
            }
        }
        for reference in &file.references {
            self.know(&reference.oid);
        }
        let place_of = |export: &mut Self, oid: &str| export.place_of(oid) as u32;
        let references: Vec<u32> = file
            .exported_references()
            .map(|r| place_of(self, &r.oid))
            .collect();
        let plan = file.plan().map(|r| place_of(self, &r.oid));
        let sub_plans: Vec<u32> = file.sub_plans().map(|r| place_of(self, &r.oid)).collect();
        self.files[place].known = true;
        self.files[place].loaded = Some(Loaded {
            class: file.class(),
            term,
            project_id: file.project_id.map(|id| file.text(id).into()),
            references: references.into(),
            plan,
            walked: false,
            sub_plans: sub_plans.into(),
            slug: file.slug.map(|slug| file.text(slug).into()),
            ancestor: file.ancestor.map(|id| file.text(id).into()),
            stored_id: file.stored_id().into(),
            annotations: Vec::new(),
            written: vec![false; file.nodes.len()],
            content: Some(file),
        });
        if self.eager {
            self.emit(place)?;
            self.drop_if_written(place);
        }
        Ok(place)
    }

    /// Loads what the conversion of these objects needs beyond what is loaded: nested objects, depth first.
    pub(crate) fn convert(&mut self, top: &[usize]) -> Result<(), MetadataError> {
        let mut done: Vec<u8> = Vec::new();
        for &place in top {
            let oid = self.files[place].oid.clone();
            let place = self.load(&oid, ".renku/metadata/datasets-tags")?;
            self.load_nested(place, &mut done)?;
        }
        Ok(())
    }

    /// `done`: 1 while an object is being loaded, 2 afterwards.
    fn load_nested(&mut self, top: usize, done: &mut Vec<u8>) -> Result<(), MetadataError> {
        let mut stack = vec![(top, 0)];
        while let Some(&(place, next)) = stack.last() {
            done.resize(self.files.len(), 0);
            if next == 0 {
                if done[place] == 2 {
                    stack.pop();
                    continue;
                }
                done[place] = 1;
            }
            let reference = self
                .loaded(place)
                .and_then(|loaded| loaded.references.get(next).copied());
            match reference {
                Some(below) => {
                    if let Some(top) = stack.last_mut() {
                        top.1 += 1;
                    }
                    let below = self.load_place(below as usize, place)?;
                    done.resize(self.files.len(), 0);
                    if done[below] == 1 {
                        return Err(MetadataError::Cycle {
                            id: self
                                .loaded(below)
                                .map_or_else(String::new, |l| l.stored_id.to_string()),
                            file: file_of(&self.files[below].oid),
                        });
                    }
                    stack.push((below, 0));
                }
                None => {
                    done[place] = 2;
                    stack.pop();
                }
            }
        }
        Ok(())
    }

    /// Writes an object with everything nested in it. Nothing is written twice.
    pub(crate) fn emit(&mut self, place: usize) -> Result<(), MetadataError> {
        let Some(loaded) = self.files[place].loaded.as_mut() else {
            return Ok(());
        };
        if std::mem::replace(&mut loaded.written[0], true) {
            return Ok(());
        }
        let mut work = vec![(place, 0)];
        while let Some((place, node)) = work.pop() {
            let owner = place;
            let Some(file) = self.loaded(place).and_then(|loaded| loaded.content.clone()) else {
                continue;
            };
            let (subject, _, _) = self.resolve(place, &file, node);
            emit::types(&mut self.graph, &file, node, subject);
            for statement in file.statements(node) {
                let object = match statement.value {
                    Value::Node(child) => {
                        let (term, place, node) = self.resolve(place, &file, child);
                        if let Some(loaded) = self.files[place].loaded.as_mut()
                            && loaded.content.is_some()
                            && !std::mem::replace(&mut loaded.written[node as usize], true)
                        {
                            work.push((place, node));
                        }
                        if statement.predicate == Known::OaHasTarget {
                            self.annotation(owner, (place, node, term));
                        }
                        term
                    }
                    Value::Persistent(reference) => {
                        let target = self.place_of(&file.references[reference as usize].oid);
                        self.pending.push(Pending {
                            subject,
                            predicate: statement.predicate,
                            reverse: statement.reverse,
                            file: target as u32,
                        });
                        if !self.eager
                            && let Some(loaded) = self.files[target].loaded.as_mut()
                            && !std::mem::replace(&mut loaded.written[0], true)
                        {
                            work.push((target, 0));
                        }
                        continue;
                    }
                    value => match emit::scalar(&mut self.graph, self.reader.source, &file, value) {
                        Some(term) => term,
                        None => continue,
                    },
                };
                if statement.reverse {
                    self.graph.insert(object, statement.predicate, subject);
                } else {
                    self.graph.insert(subject, statement.predicate, object);
                }
            }
            if let Some(body) = file.body(node)
                && body.blanks.is_empty()
            {
                let cells = self.take_cells(body.cells);
                emit::body(
                    &mut self.graph,
                    subject,
                    body,
                    |graph, _| graph.node("_:b0"),
                    |graph, cell| graph.blank(&format!("l{}", cells + cell as usize)),
                );
            }
        }
        Ok(())
    }

    /// Remembers an annotation of a file's own object, if its body has blank nodes: those are numbered at the end.
    fn annotation(&mut self, owner: usize, (place, node, term): (usize, u32, TermId)) {
        let Some(file) = self.loaded(place).and_then(|loaded| loaded.content.clone()) else {
            return;
        };
        if file.body(node).is_some_and(|body| !body.blanks.is_empty())
            && let Some(owner) = self.files[owner].loaded.as_mut()
        {
            self.has_blanks = true;
            owner.annotations.push((file, node, term));
        }
    }

    /// Numbers for the cells of a body's lists; gives the first.
    pub(crate) fn take_cells(&mut self, count: u32) -> usize {
        self.cells += count as usize;
        self.cells - count as usize
    }

    /// The term of an object and the place of what stands for it: the first that was loaded with its id.
    fn resolve(&mut self, place: usize, file: &ObjectFile, node: u32) -> (TermId, usize, u32) {
        match file.nodes[node as usize]
            .key
            .and_then(|key| self.winners.get(&key))
        {
            Some(winner) => (winner.term, winner.file as usize, winner.node),
            None => (self.graph.node(file.id(node)), place, node),
        }
    }

    /// Forgets a file of which every winning object is written.
    fn drop_if_written(&mut self, place: usize) {
        let winners = &self.winners;
        if let Some(loaded) = self.files[place].loaded.as_mut()
            && let Some(file) = &loaded.content
        {
            let has_blanks = file.bodies.iter().any(|(_, body)| !body.blanks.is_empty());
            let is_written = !has_blanks
                && file.nodes.iter().enumerate().skip(1).all(|(node, content)| {
                    loaded.written[node]
                        || content.key.is_none_or(|key| {
                            winners
                                .get(&key)
                                .is_none_or(|w| w.file as usize != place || w.node as usize != node)
                        })
                });
            if is_written {
                loaded.content = None;
                loaded.written = Vec::new();
            }
        }
    }

    pub(crate) fn finish(mut self, top: &[usize]) -> Result<Graph, MetadataError> {
        for pending in std::mem::take(&mut self.pending) {
            let Some(target) = self.loaded(pending.file as usize).map(|loaded| loaded.term) else {
                continue;
            };
            if pending.reverse {
                self.graph.insert(target, pending.predicate, pending.subject);
            } else {
                self.graph.insert(pending.subject, pending.predicate, target);
            }
        }
        Documents::new(&mut self).write(top);
        self.graph.finish();
        self.graph.check_size()?;
        Ok(self.graph)
    }
}

/// An object that is exported has one of the known classes and an id.
pub(crate) fn check_exported(file: &ObjectFile, oid: &str) -> Result<(), MetadataError> {
    let corrupt = |damage| {
        Err(MetadataError::Corrupt {
            file: file_of(oid),
            damage,
        })
    };
    let class = file.class();
    if class.types().is_empty() {
        return corrupt(Damage::Class {
            found: class.name().to_owned(),
            expected: "a project, a dataset, a tag, an activity or a plan",
        });
    }
    if file.id(0).is_empty() {
        return corrupt(Damage::Shape {
            what: "its object has no id",
        });
    }
    Ok(())
}
