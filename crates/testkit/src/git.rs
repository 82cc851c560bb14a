use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bytes::Bytes;
use model::GitObjectId;

/// A repository, by way of the `git` program.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
}

impl Git {
    /// Clones without a work tree.
    pub fn clone_bare(from: &Path, to: &Path) -> Self {
        let git = Self {
            folder: std::env::temp_dir(),
        };
        git.ok(&[
            "clone",
            "-q",
            "--bare",
            &from.to_string_lossy(),
            &to.to_string_lossy(),
        ]);
        Self {
            folder: to.to_owned(),
        }
    }

    /// One that is there.
    pub fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder).args(arguments);
        // Nothing of the machine's own settings may change what happens.
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        command
    }

    /// Runs it, whatever comes of it.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the git program is needed")
    }

    /// Runs it and gives what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("git printed text")
    }

    /// The commits of a branch's first-parent line, oldest first.
    pub fn line_of(&self, branch: &str) -> Vec<String> {
        let listed = self.ok(&["rev-list", "--first-parent", "--reverse", branch]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Contents of blobs, in the order asked for.
    pub fn blobs(&self, ids: &[GitObjectId]) -> Vec<Bytes> {
        let mut child = self
            .command(&["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the git program is needed");
        let mut input = child.stdin.take().expect("it is piped");
        let asked: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let read = ids.iter().map(|id| {
            let mut header = String::new();
            output.read_line(&mut header).expect("git answers");
            let size = header
                .trim()
                .rsplit(' ')
                .next()
                .and_then(|size| size.parse::<usize>().ok());
            let mut bytes = vec![0; size.unwrap_or_else(|| panic!("blob {id}: {header}")) + 1];
            output.read_exact(&mut bytes).expect("git answers");
            bytes.pop();
            Bytes::from(bytes)
        });
        let read = read.collect();
        writer
            .join()
            .expect("it does not panic")
            .expect("git reads what it is asked");
        child.wait().expect("it ends");
        read
    }
}
