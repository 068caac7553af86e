//! When elements of a collection end: fields of a hash, members of a set.

use std::collections::BTreeSet;

use crate::alloc::{array_bytes, tree_bytes};
use crate::types::packed::entry::{Encoded, Raw};
use crate::types::packed::table::FieldTable;

/// Expiries of a collection's elements, in milliseconds of Unix time: by element and in their order.
pub(super) struct Expiries {
    by_element: FieldTable,
    by_time: BTreeSet<(u64, Box<[u8]>)>,
    /// Bytes of the blocks of the elements in `by_time`.
    name_bytes: usize,
}

impl Default for Expiries {
    fn default() -> Self {
        Self { by_element: FieldTable::new(fastrand::u64(..)), by_time: BTreeSet::new(), name_bytes: 0 }
    }
}

impl Expiries {
    /// Expiry of an element, if it has one.
    pub(super) fn get(&self, element: &[u8]) -> Option<u64> {
        match self.by_element.get_raw(element)? {
            Raw::Int(at_ms) => Some(at_ms as u64),
            _ => None,
        }
    }

    /// Sets an element's expiry.
    pub(super) fn set(&mut self, element: &[u8], at_ms: u64) {
        self.remove(element);
        self.by_element.set_encoded(element, Encoded::int(at_ms as i64));
        self.by_time.insert((at_ms, element.into()));
        self.name_bytes += array_bytes::<u8>(element.len());
    }

    /// Removes an element's expiry and returns it.
    pub(super) fn remove(&mut self, element: &[u8]) -> Option<u64> {
        let at_ms = self.get(element)?;
        self.by_element.remove(element);
        self.by_time.remove(&(at_ms, element.into()));
        self.name_bytes -= array_bytes::<u8>(element.len());
        Some(at_ms)
    }

    /// Whether no element has an expiry.
    pub(super) fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    /// The earliest expiry.
    pub(super) fn first_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// Whether an element's expiry is due.
    pub(super) fn is_due(&self, element: &[u8], now_ms: u64) -> bool {
        // Mostly nothing is due, and the earliest entry says so.
        self.first_ms().is_some_and(|first_ms| first_ms <= now_ms)
            && self.get(element).is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Elements whose expiry is due, the earliest first.
    pub(super) fn due(&self, now_ms: u64) -> impl Iterator<Item = &[u8]> {
        self.by_time.iter().take_while(move |(at_ms, _)| *at_ms <= now_ms).map(|(_, element)| &**element)
    }

    /// All expiries with their elements, the earliest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.by_time.iter().map(|(at_ms, element)| (*at_ms, &**element))
    }

    /// Removes the earliest expiry if it is due, and returns its element.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<Box<[u8]>> {
        if self.first_ms()? > now_ms {
            return None;
        }
        let (_, element) = self.by_time.pop_first()?;
        self.name_bytes -= array_bytes::<u8>(element.len());
        self.by_element.remove(&element);
        Some(element)
    }

    /// Bytes taken from the allocator, its own not included.
    pub(super) fn memory_bytes(&self) -> usize {
        let by_time = tree_bytes::<(u64, Box<[u8]>), ()>(self.by_time.len()) + self.name_bytes;
        self.by_element.memory_bytes() + by_time
    }

    /// Panics if the two orders differ, or an element is not of the collection. For tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self, contains: impl Fn(&[u8]) -> bool) {
        assert_eq!(self.by_time.len(), self.by_element.len());
        let name_bytes: usize = self.iter().map(|(_, element)| array_bytes::<u8>(element.len())).sum();
        assert_eq!(self.name_bytes, name_bytes);
        for (at_ms, element) in self.iter() {
            assert_eq!(self.get(element), Some(at_ms));
            assert!(contains(element));
        }
    }
}
