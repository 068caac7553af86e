//! `maxmemory`. Memory is of a process, so these tests start the program itself: in this process other tests'
//! servers take memory, too.

use crate::harness::{Client, TestServer, Value, encode, eventually, info};
use crate::program::Program;

/// Sets `count` keys `prefix:0`, ... to 1,000 bytes in one pipeline; answers how many were refused.
fn fill(client: &mut Client, prefix: &str, count: usize, options: &[&str]) -> usize {
    let value = "x".repeat(1000);
    let mut bytes = Vec::new();
    for number in 0..count {
        let key = format!("{prefix}:{number}");
        let mut words = vec!["SET", &key, &value];
        words.extend(options);
        bytes.extend_from_slice(&encode(&words));
    }
    client.send(&bytes);
    (0..count).filter(|_| client.read_raw().starts_with(b"-OOM")).count()
}

fn used_memory(client: &mut Client) -> u64 {
    info(client, "used_memory").parse().expect("a number")
}

/// Writes until that is refused, and answers how. The buffers that a connection gives back after a long
/// pipeline make room for a few keys more.
fn first_refusal(client: &mut Client) -> String {
    let replies =
        (0..10_000).map(|number| client.value(&format!("SET more:{number} value")).text().to_owned());
    replies.into_iter().find(|text| text != "OK").expect("memory is limited")
}

const LIMIT: u64 = 32 * 1024 * 1024;

#[test]
fn the_limit_is_kept_by_every_policy_that_evicts() {
    let program = Program::start(&["--maxmemory", "32mb"]);
    let mut client = program.client();
    for policy in
        ["allkeys-lru", "allkeys-lfu", "allkeys-lrm", "allkeys-random", "volatile-lru", "volatile-ttl"]
    {
        client.value("FLUSHALL SYNC");
        client.value("CONFIG RESETSTAT");
        client.value(&format!("CONFIG SET maxmemory-policy {policy}"));
        let options: &[&str] = if policy.starts_with("volatile") { &["EX", "1000"] } else { &[] };
        assert_eq!(fill(&mut client, "key", 60_000, options), 0, "{policy}");
        eventually("the limit holds", || used_memory(&mut client) <= LIMIT);
        let evicted = |client: &mut Client| info(client, "evicted_keys").parse::<i64>().unwrap();
        let (before, keys, after) =
            (evicted(&mut client), client.value("DBSIZE").int(), evicted(&mut client));
        // What the tests' own questions take is made room for, too.
        assert!((before..=after).contains(&(60_000 - keys)), "{policy} {before} {keys} {after}");
        assert!((15_000..32_000).contains(&keys), "{policy} {keys}");
    }
}

#[test]
fn keys_without_an_expiry_stay_under_a_volatile_policy() {
    let program = Program::start(&["--maxmemory", "32mb", "--maxmemory-policy", "volatile-random"]);
    let mut client = program.client();
    assert_eq!(fill(&mut client, "stays", 10_000, &[]), 0);
    assert_eq!(fill(&mut client, "goes", 40_000, &["EX", "1000"]), 0);
    let stays = (0..10_000).map(|number| encode(&["EXISTS", &format!("stays:{number}")]));
    client.send(&stays.collect::<Vec<_>>().concat());
    assert!((0..10_000).all(|_| client.read_raw() == b":1\r\n"));
    // When nothing volatile is left, writes are refused.
    assert!(fill(&mut client, "too many", 40_000, &[]) > 0);
    assert_eq!(first_refusal(&mut client), "OOM command not allowed when used memory > 'maxmemory'.");
}

#[test]
fn nothing_is_evicted_without_a_policy_and_who_needs_memory_is_refused() {
    let program = Program::start(&["--maxmemory", "32mb"]);
    let mut client = program.client();
    const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    assert!(fill(&mut client, "key", 60_000, &[]) > 0);
    assert_eq!(first_refusal(&mut client), OOM);
    assert_eq!(info(&mut client, "evicted_keys"), "0");
    for refused in
        ["SET a b", "LPUSH l e", "EVAL \"#!lua\\nreturn 1\" 0", "EVAL \"#!lua flags=atomic\\nreturn 1\" 0"]
    {
        assert_eq!(client.value(refused).text(), OOM, "{refused}");
    }
    assert_eq!(
        client.value("EVAL \"return redis.call('set', KEYS[1], 'v')\" 1 k").text(),
        format!("{OOM} script: on @user_script:1.")
    );
    // What needs none runs, and so does what says that it may.
    for (allowed, reply) in [
        ("GET nothing", Value::Null),
        ("DEL nothing", Value::Int(0)),
        ("EVAL \"#!lua flags=no-writes\\nreturn 1\" 0", Value::Int(1)),
        ("EVAL \"#!lua flags=allow-oom\\nredis.call('set', KEYS[1], 'v') return 2\" 1 k", Value::Int(2)),
        // Once it has written it may go on.
        ("EVAL \"redis.call('del', KEYS[1]) redis.call('set', KEYS[1], 'v') return 3\" 1 k", Value::Int(3)),
    ] {
        assert_eq!(client.value(allowed), reply, "{allowed}");
    }
    // A transaction is refused when such a command is queued, or when it is to run.
    client.value("MULTI");
    assert_eq!(client.value("GET a"), Value::Simple("QUEUED".into()));
    assert_eq!(client.value("SET a b").text(), OOM);
    assert_eq!(client.value("EXEC").text(), "EXECABORT Transaction discarded because of previous errors.");
    let mut other = program.client();
    other.value("CONFIG SET maxmemory 0");
    client.value("MULTI");
    assert_eq!(client.value("SET a b"), Value::Simple("QUEUED".into()));
    other.value("CONFIG SET maxmemory 1mb");
    assert_eq!(client.value("EXEC").text(), format!("EXECABORT Transaction discarded because of: {OOM}"));
    other.value("CONFIG SET maxmemory 0");
    assert_eq!(client.value("SET a b"), Value::Simple("OK".into()));
}

#[test]
fn evictions_are_told_and_a_lower_limit_is_reached_in_the_background() {
    let program = Program::start(&["--maxmemory-policy", "allkeys-lru", "--notify-keyspace-events", "Ee"]);
    let mut client = program.client();
    assert_eq!(fill(&mut client, "key", 40_000, &[]), 0);
    let mut listener = program.client();
    listener.value("SUBSCRIBE __keyevent@0__:evicted");
    client.value("CONFIG SET maxmemory 20mb");
    eventually("the limit holds", || used_memory(&mut client) <= 20 * 1024 * 1024);
    let evicted: usize = info(&mut client, "evicted_keys").parse().unwrap();
    assert!(evicted > 10_000, "{evicted}");
    let gone = 40_000 - client.value("DBSIZE").int() as usize;
    // What the tests' own questions take is made room for, too.
    let after: usize = info(&mut client, "evicted_keys").parse().unwrap();
    assert!((evicted..=after).contains(&gone), "{evicted} {gone} {after}");
    for _ in 0..evicted {
        let Value::Array(message) = listener.read() else { panic!("not a message") };
        assert_eq!(message[1], Value::Bulk(b"__keyevent@0__:evicted".to_vec()));
    }
}

#[test]
fn used_memory_falls_when_keys_go() {
    let program = Program::start(&[]);
    let mut client = program.client();
    let before = used_memory(&mut client);
    assert_eq!(fill(&mut client, "key", 20_000, &[]), 0);
    let full = used_memory(&mut client);
    // A key of 6 to 9 bytes and its value are 1,024 bytes in the allocator's blocks, and little more with the
    // tables.
    assert!((20_000 * 1_024..20_000 * 1_200).contains(&(full - before)), "{before} {full}");
    let resident = || -> u64 { info(&mut program.client(), "used_memory_rss").parse().unwrap() };
    let resident_full = resident();
    client.value("FLUSHALL SYNC");
    eventually("it is freed", || used_memory(&mut client) < before + 1024 * 1024);
    // The program itself, as far as it has run, is resident too.
    eventually("the system has it back", || resident() + 10 * 1024 * 1024 < resident_full);
}

/// What is freed goes back to the system although nobody sends anything any more, also where it is a small part of all,
/// and all threads hold some of it: it stayed until there was other traffic.
#[test]
fn freed_memory_goes_back_while_nothing_happens() {
    const MIB: u64 = 1 << 20;
    let program = Program::start(&["--io-threads", "4"]);
    let mut client = program.client();
    // The larger part stays.
    assert_eq!(fill(&mut client, "key", 50_000, &[]), 0);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let mut client = program.client();
            scope.spawn(move || {
                for first in (0..40_000).step_by(500) {
                    let fields =
                        (first..first + 500).flat_map(|field| [format!("field:{field}"), "x".repeat(20)]);
                    let words = ["HSET".to_owned(), format!("hash:{number}")];
                    client.call(&words.into_iter().chain(fields).collect::<Vec<_>>());
                }
            });
        }
    });
    let (used, full) = (used_memory(&mut client), program.resident_bytes());
    client.check("UNLINK hash:0 hash:1 hash:2 hash:3", ":4~");
    eventually("it is freed", || info(&mut client, "lazyfree_pending_objects") == "0");
    let freed = used - used_memory(&mut client);
    assert!((4 * MIB..used / 8).contains(&freed), "{freed} {used}");
    eventually("the system has it back", || program.resident_bytes() + freed * 3 / 4 < full);
}

/// CLIENT PAUSE WRITE keeps the keys as they are: eviction begins when it ends. It went on beneath the pause.
#[test]
fn nothing_is_evicted_during_a_pause() {
    let program = Program::start(&[]);
    let mut client = program.client();
    for line in [
        "MULTI",
        "SET foo bar",
        "CONFIG SET maxmemory-policy allkeys-random",
        "CONFIG SET maxmemory 1",
        "CLIENT PAUSE 50000 WRITE",
    ] {
        assert!(!client.raw(line).starts_with('-'), "{line}");
    }
    client.check("EXEC", "*4~+OK~+OK~+OK~+OK~");
    let mut other = program.client();
    for _ in 0..50 {
        other.check("GET foo", "$3~bar~");
        assert_eq!(info(&mut other, "evicted_keys"), "0");
    }
    other.check("CLIENT UNPAUSE", "+OK~");
    eventually("it is evicted", || info(&mut other, "evicted_keys") == "1");
}

/// A script that has run a writing command, even one that changed nothing, is not stopped half way by OOM.
#[test]
fn a_script_under_way_is_not_stopped_for_memory() {
    let program = Program::start(&[]);
    let mut client = program.client();
    client.check("CONFIG SET maxmemory 1", "+OK~");
    client
        .check("EVAL \"redis.call('del', KEYS[1]) return redis.call('set', KEYS[1], 'bar')\" 1 foo", "+OK~");
    let refused =
        client.raw("EVAL \"redis.call('get', KEYS[1]) return redis.call('set', KEYS[1], 'bar')\" 1 foo");
    assert!(refused.starts_with("-OOM command not allowed when used memory > 'maxmemory'."), "{refused}");
}

/// Changes that wait for the append-only file's writer do not count against the limit: they did, and a slow
/// disk had writes refused or keys evicted, of which each is one more change.
#[test]
fn what_waits_for_the_disk_does_not_count() {
    let program = Program::start(&["--appendonly", "yes", "--enable-debug-command", "yes"]);
    let mut client = program.client();
    let value = "x".repeat(1_000_000);
    client.call(&["SET", "a", &value]);
    client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
    // Longer than the test takes.
    client.check("DEBUG AOF-FLUSH-SLEEP 600000000", "+OK~");
    let limit = used_memory(&mut client) + 10_000_000;
    client.check(&format!("CONFIG SET maxmemory {limit}"), "+OK~");
    for _ in 0..20 {
        assert_eq!(client.call(&["SET", "a", &value]).text(), "OK");
    }
    let uncounted: u64 = info(&mut client, "mem_not_counted_for_evict").parse().expect("a number");
    assert!((19_000_000..40_000_000).contains(&uncounted), "{uncounted}");
    assert!(used_memory(&mut client) > limit, "it is memory all the same");
    assert_eq!(info(&mut client, "evicted_keys"), "0");
}

/// A large value that does not fit has as many keys evicted as it needs, and not others with them: strings, which
/// are freed at once, and lists, which a thread frees.
#[test]
fn large_values_take_few_others_with_them() {
    for policy in ["allkeys-lru", "allkeys-random", "volatile-ttl"] {
        let program = Program::start(&["--save", "", "--maxmemory", "80mb", "--maxmemory-policy", policy]);
        let mut client = program.client();
        // What repeats is packed in lists.
        let mut rng = fastrand::Rng::with_seed(1);
        let elements: Vec<String> =
            (0..1000).map(|_| (0..1000).map(|_| rng.alphanumeric()).collect()).collect();
        for kind in ["string", "list"] {
            client.value("FLUSHALL SYNC");
            eventually("memory is free", || used_memory(&mut client) < 8_000_000);
            let mut keys = Vec::new();
            for number in 0..40 {
                let key = format!("{kind}:{number}");
                if kind == "string" {
                    client.check(&format!("SETRANGE {key} 3999999 x"), ":4000000~");
                } else {
                    for _ in 0..4 {
                        let words = ["RPUSH", &key].into_iter().chain(elements.iter().map(String::as_str));
                        client.call(&words.collect::<Vec<_>>());
                    }
                }
                // It may itself be the one that has gone.
                client.raw(&format!("EXPIRE {key} 100000"));
                eventually("the limit holds", || used_memory(&mut client) <= 80 << 20);
                keys.push(client.value("DBSIZE").int());
            }
            let least = keys[20..].iter().min().expect("some");
            assert!((14..=20).contains(least), "{policy} {kind}: {keys:?}");
        }
    }
}

/// Where a heavy command holds the slot of all that could be evicted, eviction goes on when it has ended: nobody is
/// refused for that.
#[test]
fn nobody_is_refused_while_something_heavy_holds_what_could_go() {
    let program = Program::start(&["--save", "", "--maxmemory-policy", "allkeys-lru"]);
    let mut client = program.client();
    let members: Vec<String> = (0..20_000).map(|number| format!("m{number}")).collect();
    client.call(&[&["SADD".to_owned(), "{b}s".to_owned()], &members[..]].concat());
    let value = "x".repeat(100);
    for number in 0..30_000 {
        client.send(&encode(&["SET", &format!("{{b}}{number}"), &value]));
    }
    (0..30_000).for_each(|_| assert_eq!(client.read(), Value::Simple("OK".into())));
    let limit = used_memory(&mut client);
    client.check(&format!("CONFIG SET maxmemory {limit}"), "+OK~");
    let mut reader = program.client();
    reader.send(&encode(&["SORT_RO", "{b}s", "ALPHA", "LIMIT", "0", "1"]).repeat(20));
    for number in 0..2000 {
        client.check(&format!("SET other:{number} {value}"), "+OK~");
    }
    (0..20).for_each(|_| drop(reader.read_raw()));
    eventually("the limit holds", || used_memory(&mut client) <= limit);
    assert_ne!(info(&mut client, "evicted_keys"), "0");
}

/// What was evicted while a snapshot was being written was kept for it and still counted, so that eviction went
/// on until nothing was left. Now as much goes as comes.
#[test]
fn a_snapshot_does_not_have_everything_evicted() {
    let program = Program::start(&["--save", "", "--maxmemory-policy", "allkeys-lru"]);
    let mut client = program.client();
    let value = "x".repeat(100_000);
    for number in 0..100 {
        client.call(&["SET", &format!("k{number}"), &value]);
    }
    // Longer than the test takes.
    client.check("CONFIG SET rdb-key-save-delay 60000000", "+OK~");
    client.check("BGSAVE", "+Background saving started~");
    let limit = used_memory(&mut client) + 1_000_000;
    client.check(&format!("CONFIG SET maxmemory {limit}"), "+OK~");
    for number in 0..50 {
        assert_eq!(client.call(&["SET", &format!("new{number}"), &value]).text(), "OK");
    }
    let evicted: u64 = info(&mut client, "evicted_keys").parse().expect("a number");
    assert!((20..60).contains(&evicted), "{evicted} keys for 50 that came");
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "1");
}

/// Evicts about a fifth of three groups of 1,000 keys that were made long ago: `old`, `read`, which were made before
/// and are read then, and `written`. Returns how many of each are gone.
fn evicted_by_group(policy: &str) -> [i64; 3] {
    let program = Program::start(&["--maxmemory-policy", policy]);
    let mut client = program.client();
    client.value(&format!("SET source {}", "x".repeat(1000)));
    let Value::Bulk(payload) = client.value("DUMP source") else { panic!("a payload") };
    let groups = ["old", "read", "written"];
    for (group, idle_s) in groups.into_iter().zip([&b"1000"[..], b"1600", b"1600"]) {
        let restore = |number| {
            let key = format!("{group}:{number}");
            encode(&[&b"RESTORE"[..], key.as_bytes(), b"100000000", &payload, b"IDLETIME", idle_s])
        };
        client.send(&(0..1000).map(restore).collect::<Vec<_>>().concat());
        assert!((0..1000).all(|_| client.read_raw() == b"+OK\r\n"));
    }
    let each = |request: &[&str], group: &str| -> Vec<u8> {
        let with = |number| {
            let key = format!("{group}:{number}");
            encode(&[request[0], &key].iter().chain(&request[1..]).copied().collect::<Vec<_>>())
        };
        (0..1000).flat_map(with).collect()
    };
    for (request, group) in [(&["STRLEN"][..], "read"), (&["SETRANGE", "0", "y"][..], "written")] {
        client.send(&each(request, group));
        assert!((0..1000).all(|_| client.read_raw() == b":1000\r\n"));
    }
    let limit = used_memory(&mut client) - 600 * 1100;
    client.value(&format!("CONFIG SET maxmemory {limit}"));
    eventually("the limit holds", || used_memory(&mut client) <= limit);
    client.value("CONFIG SET maxmemory 0");
    groups.map(|group| {
        client.send(&each(&["EXISTS"], group));
        (0..1000).filter(|_| client.read_raw() == b":0\r\n").count() as i64
    })
}

#[test]
fn what_is_only_read_is_evicted_by_the_time_of_its_last_change() {
    for policy in ["allkeys-lrm", "volatile-lrm"] {
        let [old, read, written] = evicted_by_group(policy);
        assert!(read > 300, "reads keep no key: {policy} {old} {read} {written}");
        assert!(written * 8 < old + read, "writes do: {policy} {old} {read} {written}");
    }
    let [old, read, written] = evicted_by_group("allkeys-lru");
    assert!(old > 300 && (read + written) * 3 < old, "{old} {read} {written}");
}

/// Under LRM the idle time is that since the last change. Each line is what Redis 8.6 does.
#[test]
fn only_changes_date_keys_under_lrm() {
    let server = TestServer::with(&[("maxmemory-policy", "allkeys-lrm")]);
    let mut client = server.client();
    for (setup, command, dates) in [
        ("SET k v", "GET k", false),
        ("SET k v", "SETNX k w", false),
        ("SET k v", "SET k w XX", true),
        ("SET k v", "SET k w NX GET", false),
        ("SET k v", "TOUCH k", false),
        ("SET k v", "EXPIRE k 1000", true),
        ("SET k v", "EXPIRE k 1000 XX", false),
        ("SET k v EX 1000", "PERSIST k", true),
        ("SET k v", "PERSIST k", false),
        ("SET k 1", "INCR k", true),
        ("SET k 1", "GETEX k", false),
        ("SET k 1", "GETEX k EX 1000", true),
        ("SET k v", "SETRANGE k 0 \"\"", false),
        ("SET k v", "DELEX k IFEQ z", false),
        ("SET k v", "OBJECT ENCODING k", false),
        ("SET k v", "DUMP k", false),
        ("SET k v", "MGET k", false),
        ("SETBIT k 0 1", "SETBIT k 0 1", false),
        ("SADD k a", "SADD k a", false),
        ("SADD k a", "SADD k b", true),
        ("SADD k a", "SREM k z", false),
        ("SADD k a b", "SREM k b", true),
        ("HSET k f v", "HSET k f v", true),
        ("HSET k f v", "HGET k f", false),
        ("HSET k f v", "HDEL k g", false),
        ("HSET k f v", "HEXPIRE k 100 FIELDS 1 f", true),
        ("HSET k f v", "HGETEX k FIELDS 1 f", false),
        ("RPUSH k a b", "LRANGE k 0 -1", false),
        ("RPUSH k a b", "LSET k 0 a", true),
        ("ZADD k 1 a", "ZADD k 1 a", false),
        ("ZADD k 1 a", "ZADD k XX 2 b", false),
        ("XADD k 1-1 a b", "XGROUP CREATE k g $", true),
        ("XADD k 1-1 a b", "XREAD STREAMS k 0", false),
        ("XADD k 1-1 a b", "XDEL k 5-5", false),
        ("PFADD k a", "PFADD k a", false),
        ("SET k v", "COPY k j", false),
        ("SET k v", "COPY k j REPLACE", false),
        ("SET j v", "RENAME j k", true),
        ("SADD k a", "SUNIONSTORE j k", false),
        ("RPUSH k 1", "SORT k STORE k", true),
        ("SET k v", "EVAL \"redis.call('append', KEYS[1], 'x')\" 1 k", true),
        ("SET k v", "EVAL \"redis.call('get', KEYS[1])\" 1 k", false),
    ] {
        client.value("FLUSHALL");
        client.value(setup);
        server.advance_ms(4000);
        let reply = client.value(command);
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
        let idle = client.value("OBJECT IDLETIME k").int();
        assert_eq!(idle, if dates { 0 } else { 4 }, "{command}");
    }
    client.value("SET k v");
    server.advance_ms(4000);
    for (request, idle) in [("GET k", 4), ("APPEND k x", 0)] {
        client.check("CLIENT NO-TOUCH on", "+OK~");
        client.check("MULTI", "+OK~");
        client.check(request, "+QUEUED~");
        client.value("EXEC");
        assert_eq!(client.value("OBJECT IDLETIME k").int(), idle, "{request}");
    }
    client.check("OBJECT FREQ k", "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.~");
    // A payload's idle time is kept.
    let Value::Bulk(payload) = client.value("DUMP k") else { panic!("a payload") };
    client.call(&[&b"RESTORE"[..], b"k", b"0", &payload, b"REPLACE", b"IDLETIME", b"70"]);
    assert_eq!(client.value("OBJECT IDLETIME k").int(), 70);
    client.value("CONFIG SET maxmemory-policy allkeys-lru");
    client.value("CLIENT NO-TOUCH off");
    client.value("GET k");
    assert_eq!(client.value("OBJECT IDLETIME k").int(), 0);
}

/// What clients over `maxmemory-clients` hold makes room before any key does: they are cut first, and no key goes.
#[test]
fn clients_over_their_limit_go_before_keys() {
    // A program of its own: its memory is all that counts.
    let program = Program::start(&[]);
    let mut admin = program.client();
    admin.check("CLIENT NO-EVICT on", "+OK~");
    for number in 0..50 {
        admin.check(&format!("SETRANGE {number} 100000 x"), ":100001~");
    }
    let used: u64 = info(&mut admin, "used_memory").parse().expect("a number");
    admin.check("CONFIG SET maxmemory-policy allkeys-lru maxmemory-clients 3mb", "+OK~");
    admin.check(&format!("CONFIG SET maxmemory {}", used + (5 << 20)), "+OK~");
    let mut clients: Vec<Client> = (0..10).map(|_| program.client()).collect();
    for client in &mut clients {
        // An argument that never becomes whole waits in the query buffer. Some are cut before all of it is there.
        let begin = b"*2\r\n$4\r\nECHO\r\n$2000000\r\n";
        let _ = client.try_send(&[&begin[..], &vec![b'x'; 1_000_000]].concat());
    }
    eventually("clients are cut", || info(&mut admin, "evicted_clients") != "0");
    eventually("there is room", || {
        let used: u64 = info(&mut admin, "used_memory").parse().expect("a number");
        used <= info(&mut admin, "maxmemory").parse().expect("a number")
    });
    assert_eq!(info(&mut admin, "evicted_keys"), "0");
    admin.check("DBSIZE", ":50~");
}
