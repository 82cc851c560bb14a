use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::SimError;

/// A bare repository. Everything here blocks, and most of it starts the `git` program.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub path: PathBuf,
}

/// Git's "no commit".
pub(crate) const ZERO: &str = "0000000000000000000000000000000000000000";

/// A commit as hooks and the API tell it.
#[derive(Clone, Debug)]
pub(crate) struct CommitInfo {
    pub sha: String,
    pub parents: Vec<String>,
    pub author: (String, String, String),
    pub committer: (String, String, String),
    pub message: String,
    pub added: Vec<String>,
    pub modified: Vec<String>,
    pub removed: Vec<String>,
}

impl CommitInfo {
    pub(crate) fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// A commit to write.
pub(crate) struct NewCommit<'a> {
    pub branch: &'a str,
    /// None: on top of the branch, if there is one; Some(None): without a parent.
    pub parent: Option<Option<&'a str>>,
    pub author: (&'a str, &'a str),
    pub seconds: i64,
    pub message: &'a str,
    /// None deletes.
    pub files: &'a BTreeMap<String, Option<Vec<u8>>>,
}

impl Repository {
    /// Makes an empty one, set up as GitLab sets up its own: partial clones and any object by its id.
    pub(crate) fn create(path: PathBuf, default_branch: &str) -> Result<Self, SimError> {
        std::fs::create_dir_all(&path).map_err(SimError::io(&path))?;
        let this = Self { path };
        this.git(&[
            "init",
            "-q",
            "--bare",
            "--template=",
            &format!("--initial-branch={default_branch}"),
        ])?;
        let config = "[http]\n\treceivepack = true\n[uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n\
                      [receive]\n\tautogc = false\n\tdenyDeleteCurrent = ignore\n[gc]\n\tauto = 0\n[core]\n\tfsync = none\n";
        let file = this.path.join("config");
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .map_err(SimError::io(&file))?;
        file.write_all(config.as_bytes())
            .map_err(SimError::io(&this.path))?;
        Ok(this)
    }

    /// Takes all branches and tags of a bundle.
    pub(crate) fn load_bundle(&self, bundle: &Path) -> Result<(), SimError> {
        let bundle = bundle.canonicalize().map_err(SimError::io(bundle))?;
        let bundle = bundle.to_string_lossy();
        self.git(&[
            "fetch",
            "-q",
            &bundle,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
        ])?;
        Ok(())
    }

    pub(crate) fn set_head(&self, branch: &str) -> Result<(), SimError> {
        self.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")])
            .map(drop)
    }

    /// Branches and tags with their objects, read from the files: no process is started.
    pub(crate) fn refs(&self) -> BTreeMap<String, String> {
        let mut refs = BTreeMap::new();
        if let Ok(packed) = std::fs::read_to_string(self.path.join("packed-refs")) {
            for line in packed.lines() {
                if let Some((oid, name)) = line.split_once(' ')
                    && oid.len() == ZERO.len()
                    && (name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
                {
                    refs.insert(name.to_owned(), oid.to_owned());
                }
            }
        }
        for kind in ["refs/heads", "refs/tags"] {
            loose(&self.path.join(kind), kind, &mut refs);
        }
        refs
    }

    pub(crate) fn head_of(&self, branch: &str) -> Option<String> {
        self.refs().remove(&format!("refs/heads/{branch}"))
    }

    /// The newest commits of `after` that `before` has not, newest last, and how many there are in all.
    pub(crate) fn commits(
        &self,
        before: &str,
        after: &str,
        most: usize,
    ) -> Result<(Vec<CommitInfo>, usize), SimError> {
        let range = if before == ZERO {
            after.to_owned()
        } else {
            format!("{before}..{after}")
        };
        let mut commits = self.log(&range, most)?;
        commits.reverse();
        let total = if commits.len() < most {
            commits.len()
        } else {
            self.git(&["rev-list", "--count", &range])?
                .trim()
                .parse()
                .unwrap_or(commits.len())
        };
        Ok((commits, total))
    }

    /// One commit; None if there is none of that name.
    pub(crate) fn commit(&self, revision: &str) -> Option<CommitInfo> {
        let plain = revision.len() <= 200
            && !revision.starts_with('-')
            && !revision.contains([' ', '\n', '\0', '.', ':', '^', '~']);
        plain.then(|| self.log(revision, 1).ok()?.pop())?
    }

    fn log(&self, range: &str, most: usize) -> Result<Vec<CommitInfo>, SimError> {
        let format = "--format=format:%x1e%H%x1f%P%x1f%an%x1f%ae%x1f%aI%x1f%cn%x1f%ce%x1f%cI%x1f%B%x1f";
        let most = format!("--max-count={most}");
        let text = self.git(&["log", &most, "--name-status", "--no-renames", format, range, "--"])?;
        Ok(text.split('\x1e').skip(1).filter_map(commit_of).collect())
    }

    /// Writes a commit and moves the branch. Gives its id.
    pub(crate) fn write(&self, new: &NewCommit<'_>) -> Result<String, SimError> {
        let mut stream = Vec::new();
        let parent = match new.parent {
            None => self.head_of(new.branch),
            Some(parent) => parent.map(str::to_owned),
        };
        let (name, email) = new.author;
        for text in [new.branch, name, email] {
            if text.contains(['\n', '<', '>', '\0']) {
                return Err(SimError::Bad(format!("{text:?} cannot be part of a commit")));
            }
        }
        let at = new.seconds;
        stream.extend_from_slice(format!("reset refs/heads/{}\n", new.branch).as_bytes());
        if let Some(parent) = &parent {
            stream.extend_from_slice(format!("from {parent}\n").as_bytes());
        }
        stream.extend_from_slice(format!("\ncommit refs/heads/{}\n", new.branch).as_bytes());
        stream.extend_from_slice(format!("author {name} <{email}> {at} +0000\n").as_bytes());
        stream.extend_from_slice(format!("committer {name} <{email}> {at} +0000\n").as_bytes());
        stream.extend_from_slice(format!("data {}\n{}\n", new.message.len(), new.message).as_bytes());
        for (path, content) in new.files {
            if path.contains(['\n', '"', '\0']) {
                return Err(SimError::Bad(format!("{path:?} cannot be a path here")));
            }
            match content {
                None => stream.extend_from_slice(format!("D {path}\n").as_bytes()),
                Some(content) => {
                    stream.extend_from_slice(
                        format!("M 100644 inline {path}\ndata {}\n", content.len()).as_bytes(),
                    );
                    stream.extend_from_slice(content);
                    stream.push(b'\n');
                }
            }
        }
        self.git_with(&["fast-import", "--quiet", "--force"], &stream)?;
        self.head_of(new.branch)
            .ok_or_else(|| SimError::Bad("the commit is not there".into()))
    }

    pub(crate) fn delete_branch(&self, branch: &str) -> Result<(), SimError> {
        self.git(&["update-ref", "-d", &format!("refs/heads/{branch}")])
            .map(drop)
    }

    /// A tar of one folder of a commit, or of all of it.
    pub(crate) fn tar(&self, sha: &str, prefix: &str, path: Option<&str>) -> Result<Vec<u8>, SimError> {
        let prefix = format!("--prefix={prefix}/");
        let mut arguments = vec!["archive", "--format=tar", prefix.as_str(), sha];
        if let Some(path) = path {
            arguments.extend(["--", path]);
        }
        let output = self.command(&arguments).output().map_err(SimError::io("git"))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(failed(&arguments, &output.stderr))
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args(arguments);
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C.UTF-8");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn git(&self, arguments: &[&str]) -> Result<String, SimError> {
        let output = self.command(arguments).output().map_err(SimError::io("git"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(failed(arguments, &output.stderr))
        }
    }

    fn git_with(&self, arguments: &[&str], input: &[u8]) -> Result<(), SimError> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(SimError::io("git"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A git that fails early closes its end; what it says is the better error.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(SimError::io("git"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(failed(arguments, &output.stderr))
        }
    }
}

fn failed(arguments: &[&str], stderr: &[u8]) -> SimError {
    let command = arguments.first().copied().unwrap_or_default().to_owned();
    SimError::Git {
        command,
        stderr: String::from_utf8_lossy(stderr).trim().to_owned(),
    }
}

fn loose(folder: &Path, name: &str, refs: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            loose(&entry.path(), &name, refs);
        } else if let Ok(oid) = std::fs::read_to_string(entry.path())
            && oid.trim().len() == ZERO.len()
        {
            refs.insert(name, oid.trim().to_owned());
        }
    }
}

fn commit_of(text: &str) -> Option<CommitInfo> {
    let mut fields = text.splitn(10, '\x1f');
    let mut next = || fields.next().map(str::to_owned);
    let (sha, parents) = (next()?, next()?);
    let author = (next()?, next()?, next()?);
    let committer = (next()?, next()?, next()?);
    let (message, changes) = (next()?, next()?);
    let mut commit = CommitInfo {
        sha,
        parents: parents.split_whitespace().map(str::to_owned).collect(),
        author,
        committer,
        message,
        added: vec![],
        modified: vec![],
        removed: vec![],
    };
    for line in changes.lines() {
        let Some((status, path)) = line.split_once('\t') else {
            continue;
        };
        match status {
            "A" => commit.added.push(path.to_owned()),
            "D" => commit.removed.push(path.to_owned()),
            _ => commit.modified.push(path.to_owned()),
        }
    }
    Some(commit)
}
