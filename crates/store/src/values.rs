//! Values of terms that a query asks for again and again, as sorting does.

use rustc_hash::FxHashMap;
use spareval::ExpressionTerm;

use crate::term_id::TermId;

/// Values that are kept; more are read anew.
const KEPT: usize = 1 << 17;
/// Longer texts are not kept. Bytes.
const LONGEST: usize = 256;
/// Terms of which it is noticed that they are asked for again.
const NOTICED: usize = 1 << 16;

/// Keeps the values of terms that were asked for more than once, so that one pass over many terms costs nothing more.
#[derive(Default)]
pub(crate) struct Values {
    /// By a part of the id: the term that was asked for last. Empty until the first one.
    asked: Vec<u64>,
    kept: FxHashMap<TermId, ExpressionTerm>,
}

impl Values {
    pub(crate) fn get(&self, id: TermId) -> Option<ExpressionTerm> {
        if self.kept.is_empty() {
            None
        } else {
            self.kept.get(&id).cloned()
        }
    }

    /// Takes note of a value that was read.
    pub(crate) fn note(&mut self, id: TermId, value: &ExpressionTerm) {
        let length = match value {
            ExpressionTerm::NamedNode(iri) => iri.as_str().len(),
            ExpressionTerm::StringLiteral(text) => text.len(),
            ExpressionTerm::LangStringLiteral { value, .. }
            | ExpressionTerm::OtherTypedLiteral { value, .. } => value.len(),
            _ => 0,
        };
        if length > LONGEST {
            return;
        }
        if self.asked.is_empty() {
            self.asked = vec![0; NOTICED];
        }
        let raw = id.raw();
        let slot = (raw.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % NOTICED;
        if self.asked[slot] != raw {
            self.asked[slot] = raw;
        } else if self.kept.len() < KEPT {
            self.kept.insert(id, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term_id::Kind;

    #[test]
    fn what_is_asked_twice_is_kept() {
        let (mut values, id) = (Values::default(), TermId::new(Kind::Literal, 7));
        let value = ExpressionTerm::StringLiteral("x".into());
        values.note(id, &value);
        assert!(values.get(id).is_none());
        values.note(id, &value);
        assert!(values.get(id) == Some(value));
        assert!(values.get(TermId::new(Kind::Named, 7)).is_none());
    }
}
