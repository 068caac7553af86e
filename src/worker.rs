//! The numbers of the threads that run commands. A number only decides which counters and which lock of the
//! gate a thread uses, so that threads keep off each other's cache lines; nothing about a server is kept
//! here.
//!
//! There are as many numbers as workers. A thread that hands its work to another one (see [`GiveWay`]) gives
//! its number back, and the other takes it: so the threads that run commands have the numbers, whichever
//! threads those are. One without a number uses what such threads share, which is right but slower.

use std::cell::Cell;
use std::time::Duration;

use parking_lot::Mutex;

/// Hands the other tasks of a thread to another thread while a command or script keeps it busy. The other
/// thread has so long to take them over. Returns whether some thread runs tasks now; where none does the
/// tasks stay, and it is called again.
pub type GiveWay = dyn Fn(Duration) -> bool + Send + Sync;

/// What [`current`] returns for a thread without a number.
pub const NONE: usize = usize::MAX;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(NONE) };
}

/// Gives this thread a number that no other thread of its server has.
pub fn set_current(index: usize) {
    INDEX.set(index);
}

/// This thread's number, or [`NONE`].
#[inline]
pub fn current() -> usize {
    INDEX.get()
}

/// The numbers of a server's workers that no thread has at the moment.
#[derive(Debug)]
pub struct Numbers(Mutex<Vec<usize>>);

impl Numbers {
    /// The numbers below `workers`, all free.
    pub fn new(workers: usize) -> Self {
        Self(Mutex::new((0..workers).rev().collect()))
    }

    /// Takes a free number for this thread, if it has none. For threads that run tasks, and for no others.
    #[inline]
    pub fn take(&self) {
        if INDEX.get() == NONE
            && let Some(index) = self.0.lock().pop()
        {
            INDEX.set(index);
        }
    }

    /// Gives back this thread's number, if it has one. Returns whether it had.
    pub fn give_back(&self) -> bool {
        let index = INDEX.replace(NONE);
        if index != NONE {
            self.0.lock().push(index);
        }
        index != NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_from_thread_to_thread() {
        let numbers = Numbers::new(1);
        let there = || {
            numbers.take();
            current()
        };
        assert_eq!((there(), there()), (0, 0));
        assert_eq!(std::thread::scope(|scope| scope.spawn(there).join().expect("no panic")), NONE);
        numbers.give_back();
        numbers.give_back();
        assert_eq!(current(), NONE);
        std::thread::scope(|scope| {
            let other = || {
                let index = there();
                numbers.give_back();
                index
            };
            assert_eq!(scope.spawn(other).join().expect("no panic"), 0);
        });
        assert_eq!(there(), 0);
        numbers.give_back();
    }
}
