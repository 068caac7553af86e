//! Where the blessed keys of a database are: those that are never evicted (BLESS). The mark itself is a bit of
//! the key's record; what is kept here is found without a walk over all keys. Keys that are not blessed take
//! nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::snapshot::place_of;

/// The blessed keys of a database. Changes under the lock of the key's slot, which is taken before its own.
#[derive(Debug, Default)]
pub struct Blessed {
    /// Number of blessed keys at each place: slot and fingerprint, as walks order them.
    places: Mutex<BTreeMap<u64, u32>>,
    count: AtomicUsize,
    /// How many of them have an expiry.
    volatile: AtomicUsize,
}

impl Blessed {
    /// A key is blessed from now on.
    pub(super) fn add(&self, place: u64, is_volatile: bool) {
        *self.places.lock().entry(place).or_insert(0) += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        self.volatile.fetch_add(usize::from(is_volatile), Ordering::Relaxed);
    }

    /// A blessed key is gone, or blessed no more.
    pub(super) fn remove(&self, place: u64, is_volatile: bool) {
        let mut places = self.places.lock();
        let count = places.get_mut(&place);
        debug_assert!(count.is_some(), "a blessed key was added before");
        if let Some(count) = count {
            *count -= 1;
            if *count == 0 {
                places.remove(&place);
            }
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.volatile.fetch_sub(usize::from(is_volatile), Ordering::Relaxed);
        }
    }

    /// A blessed key has got an expiry or lost it.
    pub(super) fn note_expiry(&self, before: Option<u64>, after: Option<u64>) {
        match (before, after) {
            (None, Some(_)) => self.volatile.fetch_add(1, Ordering::Relaxed),
            (Some(_), None) => self.volatile.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// All keys are gone.
    pub(super) fn clear(&self) {
        self.places.lock().clear();
        self.count.store(0, Ordering::Relaxed);
        self.volatile.store(0, Ordering::Relaxed);
    }

    /// Number of blessed keys, ended ones that were not removed yet included.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them have an expiry.
    pub fn volatile_len(&self) -> usize {
        self.volatile.load(Ordering::Relaxed)
    }

    /// How many of them are in a slot.
    pub fn in_slot(&self, slot: usize) -> usize {
        let places = self.places.lock();
        places.range(place_of(slot, 0)..place_of(slot + 1, 0)).map(|(_, count)| *count as usize).sum()
    }

    /// Up to `count` places from `from` on, and where the next ones begin; 0 at the end.
    pub fn page(&self, from: u64, count: usize) -> (Vec<u64>, u64) {
        let places = self.places.lock();
        let mut from_there = places.range(from..).map(|(place, _)| *place);
        let page: Vec<u64> = from_there.by_ref().take(count).collect();
        (page, from_there.next().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_paged_in_their_order() {
        let blessed = Blessed::default();
        for (slot, fingerprint) in [(3, 9), (0, 0), (3, 9), (7, 1), (0, 4)] {
            blessed.add(place_of(slot, fingerprint), slot == 3);
        }
        assert_eq!(
            (blessed.len(), blessed.volatile_len(), blessed.in_slot(3), blessed.in_slot(1)),
            (5, 2, 2, 0)
        );
        let all = [place_of(0, 0), place_of(0, 4), place_of(3, 9), place_of(7, 1)];
        assert_eq!(blessed.page(0, 10), (all.to_vec(), 0));
        assert_eq!(blessed.page(0, 2), (all[..2].to_vec(), all[2]));
        assert_eq!(blessed.page(all[2], 2), (all[2..].to_vec(), 0));
        blessed.remove(all[2], true);
        assert_eq!(blessed.page(1, 2), (all[1..3].to_vec(), all[3]));
        blessed.remove(all[2], true);
        blessed.remove(all[0], false);
        assert_eq!(blessed.page(0, 2), (vec![all[1], all[3]], 0));
        blessed.clear();
        assert!(blessed.is_empty() && blessed.page(0, 9) == (Vec::new(), 0));
    }
}
