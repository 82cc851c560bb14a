use std::io::Write;

use crate::SimError;
use crate::world::Project;

/// The archive that GitLab makes: gzipped, everything below `<project>-<sha>[-<path>]/`.
pub(crate) fn tar_gz(project: &Project, sha: &str, path: Option<&str>) -> Result<Vec<u8>, SimError> {
    let mut prefix = format!("{}-{sha}-{sha}", project.path());
    if let Some(path) = path {
        if path.split('/').any(|part| part.is_empty() || part == "..") || path.starts_with('-') {
            return Err(SimError::NotFound("File"));
        }
        prefix = format!("{prefix}-{}", path.replace('/', "-"));
    }
    let tar = match project.repository.tar(sha, &prefix, path) {
        Ok(tar) => tar,
        // Git says so where the folder is not part of the commit.
        Err(SimError::Git { stderr, .. }) if stderr.contains("did not match") => {
            return Err(SimError::NotFound("File"));
        }
        Err(error) => return Err(error),
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).map_err(SimError::io("archive"))?;
    gzip.finish().map_err(SimError::io("archive"))
}
