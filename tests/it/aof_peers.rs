//! Append-only files of ours and of Redis and Valkey: each server starts from the other's folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kvarts::shared::clock::Clock;

use crate::harness::*;

const WRITES: &[&str] = &[
    "SET text value",
    "SET ending value PXAT 4000000000000",
    "INCRBYFLOAT number 1.5",
    "RPUSH list a b c",
    "SADD numbers 1 2 3",
    "SADD set a b c",
    "ZADD sorted 1 a 2.5 b",
    "HSET hash f v g w",
    "XADD stream 1-1 f v",
    "XADD stream 2-1 f v",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >",
    "SELECT 3",
    "MULTI",
    "SET left 1",
    "SET right 1",
    "EXEC",
    "SELECT 0",
    "LPOP list",
    "SPOP numbers 3",
];

const READS: &[&str] = &[
    "SELECT 0",
    "DBSIZE",
    "GET text",
    "GET number",
    "PEXPIRETIME ending",
    "LRANGE list 0 -1",
    "SORT set ALPHA",
    "EXISTS numbers",
    "ZRANGE sorted 0 -1 WITHSCORES",
    "HMGET hash f g",
    "XRANGE stream - +",
    "XPENDING stream group",
    "SELECT 3",
    "MGET left right",
];

/// The programs there are: those of the PATH, and those in the folder that KVARTS_PEERS names.
fn programs() -> Vec<PathBuf> {
    let folder = std::env::var_os("KVARTS_PEERS")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/peers")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["redis-server", "valkey-server"];
    let of_path = std::env::split_paths(&path).flat_map(|folder| usual.map(|name| folder.join(name)));
    let of_folder = folder.iter().flat_map(|folder| {
        ["valkey-server", "redis8-server", "redis86-server"].map(|name| folder.join(name))
    });
    let mut found: Vec<PathBuf> = of_path.chain(of_folder).filter(|program| program.is_file()).collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        println!("skipped: no redis-server or valkey-server in the PATH or in KVARTS_PEERS");
    }
    found
}

/// A peer with an append-only file in a folder.
struct Peer {
    process: Child,
    port: u16,
}

impl Peer {
    fn start(program: &Path, dir: &Path, preamble: &str) -> Self {
        let port = free_port();
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--aof-use-rdb-preamble", preamble, "--dir"])
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the peer starts");
        eventually("the peer listens", || std::net::TcpStream::connect(local(port)).is_ok());
        Self { process, port }
    }

    fn client(&self) -> Client {
        Client::tcp(local(self.port))
    }

    /// Ends it as an operator does, so that its file is whole.
    fn end(mut self) {
        self.client().send_command("SHUTDOWN NOSAVE");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Whether the program reads RDB files of version 11: Redis before 7.2 does not.
fn reads_version_11(program: &Path) -> bool {
    let said = Command::new(program).arg("--version").output().expect("it tells its version");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let is_old = ["v=4.", "v=5.", "v=6.", "v=7.0."].iter().any(|old| said.contains(old));
    if is_old {
        println!("skipped with RDB bases: {} reads no version 11", said.trim());
    }
    !is_old
}

fn run(client: &mut Client, lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| format!("{line} => {}", client.raw(line))).collect()
}

/// Directives of a server whose bases are RDB files (`yes`) or requests.
fn pairs(preamble: &str) -> [(&str, &str); 3] {
    [("appendonly", "yes"), ("appendfsync", "always"), ("aof-use-rdb-preamble", preamble)]
}

/// A peer starts from the folder that we wrote, before and after a rewrite, and we go on from what it wrote.
#[test]
fn peers_start_from_our_folder_and_we_from_theirs() {
    for program in programs() {
        for (rewrites, preamble) in [(false, "no"), (true, "no"), (false, "yes"), (true, "yes")] {
            if preamble == "yes" && !reads_version_11(&program) {
                continue;
            }
            let server = TestServer::with(&pairs(preamble));
            let mut client = server.client();
            run(&mut client, WRITES);
            if rewrites {
                client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
                eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
            }
            let expected = run(&mut client, READS);
            let dir = server.stop_and_keep();
            let peer = Peer::start(&program, dir.path(), preamble);
            let mut client = peer.client();
            eventually("it has loaded", || !client.raw("PING").starts_with("-LOADING"));
            assert_eq!(run(&mut client, READS), expected, "{} from our folder", program.display());
            client.check("SET theirs 1", "+OK~");
            if rewrites {
                client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
                eventually("it ends", || info(&mut client, "aof_rewrite_in_progress") == "0");
            }
            client.check("SET theirs 2", "+OK~");
            peer.end();
            let server =
                TestServer::try_with(&pairs(preamble), Clock::manual(START_MS), dir).expect("it starts");
            let mut client = server.client();
            assert_eq!(run(&mut client, READS), expected, "from the folder of {}", program.display());
            client.check("SELECT 3", "+OK~");
            client.check("GET theirs", "$1~2~");
        }
    }
}

/// A folder that a peer began is opened, with every change that it wrote.
#[test]
fn a_folder_of_a_peer_is_opened() {
    for (program, preamble) in programs().iter().flat_map(|program| [(program, "no"), (program, "yes")]) {
        let dir = TempDir::new();
        let peer = Peer::start(program, dir.path(), preamble);
        let mut client = peer.client();
        run(&mut client, WRITES);
        let expected = run(&mut client, READS);
        peer.end();
        let server = TestServer::try_with(&pairs(preamble), Clock::manual(START_MS), dir).expect("it starts");
        assert_eq!(run(&mut server.client(), READS), expected, "from the folder of {}", program.display());
    }
}

/// Valkey's own checker finds our folder valid, with timestamps and without.
#[test]
fn valkey_check_aof_passes_our_folder() {
    let mut checker = programs().into_iter().filter_map(|program| {
        let checker = program.with_file_name("valkey-check-aof");
        checker.is_file().then_some(checker)
    });
    let Some(checker) = checker.next_back() else {
        return println!("skipped: no valkey-check-aof beside a server");
    };
    for (stamps, preamble) in [("yes", "no"), ("no", "no"), ("no", "yes")] {
        let pairs: Vec<_> = pairs(preamble).into_iter().chain([("aof-timestamp-enabled", stamps)]).collect();
        let server = TestServer::with(&pairs);
        let mut client = server.client();
        run(&mut client, WRITES);
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
        eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
        run(&mut client, WRITES);
        let expected = run(&mut client, READS);
        let dir = server.stop_and_keep();
        let manifest = dir.path().join("appendonlydir/appendonly.aof.manifest");
        let checked = Command::new(&checker).arg(&manifest).output().expect("the checker runs");
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success() && said.contains("are valid"), "{said}");
        let incremental = dir.path().join("appendonlydir/appendonly.aof.2.incr.aof");
        let text = std::fs::read(&incremental).expect("the file");
        assert_eq!(text.starts_with(b"#TS:"), stamps == "yes");
        let server = TestServer::try_with(&pairs, Clock::manual(START_MS), dir).expect("it starts");
        assert_eq!(run(&mut server.client(), READS), expected);
    }
}
