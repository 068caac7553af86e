//! Snapshots on a disk that fails: the last one stays, writes are refused as configured, reads go on, and all
//! is well when the disk is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use kvarts::shared::clock::Clock;

use crate::aof_faults::data;
use crate::faults::{EIO, ENOSPC, EROFS, Faults, FaultyFiles};
use crate::harness::*;
use crate::program::Program;

fn server_with(pairs: &[(&str, &str)]) -> (TestServer, Arc<Faults>) {
    let faults = Faults::new();
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let all: Vec<_> = [("save", "3600 1000")].iter().chain(pairs).copied().collect();
    let server = TestServer::try_with_files(&all, Clock::manual(START_MS), TempDir::new(), files);
    (server.expect("it starts"), faults)
}

fn bgsave(server: &TestServer) -> String {
    server.client().check("BGSAVE", "+Background saving started~");
    eventually("it ends", || server.info("rdb_bgsave_in_progress") == "0");
    server.info("rdb_last_bgsave_status")
}

fn started_on(file: &Path) -> TestServer {
    let dir = TempDir::new();
    std::fs::copy(file, dir.path().join("dump.rdb")).expect("a copy");
    TestServer::try_with(&[], Clock::manual(START_MS), dir).expect("it starts")
}

/// A full disk, a failing sync, a folder that cannot be written.
#[test]
fn a_snapshot_that_fails_leaves_the_last_one() {
    for (error, kind) in [(ENOSPC, "write"), (EIO, "write"), (EIO, "sync"), (EROFS, "names")] {
        let (server, faults) = server_with(&[]);
        let mut client = server.client();
        let file = server.dir().join("dump.rdb");
        client.check("SET a 1", "+OK~");
        client.check("SAVE", "+OK~");
        let before = std::fs::read(&file).expect("a file");
        client.check("SET a 2", "+OK~");
        let fault = match kind {
            "write" => &faults.write,
            "sync" => &faults.sync,
            _ => &faults.names,
        };
        fault.store(error, SeqCst);
        client.check("SAVE", "-ERR~");
        client.check("SET a 3", "+OK~");
        assert_eq!(bgsave(&server), "err", "{kind}");
        assert_eq!(std::fs::read(&file).expect("a file"), before, "{kind}");
        let names = std::fs::read_dir(server.dir()).expect("a folder");
        let left = names
            .filter(|name| name.as_ref().expect("a name").path().display().to_string().contains("temp-"));
        assert_eq!(left.count(), 0, "{kind}: half a snapshot is of no use");
        client.send(b"SET a 4\r\nGET a\r\n");
        assert!(client.read().text().starts_with("MISCONF Valkey is configured to save RDB snapshots"));
        client.check_next("$1~3~");
        client.check("CONFIG SET stop-writes-on-bgsave-error no", "+OK~");
        client.check("SET a 5", "+OK~");
        client.check("CONFIG SET stop-writes-on-bgsave-error yes", "+OK~");
        fault.store(0, SeqCst);
        assert_eq!(bgsave(&server), "ok", "{kind}");
        client.check("SET a 6", "+OK~");
        started_on(&file).client().check("GET a", "$1~5~");
    }
}

/// The end is put off where the last snapshot cannot be written, and comes when it can.
#[test]
fn the_end_waits_for_a_disk_that_works() {
    let (server, faults) = server_with(&[]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    faults.write.store(ENOSPC, SeqCst);
    client.check("SHUTDOWN", "-ERR Errors trying to SHUTDOWN. Check logs.~");
    client.check("SET a 2", "+OK~");
    faults.write.store(0, SeqCst);
    client.send(b"SHUTDOWN\r\n");
    client.expect_closed();
    started_on(&server.dir().join("dump.rdb")).client().check("GET a", "$1~2~");
}

/// The machine stops at each step of a snapshot in turn: the file is the old one or the new one, whole.
#[test]
fn a_snapshot_that_stops_anywhere_loses_nothing() {
    let mut steps = 0;
    for step in 0.. {
        let (server, faults) = server_with(&[]);
        let mut client = server.client();
        client.check("SET a old", "+OK~");
        client.check("SAVE", "+OK~");
        client.check("SET a new", "+OK~");
        faults.left.store(step, SeqCst);
        let status = bgsave(&server);
        let finished = faults.left.load(SeqCst) > 0;
        let held = started_on(&server.dir().join("dump.rdb")).client().raw("GET a");
        let fits = if finished { held == "$3~new~" } else { held == "$3~old~" || held == "$3~new~" };
        assert!(fits, "stopped at step {step}: {held}");
        if finished {
            assert_eq!(status, "ok");
            break;
        }
        steps += 1;
    }
    assert!(steps >= 5, "{steps} steps");
}

/// The machine stops at each step of switching on the append-only file: the folder as it is then holds all
/// data, or none has been promised.
#[test]
fn switching_on_that_stops_anywhere_loses_nothing() {
    let mut steps = 0;
    for step in 0.. {
        let (server, faults) = server_with(&[("appendfsync", "always")]);
        let mut client = server.client();
        client.check("MSET a 1 b 2", "+OK~");
        client.check("RPUSH list a b c", ":3~");
        let before = data(&server);
        faults.count.store(0, SeqCst);
        faults.left.store(step, SeqCst);
        let answer = client.raw("CONFIG SET appendonly yes");
        let stopped = || faults.left.load(SeqCst) == 0;
        let ends = || server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrites") != "0";
        if answer == "+OK~" {
            eventually("it stops or ends", || {
                stopped() || ends() && server.info("aof_rewrite_scheduled") == "0"
            });
        }
        let finished = !stopped();
        let folder = server.dir().join("appendonlydir");
        if folder.join("appendonly.aof.manifest").exists() {
            let copy = TempDir::new();
            std::fs::create_dir(copy.path().join("appendonlydir")).expect("a folder");
            for entry in std::fs::read_dir(&folder).expect("the folder") {
                let path = entry.expect("an entry").path();
                let to = copy.path().join("appendonlydir").join(path.file_name().expect("a name"));
                std::fs::copy(&path, to).expect("a copy");
            }
            let pairs = [("appendonly", "yes")];
            let after = TestServer::try_with(&pairs, Clock::manual(START_MS), copy).expect("it starts");
            assert_eq!(data(&after), before, "stopped at step {step}");
        } else {
            assert!(!finished, "step {step}: there is a manifest in the end");
        }
        client.check("GET a", "$1~1~");
        if finished {
            break;
        }
        steps += 1;
    }
    assert!(steps > 8, "{steps} steps");
}

/// The log names the file and the folder where a snapshot could not be written, and the folder of a rewrite.
#[test]
fn the_log_names_what_could_not_be_written() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let program = Program::start_in(dir, "", &["--dir", "data", "--dbfilename", "mine.rdb"]);
    let mut client = program.client();
    std::fs::remove_dir_all(&data).expect("it is there");
    let line = |message: &str| {
        program.log().lines().find(|line| line.contains(message)).map(str::to_owned).unwrap_or_default()
    };
    client.check("SAVE", "-ERR~");
    let told = line("the snapshot could not be written");
    assert!(told.ends_with(&format!(" file=mine.rdb folder={}", data.display())), "{told}");
    client.raw("BGREWRITEAOF");
    eventually("it fails", || !line("Background AOF rewrite failed").is_empty());
    let told = line("Background AOF rewrite failed");
    assert!(told.ends_with(&format!(" folder={}", data.join("appendonlydir").display())), "{told}");
}
