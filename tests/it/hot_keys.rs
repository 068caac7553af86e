//! HOTKEYS in both forms: Redis's sessions, and Valkey's windows of sampled accesses.

use crate::harness::*;
use crate::program::Program;

/// The requests and replies of Redis 8.6.3.
#[test]
fn sessions_begin_and_end() {
    table(
        "
        HOTKEYS => -ERR wrong number of arguments for 'hotkeys' command~
        HOTKEYS X => -ERR unknown subcommand 'X'. Try HOTKEYS HELP.~
        HOTKEYS GET => $-1~ => _~
        HOTKEYS STOP => $-1~ => _~
        HOTKEYS RESET => +OK~
        HOTKEYS GET x => -ERR wrong number of arguments for 'hotkeys|get' command~
        HOTKEYS STOP x => -ERR wrong number of arguments for 'hotkeys|stop' command~
        HOTKEYS RESET x => -ERR wrong number of arguments for 'hotkeys|reset' command~
        HOTKEYS START => -ERR METRICS parameter is required~
        HOTKEYS START FOO => -ERR METRICS parameter is required~
        HOTKEYS START METRICS => -ERR METRICS parameter is required~
        HOTKEYS START COUNT 3 METRICS 1 CPU => -ERR METRICS parameter is required~
        HOTKEYS START METRICS x CPU => -ERR METRICS count must be > 0 and <= 2~
        HOTKEYS START METRICS 0 => -ERR METRICS count must be > 0 and <= 2~
        HOTKEYS START METRICS 1.5 CPU => -ERR METRICS count must be > 0 and <= 2~
        HOTKEYS START METRICS 3 CPU NET CPU => -ERR METRICS count must be > 0 and <= 2~
        HOTKEYS START METRICS 1 FOO => -ERR METRICS no valid metrics passed. Supported: CPU|NET~
        HOTKEYS START METRICS 2 COUNT 3 => -ERR METRICS no valid metrics passed. Supported: CPU|NET~
        HOTKEYS START METRICS 2 CPU CPU => -ERR METRICS CPU defined more than once!~
        HOTKEYS START METRICS 2 NET NET => -ERR METRICS NET defined more than once!~
        HOTKEYS START METRICS 2 CPU => -ERR METRICS count does not match number of metric types provided~
        HOTKEYS START METRICS 1 => -ERR METRICS count does not match number of metric types provided~
        HOTKEYS START METRICS 1 CPU NET => -ERR syntax error~
        HOTKEYS START METRICS 2 CPU COUNT 3 => -ERR syntax error~
        HOTKEYS START METRICS 1 CPU COUNT 0 => -ERR COUNT must be between 1 and 64~
        HOTKEYS START METRICS 1 CPU COUNT 65 => -ERR COUNT must be between 1 and 64~
        HOTKEYS START METRICS 1 CPU COUNT x => -ERR COUNT must be between 1 and 64~
        HOTKEYS START METRICS 1 CPU COUNT => -ERR syntax error~
        HOTKEYS START METRICS 1 CPU BAR => -ERR syntax error~
        HOTKEYS START METRICS 1 CPU DURATION 0 => -ERR DURATION must be between 1 and 1000000~
        HOTKEYS START METRICS 1 CPU DURATION 1000001 => -ERR DURATION must be between 1 and 1000000~
        HOTKEYS START METRICS 1 CPU SAMPLE 0 => -ERR SAMPLE ratio must be positive~
        HOTKEYS START METRICS 1 CPU SAMPLE 2147483648 => -ERR SAMPLE ratio must be positive~
        HOTKEYS START METRICS 1 CPU SLOTS => -ERR syntax error~
        HOTKEYS START METRICS 1 CPU SLOTS 1 => -ERR SLOTS parameter cannot be used in non-cluster mode~
        HOTKEYS START METRICS 1 cPu sample 2147483647 count 64 DURATION 1000000 => +OK~
        HOTKEYS START => -ERR hotkey tracking session already in progress~
        HOTKEYS RESET => -ERR hotkey tracking session in progress, stop tracking first~
        HOTKEYS STOP => +OK~
        HOTKEYS STOP => $-1~ => _~
        HOTKEYS START METRICS 2 NET FOO COUNT 3 COUNT 4 => +OK~
        HOTKEYS STOP => +OK~
        HOTKEYS RESET => +OK~
        HOTKEYS GET => $-1~ => _~
        ",
    );
}

#[test]
fn slots_of_a_session() {
    table_with(
        &[("cluster-enabled", "yes")],
        "
        HOTKEYS START METRICS 1 CPU SLOTS 0 => -ERR SLOTS count must be between 1 and 16384~
        HOTKEYS START METRICS 1 CPU SLOTS x => -ERR SLOTS count must be between 1 and 16384~
        HOTKEYS START METRICS 1 CPU SLOTS 16385 1 => -ERR SLOTS count must be between 1 and 16384~
        HOTKEYS START METRICS 1 CPU SLOTS 1 => -ERR not enough slot numbers provided~
        HOTKEYS START METRICS 1 CPU SLOTS 3 1 2 => -ERR not enough slot numbers provided~
        HOTKEYS START METRICS 1 CPU SLOTS 1 x => -ERR Invalid or out of range slot~
        HOTKEYS START METRICS 1 CPU SLOTS 1 16384 => -ERR Invalid or out of range slot~
        HOTKEYS START METRICS 1 CPU SLOTS 1 05 => -ERR Invalid or out of range slot~
        HOTKEYS START METRICS 1 CPU SLOTS 2 1 COUNT => -ERR Invalid or out of range slot~
        HOTKEYS START METRICS 1 CPU SLOTS 2 1 1 => -ERR duplicate slot number~
        HOTKEYS START METRICS 1 CPU SLOTS 1 2 3 => -ERR syntax error~
        HOTKEYS START METRICS 1 CPU SLOTS 1 5 SLOTS => -ERR syntax error~
        HOTKEYS START METRICS 1 CPU SLOTS 1 5 SLOTS 1 6 => -ERR SLOTS parameter already specified~
        HOTKEYS START METRICS 1 NET SLOTS 4 3300 3 1 2 => +OK~
        SET b 1 => +OK~
        SET f 1 => +OK~
        HOTKEYS GET => *1~*22~$15~tracking-active~:1~$12~sample-ratio~:1~$14~selected-slots~*2~*2~:1~:3~*1~:3300~$30~all-commands-selected-slots-us~:... => *1~%11~...
        HOTKEYS STOP => +OK~
        HOTKEYS START METRICS 2 CPU NET SLOTS 1 3300 SAMPLE 2 => +OK~
        HOTKEYS GET => *1~*32~$15~tracking-active~:1~$12~sample-ratio~:2~$14~selected-slots~*1~*1~:3300~$34~sampled-commands-selected-slots-us~:0~$30~all-commands-selected-slots-us~:0~$25~all-commands-all-slots-us~:0~$41~net-bytes-sampled-commands-selected-slots~:0~$37~net-bytes-all-commands-selected-slots~:0~$32~net-bytes-all-commands-all-slots~:0~$29~collection-start-time-unix-ms~:1700000000000~$22~collection-duration-ms~:0~$22~total-cpu-time-user-ms~... => *1~%16~...
        ",
    );
    let server = TestServer::with(&[("cluster-enabled", "yes")]);
    let mut client = server.client();
    client.check("HOTKEYS START METRICS 1 NET SLOTS 1 3300", "+OK~");
    for key in ["b", "f", "b"] {
        client.check(&format!("SET {key} 1"), "+OK~");
    }
    let found = client.value("HOTKEYS GET").items()[0].clone();
    assert_eq!(found.field("net-bytes-all-commands-all-slots").int(), 96);
    assert_eq!(found.field("net-bytes-all-commands-selected-slots").int(), 64);
    assert_eq!(found.field("by-net-bytes").texts(), ["b", "64"]);
}

/// What a session by bytes has found: all of its reply but the time that commands took.
fn net(client: &mut Client) -> (String, i64, i64) {
    let found = client.value("HOTKEYS GET").items()[0].clone();
    let all = found.field("net-bytes-all-commands-all-slots").int();
    (found.field("by-net-bytes").texts().join(" "), all, found.field("total-net-bytes").int())
}

/// Which commands a session counts, with the figures of Redis 8.6.3.
#[test]
fn what_a_session_counts() {
    let server = TestServer::start();
    let mut client = server.client();
    for (command, keys, all, weighed) in [
        ("PING", "", 0, 0),
        ("SET a b", "a 32", 32, 32),
        ("GET a", "a 27", 27, 27),
        ("MGET a b c", "a 18 b 18 c 18", 56, 54),
        ("GET none", "none 28", 28, 28),
        ("LPUSH a x", "a 97", 97, 97),
        ("GET", "", 0, 0),
        ("EVAL \"redis.call('set','a','1') return redis.call('get', KEYS[1])\" 1 zz", "zz 100", 100, 100),
        ("OBJECT ENCODING a", "a 46", 46, 46),
        ("TTL a", "a 25", 25, 25),
        ("DEL a", "a 24", 24, 24),
        ("MEMORY USAGE a", "a 39", 39, 39),
        ("CLIENT ID", "", 0, 0),
    ] {
        client.check("HOTKEYS START METRICS 1 NET", "+OK~");
        client.value(command);
        assert_eq!(net(&mut client), (keys.to_owned(), all, weighed), "{command}");
        client.check("HOTKEYS STOP", "+OK~");
    }
}

#[test]
fn a_session_counts_transactions_pipelines_and_other_clients() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.check("HOTKEYS START METRICS 2 CPU NET COUNT 2", "+OK~");
    let set = encode(&["SET", "m", "1"]);
    let transaction = [encode(&["MULTI"]), set.clone(), encode(&["GET", "n"]), encode(&["EXEC"])].concat();
    client.send(&[set.repeat(20), transaction].concat());
    for _ in 0..20 {
        client.check_next("+OK~");
    }
    for reply in ["+OK~", "+QUEUED~", "+QUEUED~", "*2~+OK~$-1~"] {
        client.check_next(reply);
    }
    other.send(&set.repeat(3));
    (0..3).for_each(|_| other.check_next("+OK~"));
    other.check("RPUSH q v", ":1~");
    other.check("BLPOP r q 0", "*2~$1~q~$1~v~");
    let mut waits = server.client();
    waits.send_command("BLPOP r 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    other.check("RPUSH r v", ":1~");
    waits.check_next("*2~$1~r~$1~v~");
    let found = client.value("HOTKEYS GET").items()[0].clone();
    // 24 times SET of 32 bytes; RPUSH r is of 31 bytes, its BLPOPs of 34 + 18 / 2 and 24 + 18.
    let by_net = found.field("by-net-bytes").texts();
    assert_eq!(by_net[..2], ["m", "768"], "{by_net:?}");
    assert_eq!(by_net.len(), 4);
    assert!(found.field("by-cpu-time-us").texts().len() <= 4);
    let total = found.field("total-net-bytes").int();
    assert!(total <= found.field("net-bytes-all-commands-all-slots").int() && total > 768 + 25 + 62);
    // A transaction that holds the commands themselves.
    client.check("MULTI", "+OK~");
    client.check("HOTKEYS STOP", "+QUEUED~");
    client.check("HOTKEYS START METRICS 1 NET", "+QUEUED~");
    client.check("SET x 1", "+QUEUED~");
    client.check("HOTKEYS GET", "+QUEUED~");
    let replies = client.value("EXEC").items();
    assert_eq!(replies[3].items()[0].field("by-net-bytes").texts(), ["x", "32"]);
}

#[test]
fn a_session_ends_by_itself() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("HOTKEYS START METRICS 1 NET DURATION 2", "+OK~");
    client.check("SET a b", "+OK~");
    server.advance_ms(1999);
    let session = |client: &mut Client| client.value("HOTKEYS GET").items()[0].clone();
    assert_eq!(session(&mut client).field("tracking-active").int(), 1);
    assert_eq!(session(&mut client).field("collection-duration-ms").int(), 1999);
    server.advance_ms(5000);
    client.check("SET a b", "+OK~");
    let found = session(&mut client);
    assert_eq!(found.field("tracking-active").int(), 0);
    assert_eq!(found.field("collection-duration-ms").int(), 2000);
    assert_eq!(found.field("collection-start-time-unix-ms").int(), START_MS as i64);
    assert_eq!(found.field("by-net-bytes").texts(), ["a", "32"]);
    client.check("HOTKEYS STOP", "$-1~");
    client.check("HOTKEYS START METRICS 1 NET", "+OK~");
    assert_eq!(session(&mut client).field("by-net-bytes").texts(), Vec::<String>::new());
    client.check("FLUSHALL", "+OK~");
    assert_eq!(session(&mut client).field("tracking-active").int(), 1);
}

const WINDOWS: &[(&str, &str)] = &[("hotkeys-top-k", "3"), ("hotkeys-sampling-percentage", "100")];

/// The hottest keys of the last window.
fn hottest(client: &mut Client) -> Vec<String> {
    let keys = client.value("HOTKEYS GET").items();
    keys.iter().map(|hot| hot.items().iter().map(Value::text).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn windows_of_accesses() {
    let server = TestServer::with(WINDOWS);
    let (mut client, mut other) = (server.client(), server.client3());
    client.check("HOTKEYS GET", "*0~");
    let get = encode(&["GET", "none"]);
    client.send(&get.repeat(40));
    (0..40).for_each(|_| client.check_next("$-1~"));
    other.check("SELECT 2", "+OK~");
    other.check("MGET none b none", "*3~_~_~_~");
    client.check("HOTKEYS GET", "*0~");
    server.advance_ms(1250);
    client.check(
        "HOTKEYS GET",
        "*3~*6~$3~key~$4~none~$2~db~:0~$3~qps~:32~*6~$3~key~$4~none~$2~db~:2~$3~qps~:2~*6~$3~key~$1~b~$2~db~:2~$3~qps~:1~",
    );
    let figures = "# Hotkeys\r\nhotkeys_last_window_samples:43\r\nhotkeys_last_window_duration_ms:1250\r\n";
    assert_eq!(client.value("INFO hotkeys").text(), figures);
    assert!(!client.value("INFO").text().contains("hotkeys_"));
    assert!(other.raw("HOTKEYS GET").starts_with("*3~%3~$3~key~$4~none~$2~db~:0~$3~qps~:32~%3~"));
    server.advance_ms(1000);
    client.check("HOTKEYS GET", "*0~");
}

/// With the least share that there may be: of few accesses each is counted, second by second; of many their rates are
/// within what chance explains.
#[test]
fn rates_of_few_accesses_and_of_many() {
    let server = TestServer::with(&[("hotkeys-top-k", "3"), ("hotkeys-window-seconds", "2")]);
    let mut client = server.client();
    let send = |client: &mut Client, key: &str, times: usize| {
        client.send(&encode(&["GET", key]).repeat(times));
        (0..times).for_each(|_| client.check_next("$-1~"));
    };
    let found = |client: &mut Client| -> Vec<(String, f64)> {
        let keys = client.value("HOTKEYS GET").items();
        keys.iter().map(|hot| (hot.field("key").text(), hot.field("qps").int() as f64)).collect()
    };
    // Each access that is counted stands for so many. Behind many it takes a second until all of few are counted.
    let rows = [
        (20, 10, 2, 0.0),
        (300, 50, 20, 0.0),
        (200_000, 100_000, 2, 1e2),
        (20, 10, 2, 1e2),
        (20, 10, 2, 0.0),
    ];
    for (a, b, c, chance) in rows {
        for (key, times) in [("a", 2 * a), ("b", 2 * b), ("c", 2 * c)] {
            send(&mut client, key, times);
        }
        server.advance_ms(2_000);
        let found = found(&mut client);
        for (key, exact) in [("a", a), ("b", b), ("c", c)] {
            let rate = found.iter().find(|(name, _)| name == key).map_or(0.0, |(_, rate)| *rate);
            let off = (rate - exact as f64).abs();
            assert!(off <= 5.0 * (exact as f64 * chance / 2.0).sqrt(), "{key}: {rate} for {exact}");
        }
    }
}

#[test]
fn what_counts_as_an_access() {
    let server = TestServer::with(&[WINDOWS, &[("hotkeys-top-k", "9")]].concat());
    let mut client = server.client();
    for (commands, expected) in [
        ("SET a 1|DEL a|DEL a|UNLINK b", &["a db 0 qps 3", "b db 0 qps 1"][..]),
        ("OBJECT ENCODING a|MEMORY USAGE a|PING a|PUBLISH a b", &[]),
        ("MULTI|SET a 1|SET b 1|EXEC", &["a db 0 qps 1", "b db 0 qps 1"]),
        ("MULTI|SET a 1|DISCARD", &[]),
        ("EVAL \"for i = 1, 3 do redis.call('incr', KEYS[1]) end\" 2 c d", &["c db 0 qps 3"]),
        ("EVAL \"return redis.call('get', KEYS[1])\" 1 c", &["c db 0 qps 1"]),
        ("SORT l BY w_*|LPUSH c x", &["c db 0 qps 1", "l db 0 qps 1"]),
    ] {
        for command in commands.split('|') {
            client.value(command);
        }
        server.advance_ms(1000);
        let found: Vec<String> =
            hottest(&mut client).iter().map(|hot| hot.trim_start_matches("key ").to_owned()).collect();
        assert_eq!(found, expected, "{commands}");
    }
}

#[test]
fn windows_are_forgotten() {
    let server = TestServer::with(WINDOWS);
    let mut client = server.client();
    let fill = |client: &mut Client| {
        client.value("SET a b");
        server.advance_ms(1000);
        assert_eq!(hottest(client), ["key a db 0 qps 1"]);
    };
    for forgets in ["HOTKEYS RESET", "FLUSHDB", "FLUSHALL", "CONFIG SET hotkeys-top-k 0"] {
        fill(&mut client);
        client.check(forgets, "+OK~");
        if forgets.ends_with('0') {
            client.check("HOTKEYS GET", "$-1~");
            client.check("CONFIG SET hotkeys-top-k 3", "+OK~");
        }
        assert_eq!(hottest(&mut client), Vec::<String>::new(), "{forgets}");
    }
    fill(&mut client);
    // Changes leave the last window, and drop the open one.
    client.value("SET b b");
    client.check("CONFIG SET hotkeys-window-seconds 2", "+OK~");
    assert_eq!(hottest(&mut client), ["key a db 0 qps 1"]);
    server.advance_ms(2000);
    assert_eq!(hottest(&mut client), Vec::<String>::new());
    // A session answers as long as there is one.
    client.check("HOTKEYS START METRICS 1 CPU", "+OK~");
    assert!(client.raw("HOTKEYS GET").starts_with("*1~*20~$15~tracking-active~:1~"));
    client.check("HOTKEYS STOP", "+OK~");
    assert!(client.raw("HOTKEYS GET").starts_with("*1~*20~$15~tracking-active~:0~"));
    client.check("HOTKEYS RESET", "+OK~");
    client.check("HOTKEYS GET", "*0~");
}

/// A hundred thousand keys take no more memory than the counters of a few hundred, and keys that are long
/// none.
#[test]
fn hostile_keys_take_no_memory() {
    let program = Program::start(&["--hotkeys-top-k", "10", "--hotkeys-sampling-percentage", "100"]);
    let mut client = program.client();
    client.check("HOTKEYS START METRICS 2 CPU NET COUNT 10", "+OK~");
    let long = "x".repeat(1 << 20);
    let ask = |client: &mut Client, from: u32| {
        let requests: Vec<u8> =
            (from..from + 1000).flat_map(|n| encode(&["GET", &format!("{n:0100}")])).collect();
        client.send(&requests);
        (0..1000).for_each(|_| client.check_next("$-1~"));
    };
    ask(&mut client, 0);
    client.call(&["GET", &long]);
    let used = |client: &mut Client| info(client, "used_memory").parse::<u64>().expect("a number");
    let before = used(&mut client);
    for thousand in 1..100 {
        ask(&mut client, 1000 * thousand);
    }
    let after = used(&mut client);
    assert!(after < before + (4 << 20), "{before} {after}");
    assert_eq!(client.value("HOTKEYS GET").items()[0].field("by-net-bytes").items().len(), 20);
}
