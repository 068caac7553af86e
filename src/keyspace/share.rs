//! What keys take beside their records: places in the table of their slot, and entries of when they end. Each key of
//! a slot is given the same part of it, so that the bytes of all keys add up to what the allocator has given.

use std::collections::HashMap;

use super::Keyspace;
use super::database::{Database, next_end_ms};
use super::key_hash::{SLOT_COUNT, slot_of_hash};
use super::record::Record;
use super::table::SHARE_BYTES;

/// What a key of one slot takes beside its record, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Its part of the buckets.
    place: u32,
    /// Its part of the entries of ends, where it has an end.
    end: u32,
}

impl Share {
    /// Bytes beside this record.
    pub fn of(self, record: &Record) -> usize {
        self.bytes(next_end_ms(record).is_some())
    }

    /// Bytes beside the record of a key that ends, or of which elements end, or of another one.
    pub fn bytes(self, ends: bool) -> usize {
        self.place as usize + if ends { self.end as usize } else { 0 }
    }
}

impl Database {
    /// What each key of a slot takes beside its record. Waits for no slot's lock: while the slot is being changed, the
    /// answer is that of before or after, or between.
    pub fn share(&self, slot: usize) -> Share {
        let keys = self.slot_len(slot);
        if keys == 0 {
            return Share::default();
        }
        let place = match self.bucket_bytes(slot) {
            0 => SHARE_BYTES,
            bytes => bytes.div_ceil(keys),
        };
        // Of sets with members that end it is not counted in which slot they are.
        let end = self.expiry.slot_bytes(slot).div_ceil(self.slot_ends(slot).max(1));
        let narrow = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        Share { place: narrow(place), end: narrow(end) }
    }
}

/// The shares of all slots of some databases, as they were at a moment.
#[derive(Debug)]
pub struct Shares(HashMap<u16, Box<[Share]>>);

impl Shares {
    /// Looks at these physical databases. Waits for no slot's lock.
    pub fn look(keyspace: &Keyspace, databases: impl Iterator<Item = u16>) -> Self {
        let of = |physical| {
            let database = keyspace.physical_if_used(physical)?;
            Some((physical, (0..SLOT_COUNT).map(|slot| database.share(slot)).collect()))
        };
        Self(databases.filter_map(of).collect())
    }

    /// What the key with this hash takes beside its record, in bytes.
    pub fn bytes(&self, physical: u16, hash: u64, ends: bool) -> u64 {
        self.0.get(&physical).map_or(0, |slots| slots[slot_of_hash(hash)].bytes(ends) as u64)
    }

    /// The most that any key takes beside its record, in bytes.
    pub fn most(&self) -> u64 {
        self.0.values().flatten().map(|share| share.bytes(true) as u64).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key_hash::KeyHasher;
    use super::super::record::RecordBox;
    use super::*;
    use crate::alloc::block_bytes;

    fn string(key: &str, expire_at_ms: Option<u64>) -> RecordBox {
        Record::new_string(key.as_bytes(), b"value", expire_at_ms, false)
    }

    /// The parts of all keys are what the slot takes, however keys come and go: a fixed nine bytes were told of each,
    /// where a key by itself has a bucket of 64.
    #[test]
    fn shares_add_up_to_what_the_slot_takes() {
        let database = Database::new(KeyHasher::with_seed(1));
        // One slot has them all.
        let names: Vec<String> = (0..3000).map(|number| format!("{{t}}{number}")).collect();
        let key = |name: &'static str| database.hasher().key(name.as_bytes());
        let names: Vec<&'static str> =
            names.into_iter().map(|name| -> &'static str { Box::leak(name.into_boxed_str()) }).collect();
        let slot = key(names[0]).slot();
        let check = |count: usize, volatile: usize| {
            let (share, table) = (database.share(slot), database.read_slot(slot));
            assert_eq!(table.len(), count);
            let places = share.bytes(false) * count;
            assert!((table.memory_bytes()..table.memory_bytes() + count).contains(&places), "{count}");
            let ends = (share.bytes(true) - share.bytes(false)) * volatile;
            let taken = database.expiry.slot_bytes(slot);
            assert!(volatile == 0 || (taken..taken + volatile).contains(&ends), "{count} {volatile}");
        };
        assert_eq!(database.share(slot), Share::default());
        for (number, name) in names.iter().enumerate() {
            let expire_at_ms = (number % 3 == 0).then_some(1000);
            database.insert(&mut database.write_slot(slot), &key(name), string(name, expire_at_ms));
            check(number + 1, number / 3 + 1);
        }
        assert_eq!(database.share((slot + 1) % SLOT_COUNT), Share::default());
        for (number, name) in names.iter().enumerate().take(2990) {
            drop(database.remove(&mut database.write_slot(slot), &key(name)));
            check(2999 - number, 1000 - (number / 3 + 1));
        }
        database.clear(|_, _| {});
        assert_eq!(database.share(slot), Share::default());
        database.insert(&mut database.write_slot(slot), &key(names[0]), string(names[0], None));
        assert_eq!(database.share(slot).bytes(false), block_bytes(64));
    }
}
