//! Work on whole databases: walks over their slots, FLUSHALL and FLUSHDB, SWAPDB.

use std::ops::Range;

use super::{Access, Hold, SlotLock, SlotTable};
use crate::keyspace::database::Database;
use crate::keyspace::gate::Shared;
use crate::keyspace::key_hash::{HashedKey, SLOT_COUNT};
use crate::keyspace::record::is_expired;
use crate::keyspace::table;

/// Slots that a walk visits before it lets the gate go.
const PIECE: usize = 64;

impl Access<'_, '_> {
    /// Runs `work` on a whole database with no slot locked: the gate is held while it runs, and `work` locks
    /// slots one at a time. Returns `None`, and makes nothing, where the database is not made.
    pub fn with_database<T>(&self, number: usize, work: impl FnOnce(&Database) -> T) -> Option<T> {
        if let Hold::None = self.hold {
            self.settings.pulse.may_wait(self);
            let mapping = self.pass_gate();
            return self.keyspace.physical_if_used(mapping[number]).map(work);
        }
        self.physical(number).map(work)
    }

    /// Calls `visit` for the table of each slot of a database, one slot locked at a time. The gate is held
    /// for a piece of the slots at a time, so that commands which need it alone get their turn between two
    /// pieces. The database stays the one that the number meant at the beginning. Alone in the keyspace, the
    /// walk sees one instant.
    pub fn walk(&self, number: usize, slots: Range<usize>, mut visit: impl FnMut(&SlotTable)) {
        if !matches!(self.hold, Hold::None) {
            let Some(database) = self.physical(number) else { return };
            return slots.for_each(|slot| self.visit_slot(database, slot, &mut visit));
        }
        let physical = self.pass_gate()[number];
        self.walk_of(physical, slots, visit);
    }

    fn walk_of(&self, physical: u16, slots: Range<usize>, mut visit: impl FnMut(&SlotTable)) {
        for first in slots.clone().step_by(PIECE) {
            let _shared = self.pass_gate();
            let Some(database) = self.keyspace.physical_if_used(physical) else { return };
            (first..slots.end.min(first + PIECE))
                .for_each(|slot| self.visit_slot(database, slot, &mut visit));
        }
    }

    /// Walks as [`walk`](Self::walk) does, on two threads where the database has very many keys, other
    /// commands may run and there is more than one worker: another thread visits the upper half of the slots,
    /// with `there`. All others are visited with `here`.
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
        let physical = self.pass_gate()[number];
        let database = keyspace.physical_if_used(physical);
        if database.is_none_or(|database| database.len() < KEYS_MIN) {
            return self.walk_of(physical, slots, here);
        }
        self.settings.pulse.long(self);
        let (middle, end, worker) = (slots.start + slots.len() / 2, slots.end, crate::worker::current());
        let visit = &mut there;
        let is_walked = std::thread::scope(|scope| {
            let walk = move || {
                for first in (middle..end).step_by(PIECE) {
                    let _shared = keyspace.gate.shared(worker);
                    let Some(database) = keyspace.physical_if_used(physical) else { return };
                    for slot in first..end.min(first + PIECE) {
                        if database.slot_len(slot) > 0 {
                            visit(&database.read_slot(slot));
                        }
                    }
                }
            };
            let named = std::thread::Builder::new().name("kvarts-walk".into());
            let other = named.spawn_scoped(scope, walk);
            self.walk_of(physical, slots.start..middle, here);
            other.is_ok()
        });
        if !is_walked {
            // The system has no thread to give.
            self.walk_of(physical, middle..slots.end, there);
        }
    }

    /// The numbers of the databases that were made, by their physical ones.
    pub fn numbers_by_physical(&self) -> std::collections::HashMap<u16, usize> {
        let made = |mapping: &[u16]| {
            let all = mapping.iter().enumerate().map(|(number, physical)| (*physical, number));
            all.filter(|(physical, _)| self.keyspace.physical_if_used(*physical).is_some()).collect()
        };
        match self.hold {
            Hold::None => made(&self.pass_gate()),
            _ => made(self.mapping()),
        }
    }

    /// Passes the gate beside others. What holds it alone may hold it for long.
    fn pass_gate(&self) -> Shared<'_> {
        let (gate, worker) = (&self.keyspace.gate, crate::worker::current());
        gate.shared_unless(worker, || true).unwrap_or_else(|| {
            self.settings.pulse.long(self);
            gate.shared(worker)
        })
    }

    fn visit_slot(&self, database: &Database, slot: usize, visit: &mut impl FnMut(&SlotTable)) {
        self.work(1);
        if database.slot_len(slot) == 0 {
            return;
        }
        let table = database.try_read_slot(slot).unwrap_or_else(|| {
            // A command that holds the slot may hold it for long.
            self.settings.pulse.long(self);
            database.read_slot(slot)
        });
        self.work(table.len() * 4);
        visit(&table);
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
