//! Scans that go on elsewhere, limits, hidden and absent.

use std::time::Duration;

use access::Caller;
use store::{Query, QueryError, QueryLimits, Stop};

use crate::support::{Dice, Known, World, ask, ask_oracle, bag_of, open, options, oracle, project};

/// Many projects that say much the same, few of them visible.
fn crowd(dice: &mut Dice, projects: i64, visible: usize) -> World {
    let mut world = World::new();
    for id in 1..=projects {
        let mut known = Known {
            slug: Some(format!("crowd/p{id}")),
            version: 1,
            generation: 1,
            ..Known::default()
        };
        let mut said = Vec::new();
        for n in 0..3 {
            let own = format!("https://renku.example/activities/{id}-{n}");
            said.push(format!("<{own}> <urn:p:kind> <urn:k:activity> ."));
            said.push(format!(
                "<{own}> <urn:p:by> <mailto:u{}@example.org> .",
                dice.below(3)
            ));
            said.push(format!(
                "<{own}> <urn:p:value> \"{}\"^^<http://www.w3.org/2001/XMLSchema#integer> .",
                dice.below(5)
            ));
            said.push(format!("<mailto:u{n}@example.org> <urn:p:name> \"user {n}\" ."));
            said.push(format!("<urn:renku:project> <urn:p:has> <{own}> ."));
        }
        said.push(format!(
            "<urn:renku:project> <urn:p:like> <https://renku.example/projects/crowd/p{}> .",
            1 + dice.below(projects as usize)
        ));
        said.push("<mailto:everybody@example.org> <urn:p:kind> <urn:k:person> .".into());
        said.push("<http://schema.org/Thing> <urn:p:kind> <urn:k:person> .".into());
        known.pieces.insert("/all".into(), said);
        world.insert(project(id), known);
    }
    for _ in 0..visible {
        let id = project(1 + dice.below(projects as usize) as i64);
        world.get_mut(&id).unwrap().public = true;
    }
    world
}

const SHAPES: [&str; 16] = [
    "SELECT * { ?s ?p ?o }",
    "SELECT * { ?s <urn:p:kind> ?o }",
    "SELECT * { ?s <urn:p:kind> <urn:k:activity> }",
    "SELECT * { ?s ?p <urn:k:person> }",
    "SELECT * { <mailto:everybody@example.org> ?p ?o }",
    "SELECT * { ?a <urn:p:by> ?u . ?u <urn:p:name> ?n }",
    "SELECT * { ?u <urn:p:name> ?n . ?a <urn:p:by> ?u . ?a <urn:p:value> ?v }",
    "SELECT * { ?p <urn:p:has> ?a . ?p <urn:p:like> ?q . ?q <urn:p:has> ?b }",
    "SELECT * { GRAPH ?g { ?s <urn:p:kind> ?o } }",
    "SELECT * { GRAPH ?g { ?s ?p <urn:k:person> } }",
    "SELECT * { GRAPH ?g { ?u <urn:p:name> ?n } ?a <urn:p:by> ?u }",
    "SELECT * { GRAPH ?g { ?a <urn:p:value> 3 . ?a <urn:p:by> ?u . ?u <urn:p:name> ?n } }",
    "SELECT * { GRAPH ?g { ?a <urn:p:value> 3 } GRAPH ?g { ?x <urn:p:kind> <urn:k:person> } }",
    "SELECT * { GRAPH <https://renku.example/projects/crowd/p7> { ?s ?p <urn:k:person> } }",
    "SELECT (COUNT(*) AS ?c) { ?s ?p ?o }",
    "SELECT ?u (COUNT(?a) AS ?c) { ?a <urn:p:by> ?u } GROUP BY ?u",
];

#[test]
fn few_visible_among_many() {
    for (seed, projects, visible) in [
        (1, 400, 0),
        (2, 400, 1),
        (3, 400, 4),
        (4, 400, 60),
        (5, 400, 120),
        (6, 30, 3),
        (7, 700, 2),
        (8, 400, 1_500),
    ] {
        let dice = &mut Dice::new(seed);
        let mut world = crowd(dice, projects, visible);
        world.get_mut(&project(7)).unwrap().public = visible > 0;
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(folder.path());
        let mut batch = writer.begin().unwrap();
        for (id, known) in &world {
            known.put_all(&mut batch, *id);
        }
        batch.commit().unwrap();
        let snapshot = reader.snapshot().unwrap();
        for caller in [Caller::Anonymous, Caller::Administrator] {
            if caller == Caller::Administrator && seed != 6 && seed != 8 {
                continue;
            }
            let merge = oracle(&world, caller.clone());
            for shape in SHAPES {
                assert_eq!(
                    ask(&snapshot, caller.clone(), shape),
                    ask_oracle(&merge, shape),
                    "seed {seed}, {shape}"
                );
            }
        }
    }
}

fn many(rows: usize) -> World {
    let said = (0..rows)
        .map(|n| format!("<urn:s:{n}> <urn:p:p> \"{n}\" ."))
        .collect();
    let known = Known {
        slug: Some("a/one".into()),
        public: true,
        version: 1,
        generation: 1,
        pieces: [("/all".to_owned(), said)].into(),
    };
    World::from([(project(1), known)])
}

#[test]
fn limits_end_a_query() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let mut batch = writer.begin().unwrap();
    for (id, known) in &many(3_000) {
        known.put_all(&mut batch, *id);
    }
    batch.commit().unwrap();
    let snapshot = reader.snapshot().unwrap();
    let visible = snapshot
        .visible(&Caller::Anonymous, model::Day::default())
        .unwrap();
    let ask = |text: &str, limits, stop: &Stop| {
        let query: Query = text.parse().unwrap();
        snapshot.query(&visible, &query, limits, stop, bag_of)
    };
    let rows = QueryLimits {
        rows: 10,
        ..QueryLimits::NONE
    };
    let error = ask("SELECT * { ?s ?p ?o }", rows, &Stop::default()).unwrap_err();
    assert!(matches!(error, QueryError::Rows(10)));
    assert_eq!(
        ask("SELECT * { ?s ?p ?o } LIMIT 10", rows, &Stop::default())
            .unwrap()
            .len(),
        10
    );
    let cross = "SELECT (COUNT(*) AS ?c) { ?a ?b ?c . ?d ?e ?f }";
    let time = QueryLimits {
        time: Duration::from_millis(20),
        ..QueryLimits::NONE
    };
    let error = ask(cross, time, &Stop::default()).unwrap_err();
    assert!(matches!(error, QueryError::Time(_)), "{error}");
    let quads = QueryLimits {
        quads: 2_000,
        ..QueryLimits::NONE
    };
    let error = ask("SELECT (COUNT(*) AS ?c) { ?a ?b ?c }", quads, &Stop::default()).unwrap_err();
    assert!(matches!(error, QueryError::Quads(2_000)));
    let stop = Stop::default();
    stop.stop();
    let error = ask("SELECT (COUNT(*) AS ?c) { ?a ?b ?c }", QueryLimits::NONE, &stop).unwrap_err();
    assert!(matches!(error, QueryError::Stopped));
    let service = "SELECT * { SERVICE <http://127.0.0.1:1/> { ?s ?p ?o } }";
    let error = ask(service, QueryLimits::NONE, &Stop::default()).unwrap_err();
    assert!(matches!(error, QueryError::Refused(_)), "{error}");
}

#[test]
fn syntax_errors_say_where() {
    let error = "SELECT * {\n ?s ?p }".parse::<Query>().unwrap_err();
    assert!(error.message.contains('2'), "{error}");
    assert!("INSERT DATA { <a:b> <a:b> <a:b> }".parse::<Query>().is_err());
}

#[test]
fn an_old_snapshot_ends() {
    let folder = tempfile::tempdir().unwrap();
    let short = store::StoreOptions {
        snapshot_age: Duration::ZERO,
        ..options()
    };
    let (mut writer, reader) = store::open(folder.path(), short).unwrap();
    let mut batch = writer.begin().unwrap();
    for (id, known) in &many(1_000) {
        known.put_all(&mut batch, *id);
    }
    batch.commit().unwrap();
    let snapshot = reader.snapshot().unwrap();
    let visible = snapshot
        .visible(&Caller::Anonymous, model::Day::default())
        .unwrap();
    let query: Query = "SELECT * { ?s ?p ?o }".parse().unwrap();
    let error = snapshot
        .query(&visible, &query, QueryLimits::NONE, &Stop::default(), bag_of)
        .unwrap_err();
    assert!(
        matches!(error, QueryError::Store(store::StoreError::SnapshotTooOld)),
        "{error}"
    );
}

#[test]
fn a_set_is_good_for_its_own_facts_only() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let mut world = many(10);
    let mut batch = writer.begin().unwrap();
    world[&project(1)].put_all(&mut batch, project(1));
    batch.commit().unwrap();
    let before = reader
        .snapshot()
        .unwrap()
        .visible(&Caller::Anonymous, model::Day::default())
        .unwrap();
    let known = world.get_mut(&project(1)).unwrap();
    known.version = 2;
    known.public = false;
    let mut batch = writer.begin().unwrap();
    batch.apply_facts(project(1), &known.facts()).unwrap();
    batch.commit().unwrap();
    let snapshot = reader.snapshot().unwrap();
    let query: Query = "SELECT * { ?s ?p ?o }".parse().unwrap();
    let error = snapshot
        .query(&before, &query, QueryLimits::NONE, &Stop::default(), bag_of)
        .unwrap_err();
    assert!(
        matches!(error, QueryError::Store(store::StoreError::OtherEpoch { .. })),
        "{error}"
    );
    assert!(
        snapshot
            .visible(&Caller::Anonymous, model::Day::default())
            .unwrap()
            .is_empty()
    );
}

/// The least bound of quads that a query does not run into.
fn least_bound(reader: &store::Reader, text: &str) -> u64 {
    let snapshot = reader.snapshot().unwrap();
    let visible = snapshot
        .visible(&Caller::Anonymous, model::Day::default())
        .unwrap();
    let query: Query = text.parse().unwrap();
    let is_enough = |quads: u64| {
        let limits = QueryLimits {
            quads,
            ..QueryLimits::NONE
        };
        match snapshot.query(&visible, &query, limits, &Stop::default(), bag_of) {
            Ok(_) => true,
            Err(QueryError::Quads(_)) => false,
            Err(error) => panic!("{text}: {error}"),
        }
    };
    let (mut too_few, mut enough) = (0, 1);
    while !is_enough(enough) {
        (too_few, enough) = (enough, enough * 2);
    }
    while enough - too_few > 1 {
        let between = too_few + (enough - too_few) / 2;
        match is_enough(between) {
            true => enough = between,
            false => too_few = between,
        }
    }
    enough
}

/// Else whoever fills a query up to its bound with quads of his own could tell whether there was one hidden quad more.
#[test]
fn bounds_say_nothing_of_what_is_hidden() {
    let dice = &mut Dice::new(9);
    let world = crowd(dice, 400, 12);
    let seen: World = world
        .iter()
        .filter(|(_, known)| known.public)
        .map(|(id, known)| (*id, known.clone()))
        .collect();
    let folders = [&world, &seen].map(|world| {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(folder.path());
        let mut batch = writer.begin().unwrap();
        for (id, known) in world {
            known.put_all(&mut batch, *id);
        }
        batch.commit().unwrap();
        (folder, writer, reader)
    });
    for shape in SHAPES {
        let [with, without] = [&folders[0].2, &folders[1].2].map(|reader| least_bound(reader, shape));
        assert_eq!(with, without, "{shape}");
    }
}
