//! What is known of keys by their sizes (`key-sizes`), put together: the largest of them, and sums by prefix.
//! KVARTS BIGKEYS and KVARTS PREFIXES answer with it; Prometheus and the doctors are given a short report that
//! is kept for some seconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use memchr::memmem;
use parking_lot::Mutex;

use super::Server;
use crate::acl::readable::ReadableKeys;
use crate::keyspace::share::Shares;
use crate::keyspace::sizes::{KEY_MAX, KeySize, Sizes, Weighed};
use crate::keyspace::value::Object;

/// Keys and prefixes of a report.
const KEYS: usize = 10;
const PREFIXES: usize = 20;

/// The type that has no elements.
const STRING: &str = Object::TYPE_NAMES[0];

/// A key that is large.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BigKey {
    /// What MEMORY USAGE answers.
    pub bytes: u64,
    /// Elements of a collection; 1 for a string.
    pub elements: u64,
    /// Its bytes; of a long one the beginning.
    pub key: Box<[u8]>,
    /// Number of its database.
    pub number: usize,
    /// The word that TYPE answers.
    pub type_name: &'static str,
}

/// Sums over the keys with one prefix, and the variances of those that are estimates.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// How many there are.
    pub keys: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Accesses a second.
    pub accesses: f64,
    /// Expired keys a second.
    pub expired: f64,
    keys_variance: f64,
    bytes_variance: f64,
}

impl Sums {
    /// Adds a key that stands for so many, itself among them.
    fn add(&mut self, bytes: u64, stands_for: u64) {
        self.keys += stands_for;
        self.bytes = self.bytes.saturating_add(bytes.saturating_mul(stands_for));
        // One key in `stands_for` is known, each with the same chance: what is told of all of them varies so.
        let variance = (stands_for * (stands_for - 1)) as f64;
        self.keys_variance += variance;
        self.bytes_variance += variance * (bytes as f64).powi(2);
    }

    /// Standard error of the number of keys; 0 where all are known.
    pub fn keys_error(&self) -> u64 {
        self.keys_variance.sqrt().ceil() as u64
    }

    /// Standard error of the bytes.
    pub fn bytes_error(&self) -> u64 {
        self.bytes_variance.sqrt().ceil() as u64
    }
}

/// Sums by prefix.
pub type Prefixes = HashMap<Box<[u8]>, Sums, foldhash::fast::RandomState>;

/// A prefix with what all keys have that begin with it.
#[derive(Clone, Debug)]
pub struct PrefixUse {
    /// The prefix with its separator.
    pub prefix: Box<[u8]>,
    /// Number of the database.
    pub number: usize,
    /// What is told of its keys.
    pub sums: Sums,
}

/// The largest keys and prefixes of all databases.
#[derive(Clone, Debug, Default)]
pub struct KeyReport {
    /// When it was made, in milliseconds of Unix time.
    pub at_ms: u64,
    /// The keys with most bytes, the largest first.
    pub by_bytes: Vec<BigKey>,
    /// The keys with most elements.
    pub by_elements: Vec<BigKey>,
    /// The prefixes (up to the first `:`) whose keys have most bytes.
    pub prefixes: Vec<PrefixUse>,
}

/// The latest report.
#[derive(Debug, Default)]
pub struct KeyReports(Mutex<Option<Arc<KeyReport>>>);

/// The greatest keys by one measure, as many as are wanted.
struct Top {
    most: usize,
    keys: BinaryHeap<Reverse<(u64, BigKey)>>,
}

impl Top {
    fn new(most: usize) -> Self {
        Self { most, keys: BinaryHeap::new() }
    }

    fn is_full(&self) -> bool {
        self.keys.len() >= self.most
    }

    fn takes(&self, measure: u64) -> bool {
        !self.is_full() || self.keys.peek().is_some_and(|Reverse((least, _))| *least < measure)
    }

    fn offer(&mut self, measure: u64, key: &[u8], number: usize, size: &KeySize) {
        if !self.takes(measure) {
            return;
        }
        let is_full = self.is_full();
        let &KeySize { bytes, elements, type_name, .. } = size;
        self.keys.push(Reverse((measure, BigKey { bytes, elements, key: key.into(), number, type_name })));
        if is_full {
            self.keys.pop();
        }
    }

    fn sorted(self) -> Vec<BigKey> {
        self.keys.into_sorted_vec().into_iter().map(|Reverse((_, big))| big).collect()
    }
}

/// Whether a key may be told of to somebody who may read those. One that may be known by its beginning alone is only
/// told of to who may read all keys.
pub fn may_be_told(readable: &ReadableKeys, number: usize, key: &[u8]) -> bool {
    readable.are_all() || key.len() < KEY_MAX && readable.has(Some(number), key)
}

/// The largest keys by bytes and by elements, `count` of each, of those that are `wanted`, which is asked only of keys
/// that are large enough. Strings have no elements. `shares` are those of the databases, and `numbers` their numbers by
/// their physical ones.
pub fn big_keys(
    sizes: &Sizes,
    shares: &Shares,
    numbers: &HashMap<u16, usize>,
    count: usize,
    wanted: impl Fn(usize, &[u8], &KeySize) -> bool,
) -> (Vec<BigKey>, Vec<BigKey>) {
    let (mut by_bytes, mut by_elements) = (Top::new(count), Top::new(count));
    sizes.for_each(|key, hash, size, _| {
        let Some(&number) = numbers.get(&size.physical) else { return };
        let bytes = size.bytes + shares.bytes(size.physical, hash, size.ends);
        let size = &KeySize { bytes, ..*size };
        let has_elements = size.type_name != STRING && by_elements.takes(size.elements);
        if !has_elements && !by_bytes.takes(bytes) || !wanted(number, key, size) {
            return;
        }
        by_bytes.offer(bytes, key, number, size);
        if has_elements {
            by_elements.offer(size.elements, key, number, size);
        }
    });
    (by_bytes.sorted(), by_elements.sorted())
}

/// The beginning of a key up to and with its `depth`th separator; with fewer of them up to the last one.
fn prefix_of<'k>(key: &'k [u8], separator: &memmem::Finder<'_>, depth: usize) -> &'k [u8] {
    let ends = separator.find_iter(key).take(depth).map(|at| at + separator.needle().len());
    &key[..ends.last().unwrap_or(0)]
}

fn add(all: &mut Prefixes, prefix: &[u8], change: impl FnOnce(&mut Sums)) {
    match all.get_mut(prefix) {
        Some(sums) => change(sums),
        None => change(all.entry(prefix.into()).or_default()),
    }
}

impl Server {
    /// Adds up by prefix what is known of these databases, of the keys that are `wanted`; `numbers` as in [`big_keys`].
    pub fn prefix_sums(
        &self,
        numbers: &HashMap<u16, usize>,
        (separator, depth): (&[u8], usize),
        now_ms: u64,
        wanted: impl Fn(usize, &[u8]) -> bool,
    ) -> HashMap<usize, Prefixes> {
        let separator = memmem::Finder::new(separator);
        let sizes = &self.keyspace.sizes;
        let shares = Shares::look(&self.keyspace, numbers.keys().copied());
        let mut all: HashMap<usize, Prefixes> =
            numbers.values().map(|number| (*number, Prefixes::default())).collect();
        sizes.for_each(|key, hash, size, Weighed(stands_for)| {
            let Some(&number) = numbers.get(&size.physical) else { return };
            if stands_for > 0
                && let Some(sums) = all.get_mut(&number)
                && wanted(number, key)
            {
                let bytes = size.bytes + shares.bytes(size.physical, hash, size.ends);
                add(sums, prefix_of(key, &separator, depth), |sums| sums.add(bytes, stands_for));
            }
        });
        for (number, sums) in &mut all {
            self.hot_keys.recent.for_each(*number, now_ms, |key, rate| {
                if wanted(*number, key) {
                    add(sums, prefix_of(key, &separator, depth), |sums| sums.accesses += rate);
                }
            });
            sizes.expired.for_each(*number, now_ms, |key, rate| {
                if wanted(*number, key) {
                    add(sums, prefix_of(key, &separator, depth), |sums| sums.expired += rate);
                }
            });
            // They are sums of fractions. What is none of anything is not told.
            sums.retain(|_, sums| {
                (sums.accesses, sums.expired) = (sums.accesses.round(), sums.expired.round());
                sums.keys > 0 || sums.accesses > 0.0 || sums.expired > 0.0
            });
        }
        all
    }

    /// The largest keys and prefixes, of a report no older than this; an older one while somebody is alone in
    /// the keyspace. `None` where sizes are not kept. No lock of the keyspace is held for long, none is waited
    /// for, and none may be held by the caller but alone in the keyspace.
    pub fn key_report(&self, age_max_ms: u64) -> Option<Arc<KeyReport>> {
        if !self.keyspace.sizes.are_known() {
            // One of before they were switched off tells nothing of what is now.
            *self.key_reports.0.lock() = None;
            return None;
        }
        let now_ms = self.clock.now_ms();
        let mut latest = self.key_reports.0.lock();
        let is_fresh = |report: &Arc<KeyReport>| now_ms.abs_diff(report.at_ms) < age_max_ms;
        if !latest.as_ref().is_some_and(is_fresh)
            && let Some(numbers) = self.numbers_of_databases()
        {
            self.keyspace.measure_stale();
            *latest = Some(Arc::new(self.new_report(&numbers, now_ms)));
        }
        latest.clone()
    }

    /// The numbers of the databases by their physical ones; `None` while somebody is alone in the keyspace.
    fn numbers_of_databases(&self) -> Option<HashMap<u16, usize>> {
        let mapping = self.keyspace.gate.try_shared(crate::worker::current())?;
        let all = 0..self.keyspace.database_count();
        let number = |number: usize| {
            let database = self.keyspace.physical_if_used(mapping[number])?;
            Some((database.physical_number(), number))
        };
        Some(all.filter_map(number).collect())
    }

    fn new_report(&self, numbers: &HashMap<u16, usize>, now_ms: u64) -> KeyReport {
        let sizes = &self.keyspace.sizes;
        let shares = Shares::look(&self.keyspace, numbers.keys().copied());
        let (by_bytes, by_elements) = big_keys(sizes, &shares, numbers, KEYS, |_, _, _| true);
        let mut prefixes = Vec::new();
        for (number, sums) in self.prefix_sums(numbers, (b":", 1), now_ms, |_, _| true) {
            prefixes.extend(sums.into_iter().map(|(prefix, sums)| PrefixUse { prefix, number, sums }));
        }
        prefixes.sort_unstable_by(|first, second| {
            let by_bytes = second.sums.bytes.cmp(&first.sums.bytes);
            by_bytes.then_with(|| (first.number, &first.prefix).cmp(&(second.number, &second.prefix)))
        });
        prefixes.truncate(PREFIXES);
        KeyReport { at_ms: now_ms, by_bytes, by_elements, prefixes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_behind_separators() {
        let of = |key: &'static str, separator: &str, depth| {
            let finder = memmem::Finder::new(separator);
            std::str::from_utf8(prefix_of(key.as_bytes(), &finder, depth)).expect("text").to_owned()
        };
        assert_eq!(of("user:12:name", ":", 1), "user:");
        assert_eq!(of("user:12:name", ":", 2), "user:12:");
        assert_eq!(of("user:12:name", ":", 9), "user:12:");
        assert_eq!((of("user", ":", 1), of("", ":", 3)), (String::new(), String::new()));
        assert_eq!((of("a--b--c", "--", 2), of("::x", ":", 1)), ("a--b--".to_owned(), ":".to_owned()));
    }
}
