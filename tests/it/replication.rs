//! This server as a primary, with replicas made by hand: what they are sent, byte by byte, what they may
//! resume, and what waits for them.

use kvarts::shared::clock::Clock;

use crate::aof::{is_empty_while_it_loads, that_loads_slowly};
use crate::harness::*;
use crate::replica::Replica;

const SELECT_0: &str = "*2~$6~SELECT~$1~0~";

fn server() -> TestServer {
    with(&[])
}

fn with(pairs: &[(&str, &str)]) -> TestServer {
    let mut all = vec![("repl-diskless-sync-delay", "0"), ("enable-debug-command", "yes")];
    all.extend(pairs);
    TestServer::with(&all)
}

fn online(server: &TestServer, count: usize) {
    let replicas = || server.handle().server().replication.replicas.online();
    eventually("the replicas follow", || replicas() == count);
}

/// Waits until a client waits.
fn blocked(server: &TestServer) {
    eventually("the client waits", || server.info("blocked_clients") == "1");
}

/// A copy and then every change behind it: single ones, transactions whole, another database named, ended
/// keys as deletions.
#[test]
fn a_replica_gets_a_copy_and_every_change_behind_it() {
    let server = server();
    let mut client = server.client();
    client.check("SET before 1", "+OK~");
    let (mut replica, _, _) = Replica::follow(&server);
    online(&server, 1);
    client.check("SET k v", "+OK~");
    replica.expect(&format!("{SELECT_0}*3~$3~SET~$1~k~$1~v~"));
    client.check("GET k", "$1~v~");
    client.check("SET k w PX 100", "+OK~");
    let at = START_MS + 100;
    replica.expect(&format!("*5~$3~SET~$1~k~$1~w~$4~PXAT~$13~{at}~"));
    server.advance_ms(100);
    replica.expect("*2~$6~UNLINK~$1~k~");
    client.send(b"SELECT 3\r\nMULTI\r\nINCR i\r\nRPUSH l a\r\nEXEC\r\nPUBLISH ch hello\r\n");
    replica.expect("*1~$5~MULTI~*2~$6~SELECT~$1~3~*2~$4~INCR~$1~i~*3~$5~RPUSH~$1~l~$1~a~*1~$4~EXEC~");
    replica.expect("*3~$7~PUBLISH~$2~ch~$5~hello~");
}

/// The copy's header is that of the version which the replica reads.
#[test]
fn copies_are_written_for_their_readers() {
    let server = server();
    let mut client = server.client();
    client.check("HSET h f v", ":1~");
    let header = |said: &[&[&str]]| {
        let mut replica = Replica::connect(&server);
        for words in said {
            assert_eq!(replica.ask(words), "+OK");
        }
        replica.ask_for_all();
        String::from_utf8_lossy(&replica.copy()[..9]).into_owned()
    };
    let eof: &[&str] = &["REPLCONF", "capa", "eof"];
    let redis_8: &[&str] = &["REPLCONF", "capa", "rdb-channel-repl"];
    assert_eq!(header(&[]), "REDIS0010", "Redis 7.0 says no version");
    assert_eq!(header(&[eof]), "REDIS0010");
    assert_eq!(header(&[redis_8]), "REDIS0011");
    assert_eq!(header(&[eof, &["REPLCONF", "version", "8.1.3"]]), "REDIS0011");
    client.check("HPEXPIRE h 100000 FIELDS 1 f", "*1~:1~");
    assert_eq!(header(&[eof, &["REPLCONF", "version", "9.0.0"]]), "VALKEY080");
    assert_eq!(header(&[eof, redis_8]), "REDIS0012");
    // One that cannot read what there is hears nothing that would have it drop its data.
    let mut replica = Replica::connect(&server);
    assert_eq!(replica.ask(&["REPLCONF", "version", "8.1.3"]), "+OK");
    let refused = |hash: &str| {
        format!(
            "-NOMASTERLINK Can't SYNC: fields of {hash} in database 0 have expiries, which this replica cannot \
             read (Redis 8 and Valkey 9 can)"
        )
    };
    assert_eq!(replica.ask(&["PSYNC", "?", "-1"]), refused("a hash"));
    assert_eq!(replica.expect_closed(), 0);
    // Its key is user data.
    client.check("CONFIG SET hide-user-data-from-log no", "+OK~");
    let mut replica = Replica::connect(&server);
    assert_eq!(replica.ask(&["SYNC"]), refused("the hash 'h'"));
    assert_eq!(replica.expect_closed(), 0);
}

/// SYNC is answered with the copy alone; libraries of functions alone and copies alone can be asked for.
#[test]
fn old_replicas_and_tools_get_what_they_ask_for() {
    let server = server();
    let mut client = server.client();
    client.check("SET k value-of-k", "+OK~");
    client.check(
        "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 1 end)\"",
        "$3~lib~",
    );
    let holds = |copy: &[u8], text: &str| copy.windows(text.len()).any(|window| window == text.as_bytes());
    let mut replica = Replica::connect(&server);
    replica.say(&["SYNC"]);
    let copy = replica.copy();
    assert!(holds(&copy, "value-of-k") && holds(&copy, "register_function"));
    client.check("SET after 1", "+OK~");
    replica.expect(&format!("{SELECT_0}*3~$3~SET~$5~after~$1~1~"));

    let mut replica = Replica::connect(&server);
    assert_eq!(replica.ask(&["REPLCONF", "rdb-only", "1", "rdb-filter-only", "functions"]), "+OK");
    replica.ask_for_all();
    let copy = replica.copy();
    assert!(!holds(&copy, "value-of-k") && holds(&copy, "register_function"));
    assert_eq!(replica.expect_closed(), 0);
}

/// Whoever was cut off goes on where it was, as long as that is kept; everybody else gets a copy.
#[test]
fn a_link_that_was_cut_goes_on() {
    // With a spill file, what these replicas do not acknowledge would be kept for them.
    let server = with(&[("repl-backlog-size", "1mb"), ("repl-spill-size", "0")]);
    let mut client = server.client();
    let (replica, id, offset) = Replica::follow(&server);
    online(&server, 1);
    drop(replica);
    online(&server, 0);
    client.check("SET a 1", "+OK~");
    client.check("SET b 2", "+OK~");
    let first = format!("{SELECT_0}*3~$3~SET~$1~a~$1~1~");
    let second = "*3~$3~SET~$1~b~$1~2~";
    let mut replica = Replica::connect(&server);
    replica.introduce(7001);
    let next = (offset + 1).to_string();
    assert_eq!(replica.ask(&["PSYNC", &id, &next]), format!("+CONTINUE {id}"));
    replica.expect(&format!("{first}{second}"));
    // Another one has the first change, and knows of no other ids.
    let mut other = Replica::connect(&server);
    let next = (offset + 1 + first.replace('~', "\r\n").len() as u64).to_string();
    assert_eq!(other.ask(&["PSYNC", &id, &next]), "+CONTINUE");
    other.expect(second);
    client.check("SET c 3", "+OK~");
    let third = "*3~$3~SET~$1~c~$1~3~";
    replica.expect(third);
    other.expect(third);
    assert_eq!(server.info("sync_full"), "1");
    assert_eq!(server.info("sync_partial_ok"), "2");
    let end: u64 = server.info("master_repl_offset").parse().expect("an offset");
    let zeros = "0".repeat(40);
    for (id, next) in [(&id, end + 2), (&id, 0), (&zeros, end + 1)] {
        let mut stranger = Replica::connect(&server);
        let line = stranger.ask(&["PSYNC", id, &next.to_string()]);
        assert!(line.starts_with("+FULLRESYNC "), "{line}");
    }
    assert_eq!(server.info("sync_partial_err"), "3");
    // What is not kept any more.
    let value = "x".repeat(300_000);
    for _ in 0..12 {
        client.check(&format!("SET big {value}"), "+OK~");
    }
    let mut late = Replica::connect(&server);
    let line = late.ask(&["PSYNC", &id, &(offset + 1).to_string()]);
    assert!(line.starts_with("+FULLRESYNC "), "{line}");
    // Another history.
    client.check("DEBUG CHANGE-REPL-ID", "+OK~");
    let end: u64 = server.info("master_repl_offset").parse().expect("an offset");
    let line = Replica::connect(&server).ask(&["PSYNC", &id, &(end + 1).to_string()]);
    assert!(line.starts_with("+FULLRESYNC "), "{line}");
}

/// Replicas that ask within `repl-diskless-sync-delay` share one copy; nobody waits longer than that.
#[test]
fn replicas_that_ask_together_share_a_copy() {
    let server = with(&[("repl-diskless-sync-delay", "5")]);
    let mut client = server.client();
    let mut replicas = [Replica::connect(&server), Replica::connect(&server), Replica::connect(&server)];
    for replica in &mut replicas {
        replica.introduce(7001);
        replica.say(&["PSYNC", "?", "-1"]);
        assert!(client.value("INCR i").int() > 0);
    }
    let waiting = || server.handle().server().waiting_replicas().len();
    eventually("all wait", || waiting() == 3);
    server.advance_ms(4999);
    assert_eq!(waiting(), 3);
    server.advance_ms(1);
    let lines: Vec<String> = replicas.iter_mut().map(Replica::line).collect();
    assert!(lines[0].starts_with("+FULLRESYNC ") && lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    let copies: Vec<Vec<u8>> = replicas.iter_mut().map(Replica::copy).collect();
    assert!(copies.iter().all(|copy| *copy == copies[0]));
}

/// WAIT ends when enough replicas have what its client wrote, and asks them for it.
#[test]
fn wait_counts_replicas_that_have_the_writes() {
    let server = server();
    let mut client = server.client();
    client.check("WAIT 0 100", ":0~");
    let (mut one, _, start) = Replica::follow(&server);
    let (mut other, _, _) = Replica::follow(&server);
    online(&server, 2);
    client.check("WAIT 2 100", ":2~");
    client.check("SET k v", "+OK~");
    let entry = format!("{SELECT_0}*3~$3~SET~$1~k~$1~v~");
    let written = start + entry.replace('~', "\r\n").len() as u64;
    one.expect(&entry);
    other.expect(&entry);
    client.send_command("WAIT 2 0");
    let getack = "*3~$8~REPLCONF~$6~GETACK~$1~*~";
    one.expect(getack);
    other.expect(getack);
    one.acknowledge(written);
    client.check_still_open("one of two");
    other.acknowledge(written - 1);
    other.acknowledge(written);
    client.check_next(":2~");
    // A wait that is over in vain counts those that have it.
    client.check("SET k w", "+OK~");
    client.send_command("WAIT 2 1000");
    blocked(&server);
    let len = "*3~$3~SET~$1~k~$1~w~".replace('~', "\r\n").len() as u64;
    let getack_len = getack.replace('~', "\r\n").len() as u64;
    one.acknowledge(written + getack_len + len);
    eventually("the acknowledgement is taken", || {
        server.info("slave0").contains(&format!("offset={}", written + getack_len + len))
    });
    server.advance_ms(1000);
    client.check_next(":1~");
    // Within a transaction nobody waits; what it writes itself is not in the stream yet.
    client.send(b"MULTI\r\nSET k x\r\nWAIT 1 0\r\nEXEC\r\n");
    for reply in ["+OK~", "+QUEUED~", "+QUEUED~", "*2~+OK~:1~"] {
        client.check_next(reply);
    }
}

/// WAITAOF counts what replicas have on disk, which they say behind their acknowledgement.
#[test]
fn waitaof_counts_the_disks_of_replicas() {
    let server = with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let mut client = server.client();
    let (mut replica, _, start) = Replica::follow(&server);
    online(&server, 1);
    client.check("SET k v", "+OK~");
    let entry = format!("{SELECT_0}*3~$3~SET~$1~k~$1~v~");
    replica.expect(&entry);
    let written = start + entry.replace('~', "\r\n").len() as u64;
    client.send_command("WAITAOF 1 1 0");
    replica.expect("*3~$8~REPLCONF~$6~GETACK~$1~*~");
    replica.acknowledge(written);
    let (acked, on_disk) = (written.to_string(), (written - 1).to_string());
    replica.say(&["REPLCONF", "ACK", &acked, "FACK", &on_disk]);
    client.check_still_open("it is not on the replica's disk");
    replica.say(&["REPLCONF", "ACK", &acked, "FACK", &acked]);
    client.check_next("*2~:1~:1~");
    client.check("SET k w", "+OK~");
    client.send_command("WAITAOF 1 1 500");
    blocked(&server);
    server.advance_ms(500);
    client.check_next("*2~:1~:0~");
    // Words to replicas are in no file: it holds the changes and nothing else.
    let file = std::fs::read_dir(server.dir().join("appendonlydir"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .expect("a file");
    let text = String::from_utf8_lossy(&std::fs::read(file).expect("readable")).into_owned();
    assert!(text.contains("SET") && !text.contains("GETACK") && !text.contains("REPLCONF"), "{text}");
}

/// Writes are refused while fewer replicas are in good state than `min-replicas-to-write` asks for.
#[test]
fn writes_want_replicas_that_were_heard_of() {
    let refused = "-NOREPLICAS Not enough good replicas to write.~";
    let server = with(&[("min-replicas-to-write", "1"), ("min-replicas-max-lag", "10")]);
    let mut client = server.client();
    client.check("SET k v", refused);
    let (mut replica, _, offset) = Replica::follow(&server);
    online(&server, 1);
    client.check("SET k v", "+OK~");
    assert_eq!(server.info("min_slaves_good_slaves"), "1");
    server.advance_ms(10_999);
    client.check("SET k v", "+OK~");
    server.advance_ms(1);
    client.check("SET k v", refused);
    client.check("GET k", "$1~v~");
    replica.acknowledge(offset);
    eventually("the replica is good again", || client.raw("SET k w") == "+OK~");
    drop(replica);
    online(&server, 0);
    client.check("SET k v", refused);
}

/// INFO, ROLE and CLIENT LIST tell of replicas; CLIENT KILL TYPE replica ends their links.
#[test]
fn replicas_are_shown_and_killed() {
    let server = server();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    let mut replica = Replica::connect(&server);
    assert_eq!(replica.ask(&["REPLCONF", "ip-address", "10.0.0.7", "capa", "eof"]), "+OK");
    replica.introduce(7007);
    let shown = |stage: &str, offset: u64, lag: u64| {
        format!("ip=10.0.0.7,port=7007,state={stage},offset={offset},lag={lag},type=replica")
    };
    // What is shown in each state is what Valkey shows.
    client.check("CONFIG SET repl-diskless-sync-delay 60", "+OK~");
    replica.say(&["PSYNC", "?", "-1"]);
    eventually("it waits for its copy", || server.info("slave0") == shown("wait_bgsave", 0, 0));
    server.advance_ms(2000);
    assert_eq!(server.info("slave0"), shown("wait_bgsave", 0, 0), "it has no lag");
    client.check("CONFIG SET repl-diskless-sync-delay 0", "+OK~");
    let (id, offset) = replica.asked_for_all();
    assert_eq!(server.info("master_replid"), id);
    client.check("ROLE", &format!("*3~$6~master~:{offset}~*0~"));
    replica.copy();
    // All is sent: as on Valkey it is online, and has a lag for as long as it loads.
    eventually("it is sent", || server.info("slave0") == shown("online", 0, 0));
    server.advance_ms(5000);
    assert_eq!(server.info("slave0"), shown("online", 0, 5));
    online(&server, 0);
    replica.acknowledge(offset);
    online(&server, 1);
    server.advance_ms(3000);
    assert_eq!(server.info("slave0"), shown("online", offset, 3));
    assert_eq!(server.info("connected_slaves"), "1");
    assert_eq!(server.info("repl_backlog_active"), "1");
    assert_eq!(server.info("repl_backlog_first_byte_offset"), (offset + 1).to_string());
    assert_eq!(server.info("repl_backlog_histlen"), "0");
    client.check("ROLE", &format!("*3~$6~master~:{offset}~*1~*3~$8~10.0.0.7~$4~7007~$1~{offset}~"));
    let list = client.value("CLIENT LIST TYPE replica").text();
    assert!(list.lines().count() == 1 && list.contains(" flags=S "), "{list}");
    client.check("CLIENT KILL TYPE replica", ":1~");
    assert_eq!(replica.expect_closed(), 0);
    online(&server, 0);
    assert_eq!(server.info("connected_slaves"), "0");
}

/// A copy for replicas is a snapshot that is under way, as monitoring sees it, and what is sent to replicas is
/// counted by itself.
#[test]
fn copies_are_shown_and_counted() {
    let server = server();
    let mut client = server.client();
    client.check("CONFIG SET rdb-key-save-delay 100000", "+OK~");
    (0..200).for_each(|n| client.check(&format!("SET k{n} v"), "+OK~"));
    assert_eq!(server.info("rdb_bgsave_in_progress"), "0");
    let mut replica = Replica::connect(&server);
    replica.introduce(7008);
    replica.ask_for_all();
    eventually("it is shown", || server.info("rdb_bgsave_in_progress") == "1");
    client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
    replica.copy();
    eventually("it is over", || server.info("rdb_bgsave_in_progress") == "0");
    let sent: u64 = server.info("total_net_repl_output_bytes").parse().expect("a number");
    assert!(sent > 200, "{sent}");
    client.check("CONFIG RESETSTAT", "+OK~");
    assert_eq!(server.info("total_net_repl_output_bytes"), "0");
}

/// What has a reply would stand in the stream: a replica that asks is cut, and changes nothing.
#[test]
fn a_replica_that_asks_is_cut() {
    let server = server();
    let mut client = server.client();
    for asks in [
        &["PING"][..],
        &["GET", "k"],
        &["SET", "k", "v"],
        &["XINFO", "HELP"],
        &["SUBSCRIBE", "ch"],
        &["NOSUCHCOMMAND"],
    ] {
        let (mut replica, _, offset) = Replica::follow(&server);
        online(&server, 1);
        replica.say(&["REPLCONF", "ACK", &offset.to_string()]);
        replica.say(asks);
        assert_eq!(replica.expect_closed(), 0, "{asks:?}");
        online(&server, 0);
    }
    client.check("EXISTS k", ":0~");
    client.check("PUBSUB NUMSUB ch", "*2~$2~ch~:0~");
    client.check("PSYNC id x", "-ERR value is not an integer or out of range~");
}

/// The read-only port stands for a replica only until a real one has followed: what WAIT promises must not
/// hang on this process alone.
#[test]
fn the_read_only_port_does_not_count_beside_replicas() {
    let server = with(&[("read-only-port", &free_port().to_string())]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check("WAIT 1 0", ":1~");
    let (replica, _, offset) = Replica::follow(&server);
    online(&server, 1);
    assert_eq!(
        server.info("slave0"),
        format!("ip=127.0.0.1,port=7001,state=online,offset={offset},lag=0,type=replica")
    );
    drop(replica);
    online(&server, 0);
    assert_eq!(server.info("connected_slaves"), "0");
    client.check("SET k w", "+OK~");
    client.send_command("WAIT 1 100");
    blocked(&server);
    server.advance_ms(100);
    client.check_next(":0~");
}

/// The stream is written for an hour without replicas (`repl-backlog-ttl`), and is another one afterwards.
#[test]
fn the_backlog_goes_when_nobody_comes_back() {
    let server = with(&[("repl-backlog-ttl", "60")]);
    let mut client = server.client();
    let (replica, id, _) = Replica::follow(&server);
    online(&server, 1);
    drop(replica);
    online(&server, 0);
    client.check("SET k v", "+OK~");
    server.advance_ms(60_000);
    let before: u64 = server.info("master_repl_offset").parse().expect("a number");
    assert_eq!(server.info("repl_backlog_active"), "1");
    server.advance_ms(1);
    eventually("the backlog is gone", || server.info("repl_backlog_active") == "0");
    assert_ne!(server.info("master_replid"), id);
    assert!(!server.handle().server().journal().is_heard());
    let after: u64 = server.info("master_repl_offset").parse().expect("a number");
    assert_eq!(before, after);
    client.check("SET k v", "+OK~");
    assert_eq!(server.info("master_repl_offset"), (after + 1).to_string());
    let line = Replica::connect(&server).ask(&["PSYNC", &id, &(before + 1).to_string()]);
    assert!(line.starts_with("+FULLRESYNC "), "{line}");
}

/// Silent replicas are given up after `repl-timeout`, and hear of the primary each
/// `repl-ping-replica-period`.
#[test]
fn links_are_pinged_and_given_up() {
    let server = with(&[("repl-timeout", "30"), ("repl-ping-replica-period", "10")]);
    let (mut replica, _, offset) = Replica::follow(&server);
    online(&server, 1);
    server.advance_ms(10_000);
    replica.expect("*1~$4~PING~");
    replica.acknowledge(offset);
    eventually("it was heard", || server.info("slave0").ends_with("lag=0,type=replica"));
    server.advance_ms(30_000);
    replica.expect("*1~$4~PING~");
    server.advance_ms(1_000);
    replica.expect_closed();
    online(&server, 0);
}

/// What replicas must not say is refused, and a replica that lies or reads nothing is cut. Nobody else
/// notices.
#[test]
fn hostile_replicas_are_refused_or_cut() {
    let limit = ("client-output-buffer-limit", "replica 2mb 1mb 5");
    let server = with(&[limit, ("repl-backlog-size", "1mb"), ("repl-spill-size", "0")]);
    let mut client = server.client();
    for (words, error) in [
        (&["REPLCONF", "capa"][..], "-ERR syntax error"),
        (&["REPLCONF", "listening-port", "x"], "-ERR value is not an integer or out of range"),
        (&["REPLCONF", "listening-port", "70000"], "-ERR value is out of range"),
        (&["REPLCONF", "nothing", "1"], "-ERR Unrecognized REPLCONF option: nothing"),
        (&["REPLCONF", "version", "new"], "-ERR Unrecognized version format: new"),
        (&["REPLCONF", "rdb-filter-only", "keys"], "-ERR Unsupported rdb-filter-only option: keys"),
        (&["PSYNC", "?", "x"], "-ERR value is not an integer or out of range"),
        (&["PSYNC", "?"], "-ERR wrong number of arguments for 'psync' command"),
    ] {
        assert_eq!(Replica::connect(&server).ask(words), error, "{words:?}");
    }
    let mut replica = Replica::connect(&server);
    let address = "a".repeat(1025);
    let line = replica.ask(&["REPLCONF", "ip-address", &address]);
    assert!(line.starts_with("-ERR REPLCONF ip-address provided by replica instance is too long"), "{line}");
    assert_eq!(replica.ask(&["REPLCONF", "ip-address", "1.2.3.4\r\nrole:slave,x"]), "+OK");
    // An acknowledgement of what was never sent.
    let (mut liar, _, offset) = Replica::follow(&server);
    online(&server, 1);
    liar.acknowledge(offset + 1);
    liar.expect_closed();
    online(&server, 0);
    // One that asks again, which is no matter.
    let (mut replica, _, offset) = Replica::follow(&server);
    online(&server, 1);
    replica.say(&["PSYNC", "?", "-1"]);
    replica.acknowledge(offset);
    client.check("PUBLISH ch x", ":0~");
    replica.expect("*3~$7~PUBLISH~$2~ch~$1~x~");
    client.check("SET k v", "+OK~");
    replica.expect(&format!("{SELECT_0}*3~$3~SET~$1~k~$1~v~"));
    // One that reads nothing is cut, and the others are served.
    let (_idle, _, _) = Replica::follow(&server);
    online(&server, 2);
    let value = "x".repeat(500_000);
    let (read, done) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut replica = replica;
        // Behind the other's copy the database is said again.
        replica.expect(SELECT_0);
        for _ in 0..60 {
            replica.expect("*3~$3~SET~$3~big~$500000~");
            replica.bytes(500_002);
            read.send(()).expect("it is waited for");
        }
        replica
    });
    for _ in 0..60 {
        client.check(&format!("SET big {value}"), "+OK~");
        // Not faster than the one that reads is served.
        done.recv().expect("the one that reads has it");
    }
    let _replica = reader.join().expect("all of it came");
    online(&server, 1);
    assert_eq!(client.raw("PING"), "+PONG~");
}

/// What waits for a replica does not count against `maxmemory-clients`: it would be the first to be cut, and
/// its copy would begin again.
#[test]
fn replicas_are_not_evicted_with_clients() {
    let server = with(&[("client-output-buffer-limit", "replica 0 0 0"), ("maxmemory-clients", "8mb")]);
    let mut client = server.client();
    let (_idle, _, _) = Replica::follow(&server);
    online(&server, 1);
    let value = "x".repeat(500_000);
    for _ in 0..60 {
        client.check(&format!("SET big {value}"), "+OK~");
    }
    eventually("much waits for it", || {
        let list = server.client().value("CLIENT LIST TYPE replica").text();
        let bytes =
            list.split(' ').find_map(|field| field.strip_prefix("omem=")).expect("a figure").to_owned();
        bytes.parse::<u64>().expect("a number") > 16 << 20
    });
    let mut greedy = server.client();
    let request = format!("*2\r\n$4\r\nECHO\r\n$12000000\r\n{}", "y".repeat(10_000_000));
    // It may be cut while it sends.
    let _ = greedy.try_send(request.as_bytes());
    eventually("the client is evicted", || server.info("evicted_clients") == "1");
    online(&server, 1);
}

/// A replica that leaves in the middle of its copy leaves nothing behind, and the next one gets its copy.
#[test]
fn a_copy_that_nobody_takes_is_given_up() {
    let server = server();
    let mut client = server.client();
    let value = "x".repeat(100_000);
    for number in 0..400 {
        client.check(&format!("SET key{number} {value}{number}"), "+OK~");
    }
    client.check("CONFIG SET rdbcompression no", "+OK~");
    for _ in 0..3 {
        let mut replica = Replica::connect(&server);
        replica.introduce(7001);
        replica.ask_for_all();
        replica.bytes(100_000);
    }
    eventually("nothing is copied", || {
        !server.handle().server().replication.is_copying.load(std::sync::atomic::Ordering::Acquire)
    });
    eventually("nobody is left", || server.info("connected_slaves") == "0");
    assert!(!server.handle().server().keyspace.handover.is_running());
    let (_replica, _, _) = Replica::follow(&server);
    online(&server, 1);
}

/// A link that is cut after any byte of the handshake or of the copy leaves nothing behind.
#[test]
fn links_may_be_cut_after_any_byte() {
    let server = with(&[("repl-backlog-size", "1mb"), ("rdbcompression", "no")]);
    let mut client = server.client();
    let value = "x".repeat(1000);
    for number in 0..100 {
        client.check(&format!("SET key{number} {value}{number}"), "+OK~");
    }
    let handshake = [
        encode(&["REPLCONF", "listening-port", "7001"]),
        encode(&["REPLCONF", "capa", "eof", "capa", "psync2"]),
        encode(&["PSYNC", "?", "-1"]),
    ]
    .concat();
    let mut rng = fastrand::Rng::with_seed(11);
    for sent in 0..=handshake.len() {
        let mut replica = Replica::connect(&server);
        replica.send(&handshake[..sent]);
        if sent % 8 == 0 {
            assert!(client.value("INCR i").int() > 0);
        }
    }
    for _ in 0..40 {
        let mut replica = Replica::connect(&server);
        replica.send(&handshake);
        replica.bytes(rng.usize(1..100_000));
    }
    let replicas = &server.handle().server().replication;
    eventually("all are gone", || replicas.replicas.count() == 0);
    eventually("nothing is copied", || !replicas.is_copying.load(std::sync::atomic::Ordering::Acquire));
    assert!(!server.handle().server().keyspace.handover.is_running());
    for _ in 0..30 {
        client.check(&format!("SET big {}", "y".repeat(200_000)), "+OK~");
    }
    let kept = server.handle().server().journal().memory_bytes();
    assert!(kept < 4 << 20, "{kept} bytes are kept for nobody");
    let (_replica, _, _) = Replica::follow(&server);
    online(&server, 1);
}

/// Of two that share a copy one takes nothing of it: it is given up after `repl-timeout`, and the other gets
/// the whole copy.
#[test]
fn who_takes_nothing_of_a_copy_holds_it_up_for_a_bounded_time() {
    let server = with(&[("repl-diskless-sync-delay", "1"), ("repl-timeout", "10"), ("rdbcompression", "no")]);
    let mut client = server.client();
    let value = "x".repeat(1_000_000);
    for number in 0..40 {
        client.check(&format!("SET key{number} {value}"), "+OK~");
    }
    let mut idle = Replica::connect(&server);
    let mut replica = Replica::connect(&server);
    for one in [&mut idle, &mut replica] {
        one.introduce(7001);
        one.say(&["PSYNC", "?", "-1"]);
    }
    eventually("both wait", || server.handle().server().waiting_replicas().len() == 2);
    server.advance_ms(1000);
    assert!(replica.line().starts_with("+FULLRESYNC "));
    let taker = std::thread::spawn(move || (replica.copy().len(), replica));
    eventually("the copy does not get on", || {
        let counts = || server.info("total_net_repl_output_bytes");
        let before = counts();
        std::thread::sleep(std::time::Duration::from_millis(50));
        counts().len() >= 8 && before.len() == counts().len() && !taker.is_finished()
    });
    server.advance_ms(10_001);
    let (len, _replica) = taker.join().expect("the copy comes");
    assert!(len > 40_000_000, "{len} bytes");
    eventually("one is gone", || server.info("connected_slaves") == "1");
    drop(idle);
}

/// A primary that starts again with its snapshot goes on with its stream: replicas that have all of it need
/// no copy.
#[test]
fn a_restarted_primary_goes_on_with_its_stream() {
    let server = server();
    let mut client = server.client();
    let (mut replica, id, offset) = Replica::follow(&server);
    online(&server, 1);
    client.check("SET k v", "+OK~");
    let entry = format!("{SELECT_0}*3~$3~SET~$1~k~$1~v~");
    replica.expect(&entry);
    let end = offset + entry.replace('~', "\r\n").len() as u64;
    client.check("SAVE", "+OK~");
    drop(replica);
    let dir = server.stop_and_keep();
    let pairs = [("repl-diskless-sync-delay", "0")];
    let server =
        TestServer::try_with(&pairs, kvarts::shared::clock::Clock::manual(START_MS), dir).expect("it starts");
    server.handle().wait_until_loaded().expect("it loads");
    let mut client = server.client();
    assert_eq!(server.info("master_replid2"), id);
    assert_eq!(server.info("second_repl_offset"), (end + 1).to_string());
    assert_eq!(server.info("master_repl_offset"), end.to_string());
    client.check("SET k w", "+OK~");
    let mut replica = Replica::connect(&server);
    replica.introduce(7001);
    let now = server.info("master_replid");
    assert_ne!(now, id);
    assert_eq!(replica.ask(&["PSYNC", &id, &(end + 1).to_string()]), format!("+CONTINUE {now}"));
    replica.expect(&format!("{SELECT_0}*3~$3~SET~$1~k~$1~w~"));
    assert_eq!(server.info("sync_partial_ok"), "1");
    client.check("CONFIG RESETSTAT", "+OK~");
    assert_eq!(server.info("sync_partial_ok"), "0");
    // What the old run never had.
    let line = Replica::connect(&server).ask(&["PSYNC", &id, &(end + 2).to_string()]);
    assert!(line.starts_with("+FULLRESYNC "), "{line}");
}

/// Keys that ended while a primary was down are removed in its stream: they were dropped as the snapshot was
/// loaded, and replicas that went on kept them for ever.
#[test]
fn a_restarted_primary_tells_of_keys_that_have_ended_meanwhile() {
    let server = server();
    let mut client = server.client();
    let (mut replica, id, offset) = Replica::follow(&server);
    online(&server, 1);
    client.check(&format!("SET k v PXAT {}", START_MS + 1000), "+OK~");
    let entry = format!("{SELECT_0}*5~$3~SET~$1~k~$1~v~$4~PXAT~$13~{}~", START_MS + 1000);
    replica.expect(&entry);
    let end = offset + entry.replace('~', "\r\n").len() as u64;
    client.check("SAVE", "+OK~");
    drop(replica);
    let dir = server.stop_and_keep();
    let clock = kvarts::shared::clock::Clock::manual(START_MS + 2000);
    let server = TestServer::try_with(&[("repl-diskless-sync-delay", "0")], clock, dir).expect("it starts");
    server.handle().wait_until_loaded().expect("it loads");
    assert_eq!((server.info("rdb_last_load_keys_expired"), server.info("master_replid2")), ("1".into(), id));
    server.advance_ms(1);
    assert_eq!(server.client().value("DBSIZE").int(), 0);
    let mut replica = Replica::connect(&server);
    replica.introduce(7001);
    let now = server.info("master_replid");
    let line = replica.ask(&["PSYNC", &server.info("master_replid2"), &(end + 1).to_string()]);
    assert_eq!(line, format!("+CONTINUE {now}"));
    replica.expect(&format!("{SELECT_0}*2~$6~UNLINK~$1~k~"));
}

/// The end waits until replicas have everything (`shutdown-timeout`); nothing changes meanwhile.
#[test]
fn the_end_waits_for_replicas() {
    let server = server();
    let mut client = server.client();
    let (mut replica, _, offset) = Replica::follow(&server);
    online(&server, 1);
    client.check("SET k v", "+OK~");
    let entry = format!("{SELECT_0}*3~$3~SET~$1~k~$1~v~");
    replica.expect(&entry);
    client.send_command("SHUTDOWN NOSAVE");
    replica.expect("*3~$8~REPLCONF~$6~GETACK~$1~*~");
    let end = server.handle().server().journal().end();
    let mut writer = server.client();
    writer.send_command("SET k w");
    assert_eq!(server.client().value("GET k").text(), "v");
    client.check_still_open("a replica has not got everything");
    replica.acknowledge(offset + entry.replace('~', "\r\n").len() as u64);
    client.expect_closed();
    writer.check_still_open("nothing changes before the end");
    assert_eq!(server.handle().server().journal().end(), end);
}

/// While the end waits for replicas, INFO says for how long, all that asked for it count as blocked, and each
/// hears when it is given up: by SHUTDOWN ABORT, or as the append-only file was switched on meanwhile, whose
/// first base is not written. Writes go on then.
#[test]
fn an_end_that_waits_for_replicas_can_be_given_up() {
    let server = server();
    let mut client = server.client();
    let (mut replica, ..) = Replica::follow(&server);
    online(&server, 1);
    let clients: u64 = info(&mut client, "connected_clients").parse().expect("a number");
    client.check("SET k v", "+OK~");
    replica.expect(&format!("{SELECT_0}*3~$3~SET~$1~k~$1~v~"));
    let mut asking = [server.client(), server.client()];
    let mut writer = server.client();
    for attempt in 0..2 {
        let mut ask = || {
            for one in &mut asking {
                one.send_command("SHUTDOWN");
                replica.expect("*3~$8~REPLCONF~$6~GETACK~$1~*~");
            }
        };
        ask();
        eventually("both wait", || info(&mut client, "blocked_clients") == "2");
        assert_eq!(client.raw("CLIENT LIST").matches("cmd=shutdown").count(), 2);
        assert_eq!(info(&mut client, "connected_clients"), (clients + 3).to_string(), "without the replica");
        let remaining: u64 = info(&mut client, "shutdown_in_milliseconds").parse().expect("a number");
        assert!((1..=10_000).contains(&remaining), "{remaining}");
        writer.send_command(&format!("SET w {attempt}"));
        eventually("the writer waits", || info(&mut client, "blocked_clients") == "3");
        if attempt == 0 {
            client.check("SHUTDOWN ABORT", "+OK~");
        } else {
            client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
            client.check("CONFIG SET appendonly yes", "+OK~");
            replica.acknowledge(server.handle().server().replication_offset());
        }
        for one in &mut asking {
            one.check_next("-ERR Errors trying to SHUTDOWN. Check logs.~");
        }
        writer.check_next("+OK~");
        // The append-only file begins with a database of its own, before the change or behind it.
        let set = format!("*3~$3~SET~$1~w~$1~{attempt}~");
        let bytes_of = |text: &str| text.replace('~', "\r\n").len();
        let first = show(&replica.bytes(bytes_of(&set)));
        if first != set {
            let rest = show(&replica.bytes(bytes_of(SELECT_0)));
            assert_eq!(first + &rest, format!("{SELECT_0}{set}"));
        }
        assert!(!client.raw("INFO server").contains("shutdown_in_milliseconds"));
        client.check("SHUTDOWN ABORT", "-ERR No shutdown in progress.~");
    }
    client.send_command("SHUTDOWN NOW FORCE");
    client.expect_closed();
}

/// A copy that begins while DEBUG RELOAD has removed all data and not loaded them again would have a part of them, and
/// the stream does not bring the others.
#[test]
fn no_copy_begins_while_data_are_read_again() {
    let server = that_loads_slowly(&[("repl-diskless-sync-delay", "5")]);
    let mut replica = Replica::connect(&server);
    replica.introduce(7001);
    replica.say(&["PSYNC", "?", "-1"]);
    eventually("it waits", || {
        server.info("connected_slaves") == "1" && server.info("slave0").contains("state=wait_bgsave")
    });
    let mut loader = server.client();
    loader.send_command("DEBUG RELOAD NOSAVE");
    is_empty_while_it_loads(&server);
    server.advance_ms(6_000);
    loader.check_next("+OK~");
    replica.asked_for_all();
    let dir = TempDir::new();
    std::fs::write(dir.path().join("dump.rdb"), replica.copy()).expect("a file");
    let copy = TestServer::try_with(&[], Clock::manual(START_MS), dir).expect("it starts");
    copy.client().check("DBSIZE", ":300~");
}

/// While a replica takes a copy, its data are not read again from files: the copy would come in between.
#[test]
fn data_are_not_read_again_while_a_copy_comes() {
    let primary = that_loads_slowly(&[("repl-diskless-sync-delay", "0")]);
    let pairs = [("enable-debug-command", "yes"), ("key-load-delay", "3000"), ("appendonly", "yes")];
    let replica = TestServer::with(&pairs);
    let mut client = replica.client();
    client.check("SET old 1", "+OK~");
    client.check(&format!("REPLICAOF 127.0.0.1 {}", primary.address().port()), "+OK~");
    eventually("it comes", || replica.info("async_loading") == "1");
    for reload in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
        client.check(reload, "-LOADING Valkey is loading the dataset in memory~");
    }
    assert_eq!(replica.info("async_loading"), "1", "it comes all the while");
    eventually("the link is up", || replica.info("master_link_status") == "up");
    client.check("DBSIZE", ":300~");
    client.check("DEBUG RELOAD", "+OK~");
    client.check("DBSIZE", ":300~");
}
