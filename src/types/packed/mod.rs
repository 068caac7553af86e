//! A packed list of byte strings behind one thin pointer: what small hashes, sets and sorted sets are kept
//! in.
//!
//! Elements stand one after the other in the encoding of [`entry`], so a search walks over one or a few cache
//! lines. The caller sets limits on their number and length; [`Packed::has_room`] bounds the whole.
//!
//! Members of a set and fields of a hash often begin alike (`user:17`, `user:23`). Such a prefix is then
//! written once, before the first element, and short elements are written without it. A prefix is looked for
//! when there are 4, 8, 16... elements. Encoding stays canonical: for a given prefix each element has exactly
//! one encoding, so `find` compares encoded bytes as it does without a prefix.

pub mod entry;
pub mod freeze;
pub(in crate::types) mod prefix;
mod segments;
pub(in crate::types) mod slots;
pub mod table;

use crate::primitives::thin::Thin;
use entry::{Element, Encoded, Joined, PREFIX, Piece, Raw};
use prefix::common_prefix;

/// Most bytes of a packed list, whatever the configured limits say (Redis has the same bound).
const MAX_BYTES: usize = 1 << 30;

/// From this number on the header says "many", and elements are counted by a walk. A list configured to be
/// that long pays a walk for every search anyway.
const MANY: u16 = u16::MAX;

/// Number of elements from which a common prefix is looked for.
const LEAST_SHARING: u16 = 4;
/// A new prefix has to save this part of the bytes (1/8), and this many.
const LEAST_SAVED_PART: usize = 8;
const LEAST_SAVED_BYTES: usize = 4;

/// The list. One word in size; an empty one owns no memory.
#[derive(Clone, Default)]
pub struct Packed {
    /// The header is the number of elements, or [`MANY`] where they have to be counted.
    block: Thin<u16>,
}

/// Position of an element, valid until the list changes before it. The position behind the last element is
/// for inserting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of elements before it.
    pub index: usize,
    offset: usize,
}

impl Packed {
    /// An empty list.
    pub const fn new() -> Self {
        Self { block: Thin::new() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self.block.header() {
            MANY => self.count(),
            count => usize::from(count),
        }
    }

    #[cold]
    fn count(&self) -> usize {
        let (mut rest, mut count) = (&self.block.bytes()[self.start().offset..], 0);
        while !rest.is_empty() {
            rest = &rest[entry::size(rest)..];
            count += 1;
        }
        count
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.block.len() == 0
    }

    /// Length of all encoded elements, in bytes.
    pub fn byte_len(&self) -> usize {
        self.block.len()
    }

    /// Bytes that the list takes from the allocator.
    pub fn memory_bytes(&self) -> usize {
        self.block.memory_bytes()
    }

    /// Whether elements of `added_bytes` bytes together may be added.
    pub fn has_room(&self, added_bytes: usize) -> bool {
        self.byte_len().saturating_add(added_bytes) <= MAX_BYTES
    }

    /// The elements in order.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(self.start())
    }

    /// The elements from a position on, in order.
    pub fn iter_from(&self, position: Position) -> Iter<'_> {
        Iter {
            rest: self.block.bytes().get(position.offset..).unwrap_or(&[]),
            left: self.len().saturating_sub(position.index),
            prefix: Joined::new(self.prefix()),
        }
    }

    /// Every `stride`-th element from a position on, up to `count` of them, for writing into a reply.
    pub fn pieces(&self, from: Position, stride: usize, count: usize) -> Pieces<'_> {
        let rest = self.block.bytes().get(from.offset..).unwrap_or(&[]);
        Pieces { prefix: self.prefix(), rest, stride, left: count }
    }

    /// The element at an index; `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        self.at(self.position(index)?)
    }

    /// The element at a position; `None` behind the last.
    pub fn at(&self, position: Position) -> Option<Element<'_>> {
        self.raw_at(position).map(|raw| self.resolve(raw))
    }

    pub(in crate::types) fn raw_at(&self, position: Position) -> Option<Raw<'_>> {
        let rest = self.block.bytes().get(position.offset..)?;
        (!rest.is_empty()).then(|| entry::read(rest).0)
    }

    /// Position of the first element.
    pub fn start(&self) -> Position {
        let offset = match self.block.bytes() {
            [PREFIX, len, ..] => 2 + usize::from(*len),
            _ => 0,
        };
        Position { index: 0, offset }
    }

    /// Position behind the last element.
    pub fn end(&self) -> Position {
        Position { index: self.len(), offset: self.block.len() }
    }

    /// Position of the element at `index`: [`Self::end`] for the number of elements, `None` beyond it.
    pub fn position(&self, index: usize) -> Option<Position> {
        if index >= self.len() {
            return (index == self.len()).then(|| self.end());
        }
        Some(self.skip(self.start(), index))
    }

    /// Position `count` elements further on, or the end.
    pub fn skip(&self, from: Position, count: usize) -> Position {
        let bytes = self.block.bytes();
        let Position { mut index, mut offset } = from;
        for _ in 0..count {
            if offset >= bytes.len() {
                break;
            }
            offset += entry::size(&bytes[offset..]);
            index += 1;
        }
        Position { index, offset }
    }

    /// Finds the first element equal to `needle` among every `stride`-th: 1 searches all, 2 the first of each
    /// pair.
    pub fn find(&self, needle: &[u8], stride: usize) -> Option<Position> {
        let needle = self.encoded(needle);
        let bytes = self.block.bytes();
        let Position { mut index, mut offset } = self.start();
        while offset < bytes.len() {
            if needle.is_at(&bytes[offset..]) {
                return Some(Position { index, offset });
            }
            for _ in 0..stride {
                offset += entry::size(&bytes[offset..]);
            }
            index += stride;
        }
        None
    }

    /// Adds an element behind the last.
    pub fn push(&mut self, element: &[u8]) {
        self.insert(self.end(), element);
    }

    /// Adds a pair behind the last element.
    pub fn push_pair(&mut self, first: &[u8], second: &[u8]) {
        let end = self.end();
        self.insert_pair(end, self.encoded(first), self.encoded(second));
        self.share(end, first, Content::Pairs);
    }

    /// Inserts an element at a place.
    pub fn insert(&mut self, position: Position, element: &[u8]) {
        let encoded = self.encoded(element);
        self.insert_bytes(position, 1, &[encoded.head(), encoded.data()]);
        self.share(position, element, Content::Elements);
    }

    /// Inserts a pair into a list of such pairs. The second is written as given, and read with
    /// [`Self::raw_at`].
    pub(in crate::types) fn insert_with_raw(
        &mut self,
        position: Position,
        first: &[u8],
        second: Encoded<'_>,
    ) {
        self.insert_pair(position, self.encoded(first), second);
        self.share(position, first, Content::RawPairs);
    }

    fn insert_pair(&mut self, position: Position, first: Encoded<'_>, second: Encoded<'_>) {
        self.insert_bytes(position, 2, &[first.head(), first.data(), second.head(), second.data()]);
    }

    fn insert_bytes(&mut self, position: Position, count: u16, bytes: &[&[u8]]) {
        let before = self.block.header();
        self.block.splice(position.offset, 0, bytes);
        self.block.set_header(before.saturating_add(count));
    }

    /// Replaces the element at a position. At the end there is nothing to replace.
    pub fn replace(&mut self, position: Position, element: &[u8]) {
        let Some(rest) = self.block.bytes().get(position.offset..).filter(|rest| !rest.is_empty()) else {
            return;
        };
        let encoded = self.encoded(element);
        let removed = entry::size(rest);
        self.block.splice(position.offset, removed, &[encoded.head(), encoded.data()]);
    }

    /// Removes up to `count` elements from a place on.
    pub fn remove(&mut self, position: Position, count: usize) {
        let end = self.skip(position, count);
        let left = self.len() - (end.index - position.index);
        if left == 0 {
            return self.clear();
        }
        self.block.splice(position.offset, end.offset - position.offset, &[]);
        self.block.set_header(u16::try_from(left).unwrap_or(MANY));
    }

    /// Removes everything and frees the memory.
    pub fn clear(&mut self) {
        self.block.clear();
    }

    /// The shared prefix; empty where there is none.
    fn prefix(&self) -> &[u8] {
        match self.block.bytes() {
            [PREFIX, len, rest @ ..] => &rest[..usize::from(*len)],
            _ => &[],
        }
    }

    fn resolve<'a>(&'a self, raw: Raw<'a>) -> Element<'a> {
        match raw {
            Raw::Rest(rest) => Element::Joined(Joined::new(self.prefix()).with(rest)),
            raw => raw.into(),
        }
    }

    fn encoded<'a>(&self, element: &'a [u8]) -> Encoded<'a> {
        Encoded::after(self.prefix(), element)
    }

    /// Called after each insertion: now and then looks for a prefix that saves enough.
    #[inline]
    fn share(&mut self, place: Position, element: &[u8], content: Content) {
        let count = self.block.header();
        if count >= LEAST_SHARING && count.is_power_of_two() {
            self.find_prefix(place, element, content);
        }
    }

    /// Tries the common prefix of the new element and another one. An existing prefix is never lengthened: it
    /// was chosen to fit elements that a longer one would exclude.
    #[cold]
    fn find_prefix(&mut self, place: Position, element: &[u8], content: Content) {
        let stride = if content == Content::Elements { 1 } else { 2 };
        let start = self.start();
        let other = if place == start { self.skip(start, stride) } else { start };
        let prefix = self.at(other).map_or(&[][..], |other| common_prefix(element, &other));
        let old = self.prefix();
        if prefix.is_empty() || !old.is_empty() && prefix.starts_with(old) {
            return;
        }
        let least_saved = (self.block.len() / LEAST_SAVED_PART).max(LEAST_SAVED_BYTES);
        if old.is_empty() && prefix.len() * (self.len() / stride) < 2 + prefix.len() + least_saved {
            return; // Even if all begin so.
        }
        let bytes = self.with_prefix(prefix, content);
        if bytes.len() + least_saved <= self.block.len() {
            self.block.splice(0, self.block.len(), &[&bytes]);
        }
    }

    /// The list's bytes, written with another prefix.
    fn with_prefix(&self, prefix: &[u8], content: Content) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + prefix.len() + self.block.len());
        bytes.extend([PREFIX, prefix.len() as u8]);
        bytes.extend(prefix);
        let mut rest = &self.block.bytes()[self.start().offset..];
        let mut is_second = false;
        while !rest.is_empty() {
            let (raw, size) = entry::read(rest);
            let whole;
            let other_form = match raw {
                Raw::Bytes(_) if is_second && content == Content::RawPairs => None,
                Raw::Bytes(text) => Encoded::rest(prefix, text),
                Raw::Rest(_) => {
                    whole = self.resolve(raw);
                    Some(Encoded::after(prefix, &whole))
                }
                Raw::Int(_) | Raw::Slot(_) => None,
            };
            match other_form {
                Some(encoded) => {
                    bytes.extend(encoded.head());
                    bytes.extend(encoded.data());
                }
                None => bytes.extend(&rest[..size]),
            }
            rest = &rest[size..];
            is_second = !is_second;
        }
        bytes
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub(in crate::types) fn assert_invariants(&self) {
        let bytes = self.block.bytes();
        let mut offset = self.start().offset;
        let mut count = 0;
        assert!(self.prefix().len() <= entry::PREFIX_MAX);
        assert!(bytes.is_empty() || offset < bytes.len(), "a prefix of no element");
        while offset < bytes.len() {
            let (raw, size) = entry::read(&bytes[offset..]);
            assert!(!matches!(raw, Raw::Slot(_)), "only tables have slots");
            assert!(!matches!(raw, Raw::Rest(_)) || !self.prefix().is_empty());
            assert_eq!(size, entry::size(&bytes[offset..]));
            offset += size;
            count += 1;
        }
        assert_eq!(offset, bytes.len());
        assert_eq!(count, self.len());
    }
}

/// What a list consists of, which decides which elements may share a prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Elements,
    /// Pairs that are searched by their first elements.
    Pairs,
    /// Pairs whose second elements are encoded by the caller.
    RawPairs,
}

/// The elements of a list in order.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
    left: usize,
    prefix: Joined,
}

impl<'a> Iter<'a> {
    pub(in crate::types) fn next_raw(&mut self) -> Option<Raw<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (raw, size) = entry::read(self.rest);
        self.rest = &self.rest[size..];
        self.left -= 1;
        Some(raw)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        if let Some((rest, size)) = entry::read_rest(self.rest) {
            self.rest = &self.rest[size..];
            self.left -= 1;
            return Some(Element::Joined(self.prefix.with(rest)));
        }
        self.next_raw().map(Element::from)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Elements as they are kept: each a prefix, which may be empty, and the bytes behind it. The reply gets both
/// pieces: putting an element together first would read long what was just written short, which stalls the
/// processor.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    prefix: &'a [u8],
    rest: &'a [u8],
    stride: usize,
    left: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (&'a [u8], Piece<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let (item, size) = match entry::read_rest(self.rest) {
            Some((rest, size)) => ((self.prefix, Piece::Bytes(rest)), size),
            None => match entry::read(self.rest) {
                (Raw::Int(value), size) => ((&[][..], Piece::Int(value)), size),
                (Raw::Bytes(bytes) | Raw::Rest(bytes), size) => ((&[][..], Piece::Bytes(bytes)), size),
                (Raw::Slot(_), size) => ((&[][..], Piece::Bytes(&[])), size),
            },
        };
        self.rest = &self.rest[size..];
        for _ in 1..self.stride {
            if self.rest.is_empty() {
                break;
            }
            self.rest = &self.rest[entry::size(self.rest)..];
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Step = (u8, proptest::sample::Index, Vec<u8>, usize);

    fn steps(element: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<Step>> {
        proptest::collection::vec((0u8..6, any::<proptest::sample::Index>(), element, 0usize..4), 1..60)
    }

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => proptest::collection::vec(proptest::sample::select(b"ab0".to_vec()), 0..4),
            2 => any::<i32>().prop_map(|value| value.to_string().into_bytes()),
            1 => (0usize..9000).prop_map(|len| vec![b'x'; len]),
        ]
    }

    /// Elements that often have something in common.
    fn element_of_a_kind() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => "(user:|user:|user:ann:|-a)[0-9]{0,2}",
            1 => "user:x?[0-9]{8,14}",
            1 => "-?[0-9]{0,3}|us|-",
        ]
        .prop_map(String::into_bytes)
    }

    proptest! {
        #[test]
        fn behaves_like_a_vec(steps in prop_oneof![steps(element()), steps(element_of_a_kind())]) {
            let mut packed = Packed::new();
            let mut model: Vec<Vec<u8>> = Vec::new();
            for (kind, place, element, count) in steps {
                let index = place.index(model.len() + 1);
                let position = packed.position(index).expect("within");
                prop_assert_eq!(position.index, index);
                match kind {
                    0 => { packed.push(&element); model.push(element); }
                    1 => { packed.insert(position, &element); model.insert(index, element); }
                    2 => {
                        packed.replace(position, &element);
                        if index < model.len() { model[index] = element; }
                    }
                    3 => {
                        packed.remove(position, count);
                        let end = (index + count).min(model.len());
                        model.drain(index..end);
                    }
                    4 => {
                        let found = packed.find(&element, 1).map(|position| position.index);
                        prop_assert_eq!(found, model.iter().position(|other| *other == element));
                    }
                    _ => { packed.push_pair(&element, b"7"); model.push(element); model.push(b"7".to_vec()); }
                }
                packed.assert_invariants();
                prop_assert_eq!(packed.len(), model.len());
                prop_assert_eq!(packed.iter().len(), model.len());
                prop_assert!(packed.iter().map(|element| element.to_vec()).eq(model.iter().cloned()));
                let rest: Vec<Vec<u8>> = packed
                    .iter_from(packed.position(model.len() / 2).expect("within"))
                    .map(|element| element.to_vec())
                    .collect();
                prop_assert_eq!(&rest[..], &model[model.len() / 2..]);
                prop_assert_eq!(packed.get(model.len()), None);
                let pieces = packed.pieces(packed.skip(packed.start(), 1), 2, count + 2);
                let half: Vec<Vec<u8>> = pieces.map(|(prefix, piece)| match piece {
                    Piece::Bytes(rest) => [prefix, rest].concat(),
                    Piece::Int(value) => value.to_string().into_bytes(),
                }).collect();
                prop_assert!(half.iter().eq(model.iter().skip(1).step_by(2).take(count + 2)));
            }
        }
    }

    #[test]
    fn pairs_are_found_by_their_first() {
        let mut packed = Packed::new();
        packed.push_pair(b"a", b"b");
        packed.push_pair(b"b", b"c");
        assert_eq!(packed.find(b"b", 2).map(|position| position.index), Some(2));
        assert_eq!(packed.find(b"c", 2), None);
        assert_eq!(size_of::<Packed>(), 8);
        packed.clear();
        assert_eq!((packed.len(), packed.memory_bytes()), (0, 0));
    }

    #[test]
    fn what_members_begin_with_is_written_once() {
        let mut packed = Packed::new();
        for number in 0..10 {
            packed.push(format!("member:{number}").as_bytes());
            packed.assert_invariants();
        }
        assert_eq!((packed.prefix(), packed.byte_len()), (&b"member:"[..], 2 + 7 + 10 * 2));
        assert_eq!(packed.get(3).as_deref(), Some(&b"member:3"[..]));
        packed.push(b"member:");
        packed.push(b"member");
        packed.push(b"member:123456789012");
        packed.push(b"member:1234567890123");
        assert_eq!(packed.byte_len(), 29 + 1 + 7 + 13 + 21);
        for (index, element) in packed.iter().enumerate() {
            assert_eq!(packed.find(&element, 1).map(|position| position.index), Some(index));
        }
        let copy = packed.clone();
        packed.remove(packed.start(), 14);
        assert_eq!((packed.len(), packed.memory_bytes()), (0, 0));
        assert_eq!((copy.prefix(), copy.len()), (&b"member:"[..], 14));
    }

    #[test]
    fn a_prefix_gives_way_to_one_that_saves_more() {
        let mut packed = Packed::new();
        for name in ["user:ann:1", "user:ann:2", "user:ann:3", "user:ann:4"] {
            packed.push_pair(name.as_bytes(), b"1");
        }
        assert_eq!(packed.prefix(), b"user:ann:");
        for number in 0..12 {
            packed.push_pair(format!("user:bob:{number}").as_bytes(), b"user:");
            packed.assert_invariants();
        }
        assert_eq!(packed.prefix(), b"user:");
        assert_eq!(packed.iter().nth(2).as_deref(), Some(&b"user:ann:2"[..]));
        assert_eq!(packed.iter().last().as_deref(), Some(&b"user:"[..]));
    }

    #[test]
    fn raw_seconds_stay_as_they_are() {
        let mut packed = Packed::new();
        let score = Encoded::bytes(b"member:x");
        for member in [&b"member:a"[..], b"member:b", b"member:c", b"member:d"] {
            packed.insert_with_raw(packed.start(), member, score);
        }
        assert_eq!(packed.prefix(), b"member:");
        for index in 0..4 {
            let second = packed.position(2 * index + 1).and_then(|position| packed.raw_at(position));
            assert_eq!(second, Some(Raw::Bytes(b"member:x")));
        }
    }

    #[test]
    fn more_elements_than_the_header_says_are_counted() {
        let (mut packed, many) = (Packed::new(), usize::from(MANY));
        for number in 0..many + 2 {
            packed.push(&[b'a' + (number % 26) as u8]);
            if number + 3 > many {
                assert_eq!(packed.len(), number + 1);
            }
        }
        packed.assert_invariants();
        assert_eq!(packed.iter().len(), many + 2);
        packed.remove(packed.start(), 2);
        assert_eq!(packed.len(), many);
        packed.remove(packed.start(), 3);
        assert_eq!(packed.len(), many - 3);
        packed.push(b"x");
        assert_eq!(packed.len(), many - 2);
        packed.assert_invariants();
    }
}
