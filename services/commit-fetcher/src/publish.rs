//! The claim check: makes everything that a commits record names readable before the record is written.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobError, Blobs};
use bytes::Bytes;
use events::{ATTACH_LIMIT, Attachment, EncodeError, SectionRef, Sha256, attach_if_small};
use model::{BlobName, GitObjectId, ProjectId};
use repos::MetadataFolder;

use crate::edges::{ContentSource, FetchError, Fetched};
use crate::sections::{Earlier, Section, SectionCache, encode_section};

/// The most bytes of files that are in memory at once on their way to the blob store.
const BATCH_BYTES: u64 = 8 << 20;
/// The most names that one question to the blob store has.
const BATCH_NAMES: usize = 4_096;
/// Lists of more files than this are written on a thread of their own: it takes some 10 ms and more.
const OFF_THREAD: usize = 2_000;

/// Why content could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The blob store.
    #[error("the content could not be stored")]
    Blobs(#[from] BlobError),
    /// A file could not be read from the repository.
    #[error("the content could not be read")]
    Content(#[from] FetchError),
    /// A defect.
    #[error("a section could not be written")]
    Encode(#[from] EncodeError),
    /// The thread that wrote sections ended: a defect, or the process is going.
    #[error("the sections could not be written")]
    Thread(#[from] tokio::task::JoinError),
    /// A failpoint.
    #[error(transparent)]
    Tripped(#[from] runtime::Tripped),
}

/// How content travels.
#[derive(Debug)]
pub struct Published {
    /// For the record.
    pub sections: Vec<SectionRef>,
    /// For the record; empty when all is in the blob store.
    pub attached: Vec<Attachment>,
    /// Values and bytes newly put into the blob store.
    pub stored: (usize, u64),
}

/// Publishes what was fetched: small content whole with the record, other content in the blob store, where sections
/// and files that are there already are only made young again. `now` is the monotonic clock's.
pub async fn publish(
    project: ProjectId,
    fetched: &Fetched,
    content: &dyn ContentSource,
    blobs: &dyn Blobs,
    cache: &Arc<SectionCache>,
    now: Duration,
) -> Result<Published, PublishError> {
    let (folders, known) = (fetched.folders.clone(), cache.clone());
    let files: usize = folders.iter().map(|folder| folder.files.len()).sum();
    let sections = if files > OFF_THREAD {
        tokio::task::spawn_blocking(move || plan(folders, &known)).await??
    } else {
        plan(folders, &known)?
    };
    let total: u64 = sections
        .iter()
        .map(|(_, s, _)| s.own_bytes as u64 + s.file_bytes)
        .sum();
    if total <= ATTACH_LIMIT as u64
        && let Some(attached) = attach(project, &sections, content).await?
    {
        return Ok(Published {
            sections: refs(&sections),
            attached,
            stored: (0, 0),
        });
    }
    let commit = fetched.head.sha;
    let is_stored = |section: &Planned| cache.is_stored(section.1.named.digest, commit, now);
    let unsure = sections.iter().filter(|section| !is_stored(section));
    let unsure: Vec<Unsure<'_>> = unsure
        .map(|section| Unsure {
            section,
            earlier: cache.earlier(project, &section.0),
        })
        .collect();
    let stored = store(project, &unsure, content, blobs).await?;
    for (folder, section, _) in unsure.iter().map(|unsure| unsure.section) {
        cache.note_stored(section.named.digest, commit, now);
        cache.note_published(project, folder, section.named.digest);
    }
    Ok(Published {
        sections: refs(&sections),
        attached: Vec::new(),
        stored,
    })
}

type Planned = (MetadataFolder, Section, Option<Bytes>);

/// A section that the blob store may not have.
struct Unsure<'a> {
    section: &'a Planned,
    /// The same section of an earlier commit.
    earlier: Option<Earlier>,
}

fn plan(folders: Vec<MetadataFolder>, cache: &SectionCache) -> Result<Vec<Planned>, EncodeError> {
    let mut sections = Vec::with_capacity(folders.len());
    for folder in folders.into_iter().filter(|folder| !folder.files.is_empty()) {
        let (section, bytes) = cache.section(&folder)?;
        sections.push((folder, section, bytes));
    }
    sections.sort_by(|a, b| a.1.named.key.cmp(&b.1.named.key));
    Ok(sections)
}

fn refs(sections: &[Planned]) -> Vec<SectionRef> {
    sections
        .iter()
        .map(|(_, section, _)| section.named.clone())
        .collect()
}

fn bytes_of((folder, _, bytes): &Planned) -> Result<Bytes, EncodeError> {
    match bytes {
        Some(bytes) => Ok(bytes.clone()),
        None => encode_section(folder).map(|(_, bytes)| bytes),
    }
}

async fn attach(
    project: ProjectId,
    sections: &[Planned],
    content: &dyn ContentSource,
) -> Result<Option<Vec<Attachment>>, PublishError> {
    let mut ids: Vec<GitObjectId> = sections
        .iter()
        .flat_map(|(folder, ..)| folder.files.iter().map(|file| file.blob))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let mut named = Vec::with_capacity(sections.len() + ids.len());
    for section in sections {
        named.push((BlobName::Digest(section.1.named.digest.0), bytes_of(section)?));
    }
    let files = content.read(project, &ids).await?;
    named.extend(ids.into_iter().map(BlobName::Git).zip(files));
    Ok(attach_if_small(&named))
}

async fn store(
    project: ProjectId,
    sections: &[Unsure<'_>],
    content: &dyn ContentSource,
    blobs: &dyn Blobs,
) -> Result<(usize, u64), PublishError> {
    let earlier = sections.iter().filter_map(|unsure| unsure.earlier.as_ref());
    let digests = sections.iter().map(|unsure| unsure.section.1.named.digest);
    let digests = digests.chain(earlier.map(|earlier| earlier.digest));
    let names: Vec<BlobName> = digests.map(|digest| BlobName::Digest(digest.0)).collect();
    let there = blobs.touch_many(&names).await?;
    let there: HashSet<BlobName> = names
        .into_iter()
        .zip(there)
        .filter_map(|(name, there)| there.then_some(name))
        .collect();
    let is_there = |digest: &Sha256| there.contains(&BlobName::Digest(digest.0));
    let mut missing: Vec<&Planned> = Vec::new();
    let mut sizes: BTreeMap<GitObjectId, u64> = BTreeMap::new();
    for unsure in sections {
        if is_there(&unsure.section.1.named.digest) {
            continue;
        }
        missing.push(unsure.section);
        let earlier = unsure.earlier.as_ref().filter(|e| is_there(&e.digest));
        let files = unsure.section.0.files.iter();
        let files = files.filter(|file| !earlier.is_some_and(|earlier| earlier.names(file)));
        sizes.extend(files.map(|file| (file.blob, file.size)));
    }
    let mut stored = (0, 0);
    let mut put = async |values: Vec<(BlobName, Bytes)>| {
        stored.0 += values.len();
        stored.1 += values.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        blobs.put_many(values).await
    };
    // Files before the sections that name them: once a section is there, all that it names is. The last files go
    // together with the sections, so that a usual push waits for the disk once.
    let mut waiting: Vec<(BlobName, Bytes)> = Vec::new();
    let files: Vec<(GitObjectId, u64)> = sizes.into_iter().collect();
    for asked in files.chunks(BATCH_NAMES) {
        let names: Vec<BlobName> = asked.iter().map(|(id, _)| BlobName::Git(*id)).collect();
        let there = blobs.touch_many(&names).await?;
        let absent = asked
            .iter()
            .zip(there)
            .filter(|(_, there)| !there)
            .map(|(file, _)| *file);
        for batch in batches(absent) {
            if !waiting.is_empty() {
                put(std::mem::take(&mut waiting)).await?;
                runtime::failpoint!("commit-fetcher.between-blobs")?;
            }
            let values = content.read(project, &batch).await?;
            waiting = batch.into_iter().map(BlobName::Git).zip(values).collect();
        }
    }
    // The same section under two keys is one blob.
    let mut seen = HashSet::new();
    for section in missing {
        let name = BlobName::Digest(section.1.named.digest.0);
        if seen.insert(name) {
            waiting.push((name, bytes_of(section)?));
        }
    }
    if !waiting.is_empty() {
        put(waiting).await?;
    }
    Ok(stored)
}

/// Cuts files into batches of bounded size. One file is always a batch, whatever its size.
fn batches(files: impl Iterator<Item = (GitObjectId, u64)>) -> Vec<Vec<GitObjectId>> {
    let mut batches: Vec<Vec<GitObjectId>> = Vec::new();
    let mut bytes = BATCH_BYTES;
    for (id, size) in files {
        match batches.last_mut() {
            Some(batch) if bytes + size <= BATCH_BYTES => {
                batch.push(id);
                bytes += size;
            }
            _ => {
                batches.push(vec![id]);
                bytes = size;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded() {
        let id = |n: u8| GitObjectId::new([n; 20]);
        let sizes = [
            (1, BATCH_BYTES),
            (2, 1),
            (3, BATCH_BYTES - 1),
            (4, 1),
            (5, 3 * BATCH_BYTES),
        ];
        let batches = batches(sizes.into_iter().map(|(n, size)| (id(n), size)));
        assert_eq!(
            batches,
            [vec![id(1)], vec![id(2), id(3)], vec![id(4)], vec![id(5)]]
        );
    }
}
