//! Reading a table as it was at one instant while it goes on changing.
//!
//! [`PackedTable::freeze`] marks the instant. From then on [`PackedTable::read_frozen`] returns the entries
//! that were there, a bounded number at a time and each once. The table is read along the line of hashes (see
//! [`super::table`]); a change of a bucket that was not read yet first copies the bucket's entries, so it
//! costs a dozen entries at most, however large the table. Splits and merges leave every entry where it is on
//! the line and cost nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::entry::{self, Element, Encoded, Raw};
use super::table::{PackedTable, entries};

/// What identifies a reading, and where it is told that it cannot be finished.
#[derive(Clone, Debug)]
pub struct Reading {
    /// A number that no other reading has.
    pub id: u64,
    /// Set when a frozen table was dropped before it was read to its end, or was read wrongly.
    pub lost: Arc<AtomicBool>,
}

/// How far a table has been read, and what was copied ahead of that.
pub(super) struct Freeze {
    reading: Reading,
    /// Position on the line from which on nothing was read; `None` at its end.
    next: Option<u64>,
    /// Which parts of the line were copied.
    copied: CopiedParts,
    /// The copied entries that were not returned yet: key, value, and when the entry ends. In chunks, as one
    /// run of many bytes would be moved each time it grows.
    entries: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that were returned.
    returned: usize,
    /// Number of entries still to be returned.
    left: usize,
}

/// Bytes in a chunk of copied entries, but for the entries of the bucket that goes beyond it.
const CHUNK: usize = 32 << 10;
/// What a chunk has room for beyond that, so that a usual bucket does not make it grow.
const BUCKET_ROOM: usize = 1 << 10;

/// Stands for an entry that does not end.
const NO_END: i64 = -1;

/// The line in equal parts, as many as the table had buckets at the instant or nearly twice that, with a bit for
/// each: whether it was copied.
struct CopiedParts {
    bits: Vec<u64>,
    /// Positions of a part are those that are the same but for this many of the last bits; 64 where the line
    /// is one part.
    width_bits: u32,
}

impl CopiedParts {
    fn new(bucket_count: usize) -> Self {
        let parts = bucket_count.max(1).next_power_of_two();
        Self { bits: vec![0; parts.div_ceil(64)], width_bits: u64::BITS - parts.trailing_zeros() }
    }

    fn index_of(&self, position: u64) -> usize {
        position.checked_shr(self.width_bits).unwrap_or(0) as usize
    }

    /// First and last position of the part that a position is in.
    fn part_of(&self, position: u64) -> (u64, u64) {
        let within = u64::MAX.checked_shr(u64::BITS - self.width_bits).unwrap_or(0);
        (position & !within, position | within)
    }

    fn has(&self, position: u64) -> bool {
        let index = self.index_of(position);
        self.bits.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The words of `bits` that hold an aligned range of the line, and which of their bits are its own.
    fn words_of(&self, first: u64, last: u64) -> (std::ops::RangeInclusive<usize>, u64) {
        let (from, to) = (self.index_of(first), self.index_of(last));
        // An aligned range is a power of two of parts: within one word, or whole words.
        let own = if to - from >= 63 { u64::MAX } else { ((1 << (to - from + 1)) - 1) << (from % 64) };
        (from / 64..=to / 64, own)
    }

    /// Whether nothing of an aligned range was copied.
    fn has_none_of(&self, first: u64, last: u64) -> bool {
        let (words, own) = self.words_of(first, last);
        self.bits.get(words).is_some_and(|words| words.iter().all(|word| word & own == 0))
    }

    /// Notes that an aligned range, one part at least, was copied.
    fn add(&mut self, first: u64, last: u64) {
        let (words, own) = self.words_of(first, last);
        for word in self.bits.get_mut(words).into_iter().flatten() {
            *word |= own;
        }
    }
}

impl Freeze {
    /// Whether the entries at this position were returned or copied.
    fn has(&self, position: u64) -> bool {
        self.next.is_none_or(|next| position < next) || self.copied.has(position)
    }

    /// Whether nothing of a bucket's part was returned or copied.
    fn has_none_of(&self, first: u64, last: u64) -> bool {
        self.next.is_some_and(|next| next <= first) && self.copied.has_none_of(first, last)
    }

    /// Where further entries are copied to.
    fn chunk(&mut self) -> &mut Vec<u8> {
        if self.entries.back().is_none_or(|last| last.len() >= CHUNK) {
            self.entries.push_back(Vec::with_capacity(CHUNK + BUCKET_ROOM));
        }
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }

    /// The copied entries that follow; `None` where all were returned.
    fn copied_entries(&mut self) -> Option<&[u8]> {
        while self.entries.front()?.len() == self.returned {
            self.entries.pop_front();
            self.returned = 0;
        }
        self.entries.front()?.get(self.returned..)
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        if self.left > 0 || self.next.is_some() {
            self.reading.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl<const MAP: bool> PackedTable<MAP> {
    /// Marks the instant that a reading returns.
    pub fn freeze(&mut self, reading: Reading) {
        let left = self.len();
        self.freeze = Some(Box::new(Freeze {
            reading,
            next: Some(0),
            copied: CopiedParts::new(self.buckets.len()),
            entries: VecDeque::new(),
            returned: 0,
            left,
        }));
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        self.freeze.as_ref().map(|freeze| freeze.reading.id)
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Some(freeze) = &mut self.freeze {
            (freeze.left, freeze.next) = (0, None);
        }
        self.freeze = None;
    }

    /// Copies the entries of the bucket that `key` is in, or would be in, unless they were read: the caller
    /// is about to change it. `end_ms` tells when an entry ends.
    pub(in crate::types) fn copy_frozen(&mut self, key: &[u8], end_ms: impl Fn(&[u8]) -> Option<u64>) {
        if self.freeze.is_some() {
            self.copy_bucket(self.hash(key), end_ms);
        }
    }

    #[cold]
    pub(super) fn copy_bucket(&mut self, hash: u64, end_ms: impl Fn(&[u8]) -> Option<u64>) {
        let Some(mut freeze) = self.freeze.take() else { return };
        let position = hash.reverse_bits();
        if !freeze.has(position) {
            // A bucket may have been split since, and is copied with those that its part of the line is in now;
            // or merged, and is in several parts.
            let (_, bucket_first, bucket_last) = self.part_of(hash);
            let (part_first, part_last) = freeze.copied.part_of(position);
            let (first, last) = (bucket_first.min(part_first), bucket_last.max(part_last));
            let mut next = Some(first);
            while let Some(at) = next.filter(|at| *at <= last) {
                let (index, first, last) = self.part_of(at.reverse_bits());
                let untouched = freeze.has_none_of(first, last);
                for packed in self.buckets.get(index).into_iter().flat_map(entries) {
                    if untouched || !freeze.has(self.hash_of_stored(packed).reverse_bits()) {
                        self.copy_entry(packed, &end_ms, freeze.chunk());
                    }
                }
                next = last.checked_add(1);
            }
            freeze.copied.add(first, last);
        }
        self.freeze = Some(freeze);
    }

    /// The bucket of a hash, and its first and last position on the line.
    fn part_of(&self, hash: u64) -> (usize, u64, u64) {
        let (index, mask) = self.interval(hash);
        let first = (hash & mask).reverse_bits();
        (index, first, first | (!mask).reverse_bits())
    }

    fn copy_entry(&self, packed: &[u8], end_ms: impl Fn(&[u8]) -> Option<u64>, out: &mut Vec<u8>) {
        let (key, key_size) = entry::read(packed);
        self.copy_element(key, &packed[..key_size], out);
        let end_ms = end_ms(&self.resolve(key)).map_or(NO_END, |end_ms| end_ms as i64);
        if MAP {
            let (value, value_size) = entry::read(&packed[key_size..]);
            self.copy_element(value, &packed[key_size..key_size + value_size], out);
        }
        out.extend_from_slice(Encoded::int(end_ms).head());
    }

    fn copy_element(&self, raw: Raw<'_>, packed: &[u8], out: &mut Vec<u8>) {
        match raw {
            Raw::Slot(slot) => {
                let long = Encoded::bytes(self.slots.get(slot));
                out.extend_from_slice(long.head());
                out.extend_from_slice(long.data());
            }
            _ => out.extend_from_slice(packed),
        }
    }

    /// Returns about `count` more of the entries that were there at the instant of the reading, each with the
    /// time when it ends: what `end_ms` says of it, for those that were not copied before. Returns whether
    /// that was all; the reading is over then.
    pub(in crate::types) fn read_frozen(
        &mut self,
        count: usize,
        end_ms: impl Fn(&[u8]) -> Option<u64>,
        mut visit: impl FnMut(Element<'_>, Raw<'_>, Option<u64>),
    ) -> bool {
        let Some(mut freeze) = self.freeze.take() else { return true };
        let mut visited = 0;
        while visited < count {
            if let Some(entries) = freeze.copied_entries() {
                freeze.returned += visit_copied::<MAP>(entries, &mut visit);
                visited += 1;
                continue;
            }
            let Some(next) = freeze.next else { break };
            let (index, first, last) = self.part_of(next.reverse_bits());
            self.prefetch_ahead(last, last - first);
            let untouched = next == first && freeze.has_none_of(first, last);
            for packed in self.buckets.get(index).into_iter().flat_map(entries) {
                if untouched || !freeze.has(self.hash_of_stored(packed).reverse_bits()) {
                    let (key, key_size) = entry::read(packed);
                    let key = self.resolve(key);
                    let end_ms = end_ms(&key);
                    let value =
                        if MAP { self.long(entry::read(&packed[key_size..]).0) } else { Raw::Bytes(&[]) };
                    visit(key, value, end_ms);
                    visited += 1;
                }
            }
            freeze.next = last.checked_add(1);
        }
        match freeze.left.checked_sub(visited) {
            Some(left) => freeze.left = left,
            None => freeze.reading.lost.store(true, Ordering::Relaxed),
        }
        let done = freeze.next.is_none() && freeze.copied_entries().is_none();
        if !done {
            self.freeze = Some(freeze);
        }
        done
    }

    /// Prefetches the bucket that will be read some buckets behind the one that ends at `last`, where buckets
    /// are `width` wide: they lie anywhere in memory, and the cache misses of reading them overlap.
    fn prefetch_ahead(&self, last: u64, width: u64) {
        /// So many buckets are on their way at once.
        const AHEAD: u64 = 4;
        /// What a bucket of a dozen short fields takes.
        const LINES: usize = 10;
        let ahead = last.saturating_add(width.saturating_mul(AHEAD));
        if let Some(bucket) = self.buckets.get(self.interval(ahead.reverse_bits()).0) {
            bucket.prefetch(LINES);
        }
    }

    /// A value with its bytes, where they are in a slot.
    fn long<'a>(&'a self, raw: Raw<'a>) -> Raw<'a> {
        match raw {
            Raw::Slot(slot) => Raw::Bytes(self.slots.get(slot)),
            raw => raw,
        }
    }
}

/// Visits the first of the copied entries. Returns the bytes that it takes.
fn visit_copied<const MAP: bool>(
    copied: &[u8],
    visit: &mut impl FnMut(Element<'_>, Raw<'_>, Option<u64>),
) -> usize {
    let (key, mut size) = entry::read(copied);
    let mut value = Raw::Bytes(&[]);
    if MAP {
        let (raw, value_size) = entry::read(&copied[size..]);
        value = raw;
        size += value_size;
    }
    let (end, end_size) = entry::read(&copied[size..]);
    let end_ms = match end {
        Raw::Int(end_ms) => u64::try_from(end_ms).ok(),
        _ => None,
    };
    visit(Element::from(key), value, end_ms);
    size + end_size
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::types::packed::table::{FieldTable, MemberTable};
    use proptest::prelude::*;

    fn reading() -> Reading {
        Reading { id: 1, lost: Arc::default() }
    }

    proptest! {
        /// Whatever happens to the table between the pieces, they are what was there at the instant.
        #[test]
        fn all_entries_of_the_instant_are_returned_once(
            seed: u64,
            len in 0usize..600,
            count in 1usize..40,
            steps in proptest::collection::vec((0u8..8, 0usize..900, 0usize..200), 0..900),
            every in 1usize..60,
        ) {
            let mut table = FieldTable::new(seed);
            let text = |number: usize, long: usize| format!("{number}{}", "v".repeat(long)).into_bytes();
            let key = |number: usize| {
                if number.is_multiple_of(50) { text(number, 130) } else { format!("key:{number}").into_bytes() }
            };
            for number in 0..len {
                table.set(&key(number), &text(number, number % 150));
            }
            let expected: BTreeMap<Vec<u8>, Vec<u8>> =
                table.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            let reading = reading();
            table.freeze(reading.clone());
            let mut seen: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            let mut read = |table: &mut FieldTable| {
                table.read_frozen(count, |_| None, |key, value, _| {
                    seen.push((key.to_vec(), Element::from(value).to_vec()));
                })
            };
            let mut done = false;
            for (step, (kind, number, long)) in steps.into_iter().enumerate() {
                match kind {
                    0..3 => {
                        table.remove(&key(number));
                    }
                    3 => {
                        for number in 0..number {
                            table.remove(&key(number));
                        }
                    }
                    _ => {
                        table.set(&key(number), &text(number + 1, long));
                    }
                }
                if step % every == 0 && !done {
                    done = read(&mut table);
                }
                table.assert_invariants();
            }
            while !done {
                done = read(&mut table);
            }
            prop_assert_eq!(table.reading(), None);
            prop_assert_eq!(seen.len(), expected.len());
            prop_assert_eq!(seen.into_iter().collect::<BTreeMap<_, _>>(), expected);
            prop_assert!(!reading.lost.load(Ordering::Relaxed));
        }
    }

    proptest! {
        /// Copied ranges are those that were added, from one part to the whole line.
        #[test]
        fn copied_parts_are_those_that_were_added(
            bucket_count in prop_oneof![0usize..5, 1usize..4000],
            ranges in proptest::collection::vec((any::<u64>(), 0u32..12, any::<bool>()), 0..60),
        ) {
            let mut parts = CopiedParts::new(bucket_count);
            let count = bucket_count.max(1).next_power_of_two();
            let mut copied = vec![false; count];
            let first_of = |part: usize| ((part as u128) << 64).div_euclid(count as u128) as u64;
            for (number, bits, adds) in ranges {
                let length = (1 << bits).min(count);
                let from = number as usize % count / length * length;
                let range = from..from + length;
                let (first, last) = (first_of(from), first_of(range.end).wrapping_sub(1));
                prop_assert_eq!(parts.has_none_of(first, last), copied[range.clone()].iter().all(|had| !had));
                if adds {
                    parts.add(first, last);
                    copied[range].fill(true);
                }
                for position in [first, last, number] {
                    let part = ((position as u128 * count as u128) >> 64) as usize;
                    prop_assert_eq!(parts.has(position), copied[part]);
                    let (first, last) = (first_of(part), first_of(part + 1).wrapping_sub(1));
                    prop_assert_eq!(parts.part_of(position), (first, last));
                }
            }
        }
    }

    /// A table that has grown by a hundred times since the instant, or shrunk to nothing, or both, has buckets of
    /// another width than the parts that are noted as copied.
    #[test]
    fn a_table_that_grows_and_shrinks_is_returned_once() {
        for (len, first_len, then_len) in
            [(40, 20_000, 0), (20_000, 3, 30_000), (3_000, 0, 0), (500, 60_000, 400)]
        {
            for read_before in [0, 1, 4] {
                let mut table = MemberTable::new(7);
                let member = |number: u32| number.to_be_bytes();
                for number in 0..len {
                    table.insert(&member(number));
                }
                let reading = reading();
                table.freeze(reading.clone());
                let mut seen = Vec::new();
                let mut read = |table: &mut MemberTable| {
                    table.read_frozen(50, |_| None, |member, _, _| seen.push(member.to_vec()))
                };
                let mut done = (0..read_before).any(|_| read(&mut table));
                for wanted in [first_len, then_len] {
                    for number in (0..wanted).rev() {
                        table.insert(&member(number));
                    }
                    for number in wanted..60_000 {
                        table.remove(&member(number));
                    }
                    done = done || read(&mut table);
                }
                while !done {
                    done = read(&mut table);
                }
                seen.sort();
                assert!(
                    seen.iter().eq((0..len)
                        .map(member)
                        .collect::<Vec<_>>()
                        .iter()
                        .map(|member| member.as_slice()))
                );
                assert!(!reading.lost.load(Ordering::Relaxed));
            }
        }
    }

    #[test]
    fn a_table_that_is_dropped_while_it_is_read_is_missed() {
        let reading = reading();
        let mut table = MemberTable::new(1);
        table.insert(b"member");
        table.freeze(reading.clone());
        table.remove(b"member");
        drop(table);
        assert!(reading.lost.load(Ordering::Relaxed));
    }

    #[test]
    fn a_reading_that_nobody_wants_is_not_missed() {
        let reading = reading();
        let mut table = MemberTable::new(1);
        table.insert(b"member");
        table.freeze(reading.clone());
        table.thaw();
        assert!(!reading.lost.load(Ordering::Relaxed));
    }

    #[test]
    fn a_change_copies_one_bucket() {
        let mut table = MemberTable::new(3);
        for number in 0..100_000u32 {
            table.insert(&number.to_le_bytes());
        }
        table.freeze(reading());
        table.remove(&5u32.to_le_bytes());
        let copied = table.freeze.as_ref().map_or(0, |freeze| freeze.entries.iter().map(Vec::len).sum());
        assert!((1..60 * 8).contains(&copied), "{copied} bytes");
        table.thaw();
    }
}
