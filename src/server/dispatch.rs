//! A batch of requests: planned, prefetched, judged and run, one after the other.

use super::Server;
use super::client::{Client, ReplyMode};
use super::gate::Verdict;
use super::stats::Counter;
use crate::command::context::{After, Context};
use crate::command::keys::{LockPlan, PlannedKey, for_each_key, lock_plan};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::error::CommandError;
use crate::keyspace::access::{Access, AccessCounts, AccessSettings, Hold};
use crate::keyspace::gate::Shared;
use crate::keyspace::{prefetch, sweep};
use crate::resp::decode::Decoder;
use crate::resp::encode::Reply;

/// Why a batch ended before its last request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What a command asked for.
    After(After),
    /// The next request has to wait for the end of a pause.
    Paused,
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
struct PlannedRequest {
    /// The command's id, or why there is none.
    command: Result<usize, CommandError>,
    arguments: std::ops::Range<usize>,
    keys: std::ops::Range<usize>,
}

/// The state of a batch while it runs.
struct Batch<'s> {
    worker: usize,
    now_ms: u64,
    counts: AccessCounts,
    /// Held from the first command that needs it to the end of the batch, or to a command that needs the gate open.
    shared: Option<Shared<'s>>,
    clock_ns: u64,
    executed: u64,
    dirty: u64,
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
        for index in 0..count {
            let first = arguments.len();
            decoder.arguments(buffer, index, &mut arguments);
            let request = self.plan(&arguments, first, &mut scratch.keys);
            scratch.requests.push(request);
        }
        let mut batch = Batch {
            worker: super::super::worker::current(),
            now_ms: self.clock.now_ms(),
            counts: AccessCounts::default(),
            shared: None,
            clock_ns: self.clock.monotonic_ns(),
            executed: 0,
            dirty: 0,
        };
        if scratch.keys.len() > 1 {
            self.prefetch(client, &mut batch, &scratch.keys);
        }
        let mut end = BatchEnd { executed: count, stop: None };
        for (index, request) in scratch.requests.iter().enumerate() {
            let words = &arguments[request.arguments.clone()];
            let keys = &scratch.keys[request.keys.clone()];
            let stop = match &request.command {
                Ok(id) => {
                    let entry = &self.commands.entries()[*id];
                    self.run_request(client, entry, words, keys, &mut batch, &mut scratch.plan, out)
                }
                Err(error) => {
                    self.refuse(client, None, error, &batch, out);
                    None
                }
            };
            match stop {
                None => {}
                Some(Stop::Paused) => {
                    end = BatchEnd { executed: index, stop: Some(Stop::Paused) };
                    break;
                }
                Some(stop) => {
                    end = BatchEnd { executed: index + 1, stop: Some(stop) };
                    break;
                }
            }
        }
        self.account(client, &batch);
        scratch.arguments = recycle(arguments);
        if scratch.keys.capacity() > 4096 {
            scratch.keys = Vec::new();
        }
        end
    }

    /// Finds the command of the request that starts at argument `first`, and its keys.
    #[inline]
    fn plan(&self, arguments: &[&[u8]], first: usize, keys: &mut Vec<PlannedKey>) -> PlannedRequest {
        let words = &arguments[first..];
        let first_key = keys.len();
        let command = self.commands.resolve(words).map(|entry| {
            for_each_key(entry.command, words, |position| {
                keys.push(PlannedKey {
                    argument: position.argument as u32,
                    flags: position.flags,
                    hash: self.keyspace.hasher().hash(words[position.argument]),
                });
            });
            entry.id
        });
        PlannedRequest { command, arguments: first..arguments.len(), keys: first_key..keys.len() }
    }

    fn prefetch<'s>(&'s self, client: &Client, batch: &mut Batch<'s>, keys: &[PlannedKey]) {
        let shared = batch.shared.get_or_insert_with(|| self.keyspace.gate.shared(batch.worker));
        if let Some(database) = self.keyspace.physical_if_used(shared[client.database]) {
            prefetch::batch(database, keys.iter().map(|key| key.hash));
            self.stats.add(batch.worker, Counter::PrefetchBatches, 1);
            self.stats.add(batch.worker, Counter::PrefetchEntries, keys.len() as u64);
        }
    }

    /// Judges a request, takes its locks, runs it.
    fn run_request<'s>(
        &'s self,
        client: &mut Client,
        entry: &Entry,
        arguments: &[&[u8]],
        keys: &[PlannedKey],
        batch: &mut Batch<'s>,
        plan: &mut LockPlan,
        out: &mut Vec<u8>,
    ) -> Option<Stop> {
        match self.judge(client, entry, keys, batch.now_ms) {
            Verdict::Pass => {}
            Verdict::Wait => return Some(Stop::Paused),
            Verdict::Refuse(error) => {
                self.refuse(client, Some(entry), &error, batch, out);
                return None;
            }
        }
        let command = entry.command;
        let start = out.len();
        client.shared.last_command.store(entry.id as u32, std::sync::atomic::Ordering::Relaxed);
        let (result, after, dirty) = {
            let hold = if command.flags.has(Flags::WHOLE_KEYSPACE) {
                batch.shared = None;
                Hold::None
            } else {
                let shared = batch.shared.get_or_insert_with(|| self.keyspace.gate.shared(batch.worker));
                Hold::Shared(shared)
            };
            lock_plan(command, arguments, keys, client.database, self.keyspace.hasher(), plan);
            if plan.iter().any(|lock| usize::from(lock.database) >= self.keyspace.database_count()) {
                plan.clear(); // A foreign database that does not exist: the command answers the error without touching it.
            }
            let settings = AccessSettings {
                now_ms: batch.now_ms,
                clock: self.settings.access_clock(batch.now_ms),
                touch: !client.no_touch,
                sink: &self.effects,
                counts: &batch.counts,
            };
            let database = client.database;
            let version = client.version;
            let mut context = Context {
                server: self,
                client: &mut *client,
                keys: Access::new(&self.keyspace, hold, database, settings, plan),
                reply: Reply::new(&mut *out, version),
                planned: keys,
                after: None,
                dirty: 0,
                command: entry,
            };
            let result = (command.run)(&mut context, arguments);
            (result, context.after, context.dirty)
        };
        if let Err(error) = &result {
            out.truncate(start);
            let text = error.to_string();
            Reply::new(out, client.version).error(&text);
            self.stats.error(batch.worker, text.split(' ').next().unwrap_or_default());
        }
        if !batch.counts.stale.get_mut().is_empty() {
            self.remove_stale(batch);
        }
        let now_ns = self.clock.monotonic_ns();
        self.stats.command_ran(batch.worker, entry.id, now_ns - batch.clock_ns, result.is_err());
        batch.clock_ns = now_ns;
        batch.executed += 1;
        batch.dirty += dirty;
        if client.asking && !command.flags.has(Flags::KEEPS_ASKING) {
            client.asking = false;
        }
        let silent = if command.flags.has(Flags::PUSHES) { out.len() } else { start };
        self.finish_reply(client, silent, out);
        after.map(Stop::After)
    }

    /// Removes the keys that a read found ended, now that its locks are free.
    #[cold]
    fn remove_stale(&self, batch: &mut Batch<'_>) {
        batch.shared = None;
        for (database, key) in batch.counts.stale.take() {
            let removed = sweep::expire_key(&self.keyspace, &self.effects, database, &key, batch.now_ms);
            batch.counts.expired.set(batch.counts.expired.get() + u64::from(removed));
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
        let text = error.to_string();
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

    fn account(&self, client: &Client, batch: &Batch<'_>) {
        use std::sync::atomic::Ordering::Relaxed;
        self.stats.add(batch.worker, Counter::CommandsProcessed, batch.executed);
        self.stats.add(batch.worker, Counter::KeyspaceHits, batch.counts.hits.get());
        self.stats.add(batch.worker, Counter::KeyspaceMisses, batch.counts.misses.get());
        self.stats.add(batch.worker, Counter::ExpiredKeys, batch.counts.expired.get());
        self.stats.add(batch.worker, Counter::Changes, batch.dirty);
        client.shared.active_ms.store(batch.now_ms, Relaxed);
        client.shared.commands.store(client.shared.commands.load(Relaxed) + batch.executed, Relaxed);
    }
}

/// An empty vector for slices of another buffer in the same allocation: collecting in place keeps it.
fn recycle<'a>(mut vector: Vec<&[u8]>) -> Vec<&'a [u8]> {
    vector.clear();
    vector.into_iter().map(|_| -> &'a [u8] { unreachable!("the vector is empty") }).collect()
}
