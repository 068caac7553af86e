//! `kvarts check` of append-only files: what they hold, where they are torn or wrong, and what is cut.

use std::path::Path;
use std::process::Command;

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::peer::tool_of_peers;
use crate::tools::run;

/// Two files and their manifest: SET a, then a transaction, a time and a change in another database.
const FIRST: &str = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
const LAST: &str = "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n#TS:1700000000\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n";
const MANIFEST: &str =
    "file appendonly.aof.1.base.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n";

fn folder(first: &[u8], last: &[u8]) -> TempDir {
    let dir = TempDir::new();
    let inner = dir.path().join("appendonlydir");
    std::fs::create_dir(&inner).expect("a folder");
    for (name, bytes) in [
        ("appendonly.aof.1.base.aof", first),
        ("appendonly.aof.1.incr.aof", last),
        ("appendonly.aof.manifest", MANIFEST.as_bytes()),
    ] {
        std::fs::write(inner.join(name), bytes).expect("a file");
    }
    dir
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
}

/// Whether the peer's own tool finds nothing wrong with the file; `None` where there is no such tool.
fn peer_says(path: &Path) -> Option<bool> {
    let tool = tool_of_peers("valkey-check-aof")?;
    let output = Command::new(tool).arg(path).output().expect("the tool runs");
    Some(output.status.success())
}

/// What the peer's tool refuses is refused here. It passes files that end within the first line of a request
/// or within an annotation, behind which nothing can be appended; here they are torn.
#[track_caller]
fn assert_agrees(ours: bool, peer: bool, text: &str) {
    let is_stricter = peer && text.contains("the file ends within the request at offset");
    assert!(ours == peer || is_stricter, "here {ours}, the peer {peer}: {text}");
}

#[test]
fn check_says_what_requests_a_file_holds() {
    let dir = folder(FIRST.as_bytes(), LAST.as_bytes());
    let (status, text) = run(dir.path(), &["check", "."]);
    assert_eq!(status, Some(0), "{text}");
    let inner = "./appendonlydir/appendonly.aof";
    let expected = format!(
        "{inner}.manifest: manifest, 1 base, 1 incremental files, 0 of history
{inner}.1.base.aof: append-only file, 27 bytes
1 changes in 1 requests, 0 transactions
database 0: 1 changes
  set: 1
OK
{inner}.1.incr.aof: append-only file, 137 bytes
3 changes in 6 requests, 1 transactions, times noted from 1700000000 to 1700000000
database 0: 2 changes
database 3: 1 changes
  incr: 2
  set: 1
OK
"
    );
    assert_eq!(text, expected);
    let (status, of_inner) = run(dir.path(), &["check", "./appendonlydir"]);
    assert_eq!((status, of_inner), (Some(0), expected.clone()));
    let (status, of_manifest) = run(dir.path(), &["check", "./appendonlydir/appendonly.aof.manifest"]);
    assert_eq!((status, of_manifest), (Some(0), expected));
}

/// A file that a server wrote, whose base is a snapshot.
#[test]
fn check_looks_through_what_a_server_wrote() {
    for preamble in ["yes", "no"] {
        let server = TestServer::with(&[("appendonly", "yes"), ("aof-use-rdb-preamble", preamble)]);
        let mut client = server.client();
        crate::loading::fill(&mut client);
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
        eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
        client.check("MULTI", "+OK~");
        client.check("SET after 1", "+QUEUED~");
        client.check("DEL n", "+QUEUED~");
        client.check("EXEC", "*2~+OK~:1~");
        let dir = server.stop_and_keep();
        let (status, text) = run(dir.path(), &["check", "."]);
        assert_eq!(status, Some(0), "{text}");
        assert!(!text.contains("no manifest names it"), "the lock is no file that was forgotten: {text}");
        // SELECT stands at the file's beginning and in the transaction.
        has(&text, &["2.incr.aof: append-only file, ", "2 changes in 6 requests, 1 transactions\n"]);
        match preamble {
            "yes" => {
                has(&text, &["begins with a snapshot", "  aof-base: 1", "database 0: 1018 keys, 1 with"])
            }
            _ => has(&text, &["2.base.aof: append-only file, ", "  rpush: ", "database 3: 1 changes"]),
        }
    }
}

/// Every beginning of the last file is refused or right, as the peer's tool says; after `--fix` it is right,
/// what was cut is kept, and a server loads what was whole.
#[test]
fn a_torn_end_is_cut_and_kept() {
    let end_of = |part: &str| LAST.find(part).expect("it is there") + part.len();
    let (exec_end, time_end) = (end_of("EXEC\r\n"), end_of("#TS:1700000000\r\n"));
    let select_end = end_of("$1\r\n3\r\n");
    for len in 0..LAST.len() {
        let dir = folder(FIRST.as_bytes(), &LAST.as_bytes()[..len]);
        let file = dir.path().join("appendonlydir/appendonly.aof.1.incr.aof");
        let (status, text) = run(dir.path(), &["check", "."]);
        if let Some(peer) = peer_says(&file) {
            assert_agrees(status == Some(0), peer, &text);
        }
        if status == Some(0) {
            assert!([0, exec_end, time_end, select_end].contains(&len), "{len} bytes: {text}");
            continue;
        }
        has(&text, &["WRONG: the file ends within the "]);
        let (status, text) = run(dir.path(), &["check", "--fix", "."]);
        assert_eq!(status, Some(0), "{len} bytes: {text}");
        let kept = std::fs::read(&file).expect("the file");
        let cut = std::fs::read(file.with_extension("aof.cut")).expect("what was cut");
        assert_eq!([kept.clone(), cut].concat(), LAST.as_bytes()[..len], "{len} bytes");
        assert_eq!(run(dir.path(), &["check", "."]).0, Some(0));
        let server = TestServer::try_with(
            &[("appendonly", "yes"), ("aof-load-truncated", "no")],
            Clock::manual(START_MS),
            dir,
        );
        let server = server.unwrap_or_else(|error| panic!("{len} bytes: {error}"));
        let expected = if kept.len() >= exec_end { "$1~2~" } else { "$1~1~" };
        server.client().check("GET a", expected);
    }
}

/// What the peer's own tool finds wrong is found wrong, and nothing else.
#[test]
fn check_agrees_with_the_tool_of_the_peer() {
    let file = [FIRST, LAST].concat().into_bytes();
    let dir = TempDir::new();
    let path = dir.path().join("appendonly.aof");
    let mut rng = fastrand::Rng::with_seed(20);
    let mut cases: Vec<Vec<u8>> = (1..file.len()).step_by(3).map(|len| file[..len].to_vec()).collect();
    cases.push(file.clone());
    for _ in 0..60 {
        let mut changed = file.clone();
        changed[rng.usize(..file.len())] = rng.u8(..);
        cases.push(changed);
    }
    for bytes in cases {
        std::fs::write(&path, &bytes).expect("a file");
        let Some(peer) = peer_says(&path) else {
            return eprintln!("skipped: no valkey-check-aof is installed");
        };
        let (status, text) = run(dir.path(), &["check", "appendonly.aof"]);
        let ours = status == Some(0);
        assert_agrees(ours, peer, &format!("{}\n{text}", bytes.escape_ascii()));
    }
}

/// What is no torn end is told with its place, and left as it is.
#[test]
fn nothing_but_a_torn_end_is_cut() {
    let broken = LAST.replacen("$4\r\nINCR", "$5\r\nINCR", 1);
    for (first, last, expected) in [
        (
            FIRST,
            &*broken,
            "WRONG: Protocol error: invalid CRLF in request at offset 42; whole up to offset 0",
        ),
        (FIRST, "*1\r\n$4\r\nEXEC\r\n", "WRONG: MULTI and EXEC do not match at offset 0"),
        (FIRST, "SET a 1\r\n", "WRONG: no request begins here at offset 0"),
        (&FIRST[..20], LAST, "the request at offset 0; whole up to offset 0, 20 bytes follow"),
    ] {
        let dir = folder(first.as_bytes(), last.as_bytes());
        let (status, text) = run(dir.path(), &["check", "--fix", "."]);
        assert_eq!(status, Some(1), "{text}");
        has(&text, &[expected, "not fixed: "]);
        let inner = dir.path().join("appendonlydir");
        assert_eq!(std::fs::read(inner.join("appendonly.aof.1.base.aof")).expect("it"), first.as_bytes());
        assert_eq!(std::fs::read(inner.join("appendonly.aof.1.incr.aof")).expect("it"), last.as_bytes());
        assert_eq!(std::fs::read_dir(inner).expect("a folder").count(), 3);
    }
}

/// Zeros at the end, as a crash of the machine leaves them, are a torn end. A length that was changed makes
/// what follows seem one argument: that whole requests are cut is said.
#[test]
fn what_is_cut_is_told() {
    let zeros = [LAST.as_bytes(), &[0; 5000]].concat();
    let dir = folder(FIRST.as_bytes(), &zeros);
    let (status, text) = run(dir.path(), &["check", "--fix", "appendonlydir"]);
    assert_eq!(status, Some(0), "{text}");
    has(&text, &["WRONG: nothing but zeros follows from offset 137 on", "cut: 5000 bytes behind byte 137; "]);
    let long = LAST.replacen("$4\r\nINCR", "$4000000000\r\nINCR", 1);
    let dir = folder(FIRST.as_bytes(), long.as_bytes());
    let (status, text) = run(dir.path(), &["check", "--fix", "appendonlydir"]);
    assert_eq!(status, Some(0), "{text}");
    has(&text, &["WRONG: the file ends within the transaction at offset 0", "; they are in appendonlydir/"]);
    let long = [FIRST, &FIRST.replacen("$3", "$900", 1), FIRST].concat();
    let dir = folder(FIRST.as_bytes(), long.as_bytes());
    let (status, text) = run(dir.path(), &["check", "--fix", "appendonlydir"]);
    assert_eq!(status, Some(0), "{text}");
    has(&text, &["WRONG: the file ends within the request at offset 27", "seems to begin at offset 56"]);
}

#[test]
fn files_and_manifest_that_do_not_match_are_told() {
    let dir = folder(FIRST.as_bytes(), LAST.as_bytes());
    let inner = dir.path().join("appendonlydir");
    let file = inner.join("appendonly.aof.1.incr.aof");
    std::fs::rename(&file, inner.join("other.incr.aof")).expect("it is there");
    let (status, text) = run(dir.path(), &["check", "."]);
    assert_eq!(status, Some(1), "{text}");
    has(
        &text,
        &[
            "WRONG: line 2 names appendonly.aof.1.incr.aof, which is not there",
            "other.incr.aof: no manifest names it; it is not loaded",
        ],
    );
    let manifest = inner.join("appendonly.aof.manifest");
    std::fs::write(&manifest, [MANIFEST, "file x seq 1 type i\n"].concat()).expect("a file");
    let (status, text) = run(dir.path(), &["check", "."]);
    assert_eq!(status, Some(1), "{text}");
    has(&text, &["manifest: WRONG: Found a non-monotonic sequence number (line 3 of the manifest)"]);
    std::fs::remove_file(&manifest).expect("it is there");
    let (status, text) = run(dir.path(), &["check", "appendonlydir"]);
    assert_eq!(status, Some(1), "{text}");
    has(&text, &["appendonly.aof.1.base.aof: WRONG: no manifest names this file: it is not loaded"]);
}

/// Files of a running server are looked at and never cut.
#[test]
fn a_running_servers_files_are_not_cut() {
    let server = TestServer::with(&[("appendonly", "yes")]);
    server.client().check("SET a 1", "+OK~");
    let file = server.dir().join("appendonlydir/appendonly.aof.1.incr.aof");
    let torn = &LAST.as_bytes()[..30];
    std::fs::write(&file, torn).expect("a file");
    let (status, text) = run(server.dir(), &["check", "--fix", "appendonlydir"]);
    assert_eq!(status, Some(1), "{text}");
    has(&text, &["not fixed: another server uses the folder"]);
    assert!(std::fs::read(&file).expect("the file").starts_with(torn));
}
