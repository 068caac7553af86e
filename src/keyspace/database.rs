//! One database: a dashmap whose shards are the cluster slots, and the counters of each slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use dashmap::{DashMap, RawRwLock};
use lock_api::{MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLockReadGuard, RwLockWriteGuard};

use super::blessed::Blessed;
use super::expiry_index::ExpiryIndex;
use super::gate::Wait;
use super::key_hash::{HashedKey, KeyHasher, SLOT_COUNT, SlotHasher, fingerprint_of_hash, slot_of_hash};
use super::readers::PieceReaders;
use super::reaper::Reaper;
use super::record::{Record, RecordBox, ValueRef};
use super::sizes::Sizes;
use super::snapshot::{Handover, place_of};
use super::table::{self, At, SlotTable};
use super::value::Object;
use crate::alloc::{self, Apart};
use crate::primitives::occupancy::Occupancy;

/// A slot's table under its shared lock.
pub type ReadSlot<'g> = MappedRwLockReadGuard<'g, RawRwLock, SlotTable>;
/// A slot's table under its exclusive lock.
pub type WriteSlot<'g> = MappedRwLockWriteGuard<'g, RawRwLock, SlotTable>;

/// Addresses for prefetching a slot, kept apart from the slot's table: so that the cache lines of the lock,
/// the table's header and the bucket can be asked for at once instead of one after the other. At 64 requests
/// a batch this took 6 to 9 % off the time of a GET.
#[derive(Debug)]
struct Whereabouts {
    /// Address of the table's header, which never moves.
    header: usize,
    /// The table's [hint](SlotTable::hint), written whenever it changes. Who reads it without the slot's lock may
    /// get that of before, which only prefetches a line in vain.
    buckets: AtomicU64,
}

/// A numbered database (SELECT).
#[derive(Debug)]
pub struct Database {
    map: DashMap<u16, SlotTable, SlotHasher>,
    whereabouts: Box<[Whereabouts]>,
    hasher: KeyHasher,
    keys: Box<[AtomicU32]>,
    volatile: Box<[AtomicU32]>,
    /// For each slot: hashes with at least one volatile field.
    field_ends: Box<[AtomicU32]>,
    /// Sets with at least one volatile member, in all slots.
    member_ends: AtomicUsize,
    /// The keys that are never evicted.
    pub blessed: Blessed,
    /// Expiries of keys, fields and members.
    pub expiry: ExpiryIndex,
    /// Readers of big values, see [`readers`](super::readers).
    pub readers: PieceReaders,
    /// Number of the physical database.
    pub(super) physical: u16,
    /// How far the walk of a snapshot has come; the greatest number where none runs. Changes under the lock
    /// of the slot that it is in, or while nobody else is in the keyspace.
    pub(super) snapshot_position: AtomicU64,
    handover: Arc<Handover>,
    /// The tables of the slots and their counters, without what keys make them grow by.
    tables: Apart,
    sizes: Arc<Sizes>,
}

impl Database {
    /// An empty database by itself.
    pub fn new(hasher: KeyHasher) -> Self {
        Self::of_keyspace(hasher, 0, Arc::default(), Arc::default())
    }

    /// An empty database of a keyspace.
    pub(super) fn of_keyspace(
        hasher: KeyHasher,
        physical: u16,
        handover: Arc<Handover>,
        sizes: Arc<Sizes>,
    ) -> Self {
        let (made, tables) = alloc::set_apart(|| Self::with_empty_tables(hasher, physical, handover, sizes));
        Self { tables, ..made }
    }

    fn with_empty_tables(
        hasher: KeyHasher,
        physical: u16,
        handover: Arc<Handover>,
        sizes: Arc<Sizes>,
    ) -> Self {
        let counters = || (0..SLOT_COUNT).map(|_| AtomicU32::new(0)).collect();
        let map = DashMap::with_hasher_and_shard_amount(SlotHasher::default(), SLOT_COUNT);
        for slot in 0..SLOT_COUNT {
            map.insert(slot as u16, SlotTable::new());
        }
        assert!(
            map.shards().iter().all(|shard| table::is_in_place(&shard.read())),
            "each slot has its table"
        );
        let whereabouts = map.shards().iter().map(|shard| Whereabouts {
            header: std::ptr::from_ref(table::of_shard(&shard.read())).addr(),
            buckets: AtomicU64::new(0),
        });
        let whereabouts = whereabouts.collect();
        Self {
            map,
            whereabouts,
            hasher,
            keys: counters(),
            volatile: counters(),
            field_ends: counters(),
            member_ends: AtomicUsize::new(0),
            blessed: Blessed::default(),
            expiry: ExpiryIndex::new(),
            readers: PieceReaders::default(),
            physical,
            snapshot_position: AtomicU64::new(u64::MAX),
            handover,
            tables: Apart::default(),
            sizes,
        }
    }

    /// Its number among the physical databases.
    pub fn physical_number(&self) -> u16 {
        self.physical
    }

    /// The hasher of this database's keys.
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// Locks a slot shared.
    #[inline]
    pub fn read_slot(&self, slot: usize) -> ReadSlot<'_> {
        RwLockReadGuard::map(self.map.shards()[slot].read(), table::of_shard)
    }

    /// Locks a slot exclusively.
    #[inline]
    pub fn write_slot(&self, slot: usize) -> WriteSlot<'_> {
        RwLockWriteGuard::map(self.map.shards()[slot].write(), table::of_shard_mut)
    }

    /// Locks a slot shared if that needs no waiting.
    #[inline]
    pub fn try_read_slot(&self, slot: usize) -> Option<ReadSlot<'_>> {
        self.map.shards()[slot].try_read().map(|shard| RwLockReadGuard::map(shard, table::of_shard))
    }

    /// Locks a slot exclusively if that needs no waiting.
    #[inline]
    pub fn try_write_slot(&self, slot: usize) -> Option<WriteSlot<'_>> {
        self.map.shards()[slot].try_write().map(|shard| RwLockWriteGuard::map(shard, table::of_shard_mut))
    }

    /// Locks a slot shared. Returns `None` where that takes longer than commands do and `give_up` says so.
    pub fn read_slot_unless(&self, slot: usize, give_up: impl Fn() -> bool) -> Option<ReadSlot<'_>> {
        wait_unless(|| self.try_read_slot(slot), give_up)
    }

    /// Locks a slot exclusively. Returns `None` where that takes longer than commands do and `give_up` says
    /// so.
    pub fn write_slot_unless(&self, slot: usize, give_up: impl Fn() -> bool) -> Option<WriteSlot<'_>> {
        wait_unless(|| self.try_write_slot(slot), give_up)
    }

    /// Prefetches everything up to the record with this hash: the slot's lock, its table's header, and the
    /// home bucket.
    #[inline]
    pub fn prefetch_slot(&self, hash: u64) {
        let slot = slot_of_hash(hash);
        table::prefetch(std::ptr::from_ref(&self.map.shards()[slot]).cast());
        let whereabouts = &self.whereabouts[slot];
        table::prefetch(std::ptr::without_provenance(whereabouts.header));
        table::prefetch_hinted(whereabouts.buckets.load(Ordering::Relaxed), hash);
    }

    /// Prefetches what a walk through a slot reads before its records; nothing where there is no such slot.
    pub fn prefetch_whole_slot(&self, slot: usize) {
        let Some((shard, whereabouts)) = self.map.shards().get(slot).zip(self.whereabouts.get(slot)) else {
            return;
        };
        table::prefetch(std::ptr::from_ref(shard).cast());
        table::prefetch(std::ptr::without_provenance(whereabouts.header));
        table::prefetch_all_hinted(whereabouts.buckets.load(Ordering::Relaxed));
    }

    /// Remembers where the buckets of a slot's table are, and how many there are.
    #[inline]
    pub fn note_whereabouts(&self, slot: usize, table: &SlotTable) {
        let (hint, known) = (table.hint(), &self.whereabouts[slot].buckets);
        if known.load(Ordering::Relaxed) != hint {
            known.store(hint, Ordering::Relaxed);
        }
    }

    /// Bytes of the buckets of a slot's table, as they were last noted; 0 where there are none or very many.
    pub(super) fn bucket_bytes(&self, slot: usize) -> usize {
        table::hinted_bytes(self.whereabouts[slot].buckets.load(Ordering::Relaxed))
    }

    /// Keys in a slot, expired ones that were not removed yet included.
    pub fn slot_len(&self, slot: usize) -> usize {
        self.keys[slot].load(Ordering::Relaxed) as usize
    }

    /// Volatile keys in a slot.
    pub fn slot_volatile(&self, slot: usize) -> usize {
        self.volatile[slot].load(Ordering::Relaxed) as usize
    }

    /// Keys in a slot that end, and hashes of which fields end.
    pub(super) fn slot_ends(&self, slot: usize) -> usize {
        self.slot_volatile(slot) + self.field_ends[slot].load(Ordering::Relaxed) as usize
    }

    /// Keys in all slots.
    pub fn len(&self) -> usize {
        self.keys.iter().map(|count| count.load(Ordering::Relaxed) as usize).sum()
    }

    /// Whether no slot holds a key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys with an expiry in all slots.
    pub fn volatile_len(&self) -> usize {
        self.volatile.iter().map(|count| count.load(Ordering::Relaxed) as usize).sum()
    }

    /// Number of hashes with at least one volatile field, in all slots.
    pub fn field_ends_len(&self) -> usize {
        self.field_ends.iter().map(|count| count.load(Ordering::Relaxed) as usize).sum()
    }

    /// Number of sets with at least one volatile member, in all slots.
    pub fn member_ends_len(&self) -> usize {
        self.member_ends.load(Ordering::Relaxed)
    }

    /// The key of some hash with a volatile field, of the first slot that has one.
    pub fn key_with_field_ends(&self) -> Option<Vec<u8>> {
        let mut slots = (0..SLOT_COUNT).filter(|slot| self.field_ends[*slot].load(Ordering::Relaxed) > 0);
        slots.find_map(|slot| {
            let table = self.read_slot(slot);
            let found = table::iter(&table).find(|record| field_end_ms(record).is_some());
            found.map(|record| record.key().to_vec())
        })
    }

    /// Average remaining time of volatile keys in milliseconds, from a sample of slots.
    pub fn average_ttl_ms(&self, now_ms: u64) -> u64 {
        const SAMPLE: usize = 64;
        let volatile_slots = (0..SLOT_COUNT).filter(|slot| self.slot_volatile(*slot) > 0).take(SAMPLE);
        let (mut sum, mut count) = (0u64, 0u64);
        for slot in volatile_slots {
            // Nobody waits for an average.
            let Some(table) = self.try_read_slot(slot) else { continue };
            for at_ms in table::iter(&table).take(SAMPLE).filter_map(Record::expire_at_ms) {
                sum = sum.saturating_add(at_ms.saturating_sub(now_ms));
                count += 1;
            }
        }
        sum.checked_div(count).unwrap_or(0)
    }

    /// Occupancy of all slots' tables together, and the number of slots that have keys. Tables without a key
    /// keep one bucket for the next key and are left out. `lock` locks a slot; one that it does not lock is left out.
    pub fn occupancy<'d>(&'d self, lock: impl Fn(usize) -> Option<ReadSlot<'d>>) -> (Occupancy, usize) {
        let (mut sum, mut slots) = (Occupancy::default(), 0);
        for slot in 0..SLOT_COUNT {
            if self.slot_len(slot) > 0 {
                slots += 1;
                if let Some(table) = lock(slot) {
                    table.add_occupancy(&mut sum);
                }
            }
        }
        (sum, slots)
    }

    /// Bytes of the slots' tables and counters while there are no keys.
    pub fn fixed_bytes(&self) -> u64 {
        self.tables.bytes()
    }

    /// Bytes of the buckets that keys stand in and of the entries of their ends, without the records. A table
    /// that is being changed is left out: nobody waits for a figure.
    pub fn overhead_bytes(&self) -> usize {
        let tables = (0..SLOT_COUNT).filter_map(|slot| self.try_read_slot(slot));
        let tables: usize = tables.map(|table| table.memory_bytes()).sum();
        tables + self.expiry.memory_bytes()
    }

    /// Adds a record whose key is not there. `table` is the slot's, locked exclusively.
    pub fn insert<'t>(
        &self,
        table: &'t mut SlotTable,
        key: &HashedKey<'_>,
        record: RecordBox,
    ) -> &'t mut Record {
        let slot = key.slot();
        self.note_new(key.hash, &record);
        if self.sizes.is_on() && self.sizes.wants(key.hash, &record) {
            self.sizes.note(self.physical, key.hash, &record);
        }
        add(&self.keys[slot], 1);
        if let Some(at_ms) = record.expire_at_ms() {
            add(&self.volatile[slot], 1);
            self.expiry.add(slot, at_ms, fingerprint_of_hash(key.hash), self.slot_volatile(slot));
        }
        if let Some((holder, at_ms)) = element_end(&record) {
            self.count_holder(slot, holder, true);
            self.expiry.add(slot, at_ms, fingerprint_of_hash(key.hash), self.slot_volatile(slot));
        }
        if record.is_blessed() {
            self.blessed.add(place_of_hash(key.hash), record.expire_at_ms().is_some());
        }
        if table::grow_if_full(table, self.hasher()) {
            self.note_whereabouts(slot, table);
        }
        table::insert_new(table, key.hash, record, self.hasher())
    }

    /// Whether a snapshot that runs has passed the record with this hash, or none runs. The record's slot is
    /// locked.
    #[inline]
    fn is_passed(&self, hash: u64) -> bool {
        let position = self.snapshot_position.load(Ordering::Relaxed);
        position == u64::MAX || place_of(slot_of_hash(hash), fingerprint_of_hash(hash)) < position
    }

    /// Called before a record changes or is removed: a snapshot that runs gets it as it is, and those that
    /// read its value in pieces begin again. The record is in a slot that is locked exclusively.
    #[inline]
    pub fn about_to_change(&self, hash: u64, record: &mut Record) {
        if self.readers.any() {
            self.readers.tell(Some(hash));
        }
        if !self.is_passed(hash) {
            self.handover.record(self.physical, record);
        }
    }

    /// Called for a record that is put into a slot that is locked exclusively: a snapshot that runs leaves it
    /// out.
    #[inline]
    pub fn note_new(&self, hash: u64, record: &Record) {
        record.set_handed_over(!self.is_passed(hash));
        if self.handover.is_reading() {
            self.handover.moved(self.physical, record);
        }
    }

    /// Has the table of an emptied slot freed, once a snapshot that runs has read it. Nobody else is in the
    /// keyspace.
    pub fn discard_table(&self, slot: usize, table: SlotTable, reaper: &Reaper) {
        let position = self.snapshot_position.load(Ordering::Relaxed);
        if position < place_of(slot + 1, 0) || self.handover.is_reading() {
            self.handover.table(self.physical, slot, table, position);
        } else {
            reaper.discard_table(table);
        }
    }

    /// Removes a key and returns its record. `table` is the key's slot, locked exclusively.
    pub fn remove(&self, table: &mut SlotTable, key: &HashedKey<'_>) -> Option<RecordBox> {
        let at = table::locate(table, key)?;
        Some(self.remove_at(table, key, at))
    }

    /// [`remove`](Self::remove) of a key that was located before.
    pub fn remove_at(&self, table: &mut SlotTable, key: &HashedKey<'_>, at: At) -> RecordBox {
        self.about_to_change(key.hash, table::at_mut(table, at));
        let record = table::remove_at(table, key, at);
        self.forget(key.hash, &record);
        self.shrink_if_sparse(table, key.slot());
        record
    }

    /// Shrinks a slot's table that has become nearly empty.
    fn shrink_if_sparse(&self, table: &mut SlotTable, slot: usize) {
        if table::shrink_if_sparse(table, self.hasher()) {
            self.note_whereabouts(slot, table);
        }
    }

    /// Changes a record's expiry and everything that is kept about it. The record is of `table`, locked
    /// exclusively.
    pub fn set_expire_at_ms(
        &self,
        table: &mut SlotTable,
        key: &HashedKey<'_>,
        at: At,
        expire_at_ms: Option<u64>,
    ) {
        let mut record = table::owner_at(table, at);
        self.about_to_change(key.hash, &mut record);
        let before = record.expire_at_ms();
        record.set_expire_at_ms(expire_at_ms);
        // The time takes room of its own.
        if self.sizes.is_on()
            && before.is_some() != expire_at_ms.is_some()
            && self.sizes.wants(key.hash, &record)
        {
            self.sizes.note(self.physical, key.hash, &record);
        }
        if record.is_blessed() {
            self.blessed.note_expiry(before, expire_at_ms);
        }
        drop(record);
        if self.note_expiry_change(key, before, expire_at_ms) {
            self.rebuild_expiry(table, key.slot());
        }
    }

    /// Blesses a key or takes its blessing away. Returns whether that is a change. The record is of `table`,
    /// locked exclusively.
    pub fn bless(&self, table: &mut SlotTable, key: &HashedKey<'_>, at: At, blessed: bool) -> bool {
        let record = table::at_mut(table, at);
        if record.is_blessed() == blessed {
            return false;
        }
        self.about_to_change(key.hash, record);
        record.set_blessed(blessed);
        let (place, is_volatile) = (place_of_hash(key.hash), record.expire_at_ms().is_some());
        if blessed {
            self.blessed.add(place, is_volatile);
        } else {
            self.blessed.remove(place, is_volatile);
        }
        true
    }

    /// Called for a record that takes the place of another one in a table: what is in the place of a blessed
    /// key is blessed.
    pub fn note_replaced(&self, hash: u64, old: &Record, new: &Record) {
        match (old.is_blessed(), new.is_blessed()) {
            (false, false) => {}
            (false, true) => self.blessed.add(place_of_hash(hash), new.expire_at_ms().is_some()),
            (true, _) => {
                new.set_blessed(true);
                self.blessed.note_expiry(old.expire_at_ms(), new.expire_at_ms());
            }
        }
    }

    /// Removes all keys and gives each slot's table to `taken`. Returns the number of keys. The memory of
    /// tables and expiries is given back, also in slots that were emptied before; the slots themselves stay.
    pub fn clear(&self, mut taken: impl FnMut(usize, SlotTable)) -> usize {
        let mut removed = 0;
        self.readers.tell(None);
        self.member_ends.store(0, Ordering::Relaxed);
        if self.sizes.is_on() {
            self.sizes.forget_database(self.physical);
        }
        self.blessed.clear();
        for slot in 0..SLOT_COUNT {
            let mut table = self.write_slot(slot);
            removed += table.len();
            self.expiry.rebuild(slot, std::iter::empty());
            self.expiry.publish(slot);
            if table.memory_bytes() == 0 {
                continue;
            }
            self.keys[slot].store(0, Ordering::Relaxed);
            self.volatile[slot].store(0, Ordering::Relaxed);
            self.field_ends[slot].store(0, Ordering::Relaxed);
            let old = std::mem::take(&mut *table);
            self.note_whereabouts(slot, &table);
            drop(table);
            if !old.is_empty() {
                taken(slot, old);
            }
        }
        removed
    }

    /// Gives back the memory of a slot without keys: its buckets, and the entries of ends that its keys had. Where
    /// each slot has few keys, evicting them all would else make little room.
    pub fn give_back_if_empty(&self, table: &mut SlotTable, slot: usize) {
        if table.is_empty() {
            *table = SlotTable::new();
            self.note_whereabouts(slot, table);
            self.expiry.rebuild(slot, std::iter::empty());
            self.expiry.publish(slot);
        }
    }

    /// Puts back a slot's table that [`clear`](Self::clear) took. The slot has to be empty.
    pub fn restore_slot(&self, slot: usize, old: SlotTable) {
        let mut table = self.write_slot(slot);
        debug_assert!(table.is_empty(), "only an emptied slot gets its table back");
        let volatile = table::iter(&old).filter(|record| record.expire_at_ms().is_some()).count();
        self.keys[slot].store(old.len() as u32, Ordering::Relaxed);
        self.volatile[slot].store(volatile as u32, Ordering::Relaxed);
        let field_ends = table::iter(&old).filter(|record| field_end_ms(record).is_some()).count();
        self.field_ends[slot].store(field_ends as u32, Ordering::Relaxed);
        self.member_ends.fetch_add(volatile_sets(&old), Ordering::Relaxed);
        if self.sizes.is_on() {
            for record in table::iter(&old) {
                self.sizes.note(self.physical, self.hasher.hash(record.key()), record);
            }
        }
        for record in table::iter(&old).filter(|record| record.is_blessed()) {
            let hash = self.hasher().hash(record.key());
            self.blessed.add(place_of_hash(hash), record.expire_at_ms().is_some());
        }
        *table = old;
        self.note_whereabouts(slot, &table);
        self.rebuild_expiry(&table, slot);
        self.expiry.publish(slot);
    }

    /// Replaces every record by the one that `replace` returns for it, slot by slot; where it returns `None`
    /// the record stays. A replacement has the key and expiry of the original.
    pub fn replace_all(&self, mut replace: impl FnMut(&Record) -> Option<RecordBox>) {
        for slot in 0..SLOT_COUNT {
            if self.slot_len(slot) == 0 {
                continue;
            }
            let mut table = self.write_slot(slot);
            let replacements: Vec<RecordBox> = table::iter(&table).filter_map(&mut replace).collect();
            for replacement in replacements {
                let hash = self.hasher().hash(replacement.key());
                let after = element_end(&replacement);
                let Some(at) = table::locate(&table, &HashedKey { bytes: replacement.key(), hash }) else {
                    continue;
                };
                let mut place = table::owner_at(&mut table, at);
                self.about_to_change(hash, &mut place);
                self.note_new(hash, &replacement);
                if self.sizes.is_on() && self.sizes.wants(hash, &replacement) {
                    self.sizes.note(self.physical, hash, &replacement);
                }
                debug_assert_eq!(place.expire_at_ms(), replacement.expire_at_ms());
                replacement.set_access(place.access());
                self.note_replaced(hash, &place, &replacement);
                let old = std::mem::replace(&mut *place, replacement);
                drop(place);
                let key = HashedKey { bytes: old.key(), hash };
                self.note_element_ends(&table, &key, element_end(&old), after);
            }
        }
    }

    /// Removes the key with this hash if its record satisfies `wanted`. `table` is the key's slot, locked
    /// exclusively.
    pub fn remove_by_hash(
        &self,
        table: &mut SlotTable,
        hash: u64,
        wanted: impl Fn(&Record) -> bool,
    ) -> Option<RecordBox> {
        let is_it = |record: &Record| self.hasher().hash(record.key()) == hash && wanted(record);
        let mut record = table::remove_where(table, hash, is_it)?;
        self.about_to_change(hash, &mut record);
        self.forget(hash, &record);
        self.shrink_if_sparse(table, slot_of_hash(hash));
        Some(record)
    }

    /// Removes one key that is due at `now_ms` in this slot, or up to `elements_max` due fields of one hash or
    /// members of one set.
    /// `table` is the slot's, locked exclusively. Returns `None` when nothing more is due, and then publishes
    /// the slot's next time.
    pub fn pop_due(
        &self,
        table: &mut SlotTable,
        slot: usize,
        now_ms: u64,
        elements_max: usize,
    ) -> Option<Ended> {
        while let Some((_, fingerprint)) = self.expiry.pop_due(slot, now_ms) {
            let hash = super::key_hash::hash_of_parts(slot, fingerprint);
            let same_key = |record: &Record| self.hasher().hash(record.key()) == hash;
            let is_due = |record: &Record| {
                record.expire_at_ms().is_some_and(|at_ms| at_ms <= now_ms) && same_key(record)
            };
            if let Some(mut record) = table::remove_where(table, hash, is_due) {
                self.about_to_change(hash, &mut record);
                self.forget(hash, &record);
                return Some(Ended::Key(record));
            }
            let is_volatile = |record: &Record| next_end_ms(record).is_some() && same_key(record);
            let Some(record) = table::find_where_mut(table, hash, is_volatile) else { continue };
            self.about_to_change(hash, record);
            let before = element_end(record);
            let ended = take_elements(record, now_ms, elements_max);
            if ended.as_ref().is_some_and(|ended| !ended.is_empty) && self.sizes.is_on() {
                self.sizes.note(self.physical, hash, record);
            }
            if let Some((holder, _)) = before
                && element_end(record).is_none()
            {
                self.count_holder(slot, holder, false);
            }
            // Elements that end later, and a key whose expiry was pushed back since the entry was made, are
            // entered with their present time.
            if let Some(at_ms) = next_end_ms(record) {
                self.expiry.add(slot, at_ms, fingerprint, usize::MAX / 4);
            }
            if let Some(EndedElements { holder, due_ms, elements, is_empty }) = ended {
                let key = record.key().into();
                let emptied =
                    if is_empty { table::remove_where(table, hash, |record| same_key(record)) } else { None };
                if let Some(record) = &emptied {
                    self.forget(hash, record);
                }
                return Some(Ended::Elements { holder, key, due_ms, elements, emptied });
            }
        }
        self.shrink_if_sparse(table, slot);
        self.expiry.publish(slot);
        None
    }

    /// Counts and indexes a change of the earliest expiry of a hash's fields or a set's members, from `before`
    /// to `after`. The record is in `table`, locked exclusively.
    pub fn note_element_ends(
        &self,
        table: &SlotTable,
        key: &HashedKey<'_>,
        before: Option<ElementEnd>,
        after: Option<ElementEnd>,
    ) {
        let slot = key.slot();
        if before.map(|(holder, _)| holder) != after.map(|(holder, _)| holder) {
            if let Some((holder, _)) = before {
                self.count_holder(slot, holder, false);
            }
            if let Some((holder, _)) = after {
                self.count_holder(slot, holder, true);
            }
        }
        if let Some((_, at_ms)) = after.filter(|(_, at_ms)| before.is_none_or(|(_, before)| *at_ms < before))
            && self.expiry.add(slot, at_ms, fingerprint_of_hash(key.hash), self.slot_volatile(slot))
        {
            self.rebuild_expiry(table, slot);
        }
    }

    /// Counts a collection of which elements end from now on, or do no more.
    fn count_holder(&self, slot: usize, holder: Holder, is_new: bool) {
        match (holder, is_new) {
            (Holder::Hash, true) => add(&self.field_ends[slot], 1),
            (Holder::Hash, false) => sub(&self.field_ends[slot], 1),
            (Holder::Set, true) => drop(self.member_ends.fetch_add(1, Ordering::Relaxed)),
            (Holder::Set, false) => drop(self.member_ends.fetch_sub(1, Ordering::Relaxed)),
        }
    }

    /// Counts and indexes a change of a key's expiry that was written into its record. Returns true when the
    /// caller should call [`rebuild_expiry`](Self::rebuild_expiry).
    pub fn note_expiry_change(&self, key: &HashedKey<'_>, before: Option<u64>, after: Option<u64>) -> bool {
        let slot = key.slot();
        match (before, after) {
            (None, Some(_)) => add(&self.volatile[slot], 1),
            (Some(_), None) => sub(&self.volatile[slot], 1),
            _ => {}
        }
        match after {
            // A later time needs no entry: the old one stands for it until it comes due.
            Some(at_ms) if before.is_none_or(|before| at_ms < before) => {
                self.expiry.add(slot, at_ms, fingerprint_of_hash(key.hash), self.slot_volatile(slot))
            }
            _ => false,
        }
    }

    /// Replaces the slot's expiry entries by exact ones.
    pub fn rebuild_expiry(&self, table: &SlotTable, slot: usize) {
        let entries = table::iter(table).filter_map(|record| {
            let at_ms = next_end_ms(record)?;
            Some((at_ms, fingerprint_of_hash(self.hasher().hash(record.key()))))
        });
        self.expiry.rebuild(slot, entries);
    }

    /// Counts a record that was taken out of its table.
    fn forget(&self, hash: u64, record: &Record) {
        let slot = slot_of_hash(hash);
        if self.sizes.is_on() {
            self.sizes.forget(self.physical, hash, record);
        }
        sub(&self.keys[slot], 1);
        if record.is_blessed() {
            let place = place_of_hash(self.hasher().hash(record.key()));
            self.blessed.remove(place, record.expire_at_ms().is_some());
        }
        if record.expire_at_ms().is_some() {
            sub(&self.volatile[slot], 1);
        }
        if let Some((holder, _)) = element_end(record) {
            self.count_holder(slot, holder, false);
        }
    }
}

/// The place of a key in walks.
fn place_of_hash(hash: u64) -> u64 {
    place_of(slot_of_hash(hash), fingerprint_of_hash(hash))
}

/// What has elements that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A hash, of which fields end.
    Hash,
    /// A set, of which members end.
    Set,
}

/// What has elements that end, and when the first does, in milliseconds of Unix time.
pub type ElementEnd = (Holder, u64);

/// What [`Database::pop_due`] removed.
#[derive(Debug)]
pub enum Ended {
    /// A key's record.
    Key(RecordBox),
    /// Fields of a hash, or members of a set.
    Elements {
        /// Of what.
        holder: Holder,
        /// The key of the hash or set.
        key: Box<[u8]>,
        /// Earliest expiry of these elements, in milliseconds of Unix time.
        due_ms: u64,
        /// The fields' names, or the members.
        elements: Vec<Box<[u8]>>,
        /// The record of the hash or set if nothing is left in it; it is removed too.
        emptied: Option<RecordBox>,
    },
}

struct EndedElements {
    holder: Holder,
    due_ms: u64,
    elements: Vec<Box<[u8]>>,
    is_empty: bool,
}

fn take_elements(record: &mut Record, now_ms: u64, max: usize) -> Option<EndedElements> {
    let (holder, due_ms) = element_end(record).filter(|(_, at_ms)| *at_ms <= now_ms)?;
    let (elements, is_empty) = match record.object_mut()? {
        Object::Hash(hash) => (hash.take_expired(now_ms, max), hash.is_empty()),
        Object::Set(set) => (set.take_expired(now_ms, max), set.is_empty()),
        _ => return None,
    };
    Some(EndedElements { holder, due_ms, elements, is_empty })
}

/// Number of sets in a slot's table of which members end.
fn volatile_sets(table: &SlotTable) -> usize {
    table::iter(table).filter(|record| matches!(element_end(record), Some((Holder::Set, _)))).count()
}

/// The earliest expiry of a hash's fields or a set's members.
#[inline]
pub fn element_end(record: &Record) -> Option<ElementEnd> {
    match record.value() {
        ValueRef::Object(Object::Hash(hash)) => hash.next_expiry_ms().map(|at_ms| (Holder::Hash, at_ms)),
        ValueRef::Object(Object::Set(set)) => set.next_expiry_ms().map(|at_ms| (Holder::Set, at_ms)),
        _ => None,
    }
}

/// Earliest expiry of a hash's fields; `None` where no field has one.
#[inline]
pub fn field_end_ms(record: &Record) -> Option<u64> {
    match record.value() {
        ValueRef::Object(Object::Hash(hash)) => hash.next_expiry_ms(),
        _ => None,
    }
}

/// Earliest expiry of a key or of its elements.
pub(super) fn next_end_ms(record: &Record) -> Option<u64> {
    match (record.expire_at_ms(), element_end(record)) {
        (Some(key), Some((_, element))) => Some(key.min(element)),
        (key, element) => key.or(element.map(|(_, at_ms)| at_ms)),
    }
}

/// Adds to a counter. Counters change only under the slot's exclusive lock, so a load and a store are enough;
/// readers without the lock see the old or the new value.
fn add(counter: &AtomicU32, by: u32) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

fn sub(counter: &AtomicU32, by: u32) {
    let before = counter.load(Ordering::Relaxed);
    debug_assert!(before >= by, "a slot never has fewer than no keys");
    counter.store(before.wrapping_sub(by), Ordering::Relaxed);
}

/// Tries to take a lock until it is there. Once [`Wait`] calls the wait a long one, which what ordinary
/// commands hold does not make it, `give_up` is asked between two tries.
#[inline]
pub(super) fn wait_unless<G>(try_lock: impl Fn() -> Option<G>, give_up: impl Fn() -> bool) -> Option<G> {
    let mut wait = Wait::default();
    loop {
        if let Some(guard) = try_lock() {
            return Some(guard);
        }
        if wait.once_more() && give_up() {
            return None;
        }
    }
}
