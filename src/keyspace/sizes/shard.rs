//! One part of the sizes that are known.

use hashbrown::HashMap;

use super::{BIG_BYTES, BIG_ELEMENTS, MEASURED_MAX, is_sampled};

/// Big keys of one part that are not sampled, at most.
const BIG_MAX: usize = 128;

/// Of them, those that stay when there is no room: so many by bytes and so many by elements.
const BIG_KEPT: usize = 48;

/// Bytes of a key that are kept.
const KEY_MAX: usize = 512;

/// Up to so many elements a collection is measured at each change.
const FEW: u64 = BIG_ELEMENTS;

/// Size of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySize {
    /// Physical database.
    pub physical: u16,
    /// The word that TYPE answers.
    pub type_name: &'static str,
    /// What MEMORY USAGE answers; of a collection with many elements what it answered when they were last
    /// measured, in proportion to their number.
    pub bytes: u64,
    /// Elements of a collection; 1 for a string.
    pub elements: u64,
}

/// A key that is known, to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// How big it is.
    pub size: KeySize,
    /// Whether it is of the sample.
    pub is_sampled: bool,
    /// Bytes and elements as measured now; `None` where it was not measured.
    pub measured: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    size: KeySize,
    is_sampled: bool,
    measured: (u64, u64),
}

impl Entry {
    fn is_big(&self, (bytes, elements): (u64, u64)) -> bool {
        self.size.bytes >= bytes || self.size.elements >= elements
    }
}

/// What was measured of a key before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before(u64, u64);

impl Before {
    /// Bytes in proportion to the elements there are now; `None` where it has to be measured.
    pub(super) fn scaled(self, elements: u64) -> Option<u64> {
        let Before(bytes, measured) = self;
        let is_close = elements * 4 >= measured * 3 && elements * 4 <= measured * 5;
        let stays = measured > FEW && elements > FEW && is_close || elements > MEASURED_MAX;
        (stays && measured > 0)
            .then(|| (u128::from(bytes) * u128::from(elements) / u128::from(measured)) as u64)
    }
}

/// A part of the sizes.
#[derive(Debug)]
pub(super) struct Shard {
    entries: HashMap<(u16, u64), Entry, foldhash::fast::RandomState>,
    sampled: usize,
    /// The sample that the entries are of.
    shift: u32,
    /// Bytes and elements from which on a key that is not sampled is kept.
    floors: (u64, u64),
}

impl Default for Shard {
    fn default() -> Self {
        Self { entries: HashMap::default(), sampled: 0, shift: 0, floors: (BIG_BYTES, BIG_ELEMENTS) }
    }
}

impl Shard {
    pub(super) fn sampled(&self) -> usize {
        self.sampled
    }

    pub(super) fn floors(&self) -> (u64, u64) {
        self.floors
    }

    pub(super) fn get(&self, physical: u16, hash: u64) -> Option<Before> {
        self.entries.get(&(physical, hash)).map(|entry| Before(entry.measured.0, entry.measured.1))
    }

    /// Keeps a key, or drops it where it is neither sampled nor big.
    pub(super) fn note(&mut self, hash: u64, key: &[u8], known: Known) {
        let Known { size, is_sampled, measured } = known;
        let place = (size.physical, hash);
        let stays = is_sampled || size.bytes >= self.floors.0 || size.elements >= self.floors.1;
        if !stays {
            return self.forget(size.physical, hash);
        }
        if let Some(entry) = self.entries.get_mut(&place) {
            self.sampled += usize::from(is_sampled);
            self.sampled -= usize::from(entry.is_sampled);
            entry.size = size;
            entry.is_sampled = is_sampled;
            entry.measured = measured.unwrap_or(entry.measured);
            return;
        }
        let key = key[..key.len().min(KEY_MAX)].into();
        let measured = measured.unwrap_or((size.bytes, size.elements));
        self.entries.insert(place, Entry { key, size, is_sampled, measured });
        self.sampled += usize::from(is_sampled);
        if self.entries.len() - self.sampled > BIG_MAX {
            self.make_room();
        }
    }

    /// Drops the smaller ones of the big keys that are not sampled.
    fn make_room(&mut self) {
        let mut big: Vec<(u64, u64)> = self
            .entries
            .values()
            .filter(|entry| !entry.is_sampled)
            .map(|entry| (entry.size.bytes, entry.size.elements))
            .collect();
        big.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let bytes = big.get(BIG_KEPT).map_or(self.floors.0, |(bytes, _)| bytes + 1);
        big.sort_unstable_by_key(|(_, elements)| std::cmp::Reverse(*elements));
        let elements = big.get(BIG_KEPT).map_or(self.floors.1, |(_, elements)| elements + 1);
        self.floors = (self.floors.0.max(bytes), self.floors.1.max(elements));
        let floors = self.floors;
        self.entries.retain(|_, entry| entry.is_sampled || entry.is_big(floors));
    }

    pub(super) fn forget(&mut self, physical: u16, hash: u64) {
        if let Some(entry) = self.entries.remove(&(physical, hash)) {
            self.sampled -= usize::from(entry.is_sampled);
            self.lower_floors();
        }
    }

    /// Lets smaller keys in where there is much room. They are known from their next change on.
    fn lower_floors(&mut self) {
        if self.entries.len() - self.sampled == 0 {
            self.floors = (BIG_BYTES, BIG_ELEMENTS);
        }
    }

    pub(super) fn forget_database(&mut self, physical: u16) {
        self.entries.retain(|place, _| place.0 != physical);
        self.sampled = self.entries.values().filter(|entry| entry.is_sampled).count();
        self.lower_floors();
    }

    /// Drops what is not of the sample any more.
    pub(super) fn prune(&mut self, shift: u32) {
        if shift <= self.shift {
            return;
        }
        self.shift = shift;
        let floors = self.floors;
        let mut sampled = 0;
        self.entries.retain(|(_, hash), entry| {
            entry.is_sampled = is_sampled(*hash, shift);
            sampled += usize::from(entry.is_sampled);
            entry.is_sampled || entry.is_big(floors)
        });
        self.sampled = sampled;
        if self.entries.len() - self.sampled > BIG_MAX {
            self.make_room();
        }
    }

    pub(super) fn for_each(&self, visit: &mut impl FnMut(&[u8], &KeySize, bool)) {
        for entry in self.entries.values() {
            visit(&entry.key, &entry.size, entry.is_sampled);
        }
    }
}
