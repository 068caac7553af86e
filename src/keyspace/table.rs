//! The table of one slot: hashbrown's raw table of records, as dashmap keeps it, behind the few operations the keyspace needs.
#![allow(unsafe_code)] // hashbrown 0.14 walks its raw table only through unsafe functions; each use is argued below.

use dashmap::SharedValue;
use hashbrown::raw::RawTable;

use super::hash::{HashedKey, KeyHasher};
use super::record::Record;

/// What one dashmap shard holds. The record is key and value in one; dashmap's value half is empty.
pub type SlotTable = RawTable<(Record, SharedValue<()>)>;

/// The record of `key`, expired or not.
#[inline]
pub fn find<'t>(table: &'t SlotTable, key: &HashedKey<'_>) -> Option<&'t Record> {
    table.get(key.hash, |(record, _)| record.key() == key.bytes).map(|(record, _)| record)
}

/// The record of `key` to be changed in place.
#[inline]
pub fn find_mut<'t>(table: &'t mut SlotTable, key: &HashedKey<'_>) -> Option<&'t mut Record> {
    table.get_mut(key.hash, |(record, _)| record.key() == key.bytes).map(|(record, _)| record)
}

/// Adds a record whose key is not in the table.
#[inline]
pub fn insert_new<'t>(
    table: &'t mut SlotTable,
    hash: u64,
    record: Record,
    hasher: &KeyHasher,
) -> &'t mut Record {
    debug_assert!(table.get(hash, |(other, _)| other.key() == record.key()).is_none(), "the key is new");
    &mut table.insert_entry(hash, (record, SharedValue::new(())), |(other, _)| hasher.hash(other.key())).0
}

/// Takes a record out, and lets a table that became nearly empty shrink.
pub fn remove(table: &mut SlotTable, key: &HashedKey<'_>, hasher: &KeyHasher) -> Option<Record> {
    let record =
        table.remove_entry(key.hash, |(record, _)| record.key() == key.bytes).map(|(record, _)| record)?;
    shrink_if_sparse(table, hasher);
    Some(record)
}

/// Gives memory back once seven eighths of a table stand empty.
pub fn shrink_if_sparse(table: &mut SlotTable, hasher: &KeyHasher) {
    if table.buckets() >= 32 && table.len() * 8 < table.buckets() {
        table.shrink_to(table.len() * 2, |(record, _)| hasher.hash(record.key()));
    }
}

/// Every record, in no particular order.
pub fn iter(table: &SlotTable) -> impl Iterator<Item = &Record> {
    // SAFETY: the iterator borrows `table`, so the table is neither changed nor dropped while it lives, and every bucket
    // that it yields is full.
    unsafe { table.iter().map(|bucket| &bucket.as_ref().0) }
}

/// The first record that may have this hash and satisfies `wanted`, which has to compare what matters itself.
pub fn find_where(table: &SlotTable, hash: u64, wanted: impl Fn(&Record) -> bool) -> Option<&Record> {
    table.get(hash, |(record, _)| wanted(record)).map(|(record, _)| record)
}

/// [`find_where`] of a record to be changed in place.
pub fn find_where_mut(
    table: &mut SlotTable,
    hash: u64,
    wanted: impl Fn(&Record) -> bool,
) -> Option<&mut Record> {
    table.get_mut(hash, |(record, _)| wanted(record)).map(|(record, _)| record)
}

/// Takes out the first record that has this hash and satisfies `due`.
pub fn remove_where(table: &mut SlotTable, hash: u64, due: impl Fn(&Record) -> bool) -> Option<Record> {
    table.remove_entry(hash, |(record, _)| due(record)).map(|(record, _)| record)
}

/// A record chosen at random, each with the same probability; `None` when the table is empty.
pub fn random<'t>(table: &'t SlotTable, rng: &mut fastrand::Rng) -> Option<&'t Record> {
    if table.is_empty() {
        return None;
    }
    if table.len() * 8 < table.buckets() {
        // Mostly empty: drawing buckets would take long, walking them does not.
        return iter(table).nth(rng.usize(..table.len()));
    }
    loop {
        let index = rng.usize(..table.buckets());
        // SAFETY: `index` is below `buckets()`, and only a full bucket is read.
        unsafe {
            if table.is_bucket_full(index) {
                return Some(&table.bucket(index).as_ref().0);
            }
        }
    }
}

/// Asks the processor for the control bytes and the bucket where `hash` would be looked for first.
#[inline]
pub fn prefetch_bucket(table: &SlotTable, hash: u64) {
    let index = hash as usize & (table.buckets() - 1);
    let control = table.data_end().as_ptr();
    prefetch(control.cast::<u8>().wrapping_add(index));
    prefetch(control.wrapping_sub(index + 1).cast::<u8>());
}

/// Asks the processor for the first record that may be the one with `hash`.
#[inline]
pub fn prefetch_record(table: &SlotTable, hash: u64) {
    // The comparison takes the first record with the same seven-bit tag: nearly always the right one, and a wrong guess
    // costs nothing but the prefetch.
    if let Some((record, _)) = table.get(hash, |_| true) {
        prefetch(record.address());
        prefetch(record.address().wrapping_add(64));
    }
}

#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults and changes nothing, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
