//! Commands that take long, and everybody else meanwhile. What others get done is counted, never timed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kvarts::shared::clock::Clock;

use crate::harness::*;

/// Elements of a collection that takes long to work on.
const MANY: usize = 60_000;

/// A server whose heavy commands are noticed: its time is the machine's.
fn server() -> TestServer {
    TestServer::with_clock(&[("io-threads", "2")], Clock::system())
}

/// Fills a sorted set and a list under keys of one slot.
fn fill(client: &mut Client, tag: usize) {
    for first in (0..MANY).step_by(1000) {
        let mut zadd = vec!["ZADD".to_owned(), format!("{{{tag}}}z")];
        let mut rpush = vec!["RPUSH".to_owned(), format!("{{{tag}}}l")];
        for number in first..first + 1000 {
            let scattered = number * 7919 % 1_000_003;
            zadd.extend([scattered.to_string(), format!("m{number}")]);
            rpush.push(scattered.to_string());
        }
        for request in [zadd, rpush] {
            let words: Vec<&str> = request.iter().map(String::as_str).collect();
            client.send(&encode(&words));
            assert!(show(&client.read_raw()).starts_with(':'));
        }
    }
}

/// Heavy commands of as many clients as there are workers, and twice as many, held up all other clients:
/// between their start and the first one's end nobody else got anything done.
#[test]
fn others_go_on_while_heavy_commands_run() {
    for clients in [1, 2, 4] {
        let server = server();
        let mut heavy: Vec<Client> = (0..clients).map(|_| server.client()).collect();
        for (tag, client) in heavy.iter_mut().enumerate() {
            fill(client, tag);
        }
        let mut others: Vec<Client> = (0..8).map(|_| server.client()).collect();
        let (running, done) = (AtomicBool::new(true), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for other in &mut others {
                scope.spawn(|| {
                    while running.load(Ordering::Relaxed) {
                        other.check("SET elsewhere v", "+OK~");
                        other.check("PING", "+PONG~");
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let before = done.load(Ordering::Relaxed);
            for (tag, client) in heavy.iter_mut().enumerate() {
                client.send_command(&format!("ZUNIONSTORE {{{tag}}}out 2 {{{tag}}}z {{{tag}}}z"));
            }
            assert_eq!(show(&heavy[0].read_raw()), format!(":{MANY}~"));
            let meanwhile = done.load(Ordering::Relaxed) - before;
            for client in &mut heavy[1..] {
                assert_eq!(show(&client.read_raw()), format!(":{MANY}~"));
            }
            running.store(false, Ordering::Relaxed);
            // Requests under way when the first command began may have been answered behind it.
            assert!(meanwhile > 3 * 8, "{meanwhile} requests of others beside {clients} heavy clients");
        });
        let heavy = &server.handle().server().heavy;
        assert!(heavy.total() >= clients && !heavy.any(), "all of them were heavy, and are no longer");
    }
}

/// Requests for the slot of a heavy command wait for it, and for nothing else; replies come in order, also
/// those of one pipeline.
#[test]
fn who_needs_the_same_slot_waits_and_replies_stay_in_order() {
    let server = server();
    let mut heavy = server.client();
    fill(&mut heavy, 0);
    let mut same: Vec<Client> = (0..4).map(|_| server.client()).collect();
    let mut other = server.client();
    heavy.send_command("SORT {0}l STORE {0}sorted");
    heavy.send_command("LLEN {0}sorted");
    heavy.send_command("PING behind");
    for client in &mut same {
        client.send_command("RPUSH {0}l 1");
        client.send_command("PING behind");
    }
    other.check("SET {1}k v", "+OK~");
    // Some of them may have come before it.
    let sorted = show(&heavy.read_raw());
    assert!((MANY..=MANY + 4).any(|count| sorted == format!(":{count}~")), "{sorted}");
    assert_eq!(show(&heavy.read_raw()), sorted);
    assert_eq!(show(&heavy.read_raw()), "$6~behind~");
    for client in &mut same {
        assert!(show(&client.read_raw()).starts_with(':'));
        assert_eq!(show(&client.read_raw()), "$6~behind~");
    }
    other.check("LLEN {0}l", &format!(":{}~", MANY + 4));
}

/// A wait for a key, WATCH, FLUSHALL, KILL and the end of the server meet commands that run.
#[test]
fn waits_watches_flushes_and_ends_beside_heavy_commands() {
    let server = server();
    let mut heavy = server.client();
    fill(&mut heavy, 0);
    let mut waiting = server.client();
    waiting.send_command("BLPOP {0}new 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    let mut watching = server.client();
    watching.check("WATCH {0}sorted", "+OK~");
    watching.check("MULTI", "+OK~");
    watching.check("PING", "+QUEUED~");
    heavy.send_command("SORT {0}l STORE {0}sorted");
    heavy.send_command("RPUSH {0}new x");
    watching.send_command("EXEC");
    let mut other = server.client();
    let keys = other.value("KEYS *").items().len();
    assert!((2..=4).contains(&keys), "{keys} keys: those that were there throughout, and perhaps new ones");
    assert_eq!(show(&heavy.read_raw()), format!(":{MANY}~"));
    assert_eq!(show(&heavy.read_raw()), ":1~");
    assert_eq!(show(&waiting.read_raw()), "*2~$6~{0}new~$1~x~");
    // Before the change of the watched key or behind it, but never in the midst of it.
    assert!(["*-1~", "*1~$4~PONG~", "*1~+PONG~"].contains(&&*show(&watching.read_raw())));
    let id = heavy.value("CLIENT ID").int();
    heavy.send_command("ZUNIONSTORE {0}out 2 {0}z {0}z");
    other.check(&format!("CLIENT KILL ID {id}"), ":1~");
    other.check("FLUSHALL", "+OK~");
    other.check("DBSIZE", ":0~");
    let rest = String::from_utf8_lossy(&heavy.read_to_end()).into_owned();
    assert!(["".to_owned(), format!(":{MANY}\r\n")].contains(&rest), "{rest}");
    fill(&mut other, 1);
    other.send_command("SORT {1}l STORE {1}sorted");
    server.stop();
}

/// A client waits for a key of another slot as well as for one in the slot that a heavy command holds. What
/// comes there meanwhile is not taken at once, and must not be forgotten when the command ends, in whichever
/// order the two threads look.
#[test]
fn a_client_that_a_heavy_command_is_in_the_way_of_is_served_when_it_ends() {
    let server = server();
    let mut heavy = server.client();
    fill(&mut heavy, 0);
    let mut other = server.client();
    for round in 0..4 {
        let mut waiting = server.client();
        waiting.send_command("BLPOP {1}new {0}new 0");
        eventually("it waits", || server.info("blocked_clients") == "1");
        heavy.send_command("SORT {0}l STORE {0}sorted");
        other.check(&format!("RPUSH {{1}}new v{round}"), ":1~");
        assert_eq!(show(&waiting.read_raw()), format!("*2~$6~{{1}}new~$2~v{round}~"));
        assert_eq!(show(&heavy.read_raw()), format!(":{MANY}~"));
    }
    other.check("EXISTS {1}new", ":0~");
}
