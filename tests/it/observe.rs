//! What the server tells of the commands that it runs: COMMANDLOG, SLOWLOG, MONITOR, LATENCY.

use crate::harness::*;

/// The entries of a log, oldest first: value and request.
fn log(client: &mut Client, kind: &str) -> Vec<(i64, String)> {
    let entries = client.value(&format!("COMMANDLOG GET -1 {kind}")).items();
    let entry = |entry: &Value| {
        let fields = entry.items();
        (fields[2].int(), fields[3].texts().join(" "))
    };
    entries.iter().rev().map(entry).collect()
}

#[test]
fn an_entry_of_the_log() {
    let server = TestServer::with(&[("commandlog-request-larger-than", "20")]);
    for mut client in [server.client(), server.client3()] {
        client.check("COMMANDLOG RESET large-request", "+OK~");
        client.check("CLIENT SETNAME me", "+OK~");
        client.value("GET long-enough-to-be-logged");
        let address = client.address().to_string();
        let reply = client.raw("COMMANDLOG GET 1 large-request");
        let id = reply.split(['~', ':']).nth(3).expect("an id");
        let expected = format!(
            "*1~*6~:{id}~:1700000000~:44~*2~$3~GET~$24~long-enough-to-be-logged~${}~{address}~$2~me~",
            address.len()
        );
        assert_eq!(reply, expected);
    }
}

#[test]
fn sizes_of_the_three_logs() {
    let server = TestServer::with(&[
        ("commandlog-request-larger-than", "0"),
        ("commandlog-reply-larger-than", "0"),
        ("slowlog-log-slower-than", "0"),
    ]);
    let mut client = server.client();
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nabc\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nget k\r\n");
    client.check_next("+OK~");
    client.check_next("$3~abc~");
    client.check_next("$3~abc~");
    client.check("BLAH", "-ERR unknown command 'BLAH', with args beginning with: ~");
    client.check("GET", "-ERR wrong number of arguments for 'get' command~");
    client.check("LPUSH k v", "-WRONGTYPE Operation against a key holding the wrong kind of value~");
    client.check("MULTI", "+OK~");
    client.check("GET k", "+QUEUED~");
    client.check("EXEC", "*1~$3~abc~");
    client.check("EVAL \"return redis.call('get', KEYS[1])\" 1 k", "$3~abc~");
    let requests = log(&mut client, "large-request");
    let replies = log(&mut client, "large-reply");
    let eval = "EVAL return redis.call('get', KEYS[1]) 1 k";
    let expected = [
        (29, 5, "SET k abc"),
        (20, 9, "GET k"),
        (7, 9, "get k"),
        (29, 68, "LPUSH k v"),
        (15, 5, "MULTI"),
        (20, 9, "GET k"),
        (0, 9, "get k"),
        (68, 9, eval),
    ];
    let of = |pick: fn(&(i64, i64, &'static str)) -> i64| -> Vec<(i64, String)> {
        expected.iter().map(|entry| (pick(entry), entry.2.to_owned())).collect()
    };
    assert_eq!(requests, of(|entry| entry.0));
    assert_eq!(replies[..expected.len()], of(|entry| entry.1));
    let slow = log(&mut client, "slow");
    let names: Vec<&str> = slow.iter().map(|(_, request)| request.as_str()).collect();
    let all: Vec<&str> = expected.iter().map(|entry| entry.2).collect();
    assert_eq!(names[..all.len()], all);
    // SLOWLOG is the same log.
    client.check("SLOWLOG RESET", "+OK~");
    client.check("COMMANDLOG LEN slow", ":1~");
    client.check("SLOWLOG LEN", ":2~");
    let latest = client.value("SLOWLOG GET 2").items();
    assert_eq!(latest[0].items()[3].texts(), ["SLOWLOG", "LEN"]);
}

#[test]
fn arguments_of_the_log_are_cut_and_secrets_hidden() {
    let server = TestServer::with(&[("commandlog-execution-slower-than", "0"), ("requirepass", "secret")]);
    let mut client = server.client();
    client.check("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.~");
    client.value("HELLO 2 AUTH default secret SETNAME me");
    client.check("CONFIG SET maxclients 100 requirepass secret2", "+OK~");
    client.check("ACL SETUSER bob on >pw", "+OK~");
    client.value("ACL GETUSER bob");
    client.check("ACL DELUSER bob", ":1~");
    // A role has no password, but somebody may have meant a user.
    assert!(client.raw("ACL SETROLE role >pw").starts_with("-ERR"));
    assert!(client.raw("ACL DRYRUN default AUTH default pw").starts_with("+OK"));
    let many: Vec<String> = (0..40).map(|number| format!("key{number}")).collect();
    let long = "v".repeat(200);
    client.check(&format!("SET k {long}"), "+OK~");
    client.value(&format!("DEL {}", many.join(" ")));
    let exact = vec!["x"; 31].join(" ");
    client.value(&format!("DEL {exact}"));
    let slow = log(&mut client, "slow");
    let requests: Vec<&str> = slow.iter().map(|(_, request)| request.as_str()).collect();
    let shown = format!("SET k {}... (72 more bytes)", &long[..128]);
    let listed = format!("DEL {} ... (10 more arguments)", many[..30].join(" "));
    assert_eq!(
        requests,
        [
            "AUTH (redacted)",
            "HELLO 2 AUTH (redacted) (redacted) SETNAME me",
            "CONFIG SET maxclients 100 requirepass (redacted)",
            "ACL SETUSER (redacted) (redacted) (redacted)",
            "ACL GETUSER (redacted)",
            "ACL DELUSER (redacted)",
            "ACL SETROLE role (redacted)",
            "ACL DRYRUN default AUTH (redacted) (redacted)",
            &shown,
            &listed,
            &format!("DEL {exact}"),
        ]
    );
}

/// With `slowlog-entry-newer-fields` SLOWLOG has the number of all arguments as one element more than COMMANDLOG.
#[test]
fn how_much_of_a_command_is_kept_can_be_chosen() {
    let server = TestServer::with(&[("slowlog-log-slower-than", "0")]);
    let mut admin = server.client();
    for mut client in [server.client(), server.client3()] {
        client.check("CONFIG SET slowlog-entry-max-argc 32 slowlog-entry-max-string-len 128", "+OK~");
        let address = client.address().to_string();
        let mut check = |client: &mut Client, request: &str, kept: &str, count: usize| {
            client.value(request);
            let reply = client.raw("SLOWLOG GET 1");
            let id = reply.split(['~', ':']).nth(3).expect("an id").to_owned();
            let took = reply.split(['~', ':']).nth(7).expect("a time").to_owned();
            let who = format!("${}~{address}~$0~~", address.len());
            assert_eq!(reply, format!("*1~*6~:{id}~:1700000000~:{took}~{kept}{who}"), "{request}");
            admin.check("CONFIG SET slowlog-entry-newer-fields yes", "+OK~");
            // Each request since is an entry, too.
            let reply = client.raw("SLOWLOG GET 3");
            let last = reply.rsplit_once("*7~").expect("the older entry").1;
            assert_eq!(last, format!(":{id}~:1700000000~:{took}~{kept}{who}:{count}~"), "{request}");
            admin.check("CONFIG SET slowlog-entry-newer-fields no", "+OK~");
            let reply = client.raw("COMMANDLOG GET 5 slow");
            let last = reply.rsplit_once("*6~").expect("the older entry").1;
            assert_eq!(last, format!(":{id}~:1700000000~:{took}~{kept}{who}"), "{request}");
        };
        check(&mut client, "ECHO text", "*2~$4~ECHO~$4~text~", 2);
        let all = (0..32).map(|_| "x").collect::<Vec<_>>().join(" ");
        let kept = "*32~$3~DEL~".to_owned() + &"$1~x~".repeat(30) + "$22~... (2 more arguments)~";
        check(&mut client, &format!("DEL {all}"), &kept, 33);
        client.check("CONFIG SET slowlog-entry-max-argc 3 slowlog-entry-max-string-len 2", "+OK~");
        check(&mut client, "DEL a b", "*3~$20~DE... (1 more bytes)~$1~a~$1~b~", 3);
        check(
            &mut client,
            "DEL abcd b c",
            "*3~$20~DE... (1 more bytes)~$20~ab... (2 more bytes)~$22~... (2 more arguments)~",
            4,
        );
        client.check("CONFIG SET slowlog-entry-max-argc 1", "+OK~");
        check(&mut client, "DEL a b", "*1~$22~... (3 more arguments)~", 3);
        client.check("CONFIG SET slowlog-entry-max-argc 100 slowlog-entry-max-string-len 1000", "+OK~");
        let kept = "*33~$3~DEL~".to_owned() + &"$1~x~".repeat(32);
        check(&mut client, &format!("DEL {all}"), &kept, 33);
        // Secrets are hidden whatever is kept.
        check(
            &mut client,
            "CONFIG SET requirepass \"\"",
            "*4~$6~CONFIG~$3~SET~$11~requirepass~$10~(redacted)~",
            4,
        );
        for wrong in
            ["slowlog-entry-max-argc 0", "slowlog-entry-max-argc x", "slowlog-entry-max-string-len 0"]
        {
            let reply = client.raw(&format!("CONFIG SET {wrong}"));
            assert!(
                reply.starts_with("-ERR CONFIG SET failed (possibly related to argument 'slowlog-entry-max-"),
                "{reply}"
            );
        }
    }
}

#[test]
fn logs_are_bounded_and_can_be_off() {
    let server = TestServer::with(&[("commandlog-execution-slower-than", "0"), ("slowlog-max-len", "3")]);
    let mut client = server.client();
    for _ in 0..10 {
        client.check("PING", "+PONG~");
    }
    client.check("SLOWLOG LEN", ":3~");
    client.check("CONFIG SET commandlog-execution-slower-than -1", "+OK~");
    client.check("SLOWLOG RESET", "+OK~");
    client.check("PING", "+PONG~");
    client.check("SLOWLOG LEN", ":0~");
    // A shorter log is cut by the next entry.
    client.check("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 1", "+OK~");
    client.check("PING", "+PONG~");
    client.check("SLOWLOG LEN", ":1~");
    client.check("CONFIG SET slowlog-max-len 0 commandlog-request-larger-than 0", "+OK~");
    client.check(
        "CONFIG GET commandlog-slow-execution-max-len",
        "*2~$33~commandlog-slow-execution-max-len~$1~0~",
    );
    client.check("SLOWLOG LEN", ":1~");
}

#[test]
fn errors_of_the_log() {
    table(
        "
        COMMANDLOG GET 1 nothing => -ERR type should be one of the following: slow, large-request, large-reply~
        COMMANDLOG GET -2 slow => -ERR count should be greater than or equal to -1~
        COMMANDLOG GET 1 => -ERR wrong number of arguments for 'commandlog|get' command~
        COMMANDLOG LEN nothing => -ERR type should be one of the following: slow, large-request, large-reply~
        COMMANDLOG RESET nothing => -ERR type should be one of the following: slow, large-request, large-reply~
        SLOWLOG GET -2 => -ERR count should be greater than or equal to -1~
        SLOWLOG GET x => -ERR count should be greater than or equal to -1~
        SLOWLOG GET 99999999999999999999 => -ERR count should be greater than or equal to -1~
        SLOWLOG GET 9223372036854775807 => *0~
        SLOWLOG GET 1 2 => -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.~
        SLOWLOG LEN 1 => -ERR wrong number of arguments for 'slowlog|len' command~
    ",
    );
}

#[test]
fn a_wait_is_logged_when_it_ends() {
    let server = TestServer::with(&[("commandlog-request-larger-than", "0")]);
    let mut operator = server.client();
    let mut waiting = server.client();
    let waits = || server.handle().server().effects.waiting.client_count() == 1;
    waiting.send_command("BLPOP list 1");
    eventually("it waits", waits);
    operator.check("RPUSH list a", ":1~");
    waiting.check_next("*2~$4~list~$1~a~");
    waiting.send_command("BLPOP other 1");
    eventually("it waits", waits);
    server.advance_ms(1000);
    waiting.check_next("*-1~");
    let logged = log(&mut operator, "large-request");
    let requests: Vec<&str> = logged.iter().map(|(_, request)| request.as_str()).collect();
    assert_eq!(requests, ["RPUSH list a", "BLPOP list 1", "BLPOP other 1"]);
    let stats = info(&mut operator, "cmdstat_blpop");
    assert!(stats.starts_with("calls=2,"), "{stats}");
    assert!(stats.ends_with(",rejected_calls=0,failed_calls=0"), "{stats}");
}

#[test]
fn time_that_a_command_has_its_client_wait_is_its_own() {
    let server = TestServer::with(&[("enable-debug-command", "yes"), ("latency-monitor-threshold", "10")]);
    let mut client = server.client();
    client.check("DEBUG SLEEP 0.02", "+OK~");
    let slow = log(&mut client, "slow");
    let sleep = slow.iter().find(|(_, request)| request == "DEBUG SLEEP 0.02").expect("it is logged");
    assert!(sleep.0 >= 20_000, "{slow:?}");
    let history = client.value("LATENCY HISTORY command").items();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].items()[0].int(), 1_700_000_000);
    assert!(history[0].items()[1].int() >= 20);
    let latest = client.value("LATENCY LATEST").items();
    let command = latest.iter().find(|event| event.items()[0].text() == "command").expect("an event");
    assert_eq!(command.items().len(), 6);
    assert!(client.value("LATENCY GRAPH command").text().starts_with("command - high "));
    assert!(client.value("LATENCY DOCTOR").text().contains("command: 1 sample, "));
    client.check("LATENCY RESET nothing command", ":1~");
    client.check("LATENCY HISTORY command", "*0~");
}

#[test]
fn latency_without_events() {
    table(
        "
        LATENCY LATEST => *0~
        LATENCY HISTORY command => *0~
        LATENCY RESET => :0~
        LATENCY RESET command => :0~
        LATENCY GRAPH command => -ERR No samples available for event 'command'~
        LATENCY HISTOGRAM nothing => *0~ => %0~
        LATENCY HISTORY => -ERR wrong number of arguments for 'latency|history' command~
        LATENCY HELP x => -ERR wrong number of arguments for 'latency|help' command~
    ",
    );
}

#[test]
fn a_histogram_counts_all_calls() {
    let server = TestServer::start();
    let mut client = server.client3();
    for _ in 0..5 {
        client.check("SET k v", "+OK~");
    }
    client.check("CLIENT SETNAME me", "+OK~");
    let reply = client.value("LATENCY HISTOGRAM set nothing get client");
    let names: Vec<String> = reply.items().iter().step_by(2).map(Value::text).collect();
    assert_eq!(names, ["set", "client|setname"]);
    let set = reply.field("set");
    assert_eq!(set.field("calls").int(), 5);
    let steps = set.field("histogram_usec").items();
    assert_eq!(steps.last().expect("a step").int(), 5);
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check("LATENCY HISTOGRAM set", "%0~");
}

#[test]
fn a_monitor_sees_what_others_run() {
    let server = TestServer::with(&[("requirepass", "secret")]);
    let mut monitor = server.client();
    monitor.check("AUTH secret", "+OK~");
    monitor.check("MONITOR", "+OK~");
    let mut client = server.client();
    let from = format!("+1700000000.000000 [0 {}]", client.address());
    client.check("AUTH secret", "+OK~");
    monitor.check_next(&format!("{from} \"AUTH\" \"(redacted)\"~"));
    client.value("HELLO 3 AUTH default secret");
    monitor.check_next(&format!("{from} \"HELLO\" \"3\" \"AUTH\" \"(redacted)\" \"(redacted)\"~"));
    client.call(&[b"set".as_slice(), b"a\"\\\r\n\x00", b"\xff"]);
    monitor.check_next(&format!("{from} \"set\" \"a\\\"\\\\\\r\\n\\x00\" \"\\xff\"~"));
    // Neither what operators do is shown nor what is refused.
    client.check("CONFIG SET maxclients 100", "+OK~");
    client.value("BLAH");
    client.value("GET");
    client.check("MULTI", "+OK~");
    client.check("GET a", "+QUEUED~");
    client.check("EXEC", "*1~_~");
    for request in ["\"MULTI\"", "\"GET\" \"a\"", "\"EXEC\""] {
        monitor.check_next(&format!("{from} {request}~"));
    }
    let script = "redis.call('set', KEYS[1], 1) return redis.pcall('lpush', KEYS[1], 1)";
    client.value(&format!("EVAL \"{script}\" 1 k"));
    monitor.check_next(&format!("{from} \"EVAL\" \"{script}\" \"1\" \"k\"~"));
    monitor.check_next("+1700000000.000000 [0 lua] \"set\" \"k\" \"1\"~");
    monitor.check_next("+1700000000.000000 [0 lua] \"lpush\" \"k\" \"1\"~");
    client.check("SELECT 3", "+OK~");
    monitor.check_next(&format!("{} \"SELECT\" \"3\"~", from.replace("[0", "[3")));
    let line = client.value("CLIENT LIST FLAGS O").text();
    assert!(line.contains(" flags=O ") && line.lines().count() == 1, "{line}");
}

#[test]
fn what_a_monitor_may_do() {
    let server = TestServer::start();
    let mut monitor = server.client();
    monitor.check("MONITOR", "+OK~");
    monitor.check("GET k", "-ERR Replica can't interact with the keyspace~");
    monitor.check("PING", "+PONG~");
    let from = format!("+1700000000.000000 [0 {}]", monitor.address());
    monitor.check_next(&format!("{from} \"PING\"~"));
    // A second one is not answered.
    monitor.send_command("MONITOR");
    monitor.check("RESET", "+RESET~");
    monitor.check("GET k", "$-1~");
    monitor.check_silent();
    monitor.check("MULTI", "+OK~");
    monitor.check("MONITOR", "+QUEUED~");
    monitor.check("EXEC", "*1~-ERR MONITOR isn't allowed for DENY BLOCKING client~");
    assert!(!server.handle().server().logs.monitors.any());
}

#[test]
fn a_monitor_that_does_not_read_is_cut() {
    let server = TestServer::with(&[("client-output-buffer-limit", "normal 100000 0 0")]);
    let mut monitor = server.client();
    let mut client = server.client();
    let mut other = server.client();
    monitor.check("MONITOR", "+OK~");
    other.check("MONITOR", "+OK~");
    let long = "x".repeat(20_000);
    for _ in 0..2000 {
        client.value(&format!("ECHO {long}"));
        other.read_raw();
        if server.handle().server().clients.count() == 2 {
            break;
        }
    }
    eventually("the monitor is gone", || server.handle().server().clients.count() == 2);
    client.check("PING", "+PONG~");
    other.check_next(&format!("+1700000000.000000 [0 {}] \"PING\"~", client.address()));
    assert_eq!(info(&mut client, "client_output_buffer_limit_disconnections"), "1");
}

#[test]
fn a_monitor_sees_clients_of_the_socket() {
    let dir = TempDir::new();
    let path = dir.path().join("socket");
    let text = path.display().to_string();
    let server = TestServer::with(&[("unixsocket", text.as_str())]);
    let mut monitor = server.client();
    monitor.check("MONITOR", "+OK~");
    let mut client = Client::unix(&path);
    client.check("PING", "+PONG~");
    monitor.check_next(&format!("+1700000000.000000 [0 unix:{text}] \"PING\"~"));
}

/// A command that serves a client that waits is counted as itself, as is what it serves, and both are logged.
#[test]
fn commands_that_serve_others_are_counted_as_themselves() {
    let server = TestServer::with(&[("commandlog-execution-slower-than", "0")]);
    let mut client = server.client();
    let serve: [&dyn Fn(&mut Client); 4] = [
        &|client| client.check("LPUSH k v", ":1~"),
        &|client| {
            client.send(&[&encode(&["LPUSH", "k", "v"])[..], &encode(&["LPUSH", "other", "v"])].concat());
            client.check_next(":1~");
            client.check_next(":1~");
        },
        &|client| {
            client.check("MULTI", "+OK~");
            client.check("LPUSH k v", "+QUEUED~");
            client.check("EXEC", "*1~:1~");
        },
        &|client| client.check("EVAL \"return redis.call('lpush', KEYS[1], 'v')\" 1 k", ":1~"),
    ];
    for (number, serve) in serve.iter().enumerate() {
        client.check("DEL other", if number == 2 { ":1~" } else { ":0~" });
        client.check("CONFIG RESETSTAT", "+OK~");
        client.check("SLOWLOG RESET", "+OK~");
        let mut waiter = crate::waiting::waiting(&server, "BLPOP k 0");
        serve(&mut client);
        waiter.check_next("*2~$1~k~$1~v~");
        let stats = client.raw("INFO commandstats");
        let calls = |name: &str| {
            let line = stats.split(&format!("cmdstat_{name}:calls=")).nth(1).unwrap_or("0,");
            line.split(',').next().expect("a number").to_owned()
        };
        let pushes = if number == 1 { "2" } else { "1" };
        assert_eq!([calls("lpush"), calls("blpop"), calls("get")], [pushes, "1", "0"], "{number}: {stats}");
        let logged = client.raw("SLOWLOG GET -1");
        assert!(logged.contains("~BLPOP~"), "{number}: {logged}");
        assert!(number > 1 || logged.contains("~LPUSH~"), "{number}: {logged}");
    }
}
