//! Which worker a thread is. It only decides which counters and which half of the gate a thread uses, so that threads keep off
//! each other's cache lines; nothing about a server is kept here.

use std::cell::Cell;
use std::time::Duration;

/// Hands the other tasks of a thread to another thread while a command or script keeps it busy. The other thread has so long to take
/// them over; where it is not there in time they stay, so it is called more than once.
pub type GiveWay = dyn Fn(Duration) + Send + Sync;

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
