//! CONFIG, and what changes at once when it is set.

use crate::harness::*;
use kvarts::shared::clock::Clock;

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
    for number in 0..501 {
        client.value(&format!("EVAL 'return {number}' 0"));
    }
    assert_eq!(
        (info(&mut client, "keyspace_misses"), info(&mut client, "evicted_scripts")),
        ("10".into(), "1".into())
    );
    client.check("CONFIG RESETSTAT", "+OK~");
    assert_eq!(
        (info(&mut client, "keyspace_misses"), info(&mut client, "evicted_scripts")),
        ("0".into(), "0".into())
    );
    let text = client.value("INFO everything").text();
    assert!(!text.contains("cmdstat_get:") && !text.contains("errorstat_ERR"), "{text}");
}

#[test]
fn users_of_included_files_are_not_written_twice() {
    let dir = TempDir::new();
    let users = dir.path().join("users.conf");
    std::fs::write(&users, "user alice on nopass ~* +@all\nuser bob on >secret +get\n").expect("a file");
    let main = dir.path().join("main.conf");
    let folder = dir.path().display();
    let text = format!(
        "port 0\nbind 127.0.0.1\ndir {folder}\ninclude {}\nuser carol on nopass +ping\n",
        users.display()
    );
    std::fs::write(&main, text).expect("a file");
    let start = || {
        let config = kvarts::config::Config::from_file(&main).expect("a configuration");
        kvarts::start(config, Clock::manual(START_MS)).expect("the server starts")
    };
    let handle = start();
    let mut client = Client::tcp(local(handle.ports().main));
    client.check("ACL SETUSER carol +get", "+OK~");
    client.check("CONFIG REWRITE", "+OK~");
    let written = std::fs::read_to_string(&main).expect("a file");
    let named: Vec<&str> =
        written.lines().filter_map(|line| line.strip_prefix("user ")?.split(' ').next()).collect();
    assert_eq!(named, ["carol", "default"]);
    // What cannot be written is told, and nothing is written.
    client.check("ACL SETUSER bob +set", "+OK~");
    let error = "-ERR Rewriting config file: user 'bob' is given by an included file and has changed~";
    client.check("CONFIG REWRITE", error);
    client.check("ACL DELUSER bob", ":1~");
    client.check("CONFIG REWRITE", error);
    assert_eq!(std::fs::read_to_string(&main).expect("a file"), written);
    drop(handle);
    let handle = start();
    let mut client = Client::tcp(local(handle.ports().main));
    client.check("ACL USERS", "*4~$5~alice~$3~bob~$5~carol~$7~default~");
}
