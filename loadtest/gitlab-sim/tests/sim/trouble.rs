use std::time::Duration;

use gitlab_sim::{Change, Commit, Fault, Sim, Surface};
use repos::{Cancel, FetchError, FetchLimits, RemoteBranch, Way};

use crate::fetching::{AB, EF, Fetching, metadata, mirrors, project};
use crate::stage::stage;

fn struck(sim: &Sim, fault: Fault) {
    sim.set_faults(vec![fault]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_for_git_comes_as_an_archive() {
    let stage = stage().await;
    // No pack has so few objects.
    let fetching = project(
        &stage,
        FetchLimits {
            pack_objects: 3,
            ..FetchLimits::default()
        },
    )
    .await;
    let pairs = [
        (AB, "one"),
        (EF, "two"),
        (".renku/metadata.yml", "v"),
        (".renku/other/x", "-"),
        ("data/x", "-"),
    ];
    let sha = stage
        .sim
        .commit(fetching.project, metadata(&pairs))
        .await
        .unwrap();
    let fetched = fetching.head().await.unwrap();
    assert_eq!((fetched.way, fetched.commit.sha.to_string()), (Way::Archive, sha));
    assert_eq!(
        (fetched.commit.title.as_str(), fetched.commit.author.name.as_str()),
        ("Change metadata", "Administrator")
    );
    let contents = fetching.contents(&fetched);
    assert_eq!(
        contents.keys().collect::<Vec<_>>(),
        [
            "metadata.yml",
            "metadata/ab/cd/abcd0000",
            "metadata/ef/01/ef010000"
        ]
    );
    // The ids are git's own.
    let by_git = Fetching {
        mirrors: mirrors(&stage, stage.sim.token(), FetchLimits::default()),
        ..fetching
    };
    by_git.mirrors.forget(by_git.project).unwrap();
    let again = by_git.head().await.unwrap();
    assert_eq!(again.way, Way::Git);
    for (left, right) in again.folders.iter().zip(&fetched.folders) {
        assert_eq!((&left.key, &left.files), (&right.key, &right.files));
    }
    // Without metadata there is no archive of the folder.
    let small = FetchLimits {
        pack_objects: 1,
        ..FetchLimits::default()
    };
    let archive = Fetching {
        mirrors: mirrors(&stage, stage.sim.token(), small),
        ..by_git
    };
    stage
        .sim
        .commit(
            archive.project,
            Commit {
                orphan: true,
                ..Commit::file("README", "x")
            },
        )
        .await
        .unwrap();
    let fetched = archive.head().await.unwrap();
    assert_eq!((fetched.way, fetched.folders.len()), (Way::Archive, 0));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told() {
    let stage = stage().await;
    let limits = FetchLimits {
        metadata_files: 2,
        metadata_file_bytes: 100,
        ..FetchLimits::default()
    };
    let fetching = project(&stage, limits).await;
    let long = "x".repeat(101);
    stage
        .sim
        .commit(fetching.project, metadata(&[(AB, &long)]))
        .await
        .unwrap();
    let error = fetching.head().await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Rejected(why) if why.contains("abcd0000")),
        "{error}"
    );
    stage
        .sim
        .commit(
            fetching.project,
            metadata(&[(AB, "1"), (EF, "2"), (".renku/metadata/root", "3")]),
        )
        .await
        .unwrap();
    let error = fetching.head().await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Rejected(why) if why.contains("metadata files")),
        "{error}"
    );
    let tight = FetchLimits {
        bytes: 600,
        ..FetchLimits::default()
    };
    let other = Fetching {
        mirrors: mirrors(&stage, stage.sim.token(), tight),
        ..fetching
    };
    other.mirrors.forget(other.project).unwrap();
    let noise: String = (0..20_000_u32)
        .map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 20) as u8 % 90))
        .collect();
    stage
        .sim
        .commit(other.project, metadata(&[(AB, &noise), (EF, "")]))
        .await
        .unwrap();
    assert!(matches!(other.head().await, Err(FetchError::TooLarge(_))));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_git_are_sorted() {
    let stage = stage().await;
    let sim = &stage.sim;
    let fetching = project(
        &stage,
        FetchLimits {
            idle: Duration::from_millis(300),
            ..FetchLimits::default()
        },
    )
    .await;
    sim.commit(fetching.project, metadata(&[(AB, "one")]))
        .await
        .unwrap();
    struck(sim, Fault::on(Surface::Git).status(503));
    assert!(matches!(fetching.head().await, Err(FetchError::Down { .. })));
    struck(
        sim,
        Fault {
            retry_after: Some(9),
            ..Fault::on(Surface::Git).status(429)
        },
    );
    assert!(matches!(
        fetching.head().await,
        Err(FetchError::Busy { retry_after: Some(_) })
    ));
    struck(sim, Fault::on(Surface::Git).status(401));
    assert!(matches!(fetching.head().await, Err(FetchError::Refused(401))));
    struck(
        sim,
        Fault {
            garbage: true,
            ..Fault::on(Surface::Git)
        },
    );
    assert!(matches!(fetching.head().await, Err(FetchError::Garbage(_))));
    struck(
        sim,
        Fault::on(Surface::Git).delay(Duration::from_secs(2)).times(1),
    );
    let error = fetching.head().await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Down { why, .. } if why.contains("too long")),
        "{error}"
    );
    sim.set_faults(vec![]);
    assert_eq!(fetching.head().await.unwrap().way, Way::Git);
    // Broken off at any place: an error, and the mirror is as it was.
    for bytes in [0, 3, 50, 150, 300] {
        sim.commit(fetching.project, metadata(&[(AB, &format!("after {bytes}"))]))
            .await
            .unwrap();
        struck(
            sim,
            Fault {
                break_after: Some(bytes),
                path: Some("upload-pack".into()),
                ..Fault::on(Surface::Git)
            },
        );
        match fetching.head().await {
            Err(FetchError::Down { .. } | FetchError::Garbage(_)) => {}
            other => panic!("{bytes}: {other:?}"),
        }
        sim.set_faults(vec![]);
        let fetched = fetching.head().await.unwrap();
        assert_eq!(
            fetching.contents(&fetched)["metadata/ab/cd/abcd0000"],
            format!("after {bytes}").as_bytes()
        );
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_hidden_and_gone() {
    let stage = stage().await;
    let fetching = project(&stage, FetchLimits::default()).await;
    stage
        .sim
        .commit(fetching.project, metadata(&[(AB, "one")]))
        .await
        .unwrap();
    let refused = Fetching {
        mirrors: mirrors(&stage, "wrong-token", FetchLimits::default()),
        slug: fetching.slug.clone(),
        ..fetching
    };
    let error = refused.head().await.unwrap_err();
    assert!(matches!(error, FetchError::Refused(401)), "{error}");
    assert!(!format!("{error} {error:?}").contains("wrong-token"));
    stage
        .sim
        .change_project(
            fetching.project,
            Change {
                slug: Some("group/other".into()),
                ..Change::default()
            },
        )
        .await
        .unwrap();
    assert!(matches!(fetching.head().await, Err(FetchError::NoRepository)));
    let renamed = Fetching {
        slug: "group/other".parse().unwrap(),
        ..fetching
    };
    assert!(renamed.head().await.is_ok());
    let cancel = Cancel::new();
    cancel.cancel();
    let from = RemoteBranch {
        slug: &renamed.slug,
        branch: "main",
        token: None,
    };
    let stopped = tokio::task::block_in_place(|| renamed.mirrors.fetch(renamed.project, &from, &cancel));
    assert!(matches!(stopped, Err(FetchError::Cancelled)));
    stage.end().await;
}
