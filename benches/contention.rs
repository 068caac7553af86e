//! What a request costs while another thread runs requests of the same kind: nothing at all, on other keys,
//! or on the same key.
//!
//! The difference between the first two is what workers take from each other without meeting (caches, memory,
//! counters); that to the third is what meeting in a slot costs.

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{Session, request};

const KEYS: usize = 100_000;
const PIPELINE: usize = 16;
const BATCHES: usize = 1024;

/// What the other thread does.
#[derive(Clone, Copy)]
enum Other {
    EmptyReply,
    Elsewhere,
    SameKey,
}

impl Other {
    const ALL: [(&'static str, Other); 3] =
        [("alone", Other::EmptyReply), ("other-keys", Other::Elsewhere), ("same-key", Other::SameKey)];
}

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

/// Batches of a command, on random keys of one half or on one key.
fn batches(command: &str, half: usize, one_key: bool) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(half as u64);
    let mut one = |_| {
        let key = key(if one_key { 0 } else { half * (KEYS / 2) + random.usize(..KEYS / 2) });
        match command {
            "get" => request(&["GET", &key]),
            _ => request(&["SET", &key, "a value of 32 bytes, about as long"]),
        }
    };
    (0..BATCHES).map(|_| (0..PIPELINE).flat_map(&mut one).collect()).collect()
}

fn contention(c: &mut Criterion) {
    let mut session = Session::new(2);
    // Each thread counts for itself, as the server's workers do.
    kvarts::worker::set_current(0);
    for number in 0..KEYS {
        session.run(&request(&["SET", &key(number), "a value of 32 bytes, about as long"]));
    }
    let mut group = c.benchmark_group("contention");
    for command in ["get", "set"] {
        for (name, other) in Other::ALL {
            let one_key = matches!(other, Other::SameKey);
            let own = batches(command, 0, one_key);
            let over = AtomicBool::new(false);
            let mut neighbour = Session::of(Arc::clone(&session.server));
            thread::scope(|scope| {
                if !matches!(other, Other::EmptyReply) {
                    let theirs = batches(command, 1, one_key);
                    let over = &over;
                    scope.spawn(move || {
                        kvarts::worker::set_current(1);
                        for batch in theirs.iter().cycle() {
                            if over.load(Ordering::Relaxed) {
                                break;
                            }
                            neighbour.run(black_box(batch));
                        }
                    });
                }
                let mut turn = 0;
                group.throughput(Throughput::Elements(PIPELINE as u64));
                group.bench_function(BenchmarkId::new(command, name), |bencher| {
                    bencher.iter(|| {
                        turn = (turn + 1) % own.len();
                        session.run(&own[turn]);
                    });
                });
                over.store(true, Ordering::Relaxed);
            });
        }
        // One key without anybody else, to hold the last against.
        let own = batches(command, 0, true);
        let mut turn = 0;
        group.bench_function(BenchmarkId::new(command, "one-key-alone"), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % own.len();
                session.run(&own[turn]);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, contention);
criterion_main!(benches);
