use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Metrics that do not come from us: Prometheus's own, and node_exporter's.
const FOREIGN: &[&str] = &[
    "up",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal_bytes",
];

const RULES: &str = "deploy/alerts";
const TESTS: &str = "deploy/alerts/tests";
const DASHBOARDS: &str = "deploy/dashboards";
const RUNBOOK: &str = "docs/runbooks/operate.md";

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TestFile {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    name: String,
}

/// What is wrong with the alert rules, their tests and the dashboards: promtool's word, metrics that no catalogue
/// names, alerts without a severity, a text, a section of the runbook, or tests of both kinds.
pub fn faults(root: &Path) -> Result<Vec<String>> {
    let (rule_files, test_files) = (files(root, RULES, "yaml")?, files(root, TESTS, "yaml")?);
    let mut faults = promtool(root, "check", &rule_files)?;
    faults.extend(promtool(root, "test", &test_files)?);

    let known = catalogue(&read(&root.join("docs/metrics.md"))?);
    let sections = sections(&read(&root.join(RUNBOOK))?);
    let mut tests = BTreeSet::new();
    for file in &test_files {
        let parsed: TestFile = serde_yaml_ng::from_str(&read(file)?)?;
        tests.extend(parsed.tests.into_iter().map(|test| test.name));
    }
    for file in &rule_files {
        let parsed: RuleFile = serde_yaml_ng::from_str(&read(file)?)
            .with_context(|| format!("{} is no file of alerts", file.display()))?;
        for rule in parsed.groups.iter().flat_map(|group| &group.rules) {
            faults.extend(rule_faults(rule, &sections, &tests));
            faults.extend(unknown(&rule.alert, &rule.expr, &known));
        }
    }
    for file in files(root, DASHBOARDS, "json")? {
        let dashboard: serde_json::Value =
            serde_json::from_str(&read(&file)?).with_context(|| format!("{} is no JSON", file.display()))?;
        let mut exprs = Vec::new();
        collect_exprs(&dashboard, &mut exprs);
        for expr in exprs {
            faults.extend(unknown("a panel", expr, &known));
        }
    }
    Ok(faults)
}

fn rule_faults(rule: &Rule, sections: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<String> {
    let alert = &rule.alert;
    let mut faults = Vec::new();
    match rule.labels.get("severity").map(String::as_str) {
        Some("page" | "warning" | "info") => {}
        other => faults.push(format!("{alert}: {other:?} is no severity")),
    }
    for text in ["summary", "description"] {
        if !rule.annotations.contains_key(text) {
            faults.push(format!("{alert} has no {text}"));
        }
    }
    let anchor = alert.to_lowercase();
    let url = format!("{RUNBOOK}#{anchor}");
    if rule.annotations.get("runbook_url") != Some(&url) || !sections.contains(&anchor) {
        faults.push(format!("{alert}: runbook_url must be {url}, a heading there"));
    }
    for kind in ["fires", "stays silent"] {
        if !tests
            .iter()
            .any(|test| test.starts_with(&format!("{alert} {kind}")))
        {
            faults.push(format!("{alert}: no test says when it {kind}"));
        }
    }
    faults
}

/// The series of the catalogue: a histogram has three.
fn catalogue(document: &str) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = FOREIGN.iter().map(|&name| name.to_owned()).collect();
    for line in document.lines() {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let (Some(name), Some(kind)) = (cells.next(), cells.next()) else {
            continue;
        };
        let name = name.trim_matches('`');
        match kind {
            "counter" | "gauge" => {
                known.insert(name.to_owned());
            }
            "histogram" => {
                known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
            }
            _ => {}
        }
    }
    known
}

fn sections(document: &str) -> BTreeSet<String> {
    document
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .collect()
}

fn unknown(place: &str, expr: &str, known: &BTreeSet<String>) -> Vec<String> {
    metrics(expr)
        .into_iter()
        .filter(|name| !known.contains(name))
        .map(|name| format!("{place}: no catalogue names the metric {name}"))
        .collect()
}

/// The names of metrics in a PromQL expression: words that are neither functions, keywords, labels nor numbers.
fn metrics(expr: &str) -> BTreeSet<String> {
    const KEYWORDS: &[&str] = &["and", "or", "unless", "offset", "bool"];
    /// They may stand before a list of labels.
    const BEFORE_LABELS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
    let mut names = BTreeSet::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        if let Some(close) = closing(first) {
            rest = after(&rest[first.len_utf8()..], close);
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
                .unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            let tail = tail.trim_start();
            // `sum by (…)`: an aggregation, its labels first.
            let aggregates = ["by ", "by(", "without ", "without("];
            let called = tail.starts_with('(') || aggregates.iter().any(|labels| tail.starts_with(labels));
            rest = tail;
            if BEFORE_LABELS.contains(&word) {
                if called {
                    rest = after(tail, ')');
                }
            } else if !called && !first.is_ascii_digit() && !KEYWORDS.contains(&word) {
                names.insert(word.to_owned());
            }
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

/// What ends a part without metrics.
const fn closing(open: char) -> Option<char> {
    match open {
        '{' => Some('}'),
        '[' => Some(']'),
        '"' => Some('"'),
        '\'' => Some('\''),
        _ => None,
    }
}

fn after(text: &str, close: char) -> &str {
    text.split_once(close).map_or("", |(_, rest)| rest)
}

fn collect_exprs<'a>(value: &'a serde_json::Value, exprs: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, field) in fields {
                match field.as_str() {
                    Some(expr) if key == "expr" => exprs.push(expr),
                    _ => collect_exprs(field, exprs),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_exprs(item, exprs)),
        _ => {}
    }
}

fn promtool(root: &Path, what: &str, files: &[PathBuf]) -> Result<Vec<String>> {
    let output = Command::new("promtool")
        .args([what, "rules"])
        .args(files)
        .current_dir(root)
        .output()
        .context("promtool does not start: install Debian's package prometheus (make packages)")?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    Ok([output.stdout, output.stderr]
        .iter()
        .flat_map(|text| {
            String::from_utf8_lossy(text)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|line| !line.trim().is_empty() && line.trim() != "SUCCESS")
        .collect())
}

fn files(root: &Path, folder: &str, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).with_context(|| format!("{folder} cannot be read"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_from_the_rest() {
        let expr = r#"histogram_quantile(0.9, sum by (job, le) (rate(a_bucket{x="b"}[5m]))) > 1e3
            and on (job) count(c) > 2 or d offset 1h unless $__x"#;
        let found = metrics(expr);
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["__x", "a_bucket", "c", "d"]);
    }

    #[test]
    fn a_histogram_has_three_series() {
        let known = catalogue("| `h_seconds` | histogram | | |\n| `c_total` | counter | | |");
        assert!(unknown("t", "h_seconds_bucket + h_seconds_sum + c_total", &known).is_empty());
        assert_eq!(unknown("t", "h_seconds + c_total_count", &known).len(), 2);
    }
}
