//! Decodes values. The bytes come from clients: every length is checked against the bytes left, and a
//! collection grows only as its bytes arrive.

use super::error::{Read, RestoreError};
use super::listpack::Listpack;
use super::packed::{Element, Elements, signed_le};
use super::reader::Reader;
use super::ziplist::Ziplist;
use super::zipmap::Zipmap;
use super::{Family, Limits, Nothing, Restored, kind, stream, text_record};
use crate::keyspace::record::RecordBox;
use crate::keyspace::value::Object;
use crate::primitives::number::{format_i64, parse_f64, parse_i64};
use crate::primitives::thin::Owned;
use crate::types::hash::Hash;
use crate::types::list::{End, List};
use crate::types::set::Set;
use crate::types::zset::ZSet;

/// What was read of a value.
#[derive(Debug)]
pub enum Decoded {
    /// All that there is of it.
    Value(Restored),
    /// A collection without elements, which some old versions of Redis wrote.
    Empty,
    /// A hash or set all of whose fields or members have ended.
    Ended,
}

/// Reads type and value, which have to use up all of `bytes`. `family` says whose types they are.
pub fn value(bytes: &[u8], family: Family, limits: &Limits) -> Read<Restored> {
    let (&kind, value) = bytes.split_first().ok_or(RestoreError::Format)?;
    let kind = kind::of(kind, family).ok_or(RestoreError::Format)?;
    match decode(kind, value, limits, 0)? {
        Decoded::Value(restored) => Ok(restored),
        Decoded::Empty | Decoded::Ended => Err(RestoreError::Format),
    }
}

/// Reads a value of a type, which has to use up all of `bytes`. Fields of hashes that ended before `past_ms`
/// (milliseconds of Unix time) are left out.
pub fn decode(kind: u8, bytes: &[u8], limits: &Limits, past_ms: u64) -> Read<Decoded> {
    let mut reader = Reader { bytes, string_max: limits.string_max };
    let decoded = match kind {
        kind::STRING => Decoded::Value(Restored::Text(reader.string()?)),
        kind => object(kind, &mut reader, limits, past_ms)?,
    };
    if reader.bytes.is_empty() { Ok(decoded) } else { Err(RestoreError::Format) }
}

/// Makes a record of a value of a type: what [`decode`] reads, without a copy of strings in between. `None`
/// where there is nothing to keep.
pub fn record(
    kind: u8,
    bytes: &[u8],
    key: &[u8],
    expire_at_ms: Option<u64>,
    limits: &Limits,
    past_ms: u64,
) -> Read<Result<RecordBox, Nothing>> {
    if kind == kind::STRING {
        let mut reader = Reader { bytes, string_max: limits.string_max };
        let text = reader.text()?;
        if !reader.bytes.is_empty() {
            return Err(RestoreError::Format);
        }
        return Ok(Ok(text_record(key, &text, expire_at_ms)));
    }
    Ok(match decode(kind, bytes, limits, past_ms)? {
        Decoded::Value(restored) => Ok(restored.into_record(key, expire_at_ms)),
        Decoded::Empty => Err(Nothing::Empty),
        Decoded::Ended => Err(Nothing::Ended),
    })
}

/// Reads a value that is not a string, behind its type.
fn object(kind: u8, reader: &mut Reader<'_>, limits: &Limits, past_ms: u64) -> Read<Decoded> {
    let object = match kind {
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            Object::List(list(kind, reader, limits)?)
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => match set(kind, reader, limits)? {
            Some(set) => Object::Set(set),
            None => return Ok(Decoded::Empty),
        },
        kind::HASH | kind::HASH_2 | kind::HASH_METADATA_PRE_GA | kind::HASH_METADATA => {
            return hash(kind, reader, limits, past_ms);
        }
        kind::HASH_LISTPACK_EX_PRE_GA | kind::HASH_LISTPACK_EX => {
            return hash_listpack_ex(kind, reader, limits, past_ms);
        }
        kind::HASH_ZIPMAP => Object::Hash(packed_hash(Zipmap::new(&reader.text()?)?, limits)?),
        kind::HASH_ZIPLIST => Object::Hash(packed_hash(Ziplist::new(&reader.text()?)?, limits)?),
        kind::HASH_LISTPACK => Object::Hash(packed_hash(Listpack::new(&reader.text()?)?, limits)?),
        kind::ZSET | kind::ZSET_2 => Object::Zset(zset(kind, reader, limits)?),
        kind::ZSET_ZIPLIST => Object::Zset(packed_zset(Ziplist::new(&reader.text()?)?, limits)?),
        kind::ZSET_LISTPACK => Object::Zset(packed_zset(Listpack::new(&reader.text()?)?, limits)?),
        kind::STREAM_LISTPACKS
        | kind::STREAM_LISTPACKS_2
        | kind::STREAM_LISTPACKS_3
        | kind::STREAM_LISTPACKS_4
        | kind::STREAM_LISTPACKS_5 => {
            let stream = stream::read(reader, kind, limits)?;
            return Ok(Decoded::Value(Restored::Object(Object::Stream(Owned::new(stream)))));
        }
        _ => return Err(RestoreError::Format),
    };
    Ok(match object.free_effort() {
        0 => Decoded::Empty,
        _ => Decoded::Value(Restored::Object(object)),
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
                list.push(End::Tail, &reader.text()?, &limits.list);
            }
        }
        kind::LIST_ZIPLIST => push_all(&mut list, Ziplist::new(&reader.text()?)?, limits)?,
        kind::LIST_QUICKLIST => {
            for _ in 0..reader.count()? {
                push_all(&mut list, Ziplist::new(&reader.text()?)?, limits)?;
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
    let node = reader.text()?;
    match container {
        // Only long elements stand by themselves.
        PLAIN if node.is_empty() => return Err(RestoreError::Format),
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

/// Reads a set; `None` for one without members.
fn set(kind: u8, reader: &mut Reader<'_>, limits: &Limits) -> Read<Option<Set>> {
    let mut set = None;
    match kind {
        kind::SET => {
            let count = reader.count()?;
            for _ in 0..count {
                let member = reader.text()?;
                // In the encoding of so many members from the start.
                let set = set.get_or_insert_with(|| Set::new_for(&member, &limits.set, count));
                if !set.add(&member, &limits.set) {
                    return Err(RestoreError::Format);
                }
            }
        }
        kind::SET_INTSET => intset(&reader.text()?, &mut set, limits)?,
        _ => {
            let packed = reader.text()?;
            let mut members = Listpack::new(&packed)?;
            while let Some(member) = members.next()? {
                add_member(&mut set, &member, limits)?;
            }
        }
    }
    Ok(set)
}

/// Reads a set, beside which stands when each member ends (`ends`, see
/// [`member_ends`](super::write::member_ends)); members that ended before `past_ms` are left out.
pub fn set_with_ends(
    kind: u8,
    bytes: &[u8],
    ends: &[u8],
    limits: &Limits,
    past_ms: u64,
) -> Read<Option<Set>> {
    if kind != kind::SET {
        return Err(RestoreError::Format);
    }
    let mut reader = Reader { bytes, string_max: limits.string_max };
    let (count, (ends, rest)) = (reader.count()?, ends.as_chunks::<8>());
    if ends.len() != count || !rest.is_empty() {
        return Err(RestoreError::Format);
    }
    let mut set = None;
    for end in ends {
        let member = reader.text()?;
        let end_ms = u64::try_from(i64::from_le_bytes(*end)).ok();
        // The time 0 is over whatever the time is, and a set has no member that ends then.
        if end_ms.is_some_and(|end_ms| end_ms < past_ms.max(1)) {
            continue;
        }
        let set = set.get_or_insert_with(|| Set::new_for(&member, &limits.set, count));
        if !set.add(&member, &limits.set) {
            return Err(RestoreError::Format);
        }
        if let Some(end_ms) = end_ms {
            set.set_expire(&member, end_ms);
        }
    }
    if reader.bytes.is_empty() { Ok(set) } else { Err(RestoreError::Format) }
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

/// Reads fields and values. Some forms say when each field ends, in milliseconds of Unix time: behind the
/// value, -1 for never; or before the field, 0 for never, and otherwise counted from one millisecond before
/// the first end, which stands before all.
fn hash(kind: u8, reader: &mut Reader<'_>, limits: &Limits, past_ms: u64) -> Read<Decoded> {
    let mut fields = Fields::new(limits, past_ms);
    let from_ms = match kind {
        kind::HASH_METADATA => u64::from_le_bytes(reader.array()?).saturating_sub(1),
        _ => 0,
    };
    let count = reader.count()?;
    if kind == kind::HASH {
        fields.hash.expect(count, &limits.hash);
    }
    for _ in 0..count {
        let mut end_ms = match kind {
            kind::HASH_METADATA | kind::HASH_METADATA_PRE_GA => match reader.length()? {
                0 => None,
                after_ms => Some(from_ms.checked_add(after_ms).ok_or(RestoreError::Format)?),
            },
            _ => None,
        };
        let (field, value) = (reader.text()?, reader.text()?);
        if kind == kind::HASH_2 {
            end_ms = u64::try_from(i64::from_le_bytes(reader.array()?)).ok();
        }
        fields.add(&field, &value, end_ms)?;
    }
    Ok(fields.end())
}

/// Reads a listpack of fields, values and when the fields end (milliseconds of Unix time, 0 for never). The
/// final form begins with the first of these.
fn hash_listpack_ex(kind: u8, reader: &mut Reader<'_>, limits: &Limits, past_ms: u64) -> Read<Decoded> {
    if kind == kind::HASH_LISTPACK_EX {
        reader.array::<8>()?;
    }
    let packed = reader.text()?;
    let mut elements = Listpack::new(&packed)?;
    let mut fields = Fields::new(limits, past_ms);
    while let Some(field) = elements.next()? {
        let value = elements.next()?.ok_or(RestoreError::Format)?;
        let end = elements.next()?.and_then(|end| parse_i64(&end)).ok_or(RestoreError::Format)?;
        let end_ms = u64::try_from(end).map_err(|_| RestoreError::Format)?;
        fields.add(&field, &value, (end_ms > 0).then_some(end_ms))?;
    }
    Ok(fields.end())
}

/// A hash that is being read, without the fields that have ended.
struct Fields<'l> {
    hash: Hash,
    limits: &'l Limits,
    past_ms: u64,
    any_ended: bool,
}

impl<'l> Fields<'l> {
    fn new(limits: &'l Limits, past_ms: u64) -> Self {
        Self { hash: Hash::new(), limits, past_ms, any_ended: false }
    }

    fn add(&mut self, field: &[u8], value: &[u8], end_ms: Option<u64>) -> Read<()> {
        if end_ms.is_some_and(|end_ms| i64::try_from(end_ms).is_err()) {
            return Err(RestoreError::Format);
        }
        // The time 0 is over whatever the time is, and walks over fields pass over it.
        if end_ms.is_some_and(|end_ms| end_ms < self.past_ms.max(1)) {
            self.any_ended = true;
            return Ok(());
        }
        add_field(&mut self.hash, field, value, self.limits)?;
        if let Some(end_ms) = end_ms {
            self.hash.set_expire(field, end_ms);
        }
        Ok(())
    }

    fn end(self) -> Decoded {
        match (self.hash.is_empty(), self.any_ended) {
            (false, _) => Decoded::Value(Restored::Object(Object::Hash(self.hash))),
            (true, false) => Decoded::Empty,
            (true, true) => Decoded::Ended,
        }
    }
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
    let mut members = Vec::new();
    for _ in 0..reader.count()? {
        let member = reader.text()?;
        let score = match kind {
            kind::ZSET => reader.decimal()?,
            _ => f64::from_le_bytes(reader.array()?),
        };
        members.push((member, score));
    }
    // Redis and Valkey write the highest score first. Added in rising order, the leaves' scores keep their
    // base and are not packed anew with each member.
    let falls = matches!(&*members, [(_, first), .., (_, last)] if first > last);
    let mut zset = ZSet::new();
    let mut add = |(member, score): (Element<'_>, f64)| add_scored(&mut zset, &member, score, limits);
    if falls {
        members.into_iter().rev().try_for_each(&mut add)?;
    } else {
        members.into_iter().try_for_each(&mut add)?;
    }
    Ok(zset)
}

fn packed_zset<'a>(mut elements: impl Elements<'a>, limits: &Limits) -> Read<ZSet> {
    let mut zset = ZSet::new();
    while let Some(member) = elements.next()? {
        let score = elements.next()?.ok_or(RestoreError::Format)?;
        let no_score = if score.eq_ignore_ascii_case(b"nan") { NAN_SCORE } else { RestoreError::Format };
        add_scored(&mut zset, &member, parse_f64(&score).ok_or(no_score)?, limits)?;
    }
    Ok(zset)
}

/// A score that no sorted set can have.
const NAN_SCORE: RestoreError = RestoreError::Named("Sorted set with a NAN score");

fn add_scored(zset: &mut ZSet, member: &[u8], score: f64, limits: &Limits) -> Read<()> {
    if score.is_nan() {
        return Err(NAN_SCORE);
    }
    if zset.set(member, score, &limits.zset).is_some() {
        return Err(RestoreError::Format);
    }
    Ok(())
}
