//! The pieces after any history are those of the last state made at once, and together they are the full export.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use metadata::{PiecesChange, ProjectPieces, export_full};
use proptest::prelude::*;

use crate::made_up::{Model, change};
use crate::recorded::{files_of, host, lines};
use crate::source::{Files, Recorded};

type Texts = BTreeMap<String, String>;

fn apply(texts: &mut Texts, change: PiecesChange) {
    for id in change.take {
        assert!(texts.remove(&id).is_some(), "{id} was taken and is not there");
    }
    for piece in change.put {
        assert_eq!(rdf::digest_of(piece.text.as_bytes()), piece.digest);
        let old = texts.insert(piece.id.clone(), piece.text.clone());
        assert!(
            old.as_deref() != Some(piece.text.as_str()),
            "{} was put unchanged",
            piece.id
        );
    }
}

fn at_once(files: &Files) -> Texts {
    let mut texts = Texts::new();
    apply(
        &mut texts,
        ProjectPieces::default()
            .update::<String>(files, &host(), &[])
            .unwrap(),
    );
    texts
}

/// Blank nodes apart, which have names of their own in pieces.
fn without_blanks(lines: impl Iterator<Item = String>) -> BTreeSet<String> {
    lines
        .filter(|line| {
            !line.contains("https://example.org_:b")
                && !line.contains("_:l")
                && !line.contains("/.well-known/genid/")
        })
        .collect()
}

fn union(texts: &Texts, project: &str) -> BTreeSet<String> {
    let placeholder = format!("<https://example.org{project}");
    without_blanks(
        texts
            .values()
            .flat_map(|text| text.lines())
            .map(|line| line.replace("<urn:renku:project", &placeholder)),
    )
}

fn check(texts: &Texts, files: &Files, project: &str) {
    assert!(*texts == at_once(files), "another history gives other pieces");
    let full = without_blanks(lines(&export_full(files, host()).unwrap()).into_iter());
    let ours = union(texts, project);
    let more: Vec<_> = ours.difference(&full).take(3).collect();
    let less: Vec<_> = full.difference(&ours).take(3).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "too many: {more:#?}\nmissing: {less:#?}"
    );
}

#[test]
fn recorded_histories() {
    for name in [
        "long-history",
        "datasets-basic",
        "composite-iterate",
        "older-v10",
        "workflows-run",
        "project-meta",
    ] {
        let repository = Recorded::clone_of(name);
        let project = match name {
            "project-meta" => "/projects/group/sub/projekt-met".to_owned(),
            _ => format!("/projects/group/sub/{name}"),
        };
        let mut contents = HashMap::new();
        let (mut pieces, mut texts, mut old) = (ProjectPieces::default(), Texts::new(), Files::default());
        let commits = repository.commits();
        for (number, commit) in commits.iter().enumerate() {
            let files = repository.files(commit, &mut contents);
            let change = pieces.update(&files, &host(), &files.changed_from(&old)).unwrap();
            apply(&mut texts, change);
            if number % 10 == 0 || number + 1 == commits.len() {
                check(&texts, &files, &project);
            }
            old = files;
        }
        // The symlinks that make files linked come last.
        let files = files_of(name, &repository);
        let change = pieces.update::<String>(&files, &host(), &[]).unwrap();
        apply(&mut texts, change);
        check(&texts, &files, &project);
        assert_eq!(
            pieces.clear().into_iter().collect::<BTreeSet<_>>(),
            texts.into_keys().collect()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history(steps in prop::collection::vec(prop::collection::vec(change(), 1..5), 1..7)) {
        let mut model = Model::default();
        let (mut pieces, mut texts, mut old) = (ProjectPieces::default(), Texts::new(), Files::default());
        for step in steps {
            for change in step {
                model.apply(change);
            }
            let files = model.files();
            let change = pieces.update(&files, &host(), &files.changed_from(&old)).unwrap();
            apply(&mut texts, change);
            check(&texts, &files, "/projects/a/b");
            old = files;
        }
    }
}

#[test]
fn a_small_push_makes_few_pieces() {
    let mut model = Model::large(400);
    let mut pieces = ProjectPieces::default();
    let old = model.files();
    assert!(pieces.update::<String>(&old, &host(), &[]).unwrap().put.len() > 800);
    for place in [0, 200, 399] {
        let old = model.files();
        model.insert_after(place);
        let files = model.files();
        let change = pieces.update(&files, &host(), &files.changed_from(&old)).unwrap();
        assert!(change.put.len() <= 2, "{}", change.put.len());
        assert!(change.take.is_empty());
    }
}
