//! Whether the locks of slots are given back: a sample of them is tried at each look.

use super::watch::holder_in_words;
use super::{PartFinding, State};
use crate::engine::Server;
use crate::keyspace::Keyspace;
use crate::keyspace::access::SlotLock;
use crate::keyspace::key_hash::SLOT_COUNT;

/// Slots that are tried at each look.
const SAMPLE: usize = 16;

/// Slots that were found locked and are tried again.
const KEPT: usize = 64;

/// A lock that nobody has got for so long is stuck.
const LIMIT_NS: u64 = 1_000_000_000;

/// From so long on it is said who has a lock.
const NAMED_NS: u64 = 300_000_000;

/// How often a lock is tried at a look. Most are held for less than a microsecond.
const TRIES: usize = 64;

/// A slot that was found locked.
#[derive(Clone, Copy, Debug)]
struct Held {
    physical: u16,
    slot: usize,
    since_ns: u64,
}

/// The slots that were found locked, and the longest time that one took to come free.
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: Vec<Held>,
    round_trip_ns: u64,
}

impl Slots {
    /// Tries a sample of the slots of all databases, and those that were locked before.
    pub(super) fn look(&mut self, keyspace: &Keyspace, now_ns: u64) {
        self.round_trip_ns = 0;
        let mut held = std::mem::take(&mut self.held);
        held.retain(|held| {
            let is_free = is_free(keyspace, held.physical, held.slot);
            if is_free {
                self.round_trip_ns = self.round_trip_ns.max(now_ns.saturating_sub(held.since_ns));
            }
            !is_free
        });
        self.held = held;
        for physical in keyspace.numbers_made() {
            for _ in 0..SAMPLE {
                let slot = fastrand::usize(..SLOT_COUNT);
                let is_known = self.held.iter().any(|held| (held.physical, held.slot) == (physical, slot));
                if self.held.len() < KEPT && !is_known && !is_free(keyspace, physical, slot) {
                    self.held.push(Held { physical, slot, since_ns: now_ns });
                }
            }
        }
    }

    /// Forgets since when slots are locked, see `Part::begin_anew`.
    pub(super) fn begin_anew(&mut self) {
        self.held.clear();
    }

    /// How they were found. `is_excused` where a heavy command or a slow script may have them.
    pub(super) fn finding(&self, server: &Server, is_excused: bool, now_ns: u64) -> PartFinding {
        let finding = self.found(is_excused, now_ns);
        let Some(longest) = self.longest().filter(|_| finding.waits_ns >= NAMED_NS) else { return finding };
        // The numbers of databases that clients know may be others, but mostly are the same.
        let lock = SlotLock { database: longest.physical, slot: longest.slot as u16, write: true };
        let holder = holder_in_words(server, Some(lock), now_ns);
        PartFinding { about: format!("{} by {holder}", finding.about), ..finding }
    }

    fn longest(&self) -> Option<&Held> {
        self.held.iter().min_by_key(|held| held.since_ns)
    }

    fn found(&self, is_excused: bool, now_ns: u64) -> PartFinding {
        let longest = self.longest();
        let waits_ns = longest.map_or(0, |held| now_ns.saturating_sub(held.since_ns));
        let state = match (waits_ns >= LIMIT_NS, is_excused) {
            (false, _) => State::Answers,
            (true, true) => State::Busy,
            (true, false) => State::Stuck,
        };
        let about = match longest {
            Some(held) => format!("slot {} of database {} is locked", held.slot, held.physical),
            None => String::new(),
        };
        PartFinding {
            name: "slot-locks".to_owned(),
            state,
            round_trip_ns: self.round_trip_ns,
            waits_ns,
            about,
        }
    }
}

fn is_free(keyspace: &Keyspace, physical: u16, slot: usize) -> bool {
    let Some(database) = keyspace.physical_if_used(physical) else { return true };
    (0..TRIES).any(|tried| {
        if tried > TRIES / 2 {
            std::thread::yield_now();
        }
        database.try_read_slot(slot).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_stays_locked_is_found() {
        let keyspace = Keyspace::new(1, 1, 5);
        let mut slots = Slots::default();
        let database = keyspace.physical(0);
        let guards: Vec<_> = (0..SLOT_COUNT).map(|slot| database.write_slot(slot)).collect();
        for look in 0..20 {
            slots.look(&keyspace, look);
        }
        assert_eq!(slots.held.len(), KEPT, "bounded");
        assert_eq!(slots.found(false, LIMIT_NS - 1).state, State::Answers);
        let found = slots.found(false, LIMIT_NS);
        assert_eq!((found.state, found.waits_ns), (State::Stuck, LIMIT_NS));
        assert!(found.about.ends_with(" of database 0 is locked"), "{}", found.about);
        assert_eq!(slots.found(true, LIMIT_NS).state, State::Busy);
        drop(guards);
        slots.look(&keyspace, LIMIT_NS);
        assert!(slots.held.is_empty());
        let found = slots.found(false, LIMIT_NS);
        assert_eq!((found.state, found.round_trip_ns, found.about.as_str()), (State::Answers, LIMIT_NS, ""));
    }
}
