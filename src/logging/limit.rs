//! Limits for log lines that a client, or a lack of something, can cause again and again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds between two lines of the same kind.
const INTERVAL_MS: u64 = 60_000;

/// How often one kind of line is logged: at once, then once a minute with the number of those left out.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// When the next line may come, in milliseconds of the caller's clock.
    next_ms: AtomicU64,
    left_out: AtomicU64,
}

impl LogLimit {
    /// Asks for a line. Answers how many were left out since the last one, or `None` where this one is to be
    /// left out too.
    pub fn take(&self, now_ms: u64) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let is_first = now_ms >= next_ms
            && self
                .next_ms
                .compare_exchange(next_ms, now_ms + INTERVAL_MS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_first {
            Some(self.left_out.swap(0, Ordering::Relaxed))
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_tells_how_many_were_left_out() {
        let limit = LogLimit::default();
        assert_eq!(limit.take(5), Some(0));
        assert_eq!(limit.take(5), None);
        assert_eq!(limit.take(60_004), None);
        assert_eq!(limit.take(60_005), Some(2));
        assert_eq!(limit.take(60_006), None);
    }
}
