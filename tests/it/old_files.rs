//! RDB files of old versions, made byte by byte from the format: the files under `tests/data/` are those made
//! here, and each is loaded. `KVARTS_WRITE_DATA=1` writes them anew.

use std::path::{Path, PathBuf};

use kvarts::rdb::Family;
use kvarts::rdb::file::{Header, ended};
use kvarts::shared::clock::Clock;

use crate::harness::*;

/// A string shorter than 64 bytes, or shorter than 16384, with its length.
fn text(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    let head = if len < 64 { vec![len as u8] } else { vec![0x40 | (len >> 8) as u8, len as u8] };
    [head, bytes.to_vec()].concat()
}

/// A key of a type.
fn key(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [vec![kind], text(name.as_bytes()), value.to_vec()].concat()
}

/// A ziplist of elements that are encoded already: bytes of the whole, of the last element's beginning,
/// count, then each element behind the length of the one before.
fn ziplist(elements: &[Vec<u8>]) -> Vec<u8> {
    let (mut body, mut before, mut tail) = (Vec::new(), 0, 10);
    for element in elements {
        tail = 10 + body.len();
        let start = body.len();
        match u8::try_from(before) {
            Ok(before @ ..254) => body.push(before),
            _ => {
                body.push(254);
                body.extend((before as u32).to_le_bytes());
            }
        }
        body.extend(element);
        before = body.len() - start;
    }
    let len = (10 + body.len() + 1) as u32;
    let head = [len.to_le_bytes(), (tail as u32).to_le_bytes()].concat();
    text(&[head, (elements.len() as u16).to_le_bytes().to_vec(), body, vec![0xff]].concat())
}

/// A short string in a ziplist.
fn word(word: &str) -> Vec<u8> {
    [vec![word.len() as u8], word.as_bytes().to_vec()].concat()
}

/// A set of whole numbers of so many bytes each.
fn intset(width: usize, values: &[i64]) -> Vec<u8> {
    let mut bytes = [(width as u32).to_le_bytes(), (values.len() as u32).to_le_bytes()].concat();
    values.iter().for_each(|value| bytes.extend(&value.to_le_bytes()[..width]));
    text(&bytes)
}

/// A listpack of small numbers and short strings.
fn listpack(elements: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        match element.parse::<u8>() {
            Ok(number @ ..128) => body.extend([number, 1]),
            _ => {
                body.push(0x80 | element.len() as u8);
                body.extend(element.as_bytes());
                body.push(1 + element.len() as u8);
            }
        }
    }
    let len = (6 + body.len() + 1) as u32;
    let head = [len.to_le_bytes().to_vec(), (elements.len() as u16).to_le_bytes().to_vec()].concat();
    text(&[head, body, vec![0xff]].concat())
}

/// A stream with the entries 1-1 and 2-1 and a group whose consumer has the first one pending. With `counts`
/// it is of the second form, which counts entries.
fn stream(counts: bool) -> Vec<u8> {
    let id = |ms: u64| [ms.to_be_bytes(), 1u64.to_be_bytes()].concat();
    let entries = ["2", "0", "1", "f", "0", "2", "0", "0", "v", "4", "2", "1", "0", "w", "4"];
    let mut bytes = [vec![1], text(&id(1)), listpack(&entries), vec![2, 2, 1]].concat();
    bytes.extend(if counts { &[1, 1, 0, 0, 2][..] } else { &[] });
    bytes.extend([&[1][..], &text(b"g"), &[1, 1]].concat());
    bytes.extend(if counts { &[1][..] } else { &[] });
    bytes.extend([&[1][..], &id(1), &1_600_000_000_000i64.to_le_bytes(), &[3]].concat());
    bytes.extend([&[1][..], &text(b"alice"), &1_600_000_000_000i64.to_le_bytes(), &[1], &id(1)].concat());
    bytes
}

/// A file of a version: magic, items, end.
fn file(version: u16, items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [format!("REDIS{version:04}").into_bytes(), items.concat()].concat();
    ended(&mut bytes, Header { family: Family::Redis, version });
    bytes
}

/// A file, and commands with their replies by a server that has loaded it.
struct Old {
    name: &'static str,
    bytes: Vec<u8>,
    holds: &'static str,
}

/// Versions 1 to 4: no checksum.
fn oldest() -> Vec<Old> {
    let database = |number| vec![254, number];
    let end_s = |end: u32| [vec![253], end.to_le_bytes().to_vec()].concat();
    let end_ms = |end: u64| [vec![252], end.to_le_bytes().to_vec()].concat();
    vec![
        Old {
            name: "version-1.rdb",
            bytes: file(
                1,
                &[
                    database(0),
                    key(0, "raw", &text(b"value")),
                    key(0, "int8", &[0xc0, 0xf9]),
                    key(0, "int16", &[0xc1, 0x39, 0x30]),
                    key(0, "int32", &[0xc2, 0x15, 0xcd, 0x5b, 0x07]),
                    // A literal, then nineteen times the byte before.
                    key(0, "lzf", &[0xc3, 5, 20, 0, b'a', 0xe0, 10, 0]),
                    key(1, "list", &[vec![3], text(b"a"), vec![0xc0, 5], text(b"c")].concat()),
                    key(2, "set", &[vec![2], text(b"m"), vec![0xc0, 7]].concat()),
                    key(3, "zset", b"\x03\x01m\x031.5\x01n\xfe\x01o\xff"),
                    database(3),
                    end_s(4_000_000_000u32 >> 1),
                    key(0, "ending", &text(b"v")),
                ],
            ),
            holds: "
                MGET raw int8 int16 int32 lzf => *5~$5~value~$2~-7~$5~12345~$9~123456789~$20~aaaaaaaaaaaaaaaaaaaa~
                LRANGE list 0 -1 => *3~$1~a~$1~5~$1~c~
                SORT set ALPHA => *2~$1~7~$1~m~
                ZRANGE zset 0 -1 WITHSCORES => *6~$1~o~$4~-inf~$1~m~$3~1.5~$1~n~$3~inf~
                SELECT 3 => +OK~
                GET ending => $1~v~
                PEXPIRETIME ending => :2000000000000~
                DBSIZE => :1~
            ",
        },
        Old {
            name: "version-2.rdb",
            bytes: file(
                2,
                &[
                    database(0),
                    key(4, "hash", &[vec![2], text(b"f"), text(b"v"), text(b"g"), vec![0xc0, 9]].concat()),
                    key(9, "zipmap", &text(b"\x02\x01f\x01\x00v\x01g\x02\x03ww???\xff")),
                    key(10, "ziplist", &ziplist(&[word("a"), vec![0xf1], vec![0xfd], word("d")])),
                    key(11, "intset", &intset(2, &[-2, 1, 300])),
                    key(12, "zset", &ziplist(&[word("m"), vec![0xf3], word("n"), word("2.5")])),
                ],
            ),
            holds: "
                HMGET hash f g => *2~$1~v~$1~9~
                HMGET zipmap f g => *2~$1~v~$2~ww~
                HLEN zipmap => :2~
                LRANGE ziplist 0 -1 => *4~$1~a~$1~0~$2~12~$1~d~
                SORT intset => *3~$2~-2~$1~1~$3~300~
                ZRANGE zset 0 -1 WITHSCORES => *4~$1~m~$1~2~$1~n~$3~2.5~
            ",
        },
        Old {
            name: "version-4.rdb",
            bytes: file(
                4,
                &[
                    database(0),
                    key(13, "hash", &ziplist(&[word("f"), word("v"), word("n"), vec![0xfe, 0x80]])),
                    key(
                        10,
                        "widths",
                        &ziplist(&[
                            [&[0xc0][..], &(-300i16).to_le_bytes()].concat(),
                            vec![0xf0, 0xff, 0xff, 0x7f],
                            [&[0xd0][..], &(-70_000_000i32).to_le_bytes()].concat(),
                            [&[0xe0][..], &5_000_000_000i64.to_le_bytes()].concat(),
                            [&[0x41, 0x2c][..], &[b'x'; 300]].concat(),
                            word("behind a long one"),
                        ]),
                    ),
                    key(11, "int32", &intset(4, &[-70_000, 70_000])),
                    key(11, "int64", &intset(8, &[-5_000_000_000, 5_000_000_000])),
                    end_ms(4_000_000_000_123),
                    key(0, "ending", &text(b"v")),
                    end_ms(1_500_000_000_000),
                    key(0, "ended", &text(b"v")),
                ],
            ),
            holds: "
                HMGET hash f n => *2~$1~v~$4~-128~
                LRANGE widths 0 3 => *4~$4~-300~$7~8388607~$9~-70000000~$10~5000000000~
                LINDEX widths 5 => $17~behind a long one~
                SORT int32 => *2~$6~-70000~$5~70000~
                SORT int64 => *2~$11~-5000000000~$10~5000000000~
                PEXPIRETIME ending => :4000000000123~
                EXISTS ended => :0~
            ",
        },
    ]
}

/// Versions 6 to 10: with a checksum.
fn later() -> Vec<Old> {
    let database = |number, keys, ending| vec![254, number, 251, keys, ending];
    let aux = |name: &str, value: &str| [vec![250], text(name.as_bytes()), text(value.as_bytes())].concat();
    vec![
        Old {
            name: "version-6.rdb",
            bytes: file(6, &[vec![254, 9], key(1, "list", &[vec![1], text(b"a")].concat())]),
            holds: "
                DBSIZE => :0~
                SELECT 9 => +OK~
                LRANGE list 0 -1 => *1~$1~a~
            ",
        },
        Old {
            name: "version-7.rdb",
            bytes: file(
                7,
                &[
                    aux("redis-ver", "3.2.0"),
                    database(0, 1, 0),
                    key(
                        14,
                        "quicklist",
                        &[vec![2], ziplist(&[word("a"), word("b")]), ziplist(&[vec![0xfe, 0x64]])].concat(),
                    ),
                ],
            ),
            holds: "
                LRANGE quicklist 0 -1 => *3~$1~a~$1~b~$3~100~
            ",
        },
        Old {
            name: "version-9.rdb",
            bytes: file(
                9,
                &[
                    aux("redis-ver", "5.0.0"),
                    database(0, 4, 0),
                    key(5, "zset", &[&[1, 1, b'm'][..], &2.25f64.to_le_bytes()].concat()),
                    vec![248, 60],
                    key(0, "idle", &text(b"v")),
                    vec![249, 9],
                    key(0, "frequent", &text(b"v")),
                    key(15, "stream", &stream(false)),
                ],
            ),
            holds: "
                ZSCORE zset m => $4~2.25~
                MGET idle frequent => *2~$1~v~$1~v~
                XRANGE stream - + => *2~*2~$3~1-1~*2~$1~f~$1~v~*2~$3~2-1~*2~$1~f~$1~w~
                XPENDING stream g => *4~:1~$3~1-1~$3~1-1~*1~*2~$5~alice~$1~1~
                XREADGROUP GROUP g bob STREAMS stream > => *1~*2~$6~stream~*1~*2~$3~2-1~*2~$1~f~$1~w~
            ",
        },
        Old {
            name: "version-10.rdb",
            bytes: file(
                10,
                &[
                    aux("redis-ver", "7.0.0"),
                    [vec![245], text(b"#!lua name=l\nredis.register_function('f', function() return 7 end)")]
                        .concat(),
                    database(0, 4, 0),
                    key(16, "hash", &listpack(&["f", "v", "g", "5"])),
                    key(17, "zset", &listpack(&["m", "1", "n", "2.5"])),
                    key(18, "list", &[vec![2, 1], text(b"plain"), vec![2], listpack(&["a", "2"])].concat()),
                    key(19, "stream", &stream(true)),
                ],
            ),
            holds: "
                HMGET hash f g => *2~$1~v~$1~5~
                ZRANGE zset 0 -1 WITHSCORES => *4~$1~m~$1~1~$1~n~$3~2.5~
                LRANGE list 0 -1 => *3~$5~plain~$1~a~$1~2~
                XLEN stream => :2~
                XPENDING stream g => *4~:1~$3~1-1~$3~1-1~*1~*2~$5~alice~$1~1~
                FCALL f 0 => :7~
            ",
        },
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

#[test]
fn files_of_old_versions_are_loaded() {
    for Old { name, bytes, holds } in oldest().into_iter().chain(later()) {
        let path = folder().join(name);
        if std::env::var_os("KVARTS_WRITE_DATA").is_some() {
            std::fs::write(&path, &bytes).expect("a file");
        }
        let kept = std::fs::read(&path).expect("the file");
        assert_eq!(kept.escape_ascii().to_string(), bytes.escape_ascii().to_string(), "{name}");
        let dir = TempDir::new();
        std::fs::write(dir.path().join("dump.rdb"), &kept).expect("a file");
        let (status, said) = crate::tools::run(dir.path(), &["check", "dump.rdb"]);
        assert_eq!(status, Some(0), "{name}: {said}");
        let server = TestServer::try_with(&[], Clock::manual(START_MS), dir).expect("it starts");
        let mut client = server.client();
        for line in holds.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, reply) = line.split_once(" => ").expect("an arrow");
            assert_eq!(client.raw(command), reply, "{name}: {command}");
        }
    }
}

/// Every file has a line in the folder's page, and no other file lies there.
#[test]
fn every_file_is_described() {
    let page = std::fs::read_to_string(folder().join("README.md")).expect("the page");
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    let mut made: Vec<&str> = oldest().iter().chain(&later()).map(|old| old.name).collect();
    made.sort_unstable();
    assert_eq!(names, made);
    names.iter().for_each(|name| assert!(page.contains(&format!("| `{name}` |")), "{name}"));
}
