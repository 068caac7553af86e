//! Requests that were judged, and then waited before the gate of the keyspace while something else had it
//! alone: what they were judged by may have changed since. The tests stand in the gate themselves; a request
//! that comes only later is judged late anyway, so they never fail by chance.

use std::time::Duration;

use kvarts::engine::following::Primary;
use kvarts::shared::pause::{FOR_EVER_MS, Purpose, Scope};

use crate::harness::*;
use crate::wire::words;

/// The requests of one test: one by itself, a pipeline, transactions, and a script without keys, which runs
/// alone behind the gate.
const WRITES: [&str; 5] = [
    "INCR n",
    "INCR n|INCR n|GET n",
    "MULTI|INCR n|EXEC",
    // With what was queued before the gate was taken.
    "EXEC",
    "EVAL \"return redis.call('INCR','n')\" 0",
];

/// Sends `requests` while the gate is taken and calls `change` before it is given back.
fn send_before(server: &TestServer, client: &mut Client, requests: &str, change: impl FnOnce()) {
    if requests == "EXEC" {
        client.check("MULTI", "+OK~");
        client.check("INCR n", "+QUEUED~");
    }
    let alone = server.handle().server().keyspace.gate.exclusive(|| ());
    for request in requests.split('|') {
        client.send(&encode(&words(request)));
    }
    // Long enough for all but a very slow machine; nothing depends on it but what the test can show.
    std::thread::sleep(Duration::from_millis(20));
    change();
    drop(alone);
}

/// The replies to `requests`, one behind the other.
fn replies(client: &mut Client, requests: &str) -> String {
    requests.split('|').map(|_| show(&client.read_raw())).collect()
}

/// A write was judged while nothing was being loaded, waited for the gate and ran on data that were about to
/// be replaced: acknowledged, and lost.
#[test]
fn a_request_that_waited_for_the_gate_hears_loading() {
    for requests in WRITES {
        let server = TestServer::start();
        let mut client = server.client();
        let inner = server.handle().server();
        send_before(&server, &mut client, requests, || inner.loading.begin(0));
        let heard = replies(&mut client, requests);
        assert!(heard.contains("LOADING "), "{requests}: {heard}");
        inner.loading.end();
        server.client().check("EXISTS n", ":0~");
        client.check("INCR n", ":1~");
    }
}

/// A write was judged before the pause of a failover, or of the end, began, waited for the gate and ran behind
/// the point up to which replicas were to have everything.
#[test]
fn a_write_that_waited_for_the_gate_hears_of_a_pause() {
    for requests in WRITES {
        let server = TestServer::start();
        let (mut client, mut other) = (server.client(), server.client());
        let inner = server.handle().server();
        let now_ms = inner.clock.now_ms();
        let pause = || inner.pause.start(Purpose::Client, Scope::Write, FOR_EVER_MS, now_ms);
        send_before(&server, &mut client, requests, pause);
        eventually("it waits for the end of the pause", || info(&mut other, "blocked_clients") == "1");
        other.check("EXISTS n", ":0~");
        other.check("CLIENT UNPAUSE", "+OK~");
        let heard = replies(&mut client, requests);
        let expected = [":1~", ":1~:2~$1~2~", "+OK~+QUEUED~*1~:1~", "*1~:1~"];
        assert!(expected.contains(&&*heard), "{requests}: {heard}");
    }
}

/// A write was judged on a primary, waited for the gate and ran on what had become a replica.
#[test]
fn a_write_that_waited_for_the_gate_is_refused_on_a_replica() {
    for requests in WRITES {
        let server = TestServer::start();
        let mut client = server.client();
        let inner = server.handle().server();
        let primary = Primary { host: "127.0.0.1".to_owned(), port: 1 };
        send_before(&server, &mut client, requests, || {
            let _stream = inner.following.hold_stream();
            assert!(inner.follow_primary(Some(primary)));
        });
        let heard = replies(&mut client, requests);
        assert!(heard.contains("READONLY ") && !heard.contains(":1~"), "{requests}: {heard}");
        server.client().check("REPLICAOF NO ONE", "+OK~");
        server.client().check("EXISTS n", ":0~");
    }
}
