//! Reading a stream as it was at one instant while it goes on changing.
//!
//! [`Stream::freeze`] marks the instant. From then on [`Stream::read_frozen`] copies what was there into
//! another stream, some blocks at a time, by the ids that they stand under. A change of a block that was not
//! read yet first copies that block. The groups are copied together, by the first change of any of them or
//! at the end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::block::Block;
use super::{Group, Stream, StreamId};
use crate::types::packed::freeze::Reading;

/// How far a stream has been read, and what was copied ahead of that.
pub(super) struct Frozen {
    reading: Reading,
    /// Blocks with lower ids were read.
    next: StreamId,
    /// The id of the last block at the instant; `None` when all blocks have been read.
    last_block: Option<StreamId>,
    /// Copies of blocks that were about to change or go.
    kept: BTreeMap<StreamId, Block>,
    /// A copy of the groups, where any of them was about to change.
    groups: Option<BTreeMap<Box<[u8]>, Group>>,
    /// The stream at the instant, without blocks and groups.
    rest: Stream,
    is_done: bool,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.is_done {
            self.reading.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Stream {
    /// Called before a block changes or goes: where it was not read yet, it is copied.
    #[inline]
    pub(super) fn keep_block(&mut self, index: usize) {
        if self.frozen.is_some() {
            self.copy_block(index);
        }
    }

    #[cold]
    fn copy_block(&mut self, index: usize) {
        let (Some(frozen), Some(block)) = (&mut self.frozen, self.blocks.get(index)) else { return };
        if block.first >= frozen.next && frozen.last_block.is_some_and(|last| block.first <= last) {
            frozen.kept.entry(block.first).or_insert_with(|| block.clone());
        }
    }

    /// Called before a group changes, comes or goes.
    #[inline]
    pub(super) fn keep_groups(&mut self) {
        if let Some(frozen) = &mut self.frozen
            && frozen.groups.is_none()
        {
            frozen.groups = Some(self.groups.clone());
        }
    }

    /// Marks the instant that [`read_frozen`](Self::read_frozen) returns.
    pub fn freeze(&mut self, reading: Reading) {
        let rest = Stream {
            len: self.len,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
            producers: self.producers.clone(),
            ..Stream::default()
        };
        self.frozen = Some(Box::new(Frozen {
            reading,
            next: StreamId::MIN,
            last_block: self.blocks.back().map(|block| block.first),
            kept: BTreeMap::new(),
            groups: None,
            rest,
            is_done: false,
        }));
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        self.frozen.as_ref().map(|frozen| frozen.reading.id)
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Some(mut frozen) = self.frozen.take() {
            frozen.is_done = true;
        }
    }

    /// Copies up to `count` more of the blocks of the instant into `copy`, and behind the last the rest of
    /// what there was. Returns whether that was all.
    pub fn read_frozen(&mut self, count: usize, copy: &mut Stream) -> bool {
        let Some(frozen) = &mut self.frozen else { return true };
        let mut at = self.blocks.partition_point(|block| block.first < frozen.next);
        for _ in 0..count {
            let Some(last) = frozen.last_block else { break };
            let live = self.blocks.get(at).map(|block| block.first).filter(|first| *first <= last);
            let kept = frozen.kept.first_key_value().map(|(first, _)| *first);
            let Some(first) = [live, kept].into_iter().flatten().min() else {
                frozen.last_block = None;
                break;
            };
            at += usize::from(live == Some(first));
            // What was copied is as it was; the one in the stream has changed since.
            let block = frozen.kept.remove(&first).or_else(|| self.blocks.get(at - 1).cloned());
            copy.blocks.extend(block);
            match first.next() {
                Some(next) if first < last => frozen.next = next,
                _ => frozen.last_block = None,
            }
        }
        if frozen.last_block.is_some() {
            return false;
        }
        let rest = std::mem::take(&mut frozen.rest);
        (copy.len, copy.last_id) = (rest.len, rest.last_id);
        (copy.max_deleted_id, copy.entries_added) = (rest.max_deleted_id, rest.entries_added);
        copy.producers = rest.producers.clone();
        copy.groups = frozen.groups.take().unwrap_or_else(|| self.groups.clone());
        frozen.is_done = true;
        self.frozen = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::types::stream::{StreamLimits, Trim, TrimTo};

    type Fields = Vec<Vec<u8>>;

    /// All that a stream has, in words, and its entries.
    fn all(stream: &Stream) -> (String, Vec<(StreamId, Fields)>) {
        let groups: Vec<(&[u8], StreamId)> =
            stream.groups().map(|(name, group)| (name, group.last_id)).collect();
        let ends = (stream.len(), stream.last_id(), stream.max_deleted_id(), stream.entries_added());
        let entries = stream.range(StreamId::MIN, StreamId::MAX);
        let fields = entries.map(|entry| {
            let values = entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]);
            (entry.id, values.collect())
        });
        (format!("{ends:?} {groups:?}"), fields.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_reading_returns_what_was_there(
            start in 1u64..200,
            read_between in 0usize..6,
            steps in proptest::collection::vec((0u8..10, any::<Index>(), 1usize..5), 0..150),
        ) {
            let limits = StreamLimits { max_block_bytes: 0, max_block_entries: 5 };
            let mut stream = Stream::new();
            let append = |stream: &mut Stream, ms: u64| {
                let pairs = [b"field".to_vec(), ms.to_string().into_bytes()];
                stream.append(StreamId::new(ms, 0), &pairs, &limits).expect("a higher id");
            };
            (1..=start).for_each(|ms| append(&mut stream, ms));
            stream.add_group(b"first", Group::new(StreamId::MIN, None));
            let (instant, lost) = (all(&stream), Arc::new(AtomicBool::new(false)));
            stream.freeze(Reading { id: 5, lost: Arc::clone(&lost) });
            let (mut copy, mut is_done, mut next_ms) = (Stream::new(), false, start + 1);
            for (number, (kind, at, count)) in steps.into_iter().enumerate() {
                match kind {
                    0..=2 => { append(&mut stream, next_ms); next_ms += 1; }
                    3..=5 => for step in 0..count {
                        stream.delete(StreamId::new((at.index(next_ms as usize) + step) as u64, 0));
                    },
                    6 => {
                        let to = TrimTo::MaxLen(stream.len().saturating_sub(count) as u64);
                        stream.trim(&Trim { to, approximate: count > 3, limit: 0 });
                    }
                    7 => if let Some(group) = stream.group_mut(b"first") {
                        group.last_id = StreamId::new(number as u64, 1);
                    },
                    8 => { stream.add_group(number.to_string().as_bytes(), Group::new(StreamId::MIN, None)); }
                    _ => stream.set_max_deleted_id(StreamId::new(next_ms, 7)),
                }
                stream.assert_invariants();
                if !is_done && number % 6 < read_between {
                    prop_assert_eq!(stream.reading(), Some(5));
                    is_done = stream.read_frozen(count, &mut copy);
                }
            }
            while !is_done {
                is_done = stream.read_frozen(2, &mut copy);
            }
            prop_assert_eq!(stream.reading(), None);
            copy.assert_invariants();
            prop_assert_eq!(all(&copy), instant);
            drop(stream);
            prop_assert!(!lost.load(Ordering::Relaxed), "a finished reading is not lost");
        }
    }

    #[test]
    fn a_change_copies_a_block() {
        let limits = StreamLimits { max_block_bytes: 0, max_block_entries: 10 };
        let mut stream = Stream::new();
        for ms in 1..=1000 {
            stream.append(StreamId::new(ms, 0), &[b"f", b"v"], &limits).expect("a higher id");
        }
        let lost = Arc::new(AtomicBool::new(false));
        stream.freeze(Reading { id: 1, lost: Arc::clone(&lost) });
        for ms in 1001..=1100 {
            stream.append(StreamId::new(ms, 0), &[b"f", b"v"], &limits).expect("a higher id");
        }
        stream.delete(StreamId::new(500, 0));
        assert_eq!(stream.frozen.as_ref().expect("it is read").kept.len(), 2);
        assert!(stream.clone().reading().is_none(), "a copy is not read");
        drop(stream);
        assert!(lost.load(Ordering::Relaxed), "it was dropped before it was read");
    }
}
