//! One file of the database, decoded: its objects in the order in which they are met, each with its own statements.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use rdf::Known;

use crate::body::Body;
use crate::class::Class;

/// A piece of an [`ObjectFile`]'s text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

/// Collects the texts of a file into one allocation.
#[derive(Default)]
pub(crate) struct Texts(String);

impl Texts {
    pub(crate) fn add(&mut self, text: &str) -> Span {
        // A file has 8 MiB at most, so its texts fit.
        let start = self.0.len() as u32;
        self.0.push_str(text);
        Span {
            start,
            len: text.len() as u32,
        }
    }

    pub(crate) fn finish(mut self) -> Box<str> {
        self.0.shrink_to_fit();
        self.0.into_boxed_str()
    }
}

/// The id under which embedded objects of all files are unified: a hash of 128 bits of an id that starts with `/`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key(pub(crate) u128);

impl Key {
    /// Only ids that start with `/` are unified; persons and software agents are not.
    pub(crate) fn of(id: &str) -> Option<Self> {
        id.starts_with('/').then(|| Self(hash128(id.as_bytes())))
    }
}

/// A map over keys. They are hashes already, so only the process's own seed is mixed in.
pub(crate) type KeyMap<V> = HashMap<Key, V, KeySeed>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySeed(u64);

impl Default for KeySeed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for KeySeed {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0)
    }
}

/// See [`KeyMap`].
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u128(u128::from(byte));
        }
    }

    fn write_u128(&mut self, key: u128) {
        let (low, high) = (key as u64, (key >> 64) as u64);
        let product = u128::from(low ^ self.0) * u128::from(high ^ self.0.rotate_left(32));
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// SipHash, twice with different starts. Who makes two ids collide mixes up objects of his own project only.
pub(crate) fn hash128(bytes: &[u8]) -> u128 {
    let half = |seed: u8| {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(bytes);
        hasher.finish()
    };
    (u128::from(half(1)) << 64) | u128::from(half(2))
}

/// The object of a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// An object of the same file.
    Node(u32),
    /// An object with a file of its own: its place in [`ObjectFile::references`].
    Persistent(u32),
    /// An id, host rule applies.
    Iri(Span),
    Text(Span),
    Integer(Span),
    Double(Span),
    DateTime(Span),
    Boolean(bool),
    /// False where the file at this path is linked today, else true.
    External(Span),
}

/// A triple of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Statement {
    pub(crate) predicate: Known,
    /// The triple points at the object instead of from it.
    pub(crate) reverse: bool,
    pub(crate) value: Value,
}

/// An object of a file.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) class: Class,
    /// The id it is written with.
    pub(crate) id: Option<Span>,
    /// Set for embedded objects that are unified.
    pub(crate) key: Option<Key>,
    /// Where its statements start; they end where the next object's start.
    first: u32,
}

/// A reference to an object with a file of its own.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) class: Class,
    pub(crate) oid: Box<str>,
}

/// A decoded file. Object 0 is the file's own; the embedded ones follow in walk order, so number `n` of a `reference` is object `n + 1`.
#[derive(Debug)]
pub(crate) struct ObjectFile {
    pub(crate) texts: Box<str>,
    pub(crate) nodes: Box<[Node]>,
    pub(crate) statements: Box<[Statement]>,
    /// The embedded objects in the order in which their decoding is finished: children first.
    pub(crate) finished: Box<[u32]>,
    pub(crate) references: Box<[Reference]>,
    /// Bodies of annotations, with the annotation's number.
    pub(crate) bodies: Box<[(u32, Body)]>,
    /// The id as it is stored, before any correction.
    pub(crate) stored_id: Span,
    pub(crate) project_id: Option<Span>,
    /// For a dataset that was derived: the id of the one before.
    pub(crate) ancestor: Option<Span>,
    /// For a dataset: its slug.
    pub(crate) slug: Option<Span>,
}

/// Collects nodes and statements of an [`ObjectFile`].
#[derive(Default)]
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    pub(crate) statements: Vec<Statement>,
}

impl Nodes {
    pub(crate) fn start(&mut self, class: Class, id: Option<Span>, key: Option<Key>) {
        self.nodes.push(Node {
            class,
            id,
            key,
            first: self.statements.len() as u32,
        });
    }
}

impl ObjectFile {
    pub(crate) fn text(&self, span: Span) -> &str {
        &self.texts[span.start as usize..(span.start + span.len) as usize]
    }

    pub(crate) fn class(&self) -> Class {
        self.nodes[0].class
    }

    pub(crate) fn stored_id(&self) -> &str {
        self.text(self.stored_id)
    }

    pub(crate) fn statements(&self, node: u32) -> &[Statement] {
        let first = self.nodes[node as usize].first as usize;
        let end = self
            .nodes
            .get(node as usize + 1)
            .map_or(self.statements.len(), |next| next.first as usize);
        &self.statements[first..end]
    }

    /// The id that an object is written with; empty if it has none.
    pub(crate) fn id(&self, node: u32) -> &str {
        self.nodes[node as usize].id.map_or("", |id| self.text(id))
    }

    pub(crate) fn body(&self, annotation: u32) -> Option<&Body> {
        self.bodies
            .iter()
            .find_map(|(node, body)| (*node == annotation).then_some(body))
    }

    /// The plan of the association of an activity or a collection.
    pub(crate) fn plan(&self) -> Option<&Reference> {
        self.references_by(Known::ProvHadPlan).next()
    }

    /// The direct members of a composite plan, in order.
    pub(crate) fn sub_plans(&self) -> impl DoubleEndedIterator<Item = &Reference> {
        self.references_by(Known::RenkuHasSubprocess)
    }

    fn references_by(&self, predicate: Known) -> impl DoubleEndedIterator<Item = &Reference> {
        self.statements.iter().filter_map(move |s| match s.value {
            Value::Persistent(place) if s.predicate == predicate => Some(&self.references[place as usize]),
            _ => None,
        })
    }

    /// Every reference that is exported, in order.
    pub(crate) fn exported_references(&self) -> impl Iterator<Item = &Reference> {
        self.statements.iter().filter_map(|s| match s.value {
            Value::Persistent(place) => Some(&self.references[place as usize]),
            _ => None,
        })
    }

    /// A rough count of the bytes that this takes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.texts.len()
            + self.nodes.len() * size_of::<Node>()
            + self.statements.len() * size_of::<Statement>()
            + self.finished.len() * 4
            + self
                .references
                .iter()
                .map(|r| r.oid.len() + size_of::<Reference>())
                .sum::<usize>()
            + self.bodies.iter().map(|(_, body)| body.weight()).sum::<usize>()
    }
}
