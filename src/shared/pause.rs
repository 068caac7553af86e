//! Pauses: commands wait until a time, all of them or those that write. CLIENT PAUSE begins one, and so do
//! FAILOVER and the server's end, which let nothing change while replicas catch up.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which commands a pause holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every command.
    All,
    /// Commands that may change data.
    Write,
}

/// What a pause is for. Each ends by itself: CLIENT UNPAUSE does not end that of a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// CLIENT PAUSE.
    Client,
    /// The server is about to end.
    Shutdown,
    /// A primary hands its role over.
    Failover,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Client, Self::Shutdown, Self::Failover];

    /// INFO's name of it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client_pause",
            Self::Shutdown => "shutdown_in_progress",
            Self::Failover => "failover_in_progress",
        }
    }
}

/// A time that never comes.
pub const FOR_EVER_MS: u64 = u64::MAX >> 1;

/// The pauses in force.
#[derive(Debug, Default)]
pub struct Pause {
    /// A bit for each purpose that has a pause, which may be over.
    set: AtomicU64,
    /// For each purpose the end in milliseconds of Unix time in the upper bits, the scope in the lowest; 0 for
    /// none.
    states: [AtomicU64; 3],
    /// How often what is held was to be judged again.
    turns: AtomicU64,
}

/// What is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The widest scope of all pauses.
    pub scope: Scope,
    /// When the last of them ends, in milliseconds of Unix time.
    pub end_ms: u64,
    /// What that one is for.
    pub purpose: Purpose,
}

impl Pause {
    /// Makes the state without a pause.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pauses until `end_ms`. A longer or wider pause for the same purpose that is in force stays (Redis's
    /// rule).
    pub fn start(&self, purpose: Purpose, scope: Scope, end_ms: u64, now_ms: u64) {
        let (mut end, mut all) = (end_ms, scope == Scope::All);
        if let Some((old_scope, old_end)) = self.of(purpose, now_ms) {
            end = end.max(old_end);
            all |= old_scope == Scope::All;
        }
        self.states[purpose as usize].store(end << 1 | u64::from(all), Ordering::Release);
        self.set.fetch_or(1 << purpose as u64, Ordering::Release);
    }

    /// Ends the pause for a purpose.
    pub fn end(&self, purpose: Purpose) {
        self.set.fetch_and(!(1 << purpose as u64), Ordering::Release);
        self.states[purpose as usize].store(0, Ordering::Release);
        self.judge_again();
    }

    /// Has requests that are held judged again, though the pause goes on: its [turn](Self::turn) is another one.
    pub fn judge_again(&self) {
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// A number that is another one when what is held has to be judged again: what ends a connection's sleep for
    /// other reasons (messages, bytes, a clock that is moved) leaves the request where it is.
    pub fn turn(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// What is paused, if anything is.
    #[inline]
    pub fn in_force(&self, now_ms: u64) -> Option<InForce> {
        if !self.is_set() {
            return None;
        }
        let mut found: Option<InForce> = None;
        for purpose in Purpose::ALL {
            let Some((scope, end_ms)) = self.of(purpose, now_ms) else { continue };
            let widest =
                if found.is_some_and(|other| other.scope == Scope::All) { Scope::All } else { scope };
            found = Some(match found {
                Some(other) if other.end_ms >= end_ms => InForce { scope: widest, ..other },
                _ => InForce { scope: widest, end_ms, purpose },
            });
        }
        found
    }

    /// Whether a pause for this purpose is in force.
    pub fn is_for(&self, purpose: Purpose, now_ms: u64) -> bool {
        self.is_set() && self.of(purpose, now_ms).is_some()
    }

    fn of(&self, purpose: Purpose, now_ms: u64) -> Option<(Scope, u64)> {
        let state = self.states[purpose as usize].load(Ordering::Acquire);
        if state == 0 || state >> 1 <= now_ms {
            return None;
        }
        Some((if state & 1 != 0 { Scope::All } else { Scope::Write }, state >> 1))
    }

    /// Returns whether there may be a pause: a relaxed load, as the hot path asks.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pause: &Pause, now_ms: u64) -> Option<(Scope, u64, Purpose)> {
        pause.in_force(now_ms).map(|InForce { scope, end_ms, purpose }| (scope, end_ms, purpose))
    }

    /// Each purpose's pause ends by itself, and while several are in force the widest and the longest count.
    #[test]
    fn pauses_for_several_purposes_do_not_end_each_other() {
        let pause = Pause::new();
        assert_eq!((pause.is_set(), shown(&pause, 0)), (false, None));
        pause.start(Purpose::Client, Scope::All, 100, 0);
        pause.start(Purpose::Client, Scope::Write, 50, 0);
        assert_eq!(shown(&pause, 10), Some((Scope::All, 100, Purpose::Client)));
        pause.start(Purpose::Failover, Scope::Write, FOR_EVER_MS, 10);
        assert_eq!(shown(&pause, 99), Some((Scope::All, FOR_EVER_MS, Purpose::Failover)));
        assert_eq!(shown(&pause, 100), Some((Scope::Write, FOR_EVER_MS, Purpose::Failover)));
        pause.end(Purpose::Client);
        assert_eq!(shown(&pause, 10), Some((Scope::Write, FOR_EVER_MS, Purpose::Failover)));
        pause.start(Purpose::Client, Scope::Write, 200, 110);
        pause.end(Purpose::Failover);
        assert_eq!(shown(&pause, 110), Some((Scope::Write, 200, Purpose::Client)));
        assert_eq!(shown(&pause, 200), None);
        pause.end(Purpose::Client);
        assert!(!pause.is_set());
    }
}
