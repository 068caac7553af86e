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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Entries, Journal};

    /// What is kept for so many replicas that were cut off, each from the beginning on.
    fn holds(journal: &Journal, count: usize) -> Vec<Hold> {
        let hold = |_| {
            let reader = journal.listen_from(0, || {}).expect("it is kept");
            journal.leave_and_hold(&reader).expect("there is a file")
        };
        (0..count).map(hold).collect()
    }

    /// Each is known by its name, too many are not remembered, and none for ever.
    #[test]
    fn those_who_are_gone_are_remembered_for_a_while() {
        let journal = Journal::default();
        journal.set_spill_waker(|| {});
        journal.set_spill(1 << 30);
        journal.keep(Some(1 << 20));
        journal.append(&Entries::default());
        let holds = holds(&journal, MOST + 3);
        let absent = Absent::default();
        assert_eq!(absent.add("one".into(), holds[0], 1000), None);
        assert_eq!(absent.add("other".into(), holds[1], 2000), None);
        assert_eq!(absent.add("one".into(), holds[2], 3000), Some(holds[0]), "it was gone before");
        assert_eq!(absent.remove_old(5000, 3000), None);
        assert_eq!(absent.remove_old(5001, 3000), Some(holds[1]));
        assert_eq!(absent.remove_old(5001, 3000), None);
        assert_eq!(absent.remove("none"), None);
        assert_eq!((absent.remove("one"), absent.remove("one")), (Some(holds[2]), None));
        for (number, hold) in holds[3..].iter().enumerate() {
            let oldest = absent.add(number.to_string(), *hold, 6000);
            assert_eq!(oldest, None, "{number}");
        }
        assert_eq!(absent.add("one more".into(), holds[0], 6000), Some(holds[3]));
        absent.clear();
        assert_eq!(absent.remove_old(u64::MAX, 0), None);
    }
}
