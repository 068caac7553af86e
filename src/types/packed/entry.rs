//! How one element is written in packed memory: a head of one to five bytes, then its bytes.
//!
//! Decimal integers in canonical form are kept as integers, as their text can be made again. Every element
//! has exactly one encoding, so two elements are equal when their packed bytes are, and no encoding is the
//! prefix of another.
//!
//! | head        | element                                              |
//! |-------------|------------------------------------------------------|
//! | `00`-`7F`   | the integer 0 to 127, in the head                    |
//! | `80`-`BF`   | 0 to 63 bytes                                        |
//! | `C0`-`DF`   | 64 to 8191 bytes: five bits here, eight in the next  |
//! | `E1`-`E8`   | an integer of 1 to 8 bytes, little endian            |
//! | `F0`        | more bytes: a length of four bytes, little endian    |
//! | `F1`        | not here: the four bytes name a slot (tables only)   |
//! | `F2`        | none: [`super`] puts it before a shared prefix       |
//! | `F3`-`FF`   | the shared prefix, then 0 to 12 bytes (only in       |
//! |             | [`super`])                                           |
//!
//! Other callers than [`super`] may give the heads from `F2` on a meaning of their own.

use std::ops::Deref;

use crate::primitives::number::{self, IntText, MAX_INTEGER_LEN};
use crate::primitives::short_copy;

const BYTES: u8 = 0x80;
const BYTES_LONG: u8 = 0xC0;
const INT: u8 = 0xE0;
const BYTES_HUGE: u8 = 0xF0;
const SLOT: u8 = 0xF1;
const REST: u8 = 0xF3;
const MAX_HEAD_LEN: usize = 9;

/// The longest text whose head is one byte.
pub(in crate::types) const SHORT_BYTES_MAX: usize = 0x3F;

/// Head that no element has: marks a packed list that begins with a shared prefix.
pub(in crate::types) const PREFIX: u8 = 0xF2;
/// Longest shared prefix, in bytes.
pub(in crate::types) const PREFIX_MAX: usize = 18;
/// Most bytes of an element behind the prefix it is written without.
const REST_MAX: usize = (u8::MAX - REST) as usize;

/// An element as packed memory holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::types) enum Raw<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Slot(u32),
    /// The bytes behind the list's shared prefix.
    Rest(&'a [u8]),
}

/// An encoded element, to be written or compared: the head, and the bytes after it.
#[derive(Clone, Copy)]
pub(in crate::types) struct Encoded<'a> {
    head: [u8; MAX_HEAD_LEN],
    head_len: u8,
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Encodes a byte string; a canonical decimal integer becomes an integer.
    #[inline]
    pub(in crate::types) fn new(bytes: &'a [u8]) -> Self {
        match bytes.first() {
            Some(b'-' | b'0'..=b'9') if bytes.len() <= MAX_INTEGER_LEN => match number::parse_i64(bytes) {
                Some(value) => Self::int(value),
                None => Self::bytes(bytes),
            },
            _ => Self::bytes(bytes),
        }
    }

    /// Encodes a byte string for a list with this prefix, which may be empty. The prefix must not begin the
    /// text of an integer.
    #[inline]
    pub(in crate::types) fn after(prefix: &[u8], bytes: &'a [u8]) -> Self {
        Self::rest(prefix, bytes).unwrap_or_else(|| Self::new(bytes))
    }

    /// Encodes a byte string without `prefix`. `None` if it does not begin with the prefix, or too much
    /// follows it.
    #[inline]
    pub(in crate::types) fn rest(prefix: &[u8], bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(prefix)?;
        if prefix.is_empty() || rest.len() > REST_MAX {
            return None;
        }
        let mut head = [0; MAX_HEAD_LEN];
        head[0] = REST + rest.len() as u8;
        Some(Self { head, head_len: 1, data: rest })
    }

    /// Encodes an integer.
    #[inline]
    pub(in crate::types) fn int(value: i64) -> Encoded<'static> {
        let mut head = [0; MAX_HEAD_LEN];
        if (0..=0x7F).contains(&value) {
            head[0] = value as u8;
            return Encoded { head, head_len: 1, data: &[] };
        }
        let sign_bits = if value < 0 { value.leading_ones() } else { value.leading_zeros() };
        let width = (65 - sign_bits).div_ceil(8) as u8;
        head[0] = INT + width;
        head[1..].copy_from_slice(&value.to_le_bytes());
        Encoded { head, head_len: 1 + width, data: &[] }
    }

    /// Encodes bytes that read back as bytes, even where they are the text of an integer.
    #[inline]
    pub(in crate::types) fn bytes(data: &'a [u8]) -> Self {
        let mut head = [0; MAX_HEAD_LEN];
        let len = data.len();
        let head_len = if len <= 0x3F {
            head[0] = BYTES | len as u8;
            1
        } else if len <= 0x1FFF {
            head[0] = BYTES_LONG | (len >> 8) as u8;
            head[1] = len as u8;
            2
        } else {
            head[0] = BYTES_HUGE;
            head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
            5
        };
        Self { head, head_len, data }
    }

    /// Encodes the number of a slot, where the element's bytes are kept.
    pub(in crate::types) fn slot(slot: u32) -> Encoded<'static> {
        let mut head = [0; MAX_HEAD_LEN];
        head[0] = SLOT;
        head[1..5].copy_from_slice(&slot.to_le_bytes());
        Encoded { head, head_len: 5, data: &[] }
    }

    #[inline]
    pub(in crate::types) fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// Whether it is kept as an integer.
    #[inline]
    pub(in crate::types) fn is_int(&self) -> bool {
        self.head[0] < BYTES || (INT..BYTES_HUGE).contains(&self.head[0])
    }

    #[inline]
    pub(in crate::types) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Length of the encoding, in bytes.
    #[inline]
    pub(in crate::types) fn len(&self) -> usize {
        usize::from(self.head_len) + self.data.len()
    }

    /// Whether `packed` begins with this element.
    #[inline]
    pub(in crate::types) fn is_at(&self, packed: &[u8]) -> bool {
        let head_len = usize::from(self.head_len);
        packed.first() == Some(&self.head[0])
            && packed.len() >= self.len()
            && (head_len == 1 || packed[1..head_len] == self.head[1..head_len])
            && packed[head_len..self.len()] == *self.data
    }
}

/// The head of a text of up to [`SHORT_BYTES_MAX`] bytes.
#[inline]
pub(in crate::types) fn short_head(len: usize) -> u8 {
    debug_assert!(len <= SHORT_BYTES_MAX);
    BYTES | len as u8
}

/// The length of the text with this head; `None` for other heads than those of short texts.
#[inline]
pub(in crate::types) fn short_len(head: u8) -> Option<usize> {
    (BYTES..BYTES_LONG).contains(&head).then_some(usize::from(head & 0x3F))
}

/// Length of the first element's encoding, in bytes.
#[inline]
pub(in crate::types) fn size(packed: &[u8]) -> usize {
    let head = packed[0];
    match head {
        0..BYTES => 1,
        BYTES..BYTES_LONG => 1 + usize::from(head & 0x3F),
        BYTES_LONG..INT => 2 + long_len(head, packed[1]),
        INT..BYTES_HUGE => 1 + usize::from(head & 0xF),
        BYTES_HUGE => 5 + read_u32(packed) as usize,
        REST.. => 1 + usize::from(head - REST),
        _ => 5,
    }
}

/// Reads the first element. Returns it with the length of its encoding.
#[inline(always)] // Most elements are short texts, and a call took more than what it did.
pub(in crate::types) fn read(packed: &[u8]) -> (Raw<'_>, usize) {
    let head = packed[0];
    if (BYTES..BYTES_LONG).contains(&head) {
        let end = 1 + usize::from(head & 0x3F);
        return (Raw::Bytes(&packed[1..end]), end);
    }
    read_other(packed)
}

/// Reads the first element where it is written without the list's prefix. Returns the bytes behind the prefix
/// and the length of the encoding; `None` for another form, or no element.
#[inline]
pub(in crate::types) fn read_rest(packed: &[u8]) -> Option<(&[u8], usize)> {
    let head = *packed.first()?;
    let end = 1 + usize::from(head.checked_sub(REST)?);
    Some((&packed[1..end], end))
}

#[inline(never)]
fn read_other(packed: &[u8]) -> (Raw<'_>, usize) {
    let head = packed[0];
    match head {
        0..BYTES => (Raw::Int(i64::from(head)), 1),
        BYTES_LONG..INT => {
            let end = 2 + long_len(head, packed[1]);
            (Raw::Bytes(&packed[2..end]), end)
        }
        INT..BYTES_HUGE => {
            let width = usize::from(head & 0xF);
            (Raw::Int(read_int(&packed[1..=width])), 1 + width)
        }
        BYTES_HUGE => {
            let end = 5 + read_u32(packed) as usize;
            (Raw::Bytes(&packed[5..end]), end)
        }
        BYTES..BYTES_LONG => {
            (Raw::Bytes(&packed[1..1 + usize::from(head & 0x3F)]), 1 + usize::from(head & 0x3F))
        }
        _ => match read_rest(packed) {
            Some((rest, size)) => (Raw::Rest(rest), size),
            None => (Raw::Slot(read_u32(packed)), 5),
        },
    }
}

#[inline]
fn long_len(head: u8, next: u8) -> usize {
    usize::from(head & 0x1F) << 8 | usize::from(next)
}

#[inline]
fn read_u32(packed: &[u8]) -> u32 {
    u32::from_le_bytes([packed[1], packed[2], packed[3], packed[4]])
}

/// Reads a little endian integer of one to eight bytes with its sign.
#[inline]
pub(in crate::types) fn read_int(bytes: &[u8]) -> i64 {
    let mut wide = [0u8; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unused_bits = 64 - 8 * bytes.len() as u32;
    i64::from_le_bytes(wide) << unused_bits >> unused_bits
}

/// An element on its way into a reply, in the form it is kept in.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Bytes to be written behind the prefix that comes with them.
    Bytes(&'a [u8]),
    /// An integer, whose text is written without a prefix.
    Int(i64),
}

/// An element that was read. Dereferences to its bytes; the text of an integer is made on the stack.
#[derive(Clone, Copy)]
pub enum Element<'a> {
    /// Bytes borrowed from the packed memory.
    Bytes(&'a [u8]),
    /// The text of an integer.
    Int(IntText),
    /// A list's prefix and the element's rest, put together.
    Joined(Joined),
}

/// A list's prefix and the rest of an element, copied together on the stack.
#[derive(Clone, Copy)]
pub struct Joined {
    bytes: [u8; PREFIX_MAX + REST_MAX],
    len: u8,
}

impl Element<'_> {
    /// Makes the element of an integer.
    pub fn from_i64(value: i64) -> Self {
        Self::Int(number::format_i64(value))
    }
}

impl Joined {
    /// Begins with a list's prefix, of up to [`PREFIX_MAX`] bytes.
    #[inline]
    pub(in crate::types) fn new(prefix: &[u8]) -> Self {
        let mut bytes = [0; PREFIX_MAX + REST_MAX];
        bytes[..prefix.len()].copy_from_slice(prefix);
        Self { bytes, len: prefix.len() as u8 }
    }

    /// Appends the rest of an element, of up to [`REST_MAX`] bytes.
    #[inline]
    pub(in crate::types) fn with(mut self, rest: &[u8]) -> Self {
        let (start, len) = (usize::from(self.len), rest.len());
        short_copy::copy(&mut self.bytes[start..start + len], rest);
        self.len += len as u8;
        self
    }
}

impl<'a> From<Raw<'a>> for Element<'a> {
    /// Converts what has bytes of its own. Tables resolve slots and packed lists resolve rests before this.
    #[inline]
    fn from(raw: Raw<'a>) -> Self {
        match raw {
            Raw::Int(value) => Self::from_i64(value),
            Raw::Bytes(bytes) => Self::Bytes(bytes),
            Raw::Slot(_) | Raw::Rest(_) => Self::Bytes(&[]),
        }
    }
}

impl Deref for Element<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Int(text) => text,
            Self::Joined(text) => &text.bytes[..usize::from(text.len)],
        }
    }
}

impl AsRef<[u8]> for Element<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Element<'_> {}

impl PartialEq<[u8]> for Element<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl std::fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(element: &Encoded<'_>) -> Vec<u8> {
        [element.head(), element.data()].concat()
    }

    #[test]
    fn integers_take_few_bytes() {
        for (value, bytes) in [
            (0, 1),
            (127, 1),
            (128, 3),
            (-1, 2),
            (-128, 2),
            (32767, 3),
            (32768, 4),
            (1_732_240_000_000, 7),
            (i64::MAX, 9),
            (i64::MIN, 9),
        ] {
            let encoded = Encoded::int(value);
            assert_eq!(encoded.len(), bytes, "{value}");
            assert_eq!(read(&packed(&encoded)), (Raw::Int(value), bytes));
        }
    }

    proptest! {
        #[test]
        fn reads_back_the_same(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            any::<i64>().prop_map(|value| value.to_string().into_bytes()),
            (-40_000i64..40_000).prop_map(|value| value.to_string().into_bytes()),
            "-?0?[0-9]{0,3}".prop_map(String::into_bytes),
            (0usize..20_000).prop_map(|len| vec![7; len]),
        ], after in proptest::collection::vec(any::<u8>(), 0..4)) {
            let encoded = Encoded::new(&bytes);
            let mut all = packed(&encoded);
            let len = all.len();
            prop_assert_eq!(encoded.len(), len);
            prop_assert!(len <= bytes.len() + 5);
            all.extend_from_slice(&after);
            prop_assert_eq!(size(&all), len);
            let (raw, read_len) = read(&all);
            prop_assert_eq!(read_len, len);
            prop_assert_eq!(&*Element::from(raw), &bytes[..]);
            prop_assert!(encoded.is_at(&all));
        }

        #[test]
        fn equal_only_to_itself(a in "[0-9a]{0,4}", b in "[0-9a]{0,4}") {
            let encoded = packed(&Encoded::new(a.as_bytes()));
            prop_assert_eq!(Encoded::new(b.as_bytes()).is_at(&encoded), a == b);
        }

        #[test]
        fn a_prefix_is_not_written(prefix in "[a-c]{0,18}", rest in "[0-9a-c]{0,20}", other in "[0-9a-c]{0,20}") {
            let prefix = prefix.as_bytes();
            let whole = [prefix, rest.as_bytes()].concat();
            let kept = packed(&Encoded::after(prefix, &whole));
            let (raw, len) = read(&kept);
            prop_assert_eq!((len, size(&kept)), (kept.len(), kept.len()));
            let is_short = !prefix.is_empty() && rest.len() <= REST_MAX;
            prop_assert_eq!(matches!(raw, Raw::Rest(_)), is_short);
            let element = if let Raw::Rest(rest) = raw {
                Element::Joined(Joined::new(prefix).with(rest))
            } else {
                raw.into()
            };
            prop_assert_eq!(&*element, &whole[..]);
            prop_assert_eq!(Encoded::after(prefix, other.as_bytes()).is_at(&kept), other.as_bytes() == whole);
            prop_assert_eq!(size_of_val(&element), 32);
        }

        #[test]
        fn bytes_stay_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100), slot: u32) {
            let kept = packed(&Encoded::bytes(&bytes));
            prop_assert_eq!(read(&kept).0, Raw::Bytes(&bytes));
            let kept = packed(&Encoded::slot(slot));
            prop_assert_eq!(read(&kept), (Raw::Slot(slot), 5));
        }
    }
}
