//! Random worlds × callers × shapes of queries: the answers of the plain RDF merge.

use access::Caller;
use oxigraph::model::{Dataset, GraphNameRef, NamedNodeRef, QuadRef};

use crate::support::{Dice, HOST, Known, World, ask, ask_oracle, open, oracle, project};

const SLUGS: [&str; 7] = [
    "a/one",
    "a/two",
    "b/three",
    "b/three/four",
    "c/five",
    "c/six",
    "gone/away",
];

pub fn subject(dice: &mut Dice) -> String {
    match dice.below(12) {
        0..3 => "<urn:renku:project>".into(),
        3 => format!("<urn:renku:project/images/{}>", dice.below(2)),
        4 => format!("<https://{HOST}/projects/{}>", dice.pick(&SLUGS)),
        5 => format!("<https://{HOST}/persons/{}>", dice.below(3)),
        6 => "<http://schema.org/Person>".into(),
        7 => format!("<mailto:u{}@example.org>", dice.below(3)),
        _ => format!("<https://{HOST}/activities/{}>", dice.below(5)),
    }
}

pub fn predicate(dice: &mut Dice) -> String {
    match dice.below(9) {
        0..3 => "<urn:p:next>".into(),
        3..5 => "<urn:p:value>".into(),
        5..7 => "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>".into(),
        7 => "<urn:p:about>".into(),
        _ => format!("<https://{HOST}/projects/{}>", dice.pick(&SLUGS)),
    }
}

pub fn object(dice: &mut Dice) -> String {
    let xsd = "http://www.w3.org/2001/XMLSchema#";
    match dice.below(14) {
        0 => format!("\"{}\"^^<{xsd}integer>", dice.below(4)),
        1 => format!("\"0{}\"^^<{xsd}integer>", dice.below(2)),
        2 => format!("\"word{}\"", dice.below(3)),
        3 => format!("\"word{}\"@en", dice.below(2)),
        4 => format!("\"2024-01-1{}T10:00:00Z\"^^<{xsd}dateTime>", dice.below(3)),
        5 => format!("\"{}\"^^<{xsd}boolean>", dice.pick(&["true", "false", "1"])),
        6 => format!(
            "<https://{HOST}/projects/{}/images/{}>",
            dice.pick(&SLUGS),
            dice.below(2)
        ),
        7 => "\"a \\\"quoted\\\"\\nline\"".into(),
        8 => format!("<https://{HOST}/projects/{}>", dice.pick(&SLUGS)),
        _ => subject(dice),
    }
}

pub fn lines(dice: &mut Dice) -> Vec<String> {
    (0..1 + dice.below(5))
        .map(|_| format!("{} {} {} .", subject(dice), predicate(dice), object(dice)))
        .collect()
}

pub fn world(dice: &mut Dice) -> World {
    let mut slugs = SLUGS[..6].to_vec();
    let mut world = World::new();
    for id in 1..=1 + dice.below(5) {
        let slug = slugs.remove(dice.below(slugs.len()));
        let mut known = Known {
            slug: Some(slug.into()),
            public: !dice.one_in(3),
            version: 1,
            generation: 1,
            ..Known::default()
        };
        for n in 0..1 + dice.below(4) {
            known.pieces.insert(format!("/piece/{n}"), lines(dice));
        }
        world.insert(project(id as i64 * 3), known);
    }
    world
}

/// Queries whose answers are a function of the dataset alone.
pub const SHAPES: [&str; 38] = [
    "SELECT * { ?s ?p ?o }",
    "SELECT * { GRAPH ?g { ?s ?p ?o } }",
    "SELECT (COUNT(*) AS ?c) { ?s ?p ?o }",
    "SELECT (COUNT(*) AS ?c) { GRAPH ?g { ?s ?p ?o } }",
    "SELECT ?g { GRAPH ?g {} }",
    "SELECT ?g (COUNT(?s) AS ?c) { GRAPH ?g { ?s ?p ?o } } GROUP BY ?g",
    "SELECT * { ?s <urn:p:next> ?o }",
    "SELECT * { ?s a ?o }",
    "SELECT * { ?a <urn:p:next> ?b . ?b <urn:p:next> ?c }",
    "SELECT * { ?a <urn:p:next> ?b . ?b <urn:p:value> ?c . ?c ?p ?d }",
    "SELECT * { ?a <urn:p:next> ?a }",
    "SELECT * { ?s ?p ?s }",
    "SELECT * { ?s ?p ?o . ?o ?q ?s }",
    "SELECT * { ?s <urn:p:next>+ ?o }",
    "SELECT * { ?s (<urn:p:next>|^<urn:p:about>)* ?o . ?s a ?t }",
    "SELECT * { <https://renku.example/projects/a/one> ?p ?o }",
    "SELECT * { ?s ?p <https://renku.example/projects/a/one> }",
    "SELECT * { ?s ?p <https://renku.example/projects/b/three/four> }",
    "SELECT * { ?s <https://renku.example/projects/a/two> ?o }",
    "SELECT * { ?s ?p <https://renku.example/projects/b/three/images/0> }",
    "SELECT * { <https://renku.example/projects/b/three/images/0> ?p ?o }",
    "SELECT * { GRAPH <https://renku.example/projects/a/one> { ?s ?p ?o } }",
    "SELECT * { GRAPH <https://renku.example/projects/b/three> { ?s <urn:p:next> ?o } }",
    "SELECT * { GRAPH <https://renku.example/projects/b/three> { ?s ?p 1 } }",
    "SELECT * { GRAPH <https://renku.example/projects/no/where> { ?s ?p ?o } }",
    "SELECT * { GRAPH ?g { ?s a ?t } . ?g ?p ?o }",
    "SELECT * { ?s a ?t OPTIONAL { GRAPH ?g { ?s <urn:p:value> ?v } } }",
    "SELECT * { ?s ?p ?o FILTER EXISTS { GRAPH ?g { ?o ?q ?x } } }",
    "SELECT * { ?s ?p ?o FILTER NOT EXISTS { ?o ?q ?x } }",
    "SELECT * { ?s ?p ?o MINUS { ?s a ?t } }",
    "SELECT * { { SELECT ?s (COUNT(?g) AS ?n) { GRAPH ?g { ?s ?p ?o } } GROUP BY ?s } ?s a ?t }",
    "SELECT * { { SELECT ?s { GRAPH ?g { ?s <urn:p:next> ?o } } } }",
    "SELECT (SUM(?v) AS ?n) (MIN(?v) AS ?m) { ?s <urn:p:value> ?v FILTER(ISNUMERIC(?v)) }",
    "SELECT DISTINCT ?t { ?s a ?t } ORDER BY ?t",
    "SELECT * { ?s ?p ?o FILTER(?o = 1 || CONTAINS(STR(?o), \"projects/a\")) }",
    "ASK { GRAPH ?g { <http://schema.org/Person> ?p ?o } }",
    "CONSTRUCT { ?o ?p ?s } WHERE { ?s ?p ?o FILTER(ISIRI(?o)) }",
    "DESCRIBE <https://renku.example/projects/a/one>",
];

pub fn from_clauses(dice: &mut Dice) -> String {
    let mut slugs = SLUGS.to_vec();
    let mut clauses = String::new();
    for _ in 0..1 + dice.below(3) {
        let slug = slugs.remove(dice.below(slugs.len()));
        let named = if dice.one_in(2) { "NAMED " } else { "" };
        clauses.push_str(&format!("FROM {named}<https://{HOST}/projects/{slug}> "));
    }
    clauses
}

/// The oracle's bag for queries with FROM: the engine's own way gives equal triples of several graphs several times,
/// so the merge is made by hand.
pub fn narrowed(merge: &Dataset, clauses: &str) -> Dataset {
    let mut narrow = Dataset::new();
    for clause in clauses.split("FROM ").filter(|c| !c.is_empty()) {
        let named = clause.starts_with("NAMED ");
        let iri = clause
            .trim_start_matches("NAMED ")
            .trim()
            .trim_matches(['<', '>']);
        let graph = NamedNodeRef::new_unchecked(iri);
        for quad in merge.quads_for_graph_name(graph) {
            let into = if named {
                graph.into()
            } else {
                GraphNameRef::DefaultGraph
            };
            narrow.insert(QuadRef::new(quad.subject, quad.predicate, quad.object, into));
        }
    }
    narrow
}

#[test]
fn answers_are_those_of_the_merge() {
    for seed in 0..1_000 {
        let dice = &mut Dice::new(seed);
        let world = world(dice);
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, reader) = open(folder.path());
        let mut batch = writer.begin().unwrap();
        for (id, known) in &world {
            known.put_all(&mut batch, *id);
        }
        batch.commit().unwrap();
        let snapshot = reader.snapshot().unwrap();
        for caller in [Caller::Anonymous, Caller::Administrator] {
            let oracle = oracle(&world, caller.clone());
            for shape in SHAPES {
                if seed >= 200 && !dice.one_in(3) {
                    continue;
                }
                assert_eq!(
                    ask(&snapshot, caller.clone(), shape),
                    ask_oracle(&oracle, shape),
                    "seed {seed}, {caller:?}, {shape}\n{world:#?}"
                );
            }
            for _ in 0..4 {
                let clauses = from_clauses(dice);
                let shape = dice.pick(&SHAPES);
                if !shape.contains('{') {
                    continue;
                }
                let (head, body) = shape.split_at(shape.find(['{']).unwrap());
                let (head, body) = match head.strip_prefix("CONSTRUCT") {
                    Some(_) => shape.split_at(shape.find("WHERE").unwrap()),
                    None => (head, body),
                };
                let asked = format!("{head} {clauses} {body}");
                let narrow = narrowed(&oracle, &clauses);
                assert_eq!(
                    ask(&snapshot, caller.clone(), &asked),
                    ask_oracle(&narrow, shape),
                    "seed {seed}, {caller:?}, {asked}\n{world:#?}"
                );
            }
        }
    }
}
