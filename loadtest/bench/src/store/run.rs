//! The store benchmark from data to table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::data::{Platform, Visible};
use super::files::Files;
use super::queries::{self, Query};
use super::report;
use super::served::{Answer, Served, Timing, repetitions};
use crate::measure::child::{self, Usage};
use crate::stats::Pair;
use crate::table::Report;

/// The peer's program.
const PEER: &str = include_str!("../../peers/oxigraph_peer.py");
/// Seconds that one timed command aims at.
const AIM: f64 = 0.04;

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub platform: Platform,
    pub cache: PathBuf,
    /// This executable: our worker is another process of it.
    pub bench: PathBuf,
    pub pairs: usize,
    /// How often both load the data.
    pub loads: usize,
    /// Less data, and how often both load it: so often that an interval can be told.
    pub small: (Platform, usize),
}

/// Loads of everything, until durable.
#[derive(Clone, Debug)]
pub(super) struct Loads {
    pub(super) files: Files,
    pub(super) peer: Vec<Usage>,
    pub(super) ours: Vec<Usage>,
    pub(super) peer_disk: u64,
    pub(super) our_disk: u64,
}

/// Times of one query, in pairs.
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub(super) wall: Vec<Pair>,
    pub(super) cpu: Vec<Pair>,
}

/// What is known of one query.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) query: Query,
    /// The peer's and ours, everything visible.
    pub(super) against_peer: Times,
    /// Ours with everything visible (as the peer of the pair) and with half.
    pub(super) half: Times,
    /// Ours with twenty projects visible.
    pub(super) twenty: Vec<Timing>,
    pub(super) rows: BTreeMap<&'static str, u64>,
    /// Whether the peer's answer is the RDF merge's.
    pub(super) peer_is_right: bool,
    /// The visible sets for which ours is not.
    pub(super) ours_is_wrong_for: Vec<&'static str>,
}

struct Bench<'a> {
    settings: &'a Settings,
    files: Files,
    python: PathBuf,
    folder: PathBuf,
}

/// Runs the whole benchmark.
///
/// # Errors
/// A peer cannot be installed, a worker fails, the disk is full.
pub fn run(settings: &Settings, now: time::OffsetDateTime) -> anyhow::Result<Report> {
    let moment = crate::machine::Moment::observe(now);
    let folder = settings.cache.join("bench/store");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    for (name, text) in [("oxigraph_peer.py", PEER), ("platform.rq", queries::TEXT)] {
        std::fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
    }
    let bench = Bench {
        settings,
        files: Files::make(settings.platform, &folder)?,
        python: crate::peer::pyoxigraph(&settings.cache)?,
        folder,
    };
    let (platform, times) = settings.small;
    let small = bench.loads(&Files::make(platform, &bench.folder)?, times)?;
    let loads = bench.loads(&bench.files, settings.loads)?;
    let oracle = bench.oracle()?;
    let mut rows = bench.against_peer(&oracle)?;
    bench.twenty(&oracle, &mut rows)?;
    Ok(report::write(&moment, &bench.files, &[small, loads], &rows))
}

impl Bench<'_> {
    fn peer_store(&self, platform: Platform) -> PathBuf {
        self.folder.join(format!("peer-{}", platform.projects))
    }

    fn our_store(&self, platform: Platform) -> PathBuf {
        self.folder.join(format!("ours-{}", platform.projects))
    }

    fn peer(&self, what: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.folder.join("oxigraph_peer.py")).arg(what);
        command
    }

    fn worker(&self, what: &str, platform: Platform) -> Command {
        let mut command = Command::new(&self.settings.bench);
        command.args(["store-worker", what]).arg(self.our_store(platform));
        command
    }

    fn serve_ours(&self, public: Visible) -> anyhow::Result<Served> {
        let projects = self.settings.platform.projects.to_string();
        Served::start(
            self.worker("serve", self.settings.platform)
                .arg(public.name())
                .args(["--projects", &projects]),
        )
    }

    /// Both load all quads into an empty folder, in turns; the last ones stay for the queries.
    fn loads(&self, files: &Files, times: usize) -> anyhow::Result<Loads> {
        let (peer_store, our_store) = (self.peer_store(files.platform), self.our_store(files.platform));
        let (mut peer, mut ours) = (Vec::new(), Vec::new());
        for turn in 0..times {
            for us in [turn % 2 == 0, turn % 2 != 0] {
                if us {
                    empty(&our_store)?;
                    let mut load = self.worker("load", files.platform);
                    ours.push(child::run_well(load.arg(files.pieces_path()))?);
                } else {
                    empty(&peer_store)?;
                    let mut load = self.peer("load");
                    load.arg(&peer_store).arg(files.quads_path());
                    peer.push(child::run_well(&mut load)?);
                }
            }
        }
        if !peer.is_empty() {
            child::run_well(self.peer("optimize").arg(&peer_store))?;
        }
        Ok(Loads {
            files: files.clone(),
            peer,
            ours,
            peer_disk: disk(&peer_store)?,
            our_disk: disk(&our_store)?,
        })
    }

    /// What is right, by loading every visible set as triples of one graph. Kept with the data.
    fn oracle(&self) -> anyhow::Result<Value> {
        let version = hex::encode(&Sha256::digest(queries::TEXT.as_bytes())[..6]);
        let kept = self.files.folder.join(format!("answers-{version}.json"));
        if !kept.exists() {
            let made = self.files.folder.join("answers.tmp");
            child::run_well(
                self.peer("oracle")
                    .arg(self.folder.join("oracle"))
                    .arg(&self.files.folder)
                    .arg(self.folder.join("platform.rq"))
                    .arg(&made)
                    .arg(self.peer_store(self.settings.platform)),
            )?;
            std::fs::rename(&made, &kept).with_context(|| format!("write {}", kept.display()))?;
        }
        let text = std::fs::read(&kept).with_context(|| format!("read {}", kept.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", kept.display()))
    }

    fn against_peer(&self, oracle: &Value) -> anyhow::Result<Vec<Row>> {
        let mut peer = Served::start(
            self.peer("serve")
                .arg(self.peer_store(self.settings.platform))
                .arg(self.folder.join("platform.rq")),
        )?;
        let mut ours = self.serve_ours(Visible::Half)?;
        let (all, half) = (Visible::All.name(), Visible::Half.name());
        let mut rows = Vec::new();
        for (number, query) in Query::all().into_iter().enumerate() {
            let mut row = Row {
                query,
                against_peer: Times {
                    wall: Vec::new(),
                    cpu: Vec::new(),
                },
                half: Times {
                    wall: Vec::new(),
                    cpu: Vec::new(),
                },
                twenty: Vec::new(),
                rows: BTreeMap::new(),
                peer_is_right: right(oracle, all, query, &peer.answer(number, all)?)?,
                ours_is_wrong_for: Vec::new(),
            };
            for visible in [all, half] {
                row.check(oracle, visible, &ours.answer(number, visible)?)?;
            }
            let peer_times = repetitions(peer.time(number, 1, all)?, AIM);
            let our_times = repetitions(ours.time(number, 1, all)?, AIM);
            for pair in 0..self.settings.pairs {
                let (theirs, our) = if pair % 2 == 0 {
                    let theirs = peer.time(number, peer_times, all)?;
                    (theirs, ours.time(number, our_times, all)?)
                } else {
                    let our = ours.time(number, our_times, all)?;
                    (peer.time(number, peer_times, all)?, our)
                };
                row.against_peer.add(theirs, our);
                let (everything, some) = if pair % 2 == 0 {
                    let everything = ours.time(number, our_times, all)?;
                    (everything, ours.time(number, our_times, half)?)
                } else {
                    let some = ours.time(number, our_times, half)?;
                    (ours.time(number, our_times, all)?, some)
                };
                row.half.add(everything, some);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn twenty(&self, oracle: &Value, rows: &mut [Row]) -> anyhow::Result<()> {
        let twenty = Visible::Twenty.name();
        let mut ours = self.serve_ours(Visible::Twenty)?;
        for (number, row) in rows.iter_mut().enumerate() {
            row.check(oracle, twenty, &ours.answer(number, twenty)?)?;
            let times = repetitions(ours.time(number, 1, twenty)?, AIM);
            for _ in 0..self.settings.pairs {
                row.twenty.push(ours.time(number, times, twenty)?);
            }
        }
        Ok(())
    }
}

impl Times {
    fn add(&mut self, peer: Timing, ours: Timing) {
        self.wall.push(Pair {
            peer: peer.wall,
            ours: ours.wall,
        });
        self.cpu.push(Pair {
            peer: peer.cpu,
            ours: ours.cpu,
        });
    }
}

impl Row {
    fn check(&mut self, oracle: &Value, visible: &'static str, answer: &Answer) -> anyhow::Result<()> {
        self.rows.insert(visible, answer.rows);
        if !right(oracle, visible, self.query, answer)? {
            self.ours_is_wrong_for.push(visible);
        }
        Ok(())
    }
}

/// Whether an answer is the oracle's; one that the oracle does not know passes.
fn right(oracle: &Value, visible: &str, query: Query, answer: &Answer) -> anyhow::Result<bool> {
    let expected = &oracle[visible][query.name];
    if expected.is_null() {
        return Ok(true);
    }
    let expected = Answer::read(expected)?;
    let choice = query.rows_are_a_choice() || expected.digest.is_none() || answer.digest.is_none();
    Ok(expected.rows == answer.rows && (choice || expected.digest == answer.digest))
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("empty {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Bytes of disk blocks that the files of a folder take: a sparse file counts for what is in it.
fn disk(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() {
            disk(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_by_what_they_fix() {
        let oracle = serde_json::json!({"all": {"q": {"rows": 2, "digest": "x"}}});
        let query = Query {
            name: "q",
            text: "SELECT",
        };
        let answer = |rows, digest: Option<&str>| Answer {
            rows,
            digest: digest.map(str::to_owned),
        };
        assert!(right(&oracle, "all", query, &answer(2, Some("x"))).unwrap());
        assert!(!right(&oracle, "all", query, &answer(2, Some("y"))).unwrap());
        assert!(!right(&oracle, "all", query, &answer(3, Some("x"))).unwrap());
        assert!(right(&oracle, "half", query, &answer(3, Some("x"))).unwrap());
        let chosen = Query {
            name: "q",
            text: "SELECT LIMIT 2",
        };
        assert!(right(&oracle, "all", chosen, &answer(2, None)).unwrap());
    }
}
