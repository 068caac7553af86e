//! CONFIG, and what changes at once when it is set.

use crate::harness::*;

#[test]
fn several_are_set_together_or_not_at_all() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("CONFIG SET timeout 5 maxclients 100", "+OK~");
    client.check("CONFIG GET timeout", "*2~$7~timeout~$1~5~");
    assert!(client.raw("CONFIG SET timeout 6 maxclients x").starts_with("-ERR CONFIG SET failed"));
    client.check("CONFIG GET timeout", "*2~$7~timeout~$1~5~");
    let both = client.value("CONFIG GET timeout maxclients").texts();
    assert_eq!(both.len(), 4);
    assert!(client.value("CONFIG GET *").items().len() > 200);
    assert_eq!(client.value("CONFIG GET tls-*").items().len() % 2, 0);
}

#[test]
fn rewrite_keeps_comments_and_is_read_again() {
    let server = TestServer::with_file("# mine\ntimeout 3\nmaxmemory-policy allkeys-lru\n");
    let path = server.dir().join("kvarts.conf");
    let mut client = server.client();
    client.check("CONFIG GET timeout", "*2~$7~timeout~$1~3~");
    client.check("CONFIG SET timeout 44", "+OK~");
    client.check("CONFIG SET notify-keyspace-events Ex", "+OK~");
    client.check("CONFIG REWRITE", "+OK~");
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains("# mine\n") && text.contains("timeout 44\n"), "{text}");
    let again = kvarts::config::Config::from_file(&path).expect("it can be read");
    assert_eq!(again.int(kvarts::config::Directive::Timeout), 44);
    assert_eq!(again.show(kvarts::config::Directive::NotifyKeyspaceEvents), b"xE");
    assert_eq!(info(&mut client, "config_file"), path.canonicalize().expect("a path").display().to_string());
}

#[test]
fn the_access_clock_follows_the_policy() {
    let server = TestServer::with(&[("maxmemory-policy", "allkeys-lfu")]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    let before = client.value("OBJECT FREQ k").int();
    for _ in 0..200 {
        client.value("GET k");
    }
    let after = client.value("OBJECT FREQ k").int();
    assert!(before < after && after < 60, "{before} {after}");
    assert!(client.raw("OBJECT IDLETIME k").starts_with("-ERR An LFU maxmemory policy is selected"));
    server.advance_ms(600_000);
    assert!(client.value("OBJECT FREQ k").int() < after);
    client.check("CONFIG SET maxmemory-policy allkeys-lru", "+OK~");
    client.check("SET k v", "+OK~");
    client.check("OBJECT IDLETIME k", ":0~");
    assert!(client.raw("OBJECT FREQ k").starts_with("-ERR An LFU maxmemory policy is not selected"));
}

#[test]
fn resetstat_begins_anew() {
    let server = TestServer::start();
    let mut client = server.client();
    for _ in 0..10 {
        client.value("GET k");
    }
    client.value("BLAH");
    assert_eq!(info(&mut client, "keyspace_misses"), "10");
    client.check("CONFIG RESETSTAT", "+OK~");
    assert_eq!(info(&mut client, "keyspace_misses"), "0");
    let text = client.value("INFO everything").text();
    assert!(!text.contains("cmdstat_get:") && !text.contains("errorstat_ERR"), "{text}");
}
