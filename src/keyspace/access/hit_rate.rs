//! The hit rate: reads that find their key and reads that do not, counted for each batch. The batch adds them
//! to the worker's counters (`engine/batch.rs`), whose sums INFO shows as `keyspace_hits` and
//! `keyspace_misses`.

use std::cell::{Cell, RefCell};

use super::Access;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::Record;

/// Counters of a batch, added to the statistics at its end.
#[derive(Debug, Default)]
pub struct AccessCounts {
    /// Reads that found their key.
    pub hits: Cell<u64>,
    /// Reads that did not.
    pub misses: Cell<u64>,
    /// Keys found expired by a write and removed.
    pub expired: Cell<u64>,
    /// Keys found expired by a read, with their database's number: to be removed once the read's locks are
    /// free.
    pub stale: RefCell<Vec<(usize, Box<[u8]>)>>,
    /// Members of sets that a write found ended and removed.
    pub expired_members: Cell<u64>,
    /// Sets of which a command has left out members that have ended and are still there, with their database's
    /// number.
    pub left_out: RefCell<Vec<(usize, Box<[u8]>)>>,
}

impl AccessCounts {
    /// Hits and misses up to now.
    #[inline]
    pub fn accesses(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }

    /// Takes back the hits and misses of a command that was broken off and begins anew.
    pub fn set_accesses(&self, (hits, misses): (u64, u64)) {
        self.hits.set(hits);
        self.misses.set(misses);
    }
}

impl Access<'_, '_> {
    /// Returns the live record of `key` for a reading command: counts the hit or miss and stores the access
    /// clock.
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
}
