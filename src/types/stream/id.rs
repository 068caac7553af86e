//! The ids of stream entries: a time in milliseconds and a number within it.

use std::fmt;

/// An entry's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds of Unix time, unless the client chose the id.
    pub ms: u64,
    /// Number within that millisecond.
    pub seq: u64,
}

/// An id as XADD takes it: the number within the millisecond may be left to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    AutoSeq(u64),
    /// Both parts given.
    Given(StreamId),
}

impl StreamId {
    /// The lowest, which no entry has.
    pub const MIN: StreamId = StreamId::new(0, 0);
    /// The highest.
    pub const MAX: StreamId = StreamId::new(u64::MAX, u64::MAX);
    /// Longest text of an id, in bytes.
    const TEXT_MAX: usize = 127;

    /// An id of its two parts.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The next higher id; `None` behind the highest.
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self::new(self.ms, seq)),
            None => Some(Self::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The next lower id; `None` before the lowest.
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self::new(self.ms, seq)),
            None => Some(Self::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// Reads `ms` or `ms-seq`; where the second part is missing it is `missing_seq`.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        match NewId::parse_parts(text, missing_seq)? {
            NewId::Given(id) => Some(id),
            _ => None,
        }
    }

    /// [`parse`](Self::parse), where `-` is the lowest and `+` the highest.
    pub fn parse_end(text: &[u8], missing_seq: u64) -> Option<Self> {
        match text {
            b"-" => Some(Self::MIN),
            b"+" => Some(Self::MAX),
            _ => Self::parse(text, missing_seq),
        }
    }

    /// Sixteen bytes, big endian: their order is that of the ids.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.ms.to_be_bytes());
        bytes[8..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }

    /// From [`to_bytes`](Self::to_bytes).
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self::new((both >> 64) as u64, both as u64)
    }

    /// The text `ms-seq`.
    pub fn text(self) -> IdText {
        let mut bytes = [0; IdText::MAX];
        let mut buffer = itoa::Buffer::new();
        let ms = buffer.format(self.ms).as_bytes();
        let mut len = ms.len();
        bytes[..len].copy_from_slice(ms);
        bytes[len] = b'-';
        len += 1;
        let seq = buffer.format(self.seq).as_bytes();
        bytes[len..len + seq.len()].copy_from_slice(seq);
        IdText { bytes, len: (len + seq.len()) as u8 }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl NewId {
    /// Reads `*`, `ms`, `ms-seq` or `ms-*`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text == b"*" { Some(NewId::Auto) } else { Self::parse_parts(text, 0) }
    }

    fn parse_parts(text: &[u8], missing_seq: u64) -> Option<Self> {
        if text.len() > StreamId::TEXT_MAX {
            return None;
        }
        let (ms, seq) = match text.iter().position(|&byte| byte == b'-') {
            None => (text, None),
            Some(at) => (&text[..at], Some(&text[at + 1..])),
        };
        let ms = part(ms)?;
        match seq {
            None => Some(NewId::Given(StreamId::new(ms, missing_seq))),
            Some(b"*") => Some(NewId::AutoSeq(ms)),
            Some(seq) => Some(NewId::Given(StreamId::new(ms, part(seq)?))),
        }
    }
}

/// Reads digits, before which blanks, one plus sign and zeros may stand, as numbers are read in C.
fn part(text: &[u8]) -> Option<u64> {
    let blanks = text.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == VERTICAL_TAB).count();
    let text = &text[blanks..];
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// A blank to C, and not to Rust.
const VERTICAL_TAB: u8 = 0x0b;

/// The text of an id, without an allocation.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl IdText {
    const MAX: usize = 41;
}

impl std::ops::Deref for IdText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_read() {
        let id = StreamId::new;
        for (text, read) in [
            (&b"5"[..], Some(id(5, 9))),
            (b"5-3", Some(id(5, 3))),
            (b"007-0", Some(id(7, 0))),
            (b"+7", Some(id(7, 9))),
            (b"18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            (b"18446744073709551616", None),
            (b"", None),
            (b"-", None),
            (b"+", None),
            (b"1-", None),
            (b"-1", None),
            (b"1--1", None),
            (b"1-2-3", None),
            (b"1-*", None),
            (b" 1", Some(id(1, 9))),
            (b" \x0b+1-\t02", Some(id(1, 2))),
            (b"1 ", None),
            (b"+ 1", None),
            (b" ", None),
            (b"x", None),
        ] {
            assert_eq!(StreamId::parse(text, 9), read, "{}", text.escape_ascii());
        }
        assert_eq!(StreamId::parse(&[b'0'; 128], 0), None);
        assert_eq!(StreamId::parse_end(b"-", 0), Some(StreamId::MIN));
        assert_eq!(StreamId::parse_end(b"+", 0), Some(StreamId::MAX));
        assert_eq!(NewId::parse(b"*"), Some(NewId::Auto));
        assert_eq!(NewId::parse(b"5-*"), Some(NewId::AutoSeq(5)));
        assert_eq!(NewId::parse(b"5"), Some(NewId::Given(id(5, 0))));
        assert_eq!(NewId::parse(b"*-5"), None);
    }

    #[test]
    fn neighbours() {
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert_eq!(StreamId::new(1, u64::MAX).next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::new(2, 0).previous(), Some(StreamId::new(1, u64::MAX)));
    }

    proptest! {
        #[test]
        fn texts_and_bytes_come_back(ms: u64, seq: u64, other: (u64, u64)) {
            let id = StreamId::new(ms, seq);
            prop_assert_eq!(StreamId::parse(&id.text(), 0), Some(id));
            let text = id.to_string();
            prop_assert_eq!(&*id.text(), text.as_bytes());
            prop_assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
            let other = StreamId::new(other.0, other.1);
            prop_assert_eq!(id.cmp(&other), id.to_bytes().cmp(&other.to_bytes()));
        }
    }
}
