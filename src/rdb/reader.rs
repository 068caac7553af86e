//! The bytes of a payload, read piece by piece. Every length is checked against the bytes that are left.

use super::error::{Read, RestoreError};
use super::lzf;
use crate::primitives::number::{format_i64, parse_f64};

/// The bytes that are left, and the longest string allowed.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) string_max: usize,
}

impl Reader<'_> {
    pub(super) fn take(&mut self, count: usize) -> Read<&[u8]> {
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

    pub(super) fn string(&mut self) -> Read<Vec<u8>> {
        match self.length_or_encoding()? {
            Ok(len) => {
                let len = usize::try_from(len).map_err(|_| RestoreError::Format)?;
                if len > self.string_max {
                    return Err(RestoreError::Format);
                }
                Ok(self.take(len)?.to_vec())
            }
            Err(0) => Ok(format_i64(i64::from(i8::from_le_bytes(self.array()?))).to_vec()),
            Err(1) => Ok(format_i64(i64::from(i16::from_le_bytes(self.array()?))).to_vec()),
            Err(2) => Ok(format_i64(i64::from(i32::from_le_bytes(self.array()?))).to_vec()),
            Err(3) => {
                let packed = usize::try_from(self.length()?).map_err(|_| RestoreError::Format)?;
                let len = usize::try_from(self.length()?).map_err(|_| RestoreError::Format)?;
                if len > self.string_max {
                    return Err(RestoreError::Format);
                }
                lzf::decompress(self.take(packed)?, len).ok_or(RestoreError::Format)
            }
            Err(_) => Err(RestoreError::Format),
        }
    }
}
