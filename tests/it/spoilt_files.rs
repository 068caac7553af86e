//! Files that were cut or changed: each is loaded or refused with an error that says where, and no thread
//! panics.

use std::path::Path;

use kvarts::shared::clock::Clock;

use crate::aof_faults::data;
use crate::harness::*;

const PAIRS: [(&str, &str); 2] = [("appendonly", "yes"), ("aof-use-rdb-preamble", "no")];

/// A folder of an append-only file with a base, an incremental file with a transaction, and its manifest.
fn folder_of_aof(preamble: &str) -> (TempDir, Vec<(String, String)>) {
    let pairs = [("appendonly", "yes"), ("aof-use-rdb-preamble", preamble)];
    let server = TestServer::with(&pairs);
    let mut client = server.client();
    client.check("SET text value", "+OK~");
    client.check("RPUSH list a b c", ":3~");
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
    for line in ["MULTI", "SET left 1", "SET right 1", "EXEC", "HSET hash f v", "XADD stream 1-1 f v"] {
        client.value(line);
    }
    let data = data(&server);
    (server.stop_and_keep(), data)
}

fn copied(from: &Path) -> TempDir {
    let copy = TempDir::new();
    std::fs::create_dir(copy.path().join("appendonlydir")).expect("a folder");
    for entry in std::fs::read_dir(from.join("appendonlydir")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let to = copy.path().join("appendonlydir").join(path.file_name().expect("a name"));
        std::fs::copy(&path, to).expect("a copy");
    }
    copy
}

/// Starts on a folder. A refusal has to say where: a file and a place in it, or that a file is missing.
fn start(dir: TempDir, what: &str) -> Option<TestServer> {
    match TestServer::try_with(&PAIRS, Clock::manual(START_MS), dir) {
        Ok(server) => Some(server),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains("panicked"), "{what}: {text}");
            let is_told = ["offset ", "byte ", "line ", "No such file", "signature"]
                .iter()
                .any(|word| text.contains(word));
            assert!(is_told, "{what}: {text}");
            None
        }
    }
}

/// Every beginning of the last file loads to what was whole; a transaction is there as a whole or not at all.
#[test]
fn every_beginning_of_a_file_loads() {
    let (dir, _) = folder_of_aof("no");
    let name = "appendonlydir/appendonly.aof.2.incr.aof";
    let whole = std::fs::read(dir.path().join(name)).expect("the file");
    let mut keys_before = 0;
    for len in 0..=whole.len() {
        let copy = copied(dir.path());
        std::fs::write(copy.path().join(name), &whole[..len]).expect("a file");
        let server = start(copy, &format!("{len} bytes")).expect("it starts");
        let mut client = server.client();
        client.check("GET text", "$5~value~");
        assert_eq!(client.raw("EXISTS left"), client.raw("EXISTS right"), "{len} bytes");
        let keys = client.call(&["DBSIZE"]).int();
        assert!(keys >= keys_before, "{len} bytes: {keys} keys");
        keys_before = keys;
        // What is appended to a file that was cut is read after the next start.
        if len % 16 == 5 {
            client.check("SET further 1", "+OK~");
            let again = start(server.stop_and_keep(), &format!("{len} bytes")).expect("it starts again");
            again.client().check("GET further", "$1~1~");
        }
    }
    assert_eq!(keys_before, 6);
}

/// Every beginning of a file that others follow is refused, but the whole one and those that end behind a
/// request.
#[test]
fn a_cut_base_is_refused() {
    for (preamble, name) in [("yes", "appendonly.aof.2.base.rdb"), ("no", "appendonly.aof.2.base.aof")] {
        let (dir, all) = folder_of_aof(preamble);
        let name = format!("appendonlydir/{name}");
        let whole = std::fs::read(dir.path().join(&name)).expect("the file");
        let mut loaded = 0;
        for len in (0..whole.len()).step_by(3).chain([whole.len()]) {
            let copy = copied(dir.path());
            std::fs::write(copy.path().join(&name), &whole[..len]).expect("a file");
            let Some(server) = start(copy, &format!("{len} bytes of {name}")) else { continue };
            loaded += 1;
            if len == whole.len() {
                assert_eq!(data(&server), all);
            }
        }
        // Requests may end anywhere between two.
        assert!(loaded >= 1 && loaded <= if preamble == "yes" { 2 } else { 5 }, "{loaded} of {name}");
    }
}

/// A byte changed in any of the files. Where there is a checksum, what loads is what was written.
#[test]
fn a_changed_byte_is_refused_or_harmless() {
    for preamble in ["yes", "no"] {
        let (dir, all) = folder_of_aof(preamble);
        let mut rng = fastrand::Rng::with_seed(20);
        let names = std::fs::read_dir(dir.path().join("appendonlydir")).expect("the folder");
        let mut names: Vec<_> = names.map(|name| name.expect("a name").file_name()).collect();
        names.retain(|name| !name.to_string_lossy().ends_with(".lock"));
        names.sort();
        assert_eq!(names.len(), 3);
        let mut refused = 0;
        for name in names {
            let whole = std::fs::read(dir.path().join("appendonlydir").join(&name)).expect("the file");
            for _ in 0..60 {
                let mut changed = whole.clone();
                let at = rng.usize(..changed.len());
                changed[at] = changed[at].wrapping_add(rng.u8(1..));
                let copy = copied(dir.path());
                std::fs::write(copy.path().join("appendonlydir").join(&name), &changed).expect("a file");
                let what = format!("byte {at} of {}", name.display());
                match start(copy, &what) {
                    None => refused += 1,
                    Some(server) if name.to_string_lossy().ends_with(".rdb") => {
                        assert_eq!(data(&server), all, "{what}");
                    }
                    Some(server) => server.client().check("PING", "+PONG~"),
                }
            }
        }
        assert!(refused > 60, "{refused} were refused");
    }
}

/// A byte changed in a snapshot, and every beginning of it.
#[test]
fn a_changed_snapshot_is_refused() {
    let server = TestServer::start();
    let mut client = server.client();
    for line in
        ["SET text value", "RPUSH list a b c", "HSET hash f v", "XADD stream 1-1 f v", "SADD ints 1 2"]
    {
        client.value(line);
    }
    client.check("SAVE", "+OK~");
    let all = data(&server);
    let whole = std::fs::read(server.dir().join("dump.rdb")).expect("the file");
    let mut rng = fastrand::Rng::with_seed(21);
    let mut cases: Vec<Vec<u8>> = (0..whole.len()).step_by(5).map(|len| whole[..len].to_vec()).collect();
    for _ in 0..100 {
        let mut changed = whole.clone();
        let at = rng.usize(..changed.len());
        changed[at] = changed[at].wrapping_add(rng.u8(1..));
        cases.push(changed);
    }
    for bytes in cases {
        let dir = TempDir::new();
        std::fs::write(dir.path().join("dump.rdb"), &bytes).expect("a file");
        match TestServer::try_with(&[], Clock::manual(START_MS), dir) {
            Ok(server) => assert_eq!(data(&server), all, "{}", bytes.escape_ascii()),
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains("panicked") && text.contains(" at byte "), "{text}");
            }
        }
    }
}
