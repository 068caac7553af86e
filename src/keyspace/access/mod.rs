//! A command's access to keys: the locks of its plan, and the operations on records under them.

mod elements;
mod hit_rate;
mod locks;
mod measured;
mod pieces;
mod ttl;
mod undo;
mod whole;

use std::cell::{Cell, RefCell};

use smallvec::SmallVec;

pub use hit_rate::AccessCounts;
pub use locks::{Hold, SlotLock};

use super::Keyspace;
use super::access_clock::{AccessClock, date, date_change, fresh_access};
use super::change::{ChangeSink, EventClass};
use super::database::{Database, element_end};
use super::key_hash::{HashedKey, slot_of_hash};
use super::reaper::FreeReason;
use super::record::{Record, RecordBox, ValueRef, is_expired};
use super::sizes::may_change_in_place;
use super::sweep;
use super::table::{self, At, SlotTable};
use locks::{HeldLock, LateLocks, SlotGuard};
use measured::Kept;
use undo::UndoLog;

/// The key holds another type than the one asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherType;

/// There is no room for a command that takes long. It has changed nothing yet, and begins anew later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// Keys under lock, for one command.
pub struct Access<'g, 'b> {
    // Dropped in this order: the slots' locks before the gate.
    locks: SmallVec<[HeldLock<'g>; 1]>,
    /// Index in `locks` of the lock used last: a command mostly reaches for one key several times.
    last: Cell<usize>,
    /// Where the locks stand that were taken later than planned, once there are many.
    late: RefCell<Option<Box<LateLocks>>>,
    /// Former states of changed keys, while an undoable transaction runs.
    undo: Option<Box<UndoLog>>,
    /// The keyspace whose slots are locked.
    pub keyspace: &'g Keyspace,
    /// How the gate is held.
    pub hold: Hold<'g, 'b>,
    /// Number of the selected database, as SELECT counts.
    pub database: usize,
    /// The time of this command, in milliseconds of Unix time.
    pub now_ms: u64,
    /// Keys and fields that ended up to this time (milliseconds of Unix time) are gone for this command:
    /// `now_ms`, or 0 for a client that sees what has ended (`import-source`).
    pub ended_ms: u64,
    settings: &'b AccessSettings<'b>,
    /// Databases' numbers and hashes of keys whose size may have changed (`measured.rs`).
    touched: SmallVec<[(usize, u64); 2]>,
    /// Units of work until the next beat.
    left: Cell<usize>,
    /// The request of a transaction that runs under these locks.
    inner: RefCell<Option<Inner>>,
}

/// A request that runs within another one, as it is named where it takes long.
#[derive(Clone, Debug)]
pub struct Inner {
    /// Id of its command.
    pub command: u32,
    /// Its first key, or the beginning of that, and how long the key is.
    pub key: Option<(SmallVec<[u8; INNER_KEY_MAX]>, usize)>,
}

/// Bytes that are kept of an inner request's key: no allocation is made for it.
pub const INNER_KEY_MAX: usize = 40;

/// Settings that stay the same for all commands of a batch.
#[derive(Clone, Copy)]
pub struct AccessSettings<'b> {
    /// The time, in milliseconds of Unix time.
    pub now_ms: u64,
    /// See [`Access::ended_ms`].
    pub ended_ms: u64,
    /// A key or field that is given an expiry up to this time has ended at once: `now_ms`, or 0 while
    /// everything is kept (`import-mode`).
    pub past_ms: u64,
    /// Present reading of the access clock.
    pub clock: AccessClock,
    /// Whether reads and writes store the access clock; false with CLIENT NO-TOUCH.
    pub touch: bool,
    /// Listener that is told of new and expired keys.
    pub sink: &'b dyn ChangeSink,
    /// Counters for hits, misses and expiries.
    pub counts: &'b AccessCounts,
    /// Asked while the access waits for a lock: true to give up.
    pub give_up: &'b dyn Fn() -> bool,
    /// Told from time to time that the command goes on.
    pub pulse: &'b dyn Pulse,
}

/// Listener that is told from time to time that a command goes on, see [`Access::work`].
pub trait Pulse {
    /// Some tens of microseconds of work are done.
    fn beat(&self, access: &Access<'_, '_>);
    /// The command is about to begin something that takes long, or to wait for a lock.
    fn long(&self, access: &Access<'_, '_>);
    /// Takes a place among the commands that take long, before anything is changed. Where that fails the command has
    /// to end with [`NoRoom`].
    fn has_room(&self, access: &Access<'_, '_>) -> bool;
    /// Whether that would fail at present.
    fn may_lack_room(&self) -> bool;
    /// Whether nothing else takes long at present, so that the command may use two threads.
    fn may_use_two(&self) -> bool;
    /// The command waits for a slot's lock from now on, or for the gate (`None`): it was not free when it was
    /// tried.
    fn begins_to_wait(&self, lock: Option<SlotLock>);
    /// The command still waits, for longer than locks are mostly held.
    fn still_waits(&self);
    /// The command still waits to be alone in the keyspace, and is not broken off.
    fn waits_to_be_alone(&self);
    /// The command has the lock, or has given up.
    fn has_waited(&self, has_it: bool);
    /// The command is known to be slow: others are to find it where they wait for its locks. `program` names the
    /// script or function that it runs.
    fn is_slow(&self, access: &Access<'_, '_>, program: Option<&dyn Fn() -> String>);
    /// Whether the command may keep its thread waiting for a lock that it meets on its way through the keyspace. If
    /// so, [`blocks_no_longer`](Self::blocks_no_longer) follows.
    fn may_block(&self) -> bool;
    /// Finds a slot of this database among those that others hold for long, for which `is_locked` holds, where the
    /// command would give up when it came there.
    fn gives_up_later(&self, database: usize, is_locked: &dyn Fn(usize) -> bool) -> Option<SlotLock>;
    /// Whether nobody wants the reply any more of a command that keeps its thread waiting and may be broken off.
    fn waits_in_vain(&self) -> bool;
    /// The command that was let keep its thread waiting does so no longer.
    fn blocks_no_longer(&self);
    /// The command is broken off, as this lock is not free (`None`: the gate): it begins anew when it is.
    fn gives_up(&self, lock: Option<SlotLock>);
    /// Whether the command was broken off.
    fn has_given_up(&self) -> bool;
}

/// Units of work between two beats.
const BEAT: usize = 4096;

/// Units of work, about a millisecond, from which on it is called long before it begins.
const LONG: usize = 50_000;

impl<'g, 'b> Access<'g, 'b> {
    /// Takes the locks of `plan`, which is sorted and free of duplicates. Returns `None`, holding no lock, if
    /// it waited too long for one and was told to give up.
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
            late: RefCell::new(None),
            undo: None,
            touched: SmallVec::new(),
            left: Cell::new(BEAT),
            inner: RefCell::new(None),
        };
        for &lock in plan {
            if !access.lock(lock, plan) {
                return None;
            }
        }
        Some(access)
    }

    /// Counts work of a command that goes through many keys, elements or bytes, in units of some ten
    /// nanoseconds: one for an element that is compared or copied, a few for a key that is looked up, one for
    /// each 64 bytes.
    #[inline]
    pub fn work(&self, units: usize) {
        match self.left.get().checked_sub(units) {
            Some(left) => self.left.set(left),
            None => self.beat(),
        }
    }

    /// Notes which request of a transaction runs from here on.
    pub fn run_inner(&self, command: usize, key: Option<&[u8]>) {
        let key = key.map(|key| (SmallVec::from_slice(&key[..key.len().min(INNER_KEY_MAX)]), key.len()));
        *self.inner.borrow_mut() = Some(Inner { command: command as u32, key });
    }

    /// The request of a transaction that runs.
    pub fn inner(&self) -> Option<Inner> {
        self.inner.borrow().clone()
    }

    /// Says that the command is slow, which something else has found: the watch over a script.
    pub fn tell_slow(&self, program: Option<&dyn Fn() -> String>) {
        self.settings.pulse.is_slow(self, program);
    }

    #[cold]
    fn beat(&self) {
        self.left.set(BEAT);
        self.settings.pulse.beat(self);
    }

    /// Says how much work is to follow in one go, in the units of [`work`](Self::work), before anything is changed or
    /// told: where that is much, others are let know before it begins.
    ///
    /// # Errors
    /// Too much else of that kind is under way: the command ends, and begins anew later.
    #[inline]
    pub fn expect(&self, units: usize) -> Result<(), NoRoom> {
        if units >= LONG { self.expect_long() } else { Ok(()) }
    }

    #[cold]
    fn expect_long(&self) -> Result<(), NoRoom> {
        if !self.settings.pulse.has_room(self) {
            return Err(NoRoom);
        }
        self.settings.pulse.long(self);
        Ok(())
    }

    /// As [`expect`](Self::expect), of a command that is not broken off: it may have changed something, or mostly
    /// waits.
    #[inline]
    pub fn announce(&self, units: usize) {
        if units >= LONG {
            self.settings.pulse.long(self);
        }
    }

    /// [`expect`](Self::expect)s work on the elements of a key's value, but on no more than `most`, `units`
    /// for each. 64 bytes of a string are an element.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn expect_elements(&self, key: &HashedKey<'_>, most: usize, units: usize) -> Result<(), NoRoom> {
        if most.saturating_mul(units) < LONG {
            return Ok(());
        }
        self.expect(self.elements(key, most).saturating_mul(units))
    }

    /// As [`expect_elements`](Self::expect_elements), of a command that is not broken off.
    #[inline]
    pub fn announce_elements(&self, key: &HashedKey<'_>, most: usize, units: usize) {
        if most.saturating_mul(units) >= LONG {
            self.announce(self.elements(key, most).saturating_mul(units));
        }
    }

    /// Says how much work on a key's elements may follow, as [`expect_elements`](Self::expect_elements) does: others
    /// are let know once it turns out to be much.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn may_take(&self, key: &HashedKey<'_>, most: usize, units: usize) -> Result<(), NoRoom> {
        if most.saturating_mul(units) < LONG || !self.settings.pulse.may_lack_room() {
            return Ok(());
        }
        self.may_take_units(self.elements(key, most).saturating_mul(units))
    }

    /// Whether there is no room at present for a command that takes long: so it is worth a look beforehand.
    #[inline]
    pub fn is_room_scarce(&self) -> bool {
        self.settings.pulse.may_lack_room()
    }

    /// The same for so many units of work.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn may_take_units(&self, units: usize) -> Result<(), NoRoom> {
        let pulse = self.settings.pulse;
        if units < LONG || !pulse.may_lack_room() || pulse.has_room(self) { Ok(()) } else { Err(NoRoom) }
    }

    /// The number of elements of a key's value, 0 for a string.
    #[cold]
    fn elements(&self, key: &HashedKey<'_>, most: usize) -> usize {
        match self.peek_even_ended(key).map(Record::value) {
            Some(ValueRef::Object(object)) => object.elements().min(most),
            _ => 0,
        }
    }

    /// Returns the live record of `key` without counting or dating the access.
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

    /// Returns the record of `key` even if it has expired.
    pub fn peek_even_ended(&self, key: &HashedKey<'_>) -> Option<&Record> {
        table::find(self.table(self.database, key), key)
    }

    /// Whether a key has expired and was not removed yet.
    pub fn has_ended(&self, database: usize, key: &HashedKey<'_>) -> bool {
        table::find(self.table(database, key), key).is_some_and(|record| is_expired(record, self.ended_ms))
    }

    /// Removes a key if it has expired.
    pub fn remove_if_ended(&mut self, key: &HashedKey<'_>) {
        self.evict_expired(self.database, key);
    }

    /// Stores the access clock for a client with CLIENT NO-TOUCH, whose reads do not: what the command TOUCH
    /// is for.
    pub fn touch(&self, key: &HashedKey<'_>) {
        if !self.settings.touch
            && let Some(record) = self.peek(key)
        {
            date(record, self.settings.clock);
        }
    }

    /// Stores the access clock in a key that the command has changed, where the policy in force goes by
    /// changes. A key that the command has removed is left out.
    #[inline]
    pub fn date_change(&self, database: usize, key: &HashedKey<'_>) {
        if let AccessClock::Lrm(_) = self.settings.clock
            && let Some(index) = self.position(database, key.slot())
            && let Some(record) = table::find(self.table_of(&self.locks[index]), key)
        {
            date_change(record, self.settings.clock);
        }
    }

    /// Notes that a read met an expired key, which is removed when the command's locks are free.
    #[cold]
    pub fn note_stale(&self, database: usize, key: &[u8]) {
        self.settings.counts.stale.borrow_mut().push((database, key.into()));
    }

    /// Number of ended keys that reads of the batch have met so far.
    pub fn seen_ended(&self) -> usize {
        self.settings.counts.stale.borrow().len()
    }

    /// Calls `visit` with the database's number and the key of each ended key that reads have met since
    /// [`seen_ended`](Self::seen_ended) returned `from`.
    pub fn for_each_seen_ended(&self, from: usize, mut visit: impl FnMut(usize, &[u8])) {
        for (database, key) in &self.settings.counts.stale.borrow()[from..] {
            visit(*database, key);
        }
    }

    /// Returns the live record of `key` to be changed in place, and stores the access clock. An expired
    /// record is removed first.
    ///
    /// The caller may change strings and collections freely, but changes the expiry only by
    /// [`set_expire_at_ms`](Self::set_expire_at_ms), a hash or set only by [`change_hash`](Self::change_hash)
    /// or [`change_set`](Self::change_set), and has to remove a collection that became empty.
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

    /// Prefetches what the lookups of these keys of the selected database will read, whose slots are locked.
    pub fn fetch(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let Some(database) = self.physical(self.database) else { return };
        for hash in hashes.clone() {
            database.prefetch_slot(hash);
        }
        for hash in hashes {
            let table =
                self.position(self.database, slot_of_hash(hash)).map(|index| &self.locks[index].guard);
            match table {
                Some(SlotGuard::Read(table)) => table::prefetch_record(table, hash),
                Some(SlotGuard::Write(table)) => table::prefetch_record(table, hash),
                _ => {}
            }
        }
    }

    /// Blesses a live key of the selected database or takes its blessing away. Returns whether that is a change;
    /// `None` where there is no such key.
    pub fn bless(&mut self, key: &HashedKey<'_>, blessed: bool) -> Option<bool> {
        let at = self.locate_to_change(self.database, key)?;
        let (database, table) = self.table_mut(self.database, key);
        Some(database.bless(table, key, at, blessed))
    }

    /// Puts a record under `key` and returns the one it replaces, whose expiry is forgotten, but whose blessing
    /// stays.
    pub fn put(&mut self, key: &HashedKey<'_>, record: RecordBox) -> Option<RecordBox> {
        self.put_in(self.database, key, record)
    }

    /// [`put`](Self::put) in another database.
    pub fn put_in(&mut self, number: usize, key: &HashedKey<'_>, record: RecordBox) -> Option<RecordBox> {
        if record.access() == 0 {
            record.set_access(fresh_access(self.settings.clock));
        }
        let located = self.locate_to_change(number, key);
        let is_measured = self.keyspace.sizes.is_on();
        let (database, table) = self.table_mut(number, key);
        let (after, element_after) = (record.expire_at_ms(), element_end(&record));
        let record = match located {
            None => record,
            Some(at) => {
                database.note_new(key.hash, &record);
                database.note_replaced(key.hash, table::at(table, at), &record);
                let new = is_measured.then(|| Kept::of(&record));
                let old = std::mem::replace(&mut *table::owner_at(table, at), record);
                let (before, element_before) = (old.expire_at_ms(), element_end(&old));
                if (before.is_some() || after.is_some()) && database.note_expiry_change(key, before, after) {
                    database.rebuild_expiry(table, key.slot());
                }
                if element_before.is_some() || element_after.is_some() {
                    database.note_element_ends(table, key, element_before, element_after);
                }
                if let Some(new) = new
                    && (new.may_change || new != Kept::of(&old))
                {
                    self.note_touched(number, key.hash);
                }
                return Some(old);
            }
        };
        database.insert(table, key, record);
        self.settings.sink.changed(number, key, EventClass::NEW, "new");
        None
    }

    /// [`put_in`](Self::put_in) for commands that remove the old key and then make a new one: the event `new`
    /// is told in either case.
    pub fn replace_in(&mut self, number: usize, key: &HashedKey<'_>, record: RecordBox) -> Option<RecordBox> {
        let old = self.put_in(number, key, record);
        if old.is_some() {
            self.settings.sink.changed(number, key, EventClass::NEW, "new");
        }
        old
    }

    /// Removes a live key of the selected database and returns its record.
    pub fn remove(&mut self, key: &HashedKey<'_>) -> Option<RecordBox> {
        self.remove_in(self.database, key)
    }

    /// Removes a live key of a database and returns its record.
    pub fn remove_in(&mut self, number: usize, key: &HashedKey<'_>) -> Option<RecordBox> {
        let at = self.locate_to_change(number, key)?;
        let (database, table) = self.table_mut(number, key);
        Some(database.remove_at(table, key, at))
    }

    /// Deletes a live key of the selected database. Returns whether there was one.
    pub fn delete(&mut self, key: &HashedKey<'_>) -> bool {
        self.delete_as(key, FreeReason::Overwritten)
    }

    /// [`delete`](Self::delete) with a reason, which says where a big value is freed.
    pub fn delete_as(&mut self, key: &HashedKey<'_>, loss: FreeReason) -> bool {
        let removed = self.remove(key);
        let found = removed.is_some();
        if let Some(record) = removed {
            self.keyspace.reaper.discard(record, loss);
        }
        found
    }

    /// Frees a replaced record: a big one in the background.
    #[inline]
    pub fn discard(&self, record: Option<RecordBox>) {
        if let Some(record) = record {
            self.keyspace.reaper.discard(record, FreeReason::Overwritten);
        }
    }

    /// The present reading of the access clock under the policy in force.
    pub fn clock(&self) -> AccessClock {
        self.settings.clock
    }

    #[inline]
    fn table(&self, number: usize, key: &HashedKey<'_>) -> &SlotTable {
        self.table_of(self.held_for(number, key))
    }

    #[inline]
    fn held_for(&self, number: usize, key: &HashedKey<'_>) -> &HeldLock<'g> {
        let Some(index) = self.position(number, key.slot()) else {
            unreachable!("the command's key spec declares every key that it reads")
        };
        &self.locks[index]
    }

    #[inline]
    fn table_of<'t>(&'t self, held: &'t HeldLock<'g>) -> &'t SlotTable {
        match &held.guard {
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

    /// Finds the live record of a key that is about to change. An expired one is removed first, and an
    /// undoable transaction keeps a copy of the key's state.
    #[inline]
    fn locate_to_change(&mut self, number: usize, key: &HashedKey<'_>) -> Option<At> {
        if self.undo.is_some() {
            self.note_for_undo(number, key);
        }
        let held = self.held_for(number, key);
        let table = self.table_of(held);
        let at = table::locate(table, key)?;
        let record = table::at(table, at);
        if is_expired(record, self.ended_ms) {
            self.evict_expired(number, key);
            return None;
        }
        let is_measured = self.keyspace.sizes.is_on() && may_change_in_place(record);
        let is_read = |database: &Database| database.readers.any();
        if self.keyspace.handover.is_running() || held.database.is_some_and(is_read) {
            self.hand_over(number, key, at);
        }
        if is_measured {
            self.note_touched(number, key.hash);
        }
        Some(at)
    }

    /// Tells the snapshot that runs, and those that read the value in pieces, of a record that is about to
    /// change.
    #[cold]
    fn hand_over(&mut self, number: usize, key: &HashedKey<'_>, at: At) {
        let (database, table) = self.table_mut(number, key);
        database.about_to_change(key.hash, table::at_mut(table, at));
    }

    #[cold]
    fn evict_expired(&mut self, number: usize, key: &HashedKey<'_>) {
        let (keyspace, settings, ended_ms) = (self.keyspace, self.settings, self.ended_ms);
        // Where nothing has ended the slot may be locked for reading only, or its database not be made.
        if !self.has_ended(number, key) {
            return;
        }
        let (database, table) = self.table_mut(number, key);
        if sweep::expire(keyspace, database, table, (number, key), ended_ms, settings.sink) {
            settings.counts.expired.set(settings.counts.expired.get() + 1);
        }
    }

    #[inline]
    fn date(&self, record: &Record) {
        if self.settings.touch {
            date(record, self.settings.clock);
        }
    }
}
