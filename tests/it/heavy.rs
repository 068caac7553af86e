//! Commands that take long, and everybody else meanwhile. What others get done is counted, never timed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kvarts::shared::clock::Clock;

use crate::harness::*;

/// Elements of a collection that takes long to work on.
const MANY: usize = 60_000;

/// A server whose heavy commands are noticed: its time is the machine's.
fn server() -> TestServer {
    let pairs = [("io-threads", "2"), ("enable-debug-command", "yes")];
    TestServer::with_clock(&pairs, Clock::system())
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
            let _stop = StopAtEnd(&running);
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
            // Requests under way when the first command began may have been answered behind it.
            assert!(meanwhile > 3 * 8, "{meanwhile} requests of others beside {clients} heavy clients");
        });
        let heavy = &server.handle().server().heavy;
        assert!(heavy.total() >= clients && !heavy.any(), "all of them were heavy, and are no longer");
    }
}

/// Where transactions that sleep came at the same instant, as many as workers and many more, each thread was to
/// hand its tasks to another one, and all of them could end up with a thread that slept: a PING waited for a
/// whole sleep.
#[test]
fn sleeping_transactions_that_come_together_hold_up_nobody() {
    let directives = [("io-threads", "2"), ("enable-debug-command", "yes")];
    let server = TestServer::with_clock(&directives, Clock::system());
    for clients in [4, 8, 12, 8, 12, 8, 12] {
        let mut sleeping: Vec<Client> = (0..clients).map(|_| server.client()).collect();
        let mut other = server.client();
        for client in &mut sleeping {
            client.send(b"MULTI\r\nDEBUG SLEEP 2.5\r\nEXEC\r\n");
        }
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(show(&sleeping[0].read_raw()), "+OK~");
                assert_eq!(show(&sleeping[0].read_raw()), "+QUEUED~");
                assert_eq!(show(&sleeping[0].read_raw()), "*1~+OK~");
                is_done.store(true, Ordering::SeqCst);
            });
            // Those that are sent while all sleeps begin are the ones that waited.
            for _ in 0..20 {
                std::thread::sleep(std::time::Duration::from_millis(5));
                other.check("PING", "+PONG~");
            }
            assert!(!is_done.load(Ordering::SeqCst), "PING waited for one of {clients} sleeps");
        });
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

/// Fills a set, a hash, a stream with a group and a sorted set of places under keys of one slot.
fn fill_more(client: &mut Client, tag: usize) {
    let mut send = |request: Vec<String>| {
        let words: Vec<&str> = request.iter().map(String::as_str).collect();
        client.send(&encode(&words));
        client.read_raw();
    };
    for first in (0..MANY).step_by(1000) {
        let head = |name: &str, key: &str| vec![name.to_owned(), format!("{{{tag}}}{key}")];
        let (mut sadd, mut hset, mut geoadd) = (head("SADD", "s"), head("HSET", "h"), head("GEOADD", "g"));
        for number in first..first + 1000 {
            sadd.push(format!("m{number}"));
            hset.extend([format!("f{number}"), "v".to_owned()]);
            geoadd.extend([format!("{}.{:05}", number % 10, number), "1.5".to_owned(), format!("m{number}")]);
        }
        let add = format!("for i = 1, 1000 do redis.call('XADD', KEYS[1], {first} + i, 'f', 'v') end");
        for request in [sadd, hset, geoadd] {
            send(request);
        }
        send(vec!["EVAL".to_owned(), add, "1".to_owned(), format!("{{{tag}}}x")]);
    }
    send(["XGROUP", "CREATE", "{0}x", "g", "0"].map(str::to_owned).into());
}

/// Commands that go through much held their thread to the end, as they did not count their work: each has to
/// be heavy, whether it says so before or counts as it goes.
#[test]
fn whatever_goes_through_much_is_heavy() {
    let server = server();
    let mut client = server.client();
    fill(&mut client, 0);
    fill_more(&mut client, 0);
    let total = || server.handle().server().heavy.total();
    // Replies of megabytes are not what this is about.
    let is_heavy = |client: &mut Client, command: &str| {
        let before = total();
        client.send_command("CLIENT REPLY SKIP");
        client.send_command(command);
        client.check("PING", "+PONG~");
        total() > before
    };
    client.check("SETRANGE {0}string 30000000 x", ":30000001~");
    for command in [
        "DEBUG DIGEST-VALUE {0}string",
        "DEBUG DIGEST-VALUE {0}l",
        "DEBUG DIGEST-VALUE {0}z",
        "DEBUG DIGEST-VALUE {0}s",
        "DEBUG DIGEST-VALUE {0}h",
        "DEBUG DIGEST-VALUE {0}x",
        "DEBUG DIGEST",
        "DEBUG LOADAOF",
        "LPOS {0}l nothing",
        "LREM {0}l 0 nothing",
        "LINSERT {0}l BEFORE nothing x",
        "COPY {0}l {0}copy",
        "LTRIM {0}copy 0 10",
        "COPY {0}l {0}copy REPLACE",
        "LPOP {0}copy 50000",
        "DUMP {0}z",
        "MEMORY USAGE {0}l",
        "XRANGE {0}x - +",
        "XREVRANGE {0}x + -",
        "XREAD STREAMS {0}x 0",
        "XREADGROUP GROUP g c STREAMS {0}x >",
        "XREADGROUP GROUP g c STREAMS {0}x 0",
        "XPENDING {0}x g - + 60000",
        "XAUTOCLAIM {0}x g c 0 0 COUNT 60000",
        "XINFO STREAM {0}x FULL COUNT 0",
        "XTRIM {0}x MAXLEN 10",
        "GEOSEARCH {0}g FROMLONLAT 1 1 BYRADIUS 20000 km",
        "GEOSEARCHSTORE {0}found {0}g FROMLONLAT 1 1 BYRADIUS 20000 km",
        "SRANDMEMBER {0}s 30000",
        "SRANDMEMBER {0}s -30000",
        "HRANDFIELD {0}h 30000 WITHVALUES",
        "ZRANDMEMBER {0}z -30000",
        "SSCAN {0}s 0 COUNT 60000",
        "SPOP {0}s 30000",
        "ZREMRANGEBYRANK {0}found 0 50000",
        "ZPOPMIN {0}g 50000",
        "EVAL \"for i = 1, 50000 do redis.call('LLEN', KEYS[1]) end\" 1 {0}l",
    ] {
        assert!(is_heavy(&mut client, command), "{command}");
    }
    for command in [
        "DEBUG DIGEST-VALUE nothing",
        "LPOS {0}l 0",
        "LREM {0}l 1 0",
        "XTRIM {0}x MAXLEN 10",
        "XREAD STREAMS {0}x $",
    ] {
        assert!(!is_heavy(&mut client, command), "{command} has little to do");
        let reply = client.value(command);
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
    }
}

/// Whatever holds its thread without an end in sight, scripts and a sleep within a transaction, leaves all
/// other clients their turn: each gets a request answered after the other, while the thread is taken. With
/// fewer such clients than there are workers, as many, and twice as many.
#[test]
fn others_go_on_while_threads_are_stuck() {
    const ROUNDS: usize = 50;
    for stuck in [1, 2, 4] {
        let pairs = [("io-threads", "2"), ("enable-debug-command", "yes")];
        let server = TestServer::with_clock(&pairs, Clock::system());
        let mut others: Vec<Client> = (0..8).map(|_| server.client()).collect();
        let mut clients: Vec<Client> = (0..stuck).map(|_| server.client()).collect();
        let mut killer = server.client();
        for (number, client) in clients.iter_mut().enumerate() {
            if number % 2 == 0 {
                client.send_command(&format!("EVAL 'while true do end' 1 {{{number}}}k"));
            } else {
                client.check("MULTI", "+OK~");
                client.check(&format!("SET {{{number}}}k v"), "+QUEUED~");
                client.check("DEBUG SLEEP 0.3", "+QUEUED~");
                client.send_command("EXEC");
            }
        }
        // As long as the scripts are not killed nothing of this could be answered by a thread that they hold.
        for round in 0..ROUNDS {
            for (number, other) in others.iter_mut().enumerate() {
                other.check(&format!("SET other:{number} {round}"), "+OK~");
                other.check("PING", "+PONG~");
            }
        }
        eventually("all scripts can be killed", || {
            killer.send_command("SCRIPT KILL");
            show(&killer.read_raw()).starts_with("-NOTBUSY")
        });
        for (number, client) in clients.iter_mut().enumerate() {
            if number % 2 == 0 {
                let end = show(&client.read_raw());
                assert!(end.starts_with("-ERR Error running script") || end.contains("killed"), "{end}");
            } else {
                assert_eq!(show(&client.read_raw()), "*2~+OK~+OK~");
            }
        }
        let heavy = &server.handle().server().heavy;
        eventually("none of them is left", || !heavy.any());
    }
}

/// What a client tracks is told when a heavy command changes it, also to a client that has handed over its
/// place meanwhile, and not before the reply that it belongs behind.
#[test]
fn tracked_keys_beside_heavy_commands() {
    let server = server();
    let mut heavy = server.client3();
    fill(&mut heavy, 0);
    heavy.check("CLIENT TRACKING on", "+OK~");
    let mut tracking = server.client3();
    tracking.check("CLIENT TRACKING on", "+OK~");
    for round in 0..3 {
        for client in [&mut heavy, &mut tracking] {
            client.send_command("EXISTS {0}out");
            client.read_raw();
            client.check("GET {1}k", "_~");
        }
        heavy.send_command("ZUNIONSTORE {0}out 2 {0}z {0}z");
        heavy.send_command("PING behind");
        let mut other = server.client();
        other.check("SET {1}k v", "+OK~");
        other.check("DEL {1}k", ":1~");
        // Each hears of both keys; the one that changes a key itself hears of that before its reply.
        let told = |key: &str| format!(">2~$10~invalidate~*1~${}~{key}~", key.len());
        let mut heard: Vec<String> = (0..2).map(|_| show(&tracking.read_raw())).collect();
        heard.sort();
        assert_eq!(heard, [told("{1}k"), told("{0}out")], "round {round}");
        let heard: Vec<String> = (0..4).map(|_| show(&heavy.read_raw())).collect();
        let place = |text: &str| heard.iter().position(|heard| heard == text).expect("it comes");
        assert!(place(&format!(":{MANY}~")) < place("$6~behind~"), "{heard:?}");
        assert!(place(&told("{0}out")) < place("$6~behind~"), "{heard:?}");
        place(&told("{1}k"));
    }
}

/// Of very many keys KEYS visits half on another thread: each name comes once, and those of a pattern alone.
#[test]
fn names_of_very_many_keys_come_once() {
    const KEYS: usize = 210_000;
    let server = server();
    let mut client = server.client();
    for first in (0..KEYS).step_by(10_000) {
        let mut words = vec!["MSET".to_owned()];
        (first..first + 10_000).for_each(|number| words.extend([format!("key:{number}"), "v".to_owned()]));
        client.send(&encode(&words));
        client.check_next("+OK~");
    }
    let names = |client: &mut Client, pattern: &str| -> Vec<String> {
        let mut names: Vec<String> =
            client.value(&format!("KEYS {pattern}")).items().iter().map(|name| name.text()).collect();
        names.sort_unstable();
        names
    };
    let mut expected: Vec<String> = (0..KEYS).map(|number| format!("key:{number}")).collect();
    expected.sort_unstable();
    assert!(names(&mut client, "*") == expected, "all names, each once");
    expected.retain(|name| name.ends_with("77"));
    assert_eq!(names(&mut client, "*77"), expected);
    assert_eq!(names(&mut client, "nothing*"), Vec::<String>::new());
    // Within a transaction it is one instant, on one thread.
    client.check("MULTI", "+OK~");
    client.check("KEYS *77", "+QUEUED~");
    assert_eq!(client.value("EXEC").items()[0].items().len(), expected.len());
}

/// A transaction of very many short commands held its thread to the end.
#[test]
fn a_long_transaction_is_heavy() {
    const QUEUED: usize = 20_000;
    let server = server();
    let mut client = server.client();
    let mut queue = encode(&["MULTI"]);
    (0..QUEUED).for_each(|_| queue.extend(encode(&["INCR", "{0}n"])));
    queue.extend(encode(&["EXEC"]));
    client.send(&queue);
    (0..QUEUED + 1).for_each(|_| drop(client.read_raw()));
    let counts = show(&client.read_raw());
    assert!(counts.starts_with(&format!("*{QUEUED}~:1~:2~")), "{}", &counts[..40]);
    assert!(server.handle().server().heavy.total() > 0);
}

/// Whoever read a big value kept its slot's writers waiting until the reply was made. Now it lets them in
/// between two pieces, and what it answers is still the value of one instant: two places that are always
/// changed together are never seen apart.
#[test]
fn big_values_are_read_as_of_one_instant_beside_their_writers() {
    const ROUNDS: usize = 5;
    let server = server();
    let mut reader = server.client();
    fill(&mut reader, 0);
    fill_more(&mut reader, 0);
    let last = MANY - 1;
    reader.check(&format!("SETRANGE {{0}}t {} x", 4 << 20), &format!(":{}~", (4 << 20) + 1));
    let (running, changes) = (AtomicBool::new(true), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&running);
        let mut writer = server.client();
        let (running, changes) = (&running, &changes);
        scope.spawn(move || {
            for version in 1.. {
                if !running.load(Ordering::Relaxed) {
                    break;
                }
                let digit = version % 10;
                for (command, replies) in [
                    (format!("LSET {{0}}l 0 {version};LSET {{0}}l -1 {version}"), "*2~+OK~+OK~"),
                    (format!("HSET {{0}}h f0 {version} f{last} {version}"), "*1~:0~"),
                    (format!("ZADD {{0}}z {version} m1 {version} m{last}"), "*1~:0~"),
                    (
                        format!(
                            "SREM {{0}}s a{} b{};SADD {{0}}s a{version} b{version}",
                            version - 1,
                            version - 1
                        ),
                        "",
                    ),
                    (format!("SETRANGE {{0}}t 0 {digit};SETRANGE {{0}}t {} {digit}", 4 << 20), ""),
                ] {
                    writer.check("MULTI", "+OK~");
                    command.split(';').for_each(|command| writer.check(command, "+QUEUED~"));
                    writer.send_command("EXEC");
                    let answer = show(&writer.read_raw());
                    assert!(replies.is_empty() || answer == replies, "{command}: {answer}");
                }
                changes.fetch_add(1, Ordering::Relaxed);
                // Readers that are always disturbed hold the lock at last; some are to end before.
                std::thread::sleep(std::time::Duration::from_millis(1 + version as u64 % 16));
            }
        });
        eventually("the first changes are made", || changes.load(Ordering::Relaxed) > 0);
        let texts = |value: Value| -> Vec<String> { value.items().iter().map(|item| item.text()).collect() };
        for round in 0..ROUNDS {
            let list = texts(reader.value("LRANGE {0}l 0 -1"));
            assert_eq!((list.len(), &list[0]), (MANY, &list[last]), "round {round}");
            let hash = texts(reader.value("HGETALL {0}h"));
            assert_eq!(hash.len(), 2 * MANY);
            let of = |field: &str| {
                hash[hash.iter().step_by(2).position(|name| name == field).unwrap() * 2 + 1].clone()
            };
            assert_eq!(of("f0"), of(&format!("f{last}")));
            let zset = texts(reader.value("ZRANGE {0}z 0 -1 WITHSCORES"));
            assert_eq!(zset.len(), 2 * MANY);
            let of = |member: &str| {
                zset[zset.iter().step_by(2).position(|name| name == member).unwrap() * 2 + 1].clone()
            };
            assert_eq!(of("m1"), of(&format!("m{last}")));
            let set = texts(reader.value("SMEMBERS {0}s"));
            let only = |first: char| {
                let found: Vec<&String> = set.iter().filter(|member| member.starts_with(first)).collect();
                assert!(found.len() <= 1, "{found:?}");
                found.first().map(|member| member[1..].to_owned())
            };
            assert_eq!(only('a'), only('b'));
            let text = reader.value("GET {0}t").text();
            assert_eq!((text.len(), text.as_bytes().first()), ((4 << 20) + 1, text.as_bytes().last()));
        }
    });
    assert!(changes.load(Ordering::Relaxed) > 0);
}

/// A value that is deleted or replaced while it is read in pieces is read anew, or is no longer there.
#[test]
fn a_value_that_goes_while_it_is_read_is_whole_or_gone() {
    let server = server();
    let (mut reader, mut other) = (server.client(), server.client());
    fill(&mut reader, 0);
    reader.check("COPY {0}l {0}spare", ":1~");
    for round in 0..8 {
        reader.send_command("LRANGE {0}l 0 -1");
        match round % 4 {
            0 => other.check("DEL {0}l", ":1~"),
            1 => other.check("RENAME {0}l {0}gone", "+OK~"),
            2 => other.check("PEXPIRE {0}l 1", ":1~"),
            _ => other.check("FLUSHALL", "+OK~"),
        }
        let seen = reader.read_raw();
        let head = show(&seen[..seen.len().min(12)]);
        assert!(head.starts_with(&format!("*{MANY}~")) || head == "*0~", "{head}");
        match round % 4 {
            3 => fill(&mut other, 0),
            _ => other.check("COPY {0}spare {0}l REPLACE", ":1~"),
        }
        if round % 4 == 3 {
            other.check("COPY {0}l {0}spare", ":1~");
        }
    }
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
    // Killed before it ran, while it ran, or just as it was about to: then it finds what FLUSHALL has left.
    assert!(["".to_owned(), format!(":{MANY}\r\n"), ":0\r\n".to_owned()].contains(&rest), "{rest}");
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
