//! KVARTS PREFIXES and BIGKEYS against exact counts: heavy tails, more keys than are sampled, all commands that
//! write.

use std::collections::BTreeMap;

use crate::differential_words::{self, Words};
use crate::harness::*;
use crate::program::Program;

const ON: &[(&str, &str)] = &[("key-sizes", "yes"), ("enable-debug-command", "yes")];

/// Requests of one write.
const STEP: usize = 2000;

/// Sends all requests and returns the replies.
pub fn pipeline(client: &mut Client, requests: &[Vec<String>]) -> Vec<Value> {
    let mut replies = Vec::with_capacity(requests.len());
    for some in requests.chunks(STEP) {
        client.send(&some.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>());
        replies.extend(some.iter().map(|_| client.read()));
    }
    replies
}

pub fn request(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Keys and bytes.
pub type Both = (i64, i64);

/// Keys and bytes by prefix up to the first colon, by walking through all keys of the selected database.
pub fn exact(client: &mut Client) -> BTreeMap<String, Both> {
    let keys = client.value("KEYS *").texts();
    let asked: Vec<_> = keys.iter().map(|key| request(&["MEMORY", "USAGE", key])).collect();
    let mut all = BTreeMap::new();
    for (key, bytes) in keys.iter().zip(pipeline(client, &asked)) {
        let prefix = key.split_inclusive(':').next().filter(|part| part.ends_with(':')).unwrap_or("");
        let (keys, sum): &mut Both = all.entry(prefix.to_owned()).or_default();
        *keys += 1;
        *sum += bytes.int();
    }
    all
}

/// The same as KVARTS PREFIXES tells it, with the standard errors behind.
fn told(client: &mut Client) -> BTreeMap<String, (Both, Both)> {
    let rows = client.value("KVARTS PREFIXES COUNT 10000").items();
    let number = |row: &Value, name: &str| row.field(name).int();
    let of = |row: &Value| {
        let sums = (number(row, "keys"), number(row, "bytes"));
        (row.field("prefix").text(), (sums, (number(row, "keys-error"), number(row, "bytes-error"))))
    };
    rows.iter().map(of).filter(|(_, ((keys, _), _))| *keys > 0).collect()
}

/// Checks that what is told is what there is, within four and a half standard errors. Returns the largest of
/// them as a part of all bytes.
pub fn check(client: &mut Client, what: &str) -> f64 {
    let (exact, told) = (exact(client), told(client));
    let names = |all: Vec<&String>| all.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(exact.keys().collect()), names(told.keys().collect()), "{what}");
    let all: i64 = exact.values().map(|(_, bytes)| bytes).sum();
    let mut worst = 0_i64;
    for (prefix, (keys, bytes)) in &exact {
        let ((told_keys, told_bytes), (keys_error, bytes_error)) = told[prefix];
        let is_near = |told: i64, exact: i64, error: i64| (told - exact).abs() * 2 <= error * 9;
        assert!(
            is_near(told_keys, *keys, keys_error) && is_near(told_bytes, *bytes, bytes_error),
            "{what}: {prefix} has {keys} keys with {bytes} bytes, and not {:?}",
            told[prefix]
        );
        worst = worst.max(bytes_error);
    }
    worst as f64 / all.max(1) as f64
}

pub fn is_exact(client: &mut Client) -> bool {
    let (exact, told) = (exact(client), told(client));
    told == exact.into_iter().map(|(prefix, sums)| (prefix, (sums, (0, 0)))).collect()
}

/// Keys like those of a service: many small ones, sizes by Zipf's law, ten large ones under one prefix, and a
/// giant among small ones.
pub fn fill(client: &mut Client, small: usize) {
    let mut rng = fastrand::Rng::with_seed(12);
    let mut requests = Vec::new();
    for number in 0..small {
        requests.push(request(&["SET", &format!("small:{number}"), "v"]));
    }
    for number in 0..20_000 {
        let size = (30.0 / (rng.f64() + 2e-4)) as usize;
        requests.push(request(&["SET", &format!("zipf:{number}"), &"z".repeat(size)]));
    }
    for number in 0..10 {
        requests.push(request(&["SET", &format!("ten:{number}"), &"t".repeat(1_000_000)]));
    }
    for number in 0..3000 {
        requests.push(request(&["SET", &format!("giant:{number}"), "g"]));
    }
    requests.push(request(&["SETRANGE", "giant:all", "60000000", "!"]));
    let many: Vec<String> = (0..3000).map(|number| format!("element {number}")).collect();
    requests.push([request(&["RPUSH", "list:one"]), many.clone()].concat());
    requests.push([request(&["SADD", "set:one"]), many].concat());
    rng.shuffle(&mut requests);
    pipeline(client, &requests);
}

/// The largest keys were left out or counted many times over beyond the sample.
#[test]
fn heavy_tails_in_several_databases() {
    let server = TestServer::with(ON);
    let mut client = server.client();
    fill(&mut client, 90_000);
    let error = check(&mut client, "filled");
    assert!(error > 0.0 && error < 0.02, "{error}");
    client.check("SELECT 3", "+OK~");
    fill(&mut client, 20_000);
    for database in [3, 0] {
        client.check(&format!("SELECT {database}"), "+OK~");
        let error = check(&mut client, "two databases");
        assert!(error < 0.02, "{error}");
    }
    client.check("SWAPDB 0 3", "+OK~");
    check(&mut client, "swapped");
    client.check("RENAME giant:all ten:giant", "+OK~");
    client.check("COPY ten:1 copied:1", ":1~");
    client.check("MOVE ten:2 3", ":0~");
    client.check("MOVE ten:giant 3", ":1~");
    check(&mut client, "renamed");
    let due: Vec<_> =
        (0..15_000).map(|number| request(&["PEXPIRE", &format!("small:{number}"), "10"])).collect();
    pipeline(&mut client, &due);
    server.advance_ms(20);
    check(&mut client, "expired");
    client.check("SELECT 3", "+OK~");
    check(&mut client, "moved");
    client.check("FLUSHDB", "+OK~");
    check(&mut client, "emptied");
    client.check("SELECT 0", "+OK~");
    // 28,000 keys are left of 140,000.
    eventually("a walk has all of them known", || is_exact(&mut client));
    client.check("DEBUG RELOAD", "+OK~");
    eventually("and another one after both were there", || is_exact(&mut client));
    client.check("FLUSHALL", "+OK~");
    eventually("nothing is known of what has gone", || {
        client.raw("KVARTS BIGKEYS").contains("-bytes~:1024~")
    });
    fill(&mut client, 30_000);
    assert!(is_exact(&mut client));
}

/// Sizes of a server that evicts.
#[test]
fn after_eviction() {
    let program = Program::start(&[
        "--key-sizes",
        "yes",
        "--maxmemory",
        "60mb",
        "--maxmemory-policy",
        "allkeys-random",
    ]);
    let mut client = program.client();
    let mut rng = fastrand::Rng::with_seed(3);
    let sets: Vec<_> = (0..130_000)
        .map(|number| {
            let bytes = if number % 1000 == 0 { 50_000 } else { rng.usize(1..900) };
            request(&["SET", &format!("{}:{number}", number % 3), &"v".repeat(bytes)])
        })
        .collect();
    pipeline(&mut client, &sets);
    assert!(client.value("DBSIZE").int() < 120_000);
    client.check("CONFIG SET maxmemory 0", "+OK~");
    check(&mut client, "evicted");
}

/// A request that makes a collection long, or changes the size of its elements and not their number.
fn lengthen(words: &mut Words) -> Vec<String> {
    let (key, from) = (words.key(), words.0.usize(..300));
    let some = |each: fn(usize) -> Vec<String>| (from..from + 200).flat_map(each).collect::<Vec<_>>();
    let element = |number: usize| vec![format!("element {number}")];
    let large = "x".repeat(words.0.usize(1..20_000));
    let (command, rest) = match words.0.u8(..12) {
        0 | 1 => ("RPUSH", some(element)),
        2 => ("SADD", some(element)),
        3 => ("ZADD", some(|number| vec![number.to_string(), format!("member {number}")])),
        4 => ("HSET", some(|number| vec![format!("field {number}"), "v".repeat(number)])),
        5 | 6 => {
            ("XADD", [request(&["*"]), some(|number| vec![format!("f{number}"), "v".to_owned()])].concat())
        }
        7 => ("LSET", vec![words.0.usize(..100).to_string(), large]),
        8 => ("HSET", vec!["field 200".to_owned(), large]),
        9 => ("LPUSH", vec![large]),
        10 => ("XTRIM", request(&["MAXLEN", &words.0.usize(..30).to_string()])),
        _ => ("DEL", Vec::new()),
    };
    [vec![command.to_owned(), key], rest].concat()
}

/// After any commands, bytes are what MEMORY USAGE says, and elements what the type's own command counts: those
/// of streams were more, and bytes of collections with elements of many sizes anything.
#[test]
fn sizes_follow_all_commands_that_write() {
    let generators: [differential_words::Generator; 12] = [
        differential_words::string,
        differential_words::generic,
        differential_words::set,
        differential_words::hash,
        differential_words::list,
        differential_words::sorted_set,
        differential_words::bitmap,
        differential_words::hyperloglog,
        differential_words::geo,
        differential_words::stream,
        lengthen,
        lengthen,
    ];
    let server = TestServer::with(ON);
    let mut client = server.client();
    let mut words = Words(fastrand::Rng::with_seed(50));
    for round in 0..150 {
        let generator = generators[words.0.usize(..generators.len())];
        let mut requests = Vec::new();
        let in_transaction = words.0.u8(..3) == 0;
        if in_transaction {
            requests.push(request(&["MULTI"]));
        }
        for _ in 0..40 {
            let generator = if words.0.bool() { generator } else { lengthen };
            requests.push(generator(&mut words));
        }
        if in_transaction {
            requests.push(request(&["KVARTS", "BIGKEYS"]));
            requests.push(request(&["EXEC"]));
        }
        requests.push(request(&["SELECT", "0"]));
        pipeline(&mut client, &requests);
        if round % 10 == 9 {
            server.advance_ms(1500);
        }
        check_all(&mut client, round);
    }
}

pub fn check_all(client: &mut Client, round: u32) {
    assert!(is_exact(client), "{round}: {:?} and not {:?}", told(client), exact(client));
    let big = client.value("KVARTS BIGKEYS COUNT 100");
    for key in [big.field("by-bytes").items(), big.field("by-elements").items()].concat() {
        let (name, kind) = (key.field("key").text(), key.field("type").text());
        client.check(&format!("SELECT {}", key.field("db").int()), "+OK~");
        let bytes = client.call(&["MEMORY", "USAGE", &name, "SAMPLES", "0"]).int();
        let counts = match kind.as_str() {
            "list" => "LLEN",
            "hash" => "HLEN",
            "set" => "SCARD",
            "zset" => "ZCARD",
            "stream" => "XLEN",
            _ => "EXISTS",
        };
        let elements = client.call(&[counts, &name]).int();
        let told = (key.field("bytes").int(), key.field("elements").int());
        assert_eq!(told, (bytes, elements), "{round}: {kind} {name}");
    }
    client.check("SELECT 0", "+OK~");
}

/// XADD, XTRIM and XDEL: 3,031 elements were shown of 3,000.
#[test]
fn elements_of_streams() {
    let server = TestServer::with(ON);
    let mut client = server.client();
    let adds: Vec<_> = (1..=4000)
        .map(|id| request(&["XADD", "s", &format!("{id}-0"), "field", &"v".repeat(id % 90)]))
        .collect();
    pipeline(&mut client, &adds);
    client.check("XGROUP CREATE s g 0", "+OK~");
    client.value("XREADGROUP GROUP g me COUNT 900 STREAMS s >");
    client.check("XTRIM s MAXLEN 3300", ":700~");
    let deletes: Vec<_> =
        (1..=300).map(|number| request(&["XDEL", "s", &format!("{}-0", 700 + 3 * number)])).collect();
    pipeline(&mut client, &deletes);
    client.check("XLEN s", ":3000~");
    let bytes = client.value("MEMORY USAGE s SAMPLES 0").int();
    let key = format!("*1~*10~$3~key~$1~s~$2~db~:0~$4~type~$6~stream~$5~bytes~:{bytes}~$8~elements~:3000~");
    let raw = client.raw("KVARTS BIGKEYS");
    assert!(raw.starts_with(&format!("*8~$8~by-bytes~{key}$11~by-elements~{key}")), "{raw}");
}

/// One element of fifty megabytes among ten thousand small ones, which stay as many.
#[test]
fn bytes_of_long_lists() {
    let server = TestServer::with(ON);
    let mut client = server.client();
    let pushes: Vec<_> = (0..10_000).map(|number| request(&["RPUSH", "l", &number.to_string()])).collect();
    pipeline(&mut client, &pushes);
    client.call(&["LSET", "l", "5000", &"x".repeat(50_000_000)]);
    let bytes = client.value("MEMORY USAGE l").int();
    assert!(bytes > 50_000_000);
    let of = |client: &mut Client| {
        let big = client.value("KVARTS BIGKEYS").field("by-bytes").items()[0].clone();
        (big.field("bytes").int(), big.field("elements").int())
    };
    assert_eq!(of(&mut client), (bytes, 10_000));
    client.check("MULTI", "+OK~");
    client.check("LSET l 5000 small", "+QUEUED~");
    client.check("KVARTS BIGKEYS", "+QUEUED~");
    let replies = client.value("EXEC").items();
    let bytes = client.value("MEMORY USAGE l").int();
    assert_eq!(replies[1].field("by-bytes").items()[0].field("bytes").int(), bytes);
    assert!(bytes < 200_000);
}
