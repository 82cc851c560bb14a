use std::borrow::Cow;

use crate::error::SourceError;

/// Where the bytes of a project's metadata come from: a commit's tree, a record's blobs, a test's map.
pub trait ObjectSource {
    /// The content of a file below `.renku/`, e.g. `metadata/root` or `metadata.yml`; `None` if there is none.
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError>;

    /// Whether `path` (from the repository's root) is a symlink that goes through `.renku/pointers` and ends inside the
    /// repository. Files of old projects that were external then are linked today.
    fn is_linked(&self, path: &str) -> bool;
}

impl<S: ObjectSource + ?Sized> ObjectSource for &S {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        (**self).read(path)
    }

    fn is_linked(&self, path: &str) -> bool {
        (**self).is_linked(path)
    }
}
