//! Databases that nothing was written to: they take no memory, and nothing is missed while one is made.

use std::sync::Barrier;

use crate::harness::*;

/// The databases that were made.
fn made(server: &TestServer) -> Vec<u16> {
    let keyspace = &server.handle().server().keyspace;
    let numbers = 0..keyspace.database_count() as u16;
    numbers.filter(|number| keyspace.physical_if_used(*number).is_some()).collect()
}

/// Whatever reads finds nothing and makes nothing: alone, in a pipeline, in MULTI, from a script, waiting.
#[test]
fn reading_makes_no_database() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    for number in 1..16 {
        client.check(&format!("SELECT {number}"), "+OK~");
        for (command, reply) in [
            ("GET k", "$-1~"),
            ("MGET a b {a}c d", "*4~$-1~$-1~$-1~$-1~"),
            ("EXISTS a b a", ":0~"),
            ("HGETALL h", "*0~"),
            ("HGET h f", "$-1~"),
            ("LRANGE l 0 -1", "*0~"),
            ("SINTER a b c", "*0~"),
            ("ZRANGE z 0 -1", "*0~"),
            ("SORT_RO l BY w_* GET o_*", "*0~"),
            ("XRANGE s - +", "*0~"),
            ("XREAD STREAMS s 0", "*-1~"),
            ("XREAD BLOCK 1 STREAMS s 0", "*-1~"),
            ("TTL k", ":-2~"),
            ("TYPE k", "+none~"),
            ("DUMP k", "$-1~"),
            ("OBJECT ENCODING k", "$-1~"),
            ("DEBUG HTSTATS 9", "$29~[Dictionary HT]\\x0a[Expires HT]\\x0a~"),
            ("MEMORY USAGE k", "$-1~"),
            ("DBSIZE", ":0~"),
            ("KEYS *", "*0~"),
            ("SCAN 0", "*2~$1~0~*0~"),
            ("RANDOMKEY", "$-1~"),
            ("EVAL_RO \"return redis.call('mget', KEYS[1], KEYS[2])\" 2 a b", "*2~$-1~$-1~"),
            ("SWAPDB 0 3", "+OK~"),
            ("SWAPDB 0 3", "+OK~"),
            ("FLUSHDB", "+OK~"),
        ] {
            if command.starts_with("XREAD BLOCK") {
                client.send_command(command);
                eventually("it waits", || server.info("blocked_clients") == "1");
                server.advance_ms(10);
                client.check_next(reply);
            } else {
                client.check(command, reply);
            }
        }
        client.check("MULTI", "+OK~");
        client.check("GET k", "+QUEUED~");
        client.check("STRLEN k", "+QUEUED~");
        client.check("EXEC", "*2~$-1~:0~");
        client.send(&b"GET a\r\nGET b\r\nGET a\r\nSTRLEN c\r\n".repeat(20));
        for _ in 0..20 {
            for reply in ["$-1~", "$-1~", "$-1~", ":0~"] {
                client.check_next(reply);
            }
        }
    }
    assert_eq!(made(&server), [0]);
    // The first write of a pipeline makes it, and what follows in it sees that.
    client.send(b"SELECT 7\r\nGET a\r\nGET b\r\nSET a 1\r\nGET a\r\nSET b 2\r\nGET b\r\n");
    for reply in ["+OK~", "$-1~", "$-1~", "+OK~", "$1~1~", "+OK~", "$1~2~"] {
        client.check_next(reply);
    }
    // Reads and writes of one database in one plan, and a database that is not the selected one.
    client.check("SELECT 8", "+OK~");
    client.check("SUNIONSTORE target a b c d", ":0~");
    client.check("COPY a b DB 9", ":0~");
    client.check("SORT l BY w_* STORE out", ":0~");
    assert_eq!(made(&server), [0, 7, 8, 9]);
}

/// FLUSHALL gives back what the keys of all databases took, the tables of slots that had been emptied before
/// included.
#[test]
fn flushing_gives_the_tables_back() {
    let server = TestServer::start();
    let mut client = server.client();
    let overhead = |server: &TestServer| -> usize {
        let keyspace = &server.handle().server().keyspace;
        (0..3).filter_map(|number| keyspace.physical_if_used(number)).map(|made| made.overhead_bytes()).sum()
    };
    for number in 0..3 {
        client.check(&format!("SELECT {number}"), "+OK~");
        client.check("SET k v", "+OK~");
    }
    client.check("FLUSHALL", "+OK~");
    let empty = overhead(&server);
    for number in 0..3 {
        client.check(&format!("SELECT {number}"), "+OK~");
        for key in 0..300 {
            client.check(&format!("SET k{key} v PX 1000"), "+OK~");
            client.check(&format!("SET gone{key} v PX 1000"), "+OK~");
            client.check(&format!("DEL gone{key}"), ":1~");
        }
    }
    assert!(overhead(&server) > empty + 3 * 500 * 64);
    client.check("FLUSHALL", "+OK~");
    assert_eq!(overhead(&server), empty);
    client.check("DBSIZE", ":0~");
    client.check("SET k v", "+OK~");
    client.check("GET k", "$1~v~");
}

/// While one client makes a database by writing to it, another begins to wait there, and a third reads and
/// keeps what it read: the one is served, and the other either sees the key or is told that it changed.
#[test]
fn nothing_is_missed_while_a_database_is_made() {
    for _ in 0..4 {
        let server = TestServer::with(&[("io-threads", "4")]);
        for number in 1..16 {
            let (mut waiter, mut reader, mut writer) = (server.client(), server.client3(), server.client());
            reader.check("CLIENT TRACKING ON", "+OK~");
            for client in [&mut waiter, &mut reader, &mut writer] {
                client.check(&format!("SELECT {number}"), "+OK~");
            }
            let start = Barrier::new(3);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    waiter.check("XREAD BLOCK 0 STREAMS s 0", "*1~*2~$1~s~*1~*2~$3~1-1~*2~$1~f~$1~v~");
                });
                scope.spawn(|| {
                    start.wait();
                    reader.send(b"GET k\r\n");
                    match show(&reader.read_raw()).as_str() {
                        "_~" => reader.check_next(">2~$10~invalidate~*1~$1~k~"),
                        reply => assert_eq!(reply, "$1~v~"),
                    }
                });
                scope.spawn(|| {
                    start.wait();
                    writer.send(b"SET k v\r\nXADD s 1-1 f v\r\n");
                    writer.check_next("+OK~");
                    writer.check_next("$3~1-1~");
                });
            });
        }
    }
}

/// Many clients read in databases that others make at the same time, several keys at once: each sees all of a
/// write or nothing.
#[test]
fn databases_are_made_under_readers() {
    let server = TestServer::with(&[("io-threads", "4")]);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let mut client = server.client();
            scope.spawn(move || {
                for number in 1..16 {
                    client.check(&format!("SELECT {number}"), "+OK~");
                    for round in 0..60 {
                        let reply = client.raw("MGET a b c");
                        let all = reply == "*3~$1~v~$1~v~$1~v~";
                        assert!(all || reply == "*3~$-1~$-1~$-1~", "{reply}");
                        if round == 10 * thread {
                            client.check("MSET a v b v c v", "+OK~");
                            client.check("MGET a b c", "*3~$1~v~$1~v~$1~v~");
                        }
                    }
                }
            });
        }
    });
    assert_eq!(made(&server).len(), 16);
}
