//! [`Replicas`]: all replicas that follow this server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::{Replica, Stage};

/// The replicas, in the order in which they came.
#[derive(Debug, Default)]
pub struct Replicas {
    all: RwLock<Vec<Arc<Replica>>>,
    count: AtomicUsize,
    had_any: AtomicBool,
    /// Since when there is none, in milliseconds of Unix time.
    none_since_ms: AtomicU64,
    /// Full copies that were begun, requests to go on that were granted, and those that were not.
    pub full_copies: AtomicU64,
    /// See [`full_copies`](Self::full_copies).
    pub continued: AtomicU64,
    /// See [`full_copies`](Self::full_copies).
    pub not_continued: AtomicU64,
}

/// What makes a replica good enough for writes.
#[derive(Clone, Copy, Debug)]
pub struct Good {
    /// Seconds of silence that it is allowed (`min-replicas-max-lag`).
    pub max_lag_s: u64,
    /// The present time, in milliseconds of Unix time.
    pub now_ms: u64,
}

impl Replicas {
    /// Counts copies, and those who went on or could not, from here on (CONFIG RESETSTAT).
    pub fn reset_counts(&self) {
        for count in [&self.full_copies, &self.continued, &self.not_continued] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Adds one.
    pub fn add(&self, replica: Arc<Replica>) {
        let mut all = self.all.write();
        all.push(replica);
        self.count.store(all.len(), Ordering::Relaxed);
        self.had_any.store(true, Ordering::Relaxed);
    }

    /// Removes one that is gone.
    pub fn remove(&self, replica: &Arc<Replica>, now_ms: u64) {
        let mut all = self.all.write();
        all.retain(|other| !Arc::ptr_eq(other, replica));
        self.count.store(all.len(), Ordering::Relaxed);
        self.none_since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Replicas of an earlier run may come back.
    pub fn expect(&self, now_ms: u64) {
        self.had_any.store(true, Ordering::Relaxed);
        self.none_since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        self.all.read().clone()
    }

    /// Those that have come so far.
    pub fn in_stage(&self, stage: Stage) -> Vec<Arc<Replica>> {
        let mut all = self.all();
        all.retain(|replica| replica.stage() == stage);
        all
    }

    /// Number of replicas; one load.
    #[inline]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there has been any since the start, or before it.
    #[inline]
    pub fn had_any(&self) -> bool {
        self.had_any.load(Ordering::Relaxed)
    }

    /// Milliseconds for which there has been none.
    pub fn alone_for_ms(&self, now_ms: u64) -> u64 {
        if self.count() > 0 { 0 } else { now_ms.saturating_sub(self.none_since_ms.load(Ordering::Relaxed)) }
    }

    /// Number of those that follow.
    pub fn online(&self) -> usize {
        self.count_where(|_| true)
    }

    /// Number of those that follow and were heard of lately.
    pub fn good(&self, good: Good) -> usize {
        self.count_where(|replica| replica.lag_s(good.now_ms) <= good.max_lag_s)
    }

    /// Number of those that have the stream up to an offset.
    pub fn acknowledged(&self, offset: u64) -> usize {
        self.count_where(|replica| replica.acknowledged() >= offset)
    }

    /// Number of those that have it on disk.
    pub fn on_disk(&self, offset: u64) -> usize {
        self.count_where(|replica| replica.on_disk() >= offset)
    }

    fn count_where(&self, holds: impl Fn(&Replica) -> bool) -> usize {
        if self.count() == 0 {
            return 0;
        }
        let all = self.all.read();
        all.iter().filter(|replica| replica.stage() == Stage::Online && holds(replica)).count()
    }

    /// The offsets that those who follow have acknowledged, the largest first: the first is what one replica
    /// has, the second what two have.
    pub fn acknowledged_offsets(&self) -> Vec<u64> {
        self.offsets(Replica::acknowledged)
    }

    /// The same of what is on their disks.
    pub fn on_disk_offsets(&self) -> Vec<u64> {
        self.offsets(Replica::on_disk)
    }

    fn offsets(&self, offset_of: impl Fn(&Replica) -> u64) -> Vec<u64> {
        let all = self.all.read();
        let online = all.iter().filter(|replica| replica.stage() == Stage::Online);
        let mut offsets: Vec<u64> = online.map(|replica| offset_of(replica)).collect();
        offsets.sort_unstable_by(|one, other| other.cmp(one));
        offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::Announced;

    fn replica(client: u64, stage: Stage) -> Arc<Replica> {
        Arc::new(Replica::new(client, "127.0.0.1".into(), Announced::default(), stage, 1000, || {}))
    }

    #[test]
    fn those_count_that_follow_and_were_heard_of() {
        let replicas = Replicas::default();
        assert!(!replicas.had_any());
        let all = [Stage::Online, Stage::Online, Stage::Copies, Stage::Waits].map(|stage| replica(1, stage));
        all.iter().for_each(|replica| replicas.add(Arc::clone(replica)));
        assert_eq!((replicas.count(), replicas.online()), (4, 2));
        all[0].acknowledge(500, Some(400), 20_000);
        all[1].acknowledge(300, None, 15_000);
        all[2].acknowledge(900, None, 20_000);
        let good = |now_ms| replicas.good(Good { max_lag_s: 10, now_ms });
        assert_eq!((good(20_000), good(25_999), good(26_000), good(31_000)), (2, 2, 1, 0));
        let counts = [0, 300, 301, 500, 501].map(|offset| replicas.acknowledged(offset));
        assert_eq!(counts, [2, 2, 1, 1, 0]);
        assert_eq!([0, 1, 400, 401].map(|offset| replicas.on_disk(offset)), [2, 1, 1, 0]);
        assert_eq!(replicas.acknowledged_offsets(), [500, 300]);
        all[2].set_online(30_000);
        assert_eq!(replicas.acknowledged_offsets(), [900, 500, 300]);
        all.iter().for_each(|replica| replicas.remove(replica, 40_000));
        assert_eq!((replicas.count(), replicas.online()), (0, 0));
        assert!(replicas.had_any());
        assert_eq!(replicas.alone_for_ms(45_000), 5000);
    }

    #[test]
    fn acknowledged_offsets_never_go_back() {
        let one = replica(7, Stage::Online);
        assert!(!one.has_acknowledged());
        one.acknowledge(100, Some(50), 1000);
        one.acknowledge(40, Some(10), 2000);
        assert_eq!((one.acknowledged(), one.on_disk()), (100, 50));
        assert_eq!((one.lag_s(5999), one.lag_s(6000)), (3, 4));
    }
}
