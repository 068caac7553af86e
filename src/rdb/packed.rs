//! What the packed forms of RDB (listpack, ziplist, zipmap) share: reading their elements one after the
//! other.

use std::fmt;
use std::ops::Deref;

use super::error::Read;
use crate::primitives::number::{IntText, format_i64};

/// An element of a packed form, or a string. Dereferences to its bytes; a number's are its decimal text.
pub enum Element<'a> {
    /// Bytes of the payload.
    Text(&'a [u8]),
    /// A number that was kept in binary.
    Number(IntText),
    /// Bytes that were compressed.
    Owned(Vec<u8>),
}

impl Element<'_> {
    /// A number's decimal text.
    pub fn number(value: i64) -> Self {
        Element::Number(format_i64(value))
    }

    /// The number in one to eight little-endian bytes, signed.
    pub fn number_of(bytes: &[u8]) -> Option<Self> {
        Some(Self::number(signed_le(bytes)?))
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

impl Deref for Element<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Element::Text(text) => text,
            Element::Number(text) => text,
            Element::Owned(text) => text,
        }
    }
}

/// The elements of a packed form, checked while they are read. Nothing is copied, and no memory is reserved
/// for a length that the payload only claims.
pub trait Elements<'a> {
    /// The next element. `None` behind the last one, if what follows the elements is right, too.
    ///
    /// # Errors
    /// The bytes are not of this form. Elements read before must not be used then.
    fn next(&mut self) -> Read<Option<Element<'a>>>;
}

/// The signed number in one to eight little-endian bytes.
pub fn signed_le(bytes: &[u8]) -> Option<i64> {
    let mut wide = [if bytes.last()? & 0x80 != 0 { 0xff } else { 0 }; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}
