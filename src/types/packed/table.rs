//! The hash table of large sets, hashes and sorted sets: members, or fields with values, in about four bytes
//! more than the bytes themselves.
//!
//! Linear hashing: the table grows by splitting one bucket, in turn, whenever there are more than [`LOAD`]
//! entries a bucket, and shrinks by merging the last bucket back. No operation touches more than two buckets,
//! and the whole is never rehashed. A bucket is one small allocation: a row of one-byte tags (eight bits of
//! each entry's hash, searched all at once), a row of one-byte sizes (their sum is an entry's offset, so a
//! lookup reads the first cache line and the entry's own), then the entries in the encoding of
//! [`super::entry`]. A key or value longer than [`INLINE_MAX`] lies in an allocation of its own, and the
//! entry names its slot.
//!
//! Bucket `b` of a table of `2^k` buckets holds the entries whose hash ends in the `k` bits of `b`. Read from
//! the lowest bit on, a hash is a position on a line, and each bucket an interval of it; splits and merges
//! only divide and join intervals. [`PackedTable::scan`] walks along this line.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use super::entry::{self, Element, Encoded, Raw};
use super::freeze::Freeze;
use super::segments::Segments;
use super::slots::Slots;
use crate::primitives::occupancy::Occupancy;
use crate::primitives::thin::Thin;

/// Average number of entries a bucket at which the table grows.
const LOAD: usize = 12;
/// Buckets in a part of a table that is read in parts: some three thousand entries at most.
pub const PART_BUCKETS: usize = 256;
/// Longest key or value kept in its bucket, in bytes. A key and a value with their heads stay below 256
/// bytes, so that a size fits a byte.
const INLINE_MAX: usize = 120;
/// Step by which the rows grow, so that most insertions do not move the entries behind them.
const ROW_STEP: usize = 8;

/// A table of keys alone.
pub type MemberTable = PackedTable<false>;
/// A table of keys with values.
pub type FieldTable = PackedTable<true>;

/// The table; with values when `MAP`.
pub struct PackedTable<const MAP: bool> {
    pub(super) buckets: Segments<Bucket>,
    /// The power of two at or above the number of buckets, less one.
    mask: usize,
    len: usize,
    /// Upper bound of the entries in any bucket.
    longest: usize,
    bucket_bytes: usize,
    pub(super) slots: Slots,
    hasher: FixedState,
    /// A reading of the table as it was at an earlier instant.
    pub(super) freeze: Option<Box<Freeze>>,
}

/// A bucket. The header is the number of entries. The rows of tags and sizes come first, each of
/// `row_len(count)` bytes.
pub(super) type Bucket = Thin<u32>;

/// Where an entry is.
#[derive(Clone, Copy)]
struct Found {
    bucket: usize,
    index: usize,
    offset: usize,
}

/// A searched key, in the form that entries are compared with.
enum Needle<'a> {
    Packed(Encoded<'a>),
    Long(&'a [u8]),
}

impl<const MAP: bool> PackedTable<MAP> {
    /// An empty table. The seed decides where entries go; for keys from outside it should be unpredictable.
    pub fn new(seed: u64) -> Self {
        let mut buckets = Segments::new();
        buckets.push(Bucket::new());
        Self {
            buckets,
            mask: 0,
            len: 0,
            longest: 0,
            bucket_bytes: 0,
            slots: Slots::new(),
            hasher: FixedState::with_seed(seed),
            freeze: None,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the table takes from the allocator, itself not included.
    pub fn memory_bytes(&self) -> usize {
        self.buckets.memory_bytes() + self.bucket_bytes + self.slots.memory_bytes()
    }

    /// How full the buckets are.
    pub fn occupancy(&self) -> Occupancy {
        let mut occupancy = Occupancy { capacity: self.buckets.len() * LOAD, ..Occupancy::default() };
        for index in 0..self.buckets.len() {
            occupancy.add_bucket(self.buckets.get(index).map_or(0, |bucket| bucket.header() as usize));
        }
        occupancy
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.find(self.hash(key), key).is_some()
    }

    /// Prefetches the cache line that a lookup of the key reads first. For a batch of keys, before their
    /// lookups.
    pub fn prefetch(&self, key: &[u8]) {
        if let Some(bucket) = self.buckets.get(self.address(self.hash(key))) {
            bucket.prefetch(1);
        }
    }

    /// Removes the key with its value. Returns whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let Some(found) = self.find(hash, key) else {
            return false;
        };
        self.keep_frozen(hash);
        self.remove_found(found);
        true
    }

    /// All keys with their values, in no particular order. Without values the second is empty.
    pub fn iter(&self) -> Iter<'_, MAP> {
        Iter { table: self, next_bucket: 0, end: self.buckets.len(), rest: &[], left: self.len }
    }

    /// The entries of up to `count` buckets from bucket `first` on, and the bucket to go on from; `None`
    /// behind the last. Buckets stay what they are as long as the table is not changed.
    pub fn iter_buckets(&self, first: usize, count: usize) -> (Iter<'_, MAP>, Option<usize>) {
        let end = self.buckets.len().min(first.saturating_add(count));
        let entries = |bucket| self.buckets.get(bucket).map_or(0, |bucket| bucket.header() as usize);
        let left = (first..end).map(entries).sum();
        let iter = Iter { table: self, next_bucket: first, end, rest: &[], left };
        (iter, (end < self.buckets.len()).then_some(end))
    }

    /// Calls `visit` with about `count` entries from `cursor` on and returns the cursor for the next call; 0
    /// begins and ends.
    ///
    /// An entry that is present from the first call to the last is visited, whatever is added and removed
    /// between the calls. An entry may be visited twice.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Element<'_>, Element<'_>)) -> u64 {
        self.scan_entries(cursor, count, |packed| {
            let (key, value) = self.elements(packed);
            visit(key, value);
        })
    }

    fn scan_entries(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        let mut cursor = cursor;
        let mut visited = 0;
        loop {
            let (index, mask) = self.interval(cursor);
            if let Some(bucket) = self.buckets.get(index) {
                for entry in entries(bucket) {
                    visit(entry);
                    visited += 1;
                }
            }
            // Adds one on the line of hashes, read from their lowest bit on, in units of this bucket's
            // interval.
            cursor = (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits();
            if cursor == 0 || visited >= count {
                return cursor;
            }
        }
    }

    /// Draws an entry, each with the same probability.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(Element<'_>, Element<'_>)> {
        if self.len == 0 {
            return None;
        }
        // Draws a bucket and a place among as many as the fullest bucket has, until there is an entry.
        loop {
            let bucket = self.buckets.get(rng.usize(..self.buckets.len()))?;
            let place = rng.usize(..self.longest.max(1));
            if place < bucket.header() as usize {
                return entries(bucket).nth(place).map(|entry| self.elements(entry));
            }
        }
    }

    /// Called before a bucket changes: where the table is being read as it was, what is not read yet is kept.
    #[inline]
    fn keep_frozen(&mut self, hash: u64) {
        if self.freeze.is_some() {
            self.copy_bucket(hash, |_| None);
        }
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    #[inline]
    fn address(&self, hash: u64) -> usize {
        let index = hash as usize & self.mask;
        if index < self.buckets.len() { index } else { index & (self.mask >> 1) }
    }

    /// The bucket of a hash, and the mask of the bits that its interval has in common.
    pub(super) fn interval(&self, hash: u64) -> (usize, u64) {
        let index = self.address(hash);
        let half = self.mask.div_ceil(2);
        let divided = index >= half || index + half < self.buckets.len();
        (index, if divided { self.mask } else { self.mask >> 1 } as u64)
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<Found> {
        let index = self.address(hash);
        let bucket = self.buckets.get(index)?;
        let count = bucket.header() as usize;
        let bytes = bucket.bytes();
        let tags = bytes.get(..count)?;
        let mut needle = None;
        for place in memchr::memchr_iter(tag_of(hash), tags) {
            let offset = offset_of(bytes, count, place);
            if self.matches(needle.get_or_insert_with(|| needle_of(key)), &bytes[offset..]) {
                return Some(Found { bucket: index, index: place, offset });
            }
        }
        None
    }

    #[inline]
    fn matches(&self, needle: &Needle<'_>, packed: &[u8]) -> bool {
        match needle {
            Needle::Packed(encoded) => encoded.is_at(packed),
            Needle::Long(key) => {
                matches!(entry::read(packed).0, Raw::Slot(slot) if self.slots.get(slot) == *key)
            }
        }
    }

    /// Adds an entry whose key is not there yet.
    fn insert_new(&mut self, hash: u64, key: &[u8], value: Option<Encoded<'_>>) {
        self.keep_frozen(hash);
        let key = store(&mut self.slots, key);
        let index = self.address(hash);
        if let Some(bucket) = self.buckets.get_mut(index) {
            let before = bucket.memory_bytes();
            let count = bucket.header() as usize;
            let row = row_len(count);
            if count.is_multiple_of(ROW_STEP) {
                bucket.insert_many([(row, &[0; ROW_STEP]), (2 * row, &[0; ROW_STEP])]);
            }
            let size = key.len() + value.as_ref().map_or(0, Encoded::len);
            let row = row_len(count + 1);
            let bytes = bucket.bytes_mut();
            bytes[count] = tag_of(hash);
            bytes[row + count] = size as u8;
            let end = bytes.len();
            match value {
                Some(value) => bucket.splice(end, 0, &[key.head(), key.data(), value.head(), value.data()]),
                None => bucket.splice(end, 0, &[key.head(), key.data()]),
            }
            bucket.set_header(count as u32 + 1);
            self.longest = self.longest.max(count + 1);
            self.bucket_bytes = self.bucket_bytes + bucket.memory_bytes() - before;
            self.len += 1;
        }
        if self.len > self.buckets.len() * LOAD {
            self.split_one();
        }
    }

    fn remove_found(&mut self, found: Found) {
        let Some(bucket) = self.buckets.get_mut(found.bucket) else {
            return;
        };
        let before = bucket.memory_bytes();
        let packed = &bucket.bytes()[found.offset..];
        let size = entry_size::<MAP>(packed);
        let (key, key_size) = entry::read(packed);
        if let Raw::Slot(slot) = key {
            self.slots.remove(slot);
        }
        if MAP && let Raw::Slot(slot) = entry::read(&packed[key_size..]).0 {
            self.slots.remove(slot);
        }
        let count = bucket.header() as usize;
        let (row, new_row) = (row_len(count), row_len(count - 1));
        let bytes = bucket.bytes_mut();
        bytes.copy_within(found.index + 1..count, found.index);
        bytes.copy_within(row + found.index + 1..row + count, row + found.index);
        bucket.remove_many([(new_row, row - new_row), (row + new_row, row - new_row), (found.offset, size)]);
        bucket.set_header(count as u32 - 1);
        self.bucket_bytes = self.bucket_bytes + bucket.memory_bytes() - before;
        self.len -= 1;
        if self.buckets.len() > 1 && self.len < (self.buckets.len() - 1) * LOAD / 2 {
            self.merge_last();
        }
    }

    /// Adds a bucket and distributes the entries of the bucket whose turn it is between the two.
    fn split_one(&mut self) {
        let count = self.buckets.len();
        if count > self.mask {
            self.mask = self.mask << 1 | 1;
        }
        let half = self.mask.div_ceil(2);
        let index = count - half;
        let Some(slot) = self.buckets.get_mut(index) else {
            return;
        };
        let old = std::mem::take(slot);
        let (mut low, mut high) = (Parts::default(), Parts::default());
        for (entry, &tag) in entries(&old).zip(old.bytes()) {
            let parts = if self.hash_of_stored(entry) as usize & half == 0 { &mut low } else { &mut high };
            parts.push(tag, entry);
        }
        let (low, high) = (low.into_bucket(), high.into_bucket());
        self.bucket_bytes = self.bucket_bytes + low.memory_bytes() + high.memory_bytes() - old.memory_bytes();
        if let Some(slot) = self.buckets.get_mut(index) {
            *slot = low;
        }
        self.buckets.push(high);
    }

    /// Removes the last bucket and gives its entries to the one it was split from.
    fn merge_last(&mut self) {
        let Some(last) = self.buckets.pop() else {
            return;
        };
        let count = self.buckets.len();
        let half = self.mask.div_ceil(2);
        let index = count - half;
        if count == half {
            self.mask >>= 1;
        }
        let Some(slot) = self.buckets.get_mut(index) else {
            return;
        };
        let other = std::mem::take(slot);
        let mut parts = Parts::default();
        for bucket in [&other, &last] {
            for (entry, &tag) in entries(bucket).zip(bucket.bytes()) {
                parts.push(tag, entry);
            }
        }
        let merged = parts.into_bucket();
        self.bucket_bytes =
            self.bucket_bytes + merged.memory_bytes() - other.memory_bytes() - last.memory_bytes();
        // With one bucket left the bound is exact again.
        self.longest = self.longest.max(merged.header() as usize);
        if count == 1 {
            self.longest = merged.header() as usize;
        }
        if let Some(slot) = self.buckets.get_mut(index) {
            *slot = merged;
        }
    }

    pub(super) fn hash_of_stored(&self, packed: &[u8]) -> u64 {
        self.hash(&self.resolve(entry::read(packed).0))
    }

    #[inline]
    pub(super) fn resolve<'a>(&'a self, raw: Raw<'a>) -> Element<'a> {
        match raw {
            Raw::Slot(slot) => Element::Bytes(self.slots.get(slot)),
            raw => Element::from(raw),
        }
    }

    fn elements<'a>(&'a self, packed: &'a [u8]) -> (Element<'a>, Element<'a>) {
        let (key, size) = entry::read(packed);
        let value = if MAP { self.resolve(entry::read(&packed[size..]).0) } else { Element::Bytes(&[]) };
        (self.resolve(key), value)
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(in crate::types) fn assert_invariants(&self) {
        let buckets = self.buckets.len();
        assert!(buckets >= 1 && self.mask + 1 == buckets.next_power_of_two());
        assert!(self.len <= buckets * LOAD || buckets == 1);
        assert!(buckets == 1 || self.len + 1 >= (buckets - 1) * LOAD / 2);
        let (mut len, mut bytes, mut slots) = (0, 0, 0);
        for (index, bucket) in self.buckets.iter().enumerate() {
            let count = bucket.header() as usize;
            assert!(count <= self.longest);
            assert_eq!(count == 0, bucket.len() == 0);
            let mut walked = 2 * row_len(count);
            for (entry, &tag) in entries(bucket).zip(bucket.bytes()) {
                walked += entry.len();
                assert_eq!(entry.len(), entry_size::<MAP>(entry));
                let hash = self.hash_of_stored(entry);
                assert_eq!((self.address(hash), tag_of(hash)), (index, tag));
                let (key, size) = entry::read(entry);
                slots += usize::from(matches!(key, Raw::Slot(_)));
                slots += usize::from(MAP && matches!(entry::read(&entry[size..]).0, Raw::Slot(_)));
            }
            assert_eq!(walked, bucket.len());
            len += count;
            bytes += bucket.memory_bytes();
        }
        assert_eq!((len, bytes, slots), (self.len, self.bucket_bytes, self.slots.held()));
    }
}

impl MemberTable {
    /// Adds a key. Returns whether it was new.
    pub fn insert(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        if self.find(hash, key).is_some() {
            return false;
        }
        self.insert_new(hash, key, None);
        true
    }
}

impl FieldTable {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Element<'_>> {
        self.get_raw(key).map(|raw| self.resolve(raw))
    }

    /// Gives a key a value. Returns whether the key is new.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> bool {
        let value = store(&mut self.slots, value);
        self.set_encoded(key, value)
    }

    pub(in crate::types) fn get_raw(&self, key: &[u8]) -> Option<Raw<'_>> {
        let found = self.find(self.hash(key), key)?;
        let packed = self.buckets.get(found.bucket)?.bytes().get(found.offset..)?;
        Some(entry::read(&packed[entry::size(packed)..]).0)
    }

    /// The encoding of a key of this table, for callers that refer to the same bytes from elsewhere.
    pub(in crate::types) fn key_form<'k>(&self, key: &'k [u8]) -> Encoded<'k> {
        if key.len() > INLINE_MAX
            && let Some(found) = self.find(self.hash(key), key)
            && let Some(bucket) = self.buckets.get(found.bucket)
            && let Raw::Slot(slot) = entry::read(&bucket.bytes()[found.offset..]).0
        {
            return Encoded::slot(slot);
        }
        Encoded::new(key)
    }

    /// Where the long keys are.
    pub(in crate::types) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// [`Self::scan`] with keys and values as they are encoded.
    pub(in crate::types) fn scan_raw(
        &self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Element<'_>, Raw<'_>),
    ) -> u64 {
        self.scan_entries(cursor, count, |packed| {
            let (key, size) = entry::read(packed);
            visit(self.resolve(key), entry::read(&packed[size..]).0);
        })
    }

    pub(in crate::types) fn set_encoded(&mut self, key: &[u8], value: Encoded<'_>) -> bool {
        self.replace_encoded(key, value, |_| ()).is_none()
    }

    /// Sets a key's value. Returns what `read` made of the old one.
    pub(in crate::types) fn replace_encoded<R>(
        &mut self,
        key: &[u8],
        value: Encoded<'_>,
        read: impl FnOnce(Raw<'_>) -> R,
    ) -> Option<R> {
        let hash = self.hash(key);
        let Some(found) = self.find(hash, key) else {
            self.insert_new(hash, key, Some(value));
            return None;
        };
        self.keep_frozen(hash);
        let bucket = self.buckets.get_mut(found.bucket)?;
        let before = bucket.memory_bytes();
        let packed = &bucket.bytes()[found.offset..];
        let key_size = entry::size(packed);
        let (old, old_size) = entry::read(&packed[key_size..]);
        let old_read = read(old);
        if let Raw::Slot(slot) = old {
            self.slots.remove(slot);
        }
        bucket.splice(found.offset + key_size, old_size, &[value.head(), value.data()]);
        let size_at = row_len(bucket.header() as usize) + found.index;
        bucket.bytes_mut()[size_at] = (key_size + value.len()) as u8;
        self.bucket_bytes = self.bucket_bytes + bucket.memory_bytes() - before;
        Some(old_read)
    }
}

/// The entries of a table: each key with its value.
pub struct Iter<'a, const MAP: bool> {
    table: &'a PackedTable<MAP>,
    next_bucket: usize,
    /// Bucket behind the last one.
    end: usize,
    /// Entries of the present bucket that are still to come.
    rest: &'a [u8],
    left: usize,
}

impl<'a, const MAP: bool> Iterator for Iter<'a, MAP> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.is_empty() {
            if self.next_bucket == self.end {
                return None;
            }
            self.rest = packed_entries(self.table.buckets.get(self.next_bucket)?);
            self.next_bucket += 1;
        }
        let (entry, after) = self.rest.split_at(entry_size::<MAP>(self.rest));
        self.rest = after;
        self.left -= 1;
        Some(self.table.elements(entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<const MAP: bool> ExactSizeIterator for Iter<'_, MAP> {}

/// The parts of a bucket that is being built.
#[derive(Default)]
struct Parts<'a> {
    tags: SmallVec<[u8; 64]>,
    entries: SmallVec<[&'a [u8]; 64]>,
}

impl<'a> Parts<'a> {
    fn push(&mut self, tag: u8, entry: &'a [u8]) {
        self.tags.push(tag);
        self.entries.push(entry);
    }

    fn into_bucket(self) -> Bucket {
        let count = self.entries.len();
        let padding = &[0; ROW_STEP][..row_len(count) - count];
        let sizes: SmallVec<[u8; 64]> = self.entries.iter().map(|entry| entry.len() as u8).collect();
        let rows = [&self.tags[..], padding, &sizes, padding];
        let pieces: SmallVec<[&[u8]; 68]> = rows.into_iter().chain(self.entries.iter().copied()).collect();
        let mut bucket = Bucket::new();
        bucket.splice(0, 0, &pieces);
        bucket.set_header(count as u32);
        bucket
    }
}

/// Encodes bytes for a bucket; long ones are put into a slot.
fn store<'a>(slots: &mut Slots, bytes: &'a [u8]) -> Encoded<'a> {
    if bytes.len() > INLINE_MAX { Encoded::slot(slots.insert(bytes)) } else { Encoded::new(bytes) }
}

fn needle_of(key: &[u8]) -> Needle<'_> {
    if key.len() > INLINE_MAX { Needle::Long(key) } else { Needle::Packed(Encoded::new(key)) }
}

/// The tag: eight bits of the hash that no bucket number uses.
#[inline]
fn tag_of(hash: u64) -> u8 {
    (hash >> 56) as u8
}

/// Length of each row for `count` entries, in bytes.
#[inline]
fn row_len(count: usize) -> usize {
    count.next_multiple_of(ROW_STEP)
}

/// Offset of an entry in its bucket's bytes.
#[inline]
fn offset_of(bucket: &[u8], count: usize, index: usize) -> usize {
    let row = row_len(count);
    let sizes = &bucket[row..row + index];
    2 * row + sizes.iter().map(|&size| u32::from(size)).sum::<u32>() as usize
}

#[inline]
fn entry_size<const MAP: bool>(packed: &[u8]) -> usize {
    let key = entry::size(packed);
    if MAP { key + entry::size(&packed[key..]) } else { key }
}

/// The bytes of a bucket behind its rows.
fn packed_entries(bucket: &Bucket) -> &[u8] {
    bucket.bytes().get(2 * row_len(bucket.header() as usize)..).unwrap_or(&[])
}

/// The entries of a bucket, each with its value.
pub(super) fn entries(bucket: &Bucket) -> impl Iterator<Item = &[u8]> {
    let count = bucket.header() as usize;
    let row = row_len(count);
    let sizes = bucket.bytes().get(row..row + count).unwrap_or(&[]);
    let mut rest = packed_entries(bucket);
    sizes.iter().map(move |&size| {
        let (entry, after) = rest.split_at(usize::from(size));
        rest = after;
        entry
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => (0u32..400).prop_map(|number| format!("member:{number}").into_bytes()),
            2 => (-100i64..100).prop_map(|number| number.to_string().into_bytes()),
            1 => (115usize..130).prop_map(|len| vec![b'k'; len]),
        ]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => proptest::collection::vec(any::<u8>(), 0..20),
            1 => (100usize..300).prop_map(|len| vec![b'v'; len]),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(seed: u64, steps in proptest::collection::vec((0u8..4, key(), value()), 1..800)) {
            let mut table = FieldTable::new(seed);
            let mut model = BTreeMap::new();
            for (step, (kind, key, value)) in steps.into_iter().enumerate() {
                match kind {
                    0 => prop_assert_eq!(table.remove(&key), model.remove(&key).is_some()),
                    _ => prop_assert_eq!(table.set(&key, &value), model.insert(key, value).is_none()),
                }
                if step % 50 == 0 {
                    table.assert_invariants();
                }
            }
            table.assert_invariants();
            prop_assert_eq!(table.len(), model.len());
            for (key, value) in &model {
                prop_assert_eq!(table.get(key).map(|value| value.to_vec()), Some(value.clone()));
            }
            let all: BTreeMap<Vec<u8>, Vec<u8>> =
                table.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(&all, &model);
            for key in model.keys() {
                prop_assert!(table.remove(key));
            }
            table.assert_invariants();
            prop_assert_eq!((table.len(), table.buckets.len(), table.bucket_bytes), (0, 1, 0));
        }

        /// Members that stay are seen by a scan although the table grows and shrinks between its calls.
        #[test]
        fn scan_keeps_its_promise(
            seed: u64,
            stay in 1u32..300,
            count in 1usize..40,
            changes in proptest::collection::vec((any::<bool>(), 0u32..400), 1..60),
        ) {
            let mut table = MemberTable::new(seed);
            for number in 0..stay {
                table.insert(format!("stays:{number}").as_bytes());
            }
            let mut seen = BTreeSet::new();
            let mut cursor = 0;
            let mut calls = 0;
            for (add, amount) in changes.iter().cycle() {
                cursor = table.scan(cursor, count, |key, _| { seen.insert(key.to_vec()); });
                calls += 1;
                prop_assert!(calls < 100_000);
                if cursor == 0 {
                    break;
                }
                for number in 0..*amount {
                    let key = format!("other:{number}");
                    if *add { table.insert(key.as_bytes()); } else { table.remove(key.as_bytes()); }
                }
            }
            for number in 0..stay {
                let key = format!("stays:{number}").into_bytes();
                prop_assert!(seen.contains(&key));
            }
            table.assert_invariants();
        }
    }

    #[test]
    fn an_undisturbed_scan_sees_everything_once() {
        for len in [0, 1, 17, 100, 1000, 1025] {
            let mut table = MemberTable::new(7);
            for number in 0..len {
                table.insert(format!("member:{number}").as_bytes());
            }
            let mut seen = Vec::new();
            let mut cursor = 0;
            loop {
                cursor = table.scan(cursor, 10, |key, _| seen.push(key.to_vec()));
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen.len(), len);
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), len);
        }
    }

    #[test]
    fn the_random_choice_is_uniform() {
        let mut table = MemberTable::new(11);
        const MEMBERS: usize = 300;
        const DRAWS: usize = 300_000;
        for number in 0..MEMBERS {
            table.insert(number.to_string().as_bytes());
        }
        let mut rng = fastrand::Rng::with_seed(5);
        let mut drawn = [0usize; MEMBERS];
        for _ in 0..DRAWS {
            let (key, _) = table.random(&mut rng).expect("not empty");
            drawn[crate::primitives::number::parse_u64(&key).expect("a number") as usize] += 1;
        }
        // Chi squared with 299 degrees of freedom: above 400 has a probability of about one in ten thousand,
        // and the seeds are fixed.
        let expected = (DRAWS / MEMBERS) as f64;
        let chi_squared: f64 = drawn.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
        assert!(chi_squared < 400.0, "{chi_squared}");
    }

    #[test]
    fn a_table_can_be_dropped_elsewhere() {
        fn sendable<T: Send + Sync>(_: &T) {}
        let table = MemberTable::new(1);
        sendable(&table);
        assert!(table.random(&mut fastrand::Rng::with_seed(1)).is_none());
    }
}
