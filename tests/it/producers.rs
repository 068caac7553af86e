//! Entries that producers add at most once: XADD IDMP and IDMPAUTO, XCFGSET, XIDMPRECORD.

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::value::Value;

#[test]
fn a_request_that_comes_again_adds_nothing() {
    table(
        r#"
        XADD s NOMKSTREAM IDMP p i * f v => $-1~ => _~
        XADD s IDMP p i * f v => $15~1700000000000-0~
        XADD s IDMP p i * f w => $15~1700000000000-0~
        XADD s MAXLEN 0 IDMP p i * f w => $15~1700000000000-0~
        XADD s IDMP q i * f v => $15~1700000000000-1~
        XADD s idmp p j KEEPREF MAXLEN ~ 9 LIMIT 1 * f v => $15~1700000000000-2~
        XADD s IDMPAUTO p * a 1 b 2 => $15~1700000000000-3~
        XADD s IDMPAUTO p * b 2 a 1 => $15~1700000000000-3~
        XADD s IDMPAUTO q * b 2 a 1 => $15~1700000000000-4~
        XADD s IDMPAUTO p * b 2 a 1 a 1 => $15~1700000000000-5~
        XADD s IDMPAUTO p * ab 1 b 2 => $15~1700000000000-6~
        XADD s IDMPAUTO p * a b1 b 2 => $15~1700000000000-7~
        XLEN s => :8~
        XDEL s 1700000000000-0 => :1~
        XADD s IDMP p i * f w => $15~1700000000000-0~
        XLEN s => :7~
        DEL s => :1~
        XADD s IDMP p i * f v => $15~1700000000000-0~
        "#,
    );
}

#[test]
fn wrong_words_about_producers_are_refused() {
    table(
        r#"
        XADD s IDMP p i 1-1 f v => -ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs~
        XADD s IDMP p i 1-* f v => -ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs~
        XADD s IDMP p i 0-0 f v => -ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs~
        XADD s IDMP p i bad f v => -ERR Invalid stream ID specified as stream command argument~
        XADD s IDMP p i IDMPAUTO p * f v => -ERR syntax error, IDMP/IDMPAUTO specified multiple times~
        XADD s IDMPAUTO p IDMPAUTO p * f v => -ERR syntax error, IDMP/IDMPAUTO specified multiple times~
        XADD s IDMPAUTO "" * f v => -ERR syntax error, IDMPAUTO requires a non-empty producer ID~
        XADD s IDMP "" i * f v => -ERR syntax error, IDMP requires a non-empty producer ID~
        XADD s IDMP p "" * f v => -ERR syntax error, IDMP requires a non-empty idempotent ID~
        XADD s IDMP p * f v => -ERR Invalid stream ID specified as stream command argument~
        XADD s IDMPAUTO p => -ERR wrong number of arguments for 'xadd' command~
        XADD s IDMPAUTO p * f => -ERR wrong number of arguments for 'xadd' command~
        XADD s IDMP p i => -ERR wrong number of arguments for 'xadd' command~
        XADD s MAXLEN 10 IDMP p i LIMIT 3 * f v => -ERR syntax error, LIMIT cannot be used without the special ~ option~
        EXISTS s => :0~
        XCFGSET s IDMP-DURATION 5 => -ERR no such key~
        XCFGSET s => -ERR no such key~
        XCFGSET => -ERR wrong number of arguments for 'xcfgset' command~
        XIDMPRECORD s p i 1-1 => -ERR no such key~
        XIDMPRECORD s p i 1- => -ERR Invalid stream ID specified as stream command argument~
        XIDMPRECORD s "" i 1-1 => -ERR producer ID must be non-empty~
        XADD s IDMP p i 1-1 f => -ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs~
        XADD s 1-1 f v => $3~1-1~
        XADD s 1700000000000-5 f v => $15~1700000000000-5~
        XADD s 1700000000000-6 f v => $15~1700000000000-6~
        XCFGSET s => -ERR At least one parameter must be specified~
        XCFGSET s IDMP-DURATION 0 => -ERR IDMP-DURATION must be between 1 and 86400 seconds~
        XCFGSET s IDMP-DURATION 86401 => -ERR IDMP-DURATION must be between 1 and 86400 seconds~
        XCFGSET s IDMP-DURATION x => -ERR value is not an integer or out of range~
        XCFGSET s IDMP-MAXSIZE 0 => -ERR IDMP-MAXSIZE must be between 1 and 10000 entries~
        XCFGSET s IDMP-MAXSIZE 10001 => -ERR IDMP-MAXSIZE must be between 1 and 10000 entries~
        XCFGSET s IDMP-MAXSIZE x => -ERR value is not an integer or out of range~
        XCFGSET s IDMP-MAXSIZE => -ERR syntax error~
        XCFGSET s IDMP-MAXSIZE 3 IDMP-MAXSIZE 4 => -ERR IDMP-MAXSIZE specified multiple times~
        XCFGSET s IDMP-DURATION 3 IDMP-DURATION 4 => -ERR IDMP-DURATION specified multiple times~
        XCFGSET s FOO 3 => -ERR syntax error~
        XINFO STREAM s => ...
        XIDMPRECORD s p x 9-9 => -ERR No such message in stream~
        XIDMPRECORD s p x 1700000000000-5 => +OK~
        XIDMPRECORD s p x 1700000000000-5 => +OK~
        XIDMPRECORD s p x 1700000000000-6 => -ERR IID already exists for this producer with a different stream ID~
        XIDMPRECORD s "" y 1700000000000-6 => -ERR producer ID must be non-empty~
        XIDMPRECORD s p "" 1700000000000-6 => -ERR idempotent ID must be non-empty~
        XIDMPRECORD s p z abc => -ERR Invalid stream ID specified as stream command argument~
        XADD s IDMP p x * f v => $15~1700000000000-5~
        SET k v => +OK~
        XADD k IDMP p i * f v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        XCFGSET k IDMP-MAXSIZE x => -WRONGTYPE Operation against a key holding the wrong kind of value~
        XIDMPRECORD k p z 1-1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        CONFIG SET stream-idmp-maxsize 0 => -ERR CONFIG SET failed (possibly related to argument 'stream-idmp-maxsize') - argument must be between 1 and 10000 inclusive~
        CONFIG SET stream-idmp-duration 86401 => -ERR CONFIG SET failed (possibly related to argument 'stream-idmp-duration') - argument must be between 1 and 86400 inclusive~
        CONFIG GET stream-idmp-* => ...
        COMMAND GETKEYSANDFLAGS XCFGSET s IDMP-MAXSIZE 3 => *1~*2~$1~s~*2~+RW~+update~ => *1~*2~$1~s~~2~+RW~+update~
        COMMAND GETKEYSANDFLAGS XIDMPRECORD s p i 1-1 => *1~*2~$1~s~*2~+RW~+update~ => *1~*2~$1~s~~2~+RW~+update~
        "#,
    );
}

/// What XINFO STREAM says of producers: seconds, ids of each, producers, ids, ever added, duplicates.
fn counts(client: &mut Client, key: &str) -> [i64; 6] {
    let fields = client.call(&["XINFO", "STREAM", key]).items();
    let names =
        ["idmp-duration", "idmp-maxsize", "pids-tracked", "iids-tracked", "iids-added", "iids-duplicates"];
    names.map(|name| {
        let at = fields.iter().position(|field| field.text() == name).expect("the field");
        fields[at + 1].int()
    })
}

#[test]
fn ids_are_known_for_a_time_and_up_to_a_number() {
    let server = TestServer::start();
    let mut client = server.client();
    let plain = |client: &mut Client| client.call(&["XINFO", "STREAM", "s"]).items().len();
    client.check("XADD s 1-1 f v", "$3~1-1~");
    assert_eq!(plain(&mut client), 20, "nothing of producers where none was named");
    client.check("CONFIG SET stream-idmp-duration 3", "+OK~");
    client.check("CONFIG SET stream-idmp-maxsize 2", "+OK~");
    for (id, seq) in [("1", 0), ("2", 1), ("3", 2), ("3", 2), ("2", 1), ("1", 3)] {
        client.check(&format!("XADD s IDMP p {id} * f v"), &format!("$15~1700000000000-{seq}~"));
    }
    assert_eq!(counts(&mut client, "s"), [3, 2, 1, 2, 4, 2]);
    assert_eq!(client.call(&["XINFO", "STREAM", "s", "FULL"]).items().len(), 18 + 12);
    server.advance_ms(2999);
    client.check("XADD s IDMP p 1 * f v", "$15~1700000000000-3~");
    client.check("XADD s IDMP q 1 * f v", "$15~1700000002999-0~");
    assert_eq!(counts(&mut client, "s"), [3, 2, 2, 3, 5, 3]);
    server.advance_ms(1);
    assert_eq!(counts(&mut client, "s"), [3, 2, 1, 1, 5, 3]);
    client.check("XADD s IDMP p 1 * f v", "$15~1700000003000-0~");
    // What is set for the stream counts, not what the directives say later.
    client.check("CONFIG SET stream-idmp-maxsize 9", "+OK~");
    client.check("XCFGSET s IDMP-DURATION 3", "+OK~");
    assert_eq!(counts(&mut client, "s"), [3, 2, 2, 2, 6, 3]);
    client.check("XCFGSET s IDMP-DURATION 3 IDMP-MAXSIZE 5", "+OK~");
    assert_eq!(counts(&mut client, "s"), [3, 5, 0, 0, 6, 3]);
    client.check("XADD s IDMP p 1 * f v", "$15~1700000003000-1~");
}

/// In pipelines, transactions and scripts, and by several clients.
#[test]
fn requests_that_come_again_by_other_ways_add_nothing() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    let id = "$15~1700000000000-0~";
    for _ in 0..2 {
        client.check("XADD s IDMP p i * f v", id);
        other.check("XADD s IDMP p i * f v", id);
        client.check("MULTI", "+OK~");
        client.check("XADD s IDMP p i * f v", "+QUEUED~");
        client.check("XADD s IDMP p i * f v", "+QUEUED~");
        client.check("EXEC", &format!("*2~{id}{id}"));
        let script = "return redis.call('xadd', KEYS[1], 'IDMP', 'p', 'i', '*', 'f', 'v')";
        assert_eq!(client.call(&["EVAL", script, "1", "s"]).text(), "1700000000000-0");
    }
    client.check("XLEN s", ":1~");
    assert_eq!(counts(&mut client, "s")[4..], [1, 9]);
    // A transaction that comes too late leaves nothing behind.
    client.check("WATCH s", "+OK~");
    other.check("XADD s IDMP p i * f v", id);
    client.check("MULTI", "+OK~");
    client.check("XADD s IDMP p other * f v", "+QUEUED~");
    client.check("EXEC", "*1~$15~1700000000000-1~");
    other.check("XADD s IDMP p other * f v", "$15~1700000000000-1~");
}

/// What is known of producers is known after a restart, in a copy and where files are written as requests.
#[test]
fn what_producers_added_stays_known() {
    for preamble in ["yes", "no"] {
        let pairs =
            [("enable-debug-command", "yes"), ("appendonly", "yes"), ("aof-use-rdb-preamble", preamble)];
        let server = TestServer::with(&pairs);
        let mut client = server.client();
        client.check("XADD s IDMP p gone * f v", "$15~1700000000000-0~");
        client.check("XADD s IDMP p i MAXLEN 1 * f v", "$15~1700000000000-1~");
        client.check("XCFGSET s IDMP-DURATION 100", "+OK~");
        client.check("XADD e IDMPAUTO p MAXLEN 0 * f v", "$15~1700000000000-0~");
        client.check("XADD small IDMP p i * f v", "$15~1700000000000-0~");
        client.check("XCFGSET small IDMP-MAXSIZE 7 IDMP-DURATION 9", "+OK~");
        let steps = ["DEBUG RELOAD", "DEBUG LOADAOF", "COPY s t", "RENAME t s", "MOVE s 1", "DEBUG RELOAD"];
        for (number, step) in steps.iter().enumerate() {
            client.call(&step.split(' ').collect::<Vec<_>>());
            let database = if number < 4 { "SELECT 0" } else { "SELECT 1" };
            client.check(database, "+OK~");
            client.check("XADD s IDMP p gone * f v", "$15~1700000000000-0~");
            client.check("XADD s IDMP p i * f v", "$15~1700000000000-1~");
            client.check("XLEN s", ":1~");
            client.check("SELECT 0", "+OK~");
            client.check("XADD e IDMPAUTO p * f v", "$15~1700000000000-0~");
            assert_eq!(counts(&mut client, "small")[..4], [9, 7, 0, 0], "{step}");
        }
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
        eventually("it is written", || server.info("aof_rewrite_in_progress") == "0");
        client.check("DEBUG LOADAOF", "+OK~");
        client.check("XADD e IDMPAUTO p * f v", "$15~1700000000000-0~");
        client.check("SELECT 1", "+OK~");
        client.check("XADD s IDMP p gone * f v", "$15~1700000000000-0~");
        client.check("XADD s IDMP p i * f v", "$15~1700000000000-1~");
    }
}

/// A transaction's DEBUG RELOAD reads values again from payloads, which have no place for producers.
#[test]
fn values_that_are_read_again_keep_their_producers() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    for _ in 0..2 {
        client.check("XADD s IDMP p i * f v", "$15~1700000000000-0~");
    }
    client.check("XCFGSET s IDMP-MAXSIZE 7", "+OK~");
    client.check("XADD s IDMP p i * f v", "$15~1700000000000-1~");
    let before = counts(&mut client, "s");
    client.check("MULTI", "+OK~");
    client.check("DEBUG RELOAD", "+QUEUED~");
    client.check("EXEC", "*1~+OK~");
    assert_eq!(counts(&mut client, "s"), before);
    client.check("XADD s IDMP p i * f v", "$15~1700000000000-1~");
}

/// Requests that came again are counted where an append-only file is repeated, however late that is.
#[test]
fn files_keep_how_often_requests_came_again() {
    let pairs = [("appendonly", "yes")];
    let server = TestServer::with(&pairs);
    let mut client = server.client();
    for _ in 0..3 {
        client.check("XADD s IDMP p i * f v", "$15~1700000000000-0~");
    }
    let before = counts(&mut client, "s");
    let dir = server.stop_and_keep();
    let day_ms = 24 * 3600 * 1000;
    let again = TestServer::try_with(&pairs, kvarts::shared::clock::Clock::manual(START_MS + day_ms), dir);
    let again = again.expect("it starts");
    eventually("the file is loaded", || again.info("loading") == "0");
    assert_eq!(counts(&mut again.client(), "s")[4..], before[4..]);
}

/// A replica knows what its primary's producers added, by the copy and by the stream.
#[test]
fn replicas_know_what_producers_added() {
    let primary = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let mut client = primary.client();
    client.check("XADD s IDMP p copied MAXLEN 0 * f v", "$15~1700000000000-0~");
    let replica = TestServer::start();
    let mut other = replica.client();
    other.check(&format!("REPLICAOF 127.0.0.1 {}", primary.address().port()), "+OK~");
    eventually("the link is up", || replica.info("master_link_status") == "up");
    client.check("XADD s IDMP p streamed * f v", "$15~1700000000000-1~");
    // How often requests came again is counted there as well.
    client.check("XADD s IDMP p streamed * f v", "$15~1700000000000-1~");
    client.check("MULTI", "+OK~");
    for _ in 0..2 {
        client.check("XADD s IDMP p copied * f v", "+QUEUED~");
    }
    client.value("EXEC");
    client.check("WAIT 1 20000", ":1~");
    assert_eq!(counts(&mut client, "s")[4..], [2, 3]);
    assert_eq!(counts(&mut other, "s"), counts(&mut client, "s"));
    other.check("REPLICAOF NO ONE", "+OK~");
    other.check("XADD s IDMP p copied * f v", "$15~1700000000000-0~");
    other.check("XADD s IDMP p streamed * f v", "$15~1700000000000-1~");
    other.check("XLEN s", ":1~");
}

/// What DUMP of Redis 8.6 holds of producers is taken over by RESTORE; DUMP of this server leaves it out.
#[test]
fn producers_come_with_payloads_of_redis() {
    let server = TestServer::with_clock(&[], Clock::manual(1_796_012_330_400));
    let mut client = server.client();
    let payload =
        b"\x1a\x01\x10\x00\x00\x01\xa2*\xadMk\x00\x00\x00\x00\x00\x00\x00\x00\x1d\x1d\x00\x00\x00\n\x00\
        \x01\x01\x00\x01\x01\x01\x81f\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\x04\x01\xff\x01\
        \x81\x00\x00\x01\xa2*\xadMk\x00\x81\x00\x00\x01\xa2*\xadMk\x00\x00\x00\x01\x00@d@d\x01\x01p\x01\x01i\
        \x81\x00\x00\x01\xa2*\xadMk\x00\x01\x01\r\x00D\xc0&\x93.2U\xdd";
    let reply = client.call(&[b"RESTORE".as_slice(), b"s", b"0", payload]);
    assert_eq!(reply.text(), "OK");
    client.check("XADD s IDMP p i * f v", "$15~1796012330347-0~");
    client.check("XLEN s", ":1~");
    let Value::Bulk(own) = client.value("DUMP s") else { panic!("a payload") };
    client.call(&[b"RESTORE".as_slice(), b"t", b"0", &own]);
    client.check("XADD t IDMP p i * f v", "$15~1796012330400-0~");
}
