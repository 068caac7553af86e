//! Redis's ziplist: the packed form of small lists, hashes and sorted sets before Redis 7.
//!
//! Ten bytes of head (total bytes and offset of the last element, four bytes each; number of elements, two
//! bytes), then elements, then 0xff. An element begins with the length of the one before it: a byte, or 0xfe
//! and four bytes. A tag follows, which is a short number or says what does, then the bytes. Lengths in tags
//! are big-endian, all else little-endian.

use super::error::{Read, RestoreError};
use super::packed::{Element, Elements};

const HEAD: usize = 10;
const END: u8 = 0xff;
/// First byte of a five-byte length of the previous element.
const LONG_BEFORE: u8 = 0xfe;
/// Value of the head's count when there are more elements than fit.
const COUNT_UNKNOWN: u16 = 0xffff;

const BAD: RestoreError = RestoreError::Format;

/// A reader of a ziplist.
pub struct Ziplist<'a> {
    bytes: &'a [u8],
    /// Offset of the next element.
    at: usize,
    /// Length of the previous element.
    len_before: usize,
    found: usize,
}

impl<'a> Ziplist<'a> {
    /// Checks the head.
    ///
    /// # Errors
    /// A total that is not the length of `bytes`; no end.
    pub fn new(bytes: &'a [u8]) -> Read<Self> {
        let total = u32::from_le_bytes(*bytes.first_chunk().ok_or(BAD)?);
        if total as usize != bytes.len() || bytes.len() <= HEAD || bytes.last() != Some(&END) {
            return Err(BAD);
        }
        Ok(Self { bytes, at: HEAD, len_before: 0, found: 0 })
    }

    /// Whether the head's count and its offset of the last element agree with the elements read.
    fn head_is_right(&self) -> bool {
        let tail = self.at - self.len_before;
        let count = u16::from_le_bytes([self.bytes[8], self.bytes[9]]);
        self.bytes[4..8] == (tail as u32).to_le_bytes()
            && (count == COUNT_UNKNOWN || usize::from(count) == self.found)
    }
}

impl<'a> Elements<'a> for Ziplist<'a> {
    fn next(&mut self) -> Read<Option<Element<'a>>> {
        let rest = self.bytes.get(self.at..).ok_or(BAD)?;
        if rest == [END] {
            return if self.head_is_right() { Ok(None) } else { Err(BAD) };
        }
        // An element ends before the last byte, which marks the end.
        let (element, len) = element(&rest[..rest.len() - 1], self.len_before).ok_or(BAD)?;
        self.at += len;
        self.len_before = len;
        self.found += 1;
        Ok(Some(element))
    }
}

/// Reads the first element of `bytes`. Returns it with its length, if it says that the previous one had
/// `len_before` bytes.
fn element(bytes: &[u8], len_before: usize) -> Option<(Element<'_>, usize)> {
    let (told_before, tag_at) = match *bytes.first()? {
        LONG_BEFORE => (u32::from_le_bytes(*bytes.get(1..5)?.first_chunk()?) as usize, 5),
        END => return None,
        short => (usize::from(short), 1),
    };
    if told_before != len_before {
        return None;
    }
    let bytes = &bytes[tag_at..];
    let byte = |index: usize| bytes.get(index).copied().map(usize::from);
    let text = |start: usize, len: usize| {
        let end = start.checked_add(len)?;
        Some((Element::Text(bytes.get(start..end)?), tag_at + end))
    };
    let number = |width: usize| Some((Element::number_of(bytes.get(1..=width)?)?, tag_at + 1 + width));
    match *bytes.first()? {
        tag @ 0x00..=0x3f => text(1, usize::from(tag)),
        tag @ 0x40..=0x7f => text(2, usize::from(tag & 0x3f) << 8 | byte(1)?),
        // The lower six bits of the tag are unused.
        0x80..=0xbf => text(5, byte(1)? << 24 | byte(2)? << 16 | byte(3)? << 8 | byte(4)?),
        0xc0 => number(2),
        0xd0 => number(4),
        0xe0 => number(8),
        0xf0 => number(3),
        0xfe => number(1),
        // 1 to 13 stand for 0 to 12.
        tag @ 0xf1..=0xfd => Some((Element::number(i64::from(tag & 0x0f) - 1), tag_at + 1)),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A ziplist of elements whose tags and bytes are given.
    pub(in crate::rdb) fn ziplist(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        let (mut tail, mut len_before) = (HEAD, 0usize);
        for element in elements {
            tail = bytes.len();
            match u8::try_from(len_before) {
                Ok(short) if short < LONG_BEFORE => bytes.push(short),
                _ => {
                    bytes.push(LONG_BEFORE);
                    bytes.extend((len_before as u32).to_le_bytes());
                }
            }
            bytes.extend(element);
            len_before = bytes.len() - tail;
        }
        bytes.push(END);
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes[4..8].copy_from_slice(&(tail as u32).to_le_bytes());
        bytes[8..HEAD].copy_from_slice(&(elements.len() as u16).to_le_bytes());
        bytes
    }

    /// One element of each form: its tag and bytes, and what it is.
    pub(in crate::rdb) fn every_form() -> Vec<(Vec<u8>, Vec<u8>)> {
        let number = |tag: u8, value: i64, width: usize| {
            ([&[tag], &value.to_le_bytes()[..width]].concat(), value.to_string().into_bytes())
        };
        let text = |tag: &[u8], len: usize| ([tag, &vec![b'x'; len]].concat(), vec![b'x'; len]);
        let mut forms = vec![
            number(0xfe, -128, 1),
            number(0xfe, 127, 1),
            number(0xc0, -32_768, 2),
            number(0xc0, 32_767, 2),
            number(0xf0, -8_388_608, 3),
            number(0xf0, 8_388_607, 3),
            number(0xd0, -2_147_483_648, 4),
            number(0xd0, 2_147_483_647, 4),
            number(0xe0, i64::MIN, 8),
            number(0xe0, i64::MAX, 8),
            text(&[0], 0),
            text(&[63], 63),
            text(&[0x40, 64], 64),
            // Longer than 253 bytes, so the element behind it tells its length in five.
            text(&[0x41, 0x00], 256),
            text(&[0x7f, 0xff], 16_383),
            text(&[0x80, 0, 0, 0x40, 0], 16_384),
            text(&[0xbf, 0, 0, 0, 3], 3),
        ];
        forms.extend((0..=12).map(|value| (vec![0xf1 + value], value.to_string().into_bytes())));
        forms
    }

    fn read(bytes: &[u8]) -> Read<Vec<Vec<u8>>> {
        let mut ziplist = Ziplist::new(bytes)?;
        let mut found = Vec::new();
        while let Some(element) = ziplist.next()? {
            found.push(element.to_vec());
        }
        Ok(found)
    }

    #[test]
    fn every_width_and_length_is_read() {
        let (packed, elements): (Vec<_>, Vec<_>) = every_form().into_iter().unzip();
        assert_eq!(read(&ziplist(&packed)), Ok(elements));
        assert_eq!(read(&ziplist(&[])), Ok(vec![]));
    }

    /// Each field of the head and of an element, wrong by one, and every cut.
    #[test]
    fn what_does_not_agree_is_refused() {
        let good = ziplist(&[vec![1, b'a'], vec![0xf3], vec![2, b'b', b'c']]);
        assert_eq!(read(&good).map(|elements| elements.len()), Ok(3));
        for at in [0, 4, 8, HEAD, HEAD + 1, HEAD + 3, HEAD + 5, HEAD + 6, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] = bad[at].wrapping_add(1);
            assert_eq!(read(&bad), Err(BAD), "byte {at}");
        }
        for len in 0..good.len() {
            assert_eq!(read(&good[..len]), Err(BAD), "{len} bytes");
        }
        for tag in [0xff, 0xf0, 0xc1, 0xe0] {
            let mut bad = good.clone();
            bad[HEAD + 4] = tag;
            assert_eq!(read(&bad), Err(BAD), "tag {tag:x}");
        }
    }
}
