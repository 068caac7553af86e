//! Readers that go through a big value in pieces, and let others at its slot between two of them.
//!
//! What such a reader writes has to be the value of one instant. It enters here while it holds the slot's
//! lock; whatever changes or removes a record calls [`Database::about_to_change`](super::database::Database)
//! under the slot's exclusive lock, which tells the readers of that key. A reader that was told begins again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::key_hash::HashedKey;

/// How long a reader lets others have their turn at most.
const MAKE_WAY: Duration = Duration::from_micros(200);

/// One reader, entered as long as this lives.
#[derive(Debug)]
pub struct PieceReader<'d> {
    readers: &'d PieceReaders,
    entered: Arc<Entered>,
}

#[derive(Debug)]
struct Entered {
    hash: u64,
    changed: AtomicBool,
}

/// The readers of one database, and who waits for a slot meanwhile.
#[derive(Debug, Default)]
pub struct PieceReaders {
    count: AtomicUsize,
    all: Mutex<Vec<Arc<Entered>>>,
    /// Commands that wait for a slot's lock.
    waiting: AtomicUsize,
}

impl PieceReaders {
    /// Enters a reader of a key whose slot is locked.
    pub fn enter(&self, key: &HashedKey<'_>) -> PieceReader<'_> {
        let entered = Arc::new(Entered { hash: key.hash, changed: AtomicBool::new(false) });
        self.all.lock().push(Arc::clone(&entered));
        self.count.fetch_add(1, Ordering::Relaxed);
        PieceReader { readers: self, entered }
    }

    /// Whether there is any reader. The slot's lock, held by the caller, orders this after the entry of a
    /// reader of that slot.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Tells the readers of a key, or of all keys, that its value is another from now on.
    #[cold]
    pub fn tell(&self, hash: Option<u64>) {
        for entered in self.all.lock().iter() {
            if hash.is_none_or(|hash| hash == entered.hash) {
                entered.changed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Waits with `wait` for a slot's lock, so that readers see that somebody does.
    #[cold]
    pub fn while_waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let result = wait();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Leaves the slots to commands that wait for one, for a moment. To be called between two pieces, without
    /// a lock. A command that waits looks for the lock every 50 microseconds, and would not find it free
    /// where it is given back and taken again at once.
    pub fn make_way(&self) {
        if self.has_waiting() {
            let deadline = Instant::now() + MAKE_WAY;
            while self.has_waiting() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }

    fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl PieceReader<'_> {
    /// Whether the key has changed since the reader entered. Asked with the slot locked.
    pub fn is_outdated(&self) -> bool {
        self.entered.changed.load(Ordering::Relaxed)
    }
}

impl Drop for PieceReader<'_> {
    fn drop(&mut self) {
        self.readers.all.lock().retain(|entered| !Arc::ptr_eq(entered, &self.entered));
        self.readers.count.fetch_sub(1, Ordering::Relaxed);
    }
}
