//! The gate before the keyspace: ordinary commands pass it shared, work on the whole keyspace exclusively.
//!
//! A single reader-writer lock would be one cache line that every core writes for every batch. So there is one lock for each
//! worker, on a line of its own: a batch takes its worker's lock shared, and whoever needs the keyspace alone takes all
//! of them, in order. Each lock guards a copy of the mapping from SELECT's database numbers to physical databases, so a
//! reader finds it without touching anything shared; SWAPDB, which changes it, holds them all.

use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// For each database number the physical database behind it.
pub type Mapping = Box<[u16]>;

/// How long one try to be alone may take: longer than any batch of ordinary commands.
const TRY: Duration = Duration::from_millis(20);

/// How long others may go on between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// See the module's page.
#[derive(Debug)]
pub struct Gate {
    locks: Box<[CachePadded<RwLock<Mapping>>]>,
}

/// Held by a batch of ordinary commands.
pub type Shared<'g> = RwLockReadGuard<'g, Mapping>;

/// Held while nobody else is in the keyspace.
#[derive(Debug)]
pub struct Exclusive<'g> {
    guards: Vec<RwLockWriteGuard<'g, Mapping>>,
}

impl Gate {
    /// A gate for this many workers and databases.
    pub fn new(workers: usize, databases: usize) -> Self {
        assert!(workers > 0 && databases <= usize::from(u16::MAX));
        let mapping: Mapping = (0..databases as u16).collect();
        Self { locks: (0..workers).map(|_| CachePadded::new(RwLock::new(mapping.clone()))).collect() }
    }

    /// Enters as one of many. `worker` only spreads the load: any number is correct. Must not be entered twice at once by
    /// one thread: an exclusive waiter in between would stop both.
    #[inline]
    pub fn shared(&self, worker: usize) -> Shared<'_> {
        self.locks[worker % self.locks.len()].read()
    }

    /// [`shared`](Self::shared), but gives up when `give_up` says so while it waits.
    #[inline]
    pub fn shared_unless(&self, worker: usize, give_up: impl Fn() -> bool) -> Option<Shared<'_>> {
        let lock = &self.locks[worker % self.locks.len()];
        if let Some(shared) = lock.try_read() {
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

    /// Waits until everyone else is out, and enters alone.
    pub fn exclusive(&self) -> Exclusive<'_> {
        loop {
            if let Some(exclusive) = self.exclusive_unless(|| false) {
                return exclusive;
            }
        }
    }

    /// [`exclusive`](Self::exclusive), but gives up when `give_up` says so while it waits.
    ///
    /// While one waits at a lock nobody else gets in there, so each try is short: a script that stays in for seconds does not keep
    /// others from going on meanwhile.
    pub fn exclusive_unless(&self, give_up: impl Fn() -> bool) -> Option<Exclusive<'_>> {
        loop {
            let deadline = Instant::now() + TRY;
            let guards: Option<Vec<_>> =
                self.locks.iter().map(|lock| lock.try_write_until(deadline)).collect();
            if let Some(guards) = guards {
                return Some(Exclusive { guards });
            }
            if give_up() {
                return None;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// The pauses between tries for a lock: none at first, then longer ones.
#[derive(Debug, Default)]
pub struct Wait {
    tries: u32,
}

impl Wait {
    /// Pauses. Whether this is no short wait any more.
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

impl Exclusive<'_> {
    /// The mapping as it stands.
    pub fn mapping(&self) -> &Mapping {
        &self.guards[0]
    }

    /// Exchanges two databases for everybody (SWAPDB).
    pub fn swap(&mut self, first: usize, second: usize) {
        for mapping in &mut self.guards {
            mapping.swap(first, second);
        }
    }
}
