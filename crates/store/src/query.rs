//! SPARQL queries over a caller's dataset.

use std::rc::Rc;
use std::str::FromStr;
use std::time::{Duration, Instant};

use access::VisibleSet;
use model::{ProjectId, Slug};
use oxigraph::model::{NamedNode, Triple};
use oxigraph::sparql::{QueryEvaluationError, QueryResults, QuerySolution, SparqlEvaluator, Variable};
use spargebra::{Query as Parsed, SparqlParser};

use crate::bounded::{REPLACEABLE, bounded, replaceable};
use crate::complexity::{self, TooComplex};
use crate::dataset::Dataset;
use crate::error::StoreError;
use crate::guard::Guard;
use crate::metered::{MeteredDataset, Watch, watched};
use crate::read_rows;
use crate::reader::Snapshot;
use crate::rewrite::distinct_before_order;
use crate::scope::Scope;
use crate::view::{Bounds, MOST_MADE_UP, ScanError, Stop, View};

/// What is wrong with the text of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What the parser says; it names line and column where it knows them.
    pub message: String,
}

/// Why a query has no complete answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Took longer than its limit.
    #[error("the query took longer than {} s: make it more selective, or add a LIMIT", .0.as_secs_f32())]
    Time(Duration),
    /// Gave more rows than its limit.
    #[error("the query has more than {0} rows: add a LIMIT")]
    Rows(u64),
    /// Was given more quads than its limit, which bounds the memory that joins can take.
    #[error("the query reads more than {0} quads: make it more selective")]
    Quads(u64),
    /// Made up more terms than fit, in bytes.
    #[error("the query makes up more than {0} bytes of values: BIND less, or LIMIT the rows before")]
    MadeUp(usize),
    /// Took more memory than its limit, in bytes.
    #[error(
        "the query needs more than {} MiB of memory: make it more selective, or gather, sort and group fewer rows",
        .0 >> 20
    )]
    Memory(usize),
    /// Somebody asked it to stop.
    #[error("the query was stopped")]
    Stopped,
    /// The engine cannot do it, e.g. `SERVICE`.
    #[error("the query cannot be evaluated: {0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever takes the answer failed.
    #[error("the answer could not be written")]
    Write(#[from] std::io::Error),
}

/// Bounds of one query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueryLimits {
    /// From the beginning of evaluation to the last row.
    pub time: Duration,
    /// Rows or triples of the answer.
    pub rows: u64,
    /// Quads looked at.
    pub quads: u64,
    /// Bytes of the heap, if [`crate::Counting`] is the executable's allocator. A query that is over it ends at the next look,
    /// so that the last growth of one buffer comes on top.
    pub memory: usize,
}

impl QueryLimits {
    /// None but the snapshot's age.
    pub const NONE: Self = Self {
        time: Duration::MAX,
        rows: u64::MAX,
        quads: u64::MAX,
        memory: usize::MAX,
    };
}

/// The form of a query decides what its answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryForm {
    /// Rows.
    Select,
    /// True or false.
    Ask,
    /// Triples.
    Construct,
    /// Triples.
    Describe,
}

/// A query that was read.
#[derive(Clone, Debug)]
pub struct Query {
    parsed: Parsed,
    /// IRIs of default and named graphs, if the query or the protocol gives any.
    dataset: Option<(Vec<String>, Vec<String>)>,
}

impl FromStr for Query {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text, None)
    }
}

impl Query {
    /// Reads a query. `base` is what its relative IRIs are relative to.
    pub fn parse(text: &str, base: Option<&str>) -> Result<Self, SyntaxError> {
        let mut parser = SparqlParser::new();
        if let Some(base) = base {
            parser = parser.with_base_iri(base).map_err(|error| SyntaxError {
                message: error.to_string(),
            })?;
        }
        let parsed = parser.parse_query(text).map_err(|error| SyntaxError {
            message: error.to_string(),
        })?;
        let texts = |iris: &[NamedNode]| iris.iter().map(|iri| iri.as_str().to_owned()).collect();
        let dataset = parsed.dataset().map(|given| {
            (
                texts(&given.default),
                texts(given.named.as_deref().unwrap_or_default()),
            )
        });
        Ok(Self {
            parsed: bounded(distinct_before_order(parsed)),
            dataset,
        })
    }

    /// Sets the dataset as the protocol's `default-graph-uri` and `named-graph-uri` do: they go before the query's own.
    /// Without any the query's own stays.
    #[must_use]
    pub fn with_dataset(mut self, default: Vec<String>, named: Vec<String>) -> Self {
        if !(default.is_empty() && named.is_empty()) {
            self.dataset = Some((default, named));
        }
        self
    }

    /// Whether the engine can plan it in reasonable time. Planning cannot be interrupted, so ask before evaluating what a
    /// stranger wrote.
    pub fn check_complexity(&self) -> Result<(), TooComplex> {
        complexity::check(&self.parsed)
    }

    /// Its form.
    pub fn form(&self) -> QueryForm {
        match self.parsed {
            Parsed::Select { .. } => QueryForm::Select,
            Parsed::Ask { .. } => QueryForm::Ask,
            Parsed::Construct { .. } => QueryForm::Construct,
            Parsed::Describe { .. } => QueryForm::Describe,
        }
    }
}

/// The answer, while it is being computed.
pub enum Answer<'a> {
    /// Of `SELECT`.
    Rows(Vec<Variable>, Rows<'a>),
    /// Of `ASK`.
    Truth(bool),
    /// Of `CONSTRUCT` and `DESCRIBE`.
    Triples(Triples<'a>),
}

/// Rows of an answer.
pub struct Rows<'a> {
    rows: oxigraph::sparql::QuerySolutionIter<'a>,
    meter: Meter<'a>,
}

/// Triples of an answer; one may come more than once.
pub struct Triples<'a> {
    triples: oxigraph::sparql::QueryTripleIter<'a>,
    meter: Meter<'a>,
}

struct Meter<'a> {
    limits: QueryLimits,
    given: u64,
    watched: Watched<'a>,
}

/// A query's view and who looks after it.
#[derive(Clone)]
struct Watched<'a> {
    view: Rc<View<'a>>,
    guard: Rc<Guard<'a>>,
}

impl Watched<'_> {
    /// To be called before anything is given away.
    #[inline]
    fn check(&self) -> Result<(), StoreError> {
        if self.view.touched.is_new() {
            self.guard.check(&self.view.touched)?;
        }
        Ok(())
    }
}

impl Meter<'_> {
    fn pass<T>(&mut self, item: Result<T, QueryEvaluationError>) -> Result<T, QueryError> {
        let item = item.map_err(|error| failure(error, self.limits))?;
        self.watched.check()?;
        self.given += 1;
        if self.given > self.limits.rows {
            return Err(QueryError::Rows(self.limits.rows));
        }
        Ok(item)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<QuerySolution, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(self.meter.pass(row))
    }
}

impl Iterator for Triples<'_> {
    type Item = Result<Triple, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let triple = self.triples.next()?;
        Some(self.meter.pass(triple))
    }
}

fn failure(error: QueryEvaluationError, limits: QueryLimits) -> QueryError {
    match error {
        QueryEvaluationError::Dataset(error) => match error.downcast::<ScanError>() {
            Ok(error) => ended_by(*error, limits),
            Err(error) => QueryError::Refused(error.to_string()),
        },
        QueryEvaluationError::Cancelled => QueryError::Stopped,
        other => QueryError::Refused(other.to_string()),
    }
}

fn ended_by(error: ScanError, limits: QueryLimits) -> QueryError {
    match error {
        ScanError::Store(error) => error.into(),
        ScanError::Stopped => QueryError::Stopped,
        ScanError::Time => QueryError::Time(limits.time),
        ScanError::Quads => QueryError::Quads(limits.quads),
        ScanError::MadeUp => QueryError::MadeUp(MOST_MADE_UP),
        ScanError::Memory => QueryError::Memory(limits.memory),
    }
}

impl Snapshot {
    /// Evaluates a query on what a caller may see, and hands the answer to `take` while it is being computed.
    ///
    /// Blocks; not for async threads. `FROM`, `FROM NAMED` and their like narrow the caller's dataset; graphs that are hidden
    /// or absent are empty.
    pub fn query<T>(
        &self,
        visible: &VisibleSet,
        query: &Query,
        limits: QueryLimits,
        stop: &Stop,
        take: impl FnOnce(Answer<'_>) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let mut scope = self.scope(visible)?;
        if let Some((default, named)) = &query.dataset {
            let narrowed = scope.narrowed(&self.named(&scope, default)?, &self.named(&scope, named)?);
            scope = narrowed.into();
        }
        let now = Instant::now();
        let bounds = Bounds {
            until: now.checked_add(limits.time).unwrap_or_else(|| self.until()),
            quads: limits.quads,
            stop: stop.clone(),
        };
        let watch = Watch {
            until: bounds.until,
            snapshot_until: self.until(),
            stop: stop.clone(),
            memory: limits.memory,
        };
        let looked_after = Watched {
            view: View::new(self, scope, bounds)?.into(),
            guard: Guard::of(self, visible)?.into(),
        };
        watched(watch, || evaluate(looked_after, query, limits, take))
            .unwrap_or_else(|ended| Err(ended_by(ended, limits)))
    }

    /// The visible projects of graph names.
    fn named(&self, scope: &Scope, iris: &[String]) -> Result<Vec<ProjectId>, StoreError> {
        let shared = self.shared();
        let mut projects = Vec::new();
        for iri in iris {
            let slug = shared
                .names
                .below_projects(iri)
                .and_then(|below| below.parse::<Slug>().ok());
            if let Some(slug) = slug {
                projects.extend(read_rows::project_of_slug(
                    &shared.tables,
                    &self.txn,
                    &slug,
                    |project| scope.sees(project),
                )?);
            }
        }
        Ok(projects)
    }
}

fn evaluate<T>(
    watched: Watched<'_>,
    query: &Query,
    limits: QueryLimits,
    take: impl FnOnce(Answer<'_>) -> Result<T, QueryError>,
) -> Result<T, QueryError> {
    let mut prepared = SparqlEvaluator::new()
        .with_custom_function(NamedNode::new_unchecked(REPLACEABLE), replaceable)
        .for_query(query.parsed.clone());
    // The dataset is narrowed already; the engine's own way would give equal triples of several graphs several times.
    *prepared.dataset_mut() = Default::default();
    let results = prepared
        .on_queryable_dataset(MeteredDataset(Dataset(watched.view.clone())))
        .execute()
        .map_err(|error| failure(error, limits))?;
    let meter = Meter {
        limits,
        given: 0,
        watched: watched.clone(),
    };
    watched.check()?;
    let taken = take(match results {
        QueryResults::Solutions(rows) => Answer::Rows(rows.variables().to_vec(), Rows { rows, meter }),
        QueryResults::Boolean(truth) => Answer::Truth(truth),
        QueryResults::Graph(triples) => Answer::Triples(Triples { triples, meter }),
    })?;
    watched.check()?;
    Ok(taken)
}
