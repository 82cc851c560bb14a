use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::error::{ConfigError, Source};

/// What every variable that is a setting begins with.
const PREFIX: &str = "RENKU__";

/// Settings from several sources, later ones over earlier ones.
#[derive(Debug, Default)]
pub struct Layers {
    table: Table,
    sources: BTreeMap<String, Source>,
    /// Values given as text (variables, flags), by key: `8080` may be meant as a number or as text.
    texts: BTreeMap<String, String>,
    known: Vec<String>,
}

/// Settings that were read, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    pub(super) sources: BTreeMap<String, Source>,
}

impl Layers {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        self.toml(path, &text)
    }

    /// Adds TOML text that is said to come from `path`.
    pub fn toml(mut self, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let before = text.get(..start).unwrap_or_default();
            ConfigError::NotToml {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
                what: error.message().to_owned(),
            }
        })?;
        let source = Source::File(path.to_owned());
        for (key, value) in leaves(&table) {
            self.put(&key, value, source.clone());
        }
        Ok(self)
    }

    /// Adds all variables that begin with `RENKU__`. `__` parts sections; case does not matter.
    pub fn environment<I>(mut self, variables: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = (String, String)>,
    {
        for (name, text) in variables {
            let Some(path) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let segments: Vec<_> = path.split("__").map(str::to_lowercase).collect();
            if segments.iter().any(String::is_empty) {
                return Err(ConfigError::BadVariable(name));
            }
            self.put_text(&segments.join("."), text, Source::Variable(name.clone()));
        }
        Ok(self)
    }

    /// Adds a flag's value under a key.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, text: impl Into<String>) -> Self {
        self.put_text(key, text.into(), Source::Flag(flag.to_owned()));
        self
    }

    /// Names keys for "did you mean", beside those that have a default.
    #[must_use]
    pub fn knowing<'a>(mut self, keys: impl IntoIterator<Item = &'a str>) -> Self {
        self.known.extend(keys.into_iter().map(str::to_owned));
        self
    }

    fn put_text(&mut self, key: &str, text: String, source: Source) {
        let value = scalar(&text);
        self.put(key, value, source);
        self.texts.insert(key.to_owned(), text);
    }

    fn put(&mut self, key: &str, value: Value, source: Source) {
        set(&mut self.table, key, value);
        self.texts.remove(key);
        self.sources.insert(key.to_owned(), source);
    }

    /// Reads the settings.
    pub fn load<T: DeserializeOwned + Serialize + Default>(mut self) -> Result<Loaded<T>, ConfigError> {
        loop {
            let mut unknown = Vec::new();
            let result: Result<T, _> = {
                let mut note = |path: serde_ignored::Path<'_>| unknown.push(dotted(&path.to_string()));
                let reader = serde_ignored::Deserializer::new(Value::Table(self.table.clone()), &mut note);
                serde_path_to_error::deserialize(reader)
            };
            match result {
                Ok(settings) => {
                    if let Some(key) = unknown.into_iter().next() {
                        return Err(self.unknown::<T>(key));
                    }
                    return Ok(Loaded {
                        settings,
                        sources: self.sources,
                    });
                }
                Err(error) => {
                    let key = dotted(&error.path().to_string());
                    // A number or a flag word in a variable may have been meant as text: try once more with the text.
                    match self.texts.remove(&key) {
                        Some(text) if get(&self.table, &key).is_some_and(|value| !value.is_str()) => {
                            set(&mut self.table, &key, Value::String(text));
                        }
                        _ => {
                            let why = without_value(&error.inner().to_string());
                            return Err(invalid(&self.sources, key, why));
                        }
                    }
                }
            }
        }
    }

    fn unknown<T: Serialize + Default>(&self, key: String) -> ConfigError {
        let defaults = toml::Table::try_from(T::default())
            .map(|table| leaves(&table))
            .unwrap_or_default();
        let near = defaults
            .iter()
            .map(|(known, _)| known)
            .chain(&self.known)
            .find(|known| edit_distance(known, &key) <= 2);
        let hint = near
            .map(|near| format!(": did you mean {near}?"))
            .unwrap_or_default();
        ConfigError::Unknown {
            source_of: source_of(&self.sources, &key),
            key,
            hint,
        }
    }
}

impl<T> Loaded<T> {
    /// Where the key came from.
    pub fn source_of(&self, key: &str) -> Source {
        source_of(&self.sources, key)
    }

    /// Was the key given by anybody?
    pub fn is_given(&self, key: &str) -> bool {
        self.source_of(key) != Source::Default
    }

    /// An error about a key's value.
    pub fn invalid(&self, key: &str, why: impl Into<String>) -> ConfigError {
        invalid(&self.sources, key.to_owned(), why.into())
    }

    /// An error if both keys were given.
    pub fn exclude(&self, first: &str, second: &str, why: &str) -> Result<(), ConfigError> {
        if !self.is_given(first) || !self.is_given(second) {
            return Ok(());
        }
        Err(ConfigError::Exclusive {
            first: first.to_owned(),
            first_source: self.source_of(first),
            second: second.to_owned(),
            second_source: self.source_of(second),
            why: why.to_owned(),
        })
    }
}

fn invalid(sources: &BTreeMap<String, Source>, key: String, why: String) -> ConfigError {
    ConfigError::Invalid {
        source_of: source_of(sources, &key),
        key,
        why,
    }
}

/// The source of the key itself, of what is above it, or of something below it.
fn source_of(sources: &BTreeMap<String, Source>, key: &str) -> Source {
    let mut path = key;
    loop {
        if let Some(source) = sources.get(path) {
            return source.clone();
        }
        match path.rsplit_once('.') {
            Some((above, _)) => path = above,
            None => break,
        }
    }
    let below = format!("{key}.");
    let mut found = sources.iter().filter(|(given, _)| given.starts_with(&below));
    found.next().map_or(Source::Default, |(_, source)| source.clone())
}

/// All values of a table that are no tables, by dotted key.
pub(super) fn leaves(table: &Table) -> Vec<(String, Value)> {
    fn walk(prefix: &str, table: &Table, out: &mut Vec<(String, Value)>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match value {
                Value::Table(inner) if !inner.is_empty() => walk(&key, inner, out),
                other => out.push((key, other.clone())),
            }
        }
    }
    let mut out = Vec::new();
    walk("", table, &mut out);
    out
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => table.get(first)?.as_table().and_then(|inner| get(inner, rest)),
    }
}

/// A number, a truth value or a list if the text is one in TOML, else the text.
fn scalar(text: &str) -> Value {
    let parsed = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    match parsed {
        Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// The readers write `hooks.secrets[0]` and `?` for options; keys are told without.
fn dotted(path: &str) -> String {
    let kept: Vec<_> = path.split('.').filter(|part| *part != "?").collect();
    let joined = kept.join(".");
    match joined.split_once('[') {
        Some((key, _)) => key.to_owned(),
        None => joined,
    }
}

/// Serde's messages quote the value (`invalid type: string "…", expected u16`): it could be a secret.
fn without_value(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default().trim();
    for (head, said) in [
        ("invalid type: ", "wrong type"),
        ("invalid value: ", "wrong value"),
    ] {
        if let Some(rest) = first.strip_prefix(head) {
            return match rest.rsplit_once(", expected ") {
                Some((_, expected)) => format!("{said}: {expected} is needed"),
                None => said.to_owned(),
            };
        }
    }
    if first.starts_with("unknown variant ")
        && let Some((_, expected)) = first.rsplit_once(", expected ")
    {
        return format!("wrong value: {expected} is needed");
    }
    first.to_owned()
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = if x == *y {
                diagonal
            } else {
                1 + diagonal.min(row[j]).min(row[j + 1])
            };
            diagonal = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use model::Secret;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Settings {
        listen: String,
        gitlab: GitLab,
        hooks: Hooks,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct GitLab {
        url: String,
        token: Option<Secret>,
        retries: u16,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Hooks {
        secrets: Vec<Secret>,
    }

    fn layers(text: &str) -> Layers {
        Layers::new().toml(Path::new("renku.toml"), text).unwrap()
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let loaded = layers("listen = \"a\"\n[gitlab]\nurl = \"u\"\nretries = 3")
            .environment(variables(&[
                ("RENKU__GITLAB__RETRIES", "5"),
                ("HOME", "/"),
                ("RENKU__GITLAB__TOKEN", "12345"),
            ]))
            .unwrap()
            .flag("--listen", "listen", "b")
            .load::<Settings>()
            .unwrap();
        assert_eq!(
            (loaded.settings.listen.as_str(), loaded.settings.gitlab.retries),
            ("b", 5)
        );
        assert_eq!(
            loaded.settings.gitlab.token.as_ref().map(Secret::expose),
            Some("12345")
        );
        assert_eq!(loaded.source_of("listen").to_string(), "--listen");
        assert_eq!(
            loaded.source_of("gitlab.retries").to_string(),
            "$RENKU__GITLAB__RETRIES"
        );
        assert_eq!(loaded.source_of("gitlab.url").to_string(), "renku.toml");
        assert!(!loaded.is_given("hooks.secrets"));
    }

    #[test]
    fn errors_name_the_key_and_its_source() {
        let told = |layers: Layers| layers.load::<Settings>().unwrap_err().to_string();
        assert_eq!(
            told(layers("[gitlab]\nurll = \"x\"")),
            "unknown key gitlab.urll (from renku.toml): did you mean gitlab.url?"
        );
        assert_eq!(
            told(layers("[gitlab]\nretries = \"s3cret\"")),
            "gitlab.retries (from renku.toml): wrong type: u16 is needed"
        );
        let from_variable = Layers::new()
            .environment(variables(&[("RENKU__GITLAB__RETRIES", "many")]))
            .unwrap();
        assert_eq!(
            told(from_variable),
            "gitlab.retries (from $RENKU__GITLAB__RETRIES): wrong type: u16 is needed"
        );
        assert_eq!(
            told(layers("[hooks]\nsecrets = [\"a\", 5]")),
            "hooks.secrets (from renku.toml): wrong type: a string is needed"
        );
        let broken = Layers::new()
            .toml(Path::new("renku.toml"), "a = 1\nb = = 2")
            .unwrap_err()
            .to_string();
        assert!(
            broken.starts_with("renku.toml is not TOML: line 2, column 5"),
            "{broken}"
        );
        assert!(
            Layers::new()
                .environment(variables(&[("RENKU____X", "1")]))
                .is_err()
        );
    }

    #[test]
    fn lists_may_come_from_variables() {
        let loaded = Layers::new()
            .environment(variables(&[("RENKU__HOOKS__SECRETS", "[\"one\", \"two\"]")]))
            .unwrap()
            .load::<Settings>()
            .unwrap();
        assert_eq!(loaded.settings.hooks.secrets.len(), 2);
    }

    #[test]
    fn exclusive_keys_are_refused_together() {
        let loaded = layers("listen = \"a\"\n[gitlab]\nurl = \"u\"")
            .load::<Settings>()
            .unwrap();
        assert!(loaded.exclude("listen", "gitlab.token", "one is enough").is_ok());
        let error = loaded
            .exclude("listen", "gitlab.url", "one is enough")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "listen (from renku.toml) and gitlab.url (from renku.toml) exclude each other: one is enough"
        );
    }
}
