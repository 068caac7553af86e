//! [`Turns`]: who lets whom by where locks are held for long.
//!
//! Whoever waits for a lock that others hold for long looks again and again whether it is free. Where those that
//! share a lock follow each other so that one of them always has it, no look would find it so. Whoever has waited in
//! vain for some time therefore takes a [`Turn`] here, and keeps it until it has had its lock. Those that came later,
//! are going to take long and conflict with it ask here ([`Turns::meets`]), and let it by. What each of them does then
//! is told in `engine/overtaken.rs`. Nobody lets younger ones by, so the oldest always gets on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::Keyspace;
use super::access::SlotLock;

/// When a request came, in nanoseconds of the monotonic clock, and the client that sent it: the order in which
/// requests let each other by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Came {
    /// The time.
    pub at_ns: u64,
    /// Id of the client; for work of the server's own a number that no client has.
    pub client: u64,
}

/// How somebody that has a turn meets somebody younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// The younger one would share locks with what is in the older one's way, and keep it waiting further.
    Shares,
    /// The younger one needs for itself what the older one waits for, so both wait for the same.
    Excludes,
}

/// Those of one keyspace that have a turn.
#[derive(Debug, Default)]
pub struct Turns {
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
    /// How much work of the server's own there was.
    own: u64,
}

/// Those that wait for one slot.
#[derive(Debug, Default)]
struct Slot {
    readers: BTreeSet<Came>,
    writers: BTreeSet<Came>,
}

/// A turn, until this is dropped.
#[derive(Debug)]
pub struct Turn {
    shared: Arc<Shared>,
    came: Came,
    plan: SmallVec<[SlotLock; 4]>,
    is_alone: bool,
}

/// Work of the server's own that finds a slot held at each of its tries.
#[derive(Debug, Default)]
pub struct Trying {
    /// Physical database and slot.
    slot: Option<(u16, usize)>,
    tries: u32,
    turn: Option<Turn>,
    /// Whether it had a turn for the slot before: it takes the next one at once.
    is_known: bool,
}

/// After so many tries in vain it takes a turn.
const TRIES: u32 = 12;

impl Turns {
    /// Whether there are any. Two loads.
    #[inline]
    pub fn any(&self) -> bool {
        self.count() > 0
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Gives a turn to a request that needs these locks, or has to be alone.
    pub fn enter(&self, came: Came, plan: &[SlotLock], is_alone: bool) -> Turn {
        let plan: SmallVec<[SlotLock; 4]> =
            if is_alone { SmallVec::new() } else { SmallVec::from_slice(plan) };
        let mut state = self.shared.state.lock();
        state.all.insert(came);
        if is_alone {
            state.alone.insert(came);
        }
        for lock in &plan {
            state.slots.entry(lock.place()).or_default().of(lock.write).insert(came);
        }
        self.shared.count.store(state.all.len(), Ordering::Relaxed);
        Turn { shared: Arc::clone(&self.shared), came, plan, is_alone }
    }

    /// As [`enter`](Self::enter), for work of the server's own, which counts as the oldest.
    pub fn enter_own(&self, plan: &[SlotLock], is_alone: bool) -> Turn {
        let mut state = self.shared.state.lock();
        state.own += 1;
        let came = Came { at_ns: 0, client: u64::MAX - state.own };
        drop(state);
        self.enter(came, plan, is_alone)
    }

    /// Finds how a request that came then meets somebody older that has a turn: it needs these locks, or all of them
    /// (`None`).
    pub fn meets(&self, came: Came, locks: Option<&[SlotLock]>) -> Option<Meeting> {
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

impl Trying {
    /// A try for a slot of a physical database has failed.
    pub fn failed(&mut self, keyspace: &Keyspace, physical: u16, slot: usize) {
        if self.slot != Some((physical, slot)) {
            *self = Self { slot: Some((physical, slot)), ..Self::default() };
        }
        self.tries += 1;
        if (self.is_known || self.tries >= TRIES) && self.turn.is_none() {
            let number = |number: &usize| keyspace.gate.shown(*number) == physical;
            let shown = (0..keyspace.database_count()).find(number);
            self.turn = shown.map(|number| {
                let lock = SlotLock { database: number as u16, slot: slot as u16, write: true };
                keyspace.turns.enter_own(&[lock], false)
            });
        }
    }

    /// It does something else before its next try: it keeps no turn meanwhile.
    pub fn lets_go(&mut self) {
        self.is_known |= self.turn.take().is_some();
    }

    /// It has got a slot. Its turn is over: what it does next may take long for other reasons. Returns whether it had
    /// one.
    pub fn succeeded(&mut self, physical: u16, slot: usize) -> bool {
        let had_turn = self.turn.take().is_some();
        if self.slot == Some((physical, slot)) {
            self.is_known |= had_turn;
            self.tries = 0;
        } else {
            *self = Self::default();
        }
        had_turn
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
        let turns = Turns::default();
        let (read, write) = ([lock(7, false)], [lock(7, true)]);
        let writer = turns.enter(came(10), &write, false);
        assert_eq!(turns.meets(came(20), Some(&read)), Some(Meeting::Shares));
        assert_eq!(turns.meets(came(20), Some(&write)), Some(Meeting::Excludes));
        assert_eq!(turns.meets(came(20), None), Some(Meeting::Excludes));
        assert_eq!(turns.meets(came(20), Some(&[lock(8, true)])), None, "another slot");
        assert_eq!(turns.meets(came(20), Some(&[])), None, "it has no locks");
        assert_eq!(turns.meets(came(5), Some(&read)), None, "it is older");
        let reader = turns.enter(came(5), &read, false);
        drop(writer);
        assert_eq!(turns.meets(came(20), Some(&read)), None, "both read");
        assert_eq!(turns.meets(came(20), Some(&write)), Some(Meeting::Excludes));
        assert!(turns.any());
        drop(reader);
        assert_eq!(turns.meets(came(20), Some(&write)), None);
        assert!(!turns.any() && turns.shared.state.lock().slots.is_empty());
    }

    #[test]
    fn work_that_tries_in_vain_takes_a_turn() {
        let keyspace = Keyspace::new(2, 1, 7);
        let mut trying = Trying::default();
        let reads = [lock(5, false)];
        for _ in 1..TRIES {
            trying.failed(&keyspace, 0, 5);
        }
        assert_eq!(keyspace.turns.meets(came(20), Some(&reads)), None);
        trying.failed(&keyspace, 0, 5);
        assert_eq!(keyspace.turns.meets(came(20), Some(&reads)), Some(Meeting::Shares));
        trying.lets_go();
        assert!(!keyspace.turns.any());
        trying.failed(&keyspace, 0, 5);
        assert!(trying.succeeded(0, 5) && !keyspace.turns.any());
        trying.failed(&keyspace, 0, 5);
        assert!(keyspace.turns.any(), "the slot is known to be held");
        assert!(trying.succeeded(0, 6) && !trying.succeeded(0, 6) && !keyspace.turns.any());
        trying.failed(&keyspace, 0, 5);
        assert!(!keyspace.turns.any(), "another slot was free meanwhile");
    }

    #[test]
    fn whoever_has_to_be_alone_is_met_by_all_that_have_locks() {
        let turns = Turns::default();
        let alone = turns.enter(came(10), &[lock(1, true)], true);
        let walk = turns.enter(came(11), &[], false);
        assert_eq!(turns.meets(came(20), Some(&[lock(9, false)])), Some(Meeting::Shares));
        assert_eq!(turns.meets(came(20), Some(&[])), None);
        drop(alone);
        assert_eq!(turns.meets(came(20), Some(&[lock(9, false)])), None);
        assert_eq!(turns.meets(came(20), None), Some(Meeting::Excludes), "a walk waits for the gate alone");
        drop(walk);
        assert_eq!(turns.meets(came(20), None), None);
    }
}
