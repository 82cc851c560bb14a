//! The order in which files are loaded, see `export`: the same walk, over the places of objects.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::state::{State, Turn};
use crate::class::Class;
use crate::error::MetadataError;
use crate::oid::{file_of, oid_of};
use crate::reader::Root;

/// Why an object is loaded when it is. As long as this stays the same, its order among other objects does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Anchor {
    phase: u8,
    /// Of the key of the index entry that leads to it.
    key: u64,
    /// Its number below that entry.
    number: u32,
}

impl Anchor {
    /// No index led to it.
    pub(super) fn is_loose(self) -> bool {
        self.phase == LOOSE
    }
}

/// The phase of what is found below top-level objects only.
const LOOSE: u8 = 6;

/// An entry of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) key: u64,
    pub(super) place: u32,
    pub(super) class: Class,
}

pub(super) fn key_hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl State {
    /// Visits all objects in load order; gives the top-level ones in the order of the export.
    pub(super) fn walk(&mut self, turn: &mut Turn<'_>, root: &Root) -> Result<Vec<u32>, MetadataError> {
        let project = self.place_of(root.oid("project").unwrap_or("project"));
        self.set_project(project);
        self.visit(turn, project, Anchor::default(), "root")?;

        let activities = self.index(turn, root, "activities")?;
        let mut top = Vec::with_capacity(activities.len() * 2);
        for leaf in &activities {
            let anchor = Anchor {
                phase: 1,
                key: leaf.key,
                number: 0,
            };
            self.visit(turn, leaf.place, anchor, "activities")?;
            top.push(leaf.place);
        }
        for leaf in &activities {
            self.plans_of(turn, leaf.place, leaf.key, 2)?;
        }
        for leaf in self.index(turn, root, "activity-collections")? {
            if leaf.class == Class::WorkflowFileActivityCollection {
                let anchor = Anchor {
                    phase: 3,
                    key: leaf.key,
                    number: 0,
                };
                self.visit(turn, leaf.place, anchor, "activity-collections")?;
                self.plans_of(turn, leaf.place, leaf.key, 3)?;
                top.push(leaf.place);
            }
        }
        let mut plans = self.index(turn, root, "plans")?;
        plans.retain(|leaf| !self.is_visited(turn, leaf.place));
        for leaf in plans {
            let anchor = Anchor {
                phase: 4,
                key: leaf.key,
                number: 0,
            };
            self.visit(turn, leaf.place, anchor, "plans")?;
            top.push(leaf.place);
        }
        top.push(project);
        let mut tags = Vec::new();
        self.datasets(turn, root, &mut top, &mut tags)?;
        tags.retain(|&tag| !self.is_visited(turn, tag));
        if self.is_covered(turn) {
            for tag in tags {
                self.visit(turn, tag, tag_anchor(self.oid(tag)), "datasets-tags")?;
            }
            // Only what is new can close a circle.
            let fresh = turn.fresh.clone();
            self.nested(turn, &fresh)?;
        } else {
            let before = turn.ranks;
            self.nested(turn, &top)?;
            tags.sort_unstable();
            tags.dedup();
            self.set_loose((turn.ranks - before) as usize - tags.len());
        }
        Ok(top)
    }

    /// The plan of an object's association and its parts, depth first from the last to the first.
    fn plans_of(
        &mut self,
        turn: &mut Turn<'_>,
        owner: u32,
        key: u64,
        phase: u8,
    ) -> Result<(), MetadataError> {
        let Some(plan) = self.plan(owner) else {
            return Ok(());
        };
        if self.is_walked(turn, plan) {
            return Ok(());
        }
        let mut stack = vec![(plan, owner)];
        let mut number = 0;
        while let Some((plan, owner)) = stack.pop() {
            number += 1;
            self.visit_from(turn, plan, Anchor { phase, key, number }, owner)?;
            if !self.walk_once(turn, plan)
                && let Some(outline) = self.outline(plan)
            {
                stack.extend(outline.sub_plans.iter().map(|&sub| (sub, plan)));
            }
        }
        Ok(())
    }

    /// Every tail with its tags and the datasets it was derived from.
    fn datasets(
        &mut self,
        turn: &mut Turn<'_>,
        root: &Root,
        top: &mut Vec<u32>,
        all_tags: &mut Vec<u32>,
    ) -> Result<(), MetadataError> {
        let tags: HashMap<u64, u32> = self
            .index(turn, root, "datasets-tags")?
            .into_iter()
            .map(|leaf| (leaf.key, leaf.place))
            .collect();
        for leaf in self.index(turn, root, "datasets-provenance-tails")? {
            let anchor = |number| Anchor {
                phase: 5,
                key: leaf.key,
                number,
            };
            self.visit(turn, leaf.place, anchor(0), "datasets-provenance-tails")?;
            top.push(leaf.place);
            let slug = self
                .outline(leaf.place)
                .and_then(|outline| outline.slug.as_deref());
            if let Some(&list) = slug.and_then(|slug| tags.get(&key_hash(slug))) {
                let tags = self.list(turn, list)?;
                top.extend_from_slice(&tags);
                all_tags.extend(tags);
            }
            let mut chain = HashSet::from([leaf.place]);
            let mut current = leaf.place;
            while let Some(id) = self.outline(current).and_then(|outline| outline.ancestor.clone()) {
                let ancestor = self.place_of(&oid_of(&id));
                self.visit_from(turn, ancestor, anchor(chain.len() as u32), current)?;
                if !chain.insert(ancestor) {
                    return Err(MetadataError::Cycle {
                        id: id.into(),
                        file: file_of(self.oid(current)),
                    });
                }
                top.push(ancestor);
                current = ancestor;
            }
        }
        Ok(())
    }

    /// What the conversion of the top-level objects loads beyond all this: tags, and nested objects that no index has.
    /// Nesting is a tree; objects that hold each other are refused.
    fn nested(&mut self, turn: &mut Turn<'_>, top: &[u32]) -> Result<(), MetadataError> {
        // 1 while the objects below one are visited, 2 afterwards.
        let mut done: Vec<u8> = vec![0; self.object_count()];
        for &place in top {
            let mut anchor = Anchor {
                phase: LOOSE,
                key: 0,
                number: 0,
            };
            let mut stack = vec![(place, place, 0)];
            while let Some(entry) = stack.last_mut() {
                let (place, owner, next) = *entry;
                entry.2 += 1;
                if next == 0 {
                    if done.get(place as usize) == Some(&2) {
                        stack.pop();
                        continue;
                    }
                    if !self.is_visited(turn, place) {
                        if anchor.key == 0 {
                            anchor = tag_anchor(self.oid(top_of(&stack)));
                        } else {
                            anchor.number += 1;
                        }
                        if place == owner {
                            // Only tags are not loaded before.
                            self.visit(turn, place, anchor, "datasets-tags")?;
                        } else {
                            self.visit_from(turn, place, anchor, owner)?;
                        }
                        done.resize(self.object_count(), 0);
                    }
                    done[place as usize] = 1;
                }
                let below = self
                    .outline(place)
                    .and_then(|outline| outline.references.get(next).copied());
                match below {
                    Some(below) if done[below as usize] == 1 => {
                        return Err(MetadataError::Cycle {
                            id: self
                                .outline(below)
                                .map_or_else(String::new, |o| o.stored_id.to_string()),
                            file: file_of(self.oid(below)),
                        });
                    }
                    Some(below) => stack.push((below, place, 0)),
                    None => {
                        done[place as usize] = 2;
                        stack.pop();
                    }
                }
            }
        }
        Ok(())
    }
}

/// The anchor of the first object that is found below a top-level one, or of that itself.
fn tag_anchor(oid: &str) -> Anchor {
    Anchor {
        phase: LOOSE,
        key: key_hash(oid),
        number: 1,
    }
}

fn top_of(stack: &[(u32, u32, usize)]) -> u32 {
    stack.first().map_or(0, |entry| entry.0)
}
