//! [`SlowRequests`]: the latest requests that took long as their clients see it, each with the parts of its time.
//!
//! COMMANDLOG tells how long a command ran. A request may also wait for a lock, for the end of a pause, for
//! room in memory, for the disk, and until its reply is in the client's socket: KVARTS SLOW tells these
//! apart.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// A part of a request's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// It waited for the lock of a slot or for the gate of the keyspace.
    Lock,
    /// It waited for the end of CLIENT PAUSE or of a failover.
    Pause,
    /// Keys were evicted to make room for it.
    Evict,
    /// Its command ran.
    Run,
    /// Its reply waited until what it tells of was on disk (`appendfsync always`).
    Disk,
    /// Its reply waited until the client had read what was before it.
    Write,
}

impl Part {
    /// All of them, in the order in which a request meets them.
    pub const ALL: [Part; 6] = [Part::Lock, Part::Pause, Part::Evict, Part::Run, Part::Disk, Part::Write];

    /// Its name in KVARTS SLOW.
    pub fn name(self) -> &'static str {
        match self {
            Part::Lock => "lock",
            Part::Pause => "pause",
            Part::Evict => "evict",
            Part::Run => "run",
            Part::Disk => "disk",
            Part::Write => "write",
        }
    }
}

/// Nanoseconds of each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts([u64; Part::ALL.len()]);

impl Parts {
    /// Nanoseconds of one part.
    pub fn ns(&self, part: Part) -> u64 {
        self.0[part as usize]
    }

    /// Adds to a part.
    pub fn add(&mut self, part: Part, ns: u64) {
        let sum = &mut self.0[part as usize];
        *sum = sum.saturating_add(ns);
    }

    /// These, with so much of a part.
    pub fn with(mut self, part: Part, ns: u64) -> Self {
        self.add(part, ns);
        self
    }

    /// All of them together.
    pub fn total_ns(&self) -> u64 {
        self.0.iter().fold(0, |sum, ns| sum.saturating_add(*ns))
    }
}

/// A request that took long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowRequest {
    /// Its number, one more than that of the one before.
    pub id: u64,
    /// When it was noted, in milliseconds of Unix time.
    pub at_ms: u64,
    /// The parts of its time.
    pub parts: Parts,
    /// The request, cut. Only the command's name where its reply alone was slow.
    pub arguments: Vec<Vec<u8>>,
    /// Bytes of the request and of its reply; 0 where its reply alone was slow.
    pub bytes: u64,
    /// Its first key, cut; `None` where it has none.
    pub key: Option<Vec<u8>>,
    /// The script or function that it ran, in words; empty for others.
    pub program: String,
    /// Of a transaction the request that took longest; `None` for others, and where all were quick.
    pub longest: Option<Box<Longest>>,
    /// Who held the lock that it waited for, in words; empty where that is not known.
    pub blocked_by: String,
    /// Id of the client.
    pub client: u64,
    /// Address of the client.
    pub address: String,
    /// Name of the client (CLIENT SETNAME).
    pub name: String,
}

/// The request of a transaction that took longest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Longest {
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
    /// The request, cut.
    pub arguments: Vec<Vec<u8>>,
}

/// The latest of them, and the sums of all.
#[derive(Debug)]
pub struct SlowRequests {
    /// Number of the next one, and those that are kept, the newest first.
    kept: Mutex<(u64, VecDeque<SlowRequest>)>,
    max_len: AtomicUsize,
    threshold_ns: AtomicU64,
    count: AtomicU64,
    sums_ns: [AtomicU64; Part::ALL.len()],
}

impl Default for SlowRequests {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            max_len: AtomicUsize::new(0),
            threshold_ns: AtomicU64::new(u64::MAX),
            count: AtomicU64::new(0),
            sums_ns: Default::default(),
        }
    }
}

impl SlowRequests {
    /// Sets from how many nanoseconds on a request is kept (`u64::MAX` for never), and how many are.
    pub fn set(&self, threshold_ns: u64, max_len: usize) {
        self.threshold_ns.store(threshold_ns, Ordering::Relaxed);
        self.max_len.store(max_len, Ordering::Relaxed);
    }

    /// Nanoseconds from which on a request is kept; `u64::MAX` for never.
    pub fn threshold_ns(&self) -> u64 {
        self.threshold_ns.load(Ordering::Relaxed)
    }

    /// Adds a request, whose number is given here and returned.
    pub fn add(&self, mut request: SlowRequest) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum(&request.parts);
        let mut kept = self.kept.lock();
        let id = kept.0;
        request.id = id;
        kept.0 += 1;
        kept.1.push_front(request);
        kept.1.truncate(self.max_len.load(Ordering::Relaxed));
        id
    }

    /// Adds what came behind it to the time of a request.
    pub fn extend(&self, id: u64, parts: &Parts) {
        self.sum(parts);
        let mut kept = self.kept.lock();
        let newest = kept.1.front().map(|request| request.id);
        let place = newest.and_then(|newest| usize::try_from(newest.checked_sub(id)?).ok());
        if let Some(request) = place.and_then(|place| kept.1.get_mut(place)) {
            Part::ALL.into_iter().for_each(|part| request.parts.add(part, parts.ns(part)));
        }
    }

    fn sum(&self, parts: &Parts) {
        for part in Part::ALL {
            self.sums_ns[part as usize].fetch_add(parts.ns(part), Ordering::Relaxed);
        }
    }

    /// The latest, the newest first.
    pub fn latest(&self, count: usize) -> Vec<SlowRequest> {
        self.kept.lock().1.iter().take(count).cloned().collect()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.lock().1.len()
    }

    /// Forgets those that are kept; numbers and sums go on.
    pub fn reset(&self) {
        self.kept.lock().1 = VecDeque::new();
    }

    /// How many there were since the start.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Nanoseconds of a part of all of them since the start.
    pub fn sum_ns(&self, part: Part) -> u64 {
        self.sums_ns[part as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(run_ns: u64) -> SlowRequest {
        SlowRequest { parts: Parts::default().with(Part::Run, run_ns), ..SlowRequest::default() }
    }

    #[test]
    fn what_comes_later_is_added_to_the_one_it_is_of() {
        let slow = SlowRequests::default();
        slow.set(1, 2);
        let ids: Vec<u64> = (0..3).map(|number| slow.add(request(number))).collect();
        assert_eq!((ids, slow.len(), slow.count()), (vec![0, 1, 2], 2, 3));
        let late = Parts::default().with(Part::Write, 7);
        (0..5).for_each(|id| slow.extend(id, &late));
        let latest = slow.latest(9);
        let told: Vec<_> = latest.iter().map(|one| (one.id, one.parts.ns(Part::Write))).collect();
        assert_eq!(told, [(2, 7), (1, 7)]);
        assert_eq!(latest[0].parts.total_ns(), 9);
        assert_eq!((slow.sum_ns(Part::Run), slow.sum_ns(Part::Write)), (3, 35));
        slow.reset();
        slow.extend(2, &late);
        assert_eq!((slow.len(), slow.add(request(1))), (0, 3));
        slow.set(1, 0);
        slow.add(request(1));
        assert_eq!(slow.len(), 0);
    }
}
