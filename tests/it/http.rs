//! `metrics-port`: the pages, what is refused, what is bounded.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::*;

/// A server with the port open.
pub fn with_port(pairs: &[(&str, &str)]) -> (TestServer, u16) {
    let port = free_port();
    let number = port.to_string();
    let pairs: Vec<_> = pairs.iter().copied().chain([("metrics-port", number.as_str())]).collect();
    (TestServer::with(&pairs), port)
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(local(port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream
}

/// What the server sends until it closes the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // Where it closes with something unread, what came before is there all the same.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

/// The answer to a request, as it was sent.
pub fn raw(port: u16, request: &str) -> String {
    let mut stream = connect(port);
    stream.write_all(request.as_bytes()).expect("it reads");
    rest(stream)
}

/// The status and the content of a page.
pub fn get(port: u16, path: &str) -> (u16, String) {
    let answer = raw(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    (status(&answer), answer.split_once("\r\n\r\n").expect("a head").1.to_owned())
}

fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().expect("a number")
}

/// The value of a sample, by its name with all its labels.
pub fn value(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a number"))
}

#[test]
fn figures_are_served_as_info_shows_them() {
    let (server, port) = with_port(&[("maxmemory", "1gb")]);
    let mut client = server.client();
    for request in ["SET k v", "SET e v PX 5000", "GET k", "GET missing", "INCR k", "SELECT 3", "SET in3 v"] {
        client.raw(request);
    }
    let (status, page) = get(port, "/metrics");
    assert_eq!(status, 200);
    for (name, expected) in [
        ("redis_up", 1.0),
        ("redis_connected_clients", 1.0),
        ("redis_memory_max_bytes", 1_073_741_824.0),
        ("redis_keyspace_hits_total", 1.0),
        ("redis_keyspace_misses_total", 1.0),
        ("redis_commands_total{cmd=\"set\"}", 3.0),
        ("redis_commands_total{cmd=\"get\"}", 2.0),
        ("redis_commands_failed_calls_total{cmd=\"incr\"}", 1.0),
        ("redis_commands_latencies_usec_count{cmd=\"set\"}", 3.0),
        ("redis_errors_total{err=\"ERR\"}", 1.0),
        ("redis_db_keys{db=\"db0\"}", 2.0),
        ("redis_db_keys_expiring{db=\"db0\"}", 1.0),
        ("redis_db_avg_ttl_seconds{db=\"db0\"}", 5.0),
        ("redis_db_keys{db=\"db3\"}", 1.0),
        ("redis_db_keys{db=\"db15\"}", 0.0),
        ("redis_start_time_seconds", 1_700_000_000.0),
        ("kvarts_slots_with_keys{db=\"db0\"}", 2.0),
        ("kvarts_slot_keys_max{db=\"db3\"}", 1.0),
        ("kvarts_http_connections_total", 1.0),
    ] {
        assert_eq!(value(&page, name), Some(expected), "{name} in\n{page}");
    }
    assert!(page.contains("# TYPE redis_commands_total counter\n"), "{page}");
    assert!(page.contains(&format!("tcp_port=\"{}\"", server.address().port())), "{page}");
}

/// However often they are asked for, figures are read ten times a second.
#[test]
fn figures_are_kept_for_a_tenth_of_a_second() {
    let (server, port) = with_port(&[]);
    let keys = || value(&get(port, "/metrics").1, "redis_db_keys{db=\"db0\"}");
    assert_eq!(keys(), Some(0.0));
    server.client().check("SET k v", "+OK~");
    let before = get(port, "/metrics").1;
    for _ in 0..50 {
        assert_eq!(get(port, "/metrics").1, before);
    }
    server.advance_ms(99);
    assert_eq!(keys(), Some(0.0));
    server.advance_ms(1);
    assert_eq!(keys(), Some(1.0));
    assert_eq!(value(&get(port, "/metrics").1, "kvarts_http_requests_total"), Some(53.0));
}

#[test]
fn the_format_is_negotiated() {
    let (_server, port) = with_port(&[]);
    let asked =
        |accept: &str| raw(port, &format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
    let text = asked("*/*");
    assert!(text.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{text}");
    assert!(!text.contains("# EOF"));
    let open = asked("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3");
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(open.ends_with("# EOF\n"));
    assert!(open.contains("# TYPE redis_keyspace_hits counter\nredis_keyspace_hits_total 0\n"), "{open}");
}

/// Page, method, status.
#[test]
fn what_is_no_page_is_refused() {
    let (server, port) = with_port(&[]);
    for (line, expected) in [
        ("GET /healthz", 200),
        ("HEAD /healthz", 200),
        ("GET /readyz", 200),
        ("GET /readyz?a=b", 200),
        ("GET /nothing", 404),
        ("GET /metrics/", 404),
        ("GET /../metrics", 404),
        ("GET /%2e%2e/metrics", 404),
        ("GET /healthz/../../../../etc/passwd", 404),
        ("GET //etc/passwd", 404),
        ("POST /metrics", 405),
        ("DELETE /metrics", 405),
        ("OPTIONS /metrics", 405),
        ("POST /nothing", 404),
    ] {
        let answer = raw(port, &format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(status(&answer), expected, "{line}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
        assert_eq!(answer.contains("allow: GET, HEAD\r\n"), expected == 405, "{answer}");
        assert_eq!(answer.ends_with("\r\n\r\n"), line.starts_with("HEAD"), "{answer}");
    }
    assert_eq!(server.handle().server().http.refused.load(std::sync::atomic::Ordering::Relaxed), 10);
    for line in ["GET", "PING", "*1\r\n$4\r\nPING", "GET /metrics HTTP/9.9", "\u{0}\u{1}"] {
        let answer = raw(port, &format!("{line}\r\n\r\n"));
        assert!(answer.is_empty() || status(&answer) == 400, "{line}: {answer}");
    }
}

#[test]
fn bodies_and_long_heads_are_refused() {
    let (server, port) = with_port(&[]);
    let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
    for body in
        ["Content-Length: 1000000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    {
        assert_eq!(status(&raw(port, &format!("{head}{body}"))), 413, "{body}");
    }
    // Its client sends what it announced, and is answered all the same.
    let body = "x".repeat(100_000);
    assert_eq!(status(&raw(port, &format!("{head}Content-Length: 100000\r\n\r\n{body}"))), 413);
    let many = "X-Header: y\r\n".repeat(65);
    assert_eq!(status(&raw(port, &format!("{head}{many}\r\n"))), 431);
    let mut stream = connect(port);
    let long = "y".repeat(1 << 20);
    // It may be closed before all is sent.
    let _ = stream.write_all(format!("{head}X-Long: {long}\r\n\r\n").as_bytes());
    let answer = rest(stream);
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    assert_eq!(get(port, "/healthz").0, 200);
    eventually("the connections have ended", || {
        server.handle().server().http.open.load(std::sync::atomic::Ordering::Relaxed) == 0
    });
}

/// A crowd that says nothing holds few connections, keeps nobody out, and is gone after a while.
#[test]
fn half_open_connections_are_bounded() {
    let (server, port) = with_port(&[]);
    let count = |name: &str| {
        server.advance_ms(100);
        value(&get(port, "/metrics").1, name).expect("a figure")
    };
    let crowd: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut stream = connect(port);
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:");
            }
            stream
        })
        .collect();
    assert_eq!(get(port, "/healthz").0, 200);
    server.client().check("PING", "+PONG~");
    // 32 places; the one that asks has one of them, and its place may be made before the last one's is free.
    eventually("all were accepted", || count("kvarts_http_connections_total") >= 1002.0);
    let open = count("kvarts_http_connections");
    assert!((28.0..=32.0).contains(&open), "{open}");
    assert!(count("kvarts_http_connections_displaced_total") >= 960.0);
    assert_eq!(count("kvarts_http_connections_rejected_total"), 0.0);
    let before = count("kvarts_http_connections_timed_out_total");
    assert_eq!(before, 0.0);
    server.advance_ms(10_000);
    eventually("those that are left are cut", || count("kvarts_http_connections_timed_out_total") >= 25.0);
    eventually("nobody is left but who asks", || count("kvarts_http_connections") == 1.0);
    for stream in crowd {
        assert!(!rest(stream).starts_with("HTTP/1.1 2"));
    }
}

/// A client that does not read its answer is cut; the server's own clients notice nothing.
#[test]
fn who_does_not_read_is_cut() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    // A page longer than what the sockets hold: many databases' worth of errors by code.
    let script = "for i = 1, 100 do server.call('SET', string.rep('k', 10) .. i, 'v') end";
    client.raw(&format!("EVAL \"{script}\" 0"));
    let stream = connect(port);
    socket2::SockRef::from(&stream).set_recv_buffer_size(1).expect("a small buffer");
    let mut stream = stream;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let counts = &server.handle().server().http;
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    eventually("it is answered", || counts.requests.load(relaxed) == 1);
    server.advance_ms(29_000);
    client.check("PING", "+PONG~");
    assert_eq!(counts.open.load(relaxed), 1);
    server.advance_ms(1_000);
    eventually("it is cut", || counts.timed_out.load(relaxed) == 1 && counts.open.load(relaxed) == 0);
    client.check("PING", "+PONG~");
}

#[test]
fn ready_is_who_has_the_data() {
    let (server, port) = with_port(&[]);
    assert_eq!(get(port, "/readyz"), (200, "ready\n".into()));
    server.handle().server().loading.begin(START_MS);
    assert_eq!(get(port, "/readyz"), (503, "the data are being loaded\n".into()));
    assert_eq!(get(port, "/healthz"), (200, "ok\n".into()));
    assert_eq!(get(port, "/metrics").0, 200);
    server.handle().server().loading.end();
    server.client().check(&format!("REPLICAOF 127.0.0.1 {}", free_port()), "+OK~");
    assert_eq!(get(port, "/readyz"), (503, "the data of the primary are not there yet\n".into()));
    server.client().check("REPLICAOF NO ONE", "+OK~");
    assert_eq!(get(port, "/readyz").0, 200);
}

/// As all ports, it opens and closes by CONFIG SET; all that one CONFIG SET asks for, or nothing.
#[test]
fn the_port_opens_and_closes_at_run_time() {
    let server = TestServer::start();
    let (first, second) = (free_port(), free_port());
    let is_open = |port: u16| TcpStream::connect(local(port)).is_ok();
    let mut client = server.client();
    client.check("CONFIG GET metrics-port", "*2~$12~metrics-port~$1~0~");
    client.check(&format!("CONFIG SET metrics-port {first}"), "+OK~");
    assert_eq!(get(first, "/healthz").0, 200);
    client.check(&format!("CONFIG SET metrics-port {second}"), "+OK~");
    assert_eq!((is_open(first), get(second, "/healthz").0), (false, 200));
    let taken = std::net::TcpListener::bind(local(first)).expect("it is free");
    let refused = |argument: &str, reason: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{argument}') - {reason}~")
    };
    let busy = "Unable to listen on this port. Check server logs.";
    client.check(&format!("CONFIG SET metrics-port {first}"), &refused("metrics-port", busy));
    let both = format!("CONFIG SET metrics-port {} port {first}", free_port());
    client.check(&both, &refused("port", busy));
    let wrong = refused("metrics-bind", "Failed to bind to specified addresses.");
    client.check("CONFIG SET metrics-bind \"127.0.0.1 192.0.2.1\"", &wrong);
    assert_eq!(get(second, "/healthz").0, 200, "the old one stays");
    client.check("CONFIG SET metrics-bind *", "+OK~");
    assert_eq!(get(second, "/healthz").0, 200);
    assert!(TcpStream::connect(("127.0.0.2", second)).is_ok());
    client.check("CONFIG SET metrics-bind 127.0.0.1", "+OK~");
    assert!(TcpStream::connect(("127.0.0.2", second)).is_err());
    assert_eq!(get(second, "/healthz").0, 200);
    client.check("CONFIG SET metrics-port 0", "+OK~");
    assert!(!is_open(second));
    drop(taken);
    client.check(&format!("CONFIG SET metrics-port {first}"), "+OK~");
    assert_eq!(get(first, "/metrics").0, 200);
    server.stop();
    assert!(!is_open(first));
}

/// Who is alone in the keyspace does not keep the port from answering.
#[test]
fn figures_are_read_while_the_keyspace_is_taken() {
    let (server, port) = with_port(&[]);
    server.client().check("SET k v", "+OK~");
    let alone = server.handle().server().keyspace.gate.exclusive(|| {});
    let (status, page) = get(port, "/metrics");
    assert_eq!((status, value(&page, "redis_up")), (200, Some(1.0)));
    assert_eq!(value(&page, "redis_db_keys{db=\"db0\"}"), Some(1.0), "to count nothing is waited for");
    drop(alone);
}
