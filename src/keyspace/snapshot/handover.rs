//! [`Handover`]: what changes of the data hand over to a snapshot that runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::keyspace::record::{Record, RecordBox, ValueRef};
use crate::keyspace::table::SlotTable;
use crate::keyspace::value::Object;
use crate::primitives::thin::Owned;
use crate::types::packed::freeze::Reading;

/// A table with at least so many elements is frozen and read in pieces; a smaller one is copied or written at
/// once.
pub const FREEZE_MIN: usize = 512;

/// A list of at least so many nodes is frozen, however few its elements are; so is a stream of so many
/// blocks.
const FREEZE_NODES_MIN: usize = 64;

/// A string of at least so many bytes is frozen.
const FREEZE_BYTES_MIN: usize = 256 << 10;

/// A string of more bytes is copied under its lock and written outside.
pub const COPY_MIN: usize = 16 << 10;

/// A key in a physical database.
pub type Place = (u16, Box<[u8]>);

/// The type of a large value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Members without an order.
    Set {
        /// Whether any member ends.
        with_ends: bool,
    },
    /// Members with scores.
    Zset,
    /// Elements in an order.
    List,
    /// A hash; whether any of its fields ends.
    Hash {
        /// Whether any field ends.
        with_ends: bool,
    },
}

/// A large value as it was at the instant, without its members.
#[derive(Clone, Debug)]
pub struct Head {
    /// The key's name.
    pub key: Box<[u8]>,
    /// When it ends, in milliseconds of Unix time.
    pub expire_at_ms: Option<u64>,
    /// Its access clock.
    pub access: u32,
    /// Whether it is never evicted.
    pub blessed: bool,
    /// Its type.
    pub kind: Kind,
    /// Number of members, fields or elements.
    pub count: usize,
}

/// How a frozen value is returned.
#[derive(Debug)]
pub(super) enum Begin {
    /// Its members one by one, behind a head.
    Members(Head),
    /// A string or a stream: as one record, into which it is copied a piece at a time. The record is empty at
    /// first, and gets room for so many bytes when its turn comes.
    Whole(RecordBox, usize),
}

/// What is handed over.
#[derive(Debug)]
pub(super) enum Handed {
    /// A record of a database as it was.
    Record(u16, RecordBox),
    /// A value was frozen at a place.
    Frozen { reading: u64, begin: Begin, place: Place },
    /// A frozen value has got another place.
    Moved { reading: u64, place: Place },
    /// A frozen value was deleted.
    Deleted { reading: u64, record: RecordBox },
    /// The table of a slot whose database was emptied. The walk had come to `from`.
    Table { physical: u16, slot: usize, table: SlotTable, from: u64 },
}

/// The queue between those who change data and the snapshot; one for each keyspace.
#[derive(Debug, Default)]
pub struct Handover {
    queue: Mutex<VecDeque<Handed>>,
    /// Bytes of the records in the queue and of those that the snapshot has taken from it and not written.
    bytes: AtomicUsize,
    /// Number of values that are frozen.
    readings: AtomicUsize,
    last_reading: AtomicU64,
    running: AtomicBool,
    /// Set when a frozen value got lost.
    lost: Mutex<Arc<AtomicBool>>,
}

impl Handover {
    /// Begins a snapshot. Returns false where one is running.
    pub(super) fn begin(&self) -> bool {
        let began = !self.running.swap(true, Ordering::Relaxed);
        if began {
            *self.lost.lock() = Arc::default();
        }
        began
    }

    /// Ends the snapshot.
    pub(super) fn end(&self) {
        self.queue.lock().clear();
        self.bytes.store(0, Ordering::Relaxed);
        self.readings.store(0, Ordering::Relaxed);
        self.running.store(false, Ordering::Relaxed);
    }

    /// Whether a snapshot is running.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether a frozen value got lost, so that the snapshot is not whole.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.lock().load(Ordering::Relaxed)
    }

    /// Whether any value is frozen.
    #[inline]
    pub fn is_reading(&self) -> bool {
        self.readings.load(Ordering::Relaxed) > 0
    }

    /// Notes that a frozen value was read to its end.
    pub(super) fn finished(&self) {
        self.readings.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes handed over and not written yet.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes that a record was written.
    pub(super) fn written(&self, record: &Record) {
        self.gave_back(record.memory_bytes());
    }

    /// Notes that the snapshot has copied a record, or keeps one that was deleted.
    pub(super) fn copied(&self, record: &Record) {
        self.took(record.memory_bytes());
    }

    pub(super) fn take(&self) -> VecDeque<Handed> {
        std::mem::take(&mut *self.queue.lock())
    }

    fn push(&self, handed: Handed) {
        self.queue.lock().push_back(handed);
    }

    /// Hands over a record that is about to change or was removed, and marks it. The record's slot is locked
    /// exclusively, and the walk has not passed it.
    #[cold]
    pub fn record(&self, physical: u16, record: &mut Record) {
        if record.is_handed_over() {
            return;
        }
        record.set_handed_over(true);
        match self.freeze(physical, record) {
            Some(frozen) => self.push(frozen),
            None => {
                let copy = record.duplicate(record.key());
                copy.set_access(record.access());
                self.copied(&copy);
                self.push(Handed::Record(physical, copy));
            }
        }
    }

    /// Freezes the value of a record, if it is a large one.
    pub(super) fn freeze(&self, physical: u16, record: &mut Record) -> Option<Handed> {
        let begin = begin_of(record)?;
        let id = self.last_reading.fetch_add(1, Ordering::Relaxed) + 1;
        let place = (physical, record.key().into());
        record.object_mut()?.freeze(Reading { id, lost: Arc::clone(&self.lost.lock()) });
        self.readings.fetch_add(1, Ordering::Relaxed);
        Some(Handed::Frozen { reading: id, begin, place })
    }

    /// Notes the place of a record that is put into a database, where its value is frozen.
    pub fn moved(&self, physical: u16, record: &Record) {
        if let Some(reading) = reading_of(record) {
            self.push(Handed::Moved { reading, place: (physical, record.key().into()) });
        }
    }

    /// Notes that the snapshot has taken memory for a copy that it puts together.
    pub(super) fn took(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that it has given it back.
    pub(super) fn gave_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes a record that is to be freed, where its value is frozen; gives any other back.
    pub fn deleted(&self, record: RecordBox) -> Option<RecordBox> {
        match reading_of(&record) {
            Some(reading) => {
                self.copied(&record);
                self.push(Handed::Deleted { reading, record });
            }
            None => return Some(record),
        }
        None
    }

    /// Takes the table of a slot whose database was emptied. The walk has come to `from`.
    pub fn table(&self, physical: u16, slot: usize, table: SlotTable, from: u64) {
        self.push(Handed::Table { physical, slot, table, from });
    }
}

/// The number of the reading of a record's value, where it is frozen.
pub(super) fn reading_of(record: &Record) -> Option<u64> {
    match record.value() {
        ValueRef::Object(object) => object.reading(),
        _ => None,
    }
}

fn begin_of(record: &Record) -> Option<Begin> {
    let ValueRef::Object(object) = record.value() else { return None };
    let (kind, count) = match object {
        _ if !is_large(object) => return None,
        Object::Set(set) if set.is_table() => (Kind::Set { with_ends: set.has_expiries() }, set.at(0).len()),
        Object::Zset(zset) if zset.is_table() => (Kind::Zset, zset.len()),
        Object::Hash(hash) if hash.is_table() => (Kind::Hash { with_ends: hash.has_expiries() }, hash.len()),
        Object::List(list) if list.node_count().is_some() => (Kind::List, list.len()),
        Object::Text(text) => return Some(whole(record, Object::Text(Owned::default()), text.len())),
        Object::Stream(_) => return Some(whole(record, Object::Stream(Owned::default()), 0)),
        _ => return None,
    };
    Some(Begin::Members(Head {
        key: record.key().into(),
        expire_at_ms: record.expire_at_ms(),
        access: record.access(),
        blessed: record.is_blessed(),
        kind,
        count,
    }))
}

fn whole(record: &Record, empty: Object, room: usize) -> Begin {
    let copy = Record::new_object(record.key(), empty, record.expire_at_ms());
    copy.set_access(record.access());
    copy.set_blessed(record.is_blessed());
    Begin::Whole(copy, room)
}

/// Whether a value is frozen rather than copied, if it has a form that can be.
fn is_large(object: &Object) -> bool {
    match object {
        Object::Text(text) => text.len() >= FREEZE_BYTES_MIN,
        Object::List(list) => {
            list.len() >= FREEZE_MIN || list.node_count().is_some_and(|nodes| nodes >= FREEZE_NODES_MIN)
        }
        Object::Stream(stream) => {
            stream.free_effort() >= FREEZE_MIN || stream.block_count() >= FREEZE_NODES_MIN
        }
        Object::Set(_) | Object::Hash(_) | Object::Zset(_) => object.free_effort() >= FREEZE_MIN,
    }
}

/// Whether writing the value takes too long to hold a lock for it.
pub(super) fn is_long(record: &Record) -> bool {
    match record.value() {
        ValueRef::Object(Object::Text(text)) => text.len() > COPY_MIN,
        ValueRef::Object(object) => is_large(object),
        _ => false,
    }
}
