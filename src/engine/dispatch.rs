//! A batch of requests: planned, prefetched, judged and run, one after the other.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use super::account::Streak;
use super::client::{Client, ReplyMode};
use super::judge::Verdict;
use super::monitor::{Source, UNSEEN};
use super::observe::{Done, Thresholds};
use super::streak::PlainStreak;
use super::waiting::Served;
use crate::command::keys::{KeyPosition, LockPlan, PlannedKey, drop_foreign, for_each_key, lock_plan};
use crate::command::request::OwnedRequest;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::effects::ChangeBuffer;
use crate::engine::context::{After, Context};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::KeyId;
use crate::keyspace::access::{Access, AccessCounts, AccessSettings, Hold, SlotLock};
use crate::keyspace::gate::Shared;
use crate::keyspace::record::is_expired;
use crate::keyspace::{prefetch, sweep, table};
use crate::primitives::same::same;
use crate::resp::decode::Decoder;
use crate::resp::encode::Reply;
use crate::shared::client::Door;
use crate::shared::clock::Moment;
use crate::shared::stats::Counter;

/// A batch ends early when so many bytes of replies wait: they are sent before more are made.
pub(super) const OUTPUT_ENOUGH: usize = 256 * 1024;

/// Why a batch ended before its last request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What a command asked for.
    After(After),
    /// The next request has to wait for the end of a pause.
    Paused,
    /// The next request has to wait for the end of a script.
    Busy,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEnd {
    /// Requests that are done.
    pub executed: usize,
    /// Why not all, or what is to follow.
    pub stop: Option<Stop>,
}

/// Buffers of a connection that batches use again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    arguments: Vec<&'static [u8]>,
    keys: Vec<PlannedKey>,
    requests: Vec<PlannedRequest>,
    plan: LockPlan,
}

/// A request of the batch before it is judged.
#[derive(Debug)]
pub(super) struct PlannedRequest {
    /// The command's id, or why there is none.
    pub(super) command: Result<u32, Box<CommandError>>,
    /// Where its arguments end; they start where those of the request before it end.
    pub(super) arguments_end: u32,
    /// The same of its keys.
    pub(super) keys_end: u32,
}

/// `SameCommand` remembers the request before: a plain command with one key at a fixed place. A request that begins with the
/// same words and has as many of them is the same command with its key at the same place, so it is not looked up again.
struct SameCommand<'r> {
    /// The words that name the command: its name, and its subcommand's where it is one.
    name: &'r [u8],
    subcommand: Option<&'r [u8]>,
    /// Number of words of the whole request, on which arity and the key's place depend.
    words: usize,
    id: u32,
    key: KeyPosition,
}

impl<'r> SameCommand<'r> {
    fn new(entry: &Entry, words: &[&'r [u8]]) -> Option<Self> {
        let key = entry.single.filter(|key| key.argument < words.len())?;
        let subcommand = if entry.is_subcommand { Some(*words.get(1)?) } else { None };
        Some(Self { name: words.first()?, subcommand, words: words.len(), id: entry.id as u32, key })
    }

    #[inline]
    fn is_meant_by(&self, words: &[&[u8]]) -> bool {
        words.len() == self.words
            && same(self.name, words[0])
            && self.subcommand.is_none_or(|subcommand| same(subcommand, words[1]))
    }
}

/// How a request came.
#[derive(Clone, Copy)]
struct Arrival {
    /// Bytes of it.
    bytes: usize,
    /// The next request is not of its kind, or has not come yet.
    ends_streak: bool,
}

/// A request that was judged.
pub(super) struct Request<'r> {
    pub(super) entry: &'r Entry,
    pub(super) arguments: &'r [&'r [u8]],
    pub(super) keys: &'r [PlannedKey],
    /// For whom it runs again, if not for the client that is served now.
    pub(super) served: Option<Served<'r>>,
}

/// What became of one request.
pub(super) struct Outcome {
    pub(super) result: CommandResult,
    pub(super) after: Option<After>,
    /// It found nothing, and its client waits.
    pub(super) waits: bool,
    /// A script that has been running for a while is in its way.
    pub(super) busy: bool,
    /// Its error was counted where it came up.
    error_counted: bool,
}

impl Outcome {
    /// Nothing came of it yet.
    const NOTHING: Outcome =
        Outcome { result: Ok(()), after: None, waits: false, busy: false, error_counted: false };
}

/// The state of a batch while it runs.
pub(super) struct Batch<'s> {
    pub(super) worker: usize,
    pub(super) now_us: u64,
    pub(super) now_ms: u64,
    /// See [`Server::is_plain`]: said of the batch's client when the last command that was not plain had run.
    pub(super) plain: bool,
    pub(super) counts: AccessCounts,
    pub(super) changes: ChangeBuffer<'s>,
    /// Held from the first command that needs it to the end of the batch, or to a command that needs the gate open.
    pub(super) shared: Option<Shared<'s>>,
    /// When the present run began, and the tick then.
    pub(super) clock_ns: u64,
    pub(super) tick: u64,
    pub(super) thresholds: Thresholds,
    pub(super) streak: Streak,
    pub(super) executed: u64,
    /// How many of them ran for clients that waited.
    pub(super) for_others: u64,
    pub(super) dirty: u64,
}

impl Server {
    /// Runs the first `count` requests of the decoder and appends their replies to `out`.
    pub fn run_batch(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        decoder: &Decoder,
        buffer: &[u8],
        count: usize,
        out: &mut Vec<u8>,
    ) -> BatchEnd {
        let mut arguments = recycle(std::mem::take(&mut scratch.arguments));
        scratch.keys.clear();
        scratch.requests.clear();
        let mut before: Option<SameCommand<'_>> = None;
        for index in 0..count {
            let first = arguments.len();
            decoder.arguments(buffer, index, &mut arguments);
            let words = &arguments[first..];
            let command = match &before {
                Some(before) if before.is_meant_by(words) => {
                    let KeyPosition { argument, flags } = before.key;
                    let hash = self.keyspace.hasher().hash(words[argument]);
                    scratch.keys.push(PlannedKey { argument: argument as u32, flags, hash });
                    Ok(before.id)
                }
                _ => {
                    let command = self.plan(words, &mut scratch.keys);
                    let entry = command.as_ref().ok().map(|id| &self.commands.entries()[*id as usize]);
                    before = entry.and_then(|entry| SameCommand::new(entry, words));
                    command
                }
            };
            scratch.requests.push(PlannedRequest {
                command,
                arguments_end: arguments.len() as u32,
                keys_end: scratch.keys.len() as u32,
            });
        }
        let mut batch = self.new_batch();
        client.shared.active_ms.store(u64::MAX, Ordering::Relaxed);
        batch.changes.set_actor(client.shared.id);
        batch.plain = self.is_plain(client);
        if !scratch.keys.is_empty() {
            self.prefetch(client, &mut batch, &scratch.keys);
        }
        let mut end = BatchEnd { executed: count, stop: None };
        let (mut first_argument, mut first_key) = (0, 0);
        let mut index = 0;
        while let Some(request) = scratch.requests.get(index) {
            if batch.plain
                && let Ok(id) = request.command
                && self.commands.entries()[id as usize].single.is_some()
            {
                let streak = PlainStreak {
                    entry: &self.commands.entries()[id as usize],
                    requests: &scratch.requests[index..],
                    first: index,
                    arguments: &arguments,
                    keys: &scratch.keys,
                    first_argument,
                    first_key,
                    decoder,
                };
                let done = self.run_streak(client, &streak, &mut batch, out);
                if done > 0 {
                    index += done;
                    let last = &scratch.requests[index - 1];
                    (first_argument, first_key) = (last.arguments_end as usize, last.keys_end as usize);
                    if out.len() >= OUTPUT_ENOUGH {
                        end.executed = index;
                        break;
                    }
                    continue;
                }
            }
            let words = &arguments[first_argument..request.arguments_end as usize];
            let keys = &scratch.keys[first_key..request.keys_end as usize];
            client.replied = out.len();
            (first_argument, first_key) = (request.arguments_end as usize, request.keys_end as usize);
            let stop = match &request.command {
                Ok(id) => {
                    let entry = &self.commands.entries()[*id as usize];
                    let next = scratch.requests.get(index + 1);
                    let arrival = Arrival {
                        bytes: decoder.request_bytes(index),
                        ends_streak: next.is_none_or(|next| next.command.as_ref().ok() != Some(id)),
                    };
                    let request = Request { entry, arguments: words, keys, served: None };
                    self.run_request(client, &request, arrival, &mut batch, &mut scratch.plan, out)
                }
                Err(error) if **error == CommandError::OtherProtocol => {
                    self.tell_other_protocol(client, batch.now_ms);
                    Some(Stop::After(After::CloseNow))
                }
                Err(error) => {
                    self.refuse(client, None, error, &batch, out);
                    None
                }
            };
            index += 1;
            match stop {
                None if out.len() < OUTPUT_ENOUGH => {}
                None => {
                    end = BatchEnd { executed: index, stop: None };
                    break;
                }
                Some(stop @ (Stop::Paused | Stop::Busy)) => {
                    end = BatchEnd { executed: index - 1, stop: Some(stop) };
                    break;
                }
                Some(stop) => {
                    end = BatchEnd { executed: index, stop: Some(stop) };
                    break;
                }
            }
        }
        self.account(client, &mut batch);
        // A request with very many arguments leaves no lasting cost behind.
        if arguments.capacity() <= 4096 {
            scratch.arguments = recycle(arguments);
        }
        if scratch.keys.capacity() > 4096 {
            scratch.keys = Vec::new();
        }
        end
    }

    pub(super) fn new_batch(&self) -> Batch<'_> {
        let Moment { unix_us: now_us, monotonic_ns } = self.clock.moment();
        let now_ms = now_us / 1000;
        Batch {
            worker: crate::worker::current(),
            now_us,
            now_ms,
            plain: false,
            counts: AccessCounts::default(),
            changes: ChangeBuffer::new(&self.effects),
            shared: None,
            clock_ns: monotonic_ns,
            tick: self.observation.tick(),
            thresholds: self.observation.thresholds(now_ms),
            streak: Streak::default(),
            executed: 0,
            for_others: 0,
            dirty: 0,
        }
    }

    /// Finds the command of a request, and its keys.
    fn plan(&self, words: &[&[u8]], keys: &mut Vec<PlannedKey>) -> Result<u32, Box<CommandError>> {
        let entry = self.commands.resolve_request(words)?;
        for_each_key(&entry.spec, words, |position| {
            keys.push(PlannedKey {
                argument: position.argument as u32,
                flags: position.flags,
                hash: self.keyspace.hasher().hash(words[position.argument]),
            });
        });
        Ok(entry.id as u32)
    }

    fn prefetch<'s>(&'s self, client: &Client, batch: &mut Batch<'s>, keys: &[PlannedKey]) {
        if batch.shared.is_none() {
            batch.shared = self.keyspace.gate.shared_unless(batch.worker, || true);
        }
        // Not worth waiting for.
        let Some(shared) = &batch.shared else { return };
        let Some(database) = self.keyspace.physical_if_used(shared[client.database]) else { return };
        if let [key] = keys {
            database.prefetch_slot(key.hash);
        } else {
            prefetch::batch(database, keys.iter().map(|key| key.hash));
            self.stats.add(batch.worker, Counter::PrefetchBatches, 1);
            self.stats.add(batch.worker, Counter::PrefetchEntries, keys.len() as u64);
        }
    }

    /// Judges a request, takes its locks, runs it.
    fn run_request<'s>(
        &'s self,
        client: &mut Client,
        request: &Request<'_>,
        arrival: Arrival,
        batch: &mut Batch<'s>,
        plan: &mut LockPlan,
        out: &mut Vec<u8>,
    ) -> Option<Stop> {
        let &Request { entry, arguments, .. } = request;
        let plain = entry.plain && batch.plain;
        if plain {
            debug_assert!(client.transaction.is_none() && client.reply_mode == ReplyMode::On);
            if self.settings.maxmemory() > 0 && !self.has_room(client, entry, batch) {
                self.refuse(client, Some(entry), &CommandError::OutOfMemory, batch, out);
                return None;
            }
        } else if let ControlFlow::Break(stop) = self.hold_back(client, request, batch, out) {
            return stop;
        }
        let command = &entry.spec;
        let start = out.len();
        client.shared.last_command.store(entry.id as u32, Ordering::Relaxed);
        self.begin_streak(entry.id, batch);
        let Outcome { result, after, waits, busy, error_counted } =
            self.execute(client, request, batch, plan, out);
        if let Err(error) = &result
            && command.flags.has(Flags::RUNS_QUEUE)
            && client.transaction.is_some()
        {
            // It was kept from running at all.
            out.truncate(start);
            self.refuse(client, Some(entry), error, batch, out);
            return None;
        }
        if let Err(error) = &result {
            out.truncate(start);
            let text = error.to_string();
            Reply::new(out, client.version).error(&text);
            if !error_counted {
                self.stats.error(batch.worker, &error.code());
            }
        }
        let failed = out.get(start) == Some(&b'-');
        if failed && result.is_ok() && !error_counted {
            self.count_written_error(&out[start..], batch.worker);
        }
        if !plain && self.monitors.any() && !busy && !command.flags.intersects(UNSEEN) {
            self.show_to_monitors(entry, arguments, client.database, Source::Client(&client.shared));
        }
        if waits {
            // It counts as run when it is served, or its wait ends.
            self.begin_wait(client, entry.id, batch);
            return Some(Stop::After(After::Wait));
        }
        if busy {
            return Some(Stop::Busy);
        }
        if !batch.counts.stale.get_mut().is_empty() {
            self.remove_stale(batch);
        }
        if batch.changes.any_ready() {
            batch.shared = None;
            self.serve_waiting(batch);
        }
        let reply_bytes = if client.reply_mode == ReplyMode::On { out.len() - start } else { 0 };
        let ends_streak = arrival.ends_streak || after.is_some();
        if self.count_command(failed, arrival.bytes, reply_bytes, batch) || ends_streak {
            let done = Done {
                client: &client.shared,
                entry,
                arguments,
                request_bytes: arrival.bytes as u64,
                reply_bytes: reply_bytes as u64,
                sleeps_ns: match after {
                    Some(After::Sleep(ms)) => ms.saturating_mul(1_000_000),
                    _ => 0,
                },
            };
            self.conclude(&done, ends_streak, batch);
        }
        if plain {
            return None;
        }
        if client.asking && !command.flags.has(Flags::KEEPS_ASKING) {
            client.asking = false;
        }
        if client.caching && !command.flags.has(Flags::KEEPS_CACHING) && client.transaction.is_none() {
            client.caching = false;
        }
        let silent = if command.flags.has(Flags::PUSHES) { out.len() } else { start };
        self.finish_reply(client, silent, out);
        batch.plain = self.is_plain(client);
        after.map(Stop::After)
    }

    /// Whether nothing is special about a client, or going on in the server, that judgement or what follows a command has to look at
    /// where the command is plain as well.
    fn is_plain(&self, client: &Client) -> bool {
        client.door == Door::Main
            && client.rights.is_free(self)
            && client.transaction.is_none()
            && client.tracker.is_none()
            && client.reply_mode == ReplyMode::On
            && !client.subscriptions.any()
            && !(client.monitor || client.asking || client.caching || client.out_of_memory)
            && !self.cluster.is_enabled()
            && !self.pause.is_set()
            && self.settings.min_replicas() == 0
            && !self.monitors.any()
    }

    /// Judges a request. It breaks where the request has been refused or queued, or has to wait.
    fn hold_back<'s>(
        &'s self,
        client: &mut Client,
        request: &Request<'_>,
        batch: &mut Batch<'s>,
        out: &mut Vec<u8>,
    ) -> ControlFlow<Option<Stop>> {
        let &Request { entry, arguments, keys, .. } = request;
        match self.judge(client, entry, arguments, keys, batch.now_ms) {
            Verdict::Pass => {}
            Verdict::Wait => {
                client.shared.last_command.store(entry.id as u32, Ordering::Relaxed);
                return ControlFlow::Break(Some(Stop::Paused));
            }
            Verdict::Refuse(error) => {
                self.refuse(client, Some(entry), &error, batch, out);
                return ControlFlow::Break(None);
            }
        }
        if client.transaction.is_some()
            && self.scripting.slow.any()
            && let Some(Outcome { result: Err(error), .. }) = self.busy(entry, &LockPlan::new(), false)
        {
            self.refuse(client, Some(entry), &error, batch, out);
            return ControlFlow::Break(None);
        }
        if (self.settings.maxmemory() > 0 || client.out_of_memory) && !self.has_room(client, entry, batch) {
            self.refuse(client, Some(entry), &CommandError::OutOfMemory, batch, out);
            return ControlFlow::Break(None);
        }
        if client.tracker.is_some() && client.shared.has_messages() {
            // Keys that were evicted for this command are told before its reply, as are all that went before it.
            client.shared.take_messages(out);
        }
        if client.transaction.is_some() && !entry.spec.flags.has(Flags::NOT_QUEUED) {
            match self.queue(client, entry, arguments) {
                Ok(()) => {
                    let start = out.len();
                    Reply::new(out, client.version).simple("QUEUED");
                    self.finish_reply(client, start, out);
                }
                Err(error) => self.refuse(client, Some(entry), &error, batch, out),
            }
            return ControlFlow::Break(None);
        }
        ControlFlow::Continue(())
    }

    /// What a request gets to hear while a slow script is in its way: it waits, and after `busy-reply-threshold` it is refused.
    #[cold]
    fn busy(&self, entry: &Entry, plan: &LockPlan, wide: bool) -> Option<Outcome> {
        let flags = entry.spec.flags;
        let touches_keys = wide || !plan.is_empty();
        for running in self.scripting.slow.all() {
            let in_the_way = if touches_keys {
                running.stands_in_the_way_of(plan) || wide
            } else {
                running.start.locks.is_none() && !flags.has(Flags::ALLOW_BUSY)
            };
            let threshold_ms = self.config.int(Directive::BusyReplyThreshold);
            let too_long = threshold_ms > 0 && running.elapsed_ms() >= threshold_ms as u64;
            if in_the_way && too_long {
                let result = Err(CommandError::busy(running.start.function.is_some()));
                return Some(Outcome { result, ..Outcome::NOTHING });
            }
            if in_the_way && touches_keys {
                return Some(Outcome { busy: true, ..Outcome::NOTHING });
            }
        }
        None
    }

    /// The type of what a key holds, if it is there; locks its slot for a moment.
    pub(super) fn type_under<'s>(&'s self, key: &KeyId, batch: &mut Batch<'s>) -> Option<&'static str> {
        let shared = batch.shared.get_or_insert_with(|| self.keyspace.gate.shared(batch.worker));
        let database = self.keyspace.physical_if_used(shared[key.0])?;
        let hashed = self.keyspace.hasher().key(&key.1);
        let table = database.read_slot(hashed.slot());
        let record = table::find(&table, &hashed).filter(|record| !is_expired(record, batch.now_ms))?;
        Some(record.type_name())
    }

    /// Takes a request's locks and runs its command. What it wrote before an error is the caller's to take back.
    ///
    /// With `served` it runs for a client that waits, and only if its key is of the type that is waited for.
    pub(super) fn execute<'s>(
        &'s self,
        client: &mut Client,
        request: &Request<'_>,
        batch: &mut Batch<'s>,
        plan: &mut LockPlan,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let &Request { entry, arguments, keys, served } = request;
        let command = &entry.spec;
        let functions = self.commands.functions(entry);
        let alone = functions.alone.is_some_and(|alone| alone(self, client, arguments));
        lock_plan(command, arguments, keys, client.database, self.keyspace.hasher(), plan);
        if let Some(further_locks) = functions.further_locks
            && !alone
        {
            further_locks(self, client, plan);
        }
        if command.foreign_keys.is_some() || command.has_further_locks {
            drop_foreign(plan, &self.keyspace);
        }
        let wide = alone || command.flags.has(Flags::WHOLE_KEYSPACE);
        // Alone, locks are taken as keys are touched.
        let locks: &[SlotLock] = if alone && command.has_further_locks { &[] } else { plan };
        let give_up = || self.scripting.slow.any();
        let (database, version) = (client.database, client.version);
        let settings = AccessSettings {
            now_ms: batch.now_ms,
            ended_ms: client.ended_ms(batch.now_ms, &self.settings),
            past_ms: if self.settings.import_mode() { 0 } else { batch.now_ms },
            clock: self.settings.access_clock(batch.now_ms),
            touch: !client.no_touch,
            sink: &batch.changes,
            counts: &batch.counts,
            give_up: &give_up,
        };
        let access = loop {
            if self.scripting.slow.any()
                && let Some(busy) = self.busy(entry, plan, wide)
            {
                return busy;
            }
            let hold = if alone {
                batch.shared = None;
                let Some(exclusive) = self.keyspace.gate.exclusive_unless(give_up) else { continue };
                Hold::Exclusive(exclusive)
            } else if command.flags.has(Flags::WHOLE_KEYSPACE)
                // What touches no key (FUNCTION KILL) need not wait for a slow script that is alone in the keyspace.
                || locks.is_empty() && self.scripting.slow.any()
            {
                batch.shared = None;
                Hold::None
            } else {
                if batch.shared.is_none() {
                    batch.shared = self.keyspace.gate.shared_unless(batch.worker, give_up);
                }
                let Some(shared) = &batch.shared else { continue };
                Hold::Shared(shared)
            };
            if let Some(access) = Access::new(&self.keyspace, hold, database, &settings, locks) {
                break access;
            }
        };
        let reply = Reply::new(&mut *out, version);
        let mut context =
            Context::of_client(self, &mut *client, access, reply, entry, &batch.changes, batch.now_us);
        context.planned = keys;
        if served.is_some_and(|served| !served.may_run(&context.keys)) {
            return Outcome { waits: true, ..Outcome::NOTHING };
        }
        if context.client.tracker.is_some() {
            context.remember_reads(entry, arguments);
        }
        let result = (functions.run)(&mut context, arguments);
        if context.again_alone {
            drop(context);
            // Its `alone` now says so.
            return self.execute(client, request, batch, plan, out);
        }
        let (after, wait) = (context.after.take(), context.wait.take());
        let error_counted = context.error_counted;
        batch.dirty += context.dirty;
        let waits = wait.is_some();
        if let Some(mut wait) = wait
            && served.is_none()
        {
            // Entered under the locks: the next change of a key finds it.
            let request = wait.request.take().unwrap_or_else(|| OwnedRequest::new(arguments));
            let names = wait.keys.clone().map(|argument| (database, Box::from(arguments[argument])));
            let keys = names.collect();
            let shared = &context.client.shared;
            let waiter = self.effects.waiting.add(shared, version, entry.id, request, keys, wait);
            *shared.waiter.lock() = Some(Arc::clone(&waiter));
            context.client.waiter = Some(waiter);
        }
        Outcome { result, after, waits, busy: false, error_counted }
    }

    /// Removes the keys that a read found ended, now that its locks are free.
    #[cold]
    pub(super) fn remove_stale(&self, batch: &mut Batch<'_>) {
        batch.shared = None;
        let stale = batch.counts.stale.take();
        if self.keeps_keys(batch.now_ms) {
            return;
        }
        for (database, key) in stale {
            let removed = sweep::expire_key(&self.keyspace, &batch.changes, database, &key, batch.now_ms);
            batch.counts.expired.set(batch.counts.expired.get() + u64::from(removed));
        }
    }

    #[cold]
    fn tell_other_protocol(&self, client: &Client, now_ms: u64) {
        if let Some(further) = self.log_limits.other_protocol.take(now_ms) {
            tracing::warn!(
                client = client.shared.id,
                address = client.shared.address,
                further,
                "Possible SECURITY ATTACK: a client sent POST or Host:, as a web page makes a browser do; it was disconnected"
            );
        }
    }

    /// Writes the error of a request that does not run.
    fn refuse(
        &self,
        client: &mut Client,
        entry: Option<&Entry>,
        error: &CommandError,
        batch: &Batch<'_>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let mut text = error.to_string();
        let entry = match error {
            // The table knows the command, and refuses its arguments.
            CommandError::WrongArity(name) => self.commands.by_full_name(name.as_bytes()),
            _ => entry,
        };
        if entry.is_some_and(|entry| entry.spec.flags.has(Flags::RUNS_QUEUE)) {
            let reason = text.strip_prefix("ERR ").unwrap_or(&text);
            text = format!("EXECABORT Transaction discarded because of: {reason}");
            if client.transaction.take().is_some() {
                client.shared.queued.store(-1, Ordering::Relaxed);
                self.unwatch(client);
            }
        } else if let Some(transaction) = &mut client.transaction {
            transaction.aborted = true;
        }
        Reply::new(out, client.version).error(&text);
        self.stats.error(batch.worker, text.split(' ').next().unwrap_or_default());
        if let Some(entry) = entry {
            self.stats.command_rejected(batch.worker, entry.id);
        }
        self.finish_reply(client, start, out);
    }

    /// CLIENT REPLY, which may take back what was written from `start` on, and pushes that the command caused for its own client: they
    /// follow its reply.
    #[inline]
    fn finish_reply(&self, client: &mut Client, start: usize, out: &mut Vec<u8>) {
        if client.reply_mode != ReplyMode::On {
            match client.reply_mode {
                ReplyMode::Off => out.truncate(start),
                ReplyMode::SkipNext => {
                    out.truncate(start);
                    client.reply_mode = ReplyMode::Skip;
                }
                ReplyMode::Skip => {
                    out.truncate(start);
                    client.reply_mode = ReplyMode::On;
                }
                ReplyMode::On => {}
            }
        }
        if client.shared.has_messages() {
            client.shared.take_messages(out);
        }
    }

    fn account(&self, client: &Client, batch: &mut Batch<'_>) {
        self.account_batch(batch);
        let commands = &client.shared.commands;
        client.shared.active_ms.store(batch.now_ms, Ordering::Relaxed);
        commands.fetch_add(batch.executed - batch.for_others, Ordering::Relaxed);
    }

    pub(super) fn account_batch(&self, batch: &mut Batch<'_>) {
        self.end_streak(0, batch);
        self.stats.add(batch.worker, Counter::CommandsProcessed, batch.executed);
        self.stats.add(batch.worker, Counter::KeyspaceHits, batch.counts.hits.get());
        self.stats.add(batch.worker, Counter::KeyspaceMisses, batch.counts.misses.get());
        self.stats.add(batch.worker, Counter::ExpiredKeys, batch.counts.expired.get());
        self.stats.add(batch.worker, Counter::Changes, batch.dirty);
    }
}

/// An empty vector for slices of another buffer in the same allocation: collecting in place keeps it.
fn recycle<'a>(mut vector: Vec<&[u8]>) -> Vec<&'a [u8]> {
    vector.clear();
    vector.into_iter().map(|_| -> &'a [u8] { unreachable!("the vector is empty") }).collect()
}
