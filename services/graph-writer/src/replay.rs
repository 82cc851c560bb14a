//! Asking a running view to read the log again.

use tokio::sync::{mpsc, oneshot};

/// Asks. Any number of copies.
#[derive(Clone, Debug)]
pub struct Replays(mpsc::Sender<Asked>);

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) from_empty: bool,
    done: oneshot::Sender<()>,
}

/// The view was not asked, or did not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayed {
    /// Another request waits.
    #[error("a replay was asked for just now: wait until it has begun")]
    Busy,
    /// The view's task ends, or has ended.
    #[error("the view is being stopped")]
    Stopping,
}

pub(crate) fn channel() -> (Replays, mpsc::Receiver<Asked>) {
    let (ask, asked) = mpsc::channel(1);
    (Replays(ask), asked)
}

impl Asked {
    pub(crate) fn done(self) {
        // Nobody may be waiting any more.
        let _ = self.done.send(());
    }
}

impl Replays {
    /// Returns when the view has begun to read the log from its start. `from_empty`: what it shows is gone until then; else
    /// everything stays while it is read again over it, and what was left out gets another try.
    ///
    /// # Errors
    /// [`NotReplayed`].
    pub async fn ask(&self, from_empty: bool) -> Result<(), NotReplayed> {
        let (done, answer) = oneshot::channel();
        self.0
            .try_send(Asked { from_empty, done })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => NotReplayed::Busy,
                mpsc::error::TrySendError::Closed(_) => NotReplayed::Stopping,
            })?;
        answer.await.map_err(|_| NotReplayed::Stopping)
    }
}
