//! The export of what a range of commits changed.

use std::collections::HashSet;

use rdf::{Graph, Host};

use crate::class::Class;
use crate::decode::read_state;
use crate::error::MetadataError;
use crate::export::Export;
use crate::reader::Reader;
use crate::source::ObjectSource;
use crate::version;

/// The graph of the objects whose files a range of commits changed: what `renku graph export --revision` prints.
/// `names` are the last components of the changed paths, in the order of the commits and of the paths in each.
pub fn export_revision(
    source: &dyn ObjectSource,
    host: Host,
    names: &[String],
) -> Result<Graph, MetadataError> {
    let mut reader = Reader::new(source);
    let root = version::check(&mut reader)?;
    let mut export = Export::new(reader, host, false);
    for oid in root.oids() {
        export.know(oid);
    }
    export.know("root");
    export.project(root.oid("project").unwrap_or("project"))?;
    let mut top = Vec::new();
    for name in names {
        let place = export.place_of(name);
        if !export.files[place].known {
            export.know(name);
            match export
                .reader
                .need(name, "a commit of the range", |text| Ok(read_state(text)?.class))?
            {
                class if is_exported(class) || class == Class::WorkflowFileActivityCollection => {
                    export.load(name, "a commit of the range")?;
                }
                _ => {
                    let references = export.reader.need(name, "a commit of the range", |text| {
                        Ok(read_state(text)?.references)
                    })?;
                    for reference in references {
                        export.know(&reference.oid);
                    }
                }
            }
        }
        top.push(place);
    }
    let mut kept = Vec::new();
    let mut seen = HashSet::new();
    for place in top.into_iter().filter(|&place| seen.insert(place)) {
        let oid = export.files[place].oid.clone();
        let class = match export.loaded(place) {
            Some(loaded) => loaded.class,
            None => export
                .reader
                .need(&oid, "a commit of the range", |text| Ok(read_state(text)?.class))?,
        };
        if is_exported(class) {
            kept.push(place);
        }
    }
    export.convert(&kept)?;
    for &place in &kept {
        export.emit(place)?;
    }
    export.finish(&kept)
}

/// What a revision's export takes from the files that changed.
fn is_exported(class: Class) -> bool {
    class.is_plan()
        || matches!(
            class,
            Class::Project | Class::Dataset | Class::DatasetTag | Class::Activity
        )
}
