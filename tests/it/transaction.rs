//! MULTI, EXEC and WATCH, and transactions that are undone.

use crate::harness::*;

#[test]
fn queued_requests_run_together() {
    table(
        r#"
        EXEC => -ERR EXEC without MULTI~
        DISCARD => -ERR DISCARD without MULTI~
        UNWATCH => +OK~
        MULTI => +OK~
        SET k v => +QUEUED~
        INCR n => +QUEUED~
        GET k => +QUEUED~
        EXEC => *3~+OK~:1~$1~v~
        EXEC => -ERR EXEC without MULTI~
        MULTI => +OK~
        EXEC => *0~
        # What fails while it runs fails alone.
        MULTI => +OK~
        SET k v => +QUEUED~
        LPUSH k x => +QUEUED~
        SET l w => +QUEUED~
        EXEC => *3~+OK~-WRONGTYPE Operation against a key holding the wrong kind of value~+OK~
        GET l => $1~w~
        # What is refused when it is queued ends all.
        MULTI => +OK~
        SET k changed => +QUEUED~
        NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with: ~
        SET k => -ERR wrong number of arguments for 'set' command~
        EXEC => -EXECABORT Transaction discarded because of previous errors.~
        GET k => $1~v~
        MULTI => +OK~
        MULTI => -ERR Command 'multi' not allowed inside a transaction~
        EXEC => -EXECABORT Transaction discarded because of previous errors.~
        MULTI => +OK~
        WATCH k => -ERR Command 'watch' not allowed inside a transaction~
        DISCARD => +OK~
        MULTI => +OK~
        SET k discarded => +QUEUED~
        DISCARD => +OK~
        GET k => $1~v~
        MULTI => +OK~
        PING => +QUEUED~
        RESET => +RESET~
        EXEC => -ERR EXEC without MULTI~
        MULTI BLAH => -ERR wrong number of arguments for 'multi' command~
        "#,
    );
}

#[test]
fn databases_and_the_whole_keyspace_within_a_transaction() {
    table(
        r#"
        SET k zero => +OK~
        MULTI => +OK~
        SELECT 3 => +QUEUED~
        SET k three => +QUEUED~
        SELECT 0 => +QUEUED~
        GET k => +QUEUED~
        DBSIZE => +QUEUED~
        KEYS * => +QUEUED~
        SELECT 3 => +QUEUED~
        EXEC => *7~+OK~+OK~+OK~$4~zero~:1~*1~$1~k~+OK~
        GET k => $5~three~
        MULTI => +OK~
        SET l 1 => +QUEUED~
        SCAN 0 COUNT 100000 => +QUEUED~
        SWAPDB 0 3 => +QUEUED~
        GET k => +QUEUED~
        FLUSHDB => +QUEUED~
        SET m 1 => +QUEUED~
        EXEC => *6~+OK~*2~$1~0~*2~...
        DBSIZE => :1~
        SELECT 0 => +OK~
        GET k => $5~three~
        "#,
    );
}

#[test]
fn commands_that_wait_do_not_in_a_transaction() {
    table(
        r#"
        MULTI => +OK~
        BLPOP l 0 => +QUEUED~
        BLMOVE l m LEFT RIGHT 0 => +QUEUED~
        BZPOPMIN z 0 => +QUEUED~
        EXEC => *3~*-1~$-1~*-1~ => *3~_~_~_~
        "#,
    );
}

/// What another client does between WATCH and EXEC, and whether the transaction then runs.
fn watched(set_up: &[&str], watch: &str, change: &[&str], advance_ms: u64, runs: bool) {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    for command in set_up {
        other.raw(command);
    }
    client.check(watch, "+OK~");
    for command in change {
        other.raw(command);
    }
    if advance_ms > 0 {
        server.advance_ms(advance_ms);
    }
    client.check("MULTI", "+OK~");
    client.check("SET done yes", "+QUEUED~");
    client.check("EXEC", if runs { "*1~+OK~" } else { "*-1~" });
    // Whatever came of it, nothing is watched any more.
    other.raw("SET k again");
    client.check("MULTI", "+OK~");
    client.check("EXEC", "*0~");
    assert_eq!(server.info("total_watched_keys"), "0");
}

#[test]
fn watched_keys_that_change_end_the_transaction() {
    watched(&[], "WATCH k", &[], 0, true);
    watched(&["SET k 1"], "WATCH k", &["GET k"], 0, true);
    watched(&["SET k 1"], "WATCH k", &["SET k 1"], 0, false);
    watched(&[], "WATCH k", &["SET k 1"], 0, false);
    watched(&["SET k 1"], "WATCH a k b", &["DEL k"], 0, false);
    watched(&["SET k 1"], "WATCH k", &["DEL other"], 0, true);
    watched(&["SET k 1"], "WATCH k", &["EXPIRE k 100"], 0, false);
    watched(&["SET k 1"], "WATCH k", &["RENAME k l"], 0, false);
    watched(&["SET k 1"], "WATCH k", &["FLUSHALL"], 0, false);
    watched(&[], "WATCH k", &["FLUSHALL"], 0, true);
    watched(&["SET k 1"], "WATCH k", &["FLUSHDB"], 0, false);
    watched(&["SET k 1"], "WATCH k", &["SWAPDB 0 1"], 0, false);
    watched(&[], "WATCH k", &["SELECT 1", "SET k 1", "SWAPDB 0 1"], 0, false);
    watched(&[], "WATCH k", &["SELECT 1", "SET k 1"], 0, true);
    watched(&["SET k 1 PX 100"], "WATCH k", &[], 200, false);
    watched(&["SET k 1 PX 100"], "WATCH k", &[], 50, true);
    watched(&["RPUSH l a"], "WATCH l", &["LPOP l"], 0, false);
    watched(&["HSET k f 1"], "WATCH k", &["HINCRBY k f 1"], 0, false);
}

#[test]
fn an_ended_key_that_is_watched_is_one_that_is_not_there() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    client.check("SET k 1 PX 10", "+OK~");
    server.handle().server().clock.advance_ms(20);
    client.check("WATCH k", "+OK~");
    server.client().check("EXISTS k", ":0~");
    client.check("MULTI", "+OK~");
    client.check("PING", "+QUEUED~");
    client.check("EXEC", "*1~+PONG~");
}

#[test]
fn an_ended_key_that_takes_the_place_of_a_watched_one_is_no_change() {
    for set_up in [&[][..], &["SET k old PX 10"][..]] {
        let server = TestServer::with(&[("enable-debug-command", "yes")]);
        let mut client = server.client();
        client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
        for command in set_up {
            client.raw(command);
        }
        client.check("SELECT 1", "+OK~");
        client.check("SET k new PX 10", "+OK~");
        client.check("SELECT 0", "+OK~");
        server.handle().server().clock.advance_ms(20);
        client.check("WATCH k", "+OK~");
        client.check("SWAPDB 0 1", "+OK~");
        client.check("MULTI", "+OK~");
        client.check("PING", "+QUEUED~");
        client.check("EXEC", "*1~+PONG~");
    }
}

#[test]
fn a_transaction_that_fails_can_be_undone() {
    table(
        r#"
        SET stock 5 => +OK~
        EXPIRE stock 100 => :1~
        SET orders text => +OK~
        RPUSH list a b c => :3~
        !MULTI ATOMIC => +OK~
        !DECR stock => +QUEUED~
        !DEL list => +QUEUED~
        !SET new 1 => +QUEUED~
        !LPUSH orders order-1 => +QUEUED~
        !EXEC => -EXECABORT Transaction rolled back because of request 4 ('lpush'): WRONGTYPE Operation against a key holding the wrong kind of value~
        !GET stock => $1~5~
        !TTL stock => :100~
        !GET orders => $4~text~
        !LRANGE list 0 -1 => *3~$1~a~$1~b~$1~c~
        !EXISTS new => :0~
        !MULTI ATOMIC => +OK~
        !DECR stock => +QUEUED~
        !SET new 1 => +QUEUED~
        !EXEC => *2~:4~+OK~
        !MULTI ATOMIC => +OK~
        !FLUSHALL => +QUEUED~
        !SET stock 9 => +QUEUED~
        !SELECT 1 => +QUEUED~
        !SET stock 1 => +QUEUED~
        !SWAPDB 0 1 => +QUEUED~
        !SET other 1 => +QUEUED~
        !HSET other f v => +QUEUED~
        !EXEC => -EXECABORT Transaction rolled back because of request 7 ('hset'): WRONGTYPE Operation against a key holding the wrong kind of value~
        !GET stock => $1~4~
        !TTL stock => :100~
        !DBSIZE => :4~
        !SELECT 1 => +OK~
        !DBSIZE => :0~
        "#,
    );
}

#[test]
fn what_was_undone_is_seen_by_nobody() {
    let server = TestServer::with(&[("transaction-rollback", "yes"), ("notify-keyspace-events", "KEA")]);
    let (mut client, mut watcher, mut listener) = (server.client(), server.client(), server.client());
    listener.send_command("PSUBSCRIBE *");
    listener.read();
    watcher.check("WATCH k", "+OK~");
    for (last, reply) in [("HSET k f v", "-EXECABORT"), ("SET l 2", "*3~")] {
        client.check("MULTI", "+OK~");
        client.check("SET k 1", "+QUEUED~");
        client.check("PUBLISH channel hello", "+QUEUED~");
        client.check(last, "+QUEUED~");
        assert!(client.raw("EXEC").starts_with(reply));
        if last.starts_with("HSET") {
            watcher.check("MULTI", "+OK~");
            watcher.check("EXEC", "*0~");
            watcher.check("WATCH k", "+OK~");
        }
    }
    // The first that the listener hears is of the transaction that stayed.
    client.check("PUBLISH last one", ":1~");
    let heard: Vec<String> = std::iter::repeat_with(|| listener.read().texts()[2].clone())
        .take_while(|channel| channel != "last")
        .collect();
    let wanted = ["__keyspace@0__:k", "__keyevent@0__:set", "__keyspace@0__:l", "__keyevent@0__:set"];
    assert_eq!(heard[..4], wanted);
    assert!(heard.contains(&"channel".to_owned()), "{heard:?}");
    assert_eq!(heard.iter().filter(|channel| channel.ends_with(":k")).count(), 1);
    watcher.check("MULTI", "+OK~");
    watcher.check("EXEC", "*-1~");
}
