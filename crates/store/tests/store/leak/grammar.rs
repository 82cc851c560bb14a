//! Queries over the grammar of SPARQL 1.1, as trees that can be made smaller. What an answer may freely choose is left out
//! (`SAMPLE`, `RAND`, the order of equals, …): answers are a function of the dataset alone.

use std::fmt::Write as _;

use crate::merge::{object, predicate, subject};
use crate::support::{Dice, HOST};

use super::history::SLUGS;

const VARS: [&str; 6] = ["?s", "?p", "?o", "?g", "?x", "?y"];

#[derive(Clone, Debug)]
pub enum Path {
    Link(String),
    Inverse(Box<Path>),
    Sequence(Box<Path>, Box<Path>),
    Either(Box<Path>, Box<Path>),
    Repeated(Box<Path>, char),
    /// None of these links, forwards or backwards.
    NoneOf(Vec<String>),
}

#[derive(Clone, Debug)]
pub enum Pattern {
    Triple(String, Path, String),
    Group(Vec<Pattern>),
    Optional(Box<Pattern>),
    Union(Box<Pattern>, Box<Pattern>),
    Minus(Box<Pattern>),
    Graph(String, Box<Pattern>),
    Filter(Test),
    Bind(String, String),
    Values(String, Vec<String>),
    Select(Box<Select>),
}

#[derive(Clone, Debug)]
pub enum Test {
    Words(String),
    Exists(bool, Box<Pattern>),
    Not(Box<Test>),
    Both(Box<Test>, Box<Test>),
    Either(Box<Test>, Box<Test>),
}

#[derive(Clone, Debug)]
pub struct Select {
    pub distinct: bool,
    pub projection: Projection,
    pub body: Pattern,
    /// Only how many rows are left is asked for then: which ones is a free choice.
    pub limit: Option<(usize, usize)>,
    pub order: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Projection {
    All,
    Variables(Vec<String>),
    /// Group by these; these aggregates; having.
    Aggregates(Vec<String>, Vec<String>, Option<String>),
}

#[derive(Clone, Debug)]
pub enum Form {
    Select(Select),
    Ask(Pattern),
    Construct(Vec<[String; 3]>, Pattern),
    Describe(Vec<String>, Option<Pattern>),
}

/// A query, and the graphs that it is narrowed to: `FROM` and `FROM NAMED` clauses.
#[derive(Clone, Debug)]
pub struct Asked {
    pub form: Form,
    pub from: String,
}

struct Maker<'a> {
    dice: &'a mut Dice,
    fresh: usize,
    triples: usize,
    /// Inside of so many `EXISTS`. The engine hands the outer row to a `MINUS` in there, as if both of its sides had it: then
    /// it depends on the plan what the answer is.
    in_exists: usize,
}

/// Any query.
pub fn query(dice: &mut Dice) -> Asked {
    let mut maker = Maker {
        dice,
        fresh: 0,
        triples: 0,
        in_exists: 0,
    };
    let form = match maker.dice.below(10) {
        0 => Form::Ask(maker.group(3)),
        1 => Form::Construct(
            (0..1 + maker.dice.below(2))
                .map(|_| [maker.var(), maker.predicate_or_var(), maker.node()])
                .collect(),
            maker.group(2),
        ),
        2 => Form::Describe(
            vec![match maker.dice.one_in(2) {
                true => maker.iri(),
                false => "?s".to_owned(),
            }],
            Some(maker.group(2)),
        ),
        _ => Form::Select(maker.select(3)),
    };
    let from = if maker.dice.one_in(6) {
        crate::merge::from_clauses(maker.dice)
    } else {
        String::new()
    };
    Asked { form, from }
}

/// Terms of pieces are terms of queries, but for the project's own node.
fn constant(term: String) -> String {
    match term.strip_prefix("<urn:renku:project") {
        Some(rest) => format!("<https://{HOST}/projects/a/one{rest}"),
        None => term,
    }
}

impl Maker<'_> {
    fn var(&mut self) -> String {
        (*self.dice.pick(&VARS)).to_owned()
    }

    fn fresh(&mut self) -> String {
        self.fresh += 1;
        format!("?v{}", self.fresh)
    }

    fn iri(&mut self) -> String {
        match self.dice.below(3) {
            0 => constant(subject(self.dice)),
            _ => self.graph_iri(),
        }
    }

    fn graph_iri(&mut self) -> String {
        format!("<https://{HOST}/projects/{}>", self.dice.pick(&SLUGS))
    }

    fn node(&mut self) -> String {
        match self.dice.below(10) {
            0 => constant(object(self.dice)),
            1 => constant(subject(self.dice)),
            _ => self.var(),
        }
    }

    fn predicate_or_var(&mut self) -> String {
        if self.dice.one_in(2) {
            self.var()
        } else {
            predicate(self.dice)
        }
    }

    fn path(&mut self, depth: usize) -> Path {
        match self.dice.below(if depth == 0 { 1 } else { 8 }) {
            1 => Path::Inverse(self.path(depth - 1).into()),
            2 => Path::Sequence(self.path(depth - 1).into(), self.path(depth - 1).into()),
            3 => Path::Either(self.path(depth - 1).into(), self.path(depth - 1).into()),
            4 => Path::Repeated(self.path(depth - 1).into(), *self.dice.pick(&['*', '+', '?'])),
            5 => Path::NoneOf(
                (0..1 + self.dice.below(2))
                    .map(|_| {
                        let back = if self.dice.one_in(3) { "^" } else { "" };
                        format!("{back}{}", predicate(self.dice))
                    })
                    .collect(),
            ),
            _ => Path::Link(predicate(self.dice)),
        }
    }

    fn triple(&mut self) -> Pattern {
        self.triples += 1;
        let from = match self.dice.below(8) {
            0 => constant(subject(self.dice)),
            _ => self.var(),
        };
        let link = match self.dice.below(3) {
            0 => Path::Link(self.var()),
            1 => Path::Link(predicate(self.dice)),
            _ => self.path(2),
        };
        Pattern::Triple(from, link, self.node())
    }

    fn group(&mut self, depth: usize) -> Pattern {
        let mut parts = vec![self.pattern(depth)];
        for _ in 0..self.dice.below(3) {
            let part = match self.dice.below(9) {
                0 => Pattern::Optional(self.group(depth.saturating_sub(1)).into()),
                1 if self.in_exists == 0 => Pattern::Minus(self.group(depth.saturating_sub(1)).into()),
                2 => Pattern::Filter(self.test(depth)),
                4 => Pattern::Bind(self.words_of_value(), self.fresh()),
                5 => {
                    let values = (0..1 + self.dice.below(3)).map(|_| constant(object(self.dice)));
                    let values = values.collect();
                    Pattern::Values(self.var(), values)
                }
                _ => self.pattern(depth.saturating_sub(1)),
            };
            parts.push(part);
        }
        Pattern::Group(parts)
    }

    fn pattern(&mut self, depth: usize) -> Pattern {
        // A product of many is only slow.
        let many = self.triples >= 4;
        match self.dice.below(if depth == 0 || many { 1 } else { 9 }) {
            1 => Pattern::Union(self.group(depth - 1).into(), self.group(depth - 1).into()),
            2..5 => {
                let graph = match self.dice.below(3) {
                    0 => self.graph_iri(),
                    1 => self.var(),
                    _ => "?g".to_owned(),
                };
                let inner = match self.dice.below(6) {
                    0 => Pattern::Group(Vec::new()),
                    _ => self.group(depth - 1),
                };
                Pattern::Graph(graph, inner.into())
            }
            5 => Pattern::Select(self.select(depth - 1).into()),
            6 => self.group(depth - 1),
            _ => match many {
                true => Pattern::Group(Vec::new()),
                false => self.triple(),
            },
        }
    }

    fn select(&mut self, depth: usize) -> Select {
        let body = self.group(depth);
        let projection = match self.dice.below(4) {
            0 => Projection::All,
            1 | 2 => {
                let mut variables: Vec<_> = (0..1 + self.dice.below(3)).map(|_| self.var()).collect();
                variables.sort();
                variables.dedup();
                Projection::Variables(variables)
            }
            _ => {
                let mut keys: Vec<_> = (0..self.dice.below(3)).map(|_| self.var()).collect();
                keys.sort();
                keys.dedup();
                let aggregates = (0..1 + self.dice.below(2)).map(|_| self.aggregate()).collect();
                let having = self.dice.one_in(3).then(|| "(COUNT(*) > 1)".to_owned());
                Projection::Aggregates(keys, aggregates, having)
            }
        };
        let limit = self
            .dice
            .one_in(8)
            .then(|| (self.dice.below(20), self.dice.below(3)));
        Select {
            distinct: self.dice.one_in(3),
            projection,
            body,
            limit,
            order: self.dice.one_in(5).then(|| self.var()),
        }
    }

    fn aggregate(&mut self) -> String {
        let (v, w) = (self.var(), self.var());
        let what = match self.dice.below(9) {
            0 => "COUNT(*)".to_owned(),
            1 => format!("COUNT({v})"),
            2 => format!("COUNT(DISTINCT {v})"),
            3 => format!("SUM(IF(ISNUMERIC({v}), {v}, 0))"),
            4 => format!("MIN(STR({v}))"),
            5 => format!("MAX(STR({v}))"),
            6 => format!("STRLEN(GROUP_CONCAT(STR({v}); SEPARATOR = \"|\"))"),
            7 => format!("COUNT(DISTINCT CONCAT(STR({v}), STR({w})))"),
            _ => format!("COUNT(DISTINCT IF(BOUND({v}), {v}, {w}))"),
        };
        format!("({what} AS {})", self.fresh())
    }

    fn test(&mut self, depth: usize) -> Test {
        match self.dice.below(if depth == 0 { 1 } else { 8 }) {
            1..4 => {
                self.in_exists += 1;
                let inner = self.group(depth - 1);
                self.in_exists -= 1;
                Test::Exists(self.dice.one_in(2), inner.into())
            }
            4 => Test::Not(self.test(depth - 1).into()),
            5 => Test::Both(self.test(depth - 1).into(), self.test(depth - 1).into()),
            6 => Test::Either(self.test(depth - 1).into(), self.test(depth - 1).into()),
            _ => Test::Words(self.words_of_truth()),
        }
    }

    fn words_of_truth(&mut self) -> String {
        let (v, w) = (self.var(), self.var());
        let term = constant(object(self.dice));
        match self.dice.below(16) {
            0 => format!("BOUND({v})"),
            1 => format!("{v} = {w}"),
            2 => format!("{v} != {term}"),
            3 => format!("{v} < 2"),
            4 => format!("SAMETERM({v}, {term})"),
            5 => format!("ISIRI({v})"),
            6 => format!("ISLITERAL({v}) && LANG({v}) = \"en\""),
            7 => format!("STRSTARTS(STR({v}), \"https://{HOST}/projects/\")"),
            8 => format!("CONTAINS(STR({v}), \"three\")"),
            9 => format!("REGEX(STR({v}), \"^.*(one|two)$\")"),
            10 => format!("{v} IN ({term}, {w})"),
            11 => format!("{v} NOT IN ({term})"),
            12 => format!("DATATYPE({v}) = <http://www.w3.org/2001/XMLSchema#integer>"),
            13 => format!("COALESCE({v}, {w}) = {term}"),
            14 => format!("IF(BOUND({v}), {v}, {w}) = {term}"),
            _ => format!("LANGMATCHES(LANG({v}), \"*\")"),
        }
    }

    fn words_of_value(&mut self) -> String {
        let (v, w) = (self.var(), self.var());
        match self.dice.below(10) {
            0 => format!("STR({v})"),
            1 => format!("{v} + 1"),
            2 => format!("COALESCE({v}, {w})"),
            3 => format!("IF(BOUND({v}), {w}, \"none\")"),
            4 => format!("UCASE(STR({v}))"),
            5 => format!("CONCAT(STR({v}), STR({w}))"),
            6 => format!("IRI(STR({v}))"),
            7 => format!("STRLEN(STR({v})) * 2"),
            8 => format!("SHA1(STR({v}))"),
            _ => format!("STRAFTER(STR({v}), \"projects/\")"),
        }
    }
}

impl Asked {
    /// As a caller writes it.
    pub fn text(&self) -> String {
        self.written(&self.from)
    }

    /// Without `FROM`: for a dataset that was narrowed by hand.
    pub fn text_without_from(&self) -> String {
        self.written("")
    }

    fn written(&self, from: &str) -> String {
        match &self.form {
            Form::Select(select) => select.text(from),
            Form::Ask(body) => format!("ASK {from}{}", braced(body)),
            Form::Construct(template, body) => {
                let template: String = template.iter().map(|t| format!("{} . ", t.join(" "))).collect();
                format!("CONSTRUCT {{ {template}}} {from}WHERE {}", braced(body))
            }
            Form::Describe(what, body) => {
                let body = body.as_ref().map(|body| format!("WHERE {}", braced(body)));
                format!("DESCRIBE {} {from}{}", what.join(" "), body.unwrap_or_default())
            }
        }
    }

    /// The same query with something less, each.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        if !self.from.is_empty() {
            all.push(Self {
                from: String::new(),
                ..self.clone()
            });
        }
        let with = |form| Self {
            form,
            from: self.from.clone(),
        };
        match &self.form {
            Form::Select(select) => all.extend(select.smaller().into_iter().map(|s| with(Form::Select(s)))),
            Form::Ask(body) => all.extend(body.smaller().into_iter().map(|b| with(Form::Ask(b)))),
            Form::Construct(template, body) => all.extend(
                body.smaller()
                    .into_iter()
                    .map(|b| with(Form::Construct(template.clone(), b))),
            ),
            Form::Describe(what, Some(body)) => all.extend(
                body.smaller()
                    .into_iter()
                    .map(|b| with(Form::Describe(what.clone(), Some(b)))),
            ),
            Form::Describe(_, None) => {}
        }
        all
    }
}

impl Select {
    fn text(&self, from: &str) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let (head, tail) = match &self.projection {
            Projection::All => ("*".to_owned(), String::new()),
            Projection::Variables(variables) => (variables.join(" "), String::new()),
            Projection::Aggregates(keys, aggregates, having) => {
                let mut tail = String::new();
                if !keys.is_empty() {
                    let _ = write!(tail, " GROUP BY {}", keys.join(" "));
                }
                if let Some(having) = having {
                    let _ = write!(tail, " HAVING {having}");
                }
                (format!("{} {}", keys.join(" "), aggregates.join(" ")), tail)
            }
        };
        let grouped = matches!(self.projection, Projection::Aggregates(..));
        let order = self.order.as_ref().filter(|_| !grouped);
        let order = order.map(|by| format!(" ORDER BY {by}")).unwrap_or_default();
        match self.limit {
            None => format!(
                "SELECT {distinct}{head} {from}{}{tail}{order}",
                braced(&self.body)
            ),
            Some((limit, offset)) => format!(
                "SELECT (COUNT(*) AS ?left) {from}{{ {{ SELECT {distinct}{head} {}{tail}{order} LIMIT {limit} OFFSET {offset} }} }}",
                braced(&self.body)
            ),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let mut all: Vec<_> = self
            .body
            .smaller()
            .into_iter()
            .map(|body| Self { body, ..self.clone() })
            .collect();
        if self.distinct {
            all.push(Self {
                distinct: false,
                ..self.clone()
            });
        }
        if self.order.is_some() {
            all.push(Self {
                order: None,
                ..self.clone()
            });
        }
        if self.limit.is_some() {
            all.push(Self {
                limit: None,
                ..self.clone()
            });
        }
        if !matches!(self.projection, Projection::All) {
            all.push(Self {
                projection: Projection::All,
                ..self.clone()
            });
        }
        all
    }
}

fn braced(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Group(_) => pattern.text(),
        other => format!("{{ {} }}", other.text()),
    }
}

impl Pattern {
    fn text(&self) -> String {
        match self {
            Self::Triple(from, path, to) => format!("{from} {} {to} .", path.text()),
            Self::Group(parts) => {
                let parts: Vec<_> = parts.iter().map(Self::text).collect();
                format!("{{ {} }}", parts.join(" "))
            }
            Self::Optional(inner) => format!("OPTIONAL {}", braced(inner)),
            Self::Union(one, other) => format!("{} UNION {}", braced(one), braced(other)),
            Self::Minus(inner) => format!("MINUS {}", braced(inner)),
            Self::Graph(graph, inner) => format!("GRAPH {graph} {}", braced(inner)),
            Self::Filter(test) => format!("FILTER({})", test.text()),
            Self::Bind(words, variable) => format!("BIND({words} AS {variable})"),
            Self::Values(variable, values) => format!("VALUES {variable} {{ {} }}", values.join(" ")),
            Self::Select(select) => format!("{{ {} }}", select.text("")),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let inside = |inner: &Self, around: &dyn Fn(Box<Self>) -> Self| -> Vec<Self> {
            let mut all = vec![inner.clone()];
            all.extend(inner.smaller().into_iter().map(|less| around(less.into())));
            all
        };
        match self {
            Self::Triple(from, path, to) => {
                let less = path.smaller().into_iter();
                less.map(|path| Self::Triple(from.clone(), path, to.clone()))
                    .collect()
            }
            Self::Group(parts) => {
                let mut all = Vec::new();
                for at in 0..parts.len() {
                    let mut less = parts.clone();
                    let part = less.remove(at);
                    all.push(Self::Group(less.clone()));
                    for part in part.smaller() {
                        let mut changed = less.clone();
                        changed.insert(at, part);
                        all.push(Self::Group(changed));
                    }
                }
                all
            }
            Self::Optional(inner) => inside(inner, &Self::Optional),
            Self::Minus(inner) => inside(inner, &Self::Minus),
            Self::Graph(graph, inner) => inside(inner, &|inner| Self::Graph(graph.clone(), inner)),
            Self::Union(one, other) => {
                let mut all = inside(one, &|one| Self::Union(one, other.clone()));
                all.extend(inside(other, &|other| Self::Union(one.clone(), other)));
                all
            }
            Self::Filter(test) => test.smaller().into_iter().map(Self::Filter).collect(),
            Self::Select(select) => {
                let mut all = vec![select.body.clone()];
                all.extend(select.smaller().into_iter().map(|less| Self::Select(less.into())));
                all
            }
            Self::Bind(..) | Self::Values(..) => Vec::new(),
        }
    }
}

impl Path {
    fn text(&self) -> String {
        match self {
            Self::Link(link) => link.clone(),
            Self::Inverse(path) => format!("^({})", path.text()),
            Self::Sequence(one, other) => format!("({}/{})", one.text(), other.text()),
            Self::Either(one, other) => format!("({}|{})", one.text(), other.text()),
            Self::Repeated(path, how) => format!("({}){how}", path.text()),
            Self::NoneOf(links) => format!("!({})", links.join("|")),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Link(_) => Vec::new(),
            Self::Inverse(path) | Self::Repeated(path, _) => vec![(**path).clone()],
            Self::Sequence(one, other) | Self::Either(one, other) => vec![(**one).clone(), (**other).clone()],
            Self::NoneOf(links) => links
                .iter()
                .map(|link| Self::Link(link.trim_start_matches('^').to_owned()))
                .collect(),
        }
    }
}

impl Test {
    fn text(&self) -> String {
        match self {
            Self::Words(words) => words.clone(),
            Self::Exists(truth, pattern) => {
                let not = if *truth { "" } else { "NOT " };
                format!("{not}EXISTS {}", braced(pattern))
            }
            Self::Not(test) => format!("!({})", test.text()),
            Self::Both(one, other) => format!("({} && {})", one.text(), other.text()),
            Self::Either(one, other) => format!("({} || {})", one.text(), other.text()),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Words(_) => Vec::new(),
            Self::Exists(truth, pattern) => pattern
                .smaller()
                .into_iter()
                .map(|less| Self::Exists(*truth, less.into()))
                .collect(),
            Self::Not(test) => vec![(**test).clone()],
            Self::Both(one, other) | Self::Either(one, other) => vec![(**one).clone(), (**other).clone()],
        }
    }
}
