//! The server's clock: the only place where time is read, so that tests can move it: our own, and with KVARTS CLOCK
//! those of a user.
//!
//! Asking the machine for the time is a noticeable part of a short request, so a batch asks once, for the
//! monotonic time, and adds the difference to Unix time. The difference is measured again every few
//! milliseconds, as the machine's clock may be set.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// How long two looks at the machine's clocks, one after the other, may take for their difference to count,
/// in nanoseconds.
const AT_ONCE_NS: u64 = 5_000;

/// Wall time and monotonic time, real or moved by hand.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    /// Unix time when the clock was made, by what is known now of the machine's clock, with `offset_us`.
    start_us: AtomicU64,
    /// How far it is ahead of the machine's clock while it runs.
    offset_us: AtomicI64,
    /// Whether it stands still until it is moved.
    manual: AtomicBool,
    manual_us: AtomicU64,
    /// Held by whoever moves it, or learns what the machine's clock shows.
    moves: Mutex<()>,
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
            offset_us: AtomicI64::new(0),
            manual: AtomicBool::new(false),
            manual_us: AtomicU64::new(0),
            moves: Mutex::new(()),
        }
    }

    /// Makes a clock that stands at `unix_ms` until [`advance_ms`](Self::advance_ms) moves it.
    pub fn manual(unix_ms: u64) -> Self {
        let clock = Self::system();
        clock.manual_us.store(unix_ms * 1000, Ordering::SeqCst);
        clock.manual.store(true, Ordering::SeqCst);
        clock
    }

    /// Whether it moves only by hand.
    pub fn is_manual(&self) -> bool {
        self.manual.load(Ordering::Relaxed)
    }

    /// Moves it forward.
    pub fn advance_ms(&self, by_ms: u64) {
        let _moves = self.moves.lock();
        self.set_us(self.now_us() + by_ms * 1000);
    }

    /// Sets it to a time, from where it runs on or, where it stands still, stands.
    pub fn set_ms(&self, unix_ms: u64) {
        let _moves = self.moves.lock();
        self.set_us(unix_ms * 1000);
    }

    /// Lets it stand still until it is moved or [resumed](Self::resume).
    pub fn freeze(&self) {
        let _moves = self.moves.lock();
        self.manual_us.store(self.now_us(), Ordering::SeqCst);
        self.manual.store(true, Ordering::SeqCst);
    }

    /// Lets it run on from where it stands.
    pub fn resume(&self) {
        let _moves = self.moves.lock();
        self.run_from_us(self.now_us());
        self.manual.store(false, Ordering::SeqCst);
    }

    /// Milliseconds that it is ahead of the machine's clock.
    pub fn offset_ms(&self) -> i64 {
        (self.now_us() as i64 - unix_us() as i64) / 1000
    }

    fn set_us(&self, to_us: u64) {
        match self.is_manual() {
            true => self.manual_us.store(to_us, Ordering::SeqCst),
            false => self.run_from_us(to_us),
        }
    }

    fn run_from_us(&self, us: u64) {
        self.offset_us.store(us as i64 - unix_us() as i64, Ordering::SeqCst);
        while !self.measure() {}
    }

    /// Microseconds of Unix time.
    #[inline]
    pub fn now_us(&self) -> u64 {
        if self.is_manual() {
            return self.manual_us.load(Ordering::SeqCst);
        }
        self.machine_us()
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
        let _moves = self.moves.lock();
        self.measure();
    }

    /// Returns whether it has learnt the difference: a thread that is interrupted has not.
    fn measure(&self) -> bool {
        let before_ns = self.monotonic_ns();
        let unix_us = self.machine_us();
        let is_at_once = self.monotonic_ns() - before_ns < AT_ONCE_NS;
        if is_at_once {
            self.start_us.store(unix_us.saturating_sub(before_ns / 1000), Ordering::Relaxed);
        }
        is_at_once
    }

    /// The machine's clock and how far this one is ahead of it.
    fn machine_us(&self) -> u64 {
        unix_us().saturating_add_signed(self.offset_us.load(Ordering::Relaxed))
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

    #[test]
    fn a_clock_that_was_moved_runs_on_from_there() {
        const HOUR_MS: u64 = 3_600_000;
        let clock = Clock::system();
        let is_at = |ms: u64| {
            let (now_ms, moment_ms) = (clock.now_ms(), clock.moment().unix_us / 1000);
            now_ms.abs_diff(ms) < 60_000 && moment_ms.abs_diff(ms) < 60_000
        };
        clock.advance_ms(HOUR_MS);
        assert!(is_at(unix_us() / 1000 + HOUR_MS) && clock.offset_ms().abs_diff(HOUR_MS as i64) < 60_000);
        clock.follow();
        assert!(is_at(unix_us() / 1000 + HOUR_MS));
        clock.freeze();
        let frozen_us = clock.now_us();
        clock.follow();
        assert_eq!((clock.now_us(), clock.moment().unix_us), (frozen_us, frozen_us));
        clock.set_ms(5_000_000);
        assert_eq!(clock.now_us(), 5_000_000_000);
        clock.resume();
        assert!(is_at(5_000_000) && !clock.is_manual());
        clock.set_ms(unix_us() / 1000);
        assert!(is_at(unix_us() / 1000) && clock.offset_ms().abs() < 60_000);
    }
}
