//! Cluster mode: one node that owns all slots, and its read-only port as the replica.

use crate::harness::*;

fn start(pairs: &[(&str, &str)]) -> TestServer {
    let mut all = vec![("cluster-enabled", "yes")];
    all.extend_from_slice(pairs);
    TestServer::with(&all)
}

fn with_replica(pairs: &[(&str, &str)]) -> TestServer {
    let port = free_port().to_string();
    let mut all = vec![("read-only-port", port.as_str())];
    all.extend_from_slice(pairs);
    start(&all)
}

#[test]
fn keys_of_a_request_are_in_one_slot() {
    let server = start(&[]);
    let mut client = server.client();
    const CROSS: &str = "-CROSSSLOT Keys in request don't hash to the same slot~";
    for (command, reply) in [
        ("SET a 1", "+OK~"),
        ("GET a", "$1~1~"),
        ("MSET a 1 b 2", CROSS),
        ("MGET a b", CROSS),
        ("DEL a b", CROSS),
        ("RENAME a b", CROSS),
        ("COPY a b", CROSS),
        ("MSETNX a 1 b 2", CROSS),
        ("LCS a b", CROSS),
        ("EXISTS a a", ":2~"),
        ("MSET {t}a 1 {t}b 2 x{t}y 3", "+OK~"),
        ("MGET {t}a {t}b", "*2~$1~1~$1~2~"),
        ("RENAME {t}a {t}c", "+OK~"),
        ("MSET {}a 1 {}b 2", CROSS),
        ("SSUBSCRIBE a b", CROSS),
        ("SELECT 0", "+OK~"),
        ("SELECT 1", "-ERR SELECT is not allowed in cluster mode~"),
        ("SWAPDB 0 1", "-ERR SWAPDB is not allowed in cluster mode~"),
        ("MOVE a 1", "-ERR MOVE is not allowed in cluster mode~"),
        ("READONLY", "+OK~"),
        ("READWRITE", "+OK~"),
        ("ASKING", "+OK~"),
        ("SET a 2", "+OK~"),
        ("SPUBLISH ch x", ":0~"),
        ("PUBLISH ch x", ":0~"),
        ("DBSIZE", ":4~"),
    ] {
        client.check(command, reply);
    }
    assert_eq!(info(&mut client, "cluster_enabled"), "1");
    assert_eq!(info(&mut client, "server_mode"), "cluster");
    assert_eq!(client.value("HELLO").field("mode").text(), "cluster");
}

/// As a node of Valkey: nothing of the transaction runs. It ran here.
#[test]
fn keys_of_a_transaction_are_in_one_slot() {
    const CROSS: &str = "-CROSSSLOT Keys in request don't hash to the same slot~";
    let server = start(&[]);
    for mut client in [server.client(), server.client3()] {
        for (request, reply) in [
            ("MULTI", "+OK~"),
            ("SET a 1", "+QUEUED~"),
            ("SET b 2", "+QUEUED~"),
            ("EXEC", CROSS),
            ("EXISTS a", ":0~"),
            ("MULTI", "+OK~"),
            ("SET a 1", "+QUEUED~"),
            ("MGET b a", CROSS),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors.~"),
            ("WATCH a", "+OK~"),
            ("WATCH b", "+OK~"),
            ("MULTI", "+OK~"),
            ("GET c", "+QUEUED~"),
            ("PUBLISH x y", "+QUEUED~"),
        ] {
            client.check(request, reply);
        }
        client.send(b"SET {c}1 1\r\nEXEC\r\nDEL {c}1\r\n");
        client.check_next("+QUEUED~");
        let exec = client.read();
        assert_eq!(exec.items().len(), 3);
        client.check_next(":1~");
    }
}

#[test]
fn slots_of_keys_and_keys_of_slots() {
    let server = start(&[]);
    let mut client = server.client();
    for (key, slot) in [
        ("a", 15495),
        ("foo", 12182),
        ("{foo}bar", 12182),
        ("x{foo}", 12182),
        ("foo{}", 5542),
        ("123456789", 12739),
    ] {
        client.check(&format!("CLUSTER KEYSLOT {key}"), &format!(":{slot}~"));
    }
    client.check("MSET {foo}a 1 {foo}b 2", "+OK~");
    client.check("CLUSTER COUNTKEYSINSLOT 12182", ":2~");
    client.check("CLUSTER COUNTKEYSINSLOT 0", ":0~");
    client.check("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot~");
    client.check("CLUSTER COUNTKEYSINSLOT -1", "-ERR Invalid slot~");
    client.check("CLUSTER COUNTKEYSINSLOT x", "-ERR value is not an integer or out of range~");
    assert_eq!(client.value("CLUSTER GETKEYSINSLOT 12182 10").items().len(), 2);
    assert_eq!(client.value("CLUSTER GETKEYSINSLOT 12182 1").items().len(), 1);
    client.check("CLUSTER GETKEYSINSLOT 12182 0", "*0~");
    client.check("CLUSTER GETKEYSINSLOT 12182 -1", "-ERR Invalid slot or number of keys~");
    client.check("CLUSTER GETKEYSINSLOT 16384 1", "-ERR Invalid slot or number of keys~");
    client.check("CLUSTER SLOT-STATS SLOTSRANGE 12182 12182", "*1~*2~:12182~*2~$9~key-count~:2~");
    client.check("CLUSTER SLOT-STATS ORDERBY KEY-COUNT LIMIT 1", "*1~*2~:12182~*2~$9~key-count~:2~");
    client.check("CLUSTER SLOT-STATS ORDERBY KEY-COUNT LIMIT 1 ASC", "*1~*2~:0~*2~$9~key-count~:0~");
}

#[test]
fn slots_shards_and_nodes() {
    let server = start(&[]);
    let port = server.address().port();
    for (version, mut client) in [(2, server.client()), (3, server.client3())] {
        let id = client.value("CLUSTER MYID").text();
        let shard = client.value("CLUSTER MYSHARDID").text();
        assert!(
            id.len() == 40 && shard.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id} {shard}"
        );
        let map = |count: usize| if version == 3 { format!("%{count}") } else { format!("*{}", count * 2) };
        let none = map(0);
        client.check("CLUSTER SLOTS", &format!("*1~*3~:0~:16383~*4~$9~127.0.0.1~:{port}~$40~{id}~{none}~"));
        let (shard_map, node) = (map(3), map(7));
        client.check(
            "CLUSTER SHARDS",
            &format!(
                "*1~{shard_map}~$5~slots~*2~:0~:16383~$5~nodes~*1~{node}~$2~id~$40~{id}~$4~port~:{port}~$2~ip~$9~127.0.0.1~$8~endpoint~$9~127.0.0.1~$4~role~$6~master~$18~replication-offset~:1~$6~health~$6~online~$2~id~$40~{shard}~"
            ),
        );
        let nodes = client.value("CLUSTER NODES").text();
        assert_eq!(
            nodes,
            format!(
                "{id} 127.0.0.1:{port}@{} myself,master - 0 0 0 connected 0-16383\n",
                u32::from(port) + 10_000
            )
        );
        let text = client.value("CLUSTER INFO").text();
        for line in
            ["cluster_state:ok", "cluster_slots_assigned:16384", "cluster_known_nodes:1", "cluster_size:1"]
        {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        client.check("CLUSTER LINKS", "*0~");
        client.check(&format!("CLUSTER REPLICAS {id}"), "*0~");
        client.check("CLUSTER REPLICAS none", "-ERR Unknown node none~");
        client.check(&format!("CLUSTER COUNT-FAILURE-REPORTS {id}"), ":0~");
    }
}

#[test]
fn the_read_only_port_is_the_replica() {
    let server = with_replica(&[]);
    let ports = server.handle().ports();
    let (main, read_only) = (ports.main, ports.read_only);
    let (mut client, mut reader) = (server.client(), server.read_only_client());
    let (id, replica) = (client.value("CLUSTER MYID").text(), reader.value("CLUSTER MYID").text());
    assert_ne!(id, replica);
    let expected = format!(
        "*1~*4~:0~:16383~*4~$9~127.0.0.1~:{main}~$40~{id}~*0~*4~$9~127.0.0.1~:{read_only}~$40~{replica}~*0~"
    );
    client.check("CLUSTER SLOTS", &expected);
    reader.check("CLUSTER SLOTS", &expected);
    let nodes = client.value("CLUSTER NODES").text();
    let lines: Vec<&str> = nodes.lines().collect();
    assert!(lines[0].contains(" myself,master - 0 0 0 connected 0-16383"), "{nodes}");
    assert!(lines[1].contains(&format!(" slave {id} 0 ")), "{nodes}");
    let nodes = reader.value("CLUSTER NODES").text();
    assert!(
        nodes.lines().nth(1).is_some_and(|line| line.contains(&format!(" myself,slave {id} 0 "))),
        "{nodes}"
    );
    let replicas = client.value(&format!("CLUSTER REPLICAS {id}")).texts();
    assert!(replicas.len() == 1 && replicas[0].starts_with(&replica), "{replicas:?}");
    reader.check(&format!("CLUSTER SLAVES {replica}"), "-ERR The specified node is not a master~");
    assert!(client.value("CLUSTER INFO").text().contains("cluster_known_nodes:2"));

    client.check("SET foo v", "+OK~");
    let moved = format!("-MOVED 12182 127.0.0.1:{main}~");
    reader.check("GET foo", &moved);
    reader.check("READONLY", "+OK~");
    reader.check("GET foo", "$1~v~");
    reader.check("SET foo w", &moved);
    reader.check("MGET foo bar", "-CROSSSLOT Keys in request don't hash to the same slot~");
    reader.check("SPUBLISH foo x", &moved);
    reader.check("FLUSHALL", "-READONLY You can't write against a read only replica.~");
    reader.check("DBSIZE", ":1~");
    reader.check("READWRITE", "+OK~");
    reader.check("GET foo", &moved);
    client.check("READONLY", "+OK~");
    client.check("SET foo w", "+OK~");
}

#[test]
fn announced_addresses() {
    let server = with_replica(&[
        ("cluster-announce-ip", "10.1.2.3"),
        ("cluster-announce-port", "7000"),
        ("cluster-announce-bus-port", "17001"),
        ("cluster-announce-hostname", "node.example"),
    ]);
    let read_only = server.handle().ports().read_only;
    let mut client = server.client();
    let id = client.value("CLUSTER MYID").text();
    let slots = client.raw("CLUSTER SLOTS");
    let node = format!("*4~$8~10.1.2.3~:7000~$40~{id}~*2~$8~hostname~$12~node.example~");
    assert!(slots.starts_with(&format!("*1~*4~:0~:16383~{node}*4~$8~10.1.2.3~:{read_only}~")), "{slots}");
    let nodes = client.value("CLUSTER NODES").text();
    assert!(nodes.starts_with(&format!("{id} 10.1.2.3:7000@17001,node.example myself,master")), "{nodes}");
    let mut reader = server.read_only_client();
    reader.check("GET foo", "-MOVED 12182 10.1.2.3:7000~");

    client.check("CONFIG SET cluster-preferred-endpoint-type hostname", "+OK~");
    reader.check("GET foo", "-MOVED 12182 node.example:7000~");
    let slots = client.raw("CLUSTER SLOTS");
    let node = format!("*4~$12~node.example~:7000~$40~{id}~*2~$2~ip~$8~10.1.2.3~");
    assert!(slots.starts_with(&format!("*1~*4~:0~:16383~{node}")), "{slots}");

    client.check("CONFIG SET cluster-preferred-endpoint-type unknown-endpoint", "+OK~");
    reader.check("GET foo", "-MOVED 12182 :7000~");
    let slots = client.raw("CLUSTER SLOTS");
    assert!(
        slots.starts_with(&format!(
            "*1~*4~:0~:16383~*4~$-1~:7000~$40~{id}~*4~$2~ip~$8~10.1.2.3~$8~hostname~$12~node.example~"
        )),
        "{slots}"
    );

    client
        .check("CONFIG SET cluster-announce-client-ipv4 10.9.9.9 cluster-announce-client-port 7777", "+OK~");
    client.check("CONFIG SET cluster-preferred-endpoint-type ip", "+OK~");
    reader.check("GET foo", "-MOVED 12182 10.9.9.9:7777~");
}

#[test]
fn a_hostname_that_is_preferred_and_missing() {
    let server = with_replica(&[("cluster-preferred-endpoint-type", "hostname")]);
    let main = server.handle().ports().main;
    server.read_only_client().check("GET foo", &format!("-MOVED 12182 ?:{main}~"));
}

#[test]
fn clients_are_told_the_address_that_they_dialled() {
    let server = start(&[("bind", "127.0.0.1 127.0.0.3 ::1")]);
    let port = server.address().port();
    for host in ["127.0.0.1", "127.0.0.3", "::1"] {
        let address = std::net::SocketAddr::new(host.parse().expect("an address"), port);
        let slots = Client::tcp(address).raw("CLUSTER SLOTS");
        assert!(slots.starts_with(&format!("*1~*3~:0~:16383~*4~${}~{host}~:{port}~", host.len())), "{slots}");
    }
}

#[test]
fn changes_of_the_slots_are_refused() {
    let server = start(&[]);
    let mut client = server.client();
    for command in [
        "BUMPEPOCH",
        "DELSLOTS 1",
        "DELSLOTSRANGE 1 2",
        "FAILOVER",
        "FLUSHSLOTS",
        "MEET 127.0.0.1 1",
        "REPLICATE x",
        "RESET",
        "SAVECONFIG",
        "SETSLOT 1 STABLE",
    ] {
        client.check(
            &format!("CLUSTER {command}"),
            "-ERR this node owns all slots of its cluster, and that cannot be changed~",
        );
    }
    client.check("CLUSTER FORGET x", "-ERR Unknown node x~");
    let own = client.value("CLUSTER MYID").text();
    assert!(client.raw(&format!("CLUSTER FORGET {own}")).starts_with("-ERR this node owns all slots"));
    client.check("CLUSTER", "-ERR wrong number of arguments for 'cluster' command~");
    client.check("CLUSTER BLAH", "-ERR unknown subcommand 'BLAH'. Try CLUSTER HELP.~");
}

/// Scripts that set up a single node give it an epoch and all slots, as a node of Redis has none at first.
#[test]
fn a_node_can_be_given_what_it_has() {
    let server = start(&[]);
    let mut client = server.client();
    let lines = "
        CLUSTER SET-CONFIG-EPOCH -1 => -ERR Invalid config epoch specified: -1
        CLUSTER SET-CONFIG-EPOCH x => -ERR value is not an integer or out of range
        CLUSTER SET-CONFIG-EPOCH 7 => +OK
        CLUSTER SET-CONFIG-EPOCH 8 => -ERR Node config epoch is already non-zero
        CLUSTER ADDSLOTS 1 x => -ERR Invalid or out of range slot
        CLUSTER ADDSLOTS 16384 => -ERR Invalid or out of range slot
        CLUSTER ADDSLOTS 1 2 1 => -ERR Slot 1 specified multiple times
        CLUSTER ADDSLOTS 1 2 => +OK
        CLUSTER ADDSLOTS 3 2 => -ERR Slot 2 is already busy
        CLUSTER ADDSLOTSRANGE 3 10 11 => -ERR wrong number of arguments for 'cluster|addslotsrange' command
        CLUSTER ADDSLOTSRANGE 10 3 => -ERR start slot number 10 is greater than end slot number 3
        CLUSTER ADDSLOTSRANGE 3 10 10 12 => -ERR Slot 10 specified multiple times
        CLUSTER ADDSLOTSRANGE 0 16383 => -ERR Slot 1 is already busy
        CLUSTER ADDSLOTSRANGE 3 16383 0 0 => +OK
        CLUSTER ADDSLOTSRANGE 0 16383 => -ERR Slot 0 is already busy";
    for line in lines.trim().lines() {
        let (command, expected) = line.trim().split_once(" => ").expect("a reply");
        client.check(command, &format!("{expected}~"));
    }
    assert_eq!(client.value("CLUSTER INFO").text().matches("epoch:7\r\n").count(), 2);
    assert!(client.value("CLUSTER NODES").text().contains(" 0 7 connected 0-16383"));
}

#[test]
fn scans_of_one_tag_look_at_one_slot() {
    let server = start(&[]);
    let mut client = server.client();
    let requests: Vec<u8> =
        (0..2000).flat_map(|number| encode(&["SET", &format!("key:{number}"), "v"])).collect();
    client.send(&requests);
    for _ in 0..2000 {
        client.read();
    }
    client.check("MSET {tag}a 1 {tag}b 2", "+OK~");
    let mut keys = client.value("KEYS {tag}*").texts();
    keys.sort();
    assert_eq!(keys, ["{tag}a", "{tag}b"]);
    let reply = client.value("SCAN 0 MATCH {tag}* COUNT 100").items();
    assert_eq!(reply[0].text(), "0");
    assert_eq!(reply[1].items().len(), 2);
    assert_eq!(client.value("KEYS {t*g}*").items().len(), 2);
}

/// Each line is what Valkey 9.1 answers, but for the fingerprint of cursors.
#[test]
fn a_cluster_is_walked_by_cursors_that_name_their_slot() {
    let server = start(&[]);
    for mut client in [server.client(), server.client3()] {
        client.check("FLUSHALL", "+OK~");
        for (request, reply) in [
            ("CLUSTERSCAN 0", "*2~$9~0-{06S}-0~*0~"),
            ("CLUSTERSCAN 0 SLOT 12182", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0 MATCH *", "*2~$9~0-{06S}-0~*0~"),
            ("CLUSTERSCAN 0 MATCH {foo}*", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0 MATCH foo", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0 MATCH a{foo}b*", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0 MATCH *{foo}", "*2~$9~0-{06S}-0~*0~"),
            ("CLUSTERSCAN 0 MATCH {fo*}*", "*2~$9~0-{06S}-0~*0~"),
            ("CLUSTERSCAN 0 MATCH f[o]o", "*2~$9~0-{06S}-0~*0~"),
            ("CLUSTERSCAN 0 SLOT 5 MATCH {foo}*", "*2~$1~0~*0~"),
            ("CLUSTERSCAN 0 MATCH {foo}* SLOT 12182", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0 COUNT 1 COUNT 2 MATCH a MATCH {foo}*", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0 TYPE string", "*2~$9~0-{06S}-0~*0~"),
            ("CLUSTERSCAN 0-{06S}-0", "*2~$1~0~*0~"),
            ("CLUSTERSCAN 0-{06S}-0 SLOT 0", "*2~$1~0~*0~"),
            ("CLUSTERSCAN 0-{06S}-0 SLOT 0 MATCH {foo}*", "*2~$1~0~*0~"),
            ("CLUSTERSCAN 0-{06S}-0 MATCH {foo}*", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0-{9Le}-0 MATCH {06S}*", "*2~$1~0~*0~"),
            ("CLUSTERSCAN x-{foo}-7", "*2~$1~0~*0~"),
            ("CLUSTERSCAN -{}-0", "*2~$1~0~*0~"),
            ("CLUSTERSCAN 0-06S-0", "*2~$1~0~*0~"),
            ("CLUSTERSCAN", "-ERR wrong number of arguments for 'clusterscan' command~"),
            ("CLUSTERSCAN foo", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 00", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN \"\"", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 0-{06S}", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 0-{06S}-", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 0-{06S}-x", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 0-{06S}--1", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 0-{06S}-0-1", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 0-{06S}-184467440737095516150", "-ERR Invalid cursor~"),
            ("CLUSTERSCAN 0-{06S}-0 SLOT 1", "-ERR Cursor slot mismatch with SLOT argument~"),
            ("CLUSTERSCAN 0 SLOT 16384", "-ERR Invalid or out of range slot~"),
            ("CLUSTERSCAN 0 SLOT -1", "-ERR Invalid or out of range slot~"),
            ("CLUSTERSCAN foo SLOT x", "-ERR Invalid or out of range slot~"),
            ("CLUSTERSCAN 0 SLOT 5 SLOT 5", "-ERR SLOT option can only be specified once~"),
            ("CLUSTERSCAN 0 SLOT", "-ERR syntax error~"),
            ("CLUSTERSCAN 0 COUNT 0", "-ERR syntax error~"),
            ("CLUSTERSCAN 0 COUNT", "-ERR syntax error~"),
            ("CLUSTERSCAN 0 COUNT x", "-ERR value is not an integer or out of range~"),
            ("CLUSTERSCAN foo FOO", "-ERR syntax error~"),
            ("CLUSTERSCAN 0-{06S}-0 SLOT 1 FOO", "-ERR syntax error~"),
            ("CLUSTERSCAN 0 TYPE foo", "-ERR unknown type name 'foo'~"),
            ("CLUSTERSCAN 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN~"),
            ("COMMAND GETKEYS CLUSTERSCAN 0-{06S}-0", "-ERR The command has no key arguments~"),
            ("MSET {foo}1 a", "+OK~"),
            ("SADD {foo}2 a", ":1~"),
            ("CLUSTERSCAN 0-{9Le}-0 SLOT 12182 TYPE set", "*2~$1~0~*1~$6~{foo}2~"),
            ("CLUSTERSCAN 0-{06S}-0 TYPE SET", "*2~$1~0~*1~$6~{foo}2~"),
            ("CLUSTERSCAN 0-{06S}-0 MATCH {foo}1", "*2~$9~0-{9Le}-0~*0~"),
            ("CLUSTERSCAN 0-{9Le}-0 MATCH {foo}1", "*2~$1~0~*1~$6~{foo}1~"),
            ("CLUSTERSCAN 0-{9Le}-0 MATCH ?foo?1", "*2~$1~0~*1~$6~{foo}1~"),
            (
                "EVAL \"return redis.call('clusterscan', '0-{9Le}-0', 'TYPE', 'set')\" 0",
                "*2~$1~0~*1~$6~{foo}2~",
            ),
            ("MULTI", "+OK~"),
            ("CLUSTERSCAN 0-{9Le}-0 TYPE set", "+QUEUED~"),
            ("EXEC", "*1~*2~$1~0~*1~$6~{foo}2~"),
        ] {
            client.check(request, reply);
        }
    }
    TestServer::start().client().check("CLUSTERSCAN 0", "-ERR This instance has cluster support disabled~");
}

/// All keys come, each once, also where one slot has many; a cursor of another process begins its slot again.
#[test]
fn a_walk_over_a_cluster_finds_all_keys() {
    let server = start(&[]);
    let mut client = server.client();
    for number in 0..300 {
        client.check(&format!("SET key{number} v"), "+OK~");
        client.check(&format!("SET {{tag}}{number} v"), "+OK~");
    }
    client.check("SET {tag}ends v PX 10", "+OK~");
    server.advance_ms(10);
    let walk = |client: &mut Client, options: &str| {
        let (mut cursor, mut found, mut steps) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let reply = client.value(&format!("CLUSTERSCAN {cursor} {options}")).items();
            cursor = reply[0].text();
            found.extend(reply[1].texts());
            steps += 1;
            if cursor == "0" {
                found.sort();
                return (found, steps);
            }
            // The slot of the cursor is that of the next key.
            assert!(cursor.contains("-{") && cursor.matches('-').count() == 2, "{cursor}");
        }
    };
    let (all, steps) = walk(&mut client, "COUNT 7");
    let mut expected: Vec<String> =
        (0..300).flat_map(|number| [format!("key{number}"), format!("{{tag}}{number}")]).collect();
    expected.sort();
    assert_eq!(all, expected);
    assert!(steps > 80, "{steps}");
    let slot = client.value("CLUSTER KEYSLOT {tag}").int();
    let (tagged, steps) = walk(&mut client, &format!("COUNT 7 SLOT {slot}"));
    assert_eq!(tagged.len(), 300);
    assert!(steps > 40, "{steps}");
    assert_eq!(walk(&mut client, "MATCH {tag}*").0, tagged);
    assert_eq!(walk(&mut client, "MATCH key1?").0.len(), 10);
    // Another process has made this one.
    let first = client.value(&format!("CLUSTERSCAN 0 SLOT {slot}")).items()[0].text();
    let reply = client.value(&format!("CLUSTERSCAN {first} COUNT 7")).items();
    let own = reply[0].text();
    let (made_by, rest) = own.split_once('-').expect("three parts");
    assert_eq!(made_by.len(), 8);
    assert_eq!(client.value(&format!("CLUSTERSCAN 00000000-{rest} COUNT 7")).items()[1], reply[1]);
    assert_ne!(client.value(&format!("CLUSTERSCAN {own} COUNT 7")).items()[1], reply[1]);
}

/// What slots are used for is counted where that is asked for.
#[test]
fn slots_tell_what_they_are_used_for() {
    let server = start(&[]);
    let mut client = server.client();
    let figures = |client: &mut Client| -> Vec<i64> {
        let reply = client.value("CLUSTER SLOT-STATS SLOTSRANGE 12182 12182").items();
        let map = reply[0].items()[1].items();
        let names: Vec<String> = map.iter().step_by(2).map(Value::text).collect();
        assert_eq!(names, ["key-count", "memory-bytes", "cpu-usec", "network-bytes-in", "network-bytes-out"]);
        map.iter().skip(1).step_by(2).map(Value::int).collect()
    };
    client.check("SET foo bar", "+OK~");
    client.check("CLUSTER SLOT-STATS SLOTSRANGE 12182 12182", "*1~*2~:12182~*2~$9~key-count~:1~");
    for metric in ["memory-bytes", "cpu-usec", "network-bytes-in", "network-bytes-out", "foo"] {
        client.check(
            &format!("CLUSTER SLOT-STATS ORDERBY {metric}"),
            "-ERR Unrecognized sort metric for ORDERBY.~",
        );
    }
    client.check("CONFIG SET cluster-slot-stats-enabled yes", "+OK~");
    let memory = client.value("MEMORY USAGE foo").int();
    let zero = figures(&mut client);
    assert_eq!(zero[..2], [1, memory]);
    client.check("CONFIG RESETSTAT", "+OK~");
    // Requests with the bytes of the peer: 31, 22, 32, 31; none where the arity is wrong.
    let mut sums = [0, 0];
    for (request, bytes_in, bytes_out) in [
        ("SET foo bar", 31, 5),
        ("GET foo", 22, 9),
        ("APPEND foo x", 32, 4),
        ("GET", 0, 0),
        ("LPUSH foo x", 31, 68),
        ("SPUBLISH foo abc", 36, 4),
        ("PING", 0, 0),
        ("EVAL \"return redis.call('get', KEYS[1])\" 1 foo", 70, 10),
    ] {
        drop(client.value(request));
        sums = [sums[0] + bytes_in, sums[1] + bytes_out];
        assert_eq!(figures(&mut client)[3..], sums, "{request}");
    }
    // In a pipeline, and those of a transaction, one by one.
    client.send(
        b"*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n*2\r\n$3\r\nGET\r\n$3\r\nbar\r\n",
    );
    client.check_next("$4~barx~");
    client.check_next("$4~barx~");
    client.check_next("$-1~");
    assert_eq!(figures(&mut client)[3..], [sums[0] + 44, sums[1] + 20]);
    client.check("MULTI", "+OK~");
    client.check("GET foo", "+QUEUED~");
    client.check("EXEC", "*1~$4~barx~");
    assert_eq!(figures(&mut client)[3..], [sums[0] + 66, sums[1] + 30]);
    // Time is measured with a clock that does not stand still.
    let reply = client.raw("CLUSTER SLOT-STATS SLOTSRANGE 5061 5061");
    let start = "*1~*2~:5061~*10~$9~key-count~:0~$12~memory-bytes~:0~$8~cpu-usec~:";
    let end = "~$16~network-bytes-in~:22~$17~network-bytes-out~:5~";
    assert!(reply.starts_with(start) && reply.ends_with(end), "{reply}");
    let mut third = server.client3();
    third.check("CLUSTER SLOT-STATS SLOTSRANGE 7 7", "*1~*2~:7~%5~$9~key-count~:0~$12~memory-bytes~:0~$8~cpu-usec~:0~$16~network-bytes-in~:0~$17~network-bytes-out~:0~");
    for (metric, slot) in [("MEMORY-BYTES", 12182), ("network-bytes-in", 12182), ("Network-Bytes-Out", 12182)]
    {
        let reply = client.value(&format!("CLUSTER SLOT-STATS ORDERBY {metric} LIMIT 2 DESC")).items();
        assert_eq!((reply.len(), reply[0].items()[0].int()), (2, slot), "{metric}");
    }
    for (words, error) in [
        ("KEY-COUNT LIMIT 1 LIMIT 2", "ERR Multiple filters of the same type are disallowed."),
        ("KEY-COUNT ASC DESC", "ERR Multiple filters of the same type are disallowed."),
        ("KEY-COUNT LIMIT 0", "ERR Limit has to lie in between 1 and 16384 (maximum number of slots)."),
        ("KEY-COUNT LIMIT 16385", "ERR Limit has to lie in between 1 and 16384 (maximum number of slots)."),
        ("KEY-COUNT ASC LIMIT", "ERR syntax error"),
        ("KEY-COUNT LIMIT 1 foo", "ERR syntax error"),
        ("KEY-COUNT LIMIT x", "ERR value is not an integer or out of range"),
    ] {
        client.check(&format!("CLUSTER SLOT-STATS ORDERBY {words}"), &format!("-{error}~"));
    }
    client.check("CONFIG RESETSTAT", "+OK~");
    assert_eq!(figures(&mut client)[2..], [0, 0, 0]);
    client.check("CONFIG SET cluster-slot-stats-enabled no", "+OK~");
    client.check("CLUSTER SLOT-STATS SLOTSRANGE 12182 12182", "*1~*2~:12182~*2~$9~key-count~:1~");
}

/// Time counts for the slot too; here by the machine's clock.
#[test]
fn slots_tell_how_long_their_commands_took() {
    let all = [("cluster-enabled", "yes"), ("cluster-slot-stats-enabled", "yes")];
    let server = TestServer::with_clock(&all, kvarts::shared::clock::Clock::system());
    let mut client = server.client();
    drop(client.value("EVAL \"for i = 1, 200000 do end return redis.call('set', KEYS[1], 'x')\" 1 foo"));
    let took = |client: &mut Client, slot: &str| {
        let reply = client.value(&format!("CLUSTER SLOT-STATS SLOTSRANGE {slot} {slot}")).items();
        reply[0].items()[1].items()[5].int()
    };
    assert!(took(&mut client, "12182") > 0);
    assert_eq!(took(&mut client, "5061"), 0);
}
