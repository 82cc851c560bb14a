//! Reads files of the database: bytes, inflation, decoding, the root, the trees.

use crate::class::Class;
use crate::decode::{DecodeError, State, read_state};
use crate::error::{Damage, MetadataError};
use crate::inflate::Inflater;
use crate::json::Json;
use crate::object::Reference;
use crate::oid::{file_of, path_of};
use crate::source::ObjectSource;

/// How deep trees may be. A tree of this depth could hold more entries than there are atoms.
const MAX_TREE_DEPTH: usize = 20;

pub(crate) struct Reader<'s> {
    pub(crate) source: &'s dyn ObjectSource,
    inflater: Inflater,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s dyn ObjectSource) -> Self {
        Self {
            source,
            inflater: Inflater::new(),
        }
    }

    /// Hands the text of an object's file to `read`. `None`: there is no such file.
    pub(crate) fn with<T>(
        &mut self,
        oid: &str,
        read: impl FnOnce(&str) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, MetadataError> {
        let path = path_of(oid);
        let file = || format!(".renku/{path}");
        let bytes = self
            .source
            .read(&path)
            .map_err(|source| MetadataError::Source { file: file(), source })?;
        let Some(bytes) = bytes else { return Ok(None) };
        decode_with(&mut self.inflater, &bytes, file, read).map(Some)
    }

    /// As [`Reader::with`], where a missing file is an error.
    pub(crate) fn need<T>(
        &mut self,
        oid: &str,
        needed_by: &str,
        read: impl FnOnce(&str) -> Result<T, DecodeError>,
    ) -> Result<T, MetadataError> {
        self.with(oid, read)?.ok_or_else(|| MetadataError::Missing {
            oid: oid.to_owned(),
            file: file_of(oid),
            needed_by: needed_by.to_owned(),
        })
    }

    /// The entries of the tree of an index, in key order. An index that is not there is empty.
    pub(crate) fn index(&mut self, root: &Root, name: &str) -> Result<Vec<Entry>, MetadataError> {
        let mut entries = Vec::new();
        if let Some(tree) = root.oid(name) {
            self.tree(tree, "root", 0, &mut entries)?;
        }
        Ok(entries)
    }

    fn tree(
        &mut self,
        oid: &str,
        needed_by: &str,
        depth: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), MetadataError> {
        if depth > MAX_TREE_DEPTH || out.len() > crate::MAX_OBJECTS {
            return Err(MetadataError::TooManyObjects {
                limit: crate::MAX_OBJECTS,
            });
        }
        let children = match self.need(oid, &file_of(needed_by), |text| Ok(read_tree(text)?))? {
            Tree::Entries(entries) => {
                out.extend(entries);
                return Ok(());
            }
            Tree::Children(children) => children,
        };
        for child in children {
            self.tree(&child, oid, depth + 1, out)?;
        }
        Ok(())
    }
}

/// Inflates and decodes a file's bytes; errors name the file.
pub(crate) fn decode_with<T>(
    inflater: &mut Inflater,
    bytes: &[u8],
    file: impl FnOnce() -> String,
    read: impl FnOnce(&str) -> Result<T, DecodeError>,
) -> Result<T, MetadataError> {
    let result = inflater.text(bytes).map_err(DecodeError::from).and_then(read);
    result.map_err(|error| match error {
        DecodeError::Damage(damage) => MetadataError::Corrupt { file: file(), damage },
        DecodeError::RemoteContext(url) => MetadataError::RemoteContext { file: file(), url },
    })
}

/// An entry of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) oid: Box<str>,
    pub(crate) class: Class,
}

/// A file of a tree.
#[derive(Debug)]
pub(crate) enum Tree {
    /// A leaf, or a whole tree that is one leaf.
    Entries(Vec<Entry>),
    /// An inner node: the files below, in order.
    Children(Vec<Box<str>>),
}

fn shape(what: &'static str) -> Damage {
    Damage::Shape { what }
}

/// Reads a tree's file or a bucket's.
///
/// A tree's state is null (empty), `(((k, v, …),),)` (one leaf, inline) or `((child, k, child, …), first_bucket)`;
/// a bucket's is `((k, v, …),)` or `((k, v, …), next_bucket)`.
pub(crate) fn read_tree(text: &str) -> Result<Tree, Damage> {
    let state = read_state(text)?;
    let bad = || shape("it does not have the form of a tree");
    let is_bucket = state.class_name.ends_with("Bucket");
    if !is_bucket && !state.class_name.ends_with("BTree") {
        return Err(Damage::Class {
            found: state.class_name.to_string(),
            expected: "a tree",
        });
    }
    let outer = match &state.state {
        Json::Null => return Ok(Tree::Entries(Vec::new())),
        Json::Array(outer) => outer.as_slice(),
        _ => return Err(bad()),
    };
    let first = outer.first().and_then(Json::as_array).ok_or_else(bad)?;
    if is_bucket {
        return entries_of(&state, first).map(Tree::Entries);
    }
    if outer.len() == 1 {
        let leaf = first.first().and_then(Json::as_array).ok_or_else(bad)?;
        let flat = leaf.first().and_then(Json::as_array).ok_or_else(bad)?;
        return entries_of(&state, flat).map(Tree::Entries);
    }
    first
        .iter()
        .step_by(2)
        .map(|child| match child {
            Json::Persistent(place) => Ok(state.references[*place as usize].oid.clone()),
            _ => Err(bad()),
        })
        .collect::<Result<_, _>>()
        .map(Tree::Children)
}

fn entries_of(state: &State<'_>, flat: &[Json<'_>]) -> Result<Vec<Entry>, Damage> {
    flat.chunks(2)
        .filter_map(|pair| match pair {
            [Json::String(key), Json::Persistent(place)] => {
                let Reference { class, oid } = &state.references[*place as usize];
                Some(Ok(Entry {
                    key: key.as_ref().into(),
                    oid: oid.clone(),
                    class: *class,
                }))
            }
            // The root holds indexes inline; they are read apart.
            [Json::String(_), _] => None,
            _ => Some(Err(shape("a tree's key is no text, or has no value"))),
        })
        .collect()
}

/// The names in the database's root: the project's and the trees' oids.
#[derive(Debug, Default)]
pub(crate) struct Root {
    names: Vec<(Box<str>, Box<str>)>,
}

impl Root {
    /// The oid of what the root calls `name`: an object, or the tree of an index.
    pub(crate) fn oid(&self, name: &str) -> Option<&str> {
        self.names
            .iter()
            .find_map(|(known, oid)| (**known == *name).then_some(&**oid))
    }

    pub(crate) fn oids(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, oid)| &**oid)
    }

    pub(crate) fn read(text: &str) -> Result<Self, Damage> {
        let state = read_state(text)?;
        let bad = || shape("it does not have the form of a database's root");
        let leaf = match &state.state {
            Json::Null => return Ok(Self::default()),
            Json::Array(outer) if outer.len() == 1 => outer[0].as_array().and_then(|a| a.first()),
            _ => return Err(bad()),
        };
        let flat = leaf
            .and_then(Json::as_array)
            .and_then(|leaf| leaf.first())
            .and_then(Json::as_array)
            .ok_or_else(bad)?;
        let mut names = Vec::new();
        for pair in flat.chunks(2) {
            let [Json::String(name), value] = pair else {
                return Err(bad());
            };
            let target = match value {
                Json::Persistent(place) => Some(place),
                index => match index.get("entries") {
                    Some(Json::Persistent(place)) => Some(place),
                    _ => None,
                },
            };
            if let Some(place) = target {
                names.push((
                    name.as_ref().into(),
                    state.references[*place as usize].oid.clone(),
                ));
            }
        }
        Ok(Self { names })
    }
}

/// The items of a `PersistentList`'s file.
pub(crate) fn read_list(text: &str) -> Result<Vec<(Box<str>, Class)>, Damage> {
    let state = read_state(text)?;
    let items = state
        .state
        .get("data")
        .and_then(Json::as_array)
        .ok_or(shape("it does not have the form of a list"))?;
    items
        .iter()
        .map(|item| match item {
            Json::Persistent(place) => {
                let reference = &state.references[*place as usize];
                Ok((reference.oid.clone(), reference.class))
            }
            _ => Err(shape("an item of the list is no reference")),
        })
        .collect()
}
