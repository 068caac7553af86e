//! Commands on the whole keyspace behind something that holds a part of it, or all, for long.

use kvarts::shared::clock::Clock;

use crate::harness::*;

/// More clients than a server has threads for.
const MANY: usize = 700;

/// Commands that walk over all keys, with the replies of a server that has the keys `k` and `other`.
const WALKS: [(&str, &[&str]); 8] = [
    ("KEYS *", &["*2~$1~k~$5~other~", "*2~$5~other~$1~k~"]),
    ("SCAN 0 COUNT 1000", &["*2~$1~0~*2~$1~k~$5~other~", "*2~$1~0~*2~$5~other~$1~k~"]),
    ("DBSIZE", &[":2~"]),
    ("RANDOMKEY", &["$1~k~", "$5~other~"]),
    ("DEBUG HTSTATS 0", &[]),
    ("DEBUG DIGEST", &[]),
    ("KVARTS PREFIXES", &[]),
    ("BLESS SCAN 0 NO-EVICT", &["*2~$1~0~*1~$1~k~"]),
];

/// A server for thousands of clients, which keeps every request.
pub fn for_crowds() -> TestServer {
    let pairs = [
        ("io-threads", "2"),
        ("enable-debug-command", "yes"),
        ("key-sizes", "yes"),
        ("maxclients", "3000"),
        ("slow-requests-slower-than", "0"),
        ("slow-requests-max-len", "100000"),
    ];
    TestServer::with_clock(&pairs, Clock::system())
}

fn server() -> TestServer {
    let server = for_crowds();
    let mut client = server.client();
    client.check("MSET k v other v", "+OK~");
    client.check("BLESS SET k NO-EVICT", ":1~");
    server
}

fn is_right(command: &str, replies: &[&str], reply: &str) {
    assert!(
        if replies.is_empty() { !reply.starts_with('-') } else { replies.contains(&reply) },
        "{command}: {reply}"
    );
}

/// All of them waited with a thread each: with as many as there are threads nothing was served any more, not even a
/// PING, until the holder's end.
#[test]
fn any_number_waits_without_threads() {
    let server = server();
    let inner = server.handle().server();
    let mut clients: Vec<Client> = (0..MANY).map(|_| server.client()).collect();
    let (mut other, mut killed) = (server.client(), server.client());
    let killed_id = killed.value("CLIENT ID").int();
    for is_alone in [false, true] {
        let (alone, slot) = match is_alone {
            true => (Some(inner.keyspace.gate.exclusive(|| {})), None),
            false => {
                let slot = inner.keyspace.hasher().key(b"k").slot();
                (None, Some(inner.keyspace.physical(0).write_slot(slot)))
            }
        };
        let asks = |number: usize| WALKS[number % WALKS.len()];
        for (number, client) in clients.iter_mut().enumerate() {
            // Before anything is known to take long a PING passes the gate.
            let before = if is_alone { "" } else { "PING\r\n" };
            client.send(format!("{before}{}\r\nPING behind\r\n", asks(number).0).as_bytes());
        }
        for client in clients.iter_mut().filter(|_| !is_alone) {
            client.check_next("+PONG~");
        }
        killed.send_command("KEYS *");
        // What meets the holder for certain.
        let waiting = if is_alone { MANY } else { MANY / WALKS.len() * 3 };
        eventually("they wait", || inner.held_up.count() + 20 > waiting);
        other.check("PING", "+PONG~");
        assert!(other.value("INFO everything").text().contains("db0:keys=2,"));
        assert!(!other.raw("MEMORY STATS").starts_with('-'));
        if !is_alone {
            other.check("SET other v", "+OK~");
            other.check("MULTI", "+OK~");
            other.check("GET other", "+QUEUED~");
            other.check("EXEC", "*1~$1~v~");
            other.check(&format!("CLIENT KILL ID {killed_id}"), ":1~");
            eventually("it is gone", || inner.clients.by_id(killed_id as u64).is_none());
        }
        drop((alone, slot));
        for (number, client) in clients.iter_mut().enumerate() {
            let (command, replies) = asks(number);
            is_right(command, replies, &show(&client.read_raw()));
            client.check_next("$6~behind~");
        }
        eventually("nobody waits", || inner.held_up.count() == 0);
    }
}

/// The same behind commands that are known to take long: also what needs the keyspace for itself.
#[test]
fn any_number_waits_behind_a_transaction() {
    for queued in ["SET k v", "DBSIZE"] {
        let is_seen = [1, 4, 15].iter().any(|seconds| many_wait_behind(queued, *seconds));
        assert!(is_seen, "others wait for the end of a transaction with {queued}");
    }
}

/// Has many clients wait behind a transaction that takes so long. Returns whether others were served meanwhile; where
/// the machine is slow it may be over before that.
fn many_wait_behind(queued: &str, seconds: u32) -> bool {
    let server = server();
    let inner = server.handle().server();
    let mut clients: Vec<Client> = (0..MANY).map(|_| server.client()).collect();
    let (mut holder, mut other) = (server.client(), server.client());
    holder.check("MULTI", "+OK~");
    holder.check(queued, "+QUEUED~");
    holder.check(&format!("DEBUG SLEEP {seconds}"), "+QUEUED~");
    holder.send_command("EXEC");
    eventually("it is heavy", || inner.heavy.any());
    let asks = |number: usize| match number % (WALKS.len() + 2) {
        0 => ("SWAPDB 3 4", &["+OK~"][..]),
        1 => ("FLUSHDB", &["+OK~"][..]),
        number => WALKS[number - 2],
    };
    for (number, client) in clients.iter_mut().enumerate() {
        if number % 10 == 1 {
            client.send_command("SELECT 5");
        }
        client.send_command(asks(number).0);
    }
    (0..20).for_each(|_| other.check("PING", "+PONG~"));
    assert!(other.value("INFO keyspace").text().contains("db0:keys=2,"));
    let is_seen = inner.heavy.any();
    assert!(show(&holder.read_raw()).starts_with("*2~"));
    for (number, client) in clients.iter_mut().enumerate() {
        if number % 10 == 1 {
            client.check_next("+OK~");
        }
        let (command, replies) = asks(number);
        is_right(command, replies, &show(&client.read_raw()));
    }
    is_seen
}

/// What waits with its thread or without is told to wait, with what is in the way, and its execution alone is counted.
#[test]
fn waits_are_told_as_waits() {
    for queued in ["SET k v;DEBUG SLEEP 0.4", "DBSIZE;DEBUG SLEEP 0.4"] {
        let server = server();
        let inner = server.handle().server();
        let (mut client, mut holder) = (server.client(), server.client());
        let commands = ["KEYS *", "SCAN 0 COUNT 1000", "FLUSHDB", "DBSIZE", "SWAPDB 3 4"];
        let mut waiting: Vec<Client> = commands.iter().map(|_| server.client()).collect();
        waiting[2].check("SELECT 5", "+OK~");
        client.check("CONFIG RESETSTAT", "+OK~");
        holder.check("MULTI", "+OK~");
        queued.split(';').for_each(|command| holder.check(command, "+QUEUED~"));
        holder.send_command("EXEC");
        eventually("it is heavy", || inner.heavy.any());
        for (client, command) in waiting.iter_mut().zip(commands) {
            client.send_command(command);
        }
        for (client, command) in waiting.iter_mut().zip(commands) {
            assert!(!show(&client.read_raw()).starts_with('-'), "{command}");
        }
        holder.read_raw();
        let slow = client.value("KVARTS SLOW GET -1").items();
        for command in commands {
            if command == "DBSIZE" && queued.starts_with("SET") {
                continue;
            }
            let found = slow.iter().find(|slow| slow.field("command").texts().join(" ") == command);
            let found = found.expect(command);
            let part = |name: &str| found.field("parts-us").field(name).int();
            assert!(part("lock") > 100_000 && part("run") < part("lock") / 2, "{command}: {found:?}");
            let told = found.field("blocked-by").text();
            assert!(told.starts_with("exec with debug|sleep"), "{command}: {told}");
            let name = command.split(' ').next().expect("a name").to_lowercase();
            let locks = client.value(&format!("KVARTS SLOW LOCKS {name}")).field(&name);
            assert_eq!(locks.field("waits").int(), 1, "{command}");
            assert!(locks.field("longest-us").int() > 100_000, "{command}");
            let stats = client.value("INFO commandstats").text();
            let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:calls=")));
            let usec = line.expect(&stats).split(['=', ',']).nth(3).expect("usec");
            assert!(usec.parse::<u64>().expect("a number") < 100_000, "{line:?}");
        }
    }
}

/// Who waits with a thread and who waits without get on when the holder ends, whichever it is, again and again.
#[test]
fn walks_beside_slots_that_are_held_again_and_again() {
    let server = server();
    let inner = server.handle().server();
    let slot = inner.keyspace.hasher().key(b"k").slot();
    let mut clients: Vec<Client> = (0..60).map(|_| server.client()).collect();
    for round in 0..20 {
        let guard = inner.keyspace.physical(0).write_slot(slot);
        for client in &mut clients {
            client.send_command("KEYS *");
        }
        if round % 2 == 0 {
            eventually("they wait", || inner.held_up.count() >= 44);
        }
        drop(guard);
        for client in &mut clients {
            is_right("KEYS *", WALKS[0].1, &show(&client.read_raw()));
        }
    }
    assert_eq!(inner.held_up.count(), 0);
}

/// A request that waits and then hears BUSY has waited: it is told of, and counted, once.
#[test]
fn who_hears_busy_at_last_has_waited() {
    let pairs = [
        ("io-threads", "3"),
        ("slow-requests-slower-than", "0"),
        ("slow-requests-max-len", "100000"),
        ("busy-reply-threshold", "200"),
    ];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let (mut client, mut script) = (server.client(), server.client());
    script.send_command("EVAL \"while true do end\" 1 k");
    eventually("it is slow", || server.handle().server().scripting.slow.any());
    let commands = ["GET k", "KEYS *", "DBSIZE x", "BLPOP k 0"];
    let mut waiting: Vec<Client> = commands.iter().map(|_| server.client()).collect();
    for (client, command) in waiting.iter_mut().zip(commands) {
        client.send_command(command);
    }
    let replies: Vec<String> = waiting.iter_mut().map(|client| show(&client.read_raw())).collect();
    assert!(replies[0].starts_with("-BUSY") && replies[1].starts_with("-BUSY"), "{replies:?}");
    assert!(replies[2].starts_with("-ERR wrong number") && replies[3].starts_with("-BUSY"), "{replies:?}");
    client.check("SCRIPT KILL", "+OK~");
    script.read_raw();
    let slow = client.value("KVARTS SLOW GET -1").items();
    for (command, name) in [("GET k", "get"), ("KEYS *", "keys"), ("BLPOP k 0", "blpop")] {
        let found: Vec<&Value> =
            slow.iter().filter(|slow| slow.field("command").texts().join(" ") == command).collect();
        assert_eq!(found.len(), 1, "{command}");
        let part = |name: &str| found[0].field("parts-us").field(name).int();
        assert!(part("lock") > 20_000 && part("run") == 0, "{command}: {:?}", found[0]);
        assert!(found[0].field("blocked-by").text().starts_with("eval of script "), "{:?}", found[0]);
        let locks = client.value(&format!("KVARTS SLOW LOCKS {name}")).field(name);
        assert_eq!(locks.field("waits").int(), 1, "{command}");
        assert!(locks.field("longest-us").int() > 20_000, "{command}");
        client.send_command("INFO commandstats");
        let stats = show(&client.read_raw());
        assert!(!stats.contains(&format!("cmdstat_{name}:calls=1")), "it did not run: {stats}");
    }
}
