//! The table of one slot: buckets of a cache line, each with up to nine records.
//!
//! ```text
//! bucket   tag 1 x 9 | used and overflow 1 | word 6 x 9
//! word     address / 8 in 45 bits | two more bits of the hash | displaced 1
//! ```
//!
//! The home bucket of a key is `fingerprint * buckets / 2^32`. So the number of buckets need not be a power
//! of two: tables grow in the small steps of the allocator's blocks and stand nearly full. A record whose
//! home is full goes into the next bucket with room, and every full bucket on its way counts it in
//! `overflow`. A search ends at a bucket whose `overflow` is 0, and a removal leaves no tombstone.
//!
//! The tag and the two bits in the word are ten bits of the fingerprint, the *window*, just below those that
//! choose the bucket. When a table grows, the old home and the window nearly always tell the new home, so few
//! records have to be read.
//!
//! Addresses are kept in 45 bits: 48 bits, as user space has on x86-64 and aarch64, without the three that
//! alignment makes zero. `word_of` asserts this in every build; provenance is exposed there and taken up
//! again in `address_of`.
// Records are kept as bare addresses in buckets that are allocated here; each use is argued below.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut, Range as Buckets};
use std::ptr::NonNull;

use dashmap::SharedValue;
use hashbrown::raw::RawTable;

use super::key_hash::{HashedKey, KeyHasher, fingerprint_of_hash};
use super::record::{Record, RecordBox};
use crate::alloc::block_bytes;
use crate::primitives::occupancy::Occupancy;
use crate::primitives::same::same;

/// What a dashmap shard holds: one entry, the slot's number and its table.
pub type Shard = RawTable<(u16, SharedValue<SlotTable>)>;

/// Records in a bucket.
const ENTRIES: usize = 9;
/// Bytes of buckets for each key, beside its record, in a table with many keys.
pub const SHARE_BYTES: usize = 9;
/// Records a table takes for each of its buckets before it grows: 8 of 9 places, so that searches stay short.
const LOAD: usize = 8;
/// Highest value of a bucket's overflow counter. A counter that got there stays there: it has lost count.
const OVERFLOW_MAX: u8 = 15;

const ADDRESS_BITS: u32 = 48;
const ADDRESS_SHIFT: u32 = 3;
const EXTRA_SHIFT: u32 = ADDRESS_BITS - ADDRESS_SHIFT;
const EXTRA_MASK: u64 = 0b11;
const DISPLACED: u64 = 1 << 47;
/// Bits of the fingerprint that an entry keeps: 8 in the tag and 2 in the word.
const WINDOW_BITS: u32 = 10;

/// Nine records in one cache line of 64 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Bucket {
    tags: [u8; ENTRIES],
    /// Low half: entries in use, which stand first. High half: `overflow`, records that were placed in a
    /// later bucket because this one was full.
    counts: u8,
    words: [[u8; 6]; ENTRIES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    #[inline]
    fn used(&self) -> usize {
        usize::from(self.counts & 0xf)
    }

    #[inline]
    fn overflow(&self) -> u8 {
        self.counts >> 4
    }

    #[inline]
    fn word(&self, index: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.words[index]);
        u64::from_le_bytes(bytes)
    }

    #[inline]
    fn set_word(&mut self, index: usize, word: u64) {
        self.words[index].copy_from_slice(&word.to_le_bytes()[..6]);
    }

    fn push(&mut self, tag: u8, word: u64) -> usize {
        let index = self.used();
        self.tags[index] = tag;
        self.set_word(index, word);
        self.counts += 1;
        index
    }

    /// Removes an entry and moves the last one to its place. Returns the removed word.
    fn take(&mut self, index: usize) -> u64 {
        let (word, last) = (self.word(index), self.used() - 1);
        self.tags[index] = self.tags[last];
        self.words[index] = self.words[last];
        self.counts -= 1;
        word
    }

    fn note_passed(&mut self) {
        if self.overflow() < OVERFLOW_MAX {
            self.counts += 1 << 4;
        }
    }

    fn forget_passed(&mut self) {
        debug_assert!(self.overflow() > 0, "who goes by is counted");
        if self.overflow() < OVERFLOW_MAX {
            self.counts -= 1 << 4;
        }
    }

    /// Bit `n` is set where entry `n` is in use and has this tag.
    #[inline]
    fn matches(&self, tag: u8) -> u32 {
        let used = (1 << self.used()) - 1;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of the architecture; a bucket has more than the 16 bytes that are read.
        unsafe {
            use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
            let line = _mm_loadu_si128(std::ptr::from_ref(self).cast());
            let equal = _mm_movemask_epi8(_mm_cmpeq_epi8(line, _mm_set1_epi8(tag.cast_signed())));
            equal.cast_unsigned() & used
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let bits = self.tags.iter().enumerate().map(|(index, other)| u32::from(*other == tag) << index);
            bits.fold(0, |all, bit| all | bit) & used
        }
    }
}

/// The records of one slot.
pub struct SlotTable {
    buckets: NonNull<Bucket>,
    count: u32,
    len: u32,
}

// SAFETY: a table owns its buckets and the records in them, which are Send and Sync.
unsafe impl Send for SlotTable {}
// SAFETY: records are Sync, and nothing is changed through a shared reference to a table.
unsafe impl Sync for SlotTable {}

impl SlotTable {
    /// An empty table, which needs no memory.
    pub const fn new() -> Self {
        Self { buckets: NonNull::dangling(), count: 0, len: 0 }
    }

    /// Number of records, those that have expired and were not removed yet included.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of buckets.
    pub fn bucket_count(&self) -> usize {
        self.count as usize
    }

    /// Bytes of the block that holds the buckets, without the records.
    pub fn memory_bytes(&self) -> usize {
        bytes_of_buckets(self.count as usize)
    }

    /// Adds this table's figures to `sum`, for DEBUG HTSTATS.
    pub fn add_occupancy(&self, sum: &mut Occupancy) {
        sum.capacity += capacity(self.count as usize);
        for bucket in self.buckets() {
            sum.add_bucket(bucket.used());
            sum.displaced += (0..bucket.used()).filter(|index| bucket.word(*index) & DISPLACED != 0).count();
        }
    }

    /// Address of the buckets in the low 48 bits, their number above: enough for [`prefetch_hinted`] without
    /// reading the table. 0 where there are no buckets or too many for 16 bits.
    #[inline]
    pub fn hint(&self) -> u64 {
        let count = u64::from(self.count);
        if count == 0 || count >> (u64::BITS - ADDRESS_BITS) != 0 {
            return 0;
        }
        count << ADDRESS_BITS | self.buckets.as_ptr().addr() as u64 & ((1 << ADDRESS_BITS) - 1)
    }

    fn with_buckets(count: usize) -> Self {
        assert!(count <= u32::MAX as usize, "more buckets than there are fingerprints");
        let layout = layout_of(count);
        // SAFETY: there is at least one bucket, so the layout is not empty; a bucket of zeros is an empty
        // one.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(buckets) = NonNull::new(start.cast::<Bucket>()) else { handle_alloc_error(layout) };
        Self { buckets, count: count as u32, len: 0 }
    }

    #[inline]
    fn buckets(&self) -> &[Bucket] {
        // SAFETY: `count` buckets were allocated and are initialized; with none the pointer is dangling, as
        // it may be.
        unsafe { std::slice::from_raw_parts(self.buckets.as_ptr(), self.count as usize) }
    }

    #[inline]
    fn buckets_mut(&mut self) -> &mut [Bucket] {
        // SAFETY: `count` buckets were allocated and are initialized, with none the pointer may dangle; the
        // table is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.buckets.as_ptr(), self.count as usize) }
    }

    #[inline]
    fn next(&self, position: usize) -> usize {
        if position + 1 == self.count as usize { 0 } else { position + 1 }
    }

    /// Returns bucket and entry of the first record with this fingerprint that satisfies `wanted`, which gets
    /// the record's address. The ten bits of an entry may belong to another fingerprint: `wanted` has to
    /// compare.
    #[inline]
    fn locate(&self, fingerprint: u32, wanted: impl Fn(NonNull<u8>) -> bool) -> Option<(usize, usize)> {
        let buckets = self.buckets();
        if buckets.is_empty() {
            return None;
        }
        let (tag, extra) = window_of(fingerprint, level(self.count));
        let mut position = home(fingerprint, self.count);
        for _ in 0..buckets.len() {
            let bucket = &buckets[position];
            let mut matches = bucket.matches(tag);
            while matches != 0 {
                let index = matches.trailing_zeros() as usize;
                matches &= matches - 1;
                let word = bucket.word(index);
                if word >> EXTRA_SHIFT & EXTRA_MASK == extra && wanted(address_of(word)) {
                    return Some((position, index));
                }
            }
            if bucket.overflow() == 0 {
                return None;
            }
            position = self.next(position);
        }
        None
    }

    /// [`locate`](Self::locate) with a `wanted` that reads the record.
    #[inline]
    fn locate_record(&self, fingerprint: u32, wanted: impl Fn(&Record) -> bool) -> Option<(usize, usize)> {
        // SAFETY: the table owns the record, and is borrowed for as long as `wanted` looks at it.
        self.locate(fingerprint, |address| wanted(unsafe { Record::at_address(address) }))
    }

    #[inline]
    fn record(&self, (position, index): (usize, usize)) -> &Record {
        assert!(
            index < self.buckets()[position].used(),
            "the table has not changed since the record was located"
        );
        // SAFETY: an entry that is used has a record, which the table owns; it is borrowed.
        unsafe { Record::at_address(address_of(self.buckets()[position].word(index))) }
    }

    #[inline]
    fn record_mut(&mut self, (position, index): (usize, usize)) -> &mut Record {
        assert!(
            index < self.buckets()[position].used(),
            "the table has not changed since the record was located"
        );
        // SAFETY: an entry that is used has a record, which the table owns; the table is borrowed
        // exclusively.
        unsafe { Record::at_address_mut(address_of(self.buckets()[position].word(index))) }
    }

    /// Puts an entry into its home bucket, or into the next bucket with room. The caller made sure that the
    /// table has room.
    fn place(&mut self, fingerprint_home: usize, tag: u8, word: u64) -> (usize, usize) {
        let mut position = fingerprint_home;
        let mut displaced = 0;
        for _ in 0..self.count {
            let next = self.next(position);
            let bucket = &mut self.buckets_mut()[position];
            if bucket.used() < ENTRIES {
                let index = bucket.push(tag, word | displaced);
                self.len += 1;
                return (position, index);
            }
            bucket.note_passed();
            displaced = DISPLACED;
            position = next;
        }
        unreachable!("a table grows before it is full")
    }

    fn take(&mut self, fingerprint: u32, (position, index): (usize, usize)) -> RecordBox {
        assert!(
            index < self.buckets()[position].used(),
            "the table has not changed since the record was located"
        );
        let word = self.buckets_mut()[position].take(index);
        self.len -= 1;
        if word & DISPLACED != 0 {
            let mut passed = home(fingerprint, self.count);
            while passed != position {
                self.buckets_mut()[passed].forget_passed();
                passed = self.next(passed);
            }
        }
        // SAFETY: the entry that owned the record is gone.
        unsafe { RecordBox::from_address(address_of(word)) }
    }

    /// Moves all records to a table of `count` buckets, reading only those whose new home the window does not
    /// tell.
    fn rebuild(&mut self, count: usize, hasher: &KeyHasher) {
        let mut new = SlotTable::with_buckets(count);
        debug_assert!(capacity(count) >= self.len(), "there is room for all");
        // Records to be read for their hash. They are prefetched 64 at a time, so that their cache misses
        // overlap.
        let mut unknown = [0u64; 64];
        let mut waiting = 0;
        let same_level = level(self.count) == level(new.count);
        for (position, bucket) in self.buckets().iter().enumerate() {
            let range = Range::of(position, self.count);
            for index in 0..bucket.used() {
                let (tag, word) = (bucket.tags[index], bucket.word(index));
                let known = if same_level && word & DISPLACED == 0 {
                    range.home_in(new.count, tag, word >> EXTRA_SHIFT & EXTRA_MASK)
                } else {
                    None
                };
                if let Some(home) = known {
                    new.place(home, tag, word);
                    continue;
                }
                let address = address_of(word).as_ptr();
                prefetch(address);
                unknown[waiting] = word;
                waiting += 1;
                if waiting == unknown.len() {
                    new.place_by_key(&unknown, hasher);
                    waiting = 0;
                }
            }
        }
        new.place_by_key(&unknown[..waiting], hasher);
        debug_assert_eq!(new.len, self.len, "no record is lost");
        // The new table owns the records now: the old one must not free them.
        self.len = 0;
        for bucket in self.buckets_mut() {
            bucket.counts = 0;
        }
        *self = new;
    }

    fn place_by_key(&mut self, words: &[u64], hasher: &KeyHasher) {
        for word in words {
            let address = address_of(*word);
            // SAFETY: the record is of the table that is being moved here, which is borrowed exclusively.
            let fingerprint = hasher.fingerprint(unsafe { Record::at_address(address) }.key());
            let (tag, extra) = window_of(fingerprint, level(self.count));
            let (home, word) = (home(fingerprint, self.count), word_of(address, extra));
            self.place(home, tag, word);
        }
    }
}

impl Default for SlotTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SlotTable {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        for bucket in self.buckets() {
            for index in 0..bucket.used() {
                // SAFETY: the table owned the record, and nobody reads the entry again.
                drop(unsafe { RecordBox::from_address(address_of(bucket.word(index))) });
            }
        }
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.buckets.as_ptr().cast(), layout_of(self.count as usize)) }
    }
}

impl std::fmt::Debug for SlotTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotTable").field("len", &self.len).field("buckets", &self.count).finish()
    }
}

/// An entry that lends its record for a while: the record may be replaced by another one of the same key, or
/// move to another allocation. Dropping the place writes the record's address back into the entry.
pub struct Place<'t> {
    record: ManuallyDrop<RecordBox>,
    bucket: &'t mut Bucket,
    index: usize,
}

impl Deref for Place<'_> {
    type Target = RecordBox;

    fn deref(&self) -> &RecordBox {
        &self.record
    }
}

impl DerefMut for Place<'_> {
    fn deref_mut(&mut self) -> &mut RecordBox {
        &mut self.record
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // SAFETY: taken once, here; the entry owns the record again.
        let address = unsafe { ManuallyDrop::take(&mut self.record) }.into_address();
        let kept = self.bucket.word(self.index) & !((1 << EXTRA_SHIFT) - 1);
        self.bucket.set_word(self.index, kept | word_of(address, 0));
    }
}

/// The range of fingerprints whose home is one bucket, both ends included.
struct Range {
    first: u64,
    last: u64,
    level: u32,
}

impl Range {
    fn of(position: usize, count: u32) -> Range {
        let bound = |position: usize| ((position as u64) << 32).div_ceil(u64::from(count));
        Range { first: bound(position), last: bound(position + 1) - 1, level: level(count) }
    }

    /// Returns the home in a table of `count` buckets, which is of the same [`level`], for a fingerprint of
    /// this range with this tag and these two bits. `None` where several homes are possible.
    fn home_in(&self, count: u32, tag: u8, extra: u64) -> Option<usize> {
        let shift = 32 - self.level - WINDOW_BITS;
        let window = (extra << 8 | u64::from(tag)) << shift;
        let mut found = None;
        // The fingerprint's bits above the window: within one bucket they take at most two values.
        let above = self.first >> (32 - self.level);
        for above in [above, above + 1] {
            let base = above << (32 - self.level) | window;
            let (first, last) = (base.max(self.first), (base + (1 << shift) - 1).min(self.last));
            if first > last {
                continue;
            }
            let (first, last) = (home(first as u32, count), home(last as u32, count));
            if first != last || found.is_some_and(|found| found != first) {
                return None;
            }
            found = Some(first);
        }
        debug_assert!(found.is_some(), "a fingerprint is in the range of its home");
        found
    }
}

#[inline]
fn home(fingerprint: u32, count: u32) -> usize {
    ((u64::from(fingerprint) * u64::from(count)) >> 32) as usize
}

/// Number of top bits of the fingerprint that the window leaves out, because the bucket's number already says
/// them. Rounded down to an even number, so that a table can grow fourfold with the same window and its
/// records need not be read.
#[inline]
fn level(count: u32) -> u32 {
    let choosing = u32::BITS - count.saturating_sub(1).leading_zeros();
    ((choosing.max(2) - 1) & !1).min(u32::BITS - WINDOW_BITS)
}

/// Cuts a fingerprint's window into the tag (8 bits) and the bits of the word (2 bits).
#[inline]
fn window_of(fingerprint: u32, level: u32) -> (u8, u64) {
    let window = fingerprint << level >> (u32::BITS - WINDOW_BITS);
    (window as u8, u64::from(window >> 8))
}

#[inline]
fn word_of(address: NonNull<u8>, extra: u64) -> u64 {
    let address = address.as_ptr().expose_provenance() as u64;
    assert!(
        address >> ADDRESS_BITS == 0 && address.trailing_zeros() >= ADDRESS_SHIFT,
        "addresses have 48 bits"
    );
    address >> ADDRESS_SHIFT | extra << EXTRA_SHIFT
}

#[inline]
fn address_of(word: u64) -> NonNull<u8> {
    let address = (word & ((1 << EXTRA_SHIFT) - 1)) << ADDRESS_SHIFT;
    // SAFETY: only addresses of records are made into words, and none of them is zero.
    unsafe { NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(address as usize)) }
}

fn layout_of(count: usize) -> Layout {
    // No alignment of 64 is asked for, which would cost a larger block: the allocator aligns blocks of a
    // multiple of 64 bytes so by itself.
    match Layout::array::<Bucket>(count) {
        Ok(layout) => layout,
        Err(_) => unreachable!("a table's records are in memory, and larger than its buckets"),
    }
}

/// Records that a table of `count` buckets takes before it grows. One more than `LOAD` for each: a single
/// bucket may be full, as nothing overflows from it.
fn capacity(count: usize) -> usize {
    if count == 0 { 0 } else { count * LOAD + 1 }
}

/// Bytes of the allocator's block for so many buckets.
fn bytes_of_buckets(count: usize) -> usize {
    if count == 0 { 0 } else { block_bytes(count * size_of::<Bucket>()) }
}

/// Bytes of the block that holds the buckets of the table with this [hint](SlotTable::hint); 0 where it has none or too
/// many for the hint.
pub fn hinted_bytes(hint: u64) -> usize {
    bytes_of_buckets((hint >> ADDRESS_BITS) as usize)
}

/// Number of buckets that fill the allocator's block for `count` buckets.
fn filling_block(count: usize) -> usize {
    block_bytes(count * size_of::<Bucket>()) / size_of::<Bucket>()
}

fn count_after(count: usize) -> usize {
    filling_block(count + 1 + count / 8 * usize::from(count > 64))
}

fn count_for(len: usize) -> usize {
    filling_block(len.saturating_sub(1).div_ceil(LOAD).max(1))
}

/// The table in a shard.
#[inline]
pub fn of_shard(shard: &Shard) -> &SlotTable {
    debug_assert_eq!(shard.len(), 1);
    // SAFETY: the database's constructor put the shard's one entry there, asserted that, and nobody removes
    // it.
    unsafe { shard.bucket(0).as_ref().1.get() }
}

/// [`of_shard`] with exclusive access.
#[inline]
pub fn of_shard_mut(shard: &mut Shard) -> &mut SlotTable {
    debug_assert_eq!(shard.len(), 1);
    // SAFETY: the database's constructor put the shard's one entry there, asserted that, and nobody removes
    // it; the shard is borrowed exclusively.
    unsafe { shard.bucket(0).as_mut().1.get_mut() }
}

/// Whether a shard's only entry is in its first place, where [`of_shard`] takes it from.
pub fn is_in_place(shard: &Shard) -> bool {
    // SAFETY: a table with an entry has buckets, so the first of them is within bounds.
    shard.len() == 1 && unsafe { shard.is_bucket_full(0) }
}

/// Place of a record in its table. Valid until the table is changed.
#[derive(Clone, Copy, Debug)]
pub struct At {
    position: usize,
    index: usize,
}

/// Finds the place of `key`'s record, expired or not.
#[inline]
pub fn locate(table: &SlotTable, key: &HashedKey<'_>) -> Option<At> {
    let fingerprint = fingerprint_of_hash(key.hash);
    let (position, index) = table.locate_record(fingerprint, |record| same(record.key(), key.bytes))?;
    Some(At { position, index })
}

/// The record at a place that [`locate`] returned.
#[inline]
pub fn at(table: &SlotTable, at: At) -> &Record {
    table.record((at.position, at.index))
}

/// [`at`], to change the record in place.
#[inline]
pub fn at_mut(table: &mut SlotTable, at: At) -> &mut Record {
    table.record_mut((at.position, at.index))
}

/// [`at`], to replace the record by another one of the same key.
#[inline]
pub fn owner_at(table: &mut SlotTable, at: At) -> Place<'_> {
    let bucket = &mut table.buckets_mut()[at.position];
    assert!(at.index < bucket.used(), "the table has not changed since the record was located");
    // SAFETY: until the place is dropped it owns the record and not the entry, which nobody else can reach.
    let record = ManuallyDrop::new(unsafe { RecordBox::from_address(address_of(bucket.word(at.index))) });
    Place { record, bucket, index: at.index }
}

/// Finds the record of `key`, expired or not.
#[inline]
pub fn find<'t>(table: &'t SlotTable, key: &HashedKey<'_>) -> Option<&'t Record> {
    find_where(table, key.hash, |record| same(record.key(), key.bytes))
}

/// Finds the record of `key`, to replace it by another one of the same key.
#[cfg(test)]
pub fn find_owner<'t>(table: &'t mut SlotTable, key: &HashedKey<'_>) -> Option<Place<'t>> {
    locate(table, key).map(|at| owner_at(table, at))
}

/// Grows the table if there is no room for another record. Returns whether it has grown.
#[inline]
pub fn grow_if_full(table: &mut SlotTable, hasher: &KeyHasher) -> bool {
    let is_full = table.len() == capacity(table.count as usize);
    if is_full {
        table.rebuild(count_after(table.count as usize), hasher);
    }
    is_full
}

/// Adds a record whose key is not in the table, which grows first if it is full. `hash` is the key's.
#[inline]
pub fn insert_new<'t>(
    table: &'t mut SlotTable,
    hash: u64,
    record: RecordBox,
    hasher: &KeyHasher,
) -> &'t mut Record {
    debug_assert!(find_where(table, hash, |other| other.key() == record.key()).is_none(), "the key is new");
    grow_if_full(table, hasher);
    let fingerprint = fingerprint_of_hash(hash);
    let (tag, extra) = window_of(fingerprint, level(table.count));
    let at = table.place(home(fingerprint, table.count), tag, word_of(record.into_address(), extra));
    table.record_mut(at)
}

/// Removes the record of `key` at the place that [`locate`] returned.
pub fn remove_at(table: &mut SlotTable, key: &HashedKey<'_>, at: At) -> RecordBox {
    debug_assert!(table.record((at.position, at.index)).key() == key.bytes, "it is this key's record");
    table.take(fingerprint_of_hash(key.hash), (at.position, at.index))
}

/// Shrinks the table once three quarters of its entries are unused. Returns whether it has shrunk.
pub fn shrink_if_sparse(table: &mut SlotTable, hasher: &KeyHasher) -> bool {
    let is_sparse = table.count >= 4 && table.len() * 4 < table.count as usize * ENTRIES;
    if is_sparse {
        table.rebuild(count_for(table.len() * 3 / 2), hasher);
    }
    is_sparse
}

/// All records, roughly in the order of their fingerprints.
pub fn iter(table: &SlotTable) -> impl Iterator<Item = &Record> {
    iter_buckets(table, 0..table.bucket_count())
}

/// The records in some buckets of a table, which has them. While it keeps the number of its buckets, records stay where
/// they are.
pub fn iter_buckets(table: &SlotTable, buckets: Buckets<usize>) -> impl Iterator<Item = &Record> {
    let (start, buckets) = (buckets.start.min(buckets.end), &table.buckets()[..buckets.end]);
    let buckets = buckets.iter().enumerate().skip(start);
    buckets.flat_map(move |(at, bucket)| (0..bucket.used()).map(move |index| table.record((at, index))))
}

/// Calls `visit` for every record, as [`iter`] lists them. The records of a few buckets ahead are prefetched, so
/// that the cache misses of reading them overlap.
pub fn for_each(table: &SlotTable, mut visit: impl FnMut(&Record)) {
    const AHEAD: usize = 3;
    let buckets = table.buckets();
    buckets.iter().take(AHEAD).for_each(prefetch_records);
    for (at, bucket) in buckets.iter().enumerate() {
        if let Some(ahead) = buckets.get(at + AHEAD) {
            prefetch_records(ahead);
        }
        (0..bucket.used()).for_each(|index| visit(table.record((at, index))));
    }
}

/// Prefetches the records of a bucket.
fn prefetch_records(bucket: &Bucket) {
    /// A usual record has more bytes, and reaches into the next cache line.
    const RECORD_MIN: usize = 48;
    for index in 0..bucket.used() {
        let address = address_of(bucket.word(index)).as_ptr();
        prefetch(address);
        prefetch(address.wrapping_add(RECORD_MIN));
    }
}

/// Finds the first record that may have this hash and satisfies `wanted`. An entry keeps ten bits of the hash
/// only, so `wanted` has to compare the key or the whole hash.
#[inline]
pub fn find_where(table: &SlotTable, hash: u64, wanted: impl Fn(&Record) -> bool) -> Option<&Record> {
    table.locate_record(fingerprint_of_hash(hash), wanted).map(|at| table.record(at))
}

/// [`find_where`], to change the record in place.
#[inline]
pub fn find_where_mut(
    table: &mut SlotTable,
    hash: u64,
    wanted: impl Fn(&Record) -> bool,
) -> Option<&mut Record> {
    let at = table.locate_record(fingerprint_of_hash(hash), wanted)?;
    Some(table.record_mut(at))
}

/// Removes the first record that may have this hash and satisfies `due`, which has to compare the key or the
/// whole hash.
pub fn remove_where(table: &mut SlotTable, hash: u64, due: impl Fn(&Record) -> bool) -> Option<RecordBox> {
    let fingerprint = fingerprint_of_hash(hash);
    let at = table.locate_record(fingerprint, due)?;
    Some(table.take(fingerprint, at))
}

/// Draws a record, each with the same probability; `None` when the table is empty.
pub fn random<'t>(table: &'t SlotTable, rng: &mut fastrand::Rng) -> Option<&'t Record> {
    if table.is_empty() {
        return None;
    }
    if table.len() < table.count as usize {
        // Fewer records than buckets: drawing entries until one is in use would take long, a walk does not.
        return iter(table).nth(rng.usize(..table.len()));
    }
    loop {
        let (position, index) = (rng.usize(..table.count as usize), rng.usize(..ENTRIES));
        if index < table.buckets()[position].used() {
            return Some(table.record((position, index)));
        }
    }
}

/// Prefetches the home bucket of `hash` in the table with this [hint](SlotTable::hint).
#[inline]
pub fn prefetch_hinted(hint: u64, hash: u64) {
    let buckets = std::ptr::without_provenance::<Bucket>((hint & ((1 << ADDRESS_BITS) - 1)) as usize);
    let count = (hint >> ADDRESS_BITS) as u32;
    prefetch(buckets.wrapping_add(home(fingerprint_of_hash(hash), count)).cast());
}

/// Prefetches the first buckets of the table with this [hint](SlotTable::hint).
pub fn prefetch_all_hinted(hint: u64) {
    const BUCKETS_MAX: usize = 16;
    let buckets = std::ptr::without_provenance::<Bucket>((hint & ((1 << ADDRESS_BITS) - 1)) as usize);
    let count = (hint >> ADDRESS_BITS) as usize;
    (0..count.min(BUCKETS_MAX)).for_each(|at| prefetch(buckets.wrapping_add(at).cast()));
}

/// Prefetches the first record that may be the one with `hash`.
#[inline]
pub fn prefetch_record(table: &SlotTable, hash: u64) {
    // The comparison takes the first record with the same bits: nearly always the right one, and a wrong
    // guess costs nothing but the prefetch.
    if let Some((position, index)) = table.locate(fingerprint_of_hash(hash), |_| true) {
        let address = address_of(table.buckets()[position].word(index)).as_ptr();
        prefetch(address);
    }
}

#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults and changes nothing, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests;
