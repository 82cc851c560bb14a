use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::metadata::Workspace;

/// The part of `deny.toml` that is checked here, without network and without cargo-deny.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    name: String,
    wrappers: Vec<String>,
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What is linked and should not be.
pub fn faults(root: &Path, workspace: &Workspace) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml cannot be read")?;
    let rules: Rules = toml::from_str(&text).context("deny.toml is not understood")?;
    let mut faults = Vec::new();
    for package in &workspace.packages {
        let what = format!("{} {}", package.name, package.version);
        match &package.licence {
            None if !package.ours => faults.push(format!("{what} names no licence")),
            Some(licence) if !allowed(licence, &rules.licenses.allow) => {
                faults.push(format!("{what}: the licence {licence} is not in deny.toml"));
            }
            _ => {}
        }
        if !package.ours && package.source.as_deref() != Some(CRATES_IO) {
            faults.push(format!("{what} comes from elsewhere than crates.io"));
        }
        for used in &package.uses {
            let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == used.name) else {
                continue;
            };
            // A test may look at a file with the owner's library; what ships may not.
            let in_a_test = package.ours && used.tests_only;
            let fine = ban.wrappers.contains(&package.name) || in_a_test || is_bench(&package.name);
            if !fine {
                faults.push(format!(
                    "{} must not use {}: {}",
                    package.name,
                    used.name,
                    owners(&ban.wrappers)
                ));
            }
        }
    }
    Ok(faults)
}

/// Benchmarks measure peers, which are such crates.
fn is_bench(name: &str) -> bool {
    name == "bench"
}

fn owners(wrappers: &[String]) -> String {
    if wrappers.is_empty() {
        "nobody may".to_owned()
    } else {
        format!("only {} may", wrappers.join(", "))
    }
}

/// Reads an SPDX expression: `A OR B`, `A AND B`, brackets, and crates.io's old `A/B`.
fn allowed(expression: &str, allow: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, allow) && rest.is_empty()
}

fn either(words: &mut &[&str], allow: &[String]) -> bool {
    let mut fine = both(words, allow);
    while let Some(("OR", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        fine |= both(words, allow);
    }
    fine
}

fn both(words: &mut &[&str], allow: &[String]) -> bool {
    let mut fine = one(words, allow);
    while let Some(("AND", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        fine &= one(words, allow);
    }
    fine
}

fn one(words: &mut &[&str], allow: &[String]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    *words = rest;
    if *first == "(" {
        let fine = either(words, allow);
        let closed = words.first() == Some(&")");
        *words = words.get(1..).unwrap_or_default();
        return fine && closed;
    }
    let mut name = (*first).to_owned();
    if let [with, exception, rest @ ..] = *words
        && *with == "WITH"
    {
        name = format!("{name} WITH {exception}");
        *words = rest;
    }
    allow.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        let allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for fine in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(allowed(fine, &allow), "{fine}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "(MIT", "MIT)"] {
            assert!(!allowed(bad, &allow), "{bad}");
        }
    }
}
