//! FAILOVER: a primary hands its role to a replica, no write that was answered is lost, and nobody hangs.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kvarts::shared::clock::Clock;

use crate::chains::{Node, change, compare, found};
use crate::harness::*;
use crate::replica::Replica;

/// Waits until a failover has ended, and the roles are exchanged.
pub fn wait_for_exchange(old: &Node, new: &Node) {
    eventually("the other one has taken over", || new.info("role") == "master");
    eventually("the old primary follows", || old.info("master_link_status") == "up");
    assert_eq!(old.info("master_failover_state"), "no-failover");
    // What CONFIG REWRITE writes down: a former primary must not be one again when it starts.
    if matches!(old, Node::Own(_)) {
        let place = format!("127.0.0.1 {}", new.port());
        assert_eq!(old.client().call(&["CONFIG", "GET", "replicaof"]).texts(), ["replicaof", &place]);
    }
    if matches!(new, Node::Own(_)) {
        assert_eq!(new.client().call(&["CONFIG", "GET", "replicaof"]).texts(), ["replicaof", ""]);
    }
}

/// A primary hands over while clients write, to a replica of its kind and of other kinds, and gets its role
/// back. Everything that was answered with OK is there, without a second copy.
#[test]
fn what_was_answered_outlives_failovers() {
    for programs in [
        ["kvarts", "kvarts", "kvarts"],
        ["kvarts", "valkey-server", "kvarts"],
        ["valkey-server", "kvarts", "valkey-server"],
        ["kvarts", "redis8-server", "kvarts"],
    ] {
        if found(&programs).len() < programs.len() {
            continue;
        }
        println!("{programs:?}");
        let nodes = programs.map(Node::of);
        let [first, second, third] = &nodes;
        change(&mut first.client(), 0);
        second.follow(first);
        third.follow(first);
        compare(&[first, second, third]);
        let (running, answered) = (AtomicBool::new(true), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let _stop = StopAtEnd(&running);
            for writer in 0..4 {
                let (running, answered) = (&running, &answered);
                scope.spawn(move || write_anywhere([first, second], writer, running, answered));
            }
            for (old, new) in [(first, second), (second, first), (first, second)] {
                let before = answered.load(Ordering::SeqCst);
                eventually("there are writes", || answered.load(Ordering::SeqCst) > before + 100);
                old.client().check(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", new.port()), "+OK~");
                wait_for_exchange(old, new);
                // One that misses two changes of ids needs a copy.
                third.wait_for_link();
                eventually("it knows the id", || third.info("master_replid") == new.info("master_replid"));
            }
        });
        third.wait_for_link();
        compare(&[second, first, third]);
        let mut client = second.client();
        client.check("SELECT 2", "+OK~");
        let total: u64 = (0..4).map(|writer| number(&client.raw(&format!("GET w{writer}")))).sum();
        let answered = answered.load(Ordering::SeqCst);
        assert!(total >= answered, "{answered} were answered, {total} are there");
        assert!(total <= answered + 4 * 4, "nothing was repeated: {answered} answered, {total} there");
        let copies = nodes.each_ref().map(|node| node.info("sync_full"));
        assert_eq!(copies, ["2", "0", "0"], "those at the beginning");
    }
}

pub fn number(reply: &str) -> u64 {
    reply.trim_matches(['$', '~']).rsplit('~').next().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Counts up a key of its own on whichever of two servers takes writes.
pub fn write_anywhere(nodes: [&Node; 2], writer: usize, running: &AtomicBool, answered: &AtomicU64) {
    let mut turn = 0;
    while running.load(Ordering::SeqCst) {
        let mut client = nodes[turn % 2].client();
        client.check("SELECT 2", "+OK~");
        while running.load(Ordering::SeqCst) {
            let reply = client.raw(&format!("INCR w{writer}"));
            if !reply.starts_with(':') {
                assert!(reply.starts_with("-READONLY You can't write"), "{reply}");
                break;
            }
            answered.fetch_add(1, Ordering::SeqCst);
        }
        turn += 1;
    }
}

/// Whoever waits when the role changes is answered at once: writes with READONLY, or where the client follows
/// redirections with the new primary's address, waits for keys with UNBLOCKED or that address; subscribers
/// stay.
#[test]
fn nobody_hangs_when_the_role_changes() {
    let (old, new) = (Node::own(&[]), Node::own(&[]));
    new.follow(&old);
    let (mut waits, mut waits_redirected) = (old.client(), old.client());
    let (mut transaction, mut subscriber, mut redirected) = (old.client(), old.client(), old.client());
    for client in [&mut redirected, &mut waits_redirected] {
        client.check("CLIENT CAPA redirect", "+OK~");
    }
    waits.send_command("BLPOP never 0");
    waits_redirected.send_command("BLPOP never 0");
    let mut stays = old.client();
    stays.check("CLIENT CAPA redirect", "+OK~");
    stays.check("READONLY", "+OK~");
    stays.send_command("XREAD BLOCK 0 STREAMS stream $");
    transaction.check("MULTI", "+OK~");
    transaction.check("SET k v", "+QUEUED~");
    let mut redirected_transaction = old.client();
    redirected_transaction.check("CLIENT CAPA redirect", "+OK~");
    redirected_transaction.check("MULTI", "+OK~");
    redirected_transaction.check("SET k v", "+QUEUED~");
    subscriber.check("SUBSCRIBE channel", "*3~$9~subscribe~$7~channel~:1~");
    eventually("all wait", || old.info("blocked_clients") == "3");
    old.client().check("FAILOVER", "+OK~");
    let unblocked =
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)~";
    let to_new = format!("-REDIRECT 127.0.0.1:{}~", new.port());
    waits.check_next(unblocked);
    waits_redirected.check_next(&to_new);
    assert_eq!(old.info("errorstat_REDIRECT"), "count=1");
    assert_eq!(old.info("errorstat_UNBLOCKED"), "count=1");
    transaction.send_command("EXEC");
    let refused =
        "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.~";
    transaction.check_next(refused);
    wait_for_exchange(&old, &new);
    transaction.check("SET k v", "-READONLY You can't write against a read only replica.~");
    redirected_transaction.check("EXEC", &to_new);
    redirected.check("SET k v", &to_new);
    redirected.check("GET k", &to_new);
    redirected.check("PING", "+PONG~");
    redirected.check("READONLY", "+OK~");
    redirected.check("GET k", "$-1~");
    redirected.check("READWRITE", "+OK~");
    redirected.check("GET k", &to_new);
    new.client().check("XADD stream 1-1 f v", "$3~1-1~");
    stays.check_next("*1~*2~$6~stream~*1~*2~$3~1-1~*2~$1~f~$1~v~");
    new.client().raw("PUBLISH channel hello");
    subscriber.check_next("*3~$7~message~$7~channel~$5~hello~");
}

/// A replica that does not catch up: writes wait until the time is over and go on then; FORCE has the replica
/// take over all the same; ABORT ends both.
#[test]
fn a_replica_that_is_behind_is_waited_for() {
    let server = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let (mut client, mut writer) = (server.client(), server.client());
    client.check("SET k v", "+OK~");
    let (mut replica, _, _) = Replica::follow(&server);
    eventually("it is online", || server.info("slave0").contains("state=online"));
    client.check("FAILOVER ABORT", "-ERR No failover in progress.~");
    client.check("SET k v", "+OK~");
    client.check("FAILOVER TO 127.0.0.1 7001 TIMEOUT 5000", "+OK~");
    assert_eq!(server.info("master_failover_state"), "waiting-for-sync");
    client.check("FAILOVER", "-ERR FAILOVER already in progress.~");
    client.check("REPLICAOF NO ONE", "-ERR REPLICAOF not allowed while failing over.~");
    client.check("GET k", "$1~v~");
    assert_eq!(server.info("paused_reason"), "failover_in_progress");
    writer.send_command("SET k w");
    client.check("CLIENT UNPAUSE", "+OK~");
    eventually("the write waits", || server.info("blocked_clients") == "1");
    server.advance_ms(5001);
    writer.check_next("+OK~");
    assert_eq!(server.info("master_failover_state"), "no-failover");
    // By hand.
    client.check("FAILOVER", "+OK~");
    writer.send_command("SET k x");
    eventually("the write waits", || server.info("blocked_clients") == "1");
    // A wider pause on top of it, and its end: what only reads goes on.
    client.check("CLIENT PAUSE 100 ALL", "+OK~");
    let mut reader = server.client();
    reader.send_command("GET k");
    let held = || {
        server.handle().server().clients.all().iter().filter(|c| c.blocked.load(Ordering::Relaxed)).count()
    };
    eventually("the read waits too", || held() == 2);
    server.advance_ms(100);
    reader.check_next("$1~w~");
    client.check("FAILOVER ABORT", "+OK~");
    writer.check_next("+OK~");
    // By force: this server follows a port where nobody listens, until it is told not to.
    let port = free_port();
    let mut other = Replica::connect(&server);
    other.introduce(port);
    other.ask_for_all();
    assert!(!other.copy().is_empty());
    eventually("there are two", || server.info("connected_slaves") == "2");
    other.acknowledge(0);
    eventually("it is online", || server.info("slave1").contains("state=online"));
    let mut waiting = server.client();
    waiting.send_command("BLPOP list 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    client.check(&format!("FAILOVER TO 127.0.0.1 {port} FORCE TIMEOUT 1000"), "+OK~");
    writer.send_command("SET k y");
    eventually("the write waits too", || server.info("blocked_clients") == "2");
    server.advance_ms(1001);
    eventually("it is under way", || server.info("master_failover_state") == "failover-in-progress");
    assert_eq!(server.info("role"), "slave");
    client.check("PSYNC ? -1", "-NOMASTERLINK Can't SYNC while failing over~");
    // It may still come to nothing: those that wait for keys stay where they are for a second, others hear what the
    // server is now.
    client.check("SET k z", "-READONLY You can't write against a read only replica.~");
    // Writes that were held wait for a second: they run here where the other server refuses. What calls clients
    // for other reasons, as the clock does here, changes nothing about that.
    for _ in 0..9 {
        server.advance_ms(111);
        assert_eq!(server.info("blocked_clients"), "2");
    }
    server.advance_ms(1);
    writer.check_next("-READONLY You can't write against a read only replica.~");
    waiting.check_next(
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)~",
    );
    assert_eq!(server.info("blocked_clients"), "0");
    client.check("FAILOVER ABORT", "+OK~");
    assert_eq!(server.info("role"), "master");
    writer.check("SET k y", "+OK~");
    client.check("RPUSH list x", ":1~");
    replica.expect_closed();
}

/// Valkey and Redis answer the question what they have before they count it. They take over with that answer, and
/// not with the one that they give each second; where they have everything they are not asked at all.
#[test]
fn the_answer_to_the_question_is_enough() {
    let server = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let mut client = server.client();
    let port = free_port();
    let mut replica = Replica::connect(&server);
    replica.introduce(port);
    let (_, offset) = replica.ask_for_all();
    replica.copy();
    replica.acknowledge(offset);
    eventually("it is online", || server.info("slave0").contains("state=online"));
    client.check("SET k v", "+OK~");
    client.check("FAILOVER", "+OK~");
    let set = "*2~$6~SELECT~$1~0~*3~$3~SET~$1~k~$1~v~";
    replica.expect(&format!("{set}*3~$8~REPLCONF~$6~GETACK~$1~*~"));
    assert_eq!(server.info("master_failover_state"), "waiting-for-sync");
    let before = offset + set.replace('~', "\r\n").len() as u64;
    replica.acknowledge(before - 1);
    // A question of others is answered the same way.
    let mut waits = server.client();
    waits.send_command("WAIT 1 0");
    replica.acknowledge(before);
    eventually("it is under way", || server.info("master_failover_state") == "failover-in-progress");
    client.check("FAILOVER ABORT", "+OK~");
    waits.check_next(":1~");

    let server = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let mut client = server.client();
    let mut replica = Replica::connect(&server);
    replica.introduce(port);
    let (_, offset) = replica.ask_for_all();
    replica.copy();
    replica.acknowledge(offset);
    eventually("it is online", || server.info("slave0").contains("state=online"));
    client.check("FAILOVER", "+OK~");
    eventually("it is under way", || server.info("master_failover_state") == "failover-in-progress");
    assert_eq!(server.info("master_repl_offset"), offset.to_string());
    client.check("FAILOVER ABORT", "+OK~");
}

/// A target that refuses to take over: what was held meanwhile runs here, and nobody has heard of it.
#[test]
fn what_is_held_outlives_a_target_that_refuses() {
    let server = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut replica = Replica::connect(&server);
    replica.introduce(listener.local_addr().expect("an address").port());
    let (_, offset) = replica.ask_for_all();
    replica.copy();
    replica.acknowledge(offset);
    eventually("it is online", || server.info("slave0").contains("state=online"));
    let (mut client, mut waits, mut writer) = (server.client(), server.client(), server.client());
    waits.send_command("BRPOP list 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    client.check("SET k v", "+OK~");
    client.check("FAILOVER", "+OK~");
    writer.send_command("LPUSH list a b");
    eventually("it is held", || server.info("blocked_clients") == "2");
    replica.acknowledge(server.info("master_repl_offset").parse().expect("an offset"));
    let (mut link, _) = listener.accept().expect("it connects");
    eventually("it is under way", || server.info("master_failover_state") == "failover-in-progress");
    assert_eq!((server.info("role"), server.info("blocked_clients")), ("slave".to_owned(), "2".to_owned()));
    let mut input = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = link.read(&mut piece).expect("it asks");
        assert!(count > 0, "it goes on asking");
        input.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&input).into_owned();
        if text.contains("FAILOVER\r\n") {
            break;
        }
        if text.ends_with("\r\n") {
            link.write_all("+OK\r\n".repeat(text.matches('*').count()).as_bytes()).expect("it reads");
            input.clear();
        }
    }
    link.write_all(b"-NOPERM no\r\n").expect("it reads");
    waits.check_next("*2~$4~list~$1~a~");
    writer.check_next(":2~");
    assert_eq!(server.info("master_failover_state"), "no-failover");
    assert_eq!(server.info("role"), "master");
}

/// A target that is cut off or frozen: after a second all that wait or are held are answered as by a replica, also
/// what comes later; when the failover is given up the server is a primary again.
#[test]
fn nobody_waits_for_a_target_that_does_not_answer() {
    const READONLY: &str = "-READONLY You can't write against a read only replica.~";
    const UNBLOCKED: &str =
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)~";
    let server = TestServer::with_clock(&[("repl-diskless-sync-delay", "0")], Clock::system());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = listener.local_addr().expect("an address").port();
    let mut replica = Replica::connect(&server);
    replica.introduce(place);
    let (_, offset) = replica.ask_for_all();
    replica.copy();
    replica.acknowledge(offset);
    eventually("it is online", || server.info("slave0").contains("state=online"));
    let waits =
        [("BLPOP list 0", UNBLOCKED), ("XREAD BLOCK 0 STREAMS x $", UNBLOCKED), ("WAIT 5 0", UNBLOCKED)];
    let mut waiting: Vec<_> =
        waits.iter().map(|(request, answer)| (server.client(), request, answer)).collect();
    waiting.iter_mut().for_each(|(client, request, _)| client.send_command(request));
    eventually("they wait", || server.info("blocked_clients") == "3");
    let mut client = server.client();
    client.check(&format!("FAILOVER TO 127.0.0.1 {place} FORCE TIMEOUT 1"), "+OK~");
    let held = [
        ("SET k v", READONLY),
        ("EVAL \"return redis.call('set', KEYS[1], '1')\" 1 k", "-READONLY You can't write"),
        ("EVAL 'return 1' 0", ":1~"),
        ("PUBLISH c m", ":0~"),
        ("PFCOUNT h", ":0~"),
    ];
    let mut holding: Vec<_> =
        held.iter().map(|(request, answer)| (server.client(), answer, request)).collect();
    holding.iter_mut().for_each(|(client, _, request)| client.send_command(request));
    for (client, request, answer) in &mut waiting {
        assert_eq!(show(&client.read_raw()), **answer, "{request}");
    }
    for (client, answer, request) in &mut holding {
        let read = show(&client.read_raw());
        assert!(read.starts_with(**answer), "{request}: {read}");
    }
    client.check("BLPOP list 0", READONLY);
    assert_eq!(server.info("master_failover_state"), "failover-in-progress");
    client.check("FAILOVER ABORT", "+OK~");
    client.check("SET k v", "+OK~");
}

/// What cannot be begun is refused, with the texts of the peers.
#[test]
fn failovers_that_cannot_be_are_refused() {
    let server = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let mut client = server.client();
    client.check("FAILOVER", "-ERR FAILOVER requires connected replicas.~");
    client.check("FAILOVER TO 127.0.0.1 1", "-ERR FAILOVER requires connected replicas.~");
    client.check("FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0~");
    client.check("FAILOVER TIMEOUT x", "-ERR value is not an integer or out of range~");
    client.check("FAILOVER TO 127.0.0.1", "-ERR syntax error~");
    client.check("FAILOVER ABORT ABORT", "-ERR syntax error~");
    client.check("FAILOVER FORCE FORCE", "-ERR syntax error~");
    let (_replica, id, _) = Replica::follow(&server);
    client.check("FAILOVER TO 127.0.0.1 7002", "-ERR FAILOVER target HOST and PORT is not a replica.~");
    let both = "-ERR FAILOVER with force option requires both a timeout and target HOST and IP.~";
    client.check("FAILOVER TO 127.0.0.1 7001 FORCE", both);
    client.check("FAILOVER FORCE TIMEOUT 10", both);
    client.check(&format!("PSYNC {id} 1 FAILOVER"), "-ERR PSYNC FAILOVER can't be sent to a master.~");
    let other = Node::own(&[]);
    other.client().check(&format!("REPLICAOF 127.0.0.1 {}", server.handle().ports().main), "+OK~");
    other.wait_for_link();
    other.client().check("FAILOVER", "-ERR FAILOVER is not valid when server is a replica.~");
    let wrong = "0".repeat(40);
    let refused = "-ERR PSYNC FAILOVER replid must match my replid.~";
    other.client().check(&format!("PSYNC {wrong} 1 FAILOVER"), refused);
}

/// A transaction that makes its server a replica, or a primary: what it changed before is of the history of before,
/// what it would change as a replica is refused, and what it changes as a primary is of the new one. Changes entered
/// behind the switch stood in another server's stream, where they circulated without end or were missing for good.
#[test]
fn a_role_may_change_within_a_transaction() {
    const READONLY: &str = "-READONLY You can't write against a read only replica.~";
    for other in found(&["kvarts", "valkey-server"]) {
        // In a circle with its own replica.
        let (server, replica) = (Node::own(&[]), Node::of(other));
        replica.follow(&server);
        server.client().check("SET base 1", "+OK~");
        let mut client = server.client();
        client.check("WAIT 1 20000", ":1~");
        let follow = format!("REPLICAOF 127.0.0.1 {}", replica.port());
        let transaction = format!("MULTI\r\nINCR n\r\n{follow}\r\nINCR n\r\nGET n\r\nEXEC\r\nINCR n\r\n");
        client.send(transaction.as_bytes());
        client.check_next("+OK~");
        (0..4).for_each(|_| client.check_next("+QUEUED~"));
        client.check_next(&format!("*4~:1~+OK~{READONLY}$1~1~"));
        client.check_next(READONLY);
        eventually("it has come", || replica.client().raw("GET n") == "$1~1~");
        replica.client().check("REPLICAOF NO ONE", "+OK~");
        replica.client().check("SET y 1", "+OK~");
        eventually("it has come", || server.client().raw("GET y") == "$1~1~");
        compare(&[&server, &replica]);
        // Behind a server that goes another way: only a copy makes them one again.
        server.client().check("REPLICAOF NO ONE", "+OK~");
        let mut client = server.client();
        client.send(transaction.as_bytes());
        client.check_next("+OK~");
        (0..4).for_each(|_| client.check_next("+QUEUED~"));
        client.check_next(&format!("*4~:2~+OK~{READONLY}$1~2~"));
        client.check_next(READONLY);
        server.wait_for_link();
        replica.client().check("INCR n", ":2~");
        eventually("it has come", || server.client().raw("GET n") == "$1~2~");
        compare(&[&server, &replica]);
        // And back: the replica becomes a primary and changes data in one transaction, with a replica behind it.
        let last = Node::of(other);
        last.follow(&server);
        let mut client = server.client();
        client.check("CONFIG SET replica-read-only no", "+OK~");
        client.send(b"MULTI\r\nREPLICAOF NO ONE\r\nINCR n\r\nSET z 1\r\nEXEC\r\nSET after 1\r\n");
        client.check_next("+OK~");
        (0..3).for_each(|_| client.check_next("+QUEUED~"));
        client.check_next("*3~+OK~:3~+OK~");
        client.check_next("+OK~");
        eventually("it has come", || last.client().raw("GET after") == "$1~1~");
        compare(&[&server, &last]);
    }
    let server = Node::own(&[]);
    let mut client = server.client();
    client.check("MULTI ATOMIC", "+OK~");
    let refused = "-ERR Command 'replicaof' cannot be undone, so it is not allowed with MULTI ATOMIC~";
    client.check("REPLICAOF NO ONE", refused);
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
}
