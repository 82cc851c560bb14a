//! How long somebody still sees what was taken from him: from the 202 of the hook to the first answer without it, while other
//! projects are looked at and queries run. GitLab's own time is in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::stack::Stack;
use crate::bar::Bar;
use crate::seeded::Seeded;
use crate::stats::percentile;
use crate::table::{Report, Table, ms};

const USER_TOKEN: &str = "glpat-bench-reader";
const WITHIN: Duration = Duration::from_secs(180);
const LEAST: Bar = Bar::AtMost(0.5);

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub programs: super::Programs,
    pub cache: std::path::PathBuf,
    /// Projects below the group.
    pub projects: usize,
    /// Rounds of one project, and of the whole group.
    pub rounds: (usize, usize),
}

struct Bench<'a> {
    stack: &'a Stack,
    user: u64,
    projects: Vec<(u64, String)>,
}

/// Runs both cases.
///
/// # Errors
/// A process does not start, or what was taken away stays visible.
pub fn run(settings: &Settings, now: OffsetDateTime) -> anyhow::Result<Report> {
    let moment = crate::machine::Moment::observe(now);
    let folder = settings.cache.join("bench/revocation");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("empty {}", folder.display()));
        }
        _ => std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?,
    }
    let stack = Stack::start(&settings.programs, &folder)?;
    let bench = Bench::set_up(&stack, settings.projects)?;
    let done = AtomicBool::new(false);
    let (one, group) = std::thread::scope(|scope| {
        let load = scope.spawn(|| bench.others(&done));
        let measured = bench
            .of_projects(settings.rounds.0)
            .and_then(|one| Ok((one, bench.of_group(settings.rounds.1)?)));
        done.store(true, Ordering::SeqCst);
        let asked = load
            .join()
            .map_err(|_| anyhow::anyhow!("the load ended badly"))??;
        measured.map(|(one, group)| ((one, asked), group))
    })?;
    let (one, asked) = one;
    let mut report = Report::new(
        "Revocation: from the hook's 202 to the first answer without it",
        &moment,
    );
    report.paragraph(&format!(
        "A reader is a member of {} private projects below one group. `project`: the membership of one ends in GitLab, which \
         sends its hook; the answer changes when GitLab was asked again and its facts are in the view. `group`: GitLab says that \
         he left the group; the answer changes with the denial, before anybody is asked, and all projects are looked at again. He \
         asks for a project all the time, one request after the other; the time is that from the 202 to the end of the first 404, \
         GitLab's time included. After each first 404 ten more requests, and one with the hook's `Renku-Position`, must be 404 as \
         well (for a project without the position: a hidden one is waited for like one that is not there). Beside it ten other projects a second are looked at again and a query counts all public graphs, again and again \
         ({asked} such queries). One node, embedded log, everything on loopback.",
        settings.projects
    ));
    let mut table = Table::new(&[
        "taken away",
        "rounds",
        "p50 ms",
        "p99 ms",
        "largest ms",
        "p99 ≤ 500 ms",
    ]);
    for (name, times) in [("project", &one), ("group", &group)] {
        table.row([
            name.to_owned(),
            times.len().to_string(),
            ms(percentile(times, 50.0)),
            ms(percentile(times, 99.0)),
            ms(percentile(times, 100.0)),
            LEAST.judge_value(percentile(times, 99.0)).to_string(),
        ]);
    }
    report.table(&table);
    Ok(report)
}

fn micros() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

impl<'a> Bench<'a> {
    fn set_up(stack: &'a Stack, projects: usize) -> anyhow::Result<Self> {
        stack.send_hooks(false)?;
        let made = stack.sim_post("users", &json!({"username": "reader", "token": USER_TOKEN}))?;
        let user = made["id"].as_u64().context("a user without a number")?;
        let mut all = Vec::new();
        for number in 0..projects {
            let slug = format!("crowd/project-{number}");
            let made = stack.sim_post("projects", &json!({"slug": slug, "visibility": "private"}))?;
            let id = made["id"].as_u64().context("a project without a number")?;
            stack.sim_member(id, user, Some(20))?;
            all.push((id, slug));
        }
        stack.send_hooks(true)?;
        let bench = Self {
            stack,
            user,
            projects: all,
        };
        for (id, _) in &bench.projects {
            bench.look(*id)?;
        }
        for (_, slug) in &bench.projects {
            bench.wait(slug, 200, None)?;
        }
        Ok(bench)
    }

    fn look(&self, project: u64) -> anyhow::Result<()> {
        let body = json!({"event_name": "project_update", "project_id": project});
        self.stack.hook(&body).map(drop)
    }

    /// When the first answer of this status had ended.
    fn wait(&self, slug: &str, status: u16, position: Option<&str>) -> anyhow::Result<i64> {
        let began = micros();
        loop {
            let told = self.stack.read_as(USER_TOKEN, slug, position)?;
            let now = micros();
            if told == status {
                return Ok(now);
            }
            anyhow::ensure!(
                now - began < i64::try_from(WITHIN.as_micros())?,
                "{slug} answers {told} and never {status}"
            );
        }
    }

    fn gone(&self, slug: &str, position: Option<&str>) -> anyhow::Result<()> {
        for position in [None; 10].into_iter().chain([position]) {
            let told = self.stack.read_as(USER_TOKEN, slug, position)?;
            anyhow::ensure!(told == 404, "{slug} is seen again: {told}");
        }
        Ok(())
    }

    fn of_projects(&self, rounds: usize) -> anyhow::Result<Vec<f64>> {
        let mut random = Seeded::new(1);
        let mut times = Vec::new();
        for _ in 0..rounds {
            let (id, slug) = &self.projects[random.below(self.projects.len())];
            let before = self.stack.newest_delivery()?;
            self.stack.sim_member(*id, self.user, None)?;
            let answered = self.stack.delivery_after(before, *id)?;
            times.push((self.wait(slug, 404, None)? - answered) as f64 / 1e6);
            // A receipt of a project that is hidden is waited for like one of a project that is not there.
            self.gone(slug, None)?;
            self.stack.sim_member(*id, self.user, Some(20))?;
            self.wait(slug, 200, None)?;
        }
        Ok(times)
    }

    fn of_group(&self, rounds: usize) -> anyhow::Result<Vec<f64>> {
        let mut random = Seeded::new(2);
        let mut times = Vec::new();
        let body = json!({
            "event_name": "user_remove_from_group", "group_id": 7, "group_path": "crowd", "group_name": "Crowd",
            "user_id": self.user, "user_username": "reader", "group_access": "Reporter",
        });
        for _ in 0..rounds {
            // The last to be looked at again: it stays denied while this is checked.
            let (_, slug) =
                &self.projects[self.projects.len() - 1 - random.below(self.projects.len().min(20))];
            let position = self.stack.hook(&body)?;
            let answered = micros();
            times.push((self.wait(slug, 404, None)? - answered) as f64 / 1e6);
            self.gone(slug, Some(&position))?;
            // In GitLab he is a member of each by himself: all come back.
            for (_, slug) in &self.projects {
                self.wait(slug, 200, None)?;
            }
        }
        Ok(times)
    }

    /// Other things that go on. How many queries.
    fn others(&self, done: &AtomicBool) -> anyhow::Result<u64> {
        let mut random = Seeded::new(3);
        let mut asked = 0;
        while !done.load(Ordering::SeqCst) {
            let (id, _) = &self.projects[random.below(self.projects.len())];
            self.look(*id)?;
            for _ in 0..5 {
                self.stack.count_public()?;
                asked += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(asked)
    }
}

impl Stack {
    fn send_hooks(&self, sends: bool) -> anyhow::Result<()> {
        let target = match sends {
            true => json!({"url": format!("{}/webhooks/events", self.url), "token": self.hook_token}),
            false => Value::Null,
        };
        let answer = self
            .http
            .put(format!("{}/sim/system-hook", self.sim_url))
            .header("content-type", "application/json")
            .body(target.to_string())
            .send()?;
        anyhow::ensure!(
            answer.status().is_success(),
            "no system hook: {}",
            answer.status()
        );
        Ok(())
    }

    fn sim_post(&self, what: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self
            .http
            .post(format!("{}/sim/{what}", self.sim_url))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()?;
        anyhow::ensure!(
            answer.status().is_success(),
            "gitlab-sim refuses {what}: {}",
            answer.status()
        );
        Ok(serde_json::from_slice(&answer.bytes()?)?)
    }

    fn sim_member(&self, project: u64, user: u64, level: Option<u8>) -> anyhow::Result<()> {
        let url = format!("{}/sim/projects/{project}/members/{user}", self.sim_url);
        let request = match level {
            Some(level) => self
                .http
                .put(url)
                .header("content-type", "application/json")
                .body(json!({"access_level": level}).to_string()),
            None => self.http.delete(url),
        };
        let answer = request.send()?;
        anyhow::ensure!(
            answer.status().is_success(),
            "gitlab-sim refuses a member: {}",
            answer.status()
        );
        Ok(())
    }

    fn newest_delivery(&self) -> anyhow::Result<u64> {
        let url = format!("{}/sim/deliveries", self.sim_url);
        let all: Vec<Value> = serde_json::from_slice(&self.http.get(url).send()?.bytes()?)?;
        let numbers = all.iter().filter_map(|delivery| delivery["number"].as_u64());
        Ok(numbers.max().unwrap_or(0))
    }

    /// When the next hook about a project was answered.
    fn delivery_after(&self, number: u64, project: u64) -> anyhow::Result<i64> {
        let url = format!("{}/sim/deliveries?after={number}", self.sim_url);
        let began = micros();
        loop {
            let all: Vec<Value> = serde_json::from_slice(&self.http.get(&url).send()?.bytes()?)?;
            for delivery in &all {
                if delivery["project"] == project && delivery["status"] == 202 {
                    return delivery["answered_at"]
                        .as_i64()
                        .context("a delivery without a time");
                }
            }
            anyhow::ensure!(micros() - began < 10_000_000, "no hook was sent");
        }
    }

    /// Sends a hook; where it was recorded.
    fn hook(&self, body: &Value) -> anyhow::Result<String> {
        let answer = self
            .http
            .post(format!("{}/webhooks/events", self.url))
            .header("x-gitlab-token", &self.hook_token)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()?;
        anyhow::ensure!(answer.status() == 202, "a hook was answered {}", answer.status());
        let position = answer
            .headers()
            .get("renku-position")
            .context("a 202 without Renku-Position")?;
        Ok(position.to_str()?.to_owned())
    }

    fn read_as(&self, token: &str, slug: &str, position: Option<&str>) -> anyhow::Result<u16> {
        let mut request = self
            .http
            .get(format!("{}/knowledge-graph/projects/{slug}", self.url))
            .header("private-token", token);
        if let Some(position) = position {
            request = request.header("renku-position", position);
        }
        let answer = request.send()?;
        let status = answer.status().as_u16();
        answer.bytes()?;
        Ok(status)
    }

    fn count_public(&self) -> anyhow::Result<()> {
        let query = "SELECT (COUNT(*) AS ?n) { GRAPH ?g { ?s ?p ?o } }";
        let answer = self
            .http
            .get(format!("{}/sparql", self.url))
            .query(&[("query", query)])
            .send()?;
        anyhow::ensure!(
            answer.status().is_success(),
            "a query was answered {}",
            answer.status()
        );
        Ok(())
    }
}
