//! Nothing leaks, and nothing that is visible is missing: random histories of projects, members and denials, and random
//! queries of every caller, against a dataset that holds only what that caller may see.
//!
//! `RENKU_LEAK_CHECKS`: how many answers are compared; `RENKU_LEAK_SEED`: the first history.

mod grammar;
mod history;
mod shapes;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use access::Caller;
use model::Day;
use oxigraph::model::Dataset;
use oxigraph::sparql::{CancellationToken, QueryResults, SparqlEvaluator};
use store::{Query, QueryError, QueryLimits, Reader, Stop, Writer};

use crate::merge::{SHAPES, narrowed, object, predicate};
use crate::support::{Bag, Dice, HOST, bag_of, options};

use grammar::Asked;
use history::{Event, Moment, SLUGS};

const LIMITS: QueryLimits = QueryLimits {
    time: Duration::from_secs(5),
    rows: 20_000,
    quads: 3_000_000,
    memory: 256 << 20,
};
/// Queries after each moment that is looked at.
const QUERIES: usize = 6;

/// A query as it is asked, and as it is asked of the dataset that `FROM` leaves.
#[derive(Clone)]
enum Question {
    Shape(String),
    Made(Box<Asked>),
}

impl Question {
    fn any(dice: &mut Dice) -> Self {
        if !dice.one_in(4) {
            return Self::Made(grammar::query(dice).into());
        }
        let all = SHAPES.len() + shapes::MORE.len();
        let shape = match dice.below(all) {
            at if at < SHAPES.len() => SHAPES[at],
            at => shapes::MORE[at - SHAPES.len()],
        };
        let graph = |dice: &mut Dice| format!("<https://{HOST}/projects/{}>", dice.pick(&SLUGS));
        let term = |dice: &mut Dice| match object(dice) {
            iri if iri.starts_with('<') && !iri.starts_with("<urn:renku:") => iri,
            _ => format!("<https://{HOST}/activities/1>"),
        };
        Self::Shape(
            shape
                .replace("<A>", &graph(dice))
                .replace("<B>", &graph(dice))
                .replace("<T>", &term(dice))
                .replace("<P>", &predicate(dice)),
        )
    }

    fn text(&self) -> String {
        match self {
            Self::Shape(text) => text.clone(),
            Self::Made(asked) => asked.text(),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Shape(_) => Vec::new(),
            Self::Made(asked) => asked
                .smaller()
                .into_iter()
                .map(|less| Self::Made(less.into()))
                .collect(),
        }
    }
}

/// Ends what the oracle does not end by itself.
struct Watch(Mutex<Option<(Instant, CancellationToken)>>);

static WATCH: Watch = Watch(Mutex::new(None));

impl Watch {
    fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let end = Instant::now() + Duration::from_secs(10);
        *self.0.lock().unwrap() = Some((end, token.clone()));
        token
    }

    fn run(&self) {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            match &*self.0.lock().unwrap() {
                Some((end, token)) if *end < Instant::now() => token.cancel(),
                _ => {}
            }
        }
    }
}

/// What the plain engine says of a dataset; none: it did not come to an end.
fn plain(data: &Dataset, query: &str, optimised: bool) -> Option<Bag> {
    let mut engine = SparqlEvaluator::new().with_cancellation_token(WATCH.begin());
    if !optimised {
        engine = engine.without_optimizations();
    }
    let row = |values: &[Option<oxigraph::model::Term>]| -> String {
        let values = values.iter().map(|value| match value {
            Some(term) => term.to_string(),
            None => "-".to_owned(),
        });
        values.collect::<Vec<_>>().join(" ")
    };
    let results = engine
        .parse_query(query)
        .unwrap()
        .on_queryable_dataset(data)
        .execute()
        .ok()?;
    let mut bag = match results {
        QueryResults::Boolean(truth) => vec![truth.to_string()],
        QueryResults::Solutions(rows) => rows
            .map(|solution| Some(row(solution.ok()?.values())))
            .collect::<Option<_>>()?,
        QueryResults::Graph(triples) => {
            let mut all = triples
                .map(|triple| Some(triple.ok()?.to_string()))
                .collect::<Option<Vec<_>>>()?;
            all.sort();
            all.dedup();
            all
        }
    };
    bag.sort();
    Some(bag)
}

/// What became of a comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    /// And whether it tells anything.
    Same(bool),
    /// Not a query, or one that takes too long.
    NoAnswer,
    /// The engine contradicts itself: with its optimiser and without.
    EngineDiffers,
    Different {
        ours: Bag,
        theirs: Bag,
    },
}

fn compare(reader: &Reader, moment: &Moment, caller: &Caller, question: &Question) -> Verdict {
    let text = question.text();
    let ours: Result<Query, _> = text.parse();
    let parsed = SparqlEvaluator::new().parse_query(&text);
    let Ok(query) = ours else {
        assert!(parsed.is_err(), "only we refuse it: {text}");
        return Verdict::NoAnswer;
    };
    let snapshot = reader.snapshot().unwrap();
    let visible = snapshot.visible(caller, moment.today()).unwrap();
    let ours = match snapshot.query(&visible, &query, LIMITS, &Stop::default(), bag_of) {
        Ok(ours) => ours,
        Err(QueryError::Store(error)) => panic!("{caller:?} asked {text}: {error}"),
        Err(_) => return Verdict::NoAnswer,
    };
    let mut data = moment.merge_for(caller);
    let mut without_from = text;
    if let Question::Made(asked) = question {
        if !asked.from.is_empty() {
            data = narrowed(&data, &asked.from);
        }
        without_from = asked.text_without_from();
    }
    let answers = [true, false].map(|optimised| plain(&data, &without_from, optimised));
    match answers {
        [Some(one), Some(other)] if one != other => match ours == one || ours == other {
            true => Verdict::EngineDiffers,
            false => Verdict::Different { ours, theirs: one },
        },
        [Some(theirs), _] | [_, Some(theirs)] => match ours == theirs {
            true => Verdict::Same(
                ours.iter()
                    .any(|row| row != "false" && row != "0" && !row.contains("\"0\"")),
            ),
            false => Verdict::Different { ours, theirs },
        },
        [None, None] => Verdict::NoAnswer,
    }
}

/// A fresh store after a history.
fn replayed(history: &[Event]) -> (tempfile::TempDir, Writer, Reader, Moment) {
    let (folder, mut writer, reader) = fresh(false);
    let mut moment = Moment::first();
    for event in history {
        moment.apply(event, &mut writer);
    }
    (folder, writer, reader, moment)
}

fn again(history: &[Event], caller: &Caller, question: &Question) -> Verdict {
    let (_folder, _writer, reader, moment) = replayed(history);
    compare(&reader, &moment, caller, question)
}

/// In memory where the machine has a file system for that.
fn fresh(on_disk: bool) -> (tempfile::TempDir, Writer, Reader) {
    let memory = std::path::Path::new("/dev/shm");
    let folder = match memory.is_dir() && !on_disk {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let options = store::StoreOptions {
        map_size: 64 << 20,
        ..options()
    };
    let (writer, reader) = store::open(folder.path(), options).unwrap();
    (folder, writer, reader)
}

/// The smallest case around this one that still fails.
fn shrunk(
    mut history: Vec<Event>,
    caller: &Caller,
    mut question: Question,
) -> Option<(Vec<Event>, Question)> {
    let fails = |history: &[Event], question: &Question| {
        history::is_sound(history) && matches!(again(history, caller, question), Verdict::Different { .. })
    };
    if !fails(&history, &question) {
        return None;
    }
    loop {
        if let Some(less) = question.smaller().into_iter().find(|less| fails(&history, less)) {
            question = less;
        } else if let Some(less) = history::smaller(&history)
            .into_iter()
            .find(|less| fails(less, &question))
        {
            history = less;
        } else {
            return Some((history, question));
        }
    }
}

#[derive(Default, Debug)]
struct Tally {
    checks: usize,
    telling: usize,
    no_answer: usize,
    engine_differs: usize,
}

fn one_history(seed: u64, tally: &mut Tally) {
    let dice = &mut Dice::new(seed);
    let (_folder, mut writer, reader) = fresh(seed.is_multiple_of(10));
    let events = history::history(dice, 14);
    let callers = history::callers();
    let mut moment = Moment::first();
    // Where it is looked at in between: what is remembered of before must not show.
    let looks = [events.len() / 2, events.len() * 3 / 4, events.len() - 1];
    for (at, event) in events.iter().enumerate() {
        moment.apply(event, &mut writer);
        if !looks.contains(&at) {
            continue;
        }
        for _ in 0..QUERIES {
            let question = Question::any(dice);
            let caller = dice.pick(&callers);
            match compare(&reader, &moment, caller, &question) {
                Verdict::Same(tells) => {
                    tally.checks += 1;
                    tally.telling += usize::from(tells);
                }
                Verdict::NoAnswer => tally.no_answer += 1,
                Verdict::EngineDiffers => tally.engine_differs += 1,
                Verdict::Different { ours, theirs } => {
                    let asked = question.text();
                    match shrunk(events[..=at].to_vec(), caller, question) {
                        Some((history, question)) => panic!(
                            "seed {seed}: {caller:?} asked\n{}\n{:?}\nafter {history:#?}",
                            question.text(),
                            again(&history, caller, &question)
                        ),
                        None => panic!(
                            "seed {seed}, with what was remembered: {caller:?} asked\n{asked}\nours {ours:#?}\ntheirs {theirs:#?}"
                        ),
                    }
                }
            }
        }
    }
    assert!(moment.lines() <= 200);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a longer run is asked for by the environment"
)]
fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect(name),
        Err(_) => otherwise,
    }
}

#[test]
fn everybody_sees_exactly_what_is_his() {
    let checks = number("RENKU_LEAK_CHECKS", 10_000) as usize;
    let first = number("RENKU_LEAK_SEED", 1);
    std::thread::spawn(|| WATCH.run());
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut seed = first;
    while tally.checks < checks {
        one_history(seed, &mut tally);
        seed += 1;
        if seed.is_multiple_of(1_000) {
            println!("{tally:?} after {} s", begun.elapsed().as_secs());
        }
    }
    println!(
        "{tally:?}, seeds {first}..{seed}, {} s",
        begun.elapsed().as_secs()
    );
    assert!(
        tally.no_answer < tally.checks / 5,
        "most queries must be answered: {tally:?}"
    );
    assert!(tally.engine_differs < tally.checks / 100, "{tally:?}");
    assert!(tally.telling > tally.checks / 6, "{tally:?}");
}

/// The test would notice: what one caller sees is compared with what another should.
#[test]
fn a_leak_would_be_seen() {
    let dice = &mut Dice::new(3);
    let mut seen = 0;
    for _ in 0..40 {
        let events = history::history(dice, 6);
        let (_folder, _writer, reader, moment) = replayed(&events);
        let question = Question::Shape("SELECT * { GRAPH ?g { ?s ?p ?o } }".to_owned());
        let text = question.text();
        let snapshot = reader.snapshot().unwrap();
        let all = snapshot.visible(&Caller::Administrator, Day::default()).unwrap();
        let query: Query = text.parse().unwrap();
        let ours = snapshot.query(&all, &query, LIMITS, &Stop::default(), bag_of);
        let theirs = plain(&moment.merge_for(&Caller::Anonymous), &text, true);
        seen += usize::from(ours.ok() != theirs);
    }
    assert!(seen > 20, "{seen}");
}
