//! Hashes of terms.

use std::hash::{BuildHasher, Hasher, RandomState};

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use crate::graph::Kind;

/// What the hashes of one graph start from. Texts come from strangers, so both seeds are made from the operating system's
/// random numbers: who knew them could write texts that collide.
pub(crate) struct Seed {
    first: u64,
    rest: SharedSeed,
}

impl Default for Seed {
    fn default() -> Self {
        let random = RandomState::new();
        Self {
            first: random.hash_one(0_u8),
            rest: SharedSeed::from_u64(random.hash_one(1_u8)),
        }
    }
}

impl Seed {
    pub(crate) fn hash(&self, kind: Kind, text: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.first, &self.rest);
        hasher.write(text);
        hasher.write_u8(kind as u8);
        hasher.finish()
    }
}
