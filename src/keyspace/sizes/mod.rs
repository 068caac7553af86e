//! [`Sizes`]: the sizes of a sample of all keys, and of all keys that are big (`key-sizes`). KVARTS BIGKEYS and
//! KVARTS PREFIXES read them; nobody walks through the keyspace for it.
//!
//! Keys are spread over [`SHARDS`] parts by their hash. A part samples by hash as well: all of its keys at
//! first, then every second, fourth and so on, so that no more than [`SAMPLED_MAX`] are known. A sample by hash
//! follows each of its keys from the first to the last change, so what is known of it is never a guess.
//!
//! Keys of [`BIG_BYTES`] or [`BIG_ELEMENTS`] are known whether they are sampled or not, as many as there is
//! room for; the smallest make way, and [`Sizes::floors`] says up to which size some may be missing. A key at
//! or above its part's floors stands for itself alone, and a smaller one that is sampled for as many as the
//! part passes over ([`Weighed`]). So what is told of all keys is exact as to the big ones, and the error of
//! the rest is that of keys below the floors. While no more keys exist than are sampled all of it is exact, but that of
//! two keys of one slot with the same fingerprint one is known: where 20,000 have one hash tag that is so in one case
//! of twenty.
//!
//! When most keys have gone, a sample is thinner than it need be. [`Fill`] then walks through the keyspace
//! once, in the background, and notes what a larger sample and lower floors hold (`fill.rs`). So it does when sizes are
//! switched on while there are keys: until it has seen all of them nothing is told.
//!
//! Bytes are those of a key's record. What it takes of its slot's tables follows from how full they are, so it is added
//! when it is told ([`Shares`](super::share::Shares)).
//!
//! Sizes change under the slots' exclusive locks: when a record comes into a table or leaves it, and at the
//! end of a command that may have changed one in place (`access/measured.rs`). A plain string cannot change
//! its size in place, so most commands have nothing to do. To measure a long list, sorted set or stream is to
//! visit its nodes, which is not done at each change: in between, bytes follow the number of elements, and
//! whoever asks has what is stale measured before ([`Keyspace::measure_stale`](super::Keyspace::measure_stale)).

mod fill;
mod recent;
mod shard;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::database::next_end_ms;
use super::record::{Record, ValueRef};
pub use fill::Fill;
pub use recent::{RECENT_MS, Recent};
use shard::Shard;
pub use shard::{KeySize, Weighed};

/// Bytes from which on a key is big.
pub const BIG_BYTES: u64 = 1024;

/// Elements from which on a key is big.
pub const BIG_ELEMENTS: u64 = 64;

/// Parts of the sample, each with a lock of its own.
const SHARDS: usize = 64;

/// Keys that a part samples at most. With 65,536 keys in all a part has 1024, give or take 32: that one of
/// them gets more than this is as good as impossible.
const SAMPLED_MAX: usize = 1200;

/// Bytes of a key that are kept. One that is as long may have been cut.
pub const KEY_MAX: usize = 512;

/// Nodes of a value that are visited at each change, to measure it.
const FEW_NODES: usize = 8;

/// A value with more nodes than this is not measured again: its bytes follow its elements.
pub const NODES_MAX: usize = 1 << 16;

/// Sizes of sampled and of big keys.
#[derive(Debug)]
pub struct Sizes {
    /// Whether changes are noted. Changes after the start only while nobody else is in the keyspace.
    is_on: AtomicBool,
    is_wanted: AtomicBool,
    /// Whether all keys have been seen since they are noted.
    is_whole: AtomicBool,
    /// Of each part: one key of 2 to the power of this is noted.
    shifts: CachePadded<[AtomicU8; SHARDS]>,
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// Whether a part may have become thinner than it need be.
    is_thin: AtomicBool,
    fill: Mutex<Fill>,
    /// Sampled keys that have expired.
    pub expired: Recent,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            is_on: AtomicBool::new(false),
            is_wanted: AtomicBool::new(false),
            is_whole: AtomicBool::new(false),
            shifts: CachePadded::new([const { AtomicU8::new(0) }; SHARDS]),
            shards: (0..SHARDS).map(|_| CachePadded::default()).collect(),
            is_thin: AtomicBool::new(false),
            fill: Mutex::default(),
            expired: Recent::new(0),
        }
    }
}

impl Sizes {
    /// Begins to keep sizes, before there is a key.
    pub fn switch_on(&self) {
        for flag in [&self.is_wanted, &self.is_whole, &self.is_on] {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Sets whether sizes are to be kept. The sweeper's thread switches soon after ([`Keyspace::fill_sizes`]).
    ///
    /// [`Keyspace::fill_sizes`]: super::Keyspace::fill_sizes
    pub fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// Whether sizes are kept or will be.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Whether sizes are kept. One relaxed load.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether sizes are kept, and will be, and all keys have been seen: before that nothing is told.
    pub fn are_known(&self) -> bool {
        self.is_on() && self.is_wanted() && self.is_whole.load(Ordering::Relaxed)
    }

    /// How many keys are known at most, for an estimate of the work that it is to go through them.
    pub fn known_max(&self) -> usize {
        2 * SHARDS * SAMPLED_MAX
    }

    /// How many keys the key with this hash stands for, where it is of the sample.
    #[inline]
    pub fn sampled_for(&self, hash: u64) -> Option<u64> {
        let shift = self.shifts[shard_of(hash)].load(Ordering::Relaxed).into();
        is_sampled(hash, shift).then_some(1 << shift)
    }

    /// Whether a record has to be noted when it comes, goes or changes. True as well for those that are nearly
    /// big, which an expiry makes larger and its removal smaller.
    #[inline]
    pub fn wants(&self, hash: u64, record: &Record) -> bool {
        const NEARLY_BIG: u64 = BIG_BYTES / 2;
        self.sampled_for(hash).is_some()
            || may_change_in_place(record)
            || record.memory_bytes() as u64 >= NEARLY_BIG
    }

    /// Notes the size of a record that has come or changed. Its slot is locked: exclusively by those who
    /// changed it.
    pub fn note(&self, physical: u16, hash: u64, record: &Record) {
        let (elements, nodes) = (length_of(record), nodes_of(record));
        let mut shard = self.shard(hash);
        let scaled = if nodes > FEW_NODES { shard.scaled(physical, hash, elements, nodes) } else { None };
        match scaled {
            Some(size) => shard.keep_scaled(physical, hash, KeySize { ends: ends(record), ..size }),
            None => self.note_measured(&mut shard, physical, hash, record),
        }
    }

    /// [`note`](Self::note), but has it measured.
    fn measure(&self, physical: u16, hash: u64, record: &Record) {
        self.note_measured(&mut self.shard(hash), physical, hash, record);
    }

    fn note_measured(&self, shard: &mut Shard, physical: u16, hash: u64, record: &Record) {
        let size = KeySize {
            physical,
            ends: ends(record),
            type_name: record.type_name(),
            bytes: record.memory_bytes() as u64,
            elements: length_of(record),
        };
        shard.note(hash, record.key(), size);
        self.publish(shard, hash);
    }

    /// Has all see the sample that a part notes.
    fn publish(&self, shard: &Shard, hash: u64) {
        let shift = &self.shifts[shard_of(hash)];
        if u32::from(shift.load(Ordering::Relaxed)) != shard.noted_shift() {
            shift.store(shard.noted_shift() as u8, Ordering::Relaxed);
        }
    }

    /// Forgets a record that has gone. The slot of its key is locked exclusively.
    pub fn forget(&self, physical: u16, hash: u64, record: &Record) {
        if self.wants(hash, record) {
            let mut shard = self.shard(hash);
            shard.forget(physical, hash);
            self.look_at(&shard);
        }
    }

    /// Forgets all keys.
    fn forget_all(&self) {
        for (shard, shift) in self.shards.iter().zip(self.shifts.iter()) {
            *shard.lock() = Shard::default();
            shift.store(0, Ordering::Relaxed);
        }
        self.is_thin.store(false, Ordering::Relaxed);
    }

    /// Forgets all keys of a physical database, which has been emptied.
    pub fn forget_database(&self, physical: u16) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.forget_database(physical);
            self.look_at(&shard);
        }
    }

    fn look_at(&self, shard: &Shard) {
        if shard.is_thin() && !self.is_thin.load(Ordering::Relaxed) {
            self.is_thin.store(true, Ordering::Relaxed);
        }
    }

    /// Calls `visit` with each key that is known, its hash, its size, and how many keys it stands for: 0 for one that
    /// is known beside those that are told of. Of a long key only the beginning is known.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], u64, &KeySize, Weighed)) {
        for shard in &self.shards {
            shard.lock().for_each(&mut visit);
        }
    }

    /// Physical databases and hashes of the keys whose bytes were not measured when they last changed.
    pub fn stale(&self) -> Vec<(u16, u64)> {
        let mut stale = Vec::new();
        for shard in &self.shards {
            shard.lock().stale(&mut stale);
        }
        stale
    }

    /// Measures one of the [`stale`](Self::stale) keys, unless it takes too long. Its slot is locked.
    pub fn measure_if_short(&self, physical: u16, hash: u64, record: &Record) {
        if nodes_of(record) <= NODES_MAX {
            self.measure(physical, hash, record);
        }
    }

    /// Bytes of memory for all that is known.
    pub fn memory_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().memory_bytes()).sum()
    }

    /// Bytes and elements from which on each key is known.
    pub fn floors(&self) -> (u64, u64) {
        let floors = self.shards.iter().map(|shard| shard.lock().floors());
        floors.fold((BIG_BYTES, BIG_ELEMENTS), |all, one| (all.0.max(one.0), all.1.max(one.1)))
    }

    fn shard(&self, hash: u64) -> parking_lot::MutexGuard<'_, Shard> {
        self.shards[shard_of(hash)].lock()
    }
}

/// Whether a value may grow or shrink within its record: all but plain strings and numbers.
#[inline]
pub fn may_change_in_place(record: &Record) -> bool {
    matches!(record.value(), ValueRef::Object(_))
}

/// Whether a key ends, or elements of it do.
fn ends(record: &Record) -> bool {
    next_end_ms(record).is_some()
}

/// Elements of a collection, as many as its own command counts (LLEN, XLEN); 1 for a string.
fn length_of(record: &Record) -> u64 {
    match record.value() {
        ValueRef::Object(object) => object.length() as u64,
        _ => 1,
    }
}

/// How many nodes have to be visited to measure a record.
fn nodes_of(record: &Record) -> usize {
    match record.value() {
        ValueRef::Object(object) => object.nodes_to_measure(),
        _ => 0,
    }
}

#[inline]
fn shard_of(hash: u64) -> usize {
    (mixed(hash) >> 58) as usize % SHARDS
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
mod tests;
