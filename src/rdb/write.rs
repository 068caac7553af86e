//! Encodes values.

use super::output::Output;
use super::{FIELD_ENDS_VERSION, VERSION, kind, stream};
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;
use crate::types::hash::Hash;
use crate::types::set::{Live, Set};

/// Writes type and value. Returns the version that a reader has to know.
pub fn value(record: &Record, out: &mut impl Output) -> u16 {
    let (kind, version) = kind_of(record);
    out.bytes().push(kind);
    body(record, kind, out);
    version
}

/// The number of a value's type, and the version that a reader has to know.
pub fn kind_of(record: &Record) -> (u8, u16) {
    let ValueRef::Object(object) = record.value() else { return (kind::STRING, VERSION) };
    match object {
        Object::Text(_) => (kind::STRING, VERSION),
        Object::List(_) => (kind::LIST, VERSION),
        Object::Set(_) => (kind::SET, VERSION),
        Object::Zset(_) => (kind::ZSET_2, VERSION),
        Object::Hash(hash) if hash.has_expiries() => (kind::HASH_2, FIELD_ENDS_VERSION),
        Object::Hash(_) => (kind::HASH, VERSION),
        Object::Stream(_) => (kind::STREAM_LISTPACKS_3, VERSION),
    }
}

/// Writes a value behind its type: the one of [`kind_of`], or one that an older version or Redis has for it.
pub fn body(record: &Record, kind: u8, out: &mut impl Output) {
    match record.value() {
        ValueRef::Int(number) => int(number, out.bytes()),
        ValueRef::Bytes(text) => out.string(text),
        ValueRef::Object(Object::Text(text)) => out.string(text),
        ValueRef::Object(Object::List(list)) => {
            length(list.len(), out.bytes());
            list.iter().for_each(|element| out.string(&element.joined()));
        }
        ValueRef::Object(Object::Set(set)) => members(set.at(0), out),
        ValueRef::Object(Object::Zset(zset)) => {
            length(zset.len(), out.bytes());
            for (member, score) in zset.iter() {
                out.string(&member);
                out.bytes().extend_from_slice(&score.to_le_bytes());
            }
        }
        ValueRef::Object(Object::Hash(value)) => hash(value, kind, out),
        ValueRef::Object(Object::Stream(value)) => stream::write(value, kind, out),
    }
}

/// Writes the members of a set.
pub fn members(members: Live<'_>, out: &mut impl Output) {
    length(members.len(), out.bytes());
    members.iter().for_each(|member| out.string(&member));
}

/// Writes a hash. At time 0 no field has expired, so all are written.
fn hash(hash: &Hash, kind: u8, out: &mut impl Output) {
    let first_ms = hash.next_expiry_ms().unwrap_or(0);
    if kind == kind::HASH_METADATA {
        out.bytes().extend_from_slice(&first_ms.to_le_bytes());
    }
    length(hash.len(), out.bytes());
    for (field, value) in hash.iter(0) {
        let end_ms = || hash.expire_at_ms(&field);
        if kind == kind::HASH_METADATA {
            // 0 for never, otherwise counted from one millisecond before the first end.
            length(end_ms().map_or(0, |end_ms| end_ms.saturating_sub(first_ms) + 1) as usize, out.bytes());
        }
        out.string(&field);
        out.string(&value);
        if kind == kind::HASH_2 {
            element_end(end_ms(), out.bytes());
        }
    }
}

/// When the members of a set end, in the order in which [`body`] writes them, as [`element_end`] writes it: what
/// stands beside a set in files, since no type has a place for it.
pub fn member_ends(set: &Set) -> Vec<u8> {
    let mut out = Vec::new();
    set.at(0).iter().for_each(|member| element_end(set.expire_at_ms(&member), &mut out));
    out
}

/// Writes when a field or member ends, in milliseconds of Unix time; -1 where it does not.
pub fn element_end(end_ms: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(&end_ms.map_or(-1, |end_ms| end_ms as i64).to_le_bytes());
}

/// Writes a length: six bits, 14 bits, 32 or 64 bits, told apart by the first two bits.
pub fn length(len: usize, out: &mut Vec<u8>) {
    if len < 1 << 6 {
        out.push(len as u8);
    } else if len < 1 << 14 {
        out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]);
    } else if let Ok(len) = u32::try_from(len) {
        out.push(0x80);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// Writes a byte string; the canonical decimal of a small number is written as the number.
pub fn plain_string(text: &[u8], out: &mut Vec<u8>) {
    const DECIMAL_MAX: usize = 11;
    if text.len() <= DECIMAL_MAX
        && let Some(number) = crate::primitives::number::parse_i64(text)
        && small_int(number, out)
    {
        return;
    }
    length(text.len(), out);
    out.extend_from_slice(text);
}

fn int(number: i64, out: &mut Vec<u8>) {
    if !small_int(number, out) {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(number).as_bytes();
        length(text.len(), out);
        out.extend_from_slice(text);
    }
}

/// Writes a number of up to 32 bits as such. Returns false for larger ones.
fn small_int(number: i64, out: &mut Vec<u8>) -> bool {
    if let Ok(number) = i8::try_from(number) {
        out.push(0xc0);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xc1);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xc2);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        return false;
    }
    true
}
