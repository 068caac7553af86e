//! A stream: entries in the order of their ids, and the groups of consumers that read them.
//!
//! Entries are packed in [blocks](block), which stand in a deque in the order of their first ids: appending
//! and trimming work on its ends, and a range is found by bisection.

mod block;
mod frozen;
pub mod group;
mod id;
pub mod producers;
mod progress;
mod range;
mod references;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use block::{Entry, Fields};
pub use group::Group;
pub use id::{IdText, NewId, StreamId};
pub use producers::{ProducerLimits, Producers};
pub use progress::Progress;
pub use range::{Lookup, Range, RangeBack};
pub use references::{Deletion, References, Trimmed};

use crate::alloc::{array_bytes, box_bytes, tree_bytes};
use crate::types::packed::entry::Element;
use block::Block;
use frozen::Frozen;

/// Bounds of a block where the configuration has none: what is read and moved at once stays small.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Blocks that are measured: those of a long stream are alike.
const SAMPLES: usize = 64;
const BLOCK_ENTRIES_MAX: usize = 1 << 16;

/// The most bytes that an entry may have.
pub const ENTRY_BYTES_MAX: usize = 1 << 30;

/// When a new block begins (`stream-node-max-bytes`, `stream-node-max-entries`); 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Bytes of a block.
    pub max_block_bytes: usize,
    /// Entries of a block.
    pub max_block_entries: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { max_block_bytes: 4096, max_block_entries: 100 }
    }
}

/// Why an entry is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Its id is not higher than the highest so far.
    IdTooLow,
    /// It has more than [`ENTRY_BYTES_MAX`] bytes.
    TooLarge,
}

/// What trimming leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// At most so many entries.
    MaxLen(u64),
    /// No entry with a lower id.
    MinId(StreamId),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What is to be left.
    pub to: TrimTo,
    /// Only whole blocks go.
    pub approximate: bool,
    /// The most entries to remove; 0 is no limit.
    pub limit: u64,
}

/// A stream: entries in blocks by their ids, and consumer groups.
#[derive(Default)]
pub struct Stream {
    blocks: VecDeque<Block>,
    len: usize,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
    producers: Option<Arc<Producers>>,
    /// A reading of the stream as it was at an earlier instant.
    frozen: Option<Box<Frozen>>,
}

impl Clone for Stream {
    fn clone(&self) -> Self {
        Self {
            blocks: self.blocks.clone(),
            groups: self.groups.clone(),
            producers: self.producers.clone(),
            // A reading is of one stream.
            frozen: None,
            ..*self
        }
    }
}

impl Stream {
    /// Without entries and groups.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many blocks the entries are in.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The highest id that was ever added or set.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// Sets the highest id.
    pub fn set_last_id(&mut self, id: StreamId) {
        self.last_id = id;
    }

    /// The highest id that was deleted by name.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Sets the highest deleted id.
    pub fn set_max_deleted_id(&mut self, id: StreamId) {
        self.max_deleted_id = id;
    }

    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Sets how many entries were ever added.
    pub fn set_entries_added(&mut self, count: u64) {
        self.entries_added = count;
    }

    /// The id of the first entry; 0-0 where there is none.
    pub fn first_id(&self) -> StreamId {
        let first = self.blocks.front().and_then(|block| block.entries().next());
        first.map_or(StreamId::MIN, |entry| entry.id)
    }

    /// The id of the last entry.
    pub fn last_entry_id(&self) -> Option<StreamId> {
        self.range_back(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id)
    }

    /// The id that an entry gets now, unless it is too low.
    pub fn next_id(&self, wanted: NewId, now_ms: u64) -> Result<StreamId, AppendError> {
        let id = match wanted {
            NewId::Given(id) => Some(id),
            NewId::AutoSeq(ms) if ms == self.last_id.ms => {
                self.last_id.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
            }
            NewId::AutoSeq(ms) => Some(StreamId::new(ms, 0)),
            NewId::Auto if now_ms > self.last_id.ms => Some(StreamId::new(now_ms, 0)),
            NewId::Auto => self.last_id.next(),
        };
        id.filter(|id| *id > self.last_id).ok_or(AppendError::IdTooLow)
    }

    /// Adds an entry: `pairs` are its fields, each followed by its value.
    ///
    /// # Errors
    /// An id that is not higher than all before; too many bytes.
    pub fn append<T: AsRef<[u8]>>(
        &mut self,
        id: StreamId,
        pairs: &[T],
        limits: &StreamLimits,
    ) -> Result<(), AppendError> {
        debug_assert!(pairs.len().is_multiple_of(2));
        if id <= self.last_id {
            return Err(AppendError::IdTooLow);
        }
        let bytes: usize = pairs.iter().map(|part| part.as_ref().len()).sum();
        if bytes > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let or_max = |limit: usize, max: usize| if limit == 0 { max } else { limit.min(max) };
        let fits = |block: &Block| {
            block.slots() < or_max(limits.max_block_entries, BLOCK_ENTRIES_MAX)
                && block.byte_len() + bytes < or_max(limits.max_block_bytes, BLOCK_BYTES_MAX)
        };
        self.keep_block(self.blocks.len().wrapping_sub(1));
        match self.blocks.back_mut().filter(|block| fits(block)) {
            Some(block) => block.push(id, pairs),
            None => {
                let mut block = Block::new(id, pairs);
                block.push(id, pairs);
                self.blocks.push_back(block);
            }
        }
        self.len += 1;
        self.entries_added = self.entries_added.saturating_add(1);
        self.last_id = id;
        Ok(())
    }

    /// Whether there is an entry with this id.
    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The entry with this id.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// For finding several entries, by ids that ascend.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup::new(self)
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(self, start, end)
    }

    /// The entries from `end` down to `start`, both included.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> RangeBack<'_> {
        RangeBack::new(self, start, end)
    }

    /// The entries of each block, for writing them as they are kept: the block's id, its names and its
    /// entries.
    pub fn packed(&self) -> impl Iterator<Item = PackedBlock<'_>> {
        self.blocks.iter().map(|block| PackedBlock { block })
    }

    /// Deletes an entry. Whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(index) = self.block_of(id) else { return false };
        self.keep_block(index);
        if !self.blocks[index].delete(id) {
            return false;
        }
        if self.blocks[index].len() == 0 {
            self.blocks.remove(index);
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    /// Removes entries from the front. Returns the number deleted.
    pub fn trim(&mut self, trim: &Trim) -> usize {
        let before = self.len;
        loop {
            self.keep_block(0);
            let Some(block) = self.blocks.front_mut() else { break };
            let excess = match trim.to {
                TrimTo::MaxLen(max) => (self.len as u64).saturating_sub(max),
                TrimTo::MinId(_) => u64::MAX,
            };
            let count = block.len();
            let removed = before - self.len;
            if excess == 0 || (trim.limit > 0 && (removed + count) as u64 > trim.limit) {
                break;
            }
            let whole = match trim.to {
                TrimTo::MaxLen(_) => count as u64 <= excess,
                TrimTo::MinId(min) => block.last() < min,
            };
            if whole {
                self.blocks.pop_front();
                self.len -= count;
                continue;
            }
            if !trim.approximate {
                let mut left = excess;
                self.len -= block.delete_front(|id| match trim.to {
                    TrimTo::MinId(min) => id < min,
                    TrimTo::MaxLen(_) if left == 0 => false,
                    TrimTo::MaxLen(_) => {
                        left -= 1;
                        true
                    }
                });
                if block.len() == 0 {
                    self.blocks.pop_front();
                }
            }
            break;
        }
        before - self.len
    }

    /// Where the block is in which an id would be.
    fn block_of(&self, id: StreamId) -> Option<usize> {
        self.blocks.partition_point(|block| block.first <= id).checked_sub(1)
    }
}

/// A block as it is kept.
pub struct PackedBlock<'a> {
    block: &'a Block,
}

impl<'a> PackedBlock<'a> {
    /// The id it stands under: no entry's is lower.
    pub fn first(&self) -> StreamId {
        self.block.first
    }

    /// The names of the fields of most of its entries.
    pub fn names(&self) -> impl Iterator<Item = Element<'a>> {
        self.block.names()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether it has none, which no block of a stream is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its entries, and whether their names are the block's.
    pub fn entries(&self) -> impl Iterator<Item = (Entry<'a>, bool)> {
        self.block.entries().map(|entry| (entry, entry.has_block_names()))
    }
}

/// Groups and what they have read.
impl Stream {
    /// The groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// Finds a consumer group by its name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A group to be changed.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.keep_groups();
        self.groups.get_mut(name)
    }

    /// Adds a group; nothing happens where there is one of that name. Whether it was added.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.keep_groups();
        self.groups.insert(name.into(), group);
        true
    }

    /// Removes a group. Whether it was there.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        self.keep_groups();
        self.groups.remove(name).is_some()
    }

    /// What is known about the entries that were ever added: what groups count their progress by.
    pub fn progress(&self) -> Progress {
        Progress {
            len: self.len as u64,
            added: self.entries_added,
            first: self.first_id(),
            last: self.last_id,
            max_deleted: self.max_deleted_id,
        }
    }

    /// Bytes that the structure owns.
    pub fn memory_bytes(&self) -> usize {
        // The blocks of a long stream are alike: those at its beginning speak for all.
        let sampled: usize = self.blocks.iter().take(SAMPLES).map(Block::memory_bytes).sum();
        let blocks = match self.blocks.len() {
            0 => 0,
            count => sampled * count / count.min(SAMPLES),
        };
        let groups = self.groups.iter();
        let groups: usize =
            groups.map(|(name, group)| array_bytes::<u8>(name.len()) + group.memory_bytes()).sum();
        box_bytes::<Self>()
            + array_bytes::<Block>(self.blocks.capacity())
            + blocks
            + tree_bytes::<Box<[u8]>, Group>(self.groups.len())
            + groups
            + self.producers_memory_bytes()
    }

    /// About how many blocks, groups and consumers [`memory_bytes`](Self::memory_bytes) visits.
    pub fn parts_to_measure(&self) -> usize {
        let groups: usize = self.groups.values().map(|group| 1 + group.consumer_count()).sum();
        self.blocks.len().min(SAMPLES) + groups
    }

    /// How many allocations freeing it takes, roughly.
    pub fn free_effort(&self) -> usize {
        let groups: usize = self.groups.values().map(Group::free_effort).sum();
        1 + self.blocks.len() + groups + self.producers_free_effort()
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    fn assert_invariants(&self) {
        self.blocks.iter().for_each(Block::assert_invariants);
        assert_eq!(self.blocks.iter().map(Block::len).sum::<usize>(), self.len);
        let ends: Vec<(StreamId, StreamId)> =
            self.blocks.iter().map(|block| (block.first, block.last())).collect();
        assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0));
        self.groups.values().for_each(Group::assert_invariants);
    }
}
