//! The commands that RedisInsight sends: when it connects, in its browser, its analysis, its slow log and its
//! profiler. Tables run on other servers too (`KVARTS_TABLE_PEER`).

use crate::harness::*;

/// Fields of a section of INFO that the overview shows; each has a value.
const OVERVIEW: [&str; 13] = [
    "redis_version",
    "redis_mode",
    "uptime_in_days",
    "uptime_in_seconds",
    "os",
    "connected_clients",
    "used_memory",
    "total_system_memory",
    "instantaneous_ops_per_sec",
    "instantaneous_input_kbps",
    "keyspace_hits",
    "role",
    "used_cpu_sys",
];

fn check_overview(info: &str) {
    for field in OVERVIEW {
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        assert!(value.is_some_and(|value| !value.is_empty()), "{field} in\n{info}");
    }
}

/// What it asks once it is connected. Modules, Sentinel and a cluster are looked for, and their absence is an
/// empty list or an error that it knows.
#[test]
fn it_connects() {
    table(
        "
        CLIENT SETNAME redisinsight-common-1a2b3c4d => +OK~
        CLIENT SETINFO LIB-NAME ioredis => +OK~
        CLIENT SETINFO LIB-VER 5.4.1 => +OK~
        SELECT 0 => +OK~
        !MODULE LIST => *0~
        CONFIG GET databases => *2~$9~databases~$2~16~ => %1~$9~databases~$2~16~
        CLUSTER INFO => -ERR This instance has cluster support disabled~
        DBSIZE => :0~
        COMMAND INFO ft.search json.get bf.add ts.add => *4~$-1~$-1~$-1~$-1~ => *4~_~_~_~_~
        FT._LIST => -ERR unknown command 'FT._LIST', with args beginning with: ~
        JSON.TYPE k => -ERR unknown command 'JSON.TYPE', with args beginning with: 'k' ~
        ",
    );
    let server = TestServer::start();
    for (mut client, is_third) in [(server.client(), false), (server.client3(), true)] {
        check_overview(&client.value("INFO").text());
        for section in ["server", "memory", "clients", "stats", "replication", "keyspace", "cluster"] {
            let heading = client.value(&format!("INFO {section}")).text();
            assert!(heading.to_lowercase().starts_with(&format!("# {section}\r\n")), "{heading}");
        }
        let dangerous = client.value("ACL CAT dangerous").texts();
        for name in ["flushall", "flushdb", "keys", "monitor", "config|set", "shutdown", "debug"] {
            assert!(dangerous.iter().any(|word| word == name), "{name} in {dangerous:?}");
        }
        assert!(!dangerous.iter().any(|word| word == "get"));
        let get = client.raw("COMMAND INFO get");
        let form = if is_third { "*1~*10~$3~get~:2~~2~" } else { "*1~*10~$3~get~:2~*2~" };
        assert!(get.starts_with(form), "{get}");
        let list = client.value("CLIENT LIST").text();
        let fields =
            ["id=", " addr=", " name=", " age=", " idle=", " db=", " cmd=client|list", " user=default"];
        assert!(fields.iter().all(|field| list.contains(field)), "{list}");
        let hello = client.value(if is_third { "HELLO 3" } else { "HELLO 2" });
        assert_eq!(hello.field("mode").text(), "standalone");
        assert_eq!(hello.field("proto").int(), if is_third { 3 } else { 2 });
        assert_eq!(hello.field("modules").items().len(), 0);
        assert!(client.value("COMMAND").items().len() > 200);
        assert!(client.value("COMMAND DOCS get").field("get").field("summary").text().len() > 5);
    }
}

/// The browser: a page of keys by SCAN, then type, TTL and size of each in a pipeline.
#[test]
fn the_browser_lists_keys() {
    let server = TestServer::start();
    let mut client = server.client();
    for request in ["SET s v", "RPUSH l a b", "HSET h f v", "SADD set m", "ZADD z 1 m", "XADD x 1-1 f v"] {
        client.raw(request);
    }
    client.check("EXPIRE s 100", ":1~");
    let scan = |client: &mut Client, words: &str| {
        let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
        loop {
            let page = client.value(&format!("SCAN {cursor} MATCH * COUNT 2 {words}")).items();
            cursor = page[0].text();
            found.extend(page[1].texts());
            if cursor == "0" {
                break;
            }
        }
        found.sort();
        found
    };
    assert_eq!(scan(&mut client, ""), ["h", "l", "s", "set", "x", "z"]);
    for (kind, key) in
        [("string", "s"), ("list", "l"), ("hash", "h"), ("set", "set"), ("zset", "z"), ("stream", "x")]
    {
        assert_eq!(scan(&mut client, &format!("TYPE {kind}")), [key]);
        client.send(
            format!("TYPE {key}\r\nTTL {key}\r\nMEMORY USAGE {key} SAMPLES 0\r\nDBSIZE\r\n").as_bytes(),
        );
        client.check_next(&format!("+{kind}~"));
        client.check_next(if key == "s" { ":100~" } else { ":-1~" });
        assert!(client.read().int() > 16);
        client.check_next(":6~");
    }
    // Types of modules, as in Valkey; in Redis no key is of them.
    for unknown in ["ReJSON-RL", "TSDB-TYPE", "graphdata", "vectorset"] {
        client.check(
            &format!("SCAN 0 MATCH * COUNT 500 TYPE {unknown}"),
            &format!("-ERR unknown type name '{unknown}'~"),
        );
    }
    client.check("SCAN 0 MATCH s COUNT 500 TYPE string", "*2~$1~0~*1~$1~s~");
    client.check("MEMORY USAGE missing SAMPLES 0", "$-1~");
    server.client3().check("MEMORY USAGE missing SAMPLES 0", "_~");
    server.client3().check("SCAN 0 MATCH s COUNT 500 TYPE string", "*2~$1~0~*1~$1~s~");
}

/// The views and editors of values, by type: length, a page of it, changes.
#[test]
fn the_browser_shows_and_edits_values() {
    table(
        "
        SET s value NX => +OK~
        STRLEN s => :5~
        GETRANGE s 0 4999 => $5~value~
        SET s other XX => +OK~
        EXPIRE s 100 => :1~
        SET s third XX KEEPTTL => +OK~
        TTL s => :100~
        PERSIST s => :1~
        TTL s => :-1~
        RENAMENX s s2 => :1~
        HSET h f v g w => :2~
        HLEN h => :2~
        HSCAN h 0 MATCH * COUNT 500 => *2~$1~0~*4~$1~f~$1~v~$1~g~$1~w~
        HEXPIRE h 100 FIELDS 1 f => *1~:1~
        HTTL h FIELDS 3 f g missing => *3~:100~:-1~:-2~
        HPERSIST h FIELDS 1 f => *1~:1~
        HDEL h f => :1~
        RPUSH l a b c => :3~
        LLEN l => :3~
        LRANGE l 0 499 => *3~$1~a~$1~b~$1~c~
        LINDEX l 1 => $1~b~
        LSET l 1 B => +OK~
        LPUSHX l z => :4~
        RPUSHX l y => :5~
        LPOP l 1 => *1~$1~z~
        RPOP l 1 => *1~$1~y~
        SADD set m => :1~
        SCARD set => :1~
        SSCAN set 0 MATCH * COUNT 500 => *2~$1~0~*1~$1~m~
        SISMEMBER set m => :1~
        SREM set m => :1~
        ZADD z NX 1 a 2 b => :2~
        ZCARD z => :2~
        ZRANGE z 0 499 WITHSCORES => *4~$1~a~$1~1~$1~b~$1~2~ => *2~*2~$1~a~,1~*2~$1~b~,2~
        ZREVRANGE z 0 499 WITHSCORES => *4~$1~b~$1~2~$1~a~$1~1~ => *2~*2~$1~b~,2~*2~$1~a~,1~
        ZSCAN z 0 MATCH a* COUNT 500 => *2~$1~0~*2~$1~a~$1~1~
        ZSCORE z a => $1~1~ => ,1~
        ZADD z XX CH 3 a => :1~
        ZREM z a => :1~
        XADD x 1-1 f v => $3~1-1~
        XADD x 2-1 f w => $3~2-1~
        XLEN x => :2~
        XINFO STREAM x => *20~$6~length~:2~... => %10~$6~length~:2~...
        XREVRANGE x + - COUNT 500 => *2~*2~$3~2-1~*2~$1~f~$1~w~*2~$3~1-1~*2~$1~f~$1~v~
        XRANGE x - + COUNT 1 => *1~*2~$3~1-1~*2~$1~f~$1~v~
        XGROUP CREATE x g 0 => +OK~
        XREADGROUP GROUP g c COUNT 1 STREAMS x > => *1~*2~$1~x~*1~*2~$3~1-1~*2~$1~f~$1~v~ => %1~$1~x~*1~*2~$3~1-1~*2~$1~f~$1~v~
        XPENDING x g => *4~:1~$3~1-1~$3~1-1~*1~*2~$1~c~$1~1~
        XPENDING x g - + 500 c => *1~*4~$3~1-1~$1~c~...
        XACK x g 1-1 => :1~
        XGROUP SETID x g 0 => +OK~
        XGROUP DELCONSUMER x g c => :0~
        XGROUP DESTROY x g => :1~
        XDEL x 1-1 => :1~
        OBJECT ENCODING s2 => $6~embstr~
        UNLINK s2 h l => :3~
        DEL z x => :2~
        ",
    );
    let server = TestServer::start();
    for (mut client, map) in [(server.client(), "*20~"), (server.client3(), "%10~")] {
        client.raw("XADD x 1-1 f v");
        client.raw("XGROUP CREATE x g 0");
        client.raw("XREADGROUP GROUP g c COUNT 1 STREAMS x >");
        let stream = client.raw("XINFO STREAM x");
        let begins = format!("{map}$6~length~:1~$15~radix-tree-keys~:");
        assert!(stream.starts_with(&begins), "{stream}");
        assert!(stream.contains("$11~first-entry~*2~$3~1-1~*2~$1~f~$1~v~"), "{stream}");
        let groups = client.value("XINFO GROUPS x").items();
        assert_eq!((groups[0].field("name").text(), groups[0].field("pending").int()), ("g".into(), 1));
        let consumers = client.value("XINFO CONSUMERS x g").items();
        assert_eq!((consumers[0].field("name").text(), consumers[0].field("pending").int()), ("c".into(), 1));
        client.raw("DEL x");
    }
}

/// The analysis: SCAN through everything, and in pipelines type, length, memory and TTL of each.
#[test]
fn the_analysis_weighs_all_keys() {
    let server = TestServer::start();
    let mut client = server.client();
    for number in 0..300 {
        client.check(&format!("SET user:{number} {}", "x".repeat(number + 1)), "+OK~");
    }
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let page = client.value(&format!("SCAN {cursor} COUNT 100")).items();
        cursor = page[0].text();
        keys.extend(page[1].texts());
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(keys.len(), 300);
    let ask = |request: &str| -> Vec<u8> {
        keys.iter().flat_map(|key| format!("{}\r\n", request.replace('K', key)).into_bytes()).collect()
    };
    for request in ["memory usage K samples 0", "type K", "ttl K", "strlen K"] {
        client.send(&ask(request));
        for key in &keys {
            let number: i64 = key.rsplit(':').next().expect("a number").parse().expect("a number");
            match request.split(' ').next() {
                Some("memory") => assert!(client.read().int() > number),
                Some("type") => client.check_next("+string~"),
                Some("ttl") => client.check_next(":-1~"),
                _ => client.check_next(&format!(":{}~", number + 1)),
            }
        }
    }
    assert!(client.value("INFO keyspace").text().contains("db0:keys=300,expires=0,avg_ttl=0"));
}

#[test]
fn the_slow_log_and_its_settings() {
    let server = TestServer::start();
    for (mut client, is_third) in [(server.client(), false), (server.client3(), true)] {
        let mut pairs = client.value("CONFIG GET slowlog*").items();
        let names: Vec<String> = pairs.drain(..).step_by(2).map(|name| name.text()).collect();
        for name in ["slowlog-log-slower-than", "slowlog-max-len"] {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        }
        let pair = if is_third { "%1~" } else { "*2~" };
        client.check("CONFIG GET slowlog-max-len", &format!("{pair}$15~slowlog-max-len~$3~128~"));
        client.check("CONFIG SET slowlog-log-slower-than 0", "+OK~");
        client.check("SLOWLOG RESET", "+OK~");
        client.check("GET k", if is_third { "_~" } else { "$-1~" });
        let entries = client.raw("SLOWLOG GET 50");
        let begins = entries.starts_with("*2~*6~:");
        assert!(begins && entries.contains("~*2~$3~GET~$1~k~$"), "{entries}");
        client.check("SLOWLOG LEN", ":3~");
        client.check("CONFIG SET slowlog-log-slower-than 10000", "+OK~");
    }
}

/// The profiler and the view of published messages.
#[test]
fn the_profiler_shows_commands_and_pub_sub_messages() {
    let server = TestServer::start();
    let (mut client, mut monitor, mut listener) = (server.client(), server.client(), server.client());
    monitor.check("MONITOR", "+OK~");
    client.check("SET k \"v w\"", "+OK~");
    let line = show(&monitor.read_raw());
    let expected = format!("+1700000000.000000 [0 {}] \"SET\" \"k\" \"v w\"~", client.address());
    assert_eq!(line, expected);
    listener.check("PSUBSCRIBE *", "*3~$10~psubscribe~$1~*~:1~");
    client.check("PUBLISH news hello", ":1~");
    listener.check_next("*4~$8~pmessage~$1~*~$4~news~$5~hello~");
    assert!(show(&monitor.read_raw()).ends_with("\"PSUBSCRIBE\" \"*\"~"));
    assert!(show(&monitor.read_raw()).ends_with("\"PUBLISH\" \"news\" \"hello\"~"));
    listener.check("PUNSUBSCRIBE *", "*3~$12~punsubscribe~$1~*~:0~");
}

/// A cluster: its nodes by each of the ways in which they are asked for, and what is asked of one of them.
#[test]
fn it_connects_to_a_cluster() {
    let read_only = free_port().to_string();
    let server = TestServer::with(&[("cluster-enabled", "yes"), ("read-only-port", &read_only)]);
    let port = server.address().port();
    for mut client in [server.client(), server.client3()] {
        let info = client.value("CLUSTER INFO").text();
        assert!(info.contains("cluster_state:ok\r\n") && info.contains("cluster_slots_assigned:16384\r\n"));
        let nodes = client.value("CLUSTER NODES").text();
        let lines: Vec<&str> = nodes.lines().collect();
        assert_eq!(lines.len(), 2, "{nodes}");
        assert!(
            lines[0].contains(&format!("127.0.0.1:{port}@")) && lines[0].ends_with(" 0-16383"),
            "{nodes}"
        );
        assert!(lines[1].contains(" slave ") && lines[1].contains(&format!(":{read_only}@")), "{nodes}");
        let slots = client.value("CLUSTER SLOTS").items();
        let range = slots[0].items();
        assert_eq!((slots.len(), range[0].int(), range[1].int()), (1, 0, 16383));
        assert_eq!(range[2].items()[1].int(), i64::from(port));
        let shards = client.value("CLUSTER SHARDS").items();
        assert_eq!(shards.len(), 1);
        assert_eq!(shards[0].field("slots").items().len(), 2);
        let roles: Vec<String> =
            shards[0].field("nodes").items().iter().map(|node| node.field("role").text()).collect();
        assert_eq!(roles, ["master", "replica"]);
        check_overview(&client.value("INFO").text());
        assert!(client.value("INFO cluster").text().contains("cluster_enabled:1"));
        assert_eq!(client.value("HELLO").field("mode").text(), "cluster");
        client.check("SET {a}k v", "+OK~");
        assert_eq!(client.value("SCAN 0 MATCH * COUNT 500 TYPE string").items()[1].texts(), ["{a}k"]);
        client.check("DBSIZE", ":1~");
        client.check("READONLY", "+OK~");
    }
}
