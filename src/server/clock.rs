//! The server's clock: the only place where time is read, so that tests can move it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time and monotonic time, real or moved by hand.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    manual: AtomicBool,
    manual_us: AtomicU64,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { start: Instant::now(), manual: AtomicBool::new(false), manual_us: AtomicU64::new(0) }
    }

    /// A clock that stands at this Unix time until it is moved.
    pub fn manual(unix_ms: u64) -> Self {
        Self {
            start: Instant::now(),
            manual: AtomicBool::new(true),
            manual_us: AtomicU64::new(unix_ms * 1000),
        }
    }

    /// Whether it moves only by hand.
    pub fn is_manual(&self) -> bool {
        self.manual.load(Ordering::Relaxed)
    }

    /// Moves a manual clock forward.
    pub fn advance_ms(&self, by_ms: u64) {
        self.manual_us.fetch_add(by_ms * 1000, Ordering::SeqCst);
    }

    /// Microseconds of Unix time.
    #[inline]
    pub fn now_us(&self) -> u64 {
        if self.is_manual() {
            return self.manual_us.load(Ordering::SeqCst);
        }
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
    }

    /// Milliseconds of Unix time.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// Nanoseconds since the clock was made, never going back: for durations of commands.
    #[inline]
    pub fn monotonic_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}
