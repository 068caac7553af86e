//! A block of a stream: consecutive entries, packed. The fields of the first entry, the *template*, are kept
//! once.
//!
//! The bytes are the number of the template's fields, each field's name and value, then the entries in the
//! order of their ids. An entry is a head, the difference of its id to the previous one (to the block's own
//! for the first), and its elements in the encoding of [`entry`](crate::types::packed::entry): values alone
//! where its field names are the template's, else the number of fields and each name with its value. A value
//! that equals the template's is one byte, [`SAME`]. Numbers are written seven bits a byte.
//!
//! | bits of the head | meaning                                                                  |
//! |------------------|--------------------------------------------------------------------------|
//! | 0                | deleted                                                                  |
//! | 1                | has field names of its own                                               |
//! | 2                | follows at once: same millisecond, next number; nothing more of the id   |
//! | 3                | the number within a later millisecond is 0 and not written               |
//! | 4 to 7           | milliseconds later, 15: written behind the head                          |
//!
//! A deleted entry keeps its place, since the next id is counted from its id; a block that is half deleted is
//! rewritten.

use smallvec::SmallVec;

use super::id::StreamId;
use crate::primitives::thin::Thin;
use crate::types::packed::entry::{self, Element, Encoded};

const DELETED: u8 = 1;
const OWN_NAMES: u8 = 1 << 1;
const FOLLOWS: u8 = 1 << 2;
const SEQ_ZERO: u8 = 1 << 3;
const MS_SHIFT: u32 = 4;
const MS_LONG: u8 = 15;

/// Byte for a value that equals the template's. No encoded element begins with it.
const SAME: u8 = 0xFF;
/// Longest value kept in the template, in bytes. The template outlives the entry it comes from, so a longer
/// value is replaced by an empty one there.
const TEMPLATE_VALUE_MAX: usize = 64;

/// Buffer in which an entry is composed before it is appended in one piece.
type Scratch = SmallVec<[u8; 512]>;

#[derive(Clone, Copy, Debug, Default)]
struct Header {
    /// Entries that are not deleted.
    live: u32,
    /// All entries.
    slots: u32,
    /// Id of the last entry, deleted or not.
    last: StreamId,
}

/// Packed entries of a stream that follow each other, in the format above.
#[derive(Clone)]
pub(super) struct Block {
    /// Lower bound of the ids in the block.
    pub first: StreamId,
    bytes: Thin<Header>,
}

impl Block {
    /// An empty block whose template is these fields and values, for entries from `first` on.
    pub fn new<T: AsRef<[u8]>>(first: StreamId, pairs: &[T]) -> Self {
        let mut template = Scratch::new();
        put_number(&mut template, (pairs.len() / 2) as u64);
        for pair in pairs.chunks_exact(2) {
            let value = pair[1].as_ref();
            put_element(&mut template, &Encoded::new(pair[0].as_ref()));
            let kept = if value.len() > TEMPLATE_VALUE_MAX { &[] } else { value };
            put_element(&mut template, &Encoded::new(kept));
        }
        let mut bytes = Thin::new();
        bytes.splice(0, 0, &[&template]);
        bytes.set_header(Header { live: 0, slots: 0, last: first });
        Self { first, bytes }
    }

    /// Entries that are not deleted.
    pub fn len(&self) -> usize {
        self.bytes.header().live as usize
    }

    /// All entries.
    pub fn slots(&self) -> usize {
        self.bytes.header().slots as usize
    }

    /// The id of the last entry, deleted or not.
    pub fn last(&self) -> StreamId {
        self.bytes.header().last
    }

    /// Bytes in use.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes it takes from the allocator.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.memory_bytes()
    }

    /// Adds an entry behind the last one.
    pub fn push<T: AsRef<[u8]>>(&mut self, id: StreamId, pairs: &[T]) {
        let Header { live, slots, last } = self.bytes.header();
        debug_assert!(id > last || (slots == 0 && id >= self.first));
        let mut packed = Scratch::new();
        put_head(&mut packed, last, id, 0);
        if !self.put_values(&mut packed, pairs) {
            packed.clear();
            put_head(&mut packed, last, id, OWN_NAMES);
            put_number(&mut packed, (pairs.len() / 2) as u64);
            pairs.iter().for_each(|part| put_element(&mut packed, &Encoded::new(part.as_ref())));
        }
        self.bytes.splice(self.bytes.len(), 0, &[&packed]);
        self.bytes.set_header(Header { live: live + 1, slots: slots + 1, last: id });
    }

    /// Writes the values of an entry whose field names are the template's. Returns false where they are not.
    fn put_values<T: AsRef<[u8]>>(&self, out: &mut Scratch, pairs: &[T]) -> bool {
        let mut template = self.bytes.bytes();
        if take_number(&mut template) != (pairs.len() / 2) as u64 {
            return false;
        }
        for pair in pairs.chunks_exact(2) {
            let (name, value) = (Encoded::new(pair[0].as_ref()), Encoded::new(pair[1].as_ref()));
            if !name.is_at(template) {
                return false;
            }
            template = &template[name.len()..];
            let is_same = value.len() > 1 && value.is_at(template);
            if is_same {
                out.push(SAME);
            } else {
                put_element(out, &value);
            }
            template = &template[if is_same { value.len() } else { entry::size(template) }..];
        }
        true
    }

    /// All entries in order, deleted ones included.
    pub fn slots_from_start(&self) -> Slots<'_> {
        let bytes = self.bytes.bytes();
        let mut rest = bytes;
        let field_count = take_number(&mut rest) as usize;
        let start = bytes.len() - rest.len();
        let mut offset = start;
        for _ in 0..field_count * 2 {
            offset += entry::size(&bytes[offset..]);
        }
        Slots { bytes, template: &bytes[start..offset], field_count, offset, previous: self.first }
    }

    /// The entries that are not deleted, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slots_from_start().filter(|slot| !slot.is_deleted).map(|slot| slot.entry)
    }

    /// Deletes an entry. Returns whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let found = self.slots_from_start().find(|slot| slot.entry.id >= id);
        match found {
            Some(Slot { entry, is_deleted: false, offset }) if entry.id == id => {
                self.mark(&[offset]);
                true
            }
            _ => false,
        }
    }

    /// Deletes entries from the first on as long as `is_unwanted` returns true. Returns the number deleted.
    pub fn delete_front(&mut self, mut is_unwanted: impl FnMut(StreamId) -> bool) -> usize {
        let offsets: SmallVec<[usize; 8]> = self
            .slots_from_start()
            .filter(|slot| !slot.is_deleted)
            .take_while(|slot| is_unwanted(slot.entry.id))
            .map(|slot| slot.offset)
            .collect();
        self.mark(&offsets);
        offsets.len()
    }

    fn mark(&mut self, offsets: &[usize]) {
        for &offset in offsets {
            self.bytes.bytes_mut()[offset] |= DELETED;
        }
        let mut header = self.bytes.header();
        header.live -= offsets.len() as u32;
        self.bytes.set_header(header);
        if header.live > 0 && header.live * 2 < header.slots {
            self.compact();
        }
    }

    /// Rewrites the block without the deleted entries.
    fn compact(&mut self) {
        let slots = self.slots_from_start();
        let mut packed = self.bytes.bytes()[..slots.offset].to_vec();
        let mut header = Header { live: 0, slots: 0, last: self.first };
        for slot in slots {
            if slot.is_deleted {
                continue;
            }
            let mut head = Scratch::new();
            put_head(&mut head, header.last, slot.entry.id, slot.own_names());
            packed.extend_from_slice(&head);
            if slot.own_names() != 0 {
                let mut count = Scratch::new();
                put_number(&mut count, slot.entry.count as u64);
                packed.extend_from_slice(&count);
            }
            packed.extend_from_slice(slot.entry.body);
            header = Header { live: header.live + 1, slots: header.slots + 1, last: slot.entry.id };
        }
        self.bytes.splice(0, self.bytes.len(), &[&packed]);
        self.bytes.set_header(header);
    }

    /// The template's field names.
    pub fn names(&self) -> impl Iterator<Item = Element<'_>> {
        let slots = self.slots_from_start();
        Names { template: slots.template, left: slots.field_count }
    }

    /// Panics if the representation is not well formed. For tests.
    #[cfg(test)]
    pub fn assert_invariants(&self) {
        let slots: Vec<Slot<'_>> = self.slots_from_start().collect();
        assert_eq!(slots.len(), self.slots());
        assert_eq!(slots.iter().filter(|slot| !slot.is_deleted).count(), self.len());
        assert!(self.len() > 0, "a block without entries is removed");
        assert!(slots.is_sorted_by(|a, b| a.entry.id < b.entry.id));
        assert!(slots[0].entry.id >= self.first);
        assert_eq!(slots.last().map(|slot| slot.entry.id), Some(self.last()));
        assert!(self.len() * 2 >= self.slots());
    }
}

fn put_number(out: &mut Scratch, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_number(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

#[inline]
fn put_element(out: &mut Scratch, encoded: &Encoded<'_>) {
    out.extend_from_slice(encoded.head());
    out.extend_from_slice(encoded.data());
}

fn put_head(out: &mut Scratch, previous: StreamId, id: StreamId, own_names: u8) {
    let later_ms = id.ms - previous.ms;
    if later_ms == 0 && id.seq.checked_sub(previous.seq) == Some(1) {
        out.push(own_names | FOLLOWS);
        return;
    }
    let short_ms = later_ms.min(u64::from(MS_LONG)) as u8;
    let seq_zero = if later_ms > 0 && id.seq == 0 { SEQ_ZERO } else { 0 };
    out.push(own_names | seq_zero | short_ms << MS_SHIFT);
    if short_ms == MS_LONG {
        put_number(out, later_ms);
    }
    if seq_zero == 0 {
        put_number(out, if later_ms == 0 { id.seq - previous.seq } else { id.seq });
    }
}

/// An entry in its block, deleted or not.
pub(super) struct Slot<'a> {
    pub entry: Entry<'a>,
    pub is_deleted: bool,
    offset: usize,
}

impl Slot<'_> {
    fn own_names(&self) -> u8 {
        if self.entry.template.is_none() { OWN_NAMES } else { 0 }
    }
}

/// The entries of a block in order.
#[derive(Clone)]
pub(super) struct Slots<'a> {
    bytes: &'a [u8],
    template: &'a [u8],
    field_count: usize,
    offset: usize,
    previous: StreamId,
}

impl<'a> Iterator for Slots<'a> {
    type Item = Slot<'a>;

    #[inline]
    fn next(&mut self) -> Option<Slot<'a>> {
        let bytes = self.bytes;
        let offset = self.offset;
        let mut rest = bytes.get(offset..)?;
        let (&head, behind) = rest.split_first()?;
        rest = behind;
        let id = if head & FOLLOWS != 0 {
            StreamId::new(self.previous.ms, self.previous.seq + 1)
        } else {
            let later_ms = match head >> MS_SHIFT {
                MS_LONG => take_number(&mut rest),
                short => u64::from(short),
            };
            let seq = if head & SEQ_ZERO != 0 { 0 } else { take_number(&mut rest) };
            let seq = if later_ms == 0 { self.previous.seq + seq } else { seq };
            StreamId::new(self.previous.ms + later_ms, seq)
        };
        let own = head & OWN_NAMES != 0;
        let count = if own { take_number(&mut rest) as usize } else { self.field_count };
        let start = bytes.len() - rest.len();
        let mut end = start;
        for _ in 0..(if own { count * 2 } else { count }) {
            end += if bytes[end] == SAME { 1 } else { entry::size(&bytes[end..]) };
        }
        self.offset = end;
        self.previous = id;
        let template = (!own).then_some(self.template);
        let entry = Entry { id, count, template, body: &bytes[start..end] };
        Some(Slot { entry, is_deleted: head & DELETED != 0, offset })
    }
}

/// An entry of a stream.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Its id.
    pub id: StreamId,
    count: usize,
    /// The template, for the names and for values that equal it; `None` where the body has both.
    template: Option<&'a [u8]>,
    body: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Number of fields.
    pub fn field_count(&self) -> usize {
        self.count
    }

    /// Whether its field names are the template's.
    pub(super) fn has_block_names(&self) -> bool {
        self.template.is_some()
    }

    /// Fields and values, in the order in which XADD gave them.
    pub fn fields(&self) -> Fields<'a> {
        Fields { template: self.template, body: self.body, left: self.count }
    }
}

/// Fields and values of an entry.
pub struct Fields<'a> {
    template: Option<&'a [u8]>,
    body: &'a [u8],
    left: usize,
}

fn take_element<'a>(rest: &mut &'a [u8]) -> Element<'a> {
    let (raw, size) = entry::read(rest);
    *rest = &rest[size..];
    Element::from(raw)
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let Some(template) = &mut self.template else {
            return Some((take_element(&mut self.body), take_element(&mut self.body)));
        };
        let name = take_element(template);
        if let Some((&SAME, rest)) = self.body.split_first() {
            self.body = rest;
            return Some((name, take_element(template)));
        }
        *template = &template[entry::size(template)..];
        Some((name, take_element(&mut self.body)))
    }
}

struct Names<'a> {
    template: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Names<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        self.left = self.left.checked_sub(1)?;
        let name = take_element(&mut self.template);
        self.template = &self.template[entry::size(self.template)..];
        Some(name)
    }
}
