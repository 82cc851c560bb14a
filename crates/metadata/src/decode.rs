//! From a file's JSON to an [`ObjectFile`].

use std::borrow::Cow;

use rdf::{Known, double_from_json};

use crate::body::{Body, BodyError};
use crate::class::{Class, Field, Holds};
use crate::error::Damage;
use crate::json::{self, Json, is_integer};
use crate::object::{Key, Nodes, ObjectFile, Reference, Span, Statement, Texts, Value};
use crate::oid::is_oid;

const TYPE: &str = "@renku_data_type";
const OID: &str = "@renku_oid";
const VALUE: &str = "@renku_data_value";
const REFERENCE: &str = "@renku_reference";

/// Why a file could not be decoded.
#[derive(Debug)]
pub(crate) enum DecodeError {
    Damage(Damage),
    RemoteContext(String),
}

impl From<Damage> for DecodeError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

fn shape(what: &'static str) -> Damage {
    Damage::Shape { what }
}

/// A file's JSON with the database's own encodings resolved.
pub(crate) struct State<'a> {
    pub(crate) class: Class,
    pub(crate) class_name: Cow<'a, str>,
    /// The state of the file's own object.
    pub(crate) state: Json<'a>,
    /// The embedded objects in walk order.
    embedded: Vec<(Class, Json<'a>)>,
    finished: Vec<u32>,
    pub(crate) references: Vec<Reference>,
}

/// Reads the encoding: every file is one object with a class, an oid and a state.
pub(crate) fn read_state(text: &str) -> Result<State<'_>, Damage> {
    let mut json = Json::parse(text)?;
    let Some(Json::String(class_name)) = json.get(TYPE).cloned() else {
        return Err(shape("it has no \"@renku_data_type\""));
    };
    let mut walk = State {
        class: Class::of(&class_name),
        class_name,
        state: Json::Null,
        embedded: Vec::new(),
        finished: Vec::new(),
        references: Vec::new(),
    };
    let Json::Object(entries) = &mut json else {
        return Err(shape("it is not an object"));
    };
    let value = entries.iter().position(|(key, _)| key == VALUE);
    let mut state = match value {
        Some(place) => std::mem::take(&mut entries[place].1),
        None => {
            entries.retain(|(key, _)| key != TYPE && key != OID);
            std::mem::take(&mut json)
        }
    };
    walk.value(&mut state)?;
    walk.state = state;
    Ok(walk)
}

impl<'a> State<'a> {
    fn children(&mut self, json: &mut Json<'a>) -> Result<(), Damage> {
        match json {
            Json::Array(items) => items.iter_mut().try_for_each(|item| self.value(item)),
            Json::Object(entries) => entries.iter_mut().try_for_each(|(_, value)| self.value(value)),
            _ => Ok(()),
        }
    }

    /// Replaces the database's encodings inside `json`. Keys are sorted, which is the order that numbers count in.
    fn value(&mut self, json: &mut Json<'a>) -> Result<(), Damage> {
        let Json::Object(entries) = json else {
            return self.children(json);
        };
        let place_of = |key: &str| json::place_of(entries, key);
        let Some(Json::String(name)) = place_of(TYPE).map(|place| entries[place].1.clone()) else {
            return self.children(json);
        };
        if let Some(place) = place_of(OID) {
            if place_of(REFERENCE).is_some() {
                let oid = entries[place].1.as_str().filter(|oid| is_oid(oid));
                let oid = oid.ok_or(shape("a reference has no proper \"@renku_oid\""))?;
                self.references.push(Reference {
                    class: Class::of(&name),
                    oid: oid.into(),
                });
                *json = Json::Persistent(self.references.len() as u32 - 1);
                return Ok(());
            }
            // An index, inline in the root.
            return self.children(json);
        }
        let mut data = place_of(VALUE).map_or(Json::Null, |place| std::mem::take(&mut entries[place].1));
        match &*name {
            "datetime.datetime" | "datetime" => match data {
                Json::String(text) => *json = Json::Date(text),
                _ => return Err(shape("a date-time has no text")),
            },
            "builtins.tuple" | "tuple" | "set" | "frozenset" | "builtins.set" | "builtins.frozenset" => {
                self.children(&mut data)?;
                *json = data;
            }
            "type" | "function" | "builtins.type" | "builtins.function" => *json = Json::Null,
            "reference" => match data {
                Json::Number(number) => {
                    let number = number
                        .parse::<u32>()
                        .ok()
                        .filter(|&n| (n as usize) < self.embedded.len());
                    *json =
                        Json::Node(number.ok_or(shape("a \"reference\" counts objects that are not there"))?);
                }
                _ => return Err(shape("a \"reference\" has no number")),
            },
            _ => {
                let number = self.embedded.len();
                self.embedded.push((Class::of(&name), Json::Null));
                self.children(&mut data)?;
                self.embedded[number].1 = data;
                self.finished.push(number as u32 + 1);
                *json = Json::Node(number as u32);
            }
        }
        Ok(())
    }
}

/// Decodes the file of a domain object.
pub(crate) fn decode(text: &str) -> Result<ObjectFile, DecodeError> {
    let State {
        class,
        state,
        embedded,
        finished,
        references,
        ..
    } = read_state(text)?;
    let mut decoder = Decoder {
        texts: Texts::default(),
        out: Nodes::default(),
        embedded: &embedded,
        bodies: Vec::new(),
    };
    let stored_id = state.get("id").and_then(Json::as_str).unwrap_or("").to_owned();
    decoder.node(class, &state, true)?;
    for (class, attributes) in &embedded {
        decoder.node(*class, attributes, false)?;
    }
    if class == Class::WorkflowFilePlan {
        decoder.correct_parameter_ids(&state);
    }
    let ancestor = decoder.ancestor(class, &state, &stored_id);
    let slug = (class == Class::Dataset)
        .then(|| dataset_names(&state).0.and_then(Json::as_str))
        .flatten();
    let Decoder {
        mut texts,
        out,
        bodies,
        ..
    } = decoder;
    let text_of = |json: Option<&Json<'_>>| json.and_then(Json::as_str).map(str::to_owned);
    let project_id = text_of(state.get("project_id")).map(|id| texts.add(&id));
    Ok(ObjectFile {
        stored_id: texts.add(&stored_id),
        project_id,
        ancestor: ancestor.map(|id| texts.add(&id)),
        slug: slug.map(|slug| texts.add(slug)),
        texts: texts.finish(),
        nodes: out.nodes.into(),
        statements: out.statements.into(),
        finished: finished.into(),
        references: references.into(),
        bodies: bodies.into(),
    })
}

/// Slug and name of a dataset. Before 2.8 there was no slug: the name was what the slug is now, the title what the name is.
fn dataset_names<'j, 'a>(state: &'j Json<'a>) -> (Option<&'j Json<'a>>, Option<&'j Json<'a>>) {
    let has_text = |json: &&Json<'_>| !matches!(json, Json::Null) && json.as_str() != Some("");
    match state.get("slug").filter(has_text) {
        Some(slug) => (Some(slug), state.get("name")),
        None => (state.get("name"), state.get("title")),
    }
}

/// Releases up to 2.4.1 wrote `/plans//plans/x`.
fn corrected(id: &str) -> Cow<'_, str> {
    if id.contains("//plans/") {
        Cow::Owned(id.replace("//plans/", "/"))
    } else {
        Cow::Borrowed(id)
    }
}

struct Decoder<'j, 'a> {
    texts: Texts,
    out: Nodes,
    embedded: &'j [(Class, Json<'a>)],
    bodies: Vec<(u32, Body)>,
}

impl<'j, 'a> Decoder<'j, 'a> {
    fn node(&mut self, class: Class, state: &'j Json<'a>, is_top: bool) -> Result<(), DecodeError> {
        let id = state.get("id").and_then(Json::as_str);
        let key = id.filter(|_| !is_top).and_then(Key::of);
        let written = match (id, class) {
            (Some(id), Class::WorkflowFilePlan | Class::WorkflowFileCompositePlan) => Some(corrected(id)),
            (Some(id), _) => Some(Cow::Borrowed(id)),
            (None, _) => None,
        };
        let written = written.map(|id| self.texts.add(&id));
        self.out.start(class, written, key);
        let owner = Owner {
            class,
            id: id.unwrap_or(""),
        };
        if class == Class::ProjectTemplateMetadata {
            // Its triples are the project's, see below.
            return Ok(());
        }
        self.fields(owner, class.fields(), state)?;
        match class {
            Class::Dataset => {
                let (slug, name) = dataset_names(state);
                for (attribute, predicate, json) in [
                    ("slug", Known::RenkuSlug, slug),
                    ("name", Known::SchemaName, name),
                ] {
                    let field = Field {
                        attribute,
                        predicate,
                        holds: Holds::Text,
                    };
                    self.field(owner, &field, json, state)?;
                }
            }
            Class::Project => {
                if let Some(Json::Node(number)) = state.get("template_metadata")
                    && let (Class::ProjectTemplateMetadata, attributes) = &self.embedded[*number as usize]
                {
                    self.fields(owner, Class::ProjectTemplateMetadata.fields(), attributes)?;
                }
            }
            Class::Annotation => {
                let body =
                    Body::read(state.get("body").unwrap_or(&Json::Null)).map_err(|error| match error {
                        BodyError::Unusable(what) => DecodeError::Damage(Damage::Body { what }),
                        BodyError::RemoteContext(url) => DecodeError::RemoteContext(url),
                    })?;
                self.bodies.push((self.out.nodes.len() as u32 - 1, body));
            }
            _ => {}
        }
        Ok(())
    }

    fn fields(&mut self, owner: Owner<'_>, fields: &'static [Field], state: &Json<'a>) -> Result<(), Damage> {
        fields
            .iter()
            .try_for_each(|field| self.field(owner, field, state.get(field.attribute), state))
    }

    fn field(
        &mut self,
        owner: Owner<'_>,
        field: &Field,
        json: Option<&Json<'a>>,
        state: &Json<'a>,
    ) -> Result<(), Damage> {
        match json {
            None | Some(Json::Null) => Ok(()),
            Some(Json::Array(items)) => items
                .iter()
                .try_for_each(|item| self.item(owner, field, item, state)),
            Some(item) => self.item(owner, field, item, state),
        }
    }

    fn item(
        &mut self,
        owner: Owner<'_>,
        field: &Field,
        json: &Json<'a>,
        state: &Json<'a>,
    ) -> Result<(), Damage> {
        let bad = |expected| Damage::Attribute {
            class: owner.class.name(),
            id: owner.id.chars().take(200).collect(),
            attribute: field.attribute,
            expected,
        };
        let value = match (field.holds, json) {
            (_, Json::Null) => return Ok(()),
            (Holds::Text | Holds::TextOrIri, _) => match text_of(json) {
                Some(text) => Value::Text(self.texts.add(&text)),
                None => match json.get("@id").and_then(Json::as_str) {
                    Some(id) if field.holds == Holds::TextOrIri => Value::Iri(self.texts.add(id)),
                    _ => return Err(bad("a text")),
                },
            },
            (Holds::Raw, Json::Bool(value)) => Value::Boolean(*value),
            (Holds::Raw, Json::Number(number)) if is_integer(number) => Value::Integer(self.integer(number)),
            (Holds::Raw, Json::Number(number)) => match double_from_json(number) {
                Some(double) => Value::Double(self.texts.add(&double)),
                None => return Err(bad("a number")),
            },
            (Holds::Raw, Json::String(text) | Json::Date(text)) => Value::Text(self.texts.add(text)),
            (Holds::Raw, Json::Array(items)) => {
                return items
                    .iter()
                    .try_for_each(|item| self.item(owner, field, item, state));
            }
            (Holds::Raw, _) => return Err(bad("a text, a number or a boolean")),
            (Holds::Date, Json::Date(text) | Json::String(text)) => Value::Text(self.date(text)),
            (Holds::DateTime, Json::Date(text) | Json::String(text)) => Value::DateTime(self.date(text)),
            (Holds::ExactDateTime, Json::Date(text) | Json::String(text)) => {
                Value::DateTime(self.texts.add(text))
            }
            (Holds::Day, Json::Date(text) | Json::String(text)) => {
                Value::Text(self.texts.add(text.get(..10).unwrap_or(text)))
            }
            (Holds::Date | Holds::DateTime | Holds::ExactDateTime | Holds::Day, _) => {
                return Err(bad("a date"));
            }
            (Holds::Iri, Json::String(id)) => Value::Iri(self.texts.add(id)),
            (Holds::Iri, _) => return Err(bad("an id")),
            (Holds::Integer, Json::Number(number)) if is_integer(number) => {
                Value::Integer(self.integer(number))
            }
            (Holds::Integer, Json::String(number)) if !number.is_empty() && is_integer(number) => {
                Value::Integer(self.integer(number))
            }
            (Holds::Integer, _) => return Err(bad("an integer")),
            (Holds::Boolean, Json::Bool(value)) => Value::Boolean(*value),
            (Holds::External, Json::Bool(false)) => Value::Boolean(false),
            (Holds::External, Json::Bool(true)) => match self.path_of_entity(state) {
                Some(path) => Value::External(path),
                None => Value::Boolean(true),
            },
            (Holds::Boolean | Holds::External, _) => return Err(bad("a boolean")),
            (Holds::Nested | Holds::Reverse, Json::Node(number)) => {
                let (_, attributes) = &self.embedded[*number as usize];
                if attributes
                    .get("id")
                    .and_then(Json::as_str)
                    .is_none_or(str::is_empty)
                {
                    return Err(bad("objects with an id"));
                }
                Value::Node(number + 1)
            }
            (Holds::Nested | Holds::Reverse, Json::Persistent(place)) => Value::Persistent(*place),
            (Holds::Nested | Holds::Reverse, _) => return Err(bad("an object")),
        };
        self.out.statements.push(Statement {
            predicate: field.predicate,
            reverse: field.holds == Holds::Reverse,
            value,
        });
        Ok(())
    }

    /// Canonical: no `-0`, no zeros in front.
    fn integer(&mut self, number: &str) -> Span {
        let digits = number.strip_prefix('-').unwrap_or(number);
        let short = digits.trim_start_matches('0');
        let sign = if number.starts_with('-') && !short.is_empty() {
            "-"
        } else {
            ""
        };
        let short = if short.is_empty() { "0" } else { short };
        self.texts.add(&format!("{sign}{short}"))
    }

    /// The text without the fraction of seconds.
    fn date(&mut self, text: &str) -> Span {
        match text.split_once('.') {
            Some((front, rest)) => {
                let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                self.texts.add(&format!("{front}{zone}"))
            }
            None => self.texts.add(text),
        }
    }

    fn path_of_entity(&mut self, state: &Json<'a>) -> Option<Span> {
        match state.get("entity") {
            Some(Json::Node(number)) => {
                let path = self.embedded[*number as usize].1.get("path")?.as_str()?;
                Some(self.texts.add(path))
            }
            _ => None,
        }
    }

    fn correct_parameter_ids(&mut self, state: &Json<'a>) {
        for attribute in ["inputs", "outputs", "parameters"] {
            for item in state.get(attribute).and_then(Json::as_array).unwrap_or_default() {
                if let Json::Node(number) = item
                    && let Some(id) = self.embedded[*number as usize].1.get("id").and_then(Json::as_str)
                    && let Cow::Owned(id) = corrected(id)
                {
                    self.out.nodes[*number as usize + 1].id = Some(self.texts.add(&id));
                }
            }
        }
    }

    /// The dataset that this one was derived from: `derived_from` is set, `same_as` is not, and it is another one.
    fn ancestor(&self, class: Class, state: &Json<'a>, id: &str) -> Option<String> {
        if class != Class::Dataset || !matches!(state.get("same_as"), None | Some(Json::Null)) {
            return None;
        }
        let Some(Json::Node(number)) = state.get("derived_from") else {
            return None;
        };
        let url = &self.embedded[*number as usize].1;
        let text = |key| {
            url.get(key)
                .and_then(Json::as_str)
                .filter(|text| !text.is_empty())
        };
        if text("url_id") == Some(id) {
            return None;
        }
        text("url_str").or_else(|| text("url_id")).map(str::to_owned)
    }
}

#[derive(Clone, Copy)]
struct Owner<'o> {
    class: Class,
    id: &'o str,
}

/// What Python's `str` gives for a scalar.
fn text_of<'j>(json: &'j Json<'_>) -> Option<Cow<'j, str>> {
    match json {
        Json::String(text) | Json::Date(text) => Some(Cow::Borrowed(text)),
        Json::Number(number) => Some(Cow::Borrowed(number)),
        Json::Bool(true) => Some(Cow::Borrowed("True")),
        Json::Bool(false) => Some(Cow::Borrowed("False")),
        _ => None,
    }
}
