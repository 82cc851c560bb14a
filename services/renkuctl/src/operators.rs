//! Commands for operators: they ask a renkud's admin listener.

use std::io::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::Failure;
use crate::admin::Admin;
use crate::cli::{Access, Parked, ParkedChoice, ParkedFilter, Positions, Rebuild, Replay, View};
use crate::table::table;

/// How often a campaign is asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Desk {
    admin: Admin,
    json: bool,
}

impl Desk {
    pub(crate) fn new(url: &str, token: Option<&str>, json: bool) -> Result<Self, Failure> {
        Ok(Self {
            admin: Admin::new(url, token)?,
            json,
        })
    }

    pub(crate) fn positions(&self, arguments: &Positions) -> Result<(), Failure> {
        let query = [("digest", arguments.digest.to_string())];
        let mut answer = self.admin.get("/admin/positions", &query)?;
        if arguments.behind
            && let Some(rows) = answer["positions"].as_array_mut()
        {
            rows.retain(|row| row["lag"].as_u64() != Some(0));
        }
        self.show(&answer, |answer| {
            let mut text = rows(
                &answer["positions"],
                &[
                    ("READER", "reader"),
                    ("TOPIC", "topic"),
                    ("PARTITION", "partition"),
                    ("END", "end"),
                    ("APPLIED", "applied"),
                    ("LAG", "lag"),
                ],
            );
            if let Some(state) = answer["graph_state"].as_str().filter(|state| *state != "ready") {
                text.push_str(&format!("graph view: {state}\n"));
            }
            if let Some(digest) = answer["graph_digest"].as_str() {
                text.push_str(&format!("digest of the graph view: {digest}\n"));
            }
            text
        })
    }

    pub(crate) fn parked(&self, command: &Parked) -> Result<(), Failure> {
        match command {
            Parked::List(filter) => {
                let query = filter_fields(filter);
                let query: Vec<_> = query.iter().map(|(name, value)| (*name, text(value))).collect();
                let answer = self.admin.get("/admin/parked", &query)?;
                self.show(&answer, |answer| {
                    rows(
                        answer,
                        &[
                            ("ID", "id"),
                            ("PROJECT", "key"),
                            ("CODE", "code"),
                            ("OWNER", "owner"),
                            ("TRIES", "attempt"),
                            ("AT", "at"),
                            ("WHY", "message"),
                        ],
                    )
                })
            }
            Parked::Show { id } => {
                named(id)?;
                let answer = self
                    .admin
                    .get(&format!("/admin/parked/{}", id.replacen('@', "/", 1)), &[])?;
                // All of it is worth seeing, and it has no columns.
                self.show(&answer, |answer| format!("{answer:#}\n"))
            }
            Parked::Requeue(choice) => self.resolve("requeue", choice),
            Parked::Drop(choice) => self.resolve("drop", choice),
        }
    }

    fn resolve(&self, action: &str, choice: &ParkedChoice) -> Result<(), Failure> {
        let filter = filter_fields(&choice.filter);
        choice.ids.iter().try_for_each(|id| named(id))?;
        let mut body = json!({ "action": action });
        let all = filter.iter().all(|(name, _)| *name == "limit");
        match (choice.ids.is_empty(), all) {
            (true, true) => {
                let why = "name records as `renkuctl parked list` does, or choose by --topic, --project, --code or --owner";
                return Err(Failure::new(2, anyhow!(why)));
            }
            (false, false) => {
                let why = "name records or choose by options, not both";
                return Err(Failure::new(2, anyhow!(why)));
            }
            (false, true) => body["ids"] = json!(choice.ids),
            (true, false) => body["filter"] = filter.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        }
        let answer = self.admin.post("/admin/parked", &body)?;
        self.show(&answer, |answer| {
            let list = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
            let mut text = String::new();
            for id in list("resolved") {
                text.push_str(&format!("{action}: {}\n", self::text(&id)));
            }
            for id in list("unknown") {
                text.push_str(&format!(
                    "not parked, or dealt with before: {}\n",
                    self::text(&id)
                ));
            }
            text
        })?;
        let unknown = answer["unknown"].as_array().is_some_and(|ids| !ids.is_empty());
        if unknown {
            return Err(Failure::new(3, anyhow!("some of the records are not parked")));
        }
        Ok(())
    }

    pub(crate) fn rejects(&self) -> Result<(), Failure> {
        let answer = self.admin.get("/admin/views/rejects", &[])?;
        self.show(&answer, |answer| {
            rows(answer, &[("RECORD", "record"), ("WHY", "why")])
        })
    }

    pub(crate) fn access(&self, command: &Access) -> Result<(), Failure> {
        let told = |answer: &Value| -> Vec<String> {
            ["why", "visibility", "member_until", "facts_version", "record"]
                .into_iter()
                .filter(|field| !answer[*field].is_null())
                .map(|field| format!("  {}: {}\n", field.replace('_', " "), text(&answer[field])))
                .chain(
                    answer["denials"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|key| format!("  denied by: {}\n", text(key))),
                )
                .collect()
        };
        match command {
            Access::Explain { project, user } => {
                let mut query = vec![("project", project.clone())];
                query.extend(user.map(|user| ("user", user.to_string())));
                let answer = self.admin.get("/admin/access/explain", &query)?;
                self.show(&answer, |answer| {
                    let whom = match &answer["user"] {
                        Value::Null => "somebody who is not signed in".to_owned(),
                        user => format!("user {user}"),
                    };
                    let sees = if answer["visible"] == true {
                        "sees"
                    } else {
                        "does not see"
                    };
                    let name = match &answer["slug"] {
                        Value::Null => String::new(),
                        slug => format!(" ({})", text(slug)),
                    };
                    format!(
                        "{whom} {sees} project {}{name}\n{}",
                        answer["project"],
                        told(answer).concat()
                    )
                })
            }
            Access::Who { project } => {
                let answer = self
                    .admin
                    .get("/admin/access/who", &[("project", project.clone())])?;
                self.show(&answer, |answer| {
                    format!(
                        "project {} ({}) is seen by {}\n{}",
                        answer["project"],
                        text(&answer["slug"]),
                        text(&answer["class"]),
                        rows(
                            &answer["members"],
                            &[
                                ("MEMBER", "user"),
                                ("SEES IT", "visible"),
                                ("WHY", "why"),
                                ("UNTIL", "member_until"),
                            ],
                        )
                    )
                })
            }
        }
    }

    pub(crate) fn replay(&self, arguments: &Replay) -> Result<(), Failure> {
        let View::Graph = arguments.view;
        let body = json!({ "from_empty": arguments.from_empty });
        let started = self.admin.post("/admin/views/graph/replay", &body)?;
        let goal = started["goal"].as_array().cloned().unwrap_or_default();
        self.show(&started, |_| {
            if arguments.from_empty {
                "the graph view is empty and reads the log\n".to_owned()
            } else {
                "the graph view reads the log again; what it shows stays meanwhile\n".to_owned()
            }
        })?;
        if !arguments.wait {
            return Ok(());
        }
        loop {
            let answer = self.admin.get("/admin/positions", &[])?;
            let left: u64 = goal.iter().map(|goal| left(goal, &answer["positions"])).sum();
            let told = json!({ "left": left, "state": answer["graph_state"] });
            self.show(&told, |told| match told["state"].as_str() {
                Some(state) if left > 0 => format!("{left} offsets left; {state}\n"),
                _ => format!("{left} offsets left\n"),
            })?;
            if left == 0 {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn sweep(&self, dry_run: bool) -> Result<(), Failure> {
        let word = if dry_run { "would go" } else { "removed" };
        loop {
            let path = format!("/admin/blobs/sweep?dry_run={dry_run}");
            let answer = self.admin.post(&path, &json!({}))?;
            self.show(&answer, |answer| {
                format!(
                    "looked at {} old blobs: {} are named by records, {} {word}\n",
                    answer["looked_at"], answer["kept"], answer["removed"]
                )
            })?;
            // A dry run looks at the same ones again.
            if dry_run || answer["more"].as_bool() != Some(true) {
                return Ok(());
            }
        }
    }

    pub(crate) fn rebuild(&self, arguments: &Rebuild) -> Result<(), Failure> {
        let which = &arguments.which;
        let started = match (&which.campaign, &which.project) {
            (Some(campaign), _) => Some(campaign.clone()),
            (None, Some(project)) => {
                let body = match project.parse::<u64>() {
                    Ok(id) => json!({ "id": id }),
                    Err(_) => json!({ "slug": project }),
                };
                self.start(&body)?
            }
            (None, None) => self.start(&json!({ "all": true }))?,
        };
        let Some(campaign) = started else {
            return Ok(());
        };
        if which.campaign.is_none() && !arguments.wait {
            return Ok(());
        }
        loop {
            let answer = self.admin.get(&format!("/admin/campaigns/{campaign}"), &[])?;
            self.show(&answer, |answer| {
                format!("{campaign}: {} of {} done\n", answer["done"], answer["looks"])
            })?;
            let (Some(done), Some(looks)) = (answer["done"].as_u64(), answer["looks"].as_u64()) else {
                let why = "the answer does not tell how far the campaign is";
                return Err(Failure::new(1, anyhow!(why)));
            };
            if !arguments.wait || done >= looks {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The campaign; none: there is no project to look at.
    fn start(&self, body: &Value) -> Result<Option<String>, Failure> {
        let answer = self.admin.post("/admin/rebuild", body)?;
        self.show(&answer, |answer| {
            format!(
                "campaign {}: {} projects; follow it with `renkuctl rebuild --campaign {0}`\n",
                text(&answer["campaign"]),
                answer["projects"]
            )
        })?;
        let any = answer["projects"].as_u64() != Some(0);
        Ok(any.then(|| text(&answer["campaign"])))
    }

    fn show(&self, answer: &Value, people: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let shown = if self.json {
            format!("{answer}\n")
        } else {
            people(answer)
        };
        match std::io::stdout().lock().write_all(shown.as_bytes()) {
            // The reader has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            done => done.map_err(|error| Failure::new(1, error)),
        }
    }
}

/// How many offsets of one partition the graph view has still to read up to its goal.
fn left(goal: &Value, positions: &Value) -> u64 {
    let same = |row: &&Value| {
        row["reader"] == "graph" && row["topic"] == goal["topic"] && row["partition"] == goal["partition"]
    };
    let row = positions.as_array().and_then(|rows| rows.iter().find(same));
    let applied = row.and_then(|row| row["applied"].as_u64()).unwrap_or_default();
    goal["end"].as_u64().unwrap_or_default().saturating_sub(applied)
}

/// Is it `topic/partition@offset`?
fn named(text: &str) -> Result<(), Failure> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let topic = |text: &str| {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        !text.is_empty() && text.bytes().all(fine)
    };
    let fits = text
        .split_once('/')
        .and_then(|(name, rest)| Some((name, rest.split_once('@')?)))
        .is_some_and(|(name, (partition, offset))| topic(name) && number(partition) && number(offset));
    if fits {
        return Ok(());
    }
    let why = format!("{text:?} is not the name of a parked record: they look like renku.commits.v1/3@17");
    Err(Failure::new(2, anyhow!(why)))
}

fn rows(value: &Value, columns: &[(&str, &str)]) -> String {
    table(value.as_array().map_or(&[], Vec::as_slice), columns)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn filter_fields(filter: &ParkedFilter) -> Vec<(&'static str, Value)> {
    let fields = [
        ("topic", filter.topic.as_ref().map(|text| json!(text))),
        ("key", filter.project.map(|id| json!(id.to_string()))),
        ("code", filter.code.as_ref().map(|text| json!(text))),
        ("owner", filter.owner.as_ref().map(|text| json!(text))),
        ("limit", filter.limit.map(|limit| json!(limit))),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}
