//! Replicas that are too far behind for memory: what waits for them goes to a file, comes back from there byte
//! for byte, and has a limit.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use kvarts::shared::clock::Clock;

use crate::faults::{EIO, ENOSPC, EROFS, Faults, FaultyFiles};
use crate::harness::*;
use crate::program::Program;
use crate::proxy::{Proxy, Way};

const MB: u64 = 1 << 20;

/// Bytes that the systems between two servers may keep.
const SOCKETS: u64 = 16 * MB;

/// What memory may hold of the stream beside the backlog: what is in flight, a batch, a block, and a batch on
/// its way to the file.
const MEMORY: u64 = (8 + 4 + 1 + 4) * MB;

struct Pair {
    primary: TestServer,
    proxy: Proxy,
    replica: TestServer,
    faults: Arc<Faults>,
    written: u64,
}

impl Pair {
    /// A primary and a replica that follows it through a proxy.
    fn with(pairs: &[(&str, &str)]) -> Self {
        let mut all =
            vec![("repl-diskless-sync-delay", "0"), ("repl-backlog-size", "1mb"), ("repl-timeout", "600")];
        all.push(("enable-debug-command", "yes"));
        all.extend(pairs);
        let faults = Faults::new();
        let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
        let primary = TestServer::try_with_files(&all, Clock::system(), TempDir::new(), files);
        let primary = primary.expect("it starts");
        let replica = TestServer::with_clock(&all, Clock::system());
        let proxy = Proxy::before(primary.handle().ports().main);
        let pair = Self { primary, proxy, replica, faults, written: 0 };
        pair.follow();
        pair
    }

    fn follow(&self) {
        self.replica.client().check(&format!("REPLICAOF 127.0.0.1 {}", self.proxy.port), "+OK~");
    }

    fn online(&self) {
        eventually("the replica follows", || {
            self.primary.handle().server().replication.replicas.online() == 1
        });
    }

    /// Writes so many megabytes of changes.
    fn write(&mut self, megabytes: u64) {
        let mut client = self.primary.client();
        let value = "v".repeat(64 << 10);
        for _ in 0..megabytes * 16 {
            self.written += 1;
            client.send(&encode(&[
                "SET",
                &format!("key:{}", self.written % 500),
                &format!("{}{value}", self.written),
            ]));
            client.check_next("+OK~");
        }
    }

    fn primary_bytes(&self, field: &str) -> u64 {
        self.primary.info(field).parse().expect("a number")
    }

    /// Both hold the same at the same offset.
    fn compare(&self) {
        eventually("the offsets are equal", || {
            self.primary.info("master_repl_offset") == self.replica.info("slave_repl_offset")
                && self.replica.info("master_link_status") == "up"
        });
        let digest = |server: &TestServer| server.client().raw("DEBUG DIGEST");
        assert_eq!(digest(&self.primary), digest(&self.replica));
    }

    /// What is kept for replicas is in memory within its bound, as soon as the disk has caught up.
    fn check_memory(&self) {
        let memory_bytes = || self.primary.handle().server().journal().memory_bytes() as u64;
        eventually("memory is within its bound", || memory_bytes() <= MB + MEMORY);
        eventually("the file is shown in both sections, once it rests", || {
            self.primary.info("mem_replicas_spill_file") == self.primary.info("repl_spill_file_bytes")
        });
    }

    /// Nothing is left in the file.
    fn check_gone(&self) {
        eventually("the file is given back", || self.primary_bytes("repl_spill_file_bytes") == 0);
    }

    /// The file has no name while it is there, so it is gone with the process.
    fn check_name(&self) {
        let names = std::fs::read_dir(self.primary.dir()).expect("a folder");
        let names: Vec<_> = names.map(|name| name.expect("a name").file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("spill")), "{names:?}");
    }
}

/// A link on which nothing passes any more, and then all of it.
#[test]
fn a_stopped_link_goes_on_from_the_file() {
    let mut pair = Pair::with(&[]);
    pair.online();
    pair.proxy.hold(&[Way::Down]);
    pair.write(50);
    pair.check_memory();
    eventually("it is in the file", || {
        pair.primary_bytes("repl_spill_file_bytes") > 50 * MB - MB - MEMORY - SOCKETS
    });
    pair.check_name();
    pair.proxy.hold(&[]);
    pair.write(5);
    pair.compare();
    assert_eq!(
        (pair.primary.info("sync_full"), pair.primary.info("sync_partial_ok")),
        ("1".into(), "0".into())
    );
    pair.check_gone();
}

/// A link that was cut while it was far behind goes on in the file, though the backlog is long past.
#[test]
fn a_replica_that_was_cut_off_goes_on_from_the_file() {
    let mut pair = Pair::with(&[]);
    pair.online();
    // It acknowledges what it has.
    pair.write(1);
    pair.compare();
    pair.proxy.hold(&[Way::Down]);
    pair.write(40);
    pair.proxy.cut();
    eventually("the link is down", || pair.primary.info("connected_slaves") == "0");
    pair.write(20);
    pair.check_memory();
    pair.proxy.hold(&[]);
    pair.compare();
    assert_eq!(pair.primary.info("sync_full"), "1");
    assert_eq!(pair.primary.info("sync_partial_err"), "0");
    pair.check_gone();
}

/// The changes behind a copy wait in the file while the copy is on its way.
#[test]
fn changes_behind_a_long_copy_wait_in_the_file() {
    let mut pair = Pair::with(&[]);
    pair.online();
    pair.write(25);
    pair.compare();
    pair.replica.client().check("REPLICAOF NO ONE", "+OK~");
    pair.replica.client().check("CONFIG SET repl-timeout 600", "+OK~");
    // Another history: it needs a copy.
    pair.replica.client().check("SET other 1", "+OK~");
    pair.proxy.hold(&[Way::Down]);
    pair.follow();
    pair.proxy.hold(&[]);
    pair.proxy.delay(std::time::Duration::from_millis(20));
    eventually("the copy is on its way", || pair.primary.info("sync_full") == "2");
    pair.proxy.hold(&[Way::Down]);
    pair.write(45);
    pair.check_memory();
    assert!(pair.primary_bytes("repl_spill_file_bytes") > 20 * MB);
    pair.proxy.delay(std::time::Duration::ZERO);
    pair.proxy.hold(&[]);
    pair.compare();
    assert_eq!(pair.primary.info("sync_full"), "2");
    pair.check_gone();
}

/// Beyond the file's limit a replica is cut as it was without a file, and begins with a copy.
#[test]
fn beyond_the_limit_a_replica_is_cut() {
    let limits: &[&[(&str, &str)]] = &[
        &[("repl-spill-size", "24mb"), ("client-output-buffer-limit", "replica 20mb 0 0")],
        &[("repl-spill-size", "0"), ("client-output-buffer-limit", "replica 20mb 0 0")],
    ];
    for pairs in limits {
        let mut pair = Pair::with(pairs);
        pair.online();
        pair.proxy.hold(&[Way::Down]);
        pair.write(80);
        eventually("it is cut", || pair.primary.info("connected_slaves") == "0");
        assert!(pair.primary_bytes("repl_spill_file_bytes") <= 24 * MB);
        pair.proxy.hold(&[]);
        pair.compare();
        assert_eq!(pair.primary.info("sync_full"), "2");
        pair.check_gone();
    }
}

/// A full disk, one that fails and a folder that cannot be written cost what was won by the file, and nothing
/// else.
#[test]
fn a_disk_that_fails_is_as_no_file() {
    for (error, kind) in [(ENOSPC, "write"), (EIO, "write"), (EROFS, "names")] {
        let mut pair = Pair::with(&[("client-output-buffer-limit", "replica 20mb 0 0")]);
        pair.online();
        let fault = if kind == "write" { &pair.faults.write } else { &pair.faults.names };
        fault.store(error, SeqCst);
        pair.proxy.hold(&[Way::Down]);
        pair.write(45);
        eventually("it is cut", || pair.primary.info("connected_slaves") == "0");
        pair.check_memory();
        let fault = if kind == "write" { &pair.faults.write } else { &pair.faults.names };
        fault.store(0, SeqCst);
        pair.proxy.hold(&[]);
        pair.compare();
        assert_eq!(pair.primary.info("sync_full"), "2", "{kind}");
    }
}

/// A disk that becomes full while a replica is served from it: what is there is read, and the rest from memory.
#[test]
fn what_is_in_the_file_is_read_whatever_comes() {
    let mut pair = Pair::with(&[]);
    pair.online();
    pair.proxy.hold(&[Way::Down]);
    pair.write(50);
    pair.faults.write.store(ENOSPC, SeqCst);
    pair.write(30);
    pair.proxy.hold(&[]);
    pair.compare();
    assert_eq!(pair.primary.info("sync_full"), "1");
    pair.check_gone();
}

/// The limit is a directive that can be changed while replicas are behind.
#[test]
fn the_limit_can_be_changed() {
    let mut pair = Pair::with(&[("repl-spill-size", "0"), ("client-output-buffer-limit", "replica 0 0 0")]);
    pair.online();
    pair.proxy.hold(&[Way::Down]);
    pair.write(40);
    assert_eq!(pair.primary_bytes("repl_spill_file_bytes"), 0);
    pair.primary.client().check("CONFIG SET repl-spill-size 100mb", "+OK~");
    assert_eq!(pair.primary_bytes("repl_spill_size"), 100 * MB);
    eventually("memory is given back", || pair.primary_bytes("repl_spill_file_bytes") > 10 * MB);
    pair.primary.client().check("CONFIG SET repl-spill-size 0", "+OK~");
    pair.write(20);
    pair.proxy.hold(&[]);
    pair.compare();
    assert_eq!(pair.primary.info("sync_full"), "1");
    pair.check_gone();
}

/// A link that is cut again and again while it catches up goes on in the file each time, from what the replica
/// has got and not from what was sent.
#[test]
fn a_link_that_is_cut_again_and_again_catches_up() {
    let mut pair = Pair::with(&[]);
    pair.online();
    pair.write(1);
    pair.compare();
    pair.proxy.hold(&[Way::Down]);
    pair.write(40);
    pair.proxy.cut_after(Some(7 * MB as usize));
    pair.proxy.cut();
    pair.proxy.hold(&[]);
    let went_on = || pair.primary.info("sync_partial_ok").parse::<u64>().expect("a number");
    eventually("it goes on several times", || went_on() >= 4);
    pair.proxy.cut_after(None);
    pair.compare();
    assert_eq!(
        (pair.primary.info("sync_full"), pair.primary.info("sync_partial_err")),
        ("1".into(), "0".into())
    );
    pair.check_gone();
}

/// A file that cannot be written is said once, however often it is tried and however many replicas are cut.
#[test]
fn a_file_that_cannot_be_written_is_said_once() {
    // No file may have more than two megabytes.
    let flags = [
        ["--repl-diskless-sync-delay", "0"],
        ["--repl-backlog-size", "1mb"],
        ["--client-output-buffer-limit", "replica 4mb 0 0"],
        ["--repl-timeout", "600"],
    ];
    let primary = Program::start_after("ulimit -f 4096;", &flags.concat());
    let mut client = primary.client();
    let replica = TestServer::with_clock(&[("repl-timeout", "600")], Clock::system());
    let proxy = Proxy::before(primary.port());
    replica.client().check(&format!("REPLICAOF 127.0.0.1 {}", proxy.port), "+OK~");
    for round in 0..2 {
        client.check(&format!("SET round {round}"), "+OK~");
        eventually("it follows", || replica.client().raw("GET round") == format!("$1~{round}~"));
        proxy.hold(&[Way::Down]);
        let value = "v".repeat(256 << 10);
        for number in 0..160 {
            client.send(&encode(&["SET", &format!("key:{}", number % 8), &value]));
            client.check_next("+OK~");
        }
        eventually("it is cut", || info(&mut client, "connected_slaves") == "0");
        proxy.hold(&[]);
    }
    let said = primary.log().matches("the spill file of replicas cannot be written").count();
    assert_eq!(said, 1, "{}", primary.log());
}
