//! [`Snapshot`]: the walk through the data, and what it does with what is handed over.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handover::{Begin, Handed, Place, is_long, reading_of};
use super::{Handover, Sink};
use crate::keyspace::Keyspace;
use crate::keyspace::database::{Database, WriteSlot};
use crate::keyspace::gate::Exclusive;
use crate::keyspace::key_hash::{HashedKey, SLOT_COUNT, fingerprint_of_hash};
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::record::{Record, RecordBox};
use crate::keyspace::table::{self, SlotTable};
use crate::keyspace::turns::Trying;
use crate::keyspace::value::Object;

/// Records of a slot that are read under its lock at once.
const PIECE: usize = 128;

/// Members of a frozen value that are read under its slot's lock at once.
const MEMBERS: usize = 512;

/// So many times as much is read at once of a value whose slot others keep for long.
const PIECES_HELD: usize = 16;

/// Blocks of a frozen stream that are copied under its slot's lock at once.
const BLOCKS: usize = 64;

/// Bytes that may be handed over and not written, however small the data are: beyond it, and beyond what all
/// data took at the instant, the snapshot is given up.
const BEHIND_MIN: usize = 256 << 20;

/// Pause before a slot that is held for long is tried again.
const PAUSE: Duration = Duration::from_micros(200);

/// Why a snapshot cannot be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Changes come quicker than what they hand over can be written.
    Behind,
    /// A value that was being read got lost. A mistake of the program, which is found out rather than
    /// written.
    Lost,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Failure::Behind => "the data change quicker than the snapshot can be written",
            Failure::Lost => "a value got lost while it was read",
        })
    }
}

impl std::error::Error for Failure {}

/// A database of the snapshot.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Its number at the instant, as SELECT counts.
    number: usize,
    physical: u16,
    keys: usize,
    volatile: usize,
}

/// A snapshot that is being read. Dropping it before its end gives it up.
pub struct Snapshot<'k> {
    keyspace: &'k Keyspace,
    handover: &'k Handover,
    parts: Vec<Part>,
    /// Index of the part that the walk is in.
    part: usize,
    /// The part whose records were returned last.
    told: Option<usize>,
    /// Records to be returned, which need no lock.
    waiting: VecDeque<(u16, RecordBox)>,
    tables: VecDeque<(u16, SlotTable, usize, u64)>,
    /// Frozen values that were not begun, in the order in which they were frozen.
    begun_next: VecDeque<(u64, Begin, u16)>,
    /// Where the frozen values are.
    places: HashMap<u64, Found>,
    /// The frozen value whose members are being returned.
    current: Option<u64>,
    /// What was copied so far of a frozen string or stream, which is returned as one record.
    copy: Option<RecordBox>,
    /// Bytes of room that `copy` was given.
    copy_room: usize,
    has_field_ends: bool,
    /// Bytes that may be handed over and not written.
    behind_max: usize,
    /// How often a frozen value has got another place.
    moves: u64,
    /// Its tries for a slot that others hold.
    trying: Trying,
    is_over: bool,
}

/// Where a frozen value is.
#[derive(Debug)]
enum Found {
    At(Place),
    Owned(RecordBox),
}

impl<'k> Snapshot<'k> {
    /// Begins a snapshot of the present instant; `None` where one is running. Nobody else is in the keyspace.
    pub fn begin(keyspace: &'k Keyspace, exclusive: &Exclusive<'_>) -> Option<Self> {
        let handover: &Handover = &keyspace.handover;
        if !handover.begin() {
            return None;
        }
        let (mut parts, mut has_field_ends) = (Vec::new(), false);
        for (number, &physical) in exclusive.mapping().iter().enumerate() {
            if let Some(database) = keyspace.physical_if_used(physical) {
                let (keys, volatile) = (database.len(), database.volatile_len());
                has_field_ends |= database.field_ends_len() > 0;
                parts.push(Part { number, physical, keys, volatile });
                database.snapshot_position.store(0, Ordering::Relaxed);
            }
        }
        Some(Self {
            keyspace,
            handover,
            parts,
            part: 0,
            told: None,
            waiting: VecDeque::new(),
            tables: VecDeque::new(),
            begun_next: VecDeque::new(),
            places: HashMap::new(),
            current: None,
            copy: None,
            copy_room: 0,
            has_field_ends,
            behind_max: crate::alloc::allocated_bytes().map_or(0, |bytes| bytes as usize).max(BEHIND_MIN),
            moves: 0,
            trying: Trying::default(),
            is_over: false,
        })
    }

    /// Whether fields of hashes had expiries at the instant.
    pub fn has_field_ends(&self) -> bool {
        self.has_field_ends
    }

    /// Database number and key of some hash whose fields have expiries; `None` where the last one has gone
    /// since the instant.
    pub fn key_with_field_ends(&self) -> Option<(usize, Vec<u8>)> {
        self.parts.iter().find_map(|part| {
            let database = self.keyspace.physical_if_used(part.physical)?;
            database.key_with_field_ends().map(|key| (part.number, key))
        })
    }

    /// Keys of all databases at the instant.
    pub fn key_count(&self) -> usize {
        self.parts.iter().map(|part| part.keys).sum()
    }

    /// Hands a further piece to `sink`: some records, or members of a large value. Returns whether there is
    /// more. Holds a lock for some tens of microseconds at most, for a millisecond or so where others keep the slot for
    /// long, and none when it returns.
    ///
    /// # Errors
    /// The snapshot cannot be finished, and is to be dropped.
    pub fn next(&mut self, sink: &mut dyn Sink) -> Result<bool, Failure> {
        self.take_handed();
        if self.handover.bytes() > self.behind_max {
            return Err(Failure::Behind);
        }
        if let Some(reading) = self.current {
            self.read_on(reading, sink)?;
        } else if let Some((reading, begin, physical)) = self.begun_next.pop_front() {
            self.tell_database(physical, sink);
            match begin {
                Begin::Members(head) => sink.begin(&head),
                Begin::Whole(copy, room) => self.begin_copy(copy, room),
            }
            self.current = Some(reading);
        } else if let Some((physical, record)) = self.waiting.pop_front() {
            self.trying.lets_go();
            self.tell_database(physical, sink);
            sink.record(&record);
            self.handover.written(&record);
        } else if let Some((physical, table, slot, from)) = self.tables.pop_front() {
            self.trying.lets_go();
            self.read_table(physical, table, slot, from, sink);
        } else if self.part < self.parts.len() {
            self.walk(Some(sink));
        } else {
            return self.finish().map(|()| false);
        }
        Ok(true)
    }

    /// Begins to put a string or stream together. One at a time has its room, as what a snapshot holds is
    /// memory that nobody sees coming.
    fn begin_copy(&mut self, mut copy: RecordBox, room: usize) {
        if let Some(Object::Text(text)) = copy.object_mut() {
            text.reserve(room);
        }
        self.handover.took(room);
        (self.copy, self.copy_room) = (Some(copy), room);
    }

    /// Tells the sink which database follows, where it is another one than before.
    fn tell_database(&mut self, physical: u16, sink: &mut dyn Sink) {
        let index = self.parts.iter().position(|part| part.physical == physical);
        if index != self.told
            && let Some(part) = index.map(|index| self.parts[index])
        {
            self.told = index;
            sink.database(part.number, part.keys, part.volatile);
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if !self.places.is_empty() || self.handover.has_lost() {
            return Err(Failure::Lost);
        }
        self.is_over = true;
        self.handover.end();
        Ok(())
    }

    /// Sorts what was handed over.
    fn take_handed(&mut self) {
        for handed in self.handover.take() {
            match handed {
                Handed::Record(physical, record) => self.waiting.push_back((physical, record)),
                Handed::Frozen { reading, begin, place } => {
                    self.begun_next.push_back((reading, begin, place.0));
                    // It may have been deleted before its freezing was told of here, but not before that was
                    // queued.
                    self.places.insert(reading, Found::At(place));
                }
                Handed::Moved { reading, place } => {
                    if let Some(found) = self.places.get_mut(&reading) {
                        *found = Found::At(place);
                        self.moves += 1;
                    }
                }
                Handed::Deleted { reading, record } => self.found_deleted(reading, record),
                Handed::Table { physical, slot, table, from } => self.take_table(physical, table, slot, from),
            }
        }
    }

    fn found_deleted(&mut self, reading: u64, record: RecordBox) {
        if let Some(found) = self.places.get_mut(&reading) {
            *found = Found::Owned(record);
            self.moves += 1;
        } else {
            self.free(record);
        }
    }

    fn free(&self, mut record: RecordBox) {
        self.handover.written(&record);
        if let Some(object) = record.object_mut() {
            object.thaw();
        }
        self.keyspace.reaper.discard(record, FreeReason::Unlinked);
    }

    /// Takes the frozen values out of the table of a slot that was emptied, and keeps the table to be read.
    fn take_table(&mut self, physical: u16, mut table: SlotTable, slot: usize, from: u64) {
        let hasher = self.keyspace.hasher();
        let frozen: Vec<(u64, u64)> = table::iter(&table)
            .filter_map(|record| Some((reading_of(record)?, hasher.hash(record.key()))))
            .collect();
        for (reading, hash) in frozen {
            let is_it = |record: &Record| reading_of(record) == Some(reading);
            if let Some(record) = table::remove_where(&mut table, hash, is_it) {
                self.handover.copied(&record);
                self.found_deleted(reading, record);
            }
        }
        self.tables.push_back((physical, table, slot, from));
    }

    /// Returns the records of a slot that was emptied when the walk had come to `from`.
    fn read_table(&mut self, physical: u16, table: SlotTable, slot: usize, from: u64, sink: &mut dyn Sink) {
        let hasher = self.keyspace.hasher();
        for record in table::iter(&table) {
            let fingerprint = fingerprint_of_hash(hasher.hash(record.key()));
            if !record.is_handed_over() && place_of(slot, fingerprint) >= from {
                self.tell_database(physical, sink);
                sink.record(record);
            }
        }
        self.keyspace.reaper.discard_table(table);
    }

    /// Returns more members of a frozen value.
    fn read_on(&mut self, reading: u64, sink: &mut dyn Sink) -> Result<(), Failure> {
        let done = match self.places.get_mut(&reading) {
            None => return Err(Failure::Lost),
            Some(Found::Owned(record)) => read_members(record, reading, &mut self.copy, sink),
            Some(Found::At((physical, key))) => {
                if let Some(database) = self.keyspace.physical_if_used(*physical) {
                    database.readers.make_way();
                }
                // What is done alone in the keyspace may take the value away and put it back.
                let _gate = self.keyspace.gate.shared(crate::worker::NONE);
                let Some(database) = self.keyspace.physical_if_used(*physical) else {
                    return Err(Failure::Lost);
                };
                let key = database.hasher().key(key);
                let Some(mut table) = database.try_write_slot(key.slot()) else {
                    self.trying.failed(self.keyspace, *physical, key.slot());
                    std::thread::sleep(PAUSE);
                    return Ok(());
                };
                let was_held = self.trying.succeeded(*physical, key.slot());
                let located = table::locate(&table, &key);
                let copy = &mut self.copy;
                let mut read_piece = |at| read_members(table::at_mut(&mut table, at), reading, copy, sink);
                let mut done = located.and_then(&mut read_piece);
                for _ in 1..if was_held { PIECES_HELD } else { 1 } {
                    if done == Some(false) {
                        done = located.and_then(&mut read_piece);
                    }
                }
                done
            }
        };
        match done {
            Some(false) => {}
            Some(true) => {
                if let Some(Found::Owned(record)) = self.places.remove(&reading) {
                    self.free(record);
                }
                if let Some(copy) = self.copy.take() {
                    sink.record(&copy);
                    self.keyspace.reaper.discard(copy, FreeReason::Unlinked);
                    self.handover.gave_back(std::mem::take(&mut self.copy_room));
                }
                self.current = None;
                self.handover.finished();
            }
            // It was moved or deleted: where it is now stands in the queue, since that was told under its
            // lock.
            None => {
                let before = self.moves;
                self.take_handed();
                if self.moves == before {
                    return Err(Failure::Lost);
                }
            }
        }
        Ok(())
    }

    /// Returns a piece of the slot that the walk has come to; without a sink it only takes the marks away.
    fn walk(&mut self, mut sink: Option<&mut dyn Sink>) {
        let Part { physical, .. } = self.parts[self.part];
        let keyspace = self.keyspace;
        let Some(database) = keyspace.physical_if_used(physical) else { return };
        let position = database.snapshot_position.load(Ordering::Relaxed);
        let (slot, from) = ((position >> 32) as usize, position as u32);
        if slot >= SLOT_COUNT {
            database.snapshot_position.store(u64::MAX, Ordering::Relaxed);
            self.part += 1;
            return;
        }
        database.prefetch_whole_slot(slot + 1);
        database.readers.make_way();
        // What is alone in the keyspace may take whole tables away, and counts on the position to stay.
        let gate = keyspace.gate.shared(crate::worker::NONE);
        let Some(mut table) = database.try_write_slot(slot) else {
            drop(gate);
            self.trying.failed(keyspace, physical, slot);
            std::thread::sleep(PAUSE);
            return;
        };
        self.trying.succeeded(physical, slot);
        if let Some(sink) = &mut sink
            && !table.is_empty()
        {
            self.tell_database(physical, *sink);
        }
        let mut long = Vec::new();
        let mut visit = |record: &Record| {
            if record.is_handed_over() {
                record.set_handed_over(false);
            } else if let Some(sink) = &mut sink {
                if is_long(record) { long.push(Box::from(record.key())) } else { sink.record(record) }
            }
        };
        let next = if from == 0 && table.len() <= PIECE {
            table::for_each(&table, visit);
            None
        } else {
            for_each_in_order(database, &table, from, &mut visit)
        };
        let next = next.map_or_else(|| place_of(slot + 1, 0), |fingerprint| place_of(slot, fingerprint));
        for key in &long {
            self.begin_long(database, &mut table, key);
        }
        database.snapshot_position.store(next, Ordering::Relaxed);
    }

    /// Freezes or copies a value that takes long to write.
    fn begin_long(&mut self, database: &Database, table: &mut WriteSlot<'_>, key: &[u8]) {
        let key = database.hasher().key(key);
        let Some(at) = table::locate(table, &key) else { return };
        let record = table::at_mut(table, at);
        match self.handover.freeze(database.physical, record) {
            Some(Handed::Frozen { reading, begin, place }) => {
                self.begun_next.push_back((reading, begin, place.0));
                self.places.insert(reading, Found::At(place));
            }
            _ => {
                let copy = record.duplicate(key.bytes);
                copy.set_access(record.access());
                self.handover.copied(&copy);
                self.waiting.push_back((database.physical, copy));
            }
        }
    }

    /// Takes away the marks and readings of a snapshot that is given up.
    fn give_up(&mut self) {
        while self.part < self.parts.len() {
            self.walk(None);
        }
        self.take_handed();
        for (reading, found) in std::mem::take(&mut self.places) {
            match found {
                Found::Owned(record) => self.free(record),
                Found::At((physical, key)) => {
                    let Some(database) = self.keyspace.physical_if_used(physical) else { continue };
                    let key = database.hasher().key(&key);
                    let mut table = database.write_slot(key.slot());
                    thaw(&mut table, &key, reading);
                }
            }
        }
        self.handover.end();
    }
}

fn thaw(table: &mut SlotTable, key: &HashedKey<'_>, reading: u64) {
    if let Some(at) = table::locate(table, key)
        && let Some(object) = table::at_mut(table, at).object_mut()
        && object.reading() == Some(reading)
    {
        object.thaw();
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.give_up();
        }
    }
}

/// A place on the walk: the slot, and the fingerprint within it.
pub(in crate::keyspace) fn place_of(slot: usize, fingerprint: u32) -> u64 {
    (slot as u64) << 32 | u64::from(fingerprint)
}

/// Calls `visit` for some of a slot's records, from a fingerprint on in their order. Returns the fingerprint
/// from which on there are more.
fn for_each_in_order(
    database: &Database,
    table: &SlotTable,
    from: u32,
    visit: &mut impl FnMut(&Record),
) -> Option<u32> {
    let hasher = database.hasher();
    let mut found: Vec<(u32, &Record)> = table::iter(table)
        .map(|record| (fingerprint_of_hash(hasher.hash(record.key())), record))
        .filter(|(fingerprint, _)| *fingerprint >= from)
        .collect();
    // A large slot is looked through for each piece, so pieces grow with it.
    let piece = PIECE.max(table.len() / 256);
    let mut next = None;
    if found.len() > piece {
        let (_, cut, _) = found.select_nth_unstable_by_key(piece, |(fingerprint, _)| *fingerprint);
        let cut = cut.0;
        // Keys with equal fingerprints are visited together.
        if found.iter().any(|(fingerprint, _)| *fingerprint < cut) {
            found.retain(|(fingerprint, _)| *fingerprint < cut);
            next = Some(cut);
        }
    }
    found.iter().for_each(|(_, record)| visit(record));
    next
}

/// Hands more members of a record's value to `sink`, if it is the one that this reading is of. Returns
/// whether that was all.
fn read_members(
    record: &mut Record,
    reading: u64,
    copy: &mut Option<RecordBox>,
    sink: &mut dyn Sink,
) -> Option<bool> {
    let object = record.object_mut()?;
    if object.reading() != Some(reading) {
        return None;
    }
    Some(match object {
        Object::Set(set) => set.read_frozen(MEMBERS, |member, end_ms| sink.member(member, end_ms)),
        Object::Zset(zset) => zset.read_frozen(MEMBERS, |member, score| sink.scored(member, score)),
        Object::Hash(hash) => {
            hash.read_frozen(MEMBERS, |field, value, end_ms| sink.field(field, value, end_ms))
        }
        Object::List(list) => list.read_frozen(MEMBERS, |element| sink.element(element)),
        Object::Text(text) => match copy.as_mut().and_then(|copy| copy.object_mut()) {
            Some(Object::Text(copy)) => text.read_frozen(copy),
            _ => return None,
        },
        Object::Stream(stream) => match copy.as_mut().and_then(|copy| copy.object_mut()) {
            Some(Object::Stream(copy)) => stream.read_frozen(BLOCKS, copy),
            _ => return None,
        },
    })
}
