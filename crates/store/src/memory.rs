//! What a query takes of the heap, counted where it is taken.
//!
//! The engine gathers rows, groups and texts in buffers of its own that nobody can look into. So the allocator counts: while a
//! query runs on a thread, what the thread takes is charged to it and what it gives back is credited. An allocator must not
//! unwind; it only counts, and the query is ended at the next look (see [`crate::metered`]).

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

/// An allocator that charges the running query of a thread. Without it as the executable's global allocator, queries have no
/// bound of memory.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counting<A>(pub A);

struct Account {
    open: Cell<bool>,
    /// Bytes that the query may still take; below 0: it took too many.
    left: Cell<isize>,
}

thread_local! {
    // Constant and without a destructor, so that reading it never allocates.
    static ACCOUNT: Account = const {
        Account {
            open: Cell::new(false),
            left: Cell::new(0),
        }
    };
}

#[inline]
fn charge(taken: usize, given_back: usize) {
    ACCOUNT.with(|account| {
        if account.open.get() {
            let left = account.left.get().wrapping_sub_unsigned(taken);
            account.left.set(left.wrapping_add_unsigned(given_back));
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

/// Puts an account back as it was, however the work ends.
struct Before {
    open: bool,
    left: isize,
    keep_left: bool,
}

impl Drop for Before {
    fn drop(&mut self) {
        ACCOUNT.with(|account| {
            account.open.set(self.open);
            if !self.keep_left {
                account.left.set(self.left);
            }
        });
    }
}

fn set(open: bool, left: Option<isize>) -> Before {
    ACCOUNT.with(|account| {
        let before = Before {
            open: account.open.replace(open),
            left: account.left.get(),
            keep_left: left.is_none(),
        };
        if let Some(left) = left {
            account.left.set(left);
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
    fn an_account_ends_with_its_work() {
        let ended =
            std::panic::catch_unwind(|| counted(0, || -> () { std::panic::resume_unwind(Box::new(())) }));
        assert!(ended.is_err());
        assert_eq!(left(), usize::MAX);
    }
}
