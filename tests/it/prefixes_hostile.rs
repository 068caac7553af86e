//! KVARTS PREFIXES, BIGKEYS and HOTKEYS where it is hard for them: every command, replicas, loading, names of
//! many kinds, many clients at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::coverage::CALLS;
use crate::harness::*;
use crate::http;
use crate::prefixes::{check, check_all, fill, is_exact, pipeline, request};

const ON: &[(&str, &str)] = &[("key-sizes", "yes"), ("enable-debug-command", "yes")];

/// After each command that there is, in each database.
#[test]
fn sizes_are_exact_after_each_command() {
    let server = TestServer::with(ON);
    let (mut client, mut looks) = (server.client(), server.client());
    for line in CALLS.lines().filter(|line| !line.is_empty()) {
        let (command, _) = line.split_once(" => ").unwrap_or((line, ""));
        client.raw(command);
        for database in ["1", "2", "0"] {
            looks.call(&["SELECT", database]);
            assert!(is_exact(&mut looks), "{command} in {database}");
        }
        if !command.starts_with("XREAD") {
            check_all(&mut looks, 0);
        }
    }
}

/// A replica counts what it copied, what its primary does afterwards, and none of the primary's accesses.
#[test]
fn replicas_know_their_keys() {
    let clock = kvarts::shared::clock::Clock::system;
    let primary = TestServer::with_clock(&[ON, &[("repl-diskless-sync-delay", "0")]].concat(), clock());
    let mut client = primary.client();
    fill(&mut client, 5_000);
    let follows = format!("127.0.0.1 {}", primary.address().port());
    let pairs = [
        ("replicaof", &*follows),
        ("hotkeys-top-k", "5"),
        ("hotkeys-sampling-percentage", "100"),
        ("hotkeys-window-seconds", "1"),
    ];
    let replica = TestServer::with_clock(&[ON, &pairs].concat(), clock());
    eventually("the link is up", || replica.info("master_link_status") == "up");
    let mut looks = replica.client();
    // Two times the keys were there while they were copied.
    eventually("all are known", || is_exact(&mut looks));
    client.check("XADD s 1-1 f v", "$3~1-1~");
    client.check("RENAME giant:all big", "+OK~");
    client.check("RPUSH list:one a b", ":3002~");
    client.check("DEL zipf:1 zipf:2", ":2~");
    client.check("SET last v", "+OK~");
    eventually("it has all", || looks.raw("EXISTS last") == ":1~");
    check_all(&mut looks, 0);
    eventually("a window is closed", || {
        client.check("SET primary v", "+OK~");
        looks.check("GET last", "$1~v~");
        let hot = looks.value("HOTKEYS GET").items();
        let names: Vec<String> = hot.iter().map(|key| key.field("key").text()).collect();
        assert!(!names.contains(&"primary".to_owned()), "{names:?}");
        names.contains(&"last".to_owned())
    });
    client.check("FLUSHALL", "+OK~");
    eventually("it is empty", || looks.raw("DBSIZE") == ":0~");
    assert!(is_exact(&mut looks));
}

/// Both answer while data are loaded, and are exact afterwards.
#[test]
fn while_data_are_loaded() {
    let dir = {
        let server = TestServer::with(&[ON, &[("appendonly", "yes")]].concat());
        fill(&mut server.client(), 20_000);
        server.stop_and_keep()
    };
    let server = TestServer::loading(&[ON, &[("appendonly", "yes")]].concat(), dir);
    let mut client = server.client();
    while info(&mut client, "loading") == "1" {
        assert!(client.raw("KVARTS PREFIXES").starts_with('*'));
        assert!(client.raw("KVARTS BIGKEYS COUNT 1").starts_with("*8~"));
    }
    assert!(is_exact(&mut client));
}

fn bytes(value: &Value) -> Vec<u8> {
    let Value::Bulk(bytes) = value else { panic!("no bulk string: {value:?}") };
    bytes.clone()
}

/// Keys with separators in a row, without any, with all bytes, empty, and of ten megabytes.
#[test]
fn names_of_many_kinds() {
    let (server, port) =
        http::with_port(&[ON, &[("hotkeys-top-k", "9"), ("hotkeys-sampling-percentage", "100")]].concat());
    let mut client = server.client();
    let long = "n".repeat(10 << 20);
    let keys: [&[u8]; 9] = [
        b"a::b",
        b"::",
        b"",
        b"plain",
        b"\xff\x00\"\n\\:x",
        b"\r\n}{le=\"1\"} 5\r\n:x",
        &[long.as_bytes(), b":x"].concat(),
        &[b"p:", long.as_bytes()].concat(),
        &[&b"q".repeat(300)[..], b":y"].concat(),
    ];
    for key in keys {
        client.call(&[&b"SET"[..], key, b"v"]);
    }
    let prefixes = |client: &mut Client, words: &[&[u8]]| -> Vec<Vec<u8>> {
        let rows = client.call(&[&[&b"KVARTS"[..], b"PREFIXES"], words].concat()).items();
        let mut all: Vec<Vec<u8>> = rows.iter().map(|row| bytes(&row.field("prefix"))).collect();
        all.sort();
        all
    };
    let q = [&b"q".repeat(300)[..], b":"].concat();
    let expected: [&[u8]; 7] = [b"", b"\r\n}{le=\"1\"} 5\r\n:", b":", b"a:", b"p:", &q, b"\xff\x00\"\n\\:"];
    assert_eq!(prefixes(&mut client, &[]), expected);
    // As many rows for the accesses: they are cut where keys are.
    assert_eq!(prefixes(&mut client, &[b"DEPTH", b"2"])[2..4], [b"::".to_vec(), b"a::".to_vec()]);
    assert_eq!(prefixes(&mut client, &[b"SEPARATOR", b"::"]), [&b""[..], b"::", b"a::"]);
    assert_eq!(prefixes(&mut client, &[b"SEPARATOR", b"\x00"]), [&b""[..], b"\xff\x00"]);
    assert_eq!(prefixes(&mut client, &[b"SEPARATOR", long.as_bytes()]), [b""]);
    let depths = prefixes(&mut client, &[b"SEPARATOR", b"n", b"DEPTH", b"16"]);
    assert!(depths.contains(&[&b"p:"[..], &b"n".repeat(16)].concat()), "{depths:?}");
    for wrong in ["17", "-1", "+1", "01", "1.0", "", "99999999999999999999"] {
        let reply = show(&{
            client.send(&encode(&["KVARTS", "PREFIXES", "DEPTH", wrong]));
            client.read_raw()
        });
        assert_eq!(reply, "-ERR DEPTH must be between 1 and 16~", "{wrong}");
    }
    // Of a name of ten megabytes BIGKEYS shows the beginning.
    let big = client.value("KVARTS BIGKEYS COUNT 1").field("by-bytes").items()[0].clone();
    assert_eq!(bytes(&big.field("key")).len(), 512);
    assert!(big.field("bytes").int() > 10 << 20);
    server.advance_ms(1000);
    let (_, page) = http::get(port, "/metrics");
    let told: Vec<&str> = page
        .lines()
        .filter(|line| {
            ["kvarts_prefix", "kvarts_big_key", "kvarts_hot_key_acc"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect();
    assert!(told.iter().any(|line| line.contains("a:")), "{told:?}");
    for line in told {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(
            series.ends_with('}') && value.parse::<f64>().is_ok_and(|value| value.fract() == 0.0),
            "{line}"
        );
        assert!(line.len() < 700 && line.chars().all(|c| c.is_ascii() && !c.is_ascii_control()), "{line}");
    }
}

/// Beyond the sample too, whoever asks meanwhile and whatever the sampled part does.
#[test]
fn many_clients_change_and_ask_at_once() {
    let pairs: &[_] = &[("hotkeys-top-k", "8"), ("hotkeys-sampling-percentage", "10")];
    let server = TestServer::with(&[ON, pairs].concat());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changes: Vec<_> = (0..3)
            .map(|number| {
                let mut client = server.client();
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(number);
                    for round in 0..30 {
                        let mut requests: Vec<Vec<String>> = Vec::new();
                        for _ in 0..1500 {
                            let key = format!("{}:{}", rng.char('a'..'e'), rng.u32(..60_000));
                            requests.push(match rng.u8(..12) {
                                0 => request(&["DEL", &key]),
                                1 => {
                                    request(&["RPUSH", &format!("list{key}"), &"e".repeat(rng.usize(..3000))])
                                }
                                2 => request(&["XADD", &format!("stream{key}"), "*", "f", "v"]),
                                3 => request(&[
                                    "EVAL",
                                    "return redis.call('set', KEYS[1], ARGV[1])",
                                    "1",
                                    &key,
                                    "v",
                                ]),
                                4 => request(&["SET", &key, "v", "PX", "1"]),
                                _ => request(&["SET", &key, &"v".repeat(rng.usize(..100))]),
                            });
                        }
                        if round % 3 == 0 {
                            requests.insert(0, request(&["MULTI"]));
                            requests.push(request(&["EXEC"]));
                        }
                        pipeline(&mut client, &requests);
                    }
                })
            })
            .collect();
        let mut asks = server.client();
        let done = &done;
        scope.spawn(move || {
            let mut rng = fastrand::Rng::with_seed(99);
            while !done.load(Ordering::Relaxed) {
                let command = [
                    "KVARTS PREFIXES",
                    "KVARTS PREFIXES DEPTH 2 SEPARATOR st",
                    "KVARTS BIGKEYS COUNT 1000",
                    "HOTKEYS START METRICS 2 CPU NET COUNT 3",
                    "HOTKEYS GET",
                    "HOTKEYS STOP",
                    "HOTKEYS RESET",
                    "MEMORY DOCTOR",
                    "SWAPDB 0 1",
                    "SWAPDB 0 1",
                ][rng.usize(..10)];
                let reply = asks.raw(command);
                assert!(!reply.starts_with("-ERR unknown"), "{command}: {reply}");
            }
        });
        for change in changes {
            change.join().expect("it goes on");
        }
        done.store(true, Ordering::Relaxed);
    });
    server.advance_ms(1000);
    let mut client = server.client();
    for database in ["0", "1"] {
        client.call(&["SELECT", database]);
        check(&mut client, "after all");
    }
}
