//! One node of a list: packed elements that can be walked from either end.
//!
//! An element is written in the encoding of [`crate::types::packed::entry`] and followed by its
//! [tail](super::tail): the length of that encoding, for walks from behind. A node may begin with a gap, so
//! that pushing and popping at the front need not move everything behind.
//!
//! An inner node may be *shared*: the prefix of all its texts stands once in front, where the gap would be,
//! and each text is only its rest (see [`super::prefix`]). Walks read such a node as any other; it is
//! [expanded](ListNode::expand) before it is changed.

use super::end::End;
use super::prefix::{self, FULL_LEN_BYTES};
use super::slice::ListSlice;
use super::tail::{Tail, size_with_tail, tail_len};
use crate::primitives::thin::Thin;
use crate::types::packed::entry::{self, Encoded, Raw};

/// Bytes of the node's own header.
pub(super) const NODE_OVERHEAD: usize = 12;
/// Most bytes left free for elements pushed at the front.
const MAX_GAP: usize = 4096;
const ZEROS: [u8; MAX_GAP] = [0; MAX_GAP];
/// Gap, in bytes, up to which it is left as it is.
const SMALL_GAP: usize = 128;
/// Bit of a header's count: the node is shared. A node has far fewer elements than bytes, and fewer than 2^32
/// bytes.
const SHARED: u32 = 1 << 31;
#[derive(Clone, Copy, Default)]
struct Header {
    /// Number of elements, and the bit [`SHARED`].
    count: u32,
    /// Bytes before the first element: the gap, or the shared prefix and the full length.
    start: u32,
}

/// The node. One word in size.
#[derive(Clone, Default)]
pub(super) struct ListNode {
    block: Thin<Header>,
}

/// A walk over a node's elements, from either end or from the middle.
#[derive(Clone)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    /// The node's shared prefix; empty if it is not shared.
    prefix: &'a [u8],
    start: usize,
    /// Offset between two elements: where the next one begins and the previous one ends.
    offset: usize,
}

impl ListNode {
    pub(super) const fn new() -> Self {
        Self { block: Thin::new() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        (self.block.header().count & !SHARED) as usize
    }

    /// Bytes of all elements when written in full: what the limits count.
    #[inline]
    pub(super) fn byte_len(&self) -> usize {
        let start = self.start();
        if self.is_shared()
            && let Some(full) = self.block.bytes()[..start].last_chunk::<FULL_LEN_BYTES>()
        {
            return u32::from_le_bytes(*full) as usize;
        }
        self.block.len() - start
    }

    /// Whether texts are written without their common prefix. Such a node must not be changed.
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.block.header().count & SHARED != 0
    }

    /// Writes the texts' common prefix once, where that saves enough.
    pub(super) fn share(&mut self) {
        let start = self.start();
        let count = self.len();
        if self.is_shared() || count < 2 {
            return;
        }
        let packed = &self.block.bytes()[start..];
        let Some(last) = self.walk_from_end().next_back() else { return };
        let Some((bytes, start)) = prefix::shared(packed, count, last) else { return };
        self.rewrite(&bytes, Header { count: count as u32 | SHARED, start: start as u32 });
    }

    /// Writes all texts in full again.
    pub(super) fn expand(&mut self) {
        if !self.is_shared() {
            return;
        }
        let count = self.len() as u32;
        let bytes = prefix::full(self.block.bytes(), self.start(), self.byte_len());
        debug_assert_eq!(bytes.len(), self.byte_len());
        self.rewrite(&bytes, Header { count, start: 0 });
    }

    fn rewrite(&mut self, bytes: &[u8], header: Header) {
        self.block.splice(0, self.block.len(), &[bytes]);
        self.block.set_header(header);
    }

    /// The shared prefix; empty if the node is not shared.
    #[inline]
    fn prefix(&self) -> &[u8] {
        if self.is_shared() { &self.block.bytes()[..self.start() - FULL_LEN_BYTES] } else { &[] }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.block.memory_bytes()
    }

    /// A walk that begins before the first element.
    #[inline]
    pub(super) fn walk(&self) -> Walk<'_> {
        self.walk_at(self.start())
    }

    /// A walk that begins behind the last element.
    #[inline]
    pub(super) fn walk_from_end(&self) -> Walk<'_> {
        self.walk_at(self.block.len())
    }

    /// A walk that begins at the offset of another one.
    #[inline]
    pub(super) fn walk_at(&self, offset: usize) -> Walk<'_> {
        Walk { bytes: self.block.bytes(), prefix: self.prefix(), start: self.start(), offset }
    }

    /// A walk that begins before the element at `index`, or behind the last.
    pub(super) fn walk_from(&self, index: usize) -> Walk<'_> {
        let len = self.len();
        if index <= len / 2 {
            let mut walk = self.walk();
            (0..index).for_each(|_| walk.skip());
            walk
        } else {
            let mut walk = self.walk_from_end();
            (index.min(len)..len).for_each(|_| walk.skip_back());
            walk
        }
    }

    pub(super) fn push_back(&mut self, element: Encoded<'_>) {
        debug_assert!(!self.is_shared());
        if self.start() > SMALL_GAP.max(self.byte_len()) {
            self.close_gap();
        }
        let tail = Tail::of(element.len());
        let header = self.block.header();
        self.block.splice(self.block.len(), 0, &[element.head(), element.data(), tail.bytes()]);
        self.block.set_header(Header { count: header.count + 1, ..header });
    }

    /// Pushes at the front. The gap made for it keeps the node within `limit_bytes` where it can.
    pub(super) fn push_front(&mut self, element: Encoded<'_>, limit_bytes: usize) {
        debug_assert!(!self.is_shared());
        let tail = Tail::of(element.len());
        let added = element.len() + tail.bytes().len();
        let header = self.block.header();
        let start = self.start();
        if start >= added {
            let pieces = [element.head(), element.data(), tail.bytes()];
            let mut at = start - added;
            let bytes = self.block.bytes_mut();
            for piece in pieces {
                bytes[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
            self.block.set_header(Header { count: header.count + 1, start: (start - added) as u32 });
            return;
        }
        let used = NODE_OVERHEAD + self.byte_len() + added;
        let gap = (self.byte_len() / 4).min(MAX_GAP).min(limit_bytes.saturating_sub(used));
        self.block.splice(0, start, &[&ZEROS[..gap], element.head(), element.data(), tail.bytes()]);
        self.block.set_header(Header { count: header.count + 1, start: gap as u32 });
    }

    pub(super) fn pop_front(&mut self) {
        debug_assert!(!self.is_shared());
        let mut walk = self.walk();
        walk.skip();
        let start = walk.offset;
        let header = self.block.header();
        if header.count <= 1 {
            self.block.clear();
            return;
        }
        self.block.set_header(Header { count: header.count - 1, start: start as u32 });
        if start > SMALL_GAP.max(self.byte_len()) {
            self.close_gap();
        }
    }

    pub(super) fn pop_back(&mut self) {
        debug_assert!(!self.is_shared());
        let mut walk = self.walk_from_end();
        walk.skip_back();
        let end = walk.offset;
        let header = self.block.header();
        if header.count <= 1 {
            self.block.clear();
            return;
        }
        self.block.splice(end, self.block.len() - end, &[]);
        self.block.set_header(Header { count: header.count - 1, ..header });
    }

    /// Inserts an element at the offset of a walk.
    pub(super) fn insert(&mut self, offset: usize, element: Encoded<'_>) {
        debug_assert!(!self.is_shared());
        let tail = Tail::of(element.len());
        let header = self.block.header();
        self.block.splice(offset, 0, &[element.head(), element.data(), tail.bytes()]);
        self.block.set_header(Header { count: header.count + 1, ..header });
    }

    /// Replaces the element that begins at the offset of a walk.
    pub(super) fn replace(&mut self, offset: usize, element: Encoded<'_>) {
        debug_assert!(!self.is_shared());
        let tail = Tail::of(element.len());
        let removed = size_with_tail(&self.block.bytes()[offset..]);
        self.block.splice(offset, removed, &[element.head(), element.data(), tail.bytes()]);
    }

    /// Removes `count` elements from the offset of a walk on.
    pub(super) fn remove(&mut self, offset: usize, count: usize) {
        debug_assert!(!self.is_shared());
        let mut walk = self.walk_at(offset);
        (0..count).for_each(|_| walk.skip());
        let end = walk.offset;
        let header = self.block.header();
        if header.count as usize == count {
            self.block.clear();
            return;
        }
        self.block.splice(offset, end - offset, &[]);
        self.block.set_header(Header { count: header.count - count as u32, ..header });
    }

    /// Splits off the elements from `index` on.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        debug_assert!(!self.is_shared());
        let offset = self.walk_from(index).offset;
        let mut other = Self::new();
        let header = self.block.header();
        let moved = self.len() - index;
        other.block.splice(0, 0, &[&self.block.bytes()[offset..]]);
        other.block.set_header(Header { count: moved as u32, start: 0 });
        self.remove(offset, moved);
        debug_assert_eq!(self.len() + other.len(), header.count as usize);
        other
    }

    /// Appends the elements of another node.
    pub(super) fn append(&mut self, other: &Self) {
        debug_assert!(!self.is_shared());
        let header = self.block.header();
        debug_assert!(!other.is_shared());
        let count = header.count + other.block.header().count;
        self.block.splice(self.block.len(), 0, &[&other.block.bytes()[other.start()..]]);
        self.block.set_header(Header { count, ..header });
    }

    /// Removes the gap.
    pub(super) fn close_gap(&mut self) {
        let header = self.block.header();
        self.block.splice(0, self.start(), &[]);
        self.block.set_header(Header { start: 0, ..header });
    }

    pub(super) fn push(&mut self, end: End, element: Encoded<'_>, limit_bytes: usize) {
        match end {
            End::Head => self.push_front(element, limit_bytes),
            End::Tail => self.push_back(element),
        }
    }

    pub(super) fn pop(&mut self, end: End) {
        match end {
            End::Head => self.pop_front(),
            End::Tail => self.pop_back(),
        }
    }

    /// Whether an element equals this one.
    pub(super) fn contains(&self, element: &Encoded<'_>) -> bool {
        let mut walk = self.walk();
        let Some(element) = walk.form_of(element) else { return false };
        while !walk.is_at_end() {
            if walk.next_is(&element) {
                return true;
            }
            walk.skip();
        }
        false
    }

    /// Removes the first `count` elements equal to `value`, counted from an end. Returns the number removed.
    pub(super) fn remove_value(&mut self, value: &Encoded<'_>, count: usize, from: End) -> usize {
        let mut removed = 0;
        match from {
            End::Head => {
                let mut offset = self.walk().offset();
                while removed < count && self.len() > 0 {
                    let mut walk = self.walk_at(offset);
                    while !walk.is_at_end() && !walk.next_is(value) {
                        walk.skip();
                    }
                    if walk.is_at_end() {
                        break;
                    }
                    offset = walk.offset();
                    self.remove(offset, 1);
                    removed += 1;
                }
            }
            End::Tail => {
                let mut offset = self.walk_from_end().offset();
                while removed < count && self.len() > 0 {
                    let mut walk = self.walk_at(offset);
                    let mut found = false;
                    while !found && !walk.is_at_start() {
                        walk.skip_back();
                        found = walk.next_is(value);
                    }
                    if !found {
                        break;
                    }
                    offset = walk.offset();
                    self.remove(offset, 1);
                    removed += 1;
                }
            }
        }
        removed
    }

    #[inline]
    fn start(&self) -> usize {
        self.block.header().start as usize
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let mut forward = Vec::new();
        let mut walk = self.walk();
        while let Some(raw) = walk.next() {
            forward.push(raw);
        }
        assert_eq!(walk.offset, self.block.len());
        let mut backward = Vec::new();
        let mut walk = self.walk_from_end();
        while let Some(raw) = walk.next_back() {
            backward.push(raw);
        }
        backward.reverse();
        assert_eq!(walk.offset, self.start());
        assert_eq!(forward, backward);
        let full = |raw: &Raw<'_>| match raw {
            Raw::Bytes(rest) => super::tail::packed_len(&Encoded::bytes(&[self.prefix(), rest].concat())),
            Raw::Int(value) => super::tail::packed_len(&Encoded::int(*value)),
            Raw::Slot(_) | Raw::Rest(_) => unreachable!("no list has these"),
        };
        assert_eq!(self.byte_len(), forward.iter().map(full).sum::<usize>());
        if self.is_shared() {
            assert!(!self.prefix().is_empty());
            assert!(self.block.len() < self.byte_len());
        }
        assert_eq!(forward.len(), self.len());
        assert_eq!(self.len() == 0, self.block.len() == 0);
    }
}

impl<'a> Walk<'a> {
    /// A walk over nothing.
    pub(super) fn empty() -> Self {
        Self { bytes: &[], prefix: &[], start: 0, offset: 0 }
    }

    /// The prefix that belongs before each text of the walk, and before no integer.
    #[inline]
    pub(super) fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// Takes up to `count` elements as a slice; the walk goes behind the node's last element.
    #[inline]
    pub(super) fn take_slice(&mut self, count: usize) -> ListSlice<'a> {
        let packed = self.bytes.get(self.offset..).unwrap_or(&[]);
        self.offset = self.bytes.len();
        ListSlice::new(self.prefix, packed, count)
    }

    /// The encoding of an element in this node; `None` when it cannot be in it.
    pub(super) fn form_of<'b>(&self, element: &Encoded<'b>) -> Option<Encoded<'b>> {
        if self.prefix.is_empty() || element.is_int() {
            return Some(*element);
        }
        element.data().strip_prefix(self.prefix).map(Encoded::bytes)
    }

    /// The walk's offset, for [`ListNode::insert`] and its kin.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Raw<'a>> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let (raw, size) = entry::read(rest);
        self.offset += size + tail_len(size);
        Some(raw)
    }

    #[inline]
    pub(super) fn next_back(&mut self) -> Option<Raw<'a>> {
        if self.offset <= self.start {
            return None;
        }
        self.skip_back();
        Some(entry::read(&self.bytes[self.offset..]).0)
    }

    /// Whether the next element equals this one, given in this node's encoding.
    #[inline]
    pub(super) fn next_is(&self, element: &Encoded<'_>) -> bool {
        element.is_at(self.bytes.get(self.offset..).unwrap_or(&[]))
    }

    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.offset >= self.bytes.len()
    }

    #[inline]
    pub(super) fn is_at_start(&self) -> bool {
        self.offset <= self.start
    }

    #[inline]
    pub(super) fn skip(&mut self) {
        if self.offset < self.bytes.len() {
            self.offset += size_with_tail(&self.bytes[self.offset..]);
        }
    }

    #[inline]
    pub(super) fn skip_back(&mut self) {
        if self.offset <= self.start {
            return;
        }
        let mut size = 0;
        let mut shift = 0;
        let mut at = self.offset;
        loop {
            at -= 1;
            let byte = self.bytes[at];
            size |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        self.offset = at - size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::packed::entry::Element;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn all(node: &ListNode) -> impl Iterator<Item = Vec<u8>> {
        let mut walk = node.walk();
        std::iter::from_fn(move || {
            let prefix = walk.prefix();
            walk.next().map(|raw| match raw {
                Raw::Bytes(rest) => [prefix, rest].concat(),
                raw => Element::from(raw).to_vec(),
            })
        })
    }

    proptest! {
        #[test]
        fn is_written_with_a_common_prefix(
            prefix in proptest::collection::vec(any::<u8>(), 1..200),
            rests in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 2..40),
            numbers in proptest::collection::vec((any::<proptest::sample::Index>(), any::<i32>()), 0..4),
        ) {
            let mut elements: Vec<Vec<u8>> = rests.iter().map(|rest| [&prefix[..], rest].concat()).collect();
            for (place, number) in numbers {
                elements.insert(1 + place.index(elements.len() - 1), number.to_string().into_bytes());
            }
            let mut node = ListNode::new();
            elements.iter().for_each(|element| node.push_back(Encoded::new(element)));
            let plain = node.clone();
            node.share();
            node.assert_invariants();
            // A long one is always worth it.
            if prefix.len() >= 60 {
                prop_assert!(node.is_shared());
                prop_assert!(node.memory_bytes() < plain.memory_bytes());
            }
            prop_assert!(all(&node).eq(elements.iter().cloned()));
            for element in &elements {
                prop_assert!(node.contains(&Encoded::new(element)));
                prop_assert_eq!(
                    node.contains(&Encoded::new(&element[1..])),
                    elements.iter().any(|other| *other == element[1..])
                );
            }
            node.expand();
            prop_assert_eq!(node.block.bytes(), plain.block.bytes());
        }

        #[test]
        fn behaves_like_a_deque(
            steps in proptest::collection::vec((0u8..9, any::<proptest::sample::Index>(), prop_oneof![
                5 => proptest::collection::vec(any::<u8>(), 0..20),
                5 => (0u8..200).prop_map(|number| format!("job:1732:{number}").into_bytes()),
                2 => any::<i32>().prop_map(|value| value.to_string().into_bytes()),
                1 => (100usize..20_000).prop_map(|len| vec![b'x'; len]),
            ]), 1..120),
        ) {
            let mut node = ListNode::new();
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            for (kind, place, element) in steps {
                // Whatever it holds may be written with a common prefix and in full again.
                let full_len = node.byte_len();
                node.share();
                node.assert_invariants();
                prop_assert_eq!(node.byte_len(), full_len);
                prop_assert!(all(&node).eq(model.iter().cloned()));
                let encoded = Encoded::new(&element);
                prop_assert_eq!(node.contains(&encoded), model.contains(&element));
                node.expand();
                let index = place.index(model.len() + 1);
                let offset = node.walk_from(index).offset();
                match kind {
                    0 | 1 => { node.push_back(encoded); model.push_back(element); }
                    2 | 3 => { node.push_front(encoded, 8192); model.push_front(element); }
                    4 => if !model.is_empty() { node.pop_front(); model.pop_front(); },
                    5 => if !model.is_empty() { node.pop_back(); model.pop_back(); },
                    6 => { node.insert(offset, encoded); model.insert(index, element); }
                    7 => if index < model.len() { node.replace(offset, encoded); model[index] = element; },
                    _ => {
                        let other = node.split_off(index);
                        other.assert_invariants();
                        node.assert_invariants();
                        prop_assert_eq!(node.len(), index);
                        if model.len() - index > 2 {
                            model.truncate(index);
                        } else {
                            node.append(&other);
                        }
                    }
                }
                node.assert_invariants();
                prop_assert_eq!(node.len(), model.len());
                prop_assert!(all(&node).eq(model.iter().cloned()));
            }
        }
    }

    #[test]
    fn a_queue_does_not_grow() {
        let mut node = ListNode::new();
        for number in 0..100_000u32 {
            node.push_back(Encoded::new(format!("job:{number}").as_bytes()));
            if number >= 10 {
                node.pop_front();
            }
            assert!(node.memory_bytes() < 1024);
        }
        assert_eq!(node.len(), 10);
        assert_eq!(size_of::<ListNode>(), 8);
    }
}
