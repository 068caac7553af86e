//! Elements of one node on their way into a reply, in the form in which they are kept.
//!
//! An element by itself is a slice or a number made into text, and a walk that makes one of each pays more for the making than for the
//! bytes. A slice leaves short texts where they are and says how long they are; whoever writes them copies a piece of a fixed size.

use super::tail::tail_len;
use crate::types::packed::entry::{self, Piece, Raw};

/// The longest text that [`ListSlice::next_short`] gives.
pub const SHORT_MAX: usize = 16;
/// The longest text that [`ListSlice::next_text`] gives.
pub const TEXT_MAX: usize = entry::SHORT_BYTES_MAX;
/// A short text as it is packed: its head, its bytes, its tail.
const SHORT_SIZE: usize = SHORT_MAX + 2;

/// Elements that follow each other in one node.
#[derive(Clone, Debug)]
pub struct ListSlice<'a> {
    /// What is to be read before each text, and before no integer; mostly nothing.
    pub prefix: &'a [u8],
    packed: &'a [u8],
    left: usize,
}

impl<'a> ListSlice<'a> {
    /// Up to `count` of the elements that a node has from a place on, which are `packed`.
    #[inline]
    pub(super) fn new(prefix: &'a [u8], packed: &'a [u8], count: usize) -> Self {
        Self { prefix, packed, left: count }
    }

    /// How many more elements were asked for, be they there or not.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.left
    }

    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.left == 0 || self.packed.is_empty()
    }

    /// So many bytes of these, at most [`SHORT_MAX`], are the next element without the slice's prefix; what follows them belongs to others.
    /// `None` where the next element is no such text, or is one of the node's last bytes.
    #[inline(always)] // The loop that calls it keeps its registers.
    pub fn next_short(&mut self) -> Option<(&'a [u8; SHORT_MAX], usize)> {
        let chunk = self.packed.first_chunk::<SHORT_SIZE>()?;
        let [head, text @ .., _] = chunk;
        let len = entry::short_len(*head).filter(|len| *len <= SHORT_MAX)?;
        self.left = self.left.checked_sub(1)?;
        self.packed = &self.packed[len + 2..];
        Some((text, len))
    }

    /// The next element without the slice's prefix, where that is a text of up to [`TEXT_MAX`] bytes.
    #[inline(always)]
    pub fn next_text(&mut self) -> Option<&'a [u8]> {
        let len = entry::short_len(*self.packed.first()?)?;
        let (element, rest) = self.packed.split_at_checked(len + 2)?;
        self.left = self.left.checked_sub(1)?;
        self.packed = rest;
        element.get(1..=len)
    }

    /// The next element where that is a number from 0 to 127.
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
            // No list has these.
            Raw::Slot(_) | Raw::Rest(_) => Piece::Bytes(&[]),
        })
    }
}
