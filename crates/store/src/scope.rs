//! A visible set as graphs of one snapshot.

use std::sync::Arc;

use access::VisibleSet;
use heed::RoTxn;
use model::ProjectId;

use crate::error::StoreError;
use crate::faults::{self, Fault};
use crate::order::Gid;
use crate::read_rows;
use crate::row::{GraphRow, project_of};
use crate::sorted::Kept;
use crate::tables::Tables;

/// Some graphs: to ask one by one, and in a row.
#[derive(Debug, Default)]
pub(crate) struct GraphSet {
    bits: Vec<u64>,
    pub(crate) list: Vec<Gid>,
    /// How many quads they had together when the set was made. For choosing a way only.
    pub(crate) quads: u64,
}

impl GraphSet {
    fn insert(&mut self, graph: Gid, quads: u64) {
        let (word, bit) = (graph as usize / 64, graph % 64);
        if graph == 0 {
            return;
        }
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] >> bit & 1 == 0 {
            self.bits[word] |= 1 << bit;
            self.list.push(graph);
            self.quads += quads;
        }
    }

    pub(crate) fn contains(&self, graph: Gid) -> bool {
        self.bits
            .get(graph as usize / 64)
            .is_some_and(|word| word >> (graph % 64) & 1 == 1)
    }
}

/// The two graphs of a visible project; 0: it has none yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProjectGraphs {
    pub(crate) project: ProjectId,
    pub(crate) own: Gid,
    pub(crate) claims: Gid,
    own_quads: u64,
    claims_quads: u64,
}

/// What a query may touch.
#[derive(Debug)]
pub(crate) struct Scope {
    /// All visible projects, by id. Names are looked up among these.
    projects: Arc<[ProjectGraphs]>,
    /// Graphs that the default graph is merged from.
    pub(crate) default: GraphSet,
    /// Graphs behind `GRAPH`.
    pub(crate) named: GraphSet,
    /// Project of each graph, by number; 0: not visible.
    by_graph: Arc<[u32]>,
    /// Sorted copies of what is visible.
    pub(crate) kept: Kept,
}

impl Scope {
    pub(crate) fn load(tables: &Tables, txn: &RoTxn<'_>, visible: &VisibleSet) -> Result<Self, StoreError> {
        let quads = |graph: Gid| -> Result<u64, StoreError> {
            match tables.graphs.get(txn, &graph.to_be_bytes())? {
                Some(row) => Ok(GraphRow::read(row)?.quads),
                None => Ok(0),
            }
        };
        let mut projects = Vec::with_capacity(visible.len());
        let (mut default, mut named) = (GraphSet::default(), GraphSet::default());
        let mut by_graph = Vec::new();
        let mut projects_of = visible.iter().collect::<Vec<_>>();
        if faults::is_on(Fault::Graphs) {
            projects_of = tables
                .access
                .iter(txn)?
                .map(|row| project_of(row?.0))
                .collect::<Result<_, StoreError>>()?;
        }
        for project in projects_of {
            let Some(row) = read_rows::access(tables, txn, project)? else {
                continue;
            };
            let graphs = ProjectGraphs {
                project,
                own: row.own,
                claims: row.claims,
                own_quads: quads(row.own)?,
                claims_quads: quads(row.claims)?,
            };
            default.insert(graphs.own, graphs.own_quads);
            named.insert(graphs.own, graphs.own_quads);
            named.insert(graphs.claims, graphs.claims_quads);
            for graph in [graphs.own, graphs.claims] {
                let at = graph as usize;
                if by_graph.len() <= at {
                    by_graph.resize(at + 1, 0);
                }
                by_graph[at] = if at == 0 { 0 } else { project.get() };
            }
            projects.push(graphs);
        }
        Ok(Self {
            projects: projects.into(),
            default,
            named,
            by_graph: by_graph.into(),
            kept: Kept::default(),
        })
    }

    /// The same caller's, with only these as default graph (merged, with their claims) and these as named graphs.
    pub(crate) fn narrowed(&self, default: &[ProjectId], named: &[ProjectId]) -> Self {
        let set = |projects: &[ProjectId]| {
            let mut set = GraphSet::default();
            for graphs in projects.iter().filter_map(|project| self.graphs(*project)) {
                set.insert(graphs.own, graphs.own_quads);
                set.insert(graphs.claims, graphs.claims_quads);
            }
            set
        };
        Self {
            default: set(default),
            named: set(named),
            projects: self.projects.clone(),
            by_graph: self.by_graph.clone(),
            kept: Kept::default(),
        }
    }

    pub(crate) fn sees(&self, project: ProjectId) -> bool {
        self.graphs(project).is_some()
    }

    fn graphs(&self, project: ProjectId) -> Option<ProjectGraphs> {
        let at = self.projects.binary_search_by_key(&project, |g| g.project).ok()?;
        self.projects.get(at).copied()
    }

    /// The graphs behind `GRAPH <project>`, if that is a named graph here.
    pub(crate) fn named_graphs(&self, project: ProjectId) -> Option<ProjectGraphs> {
        self.graphs(project).filter(|g| self.named.contains(g.own))
    }

    /// What is behind each named graph.
    pub(crate) fn all_named(&self) -> Vec<ProjectGraphs> {
        let named = self.projects.iter().filter(|g| self.named.contains(g.own));
        named.copied().collect()
    }

    pub(crate) fn project_of(&self, graph: Gid) -> Option<ProjectId> {
        let id = *self.by_graph.get(graph as usize)?;
        ProjectId::new(i64::from(id)).ok()
    }
}

impl ProjectGraphs {
    pub(crate) fn quads(&self) -> u64 {
        self.own_quads + self.claims_quads
    }
}
