//! KVARTS BIGKEYS and KVARTS PREFIXES: sizes of keys that follow every change, without a walk.

use std::collections::BTreeMap;

use crate::harness::*;
use crate::prefixes::{exact, pipeline, request};
use crate::program::Program;

const ON: &[(&str, &str)] = &[("key-sizes", "yes")];

/// A key as KVARTS BIGKEYS shows it: key, database, type, bytes, elements.
type Big = (String, i64, String, i64, i64);

fn big_keys(client: &mut Client, arguments: &str, list: &str) -> Vec<Big> {
    let found = client.value(&format!("KVARTS BIGKEYS {arguments}")).field(list).items();
    let big = |key: &Value| {
        (
            key.field("key").text(),
            key.field("db").int(),
            key.field("type").text(),
            key.field("bytes").int(),
            key.field("elements").int(),
        )
    };
    found.iter().map(big).collect()
}

/// Keys and bytes by prefix, as KVARTS PREFIXES shows them, without those of which keys have only expired.
fn prefixes(client: &mut Client, arguments: &str) -> BTreeMap<String, (i64, i64)> {
    let found = client.value(&format!("KVARTS PREFIXES {arguments}")).items();
    let of = |row: &Value| (row.field("prefix").text(), (row.field("keys").int(), row.field("bytes").int()));
    found.iter().map(of).filter(|(_, (keys, _))| *keys > 0).collect()
}

/// The same, by walking through all keys of the selected database.
fn walked(client: &mut Client, depth: usize) -> BTreeMap<String, (i64, i64)> {
    let mut all = BTreeMap::new();
    for key in client.value("KEYS *").texts() {
        let prefix: String =
            key.split_inclusive(':').take(depth).filter(|part| part.ends_with(':')).collect();
        let bytes = client.call(&["MEMORY", "USAGE", &key]).int();
        let (keys, sum) = all.entry(prefix).or_insert((0, 0));
        *keys += 1;
        *sum += bytes;
    }
    all
}

#[test]
fn what_the_two_answer() {
    let server = TestServer::with(ON);
    let mut client = server.client();
    client.check("KVARTS PREFIXES", "*0~");
    let empty = "*8~$8~by-bytes~*0~$11~by-elements~*0~$20~complete-above-bytes~:1024~$23~complete-above-elements~:64~";
    client.check("KVARTS BIGKEYS", empty);
    client.check("SET user:1:name Ann", "+OK~");
    client.check("RPUSH user:1:list a b c", ":3~");
    client.check("SET plain v", "+OK~");
    let bytes = |client: &mut Client, key: &str| client.value(&format!("MEMORY USAGE {key}")).int();
    let (name, list, plain) =
        (bytes(&mut client, "user:1:name"), bytes(&mut client, "user:1:list"), bytes(&mut client, "plain"));
    let rows = |user: &str| {
        format!(
            "$6~prefix~${}~{user}~$4~keys~:2~$10~keys-error~:0~$5~bytes~:{}~$11~bytes-error~:0~",
            user.len(),
            name + list
        )
    };
    let reply = client.raw("KVARTS PREFIXES");
    assert!(reply.starts_with(&format!("*2~*14~{}", rows("user:"))), "{reply}");
    assert!(reply.contains(&format!("*14~$6~prefix~$0~~$4~keys~:1~$10~keys-error~:0~$5~bytes~:{plain}~")));
    assert!(client.raw("KVARTS PREFIXES DEPTH 2").starts_with(&format!("*2~*14~{}", rows("user:1:"))));
    assert!(client.raw("KVARTS PREFIXES SEPARATOR e").contains("$6~prefix~$3~use~"));
    assert!(client.raw("KVARTS PREFIXES COUNT 1").starts_with("*1~"));
    let mut third = server.client3();
    assert!(third.raw("KVARTS PREFIXES").starts_with(&format!("*2~%7~{}", rows("user:"))));
    assert!(third.raw("KVARTS BIGKEYS").starts_with("%4~$8~by-bytes~*3~%5~$3~key~"));
    let found = big_keys(&mut client, "TYPE list", "by-elements");
    assert_eq!(found, [("user:1:list".to_owned(), 0, "list".to_owned(), list, 3)]);
    for (wrong, error) in [
        ("BIGKEYS COUNT 0", "-ERR COUNT must be between 1 and 1000~"),
        ("BIGKEYS COUNT 1001", "-ERR COUNT must be between 1 and 1000~"),
        ("BIGKEYS COUNT", "-ERR syntax error~"),
        ("BIGKEYS TYPE x", "-ERR unknown type name 'x'~"),
        ("BIGKEYS X 1", "-ERR syntax error~"),
        ("PREFIXES DEPTH 0", "-ERR DEPTH must be between 1 and 16~"),
        ("PREFIXES DEPTH x", "-ERR DEPTH must be between 1 and 16~"),
        ("PREFIXES COUNT 10001", "-ERR COUNT must be between 1 and 10000~"),
        ("PREFIXES SEPARATOR", "-ERR syntax error~"),
        ("PREFIXES SEPARATOR \"\"", "-ERR SEPARATOR must not be empty~"),
    ] {
        client.check(&format!("KVARTS {wrong}"), error);
    }
    client.check("MULTI", "+OK~");
    client.check("SET user:2:name Bob", "+QUEUED~");
    client.check("KVARTS PREFIXES", "+QUEUED~");
    assert!(client.raw("EXEC").contains("$4~keys~:3~"));
    TestServer::start().client().check(
        "KVARTS PREFIXES",
        "-ERR sizes of keys are not kept: CONFIG SET key-sizes yes has the server keep them~",
    );
}

/// After any commands, what is told is what a walk through all keys finds: keys, bytes, elements.
#[test]
fn sizes_follow_every_change() {
    let pairs: &[_] = &[("transaction-rollback", "yes"), ("enable-debug-command", "yes")];
    let server = TestServer::with(&[ON, pairs].concat());
    let mut client = server.client();
    let mut rng = fastrand::Rng::with_seed(23);
    for round in 0..60 {
        let mut requests = Vec::new();
        let mut count = 0;
        for _ in 0..40 {
            let key = |rng: &mut fastrand::Rng| format!("{}:{}:k", rng.char('a'..'d'), rng.u8(..4));
            let (first, second) = (key(&mut rng), key(&mut rng));
            let many = "x".repeat(rng.usize(..3000));
            let line = match rng.u8(..26) {
                0..4 => format!("SET {first} {many}y"),
                4 => format!("SET {first} 12"),
                5 => format!("DEL {first}"),
                6 => format!("RENAME {first} {second}"),
                7 => format!("COPY {first} {second} REPLACE"),
                8 => format!("APPEND {first} {many}"),
                9 => format!("SETRANGE {first} 500 {many}"),
                10 | 11 => format!("RPUSH {first} {many}a b c d e f"),
                12 => format!("LPOP {first} 3"),
                13 | 14 => format!("HSET {first} {} {many} g h", rng.u8(..20)),
                15 => format!("HDEL {first} {} g", rng.u8(..20)),
                16 => format!("SADD {first} {} {}", rng.u16(..90), rng.u8(..)),
                17 => format!("ZADD {first} 1 {} 2 {}", rng.u8(..40), rng.u8(..40)),
                18 => format!("XADD {first} * f {many}"),
                19 => format!("EXPIRE {first} {}", rng.u8(1..9)),
                20 => format!("MOVE {first} 1"),
                21 => format!("SUNIONSTORE {first} {second}"),
                22 => format!(
                    "EVAL \"redis.call('set', KEYS[1], ARGV[1]) return redis.call('incr', KEYS[2])\" 2 {first} {second} {many}"
                ),
                23 => "MULTI ATOMIC".to_owned(),
                24 => "EXEC".to_owned(),
                _ => format!("HPEXPIRE {first} 3000 FIELDS 1 g"),
            };
            requests.extend(encode(&crate::wire::words(&line)));
            count += 1;
        }
        requests.extend(encode(&["DISCARD"]));
        client.send(&requests);
        (0..=count).for_each(|_| drop(client.read_raw()));
        match round % 12 {
            3 => server.advance_ms(4000),
            5 => client.check("SWAPDB 0 1", "+OK~"),
            7 => client.check("FLUSHDB", "+OK~"),
            9 => client.check("DEBUG RELOAD", "+OK~"),
            11 => client.check("FLUSHALL", "+OK~"),
            _ => {}
        }
        for database in [1, 0] {
            client.check(&format!("SELECT {database}"), "+OK~");
            for depth in [1, 2] {
                assert_eq!(
                    prefixes(&mut client, &format!("DEPTH {depth}")),
                    walked(&mut client, depth),
                    "{round}"
                );
            }
        }
        for (key, database, type_name, bytes, elements) in big_keys(&mut client, "COUNT 100", "by-elements") {
            client.check(&format!("SELECT {database}"), "+OK~");
            assert_eq!(client.value(&format!("TYPE {key}")).text(), type_name);
            assert_eq!(client.value(&format!("MEMORY USAGE {key}")).int(), bytes, "{key}");
            let length = match type_name.as_str() {
                "list" => "LLEN",
                "hash" => "HLEN",
                "set" => "SCARD",
                "zset" => "ZCARD",
                _ => continue,
            };
            assert_eq!(client.value(&format!("{length} {key}")).int(), elements, "{key}");
        }
        client.check("SELECT 0", "+OK~");
    }
}

/// A collection that grows beyond what is measured at each change is measured for whoever asks.
#[test]
fn big_collections_are_known() {
    let server = TestServer::with(ON);
    let mut client = server.client();
    for number in 0..300 {
        let values: Vec<String> = (0..50).map(|value| format!("{number}-{value}")).collect();
        let mut words = vec!["RPUSH".to_owned(), "l".to_owned()];
        words.extend(values);
        client.call(&words);
    }
    let (_, _, _, bytes, elements) = big_keys(&mut client, "", "by-bytes")[0].clone();
    let exact = client.value("MEMORY USAGE l").int();
    assert_eq!((bytes, elements), (exact, 15_000));
    client.check("LTRIM l 0 9", "+OK~");
    let exact = client.value("MEMORY USAGE l").int();
    assert_eq!(big_keys(&mut client, "", "by-bytes"), [("l".to_owned(), 0, "list".to_owned(), exact, 10)]);
}

#[test]
fn keys_that_are_loaded_evicted_or_expire() {
    let dir = {
        let server = TestServer::with(&[("appendonly", "yes")]);
        let mut client = server.client();
        for number in 0..50 {
            client.check(&format!("SET a:{number} v"), "+OK~");
        }
        client.check("SAVE", "+OK~");
        server.stop_and_keep()
    };
    let pairs = [ON, &[("appendonly", "yes"), ("maxmemory-policy", "allkeys-lru")]].concat();
    let server =
        TestServer::try_with(&pairs, kvarts::shared::clock::Clock::manual(START_MS), dir).expect("it starts");
    let mut client = server.client();
    let before = walked(&mut client, 1);
    assert_eq!((before["a:"].0, prefixes(&mut client, "")), (50, before));
    for number in 0..30 {
        client.check(&format!("SET e:{number} v PX 1000"), "+OK~");
    }
    server.advance_ms(2000);
    let found = client.value("KVARTS PREFIXES").items();
    let row = found.iter().find(|row| row.field("prefix").text() == "e:").expect("they are remembered");
    assert_eq!((row.field("keys").int(), row.field("expired-per-second").int()), (0, 3));
    client.check("CONFIG SET maxmemory 1", "+OK~");
    eventually("all are evicted", || client.value("DBSIZE").int() == 0);
    assert_eq!(prefixes(&mut client, ""), BTreeMap::new());
}

/// All accesses are told where there are few, whatever share is asked for.
#[test]
fn accesses_by_prefix() {
    for percentage in ["100", "1"] {
        let server = TestServer::with(&[ON, &[("hotkeys-sampling-percentage", percentage)]].concat());
        let mut client = server.client();
        client.send(&[encode(&["GET", "a:1"]).repeat(200), encode(&["GET", "b:1"]).repeat(100)].concat());
        (0..300).for_each(|_| client.check_next("$-1~"));
        let accesses = |client: &mut Client| -> BTreeMap<String, i64> {
            let found = client.value("KVARTS PREFIXES").items();
            let of = |row: &Value| (row.field("prefix").text(), row.field("accesses-per-second").int());
            found.iter().map(of).collect()
        };
        let expected = [("a:".to_owned(), 20), ("b:".to_owned(), 10)];
        assert_eq!(accesses(&mut client), expected.into_iter().collect());
        server.advance_ms(10_000);
        assert_eq!(accesses(&mut client), BTreeMap::new());
    }
}

/// A million keys with a prefix each take a few megabytes more than without.
#[test]
fn a_million_prefixes() {
    const KEYS: u64 = 1_000_000;
    let used = |program: &Program| {
        let mut client = program.client();
        let step = 10_000;
        for first in (0..KEYS).step_by(step) {
            let mut words = vec!["MSET".to_owned()];
            words.extend(
                (first..first + step as u64).flat_map(|number| [format!("{number}:k"), "v".to_owned()]),
            );
            client.call(&words);
        }
        assert_eq!(client.value("DBSIZE").int(), KEYS as i64);
        info(&mut client, "used_memory").parse::<u64>().expect("a number")
    };
    let without = used(&Program::start(&[]));
    let program = Program::start(&["--key-sizes", "yes"]);
    let with = used(&program);
    assert!(with < without + (24 << 20), "{with} {without}");
    let mut client = program.client();
    let found = client.value("KVARTS PREFIXES SEPARATOR k DEPTH 1 COUNT 10000").items();
    assert_eq!(found.len(), 10_000);
    let all = client.value("KVARTS PREFIXES SEPARATOR none").items()[0].clone();
    let (keys, error) = (all.field("keys").int(), all.field("keys-error").int());
    assert!(error > 0 && (keys - KEYS as i64).abs() < 5 * error, "{keys} {error}");
}

/// What makes keys of one kind: how many, and the words that make a key of this number.
type Kind = (&'static str, usize, fn(usize) -> Vec<String>);

/// A request with many elements, made of their numbers.
fn with_many(words: &[&str], count: usize, element: impl Fn(usize) -> Vec<String>) -> Vec<String> {
    [request(words), (0..count).flat_map(element).collect()].concat()
}

fn name(number: usize) -> String {
    format!("key:{number:07}")
}

const KINDS: [Kind; 19] = [
    ("strings of 10 bytes", 20_000, |number| request(&["SET", &name(number), &"v".repeat(10)])),
    ("strings of 100 bytes", 20_000, |number| request(&["SET", &name(number), &"v".repeat(100)])),
    ("strings of 1000 bytes", 10_000, |number| request(&["SET", &name(number), &"v".repeat(1000)])),
    ("strings of 3000 bytes", 4_000, |number| request(&["SET", &name(number), &"v".repeat(3000)])),
    ("numbers", 20_000, |number| request(&["SET", &name(number), &number.to_string()])),
    ("strings that end", 20_000, |number| {
        request(&["SET", &name(number), &"v".repeat(10), "EX", &(1000 + number).to_string()])
    }),
    ("few keys", 500, |number| request(&["SET", &name(number), &"v".repeat(1000)])),
    ("small hashes", 10_000, |number| {
        with_many(&["HSET", &name(number)], 10, |field| {
            vec![format!("field:{field}"), format!("{field}{number}")]
        })
    }),
    ("large hashes", 300, |number| {
        with_many(&["HSET", &name(number)], 700, |field| {
            vec![format!("field:{field}"), "x".repeat(field % 200)]
        })
    }),
    ("sets of numbers", 10_000, |number| {
        with_many(&["SADD", &name(number)], 30, |member| vec![(member * number).to_string()])
    }),
    ("large sets", 300, |number| {
        with_many(&["SADD", &name(number)], 1000, |member| vec![format!("member:{member}:{number}")])
    }),
    ("small sorted sets", 10_000, |number| {
        with_many(&["ZADD", &name(number)], 10, |member| vec![member.to_string(), format!("member:{member}")])
    }),
    ("large sorted sets", 300, |number| {
        with_many(&["ZADD", &name(number)], 1000, |member| {
            vec![(member * number % 1000).to_string(), format!("member:{member}")]
        })
    }),
    ("short lists", 10_000, |number| {
        with_many(&["RPUSH", &name(number)], 10, |element| vec![format!("element:{element}")])
    }),
    ("long lists", 300, |number| {
        with_many(&["RPUSH", &name(number)], 2000, |element| vec![format!("element:{element}")])
    }),
    ("streams", 20_000, |number| {
        request(&[
            "XADD",
            &name(number % 200),
            "*",
            "field",
            &number.to_string(),
            "other",
            &"x".repeat(number % 90),
        ])
    }),
    ("streams with groups", 20_400, |number| match (&name(number / 102), number % 102) {
        (key, 100) => request(&["XGROUP", "CREATE", key, "group", "0"]),
        (key, 101) => {
            request(&["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "100", "STREAMS", key, ">"])
        }
        (key, _) => request(&["XADD", key, "*", "field", &number.to_string()]),
    }),
    ("hashes of which fields end", 10_000, |number| match &name(number / 2) {
        key if number % 2 == 0 => {
            with_many(&["HSET", key], 20, |field| vec![field.to_string(), "x".repeat(20)])
        }
        key => with_many(&["HEXPIRE", key, "1000", "FIELDS", "20"], 20, |field| vec![field.to_string()]),
    }),
    ("sets of which members end", 10_000, |number| {
        with_many(&["SADDEX", &name(number), "1000"], 20, |member| vec![member.to_string()])
    }),
];

/// What is told of keys, one by one and by prefix, adds up to what they make the memory grow by: of keys of a thousand
/// bytes a fifth was missing, as of all sizes between two of the allocator's, and of a few keys most of the table.
#[test]
fn figures_by_key_add_up() {
    let now = |client: &mut Client| info(client, "used_memory").parse::<i64>().expect("a number");
    // What a client had that has left may be freed a moment later.
    let used = |client: &mut Client| {
        let mut known = [0; 3];
        eventually("nothing is being freed", || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            known = [known[1], known[2], now(client)];
            known.iter().all(|bytes| bytes.abs_diff(known[2]) < 1_000)
        });
        known[2]
    };
    let programs = [Program::start(&[]), Program::start(&["--key-sizes", "yes"])];
    let mut clients = programs.each_ref().map(Program::client);
    // By a client of its own, whose buffers go with it.
    let fill = |which: usize, asking: &mut Client, requests: &[Vec<String>]| {
        pipeline(&mut programs[which].client(), requests);
        eventually("the client has left", || info(asking, "connected_clients") == "1");
    };
    for (kind, count, make) in KINDS {
        let requests: Vec<_> = (0..count).map(make).collect();
        for (which, client) in clients.iter_mut().enumerate() {
            client.check("FLUSHALL SYNC", "+OK~");
            // What threads keep between two requests is there.
            fill(which, client, &requests[..count.min(4_000)]);
            client.check("FLUSHALL SYNC", "+OK~");
        }
        let [plain, measured] = &mut clients;
        let before = used(plain);
        fill(0, plain, &requests);
        let grown = used(plain) - before;
        fill(1, measured, &requests);
        let told = prefixes(measured, "")["key:"];
        assert_eq!(exact(measured)["key:"], told, "{kind}");
        let ratio = told.1 as f64 / grown as f64;
        println!("{kind}: {grown} bytes for {} keys, {} told ({ratio:.3})", told.0, told.1);
        assert!((0.93..1.07).contains(&ratio), "{kind}: {grown} bytes, {} told", told.1);
    }
}

/// Switched on while there are keys, sizes are gathered in the background, and nothing is told before all are known;
/// switched off they take no memory. One slot has more keys than are looked at in one go.
#[test]
fn key_sizes_are_switched_at_run_time() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    let keyspace = &server.handle().server().keyspace;
    let sizes = &keyspace.sizes;
    // Of two with one fingerprint one is known.
    let mut seen = std::collections::HashSet::new();
    let tagged = (0..).map(|number| format!("t:{{tag}}{number}"));
    let tagged: Vec<String> = tagged
        .filter(|key| seen.insert(keyspace.hasher().fingerprint(key.as_bytes())))
        .take(30_000)
        .collect();
    let filled = tagged.iter().take(20_000).map(|key| request(&["SET", key, "v"]));
    let spread =
        (0..10_000).map(|number| request(&["SADD", &format!("s:{number}"), "a", "b", &name(number)]));
    pipeline(&mut client, &filled.chain(spread).collect::<Vec<_>>());
    client.check("SELECT 2", "+OK~");
    client.check("RPUSH list a b c", ":3~");
    client.check("SELECT 0", "+OK~");
    let mut rng = fastrand::Rng::with_seed(61);
    for round in 0..4 {
        client.check("CONFIG SET key-sizes yes", "+OK~");
        // Keys come, change and go meanwhile.
        let changes: Vec<_> = (0..6_000)
            .map(|_| match rng.u16(..500) {
                499 => request(&["KVARTS", "BIGKEYS", "COUNT", "1"]),
                0..100 => request(&["SET", &tagged[rng.usize(..tagged.len())], &"v".repeat(rng.usize(..50))]),
                100..200 => request(&["DEL", &tagged[rng.usize(..tagged.len())]]),
                200..300 => request(&["SADD", &format!("s:{}", rng.u16(..12_000)), &rng.u8(..).to_string()]),
                300..400 => request(&["EXPIRE", &format!("s:{}", rng.u16(..12_000)), "1000"]),
                _ => request(&["DEL", &format!("s:{}", rng.u16(..12_000))]),
            })
            .collect();
        for reply in pipeline(&mut other, &changes) {
            let text = format!("{reply:?}");
            assert!(
                !text.contains("ERR") || text.contains("ERR sizes of keys are not known yet: "),
                "{text}"
            );
        }
        eventually("all are known", || sizes.are_known());
        assert!(crate::prefixes::is_exact(&mut client), "{round}");
        client.check("SELECT 2", "+OK~");
        assert!(crate::prefixes::is_exact(&mut client), "{round}");
        client.check("SELECT 0", "+OK~");
        client.check("CONFIG SET key-sizes no", "+OK~");
        let not_kept = "-ERR sizes of keys are not kept: CONFIG SET key-sizes yes has the server keep them~";
        client.check("KVARTS BIGKEYS", not_kept);
        client.check("KVARTS PREFIXES", not_kept);
        if round % 2 == 0 {
            eventually("they are forgotten", || !sizes.is_on());
            client.check("SET other v", "+OK~");
            assert_eq!(sizes.memory_bytes(), 0);
        }
    }
    eventually("they are forgotten", || !sizes.is_on());
    client.check("MULTI", "+OK~");
    client.check("CONFIG SET key-sizes yes", "+QUEUED~");
    client.check("KVARTS PREFIXES", "+QUEUED~");
    let replies = client.value("EXEC").items();
    assert!(format!("{:?}", replies[1]).contains("ERR sizes of keys are not known yet: "), "{replies:?}");
    eventually("all are known", || sizes.are_known());
    assert!(crate::prefixes::is_exact(&mut client));
}

/// What is known of keys takes memory, which is no part of the data, and is given back with the keys.
#[test]
fn what_is_known_is_overhead() {
    let (with, without) = (TestServer::with(ON), TestServer::start());
    let fill = |server: &TestServer| {
        let mut client = server.client();
        let keys: Vec<String> = (0..20_000).map(|number| format!("key:{number}")).collect();
        for some in keys.chunks(1_000) {
            let words = some.iter().flat_map(|key| [key.as_str(), "v"]);
            client.call(&std::iter::once("MSET").chain(words).collect::<Vec<_>>());
        }
        client
    };
    let info = |client: &mut Client, name: &str| -> i64 {
        let text = client.raw("INFO memory");
        let (_, rest) = text.split_once(&format!("{name}:")).expect("a field");
        rest.split(['\r', '~']).next().expect("a number").parse().expect("a number")
    };
    let (mut first, mut second) = (fill(&with), fill(&without));
    let known = with.handle().server().keyspace.sizes.memory_bytes() as i64;
    assert!((20_000 * 100..20_000 * 400).contains(&known), "{known}");
    let tables = |client: &mut Client| {
        let stats = client.value("MEMORY STATS");
        let [total, startup, tables, clients, scripts, functions] = [
            "overhead.total",
            "startup.allocated",
            "overhead.db.hashtable.lut",
            "clients.normal",
            "lua.caches",
            "functions.caches",
        ]
        .map(|name| stats.field(name).int());
        total - startup - tables - clients - scripts - functions
    };
    assert_eq!((tables(&mut first), tables(&mut second)), (known, 0));
    let beside =
        |client: &mut Client| info(client, "used_memory_overhead") - info(client, "used_memory_startup");
    let (with_sizes, plain) = (beside(&mut first), beside(&mut second));
    assert!((with_sizes - plain - known).abs() < plain / 2, "{with_sizes} {plain} {known}");
    first.check("FLUSHALL", "+OK~");
    assert_eq!(with.handle().server().keyspace.sizes.memory_bytes(), 0);
}
