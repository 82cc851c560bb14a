use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::world::{self, Totals};

/// Steps of one schedule before everything heals.
const STEPS: std::ops::Range<usize> = 40..160;

/// What happens, in numbers. A step of 0 is the calmest: the gate that has waited longest opens.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Clocks' skew and the roles' own randomness come from this.
    pub seed: u64,
    /// One number a step.
    pub steps: Vec<u64>,
    /// Which hits of failpoints, counted over all roles, trip; `true`: the process dies of it.
    pub trips: Vec<(u32, bool)>,
}

impl Schedule {
    pub fn of_seed(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let steps = (0..random.random_range(STEPS))
            .map(|_| random.next_u64())
            .collect();
        let trips = (0..random.random_range(0..4))
            .map(|_| (random.random_range(0..60), random.random()))
            .collect();
        Self { seed, steps, trips }
    }

    /// Runs it. The error says which promise was broken, a panic is one, too.
    pub fn run(&self) -> Result<Totals, String> {
        catch_unwind(AssertUnwindSafe(|| world::run(self, false)))
            .unwrap_or_else(|_| Err("it panicked".to_owned()))
    }

    /// A shorter and calmer schedule that still fails, and how it does.
    pub fn shrink(mut self, mut why: String) -> (Self, String) {
        let mut left = 400;
        let mut size = self.steps.len();
        while size > 0 {
            let mut at = 0;
            while at < self.steps.len() && left > 0 {
                let mut without = self.clone();
                without.steps.drain(at..(at + size).min(self.steps.len()));
                left -= 1;
                match fails(&without) {
                    Some(told) => (self, why) = (without, told),
                    None => at += size,
                }
            }
            size /= 2;
        }
        let without = Self {
            trips: Vec::new(),
            ..self.clone()
        };
        if let Some(told) = fails(&without) {
            (self, why) = (without, told);
        }
        for at in 0..self.steps.len() {
            let mut calmer = self.clone();
            if calmer.steps[at] == 0 || left == 0 {
                continue;
            }
            calmer.steps[at] = 0;
            left -= 1;
            if let Some(told) = fails(&calmer) {
                (self, why) = (calmer, told);
            }
        }
        (self, why)
    }
}

fn fails(schedule: &Schedule) -> Option<String> {
    schedule.run().err()
}
