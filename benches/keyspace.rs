//! Finding and writing records, with and without the batch's prefetch.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kvarts::keyspace::Keyspace;
use kvarts::keyspace::{prefetch, record::Record, table};

const KEYS: usize = 500_000;
const BATCH: usize = 16;

fn key(number: usize) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

fn filled() -> Keyspace {
    let keyspace = Keyspace::new(1, 1, 42);
    let database = keyspace.physical(0);
    for number in 0..KEYS {
        let bytes = key(number);
        let hashed = keyspace.hasher().key(&bytes);
        let record = Record::new_string(&bytes, &[b'v'; 32], None, false);
        database.insert(&mut database.write_slot(hashed.slot()), &hashed, record);
    }
    keyspace
}

fn keyspace(c: &mut Criterion) {
    let keyspace = filled();
    let database = keyspace.physical(0);
    let mut random = fastrand::Rng::with_seed(7);
    let batches: Vec<Vec<Vec<u8>>> =
        (0..4096).map(|_| (0..BATCH).map(|_| key(random.usize(..KEYS))).collect()).collect();
    let hasher = keyspace.hasher();
    let mut group = c.benchmark_group("keyspace");
    group.throughput(Throughput::Elements(BATCH as u64));

    group.bench_function("hash", |bencher| {
        let mut turn = 0;
        bencher.iter(|| {
            turn = (turn + 1) % batches.len();
            batches[turn].iter().fold(0, |sum, bytes| sum ^ hasher.hash(black_box(bytes)))
        });
    });
    for prefetched in [false, true] {
        let name = if prefetched { "read with prefetch" } else { "read" };
        group.bench_function(name, |bencher| {
            let mut turn = 0;
            bencher.iter(|| {
                turn = (turn + 1) % batches.len();
                let hashed: Vec<_> = batches[turn].iter().map(|bytes| hasher.key(bytes)).collect();
                if prefetched {
                    prefetch::batch(database, hashed.iter().map(|key| key.hash));
                }
                for key in &hashed {
                    let slot = database.read_slot(key.slot());
                    black_box(table::find(&slot, key).map(Record::value));
                }
            });
        });
    }
    group.bench_function("overwrite", |bencher| {
        let mut turn = 0;
        bencher.iter(|| {
            turn = (turn + 1) % batches.len();
            for bytes in &batches[turn] {
                let key = hasher.key(bytes);
                let mut slot = database.write_slot(key.slot());
                let at = table::locate(&slot, &key);
                let done = at.map(|at| table::at_mut(&mut slot, at).overwrite_string(&[b'w'; 32]));
                black_box(done);
            }
        });
    });
    group.bench_function("insert and remove", |bencher| {
        let mut number = KEYS;
        bencher.iter(|| {
            for _ in 0..BATCH {
                number += 1;
                let bytes = key(number);
                let hashed = hasher.key(&bytes);
                let mut slot = database.write_slot(hashed.slot());
                database.insert(&mut slot, &hashed, Record::new_string(&bytes, &[b'v'; 32], None, false));
                black_box(database.remove(&mut slot, &hashed));
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default();
    targets = keyspace
}
criterion_main!(benches);
