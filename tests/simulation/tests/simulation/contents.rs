//! What projects may contain: commits of the fixture repositories, with the graph that each must become.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use metadata::{ObjectSource, SourceError, export_full};
use model::{GitObjectId, Sha, Slug};
use repos::{MetadataFile, MetadataFolder};
use sha2::{Digest, Sha256};

pub const HOST: &str = "renku.test";

/// Fixture, and which of its first-parent commits: every so many.
const FIXTURES: [(&str, usize); 3] = [("project-meta", 1), ("datasets-basic", 5), ("empty-init", 1)];

pub struct Contents {
    pub versions: Vec<Version>,
    pub blobs: HashMap<GitObjectId, Bytes>,
}

/// One commit.
pub struct Version {
    pub name: String,
    pub sha: Sha,
    pub folders: Vec<MetadataFolder>,
    /// The export's lines, the project's IRI written `\0`.
    lines: Vec<String>,
}

pub static CONTENTS: LazyLock<Contents> = LazyLock::new(load);

impl Version {
    /// The triples that the store must hold for a project of that slug, as `subject predicate object`, sorted.
    pub fn expected(&self, slug: &Slug) -> Vec<String> {
        let project = format!("https://{HOST}/projects/{slug}");
        let mut lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| line.replace('\0', &project))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the git program is needed");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

fn load() -> Contents {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let folder = tempfile::tempdir().unwrap();
    let mut contents = Contents {
        versions: Vec::new(),
        blobs: HashMap::new(),
    };
    for (name, every) in FIXTURES {
        let bundle = fixtures.join(format!("{name}.bundle"));
        let clone = folder.path().join(name);
        git(
            folder.path(),
            &[
                "clone",
                "-q",
                "--bare",
                bundle.to_str().unwrap(),
                clone.to_str().unwrap(),
            ],
            b"",
        );
        let commits = String::from_utf8(git(&clone, &["rev-list", "--first-parent", "HEAD"], b"")).unwrap();
        for sha in commits.lines().step_by(every) {
            contents.add(&clone, name, sha);
        }
    }
    assert!(
        contents.versions.len() >= 8,
        "{} commits with metadata",
        contents.versions.len()
    );
    contents
}

impl Contents {
    fn add(&mut self, clone: &Path, name: &str, sha: &str) {
        let listing = git(
            clone,
            &[
                "ls-tree",
                "-r",
                "-z",
                sha,
                ".renku/metadata",
                ".renku/metadata.yml",
            ],
            b"",
        );
        let mut files: BTreeMap<String, GitObjectId> = BTreeMap::new();
        for entry in String::from_utf8(listing).unwrap().split_terminator('\0') {
            let (about, path) = entry.split_once('\t').unwrap();
            let id = about.rsplit(' ').next().unwrap().parse().unwrap();
            files.insert(path.strip_prefix(".renku/").unwrap().to_owned(), id);
        }
        for id in files.values() {
            if !self.blobs.contains_key(id) {
                let bytes = git(clone, &["cat-file", "blob", &id.to_string()], b"");
                self.blobs.insert(*id, bytes.into());
            }
        }
        let source = Files {
            files: &files,
            blobs: &self.blobs,
        };
        // Early commits of a project may not have a database yet.
        let Ok(graph) = export_full(&source, rdf::Host::verbatim(HOST)) else {
            return;
        };
        let mut text = Vec::new();
        graph.write(rdf::Format::NTriples, &mut text).unwrap();
        let lines = lines(&String::from_utf8(text).unwrap());
        let folders = folders(&files, &self.blobs);
        let version = format!("{name}@{}", &sha[..7]);
        self.versions.push(Version {
            name: version,
            sha: sha.parse().unwrap(),
            folders,
            lines,
        });
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
    text.lines()
        .map(|line| {
            line.strip_suffix('.')
                .unwrap()
                .replace(&alone, "<\0>")
                .replace(&images, "<\0/images/")
        })
        .collect()
}

fn folders(
    files: &BTreeMap<String, GitObjectId>,
    blobs: &HashMap<GitObjectId, Bytes>,
) -> Vec<MetadataFolder> {
    let mut groups: BTreeMap<String, Vec<MetadataFile>> = BTreeMap::new();
    for (path, blob) in files {
        let first = path
            .strip_prefix("metadata/")
            .and_then(|rest| rest.split_once('/'))
            .map(|(first, _)| first);
        let key = first
            .filter(|f| f.len() == 2 && f.bytes().all(|b| b.is_ascii_hexdigit()))
            .unwrap_or("");
        let size = blobs[blob].len() as u64;
        groups.entry(key.to_owned()).or_default().push(MetadataFile {
            path: path.as_str().into(),
            blob: *blob,
            size,
        });
    }
    let folder = |(key, files): (String, Vec<MetadataFile>)| {
        let mut hash = Sha256::new();
        for file in &files {
            hash.update(format!("{} {}\n", file.path, file.blob));
        }
        let name = GitObjectId::new(hash.finalize()[..20].try_into().unwrap());
        MetadataFolder {
            key,
            name,
            files: Arc::from(files),
        }
    };
    groups.into_iter().map(folder).collect()
}

struct Files<'a> {
    files: &'a BTreeMap<String, GitObjectId>,
    blobs: &'a HashMap<GitObjectId, Bytes>,
}

impl ObjectSource for Files<'_> {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        Ok(self.files.get(path).map(|id| Cow::Borrowed(&self.blobs[id][..])))
    }

    fn is_linked(&self, _path: &str) -> bool {
        false
    }
}
