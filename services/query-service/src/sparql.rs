//! `/sparql`: the SPARQL 1.1 Protocol, queries only.

use std::sync::Arc;
use std::time::Duration;

use access::Caller;
use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use store::{Query, QueryForm, RowFormat, Stop, TripleFormat};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::asker::Asker;
use crate::negotiate::{ROWS, TRIPLES, choose, names};
use crate::protocol::{Asked, BodyKind, ProtocolError, read_body, read_parameters};
use crate::refusal::{Refusal, WITHHELD};
use crate::service::{Inner, QueryService};
use crate::stream::{AnswerWriter, Begun, answer};
use crate::{covered, description, nesting};

/// How long a client may take for one block of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a sender may take for a body.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// The stack of a query's thread. Only pages that are touched are memory; chains of thousands of operators recurse that deep.
const STACK: usize = 512 << 20;

pub(crate) async fn get(
    State(service): State<QueryService>,
    RawQuery(query): RawQuery,
    Asker(caller): Asker,
    headers: HeaderMap,
) -> Response {
    match read_parameters(query.as_deref().unwrap_or_default()) {
        Ok(Some(asked)) => ask(&service, caller, &headers, asked).await,
        Ok(None) => description::response(&service.inner().public_url),
        Err(error) => refuse(&service, error),
    }
}

pub(crate) async fn post(
    State(service): State<QueryService>,
    RawQuery(query): RawQuery,
    Asker(caller): Asker,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = match BodyKind::of(content_type) {
        Ok(kind) => kind,
        Err(error) => return refuse(&service, error),
    };
    let Ok(read) = tokio::time::timeout(BODY_WITHIN, to_bytes(body, kind.longest())).await else {
        return Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time").into_response();
    };
    // The limit is the usual reason; a connection that broke gets no answer anyway.
    let Ok(bytes) = read else {
        return refuse(&service, ProtocolError::TooLarge);
    };
    match read_body(kind, query.as_deref().unwrap_or_default(), &bytes) {
        Ok(asked) => ask(&service, caller, &headers, asked).await,
        Err(error) => refuse(&service, error),
    }
}

fn refuse(service: &QueryService, error: ProtocolError) -> Response {
    count(service.inner(), "none", "refused");
    Refusal::new(error.status(), error.to_string()).into_response()
}

fn count(inner: &Inner, form: &str, outcome: &str) {
    inner.counters.queries.with_label_values(&[form, outcome]).inc();
    if outcome == WITHHELD {
        inner.counters.withheld.with_label_values::<&str>(&[]).inc();
    }
}

async fn ask(service: &QueryService, caller: Caller, headers: &HeaderMap, asked: Asked) -> Response {
    let inner = service.inner();
    let refused = |refusal: Refusal| {
        count(inner, "none", refusal.outcome);
        refusal.into_response()
    };
    if nesting::is_too_deep(&asked.query) {
        let why =
            "brackets are nested more than 100 deep, or 1000 signs are in a row: write the query flatter";
        return refused(Refusal::new(StatusCode::BAD_REQUEST, why));
    }
    if let Err(refusal) = covered::wait(inner, caller.clone(), headers).await {
        return refused(refusal);
    }
    let turn = inner.slots.clone().acquire_owned();
    let within = inner.clock.sleep(Duration::from_secs(inner.config.queue_seconds));
    let slot = tokio::select! {
        Ok(slot) = turn => slot,
        () = within => return refused(Refusal::busy()),
    };
    let accept = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let work = Work {
        caller,
        accept: accept.map(str::to_owned).collect(),
        asked,
        stop: Stop::default(),
        inner: inner.clone(),
    };
    match begin(work, slot).await {
        Ok((content_type, body)) => {
            let mut response = Response::new(body);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.insert(header::VARY, HeaderValue::from_static("Accept"));
            headers.insert(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            );
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Everything that the query's thread needs.
struct Work {
    caller: Caller,
    accept: Vec<String>,
    asked: Asked,
    stop: Stop,
    inner: Arc<Inner>,
}

/// The forms that an answer is written in, and the content type that says so.
#[derive(Clone, Copy)]
struct Written {
    content_type: &'static str,
    rows: RowFormat,
    triples: TripleFormat,
}

/// Starts the query on a thread of its own and waits for the first block of its answer.
async fn begin(work: Work, slot: OwnedSemaphorePermit) -> Result<(&'static str, Body), Refusal> {
    let stop = work.stop.clone();
    let (writer, answer) = answer::<Refusal>(move || stop.stop(), PATIENCE);
    let (head, told) = oneshot::channel();
    let span = tracing::Span::current();
    let thread = move || {
        let _entered = span.entered();
        run(work, writer, head);
        drop(slot);
    };
    let started = std::thread::Builder::new()
        .name("query".to_owned())
        .stack_size(STACK)
        .spawn(thread);
    if let Err(error) = started {
        tracing::error!(%error, "no thread for a query");
        return Err(Refusal::busy());
    }
    // Without a word the thread is gone: it panicked, and the panic is in the log.
    match answer.begin().await.ok_or_else(Refusal::failed)? {
        Begun::Failed(refusal) => Err(refusal),
        Begun::Body(body) => Ok((told.await.map_err(|_| Refusal::failed())?, body)),
    }
}

fn run(work: Work, mut writer: AnswerWriter<Refusal>, head: oneshot::Sender<&'static str>) {
    let inner = work.inner.clone();
    let running = inner.counters.running.with_label_values::<&str>(&[]);
    running.inc();
    let began = inner.clock.monotonic();
    let mut form = "none";
    let result = evaluate(&work, &mut writer, head, &mut form);
    let took = inner.clock.monotonic().saturating_sub(began);
    running.dec();
    inner
        .counters
        .seconds
        .with_label_values(&[form])
        .observe(took.as_secs_f64());
    match result {
        Ok(rows) => {
            count(&inner, form, "answered");
            tracing::debug!(
                form,
                rows,
                took_ms = took.as_millis() as u64,
                caller = work.caller.as_str(),
                "query answered"
            );
            writer.end();
        }
        Err(refusal) => {
            count(&inner, form, refusal.outcome);
            tracing::debug!(form, why = %refusal, took_ms = took.as_millis() as u64, "query not answered");
            writer.fail(refusal);
        }
    }
}

fn evaluate(
    work: &Work,
    writer: &mut AnswerWriter<Refusal>,
    head: oneshot::Sender<&'static str>,
    form: &mut &'static str,
) -> Result<u64, Refusal> {
    let Asked {
        query,
        default_graphs,
        named_graphs,
    } = &work.asked;
    let query = Query::parse(query, None)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?
        .with_dataset(default_graphs.clone(), named_graphs.clone());
    *form = word(query.form());
    query
        .check_complexity()
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let written = written(query.form(), &work.accept)?;
    // Nobody to tell: the client is gone, and the first block will find out.
    let _ = head.send(written.content_type);
    let snapshot = work.inner.reader.snapshot()?;
    let visible = snapshot.visible(&work.caller, work.inner.today())?;
    // An answer on its way ends when its caller loses something, not when he has read it all.
    let (inner, seen) = (work.inner.clone(), visible.clone());
    writer.ask_before_blocks(move || match inner.reader.still_holds(&seen, inner.today()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::revoked()),
        Err(error) => Err(error.into()),
    });
    let limits = work.inner.config.query_limits();
    let rows = snapshot.query(&visible, &query, limits, &work.stop, |answer| {
        answer.write(written.rows, written.triples, writer)
    })?;
    Ok(rows)
}

const fn word(form: QueryForm) -> &'static str {
    match form {
        QueryForm::Select => "select",
        QueryForm::Ask => "ask",
        QueryForm::Construct => "construct",
        QueryForm::Describe => "describe",
    }
}

fn written(form: QueryForm, accept: &[String]) -> Result<Written, Refusal> {
    let accept = accept.iter().map(String::as_str);
    let none = |names: String| {
        Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            format!("the answer can be had as {names}"),
        )
    };
    let (rows, triples) = (RowFormat::Json, TripleFormat::Turtle);
    match form {
        QueryForm::Select | QueryForm::Ask => {
            let (content_type, rows) = choose(accept, ROWS).ok_or_else(|| none(names(ROWS)))?;
            Ok(Written {
                content_type: with_charset(content_type),
                rows,
                triples,
            })
        }
        QueryForm::Construct | QueryForm::Describe => {
            let (content_type, triples) = choose(accept, TRIPLES).ok_or_else(|| none(names(TRIPLES)))?;
            Ok(Written {
                content_type: with_charset(content_type),
                rows,
                triples,
            })
        }
    }
}

/// Text types have another encoding without being told.
fn with_charset(content_type: &'static str) -> &'static str {
    match content_type {
        "text/csv" => "text/csv; charset=utf-8",
        "text/tab-separated-values" => "text/tab-separated-values; charset=utf-8",
        "text/turtle" => "text/turtle; charset=utf-8",
        "text/plain" => "text/plain; charset=utf-8",
        "text/xml" => "text/xml; charset=utf-8",
        other => other,
    }
}
