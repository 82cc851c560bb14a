//! What the walk needs: objects by name and place, their turns, the entries of indexes.

use std::sync::Arc;

use super::{Branch, MAX_TREE_DEPTH, State, Turn, place_of};
use crate::decode::decode;
use crate::error::MetadataError;
use crate::export::{MAX_OBJECTS, check_exported};
use crate::oid::file_of;
use crate::pieces::outline::Outline;
use crate::pieces::walk::{Anchor, Leaf, key_hash};
use crate::reader::{Root, Tree, read_list, read_tree};

impl State {
    pub(in crate::pieces) fn object_count(&self) -> usize {
        self.objects.len()
    }

    pub(in crate::pieces) fn outline(&self, place: u32) -> Option<&Outline> {
        self.objects[place as usize].outline.as_ref()
    }

    pub(in crate::pieces) fn oid(&self, place: u32) -> &str {
        &self.objects[place as usize].oid
    }

    pub(in crate::pieces) fn set_project(&mut self, place: u32) {
        self.project = place;
    }

    pub(in crate::pieces) fn plan(&self, place: u32) -> Option<u32> {
        self.visits[place as usize].plan
    }

    /// Whether the indexes lead to all that they led to in the last turn, and nothing else is left to be found but below
    /// what is new. Notes what they lead to now.
    pub(in crate::pieces) fn is_covered(&mut self, turn: &Turn<'_>) -> bool {
        let before = std::mem::replace(&mut self.indexed, turn.ranks as usize);
        self.loose == 0
            && before + turn.added == turn.ranks as usize
            && turn.fresh.iter().all(|&place| {
                let outline = self.outline(place);
                outline.is_none_or(|o| o.references.iter().all(|&below| self.is_visited(turn, below)))
            })
    }

    pub(in crate::pieces) fn set_loose(&mut self, count: usize) {
        self.loose = count;
    }

    pub(in crate::pieces) fn place_of(&mut self, oid: &str) -> u32 {
        place_of(&mut self.objects, &mut self.visits, &mut self.places, oid)
    }

    pub(in crate::pieces) fn is_visited(&self, turn: &Turn<'_>, place: u32) -> bool {
        self.visits[place as usize].turn == turn.number
    }

    pub(in crate::pieces) fn is_walked(&self, turn: &Turn<'_>, place: u32) -> bool {
        self.visits[place as usize].walked == turn.number
    }

    /// Marks a plan whose parts are visited next; tells whether they were.
    pub(in crate::pieces) fn walk_once(&mut self, turn: &Turn<'_>, place: u32) -> bool {
        std::mem::replace(&mut self.visits[place as usize].walked, turn.number) == turn.number
    }

    /// As [`State::visit`], for an object that another one names.
    pub(in crate::pieces) fn visit_from(
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
    pub(in crate::pieces) fn visit(
        &mut self,
        turn: &mut Turn<'_>,
        place: u32,
        anchor: Anchor,
        needed_by: &str,
    ) -> Result<(), MetadataError> {
        let visit = &mut self.visits[place as usize];
        if visit.turn == turn.number {
            return Ok(());
        }
        // Not visited in the last turn, or not because of an index.
        turn.added += usize::from(visit.turn + 1 != turn.number || visit.anchor.is_loose());
        visit.turn = turn.number;
        visit.rank = turn.ranks;
        turn.ranks += 1;
        if turn.ranks as usize > MAX_OBJECTS {
            return Err(MetadataError::TooManyObjects { limit: MAX_OBJECTS });
        }
        let has_moved = std::mem::replace(&mut visit.anchor, anchor) != anchor;
        if visit.is_known {
            if has_moved {
                turn.moved.push(place);
            }
            return Ok(());
        }
        let oid = self.objects[place as usize].oid.clone();
        let file = turn.reader.need(&oid, &file_of(needed_by), decode)?;
        check_exported(&file, &oid)?;
        let source = turn.reader.source;
        let (objects, visits, places) = (&mut self.objects, &mut self.visits, &mut self.places);
        let outline = Outline::of(
            &file,
            &oid,
            |oid| place_of(objects, visits, places, oid),
            |path| source.is_linked(path),
        );
        self.know(place, outline);
        turn.fresh.push(place);
        self.hold(place, Arc::new(file));
        Ok(())
    }

    pub(super) fn know(&mut self, place: u32, outline: Outline) {
        self.weight += outline.weight();
        self.known += 1;
        let visit = &mut self.visits[place as usize];
        visit.is_known = true;
        visit.plan = outline.plan;
        if !outline.externals.is_empty() {
            self.external.insert(place);
        }
        // The project comes first, and everything is made anew if it gets another id.
        let own = self.outline(self.project).map(|project| &*project.stored_id);
        if outline.class.membership().is_some() && outline.project_id.as_deref() != own {
            self.foreign.insert(place);
        }
        self.objects[place as usize].outline = Some(outline);
    }

    /// The entries of an index, in key order.
    pub(in crate::pieces) fn index(
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

    pub(super) fn tree(
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
                            place: place_of(
                                &mut self.objects,
                                &mut self.visits,
                                &mut self.places,
                                &entry.oid,
                            ),
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
    pub(in crate::pieces) fn list(
        &mut self,
        turn: &mut Turn<'_>,
        list: u32,
    ) -> Result<Vec<u32>, MetadataError> {
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
