//! Room for commands that take long: how many of them run at once, and how the others wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kvarts::engine::room::{Place, Room};
use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::whole::for_crowds;

/// Elements of a collection that takes long to work on.
const MANY: usize = 60_000;

/// What takes long, on the keys that [`fill`] makes, in the order in which it may be asked; and how each reply
/// begins.
const LONG: [(&str, &str); 26] = [
    ("SORT {0}l LIMIT 0 1", "*1~"),
    ("SORT {0}l STORE {0}sorted", ":60000~"),
    ("ZUNIONSTORE {0}out 2 {0}z {0}z", ":60000~"),
    ("ZUNION 2 {0}z {0}z", "*60000~"),
    ("ZRANGESTORE {0}out {0}z 0 -1", ":60000~"),
    ("SINTERCARD 2 {0}s {0}s", ":60000~"),
    ("SUNIONSTORE {0}copied {0}s {0}s", ":60000~"),
    ("SRANDMEMBER {0}s 30000", "*30000~"),
    ("SRANDMEMBER {0}s -30000", "*30000~"),
    ("SMEMBERS {0}s", "*60000~"),
    ("LRANGE {0}l 0 -1", "*60000~"),
    ("ZRANGE {0}z 0 -1 WITHSCORES", "*120000~"),
    ("COPY {0}l {0}copy REPLACE", ":1~"),
    ("DUMP {0}z", "$"),
    ("LPOS {0}l nothing", "$-1~"),
    ("LREM {0}l 0 nothing", ":0~"),
    ("LINSERT {0}l BEFORE nothing x", ":-1~"),
    ("SSCAN {0}s 0 COUNT 60000", "*2~"),
    ("BITCOUNT {0}b", ":0~"),
    ("GETRANGE {0}b 0 -1", "$4000000~"),
    ("GET {0}b", "$4000000~"),
    ("DEBUG DIGEST-VALUE {0}z", "*1~"),
    ("MEMORY USAGE {0}l", ":"),
    ("KVARTS PREFIXES", "*"),
    ("KVARTS BIGKEYS", "*"),
    ("ZREMRANGEBYRANK {0}y 0 49999", ":50000~"),
];

/// Fills a sorted set, a list, a set and a string under keys of one slot.
fn fill(client: &mut Client, tag: usize) {
    let mut send = |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        client.send(&encode(&words));
        assert!(show(&client.read_raw()).starts_with(':'));
    };
    for first in (0..MANY).step_by(1000) {
        let head = |name: &str, key: &str| vec![name.to_owned(), format!("{{{tag}}}{key}")];
        let (mut zadd, mut rpush, mut sadd) = (head("ZADD", "z"), head("RPUSH", "l"), head("SADD", "s"));
        for number in first..first + 1000 {
            zadd.extend([number.to_string(), format!("m{number}")]);
            rpush.push(number.to_string());
            sadd.push(format!("m{number}"));
        }
        [zadd, rpush, sadd].into_iter().for_each(&mut send);
    }
    send(["SETBIT".to_owned(), format!("{{{tag}}}b"), "31999999".to_owned(), "0".to_owned()].into());
}

/// Takes all places.
fn occupy(room: &Room) -> Vec<Place<'_>> {
    std::iter::from_fn(|| room.ask(None)).collect()
}

/// Very many commands that take long had a thread each, and the processors: INCR and PING of others waited for
/// seconds. What is one too many waits without a thread, and gets the reply that it would have got at once.
#[test]
fn what_is_one_too_many_waits_without_a_thread() {
    let server = for_crowds();
    let inner = server.handle().server();
    let room = &inner.heavy.room;
    let mut other = server.client();
    fill(&mut other, 0);
    other.check("ZUNIONSTORE {0}y 1 {0}z", ":60000~");
    let places = occupy(room);
    let mut clients: Vec<Client> = LONG.iter().map(|_| server.client()).collect();
    let (mut killed, mut gone) = (server.client(), server.client());
    let killed_id = killed.value("CLIENT ID").int();
    for (number, (client, (command, _))) in clients.iter_mut().zip(LONG).enumerate() {
        client.send(format!("PING\r\n{command}\r\nPING behind\r\n").as_bytes());
        client.check_next("+PONG~");
        eventually(command, || room.waiting() == number + 1);
    }
    killed.send_command("SORT {0}l");
    gone.send_command("SORT {0}l");
    eventually("they wait", || room.waiting() == LONG.len() + 2);
    other.check("PING", "+PONG~");
    other.check("INCR n", ":1~");
    other.check("INCR {0}n", ":1~");
    other.check("LRANGE {0}l 0 0", "*1~$1~0~");
    other.check("MULTI", "+OK~");
    other.check("INCR {0}n", "+QUEUED~");
    other.check("EXEC", "*1~:2~");
    other.check("EVAL \"return redis.call('INCR', KEYS[1])\" 1 {0}n", ":3~");
    assert!(other.value("INFO everything").text().contains("db0:keys="));
    assert!(other.raw("KVARTS HEALTH").contains("ok"));
    other.check(&format!("CLIENT KILL ID {killed_id}"), ":1~");
    eventually("it is gone", || inner.clients.by_id(killed_id as u64).is_none());
    drop(gone);
    eventually("those that leave wait no longer", || room.waiting() == LONG.len());
    drop(places);
    for (client, (command, reply)) in clients.iter_mut().zip(LONG) {
        let got = show(&client.read_raw());
        assert!(got.starts_with(reply), "{command}: {}", &got[..got.len().min(100)]);
        client.check_next("$6~behind~");
    }
    eventually("nobody waits or runs", || room.waiting() == 0 && room.running() == 0);
}

/// What was sent before a client closed its side runs and is answered where there is room soon.
#[test]
fn a_client_that_sends_nothing_more_waits_for_a_moment() {
    let server = for_crowds();
    let room = &server.handle().server().heavy.room;
    fill(&mut server.client(), 0);
    // The moment may be over on a busy machine.
    let is_answered = (0..20).any(|_| {
        let places = occupy(room);
        let mut client = server.client();
        client.send(b"SORT {0}l STORE {0}late\r\nPING behind\r\n");
        client.finish();
        eventually("it waits", || room.waiting() == 1);
        drop(places);
        let got = client.read_to_end();
        assert!(got.is_empty() || got == b":60000\r\n$6\r\nbehind\r\n", "{}", show(&got));
        !got.is_empty()
    });
    assert!(is_answered);
}

/// They run in the order in which they came; what comes later has to wait for all of them.
#[test]
fn who_waits_is_served_in_order() {
    const TAKEN: usize = 20_000;
    let server = for_crowds();
    let room = &server.handle().server().heavy.room;
    let mut other = server.client();
    for first in (0..7 * TAKEN).step_by(1000) {
        let numbers: Vec<String> = (first..first + 1000).map(|number| number.to_string()).collect();
        let words = [&["RPUSH".to_owned(), "list".to_owned()], &numbers[..]].concat();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        other.send(&encode(&words));
        other.read_raw();
    }
    let all = occupy(room);
    let mut clients: Vec<Client> = (0..6).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send_command(&format!("LPOP list {TAKEN}"));
        eventually("it waits", || room.waiting() == number + 1);
    }
    // One place: they run one behind the other.
    let one = all.into_iter().skip(1).collect::<Vec<_>>();
    let mut late = server.client();
    late.send_command(&format!("LPOP list {TAKEN}"));
    clients.push(late);
    for (number, client) in clients.iter_mut().enumerate() {
        let first = (number * TAKEN).to_string();
        let reply = show(&client.read_raw());
        assert!(
            reply.starts_with(&format!("*{TAKEN}~${}~{first}~", first.len())),
            "{number}: {}",
            &reply[..30]
        );
    }
    drop(one);
}

/// With all of them sent at once only so many run, and others get on meanwhile.
#[test]
fn so_many_run_at_once() {
    const CLIENTS: usize = 200;
    let server = for_crowds();
    let room = &server.handle().server().heavy.room;
    let mut other = server.client();
    (0..2).for_each(|tag| fill(&mut other, tag));
    let places = std::thread::available_parallelism().map_or(1, usize::from) + 2;
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
    let (running, most, done) = (AtomicBool::new(true), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&running);
        scope.spawn(|| {
            while running.load(Ordering::SeqCst) {
                most.fetch_max(room.running(), Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        scope.spawn(|| {
            while running.load(Ordering::SeqCst) {
                other.check("INCR elsewhere", &format!(":{}~", done.load(Ordering::SeqCst) + 1));
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
        let commands = [
            "SUNIONSTORE {#}out {#}s {#}s",
            "LRANGE {#}l 0 -1",
            "KVARTS BIGKEYS",
            "SMEMBERS {#}s",
            "DUMP {#}l",
        ];
        for (number, client) in clients.iter_mut().enumerate() {
            let tag = (number % 2).to_string();
            client.send_command(&commands[number % commands.len()].replace('#', &tag));
        }
        for client in &mut clients {
            assert!(!show(&client.read_raw()).starts_with('-'));
        }
    });
    // Those that wait for a slot have left their place to others, and take it again when they go on.
    let (most, done) = (most.into_inner(), done.into_inner());
    assert!(most <= places + 16, "{most} of {CLIENTS} ran at once");
    assert!(done > CLIENTS / 4, "{done} requests of another client meanwhile");
    eventually("nobody waits or runs", || room.waiting() == 0 && room.running() == 0);
}

/// What runs within a transaction or a script does not wait for room while it holds its locks, and what a client
/// waited for with BLPOP is served.
#[test]
fn transactions_and_scripts_do_not_wait_for_room() {
    let server = for_crowds();
    let inner = server.handle().server();
    let mut client = server.client();
    fill(&mut client, 0);
    let mut waiting = server.client();
    waiting.send_command("BLMPOP 0 1 {0}new LEFT COUNT 60000");
    eventually("it waits", || inner.effects.waiting.client_count() == 1);
    let places = occupy(&inner.heavy.room);
    // One that is likely to take long waits before it has its locks.
    let mut long = server.client();
    long.send(
        b"MULTI\r\nINCR {0}n\r\nSORT {0}l STORE {0}sorted\r\nKEYS {0}sorted\r\nEXEC\r\nPING behind\r\n",
    );
    eventually("it waits", || inner.heavy.room.waiting() == 1);
    client.check("INCR {0}n", ":1~");
    client.check("MULTI", "+OK~");
    client.check("HSET {0}h f v", "+QUEUED~");
    client.check("ZADD {0}z 0 m", "+QUEUED~");
    client.check("LRANGE {0}h 0 0", "+QUEUED~");
    client.check("EXEC", "*3~:1~:1~-WRONGTYPE Operation against a key holding the wrong kind of value~");
    client.check("EVAL \"return redis.call('SORT', KEYS[1], 'STORE', KEYS[2])\" 2 {0}l {0}again", ":60000~");
    client.check("EVAL \"return redis.call('COPY', KEYS[1], KEYS[2])\" 2 {0}l {0}new", ":1~");
    assert!(show(&waiting.read_raw()).starts_with("*2~$6~{0}new~*60000~"));
    assert_eq!(inner.heavy.room.waiting(), 1);
    drop(places);
    for reply in ["+OK~", "+QUEUED~", "+QUEUED~", "+QUEUED~", "*3~:2~:60000~*1~$9~{0}sorted~", "$6~behind~"] {
        assert_eq!(show(&long.read_raw()), reply);
    }
    eventually("nobody runs", || inner.heavy.room.running() == 0);
}

/// A wait for room is a wait and no execution, with what is in the way.
#[test]
fn waits_for_room_are_told_as_waits() {
    let server = for_crowds();
    let inner = server.handle().server();
    let mut client = server.client();
    fill(&mut client, 0);
    let mut holder = server.client();
    holder.check("MULTI", "+OK~");
    holder.check("SET elsewhere v", "+QUEUED~");
    holder.check("DEBUG SLEEP 1", "+QUEUED~");
    client.check("SLOWLOG RESET", "+OK~");
    client.check("CONFIG SET slowlog-log-slower-than 900000", "+OK~");
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check("GET {0}nothing", "$-1~");
    holder.send_command("EXEC");
    eventually("it is heavy", || inner.heavy.any());
    let places = occupy(&inner.heavy.room);
    let mut waiting: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let commands = ["SMEMBERS {0}s", "SORT {0}l STORE {0}sorted", "DUMP {0}z"];
    for (number, (client, command)) in waiting.iter_mut().zip(commands).enumerate() {
        client.send_command(command);
        eventually("it waits", || inner.heavy.room.waiting() == number + 1);
    }
    holder.read_raw();
    drop(places);
    waiting.iter_mut().for_each(|client| assert!(!show(&client.read_raw()).starts_with('-')));
    let logged = client.raw("SLOWLOG GET -1");
    assert!(commands.iter().all(|command| !logged.contains(&command[..4])), "{logged}");
    let slow = client.value("KVARTS SLOW GET -1").items();
    for command in commands {
        let found: Vec<&Value> =
            slow.iter().filter(|slow| slow.field("command").texts().join(" ") == command).collect();
        assert_eq!(found.len(), 1, "{command}");
        let part = |name: &str| found[0].field("parts-us").field(name).int();
        assert!(part("lock") > 20_000 && part("run") < part("lock"), "{command}: {:?}", found[0]);
        assert!(found[0].field("blocked-by").text().starts_with("exec with debug|sleep"), "{:?}", found[0]);
    }
    for name in ["smembers", "sort", "dump"] {
        let locks = client.value(&format!("KVARTS SLOW LOCKS {name}")).field(name);
        assert_eq!(locks.field("waits").int(), 1, "{name}");
        let stats = client.value("INFO commandstats").text();
        assert!(stats.contains(&format!("cmdstat_{name}:calls=1,")), "{stats}");
    }
    // Each read is counted once, however often it was begun.
    assert_eq!(server.info("keyspace_misses"), "1");
    assert_eq!(server.info("keyspace_hits"), "2");
}

/// Scripts that run without an end leave room for others.
#[test]
fn scripts_without_an_end_leave_room() {
    let server = for_crowds();
    let inner = server.handle().server();
    let (mut client, mut killer) = (server.client(), server.client());
    fill(&mut client, 0);
    let mut scripts: Vec<Client> = (0..12).map(|_| server.client()).collect();
    for (number, script) in scripts.iter_mut().enumerate() {
        script.send_command(&format!("EVAL 'while true do end' 1 script{number}"));
    }
    eventually("all of them are slow", || inner.scripting.slow.all().len() == 12);
    client.check("SORT {0}l STORE {0}sorted", ":60000~");
    eventually("all scripts are killed", || {
        killer.send_command("SCRIPT KILL");
        show(&killer.read_raw()).starts_with("-NOTBUSY")
    });
    scripts.iter_mut().for_each(|script| assert!(show(&script.read_raw()).starts_with('-')));
    eventually("nobody runs", || inner.heavy.room.running() == 0);
}

/// A replica repeats what its primary ran, whatever its own clients have it do.
#[test]
fn a_replica_does_not_wait_for_room() {
    let (primary, replica) = (for_crowds(), for_crowds());
    let mut client = primary.client();
    fill(&mut client, 0);
    let mut reader = replica.client();
    reader.check(&format!("REPLICAOF 127.0.0.1 {}", primary.address().port()), "+OK~");
    eventually("it has all data", || reader.raw("LLEN {0}l") == format!(":{MANY}~"));
    let _places = occupy(&replica.handle().server().heavy.room);
    client.check("ZUNIONSTORE {0}out 2 {0}z {0}z", &format!(":{MANY}~"));
    client.check("SUNIONSTORE {0}copied {0}s {0}s", &format!(":{MANY}~"));
    eventually("it is repeated", || reader.raw("SCARD {0}copied") == format!(":{MANY}~"));
}

/// A command that only looks at all keys ends when its client is killed, also while nothing is in its way.
#[test]
fn who_is_killed_looks_no_longer() {
    let server = for_crowds();
    let inner = server.handle().server();
    let mut other = server.client();
    (0..5).for_each(|tag| fill(&mut other, tag));
    let mut client = server.client();
    let id = client.value("CLIENT ID").int();
    client.send(&b"DEBUG DIGEST\r\n".repeat(5000));
    eventually("it is heavy", || inner.heavy.any());
    other.check(&format!("CLIENT KILL ID {id}"), ":1~");
    eventually("it is gone", || inner.clients.by_id(id as u64).is_none() && !inner.heavy.any());
}

/// What has all locks and is not known to take long had each request wait with a worker's thread: a PING, too.
#[test]
fn who_waits_for_something_unknown_leaves_its_thread() {
    let server = for_crowds();
    let inner = server.handle().server();
    let mut clients: Vec<Client> = (0..200).map(|_| server.client()).collect();
    let mut other = server.client();
    other.check("SET {0}k v", "+OK~");
    for _ in 0..2 {
        let alone = inner.keyspace.gate.exclusive(|| {});
        for (number, client) in clients.iter_mut().enumerate() {
            let command = ["GET {0}k", "SET {0}k v", "MGET {0}k {0}k", "EXISTS {0}k"][number % 4];
            client.send(format!("{command}\r\nPING behind\r\n").as_bytes());
        }
        eventually("they wait", || inner.held_up.count() == clients.len());
        (0..20).for_each(|_| other.check("PING", "+PONG~"));
        drop(alone);
        for (number, client) in clients.iter_mut().enumerate() {
            client.check_next(["$1~v~", "+OK~", "*2~$1~v~$1~v~", ":1~"][number % 4]);
            client.check_next("$6~behind~");
        }
        eventually("nobody waits", || inner.held_up.count() == 0);
    }
}

/// WATCH is answered behind a script that has its key, as it is by the peers, and sees what that changes.
#[test]
fn watch_behind_a_script_is_answered() {
    let pairs = [("io-threads", "2"), ("busy-reply-threshold", "50")];
    let server = TestServer::with_clock(&pairs, Clock::system());
    let inner = server.handle().server();
    for (keys, is_watched) in [("1 k", true), ("1 other", false), ("0", false)] {
        let (mut client, mut script, mut killer) = (server.client(), server.client(), server.client());
        client.check("DEL k", if is_watched { ":0~" } else { ":1~" });
        client.check("SET k v", "+OK~");
        script.send_command(&format!("EVAL \"while true do end\" {keys}"));
        eventually("it is slow", || inner.scripting.slow.any());
        client.check("WATCH k", "+OK~");
        eventually("it is busy", || killer.raw("GET k").starts_with("-BUSY") || !is_watched && keys != "0");
        client.check("WATCH k", "+OK~");
        client.check("UNWATCH", "+OK~");
        client.check("WATCH k", "+OK~");
        killer.check("SCRIPT KILL", "+OK~");
        script.read_raw();
        client.check("MULTI", "+OK~");
        client.check("GET k", "+QUEUED~");
        client.check("EXEC", "*1~$1~v~");
    }
    let (mut client, mut script) = (server.client(), server.client());
    script.send_command(
        "EVAL \"for i = 1, 3000000 do end for i = 1, 100000 do redis.call('SET', KEYS[1], i) end\" 1 k",
    );
    eventually("it is slow", || inner.scripting.slow.any());
    client.check("WATCH k", "+OK~");
    script.read_raw();
    client.check("MULTI", "+OK~");
    client.check("PING", "+QUEUED~");
    client.check("EXEC", "*-1~");
}
