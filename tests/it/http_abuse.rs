//! Abuse of `metrics-port`: what it is sent is bounded and counted, and the server's clients notice nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::*;
use crate::http::{connect, get, raw, value, with_port};

/// Bytes that the sockets of both ends may hold beside what the server reads of a body that it refuses.
const IN_SOCKETS: usize = 16 << 20;

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Sends `part` again and again until the server takes no more, but no more than a gigabyte. Returns how many
/// bytes it took.
fn pour(stream: &mut TcpStream, part: &[u8]) -> usize {
    let mut sent = 0;
    while sent < 1_000_000_000 {
        match stream.write(part) {
            Ok(written) => sent += written,
            Err(_) => break,
        }
    }
    sent
}

/// A body of a gigabyte, announced or in chunks without an end: none of it is kept, and little of it is read.
#[test]
fn a_body_of_a_gigabyte_is_not_read() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 1 << 16], b"\r\n".to_vec()].concat();
    for (line, length, part) in [
        ("GET /metrics", "Content-Length: 1000000000", vec![b'x'; 1 << 16]),
        ("GET /metrics", "Transfer-Encoding: chunked", chunk.clone()),
        ("POST /metrics", "Content-Length: 1000000000", vec![b'x'; 1 << 16]),
        ("POST /nothing", "Transfer-Encoding: chunked", chunk.clone()),
        ("POST /api/session", "X-Kvarts-Console: 1\r\nTransfer-Encoding: chunked", chunk.clone()),
        ("POST /api/command", "X-Kvarts-Console: 1\r\nTransfer-Encoding: chunked", chunk),
    ] {
        let mut stream = connect(port);
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let sent = pour(&mut stream, &part);
        assert!(sent < IN_SOCKETS, "{line}, {length}: {sent} bytes were taken");
        client.check("PING", "+PONG~");
    }
    let open = &server.handle().server().http.open;
    eventually("the connections have ended", || open.load(Ordering::Relaxed) == 0);
    assert_eq!(get(port, "/healthz").0, 200);
}

/// What announces a body that is too large is refused before a byte of it has come; what comes in chunks as soon as
/// it is too large.
#[test]
fn a_body_that_is_too_large_is_refused_at_once() {
    let (_server, port) = with_port(&[]);
    for (path, most) in [("/api/session", 16 << 10), ("/api/command", 1 << 20), ("/api/stream", 16 << 10)] {
        let head = |length: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Kvarts-Console: 1\r\n{length}\r\n\r\n")
        };
        for length in [most + 1, 1_000_000_000] {
            for expect in ["", "\r\nExpect: 100-continue"] {
                let answer = raw(port, &head(&format!("Content-Length: {length}{expect}")));
                assert_eq!(status(&answer), Some(413), "{path} {length}: {answer}");
            }
        }
        let chunk = [format!("{:x}\r\n", most + 1).into_bytes(), vec![b' '; most + 1]].concat();
        let mut stream = connect(port);
        stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).expect("it reads");
        stream.write_all(&chunk).expect("it reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer, though the body has no end");
        assert_eq!(&answer, b"HTTP/1.1 413", "{path}");
    }
    // As much as is allowed is read.
    let body = format!("{{\"commands\":[[\"PING\"]]{}}}", " ".repeat((1 << 20) - 23));
    let length = body.len();
    let answer = raw(
        port,
        &format!(
            "POST /api/command HTTP/1.1\r\nHost: localhost\r\nX-Kvarts-Console: 1\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    );
    assert!(
        length == 1 << 20 && status(&answer) == Some(200) && answer.contains("PONG"),
        "{length} {answer}"
    );
}

/// Heads that are too long, too many, malformed or ambiguous.
#[test]
fn header_bombs_are_refused() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
    for (what, request) in [
        ("many headers", format!("{head}{}\r\n", "X: y\r\n".repeat(10_000))),
        ("a long header", format!("{head}X: {}\r\n\r\n", "y".repeat(4 << 20))),
        ("a long name", format!("{head}{}: y\r\n\r\n", "X".repeat(4 << 20))),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x/".repeat(1 << 20))),
        ("a long method", format!("{} / HTTP/1.1\r\nHost: localhost\r\n\r\n", "X".repeat(1 << 20))),
        ("no colon", format!("{head}Xy\r\n\r\n")),
        ("a zero byte", format!("{head}X: \u{0}\r\n\r\n")),
        ("a line that is folded", format!("{head}X: a\r\n b\r\n\r\n")),
        ("two lengths", format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")),
        ("a negative length", format!("{head}Content-Length: -1\r\n\r\n")),
        ("a huge length", format!("{head}Content-Length: 99999999999999999999999\r\n\r\n")),
        (
            "a length and chunks",
            format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("an unknown coding", format!("{head}Transfer-Encoding: gzip\r\n\r\n")),
        ("a version to come", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("a tunnel", "CONNECT localhost:6379 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("bytes of a handshake", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned()),
    ] {
        let mut stream = connect(port);
        // It may be closed before all is sent.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let refused = status(&answer).is_some_and(|status| (400..=505).contains(&status) && status != 500);
        assert!(answer.is_empty() || refused, "{what}: {answer}");
        client.check("PING", "+PONG~");
    }
    assert_eq!(get(port, "/metrics").0, 200);
    let open = &server.handle().server().http.open;
    eventually("the connections have ended", || open.load(Ordering::Relaxed) == 0);
}

/// Paths lead to the pages of the table and nowhere else, however they are written.
#[test]
fn paths_lead_nowhere_else() {
    let (server, port) = with_port(&[]);
    std::fs::write(server.dir().join("secret"), "secret").expect("a file");
    for path in [
        "/../secret",
        "/..",
        "/./metrics",
        "/metrics/..",
        "/metrics/../secret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/....//secret",
        "/secret",
        "/metrics%00",
        "/metrics%20",
        "//metrics",
        "/METRICS",
        "/metrics;a=b",
        "/style.css/../secret",
        "/views/../secret",
        "/api/../metrics",
        "file:///etc/passwd",
        "http://localhost/../secret",
    ] {
        let answer = raw(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let refused = matches!(status(&answer), Some(400 | 404));
        assert!(refused && !answer.contains("secret\n"), "{path}: {answer}");
    }
}

/// Scrapes without a pause from several sides: the figures are read ten times a second by the server's clock,
/// which stands still here, and commands go on.
#[test]
fn scrapes_without_a_pause() {
    let (server, port) = with_port(&[("io-threads", "2"), ("key-sizes", "yes"), ("hotkeys-top-k", "10")]);
    let mut client = server.client();
    (0..100).for_each(|number| client.check(&format!("SET p{number}:k v"), "+OK~"));
    let first = get(port, "/metrics").1;
    let (running, scrapes) = (AtomicBool::new(true), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&running);
        for _ in 0..4 {
            scope.spawn(|| {
                while running.load(Ordering::SeqCst) {
                    let (status, page) = get(port, "/metrics");
                    assert_eq!(status, 200);
                    assert_eq!(page, first, "it was read again");
                    scrapes.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        eventually("there were many", || {
            client.check("GET p1:k", "$1~v~");
            scrapes.load(Ordering::SeqCst) >= 400
        });
    });
    server.advance_ms(100);
    let page = get(port, "/metrics").1;
    assert!(value(&page, "kvarts_http_requests_total") >= Some(401.0));
    assert_eq!(value(&page, "kvarts_http_connections_rejected_total"), Some(0.0));
}

/// A body that comes a byte at a time is cut when its time is over, by the server's clock.
#[test]
fn a_body_that_does_not_end_is_cut() {
    let (server, port) = with_port(&[]);
    let mut stream = connect(port);
    let head = "POST /api/command HTTP/1.1\r\nHost: localhost\r\nX-Kvarts-Console: 1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("it reads");
    let counts = &server.handle().server().http;
    eventually("it is there", || counts.open.load(Ordering::Relaxed) == 1);
    eventually("it is cut", || {
        let _ = stream.write_all(b" ");
        server.advance_ms(1000);
        counts.open.load(Ordering::Relaxed) == 0
    });
    server.client().check("PING", "+PONG~");
    assert_eq!(get(port, "/healthz").0, 200);
}
