//! A session of Redis's HOTKEYS: from START to STOP, keys are weighed by the time and the bytes of the
//! commands that name them.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{add, counters_for};
use crate::primitives::space_saving::{Heavy, SpaceSaving, heaviest};

/// What HOTKEYS START asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Whether keys are weighed by the time of their commands.
    pub cpu: bool,
    /// Whether keys are weighed by the bytes of requests and replies.
    pub net: bool,
    /// How many keys are shown for each weight.
    pub count: usize,
    /// When the session ends by itself, in milliseconds of Unix time.
    pub ends_ms: Option<u64>,
    /// One command of so many is taken.
    pub ratio: u32,
    /// The slots whose keys are weighed, sorted; empty for all.
    pub slots: Vec<u16>,
}

/// One command, as a session sees it.
#[derive(Clone, Copy, Debug)]
pub struct Use<'u> {
    /// Its keys, at least one.
    pub keys: &'u [&'u [u8]],
    /// The slot of the first of them.
    pub slot: u16,
    /// How long it took, in nanoseconds.
    pub ns: u64,
    /// Bytes of the request and of the reply.
    pub bytes: u64,
}

/// Time in nanoseconds and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Nanoseconds.
    pub ns: u64,
    /// Of requests and replies together.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Sum {
    ns: AtomicU64,
    bytes: AtomicU64,
}

impl Sum {
    fn add(&self, ns: u64, bytes: u64) {
        self.ns.fetch_add(ns, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> Shares {
        Shares { ns: self.ns.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

#[derive(Debug)]
struct Sketches {
    cpu: SpaceSaving,
    net: SpaceSaving,
}

/// When a session has ended, and the processor's time until then.
#[derive(Clone, Copy, Debug)]
struct End {
    at_ms: u64,
    processor_ms: (u64, u64),
}

/// One stretch of time in which commands are weighed, and what was found in it.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    began_ms: u64,
    /// Milliseconds that the process had run when the session began: its own, and in the system.
    processor_ms: (u64, u64),
    end: Mutex<Option<End>>,
    /// For each worker, and for all other threads together.
    workers: Box<[CachePadded<Mutex<Sketches>>]>,
    all: Sum,
    selected: Sum,
    sampled: Sum,
    weighed: Sum,
}

/// What a session has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was asked for.
    pub options: SessionOptions,
    /// Whether it goes on.
    pub is_active: bool,
    /// When it began, in milliseconds of Unix time.
    pub began_ms: u64,
    /// How long it has gone on, in milliseconds.
    pub duration_ms: u64,
    /// Milliseconds that the process has run since it began: its own, and in the system.
    pub processor_ms: (u64, u64),
    /// Of all commands with keys.
    pub all: Shares,
    /// Of those with keys in the selected slots.
    pub selected: Shares,
    /// Of those that were taken.
    pub sampled: Shares,
    /// What was given to keys.
    pub weighed: Shares,
    /// The keys with the most time, in nanoseconds.
    pub by_cpu: Vec<Heavy>,
    /// The keys with the most bytes.
    pub by_net: Vec<Heavy>,
}

impl Session {
    /// Begins one. `processor_ms` is what the process has run so far.
    pub fn begin(options: SessionOptions, workers: usize, now_ms: u64, processor_ms: (u64, u64)) -> Self {
        let counters = counters_for(options.count);
        let sketches = || Sketches { cpu: SpaceSaving::new(counters), net: SpaceSaving::new(counters) };
        Self {
            options,
            began_ms: now_ms,
            processor_ms,
            end: Mutex::new(None),
            workers: (0..=workers).map(|_| CachePadded::new(Mutex::new(sketches()))).collect(),
            all: Sum::default(),
            selected: Sum::default(),
            sampled: Sum::default(),
            weighed: Sum::default(),
        }
    }

    /// Counts a command.
    pub fn note(&self, worker: usize, done: &Use<'_>) {
        let &Use { keys, slot, ns, bytes } = done;
        self.all.add(ns, bytes);
        if !self.options.slots.is_empty() && self.options.slots.binary_search(&slot).is_err() {
            return;
        }
        self.selected.add(ns, bytes);
        if self.options.ratio > 1 && fastrand::u32(..self.options.ratio) != 0 {
            return;
        }
        self.sampled.add(ns, bytes);
        let count = keys.len().max(1) as u64;
        let (ns_each, bytes_each) = (ns / count, bytes / count);
        self.weighed.add(ns_each * count, bytes_each * count);
        let mut sketches = self.workers[worker.min(self.workers.len() - 1)].lock();
        for key in keys {
            if self.options.cpu {
                add(&mut sketches.cpu, key, ns_each);
            }
            if self.options.net {
                add(&mut sketches.net, key, bytes_each);
            }
        }
    }

    /// Ends it, unless it has ended before. Returns whether it has now.
    pub fn end(&self, now_ms: u64, processor_ms: (u64, u64)) -> bool {
        let mut end = self.end.lock();
        let goes_on = end.is_none();
        if goes_on {
            *end = Some(End { at_ms: now_ms, processor_ms });
        }
        goes_on
    }

    /// When it ends by itself, in milliseconds of Unix time; `None` where it does not, or has ended.
    pub fn ends_ms(&self) -> Option<u64> {
        self.options.ends_ms.filter(|_| self.is_active())
    }

    /// Whether it has not ended.
    pub fn is_active(&self) -> bool {
        self.end.lock().is_none()
    }

    /// What it has found.
    pub fn report(&self, now_ms: u64, processor_ms: (u64, u64)) -> Report {
        let ended = *self.end.lock();
        let End { at_ms, processor_ms } = ended.unwrap_or(End { at_ms: now_ms, processor_ms });
        // In the workers' order, as nobody else holds more than one.
        let sketches: Vec<_> = self.workers.iter().map(|sketches| sketches.lock()).collect();
        let count = self.options.count;
        Report {
            options: self.options.clone(),
            is_active: ended.is_none(),
            began_ms: self.began_ms,
            duration_ms: at_ms.saturating_sub(self.began_ms),
            processor_ms: (
                processor_ms.0.saturating_sub(self.processor_ms.0),
                processor_ms.1.saturating_sub(self.processor_ms.1),
            ),
            all: self.all.read(),
            selected: self.selected.read(),
            sampled: self.sampled.read(),
            weighed: self.weighed.read(),
            by_cpu: heaviest(sketches.iter().map(|sketches| &sketches.cpu), count),
            by_net: heaviest(sketches.iter().map(|sketches| &sketches.net), count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_bytes_are_shared_by_the_keys_of_a_command() {
        let options =
            SessionOptions { cpu: true, net: true, count: 2, ratio: 1, ..SessionOptions::default() };
        let session = Session::begin(options, 1, 1000, (10, 5));
        session.note(0, &Use { keys: &[b"a", b"b", b"c"], slot: 0, ns: 3000, bytes: 10 });
        session.note(9, &Use { keys: &[b"b"], slot: 0, ns: 500, bytes: 100 });
        let found = session.report(1500, (12, 9));
        let heavy = |key: &str, count| Heavy { key: key.as_bytes().into(), count, error: 0 };
        assert_eq!(found.by_cpu, [heavy("b", 1500), heavy("a", 1000)]);
        assert_eq!(found.by_net, [heavy("b", 103), heavy("a", 3)]);
        assert_eq!((found.all.bytes, found.weighed.bytes, found.weighed.ns), (110, 109, 3500));
        assert_eq!((found.duration_ms, found.processor_ms, found.is_active), (500, (2, 4), true));
        assert!(session.end(1600, (13, 9)));
        assert!(!session.end(1700, (14, 9)));
        let found = session.report(9000, (50, 50));
        assert_eq!((found.duration_ms, found.processor_ms, found.is_active), (600, (3, 4), false));
    }

    #[test]
    fn slots_and_samples() {
        let options =
            SessionOptions { net: true, count: 9, ratio: 4, slots: vec![3, 7], ..SessionOptions::default() };
        let session = Session::begin(options, 1, 0, (0, 0));
        fastrand::seed(1);
        for number in 0..8000 {
            session.note(0, &Use { keys: &[b"k"], slot: number % 8, ns: 1, bytes: 2 });
        }
        let found = session.report(0, (0, 0));
        assert_eq!((found.all.bytes, found.selected.bytes), (16_000, 4000));
        assert!((800..1200).contains(&found.sampled.bytes), "{:?}", found.sampled);
        assert_eq!(found.sampled, found.weighed);
        assert_eq!(found.by_cpu, []);
        assert_eq!(found.by_net[0].count, found.weighed.bytes);
    }
}
