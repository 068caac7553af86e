//! A sorted set of integers, all in the narrowest of 2, 4 or 8 bytes that holds every one of them.

use crate::primitives::thin::Thin;

/// The set. One word in size; an empty one owns no memory.
#[derive(Clone, Default)]
pub struct IntSet {
    /// The header is the width of an integer in bytes (2, 4 or 8); the integers are little endian, ascending.
    block: Thin<u32>,
}

impl IntSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self { block: Thin::new() }
    }

    /// Number of integers.
    pub fn len(&self) -> usize {
        match self.block.header() as usize {
            0 => 0,
            width => self.block.len() / width,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.block.len() == 0
    }

    /// Bytes that the set takes from the allocator.
    pub fn memory_bytes(&self) -> usize {
        self.block.memory_bytes()
    }

    /// The integer with that many smaller ones.
    pub fn get(&self, index: usize) -> Option<i64> {
        let width = self.block.header() as usize;
        let bytes = self.block.bytes().get(index.checked_mul(width)?..)?;
        match width {
            2 => bytes.first_chunk().map(|&bytes| i64::from(i16::from_le_bytes(bytes))),
            4 => bytes.first_chunk().map(|&bytes| i64::from(i32::from_le_bytes(bytes))),
            _ => bytes.first_chunk().map(|&bytes| i64::from_le_bytes(bytes)),
        }
    }

    /// Whether the integer is a member.
    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Adds an integer. Returns whether it was new.
    pub fn add(&mut self, value: i64) -> bool {
        let Err(index) = self.search(value) else {
            return false;
        };
        let width = width_of(value).max(self.block.header() as usize);
        self.widen(width);
        self.block.splice(index * width, 0, &[&value.to_le_bytes()[..width]]);
        self.block.set_header(width as u32);
        true
    }

    /// Removes an integer. Returns whether it was there. The width stays as it is.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.search(value) else {
            return false;
        };
        let width = self.block.header() as usize;
        self.block.splice(index * width, width, &[]);
        true
    }

    /// The integers, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = i64> + '_ {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// The index of the integer, or the one where it belongs.
    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        // Ascending input is common, so the end is looked at first.
        match self.get(high.wrapping_sub(1)) {
            None => return Err(0),
            Some(last) if value > last => return Err(high),
            Some(_) => {}
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle) {
                Some(found) if found < value => low = middle + 1,
                Some(found) if found == value => return Ok(middle),
                _ => high = middle,
            }
        }
        Err(low)
    }

    fn widen(&mut self, width: usize) {
        let old = self.block.header() as usize;
        if self.is_empty() || width == old {
            return;
        }
        let mut wide = Vec::with_capacity(self.len() * width);
        for value in self.iter() {
            wide.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        self.block.splice(0, self.block.len(), &[&wide]);
        self.block.set_header(width as u32);
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let width = self.block.header() as usize;
        assert!(matches!(width, 0 | 2 | 4 | 8));
        assert_eq!(width == 0, self.is_empty());
        assert_eq!(self.len() * width, self.block.len());
        assert!(self.iter().zip(self.iter().skip(1)).all(|(a, b)| a < b), "ascending and distinct");
    }
}

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_sorted_set(steps in proptest::collection::vec((any::<bool>(), prop_oneof![
            3 => -20i64..20,
            1 => any::<i16>().prop_map(i64::from),
            1 => any::<i32>().prop_map(i64::from),
            1 => any::<i64>(),
        ]), 1..80)) {
            let mut set = IntSet::new();
            let mut model = BTreeSet::new();
            for (add, value) in steps {
                prop_assert_eq!(set.contains(value), model.contains(&value));
                if add {
                    prop_assert_eq!(set.add(value), model.insert(value));
                } else {
                    prop_assert_eq!(set.remove(value), model.remove(&value));
                }
                set.assert_invariants();
                prop_assert!(set.iter().eq(model.iter().copied()));
                prop_assert_eq!(set.get(model.len()), None);
            }
        }
    }

    #[test]
    fn extremes() {
        let mut set = IntSet::new();
        for value in [i64::MAX, i64::MIN, 0, -1] {
            assert!(set.add(value));
        }
        assert!(set.iter().eq([i64::MIN, -1, 0, i64::MAX]));
        assert_eq!(size_of::<IntSet>(), 8);
    }
}
