//! Scans of the quad index that give what is visible, and cost about what they give.
//!
//! An index is read in order and hidden quads are passed over. Where that would mean passing over many (a caller who sees
//! little of a hot predicate, one graph of many), the scan goes on elsewhere from where it is: in the graph-first index, or in
//! a sorted copy of the few quads that the caller sees at all. So no scan looks at much more than twice the smaller of the two.

use std::ops::Bound;
use std::rc::Rc;

use heed::types::{Bytes, DecodeIgnore};
use heed::{RoPrefix, RoRange};

use crate::order::{Gid, KEY, Order, TERMS, graph_key, graph_of, triple_of};
use crate::scope::{GraphSet, ProjectGraphs};
use crate::term_id::TermId;
use crate::triples::Triple;
use crate::view::{ScanError, SortedKeys, View};

/// Quads of a caller who sees at most this many are copied and sorted when that saves work.
const SMALL: u64 = 250_000;
/// So many hidden quads are passed over before anything else is thought of.
const PATIENCE: u64 = 1_000;
/// So many copies of one triple are passed over one by one.
const COPIES: u32 = 16;
/// Asking graph by graph pays up to this many graphs.
const FEW: usize = 64;

/// Which graphs a scan is of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// The default graph: equal triples once.
    Default,
    /// Every named graph.
    Named,
    /// One named graph: what the project says of its own, and its claims.
    One(ProjectGraphs),
}

enum Source<'a> {
    Index(RoRange<'a, Bytes, DecodeIgnore>),
    Sorted(SortedKeys, usize),
    /// Graph-first, one graph after the other. Terms that are not in the key's beginning are compared.
    Graphs {
        current: Option<RoPrefix<'a, Bytes, DecodeIgnore>>,
        claims: Option<Gid>,
    },
    Ended,
}

pub(crate) struct Scan<'a> {
    view: Rc<View<'a>>,
    which: Which,
    pattern: [Option<TermId>; 3],
    order: Order,
    prefix: [u8; TERMS],
    fixed: usize,
    source: Source<'a>,
    /// The terms last given, for the default graph.
    given: Option<[u8; TERMS]>,
    /// The terms last passed over, and how often in a row.
    passed: ([u8; TERMS], u32),
    /// Hidden quads passed over by this scan.
    hidden: u64,
    /// In [`Source::Graphs`]: keys up to here have been given.
    after: Option<[u8; TERMS]>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        view: Rc<View<'a>>,
        which: Which,
        pattern: [Option<TermId>; 3],
    ) -> Result<Self, ScanError> {
        let (order, terms) = Order::for_pattern(&pattern);
        let mut prefix = [0; TERMS];
        let ids = order.arrange(pattern).into_iter().flatten();
        for (at, id) in ids.take(terms).enumerate() {
            prefix[at * 6..at * 6 + 6].copy_from_slice(&id.to_bytes());
        }
        let mut scan = Self {
            view,
            which,
            pattern,
            order,
            prefix,
            fixed: terms * 6,
            source: Source::Ended,
            given: None,
            passed: ([0; TERMS], 0),
            hidden: 0,
            after: None,
        };
        scan.begin()?;
        Ok(scan)
    }

    fn begin(&mut self) -> Result<(), ScanError> {
        match self.which {
            Which::One(graphs) => {
                let [subject, _, object] = self.pattern;
                if subject.is_some() || object.is_none() {
                    self.source = self.graph_source(graphs)?;
                } else {
                    self.source = self.index_source(None)?;
                }
            }
            Which::Default | Which::Named => match self.remembered() {
                Some(keys) => self.source = self.sorted_source(keys),
                None => self.source = self.index_source(None)?,
            },
        }
        Ok(())
    }

    fn set(&self) -> Option<&GraphSet> {
        match self.which {
            Which::Default => Some(&self.view.scope.default),
            Which::Named => Some(&self.view.scope.named),
            Which::One(_) => None,
        }
    }

    fn sees(&self, graph: Gid) -> bool {
        match self.which {
            Which::Default => self.view.scope.default.contains(graph),
            Which::Named => self.view.scope.named.contains(graph),
            Which::One(graphs) => graph == graphs.own || graph == graphs.claims,
        }
    }

    /// The index from the pattern's beginning, or from after all copies of some terms.
    fn index_source(&self, after: Option<&[u8; TERMS]>) -> Result<Source<'a>, ScanError> {
        let (mut from, mut to) = ([0u8; KEY], [0xffu8; KEY]);
        from[..self.fixed].copy_from_slice(&self.prefix[..self.fixed]);
        to[..self.fixed].copy_from_slice(&self.prefix[..self.fixed]);
        if let Some(terms) = after {
            from[..TERMS].copy_from_slice(terms);
            from[TERMS..].fill(0xff);
        }
        let range = (Bound::Included(&from[..]), Bound::Included(&to[..]));
        let table = self
            .order
            .table(&self.view.tables)
            .remap_data_type::<DecodeIgnore>();
        Ok(Source::Index(table.range(self.view.txn, &range)?))
    }

    fn graph_source(&self, graphs: ProjectGraphs) -> Result<Source<'a>, ScanError> {
        Ok(Source::Graphs {
            current: Some(self.one_graph(graphs.own)?),
            claims: Some(graphs.claims),
        })
    }

    fn one_graph(&self, graph: Gid) -> Result<RoPrefix<'a, Bytes, DecodeIgnore>, ScanError> {
        let mut prefix = [0; KEY];
        prefix[..4].copy_from_slice(&graph.to_be_bytes());
        let mut len = 4;
        for id in self.pattern.iter().map_while(|id| *id) {
            prefix[len..len + 6].copy_from_slice(&id.to_bytes());
            len += 6;
        }
        let table = self.view.tables.gspo.remap_data_type::<DecodeIgnore>();
        Ok(table.prefix_iter(self.view.txn, &prefix[..len])?)
    }

    fn slot(&self) -> (usize, usize) {
        (matches!(self.which, Which::Named).into(), self.order as usize)
    }

    fn remembered(&self) -> Option<SortedKeys> {
        let (set, order) = self.slot();
        self.view.sorted.borrow()[set][order].clone()
    }

    fn sorted_source(&self, keys: SortedKeys) -> Source<'a> {
        let prefix = &self.prefix[..self.fixed];
        let mut at = keys.partition_point(|key| &key[..self.fixed] < prefix);
        if let Some(terms) = &self.after {
            at = at.max(keys.partition_point(|key| key[..TERMS] <= terms[..]));
        }
        Source::Sorted(keys, at)
    }

    /// Copies the few quads that are visible at all and sorts them. None: they are not few.
    fn sort_visible(&self) -> Result<Option<SortedKeys>, ScanError> {
        let Some(set) = self.set().filter(|set| set.quads <= SMALL) else {
            return Ok(None);
        };
        let mut keys = Vec::with_capacity(set.quads as usize);
        for graph in &set.list {
            for row in self
                .view
                .tables
                .gspo
                .prefix_iter(self.view.txn, &graph.to_be_bytes())?
            {
                self.view.tick()?;
                keys.push(self.order.key(triple_of(row?.0), *graph));
            }
            // The set's size is of when it was made; graphs grow.
            if keys.len() as u64 > 2 * SMALL {
                return Ok(None);
            }
        }
        keys.sort_unstable();
        let keys = Rc::new(keys);
        let (set, order) = self.slot();
        self.view.sorted.borrow_mut()[set][order] = Some(keys.clone());
        Ok(Some(keys))
    }

    /// Called when a hidden quad was met: goes on elsewhere if that is cheaper. `terms` are the hidden quad's.
    fn reconsider(&mut self, terms: [u8; TERMS]) -> Result<(), ScanError> {
        self.hidden += 1;
        match self.which {
            Which::One(graphs) => {
                if self.hidden > graphs.quads() + 64 {
                    // A triple is in one of the project's two graphs only.
                    self.after = if self.given == Some(terms) {
                        Some(terms)
                    } else {
                        before(&terms)
                    };
                    self.source = self.graph_source(graphs)?;
                }
            }
            Which::Default | Which::Named => {
                let hidden = self.view.hidden.get() + 1;
                self.view.hidden.set(hidden);
                let quads = self.set().map_or(u64::MAX, |set| set.quads);
                // A copy of the same terms may have been given for another named graph: change between terms only.
                let between = !matches!(self.which, Which::Named) || self.given != Some(terms);
                if quads <= SMALL
                    && hidden > PATIENCE + quads
                    && between
                    && let Some(keys) = self.sort_visible()?
                {
                    self.after = match (self.which, self.given) {
                        (Which::Default, given) => given,
                        _ => before(&terms),
                    };
                    self.source = self.sorted_source(keys);
                }
            }
        }
        Ok(())
    }

    /// Whether a few graphs have these terms: asked graph by graph.
    fn few_have(&self, key: &[u8; TERMS]) -> Result<Option<bool>, ScanError> {
        let Some(set) = self.set().filter(|set| set.list.len() <= FEW) else {
            return Ok(None);
        };
        let mut whole = [0; KEY];
        whole[..TERMS].copy_from_slice(key);
        let (triple, _) = self.order.read(&whole);
        for graph in &set.list {
            if self
                .view
                .tables
                .gspo
                .get(self.view.txn, &graph_key(*graph, triple))?
                .is_some()
            {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    fn step(&mut self) -> Result<Option<(Triple, Gid)>, ScanError> {
        loop {
            self.view.tick()?;
            match &mut self.source {
                Source::Ended => return Ok(None),
                Source::Index(rows) => {
                    let Some(row) = rows.next() else {
                        self.source = Source::Ended;
                        return Ok(None);
                    };
                    let (key, ()) = row?;
                    if let Some(quad) = self.meet(key)? {
                        return Ok(Some(quad));
                    }
                }
                Source::Sorted(keys, at) => {
                    let Some(key) = keys
                        .get(*at)
                        .filter(|key| key[..self.fixed] == self.prefix[..self.fixed])
                    else {
                        self.source = Source::Ended;
                        return Ok(None);
                    };
                    *at += 1;
                    let (key, terms) = (*key, terms_of(key));
                    if matches!(self.which, Which::Default) && self.given == Some(terms) {
                        continue;
                    }
                    self.given = Some(terms);
                    return Ok(Some(self.order.read(&key)));
                }
                Source::Graphs { current, claims } => match current.as_mut().and_then(Iterator::next) {
                    Some(row) => {
                        let (key, ()) = row?;
                        let triple = triple_of(key);
                        let fits = self
                            .pattern
                            .iter()
                            .zip(triple)
                            .all(|(want, id)| want.is_none_or(|want| want == id));
                        let given = |after: &[u8; TERMS]| self.order.key(triple, 0)[..TERMS] <= after[..];
                        if fits && !self.after.as_ref().is_some_and(given) {
                            return Ok(Some((triple, graph_at_front(key))));
                        }
                    }
                    None => match claims.take() {
                        Some(graph) => {
                            let next = self.one_graph(graph)?;
                            self.source = Source::Graphs {
                                current: Some(next),
                                claims: None,
                            };
                        }
                        None => {
                            self.source = Source::Ended;
                            return Ok(None);
                        }
                    },
                },
            }
        }
    }

    /// Looks at a row of the index.
    fn meet(&mut self, key: &[u8]) -> Result<Option<(Triple, Gid)>, ScanError> {
        let terms = terms_of(key);
        let distinct = matches!(self.which, Which::Default);
        let copy = distinct && self.given == Some(terms);
        let visible = !copy && self.sees(graph_of(key));
        if visible {
            self.given = Some(terms);
            self.passed.1 = 0;
            return Ok(Some(self.order.read(key)));
        }
        if self.passed.1 > 0 && self.passed.0 == terms {
            self.passed.1 += 1;
        } else {
            self.passed = (terms, 1);
        }
        if distinct && self.passed.1 > COPIES {
            let has = if copy { Some(false) } else { self.few_have(&terms)? };
            if let Some(has) = has {
                self.source = self.index_source(Some(&terms))?;
                self.passed.1 = 0;
                if has {
                    self.given = Some(terms);
                    return Ok(Some(self.order.read(key)));
                }
                return Ok(None);
            }
        }
        if !copy {
            self.reconsider(terms)?;
        }
        Ok(None)
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Triple, Gid), ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, Some(Err(_))) {
            self.source = Source::Ended;
        }
        step
    }
}

fn terms_of(key: &[u8]) -> [u8; TERMS] {
    let mut terms = [0; TERMS];
    if let Some(bytes) = key.get(..TERMS) {
        terms.copy_from_slice(bytes);
    }
    terms
}

fn graph_at_front(key: &[u8]) -> Gid {
    match key {
        [a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// The greatest terms that are less; None: there are none.
fn before(terms: &[u8; TERMS]) -> Option<[u8; TERMS]> {
    let mut less = *terms;
    for byte in less.iter_mut().rev() {
        if *byte > 0 {
            *byte -= 1;
            return Some(less);
        }
        *byte = 0xff;
    }
    None
}
