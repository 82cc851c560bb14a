//! Changes of a query that keep its meaning and that the engine's optimiser does not make.

use spargebra::Query as Parsed;
use spargebra::algebra::{Expression, GraphPattern, OrderExpression};

/// `SELECT DISTINCT … ORDER BY` sorts by the algebra before it takes out repetitions. If it sorts by what it selects, it may
/// do so after, with fewer rows.
pub(crate) fn distinct_before_order(query: Parsed) -> Parsed {
    match query {
        Parsed::Select {
            dataset,
            pattern,
            base_iri,
        } => Parsed::Select {
            dataset,
            pattern: sooner(pattern),
            base_iri,
        },
        other => other,
    }
}

fn sooner(pattern: GraphPattern) -> GraphPattern {
    match pattern {
        GraphPattern::Slice { inner, start, length } => GraphPattern::Slice {
            inner: Box::new(sooner(*inner)),
            start,
            length,
        },
        GraphPattern::Distinct { inner } => match *inner {
            GraphPattern::Project { inner, variables } => match *inner {
                GraphPattern::OrderBy { inner, expression }
                    if expression.iter().all(|by| match by {
                        OrderExpression::Asc(Expression::Variable(v))
                        | OrderExpression::Desc(Expression::Variable(v)) => variables.contains(v),
                        _ => false,
                    }) =>
                {
                    let selected = GraphPattern::Project {
                        inner,
                        variables: variables.clone(),
                    };
                    let distinct = GraphPattern::Distinct {
                        inner: Box::new(selected),
                    };
                    let sorted = GraphPattern::OrderBy {
                        inner: Box::new(distinct),
                        expression,
                    };
                    GraphPattern::Project {
                        inner: Box::new(sorted),
                        variables,
                    }
                }
                other => GraphPattern::Distinct {
                    inner: Box::new(GraphPattern::Project {
                        inner: Box::new(other),
                        variables,
                    }),
                },
            },
            other => GraphPattern::Distinct {
                inner: Box::new(other),
            },
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spargebra::SparqlParser;

    fn rewritten(text: &str) -> bool {
        let before = SparqlParser::new().parse_query(text).unwrap();
        let after = distinct_before_order(before.clone());
        if before != after {
            assert_ne!(before.to_string(), after.to_string());
        }
        before != after
    }

    #[test]
    fn only_what_keeps_its_meaning() {
        assert!(rewritten("SELECT DISTINCT ?o { ?s ?p ?o } ORDER BY ?o LIMIT 3"));
        assert!(rewritten("SELECT DISTINCT ?o ?s { ?s ?p ?o } ORDER BY DESC(?o)"));
        assert!(!rewritten("SELECT DISTINCT ?o { ?s ?p ?o } ORDER BY ?s"));
        assert!(!rewritten("SELECT DISTINCT ?o { ?s ?p ?o } ORDER BY STR(?o)"));
        assert!(!rewritten("SELECT ?o { ?s ?p ?o } ORDER BY ?o"));
        assert!(!rewritten("SELECT DISTINCT ?o { ?s ?p ?o }"));
        assert!(!rewritten("ASK { ?s ?p ?o }"));
    }
}
