//! Digests of what a view holds: equal for equal records, whatever the order in which they came.

use model::{Digest, ProjectId};
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::order::triple_of;
use crate::reader::Snapshot;
use crate::view::View;

impl Snapshot {
    /// The digest of one project as the view holds it: its facts, and if it lives its graph's generation and digest.
    pub fn project_digest(&self, project: ProjectId) -> Result<Digest, StoreError> {
        let (facts, graph) = self.rows(project)?;
        let mut hash = Sha256::new_with_prefix(project.get().to_be_bytes());
        let live = facts.as_ref().is_some_and(|facts| facts.live.is_some());
        match &facts {
            None => hash.update([0]),
            Some(facts) => {
                hash.update([1]);
                hash.update(Sha256::digest(facts.write()));
            }
        }
        if let (true, Some(graph)) = (live, graph) {
            hash.update(graph.generation.get().to_be_bytes());
            hash.update(graph.digest.as_bytes());
        }
        Ok(Digest::new(hash.finalize().into()))
    }

    /// The digest of the whole view.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        let mut hash = Sha256::new();
        for project in self.all_projects()? {
            hash.update(self.project_digest(project)?.as_bytes());
        }
        Ok(Digest::new(hash.finalize().into()))
    }

    /// The digest of the quads themselves, read from the index and written out as text: proves that what is applied is
    /// what is stored. Visible projects with a graph only; slow.
    pub fn content_digest(
        &self,
        visible: &access::VisibleSet,
        project: ProjectId,
    ) -> Result<Digest, StoreError> {
        let scope = self.scope(visible)?;
        let Some(graphs) = scope.named_graphs(project) else {
            return Ok(Self::NO_DIGEST);
        };
        let view = View::plain(self, scope);
        let mut lines = Vec::new();
        for graph in [graphs.own, graphs.claims] {
            for row in self
                .shared()
                .tables
                .gspo
                .prefix_iter(&self.txn, &graph.to_be_bytes())?
            {
                let triple = triple_of(row?.0);
                let mut line = String::new();
                for id in triple {
                    line.push_str(&view.text_of(id)?.to_string());
                    line.push(' ');
                }
                lines.push(line);
                self.is_everywhere(triple, graph)?;
            }
        }
        lines.sort_unstable();
        let mut hash = Sha256::new();
        for line in lines {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        Ok(Digest::new(hash.finalize().into()))
    }

    /// Checks that all indexes have a quad.
    fn is_everywhere(
        &self,
        triple: crate::triples::Triple,
        graph: crate::order::Gid,
    ) -> Result<(), StoreError> {
        let tables = &self.shared().tables;
        for order in crate::order::Order::ALL {
            if order
                .table(tables)
                .get(&self.txn, &order.key(triple, graph))?
                .is_none()
            {
                return Err(StoreError::Damaged("a quad is missing from an index"));
            }
        }
        Ok(())
    }

    /// How many quads each index holds, subject-first, predicate-first, object-first, graph-first: equal in a sound view.
    pub fn index_sizes(&self) -> Result<[u64; 4], StoreError> {
        let tables = &self.shared().tables;
        let mut sizes = [0; 4];
        for (size, table) in sizes
            .iter_mut()
            .zip([tables.spog, tables.posg, tables.ospg, tables.gspo])
        {
            *size = table.len(&self.txn)?;
        }
        Ok(sizes)
    }

    /// How many terms the dictionary holds.
    pub fn terms(&self) -> Result<u64, StoreError> {
        Ok(self.shared().tables.text.len(&self.txn)?)
    }
}
