//! Requests that heavy commands overtake: however closely these follow each other, what was there before gets its turn.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kvarts::shared::clock::Clock;

use crate::harness::*;

/// Clients that run heavy commands without a pause.
const BUSY: usize = 6;

/// So many heavy commands may end at most while another request waits: those that ran when it came, those that ran
/// when it was found to be overtaken, and as many again for a busy machine.
const AT_MOST: usize = 4 * BUSY;

/// Elements of a set that takes long to be sorted.
const MANY: usize = 20_000;

fn server() -> TestServer {
    TestServer::with_clock(&[("io-threads", "2"), ("slow-requests-slower-than", "0")], Clock::system())
}

/// Fills a set, a sorted set and a string of one slot.
fn fill(client: &mut Client) {
    for first in (0..MANY).step_by(1000) {
        let (mut sadd, mut zadd) = ("SADD {0}s".to_owned(), "ZADD {0}z".to_owned());
        for number in first..first + 1000 {
            sadd.push_str(&format!(" m{number}"));
            zadd.push_str(&format!(" {number} m{number}"));
        }
        client.check(&sadd, ":1000~");
        client.check(&zadd, ":1000~");
    }
    client.check("SET {0}n 0", "+OK~");
}

/// Runs `work` while [`BUSY`] clients run this command without a pause, and tells it how many of them have ended.
fn beside(server: &TestServer, command: &str, work: impl FnOnce(&AtomicUsize)) {
    let (stops, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut clients: Vec<Client> = (0..BUSY).map(|_| server.client()).collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            let (stops, ended) = (&stops, &ended);
            scope.spawn(move || {
                while !stops.load(Ordering::Relaxed) {
                    let reply = client.raw(command);
                    assert!(!reply.starts_with('-'), "{command}: {reply}");
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let stops_at_last = StopsAtLast(&stops);
        eventually("they run", || ended.load(Ordering::Relaxed) >= BUSY);
        work(&ended);
        drop(stops_at_last);
    });
}

struct StopsAtLast<'s>(&'s AtomicBool);

impl Drop for StopsAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `request`, and holds that few of the commands that others run ended meanwhile.
fn gets_by(what: &str, ended: &AtomicUsize, request: impl FnOnce() + Send) {
    ends_before(what, (ended, AT_MOST), request);
}

/// As [`gets_by`], of what does not begin to wait at once, or waits several times.
fn gets_by_in_time(what: &str, ended: &AtomicUsize, work: impl FnOnce() + Send) {
    ends_before(what, (ended, 6 * AT_MOST), work);
}

fn ends_before(what: &str, (ended, at_most): (&AtomicUsize, usize), request: impl FnOnce() + Send) {
    let before = ended.load(Ordering::Relaxed);
    let meanwhile = || ended.load(Ordering::Relaxed) - before;
    let is_late = std::thread::scope(|scope| {
        let request = scope.spawn(request);
        while !request.is_finished() && meanwhile() <= at_most {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        !request.is_finished()
    });
    assert!(!is_late, "{what} waits still, after {} heavy commands", meanwhile());
}

/// Commands that need for themselves what heavy readers of one key share, and what they answer.
const NEED_ALL: [(&str, &str); 9] = [
    ("SADD {0}s x", ":1~"),
    ("SREM {0}s x", ":1~"),
    ("SET {0}n 1", "+OK~"),
    ("EVAL \"return redis.call('INCR', KEYS[1])\" 1 {0}n", ":2~"),
    ("EVAL \"return redis.call('INCR', 'other')\" 0", ":1~"),
    ("SWAPDB 5 6", "+OK~"),
    ("FLUSHDB", "+OK~"),
    ("MSET {0}n 0 a 1 b 2", "+OK~"),
    ("SUNIONSTORE {0}out {0}s {0}s", ":20000~"),
];

fn all_get_by(server: &TestServer, command: &str) {
    beside(server, command, |ended| {
        for (request, reply) in NEED_ALL {
            let mut client = server.client();
            let database = if request == "FLUSHDB" { 3 } else { 0 };
            client.check(&format!("SELECT {database}"), "+OK~");
            gets_by(request, ended, || client.check(request, reply));
        }
        let mut client = server.client();
        client.check("MULTI", "+OK~");
        client.check("INCR {0}n", "+QUEUED~");
        client.check("KEYS nothing", "+QUEUED~");
        gets_by("EXEC", ended, || client.check("EXEC", "*2~:1~*0~"));
        let mut waiting = server.client();
        waiting.send_command("BLPOP {0}queue 0");
        gets_by("BLPOP", ended, || {
            client.check("RPUSH {0}queue x", ":1~");
            waiting.check_next("*2~$8~{0}queue~$1~x~");
        });
        let expired = || server.info("expired_keys").parse::<u64>().expect("a number");
        let before = expired();
        client.check("SET {0}ends x PX 1", "+OK~");
        gets_by_in_time("the end of a key", ended, || eventually("it has ended", || expired() > before));
        client.check("SET {0}n 0", "+OK~");
        client.check("DEL other {0}out", ":2~");
    });
}

/// Readers of one key that overlap: one of them always holds its lock.
#[test]
fn heavy_readers_keep_nobody_waiting_for_ever() {
    let server = server();
    fill(&mut server.client());
    all_get_by(&server, "SORT_RO {0}s ALPHA LIMIT 0 1");
    all_get_by(&server, "EVAL_RO \"for i = 1, 20000 do redis.call('GET', KEYS[1]) end\" 1 {0}n");
    let inner = server.handle().server();
    eventually("nobody has a turn any more", || !inner.keyspace.turns.any() && !inner.heavy.any());
}

/// Scripts without keys are alone in the keyspace, one behind the other.
#[test]
fn scripts_that_are_alone_keep_nobody_waiting_for_ever() {
    let server = server();
    fill(&mut server.client());
    beside(&server, "EVAL \"for i = 1, 20000 do redis.call('GET', '{0}n') end\" 0", |ended| {
        for request in ["SET {0}n 0", "GET {0}n", "MSET a 1 b 2", "SWAPDB 5 6", "KEYS nothing"] {
            let mut client = server.client();
            gets_by(request, ended, || drop(client.raw(request)));
        }
    });
}

/// A client that waited for a key is served beside a script that goes on for ever somewhere else, though heavy readers
/// of the slot were in the way of its request: their end was waited for, but they had let it by and did not begin.
#[test]
fn what_runs_elsewhere_keeps_no_client_from_being_served() {
    let server = server();
    let mut client = server.client();
    fill(&mut client);
    let mut script = server.client();
    script.send_command("EVAL \"while true do redis.call('GET', KEYS[1]) end\" 1 {c}x");
    eventually("it is slow", || server.handle().server().heavy.any());
    beside(&server, "SORT_RO {0}s ALPHA LIMIT 0 1", |ended| {
        for number in 0..20 {
            let mut waiting = server.client();
            waiting.send_command("BLMOVE {a}queue {0}queue LEFT LEFT 0");
            eventually("it waits", || !server.handle().server().effects.waiting.is_empty());
            gets_by_in_time("BLMOVE", ended, || {
                client.check(&format!("RPUSH {{a}}queue {number}"), ":1~");
                waiting.check_next(&format!("${}~{number}~", number.to_string().len()));
            });
        }
        gets_by_in_time("a reader", ended, || drop(server.client().raw("SORT_RO {0}s ALPHA LIMIT 0 1")));
    });
    client.check("SCRIPT KILL", "+OK~");
}

/// What the server does by itself needs an instant alone in the keyspace: where a snapshot begins, where changes are
/// listened to from then on.
#[test]
fn heavy_readers_do_not_keep_snapshots_from_beginning() {
    let pairs = [("io-threads", "2"), ("appendonly", "yes"), ("save", ""), ("repl-diskless-sync-delay", "0")];
    let (server, replica) = (TestServer::with_clock(&pairs, Clock::system()), self::server());
    let mut client = server.client();
    fill(&mut client);
    beside(&server, "SORT_RO {0}s ALPHA LIMIT 0 1", |ended| {
        gets_by_in_time("BGSAVE", ended, || {
            client.check("BGSAVE", "+Background saving started~");
            eventually("it ends", || info(&mut client, "rdb_bgsave_in_progress") == "0");
        });
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        gets_by_in_time("BGREWRITEAOF", ended, || {
            client.check("BGREWRITEAOF", "+Background append only file rewriting started~");
            eventually("it ends", || info(&mut client, "aof_rewrites") == "1");
        });
        for value in ["no", "yes"] {
            gets_by_in_time("appendonly", ended, || {
                client.check(&format!("CONFIG SET appendonly {value}"), "+OK~")
            });
        }
        let mut on_replica = replica.client();
        on_replica.check(&format!("REPLICAOF 127.0.0.1 {}", server.address().port()), "+OK~");
        gets_by_in_time("a full copy", ended, || {
            eventually("it has the data", || on_replica.raw("GET {0}n") == "$1~0~");
        });
    });
}

/// Requests one behind the other, each of which waits for one or two heavy commands at most.
const IN_A_ROW: usize = 2 * AT_MOST;

/// Takes some milliseconds, and is not broken off.
const SCRIPT: &str = "for i = 1, 20000 do redis.call('SET', KEYS[1], i) end return 1";

/// A pipeline of heavy writes lets go of its lock for a moment between two of them.
#[test]
fn a_pipeline_of_heavy_writes_keeps_nobody_waiting_for_ever() {
    let server = server();
    fill(&mut server.client());
    for command in ["SORT {0}s ALPHA STORE {0}l", "ZUNIONSTORE {0}y 2 {0}z {0}z", "SADD", "EVAL"] {
        let request = match command {
            "SADD" => encode(&[vec!["SADD".to_owned(), "{0}s".to_owned()], members()].concat()),
            "EVAL" => encode(&["EVAL", SCRIPT, "1", "{0}n"]),
            command => encode(&command.split(' ').collect::<Vec<_>>()),
        };
        let (stops, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut writer = server.client();
        std::thread::scope(|scope| {
            let (stops, ended) = (&stops, &ended);
            scope.spawn(move || keep_writing(&mut writer, &request, stops, ended));
            let _stops_at_last = StopsAtLast(stops);
            eventually("it runs", || ended.load(Ordering::Relaxed) > 0);
            for request in ["SET {0}n 1", "GET {0}n", "EXISTS {0}s {0}z"] {
                let mut client = server.client();
                gets_by_in_time(&format!("{request} beside {command}"), ended, || {
                    (0..IN_A_ROW).for_each(|_| drop(client.raw(request)));
                });
            }
        });
    }
}

/// Keeps a pipeline of requests under way, and counts those that have ended.
fn keep_writing(writer: &mut Client, request: &[u8], stops: &AtomicBool, ended: &AtomicUsize) {
    const UNDER_WAY: usize = 10;
    writer.send(&request.repeat(UNDER_WAY));
    while !stops.load(Ordering::Relaxed) {
        assert!(show(&writer.read_raw()).starts_with(':'));
        ended.fetch_add(1, Ordering::Relaxed);
        writer.send(request);
    }
    (0..UNDER_WAY).for_each(|_| assert!(show(&writer.read_raw()).starts_with(':')));
}

fn members() -> Vec<String> {
    (0..MANY).map(|number| format!("m{number}")).collect()
}

/// On a replica the primary's stream goes on however many heavy commands its clients run.
#[test]
fn heavy_readers_of_a_replica_do_not_hold_up_its_primary() {
    let (primary, replica) = (server(), server());
    let mut client = primary.client();
    fill(&mut client);
    let mut on_replica = replica.client();
    on_replica.check(&format!("REPLICAOF 127.0.0.1 {}", primary.address().port()), "+OK~");
    eventually("it has the data", || on_replica.raw("GET {0}n") == "$1~0~");
    beside(&replica, "SORT_RO {0}s ALPHA LIMIT 0 1", |ended| {
        for number in 1..4 {
            client.check(&format!("SET {{0}}n {number}"), "+OK~");
            client.check("SWAPDB 5 6", "+OK~");
            gets_by("the primary's stream", ended, || client.check("WAIT 1 0", ":1~"));
            on_replica.check("GET {0}n", &format!("$1~{number}~"));
        }
    });
}
