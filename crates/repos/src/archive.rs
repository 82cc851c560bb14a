//! The way for repositories that are too large for git: GitLab's archive API, restricted to the `.renku` folder.

use std::io::Read;

use git2::{ObjectType, Oid, Repository};
use model::{GitObjectId, ProjectId, Sha, Timestamp};
use serde::Deserialize;

use crate::fetch::{
    Body, Deadline, FetchError, FetchLimits, Fetched, FetchedCommit, Http, MetadataFile, Proof, RemoteBranch,
    Signature, Way, group, id,
};
use crate::mirror::{damaged, title_of};

/// Largest answer about a commit.
const COMMIT_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
struct CommitBody {
    id: Sha,
    parent_ids: Vec<Sha>,
    message: Option<String>,
    title: Option<String>,
    author_name: String,
    author_email: String,
    authored_date: String,
    committer_name: String,
    committer_email: String,
    committed_date: String,
}

/// Brings the metadata files of `head` into the mirror's object database, and lists them.
#[expect(
    clippy::too_many_arguments,
    reason = "one call site; a struct would only repeat the names"
)]
pub(crate) fn fetch(
    http: &Http,
    project: ProjectId,
    from: &RemoteBranch<'_>,
    name: &str,
    head: Oid,
    repository: &Repository,
    limits: &FetchLimits,
    deadline: &Deadline,
) -> Result<Fetched, FetchError> {
    let (project, sha) = (project.to_string(), head.to_string());
    let mut left = COMMIT_BYTES;
    let url = http.api(&["projects", &project, "repository", "commits", &sha])?;
    let response = http.send(http.get(url), Proof::Api, from.token, deadline)?;
    let mut text = Vec::new();
    let mut body = Body::new(response, deadline, &mut left);
    if let Err(error) = body.read_to_end(&mut text) {
        return Err(body.failure(&error));
    }
    let commit = commit_of(&text, id(head))?;

    let mut url = http.api(&["projects", &project, "repository", "archive.tar.gz"])?;
    url.query_pairs_mut()
        .append_pair("sha", &sha)
        .append_pair("path", ".renku");
    let mut left = limits.bytes;
    let (files, ignored) = match http.send(http.get(url), Proof::Api, from.token, deadline) {
        // GitLab has no archive of a folder that does not exist.
        Err(FetchError::NoRepository) => (Vec::new(), 0),
        Err(error) => return Err(error),
        Ok(response) => {
            let mut body = Body::new(response, deadline, &mut left);
            match unpack(&mut body, repository, limits) {
                Ok(unpacked) => unpacked,
                Err(Unpacking::Stopped(reason)) => return Err(reason),
                Err(Unpacking::Broken(error)) => {
                    return Err(match body.failure(&error) {
                        FetchError::Down { why, .. } => {
                            FetchError::Garbage(format!("the archive cannot be read: {why}"))
                        }
                        reason => reason,
                    });
                }
            }
        }
    };
    Ok(Fetched {
        commit,
        r#ref: name.to_owned(),
        folders: group(files),
        linked: Vec::new(),
        ignored,
        bytes: limits.bytes - left,
        way: Way::Archive,
    })
}

enum Unpacking {
    Stopped(FetchError),
    Broken(std::io::Error),
}

impl From<std::io::Error> for Unpacking {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

fn unpack(
    body: impl Read,
    repository: &Repository,
    limits: &FetchLimits,
) -> Result<(Vec<MetadataFile>, u32), Unpacking> {
    let stopped = |reason: String| Unpacking::Stopped(FetchError::TooLarge(reason));
    let odb = repository
        .odb()
        .map_err(|error| Unpacking::Stopped(damaged(error)))?;
    // One byte more than allowed tells an archive that is too large from one that just fits.
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(body).take(limits.archive_inflated + 1));
    let (mut files, mut ignored, mut inflated, mut entries) = (Vec::new(), 0, 0_u64, 0_usize);
    for entry in archive.entries()? {
        let mut entry = entry?;
        entries += 1;
        inflated += entry.size();
        if inflated > limits.archive_inflated || entries > 4 * limits.metadata_files {
            return Err(stopped(format!(
                "its .renku folder has more than {} bytes",
                limits.archive_inflated
            )));
        }
        let path = entry.path_bytes().into_owned();
        let Some(path) = std::str::from_utf8(&path).ok().and_then(below_renku) else {
            continue;
        };
        if !(path == "metadata.yml" || path.starts_with("metadata/")) || entry.header().entry_type().is_dir()
        {
            continue;
        }
        if !entry.header().entry_type().is_file() || path.split('/').count() > 8 {
            ignored += 1;
            continue;
        }
        if entry.size() > limits.metadata_file_bytes {
            let most = limits.metadata_file_bytes;
            return Err(Unpacking::Stopped(FetchError::Rejected(format!(
                ".renku/{path} has {} bytes, more than the {most} that a metadata file may have",
                entry.size()
            ))));
        }
        if files.len() >= limits.metadata_files {
            return Err(stopped(format!(
                "it has more than {} metadata files",
                limits.metadata_files
            )));
        }
        let mut content = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut content)?;
        let blob = odb
            .write(ObjectType::Blob, &content)
            .map_err(|error| Unpacking::Stopped(damaged(error)))?;
        files.push(MetadataFile {
            path: path.into(),
            blob: id(blob),
            size: content.len() as u64,
        });
    }
    files.sort_unstable();
    files.dedup_by(|left, right| left.path == right.path);
    Ok((files, ignored))
}

/// `<name>-<sha>/.renku/x/y` → `x/y`.
fn below_renku(path: &str) -> Option<&str> {
    let (_, below) = path.split_once('/')?;
    let below = below.strip_prefix(".renku/")?;
    (!below
        .split('/')
        .any(|part| part == ".." || part == "." || part.is_empty()))
    .then_some(below)
}

fn commit_of(text: &[u8], wanted: GitObjectId) -> Result<FetchedCommit, FetchError> {
    let garbage = |why: String| FetchError::Garbage(format!("the answer about commit {wanted}: {why}"));
    let body: CommitBody = serde_json::from_slice(text).map_err(|error| garbage(error.to_string()))?;
    if body.id != wanted {
        return Err(garbage("it is about another one".into()));
    }
    let at = |text: &str| Timestamp::parse_rfc3339(text).map_err(|error| garbage(error.to_string()));
    let cut = |text: String| text.chars().take(1_000).collect();
    Ok(FetchedCommit {
        sha: body.id,
        parents: body.parent_ids,
        author: Signature {
            name: cut(body.author_name),
            email: cut(body.author_email),
            at: at(&body.authored_date)?,
        },
        committer: Signature {
            name: cut(body.committer_name),
            email: cut(body.committer_email),
            at: at(&body.committed_date)?,
        },
        title: title_of(&body.message.or(body.title).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_archive() {
        assert_eq!(
            below_renku("x-main-abc-.renku/.renku/metadata/ab"),
            Some("metadata/ab")
        );
        for other in [
            "x/.renku",
            "x/data/.renku/metadata/ab",
            "x/.renku/../y",
            "x/.renku//y",
            ".renku/metadata.yml",
            "x",
        ] {
            assert_eq!(below_renku(other), None, "{other}");
        }
    }
}
