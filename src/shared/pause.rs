//! CLIENT PAUSE: commands wait until a time, all of them or those that write.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which commands a pause holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every command.
    All,
    /// Commands that may change data.
    Write,
}

/// The pause in force, if any.
#[derive(Debug, Default)]
pub struct Pause {
    /// Milliseconds of Unix time in the upper bits, the scope in the lowest; 0 for none.
    state: AtomicU64,
}

impl Pause {
    /// Makes the state without a pause.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pauses until `end_ms`. A longer or wider pause that is in force stays (Redis's rule).
    pub fn start(&self, scope: Scope, end_ms: u64, now_ms: u64) {
        let (mut end, mut all) = (end_ms, scope == Scope::All);
        if let Some((old_scope, old_end)) = self.in_force(now_ms) {
            end = end.max(old_end);
            all |= old_scope == Scope::All;
        }
        self.state.store(end << 1 | u64::from(all), Ordering::Release);
    }

    /// Ends the pause.
    pub fn end(&self) {
        self.state.store(0, Ordering::Release);
    }

    /// What is paused, and until when (milliseconds of Unix time).
    #[inline]
    pub fn in_force(&self, now_ms: u64) -> Option<(Scope, u64)> {
        let state = self.state.load(Ordering::Relaxed);
        if state == 0 || state >> 1 <= now_ms {
            return None;
        }
        Some((if state & 1 != 0 { Scope::All } else { Scope::Write }, state >> 1))
    }

    /// Returns whether there may be a pause: a relaxed load, as the hot path asks.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }
}
