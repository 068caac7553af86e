//! One part of the sizes that are known.

use hashbrown::HashMap;

use super::{BIG_BYTES, BIG_ELEMENTS, FEW_NODES, KEY_MAX, NODES_MAX, SAMPLED_MAX, is_sampled};

/// Big keys of one part that are not sampled, at most.
const BIG_MAX: usize = 128;

/// Of them, those that stay when there is no room: so many by bytes and so many by elements.
const BIG_KEPT: usize = 48;

/// A part that samples fewer than this could sample twice as many.
const SAMPLED_FEW: usize = SAMPLED_MAX * 9 / 20;

/// The floors of a part that has dropped nothing.
const GROUND: (u64, u64) = (BIG_BYTES, BIG_ELEMENTS);

/// Size of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySize {
    /// Physical database.
    pub physical: u16,
    /// Whether it ends, or elements of it do.
    pub ends: bool,
    /// The word that TYPE answers.
    pub type_name: &'static str,
    /// Bytes of the record and its value; of a long list, sorted set or stream that is stale those that it had when it
    /// was last measured, in proportion to its elements.
    pub bytes: u64,
    /// Elements of a collection; 1 for a string.
    pub elements: u64,
}

impl KeySize {
    fn reaches(&self, (bytes, elements): (u64, u64)) -> bool {
        self.bytes >= bytes || self.elements >= elements
    }
}

/// How many keys a known one stands for: 1 where all of its size are known, more where it is of a sample, and
/// 0 where it is known by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighed(pub u64);

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    size: KeySize,
    /// Bytes and elements when it was last measured.
    measured: (u64, u64),
    /// How often it has changed since.
    changes: u32,
}

/// A part of the sizes.
///
/// What it tells of is what it has of all keys: those sampled by `shift`, and those from `floors` on. What it
/// notes is the same but while it is filled: then it notes more, and tells of it when all has been seen.
#[derive(Debug)]
pub(super) struct Shard {
    entries: HashMap<(u16, u64), Entry, foldhash::fast::RandomState>,
    shift: u32,
    noted_shift: u32,
    /// Bytes and elements from which on a key that is not sampled is known.
    floors: (u64, u64),
    noted_floors: (u64, u64),
    /// Keys that are sampled by what is noted, and the others, with the most of each since the last time that
    /// there was no room or it was filled.
    sampled: usize,
    sampled_most: usize,
    big_most: usize,
    /// Bytes of the names of all that are known.
    name_bytes: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            entries: HashMap::default(),
            shift: 0,
            noted_shift: 0,
            floors: GROUND,
            noted_floors: GROUND,
            sampled: 0,
            sampled_most: 0,
            big_most: 0,
            name_bytes: 0,
        }
    }
}

impl Shard {
    /// The sample that is noted: one key of 2 to the power of this.
    pub(super) fn noted_shift(&self) -> u32 {
        self.noted_shift
    }

    pub(super) fn floors(&self) -> (u64, u64) {
        self.floors
    }

    fn big(&self) -> usize {
        self.entries.len() - self.sampled
    }

    /// Counts a change of a long value that is known, and returns its size in proportion to its elements;
    /// `None` where it has to be measured. A visit of eight nodes a change is what measuring may cost.
    pub(super) fn scaled(
        &mut self,
        physical: u16,
        hash: u64,
        elements: u64,
        nodes: usize,
    ) -> Option<KeySize> {
        let (floors, shift) = (self.noted_floors, self.noted_shift);
        let entry = self.entries.get_mut(&(physical, hash))?;
        entry.changes = entry.changes.saturating_add(1);
        let (bytes, measured) = entry.measured;
        let is_due = entry.changes as usize >= nodes / FEW_NODES && nodes <= NODES_MAX;
        if is_due || measured == 0 {
            return None;
        }
        let bytes = (u128::from(bytes) * u128::from(elements) / u128::from(measured)) as u64;
        let size = KeySize { bytes, elements, ..entry.size };
        // None is dropped that was not measured.
        (is_sampled(hash, shift) || size.reaches(floors)).then_some(size)
    }

    /// Sets the size of a key that is known and was not measured.
    pub(super) fn keep_scaled(&mut self, physical: u16, hash: u64, size: KeySize) {
        if let Some(entry) = self.entries.get_mut(&(physical, hash)) {
            entry.size = size;
        }
    }

    /// Keeps a key that was measured, or drops it where it is neither sampled nor big.
    pub(super) fn note(&mut self, hash: u64, key: &[u8], size: KeySize) {
        let is_sampled = is_sampled(hash, self.noted_shift);
        if !is_sampled && !size.reaches(self.noted_floors) {
            return self.forget(size.physical, hash);
        }
        let measured = (size.bytes, size.elements);
        if let Some(entry) = self.entries.get_mut(&(size.physical, hash)) {
            (entry.size, entry.measured, entry.changes) = (size, measured, 0);
            return;
        }
        let key: Box<[u8]> = key[..key.len().min(KEY_MAX)].into();
        self.name_bytes += key.len();
        self.entries.insert((size.physical, hash), Entry { key, size, measured, changes: 0 });
        self.sampled += usize::from(is_sampled);
        if self.sampled > SAMPLED_MAX {
            self.sample_fewer();
        }
        if self.big() > BIG_MAX {
            self.make_room();
        }
        self.sampled_most = self.sampled_most.max(self.sampled);
        self.big_most = self.big_most.max(self.big());
    }

    /// Samples half as many keys.
    fn sample_fewer(&mut self) {
        self.noted_shift += 1;
        self.shift = self.shift.max(self.noted_shift);
        self.drop_small();
        self.sampled_most = 0;
    }

    fn drop_small(&mut self) {
        let (shift, floors) = (self.noted_shift, self.noted_floors);
        let (mut sampled, mut name_bytes) = (0, 0);
        self.entries.retain(|(_, hash), entry| {
            let is_sampled = is_sampled(*hash, shift);
            sampled += usize::from(is_sampled);
            let stays = is_sampled || entry.size.reaches(floors);
            name_bytes += if stays { entry.key.len() } else { 0 };
            stays
        });
        (self.sampled, self.name_bytes) = (sampled, name_bytes);
    }

    /// Drops the smaller ones of the big keys that are not sampled.
    fn make_room(&mut self) {
        let shift = self.noted_shift;
        let others = self.entries.iter().filter(|((_, hash), _)| !is_sampled(*hash, shift));
        let mut big: Vec<(u64, u64)> =
            others.map(|(_, entry)| (entry.size.bytes, entry.size.elements)).collect();
        let floors = &mut self.noted_floors;
        big.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        floors.0 = big.get(BIG_KEPT).map_or(floors.0, |(bytes, _)| floors.0.max(bytes + 1));
        big.sort_unstable_by_key(|(_, elements)| std::cmp::Reverse(*elements));
        floors.1 = big.get(BIG_KEPT).map_or(floors.1, |(_, elements)| floors.1.max(elements + 1));
        self.floors = (self.floors.0.max(floors.0), self.floors.1.max(floors.1));
        self.drop_small();
        self.big_most = 0;
    }

    pub(super) fn forget(&mut self, physical: u16, hash: u64) {
        if let Some(entry) = self.entries.remove(&(physical, hash)) {
            self.name_bytes -= entry.key.len();
            self.sampled -= usize::from(is_sampled(hash, self.noted_shift));
        }
    }

    pub(super) fn forget_database(&mut self, physical: u16) {
        self.entries.retain(|place, _| place.0 != physical);
        self.sampled = self.entries.keys().filter(|(_, hash)| is_sampled(*hash, self.noted_shift)).count();
        self.name_bytes = self.entries.values().map(|entry| entry.key.len()).sum();
        // What is over makes room, and no more: keys of other databases come and go.
        self.entries.shrink_to(2 * self.entries.len());
    }

    /// Bytes of memory for what is known.
    pub(super) fn memory_bytes(&self) -> usize {
        // A table has a place for eight of seven entries, and a byte more for each.
        let places = (self.entries.capacity() * 8).div_ceil(7);
        places * (size_of::<((u16, u64), Entry)>() + 1) + self.name_bytes
    }

    #[cfg(test)]
    pub(super) fn sample_one_of(&mut self, shift: u32) {
        (self.shift, self.noted_shift) = (shift, shift);
    }

    /// Whether keys have gone, so that more of the others could be known than are.
    pub(super) fn is_thin(&self) -> bool {
        self.samples_few() || self.has_room()
    }

    fn samples_few(&self) -> bool {
        self.noted_shift > 0 && self.sampled <= SAMPLED_FEW && self.sampled * 8 < self.sampled_most * 7
    }

    fn has_room(&self) -> bool {
        self.noted_floors != GROUND && self.big() * 4 < self.big_most * 3
    }

    /// Begins to note more keys, where there is room for them.
    pub(super) fn begin_fill(&mut self) {
        while self.noted_shift > 0 && (self.sampled << (self.shift - self.noted_shift)) <= SAMPLED_FEW {
            self.noted_shift -= 1;
        }
        self.noted_floors = GROUND;
        self.drop_small();
    }

    /// Tells of what it has noted since [`begin_fill`](Self::begin_fill): all keys have been seen.
    pub(super) fn end_fill(&mut self) {
        (self.shift, self.floors) = (self.noted_shift, self.noted_floors);
        (self.sampled_most, self.big_most) = (self.sampled, self.big());
    }

    pub(super) fn for_each(&self, visit: &mut impl FnMut(&[u8], u64, &KeySize, Weighed)) {
        for ((_, hash), entry) in &self.entries {
            let stands_for = if entry.size.reaches(self.floors) {
                1
            } else if is_sampled(*hash, self.shift) {
                1 << self.shift
            } else {
                0
            };
            visit(&entry.key, *hash, &entry.size, Weighed(stands_for));
        }
    }

    pub(super) fn stale(&self, stale: &mut Vec<(u16, u64)>) {
        stale.extend(self.entries.iter().filter(|(_, entry)| entry.changes > 0).map(|(place, _)| *place));
    }
}
