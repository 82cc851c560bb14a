//! The programs that we are measured against, installed from their package index into a cache folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::measure::child;

/// Version of the `renku` command line, the one whose output is reproduced.
pub const RENKU: &str = "2.9.4";
/// Version of Oxigraph's Python package; the same engine that our store stands under.
pub const PYOXIGRAPH: &str = "0.5.13";

/// The installed `renku` command line.
#[derive(Clone, Debug)]
pub struct RenkuCli {
    program: PathBuf,
    home: PathBuf,
    path: String,
}

impl RenkuCli {
    /// Installs it where it is missing (about half a minute, 260 MB).
    ///
    /// # Errors
    /// No Python 3.11, no package index, no `git`.
    pub fn install(cache: &Path) -> anyhow::Result<Self> {
        let python = virtual_environment(&cache.join("renku-venv"), &format!("renku=={RENKU}"))?;
        let programs = python.parent().context("python has no folder")?.to_owned();
        let home = cache.join("renku-home");
        if !home.join(".gitconfig").exists() {
            std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
            for (key, value) in [("user.name", "Jane Doe"), ("user.email", "jane@example.com")] {
                let config = home.join(".gitconfig");
                child::output(
                    Command::new("git")
                        .args(["config", "--file"])
                        .arg(config)
                        .args([key, value]),
                )?;
            }
        }
        Ok(Self {
            program: programs.join("renku"),
            path: format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()),
            home,
        })
    }

    /// `renku graph export` of the repository in a folder, not strict.
    #[must_use]
    pub fn export(&self, repository: &Path, format: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["graph", "export", "--format", format])
            .current_dir(repository)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", &self.path)
            .env("LANG", "C.UTF-8")
            .env("RENKU_DISABLE_VERSION_CHECK", "1");
        command
    }
}

/// Python with pyoxigraph in it.
///
/// # Errors
/// No Python 3.11, no package index.
pub fn pyoxigraph(cache: &Path) -> anyhow::Result<PathBuf> {
    virtual_environment(
        &cache.join("pyoxigraph-venv"),
        &format!("pyoxigraph=={PYOXIGRAPH}"),
    )
}

/// Makes a virtual environment with one package, unless it was made before; gives its Python.
fn virtual_environment(folder: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let python = folder.join("bin/python");
    let complete = folder.join(".complete");
    if std::fs::read_to_string(&complete).is_ok_and(|made_of| made_of == package) {
        return Ok(python);
    }
    child::output(
        Command::new("python3.11")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
    )
    .context("a Python 3.11 with venv is needed for the peers")?;
    child::output(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]))?;
    std::fs::write(&complete, package).with_context(|| format!("write {}", complete.display()))?;
    Ok(python)
}
