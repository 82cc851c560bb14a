//! What must be true when everything has healed.

use std::time::Instant;

use model::{Day, ProjectId};

use super::projects::Projects;
use super::site::{LASTING, LONG, NODES, Site};
use testkit::eventually;

/// Counters that must stay 0.
const NEVER: [&str; 2] = ["renku_canary_seen_total", "renku_query_withheld_total"];

/// Pushes once more to each project, and waits until everything that was accepted is on both nodes. `after`: deliveries up to
/// this number were looked at before. How many hooks were accepted since, and the newest delivery.
pub fn settle(site: &mut Site, projects: &mut Projects, after: u64) -> (usize, u64) {
    let began = Instant::now();
    site.wait_until_ready(0..LASTING);
    let ready = began.elapsed();
    let heads: Vec<String> = (0..projects.all.len()).map(|at| projects.push(at)).collect();
    eventually("an accepted hook of each last push", LONG, || {
        let deliveries = site.sim.deliveries(after);
        let accepted: std::collections::HashSet<&str> = deliveries
            .iter()
            .filter(|delivery| delivery.status == Some(202))
            .filter_map(|delivery| delivery.after.as_deref())
            .collect();
        let missing: Vec<&String> = heads
            .iter()
            .filter(|head| !accepted.contains(head.as_str()))
            .collect();
        match missing[..] {
            [] => Ok(()),
            [first, ..] => Err(format!("{} are missing, e.g. of {first}", missing.len())),
        }
    });
    let deliveries = site.sim.deliveries(after);
    let positions: Vec<String> = deliveries
        .iter()
        .filter(|delivery| delivery.status == Some(202))
        .filter_map(|delivery| delivery.position.clone())
        .collect();
    assert!(!positions.is_empty());
    let accepted = began.elapsed();
    for node in NODES {
        site.wait_until_covered(node, &positions);
    }
    println!(
        "settled: ready after {ready:?}, accepted after {accepted:?}, covered after {:?}",
        began.elapsed()
    );
    let newest = deliveries.iter().map(|delivery| delivery.number).max();
    (positions.len(), newest.unwrap_or(after))
}

/// Both nodes have every graph as its repository says it, each generation was applied once, and both have the same. How many
/// generations the first one applied that the other rounds did not count.
pub fn compare(site: &Site, projects: &Projects, every: usize) -> u64 {
    let mut applied = 0;
    for node in NODES {
        let reader = site.open_view(node);
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(snapshot.rejects().unwrap(), [], "{}", Site::name(node));
        let all = snapshot
            .visible(&access::Caller::Administrator, Day::default())
            .unwrap();
        for (at, project) in projects.all.iter().enumerate() {
            let log = snapshot.applied_log(project.id).unwrap();
            let doubled: Vec<_> = log.iter().filter(|(_, times)| *times != 1).collect();
            assert!(doubled.is_empty(), "{}: {doubled:?}", project.slug);
            if node == NODES[0] {
                applied += log.len() as u64;
            }
            if at % every != 0 {
                continue;
            }
            let (expected, head) = projects.expected(at);
            let found = snapshot.content_digest(&all, project.id).unwrap();
            assert_eq!(
                found,
                expected,
                "{} has another graph of {} than its head {head}",
                Site::name(node),
                project.slug
            );
        }
    }
    let [one, other] = NODES.map(|node| digest(site, node));
    assert_eq!(one, other, "the nodes have different views");
    let graphs = projects.public_graphs();
    for node in NODES {
        let client = site.client();
        let text = Site::public_answer(
            &client,
            &site.handle(),
            site.public_port(node),
            "SELECT ?g { GRAPH ?g {} } ORDER BY ?g",
        );
        let text = text.expect("an answer");
        let mut seen: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
        seen.sort_unstable();
        assert_eq!(seen, graphs, "{}", Site::name(node));
        let (_, metrics) = site.get(node, "/metrics", None);
        for name in NEVER {
            let found = metrics.lines().find(|line| line.starts_with(name));
            assert!(found.is_some_and(|line| line.ends_with(" 0")), "{found:?}");
        }
    }
    applied
}

pub fn digest(site: &Site, node: usize) -> String {
    let reader = site.open_view(node);
    let digest = reader.snapshot().unwrap().digest().unwrap();
    digest.to_string()
}

/// A node that lost its view makes it again, the same.
pub fn rebuild(site: &mut Site, node: usize) {
    let before = digest(site, node);
    site.stop(node);
    std::fs::remove_dir_all(site.views(node)).unwrap();
    site.run(node);
    site.wait_until_ready([node]);
    assert_eq!(before, digest(site, node), "the rebuilt view is another one");
}

/// Everybody's answers while things go wrong: no name of a project that never was anything but private.
pub fn shows_nothing_secret(text: &str, of: &[ProjectId]) -> Result<(), String> {
    match text.lines().find(|line| line.contains(super::projects::SECRET)) {
        None => Ok(()),
        Some(line) => Err(format!("{line} is shown to everybody; {} are secret", of.len())),
    }
}
