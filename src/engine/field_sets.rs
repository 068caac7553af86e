//! [`FieldSets`]: lists of hash fields that a client has named, so that it sends values alone (HIMPORT).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::CommandError;

/// Fields of a set, in the order in which their values are sent.
pub type Fields = Arc<[Box<[u8]>]>;

/// Named field sets of one client.
#[derive(Clone, Debug, Default)]
pub struct FieldSets {
    sets: HashMap<Box<[u8]>, Fields, foldhash::fast::RandomState>,
    bytes: usize,
}

/// Most sets that a client may hold, however small they are.
const SETS_MAX: usize = 65_536;

/// Bytes that a set takes beside its texts and its list of fields: its place in the table and the headers of
/// two allocations.
const SET_BYTES: usize = 96;

/// Bytes that a field takes beside its text: its place in the list and the header of an allocation.
const FIELD_BYTES: usize = 32;

impl FieldSets {
    /// Keeps a set under a name, in place of the one that had it.
    ///
    /// # Errors
    /// A field is given twice; the sets would be too many, or take more than `bytes_max` bytes. The set that
    /// had the name stays then.
    pub fn prepare(&mut self, name: &[u8], fields: &[&[u8]], bytes_max: usize) -> Result<(), CommandError> {
        let mut seen: HashSet<&[u8], foldhash::fast::RandomState> = HashSet::default();
        if !fields.iter().all(|field| seen.insert(field)) {
            return Err(CommandError::text("ERR duplicate field name in fieldset"));
        }
        let old = self.sets.get(name).map(|fields| bytes_of(name, fields.iter().map(|field| &**field)));
        let bytes = self.bytes - old.unwrap_or(0) + bytes_of(name, fields.iter().copied());
        if bytes > bytes_max {
            return Err(CommandError::text("ERR fieldsets exceed client-query-buffer-limit"));
        }
        if old.is_none() && self.sets.len() >= SETS_MAX {
            return Err(CommandError::text("ERR too many fieldsets"));
        }
        self.sets.insert(name.into(), fields.iter().map(|&field| field.into()).collect());
        self.bytes = bytes;
        Ok(())
    }

    /// Fields of the set with this name.
    pub fn get(&self, name: &[u8]) -> Option<Fields> {
        self.sets.get(name).cloned()
    }

    /// Removes a set. Returns whether there was one.
    pub fn discard(&mut self, name: &[u8]) -> bool {
        let Some(fields) = self.sets.remove(name) else { return false };
        self.bytes -= bytes_of(name, fields.iter().map(|field| &**field));
        true
    }

    /// Number of sets.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Bytes of memory that the sets take.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of<'f>(name: &[u8], fields: impl Iterator<Item = &'f [u8]>) -> usize {
    SET_BYTES + name.len() + fields.map(|field| FIELD_BYTES + field.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_counted_and_limited() {
        let mut sets = FieldSets::default();
        let two: &[&[u8]] = &[b"a", b"bc"];
        sets.prepare(b"x", two, 1000).expect("room");
        let one = sets.memory_bytes();
        assert_eq!(one, SET_BYTES + 1 + 2 * FIELD_BYTES + 3);
        sets.prepare(b"x", two, one).expect("room for the same again");
        assert_eq!((sets.len(), sets.memory_bytes()), (1, one));
        sets.prepare(b"y", two, 2 * one - 1).expect_err("no room");
        sets.prepare(b"x", &[b"q", b"q"], 1000).expect_err("twice the same");
        assert_eq!((sets.len(), sets.memory_bytes()), (1, one));
        assert_eq!(sets.get(b"x").map(|fields| fields.len()), Some(2));
        sets.prepare(b"y", &[b""], 1000).expect("room");
        assert!(sets.discard(b"x") && !sets.discard(b"x"));
        assert_eq!(sets.memory_bytes(), SET_BYTES + 1 + FIELD_BYTES);
        assert!(sets.discard(b"y"));
        assert_eq!((sets.is_empty(), sets.memory_bytes()), (true, 0));
    }

    #[test]
    fn there_are_not_endlessly_many_sets() {
        let mut sets = FieldSets::default();
        for number in 0..SETS_MAX {
            sets.prepare(&number.to_le_bytes(), &[b"f"], usize::MAX).expect("room");
        }
        sets.prepare(b"one more", &[b"f"], usize::MAX).expect_err("no room");
        sets.prepare(&0_usize.to_le_bytes(), &[b"g", b"h"], usize::MAX).expect("in place of another");
        assert_eq!(sets.len(), SETS_MAX);
    }
}
