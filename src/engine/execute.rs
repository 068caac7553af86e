//! Running one command: the only place where a command's function is called.
//!
//! Three ways lead here. A request by itself takes its locks in [`Server::execute`] and runs; so does that of
//! a client that waited, when it is served. The requests of a streak (`streak.rs`) share one context and take
//! a lock each. A command within another (of a transaction's queue, or called by a script:
//! [`Context::run_nested`]) runs under the locks of the outer one. All three begin and end a command in
//! [`Context::call`], while its locks are held.

use std::collections::HashSet;
use std::sync::Arc;

use super::Server;
use super::batch::{Batch, Judged};
use super::blockers::Waits;
use super::busy::First;
use super::client::Client;
use super::command::Handler;
use super::context::{After, Context, Origin};
use super::heavy::HeavyWatch;
use super::holders::Holder;
use super::judge::Verdict;
use super::request::Request;
use crate::command::keys::{LockPlan, PlannedKey, drop_foreign, lock_plan};
use crate::command::request::OwnedRequest;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::effects::ChangeBuffer;
use crate::effects::told::{Note, Standing, word_of_removal};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::{Access, AccessCounts, AccessSettings, Hold, Pulse, SlotLock};
use crate::keyspace::gate::Exclusive;
use crate::keyspace::reaper::FreeReason;
use crate::resp::encode::Reply;
use crate::shared::waiter::WaitFor;

/// A request of so many words is long work in itself.
const MANY_WORDS: usize = 2000;

/// Work for each of the words, in the units of [`Access::work`]: a key to be found, an element to be entered.
const WORD_WORK: usize = 20;

/// What became of a request that was to be executed.
pub(super) enum Outcome {
    /// The command ran, and its reply is written.
    Ran {
        /// Whether the reply is an error.
        failed: bool,
        /// What the connection has to do before the next request.
        after: Option<After>,
    },
    /// The command found nothing, and its client waits.
    Waits,
    /// The command did not run: this slow script or heavy command is in its way.
    Busy(Option<Arc<Holder>>),
    /// The command did not run: a pause has begun that it has to wait for.
    Paused,
    /// The command did not run, because of this error. Nothing is written.
    Refused(CommandError),
}

impl<'a> Context<'a> {
    /// Runs the function of a command whose locks are held. When it answers an error, what it wrote is taken
    /// back.
    ///
    /// Every command of every kind begins and ends here, so this is where its changes are entered into the
    /// journal.
    #[inline]
    pub(super) fn call(&mut self, entry: &Entry, run: Handler, arguments: &[&[u8]]) -> CommandResult {
        if self.client.tracker.is_some() {
            self.remember_reads(entry, arguments);
        }
        let start = self.reply.position();
        let result = if self.changes.is_journaled() {
            self.run_journaled(run, arguments)
        } else {
            run(self, arguments)
        };
        if result.is_err() {
            self.reply.truncate(start);
        }
        result
    }

    /// [`call`](Self::call)s a command, by itself or within another, unless a fault is rehearsed in its place, and
    /// notes what it changed that is the server's own.
    #[inline]
    pub(super) fn call_and_note(
        &mut self,
        entry: &'a Entry,
        run: Handler,
        arguments: &[&[u8]],
    ) -> CommandResult {
        let dirty = self.dirty;
        let result = if self.server.simulation.is_on() {
            self.call_in_simulation(entry, run, arguments)
        } else {
            self.call(entry, run, arguments)
        };
        if self.dirty > dirty {
            self.note_own_keys(entry, arguments);
        }
        result
    }

    /// Takes the keys of the request that is to run, as they were found before.
    #[inline]
    fn plan_as(&mut self, keys: &'a [PlannedKey], arguments: &[&[u8]]) -> CommandResult {
        self.planned = keys;
        if arguments.len() >= MANY_WORDS {
            self.keys.expect(arguments.len() * WORD_WORK)?;
        }
        Ok(())
    }

    /// Runs the function and enters into the journal what it changed: the request as it is, unless the
    /// function or commands within it have made entries of their own. A client's command ends the group of
    /// what ran within it.
    #[inline(never)]
    fn run_journaled(&mut self, run: Handler, arguments: &[&[u8]]) -> CommandResult {
        let (database, dirty, entered) = (self.keys.database, self.dirty, self.changes.entered());
        let (seen_ended, left_out) = (self.keys.seen_ended(), self.keys.left_out());
        let result = run(self, arguments);
        if self.dirty != dirty && self.changes.entered() == entered {
            // What the command took for absent is absent where it is repeated.
            let word = word_of_removal(self.keys.keyspace.reaper.is_lazy(FreeReason::Expired));
            self.keys.for_each_seen_ended(seen_ended, |database, key| {
                self.changes.enter(database, &[word, key]);
            });
            self.keys.for_each_left_out(left_out, |database, key, members| {
                self.changes.enter(database, &[&[b"SREM", key], members].concat());
            });
            self.changes.enter(database, arguments);
        }
        self.keys.forget_left_out(left_out);
        if self.origin == Origin::Client {
            self.append_told();
        }
        result
    }

    /// Appends what the requests of a transaction have entered up to now, as a transaction of its own: the server's
    /// role changes, and with it whose stream the journal is, or it has changed and the transaction ends.
    pub fn append_up_to_here(&mut self) {
        self.append_told();
        if self.origin != Origin::Client && self.is_journaled() {
            self.changes.begin_group();
        }
    }

    /// Appends what was entered, then those notes that still hold.
    fn append_told(&mut self) {
        self.changes.append_entries();
        let notes = self.changes.take_notes();
        if notes.is_empty() {
            return;
        }
        let standings: Vec<Standing> = notes.iter().map(|note| self.standing(note)).collect();
        let mut held = HashSet::new();
        let mut kept = Vec::new();
        for (note, standing) in notes.iter().zip(&standings).rev() {
            let about = (&note.key, &note.words[0]);
            match standing {
                Standing::Holds => {
                    held.insert(about);
                    kept.push((note, std::slice::from_ref(&note.words)));
                }
                Standing::Passed if held.contains(&about) => {
                    kept.push((note, std::slice::from_ref(&note.words)));
                }
                Standing::Passed | Standing::Gone => {}
                Standing::As(requests) => kept.push((note, requests)),
            }
        }
        for (note, requests) in kept.iter().rev() {
            requests.iter().for_each(|words| self.changes.append_note(note.key.0, words));
        }
    }

    /// What has become of a note.
    fn standing(&mut self, note: &Note) -> Standing {
        let (database, key) = (note.key.0, self.keys.keyspace.hasher().key(&note.key.1));
        if self.keys.is_alone() {
            let (database, slot) = (database as u16, key.slot() as u16);
            self.keys.relock(&[SlotLock { database, slot, write: false }]);
        }
        let record = self.keys.peek_in(database, &key);
        record.map_or(Standing::Gone, |record| (note.standing)(note, record, self.keys.ended_ms))
    }

    /// [`call`](Self::call)s a command whose reply goes to a client as it is: an error of it becomes the
    /// reply. Errors are counted, also one that the command wrote itself (a script's). Returns whether the
    /// reply is an error.
    #[inline]
    pub(super) fn answer(&mut self, entry: &Entry, run: Handler, arguments: &[&[u8]]) -> bool {
        let start = self.reply.position();
        let result = self.call(entry, run, arguments);
        self.settle(result, start)
    }

    /// Makes an error the reply that began at `start`, and counts it. Returns whether the reply is an error.
    #[inline]
    fn settle(&mut self, result: CommandResult, start: usize) -> bool {
        if let Err(error) = result {
            self.answer_error(&error);
            return true;
        }
        let written = self.reply.written_since(start);
        let failed = written.first() == Some(&b'-');
        if failed && !self.error_counted {
            self.server.count_written_error(written);
        }
        failed
    }

    #[cold]
    fn answer_error(&mut self, error: &CommandError) {
        self.reply.error(&error.to_string());
        if !self.error_counted {
            self.server.stats.error(crate::worker::current(), &error.code());
        }
    }
}

impl Server {
    /// Takes a request's locks and runs its command.
    ///
    /// With `served` it runs for a client that waits, and only if its key is of the type that is waited for.
    // Long: the access borrows from its settings, these from the batch, and the context from all of them.
    pub(super) fn execute<'s>(
        &'s self,
        client: &mut Client,
        request: &Request<'_>,
        batch: &mut Batch<'s>,
        plan: &mut LockPlan,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let &Request { entry, arguments, keys, served } = request;
        let functions = self.commands.functions(entry);
        let alone = functions.alone.is_some_and(|alone| alone(self, client, arguments));
        self.plan_locks(client, request, alone, plan);
        // Alone, locks are taken as keys are touched.
        let locks: &[SlotLock] = if alone && entry.spec.has_further_locks { &[] } else { plan };
        let flags = entry.spec.flags;
        // Before the gate, which whatever is applied holds.
        let changes_role = || flags.has(Flags::RUNS_QUEUE) && client.queues(Flags::CHANGES_ROLE);
        let changes_role = flags.has(Flags::CHANGES_ROLE) || changes_role();
        let mut stream = None;
        let alone_or_role = alone || changes_role || flags.has(Flags::ALONE_LATER);
        let wide = alone_or_role || flags.has(Flags::WHOLE_KEYSPACE) && !flags.has(Flags::ALLOW_BUSY);
        let mut watch = HeavyWatch::new(self, batch.clock_ns, client.shared.id, entry, arguments);
        watch.keeps_replies = !out.is_empty();
        let is_own = served.is_none() && !client.is_loader;
        watch.may_wait = is_own && !flags.has(Flags::RUNS_QUEUE) && functions.program.is_none();
        if let Some(held) = batch.held.as_deref().filter(|held| held.is_of(client)) {
            watch.came_ns = held.came_ns;
        }
        let give_up = || self.is_slow() || is_own && watch.waits_long();
        let (database, version) = (client.database, client.version);
        let settings =
            self.access_settings(client, batch.now_ms, &batch.changes, &batch.counts, &give_up, &watch);
        let access = loop {
            let held = batch.held.as_deref_mut().filter(|held| held.is_of(client));
            if self.is_slow()
                && let Some(busy) = self.is_held_up(client, entry, plan, (alone_or_role, wide), is_own, held)
            {
                if flags.has(Flags::LOCKS_IF_FREE)
                    && let Some(open) = Access::new(&self.keyspace, Hold::None, database, &settings, &[])
                {
                    break open;
                }
                batch.gave_up_ns = Waits::give_up(&mut batch.waits, watch.take_waits());
                return busy;
            }
            // What touches no key goes on without the gate.
            let touches_keys = wide || !locks.is_empty();
            if is_own && let Some(first) = self.waits_first(client, flags, touches_keys, batch, &watch) {
                batch.lacks_room = first == First::Room;
                return self.break_off(first.lock(), &watch, batch);
            }
            if changes_role && stream.is_none() {
                batch.shared = None;
                stream = self.following.hold_stream_unless(&give_up);
                if stream.is_none() {
                    continue;
                }
            }
            let Some(hold) = self.hold(entry, alone, locks, &mut batch.shared, &watch, &give_up) else {
                continue;
            };
            if let Some(access) = Access::new(&self.keyspace, hold, database, &settings, locks) {
                break access;
            }
        };
        watch.begin();
        let (is_alone, now_ms) = (access.is_alone(), batch.now_ms);
        if let Some(refused) = self.judge_late(client, request, is_alone, &mut batch.judged, now_ms) {
            batch.gave_up_ns = Waits::give_up(&mut batch.waits, watch.take_waits());
            return refused;
        }
        let reply = Reply::new(&mut *out, version);
        let mut context =
            Context::of_client(self, &mut *client, access, reply, entry, &batch.changes, batch.now_us);
        if served.is_some_and(|served| !served.may_run(&context.keys)) {
            Waits::give_up(&mut batch.waits, watch.take_waits());
            return Outcome::Waits;
        }
        let (start, accesses) = (context.reply.position(), batch.counts.accesses());
        let planned = context.plan_as(keys, arguments);
        let result = planned.and_then(|()| context.call_and_note(entry, functions.run, arguments));
        if watch.has_given_up() {
            drop(context);
            out.truncate(start);
            batch.counts.set_accesses(accesses);
            (batch.lacks_room, batch.lets_by) = (watch.lacks_room(), watch.lets_by());
            return self.break_off(watch.gave_up_at(), &watch, batch);
        }
        if context.again_alone {
            drop(context);
            out.truncate(start);
            Waits::note(&mut batch.waits, watch.take_waits());
            // The entry's `alone` now returns true for the script.
            return self.execute(client, request, batch, plan, out);
        }
        if self.hot_keys.sampler.is_on() && !context.client.is_loader {
            self.note_accesses(entry, arguments, keys, database);
        }
        let failed = context.settle(result, start);
        batch.was_heavy |= watch.is_heavy();
        batch.dirty += context.dirty;
        if flags.has(Flags::RUNS_QUEUE) {
            batch.longest = context.longest.take();
        }
        Waits::note(&mut batch.waits, watch.take_waits());
        // That of a request which was held before counts with that (`end_held`).
        if batch.waits.is_some() && batch.held.is_none() {
            self.count_wait(entry, batch.waits.as_deref_mut(), 0);
        }
        let Some(wait) = context.wait.take() else {
            return Outcome::Ran { failed, after: context.after.take() };
        };
        if let Some(held) = &batch.held {
            self.count_wait(entry, batch.waits.as_deref_mut(), held.locked_ns());
        }
        match served {
            Some(served) => served.goes_on(&wait),
            None => context.enter_wait(wait, arguments),
        }
        Outcome::Waits
    }

    /// Counts what a request that has run has waited for locks, as one wait: with its thread, and for `held_ns`
    /// without one before.
    #[cold]
    fn count_wait(&self, entry: &Entry, waits: Option<&mut Waits>, held_ns: u64) {
        let waited_ns = waits.map_or(0, Waits::take_request_ns) + held_ns;
        if waited_ns > 0 {
            self.stats.lock_waits.note(entry.counted_as, waited_ns);
        }
    }

    /// Judges a request again that has passed the gate, where others have had the keyspace alone since it was
    /// judged: this server may have become a replica, be paused for a failover or its end, or be about to
    /// load other data. `is_alone` where the request has passed the gate exclusively itself.
    #[inline]
    fn judge_late(
        &self,
        client: &mut Client,
        request: &Request<'_>,
        is_alone: bool,
        judged: &mut Judged,
        now_ms: u64,
    ) -> Option<Outcome> {
        let turns = self.keyspace.gate.turns();
        // Its own turn is over before the next request is looked at.
        let is_late = std::mem::replace(&mut judged.turns, turns + u64::from(is_alone)) != turns;
        if !is_late {
            return None;
        }
        judged.plain = false;
        if request.served.is_some() {
            return self.judge_served(client, request, now_ms);
        }
        match self.judge(client, request.entry, request.arguments, request.keys, now_ms) {
            Verdict::Pass => None,
            Verdict::Wait => Some(Outcome::Paused),
            Verdict::Refuse(error) => Some(Outcome::Refused(error)),
        }
    }

    /// Judges the request of a waiting client: only by whether this server may still write, and has its data.
    #[cold]
    fn judge_served(&self, client: &Client, request: &Request<'_>, now_ms: u64) -> Option<Outcome> {
        let &Request { entry, arguments, .. } = request;
        if entry.spec.flags.has(Flags::WRITE) && self.following.refuses_writes() {
            return Some(Outcome::Refused(CommandError::ReadOnlyReplica));
        }
        if self.loading.is_active() {
            return Some(Outcome::Busy(None));
        }
        self.is_paused(client, entry, arguments, now_ms).then_some(Outcome::Paused)
    }

    /// Makes the lock plan of a request: the slots of its keys, and those that its entry asks for beside
    /// them.
    fn plan_locks(&self, client: &Client, request: &Request<'_>, alone: bool, plan: &mut LockPlan) {
        let &Request { entry, arguments, keys, .. } = request;
        let spec = &entry.spec;
        lock_plan(spec, arguments, keys, client.database, self.keyspace.hasher(), plan);
        if let Some(further_locks) = self.commands.functions(entry).further_locks
            && !alone
        {
            further_locks(self, client, plan);
        }
        if spec.foreign_keys.is_some() || spec.has_further_locks {
            drop_foreign(plan, &self.keyspace);
        }
        if self.reads_past(client) {
            plan.iter_mut().for_each(|lock| lock.write = true);
        }
    }

    /// Passes the gate of the keyspace the way a request needs: alone, beside others, or not at all. Returns
    /// `None` where a slow script or a heavy command has turned up meanwhile, or `give_up` says so.
    fn hold<'s, 'b>(
        &'s self,
        entry: &Entry,
        alone: bool,
        locks: &[SlotLock],
        shared: &'b mut Option<crate::keyspace::gate::Shared<'s>>,
        watch: &HeavyWatch<'_, '_>,
        give_up: &dyn Fn() -> bool,
    ) -> Option<Hold<'s, 'b>> {
        let gate = &self.keyspace.gate;
        if alone {
            *shared = None;
            return gate
                .try_exclusive()
                .or_else(|| self.wait_to_be_alone(watch, give_up))
                .map(Hold::Exclusive);
        }
        // What touches no key (PING, FUNCTION KILL) need not wait for what is slow and alone in the keyspace, nor for
        // long for anything else there.
        let needs_none = locks.is_empty() && (self.is_slow() || watch.waits_long());
        if entry.spec.flags.has(Flags::WHOLE_KEYSPACE) || needs_none {
            *shared = None;
            return Some(Hold::None);
        }
        if shared.is_none() {
            let worker = crate::worker::current();
            let wait = |looks: &dyn Fn()| {
                gate.shared_unless(worker, || {
                    looks();
                    give_up()
                })
            };
            *shared = gate.try_shared(worker).or_else(|| watch.while_waiting(wait));
        }
        shared.as_ref().map(|shared| Hold::Shared(shared))
    }

    /// Waits until nobody else is in the keyspace. What works on all of it piece by piece lets others in between
    /// two pieces, which may take a while: one of a few at a time waits for that, and hands its other work over.
    #[cold]
    fn wait_to_be_alone(
        &self,
        watch: &HeavyWatch<'_, '_>,
        give_up: &dyn Fn() -> bool,
    ) -> Option<Exclusive<'_>> {
        let blocking = if self.heavy.any() { Some(self.heavy.block()?) } else { None };
        watch.while_waiting(|looks| {
            if blocking.is_some() {
                watch.hand_over();
            }
            self.keyspace.gate.exclusive_unless(|| {
                looks();
                self.is_held_for_long(blocking.is_some()) || blocking.is_none() && give_up()
            })
        })
    }

    /// Settings with which the commands of a batch see the keyspace: time, client's view, counters.
    #[inline]
    pub(super) fn access_settings<'b>(
        &self,
        client: &Client,
        now_ms: u64,
        changes: &'b ChangeBuffer<'_>,
        counts: &'b AccessCounts,
        give_up: &'b dyn Fn() -> bool,
        pulse: &'b HeavyWatch<'_, '_>,
    ) -> AccessSettings<'b> {
        AccessSettings {
            now_ms,
            ended_ms: client.ended_ms(now_ms, &self.settings),
            past_ms: if self.settings.import_mode() || client.is_loader || self.following.is_replica() {
                0
            } else {
                now_ms
            },
            clock: self.settings.access_clock(now_ms),
            touch: !client.no_touch,
            sink: changes,
            counts,
            give_up,
            pulse,
        }
    }
}

impl Context<'_> {
    /// Enters the client among those that wait. The locks of its command are still held, so the next change
    /// of a key finds it.
    #[cold]
    fn enter_wait(&mut self, mut wait: WaitFor, arguments: &[&[u8]]) {
        let request = wait.request.take().unwrap_or_else(|| OwnedRequest::new(arguments));
        let database = self.client.database;
        let keys = wait.keys.clone().map(|argument| (database, Box::from(arguments[argument]))).collect();
        let shared = &self.client.shared;
        let waiting = &self.server.effects.waiting;
        let waiter = waiting.add(shared, self.client.version, self.command.id, request, keys, wait);
        *shared.waiter.lock() = Some(Arc::clone(&waiter));
        if let Some(acks) = &waiter.wait.acks {
            self.server.wait_for_acks(acks, &waiter);
        }
        self.client.waiter = Some(waiter);
    }
}
