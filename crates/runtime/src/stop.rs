use tokio_util::sync::CancellationToken;

/// Asks for an orderly end. Clones are the same request; children are asked with their parent, and can be asked alone.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that follows this one, but can come earlier.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Asks.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Has anybody asked?
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Resolves once asked. Safe to drop and to call again.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Runs the future until it ends (`Some`) or an end is asked for (`None`; the future is dropped).
    pub async fn or<F: Future>(&self, future: F) -> Option<F::Output> {
        self.0.run_until_cancelled(future).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn children_follow() {
        let stop = Stop::new();
        let (first, second) = (stop.child(), stop.child());
        first.request();
        assert!(first.is_requested() && !stop.is_requested() && !second.is_requested());
        stop.request();
        second.requested().await;
        assert_eq!(stop.or(std::future::pending::<()>()).await, None);
    }
}
