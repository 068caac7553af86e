//! Brings what a batch of commands will touch into the cache before the first of them runs.
//!
//! Cache misses are most of what a GET costs, and a single command cannot hide them: it needs the shard before the table, the
//! table before the bucket and the bucket before the record. A batch can: all shards first, then all tables, and so on, so that the misses of one
//! step run at the same time.

use smallvec::SmallVec;

use super::database::{Database, ReadSlot};
use super::hash::slot_of_hash;
use super::table;

/// Slots that are locked at once.
const TOGETHER: usize = 64;

/// Prefetches shards, tables, buckets and records of these hashes. A slot that is locked right now is passed over: this must never wait.
pub fn batch(database: &Database, hashes: impl Iterator<Item = u64> + Clone) {
    let mut rest = hashes;
    loop {
        let together = rest.clone().take(TOGETHER);
        for hash in together.clone() {
            table::prefetch(database.slot_address(slot_of_hash(hash)));
        }
        // Held until the records are asked for: half the locking.
        let mut slots: SmallVec<[(ReadSlot<'_>, u64); TOGETHER]> = SmallVec::new();
        for hash in together {
            if let Some(slot) = database.try_read_slot(slot_of_hash(hash)) {
                table::prefetch(std::ptr::from_ref(&*slot).cast());
                slots.push((slot, hash));
            }
        }
        for (slot, hash) in &slots {
            table::prefetch_bucket(slot, *hash);
        }
        for (slot, hash) in &slots {
            table::prefetch_record(slot, *hash);
        }
        if rest.nth(TOGETHER - 1).is_none() {
            return;
        }
    }
}
