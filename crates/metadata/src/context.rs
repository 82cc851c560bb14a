//! Contexts of JSON-LD: what terms mean.

use std::collections::BTreeMap;

use crate::body::BodyError;
use crate::expand::{Expander, Item, bad, texts};
use crate::json::Json;

#[derive(Clone, Default)]
pub(crate) struct Context {
    pub(crate) base: Option<String>,
    pub(crate) vocab: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) terms: BTreeMap<String, Definition>,
}

#[derive(Clone, Default)]
pub(crate) struct Definition {
    /// `None`: the term is switched off.
    pub(crate) iri: Option<String>,
    pub(crate) reverse: bool,
    pub(crate) datatype: Option<String>,
    pub(crate) language: Option<Option<String>>,
    pub(crate) list: bool,
    pub(crate) language_map: bool,
    pub(crate) index: bool,
}

impl Expander {
    pub(crate) fn extend(&mut self, context: &mut Context, local: &Json<'_>) -> Result<(), BodyError> {
        match local {
            Json::Null => *context = Context::default(),
            Json::String(url) => return Err(BodyError::RemoteContext(url.chars().take(400).collect())),
            Json::Array(parts) => parts.iter().try_for_each(|part| self.extend(context, part))?,
            Json::Object(entries) => {
                self.spend(entries.len())?;
                if let Some(url) = local.get("@import") {
                    return Err(BodyError::RemoteContext(
                        url.as_str().unwrap_or_default().chars().take(400).collect(),
                    ));
                }
                let text = |key| match local.get(key) {
                    None => Ok(None),
                    Some(Json::Null) => Ok(Some(None)),
                    Some(Json::String(text)) => Ok(Some(Some(text.to_string()))),
                    Some(_) => bad("a keyword of a context is no text"),
                };
                if let Some(base) = text("@base")? {
                    context.base = base;
                }
                if let Some(vocab) = text("@vocab")? {
                    context.vocab = match vocab {
                        Some(iri) => context.expand(&iri, true),
                        None => None,
                    };
                }
                if let Some(language) = text("@language")? {
                    context.language = language;
                }
                let mut begun = BTreeMap::new();
                for (term, _) in entries {
                    if !term.starts_with('@') {
                        self.define(context, local, term, &mut begun)?;
                    }
                }
            }
            _ => return bad("@context is neither an object nor a text"),
        }
        Ok(())
    }

    /// Defines a term after those that its definition needs. `begun` holds false for terms that are being defined.
    fn define(
        &mut self,
        context: &mut Context,
        local: &Json<'_>,
        term: &str,
        begun: &mut BTreeMap<String, bool>,
    ) -> Result<(), BodyError> {
        match begun.get(term) {
            Some(true) => return Ok(()),
            Some(false) => return bad("terms of a context need each other"),
            None => {}
        }
        self.depth += 1;
        if self.depth > crate::json::MAX_DEPTH {
            return bad("its contexts are nested too deep");
        }
        begun.insert(term.to_owned(), false);
        context.terms.remove(term);
        let mut definition = Definition::default();
        let plain = match local.get(term) {
            None | Some(Json::Null) => None,
            Some(Json::String(iri)) => Some(iri.as_ref()),
            Some(object @ Json::Object(entries)) => {
                for (key, _) in entries {
                    if !matches!(
                        &**key,
                        "@id"
                            | "@type"
                            | "@language"
                            | "@container"
                            | "@reverse"
                            | "@prefix"
                            | "@protected"
                            | "@version"
                    ) {
                        return bad("a term's definition uses a keyword that is not supported");
                    }
                }
                if let Some(datatype) = object.get("@type") {
                    let Some(datatype) = datatype.as_str() else {
                        return bad("a term's @type is no text");
                    };
                    if datatype == "@json" {
                        return bad("JSON literals are not supported");
                    }
                    self.need(context, local, datatype, begun)?;
                    definition.datatype = context.expand(datatype, true).filter(|iri| iri != "@none");
                }
                match object.get("@language") {
                    None => {}
                    Some(Json::Null) => definition.language = Some(None),
                    Some(Json::String(tag)) => definition.language = Some(Some(tag.to_string())),
                    Some(_) => return bad("a term's @language is no text"),
                }
                if let Some(container) = object.get("@container") {
                    for name in texts(container, "a term's @container is no text")? {
                        match name {
                            "@list" => definition.list = true,
                            "@set" => {}
                            "@language" => definition.language_map = true,
                            "@index" => definition.index = true,
                            _ => return bad("a term's @container is not supported"),
                        }
                    }
                }
                match (object.get("@reverse"), object.get("@id")) {
                    (Some(Json::String(iri)), _) => {
                        definition.reverse = true;
                        Some(iri.as_ref())
                    }
                    (Some(_), _) => return bad("a term's @reverse is no text"),
                    (None, Some(Json::Null)) => None,
                    (None, Some(Json::String(iri))) => Some(iri.as_ref()),
                    (None, Some(_)) => return bad("a term's @id is no text"),
                    (None, None) => Some(term),
                }
            }
            Some(_) => return bad("a term's definition is neither a text nor an object"),
        };
        if let Some(iri) = plain {
            if iri == term {
                if let Some((prefix, _)) = term.split_once(':') {
                    self.need(context, local, prefix, begun)?;
                }
            } else {
                self.need(context, local, iri, begun)?;
            }
            definition.iri = context.expand(iri, true);
        }
        context.terms.insert(term.to_owned(), definition);
        begun.insert(term.to_owned(), true);
        self.depth -= 1;
        Ok(())
    }

    /// Defines the term, or the prefix, that an IRI of a definition is written with.
    fn need(
        &mut self,
        context: &mut Context,
        local: &Json<'_>,
        iri: &str,
        begun: &mut BTreeMap<String, bool>,
    ) -> Result<(), BodyError> {
        let prefix = iri.split_once(':').map_or(iri, |(prefix, _)| prefix);
        for term in [iri, prefix] {
            if !term.starts_with('@') && local.get(term).is_some() {
                self.define(context, local, term, begun)?;
            }
        }
        Ok(())
    }
}

impl Context {
    /// IRI expansion; `None`: whatever carries it is left out. `vocab`: terms and `@vocab` count, else only prefixes and the base.
    pub(crate) fn expand(&self, text: &str, vocab: bool) -> Option<String> {
        if is_keyword(text) {
            return Some(text.to_owned());
        }
        if vocab && let Some(definition) = self.terms.get(text) {
            return definition.iri.clone();
        }
        if let Some((prefix, suffix)) = text.split_once(':').filter(|(prefix, _)| !prefix.is_empty()) {
            if prefix != "_"
                && !suffix.starts_with("//")
                && let Some(Some(iri)) = self.terms.get(prefix).map(|definition| &definition.iri)
            {
                return Some(format!("{iri}{suffix}"));
            }
            return Some(text.to_owned());
        }
        match (&self.vocab, &self.base) {
            (Some(front), _) if vocab => Some(format!("{front}{text}")),
            (_, Some(base)) if !vocab => Some(resolve(base, text)),
            _ => Some(text.to_owned()),
        }
    }

    pub(crate) fn literal<'j>(&self, definition: &Definition, json: &'j Json<'j>) -> Item<'j> {
        let datatype = definition.datatype.clone().filter(|iri| !iri.starts_with('@'));
        let language = match (&datatype, &definition.language) {
            (Some(_), _) => None,
            (None, Some(language)) => language.clone(),
            (None, None) => self.language.clone(),
        };
        Item::Value {
            json,
            datatype,
            language,
        }
    }
}

/// A relative reference against a base, without dot segments.
fn resolve(base: &str, text: &str) -> String {
    let path = base.find("://").map_or(0, |at| at + 3);
    let host_end = base[path..].find('/').map_or(base.len(), |at| path + at);
    if text.is_empty() {
        base.to_owned()
    } else if text.starts_with('#') {
        format!("{}{text}", base.split('#').next().unwrap_or(base))
    } else if text.starts_with('/') {
        format!("{}{text}", &base[..host_end])
    } else {
        let end = base
            .rfind('/')
            .filter(|&at| at >= host_end)
            .map_or(base.len(), |at| at + 1);
        format!("{}{text}", &base[..end])
    }
}

fn is_keyword(text: &str) -> bool {
    text.strip_prefix('@')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphabetic()))
}
