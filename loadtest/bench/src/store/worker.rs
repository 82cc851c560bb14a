//! Our side of the store benchmark: loads the data, answers the queries.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use access::Caller;
use anyhow::Context as _;
use model::{Digest, Generation, ProjectId, Slug, Visibility};
use sha2::{Digest as _, Sha256};
use store::{
    Difference, Facts, GraphState, LiveFacts, Piece, PieceKey, Query as Parsed, QueryLimits, Reader,
    RowFormat, Stop, StoreOptions, TripleFormat, Writer,
};

use super::data::{HOST, Platform, Visible};
use super::files::{Record, Records};
use super::queries::Query;
use crate::measure::service::own_seconds;

/// Lines of pieces in one transaction: about a hundred transactions for ten million quads.
const LINES_PER_COMMIT: usize = 100_000;

fn options() -> StoreOptions {
    StoreOptions {
        snapshot_age: Duration::from_secs(3_600),
        ..StoreOptions::new(HOST)
    }
}

fn facts(slug: &str, version: u64, public: bool) -> anyhow::Result<Facts> {
    let slug: Slug = slug.parse()?;
    let visibility = if public {
        Visibility::Public
    } else {
        Visibility::Private
    };
    let version = Generation::new(version);
    Ok(Facts {
        state_version: version,
        generation: version,
        live: Some(LiveFacts {
            slug,
            visibility,
            members: Vec::new(),
        }),
        payload: Vec::new(),
    })
}

fn id(number: usize) -> anyhow::Result<ProjectId> {
    Ok(ProjectId::new(i64::try_from(number)? + 1)?)
}

/// Applies every project as records bring it. Every second one is public, the others are private.
///
/// # Errors
/// The store refuses, or a file is missing.
pub fn load(folder: &Path, pieces: &Path) -> anyhow::Result<()> {
    let (mut writer, _reader) = store::open(folder, options()).context("open the store")?;
    let mut records = Records::open(pieces)?.peekable();
    while records.peek().is_some() {
        let mut batch = writer.begin()?;
        let mut lines = 0;
        while lines < LINES_PER_COMMIT {
            let Some(record) = records.next() else { break };
            let record = record?;
            lines += record
                .pieces
                .iter()
                .map(|(piece, _)| piece.text.lines().count())
                .sum::<usize>();
            let project = id(record.number)?;
            batch.apply_facts(project, &facts(&record.slug, 1, record.number.is_multiple_of(2))?)?;
            let (state, difference) = graph(record);
            batch.apply_graph(project, &state, &difference)?;
        }
        batch.commit()?;
    }
    Ok(())
}

fn graph(record: Record) -> (GraphState, Difference) {
    let mut all = Sha256::new();
    let put = record
        .pieces
        .into_iter()
        .map(|(piece, digest)| {
            all.update(digest);
            Piece {
                key: PieceKey::of(&piece.id),
                digest: Digest::new(digest),
                text: piece.text,
            }
        })
        .collect();
    let digest = Digest::new(all.finalize().into());
    let state = GraphState {
        generation: Generation::new(1),
        digest,
        state_version: Generation::new(1),
        bits: 0,
        sections: vec![digest],
        payload: Vec::new(),
    };
    (
        state,
        Difference {
            removed: Vec::new(),
            put,
        },
    )
}

/// Sets who may see what, then answers commands until the input ends:
/// `time QUERY TIMES VISIBLE` and `answer QUERY VISIBLE`, VISIBLE being `all` or the set that was made public.
///
/// # Errors
/// The store fails, or a command is not one.
pub fn serve(
    folder: &Path,
    platform: Platform,
    public: Visible,
    commands: impl BufRead,
    mut replies: impl Write,
) -> anyhow::Result<()> {
    let (mut writer, reader) = store::open(folder, options()).context("open the store")?;
    publish(&mut writer, platform, public)?;
    let queries = Query::all();
    for command in commands.lines() {
        let command = command?;
        let words: Vec<&str> = command.split_whitespace().collect();
        let number: usize = words.get(1).context("a command without a query")?.parse()?;
        let query = queries.get(number).context("no such query")?;
        let caller = match words.last() {
            Some(&"all") => Caller::Administrator,
            Some(&name) if name == public.name() => Caller::Anonymous,
            _ => anyhow::bail!("`{command}` names no visible set that is there"),
        };
        let reply = if words[0] == "answer" {
            answer(*query, &execute(&reader, *query, &caller)?)
        } else {
            let times: usize = words
                .get(2)
                .context("a command without a number of times")?
                .parse()?;
            let (wall, cpu) = (Instant::now(), own_seconds());
            for _ in 0..times {
                execute(&reader, *query, &caller)?;
            }
            let wall = wall.elapsed().as_secs_f64() / times as f64;
            let cpu = (own_seconds() - cpu) / times as f64;
            serde_json::json!({"wall": wall, "cpu": cpu})
        };
        writeln!(replies, "{reply}")?;
        replies.flush()?;
    }
    Ok(())
}

/// New facts for projects whose visibility is another now.
fn publish(writer: &mut Writer, platform: Platform, public: Visible) -> anyhow::Result<()> {
    let mut batch = writer.begin()?;
    for number in 0..platform.projects {
        let project = id(number)?;
        let before = batch
            .facts(project)?
            .context("a project is missing: load the data first")?;
        let seen = public.sees(platform, number);
        let live = before.live.as_ref().context("a project is gone")?;
        if (live.visibility == Visibility::Public) != seen {
            let version = before.state_version.get() + 1;
            batch.apply_facts(project, &facts(live.slug.as_str(), version, seen)?)?;
        }
    }
    Ok(batch.commit()?)
}

/// Parses, takes a snapshot, evaluates, writes: all that a request would cost but the network.
fn execute(reader: &Reader, query: Query, caller: &Caller) -> anyhow::Result<Vec<u8>> {
    let parsed = Parsed::parse(query.text, None)?;
    let snapshot = reader.snapshot()?;
    let visible = snapshot.visible(caller, model::Day::default())?;
    let mut out = Vec::new();
    let format = if query.text.starts_with("ASK") {
        RowFormat::Json
    } else {
        RowFormat::Tsv
    };
    snapshot.query(&visible, &parsed, QueryLimits::NONE, &Stop::default(), |answer| {
        answer.write(format, TripleFormat::NTriples, &mut out)
    })?;
    Ok(out)
}

fn answer(query: Query, bytes: &[u8]) -> serde_json::Value {
    let text = String::from_utf8_lossy(bytes);
    let head = usize::from(query.text.starts_with("SELECT"));
    let mut lines: Vec<&str> = text.lines().skip(head).collect();
    lines.sort_unstable();
    if query.text.starts_with("CONSTRUCT") || query.text.starts_with("DESCRIBE") {
        lines.dedup();
    }
    let digest =
        (!query.rows_are_a_choice()).then(|| hex::encode(Sha256::digest(lines.join("\n").as_bytes())));
    serde_json::json!({"rows": lines.len(), "digest": digest})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::Files;

    #[test]
    fn loads_and_answers_by_what_is_visible() {
        let folder = tempfile::tempdir().unwrap();
        let platform = Platform {
            seed: 3,
            projects: 80,
            activities: 4,
        };
        let files = Files::make(platform, folder.path()).unwrap();
        let data = folder.path().join("store");
        load(&data, &files.pieces_path()).unwrap();
        let number = Query::all()
            .iter()
            .position(|query| query.name == "any named graph, count")
            .unwrap();
        let commands = format!("answer {number} all\nanswer {number} half\ntime {number} 2 half\n");
        let mut replies = Vec::new();
        serve(&data, platform, Visible::Half, commands.as_bytes(), &mut replies).unwrap();
        let replies = String::from_utf8(replies).unwrap();
        let expected = |count: &str| {
            let digest = hex::encode(Sha256::digest(count.as_bytes()));
            serde_json::json!({"rows": 1, "digest": digest}).to_string()
        };
        let lines: Vec<&str> = replies.lines().collect();
        assert_eq!(lines[0], expected("160"));
        assert_eq!(lines[1], expected("80"));
        assert!(lines[2].contains("wall"), "{}", lines[2]);
        let twenty = format!("answer {number} twenty\n");
        let mut replies = Vec::new();
        serve(&data, platform, Visible::Twenty, twenty.as_bytes(), &mut replies).unwrap();
        assert_eq!(String::from_utf8(replies).unwrap().trim(), expected("40"));
        assert!(
            serve(
                &data,
                platform,
                Visible::Half,
                &b"answer 0 twenty\n"[..],
                &mut Vec::new()
            )
            .is_err()
        );
    }
}
