//! Chooses keys to evict, and evicts them.
//!
//! As in Redis, a few keys are sampled, and the best candidates of this and earlier samples are kept in a
//! small pool, from which the best is evicted first. All keys of a sample come from one slot, which costs one
//! lock: which keys share a slot is up to the hash, so they are as good a sample as keys from all over. A
//! candidate that was used or changed since it was sampled is not evicted. `volatile-ttl` uses the same pool.

use super::Keyspace;
use super::access_clock::{AccessClock, lfu_counter};
use super::change::{ChangeSink, EventClass};
use super::database::Database;
use super::key_hash::{SLOT_COUNT, slot_of_hash};
use super::reaper::FreeReason;
use super::record::Record;
use super::table::{self, SlotTable};

/// Candidates in the pool (Redis's figure).
const POOL: usize = 16;

/// By what property keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Least recently used first.
    Lru,
    /// Least frequently used first.
    Lfu,
    /// Least recently changed first.
    Lrm,
    /// Any.
    Random,
    /// Earliest expiry first.
    Ttl,
}

/// `maxmemory-policy`, if it evicts at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How the keys are ranked.
    pub worth: Worth,
    /// Only keys with an expiry.
    pub volatile: bool,
}

impl Policy {
    /// The policy of this name; `None` for `noeviction`.
    pub fn of(name: &str) -> Option<Policy> {
        let (keys, worth) = name.split_once('-')?;
        let worth = match worth {
            "lru" => Worth::Lru,
            "lfu" => Worth::Lfu,
            "lrm" => Worth::Lrm,
            "random" => Worth::Random,
            "ttl" => Worth::Ttl,
            _ => return None,
        };
        Some(Policy { worth, volatile: keys == "volatile" })
    }
}

/// A sampled key.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Rank; the highest is evicted first.
    rank: u64,
    database: usize,
    hash: u64,
}

/// The pool and the random state, kept between evictions.
#[derive(Debug, Default)]
pub struct Evictor {
    /// Candidates, the best at the end.
    pool: Vec<Candidate>,
    policy: Option<Policy>,
    rng: fastrand::Rng,
    /// Where the last random key was.
    next_database: usize,
    /// Whether somebody held the slot of what was to be evicted, since this was last set to false.
    pub saw_held: bool,
}

/// How keys are sampled and ranked.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// `maxmemory-policy`.
    pub policy: Policy,
    /// `maxmemory-samples`.
    pub samples: usize,
    /// The present state of the access clock.
    pub clock: AccessClock,
}

impl Evictor {
    /// Evicts one key and tells `changes` under its slot's lock. Returns about how many bytes the key and
    /// its value took; `None` where none was evicted.
    pub fn evict_one(&mut self, keyspace: &Keyspace, changes: &dyn ChangeSink, look: &Look) -> Option<usize> {
        /// Samples in a row without an eviction, because slots were locked or candidates had changed, after
        /// which the call gives up.
        const TRIES: usize = 16;
        if self.policy != Some(look.policy) {
            self.pool.clear();
            self.policy = Some(look.policy);
        }
        let gate = keyspace.gate.shared(crate::worker::current());
        let used = |(number, physical): (usize, &u16)| Some((number, keyspace.physical_if_used(*physical)?));
        if !gate.iter().enumerate().filter_map(used).any(|(_, database)| has_evictable(database, look)) {
            return None;
        }
        for _ in 0..TRIES {
            if look.policy.worth == Worth::Random {
                self.pool.clear();
                // Databases take turns.
                let any = (0..gate.len()).any(|_| {
                    self.next_database = (self.next_database + 1) % gate.len();
                    let database = keyspace.physical_if_used(gate[self.next_database]);
                    database.is_some_and(|database| self.look_at(database, self.next_database, look, 1))
                });
                if !any {
                    return None;
                }
            } else {
                let mut any = false;
                for (number, &physical) in gate.iter().enumerate() {
                    let Some(database) = keyspace.physical_if_used(physical) else { continue };
                    any |= self.look_at(database, number, look, look.samples);
                }
                if !any {
                    return None;
                }
            }
            while let Some(candidate) = self.pool.pop() {
                let Some(database) = keyspace.physical_if_used(gate[candidate.database]) else { continue };
                match evict(keyspace, database, changes, &candidate, look) {
                    Ok(bytes) => return Some(bytes),
                    Err(kept) => self.saw_held |= kept == Kept::Held,
                }
            }
        }
        // Where most keys are blessed, samples may have nothing else.
        gate.iter().enumerate().filter_map(used).find_map(|(number, database)| {
            if database.blessed.is_empty() || !has_evictable(database, look) {
                return None;
            }
            let candidate = self.search(database, number, look)?;
            evict(keyspace, database, changes, &candidate, look).ok()
        })
    }

    /// Finds a key that may be evicted, from a random slot on, in a database with blessed keys.
    fn search(&mut self, database: &Database, number: usize, look: &Look) -> Option<Candidate> {
        let start = self.rng.usize(..SLOT_COUNT);
        let may_have_one = |slot: &usize| match look.policy.volatile {
            true => database.slot_volatile(*slot) > 0,
            false => database.slot_len(*slot) > database.blessed.in_slot(*slot),
        };
        (start..SLOT_COUNT).chain(0..start).filter(may_have_one).find_map(|slot| {
            let table = database.try_read_slot(slot)?;
            let record = table::iter(&table).find(|record| may_be_evicted(record, look))?;
            let hash = database.hasher().hash(record.key());
            Some(Candidate { rank: rank(record, look), database: number, hash })
        })
    }

    /// Samples about `samples` keys into the pool. Returns whether there was a key at all.
    fn look_at(&mut self, database: &Database, number: usize, look: &Look, samples: usize) -> bool {
        /// Slots visited for one sample: small keyspaces have a key or none in each.
        const SLOTS_MAX: usize = 64;
        let mut left = samples;
        for _ in 0..SLOTS_MAX {
            let Some(slot) = self.random_slot(database, look) else { return false };
            let Some(table) = database.try_read_slot(slot) else {
                self.saw_held = true;
                continue;
            };
            // Taking all keys of a nearly empty slot would favour them: one of a few is taken, several of
            // many.
            let share = left.min(1 + table.len() / 8);
            for _ in 0..share {
                if let Some(record) = self.random_record(&table, look)
                    && !record.is_blessed()
                {
                    let hash = database.hasher().hash(record.key());
                    self.note(Candidate { rank: rank(record, look), database: number, hash });
                }
            }
            left -= share;
            if left == 0 {
                break;
            }
        }
        true
    }

    /// Finds a slot with keys, from a random slot on.
    fn random_slot(&mut self, database: &Database, look: &Look) -> Option<usize> {
        let start = self.rng.usize(..SLOT_COUNT);
        (start..SLOT_COUNT).chain(0..start).find(|slot| {
            (if look.policy.volatile { database.slot_volatile(*slot) } else { database.slot_len(*slot) }) > 0
        })
    }

    fn random_record<'t>(&mut self, table: &'t SlotTable, look: &Look) -> Option<&'t Record> {
        if !look.policy.volatile {
            return table::random(table, &mut self.rng);
        }
        for _ in 0..8 {
            let record = table::random(table, &mut self.rng)?;
            if record.expire_at_ms().is_some() {
                return Some(record);
            }
        }
        // Few keys of this slot are volatile: take the first of them.
        let volatile = || table::iter(table).filter(|record| record.expire_at_ms().is_some());
        let count = volatile().count();
        if count == 0 { None } else { volatile().nth(self.rng.usize(..count)) }
    }

    /// Puts a candidate into the pool if it is better than the worst there.
    fn note(&mut self, candidate: Candidate) {
        if self.pool.iter().any(|known| known.hash == candidate.hash && known.database == candidate.database)
        {
            return;
        }
        let position = self.pool.partition_point(|known| known.rank < candidate.rank);
        if self.pool.len() < POOL {
            self.pool.insert(position, candidate);
        } else if position > 0 {
            self.pool.remove(0);
            self.pool.insert(position - 1, candidate);
        }
    }
}

/// Whether the policy lets a key be evicted: one that is not blessed, and has an expiry if that is asked for.
fn may_be_evicted(record: &Record, look: &Look) -> bool {
    !record.is_blessed() && (!look.policy.volatile || record.expire_at_ms().is_some())
}

/// Whether the policy lets any key of a database be evicted.
fn has_evictable(database: &Database, look: &Look) -> bool {
    let blessed = &database.blessed;
    match look.policy.volatile {
        _ if blessed.is_empty() => true,
        true => database.volatile_len() > blessed.volatile_len(),
        false => database.len() > blessed.len(),
    }
}

/// Rank of a key under the policy; the highest is evicted first.
fn rank(record: &Record, look: &Look) -> u64 {
    match (look.policy.worth, look.clock) {
        (Worth::Lru, AccessClock::Lru(now)) | (Worth::Lrm, AccessClock::Lrm(now)) => {
            u64::from(now.wrapping_sub(record.access()) & 0xff_ffff)
        }
        (Worth::Lfu, AccessClock::Lfu { minutes, decay_minutes, .. }) => {
            u64::from(255 - lfu_counter(record.access(), minutes, decay_minutes))
        }
        (Worth::Ttl, _) => u64::MAX - record.expire_at_ms().unwrap_or(u64::MAX),
        // The policy has just changed, and the clock follows with the next batch.
        (Worth::Lru | Worth::Lfu | Worth::Lrm | Worth::Random, _) => 0,
    }
}

/// Why a candidate is not evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Somebody holds its slot.
    Held,
    /// It is gone, or others are to go before it now.
    Stays,
}

/// Evicts a candidate unless its slot is locked, the key is gone, or its rank has fallen.
fn evict(
    keyspace: &Keyspace,
    database: &Database,
    changes: &dyn ChangeSink,
    candidate: &Candidate,
    look: &Look,
) -> Result<usize, Kept> {
    let mut table = database.try_write_slot(slot_of_hash(candidate.hash)).ok_or(Kept::Held)?;
    let stands = |record: &Record| may_be_evicted(record, look) && rank(record, look) >= candidate.rank;
    let record = database.remove_by_hash(&mut table, candidate.hash, stands).ok_or(Kept::Stays)?;
    let bytes = record.memory_bytes();
    let key = database.hasher().key(record.key());
    changes.removed(candidate.database, &key, keyspace.reaper.is_lazy(FreeReason::Evicted));
    changes.changed(candidate.database, &key, EventClass::EVICTED, "evicted");
    keyspace.reaper.discard(record, FreeReason::Evicted);
    database.give_back_if_empty(&mut table, slot_of_hash(candidate.hash));
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::key_hash::HashedKey;
    use super::*;

    #[derive(Default)]
    pub(in crate::keyspace) struct Told(std::cell::RefCell<Vec<Box<[u8]>>>);

    impl ChangeSink for Told {
        fn changed(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
            assert_eq!((database, class, event), (0, EventClass::EVICTED, "evicted"));
            self.0.borrow_mut().push(key.bytes.into());
        }

        fn removed(&self, _: usize, _: &HashedKey<'_>, _: bool) {}

        fn touched(&self, _: usize, _: &HashedKey<'_>) {}

        fn fields_ended(&self, _: usize, _: &HashedKey<'_>, _: &[Box<[u8]>]) {}

        fn members_ended(&self, _: usize, _: &HashedKey<'_>, _: &[Box<[u8]>]) {}

        fn flushed(&self, _: usize, _: bool) {}

        fn swapped(&self, _: usize, _: usize) {}

        fn watched(&self, _: usize) -> Vec<Box<[u8]>> {
            Vec::new()
        }

        fn of_interest(&self, _: usize) -> Vec<Box<[u8]>> {
            Vec::new()
        }
    }

    /// Keys `0..count`; of key n the access clock says n, and it ends at n where n is even.
    fn keyspace(count: u32) -> Keyspace {
        let keyspace = Keyspace::new(1, 1, 7);
        let database = keyspace.physical(0);
        for number in 0..count {
            let name = number.to_string();
            let key = database.hasher().key(name.as_bytes());
            let expiry = number.is_multiple_of(2).then_some(u64::from(number) + 1_000_000);
            let record = Record::new_string(key.bytes, b"value", expiry, false);
            record.set_access(number);
            database.insert(&mut database.write_slot(key.slot()), &key, record);
        }
        keyspace
    }

    fn evicted(keyspace: &Keyspace, policy: &str, times: usize, now: u32) -> Vec<u32> {
        let mut evictor = Evictor { rng: fastrand::Rng::with_seed(3), ..Evictor::default() };
        let told = Told::default();
        let clock = if policy.ends_with("lfu") {
            AccessClock::Lfu { minutes: 0, log_factor: 10, decay_minutes: 0 }
        } else if policy.ends_with("lrm") {
            AccessClock::Lrm(now)
        } else {
            AccessClock::Lru(now)
        };
        let look = Look { policy: Policy::of(policy).unwrap(), samples: 5, clock };
        for _ in 0..times {
            assert!(evictor.evict_one(keyspace, &told, &look).is_some());
        }
        told.0.take().iter().map(|key| std::str::from_utf8(key).unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn those_go_first_that_were_used_least_recently() {
        for policy in ["allkeys-lru", "allkeys-lrm"] {
            let keyspace = keyspace(10_000);
            let gone = evicted(&keyspace, policy, 2_000, 10_000);
            assert_eq!(keyspace.physical(0).len(), 8_000);
            // Chance would give 5,000 on average; the true order, 1,000.
            let mean = gone.iter().map(|&number| u64::from(number)).sum::<u64>() / 2_000;
            assert!(mean < 2_000, "{policy} {mean}");
        }
    }

    #[test]
    fn those_go_first_that_end_soonest() {
        let keyspace = keyspace(10_000);
        let gone = evicted(&keyspace, "volatile-ttl", 1_000, 0);
        assert!(gone.iter().all(|number| number.is_multiple_of(2)));
        let mean = gone.iter().map(|&number| u64::from(number)).sum::<u64>() / 1_000;
        assert!(mean < 2_000, "{mean}");
    }

    #[test]
    fn those_go_first_that_were_used_least_often() {
        let keyspace = keyspace(256);
        let gone = evicted(&keyspace, "allkeys-lfu", 64, 0);
        let mean = gone.iter().sum::<u32>() / 64;
        assert!(mean < 60, "{mean}");
    }

    #[test]
    fn volatile_policies_leave_other_keys_alone() {
        for policy in ["volatile-lru", "volatile-lfu", "volatile-lrm", "volatile-random", "volatile-ttl"] {
            let keyspace = keyspace(100);
            let gone = evicted(&keyspace, policy, 50, 100);
            assert!(gone.iter().all(|number| number.is_multiple_of(2)), "{policy}");
            let mut evictor = Evictor::default();
            let look = Look { policy: Policy::of(policy).unwrap(), samples: 5, clock: AccessClock::Lru(100) };
            assert_eq!(evictor.evict_one(&keyspace, &Told::default(), &look), None, "{policy}");
        }
    }

    /// Slots that are emptied give back their tables and the entries of ends: else evicting keys of which each
    /// slot has one would make no room.
    #[test]
    fn emptied_slots_give_back_their_memory() {
        let keyspace = keyspace(500);
        let database = keyspace.physical(0);
        assert!(database.overhead_bytes() > 500 * 32);
        evicted(&keyspace, "volatile-ttl", 250, 0);
        let half = database.overhead_bytes();
        evicted(&keyspace, "allkeys-random", 250, 0);
        assert!(half > 0 && database.is_empty());
        assert_eq!(database.overhead_bytes(), 0);
        // They are used again.
        let key = database.hasher().key(b"again");
        let record = Record::new_string(key.bytes, b"value", Some(5), false);
        database.insert(&mut database.write_slot(key.slot()), &key, record);
        assert!(database.expiry.pop_due(key.slot(), 5).is_some());
    }

    #[test]
    fn any_key_may_go() {
        let keyspace = keyspace(50);
        let mut gone = evicted(&keyspace, "allkeys-random", 50, 0);
        gone.sort_unstable();
        assert_eq!(gone, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn who_was_used_since_the_look_stays() {
        let keyspace = keyspace(2);
        let mut evictor = Evictor::default();
        let look =
            Look { policy: Policy::of("allkeys-lru").unwrap(), samples: 5, clock: AccessClock::Lru(100) };
        let database = keyspace.physical(0);
        evictor.look_at(database, 0, &look, 5);
        let key = database.hasher().key(b"0");
        table::find(&database.read_slot(key.slot()), &key).unwrap().set_access(99);
        let told = Told::default();
        evictor.policy = Some(look.policy);
        assert!(evictor.evict_one(&keyspace, &told, &look).is_some());
        assert_eq!(told.0.take(), [Box::from(&b"1"[..])]);
    }

    #[test]
    fn policies_have_names() {
        assert_eq!(Policy::of("noeviction"), None);
        assert_eq!(Policy::of("volatile-ttl"), Some(Policy { worth: Worth::Ttl, volatile: true }));
        assert_eq!(Policy::of("allkeys-random"), Some(Policy { worth: Worth::Random, volatile: false }));
    }
}
