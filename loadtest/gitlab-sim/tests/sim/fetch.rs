use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitlab_sim::{Change, Commit, Fault, NewProject, Sim, Surface};
use model::{ProjectId, Secret, Slug};
use repos::{Cancel, FetchError, FetchLimits, Fetched, MirrorSettings, Mirrors, RemoteBranch, Way};

use crate::stage::{Stage, files, git, stage};

struct Fetching {
    mirrors: Arc<Mirrors>,
    slug: Slug,
    project: ProjectId,
}

fn mirrors(stage: &Stage, token: &str, limits: FetchLimits) -> Arc<Mirrors> {
    let settings = MirrorSettings {
        folder: stage.folder.path().join("mirrors"),
        gitlab: stage.sim.url().parse().unwrap(),
        token: Some(Secret::new(token)),
        limits,
    };
    Arc::new(Mirrors::open(settings).unwrap())
}

async fn project(stage: &Stage, limits: FetchLimits) -> Fetching {
    let project = stage
        .sim
        .create_project(NewProject::new("group/project"))
        .await
        .unwrap();
    Fetching {
        mirrors: mirrors(stage, stage.sim.token(), limits),
        slug: "group/project".parse().unwrap(),
        project,
    }
}

impl Fetching {
    async fn of(&self, branch: &str) -> Result<Fetched, FetchError> {
        let (mirrors, slug, project, branch) = (
            self.mirrors.clone(),
            self.slug.clone(),
            self.project,
            branch.to_owned(),
        );
        let fetch = move || {
            let from = RemoteBranch {
                slug: &slug,
                branch: &branch,
                token: None,
            };
            mirrors.fetch(project, &from, &Cancel::new())
        };
        tokio::task::spawn_blocking(fetch).await.unwrap()
    }

    async fn head(&self) -> Result<Fetched, FetchError> {
        self.of("main").await
    }

    /// Contents of all files, by path.
    fn contents(&self, fetched: &Fetched) -> BTreeMap<String, Vec<u8>> {
        let files: Vec<_> = fetched
            .folders
            .iter()
            .flat_map(|folder| folder.files.iter())
            .collect();
        let blobs: Vec<_> = files.iter().map(|file| file.blob).collect();
        let contents = self.mirrors.read(self.project, &blobs).unwrap();
        files
            .iter()
            .zip(contents)
            .map(|(file, content)| (file.path.to_string(), content.to_vec()))
            .collect()
    }
}

fn metadata(pairs: &[(&str, &str)]) -> Commit {
    Commit {
        files: files(pairs),
        message: "Change metadata\n\nmore".into(),
        ..Commit::file("x", "")
    }
}

const AB: &str = ".renku/metadata/ab/cd/abcd0000";
const EF: &str = ".renku/metadata/ef/01/ef010000";

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

fn struck(sim: &Sim, fault: Fault) {
    sim.set_faults(vec![fault]);
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
