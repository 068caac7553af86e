//! Loading an RDB file at the start: what comes back, what clients are told meanwhile, what stops the start.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::peer_files::compare;

/// A folder with a copy of this file as its data.
fn folder_with(bytes: &[u8]) -> TempDir {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("dump.rdb"), bytes).expect("a file");
    dir
}

/// Starts a server on these data.
fn start_on(bytes: &[u8], pairs: &[(&str, &str)]) -> Result<TestServer, String> {
    TestServer::try_with(pairs, Clock::manual(START_MS), folder_with(bytes))
        .map_err(|error| error.to_string())
}

/// Some data of every type, small and large, in two databases.
pub fn fill(client: &mut Client) {
    for line in [
        "MSET s text n 12345 neg -7 big 123456789012345 empty ''",
        "RPUSH l a b 1",
        "SADD ints 1 2 3",
        "SADD members a b 3",
        "ZADD z 1 a 2.5 b inf c -inf d",
        "HSET h f v g 2",
        "HSETEX ends EX 100 FIELDS 1 f v",
        "XADD x 1-1 a b",
        "XADD x 2-1 c d e f",
        "XGROUP CREATE x g 0",
        "XREADGROUP GROUP g alice COUNT 1 STREAMS x >",
        "SET ttl v PX 5000",
        "SELECT 3",
        "SET s 'of another database'",
    ] {
        client.value(line);
    }
    client.call(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function('f', function() return 7 end)",
    ]);
    client.call(&["SELECT", "0"]);
    for number in 0..1000 {
        let name = format!("member {number}");
        client.call(&["RPUSH", "long l", &name]);
        client.call(&["SADD", "long s", &name]);
        client.call(&["HSET", "long h", &name, "value"]);
        client.call(&["ZADD", "long z", &number.to_string(), &name]);
        client.call(&["XADD", "long x", &format!("{}-1", number + 1), "f", &name]);
        client.call(&["SET", &name, &"value ".repeat(number % 90)]);
    }
}

/// What one server saves another loads: all databases, ends of keys and fields, functions.
#[test]
fn saved_data_come_back() {
    let server = TestServer::start();
    let mut client = server.client();
    fill(&mut client);
    client.check("SAVE", "+OK~");
    let bytes = std::fs::read(server.dir().join("dump.rdb")).expect("a file");
    let again = start_on(&bytes, &[]).expect("it starts");
    let mut other = again.client();
    compare(&mut other, &mut client, "a file of ours");
    client.call(&["SELECT", "0"]);
    other.call(&["SELECT", "0"]);
    for line in ["HPTTL ends FIELDS 1 f", "XINFO STREAM x FULL", "OBJECT ENCODING ints"] {
        assert_eq!(client.value(line), other.value(line), "{line}");
    }
    assert_eq!(again.info("rdb_last_load_keys_loaded"), "1019");
    assert_eq!(again.info("rdb_last_load_keys_expired"), "0");
    assert_eq!(again.info("loading"), "0");
    assert_eq!(again.info("rdb_changes_since_last_save"), "0");
    // What was loaded ends at its time, and can be changed.
    again.advance_ms(5_000);
    other.check("GET ttl", "$-1~");
    other.check("INCR n", ":12346~");
}

/// Keys and fields whose time was over when the server started are left out.
#[test]
fn what_has_ended_is_left_out() {
    let server = TestServer::start();
    let mut client = server.client();
    for line in ["SET gone v PX 1000", "SET stays v PX 1001", "HSETEX h PX 999 FIELDS 1 f v", "HSET h2 a 1"] {
        client.value(line);
    }
    client.value("HPEXPIRE h2 999 FIELDS 1 a");
    client.value("HSET h2 b 2");
    client.check("SAVE", "+OK~");
    let bytes = std::fs::read(server.dir().join("dump.rdb")).expect("a file");
    let clock = Clock::manual(START_MS + 1001);
    let again = TestServer::try_with(&[], clock, folder_with(&bytes)).expect("it starts");
    let mut client = again.client();
    assert_eq!(again.info("rdb_last_load_keys_expired"), "1");
    client.check("EXISTS gone h", ":0~");
    client.check("HGETALL h2", "*2~$1~b~$1~2~");
    assert_eq!(again.info("rdb_last_load_keys_loaded"), "2");
}

/// Without a file there is nothing to load, and an empty file is broken.
#[test]
fn no_file_and_broken_files() {
    let server = TestServer::start();
    assert_eq!(server.info("loading"), "0");
    let error = |bytes: &[u8]| start_on(bytes, &[]).map(|_| ()).expect_err("it cannot start");
    assert!(error(b"").contains("Unexpected EOF reading RDB file at byte 0"), "{}", error(b""));
    assert!(error(b"REDIS0099").contains("Can't handle RDB format version 99"));
    assert!(error(b"*1\r\n$4\r\nPING\r\n").contains("Wrong signature trying to load DB from file"));
    let twice = b"REDIS0004\x00\x01k\x01v\x00\x01k\x01w\xff";
    let text = error(twice);
    assert!(text.contains("RDB has duplicated key in DB 0 at byte 14, key '*redacted*'"), "{text}");
    let text =
        start_on(twice, &[("hide-user-data-from-log", "no")]).map(|_| ()).expect_err("it cannot start");
    assert!(text.contains("RDB has duplicated key in DB 0 at byte 14, key 'k'"), "{text}");
    let text = error(b"REDIS0004\xfe\x10\x00\x01k\x01v\xff");
    assert!(text.contains("more than 16 databases"), "{text}");
    let text = error(b"REDIS0011\xf5\x05wrong\xff\0\0\0\0\0\0\0\0");
    assert!(text.contains("Failed loading library"), "{text}");
}

/// A file that has its bytes when the test writes them.
fn pipe(dir: &Path) {
    let made = Command::new("mkfifo").arg(dir.join("dump.rdb")).status();
    assert!(made.expect("mkfifo runs").success());
}

/// While data are loaded only commands with the flag LOADING run, alone, in pipelines and in transactions.
#[test]
fn commands_are_refused_meanwhile() {
    let dir = TempDir::new();
    pipe(dir.path());
    let server = TestServer::loading(&[("save", "1 1"), ("enable-debug-command", "yes")], dir);
    let mut client = server.client();
    client.check("GET k", "-LOADING Valkey is loading the dataset in memory~");
    client.check("CONFIG SET extended-redis-compatibility yes", "+OK~");
    client.check("GET k", "-LOADING Redis is loading the dataset in memory~");
    client.check("CONFIG SET extended-redis-compatibility no", "+OK~");
    let refused = "-LOADING Valkey is loading the dataset in memory~";
    client.send(b"SET k 1\r\nSET k 2\r\nGET k\r\nSELECT 1\r\nGET k\r\nEVAL x 0\r\nFLUSHALL\r\nSAVE\r\n");
    for expected in [refused, refused, refused, "+OK~", refused, refused, refused, refused] {
        client.check_next(expected);
    }
    // It would write a file of what is there so far over the whole one.
    client.check("DEBUG RELOAD", refused);
    client.check("DEBUG LOADAOF", refused);
    client.send(b"MULTI\r\nSET k 1\r\nEXEC\r\nMULTI\r\nSELECT 0\r\nEXEC\r\n");
    client.check_next("+OK~");
    client.check_next(refused);
    client.check_next("-EXECABORT Transaction discarded because of previous errors.~");
    for expected in ["+OK~", "+QUEUED~", "*1~+OK~"] {
        client.check_next(expected);
    }
    assert_eq!(info(&mut client, "loading"), "1");
    assert_eq!(info(&mut client, "loading_start_time"), (START_MS / 1000).to_string());
    assert_eq!(info(&mut client, "loading_loaded_bytes"), "0");
    // Save points do not save what is there so far.
    server.advance_ms(100_000);
    server.handle().server().saving().expect("files").look();
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "0");

    let mut writer =
        std::fs::OpenOptions::new().write(true).open(server.dir().join("dump.rdb")).expect("a pipe");
    writer.write_all(b"REDIS0004\xfa\x08used-mem\x041234\x00\x01k\x01v").expect("it is read");
    eventually("some is loaded", || info(&mut client, "loading_loaded_bytes") != "0");
    assert_eq!(info(&mut client, "loading_rdb_used_mem"), "1234");
    client.check("GET k", refused);
    writer.write_all(b"\xff").expect("it is read");
    drop(writer);
    assert!(server.handle().wait_until_loaded().expect("right"));
    client.check("GET k", "$1~v~");
    assert_eq!(info(&mut client, "loading"), "0");
    client.check("INFO persistence", &client_text(&mut server.client()));
}

fn client_text(client: &mut Client) -> String {
    let text = client.raw("INFO persistence");
    assert!(!text.contains("loading_start_time"), "told while it lasts only");
    text
}

/// Directives that lead to other files are not changed while data are loaded from files.
#[test]
fn directives_that_wait_for_the_data_are_refused_meanwhile() {
    let dir = TempDir::new();
    pipe(dir.path());
    let server = TestServer::loading(&[("enable-protected-configs", "yes")], dir);
    let mut client = server.client();
    let refused = "-LOADING Valkey is loading the dataset in memory~";
    for words in [
        "dir /",
        "appendonly yes",
        "APPENDONLY x",
        "repl-diskless-load swapdb",
        "timeout 5 dir /",
        "timeout x dir /",
        "dir / databases 3",
        "dir / none 1",
    ] {
        client.check(&format!("CONFIG SET {words}"), refused);
    }
    client.check(
        "CONFIG SET none 1 dir /",
        "-ERR Unknown option or number of arguments for CONFIG SET - 'none'~",
    );
    client.check(
        "CONFIG SET databases 3 dir /",
        "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config~",
    );
    client.check("MULTI", "+OK~");
    client.check("CONFIG SET appendonly yes timeout 5", "+QUEUED~");
    client.check("EXEC", &format!("*1~{refused}"));
    client.check("CONFIG GET timeout", "*2~$7~timeout~$1~0~");
    client.check("CONFIG SET timeout 5 loglevel notice", "+OK~");
    std::fs::write(server.dir().join("dump.rdb"), b"REDIS0004\x00\x01k\x01v\xff").expect("it is read");
    assert!(server.handle().wait_until_loaded().expect("right"));
    client.check("CONFIG SET appendonly no repl-diskless-load swapdb", "+OK~");
}

/// A server that is asked to end while it loads does not save the part that it has over the whole.
#[test]
fn the_end_while_loading_saves_nothing() {
    let dir = TempDir::new();
    pipe(dir.path());
    let server = TestServer::loading(&[("save", "1 1")], dir);
    let path = server.dir().join("dump.rdb");
    let mut client = server.client();
    let mut writer = std::fs::OpenOptions::new().write(true).open(&path).expect("a pipe");
    writer.write_all(b"REDIS0004\x00\x01k\x01v").expect("it is read");
    client.send(b"SHUTDOWN SAVE\r\n");
    client.expect_closed();
    drop(writer);
    assert_eq!(server.handle().wait_until_loaded().map_err(|error| error.to_string()), Ok(false));
    use std::os::unix::fs::FileTypeExt;
    assert!(std::fs::metadata(&path).expect("still there").file_type().is_fifo());
}

/// The program ends with status 1 and says what is wrong.
#[test]
fn the_program_does_not_start_on_a_broken_file() {
    let dir = folder_with(b"REDIS0011\x00\x01k\x05val");
    let port = free_port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_kvarts"))
        .args(["--port", &port, "--bind", "127.0.0.1", "--hide-user-data-from-log", "no"])
        .current_dir(dir.path())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("Fatal error loading the DB"), "{text}");
    assert!(text.contains("Unexpected EOF reading RDB file at byte 9, key 'k'"), "{text}");
}
