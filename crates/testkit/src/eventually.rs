use std::time::{Duration, Instant};

/// Asks again and again until there is an answer, and gives it.
///
/// # Panics
/// When there is none within `within`; `what` is said then, with the last reason why not.
pub fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + within;
    let mut wait = Duration::from_millis(2);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) => assert!(
                Instant::now() < deadline,
                "{what} did not come about within {within:?}: {why}"
            ),
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(Duration::from_millis(100));
    }
}
