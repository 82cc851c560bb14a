//! Canonical N-Triples, line by line, without copying: what pieces are written in.

/// A term as it stands in the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Token<'a> {
    /// The text between the angle brackets.
    Iri(&'a str),
    /// The label.
    Blank(&'a str),
    /// The value is still escaped.
    Literal {
        escaped: &'a str,
        datatype: Option<&'a str>,
        language: Option<&'a str>,
    },
}

/// A term with its exact source text, by which it can be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) source: &'a str,
    pub(crate) token: Token<'a>,
}

/// Reads one line without its line feed: `subject predicate object .` with single spaces.
pub(crate) fn line(text: &str) -> Result<[Said<'_>; 3], &'static str> {
    let (subject, rest) = term(text)?;
    let (predicate, rest) = term(space(rest)?)?;
    let (object, rest) = term(space(rest)?)?;
    if rest != " ." {
        return Err("a line ends in \" .\"");
    }
    if matches!(subject.token, Token::Literal { .. }) {
        return Err("a subject is no literal");
    }
    if !matches!(predicate.token, Token::Iri(_)) {
        return Err("a predicate is an IRI");
    }
    Ok([subject, predicate, object])
}

fn space(text: &str) -> Result<&str, &'static str> {
    text.strip_prefix(' ').ok_or("terms are parted by one space")
}

fn term(text: &str) -> Result<(Said<'_>, &str), &'static str> {
    match text.as_bytes() {
        [b'<', ..] => {
            let (iri, rest) = iri(text)?;
            Ok((said(text, rest, Token::Iri(iri)), rest))
        }
        [b'_', b':', ..] => {
            let label = &text[2..];
            let end = label.find(' ').unwrap_or(label.len());
            if end == 0 {
                return Err("a blank node has a label");
            }
            let rest = &label[end..];
            Ok((said(text, rest, Token::Blank(&label[..end])), rest))
        }
        [b'"', ..] => literal(text),
        _ => Err("a term begins with <, \" or _:"),
    }
}

fn said<'a>(text: &'a str, rest: &str, token: Token<'a>) -> Said<'a> {
    Said {
        source: &text[..text.len() - rest.len()],
        token,
    }
}

fn iri(text: &str) -> Result<(&str, &str), &'static str> {
    let body = &text[1..];
    let end = body.find('>').ok_or("an IRI ends in >")?;
    let iri = &body[..end];
    let refused = |b: u8| b <= b' ' || matches!(b, b'<' | b'"' | b'{' | b'}' | b'|' | b'^' | b'`' | b'\\');
    if iri.bytes().any(refused) {
        return Err("an IRI has a character that IRIs do not have");
    }
    if !iri.contains(':') {
        return Err("an IRI is absolute");
    }
    Ok((iri, &body[end + 1..]))
}

fn literal(text: &str) -> Result<(Said<'_>, &str), &'static str> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at) {
            None => return Err("a literal ends in \""),
            Some(b'"') => break,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
    let (escaped, rest) = (&text[1..at], &text[at + 1..]);
    let (datatype, language, rest) = if let Some(typed) = rest.strip_prefix("^^") {
        if !typed.starts_with('<') {
            return Err("a datatype is an IRI");
        }
        let (datatype, rest) = iri(typed)?;
        (Some(datatype), None, rest)
    } else if let Some(tagged) = rest.strip_prefix('@') {
        let end = tagged.find(' ').unwrap_or(tagged.len());
        let tag = &tagged[..end];
        if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err("a language tag has letters, digits and - only");
        }
        (None, Some(tag), &tagged[end..])
    } else {
        (None, None, rest)
    };
    Ok((
        said(
            text,
            rest,
            Token::Literal {
                escaped,
                datatype,
                language,
            },
        ),
        rest,
    ))
}

/// Undoes the escapes. `into` is emptied first.
pub(crate) fn unescape(escaped: &str, into: &mut String) -> Result<(), &'static str> {
    into.clear();
    let mut rest = escaped;
    while let Some(at) = rest.find('\\') {
        into.push_str(&rest[..at]);
        let code = rest.as_bytes().get(at + 1).ok_or("an escape is cut short")?;
        let (c, len) = match code {
            b't' => ('\t', 2),
            b'b' => ('\u{8}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b'f' => ('\u{c}', 2),
            b'"' => ('"', 2),
            b'\'' => ('\'', 2),
            b'\\' => ('\\', 2),
            b'u' => (hex(rest, at, 4)?, 6),
            b'U' => (hex(rest, at, 8)?, 10),
            _ => return Err("there is no such escape"),
        };
        into.push(c);
        rest = rest.get(at + len..).ok_or("an escape is cut short")?;
    }
    into.push_str(rest);
    Ok(())
}

fn hex(text: &str, at: usize, len: usize) -> Result<char, &'static str> {
    let digits = text.get(at + 2..at + 2 + len).ok_or("an escape is cut short")?;
    u32::from_str_radix(digits, 16)
        .ok()
        .and_then(char::from_u32)
        .ok_or("an escape names no character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let [s, p, o] = line("<a:s> <a:p> \"x \\\" y\"^^<a:t> .").unwrap();
        assert_eq!((s.token, p.source), (Token::Iri("a:s"), "<a:p>"));
        assert_eq!(
            o.token,
            Token::Literal {
                escaped: "x \\\" y",
                datatype: Some("a:t"),
                language: None
            }
        );
        assert_eq!(o.source, "\"x \\\" y\"^^<a:t>");
        let [_, _, o] = line("_:b <a:p> \"x\"@en-GB .").unwrap();
        assert_eq!(o.source, "\"x\"@en-GB");
        for bad in [
            "",
            "<a:s> <a:p> <a:o>",
            "<a:s>  <a:p> <a:o> .",
            "\"s\" <a:p> <a:o> .",
            "<a:s> _:p <a:o> .",
            "<a:s> <a:p> \"x .",
            "<a:s> <a:p> \"x\\",
            "<a s> <a:p> <a:o> .",
            "<s> <a:p> <a:o> .",
            "<a:s> <a:p> <a:o> . ",
            "<a:s> <a:p> \"x\"^^y .",
            "<a:s> <a:p> \"x\"@ .",
        ] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn escapes() {
        let mut text = String::new();
        unescape("a\\n\\\\b\\u00e9\\U0001F600", &mut text).unwrap();
        assert_eq!(text, "a\n\\bé😀");
        for bad in ["\\", "\\x", "\\u12", "\\ud800", "\\u00é9"] {
            assert!(unescape(bad, &mut text).is_err(), "{bad}");
        }
    }
}
