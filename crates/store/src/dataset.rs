//! A caller's dataset, as the SPARQL engine asks for it.
//!
//! Default graph: the RDF merge of the visible projects' graphs without their claims. Named graphs: each visible
//! project's, with its claims. A term by which a repository names another project is given as that project's node when the
//! caller sees that project, so that joins find it; a triple that so becomes equal to another is given once.

use std::rc::Rc;

use model::ProjectId;
use oxigraph::model::Term;
use spareval::{ExpressionTerm, InternalQuad, QueryableDataset};

use crate::error::StoreError;
use crate::order::Gid;
use crate::scan::{Scan, Which};
use crate::scope::ProjectGraphs;
use crate::term_id::{Kind, TermId};
use crate::triples::Triple;
use crate::view::{ScanError, View, project_node};

#[derive(Clone)]
pub(crate) struct Dataset<'a>(pub(crate) Rc<View<'a>>);

type Pattern = [Option<TermId>; 3];

/// The quads of a pattern.
pub(crate) struct Quads<'a> {
    view: Rc<View<'a>>,
    which: Option<Which>,
    current: Option<Scan<'a>>,
    /// The same pattern with other names of the projects in it.
    further: Vec<Pattern>,
    failed: Option<ScanError>,
}

impl<'a> Quads<'a> {
    fn new(view: &Rc<View<'a>>, which: Option<Which>, pattern: Pattern) -> Self {
        let mut quads = Self {
            view: view.clone(),
            which,
            current: None,
            further: Vec::new(),
            failed: None,
        };
        if let Err(error) = quads.begin(pattern) {
            quads.failed = Some(error);
        }
        quads
    }

    fn begin(&mut self, pattern: Pattern) -> Result<(), ScanError> {
        let Some(which) = self.which else {
            return Ok(());
        };
        // A term that the query made up is in no quad.
        if pattern.iter().flatten().any(|id| id.kind() == Some(Kind::Extra)) {
            return Ok(());
        }
        if self.view.has_foreign {
            self.further = variants(&self.view, pattern)?;
        }
        self.current = Some(Scan::new(self.view.clone(), which, pattern)?);
        Ok(())
    }

    fn step(&mut self) -> Result<Option<InternalQuad<TermId>>, ScanError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            let (Some(which), Some(scan)) = (self.which, &mut self.current) else {
                return Ok(None);
            };
            match scan.next() {
                Some(row) => {
                    let (triple, graph) = row?;
                    if let Some(quad) = self.present(which, triple, graph)? {
                        return Ok(Some(quad));
                    }
                }
                None => {
                    self.current = match self.further.pop() {
                        Some(pattern) => Some(Scan::new(self.view.clone(), which, pattern)?),
                        None => None,
                    };
                }
            }
        }
    }

    /// The quad with the names of now; None if it is given elsewhere.
    fn present(
        &self,
        which: Which,
        triple: Triple,
        graph: Gid,
    ) -> Result<Option<InternalQuad<TermId>>, ScanError> {
        let mut now = triple;
        if self.view.has_foreign && triple.iter().any(|id| id.is_foreign()) {
            for id in &mut now {
                *id = self.view.now(*id)?;
            }
            if now != triple && self.is_given_elsewhere(which, graph, triple, now)? {
                return Ok(None);
            }
        }
        let graph_name = match which {
            Which::Default => None,
            Which::One(graphs) => Some(project_node(graphs.project)),
            Which::Named => match self.view.scope.project_of(graph) {
                Some(project) => Some(project_node(project)),
                None => return Ok(None),
            },
        };
        let [subject, predicate, object] = now;
        Ok(Some(InternalQuad {
            subject,
            predicate,
            object,
            graph_name,
        }))
    }

    /// Whether the same triple is there with more of its projects named by their nodes. Of all ways to say a triple
    /// that are there, the first in a fixed order is the one that is given.
    fn is_given_elsewhere(
        &self,
        which: Which,
        graph: Gid,
        said: Triple,
        now: Triple,
    ) -> Result<bool, ScanError> {
        let which = match which {
            Which::Named => {
                let project = self.view.scope.project_of(graph);
                match project.and_then(|p| self.view.scope.named_graphs(p)) {
                    Some(graphs) => Which::One(graphs),
                    None => return Ok(true),
                }
            }
            other => other,
        };
        let first = now.map(Some);
        for way in std::iter::once(first).chain(variants(&self.view, first)?) {
            if way == said.map(Some) {
                return Ok(false);
            }
            let mut found = Scan::new(self.view.clone(), which, way)?;
            if found.next().transpose()?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The other ways to say a pattern, given as it is now, in a fixed order.
fn variants(view: &View<'_>, pattern: Pattern) -> Result<Vec<Pattern>, ScanError> {
    let mut ways = vec![pattern];
    for place in 0..3 {
        let Some(said) = pattern[place].map(|id| view.said(id)).transpose()?.flatten() else {
            continue;
        };
        for at in 0..ways.len() {
            let mut way = ways[at];
            way[place] = Some(said);
            ways.push(way);
        }
    }
    ways.remove(0);
    Ok(ways)
}

impl Iterator for Quads<'_> {
    type Item = Result<InternalQuad<TermId>, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, Some(Err(_))) {
            self.current = None;
        }
        step
    }
}

impl Dataset<'_> {
    fn graphs_of(&self, name: TermId) -> Option<ProjectGraphs> {
        if name.kind() != Some(Kind::Project) {
            return None;
        }
        let project = ProjectId::new(name.value() as i64).ok()?;
        let graphs = self.0.scope.named_graphs(project)?;
        self.0.touched.project(project);
        Some(graphs)
    }
}

/// A graph that says nothing is no named graph.
fn says_anything(view: &View<'_>, graphs: ProjectGraphs) -> Result<bool, StoreError> {
    Ok(view.quads_of(&[graphs.own, graphs.claims])? > 0)
}

impl<'a> QueryableDataset<'a> for Dataset<'a> {
    type InternalTerm = TermId;
    type Error = ScanError;

    fn internal_quads_for_pattern(
        &self,
        subject: Option<&TermId>,
        predicate: Option<&TermId>,
        object: Option<&TermId>,
        graph_name: Option<Option<&TermId>>,
    ) -> impl Iterator<Item = Result<InternalQuad<TermId>, ScanError>> + use<'a> {
        let which = match graph_name {
            None => Some(Which::Named),
            Some(None) => Some(Which::Default),
            Some(Some(name)) => self.graphs_of(*name).map(Which::One),
        };
        Quads::new(
            &self.0,
            which,
            [subject, predicate, object].map(Option::<&TermId>::copied),
        )
    }

    fn internal_named_graphs(&self) -> impl Iterator<Item = Result<TermId, ScanError>> + use<'a> {
        let (view, named) = (self.0.clone(), self.0.scope.all_named());
        named
            .into_iter()
            .filter_map(move |graphs| match says_anything(&view, graphs) {
                Ok(true) => {
                    view.touched.project(graphs.project);
                    Some(Ok(project_node(graphs.project)))
                }
                Ok(false) => None,
                Err(error) => Some(Err(error.into())),
            })
    }

    fn contains_internal_graph_name(&self, graph_name: &TermId) -> Result<bool, ScanError> {
        let graphs = self.graphs_of(*graph_name);
        Ok(match graphs {
            Some(graphs) => says_anything(&self.0, graphs)?,
            None => false,
        })
    }

    fn internalize_term(&self, term: Term) -> Result<TermId, ScanError> {
        self.0.id_of(term)
    }

    fn externalize_term(&self, term: TermId) -> Result<Term, ScanError> {
        Ok(self.0.text_of(term)?)
    }

    fn externalize_expression_term(&self, term: TermId) -> Result<ExpressionTerm, ScanError> {
        Ok(match term.kind() {
            Some(Kind::Integer) => ExpressionTerm::IntegerLiteral((term.value() as i64).into()),
            Some(Kind::Boolean) => ExpressionTerm::BooleanLiteral((term.value() != 0).into()),
            _ => self.0.value_of(term)?,
        })
    }
}
