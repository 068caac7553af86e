//! Faults between processes: links through a proxy that delays, cuts and holds back bytes, replicas that are
//! stopped, a primary that is alone.

use std::time::Duration;

use kvarts::shared::clock::Clock;

use crate::chains::{Node, change, compare, found};
use crate::harness::*;
use crate::program::Program;
use crate::proxy::{Proxy, Way};

/// A replica that follows through a proxy, both with two seconds of patience.
fn follow_through_proxy(primary: &Node, replica: &Node) -> Proxy {
    let proxy = Proxy::before(primary.port());
    for node in [primary, replica] {
        node.client().check("CONFIG SET repl-timeout 2", "+OK~");
        node.client().check("CONFIG SET repl-ping-replica-period 1", "+OK~");
    }
    replica.client().check(&format!("REPLICAOF 127.0.0.1 {}", proxy.port), "+OK~");
    replica.wait_for_link();
    proxy
}

/// Delays, cuts at any byte and silence on either way or both for longer than `repl-timeout` cost a link, which
/// goes on without a copy when the network is whole, and no byte.
#[test]
fn links_outlive_delays_cuts_and_silence() {
    for programs in [["kvarts", "kvarts"], ["kvarts", "valkey-server"], ["valkey-server", "kvarts"]] {
        if found(&programs).len() < programs.len() {
            continue;
        }
        println!("{programs:?}");
        let [primary, replica] = programs.map(Node::of);
        let proxy = follow_through_proxy(&primary, &replica);
        let mut client = primary.client();
        let mut round = 0;
        let mut changes = |count: usize| {
            for _ in 0..count {
                round += 1;
                change(&mut client, round);
            }
        };
        changes(5);
        compare(&[&primary, &replica]);
        for held in [&[Way::Down][..], &[Way::Up], &[Way::Up, Way::Down]] {
            proxy.hold(held);
            changes(3);
            // Each side hears the other no more, or is told by the one that does not.
            let side = if held == [Way::Up] { &primary } else { &replica };
            let (field, down) = match held {
                [Way::Up] => ("connected_slaves", "0"),
                _ => ("master_link_status", "down"),
            };
            eventually("the silence is noticed", || side.info(field) == down);
            changes(3);
            proxy.hold(&[]);
            replica.wait_for_link();
            changes(3);
            compare(&[&primary, &replica]);
        }
        let went_on = || primary.info("sync_partial_ok").parse::<u64>().expect("a number");
        proxy.delay(Duration::from_millis(20));
        for bytes in [1, 700, 1013, 2048] {
            let before = went_on();
            proxy.cut_after(Some(bytes + 300));
            proxy.cut();
            changes(20);
            // A link of which so little passes may not come to its stream at all.
            proxy.cut_after(None);
            eventually("it goes on", || went_on() > before);
            changes(3);
        }
        proxy.delay(Duration::ZERO);
        replica.wait_for_link();
        compare(&[&primary, &replica]);
        assert_eq!(primary.info("sync_full"), "1", "no copy was needed");
    }
}

/// A replica that is stopped for longer than the backlog and the spill file reach is cut and begins with a copy;
/// one that is stopped for less goes on in the file, though its link has timed out.
#[test]
fn a_stopped_replica_comes_back() {
    for (spill_bytes, copies) in [("64mb", "1"), ("8mb", "2")] {
        let primary = TestServer::with_clock(
            &[
                ("repl-diskless-sync-delay", "0"),
                ("repl-backlog-size", "1mb"),
                ("repl-timeout", "2"),
                ("repl-spill-size", spill_bytes),
                ("client-output-buffer-limit", "replica 4mb 0 0"),
                ("enable-debug-command", "yes"),
            ],
            Clock::system(),
        );
        let replica = Program::start(&["--repl-timeout", "20", "--enable-debug-command", "yes"]);
        let port = primary.handle().ports().main;
        replica.client().check(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK~");
        let mut client = primary.client();
        client.check("SET before 1", "+OK~");
        eventually("it follows", || replica.client().raw("GET before") == "$1~1~");
        eventually("it has acknowledged", || primary.info("slave0").contains("lag=0"));
        replica.signal("STOP");
        let value = "v".repeat(256 << 10);
        for number in 0..160 {
            client.send(&encode(&["SET", &format!("key:{number}"), &value]));
            client.check_next("+OK~");
        }
        eventually("its link is given up", || primary.info("connected_slaves") == "0");
        client.check("SET after 1", "+OK~");
        replica.signal("CONT");
        eventually("it has everything", || {
            info(&mut replica.client(), "slave_repl_offset") == primary.info("master_repl_offset")
        });
        assert_eq!(replica.client().raw("DEBUG DIGEST"), client.raw("DEBUG DIGEST"), "{spill_bytes}");
        assert_eq!(primary.info("sync_full"), copies, "{spill_bytes}");
    }
}

/// A primary that hears of no replica takes no writes after `min-replicas-max-lag`, and takes them again when it
/// does; reads go on.
#[test]
fn a_split_primary_takes_no_writes() {
    for program in found(&["kvarts", "valkey-server"]) {
        let primary = Node::own(&[("min-replicas-to-write", "1"), ("min-replicas-max-lag", "1")]);
        let replica = Node::of(program);
        let proxy = Proxy::before(primary.port());
        replica.client().check(&format!("REPLICAOF 127.0.0.1 {}", proxy.port), "+OK~");
        let mut client = primary.client();
        let takes = |client: &mut Client, line: &str| match client.raw(line).as_str() {
            "+OK~" => true,
            "-NOREPLICAS Not enough good replicas to write.~" => false,
            other => panic!("{other}"),
        };
        eventually("writes are taken", || takes(&mut client, "SET k 1"));
        // The connections stay open: nothing but the silence tells.
        proxy.hold(&[Way::Up, Way::Down]);
        eventually("writes are refused", || !takes(&mut client, "SET k 2"));
        let held = client.raw("GET k");
        assert!(!takes(&mut client, "SET k 3"));
        client.check("GET k", &held);
        client.send(b"MULTI\r\nSET k 4\r\nEXEC\r\n");
        client.check_next("+OK~");
        assert!(client.read_raw().starts_with(b"-NOREPLICAS"));
        assert!(client.read_raw().starts_with(b"-EXECABORT"));
        proxy.hold(&[]);
        eventually("writes are taken again", || takes(&mut client, "SET k 5"));
        eventually("the replica has it", || replica.client().raw("GET k") == "$1~5~");
    }
}
