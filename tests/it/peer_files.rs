//! RDB files exchanged with Redis and Valkey: theirs are loaded here, ours there, and the data compared.

use std::process::{Command, Stdio};

use crate::harness::*;
use crate::peer::{Peer, file_peers};

/// Data of every type and encoding that the peers have, without what is random.
fn fill(peer: &mut Client) {
    for line in [
        "MSET s text n 12345 neg -7 small 7 big 123456789012345 huge 1234567890123 empty ''",
        "RPUSH l a b 1 -5 70000 5000000000",
        "SADD int16 1 2 3",
        "SADD int32 1 70000",
        "SADD int64 1 5000000000",
        "SADD members a b 3",
        "ZADD z 1 a 2.5 b inf c -inf d 300000 e",
        "HSET h f v g 2",
        "HSET fields f v g w",
        "HPEXPIREAT fields 4000000000000 FIELDS 1 f",
        "XADD x 1-1 a b",
        "XADD x 2-1 c d e f",
        "XADD x 3-1 c d e f",
        "XDEL x 2-1",
        "XGROUP CREATE x g 0",
        "XGROUP CREATE x h $",
        "XGROUP CREATECONSUMER x h idle",
        "XREADGROUP GROUP g alice COUNT 1 STREAMS x >",
        "XADD gone 5-1 a b",
        "XDEL gone 5-1",
        "SET ttl v PXAT 4000000000000",
        "SETBIT bits 1000 1",
        "PFADD hll a b c",
        "GEOADD geo 13.361389 38.115556 Palermo",
        "CONFIG SET list-max-listpack-size 4",
        "RPUSH nodes 1 2 3 4 5 6 7 8 9 a b c",
        "SELECT 3",
        "SET s 'of another database'",
    ] {
        peer.value(line);
    }
    let source = "#!lua name=lib\nredis.register_function('f', function() return 7 end)";
    peer.call(&["FUNCTION", "LOAD", source]);
    peer.call(&["SELECT", "0"]);
    let long = "compressible ".repeat(300);
    peer.call(&["SET", "long text", &long]);
    peer.call(&["RPUSH", "plain node", &"x".repeat(9000), "y"]);
    for number in 0..600 {
        let name = format!("member {number}");
        peer.call(&["RPUSH", "long l", &name]);
        peer.call(&["SADD", "long s", &name]);
        peer.call(&["HSET", "long h", &name, "value"]);
        peer.call(&["HSET", "long fields", &name, "value"]);
        peer.call(&["ZADD", "long z", &format!("{number}.25"), &name]);
        peer.call(&["XADD", "long x", &format!("{}-1", number + 1), "f", &name]);
    }
    peer.call(&["HPEXPIREAT", "long fields", "4000000000000", "FIELDS", "2", "member 1", "member 7"]);
}

/// Replies that show all of a key, in an order of their own where the type has none, and without what depends
/// on the time.
pub fn shown(client: &mut Client, key: &str) -> Vec<Value> {
    let sorted = |value: Value| {
        let mut texts = value.texts();
        texts.sort();
        Value::Array(texts.into_iter().map(|text| Value::Bulk(text.into_bytes())).collect())
    };
    let mut replies = vec![client.call(&["TYPE", key]), client.call(&["PEXPIRETIME", key])];
    replies.extend(match &*replies[0].text() {
        "string" => vec![client.call(&["GET", key])],
        "list" => vec![client.call(&["LRANGE", key, "0", "-1"])],
        "set" => vec![sorted(client.call(&["SMEMBERS", key]))],
        "zset" => vec![client.call(&["ZRANGE", key, "0", "-1", "WITHSCORES"])],
        "hash" => {
            let mut fields = client.call(&["HKEYS", key]).texts();
            fields.sort();
            let mut replies = Vec::new();
            for field in fields {
                replies.push(client.call(&["HGET", key, &field]));
                let end = client.call(&["HPEXPIRETIME", key, "FIELDS", "1", &field]);
                // A server without ends of fields says that there is no such command.
                replies.push(if matches!(end, Value::Error(_)) {
                    Value::Array(vec![Value::Int(-1)])
                } else {
                    end
                });
            }
            replies
        }
        "stream" => {
            let stream = client.call(&["XINFO", "STREAM", key]);
            let fields = ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "groups"];
            let mut replies: Vec<_> = fields.iter().map(|field| stream.field(field)).collect();
            replies.push(client.call(&["XRANGE", key, "-", "+"]));
            for group in client.call(&["XINFO", "GROUPS", key]).items() {
                let name = group.field("name").text();
                replies.push(group.field("last-delivered-id"));
                replies.push(group.field("entries-read"));
                replies.push(client.call(&["XPENDING", key, &name]));
                for pending in client.call(&["XPENDING", key, &name, "-", "+", "1000"]).items() {
                    let [id, consumer, _idle_ms, deliveries] = &pending.items()[..] else {
                        panic!("a pending entry: {pending:?}")
                    };
                    replies.extend([id, consumer, deliveries].map(Value::clone));
                }
                let consumers = client.call(&["XINFO", "CONSUMERS", key, &name]).items();
                replies.extend(consumers.iter().map(|consumer| consumer.field("name")));
            }
            replies
        }
        other => panic!("a key of type {other}"),
    });
    replies
}

/// Compares all data of databases 0 and 3, and what the function `f` returns.
pub fn compare(ours: &mut Client, theirs: &mut Client, what: &str) {
    for database in ["0", "3"] {
        let mut lists = Vec::new();
        for client in [&mut *ours, &mut *theirs] {
            client.call(&["SELECT", database]);
            let mut keys = client.call(&["KEYS", "*"]).texts();
            keys.sort();
            lists.push(keys);
        }
        assert_eq!(lists[0], lists[1], "{what}: keys of database {database}");
        assert!(!lists[0].is_empty());
        for key in &lists[0] {
            assert_eq!(shown(ours, key), shown(theirs, key), "{what}: {key} of database {database}");
        }
    }
    assert_eq!(ours.value("FCALL f 0"), theirs.value("FCALL f 0"), "{what}");
}

/// A folder with a copy of this file.
fn copied(from: &std::path::Path) -> TempDir {
    let dir = TempDir::new();
    std::fs::copy(from.join("dump.rdb"), dir.path().join("dump.rdb")).expect("a file");
    dir
}

/// Makes the file in this folder one of another version.
fn convert(dir: &std::path::Path, version: u16) {
    let status = Command::new(env!("CARGO_BIN_EXE_kvarts"))
        .args(["convert", "dump.rdb", "dump.rdb", "--rdb-version", &version.to_string()])
        .current_dir(dir)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("the program runs").success());
}

/// A file of each peer, with compression and without, is loaded; ours, in the version that the peer reads, is
/// loaded by the peer.
#[test]
fn files_are_exchanged_with_every_peer() {
    let peers = file_peers();
    if peers.is_empty() {
        eprintln!("skipped: no redis-server or valkey-server runs here, and KVARTS_FILE_PEERS names none");
    }
    for program in peers {
        let peer = Peer::of_program(&program, TempDir::new());
        let mut theirs = Client::tcp(local(peer.port));
        fill(&mut theirs);
        let mut ours = None;
        for compression in ["yes", "no"] {
            theirs.call(&["CONFIG", "SET", "rdbcompression", compression]);
            theirs.check("SAVE", "+OK~");
            let clock = kvarts::shared::clock::Clock::manual(START_MS);
            let server = TestServer::try_with(&[], clock, copied(peer.dir())).expect("it starts");
            compare(&mut server.client(), &mut theirs, &program);
            ours = Some(server);
        }
        let ours = ours.expect("a server");
        let mut client = ours.client();
        let magic = std::fs::read(peer.dir().join("dump.rdb")).expect("its file")[..9].to_vec();
        // The newest version that we write and it reads.
        let its: u16 = String::from_utf8_lossy(&magic[6..]).parse().expect("a version");
        let version = if magic.starts_with(b"VALKEY") { 80 } else { its.min(12) };
        if version < 12 {
            client.call(&["DEL", "fields", "long fields"]);
        }
        client.check("SAVE", "+OK~");
        client.call(&["SELECT", "0"]);
        convert(ours.dir(), version);
        let before = client.value("DBSIZE");
        let again = Peer::of_program(&program, copied(ours.dir()));
        let mut theirs = Client::tcp(local(again.port));
        eventually("it has loaded", || theirs.value("DBSIZE") == before);
        compare(&mut client, &mut theirs, &format!("our file in {program}"));
    }
}
