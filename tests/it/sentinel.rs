//! The Sentinel that people run (Redis's or Valkey's) watches kvarts: finds its replicas, fails over when the
//! primary dies, freezes or is cut off, and reconfigures it when it is back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::*;
use crate::peer::tool_of_peers;
use crate::program::Program;
use crate::proxy::{Proxy, Way};

/// Whatever Sentinel does takes seconds: its periods are fixed. An election in which each of them votes for
/// itself is held again after twice the failover-timeout, and a second one may be split as well.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the primary is killed; a longer trial sets the variable.
fn kills() -> usize {
    std::env::var("KVARTS_FAILOVERS").ok().and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// A Sentinel, which ends with the test.
pub struct Sentinel {
    process: Child,
    /// Where it listens.
    pub port: u16,
    dir: TempDir,
}

impl Sentinel {
    /// Watches the server at a port, with a quorum of two.
    pub fn watching(primary: u16) -> Self {
        let (port, dir) = (free_port(), TempDir::new());
        let file = dir.path().join("sentinel.conf");
        let lines = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds m 3000\nsentinel failover-timeout m 5000\n"
        );
        std::fs::write(&file, lines).expect("a file");
        let program = tool_of_peers("valkey-sentinel").unwrap_or_else(|| "redis-server".into());
        let log = std::fs::File::create(dir.path().join("stdout")).expect("a file");
        let process = Command::new(program)
            .arg(&file)
            .arg("--sentinel")
            .current_dir(dir.path())
            .stdout(Stdio::from(log))
            .spawn()
            .expect("a sentinel: `make test-tools` installs redis-server, which is one");
        eventually("the sentinel listens", || TcpStream::connect(local(port)).is_ok());
        Self { process, port, dir }
    }

    /// A field of what it knows of the primary.
    pub fn field(&self, name: &str) -> String {
        let reply = Client::tcp(local(self.port)).raw("SENTINEL MASTER m");
        let mut words = reply.split('~');
        words.find(|word| *word == name).and_then(|_| words.nth(1)).unwrap_or_default().to_owned()
    }

    /// The port of the primary that it names.
    pub fn primary(&self) -> u16 {
        let reply = Client::tcp(local(self.port)).raw("SENTINEL GET-MASTER-ADDR-BY-NAME m");
        reply.trim_end_matches('~').rsplit('~').next().and_then(|port| port.parse().ok()).unwrap_or_default()
    }
}

impl Sentinel {
    /// How often it has named another primary.
    fn switches(&self) -> usize {
        let log = std::fs::read_to_string(self.dir.path().join("stdout")).expect("its log");
        log.matches("+switch-master").count()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Waits with Sentinel's patience.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes keys of its own to whichever server Sentinel names, as long as `running` says so, and notes those
/// that WAIT called acknowledged, with the `round` in which each was written.
pub fn write_acknowledged(
    sentinel: &Sentinel,
    tag: usize,
    running: &AtomicBool,
    round: &AtomicUsize,
    noted: &Mutex<Vec<(usize, String)>>,
) {
    let mut number = 0;
    while running.load(Ordering::SeqCst) {
        let Ok(mut stream) = TcpStream::connect(local(sentinel.primary())) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        while running.load(Ordering::SeqCst) {
            number += 1;
            let key = format!("{tag}:{number}");
            let of_round = round.load(Ordering::SeqCst);
            match replicas_that_have(&mut stream, &key) {
                Some(0) => {}
                Some(_) => noted.lock().expect("no panic").push((of_round, key)),
                None => break,
            }
        }
    }
}

/// Sets a key and waits for a replica; how many have it, or nothing where the write or the connection failed.
fn replicas_that_have(stream: &mut TcpStream, key: &str) -> Option<usize> {
    stream.write_all(format!("SET {key} v\r\nWAIT 1 1000\r\n").as_bytes()).ok()?;
    let (mut replies, mut chunk) = (Vec::new(), [0; 256]);
    while replies.iter().filter(|byte| **byte == b'\n').count() < 2 {
        match stream.read(&mut chunk) {
            Ok(count @ 1..) => replies.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
    let replies = String::from_utf8(replies).ok()?;
    replies.strip_prefix("+OK\r\n:")?.trim_end().parse().ok()
}

/// A server that the others and Sentinel know at the address of a proxy.
struct Node {
    server: Option<Program>,
    proxy: Proxy,
    port: u16,
}

impl Node {
    fn new() -> Self {
        let port = free_port();
        let mut node = Self { server: None, proxy: Proxy::before(port), port };
        node.start(TempDir::new());
        node
    }

    /// Starts it in a folder, as an operator would who knows nothing of what has happened meanwhile.
    fn start(&mut self, dir: TempDir) {
        let announced = self.proxy.port.to_string();
        let flags = ["--repl-diskless-sync-delay", "0", "--replica-announce-port", &announced];
        self.server = Some(Program::start_at(self.port, dir, "", &flags));
    }

    fn kill(&mut self) -> TempDir {
        self.server.take().expect("it runs").kill()
    }

    /// A field of INFO; empty where a server of its role has none, or closes the connection: Sentinel has a
    /// server close those of all clients where it changes the role.
    fn field(&self, name: &str) -> String {
        let text = ask(self.port, "INFO replication\r\n").unwrap_or_default();
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next().unwrap_or_default().trim().to_owned()
    }
}

/// What befalls a primary.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is killed, and started again in its folder.
    Killed,
    /// Its process is stopped, and goes on.
    Frozen,
    /// Nothing from or to it passes on any connection, and everything does again.
    CutOff,
}

/// Three servers and three Sentinels.
struct Topology {
    nodes: Vec<Node>,
    sentinels: Vec<Arc<Sentinel>>,
}

impl Topology {
    /// A primary with two replicas, once each Sentinel knows all.
    fn new() -> Self {
        let nodes: Vec<Node> = (0..3).map(|_| Node::new()).collect();
        let first = nodes[0].proxy.port;
        for replica in &nodes[1..] {
            let client = replica.server.as_ref().expect("it runs").client();
            { client }.check(&format!("REPLICAOF 127.0.0.1 {first}"), "+OK~");
        }
        let sentinels: Vec<Arc<Sentinel>> = (0..3).map(|_| Arc::new(Sentinel::watching(first))).collect();
        wait_for("each sentinel knows all", || {
            let knows = |one: &Sentinel| [one.field("num-slaves"), one.field("num-other-sentinels")];
            sentinels.iter().all(|one| knows(one) == ["2", "2"])
        });
        Self { nodes, sentinels }
    }

    /// The place of the node that all Sentinels name as the primary.
    fn agreed(&self) -> Option<usize> {
        let named = self.sentinels[0].primary();
        let place = self.nodes.iter().position(|node| node.proxy.port == named)?;
        self.sentinels.iter().all(|one| one.primary() == named).then_some(place)
    }

    /// Waits until all Sentinels name one primary, which is one, and the others follow it. Who that is is asked
    /// each time: on a machine with much to do a primary may be silent for so long that it is replaced again.
    #[track_caller]
    fn settled(&self) -> usize {
        let mut found = None;
        wait_for("all follow the primary that all sentinels name", || {
            found = self.agreed().filter(|place| {
                let named = self.nodes[*place].proxy.port.to_string();
                self.nodes.iter().enumerate().all(|(other, node)| match other == *place {
                    true => node.field("role") == "master",
                    false => node.field("master_port") == named && node.field("master_link_status") == "up",
                })
            });
            found.is_some()
        });
        found.expect("found")
    }

    /// Has it happen to the primary, and waits until another one has taken over and the old one follows.
    #[track_caller]
    fn suffer(&mut self, fault: Fault) {
        let old = self.settled();
        let dir = match fault {
            Fault::Killed => Some(self.nodes[old].kill()),
            Fault::Frozen => {
                self.nodes[old].server.as_ref().expect("it runs").signal("STOP");
                None
            }
            Fault::CutOff => {
                self.nodes[old].proxy.hold(&[Way::Up, Way::Down]);
                None
            }
        };
        wait_for("another one is the primary", || self.agreed().is_some_and(|place| place != old));
        match (fault, dir) {
            (Fault::Frozen, _) => self.nodes[old].server.as_ref().expect("it runs").signal("CONT"),
            (Fault::CutOff, _) => self.nodes[old].proxy.hold(&[]),
            (Fault::Killed, dir) => self.nodes[old].start(dir.expect("its folder")),
        }
        self.settled();
    }

    /// How often Sentinel has changed the primary.
    fn switches(&self) -> usize {
        self.sentinels.iter().map(|one| one.switches()).max().unwrap_or_default()
    }

    /// Those of the noted keys that the primary does not have.
    fn lost<'a>(&self, noted: &'a [(usize, String)]) -> Vec<&'a (usize, String)> {
        let lines: String = noted.iter().map(|(_, key)| format!("EXISTS {key}\r\n")).collect();
        let mut replies = String::new();
        wait_for("the primary tells what it has", || {
            replies = ask(self.nodes[self.settled()].port, &lines).unwrap_or_default();
            replies.lines().count() == noted.len()
        });
        noted.iter().zip(replies.lines()).filter(|(_, reply)| *reply != ":1").map(|(key, _)| key).collect()
    }
}

/// The primary of three servers is killed under load, frozen and cut off: a replica takes over each time, the
/// others follow it, the old one too when it is back, and no write that a replica had acknowledged is lost.
///
/// On a machine with much to do Sentinel may also replace a primary that was only late. That one may have taken
/// writes meanwhile which one replica acknowledged and the other, which was chosen, had not: WAIT cannot help
/// there. Rounds in which the primary changed more than once are therefore counted, and their writes not.
#[test]
fn sentinel_fails_over_and_acknowledged_writes_stay() {
    let mut topology = Topology::new();
    let faults: Vec<Fault> =
        std::iter::repeat_n(Fault::Killed, kills()).chain([Fault::Frozen, Fault::CutOff]).collect();
    let (running, round, noted) = (AtomicBool::new(true), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let sentinels = topology.sentinels.clone();
    // How often the primary changed until the end of each round; the last round has no fault.
    let mut switches = Vec::new();
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&running);
        for (tag, sentinel) in sentinels.iter().enumerate() {
            let (running, round, noted) = (&running, &round, &noted);
            scope.spawn(move || write_acknowledged(sentinel, tag, running, round, noted));
        }
        let count = || noted.lock().expect("no panic").len();
        for fault in faults.iter().map(Some).chain([None]) {
            let before = count();
            wait_for("writes are acknowledged", || count() > before + 100);
            let start = Instant::now();
            if let Some(fault) = fault {
                topology.suffer(*fault);
            }
            switches.push(topology.switches());
            println!("{fault:?}: {:?}, {} changes of the primary", start.elapsed(), topology.switches());
            if fault.is_some() {
                round.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let noted = noted.into_inner().expect("no panic");
    let before = |round: usize| round.checked_sub(1).map_or(0, |before| switches[before]);
    let is_late = |round: usize| switches[round] - before(round) > usize::from(round < faults.len());
    let late: Vec<usize> = (0..switches.len()).filter(|round| is_late(*round)).collect();
    let lost = topology.lost(&noted);
    println!("{} acknowledged writes, late in rounds {late:?}, lost {lost:?}", noted.len());
    assert!(switches.last() >= Some(&faults.len()), "{switches:?}");
    let lost: Vec<_> = lost.into_iter().filter(|(round, _)| !late.contains(round)).collect();
    assert!(lost.is_empty(), "of {} acknowledged writes are lost: {lost:?}", noted.len());
}
