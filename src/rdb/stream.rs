//! Streams in RDB: blocks of entries as listpacks, then the stream's own numbers, then its groups.
//!
//! A block's listpack begins with how many entries it has, how many of them are deleted, and the field names that most of them
//! share. An entry is its flags, the differences of its id to the block's, its fields and how many elements that were.

use super::Limits;
use super::kind;
use super::listpack;
use super::read::{Read, Reader, RestoreError};
use super::write::{length, string};
use crate::types::number::parse_i64;
use crate::types::stream::group::{ConsumerIndex, Pending};
use crate::types::stream::{Group, Stream, StreamId};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// What an unknown number of read entries is written as.
const UNKNOWN: i64 = -1;

const BAD: RestoreError = RestoreError::Format;

/// Writes a stream as type 21.
pub fn write(stream: &Stream, out: &mut Vec<u8>) {
    length(stream.block_count(), out);
    for block in stream.packed() {
        text(&block.first().to_bytes(), out);
        let mut pack = listpack::Writer::new();
        let names: Vec<_> = block.names().collect();
        pack.push_int(block.len() as i64);
        pack.push_int(0);
        pack.push_int(names.len() as i64);
        names.iter().for_each(|name| pack.push(name));
        pack.push_int(0);
        for (entry, has_block_names) in block.entries() {
            pack.push_int(if has_block_names { SAME_FIELDS } else { 0 });
            pack.push_int(entry.id.ms.wrapping_sub(block.first().ms) as i64);
            pack.push_int(entry.id.seq.wrapping_sub(block.first().seq) as i64);
            let count = entry.field_count() as i64;
            if !has_block_names {
                pack.push_int(count);
            }
            for (name, value) in entry.fields() {
                if !has_block_names {
                    pack.push(&name);
                }
                pack.push(&value);
            }
            pack.push_int(if has_block_names { 3 + count } else { 4 + 2 * count });
        }
        text(&pack.finish(), out);
    }
    length(stream.len(), out);
    id(stream.last_id(), out);
    id(stream.first_id(), out);
    id(stream.max_deleted_id(), out);
    number(stream.entries_added(), out);
    length(stream.groups().len(), out);
    for (name, group) in stream.groups() {
        string(name, out);
        write_group(group, out);
    }
}

fn write_group(group: &Group, out: &mut Vec<u8>) {
    id(group.last_id, out);
    number(group.entries_read.unwrap_or(UNKNOWN as u64), out);
    length(group.pending_count(), out);
    for (id, pending) in group.pending_range(StreamId::MIN, StreamId::MAX) {
        out.extend_from_slice(&id.to_bytes());
        out.extend_from_slice(&pending.delivered_at_ms.to_le_bytes());
        number(pending.deliveries, out);
    }
    length(group.consumer_count(), out);
    for consumer in group.consumers() {
        string(consumer.name(), out);
        out.extend_from_slice(&consumer.seen_at_ms.to_le_bytes());
        out.extend_from_slice(&consumer.active_at_ms.to_le_bytes());
        length(consumer.pending_count(), out);
        for id in consumer.pending_from(StreamId::MIN) {
            out.extend_from_slice(&id.to_bytes());
        }
    }
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn number(value: u64, out: &mut Vec<u8>) {
    length(value as usize, out);
}

fn id(id: StreamId, out: &mut Vec<u8>) {
    number(id.ms, out);
    number(id.seq, out);
}

/// Reads a stream of one of the three types behind its type's number.
pub fn read(reader: &mut Reader<'_>, kind: u8, limits: &Limits) -> Read<Stream> {
    let mut stream = Stream::new();
    for _ in 0..reader.count()? {
        let first = reader.string()?.try_into().map_err(|_| BAD)?;
        read_block(StreamId::from_bytes(first), &reader.string()?, &mut stream, limits)?;
    }
    if reader.length()? != stream.len() as u64 {
        return Err(BAD);
    }
    let last_id = read_id(reader)?;
    if last_id < stream.last_id() {
        return Err(BAD);
    }
    stream.set_last_id(last_id);
    if kind != kind::STREAM_LISTPACKS {
        // The first entry's id, which is known.
        read_id(reader)?;
        stream.set_max_deleted_id(read_id(reader)?);
        stream.set_entries_added(reader.length()?);
    }
    for _ in 0..reader.count()? {
        let name = reader.string()?;
        let group = read_group(reader, kind, &stream)?;
        if !stream.add_group(&name, group) {
            return Err(BAD);
        }
    }
    Ok(stream)
}

fn read_id(reader: &mut Reader<'_>) -> Read<StreamId> {
    Ok(StreamId::new(reader.length()?, reader.length()?))
}

fn raw_id(reader: &mut Reader<'_>) -> Read<StreamId> {
    Ok(StreamId::from_bytes(reader.array()?))
}

/// The elements of a block's listpack, one after the other.
struct Elements(std::vec::IntoIter<Vec<u8>>);

impl Elements {
    fn text(&mut self) -> Read<Vec<u8>> {
        self.0.next().ok_or(BAD)
    }

    fn int(&mut self) -> Read<i64> {
        parse_i64(&self.text()?).ok_or(BAD)
    }

    /// A number of elements that follow, `width` for each.
    fn count(&mut self, width: usize) -> Read<usize> {
        let count = usize::try_from(self.int()?).map_err(|_| BAD)?;
        if count > self.0.len() / width { Err(BAD) } else { Ok(count) }
    }
}

fn read_block(first: StreamId, bytes: &[u8], stream: &mut Stream, limits: &Limits) -> Read<()> {
    let mut elements = Elements(listpack::elements(bytes)?.into_iter());
    let (live, deleted) = (elements.count(1)?, elements.count(1)?);
    let name_count = elements.count(1)?;
    let mut names = Vec::with_capacity(name_count);
    for _ in 0..name_count {
        names.push(elements.text()?);
    }
    if elements.int()? != 0 || live == 0 {
        return Err(BAD);
    }
    let (mut found_live, mut found_deleted) = (0, 0);
    while elements.0.len() > 0 {
        let before = elements.0.len();
        let flags = elements.int()?;
        let ms = first.ms.wrapping_add(elements.int()? as u64);
        let seq = first.seq.wrapping_add(elements.int()? as u64);
        let mut pairs = Vec::new();
        if flags & SAME_FIELDS != 0 {
            for name in &names {
                pairs.push(name.clone());
                pairs.push(elements.text()?);
            }
        } else {
            for _ in 0..elements.count(2)? {
                pairs.push(elements.text()?);
                pairs.push(elements.text()?);
            }
        }
        let len = before - elements.0.len();
        if elements.int()? != len as i64 {
            return Err(BAD);
        }
        if flags & DELETED != 0 {
            found_deleted += 1;
            continue;
        }
        let id = StreamId::new(ms, seq);
        if id < first || pairs.is_empty() {
            return Err(BAD);
        }
        stream.append(id, &pairs, &limits.stream).map_err(|_| BAD)?;
        found_live += 1;
    }
    if (found_live, found_deleted) == (live, deleted) { Ok(()) } else { Err(BAD) }
}

fn read_group(reader: &mut Reader<'_>, kind: u8, stream: &Stream) -> Read<Group> {
    let last_id = read_id(reader)?;
    let entries_read = if kind == kind::STREAM_LISTPACKS {
        stream.progress().added_up_to(last_id)
    } else {
        match reader.length()? as i64 {
            UNKNOWN => None,
            count => Some(u64::try_from(count).map_err(|_| BAD)?),
        }
    };
    let mut group = Group::new(last_id, entries_read);
    let mut delivered = std::collections::BTreeMap::new();
    for _ in 0..reader.count()? {
        let id = raw_id(reader)?;
        let delivered_at_ms = i64::from_le_bytes(reader.array()?);
        let deliveries = reader.length()?;
        if delivered.insert(id, (delivered_at_ms, deliveries)).is_some() {
            return Err(BAD);
        }
    }
    for _ in 0..reader.count()? {
        let name = reader.string()?;
        if group.find(&name).is_some() {
            return Err(BAD);
        }
        let seen_at_ms = i64::from_le_bytes(reader.array()?);
        let active_at_ms = match kind {
            kind::STREAM_LISTPACKS_3 => i64::from_le_bytes(reader.array()?),
            _ => seen_at_ms,
        };
        let consumer: ConsumerIndex = group.add_consumer(&name, seen_at_ms);
        group.consumer_mut(consumer).active_at_ms = active_at_ms;
        for _ in 0..reader.count()? {
            let id = raw_id(reader)?;
            // What is pending with a consumer is pending in the group, and with nobody else.
            let (delivered_at_ms, deliveries) = delivered.remove(&id).ok_or(BAD)?;
            group.assign(id, Pending { consumer, delivered_at_ms, deliveries });
        }
    }
    if delivered.is_empty() { Ok(group) } else { Err(BAD) }
}
