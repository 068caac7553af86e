//! ACL LOG: refused requests. Equal refusals within a minute share an entry.

use std::collections::VecDeque;

use super::check::Reason;

/// Milliseconds after the last equal refusal within which another one joins its entry (Redis's figure).
const SAME_WITHIN_MS: u64 = 60_000;
/// Entries searched for one of the same kind (Redis's figure).
const LOOKED_THROUGH: usize = 10;

/// Bytes kept of names and keys, which clients choose.
const TEXT_MAX: usize = 4096;

/// Where a refused request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A client, outside of a transaction.
    TopLevel,
    /// A request that EXEC runs.
    Transaction,
    /// A script or function.
    Script,
}

impl Place {
    /// The origin's word in ACL LOG.
    pub fn word(self) -> &'static str {
        match self {
            Place::TopLevel => "toplevel",
            Place::Transaction => "multi",
            Place::Script => "lua",
        }
    }
}

/// One entry of ACL LOG: what a user was refused, where, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was refused: command, key, channel, ...
    pub reason: Reason,
    /// Where the request came from.
    pub place: Place,
    /// The name of the refused command, key, channel or database.
    pub object: Vec<u8>,
    /// Name of the user.
    pub user: Vec<u8>,
    /// The client, as CLIENT LIST describes it.
    pub client: String,
}

/// An entry: equal refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Number of refusals.
    pub count: u64,
    /// The latest refusal.
    pub refusal: Refusal,
    /// Number of the entry; later entries have higher ones.
    pub id: u64,
    /// Time of the first, in milliseconds of Unix time.
    pub created_ms: u64,
    /// Time of the latest, in milliseconds of Unix time.
    pub updated_ms: u64,
}

/// The log, the latest first.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<LogEntry>,
    next_id: u64,
}

impl Log {
    /// Adds a refusal, and drops the oldest entries beyond `max`.
    pub fn add(&mut self, mut refusal: Refusal, now_ms: u64, max: usize) {
        refusal.object.truncate(TEXT_MAX);
        refusal.user.truncate(TEXT_MAX);
        let is_same = |entry: &LogEntry| {
            let Refusal { reason, place, object, user, .. } = &entry.refusal;
            (reason, place, object, user) == (&refusal.reason, &refusal.place, &refusal.object, &refusal.user)
                && now_ms.saturating_sub(entry.updated_ms) <= SAME_WITHIN_MS
        };
        let same = self.entries.iter().take(LOOKED_THROUGH).position(is_same);
        match same.and_then(|place| self.entries.remove(place)) {
            Some(entry) => {
                let count = entry.count + 1;
                self.entries.push_front(LogEntry { count, refusal, updated_ms: now_ms, ..entry });
            }
            None => {
                let id = self.next_id;
                self.next_id += 1;
                let (created_ms, updated_ms) = (now_ms, now_ms);
                self.entries.push_front(LogEntry { count: 1, refusal, id, created_ms, updated_ms });
            }
        }
        self.entries.truncate(max);
    }

    /// The entries, the latest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &LogEntry> {
        self.entries.iter()
    }

    /// Drops all entries; numbers go on.
    pub fn reset(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &str) -> Refusal {
        Refusal {
            reason: Reason::Key,
            place: Place::TopLevel,
            object: object.into(),
            user: b"u".to_vec(),
            client: String::new(),
        }
    }

    fn shown(log: &Log) -> Vec<(u64, u64, Vec<u8>)> {
        log.entries().map(|entry| (entry.id, entry.count, entry.refusal.object.clone())).collect()
    }

    #[test]
    fn like_refusals_are_one_entry_for_a_minute() {
        let mut log = Log::default();
        for (object, now_ms) in [("a", 0), ("b", 1), ("a", 60_000), ("a", 120_000)] {
            log.add(refusal(object), now_ms, 10);
        }
        assert_eq!(shown(&log), [(0, 3, b"a".to_vec()), (1, 1, b"b".to_vec())]);
        log.add(refusal("a"), 180_001, 10);
        assert_eq!(shown(&log)[0], (2, 1, b"a".to_vec()));
        let other = Refusal { place: Place::Script, ..refusal("a") };
        log.add(other, 180_001, 10);
        assert_eq!(shown(&log)[0], (3, 1, b"a".to_vec()));
    }

    #[test]
    fn the_oldest_entries_are_forgotten() {
        let mut log = Log::default();
        (0..20).for_each(|number| log.add(refusal(&number.to_string()), 0, 5));
        assert_eq!(log.entries().len(), 5);
        assert_eq!(shown(&log)[4], (15, 1, b"15".to_vec()));
        log.add(refusal("a"), 0, 0);
        assert_eq!(log.entries().len(), 0);
        log.add(refusal(&"k".repeat(10_000)), 0, 5);
        assert_eq!(shown(&log)[0].2.len(), TEXT_MAX);
    }
}
