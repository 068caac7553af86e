//! When keys end: for each slot a small heap of (time, fingerprint), and over all slots a two-level table of
//! next times.
//!
//! A volatile record always has at least one heap entry whose time is not later than its own; entries may be
//! older than the truth. So a TTL that is pushed back (a session's, on every request) leaves the heap alone:
//! when the old entry comes due, the record is looked up and its present time is entered instead. Only a TTL
//! that moves forward, or a new one, adds an entry. Entries of deleted keys are dropped when they come due,
//! or when they outnumber the volatile keys.
//!
//! A hash with fields that end is entered with the earliest of its fields' times beside its own, by the same
//! rules.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::key_hash::SLOT_COUNT;
use crate::alloc::array_bytes;

const GROUP: usize = 128;
const NEVER: u64 = u64::MAX;

/// One entry, ordered by time: milliseconds of Unix time as two halves, and the key's fingerprint. 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    at_ms_high: u32,
    at_ms_low: u32,
    fingerprint: u32,
}

impl Entry {
    fn new(at_ms: u64, fingerprint: u32) -> Entry {
        Entry { at_ms_high: (at_ms >> 32) as u32, at_ms_low: at_ms as u32, fingerprint }
    }

    fn at_ms(self) -> u64 {
        u64::from(self.at_ms_high) << 32 | u64::from(self.at_ms_low)
    }
}

/// Expiries of one slot. Used only under that slot's exclusive lock.
#[derive(Debug, Default)]
struct SlotHeap {
    entries: BinaryHeap<Reverse<Entry>>,
    /// Number of entries when all of them were last known to be true (after a rebuild).
    exact: usize,
}

/// Expiries of a database: a heap for each slot, the time of each slot's first entry, and the earliest time
/// of each group of 128 slots. Times are milliseconds of Unix time, `u64::MAX` for none.
#[derive(Debug)]
pub struct ExpiryIndex {
    heaps: Box<[Mutex<SlotHeap>]>,
    next_of_slot: Box<[AtomicU64]>,
    next_of_group: Box<[AtomicU64]>,
}

impl ExpiryIndex {
    /// An index in which nothing is due.
    pub fn new() -> Self {
        Self {
            heaps: (0..SLOT_COUNT).map(|_| Mutex::default()).collect(),
            next_of_slot: (0..SLOT_COUNT).map(|_| AtomicU64::new(NEVER)).collect(),
            next_of_group: (0..SLOT_COUNT / GROUP).map(|_| AtomicU64::new(NEVER)).collect(),
        }
    }

    /// Enters that the key with `fingerprint` in `slot` ends at `at_ms`. `volatile` is the slot's present
    /// number of volatile keys. Returns true when stale entries have gathered and the caller should
    /// [`rebuild`](Self::rebuild). The caller holds the slot's exclusive lock.
    pub fn add(&self, slot: usize, at_ms: u64, fingerprint: u32, volatile: usize) -> bool {
        let mut heap = self.heaps[slot].lock();
        let entries = &mut heap.entries;
        if entries.len() == entries.capacity() {
            // Grows by an eighth, and by what the allocator's block has room for: with doubling, the heaps of all
            // slots would stand half empty at the same time.
            let wanted = array_bytes::<Entry>(entries.len() + (entries.len() / 8).max(4));
            entries.reserve_exact(wanted / size_of::<Entry>() - entries.len());
        }
        entries.push(Reverse(Entry::new(at_ms, fingerprint)));
        let crowded = heap.entries.len() > 2 * volatile.max(heap.exact) + 64;
        drop(heap);
        self.lower(slot, at_ms);
        crowded
    }

    /// Replaces a slot's entries by exact ones, after [`add`](Self::add) returned true.
    pub fn rebuild(&self, slot: usize, entries: impl Iterator<Item = (u64, u32)>) {
        let entries: BinaryHeap<_> =
            entries.map(|(at, fingerprint)| Reverse(Entry::new(at, fingerprint))).collect();
        *self.heaps[slot].lock() = SlotHeap { exact: entries.len(), entries };
    }

    /// Removes the slot's first entry if it is due at `now_ms`, and returns its time and fingerprint.
    pub fn pop_due(&self, slot: usize, now_ms: u64) -> Option<(u64, u32)> {
        let mut heap = self.heaps[slot].lock();
        match heap.entries.peek() {
            Some(Reverse(entry)) if entry.at_ms() <= now_ms => {
                heap.entries.pop().map(|Reverse(entry)| (entry.at_ms(), entry.fingerprint))
            }
            _ => {
                if heap.entries.is_empty() && heap.entries.capacity() > 64 {
                    heap.entries.shrink_to_fit();
                }
                None
            }
        }
    }

    /// Publishes the time of the slot's first entry as its next time. The caller holds the slot's exclusive
    /// lock.
    pub fn publish(&self, slot: usize) {
        let next = self.heaps[slot].lock().entries.peek().map_or(NEVER, |Reverse(entry)| entry.at_ms());
        self.next_of_slot[slot].store(next, Ordering::Relaxed);
        if next != NEVER {
            self.next_of_group[slot / GROUP].fetch_min(next, Ordering::Relaxed);
        }
    }

    /// Calls `visit` for each slot that has something due at `now_ms`, until it answers `false`. Takes no
    /// slot lock.
    pub fn for_each_due(&self, now_ms: u64, mut visit: impl FnMut(usize) -> bool) {
        for (group, next_of_group) in self.next_of_group.iter().enumerate() {
            if next_of_group.load(Ordering::Relaxed) > now_ms {
                continue;
            }
            // The group's time is raised first and then lowered by what its slots say: an entry that is added
            // meanwhile lowers it too, and is not lost.
            next_of_group.store(NEVER, Ordering::SeqCst);
            let slots = group * GROUP..(group + 1) * GROUP;
            let mut go_on = true;
            for slot in slots {
                if go_on && self.next_of_slot[slot].load(Ordering::SeqCst) <= now_ms {
                    go_on = visit(slot);
                }
                next_of_group.fetch_min(self.next_of_slot[slot].load(Ordering::SeqCst), Ordering::SeqCst);
            }
            if !go_on {
                return;
            }
        }
    }

    /// The earliest published time in milliseconds, `u64::MAX` when nothing is volatile.
    pub fn next_ms(&self) -> u64 {
        self.next_of_group.iter().map(|next| next.load(Ordering::Relaxed)).min().unwrap_or(NEVER)
    }

    /// Number of entries in all heaps, stale ones included.
    pub fn entry_count(&self) -> usize {
        self.heaps.iter().map(|heap| heap.lock().entries.len()).sum()
    }

    /// The bytes that the entries in all heaps take.
    pub fn memory_bytes(&self) -> usize {
        (0..self.heaps.len()).map(|slot| self.slot_bytes(slot)).sum()
    }

    /// The bytes that the entries of a slot take.
    pub fn slot_bytes(&self, slot: usize) -> usize {
        array_bytes::<Entry>(self.heaps[slot].lock().entries.capacity())
    }

    fn lower(&self, slot: usize, at_ms: u64) {
        if at_ms < self.next_of_slot[slot].load(Ordering::Relaxed) {
            self.next_of_slot[slot].fetch_min(at_ms, Ordering::SeqCst);
            self.next_of_group[slot / GROUP].fetch_min(at_ms, Ordering::SeqCst);
        }
    }
}

impl Default for ExpiryIndex {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_entries_come_in_order_and_slots_are_found() {
        let index = ExpiryIndex::new();
        assert_eq!(index.next_ms(), NEVER);
        index.add(3, 100, 1, 1);
        index.add(3, 50, 2, 2);
        index.add(16383, 70, 3, 1);
        assert_eq!(index.next_ms(), 50);
        let mut due = Vec::new();
        index.for_each_due(69, |slot| {
            while let Some(entry) = index.pop_due(slot, 69) {
                due.push((slot, entry));
            }
            index.publish(slot);
            true
        });
        assert_eq!(due, [(3, (50, 2))]);
        assert_eq!(index.next_ms(), 70);
        due.clear();
        index.for_each_due(100, |slot| {
            while let Some(entry) = index.pop_due(slot, 100) {
                due.push((slot, entry));
            }
            index.publish(slot);
            true
        });
        assert_eq!(due, [(3, (100, 1)), (16383, (70, 3))]);
        assert_eq!(index.next_ms(), NEVER);
    }

    #[test]
    fn a_visit_that_stops_early_leaves_the_rest_due() {
        let index = ExpiryIndex::new();
        for slot in [1, 2, 500] {
            index.add(slot, 10, 0, 1);
        }
        let mut seen = 0;
        index.for_each_due(20, |slot| {
            index.pop_due(slot, 20);
            index.publish(slot);
            seen += 1;
            false
        });
        assert_eq!(seen, 1);
        assert_eq!(index.next_ms(), 10);
    }

    #[test]
    fn heaps_stand_nearly_full_while_they_grow() {
        let index = ExpiryIndex::new();
        for count in 1..2_000_usize {
            index.add(5, count as u64, 0, count);
            assert!(index.memory_bytes() <= array_bytes::<Entry>(count + (count / 8).max(4)), "{count}");
        }
        assert_eq!(index.entry_count(), 1_999);
    }

    #[test]
    fn stale_entries_are_reported_and_rebuilt() {
        let index = ExpiryIndex::new();
        let crowded = (0..100).any(|step| index.add(0, 1000 - step, 7, 1));
        assert!(crowded);
        index.rebuild(0, std::iter::once((900, 7)));
        assert_eq!(index.pop_due(0, 2000), Some((900, 7)));
        assert_eq!(index.pop_due(0, 2000), None);
    }
}
