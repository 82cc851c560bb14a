//! Terms as 48-bit numbers: 4 bits say what kind, 44 bits say which. Equal ids are equal terms (SPARQL `sameTerm`).

/// The id of a term. Ordered as its bytes in an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TermId(u64);

/// What kind of term an id is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An IRI of the dictionary.
    Named,
    /// A literal of the dictionary.
    Literal,
    /// A blank node of the dictionary; pipelines skolemise, so only tests have them.
    Blank,
    /// Whole in the id: `xsd:integer` from 0.
    Integer,
    /// Whole in the id: `xsd:boolean`.
    Boolean,
    /// Whole in the id: `xsd:dateTime` in whole seconds, written with `Z`.
    DateTimeZ,
    /// Whole in the id: `xsd:dateTime` in whole seconds, written with `+00:00`.
    DateTimeOffset,
    /// Whole in the id: `xsd:date` without time zone.
    Date,
    /// The node of a project: the value is GitLab's id, the text is in the slug table.
    Project,
    /// A dictionary entry whose text begins with its project's node, e.g. an image.
    Derived,
    /// A dictionary entry that looks like the node of a project, said by a repository.
    Foreign,
    /// Made up by a query; lives in that query.
    Extra,
}

const BITS: u32 = 44;
const VALUE: u64 = (1 << BITS) - 1;

impl TermId {
    pub(crate) const LEN: usize = 6;

    pub(crate) const fn new(kind: Kind, value: u64) -> Self {
        let tag: u64 = match kind {
            Kind::Named => 1,
            Kind::Literal => 2,
            Kind::Blank => 3,
            Kind::Integer => 4,
            Kind::Boolean => 5,
            Kind::DateTimeZ => 6,
            Kind::DateTimeOffset => 7,
            Kind::Date => 8,
            Kind::Project => 9,
            Kind::Derived => 10,
            Kind::Foreign => 11,
            Kind::Extra => 12,
        };
        Self(tag << BITS | value & VALUE)
    }

    /// None: the bytes are of a later format, or damaged.
    pub(crate) const fn kind(self) -> Option<Kind> {
        Some(match self.0 >> BITS {
            1 => Kind::Named,
            2 => Kind::Literal,
            3 => Kind::Blank,
            4 => Kind::Integer,
            5 => Kind::Boolean,
            6 => Kind::DateTimeZ,
            7 => Kind::DateTimeOffset,
            8 => Kind::Date,
            9 => Kind::Project,
            10 => Kind::Derived,
            11 => Kind::Foreign,
            12 => Kind::Extra,
            _ => return None,
        })
    }

    pub(crate) const fn value(self) -> u64 {
        self.0 & VALUE
    }

    pub(crate) const fn is_foreign(self) -> bool {
        self.0 >> BITS == 11
    }

    /// Project nodes and what derives from them: terms that a repository of another project may name by their text.
    pub(crate) const fn has_changing_text(self) -> bool {
        matches!(self.0 >> BITS, 9 | 10)
    }

    /// Whether the term's text is in the dictionary.
    pub(crate) const fn in_dictionary(self) -> bool {
        matches!(self.0 >> BITS, 1 | 2 | 3 | 10 | 11)
    }

    pub(crate) const fn raw(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) fn to_bytes(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// Reads the first six bytes; short input counts as padded with zeros, which is no kind of term.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        match bytes {
            [a, b, c, d, e, f, ..] => Self(u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f])),
            _ => Self(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_six_bytes() {
        let id = TermId::new(Kind::Foreign, VALUE);
        assert_eq!(TermId::read(&id.to_bytes()), id);
        assert_eq!((id.kind(), id.value()), (Some(Kind::Foreign), VALUE));
        assert!(TermId::new(Kind::Named, 1) < TermId::new(Kind::Literal, 0));
        assert_eq!(TermId::read(&[1, 2]).kind(), None);
    }
}
