//! Redis's zipmap: the packed form of small hashes before Redis 2.6.
//!
//! A byte with the number of pairs, then length and bytes of each field and value, then 0xff. A length is a
//! byte, or 0xfe and four bytes, little-endian. A byte between a value's length and its bytes says how many
//! bytes behind the value are unused.

use super::error::{Read, RestoreError};
use super::packed::{Element, Elements};

const END: u8 = 0xff;
/// First byte of a length of five bytes, and the count when there are more pairs than fit.
const LONG: u8 = 0xfe;

const BAD: RestoreError = RestoreError::Format;

/// A reader of a zipmap: fields and values in turn.
pub struct Zipmap<'a> {
    rest: &'a [u8],
    count: u8,
    /// Number of fields and values read so far.
    found: usize,
}

impl<'a> Zipmap<'a> {
    /// Checks the head.
    ///
    /// # Errors
    /// No head.
    pub fn new(bytes: &'a [u8]) -> Read<Self> {
        let (&count, rest) = bytes.split_first().ok_or(BAD)?;
        Ok(Self { rest, count, found: 0 })
    }

    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(BAD)?;
        self.rest = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Read<usize> {
        match self.take(1)? {
            [LONG] => match u32::from_le_bytes(*self.take(4)?.first_chunk().ok_or(BAD)?) {
                // A length in five bytes that fits one byte is written by nobody, and would lead readers
                // astray that compute the offset of its bytes from its value.
                len if len < u32::from(LONG) => Err(BAD),
                len => Ok(len as usize),
            },
            [END] => Err(BAD),
            short => Ok(usize::from(short[0])),
        }
    }
}

impl<'a> Elements<'a> for Zipmap<'a> {
    fn next(&mut self) -> Read<Option<Element<'a>>> {
        let is_value = self.found % 2 == 1;
        if self.rest == [END] && !is_value {
            let is_right = self.count == LONG || usize::from(self.count) * 2 == self.found;
            return if is_right { Ok(None) } else { Err(BAD) };
        }
        let len = self.length()?;
        let unused = if is_value { usize::from(self.take(1)?[0]) } else { 0 };
        let text = self.take(len)?;
        self.take(unused)?;
        self.found += 1;
        Ok(Some(Element::Text(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Read<Vec<Vec<u8>>> {
        let mut zipmap = Zipmap::new(bytes)?;
        let mut found = Vec::new();
        while let Some(element) = zipmap.next()? {
            found.push(element.to_vec());
        }
        Ok(found)
    }

    #[test]
    fn lengths_of_both_kinds_and_unused_bytes() {
        let long =
            [&b"\x02\x01f\xfe\x2c\x01\x00\x00\x00"[..], &[b'v'; 300], b"\x01g\x01\x02w??\xff"].concat();
        let read_back = read(&long).expect("a zipmap");
        assert_eq!(read_back, [b"f".to_vec(), vec![b'v'; 300], b"g".to_vec(), b"w".to_vec()]);
        // A count of 254 says that the pairs have to be counted.
        assert_eq!(read(b"\xfe\x01f\x01\x00v\xff").map(|found| found.len()), Ok(2));
    }

    #[test]
    fn what_does_not_agree_is_refused() {
        let good = b"\x01\x01f\x01\x00v\xff";
        assert_eq!(read(good), Ok(vec![b"f".to_vec(), b"v".to_vec()]));
        for (at, wrong) in [(0, 2), (0, 0xff), (1, 2), (1, 0xff), (3, 2), (4, 1), (6, 0)] {
            let mut bad = *good;
            bad[at] = wrong;
            assert_eq!(read(&bad), Err(BAD), "byte {at}");
        }
        for len in 0..good.len() {
            assert_eq!(read(&good[..len]), Err(BAD), "{len} bytes");
        }
        assert_eq!(read(b"\x01\x01f\xff"), Err(BAD));
        assert_eq!(read(b"\x01\xfe\x01\x00\x00\x00f\x01\x00v\xff"), Err(BAD));
        assert_eq!(read(b"\x01\x01f\xfe\x01\x00\x00\x00\x00v\xff"), Err(BAD));
        assert_eq!(read(b"\x01\x01f\xfe\xff\xff\xff\xff\x00v\xff"), Err(BAD));
    }
}
