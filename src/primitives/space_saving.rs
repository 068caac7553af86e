//! [`SpaceSaving`]: the keys with the greatest weight in a stream, with a bounded number of counters.
//!
//! The algorithm of Metwally, Agrawal and El Abbadi: a key without a counter takes that of the key with the
//! least count, and inherits the count as its possible error. With `m` counters and a total weight of `N`, no
//! count is less than the true weight, none exceeds it by more than `N / m`, and each key whose true weight
//! is greater than `N / m` has a counter. Sketches of parts of a stream are merged with errors that add up to
//! the same bound.

use std::hash::BuildHasher;

use hashbrown::HashTable;

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heavy {
    /// The key that it counts.
    pub key: Box<[u8]>,
    /// Greatest weight that the key may have.
    pub count: u64,
    /// How much less it may be.
    pub error: u64,
}

#[derive(Debug)]
struct Counter {
    heavy: Heavy,
    hash: u64,
    /// Its place in the heap.
    place: u32,
}

/// A sketch of a stream of keys with weights.
#[derive(Debug)]
pub struct SpaceSaving {
    capacity: usize,
    counters: Vec<Counter>,
    /// Indexes of counters; the one with the least count is the first.
    heap: Vec<u32>,
    by_key: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    total: u64,
}

impl SpaceSaving {
    /// A sketch with so many counters, which are made as keys come.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.clamp(1, u32::MAX as usize),
            counters: Vec::new(),
            heap: Vec::new(),
            by_key: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            total: 0,
        }
    }

    /// Weight of all keys together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Adds to the weight of a key.
    pub fn add(&mut self, key: &[u8], weight: u64) {
        if weight == 0 {
            return;
        }
        self.total = self.total.saturating_add(weight);
        let hash = self.hasher.hash_one(key);
        let counters = &self.counters;
        let found = self.by_key.find(hash, |index| *counters[*index as usize].heavy.key == *key);
        let index = match found {
            Some(index) => *index,
            None if self.counters.len() < self.capacity => {
                let index = self.counters.len() as u32;
                let heavy = Heavy { key: key.into(), count: 0, error: 0 };
                self.counters.push(Counter { heavy, hash, place: self.heap.len() as u32 });
                self.heap.push(index);
                self.sift_up(self.heap.len() - 1);
                self.enter(index, hash);
                index
            }
            None => self.take_over(key, hash),
        };
        let counter = &mut self.counters[index as usize];
        counter.heavy.count = counter.heavy.count.saturating_add(weight);
        let place = counter.place as usize;
        self.sift_down(place);
    }

    /// Gives the counter with the least count to another key. Returns its index.
    fn take_over(&mut self, key: &[u8], hash: u64) -> u32 {
        let index = self.heap[0];
        let old_hash = self.counters[index as usize].hash;
        if let Ok(entry) = self.by_key.find_entry(old_hash, |other| *other == index) {
            entry.remove();
        }
        let counter = &mut self.counters[index as usize];
        counter.heavy.error = counter.heavy.count;
        counter.heavy.key = key.into();
        counter.hash = hash;
        self.enter(index, hash);
        index
    }

    fn enter(&mut self, index: u32, hash: u64) {
        let counters = &self.counters;
        self.by_key.insert_unique(hash, index, |index| counters[*index as usize].hash);
    }

    fn count_at(&self, place: usize) -> u64 {
        self.counters[self.heap[place] as usize].heavy.count
    }

    fn swap(&mut self, first: usize, second: usize) {
        self.heap.swap(first, second);
        for place in [first, second] {
            self.counters[self.heap[place] as usize].place = place as u32;
        }
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.count_at(parent) <= self.count_at(place) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let children = 2 * place + 1..(2 * place + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.count_at(*child)) else { break };
            if self.count_at(place) <= self.count_at(least) {
                break;
            }
            self.swap(place, least);
            place = least;
        }
    }

    /// The greatest weight that a key without a counter may have.
    fn unknown_max(&self) -> u64 {
        if self.counters.len() < self.capacity { 0 } else { self.count_at(0) }
    }
}

/// The `most` heaviest keys of several parts of a stream together, heaviest first; equal ones by their bytes.
pub fn heaviest<'s>(parts: impl Iterator<Item = &'s SpaceSaving> + Clone, most: usize) -> Vec<Heavy> {
    let unknown: u64 = parts.clone().map(SpaceSaving::unknown_max).sum();
    let mut sums: hashbrown::HashMap<&[u8], (u64, u64), foldhash::fast::RandomState> = Default::default();
    for part in parts {
        let unknown_here = part.unknown_max();
        for Counter { heavy, .. } in &part.counters {
            // What other parts may have of it is taken off as each of them turns out to know it.
            let (count, error) = sums.entry(&heavy.key).or_insert((unknown, unknown));
            *count = *count - unknown_here + heavy.count;
            *error = *error - unknown_here + heavy.error;
        }
    }
    let heavy = |(key, (count, error)): (&[u8], (u64, u64))| Heavy { key: key.into(), count, error };
    let mut all: Vec<Heavy> = sums.into_iter().map(heavy).collect();
    all.sort_unstable_by(|first, second| {
        second.count.cmp(&first.count).then_with(|| first.key.cmp(&second.key))
    });
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Keys whose frequencies fall as those of words do: the `r`th has a share of about `1 / r`.
    fn zipf(rng: &mut fastrand::Rng, keys: f64) -> Vec<u8> {
        let rank = keys.powf(rng.f64()) as u64;
        format!("key:{rank}").into_bytes()
    }

    #[test]
    fn all_is_exact_while_there_are_counters() {
        let mut sketch = SpaceSaving::new(3);
        for (key, weight) in [("a", 5), ("b", 1), ("a", 2), ("c", 9), ("b", 0)] {
            sketch.add(key.as_bytes(), weight);
        }
        let found = heaviest([&sketch].into_iter(), 2);
        let of = |key: &str, count| Heavy { key: key.as_bytes().into(), count, error: 0 };
        assert_eq!(found, [of("c", 9), of("a", 7)]);
        sketch.add(b"d", 1);
        let found = heaviest([&sketch].into_iter(), 9);
        assert_eq!(found.len(), 3);
        assert!(found.contains(&Heavy { key: (*b"d").into(), count: 2, error: 1 }), "{found:?}");
        assert_eq!(sketch.total(), 18);
    }

    /// The promises of the head of this file, on a trace of which all is known, for one sketch and for four
    /// that have seen a part each.
    #[test]
    fn the_error_is_bounded() {
        const COUNTERS: usize = 200;
        let mut rng = fastrand::Rng::with_seed(7);
        for (parts, weights) in [(1, false), (4, false), (1, true), (4, true)] {
            let mut sketches: Vec<SpaceSaving> = (0..parts).map(|_| SpaceSaving::new(COUNTERS)).collect();
            let mut exact: HashMap<Vec<u8>, u64> = HashMap::new();
            for _ in 0..200_000 {
                let key = zipf(&mut rng, 100_000.0);
                let weight = if weights { rng.u64(1..50) } else { 1 };
                *exact.entry(key.clone()).or_default() += weight;
                rng.choice(&mut sketches).expect("one").add(&key, weight);
            }
            let total: u64 = sketches.iter().map(SpaceSaving::total).sum();
            assert_eq!(total, exact.values().sum::<u64>());
            let bound = total / COUNTERS as u64;
            let found = heaviest(sketches.iter(), usize::MAX);
            for heavy in &found {
                let exact = exact[&*heavy.key];
                assert!(heavy.count >= exact, "never too little");
                assert!(heavy.count - heavy.error <= exact, "by no more than the error");
                assert!(heavy.error <= bound, "{} {bound}", heavy.error);
            }
            for (key, count) in &exact {
                let is_found = found.iter().any(|heavy| *heavy.key == **key);
                assert!(*count <= bound || is_found, "{count} of {bound}");
            }
            let mut by_count: Vec<_> = exact.into_iter().collect();
            by_count.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
            let top: Vec<&[u8]> = found.iter().take(10).map(|heavy| &*heavy.key).collect();
            assert!(by_count[..8].iter().all(|(key, _)| top.contains(&&key[..])), "the heaviest are found");
        }
    }

    /// However many keys come, there are no more counters.
    #[test]
    fn the_memory_is_bounded() {
        let mut sketch = SpaceSaving::new(100);
        for number in 0..1_000_000_u32 {
            sketch.add(&number.to_le_bytes(), 1);
        }
        assert_eq!((sketch.counters.len(), sketch.heap.len(), sketch.by_key.len()), (100, 100, 100));
        assert!(sketch.by_key.capacity() < 1000);
        assert_eq!(sketch.unknown_max(), 10_000);
    }
}
