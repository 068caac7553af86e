//! The latency monitor: events that took at least `latency-monitor-threshold`, the latest of each kind.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Samples kept of an event (Redis's figure).
const SAMPLES_MAX: usize = 160;

/// The slowest of an event within one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Seconds of Unix time.
    pub at_s: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What is known of one kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// The latest samples, the oldest first; never empty.
    pub samples: VecDeque<Sample>,
    /// The longest of all time, in milliseconds.
    pub max_ms: u64,
    /// All of them together, in milliseconds.
    pub sum_ms: u64,
    /// How many there were.
    pub count: u64,
    /// The most things that one of them has worked through, where that is told.
    pub items_max: u64,
}

/// Samples of slow events by their names, and the threshold above which an event is one. `LATENCY` shows
/// them. With a threshold of 0 nothing is kept, and asking costs a relaxed load.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    threshold_ms: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl LatencyMonitor {
    /// Sets from how many milliseconds on an event is noted; 0 for never.
    pub fn set_threshold_ms(&self, threshold_ms: u64) {
        self.threshold_ms.store(threshold_ms, Ordering::Relaxed);
    }

    /// Milliseconds from which on an event is kept; 0 for never.
    #[inline]
    pub fn threshold_ms(&self) -> u64 {
        self.threshold_ms.load(Ordering::Relaxed)
    }

    /// Returns whether events are kept at all. Asked before a clock is read only for an event.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.threshold_ms() > 0
    }

    /// Notes an event, if it took long enough.
    pub fn note(&self, name: &'static str, took_ms: u64, now_ms: u64) {
        self.note_work(name, took_ms, now_ms, 0);
    }

    /// The same of an event that has worked through so many things.
    pub fn note_work(&self, name: &'static str, took_ms: u64, now_ms: u64, items: u64) {
        let threshold_ms = self.threshold_ms();
        if threshold_ms > 0 && took_ms >= threshold_ms {
            self.add(name, Sample { at_s: now_ms / 1000, ms: took_ms }, items);
        }
    }

    #[cold]
    fn add(&self, name: &'static str, sample: Sample, items: u64) {
        let mut events = self.events.lock();
        let index = events.iter().position(|event| event.name == name).unwrap_or_else(|| {
            let samples = VecDeque::new();
            events.push(Event { name, samples, max_ms: 0, sum_ms: 0, count: 0, items_max: 0 });
            events.len() - 1
        });
        let event = &mut events[index];
        event.max_ms = event.max_ms.max(sample.ms);
        event.sum_ms += sample.ms;
        event.count += 1;
        event.items_max = event.items_max.max(items);
        match event.samples.back_mut() {
            Some(latest) if latest.at_s == sample.at_s => latest.ms = latest.ms.max(sample.ms),
            _ => {
                if event.samples.len() == SAMPLES_MAX {
                    event.samples.pop_front();
                }
                event.samples.push_back(sample);
            }
        }
    }

    /// All events that were noted.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// One of them.
    pub fn event(&self, name: &[u8]) -> Option<Event> {
        self.events.lock().iter().find(|event| event.name.as_bytes().eq_ignore_ascii_case(name)).cloned()
    }

    /// Forgets those of these names, or all if none is given. Answers how many that were.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|event| {
            !names.is_empty() && !names.iter().any(|name| event.name.as_bytes().eq_ignore_ascii_case(name))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_a_second_is_kept() {
        let monitor = LatencyMonitor::default();
        monitor.note("command", 100, 1000);
        assert!(monitor.events().is_empty(), "it is off");
        monitor.set_threshold_ms(10);
        monitor.note("command", 9, 1000);
        for (ms, at_ms) in [(20, 1000), (30, 1500), (10, 1999), (15, 2000)] {
            monitor.note("command", ms, at_ms);
        }
        let event = monitor.event(b"COMMAND").expect("an event");
        assert_eq!(event.samples, [Sample { at_s: 1, ms: 30 }, Sample { at_s: 2, ms: 15 }]);
        assert_eq!((event.max_ms, event.sum_ms, event.count), (30, 75, 4));
        assert_eq!(monitor.reset(&[b"nosuch"]), 0);
        assert_eq!(monitor.reset(&[]), 1);
    }

    #[test]
    fn so_many_samples_are_kept() {
        let monitor = LatencyMonitor::default();
        monitor.set_threshold_ms(1);
        (0..200).for_each(|second| monitor.note("command", second + 1, second * 1000));
        let event = monitor.event(b"command").expect("an event");
        assert_eq!(event.samples.len(), SAMPLES_MAX);
        assert_eq!(event.samples[0].at_s, 40);
    }
}
