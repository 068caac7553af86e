//! The numbers of the threads that run commands. A number only decides which counters and which lock of the
//! gate a thread uses, so that threads keep off each other's cache lines; nothing about a server is kept
//! here.
//!
//! There are as many numbers as workers. A thread that hands its work to another one (see [`GiveWay`]) gives
//! its number back, and the other takes it: so the threads that run commands have the numbers, whichever
//! threads those are. One without a number uses what such threads share, which is right but slower.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

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

/// How many of a server's workers have something to do. A thread that wants to leave them their cores waits
/// here until one has nothing left.
#[derive(Debug)]
pub struct Busy {
    workers: isize,
    busy: AtomicIsize,
    /// Whether `waiting` is to be called.
    calls: AtomicBool,
    waiting: Mutex<Option<Thread>>,
}

impl Busy {
    /// Of so many workers, all with something to do.
    pub fn new(workers: usize) -> Self {
        let workers = workers as isize;
        Self {
            workers,
            busy: AtomicIsize::new(workers),
            calls: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Says that a worker has nothing left to do.
    pub fn rests(&self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
        if self.calls.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.waiting.lock()
        {
            thread.unpark();
        }
    }

    /// Says that a worker goes on.
    pub fn goes_on(&self) {
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until some worker has nothing to do, but no longer than this. One thread may wait at a time.
    pub fn wait(&self, longest: Duration) {
        let end = Instant::now() + longest;
        *self.waiting.lock() = Some(std::thread::current());
        loop {
            self.calls.store(true, Ordering::SeqCst);
            let left = end.saturating_duration_since(Instant::now());
            if self.busy.load(Ordering::SeqCst) < self.workers || left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
        self.calls.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_rests_ends_the_wait() {
        const LONG: Duration = Duration::from_secs(600);
        let busy = Busy::new(2);
        busy.wait(Duration::ZERO);
        busy.rests();
        busy.wait(LONG);
        busy.goes_on();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| busy.wait(LONG));
            while !busy.calls.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            busy.rests();
            waiting.join().expect("no panic");
        });
    }

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
