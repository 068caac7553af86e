//! [`Context`]: what a command's function is given to read keys, write its reply and report changes.

use smallvec::SmallVec;

use crate::command::keys::{KeySpec, LockPlan, PlannedKey, first_key, for_each_key, lock_plan_of};
use crate::command::request::resp_bytes;
use crate::command::spec::{Flags, Group};
use crate::command::table::Entry;
use crate::effects::ChangeBuffer;
use crate::effects::told::{Note, Standing, word_of_removal};
use crate::engine::Server;
use crate::engine::client::Client;
use crate::engine::monitor::{Source, UNSEEN};
use crate::engine::observe::Done;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::{Access, NoRoom};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::prefetch;
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::record::{Record, RecordBox, ValueRef};
use crate::keyspace::value::Object;
use crate::resp::encode::Reply;
use crate::shared::commandlog::cut;
use crate::shared::slow_requests::Longest;
use crate::shared::stats::Counter;
use crate::shared::waiter::WaitFor;

/// Everything one command may use while it runs. The slots of its keys are locked until it ends.
pub struct Context<'a> {
    /// The server: configuration, clients, pub/sub, statistics.
    pub server: &'a Server,
    /// The client whose request this is; for a nested command the client of the outer one.
    pub client: &'a mut Client,
    /// Reads and writes records, under the locks of the command's slots.
    pub keys: Access<'a, 'a>,
    /// Encoder of the reply, at the end of the client's write buffer.
    pub reply: Reply<'a>,
    /// Hashes of the keys, made when the batch was planned.
    pub planned: &'a [PlannedKey],
    /// Collector of this batch's changes, which hands them on to `Effects`.
    pub changes: &'a ChangeBuffer<'a>,
    /// Whether a client, a transaction or a script runs the command.
    pub origin: Origin,
    /// What the connection does once the command has run; `None` to go on with the next request.
    pub after: Option<After>,
    /// Set by a script that reached for a key it holds no lock of, before it changed anything: it runs again,
    /// alone in the keyspace.
    pub again_alone: bool,
    /// When the batch began, in microseconds of Unix time.
    pub now_us: u64,
    /// Set when INFO has counted the command's error already, in the nested command that it came from.
    pub error_counted: bool,
    /// Keys, type and deadline that the client is to wait for; set by [`wait_for`](Self::wait_for).
    pub wait: Option<WaitFor>,
    /// Changes made, counted as Redis counts them (`rdb_changes_since_last_save`).
    pub dirty: u64,
    /// The command's entry in the table, for error texts and statistics.
    pub command: &'a Entry,
    /// Key of the last nested command, with its hash. A script mostly uses one key again and again, so its
    /// hash is not computed for each call.
    pub last_key: Option<(SmallVec<[u8; LAST_KEY_MAX]>, u64)>,
    /// The request of a transaction that has taken longest so far, of those that were not quick.
    pub longest: Option<Box<Longest>>,
}

/// A request of a transaction that took less is not what made it slow, in nanoseconds.
const LONGEST_MIN_NS: u64 = 100_000;

/// Longest key, in bytes, that `last_key` holds: it then needs no allocation.
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
    /// Become the link of a replica.
    Link,
    /// End the server.
    Shutdown,
}

impl After {
    /// Nanoseconds for which DEBUG SLEEP holds its client. They count as the command's own time.
    pub(super) fn sleep_ns(after: Option<&After>) -> u64 {
        match after {
            Some(After::Sleep(ms)) => ms.saturating_mul(1_000_000),
            _ => 0,
        }
    }
}

impl<'a> Context<'a> {
    /// Makes the context of a request that came straight from a client. `planned` is empty and set
    /// afterwards.
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
            longest: None,
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

    /// The key at argument `index` of a command that goes through all its keys in order, `number` of which it
    /// has had. Of very many keys the next ones are prefetched from time to time.
    #[inline]
    pub fn key_in_turn<'k>(&self, arguments: &[&'k [u8]], index: usize, number: usize) -> HashedKey<'k> {
        const TOGETHER: usize = 32;
        if self.planned.len() > prefetch::AHEAD_MAX && number.is_multiple_of(TOGETHER) {
            let next = self.planned[number.min(self.planned.len())..].iter().take(TOGETHER);
            self.keys.fetch(next.map(|key| key.hash));
        }
        self.key(arguments, index)
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

    /// Hashes a key of a nested command, or returns the hash of `last_key` where it is the same.
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

    /// Reports that a command changed `key` of the selected database: adds one to `dirty`, publishes the
    /// event, aborts transactions that WATCH the key and invalidates clients' copies of it.
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
        self.keys.date_change(database, key);
        self.changes.made(database, key, Some((class, event)), self.origin == Origin::Script);
    }

    /// Adds to a statistic of the server.
    pub fn count(&self, counter: Counter, by: u64) {
        self.server.stats.add(crate::worker::current(), counter, by);
    }

    /// Does what [`changed`](Self::changed) does, without an event, for changes that have none.
    pub fn touched(&mut self, key: &HashedKey<'_>) {
        self.dirty += 1;
        self.keys.date_change(self.keys.database, key);
        self.changes.made(self.keys.database, key, None, self.origin == Origin::Script);
    }

    /// Publishes a further event of a change that was counted already: `dirty` stays as it is.
    #[inline]
    pub fn event(&self, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        self.changes.made(self.keys.database, key, Some((class, event)), self.origin == Origin::Script);
    }

    /// Reports a change beside the value: of a stream's consumer groups. Adds one to `dirty` and publishes
    /// the event, but aborts no transaction and invalidates no copy.
    pub fn noted(&mut self, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
        self.dirty += 1;
        self.keys.date_change(self.keys.database, key);
        self.changes.noted(self.keys.database, key, class, event);
    }

    /// Has the requests of clients that wait for a key run again, although its value did not change: what they
    /// wait for may be there.
    pub fn serve_waiting_for(&self, key: &HashedKey<'_>) {
        self.changes.stirred(self.keys.database, key);
    }

    /// Stores a record under a key of the selected database and frees the one whose place it takes, which is
    /// told with the events `overwritten` and `type_changed`.
    pub fn put(&mut self, key: &HashedKey<'_>, record: RecordBox) {
        let new_type = record.type_name();
        let old = self.keys.put(key, record);
        self.tell_overwritten(self.keys.database, key, old.as_deref(), new_type);
        self.keys.discard(old);
    }

    /// Publishes that a value of this type took the place of another one, if there was any.
    #[inline]
    pub fn tell_overwritten(
        &self,
        database: usize,
        key: &HashedKey<'_>,
        old: Option<&Record>,
        new_type: &'static str,
    ) {
        if let Some(old) = old {
            self.changes.overwritten(database, key, old.type_name() != new_type);
        }
    }

    /// Publishes the fields of a hash that an event was about, which was told before.
    #[inline]
    pub fn tell_fields<'f>(
        &self,
        key: &HashedKey<'_>,
        event: &'static str,
        fields: impl ExactSizeIterator<Item = &'f [u8]> + Clone,
    ) {
        self.changes.fields(self.keys.database, key, (EventClass::HASH, event), fields);
    }

    /// Publishes the members of a set that an event was about, which was told before.
    #[inline]
    pub fn tell_members<'m>(
        &self,
        key: &HashedKey<'_>,
        event: &'static str,
        members: impl ExactSizeIterator<Item = &'m [u8]> + Clone,
    ) {
        self.changes.fields(self.keys.database, key, (EventClass::SET, event), members);
    }

    /// Deletes a key that a command emptied, with the `del` event; the change itself was told already.
    pub fn delete_emptied(&mut self, key: &HashedKey<'_>) {
        self.keys.delete(key);
        self.event(key, EventClass::GENERIC, "del");
    }

    /// Whether anybody reads the journal: only then a command has to [`enter`](Self::enter) anything.
    #[inline]
    pub fn is_journaled(&self) -> bool {
        self.changes.is_journaled()
    }

    /// Enters into the journal what the command has changed, in place of its request: a request that does the
    /// same again at any time and in any place, with the same keys.
    pub fn enter(&self, words: &[&[u8]]) {
        self.changes.enter(self.keys.database, words);
    }

    /// Enters behind the command, transaction or script that runs a request about `key` as one of its own, see
    /// [`Note`].
    pub fn enter_note(
        &self,
        key: &HashedKey<'_>,
        words: &[&[u8]],
        standing: fn(&Note, &Record, u64) -> Standing,
    ) {
        if self.is_journaled() {
            let key = (self.keys.database, key.bytes.into());
            let words = words.iter().map(|&word| word.into()).collect();
            self.changes.enter_note(Note { key, words, standing });
        }
    }

    /// The value of a key of the selected database was moved or copied to another key: so is what was noted
    /// of it.
    pub fn note_moved(&self, from: &HashedKey<'_>, (database, to): (usize, &HashedKey<'_>)) {
        self.changes.note_for_another((self.keys.database, from.bytes), (database, to.bytes));
    }

    /// [`enter`](Self::enter)s that a key was deleted, where anybody reads the journal.
    pub fn enter_deleted(&self, key: &HashedKey<'_>) {
        if self.is_journaled() {
            self.enter(&[b"DEL", key.bytes]);
        }
    }

    /// [`enter_deleted`](Self::enter_deleted), where the value was freed for this reason.
    pub fn enter_removed(&self, key: &HashedKey<'_>, loss: FreeReason) {
        if self.is_journaled() {
            self.enter(&[word_of_removal(self.keys.keyspace.reaper.is_lazy(loss)), key.bytes]);
        }
    }

    /// Ends a command that found nothing and may wait. The client waits; within a transaction or a script,
    /// where waiting is not allowed, `wait.nothing` is the reply.
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
        /// Work of a short command.
        const UNITS: usize = 20;
        self.keys.work(UNITS);
        if self.keys.is_alone() {
            let mut plan = LockPlan::new();
            if !entry.spec.flags.has(Flags::WHOLE_KEYSPACE) {
                lock_plan_of(&entry.spec, arguments, self.keys.database, self.keys.keyspace, &mut plan);
            }
            if self.server.reads_past(self.client) {
                plan.iter_mut().for_each(|lock| lock.write = true);
            }
            self.keys.relock(&plan);
        }
        let start = self.reply.position();
        let outer = (self.command, self.planned, self.origin, self.after.take());
        (self.command, self.planned, self.origin) = (entry, &[], origin);
        if origin == Origin::Transaction {
            self.keys.run_inner(entry.id, first_key(&entry.spec, arguments));
        }
        let started_ns = self.server.clock.monotonic_ns();
        if self.is_journaled() {
            self.changes.begin_group();
        }
        let run = self.server.commands.functions(entry).run;
        let result = self.call_and_note(entry, run, arguments);
        let took_ns = self.server.clock.monotonic_ns() - started_ns;
        if self.server.hot_keys.sampler.is_on() && !self.client.is_loader {
            self.server.note_nested_accesses(entry, arguments, self.keys.database);
        }
        self.told_of(entry, arguments, took_ns, start, result.is_err());
        let slept_ns = After::sleep_ns(self.after.as_ref());
        if took_ns + slept_ns >= LONGEST_MIN_NS && origin == Origin::Transaction {
            self.note_longest(entry, arguments, took_ns + slept_ns);
        }
        // What the connection is to do then is remembered; the outer command has nothing of its own to ask.
        let after = self.after.take();
        (self.command, self.planned, self.origin, self.after) = outer;
        self.after = after.or(self.after.take());
        self.keys.database = self.client.database;
        result
    }

    #[cold]
    fn note_longest(&mut self, entry: &Entry, arguments: &[&[u8]], took_ns: u64) {
        if self.longest.as_ref().is_none_or(|longest| longest.took_ns < took_ns) {
            let arguments = cut(entry, arguments, self.server.kept_of_request());
            self.longest = Some(Box::new(Longest { took_ns, arguments }));
        }
    }

    /// Enters the keys that a tracking client is about to read, while they are locked. A script enters the
    /// keys that its commands read, not those it declares.
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

    /// The longest string that a command may make, in bytes: `proto-max-bulk-len`, which a primary or the server that
    /// wrote a file may have had higher. There what they say is done, up to what a record can hold.
    pub fn string_max(&self) -> usize {
        if self.client.is_loader {
            i32::MAX as usize
        } else {
            self.server.settings.bulk_max().max(0) as usize
        }
    }

    /// Counts a nested command and logs it where it crossed a threshold.
    fn told_of(&self, entry: &Entry, arguments: &[&[u8]], took_ns: u64, start: usize, failed: bool) {
        if self.client.is_loader && !self.client.is_primary {
            return;
        }
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
        // A script is counted as a whole.
        let thresholds = server.logs.observation.thresholds(0);
        if !from_script && thresholds.by_slot {
            server.count_for_slot(&done, took_ns);
        }
        if !from_script && thresholds.by_key {
            server.note_use(&done, took_ns);
        }
        if server.logs.monitors.any() && !entry.spec.flags.intersects(UNSEEN) {
            let source = if from_script { Source::Script } else { Source::Client(&self.client.shared) };
            server.show_to_monitors(entry, arguments, self.client.database, source);
        }
    }

    /// Sends the command to MONITOR before it runs. EVAL does so, or its line would come behind those of the
    /// commands it calls.
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

    /// Begins an undoable stretch: records are kept before their first change, and changes are not reported.
    /// [`commit`](Self::commit) or [`undo`](Self::undo) ends it.
    pub fn begin_undoable(&mut self) {
        self.changes.keep();
        self.keys.begin_undo();
    }

    /// Ends an undoable stretch: its changes stay and are reported now.
    pub fn commit(&mut self) {
        self.keys.keep_changes();
        self.changes.tell_kept();
    }

    /// Ends an undoable stretch: puts every record back and forgets what was to be reported.
    pub fn undo(&mut self) {
        self.keys.undo_changes();
        self.changes.forget_kept();
    }

    /// Publishes that a read asked for a key that is not there (event `keymiss`, class `m`).
    #[inline]
    pub fn missed(&self, key: &HashedKey<'_>) {
        self.server.effects.event(self.keys.database, key, EventClass::KEY_MISS, "keymiss");
    }

    /// Finds the record of a key for a reading command: counts a hit or a miss for INFO (`keyspace_hits`,
    /// `keyspace_misses`), dates the access, and publishes a miss.
    #[inline]
    pub fn read(&self, key: &HashedKey<'_>) -> Option<&Record> {
        let record = self.keys.read(key);
        if record.is_none() {
            self.missed(key);
        }
        record
    }

    /// Whether a command is to read its one key in pieces ([`Access::read_in_pieces`]) because it is going to
    /// do so much work with it. Where it may not, the work is announced. A client that keeps copies reads in
    /// one go: what it has read is entered while the key is locked.
    ///
    /// # Errors
    /// There is no room for so much work.
    #[inline]
    pub fn is_read_in_pieces(&self, units: usize) -> Result<bool, NoRoom> {
        if Access::is_long(units) { self.may_read_in_pieces(units) } else { Ok(false) }
    }

    #[cold]
    fn may_read_in_pieces(&self, units: usize) -> Result<bool, NoRoom> {
        let may =
            self.origin == Origin::Client && self.client.tracker.is_none() && self.keys.can_read_in_pieces();
        if may {
            self.keys.may_take_units(units)?;
        } else {
            self.keys.expect(units)?;
        }
        Ok(may)
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
