//! `kvarts check` and `kvarts convert`: what they say of files, and what they leave behind.

use std::path::Path;
use std::process::Command;

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::loading::fill;
use crate::peer_files::compare;

/// Runs the program with these words in a folder. Returns its exit status and what it printed.
pub fn run(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kvarts")).args(words).current_dir(folder).output();
    let output = output.expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A server with data that has saved them in its folder.
fn saved() -> TestServer {
    let server = TestServer::start();
    let mut client = server.client();
    fill(&mut client);
    client.check("SAVE", "+OK~");
    server
}

#[test]
fn check_says_what_a_file_holds() {
    let server = saved();
    let (status, text) = run(server.dir(), &["check", "dump.rdb"]);
    assert_eq!(status, Some(0), "{text}");
    for line in [
        "dump.rdb: RDB version 80 of Valkey, ",
        "libraries of functions: 1",
        "database 0: 1018 keys, 1 with an expiry (1 over), ",
        "database 3: 1 keys, 0 with an expiry (0 over), ",
        "  string: 1007 keys, ",
        "  hash: 3 keys, ",
        "  stream: 2 keys, ",
        " bytes: zset 'long z' of database 0",
        "OK",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let (status, of_folder) = run(server.dir(), &["check", "."]);
    assert_eq!((status, of_folder.replace("./dump.rdb", "dump.rdb")), (Some(0), text));
    let empty = TempDir::new();
    assert_eq!(run(empty.path(), &["check", "."]).0, Some(1));
    assert_eq!(run(empty.path(), &["check", "missing"]).0, Some(1));
    for wrong in [&["check"][..], &["check", "a", "b"], &["check", "a", "--fixx"], &["convert", "a"]] {
        let (status, text) = run(empty.path(), wrong);
        assert_eq!((status, text.starts_with("usage: ")), (Some(2), true), "{wrong:?}");
    }
}

/// A value that is not well formed does not keep the rest from being looked at; both are named.
#[test]
fn check_says_what_is_wrong_and_where() {
    let dir = TempDir::new();
    // A set with a member twice, a module's value, a key, then a type that is not known.
    let file = b"REDIS0004\x02\x01s\x02\x01a\x01a\x07\x01m\x00\x00\x00\x01k\x01v\x63\x01x";
    std::fs::write(dir.path().join("a.rdb"), file).expect("a file");
    let (status, text) = run(dir.path(), &["check", "a.rdb", "--fix"]);
    assert_eq!(status, Some(1));
    for line in [
        "database 0: 3 keys",
        "WRONG: Value that is not well formed at byte 9, key 's'",
        "no matching module type 'AAAAAAAAA' at byte 17, key 'm'",
        "WRONG: Unknown type or opcode 99 at byte 27",
        "3 errors",
        "not fixed",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(std::fs::read(dir.path().join("a.rdb")).expect("a file"), file);
}

/// Every file that ends too early is loaded after `--fix`, with the keys that were whole.
#[test]
fn a_torn_file_is_cut() {
    let whole = b"REDIS0011\xfa\x01a\x01b\xfe\x00\x00\x01k\x01v\xfc\0\0\0\0\0\x10\0\0\x00\x01l\x03xyz\xff\0\0\0\0\0\0\0\0";
    for len in 9..whole.len() {
        let dir = TempDir::new();
        let path = dir.path().join("dump.rdb");
        std::fs::write(&path, &whole[..len]).expect("a file");
        assert_eq!(run(dir.path(), &["check", "dump.rdb"]).0, Some(1), "{len} bytes");
        let (status, text) = run(dir.path(), &["check", "--fix", "dump.rdb"]);
        assert_eq!(status, Some(0), "{len} bytes: {text}");
        assert!(text.contains("the file as it was is dump.rdb.broken"), "{text}");
        assert_eq!(std::fs::read(dir.path().join("dump.rdb.broken")).expect("a file"), whole[..len]);
        assert_eq!(run(dir.path(), &["check", "dump.rdb"]).0, Some(0), "{len} bytes");
        let server = TestServer::try_with(&[], Clock::manual(START_MS), dir).expect("it starts");
        let keys = [21, 37].iter().filter(|end| **end <= len).count();
        server.client().check("DBSIZE", &format!(":{keys}~"));
    }
}

/// A file of the other version holds the same data; what it cannot hold is an error, and no file.
#[test]
fn convert_writes_another_version() {
    let server = saved();
    let (status, text) = run(server.dir(), &["convert", "dump.rdb", "new.rdb"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("a field of a hash has an expiry"), "{text}");
    assert!(!server.dir().join("new.rdb").exists() && !server.dir().join("new.rdb.part").exists());
    let mut client = server.client();
    client.check("DEL ends", ":1~");
    client.check("CONFIG SET rdb-version 80", "+OK~");
    client.check("SAVE", "+OK~");
    let (status, text) = run(server.dir(), &["convert", "dump.rdb", "new.rdb"]);
    assert_eq!((status, &*text), (Some(0), "new.rdb: 1018 keys\n"));
    let (status, text) = run(server.dir(), &["convert", "--rdb-version", "80", "new.rdb", "again.rdb"]);
    assert_eq!((status, &*text), (Some(0), "again.rdb: 1018 keys\n"));
    for (name, magic) in [("new.rdb", b"REDIS0011"), ("again.rdb", b"VALKEY080")] {
        let dir = TempDir::new();
        let bytes = std::fs::read(server.dir().join(name)).expect("a file");
        assert!(bytes.starts_with(magic));
        std::fs::write(dir.path().join("dump.rdb"), bytes).expect("a file");
        let other = TestServer::try_with(&[], Clock::manual(START_MS), dir).expect("it starts");
        compare(&mut other.client(), &mut client, name);
    }
}
