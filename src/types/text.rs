//! [`Text`]: the bytes of a long string, which can be read as they were at one instant while they change.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::sync::atomic::Ordering;

use crate::alloc::{array_bytes, box_bytes};
use crate::types::packed::freeze::Reading;

/// Bytes that are read, or copied before they change, at once.
const PIECE: usize = 64 << 10;

/// The bytes.
#[derive(Default)]
pub struct Text {
    bytes: Vec<u8>,
    /// A reading of the bytes as they were at an earlier instant.
    frozen: Option<Box<Frozen>>,
}

/// Most bytes of room that are kept for what may be appended next.
const AHEAD_MAX: usize = 1 << 20;

/// Makes room for so many bytes more, and ahead for as many as the string has then, at most [`AHEAD_MAX`]: short ones
/// are moved the less often the longer they are, and long ones take little more memory than they need. The allocator
/// moves the longest without a copy.
pub fn make_room(bytes: &mut Vec<u8>, more: usize) {
    if bytes.capacity() - bytes.len() < more {
        let len = bytes.len() + more;
        bytes.reserve_exact(more + len.min(AHEAD_MAX));
    }
}

/// How far the bytes have been read, and what was copied ahead of that.
struct Frozen {
    reading: Reading,
    /// Where the next piece begins.
    next: usize,
    /// Number of bytes at the instant.
    len: usize,
    /// Copies of pieces that were about to change, by where they begin.
    kept: BTreeMap<usize, Box<[u8]>>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if self.next < self.len {
            self.reading.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl Text {
    /// A text of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, frozen: None }
    }

    /// Makes room for so many bytes more, and none ahead of others.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
    }

    /// Bytes that it takes from the allocator.
    pub fn memory_bytes(&self) -> usize {
        box_bytes::<Self>() + array_bytes::<u8>(self.bytes.capacity())
    }

    /// Lets `change` change the bytes within `touched`, or those behind all that there are.
    pub fn change<T>(&mut self, touched: Range<usize>, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if self.frozen.is_some() {
            self.keep(touched);
        }
        change(&mut self.bytes)
    }

    #[cold]
    fn keep(&mut self, touched: Range<usize>) {
        let Some(frozen) = &mut self.frozen else { return };
        let first = (touched.start / PIECE * PIECE).max(frozen.next);
        for start in (first..touched.end.min(frozen.len)).step_by(PIECE) {
            let piece = start..(start + PIECE).min(frozen.len);
            frozen.kept.entry(start).or_insert_with(|| self.bytes[piece].into());
        }
    }

    /// Marks the instant whose bytes [`read_frozen`](Self::read_frozen) returns.
    pub fn freeze(&mut self, reading: Reading) {
        let len = self.bytes.len();
        self.frozen = Some(Box::new(Frozen { reading, next: 0, len, kept: BTreeMap::new() }));
    }

    /// The number of the reading that is going on.
    pub fn reading(&self) -> Option<u64> {
        self.frozen.as_ref().map(|frozen| frozen.reading.id)
    }

    /// Ends a reading that nobody wants any more.
    pub fn thaw(&mut self) {
        if let Some(mut frozen) = self.frozen.take() {
            frozen.next = frozen.len;
        }
    }

    /// Appends the next piece of the instant's bytes to `copy`. Returns whether that was all.
    pub fn read_frozen(&mut self, copy: &mut Text) -> bool {
        let Some(frozen) = &mut self.frozen else { return true };
        let piece = frozen.next..(frozen.next + PIECE).min(frozen.len);
        match frozen.kept.remove(&piece.start) {
            Some(kept) => copy.bytes.extend_from_slice(&kept),
            None => copy.bytes.extend_from_slice(&self.bytes[piece.clone()]),
        }
        frozen.next = piece.end;
        let is_done = frozen.next == frozen.len;
        if is_done {
            self.frozen = None;
        }
        is_done
    }
}

impl Clone for Text {
    fn clone(&self) -> Self {
        // A reading is of one text.
        Self::new(self.bytes.clone())
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn room_is_made_as_it_is_needed(pieces in proptest::collection::vec(0usize..300_000, 1..60)) {
            let (mut bytes, mut model, mut moves) = (Vec::new(), Vec::new(), 0);
            for (number, count) in pieces.into_iter().enumerate() {
                let before = bytes.capacity();
                make_room(&mut bytes, count);
                moves += usize::from(bytes.capacity() != before);
                let room = bytes.capacity();
                bytes.resize(bytes.len() + count, number as u8);
                model.resize(model.len() + count, number as u8);
                prop_assert_eq!(bytes.capacity(), room, "there was room for it");
                prop_assert!(room <= bytes.len() + bytes.len().min(AHEAD_MAX), "{room}");
            }
            prop_assert!(bytes == model);
            // It doubles up to the most that is kept ahead, and then grows by that.
            prop_assert!(moves <= 20 + model.len() / AHEAD_MAX, "{moves}");
        }

        #[test]
        fn a_reading_returns_what_was_there(
            len in 1usize..5 * PIECE,
            steps in proptest::collection::vec((0u8..5, 0usize..6 * PIECE, 1usize..2 * PIECE), 0..40),
        ) {
            let mut text = Text::new((0..len).map(|at| at as u8).collect());
            let mut model = text.to_vec();
            let (instant, mut read) = (model.clone(), Text::default());
            let lost = Arc::new(AtomicBool::new(false));
            text.freeze(Reading { id: 3, lost: Arc::clone(&lost) });
            let mut is_done = false;
            for (number, (kind, start, count)) in steps.into_iter().enumerate() {
                match kind {
                    0 if !is_done => is_done = text.read_frozen(&mut read),
                    1 => {
                        text.change(usize::MAX..usize::MAX, |bytes| bytes.resize(bytes.len() + count, 1));
                        model.resize(model.len() + count, 1);
                    }
                    _ => {
                        let set = |bytes: &mut Vec<u8>| {
                            bytes.resize(bytes.len().max(start + count), 0);
                            bytes[start..start + count].fill(number as u8);
                        };
                        text.change(start..start + count, set);
                        set(&mut model);
                    }
                }
                prop_assert_eq!(&text[..], &model[..]);
                prop_assert_eq!(text.reading(), (!is_done).then_some(3));
            }
            while !is_done {
                is_done = text.read_frozen(&mut read);
            }
            prop_assert!(read[..] == instant[..]);
            drop(text);
            prop_assert!(!lost.load(Ordering::Relaxed), "a finished reading is not lost");
        }
    }

    #[test]
    fn a_change_copies_the_pieces_that_it_touches() {
        let mut text = Text::new(vec![0; 10 * PIECE]);
        let lost = Arc::new(AtomicBool::new(false));
        text.freeze(Reading { id: 1, lost: Arc::clone(&lost) });
        text.change(PIECE + 5..PIECE + 6, |bytes| bytes[PIECE + 5] = 1);
        text.change(PIECE + 7..2 * PIECE + 1, |bytes| bytes[2 * PIECE] = 1);
        assert_eq!(text.frozen.as_ref().expect("it is read").kept.len(), 2);
        assert!(text.clone().reading().is_none(), "a copy is not read");
        drop(text);
        assert!(lost.load(Ordering::Relaxed), "it was dropped before it was read");
    }
}
