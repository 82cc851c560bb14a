use std::sync::Arc;

use gitlab_sim::Commit;
use repos::{FetchError, FetchLimits, Way};

use crate::fetching::{AB, EF, Fetching, metadata, mirrors, project};
use crate::stage::{git, stage};

#[tokio::test(flavor = "multi_thread")]
async fn first_and_next_commits() {
    let stage = stage().await;
    let fetching = project(&stage, FetchLimits::default()).await;
    let first = metadata(&[
        (AB, "one"),
        (EF, "two"),
        (".renku/metadata/root", "{}"),
        (".renku/metadata.yml", "version: 9"),
        (".renku/renku.ini", "ignored"),
        ("data/file", "ignored"),
    ]);
    let sha = stage.sim.commit(fetching.project, first).await.unwrap();
    let fetched = fetching.head().await.unwrap();
    assert_eq!(fetched.way, Way::Git);
    assert_eq!(fetched.commit.sha.to_string(), sha);
    assert_eq!(fetched.commit.title, "Change metadata");
    assert_eq!(fetched.commit.author.name, "Administrator");
    assert!(fetched.commit.parents.is_empty() && fetched.linked.is_empty());
    assert_eq!(fetched.r#ref, "refs/heads/main");
    assert_eq!(
        fetched
            .folders
            .iter()
            .map(|folder| folder.key.as_str())
            .collect::<Vec<_>>(),
        ["", "ab", "ef"]
    );
    let contents = fetching.contents(&fetched);
    assert_eq!(
        contents.keys().collect::<Vec<_>>(),
        [
            "metadata.yml",
            "metadata/ab/cd/abcd0000",
            "metadata/ef/01/ef010000",
            "metadata/root"
        ]
    );
    assert_eq!(contents["metadata/ab/cd/abcd0000"], b"one");

    let next = stage
        .sim
        .commit(fetching.project, metadata(&[(AB, "changed")]))
        .await
        .unwrap();
    let again = fetching.head().await.unwrap();
    assert_eq!(again.commit.sha.to_string(), next);
    assert_eq!(again.commit.parents, [fetched.commit.sha]);
    assert_eq!(fetching.contents(&again)["metadata/ab/cd/abcd0000"], b"changed");
    // Unchanged folders keep their name and are the same list; changed ones get another.
    assert_eq!(again.folders[2], fetched.folders[2]);
    assert!(Arc::ptr_eq(&again.folders[2].files, &fetched.folders[2].files));
    assert_ne!(again.folders[1].name, fetched.folders[1].name);
    assert!(
        again.bytes < fetched.bytes + 1_000,
        "{} {}",
        again.bytes,
        fetched.bytes
    );

    assert_eq!(fetching.head().await.unwrap().way, Way::Mirror);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_by_difference_are_whole_lists() {
    let stage = stage().await;
    let fetching = project(&stage, FetchLimits::default()).await;
    let mut seed = 7_u32;
    let mut below = |limit: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % limit
    };
    for round in 0..40 {
        let mut commit = metadata(&[(".renku/metadata/root", &format!("{round}"))]);
        for _ in 0..below(8) {
            // Few folders, so that files come, change and go beside others; also files and folders of one name.
            let deep = ["/x", "/x/y", "", "/z"][below(4) as usize];
            let path = format!(".renku/metadata/a{}/c{}{deep}", below(2), below(4));
            let content = (below(3) > 0).then(|| format!("{round} {}", below(3)));
            commit.files.insert(path, content);
        }
        stage.sim.commit(fetching.project, commit).await.unwrap();
        let step = fetching.head().await.unwrap();
        let fresh = Fetching {
            mirrors: mirrors(&stage, stage.sim.token(), FetchLimits::default()),
            slug: fetching.slug.clone(),
            project: fetching.project,
        };
        let whole = fresh.head().await.unwrap();
        assert_eq!(step.folders, whole.folders, "round {round}");
        assert_eq!(fetching.contents(&step), fresh.contents(&whole));
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_stay_where_they_are() {
    let stage = stage().await;
    let fetching = project(
        &stage,
        FetchLimits {
            inline_blob: 1_000,
            ..FetchLimits::default()
        },
    )
    .await;
    let noise: String = (0..200_000_u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
        .collect();
    let commit = metadata(&[("data/big", &noise), (AB, &noise[..5_000]), (EF, "small")]);
    stage.sim.commit(fetching.project, commit).await.unwrap();
    let fetched = fetching.head().await.unwrap();
    assert!(fetched.bytes < 50_000, "{}", fetched.bytes);
    // Metadata above the size is fetched all the same.
    assert_eq!(
        fetching.contents(&fetched)["metadata/ab/cd/abcd0000"].len(),
        5_000
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_move_go_and_are_odd() {
    let stage = stage().await;
    let sim = &stage.sim;
    let fetching = project(&stage, FetchLimits::default()).await;
    assert!(matches!(fetching.head().await, Err(FetchError::NoBranch(_))));
    sim.commit(fetching.project, metadata(&[(AB, "one")]))
        .await
        .unwrap();
    sim.commit(fetching.project, metadata(&[(AB, "two")]).on("main2"))
        .await
        .unwrap();
    assert_eq!(
        fetching.contents(&fetching.head().await.unwrap())["metadata/ab/cd/abcd0000"],
        b"one"
    );
    // A forced push of another history.
    let forced = sim
        .commit(
            fetching.project,
            Commit {
                orphan: true,
                ..metadata(&[(EF, "new")])
            },
        )
        .await
        .unwrap();
    let fetched = fetching.head().await.unwrap();
    assert_eq!(fetched.commit.sha.to_string(), forced);
    assert_eq!(fetching.contents(&fetched).len(), 1);
    assert_eq!(
        fetching.contents(&fetching.of("main2").await.unwrap())["metadata/ab/cd/abcd0000"],
        b"two"
    );
    // Back again, to a commit that the mirror has seen before.
    assert_eq!(fetching.head().await.unwrap().commit.sha.to_string(), forced);
    sim.delete_branch(fetching.project, "main").await.unwrap();
    assert!(matches!(fetching.head().await, Err(FetchError::NoBranch(_))));
    for hostile in ["a b", "x\n0000", "../../etc", "x:y", "*", "--upload-pack=touch"] {
        let error = fetching.of(hostile).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Rejected(_) | FetchError::NoBranch(_)),
            "{hostile:?}: {error}"
        );
    }
    // A plain repository has no metadata.
    sim.commit(
        fetching.project,
        Commit {
            orphan: true,
            ..Commit::file("README", "x")
        },
    )
    .await
    .unwrap();
    assert!(fetching.head().await.unwrap().folders.is_empty());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_submodules_are_left_out() {
    let stage = stage().await;
    let fetching = project(&stage, FetchLimits::default()).await;
    let folder = stage.folder.path().join("work");
    std::fs::create_dir_all(folder.join(".renku/metadata/ab/cd")).unwrap();
    std::fs::create_dir_all(folder.join(".renku/pointers")).unwrap();
    std::fs::create_dir_all(folder.join("data/ds")).unwrap();
    let link = |text: &str, at: &str| std::os::unix::fs::symlink(text, folder.join(at)).unwrap();
    std::fs::write(folder.join(AB), "one").unwrap();
    std::fs::write(folder.join("data/real"), "here").unwrap();
    link("/etc/passwd", ".renku/metadata/ab/cd/abcd1111");
    link("/elsewhere/file", ".renku/pointers/outside");
    link("../../data/real", ".renku/pointers/inside");
    link("../../.renku/pointers/outside", "data/ds/outside");
    link("../../.renku/pointers/inside", "data/ds/inside");
    link("real", "data/other");
    git(&folder, &["init", "-q", "-b", "main", "."]).await.unwrap();
    git(&folder, &["add", "-A"]).await.unwrap();
    let gitlink = format!("160000,{},.renku/metadata/ab/cd/abcd2222", "1".repeat(40));
    git(&folder, &["update-index", "--add", "--cacheinfo", &gitlink])
        .await
        .unwrap();
    git(&folder, &["commit", "-q", "-m", "x"]).await.unwrap();
    git(
        &folder,
        &["push", "-q", &stage.sim.git_url("group/project"), "main"],
    )
    .await
    .unwrap();
    let fetched = fetching.head().await.unwrap();
    assert_eq!(
        fetching.contents(&fetched).keys().collect::<Vec<_>>(),
        ["metadata/ab/cd/abcd0000"]
    );
    assert_eq!(
        (fetched.ignored, fetched.linked.as_slice()),
        (2, &["data/ds/inside".to_owned()][..])
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_a_cache() {
    let stage = stage().await;
    let fetching = project(&stage, FetchLimits::default()).await;
    stage
        .sim
        .commit(fetching.project, metadata(&[(AB, "one")]))
        .await
        .unwrap();
    let fetched = fetching.head().await.unwrap();
    let mirror = stage
        .folder
        .path()
        .join("mirrors")
        .join(format!("{:02x}", fetching.project.get() % 256));
    // Deleted behind our back.
    std::fs::remove_dir_all(&mirror).unwrap();
    let blob = fetched.folders[0].files[0].blob;
    assert!(matches!(
        fetching.mirrors.read(fetching.project, &[blob]),
        Err(FetchError::NotInMirror(_))
    ));
    assert_eq!(fetching.contents(&fetching.head().await.unwrap()).len(), 1);
    // Damaged: packs of nonsense, seen by a new process.
    let packs = mirror.join(format!("{}.git/objects/pack", fetching.project));
    for entry in std::fs::read_dir(&packs).unwrap() {
        let path = entry.unwrap().path();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "nonsense").unwrap();
    }
    std::fs::write(packs.join("pack_git2_left"), "half").unwrap();
    let other = Fetching {
        mirrors: mirrors(&stage, stage.sim.token(), FetchLimits::default()),
        ..fetching
    };
    assert_eq!(other.contents(&other.head().await.unwrap()).len(), 1);
    assert!(!packs.join("pack_git2_left").exists());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_packs_are_joined() {
    let stage = stage().await;
    let fetching = project(&stage, FetchLimits::default()).await;
    let packs = stage
        .folder
        .path()
        .join(format!("mirrors/{:02x}/{}.git/objects/pack", 1, fetching.project));
    let count = || {
        std::fs::read_dir(&packs)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().unwrap() == "pack")
            .count()
    };
    let mut most = 0;
    for round in 0..70 {
        let path = format!(".renku/metadata/{:02x}/cd/{round:08x}", round % 7);
        stage
            .sim
            .commit(fetching.project, metadata(&[(&path, &round.to_string())]))
            .await
            .unwrap();
        let fetched = fetching.head().await.unwrap();
        assert_eq!(fetching.contents(&fetched).len(), round + 1);
        most = most.max(count());
        fetching.mirrors.tidy(fetching.project).unwrap();
    }
    assert_eq!(most, 64);
    assert!(count() < 10, "{}", count());
    stage.end().await;
}
