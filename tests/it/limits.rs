//! Limits on what clients may take: connections, buffers, sizes; and a bug's reach.

use crate::harness::*;
use crate::program::Program;

/// A command that panics ends its own connection only: its locks are free afterwards, and the client is in no
/// list any more.
#[test]
fn a_panic_costs_one_connection() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut other = server.client();
    other.check("MSET a 1 {a}b 2", "+OK~");
    let mut client = server.client();
    client.check("SET a 2", "+OK~");
    client.send_command("DEBUG PANIC");
    client.expect_closed();
    // Its locks are free again, and it is off every list.
    for line in
        ["GET a", "INCR a", "SET a 3", "DEL a {a}b", "FLUSHALL", "SWAPDB 0 1", "DBSIZE", "INFO everything"]
    {
        let reply = other.raw(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    eventually("it is forgotten", || server.handle().server().clients.count() == 1);
    assert_eq!(other.value("CLIENT LIST").text().lines().count(), 1);
}

/// What a pipeline changed before a command of it panicked stays; nothing behind that command runs.
#[test]
fn a_panic_in_a_pipeline_leaves_what_ran_before_it() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.send(b"SET a 1\r\nDEBUG PANIC\r\nSET b 2\r\n");
    client.read_to_end();
    server.client().check("MGET a b", "*2~$1~1~$-1~");
}

/// Beyond `maxclients` a client is told so and disconnected, and counted. A client that leaves makes room.
#[test]
fn maxclients() {
    let server = TestServer::with(&[("maxclients", "2")]);
    let mut first = server.client();
    first.check("PING", "+PONG~");
    let mut second = server.client();
    second.check("PING", "+PONG~");
    let mut third = server.client();
    assert_eq!(show(&third.read_to_end()), "-ERR max number of clients reached~");
    assert_eq!(info(&mut first, "rejected_connections"), "1");
    drop(second);
    eventually("its place is free", || server.handle().server().clients.count() == 1);
    server.client().check("PING", "+PONG~");
    eventually("its place is free", || server.handle().server().clients.count() == 1);
    first.check("CONFIG SET maxclients 1", "+OK~");
    let mut fourth = server.client();
    assert_eq!(show(&fourth.read_to_end()), "-ERR max number of clients reached~");
}

/// A request larger than `client-query-buffer-limit` ends its connection, without a reply, as in Redis.
#[test]
fn client_query_buffer_limit() {
    let server = TestServer::with(&[("client-query-buffer-limit", "1mb")]);
    let mut client = server.client();
    client.check("PING", "+PONG~");
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 8 << 20);
    drop(client.try_send(head.as_bytes()));
    drop(client.try_send(&vec![b'x'; 8 << 20]));
    assert_eq!(show(&client.read_to_end()), "");
    assert_eq!(server.info("client_query_buffer_limit_disconnections"), "1");
    let mut client = server.client();
    client.check("EXISTS k", ":0~");
    let value = "x".repeat(500_000);
    assert_eq!(client.call(&["SET", "k", &value]), Value::Simple("OK".into()));
}

/// `proto-max-bulk-len` bounds an argument, and what APPEND and SETRANGE may make of a string; CONFIG SET
/// raises it at once.
#[test]
fn proto_max_bulk_len() {
    let server = TestServer::with(&[("proto-max-bulk-len", "1mb")]);
    let mut client = server.client();
    client.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n");
    assert_eq!(show(&client.read_to_end()), "-ERR Protocol error: invalid bulk length~");
    let mut client = server.client();
    let text = "x".repeat(1 << 20);
    assert!(client.call(&["ECHO", &text]) == Value::Bulk(text.as_bytes().to_vec()));
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)~";
    assert_eq!(client.call(&["SET", "k", &text]), Value::Simple("OK".into()));
    client.check("APPEND k x", too_long);
    client.check("SETRANGE k 1048576 x", too_long);
    client.check("SETRANGE k 1048575 y", ":1048576~");
    client.check("SETRANGE other 1048576 x", too_long);
    client.check("EXISTS other", ":0~");
    client.check("CONFIG SET proto-max-bulk-len 2mb", "+OK~");
    client.check("APPEND k x", ":1048577~");
}

/// Messages that a subscriber does not read are held up to the hard limit of its class, and no further.
#[test]
fn a_subscriber_that_does_not_read_is_cut() {
    let server = TestServer::with(&[("client-output-buffer-limit", "pubsub 1mb 0 0")]);
    let mut subscriber = server.client();
    subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    let mut publisher = server.client();
    let message = "x".repeat(100_000);
    let mut sent = 0;
    while publisher.call(&["PUBLISH", "ch", &message]) == Value::Int(1) {
        sent += 1;
        assert!(sent < 1000, "100 MB wait for a client that does not read");
    }
    assert!(sent >= 10, "cut after {sent} messages");
    eventually("it is forgotten", || server.handle().server().clients.count() == 1);
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), "1");
    subscriber.read_to_end();
}

/// Who is cut for what it does not read is in the log as CLIENT LIST shows it, once, whoever found out.
#[test]
fn a_client_over_an_output_limit_is_in_the_log() {
    let limits = "normal 1mb 0 0 pubsub 1mb 0 0";
    let program = Program::start(&["--client-output-buffer-limit", limits]);
    let lines = |id: i64| {
        let log = program.log();
        let of_it = format!("Client id={id} addr=127.0.0.1:");
        log.lines().filter(|line| line.contains(&of_it)).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut client = program.client();
    let mut subscriber = program.client();
    let id = subscriber.value("CLIENT ID").int();
    subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    let message = "x".repeat(100_000);
    let mut sent = 0;
    while client.call(&["PUBLISH", "ch", &message]) == Value::Int(1) {
        sent += 1;
        assert!(sent < 1000, "100 MB wait for a client that does not read");
    }
    eventually("the subscriber is told of", || !lines(id).is_empty());
    client.call(&["SET", "big", &"x".repeat(500_000)]);
    let mut other = program.client();
    let other_id = other.value("CLIENT ID").int();
    let requests: Vec<u8> = (0..200).flat_map(|_| encode(&["GET", "big"])).collect();
    drop(other.try_send(&requests));
    eventually("the other is told of", || !lines(other_id).is_empty());
    for (id, part) in [(id, " sub=1 "), (other_id, " sub=0 ")] {
        let told = lines(id);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(part) && told[0].contains(" omem="), "{told:?}");
        assert!(told[0].contains(" closed for overcoming of output buffer limits."), "{told:?}");
    }
}

/// Replies that a client does not read are held up to the hard limit of the normal class, and no further.
#[test]
fn a_client_over_the_normal_output_limit_is_cut() {
    let server = TestServer::with(&[("client-output-buffer-limit", "normal 1mb 0 0")]);
    let mut client = server.client();
    let value = "x".repeat(500_000);
    client.call(&["SET", "big", &value]);
    let requests: Vec<u8> = (0..200).flat_map(|_| encode(&["GET", "big"])).collect();
    drop(client.try_send(&requests));
    let mut other = server.client();
    other.check("PING", "+PONG~");
    eventually("it is cut", || server.handle().server().clients.count() == 1);
    assert_eq!(info(&mut other, "client_output_buffer_limit_disconnections"), "1");
}

/// A client that has not authenticated may announce ten arguments of 16 KiB: a stranger makes the server hold
/// little.
#[test]
fn limits_before_authentication() {
    let server = TestServer::with(&[("requirepass", "secret")]);
    let mut client = server.client();
    client.send(b"*11\r\n");
    assert_eq!(show(&client.read_to_end()), "-ERR Protocol error: unauthenticated multibulk length~");
    let mut client = server.client();
    client.send(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n");
    assert_eq!(show(&client.read_to_end()), "-ERR Protocol error: unauthenticated bulk length~");
    let mut client = server.client();
    client.check("AUTH secret", "+OK~");
    let text = "x".repeat(20_000);
    assert!(client.call(&["ECHO", &text]) == Value::Bulk(text.as_bytes().to_vec()));
}

/// `timeout` closes a client that sent nothing for longer, by the server's clock, and spares subscribers.
#[test]
fn idle_clients_are_closed_by_the_clock() {
    let server = TestServer::with(&[("timeout", "10")]);
    let mut idle = server.client();
    let mut subscriber = server.client();
    idle.check("PING", "+PONG~");
    subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    server.advance_ms(10_000);
    server.handle().server().look_after_clients();
    idle.check("PING", "+PONG~");
    server.advance_ms(11_000);
    server.handle().server().look_after_clients();
    idle.expect_closed();
    subscriber.check_silent();
}

/// Over `maxmemory-clients` the client with the most memory goes first; CLIENT NO-EVICT spares one.
#[test]
fn clients_that_take_most_are_cut_when_all_take_too_much() {
    // A buffer may take twice of what is in it: without the larger client all are within the limit.
    let server = TestServer::with(&[("maxmemory-clients", "10mb")]);
    let (mut small, mut large, mut kept) = (server.client(), server.client(), server.client());
    kept.check("CLIENT NO-EVICT on", "+OK~");
    // Arguments that never become whole: they wait in the query buffers.
    kept.send(b"*2\r\n$4\r\nECHO\r\n$9000000\r\n");
    kept.send(&vec![b'x'; 3_000_000]);
    large.send(b"*2\r\n$4\r\nECHO\r\n$9000000\r\n");
    let _ = large.try_send(&vec![b'x'; 8_900_000]);
    eventually("the larger one is cut", || server.info("evicted_clients") == "1");
    large.expect_closed();
    small.check("PING", "+PONG~");
    small.check("CONFIG SET maxmemory-clients 0", "+OK~");
    kept.send(&vec![b'x'; 6_000_000]);
    kept.send(b"\r\n");
    assert_eq!(kept.read(), Value::Bulk(vec![b'x'; 9_000_000]));
}

/// Names of watched keys, channels, patterns and prefixes count as a client's memory, as long as it has them.
#[test]
fn names_that_a_client_keeps_are_its_memory() {
    let server = TestServer::start();
    let (mut admin, mut client) = (server.client(), server.client3());
    let id = client.value("CLIENT ID").int();
    let mut memory = || {
        let line = admin.raw(&format!("CLIENT LIST ID {id}"));
        let memory = line.split(' ').find_map(|field| field.strip_prefix("tot-mem=")).expect("a figure");
        memory.parse::<usize>().expect("a number")
    };
    let long = "x".repeat(50_000);
    client.check("PING", "+PONG~");
    let before = memory();
    let took = |memory: usize| (40_000..300_000).contains(&(memory as i64 - before as i64));
    for (begin, end) in [
        ("WATCH X", "UNWATCH"),
        ("SUBSCRIBE X", "UNSUBSCRIBE X"),
        ("PSUBSCRIBE X", "PUNSUBSCRIBE X"),
        ("SSUBSCRIBE X", "SUNSUBSCRIBE X"),
        ("CLIENT TRACKING on BCAST PREFIX X", "CLIENT TRACKING off"),
    ] {
        client.value(&begin.replace('X', &long));
        client.check("PING", "+PONG~");
        let with = memory();
        assert!(took(with), "{begin} {before} {with}");
        client.value(&end.replace('X', &long));
        client.check("PING", "+PONG~");
        let without = memory();
        assert!(!took(without), "{end} {before} {without}");
    }
    // And is cut for it.
    admin.check("CONFIG SET maxmemory-clients 2mb", "+OK~");
    for number in 0..40 {
        if client.try_send(&encode(&["WATCH", &format!("{long}{number}")])).is_err() {
            break;
        }
    }
    eventually("it is cut", || info(&mut admin, "evicted_clients") == "1");
}

/// CLIENT LIST shows nobody who is over `maxmemory-clients`: they are cut before it looks.
#[test]
fn the_list_shows_clients_within_the_limit() {
    let server = TestServer::start();
    let mut admin = server.client();
    admin.check("CLIENT NO-EVICT on", "+OK~");
    let mut large: Vec<Client> = (0..6).map(|_| server.client()).collect();
    for (number, client) in large.iter_mut().enumerate() {
        client.check(&format!("CLIENT SETNAME large{number}"), "+OK~");
        client.send(b"*2\r\n$4\r\nECHO\r\n$1000000\r\n");
        client.send(&vec![b'x'; 999_999]);
    }
    let shown = |text: String| text.matches("name=large").count();
    let held = |text: &str| -> Vec<usize> {
        let figures = text.split(' ').filter_map(|field| field.strip_prefix("tot-mem="));
        figures.map(|figure| figure.parse().expect("a number")).collect()
    };
    eventually("all of it arrived", || {
        held(&admin.raw("CLIENT LIST")).iter().filter(|bytes| **bytes >= 1_000_000).count() == 6
    });
    let all = held(&admin.raw("CLIENT LIST"));
    let limit = all.iter().max().expect("one") * 3 + 100_000;
    admin.check(&format!("CONFIG SET maxmemory-clients {limit}"), "+OK~");
    assert_eq!(shown(admin.raw("CLIENT LIST")), 3);
    assert_eq!(info(&mut admin, "evicted_clients"), "3");
}

/// `maxmemory-clients` in percent is a share of `maxmemory`, and no limit while that is 0.
#[test]
fn a_share_of_maxmemory_may_be_the_limit_of_clients() {
    let server = TestServer::with(&[("maxmemory-clients", "10%"), ("maxmemory", "0")]);
    let (mut client, mut large) = (server.client(), server.client());
    large.send(b"*2\r\n$4\r\nECHO\r\n$9000000\r\n");
    let _ = large.try_send(&vec![b'x'; 5_000_000]);
    // Without a limit of memory there is none for clients.
    client.check("PING", "+PONG~");
    client.check("CONFIG SET maxmemory-policy noeviction maxmemory 40mb", "+OK~");
    large.expect_closed();
    assert_eq!(server.info("evicted_clients"), "1");
}

/// A client that sends requests and reads no replies is not served on once 256 MB wait for it, though its
/// class has no limit; when it reads, it gets everything.
#[test]
fn a_client_that_never_reads_is_not_served_on() {
    const VALUE: usize = 1_000_000;
    let server = TestServer::start();
    let mut other = server.client();
    other.call(&[&b"SET"[..], b"k", &vec![b'v'; VALUE]]);
    let mut silent = server.client();
    let id = silent.value("CLIENT ID").int();
    silent.send(&encode(&["GET", "k"]).repeat(320));
    // More is asked for than is made.
    let field = |other: &mut Client, name: &str| -> usize {
        let line = other.value(&format!("CLIENT LIST ID {id}")).text();
        let field = line.split(' ').find_map(|field| field.strip_prefix(name)).expect("the field");
        field.trim().parse().expect("a number")
    };
    eventually("replies wait", || field(&mut other, "omem=") >= 255 * VALUE);
    for _ in 0..100 {
        other.value("INCR n");
        assert!(field(&mut other, "omem=") < 290 * VALUE);
    }
    assert!(field(&mut other, "tot-cmds=") < 310);
    // When it reads, it gets all.
    for _ in 0..320 {
        assert_eq!(silent.read_raw().len(), VALUE + "$1000000\r\n\r\n".len());
    }
    // The limit of its class cuts it before.
    other.check("CONFIG SET client-output-buffer-limit 'normal 10mb 0 0'", "+OK~");
    silent.send(&encode(&["GET", "k"]).repeat(320));
    eventually("it is cut", || other.value(&format!("CLIENT LIST ID {id}")).text().is_empty());
}

/// Many clients that read nothing share a limit: beyond it each has one reply at most, and gets all when it
/// reads.
#[test]
fn clients_that_never_read_share_the_memory() {
    const VALUE: usize = 1_000_000;
    const SHARED: usize = 10 * VALUE;
    const CLIENTS: usize = 20;
    const GETS: usize = 20;
    let server = TestServer::start();
    let inner = server.handle().server();
    inner.clients.unread_max.store(SHARED, std::sync::atomic::Ordering::Relaxed);
    let mut other = server.client();
    other.call(&[&b"SET"[..], b"k", &vec![b'v'; VALUE]]);
    let mut silent: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
    silent.iter_mut().for_each(|client| client.send(&encode(&["GET", "k"]).repeat(GETS)));
    let waiting = |other: &mut Client| -> usize {
        let list = other.value("CLIENT LIST").text();
        list.split(' ').filter_map(|field| field.strip_prefix("omem=")?.parse::<usize>().ok()).sum()
    };
    eventually("replies wait", || waiting(&mut other) >= SHARED);
    for _ in 0..100 {
        other.value("INCR n");
        // Each may have run one request more than it should, before it was told, and one that it may.
        assert!(waiting(&mut other) < SHARED + CLIENTS * 2 * (VALUE + 100_000));
    }
    for client in &mut silent {
        for _ in 0..GETS {
            assert_eq!(client.read_raw().len(), VALUE + "$1000000\r\n\r\n".len());
        }
    }
}

/// A request that arrives byte by byte, over many seconds, delays no other client and is run when it is
/// whole.
#[test]
fn a_client_that_sends_a_byte_at_a_time_holds_up_nobody() {
    let server = TestServer::start();
    let (mut slow, mut other) = (server.client(), server.client());
    for (number, byte) in encode(&["SET", "key", "value"]).into_iter().enumerate() {
        slow.send(&[byte]);
        server.advance_ms(1_000);
        other.check("INCR n", &format!(":{}~", number + 1));
    }
    slow.check_next("+OK~");
    other.check("GET key", "$5~value~");
}

/// An argument of 512 MB, the default of `proto-max-bulk-len`, is taken while others are served; one byte
/// more is refused.
#[test]
fn the_largest_argument_is_taken_and_a_larger_one_is_not() {
    const LARGEST: usize = 512 * 1024 * 1024;
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${LARGEST}\r\n").as_bytes());
    let piece = vec![b'x'; 4 * 1024 * 1024];
    for _ in 0..LARGEST / piece.len() {
        client.send(&piece);
        other.check("PING", "+PONG~");
    }
    client.send(b"\r\n");
    client.check_next("+OK~");
    other.check("STRLEN k", &format!(":{LARGEST}~"));
    other.check("DEL k", ":1~");
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", LARGEST + 1).as_bytes());
    client.check_next("-ERR Protocol error: invalid bulk length~");
    client.expect_closed();
}

/// A client that has not authenticated and does not read had as much held for it as any other.
#[test]
fn little_is_held_for_strangers() {
    let server = TestServer::with(&[("requirepass", "secret"), ("enable-debug-command", "yes")]);
    let mut stranger = server.client();
    let requests = b"PING\r\n".repeat(1000);
    for _ in 0..20_000 {
        if stranger.try_send(&requests).is_err() {
            break;
        }
    }
    let mut admin = server.client();
    admin.check("AUTH secret", "+OK~");
    eventually("it is cut", || info(&mut admin, "client_output_buffer_limit_disconnections") == "1");
    // A client that was authenticated once is no stranger, whatever waits for it.
    admin.check("DEBUG CLIENT-ENFORCE-REPLY-LIST 1", "+OK~");
    let mut stranger = server.client();
    stranger.send_command("PING");
    stranger.read_to_end();
    let mut known = server.client();
    known.check("AUTH secret", "+OK~");
    known.check("RESET", "+RESET~");
    known.check("PING", "-NOAUTH Authentication required.~");
    admin.check("DEBUG CLIENT-ENFORCE-REPLY-LIST 0", "+OK~");
    server.client().check("PING", "-NOAUTH Authentication required.~");
}
