//! Commands that take long: what their thread hands on, and what others know of them.
//!
//! A command that goes through many keys, elements or bytes counts its work (`Access::work`), and every so
//! many units the clock is read; one that knows beforehand how much is to be done says so
//! (`Access::expect`). Once it has taken a millisecond, or is going to, two things happen (`heavy/watch.rs`). It
//! is entered among the heavy commands with the slots that it holds, so that a request for one of them waits
//! without a thread (`busy.rs`). And the thread's other connections, timers and its share of the sockets are handed to
//! another thread ([`crate::worker::GiveWay`]), so that nobody else waits for it.
//!
//! A command that itself waits with its thread for something heavy, as it works on the whole keyspace, is one of a
//! few at a time ([`BLOCKING_MAX`]): threads are not to run out, however many clients wait. Nor do they where very
//! many commands are heavy: only so many run at once as there is room for (`room.rs`).

mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::holders::Holder;
use super::room::Room;
use crate::keyspace::access::SlotLock;

pub(in crate::engine) use watch::HeavyWatch;

/// A heavy command, as others see it.
#[derive(Debug)]
struct Heavy {
    /// What it is and who runs it.
    holder: Arc<Holder>,
    /// The slots it holds; `None` while it is alone in the keyspace. Empty where it waits for that, and is in
    /// nobody's way.
    locks: Option<SmallVec<[SlotLock; 4]>>,
    /// Whether it has passed the gate for as long as it runs, so that nobody else can be alone. What works on the
    /// whole keyspace passes it again and again.
    is_inside: bool,
}

/// The heavy commands that run at this moment.
#[derive(Debug, Default)]
pub struct HeavyCommands {
    all: Mutex<Vec<Arc<Heavy>>>,
    /// Commands that were heavy since the start.
    total: AtomicUsize,
    /// Commands on the whole keyspace that keep a thread waiting each.
    blocking: AtomicUsize,
    /// How many of them run at once.
    pub room: Room,
}

/// Commands on the whole keyspace that may keep a thread waiting each, at a time. They keep what they have done so
/// far, and so get on even where something is always in their way; all others wait without a thread, and begin anew.
const BLOCKING_MAX: usize = 16;

/// A place among those that may keep a thread waiting. Nobody waits for one: who gets none gives up.
pub(super) struct Blocking<'s>(&'s HeavyCommands);

impl Drop for Blocking<'_> {
    fn drop(&mut self) {
        self.0.end_blocking();
    }
}

/// What a request needs, for the question whether something is in its way.
#[derive(Clone, Copy)]
pub(super) struct Needs<'p> {
    /// Slots.
    pub(super) plan: &'p [SlotLock],
    /// To be alone in the keyspace, at once or later: every slot, and nobody beside it.
    pub(super) alone: bool,
    /// To pass the gate, whatever it does then.
    pub(super) gate: bool,
}

impl HeavyCommands {
    /// Whether any runs. One relaxed load, as every wait for a lock asks.
    #[inline]
    pub fn any(&self) -> bool {
        self.room.any.load(Ordering::Relaxed) > 0
    }

    /// How many commands were heavy since the start.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Finds one of them that holds what a request needs, until it ends.
    pub(super) fn in_the_way_of(&self, Needs { plan, alone, gate }: Needs<'_>) -> Option<Arc<Holder>> {
        let all = self.all.lock();
        let heavy = all.iter().find(|heavy| match &heavy.locks {
            None => alone || gate || !plan.is_empty(),
            Some(held) if alone => heavy.is_inside || !held.is_empty(),
            Some(held) => SlotLock::conflict(held, plan),
        });
        heavy.map(|heavy| Arc::clone(&heavy.holder))
    }

    /// Finds one that works on the whole keyspace beside others, where a request which has to be alone must not keep
    /// a thread waiting for its turn between two pieces of that work.
    pub(super) fn walks_on(&self) -> Option<Arc<Holder>> {
        if !self.is_full() {
            return None;
        }
        self.oldest()
    }

    /// Takes a place among those that may keep a thread waiting.
    pub(super) fn block(&self) -> Option<Blocking<'_>> {
        self.begin_blocking().then(|| Blocking(self))
    }

    /// Whether as many as may keep a thread waiting.
    fn is_full(&self) -> bool {
        self.blocking.load(Ordering::Relaxed) >= BLOCKING_MAX
    }

    /// Finds a lock of a slot that one of them holds.
    fn find_lock(&self, mut wanted: impl FnMut(&SlotLock) -> bool) -> Option<SlotLock> {
        let all = self.all.lock();
        let mut locks = all.iter().filter_map(|heavy| heavy.locks.as_ref()).flatten();
        locks.find(|lock| wanted(lock)).copied()
    }

    fn begin_blocking(&self) -> bool {
        let one_more = |count| (count < BLOCKING_MAX).then_some(count + 1);
        self.blocking.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn end_blocking(&self) {
        self.blocking.fetch_sub(1, Ordering::Relaxed);
    }

    /// Finds one that holds this lock, or the whole keyspace; with `None` one that keeps the gate shut, or else
    /// keeps others from being alone behind it.
    pub(super) fn holds(&self, lock: Option<SlotLock>) -> Option<Arc<Holder>> {
        match lock {
            Some(lock) => self.in_the_way_of(Needs { plan: &[lock], alone: false, gate: false }),
            None => {
                let all = self.all.lock();
                let is_alone = |heavy: &&Arc<Heavy>| heavy.locks.is_none();
                let found = all.iter().find(is_alone).or_else(|| all.iter().find(|heavy| heavy.holds_any()));
                found.map(|heavy| Arc::clone(&heavy.holder))
            }
        }
    }

    /// The one that began first, of those that run.
    pub(super) fn oldest(&self) -> Option<Arc<Holder>> {
        self.all.lock().first().map(|heavy| Arc::clone(&heavy.holder))
    }

    /// The one that runs for this client.
    pub(super) fn of_client(&self, client: u64) -> Option<Arc<Holder>> {
        let all = self.all.lock();
        let found = all.iter().find(|heavy| heavy.holder.client_id() == client);
        found.map(|heavy| Arc::clone(&heavy.holder))
    }

    /// Those that hold locks now, and how many slots each of them has; `None` for all.
    pub(super) fn holders(&self) -> Vec<(Arc<Holder>, Option<usize>)> {
        let all = self.all.lock();
        let slots = |heavy: &Heavy| heavy.locks.as_ref().map(|locks| locks.len());
        let holders = all.iter().filter(|heavy| heavy.holds_any());
        holders.map(|heavy| (Arc::clone(&heavy.holder), slots(heavy))).collect()
    }

    fn enter(&self, heavy: &Arc<Heavy>) {
        self.all.lock().push(Arc::clone(heavy));
        self.room.any.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self, heavy: &Arc<Heavy>) {
        self.all.lock().retain(|other| !Arc::ptr_eq(other, heavy));
        self.room.any.fetch_sub(1, Ordering::Relaxed);
        // As in `Waiting::postpone`.
        fence(Ordering::SeqCst);
    }
}

impl Heavy {
    /// Whether it is in the way of anybody: it has slots or all of them, or keeps others from being alone.
    fn holds_any(&self) -> bool {
        self.is_inside || self.locks.as_ref().is_none_or(|locks| !locks.is_empty())
    }
}
