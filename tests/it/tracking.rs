//! CLIENT TRACKING: what clients that keep copies are told, when, and in which order.

use crate::harness::*;

/// A client that tracks, in RESP3.
fn tracking(server: &TestServer, options: &str) -> Client {
    let mut client = server.client3();
    client.check(&format!("CLIENT TRACKING ON {options}"), "+OK~");
    client
}

fn invalid(key: &str) -> String {
    format!(">2~$10~invalidate~*1~${}~{key}~", key.len())
}

const EVERYTHING: &str = ">2~$10~invalidate~_~";

#[test]
fn a_key_that_was_read_is_told_once() {
    let server = TestServer::start();
    let mut client = tracking(&server, "");
    let mut other = server.client();
    other.check("MSET a 1 b 1", "+OK~");
    client.check("MGET a b none", "*3~$1~1~$1~1~_~");
    other.check("SET a 2", "+OK~");
    client.check_next(&invalid("a"));
    other.check("SET a 3", "+OK~");
    other.check("DEL b", ":1~");
    client.check_next(&invalid("b"));
    other.check("EXPIRE none 100", ":0~");
    other.check("SET none 1", "+OK~");
    client.check_next(&invalid("none"));
    // Whatever the database.
    client.check("GET a", "$1~3~");
    other.check("SELECT 3", "+OK~");
    other.check("SET a 1", "+OK~");
    client.check_next(&invalid("a"));
    client.check_silent();
}

#[test]
fn a_clients_own_changes_are_told_behind_the_reply() {
    let server = TestServer::start();
    let mut client = tracking(&server, "");
    client.check("MGET a b", "*2~_~_~");
    client.check("MSET a 1 b 2", "+OK~");
    client.check_next(&invalid("a"));
    client.check_next(&invalid("b"));
    client.check("HSET h f 1", ":1~");
    client.check("HGET h f", "$1~1~");
    client.check("HDEL h f", ":1~");
    client.check_next(&invalid("h"));
    client.check("MULTI", "+OK~");
    client.check("GET a", "+QUEUED~");
    client.check("INCR a", "+QUEUED~");
    client.check("GET b", "+QUEUED~");
    client.check("EXEC", "*3~$1~1~:2~$1~2~");
    client.check_next(&invalid("a"));
    // Not what a client writes with its replies turned off.
    client.check("GET a", "$1~2~");
    client.send_command("CLIENT REPLY OFF");
    client.send_command("SET a 1");
    client.check_next(&invalid("a"));
    client.send_command("CLIENT REPLY ON");
    client.check_next("+OK~");
    let mut quiet = tracking(&server, "NOLOOP");
    quiet.check("GET a", "$1~1~");
    quiet.check("SET a 2", "+OK~");
    quiet.check("EVAL \"redis.call('get', KEYS[1]) return redis.call('set', KEYS[1], 3)\" 1 a", "+OK~");
    quiet.check("GET a", "$1~3~");
    quiet.check_silent();
}

#[test]
fn which_commands_read() {
    let server = TestServer::start();
    let mut client = tracking(&server, "");
    let mut other = server.client();
    let told = |client: &mut Client, other: &mut Client, command: &str| {
        client.value(command);
        other.check("SET k 1", "+OK~");
        let pong = client.raw("PING");
        let told = pong == invalid("k");
        if told {
            client.check_next("+PONG~");
        }
        told
    };
    for command in
        ["GET k", "EXISTS k", "TTL k", "TYPE k", "STRLEN k", "DUMP k", "OBJECT ENCODING k", "MEMORY USAGE k"]
    {
        assert!(told(&mut client, &mut other, command), "{command}");
    }
    for command in [
        "GETEX k",
        "GETSET k 1",
        "KEYS *",
        "SCAN 0",
        "WATCH k",
        "LPOP k",
        "EVAL \"return 1\" 1 k",
        "EVAL_RO \"return 1\" 1 k",
        "EVAL \"return redis.call('set', KEYS[1], 1)\" 1 k",
    ] {
        assert!(!told(&mut client, &mut other, command), "{command}");
    }
    for command in [
        "EVAL \"return redis.call('get', KEYS[1])\" 2 k l",
        "EVAL_RO \"return redis.call('get', KEYS[1])\" 1 k",
    ] {
        assert!(told(&mut client, &mut other, command), "{command}");
    }
    // Even an error read the key.
    other.check("LPUSH list 1", ":1~");
    client.value("GET list");
    other.check("DEL list", ":1~");
    client.check_next(&invalid("list"));
}

#[test]
fn keys_that_end_and_databases_that_are_emptied() {
    let server = TestServer::start();
    let mut client = tracking(&server, "NOLOOP");
    let mut other = server.client();
    client.check("SET a 1 PX 100", "+OK~");
    client.check("GET a", "$1~1~");
    server.advance_ms(100);
    client.check_next(&invalid("a"));
    client.check("GET a", "_~");
    assert_eq!(server.info("tracking_total_keys"), "1");
    other.check("FLUSHDB", "+OK~");
    client.check_next(EVERYTHING);
    assert_eq!(server.info("tracking_total_keys"), "0");
    other.check("SELECT 5", "+OK~");
    other.check("FLUSHALL ASYNC", "+OK~");
    client.check_next(EVERYTHING);
    client.check("MULTI", "+OK~");
    client.check("FLUSHALL", "+QUEUED~");
    client.check("EXEC", "*1~+OK~");
    client.check_next(EVERYTHING);
    client.check_silent();
}

/// A client that is not told of its own changes is not told either that its own command ended a key, or came
/// upon one that had ended; in broadcasting mode it is told of the latter, and of what its scripts do. All as
/// Valkey 9.1.2 answers.
#[test]
fn whose_change_an_end_is() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut other = server.client();
    other.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    let script = |text: &str| format!("EVAL \"{text}\" 1 k");
    let (ends, sets) =
        (script("redis.call('expireat', KEYS[1], 1)"), script("redis.call('set', KEYS[1], 2)"));
    for (set, command, in_default_mode, in_broadcast) in [
        ("SET k 1", "EXPIREAT k 1", false, false),
        ("SET k 1", "EXPIRE k -1", false, false),
        ("SET k 1", "PEXPIRE k 0", false, false),
        ("SET k 1", "GETEX k EXAT 1", false, false),
        ("SET k 1", "SET k v2 EXAT 1", false, false),
        ("SET k 1", "DEL k", false, false),
        ("HSET k f 1", "HEXPIRE k 0 FIELDS 1 f", false, false),
        ("HSET k f 1", "HSETEX k EX 0 FIELDS 1 f v", false, false),
        ("SET k 1", &ends, false, true),
        ("SET k 1", &sets, false, true),
        ("SET k 1 PX 10", "EXPIRE k 100", false, true),
        ("SET k 1 PX 10", "GET k", false, true),
        ("SET k 1 PX 10", "DEL k", false, true),
        ("SET k 1 PX 10", "INCR k", false, false),
    ] {
        for (options, told) in [("NOLOOP", in_default_mode), ("BCAST NOLOOP", in_broadcast), ("", true)] {
            other.check("FLUSHALL", "+OK~");
            let mut client = tracking(&server, options);
            client.value(set);
            client.check("EXISTS k", ":1~");
            server.advance_ms(20);
            client.value(command);
            if told {
                client.check_next(&invalid("k"));
            }
            client.check_silent();
        }
    }
    // What ends by itself is told everybody. The broadcast comes first: none of an earlier end can still be on its way.
    for options in ["BCAST NOLOOP", "NOLOOP", ""] {
        let mut client = tracking(&server, options);
        client.check("SET k 1 PX 10", "+OK~");
        client.check("GET k", "$1~1~");
        server.advance_ms(20);
        other.check("DEBUG SET-ACTIVE-EXPIRE 1", "+OK~");
        client.check_next(&invalid("k"));
        client.check_silent();
        other.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    }
}

#[test]
fn an_undone_transaction_tells_nothing() {
    let server = TestServer::start();
    let mut client = tracking(&server, "");
    let mut other = server.client();
    other.check("MSET a 1 b 1", "+OK~");
    client.check("GET a", "$1~1~");
    for command in ["MULTI ATOMIC", "SET a 2", "FLUSHALL", "LPUSH b 1", "LPUSH c 1", "INCR c"] {
        other.value(command);
    }
    assert!(other.raw("EXEC").starts_with("-EXECABORT"));
    client.check("PING", "+PONG~");
    for command in ["MULTI ATOMIC", "SET a 2"] {
        other.value(command);
    }
    other.check("EXEC", "*1~+OK~");
    client.check_next(&invalid("a"));
}

#[test]
fn what_a_waiting_client_is_told_comes_behind_its_reply() {
    let server = TestServer::start();
    let mut client = tracking(&server, "");
    let mut other = server.client();
    other.check("RPUSH to a", ":1~");
    client.check("LRANGE to 0 -1", "*1~$1~a~");
    client.send_command("BLMOVE from to LEFT LEFT 0");
    eventually("it waits", || server.handle().server().effects.waiting.client_count() == 1);
    other.check("RPUSH from b", ":1~");
    client.check_next("$1~b~");
    client.check_next(&invalid("to"));
    // And what it reads then is tracked.
    client.send_command("XREAD BLOCK 0 STREAMS s 0");
    eventually("it waits", || server.handle().server().effects.waiting.client_count() == 1);
    other.check("XADD s 1-1 f v", "$3~1-1~");
    client.read_raw();
    other.check("XADD s 1-2 f v", "$3~1-2~");
    let mut next = client.raw("PING");
    if next == invalid("s") {
        next = show(&client.read_raw());
        if next == invalid("s") {
            next = show(&client.read_raw());
        }
        assert_eq!(next, "+PONG~");
    } else {
        panic!("{next}");
    }
}

#[test]
fn opting_in_and_out() {
    let server = TestServer::start();
    let mut other = server.client();
    let mut client = tracking(&server, "OPTIN");
    client.check("GET a", "_~");
    other.check("SET a 1", "+OK~");
    client.check("CLIENT CACHING YES", "+OK~");
    client.check(
        "CLIENT TRACKINGINFO",
        "%3~$5~flags~~3~$2~on~$5~optin~$11~caching-yes~$8~redirect~:0~$8~prefixes~*0~",
    );
    client.check("GET a", "$1~1~");
    client.check("GET b", "_~");
    other.check("MSET a 2 b 2", "+OK~");
    client.check_next(&invalid("a"));
    client.check("CLIENT CACHING YES", "+OK~");
    client.check("MULTI", "+OK~");
    client.check("GET a", "+QUEUED~");
    client.check("GET b", "+QUEUED~");
    client.check("EXEC", "*2~$1~2~$1~2~");
    other.check("MSET a 3 b 3", "+OK~");
    client.check_next(&invalid("a"));
    client.check_next(&invalid("b"));
    client.check("CLIENT TRACKING OFF", "+OK~");
    client.check("CLIENT TRACKING ON OPTOUT", "+OK~");
    client.check("CLIENT CACHING NO", "+OK~");
    client.check(
        "CLIENT TRACKINGINFO",
        "%3~$5~flags~~3~$2~on~$6~optout~$10~caching-no~$8~redirect~:0~$8~prefixes~*0~",
    );
    client.check("GET a", "$1~3~");
    client.check("GET b", "$1~3~");
    other.check("MSET a 4 b 4", "+OK~");
    client.check_next(&invalid("b"));
    client.check_silent();
}

#[test]
fn broadcasting_by_prefix() {
    let server = TestServer::start();
    let mut other = server.client();
    let mut client = tracking(&server, "BCAST PREFIX a: PREFIX b:");
    client.check(
        "CLIENT TRACKINGINFO",
        "%3~$5~flags~~2~$2~on~$5~bcast~$8~redirect~:0~$8~prefixes~*2~$2~a:~$2~b:~",
    );
    assert_eq!(server.info("tracking_total_prefixes"), "2");
    for command in ["MULTI", "INCR a:1", "INCR a:2", "INCR b:1", "INCR c:1", "INCR a:1"] {
        other.value(command);
    }
    other.value("EXEC");
    let mut messages = [show(&client.read_raw()), show(&client.read_raw())];
    messages.sort();
    assert_eq!(messages, [invalid("b:1"), ">2~$10~invalidate~*2~$3~a:1~$3~a:2~".to_owned()]);
    client.check("CLIENT TRACKING ON BCAST PREFIX c:", "+OK~");
    other.check("INCR c:1", ":2~");
    client.check_next(&invalid("c:1"));
    let mut all = tracking(&server, "BCAST NOLOOP");
    all.check("SET x 1", "+OK~");
    other.check("SET y 1", "+OK~");
    all.check_next(&invalid("y"));
    all.check("SET z 1 PX 10", "+OK~");
    server.advance_ms(10);
    all.check_next(&invalid("z"));
    all.check("CLIENT TRACKING OFF", "+OK~");
    other.check("SET y 2", "+OK~");
    all.check_silent();
    client.check("CLIENT TRACKING OFF", "+OK~");
    assert_eq!(server.info("tracking_total_prefixes"), "0");
}

#[test]
fn another_client_is_told_instead() {
    let server = TestServer::start();
    let mut other = server.client();
    let mut target = server.client();
    let id = target.value("CLIENT ID").int();
    let mut client = server.client();
    client.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK~");
    client.check("CLIENT GETREDIR", &format!(":{id}~"));
    client.check("GET a", "$-1~");
    other.check("SET a 1", "+OK~");
    // A RESP2 client has to have subscribed.
    target.check("PING", "+PONG~");
    target.check("SUBSCRIBE __redis__:invalidate", "*3~$9~subscribe~$20~__redis__:invalidate~:1~");
    client.check("GET a", "$1~1~");
    other.check("SET a 2", "+OK~");
    target.check_next("*3~$7~message~$20~__redis__:invalidate~*1~$1~a~");
    other.check("FLUSHALL", "+OK~");
    target.check_next("*3~$7~message~$20~__redis__:invalidate~$-1~");
    // A RESP3 client gets it anyway.
    let mut pushed = server.client3();
    let id = pushed.value("CLIENT ID").int();
    client.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK~");
    client.check("GET a", "$-1~");
    other.check("SET a 1", "+OK~");
    pushed.check_next(&invalid("a"));
    // In RESP2 and without another client there is no way to tell.
    client.check("CLIENT TRACKING ON", "+OK~");
    client.check("GET a", "$1~1~");
    other.check("SET a 2", "+OK~");
    client.check("PING", "+PONG~");
}

#[test]
fn the_other_client_is_gone() {
    let server = TestServer::start();
    let mut other = server.client();
    let mut target = server.client3();
    let id = target.value("CLIENT ID").int();
    let mut client = tracking(&server, &format!("REDIRECT {id}"));
    client.check("GET a", "_~");
    drop(target);
    eventually("it is gone", || server.handle().server().clients.by_id(id as u64).is_none());
    other.check("SET a 1", "+OK~");
    client.check_next(&format!(">2~$21~tracking-redir-broken~:{id}~"));
    client.check(
        "CLIENT TRACKINGINFO",
        &format!("%3~$5~flags~~2~$2~on~$15~broken_redirect~$8~redirect~:{id}~$8~prefixes~*0~"),
    );
    let line = client.value("CLIENT INFO").text();
    // It is gone as soon as it reads that it is.
    let mut target = server.client3();
    let next = target.value("CLIENT ID").int();
    client.check(&format!("CLIENT TRACKING ON REDIRECT {next}"), "+OK~");
    client.check("GET a", "$1~1~");
    target.check("QUIT", "+OK~");
    other.check("SET a 2", "+OK~");
    client.check_next(&format!(">2~$21~tracking-redir-broken~:{next}~"));
    assert!(line.contains(" flags=tR ") && line.contains(&format!(" redir={id} ")), "{line}");
}

#[test]
fn the_table_is_bounded() {
    let server = TestServer::with(&[("tracking-table-max-keys", "2")]);
    let mut client = tracking(&server, "");
    client.value("MGET a b");
    assert_eq!(server.info("tracking_total_keys"), "2");
    assert_eq!(server.info("tracking_total_items"), "2");
    assert_eq!(server.info("tracking_clients"), "1");
    client.check("GET c", "_~");
    assert!(show(&client.read_raw()).starts_with(">2~$10~invalidate~*1~$1~"));
    let mut operator = server.client();
    operator.check("CONFIG SET tracking-table-max-keys 1", "+OK~");
    assert!(show(&client.read_raw()).starts_with(">2~$10~invalidate~*1~$1~"));
    assert_eq!(server.info("tracking_total_keys"), "1");
    client.check("RESET", "+RESET~");
    client.check("CLIENT TRACKINGINFO", "*6~$5~flags~*1~$3~off~$8~redirect~:-1~$8~prefixes~*0~");
    assert_eq!(server.info("tracking_clients"), "0");
    assert_eq!(server.info("tracking_total_keys"), "0");
}

#[test]
fn what_does_not_go_together() {
    table(
        "
        CLIENT GETREDIR => :-1~
        CLIENT TRACKINGINFO => *6~$5~flags~*1~$3~off~$8~redirect~:-1~$8~prefixes~*0~ => %3~$5~flags~~1~$3~off~$8~redirect~:-1~$8~prefixes~*0~
        CLIENT CACHING YES => -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled~
        CLIENT TRACKING => -ERR wrong number of arguments for 'client|tracking' command~
        CLIENT TRACKING maybe => -ERR syntax error~
        CLIENT TRACKING ON maybe => -ERR syntax error~
        CLIENT TRACKING ON REDIRECT => -ERR syntax error~
        CLIENT TRACKING ON REDIRECT x => -ERR value is not an integer or out of range~
        CLIENT TRACKING ON REDIRECT 0 => -ERR The client ID you want redirect to does not exist~
        CLIENT TRACKING ON REDIRECT 1 REDIRECT 1 => -ERR A client can only redirect to a single other client~
        CLIENT TRACKING ON PREFIX a => -ERR PREFIX option requires BCAST mode to be enabled~
        CLIENT TRACKING ON BCAST OPTIN => -ERR OPTIN and OPTOUT are not compatible with BCAST~
        CLIENT TRACKING ON OPTIN OPTOUT => -ERR You can't specify both OPTIN mode and OPTOUT mode~
        CLIENT TRACKING ON BCAST PREFIX a PREFIX ab => -ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.~
        CLIENT TRACKING OFF OPTIN => +OK~
        CLIENT TRACKING ON => +OK~
        CLIENT TRACKING ON => +OK~
        CLIENT CACHING YES => -ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.~
        CLIENT CACHING NO => -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.~
        CLIENT CACHING maybe => -ERR syntax error~
        CLIENT TRACKING ON BCAST => -ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.~
        CLIENT TRACKING ON OPTIN => +OK~
        CLIENT TRACKING ON OPTOUT => -ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.~
        CLIENT TRACKING OFF => +OK~
        CLIENT TRACKING ON BCAST PREFIX foo => +OK~
        CLIENT TRACKING ON BCAST PREFIX fo => -ERR Prefix 'fo' overlaps with an existing prefix 'foo'. Prefixes for a single client must not overlap.~
        CLIENT TRACKING ON BCAST PREFIX bar => +OK~
        CLIENT TRACKINGINFO => *6~$5~flags~*2~$2~on~$5~bcast~$8~redirect~:0~$8~prefixes~*2~$3~bar~$3~foo~ => %3~$5~flags~~2~$2~on~$5~bcast~$8~redirect~:0~$8~prefixes~*2~$3~bar~$3~foo~
    ",
    );
}

#[test]
fn evicted_keys_are_told() {
    let server = TestServer::start();
    let mut client = tracking(&server, "NOLOOP");
    client.check("SET k 1", "+OK~");
    client.check("GET k", "$1~1~");
    server.client().check("CONFIG SET maxmemory-policy allkeys-lru maxmemory 1", "+OK~");
    client.check_next(&invalid("k"));
}
