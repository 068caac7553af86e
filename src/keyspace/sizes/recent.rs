//! [`Recent`]: what happened to keys in the last seconds: how often in all, and to which keys, from a sample.

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::KEY_MAX;

/// Events of a second that each worker keeps with their keys. Of what happened in a second the share of some keys is
/// known with a standard error of a fortieth at most (half the root of 1 / 400).
const KEPT: usize = 400;

/// How long ago an event may be, in milliseconds, for it to count.
pub const RECENT_MS: u64 = 10_000;

/// Seconds of which something counts: the first and the last one in part.
const SECONDS: usize = RECENT_MS as usize / 1000 + 1;

#[derive(Debug)]
struct Event {
    at_ms: u64,
    /// How many events it stands for.
    stands_for: f64,
    database: u16,
    key: Box<[u8]>,
}

/// What happened in one second: a sample of it in which each event is with the same chance, and what it is a sample of.
#[derive(Debug, Default)]
struct Second {
    /// Which one, of Unix time.
    number: u64,
    /// Events that were noted.
    noted: usize,
    /// How many they stand for.
    all: f64,
    /// How many those stand for that are kept.
    known: f64,
    kept: Vec<Event>,
}

impl Second {
    fn begin(&mut self, number: u64) {
        (self.number, self.noted, self.all, self.known) = (number, 0, 0.0, 0.0);
        self.kept.clear();
    }

    /// Notes an event, which `make` makes where it is kept.
    fn note(&mut self, stands_for: f64, make: impl FnOnce() -> Event) {
        self.noted += 1;
        self.all += stands_for;
        if self.kept.len() < KEPT {
            self.known += stands_for;
            self.kept.push(make());
            return;
        }
        if let Some(replaced) = self.kept.get_mut(fastrand::usize(..self.noted)) {
            self.known += stands_for - replaced.stands_for;
            *replaced = make();
        }
    }
}

/// Keys to which something happened, with the times.
#[derive(Debug)]
pub struct Recent(Box<[CachePadded<Mutex<[Second; SECONDS]>>]>);

impl Recent {
    /// For so many workers, and all other threads together.
    pub fn new(workers: usize) -> Self {
        Self((0..=workers).map(|_| CachePadded::default()).collect())
    }

    /// Notes an event that stands for so many.
    pub fn note(&self, worker: usize, database: usize, key: &[u8], stands_for: f64, now_ms: u64) {
        let number = now_ms / 1000;
        let mut seconds = self.0[worker.min(self.0.len() - 1)].lock();
        let second = &mut seconds[(number % SECONDS as u64) as usize];
        if second.number != number {
            second.begin(number);
        }
        second.note(stands_for, || {
            let key = key[..key.len().min(KEY_MAX)].into();
            Event { at_ms: now_ms, stands_for, database: database as u16, key }
        });
    }

    /// Calls `visit` with the key of each event that is kept of the last [`RECENT_MS`] in a database, and how many
    /// times a second those have happened that it stands for.
    pub fn for_each(&self, database: usize, now_ms: u64, mut visit: impl FnMut(&[u8], f64)) {
        for seconds in &self.0 {
            for second in &*seconds.lock() {
                // Of the kept events each stands for some that are not.
                let a_second = 1000.0 / RECENT_MS as f64 * second.all / second.known;
                let is_wanted = |event: &&Event| {
                    event.at_ms + RECENT_MS > now_ms && usize::from(event.database) == database
                };
                for event in second.kept.iter().filter(is_wanted) {
                    visit(&event.key, event.stands_for * a_second);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_time_that_is_remembered() {
        let recent = Recent::new(1);
        let rate = |database, now_ms| -> f64 {
            let mut sum = 0.0;
            recent.for_each(database, now_ms, |_, rate| sum += rate);
            sum
        };
        for number in 0..100 {
            recent.note(0, 3, b"k", 1.0, 20_000 + number);
        }
        recent.note(9, 4, b"k", 7.0, 20_000);
        let check = |database, now_ms, expected: f64| {
            let rate = rate(database, now_ms);
            assert!((rate - expected).abs() < 1e-6, "{rate} and not {expected}");
        };
        check(3, 20_100, 10.0);
        check(4, 20_100, 0.7);
        check(3, 30_049, 5.0);
        check(3, 40_000, 0.0);
        // A burst of more than fit counts as a whole, and as long as it is recent.
        for number in 0..10_000 {
            recent.note(0, 3, b"k", 1.0, 40_000 + number / 2);
        }
        for now_ms in [45_000, 47_500, 49_999] {
            check(3, now_ms, 1000.0);
        }
        check(3, 51_999, 600.0);
        check(3, 55_000, 0.0);
        assert!(recent.0[0].lock().iter().all(|second| second.kept.len() <= KEPT));
    }

    /// Of a burst the shares of keys are known within their error, however they come: one after the other, or mixed;
    /// and whatever number of events each stands for.
    #[test]
    fn shares_of_a_burst_are_within_their_error() {
        for mixed in [false, true] {
            let recent = Recent::new(1);
            for number in 0..100_000_u64 {
                let is_first = if mixed { number % 5 == 0 } else { number < 20_000 };
                let (key, stands_for): (&[u8], f64) = if is_first { (b"a", 4.0) } else { (b"b", 1.0) };
                recent.note(0, 0, key, stands_for, 7_000 + number % 1000);
            }
            let mut rates = [0.0; 2];
            recent.for_each(0, 8_000, |key, rate| rates[usize::from(key == b"b")] += rate);
            assert!((rates[0] + rates[1] - 16_000.0).abs() < 1e-6, "{rates:?}");
            // Half of the whole each; five times the error.
            assert!((rates[0] - 8_000.0).abs() < 5.0 * 16_000.0 / 40.0, "{rates:?}");
        }
    }
}
