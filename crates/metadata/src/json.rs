//! A small JSON reader: borrows what it can, keeps numbers as they are written, sorts keys, and bounds the depth.
//! Like Python's reader it takes `NaN`, `Infinity` and `-Infinity`.

use std::borrow::Cow;

use crate::error::Damage;

/// Nesting of arrays and objects that is followed.
pub(crate) const MAX_DEPTH: usize = 100;

#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) enum Json<'a> {
    #[default]
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// Sorted by key, no key twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
    /// A date-time object of the database: Python's isoformat.
    Date(Cow<'a, str>),
    /// An embedded object: its number in the file.
    Node(u32),
    /// A reference to an object with a file of its own: its place in the file's list of references.
    Persistent(u32),
}

impl<'a> Json<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Damage> {
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
        };
        parser.space();
        let value = parser.value()?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.fault("more text after the value"));
        }
        Ok(value)
    }

    /// The value of a key of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(entries) => place_of(entries, key).map(|place| &entries[place].1),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Json<'a>]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }
}

/// Up to so many keys are looked at one after the other. Most differ in length from the one that is wanted, which is seen
/// sooner than an order of texts.
const FEW_KEYS: usize = 32;

/// Where a key is among the entries of an object, which are sorted.
pub(crate) fn place_of<V>(entries: &[(Cow<'_, str>, V)], key: &str) -> Option<usize> {
    if entries.len() > FEW_KEYS {
        return entries.binary_search_by(|(k, _)| (**k).cmp(key)).ok();
    }
    entries
        .iter()
        .position(|(k, _)| k.len() == key.len() && k.as_bytes() == key.as_bytes())
}

/// Whether a number's text is an integer.
pub(crate) fn is_integer(number: &str) -> bool {
    number
        .strip_prefix('-')
        .unwrap_or(number)
        .bytes()
        .all(|b| b.is_ascii_digit())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn fault(&self, what: &'static str) -> Damage {
        Damage::Json { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Json<'a>, Damage> {
        match self.peek() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
            None => Err(self.fault("the text ends where a value is needed")),
        }
    }

    fn word(&mut self) -> Result<Json<'a>, Damage> {
        let rest = &self.text[self.at..];
        for (word, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Number("NaN")),
            ("Infinity", Json::Number("Infinity")),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fault("a value is needed here"))
    }

    fn number(&mut self) -> Result<Json<'a>, Damage> {
        let start = self.at;
        if self.text[start..].starts_with("-Infinity") {
            self.at += "-Infinity".len();
            return Ok(Json::Number("-Infinity"));
        }
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        self.digits()?;
        if self.at - whole > 1 && self.text.as_bytes()[whole] == b'0' {
            return Err(self.fault("a number starts with 0"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> Result<(), Damage> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("a digit is needed here"));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Damage> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += rdf::plain_in_json(&bytes[start..]);
        match self.peek() {
            Some(b'"') => {
                let text = &self.text[start..self.at];
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            Some(b'\\') => self.escaped(start).map(Cow::Owned),
            Some(_) => Err(self.fault("a control character in a string")),
            None => Err(self.fault("the text ends inside a string")),
        }
    }

    /// The rest of a string from its first escape on.
    fn escaped(&mut self, start: usize) -> Result<String, Damage> {
        let mut out = self.text[start..self.at].to_owned();
        loop {
            let from = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = match self.peek() {
                        Some(b'"') => '"',
                        Some(b'\\') => '\\',
                        Some(b'/') => '/',
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => {
                            out.push(self.unicode()?);
                            continue;
                        }
                        _ => return Err(self.fault("an escape that JSON does not have")),
                    };
                    out.push(c);
                    self.at += 1;
                }
                Some(_) => return Err(self.fault("a control character in a string")),
                None => return Err(self.fault("the text ends inside a string")),
            }
        }
    }

    /// `uXXXX`, with a second one for letters beyond the first plane.
    fn unicode(&mut self) -> Result<char, Damage> {
        let first = self.hex4()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(self.fault("half of a surrogate pair"));
                }
                self.at += 1;
                let second = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.fault("half of a surrogate pair"));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.fault("half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32, Damage> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let code = digits.and_then(|digits| {
            digits.iter().try_fold(0, |code, &digit| {
                char::from(digit).to_digit(16).map(|value| code * 16 + value)
            })
        });
        self.at += 5;
        code.ok_or_else(|| self.fault("four hex digits are needed after \\u"))
    }

    fn deeper(&mut self) -> Result<(), Damage> {
        self.depth += 1;
        self.at += 1;
        if self.depth > MAX_DEPTH {
            return Err(Damage::TooDeep { limit: MAX_DEPTH });
        }
        Ok(())
    }

    fn array(&mut self) -> Result<Json<'a>, Damage> {
        self.deeper()?;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Json::Array(items));
        }
        loop {
            self.space();
            items.push(self.value()?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.fault("',' or ']' is needed here")),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Json::Array(items))
    }

    fn object(&mut self) -> Result<Json<'a>, Damage> {
        self.deeper()?;
        let mut entries: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Json::Object(entries));
        }
        // Objects of the database have about a dozen keys.
        entries.reserve(12);
        let mut sorted = true;
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.fault("a key in quotes is needed here"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.fault("':' is needed here"));
            }
            self.at += 1;
            self.space();
            let value = self.value()?;
            sorted &= entries.last().is_none_or(|(last, _)| is_before(last, &key));
            entries.push((key, value));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.fault("',' or '}' is needed here")),
            }
        }
        self.at += 1;
        self.depth -= 1;
        if !sorted {
            // Of equal keys the last one counts, as in Python.
            entries.reverse();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.dedup_by(|later, first| later.0 == first.0);
        }
        Ok(Json::Object(entries))
    }
}

/// Whether a text comes before another one; mostly their first letters tell.
fn is_before(a: &str, b: &str) -> bool {
    match (a.as_bytes().first(), b.as_bytes().first()) {
        (Some(first), Some(second)) if first != second => first < second,
        _ => a < b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_sorted_and_the_last_of_equals_counts() {
        let json =
            Json::parse(r#" {"b": 1, "a": [true, null, "x\u00e9\ud83d\ude00\n"], "b": 2.50} "#).unwrap();
        assert_eq!(json.get("b"), Some(&Json::Number("2.50")));
        assert_eq!(
            json.get("a").unwrap().as_array().unwrap()[2].as_str(),
            Some("xé\u{1F600}\n")
        );
        assert_eq!(json.get("c"), None);
    }

    #[test]
    fn bad_text_is_refused() {
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            "\"\\x\"",
            "\"\\ud800\"",
            "nul",
            "[1] 2",
            "\"\u{1}\"",
            "<<<<<<< HEAD",
            "\"\\u12\"",
            "\"\\u12é4\"",
            "-",
            "{\"a\":1,}",
        ] {
            assert!(Json::parse(bad).is_err(), "{bad}");
        }
        assert!(matches!(
            Json::parse(&"[".repeat(1_000_000)),
            Err(Damage::TooDeep { .. })
        ));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,60}") {
            let _ = Json::parse(&text);
        }

        #[test]
        fn what_others_read_is_read_alike(text in "[\\[\\]{}:,\"\\\\au0-9.eE+-]{0,30}") {
            let ours = Json::parse(&text);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // Others refuse numbers that are too large for them; we keep the text.
            if theirs.is_ok() {
                prop_assert!(ours.is_ok(), "{}", text);
            } else if ours.is_ok() {
                prop_assert!(text.contains(['e', 'E']), "{}", text);
            }
        }
    }
}
