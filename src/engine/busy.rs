//! What requests hear while a slow script or a heavy command is in their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Server;
use super::batch::Batch;
use super::blockers::Waits;
use super::client::Client;
use super::delays::Held;
use super::execute::Outcome;
use super::heavy::{HeavyWatch, Needs};
use super::holders::Holder;
use crate::command::keys::LockPlan;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::error::CommandError;
use crate::keyspace::access::SlotLock;

/// Shortest pause between two looks whether a request may run.
const LOOK: Duration = Duration::from_millis(1);

/// What each client that waits adds to the pause of all: so all of them together look no more often than this.
const LOOK_EACH: Duration = Duration::from_micros(30);

/// What a request waits for before it asks for its locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// The gate, which it has waited for with its thread for long.
    Gate,
    /// The lock at which it was broken off before.
    SameLock,
    /// Room among the heavy commands.
    Room,
}

impl First {
    /// The lock at which it is broken off now.
    pub(super) fn lock(self) -> Option<Option<SlotLock>> {
        (self == First::Gate).then_some(None)
    }
}

/// The clients whose requests wait behind something slow or heavy, without a thread each: they look again and again.
#[derive(Debug, Default)]
pub struct HeldUp(AtomicUsize);

/// One of them, as long as this lives.
#[derive(Debug)]
pub struct HeldUpClient<'s> {
    all: &'s HeldUp,
    is_counted: bool,
}

impl HeldUp {
    /// Counts one more. The console is not counted, which is told how many wait.
    pub fn enter(&self, is_inside: bool) -> HeldUpClient<'_> {
        let is_counted = !is_inside;
        self.0.fetch_add(usize::from(is_counted), Ordering::Relaxed);
        HeldUpClient { all: self, is_counted }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl HeldUpClient<'_> {
    /// How long the client rests before it looks again: longer where very many wait.
    pub fn pause(&self) -> Duration {
        LOOK.max(LOOK_EACH * u32::try_from(self.all.count()).unwrap_or(u32::MAX).min(100_000))
    }
}

impl Drop for HeldUpClient<'_> {
    fn drop(&mut self) {
        self.all.0.fetch_sub(usize::from(self.is_counted), Ordering::Relaxed);
    }
}

impl Server {
    /// Whether a slow script or a heavy command runs. Two relaxed loads.
    #[inline]
    pub(super) fn runs_slow(&self) -> bool {
        self.scripting.slow.any() || self.heavy.any()
    }

    /// Whether a request has to look whether something is in its way, or has to let something by. Four loads.
    #[inline]
    pub(super) fn is_slow(&self) -> bool {
        self.runs_slow() || self.keyspace.turns.any()
    }

    /// Whether a request has to wait behind something slow or heavy, or behind an older request that was overtaken:
    /// see [`busy`](Self::busy) and [`lets_by`](Self::lets_by).
    #[cold]
    pub(super) fn is_held_up(
        &self,
        client: &Client,
        entry: &Entry,
        plan: &LockPlan,
        (alone, wide): (bool, bool),
        is_own: bool,
        mut held: Option<&mut Held>,
    ) -> Option<Outcome> {
        let busy = self.busy(client, entry, plan, (alone, wide), held.as_deref_mut());
        let lets_by = || {
            if is_own { self.lets_by(client, entry, plan, alone, held.as_deref()) } else { None }
        };
        busy.or_else(lets_by)
    }

    /// Whether a slow script or a heavy command keeps a request from running. It then waits without a thread;
    /// for a script it is refused after `busy-reply-threshold`. `alone`: the request has to be alone in the
    /// keyspace, now or later; `wide`: it is, or it works on the whole keyspace beside others. A primary's stream
    /// waits however long that takes: what was refused of it would be missing in the data.
    #[cold]
    pub(super) fn busy(
        &self,
        client: &Client,
        entry: &Entry,
        plan: &LockPlan,
        (alone, wide): (bool, bool),
        held: Option<&mut Held>,
    ) -> Option<Outcome> {
        let flags = entry.spec.flags;
        let touches_keys = wide || !plan.is_empty();
        let gate = wide && !flags.has(Flags::PASSES_NO_GATE);
        for running in self.scripting.slow.all() {
            let locks_all = wide && !flags.has(Flags::LOCKS_NO_SLOT);
            let is_busy = touches_keys && (running.stands_in_the_way_of(plan) || locks_all);
            let waits = is_busy && (gate || !wide);
            // The console is how an operator gets rid of what is in the way: it hears what is in its own way alone.
            let is_spared = flags.has(Flags::ALLOW_BUSY) || client.is_inside;
            let is_told = is_busy || running.start.declares_none && !is_spared;
            let threshold_ms = self.config.int(Directive::BusyReplyThreshold);
            let too_long = threshold_ms > 0 && running.elapsed_ms() >= threshold_ms as u64;
            if is_told && too_long && !client.is_primary {
                return Some(Outcome::Refused(CommandError::busy(running.start.function.is_some())));
            }
            if waits {
                let holder = self.heavy.of_client(running.start.runs_for);
                self.look_behind(holder.as_deref(), Needs { plan, alone: locks_all, gate }, held);
                return Some(Outcome::Busy(holder));
            }
        }
        if !self.heavy.any() {
            return None;
        }
        // All others are broken off where they turn out to take long.
        let runs_others = flags.has(Flags::RUNS_QUEUE) || self.commands.functions(entry).program.is_some();
        if runs_others && touches_keys && !client.is_loader && self.heavy.room.is_crowded() {
            return Some(Outcome::Busy(self.heavy.oldest()));
        }
        let needs = Needs { plan, alone, gate };
        let heavy = self.heavy.in_the_way_of(needs);
        let heavy = heavy.or_else(|| if alone { self.heavy.walks_on() } else { None });
        heavy.map(|holder| {
            self.look_behind(Some(&holder), needs, held);
            Outcome::Busy(Some(holder))
        })
    }

    /// Whether a request that has to be alone must not wait for that with its thread any longer: something holds
    /// locks until it ends. `may_block` where it may wait for what works on the whole keyspace piece by piece.
    pub(super) fn is_held_for_long(&self, may_block: bool) -> bool {
        let needs = Needs { plan: &[], alone: true, gate: true };
        let by_heavy = || self.heavy.any() && (!may_block || self.heavy.in_the_way_of(needs).is_some());
        self.scripting.slow.any() || by_heavy()
    }

    /// Has a request wait that was broken off: at this lock, if at any, or for lack of room.
    #[cold]
    pub(super) fn break_off(
        &self,
        lock: Option<Option<SlotLock>>,
        watch: &HeavyWatch<'_, '_>,
        batch: &mut Batch<'_>,
    ) -> Outcome {
        batch.gave_up_ns = Waits::give_up(&mut batch.waits, watch.take_waits());
        if batch.lacks_room || batch.lets_by {
            return Outcome::Busy(self.heavy.oldest());
        }
        let Some(lock) = lock else { return Outcome::Busy(self.shut_out_by(batch)) };
        batch.gave_up_at = Some(lock);
        Outcome::Busy(self.heavy.holds(lock))
    }

    /// What a request of a client of its own has to wait for before it asks for its locks.
    #[inline]
    pub(super) fn waits_first<'s>(
        &'s self,
        client: &Client,
        flags: Flags,
        touches_keys: bool,
        batch: &Batch<'_>,
        watch: &HeavyWatch<'s, '_>,
    ) -> Option<First> {
        if touches_keys && watch.waits_long() {
            return Some(First::Gate);
        }
        if let Some(held) = &batch.held {
            if self.is_still_shut_out(batch) {
                return Some(First::SameLock);
            }
            if !self.takes_place(watch, held) {
                return Some(First::Room);
            }
        }
        // Once it has its locks it waits for no room.
        let may_be_long =
            || !watch.has_place() && self.heavy.room.is_full() && self.transaction_may_be_long(client);
        (flags.has(Flags::RUNS_QUEUE) && self.heavy.any() && may_be_long()).then_some(First::Room)
    }

    /// Takes the place that a request has waited for, if it has. Returns whether it goes on.
    #[cold]
    fn takes_place<'s>(&'s self, watch: &HeavyWatch<'s, '_>, held: &Held) -> bool {
        let Some(ticket) = held.ticket.as_ref().filter(|_| !watch.has_place()) else {
            return true;
        };
        let place = self.heavy.room.ask(Some(ticket));
        place.map(|place| watch.give_place(place)).is_some()
    }

    /// Whether a request was broken off at a lock before that is not free yet.
    #[cold]
    fn is_still_shut_out(&self, batch: &Batch<'_>) -> bool {
        let Some(lock) = batch.held.as_ref().and_then(|held| held.gave_up_at) else { return false };
        let (keyspace, worker) = (&self.keyspace, crate::worker::current());
        let is_free = match lock {
            None => batch.shared.is_some() || keyspace.gate.try_shared(worker).is_some(),
            Some(SlotLock { database, slot, write }) => {
                let (slot, physical) = (usize::from(slot), keyspace.gate.shown(usize::from(database)));
                keyspace.physical_if_used(physical).is_none_or(|database| match write {
                    true => database.try_write_slot(slot).is_some(),
                    false => database.try_read_slot(slot).is_some(),
                })
            }
        };
        !is_free
    }

    /// Who has the lock at which a request was broken off before, as far as that is known.
    #[cold]
    fn shut_out_by(&self, batch: &Batch<'_>) -> Option<Arc<Holder>> {
        self.heavy.holds(batch.held.as_ref()?.gave_up_at?)
    }
}
