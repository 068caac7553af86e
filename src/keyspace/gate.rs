//! The gate before the keyspace: ordinary commands pass it shared, work on the whole keyspace exclusively.
//!
//! A single reader-writer lock would be one cache line that every core writes for every batch. So there is
//! one lock for each worker, on a line of its own: a batch takes its worker's lock shared, and work that
//! needs the keyspace alone takes all of them, in order. Each lock guards a copy of the mapping from SELECT's
//! database numbers to physical databases, so a reader finds its copy without touching a shared line; SWAPDB,
//! which changes the mapping, holds all locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The physical database of each of SELECT's numbers.
pub type Mapping = Box<[u16]>;

/// Longest time of one try to take all locks: longer than a batch of ordinary commands takes. New batches
/// wait meanwhile.
const TRY: Duration = Duration::from_millis(3);

/// First pause between two tries, in which batches go on. Each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(1);

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(16);

/// A reader lock for each worker. Batches of ordinary commands hold one of them shared; FLUSHALL, SWAPDB,
/// KEYS and scripts without declared keys hold all of them.
#[derive(Debug)]
pub struct Gate {
    locks: Box<[CachePadded<RwLock<Mapping>>]>,
    /// How often all locks have been taken and given back.
    turns: CachePadded<AtomicU64>,
    /// The mapping once more, changed with the guarded copies, for those who count keys and pass no gate.
    shown: RwLock<Mapping>,
}

/// Guard of a batch of ordinary commands.
pub type Shared<'g> = RwLockReadGuard<'g, Mapping>;

/// Guards of all locks: nothing else runs in the keyspace meanwhile.
#[derive(Debug)]
pub struct Exclusive<'g> {
    guards: Vec<RwLockWriteGuard<'g, Mapping>>,
    gate: &'g Gate,
}

impl Gate {
    /// A gate for this many workers and databases.
    pub fn new(workers: usize, databases: usize) -> Self {
        assert!(workers > 0 && databases <= usize::from(u16::MAX));
        let mapping: Mapping = (0..databases as u16).collect();
        let locks = (0..workers).map(|_| CachePadded::new(RwLock::new(mapping.clone()))).collect();
        Self { locks, turns: CachePadded::default(), shown: RwLock::new(mapping) }
    }

    /// The physical database of a number, as it is at this moment: without the gate it may be another at the next
    /// one, and whoever is alone in the keyspace may be changing what is there.
    pub fn shown(&self, number: usize) -> u16 {
        self.shown.read()[number]
    }

    /// How many workers it was made for.
    pub fn workers(&self) -> usize {
        self.locks.len()
    }

    /// How often somebody was alone behind the gate, without the one that still is. What was found to be so
    /// before the gate was passed may have changed since if this number has: whatever changes the server's
    /// role, pauses it or takes its data away is alone behind the gate when the change is there to be seen.
    #[inline]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// Takes the lock of `worker` shared. The worker's number only spreads the load: any number is correct. A
    /// thread must not enter twice at once: with an exclusive waiter in between both would wait for ever.
    #[inline]
    pub fn shared(&self, worker: usize) -> Shared<'_> {
        self.locks[worker % self.locks.len()].read()
    }

    /// [`shared`](Self::shared) if that needs no waiting.
    #[inline]
    pub fn try_shared(&self, worker: usize) -> Option<Shared<'_>> {
        self.locks[worker % self.locks.len()].try_read()
    }

    /// [`shared`](Self::shared), but gives up when `give_up` says so while it waits.
    #[inline]
    pub fn shared_unless(&self, worker: usize, give_up: impl Fn() -> bool) -> Option<Shared<'_>> {
        let lock = &self.locks[worker % self.locks.len()];
        if let Some(shared) = self.try_shared(worker) {
            return Some(shared);
        }
        loop {
            if let Some(shared) = lock.try_read_for(PAUSE) {
                return Some(shared);
            }
            if give_up() {
                return None;
            }
        }
    }

    /// Takes all locks if that needs no waiting.
    pub fn try_exclusive(&self) -> Option<Exclusive<'_>> {
        let guards: Option<Vec<_>> = self.locks.iter().map(|lock| lock.try_write()).collect();
        Some(Exclusive { guards: guards?, gate: self })
    }

    /// Waits until all batches have ended, and takes all locks. Calls `waits` after each try that failed.
    pub fn exclusive(&self, waits: impl Fn()) -> Exclusive<'_> {
        let goes_on = || {
            waits();
            false
        };
        loop {
            if let Some(exclusive) = self.exclusive_unless(goes_on) {
                return exclusive;
            }
        }
    }

    /// [`exclusive`](Self::exclusive), but gives up when `give_up` says so while it waits.
    ///
    /// A waiter at a lock keeps new batches out, so each try is short: a script that runs for seconds in one
    /// batch does not keep the other workers from going on.
    pub fn exclusive_unless(&self, give_up: impl Fn() -> bool) -> Option<Exclusive<'_>> {
        let mut pause = PAUSE;
        loop {
            let deadline = Instant::now() + TRY;
            let guards: Option<Vec<_>> =
                self.locks.iter().map(|lock| lock.try_write_until(deadline)).collect();
            if let Some(guards) = guards {
                return Some(Exclusive { guards, gate: self });
            }
            if give_up() {
                return None;
            }
            std::thread::sleep(pause);
            pause = PAUSE_MAX.min(2 * pause);
        }
    }
}

/// Pauses between tries for a lock: spins 100 times, yields 100 times, then sleeps 50 microseconds each.
#[derive(Debug, Default)]
pub struct Wait {
    tries: u32,
}

impl Wait {
    /// Pauses once. Returns true when the wait is a long one (from the 200th pause on), so that the caller
    /// may ask whether to give up.
    pub fn once_more(&mut self) -> bool {
        self.tries += 1;
        match self.tries {
            0..100 => std::hint::spin_loop(),
            100..200 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
        self.tries >= 200
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.gate.turns.fetch_add(1, Ordering::Release);
    }
}

impl Exclusive<'_> {
    /// The mapping as it stands.
    pub fn mapping(&self) -> &Mapping {
        &self.guards[0]
    }

    /// Has a number mean another physical database for everybody. Returns the one before.
    pub fn replace(&mut self, number: usize, physical: u16) -> u16 {
        let before = self.guards[0][number];
        self.guards.iter_mut().for_each(|mapping| mapping[number] = physical);
        self.gate.shown.write()[number] = physical;
        before
    }

    /// Exchanges two databases for everybody (SWAPDB).
    pub fn swap(&mut self, first: usize, second: usize) {
        for mapping in &mut self.guards {
            mapping.swap(first, second);
        }
        self.gate.shown.write().swap(first, second);
    }
}
