use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lru::LruCache;
use model::Digest;
use rdf::{Dropped, Graph, Host, Piece, TermId, TooLarge, skolem_iri};

use super::outline::Outline;
use super::walk::{Anchor, Leaf, key_hash};
use super::winners::Winners;
use super::{MAX_TRIPLES, MAX_WARNINGS, PiecesChange};
use crate::class::Class;
use crate::decode::decode;
use crate::emit;
use crate::error::MetadataError;
use crate::export::{MAX_OBJECTS, check_exported};
use crate::object::{ObjectFile, Value};
use crate::oid::file_of;
use crate::reader::{Reader, Root, Tree, read_list, read_tree};
use crate::source::ObjectSource;
use crate::version;

/// Decoded files that are held while pieces are made; a file that was let go is decoded again.
const DECODED_BYTES: usize = 128 << 20;

/// Decoded files that are kept until the next push.
const KEPT_BYTES: usize = 1 << 20;

/// How deep trees may be.
const MAX_TREE_DEPTH: usize = 20;

/// A project's objects, by place.
pub(super) struct State {
    host: Host,
    root: Root,
    objects: Vec<Object>,
    places: HashMap<Box<str>, u32>,
    trees: HashMap<Box<str>, Branch>,
    lists: HashMap<u32, Vec<u32>>,
    winners: Winners,
    decoded: LruCache<u32, Arc<ObjectFile>>,
    decoded_bytes: usize,
    project: u32,
    turns: u32,
    triples: usize,
    weight: usize,
}

enum Branch {
    Leaves(Vec<Leaf>),
    Children(Vec<Box<str>>),
}

struct Object {
    oid: Box<str>,
    outline: Option<Outline>,
    anchor: Anchor,
    /// When it is loaded.
    rank: u32,
    /// The last turn that visited it, and that visited the parts of the plan that it is.
    visited: u32,
    walked: u32,
    /// Whose member it is said to be: the project's, its stored one's.
    member: (bool, bool),
    piece: Option<Made>,
}

struct Made {
    id: Box<str>,
    digest: Digest,
    triples: usize,
    warnings: Vec<Dropped>,
}

/// One call's work.
pub(super) struct Turn<'s> {
    reader: Reader<'s>,
    number: u32,
    ranks: u32,
    /// Objects that are new or whose file changed.
    fresh: Vec<u32>,
    moved: Vec<u32>,
    /// A change that others' pieces depend on in ways that are not followed one by one.
    is_deep: bool,
}

impl State {
    pub(super) fn new(host: Host) -> Self {
        Self {
            host,
            root: Root::default(),
            objects: Vec::new(),
            places: HashMap::new(),
            trees: HashMap::new(),
            lists: HashMap::new(),
            winners: Winners::default(),
            decoded: LruCache::unbounded(),
            decoded_bytes: 0,
            project: 0,
            turns: 0,
            triples: 0,
            weight: 0,
        }
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn weight(&self) -> usize {
        let leaves: usize = self
            .trees
            .values()
            .map(|branch| match branch {
                Branch::Leaves(leaves) => leaves.len() * size_of::<Leaf>(),
                Branch::Children(children) => children.len() * 80,
            })
            .sum();
        self.weight
            + leaves
            + self.objects.len() * (size_of::<Object>() + 180)
            + self.winners.key_count() * 96
            + self.decoded_bytes
    }

    /// The digest of every piece.
    pub(super) fn digests(&self) -> HashMap<&str, Digest> {
        self.objects
            .iter()
            .filter_map(|object| object.piece.as_ref())
            .map(|made| (&*made.id, made.digest))
            .collect()
    }

    /// Makes everything.
    pub(super) fn make_all(&mut self, source: &dyn ObjectSource) -> Result<PiecesChange, MetadataError> {
        let mut reader = Reader::new(source);
        self.root = version::check(&mut reader)?;
        let (mut turn, top) = self.turn(reader)?;
        let members = self.memberships(&top);
        for (place, member) in members {
            self.objects[place as usize].member = member;
        }
        self.register(&turn);
        self.decide();
        let all: BTreeSet<u32> = (0..self.objects.len() as u32).collect();
        let put = self.make(&mut turn, &all)?;
        self.trim();
        Ok(PiecesChange {
            put,
            take: Vec::new(),
            warnings: self.warnings(),
        })
    }

    /// Makes what changed. `None`: so much may have changed that everything has to be made anew.
    pub(super) fn update<'c>(
        &mut self,
        source: &dyn ObjectSource,
        changed: impl Iterator<Item = &'c str>,
    ) -> Result<Option<PiecesChange>, MetadataError> {
        let mut reader = Reader::new(source);
        let mut is_checked = false;
        let mut before = HashMap::new();
        for path in changed {
            let oid = path.rsplit('/').next().unwrap_or(path);
            if !is_checked && matches!(oid, "root" | "project" | "metadata.yml") {
                self.root = version::check(&mut reader)?;
                is_checked = true;
            }
            self.trees.remove(oid);
            let Some(&place) = self.places.get(oid) else {
                continue;
            };
            self.lists.remove(&place);
            self.forget(place, &mut before);
        }
        for place in 0..self.objects.len() as u32 {
            if self.externals_changed(place, source) {
                self.forget(place, &mut before);
            }
        }
        let (mut turn, top) = self.turn(reader)?;
        for &place in &turn.fresh {
            if let (Some(old), Some(new)) = (before.get(&place), self.outline(place)) {
                turn.is_deep |=
                    old.written_id != new.written_id || old.piece != new.piece || old.class != new.class;
            }
        }
        if turn.is_deep {
            return Ok(None);
        }
        let mut affected: BTreeSet<u32> = turn.fresh.iter().copied().collect();
        let take = self.leave(&turn, &mut before);
        for (place, member) in self.memberships(&top) {
            let object = &mut self.objects[place as usize];
            if object.member != member {
                object.member = member;
                affected.insert(place);
            }
        }
        for place in turn.moved.clone() {
            let keys: Vec<_> = self
                .outline(place)
                .into_iter()
                .flat_map(|o| o.nodes.iter().map(|n| n.key))
                .collect();
            keys.into_iter().for_each(|key| self.winners.moved(key));
        }
        self.register(&turn);
        let changed = self.decide();
        self.reach(changed, &mut affected);
        let put = self.make(&mut turn, &affected)?;
        self.trim();
        Ok(Some(PiecesChange {
            put,
            take,
            warnings: self.warnings(),
        }))
    }

    fn turn<'s>(&mut self, reader: Reader<'s>) -> Result<(Turn<'s>, Vec<u32>), MetadataError> {
        self.turns += 1;
        let mut turn = Turn {
            reader,
            number: self.turns,
            ranks: 0,
            fresh: Vec::new(),
            moved: Vec::new(),
            is_deep: false,
        };
        let root = std::mem::take(&mut self.root);
        let top = self.walk(&mut turn, &root);
        self.root = root;
        Ok((turn, top?))
    }

    /// Lets go of what was known of a file, before it is read again or because it is gone.
    fn forget(&mut self, place: u32, before: &mut HashMap<u32, Outline>) {
        if let Some(old) = self.decoded.pop(&place) {
            self.decoded_bytes -= old.weight();
        }
        if let Some(outline) = self.objects[place as usize].outline.take() {
            self.weight -= outline.weight();
            for node in &outline.nodes {
                self.winners.remove(node.key, (place, node.node));
            }
            before.insert(place, outline);
        }
    }

    fn externals_changed(&self, place: u32, source: &dyn ObjectSource) -> bool {
        self.outline(place).is_some_and(|outline| {
            outline
                .externals
                .iter()
                .any(|(path, linked)| source.is_linked(path) != *linked)
        })
    }

    /// Takes out the objects that nothing leads to any more; gives the ids of their pieces.
    fn leave(&mut self, turn: &Turn<'_>, before: &mut HashMap<u32, Outline>) -> Vec<String> {
        let mut take = Vec::new();
        for place in 0..self.objects.len() as u32 {
            if self.objects[place as usize].visited == turn.number {
                continue;
            }
            self.forget(place, before);
            if let Some(made) = self.objects[place as usize].piece.take() {
                self.triples -= made.triples;
                take.push(made.id.into());
            }
        }
        take
    }

    fn register(&mut self, turn: &Turn<'_>) {
        for &place in &turn.fresh {
            let Some(outline) = self.objects[place as usize].outline.as_ref() else {
                continue;
            };
            for node in &outline.nodes {
                self.winners.add(node.key, (place, node.node));
            }
        }
    }

    fn decide(&mut self) -> Vec<crate::object::Key> {
        let objects = &self.objects;
        let node_of = |(place, node): (u32, u32)| {
            let outline = objects[place as usize].outline.as_ref()?;
            let at = outline.nodes.binary_search_by_key(&node, |n| n.node).ok()?;
            outline.nodes.get(at)
        };
        self.winners.decide(
            |copy| {
                let finished = node_of(copy).map_or(u32::MAX, |node| node.finished);
                (objects[copy.0 as usize].rank, finished)
            },
            |copy| node_of(copy).map_or(0, |node| node.hash),
        )
    }

    /// Whose pieces hold, directly or through other winners, something whose content changed.
    fn reach(&self, changed: Vec<crate::object::Key>, affected: &mut BTreeSet<u32>) {
        let mut seen: HashSet<_> = changed.iter().copied().collect();
        let mut work = changed;
        while let Some(key) = work.pop() {
            for (place, _) in self.winners.copies(key) {
                affected.insert(place);
                for node in self
                    .outline(place)
                    .into_iter()
                    .flat_map(|outline| outline.nodes.iter())
                {
                    // Others may reach it through an object of this file that stands for theirs.
                    if node.has_nested
                        && self.winners.winner(node.key) == Some((place, node.node))
                        && self.winners.count(node.key) > 1
                        && seen.insert(node.key)
                    {
                        work.push(node.key);
                    }
                }
            }
        }
    }

    /// Who is whose member, see `document`. Given for objects whose class has members.
    fn memberships(&self, top: &[u32]) -> Vec<(u32, (bool, bool))> {
        let own = self.outline(self.project).map(|outline| &*outline.stored_id);
        let is_simple = self
            .objects
            .iter()
            .filter_map(|object| object.outline.as_ref())
            .all(|outline| outline.class.membership().is_none() || outline.project_id.as_deref() == own);
        let visited = |place: &u32| self.objects[*place as usize].visited == self.turns;
        if is_simple {
            let all = (0..self.objects.len() as u32).filter(visited);
            return all.map(|place| (place, (true, false))).collect();
        }
        let mut member = vec![(false, false); self.objects.len()];
        let mut claimed = vec![false; self.objects.len()];
        for &place in top {
            claimed[place as usize] = true;
            if let Some(outline) = self.outline(place)
                && matches!(
                    outline.class,
                    Class::Activity | Class::WorkflowFileActivityCollection
                )
                && let Some(plan) = outline.plan
            {
                claimed[plan as usize] = true;
            }
            let mut done = HashSet::from([place]);
            let mut stack = vec![place];
            while let Some(place) = stack.pop() {
                let Some(outline) = self.outline(place) else {
                    continue;
                };
                let said = &mut member[place as usize];
                said.0 |= claimed[place as usize];
                said.1 |= !claimed[place as usize] && outline.project_id.is_some();
                stack.extend(
                    outline
                        .references
                        .iter()
                        .copied()
                        .filter(|&below| done.insert(below)),
                );
            }
        }
        let all = (0..self.objects.len() as u32).filter(visited);
        all.map(|place| (place, member[place as usize])).collect()
    }

    /// Makes the pieces of these objects; gives those whose text is another one now.
    fn make(&mut self, turn: &mut Turn<'_>, places: &BTreeSet<u32>) -> Result<Vec<Piece>, MetadataError> {
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
    fn emit(&mut self, turn: &mut Turn<'_>, graph: &mut Graph, top: u32) -> Result<(), MetadataError> {
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

    fn member(&self, graph: &mut Graph, place: u32) {
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
    fn file(&mut self, turn: &mut Turn<'_>, place: u32) -> Result<Arc<ObjectFile>, MetadataError> {
        if let Some(file) = self.decoded.get(&place) {
            return Ok(Arc::clone(file));
        }
        let oid = &self.objects[place as usize].oid;
        let file = Arc::new(turn.reader.need(oid, "an object of the project", decode)?);
        self.hold(place, Arc::clone(&file));
        Ok(file)
    }

    fn hold(&mut self, place: u32, file: Arc<ObjectFile>) {
        self.decoded_bytes += file.weight();
        if let Some(old) = self.decoded.put(place, file) {
            self.decoded_bytes -= old.weight();
        }
        self.let_go(DECODED_BYTES);
    }

    fn let_go(&mut self, most: usize) {
        while self.decoded_bytes > most {
            let Some((_, file)) = self.decoded.pop_lru() else {
                break;
            };
            self.decoded_bytes -= file.weight();
        }
    }

    fn trim(&mut self) {
        self.let_go(KEPT_BYTES);
    }

    fn warnings(&self) -> Vec<String> {
        let all = self.objects.iter().filter_map(|object| object.piece.as_ref());
        all.flat_map(|made| made.warnings.iter().map(ToString::to_string))
            .take(MAX_WARNINGS)
            .collect()
    }

    // What the walk needs.

    pub(super) fn object_count(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn outline(&self, place: u32) -> Option<&Outline> {
        self.objects[place as usize].outline.as_ref()
    }

    pub(super) fn oid(&self, place: u32) -> &str {
        &self.objects[place as usize].oid
    }

    pub(super) fn set_project(&mut self, place: u32) {
        self.project = place;
    }

    pub(super) fn place_of(&mut self, oid: &str) -> u32 {
        place_of(&mut self.objects, &mut self.places, oid)
    }

    pub(super) fn is_visited(&self, turn: &Turn<'_>, place: u32) -> bool {
        self.objects[place as usize].visited == turn.number
    }

    pub(super) fn is_walked(&self, turn: &Turn<'_>, place: u32) -> bool {
        self.objects[place as usize].walked == turn.number
    }

    /// Marks a plan whose parts are visited next; tells whether they were.
    pub(super) fn walk_once(&mut self, turn: &Turn<'_>, place: u32) -> bool {
        std::mem::replace(&mut self.objects[place as usize].walked, turn.number) == turn.number
    }

    /// As [`State::visit`], for an object that another one names.
    pub(super) fn visit_from(
        &mut self,
        turn: &mut Turn<'_>,
        place: u32,
        anchor: Anchor,
        owner: u32,
    ) -> Result<(), MetadataError> {
        if self.is_visited(turn, place) {
            return Ok(());
        }
        let needed_by = self.oid(owner).to_owned();
        self.visit(turn, place, anchor, &needed_by)
    }

    /// Gives an object its turn in the load order, and reads it if it is not known.
    pub(super) fn visit(
        &mut self,
        turn: &mut Turn<'_>,
        place: u32,
        anchor: Anchor,
        needed_by: &str,
    ) -> Result<(), MetadataError> {
        let object = &mut self.objects[place as usize];
        if object.visited == turn.number {
            return Ok(());
        }
        object.visited = turn.number;
        object.rank = turn.ranks;
        turn.ranks += 1;
        if turn.ranks as usize > MAX_OBJECTS {
            return Err(MetadataError::TooManyObjects { limit: MAX_OBJECTS });
        }
        let has_moved = std::mem::replace(&mut object.anchor, anchor) != anchor;
        if object.outline.is_some() {
            if has_moved {
                turn.moved.push(place);
            }
            return Ok(());
        }
        let file = turn.reader.need(&object.oid, &file_of(needed_by), decode)?;
        check_exported(&file, &object.oid)?;
        let oid = object.oid.clone();
        let source = turn.reader.source;
        let (objects, places) = (&mut self.objects, &mut self.places);
        let outline = Outline::of(
            &file,
            &oid,
            |oid| place_of(objects, places, oid),
            |path| source.is_linked(path),
        );
        self.weight += outline.weight();
        self.objects[place as usize].outline = Some(outline);
        turn.fresh.push(place);
        self.hold(place, Arc::new(file));
        Ok(())
    }

    /// The entries of an index, in key order.
    pub(super) fn index(
        &mut self,
        turn: &mut Turn<'_>,
        root: &Root,
        name: &str,
    ) -> Result<Vec<Leaf>, MetadataError> {
        let mut leaves = Vec::new();
        if let Some(tree) = root.oid(name) {
            self.tree(turn, tree, "root", 0, &mut leaves)?;
        }
        Ok(leaves)
    }

    fn tree(
        &mut self,
        turn: &mut Turn<'_>,
        oid: &str,
        needed_by: &str,
        depth: usize,
        out: &mut Vec<Leaf>,
    ) -> Result<(), MetadataError> {
        if depth > MAX_TREE_DEPTH || out.len() > MAX_OBJECTS {
            return Err(MetadataError::TooManyObjects { limit: MAX_OBJECTS });
        }
        if !self.trees.contains_key(oid) {
            let tree = turn
                .reader
                .need(oid, &file_of(needed_by), |text| Ok(read_tree(text)?))?;
            let branch = match tree {
                Tree::Children(children) => Branch::Children(children),
                Tree::Entries(entries) => Branch::Leaves(
                    entries
                        .iter()
                        .map(|entry| Leaf {
                            key: key_hash(&entry.key),
                            place: place_of(&mut self.objects, &mut self.places, &entry.oid),
                            class: entry.class,
                        })
                        .collect(),
                ),
            };
            self.trees.insert(oid.into(), branch);
        }
        let children = match self.trees.get(oid) {
            Some(Branch::Leaves(leaves)) => {
                out.extend_from_slice(leaves);
                return Ok(());
            }
            Some(Branch::Children(children)) => children.clone(),
            None => return Ok(()),
        };
        for child in children {
            self.tree(turn, &child, oid, depth + 1, out)?;
        }
        Ok(())
    }

    /// The places of a list's items.
    pub(super) fn list(&mut self, turn: &mut Turn<'_>, list: u32) -> Result<Vec<u32>, MetadataError> {
        if let Some(known) = self.lists.get(&list) {
            return Ok(known.clone());
        }
        let oid = self.oid(list).to_owned();
        let items = turn
            .reader
            .need(&oid, &file_of("datasets-tags"), |text| Ok(read_list(text)?))?;
        let places: Vec<u32> = items.iter().map(|(oid, _)| self.place_of(oid)).collect();
        self.lists.insert(list, places.clone());
        Ok(places)
    }
}

fn place_of(objects: &mut Vec<Object>, places: &mut HashMap<Box<str>, u32>, oid: &str) -> u32 {
    if let Some(&place) = places.get(oid) {
        return place;
    }
    let place = objects.len() as u32;
    objects.push(Object {
        oid: oid.into(),
        outline: None,
        anchor: Anchor::default(),
        rank: u32::MAX,
        visited: 0,
        walked: 0,
        member: (false, false),
        piece: None,
    });
    places.insert(oid.into(), place);
    place
}
