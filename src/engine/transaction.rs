//! What a client has queued since MULTI, and the keys that it watches.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::Server;
use super::client::Client;
use crate::command::keys::{self, LockPlan, PlannedKey, lock_plan_of};
use crate::command::request::OwnedRequest;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::effects::watch::Tripwire;
use crate::error::CommandError;
use crate::keyspace::KeyId;
use crate::keyspace::access::SlotLock;
use crate::keyspace::key_hash::slot_of_hash;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::table;
use crate::shared::client::names;

/// Requests between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Queued requests, in the order in which they came.
    pub requests: Vec<QueuedRequest>,
    /// Set when a request was refused while queueing: EXEC answers EXECABORT.
    pub aborted: bool,
    /// Whether EXEC puts everything back when a request fails (`MULTI ATOMIC`, `transaction-rollback`).
    pub undoable: bool,
    /// The flags of all requests together.
    pub flags: Flags,
    /// Whether some request may not run while data are being loaded.
    pub needs_data: bool,
    /// Whether some request may not run on a replica whose data may be old.
    pub needs_fresh: bool,
    /// The database that the queued requests leave selected, if they select one: rights are those of the next
    /// request there.
    pub database: Option<usize>,
    /// The slot of the first key of all requests.
    slot: Option<usize>,
    /// Whether some key is of another slot than the first.
    several_slots: bool,
    bytes: usize,
}

/// A request of a transaction.
#[derive(Debug)]
pub struct QueuedRequest {
    /// The command's id in the table.
    pub command: usize,
    /// Its arguments.
    pub request: OwnedRequest,
}

/// The keys that a client watches.
#[derive(Debug, Default)]
pub struct Watch {
    /// Watched keys, each once.
    pub keys: HashSet<KeyId, foldhash::fast::RandomState>,
    /// Set by the first change of a watched key; made with the first WATCH.
    pub wire: Option<Arc<Tripwire>>,
}

impl Transaction {
    /// An empty one.
    pub fn new(undoable: bool) -> Self {
        Self { undoable, ..Self::default() }
    }

    /// Whether its requests have keys of several slots.
    pub fn has_several_slots(&self) -> bool {
        self.several_slots
    }

    /// The slot of the first key that was queued.
    pub fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// Bytes that the queue takes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.requests.capacity() * size_of::<QueuedRequest>()
    }
}

impl Server {
    /// Queues a request of a client that has said MULTI.
    ///
    /// # Errors
    /// A command that a transaction does not take; a queue longer than `client-query-buffer-limit`.
    pub fn queue(
        &self,
        client: &mut Client,
        entry: &Entry,
        arguments: &[&[u8]],
        keys: &[PlannedKey],
    ) -> Result<(), CommandError> {
        let Some(transaction) = &mut client.transaction else { return Ok(()) };
        if entry.spec.flags.has(Flags::NO_MULTI) {
            let name = &entry.full_name;
            return Err(CommandError::new(format!("ERR Command '{name}' not allowed inside a transaction")));
        }
        if transaction.undoable && entry.spec.flags.has(Flags::CHANGES_ROLE) {
            let name = &entry.full_name;
            return Err(CommandError::new(format!(
                "ERR Command '{name}' cannot be undone, so it is not allowed with MULTI ATOMIC"
            )));
        }
        let request = OwnedRequest::new(arguments);
        transaction.bytes += request.memory_bytes();
        if transaction.bytes > self.settings.query_max() && !client.is_loader {
            return Err(CommandError::text("ERR transaction exceeds client-query-buffer-limit"));
        }
        transaction.flags = transaction.flags.and(self.flags_of(entry, arguments));
        for key in keys {
            let slot = slot_of_hash(key.hash);
            transaction.several_slots |= *transaction.slot.get_or_insert(slot) != slot;
        }
        transaction.needs_data |= !entry.spec.flags.has(Flags::LOADING);
        transaction.needs_fresh |= !entry.spec.flags.has(Flags::STALE);
        if entry.spec.flags.has(Flags::SELECTS)
            && let Some(named) = entry.spec.databases
        {
            let mut databases = SmallVec::new();
            named(arguments, &mut databases);
            let there = databases.last().filter(|(database, _)| *database < self.keyspace.database_count());
            transaction.database = there.map(|(database, _)| *database).or(transaction.database);
        }
        transaction.requests.push(QueuedRequest { command: entry.id, request });
        client.shared.queued.store(transaction.requests.len() as i64, Ordering::Relaxed);
        client.shared.queued_bytes.store(transaction.memory_bytes(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether the client's transaction has to be alone in the keyspace.
    pub fn transaction_runs_alone(&self, client: &Client) -> bool {
        const WIDE: Flags = Flags::WHOLE_KEYSPACE.and(Flags::SELECTS);
        client.transaction.as_ref().is_some_and(|transaction| {
            transaction.flags.intersects(WIDE)
                || transaction.requests.iter().any(|queued| {
                    let alone = self.commands.functions(&self.commands.entries()[queued.command]).alone;
                    alone.is_some_and(|alone| alone(self, client, &queued.request.arguments()))
                })
        })
    }

    /// The locks of all requests of the client's transaction, and of the keys that it watches.
    pub fn transaction_locks(&self, client: &Client, plan: &mut LockPlan) {
        let Some(transaction) = &client.transaction else { return };
        let mut one = LockPlan::new();
        for queued in &transaction.requests {
            let command = &self.commands.entries()[queued.command].spec;
            lock_plan_of(command, &queued.request.arguments(), client.database, &self.keyspace, &mut one);
            plan.extend(one.drain(..));
        }
        plan.extend(client.watch.keys.iter().map(|(database, key)| SlotLock {
            database: *database as u16,
            slot: self.keyspace.hasher().key(key).slot() as u16,
            write: false,
        }));
        keys::normalize(plan);
    }

    /// Whether the client's transaction may take long, as far as can be told before it has its locks: by the number of
    /// its requests, and by the values of the keys of those that may go through a whole value.
    #[cold]
    pub(super) fn transaction_may_be_long(&self, client: &Client) -> bool {
        /// So many requests take long in themselves.
        const MANY: usize = 2500;
        /// Going through so many elements may take long, 20 units of work for each.
        const LARGE: usize = 2500;
        let Some(transaction) = &client.transaction else { return false };
        let gate = &self.keyspace.gate;
        let database = self.keyspace.physical_if_used(gate.shown(client.database));
        let is_large = |name: &[u8]| {
            let key = self.keyspace.hasher().key(name);
            let table = database.and_then(|database| database.try_read_slot(key.slot()));
            let value = table.as_ref().and_then(|table| table::find(table, &key)).map(Record::value);
            matches!(value, Some(ValueRef::Object(object)) if object.elements() >= LARGE)
        };
        let is_long = |queued: &QueuedRequest| {
            let spec = &self.commands.entries()[queued.command].spec;
            let (words, mut found) = (queued.request.arguments(), false);
            if spec.flags.has(Flags::WHOLE_KEYSPACE) && !spec.flags.has(Flags::PASSES_NO_GATE) {
                return database.is_some_and(|database| database.len() >= LARGE);
            }
            if !spec.flags.has(Flags::FAST) {
                keys::for_each_key(spec, &words, |position| found |= is_large(words[position.argument]));
            }
            found
        };
        transaction.requests.len() >= MANY || transaction.requests.iter().any(is_long)
    }

    /// Ends the watch over all keys.
    pub fn unwatch(&self, client: &mut Client) {
        let Watch { keys, wire } = std::mem::take(&mut client.watch);
        if let Some(wire) = wire {
            keys.iter().for_each(|key| self.effects.watches.remove(key, &wire));
        }
        client.shared.watched.store(0, Ordering::Relaxed);
        client.shared.name_bytes[names::WATCHED].store(0, Ordering::Relaxed);
    }
}
