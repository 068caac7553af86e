//! Decodes values. The bytes come from clients: every length is checked against the bytes left, and a
//! collection grows only as its bytes arrive.

use super::error::{Read, RestoreError};
use super::listpack::Listpack;
use super::packed::{Elements, signed_le};
use super::reader::Reader;
use super::ziplist::Ziplist;
use super::zipmap::Zipmap;
use super::{Limits, Restored, kind, stream};
use crate::keyspace::value::Object;
use crate::primitives::number::{format_i64, parse_f64};
use crate::primitives::thin::Owned;
use crate::types::hash::Hash;
use crate::types::list::{End, List};
use crate::types::set::Set;
use crate::types::zset::ZSet;

/// Reads type and value, which have to use up all of `bytes`.
pub fn value(bytes: &[u8], limits: &Limits) -> Read<Restored> {
    let mut reader = Reader { bytes, string_max: limits.string_max };
    let restored = match reader.byte()? {
        kind::STRING => Restored::Text(reader.string()?),
        kind => Restored::Object(object(kind, &mut reader, limits)?),
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

/// Reads a value that is not a string, behind its type.
fn object(kind: u8, reader: &mut Reader<'_>, limits: &Limits) -> Read<Object> {
    Ok(match kind {
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            Object::List(list(kind, reader, limits)?)
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => Object::Set(set(kind, reader, limits)?),
        kind::HASH | kind::HASH_2 => Object::Hash(hash(kind, reader, limits)?),
        kind::HASH_ZIPMAP => Object::Hash(packed_hash(Zipmap::new(&reader.string()?)?, limits)?),
        kind::HASH_ZIPLIST => Object::Hash(packed_hash(Ziplist::new(&reader.string()?)?, limits)?),
        kind::HASH_LISTPACK => Object::Hash(packed_hash(Listpack::new(&reader.string()?)?, limits)?),
        kind::ZSET | kind::ZSET_2 => Object::Zset(zset(kind, reader, limits)?),
        kind::ZSET_ZIPLIST => Object::Zset(packed_zset(Ziplist::new(&reader.string()?)?, limits)?),
        kind::ZSET_LISTPACK => Object::Zset(packed_zset(Listpack::new(&reader.string()?)?, limits)?),
        kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3 => {
            Object::Stream(Owned::new(stream::read(reader, kind, limits)?))
        }
        _ => return Err(RestoreError::Format),
    })
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

/// Reads a list: its elements, one packed form, or nodes that are packed forms.
fn list(kind: u8, reader: &mut Reader<'_>, limits: &Limits) -> Read<List> {
    let mut list = List::new();
    match kind {
        kind::LIST => {
            for _ in 0..reader.count()? {
                list.push(End::Tail, &reader.string()?, &limits.list);
            }
        }
        kind::LIST_ZIPLIST => push_all(&mut list, Ziplist::new(&reader.string()?)?, limits)?,
        kind::LIST_QUICKLIST => {
            for _ in 0..reader.count()? {
                push_all(&mut list, Ziplist::new(&reader.string()?)?, limits)?;
            }
        }
        _ => {
            for _ in 0..reader.count()? {
                push_node(&mut list, reader, limits)?;
            }
        }
    }
    Ok(list)
}

/// Reads a node of a list's second form: one big element (1) or a listpack (2).
fn push_node(list: &mut List, reader: &mut Reader<'_>, limits: &Limits) -> Read<()> {
    const PLAIN: u64 = 1;
    const PACKED: u64 = 2;
    let container = reader.length()?;
    let node = reader.string()?;
    match container {
        PLAIN => list.push(End::Tail, &node, &limits.list),
        PACKED => push_all(list, Listpack::new(&node)?, limits)?,
        _ => return Err(RestoreError::Format),
    }
    Ok(())
}

fn push_all<'a>(list: &mut List, mut elements: impl Elements<'a>, limits: &Limits) -> Read<()> {
    while let Some(element) = elements.next()? {
        list.push(End::Tail, &element, &limits.list);
    }
    Ok(())
}

fn set(kind: u8, reader: &mut Reader<'_>, limits: &Limits) -> Read<Set> {
    let mut set = None;
    match kind {
        kind::SET => {
            for _ in 0..reader.count()? {
                add_member(&mut set, &reader.string()?, limits)?;
            }
        }
        kind::SET_INTSET => intset(&reader.string()?, &mut set, limits)?,
        _ => {
            let packed = reader.string()?;
            let mut members = Listpack::new(&packed)?;
            while let Some(member) = members.next()? {
                add_member(&mut set, &member, limits)?;
            }
        }
    }
    set.ok_or(RestoreError::Format)
}

/// Reads a set of integers: width in bytes and count, four bytes each, then numbers in rising order; all
/// little-endian.
fn intset(bytes: &[u8], set: &mut Option<Set>, limits: &Limits) -> Read<()> {
    let mut reader = Reader { bytes, string_max: limits.string_max };
    let width = u32::from_le_bytes(reader.array()?) as usize;
    let count = u32::from_le_bytes(reader.array()?) as usize;
    if !matches!(width, 2 | 4 | 8) || reader.bytes.len() != count.saturating_mul(width) {
        return Err(RestoreError::Format);
    }
    let mut before = None;
    for number in reader.bytes.chunks_exact(width) {
        let number = signed_le(number);
        if number <= before {
            return Err(RestoreError::Format);
        }
        before = number;
        add_member(set, &format_i64(number.ok_or(RestoreError::Format)?), limits)?;
    }
    Ok(())
}

fn add_member(set: &mut Option<Set>, member: &[u8], limits: &Limits) -> Read<()> {
    let set = set.get_or_insert_with(|| Set::new_for(member, &limits.set, 1));
    // A member that comes twice means broken data.
    if set.add(member, &limits.set) { Ok(()) } else { Err(RestoreError::Format) }
}

/// Reads fields and values; in the second form each with the field's expiry in milliseconds of Unix time, or
/// -1.
fn hash(kind: u8, reader: &mut Reader<'_>, limits: &Limits) -> Read<Hash> {
    let mut hash = Hash::new();
    for _ in 0..reader.count()? {
        let (field, value) = (reader.string()?, reader.string()?);
        add_field(&mut hash, &field, &value, limits)?;
        if kind == kind::HASH_2 {
            let at_ms = i64::from_le_bytes(reader.array()?);
            if let Ok(at_ms) = u64::try_from(at_ms) {
                hash.set_expire(&field, at_ms);
            }
        }
    }
    Ok(hash)
}

fn packed_hash<'a>(mut elements: impl Elements<'a>, limits: &Limits) -> Read<Hash> {
    let mut hash = Hash::new();
    while let Some(field) = elements.next()? {
        let value = elements.next()?.ok_or(RestoreError::Format)?;
        add_field(&mut hash, &field, &value, limits)?;
    }
    Ok(hash)
}

fn add_field(hash: &mut Hash, field: &[u8], value: &[u8], limits: &Limits) -> Read<()> {
    if hash.set(field, value, 0, &limits.hash) { Ok(()) } else { Err(RestoreError::Format) }
}

/// Reads members and scores, which are text in the first form and binary in the second.
fn zset(kind: u8, reader: &mut Reader<'_>, limits: &Limits) -> Read<ZSet> {
    let mut zset = ZSet::new();
    for _ in 0..reader.count()? {
        let member = reader.string()?;
        let score = match kind {
            kind::ZSET => reader.decimal()?,
            _ => f64::from_le_bytes(reader.array()?),
        };
        add_scored(&mut zset, &member, score, limits)?;
    }
    Ok(zset)
}

fn packed_zset<'a>(mut elements: impl Elements<'a>, limits: &Limits) -> Read<ZSet> {
    let mut zset = ZSet::new();
    while let Some(member) = elements.next()? {
        let score = elements.next()?.ok_or(RestoreError::Format)?;
        add_scored(&mut zset, &member, parse_f64(&score).ok_or(RestoreError::Format)?, limits)?;
    }
    Ok(zset)
}

fn add_scored(zset: &mut ZSet, member: &[u8], score: f64, limits: &Limits) -> Read<()> {
    if score.is_nan() || zset.set(member, score, &limits.zset).is_some() {
        return Err(RestoreError::Format);
    }
    Ok(())
}
