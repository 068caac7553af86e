//! The shared prefix of a list's node: writing the texts of a node without it, and in full again.
//!
//! Elements of one list often begin alike (`job:1000001`, `job:1000002`), and then most bytes of an inner
//! node are the same again and again. Only texts lose the prefix; an element that is kept as an integer stays
//! as it is.
//!
//! Each inner node of a growing list is rewritten once, so few instructions an element may be spent: it is
//! read, compared and written in one go, short ones in pieces of a fixed size.

use super::tail::{Tail, tail_len};
use crate::types::packed::entry::{self, Encoded, Raw};
use crate::types::packed::prefix::common_len;

/// Bytes behind the shared prefix that hold the length of all elements when written in full.
pub(super) const FULL_LEN_BYTES: usize = 4;
/// Least part (1/4) of a node that sharing has to save, so that its block is at least one size smaller.
const LEAST_SAVING: usize = 4;
/// Longest text whose head and tail are one byte each.
const SHORT: usize = entry::SHORT_BYTES_MAX;
/// Bytes copied at once, and the room left behind the output for that.
const CHUNK: usize = 16;

/// Writes `count` packed elements as a shared node: the prefix, the full length, then each text without the
/// prefix. Returns the bytes and the length of prefix and full length together. `None` when it saves too
/// little, or when the first or the last element is no text. `last` is the last element.
pub(super) fn shared(packed: &[u8], count: usize, last: Raw<'_>) -> Option<(Vec<u8>, usize)> {
    let least = packed.len() / LEAST_SAVING;
    let (Raw::Bytes(first), Raw::Bytes(last)) = (entry::read(packed).0, last) else { return None };
    // Among numbered elements the first and the last differ soonest; among random ones any two do.
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

/// The elements without the prefix, behind the prefix and the full length.
///
/// # Errors
/// The prefix that all texts have in common, when it is shorter than `prefix`.
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

/// The elements of a shared node with their texts written in full, `full_len` bytes.
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

/// The longest start of `prefix` that all texts begin with.
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

/// `starts_with`, without a function call for short prefixes: their first and last eight bytes, which may
/// overlap, are compared.
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

/// Writes elements in hundreds of short pieces into a buffer that is allocated before.
struct Writer {
    out: Vec<u8>,
    at: usize,
}

impl Writer {
    fn new(len: usize) -> Self {
        Self { out: vec![0; len + CHUNK], at: 0 }
    }

    /// Writes a text of `len` bytes, whose bytes come from `write`.
    #[inline]
    fn short_text(&mut self, len: usize, write: impl FnOnce(&mut Self)) {
        self.out[self.at] = entry::short_head(len);
        self.at += 1;
        write(self);
        self.out[self.at] = 1 + len as u8;
        self.at += 1;
    }

    /// Copies a few bytes. Where both sides have room for a whole chunk it is copied in one piece, which
    /// needs no function call.
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
