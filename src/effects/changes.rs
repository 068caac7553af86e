//! The changes of one batch on their way to [`Effects`]: told at once, or kept until it is sure that they stay.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashSet, VecDeque};

use super::{Effects, Message};
use crate::keyspace::access::{ChangeSink, EventClass};
use crate::keyspace::key_hash::HashedKey;

use crate::keyspace::KeyId;

/// Changed keys that wait to be told by their prefixes; with more they are told before the batch is over.
const BROADCAST_MAX: usize = 256;

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
    /// A database was emptied.
    flushed: bool,
    messages: Vec<Message>,
}

/// What waits until later in the batch; mostly nothing.
#[derive(Debug, Default)]
struct Pending {
    /// Keys that changed and that somebody waits for.
    ready: VecDeque<KeyId>,
    /// The same keys, to be found among very many.
    ready_set: HashSet<KeyId, foldhash::fast::RandomState>,
    /// Changed keys that clients hear of by their prefixes at the end of the batch, and whose doing it was.
    broadcast: VecDeque<(Box<[u8]>, u64)>,
    kept: Option<Kept>,
}

/// See the module's page.
#[derive(Debug)]
pub struct ChangeBuffer<'s> {
    effects: &'s Effects,
    /// Whose doing the changes are; 0 for nobody's.
    actor: Cell<u64>,
    pending: RefCell<Option<Box<Pending>>>,
}

impl<'s> ChangeBuffer<'s> {
    /// For one batch.
    pub fn new(effects: &'s Effects) -> Self {
        Self { effects, actor: Cell::new(0), pending: RefCell::new(None) }
    }

    fn pending(&self) -> RefMut<'_, Pending> {
        RefMut::map(self.pending.borrow_mut(), |pending| &mut **pending.get_or_insert_default())
    }

    fn kept(&self) -> Option<RefMut<'_, Kept>> {
        RefMut::filter_map(self.pending.borrow_mut(), |pending| pending.as_mut()?.kept.as_mut()).ok()
    }

    /// Sets by whose doing keys change from here on; answers whose it was before.
    pub fn set_actor(&self, client: u64) -> u64 {
        self.actor.replace(client)
    }

    /// From here on nothing is told, until [`tell_kept`](Self::tell_kept) or [`forget_kept`](Self::forget_kept).
    pub fn keep(&self) {
        let before = self.pending().kept.replace(Kept::default());
        debug_assert!(before.is_none(), "transactions that can be undone do not nest");
    }

    /// Tells what was kept: the changes stay. The locks that they were made under are still held.
    pub fn tell_kept(&self) {
        let Some(kept) = self.pending().kept.take() else { return };
        if kept.flushed {
            self.effects.tracking.flushed(self.effects.now_ms());
        }
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
        self.pending().kept = None;
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
        if let Some(mut kept) = self.kept() {
            let receivers = self.effects.receivers(&message);
            kept.messages.push(message);
            return receivers;
        }
        self.effects.send(&message)
    }

    /// Whether somebody waits for a key that has changed.
    #[inline]
    pub fn any_ready(&self) -> bool {
        self.pending.borrow().as_ref().is_some_and(|pending| !pending.ready.is_empty())
    }

    /// The next key that somebody waits for, in the order of the changes.
    pub fn take_ready(&self) -> Option<KeyId> {
        let mut pending = self.pending.borrow_mut();
        let pending = pending.as_mut()?;
        let key = pending.ready.pop_front()?;
        pending.ready_set.remove(&key);
        Some(key)
    }

    #[cold]
    fn tell(
        &self,
        database: usize,
        key: &HashedKey<'_>,
        event: Option<(EventClass, &'static str)>,
        trips: bool,
    ) {
        if let Some(mut kept) = self.kept() {
            kept.changes.push(Held { key: (database, key.bytes.into()), hash: key.hash, event, trips });
            return;
        }
        if let Some((class, event)) = event {
            self.effects.event(database, key, class, event);
        }
        if trips && self.effects.tracking.any() {
            self.track(key, event);
        }
        let id: KeyId = (database, key.bytes.into());
        if trips {
            self.effects.watches.touch(&id);
        }
        if self.effects.waiting.is_waited_for(&id) {
            let mut pending = self.pending();
            if pending.ready_set.insert(id.clone()) {
                pending.ready.push_back(id);
            }
        }
    }
}

impl ChangeBuffer<'_> {
    /// Tells clients that keep copies of the key.
    fn track(&self, key: &HashedKey<'_>, event: Option<(EventClass, &'static str)>) {
        let by_itself =
            event.is_some_and(|(class, _)| [EventClass::EXPIRED, EventClass::EVICTED].contains(&class));
        let actor = if by_itself { 0 } else { self.actor.get() };
        let tracking = &self.effects.tracking;
        tracking.changed(key, actor, self.effects.now_ms());
        if tracking.is_broadcast(key.bytes) {
            let broadcast = &mut self.pending().broadcast;
            match broadcast.iter_mut().find(|(known, _)| **known == *key.bytes) {
                // That it ended by itself is told its last writer, too.
                Some((_, by)) if by_itself => *by = 0,
                Some(_) => {}
                None => broadcast.push_back((key.bytes.into(), actor)),
            }
            if broadcast.len() >= BROADCAST_MAX {
                tracking.broadcast(broadcast, self.effects.now_ms());
                broadcast.clear();
            }
        }
    }
}

impl Drop for ChangeBuffer<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.get_mut()
            && !pending.broadcast.is_empty()
        {
            self.effects.tracking.broadcast(&pending.broadcast, self.effects.now_ms());
        }
    }
}

impl ChangeSink for ChangeBuffer<'_> {
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

    fn flushed(&self) {
        if !self.effects.tracking.any() {
            return;
        }
        match self.kept() {
            Some(mut kept) => kept.flushed = true,
            None => self.effects.tracking.flushed(self.effects.now_ms()),
        }
    }

    fn of_interest(&self, database: usize) -> Vec<Box<[u8]>> {
        let mut keys = self.effects.watches.of_database(database);
        keys.extend(self.effects.waiting.of_database(database));
        keys
    }
}
