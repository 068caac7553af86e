//! [`Overtaken`]: requests that heavy commands have overtaken, and what lets them by.
//!
//! A request that something heavy is in the way of looks again and again whether its locks are free (`busy.rs`).
//! Where heavy readers of one key follow each other so that one of them always has its lock, or a pipeline of heavy
//! writes leaves it free for a microsecond at a time, no look would find it so. A request that sees something in its
//! way that began after it had come is therefore entered here, and has its [`Turn`] until it has run. What comes later
//! and conflicts with it lets it by:
//!
//! - what may be broken off and turns out to be heavy waits without locks until the older request has run, and so does
//!   a script or a transaction, before it begins, that would share the lock with those that are in the way;
//! - anything else that needs for itself what the older request waits for waits for one look.
//!
//! Light requests that share a lock with what is in the way, and requests for other slots, wait for nobody. Nobody lets
//! younger ones by, so the oldest always gets on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::heavy::Needs;
use crate::command::keys::LockPlan;
use crate::keyspace::access::SlotLock;

/// When a request came, in nanoseconds of the monotonic clock, and the client that sent it: the order in which
/// requests let each other by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Came {
    /// The time.
    pub(super) at_ns: u64,
    /// Id of the client.
    pub(super) client: u64,
}

/// How an older request that was overtaken meets a younger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// The younger one would share locks with what is in the older one's way, and keep it waiting further.
    Shares,
    /// The younger one needs for itself what the older one waits for, so both wait for the same.
    Excludes,
}

/// Requests of one server that were overtaken.
#[derive(Debug, Default)]
pub struct Overtaken {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// How many there are, for those who only look.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// Those that wait for slots, by database and slot.
    slots: HashMap<(u16, u16), Slot>,
    /// Those that have to be alone.
    alone: BTreeSet<Came>,
    /// All of them.
    all: BTreeSet<Came>,
}

/// Requests that wait for one slot.
#[derive(Debug, Default)]
struct Slot {
    readers: BTreeSet<Came>,
    writers: BTreeSet<Came>,
}

/// The turn of a request that was overtaken, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    shared: Arc<Shared>,
    came: Came,
    plan: LockPlan,
    is_alone: bool,
}

impl Overtaken {
    /// Whether there are any. Two loads.
    #[inline]
    pub fn any(&self) -> bool {
        self.count() > 0
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Gives a request that was overtaken its turn.
    pub(super) fn enter(&self, came: Came, needs: Needs<'_>) -> Turn {
        let plan = if needs.alone { LockPlan::new() } else { LockPlan::from_slice(needs.plan) };
        let mut state = self.shared.state.lock();
        state.all.insert(came);
        if needs.alone {
            state.alone.insert(came);
        }
        for lock in &plan {
            state.slots.entry(lock.place()).or_default().of(lock.write).insert(came);
        }
        self.shared.count.store(state.all.len(), Ordering::Relaxed);
        Turn { shared: Arc::clone(&self.shared), came, plan, is_alone: needs.alone }
    }

    /// Finds how a request that came then meets an older one that was overtaken: it needs these locks, or all of them
    /// (`None`).
    pub(super) fn meets(&self, came: Came, locks: Option<&[SlotLock]>) -> Option<Meeting> {
        let state = self.shared.state.lock();
        let is_older = |of: &BTreeSet<Came>| of.first().is_some_and(|first| *first < came);
        let Some(locks) = locks else {
            return is_older(&state.all).then_some(Meeting::Excludes);
        };
        if !locks.is_empty() && is_older(&state.alone) {
            return Some(Meeting::Shares);
        }
        let mut excludes = false;
        for lock in locks {
            let Some(slot) = state.slots.get(&lock.place()) else { continue };
            if !lock.write && is_older(&slot.writers) {
                return Some(Meeting::Shares);
            }
            excludes |= lock.write && (is_older(&slot.writers) || is_older(&slot.readers));
        }
        excludes.then_some(Meeting::Excludes)
    }
}

impl Slot {
    fn of(&mut self, write: bool) -> &mut BTreeSet<Came> {
        if write { &mut self.writers } else { &mut self.readers }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.all.remove(&self.came);
        if self.is_alone {
            state.alone.remove(&self.came);
        }
        for lock in &self.plan {
            let Entry::Occupied(mut slot) = state.slots.entry(lock.place()) else { continue };
            slot.get_mut().of(lock.write).remove(&self.came);
            if slot.get().readers.is_empty() && slot.get().writers.is_empty() {
                slot.remove();
            }
        }
        self.shared.count.store(state.all.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(at_ns: u64) -> Came {
        Came { at_ns, client: 1 }
    }

    fn lock(slot: u16, write: bool) -> SlotLock {
        SlotLock { database: 0, slot, write }
    }

    #[test]
    fn younger_ones_meet_those_that_wait_for_the_same_slot() {
        let overtaken = Overtaken::default();
        let (read, write) = ([lock(7, false)], [lock(7, true)]);
        let of = |plan| Needs { plan, alone: false, gate: false };
        let writer = overtaken.enter(came(10), of(&write));
        assert_eq!(overtaken.meets(came(20), Some(&read)), Some(Meeting::Shares));
        assert_eq!(overtaken.meets(came(20), Some(&write)), Some(Meeting::Excludes));
        assert_eq!(overtaken.meets(came(20), None), Some(Meeting::Excludes));
        assert_eq!(overtaken.meets(came(20), Some(&[lock(8, true)])), None, "another slot");
        assert_eq!(overtaken.meets(came(20), Some(&[])), None, "it has no locks");
        assert_eq!(overtaken.meets(came(5), Some(&read)), None, "it is older");
        let reader = overtaken.enter(came(5), of(&read));
        drop(writer);
        assert_eq!(overtaken.meets(came(20), Some(&read)), None, "both read");
        assert_eq!(overtaken.meets(came(20), Some(&write)), Some(Meeting::Excludes));
        assert!(overtaken.any());
        drop(reader);
        assert_eq!(overtaken.meets(came(20), Some(&write)), None);
        assert!(!overtaken.any() && overtaken.shared.state.lock().slots.is_empty());
    }

    #[test]
    fn whoever_has_to_be_alone_is_met_by_all_that_have_locks() {
        let overtaken = Overtaken::default();
        let alone = overtaken.enter(came(10), Needs { plan: &[lock(1, true)], alone: true, gate: true });
        let walk = overtaken.enter(came(11), Needs { plan: &[], alone: false, gate: true });
        assert_eq!(overtaken.meets(came(20), Some(&[lock(9, false)])), Some(Meeting::Shares));
        assert_eq!(overtaken.meets(came(20), Some(&[])), None);
        drop(alone);
        assert_eq!(overtaken.meets(came(20), Some(&[lock(9, false)])), None);
        assert_eq!(
            overtaken.meets(came(20), None),
            Some(Meeting::Excludes),
            "a walk waits for the gate alone"
        );
        drop(walk);
        assert_eq!(overtaken.meets(came(20), None), None);
    }
}
