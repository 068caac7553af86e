//! One request of a batch by itself: judged, run, accounted for.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::Server;
use super::batch::{Batch, Stop};
use super::client::{Client, ReplyMode};
use super::context::After;
use super::execute::Outcome;
use super::judge::Verdict;
use super::monitor::{Source, UNSEEN};
use super::observe::Done;
use super::serve_waiting::ForWaiter;
use crate::command::keys::{LockPlan, PlannedKey};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::error::CommandError;
use crate::keyspace::sweep;
use crate::resp::encode::Reply;
use crate::shared::client::Door;

/// A request whose command and keys have been found.
pub(super) struct Request<'r> {
    pub(super) entry: &'r Entry,
    pub(super) arguments: &'r [&'r [u8]],
    pub(super) keys: &'r [PlannedKey],
    /// The waiting client that the request runs again for; `None` where it runs for the client that sent it.
    pub(super) served: Option<ForWaiter<'r>>,
}

/// How a request arrived.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    /// Bytes of the request.
    pub(super) bytes: usize,
    /// Whether the next request is for another command, or has not come yet.
    pub(super) ends_streak: bool,
}

impl Stop {
    /// What follows a request that was refused: of a primary's stream nothing behind it may run.
    pub(super) fn refused(client: &Client) -> Option<Self> {
        client.is_primary.then_some(Self::After(After::CloseNow))
    }
}

impl Server {
    /// Judges a request, runs it, and does what is to follow.
    pub(super) fn run_request<'s>(
        &'s self,
        client: &mut Client,
        request: &Request<'_>,
        arrival: Arrival,
        batch: &mut Batch<'s>,
        plan: &mut LockPlan,
        out: &mut Vec<u8>,
    ) -> Option<Stop> {
        let entry = request.entry;
        let plain = entry.plain && batch.judged.plain;
        if plain {
            debug_assert!(client.transaction.is_none() && client.reply_mode == ReplyMode::On);
            if self.settings.maxmemory() > 0 && !self.has_room(client, request, batch) {
                self.refuse(client, Some(entry), &CommandError::OutOfMemory, out);
                return None;
            }
        } else if let ControlFlow::Break(stop) = self.hold_back(client, request, batch, out) {
            return stop;
        }
        let start = out.len();
        client.shared.last_command.store(entry.id as u32, Ordering::Relaxed);
        self.begin_streak(entry.id, batch);
        let outcome = self.execute(client, request, batch, plan, out);
        if let Outcome::Refused(error) = &outcome {
            self.end_refused(client, entry, request.arguments, batch);
            self.refuse(client, Some(entry), error, out);
            return None;
        }
        let is_shown = !plain && self.logs.monitors.any() && !entry.spec.flags.intersects(UNSEEN);
        if is_shown && !matches!(outcome, Outcome::Busy(_) | Outcome::Paused) {
            let source = Source::Client(&client.shared);
            self.show_to_monitors(entry, request.arguments, client.database, source);
        }
        let (failed, after) = match outcome {
            Outcome::Ran { failed, after } => (failed, after),
            Outcome::Waits => {
                self.follow_up(batch);
                // The request counts as run when it is served, or its wait ends.
                self.begin_wait(client, entry.id, batch);
                return Some(Stop::After(After::Wait));
            }
            Outcome::Busy(holder) => {
                batch.is_blocked_by(holder);
                let stop = if batch.lacks_room { Stop::NoRoom } else { Stop::Busy };
                if self.effects.waiting.has_postponed() && !self.runs_slow() {
                    // It may have let one of those by for whom keys were postponed.
                    self.follow_up(batch);
                }
                return Some(stop);
            }
            Outcome::Paused => return Some(Stop::Paused),
            Outcome::Refused(_) => return None,
        };
        let reply_bytes = if client.reply_mode == ReplyMode::On { out.len() - start } else { 0 };
        let ends_streak = arrival.ends_streak || after.is_some();
        if self.count_command(failed, arrival.bytes, reply_bytes, batch) || ends_streak {
            let done = Done {
                client: &client.shared,
                entry,
                arguments: request.arguments,
                request_bytes: arrival.bytes as u64,
                reply_bytes: reply_bytes as u64,
                sleeps_ns: After::sleep_ns(after.as_ref()),
            };
            self.conclude(&done, ends_streak, batch);
        }
        // Once it is counted: what it serves is counted by itself.
        self.follow_up(batch);
        if !plain {
            self.end_special(client, entry, start, out);
            batch.judged.plain = self.is_plain(client);
        }
        after.map(Stop::After)
    }

    /// Does what follows a command once its locks are free: removes keys that it found ended, and serves
    /// clients that waited for what it changed.
    #[inline]
    pub(super) fn follow_up<'s>(&'s self, batch: &mut Batch<'s>) {
        if !batch.counts.stale.get_mut().is_empty() {
            self.remove_stale(batch);
        }
        if batch.changes.any_ready() || self.effects.waiting.has_postponed() {
            batch.shared = None;
            self.serve_waiting(batch);
        }
    }

    /// Ends a request of a client that is not plain: takes back one-time permissions (ASKING, CLIENT
    /// CACHING), and drops the reply where CLIENT REPLY says so.
    fn end_special(&self, client: &mut Client, entry: &Entry, start: usize, out: &mut Vec<u8>) {
        let flags = entry.spec.flags;
        if client.asking && !flags.has(Flags::KEEPS_ASKING) {
            client.asking = false;
        }
        if client.caching && !flags.has(Flags::KEEPS_CACHING) && client.transaction.is_none() {
            client.caching = false;
        }
        let silent = if flags.has(Flags::PUSHES) { out.len() } else { start };
        self.finish_reply(client, silent, out);
    }

    /// Returns whether a plain command of this client needs neither judgement nor anything to follow it: the
    /// client has no special state, and nothing in the server (a pause, monitors) asks for it.
    pub(super) fn is_plain(&self, client: &Client) -> bool {
        client.door == Door::Main
            && client.rights.is_free(self)
            && client.transaction.is_none()
            && client.tracker.is_none()
            && client.reply_mode == ReplyMode::On
            && !client.subscriptions.any()
            && client.link.is_none()
            && !(client.monitor
                || client.asking
                || client.caching
                || client.out_of_memory
                || client.views_only)
            && !self.cluster.is_enabled()
            && self.profile.is_none()
            && !self.simulation.is_on()
            && !self.pause.is_set()
            && (!self.following.is_replica() || client.is_primary)
            && !self.loading.is_active()
            && self.settings.min_replicas() == 0
            && !self.snapshot_failed.load(Ordering::Relaxed)
            && !self.durability.refuses_writes()
            && !self.logs.monitors.any()
    }

    /// Judges a request. Breaks where the request was refused or queued, or has to wait.
    fn hold_back<'s>(
        &'s self,
        client: &mut Client,
        request: &Request<'_>,
        batch: &mut Batch<'s>,
        out: &mut Vec<u8>,
    ) -> ControlFlow<Option<Stop>> {
        let &Request { entry, arguments, keys, .. } = request;
        batch.judged.turns = self.keyspace.gate.turns();
        match self.judge(client, entry, arguments, keys, batch.now_ms) {
            Verdict::Pass => {}
            Verdict::Wait => {
                client.shared.last_command.store(entry.id as u32, Ordering::Relaxed);
                return ControlFlow::Break(Some(Stop::Paused));
            }
            Verdict::Refuse(error) => {
                client.shared.last_command.store(entry.id as u32, Ordering::Relaxed);
                self.refuse(client, Some(entry), &error, out);
                return ControlFlow::Break(Stop::refused(client));
            }
        }
        if client.transaction.is_some()
            && self.scripting.slow.any()
            && let Some(Outcome::Refused(error)) =
                self.busy(client, entry, &LockPlan::new(), (false, false), None)
        {
            self.refuse(client, Some(entry), &error, out);
            return ControlFlow::Break(None);
        }
        let may_lack = self.settings.maxmemory() > 0 || client.out_of_memory || self.simulation.is_on();
        if may_lack && !self.has_room(client, request, batch) {
            self.refuse(client, Some(entry), &CommandError::OutOfMemory, out);
            return ControlFlow::Break(None);
        }
        if client.tracker.is_some() && client.shared.has_messages() {
            // Keys that were evicted for this command are told before its reply, as are all that went before
            // it.
            client.shared.take_messages(out);
        }
        if client.transaction.is_some() && !entry.spec.flags.has(Flags::NOT_QUEUED) {
            match self.queue(client, entry, arguments, keys) {
                Ok(()) => {
                    let start = out.len();
                    Reply::new(out, client.version).simple("QUEUED");
                    self.finish_reply(client, start, out);
                }
                Err(error) => self.refuse(client, Some(entry), &error, out),
            }
            return ControlFlow::Break(None);
        }
        ControlFlow::Continue(())
    }

    /// Removes the keys that a read found ended, now that its locks are free.
    #[cold]
    fn remove_stale(&self, batch: &mut Batch<'_>) {
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
}
