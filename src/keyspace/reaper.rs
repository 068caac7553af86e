//! Frees big values on a thread of its own, so that deleting a value of a million elements holds no lock
//! while it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::record::{RecordBox, ValueRef};
use super::snapshot::Handover;
use super::table::SlotTable;

/// Values with more elements than this are freed by the thread (Redis's figure for lazy freeing).
const EFFORT_MIN: usize = 64;

/// Why a value is freed. The `lazyfree-lazy-...` directives say for each reason whether the thread does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeReason {
    /// Eviction (`lazyfree-lazy-eviction`).
    Evicted,
    /// Expiry (`lazyfree-lazy-expire`).
    Expired,
    /// A command replaced or emptied it (`lazyfree-lazy-server-del`).
    Overwritten,
    /// DEL (`lazyfree-lazy-user-del`).
    Deleted,
    /// UNLINK, or a transaction that kept the value to be undone. Always freed by the thread.
    Unlinked,
}

impl FreeReason {
    const COUNT: usize = 5;
}

/// What is sent to the thread to be freed.
enum Garbage {
    /// An evicted record, and about how many bytes it takes.
    Evicted(#[expect(dead_code, reason = "held only to be dropped")] RecordBox, usize),
    Record(#[expect(dead_code, reason = "held only to be dropped")] RecordBox),
    Table(SlotTable),
}

/// Handle of the freeing thread. Dropping it waits for the thread to end.
#[derive(Debug)]
pub struct Reaper {
    sender: Option<Sender<Garbage>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    /// For each [`FreeReason`]: whether values are freed in the calling thread instead.
    at_once: [AtomicBool; FreeReason::COUNT],
    handover: Arc<Handover>,
}

#[derive(Debug, Default)]
struct Counters {
    pending: AtomicU64,
    /// Bytes of evicted records among them.
    pending_evicted: AtomicUsize,
    freed: AtomicU64,
}

impl Reaper {
    /// Starts the thread of a keyspace, whose snapshots get the values that they are reading.
    pub fn for_keyspace(handover: Arc<Handover>) -> Self {
        let mut reaper = Self::start();
        reaper.handover = handover;
        reaper
    }

    /// Starts the thread. Where the system refuses one, everything is freed by the caller instead.
    pub fn start() -> Self {
        let (sender, receiver) = channel::<Garbage>();
        let counters = Arc::new(Counters::default());
        let seen = Arc::clone(&counters);
        let thread = std::thread::Builder::new().name("kvarts-reaper".into()).spawn(move || {
            for garbage in receiver {
                let (count, evicted) = (garbage.count(), garbage.evicted_bytes());
                drop(garbage);
                seen.pending_evicted.fetch_sub(evicted, Ordering::Relaxed);
                seen.freed.fetch_add(count, Ordering::Relaxed);
                seen.pending.fetch_sub(count, Ordering::Relaxed);
            }
        });
        match thread {
            Ok(thread) => Self {
                sender: Some(sender),
                thread: Some(thread),
                counters,
                at_once: Default::default(),
                handover: Arc::default(),
            },
            Err(error) => {
                tracing::warn!(%error, "no thread for freeing big values, they are freed where they are deleted");
                Self {
                    sender: None,
                    thread: None,
                    counters,
                    at_once: Default::default(),
                    handover: Arc::default(),
                }
            }
        }
    }

    /// Sets whether the thread frees values that are lost for this reason.
    pub fn set_lazy(&self, loss: FreeReason, lazy: bool) {
        debug_assert!(lazy || loss != FreeReason::Unlinked, "no directive is about it");
        self.at_once[loss as usize].store(!lazy, Ordering::Relaxed);
    }

    /// Whether the thread frees big values that are lost for this reason.
    pub fn is_lazy(&self, loss: FreeReason) -> bool {
        !self.at_once[loss as usize].load(Ordering::Relaxed)
    }

    /// Frees a record: in the calling thread if it is small or the directives say so, else in the freeing
    /// thread.
    #[inline]
    pub fn discard(&self, record: RecordBox, loss: FreeReason) {
        let record = if self.handover.is_reading() { self.handover.deleted(record) } else { Some(record) };
        let Some(record) = record else { return };
        let big = match record.value() {
            ValueRef::Object(object) => object.free_effort() > EFFORT_MIN,
            _ => false,
        };
        if big && self.is_lazy(loss) {
            self.send(match loss {
                FreeReason::Evicted => {
                    let bytes = record.memory_bytes();
                    Garbage::Evicted(record, bytes)
                }
                _ => Garbage::Record(record),
            });
        }
    }

    /// Has the thread free a slot's table and all its records.
    pub fn discard_table(&self, table: SlotTable) {
        if !table.is_empty() {
            self.send(Garbage::Table(table));
        }
    }

    /// Objects that wait to be freed.
    pub fn pending(&self) -> u64 {
        self.counters.pending.load(Ordering::Relaxed)
    }

    /// About how many bytes of evicted records wait to be freed: nothing else has to be evicted for them.
    pub fn pending_evicted_bytes(&self) -> usize {
        self.counters.pending_evicted.load(Ordering::Relaxed)
    }

    /// Objects that the thread freed since the start or [`reset_freed`](Self::reset_freed).
    pub fn freed(&self) -> u64 {
        self.counters.freed.load(Ordering::Relaxed)
    }

    /// Sets the count of freed objects to 0 (CONFIG RESETSTAT).
    pub fn reset_freed(&self) {
        self.counters.freed.store(0, Ordering::Relaxed);
    }

    fn send(&self, garbage: Garbage) {
        if let Some(sender) = &self.sender {
            self.counters.pending.fetch_add(garbage.count(), Ordering::Relaxed);
            self.counters.pending_evicted.fetch_add(garbage.evicted_bytes(), Ordering::Relaxed);
            // A closed channel gives the garbage back in the error, which drops it here.
            drop(sender.send(garbage));
        }
    }
}

impl Garbage {
    fn count(&self) -> u64 {
        match self {
            Garbage::Evicted(..) | Garbage::Record(_) => 1,
            Garbage::Table(table) => table.len() as u64,
        }
    }

    fn evicted_bytes(&self) -> usize {
        match self {
            Garbage::Evicted(_, bytes) => *bytes,
            Garbage::Record(_) | Garbage::Table(_) => 0,
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It only drops values: a panic there has been reported by the panic hook already.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::record::Record;
    use crate::keyspace::value::Object;
    use crate::types::hash::{Hash, HashLimits};
    use crate::types::list::{End, List, ListLimits};

    fn wait_for(reaper: &Reaper, freed: u64) {
        while reaper.freed() < freed || reaper.pending() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn values_of_millions_go_to_the_thread_and_small_ones_do_not() {
        const MILLIONS: usize = 3_000_000;
        let reaper = Reaper::start();
        let (mut list, mut hash) = (List::new(), Hash::new());
        let elements = std::iter::repeat_n(&b"element"[..], MILLIONS);
        list.push_all(End::Tail, elements, &ListLimits::default());
        for number in 0..=EFFORT_MIN {
            hash.set(
                number.to_string().as_bytes(),
                b"value",
                0,
                &HashLimits { max_listpack_entries: 8, max_listpack_value: 64 },
            );
        }
        reaper.discard(Record::new_object(b"list", Object::List(list), None), FreeReason::Deleted);
        reaper.discard(Record::new_object(b"hash", Object::Hash(hash), None), FreeReason::Unlinked);
        wait_for(&reaper, 2);
        let mut short = List::new();
        short.push(End::Tail, b"element", &ListLimits::default());
        reaper.discard(Record::new_object(b"short", Object::List(short), None), FreeReason::Evicted);
        reaper.discard(Record::new_string(b"string", b"value", None, false), FreeReason::Overwritten);
        assert_eq!((reaper.pending(), reaper.freed()), (0, 2));
    }

    #[test]
    fn what_is_to_be_freed_at_once_does_not_go_to_the_thread() {
        const LOSSES: [FreeReason; 4] =
            [FreeReason::Evicted, FreeReason::Expired, FreeReason::Overwritten, FreeReason::Deleted];
        let reaper = Reaper::start();
        let list = || {
            let mut list = List::new();
            list.push_all(End::Tail, std::iter::repeat_n(&b"element"[..], 1000), &ListLimits::default());
            Record::new_object(b"list", Object::List(list), None)
        };
        for eager in LOSSES {
            reaper.set_lazy(eager, false);
            reaper.reset_freed();
            LOSSES.into_iter().for_each(|loss| reaper.discard(list(), loss));
            wait_for(&reaper, 3);
            assert_eq!(reaper.freed(), 3, "{eager:?}");
            reaper.set_lazy(eager, true);
        }
    }
}
