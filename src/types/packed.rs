//! A packed list of byte strings behind one thin pointer: what small hashes, sets and sorted sets are kept in.
//!
//! Elements follow each other as [`super::entry`] writes them, so finding one is a walk over one or a few cache lines. The limits on how many
//! and how long are the caller's; [`Packed::has_room`] bounds the whole.

use super::entry::{self, Element, Encoded, Raw};
use super::thin::Thin;

/// Beyond this many bytes nothing is added to a packed list, whatever the configured limits say: Redis has the same bound.
const MAX_BYTES: usize = 1 << 30;

/// So many elements or more are counted by walking over them. Whoever configures lists that long pays a walk for every search anyway.
const MANY: u16 = u16::MAX;

/// The list. One word; an empty one owns no memory.
#[derive(Clone, Default)]
pub struct Packed {
    /// The header is how many elements there are; [`MANY`] where they have to be counted.
    block: Thin<u16>,
}

/// The place of an element, valid until the list changes before it. A place behind the last element is one to insert at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// How many elements are before it.
    pub index: usize,
    offset: usize,
}

impl Packed {
    /// An empty list.
    pub const fn new() -> Self {
        Self { block: Thin::new() }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self.block.header() {
            MANY => self.count(),
            count => usize::from(count),
        }
    }

    #[cold]
    fn count(&self) -> usize {
        let (mut rest, mut count) = (self.block.bytes(), 0);
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

    /// How many bytes the elements take, their heads included.
    pub fn byte_len(&self) -> usize {
        self.block.len()
    }

    /// What the list takes from the allocator, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.block.memory_bytes()
    }

    /// Whether elements of that many bytes together may still be added.
    pub fn has_room(&self, added_bytes: usize) -> bool {
        self.byte_len().saturating_add(added_bytes) <= MAX_BYTES
    }

    /// The elements in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: self.block.bytes(), left: self.len() }
    }

    /// The elements in order from a place on.
    pub fn iter_from(&self, position: Position) -> Iter<'_> {
        Iter {
            rest: self.block.bytes().get(position.offset..).unwrap_or(&[]),
            left: self.len().saturating_sub(position.index),
        }
    }

    /// The element with that many before it.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        self.at(self.position(index)?)
    }

    /// The element at a place, or nothing behind the last.
    pub fn at(&self, position: Position) -> Option<Element<'_>> {
        self.raw_at(position).map(Element::from)
    }

    pub(super) fn raw_at(&self, position: Position) -> Option<Raw<'_>> {
        let rest = self.block.bytes().get(position.offset..)?;
        (!rest.is_empty()).then(|| entry::read(rest).0)
    }

    /// The place of the first element.
    pub fn start(&self) -> Position {
        Position { index: 0, offset: 0 }
    }

    /// The place behind the last element.
    pub fn end(&self) -> Position {
        Position { index: self.len(), offset: self.block.len() }
    }

    /// The place of the element with that many before it; the count of elements gives [`Self::end`], more gives nothing.
    pub fn position(&self, index: usize) -> Option<Position> {
        if index >= self.len() {
            return (index == self.len()).then(|| self.end());
        }
        Some(self.skip(self.start(), index))
    }

    /// The place `count` elements further on, at most the end.
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

    /// The first element equal to `needle` among every `stride`-th: 1 looks at all, 2 at the first of each pair.
    pub fn find(&self, needle: &[u8], stride: usize) -> Option<Position> {
        let needle = Encoded::new(needle);
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
        self.insert_encoded(self.end(), Encoded::new(element));
    }

    /// Adds a pair behind the last element.
    pub fn push_pair(&mut self, first: &[u8], second: &[u8]) {
        self.insert_encoded_pair(self.end(), Encoded::new(first), Encoded::new(second));
    }

    /// Inserts an element at a place.
    pub fn insert(&mut self, position: Position, element: &[u8]) {
        self.insert_encoded(position, Encoded::new(element));
    }

    pub(super) fn insert_encoded(&mut self, position: Position, element: Encoded<'_>) {
        let count = self.block.header();
        self.block.splice(position.offset, 0, &[element.head(), element.data()]);
        self.block.set_header(count.saturating_add(1));
    }

    pub(super) fn insert_encoded_pair(
        &mut self,
        position: Position,
        first: Encoded<'_>,
        second: Encoded<'_>,
    ) {
        let count = self.block.header();
        self.block.splice(position.offset, 0, &[first.head(), first.data(), second.head(), second.data()]);
        self.block.set_header(count.saturating_add(2));
    }

    /// Puts another element in the place of one. Behind the last there is nothing to replace.
    pub fn replace(&mut self, position: Position, element: &[u8]) {
        let Some(rest) = self.block.bytes().get(position.offset..).filter(|rest| !rest.is_empty()) else {
            return;
        };
        let encoded = Encoded::new(element);
        let removed = entry::size(rest);
        self.block.splice(position.offset, removed, &[encoded.head(), encoded.data()]);
    }

    /// Removes up to `count` elements from a place on.
    pub fn remove(&mut self, position: Position, count: usize) {
        let end = self.skip(position, count);
        let left = self.len() - (end.index - position.index);
        self.block.splice(position.offset, end.offset - position.offset, &[]);
        self.block.set_header(u16::try_from(left).unwrap_or(MANY));
    }

    /// Removes everything and frees the memory.
    pub fn clear(&mut self) {
        self.block.clear();
    }

    /// Checks the representation; for tests.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let bytes = self.block.bytes();
        let mut offset = 0;
        let mut count = 0;
        while offset < bytes.len() {
            let (raw, size) = entry::read(&bytes[offset..]);
            assert!(!matches!(raw, Raw::Slot(_)), "only tables have slots");
            assert_eq!(size, entry::size(&bytes[offset..]));
            offset += size;
            count += 1;
        }
        assert_eq!(offset, bytes.len());
        assert_eq!(count, self.len());
    }
}

/// The elements of a list in order.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iter<'a> {
    pub(super) fn next_raw(&mut self) -> Option<Raw<'a>> {
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
        self.next_raw().map(Element::from)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => proptest::collection::vec(proptest::sample::select(b"ab0".to_vec()), 0..4),
            2 => any::<i32>().prop_map(|value| value.to_string().into_bytes()),
            1 => (0usize..9000).prop_map(|len| vec![b'x'; len]),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_vec(steps in proptest::collection::vec((0u8..6, any::<proptest::sample::Index>(), element(), 0usize..4), 1..60)) {
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
                let rest: Vec<Vec<u8>> = packed.iter_from(packed.position(model.len() / 2).expect("within")).map(|element| element.to_vec()).collect();
                prop_assert_eq!(&rest[..], &model[model.len() / 2..]);
                prop_assert_eq!(packed.get(model.len()), None);
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
