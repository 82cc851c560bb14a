//! The IRIs that this project makes, one constructor per shape, and what counts as an IRI.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use model::Slug;

/// What the generator writes instead of a project's own IRI. The store knows the project's name, the generator does not.
pub const PROJECT_PLACEHOLDER: &str = "urn:renku:project";

/// No IRI that comes out of a repository may start with this.
pub const RESERVED_PREFIX: &str = "urn:renku:";

/// Where IRIs that stand for blank nodes live below a host (RDF 1.1 Concepts, 3.5).
pub const GENID_PATH: &str = "/.well-known/genid/";

/// The text cannot be the host of IRIs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host: letters, digits, '-', '.', and a port are allowed")]
pub struct NotAHost(String);

/// The host that ids without a scheme are put under, e.g. `example.org`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// `https://<host>`
    prefix: Box<str>,
}

impl Host {
    /// Takes the text verbatim, as the `renku` CLI does with `RENKU_DOMAIN`: nothing is checked.
    pub fn verbatim(text: &str) -> Self {
        Self {
            prefix: format!("https://{text}").into(),
        }
    }

    /// `https://<host>`: what is put before ids.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The rule for every `@id` that the `renku` CLI exports: what starts with `http` or `mailto` stays, anything else
    /// gets `https://<host>` put before it, blindly.
    pub fn resolve<'a>(&self, id: &'a str) -> Cow<'a, str> {
        if keeps_its_form(id) {
            Cow::Borrowed(id)
        } else {
            Cow::Owned(format!("{}{id}", self.prefix))
        }
    }
}

impl FromStr for Host {
    type Err = NotAHost;

    /// Checks that the text is a host name, with or without a port.
    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let fits = !text.is_empty()
            && text.len() <= 253
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':'));
        let host = Self::verbatim(text);
        if fits && is_absolute_iri(&host.prefix) {
            Ok(host)
        } else {
            Err(NotAHost(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix.strip_prefix("https://").unwrap_or(&self.prefix))
    }
}

/// Whether the host rule leaves the id alone.
pub(crate) fn keeps_its_form(id: &str) -> bool {
    id.starts_with("http") || id.starts_with("mailto")
}

/// The name of a project's graph and of the project itself: `https://<host>/projects/<slug>`.
pub fn graph_iri(host: &Host, slug: &Slug) -> String {
    format!("{}/projects/{}", host.prefix, slug.as_str())
}

/// The IRI that stands for the `number`-th blank node of what `owner` (a stored id) holds:
/// `https://<host>/.well-known/genid/<owner without its first slash>/<number>`.
pub fn skolem_iri(host: &Host, owner: &str, number: usize) -> String {
    let mut iri = format!("{}{GENID_PATH}", host.prefix);
    for byte in owner.trim_start_matches('/').bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            iri.push(char::from(byte));
        } else {
            iri.push_str(&format!("%{byte:02X}"));
        }
    }
    iri.push_str(&format!("/{number}"));
    iri
}

/// Whether the text fits IRIREF of the Turtle and SPARQL grammars and has a scheme.
/// This is weaker than RFC 3987: `https://host_:b0` passes.
pub fn is_iriref(text: &str) -> bool {
    let Some(colon) = memchr::memchr(b':', text.as_bytes()) else {
        return false;
    };
    let (scheme, _) = text.split_at(colon);
    let mut letters = scheme.bytes();
    letters.next().is_some_and(|b| b.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && text.bytes().all(|b| IRIREF[usize::from(b)])
}

/// Whether the text is an absolute IRI: IRIREF of Turtle, and the grammar of RFC 3987.
pub fn is_absolute_iri(text: &str) -> bool {
    is_iriref(text) && (is_plain_http(text) || oxiri::Iri::parse(text).is_ok())
}

/// The common case, checked without a full parse: `http(s)://`, a host of plain letters, then a path of letters that need no thought.
fn is_plain_http(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    let (host, path) = match memchr::memchr(b'/', rest.as_bytes()) {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if !host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    {
        return false;
    }
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let escaped = bytes.next().zip(bytes.next());
                if !escaped.is_some_and(|(a, b)| a.is_ascii_hexdigit() && b.is_ascii_hexdigit()) {
                    return false;
                }
            }
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'@'
            | b':'
            | b'+' => {}
            _ => return false,
        }
    }
    true
}

/// Bytes that may stand in an IRIREF. Bytes of letters beyond ASCII all may.
static IRIREF: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte <= 0x20 {
        table[byte] = false;
        byte += 1;
    }
    let bad = b"<>\"{}|^`\\";
    let mut i = 0;
    while i < bad.len() {
        table[bad[i] as usize] = false;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_host_rule_is_blind() {
        let host = Host::verbatim("example.org");
        for (id, iri) in [
            ("/plans/ab", "https://example.org/plans/ab"),
            ("urn:x", "https://example.orgurn:x"),
            ("_:b0", "https://example.org_:b0"),
            ("mailto:a@b.c", "mailto:a@b.c"),
            ("http://x/y", "http://x/y"),
            ("httpfoo", "httpfoo"),
        ] {
            assert_eq!(host.resolve(id), iri);
        }
    }

    #[test]
    fn hosts_are_checked_where_it_matters() {
        for good in ["example.org", "localhost:8080", "a-b.c"] {
            assert!(good.parse::<Host>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "https://x", "a:b", "x\n", "ü.org"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    #[test]
    fn irirefs() {
        assert!(is_iriref("https://host_:b0"));
        assert!(!is_absolute_iri("https://host_:b0"));
        for bad in [
            "",
            "a",
            "/a",
            ":a",
            "1a:b",
            "a:b c",
            "a:<",
            "http://a/\u{7}",
            "http://a/`",
            "é:x",
        ] {
            assert!(!is_iriref(bad), "{bad}");
        }
        assert!(is_absolute_iri("http://exämple.org/ü"));
        assert!(!is_absolute_iri("http://example.org/%zz"));
        assert!(is_absolute_iri("mailto:jane@example.com"));
    }

    #[test]
    fn blank_nodes_get_proper_iris() {
        let host = Host::verbatim("example.org");
        assert_eq!(
            skolem_iri(&host, "/annotations/ab", 2),
            "https://example.org/.well-known/genid/annotations/ab/2"
        );
        assert!(is_absolute_iri(&skolem_iri(&host, "x y<\u{e9}>", 0)));
    }

    proptest! {
        #[test]
        fn the_short_way_never_accepts_more(text in "(https?://)?[a-zA-Z0-9.:/%@~+_-]{0,30}") {
            if is_plain_http(&text) {
                prop_assert!(oxiri::Iri::parse(text.as_str()).is_ok(), "{}", text);
            }
        }
    }
}
