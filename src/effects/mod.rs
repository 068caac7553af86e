//! [`Effects`]: what follows a change of a key. Every change is reported here under the lock that made it,
//! and passed to those listeners that are in use, so that a change without listeners costs a few relaxed
//! loads.

pub mod changes;
mod key_queue;
mod subkeys;
pub(crate) mod told;
pub mod tracking;
pub mod wait_queues;
pub mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;

use crate::config::KeyspaceEvents;
use crate::journal::{Entries, Journal};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::shared::clock::Clock;
use crate::shared::pubsub::{Kind, PubSub};

pub use changes::ChangeBuffer;
use tracking::Tracking;
use wait_queues::Waiting;
use watch::Watches;

/// The listeners to changes of keys: keyspace events, WATCH, waiting clients, client-side caches.
#[derive(Debug)]
pub struct Effects {
    /// `notify-keyspace-events` as bits; 0 for no events.
    events: AtomicI64,
    /// Keys that clients WATCH.
    pub watches: Watches,
    /// Clients that wait for keys, in a queue for each key (BLPOP and its kin).
    pub waiting: Waiting,
    /// Clients that keep copies of what they read (CLIENT TRACKING).
    pub tracking: Tracking,
    /// The stream of changes that append-only files and replicas repeat.
    pub journal: Journal,
    pubsub: Arc<PubSub>,
    clock: Arc<Clock>,
    /// Whether replicas follow, or may come back to, the journal.
    has_links: AtomicBool,
}

/// A message that PUBLISH or SPUBLISH sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether the channel is an ordinary one or a shard channel.
    pub kind: Kind,
    /// Name of the channel.
    pub channel: Bytes,
    /// The message's text.
    pub text: Bytes,
}

impl Effects {
    /// Makes the listeners; none is in use yet.
    pub fn new(pubsub: Arc<PubSub>, clock: Arc<Clock>) -> Self {
        Self {
            events: AtomicI64::new(0),
            watches: Watches::default(),
            waiting: Waiting::default(),
            tracking: Tracking::default(),
            journal: Journal::default(),
            pubsub,
            clock,
            has_links: AtomicBool::new(false),
        }
    }

    /// Sets which keyspace events are published.
    pub fn set_events(&self, events: KeyspaceEvents) {
        self.events.store(events.bits(), Ordering::Relaxed);
    }

    /// Returns whether any listener is in use; four relaxed loads.
    #[inline]
    pub fn listens(&self) -> bool {
        self.events.load(Ordering::Relaxed) != 0
            || !self.watches.is_empty()
            || !self.waiting.is_empty()
            || self.tracking.any()
    }

    /// What `notify-keyspace-events` asks for.
    fn wanted(&self) -> KeyspaceEvents {
        KeyspaceEvents::from_bits(self.events.load(Ordering::Relaxed))
    }

    /// Milliseconds of Unix time, by which the soft output limits of receivers are measured.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Whether events of one of these classes are published and anybody hears them; one or two relaxed loads.
    #[inline]
    pub fn publishes(&self, classes: KeyspaceEvents) -> bool {
        self.events.load(Ordering::Relaxed) & classes.bits() != 0 && self.pubsub.is_heard()
    }

    /// Publishes a keyspace event where `notify-keyspace-events` asks for its class.
    #[inline]
    pub fn event(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        let wanted = self.events.load(Ordering::Relaxed);
        if wanted & class.0.bits() != 0 && self.pubsub.is_heard() {
            self.publish(KeyspaceEvents::from_bits(wanted), database, key, event);
        }
    }

    /// Has messages told to replicas from now on, or no longer.
    pub fn set_has_links(&self, has_links: bool) {
        self.has_links.store(has_links, Ordering::Relaxed);
    }

    /// Sends a message, also to the subscribers of replicas. Returns the number of its receivers here.
    pub fn send(&self, message: &Message) -> usize {
        let now_ms = self.clock.now_ms();
        if self.has_links.load(Ordering::Relaxed) {
            let command: &[u8] = if message.kind == Kind::Shard { b"SPUBLISH" } else { b"PUBLISH" };
            let mut entries = Entries::default();
            entries.push(None, &[command, &message.channel, &message.text]);
            self.journal.append_for_links(&entries);
        }
        match message.kind {
            Kind::Channel => self.pubsub.publish(&message.channel, &message.text, now_ms),
            Kind::Shard => self.pubsub.spublish(&message.channel, &message.text, now_ms),
        }
    }

    /// Number of clients that would receive the message now.
    pub fn receivers(&self, message: &Message) -> usize {
        self.pubsub.receiver_count(message.kind, &message.channel)
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
