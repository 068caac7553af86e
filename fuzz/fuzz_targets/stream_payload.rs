//! Payloads of streams from anywhere: they are refused, or read as a stream that can be written and read
//! again.
#![no_main]

use kvarts::keyspace::record::{Record, ValueRef};
use kvarts::keyspace::value::Object;
use kvarts::rdb::{self, FooterCheck, Limits, Restored};
use kvarts::types::hash::HashLimits;
use kvarts::types::list::ListLimits;
use kvarts::types::set::SetLimits;
use kvarts::types::stream::group::Pending;
use kvarts::types::stream::{Group, Stream, StreamId, StreamLimits};
use kvarts::types::zset::ZSetLimits;
use kvarts::primitives::thin::Owned;
use libfuzzer_sys::fuzz_target;

/// Entries of a stream that is written first, and what is then done to its bytes: so the fuzzer comes past
/// the first checks.
type Input = (u8, Vec<(u8, u8, Vec<u8>)>, Vec<(u16, u8)>, Vec<u8>);

const LIMITS: Limits = Limits {
    footer: FooterCheck { any_version: false, any_checksum: false },
    set: SetLimits { max_intset_entries: 8, max_listpack_entries: 8, max_listpack_value: 8 },
    hash: HashLimits { max_listpack_entries: 8, max_listpack_value: 8 },
    list: ListLimits { max_listpack_size: 8 },
    zset: ZSetLimits { max_listpack_entries: 8, max_listpack_value: 8 },
    stream: StreamLimits { max_block_bytes: 256, max_block_entries: 5 },
    string_max: 1 << 16,
};

/// Version and checksum: a checksum of zero says that none was made.
const FOOTER: [u8; 10] = [11, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn written(entries: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let mut stream = Owned::new(Stream::new());
    let mut group = Group::new(StreamId::MIN, None);
    let consumer = group.add_consumer(b"consumer", 1);
    for (later_ms, seq, text) in entries {
        let id = StreamId::new(stream.last_id().ms + u64::from(*later_ms), u64::from(*seq));
        let name: &[u8] = if seq % 5 == 0 { text } else { b"name" };
        if stream.append(id, &[name, text], &LIMITS.stream).is_ok() && seq % 2 == 0 {
            group.assign(id, Pending { consumer, delivered_at_ms: 1, deliveries: 1 });
        }
    }
    stream.add_group(b"group", group);
    rdb::dump(&Record::new_object(b"key", Object::Stream(stream), None))
}

fuzz_target!(|input: Input| {
    let (kind, entries, edits, raw) = input;
    let mut payload = if entries.is_empty() { raw } else { written(&entries) };
    let body_len = payload.len().saturating_sub(FOOTER.len());
    payload.truncate(if entries.is_empty() { payload.len() } else { body_len });
    for (place, byte) in edits {
        let place = usize::from(place) % payload.len().max(1);
        if let Some(old) = payload.get_mut(place) {
            *old ^= byte;
        }
    }
    if kind % 4 != 0 || entries.is_empty() {
        payload.splice(..payload.len().min(1), [[15, 19, 21][usize::from(kind) % 3]]);
    }
    payload.extend(FOOTER);
    let Ok(restored) = rdb::restore(&payload, &LIMITS) else { return };
    let record = restored.into_record(b"key", None);
    let ValueRef::Object(Object::Stream(stream)) = record.value() else { return };
    let again = rdb::dump(&record);
    let Ok(Restored::Object(Object::Stream(copy))) = rdb::restore(&again, &LIMITS) else {
        panic!("what was written is not read");
    };
    assert_eq!(copy.len(), stream.len());
    assert_eq!(copy.last_id(), stream.last_id());
    assert_eq!(copy.groups().len(), stream.groups().len());
    let ids = |stream: &Stream| -> Vec<StreamId> {
        stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect()
    };
    assert_eq!(ids(&copy), ids(stream));
});
