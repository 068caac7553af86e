//! Keys that are never evicted: BLESS, and what becomes of the blessing.

use kvarts::keyspace::key_hash::SLOT_COUNT;
use kvarts::keyspace::table;
use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::journal::{BEGIN_MS, check_entered, entries_of};
use crate::random_commands;
use crate::value::Value;

#[test]
fn keys_are_blessed_and_cleared() {
    table(
        r#"
        SET k v => +OK~
        BLESS GET k => *0~
        BLESS SET k NO-EVICT => :1~
        bless set k no-evict => :0~
        BLESS GET k => *1~$8~NO-EVICT~
        BLESS SCAN 0 NO-EVICT => *2~$1~0~*1~$1~k~
        BLESS SCAN 0 no-evict COUNT 1 => *2~$1~0~*1~$1~k~
        BLESS CLEAR k NO-EVICT => :1~
        BLESS CLEAR k NO-EVICT => :0~
        BLESS GET k => *0~
        BLESS SCAN 0 NO-EVICT => *2~$1~0~*0~
        RPUSH l a => :1~
        BLESS SET l NO-EVICT => :1~
        EXPIRE l 100 => :1~
        BLESS GET l => *1~$8~NO-EVICT~
        PERSIST l => :1~
        BLESS GET l => *1~$8~NO-EVICT~
        "#,
    );
}

#[test]
fn wrong_requests_about_blessings_are_refused() {
    table(
        r#"
        SET k v => +OK~
        BLESS => -ERR wrong number of arguments for 'bless' command~
        BLESS SET k => -ERR wrong number of arguments for 'bless|set' command~
        BLESS SET k NO-EVICT more => -ERR wrong number of arguments for 'bless|set' command~
        BLESS SET k EVICT => -ERR syntax error~
        BLESS SET none NO-EVICT => -ERR no such key~
        BLESS SET none EVICT => -ERR syntax error~
        BLESS CLEAR k NONE => -ERR syntax error~
        BLESS CLEAR none NO-EVICT => -ERR no such key~
        BLESS GET none => -ERR no such key~
        BLESS GET k k => -ERR wrong number of arguments for 'bless|get' command~
        BLESS SCAN 0 => -ERR wrong number of arguments for 'bless|scan' command~
        BLESS SCAN x NO-EVICT => -ERR invalid cursor~
        BLESS SCAN 0 ANY => -ERR syntax error~
        BLESS SCAN 0 NO-EVICT COUNT 0 => -ERR syntax error~
        BLESS SCAN 0 NO-EVICT COUNT x => -ERR value is not an integer or out of range~
        BLESS SCAN 0 NO-EVICT MATCH a => -ERR syntax error~
        BLESS WHAT => -ERR unknown subcommand 'WHAT'. Try BLESS HELP.~
        BLESS GET k => *0~
        "#,
    );
}

fn blessed(client: &mut Client) -> Vec<String> {
    let mut keys = client.value("BLESS SCAN 0 NO-EVICT").items()[1].texts();
    keys.sort();
    keys
}

/// A blessing stays with the key whatever takes its value's place, goes along to another key, and ends with it.
#[test]
fn the_blessing_is_the_keys() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    let Value::Bulk(payload) = client.value("DUMP k") else { panic!("a payload") };
    for (commands, keys) in [
        ("SET k v ; BLESS SET k NO-EVICT ; SET k w ; APPEND k more", &["k"][..]),
        ("SADD s a ; SUNIONSTORE k s", &["k"]),
        ("RENAME k r", &["r"]),
        ("COPY r c", &["c", "r"]),
        ("SET other x ; RENAME other c", &["c", "r"]),
        ("DEL c ; SET c again", &["r"]),
        ("SELECT 1", &[]),
        ("SELECT 0 ; MOVE r 1", &[]),
        ("SWAPDB 0 1", &["r"]),
        ("SET k v ; BLESS SET k NO-EVICT ; PEXPIRE k 10", &["k", "r"]),
        ("DEBUG RELOAD", &["k", "r"]),
        ("EXPIRE r 0", &["k"]),
    ] {
        commands.split(" ; ").for_each(|command| drop(client.value(command)));
        assert_eq!(blessed(&mut client), keys, "{commands}");
    }
    client.call(&[b"RESTORE".as_slice(), b"k", b"0", &payload, b"REPLACE"]);
    client.call(&[b"RESTORE".as_slice(), b"new", b"0", &payload]);
    assert_eq!(blessed(&mut client), ["k"]);
    assert_eq!(server.info("blessed_keys"), "1");
    client.check("PEXPIRE k 10", ":1~");
    server.advance_ms(10);
    assert_eq!((blessed(&mut client).len(), server.info("blessed_keys")), (0, "0".to_owned()));
    // What is undone is as it was.
    client.check("BLESS SET new NO-EVICT", ":1~");
    for command in
        ["MULTI ATOMIC", "BLESS CLEAR new NO-EVICT", "DEL new", "FLUSHDB", "SADD n a", "GET n", "EXEC"]
    {
        client.value(command);
    }
    assert_eq!((blessed(&mut client), server.info("blessed_keys")), (vec!["new".to_owned()], "1".to_owned()));
    client.check("FLUSHALL", "+OK~");
    assert_eq!((blessed(&mut client).len(), server.info("blessed_keys")), (0, "0".to_owned()));
}

#[test]
fn blessings_are_told() {
    let server = TestServer::with(&[("notify-keyspace-events", "Eg")]);
    let (mut listener, mut client) = (server.client(), server.client());
    client.check("SET k v", "+OK~");
    listener.check("PSUBSCRIBE __key*", "*3~$10~psubscribe~$6~__key*~:1~");
    for (command, event) in [
        ("BLESS SET k NO-EVICT", "bless"),
        ("BLESS SET k NO-EVICT", ""),
        ("BLESS CLEAR k NO-EVICT", "unbless"),
    ] {
        client.value(command);
        if event.is_empty() {
            listener.check_silent();
        } else {
            assert_eq!(listener.read().texts()[2..].join(" "), format!("__keyevent@0__:{event} k"));
        }
    }
}

#[test]
fn a_walk_finds_all_blessed_keys_and_no_others() {
    let server = TestServer::start();
    let mut client = server.client();
    for number in 0..3000 {
        client.call(&["SET", &format!("key {number}"), "v"]);
    }
    let mut expected: Vec<String> = (0..3000).step_by(7).map(|number| format!("key {number}")).collect();
    expected.extend((0..50).map(|number| format!("{{tag}} {number}")));
    for key in &expected {
        client.call(&["SET", key, "v"]);
        assert_eq!(client.call(&["BLESS", "SET", key, "NO-EVICT"]), Value::Int(1));
    }
    expected.sort();
    for count in ["1", "10", "1024", "100000"] {
        let (mut cursor, mut found, mut steps) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let page = client.call(&["BLESS", "SCAN", &cursor, "NO-EVICT", "COUNT", count]).items();
            (cursor, steps) = (page[0].text(), steps + 1);
            found.extend(page[1].texts());
            if cursor == "0" {
                break;
            }
        }
        found.sort();
        assert_eq!(found, expected, "COUNT {count}");
        assert!(
            steps <= expected.len() / count.parse::<usize>().expect("a number") + 1,
            "no walk over other keys"
        );
    }
}

/// Whatever the policy, blessed keys stay; where nothing else is left there is no room, as without a policy.
#[test]
fn blessed_keys_are_never_evicted() {
    for policy in
        ["allkeys-random", "allkeys-lru", "allkeys-lfu", "allkeys-lrm", "volatile-ttl", "volatile-random"]
    {
        let server = TestServer::with(&[("maxmemory-policy", policy)]);
        let mut client = server.client();
        for number in 0..300 {
            client.call(&["SET", &format!("k{number}"), "v", "EX", "1000"]);
        }
        for number in 0..290 {
            client.call(&["BLESS", "SET", &format!("k{number}"), "NO-EVICT"]);
        }
        client.check("CONFIG SET maxmemory 1", "+OK~");
        eventually("all others are evicted", || {
            client.value("GET none");
            client.value("DBSIZE") == Value::Int(290)
        });
        let refused = "-OOM command not allowed when used memory > 'maxmemory'.~";
        // While another thread looks for a key to evict, nobody is refused.
        for command in ["SET k5 v KEEPTTL", "BLESS SET k1 NO-EVICT"] {
            eventually("it is refused", || client.raw(command) == refused);
        }
        assert_eq!(server.info("evicted_keys"), "10", "{policy}");
        client.check("BLESS CLEAR k1 NO-EVICT", ":1~");
        eventually("it is evicted", || {
            client.value("GET none");
            client.value("EXISTS k1") == Value::Int(0)
        });
        assert_eq!(server.info("blessed_keys"), "289", "{policy}");
    }
}

/// Files keep blessings; members of transactions are entered apart from what others know.
#[test]
fn blessings_are_kept_and_entered() {
    for preamble in ["yes", "no", ""] {
        let pairs: &[(&str, &str)] = match preamble {
            "" => &[],
            _ => &[("appendonly", "yes"), ("aof-use-rdb-preamble", preamble)],
        };
        let server = TestServer::with_clock(pairs, Clock::manual(BEGIN_MS));
        let mut client = server.client();
        let members: Vec<String> = (0..1000).map(|number| format!("m{number}")).collect();
        client.call(&[vec!["SADD".to_owned(), "large".to_owned()], members].concat());
        for line in ["SET k v", "SET n 1 EX 100", "RPUSH l a", "SADDEX e EX 100 MEMBERS 1 a", "SET plain v"] {
            client.value(line);
        }
        for key in ["k", "n", "l", "e", "large"] {
            client.check(&format!("BLESS SET {key} NO-EVICT"), ":1~");
        }
        if preamble.is_empty() {
            client.check("SAVE", "+OK~");
        } else {
            client.call(&["BGREWRITEAOF"]);
            eventually("rewritten", || server.info("aof_rewrite_in_progress") == "0");
            client.check("BLESS CLEAR l NO-EVICT", ":1~");
            client.check("BLESS SET plain NO-EVICT", ":1~");
        }
        let before = blessed(&mut client);
        assert_eq!(before.len(), 5);
        let again = TestServer::try_with(pairs, Clock::manual(BEGIN_MS), server.stop_and_keep())
            .expect("started again");
        eventually("loaded", || again.info("loading") == "0");
        assert_eq!(blessed(&mut again.client()), before, "{preamble:?}");
    }
    let server = TestServer::with_clock(&[], Clock::manual(BEGIN_MS));
    let reader = server.handle().server().journal().listen(|| {});
    let mut client = server.client();
    for (commands, expected) in [
        ("SET k v ; BLESS SET k NO-EVICT", "SET k v | BLESS SET k NO-EVICT"),
        ("BLESS SET k NO-EVICT", ""),
        (
            "MULTI ; INCR a ; BLESS CLEAR k NO-EVICT ; BLESS SET a NO-EVICT ; RENAME a b ; INCR c ; EXEC",
            "MULTI | INCR a | RENAME a b | INCR c | EXEC | BLESS CLEAR k NO-EVICT | BLESS SET b NO-EVICT",
        ),
        (
            "ZADD z 1 a ; BLESS SET z NO-EVICT ; ZUNIONSTORE z 1 z AGGREGATE COUNT",
            "ZADD z 1 a | BLESS SET z NO-EVICT | MULTI | DEL z | ZADD z 1 a | EXEC | BLESS SET z NO-EVICT",
        ),
        (
            "HSET h f 0 ; BLESS SET h NO-EVICT ; HIMPORT PREPARE u f ; HIMPORT SET h u 1",
            "HSET h f 0 | BLESS SET h NO-EVICT | MULTI | UNLINK h | HSET h f 1 | EXEC | BLESS SET h NO-EVICT",
        ),
    ] {
        check_entered(&mut client, commands, expected, || entries_of(&server, &reader));
    }
}

/// The index agrees with a walk over all keys, whatever is done.
#[test]
fn the_index_is_that_of_a_walk() {
    let commands = [
        "BLESS SET K NO-EVICT",
        "BLESS SET K NO-EVICT",
        "BLESS CLEAR K NO-EVICT",
        "SADDEX K PX T MEMBERS 1 a",
        "SADD K a",
        "SUNIONSTORE K K",
    ];
    random_commands::after_each(&commands, 400, |server, _, sent| {
        let keyspace = &server.handle().server().keyspace;
        for &physical in keyspace.gate.shared(0).iter() {
            let Some(database) = keyspace.physical_if_used(physical) else { continue };
            let (mut count, mut volatile) = (0, 0);
            for slot in (0..SLOT_COUNT).filter(|slot| database.slot_len(*slot) > 0) {
                for record in table::iter(&database.read_slot(slot)).filter(|record| record.is_blessed()) {
                    (count, volatile) = (count + 1, volatile + usize::from(record.expire_at_ms().is_some()));
                }
            }
            let told = (database.blessed.len(), database.blessed.volatile_len());
            assert_eq!((told, database.blessed.page(0, 99).0.len()), ((count, volatile), count), "{sent}");
        }
    });
}
