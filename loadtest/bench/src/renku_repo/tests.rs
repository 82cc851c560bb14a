use std::collections::BTreeSet;
use std::process::Command;

use super::*;
use crate::measure::child;

fn shape(activities: usize) -> Shape {
    Shape {
        seed: 5,
        slug: "group/generated".to_owned(),
        activities,
    }
}

#[test]
fn the_same_shape_gives_the_same_files() {
    let (_, first) = RenkuRepo::new(shape(30));
    let (_, second) = RenkuRepo::new(shape(30));
    assert_eq!(first, second);
    let (_, other) = RenkuRepo::new(Shape {
        slug: "group/other".to_owned(),
        ..shape(30)
    });
    assert_ne!(first, other);
}

#[test]
fn no_path_is_written_twice() {
    let (_, files) = RenkuRepo::new(shape(250));
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths.len(), files.len());
}

#[test]
fn large_indexes_are_cut_into_leaves_and_a_push_changes_few_files() {
    let (mut repo, files) = RenkuRepo::new(shape(2_500));
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path).unwrap();
        String::from_utf8(file.bytes.clone()).unwrap()
    };
    assert!(text(".renku/metadata/activities").contains("OOBucket"));
    let pushed = repo.push();
    assert!(pushed.len() <= 12, "{}", pushed.len());
    assert!(
        !pushed
            .iter()
            .any(|file| file.path == ".renku/metadata/activities")
    );
}

#[test]
fn a_small_push_matches_a_project_that_was_larger_from_the_start() {
    let (mut repo, mut files) = RenkuRepo::new(shape(30));
    for file in repo.push() {
        files.retain(|old| old.path != file.path);
        files.push(file);
    }
    files.retain(|file| !file.path.starts_with("out/"));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let (_, larger) = RenkuRepo::new(shape(31));
    assert_eq!(files, larger);
}

#[test]
fn git_takes_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let commits = write_repository(&shape(12), 3, folder.path()).unwrap();
    assert_eq!(commits.len(), 4);
    let tree = child::output(Command::new("git").arg("-C").arg(folder.path()).args([
        "ls-tree",
        "-r",
        "--name-only",
        &commits[3],
    ]))
    .unwrap();
    let tree = String::from_utf8(tree).unwrap();
    assert!(tree.lines().any(|path| path == ".renku/metadata/root"), "{tree}");
    child::output(
        Command::new("git")
            .arg("-C")
            .arg(folder.path())
            .args(["fsck", "--strict"]),
    )
    .unwrap();
}
