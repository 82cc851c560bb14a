use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use metadata::{ObjectSource, SourceError, export_full};
use model::{Digest, GitObjectId, Sha, Slug};
use repos::{MetadataFile, MetadataFolder};
use sha2::{Digest as _, Sha256};

use crate::Git;

/// One commit with its metadata.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its id.
    pub sha: Sha,
    /// Path below `.renku/` → blob.
    pub files: BTreeMap<String, GitObjectId>,
    /// The contents.
    pub blobs: HashMap<GitObjectId, Bytes>,
    links: Vec<String>,
}

/// Why a commit has no graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failing(pub String);

/// The triples that a project's graph must hold, whatever its slug will be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedGraph {
    host: String,
    /// `subject predicate object `, the project's IRI written as `\0`.
    lines: Vec<String>,
}

impl Commit {
    /// Reads the metadata of a commit.
    pub fn read(git: &Git, sha: &str) -> Self {
        let listing = git.ok(&["ls-tree", "-r", "-z", sha, ".renku"]);
        let mut files = BTreeMap::new();
        for entry in listing.split_terminator('\0') {
            let (about, path) = entry.split_once('\t').expect("git lists mode, kind, id and path");
            let (mode, id) = (about.split(' ').next(), about.rsplit(' ').next());
            let path = path.strip_prefix(".renku/").expect("that is what was asked for");
            let is_metadata = path == "metadata.yml" || path.starts_with("metadata/");
            if is_metadata && mode.is_some_and(|mode| mode.starts_with("100")) {
                files.insert(
                    path.to_owned(),
                    id.and_then(|id| id.parse().ok()).expect("git writes ids"),
                );
            }
        }
        let mut ids: Vec<GitObjectId> = files.values().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let blobs = ids.iter().copied().zip(git.blobs(&ids)).collect();
        Self {
            sha: sha.parse().expect("git writes ids"),
            files,
            blobs,
            links: links(git, sha),
        }
    }

    /// What the CLI would export, computed from the commit without any of the pipeline but the exporter.
    pub fn graph(&self, host: &str) -> Result<ExpectedGraph, Failing> {
        let graph =
            export_full(self, rdf::Host::verbatim(host)).map_err(|error| Failing(error.to_string()))?;
        let mut text = Vec::new();
        graph
            .write(rdf::Format::NTriples, &mut text)
            .map_err(|error| Failing(error.to_string()))?;
        let lines = named_blanks(host, lines(&String::from_utf8(text).expect("it is text")));
        Ok(ExpectedGraph {
            host: host.to_owned(),
            lines,
        })
    }

    /// The files as they are fetched.
    pub fn folders(&self) -> Vec<MetadataFolder> {
        let mut groups: BTreeMap<String, Vec<MetadataFile>> = BTreeMap::new();
        for (path, blob) in &self.files {
            let first = path
                .strip_prefix("metadata/")
                .and_then(|rest| rest.split_once('/'))
                .map(|(first, _)| first);
            let is_key = |first: &&str| first.len() == 2 && first.bytes().all(|b| b.is_ascii_hexdigit());
            let key = first.filter(is_key).unwrap_or("").to_owned();
            let size = self.blobs[blob].len() as u64;
            groups.entry(key).or_default().push(MetadataFile {
                path: path.as_str().into(),
                blob: *blob,
                size,
            });
        }
        groups
            .into_iter()
            .map(|(key, files)| folder(key, files))
            .collect()
    }
}

fn folder(key: String, files: Vec<MetadataFile>) -> MetadataFolder {
    let mut hash = Sha256::new();
    for file in &files {
        hash.update(format!("{} {}\n", file.path, file.blob));
    }
    let name = hash.finalize()[..20].try_into().expect("20 bytes are 20 bytes");
    MetadataFolder {
        key,
        name: GitObjectId::new(name),
        files: Arc::from(files),
    }
}

/// Symlinks that go through `.renku/pointers` and end in the repository.
fn links(git: &Git, sha: &str) -> Vec<String> {
    let listing = git.ok(&["ls-tree", "-r", "-z", sha]);
    let entries = listing
        .split_terminator('\0')
        .filter_map(|entry| entry.split_once('\t'));
    let links: BTreeMap<&str, GitObjectId> = entries
        .filter(|(about, _)| about.starts_with("120000"))
        .filter_map(|(about, path)| Some((path, about.rsplit(' ').next()?.parse().ok()?)))
        .collect();
    let ids: Vec<GitObjectId> = links.values().copied().collect();
    let targets: HashMap<&str, String> = links
        .keys()
        .copied()
        .zip(
            git.blobs(&ids)
                .iter()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        )
        .collect();
    let mut found = Vec::new();
    for &path in targets.keys() {
        let mut through = false;
        let mut at = path.to_owned();
        for _ in 0..8 {
            let Some(target) = targets.get(at.as_str()) else {
                break;
            };
            let Some(next) = resolve(&at, target) else {
                at = String::new();
                break;
            };
            through |= next.starts_with(".renku/pointers/");
            at = next;
        }
        if through && !at.is_empty() && !targets.contains_key(at.as_str()) {
            found.push(path.to_owned());
        }
    }
    found
}

fn resolve(path: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

impl ObjectSource for Commit {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        Ok(self.files.get(path).map(|id| Cow::Borrowed(&self.blobs[id][..])))
    }

    fn is_linked(&self, path: &str) -> bool {
        self.links.iter().any(|link| link == path)
    }
}

/// Takes the final dot from each line and writes the project's IRI as `\0`.
fn lines(text: &str) -> Vec<String> {
    let is_project = " <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <http://schema.org/Project> .";
    let project = text
        .lines()
        .find_map(|line| line.strip_suffix(is_project))
        .expect("an export has a project")
        .trim_matches(['<', '>']);
    let (alone, images) = (format!("<{project}>"), format!("<{project}/images/"));
    let line = |line: &str| {
        let line = line.strip_suffix('.').expect("a triple ends in a dot");
        line.replace(&alone, "<\0>").replace(&images, "<\0/images/")
    };
    text.lines().map(line).collect()
}

/// The CLI writes nodes without an id as `https://HOST_:bN`. In a project's graph each has a name of its own: the id of the
/// object that has it, and its number there.
fn named_blanks(host: &str, lines: Vec<String>) -> Vec<String> {
    let (blank, own) = (format!("<https://{host}_:b"), format!("<https://{host}/"));
    let parts = |line: &str| {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        [(); 3].map(|()| parts.next().unwrap_or_default().trim_end().to_owned())
    };
    let number = |node: &str| node.strip_prefix(&blank)?.strip_suffix('>')?.parse::<u32>().ok();
    let mut below: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let mut owned: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for line in &lines {
        let [subject, _, object] = parts(line);
        match (number(&subject), number(&object)) {
            (Some(above), Some(node)) => _ = below.entry(above).or_default().insert(node),
            (None, Some(node)) => _ = owned.entry(subject).or_default().insert(node),
            _ => {}
        }
    }
    let mut names: HashMap<u32, String> = HashMap::new();
    for (owner, mut nodes) in owned {
        let mut left: Vec<u32> = nodes.iter().copied().collect();
        while let Some(node) = left.pop() {
            left.extend(
                below
                    .get(&node)
                    .into_iter()
                    .flatten()
                    .filter(|node| nodes.insert(**node)),
            );
        }
        let id = owner
            .strip_prefix(&own)
            .and_then(|id| id.strip_suffix('>'))
            .expect("owners have an id of this host");
        for (place, node) in nodes.into_iter().enumerate() {
            names.insert(node, format!("<https://{host}/.well-known/genid/{id}/{place}>"));
        }
    }
    let name = |node: &str| number(node).and_then(|number| names.get(&number).cloned());
    let line = |line: String| {
        let [subject, predicate, object] = parts(&line);
        match (name(&subject), name(&object)) {
            (None, None) => line,
            (s, o) => format!("{} {predicate} {} ", s.unwrap_or(subject), o.unwrap_or(object)),
        }
    };
    lines.into_iter().map(line).collect()
}

impl ExpectedGraph {
    /// The triples for a project of that slug, as `subject predicate object `, sorted.
    pub fn lines(&self, slug: &Slug) -> Vec<String> {
        let project = format!("https://{}/projects/{slug}", self.host);
        let mut lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| line.replace('\0', &project))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    /// SHA-256 over these lines, as the store computes it over what it holds.
    pub fn digest(&self, slug: &Slug) -> Digest {
        let mut hash = Sha256::new();
        for line in self.lines(slug) {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        Digest::new(hash.finalize().into())
    }
}
