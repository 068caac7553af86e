//! Ranges of entries, forwards and backwards.

use std::collections::vec_deque;

use super::block::{Block, Entry, Slot, Slots};
use super::{Stream, StreamId};

/// Entries in order.
pub struct Range<'a> {
    blocks: vec_deque::Iter<'a, Block>,
    slots: Option<Slots<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Range<'a> {
    pub(super) fn new(stream: &'a Stream, start: StreamId, end: StreamId) -> Self {
        let from = if start > end { stream.blocks.len() } else { stream.block_of(start).unwrap_or(0) };
        Self { blocks: stream.blocks.range(from..), slots: None, start, end }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(slots) = &mut self.slots else {
                let block = self.blocks.next().filter(|block| block.first <= self.end)?;
                self.slots = Some(block.slots_from_start());
                continue;
            };
            match slots.next() {
                None => self.slots = None,
                Some(slot) if slot.entry.id > self.end => {
                    // Blocks behind this one have only higher ids.
                    self.blocks = vec_deque::Iter::default();
                    return None;
                }
                Some(slot) if slot.is_deleted || slot.entry.id < self.start => {}
                Some(slot) => return Some(slot.entry),
            }
        }
    }
}

/// Entries from the last to the first.
pub struct RangeBack<'a> {
    blocks: vec_deque::Iter<'a, Block>,
    /// Entries of the present block that are still to come.
    entries: Vec<Entry<'a>>,
    start: StreamId,
    end: StreamId,
}

impl<'a> RangeBack<'a> {
    pub(super) fn new(stream: &'a Stream, start: StreamId, end: StreamId) -> Self {
        let behind = if start > end { 0 } else { stream.block_of(end).map_or(0, |index| index + 1) };
        Self { blocks: stream.blocks.range(..behind), entries: Vec::new(), start, end }
    }
}

impl<'a> Iterator for RangeBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some(entry) = self.entries.pop() {
                return Some(entry);
            }
            let block = self.blocks.next_back().filter(|block| block.last() >= self.start)?;
            let wanted = self.start..=self.end;
            self.entries.extend(block.entries().filter(|entry| wanted.contains(&entry.id)));
        }
    }
}

/// Finds entries by ascending ids: a block is walked once, however many of its entries are asked for.
pub struct Lookup<'a> {
    stream: &'a Stream,
    slots: Option<Slots<'a>>,
    /// Last id of the block being walked.
    last: StreamId,
    /// The entry that the walk has come to.
    slot: Option<Slot<'a>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(stream: &'a Stream) -> Self {
        Self { stream, slots: None, last: StreamId::MIN, slot: None }
    }

    /// The entry with this id, which has to be higher than all asked for before.
    pub fn get(&mut self, id: StreamId) -> Option<Entry<'a>> {
        if self.slots.is_none() || id > self.last {
            let block = &self.stream.blocks[self.stream.block_of(id)?];
            self.last = block.last();
            let mut slots = block.slots_from_start();
            self.slot = slots.next();
            self.slots = Some(slots);
        }
        let slots = self.slots.as_mut()?;
        while self.slot.as_ref().is_some_and(|slot| slot.entry.id < id) {
            self.slot = slots.next();
        }
        self.slot.as_ref().filter(|slot| slot.entry.id == id && !slot.is_deleted).map(|slot| slot.entry)
    }
}
