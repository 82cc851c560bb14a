use std::path::{Path, PathBuf};

use git2::Oid;

use super::damaged;
use super::shelf::Mirror;
use crate::fetch::FetchError;

/// Packs below this size are joined when there are many of them.
const SMALL: u64 = 4 << 20;
/// Each fetch adds a small pack; a look-up asks them one after the other.
const MANY: usize = 64;

pub(super) fn tidy(mirror: &mut Mirror, mirror_bytes: u64) -> Result<(), FetchError> {
    let folder = mirror.path().join("objects/pack");
    let mut packs = Vec::new();
    let mut bytes = 0;
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            let size = entry.metadata().map(|metadata| metadata.len()).unwrap_or(0);
            bytes += size;
            if size < SMALL {
                packs.push(path);
            }
        }
    }
    if bytes > mirror_bytes {
        return mirror.delete();
    }
    if packs.len() < MANY {
        // An open repository holds on to what it has read, of every pack some. Opening it again costs about a millisecond.
        mirror.close();
        return Ok(());
    }
    let joined = join(mirror, &packs)?;
    // The open repository knows the packs that go now.
    mirror.close();
    for pack in packs.iter().filter(|pack| !is_named(pack, &joined)) {
        // The index first: a pack without one is not looked at.
        let _ = std::fs::remove_file(pack.with_extension("idx"));
        let _ = std::fs::remove_file(pack);
    }
    Ok(())
}

fn is_named(pack: &Path, name: &str) -> bool {
    pack.file_stem().and_then(|stem| stem.to_str()) == Some(&format!("pack-{name}"))
}

/// Writes one pack with all objects of `packs`; gives its name.
fn join(mirror: &mut Mirror, packs: &[PathBuf]) -> Result<String, FetchError> {
    let folder = mirror.path().join("objects/pack");
    let (repository, _) = mirror.repository()?;
    let mut builder = repository.packbuilder().map_err(damaged)?;
    builder.set_threads(1);
    for pack in packs {
        let index = std::fs::read(pack.with_extension("idx"))
            .map_err(|error| FetchError::Mirror(error.to_string()))?;
        for oid in ids(&index).ok_or_else(|| FetchError::Mirror("an index of a pack is damaged".into()))? {
            builder.insert_object(oid, None).map_err(damaged)?;
        }
    }
    builder.write(&folder, 0o444).map_err(damaged)?;
    builder
        .name()
        .map(str::to_owned)
        .ok_or_else(|| FetchError::Mirror("a joined pack has no name".into()))
}

/// The object ids of a pack index, version 2: magic, version, 256 counts, then the sorted ids.
fn ids(index: &[u8]) -> Option<impl Iterator<Item = Oid> + '_> {
    const IDS: usize = 8 + 256 * 4;
    index.strip_prefix(b"\xfftOc\0\0\0\x02")?;
    let count = u32::from_be_bytes(index.get(IDS - 4..IDS)?.try_into().ok()?) as usize;
    let ids = index.get(IDS..IDS.checked_add(count.checked_mul(20)?)?)?;
    Some(ids.chunks_exact(20).filter_map(|id| Oid::from_bytes(id).ok()))
}
