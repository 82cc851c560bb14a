use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use oxrdf::{Quad, Term, Triple};

use crate::recorded::{Project, fixtures, git, manifest, renkuctl};

fn find(name: &str) -> Project {
    manifest()
        .projects
        .into_iter()
        .find(|project| project.name == name)
        .unwrap()
}

/// The triples of a JSON-LD file, by a parser that is not ours. IRIs that it refuses are told apart by their text alone,
/// so they are made acceptable on both sides; so are integral doubles, which it reads as integers.
fn triples(json: &[u8]) -> BTreeSet<String> {
    let text = std::str::from_utf8(json).unwrap().replace("_:b", "/blank/b");
    oxjsonld::JsonLdParser::new()
        .for_slice(text.as_bytes())
        .map(|quad| Triple::from(quad.unwrap()).to_string())
        .collect()
}

fn export(folder: &Path, more: &[&str]) -> Vec<u8> {
    let arguments = [&["graph", "export", folder.to_str().unwrap()], more].concat();
    let output = renkuctl(&arguments, &[]);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn every_export_is_the_clis() {
    let parent = tempfile::tempdir().unwrap();
    let mut pairs = String::new();
    for (number, project) in manifest().projects.iter().enumerate() {
        let folder = project.clone_into(parent.path(), number % 2 == 0);
        for wanted in &project.exports {
            let more: Vec<&str> = wanted.revision.iter().flat_map(|r| ["--revision", r]).collect();
            let printed = export(&folder, &more);
            let expected = fixtures().join(&wanted.file);
            assert!(
                triples(&printed) == triples(&std::fs::read(&expected).unwrap()),
                "{}",
                wanted.file
            );
            let ours = parent.path().join(&wanted.file);
            std::fs::write(&ours, printed).unwrap();
            pairs.push_str(&format!("{}\t{}\n", expected.display(), ours.display()));
        }
    }
    compare_with_rdflib(&pairs);
}

/// The same comparison by another RDF library, in one process. Its virtual environment is made on the first run.
fn compare_with_rdflib(pairs: &str) {
    let home = std::env::home_dir().unwrap();
    let venv = home.join(".cache/renku-graph/rdflib-venv");
    let python = venv.join("bin/python");
    let has_rdflib = || {
        let mut check = Command::new(&python);
        check.args(["-c", "import rdflib"]).stderr(Stdio::null());
        check.status().is_ok_and(|status| status.success())
    };
    if !has_rdflib() {
        let run = |program: &Path, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).status().unwrap();
            assert!(status.success(), "{} {arguments:?}", program.display());
        };
        run(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()]);
        run(&python, &["-m", "pip", "install", "-q", "rdflib>=6.3,<8"]);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools/compare-all.py");
    let mut child = Command::new(&python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(pairs.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn what_the_cli_refuses_is_refused_with_its_code() {
    let parent = tempfile::tempdir().unwrap();
    for (name, code, says) in [
        (
            "old-v8",
            3,
            "Project version is outdated and a migration is required. Run `renku migrate`",
        ),
        ("plain-git", 2, "is not a renku repository."),
    ] {
        let folder = find(name).clone_into(parent.path(), true);
        let output = renkuctl(&["graph", "export", folder.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(code), "{name}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("Error: ") && text.contains(says), "{text}");
        assert!(output.stdout.is_empty());
    }
    let empty = parent.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    git(&empty, &["init", "-q"]);
    for folder in [empty.as_path(), Path::new("/")] {
        let output = renkuctl(&["graph", "export", folder.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(2), "{}", folder.display());
    }
    let folder = find("empty-init").clone_into(parent.path(), false);
    let at = |more: &[&str]| {
        let output = renkuctl(
            &[&["graph", "export", folder.to_str().unwrap()], more].concat(),
            &[],
        );
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(at(&["--revision", "nothing"]).0, Some(1));
    assert_eq!(at(&["--revision", "nothing..HEAD"]), (Some(0), "[]\n".to_owned()));
    assert_eq!(at(&["--revision", "HEAD..HEAD"]), (Some(0), "[]\n".to_owned()));
    assert_eq!(at(&["--revision", "HEAD..HEAD", "--full"]), at(&[]));
    assert_eq!(at(&["--revision", ""]), at(&[]));
    assert_eq!(at(&["--strict"]).0, Some(1));
    assert_eq!(at(&["--format", "csv"]).0, Some(2));
}

#[test]
fn every_format_has_the_same_triples() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["datasets-basic", "workflows-run"] {
        let folder = find(name).clone_into(parent.path(), true);
        let expected = triples(&export(&folder, &[]));
        let nt = export(&folder, &["--format", "nt"]);
        let nt: BTreeSet<String> = oxttl::NTriplesParser::new()
            .for_slice(&nt)
            .map(|t| t.unwrap().to_string())
            .collect();
        assert_eq!(nt.len(), expected.len());
        let ttl = export(&folder, &["--format", "turtle"]);
        let ttl = oxttl::TurtleParser::new()
            .for_slice(&ttl)
            .map(|t| t.unwrap().to_string())
            .collect();
        assert!(nt == ttl, "{name}");
        let xml = export(&folder, &["--format", "rdf"]);
        let xml = oxrdfxml::RdfXmlParser::new()
            .for_slice(&xml)
            .map(|t| t.unwrap().to_string())
            .collect();
        assert!(nt == xml, "{name}");
        let has_no_doubles = !nt.iter().any(|line| line.contains("#double"));
        assert!(!has_no_doubles || nt == expected, "{name}");
        assert!(export(&folder, &["--format", "dot"]).starts_with(b"digraph {"));
    }
}

#[test]
fn the_host_follows_the_clis_rule() {
    let parent = tempfile::tempdir().unwrap();
    let folder = find("empty-init").clone_into(parent.path(), false);
    let path = folder.to_str().unwrap();
    let host_of = |variables: &[(&str, &str)]| {
        let output = renkuctl(&["graph", "export", path], variables);
        assert!(output.status.success());
        let quad: Quad = oxjsonld::JsonLdParser::new()
            .for_slice(&output.stdout)
            .map(Result::unwrap)
            .find(|quad| {
                quad.predicate.as_str().ends_with("#type")
                    && matches!(&quad.object, Term::NamedNode(n) if n.as_str().ends_with("/Project"))
            })
            .unwrap();
        quad.subject.to_string().split('/').nth(2).unwrap().to_owned()
    };
    assert_eq!(host_of(&[]), "example.org");
    assert_eq!(host_of(&[("RENKU_DOMAIN", "other.net")]), "other.net");
    git(&folder, &["remote", "add", "second", "https://second.org/x"]);
    assert_eq!(host_of(&[]), "example.org");
    git(&folder, &["config", "branch.master.remote", "second"]);
    git(&folder, &["config", "branch.master.merge", "refs/heads/master"]);
    git(
        &folder,
        &["remote", "set-url", "second", "git@gitlab.second.org:a/b.git"],
    );
    assert_eq!(host_of(&[]), "second.org");
    git(&folder, &["remote", "remove", "second"]);
    git(&folder, &["remote", "set-url", "origin", "/a/path"]);
    assert_eq!(host_of(&[]), "localhost");
    git(&folder, &["remote", "set-url", "origin", "https://a_b.org/x"]);
    assert_eq!(renkuctl(&["graph", "export", path], &[]).status.code(), Some(1));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let parent = tempfile::tempdir().unwrap();
    let folder = find("long-history").clone_into(parent.path(), true);
    let mut child = Command::new(env!("CARGO_BIN_EXE_renkuctl"))
        .args(["graph", "export", folder.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
