//! KVARTS SLOW: requests that took long, with the parts of their time and who was in their way.

use std::sync::atomic::Ordering::SeqCst;

use kvarts::shared::clock::Clock;

use crate::aof_faults::server_with;
use crate::harness::*;
use crate::http;

/// The parts of a request's time, in the order in which they are told.
const PARTS: [&str; 6] = ["lock", "pause", "evict", "run", "disk", "write"];

/// A server that keeps every request.
fn server(pairs: &[(&str, &str)]) -> TestServer {
    // More than tests ask while they wait.
    let kept = [("slow-requests-slower-than", "0"), ("slow-requests-max-len", "100000")];
    TestServer::with(&[&kept[..], pairs].concat())
}

/// The latest request with this text.
fn slow(client: &mut Client, request: &str) -> Value {
    let all = client.value("KVARTS SLOW GET -1").items();
    let found = all.into_iter().find(|slow| slow.field("command").texts().join(" ") == request);
    found.unwrap_or_else(|| panic!("{request} is not there"))
}

fn part(slow: &Value, name: &str) -> i64 {
    slow.field("parts-us").field(name).int()
}

/// Lets so many milliseconds of the monotonic clock pass, which nobody moves.
fn pass(server: &TestServer, ms: u64) {
    let clock = &server.handle().server().clock;
    let end_ns = clock.monotonic_ns() + ms * 1_000_000;
    eventually("time passes", || clock.monotonic_ns() >= end_ns);
}

fn blocked_by(slow: &Value) -> String {
    slow.field("blocked-by").text()
}

/// Of a transaction the request is told that took longest, without secrets; of others none, whatever ran before.
#[test]
fn what_is_told_of_a_transaction() {
    let server = server(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("KVARTS SLOW RESET", "+OK~");
    for request in ["MULTI", "SET k v", "DEBUG SLEEP 0.002", "ACL SETUSER u >secret", "EXEC"] {
        client.send_command(request);
    }
    // In one pipeline with it.
    client.send_command("GET k");
    client.send_command("MULTI");
    client.send_command("EXEC");
    for reply in ["+OK~", "+QUEUED~", "+QUEUED~", "+QUEUED~", "*3~+OK~+OK~+OK~", "$1~v~", "+OK~", "*0~"] {
        client.check_next(reply);
    }
    let all = client.value("KVARTS SLOW GET").items();
    let told = |slow: &Value| {
        let longest = slow.field("longest-command").texts().join(" ");
        (slow.field("command").texts().join(" "), longest, slow.field("longest-us").int())
    };
    let mut transactions = all.iter().map(told).filter(|(command, ..)| command == "EXEC");
    assert_eq!(transactions.next(), Some(("EXEC".to_owned(), String::new(), 0)));
    let (_, longest, us) = transactions.next().expect("the first one");
    assert!(longest == "DEBUG SLEEP 0.002" && us >= 2_000, "{longest}: {us}");
    let others = all.iter().map(told).filter(|(command, ..)| command != "EXEC");
    others.for_each(|(command, longest, us)| assert_eq!((longest.as_str(), us), ("", 0), "{command}"));
}

#[test]
fn what_is_told_of_a_request() {
    let server = server(&[]);
    let mut client = server.client();
    client.check("CLIENT SETNAME me", "+OK~");
    client.check("KVARTS SLOW RESET", "+OK~");
    client.check("SET k v", "+OK~");
    let id = client.value("CLIENT ID").int();
    let all = client.value("KVARTS SLOW GET").items();
    let texts: Vec<String> = all.iter().map(|slow| slow.field("command").texts().join(" ")).collect();
    assert_eq!(texts, ["CLIENT ID", "SET k v", "KVARTS SLOW RESET"]);
    let fields = all[1].items();
    let names: Vec<String> = fields.iter().step_by(2).map(Value::text).collect();
    let expected = [
        "id",
        "time-ms",
        "command",
        "program",
        "longest-command",
        "longest-us",
        "total-us",
        "parts-us",
        "blocked-by",
        "client-id",
        "client-address",
        "client-name",
    ];
    assert_eq!(names, expected);
    assert_eq!(all[1].field("id").int() + 1, all[0].field("id").int());
    assert_eq!(all[1].field("time-ms").int(), START_MS as i64);
    let parts: Vec<String> = all[1].field("parts-us").items().iter().step_by(2).map(Value::text).collect();
    assert_eq!(parts, PARTS);
    let sum: i64 = PARTS.iter().map(|name| part(&all[1], name)).sum();
    assert!((sum..sum + 6).contains(&all[1].field("total-us").int()), "each is rounded by itself");
    assert_eq!((all[1].field("client-id").int(), blocked_by(&all[1])), (id, String::new()));
    assert_eq!(all[1].field("client-address").text(), client.address().to_string());
    assert_eq!(all[1].field("client-name").text(), "me");
    client.check("KVARTS SLOW LEN", ":4~");
    assert_eq!(client.value("KVARTS SLOW").items().len(), 5);
    assert_eq!(client.value("KVARTS SLOW GET 2").items().len(), 2);
    assert_eq!(client.value("KVARTS SLOW GET 0").items().len(), 0);
    for wrong in ["KVARTS SLOW X", "KVARTS SLOW LEN 1", "KVARTS SLOW RESET x", "KVARTS SLOW GET 1 2"] {
        let expected = "-ERR syntax error, expected GET [count], LEN, RESET or LOCKS [command ...]~";
        client.check(wrong, expected);
    }
    client.check("KVARTS SLOW GET -2", "-ERR count should be greater than or equal to -1~");
    client.check("KVARTS SLOW GET x", "-ERR count should be greater than or equal to -1~");
    let mut client = server.client3();
    let reply = client.raw("KVARTS SLOW GET 1");
    assert!(reply.starts_with("*1~%12~$2~id~:"), "{reply}");
    assert!(reply.contains("~$8~parts-us~%6~$4~lock~:0~$5~pause~:0~$5~evict~:0~$3~run~:"), "{reply}");
    client.check("KVARTS SLOW LOCKS get", "%0~");
    client.check("MULTI", "+OK~");
    client.check("KVARTS SLOW LEN", "+QUEUED~");
    client.check("KVARTS SLOW RESET", "+QUEUED~");
    client.check("KVARTS SLOW LEN", "+QUEUED~");
    assert!(client.raw("EXEC").ends_with("~+OK~:0~"));
    assert_eq!(slow(&mut client, "EXEC").field("command").texts(), ["EXEC"], "its queue is part of it");
}

#[test]
fn what_is_kept_is_bounded_and_secrets_are_hidden() {
    let server = server(&[("slow-requests-max-len", "3"), ("slowlog-entry-max-string-len", "10")]);
    let mut client = server.client();
    client.check("ACL SETUSER u >secret", "+OK~");
    client.check(&format!("SET k {}", "x".repeat(20)), "+OK~");
    let all = client.raw("KVARTS SLOW GET");
    assert!(!all.contains("secret"), "{all}");
    assert!(all.contains("~xxxxxxxxxx... (10 more bytes)~"), "{all}");
    (0..10).for_each(|_| client.check("PING", "+PONG~"));
    client.check("KVARTS SLOW LEN", ":3~");
    client.check("CONFIG SET slow-requests-slower-than -1", "+OK~");
    client.check("KVARTS SLOW RESET", "+OK~");
    client.check("PING", "+PONG~");
    client.check("KVARTS SLOW LEN", ":0~");
    // The default keeps what took ten milliseconds.
    client.check("CONFIG SET slow-requests-slower-than 10000 slow-requests-max-len 128", "+OK~");
    (0..100).for_each(|_| client.check("PING", "+PONG~"));
    let count = client.value("KVARTS SLOW LEN").int();
    assert!(count < 50, "{count}");
}

/// A client that waits for a key waits for no disk meanwhile: its reply does, once it is there. The whole wait was told
/// as one for the disk, of every client that had waited for longer than `slow-requests-slower-than`.
#[test]
fn a_wait_for_a_key_is_none_for_the_disk() {
    let kept = [("slow-requests-slower-than", "0"), ("slow-requests-max-len", "100000")];
    let (server, faults) = server_with(&[&kept[..], &[("appendfsync", "always")]].concat());
    let (mut client, mut waiting) = (server.client(), server.client());
    let id = id_of(&mut waiting);
    faults.sync_ms.store(20, SeqCst);
    for (request, reply) in [
        ("BLPOP l 0", "*2~$1~l~$1~a~"),
        ("BLMOVE l other LEFT LEFT 0", "$1~a~"),
        ("XREAD BLOCK 0 STREAMS x $", "*1~*2~$1~x~*1~*2~$3~1-1~*2~$1~f~$1~v~"),
    ] {
        client.check("KVARTS SLOW RESET", "+OK~");
        waiting.send_command(request);
        eventually("it waits", || server.info("blocked_clients") == "1");
        pass(&server, 1500);
        client.check("RPUSH l a", ":1~");
        client.check("XADD x 1-1 f v", "$3~1-1~");
        waiting.check_next(reply);
        waiting.check("PING", "+PONG~");
        client.check("DEL l x", if request.starts_with('X') { ":2~" } else { ":1~" });
        let all = client.value("KVARTS SLOW GET -1").items();
        let waits: Vec<i64> = all
            .iter()
            .filter(|slow| slow.field("client-id").int() == id)
            .map(|slow| part(slow, "disk"))
            .collect();
        assert!(waits.iter().all(|waited| *waited < 1_500_000), "{request}: {waits:?}");
        assert!(waits.iter().any(|waited| *waited > 0), "{request}: its reply has waited");
    }
}

/// A lock that somebody unknown holds: single requests, in a pipeline, in a transaction.
#[test]
fn a_wait_for_a_lock() {
    let server = server(&[("io-threads", "3")]);
    let mut client = server.client();
    client.check("SET other v", "+OK~");
    let keyspace = &server.handle().server().keyspace;
    for (requests, slow_one, replies) in [
        ("GET k\r\n", "GET k", vec!["$-1~"]),
        ("SET k v\r\n", "SET k v", vec!["+OK~"]),
        ("GET other\r\nGET k\r\nGET other\r\n", "GET k", vec!["$1~v~", "$1~v~", "$1~v~"]),
        ("MULTI\r\nGET k\r\nEXEC\r\n", "EXEC", vec!["+OK~", "+QUEUED~", "*1~$1~v~"]),
    ] {
        let mut waiting = server.client();
        client.check("KVARTS SLOW RESET", "+OK~");
        let guard = keyspace.physical(0).write_slot(keyspace.hasher().key(b"k").slot());
        waiting.send(requests.as_bytes());
        let workers = &server.handle().server().health.workers;
        eventually("it waits", || workers.lives().any(|life| life.waits.is_some()));
        // Long enough to look who has it, also on a machine that is busy with other tests.
        pass(&server, 200);
        drop(guard);
        replies.iter().for_each(|reply| waiting.check_next(reply));
        let all = client.value("KVARTS SLOW GET -1").items();
        let waits = all.iter().filter(|slow| part(slow, "lock") >= 1000);
        let waits: Vec<String> = waits.map(|slow| slow.field("command").texts().join(" ")).collect();
        assert_eq!(waits, [slow_one], "of all in {requests:?}");
        let found = slow(&mut client, slow_one);
        assert_eq!(blocked_by(&found), "a thread in the background", "{requests:?}");
        assert!(part(&found, "lock") >= 15_000, "{found:?}");
        assert_eq!(found.field("client-id").int(), waiting.value("CLIENT ID").int());
    }
    let locks = client.value("KVARTS SLOW LOCKS get");
    assert_eq!(locks.items()[0].text(), "get");
    let of_get = locks.field("get");
    assert_eq!(of_get.field("waits").int(), 2);
    assert!(of_get.field("total-us").int() >= of_get.field("longest-us").int());
    let steps: Vec<i64> = of_get.field("histogram-us").items().iter().map(Value::int).collect();
    assert_eq!(steps.last(), Some(&2), "{steps:?}");
    assert!(steps[steps.len() - 2] >= 16_384, "{steps:?}");
    let all: Vec<String> =
        client.value("KVARTS SLOW LOCKS").items().iter().step_by(2).map(Value::text).collect();
    assert_eq!(all, ["get", "set", "exec"], "in the order of the table of commands");
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check("KVARTS SLOW LOCKS", "*0~");
}

/// A script that runs for long keeps a request from running, which then waits without a thread.
#[test]
fn a_wait_for_a_slow_script() {
    let pairs = [("io-threads", "3"), ("slow-requests-slower-than", "0"), ("busy-reply-threshold", "600000")];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let (mut client, mut script, mut waiting) = (server.client(), server.client(), server.client());
    let id = script.value("CLIENT ID").int();
    script.send_command("EVAL \"while true do end\" 1 k");
    let is_slow = || server.handle().server().scripting.slow.any();
    eventually("it is slow", is_slow);
    waiting.send(b"PING\r\nSET k v\r\nPING\r\n");
    waiting.check_next("+PONG~");
    pass(&server, 20);
    client.check("SCRIPT KILL", "+OK~");
    waiting.check_next("+OK~");
    waiting.check_next("+PONG~");
    let found = slow(&mut client, "SET k v");
    assert!(part(&found, "lock") >= 10_000, "{found:?}");
    let sha = client.value("KVARTS SLOW GET -1").items().iter().find_map(|slow| {
        let program = slow.field("program").text();
        program.strip_prefix("script ").map(str::to_owned)
    });
    let sha = sha.expect("the script was slow too");
    let expected =
        format!("eval of script {sha} on key k for client {id} at {}, user default", script.address());
    assert!(is_told(&blocked_by(&found), &expected), "{found:?}");
    assert_eq!(part(&slow(&mut client, "PING"), "lock"), 0, "only the request that waited is told so");
    assert_eq!(client.value("KVARTS SLOW LOCKS set").field("set").field("waits").int(), 1);
}

/// Who waited may run for long itself: what was in its way is told of as it was when the wait ended.
#[test]
fn what_was_in_the_way_has_run_until_the_wait_ended() {
    let pairs = [("io-threads", "3"), ("slow-requests-slower-than", "0"), ("busy-reply-threshold", "600000")];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let inner = server.handle().server();
    let (mut client, mut first, mut second) = (server.client(), server.client(), server.client());
    let second_id = id_of(&mut second);
    let before_ns = inner.clock.monotonic_ns();
    first.send_command("EVAL \"while true do end\" 1 k");
    eventually("the first runs", || inner.scripting.slow.any());
    second.send_command("EVAL \"while true do end\" 1 k");
    let line = format!("CLIENT LIST ID {second_id}");
    eventually("the second waits", || {
        inner.held_up.count() == 1 && client.value(&line).text().contains("cmd=eval")
    });
    pass(&server, 20);
    client.check("SCRIPT KILL", "+OK~");
    first.read_raw();
    eventually("the second runs", || inner.held_up.count() == 0 && inner.scripting.slow.any());
    let wait_ms = (inner.clock.monotonic_ns() - before_ns) / 1_000_000;
    pass(&server, 50);
    client.check("SCRIPT KILL", "+OK~");
    second.read_raw();
    let all = client.value("KVARTS SLOW GET -1").items();
    let found =
        all.iter().find(|slow| slow.field("client-id").int() == second_id && part(slow, "run") >= 50_000);
    let found = found.expect("the second was slow");
    assert!(part(found, "lock") >= 20_000, "{found:?}");
    let told = blocked_by(found);
    let ran_ms = told.rsplit_once(", running for ").and_then(|(_, rest)| rest.strip_suffix(" ms"));
    let ran_ms: u64 = ran_ms.and_then(|ms| ms.parse().ok()).expect("how long");
    assert!((20..=wait_ms).contains(&ran_ms), "{told}, and the wait ended after {wait_ms} ms");
}

/// A command that goes through very many elements keeps a request from running in the same way.
#[test]
fn a_wait_for_a_heavy_command() {
    let pairs = [("io-threads", "2"), ("slow-requests-slower-than", "0")];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let (mut client, mut heavy, mut waiting) = (server.client(), server.client(), server.client());
    let id = heavy.value("CLIENT ID").int();
    for first in (0..60_000).step_by(2000) {
        let members = (first..first + 2000)
            .flat_map(|number| [(number * 7919 % 65_537).to_string(), format!("m{number}")]);
        let words: Vec<String> = ["ZADD".to_owned(), "{t}z".to_owned()].into_iter().chain(members).collect();
        heavy.call(&words);
    }
    eventually("one waits for it", || {
        heavy.send_command("ZUNIONSTORE {t}out 3 {t}z {t}z {t}z");
        // It may be over before it is seen.
        let began = std::time::Instant::now();
        while !server.handle().server().heavy.any() && began.elapsed().as_millis() < 100 {
            std::thread::yield_now();
        }
        waiting.check("ZCARD {t}z", ":60000~");
        heavy.check_next(":60000~");
        let found = slow(&mut client, "ZCARD {t}z");
        let expected =
            format!("zunionstore on key {{t}}out for client {id} at {}, user default", heavy.address());
        part(&found, "lock") > 0 && is_told(&blocked_by(&found), &expected)
    });
}

/// A command that was in the way, as it is told of: with how long it has run.
fn is_told(told: &str, holder: &str) -> bool {
    let rest = told.strip_prefix(holder).and_then(|rest| rest.strip_prefix(", running for "));
    rest.and_then(|rest| rest.strip_suffix(" ms")).is_some_and(|ms| ms.parse::<u64>().is_ok())
}

/// A function and a request of a transaction are named as what is in the way, too.
#[test]
fn what_is_in_the_way_is_named() {
    let pairs = [("io-threads", "3"), ("slow-requests-slower-than", "0"), ("busy-reply-threshold", "600000")];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let (mut client, mut script, mut waiting) = (server.client(), server.client(), server.client());
    client.check("ACL SETUSER other on >x ~* &* +@all", "+OK~");
    script.check("AUTH other x", "+OK~");
    let source = "#!lua name=lib\nredis.register_function('f', function() while true do end end)";
    script.call(&["FUNCTION", "LOAD", source]);
    let long_key = format!("{{k}}{}", "x".repeat(300));
    let cut_key = format!("{{k}}{}... (175 more bytes)", "x".repeat(125));
    let waiting_id = id_of(&mut waiting);
    for (kill, words, expected) in [
        (
            "FUNCTION KILL",
            vec!["FCALL", "f", "1", &long_key],
            format!("fcall of function f on key {cut_key}"),
        ),
        ("SCRIPT KILL", vec!["MULTI"], "exec with eval of script ".to_owned()),
        (
            "SCRIPT KILL",
            vec!["EVAL", "redis.call('get', 'x'..'y') while true do end", "0"],
            "eval of script ".to_owned(),
        ),
    ] {
        client.check("KVARTS SLOW RESET", "+OK~");
        waiting.check("PING", "+PONG~");
        if words[0] == "MULTI" {
            script.check("MULTI", "+OK~");
            script.check("EVAL \"while true do end\" 1 {k}", "+QUEUED~");
            script.send_command("EXEC");
        } else {
            script.send(&encode(&words));
        }
        eventually("it is slow", || server.handle().server().scripting.slow.any());
        waiting.send_command("GET {k}");
        let line = format!("CLIENT LIST ID {waiting_id}");
        eventually("it waits", || client.value(&line).text().contains(" cmd=get "));
        pass(&server, 20);
        client.check(kill, "+OK~");
        waiting.check_next("$-1~");
        script.read_raw();
        let told = blocked_by(&slow(&mut client, "GET {k}"));
        let who =
            format!("for client {} at {}, user other, running for ", id_of(&mut script), script.address());
        assert!(told.starts_with(&expected) && told.contains(&who), "{told}");
        assert_eq!(words[0] == "MULTI", told.contains(" on key {k} "), "{told}");
    }
}

fn id_of(client: &mut Client) -> i64 {
    client.value("CLIENT ID").int()
}

/// A command that is alone in the keyspace for long keeps nobody from running who needs no key, and each request
/// that waits for it waits once.
#[test]
fn a_wait_is_one_wait() {
    let pairs = [("io-threads", "3"), ("slow-requests-slower-than", "0")];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let (mut client, mut heavy) = (server.client(), server.client());
    let (mut waiting, mut free) = (server.client(), server.client());
    for first in (0..60_000).step_by(2000) {
        let members = (first..first + 2000).map(|number| (number * 7919 % 65_537).to_string());
        let words: Vec<String> = ["SADD".to_owned(), "{t}s".to_owned()].into_iter().chain(members).collect();
        heavy.call(&words);
    }
    client.check("CONFIG RESETSTAT", "+OK~");
    let mut rounds = 0;
    eventually("they meet it", || {
        rounds += 1;
        // With keys that nothing declares it is alone.
        heavy.send_command("SORT {t}s BY w_* LIMIT 0 1");
        let began = std::time::Instant::now();
        while !server.handle().server().heavy.any() && began.elapsed().as_millis() < 1000 {
            std::thread::yield_now();
        }
        waiting.send_command("GET {t}k");
        free.check("PING", "+PONG~");
        free.check("CLIENT SETINFO lib-name x", "+OK~");
        let was_free = server.handle().server().heavy.any();
        waiting.check_next("$-1~");
        heavy.read_raw();
        was_free
    });
    let waits = |client: &mut Client, command: &str| {
        let all = client.value(&format!("KVARTS SLOW LOCKS {command}")).items();
        all.get(1).map_or(0, |waits| waits.field("waits").int())
    };
    for command in ["get", "ping", "client|setinfo"] {
        assert!(waits(&mut client, command) <= rounds, "{command}");
    }
    let found = slow(&mut client, "GET {t}k");
    if part(&found, "lock") > 0 {
        let expected = format!(
            "sort on key {{t}}s for client {} at {}, user default",
            id_of(&mut heavy),
            heavy.address()
        );
        assert!(is_told(&blocked_by(&found), &expected), "{found:?}");
        let longest = client.value("KVARTS SLOW LOCKS get").field("get").field("longest-us").int();
        assert!(longest >= part(&found, "lock"), "its whole length");
    }
}

/// As with Redis, what SLOWLOG, INFO and LATENCY HISTOGRAM tell of a command is the time that it ran.
#[test]
fn waiting_is_not_running() {
    let pairs = [("io-threads", "3"), ("slowlog-log-slower-than", "0"), ("slowlog-max-len", "100")];
    let server = server(&pairs);
    let mut client = server.client();
    client.check("SET other v", "+OK~");
    let keyspace = &server.handle().server().keyspace;
    for (requests, names) in [
        ("GET k\r\n", &["GET"][..]),
        ("GET other\r\nGET k\r\nGET other\r\n", &["GET", "GET", "GET"]),
        ("LPUSH l{k} a\r\n", &["LPUSH"]),
        ("MULTI\r\nGET k\r\nEXEC\r\n", &["EXEC"]),
        ("EVAL \"return redis.call('get', KEYS[1])\" 1 k\r\n", &["EVAL"]),
        ("BLPOP none{k} 0.01\r\n", &["BLPOP"]),
    ] {
        client.check("KVARTS SLOW RESET", "+OK~");
        client.check("SLOWLOG RESET", "+OK~");
        client.check("CONFIG RESETSTAT", "+OK~");
        let mut waiting = server.client();
        let guard = keyspace.physical(0).write_slot(keyspace.hasher().key(b"k").slot());
        waiting.send(requests.as_bytes());
        let workers = &server.handle().server().health.workers;
        eventually("it waits", || workers.lives().any(|life| life.waits.is_some()));
        pass(&server, 100);
        drop(guard);
        let name = names[0].to_lowercase();
        if name == "blpop" {
            eventually("it waits for its key", || server.info("blocked_clients") == "1");
            server.advance_ms(20);
        }
        let replies = requests.matches("\r\n").count();
        (0..replies).for_each(|_| drop(waiting.read_raw()));
        let stats = client.value("INFO commandstats").text();
        let usec =
            stats.split(&format!("cmdstat_{name}:")).nth(1).and_then(|rest| rest.split("usec=").nth(1));
        let usec: i64 = usec.and_then(|rest| rest.split(',').next()?.parse().ok()).expect("it was counted");
        let all = client.value("KVARTS SLOW GET -1").items();
        let of_it = |slow: &&Value| names.contains(&slow.field("command").texts()[0].as_str());
        let all: Vec<&Value> = all.iter().filter(of_it).collect();
        if name != "blpop" {
            let waited: i64 = all.iter().map(|slow| part(slow, "lock")).sum();
            assert!(waited >= 50_000, "{requests:?}");
            let ran: i64 = all.iter().map(|slow| part(slow, "run")).sum();
            assert!((ran..=ran + names.len() as i64).contains(&usec), "{requests:?}: {usec} {ran}");
            // EXEC is not logged, what it runs is.
            if name != "exec" {
                let log = client.value("SLOWLOG GET -1").items();
                let of_it = |entry: &Vec<Value>| names.contains(&entry[3].texts()[0].as_str());
                let logged: i64 =
                    log.iter().map(Value::items).filter(of_it).map(|entry| entry[2].int()).sum();
                assert_eq!(logged, ran, "{requests:?}");
            }
        } else {
            assert!(usec < 50_000, "its wait for the lock does not count: {usec}");
        }
    }
}

/// A request that is refused in the end leaves what it waited to nobody.
#[test]
fn a_wait_that_ends_with_a_refusal() {
    let pairs = [("io-threads", "3"), ("slow-requests-slower-than", "0"), ("busy-reply-threshold", "100")];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let (mut client, mut script, mut waiting) = (server.client(), server.client(), server.client());
    script.send_command("EVAL \"while true do end\" 1 k");
    eventually("it is slow", || server.handle().server().scripting.slow.any());
    waiting.send(b"SET k v\r\nPING\r\nECHO x\r\n");
    assert!(show(&waiting.read_raw()).starts_with("-BUSY"));
    waiting.check_next("+PONG~");
    waiting.check_next("$1~x~");
    client.check("SCRIPT KILL", "+OK~");
    assert_eq!(part(&slow(&mut client, "PING"), "lock"), 0);
    assert_eq!(part(&slow(&mut client, "ECHO x"), "lock"), 0);
}

#[test]
fn a_wait_for_the_end_of_a_pause() {
    let server = server(&[]);
    let (mut client, mut waiting) = (server.client(), server.client());
    client.check("CLIENT PAUSE 1000 WRITE", "+OK~");
    waiting.send_command("SET k v");
    eventually("it waits", || server.info("blocked_clients") == "1");
    pass(&server, 5);
    client.check("CLIENT UNPAUSE", "+OK~");
    waiting.check_next("+OK~");
    let found = slow(&mut client, "SET k v");
    assert!(part(&found, "pause") >= 5000, "{found:?}");
    assert_eq!((part(&found, "lock"), blocked_by(&found)), (0, String::new()));
}

#[test]
fn the_time_of_evictions() {
    let server = server(&[("maxmemory-policy", "allkeys-lru")]);
    let mut client = server.client();
    let value = "x".repeat(100_000);
    (0..50).for_each(|number| client.check(&format!("SET k{number} {value}"), "+OK~"));
    let used: u64 = server.info("used_memory").parse().expect("a number");
    client.check(&format!("CONFIG SET maxmemory {}", used - 1_000_000), "+OK~");
    for round in 0.. {
        let before: u64 = server.info("evicted_keys").parse().expect("a number");
        let set = encode(&["SET", &format!("new{round}"), &value]);
        client.send(&[b"PING\r\n", &set[..], b"PING\r\n"].concat());
        (0..3).for_each(|_| drop(client.read_raw()));
        // Whichever request comes while memory is over the limit makes room, a PING too.
        let all = client.value("KVARTS SLOW GET 8").items();
        if all.iter().any(|slow| part(slow, "evict") > 0) {
            let evicted: u64 = server.info("evicted_keys").parse().expect("a number");
            assert!(evicted > before || before > 0);
            assert!(all.iter().all(|slow| part(slow, "evict") <= slow.field("total-us").int()));
            break;
        }
        assert!(round < 1000, "{before} keys were evicted, and no request was told of it");
    }
}

/// With `appendfsync always` the reply waits for the disk; a request that only reads waits for what it shows.
#[test]
fn a_wait_for_the_disk() {
    let (server, faults) = server_with(&[("appendfsync", "always"), ("slow-requests-slower-than", "0")]);
    let (mut client, mut reader) = (server.client(), server.client());
    client.check("SET k v", "+OK~");
    client.check("KVARTS SLOW RESET", "+OK~");
    faults.holds_syncs.store(true, SeqCst);
    client.send_command("SET k w");
    let has = |key: &str| {
        server
            .handle()
            .server()
            .logs
            .slow_requests
            .latest(9)
            .iter()
            .any(|slow| slow.arguments.last().is_some_and(|word| word == key.as_bytes()))
    };
    eventually("it has run", || has("w"));
    reader.send_command("GET k");
    eventually("it has run", || has("k"));
    pass(&server, 20);
    faults.holds_syncs.store(false, SeqCst);
    client.check_next("+OK~");
    reader.check_next("$1~w~");
    for (request, least_us) in [("SET k w", 20_000), ("GET k", 20_000)] {
        // It is told once the reply is sent, which its client may see a moment before.
        eventually(request, || part(&slow(&mut client, request), "disk") >= least_us);
        let found = slow(&mut client, request);
        assert_eq!((part(&found, "write"), part(&found, "lock")), (0, 0));
    }
    // Without a slow command there is an entry for the wait alone.
    client.check("CONFIG SET slow-requests-slower-than 10000", "+OK~");
    client.check("KVARTS SLOW RESET", "+OK~");
    faults.holds_syncs.store(true, SeqCst);
    client.send_command("SET k x");
    eventually("it has run", || server.handle().server().durability.waiting_clients() == 1);
    pass(&server, 20);
    faults.holds_syncs.store(false, SeqCst);
    client.check_next("+OK~");
    let found = slow(&mut client, "set");
    assert!(part(&found, "disk") >= 10_000, "{found:?}");
}

/// A client that does not read its reply, and reads it later, or is cut.
#[test]
fn a_wait_for_the_client() {
    for is_cut in [false, true] {
        let server = server(&[("slow-requests-slower-than", "0")]);
        let (mut client, mut lazy) = (server.client(), server.client());
        let value = "x".repeat(30 << 20);
        client.call(&["SET", "k", &value]);
        client.check("KVARTS SLOW RESET", "+OK~");
        let id = lazy.value("CLIENT ID").int();
        lazy.send_command("GET k");
        eventually("it waits to be read", || {
            let line = client.value(&format!("CLIENT LIST ID {id}")).text();
            let omem = line.split("obl=").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            omem.is_some_and(|omem| omem.parse::<u64>().is_ok_and(|omem| omem > 1_000_000))
        });
        pass(&server, 20);
        if is_cut {
            client.check(&format!("CLIENT KILL ID {id}"), ":1~");
        } else {
            lazy.read();
        }
        eventually("it is told", || part(&slow(&mut client, "GET k"), "write") >= 20_000);
        assert_eq!(part(&slow(&mut client, "GET k"), "disk"), 0);
        // What follows has nothing of it.
        client.check("PING", "+PONG~");
        assert_eq!(part(&slow(&mut client, "PING"), "write"), 0);
        if !is_cut {
            lazy.check("PING", "+PONG~");
            assert_eq!(part(&slow(&mut client, "PING"), "write"), 0);
        }
    }
}

/// A client that waits for a key is not slow for that; served, its command's own time counts.
#[test]
fn waiting_for_keys_is_not_slow() {
    let server = server(&[]);
    let (mut client, mut waiting) = (server.client(), server.client());
    waiting.send_command("BLPOP list 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    pass(&server, 300);
    client.check("RPUSH list a", ":1~");
    waiting.check_next("*2~$4~list~$1~a~");
    let found = slow(&mut client, "BLPOP list 0");
    assert!(found.field("total-us").int() < 300_000, "{found:?}");
    assert_eq!(found.field("client-address").text(), waiting.address().to_string());
}

/// What is alone in the keyspace at once has not waited; what has to wait for that says so.
#[test]
fn a_wait_to_be_alone() {
    let server = server(&[("io-threads", "2")]);
    let (mut client, mut waiting) = (server.client(), server.client());
    for _ in 0..20 {
        client.check("EVAL \"return 1\" 0", ":1~");
        client.check("FLUSHALL", "+OK~");
    }
    let flushes = client.value("KVARTS SLOW LOCKS flushall").items();
    let waits = flushes.get(1).map_or(0, |flushes| flushes.field("waits").int());
    assert!(waits < 20, "the sweeper may be in the way now and then, but nobody else: {waits}");
    let gate = &server.handle().server().keyspace.gate;
    for request in ["FLUSHALL", "SWAPDB 0 1"] {
        client.check("KVARTS SLOW RESET", "+OK~");
        // Held shared as by a batch that runs for long.
        let shared = gate.shared(0);
        waiting.send_command(request);
        // While it waits it counts as heavy, so that its thread's other work is done elsewhere.
        let inner = server.handle().server();
        let waits = || inner.heavy.any() || inner.health.workers.lives().any(|life| life.waits.is_some());
        eventually("it waits", waits);
        pass(&server, 20);
        drop(shared);
        waiting.check_next("+OK~");
        assert!(part(&slow(&mut client, request), "lock") >= 10_000, "{request}");
    }
}

/// It answers while data are loaded and while the keyspace is taken.
#[test]
fn it_answers_at_all_times() {
    let server = server(&[("io-threads", "2")]);
    let mut client = server.client();
    let inner = server.handle().server();
    inner.loading.begin(START_MS);
    assert!(client.raw("KVARTS SLOW LEN").starts_with(':'));
    inner.loading.end();
    let alone = inner.keyspace.gate.exclusive(|| {});
    assert!(client.raw("KVARTS SLOW").starts_with('*'));
    let mut waiting = server.client();
    waiting.send_command("GET k");
    eventually("it waits", || inner.health.workers.lives().any(|life| life.waits.is_some()));
    pass(&server, 5);
    drop(alone);
    waiting.check_next("$-1~");
    assert!(part(&slow(&mut client, "GET k"), "lock") >= 1000, "the gate is a lock too");
}

#[test]
fn slow_requests_are_figures_too() {
    let (server, port) = http::with_port(&[("slow-requests-slower-than", "0"), ("io-threads", "2")]);
    let mut waiting = server.client();
    waiting.check("SET other v", "+OK~");
    let looks = || crate::console::history(port, 0)["seconds"].as_array().expect("points").len();
    eventually("a first look", || looks() == 1);
    let inner = server.handle().server();
    let guard = inner.keyspace.physical(0).write_slot(inner.keyspace.hasher().key(b"k").slot());
    waiting.send_command("GET k");
    eventually("it waits", || inner.health.workers.lives().any(|life| life.waits.is_some()));
    pass(&server, 5);
    drop(guard);
    waiting.check_next("$-1~");
    // The charts show waits as well, which are no part of latencies.
    let seen = looks();
    server.advance_ms(1_000);
    eventually("a look behind it", || looks() > seen);
    let past = crate::console::history(port, 0);
    let sum_of = |name: &str| {
        let series = past["series"].as_array().expect("names");
        let place = 1 + series.iter().position(|other| other == name).expect("a series");
        let points = past["seconds"].as_array().expect("points");
        points.iter().filter_map(|point| point[place].as_f64()).sum::<f64>()
    };
    assert!(sum_of("lock_wait_s") >= 0.001 && sum_of("lock_wait_p99_us") >= 1_000.0, "{past}");
    let page = http::get(port, "/metrics").1;
    let value = |name: &str| http::value(&page, name).unwrap_or_else(|| panic!("{name} in\n{page}"));
    assert!(value("kvarts_slow_requests_total") >= 2.0);
    assert!(value("kvarts_slow_requests_seconds_total{part=\"lock\"}") >= 0.001);
    assert_eq!(value("kvarts_slow_requests_seconds_total{part=\"disk\"}"), 0.0);
    assert_eq!(value("kvarts_lock_wait_seconds_bucket{cmd=\"get\",le=\"0.000001\"}"), 0.0);
    assert_eq!(value("kvarts_lock_wait_seconds_bucket{cmd=\"get\",le=\"+Inf\"}"), 1.0);
    assert_eq!(value("kvarts_lock_wait_seconds_count{cmd=\"get\"}"), 1.0);
    let (sum, longest) = (
        value("kvarts_lock_wait_seconds_sum{cmd=\"get\"}"),
        value("kvarts_lock_wait_longest_seconds{cmd=\"get\"}"),
    );
    assert!(sum >= 0.001 && (sum - longest).abs() < 1e-12, "{sum} {longest}");
}
