//! Brings what a batch of commands will touch into the cache before the first of them runs.
//!
//! Cache misses are most of what a GET costs, and a single command cannot hide them: it needs the shard before the bucket and the
//! bucket before the record. A batch can: all shards first, then all buckets, then all records, so that the misses of one
//! step run at the same time.

use super::database::Database;
use super::hash::slot_of_hash;
use super::table;

/// Prefetches shards, buckets and records of these hashes. A slot that is locked right now is passed over: this must never wait.
pub fn batch(database: &Database, hashes: impl Iterator<Item = u64> + Clone) {
    for hash in hashes.clone() {
        table::prefetch(database.slot_address(slot_of_hash(hash)));
    }
    for hash in hashes.clone() {
        if let Some(slot) = database.try_read_slot(slot_of_hash(hash)) {
            table::prefetch_bucket(&slot, hash);
        }
    }
    for hash in hashes {
        if let Some(slot) = database.try_read_slot(slot_of_hash(hash)) {
            table::prefetch_record(&slot, hash);
        }
    }
}
