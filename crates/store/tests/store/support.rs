//! Small worlds: projects, pieces, and what a caller should see of them by the rules of RDF merge.

use std::collections::BTreeMap;
use std::path::Path;

use access::Caller;
use model::{Digest, Generation, ProjectId, Visibility};
use oxigraph::io::RdfFormat;
use oxigraph::model::{Dataset, GraphNameRef, NamedNode, Quad, QuadRef, Term};
use oxigraph::sparql::{QueryResults, SparqlEvaluator};
use sha2::Digest as _;
use store::{
    Answer, Difference, Facts, GraphState, LiveFacts, Piece, PieceKey, Query, QueryError, QueryLimits,
    Reader, Snapshot, Stop, StoreOptions, WriteBatch, Writer,
};

pub const HOST: &str = "renku.example";

/// A seeded source of choices.
pub struct Dice(pub u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

pub fn project(id: i64) -> ProjectId {
    ProjectId::new(id).unwrap()
}

pub fn options() -> StoreOptions {
    StoreOptions {
        map_size: 1 << 30,
        ..StoreOptions::new(HOST)
    }
}

pub fn open(path: &Path) -> (Writer, Reader) {
    store::open(path, options()).unwrap()
}

pub fn digest_of(text: &str) -> Digest {
    Digest::new(sha2::Sha256::digest(text.as_bytes()).into())
}

pub fn piece(id: &str, lines: &[String]) -> Piece {
    let mut lines = lines.to_vec();
    lines.sort();
    lines.dedup();
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Piece {
        key: PieceKey::of(id),
        digest: digest_of(&text),
        text,
    }
}

/// A project as the oracle knows it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub slug: Option<String>,
    pub public: bool,
    pub version: u64,
    pub generation: u64,
    pub pieces: BTreeMap<String, Vec<String>>,
}

impl Known {
    pub fn facts(&self) -> Facts {
        Facts {
            state_version: Generation::new(self.version),
            generation: Generation::new(self.version),
            live: self.slug.as_ref().map(|slug| LiveFacts {
                slug: slug.parse().unwrap(),
                visibility: if self.public {
                    Visibility::Public
                } else {
                    Visibility::Private
                },
                members: Vec::new(),
            }),
            payload: Vec::new(),
        }
    }

    pub fn state(&self) -> GraphState {
        let all: String = self
            .pieces
            .iter()
            .map(|(id, lines)| format!("{id}{}", piece(id, lines).digest))
            .collect();
        GraphState {
            generation: Generation::new(self.generation),
            digest: digest_of(&all),
            state_version: Generation::new(0),
            bits: 0,
            sections: vec![digest_of(&all)],
            payload: Vec::new(),
        }
    }

    /// The difference from `before` to now.
    pub fn difference(&self, before: &BTreeMap<String, Vec<String>>) -> Difference {
        Difference {
            removed: before
                .keys()
                .filter(|id| !self.pieces.contains_key(*id))
                .map(|id| PieceKey::of(id))
                .collect(),
            put: self
                .pieces
                .iter()
                .filter(|(id, lines)| before.get(*id) != Some(lines))
                .map(|(id, lines)| piece(id, lines))
                .collect(),
        }
    }

    /// Whole and new.
    pub fn put_all(&self, batch: &mut WriteBatch<'_>, id: ProjectId) {
        batch.apply_facts(id, &self.facts()).unwrap();
        batch
            .apply_graph(id, &self.state(), &self.difference(&BTreeMap::new()))
            .unwrap();
    }
}

pub type World = BTreeMap<ProjectId, Known>;

fn is_claim(subject: &str) -> bool {
    let person = subject
        .strip_prefix("<https://renku.example/persons/")
        .and_then(|rest| rest.strip_suffix('>'))
        .is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit()));
    person
        || subject.starts_with("<https://renku.example/projects/")
        || subject.starts_with("<http://schema.org/")
        || subject.starts_with("<http://www.w3.org/1999/02/22-rdf-syntax-ns#")
}

/// What the caller should see.
pub fn oracle(world: &World, caller: Caller) -> Dataset {
    let visible = world
        .values()
        .filter(|known| caller != Caller::Anonymous || known.public);
    merged(visible.filter_map(|known| Some((known.slug.as_deref()?, &known.pieces))))
}

/// The plain RDF merge of projects, made of text. A `Dataset` keeps terms as they are written; Oxigraph's store does not
/// (`01` becomes `1`).
pub fn merged<'a>(projects: impl Iterator<Item = (&'a str, &'a BTreeMap<String, Vec<String>>)>) -> Dataset {
    let mut store = Dataset::new();
    for (slug, pieces) in projects {
        let iri = format!("https://{HOST}/projects/{slug}");
        let graph = NamedNode::new_unchecked(&iri);
        for line in pieces.values().flatten() {
            let claim = is_claim(line.split(' ').next().unwrap());
            let said = line
                .replace("<urn:renku:project>", &format!("<{iri}>"))
                .replace("<urn:renku:project/", &format!("<{iri}/"));
            for quad in oxigraph::io::RdfParser::from_format(RdfFormat::NTriples).for_slice(said.as_bytes()) {
                let quad = quad.unwrap();
                let named = Quad::new(
                    quad.subject.clone(),
                    quad.predicate.clone(),
                    quad.object.clone(),
                    graph.clone(),
                );
                store.insert(&named);
                if !claim {
                    store.insert(QuadRef::new(
                        &quad.subject,
                        &quad.predicate,
                        &quad.object,
                        GraphNameRef::DefaultGraph,
                    ));
                }
            }
        }
    }
    store
}

/// Rows of an answer as texts, sorted: a bag.
pub type Bag = Vec<String>;

fn row(values: impl Iterator<Item = Option<Term>>) -> String {
    values
        .map(|value| value.map_or("-".to_owned(), |term| term.to_string()))
        .collect::<Vec<_>>()
        .join(" ")
}

pub fn ask_oracle(store: &Dataset, query: &str) -> Bag {
    let mut bag = match SparqlEvaluator::new()
        .parse_query(query)
        .unwrap()
        .on_queryable_dataset(store)
        .execute()
        .unwrap()
    {
        QueryResults::Boolean(truth) => vec![truth.to_string()],
        QueryResults::Solutions(rows) => rows.map(|r| row(r.unwrap().values().iter().cloned())).collect(),
        QueryResults::Graph(triples) => {
            let mut all: Vec<_> = triples.map(|t| t.unwrap().to_string()).collect();
            all.sort();
            all.dedup();
            all
        }
    };
    bag.sort();
    bag
}

pub fn bag_of(answer: Answer<'_>) -> Result<Bag, QueryError> {
    let mut bag = match answer {
        Answer::Truth(truth) => vec![truth.to_string()],
        Answer::Rows(_, rows) => rows
            .map(|r| r.map(|r| row(r.values().iter().cloned())))
            .collect::<Result<_, _>>()?,
        Answer::Triples(triples) => {
            let mut all: Vec<_> = triples
                .map(|t| t.map(|t| t.to_string()))
                .collect::<Result<_, _>>()?;
            all.sort();
            all.dedup();
            all
        }
    };
    bag.sort();
    Ok(bag)
}

pub fn ask(snapshot: &Snapshot, caller: Caller, query: &str) -> Bag {
    let visible = snapshot.visible(&caller, model::Day::default()).unwrap();
    let query: Query = query.parse().unwrap();
    snapshot
        .query(&visible, &query, QueryLimits::NONE, &Stop::default(), bag_of)
        .unwrap()
}
