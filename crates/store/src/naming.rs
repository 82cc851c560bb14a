use model::Slug;

use crate::reader::Snapshot;

impl Snapshot {
    /// The IRI of the project of that slug, and of its graph. Whether there is one is another question.
    pub fn project_iri(&self, slug: &Slug) -> String {
        self.shared().names.project_iri(slug.as_str())
    }
}
