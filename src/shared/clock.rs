//! The server's clock: the only place where time is read, so that tests can move it.
//!
//! Asking the machine for the time is a noticeable part of a short request, so a batch asks once, for the
//! monotonic time, and adds the difference to Unix time. The difference is measured again every few
//! milliseconds, as the machine's clock may be set.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How long two looks at the machine's clocks, one after the other, may take for their difference to count,
/// in nanoseconds.
const AT_ONCE_NS: u64 = 5_000;

/// Wall time and monotonic time, real or moved by hand.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Unix time when the clock was made, by what is known now of the machine's clock.
    start_us: AtomicU64,
    manual: AtomicBool,
    manual_us: AtomicU64,
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Microseconds of Unix time.
    pub unix_us: u64,
    /// Nanoseconds since the clock was made.
    pub monotonic_ns: u64,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self {
            start: Instant::now(),
            start_us: AtomicU64::new(unix_us()),
            manual: AtomicBool::new(false),
            manual_us: AtomicU64::new(0),
        }
    }

    /// Makes a clock that stands at `unix_ms` until [`advance_ms`](Self::advance_ms) moves it.
    pub fn manual(unix_ms: u64) -> Self {
        Self {
            start: Instant::now(),
            start_us: AtomicU64::new(0),
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
        unix_us()
    }

    /// Both times for the price of one; Unix time as of the last [`follow`](Self::follow).
    #[inline]
    pub fn moment(&self) -> Moment {
        let monotonic_ns = self.monotonic_ns();
        let unix_us = if self.is_manual() {
            self.manual_us.load(Ordering::SeqCst)
        } else {
            self.start_us.load(Ordering::Relaxed) + monotonic_ns / 1000
        };
        Moment { unix_us, monotonic_ns }
    }

    /// Measures the difference between Unix time and monotonic time. Has to be called every few milliseconds.
    pub fn follow(&self) {
        let before_ns = self.monotonic_ns();
        let unix_us = unix_us();
        // A thread that was interrupted in between has learnt nothing.
        if self.monotonic_ns() - before_ns < AT_ONCE_NS {
            self.start_us.store(unix_us.saturating_sub(before_ns / 1000), Ordering::Relaxed);
        }
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

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_between_two_looks_at_the_machines_clock() {
        let clock = Clock::system();
        for _ in 0..1000 {
            let (before_us, before_ns) = (clock.now_us(), clock.monotonic_ns());
            clock.follow();
            let moment = clock.moment();
            assert!((before_ns..=clock.monotonic_ns()).contains(&moment.monotonic_ns));
            // Each of the two differences is one of whole microseconds, taken within five.
            assert!((before_us - 10..=clock.now_us() + 10).contains(&moment.unix_us));
        }
    }

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let clock = Clock::system();
        let right_us = clock.start_us.load(Ordering::Relaxed);
        clock.start_us.store(right_us - 3_600_000_000, Ordering::Relaxed);
        while clock.now_us().abs_diff(clock.moment().unix_us) > 1_000_000 {
            clock.follow();
        }
        let clock = Clock::manual(5000);
        clock.advance_ms(7);
        clock.follow();
        assert_eq!(clock.moment().unix_us, 5_007_000);
    }
}
