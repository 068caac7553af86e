//! How fast batches run from bytes to replies, without sockets.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kvarts::config::Config;
use kvarts::resp::decode::{Decoder, Limits};
use kvarts::server::Server;
use kvarts::server::client::{Client, Door};
use kvarts::server::clock::Clock;
use kvarts::server::dispatch::Scratch;

/// Few enough to be filled quickly, enough to be out of the processor's caches.
const KEYS: usize = 500_000;

const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true };

/// A server and one client of it, as a connection has them.
struct Session {
    server: Server,
    client: Client,
    scratch: Scratch,
    decoder: Decoder,
    out: Vec<u8>,
}

impl Session {
    fn new() -> Self {
        let server = Server::new(Arc::new(Config::new()), Clock::system(), 1);
        let client = server.new_client("127.0.0.1:1".into(), None, 0, Door::Main);
        Self { server, client, scratch: Scratch::default(), decoder: Decoder::new(), out: Vec::new() }
    }

    fn run(&mut self, mut bytes: &[u8]) {
        self.out.clear();
        while !bytes.is_empty() {
            let count = self.decoder.decode(bytes, LIMITS).expect("no wrong request");
            let end = self.server.run_batch(
                &mut self.client,
                &mut self.scratch,
                &self.decoder,
                bytes,
                count,
                &mut self.out,
            );
            bytes = &bytes[self.decoder.consume(end.executed)..];
        }
        black_box(&self.out);
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

fn dispatch(c: &mut Criterion) {
    let mut session = Session::new();
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
