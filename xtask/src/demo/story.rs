use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::queries::{self, ask};
use super::stack::{ADMIN_TOKEN, GITLAB_TOKEN, Stack};
use super::stages;
use crate::process::request;

const HOST: &str = "renku.example.org";
const SOON: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Manifest {
    projects: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    name: String,
    bundle: String,
    branch: String,
    description: String,
    /// Set where the CLI refuses to export.
    expected_exit: Option<i32>,
}

/// How long a push took, in steps.
struct Times {
    push: Duration,
    accepted: Duration,
    queryable: Duration,
}

/// Pushes every example and prints what became of it. An example that should be in the graph and is not is an error.
pub fn tell(root: &Path, stack: &Stack) -> Result<()> {
    let fixtures = root.join("tests/fixtures");
    let manifest = std::fs::read(fixtures.join("manifest.json")).context("tests/fixtures/manifest.json")?;
    let manifest: Manifest = serde_json::from_slice(&manifest).context("tests/fixtures/manifest.json")?;
    let scratch = tempfile::tempdir()?;
    let mut all = Vec::new();
    for (at, example) in manifest.projects.iter().enumerate() {
        println!(
            "\n[{}/{}] {}: {}",
            at + 1,
            manifest.projects.len(),
            example.name,
            example.description
        );
        let slug = format!("demo/{}", example.name);
        let id = create(stack, &slug, &example.branch)?;
        let bare = scratch.path().join(&example.name);
        git(
            &["clone", "-q", "--bare"],
            &[&fixtures.join(&example.bundle), &bare],
        )?;
        let started = Instant::now();
        push(stack, &bare, &slug, &example.branch)?;
        let pushed = started.elapsed();
        let (receipt, accepted) = receipt(stack, id)?;
        let graph = format!("https://{HOST}/projects/{slug}");
        // The answer waits until the views cover the push: no polling, and never an answer from before it.
        let waiting = Instant::now();
        let triples = ask(stack.public, &graph, queries::COUNTS[0].1, Some(&receipt))?;
        let times = Times {
            push: pushed,
            accepted,
            queryable: waiting.elapsed(),
        };
        let known = triples
            .first()
            .and_then(|row| row.first())
            .is_some_and(|n| n != "0");
        if example.expected_exit.is_some() {
            refused(stack, id, known)?;
        } else {
            ensure!(
                known,
                "{}: nothing is in the graph: {}",
                example.name,
                status(stack, id)?
            );
            show(stack, &graph)?;
        }
        println!(
            "      times: git push {} · hook accepted {} · then queryable within {}",
            ms(times.push),
            ms(times.accepted),
            ms(times.queryable)
        );
        all.push((example.name.clone(), times));
    }
    summary(&all);
    stages::print(&metrics(stack)?);
    offer(stack)
}

fn create(stack: &Stack, slug: &str, branch: &str) -> Result<u64> {
    let new = json!({"slug": slug, "visibility": "public", "default_branch": branch});
    let answer = gitlab(stack, "POST", "/sim/projects", new.to_string().as_bytes())?;
    answer["id"].as_u64().context("the new project has no id")
}

fn gitlab(stack: &Stack, method: &str, path: &str, body: &[u8]) -> Result<Value> {
    let headers = [("Content-Type", "application/json")];
    request(stack.gitlab, method, path, &headers, body)?
        .json()
        .with_context(|| format!("gitlab-sim: {method} {path}"))
}

fn git(arguments: &[&str], paths: &[&Path]) -> Result<()> {
    let output = Command::new("git")
        .args(arguments)
        .args(paths)
        .output()
        .context("git does not start")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn push(stack: &Stack, bare: &Path, slug: &str, branch: &str) -> Result<()> {
    let url = format!(
        "http://oauth2:{GITLAB_TOKEN}@127.0.0.1:{}/{slug}.git",
        stack.gitlab
    );
    let output = Command::new("git")
        .arg("-C")
        .arg(bare)
        .args([
            "push",
            "-q",
            &url,
            &format!("refs/heads/{branch}:refs/heads/{branch}"),
        ])
        .output()
        .context("git does not start")?;
    ensure!(
        output.status.success(),
        "git push: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The `Renku-Position` of the push's hook, and how long GitLab waited for the answer.
fn receipt(stack: &Stack, id: u64) -> Result<(String, Duration)> {
    let deadline = Instant::now() + SOON;
    loop {
        let deliveries = gitlab(stack, "GET", "/sim/deliveries", b"")?;
        let pushes = deliveries.as_array().into_iter().flatten();
        let mut of_ours = pushes.filter(|it| it["project"] == id && it["kind"] == "push");
        if let Some(delivery) = of_ours.next_back() {
            let Some(position) = delivery["position"].as_str() else {
                bail!("the hook was not accepted: {delivery}");
            };
            let moment = |name: &str| delivery[name].as_i64().unwrap_or_default();
            let took = u64::try_from(moment("answered_at") - moment("sent_at")).unwrap_or(0);
            return Ok((position.to_owned(), Duration::from_micros(took)));
        }
        ensure!(Instant::now() < deadline, "no hook was sent for project {id}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn status(stack: &Stack, id: u64) -> Result<Value> {
    request(
        stack.public,
        "GET",
        &format!("/projects/{id}/events/status"),
        &[],
        b"",
    )?
    .json()
}

/// An example of which the CLI exports nothing: too old, or no renku project at all.
fn refused(stack: &Stack, id: u64, known: bool) -> Result<()> {
    ensure!(!known, "a project that must be refused is in the graph");
    let status = status(stack, id)?;
    let details = &status["details"];
    if details["status"] == "failure" {
        println!("      refused, as the renku CLI does:");
        println!(
            "      {}",
            details["stacktrace"].as_str().unwrap_or("no reason is told")
        );
    } else {
        println!("      nothing to tell: this is no renku project");
    }
    Ok(())
}

fn show(stack: &Stack, graph: &str) -> Result<()> {
    let mut counts = Vec::new();
    for (name, query) in queries::COUNTS {
        let rows = ask(stack.public, graph, query, None)?;
        let count = rows
            .first()
            .and_then(|row| row.first())
            .cloned()
            .unwrap_or_default();
        counts.push(format!("{count} {name}"));
    }
    println!("      the graph knows: {}", counts.join(", "));
    let datasets: Vec<_> = ask(stack.public, graph, queries::DATASETS, None)?
        .into_iter()
        .flatten()
        .collect();
    if !datasets.is_empty() {
        println!("      datasets: {}", datasets.join(", "));
    }
    for row in ask(stack.public, graph, queries::LINEAGE, None)? {
        if let [from, plan, to] = row.as_slice() {
            println!("      lineage: {from} ─ {plan} ─▶ {to}");
        }
    }
    Ok(())
}

fn summary(all: &[(String, Times)]) {
    println!(
        "\n{:<20} {:>10} {:>14} {:>18}",
        "project", "git push", "hook accepted", "then queryable"
    );
    for (name, times) in all {
        println!(
            "{name:<20} {:>10} {:>14} {:>18}",
            ms(times.push),
            ms(times.accepted),
            ms(times.queryable)
        );
    }
}

fn metrics(stack: &Stack) -> Result<String> {
    let token = format!("Bearer {ADMIN_TOKEN}");
    let answer = request(stack.admin, "GET", "/metrics", &[("Authorization", &token)], b"")?;
    ensure!(answer.status == 200, "/metrics gave status {}", answer.status);
    Ok(answer.text())
}

/// Queries that people can paste. Each is tried first: what is printed here works.
fn offer(stack: &Stack) -> Result<()> {
    let address = format!("http://127.0.0.1:{}/sparql", stack.public);
    println!("\nSPARQL is at {address}. Three queries to paste:");
    for (what, query) in queries::TO_PASTE {
        let headers = [
            ("Content-Type", "application/sparql-query"),
            ("Accept", "text/csv"),
        ];
        let answer = request(stack.public, "POST", "/sparql", &headers, query.as_bytes())?;
        let rows = answer.text().lines().count().saturating_sub(1);
        ensure!(
            answer.status == 200 && rows > 0,
            "status {}: {}",
            answer.status,
            answer.text()
        );
        println!(
            "\n# {what} ({rows} rows)\ncurl -sG {address} -H 'Accept: text/csv' --data-urlencode \\\n  'query={query}'"
        );
    }
    Ok(())
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}
