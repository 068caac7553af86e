//! LATENCY DOCTOR and MEMORY DOCTOR: advice that names requests, keys, clients and settings; and large keys and
//! prefixes as figures.

use kvarts::shared::slow_requests::{Part, Parts, SlowRequest};

use crate::harness::*;
use crate::http;
use crate::program::Program;

fn text(client: &mut Client, request: &str) -> String {
    client.value(request).text()
}

#[test]
fn the_latency_doctor_names_requests_and_who_was_in_the_way() {
    let pairs = [("slow-requests-slower-than", "60000000"), ("io-threads", "3"), ("key-sizes", "yes")];
    let server = TestServer::with(&pairs);
    let mut client = server.client();
    client.check("SET other v", "+OK~");
    let healthy = text(&mut client, "LATENCY DOCTOR");
    assert!(healthy.starts_with("Nothing is watched: latency-monitor-threshold is 0."), "{healthy}");
    assert!(!healthy.contains("slow-requests-slower-than"), "{healthy}");
    client.check("CONFIG SET slow-requests-slower-than 1000", "+OK~");
    let many: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    let members: Vec<&str> =
        ["SADD", "big\r\nset"].into_iter().chain(many.iter().map(String::as_str)).collect();
    client.call(&members);
    let keyspace = &server.handle().server().keyspace;
    let mut waiting = server.client();
    waiting.check("CLIENT SETNAME worker", "+OK~");
    let id = waiting.value("CLIENT ID").int();
    let guard = keyspace.physical(0).write_slot(keyspace.hasher().key(b"k").slot());
    waiting.send_command("GET k");
    let inner = server.handle().server();
    eventually("it waits", || inner.health.workers.lives().any(|life| life.waits.is_some()));
    let end_ns = inner.clock.monotonic_ns() + 200_000_000;
    eventually("time passes", || inner.clock.monotonic_ns() > end_ns);
    drop(guard);
    waiting.check_next("$-1~");
    let advice = text(&mut client, "LATENCY DOCTOR");
    for part in [
        " over slow-requests-slower-than took ",
        &format!(
            "- lock: `GET k` of client {id} at {} (worker) waited for a lock (in the way: a thread in the background) for ",
            waiting.address()
        ),
        "Commands that have waited for locks longest since the start:\n\n- get: once, ",
        "- CONFIG SET hotkeys-top-k 10 has HOTKEYS GET name the keys",
        "- Keys with most elements: `big\\r\\nset` (set in db0, ",
    ] {
        assert!(advice.contains(part), "{part} in\n{advice}");
    }
    // A string has no elements.
    assert!(!advice.contains("(string in"), "{advice}");
    let mut third = server.client3();
    assert!(third.raw("LATENCY DOCTOR").starts_with('='));
    client.check("MULTI", "+OK~");
    client.check("LATENCY DOCTOR", "+QUEUED~");
    assert!(client.value("EXEC").items()[0].text().contains("- lock: `GET k`"));
}

/// All is well only where nothing else is told, and keys end together only where some have ended.
#[test]
fn the_latency_doctor_does_not_contradict_itself() {
    let pairs = [("slow-requests-slower-than", "-1"), ("latency-monitor-threshold", "600000")];
    let server = TestServer::with(&pairs);
    let mut client = server.client();
    client.check("CONFIG RESETSTAT", "+OK~");
    assert_eq!(text(&mut client, "LATENCY DOCTOR"), "All is well: nothing has taken 600000 ms or longer.\n");
    let inner = server.handle().server();
    inner.stats.lock_waits.note(0, 700_000_000_000);
    let advice = text(&mut client, "LATENCY DOCTOR");
    let expected = "No event took 600000 ms or longer.\n\nCommands that have waited for locks longest";
    assert!(advice.starts_with(expected), "{advice}");
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check("CONFIG SET slow-requests-slower-than 0", "+OK~");
    client.check("PING", "+PONG~");
    let advice = text(&mut client, "LATENCY DOCTOR");
    assert!(advice.starts_with("No event took 600000 ms or longer.\n\nThe latest "), "{advice}");
    client.check("CONFIG SET slow-requests-max-len 1", "+OK~");
    let advice = text(&mut client, "LATENCY DOCTOR");
    assert!(advice.contains("\n\nOne request over slow-requests-slower-than took 0 ms ("), "{advice}");
    client.check("CONFIG SET slow-requests-slower-than -1", "+OK~");
    for (ended, expected) in [
        (0, "No key ended in what took long: "),
        (1, "Few keys ended in what took long: "),
        (1000, "Many keys end at the same moment: "),
    ] {
        inner.logs.latency.note_work("expire-cycle", 700_000, START_MS, ended);
        let advice = text(&mut client, "LATENCY DOCTOR");
        let told: Vec<&str> = advice.lines().filter(|line| line.contains(" end")).collect();
        assert!(told.len() == 1 && told[0].starts_with(&format!("- {expected}")), "{advice}");
    }
    // What is told was noted under the threshold of its time.
    client.check("CONFIG SET latency-monitor-threshold 900000", "+OK~");
    assert!(text(&mut client, "LATENCY DOCTOR").starts_with("These events took 700000 ms or longer:"));
    client.check("CONFIG SET latency-monitor-threshold 600000", "+OK~");
    client.check("LATENCY RESET", ":1~");
    inner.logs.latency.note_work("expire-cycle", 700_000, START_MS, 0);
    assert!(text(&mut client, "LATENCY DOCTOR").contains("- No key ended in what took long: "));
}

/// Of a script the source says little: its digest and its key are named, and what helps with scripts.
#[test]
fn the_latency_doctor_names_scripts() {
    let pairs = [("slow-requests-slower-than", "0"), ("io-threads", "2"), ("hotkeys-top-k", "10")];
    let server = TestServer::with(&pairs);
    let mut client = server.client();
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check("KVARTS SLOW RESET", "+OK~");
    let source = "local x = 'it' for i = 1, 300000 do x = 'it' end return x";
    client.call(&["EVAL", source, "1", "user's"]);
    // At once: on a busy machine anything may be the slowest.
    let advice = text(&mut client, "LATENCY DOCTOR");
    let sha = client.call(&["SCRIPT", "LOAD", source]).text();
    let id = client.value("CLIENT ID").int();
    let expected = format!(
        "- run: `EVAL {source} 1 user's` (script {sha}, on key `user's`) of client {id} at {} ran for ",
        client.address()
    );
    assert!(advice.contains(&expected), "{expected} in\n{advice}");
    assert!(advice.contains(" ms. Have it do less at a time. SCRIPT KILL"), "it declares its keys: {advice}");
    let library =
        "#!lua name=lib\nredis.register_function('f', function() for i = 1, 3000000 do end return 1 end)";
    client.call(&["FUNCTION", "LOAD", library]);
    client.check("KVARTS SLOW RESET", "+OK~");
    client.check("FCALL f 0", ":1~");
    let advice = text(&mut client, "LATENCY DOCTOR");
    assert!(advice.contains("- run: `FCALL f 0` (function f) of client "), "{advice}");
    assert!(advice.contains(" ms. Have it do less at a time, and declare its keys: "), "{advice}");
    // Hot keys are watched already.
    let server = server.handle().server();
    server.stats.lock_waits.note(0, 2_000_000);
    let advice = text(&mut client, "LATENCY DOCTOR");
    assert!(
        advice.contains(": once, 2 ms together, 2 ms at longest.")
            && !advice.contains("CONFIG SET hotkeys-top-k"),
        "{advice}"
    );
}

/// A large string is slow for its bytes: who is told to go through its elements step by step has none.
#[test]
fn the_latency_doctor_on_large_strings() {
    let server = TestServer::with(&[("slow-requests-slower-than", "0")]);
    let mut client = server.client();
    // Bytes that are there: a page of zeros takes no time.
    client.call(&["SET", "big", &"x".repeat(60 << 20)]);
    client.check("KVARTS SLOW RESET", "+OK~");
    // More than any other request may wait for the processor.
    (0..3).for_each(|_| drop(client.value("BITCOUNT big")));
    client.call(&["GET", "big"]);
    let advice = text(&mut client, "LATENCY DOCTOR");
    let is_named =
        ["BITCOUNT", "GET"].iter().any(|name| advice.contains(&format!("- run: `{name} big` of client ")));
    assert!(is_named, "{advice}");
    assert!(
        advice.contains(" ms. It takes as long as its strings are large: keep a large value in parts"),
        "{advice}"
    );
    assert!(!advice.contains("cousins"), "{advice}");
}

/// A command with a small request and reply is not blamed for large values or many elements, unless it may meet some.
#[test]
fn the_latency_doctor_on_commands_with_little_to_do() {
    let server = TestServer::with(&[("slow-requests-slower-than", "60000000")]);
    let mut client = server.client();
    let (little, large) = ("It has little to do, with ", "It takes as long as its strings are large");
    let (kept, many) =
        (", unless the value that it changed or replaced is large: ", "cousins that go step by step");
    for (request, bytes, parts, missing) in [
        ("SET tiny v", 38, &["38 bytes of request and reply", kept, "steal"][..], large),
        ("GET tiny", 30, &["30 bytes of request and reply: the process or the machine was held up."], kept),
        ("MSET a 1 b 2", 50, &[little, kept], large),
        ("HGET h f", 50, &[little], many),
        ("SET big vvv", 70_000, &[large], little),
        ("GET big", 70_000, &[large], little),
        // How much they look at is not known.
        ("BITCOUNT big", 30, &[large], little),
        ("LRANGE l 0 0", 30, &[many], little),
        ("SMEMBERS s", 30, &[many], little),
        // Its reply alone was slow.
        ("GET tiny", 0, &[large], little),
    ] {
        client.check("KVARTS SLOW RESET", "+OK~");
        server.handle().server().logs.slow_requests.add(SlowRequest {
            parts: Parts::default().with(Part::Run, 329_000_000),
            arguments: request.split(' ').map(|word| word.as_bytes().to_vec()).collect(),
            bytes,
            ..SlowRequest::default()
        });
        let advice = text(&mut client, "LATENCY DOCTOR");
        for part in parts {
            assert!(advice.contains(part), "{request}: {part} in {advice}");
        }
        assert!(!advice.contains(missing), "{request}: {advice}");
    }
    // The bytes are counted.
    client.check("CONFIG SET slow-requests-slower-than 0", "+OK~");
    client.check("KVARTS SLOW RESET", "+OK~");
    client.check("SET tiny v", "+OK~");
    let latest = server.handle().server().logs.slow_requests.latest(usize::MAX);
    let set = latest.iter().find(|one| one.arguments[0] == b"SET").expect("it is kept");
    assert_eq!(set.bytes, encode(&["SET", "tiny", "v"]).len() as u64 + 5);
}

/// What holds locks at this moment is named, with what ends it.
#[test]
fn the_latency_doctor_names_what_holds_locks_now() {
    let pairs = [("io-threads", "3"), ("busy-reply-threshold", "600000"), ("enable-debug-command", "yes")];
    let server = TestServer::with_clock(&pairs, kvarts::shared::clock::Clock::system());
    let (mut client, mut holder) = (server.client(), server.client());
    let id = holder.value("CLIENT ID").int();
    let who = format!("for client {id} at {}, user default, running for ", holder.address());
    client.check("ACL SETUSER other on >x ~mine* +@all", "+OK~");
    assert!(!text(&mut client, "LATENCY DOCTOR").contains("hold locks now"));
    let name = "eval of script ";
    for (script, waits, reply, rest) in [
        ("EVAL \"while true do end\" 1 k", "GET k", "$-1~", "Requests for keys of its slot wait meanwhile"),
        (
            "EVAL \"redis.call('GET', 'a'..'b') while true do end\" 0",
            "GET k",
            "$-1~",
            "Nobody else reaches any key meanwhile",
        ),
        // It has reached no key yet.
        ("EVAL \"while true do end\" 0", "FLUSHDB", "+OK~", "Requests on the whole keyspace wait meanwhile"),
    ] {
        holder.send_command(script);
        eventually("it is told", || text(&mut client, "LATENCY DOCTOR").contains("hold locks now"));
        let mut waiting = server.client();
        waiting.send_command(waits);
        let begin = format!("These hold locks now, and a client waits:\n\n- {name}");
        let mut advice = String::new();
        eventually("one waits", || {
            advice = text(&mut client, "LATENCY DOCTOR");
            advice.starts_with(&begin)
        });
        for part in [&who, &format!(" ms. {rest}; SCRIPT KILL ends it, unless it has changed something.\n")] {
            assert!(advice.contains(part), "{part} in {advice}");
        }
        let mut other = server.client();
        other.check("AUTH other x", "+OK~");
        // Logs of requests, further down, show what was sent.
        let now = |advice: String| advice.split("Nothing is watched").next().expect("a part").to_owned();
        assert!(now(advice).contains(" on key k ") == rest.contains("slot"), "{script}");
        let advice = now(text(&mut other, "LATENCY DOCTOR"));
        assert!(
            advice.contains(name) && !advice.contains(" on key k "),
            "it may not know all keys: {advice}"
        );
        client.check("SCRIPT KILL", "+OK~");
        holder.read_raw();
        waiting.check_next(reply);
    }
    // Others hear BUSY once it has run for that long.
    client.check("CONFIG SET busy-reply-threshold 50", "+OK~");
    holder.send_command("EVAL \"while true do end\" 1 k");
    eventually("others hear BUSY", || {
        text(&mut client, "LATENCY DOCTOR").contains(". Requests for keys of its slot hear BUSY; SCRIPT KILL")
    });
    client.check("SCRIPT KILL", "+OK~");
    holder.read_raw();
    client.check("CONFIG SET busy-reply-threshold 5000", "+OK~");
    let is_seen = [1, 4, 15].iter().any(|seconds| {
        holder.check("MULTI", "+OK~");
        holder.check("SET k v", "+QUEUED~");
        holder.check(&format!("DEBUG SLEEP {seconds}"), "+QUEUED~");
        holder.send_command("EXEC");
        eventually("it is heavy", || server.handle().server().heavy.any());
        let end = format!(
            "wait meanwhile; it runs to its end; CLIENT KILL ID {id} keeps its client from sending it again.\n"
        );
        let mut is_seen = false;
        while !is_seen && server.handle().server().heavy.any() {
            let advice = text(&mut client, "LATENCY DOCTOR");
            is_seen = advice.contains("- exec with debug|sleep") && advice.contains(&end);
        }
        holder.read_raw();
        is_seen
    });
    assert!(is_seen, "a transaction is named");
}

/// A client of a program of its own: what is in use is counted for the whole process, in which other tests run.
fn program(arguments: &[&str]) -> (Program, Client) {
    let program = Program::start(arguments);
    let client = Client::tcp(local(program.port()));
    (program, client)
}

#[test]
fn the_memory_doctor_names_keys_clients_and_settings() {
    let (program, mut client) = program(&["--key-sizes", "yes"]);
    assert!(text(&mut client, "MEMORY DOCTOR").starts_with("Too little memory is in use"));
    let mut lazy = Client::tcp(local(program.port()));
    let value = "x".repeat(20 << 20);
    client.call(&["SET", "img:1", &value]);
    client.check("SET img:2 v", "+OK~");
    let id = lazy.value("CLIENT ID").int();
    lazy.send_command("GET img:1");
    let unread = |client: &mut Client| {
        let line = client.value(&format!("CLIENT LIST ID {id}")).text();
        let bytes = line.split("obl=").nth(1).and_then(|rest| rest.split(' ').next());
        bytes.and_then(|bytes| bytes.parse::<u64>().ok()).is_some_and(|bytes| bytes > 5 << 20)
    };
    eventually("it does not read", || unread(&mut client));
    let advice = text(&mut client, "MEMORY DOCTOR");
    for part in [
        &format!("- client {id} at {} holds ", lazy.address()),
        &format!("CLIENT KILL ID {id} ends it; maxmemory-clients and client-output-buffer-limit"),
        "- Large keys: `img:1` (string in db0, ",
        "- The 2 keys with `img:` in db0 take ",
    ] {
        assert!(advice.contains(part), "{part} in\n{advice}");
    }
    assert!(!advice.contains("elements"), "{advice}");
    let used: u64 = info(&mut client, "used_memory").parse().expect("a number");
    client.check(&format!("CONFIG SET maxmemory {}", used + used / 10), "+OK~");
    let advice = text(&mut client, "MEMORY DOCTOR");
    assert!(advice.contains("with maxmemory-policy noeviction writes are refused at the limit"), "{advice}");
    // Who may not see all keys is told no names.
    client.check("ACL SETUSER u on nopass +@all ~own", "+OK~");
    client.check("AUTH u x", "+OK~");
    let advice = text(&mut client, "MEMORY DOCTOR");
    assert!(advice.starts_with("This stands out:\n\n- ") && !advice.contains("img:"), "{advice}");
    assert!(!advice.contains("- client "), "{advice}");
}

/// Without sizes of keys it says how to have them, where something is wrong.
#[test]
fn the_memory_doctor_without_sizes() {
    let (_program, mut client) = program(&["--maxmemory", "40mb"]);
    client.call(&["SET", "k", &"x".repeat(20 << 20)]);
    let used: u64 = info(&mut client, "used_memory").parse().expect("a number");
    client.check(&format!("CONFIG SET maxmemory {}", used + used / 10), "+OK~");
    let advice = text(&mut client, "MEMORY DOCTOR");
    assert!(
        advice.contains("After CONFIG SET key-sizes yes the server can name the largest keys"),
        "{advice}"
    );
    client.check("MULTI", "+OK~");
    client.check("MEMORY DOCTOR", "+QUEUED~");
    assert!(client.value("EXEC").items()[0].text().starts_with("This stands out"));
}

/// Labels are few, cut, and written so that no key can break the page.
#[test]
fn large_keys_and_prefixes_are_figures() {
    let (server, port) = http::with_port(&[("key-sizes", "yes"), ("hotkeys-top-k", "5")]);
    let mut client = server.client();
    let page = |server: &TestServer| {
        server.advance_ms(10_000);
        http::get(port, "/metrics").1
    };
    assert!(!page(&server).contains("kvarts_big_key"), "there are none");
    let odd = "odd\"\\\n\u{fc}:1";
    client.call(&["SET", odd, &"x".repeat(50_000)]);
    client.call(&["RPUSH", "list", "a", "b", "c"]);
    client.check("SELECT 3", "+OK~");
    let same = "l".repeat(200);
    for end in ["1", "2"] {
        client.call(&["SET", &format!("{same}{end}"), &"x".repeat(40_000)]);
    }
    for number in 0..100 {
        client.call(&["SET", &format!("p{number}:k"), "v"]);
    }
    let text = page(&server);
    let lines = |name: &str| -> Vec<&str> {
        text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect()
    };
    let large = lines("kvarts_big_key_bytes");
    let expected = "kvarts_big_key_bytes{key=\"odd\\\"\\\\\\\\n\u{fc}:1\",db=\"db0\",type=\"string\"} ";
    assert!(large[0].starts_with(expected), "{large:?}");
    let cut = format!("kvarts_big_key_bytes{{key=\"{}\",db=\"db3\",type=\"string\"}} ", "l".repeat(100));
    assert_eq!(
        large.iter().filter(|line| line.starts_with(&cut)).count(),
        1,
        "one of two that are cut alike"
    );
    assert!(large.len() <= 10, "{large:?}");
    assert_eq!(
        http::value(&text, "kvarts_big_key_elements{key=\"list\",db=\"db0\",type=\"list\"}"),
        Some(3.0)
    );
    let prefixes = lines("kvarts_prefix_keys");
    assert_eq!(prefixes.len(), 20, "{prefixes:?}");
    assert_eq!(http::value(&text, "kvarts_prefix_keys{prefix=\"\",db=\"db3\"}"), Some(2.0));
    let bytes = http::value(&text, "kvarts_prefix_bytes{prefix=\"\",db=\"db3\"}").expect("a figure");
    assert!(bytes > 80_000.0, "{bytes}");
    for name in ["kvarts_prefix_accesses_per_second", "kvarts_prefix_expired_per_second"] {
        assert_eq!(lines(name).len(), 20);
    }
    // Deleted, they are gone from the page, but not before some seconds have passed.
    client.check("FLUSHALL", "+OK~");
    server.advance_ms(200);
    assert!(http::get(port, "/metrics").1.contains("kvarts_big_key_bytes"));
    assert!(!page(&server).contains("kvarts_big_key_bytes"));
    // While somebody is alone in the keyspace, the page shows what was known before.
    client.call(&["SET", "k", &"x".repeat(50_000)]);
    assert!(page(&server).contains("key=\"k\""));
    let alone = server.handle().server().keyspace.gate.exclusive(|| {});
    server.handle().server().clock.advance_ms(10_000);
    assert!(http::get(port, "/metrics").1.contains("key=\"k\""));
    drop(alone);
}
