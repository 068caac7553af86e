//! Sizes of the records that a command may have changed in place (`sizes/mod.rs`): noted when the command is
//! about to change them, and measured before their locks are free.

use super::Access;
use crate::keyspace::key_hash::{HashedKey, slot_of_hash};
use crate::keyspace::record::Record;
use crate::keyspace::sizes::may_change_in_place;
use crate::keyspace::table;

/// What is compared of two records to see whether one in the place of the other makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Whether it may change its size in place.
    pub(super) may_change: bool,
    /// Bytes of one that may not.
    bytes: usize,
    /// Whether such a one has an end.
    ends: bool,
}

impl Kept {
    #[inline]
    pub(super) fn of(record: &Record) -> Self {
        let may_change = may_change_in_place(record);
        if may_change {
            return Self { may_change, bytes: 0, ends: false };
        }
        Self { may_change, bytes: record.memory_bytes(), ends: record.expire_at_ms().is_some() }
    }
}

impl Access<'_, '_> {
    /// Bytes that a live key of the selected database takes, with its part of its slot's tables; `None` where there is
    /// no such key.
    pub fn memory_bytes(&self, key: &HashedKey<'_>) -> Option<usize> {
        let record = self.peek(key)?;
        let database = self.held_for(self.database, key).database?;
        Some(record.memory_bytes() + database.share(key.slot()).of(record))
    }

    /// Notes a key whose record has changed, or is about to.
    #[cold]
    pub(super) fn note_touched(&mut self, number: usize, hash: u64) {
        if self.touched.last() != Some(&(number, hash)) {
            self.touched.push((number, hash));
        }
    }

    /// Measures all whose size is not exactly known, that it can be told of. Those of slots that others have
    /// locked are left.
    pub fn measure_stale(&mut self) {
        self.measure_touched();
        let stale = self.keyspace.sizes.stale();
        if self.locks.is_empty() {
            return stale.into_iter().for_each(|(physical, hash)| self.keyspace.measure_one(physical, hash));
        }
        for (physical, hash) in stale {
            let number = self.mapping().iter().position(|mapped| *mapped == physical);
            let held = number.and_then(|number| self.position(number, slot_of_hash(hash)));
            match held {
                Some(index) => {
                    let held = &self.locks[index];
                    let is_it = |record: &Record| self.keyspace.hasher().hash(record.key()) == hash;
                    if let Some(record) = table::find_where(self.table_of(held), hash, is_it) {
                        self.keyspace.sizes.measure_if_short(physical, hash, record);
                    }
                }
                None => self.keyspace.measure_one(physical, hash),
            }
        }
    }

    /// Measures all that was noted. Its locks are still held.
    #[cold]
    pub(super) fn measure_touched(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let sizes = &self.keyspace.sizes;
        for (number, hash) in touched {
            let Some(index) = self.position(number, slot_of_hash(hash)) else { continue };
            let held = &self.locks[index];
            let Some(database) = held.database else { continue };
            let is_it = |record: &Record| database.hasher().hash(record.key()) == hash;
            // What is not there any more was forgotten when it went.
            if let Some(record) = table::find_where(self.table_of(held), hash, is_it) {
                sizes.note(database.physical, hash, record);
            }
        }
    }
}

impl Drop for Access<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if !self.touched.is_empty() {
            self.measure_touched();
        }
    }
}
