use std::collections::HashSet;

use super::*;
use crate::keyspace::key_hash::KeyHasher;

fn string(key: &[u8], bytes: usize) -> crate::keyspace::record::RecordBox {
    Record::new_string(key, &vec![b'v'; bytes], None, false)
}

/// Keys with strings of so many bytes, of which no more is kept than a count.
struct Strings {
    sizes: Sizes,
    hasher: KeyHasher,
}

impl Strings {
    fn new(seed: u64) -> Self {
        let sizes = Sizes::default();
        sizes.switch_on();
        Self { sizes, hasher: KeyHasher::with_seed(seed) }
    }

    /// Returns the bytes of its record.
    fn put(&self, key: &[u8], bytes: usize) -> u64 {
        let (record, hash) = (string(key, bytes), self.hasher.hash(key));
        if self.sizes.wants(hash, &record) {
            self.sizes.note(0, hash, &record);
        }
        record.memory_bytes() as u64
    }

    fn remove(&self, key: &[u8], bytes: usize) {
        self.sizes.forget(0, self.hasher.hash(key), &string(key, bytes));
    }

    /// Keys and bytes as estimated, with their standard errors.
    fn told(&self) -> (f64, f64, f64, f64) {
        let (mut keys, mut bytes, mut keys_variance, mut bytes_variance) = (0.0, 0.0, 0.0, 0.0);
        self.sizes.for_each(|_, _, size, Weighed(stands_for)| {
            let (weight, size) = (stands_for as f64, size.bytes as f64);
            keys += weight;
            bytes += weight * size;
            if stands_for > 0 {
                keys_variance += weight * (weight - 1.0);
                bytes_variance += weight * (weight - 1.0) * size * size;
            }
        });
        (keys, keys_variance.sqrt(), bytes, bytes_variance.sqrt())
    }

    fn check(&self, keys: u64, bytes: u64) {
        let (told_keys, keys_error, told_bytes, bytes_error) = self.told();
        assert!((told_keys - keys as f64).abs() <= 4.0 * keys_error, "{told_keys} ({keys_error}) {keys}");
        assert!(
            (told_bytes - bytes as f64).abs() <= 4.0 * bytes_error,
            "{told_bytes} ({bytes_error}) {bytes}"
        );
    }

    fn known(&self) -> usize {
        let mut known = 0;
        self.sizes.for_each(|_, _, _, _| known += 1);
        known
    }

    /// A walk through the keys that there are.
    fn fill<'k>(&self, keys: impl Iterator<Item = (&'k [u8], usize)>) {
        assert!(self.sizes.is_thin.load(Ordering::Relaxed));
        self.sizes.begin_fill();
        for (key, bytes) in keys {
            self.put(key, bytes);
        }
        self.sizes.end_fill();
    }
}

/// Up to 65,536 keys all are known: the sample was halved from 59,000 on, where one part of it was full.
#[test]
fn few_keys_are_known_exactly() {
    for seed in 0..6 {
        let strings = Strings::new(seed);
        let mut bytes = 0;
        for number in 0..65_536_usize {
            bytes += strings.put(format!("p:{number}").as_bytes(), number % 50);
        }
        assert_eq!(strings.told(), (65_536.0, 0.0, bytes as f64, 0.0), "{seed}");
    }
}

/// However many keys there are, no more than the sample are known, and it stands for all of them.
#[test]
fn the_sample_is_bounded_and_right() {
    let strings = Strings::new(3);
    let key = |number: u32| format!("p{}:{number}", number % 1000);
    let each = (0..1_000_000).map(|number| strings.put(key(number).as_bytes(), 10));
    let bytes: u64 = each.sum();
    let known = strings.known();
    assert!((SHARDS * SAMPLED_MAX / 3..=SHARDS * SAMPLED_MAX).contains(&known), "{known}");
    strings.check(1_000_000, bytes);
    // What goes is forgotten: the rest is half of what there was.
    (0..500_000).for_each(|number| strings.remove(key(number).as_bytes(), 10));
    strings.check(500_000, bytes / 2);
    let full = strings.sizes.memory_bytes();
    assert!(full > known / 2 * 100, "{full}");
    strings.sizes.forget_database(1);
    assert!(strings.sizes.memory_bytes() > full / 2, "the other database is there");
    strings.sizes.forget_database(0);
    assert_eq!((strings.known(), strings.sizes.memory_bytes()), (0, 0), "all is given back");
}

/// Sizes of which a few are most of all: what is told is within its error, and the error is small. The largest
/// were counted as often as others, or not at all.
#[test]
fn heavy_tails() {
    let mut rng = fastrand::Rng::with_seed(9);
    for (seed, worst) in [(1, 500_000_000_usize), (2, 50_000_000), (3, 0), (4, 0)] {
        let strings = Strings::new(seed);
        let mut bytes = 0;
        let mut keys = 0_u32;
        for large in [worst, worst / 3, worst / 2].into_iter().filter(|large| *large > 0) {
            bytes += strings.put(format!("large:{large}").as_bytes(), large);
            keys += 1;
        }
        while keys < 400_000 {
            // Zipf's law for sizes: up to a megabyte.
            let size = if seed == 4 { 2000 } else { (20.0 / (rng.f64() + 2e-5)) as usize };
            bytes += strings.put(format!("k:{keys}").as_bytes(), size);
            keys += 1;
        }
        strings.check(keys.into(), bytes);
        let (_, _, _, error) = strings.told();
        assert!(error < 0.02 * bytes as f64, "{error} {bytes}");
        assert!(strings.known() <= SHARDS * (SAMPLED_MAX + 256));
    }
}

#[test]
fn the_biggest_keys_are_known() {
    let strings = Strings::new(4);
    for (shard, shift) in strings.sizes.shards.iter().zip(strings.sizes.shifts.iter()) {
        shard.lock().sample_one_of(20);
        shift.store(20, Ordering::Relaxed);
    }
    for number in 0..20_000_usize {
        strings.put(&number.to_be_bytes(), 2000 + number);
    }
    let mut found = Vec::new();
    strings.sizes.for_each(|key, _, size, _| {
        found.push((size.bytes, usize::from_be_bytes(key.try_into().expect("eight"))));
    });
    assert!(found.len() <= SHARDS * 256, "{}", found.len());
    found.sort_unstable();
    let top: Vec<usize> = found.iter().rev().take(500).map(|(_, number)| *number).collect();
    assert_eq!(top, (19_500..20_000).rev().collect::<Vec<_>>());
    let (bytes, _) = strings.sizes.floors();
    let above = found.iter().filter(|(size, _)| *size >= bytes).count();
    let expected =
        (0..20_000_usize).filter(|number| string(&[0; 8], 2000 + number).memory_bytes() as u64 >= bytes);
    assert_eq!(above, expected.count(), "each from the floor on is known");
}

/// Floors do not sink without a walk: keys below them are there and not known.
#[test]
fn floors_stay_where_they_are() {
    let strings = Strings::new(5);
    let key = |number: u32| format!("k:{number}");
    let each = (0..300_000).map(|number| strings.put(key(number).as_bytes(), 2000));
    let bytes: u64 = each.sum();
    let (floor, _) = strings.sizes.floors();
    assert!(floor > 2000);
    (0..3_000).for_each(|number| strings.remove(key(number).as_bytes(), 2000));
    assert_eq!(strings.sizes.floors().0, floor);
    strings.check(297_000, bytes / 100 * 99);
}

/// An expiry makes a key larger by its bytes: one that is just big by it was known for ever.
#[test]
fn keys_that_are_nearly_big_are_forgotten() {
    let strings = Strings::new(6);
    strings.sizes.shards.iter().for_each(|shard| shard.lock().sample_one_of(20));
    strings.sizes.shifts.iter().for_each(|shift| shift.store(20, Ordering::Relaxed));
    for length in 900..1100 {
        let key = length.to_string();
        let hash = strings.hasher.hash(key.as_bytes());
        let volatile = Record::new_string(key.as_bytes(), &vec![b'v'; length], Some(1), false);
        assert!(strings.sizes.wants(hash, &volatile));
        strings.sizes.note(0, hash, &volatile);
        let plain = string(key.as_bytes(), length);
        strings.sizes.note(0, hash, &plain);
        let is_big = plain.memory_bytes() as u64 >= BIG_BYTES;
        assert_eq!(strings.known(), usize::from(is_big), "{length}");
        strings.remove(key.as_bytes(), length);
        assert_eq!(strings.known(), 0, "{length}");
    }
}

/// Once keys have gone, a walk has all of the others known again.
#[test]
fn a_thin_sample_is_filled() {
    let strings = Strings::new(7);
    let mut rng = fastrand::Rng::with_seed(7);
    let all: Vec<(String, usize)> = (0..300_000)
        .map(|number| (format!("k:{number}"), if number % 10 == 0 { rng.usize(1000..9000) } else { 10 }))
        .collect();
    for (key, bytes) in &all {
        strings.put(key.as_bytes(), *bytes);
    }
    assert!(!strings.sizes.is_thin.load(Ordering::Relaxed));
    let before = strings.sizes.floors();
    let (gone, left) = all.split_at(250_000);
    gone.iter().for_each(|(key, bytes)| strings.remove(key.as_bytes(), *bytes));
    let walk = || left.iter().map(|(key, bytes)| (key.as_bytes(), *bytes));
    strings.fill(walk());
    let bytes: u64 =
        left.iter().map(|(key, bytes)| string(key.as_bytes(), *bytes).memory_bytes() as u64).sum();
    assert_eq!(strings.told(), (50_000.0, 0.0, bytes as f64, 0.0));
    assert!(strings.sizes.floors() < before);
    let mut known = HashSet::new();
    strings.sizes.for_each(|key, _, _, _| {
        known.insert(Box::<[u8]>::from(key));
    });
    assert!(left.iter().all(|(key, _)| known.contains(key.as_bytes())));
    assert!(strings.sizes.shards.iter().all(|shard| !shard.lock().is_thin()), "one walk is enough");
}
