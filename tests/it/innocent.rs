//! Clients that do nothing wrong, in every state a client can be in, are not cut for what others do or for
//! waiting.

use std::io::Write;
use std::net::TcpStream;

use crate::harness::*;

/// Requests that wait, one for each kind of wait.
const WAITS: [&str; 8] = [
    "BLPOP list 0",
    "BRPOPLPUSH none other 0",
    "BLMOVE none other LEFT RIGHT 0",
    "BZPOPMIN none 0",
    "BZMPOP 0 1 none MIN",
    "XREAD BLOCK 0 STREAMS none $",
    "XREADGROUP GROUP g c BLOCK 0 STREAMS stream >",
    "WAIT 9 0",
];

fn connected(server: &TestServer) -> usize {
    server.handle().server().clients.count()
}

/// A number in a line of CLIENT LIST.
fn field(line: &str, name: &str) -> usize {
    let text = line.split(' ').find_map(|field| field.strip_prefix(name)).expect("the field");
    text.parse().expect("a number")
}

/// `timeout` closed clients that wait in BLPOP and its kin, as job queues do all day. It is for those that
/// have nothing to say.
#[test]
fn timeout_leaves_waiting_clients_alone() {
    let server = TestServer::with(&[("timeout", "2"), ("enable-debug-command", "yes")]);
    let mut admin = server.client();
    admin.check("XGROUP CREATE stream g $ MKSTREAM", "+OK~");
    let mut waiting: Vec<Client> = WAITS
        .iter()
        .map(|request| {
            let mut client = server.client();
            client.send_command(request);
            client
        })
        .collect();
    let mut subscriber = server.client();
    subscriber.send_command("SUBSCRIBE c");
    subscriber.read();
    let mut monitor = server.client();
    monitor.check("MONITOR", "+OK~");
    let mut idle = server.client();
    idle.check("PING", "+PONG~");
    eventually("all wait", || server.info("blocked_clients") == WAITS.len().to_string());
    // The admin is idle as well by then.
    server.advance_ms(10_000);
    idle.expect_closed();
    admin.expect_closed();
    eventually("nobody else is gone", || connected(&server) == WAITS.len() + 2);
    let mut admin = server.client();
    admin.check("RPUSH list a", ":1~");
    assert_eq!(waiting[0].read().items().len(), 2);
    server.advance_ms(1_000);
    for (client, request) in waiting.iter_mut().zip(WAITS).skip(1) {
        client.check_still_open(request);
    }
}

/// A paused client waits for the end of the pause, however long `timeout` is.
#[test]
fn timeout_leaves_paused_clients_alone() {
    let server = TestServer::with(&[("timeout", "2")]);
    let mut admin = server.client();
    admin.check("CLIENT PAUSE 60000 WRITE", "+OK~");
    let mut paused = server.client();
    paused.send_command("SET k v");
    eventually("it waits", || admin.value("CLIENT LIST").text().contains("cmd=set"));
    server.advance_ms(10_000);
    server.client().check("CLIENT UNPAUSE", "+OK~");
    paused.check_next("+OK~");
}

/// One client that does not read was over `maxmemory-clients`, and every other one was disconnected with it.
#[test]
fn only_the_offender_is_disconnected() {
    let server = TestServer::with(&[("maxmemory-clients", "8mb")]);
    let mut others: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut others {
        client.check("PING", "+PONG~");
    }
    let mut offender = server.client();
    offender.check(&format!("SET big {}", "x".repeat(1 << 20)), "+OK~");
    for _ in 0..100 {
        drop(offender.try_send(b"GET big\r\n"));
    }
    eventually("it is disconnected", || server.info("evicted_clients") != "0");
    eventually("it is gone", || connected(&server) == others.len());
    for client in &mut others {
        client.check("PING", "+PONG~");
    }
    assert_eq!(server.info("evicted_clients"), "1");
}

/// The soft limit holds for a client that sends nothing more: it was looked at only when something came from
/// it.
#[test]
fn a_soft_limit_ends_a_client_that_is_silent() {
    let server =
        TestServer::with(&[("client-output-buffer-limit", "normal 200mb 5mb 2 pubsub 0 0 0 replica 0 0 0")]);
    let mut admin = server.client();
    admin.check(&format!("SET big {}", "x".repeat(1 << 20)), "+OK~");
    let mut slow = server.client();
    for _ in 0..30 {
        slow.send(b"GET big\r\n");
    }
    let mut other = server.client();
    let mut waits = || {
        let list = other.value("CLIENT LIST").text();
        let bytes = list.lines().filter(|line| line.contains("cmd=get")).map(|line| field(line, "omem="));
        bytes.sum::<usize>() > 15 << 20
    };
    eventually("much waits for it", &mut waits);
    server.advance_ms(1_000);
    admin.check("PING", "+PONG~");
    server.advance_ms(1_500);
    admin.check("PING", "+PONG~");
    server.advance_ms(1_500);
    eventually("it is cut", || server.info("client_output_buffer_limit_disconnections") == "1");
    admin.check("PING", "+PONG~");
}

/// A client that waits in a blocking command and goes on sending: its bytes are held up to a bound and then
/// left in the socket, and all of them run when the wait is over. 300 MB had 930 MB held.
#[test]
fn what_a_waiting_client_sends_is_bounded() {
    const REQUESTS: usize = 90;
    let server = TestServer::start();
    let mut admin = server.client();
    let mut waiting = server.client();
    let address = waiting.address();
    waiting.send_command("BLPOP list 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    let value = vec![b'x'; 1 << 20];
    let mut bytes = Vec::new();
    for _ in 0..REQUESTS {
        bytes.extend_from_slice(&encode(&[&b"SET"[..], b"k", &value]));
    }
    let mut stream: TcpStream = waiting.tcp_stream().try_clone().expect("a second handle");
    let sender = std::thread::spawn(move || stream.write_all(&bytes).expect("it is read in the end"));
    let held = |admin: &mut Client| -> usize {
        let list = admin.value("CLIENT LIST").text();
        let line = list.lines().find(|line| line.contains(&format!("addr={address}"))).expect("its line");
        field(line, "qbuf=") + field(line, "qbuf-free=")
    };
    eventually("as much is read as is read", || held(&mut admin) >= 32 << 20);
    for _ in 0..200 {
        let bytes = held(&mut admin);
        assert!(bytes < 48 << 20, "{bytes}");
    }
    admin.check("RPUSH list a", ":1~");
    waiting.check_next("*2~$4~list~$1~a~");
    for _ in 0..REQUESTS {
        waiting.check_next("+OK~");
    }
    sender.join().expect("all was sent");
}

/// The same client leaves while its bytes are not read: it is noticed all the same.
#[test]
fn a_waiting_client_whose_bytes_are_not_read_may_leave() {
    let server = TestServer::start();
    let mut waiting = server.client();
    waiting.send_command("BLPOP list 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    // A little more than is read while it waits, so that its farewell is not stuck behind what nobody takes.
    let request = encode(&[&b"SET"[..], b"k", &vec![b'x'; (32 << 20) + 10_000]]);
    waiting.send(&request);
    drop(waiting);
    eventually("it is forgotten", || server.info("blocked_clients") == "0");
}

/// CLIENT KILL reaches a client that is held back by DEBUG SLEEP, and the rest of its pipeline does not run.
#[test]
fn a_sleeping_client_can_be_killed() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut admin = server.client();
    let mut sleeping = server.client();
    let address = sleeping.address();
    sleeping.send(b"DEBUG SLEEP 3000\r\nSET k v\r\n");
    eventually("it sleeps", || admin.value("CLIENT LIST").text().contains("flags=b"));
    admin.check(&format!("CLIENT KILL ADDR {address}"), ":1~");
    sleeping.read_to_end();
    admin.check("EXISTS k", ":0~");
}

/// What waits for a subscriber that does not read counts towards `maxmemory-clients`: only its requests'
/// replies did.
#[test]
fn a_subscriber_that_does_not_read_is_the_offender() {
    let server = TestServer::with(&[
        ("maxmemory-clients", "8mb"),
        ("client-output-buffer-limit", "normal 0 0 0 pubsub 0 0 0 replica 0 0 0"),
    ]);
    let mut subscriber = server.client();
    subscriber.send_command("SUBSCRIBE ch");
    subscriber.read();
    let mut publisher = server.client();
    let message = "x".repeat(1 << 20);
    for _ in 0..40 {
        publisher.call(&["PUBLISH", "ch", &message]);
    }
    eventually("it is disconnected", || server.info("evicted_clients") == "1");
    publisher.check("PING", "+PONG~");
}
