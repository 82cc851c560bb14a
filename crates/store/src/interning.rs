//! From the text of a piece to triples of ids.

use heed::RwTxn;
use model::ProjectId;
use rustc_hash::FxHashMap;

use crate::change::PieceKey;
use crate::dictionary::Dictionary;
use crate::error::StoreError;
use crate::inline::inline;
use crate::lexical::{MAX_NAME, XSD_STRING, write_literal};
use crate::names::{Names, Said as SaidAs, derived_bytes};
use crate::ntriples::{self, Said, Token};
use crate::tables::Tables;
use crate::term_id::{Kind, TermId};
use crate::triples::Triple;

/// Terms seen in this transaction by their source text. Bounded: emptied when full.
#[derive(Default)]
pub(crate) struct TermCache {
    ids: FxHashMap<Box<str>, Known>,
    scratch: String,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Known {
    id: TermId,
    /// As a subject it makes the triple a claim.
    claim: bool,
}

const CACHED: usize = 400_000;

/// The triples of a piece: what is said of own things, and claims.
#[derive(Default)]
pub(crate) struct Parsed {
    pub(crate) own: Vec<Triple>,
    pub(crate) claims: Vec<Triple>,
}

/// Looks a text over without changing anything.
pub(crate) fn check(
    names: &Names,
    blank_nodes: bool,
    project: ProjectId,
    key: PieceKey,
    text: &str,
) -> Result<(), StoreError> {
    let mut scratch = String::new();
    for (number, line) in text.lines().enumerate() {
        let bad = |why| StoreError::BadPiece {
            project,
            piece: format!("{key:?}"),
            line: number + 1,
            why,
        };
        for said in ntriples::line(line).map_err(bad)? {
            match said.token {
                Token::Iri(iri) if names.sort(iri) == SaidAs::Reserved => {
                    return Err(bad("urn:renku: is reserved for the project's own node"));
                }
                Token::Iri(_) => {}
                Token::Blank(_) if !blank_nodes => return Err(bad("blank nodes have to be skolemised")),
                Token::Blank(_) => {}
                Token::Literal {
                    escaped,
                    datatype,
                    language,
                } => {
                    ntriples::unescape(escaped, &mut scratch).map_err(bad)?;
                    if datatype.or(language).is_some_and(|name| name.len() > MAX_NAME) {
                        return Err(bad("a datatype or language tag is longer than 65,535 bytes"));
                    }
                }
            }
        }
    }
    Ok(())
}

impl TermCache {
    /// The triples of a text that [`check`] found good.
    pub(crate) fn parse(
        &mut self,
        (tables, txn, names, dictionary): (&Tables, &mut RwTxn<'_>, &Names, &mut Dictionary),
        project: ProjectId,
        text: &str,
    ) -> Result<Parsed, StoreError> {
        let mut parsed = Parsed::default();
        if self.ids.len() > CACHED {
            self.ids.clear();
        }
        for line in text.lines() {
            let said = ntriples::line(line).map_err(StoreError::Damaged)?;
            let mut known = [Known {
                id: TermId::from_raw(0),
                claim: false,
            }; 3];
            for (known, said) in known.iter_mut().zip(said) {
                *known = self.intern((tables, txn, names, dictionary), project, said)?;
            }
            let triple = known.map(|k| k.id);
            if known[0].claim {
                parsed.claims.push(triple);
            } else {
                parsed.own.push(triple);
            }
        }
        Ok(parsed)
    }

    fn intern(
        &mut self,
        (tables, txn, names, dictionary): (&Tables, &mut RwTxn<'_>, &Names, &mut Dictionary),
        project: ProjectId,
        said: Said<'_>,
    ) -> Result<Known, StoreError> {
        if let Some(known) = self.ids.get(said.source) {
            return Ok(*known);
        }
        let mut intern = |kind, bytes: &[u8]| dictionary.intern(tables, txn, kind, bytes);
        let known = match said.token {
            Token::Iri(iri) => match names.sort(iri) {
                // The placeholder means another node in every project, so it is not remembered.
                SaidAs::Own => {
                    return Ok(Known {
                        id: TermId::new(Kind::Project, u64::from(project.get())),
                        claim: false,
                    });
                }
                SaidAs::Derived(suffix) => {
                    let id = intern(Kind::Derived, &derived_bytes(project, suffix))?;
                    return Ok(Known { id, claim: false });
                }
                SaidAs::Foreign => Known {
                    id: intern(Kind::Foreign, iri.as_bytes())?,
                    claim: names.is_claim(iri),
                },
                SaidAs::Plain => Known {
                    id: intern(Kind::Named, iri.as_bytes())?,
                    claim: names.is_claim(iri),
                },
                SaidAs::Reserved => return Err(StoreError::Damaged("a reserved IRI came past the check")),
            },
            Token::Blank(label) => Known {
                id: intern(Kind::Blank, label.as_bytes())?,
                claim: false,
            },
            Token::Literal {
                escaped,
                datatype,
                language,
            } => {
                ntriples::unescape(escaped, &mut self.scratch).map_err(StoreError::Damaged)?;
                let datatype = datatype.unwrap_or(XSD_STRING);
                let whole = if language.is_none() {
                    inline(&self.scratch, datatype)
                } else {
                    None
                };
                let id = match whole {
                    Some(id) => id,
                    None => {
                        self.bytes.clear();
                        write_literal(&self.scratch, datatype, language, &mut self.bytes);
                        intern(Kind::Literal, &self.bytes)?
                    }
                };
                Known { id, claim: false }
            }
        };
        self.ids.insert(said.source.into(), known);
        Ok(known)
    }
}
