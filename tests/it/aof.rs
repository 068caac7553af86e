//! The append-only file: what was changed is there after a restart, whatever happens to the files.

use std::path::{Path, PathBuf};

use kvarts::shared::clock::Clock;

use crate::harness::*;

/// Directives with which every change is on disk before it is acknowledged.
const ALWAYS: &[(&str, &str)] = &[("appendonly", "yes"), ("appendfsync", "always")];

fn folder(dir: &Path) -> PathBuf {
    dir.join("appendonlydir")
}

/// Ends a server and starts another one in its folder.
fn restart(server: TestServer, pairs: &[(&str, &str)]) -> TestServer {
    let dir = server.stop_and_keep();
    TestServer::try_with(pairs, Clock::manual(START_MS), dir).expect("the server starts again")
}

/// Why a server does not start in this folder.
fn refusal(dir: TempDir, pairs: &[(&str, &str)]) -> String {
    match TestServer::try_with(pairs, Clock::manual(START_MS), dir) {
        Ok(_) => panic!("the server starts"),
        Err(error) => error.to_string(),
    }
}

fn manifest(dir: &Path) -> String {
    std::fs::read_to_string(folder(dir).join("appendonly.aof.manifest")).expect("a manifest")
}

/// All keys with their values and times, and the libraries.
fn digest(server: &TestServer) -> String {
    let mut client = server.client();
    let mut all = Vec::new();
    for database in 0..3 {
        client.check(&format!("SELECT {database}"), "+OK~");
        for key in client.value("KEYS *").texts() {
            // The members of a large set have no order.
            let read = if key == "large-set" { "SORT" } else { "DUMP" };
            let dump = client.raw(&format!("{read} {key}"));
            let end = client.raw(&format!("PEXPIRETIME {key}"));
            all.push(format!("{database} {key} {end} {dump}"));
        }
    }
    all.sort();
    all.push(client.raw("FUNCTION DUMP"));
    all.join("\n")
}

const DATA: &[&str] = &[
    "SET text value",
    "SET number 17",
    "SET ending value EX 100",
    "INCRBYFLOAT number 0.5",
    "RPUSH list a b c",
    "SADD set a b c",
    "ZADD sorted 1 a 2 b",
    "HSET hash f v g w",
    "HPEXPIRE hash 100000 FIELDS 1 f",
    "SPEXPIRE set 100000 MEMBERS 2 a b",
    "XADD stream * f v",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group consumer STREAMS stream >",
    "SELECT 2",
    "SET other database",
    "MULTI",
    "SET first 1",
    "SELECT 1",
    "SET second 2",
    "EXEC",
];

fn write_data(server: &TestServer) {
    let mut client = server.client();
    for line in DATA {
        let reply = client.raw(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    let script = "redis.call('set', KEYS[1], '1'); redis.call('rpush', KEYS[2], 'x')";
    client.send(&encode(&["EVAL", script, "2", "script-a", "script-b"]));
    client.check_next("$-1~");
    let library = "#!lua name=mine\nredis.register_function('f',function() return 1 end)";
    client.send(&encode(&["FUNCTION", "LOAD", library]));
    client.check_next("$4~mine~");
}

/// Every kind of change comes back: types, times, databases, transactions, scripts, libraries; twice, since
/// the second start goes on in the files of the first.
#[test]
fn what_was_changed_is_there_after_a_restart() {
    for fsync in ["always", "everysec", "no"] {
        let pairs = [("appendonly", "yes"), ("appendfsync", fsync)];
        let server = TestServer::with(&pairs);
        write_data(&server);
        let before = digest(&server);
        let server = restart(server, &pairs);
        assert_eq!(digest(&server), before);
        server.client().check("SET later 1", "+OK~");
        let before = digest(&server);
        let server = restart(server, &pairs);
        assert_eq!(digest(&server), before);
        assert_eq!(server.info("aof_enabled"), "1");
    }
}

/// What is loaded is not told, counted or judged: statistics stand at nothing.
#[test]
fn loading_counts_nothing() {
    let server = TestServer::with(ALWAYS);
    write_data(&server);
    let server = restart(server, ALWAYS);
    assert_eq!(server.info("total_commands_processed"), "0");
    assert_eq!(server.info("rdb_changes_since_last_save"), "0");
    assert_eq!(server.info("expired_keys"), "0");
}

/// A user who may do little, a full memory and a limit of replicas do not keep the file from being repeated.
#[test]
fn loading_is_judged_by_nothing() {
    let server = TestServer::with(ALWAYS);
    write_data(&server);
    let before = digest(&server);
    let dir = server.stop_and_keep();
    let hard = [
        ("appendonly", "yes"),
        ("maxmemory", "1"),
        ("maxmemory-policy", "noeviction"),
        ("min-replicas-to-write", "3"),
        ("requirepass", "secret"),
    ];
    let server = TestServer::try_with(&hard, Clock::manual(START_MS), dir).expect("it starts");
    let server = restart(server, ALWAYS);
    assert_eq!(digest(&server), before);
}

/// What a file says was done by a server whose limits let it: strings longer than `proto-max-bulk-len`. Redis and
/// Valkey leave a client's LIMIT where they write `=` for its `~`.
#[test]
fn loading_asks_no_limits_of_clients() {
    let lines = [
        "XADD s MAXLEN = 9 LIMIT 1 1-1 f v",
        "XADD s MINID = 1 LIMIT 1 2-1 f v",
        "XADD s NOMKSTREAM LIMIT 5 3-1 f v",
        "XTRIM s MAXLEN = 1 LIMIT 1",
        "SETRANGE long 2000000 x",
        "APPEND long y",
        "SETBIT bits 16000007 1",
        "BITFIELD fields SET u8 16000000 7",
    ];
    let pairs = [("appendonly", "yes"), ("proto-max-bulk-len", "1mb")];
    let server = TestServer::try_with(&pairs, Clock::manual(START_MS), with_file(&requests(&lines)));
    let server = server.expect("it starts");
    let mut client = server.client();
    client.check("XRANGE s - +", "*1~*2~$3~3-1~*2~$1~f~$1~v~");
    client.check("STRLEN long", ":2000002~");
    client.check("STRLEN bits", ":2000001~");
    client.check("STRLEN fields", ":2000001~");
    client.check("APPEND long z", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)~");
    client.check("SETBIT bits 16000007 0", "-ERR bit offset is not an integer or out of range~");
    client.check(
        "XADD s MAXLEN = 9 LIMIT 1 * f v",
        "-ERR syntax error, LIMIT cannot be used without the special ~ option~",
    );
}

/// Keys that ended while the server was away are loaded, since later changes may need them, and end then.
#[test]
fn keys_that_ended_meanwhile_end_after_loading() {
    let server = TestServer::with(ALWAYS);
    let mut client = server.client();
    client.check("SET short 1 PX 1000", "+OK~");
    client.check("SET kept 1 PX 1000", "+OK~");
    client.check("PERSIST kept", ":1~");
    let dir = server.stop_and_keep();
    let server = TestServer::try_with(ALWAYS, Clock::manual(START_MS + 5000), dir).expect("it starts");
    let mut client = server.client();
    client.check("GET kept", "$1~1~");
    client.check("GET short", "$-1~");
}

/// A rewrite keeps all data, with changes before, during and behind it, and leaves two files; its base is an
/// RDB file or requests.
#[test]
fn a_rewrite_keeps_everything() {
    for (preamble, form) in [("yes", "rdb"), ("no", "aof")] {
        let pairs = [("appendonly", "yes"), ("appendfsync", "always"), ("aof-use-rdb-preamble", preamble)];
        let server = TestServer::with(&pairs);
        write_data(&server);
        let mut client = server.client();
        for number in 0..1000 {
            client.send(&requests(&[
                &format!("SADD large-set {number}"),
                &format!("ZADD large {number} {number}"),
            ]));
            client.check_next(":1~");
            client.check_next(":1~");
        }
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
        client.check("SET during 1", "+OK~");
        eventually("the rewrite ends", || server.info("aof_rewrite_in_progress") == "0");
        client.check("SET behind 1", "+OK~");
        assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
        let before = digest(&server);
        assert_eq!(
            manifest(server.dir()),
            format!(
                "file appendonly.aof.2.base.{form} seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
            )
        );
        let files = std::fs::read_dir(folder(server.dir())).expect("the folder").count();
        assert_eq!(files, 4, "base, incremental file, manifest and lock");
        let server = restart(server, &pairs);
        assert!(digest(&server) == before, "the same data with a base in form {form}");
    }
}

/// Threads that write all data give way to others; those that start beside them, the writer of a file that is
/// switched on above all, do not inherit that.
#[cfg(target_os = "linux")]
#[test]
fn writers_do_not_give_way() {
    let niceness = |stat: &str| -> i32 {
        let behind_name = stat.rsplit(')').next().expect("fields");
        behind_name.split_whitespace().nth(16).expect("a priority").parse().expect("a number")
    };
    let threads_called = |name: &str| -> Vec<i32> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("threads").map_while(Result::ok);
        // A thread may end meanwhile.
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats.filter(|stat| stat.contains(&format!("({name})"))).map(|stat| niceness(&stat)).collect()
    };
    let own = niceness(&std::fs::read_to_string("/proc/thread-self/stat").expect("this thread"));
    let server = TestServer::with(&[("appendfsync", "always")]);
    write_data(&server);
    let mut client = server.client();
    client.check("CONFIG SET appendonly yes", "+OK~");
    for _ in 0..2 {
        eventually("it is there", || {
            server.info("aof_rewrite_in_progress") == "0" && server.info("aof_pending_rewrite") == "0"
        });
        let writers = threads_called("kvarts-aof");
        assert!(!writers.is_empty() && writers.iter().all(|writer| *writer == own), "{own}: {writers:?}");
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    }
}

/// A single file that begins with a snapshot, as Redis 4 to 6 wrote it: the snapshot is kept where the MULTI
/// behind it is torn.
#[test]
fn a_snapshot_before_a_torn_transaction_is_kept() {
    let server = TestServer::with(ALWAYS);
    server.client().check("SET in-snapshot 1", "+OK~");
    server.client().check("SAVE", "+OK~");
    let mut file = std::fs::read(server.dir().join("dump.rdb")).expect("a snapshot");
    file.extend(requests(&["SET behind 1", "MULTI", "SET torn 1"]));
    let dir = TempDir::new();
    std::fs::write(dir.path().join("appendonly.aof"), &file).expect("a file");
    let server = TestServer::try_with(ALWAYS, Clock::manual(START_MS), dir).expect("it starts");
    let mut client = server.client();
    client.check("MGET in-snapshot behind torn", "*3~$1~1~$1~1~$-1~");
    client.check("SET later 1", "+OK~");
    let server = restart(server, ALWAYS);
    server.client().check("MGET in-snapshot behind torn later", "*4~$1~1~$1~1~$-1~$1~1~");
}

/// CONFIG SET begins the file with all data there is, and ends it; what is changed without it is not in it.
#[test]
fn it_is_switched_on_and_off() {
    let server = TestServer::start();
    write_data(&server);
    let mut client = server.client();
    client.check("CONFIG SET appendonly yes", "+OK~");
    client.check("SET early 1", "+OK~");
    eventually("it is there", || {
        server.info("aof_rewrite_in_progress") == "0" && server.info("aof_pending_rewrite") == "0"
    });
    client.check("SET later 1", "+OK~");
    let with_it = digest(&server);
    client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
    client.check("CONFIG SET appendonly no", "+OK~");
    eventually("nobody listens", || !server.handle().server().journal().is_heard());
    client.check("SET lost 1", "+OK~");
    assert_eq!(server.info("aof_enabled"), "0");
    let server = restart(server, ALWAYS);
    assert_eq!(digest(&server), with_it);
    let mut client = server.client();
    client.check("CONFIG SET appendonly no", "+OK~");
    client.check("CONFIG SET appendonly yes", "+OK~");
    client.check("SET again 1", "+OK~");
    eventually("it is there", || {
        server.info("aof_rewrite_in_progress") == "0" && server.info("aof_pending_rewrite") == "0"
    });
    let before = digest(&server);
    let server = restart(server, ALWAYS);
    assert_eq!(digest(&server), before);
}

/// The single file of old versions becomes the base, and stays it after another start.
#[test]
fn an_old_single_file_is_taken_over() {
    let dir = TempDir::new();
    let old = dir.path().join("appendonly.aof");
    std::fs::write(&old, encode(&["SET", "old", "1"])).expect("a file");
    let server = TestServer::try_with(ALWAYS, Clock::manual(START_MS), dir).expect("it starts");
    server.client().check("SET new 2", "+OK~");
    assert!(!old.exists() && folder(server.dir()).join("appendonly.aof").exists());
    let server = restart(server, ALWAYS);
    server.client().check("MGET old new", "*2~$1~1~$1~2~");
    assert_eq!(
        manifest(server.dir()),
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    );
}

/// Makes a folder with these bytes as the only incremental file.
fn with_file(bytes: &[u8]) -> TempDir {
    let dir = TempDir::new();
    std::fs::create_dir(folder(dir.path())).expect("a folder");
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(folder(dir.path()).join(name), bytes).expect("a file");
    write("appendonly.aof.manifest", b"file appendonly.aof.1.incr.aof seq 1 type i\n");
    write("appendonly.aof.1.incr.aof", bytes);
    dir
}

fn requests(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| encode(&line.split(' ').collect::<Vec<_>>())).collect()
}

/// A torn end is cut off, with a transaction whose EXEC is missing; what is written then is there at the next
/// start (valkey#4342: it was not, behind a torn MULTI).
#[test]
fn a_torn_end_is_cut() {
    let whole = requests(&["SET a 1", "MULTI", "INCR a", "INCR b", "EXEC", "SET c 1"]);
    let last = requests(&["SET c 1"]).len();
    let group = requests(&["MULTI", "INCR a", "INCR b", "EXEC"]).len();
    let first = whole.len() - last - group;
    for len in 0..=whole.len() {
        let server = TestServer::try_with(ALWAYS, Clock::manual(START_MS), with_file(&whole[..len]));
        let server = server.expect("it starts");
        let expected = match len {
            len if len == whole.len() => "*3~$1~2~$1~1~$1~1~",
            len if len >= first + group => "*3~$1~2~$1~1~$-1~",
            len if len >= first => "*3~$1~1~$-1~$-1~",
            _ => "*3~$-1~$-1~$-1~",
        };
        server.client().check("MGET a b c", expected);
        server.client().check("SET d 1", "+OK~");
        let server = restart(server, ALWAYS);
        server.client().check("MGET a b c", expected);
        server.client().check("GET d", "$1~1~");
    }
}

/// Without `aof-load-truncated` a torn end is refused; so is one that is not at the end of the last file.
#[test]
fn a_torn_end_is_refused_where_it_may_not_be() {
    let whole = requests(&["SET a 1", "SET b 1"]);
    let torn = &whole[..whole.len() - 3];
    let strict = [("appendonly", "yes"), ("aof-load-truncated", "no")];
    let error = refusal(with_file(torn), &strict);
    assert!(error.contains("Unexpected end of file") && error.contains("offset 27 of 51"), "{error}");
    let dir = with_file(torn);
    let names = "file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n";
    std::fs::write(folder(dir.path()).join("appendonly.aof.manifest"), names).expect("a file");
    std::fs::write(folder(dir.path()).join("appendonly.aof.2.incr.aof"), requests(&["SET c 1"]))
        .expect("a file");
    let error = refusal(dir, ALWAYS);
    assert!(error.contains("Unexpected end of file"), "{error}");
}

/// What is no append-only file is refused with the place.
#[test]
fn broken_files_are_refused_with_the_place() {
    let good = requests(&["SET a 1"]);
    for (bytes, text) in [
        (&b"hello\r\n"[..], "no request begins here at offset 27"),
        (b"*1\r\n$3\r\nabcd\r\n", "at offset 27"),
        (b"*1\r\n$4\r\nEXEC\r\n", "MULTI and EXEC do not match at offset 27"),
        (b"*1\r\n$3\r\nbla\r\n", "unknown command 'bla'"),
    ] {
        let error = refusal(with_file(&[&good[..], bytes].concat()), ALWAYS);
        assert!(error.contains(text), "{error}");
    }
    let dir = with_file(&good);
    std::fs::remove_file(folder(dir.path()).join("appendonly.aof.1.incr.aof")).expect("it was there");
    let error = refusal(dir, ALWAYS);
    assert!(error.ends_with("appendonly.aof.1.incr.aof for reading: No such file or directory"), "{error}");
    let dir = with_file(&good);
    std::fs::write(folder(dir.path()).join("appendonly.aof.manifest"), "").expect("a file");
    let error = refusal(dir, ALWAYS);
    assert!(error.contains("Found an empty AOF manifest"), "{error}");
}

/// A second server is kept out of a folder that one writes into; another folder is free to it.
#[test]
fn a_second_server_is_kept_out() {
    let server = TestServer::with(ALWAYS);
    let folder = server.dir().display().to_string();
    let pairs = [("port", "0"), ("dir", folder.as_str()), ("appendonly", "yes")];
    let config = kvarts::config::Config::from_pairs(pairs).expect("a configuration");
    let error = kvarts::start(config, Clock::manual(START_MS)).err().expect("a refusal").to_string();
    assert!(error.contains("another server uses the folder") && error.contains(&folder), "{error}");
    let other = TestServer::start();
    let mut client = other.client();
    client.check("CONFIG SET appendonly yes", "+OK~");
}

/// A pipeline, a transaction, a client that waits and one that wants no replies: each hears only of what is
/// on disk, and what it hears is there after a restart.
#[test]
fn replies_wait_for_the_disk_in_every_state() {
    let server = TestServer::with(ALWAYS);
    let mut waiting = server.client();
    waiting.send(&encode(&["BLPOP", "queue", "0"]));
    eventually("it waits", || server.info("blocked_clients") == "1");
    let mut client = server.client();
    for _ in 0..200 {
        client.send(&encode(&["INCR", "count"]));
    }
    for number in 1..=200 {
        client.check_next(&format!(":{number}~"));
    }
    client.send(&requests(&["CLIENT REPLY SKIP", "INCR count"]));
    client.check("RPUSH queue a b", ":2~");
    waiting.check_next("*2~$5~queue~$1~a~");
    client.check("MULTI", "+OK~");
    client.check("INCR count", "+QUEUED~");
    client.check("QUIT", "+OK~");
    let server = restart(server, ALWAYS);
    let mut client = server.client();
    client.check("GET count", "$3~201~");
    client.check("LRANGE queue 0 -1", "*1~$1~b~");
}

/// Replies wait from the first moment on, also before the writer's thread has come up: changes of that moment
/// were acknowledged and lost once.
#[test]
fn replies_wait_from_the_first_moment() {
    for _ in 0..50 {
        let server = TestServer::with(ALWAYS);
        let inner = server.handle().server();
        assert!(!inner.durability.is_released(inner.journal().end() + 1));
    }
}

/// WAITAOF waited for ever where the file was switched off meanwhile, before its writer had come so far or
/// before it was begun.
#[test]
fn waitaof_hears_that_the_file_is_switched_off() {
    let server = TestServer::with(&[("appendonly", "yes"), ("appendfsync", "no")]);
    let (mut client, mut waiting) = (server.client(), server.client());
    for words in ["WAITAOF 1 0 0", "WAITAOF 1 1 0", "WAITAOF 1 0 0"] {
        waiting.check("SET a 1", "+OK~");
        waiting.send_command(words);
        eventually("it waits", || server.info("blocked_clients") == "1");
        client.check("CONFIG SET appendonly no", "+OK~");
        waiting.check_next("-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.~");
        // The next time the file has not begun.
        client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
        eventually("it is over", || server.info("aof_rewrite_in_progress") == "0");
        client.check("CONFIG SET appendonly yes", "+OK~");
    }
    waiting.check("PING", "+PONG~");
    assert_eq!(server.info("errorstat_ERR"), "count=3");
}

/// WAITAOF tells whether the disk has what its client wrote.
#[test]
fn waitaof_waits_for_the_disk() {
    for fsync in ["always", "everysec"] {
        let server = TestServer::with(&[("appendonly", "yes"), ("appendfsync", fsync)]);
        let mut client = server.client();
        client.check("WAITAOF 1 0 0", "*2~:1~:0~");
        client.check("WAITAOF 0 0 0", "*2~:1~:0~");
        client.send(&[requests(&["SET a 1"]), requests(&["WAITAOF 1 0 20000"])].concat());
        client.check_next("+OK~");
        client.check_next("*2~:1~:0~");
        client.check("MULTI", "+OK~");
        client.check("WAITAOF 1 0 0", "+QUEUED~");
        client.check("EXEC", "*1~*2~:1~:0~");
        assert_eq!(server.info("blocked_clients"), "0");
    }
}

/// Without `appendonly` DEBUG LOADAOF loads what BGREWRITEAOF has left, and keeps the data where there is
/// nothing.
#[test]
fn debug_loadaof_loads_a_rewrite_without_the_file() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    write_data(&server);
    let before = digest(&server);
    let mut client = server.client();
    client.check("DEBUG LOADAOF", "+OK~");
    assert_eq!(digest(&server), before);
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("the rewrite ends", || server.info("aof_rewrite_in_progress") == "0");
    client.check("FLUSHALL", "+OK~");
    client.check("FUNCTION FLUSH", "+OK~");
    client.check("DEBUG LOADAOF", "+OK~");
    assert_eq!(digest(&server), before);
}

/// DEBUG LOADAOF brings the same data again, and the file goes on.
#[test]
fn debug_loadaof_loads_the_same() {
    let server = TestServer::with(&[("appendonly", "yes"), ("enable-debug-command", "yes")]);
    write_data(&server);
    let before = digest(&server);
    server.client().check("DEBUG LOADAOF", "+OK~");
    assert_eq!(digest(&server), before);
    server.client().check("SET later 1", "+OK~");
    let before = digest(&server);
    let server = restart(server, ALWAYS);
    assert_eq!(digest(&server), before);
}

/// Two servers whose files have other names share a folder, as old set-ups have it.
#[test]
fn servers_with_other_names_share_a_folder() {
    let server = TestServer::with(ALWAYS);
    let folder = server.dir().display().to_string();
    let start = || {
        let pairs =
            [("port", "0"), ("dir", folder.as_str()), ("appendonly", "yes"), ("appendfilename", "other.aof")];
        let config = kvarts::config::Config::from_pairs(pairs).expect("a configuration");
        kvarts::start(config, Clock::manual(START_MS))
    };
    let second = start().expect("it starts");
    let error = start().err().expect("a refusal").to_string();
    assert!(error.contains("another server uses the folder"), "{error}");
    server.client().check("SET a 1", "+OK~");
    drop(second);
    let text = std::fs::read_to_string(self::folder(server.dir()).join("other.aof.manifest"));
    assert!(text.expect("a manifest").contains("file other.aof.1.incr.aof seq 1 type i"));
    drop(start().expect("it starts again"));
}

/// FLUSHALL is the same in every database: no SELECT stands before it, as in the peers' files.
#[test]
fn flushall_selects_no_database() {
    let server = TestServer::with(ALWAYS);
    let mut client = server.client();
    client.check("SELECT 9", "+OK~");
    for line in ["SET a 1", "FLUSHALL", "FLUSHALL", "SET b 1", "FLUSHDB"] {
        client.check(line, "+OK~");
    }
    let dir = server.stop_and_keep();
    let bytes = std::fs::read(folder(dir.path()).join("appendonly.aof.1.incr.aof")).expect("the file");
    let lines = ["SELECT 9", "SET a 1", "FLUSHALL", "FLUSHALL", "SET b 1", "FLUSHDB"];
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&requests(&lines)));
}

/// With `aof-timestamp-enabled` a base of requests begins with the time, as the files behind it do.
#[test]
fn times_are_noted_in_bases_too() {
    let pairs = [("aof-timestamp-enabled", "yes"), ("aof-use-rdb-preamble", "no")];
    let server = TestServer::with(&[ALWAYS, &pairs].concat());
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it ends", || manifest(server.dir()).contains(".2.base.aof"));
    client.check("SET b 1", "+OK~");
    for file in ["appendonly.aof.2.base.aof", "appendonly.aof.2.incr.aof"] {
        let bytes = std::fs::read(folder(server.dir()).join(file)).expect("a file");
        assert!(bytes.starts_with(b"#TS:1700000000\r\n*"), "{file}: {}", String::from_utf8_lossy(&bytes));
    }
    let server = restart(server, &[ALWAYS, &pairs].concat());
    server.client().check("MGET a b", "*2~$1~1~$1~1~");
}

/// A file with a request that is none, or names no command, is refused; the arguments stay out of the error
/// unless `hide-user-data-from-log` is off. Other errors do not keep it from being loaded.
#[test]
fn requests_that_are_none_are_refused_without_their_arguments() {
    for (line, shown, argument) in [
        ("NONESUCH secret", "unknown command 'NONESUCH'", "secret"),
        ("CLUSTER SLOTS secret", "wrong number of arguments for 'cluster|slots' command", "secret"),
        ("CLUSTER", "wrong number of arguments for 'cluster' command", "secret"),
    ] {
        let error = refusal(with_file(&requests(&["SET a 1", line])), ALWAYS);
        assert!(error.contains(shown) && !error.contains(argument), "{error}");
    }
    let open = [ALWAYS, &[("hide-user-data-from-log", "no")]].concat();
    let error = refusal(with_file(&requests(&["NONESUCH secret"])), &open);
    assert!(error.contains("with args beginning with: 'secret'"), "{error}");
    let dir = with_file(&requests(&["SET a 1", "LPUSH a 1", "SET b 1"]));
    let server = TestServer::try_with(ALWAYS, Clock::manual(START_MS), dir).expect("it starts");
    server.client().check("MGET a b", "*2~$1~1~$1~1~");
}

/// DEBUG LOADAOF beside clients that write: nothing is applied twice and nothing is left out.
#[test]
fn debug_loadaof_counts_everything_once() {
    let server = TestServer::with(&[ALWAYS, &[("enable-debug-command", "yes")]].concat());
    let counted = count_beside(&server, || {
        let mut loader = server.client();
        for _ in 0..5 {
            loader.check("DEBUG LOADAOF", "+OK~");
        }
    });
    let value = server.client().value("GET n").text();
    assert_eq!(value, counted.to_string());
    let server = TestServer::try_with(ALWAYS, Clock::manual(START_MS), server.stop_and_keep());
    assert_eq!(server.expect("it starts").client().value("GET n").text(), counted.to_string());
}

/// While DEBUG LOADAOF loads, clients hear LOADING.
#[test]
fn debug_loadaof_is_a_loading() {
    let server = TestServer::with(&[ALWAYS, &[("enable-debug-command", "yes")]].concat());
    let mut client = server.client();
    let script = "local n = 0 for i = 1, 20000000 do n = n + i end return redis.call('SET', KEYS[1], n)";
    let file = folder(server.dir()).join("appendonly.aof.1.incr.aof");
    let written = [requests(&["SELECT 0"]), encode(&["EVAL", script, "1", "sum"])].concat();
    std::fs::write(file, written).expect("written");
    let mut loader = server.client();
    loader.send_command("DEBUG LOADAOF");
    eventually("it loads", || client.raw("PING").starts_with("-LOADING"));
    loader.check_next("+OK~");
    client.check("GET sum", "$15~200000010000000~");
}

/// A server with 300 keys in its append-only file and in its snapshot, whose next loading takes its time.
pub fn that_loads_slowly(pairs: &[(&str, &str)]) -> TestServer {
    let server = TestServer::with(&[pairs, &[("enable-debug-command", "yes")]].concat());
    let mut client = server.client();
    client.check("EVAL \"for i = 1, 300 do redis.call('set', KEYS[1] .. i, i) end\" 1 {k}", "$-1~");
    client.check("SAVE", "+OK~");
    if pairs.iter().any(|(name, _)| *name == "appendonly") {
        client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
        eventually("it ends", || info(&mut client, "aof_rewrite_in_progress") == "0");
    }
    client.check("CONFIG SET key-load-delay 3000", "+OK~");
    server
}

/// Waits until the data are removed, to be loaded again.
pub fn is_empty_while_it_loads(server: &TestServer) {
    let inner = server.handle().server();
    eventually("the data are gone", || inner.loading.is_active() && inner.keyspace.physical(0).is_empty());
}

/// A rewrite that begins while DEBUG RELOAD or DEBUG LOADAOF has removed all data and not loaded them again had a base
/// without them, and nothing behind it brought them back at the next start.
#[test]
fn no_rewrite_begins_while_data_are_read_again() {
    for reload in ["DEBUG RELOAD", "DEBUG RELOAD NOSAVE", "DEBUG LOADAOF"] {
        let server = that_loads_slowly(ALWAYS);
        let mut loader = server.client();
        loader.send_command(reload);
        is_empty_while_it_loads(&server);
        // Within the keyspace it waited for the files, which were read by who waited for the keyspace.
        server.client().check("CONFIG SET aof-disable-auto-gc no", "+OK~");
        let file = server.handle().server().append_only().expect("it has files");
        assert_eq!(file.rewrite(), Ok("Background append only file rewriting scheduled"), "{reload}");
        loader.check_next("+OK~");
        eventually("it ends", || manifest(server.dir()).contains(".3.base."));
        let before = digest(&server);
        let server = restart(server, ALWAYS);
        server.client().check("DBSIZE", ":300~");
        assert_eq!(digest(&server), before, "{reload}");
    }
}

/// A rewrite that ends while DEBUG LOADAOF reads the files takes none of them away.
#[test]
fn a_rewrite_ends_while_the_files_are_read() {
    let server = that_loads_slowly(ALWAYS);
    let mut client = server.client();
    client.check("CONFIG SET rdb-key-save-delay 1000", "+OK~");
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it runs", || server.handle().server().keyspace.handover.is_running());
    client.check("DEBUG LOADAOF", "+OK~");
    client.check("DBSIZE", ":300~");
    let is_there = |file: &str| folder(server.dir()).join(file).exists();
    eventually("it ends", || manifest(server.dir()).contains(".3.base."));
    eventually("the files of before are gone", || !is_there("appendonly.aof.2.base.rdb"));
    let server = restart(server, ALWAYS);
    server.client().check("DBSIZE", ":300~");
}

/// DEBUG RELOAD of a file that was written before leaves other data than the changes made: the files get them.
#[test]
fn a_reload_of_an_older_file_is_there_after_a_restart() {
    let pairs = [ALWAYS, &[("enable-debug-command", "yes")]].concat();
    for (reload, expected) in
        [("DEBUG RELOAD NOSAVE", "*2~$1~1~$-1~"), ("DEBUG RELOAD NOSAVE NOFLUSH MERGE", "*2~$1~1~$1~2~")]
    {
        let server = TestServer::with(&pairs);
        let mut client = server.client();
        client.check("SET a 1", "+OK~");
        client.check("SAVE", "+OK~");
        client.check("MSET a 2 b 2", "+OK~");
        client.check(reload, "+OK~");
        client.check("MGET a b", expected);
        eventually("they are rewritten", || manifest(server.dir()).contains(".2.base."));
        let server = restart(server, &pairs);
        server.client().check("MGET a b", expected);
    }
}

/// DEBUG LOADAOF while the file is being begun keeps the data: the files that are there are those of before it was
/// switched off.
#[test]
fn debug_loadaof_loads_no_files_of_before() {
    let server = TestServer::with(&[ALWAYS, &[("enable-debug-command", "yes")]].concat());
    let mut client = server.client();
    client.check("SET a 1", "+OK~");
    client.check("CONFIG SET appendonly no", "+OK~");
    eventually("it has ended", || !server.handle().server().journal().is_heard());
    client.check("MSET a 2 b 2", "+OK~");
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("CONFIG SET appendonly yes", "+OK~");
    eventually("it begins", || server.handle().server().keyspace.handover.is_running());
    client.check("DEBUG LOADAOF", "+OK~");
    client.check("MGET a b", "*2~$1~2~$1~2~");
    client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
}
