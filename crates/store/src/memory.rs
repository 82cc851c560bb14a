//! What a query takes of the heap, counted where it is taken.
//!
//! The engine gathers rows, groups and texts in buffers of its own that nobody can look into. So the allocator counts: while a
//! query runs on a thread, what the thread takes is charged to it and what it gives back is credited. An allocator must not
//! unwind; it only counts, and the query is ended at the next look (see [`crate::metered`]).

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// An allocator that charges the running query of a thread. Without it as the executable's global allocator, queries have no
/// bound of memory.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counting<A>(pub A);

struct Account {
    open: Cell<bool>,
    /// Bytes that the query may still take; below 0: it took too many.
    left: Cell<isize>,
    /// What was left when [`TAKEN`] was told last.
    told: Cell<isize>,
}

/// What all running queries have taken together, as far as they have told: each tells whenever it is so many bytes on.
static TAKEN: AtomicIsize = AtomicIsize::new(0);
const TELL_EVERY: isize = 1 << 20;

thread_local! {
    // Constant and without a destructor, so that reading it never allocates.
    static ACCOUNT: Account = const {
        Account {
            open: Cell::new(false),
            left: Cell::new(0),
            told: Cell::new(0),
        }
    };
}

#[inline]
fn charge(taken: usize, given_back: usize) {
    ACCOUNT.with(|account| {
        if account.open.get() {
            let left = account.left.get().wrapping_sub_unsigned(taken);
            let left = left.wrapping_add_unsigned(given_back);
            account.left.set(left);
            let more = account.told.get().wrapping_sub(left);
            if more.unsigned_abs() >= TELL_EVERY.unsigned_abs() {
                account.told.set(left);
                TAKEN.fetch_add(more, Ordering::Relaxed);
            }
        }
    });
}

// SAFETY: every call goes to the inner allocator as it came; counting neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size(), 0);
        // SAFETY: the caller's duties are the inner allocator's.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size(), 0);
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        charge(0, layout.size());
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        charge(size, layout.size());
        // SAFETY: as above.
        unsafe { self.0.realloc(memory, layout, size) }
    }
}

/// Memory that the queries now running in this process have taken, in bytes, to a MiB each. Answers that are on their way
/// are not in it.
pub fn query_heap_bytes() -> u64 {
    u64::try_from(TAKEN.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Puts an account back as it was, however the work ends.
struct Before {
    open: bool,
    left: isize,
    told: isize,
    /// What the account opened with; none: it was opened before.
    allowed: Option<isize>,
}

impl Drop for Before {
    fn drop(&mut self) {
        ACCOUNT.with(|account| {
            account.open.set(self.open);
            if let Some(allowed) = self.allowed {
                // What was told is gone with the query.
                TAKEN.fetch_sub(allowed.wrapping_sub(account.told.get()), Ordering::Relaxed);
                account.left.set(self.left);
                account.told.set(self.told);
            }
        });
    }
}

fn set(open: bool, left: Option<isize>) -> Before {
    ACCOUNT.with(|account| {
        let before = Before {
            open: account.open.replace(open),
            left: account.left.get(),
            told: account.told.get(),
            allowed: left,
        };
        if let Some(left) = left {
            account.left.set(left);
            account.told.set(left);
        }
        before
    })
}

/// Charges what `work` takes on this thread against `bytes`.
pub(crate) fn counted<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let _before = set(true, Some(isize::try_from(bytes).unwrap_or(isize::MAX)));
    work()
}

/// Neither charges nor credits what `work` does: for memory that other threads give back.
pub(crate) fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    let _before = set(false, None);
    work()
}

/// Whether the running query took more than it may.
#[inline]
pub(crate) fn is_used_up() -> bool {
    ACCOUNT.with(|account| account.open.get() && account.left.get() < 0)
}

/// Bytes that the running query may still take.
pub(crate) fn left() -> usize {
    ACCOUNT.with(|account| match account.open.get() {
        true => usize::try_from(account.left.get()).unwrap_or(0),
        false => usize::MAX,
    })
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    const HEAP: Counting<System> = Counting(System);

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    #[test]
    fn what_is_taken_and_given_back_is_counted() {
        assert_eq!(left(), usize::MAX);
        counted(1_000, || {
            // SAFETY: sizes are not 0, and every block is given back with the layout it has.
            unsafe {
                let first = HEAP.alloc(layout(600));
                assert_eq!(left(), 400);
                let first = HEAP.realloc(first, layout(600), 900);
                assert_eq!(left(), 100);
                let second = HEAP.alloc_zeroed(layout(200));
                assert!(is_used_up());
                assert_eq!(left(), 0);
                HEAP.dealloc(first, layout(900));
                assert!(!is_used_up());
                uncounted(|| HEAP.dealloc(second, layout(200)));
                assert_eq!(left(), 800);
            }
        });
        assert!(!is_used_up());
        assert_eq!(left(), usize::MAX);
    }

    #[test]
    fn what_all_queries_take_is_told() {
        assert_eq!(query_heap_bytes(), 0);
        counted(10 << 20, || {
            // SAFETY: as above.
            unsafe {
                let block = HEAP.alloc(layout(3 << 20));
                assert_eq!(query_heap_bytes(), 3 << 20);
                let other = std::thread::spawn(|| counted(10 << 20, || HEAP.alloc(layout(1 << 20)) as usize));
                let other = other.join().unwrap();
                assert_eq!(query_heap_bytes(), 3 << 20, "the other one has ended");
                HEAP.dealloc(other as *mut u8, layout(1 << 20));
                HEAP.dealloc(block, layout(3 << 20));
            }
        });
        assert_eq!(query_heap_bytes(), 0);
    }

    #[test]
    fn an_account_ends_with_its_work() {
        let ended =
            std::panic::catch_unwind(|| counted(0, || -> () { std::panic::resume_unwind(Box::new(())) }));
        assert!(ended.is_err());
        assert_eq!(left(), usize::MAX);
    }
}
