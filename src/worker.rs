//! Which worker a thread is. It only decides which counters and which half of the gate a thread uses, so that threads keep off
//! each other's cache lines; nothing about a server is kept here.

use std::cell::Cell;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Called once by each thread that runs commands.
pub fn set_current(index: usize) {
    INDEX.set(index);
}

/// This thread's number; 0 for threads that never said.
#[inline]
pub fn current() -> usize {
    INDEX.get()
}
