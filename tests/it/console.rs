//! The console's API: who is let in, what commands answer, what is bounded. The page is tested in a browser by
//! tests/clients/console.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::harness::*;
use crate::http::{connect, get, raw, with_port};

/// Headers of a request of the page.
pub const OURS: &str = "Host: localhost\r\nX-Kvarts-Console: 1\r\n";

/// A request of the page, with further headers and a body, as it is sent.
fn request(line: &str, headers: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\n{OURS}{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

pub fn post(port: u16, path: &str, headers: &str, body: &str) -> String {
    raw(port, &request(&format!("POST {path}"), headers, body))
}

pub fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

/// Replies to commands, as JSON; the rest of the answer where there are none.
pub fn command(port: u16, headers: &str, commands: &str) -> String {
    let answer = post(port, "/api/command", headers, &format!("{{\"commands\":{commands}}}"));
    let replies = body(&answer).strip_prefix("{\"replies\":").and_then(|rest| {
        let (replies, rest) = rest.split_once(",\"took_us\":")?;
        rest.ends_with(",\"stopped\":null}\n").then(|| replies.to_owned())
    });
    replies.unwrap_or_else(|| body(&answer).to_owned())
}

/// Metrics of these names, as JSON.
pub fn figures(port: u16, headers: &str, names: &str) -> String {
    let answer = raw(port, &request(&format!("GET /api/figures?names={names}"), headers, ""));
    assert_eq!(status(&answer), 200, "{answer}");
    body(&answer).to_owned()
}

/// Logs in; the header with the session's cookie.
pub fn log_in(port: u16, user: &str, password: &str) -> String {
    let content = format!("{{\"user\":\"{user}\",\"password\":\"{password}\"}}");
    let answer = post(port, "/api/session", "", &content);
    assert_eq!(status(&answer), 200, "{answer}");
    let (_, cookie) = answer.split_once("set-cookie: ").expect("a cookie");
    let (cookie, attributes) = cookie.split_once(';').expect("attributes");
    assert!(attributes.starts_with(" Path=/; HttpOnly; SameSite=Strict\r\n"), "{attributes}");
    let (name, secret) = cookie.split_once('=').expect("a value");
    assert_eq!((name, secret.len()), (format!("kvarts_console_{port}").as_str(), 64));
    format!("Cookie: other=1; {cookie}\r\n")
}

#[test]
fn commands_run_as_those_of_a_socket() {
    let (server, port) = with_port(&[]);
    let replies = command(
        port,
        "",
        r#"[["SET","k","v"],["GET","k"],["INCR",{"base64":"aQ=="}],["NO"],["HGETALL","h"]]"#,
    );
    let unknown = r#"{"error":"ERR unknown command 'NO', with args beginning with: "}"#;
    assert_eq!(replies, format!(r#"[{{"simple":"OK"}},"v",1,{unknown},{{"map":[]}}]"#));
    server.client().check("GET i", "$1~1~");
    // A transaction is whole within a request; the next one begins anew.
    assert_eq!(
        command(port, "", r#"[["MULTI"],["INCR","i"],["SELECT",3],["SET","k","x"],["EXEC"]]"#),
        r#"[{"simple":"OK"},{"simple":"QUEUED"},{"simple":"QUEUED"},{"simple":"QUEUED"},[2,{"simple":"OK"},{"simple":"OK"}]]"#
    );
    assert_eq!(command(port, "", r#"[["GET","k"],["EXEC"]]"#), r#"["v",{"error":"ERR EXEC without MULTI"}]"#);
    let answer = post(port, "/api/command", "", r#"{"commands":[["GET","k"]],"database":3}"#);
    assert!(body(&answer).starts_with(r#"{"replies":["x"],"took_us":"#), "{answer}");
    let list = command(port, "", r#"[["CLIENT","LIST"]]"#);
    let line = list.split("\\n").find(|line| line.contains("name=console")).expect("it is listed");
    assert!(line.contains(&format!("laddr=127.0.0.1:{port}")) && line.contains("user=default"), "{line}");
    eventually("its client is gone", || !server.client().raw("CLIENT LIST").contains("console"));
}

/// What a page asks for by itself is refused as ever, and fills neither ACL LOG nor the counts of errors.
#[test]
fn what_is_asked_quietly_and_refused_is_not_logged() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    client.check("ACL SETUSER few on >p ~mine:* +@read +scan +dbsize -info +memory|usage +set", "+OK~");
    client.check("MSET mine:1 v other:1 v", "+OK~");
    let cookie = log_in(port, "few", "p");
    let ask = |quiet: &str, commands: &str| {
        let content = format!("{{\"commands\":{commands}{quiet}}}");
        let answer = post(port, "/api/command", &cookie, &content);
        body(&answer).split(",\"took_us\"").next().expect("replies").to_owned()
    };
    let commands = r#"[["TYPE","other:1"],["TYPE","mine:1"],["INFO"],["PTTL","other:1"],["MEMORY","USAGE","other:1"],["NO"],["GET"],["GET","mine:1"],["CLIENT","LIST"]]"#;
    let key = r#"{"error":"NOPERM No permissions to access a key"}"#;
    let run = |name: &str| {
        format!(r#"{{"error":"NOPERM User few has no permissions to run the '{name}' command"}}"#)
    };
    let expected = format!(
        r#"{{"replies":[{key},{{"simple":"string"}},{},{key},{key},{},{},"v",{}]"#,
        run("info"),
        r#"{"error":"ERR unknown command 'NO', with args beginning with: "}"#,
        r#"{"error":"ERR wrong number of arguments for 'get' command"}"#,
        run("client|list"),
    );
    assert_eq!(ask(",\"quiet\":true", commands), expected);
    let denied = |client: &mut Client| {
        let stats = client.raw("INFO stats");
        let of = |name: &str| {
            let (_, rest) = stats.split_once(&format!("acl_access_denied_{name}:")).expect("a field");
            rest.split(['\r', '~']).next().expect("a number").parse::<u32>().expect("a number")
        };
        of("cmd") + of("key")
    };
    assert_eq!(denied(&mut client), 0);
    client.check("ACL LOG", "*0~");
    assert!(!client.raw("INFO errorstats").contains("NOPERM"));
    // All of them, and none but refused ones.
    assert_eq!(ask(",\"quiet\":true", r#"[["INFO"]]"#), format!(r#"{{"replies":[{}]"#, run("info")));
    // What would change something is an attempt, and so is what is asked aloud.
    assert_eq!(ask(",\"quiet\":true", r#"[["SET","other:1","x"]]"#), format!(r#"{{"replies":[{key}]"#));
    assert_eq!(denied(&mut client), 1);
    assert_eq!(ask("", commands), expected);
    assert_eq!(denied(&mut client), 6);
}

/// Content, what is wrong with it.
#[test]
fn requests_that_say_nothing_are_refused() {
    let (_server, port) = with_port(&[]);
    for (content, status_expected, reason) in [
        ("", 400, "no JSON"),
        ("[]", 400, "commands is an array of commands"),
        (r#"{"commands":[]}"#, 400, "1 to 5000 commands"),
        (r#"{"commands":[[]]}"#, 400, "a command is an array of words"),
        (r#"{"commands":[["GET",null]]}"#, 400, "a word is a string"),
        (r#"{"commands":[["GET",true]]}"#, 400, "a word is a string"),
        (r#"{"commands":[["GET",{"base64":"?"}]]}"#, 400, "none"),
        (r#"{"commands":[["PING"]],"database":16}"#, 400, "no such database"),
        (r#"{"commands":[["PING"]],"database":-1}"#, 400, "no such database"),
        (r#"{"commands":[["SUBSCRIBE","c"]]}"#, 400, "wants a stream"),
    ] {
        let answer = post(port, "/api/command", "", content);
        assert_eq!(status(&answer), status_expected, "{content}: {answer}");
        assert!(answer.contains(reason), "{content}: {answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    }
    let many = format!(r#"{{"commands":[{}["PING"]]}}"#, r#"["PING"],"#.repeat(5000));
    assert!(post(port, "/api/command", "", &many).contains("1 to 5000 commands"));
    let deep = "[".repeat(100_000);
    assert_eq!(status(&post(port, "/api/command", "", &deep)), 400);
    assert_eq!(status(&raw(port, "GET /api/command HTTP/1.1\r\nHost: localhost\r\n\r\n")), 405);
}

/// What browsers send for pages of others, and for names that were made to point here.
#[test]
fn requests_of_other_pages_are_refused() {
    let (server, port) = with_port(&[("console-hosts", "console.example"), ("metrics-bind", "127.0.0.1")]);
    let content = r#"{"commands":[["SET","k","v"]]}"#;
    let ask = |headers: &str| {
        let length = content.len();
        status(&raw(
            port,
            &format!("POST /api/command HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{content}"),
        ))
    };
    let ours = "X-Kvarts-Console: 1\r\n";
    for (expected, headers) in [
        (403, "Host: localhost\r\n".to_owned()),
        (400, ours.to_owned()),
        (400, format!("Host: localhost:1@evil\r\n{ours}")),
        (400, format!("Host: localhost:{port}\r\nHost: evil.example\r\n{ours}")),
        (400, format!("Host: localhost:{port}\r\nHost: localhost:{port}\r\n{ours}")),
        (400, format!("Host: [::1]evil\r\n{ours}")),
        (421, format!("Host: evil.example\r\n{ours}")),
        (421, format!("Host: localhost.evil.example:{port}\r\n{ours}")),
        (421, format!("Host: console.example.evil\r\n{ours}")),
        (403, format!("Host: localhost:{port}\r\nOrigin: http://evil.example\r\n{ours}")),
        (403, format!("Host: localhost:{port}\r\nOrigin: http://localhost:1\r\n{ours}")),
        (403, format!("Host: localhost:{port}\r\nOrigin: null\r\n{ours}")),
        (403, format!("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n{ours}")),
        (403, format!("Host: localhost\r\nSec-Fetch-Site: same-site\r\n{ours}")),
    ] {
        assert_eq!(ask(&headers), expected, "{headers}");
    }
    server.client().check("EXISTS k", ":0~");
    for headers in [
        format!(
            "Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nSec-Fetch-Site: same-origin\r\n{ours}"
        ),
        format!("Host: Console.Example\r\nOrigin: https://console.example\r\n{ours}"),
        format!("Host: 127.0.0.1:{port}\r\n{ours}"),
        format!("Host: [::1]\r\n{ours}"),
    ] {
        assert_eq!(ask(&headers), 200, "{headers}");
    }
    // A browser asks before it sends a header of its own to another origin, and is told no.
    let asks = raw(port, "OPTIONS /api/command HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\n\r\n");
    assert_eq!(status(&asks), 405);
    assert!(!asks.contains("access-control"), "{asks}");
    // The page itself goes by the same names.
    assert_eq!(status(&raw(port, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 421);
    for path in ["/", "/metrics", "/api/session", "/compat.json", "/healthz"] {
        for hosts in ["Host: localhost:1@evil\r\n", "Host: localhost\r\nHost: evil.example\r\n"] {
            let answer = raw(port, &format!("GET {path} HTTP/1.1\r\n{hosts}\r\n"));
            assert_eq!(status(&answer), 400, "{path} {hosts}: {answer}");
        }
    }
    assert_eq!(get(port, "/").0, 200);
}

#[test]
fn who_has_no_session_is_refused_once_there_is_a_password() {
    let (server, port) = with_port(&[("requirepass", "secret")]);
    let mut client = server.client();
    client.check("AUTH secret", "+OK~");
    client.check("ACL SETUSER reader on >word ~r:* +@read +acl|whoami", "+OK~");
    let refused = post(port, "/api/command", "", r#"{"commands":[["PING"]]}"#);
    assert_eq!(status(&refused), 401);
    assert_eq!(status(&raw(port, &request("GET /api/figures?names=redis_up", "", ""))), 401);
    assert_eq!(status(&post(port, "/api/stream", "", r#"{"commands":[["MONITOR"]]}"#)), 401);
    assert!(raw(port, &request("GET /api/session", "", "")).contains(r#"{"user":null,"open":false}"#));
    // These are for programs that look after servers.
    assert_eq!((get(port, "/metrics").0, get(port, "/healthz").0), (200, 200));
    for (user, password) in [("reader", "wrong"), ("nobody", "word"), ("default", "")] {
        let content = format!("{{\"user\":\"{user}\",\"password\":\"{password}\"}}");
        let answer = post(port, "/api/session", "", &content);
        assert_eq!(status(&answer), 401, "{answer}");
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
    let log = client.raw("ACL LOG");
    assert!(log.contains("console") && log.contains("reader") && log.contains("nobody"), "{log}");
    let cookie = log_in(port, "reader", "word");
    assert_eq!(
        command(port, &cookie, r#"[["ACL","WHOAMI"],["GET","r:1"],["GET","x"]]"#),
        r#"["reader",null,{"error":"NOPERM No permissions to access a key"}]"#
    );
    let no = command(port, &cookie, r#"[["SET","r:1","v"]]"#);
    assert!(no.contains("NOPERM User reader has no permissions to run the 'set' command"), "{no}");
    let forged = format!("Cookie: kvarts_console_{port}={}\r\n", "0".repeat(64));
    assert_eq!(status(&post(port, "/api/command", &forged, r#"{"commands":[["PING"]]}"#)), 401);
    let session = |cookie: &str| {
        let answer = raw(port, &request("GET /api/session", cookie, ""));
        serde_json::from_str::<serde_json::Value>(body(&answer)).expect("JSON")
    };
    assert_eq!(session(&cookie)["user"], "reader");
    // What it may not run is not offered by the page.
    let denied =
        |name: &str| session(&cookie)["denied"].as_array().expect("names").iter().any(|one| one == name);
    assert!(denied("client|kill") && denied("set") && !denied("get"));
    client.check("ACL SETUSER reader +set", "+OK~");
    assert!(!denied("set") && denied("client|kill"));
    client.check("ACL SETUSER reader -set", "+OK~");
    let everything = log_in(port, "default", "secret");
    assert_eq!(session(&everything)["denied"], serde_json::json!([]));
    assert_eq!(status(&raw(port, &request("DELETE /api/session", &cookie, ""))), 200);
    assert_eq!(status(&post(port, "/api/command", &cookie, r#"{"commands":[["PING"]]}"#)), 401);
}

#[test]
fn sessions_end() {
    let (server, port) = with_port(&[("requirepass", "secret")]);
    let mut client = server.client();
    client.check("AUTH secret", "+OK~");
    let change = |client: &mut Client, rules: &str| client.check(&format!("ACL SETUSER u {rules}"), "+OK~");
    let asks = |cookie: &str, by: &str| {
        let headers = format!("Host: localhost\r\nX-Kvarts-Console: {by}\r\n{cookie}");
        status(&raw(port, &format!("GET /api/figures?names=redis_up HTTP/1.1\r\n{headers}\r\n")))
    };
    change(&mut client, "on >a ~* +@all");
    for rules in ["off", ">b", "resetpass >a", "<a >c", "nopass"] {
        change(&mut client, "reset on >a ~* +@all");
        let cookie = log_in(port, "u", "a");
        change(&mut client, "-set");
        assert_eq!(asks(&cookie, "1"), 200, "what the user may do does not matter");
        change(&mut client, rules);
        let still = rules == "resetpass >a";
        assert_eq!(asks(&cookie, "1"), if still { 200 } else { 401 }, "{rules}");
        // It does not come back.
        change(&mut client, "reset on >a ~* +@all");
        assert_eq!(asks(&cookie, "1"), if still { 200 } else { 401 }, "{rules}");
    }
    let cookie = log_in(port, "u", "a");
    client.check("ACL DELUSER u", ":1~");
    change(&mut client, "on >a ~* +@all");
    assert_eq!(asks(&cookie, "1"), 401, "a user of the same name is another one");
    // After half an hour in which nobody did anything, whatever the page asks for by itself.
    let cookie = log_in(port, "u", "a");
    server.advance_ms(20 * 60 * 1000);
    assert_eq!(asks(&cookie, "1"), 200);
    server.advance_ms(20 * 60 * 1000);
    assert_eq!(asks(&cookie, "auto"), 200);
    server.advance_ms(10 * 60 * 1000);
    assert_eq!(asks(&cookie, "auto"), 401);
    // And after twelve hours in any case.
    let cookie = log_in(port, "u", "a");
    for _ in 0..35 {
        server.advance_ms(20 * 60 * 1000);
        assert_eq!(asks(&cookie, "1"), 200);
    }
    server.advance_ms(20 * 60 * 1000);
    assert_eq!(asks(&cookie, "1"), 401);
}

/// Guesses through the console are slowed and counted with those by AUTH.
#[test]
fn guesses_are_slowed() {
    let (server, port) = with_port(&[("requirepass", "secret")]);
    for _ in 0..5 {
        assert_eq!(status(&post(port, "/api/session", "", r#"{"user":"default","password":"no"}"#)), 401);
    }
    let mut client = server.client();
    for _ in 0..5 {
        client.raw("AUTH no");
    }
    let now_ms = server.handle().server().clock.now_ms();
    let loopback = Some("127.0.0.1".parse().expect("an address"));
    assert_eq!(server.handle().server().acl.guesses.lock().add(loopback, now_ms), 20, "ten were counted");
    assert_eq!(status(&post(port, "/api/session", "", r#"{"user":"default","password":"no"}"#)), 401);
    log_in(port, "default", "secret");
}

/// The switch of the configuration, and the one of a request: neither keys nor the server are changed.
#[test]
fn who_only_reads_changes_nothing() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    let no = r#"{"error":"READONLY This client only looks and changes nothing."}"#;
    let by_request = |commands: &str| {
        post(port, "/api/command", "", &format!("{{\"commands\":{commands},\"read_only\":true}}"))
    };
    for asks_itself in [true, false] {
        if !asks_itself {
            client.check("CONFIG SET console read-only", "+OK~");
            assert!(raw(port, &request("GET /api/session", "", "")).contains("\"read_only\":true"));
        }
        let ask = |commands: &str| match asks_itself {
            true => by_request(commands),
            false => post(port, "/api/command", "", &format!("{{\"commands\":{commands}}}")),
        };
        for command in [
            r#"["SET","k","x"]"#,
            r#"["FLUSHALL"]"#,
            r#"["CONFIG","SET","maxmemory","1gb"]"#,
            r#"["CLIENT","KILL","ID","1"]"#,
            r#"["SHUTDOWN","NOSAVE"]"#,
            r#"["ACL","SETUSER","u","on"]"#,
            r#"["SLOWLOG","RESET"]"#,
            r#"["PUBLISH","c","m"]"#,
            r#"["BGREWRITEAOF"]"#,
            r#"["HOTKEYS","RESET"]"#,
            r#"["KVARTS","SLOW","RESET"]"#,
            r#"["KVARTS","SIMULATE","OFF"]"#,
        ] {
            let answer = ask(&format!("[{command}]"));
            assert!(answer.contains(no), "{command}: {answer}");
        }
        let answer = ask(r#"[["MULTI"],["SET","k","x"],["EXEC"]]"#);
        assert!(answer.contains("EXECABORT") || answer.contains(no), "{answer}");
        let answer = ask(r#"[["EVAL","return redis.call('SET', KEYS[1], 'x')","1","k"]]"#);
        assert!(answer.contains("READONLY You can't write against a read only replica"), "{answer}");
        let answer = ask(r#"[["EVAL","return redis.call('GET', KEYS[1])","1","k"],["GET","k"]]"#);
        assert!(answer.contains(r#"["v","v"]"#), "{answer}");
        for command in [
            r#"["CONFIG","GET","port"]"#,
            r#"["CLIENT","LIST"]"#,
            r#"["SLOWLOG","GET"]"#,
            r#"["LATENCY","HISTOGRAM"]"#,
            r#"["HOTKEYS","GET"]"#,
            r#"["KVARTS","HEALTH"]"#,
            r#"["KVARTS","SLOW","GET","5"]"#,
            r#"["KVARTS","SLOW","LOCKS"]"#,
            r#"["KVARTS","BIGKEYS"]"#,
            r#"["KVARTS","PREFIXES"]"#,
            r#"["INFO"]"#,
            r#"["SCAN","0"]"#,
            r#"["MEMORY","USAGE","k"]"#,
            r#"["CLUSTER","SLOTS"]"#,
        ] {
            let answer = ask(&format!("[{command}]"));
            assert!(!answer.contains("READONLY This client"), "{command}: {answer}");
        }
        client.check("GET k", "$1~v~");
    }
    client.check("CONFIG SET console no", "+OK~");
    assert_eq!((get(port, "/").0, get(port, "/console/app.js").0, get(port, "/metrics").0), (404, 404, 200));
    assert_eq!(status(&post(port, "/api/command", "", r#"{"commands":[["PING"]]}"#)), 404);
}

/// Time, bytes, connections: nothing that the console does goes on without end.
#[test]
fn commands_are_bounded() {
    let (server, port) = with_port(&[("maxclients", "3")]);
    let mut client = server.client();
    client.check("SET large \"\"", "+OK~");
    client.check("SETRANGE large 5000000 x", ":5000001~");
    let answer = post(port, "/api/command", "", r#"{"commands":[["PING"],["GET","large"],["PING"]]}"#);
    assert!(answer.contains(r#"{"replies":[{"simple":"PONG"}],"#), "{answer}");
    assert!(answer.ends_with(",\"stopped\":\"the replies are larger than 4 MB\"}\n"), "{answer}");
    // One that waits has ten seconds by the server's clock.
    let mut waits = connect(port);
    waits
        .write_all(request("POST /api/command", "", r#"{"commands":[["BLPOP","l",0]]}"#).as_bytes())
        .expect("sent");
    eventually("it waits", || client.raw("CLIENT LIST").contains("cmd=blpop"));
    server.advance_ms(9_900);
    client.check("PING", "+PONG~");
    server.advance_ms(200);
    let mut answer = String::new();
    waits.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("\"replies\":[]") && answer.contains("longer than ten seconds"), "{answer}");
    eventually("its client is gone", || !client.raw("CLIENT LIST").contains("cmd=blpop"));
    client.check("RPUSH l a", ":1~");
    client.check("LLEN l", ":1~");
    // Who looks why nobody is let in is let in.
    let others: Vec<_> = (0..2).map(|_| server.client()).collect();
    assert_eq!(command(port, "", r#"[["PING"]]"#), r#"[{"simple":"PONG"}]"#);
    drop(others);
    // A command that was killed says so.
    let answer =
        post(port, "/api/command", "", r#"{"commands":[["CLIENT","KILL","TYPE","normal","SKIPME","no"]]}"#);
    assert_eq!(status(&answer), 200, "{answer}");
    for length in ["1000001000", "1048577"] {
        let head = format!("POST /api/command HTTP/1.1\r\n{OURS}Content-Length: {length}\r\n\r\n");
        let mut stream = connect(port);
        stream.write_all(head.as_bytes()).expect("sent");
        let part = vec![b' '; 1 << 16];
        // It is refused before all of it has been sent.
        for _ in 0..17 {
            let _ = stream.write_all(&part);
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");
    }
}

/// Elements that are too long to be sent are sent in part, where that is asked for.
#[test]
fn long_strings_are_cut() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    for key in ["l", "l", "l"] {
        client.call(&["RPUSH", key, &"x".repeat(3 << 20)]);
    }
    client.check("RPUSH l short", ":4~");
    let ask = |rest: &str| {
        let answer = post(
            port,
            "/api/command",
            "",
            &format!(r#"{{"commands":[["LRANGE","l",0,-1],["LLEN","l"]]{rest}}}"#),
        );
        body(&answer).to_owned()
    };
    assert!(ask("").ends_with(",\"stopped\":\"the replies are larger than 4 MB\"}\n"));
    let cut = r#"{"cut":"xxxxx","bytes":3145728}"#;
    let answer = ask(r#","cut":5"#);
    assert!(
        answer.starts_with(&format!(r#"{{"replies":[[{cut},{cut},{cut},"short"],4],"took_us":"#)),
        "{answer}"
    );
    assert!(answer.ends_with(",\"stopped\":null}\n"), "{answer}");
    for wrong in ["0", "-1", "1048577", "\"5\"", "null"] {
        assert!(ask(&format!(r#","cut":{wrong}"#)).contains("1 to 1048576"), "{wrong}");
    }
}

/// Whoever fills the console with commands that wait keeps nobody from figures and health.
#[test]
fn requests_that_wait_leave_room_for_others() {
    let (server, port) = with_port(&[]);
    let mut client = server.client();
    let streams: Vec<_> = (0..8).map(|_| lines(port, "", r#"[["SUBSCRIBE","c"]]"#)).collect();
    let waits: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = connect(port);
            let content = r#"{"commands":[["BLPOP","l",0]]}"#;
            let asked = stream.write_all(request("POST /api/command", "", content).as_bytes());
            asked.expect("there is a place");
            stream
        })
        .collect();
    eventually("sixteen wait", || client.raw("CLIENT LIST").matches("cmd=blpop").count() == 16);
    assert_eq!(get(port, "/healthz").0, 200);
    assert_eq!(get(port, "/metrics").0, 200);
    assert_eq!(status(&post(port, "/api/session", "", r#"{"user":"a","password":"b"}"#)), 503);
    assert_eq!(status(&post(port, "/api/command", "", r#"{"commands":[["PING"]]}"#)), 503);
    server.advance_ms(10_100);
    let mut answers: Vec<String> = Vec::new();
    for mut stream in waits {
        let mut answer = String::new();
        // Those that were refused have been cut meanwhile, as they did not close.
        let _ = stream.read_to_string(&mut answer);
        answers.push(answer);
    }
    assert_eq!(answers.iter().filter(|answer| answer.contains("longer than ten seconds")).count(), 16);
    assert_eq!(command(port, "", r#"[["PING"]]"#), r#"[{"simple":"PONG"}]"#);
    drop(streams);
}

/// A stream's lines, its head first.
fn lines(port: u16, headers: &str, commands: &str) -> BufReader<TcpStream> {
    let mut stream = connect(port);
    let content = format!("{{\"commands\":{commands}}}");
    // Shorter than the time between two signs of life.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a limit");
    stream.write_all(request("POST /api/stream", headers, &content).as_bytes()).expect("sent");
    BufReader::new(stream)
}

/// The next line with JSON in it; `None` at the end.
fn next(lines: &mut BufReader<TcpStream>) -> Option<String> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).expect("text") == 0 {
            return None;
        }
        if line.starts_with('{') {
            return Some(line.trim_end().to_owned());
        }
    }
}

#[test]
fn messages_come_as_a_stream() {
    let (server, port) = with_port(&[("notify-keyspace-events", "KEA")]);
    let mut client = server.client();
    let mut stream = lines(port, "", r#"[["SUBSCRIBE","c"],["PSUBSCRIBE","__key*"]]"#);
    assert_eq!(next(&mut stream).as_deref(), Some(r#"{"push":["subscribe","c",1]}"#));
    assert_eq!(next(&mut stream).as_deref(), Some(r#"{"push":["psubscribe","__key*",2]}"#));
    client.check("PUBLISH c hello", ":1~");
    assert_eq!(next(&mut stream).as_deref(), Some(r#"{"push":["message","c","hello"]}"#));
    client.check("SET k v", "+OK~");
    let event = next(&mut stream).expect("an event");
    assert!(event.contains(r#""__keyspace@0__:k","set""#), "{event}");
    // Time does not end it while there is nothing to read.
    server.advance_ms(600_000);
    client.check("PUBLISH c again", ":1~");
    next(&mut stream);
    assert_eq!(next(&mut stream).as_deref(), Some(r#"{"push":["message","c","again"]}"#));
    client.check(&format!("CLIENT KILL LADDR 127.0.0.1:{port}"), ":1~");
    assert_eq!(next(&mut stream).as_deref(), Some(r#"{"end":"the server closed the connection"}"#));
    assert_eq!(next(&mut stream), None);
    // Eight at once.
    let mut streams: Vec<_> = (0..8).map(|_| lines(port, "", r#"[["SUBSCRIBE","c"]]"#)).collect();
    streams.iter_mut().for_each(|stream| assert!(next(stream).is_some()));
    assert_eq!(status(&post(port, "/api/stream", "", r#"{"commands":[["SUBSCRIBE","c"]]}"#)), 429);
    drop(streams);
    eventually("their places are free", || {
        client.raw("PUBLISH c x");
        client.raw("PUBSUB NUMSUB c").contains(":0")
    });
    assert!(next(&mut lines(port, "", r#"[["SUBSCRIBE","c"]]"#)).is_some());
}

/// A session that ends takes its streams along; a browser that does not read is cut, and others notice nothing.
#[test]
fn streams_end_with_their_session_and_reader() {
    let (server, port) = with_port(&[("requirepass", "secret")]);
    let mut client = server.client();
    client.check("AUTH secret", "+OK~");
    client.check("ACL SETUSER u on >a ~* &* +@all", "+OK~");
    let cookie = log_in(port, "u", "a");
    let mut stream = lines(port, &cookie, r#"[["SUBSCRIBE","c"]]"#);
    assert!(next(&mut stream).is_some());
    client.check("ACL SETUSER u >b", "+OK~");
    assert_eq!(next(&mut stream).as_deref(), Some(r#"{"end":"the session has ended"}"#));
    drop(stream);
    let cookie = log_in(port, "u", "a");
    let mut stream = lines(port, &cookie, r#"[["SUBSCRIBE","c"]]"#);
    assert!(next(&mut stream).is_some());
    let message = "m".repeat(100_000);
    for _ in 0..100 {
        client.raw(&format!("PUBLISH c {message}"));
    }
    let counts = &server.handle().server().http;
    let open = || counts.open.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(open(), 1);
    eventually("it is cut", || {
        server.advance_ms(1_000);
        open() == 0
    });
    client.check("PING", "+PONG~");
    eventually("its client is gone", || client.raw("PUBSUB NUMSUB c").contains(":0"));
}

#[test]
fn figures_are_given_as_json() {
    let (server, port) = with_port(&[]);
    server.client().check("SET k v", "+OK~");
    let answer =
        raw(port, &request("GET /api/figures?names=redis_up,redis_commands_total,redis_nothing", "", ""));
    let start = format!(r#"{{"at_ms":{START_MS},"metrics":{{"#);
    assert!(body(&answer).starts_with(&start), "{answer}");
    assert!(answer.contains(r#""redis_commands_total":[[{"cmd":"set"},1]]"#), "{answer}");
    assert!(answer.contains(r#""redis_up":1"#), "{answer}");
    assert!(!answer.contains("redis_nothing"), "{answer}");
    let many = format!("GET /api/figures?names={}", "a,".repeat(100));
    assert_eq!(status(&raw(port, &request(&many, "", ""))), 400);
}

/// What the charts show, after a time.
pub fn history(port: u16, since_ms: u64) -> serde_json::Value {
    let answer = raw(port, &request(&format!("GET /api/figures/history?since={since_ms}"), "", ""));
    assert_eq!(status(&answer), 200, "{answer}");
    serde_json::from_str(body(&answer)).expect("JSON")
}

/// Charts do not begin empty: the server notes once a second, by its clock, what they show.
#[test]
fn the_charts_have_a_past() {
    let (server, port) = with_port(&[("maxmemory", "1gb")]);
    let count = |name: &str| history(port, 0)[name].as_array().expect("points").len();
    let mut client = server.client();
    eventually("a first look", || count("seconds") == 1);
    client.check("SET k v", "+OK~");
    for _ in 0..27 {
        client.raw("GET k");
    }
    for _ in 0..9 {
        client.raw("GET missing");
    }
    assert_eq!(count("seconds"), 1, "time stands still");
    server.advance_ms(2_000);
    eventually("a second look", || count("seconds") == 2);
    let past = history(port, START_MS);
    assert_eq!(past["now_ms"], START_MS + 2_000);
    let of = |name: &str, point: &serde_json::Value| {
        let series = past["series"].as_array().expect("names");
        let place = series.iter().position(|other| other == name).expect("a series");
        point[place + 1].as_f64()
    };
    let [point] = past["seconds"].as_array().expect("points").as_slice() else { panic!("{past}") };
    assert_eq!(point[0], START_MS + 2_000);
    for (name, expected) in [
        ("ops", Some(18.5)),
        ("hit_percent", Some(75.0)),
        ("memory_max_bytes", Some(1_073_741_824.0)),
        ("clients", Some(1.0)),
        ("rejected", Some(0.0)),
        ("keys", Some(1.0)),
        ("evicted", Some(0.0)),
        ("loading", Some(0.0)),
    ] {
        assert_eq!(of(name, point), expected, "{name}");
    }
    assert!(of("p99_us", point) >= of("p50_us", point) && of("p50_us", point) > Some(0.0));
    assert!(of("input_bytes", point) > Some(0.0) && of("memory_bytes", point) > Some(0.0));
    let first = &history(port, 0)["seconds"][0];
    assert_eq!((of("ops", first), of("keys", first)), (None, Some(0.0)));
    // Nothing happened since, and ten seconds are over.
    server.advance_ms(8_000);
    eventually("ten seconds", || count("tens") == 1);
    let tens = &history(port, 0)["tens"][0];
    assert_eq!((of("ops", tens), of("hit_percent", tens)), (Some(3.7), Some(75.0)));
    let last = &history(port, 0)["seconds"][2];
    assert_eq!((of("ops", last), of("hit_percent", last), of("p99_us", last)), (Some(0.0), None, None));
    // What was counted is forgotten: what was gained is not known, which is not less than nothing.
    client.check("CONFIG RESETSTAT", "+OK~");
    server.advance_ms(1_000);
    eventually("a look", || count("seconds") == 4);
    assert_eq!(of("ops", &history(port, 0)["seconds"][3]), None);
    server.handle().server().loading.begin(START_MS);
    server.advance_ms(1_000);
    eventually("a look", || count("seconds") == 5);
    assert_eq!(of("loading", &history(port, 0)["seconds"][4]), Some(1.0));
    server.handle().server().loading.end();
    // Errors by their codes; what did not come is none.
    for _ in 0..3 {
        client.raw("HGET k f");
    }
    server.advance_ms(2_000);
    eventually("a look", || count("seconds") == 6);
    let errors = &history(port, 0)["seconds"][5];
    let codes = ["errors", "error_WRONGTYPE", "error_OOM", "error_ERR"].map(|name| of(name, errors));
    assert_eq!(codes, [Some(1.5), Some(1.5), Some(0.0), Some(0.0)]);
    for wrong in ["since=x", "since=-1", "since="] {
        let line = format!("GET /api/figures/history?{wrong}");
        assert_eq!(status(&raw(port, &request(&line, "", ""))), 400, "{wrong}");
    }
    client.check("CONFIG SET requirepass secret", "+OK~");
    assert_eq!(status(&raw(port, &request("GET /api/figures/history", "", ""))), 401);
}

/// What is older than an hour is dropped, also where the clock was set ahead.
#[test]
fn the_past_of_the_charts_ends() {
    let (server, port) = with_port(&[]);
    let count = |name: &str| history(port, 0)[name].as_array().expect("points").len();
    for seconds in 1..=12 {
        eventually("a look", || count("seconds") == seconds);
        server.advance_ms(1_000);
    }
    eventually("a look", || count("seconds") == 13 && count("tens") == 1);
    server.advance_ms(3_600_000);
    eventually("the rest is too old", || count("seconds") == 1 && count("tens") == 1);
}

#[test]
fn files_of_the_page_say_what_browsers_may_do_with_them() {
    let (_server, port) = with_port(&[]);
    let page = raw(port, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for header in [
        "content-type: text/html; charset=utf-8\r\n",
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'\r\n",
        "x-content-type-options: nosniff\r\n",
        "referrer-policy: no-referrer\r\n",
        "x-frame-options: DENY\r\n",
        "cache-control: no-cache\r\n",
        "cross-origin-opener-policy: same-origin\r\n",
        "cross-origin-resource-policy: same-origin\r\n",
    ] {
        assert!(page.contains(header), "{header} in {page}");
    }
    let (_, tag) = page.split_once("etag: ").expect("a tag");
    let tag = tag.split_once("\r\n").expect("an end").0;
    let again = raw(port, &format!("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n"));
    assert_eq!((status(&again), body(&again)), (304, ""));
    let head = raw(port, "HEAD /console/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((status(&head), body(&head)), (200, ""));
    assert!(head.contains("content-type: text/javascript; charset=utf-8\r\n"), "{head}");
    for path in ["/console/", "/console/nothing.js", "/console/../console/app.js", "/console/files/app.js"] {
        assert_eq!(get(port, path).0, 404, "{path}");
    }
    assert!(raw(port, "POST / HTTP/1.1\r\nHost: a\r\n\r\n").contains("allow: GET, HEAD\r\n"));
}

/// What the page's files refer to is there, and nothing of it is anywhere else: no other host, no script or
/// style within the page, which the policy would refuse.
#[test]
fn the_page_asks_nobody_else() {
    let (_server, port) = with_port(&[]);
    let mut left = vec!["/".to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let (status, content) = get(port, &path);
        assert_eq!(status, 200, "{path}");
        for foreign in ["http://", "https://", "eval(", "innerHTML", "<script>", " style=\"", " onclick="] {
            let allowed = content.matches("http://www.w3.org/2000/svg").count();
            let found = content.matches(foreign).count();
            assert_eq!(found, if foreign == "http://" { allowed } else { 0 }, "{foreign} in {path}");
        }
        assert!(content.lines().count() <= 500, "{path} is too long to be known");
        for quoted in content.split(['"', '\'']) {
            let folder = path.rsplit_once('/').expect("a folder").0;
            if quoted.starts_with("/console/") {
                left.push(quoted.to_owned());
            } else if let Some(name) = quoted.strip_prefix("./").filter(|name| name.ends_with(".js")) {
                left.push(format!("{folder}/{name}"));
            } else if let Some(name) = quoted.strip_prefix("../").filter(|name| name.ends_with(".js")) {
                left.push(format!("{}/{name}", folder.rsplit_once('/').expect("a folder above").0));
            }
        }
    }
    assert_eq!(seen.len(), 24, "every file is used: {seen:?}");
}

/// Under a profile that refuses CONFIG to clients, and while their connections are cut.
#[test]
fn the_console_is_held_against_no_profile_and_spared_rehearsed_faults() {
    let pairs =
        [("profile", "elasticache"), ("enable-debug-command", "yes"), ("simulate", "cut 100; oom 100")];
    let (server, port) = with_port(&pairs);
    let replies = command(
        port,
        "",
        r#"[["PING"],["CONFIG","GET","hz"],["SET","k","v"],["EVAL","return redis.call('set','k','w')","0"]]"#,
    );
    assert_eq!(replies, r#"[{"simple":"PONG"},{"map":[["hz","10"]]},{"simple":"OK"},{"simple":"OK"}]"#);
    let mut client = server.client();
    client.send(b"PING\r\n");
    client.expect_closed();
    let found = command(port, "", r#"[["KVARTS","COMPAT"]]"#);
    assert!(found.contains(r#"["findings",[]]"#), "{found}");
}

/// What the console's views look at again and again does not push requests of clients out of the logs; what it does to
/// keys stays there, and all of it is counted.
#[test]
fn what_the_console_looks_at_is_in_no_log() {
    let pairs = [("slowlog-log-slower-than", "0"), ("slow-requests-slower-than", "0")];
    let (server, port) = with_port(&pairs);
    let mut client = server.client();
    command(port, "", r#"[["KVARTS","HEALTH"],["CONFIG","GET","save"],["SET","k","v"]]"#);
    let logs =
        |client: &mut Client| ["SLOWLOG GET", "KVARTS SLOW GET"].map(|log| client.raw(log).to_uppercase());
    for log in logs(&mut client) {
        assert!(log.contains("SET~") && !log.contains("HEALTH~") && !log.contains("CONFIG~"), "{log}");
    }
    assert!(server.info("cmdstat_kvarts|health").starts_with("calls=1,"));
    client.value("KVARTS HEALTH");
    for log in logs(&mut client) {
        assert!(log.contains("HEALTH~"), "{log}");
    }
}
