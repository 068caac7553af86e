//! XREADGROUP BLOCK with CLAIM: a client that waits gets an entry once it was pending for long enough, although no key
//! changes then.

use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::waiting::waiting;

const CLAIM: &str = "XREADGROUP GROUP g d BLOCK 10000 CLAIM 500 STREAMS s >";

/// Makes a group that has delivered the entry 1-1 of a stream to the consumer `c`.
fn deliver(client: &mut Client, stream: &str) {
    client.check(&format!("XADD {stream} 1-1 f v"), "$3~1-1~");
    client.check(&format!("XGROUP CREATE {stream} g 0"), "+OK~");
    client.value(&format!("XREADGROUP GROUP g c STREAMS {stream} >"));
}

/// The reply of a claim of the entry 1-1. How long it was pending says when it was claimed, as the clock stands still.
fn claimed(stream: &str, idle_ms: u64, deliveries: u64) -> String {
    format!("*2~$1~{stream}~*1~*4~$3~1-1~*2~$1~f~$1~v~:{idle_ms}~:{deliveries}~")
}

/// That of a request for the stream `s` alone.
fn served(idle_ms: u64, deliveries: u64) -> String {
    format!("*1~{}", claimed("s", idle_ms, deliveries))
}

#[test]
fn an_entry_serves_who_waits_once_it_is_old_enough() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    deliver(&mut client, "s");
    let mut waits = waiting(&server, CLAIM);
    server.advance_ms(499);
    // It has not been tried: its consumer was last seen when it began to wait.
    let consumers = client.value("XINFO CONSUMERS s g").items();
    assert_eq!(consumers[1].texts()[5], "499");
    server.advance_ms(1);
    waits.check_next(&served(500, 1));
    client.check("XPENDING s g - + 10", "*1~*4~$3~1-1~$1~d~:0~:2~");
    // By KVARTS CLOCK in both forms, and with RESP3's map.
    let mut waits = server.client3();
    waits.send_command(CLAIM);
    eventually("it waits", || server.info("blocked_clients") == "1");
    client.check("KVARTS CLOCK ADVANCE 500", "+OK~");
    waits.check_next("%1~$1~s~*1~*4~$3~1-1~*2~$1~f~$1~v~:500~:2~");
    let mut waits = waiting(&server, CLAIM);
    client.check(&format!("KVARTS CLOCK SET {}", START_MS + 1600), "+OK~");
    waits.check_next(&served(600, 3));
    assert_eq!(server.info("total_blocking_keys"), "0");
}

#[test]
fn the_machines_clock_wakes_it() {
    let server = TestServer::with_clock(&[("enable-debug-command", "yes")], Clock::system());
    let mut client = server.client();
    deliver(&mut client, "s");
    let mut waits = server.client();
    let reply = waits.value("XREADGROUP GROUP g d BLOCK 60000 CLAIM 60 STREAMS s >");
    assert_eq!(reply.items()[0].items()[0].text(), "s");
    client.check("KVARTS CLOCK FREEZE", "+OK~");
    let mut waits = waiting(&server, CLAIM);
    client.check("KVARTS CLOCK ADVANCE 300", "+OK~");
    assert_eq!(server.info("blocked_clients"), "1");
    client.check("KVARTS CLOCK RESUME", "+OK~");
    waits.read();
}

#[test]
fn what_others_do_to_the_entry_counts() {
    let server = TestServer::start();
    let mut client = server.client();
    let null = "*-1~";
    for (step, expected) in [
        ("XACK s g 1-1", None),
        ("XDEL s 1-1", None),
        ("XACKDEL s g IDS 1 1-1", None),
        // Delivered again, so that it is pending for less long.
        ("XCLAIM s g e 0 1-1 JUSTID", Some((400, 500, 1))),
        ("XREADGROUP GROUP g c STREAMS s 0", Some((400, 500, 2))),
        // Back-dated: it is old enough sooner.
        ("XCLAIM s g e 0 1-1 IDLE 450 JUSTID", Some((50, 500, 1))),
        ("XCLAIM s g e 0 1-1 IDLE 700 JUSTID", Some((0, 700, 1))),
    ] {
        client.check("FLUSHALL", "+OK~");
        deliver(&mut client, "s");
        let mut waits = waiting(&server, CLAIM);
        server.advance_ms(400);
        client.value(step);
        match expected {
            None => {
                server.advance_ms(9599);
                assert_eq!(server.info("blocked_clients"), "1", "{step}");
                server.advance_ms(1);
                waits.check_next(null);
            }
            Some((after_ms, idle_ms, deliveries)) => {
                if after_ms > 0 {
                    // For the time that was to come before, too.
                    server.advance_ms(after_ms - 1);
                    assert_eq!(server.info("blocked_clients"), "1", "{step}");
                    server.advance_ms(if after_ms == 400 { 101 } else { 1 });
                }
                waits.check_next(&served(idle_ms, deliveries));
            }
        }
    }
}

/// What was pending with nobody when the wait began, and becomes so later.
#[test]
fn entries_that_become_pending_meanwhile_are_claimed_as_well() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("XADD s 1-1 f v", "$3~1-1~");
    client.check("XGROUP CREATE s g $", "+OK~");
    let mut waits = waiting(&server, CLAIM);
    server.advance_ms(100);
    client.check("XCLAIM s g c 0 1-1 FORCE JUSTID", "*1~$3~1-1~");
    server.advance_ms(499);
    assert_eq!(server.info("blocked_clients"), "1");
    server.advance_ms(1);
    waits.check_next(&served(500, 1));
    client.check("XACK s g 1-1", ":1~");
    // A transaction that adds an entry and reads it at once, and a script.
    for add in ["MULTI", "EVAL"] {
        let mut waits = waiting(&server, CLAIM);
        if add == "MULTI" {
            client.check("MULTI", "+OK~");
            client.check("XADD s * f v", "+QUEUED~");
            client.check("XREADGROUP GROUP g c STREAMS s >", "+QUEUED~");
            client.value("EXEC");
        } else {
            let script = "redis.call('xadd', 's', '*', 'f', 'v') redis.call('xreadgroup', 'group', 'g', 'c', 'streams', 's', '>')";
            client.call(&["EVAL", script, "1", "s"]);
        }
        server.advance_ms(499);
        assert_eq!(server.info("blocked_clients"), "1", "{add}");
        server.advance_ms(1);
        let entries = waits.read().items()[0].items()[1].items();
        assert_eq!((entries.len(), entries[0].items()[2].int()), (1, 500), "{add}");
        client.check(&format!("XACK s g {}", entries[0].items()[0].text()), ":1~");
    }
}

#[test]
fn several_clients_and_streams() {
    let server = TestServer::start();
    let mut client = server.client();
    for stream in ["s", "t"] {
        deliver(&mut client, stream);
    }
    // In the order in which they came, whoever's timer is the first.
    let mut first = waiting(&server, "XREADGROUP GROUP g d BLOCK 0 CLAIM 500 NOACK STREAMS s t > >");
    let mut second = waiting(&server, "XREADGROUP GROUP g e BLOCK 0 CLAIM 400 STREAMS t >");
    let mut third = waiting(&server, "XREADGROUP GROUP g f BLOCK 0 CLAIM 500 STREAMS s >");
    let _new = waiting(&server, "XREADGROUP GROUP g h BLOCK 0 STREAMS s >");
    server.advance_ms(400);
    second.check_next(&format!("*1~{}", claimed("t", 400, 1)));
    assert_eq!(server.info("blocked_clients"), "3");
    server.advance_ms(100);
    first.check_next(&served(500, 1));
    assert_eq!(server.info("blocked_clients"), "2");
    server.advance_ms(499);
    assert_eq!(server.info("blocked_clients"), "2");
    server.advance_ms(1);
    third.check_next(&served(500, 2));
    assert_eq!(server.info("blocked_clients"), "1");
    // A stream that is not there is an error at once.
    client.check(
        "XREADGROUP GROUP g d BLOCK 0 CLAIM 5000 STREAMS s none t > > >",
        "-NOGROUP No such key 'none' or consumer group 'g' in XREADGROUP with GROUP option~",
    );
}

#[test]
fn a_pause_holds_it_up() {
    let server = TestServer::start();
    let mut client = server.client();
    deliver(&mut client, "s");
    let mut waits = waiting(&server, CLAIM);
    client.check("CLIENT PAUSE 3000 WRITE", "+OK~");
    server.advance_ms(1000);
    assert_eq!(server.info("blocked_clients"), "1");
    client.check("XPENDING s g - + 10", "*1~*4~$3~1-1~$1~c~:1000~:1~");
    client.check("CLIENT UNPAUSE", "+OK~");
    waits.check_next(&served(1000, 1));
    for (number, scope) in ["WRITE", "ALL"].into_iter().enumerate() {
        // Until its end, and the wait itself ends on time all the same.
        let mut waits = waiting(&server, CLAIM);
        client.check(&format!("CLIENT PAUSE 3000 {scope}"), "+OK~");
        server.advance_ms(2999);
        server.advance_ms(1);
        waits.check_next(&served(3000, 2 + number as u64));
        let mut waits = waiting(&server, "XREADGROUP GROUP g d BLOCK 1000 CLAIM 500 STREAMS s >");
        client.check(&format!("CLIENT PAUSE 3000 {scope}"), "+OK~");
        server.advance_ms(1000);
        waits.check_next("*-1~");
        server.advance_ms(2000);
        client.check("XCLAIM s g c 0 1-1 JUSTID", "*1~$3~1-1~");
    }
}

#[test]
fn who_may_not_any_more_is_refused() {
    let server = TestServer::start();
    let mut client = server.client();
    deliver(&mut client, "s");
    client.check("ACL SETUSER u on nopass ~* +@all", "+OK~");
    let mut waits = server.client();
    waits.check("AUTH u x", "+OK~");
    waits.send_command(CLAIM);
    eventually("it waits", || server.info("blocked_clients") == "1");
    client.check("ACL SETUSER u -xreadgroup", "+OK~");
    server.advance_ms(500);
    waits.check_next("-NOPERM User u has no permissions to run the 'xreadgroup' command~");
    client.check("XPENDING s g - + 10", "*1~*4~$3~1-1~$1~c~:500~:1~");
    let claim = "XREADGROUP GROUP g d BLOCK 10000 CLAIM 1000 STREAMS s >";
    let mut waits = waiting(&server, claim);
    client.check("CONFIG SET min-replicas-to-write 1", "+OK~");
    server.advance_ms(500);
    waits.check_next("-NOREPLICAS Not enough good replicas to write.~");
    client.check("CONFIG SET min-replicas-to-write 0", "+OK~");
    client.check(claim, &served(1000, 1));
}

#[test]
fn clients_that_are_gone_get_nothing() {
    let server = TestServer::start();
    let mut client = server.client();
    deliver(&mut client, "s");
    let waits = waiting(&server, CLAIM);
    drop(waits);
    eventually("it is gone", || server.info("blocked_clients") == "0");
    let mut killed = server.client();
    let id = killed.value("CLIENT ID").int();
    killed.send_command(CLAIM);
    eventually("it waits", || server.info("blocked_clients") == "1");
    client.check(&format!("CLIENT KILL ID {id}"), ":1~");
    killed.expect_closed();
    let mut unblocked = server.client();
    let id = unblocked.value("CLIENT ID").int();
    unblocked.send_command(CLAIM);
    eventually("it waits", || server.info("blocked_clients") == "1");
    client.check(&format!("CLIENT UNBLOCK {id}"), ":1~");
    unblocked.check_next("*-1~");
    let mut moved = waiting(&server, CLAIM);
    client.check("REPLICAOF 127.0.0.1 1", "+OK~");
    moved.check_next(
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)~",
    );
    server.advance_ms(600);
    client.check("REPLICAOF NO ONE", "+OK~");
    client.check("XPENDING s g - + 10", "*1~*4~$3~1-1~$1~c~:600~:1~");
    let mut lost = waiting(&server, "XREADGROUP GROUP g d BLOCK 10000 CLAIM 5000 STREAMS s >");
    client.check("XGROUP DESTROY s g", ":1~");
    lost.check_next("-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option~");
}

/// A claim that a time brings is in the journal like any other.
#[test]
fn what_is_claimed_by_time_is_there_after_a_restart() {
    let server = TestServer::with(&[("appendonly", "yes")]);
    let mut client = server.client();
    deliver(&mut client, "s");
    let mut waits = waiting(&server, CLAIM);
    server.advance_ms(500);
    waits.check_next(&served(500, 1));
    drop((waits, client));
    let server =
        TestServer::try_with(&[("appendonly", "yes")], Clock::manual(START_MS + 700), server.stop_and_keep())
            .expect("it starts");
    eventually("the file is loaded", || server.info("loading") == "0");
    server.client().check("XPENDING s g - + 10", "*1~*4~$3~1-1~$1~d~:200~:2~");
}
