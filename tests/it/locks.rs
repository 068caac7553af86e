//! Commands on several keys at once from many connections: what holds in any serial order must hold here, and
//! all must end.

use std::sync::atomic::Ordering;

use crate::harness::*;

/// Random numbers that a seed repeats.
struct Random(fastrand::Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit)
    }
}

/// Runs `work` on so many connections at once, each given its number.
fn at_once(server: &TestServer, count: u64, work: impl Fn(Client, u64) + Sync) {
    std::thread::scope(|scope| {
        for number in 0..count {
            let (client, work) = (server.client(), &work);
            scope.spawn(move || work(client, number));
        }
    });
}

fn start() -> TestServer {
    TestServer::with(&[("io-threads", "4")])
}

#[test]
fn keys_set_together_are_seen_together() {
    let server = start();
    // Groups of keys in different slots, always written with one value; the order of the names varies.
    at_once(&server, 6, |mut client, number| {
        let mut random = Random::new(number);
        for round in 0..600 {
            let group = random.below(3);
            let mut keys: Vec<String> = (0..5).map(|index| format!("g{group}:{index}")).collect();
            random.0.shuffle(&mut keys);
            if random.below(2) == 0 {
                let mut words = vec!["MSET".to_owned()];
                for key in keys {
                    words.extend([key, format!("{number}:{round}")]);
                }
                assert_eq!(client.call(&words), Value::Simple("OK".into()));
            } else {
                let words: Vec<String> = std::iter::once("MGET".to_owned()).chain(keys).collect();
                let values = client.call(&words).items();
                assert!(values.iter().all(|value| *value == values[0]), "torn: {values:?}");
            }
        }
    });
}

#[test]
fn a_token_is_never_lost_or_doubled() {
    let server = start();
    let mut first = server.client();
    for token in 0..4 {
        first.check(&format!("SET place:{token} token{token}"), "+OK~");
    }
    first.check("SET other v", "+OK~");
    at_once(&server, 6, |mut client, number| {
        let mut random = Random::new(100 + number);
        for _ in 0..600 {
            let (from, to) = (random.below(12), random.below(12));
            match random.below(4) {
                0 | 1 => {
                    let reply = client.raw(&format!("RENAMENX place:{from} place:{to}"));
                    assert!([":0~", ":1~", "-ERR no such key~"].contains(&reply.as_str()), "{reply}");
                }
                2 => {
                    // In one snapshot there are exactly the four tokens.
                    let keys: Vec<String> = (0..12).map(|place| format!("place:{place}")).collect();
                    let values = client.value(&format!("MGET {}", keys.join(" "))).items();
                    let mut found: Vec<String> =
                        values.iter().filter(|value| **value != Value::Null).map(Value::text).collect();
                    found.sort();
                    assert_eq!(found, ["token0", "token1", "token2", "token3"]);
                }
                _ => {
                    // In a transaction KEYS sees one instant; by itself it shows every key that is there
                    // throughout.
                    client.check("MULTI", "+OK~");
                    client.check("KEYS place:*", "+QUEUED~");
                    let replies = client.value("EXEC").items();
                    assert_eq!(replies[0].clone().items().len(), 4);
                    client.check("KEYS oth*", "*1~$5~other~");
                }
            }
        }
    });
    first.check("DBSIZE", ":5~");
}

#[test]
fn members_moved_between_sets_stay_as_many() {
    let server = start();
    let mut first = server.client();
    for member in 0..60 {
        first.value(&format!("SADD s{} m{member}", member % 6));
    }
    at_once(&server, 6, |mut client, number| {
        let mut random = Random::new(200 + number);
        for _ in 0..500 {
            let (from, to, member) = (random.below(6), random.below(6), random.below(60));
            match random.below(5) {
                0..=2 => {
                    let moved = client.value(&format!("SMOVE s{from} s{to} m{member}"));
                    assert!(matches!(moved, Value::Int(0 | 1)), "{moved:?}");
                }
                3 => assert_eq!(client.value("SUNION s0 s1 s2 s3 s4 s5").items().len(), 60),
                _ => {
                    let stored =
                        client.value(&format!("SUNIONSTORE all{} s5 s4 s3 s2 s1 s0", random.below(3)));
                    assert_eq!(stored, Value::Int(60));
                }
            }
        }
    });
    let counts: i64 = (0..6).map(|set| first.value(&format!("SCARD s{set}")).int()).sum();
    assert_eq!(counts, 60);
}

#[test]
fn swapped_databases_are_swapped_whole() {
    let server = start();
    let mut first = server.client();
    for database in 0..2 {
        first.check(&format!("SELECT {database}"), "+OK~");
        first.check(&format!("MSET a {database} b {database} c {database}"), "+OK~");
    }
    at_once(&server, 6, |mut client, number| {
        let mut random = Random::new(300 + number);
        for _ in 0..500 {
            match random.below(6) {
                0 => client.check("SWAPDB 0 1", "+OK~"),
                1 => client.check(&format!("SELECT {}", random.below(2)), "+OK~"),
                2 => client.check("DBSIZE", ":3~"),
                3 => {
                    // A value goes from one database to the other only with all three keys.
                    let value = client.value("GET a").text();
                    assert!(value == "0" || value == "1", "{value}");
                }
                _ => {
                    let values = client.value("MGET c a b").texts();
                    assert!(values.iter().all(|value| *value == values[0]), "torn: {values:?}");
                }
            }
        }
    });
}

#[test]
fn counters_count_every_step() {
    let server = start();
    at_once(&server, 8, |mut client, number| {
        let mut random = Random::new(400 + number);
        let mut requests = Vec::new();
        for _ in 0..1000 {
            requests.extend_from_slice(&encode(&["INCR", &format!("n{}", random.below(5))]));
        }
        client.send(&requests);
        for _ in 0..1000 {
            assert!(matches!(client.read(), Value::Int(_)));
        }
    });
    let total: i64 = server
        .client()
        .value("MGET n0 n1 n2 n3 n4")
        .texts()
        .iter()
        .map(|text| text.parse::<i64>().expect("a number"))
        .sum();
    assert_eq!(total, 8000);
}

#[test]
fn one_of_many_wins() {
    let server = start();
    let winners = std::sync::atomic::AtomicUsize::new(0);
    at_once(&server, 8, |mut client, number| {
        for round in 0..100 {
            let (a, b) = if number % 2 == 0 { ("x", "y") } else { ("y", "x") };
            if client.value(&format!("MSETNX {a}{round} {number} {b}{round} {number}")) == Value::Int(1) {
                winners.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(winners.into_inner(), 100);
    let mut client = server.client();
    for round in 0..100 {
        let pair = client.value(&format!("MGET x{round} y{round}")).texts();
        assert_eq!(pair[0], pair[1]);
    }
}

#[test]
fn everything_at_once_ends() {
    let server = start();
    at_once(&server, 8, |mut client, number| {
        let mut random = Random::new(500 + number);
        for _ in 0..100 {
            let mut key = || format!("k{}", random.below(20));
            let (a, b, c, d) = (key(), key(), key(), key());
            let database = random.below(3);
            let mut commands = Vec::new();
            for _ in 0..1 + random.below(6) {
                commands.push(match random.below(24) {
                    0 => format!("MSET {a} 1 {b} 2 {c} 3 {d} 4"),
                    1 => format!("MSETNX {d} 1 {a} 2"),
                    2 => format!("MGET {d} {c} {b} {a}"),
                    3 => format!("RENAME {a} {b}"),
                    4 => format!("RENAMENX {b} {a}"),
                    5 => format!("COPY {a} {b} REPLACE"),
                    6 => format!("COPY {a} {b} DB {database} REPLACE"),
                    7 => format!("MOVE {a} {database}"),
                    8 => format!("DEL {a} {b} {c}"),
                    9 => format!("UNLINK {c} {b} {a}"),
                    10 => format!("EXISTS {a} {b} {c} {d}"),
                    11 => "FLUSHALL".to_owned(),
                    12 => "FLUSHDB ASYNC".to_owned(),
                    13 => format!("SWAPDB {database} {}", (database + 1) % 3),
                    14 => "KEYS *".to_owned(),
                    15 => "RANDOMKEY".to_owned(),
                    16 => "SCAN 0 COUNT 1000".to_owned(),
                    17 => "DBSIZE".to_owned(),
                    18 => format!("SELECT {database}"),
                    19 => "INFO everything".to_owned(),
                    20 => format!("SUNIONSTORE {a} {b} {c} {d}"),
                    21 => format!("SMOVE {a} {b} m"),
                    22 => format!("SADD {a} m n o"),
                    _ => format!("LCS {a} {b}"),
                });
            }
            for command in &commands {
                client.send_command(command);
            }
            for command in &commands {
                let reply = client.read();
                if let Value::Error(text) = &reply {
                    let expected = [
                        "ERR no such key",
                        "WRONGTYPE",
                        "ERR source and destination objects are the same",
                        "ERR unknown command",
                        "ERR The specified keys must contain string values",
                    ];
                    assert!(
                        expected.iter().any(|beginning| text.starts_with(beginning)),
                        "{command}: {text}"
                    );
                }
            }
        }
    });
    server.client().check("FLUSHALL", "+OK~");
    for database in 0..3 {
        let mut client = server.client();
        client.check(&format!("SELECT {database}"), "+OK~");
        client.check("DBSIZE", ":0~");
    }
}
