//! The locks of a command: taking those of its plan in their order, waiting for them, and finding the one of
//! a key.

use std::cell::Cell;
use std::collections::HashMap;

use super::Access;
use crate::keyspace::Absence;
use crate::keyspace::database::{Database, ReadSlot, WriteSlot, wait_unless};
use crate::keyspace::gate::{Exclusive, Mapping, Wait};
use crate::keyspace::key_hash::{HashedKey, SLOT_COUNT};

/// How often a lock is tried again at once. A wait that is over by then, within a microsecond or so, is not
/// worth a look at the clock.
const TRIES: usize = 40;

/// After so many further tries, before the thread gives its core to others, it is looked who has the lock.
const TRIES_BLIND: usize = 100;

/// One lock of a plan. Plans are sorted by database and slot, which is the lock order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotLock {
    /// Number of the database, as SELECT counts.
    pub database: u16,
    /// Cluster slot, below 16384.
    pub slot: u16,
    /// Whether the lock is exclusive.
    pub write: bool,
}

impl SlotLock {
    /// Database and slot.
    pub(crate) fn place(self) -> (u16, u16) {
        (self.database, self.slot)
    }

    /// Whether two plans cannot be held at the same time: they have a slot in common that one of them writes.
    /// Each lock of the shorter plan is looked for in the longer one.
    pub fn conflict(first: &[SlotLock], second: &[SlotLock]) -> bool {
        let (short, long) = if first.len() < second.len() { (first, second) } else { (second, first) };
        short.iter().any(|lock| {
            let same = long.binary_search_by_key(&lock.place(), |other| other.place());
            same.is_ok_and(|at| long[at].write || lock.write)
        })
    }
}

/// Places of locks in a list without an order: a command that reaches for thousands of slots would search it
/// for each of its keys.
#[derive(Debug, Default)]
pub(super) struct LateLocks {
    /// Locks at the list's front that stand in `places`.
    known: usize,
    places: HashMap<(u16, u16), usize>,
}

/// How the gate is held while a command runs.
#[derive(Debug)]
pub enum Hold<'g, 'b> {
    /// Shared, by the batch.
    Shared(&'b Mapping),
    /// Exclusive: nothing else runs in the keyspace, so locks may be taken in any order, see
    /// [`Access::relock`].
    Exclusive(Exclusive<'g>),
    /// Not held: the command works on the whole keyspace and takes what it needs itself.
    None,
}

pub(super) enum SlotGuard<'g> {
    Read(ReadSlot<'g>),
    Write(WriteSlot<'g>),
    /// The database is not made, and the first lock on it guards its absence.
    Absent {
        _held: Option<Absence<'g>>,
    },
}

pub(super) struct HeldLock<'g> {
    pub(super) lock: SlotLock,
    /// `None` where the database is not made.
    pub(super) database: Option<&'g Database>,
    pub(super) guard: SlotGuard<'g>,
}

impl HeldLock<'_> {
    #[inline]
    fn is_of(&self, number: usize, slot: usize) -> bool {
        usize::from(self.lock.slot) == slot && usize::from(self.lock.database) == number
    }
}

impl<'g> Access<'g, '_> {
    /// Whether the gate is held exclusively, so that any lock may be taken at any time.
    pub fn is_alone(&self) -> bool {
        matches!(self.hold, Hold::Exclusive(_))
    }

    /// Releases all locks and takes those of another plan. Only with the gate held exclusively, where no
    /// order of locks has to be kept.
    pub fn relock(&mut self, plan: &[SlotLock]) {
        assert!(self.is_alone(), "locks are exchanged only while nobody else is in the keyspace");
        self.release();
        *self.late.get_mut() = None;
        for &lock in plan {
            let taken = self.lock(lock, plan);
            assert!(taken, "nobody else is in the keyspace");
        }
    }

    /// Releases the lock of the streak's last command and takes that of the next one, which has one key;
    /// `database` is the physical one. Returns false if it gave up waiting, as [`new`](Self::new) does.
    #[inline]
    pub fn turn_to(&mut self, database: &'g Database, lock: SlotLock) -> bool {
        self.release();
        self.lock_in(database, lock)
    }

    /// Gives the locks back, once the records that have changed under them are measured.
    #[inline]
    fn release(&mut self) {
        if !self.touched.is_empty() {
            self.measure_touched();
        }
        self.locks.clear();
    }

    /// Gives all locks back.
    #[inline]
    pub fn let_go(&mut self) {
        self.release();
        *self.late.get_mut() = None;
    }

    /// Takes the lock of a key that the command found while it ran (the patterns of SORT). Only with the gate
    /// held exclusively.
    pub fn reach(&mut self, key: &HashedKey<'_>) {
        assert!(
            self.is_alone(),
            "keys that were not declared are reached only while nobody else is in the keyspace"
        );
        let (database, slot) = (self.database, key.slot());
        if self.position(database, slot).is_none() {
            let lock = SlotLock { database: database as u16, slot: slot as u16, write: false };
            let taken = self.lock(lock, &[]);
            assert!(taken, "nobody else is in the keyspace");
        }
    }

    /// The locks that are held.
    pub fn held(&self) -> impl Iterator<Item = SlotLock> {
        self.locks.iter().map(|held| held.lock)
    }

    /// Whether the locks that are held cover this one.
    pub fn covers(&self, lock: SlotLock) -> bool {
        self.position(usize::from(lock.database), usize::from(lock.slot))
            .is_some_and(|index| self.locks[index].lock.write || !lock.write)
    }

    /// Takes a lock. Returns false if it had to wait and
    /// [`AccessSettings::give_up`](super::AccessSettings::give_up) said to give up.
    #[inline]
    pub(super) fn lock(&mut self, lock: SlotLock, plan: &[SlotLock]) -> bool {
        match self.physical(usize::from(lock.database)) {
            Some(database) => self.lock_in(database, lock),
            None => self.lock_unmade(lock, plan),
        }
    }

    /// [`lock`](Self::lock) in a database that was not made when the caller looked. If `plan` writes to the
    /// database it is made now, at the plan's first lock on it: later the command would wait for its own
    /// guard of the absence. Else the absence is guarded.
    #[cold]
    pub(super) fn lock_unmade(&mut self, lock: SlotLock, plan: &[SlotLock]) -> bool {
        let is_absent = |held: &HeldLock<'_>| held.lock.database == lock.database && held.database.is_none();
        if self.locks.last().is_some_and(is_absent) {
            self.locks.push(HeldLock { lock, database: None, guard: SlotGuard::Absent { _held: None } });
            return true;
        }
        let physical = self.mapping()[usize::from(lock.database)];
        let makes = lock.write || plan.iter().any(|other| other.database == lock.database && other.write);
        let mut wait = Wait::default();
        loop {
            let made = match self.keyspace.physical_if_used(physical) {
                None if makes => self.keyspace.try_make(physical),
                made => made,
            };
            if let Some(database) = made {
                return self.lock_in(database, lock);
            }
            if !makes && let Some(absence) = self.keyspace.try_absence(physical) {
                self.locks.push(HeldLock {
                    lock,
                    database: None,
                    guard: SlotGuard::Absent { _held: Some(absence) },
                });
                return true;
            }
            if wait.once_more() && (self.settings.give_up)() {
                return false;
            }
        }
    }

    #[inline]
    pub(super) fn lock_in(&mut self, database: &'g Database, lock: SlotLock) -> bool {
        let slot = usize::from(lock.slot);
        let guard = if lock.write {
            database.try_write_slot(slot).map(SlotGuard::Write)
        } else {
            database.try_read_slot(slot).map(SlotGuard::Read)
        };
        let Some(guard) = guard.or_else(|| self.wait_for_lock(database, lock)) else { return false };
        self.locks.push(HeldLock { lock, database: Some(database), guard });
        true
    }

    /// Waits for a slot's lock. Most locks are held for less than a microsecond, a slow script's for as long
    /// as it runs.
    #[cold]
    pub(super) fn wait_for_lock(&self, database: &'g Database, lock: SlotLock) -> Option<SlotGuard<'g>> {
        let (slot, settings) = (usize::from(lock.slot), self.settings);
        let try_lock = || {
            if lock.write {
                database.try_write_slot(slot).map(SlotGuard::Write)
            } else {
                database.try_read_slot(slot).map(SlotGuard::Read)
            }
        };
        let at_once = || {
            std::hint::spin_loop();
            try_lock()
        };
        if let Some(guard) = (0..TRIES).find_map(|_| at_once()) {
            return Some(guard);
        }
        let give_up = || {
            settings.pulse.still_waits();
            (settings.give_up)()
        };
        let tries = Cell::new(0);
        let try_again = || {
            tries.set(tries.get() + 1);
            if tries.get() == TRIES_BLIND {
                settings.pulse.still_waits();
            }
            try_lock()
        };
        settings.pulse.begins_to_wait(Some(lock));
        let guard = database.readers.while_waiting(|| wait_unless(try_again, give_up));
        settings.pulse.has_waited(guard.is_some());
        guard
    }

    #[inline]
    pub(super) fn position(&self, number: usize, slot: usize) -> Option<usize> {
        match &*self.locks {
            [held] => held.is_of(number, slot).then_some(0),
            held => match held.get(self.last.get()) {
                Some(held) if held.is_of(number, slot) => Some(self.last.get()),
                _ => self.position_among(number, slot).inspect(|index| self.last.set(*index)),
            },
        }
    }

    pub(super) fn position_among(&self, number: usize, slot: usize) -> Option<usize> {
        let matches = |held: &HeldLock<'_>| held.is_of(number, slot);
        match self.locks.len() {
            ..8 => self.locks.iter().position(matches),
            // Plans are sorted. Locks taken later under the exclusive gate stand at the end, where the search
            // from behind finds them. A request of very many keys holds nearly all slots of its database: a
            // slot's lock then stands at about the slot's share of the list.
            count if self.locks.get(slot * count / SLOT_COUNT).is_some_and(matches) => {
                Some(slot * count / SLOT_COUNT)
            }
            _ => self
                .locks
                .binary_search_by_key(&(number as u16, slot as u16), |held| {
                    (held.lock.database, held.lock.slot)
                })
                .ok()
                .or_else(|| self.late_position(number, slot)),
        }
    }

    /// Finds a lock among those that were taken later than planned, which have no order.
    fn late_position(&self, number: usize, slot: usize) -> Option<usize> {
        const FEW: usize = 64;
        if self.locks.len() <= FEW {
            return self.locks.iter().rposition(|held| held.is_of(number, slot));
        }
        let mut late = self.late.borrow_mut();
        let late = late.get_or_insert_default();
        let known = late.known;
        let new = self.locks.iter().enumerate().skip(known);
        late.places.extend(new.map(|(index, held)| ((held.lock.database, held.lock.slot), index)));
        late.known = self.locks.len();
        late.places.get(&(number as u16, slot as u16)).copied()
    }

    /// The physical database of a number, if it was made. Only with the gate held.
    #[inline]
    pub fn physical(&self, number: usize) -> Option<&'g Database> {
        self.keyspace.physical_if_used(self.mapping()[number])
    }

    #[inline]
    pub(super) fn mapping(&self) -> &Mapping {
        match &self.hold {
            Hold::Shared(mapping) => mapping,
            Hold::Exclusive(exclusive) => exclusive.mapping(),
            Hold::None => unreachable!("keys are reached only with the gate held"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_conflict_where_one_writes_what_both_hold() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..2000 {
            let mut plan = || -> Vec<SlotLock> {
                let mut plan: Vec<SlotLock> = (0..rng.usize(..6))
                    .map(|_| SlotLock { database: rng.u16(..2), slot: rng.u16(..8), write: rng.bool() })
                    .collect();
                plan.sort_unstable();
                plan.dedup_by_key(|lock| lock.place());
                plan
            };
            let (first, second) = (plan(), plan());
            let meet =
                |one: &SlotLock, other: &SlotLock| one.place() == other.place() && (one.write || other.write);
            let expected = first.iter().any(|one| second.iter().any(|other| meet(one, other)));
            assert_eq!(SlotLock::conflict(&first, &second), expected);
            assert_eq!(SlotLock::conflict(&second, &first), expected);
        }
    }
}
