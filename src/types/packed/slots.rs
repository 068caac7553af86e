//! Allocations for elements that are too long to be packed, each named by a small number, its slot.

use super::segments::Segments;
use crate::alloc::array_bytes;

/// The long elements of one table.
pub(in crate::types) struct Slots {
    slots: Segments<Slot>,
    /// First slot of the chain of free ones.
    free: Option<u32>,
    held_bytes: usize,
}

enum Slot {
    Held(Box<[u8]>),
    Free { next: Option<u32> },
}

impl Slots {
    pub(in crate::types) const fn new() -> Self {
        Self { slots: Segments::new(), free: None, held_bytes: 0 }
    }

    /// The bytes in a slot; none in a free one.
    pub(in crate::types) fn get(&self, slot: u32) -> &[u8] {
        match self.slots.get(slot as usize) {
            Some(Slot::Held(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Copies the bytes into a slot and returns its number.
    pub(in crate::types) fn insert(&mut self, bytes: &[u8]) -> u32 {
        self.held_bytes += array_bytes::<u8>(bytes.len());
        let held = Slot::Held(bytes.into());
        if let Some(free) = self.free
            && let Some(slot) = self.slots.get_mut(free as usize)
            && let Slot::Free { next } = *slot
        {
            self.free = next;
            *slot = held;
            return free;
        }
        let slot = self.slots.len() as u32;
        self.slots.push(held);
        slot
    }

    /// Frees a slot.
    pub(in crate::types) fn remove(&mut self, slot: u32) {
        let next = self.free;
        if let Some(place) = self.slots.get_mut(slot as usize)
            && let Slot::Held(bytes) = place
        {
            self.held_bytes -= array_bytes::<u8>(bytes.len());
            *place = Slot::Free { next };
            self.free = Some(slot);
        }
    }

    /// Bytes that the slots takes from the allocator.
    pub(in crate::types) fn memory_bytes(&self) -> usize {
        self.slots.memory_bytes() + self.held_bytes
    }

    /// Number of slots in use; for tests.
    #[cfg(test)]
    pub(in crate::types) fn held(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Held(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again() {
        let mut slots = Slots::new();
        let (a, b) = (slots.insert(b"a"), slots.insert(b"bb"));
        assert_eq!((slots.get(a), slots.get(b)), (&b"a"[..], &b"bb"[..]));
        slots.remove(a);
        slots.remove(b);
        slots.remove(b);
        assert_eq!((slots.held(), slots.held_bytes, slots.get(a)), (0, 0, &b""[..]));
        assert_eq!((slots.insert(b"c"), slots.insert(b"d"), slots.insert(b"e")), (b, a, 2));
        assert_eq!(slots.held(), 3);
    }
}
