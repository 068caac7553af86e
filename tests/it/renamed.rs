//! `rename-command`: commands that clients call by other names, or not at all.

use crate::harness::*;

const UNKNOWN: &str = "-ERR unknown command 'X', with args beginning with: ";

fn unknown(name: &str) -> String {
    UNKNOWN.replace('X', name)
}

/// A command has its new name alone, for clients, in transactions and in scripts, in any case and behind others.
#[test]
fn commands_are_called_by_their_new_names() {
    let server = TestServer::with_file(
        "rename-command PING Other\nrename-command other VPING\nrename-command FLUSHALL \"\"\n\
         rename-command SET a-name-of-more-than-eight-letters\nrename-command CONFIG vconfig\n",
    );
    for (mut client, map) in [(server.client(), "*2"), (server.client3(), "%1")] {
        client.check("vping", "+PONG~");
        for name in ["PING", "OTHER", "FLUSHALL", "SET", "config"] {
            assert_eq!(client.raw(&format!("{name} a b")), unknown(name) + "'a' 'b' ~");
        }
        client.check("A-NAME-OF-MORE-THAN-EIGHT-letters k v", "+OK~");
        client.check("VCONFIG GET timeout", &format!("{map}~$7~timeout~$1~0~"));
        client.check("VCONFIG GET", "-ERR wrong number of arguments for 'config|get' command~");
        client.check("MULTI", "+OK~");
        client.check("FLUSHALL", &(unknown("FLUSHALL") + "~"));
        client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
        let new = "EVAL \"return redis.call('a-name-of-more-than-eight-letters', KEYS[1], 'w')\" 1 k";
        client.check(new, "+OK~");
        let old = client.raw("EVAL \"return redis.call('set', KEYS[1], 'w')\" 1 k");
        assert!(old.starts_with("-ERR Unknown command called from script"), "{old}");
        client.check("GET k", "$1~w~");
        client.check("COMMAND GETKEYS a-name-of-more-than-eight-letters k v", "*1~$1~k~");
    }
    let mut client = server.client();
    client.send(&[&encode(&["vping"])[..], &encode(&["PING"]), &encode(&["vping"])].concat());
    client.check_next("+PONG~");
    client.check_next(&(unknown("PING") + "~"));
    client.check_next("+PONG~");
}

/// Access rules go by the names that commands have by themselves, and COMMAND leaves out what was taken away.
#[test]
fn rules_have_the_old_names() {
    let server = TestServer::with_file("rename-command INCR vincr\nrename-command PING \"\"\n");
    let mut client = server.client();
    client.check("ACL SETUSER new on nopass ~* +acl -ping +incr", "+OK~");
    client.check(
        "ACL SETUSER new +vincr",
        "-ERR Error in ACL SETUSER modifier '+vincr': Unknown command or category name in ACL~",
    );
    let all = client.value("COMMAND COUNT").int();
    assert_eq!(client.value("COMMAND").items().len() as i64, all);
    let names = client.value("COMMAND LIST").texts();
    assert!(names.iter().any(|name| name == "incr") && names.iter().all(|name| name != "ping"));
    client.check("COMMAND INFO incr ping", "*2~$-1~$-1~");
    assert_eq!(
        client.value("COMMAND INFO vincr").items()[0].items()[0],
        crate::value::Value::Bulk(b"incr".to_vec())
    );
    client.check("AUTH new any", "+OK~");
    client.check("VINCR counter", ":1~");
    client.check("ECHO x", "-NOPERM User new has no permissions to run the 'echo' command~");
}

/// What this server writes into its files by itself has its own names, and can be read again whatever they are
/// renamed to.
#[test]
fn files_are_read_with_both_names() {
    let lines = "appendonly yes\nenable-debug-command yes\nrename-command SET vset\nrename-command PEXPIREAT \"\"\nrename-command MULTI vm\n";
    let server = TestServer::with_file(lines);
    let mut client = server.client();
    client.check("VSET a 1", "+OK~");
    client.check("EXPIRE a 1000", ":1~");
    client.check("VM", "+OK~");
    client.check("VSET b 2 EX 1000", "+QUEUED~");
    client.check("INCR a", "+QUEUED~");
    client.check("EXEC", "*2~+OK~:2~");
    client.check("DEBUG LOADAOF", "+OK~");
    client.check("MGET a b", "*2~$1~2~$1~2~");
    client.check("TTL a", ":1000~");
    client.check("TTL b", ":1000~");
}

/// Lines that cannot be followed keep the server from starting.
#[test]
fn lines_that_cannot_be_followed_are_named() {
    for (lines, error) in [
        ("rename-command nothing other", "rename-command nothing: No such command in rename-command"),
        ("rename-command get set", "rename-command get: Target command name already exists"),
        (
            "rename-command get \"\"\nrename-command get x",
            "rename-command get: No such command in rename-command",
        ),
    ] {
        let dir = TempDir::new();
        let path = dir.path().join("kvarts.conf");
        std::fs::write(&path, format!("port 0\n{lines}\n")).expect("it can be written");
        let config = kvarts::config::Config::from_file(&path).expect("it can be read");
        let result = kvarts::start(config, kvarts::shared::clock::Clock::system());
        assert_eq!(result.err().expect("it does not start").to_string(), error);
    }
}
