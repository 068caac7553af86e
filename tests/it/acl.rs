//! Users: who was refused what, users in files, and connections from elsewhere. The tables of rules and
//! checks stand in acl_rules.rs and acl_checks.rs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use kvarts::config::Config;
use kvarts::shared::clock::Clock;

use crate::harness::*;

/// Has several clients speak with a server in turn.
///
/// A line is `command => reply` or `name: command => reply`, each name a client of its own; `~` stands for a
/// line end, and `*` alone for any reply but an error. A command that ends in `=wait` gets no reply until
/// later; `=next` is the next reply, and `=closed` the end of the connection.
///
/// With `KVARTS_TABLE_PEER` set to the address of another server the same is said to that, once its users are
/// gone. A line that begins with `!` holds only here.
#[track_caller]
pub fn conversation(text: &str) {
    let server = TestServer::start();
    let mut wrong = Vec::new();
    speak(server.address(), text, true, &mut wrong);
    if let Some(peer) = std::env::var_os("KVARTS_TABLE_PEER") {
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let address: SocketAddr = peer.to_string_lossy().parse().expect("KVARTS_TABLE_PEER is host:port");
        let mut client = Client::tcp(address);
        for user in client.value("ACL USERS").items().iter().map(Value::text).filter(|user| user != "default")
        {
            client.call(&[b"ACL".as_slice(), b"DELUSER", user.as_bytes()]);
        }
        client.check("ACL SETUSER default reset on nopass ~* &* +@all", "+OK~");
        client.check("CONFIG SET requirepass \"\"", "+OK~");
        for line in ["ACL LOG RESET", "FUNCTION FLUSH", "FLUSHALL"] {
            client.check(line, "+OK~");
        }
        speak(address, text, false, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn speak(address: SocketAddr, text: &str, ours: bool, wrong: &mut Vec<String>) {
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    let mut control = Client::tcp(address);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (line, holds) = line.strip_prefix('!').map_or((line, true), |rest| (rest, ours));
        let (name, line) = match line.split_once(": ") {
            Some((name, rest)) if !name.contains(' ') => (name, rest),
            _ => ("", line),
        };
        let client = clients.entry(name).or_insert_with(|| Client::tcp(address));
        if line == "=closed" {
            client.expect_closed();
            clients.remove(name);
            continue;
        }
        if let Some(command) = line.strip_suffix("=wait") {
            client.send_command(command);
            eventually("the client waits", || info(&mut control, "blocked_clients") == "1");
            continue;
        }
        let (command, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("no reply in {line:?}"));
        let reply = if command == "=next" { show(&client.read_raw()) } else { client.raw(command) };
        let right = if expected == "*" { !reply.starts_with('-') } else { reply == expected };
        if holds && !right {
            let who = if ours { "here" } else { "peer" };
            wrong.push(format!("{who}: {name}: {command}\n   expected {expected}\n   reply    {reply}"));
        }
    }
}

/// The entries of ACL LOG as pairs of field and text, without what depends on the connection.
fn log(client: &mut Client) -> Vec<Vec<String>> {
    let entries = client.value("ACL LOG 100");
    let shown = |entry: &Value| {
        let fields = entry.items();
        let pairs = fields.chunks_exact(2).map(|pair| (pair[0].text(), pair[1].text()));
        pairs
            .filter(|(name, _)| name != "client-info")
            .map(|(name, value)| format!("{name} {value}"))
            .collect()
    };
    entries.items().iter().map(shown).collect()
}

fn field(entry: &[String], name: &str) -> String {
    let found = entry.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name} in {entry:?}")).to_owned()
}

#[test]
fn refusals_are_logged() {
    let server = TestServer::start();
    let (mut admin, mut client) = (server.client(), server.client());
    admin.check("ACL SETUSER a on >pw ~k &c +get +multi +exec +eval +publish db=0", "+OK~");
    client.check("AUTH a pw", "+OK~");
    client.check("CLIENT ID", "-NOPERM User a has no permissions to run the 'client|id' command~");
    assert_eq!(
        log(&mut admin),
        [[
            "count 1",
            "reason command",
            "context toplevel",
            "object client|id",
            "username a",
            "age-seconds 0",
            "entry-id 0",
            "timestamp-created 1700000000000",
            "timestamp-last-updated 1700000000000",
        ]]
    );
    server.advance_ms(1500);
    client.raw("CLIENT ID");
    server.advance_ms(250);
    let entries = log(&mut admin);
    assert_eq!(entries.len(), 1);
    assert_eq!(field(&entries[0], "count"), "2");
    assert_eq!(field(&entries[0], "age-seconds"), "0.25");
    assert_eq!(field(&entries[0], "timestamp-created"), "1700000000000");
    assert_eq!(field(&entries[0], "timestamp-last-updated"), "1700000001500");

    admin.check("ACL LOG RESET", "+OK~");
    client.check("GET x", "-NOPERM No permissions to access a key~");
    client.check("PUBLISH x m", "-NOPERM No permissions to access a channel~");
    client.check("MULTI", "+OK~");
    client.check("GET x", "-NOPERM No permissions to access a key~");
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
    client.raw("EVAL \"return redis.call('set','k','v')\" 0");
    client.check("AUTH a wrong", "-WRONGPASS invalid username-password pair or user is disabled.~");
    client.check(
        "hello 2 AUTH nobody wrong",
        "-WRONGPASS invalid username-password pair or user is disabled.~",
    );
    client.check("MULTI", "+OK~");
    client.check("GET k", "+QUEUED~");
    admin.check("ACL SETUSER a -get db=1", "+OK~");
    assert!(client.raw("EXEC").starts_with("*1~-NOPERM ACLs rules changed between"));
    admin.check("ACL SETUSER a +get", "+OK~");
    client.check("GET k", "-NOPERM No permissions to access database~");
    let shown: Vec<[String; 4]> = log(&mut admin)
        .iter()
        .map(|entry| ["reason", "context", "object", "username"].map(|name| field(entry, name)))
        .collect();
    assert_eq!(
        shown,
        [
            ["database", "toplevel", "get", "a"],
            ["database", "multi", "get", "a"],
            ["auth", "toplevel", "hello", "nobody"],
            ["auth", "toplevel", "AUTH", "a"],
            ["command", "lua", "set", "a"],
            ["key", "multi", "x", "a"],
            ["channel", "toplevel", "x", "a"],
            ["key", "toplevel", "x", "a"],
        ]
    );
    for (name, count) in [("cmd", "3"), ("key", "2"), ("channel", "1"), ("auth", "2"), ("db", "2")] {
        assert_eq!(info(&mut admin, &format!("acl_access_denied_{name}")), count, "{name}");
    }
    let entries = admin.value("ACL LOG 1");
    let client_info = entries.items()[0].items()[13].text();
    assert!(client_info.contains("cmd=get user=a "), "{client_info}");
    assert_eq!(admin.value("ACL LOG 2").items().len(), 2);
    admin.check("CONFIG SET acllog-max-len 3", "+OK~");
    assert_eq!(log(&mut admin).len(), 8);
    client.raw("GET k");
    assert_eq!(log(&mut admin).len(), 3);
    admin.check("CONFIG SET acllog-max-len 0", "+OK~");
    client.raw("GET k");
    assert_eq!(log(&mut admin).len(), 0);
}

#[test]
fn a_refused_blocked_command_counts_as_rejected() {
    let server = TestServer::start();
    let (mut admin, mut client) = (server.client(), server.client());
    admin.check("ACL SETUSER a on nopass ~* +@all", "+OK~");
    client.check("AUTH a x", "+OK~");
    client.send_command("BLPOP l 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    admin.check("ACL SETUSER a resetkeys", "+OK~");
    admin.check("LPUSH l x", ":1~");
    client.check_next("-NOPERM No permissions to access a key~");
    let stats = admin.value("INFO commandstats").text();
    let line = stats.lines().find(|line| line.starts_with("cmdstat_blpop")).expect("a line");
    assert!(line.contains("calls=0,usec=0") && line.ends_with("rejected_calls=1,failed_calls=0"), "{line}");
    admin.check("LLEN l", ":1~");
}

#[test]
fn users_in_resp3() {
    let server = TestServer::start();
    let mut client = server.client3();
    client.check("ACL SETUSER a on nopass (+get db=1)", "+OK~");
    client.check(
        "ACL GETUSER a",
        "%7~$5~flags~~2~$2~on~$6~nopass~$9~passwords~*0~$8~commands~$5~-@all~$4~keys~$0~~$8~channels~$0~~$9~databases~$6~alldbs~$9~selectors~*1~%4~$8~commands~$10~-@all +get~$4~keys~$0~~$8~channels~$0~~$9~databases~$4~db=1~",
    );
    client.check("ACL GETUSER nobody", "_~");
    client.check("ACL LOG", "*0~");
    client.check(
        "HELLO 3 AUTH a wrong AUTH nobody x",
        "-WRONGPASS invalid username-password pair or user is disabled.~",
    );
    let entries = client.value("ACL LOG");
    let Value::Map(pairs) = &entries.items()[0] else { panic!("{entries:?}") };
    assert_eq!(pairs.len(), 10);
    assert!(matches!(pairs[5].1, Value::Double(_)), "{entries:?}");
}

#[test]
fn the_user_is_told_in_lists_of_clients() {
    let server = TestServer::start();
    let (mut admin, mut client) = (server.client(), server.client());
    admin.check("ACL SETUSER a on nopass +@all", "+OK~");
    client.check("AUTH a x", "+OK~");
    assert!(client.value("CLIENT INFO").text().contains(" user=a "));
    let text = admin.value("CLIENT LIST USER a").text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(admin.value("CLIENT LIST NOT-USER a").text().lines().count(), 1);
    client.check("RESET", "+RESET~");
    assert_eq!(admin.value("CLIENT LIST USER default").text().lines().count(), 2);
}

#[test]
fn no_password_is_shown() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut seen = String::new();
    for line in [
        "ACL SETUSER a on >hunter2",
        "ACL LIST",
        "ACL GETUSER a",
        "AUTH a hunter2x",
        "ACL LOG",
        "ACL SETUSER a <hunter2x",
        "ACL SETUSER a (>hunter2)",
        "ACL SETUSER a (+get >hunter2",
        "CLIENT LIST",
    ] {
        seen += &client.raw(line);
    }
    assert!(seen.contains("'<***'") && seen.contains("'(>***)'"), "{seen}");
    assert!(!seen.contains("hunter2"), "{seen}");
}

/// A wrong password waits longer and longer, for a user that is there and for one that is not; the right one
/// never does, though the same address has guessed. (The waits' lengths are the unit tests' matter; here the
/// order of answers tells.)
#[test]
fn guessing_is_slowed_and_knowing_is_not() {
    let server = TestServer::start();
    let mut admin = server.client();
    admin.check("ACL SETUSER alice on >right", "+OK~");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.~";
    for name in ["alice", "nobody"] {
        let mut guesser = server.client();
        for _ in 0..10 {
            guesser.check(&format!("AUTH {name} guess"), wrong);
        }
    }
    let mut guessers: Vec<Client> = ["alice", "nobody"]
        .map(|name| {
            let mut guesser = server.client();
            guesser.send_command(&format!("AUTH {name} guess"));
            guesser.send_command("PING");
            guesser
        })
        .into();
    eventually("both are held up", || {
        let list = admin.value("CLIENT LIST").text();
        list.lines().filter(|line| line.contains("cmd=auth") && line.contains("flags=b")).count() == 2
    });
    // Both would be let go by now if they were held by name: ten wrong ones of each name are free.
    server.client().check("AUTH alice right", "+OK~");
    for guesser in &mut guessers {
        guesser.check_next(wrong);
    }
    let acl = &server.handle().server().acl;
    let address = Some(admin.address().ip());
    assert_eq!(acl.guesses.lock().add(address, START_MS), 1000, "the address counts, not the name");
    assert_eq!(acl.guesses.lock().add(address, START_MS + 60_000), 0);
}

/// A server with users in a file of these lines.
fn with_users(lines: &str) -> Result<TestServer, kvarts::StartError> {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("users.acl"), lines).expect("a file");
    TestServer::try_with(&[("aclfile", "users.acl")], Clock::manual(START_MS), dir)
}

const ALICE_AND_BOB: &str = "user alice on allcommands allkeys &* >alice\nuser bob on -@all +@set +acl ~set* &* >bob (+get ~x)\n\nuser default on nopass ~* &* +@all\n";

#[test]
fn users_are_loaded_and_saved() {
    let server = with_users(ALICE_AND_BOB).expect("good users");
    let path = server.dir().join("users.acl");
    let mut client = server.client();
    client.check("AUTH bob bob", "+OK~");
    client.check("SADD set 1 2 3", ":3~");
    client.check("GET x", "$-1~");
    client.check("SET set v", "-NOPERM User bob has no permissions to run the 'set' command~");
    client.check("AUTH alice alice", "+OK~");
    client.check("ACL SETUSER eve +get allkeys >eve on", "+OK~");
    client.check("ACL SAVE", "+OK~");
    let saved = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(
        saved,
        "user alice on #2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90 ~* &* +@all\n\
         user bob on #81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9 ~set* &* -@all +@set +acl (~x resetchannels -@all +get)\n\
         user default on nopass ~* &* +@all\n\
         user eve on #85262adf74518bbb70c7cb94cd6159d91669e5a81edf1efebd543eadbda9fa2b ~* resetchannels -@all +get\n"
    );
    client.check("ACL LOAD", "+OK~");
    client.check("PING", "+PONG~");
    client.check("AUTH eve eve", "+OK~");
    client.check("GET k", "$-1~");
    client.check("ACL LOAD", "-NOPERM User eve has no permissions to run the 'acl|load' command~");
}

#[test]
fn a_saved_file_stays_private() {
    let server = with_users("").expect("no users are good users");
    let path = server.dir().join("users.acl");
    let mode = || std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
    std::fs::remove_file(&path).expect("it was there");
    server.client().check("ACL SAVE", "+OK~");
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
    server.client().check("ACL SAVE", "+OK~");
    assert_eq!(mode(), 0o640);
    std::fs::remove_file(&path).expect("it was there");
    std::fs::create_dir(&path).expect("a folder in its place");
    server.client().check(
        "ACL SAVE",
        "-ERR There was an error trying to save the ACLs. Please check the server logs for more information~",
    );
    assert_eq!(server.dir().read_dir().expect("a folder").count(), 1);
}

#[test]
fn a_file_with_an_error_changes_nothing() {
    const UNCHANGED: &str =
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed~";
    let server = with_users(ALICE_AND_BOB).expect("good users");
    let path = server.dir().join("users.acl");
    let mut client = server.client();
    let before = client.raw("ACL LIST");
    for (lines, error) in [
        ("user alice on\nuser alice off\n", "WARNING: Duplicate user 'alice' found on line 2. "),
        ("user default on\nuser default off\n", "WARNING: Duplicate user 'default' found on line 2. "),
        ("foo bar\n", "users.acl:1 should start with user keyword followed by the username. "),
        ("user\n", "users.acl:1 should start with user keyword followed by the username. "),
        ("# comment\n", "users.acl:1 should start with user keyword followed by the username. "),
        ("USER a on\n", "users.acl:1 should start with user keyword followed by the username. "),
        ("user a on foo\nuser b bar\n", "users.acl:1: Syntax error. users.acl:2: Syntax error. "),
        ("user \"a b\" on\n", "users.acl:1: Syntax error. "),
        ("user a on (+get\n", "users.acl:1: Unmatched parenthesis in selector definition. "),
        (
            "user a on (+get ~x) (+foo) -bar x y\n",
            "users.acl:1: Error in applying operation '(+foo)': Unknown command or category name in ACL. users.acl:1: Error in applying operation '-bar': Unknown command or category name in ACL. users.acl:1: Syntax error. ",
        ),
        (
            "user a on >p <q\n",
            "users.acl:1: The password you are trying to remove from the user does not exist. ",
        ),
        ("  user   a   on   ~x  \n", "users.acl:1: Syntax error. "),
        (
            "user a on ~x ~x allkeys ~y\n",
            "users.acl:1: Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns. ",
        ),
    ] {
        std::fs::write(&path, lines).expect("a file");
        client.check("ACL LOAD", &format!("-ERR {error}{UNCHANGED}"));
        assert_eq!(client.raw("ACL LIST"), before);
    }
    std::fs::remove_file(&path).expect("it was there");
    client.check("ACL LOAD", "-ERR Error loading ACLs, opening file 'users.acl': No such file or directory~");
    assert_eq!(client.raw("ACL LIST"), before);
}

#[test]
fn loading_cuts_only_those_who_lost_something() {
    let server = with_users(ALICE_AND_BOB).expect("good users");
    let mut admin = server.client();
    admin.check("ACL SETUSER doug on nopass resetchannels &test* +@all ~*", "+OK~");
    admin.check("ACL SETUSER mortimer on nopass ~* &* +@all", "+OK~");
    admin.check("ACL SETUSER bob nopass resetchannels &test* +@all", "+OK~");
    let [mut alice, mut doug, mut mortimer, mut bob] =
        ["alice alice", "doug x", "mortimer x", "bob x"].map(|who| {
            let mut client = server.client();
            client.check(&format!("AUTH {who}"), "+OK~");
            client.check("SUBSCRIBE test1", "*3~$9~subscribe~$5~test1~:1~");
            client
        });
    let lines = format!("{ALICE_AND_BOB}user doug on nopass resetchannels &other +@all ~*\n");
    std::fs::write(server.dir().join("users.acl"), lines).expect("a file");
    admin.check("ACL LOAD", "+OK~");
    admin.check("PUBLISH test1 m", ":2~");
    for kept in [&mut alice, &mut bob] {
        kept.check_next("*3~$7~message~$5~test1~$1~m~");
    }
    doug.expect_closed();
    mortimer.expect_closed();
    bob.check("UNSUBSCRIBE", "-NOPERM User bob has no permissions to run the 'unsubscribe' command~");
}

#[test]
fn a_file_without_the_default_user_leaves_it_open() {
    let server = with_users("user alice on nopass +@all\n").expect("good users");
    let mut client = server.client();
    client.check("ACL SETUSER default -get", "+OK~");
    client.check("GET k", "-NOPERM User default has no permissions to run the 'get' command~");
    client.check("ACL LOAD", "+OK~");
    client.check("GET k", "$-1~");
}

#[test]
fn wrong_users_keep_the_server_from_starting() {
    fn error(lines: &str) -> String {
        let dir = TempDir::new();
        let path = dir.path().join("kvarts.conf");
        let folder = dir.path().display();
        std::fs::write(&path, format!("port 0\nbind 127.0.0.1\ndir {folder}\n{lines}")).expect("a file");
        let config = Config::from_file(&path).expect("a configuration");
        match kvarts::start(config, Clock::manual(START_MS)) {
            Ok(_) => panic!("it started with {lines:?}"),
            Err(error) => error.to_string(),
        }
    }
    for (lines, expected) in [
        ("user a on foo", "could not load users: user 'a': rule 'foo': Syntax error"),
        (
            "user a on >x <y",
            "could not load users: user 'a': rule '<***': The password you are trying to remove from the user does not exist",
        ),
        (
            "user a\nuser a",
            "could not load users: user 'a': Duplicate user found. A user can only be defined once in config files",
        ),
        ("user \"a b\" on", "could not load users: user 'a b': blanks are not allowed in user names"),
        ("user a (+get", "could not load users: user 'a': unmatched parenthesis in selector definition"),
        (
            "user a on\naclfile users.acl",
            "could not load users: users and roles are given by `user` and `role` lines or by `aclfile`, not by both",
        ),
        (
            "aclfile users.acl",
            "could not load users: Error loading ACLs, opening file 'users.acl': No such file or directory",
        ),
    ] {
        assert_eq!(error(lines), expected);
    }
    let Err(error) = with_users("foo\n") else { panic!("it started") };
    assert!(
        error.to_string().starts_with("could not load users: users.acl:1 should start with user"),
        "{error}"
    );
}

#[test]
fn users_of_the_configuration_file_are_rewritten() {
    let server = TestServer::with_file("user b on >x\nuser default on nopass ~* +@all -flushdb\n# end\n");
    let mut client = server.client();
    client.check("FLUSHDB", "-NOPERM User default has no permissions to run the 'flushdb' command~");
    client.check("SUBSCRIBE c", "-NOPERM No permissions to access a channel~");
    client.check("ACL SETUSER c off >secret", "+OK~");
    client.check("ACL DELUSER b", ":1~");
    client.check("CONFIG REWRITE", "+OK~");
    let path = server.dir().join("kvarts.conf");
    let text = std::fs::read_to_string(&path).expect("a file");
    let end = text.split_once("user ").expect("users").1;
    assert_eq!(
        end,
        "default on nopass ~* resetchannels +@all -flushdb\n# end\n# Generated by CONFIG REWRITE\nuser c off #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b resetchannels -@all\n"
    );
    let config = Config::from_file(&path).expect("a configuration again");
    // Two servers with save points would want the same file.
    let _dir = server.stop_and_keep();
    let again = kvarts::start(config, Clock::manual(START_MS)).expect("it starts again");
    let mut client = Client::tcp(local(again.ports().main));
    client.check("FLUSHDB", "-NOPERM User default has no permissions to run the 'flushdb' command~");
    client.check("ACL USERS", "*2~$1~c~$7~default~");
}

#[test]
fn requirepass_alone_needs_no_line_for_the_default_user() {
    let server = TestServer::with_file("requirepass pw\n");
    let mut client = server.client();
    client.check("AUTH pw", "+OK~");
    client.check("CONFIG SET requirepass other", "+OK~");
    client.check("CONFIG REWRITE", "+OK~");
    let text = std::fs::read_to_string(server.dir().join("kvarts.conf")).expect("a file");
    assert!(text.contains("requirepass other\n") && !text.contains("user "), "{text}");
}

#[test]
fn strangers_are_kept_out_while_there_is_no_password() {
    let server = TestServer::with(&[("bind", "0.0.0.0")]);
    let core = server.handle().server();
    let from = |address: &str| {
        assert!(core.clients.take_place(100));
        let mut client = core.new_client(address.to_owned(), None, 0, kvarts::shared::client::Door::Main);
        let refused = core.is_protected_from(&client);
        core.forget_client(&mut client);
        refused
    };
    assert!(from("192.0.2.1:7") && from("[2001:db8::1]:7") && from("[::ffff:192.0.2.1]:7"));
    assert!(
        !from("127.0.0.1:7") && !from("127.8.8.8:7") && !from("[::1]:7") && !from("[::ffff:127.0.0.1]:7")
    );
    // What the machine calls itself is an address from elsewhere; without a network it has none.
    let outside = || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback()).then(|| SocketAddr::new(address, server.address().port()))
    };
    if let Some(address) = outside() {
        let mut client = Client::tcp(address);
        client.send(b"PING\r\n");
        let told = show(&client.read_to_end());
        assert!(
            told.starts_with("-DENIED ") && told.ends_with("--protected-mode no at the start.~"),
            "{told}"
        );
    }
    let mut admin = server.client();
    admin.check("ACL SETUSER default >pw", "+OK~");
    assert!(!from("192.0.2.1:7"));
    admin.check("ACL SETUSER default nopass", "+OK~");
    assert!(from("192.0.2.1:7"));
    admin.check("CONFIG SET protected-mode no", "+OK~");
    assert!(!from("192.0.2.1:7"));
}
