//! What is refused, with the CLI's exit code and a reason.

use metadata::{MetadataError, export_full};

use crate::recorded::host;
use crate::source::{Files, Recorded};

fn error_of(files: &Files) -> MetadataError {
    export_full(files, host()).unwrap_err()
}

fn with_project(edit: impl Fn(&str) -> String) -> Files {
    let mut files = Recorded::clone_of("empty-init").head();
    let project = String::from_utf8(files.files["metadata/project"].clone()).unwrap();
    files
        .files
        .insert("metadata/project".to_owned(), edit(&project).into());
    files
}

#[test]
fn other_versions() {
    for (name, code, says) in [
        ("old-v8", 3, "renku migrate"),
        ("plain-git", 2, "not a renku repository"),
    ] {
        let error = error_of(&Recorded::clone_of(name).head());
        assert_eq!(error.exit_code(), code, "{name}");
        assert!(error.to_string().contains(says), "{error}");
    }
    for (version, code, word) in [
        ("9", 3, "migration-needed"),
        ("\"9\"", 3, "migration-needed"),
        ("\"x\"", 3, "migration-needed"),
        ("11", 4, "version-not-supported"),
    ] {
        let files = with_project(|text| text.replace("\"version\": 10", &format!("\"version\": {version}")));
        let error = error_of(&files);
        assert_eq!((error.exit_code(), error.code()), (code, word), "{version}");
    }
    let newer = with_project(|text| {
        text.replace(
            "\"minimum_renku_version\": \"2.8.0\"",
            "\"minimum_renku_version\": \"2.10\"",
        )
        .replace("\"version\": 10", "\"version\": 11")
    });
    let error = error_of(&newer);
    assert_eq!((error.exit_code(), error.code()), (1, "needs-newer-renku"));
    assert!(
        error.to_string().contains("requires at least version 2.10"),
        "{error}"
    );
}

#[test]
fn damaged_files_are_named() {
    let conflict = with_project(|_| "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n".to_owned());
    let error = error_of(&conflict);
    assert_eq!(error.exit_code(), 1);
    let text = error.to_string();
    assert!(
        text.contains(".renku/metadata/project") && text.contains("conflict markers"),
        "{text}"
    );

    let untyped = with_project(|_| "{}".to_owned());
    assert!(error_of(&untyped).to_string().contains("@renku_data_type"));

    let deep = with_project(|_| "[".repeat(200_000));
    assert_eq!(error_of(&deep).code(), "nested-too-deep");

    let packed = zstd::encode_all(std::io::Read::take(std::io::repeat(b' '), 100 << 20), 1).unwrap();
    let mut bomb = with_project(str::to_owned);
    bomb.files.insert("metadata/project".to_owned(), packed);
    assert_eq!(error_of(&bomb).code(), "object-too-large");

    let wrong = with_project(|text| text.replace("\"name\": \"", "\"name\": {}, \"x\": \""));
    let text = error_of(&wrong).to_string();
    assert!(text.contains("\"name\" of Project"), "{text}");

    let remote = with_project(|text| {
        text.replace(
            "\"annotations\": []",
            r#""annotations": [{"@renku_data_type": "x.Annotation", "@renku_data_value": {"id": "/annotations/1", "body": {"@context": "https://schema.org"}}}]"#,
        )
    });
    assert_eq!(error_of(&remote).code(), "remote-context");

    let mut missing = Recorded::clone_of("workflows-run").head();
    let path = missing
        .files
        .keys()
        .find(|path| path.matches('/').count() == 3)
        .unwrap()
        .clone();
    let all: Vec<String> = missing
        .files
        .keys()
        .filter(|path| path.matches('/').count() == 3)
        .cloned()
        .collect();
    for path in all {
        missing.files.remove(&path);
    }
    let error = error_of(&missing);
    assert_eq!(error.code(), "object-missing", "{path}");
    assert!(error.to_string().contains(".renku/metadata/"), "{error}");
}
