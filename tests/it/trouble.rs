//! What the console's headline and /metrics say where all parts of the server answer, and clients are refused something
//! all the same: what, why, and what to do.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use kvarts::shared::clock::Clock;

use crate::console::history;
use crate::faults::{ENOSPC, Faults, FaultyFiles};
use crate::harness::*;
use crate::http::{get, value, with_port};
use crate::program::Program;
use crate::replica::Replica;

/// Kinds of trouble, what is refused for them, and their titles, as the console is told; each has a reason and advice.
fn troubles(port: u16) -> Vec<(String, String, String)> {
    let told = history(port, 0);
    let all = told["troubles"].as_array().expect("an array").iter().map(|one| {
        let field = |name: &str| one[name].as_str().expect("a text").to_owned();
        assert!(field("reason").ends_with('.') && field("advice").ends_with('.'), "{one}");
        (field("kind"), field("refuses"), field("title"))
    });
    all.collect()
}

/// The reason of the only trouble.
fn reason(port: u16) -> String {
    history(port, 0)["troubles"][0]["reason"].as_str().expect("a text").to_owned()
}

/// Waits until this is the only trouble; /metrics tells the same.
fn wait_for(server: &TestServer, port: u16, kind: &str, refuses: &str, title: &str) {
    let expected = [(kind.to_owned(), refuses.to_owned(), title.to_owned())];
    eventually(title, || troubles(port) == expected);
    // Figures that were just read are given for a moment.
    server.advance_ms(100);
    let (_, page) = get(port, "/metrics");
    let of_kind = value(&page, &format!("kvarts_trouble{{kind=\"{kind}\"}}"));
    let of_requests = value(&page, &format!("kvarts_refuses{{requests=\"{refuses}\"}}"));
    assert_eq!(of_kind, Some(1.0), "{page}");
    assert!(of_requests.is_none_or(|value| value == 1.0), "{page}");
}

fn wait_for_none(server: &TestServer, port: u16) {
    eventually("all is well", || troubles(port).is_empty());
    server.advance_ms(100);
    let (_, page) = get(port, "/metrics");
    let is_one = |line: &&str| line.starts_with("kvarts_trouble{") || line.starts_with("kvarts_refuses{");
    let values: Vec<&str> = page.lines().filter(is_one).collect();
    assert_eq!(values.len(), 18);
    assert!(values.iter().all(|line| line.ends_with(" 0")), "{values:?}");
}

/// A server whose files fail at will.
fn with_faults(pairs: &[(&str, &str)]) -> (TestServer, u16, Arc<Faults>) {
    let (faults, port) = (Faults::new(), free_port());
    let files = Arc::new(FaultyFiles(Arc::clone(&faults)));
    let number = port.to_string();
    let pairs: Vec<_> = pairs.iter().copied().chain([("metrics-port", number.as_str())]).collect();
    let server = TestServer::try_with_files(&pairs, Clock::manual(START_MS), TempDir::new(), files);
    (server.expect("it starts"), port, faults)
}

#[test]
fn a_snapshot_that_failed() {
    let (server, port, faults) = with_faults(&[("save", "3600 1000")]);
    let mut client = server.client();
    wait_for_none(&server, port);
    faults.write.store(ENOSPC, SeqCst);
    client.check("BGSAVE", "+Background saving started~");
    wait_for(&server, port, "snapshot", "writes", "Writes are refused (MISCONF)");
    assert!(client.raw("SET k v").starts_with("-MISCONF"));
    client.check("CONFIG SET stop-writes-on-bgsave-error no", "+OK~");
    wait_for(&server, port, "snapshot", "nothing", "The last snapshot failed");
    client.check("SET k v", "+OK~");
    faults.write.store(0, SeqCst);
    eventually("another one", || client.raw("BGSAVE") == "+Background saving started~");
    wait_for_none(&server, port);
}

/// A part that is stuck, and data that are loaded: who knows of them otherwise is told the same.
#[test]
fn a_part_that_is_stuck_and_data_that_are_loaded() {
    let (server, port) = with_port(&[("io-threads", "4")]);
    wait_for_none(&server, port);
    let mut stuck = server.client();
    let keyspace = &server.handle().server().keyspace;
    let guard = keyspace.physical(0).write_slot(keyspace.hasher().key(b"k").slot());
    stuck.send(b"GET k\r\n");
    eventually("a worker is missed", || troubles(port).iter().any(|(kind, ..)| kind == "stuck"));
    assert_eq!(history(port, 0)["health"], "stuck");
    let told = reason(port);
    assert!(told.starts_with("Not heard of: worker-"), "{told}");
    drop(guard);
    stuck.check_next("$-1~");
    wait_for_none(&server, port);
    assert_eq!(history(port, 0)["health"], "ok");
    server.handle().server().loading.begin(START_MS);
    wait_for(&server, port, "loading", "commands", "Commands are refused (LOADING)");
    server.handle().server().loading.end();
    wait_for_none(&server, port);
}

#[test]
fn an_append_only_file_that_cannot_be_written() {
    let (server, port, faults) = with_faults(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    wait_for_none(&server, port);
    faults.write.store(ENOSPC, SeqCst);
    let mut other = server.client();
    other.send(b"SET k w\r\n");
    wait_for(&server, port, "append-only-file", "writes", "Writes are refused (MISCONF)");
    assert_eq!(reason(port), "Errors writing to the AOF file: No space left on device.");
    assert!(client.raw("SET k x").starts_with("-MISCONF"));
    faults.write.store(0, SeqCst);
    eventually("it is written", || {
        server.advance_ms(1_000);
        troubles(port).is_empty()
    });
    client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
    eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
    wait_for_none(&server, port);
    faults.names.store(ENOSPC, SeqCst);
    client.raw("BGREWRITEAOF");
    wait_for(&server, port, "rewrite", "nothing", "The append-only file was not rewritten");
}

#[test]
fn memory_that_is_over_its_limit() {
    let (server, port) = with_port(&[("maxmemory-policy", "noeviction")]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check("CONFIG SET maxmemory 1", "+OK~");
    wait_for(&server, port, "memory", "writes", "Writes are refused (OOM)");
    assert!(reason(port).contains("maxmemory-policy noeviction"), "{}", reason(port));
    assert!(client.raw("SET k w").starts_with("-OOM"));
    // No key of the kind that may be evicted.
    client.check("CONFIG SET maxmemory-policy volatile-lru", "+OK~");
    wait_for(&server, port, "memory", "writes", "Writes are refused (OOM)");
    assert!(reason(port).contains("nothing that volatile-lru may evict"), "{}", reason(port));
    client.check("CONFIG SET maxmemory 0", "+OK~");
    wait_for_none(&server, port);
    // What was refused then fits in now.
    client.check("CONFIG SET maxmemory-policy noeviction maxmemory 1", "+OK~");
    assert!(client.raw("SET k w").starts_with("-OOM"));
    client.check("CONFIG SET maxmemory 1000gb", "+OK~");
    wait_for_none(&server, port);
}

/// A program of its own, as memory is a process's, with a console.
fn program(flags: &[&str]) -> (Program, u16) {
    let port = free_port();
    let number = port.to_string();
    (Program::start(&[flags, &["--metrics-port", &number]].concat()), port)
}

fn info(client: &mut Client, field: &str) -> u64 {
    let text = client.value("INFO").text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{field} in {text}"))
}

/// A request that does not fit in, with what the server holds for it while it runs, leaves memory under its limit when
/// it is refused. It is told of as long as it would not fit in.
#[test]
fn requests_that_do_not_fit_in() {
    let (program, port) = program(&["--maxmemory-policy", "noeviction"]);
    let mut client = program.client();
    let limit = info(&mut client, "used_memory") + (16 << 20);
    client.check(&format!("CONFIG SET maxmemory {limit}"), "+OK~");
    assert!(client.call(&["SET", "k", &"x".repeat(20 << 20)]).text().starts_with("OOM"));
    eventually("it is told of", || {
        let told = history(port, 0)["troubles"][0].clone();
        told["reason"].as_str().is_some_and(|reason| {
            reason.contains(" bytes under maxmemory") && reason.contains("refused in the last 10 s")
        })
    });
    client.check("CONFIG SET maxmemory 1000gb", "+OK~");
    assert!(troubles(port).is_empty(), "it fits in now");
}

/// With memory full to its limit, what a request holds while it runs is what takes it over: between two requests it is
/// below the limit. Writes are told to be refused until one has run.
#[test]
fn memory_that_is_just_full() {
    let (program, port) = program(&["--maxmemory-policy", "noeviction"]);
    let mut client = program.client();
    let limit = info(&mut client, "used_memory") + (1 << 20);
    client.check(&format!("CONFIG SET maxmemory {limit}"), "+OK~");
    let value = "x".repeat(5000);
    let mut set = |index: usize| client.call(&["SET", &format!("k{index}"), &value]).text();
    let first = (0..1000).find(|index| set(*index).starts_with("OOM")).expect("it is full");
    assert!(first > 50, "{first}");
    for index in 0..20 {
        assert!(set(first + index).starts_with("OOM"));
        assert_eq!(troubles(port).len(), 1, "{index}");
        assert!(get(port, "/metrics").1.contains("kvarts_refuses{requests=\"writes\"} 1\n"));
    }
    let mut other = program.client();
    (0..50).for_each(|index| other.check(&format!("DEL k{index}"), ":1~"));
    eventually("there is room", || set(first) == "OK");
    assert!(troubles(port).is_empty());
}

/// Where clients hold what is over the limit, they are what to do something about.
#[test]
fn memory_that_a_client_holds() {
    let (program, port) = program(&["--maxmemory-policy", "noeviction"]);
    let (mut client, mut other) = (program.client(), program.client());
    client.call(&["SET", "big", &"x".repeat(1 << 20)]);
    let id = other.value("CLIENT ID").int();
    let before = info(&mut client, "used_memory");
    // In one reply, which is held as a whole.
    other.send(format!("MGET{}\r\n", " big".repeat(60)).as_bytes());
    eventually("it holds much", || info(&mut client, "mem_clients_normal") > 16 << 20);
    client.check(&format!("CONFIG SET maxmemory {}", before + (4 << 20)), "+OK~");
    let advice = || history(port, 0)["troubles"][0]["advice"].as_str().unwrap_or_default().to_owned();
    eventually("it is named", || advice().contains(&format!("CLIENT KILL ID {id} ends it")));
    assert!(!advice().contains("delete keys"), "{}", advice());
    assert!(
        advice().starts_with("Clients hold ") && advice().contains(" of these unread replies"),
        "{}",
        advice()
    );
    client.check(&format!("CLIENT KILL ID {id}"), ":1~");
    eventually("all is well", || troubles(port).is_empty());
    // Without clients that hold much, keys are what takes it.
    client.check("CONFIG SET maxmemory 1", "+OK~");
    eventually("keys are told of", || advice().starts_with("Raise maxmemory, delete keys"));
}

/// The folder of all data is taken away and comes back: what is missing is named, that the file could not be rewritten
/// is told too, and writes go on without waiting for a sync that cannot come.
#[test]
fn a_folder_that_is_taken_away_and_comes_back() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let port = free_port();
    let number = port.to_string();
    let flags =
        ["--appendonly", "yes", "--appendfsync", "everysec", "--dir", "data", "--metrics-port", &number];
    let program = Program::start_in(dir, "", &flags);
    let mut client = program.client();
    client.check("SET k 0", "+OK~");
    let away = program.dir().join("away");
    std::fs::rename(&data, &away).expect("it is there");
    // Until it is noticed, so that the last change is not synced.
    eventually("it is noticed", || client.raw("SET k 1").starts_with("-MISCONF"));
    let of = |kind: &str, refuses: &str, title: &str| (kind.to_owned(), refuses.to_owned(), title.to_owned());
    let expected = [
        of("append-only-file", "writes", "Writes are refused (MISCONF)"),
        of("rewrite", "nothing", "The append-only file was not rewritten"),
    ];
    eventually("both are told", || troubles(port) == expected);
    let advice = history(port, 0)["troubles"][0]["advice"].as_str().expect("a text").to_owned();
    let folder = data.join("appendonlydir").display().to_string();
    assert!(advice.contains(&folder) && advice.contains(&format!("{} is there", data.display())), "{advice}");
    let (_, page) = get(port, "/metrics");
    assert_eq!(value(&page, "kvarts_trouble{kind=\"rewrite\"}"), Some(1.0), "{page}");
    std::fs::rename(&away, &data).expect("it is there");
    eventually("writes go on", || client.raw("SET k 2") == "+OK~");
    eventually("all is well", || troubles(port).is_empty());
    // It waits ten seconds at longest for a sync before it begins.
    assert!(info(&mut client, "aof_last_rewrite_time_sec") < 10);
    client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
    let program = Program::start_in(program.kill(), "", &flags);
    program.client().check("GET k", "$1~2~");
}

#[test]
fn replicas_that_are_missing_or_silent() {
    let (server, port) = with_port(&[("min-replicas-to-write", "1"), ("repl-diskless-sync-delay", "0")]);
    let mut client = server.client();
    wait_for(&server, port, "too-few-replicas", "writes", "Writes are refused (NOREPLICAS)");
    assert!(client.raw("SET k v").starts_with("-NOREPLICAS"));
    let (_replica, _, _) = Replica::follow(&server);
    wait_for_none(&server, port);
    client.check("CONFIG SET min-replicas-to-write 0", "+OK~");
    server.advance_ms(11_000);
    wait_for(&server, port, "silent-replica", "nothing", "A replica does not answer");
    assert!(reason(port).starts_with("1 of 1 replicas"), "{}", reason(port));
}

/// A replica that stops while it loads its copy is told of as one that follows is; empty lines are its sign of life.
#[test]
fn a_replica_that_is_silent_before_it_acknowledges() {
    for diskless in ["yes", "no"] {
        let (server, port) =
            with_port(&[("repl-diskless-sync", diskless), ("repl-diskless-sync-delay", "0")]);
        let mut replica = Replica::connect(&server);
        replica.introduce(7001);
        replica.ask_for_all();
        replica.copy();
        eventually("it is sent", || server.info("slave0").contains("state=online"));
        wait_for_none(&server, port);
        server.advance_ms(11_000);
        wait_for(&server, port, "silent-replica", "nothing", "A replica does not answer");
        let told = reason(port);
        assert!(told.starts_with("1 of 1 replicas") && told.contains("127.0.0.1:7001 for 11 s"), "{told}");
        // Far longer than repl-timeout.
        for _ in 0..20 {
            replica.send(b"\n");
            eventually("it is heard", || server.info("slave0").contains("lag=0"));
            wait_for_none(&server, port);
            server.advance_ms(8_000);
        }
        server.advance_ms(60_000);
        replica.expect_closed();
        wait_for_none(&server, port);
    }
}

#[test]
fn a_replica_that_takes_nothing_of_its_copy() {
    let (server, port) = with_port(&[("rdbcompression", "no"), ("repl-diskless-sync-delay", "0")]);
    let mut client = server.client();
    for key in 0..64 {
        client.check(&format!("SETRANGE k{key} 999999 x"), ":1000000~");
    }
    let mut replica = Replica::connect(&server);
    replica.introduce(7001);
    replica.ask_for_all();
    // Sockets take some of it.
    eventually("it is told of", || {
        server.advance_ms(1_000);
        troubles(port).iter().any(|(kind, ..)| kind == "silent-replica")
    });
    replica.copy();
    wait_for_none(&server, port);
}

#[test]
fn a_primary_that_is_gone_or_silent() {
    let (server, port) = with_port(&[]);
    let primary = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let mut client = server.client();
    assert_eq!(history(port, 0)["role"], "primary");
    client.check(&format!("REPLICAOF 127.0.0.1 {}", primary.address().port()), "+OK~");
    eventually("it follows", || server.info("master_link_status") == "up");
    wait_for_none(&server, port);
    assert_eq!(history(port, 0)["role"], "replica");
    server.advance_ms(21_000);
    wait_for(&server, port, "silent-primary", "nothing", "Nothing comes from the primary");
    drop(primary);
    wait_for(&server, port, "primary-link", "writes", "Writes are refused (READONLY)");
    client.check("CONFIG SET replica-serve-stale-data no", "+OK~");
    wait_for(&server, port, "primary-link", "commands", "Commands are refused (MASTERDOWN)");
    client.check("CONFIG SET replica-serve-stale-data yes", "+OK~");
    client.check("CONFIG SET replica-read-only no", "+OK~");
    wait_for(&server, port, "primary-link", "nothing", "The link to the primary is down");
    client.check("REPLICAOF NO ONE", "+OK~");
    wait_for_none(&server, port);
    // One that waits before it makes a copy.
    let primary = TestServer::with(&[("repl-diskless-sync-delay", "60")]);
    client.check(&format!("REPLICAOF 127.0.0.1 {}", primary.address().port()), "+OK~");
    wait_for(&server, port, "copy", "nothing", "A copy of the primary's data comes");
    client.check("CONFIG SET replica-serve-stale-data no", "+OK~");
    wait_for(&server, port, "copy", "commands", "Commands are refused (MASTERDOWN)");
}

#[test]
fn places_for_clients_that_are_all_taken() {
    let (server, port) = with_port(&[("maxclients", "1")]);
    let client = server.client();
    wait_for(&server, port, "clients", "connections", "Connections are refused (maxclients)");
    drop(client);
    wait_for_none(&server, port);
}

#[test]
fn a_pause_and_a_script_in_the_way() {
    let (server, port) = with_port(&[("busy-reply-threshold", "1")]);
    let mut client = server.client();
    client.check("CLIENT PAUSE 5000 WRITE", "+OK~");
    wait_for(&server, port, "pause", "writes", "Writes wait (pause)");
    assert_eq!(reason(port), "CLIENT PAUSE holds requests up, for 5 s more.");
    client.check("CLIENT PAUSE 5000", "+OK~");
    wait_for(&server, port, "pause", "commands", "Commands wait (pause)");
    server.advance_ms(5_000);
    wait_for_none(&server, port);
    let mut slow = server.client();
    slow.send(b"EVAL \"while true do end\" 0\r\n");
    wait_for(&server, port, "script", "commands", "Commands are refused (BUSY)");
    let advice = || history(port, 0)["troubles"][0]["advice"].as_str().unwrap_or_default().to_owned();
    assert!(advice().contains("Let scripts declare their keys"), "{}", advice());
    client.check("SCRIPT KILL", "+OK~");
    slow.read_raw();
    wait_for_none(&server, port);
    // One that does so is not told to.
    slow.send(b"EVAL \"while true do end\" 1 k\r\n");
    wait_for(&server, port, "script", "commands", "Commands are refused (BUSY)");
    assert!(advice().ends_with("Have it do less at a time."), "{}", advice());
    client.check("SCRIPT KILL", "+OK~");
    slow.read_raw();
    wait_for_none(&server, port);
}

/// A command that has had its locks for a second is told of as soon as clients wait for it, whom it concerns and what
/// ends it; no more where nobody waits, or where they hear BUSY.
#[test]
fn locks_that_are_held_while_clients_wait() {
    let port = free_port();
    let pairs = [("busy-reply-threshold", "0"), ("io-threads", "2"), ("metrics-port", &port.to_string())];
    // To move a clock waits for who is alone in the keyspace.
    let server = TestServer::with_clock(&pairs, Clock::system());
    // Figures that were just read are given for a moment.
    let wait_for = |kind: &str, title: &str| {
        let expected = [(kind.to_owned(), "commands".to_owned(), title.to_owned())];
        let told = [
            format!("kvarts_trouble{{kind=\"{kind}\"}}"),
            "kvarts_refuses{requests=\"commands\"}".to_owned(),
        ];
        eventually(title, || {
            let (_, page) = get(port, "/metrics");
            troubles(port) == expected && told.iter().all(|series| value(&page, series) == Some(1.0))
        });
    };
    let wait_for_none = || {
        eventually("all is well", || {
            let (_, page) = get(port, "/metrics");
            let is_one = |line: &str| line.starts_with("kvarts_trouble{") && !line.ends_with(" 0");
            troubles(port).is_empty() && !page.lines().any(is_one)
        });
    };
    let (mut client, mut slow) = (server.client(), server.client());
    let id = slow.value("CLIENT ID").int();
    let mut waiting: Vec<Client> = (0..8).map(|_| server.client()).collect();
    let ids: Vec<i64> = waiting.iter_mut().map(|one| one.value("CLIENT ID").int()).collect();
    let wait_for_it = || wait_for("locks-held", "Commands wait (locks are held)");
    let advice = || history(port, 0)["troubles"][0]["advice"].as_str().unwrap_or_default().to_owned();
    let holds = || server.handle().server().holds_now(1_000_000_000).len() == 1;
    slow.send_command("EVAL \"redis.call('get','z'..'z') while true do end\" 0");
    eventually("it holds them for long", holds);
    wait_for_none();
    waiting.iter_mut().for_each(|one| one.send_command("GET secret"));
    wait_for_it();
    eventually("all wait", || {
        reason(port)
            .contains(" ms, keeps its locks, and 8 clients wait. Nobody else reaches any key meanwhile.")
    });
    assert!(reason(port).contains(&format!(" for client {id} at {}", slow.address())), "{}", reason(port));
    assert!(advice().starts_with("SCRIPT KILL ends it, unless it has changed something. "), "{}", advice());
    // It goes with those that wait, whatever is held.
    ids.iter().for_each(|id| client.check(&format!("CLIENT KILL ID {id}"), ":1~"));
    wait_for_none();
    assert!(holds());
    client.check("SCRIPT KILL", "+OK~");
    slow.read_raw();
    // One that keeps up the commands on its keys alone, and for which others hear BUSY after a while.
    slow.send_command("EVAL \"while true do end\" 1 secret");
    eventually("it holds them for long", holds);
    let mut waiting: Vec<Client> = (0..4).map(|_| server.client()).collect();
    waiting.iter_mut().for_each(|one| one.send_command("GET secret"));
    wait_for_it();
    assert!(reason(port).contains("Requests for keys of its slot wait meanwhile."), "{}", reason(port));
    assert!(!reason(port).contains("secret"), "{}", reason(port));
    client.check("CONFIG SET busy-reply-threshold 1", "+OK~");
    wait_for("script", "Commands are refused (BUSY)");
    for one in &mut waiting {
        let reply = one.read().text();
        assert!(reply.starts_with("BUSY"), "{reply}");
    }
    client.check("SCRIPT KILL", "+OK~");
    slow.read_raw();
    wait_for_none();
}
