//! Shapes that a grammar seldom makes, and that a filter by graph most easily gets wrong. `<A>` and `<B>` stand for graphs of
//! projects, `<T>` for any term of the pieces, `<P>` for any predicate.

pub const MORE: [&str; 44] = [
    // The graph is a variable that nobody sees.
    "SELECT * { { SELECT DISTINCT ?s { GRAPH ?g { ?s ?p ?o } } } }",
    "SELECT * { { SELECT ?s ?p { GRAPH ?h { ?s ?p ?o } } } GRAPH ?g { ?s ?p ?x } }",
    "SELECT (COUNT(DISTINCT ?g) AS ?n) { GRAPH ?g {} }",
    "SELECT ?s { { SELECT ?s (COUNT(DISTINCT ?g) AS ?n) { GRAPH ?g { ?s ?p ?o } } GROUP BY ?s HAVING (COUNT(DISTINCT ?g) > 1) } }",
    // Graphs that are asked for by name.
    "ASK { GRAPH <A> {} }",
    "SELECT * { GRAPH <A> {} GRAPH ?g {} }",
    "SELECT * { VALUES ?g { <A> <B> } GRAPH ?g {} }",
    "SELECT * { VALUES ?g { <A> <B> } GRAPH ?g { ?s ?p ?o } }",
    "SELECT * { BIND(<A> AS ?g) GRAPH ?g { ?s ?p ?o } }",
    "SELECT * { BIND(IRI(CONCAT(\"https://renku.example/projects/\", \"b/three\")) AS ?g) GRAPH ?g { ?s ?p ?o } }",
    "SELECT * { GRAPH ?g { ?s ?p ?o } FILTER(?g = <A>) }",
    "SELECT * { GRAPH ?g { ?s ?p ?o } FILTER(?g != <A>) }",
    "SELECT * { GRAPH ?g { ?s ?p ?o } FILTER(STRENDS(STR(?g), \"two\")) }",
    "SELECT * { GRAPH ?g { ?g ?p ?o } }",
    "SELECT * { GRAPH ?g { ?s ?p ?g } }",
    "SELECT * { GRAPH ?g { ?s ?p ?h } GRAPH ?h { ?x ?y ?z } }",
    "SELECT * { GRAPH <A> { ?s ?p ?o } GRAPH <B> { ?s ?p ?o } }",
    "SELECT * { GRAPH <A> { ?s ?p ?o } MINUS { GRAPH <B> { ?s ?p ?o } } }",
    "SELECT * { { GRAPH <A> { ?s ?p ?o } } UNION { GRAPH <B> { ?s ?p ?o } } }",
    // Empty and optional parts.
    "SELECT * { OPTIONAL { GRAPH ?g { <T> ?p ?o } } }",
    "SELECT * { OPTIONAL { GRAPH <A> { ?s ?p ?o } } OPTIONAL { GRAPH <B> { ?s ?q ?x } } }",
    "SELECT * { ?s <P> ?o OPTIONAL { SELECT ?s (COUNT(*) AS ?n) { GRAPH ?g { ?s ?p ?x } } GROUP BY ?s } }",
    "SELECT * { ?s <P> ?o OPTIONAL { { SELECT (COUNT(*) AS ?n) { GRAPH <A> { ?x ?p ?y } } } } }",
    "SELECT * { ?s <P> ?o OPTIONAL { GRAPH ?g { ?s <P> ?x } FILTER(?x != ?o) } }",
    // Existence.
    "SELECT * { ?s <P> ?o FILTER EXISTS { { SELECT ?s { GRAPH ?g { ?s ?p ?x } } } } }",
    "SELECT * { ?s <P> ?o FILTER NOT EXISTS { GRAPH <A> { ?s ?p ?x } } }",
    "SELECT * { ?s ?p ?o BIND(EXISTS { GRAPH ?g { ?o ?q ?x } } AS ?known) }",
    "ASK { FILTER EXISTS { GRAPH <A> { ?s ?p ?o } } }",
    "ASK { FILTER NOT EXISTS { GRAPH ?g { <T> ?p ?o } } }",
    "SELECT (EXISTS { GRAPH <A> {} } AS ?there) {}",
    // Paths.
    "SELECT * { GRAPH ?g { ?s (<P>|^<P>)* ?o } }",
    "SELECT * { GRAPH <A> { ?s <P>+ ?o } }",
    "SELECT * { <T> (!<P>)* ?o }",
    "SELECT * { <T> <P>* <T> }",
    "SELECT * { GRAPH ?g { <T> <P>? ?o } }",
    "SELECT (COUNT(*) AS ?n) { ?s (<P>/^<P>)+ ?o }",
    // Counts and orders.
    "SELECT ?p (COUNT(*) AS ?n) { ?s ?p ?o } GROUP BY ?p",
    "SELECT (COUNT(DISTINCT ?s) AS ?n) { GRAPH ?g { ?s ?p ?o } }",
    // Not over paths: there the engine counts nodes between links as well.
    "SELECT (COUNT(DISTINCT *) AS ?n) { GRAPH ?g { ?s ?p ?o } }",
    "SELECT (COUNT(DISTINCT *) AS ?n) { {} UNION { GRAPH <A> {} } UNION { GRAPH ?g {} } }",
    "SELECT ?g (MAX(STR(?s)) AS ?m) { GRAPH ?g { ?s ?p ?o } } GROUP BY ?g",
    // Other forms.
    "CONSTRUCT { ?g ?p ?s } WHERE { GRAPH ?g { ?s ?p ?o } }",
    "DESCRIBE ?s WHERE { GRAPH ?g { ?s <P> ?o } }",
    "DESCRIBE <A> <B> <T>",
];
