//! [`ChangeBuffer`]: the changes of one batch on their way to [`Effects`], passed on at once or kept until a
//! transaction is committed.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;

use super::key_queue::KeyQueue;
use super::told::{Mark, Told, word_of_removal};
use super::{Effects, Message};
use crate::config::KeyspaceEvents;
use crate::keyspace::change::{ChangeSink, EventClass};
use crate::keyspace::key_hash::HashedKey;

use crate::keyspace::KeyId;

/// Most changed keys kept for the broadcasting mode of CLIENT TRACKING; with more they are sent before the
/// batch is over.
const BROADCAST_MAX: usize = 256;

/// How a change came about. Clients that are not told of their own changes (NOLOOP) are told of others, by
/// rules that are Valkey's: in the default mode only what was evicted is not the client's own; in
/// broadcasting mode what ended by itself and what a script did is not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The command of the client that is served.
    Command,
    /// A script or function that it called.
    Script,
    /// The key's time was over.
    Ended,
    /// Memory was short.
    Evicted,
}

impl Cause {
    /// The cause of a change that the keyspace itself makes, by the class of its event.
    fn of(class: EventClass) -> Cause {
        match class {
            EventClass::EXPIRED => Cause::Ended,
            EventClass::EVICTED => Cause::Evicted,
            _ => Cause::Command,
        }
    }
}

/// A change of an undoable transaction, not passed on yet.
#[derive(Debug)]
struct Held {
    key: KeyId,
    hash: u64,
    what: What,
}

/// What is reported of a change.
#[derive(Debug)]
enum What {
    /// The key changed.
    Key {
        /// Class and name of the event; `None` where the key changed without one (a flushed or swapped
        /// database).
        event: Option<(EventClass, &'static str)>,
        /// How the change came about; `None` where it neither aborts transactions that WATCH the key nor
        /// invalidates copies.
        cause: Option<Cause>,
    },
    /// These fields or members are what the event of this class and name was about.
    Fields((EventClass, &'static str), Vec<Box<[u8]>>),
}

/// What an undoable transaction reports once it is committed.
#[derive(Debug, Default)]
struct Kept {
    changes: Vec<Held>,
    /// A database was emptied.
    flushed: bool,
    messages: Vec<Message>,
    /// Where the entries of the journal stood when it began.
    entries: Mark,
}

/// Work left for later in the batch. Most batches have none, so it is allocated when the first comes.
#[derive(Debug, Default)]
struct Pending {
    /// Changed keys that clients wait for.
    ready: KeyQueue,
    /// Changed keys for the broadcasting mode of CLIENT TRACKING, sent at the end of the batch; with each the
    /// id of the client that changed it.
    broadcast: VecDeque<(Box<[u8]>, u64)>,
    kept: Option<Kept>,
}

/// Collects the changes of one batch, each reported under the lock that made it. Hands a change on to
/// [`Effects`] at once, or keeps it while a transaction runs that may be undone.
#[derive(Debug)]
pub struct ChangeBuffer<'s> {
    pub(super) effects: &'s Effects,
    /// Id of the client that makes the changes; 0 for none (expiry, eviction).
    actor: Cell<u64>,
    pending: RefCell<Option<Box<Pending>>>,
    pub(super) told: Told,
    /// Whether nobody is told of anything: a file is being repeated.
    silent: Cell<bool>,
}

impl<'s> ChangeBuffer<'s> {
    /// Makes an empty buffer for one batch.
    pub fn new(effects: &'s Effects) -> Self {
        Self {
            effects,
            actor: Cell::new(0),
            pending: RefCell::new(None),
            told: Told::default(),
            silent: Cell::new(false),
        }
    }

    /// Tells nobody of anything from here on.
    pub fn be_silent(&self) {
        self.silent.set(true);
    }

    /// Whether nobody is told of anything.
    #[inline]
    pub(super) fn is_silent(&self) -> bool {
        self.silent.get()
    }

    /// Whether any listener is in use and is to be told.
    #[inline]
    fn listens(&self) -> bool {
        self.effects.listens() && !self.silent.get()
    }

    fn pending(&self) -> RefMut<'_, Pending> {
        RefMut::map(self.pending.borrow_mut(), |pending| &mut **pending.get_or_insert_default())
    }

    fn kept(&self) -> Option<RefMut<'_, Kept>> {
        RefMut::filter_map(self.pending.borrow_mut(), |pending| pending.as_mut()?.kept.as_mut()).ok()
    }

    /// Sets the id of the client that makes the changes from here on. Returns the previous one.
    pub fn set_actor(&self, client: u64) -> u64 {
        self.actor.replace(client)
    }

    /// Keeps all changes from here on, until [`tell_kept`](Self::tell_kept) or
    /// [`forget_kept`](Self::forget_kept).
    pub fn keep(&self) {
        let kept = Kept { entries: self.mark(), ..Kept::default() };
        let before = self.pending().kept.replace(kept);
        debug_assert!(before.is_none(), "transactions that can be undone do not nest");
    }

    /// Passes on what was kept, as the transaction is committed. The locks of its changes are still held.
    pub fn tell_kept(&self) {
        let Some(kept) = self.pending().kept.take() else { return };
        if kept.flushed {
            self.effects.tracking.flushed(self.effects.now_ms());
        }
        for held in kept.changes {
            let key = HashedKey { bytes: &held.key.1, hash: held.hash };
            match held.what {
                What::Key { event, cause } if self.listens() => self.tell(held.key.0, &key, event, cause),
                What::Key { .. } => {}
                What::Fields(event, fields) => {
                    self.fields(held.key.0, &key, event, fields.iter().map(|field| &**field));
                }
            }
        }
        for message in kept.messages {
            self.effects.send(&message);
        }
    }

    /// Drops what was kept, as the transaction was undone.
    pub fn forget_kept(&self) {
        if let Some(kept) = self.pending().kept.take() {
            self.forget_entries(kept.entries);
        }
    }

    /// Reports a change beside the value (of a stream's groups): publishes the event and serves waiting
    /// clients, but aborts no transaction and invalidates no copy.
    #[inline]
    pub fn noted(&self, database: usize, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        if self.listens() {
            self.tell(database, key, Some((class, event)), None);
        }
    }

    /// Reports that clients which wait for a key may find something, without an event: serves them.
    pub fn stirred(&self, database: usize, key: &HashedKey<'_>) {
        if self.listens() {
            self.tell(database, key, None, None);
        }
    }

    /// Has the clients that wait for these keys served, as the time of one of them has come.
    pub fn are_due(&self, keys: &[KeyId]) {
        let mut pending = self.pending();
        keys.iter().for_each(|key| pending.ready.push(key.clone()));
    }

    /// Reports a change that a command made, with the event to publish for it.
    #[inline]
    pub fn made(
        &self,
        database: usize,
        key: &HashedKey<'_>,
        event: Option<(EventClass, &'static str)>,
        in_script: bool,
    ) {
        if self.listens() {
            let cause = if in_script { Cause::Script } else { Cause::Command };
            self.tell(database, key, event, Some(cause));
        }
    }

    /// Reports that a value took the place of another one, of `another_type` or not, which is beside the event
    /// of the command.
    #[inline]
    pub fn overwritten(&self, database: usize, key: &HashedKey<'_>, another_type: bool) {
        const CLASSES: KeyspaceEvents = KeyspaceEvents::OVERWRITTEN.and(KeyspaceEvents::TYPE_CHANGED);
        if !self.effects.publishes(CLASSES) || self.is_silent() {
            return;
        }
        self.tell(database, key, Some((EventClass::OVERWRITTEN, "overwritten")), None);
        if another_type {
            self.tell(database, key, Some((EventClass::TYPE_CHANGED, "type_changed")), None);
        }
    }

    /// Reports the fields of a hash or members of a set that an event was about, which was reported before.
    #[inline]
    pub fn fields<'f>(
        &self,
        database: usize,
        key: &HashedKey<'_>,
        event: (EventClass, &'static str),
        fields: impl ExactSizeIterator<Item = &'f [u8]> + Clone,
    ) {
        if !self.effects.publishes(KeyspaceEvents::SUBKEYS) || self.is_silent() || fields.len() == 0 {
            return;
        }
        match self.kept() {
            Some(mut kept) => {
                let what = What::Fields(event, fields.map(Into::into).collect());
                kept.changes.push(Held { key: (database, key.bytes.into()), hash: key.hash, what });
            }
            None => self.effects.subkey_event(database, key, event, fields),
        }
    }

    /// Sends a message, or keeps it with the changes. Returns the number of its receivers; of a kept one, of
    /// those there are now.
    pub fn publish(&self, message: Message) -> usize {
        if let Some(mut kept) = self.kept() {
            let receivers = self.effects.receivers(&message);
            kept.messages.push(message);
            return receivers;
        }
        self.effects.send(&message)
    }

    /// Returns whether a client waits for a key that has changed.
    #[inline]
    pub fn any_ready(&self) -> bool {
        self.pending.borrow().as_ref().is_some_and(|pending| !pending.ready.is_empty())
    }

    /// Takes the next changed key that a client waits for, in the order of the changes.
    pub fn take_ready(&self) -> Option<KeyId> {
        self.pending.borrow_mut().as_mut()?.ready.pop()
    }

    #[cold]
    fn tell(
        &self,
        database: usize,
        key: &HashedKey<'_>,
        event: Option<(EventClass, &'static str)>,
        cause: Option<Cause>,
    ) {
        if let Some(mut kept) = self.kept() {
            let what = What::Key { event, cause };
            kept.changes.push(Held { key: (database, key.bytes.into()), hash: key.hash, what });
            return;
        }
        if let Some((class, event)) = event {
            self.effects.event(database, key, class, event);
        }
        if let Some(cause) = cause
            && self.effects.tracking.any()
        {
            self.track(key, cause);
        }
        let id: KeyId = (database, key.bytes.into());
        if cause.is_some() {
            self.effects.watches.touch(&id);
        }
        if self.effects.waiting.is_waited_for(&id) {
            self.pending().ready.push(id);
        }
    }
}

impl ChangeBuffer<'_> {
    /// Invalidates clients' copies of the key.
    fn track(&self, key: &HashedKey<'_>, cause: Cause) {
        let tracking = &self.effects.tracking;
        let actor = if cause == Cause::Evicted { 0 } else { self.actor.get() };
        tracking.changed(key, actor, self.effects.now_ms());
        let actor = if cause == Cause::Command { actor } else { 0 };
        if tracking.is_broadcast(key.bytes) {
            let broadcast = &mut self.pending().broadcast;
            match broadcast.iter_mut().find(|(known, _)| **known == *key.bytes) {
                // The client that changed the key last is the one that NOLOOP spares.
                Some((_, by)) => *by = actor,
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
        if self.listens() {
            self.tell(database, key, Some((class, event)), Some(Cause::of(class)));
        }
    }

    fn removed(&self, database: usize, key: &HashedKey<'_>, lazily: bool) {
        self.enter_own(database, &[word_of_removal(lazily), key.bytes]);
    }

    fn touched(&self, database: usize, key: &HashedKey<'_>) {
        if self.listens() {
            self.tell(database, key, None, Some(Cause::Command));
        }
    }

    fn fields_ended(&self, database: usize, key: &HashedKey<'_>, fields: &[Box<[u8]>]) {
        let mut words: Vec<&[u8]> = vec![b"HDEL", key.bytes];
        words.extend(fields.iter().map(|field| &**field));
        self.enter_own(database, &words);
        self.changed(database, key, EventClass::HASH, "hexpired");
        self.fields(database, key, (EventClass::HASH, "hexpired"), fields.iter().map(|field| &**field));
    }

    fn members_ended(&self, database: usize, key: &HashedKey<'_>, members: &[Box<[u8]>]) {
        let mut words: Vec<&[u8]> = vec![b"SREM", key.bytes];
        words.extend(members.iter().map(|member| &**member));
        self.enter_own(database, &words);
        self.changed(database, key, EventClass::SET, "sexpired");
        self.fields(database, key, (EventClass::SET, "sexpired"), members.iter().map(|member| &**member));
    }

    fn swapped(&self, first: usize, second: usize) {
        self.swap_notes(first, second);
        if self.is_journaled() {
            let (mut one, mut other) = (itoa::Buffer::new(), itoa::Buffer::new());
            let words = [b"SWAPDB", one.format(first).as_bytes(), other.format(second).as_bytes()];
            self.enter_now(first, &words);
        }
    }

    fn flushed(&self, database: usize, all: bool) {
        if self.is_journaled() {
            self.enter_now(database, &[if all { b"FLUSHALL" } else { b"FLUSHDB" }]);
        }
        if !self.effects.tracking.any() || self.is_silent() {
            return;
        }
        match self.kept() {
            Some(mut kept) => kept.flushed = true,
            None => self.effects.tracking.flushed(self.effects.now_ms()),
        }
    }

    fn watched(&self, database: usize) -> Vec<Box<[u8]>> {
        self.effects.watches.of_database(database)
    }

    fn of_interest(&self, database: usize) -> Vec<Box<[u8]>> {
        let mut keys = self.watched(database);
        keys.extend(self.effects.waiting.of_database(database));
        keys
    }
}
