use lru::LruCache;
use model::ProjectId;
use parking_lot::Mutex;

/// What is kept of projects between pushes, the least recently used going first when the bound is passed.
///
/// A turn takes a project's state out and puts it back when all went well: one that failed half way is made anew.
pub(crate) struct Projects<S> {
    inner: Mutex<Inner<S>>,
    most_bytes: usize,
}

struct Inner<S> {
    states: LruCache<ProjectId, (S, usize)>,
    bytes: usize,
}

impl<S> Projects<S> {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                states: LruCache::unbounded(),
                bytes: 0,
            }),
            most_bytes,
        }
    }

    pub(crate) fn take(&self, project: ProjectId) -> Option<S> {
        let mut inner = self.inner.lock();
        let (state, bytes) = inner.states.pop(&project)?;
        inner.bytes -= bytes;
        Some(state)
    }

    /// Keeps a state of about `bytes`. One that is larger than the bound is kept alone: it is the one that is
    /// dearest to make again.
    pub(crate) fn put(&self, project: ProjectId, state: S, bytes: usize) {
        let mut inner = self.inner.lock();
        if let Some((_, bytes)) = inner.states.push(project, (state, bytes)).map(|(_, old)| old) {
            inner.bytes -= bytes;
        }
        inner.bytes += bytes;
        while inner.bytes > self.most_bytes && inner.states.len() > 1 {
            let Some((_, (_, bytes))) = inner.states.pop_lru() else {
                break;
            };
            inner.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(number: i64) -> ProjectId {
        ProjectId::new(number).unwrap()
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let projects = Projects::new(100);
        for number in 1..=4 {
            projects.put(project(number), number, 30);
        }
        assert_eq!(projects.take(project(1)), None);
        assert_eq!(projects.take(project(2)), Some(2));
        projects.put(project(2), 2, 30);
        projects.put(project(5), 5, 30);
        assert_eq!(projects.take(project(3)), None);
        assert_eq!(projects.take(project(2)), Some(2));
        projects.put(project(6), 6, 1000);
        assert_eq!(projects.take(project(6)), Some(6));
        assert_eq!(projects.take(project(5)), None);
        assert_eq!(projects.inner.lock().bytes, 0);
    }
}
