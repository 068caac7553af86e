//! This server as a replica of the real ones: copy, stream, roles.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::aof_faults::server_with;
use crate::harness::*;
use crate::journal_peer::data;
use crate::peer::{Peer, file_peers, tool_of_peers};

/// The primaries to follow: the programs there are.
fn primaries() -> Vec<String> {
    let more = ["valkey-server", "redis8-server"].into_iter().filter_map(tool_of_peers);
    let mut all = file_peers();
    all.extend(more.map(|path| path.display().to_string()));
    assert!(!all.is_empty(), "these tests follow a real Redis; `make test-tools` installs it");
    all
}

fn primary(program: &str) -> (Peer, Client) {
    let peer = Peer::of_program(program, TempDir::new());
    let mut client = Client::tcp(local(peer.port));
    client.check("CONFIG SET repl-diskless-sync-delay 0", "+OK~");
    (peer, client)
}

fn follow(server: &TestServer, port: u16) {
    let mut client = server.client();
    client.check(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK~");
    eventually("the link is up", || server.info("master_link_status") == "up");
}

fn number_behind(text: &str, name: &str) -> u64 {
    let digits = text.split_once(name).map_or("", |(_, rest)| rest).split([' ', '\n']).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
}

/// Waits until the replica has what the primary has, and compares.
fn compare(server: &TestServer, theirs: &mut Client) {
    // Behind everything that was said before.
    theirs.check("WAIT 1 20000", ":1~");
    assert_eq!(data(&mut server.client()), data(theirs));
}

fn fill(client: &mut Client, round: u64) {
    for line in [
        "SET s R",
        "APPEND s more",
        "INCRBY n R",
        "RPUSH l a b R",
        "LPOP l",
        "SADD set a b R",
        "SPOP set",
        "HSET h f R g h",
        "HINCRBY h f 1",
        "ZADD z R m 2 n",
        "ZINCRBY z 1 m",
        "XADD x * f R",
        "XADD x MAXLEN ~ 20 LIMIT 5 * f R",
        "XTRIM x MINID ~ 5 LIMIT 5",
        "SETEX t 1000 R",
        "PEXPIRE s 100000000",
        "PFADD p R",
        "SETBIT b R 1",
        "GEOADD g 13.3 38.1 R",
        "EVAL 'return redis.call([[set]],KEYS[1],ARGV[1])' 1 script R",
        "SELECT 1",
        "SET other R",
        "SELECT 0",
    ] {
        client.raw(&line.replace('R', &round.to_string()));
    }
    client.send(b"MULTI\r\nINCR n\r\nRPUSH l tx\r\nEXEC\r\n");
    (0..4).for_each(|_| drop(client.read_raw()));
}

#[test]
fn a_replica_takes_the_copy_and_the_stream() {
    for program in primaries() {
        println!("{program}");
        let (peer, mut theirs) = primary(&program);
        fill(&mut theirs, 1);
        let server = TestServer::start();
        server.client().check("SET old 1", "+OK~");
        follow(&server, peer.port);
        compare(&server, &mut theirs);
        (2..30).for_each(|round| fill(&mut theirs, round));
        compare(&server, &mut theirs);
        // The link is cut: what came meanwhile comes without another copy.
        for _ in 0..3 {
            theirs.raw("CLIENT KILL TYPE replica");
            (0..20).for_each(|round| fill(&mut theirs, round));
            eventually("the link is up again", || server.info("master_link_status") == "up");
            compare(&server, &mut theirs);
        }
        // The link is a client of this server's too, and may be cut from here.
        let mut client = server.client();
        let list = client.value("CLIENT LIST TYPE primary").text();
        let address = format!("127.0.0.1:{}", peer.port);
        assert!(list.contains(&format!(" addr={address} ")) && list.contains(" flags=M "), "{list}");
        assert!(list.contains(" user=(superuser) ") && list.lines().count() == 1, "{list}");
        let figure = |name: &str| number_behind(&list, name);
        assert!(figure(" tot-net-in=") > 10_000 && figure(" tot-cmds=") > 300, "{list}");
        eventually("it acknowledges", || {
            number_behind(&client.value("CLIENT LIST TYPE primary").text(), " tot-net-out=") > 30
        });
        for (kill, answer) in
            [("CLIENT KILL TYPE master", ":1~"), (&*format!("CLIENT KILL {address}"), "+OK~")]
        {
            (0..20).for_each(|round| fill(&mut theirs, round));
            client.check(kill, answer);
            eventually("it is gone", || {
                !client.value("CLIENT LIST TYPE primary").text().contains(&list[..9])
            });
            (0..20).for_each(|round| fill(&mut theirs, round));
            eventually("the link is up again", || server.info("master_link_status") == "up");
            compare(&server, &mut theirs);
        }
        assert_ne!(server.info("total_net_repl_input_bytes"), "0");
        assert_eq!(info(&mut theirs, "sync_full"), "1");
        assert_eq!(info(&mut theirs, "sync_partial_ok"), "5");
        theirs.check("FLUSHALL", "+OK~");
        compare(&server, &mut theirs);
    }
}

/// Clients of a replica read, and are told where to write; the primary decides when a key ends.
#[test]
fn a_replica_is_read_only_and_becomes_a_primary() {
    let program = primaries().remove(0);
    let (peer, mut theirs) = primary(&program);
    let server = TestServer::start();
    let mut client = server.client();
    let mut blocked = server.client();
    blocked.send_command("BLPOP list 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    follow(&server, peer.port);
    blocked.check_next(
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)~",
    );
    theirs.check("SET a 1", "+OK~");
    theirs.check("WAIT 1 20000", ":1~");
    client.send(b"GET a\r\nSET a 2\r\nGET a\r\nMULTI\r\nSET a 2\r\nEXEC\r\nDEL a\r\n");
    client.check_next("$1~1~");
    client.check_next("-READONLY You can't write against a read only replica.~");
    client.check_next("$1~1~");
    client.check_next("+OK~");
    client.check_next("-READONLY You can't write against a read only replica.~");
    client.check_next("-EXECABORT Transaction discarded because of previous errors.~");
    client.check_next("-READONLY You can't write against a read only replica.~");
    let script = client.call(&["EVAL", "return redis.call('set', KEYS[1], '2')", "1", "a"]);
    assert!(script.text().contains("READONLY"), "{script:?}");
    let role = client.value("ROLE");
    assert_eq!(role.texts()[..2], ["slave", "127.0.0.1"]);
    client.check(&format!("REPLICAOF 127.0.0.1 {}", peer.port), "+OK Already connected to specified master~");
    client.check("REPLICAOF NO ONE", "+OK~");
    assert_eq!(server.info("role"), "master");
    client.check("SET a 3", "+OK~");
    client.check("GET a", "$1~3~");
    assert_eq!(theirs.value("GET a").text(), "1");
}

/// What was queued before the server became a replica does not run on it: writes on one that is read-only,
/// nothing where the data may be old and `replica-serve-stale-data` says so. Scripts and functions are judged
/// by what they say of themselves, and by what they call.
#[test]
fn a_replica_refuses_what_was_queued_and_what_scripts_say_of_themselves() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.check("SET x 1", "+OK~");
    let library = "#!lua name=test\n\
        server.register_function{function_name='f0', callback=function() return 'hello' end}\n\
        server.register_function{function_name='f1', callback=function() return 'hello' end, flags={'no-writes'}}\n\
        server.register_function{function_name='f2', callback=function() return 'hello' end, \
            flags={'no-writes', 'allow-stale'}}\n\
        server.register_function{function_name='f3', callback=function() return server.call('get', 'x') end, \
            flags={'no-writes', 'allow-stale'}}";
    assert_eq!(client.call(&["FUNCTION", "LOAD", library]).text(), "test");
    let become_a_replica = |client: &mut Client, other: &mut Client, queued: &str, refused: &str| {
        client.check("MULTI", "+OK~");
        client.check(queued, "+QUEUED~");
        other.check("REPLICAOF 127.0.0.1 1", "+OK~");
        client.check("EXEC", &format!("-EXECABORT Transaction discarded because of: {refused}~"));
        client.check("EXEC", "-ERR EXEC without MULTI~");
    };
    let read_only = "READONLY You can't write against a read only replica.";
    become_a_replica(&mut client, &mut other, "SET x 2", read_only);
    client.check("FCALL f0 0", &format!("-{read_only}~"));
    client.check("FCALL f1 0", "$5~hello~");
    client.check("GET x", "$1~1~");
    other.check("REPLICAOF NO ONE", "+OK~");
    other.check("CONFIG SET replica-serve-stale-data no", "+OK~");
    let stale = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    become_a_replica(&mut client, &mut other, "GET x", stale);
    client.check("FCALL f1 0", &format!("-{stale}~"));
    client.check("FCALL f2 0", "$5~hello~");
    client.check("EVAL 'return 1' 0", &format!("-{stale}~"));
    let answer = client.raw("FCALL f3 1 x");
    assert!(answer.starts_with("-ERR Can not execute the command on a stale replica"), "{answer}");
    client.check("MULTI", "+OK~");
    other.check("REPLICAOF NO ONE", "+OK~");
    client.check("GET x", "+QUEUED~");
    client.check("EXEC", "*1~$1~1~");
}

/// WAITAOF asks a replica before its disk has the changes: that they are there is told once they are, not with
/// the acknowledgement of the next second. Forty of them take no forty seconds.
#[test]
fn waitaof_ends_as_soon_as_the_disk_of_the_replica_has_it() {
    const ROUNDS: u64 = 40;
    let primary = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let mut client = primary.client();
    for fsync in ["always", "everysec"] {
        let (replica, faults) = server_with(&[("appendfsync", fsync)]);
        // A disk that is slow from the start: no worker waits for it, which would hold up the link while it hangs.
        faults.sync_ms.store(3, SeqCst);
        follow(&replica, primary.address().port());
        client.check("SET k 0", "+OK~");
        client.check("WAITAOF 0 1 0", "*2~:0~:1~");
        let rounds = if fsync == "always" { ROUNDS } else { 2 };
        let began = Instant::now();
        for round in 0..rounds {
            faults.holds_syncs.store(true, SeqCst);
            client.check(&format!("SET k {round}"), "+OK~");
            client.send_command("WAITAOF 0 1 0");
            eventually("it is acknowledged", || {
                let offset = primary.info("master_repl_offset");
                primary.info("slave0").contains(&format!("offset={offset},"))
            });
            client.check_still_open("it is on no disk");
            faults.holds_syncs.store(false, SeqCst);
            client.check_next("*2~:0~:1~");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(ROUNDS / 2), "{rounds} rounds took {took:?} with {fsync}");
        replica.client().check("REPLICAOF NO ONE", "+OK~");
        eventually("it is gone", || primary.info("connected_slaves") == "0");
    }
}
