//! The export of a whole project.

use std::collections::HashMap;

use rdf::{Graph, Host};

use crate::class::Class;
use crate::error::MetadataError;
use crate::export::Export;
use crate::reader::{Entry, Reader, read_list};
use crate::source::ObjectSource;
use crate::version;

/// The graph of everything that a project's newest state holds: what `renku graph export --full` prints.
pub fn export_full(source: &dyn ObjectSource, host: Host) -> Result<Graph, MetadataError> {
    let mut reader = Reader::new(source);
    let root = version::check(&mut reader)?;
    let mut export = Export::new(reader, host, true);
    let project = export.project(root.oid("project").unwrap_or("project"))?;

    let activities = export.reader.index(&root, "activities")?;
    let mut top = export.load_all(&activities, "activities")?;
    let collections = export.reader.index(&root, "activity-collections")?;
    let collections: Vec<Entry> = collections
        .into_iter()
        .filter(|entry| entry.class == Class::WorkflowFileActivityCollection)
        .collect();
    for &activity in &top.clone() {
        export.load_plans(activity)?;
    }
    for entry in &collections {
        let collection = export.load(&entry.oid, ".renku/metadata/activity-collections")?;
        export.load_plans(collection)?;
        top.push(collection);
    }
    let plans = export.reader.index(&root, "plans")?;
    let plans = plans
        .into_iter()
        .filter(|entry| !export.is_loaded(&entry.oid))
        .collect::<Vec<_>>();
    top.extend(export.load_all(&plans, "plans")?);
    top.push(project);

    let tags = export.reader.index(&root, "datasets-tags")?;
    let tags: HashMap<&str, &str> = tags.iter().map(|entry| (&*entry.key, &*entry.oid)).collect();
    for entry in export.reader.index(&root, "datasets-provenance-tails")? {
        let tail = export.load(&entry.oid, ".renku/metadata/datasets-provenance-tails")?;
        top.push(tail);
        let slug = export.loaded(tail).and_then(|l| l.slug.clone());
        if let Some(list) = slug.and_then(|slug| tags.get(&*slug)) {
            for (tag, _) in export
                .reader
                .need(list, ".renku/metadata/datasets-tags", |text| Ok(read_list(text)?))?
            {
                top.push(export.place_of(&tag));
            }
        }
        export.ancestors(tail, &mut top)?;
    }
    export.convert(&top)?;
    export.finish(&top)
}
