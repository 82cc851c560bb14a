//! Changes of a query that keep its meaning and let what it takes be bounded.
//!
//! * A row without a term is copied without anybody noticing (see [`crate::metered`]): products of such rows would never end.
//!   Patterns that give them get a variable of their own with a constant, which nothing else names.
//! * `REPLACE` can make of two texts one as long as the product of their lengths, in one call. Its text is passed through
//!   a function that looks at the lengths first.

use std::collections::HashSet;

use oxigraph::model::{Literal, NamedNode, Term};
use spargebra::Query as Parsed;
use spargebra::algebra::{
    AggregateExpression, AggregateFunction, Expression, Function, GraphPattern, OrderExpression,
};
use spargebra::term::{NamedNodePattern, TermPattern, Variable};

use crate::memory;
use crate::metered::or_end;
use crate::view::ScanError;

/// Name of the function that looks at lengths: arguments are the text and what comes into it, the value is the text.
pub(crate) const REPLACEABLE: &str = "urn:renku:replaceable";

/// The value of [`REPLACEABLE`]; ends the query where `REPLACE` might take more than it may.
pub(crate) fn replaceable(arguments: &[Term]) -> Option<Term> {
    let [text, by] = arguments else { return None };
    let length = |term: &Term| match term {
        Term::Literal(literal) => literal.value().len(),
        _ => 0,
    };
    // What comes in may name what was found, so that each of its bytes may stand for the whole text.
    let most = (length(text) + 1).saturating_mul(length(by) + 1);
    let enough = memory::left() / 2 >= most;
    or_end(if enough { Ok(()) } else { Err(ScanError::Memory) }).ok()?;
    Some(text.clone())
}

/// The query, changed.
pub(crate) fn bounded(query: Parsed) -> Parsed {
    let mut bounding = Bounding::default();
    match query {
        Parsed::Select {
            dataset,
            pattern,
            base_iri,
        } => Parsed::Select {
            dataset,
            pattern: bounding.outermost(pattern),
            base_iri,
        },
        Parsed::Construct {
            template,
            dataset,
            pattern,
            base_iri,
        } => Parsed::Construct {
            template,
            dataset,
            pattern: bounding.pattern(pattern),
            base_iri,
        },
        Parsed::Describe {
            dataset,
            pattern,
            base_iri,
        } => Parsed::Describe {
            dataset,
            pattern: bounding.outermost(pattern),
            base_iri,
        },
        Parsed::Ask {
            dataset,
            pattern,
            base_iri,
        } => Parsed::Ask {
            dataset,
            pattern: bounding.pattern(pattern),
            base_iri,
        },
    }
}

#[derive(Default)]
struct Bounding {
    variables: usize,
}

impl Bounding {
    /// The query's own projection stays: it is the head of the answer.
    fn outermost(&mut self, pattern: GraphPattern) -> GraphPattern {
        match pattern {
            GraphPattern::Slice { inner, start, length } => GraphPattern::Slice {
                inner: Box::new(self.outermost(*inner)),
                start,
                length,
            },
            GraphPattern::Distinct { inner } => GraphPattern::Distinct {
                inner: Box::new(self.outermost(*inner)),
            },
            GraphPattern::Reduced { inner } => GraphPattern::Reduced {
                inner: Box::new(self.outermost(*inner)),
            },
            GraphPattern::Project { inner, variables } => GraphPattern::Project {
                inner: self.boxed(inner),
                variables,
            },
            other => self.pattern(other),
        }
    }

    fn boxed(&mut self, mut pattern: Box<GraphPattern>) -> Box<GraphPattern> {
        let taken = std::mem::take(&mut *pattern);
        *pattern = self.pattern(taken);
        pattern
    }

    /// Gives every row of a pattern a term.
    fn marked(&mut self, inner: GraphPattern) -> (GraphPattern, Variable) {
        // No query can write a variable like this.
        let variable = Variable::new_unchecked(format!(" row {}", self.variables));
        self.variables += 1;
        let marked = GraphPattern::Extend {
            inner: Box::new(inner),
            variable: variable.clone(),
            expression: Expression::Literal(Literal::from(true)),
        };
        (marked, variable)
    }

    fn pattern(&mut self, pattern: GraphPattern) -> GraphPattern {
        match pattern {
            GraphPattern::Bgp { ref patterns } if patterns.is_empty() => self.marked(pattern).0,
            GraphPattern::Values { ref bindings, .. }
                if bindings.iter().any(|row| row.iter().all(Option::is_none)) =>
            {
                self.marked(pattern).0
            }
            GraphPattern::Project { inner, mut variables } => {
                let mut inner = self.pattern(*inner);
                let bound = bound(&inner);
                if !variables.iter().any(|variable| bound.contains(variable)) {
                    let (marked, variable) = self.marked(inner);
                    inner = marked;
                    variables.push(variable);
                }
                GraphPattern::Project {
                    inner: Box::new(inner),
                    variables,
                }
            }
            GraphPattern::Join { left, right } => GraphPattern::Join {
                left: self.boxed(left),
                right: self.boxed(right),
            },
            GraphPattern::LeftJoin {
                left,
                right,
                expression,
            } => GraphPattern::LeftJoin {
                left: self.boxed(left),
                right: self.boxed(right),
                expression: expression.map(|expression| self.expression(expression)),
            },
            GraphPattern::Lateral { left, right } => GraphPattern::Lateral {
                left: self.boxed(left),
                right: self.boxed(right),
            },
            GraphPattern::Filter { expr, inner } => GraphPattern::Filter {
                expr: self.expression(expr),
                inner: self.boxed(inner),
            },
            GraphPattern::Union { left, right } => GraphPattern::Union {
                left: self.boxed(left),
                right: self.boxed(right),
            },
            GraphPattern::Graph { name, inner } => GraphPattern::Graph {
                name,
                inner: self.boxed(inner),
            },
            GraphPattern::Extend {
                inner,
                variable,
                expression,
            } => GraphPattern::Extend {
                inner: self.boxed(inner),
                variable,
                expression: self.expression(expression),
            },
            GraphPattern::Minus { left, right } => GraphPattern::Minus {
                left: self.boxed(left),
                right: self.boxed(right),
            },
            GraphPattern::OrderBy { inner, expression } => GraphPattern::OrderBy {
                inner: self.boxed(inner),
                expression: expression
                    .into_iter()
                    .map(|by| match by {
                        OrderExpression::Asc(by) => OrderExpression::Asc(self.expression(by)),
                        OrderExpression::Desc(by) => OrderExpression::Desc(self.expression(by)),
                    })
                    .collect(),
            },
            GraphPattern::Distinct { inner } => GraphPattern::Distinct {
                inner: self.boxed(inner),
            },
            GraphPattern::Reduced { inner } => GraphPattern::Reduced {
                inner: self.boxed(inner),
            },
            GraphPattern::Slice { inner, start, length } => GraphPattern::Slice {
                inner: self.boxed(inner),
                start,
                length,
            },
            GraphPattern::Group {
                inner,
                variables,
                aggregates,
            } => GraphPattern::Group {
                inner: self.counted(inner, &aggregates),
                variables,
                aggregates: aggregates
                    .into_iter()
                    .map(|(variable, aggregate)| (variable, self.aggregate(aggregate)))
                    .collect(),
            },
            other => other,
        }
    }

    /// What `COUNT(DISTINCT *)` counts are the rows of the query's own variables.
    fn counted(
        &mut self,
        inner: Box<GraphPattern>,
        aggregates: &[(Variable, AggregateExpression)],
    ) -> Box<GraphPattern> {
        let counts = |(_, aggregate): &(Variable, AggregateExpression)| {
            matches!(aggregate, AggregateExpression::CountSolutions { distinct: true })
        };
        if !aggregates.iter().any(counts) {
            return self.boxed(inner);
        }
        let mut own = HashSet::new();
        inner.on_in_scope_variable(|variable| {
            own.insert(variable.clone());
        });
        let mut variables: Vec<_> = own.into_iter().collect();
        variables.sort();
        let inner = self.boxed(inner);
        Box::new(GraphPattern::Project { inner, variables })
    }

    fn aggregate(&mut self, aggregate: AggregateExpression) -> AggregateExpression {
        match aggregate {
            AggregateExpression::FunctionCall { name, expr, distinct } => AggregateExpression::FunctionCall {
                name,
                expr: self.expression(expr),
                distinct,
            },
            other => other,
        }
    }

    fn both(
        &mut self,
        make: fn(Box<Expression>, Box<Expression>) -> Expression,
        [left, right]: [Box<Expression>; 2],
    ) -> Expression {
        make(
            Box::new(self.expression(*left)),
            Box::new(self.expression(*right)),
        )
    }

    fn all(&mut self, list: Vec<Expression>) -> Vec<Expression> {
        list.into_iter().map(|each| self.expression(each)).collect()
    }

    fn expression(&mut self, expression: Expression) -> Expression {
        use Expression as E;
        match expression {
            E::Or(a, b) => self.both(E::Or, [a, b]),
            E::And(a, b) => self.both(E::And, [a, b]),
            E::Equal(a, b) => self.both(E::Equal, [a, b]),
            E::SameTerm(a, b) => self.both(E::SameTerm, [a, b]),
            E::Greater(a, b) => self.both(E::Greater, [a, b]),
            E::GreaterOrEqual(a, b) => self.both(E::GreaterOrEqual, [a, b]),
            E::Less(a, b) => self.both(E::Less, [a, b]),
            E::LessOrEqual(a, b) => self.both(E::LessOrEqual, [a, b]),
            E::Add(a, b) => self.both(E::Add, [a, b]),
            E::Subtract(a, b) => self.both(E::Subtract, [a, b]),
            E::Multiply(a, b) => self.both(E::Multiply, [a, b]),
            E::Divide(a, b) => self.both(E::Divide, [a, b]),
            E::UnaryPlus(a) => E::UnaryPlus(Box::new(self.expression(*a))),
            E::UnaryMinus(a) => E::UnaryMinus(Box::new(self.expression(*a))),
            E::Not(a) => E::Not(Box::new(self.expression(*a))),
            E::In(a, list) => E::In(Box::new(self.expression(*a)), self.all(list)),
            E::If(a, b, c) => {
                let [a, b, c] = [a, b, c].map(|each| Box::new(self.expression(*each)));
                E::If(a, b, c)
            }
            E::Coalesce(list) => E::Coalesce(self.all(list)),
            E::FunctionCall(function, list) => {
                let mut list = self.all(list);
                if function == Function::Replace
                    && let [text, _, by, ..] = list.as_mut_slice()
                {
                    let looked = Function::Custom(NamedNode::new_unchecked(REPLACEABLE));
                    *text = E::FunctionCall(looked, vec![text.clone(), by.clone()]);
                }
                E::FunctionCall(function, list)
            }
            E::Exists(pattern) => E::Exists(self.boxed(pattern)),
            leaf => leaf,
        }
    }
}

/// Variables that have a value in every row. Not all of them: only those that are plain to see.
fn bound(pattern: &GraphPattern) -> HashSet<Variable> {
    let mut found = HashSet::new();
    match pattern {
        GraphPattern::Bgp { patterns } => {
            for triple in patterns {
                found.extend(variable(&triple.subject));
                found.extend(variable(&triple.object));
                if let NamedNodePattern::Variable(name) = &triple.predicate {
                    found.insert(name.clone());
                }
            }
        }
        GraphPattern::Path { subject, object, .. } => {
            found.extend([subject, object].into_iter().filter_map(variable));
        }
        GraphPattern::Join { left, right } => {
            found = bound(left);
            found.extend(bound(right));
        }
        GraphPattern::Union { left, right } => {
            let right = bound(right);
            found = bound(left);
            found.retain(|name| right.contains(name));
        }
        GraphPattern::Extend {
            inner,
            variable,
            expression,
        } => {
            found = bound(inner);
            if matches!(expression, Expression::Literal(_) | Expression::NamedNode(_)) {
                found.insert(variable.clone());
            }
        }
        GraphPattern::Values { variables, bindings } => {
            for (at, name) in variables.iter().enumerate() {
                if bindings
                    .iter()
                    .all(|row| row.get(at).is_some_and(Option::is_some))
                {
                    found.insert(name.clone());
                }
            }
        }
        GraphPattern::Project { inner, variables } => {
            found = bound(inner);
            found.retain(|name| variables.contains(name));
        }
        GraphPattern::Group {
            inner,
            variables,
            aggregates,
        } => {
            found = bound(inner);
            found.retain(|name| variables.contains(name));
            for (name, aggregate) in aggregates {
                let counts = matches!(
                    aggregate,
                    AggregateExpression::CountSolutions { .. }
                        | AggregateExpression::FunctionCall {
                            name: AggregateFunction::Count,
                            ..
                        }
                );
                if counts {
                    found.insert(name.clone());
                }
            }
        }
        GraphPattern::LeftJoin { left: inner, .. }
        | GraphPattern::Minus { left: inner, .. }
        | GraphPattern::Lateral { left: inner, .. }
        | GraphPattern::Filter { inner, .. }
        | GraphPattern::OrderBy { inner, .. }
        | GraphPattern::Distinct { inner }
        | GraphPattern::Reduced { inner }
        | GraphPattern::Slice { inner, .. }
        | GraphPattern::Graph { inner, .. } => found = bound(inner),
        GraphPattern::Service { .. } => {}
    }
    found
}

fn variable(term: &TermPattern) -> Option<Variable> {
    match term {
        TermPattern::Variable(name) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(query: &str) -> String {
        bounded(spargebra::SparqlParser::new().parse_query(query).unwrap()).to_string()
    }

    #[test]
    fn only_what_needs_it_is_changed() {
        for query in [
            "SELECT * { ?s ?p ?o OPTIONAL { ?o <a:b> ?x } FILTER(CONTAINS(?o, \"x\")) }",
            "SELECT ?n { { SELECT ?n (COUNT(?s) AS ?c) { ?s <a:b> ?n } GROUP BY ?n } VALUES ?n { 1 2 } }",
        ] {
            let parsed = spargebra::SparqlParser::new().parse_query(query).unwrap();
            assert_eq!(bounded(parsed.clone()), parsed, "{query}");
        }
        for query in [
            "ASK { {} UNION {} }",
            "ASK { VALUES (?a ?b) { (UNDEF UNDEF) (1 2) } }",
            "SELECT * { { SELECT ?nothing { ?s ?p ?o } } }",
        ] {
            assert!(changed(query).contains("? row 0"), "{query}");
        }
        let replacing = changed("SELECT * { ?s ?p ?o FILTER(REPLACE(?o, \"a\", ?p) = \"x\") }");
        assert!(replacing.contains(REPLACEABLE), "{replacing}");
    }

    #[test]
    fn lengths_are_looked_at() {
        let texts = |a: usize, b: usize| [a, b].map(|n| Term::from(Literal::from("x".repeat(n))));
        assert!(replaceable(&texts(5_000, 5_000)).is_some());
        let ended =
            std::panic::catch_unwind(|| memory::counted(1 << 20, || replaceable(&texts(5_000, 5_000))));
        assert!(ended.is_err());
    }
}
