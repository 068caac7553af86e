//! When the append-only file is synced and rewritten, as its directives say, and what a power failure leaves
//! of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::aof_faults::{on_good_disk, server_with};
use crate::harness::*;

const STARTED: &str = "+Background append only file rewriting started~";

/// The file grows to twice its size and beyond the least one: it is rewritten without being asked, again when
/// it has doubled once more, and not at all with a percentage of 0.
#[test]
fn it_is_rewritten_when_it_has_grown() {
    let (server, _) = server_with(&[
        ("auto-aof-rewrite-percentage", "100"),
        ("auto-aof-rewrite-min-size", "100kb"),
        ("rdbcompression", "no"),
    ]);
    let mut client = server.client();
    let value = "x".repeat(60_000);
    let number = |field: &str| server.info(field).parse::<u64>().expect("a number");
    let rewrites_end = |count| {
        eventually("a rewrite", || {
            number("aof_rewrites") == count && server.info("aof_rewrite_in_progress") == "0"
        });
    };
    for key in ["a", "b"] {
        client.call(&["SET", key, &value]);
    }
    rewrites_end(1);
    assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
    let base = number("aof_base_size");
    assert!((120_000..130_000).contains(&base), "{base}: two values without what surrounds them");
    assert_eq!(number("aof_current_size"), base);
    // The same key again and again: the data stay as large as they are.
    client.call(&["SET", "a", &value]);
    client.call(&["SET", "a", &value]);
    client.call(&["SET", "a", &value]);
    rewrites_end(2);
    assert!((120_000..130_000).contains(&number("aof_base_size")), "{}", number("aof_base_size"));
    client.check("CONFIG SET auto-aof-rewrite-percentage 0", "+OK~");
    for _ in 0..10 {
        client.call(&["SET", "a", &value]);
    }
    client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
    assert!(number("aof_current_size") > 5 * base, "all of it is written");
    client.check("CONFIG SET auto-aof-rewrite-percentage 100", "+OK~");
    rewrites_end(3);
}

fn names(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("appendonlydir/appendonly.aof.manifest")).expect("a manifest")
}

/// `no-appendfsync-on-rewrite yes` leaves the disk to a rewrite: nothing is synced while it runs, and replies
/// of `always` do not wait; all is synced when it has ended. Without it syncs go on.
#[test]
fn a_rewrite_may_have_the_disk_for_itself() {
    for spares in ["yes", "no"] {
        let (server, faults) =
            server_with(&[("appendfsync", "always"), ("no-appendfsync-on-rewrite", spares)]);
        let mut client = server.client();
        client.check("MSET a 1 b 1", "+OK~");
        client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
        client.check("BGREWRITEAOF", STARTED);
        eventually("the next file begins", || names(server.dir()).contains(".2.incr.aof"));
        let file = "appendonly.aof.2.incr.aof";
        let before = faults.syncs_of(file);
        for round in 0..5 {
            client.check(&format!("SET c {round}"), "+OK~");
        }
        let during = faults.syncs_of(file) - before;
        assert_eq!(during, if spares == "yes" { 0 } else { 5 }, "{spares}");
        client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
        eventually("it ends", || server.info("aof_rewrite_in_progress") == "0");
        client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
        assert!(faults.syncs_of(file) > before, "what was spared is synced afterwards");
        let server = on_good_disk(faults.cut_power(server.dir()));
        server.client().check("MGET a b c", "*3~$1~1~$1~1~$1~4~");
    }
}

/// `aof-rewrite-incremental-fsync` syncs a base every few megabytes while it is written, not only at its end.
#[test]
fn a_base_is_synced_bit_by_bit() {
    for (bit_by_bit, syncs) in [("yes", 2..100), ("no", 1..2)] {
        let (server, faults) = server_with(&[
            ("aof-rewrite-incremental-fsync", bit_by_bit),
            ("rdbcompression", "no"),
            ("auto-aof-rewrite-percentage", "0"),
            ("enable-debug-command", "yes"),
        ]);
        let mut client = server.client();
        client.check("DEBUG POPULATE 20 key 1000000", "+OK~");
        client.check("BGREWRITEAOF", STARTED);
        eventually("it ends", || {
            server.info("aof_rewrites") == "1" && server.info("aof_rewrite_in_progress") == "0"
        });
        let count = faults.syncs_of("appendonly.aof.2.base.rdb");
        assert!(syncs.contains(&count), "{count} syncs with {bit_by_bit}");
    }
}

/// A disk that takes seconds for a sync keeps no client of `everysec` waiting; `aof_delayed_fsync` counts it.
#[test]
fn a_slow_sync_is_counted_and_nobody_waits() {
    let (server, faults) = server_with(&[("appendfsync", "everysec")]);
    let mut client = server.client();
    assert_eq!(server.info("aof_delayed_fsync"), "0");
    faults.holds_syncs.store(true, SeqCst);
    let mut round = 0;
    eventually("it is counted", || {
        round += 1;
        client.check(&format!("SET a {round}"), "+OK~");
        server.info("aof_delayed_fsync") != "0"
    });
    assert_eq!(server.info("aof_pending_bio_fsync"), "1");
    assert_eq!(server.info("aof_last_write_status"), "ok");
    faults.holds_syncs.store(false, SeqCst);
    client.check("WAITAOF 1 0 20000", "*2~:1~:0~");
    eventually("no sync is under way", || server.info("aof_pending_bio_fsync") == "0");
    let server = on_good_disk(faults.cut_power(server.dir()));
    server.client().check("GET a", &format!("${}~{round}~", round.to_string().len()));
}

/// The power fails while two clients write and the file is rewritten again and again: with `always`
/// everything acknowledged is there, with `everysec` all but the last two seconds.
#[test]
fn a_power_failure_takes_what_was_not_synced() {
    const CLIENTS: usize = 2;
    for (fsync, lost) in [("always", Duration::ZERO), ("everysec", Duration::from_secs(2))] {
        let (server, faults) = server_with(&[("appendfsync", fsync)]);
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (mut client, stop) = (server.client(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    // When which number was acknowledged.
                    let mut ledger = Vec::new();
                    for round in 1_u64.. {
                        client.send(&encode(&["SET", &format!("key-{number}"), &round.to_string()]));
                        // Behind the end of the power no reply is to be relied on.
                        if client.read_raw() != b"+OK\r\n" || stop.load(SeqCst) {
                            break;
                        }
                        ledger.push((Instant::now(), round));
                    }
                    ledger
                })
            })
            .collect();
        let mut client = server.client();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(3500) {
            drop(client.raw("BGREWRITEAOF"));
            std::thread::sleep(Duration::from_millis(50));
        }
        let cut_at = Instant::now();
        stop.store(true, SeqCst);
        let after = on_good_disk(faults.cut_power(server.dir()));
        // Replies that wait for the disk come when it works again.
        faults.left.store(-1, SeqCst);
        for (number, thread) in threads.into_iter().enumerate() {
            let ledger = thread.join().expect("no panic");
            let safe =
                ledger.iter().rev().find(|(at, _)| *at + lost <= cut_at).map_or(0, |(_, round)| *round);
            assert!(safe > 0, "the client wrote for a while");
            let found = after.client().value(&format!("GET key-{number}")).text();
            let found: u64 = found.parse().expect("a number");
            assert!(found >= safe, "{fsync}: {found} is there, {safe} was acknowledged");
        }
    }
}

/// A file that is switched on is called begun when it holds, synced, all that was acknowledged until then:
/// replies do not wait for it before. Here the sync of the changes takes long, and then the power fails.
#[test]
fn a_file_that_is_called_begun_holds_what_was_acknowledged() {
    let (server, faults) = server_with(&[("appendfsync", "always")]);
    let (mut client, mut writer) = (server.client(), server.client());
    client.check("CONFIG SET appendonly no", "+OK~");
    eventually("nobody listens", || !server.handle().server().journal().is_heard());
    client.check("SET early 1", "+OK~");
    faults.holds_syncs_of_changes.store(true, SeqCst);
    client.check("CONFIG SET rdb-key-save-delay 10000000", "+OK~");
    client.check("CONFIG SET appendonly yes", "+OK~");
    eventually("its changes are kept", || server.handle().server().journal().is_heard());
    (1..=50).for_each(|count| writer.check("INCR n", &format!(":{count}~")));
    client.check("CONFIG SET rdb-key-save-delay 0", "+OK~");
    let manifest = server.dir().join("appendonlydir/appendonly.aof.manifest");
    eventually("the base is there", || {
        std::fs::read_to_string(&manifest).is_ok_and(|text| text.contains("appendonly.aof.2.base"))
    });
    let begins: Vec<String> = (0..100).map(|_| info(&mut client, "aof_rewrite_in_progress")).collect();
    faults.holds_syncs_of_changes.store(false, SeqCst);
    assert!(begins.iter().all(|begins| begins == "1"), "the changes are not there yet");
    eventually("it has begun", || server.info("aof_rewrite_in_progress") == "0");
    let after = on_good_disk(faults.cut_power(server.dir()));
    after.client().check("MGET early n", "*2~$1~1~$2~50~");
    faults.left.store(-1, SeqCst);
}

/// The writer read the journal until nothing was left. Where changes came as quickly as it wrote them there
/// always was something, so nothing was synced, for as long as the load lasted.
#[test]
fn syncs_do_not_wait_for_a_pause_in_the_load() {
    let (server, faults) = server_with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("SET first 1", "+OK~");
    client.check("WAITAOF 1 0 0", "*2~:1~:0~");
    client.check("DEBUG AOF-FLUSH-SLEEP 20000", "+OK~");
    let (is_over, before) = (AtomicBool::new(false), faults.syncs_of(".incr.aof"));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = server.client();
            while !is_over.load(SeqCst) {
                client.check("SET k v", "+OK~");
            }
        });
        let synced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("two syncs under load", || faults.syncs_of(".incr.aof") >= before + 2);
        }));
        is_over.store(true, SeqCst);
        load.join().expect("the load goes on");
        assert!(synced.is_ok(), "nothing was synced under load");
    });
}

/// A client that closes its side behind a pipeline gets all replies, with `always` as without: what it had sent is run.
#[test]
fn a_pipeline_runs_to_its_end_when_the_client_sends_nothing_more() {
    const REQUESTS: usize = 30_000;
    for policy in ["no", "always"] {
        let server = TestServer::with(&[("appendonly", "yes"), ("appendfsync", policy)]);
        let mut client = server.client();
        let mut stream = client.tcp_stream().try_clone().expect("a second handle");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let request = |number: usize| encode(&["SET", &format!("key:{number}"), "v"]);
                let pipeline: Vec<u8> = (0..REQUESTS).flat_map(request).collect();
                std::io::Write::write_all(&mut stream, &pipeline).expect("the server reads");
                stream.shutdown(std::net::Shutdown::Write).expect("open");
            });
            (0..REQUESTS)
                .for_each(|number| assert_eq!(show(&client.read_raw()), "+OK~", "{policy}, {number}"));
            client.expect_closed();
        });
        server.client().check("DBSIZE", &format!(":{REQUESTS}~"));
    }
}
