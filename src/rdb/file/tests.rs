//! Tests of the reader with files made here, byte by byte from the format.

use proptest::prelude::*;

use super::error::{Fault, FileError, Header};
use super::read::{Accept, FileReader, Item, Next};
use super::{FileVersion, FileWriter, WriteError, WriteOptions, opcode, skim::Skim};
use crate::keyspace::database;
use crate::keyspace::record::{Record, RecordBox, ValueRef};
use crate::keyspace::snapshot::{Head, Kind, Sink};
use crate::keyspace::value::Object;
use crate::rdb::tests::limits;
use crate::rdb::write::{length, plain_string};
use crate::rdb::{Family, Nothing, checksum, dump, kind, read, write};
use crate::types::hash::Hash;
use crate::types::set::Set;
use crate::types::stream::StreamId;

/// A string with its length, whatever it is.
fn text(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    length(text.len(), &mut out);
    [out, text.to_vec()].concat()
}

/// A listpack of these elements.
fn listpack(elements: &[&[u8]]) -> Vec<u8> {
    let mut writer = crate::rdb::listpack::Writer::new();
    elements.iter().for_each(|element| writer.push(element));
    text(&writer.finish())
}

/// A stream with an entry 1-1 and a group with a pending entry, as the type says, then `more`.
fn stream(kind: u8, more: &[u8]) -> Vec<u8> {
    let id = [0u64.to_be_bytes(), 1u64.to_be_bytes(), 1u64.to_be_bytes()].concat()[8..].to_vec();
    let block = listpack(&[b"1", b"0", b"1", b"f", b"0", b"2", b"0", b"0", b"v", b"4"]);
    let mut out = [&[1][..], &text(&id), &block, &[1, 1, 1]].concat();
    let counts = kind != kind::STREAM_LISTPACKS;
    if counts {
        out.extend([1, 1, 0, 0, 1]);
    }
    out.extend([1, 1, b'g', 1, 1]);
    out.extend(counts.then_some(1));
    out.extend([&[1][..], &id, &77i64.to_le_bytes(), &[2]].concat());
    out.extend([&[1, 1, b'c'][..], &78i64.to_le_bytes()].concat());
    if counts && kind != kind::STREAM_LISTPACKS_2 {
        out.extend(79i64.to_le_bytes());
    }
    out.extend([&[1][..], &id, more].concat());
    out
}

/// A value of each type: its number in a file, the value, and what it is when read (`DUMP`'s elements count).
fn every_type() -> Vec<(u8, Family, Vec<u8>)> {
    let ms = |at: i64| at.to_le_bytes();
    let ziplist = |elements: &[Vec<u8>]| text(&crate::rdb::ziplist::tests::ziplist(elements));
    let pair = || [vec![1, b'a'], vec![0xf2]];
    let both =
        |byte: u8, value: Vec<u8>| [(byte, Family::Redis, value.clone()), (byte, Family::Valkey, value)];
    let mut all = Vec::new();
    let mut old = |byte, value: Vec<u8>| all.extend(both(byte, value));
    old(0, text(b"plain"));
    old(0, vec![0xc0, 0xff]);
    old(0, vec![0xc1, 0, 1]);
    old(0, vec![0xc2, 0, 0, 1, 0]);
    old(0, [&[0xc3, 5, 20][..], b"\x00a\xe0\x0a\x00"].concat());
    old(1, [vec![2], text(b"a"), text(b"b")].concat());
    old(2, [vec![2], text(b"a"), vec![0xc0, 7]].concat());
    old(3, b"\x03\x01m\x031.5\x01n\xfe\x01o\xff".to_vec());
    old(4, [vec![1], text(b"f"), text(b"v")].concat());
    old(5, [&[1, 1, b'm'][..], &2.5f64.to_le_bytes()].concat());
    old(9, text(b"\x01\x01f\x01\x00v\xff"));
    old(10, ziplist(&pair()));
    old(11, text(&[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2, 0]));
    old(12, ziplist(&pair()));
    old(13, ziplist(&pair()));
    old(14, [vec![1], ziplist(&pair())].concat());
    old(15, stream(kind::STREAM_LISTPACKS, &[]));
    old(16, listpack(&[b"f", b"v"]));
    old(17, listpack(&[b"m", b"1"]));
    old(18, [vec![2, 1], text(b"one big element"), vec![2], listpack(&[b"a", b"2"])].concat());
    old(19, stream(kind::STREAM_LISTPACKS_2, &[]));
    old(20, listpack(&[b"a", b"2"]));
    old(21, stream(kind::STREAM_LISTPACKS_3, &[]));
    let end = || ms(4_000_000_000_000).to_vec();
    let fields = [&[2, 1, b'f', 1, b'v'][..], &end(), &[1, b'g', 1, b'w'], &ms(-1)].concat();
    all.push((22, Family::Valkey, fields));
    let absolute =
        [&[2, 0x81][..], &4_000_000_000_000u64.to_be_bytes(), b"\x01f\x01v\x00\x01g\x01w"].concat();
    all.push((22, Family::Redis, absolute));
    all.push((23, Family::Redis, listpack(&[b"f", b"v", b"4000000000000", b"g", b"w", b"0"])));
    all.push((24, Family::Redis, [end(), b"\x02\x01\x01f\x01v\x00\x01g\x01w".to_vec()].concat()));
    let ends = listpack(&[b"f", b"v", b"4000000000000", b"g", b"w", b"0"]);
    all.push((25, Family::Redis, [end(), ends].concat()));
    let producers = &[60, 10, 1, 1, b'p', 1, 1, b'i', 1, 1, 1, 0];
    all.push((26, Family::Redis, stream(kind::STREAM_LISTPACKS_4, producers)));
    all.push((27, Family::Redis, stream(kind::STREAM_LISTPACKS_5, &[0, 60, 10, 0, 0, 0])));
    all
}

/// A file of these items.
fn file(magic: &str, items: &[u8]) -> Vec<u8> {
    let mut out = [magic.as_bytes(), items, &[opcode::END]].concat();
    out.extend(checksum(&out).to_le_bytes());
    out
}

/// A file with everything that files of a family have.
fn everything(family: Family) -> Vec<u8> {
    let mut items = [&[opcode::AUX][..], &text(b"redis-bits"), &[0xc0, 64]].concat();
    items.extend([&[opcode::AUX][..], &text(b"redis-ver"), &text(b"7.2.4")].concat());
    // A module's id, when, a number, a float, a double, a string, the end.
    items.extend(
        [&[opcode::MODULE_AUX, 0x81][..], &u64::MAX.to_be_bytes(), &[2, 1, 2, 5, 3, 0, 0, 0, 0, 4]].concat(),
    );
    items.extend([&[0; 8][..], &[5], &text(b"abc"), &[0]].concat());
    items.extend([&[opcode::FUNCTION][..], &text(b"#!lua name=a\n")].concat());
    items.extend([opcode::DATABASE, 0, opcode::SIZES, 40, 3, opcode::SLOT_INFO, 9, 40, 3]);
    if family == Family::Valkey {
        items.extend([&[opcode::SLOT_IMPORT_OR_KEY_META][..], &text(&[b'j'; 40]), &[1, 3, 5]].concat());
    }
    for (index, (byte, _, value)) in every_type().into_iter().filter(|it| it.1 == family).enumerate() {
        match index % 4 {
            0 => items.extend([&[opcode::EXPIRY_MS][..], &4_000_000_000_000u64.to_le_bytes()].concat()),
            1 => items.extend([&[opcode::EXPIRY_S][..], &2_000_000_000u32.to_le_bytes()].concat()),
            2 => items.extend([opcode::IDLE, 30, opcode::FREQUENCY, 200]),
            _ => {}
        }
        items.extend([&[byte][..], &text(format!("key {index}").as_bytes()), &value].concat());
    }
    items.extend([&[opcode::DATABASE, 7, 0][..], &text(b"key 0"), &text(b"x")].concat());
    file(if family == Family::Redis { "REDIS0013" } else { "VALKEY081" }, &items)
}

/// What was read of a file: the header, the other items as text, and how it ended.
#[derive(Debug, PartialEq)]
struct Seen {
    items: Vec<String>,
    end: Result<u64, FileError>,
}

/// Reads a file in pieces of `piece` bytes, values included.
fn read(file: &[u8], piece: usize, accept: Accept) -> Seen {
    let mut reader = FileReader::new(accept);
    let mut items = Vec::new();
    let mut pieces = file.chunks(piece.max(1));
    let end = loop {
        match reader.read_next() {
            Err(error) => break Err(error),
            Ok(Next::End) => break Ok(reader.offset()),
            Ok(Next::More) => match pieces.next() {
                Some(piece) => reader.feed(piece),
                None => break Err(reader.cut()),
            },
            Ok(Next::Item(Item::Key(key))) => match key.record(&limits(), 0) {
                Ok(Ok(record)) => {
                    let (name, dumped) = (key.name.escape_ascii(), dump(&record).escape_ascii().to_string());
                    items.push(format!("{name} {:?} {dumped}", key.attributes));
                }
                Ok(Err(nothing)) => items.push(format!("{nothing:?}")),
                Err(error) => break Err(error),
            },
            Ok(Next::Item(item)) => items.push(format!("{item:?}")),
        }
    };
    Seen { items, end }
}

fn accept() -> Accept {
    Accept::default()
}

#[test]
fn everything_is_read_in_pieces_of_any_length() {
    for family in [Family::Redis, Family::Valkey] {
        let file = everything(family);
        let whole = read(&file, file.len(), accept());
        assert_eq!(whole.end, Ok(file.len() as u64), "{family:?}");
        let keys = every_type().iter().filter(|it| it.1 == family).count() + 1;
        let others = if family == Family::Redis { 9 } else { 10 };
        assert_eq!(whole.items.len(), keys + others, "{:#?}", whole.items);
        for piece in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(read(&file, piece, accept()), whole, "{family:?}, pieces of {piece}");
        }
    }
}

/// What a record holds, whatever the order in which its table has it.
fn content(record: &Record) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = match record.value() {
        ValueRef::Object(Object::Set(set)) => set.at(0).iter().map(|member| member.to_vec()).collect(),
        ValueRef::Object(Object::Hash(hash)) => hash
            .iter(0)
            .map(|(field, value)| {
                format!("{:?} {:?} {:?}", &*field, &*value, hash.expire_at_ms(&field)).into_bytes()
            })
            .collect(),
        _ => vec![dump(record)],
    };
    parts.sort();
    [record.key(), b"=", &parts.join(&b","[..])].concat()
}

/// The records of a file that a writer made.
fn records(file: &[u8]) -> Vec<RecordBox> {
    let mut reader = FileReader::new(accept());
    reader.feed(file);
    let mut records = Vec::new();
    loop {
        match reader.read_next().expect("well formed") {
            Next::More => panic!("the file is whole"),
            Next::End => return records,
            Next::Item(Item::Key(key)) => {
                records.extend(key.record(&limits(), 0).expect("a value"));
            }
            Next::Item(_) => {}
        }
    }
}

/// A value of each type, written in every version that has a form for it, is the same when it is read.
#[test]
fn every_version_that_is_written_is_read() {
    let all: Vec<RecordBox> = every_type()
        .into_iter()
        .enumerate()
        .map(|(index, (byte, family, value))| {
            let kind = kind::of(byte, family).expect("known");
            let name = format!("key {index}");
            read::record(kind, &value, name.as_bytes(), Some(9), &limits(), 0)
                .expect("a value")
                .expect("kept")
        })
        .collect();
    let is_stream = |record: &Record| matches!(record.value(), ValueRef::Object(Object::Stream(_)));
    for version in FileVersion::ALL {
        let options = WriteOptions { version, compress: true, checksum: true, access: None };
        let mut written = Vec::new();
        let mut writer = FileWriter::new(options.clone(), &[("redis-ver", "7.2.4".to_owned())]);
        for record in &all {
            let has_ends = database::field_end_ms(record).is_some();
            let mut alone = FileWriter::new(options.clone(), &[]);
            alone.record(record);
            let refused = has_ends && version.number() < 12;
            let wanted = if refused { Err(WriteError::FieldEnds(version)) } else { Ok(()) };
            assert_eq!(alone.finish(), wanted, "{version:?}");
            if !refused {
                writer.record(record);
                written.push(record);
            }
        }
        writer.finish().expect("each has a form");
        let mut file = Vec::new();
        let taken = writer.drain(|bytes| {
            file.extend_from_slice(bytes);
            Ok::<(), ()>(())
        });
        taken.expect("taken");
        let read = records(&file);
        assert_eq!(read.len(), written.len(), "{version:?}");
        for (read, written) in read.iter().zip(written) {
            // The oldest forms of streams leave counts and times out, so these are compared by the newer
            // ones.
            if is_stream(written) && version.number() < 11 {
                assert_eq!(read.key(), written.key());
            } else {
                assert_eq!(content(read), content(written), "{version:?}");
            }
        }
    }
    let options =
        WriteOptions { version: FileVersion::Redis9, compress: false, checksum: true, access: None };
    let mut old = FileWriter::new(options, &[]);
    old.library(b"#!lua name=a\n");
    assert_eq!(old.finish(), Err(WriteError::Libraries(FileVersion::Redis9)));
}

/// The end of each value is found, and no byte before it is taken for the end.
#[test]
fn values_end_where_their_reader_ends() {
    for (byte, family, value) in every_type() {
        let kind = kind::of(byte, family).expect("known");
        let mut skim = Skim::value(kind, 1000).expect("a shape");
        for len in 0..value.len() {
            assert!(skim.walk(&value[..len]).is_err(), "type {byte} of {family:?}, {len} bytes");
        }
        assert!(matches!(skim.walk(&value), Ok(len) if len == value.len()), "type {byte} of {family:?}");
    }
}

#[test]
fn attributes_are_those_of_the_next_key_only() {
    let mut items = [&[opcode::EXPIRY_S][..], &100u32.to_le_bytes(), &[opcode::IDLE, 9, 0]].concat();
    items.extend([text(b"a"), text(b"1"), vec![0], text(b"b"), text(b"2")].concat());
    items.extend([&[opcode::EXPIRY_MS][..], &(-1i64).to_le_bytes(), &[opcode::FREQUENCY, 200, 0]].concat());
    items.extend([text(b"c"), text(b"3")].concat());
    items.extend([&[opcode::EXPIRY_MS][..], &(-5i64).to_le_bytes(), &[0]].concat());
    items.extend([text(b"d"), text(b"4")].concat());
    let file = file("REDIS0009", &items);
    let mut reader = FileReader::new(accept());
    reader.feed(&file);
    let mut found = Vec::new();
    loop {
        match reader.read_next().expect("right") {
            Next::Item(Item::Key(key)) => {
                let at = key.attributes;
                found.push((key.name.to_vec(), at.expire_at_ms, at.idle_s, at.frequency, at.offset));
            }
            Next::Item(_) => {}
            Next::More => panic!("all is there"),
            Next::End => break,
        }
    }
    assert_eq!(
        found,
        [
            (b"a".to_vec(), Some(100_000), Some(9), None, 9),
            (b"b".to_vec(), None, None, None, 21),
            (b"c".to_vec(), None, None, Some(200), 26),
            // A time before 1970 has passed.
            (b"d".to_vec(), Some(0), None, None, 42),
        ]
    );
}

/// What each header gives: the versions that are read, those of nobody, and other files.
#[test]
fn headers() {
    let header = |magic: &str, any_version| {
        let seen = read(&file(magic, &[]), 1000, Accept { any_version, ..accept() });
        seen.end.map(|_| seen.items.len()).map_err(|error| error.fault)
    };
    for version in 1..=14 {
        assert!(header(&format!("REDIS{version:04}"), false).is_ok() || version < 5, "{version}");
    }
    assert_eq!(header("VALKEY080", false), Ok(1));
    assert_eq!(header("VALKEY081", false), Ok(1));
    let version = |family, version| Err(Fault::Version(Header { family, version }));
    for (magic, family, number) in [
        ("REDIS0015", Family::Redis, 15),
        ("VALKEY082", Family::Valkey, 82),
        ("REDIS0079", Family::Redis, 79),
    ] {
        assert_eq!(header(magic, false), version(family, number));
        assert_eq!(header(magic, true), Ok(1), "{magic}");
    }
    for (magic, family, number) in
        [("REDIS0000", Family::Redis, 0), ("REDIS0080", Family::Redis, 80), ("VALKEY011", Family::Valkey, 11)]
    {
        assert_eq!(header(magic, true), version(family, number));
    }
    for magic in ["RODIS0011", "REDIS00x1", "VALKEY-80", "*3\r\n$3\r\nS", "\0\0\0\0\0\0\0\0\0"] {
        assert_eq!(header(magic, true), Err(Fault::Signature), "{magic}");
    }
    let cut = |bytes: &[u8]| read(bytes, 1000, accept()).end.map_err(|error| error.fault);
    assert_eq!(cut(b""), Err(Fault::End));
    assert_eq!(cut(b"REDIS00"), Err(Fault::End));
    assert_eq!(cut(b"PK\x03"), Err(Fault::Signature));
}

/// Files before version 5 have no checksum; a checksum of 0 stands for none.
#[test]
fn checksums() {
    let items = [vec![0], text(b"k"), text(b"v")].concat();
    let old = [b"REDIS0004", &items[..], &[opcode::END]].concat();
    assert_eq!(read(&old, 5, accept()).end, Ok(old.len() as u64));
    let good = file("REDIS0011", &items);
    let body = good.len() - 8;
    let none = [&good[..body], &[0; 8]].concat();
    assert_eq!(read(&none, 5, accept()).end, Ok(none.len() as u64));
    let mut wrong = good.clone();
    wrong[body - 2] ^= 1;
    let Err(FileError { offset, fault: Fault::Checksum { .. }, .. }) = read(&wrong, 5, accept()).end else {
        panic!("a wrong checksum");
    };
    assert_eq!(offset, body as u64);
    let any = Accept { any_checksum: true, ..accept() };
    assert_eq!(read(&wrong, 5, any).end, Ok(good.len() as u64));
    // What follows is not read.
    let mut reader = FileReader::new(accept());
    reader.feed(&[&good[..], b"*1\r\n"].concat());
    while !matches!(reader.read_next().expect("right"), Next::End) {}
    assert_eq!((reader.rest(), reader.offset()), (&b"*1\r\n"[..], good.len() as u64));
}

/// Types from 22 on mean what the header's family and version say.
#[test]
fn new_types_need_their_version() {
    let fields = [&[22][..], &text(b"k"), &[1, 1, b'f', 1, b'v'], &(-1i64).to_le_bytes()].concat();
    let fault = |magic: &str| read(&file(magic, &fields), 100, accept()).end.map_err(|error| error.fault);
    assert!(fault("VALKEY080").is_ok());
    assert_eq!(fault("REDIS0011"), Err(Fault::Opcode(22)));
    assert_ne!(fault("REDIS0012").map(|_| ()), Ok(()));
}

/// Each error names its key and where it is.
#[test]
fn what_cannot_be_kept_is_named() {
    let fault = |magic: &str, byte: u8, value: &[u8]| {
        let items = [&[byte][..], &text(b"the key"), value].concat();
        let error = read(&file(magic, &items), 7, accept()).end.expect_err("not to be kept");
        assert_eq!(error.offset, 9);
        (error.key.as_deref().map(<[u8]>::to_vec), error.to_string())
    };
    let key = Some(b"the key".to_vec());
    // "ReJSON-RL" in six bits each, version 3.
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = |letter: &u8| letters.iter().position(|other| other == letter).expect("a letter") as u64;
    let id = b"ReJSON-RL".iter().fold(0u64, |id, letter| id << 6 | place(letter)) << 10 | 3;
    let module = [&[0x81][..], &id.to_be_bytes(), &[5], &text(b"{}"), &[0]].concat();
    let (named, text_) = fault("REDIS0012", 7, &module);
    assert_eq!(named, key);
    assert_eq!(
        text_,
        "The RDB file contains module data I can't load: no matching module type 'ReJSON-RL' at byte 9, key 'the key'"
    );
    let unowned = [&[1][..], &[0; 16], &[60, 10, 0, 0, 0]].concat();
    let (named, text_) = fault("REDIS0014", 27, &stream(kind::STREAM_LISTPACKS_5, &unowned));
    assert_eq!(named, key);
    assert!(text_.contains("not well formed"), "{text_}");
    // A set with a member twice.
    let (named, text_) = fault("REDIS0011", 2, b"\x02\x01a\x01a");
    assert_eq!((named, &*text_), (key, "Value that is not well formed at byte 9, key 'the key'"));
    // No key is known yet.
    for (byte, wrong) in [(6, "opcode 6"), (8, "opcode 8"), (28, "opcode 28"), (242, "opcode 242")] {
        let (named, text_) = fault("REDIS0014", byte, b"");
        assert_eq!(named, None);
        assert!(text_.contains(wrong), "{text_}");
    }
    assert!(fault("REDIS0011", opcode::FUNCTION_PRE_GA, b"").1.contains("Pre-release"));
    assert!(fault("REDIS0013", opcode::SLOT_IMPORT_OR_KEY_META, b"").1.contains("Metadata of modules"));
}

/// A length that cannot be is refused before its bytes are waited for.
#[test]
fn long_strings_are_refused_at_once() {
    for claim in [&[0x80, 0, 0, 1, 1][..], b"\xc3\x01\x80\x7f\xff\xff\xff", b"\xc3\x80\x7f\xff\xff\xff\x01"] {
        let items = [&[0][..], &text(b"k"), claim].concat();
        let short = Accept { string_max: 256, ..accept() };
        let error = read(&[b"REDIS0011", &items[..]].concat(), 100, short).end.expect_err("too long");
        assert_eq!(error.fault, Fault::TooLong, "{claim:?}");
    }
}

/// Collections without elements, which Redis wrote by a fault, and hashes whose fields have all ended.
#[test]
fn nothing_to_keep() {
    let record = |byte: u8, family, value: &[u8], past_ms| {
        let kind = kind::of(byte, family).expect("known");
        let made = crate::rdb::read::record(kind, value, b"k", None, &limits(), past_ms);
        made.expect("well formed").map(|record| record.type_name())
    };
    for byte in [1, 2, 3, 4, 5, 14, 18] {
        assert_eq!(record(byte, Family::Redis, &[0], 0), Err(Nothing::Empty), "type {byte}");
    }
    for byte in [16, 17, 20] {
        assert_eq!(record(byte, Family::Redis, &listpack(&[]), 0), Err(Nothing::Empty), "type {byte}");
    }
    let field = [&[1, 1, b'f', 1, b'v'][..], &1000i64.to_le_bytes()].concat();
    assert_eq!(record(22, Family::Valkey, &field, 1000), Ok("hash"));
    assert_eq!(record(22, Family::Valkey, &field, 1001), Err(Nothing::Ended));
    let metadata = [&1000u64.to_le_bytes()[..], b"\x02\x01\x01f\x01v\x02\x01g\x01w"].concat();
    assert_eq!(record(24, Family::Redis, &metadata, 1001), Ok("hash"));
    assert_eq!(record(24, Family::Redis, &metadata, 1002), Err(Nothing::Ended));
}

/// The ends of fields are the same in all forms that have them.
#[test]
fn ends_of_fields() {
    for (byte, family, value) in every_type().into_iter().filter(|it| it.0 >= 22 && it.0 <= 25) {
        let kind = kind::of(byte, family).expect("known");
        let record =
            crate::rdb::read::record(kind, &value, b"k", None, &limits(), 0).expect("a hash").expect("some");
        let crate::keyspace::record::ValueRef::Object(Object::Hash(hash)) = record.value() else {
            panic!("a hash");
        };
        let ends = [b"f", b"g"].map(|field| hash.expire_at_ms(field));
        assert_eq!(ends, [Some(4_000_000_000_000), None], "type {byte} of {family:?}");
        assert_eq!(hash.get(b"g", 0).map(|value| value.to_vec()), Some(b"w".to_vec()));
    }
}

/// A field that ended at the time 0 has ended at any time, and one beyond the last time is none: found by the
/// fuzzer, as DUMP wrote fewer fields than it said.
#[test]
fn ends_at_both_ends_of_time() {
    let fields = |end: i64| {
        [&[2, 1, b'f', 1, b'v'][..], &end.to_le_bytes(), &[1, b'g', 1, b'w'], &(-1i64).to_le_bytes()].concat()
    };
    let record = |kind, value: &[u8]| read::record(kind, value, b"key", None, &limits(), 0);
    let kept = record(kind::HASH_2, &fields(0)).expect("a hash").expect("a field is left");
    let again = crate::rdb::restore(&dump(&kept), &limits()).expect("what DUMP writes is read");
    assert_eq!(dump(&again.into_record(b"key", None)), dump(&kept));
    assert!(matches!(kept.value(), ValueRef::Object(Object::Hash(hash)) if hash.len() == 1));
    let beyond =
        [&i64::MAX.to_le_bytes()[..], &[1, 0x81], &u64::MAX.to_be_bytes()[..], b"\x01f\x01v"].concat();
    assert!(record(kind::HASH_METADATA, &beyond).is_err());
    let beyond = [&i64::MAX.to_le_bytes()[..], &[1, 2], b"\x01f\x01v"].concat();
    assert!(record(kind::HASH_METADATA, &beyond).is_err());
}

/// A file that ends anywhere is not whole: it gives no item that the whole file does not, and a clear error.
#[test]
fn every_prefix_of_a_file() {
    for family in [Family::Redis, Family::Valkey] {
        let file = everything(family);
        let whole = read(&file, 1000, accept());
        for len in 0..file.len() {
            let seen = read(&file[..len], 1000, accept());
            let error = seen.end.expect_err("not whole");
            assert_eq!(error.fault, Fault::End, "{len} bytes");
            assert!(error.offset <= len as u64);
            assert_eq!(seen.items[..], whole.items[..seen.items.len()], "{len} bytes");
        }
    }
}

/// Each byte changed in several ways: an error, as the checksum tells at the latest; without it whatever is
/// read can be written again.
#[test]
fn every_byte_of_a_file_changed() {
    let any_checksum = Accept { any_checksum: true, any_version: true, ..accept() };
    for family in [Family::Redis, Family::Valkey] {
        let file = everything(family);
        for at in 0..file.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[at] ^= change;
                read(&changed, 100, any_checksum);
                // Redis 12 and 14 read as 13: the checksum is all that tells them apart.
                assert!(read(&changed, 100, accept()).end.is_err(), "byte {at} ^ {change:x}");
            }
        }
    }
}

proptest! {
    /// Values as DUMP writes them, in a file, come back the same.
    #[test]
    fn written_values_come_back(
        strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        fields in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 1..20), prop::option::of(1u64..1 << 40)),
            1..30,
        ),
        piece in 1usize..500,
    ) {
        let mut hash = Hash::new();
        for (field, end_ms) in &fields {
            hash.set(field, b"value", 0, &limits().hash);
            if let Some(end_ms) = end_ms {
                hash.set_expire(field, *end_ms);
            }
        }
        let mut records: Vec<_> = strings.iter().map(|text| Record::new_string(b"k", text, None, false)).collect();
        records.push(Record::new_object(b"k", Object::Hash(hash), None));
        let mut items = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let mut value = Vec::new();
            write::value(record, &mut value);
            items.push(value[0]);
            plain_string(index.to_string().as_bytes(), &mut items);
            items.extend(&value[1..]);
        }
        let seen = read(&file("VALKEY080", &items), piece, accept());
        prop_assert!(seen.end.is_ok());
        for (index, record) in records.iter().enumerate() {
            let item = &seen.items[1 + index];
            // Members of a hash may come in another order: its length has to do.
            if index + 1 < records.len() {
                prop_assert!(item.ends_with(&dump(record).escape_ascii().to_string()));
            }
            let name = format!("{index} ");
            prop_assert!(item.starts_with(&name));
        }
    }

    /// Whatever follows a right header, there is an end or an error.
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, piece in 1usize..50, valkey: bool) {
        let magic: &[u8] = if valkey { b"VALKEY080" } else { b"REDIS0012" };
        let seen = read(&[magic, &bytes].concat(), piece, accept());
        prop_assert!(seen.end.is_err() || bytes.contains(&opcode::END));
    }
}

/// What Redis 8.6 keeps of producers is read, and written beside the value in every version.
#[test]
fn producers_of_streams_are_kept() {
    let value = stream(kind::STREAM_LISTPACKS_4, &[60, 10, 1, 1, b'p', 1, 1, b'i', 1, 1, 1, 2]);
    let record = read::record(kind::STREAM_LISTPACKS_4, &value, b"k", None, &limits(), 0);
    let record = record.expect("a value").expect("kept");
    let known = |record: &Record| {
        let ValueRef::Object(Object::Stream(stream)) = record.value() else { panic!("a stream") };
        let known = stream.producers().expect("producers");
        let limits = known.limits();
        (known.entry(b"p", b"i", 0), known.added, known.duplicates, limits.duration_s, limits.max_ids)
    };
    assert_eq!(known(&record), (Some(StreamId::new(1, 1)), 1, 2, 60, 10));
    for version in FileVersion::ALL {
        let options = WriteOptions { version, compress: true, checksum: true, access: None };
        let mut writer = FileWriter::new(options, &[]);
        writer.record(&record);
        writer.finish().expect("it has a place");
        let mut file = Vec::new();
        let taken = writer.drain(|bytes| {
            file.extend_from_slice(bytes);
            Ok::<(), ()>(())
        });
        taken.expect("taken");
        assert_eq!(known(&records(&file)[0]), known(&record), "{version:?}");
    }
    for wrong in
        [&[0, 10, 0, 0, 0][..], &[60, 0, 0, 0, 0], &[60, 10, 9, 0, 0], &[60, 10, 1, 1, b'p', 9, 0, 0]]
    {
        let value = stream(kind::STREAM_LISTPACKS_4, wrong);
        assert!(read::record(kind::STREAM_LISTPACKS_4, &value, b"k", None, &limits(), 0).is_err());
    }
}

/// When members of a set end is written beside the value in every version, whether the set comes whole or in
/// pieces. Members that have ended are left out.
#[test]
fn ends_of_members_are_kept() {
    let mut set = Set::new_for(b"a", &limits().set, 3);
    for (member, end_ms) in [(&b"a"[..], Some(500)), (b"7", None), (b"b", Some(90))] {
        set.add(member, &limits().set);
        if let Some(end_ms) = end_ms {
            set.set_expire(member, end_ms);
        }
    }
    let members: Vec<(Vec<u8>, Option<u64>)> =
        set.at(0).iter().map(|member| (member.to_vec(), set.expire_at_ms(&member))).collect();
    let record = Record::new_object(b"k", Object::Set(set), Some(900));
    let seen = |record: &Record| {
        let ValueRef::Object(Object::Set(set)) = record.value() else { panic!("a set") };
        let ends =
            [&b"a"[..], b"7", b"b"].map(|member| (set.at(0).contains(member), set.expire_at_ms(member)));
        (ends, record.expire_at_ms())
    };
    let whole = ([(true, Some(500)), (true, None), (true, Some(90))], Some(900));
    assert_eq!(seen(&record), whole);
    for version in FileVersion::ALL {
        for compress in [true, false] {
            let options = WriteOptions { version, compress, checksum: true, access: None };
            let mut writer = FileWriter::new(options, &[]);
            writer.record(&record);
            writer.begin(&Head {
                key: b"pieces".as_slice().into(),
                expire_at_ms: None,
                access: 0,
                blessed: true,
                kind: Kind::Set { with_ends: true },
                count: 3,
            });
            members.iter().for_each(|(member, end_ms)| writer.member(member, *end_ms));
            writer.finish().expect("it has a place");
            let mut file = Vec::new();
            let taken = writer.drain(|bytes| {
                file.extend_from_slice(bytes);
                Ok::<(), ()>(())
            });
            taken.expect("taken");
            let read = records(&file);
            assert_eq!(seen(&read[0]), whole, "{version:?}");
            assert_eq!(seen(&read[1]), (whole.0, None), "{version:?}");
            assert_eq!([&read[0], &read[1]].map(|record| record.is_blessed()), [false, true]);
        }
    }
    let ends = |ends: [i64; 2]| ends.map(i64::to_le_bytes).concat();
    let value = b"\x02\x01a\x01b";
    let read = |ends: &[u8]| read::set_with_ends(kind::SET, value, ends, &limits(), 100);
    let left = read(&ends([99, 100])).expect("a set").expect("one is left");
    assert_eq!([&b"a"[..], b"b"].map(|member| left.at(0).contains(member)), [false, true]);
    assert_eq!(left.expire_at_ms(b"b"), Some(100));
    assert!(read(&ends([0, 1])).expect("a set").is_none(), "all have ended");
    for wrong in [&ends([-1, -1])[..8], &ends([-1, -1])[..15], b""] {
        assert!(read(wrong).is_err());
    }
    let twice = read::set_with_ends(kind::SET, b"\x02\x01a\x01a", &ends([-1, -1]), &limits(), 0);
    assert!(twice.is_err());
}
