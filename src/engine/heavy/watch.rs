//! [`HeavyWatch`]: what one command tells of itself while it runs, and what that leads to.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use super::Heavy;
use crate::command::keys::LockPlan;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::engine::Server;
use crate::engine::blockers::Waits;
use crate::engine::room::Place;
use crate::keyspace::access::{Access, Hold, Pulse, SlotLock};
use crate::keyspace::turns::{Came, Turn};
use crate::shared::client::SharedClient;
use crate::worker::WaitsFor;

/// A command that has taken so long is heavy, in nanoseconds.
const HEAVY_NS: u64 = 1_000_000;

/// A command that waits for the gate for so long leaves its thread, whoever is alone behind it, in nanoseconds.
const LONG_WAIT_NS: u64 = 5_000_000;

/// Time between two looks of a heavy command whether anybody still wants its reply, in nanoseconds.
const LOOK_NS: u64 = 1_000_000;

/// How often a thread tries to hand its other work on, each time after twice as long: another thread needs a
/// moment to come up, and where it is not there in time the work stays.
const TRIES: u32 = 6;

/// How long a command pauses at most for another thread to take over.
const HAND_OVER: Duration = Duration::from_micros(500);

/// Watches over one command while it runs. Enters it among the heavy ones when it has taken long; it leaves
/// them when this is dropped, which is after its locks.
pub(in crate::engine) struct HeavyWatch<'s, 'r> {
    server: &'s Server,
    began_ns: u64,
    client: u64,
    entry: &'s Entry,
    /// The words of the request that runs; of a streak those of the last one. Empty before the first.
    pub(in crate::engine) words: Cell<&'r [&'r [u8]]>,
    /// Whether each wait that ends with a lock is one of a request: in a streak, where each takes one lock.
    pub(in crate::engine) counts_waits: bool,
    /// Whether replies to requests before it are not written yet: it does not keep its thread waiting with them.
    pub(in crate::engine) keeps_replies: bool,
    /// Whether its request may wait for room, to begin anew: it runs by itself, for the client that sent it.
    pub(in crate::engine) may_wait: bool,
    /// When that came, in nanoseconds of the monotonic clock.
    pub(in crate::engine) came_ns: u64,
    entered: RefCell<Option<Arc<Heavy>>>,
    /// Its turn, where it waits to be alone and was overtaken.
    turn: Cell<Option<Box<Turn>>>,
    tries: Cell<u32>,
    waits: RefCell<Option<Box<Waits>>>,
    /// When it last got a lock that it had waited for, in nanoseconds of the monotonic clock.
    got_ns: Cell<u64>,
    /// Its place among those that run.
    place: RefCell<Option<Place<'s>>>,
    state: Cell<State>,
    /// When it last looked whether its client is still there, in nanoseconds of the monotonic clock.
    looked_ns: Cell<u64>,
}

/// What has become of a command that is watched over.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// It has the locks of its plan.
    runs: bool,
    /// It waits for a lock.
    waits: bool,
    /// It gave its place to others meanwhile.
    gave_place: bool,
    /// It is broken off, as there is no room for it.
    lacks_room: bool,
    /// It is broken off, as it lets an older request by.
    lets_by: bool,
    /// It is broken off, as nobody wants its reply any more.
    is_in_vain: bool,
}

impl<'s, 'r> HeavyWatch<'s, 'r> {
    /// Watches a command of this client that began at this time of the monotonic clock.
    #[inline]
    pub(in crate::engine) fn new(
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
            keeps_replies: false,
            may_wait: false,
            came_ns: began_ns,
            entered,
            turn: Cell::new(None),
            tries: Cell::new(0),
            waits,
            got_ns: Cell::new(0),
            place: RefCell::new(None),
            state: Cell::default(),
            looked_ns: Cell::new(0),
        }
    }

    /// Gives it the place that its request has waited for.
    pub(in crate::engine) fn give_place(&self, place: Place<'s>) {
        self.place.replace(Some(place));
    }

    /// Whether it has a place.
    pub(in crate::engine) fn has_place(&self) -> bool {
        self.place.borrow().is_some()
    }

    /// Whether it was broken off, as there is no room for it.
    pub(in crate::engine) fn lacks_room(&self) -> bool {
        self.state.get().lacks_room
    }

    /// Whether it is or was among the heavy commands.
    pub(in crate::engine) fn is_heavy(&self) -> bool {
        self.entered.borrow().is_some()
    }

    /// Whether it was broken off, as it lets an older request by.
    pub(in crate::engine) fn lets_by(&self) -> bool {
        self.state.get().lets_by
    }

    /// Breaks it off where its locks are in the way of an older request that was overtaken. Returns whether it is.
    #[cold]
    fn let_by(&self, access: &Access<'_, '_>) -> bool {
        let came = Came { at_ns: self.came_ns, client: self.client };
        let held: LockPlan = access.held().collect();
        let lets_by = !access.is_alone() && self.server.keyspace.turns.meets(came, Some(&held)).is_some();
        self.change(|state| state.lets_by |= lets_by);
        lets_by
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.get();
        change(&mut state);
        self.state.set(state);
    }

    /// Whether it waits for the gate, or has just given up waiting for it, and that has taken long. Once it runs it
    /// waits to the end.
    #[inline]
    pub(in crate::engine) fn waits_long(&self) -> bool {
        self.waits.borrow().is_some() && self.has_waited_long()
    }

    #[cold]
    fn has_waited_long(&self) -> bool {
        !self.state.get().runs && self.wanted_for_long() == Some(None)
    }

    /// The lock that it has waited for longer than it keeps its thread for the gate (`None`: the gate).
    fn wanted_for_long(&self) -> Option<Option<SlotLock>> {
        let now_ns = self.server.clock.monotonic_ns();
        self.waits.borrow().as_ref().and_then(|waits| waits.wanted_for(now_ns, LONG_WAIT_NS))
    }

    /// Says that its command runs from now on, with its locks.
    #[inline]
    pub(in crate::engine) fn begin(&self) {
        self.change(|state| state.runs = true);
    }

    /// Takes a place among those that run: where there is none and it may begin anew it is broken off. Returns
    /// whether it goes on.
    #[cold]
    fn enter_room(&self) -> bool {
        let room = &self.server.heavy.room;
        let place = match self.may_wait {
            true => room.ask(None),
            false => Some(room.take()),
        };
        let goes_on = place.is_some();
        self.change(|state| state.lacks_room = !goes_on);
        self.place.replace(place);
        goes_on
    }

    /// As [`enter_room`](Self::enter_room), of one that has begun: only where it changes nothing it is broken off.
    fn stay_in_room(&self) -> bool {
        if self.has_place() || self.state.get().waits {
            return true;
        }
        if self.may_give_up() {
            return !self.lacks_room() && self.enter_room();
        }
        self.give_place(self.server.heavy.room.take());
        true
    }

    /// Gives its place to others while it waits for long: it uses no processor.
    fn lend_place(&self) {
        if self.wanted_for_long().is_some() {
            self.place.take();
            self.change(|state| state.gave_place = true);
        }
    }

    /// Looks whether its client is still there, where it may be broken off.
    #[cold]
    fn look(&self, now_ns: u64) {
        self.looked_ns.set(now_ns);
        let is_closing = |client: Arc<SharedClient>| client.is_closing();
        if self.may_give_up() && self.server.clients.by_id(self.client).is_some_and(is_closing) {
            self.change(|state| state.is_in_vain = true);
        }
    }

    /// Runs `wait`, which takes a lock that was not free and calls what it is given while that takes long.
    #[cold]
    pub(in crate::engine) fn while_waiting<T>(&self, wait: impl FnOnce(&dyn Fn()) -> Option<T>) -> Option<T> {
        self.begins_to_wait(None);
        let taken = wait(&|| self.still_waits());
        self.has_waited(taken.is_some());
        taken
    }

    /// Has another thread take over what this one would run, as it is about to wait for long.
    pub(in crate::engine) fn hand_over(&self) {
        let give_way = self.server.scripting.give_way();
        // Each time for twice as long: where many threads come up at once, or the machine is busy, one takes its time.
        while self.tries.get() < TRIES {
            let pause = HAND_OVER * (1 << self.tries.get());
            self.tries.set(self.tries.get() + 1);
            if give_way(pause) {
                return;
            }
        }
    }

    /// The lock for whose sake the command was broken off; `None` where it was not.
    pub(in crate::engine) fn gave_up_at(&self) -> Option<Option<SlotLock>> {
        self.waits.borrow().as_ref().and_then(|waits| waits.gave_up_at)
    }

    /// Whether its command gives up where it must not keep its thread waiting.
    fn may_give_up(&self) -> bool {
        self.entry.spec.flags.has(Flags::BEGINS_ANEW)
    }

    /// Takes what it knows of waits for locks.
    #[inline]
    pub(in crate::engine) fn take_waits(&self) -> Option<Box<Waits>> {
        self.waits.take()
    }
}

impl HeavyWatch<'_, '_> {
    /// Enters it among the heavy commands. Returns whether it goes on.
    fn enter(&self, access: &Access<'_, '_>, program: Option<&dyn Fn() -> String>) -> bool {
        if !self.stay_in_room() {
            return false;
        }
        let locks = if access.is_alone() { None } else { Some(access.held().collect()) };
        if self.entered.borrow().as_ref().is_some_and(|entered| entered.locks == locks) {
            return true;
        }
        // Again where it holds other slots than it did: a reader in pieces that goes on without letting go.
        let request = (self.entry, self.words.get());
        let since_ns = self.began_ns.max(self.got_ns.get());
        let holder = self.server.holder(request, access.inner(), program, self.client, since_ns);
        let is_inside = !matches!(access.hold, Hold::None);
        let heavy = Arc::new(Heavy { holder: Arc::new(holder), locks, is_inside });
        self.server.heavy.enter(&heavy);
        if let Some(before) = self.entered.replace(Some(heavy)) {
            self.server.heavy.leave(&before);
        }
        true
    }
}

impl Pulse for HeavyWatch<'_, '_> {
    #[cold]
    fn beat(&self, access: &Access<'_, '_>) {
        let tries = self.tries.get();
        let now_ns = self.server.clock.monotonic_ns();
        let took_ns = now_ns.saturating_sub(self.began_ns);
        if tries < TRIES && took_ns >= HEAVY_NS << tries {
            self.tries.set(tries + 1);
            if self.enter(access, None) {
                (self.server.scripting.give_way())(HAND_OVER * (1 << tries));
            }
        }
        if took_ns >= HEAVY_NS && now_ns.saturating_sub(self.looked_ns.get()) >= LOOK_NS {
            self.look(now_ns);
        }
    }

    #[cold]
    fn begins_to_wait(&self, lock: Option<SlotLock>) {
        let slot = |SlotLock { database, slot, write }| WaitsFor::Slot { database, slot, write };
        self.server.health.workers.set_waits(Some(lock.map_or(WaitsFor::Gate, slot)));
        let now_ns = self.server.clock.monotonic_ns();
        self.waits.borrow_mut().get_or_insert_default().begin(lock, now_ns);
        self.change(|state| state.waits = true);
    }

    #[cold]
    fn still_waits(&self) {
        self.waits.borrow_mut().get_or_insert_default().go_on(self.server, self.client);
        if self.has_place() {
            self.lend_place();
        }
    }

    #[cold]
    fn waits_to_be_alone(&self) {
        let turn = self.turn.take().or_else(|| self.server.turn_to_be_alone(self.came_ns).map(Box::new));
        self.turn.set(turn);
    }

    #[cold]
    fn has_waited(&self, has_it: bool) {
        self.turn.take();
        let now_ns = self.server.clock.monotonic_ns();
        let mut waits = self.waits.borrow_mut();
        let waits = waits.get_or_insert_default();
        waits.end(self.server, now_ns, has_it);
        self.server.health.workers.set_waits(None);
        self.got_ns.set(now_ns);
        if self.counts_waits && has_it {
            self.server.stats.lock_waits.note(self.entry.counted_as, waits.take_request_ns());
        }
        let gave_place = self.state.get().gave_place;
        self.change(|state| (state.waits, state.gave_place) = (false, false));
        if gave_place || self.entered.borrow().is_some() && !self.has_place() {
            self.give_place(self.server.heavy.room.take());
        }
    }

    #[cold]
    fn is_slow(&self, access: &Access<'_, '_>, program: Option<&dyn Fn() -> String>) {
        let _ = self.enter(access, program);
    }

    #[cold]
    fn long(&self, access: &Access<'_, '_>) {
        if self.enter(access, None) {
            // What follows may not count its work, so this is where to try more than once.
            self.hand_over();
        }
    }

    #[cold]
    fn has_room(&self, access: &Access<'_, '_>) -> bool {
        if !self.may_wait {
            return true;
        }
        let lets_by = self.server.keyspace.turns.any() && self.let_by(access);
        !lets_by && (self.has_place() || self.enter_room())
    }

    #[cold]
    fn may_lack_room(&self) -> bool {
        let Server { heavy, keyspace, .. } = self.server;
        self.may_wait && (keyspace.turns.any() || !self.has_place() && heavy.room.is_full())
    }

    fn may_use_two(&self) -> bool {
        self.server.heavy.room.running() <= 1
    }

    fn may_block(&self) -> bool {
        !self.may_give_up() || !self.keeps_replies && self.server.heavy.begin_blocking()
    }

    fn gives_up_later(&self, database: usize, is_locked: &dyn Fn(usize) -> bool) -> Option<SlotLock> {
        let heavy = &self.server.heavy;
        if !self.may_give_up() || !heavy.any() || !heavy.is_full() {
            return None;
        }
        heavy.find_lock(|lock| {
            lock.write && usize::from(lock.database) == database && is_locked(usize::from(lock.slot))
        })
    }

    fn waits_in_vain(&self) -> bool {
        let is_closing = || self.server.clients.by_id(self.client).is_none_or(|client| client.is_closing());
        self.may_give_up() && is_closing()
    }

    fn blocks_no_longer(&self) {
        if self.may_give_up() {
            self.server.heavy.end_blocking();
        }
    }

    #[cold]
    fn gives_up(&self, lock: Option<SlotLock>) {
        self.waits.borrow_mut().get_or_insert_default().gave_up_at = Some(lock);
    }

    fn has_given_up(&self) -> bool {
        let State { lacks_room, lets_by, is_in_vain, .. } = self.state.get();
        lacks_room || lets_by || is_in_vain || self.gave_up_at().is_some()
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
