//! MIGRATE between two servers.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::harness::*;

/// `MIGRATE host port` of a server.
fn to(server: &TestServer) -> String {
    format!("MIGRATE 127.0.0.1 {}", server.address().port())
}

/// Somebody who answers every request with these bytes.
fn stranger(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut chunk = [0; 4096];
            while stream.read(&mut chunk).is_ok_and(|count| count > 0) && stream.write_all(answer).is_ok() {}
        }
    });
    port
}

#[test]
fn a_key_goes_with_its_value_and_time() {
    let (here, there) = (TestServer::start(), TestServer::start());
    let (mut client, mut other) = (here.client(), there.client());
    client.check("SET k v PX 12345", "+OK~");
    client.check(&format!("{} k 9 1000", to(&there)), "+OK~");
    client.check("EXISTS k", ":0~");
    other.check("EXISTS k", ":0~");
    other.check("SELECT 9", "+OK~");
    other.check("GET k", "$1~v~");
    other.check("PTTL k", ":12345~");
    for make in [
        "RPUSH c a b c",
        "SADD c a b 1",
        "HSET c f v",
        "ZADD c 1 a 2 b",
        "XADD c 1-1 f v",
        "SET c 12",
        "PFADD c a",
    ] {
        assert!(!client.raw(make).starts_with('-'), "{make}");
        let before = client.raw("DUMP c");
        client.check(&format!("{} c 9 1000", to(&there)), "+OK~");
        client.check("EXISTS c", ":0~");
        assert_eq!(other.raw("DUMP c"), before, "{make}");
        other.check("DEL c", ":1~");
    }
    assert_eq!(here.info("migrate_cached_sockets"), "0");
}

#[test]
fn copies_stay_and_replace_replaces() {
    let (here, there) = (TestServer::start(), TestServer::start());
    let (mut client, mut other) = (here.client(), there.client());
    let to = to(&there);
    client.check("SET k v", "+OK~");
    client.check(&format!("{to} k 0 1000 COPY"), "+OK~");
    client.check("GET k", "$1~v~");
    other.check("GET k", "$1~v~");
    client.check("SET k w", "+OK~");
    let busy = "-ERR Target instance replied with error: BUSYKEY Target key name already exists.~";
    client.check(&format!("{to} k 0 1000"), busy);
    client.check("GET k", "$1~w~");
    client.check(&format!("{to} k 0 1000 copy replace"), "+OK~");
    other.check("GET k", "$1~w~");
    client.check(&format!("{to} k 0 1000 REPLACE"), "+OK~");
    client.check("EXISTS k", ":0~");
}

#[test]
fn several_keys() {
    let (here, there) = (TestServer::start(), TestServer::start());
    let (mut client, mut other) = (here.client(), there.client());
    let to = to(&there);
    client.check("MSET a 1 b 2 c 3", "+OK~");
    client.check(&format!("{to} \"\" 0 1000 KEYS none a b none2"), "+OK~");
    other.check("MGET a b c", "*3~$1~1~$1~2~$-1~");
    client.check("MGET a b c", "*3~$-1~$-1~$1~3~");
    client.check(&format!("{to} \"\" 0 1000 KEYS a b"), "+NOKEY~");
    client.check(&format!("{to} a 0 1000"), "+NOKEY~");
    // One that is there already does not stop the others.
    client.check("MSET x 1 b 2 y 3", "+OK~");
    let busy = "-ERR Target instance replied with error: BUSYKEY Target key name already exists.~";
    client.check(&format!("{to} \"\" 0 1000 KEYS x b y"), busy);
    client.check("MGET x b y", "*3~$-1~$1~2~$-1~");
    other.check("MGET x b y", "*3~$1~1~$1~2~$1~3~");
    // A key named twice, and one without a name.
    client.check("MSET d 1 \"\" e", "+OK~");
    client.check(&format!("{to} \"\" 0 1000 REPLACE KEYS d d"), "+OK~");
    client.check(&format!("{to} \"\" 0 1000"), "+OK~");
    other.check("MGET d \"\"", "*2~$1~1~$1~e~");
    // More than goes out at once.
    let value = "v".repeat(100_000);
    let names: Vec<String> = (0..50).map(|number| format!("big{number}")).collect();
    for name in &names {
        client.check(&format!("SET {name} {value}"), "+OK~");
    }
    client.check(&format!("{to} \"\" 0 5000 KEYS {}", names.join(" ")), "+OK~");
    client.check("DBSIZE", ":2~");
    other.check("STRLEN big49", ":100000~");
    other.check(&format!("EXISTS {}", names.join(" ")), ":50~");
}

#[test]
fn events_and_watch_hear_of_it() {
    let (here, there) = (TestServer::with(&[("notify-keyspace-events", "KEA")]), TestServer::start());
    let (mut client, mut watcher, mut listener) = (here.client(), here.client(), here.client());
    client.check("SET k v", "+OK~");
    watcher.check("WATCH k", "+OK~");
    listener.check("SUBSCRIBE __keyevent@0__:del", "*3~$9~subscribe~$18~__keyevent@0__:del~:1~");
    client.check(&format!("{} k 0 1000", to(&there)), "+OK~");
    assert_eq!(listener.read().texts(), ["message", "__keyevent@0__:del", "k"]);
    watcher.check("MULTI", "+OK~");
    watcher.check("PING", "+QUEUED~");
    watcher.check("EXEC", "*-1~");
    // Within a transaction and a script.
    client.check("MSET a 1 b 2", "+OK~");
    client.check("MULTI", "+OK~");
    client.check(&format!("{} a 0 1000", to(&there)), "+QUEUED~");
    client.check("EXISTS a", "+QUEUED~");
    client.check("EXEC", "*2~+OK~:0~");
    let port = there.address().port();
    let script = format!("return redis.call('MIGRATE', '127.0.0.1', '{port}', KEYS[1], '0', '1000')");
    client.check(&format!("EVAL \"{script}\" 1 b"), "+OK~");
    there.client().check("MGET a b", "*2~$1~1~$1~2~");
    client.check("DBSIZE", ":0~");
}

#[test]
fn passwords() {
    let (here, there) = (TestServer::start(), TestServer::with(&[("requirepass", "secret")]));
    let (mut client, mut other) = (here.client(), there.client());
    let to = to(&there);
    let refused = |reason: &str| format!("-ERR Target instance replied with error: {reason}~");
    other.check("AUTH secret", "+OK~");
    other.check("ACL SETUSER bob on >pw ~* +@all", "+OK~");
    client.check("SET k v", "+OK~");
    client.check(&format!("{to} k 0 1000"), &refused("NOAUTH Authentication required."));
    let wrong = refused("WRONGPASS invalid username-password pair or user is disabled.");
    client.check(&format!("{to} k 0 1000 AUTH wrong"), &wrong);
    client.check(&format!("{to} k 0 1000 AUTH2 bob secret"), &wrong);
    client.check("GET k", "$1~v~");
    client.check(&format!("{to} k 0 1000 AUTH secret"), "+OK~");
    other.check("GET k", "$1~v~");
    client.check("SET l v", "+OK~");
    client.check(&format!("{to} l 0 1000 AUTH2 bob pw"), "+OK~");
    other.check("GET l", "$1~v~");
    // Nobody sees them.
    client.check("CONFIG SET slowlog-log-slower-than 0", "+OK~");
    client.check(&format!("{to} none 0 1000 AUTH2 bob pw"), "+NOKEY~");
    let log = client.raw("SLOWLOG GET 1");
    assert!(log.contains("AUTH2~$10~(redacted)~$10~(redacted)~"), "{log}");
}

#[test]
fn what_is_wrong_with_the_other_side() {
    let (here, there) = (TestServer::start(), TestServer::start());
    let mut client = here.client();
    let nobody = free_port();
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mute_port = mute.local_addr().expect("an address").port();
    let http = stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let number = stranger(b":1\r\n:1\r\n");
    let endless = stranger(&[b'-'; 10_000]);
    client.check("SET k v", "+OK~");
    for (target, error) in [
        (format!("127.0.0.1 {nobody}"), "IOERR error or timeout writing to target instance"),
        ("127.0.0.1 abc".into(), "IOERR error or timeout writing to target instance"),
        (format!("no.such.host.invalid {nobody}"), "IOERR error or timeout connecting to the client"),
        (format!("127.0.0.1 {mute_port}"), "IOERR error or timeout reading to target instance"),
        (format!("127.0.0.1 {http}"), "IOERR error or timeout reading to target instance"),
        (format!("127.0.0.1 {number}"), "IOERR error or timeout reading to target instance"),
        (format!("127.0.0.1 {endless}"), "IOERR error or timeout reading to target instance"),
    ] {
        client.check(&format!("MIGRATE {target} k 0 100"), &format!("-{error}~"));
        client.check("GET k", "$1~v~");
    }
    // A database that there is not: the key goes nowhere.
    let refused = "-ERR Target instance replied with error: ERR DB index is out of range~";
    client.check(&format!("{} k 99 1000", to(&there)), refused);
    client.check(&format!("{} k -1 1000", to(&there)), refused);
    there.client().check("DBSIZE", ":0~");
    client.check("GET k", "$1~v~");
}

#[test]
fn wrong_arguments_and_keys() {
    table(
        "
        MIGRATE 127.0.0.1 1 k 0 => -ERR wrong number of arguments for 'migrate' command~
        MIGRATE 127.0.0.1 1 k 0 10 => +NOKEY~
        MIGRATE 127.0.0.1 x k 0 -10 => +NOKEY~
        MIGRATE 127.0.0.1 1 k x 10 => -ERR value is not an integer or out of range~
        MIGRATE 127.0.0.1 1 k 0 x => -ERR value is not an integer or out of range~
        MIGRATE 127.0.0.1 1 k 0 10 FOO => -ERR syntax error~
        MIGRATE 127.0.0.1 1 k 0 10 AUTH => -ERR syntax error~
        MIGRATE 127.0.0.1 1 k 0 10 AUTH2 a => -ERR syntax error~
        MIGRATE 127.0.0.1 1 k 0 10 KEYS a => -ERR When using MIGRATE KEYS option, the key argument must be set to the empty string~
        MIGRATE 127.0.0.1 1 \"\" 0 10 KEYS => +NOKEY~
        MIGRATE 127.0.0.1 1 \"\" 0 9223372036854775807 KEYS a => +NOKEY~
        COMMAND GETKEYS MIGRATE h 1 k 0 10 => *1~$1~k~
        COMMAND GETKEYS MIGRATE h 1 \"\" 0 10 KEYS a b => *2~$1~a~$1~b~
        COMMAND GETKEYS MIGRATE h 1 k 0 10 KEYS a b => -ERR Invalid arguments specified for command~
        COMMAND GETKEYS MIGRATE h 1 \"\" 0 10 AUTH2 KEYS KEYS KEYS a => *1~$1~a~
        COMMAND GETKEYSANDFLAGS MIGRATE h 1 k 0 10 => *1~*2~$1~k~*3~+RW~+access~+delete~ => *1~*2~$1~k~~3~+RW~+access~+delete~
        RESTORE-ASKING r 0 x => -ERR DUMP payload version or checksum are wrong~
        ",
    );
}

/// A server that moves a key to itself waits for the lock that it holds: all others of the slot waited with
/// it for the time limit.
#[test]
fn a_server_does_not_migrate_to_itself() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    let refused = "-ERR the target instance is this server itself~";
    client.check(&format!("{} k 9 600000", to(&server)), refused);
    client.check(&format!("MIGRATE localhost {} k 9 600000", server.address().port()), refused);
    client.check("GET k", "$1~v~");
}

/// The target takes connections and never answers: with all workers waiting for it, MIGRATE held everybody
/// for its whole time. Now the others' requests are all answered before it gives up.
#[test]
fn others_go_on_while_the_target_is_silent() {
    let pairs = [("io-threads", "2")];
    let server = TestServer::with_clock(&pairs, kvarts::shared::clock::Clock::system());
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    let mut other = server.client();
    let mut accepted = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        client.check(&format!("SET {{{number}}}k v"), "+OK~");
        // Longer than any test waits: the connections are closed when the others are done.
        client.send_command(&format!("MIGRATE 127.0.0.1 {port} {{{number}}}k 0 600000"));
        accepted.push(silent.accept().expect("it connects").0);
    }
    for number in 0..50 {
        other.check(&format!("SET other {number}"), "+OK~");
        other.check("PING", "+PONG~");
    }
    drop(accepted);
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = show(&client.read_raw());
        assert!(answer.starts_with("-IOERR"), "{answer}");
        other.check(&format!("GET {{{number}}}k"), "$1~v~");
    }
}
