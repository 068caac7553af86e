//! [`Lags`]: how late something was that should be on time, at worst in the last while and since the start.

use parking_lot::Mutex;

/// Length of a window in milliseconds: that of a usual interval between two looks of Prometheus, so that each look
/// sees the worst since the one before.
const WINDOW_MS: u64 = 15_000;

/// The worst delays. One thread notes them, a few times a second.
#[derive(Debug, Default)]
pub struct Lags(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    /// Number of the present window, counted from the beginning of Unix time.
    number: u64,
    present_ms: u64,
    /// The worst of the window before.
    before_ms: u64,
    longest_ms: u64,
}

impl Windows {
    fn turn_to(&mut self, now_ms: u64) {
        let number = now_ms / WINDOW_MS;
        if number == self.number {
            return;
        }
        self.before_ms = if number == self.number + 1 { self.present_ms } else { 0 };
        (self.number, self.present_ms) = (number, 0);
    }
}

impl Lags {
    /// Notes a delay at this Unix time, both in milliseconds.
    pub fn note(&self, lag_ms: u64, now_ms: u64) {
        let mut windows = self.0.lock();
        windows.turn_to(now_ms);
        windows.present_ms = windows.present_ms.max(lag_ms);
        windows.longest_ms = windows.longest_ms.max(lag_ms);
    }

    /// The worst of the present window and the one before, which are the last 15 to 30 seconds, in milliseconds.
    pub fn lately_ms(&self, now_ms: u64) -> u64 {
        let mut windows = self.0.lock();
        windows.turn_to(now_ms);
        windows.present_ms.max(windows.before_ms)
    }

    /// The worst since the start, in milliseconds.
    pub fn longest_ms(&self) -> u64 {
        self.0.lock().longest_ms
    }

    /// Begins anew (CONFIG RESETSTAT).
    pub fn reset(&self) {
        *self.0.lock() = Windows::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_shown_for_a_while() {
        let lags = Lags::default();
        let start_ms = 100 * WINDOW_MS;
        lags.note(700, start_ms);
        lags.note(3, start_ms + 1);
        assert_eq!((lags.lately_ms(start_ms + 2), lags.longest_ms()), (700, 700));
        lags.note(20, start_ms + WINDOW_MS);
        assert_eq!(lags.lately_ms(start_ms + 2 * WINDOW_MS - 1), 700, "until the next window ends");
        assert_eq!(lags.lately_ms(start_ms + 2 * WINDOW_MS), 20);
        assert_eq!(lags.lately_ms(start_ms + 3 * WINDOW_MS), 0);
        assert_eq!(lags.longest_ms(), 700);
        lags.note(5, start_ms + 9 * WINDOW_MS);
        assert_eq!(lags.lately_ms(start_ms + 20 * WINDOW_MS), 0, "windows without any lie between");
        lags.note(5, start_ms + 20 * WINDOW_MS);
        assert_eq!(lags.lately_ms(start_ms), 0, "the clock was set back");
        lags.reset();
        assert_eq!(lags.longest_ms(), 0);
    }
}
