//! A group of consumers: how far it has read, and which entries were delivered and not yet acknowledged.
//!
//! A pending entry is kept in the group, with all that is known about it, and by id alone with its consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::StreamId;
use crate::alloc::{array_bytes, tree_bytes};

/// Index of a consumer in its group. Reused after the consumer is removed.
pub type ConsumerIndex = u32;

/// An entry that was delivered and not yet acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The consumer it was delivered to.
    pub consumer: ConsumerIndex,
    /// Time of the last delivery, in milliseconds of Unix time.
    pub delivered_at_ms: i64,
    /// Number of deliveries, at most [`DELIVERIES_MAX`].
    pub deliveries: u64,
}

/// The highest count of deliveries: clients read it as a signed number. More deliveries leave it there.
pub const DELIVERIES_MAX: u64 = i64::MAX as u64;

/// Entries that were given back have, in place of the time of a delivery, a number below this: their order, the
/// first the lowest. As times these are days after the Unix epoch, so they are claimed before all others.
pub const RELEASES_MAX: i64 = 1_000_000_000;

/// In place of a time, for never.
const NEVER: i64 = -1;

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    /// Time of its last command, in milliseconds of Unix time.
    pub seen_at_ms: i64,
    /// Time when it last got an entry, in milliseconds of Unix time; -1 for never.
    pub active_at_ms: i64,
    pending: BTreeSet<StreamId>,
}

/// A consumer group: what was delivered to it, and what of that is pending.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Highest id that was delivered.
    pub last_id: StreamId,
    /// Number of the stream's entries up to there, if known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    consumers: Vec<Option<Consumer>>,
    /// Indices of removed consumers, to be reused.
    vacant: Vec<ConsumerIndex>,
    names: BTreeMap<Box<[u8]>, ConsumerIndex>,
    /// The pending entries in the order of their last deliveries, once that was asked for.
    by_time: Option<BTreeSet<(i64, StreamId)>>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether it stands for nobody: entries that were given back are pending with it. It has the name that is
    /// shown for them, and was never seen, so that files and replicas that know no such entries keep them.
    pub fn is_nobody(&self) -> bool {
        self.name.is_empty() && self.seen_at_ms == NEVER
    }

    /// Number of entries pending with this consumer.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Pending ids from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.range(start..).copied()
    }
}

impl Group {
    /// A group that has read up to an id.
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Self {
        Self { last_id, entries_read, ..Self::default() }
    }

    /// Number of consumers.
    pub fn consumer_count(&self) -> usize {
        self.names.len()
    }

    /// The consumers without the one that stands for nobody.
    pub fn shown_consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.consumers().filter(|consumer| !consumer.is_nobody())
    }

    /// All consumers, in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.names.values().map(|&index| self.consumer(index))
    }

    /// The index of a consumer.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerIndex> {
        self.names.get(name).copied()
    }

    /// Reads the consumer at `index`.
    pub fn consumer(&self, index: ConsumerIndex) -> &Consumer {
        match self.consumers.get(index as usize) {
            Some(Some(consumer)) => consumer,
            _ => unreachable!("indexes are of consumers that are there"),
        }
    }

    /// A consumer to be changed.
    pub fn consumer_mut(&mut self, index: ConsumerIndex) -> &mut Consumer {
        match self.consumers.get_mut(index as usize) {
            Some(Some(consumer)) => consumer,
            _ => unreachable!("indexes are of consumers that are there"),
        }
    }

    /// Adds a consumer, last seen now. The name has to be new.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> ConsumerIndex {
        let consumer =
            Consumer { name: name.into(), seen_at_ms: now_ms, active_at_ms: -1, pending: BTreeSet::new() };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.consumers[index as usize] = Some(consumer);
                index
            }
            None => {
                self.consumers.push(Some(consumer));
                (self.consumers.len() - 1) as ConsumerIndex
            }
        };
        let old = self.names.insert(name.into(), index);
        assert!(old.is_none(), "a consumer is added once");
        index
    }

    /// Removes a consumer and what is pending with it. Returns the number of those entries; `None` if there
    /// was no such consumer.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let index = self.names.remove(name)?;
        let consumer = self.consumers[index as usize].take()?;
        self.vacant.push(index);
        for &id in &consumer.pending {
            let pending = self.pending.remove(&id);
            self.forget_time(id, pending);
        }
        Some(consumer.pending.len())
    }

    /// How many entries are pending.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// The pending entry with this id.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// The consumer that stands for nobody; a client's consumer of no name keeps what is given back, too.
    pub fn nobody(&mut self) -> ConsumerIndex {
        self.find(b"").unwrap_or_else(|| self.add_consumer(b"", NEVER))
    }

    /// Makes an entry pending with nobody, as one that may be claimed at once: behind those that were given back
    /// before, and before all others.
    pub fn release(&mut self, id: StreamId, deliveries: u64) {
        let consumer = self.nobody();
        self.index_by_time();
        let before = (RELEASES_MAX - 1, StreamId::MIN);
        let last = self.by_time.as_ref().and_then(|times| times.range(..before).next_back());
        let delivered_at_ms = last.map_or(0, |(order, _)| order + 1);
        self.assign(id, Pending { consumer, delivered_at_ms, deliveries });
    }

    /// Time of an entry's last delivery as clients see it: 0 for one that was given back.
    pub fn shown_delivery_ms(&self, pending: &Pending) -> i64 {
        let is_given_back =
            pending.delivered_at_ms < RELEASES_MAX && self.consumer(pending.consumer).name().is_empty();
        if is_given_back { 0 } else { pending.delivered_at_ms }
    }

    /// Counts another delivery of a pending entry to the consumer that has it.
    pub fn deliver_again(&mut self, id: StreamId, now_ms: i64) {
        if let Some(&pending) = self.pending.get(&id) {
            let deliveries = pending.deliveries.saturating_add(1);
            self.assign(id, Pending { delivered_at_ms: now_ms, deliveries, ..pending });
        }
    }

    /// Has the pending entries kept in the order of their last deliveries from now on, for
    /// [`delivered_until`](Self::delivered_until).
    pub fn index_by_time(&mut self) {
        if self.by_time.is_none() {
            let times = self.pending.iter().map(|(&id, pending)| (pending.delivered_at_ms, id));
            self.by_time = Some(times.collect());
        }
    }

    /// The pending entries whose last delivery was not later, the earliest first; none before
    /// [`index_by_time`](Self::index_by_time).
    pub fn delivered_until(&self, latest_ms: i64) -> impl Iterator<Item = (StreamId, &Pending)> {
        let times = self.by_time.iter().flat_map(move |times| times.range(..=(latest_ms, StreamId::MAX)));
        times.filter_map(|(_, id)| Some((*id, self.pending.get(id)?)))
    }

    /// The pending entries whose last delivery was later than that, the earliest first; none before
    /// [`index_by_time`](Self::index_by_time).
    pub fn delivered_after(&self, latest_ms: i64) -> impl Iterator<Item = (StreamId, &Pending)> {
        let behind = (Bound::Excluded((latest_ms, StreamId::MAX)), Bound::Unbounded);
        let times = self.by_time.iter().flat_map(move |times| times.range(behind));
        times.filter_map(|(_, id)| Some((*id, self.pending.get(id)?)))
    }

    fn forget_time(&mut self, id: StreamId, pending: Option<Pending>) {
        if let (Some(times), Some(pending)) = (&mut self.by_time, pending) {
            times.remove(&(pending.delivered_at_ms, id));
        }
    }

    /// Pending entries from `start` to `end`, both included.
    pub fn pending_range(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> impl Iterator<Item = (StreamId, &Pending)> {
        let bounds = if start <= end {
            (Bound::Included(start), Bound::Included(end))
        } else {
            (Bound::Excluded(StreamId::MAX), Bound::Unbounded)
        };
        self.pending.range(bounds).map(|(&id, pending)| (id, pending))
    }

    /// The lowest and the highest pending id.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((*self.pending.first_key_value()?.0, *self.pending.last_key_value()?.0))
    }

    /// Makes an entry pending with a consumer, taking it from another if need be.
    pub fn assign(&mut self, id: StreamId, mut pending: Pending) {
        pending.deliveries = pending.deliveries.min(DELIVERIES_MAX);
        let old = self.pending.insert(id, pending);
        self.forget_time(id, old);
        if let Some(times) = &mut self.by_time {
            times.insert((pending.delivered_at_ms, id));
        }
        match old {
            Some(old) if old.consumer == pending.consumer => return,
            Some(old) => drop(self.consumer_mut(old.consumer).pending.remove(&id)),
            None => {}
        }
        self.consumer_mut(pending.consumer).pending.insert(id);
    }

    /// Removes an entry from those pending. Returns whether it was pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.forget_time(id, Some(pending));
        self.consumer_mut(pending.consumer).pending.remove(&id);
        true
    }

    /// Bytes that the structure owns, its own not included.
    pub(super) fn memory_bytes(&self) -> usize {
        // Each has its name twice.
        let of_consumer = |consumer: &Consumer| {
            2 * array_bytes::<u8>(consumer.name.len()) + tree_bytes::<StreamId, ()>(consumer.pending.len())
        };
        let times = self.by_time.as_ref().map_or(0, |times| tree_bytes::<(i64, StreamId), ()>(times.len()));
        tree_bytes::<StreamId, Pending>(self.pending.len())
            + times
            + array_bytes::<Option<Consumer>>(self.consumers.capacity())
            + array_bytes::<ConsumerIndex>(self.vacant.capacity())
            + tree_bytes::<Box<[u8]>, ConsumerIndex>(self.names.len())
            + self.consumers().map(of_consumer).sum::<usize>()
    }

    pub(super) fn free_effort(&self) -> usize {
        1 + self.names.len() + self.pending.len() / 4
    }

    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let with_consumers: usize = self.consumers().map(Consumer::pending_count).sum();
        assert_eq!(with_consumers, self.pending.len());
        for (id, pending) in &self.pending {
            assert!(self.consumer(pending.consumer).pending.contains(id));
        }
        if let Some(times) = &self.by_time {
            let expected = self.pending.iter().map(|(&id, pending)| (pending.delivered_at_ms, id));
            assert_eq!(*times, expected.collect());
        }
        for (name, index) in &self.names {
            assert_eq!(self.consumer(*index).name, *name);
        }
        assert_eq!(self.consumers.iter().flatten().count(), self.names.len());
        assert_eq!(self.vacant.len() + self.names.len(), self.consumers.len());
    }
}
