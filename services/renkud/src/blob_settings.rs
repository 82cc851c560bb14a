use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Section `[blobs]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlobSettings {
    /// Where claim-checked values are, e.g. `file:///srv/renku/blobs`. Empty: in the data folder.
    pub url: String,
}

/// A URL that no blob store is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BlobUrlFault(&'static str);

impl BlobSettings {
    /// The folder that all processes share; `None`: the one in the data folder.
    ///
    /// # Errors
    /// The URL does not name a folder of this machine.
    pub fn folder(&self) -> Result<Option<PathBuf>, BlobUrlFault> {
        if self.url.is_empty() {
            return Ok(None);
        }
        let Some(path) = self.url.strip_prefix("file://") else {
            return Err(BlobUrlFault("a folder is needed, e.g. file:///srv/renku/blobs"));
        };
        if !path.starts_with('/') {
            return Err(BlobUrlFault(
                "three slashes and an absolute path are needed after file:",
            ));
        }
        if path.contains(['%', '?', '#', '\0']) {
            return Err(BlobUrlFault("a path without '%', '?' and '#' is needed"));
        }
        if path.trim_end_matches('/').is_empty() || path.split('/').any(|part| part == "..") {
            return Err(BlobUrlFault("a folder of its own is needed, without '..'"));
        }
        Ok(Some(PathBuf::from(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(url: &str) -> Result<Option<PathBuf>, BlobUrlFault> {
        BlobSettings { url: url.to_owned() }.folder()
    }

    #[test]
    fn folders_of_this_machine_only() {
        assert_eq!(folder(""), Ok(None));
        assert_eq!(folder("file:///srv/blobs"), Ok(Some("/srv/blobs".into())));
        for refused in [
            "/srv/blobs",
            "s3://bucket",
            "file://host/srv",
            "file:///",
            "file:///a/../b",
            "file:///a%20b",
        ] {
            assert!(folder(refused).is_err(), "{refused}");
        }
    }
}
