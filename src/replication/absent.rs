//! [`Absent`]: replicas that were cut off and for which the stream is kept in the spill file.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::journal::Hold;

/// Most replicas that are remembered.
const MOST: usize = 64;

/// Replicas that are expected to come back, in the order in which they left. Each is known by its name; one
/// that announced no port has none.
#[derive(Debug, Default)]
pub struct Absent(Mutex<VecDeque<Gone>>);

#[derive(Debug)]
struct Gone {
    name: String,
    hold: Hold,
    since_ms: u64,
}

impl Absent {
    /// Enters one. Returns what is not to be kept any longer: for the same one before, or the oldest of too
    /// many.
    pub fn add(&self, name: String, hold: Hold, now_ms: u64) -> Option<Hold> {
        let before = self.remove(&name);
        let mut all = self.0.lock();
        all.push_back(Gone { name, hold, since_ms: now_ms });
        let oldest = if all.len() > MOST { all.pop_front().map(|gone| gone.hold) } else { None };
        before.or(oldest)
    }

    /// One is back. Returns what was kept for it.
    pub fn remove(&self, name: &str) -> Option<Hold> {
        let mut all = self.0.lock();
        let at = all.iter().position(|gone| gone.name == name)?;
        all.remove(at).map(|gone| gone.hold)
    }

    /// Forgets the first that has been gone for longer than `ttl_ms`. Returns what was kept for it.
    pub fn remove_old(&self, now_ms: u64, ttl_ms: u64) -> Option<Hold> {
        let mut all = self.0.lock();
        let is_old = |gone: &Gone| now_ms.saturating_sub(gone.since_ms) > ttl_ms;
        if all.front().is_some_and(is_old) { all.pop_front().map(|gone| gone.hold) } else { None }
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}
