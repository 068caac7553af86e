//! [`FileWriter`]: a snapshot as the bytes of a file.

use super::{BLESSED, MEMBER_ENDS, PRODUCERS, opcode};
use crate::keyspace::access_clock::{AccessClock, lfu_counter};
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::snapshot::{Head, Kind, Sink};
use crate::keyspace::value::Object;
use crate::rdb::functions::FUNCTION;
use crate::rdb::output::{Compressed, Output};
use crate::rdb::stream::write_producers;
use crate::rdb::write::{body, element_end, kind_of, length, member_ends, plain_string};
use crate::rdb::{digest, kind};

/// The version that a file's header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileVersion {
    /// `REDIS0009`, which every Redis from 5 reads. Holds no libraries of functions and no expiries of
    /// fields.
    Redis9,
    /// `REDIS0010`, which every Redis from 7.0 reads. Holds no expiries of fields.
    Redis10,
    /// `REDIS0011`, which every Redis from 7.2 and every Valkey reads. Holds no expiries of fields.
    Redis11,
    /// `REDIS0012`, which Redis 7.4 and 8 read. Only whole records are written, as [`Sink::record`] takes
    /// them: a hash with expiries of fields begins with the earliest one.
    Redis12,
    /// `VALKEY080`, which Valkey 9 reads.
    Valkey80,
}

impl FileVersion {
    /// All versions that can be written.
    pub const ALL: [FileVersion; 5] = [
        FileVersion::Redis9,
        FileVersion::Redis10,
        FileVersion::Redis11,
        FileVersion::Redis12,
        FileVersion::Valkey80,
    ];

    /// The number in the header.
    pub fn number(self) -> u16 {
        match self {
            FileVersion::Redis9 => 9,
            FileVersion::Redis10 => 10,
            FileVersion::Redis11 => 11,
            FileVersion::Redis12 => 12,
            FileVersion::Valkey80 => 80,
        }
    }

    fn header(self) -> &'static [u8] {
        match self {
            FileVersion::Redis9 => b"REDIS0009",
            FileVersion::Redis10 => b"REDIS0010",
            FileVersion::Redis11 => b"REDIS0011",
            FileVersion::Redis12 => b"REDIS0012",
            FileVersion::Valkey80 => b"VALKEY080",
        }
    }

    /// The type of a record's value in this version; `None` where it has none.
    fn kind(self, record: &Record) -> Option<u8> {
        match (kind_of(record).0, self) {
            (kind::HASH_2, FileVersion::Valkey80) => Some(kind::HASH_2),
            (kind::HASH_2, FileVersion::Redis12) => Some(kind::HASH_METADATA),
            (kind::HASH_2, _) => None,
            (kind::STREAM_LISTPACKS_3, FileVersion::Redis9) => Some(kind::STREAM_LISTPACKS),
            (kind::STREAM_LISTPACKS_3, FileVersion::Redis10) => Some(kind::STREAM_LISTPACKS_2),
            (kind, _) => Some(kind),
        }
    }
}

/// How a file is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// What the header names.
    pub version: FileVersion,
    /// Whether strings are compressed (`rdbcompression`).
    pub compress: bool,
    /// Whether a checksum ends the file (`rdbchecksum`).
    pub checksum: bool,
    /// The access clock, where the eviction policy asks for one.
    pub access: Option<AccessClock>,
}

/// The data do not fit the version of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// A field of a hash ends, which this version cannot say.
    FieldEnds(FileVersion),
    /// There are libraries of functions, which this version does not have.
    Libraries(FileVersion),
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WriteError::FieldEnds(version) => {
                let number = version.number();
                write!(f, "a field of a hash has an expiry, which RDB version {number} cannot hold")
            }
            WriteError::Libraries(version) => {
                let number = version.number();
                write!(f, "there are libraries of functions, which RDB version {number} cannot hold")
            }
        }
    }
}

impl std::error::Error for WriteError {}

/// Where encoded values go, compressed or not.
#[derive(Debug)]
enum Encoder {
    Plain(Vec<u8>),
    Compressed(Box<Compressed>),
}

impl Encoder {
    fn new(compress: bool) -> Self {
        if compress { Encoder::Compressed(Box::default()) } else { Encoder::Plain(Vec::new()) }
    }
}

impl Output for Encoder {
    fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Encoder::Plain(bytes) => bytes,
            Encoder::Compressed(compressed) => compressed.bytes(),
        }
    }

    fn string(&mut self, text: &[u8]) {
        match self {
            Encoder::Plain(bytes) => plain_string(text, bytes),
            Encoder::Compressed(compressed) => compressed.string(text),
        }
    }
}

/// A large set of which members end. When they do stands before the set, so its members are kept until the last
/// has come.
struct EndingSet {
    head: Head,
    members: Encoder,
    ends: Vec<u8>,
}

/// Makes the bytes of a file. The caller takes them away from time to time ([`drain`](Self::drain)).
pub struct FileWriter {
    options: WriteOptions,
    out: Encoder,
    digest: crc_fast::Digest,
    /// Databases whose sizes were written.
    sized: Vec<usize>,
    keys: u64,
    /// Whether the fields of the present hash are written with their ends.
    with_ends: bool,
    /// The present set, of which members end.
    ending: Option<EndingSet>,
    error: Option<WriteError>,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("options", &self.options).field("keys", &self.keys).finish()
    }
}

impl FileWriter {
    /// Begins a file: its header and the `aux` fields.
    pub fn new(options: WriteOptions, aux: &[(&str, String)]) -> Self {
        let mut out = Encoder::new(options.compress);
        out.bytes().extend_from_slice(options.version.header());
        for (name, text) in aux {
            out.bytes().push(opcode::AUX);
            plain_string(name.as_bytes(), out.bytes());
            plain_string(text.as_bytes(), out.bytes());
        }
        Self {
            options,
            out,
            digest: digest(),
            sized: Vec::new(),
            keys: 0,
            with_ends: false,
            ending: None,
            error: None,
        }
    }

    /// Writes a library of functions; before the first database.
    pub fn library(&mut self, source: &[u8]) {
        if self.options.version == FileVersion::Redis9 {
            self.error = Some(WriteError::Libraries(self.options.version));
        }
        self.out.bytes().push(FUNCTION);
        self.out.string(source);
    }

    /// Writes the end and the checksum.
    ///
    /// # Errors
    /// The data did not fit the file's version.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.out.bytes().push(opcode::END);
        let checksum = if self.options.checksum {
            let mut digest = self.digest;
            digest.update(self.out.bytes());
            digest.finalize()
        } else {
            0
        };
        self.out.bytes().extend_from_slice(&checksum.to_le_bytes());
        Ok(())
    }

    /// Bytes that wait to be taken away.
    pub fn pending(&mut self) -> usize {
        self.out.bytes().len()
    }

    /// Number of keys written so far.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Hands the bytes made since the last call to `write`.
    ///
    /// # Errors
    /// That of `write`; the bytes are gone.
    pub fn drain<E>(&mut self, write: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let bytes = self.out.bytes();
        if self.options.checksum {
            self.digest.update(bytes);
        }
        let written = write(bytes);
        bytes.clear();
        written
    }

    /// Writes what stands before a key's value, its type included, and the key.
    fn begin_key(&mut self, key: &[u8], (expire_at_ms, access): (Option<u64>, u32), blessed: bool, kind: u8) {
        self.keys += 1;
        if blessed {
            self.beside(BLESSED, b"1");
        }
        let out = self.out.bytes();
        if let Some(at_ms) = expire_at_ms {
            out.push(opcode::EXPIRY_MS);
            out.extend_from_slice(&at_ms.to_le_bytes());
        }
        match self.options.access {
            Some(AccessClock::Lru(now) | AccessClock::Lrm(now)) => {
                out.push(opcode::IDLE);
                length((now.wrapping_sub(access) & 0xff_ffff) as usize, out);
            }
            Some(AccessClock::Lfu { minutes, decay_minutes, .. }) => {
                out.extend_from_slice(&[
                    opcode::FREQUENCY,
                    lfu_counter(access, minutes, decay_minutes) as u8,
                ]);
            }
            None => {}
        }
        out.push(kind);
        self.out.string(key);
    }

    /// Writes something beside the key that follows, which readers pass over that do not know it.
    fn beside(&mut self, name: &[u8], text: &[u8]) {
        self.out.bytes().push(opcode::AUX);
        plain_string(name, self.out.bytes());
        self.out.string(text);
    }

    /// Writes a set of which members end, all of which have come.
    fn end_set(&mut self) {
        let Some(EndingSet { head, mut members, ends }) = self.ending.take() else { return };
        self.beside(MEMBER_ENDS, &ends);
        self.begin_key(&head.key, (head.expire_at_ms, head.access), head.blessed, kind::SET);
        length(head.count, self.out.bytes());
        self.out.bytes().append(members.bytes());
    }

    fn note_field_ends(&mut self) {
        self.error = Some(WriteError::FieldEnds(self.options.version));
    }
}

impl Sink for FileWriter {
    fn database(&mut self, number: usize, keys: usize, volatile: usize) {
        let out = self.out.bytes();
        out.push(opcode::DATABASE);
        length(number, out);
        if !self.sized.contains(&number) {
            self.sized.push(number);
            out.push(opcode::SIZES);
            length(keys, out);
            length(volatile, out);
        }
    }

    fn record(&mut self, record: &Record) {
        let Some(kind) = self.options.version.kind(record) else { return self.note_field_ends() };
        match record.value() {
            ValueRef::Object(Object::Stream(stream)) => {
                if let Some(producers) = stream.producers() {
                    let mut text = Vec::new();
                    write_producers(producers, &mut text);
                    self.beside(PRODUCERS, &text);
                }
            }
            ValueRef::Object(Object::Set(set)) if set.has_expiries() => {
                self.beside(MEMBER_ENDS, &member_ends(set));
            }
            _ => {}
        }
        let dates = (record.expire_at_ms(), record.access());
        self.begin_key(record.key(), dates, record.is_blessed(), kind::byte(kind));
        body(record, kind, &mut self.out);
    }

    fn begin(&mut self, head: &Head) {
        let kind = match head.kind {
            Kind::Set { with_ends: true } => {
                let members = Encoder::new(self.options.compress);
                self.ending = Some(EndingSet { head: head.clone(), members, ends: Vec::new() });
                return;
            }
            Kind::Set { with_ends: false } => kind::SET,
            Kind::List => kind::LIST,
            Kind::Zset => kind::ZSET_2,
            Kind::Hash { with_ends: false } => kind::HASH,
            Kind::Hash { with_ends: true } => kind::HASH_2,
        };
        self.begin_key(&head.key, (head.expire_at_ms, head.access), head.blessed, kind);
        length(head.count, self.out.bytes());
        self.with_ends = kind == kind::HASH_2;
        if self.with_ends && self.options.version != FileVersion::Valkey80 {
            self.note_field_ends();
        }
    }

    fn element(&mut self, element: &[u8]) {
        self.out.string(element);
    }

    fn member(&mut self, member: &[u8], end_ms: Option<u64>) {
        let Some(set) = &mut self.ending else { return self.out.string(member) };
        set.members.string(member);
        element_end(end_ms, &mut set.ends);
        if set.ends.len() == set.head.count * size_of::<i64>() {
            self.end_set();
        }
    }

    fn scored(&mut self, member: &[u8], score: f64) {
        self.out.string(member);
        self.out.bytes().extend_from_slice(&score.to_le_bytes());
    }

    fn field(&mut self, field: &[u8], value: &[u8], end_ms: Option<u64>) {
        self.out.string(field);
        self.out.string(value);
        if self.with_ends {
            element_end(end_ms, self.out.bytes());
        }
    }
}
