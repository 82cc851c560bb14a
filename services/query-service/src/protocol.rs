//! SPARQL 1.1 Protocol, section 2.1: what is asked, in any of the three forms.

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;

/// The longest query text, in bytes.
pub(crate) const LONGEST_QUERY: usize = 64 * 1024;

/// The longest body of a form: a query of the longest kind with every byte escaped, and graph names.
pub(crate) const LONGEST_FORM: usize = 4 * LONGEST_QUERY;

/// The most graphs that a request may name.
const MOST_GRAPHS: usize = 1_000;

/// A query as it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Asked {
    pub query: String,
    /// `default-graph-uri`.
    pub default_graphs: Vec<String>,
    /// `named-graph-uri`.
    pub named_graphs: Vec<String>,
}

/// Why a request is not a query that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("there is no query: give one as ?query=…, in a form, or as application/sparql-query")]
    NoQuery,
    #[error("there is more than one query: give exactly one")]
    SeveralQueries,
    #[error("updates are refused: this endpoint is read-only")]
    Update,
    #[error("the request is not UTF-8: queries are sent in UTF-8, percent-encoded where needed")]
    NotUtf8,
    #[error("the query is longer than 65,536 bytes: make it shorter")]
    TooLarge,
    #[error("more than 1,000 graphs are named: name fewer, or use GRAPH ?g in the query")]
    TooManyGraphs,
    #[error(
        "this content type is not understood: send application/x-www-form-urlencoded or application/sparql-query"
    )]
    ContentType,
}

impl ProtocolError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The kind of a POST body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyKind {
    Form,
    Query,
}

impl BodyKind {
    /// By the `Content-Type` header.
    pub(crate) fn of(content_type: Option<&str>) -> Result<Self, ProtocolError> {
        let kind = content_type
            .and_then(|text| text.split(';').next())
            .unwrap_or_default()
            .trim();
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Ok(Self::Form)
        } else if kind.eq_ignore_ascii_case("application/sparql-query") {
            Ok(Self::Query)
        } else if kind.eq_ignore_ascii_case("application/sparql-update") {
            Err(ProtocolError::Update)
        } else {
            Err(ProtocolError::ContentType)
        }
    }

    /// The longest body of this kind.
    pub(crate) fn longest(self) -> usize {
        match self {
            Self::Form => LONGEST_FORM,
            Self::Query => LONGEST_QUERY,
        }
    }
}

/// Reads `GET /sparql?…`, or a form. `None`: no parameter of the protocol is there, so the service description is asked for.
pub(crate) fn read_parameters(encoded: &str) -> Result<Option<Asked>, ProtocolError> {
    let mut asked = Asked::default();
    let (mut query, mut any) = (None, false);
    for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match &*decode(name)? {
            "query" if query.is_some() => return Err(ProtocolError::SeveralQueries),
            "query" => query = Some(decode(value)?),
            "update" | "using-graph-uri" | "using-named-graph-uri" => return Err(ProtocolError::Update),
            "default-graph-uri" => asked.default_graphs.push(decode(value)?),
            "named-graph-uri" => asked.named_graphs.push(decode(value)?),
            _ => continue,
        }
        any = true;
    }
    match query {
        Some(query) => asked.query = query,
        None if any => return Err(ProtocolError::NoQuery),
        None => return Ok(None),
    }
    bounded(asked).map(Some)
}

/// Reads a POST: `encoded` is the query string of the URL.
pub(crate) fn read_body(kind: BodyKind, encoded: &str, body: &[u8]) -> Result<Asked, ProtocolError> {
    let text = std::str::from_utf8(body).map_err(|_| ProtocolError::NotUtf8)?;
    match kind {
        BodyKind::Form => read_parameters(text)?.ok_or(ProtocolError::NoQuery),
        BodyKind::Query => {
            // The graphs are in the URL; the query must not be there as well.
            let query = format!("query=&{encoded}");
            let mut asked = read_parameters(&query)?.ok_or(ProtocolError::NoQuery)?;
            asked.query = text.to_owned();
            bounded(asked)
        }
    }
}

fn bounded(asked: Asked) -> Result<Asked, ProtocolError> {
    if asked.query.len() > LONGEST_QUERY {
        Err(ProtocolError::TooLarge)
    } else if asked.default_graphs.len() + asked.named_graphs.len() > MOST_GRAPHS {
        Err(ProtocolError::TooManyGraphs)
    } else {
        Ok(asked)
    }
}

fn decode(text: &str) -> Result<String, ProtocolError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|_| ProtocolError::NotUtf8)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_forms_of_one_query() {
        let wanted = Asked {
            query: "ASK { ?s ?p \"a+b\" }".into(),
            default_graphs: vec!["http://a/b".into()],
            named_graphs: vec!["http://c".into(), "http://d".into()],
        };
        let graphs = "default-graph-uri=http%3A%2F%2Fa%2Fb&named-graph-uri=http://c&named-graph-uri=http://d";
        let query = "query=ASK+%7B%20?s+?p+%22a%2Bb%22+%7D";
        assert_eq!(
            read_parameters(&format!("{query}&{graphs}&x=y")),
            Ok(Some(wanted.clone()))
        );
        assert_eq!(
            read_body(BodyKind::Form, "", format!("{graphs}&{query}").as_bytes()),
            Ok(wanted.clone())
        );
        assert_eq!(
            read_body(BodyKind::Query, graphs, wanted.query.as_bytes()),
            Ok(wanted)
        );
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(read_parameters(""), Ok(None));
        assert_eq!(read_parameters("x=y&&"), Ok(None));
        for (text, error) in [
            ("default-graph-uri=http://a", ProtocolError::NoQuery),
            ("query=a&query=b", ProtocolError::SeveralQueries),
            ("update=DROP+ALL", ProtocolError::Update),
            ("query=a&using-graph-uri=http://a", ProtocolError::Update),
            ("query=%ff", ProtocolError::NotUtf8),
        ] {
            assert_eq!(read_parameters(text), Err(error), "{text}");
        }
        assert_eq!(
            read_body(BodyKind::Form, "query=a", b""),
            Err(ProtocolError::NoQuery)
        );
        assert_eq!(
            read_body(BodyKind::Query, "query=a", b"b"),
            Err(ProtocolError::SeveralQueries)
        );
        assert_eq!(
            read_body(BodyKind::Query, "", b"\xff"),
            Err(ProtocolError::NotUtf8)
        );
        let long = vec![b'a'; LONGEST_QUERY + 1];
        assert_eq!(
            read_body(BodyKind::Query, "", &long),
            Err(ProtocolError::TooLarge)
        );
        let graphs = "named-graph-uri=a&".repeat(MOST_GRAPHS + 1);
        assert_eq!(
            read_parameters(&format!("query=a&{graphs}")),
            Err(ProtocolError::TooManyGraphs)
        );
    }

    #[test]
    fn kinds_of_bodies() {
        assert_eq!(
            BodyKind::of(Some("application/sparql-query; charset=utf-8")),
            Ok(BodyKind::Query)
        );
        assert_eq!(
            BodyKind::of(Some("Application/X-WWW-Form-Urlencoded")),
            Ok(BodyKind::Form)
        );
        assert_eq!(
            BodyKind::of(Some("application/sparql-update")),
            Err(ProtocolError::Update)
        );
        assert_eq!(BodyKind::of(Some("text/plain")), Err(ProtocolError::ContentType));
        assert_eq!(BodyKind::of(None), Err(ProtocolError::ContentType));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".{0,200}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_parameters(&text);
            let _ = read_body(BodyKind::Form, &text, &body);
            let _ = read_body(BodyKind::Query, &text, &body);
        }

        #[test]
        fn encoded_queries_come_back(query in ".{1,200}") {
            let encoded = percent_encoding::utf8_percent_encode(&query, percent_encoding::NON_ALPHANUMERIC);
            let asked = read_parameters(&format!("query={encoded}")).unwrap().unwrap();
            prop_assert_eq!(asked.query, query);
        }
    }
}
