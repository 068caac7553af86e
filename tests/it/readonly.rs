//! The read-only port.

use crate::harness::*;

fn start(pairs: &[(&str, &str)]) -> TestServer {
    let port = free_port().to_string();
    let mut all = vec![("read-only-port", port.as_str())];
    all.extend_from_slice(pairs);
    TestServer::with(&all)
}

#[test]
fn it_reads_and_refuses_writes() {
    let server = start(&[]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    let mut reader = server.read_only_client();
    reader.check("GET k", "$1~v~");
    reader.check("MGET k none", "*2~$1~v~$-1~");
    reader.check("EXISTS k", ":1~");
    reader.check("SCAN 0", "*2~$1~0~*1~$1~k~");
    for write in [
        "SET k w",
        "SETNX n w",
        "DEL k",
        "UNLINK k",
        "EXPIRE k 10",
        "PERSIST k",
        "INCR n",
        "APPEND k x",
        "GETDEL k",
        "GETEX k",
        "MSET a 1",
        "RENAME k l",
        "COPY k l",
        "MOVE k 1",
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
    ] {
        reader.check(write, "-READONLY You can't write against a read only replica.~");
    }
    client.check("GET k", "$1~v~");
    // Wrong requests are wrong before they are writes.
    reader.check("SET k", "-ERR wrong number of arguments for 'set' command~");
    reader.check("PUBLISH ch x", ":0~");
    reader.check("READONLY", "+OK~");
    reader.check("READWRITE", "+OK~");
    reader.check("SET k w", "-READONLY You can't write against a read only replica.~");
}

#[test]
fn each_port_tells_of_the_other() {
    let server = start(&[]);
    let ports = server.handle().ports();
    let (main, read_only) = (ports.main.to_string(), ports.read_only.to_string());
    let (mut client, mut reader) = (server.client(), server.read_only_client());
    let length = |text: &str| text.len();
    client.check(
        "ROLE",
        &format!("*3~$6~master~:1~*1~*3~$9~127.0.0.1~${}~{read_only}~$1~1~", length(&read_only)),
    );
    reader.check("ROLE", &format!("*5~$5~slave~$9~127.0.0.1~:{main}~$9~connected~:1~"));
    assert_eq!(info(&mut client, "role"), "master");
    assert_eq!(
        info(&mut client, "slave0"),
        format!("ip=127.0.0.1,port={read_only},state=online,offset=1,lag=0")
    );
    assert_eq!(info(&mut reader, "role"), "slave");
    assert_eq!(info(&mut reader, "master_port"), main);
    assert_eq!(info(&mut reader, "master_link_status"), "up");
    assert_eq!(info(&mut reader, "tcp_port"), read_only);
    assert_eq!(reader.value("HELLO").field("role").text(), "replica");
    assert_eq!(client.value("HELLO").field("role").text(), "master");
}

#[test]
fn it_hears_what_is_published() {
    let server = start(&[("notify-keyspace-events", "KA")]);
    let (mut client, mut reader) = (server.client(), server.read_only_client());
    reader.check("SUBSCRIBE ch __keyspace@0__:k", "*3~$9~subscribe~$2~ch~:1~");
    reader.check_next("*3~$9~subscribe~$16~__keyspace@0__:k~:2~");
    client.check("PUBLISH ch hello", ":1~");
    client.check("SET k v", "+OK~");
    reader.check_next("*3~$7~message~$2~ch~$5~hello~");
    reader.check_next("*3~$7~message~$16~__keyspace@0__:k~$3~set~");
}

#[test]
fn an_ended_key_is_gone_there_too() {
    let server = start(&[]);
    let (mut client, mut reader) = (server.client(), server.read_only_client());
    client.check("SET k v PX 10", "+OK~");
    reader.check("PTTL k", ":10~");
    server.advance_ms(10);
    reader.check("GET k", "$-1~");
    reader.check("DBSIZE", ":0~");
}

/// Writes ask for replicas: by themselves, in a pipeline, queued and run; reads do not. The read-only port is
/// a replica.
#[test]
fn writes_want_replicas() {
    let refused = "-NOREPLICAS Not enough good replicas to write.~";
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check("MULTI", "+OK~");
    client.check("SET k 1", "+QUEUED~");
    server.client().check("CONFIG SET min-replicas-to-write 1", "+OK~");
    client.check(
        "EXEC",
        "-EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.~",
    );
    client.send(b"GET k\r\nSET k 2\r\nSET k 3\r\nGET k\r\nPING\r\n");
    for reply in ["$1~v~", refused, refused, "$1~v~", "+PONG~"] {
        client.check_next(reply);
    }
    client.check("MULTI", "+OK~");
    client.check("SET k 4", refused);
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
    client.check("GET k", "$1~v~");
    client.check("EVAL \"return redis.call('get', KEYS[1])\" 1 k", "$1~v~");
    let from_script = client.raw("EVAL \"return redis.call('set', KEYS[1], 9)\" 1 k");
    assert!(
        from_script.starts_with("-NOREPLICAS Not enough good replicas to write. script: "),
        "{from_script}"
    );
    client.check("EVAL \"#!lua\\nreturn 1\" 0", refused);
    client.check("EVAL \"#!lua flags=no-writes\\nreturn 1\" 0", ":1~");
    assert_eq!(server.info("min_slaves_good_slaves"), "0");
    client.check("CONFIG SET min-replicas-max-lag 0", "+OK~");
    client.check("SET k 5", "+OK~");
    client.check("CONFIG SET min-replicas-max-lag 10", "+OK~");
    client.check("SET k 6", refused);
    client.check(&format!("CONFIG SET read-only-port {}", free_port()), "+OK~");
    client.check("SET k 7", "+OK~");
    client.check("CONFIG SET min-replicas-to-write 2", "+OK~");
    client.check("SET k 8", refused);
}
