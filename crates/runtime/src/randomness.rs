use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng, TryRngCore};

/// Where random bytes and new ids come from. Handed in, so that a seed repeats a run.
pub trait Randomness: Send + Sync + fmt::Debug + 'static {
    /// Fills the bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// 64 random bits.
    fn bits64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// 128 random bits, e.g. for an id that nobody can guess.
    fn bits128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }

    /// A number below `limit` (0 for a limit of 0).
    fn below(&self, limit: u64) -> u64 {
        ((u128::from(self.bits64()) * u128::from(limit)) >> 64) as u64
    }

    /// Between half and all of `longest`: back-off that does not march in step.
    fn jitter(&self, longest: Duration) -> Duration {
        let half = longest / 2;
        half + Duration::from_nanos(self.below(u64::try_from(half.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandomness;

impl OsRandomness {
    /// Ready to be handed on.
    pub fn shared() -> Arc<dyn Randomness> {
        Arc::new(Self)
    }
}

impl Randomness for OsRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = rand::rngs::OsRng.try_fill_bytes(bytes) {
            // Going on with guessable bytes would be worse than stopping.
            panic!("the operating system gives no random bytes: {error}");
        }
    }
}

/// A generator that gives the same bytes for the same seed.
#[derive(Debug)]
pub struct SeededRandomness(Mutex<StdRng>);

impl SeededRandomness {
    /// Starts from the seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats() {
        let (a, b) = (SeededRandomness::new(7), SeededRandomness::new(7));
        assert_eq!(a.bits128(), b.bits128());
        assert_ne!(a.bits64(), SeededRandomness::new(8).bits64());
    }

    #[test]
    fn numbers_stay_in_range() {
        let source = SeededRandomness::new(1);
        assert_eq!(source.below(0), 0);
        for _ in 0..1_000 {
            assert!(source.below(3) < 3);
            let wait = source.jitter(Duration::from_secs(4));
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&wait));
        }
        assert_ne!(OsRandomness.bits128(), OsRandomness.bits128());
    }
}
