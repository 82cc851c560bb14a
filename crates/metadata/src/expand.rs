//! JSON-LD expansion, as far as bodies of annotations need it: inline contexts with terms, prefixes, `@vocab`, `@base`,
//! `@language`, type coercion, the containers `@list`, `@set`, `@language` and `@index`, reverse properties, and aliases.
//! Whatever is not read is an error, so that no triple is lost in silence.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::body::BodyError;
use crate::context::{Context, Definition};
use crate::json::Json;

/// How many term definitions may be made or copied for one body.
const CONTEXT_BUDGET: usize = 100_000;

pub(crate) fn bad<T>(what: &'static str) -> Result<T, BodyError> {
    Err(BodyError::Unusable(what))
}

/// Something expanded.
#[derive(Debug)]
pub(crate) enum Item<'j> {
    Value {
        json: &'j Json<'j>,
        datatype: Option<String>,
        language: Option<String>,
    },
    List(Vec<Item<'j>>),
    Node(NodeObject<'j>),
}

/// An expanded node object. Properties are sorted by IRI.
#[derive(Debug, Default)]
pub(crate) struct NodeObject<'j> {
    pub(crate) id: Option<String>,
    pub(crate) types: Vec<String>,
    pub(crate) properties: BTreeMap<String, Vec<Item<'j>>>,
    pub(crate) reverse: BTreeMap<String, Vec<Item<'j>>>,
}

/// Expands one body.
pub(crate) struct Expander {
    pub(crate) budget: usize,
    /// How deep definitions need each other just now.
    pub(crate) depth: usize,
}

impl Default for Expander {
    fn default() -> Self {
        Self {
            budget: CONTEXT_BUDGET,
            depth: 0,
        }
    }
}

impl Expander {
    pub(crate) fn expand<'j>(mut self, json: &'j Json<'j>) -> Result<Vec<Item<'j>>, BodyError> {
        let mut items = Vec::new();
        self.items(
            &Rc::new(Context::default()),
            &Definition::default(),
            json,
            &mut items,
        )?;
        Ok(items)
    }

    /// Expands a value of a property.
    fn items<'j>(
        &mut self,
        context: &Rc<Context>,
        definition: &Definition,
        json: &'j Json<'j>,
        out: &mut Vec<Item<'j>>,
    ) -> Result<(), BodyError> {
        match json {
            Json::Null => Ok(()),
            Json::Array(values) => values
                .iter()
                .try_for_each(|value| self.items(context, definition, value, out)),
            Json::Object(_) => {
                if let Some(item) = self.object(context, json, out)? {
                    out.push(item);
                }
                Ok(())
            }
            Json::String(text) => {
                let coerced = match definition.datatype.as_deref() {
                    Some("@id") => Some(context.expand(text, false)),
                    Some("@vocab") => Some(context.expand(text, true)),
                    _ => None,
                };
                match coerced {
                    Some(Some(id)) => out.push(Item::Node(NodeObject {
                        id: Some(id),
                        ..NodeObject::default()
                    })),
                    Some(None) => {}
                    None => out.push(context.literal(definition, json)),
                }
                Ok(())
            }
            Json::Bool(_) | Json::Number(_) => {
                out.push(context.literal(definition, json));
                Ok(())
            }
            Json::Date(_) | Json::Node(_) | Json::Persistent(_) => bad("it holds an object of the database"),
        }
    }

    /// Expands an object. A set's items go to `out`; anything else is returned.
    fn object<'j>(
        &mut self,
        outer: &Rc<Context>,
        json: &'j Json<'j>,
        out: &mut Vec<Item<'j>>,
    ) -> Result<Option<Item<'j>>, BodyError> {
        let Json::Object(entries) = json else {
            return Ok(None);
        };
        let context = match json.get("@context") {
            Some(local) => {
                let mut context = (**outer).clone();
                self.spend(context.terms.len())?;
                self.extend(&mut context, local)?;
                Rc::new(context)
            }
            None => Rc::clone(outer),
        };
        let mut node = NodeObject::default();
        let mut value: Option<&'j Json<'j>> = None;
        let mut datatype = None;
        let mut language = None;
        let mut list = None;
        let mut set = None;
        for (key, member) in entries {
            let Some(property) = context.expand(key, true) else {
                continue;
            };
            match property.as_str() {
                "@context" => {}
                "@id" => match member {
                    Json::String(id) => node.id = context.expand(id, false),
                    Json::Null => {}
                    _ => return bad("@id is no text"),
                },
                "@type" => {
                    for name in texts(member, "@type is no text")? {
                        node.types.extend(context.expand(name, true));
                    }
                    datatype = node.types.first().cloned();
                }
                "@value" => value = Some(member),
                "@language" => {
                    language = texts(member, "@language is no text")?
                        .first()
                        .map(|tag| (*tag).to_owned())
                }
                "@list" => {
                    let mut items = Vec::new();
                    self.items(&context, &Definition::default(), member, &mut items)?;
                    list = Some(items);
                }
                "@set" => {
                    let mut items = Vec::new();
                    self.items(&context, &Definition::default(), member, &mut items)?;
                    set = Some(items);
                }
                "@index" => {}
                "@reverse" => self.reverse(&context, member, &mut node)?,
                keyword if keyword.starts_with('@') => return bad("it uses a keyword that is not supported"),
                iri if !iri.contains(':') || iri.starts_with("_:") => {}
                _ => self.property(&context, key, property, member, &mut node)?,
            }
        }
        let is_plain = node.id.is_none() && node.properties.is_empty() && node.reverse.is_empty();
        if let Some(json) = value {
            return match json {
                _ if !is_plain => bad("a value has properties"),
                Json::Null => Ok(None),
                Json::String(_) | Json::Number(_) | Json::Bool(_) => {
                    if datatype.is_some() && language.is_some() {
                        return bad("a value has both @type and @language");
                    }
                    if datatype.as_deref() == Some("@json") {
                        return bad("JSON literals are not supported");
                    }
                    Ok(Some(Item::Value {
                        json,
                        datatype,
                        language,
                    }))
                }
                _ => bad("@value is no scalar"),
            };
        }
        if list.is_some() || set.is_some() {
            if !is_plain || !node.types.is_empty() {
                return bad("a list or set has properties");
            }
            out.extend(set.into_iter().flatten());
            return Ok(list.map(Item::List));
        }
        if language.is_some() && is_plain && node.types.is_empty() {
            return Ok(None);
        }
        Ok(Some(Item::Node(node)))
    }

    fn property<'j>(
        &mut self,
        context: &Rc<Context>,
        term: &str,
        property: String,
        member: &'j Json<'j>,
        node: &mut NodeObject<'j>,
    ) -> Result<(), BodyError> {
        let none = Definition::default();
        let definition = context.terms.get(term).unwrap_or(&none);
        let mut items = Vec::new();
        match member {
            Json::Object(entries) if definition.language_map => {
                for (tag, text) in entries {
                    for json in slice_of(text) {
                        match json {
                            Json::Null => {}
                            Json::String(_) => items.push(Item::Value {
                                json,
                                datatype: None,
                                language: (tag != "@none").then(|| tag.to_string()),
                            }),
                            _ => return bad("a language map holds something else than texts"),
                        }
                    }
                }
            }
            Json::Object(entries) if definition.index => {
                for (_, value) in entries {
                    self.items(context, definition, value, &mut items)?;
                }
            }
            _ => self.items(context, definition, member, &mut items)?,
        }
        if definition.list && !matches!(items.as_slice(), [Item::List(_)]) {
            items = vec![Item::List(items)];
        }
        let side = if definition.reverse {
            if items.iter().any(|item| !matches!(item, Item::Node(_))) {
                return bad("a reverse property holds something else than nodes");
            }
            &mut node.reverse
        } else {
            &mut node.properties
        };
        side.entry(property).or_default().extend(items);
        Ok(())
    }

    fn reverse<'j>(
        &mut self,
        context: &Rc<Context>,
        member: &'j Json<'j>,
        node: &mut NodeObject<'j>,
    ) -> Result<(), BodyError> {
        let Json::Object(entries) = member else {
            return bad("@reverse is no object");
        };
        for (key, value) in entries {
            let Some(property) = context.expand(key, true).filter(|iri| iri.contains(':')) else {
                continue;
            };
            let none = Definition::default();
            let definition = context.terms.get(&**key).unwrap_or(&none);
            let mut items = Vec::new();
            self.items(context, definition, value, &mut items)?;
            if items.iter().any(|item| !matches!(item, Item::Node(_))) {
                return bad("a reverse property holds something else than nodes");
            }
            let side = if definition.reverse {
                &mut node.properties
            } else {
                &mut node.reverse
            };
            side.entry(property).or_default().extend(items);
        }
        Ok(())
    }

    pub(crate) fn spend(&mut self, terms: usize) -> Result<(), BodyError> {
        match self.budget.checked_sub(terms + 1) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => bad("its contexts are too large"),
        }
    }
}

fn slice_of<'s, 'j>(json: &'s Json<'j>) -> &'s [Json<'j>] {
    match json {
        Json::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

/// The texts of a text or an array of texts; nulls are left out.
pub(crate) fn texts<'s>(json: &'s Json<'_>, otherwise: &'static str) -> Result<Vec<&'s str>, BodyError> {
    slice_of(json)
        .iter()
        .filter(|item| !matches!(item, Json::Null))
        .map(|item| item.as_str().ok_or(BodyError::Unusable(otherwise)))
        .collect()
}
