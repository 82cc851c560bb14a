//! `bench`: runs one benchmark, or makes the data for one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bench::renku_repo::{Shape, write_repository};
use bench::store::data::{Platform, Visible};
use bench::store::files::Files;
use bench::table::Report;
use bench::{access, export, intake, kafka, pipeline, store};
use clap::{Args, Parser, Subcommand};
use time::OffsetDateTime;

#[derive(Debug, Parser)]
#[command(about = "Benchmarks of the pipeline and its parts against what they replace")]
struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    what: What,
}

/// Where things are.
#[derive(Debug, Args)]
struct Places {
    #[arg(long, env = "HOME", hide = true)]
    home: PathBuf,
    /// For peers and data; default `~/.cache/renku-graph`.
    #[arg(long, global = true)]
    cache: Option<PathBuf>,
    /// The folder of our executables; default: where this one is.
    #[arg(long, global = true)]
    programs: Option<PathBuf>,
    /// The folder that tables are written to.
    #[arg(long, global = true, default_value = "loadtest/results")]
    results: PathBuf,
}

impl Places {
    fn cache(&self) -> PathBuf {
        self.cache
            .clone()
            .unwrap_or_else(|| self.home.join(".cache/renku-graph"))
    }

    fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let here = std::env::current_exe().context("find this executable")?;
        let folder = self
            .programs
            .clone()
            .or_else(|| here.parent().map(Path::to_owned))
            .unwrap_or_default();
        let program = folder.join(name);
        anyhow::ensure!(
            program.exists(),
            "{} is missing: build it with cargo build -p {name}",
            program.display()
        );
        Ok(program)
    }

    fn save(&self, name: &str, report: &Report) -> anyhow::Result<()> {
        use std::io::Write as _;
        std::io::stdout()
            .write_all(report.text().as_bytes())
            .context("write to standard output")?;
        report.save(&self.results.join(name))
    }
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a bare git repository of a generated renku project.
    Repo {
        #[arg(long, default_value_t = 1_000)]
        activities: usize,
        /// Commits after the first one, each one more activity.
        #[arg(long, default_value_t = 0)]
        pushes: usize,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value = "bench/generated")]
        slug: String,
        folder: PathBuf,
    },
    /// From a push hook's 202 to an answer, through the real processes.
    Pipeline {
        #[arg(long, default_value_t = 200)]
        seconds: usize,
        #[arg(long, default_value_t = 5.0)]
        rate: f64,
        #[arg(long, default_value_t = 10)]
        projects: usize,
        #[arg(long, default_value_t = 25)]
        pairs: usize,
        /// One part alone; its table has a file of its own.
        #[arg(long)]
        only: Option<pipeline::Part>,
        /// 20 seconds, small projects: proves that the benchmark runs.
        #[arg(long)]
        short: bool,
    },
    /// Our store against Oxigraph's own.
    Store {
        #[arg(long, default_value_t = 20_000)]
        projects: usize,
        #[arg(long, default_value_t = 9)]
        pairs: usize,
        /// How often both load the data; 0 takes the stores of the last run.
        #[arg(long, default_value_t = 1)]
        loads: usize,
        /// How often both load the data of 2,000 projects (a million quads); 0 takes the stores of the last run.
        #[arg(long, default_value_t = 7)]
        small_loads: usize,
        /// Little data, one pair: proves that the benchmark runs.
        #[arg(long)]
        short: bool,
    },
    /// What the filter by caller costs, and what its time tells.
    Access {
        #[arg(long, default_value_t = 10_000)]
        projects: usize,
        #[arg(long, default_value_t = 7)]
        pairs: usize,
        /// Only queries whose names have this in them.
        #[arg(long)]
        only: Option<String>,
        /// The times of requests alone.
        #[arg(long)]
        timing: bool,
        /// Little data, one pair: proves that the benchmark runs.
        #[arg(long)]
        short: bool,
    },
    /// From a hook that takes access away to the first answer without it.
    Revocation {
        #[arg(long, default_value_t = 2_500)]
        projects: usize,
        #[arg(long, default_value_t = 200)]
        rounds: usize,
        #[arg(long, default_value_t = 20)]
        group_rounds: usize,
        /// Few projects and rounds: proves that the benchmark runs.
        #[arg(long)]
        short: bool,
    },
    /// Our bus on Kafka against Kafka's own sender.
    Kafka {
        #[arg(long, default_value_t = 9)]
        pairs: usize,
        #[arg(long, default_value_t = 500_000)]
        records: usize,
        /// Few records, one pair: proves that the benchmark runs.
        #[arg(long)]
        short: bool,
    },
    /// The intake of hooks against the same handler without a log.
    Intake {
        #[arg(long, default_value_t = 9)]
        pairs: usize,
        /// Short windows, one pair: proves that the benchmark runs.
        #[arg(long)]
        short: bool,
    },
    /// A server of the intake benchmark; the benchmark starts it.
    #[command(hide = true)]
    IntakeServer { sink: String, port: u16 },
    /// Our side of the Kafka benchmark; the benchmark starts it.
    #[command(hide = true)]
    KafkaSender {
        brokers: String,
        records: usize,
        record_bytes: usize,
    },
    /// Our side of the store benchmark; the benchmark starts it.
    #[command(hide = true)]
    StoreWorker {
        #[command(subcommand)]
        what: Worker,
    },
    /// Makes the data of the store benchmark.
    Data {
        #[arg(long, default_value_t = 20_000)]
        projects: usize,
        folder: PathBuf,
    },
    /// Our export against `renku graph export`.
    Export {
        #[arg(long, default_value = "tests/fixtures")]
        fixtures: PathBuf,
        #[arg(long, default_value_t = 9)]
        pairs: usize,
        /// Activities of a generated repository, and how often the peer exports it.
        #[arg(long, value_parser = generated, default_values = ["1000:7", "10000:1"], value_name = "ACTIVITIES:RUNS")]
        generated: Vec<(usize, usize)>,
        /// One pair, small repositories: proves that the benchmark runs.
        #[arg(long)]
        short: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Worker {
    Load {
        store: PathBuf,
        pieces: PathBuf,
    },
    Serve {
        store: PathBuf,
        public: String,
        #[arg(long, default_value_t = 20_000)]
        projects: usize,
    },
}

fn generated(text: &str) -> Result<(usize, usize), String> {
    let parts = text
        .split_once(':')
        .and_then(|(size, runs)| Some((size.parse().ok()?, runs.parse().ok()?)));
    parts
        .filter(|(_, runs)| *runs > 0)
        .ok_or_else(|| "two numbers are needed, e.g. 1000:7".to_owned())
}

/// The data of the store benchmark: about 508 quads in each graph.
fn platform(projects: usize) -> Platform {
    Platform {
        seed: 1,
        projects,
        activities: 25,
    }
}

fn main() -> anyhow::Result<()> {
    let Cli { places, what } = Cli::parse();
    let now = OffsetDateTime::now_utc();
    match what {
        What::Repo {
            activities,
            pushes,
            seed,
            slug,
            folder,
        } => {
            write_repository(
                &Shape {
                    seed,
                    slug,
                    activities,
                },
                pushes,
                &folder,
            )?;
        }
        What::Data { projects, folder } => {
            Files::make(platform(projects), &folder)?;
        }
        What::Pipeline {
            seconds,
            rate,
            projects,
            pairs,
            only,
            short,
        } => {
            let settings = pipeline::Settings {
                only,
                programs: pipeline::Programs {
                    renkud: places.program("renkud")?,
                    renkuctl: places.program("renkuctl")?,
                    gitlab_sim: places.program("gitlab-sim")?,
                },
                cache: places.cache(),
                seconds: if short { 20 } else { seconds },
                rate,
                projects,
                rest: if short { 2 } else { 60 },
                idle: if short { 3 } else { 30 },
                next_push: if short { (20, 200) } else { (100, 10_000) },
                pairs: if short { 2 } else { pairs },
            };
            let part = match only {
                None => "",
                Some(pipeline::Part::Load) => "-load",
                Some(pipeline::Part::NextPush) => "-next-push",
            };
            let short = if short { "-short" } else { "" };
            let name = format!("pipeline-bench{part}{short}.md");
            places.save(&name, &pipeline::run(&settings, now)?)?;
        }
        What::Store {
            projects,
            pairs,
            loads,
            small_loads,
            short,
        } => {
            let settings = store::Settings {
                platform: platform(if short { 400 } else { projects }),
                cache: places.cache(),
                bench: places.program("bench")?,
                pairs: if short { 1 } else { pairs },
                loads: if short { 1 } else { loads },
                small: if short {
                    (platform(200), 1)
                } else {
                    (platform(2_000), small_loads)
                },
            };
            places.save(
                if short {
                    "store-bench-short.md"
                } else {
                    "store-bench.md"
                },
                &store::run(&settings, now)?,
            )?;
        }
        What::Access {
            projects,
            pairs,
            only,
            timing,
            short,
        } => {
            let settings = access::Settings {
                cost: !timing,
                only,
                platform: Platform {
                    seed: 1,
                    projects: if short { 200 } else { projects },
                    activities: 53,
                },
                cache: places.cache(),
                pairs: if short { 1 } else { pairs },
                requests: if short { (1, 200) } else { (3, 10_000) },
            };
            let name = match (timing, short) {
                (false, false) => "access-bench.md",
                (false, true) => "access-bench-short.md",
                (true, _) => "access-bench-timing.md",
            };
            places.save(name, &access::run(&settings, now)?)?;
        }
        What::Revocation {
            projects,
            rounds,
            group_rounds,
            short,
        } => {
            let settings = pipeline::revocation::Settings {
                programs: pipeline::Programs {
                    renkud: places.program("renkud")?,
                    renkuctl: places.program("renkuctl")?,
                    gitlab_sim: places.program("gitlab-sim")?,
                },
                cache: places.cache(),
                projects: if short { 30 } else { projects },
                rounds: if short { (5, 2) } else { (rounds, group_rounds) },
            };
            let name = if short {
                "revocation-bench-short.md"
            } else {
                "revocation-bench.md"
            };
            places.save(name, &pipeline::revocation::run(&settings, now)?)?;
        }
        What::Kafka {
            pairs,
            records,
            short,
        } => {
            let settings = kafka::Settings {
                cache: places.cache(),
                bench: places.program("bench")?,
                pairs: if short { 1 } else { pairs },
                records: if short { 20_000 } else { records },
                record_bytes: 1_024,
            };
            let name = if short {
                "kafka-bench-short.md"
            } else {
                "kafka-bench.md"
            };
            places.save(name, &kafka::run(&settings, now)?)?;
        }
        What::Intake { pairs, short } => {
            let settings = intake::Settings {
                cache: places.cache(),
                bench: places.program("bench")?,
                pairs: if short { 1 } else { pairs },
                window: if short { 0.5 } else { 3.0 },
                open: if short { 500 } else { 20_000 },
            };
            let name = if short {
                "intake-bench-short.md"
            } else {
                "intake-bench.md"
            };
            places.save(name, &intake::run(&settings, now)?)?;
        }
        What::IntakeServer { sink, port } => intake::serve_hooks(&sink, port)?,
        What::KafkaSender {
            brokers,
            records,
            record_bytes,
        } => {
            use std::io::Write as _;
            let rate = kafka::send(&brokers, records, record_bytes)?;
            writeln!(std::io::stdout(), "{rate}").context("write to standard output")?;
        }
        What::StoreWorker {
            what: Worker::Load { store, pieces },
        } => store::worker::load(&store, &pieces)?,
        What::StoreWorker {
            what:
                Worker::Serve {
                    store,
                    public,
                    projects,
                },
        } => {
            let public = Visible::parse(&public).context("no such visible set")?;
            let (commands, replies) = (std::io::stdin().lock(), std::io::stdout().lock());
            store::worker::serve(&store, platform(projects), public, commands, replies)?;
        }
        What::Export {
            fixtures,
            pairs,
            generated,
            short,
        } => {
            let settings = export::Settings {
                fixtures,
                cache: places.cache(),
                renkuctl: places.program("renkuctl")?,
                bench: places.program("bench")?,
                pairs: if short { 1 } else { pairs },
                generated: if short { vec![(50, 1)] } else { generated },
            };
            places.save(
                if short {
                    "export-bench-short.md"
                } else {
                    "export-bench.md"
                },
                &export::run(&settings, now)?,
            )?;
        }
    }
    Ok(())
}
