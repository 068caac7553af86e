//! The append-only file on a disk that fails: writes are refused, reads go on, nothing acknowledged is lost,
//! and all goes on when the disk does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use kvarts::config::Config;
use kvarts::shared::clock::Clock;

use crate::faults::{EIO, ENOSPC, EROFS, Faults, FaultyFiles};
use crate::harness::*;
use crate::program::Program;

/// A server on a disk that works until it is told otherwise.
pub fn server_with(pairs: &[(&str, &str)]) -> (TestServer, Arc<Faults>) {
    let faults = Faults::new();
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let all: Vec<(&str, &str)> = [("appendonly", "yes")].iter().chain(pairs).copied().collect();
    let server = TestServer::try_with_files(&all, Clock::manual(START_MS), TempDir::new(), files);
    (server.expect("the server starts"), faults)
}

/// All keys with their values.
pub fn data(server: &TestServer) -> Vec<(String, String)> {
    let mut client = server.client();
    let mut keys = client.value("KEYS *").texts();
    keys.sort();
    keys.into_iter().map(|key| (key.clone(), client.raw(&format!("DUMP {key}")))).collect()
}

/// Starts a server on a working disk in this folder.
pub fn on_good_disk(dir: TempDir) -> TestServer {
    TestServer::try_with(&[("appendonly", "yes")], Clock::manual(START_MS), dir).expect("it starts")
}

const FULL: &str = "-MISCONF Errors writing to the AOF file: No space left on device~";

/// A full disk: a write that ran is answered only when it is in the file, others are refused, in whichever
/// way they come; reads go on.
#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    for fsync in ["always", "everysec"] {
        let (server, faults) = server_with(&[("appendfsync", fsync)]);
        let mut client = server.client();
        client.check("SET before 1", "+OK~");
        client.check("WAITAOF 1 0 0", "*2~:1~:0~");
        faults.write.store(ENOSPC, SeqCst);
        let mut first = server.client();
        first.send_command("SET during 1");
        eventually("it is noticed", || server.handle().server().durability.refuses_writes());
        client.check("SET refused 1", FULL);
        client.check("PING", FULL);
        client.check("GET before", "$1~1~");
        client.check("EXISTS during", ":1~");
        client.check("MULTI", "+OK~");
        client.check("SET refused 1", FULL);
        client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
        client.send(&encode(&["EVAL", "return redis.pcall('set', KEYS[1], '1')", "1", "refused"]));
        let reply = show(&client.read_raw());
        assert!(reply.contains("MISCONF Errors writing to the AOF file: No space"), "{reply}");
        client.send(
            &[encode(&["GET", "before"]), encode(&["SET", "refused", "1"]), encode(&["GET", "before"])]
                .concat(),
        );
        client.check_next("$1~1~");
        client.check_next(FULL);
        client.check_next("$1~1~");
        assert_eq!(server.info("aof_last_write_status"), "err");
        if fsync == "always" {
            let stream = first.tcp_stream();
            stream.set_nonblocking(true).expect("a socket");
            let nothing = stream.peek(&mut [0]).expect_err("no reply");
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            stream.set_nonblocking(false).expect("a socket");
        }
        faults.write.store(0, SeqCst);
        first.check_next("+OK~");
        eventually("it is noticed", || !server.handle().server().durability.refuses_writes());
        client.check("SET after 1", "+OK~");
        assert_eq!(server.info("aof_last_write_status"), "ok");
        let before = data(&server);
        let server = on_good_disk(server.stop_and_keep());
        assert_eq!(data(&server), before);
        server.client().check("MGET before during after refused", "*4~$1~1~$1~1~$1~1~$-1~");
    }
}

/// With `always` a client could read what another one had changed before that was on disk: after a crash it
/// would have seen what never was. Its reply waits now, as that of the one who made the change does.
#[test]
fn what_is_not_on_disk_is_not_seen() {
    let (server, faults) = server_with(&[("appendfsync", "always")]);
    let (mut writer, mut reader, mut script) = (server.client(), server.client(), server.client());
    writer.check("SET k old", "+OK~");
    faults.holds_syncs.store(true, SeqCst);
    let before = server.handle().server().journal().end();
    writer.send_command("SET k new");
    eventually("it is changed", || server.handle().server().journal().end() > before);
    reader.send_command("GET k");
    reader.send_command("PING behind");
    script.send_command("EVAL \"return redis.call('GET', KEYS[1])\" 1 k");
    for client in [&mut writer, &mut reader, &mut script] {
        let stream = client.tcp_stream();
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        assert!(stream.peek(&mut [0]).is_err(), "a reply before the change is on disk");
        stream.set_read_timeout(None).expect("no time-out");
    }
    faults.holds_syncs.store(false, SeqCst);
    writer.check_next("+OK~");
    reader.check_next("$3~new~");
    reader.check_next("$6~behind~");
    script.check_next("$3~new~");
}

/// Nobody has been sent anything for a moment.
fn nobody_hears(clients: &mut [&mut Client]) {
    for (index, client) in clients.iter_mut().enumerate() {
        let stream = client.tcp_stream();
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
        assert!(stream.peek(&mut [0]).is_err(), "client {index} hears before the change is on disk");
        stream.set_read_timeout(None).expect("no time-out");
    }
}

/// A write that waits for the disk when the server is told to end is answered when it is there.
#[test]
fn the_last_writes_are_answered_at_the_end() {
    let (server, faults) = server_with(&[("appendfsync", "always")]);
    let mut clients = [(); 4].map(|()| server.client());
    faults.holds_syncs.store(true, SeqCst);
    for client in &mut clients {
        client.send_command("SET k 1");
    }
    eventually("they wait", || server.handle().server().durability.waiting_clients() == clients.len());
    let end = std::thread::spawn(move || server.stop_and_keep());
    nobody_hears(&mut clients.iter_mut().collect::<Vec<_>>());
    faults.holds_syncs.store(false, SeqCst);
    for client in &mut clients {
        client.check_next("+OK~");
    }
    end.join().expect("no panic");
}

/// While the disk is quick a worker syncs what its clients wait for; a slow one, or one that fails, is left to the
/// writer's own thread, and taken up again when it has become quick.
#[test]
fn workers_sync_while_the_disk_is_quick() {
    let (server, faults) = server_with(&[("appendfsync", "always")]);
    let mut clients = [(); 5].map(|()| server.client());
    let mut count = 0;
    let mut until_synced_on = |thread: &str| {
        for _ in 0..2000 {
            for client in &mut clients {
                // Several requests in one write, and a transaction.
                client.send(b"INCR n\r\nMULTI\r\nINCR n\r\nAPPEND s x\r\nEXEC\r\nPING\r\n");
            }
            for client in &mut clients {
                for _ in 0..6 {
                    client.read_raw();
                }
            }
            count += 10;
            if *faults.syncs_on.lock() == thread {
                return;
            }
        }
        panic!("no sync on {thread}");
    };
    until_synced_on("kvarts-worker");
    faults.sync_ms.store(3, SeqCst);
    until_synced_on("kvarts-aof");
    faults.sync_ms.store(0, SeqCst);
    until_synced_on("kvarts-worker");
    server.client().check("CONFIG SET appendfsync everysec", "+OK~");
    server.client().check("CONFIG SET appendfsync always", "+OK~");
    until_synced_on("kvarts-worker");
    let found = faults.cut_power(server.dir());
    drop(server);
    let server = on_good_disk(found);
    assert_eq!(server.client().value("GET n").text(), count.to_string());
}

/// What was answered behind CONFIG SET appendfsync always could be lost as long as the first sync ran.
#[test]
fn always_holds_from_the_reply_of_config_set_on() {
    for before in ["everysec", "no"] {
        let (server, faults) = server_with(&[("appendfsync", before)]);
        let (mut client, mut other) = (server.client(), server.client());
        client.check("SET small 1", "+OK~");
        faults.holds_syncs.store(true, SeqCst);
        other.check("SET large 1", "+OK~");
        client.send_command("CONFIG SET appendfsync always");
        eventually("it is set", || server.handle().server().durability.is_strict());
        other.send_command("SET after 1");
        for client in [&mut client, &mut other] {
            let stream = client.tcp_stream();
            stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
            assert!(stream.peek(&mut [0]).is_err(), "a reply before what it promises is on disk");
            stream.set_read_timeout(None).expect("no time-out");
        }
        faults.holds_syncs.store(false, SeqCst);
        client.check_next("+OK~");
        other.check_next("+OK~");
    }
}

/// A sync that fails may have lost what it was to make lasting (it does here): that is written again.
#[test]
fn what_a_failed_sync_loses_is_written_again() {
    for fsync in ["always", "everysec"] {
        let (server, faults) = server_with(&[("appendfsync", fsync)]);
        let mut client = server.client();
        client.check("SET before 1", "+OK~");
        faults.sync.store(EIO, SeqCst);
        let mut first = server.client();
        first.send_command("SET during 1");
        eventually("it is noticed", || server.handle().server().durability.refuses_writes());
        client.check("SET refused 1", "-MISCONF Errors writing to the AOF file: Input/output error~");
        faults.sync.store(0, SeqCst);
        first.check_next("+OK~");
        eventually("it is noticed", || !server.handle().server().durability.refuses_writes());
        client.check("SET after 1", "+OK~");
        client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
        let server = on_good_disk(server.stop_and_keep());
        server.client().check("MGET before during after refused", "*4~$1~1~$1~1~$1~1~$-1~");
    }
}

/// The file is taken away while it is written: a rewrite brings all data into new files.
#[test]
fn a_file_that_is_taken_away_is_replaced() {
    let (server, _) = server_with(&[("appendfsync", "always")]);
    let mut client = server.client();
    client.check("SET before 1", "+OK~");
    std::fs::remove_file(server.dir().join("appendonlydir/appendonly.aof.1.incr.aof")).expect("it is there");
    client.check("SET during 1", "+OK~");
    eventually("a rewrite replaces it", || {
        server.info("aof_rewrites") == "1" && server.info("aof_rewrite_in_progress") == "0"
    });
    eventually("it is noticed", || !server.handle().server().durability.refuses_writes());
    client.check("SET after 1", "+OK~");
    let server = on_good_disk(server.stop_and_keep());
    server.client().check("MGET before during after", "*3~$1~1~$1~1~$1~1~");
}

/// The whole folder is taken away: it is made again, with all data.
#[test]
fn a_folder_that_is_taken_away_is_made_again() {
    let (server, _) = server_with(&[("appendfsync", "always")]);
    let mut client = server.client();
    client.check("SET before 1", "+OK~");
    std::fs::remove_dir_all(server.dir().join("appendonlydir")).expect("it is there");
    eventually("it is made again", || {
        server.info("aof_rewrites") == "1" && server.info("aof_rewrite_in_progress") == "0"
    });
    eventually("writes go on", || !server.handle().server().durability.refuses_writes());
    client.check("SET after 1", "+OK~");
    let folder = server.dir().display().to_string();
    let pairs = [("port", "0"), ("dir", folder.as_str()), ("appendonly", "yes")];
    let config = Config::from_pairs(pairs).expect("a configuration");
    let second = kvarts::start(config, Clock::manual(START_MS)).err().expect("the lock is there again");
    assert!(second.to_string().contains("another server uses the folder"), "{second}");
    let server = on_good_disk(server.stop_and_keep());
    server.client().check("MGET before after", "*2~$1~1~$1~1~");
}

/// As long as `dir` itself is gone no rewrite can begin, which is tried several times a second and told once. It goes
/// on when `dir` is there again.
#[test]
fn a_rewrite_that_cannot_begin_is_told_once() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let program = Program::start_in(dir, "", &["--appendonly", "yes", "--dir", "data"]);
    let mut client = program.client();
    client.check("SET k v", "+OK~");
    std::fs::remove_dir_all(&data).expect("it is there");
    let info = |client: &mut Client, field: &str| {
        let text = client.value("INFO").text();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        line.trim_start_matches(':').to_owned()
    };
    let told = || program.log().matches("cannot rewrite the AOF").count();
    eventually("it is told", || told() == 1);
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "err");
    let uptime = |client: &mut Client| info(client, "uptime_in_seconds").parse::<u64>().expect("a number");
    let before = uptime(&mut client);
    eventually("it is tried further", || uptime(&mut client) >= before + 2);
    assert_eq!(told(), 1);
    std::fs::create_dir(&data).expect("a folder");
    eventually("it goes on", || info(&mut client, "aof_last_bgrewrite_status") == "ok");
    client.check("SET k w", "+OK~");
}

/// A folder that cannot be written is told at the start, and when the file is switched on.
#[test]
fn a_folder_that_cannot_be_written_is_told_at_once() {
    let faults = Faults::new();
    faults.names.store(EROFS, SeqCst);
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let pairs = [("appendonly", "yes")];
    let started = TestServer::try_with_files(&pairs, Clock::manual(START_MS), TempDir::new(), files);
    let error = started.err().expect("a refusal").to_string();
    assert!(error.contains("cannot write the append-only file: Read-only file system"), "{error}");

    let files = Arc::new(FaultyFiles(faults));
    let server = TestServer::try_with_files(&[], Clock::manual(START_MS), TempDir::new(), files);
    let server = server.expect("it starts without the file");
    let mut client = server.client();
    client.check(
        "CONFIG SET appendonly yes",
        "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs.~",
    );
    client.check("CONFIG GET appendonly", "*2~$10~appendonly~$2~no~");
    client.check("SET a 1", "+OK~");
}

/// The machine stops at each step of a rewrite in turn: the folder as it is then loads to all data.
#[test]
fn a_rewrite_that_stops_anywhere_loses_nothing() {
    let mut steps = 0;
    for step in 0.. {
        let (server, faults) = server_with(&[("appendfsync", "always")]);
        let mut client = server.client();
        for key in 0..20 {
            client.check(&format!("SET key-{key} {key}"), "+OK~");
        }
        client.check("RPUSH list a b c", ":3~");
        let before = data(&server);
        faults.count.store(0, SeqCst);
        faults.left.store(step, SeqCst);
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
        let stopped = || faults.left.load(SeqCst) == 0 && server.info("aof_rewrite_in_progress") == "0";
        let done = || server.info("aof_rewrites") == "1" && server.info("aof_rewrite_in_progress") == "0";
        eventually("it stops or ends", || stopped() || done());
        let finished = faults.left.load(SeqCst) > 0;
        let copy = TempDir::new();
        std::fs::create_dir(copy.path().join("appendonlydir")).expect("a folder");
        for entry in std::fs::read_dir(server.dir().join("appendonlydir")).expect("the folder") {
            let path = entry.expect("an entry").path();
            let to = copy.path().join("appendonlydir").join(path.file_name().expect("a name"));
            std::fs::copy(&path, to).expect("a copy");
        }
        let after = on_good_disk(copy);
        assert_eq!(data(&after), before, "stopped at step {step}");
        if finished {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "{steps} steps");
}

/// A rewrite that fails leaves the file as it was and goes on appending; the next one works.
#[test]
fn a_rewrite_that_fails_is_told_and_tried_again() {
    let (server, faults) = server_with(&[("appendfsync", "always")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    faults.names.store(EROFS, SeqCst);
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
    assert_eq!(server.info("aof_last_bgrewrite_status"), "err");
    client.check("SET b 1", "+OK~");
    faults.names.store(0, SeqCst);
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
    assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
    client.check("SET c 1", "+OK~");
    let server = on_good_disk(server.stop_and_keep());
    server.client().check("MGET a b c", "*3~$1~1~$1~1~$1~1~");
}

/// Directives of the file with values that would lead out of its folder, or mean nothing, are refused.
#[test]
fn directives_of_the_file_are_checked() {
    assert!(Config::from_pairs([("appendfsync", "sometimes")]).is_err());
    assert!(Config::from_pairs([("appenddirname", "a/b")]).is_err());
    assert!(Config::from_pairs([("appendfilename", "a/b")]).is_err());
}

/// A file that was taken away while the disk is full comes back within a second once the disk has room, however often
/// that failed before: writes are refused all the while.
#[test]
fn a_file_that_is_taken_away_comes_back_when_the_disk_has_room() {
    let (server, faults) = server_with(&[("appendfsync", "always")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    std::fs::remove_file(server.dir().join("appendonlydir/appendonly.aof.1.incr.aof")).expect("it is there");
    faults.write.store(ENOSPC, SeqCst);
    let failures = || server.info("aof_rewrites_consecutive_failures").parse::<u64>().expect("a number");
    eventually("it fails again and again", || failures() >= 4);
    assert!(client.raw("SET a 2").starts_with("-MISCONF"));
    faults.write.store(0, SeqCst);
    eventually("writes go on", || client.raw("SET a 3") == "+OK~");
    let found = faults.cut_power(server.dir());
    let server = on_good_disk(found);
    server.client().check("GET a", "$1~3~");
}

/// DEBUG LOADAOF of files that were taken away costs no data: they were removed before anybody had looked.
#[test]
fn a_file_that_is_taken_away_costs_no_data_when_it_is_to_be_loaded() {
    let server = TestServer::with(&[("appendonly", "yes"), ("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    let (folder, away) = (server.dir().join("appendonlydir"), server.dir().join("away"));
    std::fs::rename(&folder, &away).expect("it is there");
    client.check("DEBUG LOADAOF", "-ERR Error trying to load the AOF files, check server logs.~");
    client.check("GET a", "$1~1~");
}

/// Clients may ask and set at the start while the first file is written: CONFIG SET waited for what waited for its end.
#[test]
fn directives_are_set_while_the_first_file_is_written() {
    let faults = Faults::new();
    faults.holds_syncs.store(true, SeqCst);
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let port = free_port();
    let number = port.to_string();
    let pairs = [("appendonly", "yes"), ("appendfsync", "always"), ("port", &number)];
    std::thread::scope(|scope| {
        let starts = scope.spawn(|| {
            TestServer::try_with_files(&pairs, Clock::manual(START_MS), TempDir::new(), files)
                .expect("it starts")
        });
        eventually("it listens", || ask(port, "PING\r\n").is_ok_and(|reply| reply.starts_with("-LOADING")));
        let mut client = Client::tcp(local(port));
        for fsync in ["no", "always"] {
            client.check(&format!("CONFIG SET appendfsync {fsync}"), "+OK~");
        }
        assert_eq!(info(&mut client, "aof_enabled"), "1");
        client.check("SET a 1", "-LOADING Valkey is loading the dataset in memory~");
        faults.holds_syncs.store(false, SeqCst);
        let server = starts.join().expect("it has started");
        client.check("SET a 1", "+OK~");
        on_good_disk(faults.cut_power(server.dir())).client().check("GET a", "$1~1~");
    });
}
