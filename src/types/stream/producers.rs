//! What producers have added: XADD IDMP names a producer and an id of its own for an entry, and a request that
//! comes again is answered with the entry that the first one added.
//!
//! Each producer's ids are kept for a time and up to a number of them. An id is as old as the entry that it
//! stands for, so files and replicas need nothing but the entry's id to forget it at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::{Stream, StreamId};
use crate::alloc::{array_bytes, tree_bytes};

/// How long and how many ids of a producer are kept (`stream-idmp-duration`, `stream-idmp-maxsize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerLimits {
    /// Seconds.
    pub duration_s: u64,
    /// Ids of each producer.
    pub max_ids: usize,
}

impl Default for ProducerLimits {
    fn default() -> Self {
        Self { duration_s: 100, max_ids: 100 }
    }
}

impl ProducerLimits {
    /// The longest time, in seconds.
    pub const DURATION_MAX_S: u64 = 86_400;
    /// The most ids of a producer.
    pub const IDS_MAX: usize = 10_000;

    /// The lowest id of an entry that is still known at a time.
    fn known_from(&self, now_ms: u64) -> StreamId {
        match now_ms.checked_sub(self.duration_s.saturating_mul(1000)) {
            Some(ended_ms) => StreamId::new(ended_ms.saturating_add(1), 0),
            None => StreamId::MIN,
        }
    }
}

/// The producers of a stream.
#[derive(Clone, Debug)]
pub struct Producers {
    limits: ProducerLimits,
    all: BTreeMap<Box<[u8]>, Producer>,
    /// Name of the producer behind which the next look for ids that have ended begins.
    looked_up_to: Box<[u8]>,
    /// How many ids were ever kept.
    pub added: u64,
    /// How many requests were answered with an entry that was there already.
    pub duplicates: u64,
}

/// The ids of one producer, and the entries that they stand for.
#[derive(Clone, Debug, Default)]
struct Producer {
    entries: BTreeMap<Arc<[u8]>, StreamId>,
    by_age: BTreeSet<(StreamId, Arc<[u8]>)>,
}

impl Producer {
    fn insert(&mut self, id: &[u8], entry: StreamId) {
        let id: Arc<[u8]> = id.into();
        self.entries.insert(Arc::clone(&id), entry);
        self.by_age.insert((entry, id));
    }

    /// Forgets the oldest ids: what stands for entries below `from`, and what is more than `max`.
    fn forget(&mut self, from: StreamId, max: usize) {
        while self.by_age.first().is_some_and(|(entry, _)| *entry < from) || self.by_age.len() > max {
            let Some((_, id)) = self.by_age.pop_first() else { return };
            self.entries.remove(&id);
        }
    }

    fn known(&self, from: StreamId) -> usize {
        self.by_age.len() - self.by_age.iter().take_while(|(entry, _)| *entry < from).count()
    }
}

impl Producers {
    /// Without any.
    pub fn new(limits: ProducerLimits) -> Self {
        Self { limits, all: BTreeMap::new(), looked_up_to: Box::default(), added: 0, duplicates: 0 }
    }

    /// How long and how many ids are kept.
    pub fn limits(&self) -> ProducerLimits {
        self.limits
    }

    /// Sets how long and how many ids are kept. Other values than before make it forget all ids.
    pub fn set_limits(&mut self, limits: ProducerLimits) {
        if limits != self.limits {
            self.limits = limits;
            self.all.clear();
        }
    }

    /// The entry that a producer's id stands for, unless it has ended.
    pub fn entry(&self, producer: &[u8], id: &[u8], now_ms: u64) -> Option<StreamId> {
        let entry = *self.all.get(producer)?.entries.get(id)?;
        (entry >= self.limits.known_from(now_ms)).then_some(entry)
    }

    /// Keeps a producer's id for an entry. What has ended when the entry was added is forgotten: of this
    /// producer, and of a few others in turn, so that those which come no more do not stay.
    pub fn insert(&mut self, producer: &[u8], id: &[u8], entry: StreamId) {
        const OTHERS: usize = 2;
        let from = self.limits.known_from(entry.ms);
        for _ in 0..OTHERS {
            let behind = (Bound::Excluded(&*self.looked_up_to), Bound::Unbounded);
            let Some((name, other)) = self.all.range_mut::<[u8], _>(behind).next() else {
                self.looked_up_to = Box::default();
                break;
            };
            self.looked_up_to.clone_from(name);
            other.forget(from, self.limits.max_ids);
            if other.entries.is_empty() {
                self.all.remove(&*self.looked_up_to);
            }
        }
        let max = self.limits.max_ids;
        if !self.all.contains_key(producer) {
            self.all.insert(producer.into(), Producer::default());
        }
        let Some(kept) = self.all.get_mut(producer) else { return };
        if let Some(before) = kept.entries.remove(id) {
            kept.by_age.remove(&(before, id.into()));
        }
        kept.insert(id, entry);
        kept.forget(from.min(entry), max);
        self.added = self.added.saturating_add(1);
    }

    /// How many producers and ids are known at a time.
    pub fn known(&self, now_ms: u64) -> (usize, usize) {
        let from = self.limits.known_from(now_ms);
        let counts = self.all.values().map(|producer| producer.known(from)).filter(|count| *count > 0);
        counts.fold((0, 0), |(producers, ids), count| (producers + 1, ids + count))
    }

    /// The producers and their ids, the oldest first, with the entries that they stand for.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], Ids<'_>)> {
        self.all.iter().map(|(name, producer)| (&**name, Ids(producer.by_age.iter())))
    }

    /// Bytes that it owns, roughly.
    fn memory_bytes(&self) -> usize {
        let producers = self.all.iter().map(|(name, producer)| {
            // The bytes of an id stand behind two counts.
            let of_id = |id: &Arc<[u8]>| array_bytes::<u8>(2 * size_of::<usize>() + id.len());
            array_bytes::<u8>(name.len())
                + tree_bytes::<Arc<[u8]>, StreamId>(producer.entries.len())
                + tree_bytes::<(StreamId, Arc<[u8]>), ()>(producer.by_age.len())
                + producer.entries.keys().map(of_id).sum::<usize>()
        });
        array_bytes::<u8>(2 * size_of::<usize>() + size_of::<Self>())
            + array_bytes::<u8>(self.looked_up_to.len())
            + tree_bytes::<Box<[u8]>, Producer>(self.all.len())
            + producers.sum::<usize>()
    }
}

/// The ids of a producer, the oldest first.
#[derive(Debug)]
pub struct Ids<'a>(std::collections::btree_set::Iter<'a, (StreamId, Arc<[u8]>)>);

impl<'a> Iterator for Ids<'a> {
    type Item = (&'a [u8], StreamId);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(entry, id)| (&**id, *entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Ids<'_> {}

impl Stream {
    /// What is known of producers; `None` where none was ever named.
    pub fn producers(&self) -> Option<&Producers> {
        self.producers.as_deref()
    }

    /// The same to be changed; made where there is nothing. A reading that goes on keeps what there was.
    pub fn producers_mut(&mut self, limits: ProducerLimits) -> &mut Producers {
        Arc::make_mut(self.producers.get_or_insert_with(|| Arc::new(Producers::new(limits))))
    }

    /// Puts this in the place of what is known of producers.
    pub fn set_producers(&mut self, producers: Producers) {
        self.producers = Some(Arc::new(producers));
    }

    pub(super) fn producers_memory_bytes(&self) -> usize {
        self.producers().map_or(0, Producers::memory_bytes)
    }

    pub(super) fn producers_free_effort(&self) -> usize {
        self.producers().map_or(0, |producers| producers.all.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    #[test]
    fn ids_end_with_time_and_number() {
        let mut producers = Producers::new(ProducerLimits { duration_s: 2, max_ids: 3 });
        for ms in 1..=4 {
            producers.insert(b"p", ms.to_string().as_bytes(), at(ms * 100));
        }
        assert_eq!(producers.entry(b"p", b"1", 400), None, "one too many");
        assert_eq!(producers.entry(b"p", b"2", 2199), Some(at(200)));
        assert_eq!(producers.entry(b"p", b"2", 2200), None, "too old");
        assert_eq!(producers.entry(b"q", b"2", 400), None);
        assert_eq!(
            (producers.known(400), producers.known(2200), producers.known(9000)),
            ((1, 3), (1, 2), (0, 0))
        );
        producers.insert(b"p", b"4", at(500));
        assert_eq!((producers.entry(b"p", b"4", 500), producers.known(500)), (Some(at(500)), (1, 3)));
        producers.set_limits(producers.limits());
        assert_eq!(producers.known(500), (1, 3));
        producers.set_limits(ProducerLimits { duration_s: 2, max_ids: 4 });
        assert_eq!((producers.known(500), producers.added), ((0, 0), 5));
    }

    /// Producers that come once and never again do not stay.
    #[test]
    fn producers_that_are_gone_are_forgotten() {
        let mut producers = Producers::new(ProducerLimits { duration_s: 1, max_ids: 3 });
        for ms in 0..20_000u64 {
            producers.insert(format!("p{ms}").as_bytes(), b"id", at(ms));
        }
        assert!(producers.all.len() < 4_000, "{} are kept of 1,000", producers.all.len());
        assert_eq!(producers.known(19_999), (1000, 1000));
    }
}
