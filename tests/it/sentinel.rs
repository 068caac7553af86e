//! The Sentinel that people run (Redis's or Valkey's) watches kvarts: finds its replicas, fails over when the
//! primary dies or freezes, and reconfigures it when it is back.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::*;
use crate::peer::tool_of_peers;
use crate::program::Program;

/// Whatever Sentinel does takes seconds: its periods are fixed.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often the primary is killed; a longer trial sets the variable.
fn kills() -> usize {
    std::env::var("KVARTS_FAILOVERS").ok().and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// A Sentinel, which ends with the test.
pub struct Sentinel {
    process: Child,
    /// Where it listens.
    pub port: u16,
    _dir: TempDir,
}

impl Sentinel {
    /// Watches the server at a port, with a quorum of two.
    pub fn watching(primary: u16) -> Self {
        let (port, dir) = (free_port(), TempDir::new());
        let file = dir.path().join("sentinel.conf");
        let lines = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds m 3000\nsentinel failover-timeout m 10000\n"
        );
        std::fs::write(&file, lines).expect("a file");
        let program = tool_of_peers("valkey-sentinel").unwrap_or_else(|| "redis-server".into());
        let process = Command::new(program)
            .arg(&file)
            .arg("--sentinel")
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("a sentinel: `make test-tools` installs redis-server, which is one");
        eventually("the sentinel listens", || std::net::TcpStream::connect(local(port)).is_ok());
        Self { process, port, _dir: dir }
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

fn start(port: u16, dir: TempDir) -> Program {
    Program::start_at(port, dir, "", &["--repl-diskless-sync-delay", "0"])
}

/// A field of INFO; empty where a server of its role has none, or closes the connection: Sentinel has a server
/// close those of all clients where it changes the role.
fn field(server: &Program, name: &str) -> String {
    let text = info_of(server.port()).unwrap_or_default();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next().unwrap_or_default().trim().to_owned()
}

/// INFO replication, unless the connection ends before.
fn info_of(port: u16) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(local(port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"INFO replication\r\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes keys of its own to whichever server Sentinel names, as long as `running` says so, and notes those
/// that WAIT called acknowledged.
pub fn write_acknowledged(sentinel: &Sentinel, tag: usize, running: &AtomicBool, noted: &Mutex<Vec<String>>) {
    use std::io::{Read, Write};
    let mut number = 0;
    while running.load(Ordering::SeqCst) {
        let Ok(mut stream) = std::net::TcpStream::connect(local(sentinel.primary())) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        while running.load(Ordering::SeqCst) {
            number += 1;
            let key = format!("{tag}:{number}");
            let request = format!("SET {key} v\r\nWAIT 1 1000\r\n");
            let mut replies = Vec::new();
            let mut chunk = [0; 256];
            let is_whole = stream.write_all(request.as_bytes()).is_ok() && {
                while replies.iter().filter(|byte| **byte == b'\n').count() < 2 {
                    match stream.read(&mut chunk) {
                        Ok(count @ 1..) => replies.extend_from_slice(&chunk[..count]),
                        _ => break,
                    }
                }
                replies.starts_with(b"+OK\r\n:")
            };
            if !is_whole {
                break;
            }
            if !replies.ends_with(b":0\r\n") {
                noted.lock().expect("no panic").push(key);
            }
        }
    }
}

/// The primary of three servers is killed under load, and frozen: a replica takes over each time, the others
/// follow it, the old one too when it is back, and no write that a replica had acknowledged is lost.
#[test]
fn sentinel_fails_over_and_acknowledged_writes_stay() {
    let mut servers: Vec<Program> = (0..3).map(|_| start(free_port(), TempDir::new())).collect();
    let first = servers[0].port();
    for replica in &servers[1..] {
        replica.client().check(&format!("REPLICAOF 127.0.0.1 {first}"), "+OK~");
    }
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::watching(first)).collect();
    wait_for("each sentinel knows all", || {
        sentinels.iter().all(|one| one.field("num-slaves") == "2" && one.field("num-other-sentinels") == "2")
    });
    let (running, noted) = (AtomicBool::new(true), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&running);
        for (tag, sentinel) in sentinels.iter().enumerate() {
            let (running, noted) = (&running, &noted);
            scope.spawn(move || write_acknowledged(sentinel, tag, running, noted));
        }
        let count = || noted.lock().expect("no panic").len();
        for round in 0..=kills() {
            let before = count();
            wait_for("writes are acknowledged", || count() > before + 100);
            let old = sentinels[0].primary();
            let place = servers.iter().position(|server| server.port() == old).expect("one of them");
            let freezes = round == kills();
            let mut dir = None;
            if freezes {
                servers[place].signal("STOP");
            } else {
                dir = Some(servers.remove(place).kill());
            }
            wait_for("another one is the primary", || sentinels.iter().all(|one| one.primary() != old));
            let new = sentinels[0].primary();
            match dir {
                Some(dir) => servers.push(start(old, dir)),
                None => servers[place].signal("CONT"),
            }
            wait_for("all others follow it", || {
                servers.iter().filter(|server| server.port() != new).all(|server| {
                    field(server, "master_port") == new.to_string()
                        && field(server, "master_link_status") == "up"
                })
            });
        }
    });
    let primary = sentinels[0].primary();
    let primary = servers.iter().find(|server| server.port() == primary).expect("one of them");
    assert_eq!(field(primary, "role"), "master");
    let mut client = primary.client();
    let noted = noted.into_inner().expect("no panic");
    let lost: Vec<&String> =
        noted.iter().filter(|key| client.raw(&format!("EXISTS {key}")) != ":1~").collect();
    assert!(lost.is_empty(), "of {} acknowledged writes are lost: {lost:?}", noted.len());
}
