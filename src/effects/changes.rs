//! The changes of one batch on their way to [`Effects`]: told at once, or kept until it is sure that they stay.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::{Effects, Message};
use crate::keyspace::access::{ChangeSink, EventClass};
use crate::keyspace::hash::HashedKey;

use super::watch::KeyId;

/// A change that is not told yet.
#[derive(Debug)]
struct Held {
    key: KeyId,
    hash: u64,
    /// What happened; without it the key only became another one (a flushed or swapped database).
    event: Option<(EventClass, &'static str)>,
    /// Whether who watches the key is to hear of it.
    trips: bool,
}

/// What an undoable transaction has to say when it is over.
#[derive(Debug, Default)]
struct Kept {
    changes: Vec<Held>,
    messages: Vec<Message>,
}

/// See the module's page.
#[derive(Debug)]
pub struct Changes<'s> {
    effects: &'s Effects,
    /// Keys that changed and that somebody waits for.
    ready: RefCell<VecDeque<KeyId>>,
    kept: RefCell<Option<Kept>>,
}

impl<'s> Changes<'s> {
    /// For one batch.
    pub fn new(effects: &'s Effects) -> Self {
        Self { effects, ready: RefCell::default(), kept: RefCell::new(None) }
    }

    /// From here on nothing is told, until [`tell_kept`](Self::tell_kept) or [`forget_kept`](Self::forget_kept).
    pub fn keep(&self) {
        let before = self.kept.borrow_mut().replace(Kept::default());
        debug_assert!(before.is_none(), "transactions that can be undone do not nest");
    }

    /// Tells what was kept: the changes stay. The locks that they were made under are still held.
    pub fn tell_kept(&self) {
        let Some(kept) = self.kept.take() else { return };
        for held in kept.changes {
            let key = HashedKey { bytes: &held.key.1, hash: held.hash };
            if self.effects.listens() {
                self.tell(held.key.0, &key, held.event, held.trips);
            }
        }
        for message in kept.messages {
            self.effects.send(&message);
        }
    }

    /// Forgets what was kept: it was undone.
    pub fn forget_kept(&self) {
        self.kept.take();
    }

    /// A change beside the value (a stream's groups): published, and seen by who waits for the key, but not by who watches it.
    #[inline]
    pub fn noted(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        if self.effects.listens() {
            self.tell(database, key, Some((class, event)), false);
        }
    }

    /// Publishes a message, or keeps it with the changes. Answers how many hear it (now, if it is kept).
    pub fn publish(&self, message: Message) -> usize {
        if let Some(kept) = self.kept.borrow_mut().as_mut() {
            let receivers = self.effects.receivers(&message);
            kept.messages.push(message);
            return receivers;
        }
        self.effects.send(&message)
    }

    /// Whether somebody waits for a key that has changed.
    #[inline]
    pub fn any_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    /// The next key that somebody waits for, in the order of the changes.
    pub fn take_ready(&self) -> Option<KeyId> {
        self.ready.borrow_mut().pop_front()
    }

    #[cold]
    fn tell(
        &self,
        database: usize,
        key: &HashedKey<'_>,
        event: Option<(EventClass, &'static str)>,
        trips: bool,
    ) {
        if let Some(kept) = self.kept.borrow_mut().as_mut() {
            kept.changes.push(Held { key: (database, key.bytes.into()), hash: key.hash, event, trips });
            return;
        }
        if let Some((class, event)) = event {
            self.effects.event(database, key, class, event);
        }
        let id: KeyId = (database, key.bytes.into());
        if trips {
            self.effects.watches.touch(&id);
        }
        if self.effects.waiting.is_waited_for(&id) {
            let mut ready = self.ready.borrow_mut();
            if !ready.contains(&id) {
                ready.push_back(id);
            }
        }
    }
}

impl ChangeSink for Changes<'_> {
    #[inline]
    fn changed(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        if self.effects.listens() {
            self.tell(database, key, Some((class, event)), true);
        }
    }

    fn touched(&self, database: usize, key: &HashedKey<'_>) {
        if self.effects.listens() {
            self.tell(database, key, None, true);
        }
    }

    fn of_interest(&self, database: usize) -> Vec<Box<[u8]>> {
        let mut keys = self.effects.watches.of_database(database);
        keys.extend(self.effects.waiting.of_database(database));
        keys
    }
}
