//! What the elements of a node begin with, written once: the texts of a packed run without it, and with it again.
//!
//! Elements of one list are often of one kind (`job:1000001`, `job:1000002`), and then most of what an inner node holds is the same bytes
//! again and again. Only texts lose their beginning; an element that is kept as an integer stays as it is.

use super::entry::{self, Encoded, Raw};
use super::list_node::{FULL_LEN_BYTES, Tail, tail_len};

/// The least part of a run that has to be saved, so that the node's block is at least a size smaller.
const LEAST_SAVING: usize = 4;

/// What all texts of a packed run begin with, where leaving it out saves enough. `last` is the run's last element. When the first or the
/// last one is no text it is not looked for.
pub(super) fn worth_sharing<'a>(packed: &'a [u8], count: usize, last: Raw<'a>) -> Option<&'a [u8]> {
    // What stands in front of a shared node has to be saved as well.
    let enough = |len: usize, texts: usize| {
        len > 0 && (len * texts).saturating_sub(len + FULL_LEN_BYTES) >= packed.len() / LEAST_SAVING
    };
    let Raw::Bytes(first) = entry::read(packed).0 else { return None };
    let Raw::Bytes(last) = last else { return None };
    // Where elements were numbered the first and the last one differ soonest, and where they are random any two do.
    let mut shared = &first[..common_len(first, last)];
    if !enough(shared.len(), count) {
        return None;
    }
    let mut texts = 0;
    let mut rest = packed;
    while !rest.is_empty() {
        let (raw, size) = entry::read(rest);
        if let Raw::Bytes(text) = raw {
            texts += 1;
            if !begins_with(text, shared) {
                shared = &shared[..common_len(shared, text)];
                if !enough(shared.len(), count) {
                    return None;
                }
            }
        }
        rest = &rest[size + tail_len(size)..];
    }
    enough(shared.len(), texts).then_some(shared)
}

fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// `starts_with`, without a call where the beginning is short: its first and its last eight bytes are compared, which may overlap.
#[inline]
fn begins_with(text: &[u8], beginning: &[u8]) -> bool {
    let len = beginning.len();
    if let (8..=16, Some(text)) = (len, text.get(..len)) {
        text.first_chunk::<8>() == beginning.first_chunk::<8>()
            && text.last_chunk::<8>() == beginning.last_chunk::<8>()
    } else {
        text.starts_with(beginning)
    }
}

/// A packed run with its texts' first `len` bytes left out, behind what `out` holds.
pub(super) fn leave_out(packed: &[u8], len: usize, out: Vec<u8>) -> Vec<u8> {
    let mut out = Writer::new(out, packed.len());
    let mut offset = 0;
    while offset < packed.len() {
        let (raw, size) = entry::read(&packed[offset..]);
        let next = offset + size + tail_len(size);
        match raw {
            Raw::Bytes(text) if text.len() <= SHORT => {
                out.short_text(text.len() - len, |out| out.copy(packed, offset + 1 + len, text.len() - len));
            }
            Raw::Bytes(text) => out.element(&Encoded::bytes(&text[len..])),
            Raw::Int(_) | Raw::Slot(_) => out.copy(packed, offset, next - offset),
        }
        offset = next;
    }
    out.finish()
}

/// A packed run, which follows `beginning` in a block, with that put before its texts: `full_len` bytes.
pub(super) fn put_back(block: &[u8], beginning_len: usize, start: usize, full_len: usize) -> Vec<u8> {
    let mut out = Writer::new(Vec::new(), full_len);
    let mut long = block[..beginning_len].to_vec();
    let mut offset = start;
    while offset < block.len() {
        let (raw, size) = entry::read(&block[offset..]);
        let next = offset + size + tail_len(size);
        match raw {
            Raw::Bytes(rest) if beginning_len + rest.len() <= SHORT => {
                out.short_text(beginning_len + rest.len(), |out| {
                    out.copy(block, 0, beginning_len);
                    out.copy(block, offset + 1, rest.len());
                });
            }
            Raw::Bytes(rest) => {
                long.truncate(beginning_len);
                long.extend_from_slice(rest);
                out.element(&Encoded::bytes(&long));
            }
            Raw::Int(_) | Raw::Slot(_) => out.copy(block, offset, next - offset),
        }
        offset = next;
    }
    out.finish()
}

/// A text up to this has a head of one byte and a tail of one.
const SHORT: usize = entry::SHORT_BYTES_MAX;
/// How much is copied at once, and how much room is left for that.
const CHUNK: usize = 16;

/// Writes a run of elements into room that was made before: hundreds of short pieces.
struct Writer {
    out: Vec<u8>,
    at: usize,
}

impl Writer {
    fn new(mut out: Vec<u8>, len: usize) -> Self {
        let at = out.len();
        out.resize(at + len + CHUNK, 0);
        Self { out, at }
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
