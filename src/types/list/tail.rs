//! The tail of an element in a list's node: the length of its encoding, which a walk from behind reads.
//!
//! Seven bits a byte, the lowest bits in the last byte; the high bit says that another byte stands before.

use crate::types::packed::entry::{self, Encoded};

/// An encoded tail, one to five bytes.
pub(super) struct Tail {
    bytes: [u8; 5],
    start: u8,
}

impl Tail {
    #[inline]
    pub(super) fn of(size: usize) -> Self {
        let mut bytes = [0; 5];
        let mut rest = size;
        let mut start = 4;
        bytes[start] = (rest & 0x7F) as u8;
        rest >>= 7;
        while rest != 0 && start > 0 {
            bytes[start] |= 0x80;
            start -= 1;
            bytes[start] = (rest & 0x7F) as u8;
            rest >>= 7;
        }
        Self { bytes, start: start as u8 }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

#[inline]
pub(super) fn tail_len(size: usize) -> usize {
    match size {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

#[inline]
pub(super) fn size_with_tail(packed: &[u8]) -> usize {
    let size = entry::size(packed);
    size + tail_len(size)
}

/// Bytes that an element takes in a node, tail included.
#[inline]
pub(super) fn packed_len(element: &Encoded<'_>) -> usize {
    element.len() + tail_len(element.len())
}
