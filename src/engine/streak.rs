//! Streaks: requests of a batch, one behind the other, for one plain command with one key each.
//!
//! Most pipelines are made of such streaks. The context, the access to keys and the judgement of the client
//! are the same for all requests of a streak, so they are made once. Each request then costs its lock, its
//! function, and a test whether something came up that the long way (`run_request`) would act on; if so, the
//! streak ends behind that request.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::Server;
use super::batch::{Batch, OUTPUT_ENOUGH, Requests};
use super::blockers::Waits;
use super::client::Client;
use super::context::Context;
use super::heavy::HeavyWatch;
use super::observe::Done;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::keyspace::access::{Access, Hold};
use crate::keyspace::database::Database;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::table;
use crate::resp::encode::Reply;

/// What a streak has run so far.
struct Progress {
    executed: usize,
    failures: u64,
    /// Sizes of the last request and of its reply in bytes.
    request_bytes: usize,
    reply_bytes: usize,
    /// Whether the last request crossed a threshold, or a tick passed during it.
    notable: bool,
}

impl Server {
    /// Runs a streak that begins with the next request, which is for `entry`, a plain command with one key.
    /// Returns how many requests ran; 0 where the first one has to go the long way. The batch's client is
    /// plain.
    pub(super) fn run_streak<'s>(
        &'s self,
        client: &mut Client,
        entry: &Entry,
        requests: &Requests<'_>,
        batch: &mut Batch<'s>,
        out: &mut Vec<u8>,
    ) -> usize {
        debug_assert!(entry.single.is_some() && batch.judged.plain);
        if self.has_to_leave_streak() {
            return 0;
        }
        self.begin_streak(entry.id, batch);
        let Some(shared) = &batch.shared else { return 0 };
        if batch.judged.turns != self.keyspace.gate.turns() {
            batch.judged.plain = false;
            return 0;
        }
        // A database that was not made yet is read, or made, by `run_request`.
        let Some(database) = self.keyspace.physical_if_used(shared[client.database]) else { return 0 };
        client.shared.last_command.store(entry.id as u32, Ordering::Relaxed);
        if let Some(element) = entry.spec.element {
            fetch_elements(entry, requests, element, database);
        }
        let mut watch = HeavyWatch::new(self, batch.clock_ns, client.shared.id, entry, &[]);
        watch.counts_waits = batch.held.is_none();
        let is_own = !client.is_loader;
        let give_up = || self.is_slow() || is_own && watch.waits_long();
        let settings =
            self.access_settings(client, batch.now_ms, &batch.changes, &batch.counts, &give_up, &watch);
        let (number, version, hold) = (client.database, client.version, Hold::Shared(shared));
        let Some(access) = Access::new(&self.keyspace, hold, number, &settings, &[]) else { return 0 };
        let reply = Reply::new(&mut *out, version);
        let mut context =
            Context::of_client(self, &mut *client, access, reply, entry, &batch.changes, batch.now_us);
        let done = self.run_alike(&mut context, entry, requests, (database, &watch.words), batch);
        let dirty = context.dirty;
        drop(context);
        batch.dirty += dirty;
        Waits::note(&mut batch.waits, watch.take_waits());
        batch.was_heavy |= watch.is_heavy();
        if done.executed == 0 {
            return 0;
        }
        if self.hot_keys.sampler.is_on() && !client.is_loader {
            self.sample_streak(entry, requests, done.executed, number);
        }
        self.count_streak(done.executed as u64, done.failures, batch);
        let next = requests.all.get(requests.next + done.executed);
        let ends_streak = next.is_none_or(|next| !next.is_for(entry.id));
        if done.notable || ends_streak {
            let last = Done {
                client: &client.shared,
                entry,
                arguments: watch.words.get(),
                request_bytes: done.request_bytes as u64,
                reply_bytes: done.reply_bytes as u64,
                sleeps_ns: 0,
            };
            self.conclude(&last, ends_streak, batch);
        }
        // Once they are counted: what they serve is counted by itself.
        self.follow_up(batch);
        done.executed
    }

    /// Runs requests for `entry` from the next one on, until another command follows or something came up
    /// that the long way acts on.
    #[inline]
    fn run_alike<'c, 'r: 'c>(
        &self,
        context: &mut Context<'c>,
        entry: &Entry,
        requests: &Requests<'r>,
        (database, words): (&'c Database, &Cell<&'r [&'r [u8]]>),
        batch: &Batch<'_>,
    ) -> Progress {
        let run = self.commands.functions(entry).run;
        let number = context.keys.database;
        let mut done =
            Progress { executed: 0, failures: 0, request_bytes: 0, reply_bytes: 0, notable: false };
        let (mut first_argument, mut first_key) = (requests.first_argument, requests.first_key);
        for request in &requests.all[requests.next..] {
            if !request.is_for(entry.id) || done.executed > 0 && self.has_to_leave_streak() {
                break;
            }
            let keys = &requests.keys[first_key..request.keys_end as usize];
            let [key] = keys else { break };
            if !context.keys.turn_to(database, key.lock(number)) {
                break;
            }
            let arguments = &requests.arguments[first_argument..request.arguments_end as usize];
            words.set(arguments);
            (first_argument, first_key) = (request.arguments_end as usize, request.keys_end as usize);
            let start = context.reply.position();
            context.client.replied = start;
            context.planned = keys;
            let failed = context.answer(entry, run, arguments);
            context.keys.let_go();
            debug_assert!(context.after.is_none() && context.wait.is_none() && !context.again_alone);
            done.failures += u64::from(failed);
            done.reply_bytes = context.reply.position() - start;
            done.request_bytes = requests.decoder.request_bytes(requests.next + done.executed);
            done.executed += 1;
            done.notable = batch.thresholds.are_met(done.request_bytes, done.reply_bytes)
                || self.logs.observation.tick() != batch.tick;
            if done.notable
                || context.reply.position() >= OUTPUT_ENOUGH
                || batch.changes.any_ready()
                || !batch.counts.stale.borrow().is_empty()
            {
                break;
            }
        }
        done
    }

    /// Passes by the accesses of a streak, one a request, and counts those that are sampled.
    fn sample_streak(&self, entry: &Entry, requests: &Requests<'_>, executed: usize, database: usize) {
        if entry.spec.flags.has(Flags::NO_ACCESS) {
            return;
        }
        self.hot_keys.sampler.pass(crate::worker::current(), executed, |at, stands_for| {
            let key = &requests.keys[requests.first_key + at];
            self.note_access(key, requests.words_of(at), database, stands_for);
        });
    }

    /// Whether requests have to be run by themselves: a slow script or a heavy command may be in the way, or
    /// memory is over its limit.
    #[inline]
    fn has_to_leave_streak(&self) -> bool {
        self.is_slow() || self.settings.maxmemory() > 0 && self.bytes_over_limit() > 0
    }
}

/// Prefetches the elements that the streak's first requests look for, where those requests name one
/// collection. Without it each search of a large collection would wait for memory two or three times. Does
/// nothing when the slot's lock is taken.
fn fetch_elements(entry: &Entry, requests: &Requests<'_>, element: usize, database: &Database) {
    let all = &requests.all[requests.next..];
    let keys = &requests.keys[requests.first_key..];
    let alike = all.iter().zip(keys);
    let count =
        alike.take_while(|(request, key)| request.is_for(entry.id) && key.hash == keys[0].hash).count();
    if count < 2 {
        return;
    }
    let Some(table) = database.try_read_slot(keys[0].slot()) else { return };
    let key = HashedKey { bytes: requests.words_of(0)[keys[0].argument as usize], hash: keys[0].hash };
    let Some(ValueRef::Object(object)) = table::find(&table, &key).map(Record::value) else { return };
    for at in 0..count {
        if let Some(element) = requests.words_of(at).get(element) {
            object.prefetch(element);
        }
    }
}
