//! Any sequence of changes ends where a store made at once from the last state begins.

use std::collections::BTreeMap;

use access::Caller;
use model::{Digest, Generation, ProjectId};
use store::{FactsApplied, GraphState, PieceKey, Reader, Writer};

use crate::merge::{SHAPES, lines};
use crate::support::{Dice, Known, World, ask, ask_oracle, open, oracle, piece, project};

const SLUGS: [&str; 5] = ["a/one", "a/two", "b/three", "b/three/four", "c/five"];

fn gone_graph(known: &Known) -> GraphState {
    GraphState {
        digest: Digest::new([0; 32]),
        sections: Vec::new(),
        ..known.state()
    }
}

/// Loads the whole graph in steps and flips it in.
fn load_in_steps(
    writer: &mut Writer,
    dice: &mut Dice,
    id: ProjectId,
    known: &Known,
    before: &BTreeMap<String, Vec<String>>,
) {
    let mut batch = writer.begin().unwrap();
    let load = batch.begin_load(id).unwrap();
    batch.commit().unwrap();
    for (name, lines) in &known.pieces {
        let mut batch = writer.begin().unwrap();
        if before.get(name) == Some(lines) {
            batch.load_kept(&load, &[PieceKey::of(name)]).unwrap();
        } else {
            batch.load(&load, &[piece(name, lines)]).unwrap();
        }
        batch.commit().unwrap();
        if dice.one_in(3) {
            writer.collect(2).unwrap();
        }
    }
    let mut batch = writer.begin().unwrap();
    batch.flip(load, &known.state()).unwrap();
    batch.commit().unwrap();
}

fn change_graph(writer: &mut Writer, dice: &mut Dice, id: ProjectId, known: &mut Known) {
    let before = known.pieces.clone();
    for _ in 0..1 + dice.below(3) {
        let name = format!("/piece/{}", dice.below(6));
        if dice.one_in(3) {
            known.pieces.remove(&name);
        } else {
            known.pieces.insert(name, lines(dice));
        }
    }
    known.generation += 1;
    match dice.below(6) {
        0 => load_in_steps(writer, dice, id, known, &before),
        1 => {
            // A load that is given up leaves nothing behind.
            let mut batch = writer.begin().unwrap();
            let load = batch.begin_load(id).unwrap();
            batch.load(&load, &[piece("/piece/x", &lines(dice))]).unwrap();
            batch.commit().unwrap();
            writer.give_up(load).unwrap();
            let mut batch = writer.begin().unwrap();
            batch
                .apply_graph(id, &known.state(), &known.difference(&before))
                .unwrap();
            batch.commit().unwrap();
        }
        2 => {
            // A batch that is dropped has not happened.
            let mut batch = writer.begin().unwrap();
            batch
                .apply_graph(id, &known.state(), &known.difference(&before))
                .unwrap();
            drop(batch);
            let mut batch = writer.begin().unwrap();
            batch
                .apply_graph(id, &known.state(), &known.difference(&before))
                .unwrap();
            batch.commit().unwrap();
        }
        3 => {
            // Twice in one transaction.
            let mut batch = writer.begin().unwrap();
            batch
                .apply_graph(id, &known.state(), &known.difference(&before))
                .unwrap();
            let between = known.pieces.clone();
            known.pieces.insert("/piece/0".into(), lines(dice));
            known.pieces.remove("/piece/1");
            known.generation += 1;
            batch
                .apply_graph(id, &known.state(), &known.difference(&between))
                .unwrap();
            batch.commit().unwrap();
        }
        _ => {
            let mut batch = writer.begin().unwrap();
            batch
                .apply_graph(id, &known.state(), &known.difference(&before))
                .unwrap();
            batch.commit().unwrap();
        }
    }
}

fn step(writer: &mut Writer, dice: &mut Dice, world: &mut World) {
    let id = project(1 + dice.below(4) as i64);
    let taken: Vec<_> = world.values().filter_map(|k| k.slug.clone()).collect();
    let known = world.entry(id).or_default();
    if known.version == 0 || dice.one_in(4) {
        known.version += 1;
        match dice.below(8) {
            0 if known.version > 1 => known.slug = None,
            1 | 2 => known.public = !known.public,
            _ => {
                let free: Vec<_> = SLUGS.iter().filter(|s| !taken.iter().any(|t| t == *s)).collect();
                known.slug = Some((*dice.pick(&free)).to_string());
            }
        }
        let mut batch = writer.begin().unwrap();
        let applied = batch.apply_facts(id, &known.facts()).unwrap();
        assert_eq!(applied, FactsApplied::Applied { graph_waits: false });
        assert_eq!(
            batch.apply_facts(id, &known.facts()).unwrap(),
            FactsApplied::Superseded
        );
        batch.commit().unwrap();
    } else if dice.one_in(12) {
        known.generation += 1;
        known.pieces.clear();
        let mut batch = writer.begin().unwrap();
        batch.apply_gone(id, &gone_graph(known)).unwrap();
        batch.commit().unwrap();
    } else {
        change_graph(writer, dice, id, known);
    }
    if dice.one_in(3) {
        writer.collect(3).unwrap();
    }
}

/// A store that was only ever told the last state.
fn rebuilt(world: &World) -> (tempfile::TempDir, Writer, Reader) {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let mut batch = writer.begin().unwrap();
    for (id, known) in world {
        batch.apply_facts(*id, &known.facts()).unwrap();
        if known.pieces.is_empty() && known.generation > 0 {
            batch.apply_gone(*id, &gone_graph(known)).unwrap();
        } else if known.generation > 0 {
            batch
                .apply_graph(*id, &known.state(), &known.difference(&BTreeMap::new()))
                .unwrap();
        }
    }
    batch.commit().unwrap();
    (folder, writer, reader)
}

#[test]
fn changes_leave_what_the_last_state_says() {
    for seed in 0..150 {
        let dice = &mut Dice::new(seed + 10_000);
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(folder.path());
        let mut world = World::new();
        for _ in 0..30 {
            step(&mut writer, dice, &mut world);
        }
        // An emptied graph is said to be gone in both stores, so that the digests compare the same records.
        for (id, known) in &mut world {
            if known.pieces.is_empty() && known.generation > 0 {
                known.generation += 1;
                let mut batch = writer.begin().unwrap();
                batch.apply_gone(*id, &gone_graph(known)).unwrap();
                batch.commit().unwrap();
            }
        }
        while writer.collect(7).unwrap() {}

        let (_folder, _writer, other) = rebuilt(&world);
        let (live, fresh) = (reader.snapshot().unwrap(), other.snapshot().unwrap());
        assert_eq!(
            live.index_sizes().unwrap(),
            fresh.index_sizes().unwrap(),
            "seed {seed}"
        );
        assert_eq!(live.terms().unwrap(), fresh.terms().unwrap(), "seed {seed}");
        assert_eq!(live.digest().unwrap(), fresh.digest().unwrap(), "seed {seed}");
        let sizes = live.index_sizes().unwrap();
        assert!(
            sizes.iter().all(|size| *size == sizes[0]),
            "seed {seed}: {sizes:?}"
        );
        let all = live
            .visible(&Caller::Administrator, model::Day::default())
            .unwrap();
        let same = fresh
            .visible(&Caller::Administrator, model::Day::default())
            .unwrap();
        for id in world.keys() {
            assert_eq!(
                live.content_digest(&all, *id).unwrap(),
                fresh.content_digest(&same, *id).unwrap(),
                "seed {seed}, {id}"
            );
        }
        for caller in [Caller::Anonymous, Caller::Administrator] {
            let merge = oracle(&world, caller.clone());
            for shape in SHAPES.iter().filter(|shape| !shape.contains("?g {}")) {
                assert_eq!(
                    ask(&live, caller.clone(), shape),
                    ask_oracle(&merge, shape),
                    "seed {seed}, {shape}"
                );
            }
        }
    }
}

#[test]
fn a_slug_that_changes_hands_names_the_later() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let mut batch = writer.begin().unwrap();
    let mut first = Known {
        slug: Some("a/one".into()),
        public: true,
        version: 1,
        generation: 1,
        ..Known::default()
    };
    first.pieces.insert(
        "/p".into(),
        vec!["<urn:renku:project> <urn:p:n> \"first\" .".into()],
    );
    first.put_all(&mut batch, project(1));
    let mut second = Known {
        version: 5,
        ..first.clone()
    };
    second.pieces.insert(
        "/p".into(),
        vec!["<urn:renku:project> <urn:p:n> \"second\" .".into()],
    );
    second.put_all(&mut batch, project(2));
    batch.commit().unwrap();
    let by_name = "SELECT ?n { <https://renku.example/projects/a/one> <urn:p:n> ?n }";
    assert_eq!(
        ask(&reader.snapshot().unwrap(), Caller::Anonymous, by_name),
        ["\"second\""]
    );
    // The later one is hidden: then the name is the other's, as if the later one were not there.
    second.version = 6;
    second.public = false;
    let mut batch = writer.begin().unwrap();
    batch.apply_facts(project(2), &second.facts()).unwrap();
    batch.commit().unwrap();
    assert_eq!(
        ask(&reader.snapshot().unwrap(), Caller::Anonymous, by_name),
        ["\"first\""]
    );
    first.version = 7;
    first.slug = Some("a/moved".into());
    let mut batch = writer.begin().unwrap();
    batch.apply_facts(project(1), &first.facts()).unwrap();
    batch.commit().unwrap();
    let snapshot = reader.snapshot().unwrap();
    assert!(ask(&snapshot, Caller::Anonymous, by_name).is_empty());
    assert_eq!(ask(&snapshot, Caller::Administrator, by_name), ["\"second\""]);
}

#[test]
fn what_was_applied_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let mut known = Known {
        slug: Some("a/one".into()),
        public: true,
        version: 1,
        ..Known::default()
    };
    for generation in [1, 2, 2, 400] {
        known.generation = generation;
        let mut batch = writer.begin().unwrap();
        batch.apply_facts(project(1), &known.facts()).unwrap();
        batch
            .apply_graph(project(1), &known.state(), &known.difference(&BTreeMap::new()))
            .unwrap();
        batch.commit().unwrap();
    }
    let log = reader.snapshot().unwrap().applied_log(project(1)).unwrap();
    let times: Vec<_> = log.iter().map(|(g, n)| (g.get(), *n)).collect();
    assert_eq!(times, [(400, 1), (2, 2), (1, 1)]);
    assert_eq!(log[0].0, Generation::new(400));
}

#[test]
fn a_bad_piece_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let good = Known {
        slug: Some("a/one".into()),
        public: true,
        version: 1,
        generation: 1,
        pieces: [("/p".to_owned(), vec!["<urn:a:s> <urn:a:p> \"x\" .".to_owned()])].into(),
    };
    let mut batch = writer.begin().unwrap();
    good.put_all(&mut batch, project(1));
    for bad in [
        "<urn:renku:other> <urn:a:p> <urn:a:o> .",
        "_:b <urn:a:p> <urn:a:o> .",
        "<urn:a:s> <urn:a:p> .",
        "<urn:a:s> <urn:a:p> \"\\ud800\" .",
        "rubbish",
    ] {
        let pieces = [("/p".to_owned(), vec![bad.to_owned()]), ("/q".to_owned(), vec![])];
        let worse = Known {
            generation: 2,
            pieces: pieces.into(),
            ..good.clone()
        };
        let error = batch
            .apply_graph(project(1), &worse.state(), &worse.difference(&good.pieces))
            .unwrap_err();
        assert!(
            matches!(error, store::StoreError::BadPiece { line: 1, .. }),
            "{error}"
        );
    }
    batch.commit().unwrap();
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(
        ask(&snapshot, Caller::Anonymous, "SELECT ?s ?p ?o { ?s ?p ?o }"),
        ["<urn:a:s> <urn:a:p> \"x\""]
    );
    let visible = snapshot
        .visible(&Caller::Anonymous, model::Day::default())
        .unwrap();
    let applied = snapshot.applied(&visible, project(1)).unwrap().unwrap();
    assert_eq!(applied.generation, Generation::new(1));
}
