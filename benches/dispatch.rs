//! How fast batches run from bytes to replies, without sockets.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{Session, request};

/// Few enough to be filled quickly, enough to be out of the processor's caches.
const KEYS: usize = 500_000;

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

fn dispatch(c: &mut Criterion) {
    let mut session = Session::new(1);
    let value = "v".repeat(32);
    for number in 0..KEYS {
        session.run(&request(&["SET", &key(number), &value]));
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut group = c.benchmark_group("dispatch");
    for pipeline in [1, 16, 64] {
        for command in ["get", "set", "incr"] {
            // Many different batches, so that the same keys are not in the caches again.
            let batches: Vec<Vec<u8>> = (0..4096)
                .map(|_| {
                    let one = |_| {
                        let number = random.usize(..KEYS);
                        match command {
                            "get" => request(&["GET", &key(number)]),
                            "set" => request(&["SET", &key(number), &value]),
                            _ => request(&["INCR", &format!("counter:{}", number % 10_000)]),
                        }
                    };
                    (0..pipeline).flat_map(one).collect()
                })
                .collect();
            let mut turn = 0;
            group.throughput(Throughput::Elements(pipeline as u64));
            group.bench_function(BenchmarkId::new(command, pipeline), |bencher| {
                bencher.iter(|| {
                    turn = (turn + 1) % batches.len();
                    session.run(&batches[turn]);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
