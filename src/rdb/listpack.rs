//! Redis's listpack: the packed form in which its dumps hold small collections and the blocks of streams.
//!
//! A head of six bytes (total bytes, number of elements), then the elements: a tag with the length or the
//! number itself, the bytes, and the element's length again for walks from behind; 0xff ends it.

use super::error::{Read, RestoreError};
use super::packed::{Element, Elements};
use crate::primitives::number::parse_i64;

const HEAD: usize = 6;
const END: u8 = 0xff;
/// Value of the head's count when there are more elements than fit.
const COUNT_UNKNOWN: u16 = 0xffff;

const BAD: RestoreError = RestoreError::Format;

/// Copies all elements.
///
/// # Errors
/// Bytes that are not a listpack.
pub fn elements(bytes: &[u8]) -> Read<Vec<Vec<u8>>> {
    let mut listpack = Listpack::new(bytes)?;
    let mut found = Vec::new();
    while let Some(element) = listpack.next()? {
        found.push(element.to_vec());
    }
    Ok(found)
}

/// A reader of a listpack.
pub struct Listpack<'a> {
    rest: &'a [u8],
    count: u16,
    found: usize,
}

impl<'a> Listpack<'a> {
    /// Checks the head.
    ///
    /// # Errors
    /// A total that is not the length of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Read<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(BAD)?;
        let total = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if total != bytes.len() {
            return Err(BAD);
        }
        Ok(Self { rest, count: u16::from_le_bytes([head[4], head[5]]), found: 0 })
    }
}

impl<'a> Elements<'a> for Listpack<'a> {
    fn next(&mut self) -> Read<Option<Element<'a>>> {
        if self.rest == [END] {
            let is_right = self.count == COUNT_UNKNOWN || usize::from(self.count) == self.found;
            return if is_right { Ok(None) } else { Err(BAD) };
        }
        let (element, len) = element(self.rest).ok_or(BAD)?;
        let behind = self.rest.get(len..).ok_or(BAD)?;
        let (back_length, width) = back_length(len);
        self.rest = behind.strip_prefix(&back_length[..width]).ok_or(BAD)?;
        self.found += 1;
        Ok(Some(element))
    }
}

/// Reads an element. Returns it with the length of its tag and value.
fn element(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let tag = *bytes.first()?;
    let byte = |index: usize| bytes.get(index).copied().map(usize::from);
    let text = |start: usize, len: usize| {
        let end = start.checked_add(len)?;
        Some((Element::Text(bytes.get(start..end)?), end))
    };
    let number = |width: usize| Some((Element::number_of(bytes.get(1..=width)?)?, 1 + width));
    match tag {
        0x00..=0x7f => Some((Element::number(i64::from(tag)), 1)),
        0x80..=0xbf => text(1, usize::from(tag & 0x3f)),
        0xc0..=0xdf => {
            // 13 bits, signed.
            let raw = (i64::from(tag & 0x1f) << 8) | byte(1)? as i64;
            Some((Element::number(if raw >= 1 << 12 { raw - (1 << 13) } else { raw }), 2))
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

/// The length that stands behind an element of `len` bytes, and the number of bytes that it takes: seven bits
/// a byte, highest first; all but the first byte have their eighth bit set.
fn back_length(len: usize) -> ([u8; 5], usize) {
    let width = match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    let mut bytes = [0; 5];
    for (at, byte) in bytes[..width].iter_mut().enumerate() {
        let bits = (len >> (7 * (width - 1 - at))) as u8 & 0x7f;
        *byte = if at == 0 { bits } else { bits | 0x80 };
    }
    (bytes, width)
}

/// A writer of a listpack.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    count: usize,
}

impl Writer {
    /// A writer without elements.
    pub fn new() -> Self {
        Self { bytes: vec![0; HEAD], count: 0 }
    }

    /// Adds a byte string; the canonical decimal of a number becomes the number.
    pub fn push(&mut self, element: &[u8]) {
        if let Some(number) = parse_i64(element) {
            return self.push_int(number);
        }
        let start = self.bytes.len();
        let len = element.len();
        match len {
            0..=0x3f => self.bytes.push(0x80 | len as u8),
            0x40..=0xfff => self.bytes.extend_from_slice(&[0xe0 | (len >> 8) as u8, len as u8]),
            _ => {
                self.bytes.push(0xf0);
                self.bytes.extend_from_slice(&(len as u32).to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(element);
        self.end_element(start);
    }

    /// Adds a number.
    pub fn push_int(&mut self, number: i64) {
        let start = self.bytes.len();
        let bytes = number.to_le_bytes();
        let mut wide = |tag: u8, width: usize| {
            self.bytes.push(tag);
            self.bytes.extend_from_slice(&bytes[..width]);
        };
        match number {
            0..=0x7f => self.bytes.push(number as u8),
            -0x1000..=0xfff => {
                let raw = number as u16 & 0x1fff;
                self.bytes.extend_from_slice(&[0xc0 | (raw >> 8) as u8, raw as u8]);
            }
            -0x8000..=0x7fff => wide(0xf1, 2),
            -0x80_0000..=0x7f_ffff => wide(0xf2, 3),
            -0x8000_0000..=0x7fff_ffff => wide(0xf3, 4),
            _ => wide(0xf4, 8),
        }
        self.end_element(start);
    }

    /// Writes the element's length behind it.
    fn end_element(&mut self, start: usize) {
        let (bytes, width) = back_length(self.bytes.len() - start);
        self.bytes.extend_from_slice(&bytes[..width]);
        self.count += 1;
    }

    /// Completes head and end, and returns the bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let total = self.bytes.len() as u32;
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..HEAD].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(written in prop::collection::vec(prop_oneof![
            any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            (-40_000i64..40_000).prop_map(|number| number.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..80),
            (0usize..20_000).prop_map(|len| vec![b'x'; len]),
        ], 0..40)) {
            let mut writer = Writer::new();
            written.iter().for_each(|element| writer.push(element));
            prop_assert_eq!(elements(&writer.finish()), Ok(written));
        }
    }

    /// Peers walk a listpack from behind by these lengths; one that is wrong would lead them out of it.
    #[test]
    fn a_wrong_length_behind_an_element_is_refused() {
        for element in ["7", "300", "text", &"x".repeat(200)] {
            let mut writer = Writer::new();
            writer.push(element.as_bytes());
            let right = writer.finish();
            for change in 1..=u8::MAX {
                let mut wrong = right.clone();
                wrong[right.len() - 2] ^= change;
                assert_eq!(elements(&wrong), Err(BAD), "{element} {change}");
            }
        }
    }
}
