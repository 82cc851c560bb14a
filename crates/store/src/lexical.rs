//! The bytes under which the dictionary keeps a term, and the key that finds them.

use oxigraph::model::{BlankNode, Literal, NamedNode, Term};
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::term_id::Kind;

const STRING: u8 = 0;
const LANGUAGE: u8 = 1;
const OTHER: u8 = 2;
/// Datatypes that are written as one byte: their place here, from 3 on. Never change the order.
const KNOWN: [&str; 9] = [
    "http://www.w3.org/2001/XMLSchema#dateTime",
    "http://www.w3.org/2001/XMLSchema#integer",
    "http://www.w3.org/2001/XMLSchema#double",
    "http://www.w3.org/2001/XMLSchema#decimal",
    "http://www.w3.org/2001/XMLSchema#boolean",
    "http://www.w3.org/2001/XMLSchema#date",
    "http://www.w3.org/2001/XMLSchema#float",
    "http://www.w3.org/2001/XMLSchema#anyURI",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON",
];
pub(crate) const XSD_STRING: &str = "http://www.w3.org/2001/XMLSchema#string";

/// Writes a literal. A language tag is kept in lower case, as the engine does.
pub(crate) fn write_literal(value: &str, datatype: &str, language: Option<&str>, into: &mut Vec<u8>) {
    if let Some(language) = language {
        into.push(LANGUAGE);
        into.extend_from_slice(&(language.len() as u16).to_be_bytes());
        into.extend(language.bytes().map(|b| b.to_ascii_lowercase()));
    } else if datatype == XSD_STRING {
        into.push(STRING);
    } else if let Some(at) = KNOWN.iter().position(|known| *known == datatype) {
        into.push(OTHER + 1 + at as u8);
    } else {
        into.push(OTHER);
        into.extend_from_slice(&(datatype.len() as u16).to_be_bytes());
        into.extend_from_slice(datatype.as_bytes());
    }
    into.extend_from_slice(value.as_bytes());
}

/// The literal of bytes that [`write_literal`] made.
pub(crate) fn read_literal(bytes: &[u8]) -> Result<Literal, StoreError> {
    let damaged = || StoreError::Damaged("a literal cannot be read");
    let (code, rest) = bytes.split_first().ok_or_else(damaged)?;
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| damaged());
    Ok(match *code {
        STRING => Literal::new_simple_literal(text(rest)?),
        LANGUAGE | OTHER => {
            let (len, rest) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
            let len = usize::from(u16::from_be_bytes(*len));
            let (name, value) = rest.split_at_checked(len).ok_or_else(damaged)?;
            if *code == LANGUAGE {
                Literal::new_language_tagged_literal_unchecked(text(value)?, text(name)?)
            } else {
                Literal::new_typed_literal(text(value)?, NamedNode::new_unchecked(text(name)?))
            }
        }
        code => {
            let datatype = KNOWN.get(usize::from(code - OTHER - 1)).ok_or_else(damaged)?;
            Literal::new_typed_literal(text(rest)?, NamedNode::new_unchecked(*datatype))
        }
    })
}

/// The term of a dictionary entry whose text needs no other table.
pub(crate) fn read_term(kind: Kind, bytes: &[u8]) -> Result<Term, StoreError> {
    let text = || std::str::from_utf8(bytes).map_err(|_| StoreError::Damaged("a term is not UTF-8"));
    Ok(match kind {
        Kind::Named | Kind::Foreign => NamedNode::new_unchecked(text()?).into(),
        Kind::Blank => BlankNode::new_unchecked(text()?).into(),
        Kind::Literal => read_literal(bytes)?.into(),
        _ => return Err(StoreError::Damaged("a term is of no dictionary kind")),
    })
}

/// The longest datatype IRI or language tag that can be kept.
pub(crate) const MAX_NAME: usize = u16::MAX as usize;

/// Where the dictionary finds a term by its text: 128 bits of hash. The first 32 are of the stem only (of an IRI the text
/// up to its third path segment), so what belongs to one object is on few pages.
pub(crate) fn hash_key(kind: Kind, bytes: &[u8]) -> [u8; 16] {
    let tag = match kind {
        Kind::Named => 1u8,
        Kind::Literal => 2,
        Kind::Blank => 3,
        Kind::Derived => 4,
        _ => 5,
    };
    let whole = Sha256::new().chain_update([tag]).chain_update(bytes).finalize();
    let mut key = [0; 16];
    key[4..].copy_from_slice(&whole[..12]);
    match kind {
        Kind::Named => {
            let end = bytes
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == b'/')
                .nth(4)
                .map_or(bytes.len(), |(at, _)| at);
            key[..4].copy_from_slice(&Sha256::digest(&bytes[..end])[..4]);
        }
        _ => key[..4].copy_from_slice(&whole[12..16]),
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_back() {
        for literal in [
            Literal::new_simple_literal("a\u{0}b"),
            Literal::new_language_tagged_literal("x", "en-gb").unwrap(),
            Literal::new_typed_literal("1.0", NamedNode::new_unchecked(KNOWN[8])),
            Literal::new_typed_literal("", NamedNode::new_unchecked("urn:other")),
        ] {
            let mut bytes = Vec::new();
            write_literal(
                literal.value(),
                literal.datatype().as_str(),
                literal.language(),
                &mut bytes,
            );
            assert_eq!(read_literal(&bytes).unwrap(), literal);
        }
        assert!(read_literal(&[]).is_err());
        assert!(read_literal(&[LANGUAGE, 0, 9, b'e']).is_err());
        assert!(read_literal(&[250]).is_err());
    }

    #[test]
    fn one_object_is_on_few_pages() {
        let key = |text: &str| hash_key(Kind::Named, text.as_bytes());
        let (a, b) = (
            key("https://h/activities/1/usages/2"),
            key("https://h/activities/1"),
        );
        assert_eq!(a[..4], b[..4]);
        assert_ne!(a, b);
        assert_ne!(key("https://h/activities/2")[..4], a[..4]);
    }
}
