//! [`Sizes`]: the sizes of a sample of all keys, and of all keys that are big (`key-sizes`). KVARTS BIGKEYS and
//! KVARTS PREFIXES read them; nobody walks through the keyspace for it.
//!
//! A key is sampled by its hash: all keys are at first, then every second, fourth and so on, so that no more
//! than [`SAMPLE_MAX`] are known. A sample by hash follows each of its keys from the first to the last
//! change, so what is known of it is never a guess; what is told of all keys is the sample's times a scale,
//! with the standard error that follows. While no more keys exist than are sampled it is exact.
//!
//! Keys of [`BIG_BYTES`] or [`BIG_ELEMENTS`] are known whether they are sampled or not, as many as there is
//! room for; the smallest make way, and [`Sizes::floors`] says up to which size some may be missing.
//!
//! Sizes change under the slots' exclusive locks: when a record comes into a table or leaves it, and at the
//! end of a command that may have changed one in place (`access/measured.rs`). A plain string cannot change
//! its size in place, so most commands have nothing to do.

mod recent;
mod shard;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::record::{Record, ValueRef};
use super::table::SHARE_BYTES;
pub use recent::{RECENT_MS, Recent};
use shard::Shard;
pub use shard::{KeySize, Known};

/// Keys that are sampled at most.
const SAMPLE_MAX: usize = 1 << 16;

/// Bytes from which on a key is big.
pub const BIG_BYTES: u64 = 1024;

/// Elements from which on a key is big.
pub const BIG_ELEMENTS: u64 = 64;

/// Parts of the sample, each with a lock of its own.
const SHARDS: usize = 64;

/// A collection with more elements than this is not measured again: its bytes follow its elements.
const MEASURED_MAX: u64 = 1 << 22;

/// Sizes of sampled and of big keys.
#[derive(Debug)]
pub struct Sizes {
    is_on: AtomicBool,
    /// One key of 2 to the power of this is sampled.
    shift: AtomicU32,
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// Sampled keys that have expired.
    pub expired: Recent,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            is_on: AtomicBool::new(false),
            shift: AtomicU32::new(0),
            shards: (0..SHARDS).map(|_| CachePadded::default()).collect(),
            expired: Recent::new(0),
        }
    }
}

impl Sizes {
    /// Begins to keep sizes. What is there already is not known, so this comes before the first key.
    pub fn switch_on(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Whether sizes are kept. One relaxed load.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// How many keys are known at most, for an estimate of the work that it is to go through them.
    pub fn known_max(&self) -> usize {
        2 * SAMPLE_MAX
    }

    /// How many keys one sampled key stands for.
    pub fn scale(&self) -> u64 {
        1 << self.shift.load(Ordering::Relaxed)
    }

    /// Whether the key with this hash is of the sample.
    #[inline]
    pub fn samples(&self, hash: u64) -> bool {
        is_sampled(hash, self.shift.load(Ordering::Relaxed))
    }

    /// Whether a record has to be noted when it comes, goes or changes.
    #[inline]
    pub fn wants(&self, hash: u64, record: &Record) -> bool {
        self.samples(hash) || may_change_in_place(record) || record.memory_bytes() as u64 >= BIG_BYTES
    }

    /// Notes the size of a record that has come or changed. The slot of its key is locked exclusively.
    pub fn note(&self, physical: u16, hash: u64, record: &Record) {
        let shift = self.shift.load(Ordering::Relaxed);
        let mut shard = self.shard(hash);
        shard.prune(shift);
        let elements = elements_of(record);
        let scaled = shard.get(physical, hash).and_then(|known| known.scaled(elements));
        let bytes = scaled.unwrap_or_else(|| (record.memory_bytes() + SHARE_BYTES) as u64);
        let known = Known {
            size: KeySize { physical, type_name: record.type_name(), bytes, elements },
            is_sampled: is_sampled(hash, shift),
            measured: if scaled.is_some() { None } else { Some((bytes, elements)) },
        };
        shard.note(hash, record.key(), known);
        if shard.sampled() > SAMPLE_MAX / SHARDS {
            // The other shards follow when they are next used.
            self.shift.fetch_max(shift + 1, Ordering::Relaxed);
            shard.prune(shift + 1);
        }
    }

    /// Forgets a record that has gone. The slot of its key is locked exclusively.
    pub fn forget(&self, physical: u16, hash: u64, record: &Record) {
        if self.wants(hash, record) {
            self.shard(hash).forget(physical, hash);
        }
    }

    /// Forgets all keys of a physical database, which has been emptied.
    pub fn forget_database(&self, physical: u16) {
        for shard in &self.shards {
            shard.lock().forget_database(physical);
        }
    }

    /// Calls `visit` with each key that is known, its size, and whether it is sampled. Of a long key only the
    /// beginning is known.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], &KeySize, bool)) {
        let shift = self.shift.load(Ordering::Relaxed);
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.prune(shift);
            shard.for_each(&mut visit);
        }
    }

    /// Bytes and elements above which each key is known.
    pub fn floors(&self) -> (u64, u64) {
        let floors = self.shards.iter().map(|shard| shard.lock().floors());
        floors.fold((BIG_BYTES, BIG_ELEMENTS), |all, one| (all.0.max(one.0), all.1.max(one.1)))
    }

    fn shard(&self, hash: u64) -> parking_lot::MutexGuard<'_, Shard> {
        self.shards[(mixed(hash) >> 58) as usize % SHARDS].lock()
    }
}

/// Whether a value may grow or shrink within its record: all but plain strings and numbers.
#[inline]
pub fn may_change_in_place(record: &Record) -> bool {
    matches!(record.value(), ValueRef::Object(_))
}

fn elements_of(record: &Record) -> u64 {
    match record.value() {
        ValueRef::Object(object) if object.type_name() == "string" => 1,
        ValueRef::Object(object) => object.elements() as u64,
        _ => 1,
    }
}

/// The bits of a hash that neither slot nor table goes by alone.
#[inline]
fn mixed(hash: u64) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn is_sampled(hash: u64, shift: u32) -> bool {
    mixed(hash) & ((1 << shift) - 1) << 16 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::key_hash::KeyHasher;

    fn string(key: &[u8], bytes: usize) -> crate::keyspace::record::RecordBox {
        Record::new_string(key, &vec![b'v'; bytes], None, false)
    }

    /// However many keys there are, no more than the sample are known, and it stands for all of them.
    #[test]
    fn the_sample_is_bounded_and_right() {
        let (sizes, hasher) = (Sizes::default(), KeyHasher::with_seed(3));
        sizes.switch_on();
        let mut all = 0;
        for number in 0..1_000_000_u32 {
            let key = format!("p{}:{number}", number % 1000);
            let (record, hash) = (string(key.as_bytes(), 10), hasher.hash(key.as_bytes()));
            if sizes.wants(hash, &record) {
                sizes.note(0, hash, &record);
            }
            all += (record.memory_bytes() + SHARE_BYTES) as u64;
        }
        let (mut keys, mut bytes) = (0, 0);
        sizes.for_each(|_, size, is_sampled| {
            assert!(is_sampled);
            keys += 1;
            bytes += size.bytes;
        });
        assert!((SAMPLE_MAX / 3..=SAMPLE_MAX).contains(&keys), "{keys}");
        let scale = sizes.scale();
        let error = ((keys as u64 * scale * (scale - 1)) as f64).sqrt();
        assert!((keys as f64 * scale as f64 - 1e6).abs() < 4.0 * error, "{keys} {scale}");
        assert!((bytes as f64 * scale as f64 / all as f64 - 1.0).abs() < 4.0 * error / 1e6);
        // What goes is forgotten: the rest is half of what there was.
        for number in 0..500_000_u32 {
            let key = format!("p{}:{number}", number % 1000);
            sizes.forget(0, hasher.hash(key.as_bytes()), &string(key.as_bytes(), 10));
        }
        let mut left = 0;
        sizes.for_each(|_, _, _| left += 1);
        assert!((left as f64 * scale as f64 - 5e5).abs() < 4.0 * error, "{left}");
        sizes.forget_database(1);
        sizes.forget_database(0);
        sizes.for_each(|_, _, _| panic!("all are forgotten"));
    }

    #[test]
    fn the_biggest_keys_are_known() {
        let (sizes, hasher) = (Sizes::default(), KeyHasher::with_seed(4));
        sizes.shift.store(20, Ordering::Relaxed);
        for number in 0..20_000_usize {
            let key = number.to_be_bytes();
            let record = string(&key, 2000 + number);
            sizes.note(0, hasher.hash(&key), &record);
        }
        let (mut found, mut known) = (Vec::new(), 0);
        sizes.for_each(|key, size, _| {
            known += 1;
            found.push((size.bytes, usize::from_be_bytes(key.try_into().expect("eight"))));
        });
        assert!(known <= SHARDS * 256, "{known}");
        found.sort_unstable();
        let top: Vec<usize> = found.iter().rev().take(500).map(|(_, number)| *number).collect();
        assert_eq!(top, (19_500..20_000).rev().collect::<Vec<_>>());
        let (bytes, _) = sizes.floors();
        let above = found.iter().filter(|(size, _)| *size > bytes).count();
        let expected = (0..20_000_usize)
            .filter(|number| (string(&[0; 8], 2000 + number).memory_bytes() + SHARE_BYTES) as u64 > bytes);
        assert_eq!(above, expected.count(), "each above the floor is known");
    }
}
