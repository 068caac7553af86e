//! Starting and ending: sockets, addresses, several servers in one process.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::program::Program;

#[test]
fn a_unix_socket() {
    let dir = TempDir::new();
    let path = dir.path().join("kvarts.sock");
    // A socket file that an earlier run left is no hindrance.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let text = path.display().to_string();
    let pairs = [("unixsocket", text.as_str()), ("unixsocketperm", "700")];
    let server = TestServer::with(&pairs);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o700);
    let mut client = Client::unix(&path);
    client.check("SET k v", "+OK~");
    server.client().check("GET k", "$1~v~");
    let line = client.value("CLIENT INFO").text();
    assert!(line.contains(&format!(" addr={text}:0 ")), "{line}");
    assert!(line.contains(" flags=U "), "{line}");
    server.stop();
    client.expect_closed();
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").expect("a file");
    let text = path.display().to_string();
    let started =
        TestServer::try_with(&[("unixsocket", text.as_str())], Clock::manual(START_MS), TempDir::new());
    assert!(started.is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
}

#[test]
fn several_addresses_and_ipv6() {
    let server = TestServer::with(&[("bind", "127.0.0.1 ::1 127.0.0.2")]);
    let port = server.address().port();
    let mut first = server.client();
    first.check("SET k v", "+OK~");
    let addresses =
        [SocketAddr::from(([127, 0, 0, 2], port)), SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port)];
    for address in addresses {
        let mut client = Client::tcp(address);
        client.check("GET k", "$1~v~");
        let line = client.value("CLIENT INFO").text();
        assert!(line.contains(&format!(" laddr={address} ")), "{line}");
    }
}

#[test]
fn an_address_with_a_dash_may_be_missing() {
    let server = TestServer::with(&[("bind", "127.0.0.1 -192.0.2.1 -no.such.host.invalid")]);
    server.client().check("PING", "+PONG~");
    let started = TestServer::try_with(&[("bind", "192.0.2.1")], Clock::manual(START_MS), TempDir::new());
    let error = started.err().expect("no such address").to_string();
    assert!(error.starts_with("could not listen on 192.0.2.1:0: "), "{error}");
}

#[test]
fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let started = TestServer::try_with(&[("port", port.as_str())], Clock::manual(START_MS), TempDir::new());
    let error = started.err().expect("the port is taken").to_string();
    assert!(error.starts_with(&format!("could not listen on 127.0.0.1:{port}: ")), "{error}");
}

#[test]
fn several_servers_know_nothing_of_each_other() {
    let servers: Vec<TestServer> = (0..4).map(|_| TestServer::start()).collect();
    for (number, server) in servers.iter().enumerate() {
        server.client().check(&format!("SET k{number} v"), "+OK~");
    }
    for (number, server) in servers.iter().enumerate() {
        let mut client = server.client();
        client.check("KEYS *", &format!("*1~$2~k{number}~"));
        assert_eq!(info(&mut client, "total_connections_received"), "2");
    }
    servers[0].advance_ms(5000);
    servers[0].client().check("TIME", "*2~$10~1700000005~$1~0~");
    servers[1].client().check("TIME", "*2~$10~1700000000~$1~0~");
    let ids: std::collections::HashSet<String> = servers.iter().map(|server| server.info("run_id")).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn the_end_closes_clients_and_frees_the_port() {
    // A free port, which no other test is given: once it is free again, another's server might listen there.
    let server = TestServer::with(&[("port", &free_port().to_string())]);
    let address = server.address();
    let mut idle = server.client();
    let mut subscriber = server.client();
    let mut paused = server.client();
    idle.check("PING", "+PONG~");
    subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    idle.check("CLIENT PAUSE 100000 WRITE", "+OK~");
    paused.send_command("SET k v");
    server.stop();
    idle.expect_closed();
    subscriber.expect_closed();
    paused.expect_closed();
    assert!(TcpStream::connect(address).is_err());
    TcpListener::bind(address).expect("the port is free");
}

#[test]
fn shutdown_ends_the_wait_without_a_reply() {
    for command in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN NOW FORCE"] {
        let server = TestServer::start();
        let mut other = server.client();
        other.check("PING", "+PONG~");
        let mut client = server.client();
        client.send_command(command);
        client.expect_closed();
        server.handle().wait();
        server.stop();
        other.expect_closed();
    }
}

#[test]
fn who_has_read_enough_of_the_help_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_kvarts")).arg("--help").stdout(writer).output();
    let help = help.expect("the program runs");
    assert!(help.status.success());
    assert_eq!(String::from_utf8_lossy(&help.stderr), "");
}

/// Two signals that tools send to servers of all kinds ended the process.
#[test]
fn signals_that_ask_for_no_end_do_not_bring_it() {
    let mut program = Program::start(&[]);
    for (signal, told) in [
        ("HUP", "Received SIGHUP"),
        ("USR1", "Received SIGUSR1"),
        ("USR2", "Received SIGUSR2"),
        ("ALRM", "Received SIGALRM"),
    ] {
        program.signal(signal);
        eventually(told, || program.log().contains(told));
        program.client().check("PING", "+PONG~");
    }
    assert!(!program.has_ended());
    program.signal("TERM");
    eventually("it ends", || program.has_ended());
}

/// Who starts a server with the console finds where it is, and who may go there.
#[test]
fn the_log_says_where_figures_and_the_console_are() {
    let (port, other) = (free_port(), free_port());
    let program = Program::start(&["--metrics-port", &port.to_string()]);
    let wait_for = |line: String| eventually(&line, || program.log().contains(&line));
    wait_for(format!(
        "metrics-port: figures at http://127.0.0.1:{port}/metrics, the console at http://127.0.0.1:{port}/, for this machine only (metrics-bind)\n"
    ));
    let mut client = program.client();
    client.check("CONFIG SET metrics-tls yes console no", "+OK~");
    client.check("CONFIG SET metrics-bind 0.0.0.0", "+OK~");
    wait_for(format!(
        "metrics-port: figures at https://0.0.0.0:{port}/metrics, no console, for whoever reaches that address (metrics-bind)\n"
    ));
    client.check(&format!("CONFIG SET metrics-bind 127.0.0.1 metrics-port {other}"), "+OK~");
    wait_for(format!("metrics-port: nothing listens at 0.0.0.0:{port} any more\n"));
    wait_for(format!(
        "metrics-port: figures at https://127.0.0.1:{other}/metrics, no console, for this machine only"
    ));
}

/// Testcontainers and their like wait for these words.
#[test]
fn the_log_says_when_clients_may_come() {
    let program = Program::start(&["--unixsocket", "s.sock", "--tls-port", &free_port().to_string()]);
    for kind in ["tcp", "unix", "tls"] {
        let line = format!("Ready to accept connections {kind}\n");
        eventually(&line, || program.log().contains(&line));
    }
    assert_eq!(program.log().matches("Ready to accept connections").count(), 3);
}

/// With 200 open files, 111 of 300 clients hung without an answer and the log got twenty lines a second.
#[test]
fn maxclients_is_fitted_to_the_limit_of_open_files() {
    // Root may go beyond any limit, unless it gives that right up.
    let before =
        "ulimit -n 200; [ $(id -u) != 0 ] || exec setpriv --bounding-set -sys_resource \"$0\" \"$@\";";
    let program = Program::start_after(before, &[]);
    let mut first = program.client();
    first.check("CONFIG GET maxclients", "*2~$10~maxclients~$3~168~");
    assert!(program.log().contains("maxclients has been reduced to 168"), "{}", program.log());
    let mut clients: Vec<Client> = (0..300).map(|_| program.client()).collect();
    let mut refused = 0;
    for client in &mut clients {
        drop(client.try_send(b"PING\r\n"));
        match show(&client.read_raw()).as_str() {
            "+PONG~" => {}
            "-ERR max number of clients reached~" => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(refused, 300 - 167);
    drop(clients);
    first.check(
        "CONFIG SET maxclients 100000",
        "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to handle the specified number of clients, try with 168~",
    );
    first.check("CONFIG SET maxclients 100", "+OK~");
    assert_eq!(program.log().matches("could not accept").count(), 0, "{}", program.log());
}

/// Where the hard limit allows it, the soft one is raised.
#[test]
fn the_limit_of_open_files_is_raised() {
    let program = Program::start_after("ulimit -S -n 200;", &["--maxclients", "300"]);
    let mut clients: Vec<Client> = (0..290).map(|_| program.client()).collect();
    for client in &mut clients {
        client.check("PING", "+PONG~");
    }
    clients[0].check("CONFIG GET maxclients", "*2~$10~maxclients~$3~300~");
}

/// A hundred million databases took 4.8 GB at the start. There are at most 32,767, and one that is not used
/// takes nothing to speak of.
#[test]
fn databases_are_bounded_and_made_when_used() {
    let refused = kvarts::config::Config::from_pairs([("databases", "32768")]).expect_err("too many");
    assert!(refused.to_string().contains("must be between 1 and 32767"), "{refused}");
    let program = Program::start(&["--databases", "32767"]);
    let mut client = program.client();
    let used = info(&mut client, "used_memory").parse::<u64>().expect("a number");
    assert!(used < 30 << 20, "{used}");
    client.check("SELECT 32766", "+OK~");
    client.check("SET k v", "+OK~");
    client.check("SELECT 0", "+OK~");
    client.check("EXISTS k", ":0~");
    client.check("SWAPDB 0 32766", "+OK~");
    client.check("GET k", "$1~v~");
}

/// DEBUG SEGFAULT ends the process as a crash does, and only where DEBUG is allowed.
#[test]
fn debug_segfault_ends_the_process() {
    let mut program = Program::start(&[]);
    let refused = program.client().raw("DEBUG SEGFAULT");
    assert!(refused.starts_with("-ERR DEBUG command not allowed."), "{refused}");
    assert!(!program.has_ended());
    let mut program = Program::start(&["--enable-debug-command", "yes"]);
    let mut client = program.client();
    client.send_command("DEBUG SEGFAULT");
    client.read_to_end();
    eventually("it has ended", || program.has_ended());
}

/// A script that has written cannot be killed; SHUTDOWN NOSAVE is the way out, and it did not end the
/// process.
#[test]
fn shutdown_ends_a_script_that_cannot_be_killed() {
    let mut program = Program::start(&[]);
    let mut stuck = program.client();
    stuck.send_command("EVAL \"redis.call('set', KEYS[1], 'a') while true do end\" 1 k");
    let mut other = program.client();
    eventually("it cannot be killed", || other.raw("SCRIPT KILL").starts_with("-UNKILLABLE"));
    other.send_command("SHUTDOWN NOSAVE");
    eventually("it has ended", || program.has_ended());
}

/// Whoever sends SHUTDOWN sees the connection closed when the process has ended, and may start the next one then: on
/// the same port, in the same folder.
#[test]
fn shutdown_closes_its_connection_at_the_end_of_the_process() {
    let flags = ["--appendonly", "yes"];
    let mut program = Program::start(&flags);
    for number in 1..6 {
        let mut client = program.client();
        client.check("INCR n", &format!(":{number}~"));
        client.send_command("SHUTDOWN");
        client.expect_closed();
        let next = Program::start_at(program.port(), program.take_dir(), "", &flags);
        eventually("it has ended", || program.has_ended());
        program = next;
    }
}

/// The end comes between scripts, and not in the midst of one: half a script was in the file.
#[test]
fn the_end_cuts_no_script_in_half() {
    const SCRIPT: &str = "redis.call('incr', KEYS[1]) local n = 0 for i = 1, 300000 do n = n + i end redis.call('incr', KEYS[2])";
    let flags = ["--appendonly", "yes"];
    let mut program = Program::start(&flags);
    for _ in 0..3 {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let mut stream = TcpStream::connect(local(program.port())).expect("it listens");
                let (first, second) = (format!("a:{number}"), format!("b:{number}"));
                std::thread::spawn(move || {
                    let request = encode(&["EVAL", SCRIPT, "2", &first, &second]);
                    while stream.write_all(&request).is_ok() && stream.read(&mut [0; 16]).is_ok_and(|n| n > 0)
                    {
                    }
                })
            })
            .collect();
        let mut watcher = program.client();
        eventually("they run", || watcher.raw("EXISTS b:0 b:1 b:2 b:3") == ":4~");
        program.signal("TERM");
        eventually("it ends", || program.has_ended());
        clients.into_iter().for_each(|client| client.join().expect("it ends with its connection"));
        program = Program::start_in(program.kill(), "", &flags);
        let mut client = program.client();
        for number in 0..4 {
            let values = client.value(&format!("MGET a:{number} b:{number}")).texts();
            assert_eq!(values[0], values[1]);
        }
    }
}

/// SIGTERM before the append-only file holds all data waits until it does.
#[test]
fn sigterm_waits_for_the_first_base() {
    let mut program = Program::start(&["--save", "", "--rdb-key-save-delay", "200000"]);
    let mut client = program.client();
    client.check("MSET a 1 b 2 c 3", "+OK~");
    client.check("CONFIG SET appendonly yes", "+OK~");
    client.check("SET d 4", "+OK~");
    program.signal("TERM");
    eventually("it ends", || program.has_ended());
    let program = Program::start_in(program.kill(), "", &["--appendonly", "yes"]);
    program.client().check("MGET a b c d", "*4~$1~1~$1~2~$1~3~$1~4~");
}

/// SIGINT twice ends the program at once, though a snapshot is being written, and leaves nothing half written.
#[test]
fn sigint_twice_ends_at_once() {
    let mut program = Program::start(&["--save", "3600 1", "--rdb-key-save-delay", "1000000"]);
    program.client().check("MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10", "+OK~");
    let half_written = |program: &Program| {
        let files = std::fs::read_dir(program.dir()).expect("a folder");
        let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("temp-") && name.ends_with(".rdb")).count()
    };
    program.signal("INT");
    eventually("it writes", || half_written(&program) == 1);
    program.signal("TERM");
    program.signal("INT");
    eventually("it ends", || program.has_ended());
    assert_eq!(half_written(&program), 0);
    let log = program.log();
    assert!(log.contains("You insist... exiting now.") && !log.contains("bye bye"), "{log}");
}

/// A snapshot that cannot be written at the end keeps the program going, and the log says so.
#[test]
fn sigterm_without_a_file_is_refused() {
    let mut program = Program::start(&["--save", "3600 1"]);
    program.client().check("SET a 1", "+OK~");
    std::fs::create_dir(program.dir().join("dump.rdb")).expect("a folder in its place");
    std::fs::write(program.dir().join("dump.rdb/in"), "the way").expect("a file in it");
    program.signal("TERM");
    eventually("it is told", || program.log().contains("Error trying to save the DB, can't exit."));
    program.client().check("GET a", "$1~1~");
    assert!(!program.has_ended());
}

/// SIGTERM ends the program as a container is stopped: it saves where the configuration says so, and the log
/// tells what was done and how long that took. The next start has the data.
#[test]
fn sigterm_saves_and_says_so() {
    let mut program = Program::start(&["--save", "3600 1000"]);
    program.client().check("MSET a 1 b 2", "+OK~");
    program.signal("TERM");
    eventually("it ends", || program.has_ended());
    let log = program.log();
    let mut at = 0;
    for line in [
        "PID: ",
        "Server initialized",
        "Received SIGTERM, shutting down",
        "Saving the final RDB snapshot before exiting.",
        "DB saved on disk: 2 keys in ",
        "Kvarts is now ready to exit, bye bye...",
    ] {
        let found = log[at..].find(line).unwrap_or_else(|| panic!("{line} in its order: {log}"));
        at += found + line.len();
    }
    let program = Program::start_in(program.kill(), "", &[]);
    program.client().check("MGET a b", "*2~$1~1~$1~2~");
}
