//! The canary: a private project that nobody is a member of, planted in every view. Nothing in GitLab has its number. Who ever
//! reads its triple has been shown what nobody may see. [`Snapshot::look_for_canary`] asks for it the way that every query
//! goes: as callers who must not see it, and as the one who must, which proves that it would be seen.

use std::time::Duration;

use access::{Caller, Grant, ServiceScope};
use model::{Day, Digest, Generation, ProjectId, UserId, Visibility};

use crate::change::{Difference, Facts, GraphState, LiveFacts, Piece, PieceKey};
use crate::names::{CANARY, PLACEHOLDER};
use crate::query::{Answer, Query, QueryError, QueryLimits};
use crate::{Snapshot, Stop, StoreError, Writer};

/// The first version of facts is later than none and earlier than any that a look gives.
const VERSION: Generation = Generation::new(1);
/// Bounds of one question; all answers are empty or one row.
const LIMITS: QueryLimits = QueryLimits {
    time: Duration::from_secs(5),
    rows: 10,
    quads: 100_000,
    memory: 32 << 20,
};

/// What its own prober asks for: the word of its triple. It is random and stands nowhere else.
const WORD: &str = "SELECT ?word { ?s <P> ?word }";

/// Ways to come by it, `<P>` being its predicate and `<W>` its word: the default graph, a graph by variable, any predicate, an
/// aggregate, a sub-select that hides the graph, values and a path.
const WAYS: [&str; 7] = [
    "SELECT * { ?s <P> <W> }",
    "SELECT * { GRAPH ?g { ?s <P> <W> } }",
    "SELECT * { ?s ?p <W> }",
    "SELECT (COUNT(*) AS ?n) { ?s <P> <W> } HAVING (COUNT(*) > 0)",
    "SELECT * { { SELECT ?s { GRAPH ?g { ?s <P> <W> } } } }",
    "SELECT * { VALUES ?o { <W> } ?s <P> ?o }",
    "SELECT * { ?s <P>|<P>/<P> <W> }",
];

/// What came of a look for the canary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CanaryLook {
    /// Answers in which somebody saw it, or would have without the guard.
    pub seen: u64,
    /// Its prober saw it in every way: the questions are good.
    pub proved: bool,
}

impl Writer {
    /// Plants the canary, unless it is there. `word` is what its triple says; nobody may guess it.
    pub fn plant_canary(&mut self, word: u128) -> Result<(), StoreError> {
        let mut batch = self.begin()?;
        if batch.facts(ProjectId::CANARY)?.is_some() {
            return Ok(());
        }
        let slug = format!("canary/{word:032x}")
            .parse()
            .map_err(|_| StoreError::Damaged("the canary has no slug"))?;
        let facts = Facts {
            state_version: VERSION,
            generation: VERSION,
            live: Some(LiveFacts {
                slug,
                visibility: Visibility::Private,
                members: Vec::new(),
            }),
            payload: Vec::new(),
        };
        batch.apply_facts(ProjectId::CANARY, &facts)?;
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&word.to_be_bytes());
        let digest = Digest::new(digest);
        let state = GraphState {
            generation: VERSION,
            digest,
            state_version: VERSION,
            bits: 0,
            sections: vec![digest],
            payload: Vec::new(),
        };
        let piece = Piece {
            key: PieceKey::of("/canary"),
            digest,
            text: format!("<{PLACEHOLDER}> <{CANARY}> \"{word:032x}\" .\n"),
        };
        let planted = Difference {
            removed: Vec::new(),
            put: vec![piece],
        };
        batch.apply_graph(ProjectId::CANARY, &state, &planted)?;
        batch.commit()
    }
}

impl Snapshot {
    /// Asks for the canary as everybody. A view in which none was planted yet proves nothing.
    ///
    /// # Errors
    /// What queries fail for, save that the guard withheld an answer: that counts as seen.
    pub fn look_for_canary(&self, today: Day) -> Result<CanaryLook, QueryError> {
        let mut look = CanaryLook {
            seen: 0,
            proved: true,
        };
        let service = |grant| {
            Caller::Service(
                ServiceScope {
                    name: "canary".to_owned(),
                    grant,
                }
                .into(),
            )
        };
        let strangers = [
            Caller::Anonymous,
            Caller::User(UserId::MAX),
            Caller::External(UserId::MAX),
            service(Grant::Public),
            service(Grant::Internal),
            Caller::Administrator,
        ];
        let of = |text: &str| -> Result<Query, QueryError> {
            text.replace("<P>", &format!("<{}>", CANARY))
                .parse()
                .map_err(|error| QueryError::Refused(format!("{error}")))
        };
        let words = self.told(&Caller::Prober, today, &of(WORD)?)?;
        let [word] = &words[..] else {
            look.proved = false;
            return Ok(look);
        };
        for way in WAYS {
            let query = of(&way.replace("<W>", word))?;
            look.proved &= !self.told(&Caller::Prober, today, &query)?.is_empty();
            for stranger in &strangers {
                look.seen += match self.told(stranger, today, &query) {
                    Ok(rows) => u64::from(!rows.is_empty()),
                    Err(QueryError::Store(StoreError::Withheld { .. })) => 1,
                    Err(other) => return Err(other),
                };
            }
        }
        Ok(look)
    }

    /// The first value of each row, as SPARQL writes it.
    fn told(&self, caller: &Caller, today: Day, query: &Query) -> Result<Vec<String>, QueryError> {
        let visible = self.visible(caller, today)?;
        let stop = Stop::default();
        self.query(&visible, query, LIMITS, &stop, |answer| match answer {
            Answer::Rows(_, rows) => rows
                .map(|row| {
                    let first = row?.iter().next().map(|(_, term)| term.to_string());
                    Ok(first.unwrap_or_default())
                })
                .collect(),
            Answer::Truth(_) | Answer::Triples(_) => Ok(Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{self, Fault};
    use crate::{Reader, StoreOptions};

    const TODAY: Day = Day::from_number(20_000);

    fn planted(folder: &std::path::Path) -> (Writer, Reader) {
        let options = StoreOptions {
            map_size: 1 << 28,
            ..StoreOptions::new("renku.example")
        };
        let (mut writer, reader) = crate::open(folder, options).unwrap();
        writer.plant_canary(0xfeed).unwrap();
        (writer, reader)
    }

    fn look(reader: &Reader) -> CanaryLook {
        reader.snapshot().unwrap().look_for_canary(TODAY).unwrap()
    }

    #[test]
    fn nobody_sees_it_but_its_prober() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::new("renku.example");
        let (mut writer, reader) = crate::open(folder.path(), options).unwrap();
        let nothing = CanaryLook {
            seen: 0,
            proved: false,
        };
        assert_eq!(look(&reader), nothing, "none is planted");
        let good = CanaryLook {
            seen: 0,
            proved: true,
        };
        for word in [1, 2] {
            writer.plant_canary(word).unwrap();
            assert_eq!(look(&reader), good, "planted once, however often it is asked for");
        }
        assert!(reader.snapshot().unwrap().all_projects().unwrap().is_empty());
    }

    #[test]
    fn others_who_use_its_words_raise_no_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, reader) = planted(folder.path());
        let mut batch = writer.begin().unwrap();
        let public = ProjectId::new(1).unwrap();
        let mut facts = batch.facts(ProjectId::CANARY).unwrap().unwrap();
        facts.live = Some(LiveFacts {
            slug: "g/public".parse().unwrap(),
            visibility: Visibility::Public,
            members: Vec::new(),
        });
        batch.apply_facts(public, &facts).unwrap();
        let digest = Digest::new([1; 32]);
        let state = GraphState {
            generation: VERSION,
            digest,
            state_version: VERSION,
            bits: 0,
            sections: vec![digest],
            payload: Vec::new(),
        };
        let piece = Piece {
            key: PieceKey::of("/x"),
            digest,
            text: format!("<{PLACEHOLDER}> <{CANARY}> \"guess\" .\n"),
        };
        let put = Difference {
            removed: Vec::new(),
            put: vec![piece],
        };
        batch.apply_graph(public, &state, &put).unwrap();
        batch.commit().unwrap();
        assert_eq!(
            look(&reader),
            CanaryLook {
                seen: 0,
                proved: true
            }
        );
    }

    #[test]
    fn it_is_seen_with_the_filter_off() {
        for fault in [Fault::Decision, Fault::Graphs, Fault::Scan] {
            let folder = tempfile::tempdir().unwrap();
            let (_writer, reader) = planted(folder.path());
            faults::put(Some(fault));
            let look = look(&reader);
            faults::put(None);
            assert!(look.seen >= 7, "{fault:?}: {look:?}");
            assert!(look.proved, "{fault:?}: {look:?}");
        }
    }
}
