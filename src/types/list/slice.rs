//! Elements of one node, for writing into a reply in the form in which they are kept.
//!
//! Making a value of each element costs more than writing its bytes. A [`ListSlice`] leaves short texts in
//! place and gives their lengths, so the encoder copies pieces of a fixed size.

use super::tail::tail_len;
use crate::types::packed::entry::{self, Piece, Raw};

/// Longest text, in bytes, that [`ListSlice::next_short`] gives.
pub const SHORT_MAX: usize = 16;
/// Longest text, in bytes, that [`ListSlice::next_text`] gives.
pub const TEXT_MAX: usize = entry::SHORT_BYTES_MAX;
/// Bytes of a packed short text: head, text, tail.
const SHORT_SIZE: usize = SHORT_MAX + 2;

/// Consecutive elements of one node.
#[derive(Clone, Debug)]
pub struct ListSlice<'a> {
    /// The prefix that belongs before each text, and before no integer; mostly empty.
    pub prefix: &'a [u8],
    packed: &'a [u8],
    left: usize,
}

impl<'a> ListSlice<'a> {
    /// A slice of up to `count` elements, which `packed` begins with.
    #[inline]
    pub(super) fn new(prefix: &'a [u8], packed: &'a [u8], count: usize) -> Self {
        Self { prefix, packed, left: count }
    }

    /// Number of elements still asked for, whether the node has them or not.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.left
    }

    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.left == 0 || self.packed.is_empty()
    }

    /// The next element without the prefix, if it is a text of up to [`SHORT_MAX`] bytes: a chunk that begins
    /// with the text, and the text's length. `None` for other elements, and near the node's end, where no
    /// whole chunk is left.
    #[inline(always)] // The loop that calls it keeps its registers.
    pub fn next_short(&mut self) -> Option<(&'a [u8; SHORT_MAX], usize)> {
        let chunk = self.packed.first_chunk::<SHORT_SIZE>()?;
        let [head, text @ .., _] = chunk;
        let len = entry::short_len(*head).filter(|len| *len <= SHORT_MAX)?;
        self.left = self.left.checked_sub(1)?;
        self.packed = &self.packed[len + 2..];
        Some((text, len))
    }

    /// The next element without the prefix, if it is a text of up to [`TEXT_MAX`] bytes.
    #[inline(always)]
    pub fn next_text(&mut self) -> Option<&'a [u8]> {
        let len = entry::short_len(*self.packed.first()?)?;
        let (element, rest) = self.packed.split_at_checked(len + 2)?;
        self.left = self.left.checked_sub(1)?;
        self.packed = rest;
        element.get(1..=len)
    }

    /// The next element, if it is an integer from 0 to 127.
    #[inline(always)]
    pub fn next_small_number(&mut self) -> Option<u8> {
        let [number @ 0..=127, _, rest @ ..] = self.packed else { return None };
        self.left = self.left.checked_sub(1)?;
        self.packed = rest;
        Some(*number)
    }
}

impl<'a> Iterator for ListSlice<'a> {
    type Item = Piece<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Piece<'a>> {
        if self.packed.is_empty() || self.left == 0 {
            return None;
        }
        let (raw, size) = entry::read(self.packed);
        self.left -= 1;
        self.packed = &self.packed[size + tail_len(size)..];
        Some(match raw {
            Raw::Bytes(bytes) => Piece::Bytes(bytes),
            Raw::Int(value) => Piece::Int(value),
            // Lists have no slots and no rests.
            Raw::Slot(_) | Raw::Rest(_) => Piece::Bytes(&[]),
        })
    }
}
