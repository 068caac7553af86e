//! KVARTS SIMULATE: each fault as clients meet it, and that nobody has to hunt one that is rehearsed.

use std::time::{Duration, Instant};

use kvarts::shared::clock::Clock;

use crate::harness::*;

fn with(pairs: &[(&str, &str)]) -> TestServer {
    let mut all = vec![("enable-debug-command", "yes")];
    all.extend_from_slice(pairs);
    TestServer::with(&all)
}

fn simulate(server: &TestServer, fault: &str) {
    server.client().check(&format!("KVARTS SIMULATE {fault}"), "+OK~");
}

#[test]
fn it_is_refused_unless_debug_commands_are_allowed() {
    let refusal = "-ERR KVARTS SIMULATE is not allowed. Set enable-debug-command to \"yes\", or to \"local\" for clients of the same machine, and restart the server.~";
    let server = TestServer::start();
    server.client().check("KVARTS SIMULATE", refusal);
    server.client().check("KVARTS SIMULATE OOM 100", refusal);
    server.client().check("SET k v", "+OK~");
    let try_with = |pairs: &[(&str, &str)]| {
        TestServer::try_with(pairs, Clock::manual(START_MS), TempDir::new()).map(drop)
    };
    let error = try_with(&[("simulate", "oom 100")]).expect_err("not allowed").to_string();
    assert_eq!(error, "simulate: needs enable-debug-command yes or local");
    let error =
        try_with(&[("simulate", "oom 100; rain"), ("enable-debug-command", "local")]).expect_err("no fault");
    assert!(error.to_string().starts_with("simulate: 'rain': syntax error, expected LATENCY"), "{error}");
}

/// What is rehearsed is told by INFO and by the command itself, from the first to the last moment.
#[test]
fn what_is_rehearsed_is_shown() {
    let server = with(&[("simulate", "cut 0.5; latency 0 tail 0.001 5")]);
    let mut client = server.client();
    assert_eq!(server.info("simulated_faults"), "latency 0 tail 0.001 5; cut 0.5");
    client.check("KVARTS SIMULATE SEED 7", "+OK~");
    client.check("KVARTS SIMULATE LOADING 1500", "+OK~");
    server.advance_ms(500);
    client.check(
        "KVARTS SIMULATE",
        "*6~$6~faults~*3~$22~latency 0 tail 0.001 5~$7~cut 0.5~$12~loading 1000~$4~seed~$1~7~$8~happened~:0~",
    );
    client.check("KVARTS SIMULATE OFF", "+OK~");
    client.check("KVARTS SIMULATE", "*6~$6~faults~*0~$4~seed~$1~0~$8~happened~:0~");
    assert!(!client.value("INFO server").text().contains("simulated"));
    let mut third = server.client3();
    third.check("KVARTS SIMULATE", "%3~$6~faults~*0~$4~seed~$1~0~$8~happened~:0~");
    for wrong in ["RAIN", "CUT", "CUT 101", "LATENCY 5 JITTER", "OFF 1", "LOADING -1"] {
        assert!(
            client
                .raw(&format!("KVARTS SIMULATE {wrong}"))
                .starts_with("-ERR syntax error, expected LATENCY ms")
        );
    }
    client.check("MULTI", "+OK~");
    client.check("KVARTS SIMULATE OFF", "-ERR Command 'kvarts|simulate' not allowed inside a transaction~");
}

#[test]
fn slots_are_said_to_have_moved_to_where_they_are() {
    let server = with(&[("cluster-enabled", "yes")]);
    let port = server.address().port();
    let mut client = server.client();
    simulate(&server, "MOVED 100");
    let moved = format!("-MOVED 12182 127.0.0.1:{port}~");
    client.send(b"SET foo 1\r\nPING\r\nGET foo\r\n");
    for reply in [&*moved, "+PONG~", &*moved] {
        client.check_next(reply);
    }
    client.check("MULTI", "+OK~");
    client.check("SET foo 1", &moved);
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
    client.check("EVAL \"return redis.call('get', KEYS[1])\" 1 foo", &moved);
    // Between what is queued and the end of the transaction a slot may move as well.
    simulate(&server, "OFF");
    client.check("MULTI", "+OK~");
    client.check("PING", "+QUEUED~");
    client.check("SET foo 1", "+QUEUED~");
    simulate(&server, "MOVED 100");
    client.check("EXEC", &moved);
    client.check("EXEC", "-ERR EXEC without MULTI~");
    simulate(&server, "MOVED 0");
    simulate(&server, "ASK 100");
    client.check("SET foo 1", &format!("-ASK 12182 127.0.0.1:{port}~"));
    client.check("ASKING", "+OK~");
    client.check("SET foo 2", "+OK~");
    client.check("GET foo", &format!("-ASK 12182 127.0.0.1:{port}~"));
    simulate(&server, "OFF");
    client.check("GET foo", "$1~2~");
    // Without slots there is nothing to be moved.
    let server = with(&[("simulate", "moved 100; ask 100")]);
    server.client().check("SET foo 1", "+OK~");
}

#[test]
fn there_is_no_memory_for_what_may_need_some() {
    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.~";
    let server = with(&[]);
    let mut client = server.client();
    client.check("RPUSH l a", ":1~");
    simulate(&server, "OOM 100");
    client.send(b"SET k v\r\nGET k\r\nSET k v\r\nDEL l\r\n");
    for reply in [OOM, "$-1~", OOM, ":1~"] {
        client.check_next(reply);
    }
    client.check("MULTI", "+OK~");
    client.check("SET k v", OOM);
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
    let script = client.raw("EVAL \"return redis.call('set', KEYS[1], 1)\" 1 k");
    assert!(script.starts_with("-OOM command not allowed when used memory > 'maxmemory'"), "{script}");
    client.check("EVAL \"return redis.call('get', KEYS[1])\" 1 k", "$-1~");
    simulate(&server, "OFF");
    client.check("SET k v", "+OK~");
    client.check("EVAL \"return redis.call('set', KEYS[1], 1)\" 1 k", "+OK~");
    assert_eq!(server.info("evicted_keys"), "0");
}

#[test]
fn data_are_said_to_be_loaded_for_a_while() {
    const LOADING: &str = "-LOADING Valkey is loading the dataset in memory~";
    let server = with(&[]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    simulate(&server, "LOADING 1000");
    client.check("GET k", LOADING);
    client.check("MULTI", "+OK~");
    client.check("SET k w", LOADING);
    client.check("DISCARD", "+OK~");
    client.check("EVAL \"return 1\" 0", LOADING);
    assert!(client.raw("INFO server").contains("simulated_faults:loading 1000"));
    server.advance_ms(999);
    client.check("GET k", LOADING);
    server.advance_ms(1);
    client.check("GET k", "$1~v~");
}

#[test]
fn a_failover_cuts_all_changes_ids_and_refuses_writes_for_a_while() {
    const READONLY: &str = "-READONLY You can't write against a read only replica.~";
    let read_only = free_port().to_string();
    let server = with(&[("cluster-enabled", "yes"), ("read-only-port", &read_only)]);
    let (mut operator, mut idle, mut waiting, mut listener, mut reader) =
        (server.client(), server.client(), server.client(), server.client(), server.read_only_client());
    let (id, replica) = (idle.value("CLUSTER MYID").text(), reader.value("CLUSTER MYID").text());
    waiting.send_command("BLPOP l 0");
    listener.check("SUBSCRIBE c", "*3~$9~subscribe~$1~c~:1~");
    eventually("it waits", || server.info("blocked_clients") == "1");
    operator.check("KVARTS SIMULATE FAILOVER 2000", "+OK~");
    for mut client in [idle, waiting, listener, reader] {
        client.expect_closed();
    }
    let mut client = server.client();
    assert_eq!(client.value("CLUSTER MYID").text(), replica);
    let nodes = client.value("CLUSTER NODES").text();
    assert!(
        !nodes.contains(&id)
            && nodes.lines().nth(1).expect("a replica").contains(&format!(" slave {replica} ")),
        "{nodes}"
    );
    client.check("SET k v", READONLY);
    client.check("GET k", "$-1~");
    client.check("MULTI", "+OK~");
    client.check("SET k v", READONLY);
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
    assert!(
        client
            .raw("EVAL \"return redis.call('set', KEYS[1], 1)\" 1 k")
            .starts_with("-READONLY You can't write")
    );
    server.advance_ms(2000);
    client.check("SET k v", "+OK~");
    client.check("EVAL \"return redis.call('set', KEYS[1], 1)\" 1 k", "+OK~");
    operator.check("PING", "+PONG~");
}

#[test]
fn nobody_reaches_the_read_only_port() {
    let read_only = free_port();
    let server = with(&[("read-only-port", &read_only.to_string())]);
    let (mut client, mut reader) = (server.client(), server.read_only_client());
    reader.check("PING", "+PONG~");
    simulate(&server, "READ-ONLY-PORT DOWN");
    reader.expect_closed();
    assert!(ask(read_only, "PING\r\n").map_or(true, |reply| reply.is_empty()));
    client.check("PING", "+PONG~");
    simulate(&server, "READ-ONLY-PORT UP");
    server.read_only_client().check("PING", "+PONG~");
}

#[test]
fn scripts_that_are_known_are_not_found() {
    const NO_SCRIPT: &str = "-NOSCRIPT No matching script.~";
    let server = with(&[]);
    let mut client = server.client();
    let sha = client.value("SCRIPT LOAD \"return 1\"").text();
    simulate(&server, "NOSCRIPT 100");
    client.check(&format!("EVALSHA {sha} 0"), NO_SCRIPT);
    client.check(&format!("EVALSHA_RO {sha} 0"), NO_SCRIPT);
    client.check(&format!("SCRIPT EXISTS {sha}"), "*1~:1~");
    client.check("EVAL \"return 1\" 0", ":1~");
    client.check("MULTI", "+OK~");
    client.check(&format!("EVALSHA {sha} 0"), "+QUEUED~");
    client.check("EXEC", &format!("*1~{NO_SCRIPT}"));
    simulate(&server, "OFF");
    client.check(&format!("EVALSHA {sha} 0"), ":1~");
}

/// Cut before anything of the batch has run, or half of a pipeline would have been.
#[test]
fn connections_are_cut_before_their_requests_run() {
    let server = with(&[]);
    let (mut operator, mut client) = (server.client(), server.client());
    operator.check("KVARTS SIMULATE CUT 100", "+OK~");
    client.send(b"SET k v\r\nSET l v\r\n");
    client.expect_closed();
    operator.check("KVARTS SIMULATE CUT 0", "+OK~");
    operator.check("EXISTS k l", ":0~");
    assert_eq!(operator.value("KVARTS SIMULATE").field("happened").int(), 1);
}

#[test]
fn replies_come_later() {
    let server = with(&[]);
    let (mut operator, mut client) = (server.client(), server.client());
    operator.check("KVARTS SIMULATE LATENCY 40", "+OK~");
    let begin = Instant::now();
    client.send(b"SET k v\r\nGET k\r\n");
    client.check_next("+OK~");
    assert!(begin.elapsed() >= Duration::from_millis(40));
    client.check_next("$1~v~");
    let before = operator.value("KVARTS SIMULATE").field("happened").int();
    assert!(before >= 1);
    // A client that is held back can be ended.
    operator.check("KVARTS SIMULATE LATENCY 3600000", "+OK~");
    client.send(b"PING\r\n");
    eventually("it is held back", || operator.value("KVARTS SIMULATE").field("happened").int() > before);
    operator.check("CLIENT KILL TYPE normal SKIPME yes", ":1~");
    assert_eq!(show(&client.read_to_end()), "+PONG~");
}

/// What the read-only port shows is late by what was asked for, whatever reads it, and nobody else sees any of it.
#[test]
fn reads_of_the_read_only_port_are_late() {
    for cluster in ["no", "yes"] {
        let read_only = free_port().to_string();
        let server = with(&[
            ("read-only-port", &read_only),
            ("cluster-enabled", cluster),
            ("notify-keyspace-events", "KEA"),
            ("key-sizes", "yes"),
            ("appendonly", "yes"),
        ]);
        let (mut client, mut reader) = (server.client(), server.read_only_client());
        reader.check("READONLY", "+OK~");
        client.check("SET {t}k old", "+OK~");
        client.check("RPUSH {t}l a b", ":2~");
        client.check("SET {t}gone v PX 100000", "+OK~");
        simulate(&server, "STALE 200");
        server.advance_ms(1000);
        client.send(b"SET {t}k new\r\nRPUSH {t}l c\r\nDEL {t}gone\r\nSET {t}made v\r\n");
        for reply in ["+OK~", ":3~", ":1~", "+OK~"] {
            client.check_next(reply);
        }
        client.check("MULTI", "+OK~");
        client.check("HSET {t}h f 1", "+QUEUED~");
        client.check("EXEC", "*1~:1~");
        client.check("EVAL \"return redis.call('sadd', KEYS[1], 'm')\" 1 {t}s", ":1~");
        let mut listener = server.client();
        listener.raw("PSUBSCRIBE __key*");
        client.check("WATCH {t}k {t}gone", "+OK~");
        let late = [
            ("GET {t}k", "$3~old~", "$3~new~"),
            ("LRANGE {t}l 0 -1", "*2~$1~a~$1~b~", "*3~$1~a~$1~b~$1~c~"),
            ("MGET {t}k {t}gone {t}made {t}none", "*4~$3~old~$1~v~$-1~$-1~", "*4~$3~new~$-1~$1~v~$-1~"),
            ("EXISTS {t}h {t}s", ":0~", ":2~"),
            ("PTTL {t}gone", ":98801~", ":-2~"),
            ("EVAL_RO \"return redis.call('get', KEYS[1])\" 1 {t}k", "$3~old~", "$3~new~"),
            ("EVAL_RO \"return redis.call('get', '{t}k')\" 0", "$3~old~", "$3~new~"),
        ];
        server.advance_ms(199);
        for (request, old, new) in late {
            reader.check(request, old);
            client.check(request, new);
        }
        reader.check("MULTI", "+OK~");
        reader.check("GET {t}k", "+QUEUED~");
        reader.check("EXISTS {t}h {t}s", "+QUEUED~");
        reader.check("EXEC", "*2~$3~old~:0~");
        reader.send(b"GET {t}k\r\nGET {t}k\r\nGET {t}made\r\n");
        for reply in ["$3~old~", "$3~old~", "$-1~"] {
            reader.check_next(reply);
        }
        // No read of the past was a change.
        listener.check_silent();
        client.check("MULTI", "+OK~");
        client.check("DBSIZE", "+QUEUED~");
        client.check("EXEC", "*1~:5~");
        let dirty = server.info("rdb_changes_since_last_save");
        reader.check("GET {t}k", "$3~old~");
        assert_eq!(server.info("rdb_changes_since_last_save"), dirty);
        server.advance_ms(1);
        for (request, _, new) in late {
            reader.check(request, new);
        }
        client.check("APPEND {t}k er", ":5~");
        client.check("APPEND {t}k !", ":6~");
        reader.check("GET {t}k", "$3~new~");
        simulate(&server, "OFF");
        reader.check("GET {t}k", "$6~newer!~");
        // What the append-only file has is what clients wrote.
        let dir = server.stop_and_keep();
        let again = TestServer::try_with(&[("appendonly", "yes")], Clock::manual(START_MS + 2000), dir)
            .expect("it loads");
        again.client().check("GET {t}k", "$6~newer!~");
        again.client().check("DBSIZE", ":5~");
    }
}
