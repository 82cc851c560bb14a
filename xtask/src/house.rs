use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The longest source file, in lines.
const LONGEST: usize = 500;

/// The longest file of tests, in lines: one list of cases reads better than three.
const LONGEST_TESTS: usize = 800;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "utils.rs",
    "util.rs",
    "common.rs",
    "helpers.rs",
    "helper.rs",
    "misc.rs",
    "manager.rs",
];

/// Rules of the house that are broken: long files, names that say nothing, left-over marks, tests switched off.
pub fn faults(root: &Path) -> Result<Vec<String>> {
    // Assembled here, so that this file does not accuse itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("#[ig", "nore"),
    ];
    let mut faults = Vec::new();
    for file in tracked(root)?.iter().filter(|file| file.ends_with(".rs")) {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            continue;
        };
        let lines = text.lines().count();
        let most = longest(file);
        if lines > most {
            faults.push(format!("{file} has {lines} lines, more than {most}"));
        }
        if EMPTY_NAMES
            .iter()
            .any(|name| file.rsplit('/').next() == Some(name))
        {
            faults.push(format!("{file}: the name does not say what is in it"));
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(*mark)) {
                faults.push(format!("{file}:{}: {mark}", number + 1));
            }
        }
    }
    Ok(faults)
}

fn longest(file: &str) -> usize {
    let tests = file.contains("/tests/") || file.ends_with("tests.rs");
    if tests { LONGEST_TESTS } else { LONGEST }
}

fn tracked(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()
        .context("git does not start")?;
    ensure!(output.status.success(), "git ls-files failed");
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}
