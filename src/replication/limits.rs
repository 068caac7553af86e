//! [`Limits`]: how far a replica may fall behind before it is cut.

use std::sync::atomic::Ordering;

use super::Replica;
use crate::journal::Waiting;

/// What may wait in memory for a replica. What waits in the spill file has a limit of its own, and counts for
/// nothing here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Bytes that are too many at once; 0 for no limit. Fewer than are in memory anyway have no effect: they
    /// cost nothing, and a replica that goes on where the backlog begins would be cut again and again.
    pub hard_bytes: u64,
    /// Bytes that are too many for long; 0 for no limit.
    pub soft_bytes: u64,
    /// For how long they may be too many, in milliseconds.
    pub soft_ms: u64,
}

impl Limits {
    /// Whether more waits for a replica than it may.
    ///
    /// Of those that are behind what is in memory only the last is cut: it is the one that the file is kept
    /// for, and the others may have room when it is gone. While the file takes bytes there is a quarter more
    /// room: the file is on its way.
    pub fn are_over(&self, replica: &Replica, waiting: Waiting, now_ms: u64) -> bool {
        let since = &replica.over_soft_since_ms;
        let memory_bytes = if waiting.is_last { waiting.memory_bytes } else { 0 };
        if self.soft_bytes == 0 || memory_bytes <= self.soft_bytes {
            since.store(0, Ordering::Relaxed);
        } else if since.load(Ordering::Relaxed) == 0 {
            since.store(now_ms, Ordering::Relaxed);
        }
        let since_ms = since.load(Ordering::Relaxed);
        let hard_bytes = self.hard_bytes.max(waiting.kept_bytes);
        let spare_bytes = if waiting.spills { hard_bytes / 4 } else { 0 };
        self.hard_bytes > 0 && memory_bytes > hard_bytes.saturating_add(spare_bytes)
            || since_ms > 0 && now_ms.saturating_sub(since_ms) > self.soft_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::{Announced, Stage};

    const LIMITS: Limits = Limits { hard_bytes: 100, soft_bytes: 40, soft_ms: 1000 };

    fn replica() -> Replica {
        Replica::new(1, String::new(), Announced::default(), Stage::Online, 1, || {})
    }

    fn waiting(memory_bytes: u64) -> Waiting {
        Waiting { bytes: 1 << 30, memory_bytes, kept_bytes: 10, is_last: true, spills: false }
    }

    #[test]
    fn what_waits_in_memory_is_limited() {
        let replica = replica();
        assert!(!LIMITS.are_over(&replica, waiting(100), 1));
        assert!(LIMITS.are_over(&replica, waiting(101), 1));
        assert!(!LIMITS.are_over(&replica, waiting(41), 1001), "not for longer than it may");
        assert!(LIMITS.are_over(&replica, waiting(41), 1002));
        assert!(!LIMITS.are_over(&replica, waiting(40), 1003));
        assert!(!LIMITS.are_over(&replica, waiting(41), 1004), "the time begins again");
        let none = Limits { hard_bytes: 0, soft_bytes: 0, ..LIMITS };
        assert!(!none.are_over(&replica, waiting(u64::MAX), 1_000_000));
        let hard = Limits { soft_bytes: 0, ..LIMITS };
        let kept = |memory_bytes| Waiting { kept_bytes: 1000, ..waiting(memory_bytes) };
        assert!(!hard.are_over(&replica, kept(1000), 1) && hard.are_over(&replica, kept(1001), 1));
    }

    /// The file's way to make room is waited for, and only the last of those that wait pays for it.
    #[test]
    fn the_file_is_given_time() {
        let replica = replica();
        let spills = |memory_bytes| Waiting { spills: true, ..waiting(memory_bytes) };
        assert!(!LIMITS.are_over(&replica, spills(125), 1) && LIMITS.are_over(&replica, spills(126), 1));
        let other = Waiting { is_last: false, ..waiting(1000) };
        assert!(!LIMITS.are_over(&replica, other, 5000));
    }
}
