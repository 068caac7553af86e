//! Work on whole databases: walks over their slots, FLUSHALL and FLUSHDB, SWAPDB.

use super::{Access, Hold, SlotLock};
use crate::keyspace::database::Database;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::is_expired;
use crate::keyspace::table;

impl Access<'_, '_> {
    /// Works on a whole database without holding locks: the gate is entered for as long as `work` runs, which locks slots
    /// one at a time. `None` where the database was not made, which it then stays.
    pub fn with_database<T>(&self, number: usize, work: impl FnOnce(&Database) -> T) -> Option<T> {
        if let Hold::None = self.hold {
            let mapping = self.keyspace.gate.shared(crate::worker::current());
            return self.keyspace.physical_if_used(mapping[number]).map(work);
        }
        self.physical(number).map(work)
    }

    /// [`with_database`](Self::with_database) while nobody else is in the keyspace: what is seen is one instant.
    pub fn with_database_alone<T>(&self, number: usize, work: impl FnOnce(&Database) -> T) -> Option<T> {
        if let Hold::None = self.hold {
            let exclusive = self.keyspace.gate.exclusive();
            return self.keyspace.physical_if_used(exclusive.mapping()[number]).map(work);
        }
        self.physical(number).map(work)
    }

    /// Empties one database or all of them, at one instant for everybody else; the memory is freed in the background.
    /// Answers how many keys that were.
    pub fn flush(&mut self, number: Option<usize>) -> usize {
        let numbers = match number {
            Some(number) => number..number + 1,
            None => 0..self.keyspace.database_count(),
        };
        self.while_alone(|access| access.flush_alone(numbers))
    }

    /// Exchanges two databases, at one instant for everybody else.
    pub fn swap_databases(&mut self, first: usize, second: usize) {
        self.while_alone(|access| {
            if let Some(undo) = &mut access.undo {
                undo.swapped(first, second);
            }
            // That a key which has ended comes into the place of one that somebody watches is no change.
            for (number, other) in [(first, second), (second, first)] {
                if access.physical(other).is_none() {
                    continue;
                }
                for name in access.settings.sink.of_interest(number) {
                    let key = access.keyspace.hasher().key(&name);
                    let lock = SlotLock { database: other as u16, slot: key.slot() as u16, write: true };
                    access.relock(&[lock]);
                    access.evict_expired(other, &key);
                }
            }
            access.locks.clear();
            access.swap_alone(first, second);
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

    /// Does something while nobody else is in the keyspace and no slot is locked.
    fn while_alone<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.locks.clear();
        match &self.hold {
            Hold::Exclusive(_) => work(self),
            Hold::None => {
                self.hold = Hold::Exclusive(self.keyspace.gate.exclusive());
                let result = work(self);
                self.hold = Hold::None;
                result
            }
            Hold::Shared(_) => unreachable!("commands on the whole keyspace run with the gate open or alone"),
        }
    }

    fn flush_alone(&mut self, numbers: std::ops::Range<usize>) -> usize {
        let mut removed = 0;
        self.settings.sink.flushed();
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
                None => reaper.discard_table(table),
            });
        }
        removed
    }

    pub(super) fn swap_alone(&mut self, first: usize, second: usize) {
        if let Hold::Exclusive(exclusive) = &mut self.hold {
            exclusive.swap(first, second);
        }
    }

    /// Whether a live key is there. Nothing of its slot is locked.
    fn holds(&self, number: usize, key: &HashedKey<'_>) -> bool {
        let Some(database) = self.physical(number) else { return false };
        let table = database.read_slot(key.slot());
        table::find(&table, key).is_some_and(|record| !is_expired(record, self.ended_ms))
    }
}
