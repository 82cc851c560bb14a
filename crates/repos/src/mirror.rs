//! A cache of repositories: one bare mirror for each project, in a folder that may be deleted at any time.

mod shelf;
mod tidy;

use std::path::PathBuf;

use bytes::Bytes;
use git2::{ErrorCode, ObjectType, Oid, Repository};
use model::{GitObjectId, ProjectId, Secret};
use parking_lot::Mutex;
use sha1::{Digest as _, Sha1};
use url::Url;

use crate::archive;
use crate::fetch::{
    Cancel, Capabilities, Deadline, FetchError, FetchLimits, Fetched, FetchedCommit, Folders, Http,
    ListingError, PackRequest, Protocol, RemoteBranch, Signature, Way, list,
};
use crate::linked::{LinkedError, linked_inside};
use shelf::{Mirror, Shelf};

/// Where mirrors are, and whose they are.
#[derive(Clone, Debug)]
pub struct MirrorSettings {
    /// The cache's folder.
    pub folder: PathBuf,
    /// `gitlab.url`: nothing else is ever connected to.
    pub gitlab: Url,
    /// The service's token.
    pub token: Option<Secret>,
    /// Bounds.
    pub limits: FetchLimits,
}

/// Fetches, into mirrors. Everything here blocks: call it off the async threads. Fetches of one project wait for each
/// other, those of different projects do not.
pub struct Mirrors {
    http: Http,
    limits: FetchLimits,
    shelf: Shelf,
    folders: Mutex<Folders>,
    /// Asked once, and again after a failure.
    capabilities: Mutex<Option<Capabilities>>,
}

/// The ref of a mirror that names the commit it has.
const HEAD: &str = "refs/renku/head";
/// Beside a mirror whose repository is too large for git: how many more looks go to the archive at once.
const ARCHIVE_LOOKS: u32 = 100;
/// Most parents of a commit that are told.
const PARENTS: usize = 256;

impl Mirrors {
    /// Opens the cache. No connection is made yet.
    pub fn open(settings: MirrorSettings) -> Result<Self, FetchError> {
        // For the whole process: each object is checked when its pack comes, and contents again when they are read here.
        git2::opts::strict_hash_verification(false);
        std::fs::create_dir_all(&settings.folder).map_err(|error| {
            FetchError::Mirror(format!("{} cannot be made: {error}", settings.folder.display()))
        })?;
        Ok(Self {
            http: Http::new(settings.gitlab, settings.token, &settings.limits)?,
            limits: settings.limits,
            shelf: Shelf::new(settings.folder),
            folders: Mutex::default(),
            capabilities: Mutex::default(),
        })
    }

    /// The newest commit of the branch and the list of its metadata files. A damaged mirror is deleted and made anew.
    pub fn fetch(
        &self,
        project: ProjectId,
        from: &RemoteBranch<'_>,
        cancel: &Cancel,
    ) -> Result<Fetched, FetchError> {
        let name = ref_name(from.branch)?;
        let deadline = Deadline::new(self.limits.time, cancel.clone());
        let mut mirror = self.shelf.take(project);
        match self.fetch_once(project, &mut mirror, from, &name, &deadline) {
            Err(FetchError::Mirror(why)) => {
                tracing::warn!(%project, why, "the mirror is damaged, it is made anew");
                mirror.delete()?;
                self.folders.lock().clear();
                self.fetch_once(project, &mut mirror, from, &name, &deadline)
            }
            other => other,
        }
    }

    /// Contents of blobs that the last fetch of the project listed, in the order asked for.
    pub fn read(&self, project: ProjectId, blobs: &[GitObjectId]) -> Result<Vec<Bytes>, FetchError> {
        let mut mirror = self.shelf.take(project);
        let (repository, _) = mirror.repository()?;
        let odb = repository.odb().map_err(damaged)?;
        let mut contents = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let oid = Oid::from_bytes(blob.as_bytes()).map_err(damaged)?;
            let object = match odb.read(oid) {
                Ok(object) if object.kind() == ObjectType::Blob => object,
                Err(error) if error.code() != ErrorCode::NotFound => return Err(damaged(error)),
                _ => return Err(FetchError::NotInMirror(*blob)),
            };
            if object.len() as u64 > self.limits.metadata_file_bytes {
                return Err(FetchError::TooLarge(format!(
                    "blob {blob} has {} bytes",
                    object.len()
                )));
            }
            if content_id(object.data()) != *blob {
                return Err(FetchError::Mirror(format!("blob {blob} has another content")));
            }
            contents.push(Bytes::copy_from_slice(object.data()));
        }
        Ok(contents)
    }

    /// House-keeping of a project's mirror: joins small packs, deletes a mirror that grew too large. Cheap when there is
    /// nothing to do; call it after a look, when nobody waits.
    pub fn tidy(&self, project: ProjectId) -> Result<(), FetchError> {
        let mut mirror = self.shelf.take(project);
        tidy::tidy(&mut mirror, self.limits.mirror_bytes)
    }

    /// Deletes a project's mirror.
    pub fn forget(&self, project: ProjectId) -> Result<(), FetchError> {
        self.shelf.take(project).delete()
    }

    fn fetch_once(
        &self,
        project: ProjectId,
        mirror: &mut Mirror,
        from: &RemoteBranch<'_>,
        name: &str,
        deadline: &Deadline,
    ) -> Result<Fetched, FetchError> {
        let by_archive = mirror.archive_looks();
        let (repository, fresh) = mirror.repository()?;
        if fresh {
            self.folders.lock().clear();
        }
        let mut left = self.limits.bytes;
        let protocol = Protocol {
            http: &self.http,
            slug: from.slug,
            token: from.token,
            deadline,
        };
        let can = self.capabilities(&protocol, &mut left)?;
        let answer = protocol.head(can, name, &mut left);
        if answer.is_err() {
            *self.capabilities.lock() = None;
        }
        let head = answer?.ok_or_else(|| FetchError::NoBranch(from.branch.to_owned()))?;
        if by_archive > 0 {
            let fetched = archive::fetch(
                &self.http,
                project,
                from,
                name,
                head,
                repository,
                &self.limits,
                deadline,
            )?;
            mirror.note_archive_looks(by_archive - 1)?;
            return Ok(fetched);
        }
        match self.by_git(&protocol, can, name, head, repository, &mut left) {
            Err(FetchError::TooLarge(why)) => {
                tracing::info!(%project, why, "git brings too much, GitLab is asked for an archive");
                // The time for git is used up; the archive gets as much again.
                let deadline = Deadline::new(self.limits.time, deadline.cancel.clone());
                let fetched = archive::fetch(
                    &self.http,
                    project,
                    from,
                    name,
                    head,
                    repository,
                    &self.limits,
                    &deadline,
                )?;
                mirror.note_archive_looks(ARCHIVE_LOOKS)?;
                Ok(fetched)
            }
            other => other,
        }
    }

    fn capabilities(&self, protocol: &Protocol<'_>, left: &mut u64) -> Result<Capabilities, FetchError> {
        let known = *self.capabilities.lock();
        match known {
            Some(known) => Ok(known),
            None => {
                let asked = protocol.capabilities(left)?;
                *self.capabilities.lock() = Some(asked);
                Ok(asked)
            }
        }
    }

    fn by_git(
        &self,
        protocol: &Protocol<'_>,
        can: Capabilities,
        name: &str,
        head: Oid,
        repository: &Repository,
        left: &mut u64,
    ) -> Result<Fetched, FetchError> {
        let odb = repository.odb().map_err(damaged)?;
        let have = repository
            .refname_to_id(HEAD)
            .ok()
            .filter(|have| odb.exists(*have));
        if have != Some(head) {
            let request = PackRequest {
                wants: &[head],
                have,
                depth_one: true,
                blob_limit: Some(self.limits.inline_blob),
                objects: self.limits.pack_objects,
            };
            match protocol.pack(can, &request, &odb, left) {
                // A pack that builds on objects which the mirror lost.
                Err(FetchError::Garbage(why)) if have.is_some() => return Err(FetchError::Mirror(why)),
                other => other?,
            }
        }
        let mut fetched = self.list(protocol, can, repository, head, have, left)?;
        if have != Some(head) {
            repository
                .reference(HEAD, head, true, "fetched")
                .map_err(damaged)?;
        }
        fetched.r#ref = name.to_owned();
        fetched.way = if have == Some(head) { Way::Mirror } else { Way::Git };
        fetched.bytes = self.limits.bytes - *left;
        Ok(fetched)
    }

    fn list(
        &self,
        protocol: &Protocol<'_>,
        can: Capabilities,
        repository: &Repository,
        head: Oid,
        have: Option<Oid>,
        left: &mut u64,
    ) -> Result<Fetched, FetchError> {
        let commit = match repository.find_commit(head) {
            Ok(commit) => commit,
            Err(error) if error.code() == ErrorCode::NotFound => return Err(damaged(error)),
            Err(error) => {
                return Err(FetchError::Rejected(format!(
                    "commit {head}: {}",
                    error.message()
                )));
            }
        };
        let tree = commit.tree().map_err(damaged)?;
        // A help, no more: without it everything is walked.
        let old = have.and_then(|have| repository.find_commit(have).ok()?.tree().ok());
        let mut brought = false;
        let listed = loop {
            let answer = list(repository, &tree, old.as_ref(), &self.folders, &self.limits);
            match answer {
                Ok(listed) => break listed,
                Err(ListingError::TooLarge(why)) => return Err(FetchError::Rejected(why)),
                Err(ListingError::Damaged(error)) => return Err(damaged(error)),
                Err(ListingError::Missing(blobs)) if brought => {
                    return Err(FetchError::Mirror(format!(
                        "{} metadata files are not there after a fetch",
                        blobs.len()
                    )));
                }
                Err(ListingError::Missing(wants)) => {
                    brought = true;
                    let odb = repository.odb().map_err(damaged)?;
                    let objects = wants.len();
                    let request = PackRequest {
                        wants: &wants,
                        have: None,
                        depth_one: false,
                        blob_limit: None,
                        objects,
                    };
                    protocol.pack(can, &request, &odb, left)?;
                }
            }
        };
        let linked =
            linked_inside(repository, &tree, self.limits.pack_objects).map_err(|error| match error {
                LinkedError::TooMany(_) => FetchError::Rejected(error.to_string()),
                LinkedError::Git(error) => damaged(error),
            })?;
        Ok(Fetched {
            commit: commit_of(&commit),
            r#ref: String::new(),
            folders: listed.folders,
            linked,
            ignored: listed.ignored,
            bytes: 0,
            way: Way::Git,
        })
    }
}

/// The full name, if git allows it: what comes from GitLab goes into lines of a protocol.
fn ref_name(branch: &str) -> Result<String, FetchError> {
    let name = format!("refs/heads/{branch}");
    if name.len() <= 1_024 && git2::Reference::is_valid_name(&name) && !branch.is_empty() {
        Ok(name)
    } else {
        let shown: String = branch.chars().take(100).collect();
        Err(FetchError::Rejected(format!(
            "the default branch {shown:?} has no name that git allows"
        )))
    }
}

/// The id of a blob with this content.
fn content_id(content: &[u8]) -> GitObjectId {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    GitObjectId::new(hash.finalize().into())
}

/// Something of the mirror is absent or cannot be read.
pub(crate) fn damaged(error: git2::Error) -> FetchError {
    FetchError::Mirror(error.message().to_owned())
}

fn commit_of(commit: &git2::Commit<'_>) -> FetchedCommit {
    FetchedCommit {
        sha: crate::fetch::id(commit.id()),
        parents: commit.parent_ids().take(PARENTS).map(crate::fetch::id).collect(),
        author: signature_of(&commit.author()),
        committer: signature_of(&commit.committer()),
        title: title_of(&String::from_utf8_lossy(commit.message_bytes())),
    }
}

/// First line, 255 characters at most, as GitLab shows it.
pub(crate) fn title_of(message: &str) -> String {
    message
        .trim_start()
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end()
        .chars()
        .take(255)
        .collect()
}

fn signature_of(signature: &git2::Signature<'_>) -> Signature {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(1_000).collect();
    Signature {
        name: text(signature.name_bytes()),
        email: text(signature.email_bytes()),
        at: model::Timestamp::from_micros(signature.when().seconds().saturating_mul(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_branches() {
        assert_eq!(ref_name("feature/x").unwrap(), "refs/heads/feature/x");
        for bad in [
            "",
            "a b",
            "a\nwant 0",
            "../x",
            "a..b",
            "x.lock",
            "x:y",
            "x*",
            "-\u{7f}",
            "a//b",
            "/a",
            &"x".repeat(2_000),
        ] {
            assert!(ref_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn contents_have_the_ids_of_git() {
        let id = |content: &[u8]| Oid::hash_object(ObjectType::Blob, content).map(crate::fetch::id);
        for content in [&b""[..], b"x", &[7; 5_000]] {
            assert_eq!(content_id(content), id(content).unwrap());
        }
    }

    #[test]
    fn titles() {
        assert_eq!(title_of("\n one \n two"), "one");
        assert_eq!(title_of(&"x".repeat(999)).len(), 255);
        assert_eq!(title_of(""), "");
    }
}
