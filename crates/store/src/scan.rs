//! Scans of the quad index that give what is visible, and cost about what they give.
//!
//! An index is read in order and hidden quads are passed over. Where that would mean passing over many (a caller who sees
//! little of a hot predicate, one graph of many), the scan goes on elsewhere from where it is: in the graph-first index, or in
//! a sorted copy of the few quads that the caller sees at all. So no scan looks at much more than twice the smaller of the two.

use std::ops::Bound;
use std::rc::Rc;

use heed::types::{Bytes, DecodeIgnore};
use heed::{RoPrefix, RoRange};

use crate::faults::{self, Fault};
use crate::memory;
use crate::order::{Gid, KEY, Order, TERMS, graph_key, graph_of, triple_of};
use crate::scope::{GraphSet, ProjectGraphs};
use crate::sorted::SortedKeys;
use crate::term_id::TermId;
use crate::triples::Triple;
use crate::view::{ScanError, View};

/// Quads of a caller who sees at most this many are copied and sorted when that saves work.
pub(crate) const SMALL: u64 = 250_000;
/// So many hidden quads are passed over before anything else is thought of.
pub(crate) const PATIENCE: u64 = 1_000;
/// So many copies of one triple are passed over one by one.
const COPIES: u32 = 8;
/// So many rows are passed over before it is looked whether they are copies of one triple.
const UNLOOKED: u32 = 3;
/// A look into another index costs as much as so many steps.
const LOOK: u64 = 3;
/// The same for one graph of many.
const PATIENCE_OF_ONE: u64 = 64;
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
    /// Rows passed over since the last that was given.
    skipped: u32,
    /// Copies of the terms last given that were passed over, but for some that were not looked at.
    copies: u32,
    /// The same of other terms: which, and how many.
    passed: ([u8; TERMS], u32),
    /// Hidden quads passed over by this scan.
    hidden: u64,
    /// So many of them make it look whether to go on elsewhere.
    look_at: u64,
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
            skipped: 0,
            copies: 0,
            passed: ([0; TERMS], 0),
            hidden: 0,
            look_at: match which {
                Which::One(graphs) => graphs.quads() + PATIENCE_OF_ONE,
                Which::Default | Which::Named => u64::MAX,
            },
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
        if faults::is_on(Fault::Scan) {
            return true;
        }
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

    /// Which of the two sets, by number.
    fn set_number(&self) -> usize {
        matches!(self.which, Which::Named).into()
    }

    fn remembered(&self) -> Option<SortedKeys> {
        self.view.sorted(self.set_number(), self.order)
    }

    fn sorted_source(&self, keys: SortedKeys) -> Source<'a> {
        let prefix = &self.prefix[..self.fixed];
        let mut at = keys.partition_point(|key| &key[..self.fixed] < prefix);
        if let Some(terms) = &self.after {
            at = at.max(keys.partition_point(|key| key[..TERMS] <= terms[..]));
        }
        Source::Sorted(keys, at)
    }

    /// Copies the few quads that are visible at all and sorts them.
    fn sort_visible(&self) -> Result<Option<SortedKeys>, ScanError> {
        let Some(set) = self.set() else {
            return Ok(None);
        };
        let quads = self.view.visible_quads(self.set_number())?;
        // Not on the query's account: whether it comes to this depends on what is hidden.
        let mut keys = memory::uncounted(|| Vec::with_capacity(quads.min(SMALL) as usize));
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
        }
        keys.sort_unstable();
        Ok(Some(memory::uncounted(|| {
            self.view.keep_sorted(self.set_number(), self.order, keys)
        })))
    }

    /// Called when hidden quads were passed over, or as much work was done: goes on elsewhere if that is cheaper. `terms`
    /// are those of the last one.
    #[inline]
    fn reconsider(&mut self, terms: impl FnOnce() -> [u8; TERMS], work: u64) -> Result<(), ScanError> {
        self.hidden += work;
        let hidden = self.view.hidden.get() + work;
        self.view.hidden.set(hidden);
        let looks = match self.which {
            Which::One(_) => self.hidden > self.look_at,
            Which::Default | Which::Named => hidden > self.view.look_at[self.set_number()].get(),
        };
        if looks { self.go_elsewhere(terms()) } else { Ok(()) }
    }

    #[cold]
    fn go_elsewhere(&mut self, terms: [u8; TERMS]) -> Result<(), ScanError> {
        match self.which {
            Which::One(graphs) => {
                let enough = self.view.quads_of(&[graphs.own, graphs.claims])? + PATIENCE_OF_ONE;
                if self.hidden <= enough {
                    self.look_at = enough;
                    return Ok(());
                }
                // A triple is in one of the project's two graphs only.
                self.after = if self.given == Some(terms) {
                    Some(terms)
                } else {
                    before(&terms)
                };
                self.source = self.graph_source(graphs)?;
                self.look_at = u64::MAX;
            }
            Which::Default | Which::Named => {
                let look_at = &self.view.look_at[self.set_number()];
                let quads = self.view.visible_quads(self.set_number())?;
                if quads > SMALL {
                    look_at.set(u64::MAX);
                    return Ok(());
                }
                if self.view.hidden.get() <= PATIENCE + quads {
                    look_at.set(PATIENCE + quads);
                    return Ok(());
                }
                // A copy of the same terms may have been given for another named graph: change between terms only.
                let between = !matches!(self.which, Which::Named) || self.given != Some(terms);
                if between {
                    let keys = match self.remembered() {
                        Some(keys) => Some(keys),
                        None => self.sort_visible()?,
                    };
                    if let Some(keys) = keys {
                        self.after = match (self.which, self.given) {
                            (Which::Default, given) => given,
                            _ => before(&terms),
                        };
                        self.source = self.sorted_source(keys);
                    }
                }
            }
        }
        Ok(())
    }

    /// Which of a few graphs has these terms, if one has: asked graph by graph.
    fn few_have(&self, key: &[u8; TERMS]) -> Result<Option<Option<Gid>>, ScanError> {
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
                return Ok(Some(Some(*graph)));
            }
        }
        Ok(Some(None))
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
    #[inline]
    fn meet(&mut self, key: &[u8]) -> Result<Option<(Triple, Gid)>, ScanError> {
        let distinct = matches!(self.which, Which::Default);
        if distinct && self.given.is_some_and(|given| key.starts_with(&given)) {
            // A copy of what was given, whether it is hidden or not.
            self.copies += 1;
            if self.copies > COPIES {
                return self.meet_copy(key, terms_of(key));
            }
            return Ok(None);
        }
        if self.sees(graph_of(key)) {
            self.given = Some(terms_of(key));
            self.copies = 0;
            self.skipped = 0;
            self.passed.1 = 0;
            return Ok(Some(self.order.read(key)));
        }
        self.skipped += 1;
        if distinct && self.skipped > UNLOOKED {
            let terms = terms_of(key);
            if self.passed.1 > 0 && self.passed.0 == terms {
                self.passed.1 += 1;
            } else {
                self.passed = (terms, 1);
            }
            if self.passed.1 > COPIES - UNLOOKED {
                return self.meet_copy(key, terms);
            }
        }
        self.reconsider(|| terms_of(key), 1)?;
        Ok(None)
    }

    /// Many copies of one triple: goes on behind them if it can be told whether they are given.
    fn meet_copy(&mut self, key: &[u8], terms: [u8; TERMS]) -> Result<Option<(Triple, Gid)>, ScanError> {
        let given = self.given == Some(terms);
        let has = if given { Some(None) } else { self.few_have(&terms)? };
        let Some(has) = has else {
            self.reconsider(|| terms, 1)?;
            return Ok(None);
        };
        self.source = self.index_source(Some(&terms))?;
        self.skipped = 0;
        self.copies = 0;
        self.passed.1 = 0;
        if let Some(graph) = has {
            self.given = Some(terms);
            let (triple, _) = self.order.read(key);
            return Ok(Some((triple, graph)));
        }
        if !given {
            let looks = self.set().map_or(0, |set| set.list.len()) as u64;
            self.reconsider(|| terms, looks * LOOK)?;
        }
        Ok(None)
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Triple, Gid), ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().and_then(|given| {
            if let Some((_, graph)) = given {
                self.view.touched.graph(graph);
                self.view.gave()?;
            }
            Ok(given)
        });
        if step.is_err() {
            self.source = Source::Ended;
        }
        step.transpose()
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
