//! `metrics-port` over TLS (`metrics-tls`): figures, health and the console, and what plain HTTP is told.

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::console::{OURS, body, status};
use crate::harness::*;
use crate::http::{connect, get, raw, value, with_port};
use crate::tls::{authority, certificate_files};

/// The answer to a request over TLS, as it was sent.
fn secure(server: &TestServer, port: u16, request: &str) -> String {
    let mut client = Client::tls(local(port), "localhost", &authority(server)).expect("a handshake");
    client.send(request.as_bytes());
    String::from_utf8(client.read_to_end()).expect("text")
}

fn page(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn post(path: &str, headers: &str, content: &str) -> String {
    let length = content.len();
    format!("POST {path} HTTP/1.1\r\n{OURS}{headers}Content-Length: {length}\r\n\r\n{content}")
}

const PLAIN: &str = "this port speaks HTTPS only (metrics-tls): https://\n";

/// The authority is there from the start, so no first scrape has to fail.
#[test]
fn figures_and_health_are_served_over_tls() {
    let (server, port) = with_port(&[("metrics-tls", "yes")]);
    let metrics = secure(&server, port, &page("/metrics"));
    assert_eq!(status(&metrics), 200);
    assert_eq!(value(&metrics, "redis_up"), Some(1.0));
    assert!(secure(&server, port, &page("/healthz")).ends_with("\r\n\r\nok\n"));
    assert!(secure(&server, port, &page("/readyz")).ends_with("\r\n\r\nready\n"));
    assert!(secure(&server, port, &page("/")).contains("<!doctype html>"));
    // Whatever is asked for without TLS is refused in words, and does nothing.
    for path in ["/metrics", "/healthz", "/", "/console/app.js", "/api/session", "/nothing"] {
        assert_eq!(get(port, path), (400, PLAIN.to_owned()), "{path}");
    }
    let answer = raw(port, &post("/api/command", "", r#"{"commands":[["SET","k","v"]]}"#));
    assert_eq!((status(&answer), body(&answer)), (400, PLAIN));
    server.client().check("EXISTS k", ":0~");
    // Others are served as before.
    server.client().check("PING", "+PONG~");
}

#[test]
fn the_console_is_served_over_tls() {
    let (server, port) = with_port(&[("metrics-tls", "yes"), ("requirepass", "secret")]);
    let answer =
        secure(&server, port, &post("/api/session", "", r#"{"user":"default","password":"secret"}"#));
    let (_, cookie) = answer.split_once("set-cookie: ").expect("a cookie");
    let (cookie, attributes) = cookie.split_once(';').expect("attributes");
    assert!(attributes.starts_with(" Path=/; HttpOnly; SameSite=Strict; Secure\r\n"), "{attributes}");
    let cookie = format!("Cookie: {cookie}\r\n");
    let command = |headers: &str| {
        secure(&server, port, &post("/api/command", headers, r#"{"commands":[["SET","k","v"]]}"#))
    };
    assert_eq!(status(&command("")), 401);
    assert!(command(&cookie).contains(r#"{"replies":[{"simple":"OK"}]"#));
    let from = |origin: &str| status(&command(&format!("{cookie}Origin: {origin}\r\n")));
    assert_eq!(from("https://localhost"), 200);
    assert_eq!(from("http://localhost"), 403, "a page that came without TLS may be somebody else's");
    // A stream, whose parts come as they are.
    let mut stream = Client::tls(local(port), "localhost", &authority(&server)).expect("a handshake");
    stream.send(post("/api/stream", &cookie, r#"{"commands":[["SUBSCRIBE","c"]]}"#).as_bytes());
    let mut client = server.client();
    client.check("AUTH secret", "+OK~");
    eventually("it is subscribed", || client.raw("PUBSUB NUMSUB c").ends_with(":1~"));
    client.check("PUBLISH c hello", ":1~");
    client.check("CONFIG SET requirepass another", "+OK~");
    let lines = String::from_utf8(stream.read_to_end()).expect("text");
    for part in [r#"{"push":["message","c","hello"]}"#, r#"{"end":"the session has ended"}"#] {
        assert!(lines.contains(part), "{part} in {lines}");
    }
}

#[test]
fn tls_is_switched_on_and_off_at_run_time() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    assert_eq!(get(port, "/healthz"), (200, "ok\n".to_owned()));
    client.check("CONFIG SET metrics-tls yes", "+OK~");
    assert_eq!(get(port, "/healthz"), (400, PLAIN.to_owned()));
    // The authority is made for the first client, which does not know it yet.
    let nobody = rustls::RootCertStore::empty();
    assert!(Client::tls_with(local(port), "localhost", nobody).is_err());
    let failed = || server.handle().server().http.handshakes_failed.load(Relaxed);
    eventually("it is counted", || failed() == 1);
    let metrics = secure(&server, port, &page("/metrics"));
    assert_eq!(value(&metrics, "kvarts_http_tls_handshakes_failed_total"), Some(1.0));
    client.check("CONFIG SET metrics-tls no", "+OK~");
    assert_eq!(get(port, "/healthz"), (200, "ok\n".to_owned()));
    assert!(
        Client::tls(local(port), "localhost", &authority(&server)).is_err(),
        "no TLS where none is spoken"
    );
    assert_eq!(get(port, "/healthz"), (200, "ok\n".to_owned()));
}

/// The operator's certificate, a new one in the same files, and clients that have to show one.
#[test]
fn certificates_are_those_of_the_server() {
    let dir = TempDir::new();
    let [certificate, key, authority_file] = certificate_files(&dir);
    let (server, port) = with_port(&[
        ("metrics-tls", "yes"),
        ("tls-cert-file", &certificate),
        ("tls-key-file", &key),
        ("tls-ca-cert-file", &authority_file),
        ("tls-auth-clients", "no"),
    ]);
    let is_trusted = |path: &str| {
        let connected = Client::tls(local(port), "somewhere.example", std::path::Path::new(path));
        connected.is_ok_and(|mut client| {
            client.send(page("/healthz").as_bytes());
            client.read_to_end().ends_with(b"ok\n")
        })
    };
    assert!(is_trusted(&authority_file));
    let old = dir.path().join("old.crt").display().to_string();
    std::fs::copy(&authority_file, &old).expect("a copy");
    certificate_files(&dir);
    eventually("the new one is shown", || is_trusted(&authority_file));
    assert!(!is_trusted(&old));
    server.client().check("CONFIG SET tls-auth-clients yes", "+OK~");
    eventually("who shows none is refused", || !is_trusted(&authority_file));
    assert!(server.handle().server().http.handshakes_failed.load(Relaxed) > 0);
    server.client().check("CONFIG SET metrics-tls no", "+OK~");
    assert_eq!(get(port, "/healthz").0, 200);
}

/// Handshakes that are begun and not gone on with cost no more than requests that are not: a place until its time is
/// over or another needs it.
#[test]
fn half_a_handshake_is_bounded() {
    let (server, port) = with_port(&[("metrics-tls", "yes")]);
    let counts = &server.handle().server().http;
    // The head of a record that never comes.
    let half: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(port);
            stream.write_all(&[0x16, 3, 1, 2, 0, 1]).expect("it reads");
            stream
        })
        .collect();
    eventually("all were accepted", || counts.accepted.load(Relaxed) == 100);
    assert_eq!((counts.open.load(Relaxed), counts.displaced.load(Relaxed)), (32, 68));
    assert!(secure(&server, port, &page("/healthz")).ends_with("ok\n"));
    server.advance_ms(10_000);
    eventually("their time is over", || counts.open.load(Relaxed) == 0);
    drop(half);
    assert!(secure(&server, port, &page("/healthz")).ends_with("ok\n"));
}
