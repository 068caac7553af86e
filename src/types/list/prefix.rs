//! What the elements of a node begin with, written once: the texts of a packed run without it, and with it again.
//!
//! Elements of one list are often of one kind (`job:1000001`, `job:1000002`), and then most of what an inner node holds is the same bytes
//! again and again. Only texts lose their prefix; an element that is kept as an integer stays as it is.
//!
//! A list that only grows has each of its nodes written this way once, so an element has few instructions for it: it is read, compared
//! and written in one go, in pieces of a fixed size where it is short.

use super::tail::{Tail, tail_len};
use crate::types::packed::entry::{self, Encoded, Raw};
use crate::types::packed::prefix::common_len;

/// Behind the shared prefix stands how many bytes the elements take when written in full.
pub(super) const FULL_LEN_BYTES: usize = 4;
/// The least part of a run that has to be saved, so that the node's block is at least a size smaller.
const LEAST_SAVING: usize = 4;
/// A text up to this has a head of one byte and a tail of one.
const SHORT: usize = entry::SHORT_BYTES_MAX;
/// How much is copied at once, and how much room is left for that.
const CHUNK: usize = 16;

/// A packed run of `count` elements as a shared node has it, and the length of what stands in front: what all texts begin with, and how
/// long the run is. `None` when too little is saved. `last` is the run's last element; when the first or the last one is no text, common
/// prefixes are not looked for.
pub(super) fn shared(packed: &[u8], count: usize, last: Raw<'_>) -> Option<(Vec<u8>, usize)> {
    let least = packed.len() / LEAST_SAVING;
    let (Raw::Bytes(first), Raw::Bytes(last)) = (entry::read(packed).0, last) else { return None };
    // Where elements were numbered the first and the last one differ soonest, and where they are random any two do.
    let mut prefix = &first[..common_len(first, last)];
    loop {
        if prefix.is_empty() || prefix.len() * count < least {
            return None;
        }
        match without(packed, prefix) {
            Ok(bytes) => {
                let start = prefix.len() + FULL_LEN_BYTES;
                return (bytes.len() + least <= packed.len()).then_some((bytes, start));
            }
            Err(shorter) => prefix = shorter,
        }
    }
}

/// The run without a prefix, behind that and the run's length.
///
/// # Errors
/// What the texts have in common, when it is less.
fn without<'a>(packed: &[u8], prefix: &'a [u8]) -> Result<Vec<u8>, &'a [u8]> {
    let len = prefix.len();
    let mut out = Writer::new(len + FULL_LEN_BYTES + packed.len());
    out.copy(prefix, 0, len);
    out.copy(&(packed.len() as u32).to_le_bytes(), 0, FULL_LEN_BYTES);
    let mut offset = 0;
    while offset < packed.len() {
        let (raw, size) = entry::read(&packed[offset..]);
        let next = offset + size + tail_len(size);
        match raw {
            Raw::Bytes(text) if !starts_with(text, prefix) => {
                return Err(common(&packed[offset..], prefix));
            }
            Raw::Bytes(text) if text.len() <= SHORT => {
                let rest = text.len() - len;
                out.short_text(rest, |out| out.copy(packed, offset + 1 + len, rest));
            }
            Raw::Bytes(text) => out.element(&Encoded::bytes(&text[len..])),
            Raw::Int(_) | Raw::Slot(_) | Raw::Rest(_) => out.copy(packed, offset, next - offset),
        }
        offset = next;
    }
    Ok(out.finish())
}

/// The run of a shared node, which is `full_len` bytes, with its texts written in full.
pub(super) fn full(shared: &[u8], start: usize, full_len: usize) -> Vec<u8> {
    let len = start - FULL_LEN_BYTES;
    let mut out = Writer::new(full_len);
    let mut long = shared[..len].to_vec();
    let mut offset = start;
    while offset < shared.len() {
        let (raw, size) = entry::read(&shared[offset..]);
        let next = offset + size + tail_len(size);
        match raw {
            Raw::Bytes(rest) if len + rest.len() <= SHORT => out.short_text(len + rest.len(), |out| {
                out.copy(shared, 0, len);
                out.copy(shared, offset + 1, rest.len());
            }),
            Raw::Bytes(rest) => {
                long.truncate(len);
                long.extend_from_slice(rest);
                out.element(&Encoded::bytes(&long));
            }
            Raw::Int(_) | Raw::Slot(_) | Raw::Rest(_) => out.copy(shared, offset, next - offset),
        }
        offset = next;
    }
    out.finish()
}

/// What all texts of a run begin with, and `prefix` as well.
fn common<'a>(packed: &[u8], prefix: &'a [u8]) -> &'a [u8] {
    let mut common = prefix;
    let mut rest = packed;
    while !rest.is_empty() && !common.is_empty() {
        let (raw, size) = entry::read(rest);
        if let Raw::Bytes(text) = raw
            && !starts_with(text, common)
        {
            common = &common[..common_len(common, text)];
        }
        rest = &rest[size + tail_len(size)..];
    }
    common
}

/// `starts_with`, without a call where the prefix is short: its first and its last eight bytes are compared, which may overlap.
#[inline]
fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    let len = prefix.len();
    if let (8..=16, Some(text)) = (len, text.get(..len)) {
        text.first_chunk::<8>() == prefix.first_chunk::<8>()
            && text.last_chunk::<8>() == prefix.last_chunk::<8>()
    } else {
        text.starts_with(prefix)
    }
}

/// Writes a run of elements into room that was made before: hundreds of short pieces.
struct Writer {
    out: Vec<u8>,
    at: usize,
}

impl Writer {
    fn new(len: usize) -> Self {
        Self { out: vec![0; len + CHUNK], at: 0 }
    }

    /// A text of `len` bytes, which `write` writes.
    #[inline]
    fn short_text(&mut self, len: usize, write: impl FnOnce(&mut Self)) {
        self.out[self.at] = entry::short_head(len);
        self.at += 1;
        write(self);
        self.out[self.at] = 1 + len as u8;
        self.at += 1;
    }

    /// Copies a few bytes; where both sides have them a whole chunk, which needs no call.
    #[inline]
    fn copy(&mut self, from: &[u8], start: usize, len: usize) {
        let room = &mut self.out[self.at..];
        if len <= CHUNK
            && let (Some(room), Some(chunk)) = (room.first_chunk_mut(), from[start..].first_chunk::<CHUNK>())
        {
            *room = *chunk;
        } else {
            room[..len].copy_from_slice(&from[start..start + len]);
        }
        self.at += len;
    }

    fn element(&mut self, element: &Encoded<'_>) {
        for piece in [element.head(), element.data(), Tail::of(element.len()).bytes()] {
            self.copy(piece, 0, piece.len());
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.truncate(self.at);
        self.out
    }
}
