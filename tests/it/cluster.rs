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
