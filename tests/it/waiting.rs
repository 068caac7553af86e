//! Commands that wait for a key.

use crate::harness::*;

/// A client that has sent a command and waits.
pub fn waiting(server: &TestServer, command: &str) -> Client {
    let before: usize = server.info("blocked_clients").parse().unwrap();
    let mut client = server.client();
    client.send_command(command);
    eventually("the client waits", || server.info("blocked_clients") == (before + 1).to_string());
    client
}

#[test]
fn what_is_there_is_answered_at_once() {
    table(
        r#"
        RPUSH l a b c d e f => :6~
        BLPOP none l 0 => *2~$1~l~$1~a~
        BRPOP l none 0 => *2~$1~l~$1~f~
        BLMOVE l m LEFT RIGHT 0 => $1~b~
        BRPOPLPUSH l m 0 => $1~e~
        BLMPOP 0 2 none l LEFT COUNT 5 => *2~$1~l~*2~$1~c~$1~d~
        EXISTS l => :0~
        ZADD z 1 a 2.5 b 3 c 4 d => :4~
        BZPOPMIN z 0 => *3~$1~z~$1~a~$1~1~ => *3~$1~z~$1~a~,1~
        BZPOPMAX none z 0 => *3~$1~z~$1~d~$1~4~ => *3~$1~z~$1~d~,4~
        BZMPOP 0 1 z MIN COUNT 2 => *2~$1~z~*2~*2~$1~b~$3~2.5~*2~$1~c~$1~3~ => *2~$1~z~*2~*2~$1~b~,2.5~*2~$1~c~,3~
        SET s v => +OK~
        BLPOP none s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        BZPOPMIN s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        RPUSH l a => :1~
        BLMOVE l s LEFT RIGHT 0 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        LLEN l => :1~
        "#,
    );
}

#[test]
fn times_that_are_none() {
    table(
        r#"
        BLPOP l x => -ERR timeout is not a float or out of range~
        BLPOP l -1 => -ERR timeout is negative~
        BLPOP l nan => -ERR timeout is not a float or out of range~
        BLPOP l inf => -ERR timeout is out of range~
        BLPOP l -inf => -ERR timeout is negative~
        BLPOP l 1e300 => -ERR timeout is out of range~
        BLPOP l 1e5000 => -ERR timeout is not a float or out of range~
        BLPOP l 0x7FFFFFFFFFFFFF => -ERR timeout is out of range~
        BLPOP l -0x1 => -ERR timeout is negative~
        BLPOP l 0x => -ERR timeout is not a float or out of range~
        BLPOP l 9223372036854775807 => -ERR timeout is out of range~
        BLPOP l 9223372036854775 => -ERR timeout is out of range~
        BRPOPLPUSH l m -0.1 => -ERR timeout is negative~
        BLMOVE l m LEFT UP 1 => -ERR syntax error~
        BLMPOP x 1 l LEFT => -ERR timeout is not a float or out of range~
        BLMPOP 1 0 l LEFT => -ERR numkeys should be greater than 0~
        BZMPOP -1 1 z MIN => -ERR timeout is negative~
        BZPOPMIN z => -ERR wrong number of arguments for 'bzpopmin' command~
        "#,
    );
}

#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..5).map(|_| waiting(&server, "BLPOP l 0")).collect();
    server.client().check("RPUSH l 1 2 3", ":3~");
    for (client, value) in clients.iter_mut().zip(["1", "2", "3"]) {
        client.check_next(&format!("*2~$1~l~$1~{value}~"));
    }
    assert_eq!(server.info("blocked_clients"), "2");
    server.client().check("RPUSH l 4 5 6", ":3~");
    clients[3].check_next("*2~$1~l~$1~4~");
    clients[4].check_next("*2~$1~l~$1~5~");
    server.client().check("LRANGE l 0 -1", "*1~$1~6~");
    assert_eq!(server.info("total_blocking_keys"), "0");
}

#[test]
fn time_ends_the_wait() {
    let server = TestServer::start();
    for (command, nothing) in
        [("BLPOP l 1", "*-1~"), ("BLMOVE l m LEFT LEFT 1", "*-1~"), ("BZMPOP 1 1 z MIN", "*-1~")]
    {
        let mut client = waiting(&server, command);
        server.advance_ms(999);
        assert_eq!(server.info("blocked_clients"), "1");
        server.advance_ms(1);
        client.check_next(nothing);
        client.check("PING", "+PONG~");
        assert_eq!(server.info("blocked_clients"), "0");
    }
    server.client().check("RPUSH l a", ":1~");
    server.client().check("LLEN l", ":1~");
}

#[test]
fn chains_and_many_keys() {
    let server = TestServer::start();
    let mut second = waiting(&server, "BLMOVE b c LEFT RIGHT 0");
    let mut first = waiting(&server, "BLMOVE a b LEFT RIGHT 0");
    let mut third = waiting(&server, "BLPOP x c y 0");
    server.client().check("RPUSH a v", ":1~");
    first.check_next("$1~v~");
    second.check_next("$1~v~");
    third.check_next("*2~$1~c~$1~v~");
    server.client().check("DBSIZE", ":0~");
}

#[test]
fn only_the_type_that_is_waited_for_serves() {
    let server = TestServer::start();
    let mut list = waiting(&server, "BLPOP k 0");
    let mut zset = waiting(&server, "BZPOPMIN k 0");
    let mut other = server.client();
    other.check("SET k v", "+OK~");
    other.check("DEL k", ":1~");
    other.check("ZADD k 1 m", ":1~");
    zset.check_next("*3~$1~k~$1~m~$1~1~");
    other.check("RPUSH k e", ":1~");
    list.check_next("*2~$1~k~$1~e~");
}

#[test]
fn every_way_in_which_a_key_comes_serves() {
    let server = TestServer::start();
    let mut other = server.client();
    other.check("RPUSH source e", ":1~");
    for command in
        ["RENAME source l", "COPY source l", "RESTORE", "MOVE", "SWAPDB", "EXEC", "LMOVE source l LEFT LEFT"]
    {
        let mut client = waiting(&server, "BLPOP l 0");
        match command {
            "RESTORE" => {
                let payload = other.value("DUMP source");
                let Value::Bulk(payload) = payload else { panic!("a payload") };
                other.call(&[&b"RESTORE"[..], b"l", b"0", &payload]);
            }
            "MOVE" => {
                other.check("SELECT 1", "+OK~");
                other.check("RPUSH l e", ":1~");
                other.check("MOVE l 0", ":1~");
                other.check("SELECT 0", "+OK~");
            }
            "SWAPDB" => {
                other.check("SELECT 1", "+OK~");
                other.check("RPUSH l e", ":1~");
                other.check("SWAPDB 0 1", "+OK~");
                other.check("SELECT 0", "+OK~");
            }
            "EXEC" => {
                other.check("MULTI", "+OK~");
                other.check("RPUSH l e", "+QUEUED~");
                other.check("LPUSH l d", "+QUEUED~");
                other.check("LPOP l", "+QUEUED~");
                other.check("EXEC", "*3~:1~:2~$1~d~");
            }
            command => {
                other.raw(command);
            }
        }
        client.check_next("*2~$1~l~$1~e~");
        other.raw("DEL l source");
        other.check("RPUSH source e", ":1~");
    }
}

/// Very many clients that wait for one key are served in the order in which they came, whatever the pieces in
/// which elements come, and though some of them have left. They come one after the other, each when the one
/// before it waits.
#[test]
fn very_many_waiters_are_served_in_the_order_in_which_they_came() {
    const WAITERS: usize = 2_000;
    let server = TestServer::with(&[("io-threads", "4")]);
    let waiting = &server.handle().server().effects.waiting;
    let mut other = server.client();
    let mut clients = Vec::with_capacity(WAITERS);
    for number in 0..WAITERS {
        let mut client = server.client();
        client.send_command(if number % 3 == 0 { "BLPOP first l 0" } else { "BLPOP l 0" });
        eventually("it waits", || waiting.client_count() == number + 1);
        clients.push(client);
    }
    let mut number = 0;
    clients.retain(|_| {
        number += 1;
        number % 10 != 0
    });
    eventually("those that left are forgotten", || waiting.client_count() == clients.len());
    // What is of another type serves nobody, and costs nobody the place.
    for _ in 0..20 {
        other.check("SET l text", "+OK~");
        other.check("DEL l", ":1~");
    }
    let (mut sent, mut piece) = (0, 1);
    while sent < clients.len() {
        let elements = (sent..clients.len()).take(piece);
        let elements: Vec<String> = elements.map(|number| format!("e{number}")).collect();
        let reply = other.value(&format!("RPUSH l {}", elements.join(" ")));
        assert_eq!(reply, Value::Int(elements.len() as i64));
        sent += elements.len();
        piece = (piece * 2).min(300);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let element = format!("e{number}");
        client.check_next(&format!("*2~$1~l~${}~{element}~", element.len()));
    }
    assert_eq!(waiting.client_count(), 0);
    other.check("EXISTS l", ":0~");
}

#[test]
fn a_client_can_be_woken_or_leave() {
    let server = TestServer::start();
    let mut other = server.client();
    for (how, reply) in
        [("", "*-1~"), (" TIMEOUT", "*-1~"), (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK~")]
    {
        let mut client = server.client();
        let id = client.value("CLIENT ID").int();
        client.send_command("BLPOP l 0");
        eventually("it waits", || server.info("blocked_clients") == "1");
        other.check(&format!("CLIENT UNBLOCK {id}{how}"), ":1~");
        client.check_next(reply);
        other.check(&format!("CLIENT UNBLOCK {id}{how}"), ":0~");
        client.check("PING", "+PONG~");
    }
    // One that leaves is not served.
    drop(waiting(&server, "BLPOP l 0"));
    eventually("it is forgotten", || server.info("blocked_clients") == "0");
    let mut killed = server.client();
    let id = killed.value("CLIENT ID").int();
    killed.send_command("BLPOP l 0");
    eventually("it waits", || server.info("blocked_clients") == "1");
    other.check(&format!("CLIENT KILL ID {id}"), ":1~");
    killed.expect_closed();
    eventually("it is forgotten", || server.info("blocked_clients") == "0");
    other.check("RPUSH l a", ":1~");
    other.check("LLEN l", ":1~");
}

#[test]
fn what_is_sent_behind_a_waiting_command_waits_too() {
    let server = TestServer::start();
    let mut client = waiting(&server, "BLPOP l 0");
    client.send(b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n");
    server.client().check("RPUSH l a", ":1~");
    client.check_next("*2~$1~l~$1~a~");
    client.check_next("+PONG~");
    client.check_next("$1~x~");
}

/// Many clients of one key are served in the order in which they came, also past those that wait for another
/// type.
#[test]
fn many_waiters_are_served_in_order() {
    const WAITERS: usize = 100;
    let server = TestServer::start();
    let mut lists = Vec::new();
    let mut zsets = Vec::new();
    for _ in 0..WAITERS {
        lists.push(waiting(&server, "BLPOP k 0"));
        zsets.push(waiting(&server, "BZPOPMIN k 0"));
    }
    let mut other = server.client();
    for number in 0..WAITERS {
        other.check("SET k v", "+OK~");
        other.check("DEL k", ":1~");
        other.check(&format!("RPUSH k {}", number + 100), ":1~");
        other.check(&format!("ZADD k {} m", number + 100), ":1~");
    }
    for (number, (list, zset)) in lists.iter_mut().zip(&mut zsets).enumerate() {
        list.check_next(&format!("*2~$1~k~$3~{}~", number + 100));
        zset.check_next(&format!("*3~$1~k~$1~m~$3~{}~", number + 100));
    }
}

/// One command may make very many keys ready, each once, and clients of all of them are served.
#[test]
fn keys_made_ready_together_serve_all() {
    let server = TestServer::start();
    let mut waiters: Vec<Client> =
        (0..50).map(|number| waiting(&server, &format!("BLPOP {{k}}{number} 0"))).collect();
    let mut other = server.client();
    other.check("MULTI", "+OK~");
    for number in 0..50 {
        other.check(&format!("RPUSH {{k}}{number} a"), "+QUEUED~");
        other.check(&format!("RPUSH {{k}}{number} b"), "+QUEUED~");
    }
    assert_eq!(other.value("EXEC").items().len(), 100);
    for (number, waiter) in waiters.iter_mut().enumerate() {
        let key = format!("{{k}}{number}");
        waiter.check_next(&format!("*2~${}~{key}~$1~a~", key.len()));
    }
}

/// A client that waits for two keys was forgotten when a slow script held the one of them at the moment when
/// the other came: nothing looked at it again.
#[test]
fn a_client_that_a_script_is_in_the_way_of_is_served_when_the_script_ends() {
    let settings = [("busy-reply-threshold", "20")];
    let server = TestServer::with_clock(&settings, kvarts::shared::clock::Clock::system());
    let mut other = server.client();
    let mut client = waiting(&server, "BLPOP {a} {b} 0");
    let mut slow = server.client();
    slow.send(&encode(&["EVAL", "while true do end", "1", "{b}"]));
    eventually("the script is known to be slow", || other.raw("GET {b}").starts_with("-BUSY"));
    other.check("RPUSH {a} x y", ":2~");
    client.check_still_open("it waits on");
    other.check("SCRIPT KILL", "+OK~");
    assert!(show(&slow.read_raw()).contains("SCRIPT KILL"));
    assert_eq!(show(&client.read_raw()), "*2~$3~{a}~$1~x~");
    other.check("LLEN {a}", ":1~");
    // A further change finds nobody to serve.
    other.check("RPUSH {a} z", ":2~");
}
