//! Serving clients that wait for keys, and ending their wait.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::Server;
use super::batch::Batch;
use super::client::Client;
use super::execute::Outcome;
use super::judge::Verdict;
use super::observe::Done;
use super::replies::first_error;
use super::request::Request;
use crate::acl::log::Place;
use crate::command::keys::{LockPlan, PlannedKey, for_each_key};
use crate::command::request::resp_bytes;
use crate::command::spec::Flags;
use crate::config::Directive;
use crate::error::CommandError;
use crate::keyspace::KeyId;
use crate::keyspace::access::Access;
use crate::keyspace::record::is_expired;
use crate::keyspace::table;
use crate::keyspace::turns::Turn;
use crate::resp::encode::Reply;
use crate::shared::pause::Purpose;
use crate::shared::waiter::{AckWait, EmptyReply, Ended, WaitFor, Waiter};

/// A waiting client whose request runs again, and the key whose change caused that.
#[derive(Clone, Copy)]
pub(super) struct ForWaiter<'w> {
    waiter: &'w Waiter,
    key: &'w KeyId,
}

impl ForWaiter<'_> {
    /// Notes when the request, which found nothing, is to run again.
    pub(super) fn goes_on(&self, wait: &WaitFor) {
        self.waiter.set_retry(wait.retry_at_ms);
    }

    /// Returns whether the key holds the type that the client waits for, or the client wants to hear of its
    /// loss (XREADGROUP). The key's slot is locked.
    pub(super) fn may_run(&self, keys: &Access<'_, '_>) -> bool {
        let key = keys.keyspace.hasher().key(&self.key.1);
        let is_wanted =
            keys.peek(&key).is_some_and(|record| record.type_name() == self.waiter.wait.type_name);
        is_wanted || self.waiter.wait.wants_loss
    }
}

/// What became of a waiting client's request.
enum Served {
    /// The client has its reply.
    Yes,
    /// The key does not hold what it waits for.
    NothingThere,
    /// A slow script or a heavy command holds what the request needs, or data are being read again.
    /// The turn is for the locks of the request.
    Held(Option<Turn>),
}

/// A slow script or a heavy command holds a slot, or data are being read again, so that it cannot be looked at now. The
/// turn is for what is held, where that is known.
struct SlotHeld(Option<Turn>);

/// Why a client's wait is ended before it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfWait {
    /// Its time is over.
    Timeout,
    /// CLIENT UNBLOCK wants an error.
    Unblocked,
    /// The server is a replica from now on.
    RoleChanged,
    /// The append-only file that is waited for is switched off.
    FileOff,
}

/// What WAITAOF is answered for the file of a server that has none.
pub const NO_FILE: &str = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

impl Server {
    /// Runs the requests of clients that wait for keys which the batch has changed: key by key in the order
    /// of the changes, for each key in the order in which the clients came. No lock and no gate is held.
    pub(super) fn serve_waiting<'s>(&'s self, batch: &mut Batch<'s>) {
        // What changed the keys may have taken long, and keys may have ended meanwhile.
        batch.now_ms = self.clock.now_ms();
        loop {
            while let Some(key) = batch.changes.take_ready() {
                self.serve_waiting_for(&key, batch);
            }
            // While something slow runs, or data are read again, they wait for its end, when its thread comes here.
            if self.loading.is_active() {
                return;
            }
            if self.runs_slow() {
                return self.serve_postponed(batch);
            }
            let Some((key, _turn)) = self.effects.waiting.take_postponed() else { return };
            self.serve_waiting_for(&key, batch);
        }
    }

    /// Tries each postponed key once, whatever is slow. The sweeper's thread does it every few milliseconds: what a
    /// key's clients wait for may be free without an end that would be noticed, and what runs elsewhere may go on for
    /// as long as it likes.
    pub fn retry_postponed(&self) {
        if !self.effects.waiting.has_postponed() {
            return;
        }
        let mut batch = self.new_batch();
        batch.was_heavy = true;
        self.serve_waiting(&mut batch);
        self.account_batch(&mut batch);
    }

    /// Tries each postponed key once where something heavy has ended while other things are: what runs somewhere all
    /// the time is not waited for.
    fn serve_postponed<'s>(&'s self, batch: &mut Batch<'s>) {
        if !std::mem::take(&mut batch.was_heavy) {
            return;
        }
        for _ in 0..self.effects.waiting.postponed_count() {
            let Some((key, _turn)) = self.effects.waiting.take_postponed() else { return };
            self.serve_waiting_for(&key, batch);
        }
    }

    /// Runs the requests of clients that wait for this key.
    fn serve_waiting_for<'s>(&'s self, key: &KeyId, batch: &mut Batch<'s>) {
        if let Err(SlotHeld(turn)) = self.serve_all(key, batch) {
            self.effects.waiting.postpone(key.clone(), turn);
        }
    }

    /// Serves the clients that wait for this key until nothing is left for the next one.
    ///
    /// # Errors
    /// Something slow holds what is needed.
    fn serve_all<'s>(&'s self, key: &KeyId, batch: &mut Batch<'s>) -> Result<(), SlotHeld> {
        let mut number = 0;
        let mut holds = self.type_under(key, batch)?;
        while let Some(waiter) = self.effects.waiting.next_after(key, number, holds) {
            number = waiter.number;
            if !waiter.begin_serving() {
                continue;
            }
            match self.serve(&waiter, key, batch) {
                Served::Yes => {}
                // The client before has taken what there was, or another thread has changed the key, and
                // serves its clients itself.
                Served::NothingThere => holds = self.type_under(key, batch)?,
                Served::Held(turn) => return Err(SlotHeld(turn)),
            }
        }
        Ok(())
    }

    /// Returns the type of the key's value, `None` without one. Locks the slot for a moment.
    ///
    /// # Errors
    /// Something slow holds the slot, or the whole keyspace, or the data are not all there.
    fn type_under<'s>(
        &'s self,
        key: &KeyId,
        batch: &mut Batch<'s>,
    ) -> Result<Option<&'static str>, SlotHeld> {
        let give_up = || self.runs_slow();
        if batch.shared.is_none() {
            batch.shared = self.keyspace.gate.shared_unless(crate::worker::current(), give_up);
        }
        let shared = batch.shared.as_ref().ok_or(SlotHeld(None))?;
        if self.loading.is_active() {
            return Err(SlotHeld(None));
        }
        let Some(database) = self.keyspace.physical_if_used(shared[key.0]) else { return Ok(None) };
        let hashed = self.keyspace.hasher().key(&key.1);
        let table = database.read_slot_unless(hashed.slot(), give_up).ok_or(SlotHeld(None))?;
        let record = table::find(&table, &hashed).filter(|record| !is_expired(record, batch.now_ms));
        Ok(record.map(|record| record.type_name()))
    }

    /// Runs the request of a client that waits.
    fn serve<'s>(&'s self, waiter: &Waiter, key: &KeyId, batch: &mut Batch<'s>) -> Served {
        let entry = &self.commands.entries()[waiter.command];
        let arguments = waiter.request.arguments();
        let mut keys: SmallVec<[PlannedKey; 4]> = SmallVec::new();
        for_each_key(&entry.spec, &arguments, |position| {
            let hash = self.keyspace.hasher().hash(arguments[position.argument]);
            keys.push(PlannedKey { argument: position.argument as u32, flags: position.flags, hash });
        });
        let mut client = Client::new(std::sync::Arc::clone(&waiter.client));
        (client.database, client.version, client.authenticated) = (key.0, waiter.version, true);
        // A request that runs by its time follows no write of another client, which would have been judged.
        let verdict = if waiter.retry_at_ms() <= batch.now_ms {
            self.judge(&mut client, entry, &arguments, &keys, batch.now_ms)
        } else {
            match self.permit(&mut client, entry, &arguments, Place::TopLevel) {
                Ok(()) => Verdict::Pass,
                Err(error) => Verdict::Refuse(error),
            }
        };
        if let Verdict::Wait = verdict {
            waiter.not_served();
            return Served::NothingThere;
        }
        if self.loading.is_active() && !matches!(verdict, Verdict::Pass) {
            waiter.not_served();
            return Served::Held(None);
        }
        if let Verdict::Refuse(error) = verdict {
            // Its user may have lost the right to it since.
            let mut out = Vec::new();
            Reply::new(&mut out, waiter.version).error(&error.to_string());
            self.stats.error(crate::worker::current(), &error.code());
            self.stats.command_rejected(crate::worker::current(), entry.counted_as);
            self.effects.waiting.remove(waiter);
            waiter.served(out, 0);
            return Served::Yes;
        }
        client.tracker = waiter.client.tracker.lock().clone();
        let actor = batch.changes.set_actor(waiter.client.id);
        self.begin_streak(entry.id, batch);
        // Until the request has found when it may run again.
        waiter.set_retry(None);
        let (mut plan, mut out) = (LockPlan::new(), Vec::new());
        let served = Some(ForWaiter { waiter, key });
        let request = Request { entry, arguments: &arguments, keys: &keys, served };
        let outcome = self.execute(&mut client, &request, batch, &mut plan, &mut out);
        batch.changes.set_actor(actor);
        let failed = match outcome {
            Outcome::Ran { failed, .. } => failed,
            Outcome::Waits => {
                waiter.not_served();
                return Served::NothingThere;
            }
            Outcome::Paused => {
                // Once the pause is over.
                waiter.set_retry(Some(batch.now_ms));
                waiter.not_served();
                return Served::NothingThere;
            }
            Outcome::Refused(CommandError::ReadOnlyReplica) => {
                // This server has become a replica, and its clients' waits were ended but for this one.
                waiter.not_served();
                self.end_wait(waiter, EndOfWait::RoleChanged);
                return Served::Yes;
            }
            Outcome::Busy(_) | Outcome::Refused(_) => {
                // Its time is not that of the client whose batch it is.
                batch.gave_up_ns = 0;
                waiter.not_served();
                let turn = self.heavy.any().then(|| self.keyspace.turns.enter_own(&plan, false));
                return Served::Held(turn);
            }
        };
        let done = Done {
            client: &waiter.client,
            entry,
            arguments: &arguments,
            request_bytes: resp_bytes(&arguments),
            reply_bytes: out.len() as u64,
            sleeps_ns: waiter.ran_ns.load(Ordering::Relaxed),
        };
        self.count_one(&done, failed, batch);
        batch.for_others += 1;
        waiter.client.commands.fetch_add(1, Ordering::Relaxed);
        self.effects.waiting.remove(waiter);
        waiter.served(out, batch.changes.position());
        Served::Yes
    }

    /// Runs the request of a waiting client again, as the time for that has come, and those of all others that wait
    /// for its keys, in their order. While something slow holds what it needs they are run at its end.
    pub fn retry_wait(&self, waiter: &Waiter) {
        let mut batch = self.new_batch();
        batch.changes.are_due(&waiter.keys);
        self.follow_up(&mut batch);
        self.account_batch(&mut batch);
    }

    /// Ends a client's wait without a result. Returns false where the request was served before.
    pub fn end_wait(&self, waiter: &Waiter, why: EndOfWait) -> bool {
        let mut reply = Vec::new();
        let mut writer = Reply::new(&mut reply, waiter.version);
        match why {
            EndOfWait::Timeout => self.reply_without_result(&waiter.wait).write_late(&mut writer),
            EndOfWait::Unblocked => writer.error("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
            EndOfWait::RoleChanged => match self.following.primary() {
                Some(primary) if waiter.client.capa_redirect.load(Ordering::Relaxed) => {
                    let endpoint = format!("{}:{}", primary.host, primary.port);
                    writer.error(&CommandError::Redirect(endpoint).to_string());
                }
                _ => writer.error(
                    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
                ),
            },
            EndOfWait::FileOff => writer.error(NO_FILE),
        }
        let reply_bytes = reply.len() as u64;
        let code = first_error(&reply).and_then(|error| error.split(|byte| *byte == b' ').next());
        let code = code.map(|code| String::from_utf8_lossy(code).into_owned());
        let ended = self.effects.waiting.end(waiter, reply) == Ended::Now;
        if ended {
            self.count_unserved(waiter, code.as_deref(), reply_bytes);
        }
        ended
    }

    /// Ends the waits of all clients, as this server has become a replica: but not of those that follow
    /// redirections and said READONLY, if they only read: what they wait for comes in the primary's stream.
    pub(super) fn unblock_all(&self) {
        for client in self.clients.all() {
            let waiter = client.waiter.lock().clone();
            if let Some(waiter) = waiter {
                let flags = self.commands.entries()[waiter.command].spec.flags;
                let stays = client.capa_redirect.load(Ordering::Relaxed)
                    && client.readonly.load(Ordering::Relaxed)
                    && flags.has(Flags::READONLY);
                if !stays {
                    self.end_wait(&waiter, EndOfWait::RoleChanged);
                }
            }
        }
        self.call_paused();
    }

    /// Has requests that a pause holds judged again: where this server has become a replica, those that write
    /// are refused.
    pub(super) fn call_paused(&self) {
        self.pause.judge_again();
        for client in self.clients.all() {
            if client.blocked.load(Ordering::Relaxed) && client.waiter.lock().is_none() {
                client.look();
            }
        }
    }

    /// Ends a pause. What waited for it is tried again.
    pub fn end_pause(&self, purpose: Purpose) {
        self.pause.end(purpose);
        self.upkeep.keeper.wake();
        for client in self.clients.all() {
            if client.blocked.load(Ordering::Relaxed) {
                client.look();
            }
        }
    }

    /// What a wait without a result is answered: of one for acknowledgements, how many there are.
    fn reply_without_result(&self, wait: &WaitFor) -> EmptyReply {
        wait.acks.as_ref().map_or(wait.nothing, |acks| self.count_acks(acks))
    }

    /// What WAIT or WAITAOF is answered now.
    pub fn count_acks(&self, acks: &AckWait) -> EmptyReply {
        let replicas = self.acknowledged_by(acks) as i64;
        if acks.of_disks {
            EmptyReply::Counts(i64::from(self.has_synced(acks)), replicas)
        } else {
            EmptyReply::Count(replicas)
        }
    }

    /// Ends a wait for acknowledgements if there are enough, or if it is for a file that is switched off.
    pub fn end_if_acknowledged(&self, waiter: &Waiter) {
        let Some(acks) = &waiter.wait.acks else { return };
        if acks.local && !self.config.flag(Directive::Appendonly) {
            self.end_wait(waiter, EndOfWait::FileOff);
        } else if self.is_acknowledged(acks) {
            self.end_wait(waiter, EndOfWait::Timeout);
        } else {
            return;
        }
        self.durability.remove_waiter(waiter);
    }

    /// Ends all waits for the append-only file where it is switched off.
    pub(super) fn end_waits_without_file(&self) {
        if !self.config.flag(Directive::Appendonly) {
            for waiter in self.durability.take_local_waiters() {
                self.end_if_acknowledged(&waiter);
            }
        }
    }

    /// Counts a wait that ended without a result as a call of its command. With an error of this code it
    /// counts as rejected too, as in Valkey (Redis counts it as failed).
    fn count_unserved(&self, waiter: &Waiter, error: Option<&str>, reply_bytes: u64) {
        let worker = crate::worker::current();
        if let Some(code) = error {
            self.stats.error(worker, code);
            self.stats.command_rejected(worker, waiter.command);
        }
        let arguments = waiter.request.arguments();
        let done = Done {
            client: &waiter.client,
            entry: &self.commands.entries()[waiter.command],
            arguments: &arguments,
            request_bytes: resp_bytes(&arguments),
            reply_bytes,
            sleeps_ns: 0,
        };
        self.count_alone(&done, waiter.ran_ns.load(Ordering::Relaxed), false);
    }
}
