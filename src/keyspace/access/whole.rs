//! Work on whole databases: walks over their slots, FLUSHALL and FLUSHDB, SWAPDB.

use std::ops::Range;

use super::{Access, Hold, Pulse, SlotLock, SlotTable};
use crate::keyspace::database::{Database, ReadSlot, wait_unless};
use crate::keyspace::gate::Shared;
use crate::keyspace::key_hash::{HashedKey, SLOT_COUNT};
use crate::keyspace::record::is_expired;
use crate::keyspace::table;

/// Slots that a walk visits before it lets the gate go.
const PIECE: usize = 64;

/// How often a slot's lock is tried again at once, as in `locks.rs`.
const TRIES: usize = 40;

/// A place among those that may keep a thread waiting, which is given back at the end.
struct Blocking<'p>(&'p dyn Pulse);

impl Drop for Blocking<'_> {
    fn drop(&mut self) {
        self.0.blocks_no_longer();
    }
}

impl<'g> Access<'g, '_> {
    /// Runs `work` on a whole database with no slot locked: the gate is held while it runs, and `work` locks
    /// slots one at a time, by [`read_slot`](Self::read_slot). Returns `None`, and makes nothing, where the
    /// database is not made, or the command has given up.
    pub fn with_database<T>(&self, number: usize, work: impl FnOnce(&Database) -> T) -> Option<T> {
        if let Hold::None = self.hold {
            let mapping = self.pass_gate()?;
            return self.keyspace.physical_if_used(mapping[number]).map(work);
        }
        self.physical(number).map(work)
    }

    /// Runs `work`, which counts at most, on a database as it is at this moment: no gate is passed and nothing is
    /// waited for, so whoever is alone in the keyspace may be changing it. `None` where it is not made.
    pub fn glance<T>(&self, number: usize, work: impl FnOnce(&Database) -> T) -> Option<T> {
        let physical = match self.hold {
            Hold::None => self.keyspace.gate.shown(number),
            _ => self.mapping()[number],
        };
        self.keyspace.physical_if_used(physical).map(work)
    }

    /// Calls `visit` for the table of each slot of a database, one slot locked at a time. The gate is held
    /// for a piece of the slots at a time, so that commands which need it alone get their turn between two
    /// pieces. The database stays the one that the number meant at the beginning. Alone in the keyspace, the
    /// walk sees one instant.
    pub fn walk(&self, number: usize, slots: Range<usize>, mut visit: impl FnMut(&SlotTable)) {
        if !matches!(self.hold, Hold::None) {
            let Some(database) = self.physical(number) else { return };
            slots.for_each(|slot| {
                self.visit_slot(number, database, slot, &mut visit);
            });
            return;
        }
        if let Some(physical) = self.begin_walk(number, &slots) {
            self.walk_of(number, physical, slots, visit);
        }
    }

    /// Begins a walk: the physical database of a number. `None` where the command has given up, also because it would
    /// at one of these slots, so that what it did before that would be in vain.
    fn begin_walk(&self, number: usize, slots: &Range<usize>) -> Option<u16> {
        let mapping = self.pass_gate()?;
        let physical = mapping[number];
        if let Some(database) = self.keyspace.physical_if_used(physical) {
            let is_locked = |slot: usize| {
                slots.contains(&slot) && database.slot_len(slot) > 0 && database.try_read_slot(slot).is_none()
            };
            let pulse = self.settings.pulse;
            if let Some(lock) = pulse.gives_up_later(number, &is_locked) {
                pulse.gives_up(Some(lock));
                return None;
            }
        }
        Some(physical)
    }

    /// Goes on with a walk, through a physical database that had this number when the walk began.
    fn walk_of(&self, number: usize, physical: u16, slots: Range<usize>, mut visit: impl FnMut(&SlotTable)) {
        for first in slots.clone().step_by(PIECE) {
            let Some(_shared) = self.pass_gate() else { return };
            let Some(database) = self.keyspace.physical_if_used(physical) else { return };
            for slot in first..slots.end.min(first + PIECE) {
                if !self.visit_slot(number, database, slot, &mut visit) {
                    return;
                }
            }
        }
    }

    /// Walks as [`walk`](Self::walk) does, on two threads where the database has very many keys, other
    /// commands may run, nothing else takes long and there is more than one worker: another thread visits the
    /// upper half of the slots, with `there`, up to one that somebody holds for long. All others are visited
    /// with `here`.
    pub fn walk_on_two(
        &self,
        number: usize,
        slots: Range<usize>,
        here: impl FnMut(&SlotTable),
        mut there: impl FnMut(&SlotTable) + Send,
    ) {
        /// Fewer keys are not worth a thread.
        const KEYS_MIN: usize = 200_000;
        let keyspace = self.keyspace;
        if !matches!(self.hold, Hold::None) || keyspace.gate.workers() < 2 || slots.len() < SLOT_COUNT {
            return self.walk(number, slots, here);
        }
        let Some(physical) = self.begin_walk(number, &slots) else { return };
        let database = keyspace.physical_if_used(physical);
        if database.is_none_or(|database| database.len() < KEYS_MIN) {
            return self.walk_of(number, physical, slots, here);
        }
        self.settings.pulse.long(self);
        if self.settings.pulse.has_given_up() {
            return;
        }
        if !self.settings.pulse.may_use_two() {
            return self.walk_of(number, physical, slots, here);
        }
        let (middle, end, worker) = (slots.start + slots.len() / 2, slots.end, crate::worker::current());
        let visit = &mut there;
        // The first slot that the other thread has not visited.
        let reached = std::thread::scope(|scope| {
            let walk = move || {
                for first in (middle..end).step_by(PIECE) {
                    let Some(_shared) = keyspace.gate.shared_unless(worker, || true) else { return first };
                    let Some(database) = keyspace.physical_if_used(physical) else { return end };
                    for slot in first..end.min(first + PIECE) {
                        if database.slot_len(slot) == 0 {
                            continue;
                        }
                        let Some(table) = database.read_slot_unless(slot, || true) else { return slot };
                        visit(&table);
                    }
                }
                end
            };
            let named = std::thread::Builder::new().name("kvarts-walk".into());
            let other = named.spawn_scoped(scope, walk);
            self.walk_of(number, physical, slots.start..middle, here);
            match other {
                Ok(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // The system has no thread to give.
                Err(_) => middle,
            }
        });
        self.walk_of(number, physical, reached..end, there);
    }

    /// The numbers of the databases that were made, by their physical ones.
    pub fn numbers_by_physical(&self) -> std::collections::HashMap<u16, usize> {
        let made = |mapping: &[u16]| {
            let all = mapping.iter().enumerate().map(|(number, physical)| (*physical, number));
            all.filter(|(physical, _)| self.keyspace.physical_if_used(*physical).is_some()).collect()
        };
        match self.hold {
            Hold::None => self.pass_gate().map(|mapping| made(&mapping)).unwrap_or_default(),
            _ => made(self.mapping()),
        }
    }

    /// Passes the gate beside others. What holds it alone may hold it for long. `None` where the command has given
    /// up.
    fn pass_gate(&self) -> Option<Shared<'g>> {
        let (gate, worker) = (&self.keyspace.gate, crate::worker::current());
        if self.settings.pulse.has_given_up() {
            return None;
        }
        gate.try_shared(worker).or_else(|| self.wait_for(None, |give_up| gate.shared_unless(worker, give_up)))
    }

    /// Locks a slot of a database with this number shared, for work on the whole keyspace. What holds it may hold
    /// it for long. `None` where the command has given up: what it answers does not count, as it begins anew.
    pub fn read_slot<'d>(&self, number: usize, database: &'d Database, slot: usize) -> Option<ReadSlot<'d>> {
        if self.settings.pulse.has_given_up() {
            return None;
        }
        let try_lock = || database.try_read_slot(slot);
        let at_once = || {
            std::hint::spin_loop();
            try_lock()
        };
        if let Some(table) = try_lock().or_else(|| (0..TRIES).find_map(|_| at_once())) {
            return Some(table);
        }
        if !matches!(self.hold, Hold::None) {
            // Held by a thread in the background, for a moment.
            return Some(database.read_slot(slot));
        }
        let lock = SlotLock { database: number as u16, slot: slot as u16, write: false };
        let wait = |give_up: &dyn Fn() -> bool| wait_unless(try_lock, give_up);
        database.readers.while_waiting(|| self.wait_for(Some(lock), wait))
    }

    /// Waits for a lock that was not free: a slot's, or the gate (`None`). `wait` waits for it until it may give up.
    /// Where as many commands wait with a thread each as may, this one gives up, if it is one that may begin anew.
    #[cold]
    fn wait_for<T>(
        &self,
        lock: Option<SlotLock>,
        wait: impl Fn(&dyn Fn() -> bool) -> Option<T>,
    ) -> Option<T> {
        let pulse = self.settings.pulse;
        pulse.begins_to_wait(lock);
        let taken = pulse.may_block().then(|| {
            let _blocking = Blocking(pulse);
            wait(&|| true).or_else(|| {
                pulse.still_waits();
                pulse.long(self);
                wait(&|| {
                    pulse.still_waits();
                    pulse.waits_in_vain()
                })
            })
        });
        let taken = taken.flatten();
        pulse.has_waited(taken.is_some());
        if taken.is_none() {
            pulse.gives_up(lock);
        }
        taken
    }

    /// Visits a slot, where it has keys. Returns false where the command has given up.
    fn visit_slot(
        &self,
        number: usize,
        database: &Database,
        slot: usize,
        visit: &mut impl FnMut(&SlotTable),
    ) -> bool {
        self.work(1);
        if database.slot_len(slot) == 0 {
            return true;
        }
        let Some(table) = self.read_slot(number, database, slot) else { return false };
        self.work(table.len() * 4);
        visit(&table);
        true
    }

    /// Lets others into the keyspace again, for the rest of a command that was alone there.
    pub fn let_others_in(&mut self) {
        self.let_go();
        if self.is_alone() {
            self.hold = Hold::None;
        }
    }

    /// Empties one database, or all, at one instant for all other clients; the memory is freed in the
    /// background. Returns the number of keys removed.
    pub fn flush(&mut self, number: Option<usize>) -> usize {
        self.while_alone(|access| access.flush_alone(number))
    }

    /// Exchanges two databases, at one instant for all other clients.
    pub fn swap_databases(&mut self, first: usize, second: usize) {
        self.while_alone(|access| {
            if let Some(undo) = &mut access.undo {
                undo.swapped(first, second);
            }
            // An expired key that comes into the place of a watched one is removed first: it must not count
            // as a change.
            for (number, other) in [(first, second), (second, first)] {
                if access.physical(other).is_none() {
                    continue;
                }
                for name in access.settings.sink.watched(number) {
                    let key = access.keyspace.hasher().key(&name);
                    let lock = SlotLock { database: other as u16, slot: key.slot() as u16, write: true };
                    access.relock(&[lock]);
                    access.evict_expired(other, &key);
                }
            }
            access.locks.clear();
            access.swap_alone(first, second);
            access.settings.sink.swapped(first, second);
            if first != second {
                for number in [first, second] {
                    for name in access.settings.sink.of_interest(number) {
                        let key = access.keyspace.hasher().key(&name);
                        if access.holds(first, &key) || access.holds(second, &key) {
                            access.settings.sink.touched(number, &key);
                        }
                    }
                }
            }
        });
    }

    /// Runs `work` alone in the keyspace, at one instant for all other clients.
    pub fn alone<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.while_alone(|_| work())
    }

    /// Runs `work` with the gate held exclusively and no slot locked.
    fn while_alone<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.let_go();
        match &self.hold {
            Hold::Exclusive(_) => work(self),
            Hold::None => {
                // What holds the gate may be a command that runs for long.
                let gate = &self.keyspace.gate;
                let mut waited = false;
                let exclusive = gate.try_exclusive().unwrap_or_else(|| {
                    let pulse = self.settings.pulse;
                    waited = true;
                    pulse.begins_to_wait(None);
                    let exclusive = gate.exclusive(|| {
                        pulse.still_waits();
                        pulse.waits_to_be_alone();
                        pulse.long(self);
                    });
                    pulse.has_waited(true);
                    exclusive
                });
                self.hold = Hold::Exclusive(exclusive);
                if waited {
                    // Entered before as one that waits, which is in nobody's way.
                    self.tell_slow(None);
                }
                let result = work(self);
                self.hold = Hold::None;
                result
            }
            Hold::Shared(_) => unreachable!("commands on the whole keyspace run with the gate open or alone"),
        }
    }

    fn flush_alone(&mut self, number: Option<usize>) -> usize {
        let numbers = match number {
            Some(number) => number..number + 1,
            None => 0..self.keyspace.database_count(),
        };
        let mut removed = 0;
        self.settings.sink.flushed(number.unwrap_or(self.database), number.is_none());
        for number in numbers {
            for name in self.settings.sink.of_interest(number) {
                let key = self.keyspace.hasher().key(&name);
                if self.holds(number, &key) {
                    self.settings.sink.touched(number, &key);
                }
            }
            let physical = self.mapping()[number];
            let Some(database) = self.keyspace.physical_if_used(physical) else { continue };
            let (undo, reaper) = (&mut self.undo, &self.keyspace.reaper);
            removed += database.clear(|slot, table| match undo {
                Some(undo) => undo.flushed(physical, slot, table),
                None => database.discard_table(slot, table, reaper),
            });
        }
        removed
    }

    pub(super) fn swap_alone(&mut self, first: usize, second: usize) {
        if let Hold::Exclusive(exclusive) = &mut self.hold {
            exclusive.swap(first, second);
        }
    }

    /// Whether a live key exists. The slot must not be locked by this access.
    fn holds(&self, number: usize, key: &HashedKey<'_>) -> bool {
        let Some(database) = self.physical(number) else { return false };
        let table = database.read_slot(key.slot());
        table::find(&table, key).is_some_and(|record| !is_expired(record, self.ended_ms))
    }
}
