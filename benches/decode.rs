//! How fast requests are found in bytes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kvarts::resp::decode::{Decoder, Limits};

const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true };

/// So many requests one behind the other.
fn requests(count: usize, words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    bytes
}

/// Decodes all and answers how many requests there were.
fn decode_all(decoder: &mut Decoder, mut bytes: &[u8]) -> usize {
    let mut total = 0;
    while !bytes.is_empty() {
        let count = decoder.decode(bytes, LIMITS).expect("no wrong request");
        let mut arguments = Vec::with_capacity(64);
        for index in 0..count {
            decoder.arguments(bytes, index, &mut arguments);
        }
        black_box(&arguments);
        drop(arguments);
        total += count;
        bytes = &bytes[decoder.consume(count)..];
    }
    total
}

fn decode(c: &mut Criterion) {
    let value = "v".repeat(32);
    let mut group = c.benchmark_group("decode");
    let cases: [(&str, Vec<&str>); 3] = [
        ("get", vec!["GET", "key:000000012345"]),
        ("set", vec!["SET", "key:000000012345", &value]),
        ("mset10", std::iter::once("MSET").chain(std::iter::repeat_n("key:000000012345", 20)).collect()),
    ];
    for (name, words) in cases {
        for pipeline in [1, 16] {
            let bytes = requests(pipeline, &words);
            group.throughput(Throughput::Elements(pipeline as u64));
            group.bench_with_input(BenchmarkId::new(name, pipeline), &bytes, |bencher, bytes| {
                let mut decoder = Decoder::new();
                bencher.iter(|| decode_all(&mut decoder, black_box(bytes)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
