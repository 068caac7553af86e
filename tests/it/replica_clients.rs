//! Clients of a replica while the primary's stream comes: what they are told, and what they may do.

use crate::harness::*;

fn pair(pairs: &[(&str, &str)]) -> (TestServer, TestServer) {
    let primary = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let replica = TestServer::with(pairs);
    replica.client().check(&format!("REPLICAOF 127.0.0.1 {}", primary.handle().ports().main), "+OK~");
    eventually("the link is up", || replica.info("master_link_status") == "up");
    (primary, replica)
}

/// Waits until the replica has everything.
fn catch_up(primary: &TestServer, replica: &TestServer) {
    let end = primary.info("master_repl_offset");
    eventually("the replica has everything", || replica.info("slave_repl_offset") == end);
}

/// WATCH, client-side caches, keyspace events and waits on a replica follow the stream.
#[test]
fn changes_of_the_stream_are_told() {
    let (primary, replica) = pair(&[("notify-keyspace-events", "KEA")]);
    let mut writer = primary.client();
    let mut watcher = replica.client();
    watcher.check("WATCH k", "+OK~");
    watcher.check("MULTI", "+OK~");
    watcher.check("GET k", "+QUEUED~");
    let mut tracker = replica.client3();
    tracker.check("CLIENT TRACKING on", "+OK~");
    tracker.check("GET k", "_~");
    let mut events = replica.client();
    events.check("PSUBSCRIBE __keyevent@*", "*3~$10~psubscribe~$12~__keyevent@*~:1~");
    let mut messages = replica.client();
    messages.check("SUBSCRIBE channel", "*3~$9~subscribe~$7~channel~:1~");
    writer.check("SET k v", "+OK~");
    writer.check("PUBLISH channel message", ":0~");
    catch_up(&primary, &replica);
    watcher.check("EXEC", "*-1~");
    tracker.check_next(">2~$10~invalidate~*1~$1~k~");
    events.check_next("*4~$8~pmessage~$12~__keyevent@*~$18~__keyevent@0__:set~$1~k~");
    messages.check_next("*3~$7~message~$7~channel~$7~message~");
}

/// A key whose time is over is absent on a replica, and removed when the primary says so.
#[test]
fn keys_vanish_and_are_removed_by_the_primarys_word() {
    let (primary, replica) = pair(&[]);
    let mut writer = primary.client();
    writer.check("SET k v PX 1000", "+OK~");
    writer.check("HSET h f v g w", ":2~");
    writer.check("HPEXPIRE h 1000 FIELDS 1 f", "*1~:1~");
    catch_up(&primary, &replica);
    let mut reader = replica.client();
    reader.check("GET k", "$1~v~");
    replica.advance_ms(1001);
    reader.check("GET k", "$-1~");
    reader.check("EXISTS k", ":0~");
    reader.check("HGET h f", "$-1~");
    reader.check("DBSIZE", ":2~");
    primary.advance_ms(1001);
    catch_up(&primary, &replica);
    reader.check("DBSIZE", ":1~");
}

/// Both ports of a replica serve reads, and neither takes writes.
#[test]
fn both_ports_of_a_replica_serve_reads() {
    let (primary, replica) = pair(&[("read-only-port", &free_port().to_string())]);
    primary.client().check("SET k v", "+OK~");
    catch_up(&primary, &replica);
    for mut client in [replica.client(), replica.read_only_client()] {
        client.check("GET k", "$1~v~");
        client.check("SET k w", "-READONLY You can't write against a read only replica.~");
        let role = client.value("ROLE");
        assert_eq!(role.texts()[..2], ["slave", "127.0.0.1"]);
        assert_eq!(info(&mut client, "master_port"), primary.handle().ports().main.to_string());
    }
}

/// What a replica asks of its own clients' writes is its read-only state, not how many replicas it has; and
/// one whose link is down takes no replicas.
#[test]
fn a_replica_without_a_link_refuses_replicas() {
    let replica = TestServer::with(&[("min-replicas-to-write", "3")]);
    let mut client = replica.client();
    client.check(&format!("REPLICAOF 127.0.0.1 {}", free_port()), "+OK~");
    client.check("SET k v", "-READONLY You can't write against a read only replica.~");
    client.check("CONFIG SET replica-read-only no", "+OK~");
    client.check("SET k v", "+OK~");
    let refused = "-NOMASTERLINK Can't SYNC while not connected with my master~";
    client.check("PSYNC ? -1", refused);
    client.check("SYNC", refused);
    client.check("CONFIG SET replica-serve-stale-data no", "+OK~");
    client
        .check("GET k", "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.~");
    let role = client.value("ROLE");
    assert_eq!(role.items()[4], Value::Int(-1));
    assert_eq!(info(&mut client, "master_link_down_since_seconds"), "-1");
}

/// FLUSHALL of the primary has a replica with save points write an empty snapshot, in the background.
#[test]
fn a_flush_of_the_primary_renews_the_snapshot() {
    let (primary, replica) = pair(&[("save", "3600 1")]);
    primary.client().check("SET k v", "+OK~");
    catch_up(&primary, &replica);
    replica.client().check("SAVE", "+OK~");
    let len = || std::fs::metadata(replica.dir().join("dump.rdb")).map_or(0, |file| file.len());
    let before = len();
    primary.client().check("FLUSHALL", "+OK~");
    primary.client().check("SET other v", "+OK~");
    catch_up(&primary, &replica);
    eventually("it is written", || len() != before);
    eventually("it has ended", || replica.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(replica.info("rdb_last_bgsave_status"), "ok");
}

/// A replica leaves eviction to its primary, unless it is told to evict by itself.
#[test]
fn a_replica_evicts_only_where_it_is_told_to() {
    let (primary, replica) = pair(&[("maxmemory-policy", "allkeys-lru")]);
    let mut writer = primary.client();
    for key in 0..100 {
        writer.call(&["SET", &format!("k{key}"), &"v".repeat(100_000)]);
    }
    catch_up(&primary, &replica);
    let mut client = replica.client();
    client.check("CONFIG SET maxmemory 1", "+OK~");
    client.check("GET none", "$-1~");
    assert_eq!(replica.info("evicted_keys"), "0");
    client.check("CONFIG SET replica-ignore-maxmemory no", "+OK~");
    eventually("keys are evicted", || {
        client.raw("GET none") == "$-1~" && replica.info("evicted_keys") != "0"
    });
    // The primary's stream goes on all the same.
    writer.check("SET after 1", "+OK~");
    catch_up(&primary, &replica);
    assert_eq!(replica.info("slave_repl_offset"), primary.info("master_repl_offset"));
}

/// Data that are read again while the stream comes (DEBUG RELOAD) lose nothing of it.
#[test]
fn a_reload_loses_nothing_of_the_stream() {
    let (primary, replica) = pair(&[("enable-debug-command", "yes")]);
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let mut writer = primary.client();
            (0..2000).for_each(|_| drop(writer.raw("INCR n")));
        });
        let mut client = replica.client();
        while !writes.is_finished() {
            client.check("DEBUG RELOAD", "+OK~");
        }
    });
    catch_up(&primary, &replica);
    replica.client().check("GET n", "$4~2000~");
}

/// Keys that a writable replica's own clients have given a time to live end there, as nobody else would end
/// them: also those of scripts and transactions. Those of the primary stay until it says so.
#[test]
fn a_writable_replica_ends_its_own_keys() {
    let (primary, replica) = pair(&[("replica-read-only", "no")]);
    primary.client().check("SET theirs v PX 1000", "+OK~");
    catch_up(&primary, &replica);
    let mut client = replica.client();
    client.check("SET a v PX 1000", "+OK~");
    client.check("SET b v", "+OK~");
    client.check("PEXPIRE b 1000", ":1~");
    client.check("SET c v PX 1000", "+OK~");
    client.check("PERSIST c", ":1~");
    client.check("EVAL 'return redis.call([[set]], KEYS[1], [[v]], [[px]], 1000)' 1 script", "+OK~");
    client.send(b"MULTI\r\nSET tx v PX 1000\r\nEXEC\r\n");
    (0..3).for_each(|_| drop(client.read_raw()));
    client.check("SET later v PX 5000", "+OK~");
    assert_eq!(replica.info("slave_expires_tracked_keys"), "6");
    client.check("DBSIZE", ":7~");
    replica.advance_ms(1001);
    client.check("DBSIZE", ":3~");
    client.check("GET theirs", "$-1~");
    client.check("GET c", "$1~v~");
    assert_eq!(replica.info("slave_expires_tracked_keys"), "1");
    replica.advance_ms(4000);
    client.check("DBSIZE", ":2~");
}

/// CLIENT PAUSE on a replica holds up its primary's stream as any client, and what came meanwhile is applied
/// behind it.
#[test]
fn a_pause_holds_up_the_stream() {
    let (primary, replica) = pair(&[]);
    let mut writer = primary.client();
    writer.check("SET k 1", "+OK~");
    catch_up(&primary, &replica);
    let (mut admin, mut reader) = (replica.client(), replica.client());
    let before = replica.info("slave_repl_offset");
    admin.check("CLIENT PAUSE 100000 WRITE", "+OK~");
    writer.check("SET k 2", "+OK~");
    let end = primary.info("master_repl_offset");
    eventually("it has come", || info(&mut admin, "slave_read_repl_offset") == end);
    assert_eq!(info(&mut admin, "slave_repl_offset"), before);
    reader.check("GET k", "$1~1~");
    assert_eq!(info(&mut admin, "master_link_status"), "up");
    admin.check("CLIENT UNPAUSE", "+OK~");
    catch_up(&primary, &replica);
    reader.check("GET k", "$1~2~");
    // A pause that ends by itself.
    admin.check("CLIENT PAUSE 1000 ALL", "+OK~");
    writer.check("SET k 3", "+OK~");
    replica.advance_ms(1001);
    catch_up(&primary, &replica);
    reader.check("GET k", "$1~3~");
}
