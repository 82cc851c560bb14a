//! The same data in files: N-Quads for the peer, N-Triples of each visible set for the oracle, pieces for us.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::data::{OWN_NODE, Piece, Platform, Project, Visible};

/// Where the files of one platform are.
#[derive(Clone, Debug)]
pub struct Files {
    pub platform: Platform,
    pub folder: PathBuf,
    /// Distinct quads.
    pub quads: u64,
}

impl Files {
    /// Makes the files, unless they are there.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written.
    pub fn make(platform: Platform, parent: &Path) -> anyhow::Result<Self> {
        let Platform {
            seed,
            projects,
            activities,
        } = platform;
        let folder = parent.join(format!("data-{seed}-{projects}-{activities}"));
        let complete = folder.join("complete");
        if let Ok(quads) = std::fs::read_to_string(&complete) {
            let quads = quads
                .trim()
                .parse()
                .with_context(|| format!("read {}", complete.display()))?;
            return Ok(Self {
                platform,
                folder,
                quads,
            });
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let files = Self {
            platform,
            folder,
            quads: 0,
        };
        let quads = files.write()?;
        std::fs::write(&complete, quads.to_string())
            .with_context(|| format!("write {}", complete.display()))?;
        Ok(Self { quads, ..files })
    }

    /// All quads, graph by graph.
    #[must_use]
    pub fn quads_path(&self) -> PathBuf {
        self.folder.join("all.nq")
    }

    /// What the oracle adds for a visible set on top of the next smaller one: triples, and quads.
    #[must_use]
    pub fn part_path(&self, visible: Visible, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", visible.name()))
    }

    /// Our records.
    #[must_use]
    pub fn pieces_path(&self) -> PathBuf {
        self.folder.join("pieces")
    }

    fn write(&self) -> anyhow::Result<u64> {
        let create = |path: &Path| -> anyhow::Result<BufWriter<File>> {
            let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
            Ok(BufWriter::with_capacity(1 << 20, file))
        };
        let mut quads = create(&self.quads_path())?;
        let mut pieces = create(&self.pieces_path())?;
        let mut parts = Vec::new();
        for visible in Visible::EVERY {
            parts.push(create(&self.part_path(visible, "nt"))?);
        }
        let mut twenty = create(&self.part_path(Visible::Twenty, "nq"))?;
        let mut count = 0_u64;
        for number in 0..self.platform.projects {
            let project = self.platform.project(number);
            write_project(&mut pieces, &project)?;
            let graph = Platform::graph(&project.slug);
            let part = Visible::EVERY
                .iter()
                .rposition(|visible| visible.sees(self.platform, number))
                .unwrap_or(0);
            let mut distinct = Vec::new();
            for line in project.pieces.iter().flat_map(|piece| piece.text.lines()) {
                let triple = line.strip_suffix(" .").unwrap_or(line).replace(OWN_NODE, &graph);
                writeln!(quads, "{triple} {graph} .")?;
                writeln!(parts[part], "{triple} .")?;
                if Visible::EVERY[part] == Visible::Twenty {
                    writeln!(twenty, "{triple} {graph} .")?;
                }
                distinct.push(triple);
            }
            distinct.sort_unstable();
            distinct.dedup();
            count += distinct.len() as u64;
        }
        for mut file in parts.into_iter().chain([quads, pieces, twenty]) {
            file.flush().context("write the data")?;
        }
        Ok(count)
    }
}

fn write_project(out: &mut impl Write, project: &Project) -> anyhow::Result<()> {
    let text = |out: &mut dyn Write, text: &str| -> anyhow::Result<()> {
        out.write_all(&u32::try_from(text.len())?.to_le_bytes())?;
        out.write_all(text.as_bytes())?;
        Ok(())
    };
    out.write_all(&u32::try_from(project.number)?.to_le_bytes())?;
    text(out, &project.slug)?;
    out.write_all(&u32::try_from(project.pieces.len())?.to_le_bytes())?;
    for piece in &project.pieces {
        text(out, &piece.id)?;
        text(out, &piece.text)?;
        out.write_all(&Sha256::digest(piece.text.as_bytes()))?;
    }
    Ok(())
}

/// A project as a record would bring it: each piece with its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub number: usize,
    pub slug: String,
    pub pieces: Vec<(Piece, [u8; 32])>,
}

/// Reads projects back one by one.
#[derive(Debug)]
pub struct Records {
    input: BufReader<File>,
}

impl Records {
    /// # Errors
    /// The file is missing.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self {
            input: BufReader::with_capacity(1 << 20, file),
        })
    }

    fn number(&mut self) -> anyhow::Result<u32> {
        let mut bytes = [0; 4];
        self.input
            .read_exact(&mut bytes)
            .context("the pieces file ends too early")?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn text(&mut self) -> anyhow::Result<String> {
        let mut bytes = vec![0; self.number()? as usize];
        self.input
            .read_exact(&mut bytes)
            .context("the pieces file ends too early")?;
        Ok(String::from_utf8(bytes)?)
    }

    fn record(&mut self) -> anyhow::Result<Record> {
        let number = self.number()? as usize;
        let slug = self.text()?;
        let mut pieces = Vec::new();
        for _ in 0..self.number()? {
            let piece = Piece {
                id: self.text()?,
                text: self.text()?,
            };
            let mut digest = [0; 32];
            self.input
                .read_exact(&mut digest)
                .context("the pieces file ends too early")?;
            pieces.push((piece, digest));
        }
        Ok(Record { number, slug, pieces })
    }
}

impl Iterator for Records {
    type Item = anyhow::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        match std::io::BufRead::fill_buf(&mut self.input) {
            Ok([]) => None,
            Ok(_) => Some(self.record()),
            Err(error) => Some(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let platform = Platform {
            seed: 3,
            projects: 80,
            activities: 4,
        };
        let files = Files::make(platform, folder.path()).unwrap();
        let records: Vec<Record> = Records::open(&files.pieces_path())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(records.len(), 80);
        let project = platform.project(79);
        assert_eq!(records[79].slug, project.slug);
        assert!(
            records[79]
                .pieces
                .iter()
                .map(|(piece, _)| piece)
                .eq(project.pieces.iter())
        );
        let quads = std::fs::read_to_string(files.quads_path()).unwrap();
        let distinct: std::collections::BTreeSet<&str> = quads.lines().collect();
        assert_eq!(distinct.len() as u64, files.quads);
        let parts: usize = Visible::EVERY
            .iter()
            .map(|visible| {
                std::fs::read_to_string(files.part_path(*visible, "nt"))
                    .unwrap()
                    .lines()
                    .count()
            })
            .sum();
        assert_eq!(parts, quads.lines().count());
        assert_eq!(Files::make(platform, folder.path()).unwrap().quads, files.quads);
    }
}
