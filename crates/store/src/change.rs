//! What is told to the store.

use std::fmt;

use model::{Day, Digest, Generation, Slug, StateVersion, UserId, Visibility};
use sha2::Digest as _;

use crate::error::StoreError;
use crate::row::{Put, Take};

/// What GitLab says of a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The version of these facts.
    pub state_version: StateVersion,
    /// The look that they came from.
    pub generation: Generation,
    /// None: the project is gone, and visible to nobody.
    pub live: Option<LiveFacts>,
    /// Everything else, for those who answer with it; the store does not look inside.
    pub payload: Vec<u8>,
}

/// The facts that reading depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveFacts {
    /// Names the graph and the project's node.
    pub slug: Slug,
    /// Who may see it at all.
    pub visibility: Visibility,
    /// Who may see it though it is private, by user.
    pub members: Vec<FactsMember>,
}

/// A member, as far as reading depends on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FactsMember {
    /// Whom GitLab means.
    pub user: UserId,
    /// The first day without access; none: no end.
    pub until: Option<Day>,
}

impl Facts {
    /// Which of two replaces the other: the later version; of one version the larger digest; gone is the smallest.
    pub(crate) fn rank(&self) -> (StateVersion, Digest) {
        let tie = match &self.live {
            None => Digest::new([0; 32]),
            Some(_) => Digest::new(sha2::Sha256::digest(self.write()).into()),
        };
        (self.state_version, tie)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let put = Put::default()
            .u64(self.state_version.get())
            .u64(self.generation.get());
        let put = match &self.live {
            None => put.u8(0),
            Some(live) => live.members.iter().fold(
                put.u8(1 + live.visibility as u8)
                    .bytes(live.slug.as_str().as_bytes())
                    .u32(live.members.len() as u32),
                |put, member| put.u32(member.user.get()).u32(until_code(member.until)),
            ),
        };
        put.bytes(&self.payload).0
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut take = Take(bytes);
        let (state_version, generation) = (take.generation()?, take.generation()?);
        let live = match take.u8()? {
            0 => None,
            code => Some(LiveFacts {
                visibility: match code {
                    1 => Visibility::Private,
                    2 => Visibility::Internal,
                    _ => Visibility::Public,
                },
                slug: take
                    .text()?
                    .parse()
                    .map_err(|_| StoreError::Damaged("facts have no slug"))?,
                members: (0..take.u32()?)
                    .map(|_| {
                        Ok(FactsMember {
                            user: user_of(take.u32()?)?,
                            until: until_of(take.u32()?),
                        })
                    })
                    .collect::<Result<_, StoreError>>()?,
            }),
        };
        Ok(Self {
            state_version,
            generation,
            live,
            payload: take.bytes()?.to_vec(),
        })
    }
}

/// How the end of a membership is written.
pub(crate) fn until_code(until: Option<Day>) -> u32 {
    until.map_or(u32::MAX, Day::number)
}

/// The end of a membership, read.
pub(crate) fn until_of(code: u32) -> Option<Day> {
    (code != u32::MAX).then_some(Day::from_number(code))
}

pub(crate) fn user_of(number: u32) -> Result<UserId, StoreError> {
    UserId::new(i64::from(number)).map_err(|_| StoreError::Damaged("a member has no user id"))
}

/// Where a piece is kept: the first 128 bits of SHA-256 of its id, so that a bucket is a range of keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceKey([u8; 16]);

impl PieceKey {
    /// The key of a piece id.
    pub fn of(id: &str) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&sha2::Sha256::digest(id.as_bytes())[..16]);
        Self(key)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| StoreError::Damaged("a piece has no key"))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The smallest and the largest key of a bucket when the first `bits` bits choose it.
    pub(crate) fn bucket(bits: u32, bucket: u32) -> (Self, Self) {
        let bits = bits.min(32);
        let first = if bits == 0 { 0 } else { bucket << (32 - bits) };
        let last = first | u32::MAX.checked_shr(bits).unwrap_or(0);
        let (mut from, mut to) = ([0; 16], [0xff; 16]);
        from[..4].copy_from_slice(&first.to_be_bytes());
        to[..4].copy_from_slice(&last.to_be_bytes());
        (Self(from), Self(to))
    }
}

impl fmt::Debug for PieceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A piece to be stored: new, or in place of the one of that key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece<T = String> {
    /// Its key.
    pub key: PieceKey,
    /// SHA-256 of the text.
    pub digest: Digest,
    /// Canonical N-Triples.
    pub text: T,
}

/// How a graph differs from the one that is stored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// These are no more.
    pub removed: Vec<PieceKey>,
    /// These are new or changed.
    pub put: Vec<Piece>,
}

/// What is known of a project's graph as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GraphState {
    /// The look that it came from.
    pub generation: Generation,
    /// Over the sections.
    pub digest: Digest,
    /// The facts that it was made with.
    pub state_version: StateVersion,
    /// There are `2^bits` sections.
    pub bits: u32,
    /// The digest of each; none when the graph is gone.
    pub sections: Vec<Digest>,
    /// For the writer and those who answer with it; the store does not look inside.
    pub payload: Vec<u8>,
}

impl GraphState {
    /// Of two graphs the one of the later look holds; of one look the larger digest.
    pub fn rank(&self) -> (Generation, Digest) {
        (self.generation, self.digest)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut put = Put::default()
            .u64(self.generation.get())
            .digest(&self.digest)
            .u64(self.state_version.get())
            .u32(self.bits)
            .u32(self.sections.len() as u32);
        for section in &self.sections {
            put = put.digest(section);
        }
        put.bytes(&self.payload).0
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut take = Take(bytes);
        let (generation, digest, state_version, bits) = (
            take.generation()?,
            take.digest()?,
            take.generation()?,
            take.u32()?,
        );
        let count = take.u32()?;
        let sections = (0..count).map(|_| take.digest()).collect::<Result<_, _>>()?;
        Ok(Self {
            generation,
            digest,
            state_version,
            bits,
            sections,
            payload: take.bytes()?.to_vec(),
        })
    }
}

/// A graph record that came before its facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// The look that it came from.
    pub generation: Generation,
    /// Of the graph.
    pub digest: Digest,
    /// The facts that it waits for, or later ones.
    pub state_version: StateVersion,
    /// The record.
    pub record: Vec<u8>,
}

impl Pending {
    pub(crate) fn write(&self) -> Vec<u8> {
        Put::default()
            .u64(self.generation.get())
            .digest(&self.digest)
            .u64(self.state_version.get())
            .bytes(&self.record)
            .0
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut take = Take(bytes);
        Ok(Self {
            generation: take.generation()?,
            digest: take.digest()?,
            state_version: take.generation()?,
            record: take.bytes()?.to_vec(),
        })
    }
}

/// What is to be done with a graph record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Something newer, or the same, is known.
    Superseded,
    /// Its facts have not come: hold it back.
    Hold,
    /// Apply it.
    Apply,
}

/// Decides by what is known: facts of at least `state_version` that say the project lives, and nothing newer applied or held.
pub fn decide(
    rank: (Generation, Digest),
    state_version: StateVersion,
    facts: Option<&Facts>,
    applied: Option<&GraphState>,
    pending: Option<&Pending>,
) -> Verdict {
    let known = applied
        .map(GraphState::rank)
        .max(pending.map(|p| (p.generation, p.digest)));
    if known.is_some_and(|known| rank <= known) {
        Verdict::Superseded
    } else if allows(facts, state_version) {
        Verdict::Apply
    } else {
        Verdict::Hold
    }
}

/// Whether content made with `state_version` may be shown with these facts.
pub(crate) fn allows(facts: Option<&Facts>, state_version: StateVersion) -> bool {
    facts.is_some_and(|facts| facts.live.is_some() && facts.state_version >= state_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_ranges() {
        let key = PieceKey::of("/plans/1");
        for bits in [0, 1, 5, 12] {
            let first = u32::from_be_bytes([key.0[0], key.0[1], key.0[2], key.0[3]]);
            let bucket = if bits == 0 { 0 } else { first >> (32 - bits) };
            let (from, to) = PieceKey::bucket(bits, bucket);
            assert!(from <= key && key <= to, "{bits}");
            if bits > 0 {
                let (from, to) = PieceKey::bucket(bits, bucket ^ 1);
                assert!(key < from || key > to);
            }
        }
    }

    #[test]
    fn rows_are_read_back() {
        let facts = Facts {
            state_version: Generation::new(3),
            generation: Generation::new(2),
            live: Some(LiveFacts {
                slug: "a/b".parse().unwrap(),
                visibility: Visibility::Internal,
                members: vec![
                    FactsMember {
                        user: UserId::new(3).unwrap(),
                        until: None,
                    },
                    FactsMember {
                        user: UserId::new(4).unwrap(),
                        until: Some(Day::from_number(20_000)),
                    },
                ],
            }),
            payload: vec![1, 2],
        };
        assert_eq!(Facts::read(&facts.write()).unwrap(), facts);
        let gone = Facts {
            live: None,
            ..facts.clone()
        };
        assert_eq!(Facts::read(&gone.write()).unwrap(), gone);
        assert!(gone.rank() < facts.rank());
        let state = GraphState {
            generation: Generation::new(1),
            digest: Digest::new([1; 32]),
            state_version: Generation::new(2),
            bits: 1,
            sections: vec![Digest::new([2; 32]), Digest::new([3; 32])],
            payload: vec![4],
        };
        assert_eq!(GraphState::read(&state.write()).unwrap(), state);
        assert!(GraphState::read(&state.write()[..50]).is_err());
    }

    #[test]
    fn verdicts() {
        let rank = |generation, digest| (Generation::new(generation), Digest::new([digest; 32]));
        let facts = |version, live: bool| Facts {
            state_version: Generation::new(version),
            generation: Generation::new(version),
            live: live.then(|| LiveFacts {
                slug: "a/b".parse().unwrap(),
                visibility: Visibility::Public,
                members: Vec::new(),
            }),
            payload: Vec::new(),
        };
        let version = Generation::new(5);
        assert_eq!(decide(rank(1, 1), version, None, None, None), Verdict::Hold);
        assert_eq!(
            decide(rank(1, 1), version, Some(&facts(4, true)), None, None),
            Verdict::Hold
        );
        assert_eq!(
            decide(rank(1, 1), version, Some(&facts(9, false)), None, None),
            Verdict::Hold
        );
        assert_eq!(
            decide(rank(1, 1), version, Some(&facts(5, true)), None, None),
            Verdict::Apply
        );
        let held = Pending {
            generation: Generation::new(1),
            digest: Digest::new([2; 32]),
            state_version: version,
            record: Vec::new(),
        };
        let now = Some(facts(5, true));
        assert_eq!(
            decide(rank(1, 1), version, now.as_ref(), None, Some(&held)),
            Verdict::Superseded
        );
        assert_eq!(
            decide(rank(1, 2), version, now.as_ref(), None, Some(&held)),
            Verdict::Superseded
        );
        assert_eq!(
            decide(rank(1, 3), version, now.as_ref(), None, Some(&held)),
            Verdict::Apply
        );
    }
}
