mod make;
mod visit;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lru::LruCache;
use model::Digest;
use rdf::{Dropped, Host};

use crate::class::Class;
use crate::error::MetadataError;
use crate::object::ObjectFile;
use crate::pieces::PiecesChange;
use crate::pieces::outline::Outline;
use crate::pieces::walk::{Anchor, Leaf};
use crate::pieces::winners::Winners;
use crate::reader::{Reader, Root};
use crate::source::ObjectSource;
use crate::version;

/// Decoded files that are held while pieces are made; a file that was let go is decoded again.
const DECODED_BYTES: usize = 128 << 20;

/// Decoded files that are kept until the next push.
const KEPT_BYTES: usize = 1 << 20;

/// How deep trees may be.
const MAX_TREE_DEPTH: usize = 20;

/// A project's objects, by place.
pub(in crate::pieces) struct State {
    host: Host,
    root: Root,
    objects: Vec<Object>,
    visits: Vec<Visit>,
    places: HashMap<Box<str>, u32>,
    trees: HashMap<Box<str>, Branch>,
    lists: HashMap<u32, Vec<u32>>,
    winners: Winners,
    decoded: LruCache<u32, Arc<ObjectFile>>,
    decoded_bytes: usize,
    project: u32,
    turns: u32,
    /// How many files are known.
    known: usize,
    /// How many objects no index led to in the last turn, tags apart.
    loose: usize,
    /// How many objects the indexes led to in the last turn.
    indexed: usize,
    /// Objects that may have come to be external or linked; objects with warnings.
    external: BTreeSet<u32>,
    warned: BTreeSet<u32>,
    /// Objects that name another project than this one.
    foreign: BTreeSet<u32>,
    was_simple: bool,
    triples: usize,
    weight: usize,
}

enum Branch {
    Leaves(Vec<Leaf>),
    Children(Vec<Box<str>>),
}

/// What every turn looks at, kept together so that a walk over a large project stays in the processor's cache.
#[derive(Clone, Copy)]
struct Visit {
    anchor: Anchor,
    /// When it is loaded.
    rank: u32,
    /// The last turn that visited it, and that visited the parts of the plan that it is.
    turn: u32,
    walked: u32,
    /// The plan of its association.
    plan: Option<u32>,
    is_known: bool,
}

struct Object {
    oid: Box<str>,
    outline: Option<Outline>,
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
pub(in crate::pieces) struct Turn<'s> {
    reader: Reader<'s>,
    number: u32,
    pub(in crate::pieces) ranks: u32,
    /// Objects that the indexes lead to now and did not in the last turn.
    added: usize,
    /// Objects that are new or whose file changed.
    pub(in crate::pieces) fresh: Vec<u32>,
    moved: Vec<u32>,
    /// A change that others' pieces depend on in ways that are not followed one by one.
    is_deep: bool,
}

impl State {
    pub(in crate::pieces) fn new(host: Host) -> Self {
        Self {
            host,
            root: Root::default(),
            objects: Vec::new(),
            visits: Vec::new(),
            places: HashMap::new(),
            trees: HashMap::new(),
            lists: HashMap::new(),
            winners: Winners::default(),
            decoded: LruCache::unbounded(),
            decoded_bytes: 0,
            project: 0,
            turns: 1,
            known: 0,
            loose: 0,
            indexed: 0,
            external: BTreeSet::new(),
            warned: BTreeSet::new(),
            foreign: BTreeSet::new(),
            was_simple: true,
            triples: 0,
            weight: 0,
        }
    }

    pub(in crate::pieces) fn host(&self) -> &Host {
        &self.host
    }

    pub(in crate::pieces) fn weight(&self) -> usize {
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
            + self.objects.len() * (size_of::<Object>() + size_of::<Visit>() + 180)
            + self.winners.key_count() * 96
            + self.decoded_bytes
    }

    /// The digest of every piece.
    pub(in crate::pieces) fn digests(&self) -> HashMap<&str, Digest> {
        self.objects
            .iter()
            .filter_map(|object| object.piece.as_ref())
            .map(|made| (&*made.id, made.digest))
            .collect()
    }

    /// Makes everything.
    pub(in crate::pieces) fn make_all(
        &mut self,
        source: &dyn ObjectSource,
    ) -> Result<PiecesChange, MetadataError> {
        let mut reader = Reader::new(source);
        self.root = version::check(&mut reader)?;
        let (mut turn, top) = self.turn(reader)?;
        self.memberships(&turn, &top);
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
    pub(in crate::pieces) fn update<'c>(
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
        for place in self.external.clone() {
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
        affected.extend(self.memberships(&turn, &top));
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
            added: 0,
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
            self.known -= 1;
            self.visits[place as usize].is_known = false;
            self.external.remove(&place);
            self.foreign.remove(&place);
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
        // Files that were changed or removed are not known any more unless they were visited.
        let is_complete =
            self.known == turn.ranks as usize && before.keys().all(|&place| self.is_visited(turn, place));
        let all = if is_complete { 0 } else { self.objects.len() as u32 };
        for place in 0..all {
            if self.is_visited(turn, place) {
                continue;
            }
            self.forget(place, before);
            self.warned.remove(&place);
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
        let (objects, visits) = (&self.objects, &self.visits);
        let node_of = |(place, node): (u32, u32)| {
            let outline = objects[place as usize].outline.as_ref()?;
            let at = outline.nodes.binary_search_by_key(&node, |n| n.node).ok()?;
            outline.nodes.get(at)
        };
        self.winners.decide(
            |copy| {
                let finished = node_of(copy).map_or(u32::MAX, |node| node.finished);
                (visits[copy.0 as usize].rank, finished)
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

    /// Who is whose member, see `document`; gives the objects for which this is another one now.
    fn memberships(&mut self, turn: &Turn<'_>, top: &[u32]) -> Vec<u32> {
        let is_simple = self.foreign.is_empty();
        let was_simple = std::mem::replace(&mut self.was_simple, is_simple);
        if is_simple && was_simple {
            for &place in &turn.fresh {
                self.objects[place as usize].member = (true, false);
            }
            return Vec::new();
        }
        let mut member = vec![(is_simple, false); self.objects.len()];
        let mut claimed = vec![false; self.objects.len()];
        for &place in top.iter().filter(|_| !is_simple) {
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
        let mut changed = Vec::new();
        for place in 0..self.objects.len() as u32 {
            if !self.is_visited(turn, place) {
                continue;
            }
            let object = &mut self.objects[place as usize];
            if std::mem::replace(&mut object.member, member[place as usize]) != member[place as usize] {
                changed.push(place);
            }
        }
        changed
    }
}

fn place_of(
    objects: &mut Vec<Object>,
    visits: &mut Vec<Visit>,
    places: &mut HashMap<Box<str>, u32>,
    oid: &str,
) -> u32 {
    if let Some(&place) = places.get(oid) {
        return place;
    }
    let place = objects.len() as u32;
    objects.push(Object {
        oid: oid.into(),
        outline: None,
        member: (false, false),
        piece: None,
    });
    visits.push(Visit {
        anchor: Anchor::default(),
        rank: u32::MAX,
        turn: 0,
        walked: 0,
        plan: None,
        is_known: false,
    });
    places.insert(oid.into(), place);
    place
}
