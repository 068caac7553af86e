//! What follows a change. Every change of a key is told here, under the lock that made it; each listener hears of it only
//! while it listens, so that a change nobody cares for costs one relaxed load.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::config::KeyspaceEvents;

use crate::keyspace::access::{ChangeSink, EventClass};
use crate::keyspace::hash::HashedKey;
use crate::server::clock::Clock;
use crate::server::pubsub::PubSub;

/// The place that hears of every change.
#[derive(Debug)]
pub struct Effects {
    /// `notify-keyspace-events` as bits; 0 when nobody wants events.
    events: AtomicI64,
    pubsub: Arc<PubSub>,
    clock: Arc<Clock>,
}

impl Effects {
    /// Nobody listens yet.
    pub fn new(pubsub: Arc<PubSub>, clock: Arc<Clock>) -> Self {
        Self { events: AtomicI64::new(0), pubsub, clock }
    }

    /// Sets which keyspace events are published.
    pub fn set_events(&self, events: KeyspaceEvents) {
        self.events.store(events.bits(), Ordering::Relaxed);
    }

    /// Publishes an event that is no change (a key miss).
    #[inline]
    pub fn event(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        let wanted = self.events.load(Ordering::Relaxed);
        if wanted & class.0.bits() != 0 && self.pubsub.is_heard() {
            self.publish(KeyspaceEvents::from_bits(wanted), database, key, event);
        }
    }

    #[cold]
    fn publish(&self, wanted: KeyspaceEvents, database: usize, key: &HashedKey<'_>, event: &'static str) {
        let now_ms = self.clock.now_ms();
        if wanted.contains(KeyspaceEvents::KEYSPACE) {
            let mut channel = format!("__keyspace@{database}__:").into_bytes();
            channel.extend_from_slice(key.bytes);
            self.pubsub.publish(&channel, event.as_bytes(), now_ms);
        }
        if wanted.contains(KeyspaceEvents::KEYEVENT) {
            let channel = format!("__keyevent@{database}__:{event}");
            self.pubsub.publish(channel.as_bytes(), key.bytes, now_ms);
        }
    }
}

impl ChangeSink for Effects {
    #[inline]
    fn changed(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        self.event(database, key, class, event);
    }
}
