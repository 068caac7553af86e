//! TLS: on the same port as plain connections, on a port of its own, and alone.

use std::path::PathBuf;

use crate::harness::*;

/// The authority that the server made for itself.
pub fn authority(server: &TestServer) -> PathBuf {
    server.dir().join("tls").join(kvarts::AUTHORITY_FILE)
}

/// Has the server make its certificate, which it does when the first client asks, and connects.
fn tls_client(server: &TestServer, port: u16, name: &str) -> Client {
    if !authority(server).exists() {
        let nobody = rustls::RootCertStore::empty();
        assert!(Client::tls_with(local(port), "localhost", nobody).is_err(), "trusted by nobody");
    }
    Client::tls(local(port), name, &authority(server)).expect("a handshake")
}

#[test]
fn one_port_speaks_both() {
    let server = TestServer::start();
    let port = server.address().port();
    let mut plain = server.client();
    plain.check("SET k v", "+OK~");
    assert!(!authority(&server).exists(), "no certificate before a client wants one");
    for name in ["localhost", "127.0.0.1", "::1"] {
        let mut client = tls_client(&server, port, name);
        client.check("GET k", "$1~v~");
    }
    let mut client = tls_client(&server, port, "localhost").resp3();
    client.check("GET none", "_~");
    // Large values cross many records.
    let value = "0123456789".repeat(200_000);
    assert_eq!(client.call(&["SET", "big", &value]), Value::Simple("OK".into()));
    assert!(client.call(&["GET", "big"]) == Value::Bulk(value.into_bytes()));
    let requests: Vec<u8> = (0..5000).flat_map(|_| encode(&["INCR", "n"])).collect();
    client.send(&requests);
    for number in 1..=5000 {
        assert_eq!(client.read(), Value::Int(number));
    }
    plain.check("GET n", "$4~5000~");
    plain.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    client.check("PUBLISH ch x", ":1~");
    plain.check_next("*3~$7~message~$2~ch~$1~x~");
}

#[test]
fn a_name_that_was_not_asked_for_is_not_in_the_certificate() {
    let server = TestServer::with(&[("tls-auto-names", "cache.example")]);
    let port = server.address().port();
    tls_client(&server, port, "cache.example").check("PING", "+PONG~");
    assert!(Client::tls(local(port), "other.example", &authority(&server)).is_err());
    server.client().check("CONFIG SET tls-auto-names \"cache.example other.example\"", "+OK~");
    tls_client(&server, port, "other.example").check("PING", "+PONG~");
}

#[test]
fn a_port_for_tls_only() {
    let tls_port = free_port();
    let server = TestServer::with(&[("port", &free_port().to_string()), ("tls-port", &tls_port.to_string())]);
    assert_eq!(server.handle().ports().tls, tls_port);
    tls_client(&server, tls_port, "localhost").check("PING", "+PONG~");
    let mut plain = Client::tcp(local(tls_port));
    plain.send(b"PING\r\n");
    assert!(show(&plain.read_to_end()).starts_with("-ERR this port speaks TLS only"));
    server.client().check("PING", "+PONG~");
    tls_client(&server, server.address().port(), "localhost").check("PING", "+PONG~");
}

#[test]
fn tls_only_refuses_plain_clients_in_words() {
    let read_only = free_port().to_string();
    let server = TestServer::with(&[("tls-only", "yes"), ("read-only-port", &read_only)]);
    for address in [server.address(), local(server.handle().ports().read_only)] {
        let mut plain = Client::tcp(address);
        plain.send(b"PING\r\n");
        assert_eq!(
            show(&plain.read_to_end()),
            "-ERR this port speaks TLS only: connect with TLS (redis-cli --tls, rediss://)~"
        );
        tls_client(&server, address.port(), "localhost").check("PING", "+PONG~");
    }
}

#[test]
fn tls_clients_are_told_tls_ports_and_the_name_they_called() {
    let (port, tls_port, read_only) = (free_port(), free_port(), free_port());
    let server = TestServer::with(&[
        ("cluster-enabled", "yes"),
        ("port", &port.to_string()),
        ("tls-port", &tls_port.to_string()),
        ("read-only-port", &read_only.to_string()),
    ]);
    let id = server.client().value("CLUSTER MYID").text();
    let mut plain = server.client();
    let slots = plain.raw("CLUSTER SLOTS");
    assert!(slots.starts_with(&format!("*1~*4~:0~:16383~*4~$9~127.0.0.1~:{port}~$40~{id}~*0~")), "{slots}");
    let mut client = tls_client(&server, tls_port, "localhost");
    let slots = client.raw("CLUSTER SLOTS");
    let expected =
        format!("*1~*4~:0~:16383~*4~$9~127.0.0.1~:{tls_port}~$40~{id}~*2~$8~hostname~$9~localhost~");
    assert!(slots.starts_with(&expected), "{slots}");
    let shards = client.value("CLUSTER SHARDS").items().remove(0);
    let node = shards.field("nodes").items().remove(0);
    assert_eq!(node.field("tls-port").int(), i64::from(tls_port));
    assert_eq!(node.field("hostname").text(), "localhost");
    let mut reader = tls_client(&server, read_only, "127.0.0.1");
    reader.check("GET foo", &format!("-MOVED 12182 127.0.0.1:{tls_port}~"));
    plain.check("CONFIG SET cluster-announce-tls-port 7443", "+OK~");
    reader.check("GET foo", "-MOVED 12182 127.0.0.1:7443~");
    plain.check("CONFIG SET cluster-announce-client-tls-port 8443", "+OK~");
    reader.check("GET foo", "-MOVED 12182 127.0.0.1:8443~");
    Client::tcp(local(read_only)).check("GET foo", &format!("-MOVED 12182 127.0.0.1:{port}~"));
}

#[test]
fn a_broken_handshake_costs_only_its_connection() {
    let server = TestServer::start();
    let mut broken = Client::tcp(server.address());
    broken.send(b"\x16\x03\x01\x00\x05garbage that is no hello");
    broken.read_to_end();
    let mut silent = Client::tcp(server.address());
    silent.send(b"\x16");
    server.client().check("PING", "+PONG~");
    tls_client(&server, server.address().port(), "localhost").check("PING", "+PONG~");
}

#[test]
fn an_own_certificate_that_cannot_be_read_is_told_at_start() {
    let pairs = [
        ("tls-cert-file", "/nowhere/cert.pem"),
        ("tls-key-file", "/nowhere/key.pem"),
        ("tls-auth-clients", "no"),
    ];
    let clock = kvarts::shared::clock::Clock::manual(START_MS);
    let error = TestServer::try_with(&pairs, clock, TempDir::new()).err().expect("no such file").to_string();
    assert!(error.contains("/nowhere/cert.pem"), "{error}");
}

#[test]
fn the_authority_outlives_the_server() {
    let dir = TempDir::new();
    let folder = dir.path().display().to_string();
    let first = TestServer::with(&[("dir", &folder)]);
    let nobody = rustls::RootCertStore::empty();
    assert!(Client::tls_with(first.address(), "localhost", nobody).is_err());
    let authority = dir.path().join("tls").join(kvarts::AUTHORITY_FILE);
    Client::tls(first.address(), "localhost", &authority).expect("a handshake").check("PING", "+PONG~");
    let before = std::fs::read(&authority).expect("a file");
    first.stop();
    let second = TestServer::with(&[("dir", &folder)]);
    Client::tls(second.address(), "localhost", &authority).expect("a handshake").check("PING", "+PONG~");
    assert_eq!(std::fs::read(&authority).expect("a file"), before);
}

#[test]
fn a_certificate_names_the_user() {
    let dir = TempDir::new();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().expect("a key"))
        .expect("an authority");
    let issue = |host: &str, name: Option<&str>, uris: &[&str]| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = name {
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
        }
        let uris = uris.iter().map(|uri| rcgen::SanType::URI((*uri).try_into().expect("ASCII")));
        params.subject_alt_names.extend(uris);
        (params.signed_by(&key, &authority).expect("signed"), key)
    };
    let (certificate, key) = issue("localhost", None, &[]);
    for (name, content) in
        [("ca.crt", authority.pem()), ("server.crt", certificate.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(dir.path().join(name), content).expect("a file");
    }
    let server = TestServer::try_with(
        &[
            ("tls-cert-file", "server.crt"),
            ("tls-key-file", "server.key"),
            ("tls-ca-cert-file", "ca.crt"),
            ("tls-auth-clients", "optional"),
            ("tls-auth-clients-user", "CN"),
        ],
        kvarts::shared::clock::Clock::manual(START_MS),
        dir,
    )
    .expect("the server starts");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let connect = |name: Option<&str>, uris: &[&str]| {
        let (certificate, key) = issue("client", name, uris);
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Client::tls_showing(server.address(), roots.clone(), certificate.der().clone(), key)
            .expect("a handshake")
    };
    let mut admin = server.client();
    admin.check("ACL SETUSER alice on >pw +@all", "+OK~");
    admin.check("ACL SETUSER urn:carol on +@all", "+OK~");
    admin.check("ACL SETUSER gone off +@all", "+OK~");
    let mut alice = connect(Some("alice"), &[]);
    alice.check("ACL WHOAMI", "$5~alice~");
    alice.check("RESET", "+RESET~");
    alice.check("ACL WHOAMI", "$7~default~");
    for name in [Some("nobody"), Some("gone"), None] {
        connect(name, &["urn:carol"]).check("ACL WHOAMI", "$7~default~");
    }
    admin.check("CONFIG SET tls-auth-clients-user URI", "+OK~");
    connect(Some("alice"), &["urn:bob", "urn:carol"]).check("ACL WHOAMI", "$9~urn:carol~");
    connect(Some("alice"), &["urn:bob", "urn:dave"]).check("ACL WHOAMI", "$7~default~");
    Client::tls_with(server.address(), "localhost", roots.clone())
        .expect("no certificate")
        .check("ACL WHOAMI", "$7~default~");
    let log: Vec<[String; 4]> = admin
        .value("ACL LOG")
        .items()
        .iter()
        .map(|entry| ["reason", "context", "object", "username"].map(|name| entry.field(name).text()))
        .collect();
    assert_eq!(
        log,
        [
            ["tls-cert", "toplevel", "", "urn:dave"],
            ["tls-cert", "toplevel", "", "gone"],
            ["tls-cert", "toplevel", "", "nobody"],
        ]
    );
    assert_eq!(info(&mut admin, "acl_access_denied_tls_cert"), "3");
}

/// Settings that cannot work were taken, and every later TLS client was reset without a word in the log.
#[test]
fn settings_that_cannot_work_are_refused() {
    let server = TestServer::start();
    let mut client = server.client();
    let other = server.dir().join("other.pem");
    std::fs::write(&other, "no certificate").expect("a file");
    let other = other.display().to_string();
    for pairs in [
        "tls-cert-file /etc/passwd tls-key-file /etc/passwd".to_owned(),
        "tls-cert-file /nowhere/a.pem tls-key-file /nowhere/b.pem".to_owned(),
        format!("tls-cert-file {other} tls-key-file {other}"),
        "tls-cert-file /etc/passwd".to_owned(),
        "tls-protocols TLSv9".to_owned(),
        "tls-ciphers bogus".to_owned(),
        "tls-ciphersuites bogus".to_owned(),
        "tls-dh-params-file /nowhere/dh.pem".to_owned(),
        format!("tls-dh-params-file {other}"),
        "tls-ca-cert-file /etc/passwd".to_owned(),
        "tls-ca-cert-dir /nowhere".to_owned(),
        "tls-auto-names \"not a name\\\"\"".to_owned(),
    ] {
        let reply = client.raw(&format!("CONFIG SET {pairs}"));
        let first = pairs.split(' ').next().expect("a word");
        let expected = format!(
            "-ERR CONFIG SET failed (possibly related to argument '{first}') - Unable to update TLS configuration. Check server logs.~"
        );
        assert_eq!(reply, expected, "{pairs}");
    }
    tls_client(&server, server.address().port(), "localhost").check("PING", "+PONG~");
    client.check("CONFIG SET tls-protocols TLSv1.3", "+OK~");
    tls_client(&server, server.address().port(), "localhost").check("PING", "+PONG~");
}

/// CONFIG SET with the path that there is reads the files again: at once, and it says whether they can be used,
/// which it once did not.
#[test]
fn the_same_path_is_read_again() {
    let dir = TempDir::new();
    let path = |name: &str| dir.path().join(name);
    let write = |host: &str| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec![host.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(path("server.crt"), certificate.pem()).expect("a file");
        std::fs::write(path("server.key"), key.serialize_pem()).expect("a file");
        std::fs::write(path("trusted.crt"), certificate.pem()).expect("a file");
    };
    write("one.example");
    let [certificate, key] = ["server.crt", "server.key"].map(|name| path(name).display().to_string());
    let server = TestServer::with(&[
        ("tls-cert-file", &certificate),
        ("tls-key-file", &key),
        ("tls-auth-clients", "no"),
    ]);
    let call = |host: &str| Client::tls(server.address(), host, &path("trusted.crt"));
    let mut before = call("one.example").expect("a handshake");
    write("two.example");
    let mut admin = server.client();
    let set = format!("CONFIG SET tls-cert-file {certificate}");
    admin.check(&set, "+OK~");
    call("two.example").expect("a handshake with the new one").check("PING", "+PONG~");
    assert!(call("one.example").is_err());
    std::fs::write(path("server.crt"), "nothing of use").expect("a file");
    let refused = "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - Unable to update TLS configuration. Check server logs.~";
    admin.check(&set, refused);
    admin.check(&format!("CONFIG SET maxmemory 100mb tls-cert-file {certificate}"), refused);
    admin.check("CONFIG GET maxmemory", "*2~$9~maxmemory~$1~0~");
    call("two.example").expect("what was in use stays").check("PING", "+PONG~");
    before.check("PING", "+PONG~");
}

/// The directives of cipher suites were taken and had no effect.
#[test]
fn cipher_suites_are_those_of_the_configuration() {
    let server = TestServer::start();
    let mut client = server.client();
    let port = server.address().port();
    for (settings, suite) in [
        ("tls-ciphersuites TLS_AES_128_GCM_SHA256", rustls::CipherSuite::TLS13_AES_128_GCM_SHA256),
        (
            "tls-ciphersuites TLS_CHACHA20_POLY1305_SHA256",
            rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ),
        (
            "tls-protocols TLSv1.2 tls-ciphers ECDHE+AES128",
            rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ),
    ] {
        client.check(&format!("CONFIG SET {settings}"), "+OK~");
        let mut other = tls_client(&server, port, "localhost");
        other.check("PING", "+PONG~");
        assert_eq!(other.cipher, Some(suite), "{settings}");
    }
}

/// The same at the start, though no file is named.
#[test]
fn protocols_that_do_not_exist_are_told_at_the_start() {
    let clock = kvarts::shared::clock::Clock::manual(START_MS);
    let started = TestServer::try_with(&[("tls-protocols", "TLSv9")], clock, TempDir::new());
    let error = started.err().expect("no such version").to_string();
    assert!(error.contains("TLSv9"), "{error}");
}

/// A certificate for this machine and its key, PEM, and the authority that vouches for it, written into a
/// folder as `server.crt`, `server.key` and `ca.crt`.
pub fn certificate_files(dir: &TempDir) -> [String; 3] {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().expect("a key"))
        .expect("an authority");
    let key = rcgen::KeyPair::generate().expect("a key");
    // Of another name than the one that is called: links compare none.
    let mut params = rcgen::CertificateParams::new(vec!["somewhere.example".to_owned()]).expect("a name");
    params.distinguished_name = rcgen::DistinguishedName::new();
    let certificate = params.signed_by(&key, &authority).expect("signed");
    let texts = [certificate.pem(), key.serialize_pem(), authority.pem()];
    let names = ["server.crt", "server.key", "ca.crt"];
    std::array::from_fn(|at| {
        let path = dir.path().join(names[at]);
        std::fs::write(&path, &texts[at]).expect("written");
        path.display().to_string()
    })
}

/// With `tls-replication` the link to a primary is encrypted, and the primary has to be vouched for.
#[test]
fn links_to_a_primary_are_encrypted() {
    let primary = TestServer::with(&[("tls-only", "yes"), ("repl-diskless-sync-delay", "0")]);
    let mut client = tls_client(&primary, primary.address().port(), "localhost");
    client.check("SET k v", "+OK~");
    let vouches = authority(&primary).display().to_string();
    let replicaof = format!("127.0.0.1 {}", primary.address().port());
    let pairs = [("replicaof", &*replicaof), ("tls-replication", "yes"), ("tls-ca-cert-file", &*vouches)];
    let replica = TestServer::with(&pairs);
    eventually("the link is up", || replica.info("master_link_status") == "up");
    let value = "0123456789".repeat(200_000);
    client.call(&["SET", "big", &value]);
    client.check("WAIT 1 20000", ":1~");
    replica.client().check("GET k", "$1~v~");
    replica.client().check("STRLEN big", ":2000000~");
    // One that this server does not know: a copy of whoever answers at that address is not taken.
    let stranger = TestServer::with(&pairs[1..2]);
    stranger.client().check("SET k mine", "+OK~");
    stranger.client().check(&format!("REPLICAOF {replicaof}"), "+OK~");
    eventually("it tries", || stranger.info("master_link_status") == "down");
    std::thread::sleep(std::time::Duration::from_millis(200));
    stranger.client().check("GET k", "$4~mine~");
    // Plain, where the primary wants TLS.
    replica.client().check("CONFIG SET tls-replication no", "+OK~");
    client.raw("CLIENT KILL TYPE replica");
    eventually("it tries", || replica.info("master_link_status") == "down");
    replica.client().check("CONFIG SET tls-replication yes", "+OK~");
    eventually("the link is up again", || replica.info("master_link_status") == "up");
}

/// A process that ends with the test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Between this server and Valkey, both ways, with certificates that each shows the other.
#[test]
fn links_with_valkey_are_encrypted() {
    let Some(program) = crate::peer::tool_of_peers("valkey-server") else {
        return eprintln!("skipped: no valkey-server is installed");
    };
    let dir = TempDir::new();
    let [certificate, key, authority] = certificate_files(&dir);
    let (port, plain) = (free_port(), free_port());
    let valkey = std::process::Command::new(program)
        .args(["--port", &plain.to_string(), "--bind", "127.0.0.1", "--save", "", "--tls-replication", "yes"])
        .args(["--tls-port", &port.to_string(), "--tls-auth-clients", "yes"])
        .args(["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &authority])
        .args(["--repl-diskless-sync-delay", "0", "--dir"])
        .arg(dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let _valkey = Ends(valkey);
    eventually("it listens", || std::net::TcpStream::connect(local(plain)).is_ok());
    let replicaof = format!("127.0.0.1 {port}");
    let server = TestServer::with(&[
        ("tls-replication", "yes"),
        ("tls-cert-file", &certificate),
        ("tls-key-file", &key),
        ("tls-ca-cert-file", &authority),
        ("repl-diskless-sync-delay", "0"),
    ]);
    server.client().check(&format!("REPLICAOF {replicaof}"), "+OK~");
    eventually("the link is up", || server.info("master_link_status") == "up");
    let id = server.info("master_replid");
    server.client().check("REPLICAOF NO ONE", "+OK~");
    server.client().check("SET k v", "+OK~");
    assert_eq!(server.info("master_replid2"), id);
    // And the other way round.
    let mut theirs = Client::tcp(local(plain));
    theirs.check(&format!("REPLICAOF 127.0.0.1 {}", server.address().port()), "+OK~");
    eventually("it follows", || server.info("connected_slaves") == "1");
    server.client().check("WAIT 1 20000", ":1~");
    theirs.check("GET k", "$1~v~");
}

/// `kvarts tls export` in this folder.
fn export(folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kvarts"));
    let output =
        command.args(["tls", "export"]).args(arguments).current_dir(folder).output().expect("it runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn what_people_need_is_exported() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let (status, text) = export(dir.path(), &["--dir", "certs", "--tls-auto-names", "cache.example"]);
    let files = "certs/ca.crt\ncerts/ca.p12\ncerts/server.crt\ncerts/server.key\n";
    let tls = dir.path().canonicalize().expect("there").join("tls");
    assert_eq!((status, text), (Some(0), format!("{files}new authority made in {}\n", tls.display())));
    // The second time it is no new one, by other names neither.
    for name in ["cache.example", "other.example", "cache.example"] {
        let flags = ["--dir", "certs", "--tls-auto-names", name];
        assert_eq!(export(dir.path(), &flags), (Some(0), files.to_owned()), "{name}");
    }
    let path = |name: &str| dir.path().join("certs").join(name);
    let mode = |name: &str| std::fs::metadata(path(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("server.key"), mode("ca.crt")), (0o600, 0o644));
    let key = std::fs::read_to_string(path("server.key")).expect("text");
    let certificate = std::fs::read_to_string(path("server.crt")).expect("text");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----") && !key.contains("CERTIFICATE"), "{key}");
    assert!(
        certificate.starts_with("-----BEGIN CERTIFICATE-----") && !certificate.contains("KEY"),
        "{certificate}"
    );
    // The server in that folder has the same authority and certificate.
    let authority = path("ca.crt");
    let pairs = [("tls-auto-names", "cache.example")];
    let clock = kvarts::shared::clock::Clock::manual(START_MS);
    let copy = std::fs::read(dir.path().join("tls/server.pem")).expect("there");
    let server = TestServer::try_with(&pairs, clock, dir).expect("it starts");
    Client::tls(local(server.address().port()), "cache.example", &authority)
        .expect("trusted")
        .check("PING", "+PONG~");
    assert_eq!(std::fs::read(server.dir().join("tls/server.pem")).expect("there"), copy);
    // Another server shows what was exported.
    let exported = |name: &str| server.dir().join("certs").join(name).display().to_string();
    let (certificate, key) = (exported("server.crt"), exported("server.key"));
    let own = [("tls-cert-file", &*certificate), ("tls-key-file", &*key), ("tls-auth-clients", "no")];
    let other = TestServer::with(&own);
    Client::tls(local(other.address().port()), "cache.example", &authority)
        .expect("trusted")
        .check("PING", "+PONG~");
    // And its export is of the same files; what is to be trusted is the last of the chain.
    let folder = TempDir::new();
    let flags =
        ["--dir", "out", "--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    assert_eq!(export(folder.path(), &flags).0, Some(0));
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).expect("text");
    assert_eq!(read(folder.path().join("out/server.key")), read(key.into()));
    let no_blanks = |text: String| text.split_ascii_whitespace().collect::<String>();
    assert_eq!(no_blanks(read(folder.path().join("out/ca.crt"))), no_blanks(read(certificate.into())));
    // None was made for it, as it has a certificate.
    assert!(!folder.path().join("tls").exists());
    // One that is made is told of even where the files have no place.
    std::fs::write(folder.path().join("file"), "").expect("written");
    let (status, text) = export(folder.path(), &["--dir", "file"]);
    let tls = folder.path().canonicalize().expect("there").join("tls");
    let last = format!("\nnew authority made in {}\n", tls.display());
    assert!(status == Some(1) && text.ends_with(&last), "{status:?} {text}");
    for (arguments, status) in [
        (&[][..], 2),
        (&["--dir"], 2),
        (&["--dir", "x", "--nonsense", "1"], 2),
        (&["--dir", "x", "--tls-cert-file", "/nowhere"], 1),
        (&["--dir", "x", "--server-dir", "/nowhere"], 2),
    ] {
        assert_eq!(export(folder.path(), arguments).0, Some(status), "{arguments:?}");
    }
}

/// A client that closes its side without the goodbye of TLS gets its replies all the same, as one without TLS.
#[test]
fn a_client_that_closes_its_side_without_a_word_gets_its_replies() {
    const REQUESTS: usize = 5000;
    let server = TestServer::start();
    let mut client = tls_client(&server, server.address().port(), "localhost");
    client.send(&b"INCR n\r\n".repeat(REQUESTS));
    client.finish();
    for number in 1..=REQUESTS {
        client.check_next(&format!(":{number}~"));
    }
    client.expect_closed();
}
