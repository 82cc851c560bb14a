//! Work that is done again and again beside everything else, such as measuring.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::stop::Stop;
use crate::tasks::BoxError;

/// A piece of such work.
pub trait Upkeep: Send {
    /// Why it fails.
    type Error: Send;

    /// Does it once.
    fn once(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Is told the first failure of a row.
    fn failed(&self, error: &Self::Error);
}

/// Does it every so often, until the stop, whether it fails or not.
///
/// # Errors
/// None; a task that is supervised has a result.
pub async fn again_and_again(
    mut work: impl Upkeep,
    every: Duration,
    clock: Arc<dyn Clock>,
    stop: Stop,
) -> Result<(), BoxError> {
    let mut failing = false;
    while let Some(done) = stop.or(work.once()).await {
        if let Err(error) = &done
            && !failing
        {
            work.failed(error);
        }
        failing = done.is_err();
        if stop.or(clock.sleep(every)).await.is_none() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::clock::SystemClock;

    struct Rounds {
        stop: Stop,
        round: u32,
        told: Arc<Mutex<Vec<u32>>>,
    }

    impl Upkeep for Rounds {
        type Error = u32;

        /// Good, bad, bad, good, bad, bad, good.
        async fn once(&mut self) -> Result<(), u32> {
            self.round += 1;
            if self.round == 7 {
                self.stop.request();
            }
            if self.round % 3 == 1 {
                Ok(())
            } else {
                Err(self.round)
            }
        }

        fn failed(&self, round: &u32) {
            self.told.lock().push(*round);
        }
    }

    #[tokio::test]
    async fn the_first_failure_of_a_row_is_told() {
        let (stop, told) = (Stop::new(), Arc::default());
        let rounds = Rounds {
            stop: stop.clone(),
            round: 0,
            told: Arc::clone(&told),
        };
        again_and_again(rounds, Duration::from_millis(1), SystemClock::shared(), stop)
            .await
            .unwrap();
        assert_eq!(*told.lock(), [2, 5]);
    }
}
