//! Repositories as the `renku` CLI leaves them (metadata version 10), made of thin air and of any size.
//!
//! A project holds a chain of activities (each uses the output of the one before and a shared input, and
//! generates one file), plans that ten activities share and of which every third is an edit of the one
//! before, and datasets with an older version and a tag. The same [`Shape`] gives the same bytes.

mod encode;
mod git;
mod index;
mod objects;

pub use git::{BRANCH, write_repository};

use std::collections::BTreeMap;

use serde_json::Value;

use crate::seeded::Seeded;
use encode::{class, compressed, plain, reference};
use index::{Index, PersistentLists};

/// Activities that use one plan.
const ACTIVITIES_PER_PLAN: usize = 10;
/// Activities that use one shared input.
const ACTIVITIES_PER_INPUT: usize = 20;
/// Activities for each dataset.
const ACTIVITIES_PER_DATASET: usize = 100;

/// What a generated project is like.
#[derive(Clone, Debug)]
pub struct Shape {
    pub seed: u64,
    /// The project's path, `group/name`.
    pub slug: String,
    /// Activities of the first commit.
    pub activities: usize,
}

/// A file of the work tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub bytes: Vec<u8>,
}

/// A project that grows by one activity at a time.
#[derive(Debug)]
pub struct RenkuRepo {
    shape: Shape,
    grown: usize,
    activities: Index,
    plans: Index,
    plans_by_name: Index,
    by_usage: PersistentLists,
    by_generation: PersistentLists,
}

impl RenkuRepo {
    /// The project and the files of its first commit.
    #[must_use]
    pub fn new(shape: Shape) -> (Self, Vec<File>) {
        let mut files = BTreeMap::new();
        let mut repo = Self {
            activities: Index::new("activities"),
            plans: Index::new("plans"),
            plans_by_name: Index::new("plans-by-name"),
            by_usage: PersistentLists::new("activities-by-usage"),
            by_generation: PersistentLists::new("activities-by-generation"),
            grown: 0,
            shape,
        };
        for _ in 0..repo.shape.activities {
            for file in repo.grow() {
                files.insert(file.path, file.bytes);
            }
        }
        let datasets = repo.datasets(&mut files);
        repo.split_indexes();
        for file in repo
            .whole_indexes()
            .into_iter()
            .chain(datasets)
            .chain(repo.frame())
        {
            files.insert(file.path, file.bytes);
        }
        (
            repo,
            files
                .into_iter()
                .map(|(path, bytes)| File { path, bytes })
                .collect(),
        )
    }

    /// One more `renku run`: the files that the commit adds or changes.
    #[must_use]
    pub fn push(&mut self) -> Vec<File> {
        let number = self.grown;
        let mut files: BTreeMap<String, Vec<u8>> =
            self.grow().into_iter().map(|f| (f.path, f.bytes)).collect();
        for file in self.changed_indexes() {
            files.insert(file.path, file.bytes);
        }
        files.insert(
            objects::output_path(&self.shape, number),
            format!("row,{number}\n").into_bytes(),
        );
        files
            .into_iter()
            .map(|(path, bytes)| File { path, bytes })
            .collect()
    }

    /// The id of an activity, as stored: `/activities/<hex>`.
    #[must_use]
    pub fn activity_id(shape: &Shape, number: usize) -> String {
        objects::activity_id(shape, number)
    }

    /// Adds an activity to the indexes and gives the files of its objects.
    fn grow(&mut self) -> Vec<File> {
        let number = self.grown;
        self.grown += 1;
        let mut files = Vec::new();
        let plan = number / ACTIVITIES_PER_PLAN;
        if number.is_multiple_of(ACTIVITIES_PER_PLAN) {
            let id = objects::plan_id(&self.shape, plan);
            files.push(compressed(&id, class::PLAN, objects::plan(&self.shape, plan)));
            self.plans.insert(&id, reference(class::PLAN, &id));
            self.plans_by_name
                .insert(&objects::plan_name(plan), reference(class::PLAN, &id));
        }
        let id = objects::activity_id(&self.shape, number);
        files.push(compressed(
            &id,
            class::ACTIVITY,
            objects::activity(&self.shape, number),
        ));
        let activity = reference(class::ACTIVITY, &id);
        self.activities.insert(&id, activity.clone());
        for path in objects::used_paths(&self.shape, number) {
            self.by_usage.push(&path, activity.clone());
        }
        self.by_generation
            .push(&objects::output_path(&self.shape, number), activity);
        files
    }

    fn indexes(&mut self) -> [&mut Index; 5] {
        let Self {
            activities,
            plans,
            plans_by_name,
            by_usage,
            by_generation,
            ..
        } = self;
        [
            activities,
            plans,
            plans_by_name,
            by_usage.index_mut(),
            by_generation.index_mut(),
        ]
    }

    fn split_indexes(&mut self) {
        for index in self.indexes() {
            index.split();
        }
    }

    fn changed_indexes(&mut self) -> Vec<File> {
        let mut files = self.by_usage.changed();
        files.extend(self.by_generation.changed());
        for index in self.indexes() {
            files.extend(index.changed());
        }
        files
    }

    fn whole_indexes(&mut self) -> Vec<File> {
        // Splitting marked every bucket and tree as changed.
        self.changed_indexes()
    }

    /// Datasets, each a tail with one ancestor, and a tag for every second one.
    fn datasets(&self, files: &mut BTreeMap<String, Vec<u8>>) -> Vec<File> {
        let mut current = Index::new("datasets");
        let mut tails = Index::new("datasets-provenance-tails");
        let mut tags = PersistentLists::new("datasets-tags");
        for number in 0..self.shape.activities / ACTIVITIES_PER_DATASET {
            for version in 0..2 {
                let id = objects::dataset_id(&self.shape, number, version);
                let file = compressed(
                    &id,
                    class::DATASET,
                    objects::dataset(&self.shape, number, version),
                );
                files.insert(file.path, file.bytes);
            }
            let tail = objects::dataset_id(&self.shape, number, 1);
            let slug = objects::dataset_slug(number);
            tails.insert(&tail, reference(class::DATASET, &tail));
            current.insert(&slug, reference(class::DATASET, &tail));
            if number.is_multiple_of(2) {
                let (id, tag) = objects::tag(&self.shape, number);
                let file = compressed(&id, class::TAG, tag);
                files.insert(file.path, file.bytes);
                tags.push(&slug, reference(class::TAG, &id));
            }
        }
        let mut out = tags.changed();
        for index in [&mut current, &mut tails, tags.index_mut()] {
            index.split();
            out.extend(index.changed());
        }
        out
    }

    /// Root, project, the trees that stay empty, and the files beside the database.
    fn frame(&self) -> Vec<File> {
        let mut files = vec![
            plain("root", objects::root()),
            plain("project", objects::project(&self.shape)),
            File {
                path: ".renku/metadata.yml".to_owned(),
                bytes: b"# Dummy file kept for backwards compatibility, does not contain actual version\n\
                         'http://schema.org/schemaVersion': '9'"
                    .to_vec(),
            },
            File {
                path: ".renku/renku.ini".to_owned(),
                bytes: b"[interactive]\ndefault_url = /lab\n".to_vec(),
            },
            File {
                path: ".gitattributes".to_owned(),
                bytes: b".renku/metadata/**    merge=renkumerge\n".to_vec(),
            },
            File {
                path: ".gitignore".to_owned(),
                bytes: b".renku.lock\n.renku/tmp\n.renku/cache\n".to_vec(),
            },
        ];
        for name in ["activity-collections", "_downstream_relations"] {
            files.extend(Index::new(name).changed());
        }
        files
    }
}

/// A number stream for one thing of one project.
fn stream(shape: &Shape, kind: u64, number: usize) -> Seeded {
    let slug = shape.slug.bytes().fold(shape.seed, |seed, byte| {
        Seeded::for_item(seed, u64::from(byte)).next_u64()
    });
    Seeded::for_item(slug.wrapping_add(kind), number as u64)
}

/// A JSON state of an object.
type State = Value;

#[cfg(test)]
mod tests;
