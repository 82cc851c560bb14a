//! Generated projects into bare git repositories, through `git fast-import`.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::{File, RenkuRepo, Shape};
use crate::measure::child;

/// The branch that generated repositories have.
pub const BRANCH: &str = "master";

/// Makes a bare repository with the first commit and `pushes` more, each one activity. Gives the commit
/// ids, oldest first; the branch is at the newest.
///
/// # Errors
/// `git` is missing or refuses, or the disk is full.
pub fn write_repository(shape: &Shape, pushes: usize, folder: &Path) -> anyhow::Result<Vec<String>> {
    child::output(
        Command::new("git")
            .args(["init", "-q", "--bare", "-b", BRANCH])
            .arg(folder),
    )?;
    let mut git = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .context("start git fast-import")?;
    let mut stream = BufWriter::new(
        git.stdin
            .take()
            .context("git fast-import has no standard input")?,
    );
    let (mut repo, files) = RenkuRepo::new(shape.clone());
    write_commit(&mut stream, 0, "Import", &files)?;
    drop(files);
    for push in 1..=pushes {
        write_commit(&mut stream, push, "renku run", &repo.push())?;
    }
    stream.flush().context("write to git fast-import")?;
    drop(stream);
    anyhow::ensure!(git.wait()?.success(), "git fast-import refused the stream");
    let list =
        child::output(
            Command::new("git")
                .arg("-C")
                .arg(folder)
                .args(["rev-list", "--reverse", BRANCH]),
        )?;
    Ok(String::from_utf8(list)?.lines().map(str::to_owned).collect())
}

fn write_commit(stream: &mut impl Write, number: usize, message: &str, files: &[File]) -> anyhow::Result<()> {
    let seconds = 1_704_067_200 + number * 60;
    write!(
        stream,
        "commit refs/heads/{BRANCH}\ncommitter Jane Doe <jane@example.com> {seconds} +0000\ndata {}\n{message}\n",
        message.len()
    )?;
    for file in files {
        write!(
            stream,
            "M 100644 inline {}\ndata {}\n",
            file.path,
            file.bytes.len()
        )?;
        stream.write_all(&file.bytes)?;
        stream.write_all(b"\n")?;
    }
    stream.write_all(b"\n")?;
    Ok(())
}
