use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::Repository;
use model::ProjectId;
use parking_lot::lock_api::ArcMutexGuard;
use parking_lot::{Mutex, RawMutex};

use super::damaged;
use crate::fetch::FetchError;

/// Repositories kept open.
const OPEN: usize = 64;

/// All mirrors. Whoever takes one has it alone until he lets it go.
pub(super) struct Shelf {
    folder: PathBuf,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    mirrors: HashMap<ProjectId, (Arc<Mutex<State>>, u64)>,
    turn: u64,
}

#[derive(Default)]
struct State {
    repository: Option<Repository>,
    /// What an interrupted process left behind was cleared away.
    swept: bool,
}

/// One project's mirror, taken.
pub(super) struct Mirror {
    path: PathBuf,
    state: ArcMutexGuard<RawMutex, State>,
}

impl Shelf {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            open: Mutex::default(),
        }
    }

    pub(super) fn take(&self, project: ProjectId) -> Mirror {
        let state = {
            let mut open = self.open.lock();
            open.turn += 1;
            let turn = open.turn;
            let state = {
                let (state, used) = open.mirrors.entry(project).or_default();
                *used = turn;
                state.clone()
            };
            open.close_idle();
            state
        };
        // 256 folders, so that no folder grows without bound.
        let path = self
            .folder
            .join(format!("{:02x}", project.get() % 256))
            .join(format!("{project}.git"));
        Mirror {
            path,
            state: state.lock_arc(),
        }
    }
}

impl Open {
    /// Closes what was not used for the longest time. A mirror that somebody has, or waits for, stays.
    fn close_idle(&mut self) {
        while self.mirrors.len() > OPEN {
            let idle = self
                .mirrors
                .iter()
                .filter(|(_, (state, _))| Arc::strong_count(state) == 1)
                .min_by_key(|(_, (_, used))| *used)
                .map(|(project, _)| *project);
            match idle {
                Some(project) => self.mirrors.remove(&project),
                None => return,
            };
        }
    }
}

impl Mirror {
    /// The repository, and whether it was made just now.
    pub(super) fn repository(&mut self) -> Result<(&Repository, bool), FetchError> {
        let mut fresh = false;
        // Somebody may have deleted the folder behind our back.
        if self.state.repository.is_some() && !self.path.join("HEAD").exists() {
            self.state.repository = None;
        }
        if !self.state.swept {
            sweep(&self.path.join("objects/pack"));
            self.state.swept = true;
        }
        if self.state.repository.is_none() {
            let repository = match Repository::open_bare(&self.path) {
                Ok(repository) => repository,
                Err(_) => {
                    fresh = true;
                    self.delete()?;
                    make(&self.path)?
                }
            };
            self.state.repository = Some(repository);
        }
        match &self.state.repository {
            Some(repository) => Ok((repository, fresh)),
            None => Err(FetchError::Mirror("it is not open".into())),
        }
    }

    pub(super) fn close(&mut self) {
        self.state.repository = None;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn delete(&mut self) -> Result<(), FetchError> {
        self.close();
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FetchError::Mirror(format!(
                "{} cannot be deleted: {error}",
                self.path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// How many more looks go to the archive without trying git first.
    pub(super) fn archive_looks(&self) -> u32 {
        std::fs::read_to_string(self.path.join(ARCHIVE))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    pub(super) fn note_archive_looks(&self, looks: u32) -> Result<(), FetchError> {
        std::fs::write(self.path.join(ARCHIVE), looks.to_string()).map_err(|error| {
            FetchError::Mirror(format!("{} cannot be written: {error}", self.path.display()))
        })
    }
}

const ARCHIVE: &str = "renku-archive-looks";

fn make(path: &Path) -> Result<Repository, FetchError> {
    let mut options = git2::RepositoryInitOptions::new();
    // No template of the machine: hooks and the like have no place here.
    options.bare(true).external_template(false).mkpath(true);
    Repository::init_opts(path, &options).map_err(damaged)
}

/// Unfinished packs of a process that ended in the middle.
fn sweep(packs: &Path) {
    for entry in std::fs::read_dir(packs).into_iter().flatten().flatten() {
        let finished = entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "pack" || extension == "idx");
        if !finished {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
