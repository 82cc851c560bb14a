//! How much work a query is before a single quad is read: the engine's join ordering grows with a power of the number of
//! patterns joined, its rewriting of expressions with the square of their length, and neither can be interrupted.

use spargebra::Query as Parsed;
use spargebra::algebra::{
    AggregateExpression, Expression, GraphPattern, OrderExpression, PropertyPathExpression,
};

/// The most patterns that are joined with each other. Queries that people write stay below thirty.
const MOST_JOINED: usize = 100;
/// The most patterns of a query, all groups together.
const MOST_PATTERNS: usize = 400;
/// The most operators and function calls of a query. Values in lists do not count.
const MOST_OPERATORS: usize = 2_000;
/// The most groups: unions, optional parts, sub-queries and their like.
const MOST_GROUPS: usize = 2_000;

/// The query is more than the engine can plan in reasonable time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the query has more than {most} {what}: split it, or list values with VALUES")]
pub struct TooComplex {
    most: usize,
    what: &'static str,
}

/// Looks a query over.
pub(crate) fn check(query: &Parsed) -> Result<(), TooComplex> {
    let (Parsed::Select { pattern, .. }
    | Parsed::Construct { pattern, .. }
    | Parsed::Describe { pattern, .. }
    | Parsed::Ask { pattern, .. }) = query;
    let mut size = Size::default();
    let joined = size.pattern(pattern)?;
    size.joined(joined)
}

#[derive(Default)]
struct Size {
    patterns: usize,
    operators: usize,
    groups: usize,
}

fn bound(value: usize, most: usize, what: &'static str) -> Result<(), TooComplex> {
    if value > most {
        Err(TooComplex { most, what })
    } else {
        Ok(())
    }
}

impl Size {
    fn joined(&mut self, joined: usize) -> Result<(), TooComplex> {
        self.patterns += joined;
        bound(joined, MOST_JOINED, "patterns that are joined with each other")?;
        bound(self.patterns, MOST_PATTERNS, "patterns")
    }

    /// A group of its own: what is joined in it is ordered by itself.
    fn group(&mut self, pattern: &GraphPattern) -> Result<(), TooComplex> {
        self.groups += 1;
        bound(self.groups, MOST_GROUPS, "groups")?;
        let joined = self.pattern(pattern)?;
        self.joined(joined)
    }

    /// How many patterns are joined here with what is around.
    fn pattern(&mut self, pattern: &GraphPattern) -> Result<usize, TooComplex> {
        Ok(match pattern {
            GraphPattern::Bgp { patterns } => patterns.len(),
            GraphPattern::Path { path, .. } => self.path(path)?,
            GraphPattern::Values { .. } => 1,
            GraphPattern::Join { left, right } => self.pattern(left)? + self.pattern(right)?,
            GraphPattern::Filter { expr, inner } => {
                self.expression(expr)?;
                self.pattern(inner)?
            }
            GraphPattern::Extend {
                inner, expression, ..
            } => {
                self.expression(expression)?;
                self.pattern(inner)?
            }
            GraphPattern::Graph { inner, .. }
            | GraphPattern::Project { inner, .. }
            | GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner }
            | GraphPattern::Slice { inner, .. }
            | GraphPattern::Service { inner, .. } => self.pattern(inner)?,
            GraphPattern::OrderBy { inner, expression } => {
                for order in expression {
                    let (OrderExpression::Asc(expression) | OrderExpression::Desc(expression)) = order;
                    self.expression(expression)?;
                }
                self.pattern(inner)?
            }
            GraphPattern::Group {
                inner, aggregates, ..
            } => {
                for (_, aggregate) in aggregates {
                    self.operators += 1;
                    if let AggregateExpression::FunctionCall { expr, .. } = aggregate {
                        self.expression(expr)?;
                    }
                }
                self.pattern(inner)?
            }
            GraphPattern::LeftJoin {
                left,
                right,
                expression,
            } => {
                if let Some(expression) = expression {
                    self.expression(expression)?;
                }
                self.group(right)?;
                self.pattern(left)?
            }
            GraphPattern::Minus { left, right } | GraphPattern::Lateral { left, right } => {
                self.group(right)?;
                self.pattern(left)?
            }
            GraphPattern::Union { left, right } => {
                self.group(right)?;
                self.group(left)?;
                1
            }
        })
    }

    /// Steps of a path; those one after the other are joined.
    fn path(&mut self, path: &PropertyPathExpression) -> Result<usize, TooComplex> {
        Ok(match path {
            PropertyPathExpression::NamedNode(_) | PropertyPathExpression::NegatedPropertySet(_) => 1,
            PropertyPathExpression::Reverse(inner)
            | PropertyPathExpression::ZeroOrMore(inner)
            | PropertyPathExpression::OneOrMore(inner)
            | PropertyPathExpression::ZeroOrOne(inner) => self.path(inner)?,
            PropertyPathExpression::Sequence(left, right) => self.path(left)? + self.path(right)?,
            PropertyPathExpression::Alternative(left, right) => {
                self.groups += 1;
                bound(self.groups, MOST_GROUPS, "groups")?;
                self.path(left)?.max(self.path(right)?)
            }
        })
    }

    fn expression(&mut self, expression: &Expression) -> Result<(), TooComplex> {
        self.operators += 1;
        bound(self.operators, MOST_OPERATORS, "operators")?;
        match expression {
            Expression::NamedNode(_)
            | Expression::Literal(_)
            | Expression::Variable(_)
            | Expression::Bound(_) => {
                self.operators -= 1;
            }
            Expression::Or(left, right)
            | Expression::And(left, right)
            | Expression::Equal(left, right)
            | Expression::SameTerm(left, right)
            | Expression::Greater(left, right)
            | Expression::GreaterOrEqual(left, right)
            | Expression::Less(left, right)
            | Expression::LessOrEqual(left, right)
            | Expression::Add(left, right)
            | Expression::Subtract(left, right)
            | Expression::Multiply(left, right)
            | Expression::Divide(left, right) => {
                self.expression(left)?;
                self.expression(right)?;
            }
            Expression::UnaryPlus(inner) | Expression::UnaryMinus(inner) | Expression::Not(inner) => {
                self.expression(inner)?;
            }
            Expression::In(inner, list) => {
                self.expression(inner)?;
                for expression in list {
                    self.expression(expression)?;
                }
            }
            Expression::If(condition, yes, no) => {
                for expression in [condition, yes, no] {
                    self.expression(expression)?;
                }
            }
            Expression::Coalesce(list) | Expression::FunctionCall(_, list) => {
                for expression in list {
                    self.expression(expression)?;
                }
            }
            Expression::Exists(pattern) => self.group(pattern)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str) -> Result<(), TooComplex> {
        check(&spargebra::SparqlParser::new().parse_query(query).unwrap())
    }

    #[test]
    fn what_grows_is_bounded() {
        let triples = |n: usize| {
            (0..n)
                .map(|n| format!("?s <a:p{n}> ?o{n} . "))
                .collect::<String>()
        };
        assert_eq!(told(&format!("SELECT * {{ {} }}", triples(100))), Ok(()));
        let too_many = told(&format!("SELECT * {{ {} }}", triples(101))).unwrap_err();
        assert!(
            too_many
                .to_string()
                .contains("more than 100 patterns that are joined"),
            "{too_many}"
        );
        assert!(
            told(&format!(
                "SELECT * {{ {} FILTER(?s != 1) {{ {} }} }}",
                triples(60),
                triples(60)
            ))
            .is_err()
        );
        assert!(told(&format!("SELECT * {{ ?s <a:b>{} ?o }}", "/<a:b>".repeat(101))).is_err());
        assert!(told(&format!("SELECT * {{ FILTER(1{}) }}", "||1".repeat(2_001))).is_err());
        assert!(told(&format!("SELECT * {{ {{}}{} }}", " UNION {}".repeat(2_001))).is_err());
        assert!(told(&format!("SELECT * {{ FILTER(1 IN (1{})) }}", ",1".repeat(20_000))).is_ok());
        let unions = format!("{{ {} }}", triples(90)) + &format!(" UNION {{ {} }}", triples(90)).repeat(4);
        assert!(
            told(&format!("ASK {{ {unions} }}"))
                .unwrap_err()
                .to_string()
                .contains("more than 400 patterns")
        );
    }
}
