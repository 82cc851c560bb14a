//! Bodies of annotations: JSON-LD that is stored verbatim, turned into triples.
//!
//! The order in which blank nodes are met is the one of the JSON-LD flattening algorithm, because the `renku` CLI numbers
//! them in it and writes the numbers as IRIs.

use std::collections::HashMap;

use rdf::{Known, double_from_json};

use crate::expand::{Expander, Item, NodeObject};
use crate::json::{Json, is_integer};

/// Why a body gives no triples.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    Unusable(&'static str),
    RemoteContext(String),
}

/// A term of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Term {
    /// An `@id`: the host rule applies.
    Id(Box<str>),
    /// A type: taken as it is.
    Iri(Box<str>),
    /// The n-th blank node of the body.
    Blank(u32),
    /// The n-th cell of the body's lists.
    Cell(u32),
    Nil,
    Text(Box<str>),
    Integer(Box<str>),
    Double(Box<str>),
    Boolean(bool),
    LangText {
        text: Box<str>,
        tag: Box<str>,
    },
    Typed {
        text: Box<str>,
        datatype: Box<str>,
    },
}

/// A body's triples.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// What the annotation points at.
    pub(crate) roots: Vec<Term>,
    pub(crate) triples: Vec<(Term, Box<str>, Term)>,
    /// The labels of the blank nodes, in the order in which they are first met. Nodes without a label have none.
    pub(crate) blanks: Vec<Option<Box<str>>>,
    /// How many list cells there are.
    pub(crate) cells: u32,
}

impl Body {
    pub(crate) fn read(json: &Json<'_>) -> Result<Self, BodyError> {
        let items = Expander::default().expand(json)?;
        let mut flattener = Flattener::default();
        for item in &items {
            if let Some(root) = flattener.item(item) {
                flattener.body.roots.push(root);
            }
        }
        Ok(flattener.body)
    }

    pub(crate) fn weight(&self) -> usize {
        (self.roots.len() + self.blanks.len()) * 64 + self.triples.len() * 192
    }
}

#[derive(Default)]
struct Flattener {
    body: Body,
    labels: HashMap<Box<str>, u32>,
}

impl Flattener {
    fn blank(&mut self, label: Option<&str>) -> Term {
        if let Some(&number) = label.and_then(|label| self.labels.get(label)) {
            return Term::Blank(number);
        }
        let number = self.body.blanks.len() as u32;
        self.body.blanks.push(label.map(Into::into));
        if let Some(label) = label {
            self.labels.insert(label.into(), number);
        }
        Term::Blank(number)
    }

    fn name(&mut self, id: Option<&str>) -> Term {
        match id {
            Some(id) if id.starts_with("_:") => self.blank(Some(id)),
            Some(id) => Term::Id(id.into()),
            None => self.blank(None),
        }
    }

    fn item(&mut self, item: &Item<'_>) -> Option<Term> {
        match item {
            Item::Value {
                json,
                datatype,
                language,
            } => literal(json, datatype.as_deref(), language.as_deref()),
            Item::List(items) => Some(self.list(items)),
            Item::Node(node) => {
                let name = self.name(node.id.as_deref());
                self.node(&name, node);
                Some(name)
            }
        }
    }

    fn list(&mut self, items: &[Item<'_>]) -> Term {
        let mut first = None;
        let mut last: Option<Term> = None;
        for item in items {
            let Some(value) = self.item(item) else { continue };
            let cell = Term::Cell(self.body.cells);
            self.body.cells += 1;
            if let Some(last) = last.replace(cell.clone()) {
                self.triple(last, Known::RdfRest.as_str(), cell.clone());
            }
            first.get_or_insert(cell.clone());
            self.triple(cell, Known::RdfFirst.as_str(), value);
        }
        if let Some(last) = last {
            self.triple(last, Known::RdfRest.as_str(), Term::Nil);
        }
        first.unwrap_or(Term::Nil)
    }

    fn triple(&mut self, subject: Term, predicate: &str, object: Term) {
        self.body.triples.push((subject, predicate.into(), object));
    }

    /// Types name their blank nodes first, then come the reverse properties, then the others by their IRI.
    fn node(&mut self, name: &Term, node: &NodeObject<'_>) {
        let types: Vec<Term> = node
            .types
            .iter()
            .map(|name| match name.starts_with("_:") {
                true => self.blank(Some(name)),
                false => Term::Iri(name.as_str().into()),
            })
            .collect();
        for (property, nodes) in &node.reverse {
            for item in nodes {
                if let Some(subject) = self.item(item) {
                    self.triple(subject, property, name.clone());
                }
            }
        }
        for term in types {
            self.triple(name.clone(), Known::RdfType.as_str(), term);
        }
        for (property, items) in &node.properties {
            for item in items {
                if let Some(object) = self.item(item) {
                    self.triple(name.clone(), property, object);
                }
            }
        }
    }
}

fn literal(json: &Json<'_>, datatype: Option<&str>, language: Option<&str>) -> Option<Term> {
    let typed = |text: &str| match datatype {
        Some(datatype) => Term::Typed {
            text: text.into(),
            datatype: datatype.into(),
        },
        None => Term::Text(text.into()),
    };
    Some(match json {
        Json::String(text) => match language {
            Some(tag) if datatype.is_none() => Term::LangText {
                text: text.as_ref().into(),
                tag: tag.into(),
            },
            _ => typed(text),
        },
        Json::Bool(value) if datatype.is_none() => Term::Boolean(*value),
        Json::Bool(value) => typed(if *value { "true" } else { "false" }),
        Json::Number(number) if is_integer(number) && datatype.is_none() => Term::Integer((*number).into()),
        Json::Number(number) if is_integer(number) => typed(number),
        Json::Number(number) => {
            let double = double_from_json(number)?;
            match datatype {
                None => Term::Double(double.into()),
                Some(_) => typed(&double),
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Result<Body, BodyError> {
        Body::read(&Json::parse(text).unwrap())
    }

    #[test]
    fn plain_nodes() {
        let body = body(r#"{"@type": "http://n/T", "http://n/b": {"http://n/c": 1}, "http://n/a": [2.5, true, "x"], "dropped": 1}"#).unwrap();
        assert_eq!(body.roots, [Term::Blank(0)]);
        assert_eq!(body.blanks, [None, None]);
        assert_eq!(body.triples.len(), 6);
        assert_eq!(body.triples[4].2, Term::Integer("1".into()));
    }

    #[test]
    fn inline_contexts() {
        let body = body(
            r#"{"@context": {"@vocab": "http://v/", "s": "http://s/", "when": {"@id": "s:when", "@type": "s:date"},
                 "see": {"@type": "@id"}, "de": {"@id": "s:label", "@language": "de"}, "list": {"@container": "@list"},
                 "by": {"@reverse": "s:made"}, "gone": null},
               "@id": "/x", "when": "2020", "see": "rel", "de": "hallo", "list": [1, 2], "by": {"@id": "http://m"},
               "gone": 1, "s:p": {"@value": "q", "@language": "fr"}, "plain": "t"}"#,
        )
        .unwrap();
        let has = |subject: Term, predicate: &str, object: Term| {
            assert!(
                body.triples
                    .contains(&(subject, predicate.into(), object.clone())),
                "{predicate} {object:?} in {body:#?}"
            );
        };
        let x = || Term::Id("/x".into());
        has(
            x(),
            "http://s/when",
            Term::Typed {
                text: "2020".into(),
                datatype: "http://s/date".into(),
            },
        );
        has(x(), "http://v/see", Term::Id("rel".into()));
        has(
            x(),
            "http://s/label",
            Term::LangText {
                text: "hallo".into(),
                tag: "de".into(),
            },
        );
        has(
            x(),
            "http://s/p",
            Term::LangText {
                text: "q".into(),
                tag: "fr".into(),
            },
        );
        has(Term::Id("http://m".into()), "http://s/made", x());
        has(x(), "http://v/plain", Term::Text("t".into()));
        has(x(), "http://v/list", Term::Cell(0));
        has(Term::Cell(1), Known::RdfRest.as_str(), Term::Nil);
        assert_eq!(body.triples.len(), 11);
    }

    #[test]
    fn remote_contexts_are_never_fetched() {
        assert_eq!(
            body(r#"{"@context": ["https://schema.org"], "name": "x"}"#),
            Err(BodyError::RemoteContext("https://schema.org".to_owned()))
        );
        assert_eq!(
            body(r#"{"http://a/b": {"@context": {"@import": "http://r"}}}"#),
            Err(BodyError::RemoteContext("http://r".to_owned()))
        );
    }

    #[test]
    fn bad_bodies_are_errors() {
        for bad in [
            r#"{"@id": 1}"#,
            r#"{"@context": 1}"#,
            r#"{"@context": {"a": {"@id": "b:x"}, "b": "a:y"}}"#,
            r#"{"http://a": {"@value": {}}}"#,
            r#"{"http://a": {"@list": [], "@id": "x"}}"#,
            r#"{"@type": 3}"#,
        ] {
            assert!(matches!(body(bad), Err(BodyError::Unusable(_))), "{bad}");
        }
    }

    #[test]
    fn many_contexts_are_stopped() {
        let terms: Vec<String> = (0..3_000)
            .map(|n| format!("\"t{n}\": \"http://t/{n}\""))
            .collect();
        let inner = vec![r#"{"@context": {"x": "http://x"}}"#; 3_000].join(",");
        let text = format!(
            "{{\"@context\": {{{}}}, \"http://p\": [{inner}]}}",
            terms.join(",")
        );
        assert!(matches!(body(&text), Err(BodyError::Unusable(_))));
    }
}
