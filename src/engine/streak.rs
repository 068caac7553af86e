//! Running a plain streak: requests of a batch, one behind the other, for one plain command with one key each.
//!
//! Most pipelines are made of such streaks. The context, the access to keys and the judgement of the client are the same
//! for all requests of a streak, so they are made once. Each request then costs its lock, its function, and a test
//! whether something came up that the long way (`run_request`) would act on; if so, the streak ends behind that request.

use std::sync::atomic::Ordering;

use super::Server;
use super::client::Client;
use super::dispatch::{Batch, OUTPUT_ENOUGH, PlannedRequest};
use super::observe::Done;
use crate::command::keys::PlannedKey;
use crate::command::table::Entry;
use crate::engine::context::Context;
use crate::keyspace::access::{Access, AccessSettings, Hold};
use crate::keyspace::database::Database;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::table;
use crate::resp::decode::Decoder;
use crate::resp::encode::Reply;

/// The rest of a batch, beginning with a request of a plain command with one key.
pub(super) struct PlainStreak<'r> {
    pub(super) entry: &'r Entry,
    /// The requests from the streak's first one to the end of the batch.
    pub(super) requests: &'r [PlannedRequest],
    /// The place of the first of them in the decoder.
    pub(super) first: usize,
    /// Arguments and keys of all requests of the batch, and where those of the first one begin.
    pub(super) arguments: &'r [&'r [u8]],
    pub(super) keys: &'r [PlannedKey],
    pub(super) first_argument: usize,
    pub(super) first_key: usize,
    pub(super) decoder: &'r Decoder,
}

impl Server {
    /// Runs a streak, or its beginning. Answers how many requests that were; none where the first one has to go the long way. The batch's
    /// client is plain.
    pub(super) fn run_streak<'s>(
        &'s self,
        client: &mut Client,
        streak: &PlainStreak<'_>,
        batch: &mut Batch<'s>,
        out: &mut Vec<u8>,
    ) -> usize {
        let (entry, command) = (streak.entry, &streak.entry.spec);
        let run = self.commands.functions(entry).run;
        debug_assert!(entry.single.is_some() && batch.plain);
        let give_up = || self.scripting.slow.any();
        let limited = self.settings.maxmemory() > 0;
        if give_up() || limited && self.bytes_over_limit() > 0 {
            return 0;
        }
        self.begin_streak(entry.id, batch);
        let Some(shared) = &batch.shared else { return 0 };
        let (database, version) = (client.database, client.version);
        // One that was not made is read, or made, the long way.
        let Some(physical) = self.keyspace.physical_if_used(shared[database]) else { return 0 };
        client.shared.last_command.store(entry.id as u32, Ordering::Relaxed);
        if let Some(element) = command.element {
            fetch_elements(streak, element, physical);
        }
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
        let hold = Hold::Shared(shared);
        let Some(access) = Access::new(&self.keyspace, hold, database, &settings, &[]) else { return 0 };
        let reply = Reply::new(&mut *out, version);
        let mut context =
            Context::of_client(self, &mut *client, access, reply, entry, &batch.changes, batch.now_us);
        let (mut executed, mut failures) = (0, 0);
        let (mut first_argument, mut first_key) = (streak.first_argument, streak.first_key);
        let (mut words, mut request_bytes, mut reply_bytes) = (&streak.arguments[..0], 0, 0);
        let mut notable = false;
        for request in streak.requests {
            if request.command.as_ref().ok() != Some(&(entry.id as u32)) {
                break;
            }
            if executed > 0 && (give_up() || limited && self.bytes_over_limit() > 0) {
                break;
            }
            let keys = &streak.keys[first_key..request.keys_end as usize];
            let [key] = keys else { break };
            if !context.keys.turn_to(physical, key.lock(database)) {
                break;
            }
            words = &streak.arguments[first_argument..request.arguments_end as usize];
            (first_argument, first_key) = (request.arguments_end as usize, request.keys_end as usize);
            let start = context.reply.position();
            context.client.replied = start;
            context.planned = keys;
            let result = run(&mut context, words);
            context.keys.let_go();
            debug_assert!(context.after.is_none() && context.wait.is_none() && !context.again_alone);
            if let Err(error) = &result {
                context.reply.truncate(start);
                context.reply.error(&error.to_string());
                self.stats.error(batch.worker, &error.code());
            }
            let written = context.reply.written_since(start);
            let failed = written.first() == Some(&b'-');
            if failed && result.is_ok() {
                self.count_written_error(written, batch.worker);
            }
            failures += u64::from(failed);
            reply_bytes = written.len();
            request_bytes = streak.decoder.request_bytes(streak.first + executed);
            executed += 1;
            notable =
                batch.thresholds.are_met(request_bytes, reply_bytes) || self.observation.tick() != batch.tick;
            if notable
                || context.reply.position() >= OUTPUT_ENOUGH
                || batch.changes.any_ready()
                || !batch.counts.stale.borrow().is_empty()
            {
                break;
            }
        }
        batch.dirty += context.dirty;
        drop(context);
        if executed == 0 {
            return 0;
        }
        if !batch.counts.stale.get_mut().is_empty() {
            self.remove_stale(batch);
        }
        if batch.changes.any_ready() {
            batch.shared = None;
            self.serve_waiting(batch);
        }
        self.count_streak(executed as u64, failures, batch);
        let next = streak.requests.get(executed);
        let ends_streak = next.is_none_or(|next| next.command.as_ref().ok() != Some(&(entry.id as u32)));
        if notable || ends_streak {
            let done = Done {
                client: &client.shared,
                entry,
                arguments: words,
                request_bytes: request_bytes as u64,
                reply_bytes: reply_bytes as u64,
                sleeps_ns: 0,
            };
            self.conclude(&done, ends_streak, batch);
        }
        executed
    }
}

/// Prefetches the elements that the streak's first requests look for, where those requests name one collection. Without it
/// each search of a large collection would wait for memory two or three times. Does nothing when the slot's lock is taken.
fn fetch_elements(streak: &PlainStreak<'_>, element: usize, database: &Database) {
    let id = streak.entry.id as u32;
    let keys = &streak.keys[streak.first_key..];
    let alike = streak.requests.iter().zip(keys);
    let alike = alike
        .take_while(|(request, key)| request.command.as_ref().ok() == Some(&id) && key.hash == keys[0].hash);
    let count = alike.count();
    if count < 2 {
        return;
    }
    let words = |at: usize| {
        let first =
            if at == 0 { streak.first_argument } else { streak.requests[at - 1].arguments_end as usize };
        &streak.arguments[first..streak.requests[at].arguments_end as usize]
    };
    let Some(table) = database.try_read_slot(keys[0].slot()) else { return };
    let key = HashedKey { bytes: words(0)[keys[0].argument as usize], hash: keys[0].hash };
    let Some(ValueRef::Object(object)) = table::find(&table, &key).map(Record::value) else { return };
    for at in 0..count {
        if let Some(element) = words(at).get(element) {
            object.prefetch(element);
        }
    }
}
