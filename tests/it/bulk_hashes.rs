//! Hashes in bulk: HIMPORT with its field sets, which are the connection's.

use crate::acl::conversation;
use crate::harness::*;

const NO_SET: &str = "-ERR no such fieldset~";

#[test]
fn hashes_are_made_of_values_alone() {
    table(
        r#"
        HIMPORT PREPARE u name email age => +OK~
        HIMPORT SET h u a b c => +OK~
        HGETALL h => *6~$4~name~$1~a~$5~email~$1~b~$3~age~$1~c~ => %3~$4~name~$1~a~$5~email~$1~b~$3~age~$1~c~
        HSET h further 1 => :1~
        EXPIRE h 100 => :1~
        himport set h u d "" f => +OK~
        HMGET h name email age further => *4~$1~d~$0~~$1~f~$-1~ => *4~$1~d~$0~~$1~f~_~
        TTL h => :-1~
        HEXPIRE h 100 FIELDS 1 name => *1~:1~
        HIMPORT SET h u x y z => +OK~
        HTTL h FIELDS 1 name => *1~:-1~
        HIMPORT PREPARE u one => +OK~
        HIMPORT SET h u 1 => +OK~
        HGETALL h => *2~$3~one~$1~1~ => %1~$3~one~$1~1~
        HIMPORT PREPARE "" "" b => +OK~
        HIMPORT SET h "" v w => +OK~
        HGETALL h => *4~$0~~$1~v~$1~b~$1~w~ => %2~$0~~$1~v~$1~b~$1~w~
        HIMPORT DISCARD u => :1~
        HIMPORT DISCARD u => :0~
        HGET h b => $1~w~
        HIMPORT SET h u 1 => -ERR no such fieldset~
        HIMPORT PREPARE u one => +OK~
        HIMPORT DISCARDALL => :2~
        HIMPORT DISCARDALL => :0~
        HIMPORT SET h "" v w => -ERR no such fieldset~
        "#,
    );
}

/// Whatever a key holds, and its expiry, gives way to the hash.
#[test]
fn a_hash_in_bulk_takes_the_place_of_any_value() {
    let server = TestServer::with(&[
        ("appendonly", "yes"),
        ("notify-keyspace-events", "KAoc"),
        ("enable-debug-command", "yes"),
    ]);
    let (mut listener, mut client) = (server.client(), server.client());
    client.check("HIMPORT PREPARE u a b", "+OK~");
    let before =
        ["SET k v EX 100", "RPUSH k 1 2", "SADDEX k EX 100 MEMBERS 1 m", "ZADD k 1 m", "XADD k 1-1 f v"];
    for make in before {
        client.value("DEL k");
        client.value(make);
        client.check("HIMPORT SET k u 1 2", "+OK~");
        client.check("HGETALL k", "*4~$1~a~$1~1~$1~b~$1~2~");
        client.check("TTL k", ":-1~");
    }
    // A key that has ended is no key, and those that wait for it or watch it hear.
    listener.check("PSUBSCRIBE __keyspace*", "*3~$10~psubscribe~$11~__keyspace*~:1~");
    let mut told = || listener.read().texts()[3].clone();
    client.check("SET k v", "+OK~");
    assert_eq!([told(), told()], ["overwritten", "type_changed"]);
    assert_eq!(told(), "set");
    client.check("HIMPORT SET k u 3 4", "+OK~");
    assert_eq!([told(), told(), told()], ["overwritten", "type_changed", "hset"]);
    let mut watching = server.client();
    client.check("SET k v PX 10", "+OK~");
    watching.check("WATCH k", "+OK~");
    client.check("HIMPORT SET k u 5 6", "+OK~");
    watching.check("MULTI", "+OK~");
    watching.check("EXEC", "*-1~");
    let before = client.value("DEBUG DIGEST");
    let pairs = [("appendonly", "yes"), ("enable-debug-command", "yes")];
    drop((listener, client, watching));
    let server =
        TestServer::try_with(&pairs, kvarts::shared::clock::Clock::manual(START_MS), server.stop_and_keep())
            .expect("it starts");
    eventually("the file is loaded", || server.info("loading") == "0");
    assert_eq!(server.client().value("DEBUG DIGEST"), before);
}

#[test]
fn wrong_requests_for_hashes_in_bulk_are_refused() {
    table(
        r#"
        HIMPORT => -ERR wrong number of arguments for 'himport' command~
        HIMPORT PREPARE => -ERR wrong number of arguments for 'himport|prepare' command~
        HIMPORT PREPARE u => -ERR wrong number of arguments for 'himport|prepare' command~
        HIMPORT SET k u => -ERR wrong number of arguments for 'himport|set' command~
        HIMPORT DISCARD => -ERR wrong number of arguments for 'himport|discard' command~
        HIMPORT DISCARD a b => -ERR wrong number of arguments for 'himport|discard' command~
        HIMPORT DISCARDALL a => -ERR wrong number of arguments for 'himport|discardall' command~
        HIMPORT WHAT => -ERR unknown subcommand 'WHAT'. Try HIMPORT HELP.~
        HIMPORT PREPARE u a b a => -ERR duplicate field name in fieldset~
        HIMPORT SET k u 1 2 3 => -ERR no such fieldset~
        HIMPORT PREPARE u a b => +OK~
        HIMPORT PREPARE u c c => -ERR duplicate field name in fieldset~
        HIMPORT SET k u 1 => -ERR value count does not match fieldset field count~
        HIMPORT SET k u 1 2 3 => -ERR value count does not match fieldset field count~
        EXISTS k => :0~
        HIMPORT SET k u 1 2 => +OK~
        SET k v => +OK~
        HIMPORT SET k none 1 => -ERR no such fieldset~
        HIMPORT SET k u 1 => -ERR value count does not match fieldset field count~
        GET k => $1~v~
        "#,
    );
}

#[test]
fn field_sets_are_the_connections() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.check("HIMPORT PREPARE u a b", "+OK~");
    other.check("HIMPORT SET h u 1 2", NO_SET);
    client.check("SELECT 3", "+OK~");
    client.check("HIMPORT SET h u 1 2", "+OK~");
    other.check("EXISTS h", ":0~");
    client.check("RESET", "+RESET~");
    client.check("HIMPORT SET h u 1 2", NO_SET);
}

/// In a pipeline each request sees what the one before it has prepared.
#[test]
fn field_sets_hold_in_pipelines_and_transactions() {
    let server = TestServer::start();
    let mut client = server.client();
    let pipeline = [
        "HIMPORT PREPARE u a",
        "HIMPORT SET x u 1",
        "HIMPORT SET y u 2",
        "HIMPORT PREPARE u b c",
        "HIMPORT SET x u 3 4",
        "HIMPORT SET y u 5",
        "HIMPORT DISCARD u",
        "HIMPORT SET y u 5 6",
    ];
    pipeline.iter().for_each(|command| client.send_command(command));
    let count = "-ERR value count does not match fieldset field count~";
    for expected in ["+OK~", "+OK~", "+OK~", "+OK~", "+OK~", count, ":1~", NO_SET] {
        assert_eq!(show(&client.read_raw()), expected);
    }
    client.check("HGETALL x", "*4~$1~b~$1~3~$1~c~$1~4~");
    client.check("HGETALL y", "*2~$1~a~$1~2~");
    let queued =
        ["HIMPORT PREPARE t a b", "HIMPORT SET z t 1 2", "HIMPORT DISCARDALL", "HIMPORT SET z t 3 4"];
    client.check("MULTI", "+OK~");
    queued.iter().for_each(|command| client.check(command, "+QUEUED~"));
    client.check("EXEC", "*4~+OK~+OK~:1~-ERR no such fieldset~");
    client.check("HGETALL z", "*4~$1~a~$1~1~$1~b~$1~2~");
    // What is undone leaves no set behind, and keeps those that were there.
    client.check("HIMPORT PREPARE kept a", "+OK~");
    client.check("MULTI ATOMIC", "+OK~");
    for command in ["HIMPORT DISCARDALL", "HIMPORT PREPARE t a", "HIMPORT SET z t 9", "INCR z"] {
        client.check(command, "+QUEUED~");
    }
    assert!(client.raw("EXEC").starts_with("-EXECABORT"));
    client.check("HIMPORT SET z t 3", NO_SET);
    client.check("HIMPORT SET z kept 3", "+OK~");
}

/// A script begins without field sets, and those that it prepares end with it.
#[test]
fn field_sets_of_scripts_are_their_own() {
    table(
        r##"
        HIMPORT PREPARE u a => +OK~
        EVAL "return redis.pcall('HIMPORT', 'SET', KEYS[1], 'u', 1)" 1 k => -ERR no such fieldset~
        EVAL "redis.call('HIMPORT', 'PREPARE', 'u', 'x', 'y') return redis.call('HIMPORT', 'SET', KEYS[1], 'u', 1, 2)" 1 k => +OK~
        HGETALL k => *4~$1~x~$1~1~$1~y~$1~2~ => %2~$1~x~$1~1~$1~y~$1~2~
        EVAL "redis.call('HIMPORT', 'PREPARE', 'v', 'x') error('no')" 0 => -...
        HIMPORT SET k v 1 => -ERR no such fieldset~
        HIMPORT SET k u 1 => +OK~
        HGETALL k => *2~$1~a~$1~1~ => %1~$1~a~$1~1~
        HIMPORT DISCARDALL => :1~
        "##,
    );
}

fn memory_bytes(client: &mut Client) -> usize {
    let line = client.value("CLIENT INFO").text();
    let size = line.split(' ').find_map(|word| word.strip_prefix("tot-mem="));
    size.expect("in the line").parse().expect("a number")
}

#[test]
fn field_sets_are_counted_and_limited() {
    let server = TestServer::with(&[("client-query-buffer-limit", "1mb")]);
    let mut client = server.client();
    let before = memory_bytes(&mut client);
    let long = "f".repeat(100_000);
    for number in 0..10 {
        client.check(&format!("HIMPORT PREPARE s{number} {long}"), "+OK~");
    }
    client.check(
        &format!("HIMPORT PREPARE further {long}"),
        "-ERR fieldsets exceed client-query-buffer-limit~",
    );
    client.check("HIMPORT SET h further 1", NO_SET);
    // In place of another there is room.
    client.check(&format!("HIMPORT PREPARE s0 {long}"), "+OK~");
    assert!(memory_bytes(&mut client) >= before + 1_000_000);
    client.check("HIMPORT DISCARD s0", ":1~");
    assert!(memory_bytes(&mut client) >= before + 900_000);
    client.check("HIMPORT DISCARDALL", ":9~");
    assert!(memory_bytes(&mut client) < before + 500_000);
}

/// A client whose field sets are more than `maxmemory-clients` allows is disconnected.
#[test]
fn field_sets_count_for_the_eviction_of_clients() {
    let server = TestServer::with(&[("maxmemory-clients", "8mb")]);
    let (mut beside, mut client) = (server.client(), server.client());
    beside.check("CLIENT NO-EVICT ON", "+OK~");
    let long = "f".repeat(100_000);
    for number in 0..30 {
        client.check(&format!("HIMPORT PREPARE s{number} {long}"), "+OK~");
    }
    server.advance_ms(1000);
    client.check("PING", "+PONG~");
    beside.check("CONFIG SET maxmemory-clients 2mb", "+OK~");
    eventually("the client is gone", || {
        server.advance_ms(1000);
        info(&mut beside, "evicted_clients") == "1"
    });
    client.expect_closed();
}

#[test]
fn users_need_rights_to_import_hashes() {
    conversation(
        r##"
        ACL SETUSER a on nopass %W~w:* %R~r:* +himport -himport|discardall => +OK~
        1: AUTH a x => +OK~
        1: HIMPORT PREPARE u f => +OK~
        1: HIMPORT SET w:1 u v => +OK~
        1: HIMPORT SET r:1 u v => -NOPERM No permissions to access a key~
        1: HIMPORT DISCARDALL => -NOPERM User a has no permissions to run the 'himport|discardall' command~
        ACL SETUSER b on nopass ~* -@all +@hash => +OK~
        2: AUTH b x => +OK~
        2: HIMPORT PREPARE u f => +OK~
        2: HIMPORT SET k u v => +OK~
        ACL SETUSER b -@write => +OK~
        2: HIMPORT SET k u v => -NOPERM User b has no permissions to run the 'himport|set' command~
        2: HIMPORT DISCARD u => :1~
        "##,
    );
}

#[test]
fn the_key_of_an_imported_hash_is_known() {
    table(
        r#"
        COMMAND GETKEYS HIMPORT SET k u 1 => *1~$1~k~
        COMMAND GETKEYSANDFLAGS HIMPORT SET k u 1 => *1~*2~$1~k~*2~+OW~+update~ => *1~*2~$1~k~~2~+OW~+update~
        COMMAND GETKEYS HIMPORT PREPARE u a => -ERR The command has no key arguments~
        "#,
    );
}

#[test]
fn imported_hashes_are_told_with_their_fields() {
    let server = TestServer::with(&[("notify-keyspace-events", "KASo")]);
    let (mut listener, mut client) = (server.client(), server.client());
    listener.check("PSUBSCRIBE __*", "*3~$10~psubscribe~$3~__*~:1~");
    let mut told = || {
        let message = listener.read().texts();
        format!("{} {}", message[2], message[3])
    };
    client.check("HIMPORT PREPARE u a b", "+OK~");
    client.check("HIMPORT SET k u 1 2", "+OK~");
    assert_eq!(told(), "__keyspace@0__:k hset");
    assert_eq!(told(), "__subkeyspace@0__:k hset|1:a,1:b");
    client.check("HIMPORT SET k u 1 2", "+OK~");
    assert_eq!(told(), "__keyspace@0__:k overwritten");
    assert_eq!(told(), "__keyspace@0__:k hset");
    assert_eq!(told(), "__subkeyspace@0__:k hset|1:a,1:b");
    listener.check_silent();
}

#[test]
fn an_import_fails_transactions_that_watch_its_key() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.check("WATCH k", "+OK~");
    other.check("HIMPORT PREPARE u a", "+OK~");
    other.check("HIMPORT SET k u 1", "+OK~");
    client.check("MULTI", "+OK~");
    client.check("GET k", "+QUEUED~");
    client.check("EXEC", "*-1~");
}
