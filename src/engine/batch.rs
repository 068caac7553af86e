//! A batch: the requests that a connection has read whole, run one behind the other.
//!
//! All of them are planned first (which command, which keys), so that the memory their keys lie in can be
//! asked for ahead. Then requests for one plain command in a row run as a streak (`streak.rs`), any other by
//! itself (`request.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use super::account::Streak;
use super::blockers::Waits;
use super::client::Client;
use super::context::After;
use super::delays::Held;
use super::holders::Holder;
use super::observe::Thresholds;
use super::request::{Arrival, Request};
use crate::command::keys::{KeyPosition, LockPlan, PlannedKey, for_each_key};
use crate::command::table::Entry;
use crate::effects::ChangeBuffer;
use crate::error::CommandError;
use crate::keyspace::access::{AccessCounts, SlotLock};
use crate::keyspace::gate::Shared;
use crate::keyspace::prefetch;
use crate::primitives::same::same;
use crate::resp::decode::Decoder;
use crate::shared::clock::Moment;
use crate::shared::slow_requests::Longest;
use crate::shared::stats::Counter;

/// A batch ends early when so many bytes of replies wait: they are sent before more are made.
pub(super) const OUTPUT_ENOUGH: usize = 256 * 1024;

/// Entries of a scratch buffer that are kept for the next batch.
const SCRATCH_KEEP: usize = 4096;

/// Why a batch ended before its last request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A command asked the connection for something: to close, sleep, wait.
    After(After),
    /// The next request has to wait for the end of a pause.
    Paused,
    /// The next request has to wait for the end of a script, or of something else that is slow or heavy.
    Busy,
    /// The next request has to wait until there is room for it: its client is woken then.
    NoRoom,
}

/// How a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEnd {
    /// Number of requests that ran or were answered.
    pub executed: usize,
    /// Why the batch ended before its last request, or what the connection does next; `None` where all ran.
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

impl Scratch {
    /// Ids of the commands of the last batch; `None` for a request that names none.
    pub(super) fn commands(&self) -> impl Iterator<Item = Option<u32>> {
        self.requests.iter().map(|request| request.command.as_ref().ok().copied())
    }
}

/// A request of the batch before it is judged.
#[derive(Debug)]
pub(super) struct PlannedRequest {
    /// The command's id, or why there is none.
    pub(super) command: Result<u32, Box<CommandError>>,
    /// Index behind its last word among the words of all requests. Its first one stands behind those of the
    /// request before it.
    pub(super) arguments_end: u32,
    /// Index behind its last key among the keys of all requests.
    pub(super) keys_end: u32,
}

impl PlannedRequest {
    /// Whether it is for the command with this id.
    #[inline]
    pub(super) fn is_for(&self, id: usize) -> bool {
        matches!(self.command, Ok(command) if command as usize == id)
    }
}

/// The planned requests of a batch, and which of them is the next to run.
pub(super) struct Requests<'r> {
    pub(super) all: &'r [PlannedRequest],
    /// The words of all requests, one behind the other.
    pub(super) arguments: &'r [&'r [u8]],
    /// The keys of all requests, one behind the other.
    pub(super) keys: &'r [PlannedKey],
    pub(super) decoder: &'r Decoder,
    /// Index of the next request.
    pub(super) next: usize,
    /// Index of its first word in `arguments`.
    pub(super) first_argument: usize,
    /// Index of its first key in `keys`.
    pub(super) first_key: usize,
}

impl<'r> Requests<'r> {
    /// Counts `done` requests as run.
    #[inline]
    pub(super) fn advance(&mut self, done: usize) {
        self.next += done;
        let last = &self.all[self.next - 1];
        (self.first_argument, self.first_key) = (last.arguments_end as usize, last.keys_end as usize);
    }

    /// The words of the request `at` behind the next one.
    #[inline]
    pub(super) fn words_of(&self, at: usize) -> &'r [&'r [u8]] {
        let place = self.next + at;
        let first = if at == 0 { self.first_argument } else { self.all[place - 1].arguments_end as usize };
        &self.arguments[first..self.all[place].arguments_end as usize]
    }

    /// The words and the keys of a request that begin where those of the next one do.
    #[inline]
    fn parts(&self, request: &PlannedRequest) -> (&'r [&'r [u8]], &'r [PlannedKey]) {
        let words = &self.arguments[self.first_argument..request.arguments_end as usize];
        (words, &self.keys[self.first_key..request.keys_end as usize])
    }
}

/// `SameCommand` remembers the request before: a plain command with one key at a fixed place. A request that
/// begins with the same words and has as many of them is the same command with its key at the same place, so
/// it is not looked up again.
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

/// What was found of a batch's client and of the server before a request passes the gate of the keyspace.
pub(super) struct Judged {
    /// The answer of [`Server::is_plain`] for the batch's client. It looks at a dozen fields, so it is asked
    /// again only after a command that may have changed one of them.
    pub(super) plain: bool,
    /// How often the gate had been passed exclusively before that was asked, or the request judged: where it
    /// has been since, what was found may not hold any more.
    pub(super) turns: u64,
}

/// The state of a batch while it runs.
pub(super) struct Batch<'s> {
    pub(super) now_us: u64,
    pub(super) now_ms: u64,
    pub(super) judged: Judged,
    pub(super) counts: AccessCounts,
    pub(super) changes: ChangeBuffer<'s>,
    /// Held from the first command that needs it to the end of the batch, or to a command that needs the gate
    /// open.
    pub(super) shared: Option<Shared<'s>>,
    /// When the present streak began, in nanoseconds of the monotonic clock.
    pub(super) clock_ns: u64,
    /// The tick of [`super::observe`] when the streak began.
    pub(super) tick: u64,
    pub(super) thresholds: Thresholds,
    pub(super) streak: Streak,
    /// What the present streak waited for; `None` where it did not wait.
    pub(super) waits: Option<Box<Waits>>,
    /// What is known of the first request, where it was held before.
    pub(super) held: Option<Box<Held>>,
    /// Who keeps the request from running that the batch stops before.
    pub(super) blocked_by: Option<Arc<Holder>>,
    /// How long that request has waited for locks with its thread, in nanoseconds.
    pub(super) gave_up_ns: u64,
    /// The lock for whose sake it was broken off, if it was (`None`: the gate).
    pub(super) gave_up_at: Option<Option<SlotLock>>,
    /// What took longest of the transaction that ran last.
    pub(super) longest: Option<Box<Longest>>,
    /// Whether it was broken off as there is no room for it.
    pub(super) lacks_room: bool,
    /// Whether it was broken off to let an older request by.
    pub(super) lets_by: bool,
    /// Whether a heavy command has ended in it since postponed keys were looked at.
    pub(super) was_heavy: bool,
    /// Numbers of the client's requests that were slow.
    pub(super) slow: Vec<u64>,
    pub(super) executed: u64,
    /// Number of executed requests that ran for clients that waited.
    pub(super) for_others: u64,
    pub(super) dirty: u64,
    /// Whether nothing of it is counted and logged: it repeats a file.
    pub(super) is_silent: bool,
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
        self.plan_all(decoder, buffer, count, &mut arguments, scratch, client.is_loader);
        if self.simulation.is_on()
            && let Some(end) = self.cut_by_simulation(client, scratch)
        {
            return end;
        }
        let mut batch = self.new_batch();
        let began_ns = batch.clock_ns;
        client.shared.active_ms.store(u64::MAX, Ordering::Relaxed);
        self.health.workers.begin_batch(client.shared.id, batch.clock_ns);
        batch.changes.set_actor(client.shared.id);
        if client.is_loader {
            self.begin_loading_batch(client, &mut batch);
        }
        batch.judged.plain = self.is_plain(client);
        if client.delays.holds_request() {
            self.resume_held(client, &mut batch);
        }
        if !scratch.keys.is_empty() {
            self.prefetch(client, &mut batch, &scratch.keys);
        }
        let Scratch { keys, requests, plan, .. } = scratch;
        let requests = Requests {
            all: requests,
            arguments: &arguments,
            keys,
            decoder,
            next: 0,
            first_argument: 0,
            first_key: 0,
        };
        let mut end = self.run_all(client, requests, &mut batch, plan, out);
        self.account(client, &mut batch);
        client.delays.ran(began_ns, batch.clock_ns);
        if !batch.slow.is_empty() {
            client.delays.add_unwritten(&mut batch.slow);
        }
        if let Some(Stop::Paused | Stop::Busy | Stop::NoRoom) = end.stop {
            self.hold_request(client, &mut batch, &end);
        }
        self.health.workers.end_batch();
        // A request with very many arguments leaves no lasting cost behind.
        if arguments.capacity() <= SCRATCH_KEEP {
            scratch.arguments = recycle(arguments);
        }
        if scratch.keys.capacity() > SCRATCH_KEEP {
            scratch.keys = Vec::new();
        }
        if self.simulation.is_on() && end.stop.is_none() {
            end.stop = self.delay_by_simulation(client, scratch);
        }
        end
    }

    /// Finds the commands and keys of the first `count` requests of the decoder, `entered` by this server or
    /// another one or sent by a client.
    fn plan_all<'r>(
        &self,
        decoder: &'r Decoder,
        buffer: &'r [u8],
        count: usize,
        arguments: &mut Vec<&'r [u8]>,
        scratch: &mut Scratch,
        entered: bool,
    ) {
        scratch.keys.clear();
        scratch.requests.clear();
        let mut before: Option<SameCommand<'_>> = None;
        for index in 0..count {
            let first = arguments.len();
            decoder.arguments(buffer, index, arguments);
            let words = &arguments[first..];
            let command = match &before {
                Some(before) if before.is_meant_by(words) => {
                    let KeyPosition { argument, flags } = before.key;
                    let hash = self.keyspace.hasher().hash(words[argument]);
                    scratch.keys.push(PlannedKey { argument: argument as u32, flags, hash });
                    Ok(before.id)
                }
                _ => {
                    let command = self.plan(words, &mut scratch.keys, entered);
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
    }

    /// Finds the command of a request, and its keys.
    fn plan(
        &self,
        words: &[&[u8]],
        keys: &mut Vec<PlannedKey>,
        entered: bool,
    ) -> Result<u32, Box<CommandError>> {
        let table = &self.commands;
        let resolved = if entered { table.resolve_entered(words) } else { table.resolve_request(words) };
        let entry = resolved.map_err(|error| {
            let unknown = if entered { None } else { self.unknown_by_profile(words) };
            Box::new(unknown.unwrap_or(error))
        })?;
        for_each_key(&entry.spec, words, |position| {
            keys.push(PlannedKey {
                argument: position.argument as u32,
                flags: position.flags,
                hash: self.keyspace.hasher().hash(words[position.argument]),
            });
        });
        Ok(entry.id as u32)
    }

    /// Runs the requests in turn until all are done, one of them stops the batch, or enough bytes of replies
    /// wait.
    fn run_all<'s>(
        &'s self,
        client: &mut Client,
        mut requests: Requests<'_>,
        batch: &mut Batch<'s>,
        plan: &mut LockPlan,
        out: &mut Vec<u8>,
    ) -> BatchEnd {
        while let Some(request) = requests.all.get(requests.next) {
            if batch.judged.plain
                && let Ok(id) = request.command
                && let entry = &self.commands.entries()[id as usize]
                && entry.single.is_some()
            {
                let done = self.run_streak(client, entry, &requests, batch, out);
                if done > 0 {
                    requests.advance(done);
                    if out.len() >= OUTPUT_ENOUGH {
                        return BatchEnd { executed: requests.next, stop: None };
                    }
                    continue;
                }
            }
            client.replied = out.len();
            let stop = self.run_next(client, &requests, request, batch, plan, out);
            if let Some(stop @ (Stop::Paused | Stop::Busy | Stop::NoRoom)) = stop {
                return BatchEnd { executed: requests.next, stop: Some(stop) };
            }
            if batch.held.is_some() {
                let waits_for_keys = matches!(stop, Some(Stop::After(After::Wait)));
                self.forget_held(client, requests.parts(request).0, request, waits_for_keys, batch);
            }
            requests.advance(1);
            if stop.is_some() || out.len() >= OUTPUT_ENOUGH {
                return BatchEnd { executed: requests.next, stop };
            }
        }
        BatchEnd { executed: requests.next, stop: None }
    }

    /// Runs the next request by itself, or refuses it.
    fn run_next<'s>(
        &'s self,
        client: &mut Client,
        requests: &Requests<'_>,
        request: &PlannedRequest,
        batch: &mut Batch<'s>,
        plan: &mut LockPlan,
        out: &mut Vec<u8>,
    ) -> Option<Stop> {
        let (words, keys) = requests.parts(request);
        match &request.command {
            Ok(id) => {
                let entry = &self.commands.entries()[*id as usize];
                let following = requests.all.get(requests.next + 1);
                let arrival = Arrival {
                    bytes: requests.decoder.request_bytes(requests.next),
                    ends_streak: following.is_none_or(|following| !following.is_for(entry.id)),
                };
                let request = Request { entry, arguments: words, keys, served: None };
                self.run_request(client, &request, arrival, batch, plan, out)
            }
            Err(error) if **error == CommandError::OtherProtocol => {
                self.log_other_protocol(client, batch.now_ms);
                Some(Stop::After(After::CloseNow))
            }
            Err(error) => {
                self.refuse_unresolved(client, error, out);
                Stop::refused(client)
            }
        }
    }

    pub(super) fn new_batch(&self) -> Batch<'_> {
        let Moment { unix_us: now_us, monotonic_ns } = self.clock.moment();
        let now_ms = now_us / 1000;
        Batch {
            now_us,
            now_ms,
            judged: Judged { plain: false, turns: self.keyspace.gate.turns() },
            counts: AccessCounts::default(),
            changes: ChangeBuffer::new(&self.effects),
            shared: None,
            clock_ns: monotonic_ns,
            tick: self.logs.observation.tick(),
            thresholds: self.logs.observation.thresholds(now_ms),
            streak: Streak::default(),
            waits: None,
            held: None,
            blocked_by: None,
            gave_up_ns: 0,
            gave_up_at: None,
            longest: None,
            lacks_room: false,
            lets_by: false,
            was_heavy: false,
            slow: Vec::new(),
            executed: 0,
            for_others: 0,
            dirty: 0,
            is_silent: false,
        }
    }

    /// Asks for the memory that the keys of the batch lie in, where their database exists and the gate is
    /// open at once.
    fn prefetch<'s>(&'s self, client: &Client, batch: &mut Batch<'s>, keys: &[PlannedKey]) {
        if batch.shared.is_none() {
            let (gate, worker) = (&self.keyspace.gate, crate::worker::current());
            // A request that was held looks again and again: it does not keep a thread.
            let is_held = batch.held.is_some();
            batch.shared = gate.try_shared(worker).or_else(|| {
                if is_held {
                    return None;
                }
                let mut waits = Waits::default();
                waits.begin(None, self.clock.monotonic_ns());
                let shared = gate.shared_unless(worker, || true);
                waits.end(self, self.clock.monotonic_ns(), shared.is_some());
                batch.waits = Some(Box::new(waits));
                shared
            });
        }
        let Some(shared) = &batch.shared else { return };
        let Some(database) = self.keyspace.physical_if_used(shared[client.database]) else { return };
        if let [key] = keys {
            database.prefetch_slot(key.hash);
        } else {
            prefetch::batch(database, keys.iter().map(|key| key.hash));
            self.stats.add(crate::worker::current(), Counter::PrefetchBatches, 1);
            self.stats.add(crate::worker::current(), Counter::PrefetchEntries, keys.len() as u64);
        }
    }

    /// Lets a batch of the client that repeats a file run without being judged, told, counted or logged; of
    /// one that repeats a primary's stream without being judged or logged.
    #[cold]
    fn begin_loading_batch(&self, client: &mut Client, batch: &mut Batch<'_>) {
        client.rights.free_now(self);
        batch.thresholds = Thresholds::NONE;
        if !client.is_primary {
            batch.changes.be_silent();
            batch.is_silent = true;
        }
    }

    fn account(&self, client: &mut Client, batch: &mut Batch<'_>) {
        self.account_batch(batch);
        let position = batch.changes.position();
        if position != 0 {
            client.changed_to = position;
        }
        client.seen_to = if self.durability.is_strict() { self.journal().end() } else { client.changed_to };
        let commands = &client.shared.commands;
        client.shared.active_ms.store(batch.now_ms, Ordering::Relaxed);
        commands.fetch_add(batch.executed - batch.for_others, Ordering::Relaxed);
    }

    /// Adds what the batch counted to the server's statistics.
    pub(super) fn account_batch(&self, batch: &mut Batch<'_>) {
        self.end_streak(0, batch);
        if batch.is_silent {
            return;
        }
        self.stats.add(crate::worker::current(), Counter::CommandsProcessed, batch.executed);
        self.stats.add(crate::worker::current(), Counter::KeyspaceHits, batch.counts.hits.get());
        self.stats.add(crate::worker::current(), Counter::KeyspaceMisses, batch.counts.misses.get());
        self.stats.add(crate::worker::current(), Counter::ExpiredKeys, batch.counts.expired.get());
        let expired_members = batch.counts.expired_members.get();
        self.stats.add(crate::worker::current(), Counter::ExpiredMembers, expired_members);
        self.stats.add(crate::worker::current(), Counter::Changes, batch.dirty);
    }
}

/// An empty vector for slices of another buffer in the same allocation: collecting in place keeps it.
fn recycle<'a>(mut vector: Vec<&[u8]>) -> Vec<&'a [u8]> {
    vector.clear();
    vector.into_iter().map(|_| -> &'a [u8] { unreachable!("the vector is empty") }).collect()
}
