//! The bytes of a payload, read piece by piece. Every length is checked against the bytes that are left.

use super::error::{Read, RestoreError};
use super::lzf;
use super::packed::Element;
use crate::primitives::number::parse_f64;

/// The bytes that are left, and the longest string allowed.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) string_max: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(RestoreError::Format)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| RestoreError::Format)
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads a double: its text, behind its length in a byte. Lengths of 253 to 255 stand for NaN, infinity
    /// and minus infinity.
    pub(super) fn decimal(&mut self) -> Read<f64> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => parse_f64(self.take(usize::from(len))?).ok_or(RestoreError::Format),
        }
    }

    /// Reads a length, or `Err` with the encoding of a special string.
    pub(super) fn length_or_encoding(&mut self) -> Read<Result<u64, u8>> {
        let first = self.byte()?;
        Ok(Ok(match first >> 6 {
            0 => u64::from(first & 0x3f),
            1 => u64::from(first & 0x3f) << 8 | u64::from(self.byte()?),
            2 if first == 0x80 => u64::from(u32::from_be_bytes(self.array()?)),
            2 if first == 0x81 => u64::from_be_bytes(self.array()?),
            3 => return Ok(Err(first & 0x3f)),
            _ => return Err(RestoreError::Format),
        }))
    }

    pub(super) fn length(&mut self) -> Read<u64> {
        self.length_or_encoding()?.map_err(|_| RestoreError::Format)
    }

    /// Reads a number of elements. Each takes a byte at least, so more than there are bytes is refused at
    /// once.
    pub(super) fn count(&mut self) -> Read<usize> {
        let count = usize::try_from(self.length()?).map_err(|_| RestoreError::Format)?;
        if count > self.bytes.len() { Err(RestoreError::Format) } else { Ok(count) }
    }

    /// Reads a string and copies it.
    pub(super) fn string(&mut self) -> Read<Vec<u8>> {
        Ok(match self.text()? {
            Element::Owned(text) => text,
            text => text.to_vec(),
        })
    }

    /// Reads a string, which is copied only where it was compressed.
    pub(super) fn text(&mut self) -> Read<Element<'a>> {
        match self.length_or_encoding()? {
            Ok(len) => {
                let len = usize::try_from(len).map_err(|_| RestoreError::Format)?;
                if len > self.string_max {
                    return Err(RestoreError::Format);
                }
                Ok(Element::Text(self.take(len)?))
            }
            Err(0) => self.number::<1>(),
            Err(1) => self.number::<2>(),
            Err(2) => self.number::<4>(),
            Err(3) => {
                let packed = usize::try_from(self.length()?).map_err(|_| RestoreError::Format)?;
                let len = usize::try_from(self.length()?).map_err(|_| RestoreError::Format)?;
                if len > self.string_max {
                    return Err(RestoreError::Format);
                }
                lzf::decompress(self.take(packed)?, len).map(Element::Owned).ok_or(RestoreError::Format)
            }
            Err(_) => Err(RestoreError::Format),
        }
    }

    fn number<const N: usize>(&mut self) -> Read<Element<'a>> {
        Element::number_of(self.take(N)?).ok_or(RestoreError::Format)
    }
}
