//! One small generator of numbers for everything that must come out the same on every machine.

/// SplitMix64: the same seed gives the same data for ever, whatever crate versions do.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for one thing, so that adding another thing changes nothing here.
    #[must_use]
    pub fn for_item(seed: u64, item: u64) -> Self {
        let mut mixed = Self(seed ^ item.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(mixed.next_u64())
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end` (0 when `end` is 0). The bias of the modulo is of no matter here.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            0
        } else {
            (self.next_u64() % end as u64) as usize
        }
    }

    /// 32 lower-case hex digits, as the `renku` CLI makes for its ids.
    pub fn hex32(&mut self) -> String {
        format!("{:016x}{:016x}", self.next_u64(), self.next_u64())
    }

    /// A word of `shortest..=longest` lower-case letters.
    pub fn word(&mut self, shortest: usize, longest: usize) -> String {
        let len = shortest + self.below(longest - shortest + 1);
        (0..len)
            .map(|_| char::from(b'a' + self.below(26) as u8))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_pinned() {
        let mut seeded = Seeded::new(1);
        assert_eq!(seeded.next_u64(), 0x910a_2dec_8902_5cc1);
        assert_eq!(Seeded::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn below_stays_below() {
        let mut seeded = Seeded::new(7);
        assert!((0..1000).all(|_| seeded.below(3) < 3));
        assert_eq!(seeded.below(0), 0);
    }
}
