//! Streams: blocks of entries as listpacks, then the stream's counters, then its groups.
//!
//! A block's listpack begins with the numbers of its entries and of its deleted entries, and the field names
//! that most entries share. An entry is its flags, the difference of its id to the block's, its fields, and
//! the number of its elements.

use super::Limits;
use super::error::{Read, RestoreError};
use super::kind;
use super::listpack;
use super::output::Output;
use super::reader::Reader;
use super::write::length;
use crate::primitives::number::parse_i64;
use crate::types::stream::group::{ConsumerIndex, Pending};
use crate::types::stream::{Group, ProducerLimits, Producers, Stream, StreamId};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// Stands for an unknown number of read entries.
const UNKNOWN: i64 = -1;

const BAD: RestoreError = RestoreError::Format;
const TWICE: RestoreError = RestoreError::Named("Duplicated consumer PEL entry");

/// Writes a stream as one of the first three types; the older two leave out what they do not know.
pub fn write(stream: &Stream, kind: u8, out: &mut impl Output) {
    write_entries(stream, out);
    id(stream.last_id(), out.bytes());
    if kind != kind::STREAM_LISTPACKS {
        id(stream.first_id(), out.bytes());
        id(stream.max_deleted_id(), out.bytes());
        number(stream.entries_added(), out.bytes());
    }
    length(stream.groups().len(), out.bytes());
    for (name, group) in stream.groups() {
        out.string(name);
        write_group(group, kind, out);
    }
}

/// Writes the blocks, and the number of their entries.
fn write_entries(stream: &Stream, out: &mut impl Output) {
    length(stream.block_count(), out.bytes());
    for block in stream.packed() {
        text(&block.first().to_bytes(), out.bytes());
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
        out.string(&pack.finish());
    }
    length(stream.len(), out.bytes());
}

fn write_group(group: &Group, kind: u8, out: &mut impl Output) {
    id(group.last_id, out.bytes());
    if kind != kind::STREAM_LISTPACKS {
        number(group.entries_read.unwrap_or(UNKNOWN as u64), out.bytes());
    }
    length(group.pending_count(), out.bytes());
    for (id, pending) in group.pending_range(StreamId::MIN, StreamId::MAX) {
        out.bytes().extend_from_slice(&id.to_bytes());
        out.bytes().extend_from_slice(&pending.delivered_at_ms.to_le_bytes());
        number(pending.deliveries, out.bytes());
    }
    length(group.consumer_count(), out.bytes());
    for consumer in group.consumers() {
        out.string(consumer.name());
        out.bytes().extend_from_slice(&consumer.seen_at_ms.to_le_bytes());
        if kind == kind::STREAM_LISTPACKS_3 {
            out.bytes().extend_from_slice(&consumer.active_at_ms.to_le_bytes());
        }
        length(consumer.pending_count(), out.bytes());
        for id in consumer.pending_from(StreamId::MIN) {
            out.bytes().extend_from_slice(&id.to_bytes());
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

/// Reads a stream of one of the five types, behind its type's number. The last two are Redis's: the fourth
/// has the ids of producers whose requests may come twice, the fifth also pending entries that no consumer
/// has: they are pending with one that stands for nobody.
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
        // The first entry's id, which the blocks say already.
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
    if matches!(kind, kind::STREAM_LISTPACKS_4 | kind::STREAM_LISTPACKS_5) {
        let producers = read_producers(reader)?;
        if producers.added > 0 || producers.limits() != ProducerLimits::default() {
            stream.set_producers(producers);
        }
    }
    Ok(stream)
}

/// Writes what is known of producers as Redis 8.6 does behind a stream's groups: for how long (seconds) and how
/// many ids of each are kept, the producers with their ids and entries, and the two counts.
pub fn write_producers(producers: &Producers, out: &mut Vec<u8>) {
    let limits = producers.limits();
    number(limits.duration_s, out);
    length(limits.max_ids, out);
    length(producers.iter().len(), out);
    for (name, ids) in producers.iter() {
        text(name, out);
        length(ids.len(), out);
        for (name, entry) in ids {
            text(name, out);
            id(entry, out);
        }
    }
    number(producers.added, out);
    number(producers.duplicates, out);
}

/// Reads what [`write_producers`] writes.
fn read_producers(reader: &mut Reader<'_>) -> Read<Producers> {
    let (duration_s, max_ids) = (reader.length()?, reader.length()?);
    let max_ids = usize::try_from(max_ids).ok().filter(|max| (1..=ProducerLimits::IDS_MAX).contains(max));
    if !(1..=ProducerLimits::DURATION_MAX_S).contains(&duration_s) {
        return Err(BAD);
    }
    let mut producers = Producers::new(ProducerLimits { duration_s, max_ids: max_ids.ok_or(BAD)? });
    for _ in 0..reader.count()? {
        let producer = reader.string()?;
        for _ in 0..reader.count()? {
            let name = reader.string()?;
            producers.insert(&producer, &name, read_id(reader)?);
        }
    }
    (producers.added, producers.duplicates) = (reader.length()?, reader.length()?);
    Ok(producers)
}

/// Puts what [`write_producers`] wrote of a stream beside its value back into it.
pub fn add_producers(bytes: &[u8], stream: &mut Stream) -> Read<()> {
    let mut reader = Reader { bytes, string_max: bytes.len() };
    let producers = read_producers(&mut reader)?;
    if !reader.bytes.is_empty() {
        return Err(BAD);
    }
    stream.set_producers(producers);
    Ok(())
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

    /// Reads a count of things that take `width` elements each.
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
            return Err(RestoreError::Named("Duplicate stream consumer detected"));
        }
        let seen_at_ms = i64::from_le_bytes(reader.array()?);
        let active_at_ms = match kind {
            kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 => seen_at_ms,
            _ => i64::from_le_bytes(reader.array()?),
        };
        let consumer: ConsumerIndex = group.add_consumer(&name, seen_at_ms);
        group.consumer_mut(consumer).active_at_ms = active_at_ms;
        for _ in 0..reader.count()? {
            let id = raw_id(reader)?;
            // An entry pending with a consumer has to be pending in the group, and with no other consumer.
            let (delivered_at_ms, deliveries) =
                delivered.remove(&id).ok_or(if group.pending(id).is_some() { TWICE } else { BAD })?;
            group.assign(id, Pending { consumer, delivered_at_ms, deliveries });
        }
    }
    if kind == kind::STREAM_LISTPACKS_5 {
        for _ in 0..reader.count()? {
            let id = raw_id(reader)?;
            let (_, deliveries) = delivered.remove(&id).ok_or(BAD)?;
            group.release(id, deliveries);
        }
    }
    if delivered.is_empty() { Ok(group) } else { Err(BAD) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::record::Record;
    use crate::keyspace::value::Object;
    use crate::primitives::thin::Owned;
    use crate::rdb::tests::limits;
    use crate::rdb::{Restored, dump, restore, sign};
    use proptest::prelude::*;

    /// All of a stream that can be seen.
    #[derive(Debug, PartialEq)]
    struct Seen {
        entries: Vec<(StreamId, Vec<Vec<u8>>)>,
        ids: [StreamId; 2],
        entries_added: u64,
        groups: Vec<SeenGroup>,
    }

    #[derive(Debug, PartialEq)]
    struct SeenGroup {
        name: Vec<u8>,
        last_id: StreamId,
        entries_read: Option<u64>,
        /// Name, when seen and when active, and what is pending.
        consumers: Vec<(Vec<u8>, i64, i64, Vec<StreamId>)>,
        /// Id, who has it, since when, how often.
        pending: Vec<(StreamId, Vec<u8>, i64, u64)>,
    }

    fn seen(stream: &Stream) -> Seen {
        let fields = |entry: crate::types::stream::Entry<'_>| {
            entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect()
        };
        let groups = stream.groups().map(|(name, group)| SeenGroup {
            name: name.to_vec(),
            last_id: group.last_id,
            entries_read: group.entries_read,
            consumers: group
                .consumers()
                .map(|consumer| {
                    let pending = consumer.pending_from(StreamId::MIN).collect();
                    (consumer.name().to_vec(), consumer.seen_at_ms, consumer.active_at_ms, pending)
                })
                .collect(),
            pending: group
                .pending_range(StreamId::MIN, StreamId::MAX)
                .map(|(id, pending)| {
                    let consumer = group.consumer(pending.consumer).name().to_vec();
                    (id, consumer, pending.delivered_at_ms, pending.deliveries)
                })
                .collect(),
        });
        Seen {
            entries: stream
                .range(StreamId::MIN, StreamId::MAX)
                .map(|entry| (entry.id, fields(entry)))
                .collect(),
            ids: [stream.last_id(), stream.max_deleted_id()],
            entries_added: stream.entries_added(),
            groups: groups.collect(),
        }
    }

    /// A stream that shows what is in it when a test fails.
    struct Example(Stream);

    impl std::fmt::Debug for Example {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            seen(&self.0).fmt(f)
        }
    }

    fn pairs() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let value = prop_oneof![
            Just(b"same".to_vec()),
            any::<i64>().prop_map(|value| value.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..90),
        ];
        let named = (Just(b"name".to_vec()), value.clone()).prop_map(|(name, value)| vec![name, value]);
        let any_pairs = prop::collection::vec(value, 1..4)
            .prop_map(|values| values.iter().flat_map(|value| [value.clone(), value.clone()]).collect());
        prop_oneof![3 => named, 1 => any_pairs]
    }

    /// A stream of some entries, some of them deleted, with groups that have read some of it.
    fn streams() -> impl Strategy<Value = Example> {
        let entry = (0u64..9, 0u64..9, pairs(), any::<bool>(), 0u8..5);
        let group = (0u64..300, prop::option::of(0u64..300), 1u8..4);
        (prop::collection::vec(entry, 0..150), prop::collection::vec(group, 0..4), any::<u32>()).prop_map(
            |(entries, groups, time)| {
                let mut stream = Stream::new();
                let mut kept: Vec<(StreamId, u8)> = Vec::new();
                for (later_ms, seq, pairs, keep, consumer) in entries {
                    let id = StreamId::new(stream.last_id().ms + later_ms, seq);
                    if stream.append(id, &pairs, &limits().stream).is_err() {
                        continue;
                    }
                    // What is pending may have been deleted.
                    kept.push((id, consumer));
                    if !keep && seq % 3 == 0 {
                        stream.delete(id);
                    }
                }
                for (number, (last_ms, entries_read, consumers)) in groups.into_iter().enumerate() {
                    let mut group = Group::new(StreamId::new(last_ms, 3), entries_read);
                    for name in 0..consumers {
                        group.add_consumer(&[name], i64::from(time));
                    }
                    for &(id, consumer) in kept.iter().filter(|(_, consumer)| *consumer < consumers) {
                        let consumer = ConsumerIndex::from(consumer);
                        let delivered_at_ms = i64::from(time) + id.seq as i64;
                        group.assign(id, Pending { consumer, delivered_at_ms, deliveries: id.ms });
                        group.consumer_mut(consumer).active_at_ms = delivered_at_ms;
                    }
                    stream.add_group(format!("group {number}").as_bytes(), group);
                }
                Example(stream)
            },
        )
    }

    /// A payload in one of the older types.
    fn older(stream: &Stream, kind: u8) -> Vec<u8> {
        let mut out = vec![kind];
        write(stream, kind, &mut out);
        sign(9, &mut out);
        out
    }

    fn restored(payload: &[u8]) -> Stream {
        match restore(payload, &limits()) {
            Ok(Restored::Object(Object::Stream(stream))) => stream.into_inner(),
            other => panic!("no stream: {other:?}"),
        }
    }

    /// Pending entries that no consumer has come from Redis's fifth type, and go into older ones with a consumer
    /// of no name.
    #[test]
    fn entries_of_no_consumer_come_back() {
        let entry = StreamId::new(1, 1);
        let mut stream = Stream::new();
        stream.append(entry, &[b"f", b"v"], &limits().stream).expect("a higher id");
        let mut bytes = Vec::new();
        write_entries(&stream, &mut bytes);
        [entry, entry, StreamId::MIN].into_iter().for_each(|part| id(part, &mut bytes));
        // One was added; the group `g` has read it, and has it pending with no consumer.
        bytes.extend([1, 1, 1, b'g']);
        id(entry, &mut bytes);
        bytes.extend(
            [&[1, 1][..], &entry.to_bytes(), &77i64.to_le_bytes(), &[3, 0, 1], &entry.to_bytes()].concat(),
        );
        // Producers: how long, how many, none, two counts.
        bytes.extend([60, 10, 0, 0, 0]);
        let found = read(&mut Reader { bytes: &bytes, string_max: 64 }, kind::STREAM_LISTPACKS_5, &limits())
            .expect("it is read");
        let expected = vec![(entry, Vec::new(), 0, 3)];
        assert_eq!(seen(&found).groups[0].pending, expected);
        let again = restored(&older(&found, kind::STREAM_LISTPACKS_2));
        assert_eq!(seen(&again).groups[0].pending, expected);
        assert_eq!(again.group(b"g").expect("the group").shown_consumers().count(), 0);
        assert!(
            read(
                &mut Reader { bytes: &bytes[..bytes.len() - 22], string_max: 64 },
                kind::STREAM_LISTPACKS_5,
                &limits()
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn streams_come_back(Example(stream) in streams()) {
            let before = seen(&stream);
            let record = Record::new_object(b"key", Object::Stream(Owned::new(stream)), None);
            prop_assert_eq!(seen(&restored(&dump(&record))), before);
        }

        #[test]
        fn older_types_are_read(Example(stream) in streams()) {
            let mut before = seen(&stream);
            for consumer in before.groups.iter_mut().flat_map(|group| &mut group.consumers) {
                // Not written then: when it was seen has to do.
                consumer.2 = consumer.1;
            }
            prop_assert_eq!(&seen(&restored(&older(&stream, kind::STREAM_LISTPACKS_2))), &before);
            let oldest = restored(&older(&stream, kind::STREAM_LISTPACKS));
            for (group, (_, read)) in before.groups.iter_mut().zip(oldest.groups()) {
                group.entries_read = read.entries_read;
            }
            before.ids[1] = StreamId::MIN;
            before.entries_added = stream.len() as u64;
            prop_assert_eq!(seen(&oldest), before);
        }

        #[test]
        fn spoilt_payloads_are_survived(Example(stream) in streams(), at: prop::sample::Index, bit in 0u8..8) {
            let record = Record::new_object(b"key", Object::Stream(Owned::new(stream)), None);
            let mut payload = dump(&record);
            let body = payload.len() - 10;
            payload[at.index(body)] ^= 1 << bit;
            payload[body + 2..].fill(0);
            if let Ok(Restored::Object(Object::Stream(stream))) = restore(&payload, &limits()) {
                let again = Record::new_object(b"key", Object::Stream(stream.clone()), None);
                prop_assert_eq!(seen(&restored(&dump(&again))), seen(&stream));
            }
        }
    }
}
