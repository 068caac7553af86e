//! What a command's function is given.

use smallvec::SmallVec;

use crate::command::keys::{KeySpec, LockPlan, PlannedKey, for_each_key, lock_plan_of};
use crate::command::request::resp_bytes;
use crate::command::spec::{Flags, Group};
use crate::command::table::Entry;
use crate::effects::ChangeBuffer;
use crate::engine::Server;
use crate::engine::client::Client;
use crate::engine::monitor::{Source, UNSEEN};
use crate::engine::observe::Done;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::Access;
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;
use crate::resp::encode::Reply;
use crate::shared::stats::Counter;
use crate::shared::waiter::WaitFor;

/// The surroundings of one command while it runs: it is alone with its keys, which are locked.
pub struct Context<'a> {
    /// The server: configuration, clients, pub/sub, statistics.
    pub server: &'a Server,
    /// Who asked.
    pub client: &'a mut Client,
    /// The keys, under their locks.
    pub keys: Access<'a, 'a>,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The keys' hashes.
    pub planned: &'a [PlannedKey],
    /// Who hears of changes.
    pub changes: &'a ChangeBuffer<'a>,
    /// Where the request comes from.
    pub origin: Origin,
    /// What is to happen when the command has run.
    pub after: Option<After>,
    /// It turned out to need the whole keyspace, and has changed nothing: it is to run again, alone.
    pub again_alone: bool,
    /// When the batch began, in microseconds of Unix time.
    pub now_us: u64,
    /// INFO has counted its error already, where it came up: in a command that it called.
    pub error_counted: bool,
    /// What it waits for, if it found nothing.
    pub wait: Option<WaitFor>,
    /// Changes made, counted as Redis counts them (`rdb_changes_since_last_save`).
    pub dirty: u64,
    /// Which command this is, for error texts and statistics.
    pub command: &'a Entry,
    /// The key that a nested command used last, with its hash: the next one mostly uses it again.
    pub last_key: Option<(SmallVec<[u8; LAST_KEY_MAX]>, u64)>,
}

/// Longer keys are not remembered.
const LAST_KEY_MAX: usize = 40;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Straight from a client.
    Client,
    /// From the queue of a transaction.
    Transaction,
    /// From a script or function.
    Script,
}

/// What a connection does when a command has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Send what was written, then close.
    Close,
    /// Close without sending.
    CloseNow,
    /// Do nothing more for this client for so many milliseconds (DEBUG SLEEP).
    Sleep(u64),
    /// Wait until the request is served, see [`Context::wait_for`].
    Wait,
    /// End the server.
    Shutdown,
}

impl After {
    /// The time in nanoseconds for which a command has its client wait: it counts as time of the command.
    pub(super) fn sleep_ns(after: Option<&After>) -> u64 {
        match after {
            Some(After::Sleep(ms)) => ms.saturating_mul(1_000_000),
            _ => 0,
        }
    }
}

impl<'a> Context<'a> {
    /// That of a request which came straight from a client; its keys are still to be named.
    #[inline]
    pub fn of_client(
        server: &'a Server,
        client: &'a mut Client,
        keys: Access<'a, 'a>,
        reply: Reply<'a>,
        command: &'a Entry,
        changes: &'a ChangeBuffer<'a>,
        now_us: u64,
    ) -> Self {
        Self {
            server,
            client,
            keys,
            reply,
            planned: &[],
            changes,
            origin: Origin::Client,
            after: None,
            again_alone: false,
            now_us,
            error_counted: false,
            wait: None,
            dirty: 0,
            command,
            last_key: None,
        }
    }

    /// The key at argument `index`, hashed when the batch was planned.
    #[inline]
    pub fn key<'k>(&self, arguments: &[&'k [u8]], index: usize) -> HashedKey<'k> {
        match self.planned.first() {
            Some(first) if first.argument as usize == index => {
                HashedKey { bytes: arguments[index], hash: first.hash }
            }
            _ => self.key_among(arguments[index], index),
        }
    }

    fn key_among<'k>(&self, bytes: &'k [u8], index: usize) -> HashedKey<'k> {
        let is_it = |key: &&PlannedKey| key.argument as usize == index;
        // Most keys stand at even distances.
        let guess = match self.planned {
            [first, second, ..] => {
                let step = second.argument.abs_diff(first.argument).max(1) as usize;
                self.planned.get(index.saturating_sub(first.argument as usize) / step)
            }
            _ => None,
        };
        let sorted = || self.planned.binary_search_by_key(&index, |key| key.argument as usize).ok();
        let planned = guess
            .filter(is_it)
            .or_else(|| sorted().map(|at| &self.planned[at]))
            .or_else(|| self.planned.iter().find(is_it));
        match (planned, &self.last_key) {
            (Some(key), _) => HashedKey { bytes, hash: key.hash },
            (None, Some((key, hash))) if **key == *bytes => HashedKey { bytes, hash: *hash },
            _ => self.keys.keyspace.hasher().key(bytes),
        }
    }

    /// The hash of a key of a command that is about to be nested.
    pub fn hash_of_nested(&mut self, key: &[u8]) -> u64 {
        if let Some((last, hash)) = &self.last_key
            && **last == *key
        {
            return *hash;
        }
        let hash = self.keys.keyspace.hasher().hash(key);
        if key.len() <= LAST_KEY_MAX {
            self.last_key = Some((SmallVec::from_slice(key), hash));
        }
        hash
    }

    /// Tells that a command changed `key` of the selected database: counts it, publishes the event.
    #[inline]
    pub fn changed(&mut self, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        self.changed_in(self.keys.database, key, class, event);
    }

    /// [`changed`](Self::changed) for another database.
    #[inline]
    pub fn changed_in(
        &mut self,
        database: usize,
        key: &HashedKey<'_>,
        class: EventClass,
        event: &'static str,
    ) {
        self.dirty += 1;
        self.changes.made(database, key, Some((class, event)), self.origin == Origin::Script);
    }

    /// Adds to a statistic of the server.
    pub fn count(&self, counter: Counter, by: u64) {
        self.server.stats.add(crate::worker::current(), counter, by);
    }

    /// Tells that a command changed `key` of the selected database in a way that no event is published for.
    pub fn touched(&mut self, key: &HashedKey<'_>) {
        self.dirty += 1;
        self.changes.made(self.keys.database, key, None, self.origin == Origin::Script);
    }

    /// Tells of a further event of a change that is counted elsewhere.
    #[inline]
    pub fn event(&self, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        self.changes.made(self.keys.database, key, Some((class, event)), self.origin == Origin::Script);
    }

    /// Tells that what belongs to a value changed, but not the value: a stream's groups. Clients that watch
    /// the key do not mind.
    pub fn noted(&mut self, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        self.dirty += 1;
        self.changes.noted(self.keys.database, key, class, event);
    }

    /// Deletes a key that a command emptied, with the `del` event; the change itself was told already.
    pub fn delete_emptied(&mut self, key: &HashedKey<'_>) {
        self.keys.delete(key);
        self.event(key, EventClass::GENERIC, "del");
    }

    /// For a command that found nothing and may wait: has the client wait, or answers that there is nothing
    /// where waiting is not allowed (transactions and scripts).
    pub fn wait_for(&mut self, wait: WaitFor) {
        if self.origin == Origin::Client {
            self.wait = Some(wait);
        } else {
            wait.nothing.write(&mut self.reply);
        }
    }

    /// Runs another command within this one: of a transaction's queue, or called by a script. Its reply is
    /// written where the outer one's is; when it fails nothing of it stays in the reply. The locks for it are
    /// held already, or are taken here while alone.
    pub fn run_nested(&mut self, entry: &'a Entry, arguments: &[&[u8]], origin: Origin) -> CommandResult {
        if self.keys.is_alone() {
            let mut plan = LockPlan::new();
            if !entry.spec.flags.has(Flags::WHOLE_KEYSPACE) {
                lock_plan_of(&entry.spec, arguments, self.keys.database, self.keys.keyspace, &mut plan);
            }
            self.keys.relock(&plan);
        }
        let start = self.reply.position();
        let outer = (self.command, self.planned, self.origin, self.after.take());
        (self.command, self.planned, self.origin) = (entry, &[], origin);
        let started_ns = self.server.clock.monotonic_ns();
        let result = self.call(entry, self.server.commands.functions(entry).run, arguments);
        let took_ns = self.server.clock.monotonic_ns() - started_ns;
        self.told_of(entry, arguments, took_ns, start, result.is_err());
        // What the connection is to do then is remembered; the outer command has nothing of its own to ask.
        let after = self.after.take();
        (self.command, self.planned, self.origin, self.after) = outer;
        self.after = after.or(self.after.take());
        self.keys.database = self.client.database;
        result
    }

    /// Notes which keys a client that tracks is about to read; they are locked. A script's keys are those
    /// that its commands read.
    #[cold]
    pub fn remember_reads(&self, entry: &Entry, arguments: &[&[u8]]) {
        let command = &entry.spec;
        let Some(tracker) = &self.client.tracker else { return };
        if !command.flags.has(Flags::READONLY)
            || command.group == Group::Scripting
            || !tracker.remembers(self.client.caching)
        {
            return;
        }
        for_each_key(command, arguments, |position| {
            if position.flags & KeySpec::NOT_KEY == 0 {
                let key = self.keys.keyspace.hasher().key(arguments[position.argument]);
                self.server.effects.tracking.remember(&key, self.client.shared.id, self.keys.now_ms);
            }
        });
    }

    /// Counts a nested command, and tells of it where it is to be told.
    fn told_of(&self, entry: &Entry, arguments: &[&[u8]], took_ns: u64, start: usize, failed: bool) {
        let server = self.server;
        let from_script = self.origin == Origin::Script;
        let done = Done {
            client: &self.client.shared,
            entry,
            arguments,
            request_bytes: if from_script { 0 } else { resp_bytes(arguments) },
            reply_bytes: (self.reply.position() - start) as u64,
            sleeps_ns: After::sleep_ns(self.after.as_ref()),
        };
        server.count_alone(&done, took_ns + done.sleeps_ns, failed);
        if server.logs.monitors.any() && !entry.spec.flags.intersects(UNSEEN) {
            let source = if from_script { Source::Script } else { Source::Client(&self.client.shared) };
            server.show_to_monitors(entry, arguments, self.client.database, source);
        }
    }

    /// For a command that shows itself to monitors, so that it is seen before what it calls (EVAL).
    pub fn show_to_monitors(&self, arguments: &[&[u8]]) {
        if self.server.logs.monitors.any() {
            let source = Source::Client(&self.client.shared);
            self.server.show_to_monitors(self.command, arguments, self.client.database, source);
        }
    }

    /// Writes an error as the reply, or as a part of it.
    pub fn reply_error(&mut self, error: &CommandError) {
        let text = error.to_string();
        if !std::mem::take(&mut self.error_counted) {
            self.server.stats.error(crate::worker::current(), &error.code());
        }
        self.reply.error(&text);
    }

    /// From here on nothing is told of changes, and all of them can be put back: [`commit`](Self::commit) or
    /// [`undo`](Self::undo) ends it.
    pub fn begin_undoable(&mut self) {
        self.changes.keep();
        self.keys.begin_undo();
    }

    /// The changes stay, and are told.
    pub fn commit(&mut self) {
        self.keys.keep_changes();
        self.changes.tell_kept();
    }

    /// Everything is as before, and nobody has seen a thing.
    pub fn undo(&mut self) {
        self.keys.undo_changes();
        self.changes.forget_kept();
    }

    /// Tells that a read asked for a key that is not there (event class `m`).
    #[inline]
    pub fn missed(&self, key: &HashedKey<'_>) {
        self.server.effects.event(self.keys.database, key, EventClass::KEY_MISS, "keymiss");
    }

    /// The record of a key for a reading command, with hit, miss and access dated; tells of a miss.
    #[inline]
    pub fn read(&self, key: &HashedKey<'_>) -> Option<&Record> {
        let record = self.keys.read(key);
        if record.is_none() {
            self.missed(key);
        }
        record
    }

    /// The bytes of a string key: `None` if there is none.
    ///
    /// # Errors
    /// Another type.
    #[inline]
    pub fn read_string<'s>(
        &'s self,
        key: &HashedKey<'_>,
        number: &'s mut itoa::Buffer,
    ) -> Result<Option<&'s [u8]>, CommandError> {
        self.read(key).map(|record| string_bytes(record, number)).transpose()
    }
}

/// A string record's bytes; `number` is where a number's text is made.
///
/// # Errors
/// Another type.
#[inline]
pub fn string_bytes<'s>(record: &'s Record, number: &'s mut itoa::Buffer) -> Result<&'s [u8], CommandError> {
    match record.value() {
        ValueRef::Bytes(bytes) => Ok(bytes),
        ValueRef::Int(value) => Ok(number.format(value).as_bytes()),
        ValueRef::Object(Object::Text(bytes)) => Ok(bytes),
        ValueRef::Object(_) => Err(CommandError::WrongType),
    }
}
