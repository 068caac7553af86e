//! A command's access to keys: the locks of its plan, and the operations on records under them.

use std::cell::{Cell, RefCell};

use smallvec::SmallVec;

use super::database::{Database, ReadSlot, WriteSlot, field_end_ms};
use super::gate::{Exclusive, Mapping, Wait};
use super::key_hash::HashedKey;
use super::reaper::FreeReason;
use super::record::{Record, RecordBox};
use super::table::{self, At, SlotTable};
use super::undo::{UndoLog, UndoStep};
use super::value::Object;
use super::{Absence, Keyspace};
use crate::config::KeyspaceEvents;
use crate::types::hash::Hash;

/// One lock of a plan: (database number, slot), and whether to write. Plans are sorted by it, which is the lock order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotLock {
    /// SELECT's number.
    pub database: u16,
    /// Cluster slot.
    pub slot: u16,
    /// Exclusive if set.
    pub write: bool,
}

/// The class of a keyspace event: a bit of the directive `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventClass(pub KeyspaceEvents);

impl EventClass {
    /// `g`: commands for any type.
    pub const GENERIC: EventClass = EventClass(KeyspaceEvents::GENERIC);
    /// `$`: strings.
    pub const STRING: EventClass = EventClass(KeyspaceEvents::STRING);
    /// `l`: lists.
    pub const LIST: EventClass = EventClass(KeyspaceEvents::LIST);
    /// `s`: sets.
    pub const SET: EventClass = EventClass(KeyspaceEvents::SET);
    /// `h`: hashes.
    pub const HASH: EventClass = EventClass(KeyspaceEvents::HASH);
    /// `z`: sorted sets.
    pub const ZSET: EventClass = EventClass(KeyspaceEvents::ZSET);
    /// `x`: a key expired.
    pub const EXPIRED: EventClass = EventClass(KeyspaceEvents::EXPIRED);
    /// `e`: a key was evicted.
    pub const EVICTED: EventClass = EventClass(KeyspaceEvents::EVICTED);
    /// `t`: streams.
    pub const STREAM: EventClass = EventClass(KeyspaceEvents::STREAM);
    /// `m`: a key that was asked for is not there.
    pub const KEY_MISS: EventClass = EventClass(KeyspaceEvents::MISS);
    /// `n`: a new key.
    pub const NEW: EventClass = EventClass(KeyspaceEvents::NEW);
}

/// Who hears of changes that the keyspace makes by itself (keys that expire), under the slot's lock.
pub trait ChangeSink {
    /// `event` happened to `key` of the database with this number.
    fn changed(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str);

    /// `key` became another one without an event of its own: its database was emptied or swapped.
    fn touched(&self, database: usize, key: &HashedKey<'_>);

    /// A database was emptied, or all of them.
    fn flushed(&self);

    /// The keys of a database that somebody has to hear of when it is emptied or swapped.
    fn of_interest(&self, database: usize) -> Vec<Box<[u8]>>;
}

/// How reads and writes refresh a record's access clock.
#[derive(Clone, Copy, Debug)]
pub enum AccessClock {
    /// Seconds, 24 bits.
    Lru(u32),
    /// Minutes (16 bits) and a logarithmic counter (8 bits).
    Lfu {
        /// Minutes of Unix time, 16 bits.
        minutes: u32,
        /// `lfu-log-factor`.
        log_factor: u32,
        /// `lfu-decay-time` in minutes.
        decay_minutes: u32,
    },
}

/// How the gate is held while a command runs.
#[derive(Debug)]
pub enum Hold<'g, 'b> {
    /// Shared, by the batch.
    Shared(&'b Mapping),
    /// Alone: other locks may be taken in between, see [`Access::relock`].
    Exclusive(Exclusive<'g>),
    /// Not at all: the command takes what it needs itself.
    None,
}

enum SlotGuard<'g> {
    Read(ReadSlot<'g>),
    Write(WriteSlot<'g>),
    /// The database was not made, and is not as long as the first lock on it is held.
    Absent {
        _held: Option<Absence<'g>>,
    },
}

struct HeldLock<'g> {
    lock: SlotLock,
    /// `None` where it was not made.
    database: Option<&'g Database>,
    guard: SlotGuard<'g>,
}

impl HeldLock<'_> {
    #[inline]
    fn is_of(&self, number: usize, slot: usize) -> bool {
        usize::from(self.lock.slot) == slot && usize::from(self.lock.database) == number
    }
}

/// A key holds another type than the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherType;

/// What a batch has counted, to be added to the statistics at its end.
#[derive(Debug, Default)]
pub struct AccessCounts {
    /// Reads that found their key.
    pub hits: Cell<u64>,
    /// Reads that did not.
    pub misses: Cell<u64>,
    /// Keys found expired by a write and removed.
    pub expired: Cell<u64>,
    /// Keys found expired by a read, with their database's number: to be removed once the read's locks are free.
    pub stale: RefCell<Vec<(usize, Box<[u8]>)>>,
}

/// Keys under lock, for one command.
pub struct Access<'g, 'b> {
    // Dropped in this order: the slots' locks before the gate.
    locks: SmallVec<[HeldLock<'g>; 1]>,
    /// Which of them was used last: a command mostly reaches for a key several times.
    last: Cell<usize>,
    /// What was before, while an undoable transaction runs.
    undo: Option<Box<UndoLog>>,
    /// The keyspace behind it.
    pub keyspace: &'g Keyspace,
    /// How the gate is held.
    pub hold: Hold<'g, 'b>,
    /// The selected database's number.
    pub database: usize,
    /// The time of this command, in milliseconds of Unix time.
    pub now_ms: u64,
    /// The time up to which keys and fields have ended for this command: `now_ms`, or 0 for a client that sees what has ended.
    pub ended_ms: u64,
    settings: &'b AccessSettings<'b>,
}

/// What stays the same for all commands of a batch.
#[derive(Clone, Copy)]
pub struct AccessSettings<'b> {
    /// The time, in milliseconds of Unix time.
    pub now_ms: u64,
    /// See [`Access::ended_ms`].
    pub ended_ms: u64,
    /// A key or field given an end up to this time has ended at once: `now_ms`, or 0 while everything is kept (`import-mode`).
    pub past_ms: u64,
    /// How accesses are dated.
    pub clock: AccessClock,
    /// Whether accesses are dated at all (CLIENT NO-TOUCH).
    pub touch: bool,
    /// Who hears of expired keys.
    pub sink: &'b dyn ChangeSink,
    /// Where hits and misses are counted.
    pub counts: &'b AccessCounts,
    /// Asked while a lock is waited for: whether to give up.
    pub give_up: &'b dyn Fn() -> bool,
}

impl<'g, 'b> Access<'g, 'b> {
    /// Takes the locks of `plan`, which is sorted and free of duplicates. `None`: it waited too long for one, and holds none.
    #[inline]
    pub fn new(
        keyspace: &'g Keyspace,
        hold: Hold<'g, 'b>,
        database: usize,
        settings: &'b AccessSettings<'b>,
        plan: &[SlotLock],
    ) -> Option<Self> {
        debug_assert!(
            plan.windows(2).all(|pair| (pair[0].database, pair[0].slot) < (pair[1].database, pair[1].slot))
        );
        let mut access = Access {
            keyspace,
            hold,
            database,
            now_ms: settings.now_ms,
            ended_ms: settings.ended_ms,
            settings,
            locks: SmallVec::new(),
            last: Cell::new(0),
            undo: None,
        };
        for &lock in plan {
            if !access.lock(lock, plan) {
                return None;
            }
        }
        Some(access)
    }

    /// Whether nobody else is in the keyspace, so that any lock may be taken at any time.
    pub fn is_alone(&self) -> bool {
        matches!(self.hold, Hold::Exclusive(_))
    }

    /// Gives all locks back and takes those of another plan. Only alone, where no order of locks has to be kept.
    pub fn relock(&mut self, plan: &[SlotLock]) {
        assert!(self.is_alone(), "locks are exchanged only while nobody else is in the keyspace");
        self.locks.clear();
        for &lock in plan {
            let taken = self.lock(lock, plan);
            assert!(taken, "nobody else is in the keyspace");
        }
    }

    /// Takes the lock of the next command of a row, which has one key, instead of the one before it; `database` is the physical one.
    /// Whether it has it, as in [`new`](Self::new).
    #[inline]
    pub fn turn_to(&mut self, database: &'g Database, lock: SlotLock) -> bool {
        self.locks.clear();
        self.lock_in(database, lock)
    }

    /// Gives all locks back.
    #[inline]
    pub fn let_go(&mut self) {
        self.locks.clear();
    }

    /// Takes the lock of a key that the command found while it ran (SORT's patterns). Only alone.
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

    /// A key or field that is given an end up to this time has ended at once. 0 while everything is kept.
    pub fn past_ms(&self) -> u64 {
        self.settings.past_ms
    }

    /// Whether changes can be put back at this moment.
    pub fn can_undo(&self) -> bool {
        self.undo.is_some()
    }

    /// Whether the locks that are held cover this one.
    pub fn covers(&self, lock: SlotLock) -> bool {
        self.position(usize::from(lock.database), usize::from(lock.slot))
            .is_some_and(|index| self.locks[index].lock.write || !lock.write)
    }

    /// The live record of `key` for a reading command: counts the hit or miss and dates the access.
    #[inline]
    pub fn read(&self, key: &HashedKey<'_>) -> Option<&Record> {
        let record = self.peek(key);
        match record {
            Some(record) => {
                self.settings.counts.hits.set(self.settings.counts.hits.get() + 1);
                self.date(record);
            }
            None => self.settings.counts.misses.set(self.settings.counts.misses.get() + 1),
        }
        record
    }

    /// The live record of `key`, leaving no trace.
    #[inline]
    pub fn peek(&self, key: &HashedKey<'_>) -> Option<&Record> {
        self.peek_in(self.database, key)
    }

    /// [`peek`](Self::peek) in another database.
    #[inline]
    pub fn peek_in(&self, database: usize, key: &HashedKey<'_>) -> Option<&Record> {
        let record = table::find(self.table(database, key), key)?;
        if is_expired(record, self.ended_ms) {
            self.note_stale(database, key.bytes);
            return None;
        }
        Some(record)
    }

    /// The record of `key` as it lies in its table, even if it has ended.
    pub fn peek_even_ended(&self, key: &HashedKey<'_>) -> Option<&Record> {
        table::find(self.table(self.database, key), key)
    }

    /// Whether a key is still in its table although it has ended.
    pub fn has_ended(&self, database: usize, key: &HashedKey<'_>) -> bool {
        table::find(self.table(database, key), key).is_some_and(|record| is_expired(record, self.ended_ms))
    }

    /// Removes a key that has ended.
    pub fn remove_if_ended(&mut self, key: &HashedKey<'_>) {
        self.evict_expired(self.database, key);
    }

    /// Dates the access of a key whose reads do not because of CLIENT NO-TOUCH: what TOUCH is for.
    pub fn touch(&self, key: &HashedKey<'_>) {
        if !self.settings.touch
            && let Some(record) = self.peek(key)
        {
            date(record, self.settings.clock);
        }
    }

    /// Notes that a read came upon a key that has ended: it is removed when the command is over.
    #[cold]
    pub fn note_stale(&self, database: usize, key: &[u8]) {
        self.settings.counts.stale.borrow_mut().push((database, key.into()));
    }

    /// The live record of `key` to be changed in place; dates the access. An expired record is removed first.
    ///
    /// Lengths of collections and bytes of strings may be changed freely; the expiry only by
    /// [`set_expire_at_ms`](Self::set_expire_at_ms), and a collection that became empty must be removed.
    #[inline]
    pub fn write(&mut self, key: &HashedKey<'_>) -> Option<&mut Record> {
        let at = self.locate_to_change(self.database, key)?;
        let AccessSettings { clock, touch, .. } = *self.settings;
        let (_, table) = self.table_mut(self.database, key);
        let record = table::at_mut(table, at);
        if touch {
            date(record, clock);
        }
        Some(record)
    }

    /// Puts a record where none is or instead of the one that is there, whose expiry is forgotten with it.
    pub fn put(&mut self, key: &HashedKey<'_>, record: RecordBox) -> Option<RecordBox> {
        self.put_in(self.database, key, record)
    }

    /// [`put`](Self::put) in another database.
    pub fn put_in(&mut self, number: usize, key: &HashedKey<'_>, record: RecordBox) -> Option<RecordBox> {
        if record.access() == 0 {
            record.set_access(fresh_access(self.settings.clock));
        }
        let located = self.locate_to_change(number, key);
        let (database, table) = self.table_mut(number, key);
        let (after, field_after) = (record.expire_at_ms(), field_end_ms(&record));
        let record = match located {
            None => record,
            Some(at) => {
                let old = std::mem::replace(&mut *table::owner_at(table, at), record);
                let (before, field_before) = (old.expire_at_ms(), field_end_ms(&old));
                if (before.is_some() || after.is_some()) && database.note_expiry_change(key, before, after) {
                    database.rebuild_expiry(table, key.slot());
                }
                if field_before.is_some() || field_after.is_some() {
                    database.note_field_ends(table, key, field_before, field_after);
                }
                return Some(old);
            }
        };
        database.insert(table, key, record);
        self.settings.sink.changed(number, key, EventClass::NEW, "new");
        None
    }

    /// [`put_in`](Self::put_in) for commands that remove what is there and then make the key, which is told as a new one.
    pub fn replace_in(&mut self, number: usize, key: &HashedKey<'_>, record: RecordBox) -> Option<RecordBox> {
        let old = self.put_in(number, key, record);
        if old.is_some() {
            self.settings.sink.changed(number, key, EventClass::NEW, "new");
        }
        old
    }

    /// Takes a live key out of the selected database.
    pub fn remove(&mut self, key: &HashedKey<'_>) -> Option<RecordBox> {
        self.remove_in(self.database, key)
    }

    /// Takes a live key out of a database.
    pub fn remove_in(&mut self, number: usize, key: &HashedKey<'_>) -> Option<RecordBox> {
        let at = self.locate_to_change(number, key)?;
        let (database, table) = self.table_mut(number, key);
        Some(database.remove_at(table, key, at))
    }

    /// Deletes a live key. Whether there was one.
    pub fn delete(&mut self, key: &HashedKey<'_>) -> bool {
        self.delete_as(key, FreeReason::Overwritten)
    }

    /// [`delete`](Self::delete), and why: that says where a big value is freed.
    pub fn delete_as(&mut self, key: &HashedKey<'_>, loss: FreeReason) -> bool {
        let removed = self.remove(key);
        let found = removed.is_some();
        if let Some(record) = removed {
            self.keyspace.reaper.discard(record, loss);
        }
        found
    }

    /// Sets or removes the expiry of a live key. Whether there was one.
    pub fn set_expire_at_ms(&mut self, key: &HashedKey<'_>, at_ms: Option<u64>) -> bool {
        let Some(at) = self.locate_to_change(self.database, key) else { return false };
        let (database, table) = self.table_mut(self.database, key);
        database.set_expire_at_ms(table, key, at, at_ms);
        true
    }

    /// Changes the hash under a live key in place: `None` if there is no such key. A hash that became empty must be removed.
    ///
    /// The only way to change a hash that is in the keyspace. It compares when the first field ends before and after `change`, by which
    /// the fields that are due are found and the hashes that have such fields are counted.
    ///
    /// # Errors
    /// The key holds another type.
    #[inline]
    pub fn change_hash<T>(
        &mut self,
        key: &HashedKey<'_>,
        change: impl FnOnce(&mut Hash) -> T,
    ) -> Result<Option<T>, OtherType> {
        let Some(record) = self.write(key) else { return Ok(None) };
        let Some(Object::Hash(hash)) = record.object_mut() else { return Err(OtherType) };
        let before = hash.next_expiry_ms();
        let result = change(hash);
        let after = hash.next_expiry_ms();
        if before.is_some() || after.is_some() {
            let (database, table) = self.table_mut(self.database, key);
            database.note_field_ends(table, key, before, after);
        }
        Ok(Some(result))
    }

    /// Frees a replaced record: a big one in the background.
    #[inline]
    pub fn discard(&self, record: Option<RecordBox>) {
        if let Some(record) = record {
            self.keyspace.reaper.discard(record, FreeReason::Overwritten);
        }
    }

    /// The physical database behind a number, if it was made. Only with the gate held.
    #[inline]
    pub fn physical(&self, number: usize) -> Option<&'g Database> {
        self.keyspace.physical_if_used(self.mapping()[number])
    }

    #[inline]
    fn mapping(&self) -> &Mapping {
        match &self.hold {
            Hold::Shared(mapping) => mapping,
            Hold::Exclusive(exclusive) => exclusive.mapping(),
            Hold::None => unreachable!("keys are reached only with the gate held"),
        }
    }

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

    fn swap_alone(&mut self, first: usize, second: usize) {
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

    /// From here on what changes can be put back, until [`keep_changes`](Self::keep_changes) or
    /// [`undo_changes`](Self::undo_changes).
    pub fn begin_undo(&mut self) {
        debug_assert!(self.undo.is_none(), "transactions that can be undone do not nest");
        self.undo = Some(Box::default());
    }

    /// The changes stay.
    pub fn keep_changes(&mut self) {
        if let Some(undo) = self.undo.take() {
            undo.discard(&self.keyspace.reaper);
        }
    }

    /// Puts everything back as it was at [`begin_undo`](Self::begin_undo): values, expiries and access times.
    pub fn undo_changes(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        for step in undo.into_steps() {
            match step {
                UndoStep::Key { database, key, hash, before } => {
                    let key = HashedKey { bytes: &key, hash };
                    if self.is_alone() {
                        self.relock(&[SlotLock {
                            database: database as u16,
                            slot: key.slot() as u16,
                            write: true,
                        }]);
                    }
                    let (database, table) = self.table_mut(database, &key);
                    let after = database.remove(table, &key);
                    if let Some(before) = before {
                        database.insert(table, &key, before);
                    }
                    self.discard(after);
                }
                UndoStep::Flushed { physical, slot, table } => {
                    self.locks.clear();
                    self.keyspace.physical(physical).restore_slot(slot, table);
                }
                UndoStep::Swapped(first, second) => {
                    self.locks.clear();
                    self.swap_alone(first, second);
                }
            }
        }
    }

    /// How a record's access clock reads now under the policy in force.
    pub fn clock(&self) -> AccessClock {
        self.settings.clock
    }

    /// Takes a lock. Whether it has it: not if it had to wait, and what it waits for may last ([`AccessSettings::give_up`]).
    #[inline]
    fn lock(&mut self, lock: SlotLock, plan: &[SlotLock]) -> bool {
        match self.physical(usize::from(lock.database)) {
            Some(database) => self.lock_in(database, lock),
            None => self.lock_unmade(lock, plan),
        }
    }

    /// [`lock`](Self::lock) in a database that was not made when it was looked for. It is made if `plan` writes to it: at its first lock,
    /// so that nobody waits for a database that he holds absent himself. Else its absence is held.
    #[cold]
    fn lock_unmade(&mut self, lock: SlotLock, plan: &[SlotLock]) -> bool {
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
    fn lock_in(&mut self, database: &'g Database, lock: SlotLock) -> bool {
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

    /// Most locks are held for less than a microsecond; a script may hold one for as long as it likes.
    #[cold]
    fn wait_for_lock(&self, database: &'g Database, lock: SlotLock) -> Option<SlotGuard<'g>> {
        let slot = usize::from(lock.slot);
        let mut wait = Wait::default();
        loop {
            let guard = if lock.write {
                database.try_write_slot(slot).map(SlotGuard::Write)
            } else {
                database.try_read_slot(slot).map(SlotGuard::Read)
            };
            if guard.is_some() {
                return guard;
            }
            if wait.once_more() && (self.settings.give_up)() {
                return None;
            }
        }
    }

    #[inline]
    fn position(&self, number: usize, slot: usize) -> Option<usize> {
        match &*self.locks {
            [held] => held.is_of(number, slot).then_some(0),
            held => match held.get(self.last.get()) {
                Some(held) if held.is_of(number, slot) => Some(self.last.get()),
                _ => self.position_among(number, slot).inspect(|index| self.last.set(*index)),
            },
        }
    }

    fn position_among(&self, number: usize, slot: usize) -> Option<usize> {
        let matches = |held: &HeldLock<'_>| held.is_of(number, slot);
        match self.locks.len() {
            ..8 => self.locks.iter().position(matches),
            // Plans are sorted; under the exclusive gate locks are added at the end, where the search from behind finds them.
            _ => self
                .locks
                .binary_search_by_key(&(number as u16, slot as u16), |held| {
                    (held.lock.database, held.lock.slot)
                })
                .ok()
                .or_else(|| self.locks.iter().rposition(matches)),
        }
    }

    #[inline]
    fn table(&self, number: usize, key: &HashedKey<'_>) -> &SlotTable {
        let Some(index) = self.position(number, key.slot()) else {
            unreachable!("the command's key spec declares every key that it reads")
        };
        match &self.locks[index].guard {
            SlotGuard::Read(guard) => guard,
            SlotGuard::Write(guard) => guard,
            SlotGuard::Absent { .. } => self.keyspace.nothing(),
        }
    }

    #[inline]
    fn table_mut(&mut self, number: usize, key: &HashedKey<'_>) -> (&'g Database, &mut SlotTable) {
        let Some(index) = self.position(number, key.slot()) else {
            unreachable!("the command's key spec declares every key that it writes")
        };
        let held = &mut self.locks[index];
        match (&mut held.guard, held.database) {
            (SlotGuard::Write(guard), Some(database)) => (database, &mut **guard),
            _ => unreachable!("the command's key spec declares which keys it writes"),
        }
    }

    /// Where the live record of a key is that is about to change. An ended one is removed first, and a transaction that can be undone
    /// keeps the key as it is.
    #[inline]
    fn locate_to_change(&mut self, number: usize, key: &HashedKey<'_>) -> Option<At> {
        if self.undo.is_some() {
            self.note_for_undo(number, key);
        }
        let table = self.table(number, key);
        let at = table::locate(table, key)?;
        if is_expired(table::at(table, at), self.ended_ms) {
            self.evict_expired(number, key);
            return None;
        }
        Some(at)
    }

    #[cold]
    fn note_for_undo(&mut self, number: usize, key: &HashedKey<'_>) {
        let Some(mut undo) = self.undo.take() else { return };
        undo.note(number, key, || table::find(self.table(number, key), key));
        self.undo = Some(undo);
    }

    #[cold]
    fn evict_expired(&mut self, number: usize, key: &HashedKey<'_>) {
        let ended_ms = self.ended_ms;
        if table::find(self.table(number, key), key).is_some_and(|record| is_expired(record, ended_ms)) {
            let (database, table) = self.table_mut(number, key);
            let record = database.remove(table, key);
            self.settings.counts.expired.set(self.settings.counts.expired.get() + 1);
            self.settings.sink.changed(number, key, EventClass::EXPIRED, "expired");
            if let Some(record) = record {
                self.keyspace.reaper.discard(record, FreeReason::Expired);
            }
        }
    }

    #[inline]
    fn date(&self, record: &Record) {
        if self.settings.touch {
            date(record, self.settings.clock);
        }
    }
}

/// Whether a record has ended at `now_ms`.
#[inline]
pub fn is_expired(record: &Record, now_ms: u64) -> bool {
    record.expire_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
}

/// Counter of a new key under LFU: not zero, so that it is not evicted before it could be used (Redis's figure).
const LFU_INITIAL: u32 = 5;

/// The access clock of a new record.
pub fn fresh_access(clock: AccessClock) -> u32 {
    match clock {
        AccessClock::Lru(seconds) => seconds,
        AccessClock::Lfu { minutes, .. } => minutes << 8 | LFU_INITIAL,
    }
}

/// The LFU counter of an access value, decayed to now.
pub fn lfu_counter(access: u32, minutes: u32, decay_minutes: u32) -> u32 {
    let idle = minutes.wrapping_sub(access >> 8) & 0xffff;
    let periods = idle.checked_div(decay_minutes).unwrap_or(0);
    (access & 0xff).saturating_sub(periods)
}

#[inline]
fn date(record: &Record, clock: AccessClock) {
    let old = record.access();
    let new = match clock {
        AccessClock::Lru(seconds) => seconds,
        AccessClock::Lfu { minutes, log_factor, decay_minutes } => {
            let counter = lfu_counter(old, minutes, decay_minutes);
            minutes << 8 | lfu_increment(counter, log_factor)
        }
    };
    // Stored only when it changed: most reads of a hot key then leave its cache line clean.
    if new != old {
        record.set_access(new);
    }
}

/// Logarithmic counting: the higher the counter, the less probable the next step (Redis's rule).
fn lfu_increment(counter: u32, log_factor: u32) -> u32 {
    if counter >= 255 {
        return 255;
    }
    let base = counter.saturating_sub(LFU_INITIAL);
    let probability = 1.0 / (f64::from(base) * f64::from(log_factor) + 1.0);
    if fastrand::f64() < probability { counter + 1 } else { counter }
}
