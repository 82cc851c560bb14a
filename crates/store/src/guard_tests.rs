//! The filter with a fault at each of its places: the guard withholds what it lets pass, and nothing else.

use access::{Denial, GroupPath};
use model::{Digest, Generation, UserId};
use sha2::Digest as _;

use super::*;
use crate::faults::{self, Fault};
use crate::{
    Answer, Difference, Facts, FactsMember, GraphState, LiveFacts, Piece, PieceKey, Query, QueryError,
    QueryLimits, Reader, StoreOptions, Writer,
};

const TODAY: Day = Day::from_number(20_000);

struct World {
    writer: Writer,
    reader: Reader,
    _folder: tempfile::TempDir,
}

fn project(number: i64) -> ProjectId {
    ProjectId::new(number).unwrap()
}

fn user(number: i64) -> UserId {
    UserId::new(number).unwrap()
}

fn facts(version: u64, slug: &str, visibility: Visibility, members: &[i64]) -> Facts {
    Facts {
        state_version: Generation::new(version),
        generation: Generation::new(version),
        live: Some(LiveFacts {
            slug: slug.parse().unwrap(),
            visibility,
            members: members
                .iter()
                .map(|number| FactsMember {
                    user: user(*number),
                    until: None,
                })
                .collect(),
        }),
        payload: b"{}".to_vec(),
    }
}

impl World {
    /// Project 1 is public, project 2 private with members 7 and 8.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            map_size: 1 << 28,
            ..StoreOptions::new("renku.example")
        };
        let (writer, reader) = crate::open(folder.path(), options).unwrap();
        let mut world = Self {
            writer,
            reader,
            _folder: folder,
        };
        world.facts(1, &facts(1, "a/open", Visibility::Public, &[]));
        world.facts(2, &facts(1, "a/secret", Visibility::Private, &[7, 8]));
        for number in [1, 2] {
            world.graph(number);
        }
        world
    }

    fn facts(&mut self, number: i64, facts: &Facts) {
        let mut batch = self.writer.begin().unwrap();
        batch.apply_facts(project(number), facts).unwrap();
        batch.commit().unwrap();
    }

    fn graph(&mut self, number: i64) {
        let text = format!("<urn:renku:project> <urn:p:says> \"word of {number}\" .\n");
        let piece = Piece {
            key: PieceKey::of("/p"),
            digest: Digest::new(sha2::Sha256::digest(text.as_bytes()).into()),
            text,
        };
        let state = GraphState {
            generation: Generation::new(1),
            digest: Digest::new([1; 32]),
            state_version: Generation::new(1),
            bits: 0,
            sections: Vec::new(),
            payload: Vec::new(),
        };
        let difference = Difference {
            removed: Vec::new(),
            put: vec![piece],
        };
        let mut batch = self.writer.begin().unwrap();
        batch.apply_graph(project(number), &state, &difference).unwrap();
        batch.commit().unwrap();
    }

    fn deny(&mut self, denial: &Denial) {
        let mut batch = self.writer.begin().unwrap();
        batch.deny("key", denial).unwrap();
        batch.commit().unwrap();
    }

    fn ask(&self, caller: &Caller, query: &str) -> Result<u64, QueryError> {
        let snapshot = self.reader.snapshot()?;
        let visible = snapshot.visible(caller, TODAY)?;
        let query: Query = query.parse().unwrap();
        let mut given = 0;
        snapshot.query(
            &visible,
            &query,
            QueryLimits::NONE,
            &crate::Stop::default(),
            |answer| {
                match answer {
                    Answer::Truth(truth) => given = truth.into(),
                    Answer::Rows(_, rows) => {
                        for row in rows {
                            row?;
                            given += 1;
                        }
                    }
                    Answer::Triples(triples) => {
                        for triple in triples {
                            triple?;
                            given += 1;
                        }
                    }
                }
                Ok(())
            },
        )?;
        Ok(given)
    }
}

fn is_withheld<T>(result: &Result<T, QueryError>) -> bool {
    matches!(result, Err(QueryError::Store(StoreError::Withheld { .. })))
}

const ALL: &str = "SELECT * { ?s ?p ?o }";
const GRAPHS: &str = "SELECT * { GRAPH ?g {} }";
const SECRET: &str = "ASK { ?s ?p \"word of 2\" }";
const NAME: &str = "SELECT * { BIND(<https://renku.example/projects/a/secret> AS ?x) ?x ?p ?o }";

/// Every fault that is in the filter itself: queries that would give something away are withheld, with not one row given.
#[test]
fn each_fault_of_the_filter_is_seen() {
    for (fault, queries) in [
        (Fault::Decision, vec![ALL, GRAPHS, SECRET, NAME]),
        (Fault::Graphs, vec![ALL, GRAPHS, SECRET]),
        (Fault::Scan, vec![ALL, SECRET]),
        (Fault::Names, vec![NAME]),
    ] {
        for query in queries {
            let world = World::new();
            faults::put(Some(fault));
            let told = world.ask(&Caller::User(user(3)), query);
            faults::put(None);
            assert!(is_withheld(&told), "{fault:?} {query}: {told:?}");
        }
    }
}

/// Facts change and the change does not arrive everywhere.
#[test]
fn stale_rights_are_seen() {
    for fault in [Fault::Members, Fault::Epoch, Fault::Denials] {
        let mut world = World::new();
        let seven = Caller::User(user(7));
        assert_eq!(world.ask(&seven, ALL).unwrap(), 2);
        faults::put(Some(fault));
        if fault == Fault::Denials {
            world.deny(&Denial {
                user: Some(user(7)),
                below: GroupPath::new("A"),
                signed_in: false,
                version: Generation::new(9),
            });
        } else {
            world.facts(2, &facts(2, "a/secret", Visibility::Private, &[8]));
        }
        let told = world.ask(&seven, ALL);
        faults::put(None);
        assert!(is_withheld(&told), "{fault:?}: {told:?}");
    }
}

/// Facts of a project that was public, and is not any more, are dropped on their way to the filter.
#[test]
fn facts_that_are_dropped_are_seen() {
    let mut world = World::new();
    faults::put(Some(Fault::Access));
    world.facts(1, &facts(2, "a/open", Visibility::Private, &[]));
    let told = [ALL, GRAPHS].map(|query| world.ask(&Caller::Anonymous, query));
    faults::put(None);
    assert!(told.iter().all(is_withheld), "{told:?}");
}

/// A set that was decided on another snapshot's facts is good for none but those.
#[test]
fn a_set_of_another_moment_is_refused() {
    let mut world = World::new();
    let before = world.reader.snapshot().unwrap();
    let visible = before.visible(&Caller::User(user(7)), TODAY).unwrap();
    world.facts(2, &facts(2, "a/secret", Visibility::Private, &[8]));
    let after = world.reader.snapshot().unwrap();
    let query: Query = ALL.parse().unwrap();
    let told = after.query(
        &visible,
        &query,
        QueryLimits::NONE,
        &crate::Stop::default(),
        |_| Ok(()),
    );
    assert!(
        matches!(told, Err(QueryError::Store(StoreError::OtherEpoch { .. }))),
        "{told:?}"
    );
    // The older snapshot still has the facts and the data of its own moment.
    let told = before.query(
        &visible,
        &query,
        QueryLimits::NONE,
        &crate::Stop::default(),
        |_| Ok(()),
    );
    assert!(told.is_ok(), "{told:?}");
}

/// What the guard is for is not to be in the way.
#[test]
fn nothing_is_withheld_without_a_fault() {
    let mut world = World::new();
    let callers = [
        Caller::Anonymous,
        Caller::User(user(7)),
        Caller::User(user(3)),
        Caller::Administrator,
        Caller::Prober,
    ];
    for step in 0..4 {
        match step {
            1 => world.facts(2, &facts(2, "a/secret", Visibility::Internal, &[8])),
            2 => world.deny(&Denial {
                user: None,
                below: GroupPath::new("a"),
                signed_in: false,
                version: Generation::new(9),
            }),
            3 => world.facts(2, &facts(10, "b/secret", Visibility::Private, &[3])),
            _ => {}
        }
        for caller in &callers {
            for query in [
                ALL,
                GRAPHS,
                SECRET,
                NAME,
                "DESCRIBE <https://renku.example/projects/a/open>",
            ] {
                assert!(
                    world.ask(caller, query).is_ok(),
                    "{caller:?} {query} in step {step}"
                );
            }
        }
    }
}

/// Reads with a shape of their own are looked after as well.
#[test]
fn facts_of_a_project_are_withheld_too() {
    let world = World::new();
    faults::put(Some(Fault::Decision));
    let snapshot = world.reader.snapshot().unwrap();
    let visible = snapshot.visible(&Caller::Anonymous, TODAY).unwrap();
    let told = snapshot.facts(&visible, project(2));
    faults::put(None);
    assert!(matches!(told, Err(StoreError::Withheld { .. })));
    assert!(snapshot.facts(&visible, project(1)).unwrap().is_some());
}
