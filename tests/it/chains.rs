//! Chains of servers and changes of roles: one stream with one id and one offset everywhere, which goes on
//! without a copy whoever is promoted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::journal_peer::data;
use crate::peer::{Peer, tool_of_peers};

/// A server of a chain.
pub enum Node {
    /// One of this program, in this process.
    Own(Box<TestServer>),
    /// A program of a peer.
    Real(Peer),
}

impl Node {
    pub fn own(pairs: &[(&str, &str)]) -> Self {
        let mut all = vec![("repl-diskless-sync-delay", "0")];
        all.extend(pairs);
        Self::Own(Box::new(TestServer::with_clock(&all, Clock::system())))
    }

    /// A program of the peers; one of this server's where it is called kvarts.
    pub fn of(program: &str) -> Self {
        if program == "kvarts" {
            return Self::own(&[]);
        }
        let path = tool_of_peers(program).expect("it was looked for");
        let node = Self::Real(Peer::of_program(path.to_str().expect("a path"), TempDir::new()));
        node.client().check("CONFIG SET repl-diskless-sync-delay 0", "+OK~");
        node
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Own(server) => server.handle().ports().main,
            Self::Real(peer) => peer.port,
        }
    }

    pub fn client(&self) -> Client {
        Client::tcp(local(self.port()))
    }

    pub fn info(&self, field: &str) -> String {
        info(&mut self.client(), field)
    }

    /// Has it follow another one, and waits until it does.
    pub fn follow(&self, primary: &Node) {
        self.client().check(&format!("REPLICAOF 127.0.0.1 {}", primary.port()), "+OK~");
        self.wait_for_link();
    }

    pub fn wait_for_link(&self) {
        eventually("the link is up", || self.info("master_link_status") == "up");
    }

    /// Id and offset of what it has.
    pub fn place(&self) -> (String, String) {
        let field = if self.info("role") == "slave" { "slave_repl_offset" } else { "master_repl_offset" };
        (self.info("master_replid"), self.info(field))
    }
}

/// Programs that there are, of these.
pub fn found(programs: &[&'static str]) -> Vec<&'static str> {
    let is_there = |program: &&&str| **program == "kvarts" || tool_of_peers(program).is_some();
    programs.iter().filter(is_there).copied().collect()
}

/// Changes of every kind, some of them in database 1, where the stream stands behind them.
pub fn change(client: &mut Client, round: usize) {
    for line in [
        "SELECT 0",
        "INCR n",
        "RPUSH l a R b",
        "LPOP l",
        "HSET h f R",
        "ZADD z R m",
        "SADD s R",
        "SPOP s",
        "XADD x * f R",
        "SET t:R v EX 1000",
        "PUBLISH channel R",
        "SELECT 1",
        "APPEND a R",
        "INCR n",
    ] {
        client.raw(&line.replace('R', &round.to_string()));
    }
    client.send(b"MULTI\r\nINCR n\r\nSELECT 0\r\nRPUSH l tx\r\nSELECT 1\r\nINCR n\r\nEXEC\r\n");
    (0..7).for_each(|_| drop(client.read_raw()));
}

/// Waits until all have what the first one has, and compares places and data.
pub fn compare(nodes: &[&Node]) {
    let first = nodes[0];
    let expected = data(&mut first.client());
    assert!(expected.len() > 2, "there is something to compare");
    for (number, node) in nodes.iter().enumerate().skip(1) {
        eventually(&format!("number {number} has everything"), || node.place() == first.place());
        assert_eq!(data(&mut node.client()), expected, "number {number}");
    }
}

/// Three servers one behind the other have one stream: the same id, the same offsets, the same data, whoever
/// they are, and links that are cut go on, also where the stream stands in another database.
#[test]
fn a_chain_has_one_stream() {
    for programs in [
        ["kvarts", "kvarts", "kvarts"],
        ["valkey-server", "kvarts", "valkey-server"],
        ["kvarts", "valkey-server", "kvarts"],
        ["redis8-server", "kvarts", "redis8-server"],
        ["kvarts", "redis8-server", "kvarts"],
    ] {
        if found(&programs).len() < programs.len() {
            continue;
        }
        println!("{programs:?}");
        let chain = programs.map(Node::of);
        let [first, second, third] = &chain;
        let mut client = first.client();
        change(&mut client, 0);
        second.follow(first);
        third.follow(second);
        (1..20).for_each(|round| change(&mut client, round));
        compare(&[first, second, third]);
        for round in 20..26 {
            change(&mut client, 2 * round);
            let cut = if round % 2 == 0 { first } else { second };
            cut.client().raw("CLIENT KILL TYPE replica");
            client.raw("INCR n");
            change(&mut client, 2 * round + 1);
            second.wait_for_link();
            third.wait_for_link();
            compare(&[first, second, third]);
        }
        for node in [first, second] {
            assert_eq!(node.info("sync_full"), "1");
            assert_eq!(node.info("sync_partial_ok"), "3");
        }
    }
}

/// A promoted replica goes on under a new id and knows the old one: the other replica, the old primary and
/// replicas behind them follow without a copy, and back again.
#[test]
fn a_promotion_needs_no_copy() {
    for programs in [
        ["kvarts", "kvarts", "kvarts", "kvarts"],
        ["valkey-server", "kvarts", "valkey-server", "kvarts"],
        ["kvarts", "valkey-server", "kvarts", "valkey-server"],
    ] {
        if found(&programs).len() < programs.len() {
            continue;
        }
        println!("{programs:?}");
        let nodes = programs.map(Node::of);
        let [first, second, third, behind] = &nodes;
        change(&mut first.client(), 0);
        second.follow(first);
        third.follow(first);
        behind.follow(second);
        (1..10).for_each(|round| change(&mut first.client(), round));
        compare(&[first, second, third, behind]);
        let before = first.place().0;
        second.client().check("REPLICAOF NO ONE", "+OK~");
        assert_ne!(second.info("master_replid"), before);
        assert_eq!(second.info("master_replid2"), before);
        third.follow(second);
        first.follow(second);
        behind.wait_for_link();
        (10..20).for_each(|round| change(&mut second.client(), round));
        compare(&[second, first, third, behind]);
        assert_eq!(second.info("sync_full"), "1", "of the one behind it, at the beginning");
        assert_eq!(first.info("sync_full"), "2", "at the beginning");
        assert_eq!(third.info("role"), "slave");
        // And back: what changed in between goes along.
        first.client().check("REPLICAOF NO ONE", "+OK~");
        second.follow(first);
        third.follow(first);
        behind.wait_for_link();
        (20..30).for_each(|round| change(&mut first.client(), round));
        compare(&[first, second, third, behind]);
        assert_eq!((first.info("sync_full"), second.info("sync_full")), ("2".into(), "1".into()));
    }
}

/// While a client writes, one replica is promoted and all others follow it: they end with the same data,
/// whatever the old primary took meanwhile.
#[test]
fn a_promotion_in_the_midst_of_writes_ends_with_the_same_data() {
    let nodes = ["kvarts", "kvarts", "kvarts"].map(Node::of);
    let mut order = [&nodes[0], &nodes[1], &nodes[2]];
    change(&mut order[0].client(), 0);
    order[1].follow(order[0]);
    order[2].follow(order[0]);
    for round in 0..6 {
        let [old, new, third] = order;
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for node in [old, new] {
                scope.spawn(|| {
                    let mut client = node.client();
                    let mut round = 1000;
                    while !ends.load(Ordering::Relaxed) {
                        // A replica refuses them, before and after.
                        change(&mut client, round);
                        round += 1;
                    }
                });
            }
            eventually("there are changes", || {
                let (_, offset) = new.place();
                offset.parse::<u64>().is_ok_and(|offset| offset % 4096 > 1000)
            });
            new.client().check("REPLICAOF NO ONE", "+OK~");
            third.follow(new);
            old.follow(new);
            ends.store(true, Ordering::Relaxed);
        });
        println!("round {round}: {} copies", new.info("sync_full"));
        compare(&[new, old, third]);
        order = [new, third, old];
    }
}

/// A replica that is started again goes on from its snapshot, in the database where the stream stood.
#[test]
fn a_restarted_replica_goes_on_from_its_snapshot() {
    for program in found(&["kvarts", "valkey-server"]) {
        println!("{program}");
        let first = Node::of(program);
        let primary = format!("127.0.0.1 {}", first.port());
        let pairs = [("replicaof", &*primary), ("save", "3600 1"), ("repl-diskless-sync-delay", "0")];
        let dir = {
            let server = TestServer::with_clock(&pairs, Clock::system());
            eventually("the link is up", || server.info("master_link_status") == "up");
            (0..5).for_each(|round| change(&mut first.client(), round));
            let replica = Node::Own(Box::new(server));
            compare(&[&first, &replica]);
            let Node::Own(server) = replica else { unreachable!("it is one of this server's") };
            server.client().check("SAVE", "+OK~");
            server.stop_and_keep()
        };
        let mut client = first.client();
        client.check("SELECT 1", "+OK~");
        client.raw("INCR n");
        let server = TestServer::try_with(&pairs, Clock::system(), dir).expect("starts");
        let replica = Node::Own(Box::new(server));
        replica.wait_for_link();
        change(&mut client, 9);
        compare(&[&first, &replica]);
        assert_eq!(first.info("sync_full"), "1");
    }
}

/// The append-only file of a replica holds what the stream holds, in the right databases, also in a file that
/// begins in the midst of the stream, and nothing of the words that are for replicas alone.
#[test]
fn a_replicas_append_only_file_repeats_the_stream() {
    let first = Node::of("kvarts");
    let replica = Node::own(&[("appendonly", "yes"), ("appendfsync", "always")]);
    replica.follow(&first);
    change(&mut first.client(), 0);
    compare(&[&first, &replica]);
    let mut client = first.client();
    client.check("SELECT 1", "+OK~");
    client.raw("SET before 1");
    compare(&[&first, &replica]);
    let mut ours = replica.client();
    // The copy had the file rewritten, which may still go on.
    let rewritten = "+Background append only file rewriting started~";
    eventually("it is free for another", || ours.raw("BGREWRITEAOF") == rewritten);
    eventually("it is rewritten", || info(&mut ours, "aof_rewrite_in_progress") == "0");
    // No SELECT stands before these in the stream.
    client.raw("SET behind 2");
    client.raw("PUBLISH channel message");
    client.check("WAIT 1 1000", ":1~");
    client.raw("INCR behind");
    compare(&[&first, &replica]);
    let expected = data(&mut replica.client());
    let Node::Own(server) = replica else { unreachable!("it is one of this server's") };
    let dir = server.stop_and_keep();
    let text: Vec<u8> = std::fs::read_dir(dir.path().join("appendonlydir"))
        .expect("the folder")
        .flat_map(|entry| std::fs::read(entry.expect("a file").path()).expect("the file"))
        .collect();
    for word in ["PUBLISH", "REPLCONF", "PING"] {
        assert!(memchr::memmem::find(&text, word.as_bytes()).is_none(), "{word}");
    }
    let pairs = [("appendonly", "yes")];
    let server = TestServer::try_with(&pairs, Clock::system(), dir).expect("starts");
    assert_eq!(data(&mut server.client()), expected);
}

/// Writes of a replica's own clients are not in the stream: a replica behind it has what the primary has.
#[test]
fn a_writable_replicas_own_changes_stay_with_it() {
    let nodes = ["kvarts", "kvarts", "kvarts"].map(Node::of);
    let [first, second, third] = &nodes;
    change(&mut first.client(), 0);
    second.follow(first);
    third.follow(second);
    let mut client = second.client();
    client.check("CONFIG SET replica-read-only no", "+OK~");
    client.check("SET own 1 EX 100", "+OK~");
    client.check("EVAL 'return redis.call([[incr]], KEYS[1])' 1 own2", ":1~");
    client.check("PUBLISH channel message", ":0~");
    client.check("FUNCTION FLUSH", "+OK~");
    change(&mut first.client(), 1);
    compare(&[first, third]);
    assert_eq!(second.place(), first.place());
    client.check("GET own", "$1~1~");
    third.client().check("GET own", "$-1~");
    // Once it is promoted they are.
    client.check("REPLICAOF NO ONE", "+OK~");
    third.wait_for_link();
    client.check("SET own 2", "+OK~");
    eventually("it has come", || third.info("slave_repl_offset") == second.info("master_repl_offset"));
    third.client().check("GET own", "$1~2~");
}

/// A primary of the test's own: takes a replica's connection, answers its handshake up to PSYNC, which it
/// returns.
fn take_replica(listener: &TcpListener) -> (TcpStream, String) {
    loop {
        let (mut stream, _) = listener.accept().expect("a replica");
        let mut input = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).expect("bytes");
            if count == 0 {
                break;
            }
            input.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&input).into_owned();
            if !text.ends_with("\r\n") {
                continue;
            }
            if let Some(at) = text.find("PSYNC") {
                return (stream, text[at..].to_owned());
            }
            let answers = text.matches('*').count();
            stream.write_all("+OK\r\n".repeat(answers).as_bytes()).expect("sent");
            input.clear();
        }
    }
}

/// A copy that breaks off, or is none, leaves data, id and offset as they were: the next link asks for the
/// stream where the last one ended.
#[test]
fn a_broken_copy_changes_nothing() {
    let first = Node::of("kvarts");
    let replica = Node::of("kvarts");
    change(&mut first.client(), 0);
    first
        .client()
        .raw("FUNCTION LOAD '#!lua name=lib\nserver.register_function([[f]], function() return 1 end)'");
    replica.follow(&first);
    compare(&[&first, &replica]);
    let (id, offset) = replica.place();
    let next = offset.parse::<u64>().expect("a number") + 1;
    let copy = {
        let peer = TestServer::start();
        (0..1000).for_each(|round| drop(peer.client().raw(&format!("SET k{round} v"))));
        peer.client().check("SAVE", "+OK~");
        std::fs::read(peer.dir().join("dump.rdb")).expect("the file")
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let expected = data(&mut replica.client());
    replica.client().check(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK~");
    let other = "a".repeat(40);
    let mut wrong = copy.clone();
    wrong[copy.len() / 2] ^= 0x55;
    let mut foreign = copy.clone();
    foreign[..9].copy_from_slice(b"REDIS9999");
    for (bytes, len) in [
        (&copy[..0], copy.len()),
        (&copy[..5], copy.len()),
        (&copy[..copy.len() / 2], copy.len()),
        (&copy[..copy.len() - 1], copy.len()),
        (&wrong[..], copy.len()),
        (&foreign[..], copy.len()),
        (&copy[..copy.len() - 20], copy.len() - 20),
        (b"nothing of the kind", 19),
    ] {
        let (mut stream, psync) = take_replica(&listener);
        let asked = format!("PSYNC\r\n$40\r\n{id}\r\n${}\r\n{next}\r\n", next.to_string().len());
        assert_eq!(psync, asked);
        stream.write_all(format!("+FULLRESYNC {other} 5\r\n${len}\r\n").as_bytes()).expect("sent");
        // It may be closed before all of it is taken.
        drop(stream.write_all(bytes));
        drop(stream);
        assert_eq!(data(&mut replica.client()), expected);
    }
    drop(listener);
    replica.follow(&first);
    change(&mut first.client(), 1);
    compare(&[&first, &replica]);
    assert_eq!((first.info("sync_full"), first.info("sync_partial_ok")), ("1".into(), "1".into()));
}

/// What a copy exchanges is told as a flush is: to those who watch, who keep copies and who wait.
#[test]
fn a_copy_is_told_to_those_who_listen() {
    let first = Node::of("kvarts");
    first.client().raw("XADD stream * f v");
    first.client().raw("SET watched 1");
    let replica = Node::of("kvarts");
    replica.client().raw("SET watched 0");
    replica.client().raw("SET untouched 0");
    let mut watcher = replica.client();
    watcher.send(b"WATCH watched\r\nMULTI\r\nGET watched\r\n");
    (0..3).for_each(|_| drop(watcher.read_raw()));
    let mut tracker = Client::tcp(local(replica.port()));
    tracker.raw("HELLO 3");
    tracker.check("CLIENT TRACKING on", "+OK~");
    tracker.check("GET untouched", "$1~0~");
    replica.client().check(&format!("REPLICAOF 127.0.0.1 {}", first.port()), "+OK~");
    replica.wait_for_link();
    watcher.check("EXEC", "*-1~");
    tracker.check_next(">2~$10~invalidate~_~");
    let mut waiting = replica.client();
    waiting.send_command("XREAD BLOCK 0 STREAMS stream $");
    eventually("it waits", || replica.info("blocked_clients") == "1");
    first.client().raw("XADD stream 9999999999999-0 f v");
    let served = waiting.read_raw();
    assert!(String::from_utf8_lossy(&served).contains("9999999999999-0"));
}
