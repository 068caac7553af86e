//! Primaries that break off, lie or send what no stream holds: a replica cuts the link, and goes on with what
//! it had.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kvarts::shared::clock::Clock;

use crate::harness::*;

/// A primary of the test's own.
struct Fake {
    listener: TcpListener,
    /// Bytes that it sends on a link before it closes.
    budget: usize,
    links: usize,
}

/// The link to a replica, and how many bytes may still go out on it.
struct FakeLink {
    stream: TcpStream,
    left: usize,
}

impl FakeLink {
    /// Sends what the budget allows. Returns whether that was all.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let count = bytes.len().min(self.left);
        self.left -= count;
        // The replica may have closed.
        self.stream.write_all(&bytes[..count]).is_ok() && count == bytes.len()
    }

    /// Answers the handshake. Returns what PSYNC asked for; `None` where the budget did not reach.
    fn introduce(&mut self) -> Option<String> {
        let mut input = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            input.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&input).into_owned();
            if let Some(at) = text.find("PSYNC").filter(|_| text.ends_with("\r\n")) {
                return Some(text[at..].to_owned());
            }
            if text.ends_with("\r\n") {
                let answers = text.matches('*').count();
                if !self.send("+OK\r\n".repeat(answers).as_bytes()) {
                    return None;
                }
                input.clear();
            }
        }
    }

    /// Whether the replica closes the link by itself.
    fn is_cut(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        self.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let mut piece = [0; 4096];
        while Instant::now() < deadline {
            match self.stream.read(&mut piece) {
                Ok(0) => return true,
                // It acknowledges what has come.
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
        false
    }
}

impl Fake {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self { listener, budget: usize::MAX, links: 0 }
    }

    /// Has the replica connect at once, whether it waits or not, and answers its handshake. Returns the link,
    /// and what PSYNC asked for; `None` where the budget did not reach.
    fn link(&mut self, client: &mut Client) -> (FakeLink, Option<String>) {
        self.links += 1;
        let name = ["127.0.0.1", "localhost"][self.links % 2];
        let port = self.listener.local_addr().expect("an address").port();
        client.check(&format!("REPLICAOF {name} {port}"), "+OK~");
        self.accept()
    }

    /// Answers the handshake of a replica that connects.
    fn accept(&mut self) -> (FakeLink, Option<String>) {
        loop {
            let (stream, _) = self.listener.accept().expect("a replica");
            let mut link = FakeLink { stream, left: self.budget };
            let asked = link.introduce();
            // It may have connected by itself just before, and given that up.
            if asked.is_some() || link.left == 0 {
                return (link, asked);
            }
        }
    }
}

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

/// The bytes of a snapshot with a few keys and a library.
fn snapshot() -> Vec<u8> {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k theirs", "+OK~");
    client.check("RPUSH l a b c", ":3~");
    client.check("SELECT 1", "+OK~");
    client.check("SET k other", "+OK~");
    client.check("SAVE", "+OK~");
    std::fs::read(server.dir().join("dump.rdb")).expect("the file")
}

fn check_old(client: &mut Client) {
    client.check("GET k", "$4~mine~");
    client.check("DBSIZE", ":1~");
}

/// Whichever byte of the handshake or of a copy is the last that comes, the data stay what they were; the copy
/// that is whole takes their place, with and without its length ahead.
#[test]
fn links_may_end_after_any_byte() {
    let copy = snapshot();
    for is_marked in [false, true] {
        let server = TestServer::start();
        let mut client = server.client();
        client.check("SET k mine", "+OK~");
        let id = server.info("master_replid");
        let mark = "m".repeat(40);
        let (head, tail) = match is_marked {
            true => (format!("$EOF:{mark}\r\n"), mark.clone()),
            false => (format!("${}\r\n", copy.len()), String::new()),
        };
        let answer = [format!("+FULLRESYNC {ID} 1000\r\n{head}").as_bytes(), &copy, tail.as_bytes()].concat();
        let handshake = 5 * 4;
        let mut fake = Fake::new();
        // A marked copy is known to be whole without its mark: an RDB file says where it ends.
        for budget in 0..handshake + answer.len() - tail.len() {
            fake.budget = budget;
            let (mut link, asked) = fake.link(&mut client);
            assert_eq!(asked.is_some(), budget >= handshake, "after {budget} bytes");
            assert!(asked.is_none_or(|asked| asked == "PSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"));
            link.send(&answer);
            drop(link);
            check_old(&mut client);
        }
        assert_eq!(server.info("master_replid"), id);
        fake.budget = usize::MAX;
        let (mut link, _) = fake.link(&mut client);
        link.send(&answer);
        eventually("the link is up", || server.info("master_link_status") == "up");
        client.check("GET k", "$6~theirs~");
        assert_eq!(server.info("master_replid"), ID);
        link.send(b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n1\r\n");
        eventually("it has come", || server.info("slave_read_repl_offset") == "1065");
        // A transaction that is not whole is no part of the stream yet.
        assert_eq!(server.info("slave_repl_offset"), "1023");
        drop(link);
        let (mut link, asked) = fake.link(&mut client);
        assert_eq!(asked, Some(format!("PSYNC\r\n$40\r\n{ID}\r\n$4\r\n1024\r\n")));
        client.check("SELECT 1", "+OK~");
        client.check("GET k", "$5~other~");
        // And goes on in the database where it stood.
        link.send(b"+CONTINUE\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n2\r\n");
        eventually("it has run", || client.raw("GET k") == "$1~2~");
    }
}

/// A stream that holds what no stream may hold ends the link, changes nothing else, and costs no memory.
#[test]
fn hostile_streams_are_cut() {
    let copy = snapshot();
    let server = TestServer::with(&[("proto-max-bulk-len", "1mb")]);
    let mut client = server.client();
    let answer = [format!("+FULLRESYNC {ID} 0\r\n${}\r\n", copy.len()).as_bytes(), &copy].concat();
    let mut fake = Fake::new();
    let request = |words: &[&str]| String::from_utf8(encode(words)).expect("text");
    for hostile in [
        "$5\r\nhello\r\n".to_owned(),
        "*1\r\n$-5\r\n".to_owned(),
        "*-1\r\n".to_owned(),
        "*0\r\n".to_owned(),
        "*99999999999999999999\r\n".to_owned(),
        "*1\r\n$99999999999999999999\r\n".to_owned(),
        "*1\r\n:5\r\n".to_owned(),
        "GARBAGE\r\n".to_owned(),
        "+OK\r\n".to_owned(),
        "#TS:1700000000\r\n".to_owned(),
        "\r\n".to_owned(),
        "\0".repeat(1000),
        request(&["NOSUCHCOMMAND"]),
        request(&["SET", "k"]),
        request(&["KEYS", "*"]),
        request(&["SHUTDOWN", "NOW"]),
        request(&["CONFIG", "SET", "maxmemory", "1"]),
        request(&["REPLICAOF", "NO", "ONE"]),
        request(&["SAVE"]),
        request(&["DEBUG", "SLEEP", "1"]),
        request(&["SUBSCRIBE", "channel"]),
        request(&["MONITOR"]),
        request(&["BLPOP", "none", "0"]),
        request(&["CLIENT", "KILL", "TYPE", "normal"]),
        request(&["PSYNC", "?", "-1"]),
        request(&["SELECT", "16"]),
        request(&["SELECT", "-1"]),
        request(&["SELECT", "one"]),
        request(&["MOVE", "k", "16"]),
        request(&["COPY", "k", "l", "DB", "16"]),
        request(&["SWAPDB", "0", "16"]),
        request(&["EXEC"]),
        [request(&["MULTI"]), request(&["MULTI"])].concat(),
        [request(&["MULTI"]), request(&["KEYS", "*"])].concat(),
    ] {
        let (mut link, _) = fake.link(&mut client);
        link.send(&answer);
        link.send(hostile.as_bytes());
        assert!(link.is_cut(), "{hostile:?}");
        client.check("GET k", "$6~theirs~");
        assert_eq!(server.info("role"), "slave");
        assert_eq!(info(&mut client, "maxmemory"), "0");
    }
    // A value that is too long is not waited for. A request and a transaction without an end are taken as far
    // as a share of the memory, in which a transaction counts twice.
    server.handle().server().following.unfinished_max.store(80 << 20, Ordering::Relaxed);
    let request_of_1_mb = request(&["SET", "k", &"v".repeat((1 << 20) - 30)]);
    let argument_of_1_mb = format!("${}\r\n{}\r\n", 1 << 20, "v".repeat(1 << 20));
    for (begin, piece, taken_mb) in [
        ("*1\r\n$1048577\r\n", "vv", 0..1),
        ("*90000\r\n$3\r\nDEL\r\n", &*argument_of_1_mb, 79..100),
        ("*1\r\n$5\r\nMULTI\r\n", &*request_of_1_mb, 39..60),
    ] {
        let (mut link, _) = fake.link(&mut client);
        link.send(&answer);
        link.send(begin.as_bytes());
        let sent = (0..200).take_while(|_| link.send(piece.as_bytes())).count();
        if piece.len() > 10 {
            assert!(taken_mb.contains(&sent), "{sent} MB were taken");
        }
        client.check("GET k", "$6~theirs~");
        assert!(link.is_cut());
        // It would come again and again.
        let (_, asked) = fake.link(&mut client);
        assert_eq!(asked.as_deref(), Some(FIRST_COPY), "{begin}");
    }
}

const FIRST_COPY: &str = "PSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n";

/// What was refused of a stream is missing in the data, so they are not what the stream says: the replica asks
/// for a copy, also after a restart, and does not go on behind it. What cannot be read was not passed.
#[test]
fn a_refused_request_is_not_passed_over() {
    let copy = snapshot();
    let answer = [format!("+FULLRESYNC {ID} 0\r\n${}\r\n", copy.len()).as_bytes(), &copy].concat();
    let request = |words: &[&str]| String::from_utf8(encode(words)).expect("text");
    let set = request(&["SET", "k", "1"]);
    let (multi, other) = (request(&["MULTI"]), request(&["SET", "k", "2"]));
    for refused in [
        request(&["NOSUCHCOMMAND"]),
        request(&["KEYS", "*"]),
        [request(&["MULTI"]), request(&["NOSUCHCOMMAND"]), request(&["EXEC"])].concat(),
        // Nothing behind it runs, in whichever database; nor does it matter that an error stands before it.
        [request(&["NOSUCHCOMMAND"]), other.clone()].concat(),
        [request(&["SELECT", "16"]), other.clone()].concat(),
        [request(&["LPUSH", "k", "x"]), request(&["SELECT", "16"]), other.clone()].concat(),
        [multi.clone(), request(&["SELECT", "16"]), other.clone(), request(&["EXEC"])].concat(),
        [multi, request(&["MOVE", "k", "16"]), other, request(&["EXEC"])].concat(),
        // What the primary has there would come again and again.
        "GARBAGE\r\n".to_owned(),
        "*1\r\n:GARBAGE\r\n".to_owned(),
        request(&["EXEC"]),
    ] {
        let server = TestServer::with(&[("save", "")]);
        let mut client = server.client();
        let mut fake = Fake::new();
        let (mut link, _) = fake.link(&mut client);
        link.send(&answer);
        link.send(set.as_bytes());
        link.send(refused.as_bytes());
        assert!(link.is_cut(), "{refused:?}");
        client.check("GET k", "$1~1~");
        let (link, asked) = fake.link(&mut client);
        assert_eq!(asked.as_deref(), Some(FIRST_COPY), "{refused:?}");
        drop(link);
        client.check("SAVE", "+OK~");
        let dir = server.stop_and_keep();
        let primary = format!("127.0.0.1 {}", fake.listener.local_addr().expect("an address").port());
        let _server = TestServer::try_with(&[("save", ""), ("replicaof", &primary)], Clock::system(), dir);
        let (_, asked) = fake.accept();
        assert_eq!(asked.as_deref(), Some(FIRST_COPY), "{refused:?}, after a restart");
    }
}

/// A link that worked is followed by the next at once, however short it was, and goes on where it ended: forty
/// of them take no forty seconds.
#[test]
fn links_that_are_cut_go_on_at_once() {
    const LINKS: usize = 40;
    let copy = snapshot();
    let server = TestServer::start();
    let mut client = server.client();
    let mut fake = Fake::new();
    let (mut link, _) = fake.link(&mut client);
    link.send(&[format!("+FULLRESYNC {ID} 0\r\n${}\r\n", copy.len()).as_bytes(), &copy].concat());
    let set = encode(&["SET", "k", "1"]);
    let began = Instant::now();
    for round in 1..=LINKS {
        link.send(&set);
        let offset = (round * set.len()).to_string();
        eventually("it has run", || server.info("slave_repl_offset") == offset);
        drop(link);
        let (next, asked) = fake.accept();
        let next_byte = (round * set.len() + 1).to_string();
        let asks = format!("PSYNC\r\n$40\r\n{ID}\r\n${}\r\n{next_byte}\r\n", next_byte.len());
        assert_eq!(asked, Some(asks));
        link = next;
        link.send(b"+CONTINUE\r\n");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(LINKS as u64 / 2), "{LINKS} links took {took:?}");
}

/// A script of the stream that does not end keeps nobody waiting who is in its way: a change of the role hears
/// BUSY, too. It cannot be killed, but ends with the server.
#[test]
fn a_script_of_the_stream_that_does_not_end_keeps_nobody_waiting() {
    let copy = snapshot();
    let answer = [format!("+FULLRESYNC {ID} 0\r\n${}\r\n", copy.len()).as_bytes(), &copy].concat();
    let busy = "-BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.~";
    for (script, keys) in [("while true do end", 0), ("redis.call('set', KEYS[1], 1) while true do end", 1)] {
        let server = TestServer::with(&[("busy-reply-threshold", "20")]);
        let (mut client, mut other) = (server.client(), server.client());
        let mut fake = Fake::new();
        let (mut link, _) = fake.link(&mut client);
        other.check("MULTI", "+OK~");
        other.check("REPLICAOF NO ONE", "+QUEUED~");
        link.send(&answer);
        link.send(&encode(&["EVAL", script, &keys.to_string(), "k"][..3 + keys]));
        eventually("it is slow", || {
            client.raw("SCRIPT KILL").starts_with("-UNKILLABLE The busy script was sent")
        });
        client.check("REPLICAOF NO ONE", busy);
        client.check("REPLICAOF 127.0.0.1 1", busy);
        client.check("PSYNC ? -1", busy);
        other.check("EXEC", &busy.replacen('-', "-EXECABORT Transaction discarded because of: ", 1));
        if keys > 0 {
            client.check("SET k 1", "-READONLY You can't write against a read only replica.~");
            client.check("GET k", busy);
            client.check("GET l", "-WRONGTYPE Operation against a key holding the wrong kind of value~");
            assert_eq!(server.info("role"), "slave");
        }
        server.stop();
    }
}

/// What the primary sends waits for a script that is in its way for longer than `busy-reply-threshold`, single
/// requests and transactions: refused, it would be missing in the data for good.
#[test]
fn the_stream_waits_for_a_busy_script() {
    let copy = snapshot();
    let answer = [format!("+FULLRESYNC {ID} 0\r\n${}\r\n", copy.len()).as_bytes(), &copy].concat();
    for keys in [&["1", "k"][..], &["0"]] {
        let server = TestServer::with_clock(&[("busy-reply-threshold", "20")], Clock::system());
        let (mut client, mut other) = (server.client(), server.client());
        let mut fake = Fake::new();
        let (mut link, _) = fake.link(&mut client);
        link.send(&answer);
        eventually("the copy is there", || client.raw("GET k") == "$6~theirs~");
        other.send(&encode(&[&["EVAL", "while true do end"], keys].concat()));
        eventually("it is busy", || client.raw("GET k").starts_with("-BUSY"));
        link.send(&encode(&["SET", "k", "after"]));
        link.send(
            &[encode(&["MULTI"]), encode(&["SET", "k", "last"]), encode(&["RPUSH", "l", "d"])].concat(),
        );
        link.send(&[encode(&["EXEC"]), encode(&["SET", "k2", "v"])].concat());
        // Meanwhile what was sent has come.
        for _ in 0..100 {
            assert!(client.raw("GET k").starts_with("-BUSY"));
        }
        client.check("SCRIPT KILL", "+OK~");
        eventually("it was applied", || client.raw("GET k2") == "$1~v~");
        client.check("GET k", "$4~last~");
        client.check("LRANGE l 0 -1", "*4~$1~a~$1~b~$1~c~$1~d~");
        assert_eq!(server.info("master_link_status"), "up");
    }
}

/// Answers in the handshake that no primary gives, or that say to come again later, end the link and change
/// nothing.
#[test]
fn hostile_handshakes_are_cut() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k mine", "+OK~");
    let mut fake = Fake::new();
    for answer in [
        "+CONTINUE\r\n".to_owned(),
        format!("+CONTINUE {ID}\r\n"),
        "+FULLRESYNC\r\n".to_owned(),
        "+FULLRESYNC short 0\r\n".to_owned(),
        format!("+FULLRESYNC {ID} -1\r\n"),
        format!("+FULLRESYNC {ID} 18446744073709551615\r\n"),
        format!("+FULLRESYNC {ID} 0\r\n+OK\r\n"),
        format!("+FULLRESYNC {ID} 0\r\n$-1\r\n"),
        format!("+FULLRESYNC {ID} 0\r\n$EOF:short\r\n"),
        format!("+FULLRESYNC {ID} 0\r\n$10\r\nREDIS99990"),
        format!("+FULLRESYNC {ID} 0\r\n$18446744073709551615\r\nnothing of the kind"),
        format!("+FULLRESYNC {ID} 0\r\n-ERR no\r\n"),
        "-NOMASTERLINK later\r\n".to_owned(),
        "-LOADING later\r\n".to_owned(),
        "-ERR no\r\n".to_owned(),
        "x".repeat(100_000),
        "\0\0\0\r\n".to_owned(),
    ] {
        let (mut link, _) = fake.link(&mut client);
        link.send(answer.as_bytes());
        assert!(link.is_cut(), "{answer:?}");
        check_old(&mut client);
    }
}
