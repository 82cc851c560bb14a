use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use events::Signature;
use model::{GitObjectId, Owner, ProjectId, Reason};
use repos::{Cancel, Mirrors, RemoteBranch};

use crate::edges::{ContentSource, FetchError, Fetched, Head, Trouble};
use crate::facts::Aim;

/// Content by git, from bare mirrors.
pub struct GitContent(Arc<Mirrors>);

impl GitContent {
    /// Fetches into these mirrors with the service's own token.
    pub fn new(mirrors: Arc<Mirrors>) -> Self {
        Self(mirrors)
    }

    /// Runs on a thread that may block. When the caller goes, the work is stopped at its next read.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Mirrors, &Cancel) -> Result<T, repos::FetchError> + Send + 'static,
    ) -> Result<T, FetchError> {
        let cancel = CancelOnDrop(Cancel::new());
        let (mirrors, switch) = (self.0.clone(), cancel.0.clone());
        match tokio::task::spawn_blocking(move || work(&mirrors, &switch)).await {
            Ok(result) => result.map_err(error),
            Err(ended) => Err(Trouble::Ours(format!("the thread that fetched ended: {ended}")).into()),
        }
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl std::fmt::Debug for GitContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitContent").finish_non_exhaustive()
    }
}

#[async_trait]
impl ContentSource for GitContent {
    async fn fetch(&self, project: ProjectId, aim: &Aim) -> Result<Fetched, FetchError> {
        let aim = aim.clone();
        self.blocking(move |mirrors, cancel| {
            let from = RemoteBranch {
                slug: &aim.slug,
                branch: &aim.branch,
                token: None,
            };
            mirrors.fetch(project, &from, cancel)
        })
        .await
        .map(fetched)
    }

    async fn read(&self, project: ProjectId, blobs: &[GitObjectId]) -> Result<Vec<Bytes>, FetchError> {
        let blobs = blobs.to_vec();
        self.blocking(move |mirrors, _| mirrors.read(project, &blobs))
            .await
    }

    async fn looked(&self, project: ProjectId, gone: bool) {
        let done = self
            .blocking(move |mirrors, _| {
                if gone {
                    mirrors.forget(project)
                } else {
                    mirrors.tidy(project)
                }
            })
            .await;
        if let Err(error) = done {
            tracing::warn!(project.id = %project, %error, "the mirror was not tidied");
        }
    }
}

fn fetched(fetched: repos::Fetched) -> Fetched {
    if fetched.ignored > 0 {
        tracing::info!(
            ignored = fetched.ignored,
            "metadata entries that are no files were left out"
        );
    }
    let signature = |from: repos::Signature| Signature {
        name: from.name,
        email: from.email,
        at: from.at,
    };
    Fetched {
        head: Head {
            sha: fetched.commit.sha,
            parents: fetched.commit.parents,
            author: signature(fetched.commit.author),
            committer: signature(fetched.commit.committer),
            title: fetched.commit.title,
            r#ref: fetched.r#ref,
        },
        folders: fetched.folders,
        linked: fetched.linked,
        bytes: fetched.bytes,
    }
}

fn error(error: repos::FetchError) -> FetchError {
    use repos::FetchError as From;
    let why = error.to_string();
    FetchError::Trouble(match error {
        From::NoBranch(_) => return FetchError::NoBranch,
        From::NoRepository => return FetchError::NoRepository,
        From::TooLarge(_) => {
            return rejected(
                "repository-too-large",
                format!("{why}; remove metadata that is not needed, or raise the limits of the service"),
            );
        }
        From::Rejected(_) => {
            return rejected(
                "repository-unreadable",
                format!("{why}; repair the repository (git fsck tells what is wrong) and push again"),
            );
        }
        From::Refused(_) => Trouble::Refused,
        From::Busy { retry_after } => Trouble::Busy { after: retry_after },
        From::Down { why, retry_after } => Trouble::Down {
            why,
            after: retry_after,
        },
        From::Garbage(why) => Trouble::Garbage(why),
        // A fetch brings back what a mirror lost.
        From::Mirror(_) | From::NotInMirror(_) | From::Cancelled => Trouble::Ours(why),
    })
}

fn rejected(code: &'static str, message: String) -> FetchError {
    FetchError::Rejected(Reason {
        code,
        owner: Owner::Caller,
        message,
    })
}
