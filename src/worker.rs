//! Which worker a thread is. It only decides which counters and which half of the gate a thread uses, so that threads keep off
//! each other's cache lines; nothing about a server is kept here.

use std::cell::Cell;

/// The number of a thread that never said which it is.
pub const NONE: usize = usize::MAX;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(NONE) };
}

/// Called once by each thread that runs commands; no two threads of a server say the same.
pub fn set_current(index: usize) {
    INDEX.set(index);
}

/// This thread's number, or [`NONE`].
#[inline]
pub fn current() -> usize {
    INDEX.get()
}
