//! CONFIG SET of ports and addresses: new sockets open, old ones close, connections stay.

use std::net::{SocketAddr, TcpListener, TcpStream};

use kvarts::config::{Config, Directive};

use crate::harness::*;

const TAKEN: &str = "Unable to listen on this port. Check server logs.";

fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

fn failed(argument: &str, reason: &str) -> String {
    format!("-ERR CONFIG SET failed (possibly related to argument '{argument}') - {reason}~")
}

/// A port that somebody else listens on.
fn taken() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

#[test]
fn another_port_opens_and_the_old_one_closes() {
    let server = TestServer::start();
    let old = server.address();
    let port = free_port();
    let mut client = server.client();
    client.check(&format!("CONFIG SET port {port}"), "+OK~");
    // At once, not some time later.
    assert!(!is_open(old));
    client.check("PING", "+PONG~");
    client.check("CONFIG GET port", &format!("*2~$4~port~${}~{port}~", port.to_string().len()));
    assert_eq!(info(&mut client, "tcp_port"), port.to_string());
    assert_eq!(server.handle().ports().main, port);
    Client::tcp(local(port)).check("PING", "+PONG~");
    // The old one can be had again, by us as by others.
    client.check(&format!("CONFIG SET port {}", old.port()), "+OK~");
    assert!(is_open(old) && !is_open(local(port)));
    drop(TcpListener::bind(local(port)).expect("the port is free"));
}

#[test]
fn port_0_closes_and_clients_stay() {
    let port = free_port();
    let server = TestServer::with(&[("port", &port.to_string())]);
    let mut client = server.client();
    client.check("CONFIG SET port 0", "+OK~");
    assert!(!is_open(local(port)));
    assert_eq!(info(&mut client, "tcp_port"), "0");
    client.check("CONFIG SET timeout 100", "+OK~");
    client.check(&format!("CONFIG SET port {port}"), "+OK~");
    server.client().check("PING", "+PONG~");
}

#[test]
fn a_port_in_use_changes_nothing() {
    let server = TestServer::start();
    let (_other, taken) = taken();
    let free = free_port();
    let mut client = server.client();
    for (command, argument, reason) in [
        (format!("port {taken}"), "port", TAKEN),
        (format!("timeout 7 port {taken}"), "port", TAKEN),
        (format!("tls-port {taken}"), "tls-port", TAKEN),
        (format!("read-only-port {taken}"), "read-only-port", TAKEN),
        // The first port could be had; it is given back.
        (format!("port {free} tls-port {taken}"), "tls-port", TAKEN),
        (format!("port {free} bind 192.0.2.1"), "port", TAKEN),
        (format!("bind 127.0.0.1 port {taken}"), "port", TAKEN),
        ("bind 192.0.2.1".into(), "bind", "Failed to bind to specified addresses."),
        ("bind no.such.host.invalid".into(), "bind", "Failed to bind to specified addresses."),
        ("port 65536".into(), "port", "argument must be between 0 and 65535 inclusive"),
        ("port x".into(), "port", "argument couldn't be parsed into an integer"),
    ] {
        client.check(&format!("CONFIG SET {command}"), &failed(argument, reason));
        server.client().check("PING", "+PONG~");
        assert!(!is_open(local(free)), "{command}");
    }
    client.check("CONFIG GET timeout", "*2~$7~timeout~$1~0~");
    client.check("CONFIG GET port", "*2~$4~port~$1~0~");
    client.check("CONFIG GET bind", "*2~$4~bind~$9~127.0.0.1~");
    assert_eq!(server.handle().ports().read_only, 0);
}

#[test]
fn addresses_change_on_the_same_port() {
    let server = TestServer::start();
    let port = server.address().port();
    let second = SocketAddr::from(([127, 0, 0, 2], port));
    let mut client = server.client();
    assert!(!is_open(second));
    // All addresses, in whose way the one is that is open.
    client.check("CONFIG SET bind *", "+OK~");
    assert!(is_open(second) && is_open(local(port)));
    // In the way the other way round, and refused: the old one is back.
    client.check(
        "CONFIG SET bind \"127.0.0.1 192.0.2.1\"",
        &failed("bind", "Failed to bind to specified addresses."),
    );
    assert!(is_open(second) && is_open(local(port)));
    Client::tcp(second).check("PING", "+PONG~");
    client.check("CONFIG SET bind \"127.0.0.2 -192.0.2.1\"", "+OK~");
    assert!(is_open(second) && !is_open(local(port)));
    client.check("CONFIG GET bind", "*2~$4~bind~$20~127.0.0.2 -192.0.2.1~");
    Client::tcp(second).check("PING", "+PONG~");
    client.check("CONFIG SET bind \"127.0.0.1 127.0.0.2\"", "+OK~");
    assert!(is_open(second) && is_open(local(port)));
    client.check("CONFIG SET bind \"\"", "+OK~");
    assert!(!is_open(second) && !is_open(local(port)));
    client.check("PING", "+PONG~");
}

#[test]
fn ports_may_change_places() {
    let (main, read_only) = (free_port(), free_port());
    let pairs = [("port", main.to_string()), ("read-only-port", read_only.to_string())];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = TestServer::with(&pairs);
    let mut client = server.client();
    client.check(&format!("CONFIG SET port {read_only} read-only-port {main}"), "+OK~");
    server.client().check("SET k v", "+OK~");
    server.read_only_client().check("SET k v", "-READONLY You can't write against a read only replica.~");
    assert_eq!(server.handle().ports().main, read_only);
    client.check(&format!("CONFIG SET read-only-port {read_only}"), &failed("read-only-port", TAKEN));
    client.check("CONFIG SET read-only-port 0", "+OK~");
    assert!(!is_open(local(main)));
    client.check("ROLE", "*3~$6~master~:2~*0~");
}

#[test]
fn a_port_for_tls() {
    let server = TestServer::start();
    let port = free_port();
    let mut client = server.client();
    let missing = server.dir().join("missing.pem").display().to_string();
    let both = format!("tls-cert-file {missing} tls-key-file {missing}");
    client.check(
        &format!("CONFIG SET {both} tls-port {port}"),
        &failed("tls-cert-file", "Unable to update TLS configuration. Check server logs."),
    );
    assert!(!is_open(local(port)));
    client.check(&format!("CONFIG SET tls-port {port}"), "+OK~");
    assert!(Client::tcp(local(port)).raw("PING").starts_with("-ERR this port speaks TLS only"));
    let authority = server.dir().join("tls/ca.crt");
    // It is made when the first TLS client comes.
    drop(Client::tls_with(local(port), "localhost", rustls::RootCertStore::empty()));
    Client::tls(local(port), "localhost", &authority).expect("a handshake").check("PING", "+PONG~");
    client.check("CONFIG SET tls-port 0", "+OK~");
    assert!(!is_open(local(port)));
}

#[test]
fn tls_only_holds_from_then_on() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("CONFIG SET tls-only yes", "+OK~");
    client.check("PING", "+PONG~");
    assert!(server.client().raw("PING").starts_with("-ERR this port speaks TLS only"));
    client.check("CONFIG SET tls-only no", "+OK~");
    server.client().check("PING", "+PONG~");
}

#[test]
fn rewrite_writes_the_new_port() {
    let server = TestServer::with_file("timeout 3\n");
    let port = free_port();
    let mut client = server.client();
    client.check(&format!("CONFIG SET port {port} bind \"127.0.0.1 127.0.0.2\""), "+OK~");
    client.check("CONFIG REWRITE", "+OK~");
    let again = Config::from_file(&server.dir().join("kvarts.conf")).expect("it can be read");
    assert_eq!(again.int(Directive::Port), i64::from(port));
    assert_eq!(&*again.text(Directive::Bind), "127.0.0.1 127.0.0.2");
}

#[test]
fn in_a_transaction_and_often() {
    let server = TestServer::start();
    let mut client = server.client();
    let ports = [free_port(), free_port()];
    for round in 0..20 {
        let port = ports[round % 2];
        client.check("MULTI", "+OK~");
        client.check(&format!("CONFIG SET port {port}"), "+QUEUED~");
        client.check("EXEC", "*1~+OK~");
        Client::tcp(local(port)).check("PING", "+PONG~");
        assert!(!is_open(local(ports[(round + 1) % 2])));
    }
}

/// A server that began with an empty `bind` listens on its ports once an address is set.
#[test]
fn an_address_can_follow_none() {
    let dir = TempDir::new();
    let socket = dir.path().join("s.sock");
    let (port, read_only) = (free_port(), free_port());
    let server = TestServer::with(&[
        ("port", &port.to_string()),
        ("read-only-port", &read_only.to_string()),
        ("bind", ""),
        ("unixsocket", &socket.display().to_string()),
    ]);
    assert_eq!(server.handle().ports().main, 0);
    let mut client = Client::unix(&socket);
    client.check("CONFIG SET bind 127.0.0.1", "+OK~");
    Client::tcp(local(port)).check("PING", "+PONG~");
    Client::tcp(local(read_only)).check("PING", "+PONG~");
    client.check("CONFIG SET bind \"\"", "+OK~");
    assert!(!is_open(local(port)) && !is_open(local(read_only)));
}
