//! [`Recent`]: the latest of what happens to keys, as much as there is room for.

use std::collections::VecDeque;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::KEY_MAX;

/// Events that each worker keeps.
const KEPT: usize = 4096;

/// How long ago an event may be, in milliseconds, for it to count.
pub const RECENT_MS: u64 = 10_000;

#[derive(Debug)]
struct Event {
    at_ms: u64,
    /// How many events it stands for.
    stands_for: f64,
    database: u16,
    key: Box<[u8]>,
}

/// Keys to which something happened, with the times.
#[derive(Debug)]
pub struct Recent(Box<[CachePadded<Mutex<VecDeque<Event>>>]>);

impl Recent {
    /// For so many workers, and all other threads together.
    pub fn new(workers: usize) -> Self {
        Self((0..=workers).map(|_| CachePadded::default()).collect())
    }

    /// Notes an event that stands for so many.
    pub fn note(&self, worker: usize, database: usize, key: &[u8], stands_for: f64, now_ms: u64) {
        let key = key[..key.len().min(KEY_MAX)].into();
        let mut events = self.0[worker.min(self.0.len() - 1)].lock();
        if events.len() >= KEPT {
            events.pop_front();
        }
        events.push_back(Event { at_ms: now_ms, stands_for, database: database as u16, key });
    }

    /// Calls `visit` with the key of each event of the last [`RECENT_MS`] in a database, and how many times a
    /// second those have happened that it stands for, over the time that its worker remembers.
    pub fn for_each(&self, database: usize, now_ms: u64, mut visit: impl FnMut(&[u8], f64)) {
        for events in &self.0 {
            let events = events.lock();
            let oldest_ms = match events.front() {
                // All that came in that time are there.
                Some(oldest) if events.len() >= KEPT => oldest.at_ms,
                _ => 0,
            };
            let span_ms = now_ms.saturating_sub(oldest_ms).clamp(1, RECENT_MS);
            for event in events.iter().rev().take_while(|event| event.at_ms + RECENT_MS > now_ms) {
                if usize::from(event.database) == database {
                    visit(&event.key, 1000.0 * event.stands_for / span_ms as f64);
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
        // More than fit: they are those of the last two seconds.
        for number in 0..10_000 {
            recent.note(0, 3, b"k", 1.0, 40_000 + number / 2);
        }
        assert!((rate(3, 45_000) - 2000.0).abs() < 10.0, "{}", rate(3, 45_000));
        assert_eq!(recent.0[0].lock().len(), KEPT);
    }
}
