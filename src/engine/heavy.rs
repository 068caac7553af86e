//! Commands that take long: what their thread hands on, and what others know of them.
//!
//! A command that goes through many keys, elements or bytes counts its work ([`Access::work`]), and every so
//! many units the clock is read; one that knows beforehand how much is to be done says so
//! ([`Access::expect`]). Once it has taken [`HEAVY_NS`], or is going to, two things happen. It is entered
//! among the heavy commands with the slots that it holds, so that a request for one of them waits without a
//! thread (`busy.rs`). And the thread's other connections, timers and its share of the sockets are handed to
//! another thread ([`crate::worker::GiveWay`]), so that nobody else waits for it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::Server;
use super::blockers::{Runs, Waits};
use crate::command::table::Entry;
use crate::keyspace::access::{Access, Pulse, SlotLock};

/// A command that has taken so long is heavy, in nanoseconds.
const HEAVY_NS: u64 = 1_000_000;

/// How often a thread tries to hand its other work on, each time after twice as long: another thread needs a
/// moment to come up, and where it is not there in time the work stays.
const TRIES: u32 = 6;

/// How long a command pauses at most for another thread to take over.
const HAND_OVER: Duration = Duration::from_micros(500);

/// A heavy command, as others see it.
#[derive(Debug)]
struct Heavy {
    /// Who runs it.
    runs: Runs,
    /// The slots it holds; `None` while it is alone in the keyspace.
    locks: Option<SmallVec<[SlotLock; 4]>>,
}

/// The heavy commands that run at this moment.
#[derive(Debug, Default)]
pub struct HeavyCommands {
    all: Mutex<Vec<Arc<Heavy>>>,
    count: AtomicUsize,
    /// Commands that were heavy since the start.
    total: AtomicUsize,
}

impl HeavyCommands {
    /// Whether any runs. One relaxed load, as every wait for a lock asks.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// How many commands were heavy since the start.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Finds one of them that holds a slot which a request with this plan needs, or the whole keyspace. A
    /// request that has to be alone (`alone`) needs every slot.
    pub fn in_the_way_of(&self, plan: &[SlotLock], alone: bool) -> Option<Runs> {
        let all = self.all.lock();
        let heavy = all.iter().find(|heavy| match &heavy.locks {
            None => alone || !plan.is_empty(),
            Some(held) => alone || SlotLock::conflict(held, plan),
        });
        heavy.map(|heavy| heavy.runs)
    }

    fn enter(&self, heavy: &Arc<Heavy>) {
        self.all.lock().push(Arc::clone(heavy));
        self.count.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self, heavy: &Arc<Heavy>) {
        self.all.lock().retain(|other| !Arc::ptr_eq(other, heavy));
        self.count.fetch_sub(1, Ordering::Relaxed);
        // As in `Waiting::postpone`.
        fence(Ordering::SeqCst);
    }
}

/// Watches over one command while it runs. Enters it among the heavy ones when it has taken long; it leaves
/// them when this is dropped, which is after its locks.
pub(super) struct HeavyWatch<'s> {
    server: &'s Server,
    began_ns: u64,
    client: u64,
    entry: &'s Entry,
    entered: RefCell<Option<Arc<Heavy>>>,
    tries: Cell<u32>,
    waits: RefCell<Option<Box<Waits>>>,
}

impl<'s> HeavyWatch<'s> {
    /// Watches a command of this client that began at this time of the monotonic clock.
    #[inline]
    pub(super) fn new(server: &'s Server, began_ns: u64, client: u64, entry: &'s Entry) -> Self {
        let (entered, waits) = (RefCell::new(None), RefCell::new(None));
        Self { server, began_ns, client, entry, entered, tries: Cell::new(0), waits }
    }

    /// Runs `wait`, which takes a lock that was not free and calls what it is given while that takes long.
    #[cold]
    pub(super) fn while_waiting<T>(&self, wait: impl FnOnce(&dyn Fn()) -> T) -> T {
        self.begins_to_wait();
        let taken = wait(&|| self.still_waits());
        self.has_waited();
        taken
    }

    /// Takes what it knows of waits for locks.
    #[inline]
    pub(super) fn take_waits(&self) -> Option<Box<Waits>> {
        self.waits.take()
    }
}

impl HeavyWatch<'_> {
    fn enter(&self, access: &Access<'_, '_>) {
        let locks = if access.is_alone() { None } else { Some(access.held().collect()) };
        if self.entered.borrow().as_ref().is_some_and(|entered| entered.locks == locks) {
            return;
        }
        // Again where it holds other slots than it did: a reader in pieces that goes on without letting go.
        let runs = Runs { client: self.client, command: self.entry.id as u32 };
        let heavy = Arc::new(Heavy { runs, locks });
        self.server.heavy.enter(&heavy);
        if let Some(before) = self.entered.replace(Some(heavy)) {
            self.server.heavy.leave(&before);
        }
    }
}

impl Pulse for HeavyWatch<'_> {
    #[cold]
    fn beat(&self, access: &Access<'_, '_>) {
        let tries = self.tries.get();
        let took_ns = self.server.clock.monotonic_ns().saturating_sub(self.began_ns);
        if tries < TRIES && took_ns >= HEAVY_NS << tries {
            self.tries.set(tries + 1);
            self.enter(access);
            (self.server.scripting.give_way())(HAND_OVER * (1 << tries));
        }
    }

    fn begins_to_wait(&self) {
        self.server.health.workers.set_waits(true);
        let now_ns = self.server.clock.monotonic_ns();
        self.waits.borrow_mut().get_or_insert_default().begin(now_ns);
    }

    #[cold]
    fn still_waits(&self) {
        self.waits.borrow_mut().get_or_insert_default().go_on(self.server, self.client);
    }

    fn has_waited(&self) {
        let now_ns = self.server.clock.monotonic_ns();
        let waited_ns = self.waits.borrow_mut().get_or_insert_default().end(self.server, now_ns);
        self.server.health.workers.set_waits(false);
        self.server.stats.lock_waits.note(self.entry.counted_as, waited_ns);
    }

    fn may_wait(&self, access: &Access<'_, '_>) {
        if self.server.heavy.any() {
            self.long(access);
        }
    }

    #[cold]
    fn long(&self, access: &Access<'_, '_>) {
        self.enter(access);
        let give_way = self.server.scripting.give_way();
        // What follows may not count its work, so this is where to try again, each time for twice as long:
        // where many threads come up at once, or the machine is busy, one takes its time.
        while self.tries.get() < TRIES {
            let pause = HAND_OVER * (1 << self.tries.get());
            self.tries.set(self.tries.get() + 1);
            if give_way(pause) {
                return;
            }
        }
    }
}

impl Drop for HeavyWatch<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(heavy) = self.entered.get_mut().take() {
            self.server.heavy.leave(&heavy);
        }
    }
}
