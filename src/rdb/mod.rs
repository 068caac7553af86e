//! The RDB value format: what DUMP writes and RESTORE reads, exchanged with Redis and Valkey.
//!
//! Values are written in the plain forms that every version of both reads (RDB version 11, Redis 7.2). These
//! are read, and the packed forms of every version since Redis 2.4.

mod error;
pub mod file;
pub(crate) mod functions;
pub(crate) mod listpack;
pub(crate) mod lzf;
mod output;
mod packed;
pub(crate) mod read;
mod reader;
mod stream;
pub(crate) mod write;
mod ziplist;
mod zipmap;

use crc_fast::CrcAlgorithm;

use crate::keyspace::record::{Record, RecordBox, ValueRef};
use crate::keyspace::value::Object;
use crate::types::hash::HashLimits;
use crate::types::list::ListLimits;
use crate::types::set::SetLimits;
use crate::types::stream::StreamLimits;
use crate::types::zset::ZSetLimits;

pub use error::RestoreError;
pub use packed::Element;

/// Version of the payloads written: that of Redis 7.2.
const VERSION: u16 = 11;

/// Version of the payloads that hold hashes whose fields end: that of Valkey 9.
const FIELD_ENDS_VERSION: u16 = 80;

/// Newest version of Redis that is read, in files and payloads.
const REDIS_MAX: u16 = 14;

/// Versions of Valkey that are read, in files and payloads, beside those that it shares with Redis.
const VALKEY: std::ops::RangeInclusive<u16> = 80..=81;

/// Versions whose types from 22 on are numbered as Redis does: those after 11 that Valkey leaves to others.
const REDIS_NUMBERED: std::ops::RangeInclusive<u16> = 12..=79;

/// Bytes of version and checksum behind the value.
const FOOTER: usize = 2 + 8;

/// Whose numbering the types from 22 on follow: the two went separate ways after version 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Redis 7.4 and later.
    Redis,
    /// Valkey 9 and later.
    Valkey,
}

/// Numbers of the types. Where Redis and Valkey give one number to two types, that of Redis has
/// [`OF_REDIS`](kind::OF_REDIS) added here.
pub mod kind {
    use super::Family;

    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    pub const HASH_2: u8 = 22;
    pub const HASH_METADATA_PRE_GA: u8 = OF_REDIS | 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = OF_REDIS | 23;
    pub const HASH_METADATA: u8 = OF_REDIS | 24;
    pub const HASH_LISTPACK_EX: u8 = OF_REDIS | 25;
    pub const STREAM_LISTPACKS_4: u8 = OF_REDIS | 26;
    pub const STREAM_LISTPACKS_5: u8 = OF_REDIS | 27;

    /// Set in the numbers of types that only Redis has.
    pub const OF_REDIS: u8 = 0x80;

    /// The type that a number stands for; `None` for one that is not known.
    pub fn of(byte: u8, family: Family) -> Option<u8> {
        match (byte, family) {
            (0..=5 | MODULE_2 | 9..=21, _) | (HASH_2, Family::Valkey) => Some(byte),
            (22..=27, Family::Redis) => Some(OF_REDIS | byte),
            _ => None,
        }
    }

    /// The byte of a type in a file or payload.
    pub fn byte(kind: u8) -> u8 {
        kind & !OF_REDIS
    }

    /// How values of this type are written.
    pub fn encoding_name(kind: u8) -> &'static str {
        match kind {
            HASH_ZIPMAP => "Zipmap",
            LIST_ZIPLIST | LIST_QUICKLIST => "List ziplist",
            ZSET_ZIPLIST => "Zset ziplist",
            HASH_ZIPLIST => "Hash ziplist",
            SET_INTSET => "Intset",
            LIST_QUICKLIST_2 => "List listpack",
            SET_LISTPACK => "Set listpack",
            ZSET_LISTPACK => "Zset listpack",
            HASH_LISTPACK | HASH_LISTPACK_EX | HASH_LISTPACK_EX_PRE_GA => "Hash listpack",
            STREAM_LISTPACKS | STREAM_LISTPACKS_2 | STREAM_LISTPACKS_3 | STREAM_LISTPACKS_4
            | STREAM_LISTPACKS_5 => "Stream listpack",
            _ => "Value",
        }
    }

    /// What TYPE calls a value of this type.
    pub fn name(kind: u8) -> &'static str {
        match kind {
            STRING => "string",
            LIST | LIST_ZIPLIST | LIST_QUICKLIST | LIST_QUICKLIST_2 => "list",
            SET | SET_INTSET | SET_LISTPACK => "set",
            ZSET | ZSET_2 | ZSET_ZIPLIST | ZSET_LISTPACK => "zset",
            MODULE_2 => "module",
            STREAM_LISTPACKS | STREAM_LISTPACKS_2 | STREAM_LISTPACKS_3 | STREAM_LISTPACKS_4
            | STREAM_LISTPACKS_5 => "stream",
            _ => "hash",
        }
    }
}

/// Why a value that was read is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// A collection without elements, which some old versions of Redis wrote.
    Empty,
    /// A hash or set all of whose fields or members have ended.
    Ended,
}

/// Which footers are accepted. By default those of known versions with a right checksum.
#[derive(Clone, Copy, Debug, Default)]
pub struct FooterCheck {
    /// Accepts every version (`rdb-version-check relaxed`).
    pub any_version: bool,
    /// Accepts a wrong checksum: the value is then refused only if it is not well formed.
    pub any_checksum: bool,
}

/// Which payloads are accepted, and when restored collections leave their compact form.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Which footers are accepted.
    pub footer: FooterCheck,
    /// Limits of a set's compact forms.
    pub set: SetLimits,
    /// Limits of a hash's compact form.
    pub hash: HashLimits,
    /// Limits of a list's node.
    pub list: ListLimits,
    /// Limits of a sorted set's compact form.
    pub zset: ZSetLimits,
    /// Limits of a stream's block.
    pub stream: StreamLimits,
    /// Longest string allowed, in bytes (`proto-max-bulk-len`).
    pub string_max: usize,
}

impl Default for Limits {
    /// With the defaults of the directives, and strings of any length.
    fn default() -> Self {
        Self {
            footer: FooterCheck::default(),
            set: SetLimits::default(),
            hash: HashLimits::default(),
            list: ListLimits::default(),
            zset: ZSetLimits::default(),
            stream: StreamLimits::default(),
            string_max: file::read::Accept::default().string_max,
        }
    }
}

/// A restored value.
#[derive(Debug)]
pub enum Restored {
    /// A string.
    Text(Vec<u8>),
    /// Anything else.
    Object(Object),
}

impl Restored {
    /// Makes a record of it. `expire_at_ms` is in milliseconds of Unix time.
    pub fn into_record(self, key: &[u8], expire_at_ms: Option<u64>) -> RecordBox {
        match self {
            Restored::Object(object) => Record::new_object(key, object, expire_at_ms),
            Restored::Text(text) => text_record(key, &text, expire_at_ms),
        }
    }
}

/// A record of a string, kept as a number where it is the canonical decimal of one.
fn text_record(key: &[u8], text: &[u8], expire_at_ms: Option<u64>) -> RecordBox {
    match crate::primitives::number::parse_i64(text) {
        Some(number) => Record::new_int(key, number, expire_at_ms),
        None => Record::new_string(key, text, expire_at_ms, false),
    }
}

/// Encodes a record's value as DUMP's payload, with all that it holds, ended or not.
pub fn dump(record: &Record) -> Vec<u8> {
    dump_at(record, 0)
}

/// Encodes a record's value as it is at a time (milliseconds of Unix time). Expired fields of a hash that were
/// not removed yet are written with their expiries, as on Valkey. A set's members are written without expiries,
/// which no payload can hold, so those that have ended are left out.
pub fn dump_at(record: &Record, now_ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let version = match record.value() {
        ValueRef::Object(Object::Set(set)) if set.has_ended(now_ms) => {
            out.push(kind::SET);
            write::members(set.at(now_ms), &mut out);
            VERSION
        }
        _ => write::value(record, &mut out),
    };
    sign(version, &mut out);
    out
}

/// Bytes of a record's encoded value, without type, version and checksum.
pub fn dumped_len(record: &Record) -> usize {
    let mut out = Vec::new();
    write::value(record, &mut out);
    out.len().saturating_sub(1)
}

/// Decodes a payload.
///
/// # Errors
/// Unknown version, wrong checksum, or a value that is not well formed.
pub fn restore(payload: &[u8], limits: &Limits) -> Result<Restored, RestoreError> {
    let value = signed(payload, limits.footer)?;
    let version = payload[value.len()..].first_chunk().map_or(VERSION, |bytes| u16::from_le_bytes(*bytes));
    let family = if REDIS_NUMBERED.contains(&version) { Family::Redis } else { Family::Valkey };
    read::value(value, family, limits)
}

/// Appends version and checksum to a payload.
fn sign(version: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&version.to_le_bytes());
    let checksum = checksum(out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The bytes before the footer, if the footer is accepted.
fn signed(payload: &[u8], check: FooterCheck) -> Result<&[u8], RestoreError> {
    let body_len = payload.len().checked_sub(FOOTER).ok_or(RestoreError::Footer)?;
    let (signed, given) = payload.split_at(payload.len() - 8);
    let version = u16::from_le_bytes([payload[body_len], payload[body_len + 1]]);
    let is_known = version <= REDIS_MAX || VALKEY.contains(&version);
    if !check.any_version && !is_known {
        return Err(RestoreError::Footer);
    }
    let given = u64::from_le_bytes(given.try_into().map_err(|_| RestoreError::Footer)?);
    // A checksum of 0 means that none was computed.
    if given != 0 && !check.any_checksum && given != checksum(signed) {
        return Err(RestoreError::Footer);
    }
    Ok(&payload[..body_len])
}

/// The checksum of payloads and files.
const CHECKSUM: CrcAlgorithm = CrcAlgorithm::Crc64Redis;

fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CHECKSUM, bytes)
}

/// A checksum of bytes that come one after the other.
fn digest() -> crc_fast::Digest {
    crc_fast::Digest::new(CHECKSUM)
}

#[cfg(test)]
mod old_forms;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::hash::Hash;
    use crate::types::list::{End, List};
    use crate::types::set::Set;
    use proptest::prelude::*;

    pub(super) fn limits() -> Limits {
        Limits {
            footer: FooterCheck::default(),
            set: SetLimits { max_intset_entries: 512, max_listpack_entries: 128, max_listpack_value: 64 },
            hash: HashLimits { max_listpack_entries: 512, max_listpack_value: 64 },
            list: ListLimits::default(),
            zset: ZSetLimits { max_listpack_entries: 128, max_listpack_value: 64 },
            stream: StreamLimits::default(),
            string_max: 512 << 20,
        }
    }

    fn round(record: &Record) -> Restored {
        restore(&dump(record), &limits()).unwrap()
    }

    #[test]
    fn payloads_of_redis_are_read() {
        // DUMP of SET k 10, by a Redis that wrote version 10.
        let number = b"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb";
        assert!(matches!(restore(number, &limits()), Ok(Restored::Text(text)) if text == b"10"));
        let mut wrong = number.to_vec();
        wrong[2] ^= 1;
        assert!(matches!(restore(&wrong, &limits()), Err(RestoreError::Footer)));
    }

    /// A payload of Redis 8, whose number for hashes with expiries of fields Valkey gave to nothing. Versions that
    /// are not known are read on request only, with Redis's numbers as well.
    #[test]
    fn payloads_of_redis_8_are_read() {
        let any_version = FooterCheck { any_version: true, ..FooterCheck::default() };
        for (version, is_known) in [(11, true), (12, true), (14, true), (15, false), (79, false)] {
            let mut payload = b"\x18\xe8\x03\0\0\0\0\0\0\x02\x06\x01a\x01x\x00\x01b\x01y".to_vec();
            sign(version, &mut payload);
            let strict = restore(&payload, &limits());
            let relaxed = restore(&payload, &Limits { footer: any_version, ..limits() });
            if version == 11 {
                // No version before 12 has this type.
                assert!(matches!(strict, Err(RestoreError::Format)), "{strict:?}");
                continue;
            }
            assert_eq!(matches!(strict, Err(RestoreError::Footer)), !is_known, "{version}: {strict:?}");
            for restored in [strict.ok(), relaxed.ok()].into_iter().flatten() {
                let Restored::Object(Object::Hash(hash)) = restored else { panic!("a hash: {restored:?}") };
                assert_eq!([b"a", b"b"].map(|field| hash.expire_at_ms(field)), [Some(1005), None]);
            }
        }
    }

    proptest! {
        #[test]
        fn strings_come_back(text: Vec<u8>) {
            let restored = round(&Record::new_string(b"k", &text, None, false));
            prop_assert!(matches!(restored, Restored::Text(back) if back == text));
        }

        #[test]
        fn numbers_come_back(number: i64) {
            let restored = round(&Record::new_int(b"k", number, None));
            prop_assert!(matches!(restored, Restored::Text(back) if back == number.to_string().into_bytes()));
        }

        #[test]
        fn collections_come_back(
            elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..200),
            fields in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..100), any::<i64>()), 1..200),
        ) {
            let limits = limits();
            let mut list = List::new();
            let mut set = Set::new_for(&elements[0], &limits.set, 1);
            for element in &elements {
                list.push(End::Tail, element, &limits.list);
                set.add(element, &limits.set);
            }
            let mut hash = Hash::new();
            for (field, value) in &fields {
                hash.set(field, value.to_string().as_bytes(), 0, &limits.hash);
            }
            let record = Record::new_object(b"k", Object::List(list), None);
            let Restored::Object(Object::List(back)) = round(&record) else { panic!("a list") };
            prop_assert_eq!(back.iter().map(|e| e.to_vec()).collect::<Vec<_>>(), elements.clone());

            let record = Record::new_object(b"k", Object::Set(set), None);
            let Restored::Object(Object::Set(back)) = round(&record) else { panic!("a set") };
            prop_assert!(elements.iter().all(|element| back.at(0).contains(element)));
            let ValueRef::Object(Object::Set(set)) = record.value() else { panic!("a set") };
            prop_assert_eq!(back.at(0).len(), set.at(0).len());

            let record = Record::new_object(b"k", Object::Hash(hash), None);
            let Restored::Object(Object::Hash(back)) = round(&record) else { panic!("a hash") };
            let ValueRef::Object(Object::Hash(hash)) = record.value() else { panic!("a hash") };
            prop_assert_eq!(back.len(), hash.len());
            for (field, value) in hash.iter(0) {
                let there = back.get(&field, 0).map(|v| v.to_vec());
                prop_assert_eq!(there, Some(value.to_vec()));
            }
        }

        #[test]
        fn any_bytes_are_survived(kind in 0u8..32, body: Vec<u8>) {
            let mut payload = vec![kind];
            payload.extend(body);
            payload.extend(VERSION.to_le_bytes());
            payload.extend([0; 8]);
            // Whatever comes out, nothing panics, and what is accepted can be dumped again.
            if let Ok(Restored::Object(object)) = restore(&payload, &limits()) {
                prop_assert!(object.free_effort() > 0);
            }
        }
    }
}
