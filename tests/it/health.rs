//! KVARTS HEALTH and `kvarts --health-check`: whether all parts of the server answer.

use std::process::Command;

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::program::Program;

/// What KVARTS HEALTH says of a field.
fn field(client: &mut Client, name: &str) -> String {
    client.value("KVARTS HEALTH").field(name).text()
}

/// A part as KVARTS HEALTH shows it: its state, and what is said about it.
fn part(client: &mut Client, name: &str) -> (String, String) {
    let parts = client.value("KVARTS HEALTH").field("parts").items();
    let part = parts.iter().find(|part| part.field("name").text() == name).expect("the part");
    (part.field("state").text(), part.field("about").text())
}

fn wait_for_status(client: &mut Client, status: &str) {
    eventually(status, || field(client, "status") == status);
}

#[test]
fn all_parts_answer() {
    let server = TestServer::with(&[("io-threads", "3"), ("appendonly", "yes")]);
    let mut client = server.client();
    wait_for_status(&mut client, "ok");
    let fields = client.value("KVARTS HEALTH").items();
    let names: Vec<String> = fields.iter().step_by(2).map(Value::text).collect();
    let expected =
        ["status", "ready", "looked-us-ago", "slowest", "slowest-us", "parts", "holds-locks", "holders"];
    assert_eq!(names, expected);
    let parts: Vec<Vec<Value>> = fields[11].items().iter().map(Value::items).collect();
    let names: Vec<String> = parts.iter().map(|part| part[1].text()).collect();
    let expected = [
        "worker-0",
        "worker-1",
        "worker-2",
        "tasks",
        "sweeper",
        "keeper",
        "housekeeping",
        "file-writer",
        "slot-locks",
    ];
    assert_eq!(names, expected);
    assert_eq!(fields[3].text(), "yes");
    assert!(expected.contains(&fields[7].text().as_str()));
    for name in ["tasks", "sweeper", "keeper", "housekeeping", "file-writer", "slot-locks"] {
        eventually(name, || part(&mut client, name).0 == "answers");
    }
    client.check("CONFIG SET appendonly no", "+OK~");
    eventually("nobody writes a file", || part(&mut client, "file-writer").0 == "rests");
    let mut client = server.client3();
    assert!(
        client.raw("KVARTS HEALTH").starts_with("%8~$6~status~$2~ok~$5~ready~$3~yes~$13~looked-us-ago~:")
    );
    client.check("MULTI", "+OK~");
    client.check("KVARTS HEALTH", "+QUEUED~");
    assert!(client.raw("EXEC").starts_with("*1~%8~$6~status~"));
    client.check("KVARTS HEALTH x", "-ERR wrong number of arguments for 'kvarts|health' command~");
    client.check("KVARTS x", "-ERR unknown subcommand 'x'. Try KVARTS HELP.~");
    let from_script = client.raw("EVAL \"return redis.call('kvarts', 'health')\" 0");
    assert!(from_script.contains("command is not allowed from script"), "{from_script}");
}

/// A worker that waits for a lock that nobody gives back is found, with what it runs, and so is the lock; the
/// command itself does not wait for it.
#[test]
fn a_worker_that_is_stuck() {
    let server = TestServer::with(&[("io-threads", "4")]);
    let mut client = server.client();
    wait_for_status(&mut client, "ok");
    let mut stuck = server.client();
    let id = stuck.value("CLIENT ID").int();
    let keyspace = &server.handle().server().keyspace;
    let guard = keyspace.physical(0).write_slot(keyspace.hasher().key(b"k").slot());
    stuck.send(b"GET k\r\n");
    wait_for_status(&mut client, "stuck");
    let workers: Vec<(String, String)> =
        (0..4).map(|number| part(&mut client, &format!("worker-{number}"))).collect();
    let of_stuck = format!(
        "get for client {id} at {}, user default, waits for slot 7629 of database 0, which a thread in the background has",
        stuck.address()
    );
    assert!(workers.contains(&("stuck".to_owned(), of_stuck)), "{workers:?}");
    assert!(workers.iter().any(|(state, _)| state != "stuck"), "{workers:?}");
    assert!(field(&mut client, "slowest").starts_with("worker-"));
    drop(guard);
    stuck.check_next("$-1~");
    wait_for_status(&mut client, "ok");
}

/// What has its locks for a second is told of, whatever it is: a script, too, whose thread has handed its work on.
#[test]
fn what_keeps_its_locks() {
    let program = Program::start(&["--io-threads", "2", "--logfile", "log"]);
    let (mut client, mut script) = (program.client(), program.client());
    let holding = |client: &mut Client| client.value("KVARTS HEALTH").field("holds-locks").texts();
    let id = script.value("CLIENT ID").int();
    assert_eq!(holding(&mut client), [""; 0]);
    script.send(&encode(&["EVAL", "while true do end", "1", "it's"]));
    eventually("it is shown", || !holding(&mut client).is_empty());
    let sha = "694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7";
    let expected =
        format!("eval of script {sha} on key it's for client {id} at {}, user default", script.address());
    let found = holding(&mut client);
    assert!(found.len() == 1 && found[0].starts_with(&format!("{expected}, running for ")), "{found:?}");
    let holders = client.value("KVARTS HEALTH").field("holders").items();
    let of = |name: &str| holders[0].field(name);
    assert_eq!(holders.len(), 1);
    for (name, value) in [
        ("command", "eval"),
        ("program", "script"),
        ("program-name", sha),
        ("key", "it's"),
        ("client-address", &script.address().to_string()),
        ("user", "default"),
    ] {
        assert_eq!(of(name).text(), value);
    }
    assert_eq!(of("client-id").int(), id);
    assert!(of("running-us").int() >= 1_000_000);
    let log = || std::fs::read_to_string(program.dir().join("log")).expect("a log");
    eventually("it is logged", || {
        log().contains(&format!("keeps its locks from others runs=\"{expected}\" for_ms="))
    });
    wait_for_status(&mut client, "busy");
    client.check("SCRIPT KILL", "+OK~");
    script.read_raw();
    eventually("its end is logged", || {
        log().contains(&format!("has given its locks back runs=\"{expected}\" after_ms="))
    });
    assert_eq!(log().matches("keeps its locks").count(), 1);
    eventually("it is shown no more", || holding(&mut client).is_empty());
    wait_for_status(&mut client, "ok");
}

/// Who is alone in the keyspace for long does not keep the sweeper from its work on everything else: the clock,
/// the ticks, its sign of life.
#[test]
fn the_sweeper_waits_for_nobody() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v PX 50", "+OK~");
    let inner = server.handle().server();
    let alone = inner.keyspace.gate.exclusive(|| {});
    inner.clock.advance_ms(100);
    let expired = || server.info("expired_keys");
    let answered = || inner.health.sweeper.life().answered;
    let before = answered();
    eventually("it answers", || answered() > before + 3);
    drop(alone);
    eventually("it goes on", || expired() == "1");
}

/// While something held up the removal of what had ended, the delay was shown as none until all was over.
#[test]
fn what_is_due_and_held_up_is_late() {
    let server = TestServer::start();
    let mut client = server.client();
    let inner = server.handle().server();
    let lags = || (server.info("expire_lag_milliseconds"), server.info("expire_lag_max_milliseconds"));
    let both = |ms: &str| (ms.to_owned(), ms.to_owned());
    for is_alone in [true, false] {
        client.check("CONFIG RESETSTAT", "+OK~");
        client.check("SET k v PX 50", "+OK~");
        let slot = inner.keyspace.hasher().key(b"k").slot();
        let alone = is_alone.then(|| inner.keyspace.gate.exclusive(|| {}));
        let guard = (!is_alone).then(|| inner.keyspace.physical(0).write_slot(slot));
        inner.clock.advance_ms(150);
        eventually("it is late", || lags() == both("100"));
        inner.clock.advance_ms(1000);
        assert_eq!(lags(), both("1100"));
        // Not during a look that began before.
        let before = inner.health.sweeper.life().answered;
        eventually("it looks again", || inner.health.sweeper.life().answered > before + 1);
        drop((alone, guard));
        eventually("it is removed", || server.info("expired_keys") == "1");
        eventually("it was late", || lags() == both("1100"));
    }
}

#[test]
fn a_sweeper_that_is_stuck() {
    let server = TestServer::start();
    let mut client = server.client();
    wait_for_status(&mut client, "ok");
    let turn = server.handle().server().upkeep.sweeping.lock();
    wait_for_status(&mut client, "stuck");
    assert_eq!(part(&mut client, "sweeper").0, "stuck");
    assert_eq!(field(&mut client, "slowest"), "sweeper");
    drop(turn);
    wait_for_status(&mut client, "ok");
}

/// A slow script keeps the data for seconds, which is no reason to end the server.
#[test]
fn a_slow_script_is_no_illness() {
    let server =
        TestServer::with_clock(&[("io-threads", "4"), ("busy-reply-threshold", "1")], Clock::system());
    let mut client = server.client();
    wait_for_status(&mut client, "ok");
    let mut slow = server.client();
    slow.send(b"EVAL \"while true do end\" 0\r\n");
    eventually("it is slow", || client.raw("GET k").starts_with("-BUSY"));
    for _ in 0..200 {
        assert_ne!(field(&mut client, "status"), "stuck");
    }
    client.check("SCRIPT KILL", "+OK~");
    assert!(show(&slow.read_raw()).starts_with("-ERR"));
    wait_for_status(&mut client, "ok");
}

/// Whatever a file is, the check ends, and says what is wrong with it.
#[test]
fn health_checks_with_files_that_cannot_be_read() {
    let dir = TempDir::new();
    let path = |name: &str| dir.path().join(name);
    let made = Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo");
    assert!(made.success());
    std::fs::create_dir(path("folder")).expect("a folder");
    std::fs::write(path("file"), "port 1\n").expect("a file");
    std::fs::File::create(path("huge")).and_then(|file| file.set_len((16 << 20) + 1)).expect("a file");
    std::os::unix::fs::symlink(path("pipe"), path("link")).expect("a link");
    for (file, why) in [
        ("pipe", "it is no regular file"),
        ("link", "it is no regular file"),
        ("/dev/zero", "it is no regular file"),
        ("folder", "it is a folder"),
        ("huge", "longer than 16777216 bytes"),
        ("none", "No such file or directory"),
        ("file/under", "Not a directory"),
    ] {
        for arguments in [&[file][..], &["--cacert", file, "--tls"], &["--cert", file, "--key", file]] {
            let (status, text) = check(dir.path(), arguments);
            assert_eq!(
                (status, text.trim_end()),
                (2, &*format!("can't read '{file}': {why}")),
                "{arguments:?}"
            );
        }
    }
    // A password may come through a pipe, from somebody who writes it.
    for (file, told) in [
        ("pipe", "the files could not be read within 1 s: "),
        ("/dev/zero", "can't read '/dev/zero': longer than 16777216 bytes"),
        ("folder", "can't read 'folder': Is a directory"),
        ("none", "can't read 'none': No such file or directory"),
    ] {
        let (status, text) = check(dir.path(), &["--password-file", file, "--timeout", "1"]);
        assert!(status == 2 && text.starts_with(told), "{text}");
    }
    let pipe = path("pipe");
    let writer = std::thread::spawn(move || std::fs::write(pipe, "secret"));
    let port = free_port().to_string();
    let (status, text) = check(dir.path(), &["--password-file", "pipe", "--port", &port]);
    writer.join().expect("it writes").expect("somebody reads");
    assert!(status == 1 && text.starts_with("no answer from "), "{text}");
    // What its file includes is not looked at before it is read.
    std::fs::write(path("includes"), format!("include {}\n", path("pipe").display())).expect("a file");
    let (status, text) = check(dir.path(), &["includes", "--timeout", "1"]);
    assert!(status == 2 && text.starts_with("the files could not be read within 1 s: "), "{text}");
}

/// The exit status of a health check in this folder.
fn check(dir: &std::path::Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvarts"));
    command.arg("--health-check").args(arguments).current_dir(dir);
    let output = command.env_remove("KVARTS_PASSWORD").env_remove("REDISCLI_AUTH").output().expect("it runs");
    (output.status.code().expect("it ends"), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn health_checks_of_containers() {
    let program = Program::start(&["--requirepass", "secret"]);
    let port = program.port().to_string();
    let dir = program.dir().to_owned();
    std::fs::write(dir.join("password"), "secret\n").expect("a file");
    std::fs::write(dir.join("wrong"), "wrong").expect("a file");
    let at = |more: &[&str]| check(&dir, &[&["--port", port.as_str()], more].concat());
    let with = ["--password-file", "password"];
    eventually("it is healthy", || at(&with).0 == 0);
    assert!(at(&with).1.starts_with("status ok, ready yes, slowest "));
    assert_eq!(at(&[&with[..], &["--ready"]].concat()).0, 0);
    assert_eq!(at(&[&with[..], &["--user", "default", "--host", "localhost"]].concat()).0, 0);
    let (status, text) = at(&[]);
    assert_eq!(status, 0);
    assert!(
        text.starts_with(
            "it answers, but does not say how it is: NOAUTH Authentication required; give the check"
        ),
        "{text}"
    );
    assert_eq!(at(&["--ready"]).0, 1);
    assert_eq!(at(&["--password-file", "wrong"]).0, 1);
    assert_eq!(at(&["--password-file", "none"]).0, 2);
    assert_eq!(at(&["--what"]).0, 2);
    // The server's own file says all that it takes, wherever the check is run.
    let elsewhere = TempDir::new();
    let file = dir.join("kvarts.conf").display().to_string();
    std::fs::write(&file, format!("port {port}\nrequirepass secret\ndir {}\n", dir.display()))
        .expect("a file");
    let (status, text) = check(elsewhere.path(), &[&file, "--ready"]);
    assert!(status == 0 && text.starts_with("status ok, ready yes, slowest "), "{text}");
    std::fs::write(dir.join("changed.conf"), format!("port {port}\nrequirepass before\n")).expect("a file");
    let (status, text) = check(&dir, &["changed.conf"]);
    assert!(status == 0 && text.starts_with("it answers, but does not say how it is: WRONGPASS"), "{text}");
    assert_eq!(check(&dir, &["changed.conf", "--ready"]).0, 1);
    assert_eq!(check(&dir, &["none.conf"]).0, 2);
    assert_eq!(check(&dir, &["--port", &free_port().to_string()]).0, 1, "nobody listens");
    // The server makes its authority when the first TLS client comes.
    let (status, text) = at(&[&with[..], &["--tls", "--timeout", "20"]].concat());
    assert_eq!(status, 0, "{text}");
    assert_eq!(at(&[&with[..], &["--tls", "--cacert", "password"]].concat()).0, 1);
    let (status, text) = check(elsewhere.path(), &[&file, "--tls"]);
    assert_eq!(status, 0, "{text}");
    let password = dir.join("password").display().to_string();
    let folder = dir.display().to_string();
    let over_tls = ["--port", port.as_str(), "--password-file", &password, "--tls", "--timeout", "1"];
    assert_eq!(check(elsewhere.path(), &[&over_tls[..], &["--server-dir", &folder]].concat()).0, 0);
    let (status, text) = check(elsewhere.path(), &over_tls);
    assert!(status == 1 && text.contains("there is no tls/ca.crt to trust: --server-dir names"), "{text}");
    program.signal("STOP");
    let found = at(&[&with[..], &["--timeout", "1"]].concat());
    program.signal("CONT");
    let late = format!("no answer from 127.0.0.1:{port}: none came within 1 s (--timeout); ");
    assert!(found.0 == 1 && found.1.starts_with(&late), "{}", found.1);
    eventually("it goes on", || at(&with).0 == 0);
    // A server that is full serves those who are in; whether it is ready for more is another question.
    let mut client = Client::tcp(local(program.port()));
    client.check("AUTH secret", "+OK~");
    client.check("CONFIG SET maxclients 1", "+OK~");
    let (status, text) = at(&with);
    assert_eq!(
        (status, text.trim_end()),
        (
            0,
            "it answers, but does not say how it is: maxclients are connected, so it lets nobody else in, this check neither"
        )
    );
    let (status, text) = at(&[&with[..], &["--tls"]].concat());
    assert!(status == 0 && text.contains("maxclients are connected"), "{text}");
    assert_eq!(at(&[&with[..], &["--ready"]].concat()).0, 1);
    drop(client);
    eventually("there is a place", || at(&with).1.starts_with("status ok"));
}
