//! Real servers as replicas of this one: they end with the same data, whatever happens to their links.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kvarts::shared::clock::Clock;

use crate::differential::sequence;
use crate::differential_words::*;
use crate::harness::*;
use crate::journal::rewritten;
use crate::journal_peer::{AHEAD_MS, data};
use crate::peer::{Peer, tool_of_peers};

/// What a program can be a replica of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// No ends of fields, and nothing of how long consumers of streams were idle.
    Redis7,
    /// All types.
    Redis8,
    /// Valkey's own commands and libraries of functions too.
    Everything,
}

/// Programs that can be replicas here.
fn programs() -> Vec<(String, Knows)> {
    let named = [
        ("valkey-server", Knows::Everything),
        ("redis8-server", Knows::Redis8),
        ("redis-server", Knows::Redis7),
    ];
    let mut found: Vec<(String, Knows)> = Vec::new();
    for (name, knows) in named {
        if let Some(path) = tool_of_peers(name) {
            found.push((path.to_str().expect("a path").to_owned(), knows));
        }
    }
    assert!(!found.is_empty(), "these tests need a real server: `make test-tools` installs one");
    found
}

/// A primary whose keys end later than its replicas would have them end: what ends is ended by its word.
fn primary(pairs: &[(&str, &str)]) -> TestServer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    let mut all = vec![("repl-diskless-sync-delay", "0")];
    all.extend(pairs);
    TestServer::with_clock(&all, Clock::manual(now.as_millis() as u64 + AHEAD_MS))
}

fn follow(peer: &Peer, server: &TestServer) -> Client {
    let mut client = Client::tcp(local(peer.port));
    let port = server.handle().ports().main;
    client.check(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK~");
    client
}

/// Waits, without looking all the time, until a replica has everything.
fn catch_up(server: &TestServer, replica: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (ours, theirs) = (server.info("master_repl_offset"), info(replica, "slave_repl_offset"));
        if ours == theirs && info(replica, "master_link_status") == "up" {
            return;
        }
        assert!(Instant::now() < deadline, "the replica is at {theirs}, the primary at {ours}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn check_same(server: &TestServer, replica: &mut Client, what: &str) {
    catch_up(server, replica);
    let (ours, theirs) = (data(&mut server.client()), data(replica));
    assert!(ours.len() > 2, "there is something to compare");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{what}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

/// Runs commands of every type from three connections, with time moved and links cut in between.
fn load(server: &TestServer, seed: u64, knows: Knows, cut: bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut generators: Vec<Generator> =
        vec![string, generic, bitmap, hyperloglog, list, set, sorted_set, geo];
    if knows != Knows::Redis7 {
        generators.extend([hash as Generator, stream]);
    }
    if knows == Knows::Everything {
        generators.push(rewritten);
    }
    let mut clients = [server.client(), server.client(), server.client()];
    clients[2].check("SELECT 1", "+OK~");
    for generator in generators {
        for step in sequence(generator, seed) {
            step.run(&mut clients[step.connection]);
            server.advance_ms([0, 0, 1, 30, 500][rng.usize(..5)]);
            if cut && rng.u8(..20) == 0 && server.handle().server().replication.replicas.online() > 0 {
                server.client().value("CLIENT KILL TYPE replica");
            }
        }
    }
}

/// Each program, attached while commands run, has the same data afterwards; so has one whose link is cut all
/// the time, by going on where it was.
#[test]
fn replicas_end_with_the_same_data() {
    for (program, knows) in programs() {
        // Before it is online a link that is cut has nothing to go on with: then the copy begins again.
        for (seed, cut) in [(1, false), (2, true)] {
            println!("{program}, seed {seed}");
            let peer = Peer::of_program(&program, TempDir::new());
            let server = primary(&[("repl-backlog-size", "64mb")]);
            load(&server, seed + 100, knows, false);
            let ends = AtomicBool::new(false);
            let mut replica = follow(&peer, &server);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    load(&server, seed, knows, cut);
                    ends.store(true, Ordering::Relaxed);
                });
            });
            assert!(ends.load(Ordering::Relaxed));
            check_same(&server, &mut replica, &program);
            // Redis 8 removes all data in the background, and when its link is cut meanwhile it begins again.
            if knows != Knows::Redis8 {
                assert_eq!(server.info("sync_full"), "1", "{program}: links go on");
            }
        }
    }
}

/// A replica that is stopped for longer than the backlog reaches gets another copy; one that was cut and
/// misses less goes on.
#[test]
fn a_replica_that_is_too_far_behind_gets_another_copy() {
    let (program, _) = programs().remove(0);
    let peer = Peer::of_program(&program, TempDir::new());
    let server = primary(&[("repl-backlog-size", "1mb")]);
    let mut client = server.client();
    let mut replica = follow(&peer, &server);
    client.check("SET a 1", "+OK~");
    client.check("SET b 1", "+OK~");
    client.check("SET c 1", "+OK~");
    check_same(&server, &mut replica, "at first");
    replica.check("REPLICAOF 127.0.0.1 1", "+OK~");
    let value = "x".repeat(200_000);
    for number in 0..3 {
        client.check(&format!("SET some{number} {value}"), "+OK~");
    }
    let port = server.handle().ports().main;
    replica.check(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK~");
    check_same(&server, &mut replica, "after a short absence");
    let syncs = (server.info("sync_full"), server.info("sync_partial_ok"));
    assert_eq!(syncs, ("1".to_owned(), "1".to_owned()));
    replica.check("REPLICAOF 127.0.0.1 1", "+OK~");
    for number in 0..20 {
        client.check(&format!("SET many{number} {value}"), "+OK~");
    }
    replica.check(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK~");
    check_same(&server, &mut replica, "after a long absence");
    assert_eq!(server.info("sync_full"), "2");
}

/// Several replicas at once, of all programs there are, share what they can, and WAIT counts them.
#[test]
fn several_replicas_follow_at_once() {
    let server = primary(&[]);
    let peers: Vec<Peer> = programs()
        .iter()
        .flat_map(|(program, _)| [program.clone(), program.clone()])
        .map(|program| Peer::of_program(&program, TempDir::new()))
        .collect();
    for peer in peers.iter().skip(1).step_by(2) {
        // Other ways to ask, which are answered like all others, and to load.
        let mut client = Client::tcp(local(peer.port));
        client.check("CONFIG SET repl-diskless-load swapdb", "+OK~");
        let answer = client.raw("CONFIG SET dual-channel-replication-enabled yes");
        assert!(answer == "+OK~" || answer.starts_with("-ERR Unknown option"), "{answer}");
    }
    let mut clients: Vec<Client> = peers.iter().map(|peer| follow(peer, &server)).collect();
    load(&server, 7, Knows::Redis7, false);
    for replica in &mut clients {
        check_same(&server, replica, "several replicas");
    }
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check(&format!("WAIT {} 0", peers.len()), &format!(":{}~", peers.len()));
    assert_eq!(server.info("connected_slaves"), peers.len().to_string());
}

/// Commands that older servers do not know reach them as what they do, also within transactions and scripts; and
/// what cannot be said to them costs them nothing that stands beside it.
#[test]
fn commands_that_replicas_do_not_know_reach_them() {
    for (program, _) in programs() {
        let peer = Peer::of_program(&program, TempDir::new());
        let server = primary(&[]);
        let mut replica = follow(&peer, &server);
        catch_up(&server, &mut replica);
        let mut client = server.client();
        let ids = "redis.call('XADD', KEYS[1], 'IDMP', 'p', 's', '*', 'f', 'v')";
        let rest =
            "redis.call('XCFGSET', KEYS[1], 'IDMP-MAXSIZE', 50) return redis.call('SET', 'by-script', 1)";
        client.call(&["EVAL", &format!("{ids} {rest}"), "2", "st", "by-script"]);
        for group in [false, true] {
            if group {
                client.check("MULTI", "+OK~");
            }
            let lines = "
                SET a 1 | XADD st IDMP p i * f v | XCFGSET st IDMP-MAXSIZE 70 | SET b 2
                XADD st IDMPAUTO p MAXLEN 2 * f w | XADD st IDMP p k MAXLEN 1 ACKED * f w | MSETEX 2 m 1 n 2 EX 90
                SET c 3 | SET c 4 IFEQ 3 | SET c 5 IFNE 6 | DELEX none | DELIFEQ b 2 | INCREX c BYINT 7 EX 80
                RPUSH l 1 2 3 4 | LMOVEM l k LEFT RIGHT COUNT 2 BULK | ZADD z 1 a 2 b 3 c | ZMOVE z y MAX
                ZMOVEMEMBER z y MEMBERS 1 a | ZUNIONSTORE u 1 z AGGREGATE COUNT | SET s abc | BITOP DIFF d s none
                GEOADD g 13.361389 38.115556 p | GEOSEARCHSTORE t g BYPOLYGON 3 12 37 15 37 13 40
                HSET h a 1 b 2 | HINCRBYFLOAT h a 0.5 | HSETEX h FIELDS 1 c 3 | HSETEX h KEEPTTL FIELDS 1 c 4
                HGETDEL h FIELDS 1 b | HIMPORT PREPARE fields a b | HIMPORT SET i fields 1 2
                XADD x 1-1 f v | XADD x 1-2 f v | XADD x 1-3 f v | XGROUP CREATE x g 0
                XREADGROUP GROUP g c COUNT 3 STREAMS x > | XACKDEL x g ACKED IDS 1 1-1 | XDELEX x DELREF IDS 1 1-2";
            for line in lines.split(['|', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
                let reply = client.raw(line);
                assert!(!reply.starts_with('-'), "{line}: {reply}");
            }
            if group {
                let replies = client.raw("EXEC");
                assert!(!replies.contains("~-"), "{replies}");
            }
            catch_up(&server, &mut replica);
            let (ours, theirs) = (data(&mut client), data(&mut replica));
            assert_eq!(ours.len(), theirs.len(), "{program}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours.0, theirs.0, "{program}");
                if ours.0 != "0 x" {
                    assert_eq!(ours, theirs, "{program}");
                }
            }
            // How long consumers were idle is another matter.
            for look in ["XRANGE x - +", "XPENDING x g", "XINFO GROUPS x"] {
                assert_eq!(client.raw(look), replica.raw(look), "{program}: {look}");
            }
            client.check("FLUSHALL", "+OK~");
        }
        assert_eq!(server.info("sync_full"), "1", "{program}: the link stays");
    }
}

/// The tools that fetch a copy by being a replica.
#[test]
fn tools_fetch_copies() {
    let Some(cli) = tool_of_peers("valkey-cli").or_else(|| tool_of_peers("redis-cli")) else {
        return eprintln!("skipped: no command line client is installed");
    };
    let server = primary(&[]);
    let mut client = server.client();
    for number in 0..1000 {
        client.check(&format!("SET key{number} {number}"), "+OK~");
    }
    let dir = TempDir::new();
    let file = dir.path().join("copy.rdb");
    let port = server.handle().ports().main.to_string();
    let done = Command::new(cli).args(["-p", &port, "--rdb"]).arg(&file).output().expect("it runs");
    assert!(done.status.success(), "{done:?}");
    let copy = std::fs::read(&file).expect("a file");
    assert!(copy.starts_with(b"REDIS00") && copy.len() > 5000, "{} bytes", copy.len());
    eventually("the tool has left", || server.info("connected_slaves") == "0");
}
