//! Names of keys that a user may not read: KVARTS BIGKEYS, KVARTS PREFIXES, HOTKEYS GET and LATENCY DOCTOR tell only of
//! the others, by a socket and by the console.

use crate::console::{command, figures, log_in};
use crate::harness::*;
use crate::http::{get, with_port};

const PAIRS: &[(&str, &str)] = &[
    ("key-sizes", "yes"),
    ("hotkeys-top-k", "20"),
    ("hotkeys-sampling-percentage", "100"),
    ("hotkeys-window-seconds", "300"),
];

/// All that the server may tell of.
const EVERY: [&str; 5] = ["0:app:1", "0:app:2", "0:key", "0:secret:1", "1:app:3"];

/// A server with those keys, whose window of hot keys is closed, and its console's port.
fn server() -> (TestServer, u16, Client) {
    let (server, port) = with_port(PAIRS);
    let mut client = server.client();
    for request in
        ["RPUSH app:1 a b", "SET app:2 v", "SADD key a b c", "ZADD secret:1 1 a 2 b", "GET nothing"]
    {
        client.raw(request);
    }
    client.check("SELECT 1", "+OK~");
    client.check("HSET app:3 f v", ":1~");
    client.check("SELECT 0", "+OK~");
    server.advance_ms(301_000);
    // A lock that was waited for has LATENCY DOCTOR name keys.
    let stats = &server.handle().server().stats;
    stats.lock_waits.note(0, 2_000_000);
    (server, port, client)
}

fn names(rows: &[Value]) -> Vec<String> {
    let mut names: Vec<String> =
        rows.iter().map(|row| format!("{}:{}", row.field("db").int(), row.field("key").text())).collect();
    names.retain(|name| name != "0:nothing");
    names.sort();
    names
}

/// What a client is told, which has to be those keys everywhere.
#[track_caller]
fn check(client: &mut Client, expected: &[&str]) {
    let big = client.value("KVARTS BIGKEYS");
    assert_eq!(names(&big.field("by-bytes").items()), expected);
    let with_elements: Vec<&str> = expected.iter().copied().filter(|name| *name != "0:app:2").collect();
    assert_eq!(names(&big.field("by-elements").items()), with_elements);
    assert_eq!(names(&client.value("HOTKEYS GET").items()), expected);
    let rows = client.value("KVARTS PREFIXES").items();
    let mut prefixes: Vec<(String, i64)> =
        rows.iter().map(|row| (row.field("prefix").text(), row.field("keys").int())).collect();
    prefixes.sort();
    let mut of_expected: Vec<(String, i64)> = Vec::new();
    for key in expected.iter().filter_map(|name| name.strip_prefix("0:")) {
        let prefix = key.split_once(':').map_or(String::new(), |(prefix, _)| format!("{prefix}:"));
        match of_expected.iter_mut().find(|(other, _)| *other == prefix) {
            Some((_, keys)) => *keys += 1,
            None => of_expected.push((prefix, 1)),
        }
    }
    of_expected.sort();
    prefixes.retain(|(_, keys)| *keys > 0);
    assert_eq!(prefixes, of_expected);
    let advice = client.value("LATENCY DOCTOR").text();
    for name in EVERY {
        let (_, key) = name.split_once(':').expect("a database");
        let is_told = advice.contains(&format!("`{key}`"));
        // It names three keys of a kind.
        assert!(!is_told || expected.contains(&name), "{key} in {advice}");
    }
}

/// Of slow requests LATENCY DOCTOR tells those who may not read every key the command alone: any word may be a key, a
/// value or a pattern, and so may be what stands of the request in the way.
#[test]
fn words_of_slow_requests_are_told_to_readers_of_all_keys() {
    let server = TestServer::with(&[("slow-requests-slower-than", "0")]);
    let mut client = server.client();
    client.check("ACL SETUSER few on nopass ~pub:* +@all", "+OK~");
    client.check("ACL SETUSER every on nopass %R~* +@all", "+OK~");
    let mut users = ["few", "every"].map(|name| {
        let mut user = server.client();
        user.check(&format!("AUTH {name} x"), "+OK~");
        user
    });
    for request in [
        "MSET secret:1 hidden secret:2 hidden",
        "EVAL \"for i = 1, 100000 do end return redis.call('GET', KEYS[1])\" 1 secret:1",
        "KEYS secret:*",
    ] {
        client.check("KVARTS SLOW RESET", "+OK~");
        client.raw(request);
        // At once, as anything may be the slowest on a busy machine.
        let advice = users.each_mut().map(|user| user.value("LATENCY DOCTOR").text());
        for word in ["secret", "hidden", "KEYS[1]"] {
            assert!(!advice[0].contains(word), "{}", advice[0]);
        }
        assert!(advice[0].contains(" ...` of client "), "{}", advice[0]);
    }
    assert!(users[1].value("LATENCY DOCTOR").text().contains(" of client "));
    // Another who holds a lock, and the one that waits for it.
    let keyspace = &server.handle().server().keyspace;
    client.check("KVARTS SLOW RESET", "+OK~");
    let guard = keyspace.physical(0).write_slot(keyspace.hasher().key(b"secret:1").slot());
    client.send_command("GET secret:1");
    let inner = server.handle().server();
    eventually("it waits", || inner.health.workers.lives().any(|life| life.waits.is_some()));
    drop(guard);
    client.check_next("$6~hidden~");
    let advice = users[0].value("LATENCY DOCTOR").text();
    assert!(!advice.contains("secret") && !advice.contains("in the way"), "{advice}");
}

#[test]
fn only_keys_that_may_be_read_are_told_of() {
    let (server, _, mut client) = server();
    check(&mut client, &EVERY);
    let app = ["0:app:1", "0:app:2", "1:app:3"];
    for (rules, expected) in [
        ("+@all ~*", &EVERY[..]),
        ("+@all allkeys", &EVERY),
        ("+@all %R~*", &EVERY),
        ("+@all ~app:*", &app),
        ("+@all %R~app:* %W~*", &app),
        ("+@all %W~*", &[]),
        ("+@all", &[]),
        ("+@all ~key ~secret:?", &["0:key", "0:secret:1"]),
        ("+@all ~* db=1", &["1:app:3"]),
        ("+@all ~app:* db=0", &["0:app:1", "0:app:2"]),
        // A selector that allows the request has to allow the key as well.
        ("+@all (~secret:* +get)", &[]),
        ("+@all ~key (~app:* +@all)", &["0:app:1", "0:app:2", "0:key", "1:app:3"]),
        ("-@all (+@all ~app:*) (+@all ~key db=1)", &app),
        ("-@all (+@all ~app:*) (+@all ~key db=0)", &["0:app:1", "0:app:2", "0:key", "1:app:3"]),
    ] {
        client.call(&[&["ACL", "SETUSER", "u", "reset", "on", "nopass"][..], &words(rules)].concat());
        let mut user = server.client();
        user.check("AUTH u x", "+OK~");
        // Who may work on one database has to be in it.
        if rules == "+@all ~* db=1" {
            user.check("SELECT 1", "+OK~");
            assert_eq!(names(&user.value("KVARTS BIGKEYS").field("by-bytes").items()), expected, "{rules}");
            assert_eq!(names(&user.value("HOTKEYS GET").items()), expected, "{rules}");
            continue;
        }
        check(&mut user, expected);
    }
}

/// The words of rules; those in parentheses are one.
fn words(rules: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = rules;
    while !rest.is_empty() {
        let end = if rest.starts_with('(') { rest.find(')').map(|at| at + 1) } else { rest.find(' ') };
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = behind.trim_start();
    }
    words
}

/// Rights that change while a client is connected, in a pipeline, in a transaction.
#[test]
fn what_is_told_follows_the_rights() {
    let (server, _, mut client) = server();
    client.check("ACL SETUSER u on nopass +@all ~*", "+OK~");
    let mut user = server.client();
    user.check("AUTH u x", "+OK~");
    check(&mut user, &EVERY);
    client.check("ACL SETUSER u resetkeys ~key", "+OK~");
    check(&mut user, &["0:key"]);
    user.check("MULTI", "+OK~");
    user.check("HOTKEYS GET", "+QUEUED~");
    user.check("KVARTS BIGKEYS", "+QUEUED~");
    client.check("ACL SETUSER u ~app:2", "+OK~");
    let replies = user.value("EXEC").items();
    assert_eq!(names(&replies[0].items()), ["0:app:2", "0:key"]);
    assert_eq!(names(&replies[1].field("by-bytes").items()), ["0:app:2", "0:key"]);
    let pipeline = ["ACL SETUSER u resetkeys", "HOTKEYS GET", "ACL SETUSER u allkeys", "HOTKEYS GET"];
    user.send(pipeline.map(|request| format!("{request}\r\n")).concat().as_bytes());
    user.check_next("+OK~");
    user.check_next("*0~");
    user.check_next("+OK~");
    assert_eq!(names(&user.read().items()), EVERY);
}

/// A session does not know which database a key is of: who may not use all of them is told none.
#[test]
fn sessions_tell_of_keys_that_may_be_read() {
    let (server, _, mut client) = server();
    client.check("HOTKEYS START METRICS 1 NET", "+OK~");
    client.raw("GET app:1");
    client.raw("GET secret:1");
    client.check("ACL SETUSER u on nopass +@all ~app:*", "+OK~");
    let mut user = server.client();
    user.check("AUTH u x", "+OK~");
    let told = |client: &mut Client| {
        let flat = client.value("HOTKEYS GET").items()[0].field("by-net-bytes").items();
        let mut keys: Vec<String> = flat.iter().step_by(2).map(Value::text).collect();
        keys.sort();
        keys
    };
    assert_eq!(told(&mut client), ["app:1", "secret:1"]);
    assert_eq!(told(&mut user), ["app:1"]);
    client.check("ACL SETUSER u db=0", "+OK~");
    assert_eq!(told(&mut user), Vec::<String>::new());
}

/// Of a name that may be known by its beginning alone nobody can say who may read it.
#[test]
fn names_that_are_cut_are_told_to_who_may_read_all() {
    let server = TestServer::with(PAIRS);
    let mut client = server.client();
    let (whole, cut) = (format!("app:{}", "x".repeat(507)), format!("app:{}", "y".repeat(508)));
    client.call(&["SADD", &whole, "m"]);
    client.call(&["SADD", &cut, "m"]);
    client.check("ACL SETUSER u on nopass +@all ~app:*", "+OK~");
    let told = |client: &mut Client| {
        let keys = client.value("KVARTS PREFIXES").items().iter().map(|row| row.field("keys").int()).sum();
        (client.value("KVARTS BIGKEYS").field("by-bytes").items().len(), keys)
    };
    assert_eq!(told(&mut client), (2, 2));
    client.check("AUTH u x", "+OK~");
    assert_eq!(told(&mut client), (1, 1));
}

/// The console asks with its user's rights, for figures as well; /metrics is for whoever reaches the port.
#[test]
fn the_console_tells_no_more() {
    let (server, port, mut client) = server();
    client.check("ACL SETUSER u on >p +@all ~app:*", "+OK~");
    client.check("ACL SETUSER default >p", "+OK~");
    client.check("ACL SETUSER d on >p +@all ~* db=0", "+OK~");
    let asked = r#"[["KVARTS","BIGKEYS"],["KVARTS","PREFIXES"],["HOTKEYS","GET"]]"#;
    let session = log_in(port, "u", "p");
    let told = command(port, &session, asked);
    assert!(
        told.contains("app:1") && !told.contains("secret") && !told.contains("\"key\",\"key\""),
        "{told}"
    );
    let named = "kvarts_hot_key_accesses_per_second,kvarts_big_key_bytes,kvarts_prefix_bytes,kvarts_uptime";
    let all = figures(port, &log_in(port, "default", "p"), named);
    assert!(all.contains("secret:1") && all.contains("app:"), "{all}");
    for user in ["u", "d"] {
        let few = figures(port, &log_in(port, user, "p"), named);
        assert!(
            few.contains("kvarts_big_key_bytes") && !few.contains("secret") && !few.contains("app:"),
            "{few}"
        );
    }
    client.check("ACL SETUSER u resetkeys ~secret:*", "+OK~");
    let told = command(port, &session, asked);
    assert!(told.contains("secret:1") && !told.contains("app:"), "{told}");
    server.advance_ms(100);
    assert!(get(port, "/metrics").1.contains("secret:1"));
}

/// A page whose name was made to point here reads no names of keys from /metrics; all other figures are as ever.
#[test]
fn foreign_names_of_the_server_are_told_no_keys() {
    let (server, port, mut client) = server();
    let page = |host: &str| {
        let answer = crate::http::raw(port, &format!("GET /metrics HTTP/1.1\r\n{host}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\nredis_up 1\n"), "{answer}");
        answer
    };
    let names_keys = |page: &str| page.contains("key=\"") || page.contains("prefix=\"");
    for host in ["localhost", "127.0.0.1:9121", "[::1]:9121", "LOCALHOST.:80"] {
        assert!(names_keys(&page(&format!("Host: {host}\r\n"))), "{host}");
    }
    for host in ["evil.example", "evil.example:9121", "127.0.0.1.evil.example", "localhost.evil.example"] {
        let page = page(&format!("Host: {host}\r\n"));
        assert!(!names_keys(&page) && !page.contains("kvarts_big_key"), "{host}");
    }
    // A host whose name cannot be read is none.
    let unread = crate::http::raw(port, "GET /metrics HTTP/1.1\r\nHost: \u{e9}\r\n\r\n");
    assert!(unread.starts_with("HTTP/1.1 400 ") && !names_keys(&unread), "{unread}");
    client.check("CONFIG SET console-hosts scraped.example", "+OK~");
    assert!(names_keys(&page("Host: scraped.example:9121\r\n")));
    server.advance_ms(100);
    assert!(!names_keys(&page("Host: other.example\r\n")));
}
