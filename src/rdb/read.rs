//! Values from RDB. The bytes come from clients: every length is checked against what is left, and a collection grows only
//! as fast as its bytes arrive.

use thiserror::Error;

use super::{Limits, Restored, kind, listpack, lzf, stream};
use crate::keyspace::value::Object;
use crate::types::hash::Hash;
use crate::types::list::{End, List};
use crate::types::number::{format_i64, parse_f64};
use crate::types::set::Set;
use crate::types::thin::Owned;
use crate::types::zset::ZSet;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RestoreError {
    /// Version or checksum.
    #[error("ERR DUMP payload version or checksum are wrong")]
    Footer,
    /// The value.
    #[error("ERR Bad data format")]
    Format,
}

pub(super) type Read<T> = Result<T, RestoreError>;

/// Reads type and value, which have to use up all of `bytes`.
pub fn value(bytes: &[u8], limits: &Limits) -> Read<Restored> {
    let mut reader = Reader { bytes, string_max: limits.string_max };
    let restored = match reader.byte()? {
        kind::STRING => Restored::Text(reader.string()?),
        kind::LIST => {
            let mut list = List::new();
            for _ in 0..reader.count()? {
                list.push(End::Tail, &reader.string()?, &limits.list);
            }
            Restored::Object(Object::List(list))
        }
        kind::LIST_QUICKLIST_2 => Restored::Object(Object::List(quicklist(&mut reader, limits)?)),
        kind::SET => {
            let mut set = None;
            for _ in 0..reader.count()? {
                add_member(&mut set, &reader.string()?, limits)?;
            }
            Restored::Object(Object::Set(set.ok_or(RestoreError::Format)?))
        }
        kind::SET_INTSET => Restored::Object(Object::Set(intset(&reader.string()?, limits)?)),
        kind::SET_LISTPACK => {
            let mut set = None;
            for member in listpack::elements(&reader.string()?)? {
                add_member(&mut set, &member, limits)?;
            }
            Restored::Object(Object::Set(set.ok_or(RestoreError::Format)?))
        }
        kind::HASH => {
            let mut hash = Hash::new();
            for _ in 0..reader.count()? {
                let (field, value) = (reader.string()?, reader.string()?);
                add_field(&mut hash, &field, &value, limits)?;
            }
            Restored::Object(Object::Hash(hash))
        }
        kind::HASH_2 => {
            let mut hash = Hash::new();
            for _ in 0..reader.count()? {
                let (field, value) = (reader.string()?, reader.string()?);
                add_field(&mut hash, &field, &value, limits)?;
                let at_ms = i64::from_le_bytes(reader.array()?);
                if let Ok(at_ms) = u64::try_from(at_ms) {
                    hash.set_expire(&field, at_ms);
                }
            }
            Restored::Object(Object::Hash(hash))
        }
        kind::HASH_LISTPACK => {
            let mut hash = Hash::new();
            let elements = listpack::elements(&reader.string()?)?;
            if !elements.len().is_multiple_of(2) {
                return Err(RestoreError::Format);
            }
            for pair in elements.chunks_exact(2) {
                add_field(&mut hash, &pair[0], &pair[1], limits)?;
            }
            Restored::Object(Object::Hash(hash))
        }
        kind::ZSET_2 => {
            let mut zset = ZSet::new();
            for _ in 0..reader.count()? {
                let member = reader.string()?;
                add_scored(&mut zset, &member, f64::from_le_bytes(reader.array()?), limits)?;
            }
            Restored::Object(Object::Zset(zset))
        }
        kind::ZSET_LISTPACK => {
            let mut zset = ZSet::new();
            let elements = listpack::elements(&reader.string()?)?;
            if !elements.len().is_multiple_of(2) {
                return Err(RestoreError::Format);
            }
            for pair in elements.chunks_exact(2) {
                let score = parse_f64(&pair[1]).ok_or(RestoreError::Format)?;
                add_scored(&mut zset, &pair[0], score, limits)?;
            }
            Restored::Object(Object::Zset(zset))
        }
        kind @ (kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3) => {
            Restored::Object(Object::Stream(Owned::new(stream::read(&mut reader, kind, limits)?)))
        }
        _ => return Err(RestoreError::Format),
    };
    let is_empty = match &restored {
        Restored::Text(_) => false,
        Restored::Object(object) => object.free_effort() == 0,
    };
    if is_empty || !reader.bytes.is_empty() {
        return Err(RestoreError::Format);
    }
    Ok(restored)
}

/// Strings up to the end, a byte `mark` before each.
pub fn strings_after(mark: u8, bytes: &[u8], string_max: usize) -> Read<Vec<Vec<u8>>> {
    let mut reader = Reader { bytes, string_max };
    let mut strings = Vec::new();
    while !reader.bytes.is_empty() {
        if reader.byte()? != mark {
            return Err(RestoreError::Format);
        }
        strings.push(reader.string()?);
    }
    Ok(strings)
}

fn add_member(set: &mut Option<Set>, member: &[u8], limits: &Limits) -> Read<()> {
    let set = set.get_or_insert_with(|| Set::new_for(member, &limits.set, 1));
    // A member that comes twice is a sign of broken data.
    if set.add(member, &limits.set) { Ok(()) } else { Err(RestoreError::Format) }
}

fn add_field(hash: &mut Hash, field: &[u8], value: &[u8], limits: &Limits) -> Read<()> {
    if hash.set(field, value, 0, &limits.hash) { Ok(()) } else { Err(RestoreError::Format) }
}

fn add_scored(zset: &mut ZSet, member: &[u8], score: f64, limits: &Limits) -> Read<()> {
    if score.is_nan() || zset.set(member, score, &limits.zset).is_some() {
        return Err(RestoreError::Format);
    }
    Ok(())
}

/// Nodes that are one big element (1) or a listpack (2).
fn quicklist(reader: &mut Reader<'_>, limits: &Limits) -> Read<List> {
    const PLAIN: u64 = 1;
    const PACKED: u64 = 2;
    let mut list = List::new();
    for _ in 0..reader.count()? {
        let container = reader.length()?;
        let node = reader.string()?;
        match container {
            PLAIN => list.push(End::Tail, &node, &limits.list),
            PACKED => {
                for element in listpack::elements(&node)? {
                    list.push(End::Tail, &element, &limits.list);
                }
            }
            _ => return Err(RestoreError::Format),
        }
    }
    Ok(list)
}

/// Width in bytes and count, four bytes each, then sorted numbers; all little-endian.
fn intset(bytes: &[u8], limits: &Limits) -> Read<Set> {
    let mut reader = Reader { bytes, string_max: limits.string_max };
    let width = u32::from_le_bytes(reader.array()?) as usize;
    let count = u32::from_le_bytes(reader.array()?) as usize;
    if !matches!(width, 2 | 4 | 8) || reader.bytes.len() != count.saturating_mul(width) {
        return Err(RestoreError::Format);
    }
    let mut set = None;
    for number in reader.bytes.chunks_exact(width) {
        let mut wide = [if number[width - 1] & 0x80 != 0 { 0xff } else { 0 }; 8];
        wide[..width].copy_from_slice(number);
        add_member(&mut set, &format_i64(i64::from_le_bytes(wide)), limits)?;
    }
    set.ok_or(RestoreError::Format)
}

/// The bytes still to read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    string_max: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Read<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(RestoreError::Format)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| RestoreError::Format)
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A length, or `Err` with the encoding of a special string.
    fn length_or_encoding(&mut self) -> Read<Result<u64, u8>> {
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

    /// A number of elements: each takes a byte at least, so more than there are bytes is refused at once.
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
