//! What is kept of a file between pushes: enough to find out whose triples change, not the triples.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::class::Class;
use crate::object::{Key, ObjectFile, Value};
use crate::oid::oid_of;

/// An object of a file, without its content.
#[derive(Debug)]
pub(super) struct NodeOutline {
    pub(super) node: u32,
    pub(super) key: Key,
    /// Of the content: own triples, and the ids of nested objects.
    pub(super) hash: u64,
    /// Its place among the embedded objects of the file in the order in which they are finished.
    pub(super) finished: u32,
    /// Other objects are nested in it.
    pub(super) has_nested: bool,
}

/// A file.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) class: Class,
    /// The piece's id.
    pub(super) piece: Box<str>,
    /// The id that the object is written with.
    pub(super) written_id: Box<str>,
    pub(super) stored_id: Box<str>,
    pub(super) project_id: Option<Box<str>>,
    /// Places of the objects that the triples name, in order.
    pub(super) references: Box<[u32]>,
    pub(super) plan: Option<u32>,
    pub(super) sub_plans: Box<[u32]>,
    pub(super) slug: Option<Box<str>>,
    pub(super) ancestor: Option<Box<str>>,
    /// The embedded objects that are unified.
    pub(super) nodes: Box<[NodeOutline]>,
    /// Paths that decide whether a file counts as external, and what was found.
    pub(super) externals: Vec<(Box<str>, bool)>,
}

impl Outline {
    /// `place_of` gives the place of an object by its oid.
    pub(super) fn of(
        file: &ObjectFile,
        oid: &str,
        mut place_of: impl FnMut(&str) -> u32,
        is_linked: impl Fn(&str) -> bool,
    ) -> Self {
        let finished = {
            let mut finished = vec![0; file.nodes.len()];
            for (place, &node) in file.finished.iter().enumerate() {
                finished[node as usize] = place as u32;
            }
            finished
        };
        let nodes = (1..file.nodes.len() as u32)
            .filter_map(|node| {
                Some(NodeOutline {
                    node,
                    key: file.nodes[node as usize].key?,
                    hash: content_hash(file, node),
                    finished: finished[node as usize],
                    has_nested: file
                        .statements(node)
                        .iter()
                        .any(|s| matches!(s.value, Value::Node(_))),
                })
            })
            .collect();
        let externals = file
            .statements
            .iter()
            .filter_map(|s| match s.value {
                Value::External(path) => Some((file.text(path).into(), is_linked(file.text(path)))),
                _ => None,
            })
            .collect();
        let id = file.stored_id();
        // An object whose file does not have the name that its id gives could take another one's piece.
        let is_named_by_id = oid == "project" || oid == oid_of(id);
        let piece = if is_named_by_id {
            id.into()
        } else {
            format!("{id}#{oid}").into()
        };
        Self {
            class: file.class(),
            piece,
            written_id: file.id(0).into(),
            stored_id: id.into(),
            project_id: file.project_id.map(|id| file.text(id).into()),
            references: file.exported_references().map(|r| place_of(&r.oid)).collect(),
            plan: file.plan().map(|r| place_of(&r.oid)),
            sub_plans: file.sub_plans().map(|r| place_of(&r.oid)).collect(),
            slug: file.slug.map(|slug| file.text(slug).into()),
            ancestor: file.ancestor.map(|id| file.text(id).into()),
            nodes,
            externals,
        }
    }

    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.piece.len() * 3
            + self.references.len() * 4
            + self.nodes.len() * (size_of::<NodeOutline>() + 64)
    }
}

/// A hash of an object's own triples and of what they name. Nested objects that are unified count by their id only;
/// others are part of the content.
fn content_hash(file: &ObjectFile, node: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_node(file, node, &mut hasher, 0);
    hasher.finish()
}

fn hash_node(file: &ObjectFile, node: u32, hasher: &mut DefaultHasher, depth: usize) {
    (file.nodes[node as usize].class as u8).hash(hasher);
    file.id(node).hash(hasher);
    for statement in file.statements(node) {
        (statement.predicate as u16, statement.reverse).hash(hasher);
        match statement.value {
            Value::Node(child) => match file.nodes[child as usize].key {
                Some(key) => (0_u8, key).hash(hasher),
                // Objects of one file can hold each other in a circle.
                None if depth < 8 => hash_node(file, child, hasher, depth + 1),
                None => (1_u8, child).hash(hasher),
            },
            Value::Persistent(place) => (2_u8, &file.references[place as usize].oid).hash(hasher),
            Value::Iri(span) => (3_u8, file.text(span)).hash(hasher),
            Value::Text(span) => (4_u8, file.text(span)).hash(hasher),
            Value::Integer(span) => (5_u8, file.text(span)).hash(hasher),
            Value::Double(span) => (6_u8, file.text(span)).hash(hasher),
            Value::DateTime(span) => (7_u8, file.text(span)).hash(hasher),
            Value::Boolean(value) => (8_u8, value).hash(hasher),
            Value::External(span) => (9_u8, file.text(span)).hash(hasher),
        }
    }
    if let Some(body) = file.body(node) {
        format!("{body:?}").hash(hasher);
    }
    // The end of an object, so that two lists do not run into each other.
    10_u8.hash(hasher);
}
