//! Walks over all keys: SCAN, KEYS, RANDOMKEY, slot listings.
//!
//! SCAN walks slot by slot, and within a slot in the order of the keys' fingerprints, which never change. So
//! a key that exists from the first call to the last is returned, whatever is added, removed or rehashed
//! meanwhile. The cursor is the whole state: the slot from bit 32 up, below it the first fingerprint that was
//! not visited yet.

use super::database::{Database, ReadSlot};
use super::key_hash::{SLOT_COUNT, fingerprint_of_hash};
use super::record::Record;
use super::table::{self, SlotTable};

/// Each call visits at least this share (1/256) of a slot. A call reads the whole slot to find the next
/// fingerprints in order, so smaller steps through a slot of very many keys (all under one hash tag) would
/// cost quadratic time.
const SLOT_SHARE: usize = 256;

/// Calls `visit` for about `count` keys from `cursor` on, within `slots`. Returns the next cursor, 0 at the
/// end. `lock` locks a slot; where it does not the walk ends, and its answer does not count.
pub fn scan<'d>(
    database: &'d Database,
    lock: impl Fn(usize) -> Option<ReadSlot<'d>>,
    cursor: u64,
    count: usize,
    slots: std::ops::Range<usize>,
    mut visit: impl FnMut(&Record),
) -> u64 {
    let mut slot = ((cursor >> 32) as usize).max(slots.start);
    let mut from = cursor as u32;
    let mut left = count.max(1);
    while slot < slots.end.min(SLOT_COUNT) {
        if database.slot_len(slot) > 0 {
            let Some(table) = lock(slot) else { return 0 };
            let take = left.max(table.len() / SLOT_SHARE);
            let mut found: Vec<(u32, &Record)> = table::iter(&table)
                .map(|record| (fingerprint_of_hash(database.hasher().hash(record.key())), record))
                .filter(|(fingerprint, _)| *fingerprint >= from)
                .collect();
            let mut next = None;
            if found.len() > take {
                // Keys with equal fingerprints are visited together: the cut is at a fingerprint, not at a
                // count.
                let (_, cut, _) = found.select_nth_unstable_by_key(take, |(fingerprint, _)| *fingerprint);
                let cut = cut.0;
                if found.iter().any(|(fingerprint, _)| *fingerprint < cut) {
                    found.retain(|(fingerprint, _)| *fingerprint < cut);
                    next = Some(cut);
                }
            }
            left = left.saturating_sub(found.len());
            for (_, record) in found {
                visit(record);
            }
            if let Some(fingerprint) = next {
                return (slot as u64) << 32 | u64::from(fingerprint);
            }
        }
        slot += 1;
        from = 0;
        if left == 0 {
            break;
        }
    }
    // Skips empty slots now, so that the next call need not.
    while slot < slots.end && database.slot_len(slot) == 0 {
        slot += 1;
    }
    if slot >= slots.end.min(SLOT_COUNT) { 0 } else { (slot as u64) << 32 }
}

/// Draws after which [`random_key`] gives up (Redis's figure).
const RANDOM_ATTEMPTS: usize = 100;

/// Draws a live key, each with the same probability. Where only expired keys are left, returns one of those
/// if `may_have_ended`. `lock` as in [`scan`].
pub fn random_key<'d>(
    database: &'d Database,
    lock: impl Fn(usize) -> Option<ReadSlot<'d>>,
    now_ms: u64,
    may_have_ended: bool,
    rng: &mut fastrand::Rng,
    ended: &mut dyn FnMut(&[u8]),
) -> Option<Vec<u8>> {
    // Expired keys that the sweeper has not removed yet are drawn again; the bound is for a keyspace of
    // nothing else.
    for attempt in 1..=RANDOM_ATTEMPTS {
        let total = database.len();
        if total == 0 {
            return None;
        }
        let mut rank = rng.usize(..total);
        let slot = (0..SLOT_COUNT).find(|&slot| {
            let here = database.slot_len(slot);
            let found = rank < here;
            rank = rank.saturating_sub(if found { 0 } else { here });
            found
        });
        let Some(slot) = slot else { continue };
        let table = lock(slot)?;
        let Some(record) = table::random(&table, rng) else { continue };
        let is_live = record.expire_at_ms().is_none_or(|at_ms| at_ms > now_ms);
        if is_live || may_have_ended && attempt == RANDOM_ATTEMPTS {
            return Some(record.key().to_vec());
        }
        ended(record.key());
    }
    None
}

/// Up to `count` live keys of a slot (CLUSTER GETKEYSINSLOT), given its table.
pub fn keys_in_slot(table: &SlotTable, count: usize, now_ms: u64) -> Vec<Vec<u8>> {
    table::iter(table)
        .filter(|record| record.expire_at_ms().is_none_or(|at_ms| at_ms > now_ms))
        .take(count)
        .map(|record| record.key().to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::key_hash::KeyHasher;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn insert(database: &Database, key: &[u8]) {
        let key = database.hasher().key(key);
        let mut table = database.write_slot(key.slot());
        if table::find(&table, &key).is_none() {
            database.insert(&mut table, &key, Record::new_string(key.bytes, b"v", None, false));
        }
    }

    fn remove(database: &Database, key: &[u8]) {
        let key = database.hasher().key(key);
        let mut table = database.write_slot(key.slot());
        database.remove(&mut table, &key);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_stays_is_returned_whatever_else_happens(
            seed: u64, one_tag: bool, stay in 1usize..400, churn in 0usize..400, count in 1usize..50,
        ) {
            let database = Database::new(KeyHasher::with_seed(seed));
            let name = |kind: &str, i: usize| {
                if one_tag { format!("{{tag}}{kind}{i}") } else { format!("{kind}{i}") }.into_bytes()
            };
            for i in 0..stay {
                insert(&database, &name("stay", i));
            }
            let mut seen = HashSet::new();
            let (mut cursor, mut step) = (0, 0);
            loop {
                cursor = scan(&database, |slot| Some(database.read_slot(slot)), cursor, count, 0..SLOT_COUNT, |record| {
                    seen.insert(record.key().to_vec());
                });
                if cursor == 0 { break }
                if step < churn {
                    insert(&database, &name("churn", step));
                    if step % 3 == 0 { remove(&database, &name("churn", step / 2)) }
                }
                step += 1;
                prop_assert!(step < 40_000, "a scan ends");
            }
            for i in 0..stay {
                prop_assert!(seen.contains(&name("stay", i)));
            }
        }
    }

    #[test]
    fn random_keys_are_uniform() {
        let database = Database::new(KeyHasher::with_seed(1));
        for i in 0..10 {
            insert(&database, format!("{{a}}{i}").as_bytes());
        }
        for i in 0..10 {
            insert(&database, format!("other{i}").as_bytes());
        }
        let lock = |slot| Some(database.read_slot(slot));
        let mut rng = fastrand::Rng::with_seed(7);
        let mut hits = std::collections::HashMap::<Vec<u8>, u32>::new();
        for _ in 0..20_000 {
            *hits
                .entry(random_key(&database, lock, 0, false, &mut rng, &mut |_| ()).unwrap())
                .or_default() += 1;
        }
        assert_eq!(hits.len(), 20);
        assert!(hits.values().all(|&count| (800..1200).contains(&count)), "{hits:?}");
    }
}
