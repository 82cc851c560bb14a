//! What commits changed below `.renku/metadata`, as `git rev-list` and `git diff-tree -r -M` tell it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::path::Path;

use git2::{Commit, Delta, DiffFindOptions, Oid, Repository, Sort, Tree};

use super::{LocalError, LocalRepository};

/// git's default for `diff.renameLimit`.
const RENAME_LIMIT: usize = 1000;

pub(super) fn names(repository: &LocalRepository, spec: &str) -> Result<Vec<String>, LocalError> {
    let git = &repository.git;
    let commits = if spec.contains("..") {
        match range(git, spec) {
            Ok(commits) => commits,
            Err(_) => return Ok(Vec::new()),
        }
    } else {
        vec![repository.commit(spec)?.id()]
    };
    let mut names = Vec::new();
    for id in commits {
        changed_by(git, &git.find_commit(id)?, &mut names)?;
    }
    Ok(names)
}

/// The commits of `A..B`, `A...B`, `A..`, `..B`, in the order of `git rev-list`.
fn range(git: &Repository, spec: &str) -> Result<Vec<Oid>, git2::Error> {
    let find = |name: &str| {
        let name = if name.is_empty() { "HEAD" } else { name };
        git.revparse_single(name)?
            .peel_to_commit()
            .map(|commit| commit.id())
    };
    let (tips, hidden) = match spec.split_once("...") {
        Some((a, b)) => {
            let (a, b) = (find(a)?, find(b)?);
            let bases = git
                .merge_bases(a, b)
                .map_or_else(|_| Vec::new(), |bases| bases.to_vec());
            (vec![a, b], bases)
        }
        None => {
            let (a, b) = spec.split_once("..").unwrap_or((spec, ""));
            (vec![find(b)?], vec![find(a)?])
        }
    };
    let mut walk = git.revwalk()?;
    walk.set_sorting(Sort::NONE)?;
    for &tip in &tips {
        walk.push(tip)?;
    }
    for id in hidden {
        walk.hide(id)?;
    }
    let wanted = walk.collect::<Result<HashSet<Oid>, _>>()?;
    in_order(git, &tips, &wanted)
}

/// git's default order: of the commits whose child was given, the newest next; of equals the one that was found first.
fn in_order(git: &Repository, tips: &[Oid], wanted: &HashSet<Oid>) -> Result<Vec<Oid>, git2::Error> {
    let mut queue = BinaryHeap::new();
    let mut found = HashSet::new();
    let mut add = |queue: &mut BinaryHeap<_>, id: Oid| -> Result<(), git2::Error> {
        if wanted.contains(&id) && found.insert(id) {
            let seconds = git.find_commit(id)?.time().seconds();
            queue.push((seconds, Reverse(found.len()), id));
        }
        Ok(())
    };
    for &tip in tips {
        add(&mut queue, tip)?;
    }
    let mut order = Vec::with_capacity(wanted.len());
    while let Some((_, _, id)) = queue.pop() {
        order.push(id);
        for parent in git.find_commit(id)?.parent_ids() {
            add(&mut queue, parent)?;
        }
    }
    Ok(order)
}

/// A root commit is compared with nothing, a commit with one parent with that; a merge counts for nothing.
fn changed_by(git: &Repository, commit: &Commit<'_>, names: &mut Vec<String>) -> Result<(), git2::Error> {
    let old = match commit.parent_count() {
        0 => None,
        1 => metadata(git, &commit.parent(0)?.tree()?),
        _ => return Ok(()),
    };
    let new = metadata(git, &commit.tree()?);
    let mut diff = git.diff_tree_to_tree(old.as_ref(), new.as_ref(), None)?;
    diff.find_similar(Some(
        DiffFindOptions::new().renames(true).rename_limit(RENAME_LIMIT),
    ))?;
    let mut changes: Vec<(Vec<u8>, String)> = diff
        .deltas()
        .filter(|delta| delta.status() != Delta::Deleted)
        .filter_map(|delta| {
            let place = delta.new_file().path_bytes()?.to_vec();
            let path = match delta.status() {
                Delta::Renamed => delta.old_file().path(),
                _ => delta.new_file().path(),
            };
            let name = path?.file_name()?.to_str()?.to_owned();
            Some((place, name))
        })
        .collect();
    changes.sort();
    names.extend(changes.into_iter().map(|(_, name)| name));
    Ok(())
}

fn metadata<'g>(git: &'g Repository, tree: &Tree<'_>) -> Option<Tree<'g>> {
    let entry = tree.get_path(Path::new(".renku/metadata")).ok()?;
    git.find_tree(entry.id()).ok()
}
