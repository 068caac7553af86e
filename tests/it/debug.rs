//! DEBUG's looks into tables, and what fills them.

use crate::harness::*;

fn start() -> TestServer {
    TestServer::with(&[("enable-debug-command", "yes")])
}

#[test]
fn htstats_tells_of_a_database() {
    let server = start();
    let mut client = server.client();
    client.check("DEBUG HTSTATS 0", "$29~[Dictionary HT]\\x0a[Expires HT]\\x0a~");
    client.check("DEBUG HTSTATS 15 FULL", "$29~[Dictionary HT]\\x0a[Expires HT]\\x0a~");
    client.check("DEBUG HTSTATS 16", "-ERR Out of range database~");
    client.check("DEBUG HTSTATS -1", "-ERR Out of range database~");
    client.check("DEBUG HTSTATS x", "-ERR value is not an integer or out of range~");
    // A slot's first table has one bucket, which takes nine records.
    for number in 0..9 {
        client.check(&format!("SET {{tag}}{number} v"), "+OK~");
    }
    client.check("EXPIRE {tag}1 1000", ":1~");
    let text = client.value("DEBUG HTSTATS 0").text();
    assert_eq!(
        text,
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: 9\n number of entries: 9\n rehashing index: -1\n\
         [Expires HT]\nHeaps of the slots:\n number of entries: 1\n number of entries with those that are out of date: 1\n"
    );
    let text = client.value("DEBUG HTSTATS 0 full").text();
    assert!(
        text.contains("\n buckets: 1\n entries away from their bucket: 0\n most entries in a bucket: 9\n"),
        "{text}"
    );
    assert!(text.contains("\n   9: 1 (100.00%)\n slots with a table: 1\n"), "{text}");
    // As many buckets as are told have as many entries as there are keys.
    for number in 9..1000 {
        client.check(&format!("SET {{tag}}{number} v"), "+OK~");
    }
    let text = client.value("DEBUG HTSTATS 0 full").text();
    let number_after = |name: &str| -> usize {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().parse().expect("a number")
    };
    let counts: Vec<(usize, usize)> = text
        .lines()
        .filter_map(|line| line.strip_suffix("%)")?.split_once(": "))
        .map(|(entries, rest)| {
            let count = rest.split(' ').next().expect("a count");
            (entries.trim().parse().expect("entries"), count.parse().expect("a count"))
        })
        .collect();
    assert_eq!(counts.iter().map(|(entries, count)| entries * count).sum::<usize>(), 1000, "{text}");
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), number_after(" buckets:"), "{text}");
    assert_eq!(number_after(" number of entries:"), 1000, "{text}");
    assert!(number_after(" table size:") >= 1000, "{text}");
}

/// A slot keeps its first bucket when its last key is gone: the figures are those of slots with keys.
#[test]
fn htstats_leaves_emptied_slots_out() {
    let server = start();
    let mut client = server.client();
    for number in 0..5 {
        client.check(&format!("SET lasting{number} v"), "+OK~");
    }
    for number in 0..100 {
        client.check(&format!("SET ends{number} v PX 100"), "+OK~");
    }
    let size = |client: &mut Client| -> usize {
        let text = client.value("DEBUG HTSTATS 0").text();
        let line = text.lines().find_map(|line| line.strip_prefix(" table size: ")).expect("a size");
        line.parse().expect("a number")
    };
    let before = size(&mut client);
    server.advance_ms(200);
    client.check("DBSIZE", ":5~");
    assert!(size(&mut client) <= 5 * 9 && before > 5 * 9, "{before}");
    client.check("FLUSHALL", "+OK~");
    client.check("DEBUG HTSTATS 0", "$29~[Dictionary HT]\\x0a[Expires HT]\\x0a~");
}

/// A list of several nodes is told with them, as tests of other servers want it.
#[test]
fn object_tells_of_a_lists_nodes() {
    let server = start();
    let mut client = server.client();
    client.check("CONFIG SET list-max-listpack-size 100 list-compress-depth 1", "+OK~");
    let elements: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    client.value(&format!("RPUSH l {}", elements.join(" ")));
    client.check("RPUSH small 1", ":1~");
    let text = client.value("DEBUG OBJECT l").text();
    let (_, nodes) = text.split_once(" ql_nodes:").expect("the nodes of a quicklist");
    assert!(
        nodes.starts_with("3 ql_avg_node:83.33 ql_listpack_max:100 ql_compressed:1 ql_uncompressed_size:"),
        "{text}"
    );
    let bytes: usize = nodes.rsplit_once(':').expect("a size").1.parse().expect("a number");
    assert!((250..2000).contains(&bytes), "{text}");
    assert!(!client.value("DEBUG OBJECT small").text().contains("ql_"));
    client.check("CONFIG SET list-compress-depth 0", "+OK~");
    assert!(client.value("DEBUG OBJECT l").text().contains(" ql_compressed:0 "));
}

#[test]
fn htstats_key_tells_of_a_large_value() {
    let server = start();
    let mut client = server.client();
    client.check("DEBUG HTSTATS-KEY none", "-ERR no such key~");
    let none = "-ERR The value stored at the specified key is not represented using an hash table~";
    for command in ["SET string v", "SADD ints 1 2", "SADD small a", "RPUSH list a", "XADD stream * a b"] {
        drop(client.value(command));
        let key = command.split(' ').nth(1).expect("a key");
        client.check(&format!("DEBUG HTSTATS-KEY {key}"), none);
    }
    client.check(
        "CONFIG SET set-max-listpack-entries 0 hash-max-listpack-entries 0 zset-max-listpack-entries 0",
        "+OK~",
    );
    for command in ["SADD set a b c", "HSET hash a 1 b 2 c 3", "ZADD zset 1 a 2 b 3 c"] {
        drop(client.value(command));
        let key = command.split(' ').nth(1).expect("a key");
        assert_eq!(
            client.value(&format!("DEBUG HTSTATS-KEY {key} full")).text(),
            "Hash table 0 stats (main hash table):\n table size: 12\n number of entries: 3\n rehashing index: -1\n \
             buckets: 1\n entries away from their bucket: 0\n most entries in a bucket: 3\n buckets by number of entries:\n   \
             3: 1 (100.00%)\n",
            "{key}"
        );
    }
}

#[test]
fn populate_makes_keys() {
    let server = start();
    let mut client = server.client();
    client.check("SET key:1 mine", "+OK~");
    client.check("DEBUG POPULATE 3", "+OK~");
    client.check("MGET key:0 key:1 key:2 key:3", "*4~$7~value:0~$4~mine~$7~value:2~$-1~");
    client.check("DEBUG POPULATE 2 long 10", "+OK~");
    assert_eq!(client.call(&["GET", "long:1"]).text(), "value:1\0\0\0");
    client.check("DEBUG POPULATE 1 short 2", "+OK~");
    client.check("GET short:0", "$2~va~");
    client.check("DBSIZE", ":6~");
    for wrong in ["x", "-1", "9223372036854775807", "1 a b", "1 a -1", "1 a 9223372036854775807"] {
        client.check(&format!("DEBUG POPULATE {wrong}"), "-ERR value is out of range, must be positive~");
    }
}

#[test]
fn the_replication_id_can_be_changed() {
    let server = start();
    let before = server.info("master_replid");
    server.client().check("DEBUG CHANGE-REPL-ID", "+OK~");
    let after = server.info("master_replid");
    assert_ne!(before, after);
    assert_eq!(after.len(), 40);
}

#[test]
fn what_debug_does_not_need_it_takes() {
    table_with(
        &[("enable-debug-command", "yes")],
        "
        DEBUG REPLYBUFFER PEAK-RESET-TIME NEVER => +OK~
        DEBUG REPLYBUFFER peak-reset-time 100 => +OK~
        DEBUG REPLYBUFFER PEAK-RESET-TIME x => -ERR value is not an integer or out of range~
        DEBUG REPLYBUFFER RESIZING 0 => +OK~
        DEBUG REPLYBUFFER other 0 => -ERR unknown subcommand or wrong number of arguments for 'REPLYBUFFER'. Try DEBUG HELP.~
        DEBUG DICT-RESIZING 0 => +OK~
        RPUSH list a b => :2~
        DEBUG LISTPACK list => +Listpack structure printed on stdout~
        SET string v => +OK~
        DEBUG LISTPACK string => -ERR Not a listpack encoded object.~
        DEBUG LISTPACK none => -ERR no such key~
        DEBUG CONFIG-REWRITE-FORCE-ALL => -ERR CONFIG-REWRITE-FORCE-ALL failed: The server is running without a config file~
    ",
    );
}

#[test]
fn every_directive_can_be_written() {
    let server = TestServer::with_file("enable-debug-command yes\n");
    let mut client = server.client();
    client.check("DEBUG CONFIG-REWRITE-FORCE-ALL", "+OK~");
    let text = std::fs::read_to_string(server.dir().join("kvarts.conf")).expect("a file");
    for line in ["maxmemory 0", "hash-max-listpack-entries 512", "timeout 0"] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
}

/// It was the memory that the value takes.
#[test]
fn the_serialized_length_is_that_of_the_value_in_a_dump() {
    let server = start();
    let mut client = server.client();
    for (command, len) in [("SET k bar", 4), ("SET k 12", 2), ("SET k 12345678901", 12), ("RPUSH l a bc", 6)]
    {
        client.value(command);
        let key = command.split(' ').nth(1).expect("a key");
        let line = client.value(&format!("DEBUG OBJECT {key}")).text();
        assert!(line.contains(&format!(" serializedlength:{len} ")), "{command}: {line}");
    }
}

/// DEBUG's subcommands are not among the commands that COMMAND tells of, as in Valkey: a tool that tries all
/// of them would end the server by DEBUG SEGFAULT.
#[test]
fn subcommands_of_debug_are_not_told_of() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    let names = client.value("COMMAND LIST").items();
    let names: Vec<String> = names.iter().map(Value::text).collect();
    assert!(names.contains(&"debug".to_owned()) && names.contains(&"config|get".to_owned()));
    assert!(!names.iter().any(|name| name.starts_with("debug|")));
    for question in ["COMMAND INFO debug", "COMMAND DOCS debug"] {
        let answer = client.raw(question);
        assert!(!answer.contains("segfault") && answer.contains("debug"), "{answer}");
    }
}
