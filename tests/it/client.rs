//! CLIENT: lists, killing, pauses, silence.

use crate::harness::*;

fn id(client: &mut Client) -> i64 {
    client.value("CLIENT ID").int()
}

/// The fields of a line of CLIENT LIST.
fn field(line: &str, name: &str) -> String {
    let prefix = format!("{name}=");
    let found = line.split_whitespace().find_map(|word| word.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
}

#[test]
fn info_and_list_describe_a_client() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("CLIENT SETNAME me", "+OK~");
    client.check("CLIENT SETINFO lib-name lib", "+OK~");
    client.check("CLIENT SETINFO lib-ver 1.2", "+OK~");
    client.check("SELECT 3", "+OK~");
    server.advance_ms(5500);
    let line = client.value("CLIENT INFO").text();
    assert!(line.ends_with('\n'), "{line}");
    let (address, local) = (client.address().to_string(), server.address().to_string());
    for (name, value) in [
        ("id", "1"),
        ("addr", address.as_str()),
        ("laddr", &local),
        ("name", "me"),
        ("age", "5"),
        // Not since the command before: what asks is not idle.
        ("idle", "0"),
        ("flags", "N"),
        ("db", "3"),
        ("sub", "0"),
        ("multi", "-1"),
        ("cmd", "client|info"),
        ("user", "default"),
        ("resp", "2"),
        ("lib-name", "lib"),
        ("lib-ver", "1.2"),
        ("tot-cmds", "4"),
    ] {
        assert_eq!(field(&line, name), value, "{name}");
    }
    let line = client.value("CLIENT INFO").text();
    assert_eq!(field(&line, "idle"), "0");
    let mut other = server.client3();
    assert_eq!(other.value("SUBSCRIBE a b").items().len(), 3);
    other.read();
    let list = client.value("CLIENT LIST").text();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    assert_eq!(field(lines[1], "sub"), "2");
    assert_eq!(field(lines[1], "flags"), "P");
    assert_eq!(field(lines[1], "resp"), "3");
    assert_eq!(field(lines[1], "cmd"), "subscribe");
}

#[test]
fn what_a_line_tells_of_requests_and_buffers() {
    let server = TestServer::start();
    let mut operator = server.client();
    let mut client = server.client();
    let line_of = |operator: &mut Client, id: i64| operator.value(&format!("CLIENT LIST ID {id}")).text();
    let number = id(&mut client);
    client.check("WATCH a b", "+OK~");
    client.check("MULTI", "+OK~");
    client.check("SET a 1", "+QUEUED~");
    client.check("SET b 2", "+QUEUED~");
    let line = line_of(&mut operator, number);
    assert_eq!(field(&line, "multi"), "2");
    assert_eq!(field(&line, "watch"), "2");
    assert_ne!(field(&line, "multi-mem"), "0");
    client.check("EXEC", "*2~+OK~+OK~");
    let line = line_of(&mut operator, number);
    for (name, value) in [("multi", "-1"), ("watch", "0"), ("multi-mem", "0"), ("omem", "0"), ("events", "r")]
    {
        assert_eq!(field(&line, name), value, "{name}");
    }
    // Commands within a transaction or a script count.
    let count = |operator: &mut Client| -> u64 {
        field(&line_of(operator, number), "tot-cmds").parse().expect("a number")
    };
    let before = count(&mut operator);
    client.check("EVAL \"redis.call('ping') return redis.call('ping')\" 0", "+PONG~");
    eventually("it is counted", || count(&mut operator) == before + 3);
    // A client that waits keeps its request, and what is done for it counts as its own.
    client.send_command("BLPOP list 0");
    eventually("it waits", || field(&line_of(&mut operator, number), "flags") == "b");
    assert_ne!(field(&line_of(&mut operator, number), "argv-mem"), "0");
    operator.check("RPUSH list x", ":1~");
    client.check_next("*2~$4~list~$1~x~");
    eventually("it is counted", || count(&mut operator) == before + 4);
}

#[test]
fn errors_of_filters() {
    table(
        "
        CLIENT LIST FLAGS Z => -ERR Unknown flags found in the provided filter: Z~
        CLIENT LIST CAPA x => -ERR Unknown capa found in the provided filter: x~
        CLIENT LIST DB x => -ERR DB is not an integer or out of range~
        CLIENT LIST DB 16 => -ERR DB number should be between 0 and 15~
        CLIENT LIST TYPE nothing => -ERR Unknown client type 'nothing'~
        CLIENT LIST MAXAGE x => -ERR maxage is not an integer or out of range~
        CLIENT LIST MAXAGE 0 => -ERR maxage should be greater than 0~
        CLIENT LIST IDLE -1 => -ERR idle should be greater than 0~
        CLIENT LIST USER nobody => -ERR No such user 'nobody'~
        CLIENT LIST ID => -ERR syntax error~
        CLIENT LIST ID 0 => -ERR client-id should be greater than 0~
        CLIENT LIST SKIPME x => -ERR syntax error~
        CLIENT LIST NOT-SKIPME yes => -ERR syntax error~
        CLIENT LIST ADDR => -ERR syntax error~
        CLIENT KILL ID x => -ERR syntax error~
        CLIENT KILL 1.2.3.4:5 => -ERR No such client~
        CLIENT KILL SKIPME no ID 12345 => :0~
    ",
    );
}

#[test]
fn list_filters() {
    let server = TestServer::start();
    let mut first = server.client();
    let mut second = server.client();
    let mut subscriber = server.client();
    first.check("CLIENT SETNAME one", "+OK~");
    second.check("CLIENT SETNAME two", "+OK~");
    second.check("SELECT 2", "+OK~");
    subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    let second_address = second.address();
    let local = server.address();
    let mut ids = |filter: &str| -> Vec<String> {
        let text = first.value(&format!("CLIENT LIST {filter}")).text();
        text.lines().map(|line| field(line, "id")).collect()
    };
    assert_eq!(ids(""), ["1", "2", "3"]);
    assert_eq!(ids("ID 2 3 99"), ["2", "3"]);
    assert_eq!(ids("NOT-ID 2"), ["1", "3"]);
    assert_eq!(ids("TYPE pubsub"), ["3"]);
    assert_eq!(ids("TYPE NORMAL"), ["1", "2"]);
    assert_eq!(ids("TYPE master"), Vec::<String>::new());
    assert_eq!(ids("NAME two"), ["2"]);
    assert_eq!(ids("DB 2"), ["2"]);
    assert_eq!(ids("FLAGS P"), ["3"]);
    assert_eq!(ids("NOT-FLAGS P"), ["1", "2"]);
    assert_eq!(ids(&format!("ADDR {second_address}")), ["2"]);
    assert_eq!(ids(&format!("LADDR {local}")), ["1", "2", "3"]);
    assert_eq!(ids("IP 127.0.0.1 SKIPME yes"), ["2", "3"]);
    assert_eq!(ids("USER default"), ["1", "2", "3"]);
    assert_eq!(ids("MAXAGE 10"), Vec::<String>::new());
    server.advance_ms(20_000);
    assert_eq!(ids("MAXAGE 10"), ["1", "2", "3"]);
    assert_eq!(ids("IDLE 10"), ["2", "3"]);
}

/// Of a filter that is given twice the last one counts, beside its NOT- form; ids add up.
#[test]
fn filters_given_twice() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.check(&format!("CLIENT SETNAME n{index}"), "+OK~");
        client.check(&format!("SELECT {index}"), "+OK~");
        client.check(&format!("CLIENT SETINFO lib-name lib{index}"), "+OK~");
    }
    let mut ids = |filter: &str| -> Vec<String> {
        let text = clients[0].value(&format!("CLIENT LIST {filter}")).text();
        text.lines().map(|line| field(line, "id")).collect()
    };
    assert_eq!(ids("NAME n1 NAME n2"), ["3"]);
    assert_eq!(ids("ID 1 ID 3 4"), ["1", "3", "4"]);
    assert_eq!(ids("ID 1 2 3 NOT-ID 1 NOT-ID 2"), ["3"]);
    assert_eq!(ids("NOT-DB 0 NOT-DB 2"), ["1", "2", "4"]);
    assert_eq!(ids("LIB-NAME lib1 LIB-NAME lib2 NOT-LIB-NAME lib2 NOT-LIB-NAME lib1"), ["3"]);
    assert_eq!(ids("TYPE pubsub TYPE normal"), ["1", "2", "3", "4"]);
    clients[0].check("CLIENT LIST NOT-MAXAGE 5", "-ERR syntax error~");
    clients[0].check("CLIENT LIST NOT-IDLE 5", "-ERR syntax error~");
    clients[0].check("CLIENT KILL NAME n1 NAME n2", ":1~");
    clients[2].expect_closed();
    clients[0].check("CLIENT KILL ID 2 ID 4", ":2~");
    clients[1].expect_closed();
}

/// Whoever has subscribed is of that type also in RESP3, in which it may send other commands meanwhile.
#[test]
fn subscribers_are_of_their_type_in_both_protocols() {
    let server = TestServer::start();
    let mut other = server.client();
    for resp3 in [false, true] {
        for subscribes in ["SUBSCRIBE ch", "PSUBSCRIBE ch*", "SSUBSCRIBE ch"] {
            let mut client = if resp3 { server.client().resp3() } else { server.client() };
            let id = id(&mut client);
            let lists = |other: &mut Client, kind: &str| {
                other.raw(&format!("CLIENT LIST TYPE {kind}")).contains(&format!("id={id} "))
            };
            assert!(lists(&mut other, "normal") && !lists(&mut other, "pubsub"));
            client.raw(subscribes);
            assert!(!lists(&mut other, "normal") && lists(&mut other, "pubsub"), "{subscribes} {resp3}");
            assert!(lists(&mut other, "normal NOT-TYPE pubsub") != lists(&mut other, "pubsub"));
            let all = subscribes.replace("SUBSCRIBE", "UNSUBSCRIBE");
            client.raw(&all);
            assert!(lists(&mut other, "normal") && !lists(&mut other, "pubsub"), "{all} {resp3}");
            client.raw(subscribes);
            other.check("CLIENT KILL TYPE normal", ":0~");
            other.check("CLIENT KILL TYPE pubsub", ":1~");
            client.expect_closed();
        }
    }
}

#[test]
fn kill() {
    let server = TestServer::start();
    let mut killer = server.client();
    let mut by_address = server.client();
    let mut by_id = server.client();
    let mut subscriber = server.client();
    let victim = id(&mut by_id);
    by_address.check("PING", "+PONG~");
    subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    let address = by_address.address();
    killer.check(&format!("CLIENT KILL {address}"), "+OK~");
    by_address.expect_closed();
    killer.check(&format!("CLIENT KILL ID {victim}"), ":1~");
    by_id.expect_closed();
    killer.check("CLIENT KILL TYPE pubsub", ":1~");
    subscriber.expect_closed();
    eventually("nobody listens", || killer.raw("PUBSUB NUMSUB ch") == "*2~$2~ch~:0~");
    // It spares the one that says it, unless told otherwise; then its reply still comes.
    killer.check("CLIENT KILL USER default", ":0~");
    killer.check("CLIENT KILL USER default SKIPME no", ":1~");
    killer.expect_closed();
    let mut last = server.client();
    let address = last.address();
    last.check(&format!("CLIENT KILL {address}"), "+OK~");
    last.expect_closed();
}

#[test]
fn reply_off_and_skip() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send_command("CLIENT REPLY OFF");
    client.send_command("SET k v");
    client.send_command("BLAH");
    client.send_command("CLIENT REPLY ON");
    client.check_next("+OK~");
    client.check("GET k", "$1~v~");
    client.send_command("CLIENT REPLY SKIP");
    client.send_command("GET k");
    client.check("STRLEN k", ":1~");
    // SKIP does not end OFF.
    client.send_command("CLIENT REPLY OFF");
    client.send_command("CLIENT REPLY SKIP");
    client.send_command("PING");
    client.send_command("PING");
    client.send_command("CLIENT REPLY ON");
    client.check_next("+OK~");
    client.check("PING", "+PONG~");
    // Messages come all the same.
    let mut subscriber = server.client3();
    subscriber.value("SUBSCRIBE ch");
    subscriber.send_command("CLIENT REPLY OFF");
    subscriber.send_command("PING");
    client.check("PUBLISH ch hello", ":1~");
    subscriber.check_next(">3~$7~message~$2~ch~$5~hello~");
}

#[test]
fn pause_of_all_commands_holds_up_unpause_too() {
    let server = TestServer::start();
    let mut operator = server.client();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    operator.check("CLIENT PAUSE 100000", "+OK~");
    client.send_command("GET k");
    let waits = || {
        server
            .handle()
            .server()
            .clients
            .all()
            .iter()
            .any(|c| c.blocked.load(std::sync::atomic::Ordering::Relaxed))
    };
    eventually("it waits", waits);
    assert_eq!(info_of_pause(&server), ("all".to_owned(), 100_000));
    // As in Valkey, only time ends it.
    operator.send_command("CLIENT UNPAUSE");
    server.advance_ms(99_999);
    assert_eq!(info_of_pause(&server), ("all".to_owned(), 1));
    server.advance_ms(1);
    operator.check_next("+OK~");
    client.check_next("$1~v~");
}

/// What INFO says of the pause, asked without a client: clients wait now.
fn info_of_pause(server: &TestServer) -> (String, u64) {
    let server = server.handle().server();
    let now_ms = server.clock.now_ms();
    let pause = server.pause.in_force(now_ms).expect("a pause");
    (format!("{:?}", pause.scope).to_lowercase(), pause.end_ms - now_ms)
}

#[test]
fn pause_of_writes_ends_by_the_clock() {
    let server = TestServer::start();
    let mut operator = server.client();
    let mut client = server.client();
    operator.check("CLIENT PAUSE 5000 WRITE", "+OK~");
    client.check("GET k", "$-1~");
    assert_eq!(info(&mut operator, "paused_actions"), "write");
    assert_eq!(info(&mut operator, "paused_timeout_milliseconds"), "5000");
    client.send(b"GET k\r\nSET k v\r\nGET k\r\n");
    client.check_next("$-1~");
    let waits = || {
        server
            .handle()
            .server()
            .clients
            .all()
            .iter()
            .any(|c| c.blocked.load(std::sync::atomic::Ordering::Relaxed))
    };
    eventually("it waits", waits);
    operator.check("GET k", "$-1~");
    // A shorter pause does not shorten it.
    operator.check("CLIENT PAUSE 10 WRITE", "+OK~");
    assert_eq!(info(&mut operator, "paused_timeout_milliseconds"), "5000");
    server.advance_ms(5000);
    client.check_next("+OK~");
    client.check_next("$1~v~");
    assert_eq!(info(&mut operator, "paused_actions"), "none");
}

#[test]
fn a_waiting_client_can_be_killed() {
    let server = TestServer::start();
    let mut operator = server.client();
    let mut client = server.client();
    let victim = id(&mut client);
    operator.check("CLIENT PAUSE 100000 WRITE", "+OK~");
    client.send_command("SET k v");
    operator.check(&format!("CLIENT KILL ID {victim}"), ":1~");
    client.expect_closed();
    operator.check("CLIENT UNPAUSE", "+OK~");
    operator.check("EXISTS k", ":0~");
}

#[test]
fn keys_that_end_stay_while_writes_are_paused() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("MSET a 1 b 1", "+OK~");
    client.check("PEXPIRE a 10", ":1~");
    client.check("PEXPIRE b 10", ":1~");
    client.check("CLIENT PAUSE 1000 WRITE", "+OK~");
    server.advance_ms(10);
    client.check("GET a", "$-1~");
    client.check("DBSIZE", ":2~");
    assert_eq!(info(&mut client, "expired_keys"), "0");
    server.advance_ms(990);
    assert_eq!(info(&mut client, "expired_keys"), "2");
    client.check("DBSIZE", ":0~");
}

#[test]
fn scripts_that_do_not_write_are_not_paused() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    let script = b"#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])";
    let library = b"#!lua name=lib\nredis.register_function{function_name='f', callback=function(keys) return redis.call('get', keys[1]) end, flags={'no-writes'}}";
    let sha = client.call(&[b"SCRIPT".as_slice(), b"LOAD", script]).text();
    assert_eq!(client.call(&[b"FUNCTION".as_slice(), b"LOAD", library]).text(), "lib");
    client.check("CLIENT PAUSE 100000 WRITE", "+OK~");
    let v = Value::Bulk(b"v".to_vec());
    assert_eq!(client.call(&[b"EVAL".as_slice(), script, b"1", b"k"]), v);
    assert_eq!(client.call(&[b"EVALSHA".as_slice(), sha.as_bytes(), b"1", b"k"]), v);
    assert_eq!(client.call(&[b"FCALL".as_slice(), b"f", b"1", b"k"]), v);
    client.check("MULTI", "+OK~");
    assert_eq!(client.call(&[b"EVAL".as_slice(), script, b"1", b"k"]).text(), "QUEUED");
    assert_eq!(client.value("EXEC").items(), [v]);
    client.send_command("EVAL \"return 1\" 0");
    let mut operator = server.client();
    eventually("the other script waits", || info(&mut operator, "blocked_clients") == "1");
}

#[test]
fn a_paused_client_that_leaves_is_noticed_at_once() {
    let server = TestServer::start();
    let mut operator = server.client();
    let mut client = server.client();
    operator.check("CLIENT PAUSE 100000 WRITE", "+OK~");
    client.send(b"SET k v\r\nSET l v\r\n");
    eventually("it waits", || info(&mut operator, "blocked_clients") == "1");
    let line = operator.value("CLIENT LIST FLAGS b").text();
    assert_eq!(field(&line, "cmd"), "set");
    drop(client);
    eventually("it is gone", || server.handle().server().clients.count() == 1);
    // What comes meanwhile waits, and is done in order.
    let mut client = server.client();
    client.send_command("SET k v");
    eventually("it waits", || info(&mut operator, "blocked_clients") == "1");
    client.send_command("APPEND k w");
    operator.check("CLIENT UNPAUSE", "+OK~");
    client.check_next("+OK~");
    client.check_next(":2~");
    operator.check("EXISTS l", ":0~");
}

#[test]
fn no_touch_leaves_the_access_clock() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    server.advance_ms(100_000);
    client.check("CLIENT NO-TOUCH ON", "+OK~");
    client.check("GET k", "$1~v~");
    client.check("OBJECT IDLETIME k", ":100~");
    client.check("CLIENT NO-TOUCH OFF", "+OK~");
    client.check("GET k", "$1~v~");
    client.check("OBJECT IDLETIME k", ":0~");
    server.advance_ms(50_000);
    client.check("TTL k", ":-1~");
    client.check("OBJECT IDLETIME k", ":50~");
    client.check("TOUCH k", ":1~");
    client.check("OBJECT IDLETIME k", ":0~");
}

#[test]
fn who_is_being_closed_is_not_killed_again() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let (mut client, mut sleeper) = (server.client(), server.client());
    let id = sleeper.value("CLIENT ID").int();
    let address = sleeper.address();
    // It does not notice its end before it has slept.
    sleeper.send_command("DEBUG SLEEP 2");
    eventually("it sleeps", || client.value(&format!("CLIENT LIST ID {id}")).text().contains(" cmd=debug "));
    client.check(&format!("CLIENT KILL ID {id}"), ":1~");
    client.check(&format!("CLIENT KILL ID {id}"), ":0~");
    client.check(&format!("CLIENT KILL {address}"), "-ERR No such client~");
    assert_eq!(info(&mut client, "connected_clients"), "1");
    assert_eq!(client.value("CLIENT LIST").text().lines().count(), 1);
}

#[test]
fn a_read_buffer_is_kept_for_a_while_where_it_was_needed() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    let id = client.value("CLIENT ID").int();
    let mut buffer = || {
        let line = other.value(&format!("CLIENT LIST ID {id}")).text();
        ["qbuf", "qbuf-free"].map(|name| field(&line, name).parse::<usize>().expect("a number"))
    };
    assert_eq!(buffer(), [0, 0]);
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nva");
    eventually("a part has come", || buffer()[0] > 0);
    client.send(b"lue\r\n");
    client.check_next("+OK~");
    let [used, free] = buffer();
    assert!(used == 0 && free >= 16 * 1024, "{used} {free}");
    client.check("GET k", "$5~value~");
    assert_eq!(buffer(), [0, 0]);
    // A large one is not given up at once.
    client.check(&format!("SET k {}", "v".repeat(500_000)), "+OK~");
    let large = buffer()[1];
    assert!(large > 500_000, "{large}");
    client.check("STRLEN k", ":500000~");
    let smaller = buffer()[1];
    assert!(smaller > 0 && smaller < large, "{smaller}");
    eventually("silence ends it", || buffer() == [0, 0]);
    client.check("PING", "+PONG~");
}

/// Room for a long argument is there as soon as its length is known, and goes when nothing comes of it for
/// two seconds. The argument still arrives whole.
#[test]
fn room_for_a_long_argument_comes_at_once_and_goes() {
    let server = TestServer::start();
    let mut admin = server.client();
    let mut client = server.client();
    client.check("CLIENT SETNAME fat", "+OK~");
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\na");
    let mut buffer = || -> usize {
        let list = admin.value("CLIENT LIST").text();
        let line = list.lines().find(|line| line.contains("name=fat")).expect("its line");
        let number = |name| field(line, name).parse::<usize>().expect("a number");
        number("qbuf") + number("qbuf-free")
    };
    eventually("there is room", || buffer() >= 1_000_000);
    eventually("it is given back", || buffer() < 100_000);
    client.send(&[b'a'; 999_999]);
    client.send(b"\r\n");
    client.check_next("+OK~");
    client.check("STRLEN k", ":1000000~");
}

/// A stranger's announcement makes no room.
#[test]
fn strangers_get_no_room_for_announcements() {
    let server = TestServer::with(&[("requirepass", "secret")]);
    let mut stranger = server.client();
    stranger.send(b"*2\r\n$4\r\nAUTH\r\n$16000\r\na");
    let mut admin = server.client();
    admin.check("AUTH secret", "+OK~");
    eventually("its bytes have come", || {
        let list = admin.value("CLIENT LIST").text();
        list.lines().any(|line| field(line, "id") == "1" && field(line, "qbuf") != "0")
    });
    let list = admin.value("CLIENT LIST").text();
    let line = list.lines().find(|line| field(line, "id") == "1").expect("its line");
    assert!(field(line, "qbuf-free").parse::<usize>().expect("a number") < 20_000, "{line}");
}

/// A connection kept a reply buffer of up to 256 KB. CLIENT LIST shows what it keeps: little at first, and no
/// more than 16 KB after a longer reply, whose bytes are those of the value whichever buffer they were made
/// in.
#[test]
fn a_connection_keeps_a_small_reply_buffer() {
    let server = TestServer::start();
    let mut watching = server.client();
    let mut client = server.client();
    let rbs = |watching: &mut Client| -> usize {
        let list = watching.value("CLIENT LIST").text();
        let line = list.lines().find(|line| line.contains(" name=watched ")).expect("its line");
        let field = line.split(' ').find_map(|field| field.strip_prefix("rbs=")).expect("its field");
        field.parse().expect("a number")
    };
    client.check("CLIENT SETNAME watched", "+OK~");
    assert_eq!(rbs(&mut watching), 1024);
    for len in [1, 1000, 5000, 32_768, 20, 100_000, 3_000_000, 1] {
        let value: String = (0..len).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        assert_eq!(client.call(&["SET", "k", &value]), Value::Simple("OK".into()));
        // In a pipeline, between short replies.
        client.send(&[encode(&["PING"]), encode(&["GET", "k"]), encode(&["PING"])].concat());
        assert_eq!(client.read(), Value::Simple("PONG".into()));
        assert!(client.read() == Value::Bulk(value.into_bytes()), "{len} bytes");
        assert_eq!(client.read(), Value::Simple("PONG".into()));
        eventually("its buffer is small again", || rbs(&mut watching) <= 16_384);
    }
    assert_eq!(rbs(&mut watching), 16_384);
    // Not while it waits either, or wants no replies.
    for request in ["CLIENT REPLY OFF", "BLPOP none 0"] {
        assert_eq!(client.call(&["SET", "k", &"x".repeat(40_000)]), Value::Simple("OK".into()));
        client.value("GET k");
        client.send_command(request);
        eventually("it has asked", || {
            watching.value("CLIENT LIST").text().contains(" cmd=client|reply ")
                || server.info("blocked_clients") == "1"
        });
        eventually("its buffer is small", || rbs(&mut watching) <= 16_384);
        if request.starts_with("CLIENT") {
            client.check("CLIENT REPLY ON", "+OK~");
            client.check("SET k a", "+OK~");
        }
    }
}
