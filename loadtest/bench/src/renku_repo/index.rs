//! Named trees and persistent lists. Leaves split as in the CLI: no leaf passes 1,000 entries.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::File;
use super::encode::{class, compressed_oid, oid, plain, reference_to_oid, tuple};

/// Entries of a leaf when a tree is split first: leaves room to grow.
const LEAF: usize = 600;

/// A tree from key to reference.
#[derive(Debug)]
pub(super) struct Index {
    name: &'static str,
    /// First key of every leaf but the first.
    separators: Vec<String>,
    leaves: Vec<BTreeMap<String, Value>>,
    changed: BTreeSet<usize>,
    tree_changed: bool,
}

impl Index {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            separators: Vec::new(),
            leaves: vec![BTreeMap::new()],
            changed: BTreeSet::new(),
            tree_changed: true,
        }
    }

    fn leaf_of(&self, key: &str) -> usize {
        self.separators.partition_point(|first| first.as_str() <= key)
    }

    pub(super) fn insert(&mut self, key: &str, value: Value) {
        let leaf = self.leaf_of(key);
        self.leaves[leaf].insert(key.to_owned(), value);
        self.changed.insert(leaf);
    }

    /// Cuts the entries into leaves anew.
    pub(super) fn split(&mut self) {
        let entries: Vec<(String, Value)> = std::mem::take(&mut self.leaves).into_iter().flatten().collect();
        self.leaves = entries
            .chunks(LEAF)
            .map(|chunk| chunk.iter().cloned().collect())
            .collect();
        if self.leaves.is_empty() {
            self.leaves.push(BTreeMap::new());
        }
        self.separators = self
            .leaves
            .iter()
            .skip(1)
            .filter_map(|leaf| leaf.keys().next().cloned())
            .collect();
        self.changed = (0..self.leaves.len()).collect();
        self.tree_changed = true;
    }

    fn leaf_oid(&self, leaf: usize) -> String {
        oid(&format!("bucket {leaf} of {}", self.name))
    }

    /// The files that the last insertions changed.
    pub(super) fn changed(&mut self) -> Vec<File> {
        let changed = std::mem::take(&mut self.changed);
        let tree_changed = std::mem::take(&mut self.tree_changed);
        if self.leaves.len() == 1 {
            return if tree_changed || !changed.is_empty() {
                vec![self.small_tree()]
            } else {
                Vec::new()
            };
        }
        let mut files: Vec<File> = changed.into_iter().map(|leaf| self.bucket(leaf)).collect();
        if tree_changed {
            files.push(self.large_tree());
        }
        files
    }

    fn tree(&self, value: Value) -> File {
        plain(
            self.name,
            json!({"@renku_data_type": class::TREE, "@renku_data_value": value}),
        )
    }

    fn small_tree(&self) -> File {
        let entries = flat(&self.leaves[0]);
        self.tree(if entries.is_empty() {
            Value::Null
        } else {
            tuple(vec![tuple(vec![tuple(vec![tuple(entries)])])])
        })
    }

    fn large_tree(&self) -> File {
        let mut children = Vec::new();
        for leaf in 0..self.leaves.len() {
            if let Some(before) = leaf.checked_sub(1) {
                children.push(json!(self.separators[before]));
            }
            children.push(reference_to_oid(class::BUCKET, &self.leaf_oid(leaf)));
        }
        let first = reference_to_oid(class::BUCKET, &self.leaf_oid(0));
        self.tree(tuple(vec![tuple(children), first]))
    }

    fn bucket(&self, leaf: usize) -> File {
        let mut state = vec![tuple(flat(&self.leaves[leaf]))];
        if leaf + 1 < self.leaves.len() {
            state.push(reference_to_oid(class::BUCKET, &self.leaf_oid(leaf + 1)));
        }
        plain(
            &self.leaf_oid(leaf),
            json!({"@renku_data_type": class::BUCKET, "@renku_data_value": tuple(state)}),
        )
    }
}

fn flat(entries: &BTreeMap<String, Value>) -> Vec<Value> {
    entries
        .iter()
        .flat_map(|(key, value)| [json!(key), value.clone()])
        .collect()
}

/// A tree from key to a persistent list of references.
#[derive(Debug)]
pub(super) struct PersistentLists {
    index: Index,
    lists: BTreeMap<String, Vec<Value>>,
    changed: BTreeSet<String>,
}

impl PersistentLists {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            index: Index::new(name),
            lists: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    pub(super) fn push(&mut self, key: &str, item: Value) {
        let list = self.lists.entry(key.to_owned()).or_default();
        if list.is_empty() {
            let oid = oid(&format!("list {key} of {}", self.index.name));
            self.index.insert(key, reference_to_oid(class::LIST, &oid));
        }
        list.push(item);
        self.changed.insert(key.to_owned());
    }

    pub(super) fn index_mut(&mut self) -> &mut Index {
        &mut self.index
    }

    /// The lists that changed; the tree's own files come from the index.
    pub(super) fn changed(&mut self) -> Vec<File> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|key| {
                let oid = oid(&format!("list {key} of {}", self.index.name));
                let items = self.lists.get(&key).cloned().unwrap_or_default();
                compressed_oid(&oid, class::LIST, json!({"data": items}))
            })
            .collect()
    }
}
