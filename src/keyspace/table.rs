//! The table of one slot: buckets of a cache line, each with up to nine records.
//!
//! ```text
//! bucket   tag 1 x 9 | used and overflow 1 | word 6 x 9
//! word     address / 8 in 45 bits | two more bits of the hash | displaced 1
//! ```
//!
//! A key's home is its fingerprint times the number of buckets, divided by 2^32: so the number need not be a power of two, tables
//! grow in the small steps of the allocator's blocks, and stand nearly full. Where the home is full the next bucket is taken, and the
//! full one counts in `overflow` who went by: a search ends at a bucket that nobody went by, and removals leave no marks.
//!
//! Tag and the word's two bits are ten bits of the fingerprint, just below those that choose the bucket. Home and these bits together
//! say nearly always where a record's home is after the table has grown; few records have to be read for it.
#![allow(unsafe_code)] // Records are kept as bare addresses in buckets that are allocated here; each use is argued below.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
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
/// Records in a table for each of its buckets before it grows.
const LOAD: usize = 8;
/// The counter of those who went by stays at this value once it got there.
const OVERFLOW_MAX: u8 = 15;

const ADDRESS_BITS: u32 = 48;
const ADDRESS_SHIFT: u32 = 3;
const EXTRA_SHIFT: u32 = ADDRESS_BITS - ADDRESS_SHIFT;
const EXTRA_MASK: u64 = 0b11;
const DISPLACED: u64 = 1 << 47;
/// Bits of the fingerprint in tag and word.
const WINDOW_BITS: u32 = 10;

/// A cache line of records.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Bucket {
    tags: [u8; ENTRIES],
    /// How many entries are used, from the first on, in the low half; how many went by in the high half.
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

    /// Takes an entry out; the last one moves to its place.
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

    /// A bit for each entry with this tag.
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
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for SlotTable {}

impl SlotTable {
    /// An empty table, which needs no memory.
    pub const fn new() -> Self {
        Self { buckets: NonNull::dangling(), count: 0, len: 0 }
    }

    /// Records in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its buckets.
    pub fn memory_bytes(&self) -> usize {
        if self.count == 0 { 0 } else { block_bytes(self.count as usize * size_of::<Bucket>()) }
    }

    /// Adds up how full it is.
    pub fn add_occupancy(&self, sum: &mut Occupancy) {
        sum.capacity += capacity(self.count as usize);
        for bucket in self.buckets() {
            sum.add_bucket(bucket.used());
            sum.displaced += (0..bucket.used()).filter(|index| bucket.word(*index) & DISPLACED != 0).count();
        }
    }

    /// Where its buckets are and how many, packed; 0 where there are none or too many for it.
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
        // SAFETY: there is at least one bucket, so the layout is not empty; a bucket of zeros is an empty one.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(buckets) = NonNull::new(start.cast::<Bucket>()) else { handle_alloc_error(layout) };
        Self { buckets, count: count as u32, len: 0 }
    }

    #[inline]
    fn buckets(&self) -> &[Bucket] {
        // SAFETY: `count` buckets were allocated and are initialized; with none the pointer is dangling, as it may be.
        unsafe { std::slice::from_raw_parts(self.buckets.as_ptr(), self.count as usize) }
    }

    #[inline]
    fn buckets_mut(&mut self) -> &mut [Bucket] {
        // SAFETY: as above, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.buckets.as_ptr(), self.count as usize) }
    }

    #[inline]
    fn next(&self, position: usize) -> usize {
        if position + 1 == self.count as usize { 0 } else { position + 1 }
    }

    /// Bucket and entry of the first record with this fingerprint that satisfies `wanted`.
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

    /// [`locate`](Self::locate) by what the record says.
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
        // SAFETY: as above, and it is borrowed exclusively.
        unsafe { Record::at_address_mut(address_of(self.buckets()[position].word(index))) }
    }

    /// Puts an entry into its home or the next bucket with room. There is room in one of them.
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

    /// Moves all records to a table of `count` buckets.
    fn rebuild(&mut self, count: usize, hasher: &KeyHasher) {
        let mut new = SlotTable::with_buckets(count);
        debug_assert!(capacity(count) >= self.len(), "there is room for all");
        // Records that have to be read for their hash: asked for first, so that their cache misses overlap.
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
        // The old buckets' records are the new table's now.
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

/// An entry whose record may be exchanged for another one of the same key, or move to another allocation.
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

/// The fingerprints whose home is a bucket.
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

    /// The home, in a table of `count` buckets of the same level, of a fingerprint in this range with these bits; `None` where
    /// they do not tell.
    fn home_in(&self, count: u32, tag: u8, extra: u64) -> Option<usize> {
        let shift = 32 - self.level - WINDOW_BITS;
        let window = (extra << 8 | u64::from(tag)) << shift;
        let mut found = None;
        // The bits above the window: a bucket spans at most two of their values.
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

/// How many of the fingerprint's first bits are left out of the window: fewer than choose the bucket, and no more than two fewer.
#[inline]
fn level(count: u32) -> u32 {
    let choosing = u32::BITS - count.saturating_sub(1).leading_zeros();
    ((choosing.max(2) - 1) & !1).min(u32::BITS - WINDOW_BITS)
}

/// The tag, and the bits above it that are in the word.
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
    // The alignment of a line comes by itself: the allocator's blocks of a multiple of 64 bytes have it, and asking for it would
    // cost a larger block.
    match Layout::array::<Bucket>(count) {
        Ok(layout) => layout,
        Err(_) => unreachable!("a table's records are in memory, and larger than its buckets"),
    }
}

/// Records that a table of so many buckets takes. One alone may be full: nobody goes by.
fn capacity(count: usize) -> usize {
    if count == 0 { 0 } else { count * LOAD + 1 }
}

/// The buckets that fill the block in which this many have room.
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
    // SAFETY: the database's constructor put the shard's one entry there, asserted that, and nobody removes it.
    unsafe { shard.bucket(0).as_ref().1.get() }
}

/// [`of_shard`] to be changed.
#[inline]
pub fn of_shard_mut(shard: &mut Shard) -> &mut SlotTable {
    debug_assert_eq!(shard.len(), 1);
    // SAFETY: as above.
    unsafe { shard.bucket(0).as_mut().1.get_mut() }
}

/// Whether a shard's entry is where [`of_shard`] takes it from.
pub fn is_in_place(shard: &Shard) -> bool {
    // SAFETY: a table with an entry has buckets, so the first of them is within bounds.
    shard.len() == 1 && unsafe { shard.is_bucket_full(0) }
}

/// Where a record is, until its table is changed.
#[derive(Clone, Copy, Debug)]
pub struct At {
    position: usize,
    index: usize,
}

/// Where the record of `key` is, expired or not.
#[inline]
pub fn locate(table: &SlotTable, key: &HashedKey<'_>) -> Option<At> {
    let fingerprint = fingerprint_of_hash(key.hash);
    let (position, index) = table.locate_record(fingerprint, |record| same(record.key(), key.bytes))?;
    Some(At { position, index })
}

/// The record that was [located](locate) there.
#[inline]
pub fn at(table: &SlotTable, at: At) -> &Record {
    table.record((at.position, at.index))
}

/// [`at`] to be changed in place.
#[inline]
pub fn at_mut(table: &mut SlotTable, at: At) -> &mut Record {
    table.record_mut((at.position, at.index))
}

/// [`at`] to be exchanged for another one.
#[inline]
pub fn owner_at(table: &mut SlotTable, at: At) -> Place<'_> {
    let bucket = &mut table.buckets_mut()[at.position];
    assert!(at.index < bucket.used(), "the table has not changed since the record was located");
    // SAFETY: until the place is dropped it owns the record and not the entry, which nobody else can reach.
    let record = ManuallyDrop::new(unsafe { RecordBox::from_address(address_of(bucket.word(at.index))) });
    Place { record, bucket, index: at.index }
}

/// The record of `key`, expired or not.
#[inline]
pub fn find<'t>(table: &'t SlotTable, key: &HashedKey<'_>) -> Option<&'t Record> {
    find_where(table, key.hash, |record| same(record.key(), key.bytes))
}

/// The record of `key` to be exchanged for another one.
#[inline]
pub fn find_owner<'t>(table: &'t mut SlotTable, key: &HashedKey<'_>) -> Option<Place<'t>> {
    locate(table, key).map(|at| owner_at(table, at))
}

/// Adds a record whose key is not in the table.
#[inline]
pub fn insert_new<'t>(
    table: &'t mut SlotTable,
    hash: u64,
    record: RecordBox,
    hasher: &KeyHasher,
) -> &'t mut Record {
    debug_assert!(find_where(table, hash, |other| other.key() == record.key()).is_none(), "the key is new");
    if table.len() == capacity(table.count as usize) {
        table.rebuild(count_after(table.count as usize), hasher);
    }
    let fingerprint = fingerprint_of_hash(hash);
    let (tag, extra) = window_of(fingerprint, level(table.count));
    let at = table.place(home(fingerprint, table.count), tag, word_of(record.into_address(), extra));
    table.record_mut(at)
}

/// Takes the record of `key` out that was [located](locate) there, and lets a table that became nearly empty shrink.
pub fn remove_at(table: &mut SlotTable, key: &HashedKey<'_>, at: At, hasher: &KeyHasher) -> RecordBox {
    debug_assert!(table.record((at.position, at.index)).key() == key.bytes, "it is this key's record");
    let record = table.take(fingerprint_of_hash(key.hash), (at.position, at.index));
    shrink_if_sparse(table, hasher);
    record
}

/// Gives memory back once three quarters of a table stand empty.
pub fn shrink_if_sparse(table: &mut SlotTable, hasher: &KeyHasher) {
    if table.count >= 4 && table.len() * 4 < table.count as usize * ENTRIES {
        table.rebuild(count_for(table.len() * 3 / 2), hasher);
    }
}

/// Every record, about in the order of fingerprints.
pub fn iter(table: &SlotTable) -> impl Iterator<Item = &Record> {
    let buckets = table.buckets().iter().enumerate();
    buckets.flat_map(move |(at, bucket)| (0..bucket.used()).map(move |index| table.record((at, index))))
}

/// The first record that may have this hash and satisfies `wanted`, which has to compare what matters itself.
#[inline]
pub fn find_where(table: &SlotTable, hash: u64, wanted: impl Fn(&Record) -> bool) -> Option<&Record> {
    table.locate_record(fingerprint_of_hash(hash), wanted).map(|at| table.record(at))
}

/// [`find_where`] of a record to be changed in place.
#[inline]
pub fn find_where_mut(
    table: &mut SlotTable,
    hash: u64,
    wanted: impl Fn(&Record) -> bool,
) -> Option<&mut Record> {
    let at = table.locate_record(fingerprint_of_hash(hash), wanted)?;
    Some(table.record_mut(at))
}

/// Takes out the first record that has this hash and satisfies `due`, which has to make sure of the hash.
pub fn remove_where(table: &mut SlotTable, hash: u64, due: impl Fn(&Record) -> bool) -> Option<RecordBox> {
    let fingerprint = fingerprint_of_hash(hash);
    let at = table.locate_record(fingerprint, due)?;
    Some(table.take(fingerprint, at))
}

/// A record chosen at random, each with the same probability; `None` when the table is empty.
pub fn random<'t>(table: &'t SlotTable, rng: &mut fastrand::Rng) -> Option<&'t Record> {
    if table.is_empty() {
        return None;
    }
    if table.len() < table.count as usize {
        // Mostly empty: drawing entries would take long, walking them does not.
        return iter(table).nth(rng.usize(..table.len()));
    }
    loop {
        let (position, index) = (rng.usize(..table.count as usize), rng.usize(..ENTRIES));
        if index < table.buckets()[position].used() {
            return Some(table.record((position, index)));
        }
    }
}

/// Asks the processor for the bucket where `hash` would be looked for first in the table of this [hint](SlotTable::hint).
#[inline]
pub fn prefetch_hinted(hint: u64, hash: u64) {
    let buckets = std::ptr::without_provenance::<Bucket>((hint & ((1 << ADDRESS_BITS) - 1)) as usize);
    let count = (hint >> ADDRESS_BITS) as u32;
    prefetch(buckets.wrapping_add(home(fingerprint_of_hash(hash), count)).cast());
}

/// Asks the processor for the first record that may be the one with `hash`.
#[inline]
pub fn prefetch_record(table: &SlotTable, hash: u64) {
    // The comparison takes the first record with the same bits: nearly always the right one, and a wrong guess costs nothing but
    // the prefetch.
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
