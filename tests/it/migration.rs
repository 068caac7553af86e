//! The steps of docs/migration.md: kvarts follows servers that people run, takes over, and gives back; nothing
//! that was answered is lost on the way, and what a server cannot hold is refused before it drops anything.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::chains::{Node, change, found};
use crate::failover::{number, wait_for_exchange, write_anywhere};
use crate::harness::*;
use crate::journal_peer::data_of;
use crate::peer::{Peer, tool_of_peers};
use crate::program::Program;
use crate::sentinel::{Sentinel, wait_for, write_acknowledged};

/// The databases that the load uses: 0 and 1 what `change` writes, 2 the counters, 5 the rest.
const DATABASES: [&str; 4] = ["0", "1", "2", "5"];

/// Clients that count.
const WRITERS: usize = 3;

/// Values of every type with and without expiries, a stream with a group and pending entries, and a library of
/// functions.
fn fill(client: &mut Client) {
    let in_an_hour = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600;
    client.check("SELECT 5", "+OK~");
    for number in 0..200 {
        client.raw(&format!("SET text{number} {number}"));
        client.raw(&format!("RPUSH list{} {number}", number % 7));
        client.raw(&format!("HSET hash{} field{number} {number}", number % 7));
        client.raw(&format!("SADD set{} member{number}", number % 7));
        client.raw(&format!("SADD numbers{} {number}", number % 7));
        client.raw(&format!("ZADD zset{} {number}.5 member{number}", number % 7));
        client.raw(&format!("XADD stream {number}-1 field {number}"));
    }
    for line in [
        "SETBIT bits 1000 1",
        "PFADD visitors a b c d",
        "GEOADD places 13.4 52.5 berlin",
        "XGROUP CREATE stream readers 0",
        "XGROUP CREATE stream others $",
        "XREADGROUP GROUP readers one COUNT 20 STREAMS stream >",
        "XREADGROUP GROUP readers two COUNT 20 STREAMS stream >",
        "XACK stream readers 0-1 1-1 25-1",
        "XDEL stream 150-1",
        "FUNCTION LOAD \"#!lua name=lib\\nredis.register_function{function_name='f', \
         callback=function() return 'of f' end, flags={'no-writes'}}\"",
    ] {
        let reply = client.raw(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    for key in ["text1", "list1", "hash1", "set1", "zset1", "stream"] {
        client.check(&format!("EXPIREAT {key} {in_an_hour}"), ":1~");
    }
}

/// Both have the same offset and the same data, key by key.
fn compare(old: &Node, new: &Node) {
    eventually("both are at the same place", || old.place() == new.place());
    let expected = data_of(&mut old.client(), &DATABASES);
    assert!(expected.len() > 230, "there is something to compare: {} keys", expected.len());
    for (ours, theirs) in expected.iter().zip(data_of(&mut new.client(), &DATABASES)) {
        assert_eq!(*ours, theirs);
    }
    for node in [old, new] {
        node.client().check("FCALL f 0", "$4~of f~");
    }
}

/// Changes values of every type on whichever of two servers takes writes.
fn change_anywhere(nodes: [&Node; 2], running: &AtomicBool) {
    let mut round = 0;
    while running.load(Ordering::SeqCst) {
        let at = nodes[usize::from(nodes[0].info("role") == "slave")];
        let mut client = at.client();
        for _ in 0..20 {
            change(&mut client, round);
            round += 1;
        }
    }
}

/// A server that takes writes hands over to kvarts and follows it, and gets its role back: nothing that was
/// answered is lost, and there is one copy, at the beginning.
fn move_in_and_out(program: &'static str) {
    if found(&[program]).is_empty() {
        return eprintln!("skipped: no {program} is installed");
    }
    let [old, new] = [program, "kvarts"].map(Node::of);
    fill(&mut old.client());
    let (running, answered) = (AtomicBool::new(true), AtomicU64::new(0));
    let nodes = [&old, &new];
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&running);
        for writer in 0..WRITERS {
            let (running, answered) = (&running, &answered);
            scope.spawn(move || write_anywhere(nodes, writer, running, answered));
        }
        scope.spawn(|| change_anywhere(nodes, &running));
        let more = || {
            let before = answered.load(Ordering::SeqCst);
            eventually("there are writes", || answered.load(Ordering::SeqCst) > before + 100);
        };
        more();
        new.follow(&old);
        assert_eq!(new.info("master_sync_in_progress"), "0");
        new.client().check("SET k v", "-READONLY You can't write against a read only replica.~");
        eventually("it is online", || old.info("slave0").contains("state=online"));
        for (from, to) in [(&old, &new), (&new, &old)] {
            more();
            from.client().check(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", to.port()), "+OK~");
            wait_for_exchange(from, to);
            assert_eq!((to.info("role"), from.info("role")), ("master".to_owned(), "slave".to_owned()));
            assert!(to.info("slave0").contains(&format!("port={},state=online", from.port())));
        }
        more();
    });
    compare(&old, &new);
    let mut client = old.client();
    client.check("SELECT 2", "+OK~");
    let total: u64 = (0..WRITERS).map(|writer| number(&client.raw(&format!("GET w{writer}")))).sum();
    let answered = answered.load(Ordering::SeqCst);
    assert!(total >= answered, "{answered} were answered, {total} are there");
    assert_eq!([old.info("sync_full"), new.info("sync_full")], ["1", "0"]);
}

#[test]
fn from_redis_7_and_back() {
    move_in_and_out("redis-server");
}

#[test]
fn from_redis_8_and_back() {
    move_in_and_out("redis8-server");
}

#[test]
fn from_valkey_and_back() {
    move_in_and_out("valkey-server");
}

/// Servers with passwords, and no FAILOVER: a pause of writes stands in its place.
#[test]
fn by_hand_with_passwords() {
    for program in found(&["redis-server", "valkey-server"]) {
        println!("{program}");
        let path = tool_of_peers(program).expect("it was looked for");
        let old = Peer::of_program(path.to_str().expect("a path"), TempDir::new());
        let new = TestServer::with_clock(
            &[("requirepass", "secret"), ("primaryauth", "secret"), ("repl-diskless-sync-delay", "0")],
            kvarts::shared::clock::Clock::system(),
        );
        let new_port = new.handle().ports().main;
        let mut ours = new.client();
        let mut theirs = Client::tcp(local(old.port));
        for line in ["CONFIG SET repl-diskless-sync-delay 0", "CONFIG SET masterauth secret", "SET k v"] {
            theirs.check(line, "+OK~");
        }
        theirs.check("CONFIG SET requirepass secret", "+OK~");
        theirs.raw("AUTH secret");
        ours.check("AUTH secret", "+OK~");
        ours.check(&format!("REPLICAOF 127.0.0.1 {}", old.port), "+OK~");
        eventually("the link is up", || info(&mut ours, "master_link_status") == "up");
        theirs.check("CLIENT PAUSE 30000 WRITE", "+OK~");
        let offset = info(&mut theirs, "master_repl_offset");
        eventually("it has everything", || info(&mut ours, "slave_repl_offset") == offset);
        ours.check("REPLICAOF NO ONE", "+OK~");
        theirs.check(&format!("REPLICAOF 127.0.0.1 {new_port}"), "+OK~");
        theirs.check("CLIENT UNPAUSE", "+OK~");
        ours.check("SET k w", "+OK~");
        eventually("the old one follows", || theirs.raw("GET k") == "$1~w~");
        assert_eq!(info(&mut theirs, "master_link_status"), "up");
        assert_eq!(info(&mut ours, "sync_full"), "0", "it went on where it was");
    }
}

/// Expiries of fields towards Redis 7: a replica that follows is cut off when the first is set, one that asks
/// is told which key keeps it out, and both keep their data. Without expiries it is let in again, by a copy.
#[test]
fn what_redis_7_cannot_hold_is_refused_before_it_drops_anything() {
    if found(&["redis-server"]).is_empty() {
        return eprintln!("skipped: no redis-server is installed");
    }
    let new = Program::start(&["--repl-diskless-sync-delay", "0"]);
    let [follows, comes] = ["redis-server"; 2].map(Node::of);
    let mut client = new.client();
    let follow = format!("REPLICAOF 127.0.0.1 {}", new.port());
    client.check("SELECT 3", "+OK~");
    client.check("HSET h f v g w", ":2~");
    follows.client().check(&follow, "+OK~");
    follows.wait_for_link();
    client.check("HEXPIRE h 1000 FIELDS 1 f", "*1~:1~");
    client.check("HSETEX h EX 1000 FIELDS 1 late x", ":1~");
    eventually("it is cut off", || follows.info("master_link_status") == "down");
    comes.client().check("SET own data", "+OK~");
    comes.client().check(&follow, "+OK~");
    let is_logged = |node: &Node, what: &str| {
        let line =
            format!("closing the link of replica 127.0.0.1:{}: fields of {what} have expiries", node.port());
        eventually("the log says why", || new.log().contains(&line));
    };
    // Keys are kept out of the log unless that is switched off.
    is_logged(&comes, "a hash in database 3");
    client.check("CONFIG SET hide-user-data-from-log no", "+OK~");
    for node in [&follows, &comes] {
        is_logged(node, "the hash 'h' in database 3");
    }
    comes.client().check("GET own", "$4~data~");
    let mut behind = follows.client();
    behind.check("SELECT 3", "+OK~");
    behind.check("HGET h f", "$1~v~");
    behind.check("HGET h late", "$-1~");
    assert_eq!([follows.info("master_link_status"), comes.info("master_link_status")], ["down"; 2]);
    client.check("HPERSIST h FIELDS 2 f late", "*2~:1~:1~");
    for node in [&follows, &comes] {
        node.wait_for_link();
        eventually("it has a copy", || {
            let mut theirs = node.client();
            theirs.check("SELECT 3", "+OK~");
            theirs.raw("HGET h late") == "$1~x~"
        });
    }
    comes.client().check("GET own", "$-1~");
}

/// Sentinel watches an old server with a replica; kvarts, the replica of the best priority, is chosen when it
/// is told to fail over, the others follow, and what was acknowledged stays.
#[test]
fn sentinel_hands_over() {
    let program = if tool_of_peers("valkey-sentinel").is_some() { "valkey-server" } else { "redis-server" };
    let [old, other] = [program; 2].map(Node::of);
    let new = Node::of("kvarts");
    fill(&mut old.client());
    new.client().check("CONFIG SET replica-priority 1", "+OK~");
    for replica in [&other, &new] {
        replica.follow(&old);
    }
    let sentinel = Sentinel::watching(old.port());
    let (running, round, noted) = (AtomicBool::new(true), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&running);
        scope.spawn(|| write_acknowledged(&sentinel, 0, &running, &round, &noted));
        let count = || noted.lock().expect("no panic").len();
        wait_for("sentinel knows both", || sentinel.field("num-slaves") == "2");
        wait_for("it knows the priority", || {
            let replicas = Client::tcp(local(sentinel.port)).raw("SENTINEL REPLICAS m");
            replicas.contains("~slave-priority~$1~1~")
        });
        wait_for("there are writes", || count() > 50);
        old.client().check("CLIENT PAUSE 10000 WRITE", "+OK~");
        wait_for("it begins", || Client::tcp(local(sentinel.port)).raw("SENTINEL FAILOVER m") == "+OK~");
        wait_for("it names kvarts", || sentinel.primary() == new.port());
        for node in [&old, &other] {
            wait_for("the others follow", || {
                let mut client = node.client();
                info(&mut client, "role") == "slave"
                    && info(&mut client, "master_port") == new.port().to_string()
                    && info(&mut client, "master_link_status") == "up"
            });
        }
        old.client().check("CLIENT UNPAUSE", "+OK~");
        let before = count();
        wait_for("writes go on", || count() > before + 50);
    });
    let mut client = new.client();
    let noted = noted.into_inner().expect("no panic");
    let lost: Vec<&(usize, String)> =
        noted.iter().filter(|(_, key)| client.raw(&format!("EXISTS {key}")) != ":1~").collect();
    assert!(lost.is_empty(), "of {} acknowledged writes are lost: {lost:?}", noted.len());
    eventually("all are at the same place", || new.place() == other.place());
    compare(&new, &old);
}

/// The way by files: a copy that redis-cli fetches is what kvarts starts with; its snapshot, converted, is what
/// Redis 7 starts with.
#[test]
fn by_a_file_and_back() {
    let (Some(cli), Some(program)) = (tool_of_peers("redis-cli"), tool_of_peers("redis-server")) else {
        return eprintln!("skipped: no redis-server with its redis-cli is installed");
    };
    let program = program.to_str().expect("a path");
    let old = Peer::of_program(program, TempDir::new());
    let mut theirs = Client::tcp(local(old.port));
    theirs.check("CONFIG SET repl-diskless-sync-delay 0", "+OK~");
    fill(&mut theirs);
    let dir = TempDir::new();
    let file = dir.path().join("dump.rdb");
    let run = |command: &mut Command| {
        let done = command.output().expect("it runs");
        assert!(done.status.success(), "{done:?}");
    };
    run(Command::new(cli).args(["-p", &old.port.to_string(), "--rdb"]).arg(&file));
    run(Command::new(env!("CARGO_BIN_EXE_kvarts")).arg("check").arg(&file));
    let new = Program::start_in(dir, "", &[]);
    let expected = data_of(&mut theirs, &DATABASES);
    assert_eq!(data_of(&mut new.client(), &DATABASES), expected);
    new.client().check("SAVE", "+OK~");
    let back = TempDir::new();
    let converted = back.path().join("dump.rdb");
    let mut convert = Command::new(env!("CARGO_BIN_EXE_kvarts"));
    let file = new.dir().join("dump.rdb");
    run(convert.arg("convert").arg(file).arg(&converted).args(["--rdb-version", "10"]));
    let old = Peer::of_program(program, back);
    let mut theirs = Client::tcp(local(old.port));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while theirs.raw("PING") != "+PONG~" {
        assert!(std::time::Instant::now() < deadline, "it loads its file");
    }
    assert_eq!(data_of(&mut theirs, &DATABASES), expected);
}
