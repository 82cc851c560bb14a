//! What depends on the document that an object is written in.
//!
//! The CLI turns each top-level object into one JSON-LD document. Two things differ between documents that hold the same
//! nested object: the numbers of blank nodes, and, where a plan names another project than the one it is in, whose plan it is.

use std::collections::{HashMap, HashSet};

use rdf::TermId;

use crate::class::Class;
use crate::emit;
use crate::export::Export;

pub(crate) struct Documents<'e, 's> {
    export: &'e mut Export<'s>,
    /// Objects that were given the project's id; they keep it in later documents.
    claimed: Vec<bool>,
}

impl<'e, 's> Documents<'e, 's> {
    pub(crate) fn new(export: &'e mut Export<'s>) -> Self {
        let claimed = vec![false; export.files.len()];
        Self { export, claimed }
    }

    /// Writes what these top-level objects' documents add, in order.
    pub(crate) fn write(mut self, top: &[usize]) {
        let is_simple = self
            .export
            .files
            .iter()
            .filter_map(|file| file.loaded.as_ref())
            .all(|loaded| {
                loaded.class.membership().is_none()
                    || loaded.project_id.as_deref() == Some(&*self.export.project_id)
            });
        if is_simple && self.export.eager {
            self.claim_all();
        } else {
            for &place in top {
                self.claim(place);
                if let Some(loaded) = &self.export.files[place].loaded
                    && matches!(
                        loaded.class,
                        Class::Activity | Class::WorkflowFileActivityCollection
                    )
                    && let Some(plan) = loaded.plan
                {
                    self.claim(plan as usize);
                }
                self.membership(place);
            }
        }
        if self.export.has_blanks {
            for &place in top {
                let mut document = Document::default();
                self.annotations(place, &mut document, 0);
            }
        }
    }

    fn claim(&mut self, place: usize) {
        self.claimed[place] = true;
    }

    /// All objects name this project: each is its member.
    fn claim_all(&mut self) {
        for place in 0..self.export.files.len() {
            self.claimed[place] = true;
            self.member(place);
        }
    }

    /// An object's own membership and those of all that is nested in it.
    fn membership(&mut self, place: usize) {
        let mut done = HashSet::from([place]);
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            self.member(place);
            if let Some(loaded) = &self.export.files[place].loaded {
                let below = loaded.references.iter().map(|&below| below as usize);
                stack.extend(below.filter(|&below| done.insert(below)));
            }
        }
    }

    /// One triple from the project to its object.
    fn member(&mut self, place: usize) {
        let Some(loaded) = &self.export.files[place].loaded else {
            return;
        };
        let Some(predicate) = loaded.class.membership() else {
            return;
        };
        let object = loaded.term;
        let subject = match (&loaded.project_id, self.claimed[place]) {
            (_, true) => self.export.project_term,
            (Some(id), false) => {
                let id = id.clone();
                self.export.graph.node(&id)
            }
            (None, false) => return,
        };
        self.export.graph.insert(subject, predicate, object);
    }

    /// The annotations of an object come before those of what is nested in it.
    fn annotations(&mut self, place: usize, document: &mut Document, depth: usize) {
        let Some(loaded) = &self.export.files[place].loaded else {
            return;
        };
        let annotations = loaded.annotations.clone();
        let below = loaded.references.to_vec();
        for (file, node, term) in annotations {
            let Some(body) = file.body(node) else { continue };
            let numbers: Vec<u32> = body
                .blanks
                .iter()
                .map(|label| document.number(label.as_deref()))
                .collect();
            let cells = self.export.take_cells(body.cells);
            emit::body(
                &mut self.export.graph,
                term,
                body,
                |graph, blank| {
                    let number = numbers.get(blank as usize).copied().unwrap_or_default();
                    graph.node(&format!("_:b{number}"))
                },
                |graph, cell| -> TermId { graph.blank(&format!("l{}", cells + cell as usize)) },
            );
        }
        // A plan inside a plan inside a plan …: the same plan can be met again and again, so there is an end to it.
        if depth < 50 && document.visits < 100_000 {
            for below in below {
                document.visits += 1;
                self.annotations(below as usize, document, depth + 1);
            }
        }
    }
}

/// The blank nodes of one document.
#[derive(Default)]
struct Document {
    next: u32,
    labels: HashMap<Box<str>, u32>,
    visits: usize,
}

impl Document {
    fn number(&mut self, label: Option<&str>) -> u32 {
        if let Some(&number) = label.and_then(|label| self.labels.get(label)) {
            return number;
        }
        let number = self.next;
        self.next += 1;
        if let Some(label) = label {
            self.labels.insert(label.into(), number);
        }
        number
    }
}
