//! Redis's listpack, read only: the packed form in which its dumps hold small collections.
//!
//! Six bytes of head (total bytes, number of elements), then elements: a tag with the length or the number itself, the bytes, and
//! the element's length again for walking backwards; 0xff ends it.

use super::read::RestoreError;
use crate::types::number::format_i64;

const HEAD: usize = 6;
const END: u8 = 0xff;
/// The count's value when there are more than fit.
const COUNT_UNKNOWN: u16 = 0xffff;

/// All elements.
///
/// # Errors
/// Bytes that are not a listpack.
pub fn elements(bytes: &[u8]) -> Result<Vec<Vec<u8>>, RestoreError> {
    const BAD: RestoreError = RestoreError::Format;
    let head = bytes.get(..HEAD).ok_or(BAD)?;
    let total = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let count = u16::from_le_bytes([head[4], head[5]]);
    if total != bytes.len() {
        return Err(BAD);
    }
    let mut found = Vec::new();
    let mut rest = &bytes[HEAD..];
    while *rest.first().ok_or(BAD)? != END {
        let (element, len) = element(rest).ok_or(BAD)?;
        let back = back_length_bytes(len);
        rest = rest.get(len + back..).ok_or(BAD)?;
        found.push(element);
    }
    if rest.len() != 1 || (count != COUNT_UNKNOWN && usize::from(count) != found.len()) {
        return Err(BAD);
    }
    Ok(found)
}

/// An element and the bytes of its tag and value.
fn element(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let tag = *bytes.first()?;
    let byte = |index: usize| bytes.get(index).copied().map(usize::from);
    let int = |value: i64, len: usize| Some((format_i64(value).to_vec(), len));
    let text =
        |start: usize, len: usize| Some((bytes.get(start..start.checked_add(len)?)?.to_vec(), start + len));
    let number = |width: usize| {
        let raw = bytes.get(1..1 + width)?;
        let mut wide = [if raw[width - 1] & 0x80 != 0 { 0xff } else { 0 }; 8];
        wide[..width].copy_from_slice(raw);
        int(i64::from_le_bytes(wide), 1 + width)
    };
    match tag {
        0x00..=0x7f => int(i64::from(tag), 1),
        0x80..=0xbf => text(1, usize::from(tag & 0x3f)),
        0xc0..=0xdf => {
            // 13 bits, signed.
            let raw = (i64::from(tag & 0x1f) << 8) | byte(1)? as i64;
            int(if raw >= 1 << 12 { raw - (1 << 13) } else { raw }, 2)
        }
        0xe0..=0xef => text(2, usize::from(tag & 0x0f) << 8 | byte(1)?),
        0xf0 => text(5, byte(1)? | byte(2)? << 8 | byte(3)? << 16 | byte(4)? << 24),
        0xf1 => number(2),
        0xf2 => number(3),
        0xf3 => number(4),
        0xf4 => number(8),
        _ => None,
    }
}

/// How many bytes the backward length of an element of `len` bytes takes: seven bits a byte.
fn back_length_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}
