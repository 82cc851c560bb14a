use crate::metadata::Workspace;

/// Which of our crates each of our libraries and roles may use. Arrows point down only, and roles never use each other:
/// `services/*` ► `groups` ► `bus` `blobs` `store` `repos` `gitlab` `auth` `runtime` ► `events` `metadata` `access` ► `rdf` ► `model`.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("rdf", &["model"]),
    ("metadata", &["rdf", "model"]),
    ("access", &["model"]),
    ("events", &["rdf", "model"]),
    ("bus", &["events", "model"]),
    ("blobs", &["model"]),
    ("store", &["access", "events", "rdf", "model"]),
    ("repos", &["metadata", "model"]),
    ("gitlab", &["model"]),
    ("auth", &["access", "gitlab", "runtime", "model"]),
    ("runtime", &["model"]),
    ("groups", &["bus", "runtime", "model"]),
];

/// Roles may use these, and no role.
const FOR_ROLES: &[&str] = &[
    "access", "auth", "blobs", "bus", "events", "gitlab", "groups", "metadata", "model", "rdf", "repos",
    "runtime", "store",
];

const ROLES: &[&str] = &[
    "webhook-service",
    "commit-fetcher",
    "triple-generator",
    "graph-writer",
    "query-service",
    "operations",
    "gateway",
    "notebooks",
];

/// The lean executable for people: an HTTP client and the metadata reader. No bus, no store.
const RENKUCTL: &[&str] = &["metadata", "rdf", "repos", "model", "gitlab"];

/// What stands on everything: the executable, tests, load tests, this tool.
const ON_TOP: &[&str] = &[
    "renkud",
    "testkit",
    "system-tests",
    "simulation",
    "gitlab-sim",
    "bench",
    "xtask",
];

/// Arrows that should not be.
pub fn faults(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    let ours: Vec<&str> = workspace.ours().map(|package| package.name.as_str()).collect();
    for package in workspace.ours() {
        let name = package.name.as_str();
        let allowed: &[&str] = if let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) {
            allowed
        } else if ROLES.contains(&name) {
            FOR_ROLES
        } else if name == "renkuctl" {
            RENKUCTL
        } else if ON_TOP.contains(&name) {
            continue;
        } else {
            faults.push(format!("{name} has no place in xtask/src/arrows.rs"));
            continue;
        };
        for used in package
            .uses
            .iter()
            .filter(|used| ours.contains(&used.name.as_str()))
        {
            let other_role = ROLES.contains(&used.name.as_str());
            // Tests may stand on more, but roles know nothing of each other even there.
            let fine = used.name == name
                || allowed.contains(&used.name.as_str())
                || (used.tests_only && !other_role);
            if !fine {
                faults.push(format!("{name} must not use {}", used.name));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metadata::{Package, Use};

    fn package(name: &str, uses: &[(&str, bool)]) -> Package {
        let uses = uses.iter().map(|(name, tests_only)| Use {
            name: (*name).to_owned(),
            tests_only: *tests_only,
        });
        Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            licence: None,
            ours: true,
            source: None,
            uses: uses.collect::<BTreeSet<_>>(),
        }
    }

    #[test]
    fn arrows_point_down() {
        let workspace = Workspace {
            packages: vec![
                package("model", &[("bus", false)]),
                package("bus", &[("model", false), ("testkit", true)]),
                package("graph-writer", &[("bus", false), ("query-service", true)]),
                package("query-service", &[]),
                package("testkit", &[("bus", false)]),
                package("stray", &[]),
            ],
        };
        assert_eq!(
            faults(&workspace),
            [
                "model must not use bus",
                "graph-writer must not use query-service",
                "stray has no place in xtask/src/arrows.rs"
            ]
        );
    }
}
