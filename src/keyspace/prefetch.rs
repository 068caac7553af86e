//! Prefetches the cache lines that a batch of commands will read, before the first of them runs.
//!
//! Cache misses are most of the cost of a GET, and a single command cannot hide them: it needs the slot's
//! table before the bucket and the bucket before the record. A batch can: it asks for everything up to the
//! buckets first, then for all records, so that the misses of one step overlap.

use super::database::Database;
use super::key_hash::slot_of_hash;
use super::table;

/// Number of keys that are prefetched together.
const TOGETHER: usize = 64;

/// Keys of a batch that are prefetched before it: what lies in more would be out of the caches again before
/// it is used. A command with more keys fetches them as it goes
/// ([`Access::fetch`](super::access::Access::fetch)).
pub const AHEAD_MAX: usize = 1024;

/// Prefetches tables, buckets and records of these hashes. Never waits: a slot that is locked right now is
/// passed over.
pub fn batch(database: &Database, hashes: impl Iterator<Item = u64> + Clone) {
    let mut rest = hashes.take(AHEAD_MAX);
    loop {
        let together = rest.clone().take(TOGETHER);
        // No hash has its highest bits set, so this equals none of them.
        let mut before = u64::MAX;
        for hash in together.clone() {
            database.prefetch_slot(hash);
        }
        for hash in together {
            // A key that comes several times in a row (a queue, a counter) is prefetched once.
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
