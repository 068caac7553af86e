//! SAVE, BGSAVE, save points, the last snapshot before the end: when files are written and what is told of
//! it.

use std::path::Path;

use kvarts::engine::saving::Background;
use kvarts::shared::clock::Clock;

use crate::aof::{is_empty_while_it_loads, that_loads_slowly};
use crate::harness::*;

fn file(server: &TestServer) -> Option<Vec<u8>> {
    std::fs::read(server.dir().join("dump.rdb")).ok()
}

/// No file but the snapshot is left behind.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".rdb"));
    names.sort();
    names
}

#[test]
fn save_writes_the_file() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("MSET a 1 b 2", "+OK~");
    client.check("SELECT 3", "+OK~");
    client.check("RPUSH l x y", ":2~");
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "4");
    assert_eq!(file(&server), None);
    client.check("SAVE", "+OK~");
    let bytes = file(&server).expect("a file");
    assert!(bytes.starts_with(b"REDIS0011\xfa\x09redis-ver"));
    assert!(
        bytes.windows(12).any(|part| part == b"\xfe\x03\xfb\x01\x00\x01\x01l\x02\x01x\x01"),
        "the list in database 3"
    );
    assert_eq!(files(server.dir()), ["dump.rdb"]);
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    assert_eq!(info(&mut client, "rdb_saves"), "1");
    client.check("HSETEX h EX 100 FIELDS 1 f v", ":1~");
    client.check("CONFIG SET rdb-version 11", "+OK~");
    client.check("SAVE", "-ERR~");
    assert_eq!(file(&server), Some(bytes), "a snapshot that fails leaves the last one in its place");
    assert_eq!(files(server.dir()), ["dump.rdb"]);
    client.check("CONFIG SET rdb-version auto", "+OK~");
    client.check("SAVE", "+OK~");
    assert!(file(&server).expect("a file").starts_with(b"VALKEY080"), "expiries of fields need it");
    client.check("MULTI", "+OK~");
    client.check("SAVE", "-ERR Command 'save' not allowed inside a transaction~");
}

/// A snapshot that waits for the end of a rewrite is cancelled with words of its own.
#[test]
fn a_scheduled_bgsave_can_be_cancelled() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    // The rewrite is said to run before it has begun to read the data, which is what stands in the way.
    eventually("it reads", || server.handle().server().keyspace.handover.is_running());
    client.check("BGSAVE SCHEDULE", "+Background saving scheduled~");
    client.check("BGSAVE CANCEL", "+Scheduled background saving cancelled~");
    client.check("BGSAVE CANCEL", "-ERR Background saving is currently not in progress or scheduled~");
}

#[test]
fn bgsave_goes_on_in_the_background_and_can_be_cancelled() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("BGSAVE x", "-ERR syntax error~");
    client.check("BGSAVE CANCEL", "-ERR Background saving is currently not in progress or scheduled~");
    client.check("SET a 1", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("BGSAVE", "+Background saving started~");
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "1");
    assert_eq!(info(&mut client, "current_save_keys_total"), "1", "known when the answer comes");
    client.check("BGSAVE", "-ERR Background save already in progress~");
    client.check("BGSAVE SCHEDULE", "-ERR Background save already in progress~");
    client.check("SAVE", "-ERR Background save already in progress~");
    client.check("SET a 2", "+OK~");
    client.check("BGSAVE CANCEL", "+Background saving cancelled~");
    eventually("it is given up", || info(&mut client, "rdb_bgsave_in_progress") == "0");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    assert_eq!(files(server.dir()), [""; 0]);
    client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
    client.check("BGSAVE SCHEDULE", "+Background saving started~");
    eventually("it is written", || info(&mut client, "rdb_saves") == "1");
    assert_eq!(files(server.dir()), ["dump.rdb"]);
}

/// What stands behind BGSAVE in a pipeline is not in its file, as the snapshot's instant has passed when it is
/// answered. In a transaction it is scheduled.
#[test]
fn bgsave_holds_what_was_before_its_reply() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    for round in 0..20 {
        let pipeline = format!("SET a {round}\r\nBGSAVE\r\nSET a later\r\nSET b later\r\n");
        client.send(pipeline.as_bytes());
        client.check_next("+OK~");
        client.check_next("+Background saving started~");
        client.check_next("+OK~");
        client.check_next("+OK~");
        eventually("it ends", || info(&mut client, "rdb_bgsave_in_progress") == "0");
        client.check("DEBUG RELOAD NOSAVE", "+OK~");
        client.check("MGET a b", &format!("*2~${}~{round}~_~", round.to_string().len()).replace("_", "$-1"));
    }
    client.send(b"MULTI\r\nSET a 1\r\nBGSAVE\r\nSET a 2\r\nEXEC\r\n");
    for reply in ["+OK~", "+QUEUED~", "+QUEUED~", "+QUEUED~"] {
        client.check_next(reply);
    }
    client.check_next("*3~+OK~+Background saving scheduled~+OK~");
    let saves: u64 = info(&mut client, "rdb_saves").parse().expect("a number");
    server.handle().server().saving().expect("files").look();
    eventually("it is written", || info(&mut client, "rdb_saves") == (saves + 1).to_string());
    client.check("DEBUG RELOAD NOSAVE", "+OK~");
    client.check("GET a", "$1~2~");
}

/// SAVE waits for a rewrite of the append-only file, as one snapshot at a time is read.
#[test]
fn save_waits_for_a_rewrite() {
    let server = TestServer::with(&[("appendonly", "yes")]);
    let (mut client, mut saver) = (server.client(), server.client());
    client.check("MSET a 1 b 2", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 200000", "+OK~");
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    saver.check("SAVE", "+OK~");
    client.check("SET c 3", "+OK~");
    eventually("the rewrite ends", || info(&mut client, "aof_rewrite_in_progress") == "0");
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
}

/// Two servers with save points would write over each other's snapshot.
#[test]
fn a_second_server_is_kept_out_of_the_file() {
    let save = ("save", "3600 1");
    let server = TestServer::with(&[save]);
    let folder = server.dir().display().to_string();
    let start = |pairs: &[(&str, &str)]| {
        let all = [("port", "0"), ("dir", folder.as_str())];
        let config = kvarts::config::Config::from_pairs(all.iter().chain(pairs).copied());
        kvarts::start(config.expect("a configuration"), Clock::manual(START_MS))
    };
    let error = start(&[save]).err().expect("a refusal").to_string();
    assert!(error.contains("another server uses the folder") && error.contains("dump.rdb"), "{error}");
    drop(start(&[("save", "")]).expect("one that saves nothing by itself starts"));
    drop(start(&[save, ("dbfilename", "other.rdb")]).expect("one with another file starts"));
    server.client().check("SET a 1", "+OK~");
    let server = TestServer::try_with(&[save], Clock::manual(START_MS), server.stop_and_keep());
    drop(server.expect("the lock ends with the server"));
}

#[test]
fn save_points_ask_for_snapshots() {
    let server = TestServer::with(&[("save", "10 2 100 1")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    server.advance_ms(50_000);
    let look = || server.handle().server().saving().expect("files").look();
    look();
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "0", "one change is too few");
    client.check("SET a 2", "+OK~");
    look();
    eventually("it is written", || info(&mut client, "rdb_saves") == "1");
    client.check("SET a 3", "+OK~");
    server.advance_ms(100_000);
    look();
    assert_eq!(info(&mut client, "rdb_saves"), "1", "a hundred seconds have to be over");
    server.advance_ms(1000);
    look();
    eventually("it is written", || info(&mut client, "rdb_saves") == "2");
}

/// A folder that is gone: writes are refused until a snapshot succeeds again, reads go on.
#[test]
fn writes_are_refused_after_a_snapshot_failed() {
    let server = TestServer::with(&[("save", "3600 1"), ("enable-protected-configs", "yes")]);
    let mut client = server.client();
    let gone = server.dir().join("gone");
    std::fs::create_dir(&gone).expect("a folder");
    client.call(&["CONFIG", "SET", "dir", gone.to_str().expect("a path")]);
    std::fs::remove_dir(&gone).expect("an empty folder");
    client.check("SET a 1", "+OK~");
    client.check("BGSAVE", "+Background saving started~");
    eventually("it fails", || info(&mut client, "rdb_last_bgsave_status") == "err");
    client.send(b"SET a 2\r\nGET a\r\nMULTI\r\nSET a 3\r\nEXEC\r\nPING\r\n");
    assert!(client.read().text().starts_with("MISCONF Valkey is configured to save RDB snapshots"));
    client.check_next("$1~1~");
    client.check_next("+OK~");
    assert!(client.read().text().starts_with("MISCONF "));
    assert!(client.read().text().starts_with("EXECABORT "));
    assert!(client.read().text().starts_with("MISCONF "), "PING tells health checks");
    for script in ["return redis.call('set', 'a', 1)", "#!lua\nreturn 1"] {
        let reply = client.call(&["EVAL", script, "0"]);
        assert!(reply.text().contains("MISCONF"), "{script}: {reply:?}");
    }
    assert_eq!(client.call(&["EVAL", "return 1", "0"]).text(), "1");
    assert_eq!(client.call(&["EVAL", "#!lua flags=no-writes\nreturn 1", "0"]).text(), "1");
    client.check("CONFIG SET stop-writes-on-bgsave-error no", "+OK~");
    client.check("SET a 4", "+OK~");
    client.check("CONFIG SET stop-writes-on-bgsave-error yes", "+OK~");
    std::fs::create_dir(&gone).expect("a folder");
    client.check("BGSAVE", "+Background saving started~");
    eventually("it succeeds", || info(&mut client, "rdb_last_bgsave_status") == "ok");
    client.check("SET a 5", "+OK~");
}

#[test]
fn the_end_waits_for_the_last_snapshot() {
    for (save, words, is_saved) in [
        ("3600 1", "SHUTDOWN", true),
        ("", "SHUTDOWN", false),
        ("", "SHUTDOWN SAVE", true),
        ("3600 1", "SHUTDOWN NOSAVE", false),
    ] {
        let server = TestServer::with(&[("save", save)]);
        let mut client = server.client();
        client.check("SET a 1", "+OK~");
        client.send(format!("{words}\r\n").as_bytes());
        client.expect_closed();
        assert_eq!(file(&server).is_some(), is_saved, "{words} with save '{save}'");
    }
    let server = TestServer::with(&[("save", "3600 1"), ("rdb-version", "11")]);
    let mut client = server.client();
    client.check("HSETEX h EX 100 FIELDS 1 f v", ":1~");
    client.check("SHUTDOWN", "-ERR Errors trying to SHUTDOWN. Check logs.~");
    client.check("SET a 1", "+OK~");
    client.send(b"SHUTDOWN FORCE\r\n");
    client.expect_closed();
}

const ACCOUNTS: usize = 64;

/// What is in all accounts together, in the snapshot of a folder.
fn sum_of_accounts(folder: &Path) -> i64 {
    let dir = TempDir::new();
    std::fs::copy(folder.join("dump.rdb"), dir.path().join("dump.rdb")).expect("a copy");
    let server = TestServer::try_with(&[], kvarts::shared::clock::Clock::system(), dir).expect("it loads");
    let mut client = server.client();
    (0..ACCOUNTS)
        .map(|number| {
            let held = client.call(&["HGET", "accounts", &number.to_string()]).text();
            let account = client.call(&["GET", &format!("account:{number}")]).text();
            held.parse::<i64>().expect("a number") + account.parse::<i64>().expect("a number")
        })
        .sum()
}

/// Transfers between accounts in all slots and in one large hash, in transactions and scripts, while
/// snapshots are written: the sum in each file is right.
#[test]
fn a_snapshot_is_of_one_instant_for_transactions_and_scripts() {
    let server = TestServer::with_clock(&[], kvarts::shared::clock::Clock::system());
    let mut client = server.client();
    for number in 0..ACCOUNTS {
        client.call(&["SET", &format!("account:{number}"), "1000"]);
        client.call(&["HSET", "accounts", &number.to_string(), "1000"]);
    }
    let mut filling = vec!["HSET".to_owned(), "accounts".to_owned()];
    (0..3000).for_each(|number| filling.extend([format!("filling:{number}"), "x".to_owned()]));
    client.call(&filling.iter().map(String::as_str).collect::<Vec<_>>());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            let (mut client, stop) = (server.client(), std::sync::Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut transfers = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut account = || format!("account:{}", rng.usize(..ACCOUNTS));
                    let (from, to) = (account(), account());
                    let field = rng.usize(..ACCOUNTS).to_string();
                    let amount = rng.u8(1..100).to_string();
                    let back = format!("-{amount}");
                    let lines: Vec<Vec<&str>> = match rng.u8(..3) {
                        0 => vec![vec!["MULTI"], vec!["DECRBY", &from, &amount], vec!["INCRBY", &to, &amount], vec!["EXEC"]],
                        1 => vec![
                            vec!["MULTI"],
                            vec!["HINCRBY", "accounts", &field, &back],
                            vec!["INCRBY", &to, &amount],
                            vec!["EXEC"],
                        ],
                        _ => vec![vec![
                            "EVAL",
                            "redis.call('decrby', KEYS[1], ARGV[1]) redis.call('hincrby', KEYS[2], ARGV[2], ARGV[1])",
                            "2",
                            &from,
                            "accounts",
                            &amount,
                            &field,
                        ]],
                    };
                    let pipeline: Vec<u8> = lines.iter().flat_map(|line| encode(line)).collect();
                    client.send(&pipeline);
                    lines.iter().for_each(|_| drop(client.read()));
                    transfers += 1;
                }
                transfers
            })
        })
        .collect();
    for _ in 0..6 {
        client.check("SAVE", "+OK~");
        assert_eq!(sum_of_accounts(server.dir()), 2000 * ACCOUNTS as i64);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let transfers: u32 = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert!(transfers > 100, "{transfers} transfers");
}

/// DEBUG RELOAD writes a snapshot and reads it back: everything is there, also what the options leave.
#[test]
fn what_is_saved_comes_back() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    let mut rng = fastrand::Rng::with_seed(4);
    crate::snapshot::fill_with_large_values(&mut client, &mut rng);
    client.check("XADD x 1-1 f v", "$3~1-1~");
    client.check(
        "FUNCTION LOAD '#!lua name=lib\nserver.register_function(\"f\", function() return 1 end)'",
        "$3~lib~",
    );
    let expected = crate::journal::data(&server);
    client.check("DEBUG RELOAD", "+OK~");
    assert_eq!(crate::journal::data(&server), expected);
    client.check("DEL k1 k2", ":2~");
    client.check("DEBUG RELOAD NOSAVE", "+OK~");
    assert_eq!(crate::journal::data(&server), expected, "the file was not written anew");
    client.check("DEBUG RELOAD NOFLUSH", "-ERR Error trying to load the RDB dump, check server logs.~");
    client.check("SET further 1", "+OK~");
    client.check("DEBUG RELOAD NOSAVE NOFLUSH MERGE", "+OK~");
    client.check("DEL further", ":1~");
    assert_eq!(crate::journal::data(&server), expected);
}

/// SHUTDOWN ABORT gives up the last snapshot and with it the end, whoever asked for that: another client,
/// which hears an error, or a second one that waits for the same snapshot. Writes wait meanwhile and run
/// afterwards; reads do not wait.
#[test]
fn the_end_can_be_aborted_while_the_last_snapshot_is_written() {
    let server = TestServer::with(&[("save", "3600 1")]);
    let mut client = server.client();
    client.check("SHUTDOWN ABORT", "-ERR No shutdown in progress.~");
    client.check("SET a 1", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    let (mut first, mut second, mut writer) = (server.client(), server.client(), server.client());
    first.send_command("SHUTDOWN");
    let in_progress = |client: &mut Client| client.raw("INFO server").contains("shutdown_in_milliseconds:0");
    eventually("it is written", || in_progress(&mut client));
    second.send_command("SHUTDOWN SAVE");
    writer.send_command("SET a 2");
    client.check("GET a", "$1~1~");
    client.check("SHUTDOWN ABORT", "+OK~");
    first.check_next("-ERR Errors trying to SHUTDOWN. Check logs.~");
    second.check_next("-ERR Errors trying to SHUTDOWN. Check logs.~");
    writer.check_next("+OK~");
    assert!(!in_progress(&mut client));
    assert_eq!(files(server.dir()), [""; 0], "nothing is left of it");
    client.check("SHUTDOWN ABORT", "-ERR No shutdown in progress.~");
    client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
    client.send_command("SHUTDOWN");
    client.expect_closed();
    assert_eq!(files(server.dir()), ["dump.rdb"]);
}

/// SHUTDOWN NOSAVE ends the server although the last snapshot of another SHUTDOWN is being written.
#[test]
fn an_end_without_a_snapshot_does_not_wait_for_one() {
    let server = TestServer::with(&[("save", "3600 1")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    let mut first = server.client();
    first.send_command("SHUTDOWN");
    eventually("it is written", || client.raw("INFO server").contains("shutdown_in_milliseconds:0"));
    client.send_command("SHUTDOWN NOSAVE");
    client.expect_closed();
    server.handle().wait();
    assert_eq!(files(server.stop_and_keep().path()), [""; 0]);
}

/// SHUTDOWN NOSAVE ends the server although a snapshot in the background waits for another one, a backup's.
#[test]
fn an_end_without_a_snapshot_does_not_wait_for_one_that_waits() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("MSET a 1 b 2", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("BACKUP START", "+OK~");
    eventually("it is read", || server.handle().server().keyspace.handover.is_running());
    client.check("BGSAVE SCHEDULE", "+Background saving scheduled~");
    client.send_command("SHUTDOWN NOSAVE");
    client.expect_closed();
    server.handle().wait();
    assert_eq!(files(server.stop_and_keep().path()), [""; 0]);
}

/// The append-only file that was switched on does not hold all data before its first base is written: the end
/// would lose them, and is refused unless it is forced.
#[test]
fn the_end_is_refused_while_the_append_only_file_begins() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("CONFIG SET appendonly yes", "+OK~");
    eventually("it begins", || info(&mut client, "aof_rewrite_in_progress") == "1");
    for words in ["SHUTDOWN", "SHUTDOWN NOSAVE"] {
        client.check(words, "-ERR Errors trying to SHUTDOWN. Check logs.~");
    }
    client.check("SET a 2", "+OK~");
    client.send_command("SHUTDOWN FORCE");
    client.expect_closed();
}

/// FLUSHALL gives up the snapshot that is being written, whose file would bring the data back, and with save
/// points writes another one at once.
#[test]
fn flushall_gives_up_a_snapshot() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.check("SAVE", "+OK~");
    client.check("SET b 1", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("BGSAVE", "+Background saving started~");
    client.check("FLUSHALL", "+OK~");
    eventually("it is given up", || info(&mut client, "rdb_bgsave_in_progress") == "0");
    assert_eq!(info(&mut client, "rdb_saves"), "1");
    assert_ne!(info(&mut client, "rdb_changes_since_last_save"), "0");
    client.check("CONFIG SET rdb-key-save-delay 0 save '3600 1000'", "+OK~");
    client.check("SET a 1", "+OK~");
    client.check("FLUSHALL", "+OK~");
    assert_eq!(info(&mut client, "rdb_saves"), "2", "it is written when FLUSHALL is answered");
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    let file = file(&server).expect("a file");
    assert!(!file.windows(3).any(|part| part == b"\x00\x01a"), "no key is in it");
}

/// DEBUG RELOAD beside clients that write: nothing acknowledged is lost.
#[test]
fn debug_reload_keeps_what_others_write() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let counted = count_beside(&server, || {
        let mut loader = server.client();
        (0..10).for_each(|_| loader.check("DEBUG RELOAD", "+OK~"));
    });
    assert_eq!(server.client().value("GET n").text(), counted.to_string());
}

/// DEBUG RELOAD of a file of an unknown version, or of none, leaves the data as they are: they were removed
/// before anybody had looked at the file.
#[test]
fn a_file_that_cannot_be_loaded_costs_no_data() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    for bytes in [&b"REDIS0987\xff\0\0\0\0\0\0\0\0"[..], b"VALKEY987\xff", b"no snapshot", b"RED", b""] {
        std::fs::write(server.dir().join("dump.rdb"), bytes).expect("written");
        client.check("DEBUG RELOAD NOSAVE", "-ERR Error trying to load the RDB dump, check server logs.~");
        client.check("GET a", "$1~1~");
    }
    std::fs::remove_file(server.dir().join("dump.rdb")).expect("removed");
    client.check("DEBUG RELOAD NOSAVE", "-ERR Error trying to load the RDB dump, check server logs.~");
    client.check("GET a", "$1~1~");
}

/// What a process that was killed has left half written is removed at the next start; what another one that
/// runs is writing stays.
#[test]
fn what_killed_processes_left_is_removed() {
    let dir = TempDir::new();
    let folder = dir.path().join("appendonlydir");
    std::fs::create_dir(&folder).expect("a folder");
    // No process has this id: it is above the highest that systems give.
    let (gone, runs) = (4_999_999, std::os::unix::process::parent_id());
    let mut left = Vec::new();
    for (folder, begin, end) in [(dir.path(), "temp-", ".rdb"), (&folder, "temp-rewriteaof-bg-", ".aof")] {
        for id in [gone.to_string(), runs.to_string(), "x".to_owned()] {
            let path = folder.join(format!("{begin}{id}{end}"));
            std::fs::write(&path, b"half").expect("written");
            left.push(path);
        }
    }
    let clock = kvarts::shared::clock::Clock::system();
    let server = TestServer::try_with(&[("appendonly", "yes")], clock, dir).expect("it starts");
    let is_there: Vec<bool> = left.iter().map(|path| path.exists()).collect();
    assert_eq!(is_there, [false, true, true, false, true, true]);
    drop(server);
}

/// SHUTDOWN, as SIGTERM, found another snapshot in its way, that of a rewrite or of a client's SAVE, and went
/// on serving as if nothing had been asked.
#[test]
fn a_shutdown_does_not_stumble_over_another_snapshot() {
    for way in ["BGREWRITEAOF", "SAVE"] {
        let server = TestServer::with(&[("appendonly", "yes"), ("save", "900 1")]);
        let (mut client, mut other) = (server.client(), server.client());
        let keys = "for i = 1, 300 do redis.call('SET', KEYS[1] .. i, i) end";
        client.send(&encode(&["EVAL", keys, "1", "{k}"]));
        client.check_next("$-1~");
        client.check("CONFIG SET rdb-key-save-delay 100000", "+OK~");
        client.send_command(way);
        eventually("it runs", || server.handle().server().keyspace.handover.is_running());
        other.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
        other.send_command("SHUTDOWN");
        assert_eq!(String::from_utf8_lossy(&other.read_to_end()), "", "it ends");
        let server = TestServer::try_with(&[], Clock::manual(START_MS), server.stop_and_keep());
        server.expect("it starts").client().check("DBSIZE", ":300~");
    }
}

/// A snapshot that begins while DEBUG RELOAD has removed all data and not loaded them again would have a part of them;
/// so would another DEBUG RELOAD.
#[test]
fn no_snapshot_begins_while_data_are_read_again() {
    let server = that_loads_slowly(&[]);
    let mut loader = server.client();
    loader.send_command("DEBUG RELOAD NOSAVE");
    is_empty_while_it_loads(&server);
    let saving = server.handle().server().saving().expect("it has files");
    assert_eq!(saving.reload(true, true), Err("data are being loaded".to_owned()));
    assert_eq!(saving.save_in_background(Background::AtOnce), Ok("Background saving started"));
    loader.check_next("+OK~");
    eventually("it ends", || server.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(server.info("rdb_saves"), "2");
    let server = TestServer::try_with(&[], Clock::manual(START_MS), server.stop_and_keep());
    server.expect("it starts").client().check("DBSIZE", ":300~");
}

/// What is due for a client that waits for a key comes when the data are read again, and is not looked for in between.
#[test]
fn clients_that_wait_are_served_behind_a_reload() {
    let server = that_loads_slowly(&[]);
    let (mut client, mut waiting, mut loader) = (server.client(), server.client(), server.client());
    client.check("RPUSH l a", ":1~");
    client.check("SAVE", "+OK~");
    client.check("DEL l", ":1~");
    let id = waiting.value("CLIENT ID").int() as u64;
    waiting.send_command("BLPOP l 0");
    let inner = server.handle().server();
    let waiter = || inner.clients.by_id(id).and_then(|client| client.waiter.lock().clone());
    eventually("it waits", || waiter().is_some());
    loader.send_command("DEBUG RELOAD NOSAVE");
    is_empty_while_it_loads(&server);
    inner.retry_wait(&waiter().expect("it waits"));
    loader.check_next("+OK~");
    waiting.check_next("*2~$1~l~$1~a~");
    client.check("DBSIZE", ":300~");
}
