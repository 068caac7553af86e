//! [`PlainWriter`]: a snapshot as requests that every version of Redis and Valkey knows, for a base that is
//! no RDB file.

use crate::journal::Entries;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::snapshot::{Head, Kind, Sink};
use crate::keyspace::value::Object;
use crate::rdb;
use crate::types::hash::Hash;
use crate::types::stream::{Group, Stream, StreamId};

/// Most elements of one request (Redis's figure).
const ELEMENTS_MAX: usize = 64;

/// The request that says when fields of a hash end, and the word before their number.
const FIELDS_END: [&[u8]; 2] = [b"HPEXPIREAT", b"FIELDS"];
/// The same for members of a set.
const MEMBERS_END: [&[u8]; 2] = [b"SPEXPIREAT", b"MEMBERS"];

/// Writes what a snapshot returns as requests.
#[derive(Default)]
pub(super) struct PlainWriter {
    entries: Entries,
    /// The large value whose members come, and those of them that are not written yet.
    head: Option<Head>,
    members: Vec<Vec<u8>>,
    ends: Vec<(Vec<u8>, u64)>,
    /// Members of the large value that have come.
    come: usize,
    keys: u64,
}

impl PlainWriter {
    /// Notes the time (`aof-timestamp-enabled`).
    pub(super) fn note_time(&mut self, now_s: u64) {
        self.entries.note(&format!("#TS:{now_s}\r\n"));
    }

    /// Writes a library of functions.
    pub(super) fn library(&mut self, source: &[u8]) {
        self.entries.push(0, &[b"FUNCTION", b"LOAD", b"REPLACE", source]);
    }

    /// The requests so far.
    pub(super) fn bytes(&self) -> &[u8] {
        self.entries.bytes()
    }

    /// Forgets the requests so far, which the caller has written.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
    }

    /// Keys written so far.
    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    fn push(&mut self, words: &[&[u8]]) {
        self.entries.push(0, words);
    }

    /// Writes elements behind these words, so many to a request. Each item is `step` words long.
    fn push_items<'i>(&mut self, words: &[&[u8]], step: usize, items: impl Iterator<Item = &'i [u8]>) {
        let mut all: Vec<&[u8]> = words.to_vec();
        for item in items {
            all.push(item);
            if all.len() - words.len() == step * ELEMENTS_MAX {
                self.push(&all);
                all.truncate(words.len());
            }
        }
        if all.len() > words.len() {
            self.push(&all);
        }
    }

    fn end_at(&mut self, key: &[u8], end_ms: Option<u64>) {
        if let Some(end_ms) = end_ms {
            self.push(&[b"PEXPIREAT", key, itoa::Buffer::new().format(end_ms).as_bytes()]);
        }
    }

    fn hash(&mut self, key: &[u8], hash: &Hash) {
        // At time 0 no field has ended, so all are written.
        let words: Vec<Vec<u8>> =
            hash.iter(0).flat_map(|(field, value)| [field.to_vec(), value.to_vec()]).collect();
        self.push_items(&[b"HSET", key], 2, words.iter().map(|word| &**word));
        if hash.has_expiries() {
            for field in words.iter().step_by(2) {
                if let Some(end_ms) = hash.expire_at_ms(field) {
                    self.end_of(FIELDS_END, key, field, end_ms);
                }
            }
        }
    }

    fn bless_if(&mut self, blessed: bool, key: &[u8]) {
        if blessed {
            self.push(&[b"BLESS", b"SET", key, b"NO-EVICT"]);
        }
    }

    /// Says when a field or member ends.
    fn end_of(&mut self, [command, word]: [&[u8]; 2], key: &[u8], element: &[u8], end_ms: u64) {
        let mut number = itoa::Buffer::new();
        self.push(&[command, key, number.format(end_ms).as_bytes(), word, b"1", element]);
    }

    fn stream(&mut self, key: &[u8], stream: &Stream) {
        let last_id = stream.last_id().text();
        if stream.is_empty() {
            // The entry goes at once; XSETID says the true last id.
            self.push(&[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
        }
        for entry in stream.range(StreamId::MIN, StreamId::MAX) {
            let fields: Vec<_> = entry.fields().collect();
            let id = entry.id.text();
            let mut words: Vec<&[u8]> = vec![b"XADD", key, &id];
            for (field, value) in &fields {
                words.extend([&**field, &**value]);
            }
            self.push(&words);
        }
        let (mut added, deleted) = (itoa::Buffer::new(), stream.max_deleted_id().text());
        let added = added.format(stream.entries_added()).as_bytes();
        self.push(&[b"XSETID", key, &last_id, b"ENTRIESADDED", added, b"MAXDELETEDID", &deleted]);
        for (name, group) in stream.groups() {
            self.group(key, name, group);
        }
    }

    /// Writes what is known of producers, the oldest of each first. Entries that are gone are known here only:
    /// Redis takes an id of such an entry for an error and goes on.
    fn producers(&mut self, key: &[u8], stream: &Stream) {
        let Some(producers) = stream.producers() else { return };
        let limits = producers.limits();
        let (mut duration, mut max) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (duration, max) = (duration.format(limits.duration_s), max.format(limits.max_ids));
        let words: [&[u8]; 4] = [b"IDMP-DURATION", duration.as_bytes(), b"IDMP-MAXSIZE", max.as_bytes()];
        self.push(&[&[b"XCFGSET", key][..], &words].concat());
        for (producer, ids) in producers.iter() {
            for (id, entry) in ids {
                self.push(&[b"XIDMPRECORD", key, producer, id, &entry.text()]);
            }
        }
    }

    fn group(&mut self, key: &[u8], name: &[u8], group: &Group) {
        let (last_id, mut read) = (group.last_id.text(), itoa::Buffer::new());
        let read = read.format(group.entries_read.map_or(-1, |read| read as i64)).as_bytes();
        self.push(&[b"XGROUP", b"CREATE", key, name, &last_id, b"ENTRIESREAD", read]);
        for consumer in group.consumers() {
            // XCLAIM makes the one that stands for nobody.
            if !consumer.is_nobody() {
                self.push(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()]);
            }
            for id in consumer.pending_from(StreamId::MIN) {
                let Some(pending) = group.pending(id) else { continue };
                let (id, mut time, mut count) = (id.text(), itoa::Buffer::new(), itoa::Buffer::new());
                let time = time.format(pending.delivered_at_ms).as_bytes();
                let count = count.format(pending.deliveries).as_bytes();
                let claim: &[&[u8]] = &[b"XCLAIM", key, name, consumer.name(), b"0", &id];
                let how: &[&[u8]] = &[b"TIME", time, b"RETRYCOUNT", count, b"JUSTID", b"FORCE"];
                self.push(&[claim, how].concat());
            }
        }
    }

    /// Writes the members of a large value that have come.
    fn flush_members(&mut self) {
        let Some(head) = self.head.clone() else { return };
        let (members, ends) = (std::mem::take(&mut self.members), std::mem::take(&mut self.ends));
        let command: &[u8] = match head.kind {
            Kind::Set { .. } => b"SADD",
            Kind::List => b"RPUSH",
            Kind::Zset => b"ZADD",
            Kind::Hash { .. } => b"HSET",
        };
        let mut words: Vec<&[u8]> = vec![command, &head.key];
        words.extend(members.iter().map(|member| &**member));
        if words.len() > 2 {
            self.push(&words);
        }
        let request = if let Kind::Hash { .. } = head.kind { FIELDS_END } else { MEMBERS_END };
        ends.iter().for_each(|(element, end_ms)| self.end_of(request, &head.key, element, *end_ms));
    }

    /// A member has come; the last one ends the value.
    fn came(&mut self) {
        self.come += 1;
        let is_last = self.head.as_ref().is_some_and(|head| head.count == self.come);
        if is_last || self.come.is_multiple_of(ELEMENTS_MAX) {
            self.flush_members();
        }
        if is_last && let Some(head) = self.head.take() {
            self.end_at(&head.key, head.expire_at_ms);
            self.bless_if(head.blessed, &head.key);
            self.keys += 1;
        }
    }
}

/// Whether requests can make the stream: XCLAIM takes no entry that was deleted while it was pending.
fn can_be_claimed(stream: &Stream) -> bool {
    let mut groups = stream.groups();
    groups.all(|(_, group)| {
        let mut pending = group.pending_range(StreamId::MIN, StreamId::MAX);
        pending.all(|(id, _)| stream.contains(id))
    })
}

impl Sink for PlainWriter {
    fn database(&mut self, number: usize, _: usize, _: usize) {
        self.push(&[b"SELECT", itoa::Buffer::new().format(number).as_bytes()]);
    }

    fn record(&mut self, record: &Record) {
        self.keys += 1;
        let (key, end_ms) = (record.key(), record.expire_at_ms());
        let mut number = itoa::Buffer::new();
        let text = match record.value() {
            ValueRef::Bytes(bytes) => bytes,
            ValueRef::Object(Object::Text(bytes)) => &bytes[..],
            ValueRef::Int(value) => number.format(value).as_bytes(),
            ValueRef::Object(object) => {
                self.object(record, object);
                return self.bless_if(record.is_blessed(), key);
            }
        };
        match end_ms {
            None => self.push(&[b"SET", key, text]),
            Some(end_ms) => {
                let mut end = itoa::Buffer::new();
                self.push(&[b"SET", key, text, b"PXAT", end.format(end_ms).as_bytes()]);
            }
        }
        self.bless_if(record.is_blessed(), key);
    }

    fn begin(&mut self, head: &Head) {
        (self.head, self.come) = (Some(head.clone()), 0);
    }

    fn element(&mut self, element: &[u8]) {
        self.members.push(element.to_vec());
        self.came();
    }

    fn member(&mut self, member: &[u8], end_ms: Option<u64>) {
        self.members.push(member.to_vec());
        self.ends.extend(end_ms.map(|end_ms| (member.to_vec(), end_ms)));
        self.came();
    }

    fn scored(&mut self, member: &[u8], score: f64) {
        self.members.extend([score.to_string().into_bytes(), member.to_vec()]);
        self.came();
    }

    fn field(&mut self, field: &[u8], value: &[u8], end_ms: Option<u64>) {
        self.members.extend([field.to_vec(), value.to_vec()]);
        self.ends.extend(end_ms.map(|end_ms| (field.to_vec(), end_ms)));
        self.came();
    }
}

impl PlainWriter {
    fn object(&mut self, record: &Record, object: &Object) {
        let (key, end_ms) = (record.key(), record.expire_at_ms());
        match object {
            Object::Text(_) => {}
            Object::List(list) => {
                let all: Vec<_> = list.iter().map(|element| element.joined().into_owned()).collect();
                self.push_items(&[b"RPUSH", key], 1, all.iter().map(|element| &**element));
            }
            Object::Set(set) => {
                let all: Vec<_> = set.at(0).iter().map(|member| member.to_vec()).collect();
                self.push_items(&[b"SADD", key], 1, all.iter().map(|member| &**member));
                set.expiries().for_each(|(end_ms, member)| self.end_of(MEMBERS_END, key, member, end_ms));
            }
            Object::Zset(zset) => {
                let all: Vec<_> = zset
                    .iter()
                    .flat_map(|(member, score)| [score.to_string().into_bytes(), member.to_vec()])
                    .collect();
                self.push_items(&[b"ZADD", key], 2, all.iter().map(|word| &**word));
            }
            Object::Hash(hash) => self.hash(key, hash),
            Object::Stream(stream) => {
                match can_be_claimed(stream) {
                    true => self.stream(key, stream),
                    false => self.push(&[b"RESTORE", key, b"0", &rdb::dump(record), b"ABSTTL"]),
                }
                self.producers(key, stream);
            }
        }
        self.end_at(key, end_ms);
    }
}
