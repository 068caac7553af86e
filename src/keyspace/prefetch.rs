//! Brings what a batch of commands will touch into the cache before the first of them runs.
//!
//! Cache misses are most of what a GET costs, and a single command cannot hide them: it needs the slot's table
//! before the bucket and the bucket before the record. A batch can: first everything up to the buckets, then all records, so that the
//! misses of one step run at the same time.

use super::database::Database;
use super::key_hash::slot_of_hash;
use super::table;

/// Keys whose lines are asked for at once.
const TOGETHER: usize = 64;

/// Prefetches tables, buckets and records of these hashes. A slot that is locked right now is passed over: this must never wait.
pub fn batch(database: &Database, hashes: impl Iterator<Item = u64> + Clone) {
    let mut rest = hashes;
    loop {
        let together = rest.clone().take(TOGETHER);
        // No hash has its highest bits.
        let mut before = u64::MAX;
        for hash in together.clone() {
            database.prefetch_slot(hash);
        }
        for hash in together {
            // The same key several times in a row is a queue or a counter: once is enough.
            if hash == before {
                continue;
            }
            before = hash;
            let slot = slot_of_hash(hash);
            if let Some(table) = database.try_read_slot(slot) {
                database.note_whereabouts(slot, &table);
                table::prefetch_record(&table, hash);
            }
        }
        if rest.nth(TOGETHER - 1).is_none() {
            return;
        }
    }
}
