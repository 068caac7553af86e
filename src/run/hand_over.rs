//! [`HandOver`]: how a thread that a command keeps busy hands its tasks to another thread.
//!
//! Tokio's `block_in_place` lays what a worker has (its queue of tasks, its share of the sockets) aside for
//! another thread, which it starts or wakes, and takes it back at its end if it still lies there. What lies
//! there may by then be another thread's: the one that took it, ran into a heavy command itself and laid it
//! aside for a third. Taken back by a thread that has no time for it, it would lie still for as long as that
//! thread is busy. So only one thread hands over at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::worker::Numbers;

/// Time between two looks whether tasks run, to which the system adds the slack of its timers.
const LOOK: Duration = Duration::from_micros(20);

/// Hands the tasks of busy threads of one runtime to others.
#[derive(Debug)]
pub struct HandOver {
    numbers: Arc<Numbers>,
    /// Held by the thread that hands over.
    turn: Mutex<()>,
    /// How often a thread that runs tasks has wanted to hand over since the start.
    arrivals: AtomicU64,
}

impl HandOver {
    /// For the runtime whose threads have these numbers.
    pub fn new(numbers: Arc<Numbers>) -> Self {
        Self { numbers, turn: Mutex::new(()), arrivals: AtomicU64::new(0) }
    }

    /// Has another thread take over the tasks that this one would run, and waits until some thread runs
    /// tasks, but no longer than `pause`: where no thread has come up by then, this one has its tasks back.
    /// Returns whether one has. Does nothing on a thread that runs no tasks (the sweeper's).
    pub fn give_way(&self, pause: Duration) -> bool {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return true };
        let had_number = self.numbers.give_back();
        crate::lua::drop_idle_machines();
        if had_number {
            // The one whose turn it is waits no longer: this thread has run tasks, and will hand them on.
            // Without a number it may be here again, with nothing left to hand on.
            self.arrivals.fetch_add(1, Ordering::AcqRel);
        }
        let _turn = self.turn.lock();
        let arrivals = self.arrivals.load(Ordering::Acquire);
        tokio::task::block_in_place(|| {
            // A task for whatever thread is free: it wakes a sleeping worker, which then listens to the
            // sockets.
            let ran = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&ran);
            runtime.spawn(async move { seen.store(true, Ordering::Release) });
            let deadline = Instant::now() + pause;
            let has_run = || ran.load(Ordering::Acquire) || self.arrivals.load(Ordering::Acquire) != arrivals;
            while !has_run() && Instant::now() < deadline {
                std::thread::sleep(LOOK);
            }
            has_run()
        })
    }
}
