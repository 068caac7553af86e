//! KVARTS CLOCK: the clock as its user moves it. All that depends on time follows before the reply comes.

use std::sync::atomic::Ordering;

use kvarts::shared::clock::Clock;

use crate::harness::*;

const HALF_AN_HOUR_MS: u64 = 30 * 60 * 1000;

fn server() -> TestServer {
    TestServer::with(&[("enable-debug-command", "yes"), ("notify-keyspace-events", "Ex")])
}

#[test]
fn it_is_refused_unless_debug_commands_are_allowed() {
    let refusal = "-ERR KVARTS CLOCK is not allowed. Set enable-debug-command to \"yes\", or to \"local\" for clients of the same machine, and restart the server.~";
    let server = TestServer::start();
    let mut client = server.client();
    for words in ["GET", "FREEZE", "ADVANCE 1", "nothing"] {
        client.check(&format!("KVARTS CLOCK {words}"), refusal);
    }
    assert_eq!(server.handle().server().clock.now_ms(), START_MS);
    let local = TestServer::with(&[("enable-debug-command", "local")]);
    local.client().check("KVARTS CLOCK ADVANCE 1", "+OK~");
    assert_eq!(local.handle().server().clock.now_ms(), START_MS + 1);
}

#[test]
fn a_session_ends_in_a_moment_and_its_listener_hears() {
    let server = server();
    let (mut client, mut listener) = (server.client(), server.client());
    listener.check("SUBSCRIBE __keyevent@0__:expired", "*3~$9~subscribe~$22~__keyevent@0__:expired~:1~");
    client.check("HSET session a 1 b 2", ":2~");
    client.check("HEXPIRE session 10 FIELDS 1 a", "*1~:1~");
    client.check("PEXPIRE session 1800000", ":1~");
    client.check(&format!("KVARTS CLOCK ADVANCE {}", HALF_AN_HOUR_MS - 1), "+OK~");
    client.check("HGETALL session", "*2~$1~b~$1~2~");
    client.check("PTTL session", ":1~");
    listener.check_silent();
    client.check("KVARTS CLOCK ADVANCE 1", "+OK~");
    // Removed, and not only absent, by the time of the reply.
    assert_eq!(server.info("expired_keys"), "1");
    listener.check_next("*3~$7~message~$22~__keyevent@0__:expired~$7~session~");
    client.check("EXISTS session", ":0~");
}

/// A batch knows one time: what follows in the same write must see the new one all the same.
#[test]
fn what_follows_in_a_pipeline_sees_the_new_time() {
    let server = server();
    let mut client = server.client();
    let lines = [
        "SET k 1 PX 1000",
        "GET k",
        "KVARTS CLOCK ADVANCE 1000",
        "GET k",
        "SET k 2 PX 500",
        "XADD s * f v",
        "KVARTS CLOCK ADVANCE 500",
        "GET k",
        "TIME",
    ];
    client.send(&lines.map(|line| encode(&crate::wire::words(line))).concat());
    let id = format!("{}-0", START_MS + 1000);
    for expected in ["+OK~", "$1~1~", "+OK~", "$-1~", "+OK~", &format!("${}~{id}~", id.len()), "+OK~", "$-1~"]
    {
        client.check_next(expected);
    }
    let time = client.read().texts();
    assert_eq!(time[0], ((START_MS + 1500) / 1000).to_string());
}

/// Clients in every kind of wait hear that their time is over.
#[test]
fn who_waits_is_woken() {
    let server = server();
    let mut client = server.client();
    let mut blocked = ["BLPOP q 60", "BZMPOP 60 1 z MIN", "XREAD BLOCK 60000 STREAMS s $", "WAIT 1 60000"]
        .map(|line| {
            let mut client = server.client();
            client.send_command(line);
            client
        });
    eventually("they wait", || server.info("blocked_clients") == "4");
    client.check("KVARTS CLOCK ADVANCE 59999", "+OK~");
    assert_eq!(server.info("blocked_clients"), "4");
    client.check("KVARTS CLOCK ADVANCE 1", "+OK~");
    for (client, expected) in blocked.iter_mut().zip(["*-1~", "*-1~", "*-1~", ":0~"]) {
        client.check_next(expected);
    }
    let mut paused = server.client();
    client.check("CLIENT PAUSE 3600000 WRITE", "+OK~");
    paused.send_command("SET k 1");
    eventually("it waits", || server.info("blocked_clients") == "1");
    client.check("KVARTS CLOCK ADVANCE 3600000", "+OK~");
    paused.check_next("+OK~");
}

/// Once a pause of everything held up the clock by which it was to end, and health checks with it.
#[test]
fn what_an_operator_asks_is_not_paused() {
    let server = server();
    let (mut client, mut held) = (server.client(), server.client());
    client.check("CLIENT PAUSE 1000 ALL", "+OK~");
    held.send_command("PING");
    let waits =
        || server.handle().server().clients.all().iter().any(|client| client.blocked.load(Ordering::Relaxed));
    eventually("it waits", waits);
    assert!(!client.raw("KVARTS HEALTH").starts_with('-'));
    client.check("KVARTS CLOCK ADVANCE 999", "+OK~");
    assert!(waits());
    client.check("KVARTS CLOCK ADVANCE 1", "+OK~");
    held.check_next("+PONG~");
}

#[test]
fn locks_run_out_and_idle_clients_are_closed() {
    let server = server();
    let (mut client, mut idle) = (server.client(), server.client());
    client.check("SET lock me NX PX 30000", "+OK~");
    client.check("SET lock other NX PX 30000", "$-1~");
    client.check("KVARTS CLOCK ADVANCE 30000", "+OK~");
    client.check("SET lock other NX PX 30000", "+OK~");
    client.check("SET old 1", "+OK~");
    client.check("KVARTS CLOCK ADVANCE 5000", "+OK~");
    client.check("OBJECT IDLETIME old", ":5~");
    idle.check("PING", "+PONG~");
    client.check("CONFIG SET timeout 60", "+OK~");
    client.check("KVARTS CLOCK ADVANCE 61000", "+OK~");
    idle.expect_closed();
    client.check("PING", "+PONG~");
}

#[test]
fn it_is_set_frozen_and_resumed() {
    let server = TestServer::with_clock(&[("enable-debug-command", "yes")], Clock::system());
    let mut client = server.client3();
    let start_ms = server.handle().server().clock.now_ms();
    client.check("KVARTS CLOCK SET 1000000000000", "+OK~");
    let time_s = || server.client().value("TIME").texts()[0].parse::<u64>().expect("a number");
    assert!((1_000_000_000..1_000_000_060).contains(&time_s()));
    client.check("KVARTS CLOCK FREEZE", "+OK~");
    let (first, second) = (client.raw("TIME"), client.raw("TIME"));
    assert_eq!(first, second);
    let shown = client.value("KVARTS CLOCK GET");
    assert_eq!(shown.field("state").text(), "frozen");
    let at_ms: i64 = shown.field("unix-time-ms").text().parse().expect("a number");
    let offset_ms: i64 = shown.field("offset-ms").text().parse().expect("a number");
    assert!((at_ms - start_ms as i64).abs_diff(offset_ms) < 60_000, "{at_ms} {offset_ms}");
    client.check("KVARTS CLOCK SET 1000000000000", "+OK~");
    client.check("SET k 1 EX 100", "+OK~");
    client.check("KVARTS CLOCK ADVANCE 99999", "+OK~");
    client.check("PTTL k", ":1~");
    client.check("KVARTS CLOCK RESUME", "+OK~");
    eventually("it ends", || server.client().raw("EXISTS k") == ":0~");
    assert_eq!(client.value("KVARTS CLOCK GET").field("state").text(), "running");
    // Back in time: what was to end then ends later.
    client.check("SET k 1 EX 100", "+OK~");
    client.check("KVARTS CLOCK SET 1000000000000", "+OK~");
    let left_s = client.value("TTL k").text().parse::<u64>().expect("a number");
    assert!((100..=260).contains(&left_s), "{left_s}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = server();
    let mut client = server.client();
    let usage = "-ERR syntax error, expected ADVANCE milliseconds, SET unix-time-milliseconds, FREEZE, RESUME or GET~";
    let range = "-ERR time is out of range, must be between 1970 and the end of the year 9999~";
    let too_far = "-ERR milliseconds are out of range, must be 0 or more, and the clock cannot be advanced beyond the year 9999~";
    for (words, expected) in [
        ("ADVANCE", usage),
        ("ADVANCE 1 2", usage),
        ("FREEZE now", usage),
        ("JUMP 5", usage),
        ("ADVANCE x", "-ERR value is not an integer or out of range~"),
        ("ADVANCE -5", too_far),
        ("ADVANCE 9223372036854775807", too_far),
        ("SET -1", range),
        ("SET 253402300800000", range),
    ] {
        client.check(&format!("KVARTS CLOCK {words}"), expected);
    }
    assert_eq!(server.handle().server().clock.now_ms(), START_MS);
    client.check("MULTI", "+OK~");
    let refusal = "-ERR Command 'kvarts|clock' not allowed inside a transaction~";
    client.check("KVARTS CLOCK ADVANCE 1", refusal);
    client.check("DISCARD", "+OK~");
    client.check("KVARTS CLOCK SET 253402300799999", "+OK~");
    client.check("KVARTS CLOCK ADVANCE 1", too_far);
    client.check("SET k 1 EX 1", "+OK~");
    client.check(
        "EVAL \"return redis.call('KVARTS', 'CLOCK', 'GET')\" 0",
        "-ERR This Valkey command is not allowed from script script: on @user_script:1.~",
    );
}
