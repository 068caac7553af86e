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
use super::blockers::Waits;
use super::holders::Holder;
use crate::command::table::Entry;
use crate::keyspace::access::{Access, Pulse, SlotLock};
use crate::worker::WaitsFor;

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
    /// What it is and who runs it.
    holder: Arc<Holder>,
    /// The slots it holds; `None` while it is alone in the keyspace. Empty where it waits for that, and is in
    /// nobody's way.
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
    pub(super) fn in_the_way_of(&self, plan: &[SlotLock], alone: bool) -> Option<Arc<Holder>> {
        let all = self.all.lock();
        let heavy = all.iter().find(|heavy| match &heavy.locks {
            None => alone || !plan.is_empty(),
            Some(held) => alone || SlotLock::conflict(held, plan),
        });
        heavy.map(|heavy| Arc::clone(&heavy.holder))
    }

    /// Finds one that holds this lock, or the whole keyspace; with `None` one that keeps the gate shut, or else
    /// keeps others from being alone behind it.
    pub(super) fn holds(&self, lock: Option<SlotLock>) -> Option<Arc<Holder>> {
        match lock {
            Some(lock) => self.in_the_way_of(&[lock], false),
            None => {
                let all = self.all.lock();
                let is_alone = |heavy: &&Arc<Heavy>| heavy.locks.is_none();
                let found = all.iter().find(is_alone).or_else(|| all.iter().find(|heavy| heavy.holds_any()));
                found.map(|heavy| Arc::clone(&heavy.holder))
            }
        }
    }

    /// The one that runs for this client.
    pub(super) fn of_client(&self, client: u64) -> Option<Arc<Holder>> {
        let all = self.all.lock();
        let found = all.iter().find(|heavy| heavy.holder.client_id() == client);
        found.map(|heavy| Arc::clone(&heavy.holder))
    }

    /// Those that hold locks now.
    pub(super) fn holders(&self) -> Vec<Arc<Holder>> {
        let all = self.all.lock();
        all.iter().filter(|heavy| heavy.holds_any()).map(|heavy| Arc::clone(&heavy.holder)).collect()
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

impl Heavy {
    fn holds_any(&self) -> bool {
        self.locks.as_ref().is_none_or(|locks| !locks.is_empty())
    }
}

/// Watches over one command while it runs. Enters it among the heavy ones when it has taken long; it leaves
/// them when this is dropped, which is after its locks.
pub(super) struct HeavyWatch<'s, 'r> {
    server: &'s Server,
    began_ns: u64,
    client: u64,
    entry: &'s Entry,
    /// The words of the request that runs; of a streak those of the last one. Empty before the first.
    pub(super) words: Cell<&'r [&'r [u8]]>,
    /// Whether each wait that ends with a lock is one of a request: in a streak, where each takes one lock.
    pub(super) counts_waits: bool,
    entered: RefCell<Option<Arc<Heavy>>>,
    tries: Cell<u32>,
    waits: RefCell<Option<Box<Waits>>>,
    /// When it last got a lock that it had waited for, in nanoseconds of the monotonic clock.
    got_ns: Cell<u64>,
}

impl<'s, 'r> HeavyWatch<'s, 'r> {
    /// Watches a command of this client that began at this time of the monotonic clock.
    #[inline]
    pub(super) fn new(
        server: &'s Server,
        began_ns: u64,
        client: u64,
        entry: &'s Entry,
        words: &'r [&'r [u8]],
    ) -> Self {
        let (entered, waits) = (RefCell::new(None), RefCell::new(None));
        Self {
            server,
            began_ns,
            client,
            entry,
            words: Cell::new(words),
            counts_waits: false,
            entered,
            tries: Cell::new(0),
            waits,
            got_ns: Cell::new(0),
        }
    }

    /// Runs `wait`, which takes a lock that was not free and calls what it is given while that takes long.
    #[cold]
    pub(super) fn while_waiting<T>(&self, wait: impl FnOnce(&dyn Fn()) -> Option<T>) -> Option<T> {
        self.begins_to_wait(None);
        let taken = wait(&|| self.still_waits());
        self.has_waited(taken.is_some());
        taken
    }

    /// Takes what it knows of waits for locks.
    #[inline]
    pub(super) fn take_waits(&self) -> Option<Box<Waits>> {
        self.waits.take()
    }
}

impl HeavyWatch<'_, '_> {
    fn enter(&self, access: &Access<'_, '_>, program: Option<&dyn Fn() -> String>) {
        let locks = if access.is_alone() { None } else { Some(access.held().collect()) };
        if self.entered.borrow().as_ref().is_some_and(|entered| entered.locks == locks) {
            return;
        }
        // Again where it holds other slots than it did: a reader in pieces that goes on without letting go.
        let request = (self.entry, self.words.get());
        let since_ns = self.began_ns.max(self.got_ns.get());
        let holder = self.server.holder(request, access.inner(), program, self.client, since_ns);
        let heavy = Arc::new(Heavy { holder: Arc::new(holder), locks });
        self.server.heavy.enter(&heavy);
        if let Some(before) = self.entered.replace(Some(heavy)) {
            self.server.heavy.leave(&before);
        }
    }
}

impl Pulse for HeavyWatch<'_, '_> {
    #[cold]
    fn beat(&self, access: &Access<'_, '_>) {
        let tries = self.tries.get();
        let took_ns = self.server.clock.monotonic_ns().saturating_sub(self.began_ns);
        if tries < TRIES && took_ns >= HEAVY_NS << tries {
            self.tries.set(tries + 1);
            self.enter(access, None);
            (self.server.scripting.give_way())(HAND_OVER * (1 << tries));
        }
    }

    #[cold]
    fn begins_to_wait(&self, lock: Option<SlotLock>) {
        let slot = |SlotLock { database, slot, write }| WaitsFor::Slot { database, slot, write };
        self.server.health.workers.set_waits(Some(lock.map_or(WaitsFor::Gate, slot)));
        let now_ns = self.server.clock.monotonic_ns();
        self.waits.borrow_mut().get_or_insert_default().begin(lock, now_ns);
    }

    #[cold]
    fn still_waits(&self) {
        self.waits.borrow_mut().get_or_insert_default().go_on(self.server, self.client);
    }

    #[cold]
    fn has_waited(&self, has_it: bool) {
        let now_ns = self.server.clock.monotonic_ns();
        let mut waits = self.waits.borrow_mut();
        let waits = waits.get_or_insert_default();
        waits.end(self.server, now_ns, has_it);
        self.server.health.workers.set_waits(None);
        self.got_ns.set(now_ns);
        if self.counts_waits && has_it {
            self.server.stats.lock_waits.note(self.entry.counted_as, waits.take_request_ns());
        }
    }

    #[cold]
    fn is_slow(&self, access: &Access<'_, '_>, program: Option<&dyn Fn() -> String>) {
        self.enter(access, program);
    }

    fn may_wait(&self, access: &Access<'_, '_>) {
        if self.server.heavy.any() {
            self.long(access);
        }
    }

    #[cold]
    fn long(&self, access: &Access<'_, '_>) {
        self.enter(access, None);
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

impl Drop for HeavyWatch<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(heavy) = self.entered.get_mut().take() {
            self.server.heavy.leave(&heavy);
        }
    }
}
