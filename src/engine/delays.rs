//! What a request's time is spent on beside running, for KVARTS SLOW.
//!
//! Nothing is measured that does not wait: a lock that is free, a reply that goes out at once and a disk that
//! is not waited for cost no look at the clock. The parts before a command ran are known when it has run
//! (`account.rs`), those behind it when its reply is in the socket, which is the connection's to tell.

use std::sync::Arc;

use super::Server;
use super::batch::{Batch, BatchEnd, PlannedRequest, Stop};
use super::blockers::Waits;
use super::client::Client;
use super::holders::Holder;
use super::observe::Done;
use super::room::Ticket;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::keyspace::access::SlotLock;
use crate::keyspace::turns::{Came, Turn};
use crate::shared::commandlog::cut;
use crate::shared::slow_requests::{Part, Parts, SlowRequest};

/// Slow requests whose replies are not written yet, of one client: only the latest are told how long that took.
const UNWRITTEN_MAX: usize = 32;

/// Commands that were in the way of one request one behind the other, of which it is kept for how long.
const HOLDERS_MAX: usize = 16;

/// What delays a client's requests, as far as it is not over.
#[derive(Debug, Default)]
pub struct Delays {
    /// When the last batch ended, in nanoseconds of the monotonic clock; 0 once its replies are written.
    ended_ns: u64,
    /// How long it ran, in nanoseconds.
    ran_ns: u64,
    /// Since when its replies wait for the disk, in nanoseconds of the monotonic clock; 0 where they do not.
    kept_ns: u64,
    /// How long they waited for it, in nanoseconds.
    disk_ns: u64,
    /// Since when the socket takes no more of them, in nanoseconds of the monotonic clock; 0 while it does.
    stalled_ns: u64,
    rare: Option<Box<Rare>>,
}

/// What most clients never have.
#[derive(Debug, Default)]
struct Rare {
    /// The request that could not run yet.
    held: Option<Held>,
    /// Numbers of slow requests whose replies are not written yet.
    unwritten: Vec<u64>,
}

/// A request that something slow, something heavy or a pause is in the way of.
#[derive(Debug, Default)]
pub(super) struct Held {
    client: u64,
    /// When it came, in nanoseconds of the monotonic clock.
    pub(super) came_ns: u64,
    /// Since when it waits again, in nanoseconds of the monotonic clock, and whether for the end of a pause.
    since_ns: u64,
    is_paused: bool,
    parts: Parts,
    /// Who is in its way now, and who was so far.
    blocked_by: Option<Arc<Holder>>,
    /// The lock for whose sake it was broken off, if it was (`None`: the gate): before that is free it need not
    /// begin anew.
    pub(super) gave_up_at: Option<Option<SlotLock>>,
    /// Its place among those that wait for room.
    pub(super) ticket: Option<Ticket>,
    /// Its turn, where heavy commands have overtaken it.
    pub(super) turn: Option<Turn>,
    /// Whether it was broken off to let an older request by, as it takes long.
    pub(super) is_heavy: bool,
    holders: Vec<InTheWay>,
    /// Whether commands were timed one by one in any case.
    one_by_one: bool,
}

/// A command that a request has waited for.
#[derive(Debug)]
struct InTheWay {
    holder: Arc<Holder>,
    /// How long the request has waited for it, in nanoseconds.
    waited_ns: u64,
    /// When that wait ended, in nanoseconds of the monotonic clock: the request itself may run for long afterwards.
    until_ns: u64,
}

impl Delays {
    /// A batch has run, from `began_ns` to `ended_ns` of the monotonic clock.
    #[inline]
    pub(super) fn ran(&mut self, began_ns: u64, ended_ns: u64) {
        (self.ended_ns, self.ran_ns) = (ended_ns, ended_ns.saturating_sub(began_ns));
    }

    /// The reply is there for which the client has waited since its last batch, for a key, replicas or a time: what
    /// follows is a delay of that reply alone.
    pub fn reply_came(&mut self, now_ns: u64) {
        self.ran(now_ns.max(1), now_ns.max(1));
    }

    /// The replies wait for the disk: since the last batch ended, or since now where none has run.
    pub fn wait_for_disk(&mut self, now_ns: u64) {
        if self.kept_ns == 0 {
            self.kept_ns = if self.ended_ns == 0 { now_ns.max(1) } else { self.ended_ns };
        }
    }

    /// Whether the replies have waited for the disk until now.
    #[inline]
    pub fn waits_for_disk(&self) -> bool {
        self.kept_ns != 0
    }

    /// The replies need not wait for the disk any longer.
    pub fn end_wait_for_disk(&mut self, now_ns: u64) {
        self.disk_ns += now_ns.saturating_sub(std::mem::take(&mut self.kept_ns));
    }

    /// Whether the time has to be told at which the socket stopped taking replies.
    #[inline]
    pub fn begins_to_stall(&self) -> bool {
        self.stalled_ns == 0 && self.ended_ns != 0
    }

    /// The socket takes no more at this time.
    pub fn stall(&mut self, now_ns: u64) {
        self.stalled_ns = now_ns.max(1);
    }

    /// All replies are written. Returns whether [`Server::replies_written`] has to be told.
    #[inline]
    pub fn all_written(&mut self) -> bool {
        self.ended_ns = 0;
        self.stalled_ns | self.disk_ns != 0 || self.rare.is_some()
    }
}

impl Server {
    /// Notes what came of a client's replies: how long they waited for the disk and for the socket. To be called
    /// when all are written, or when the connection ends.
    #[cold]
    pub fn replies_written(&self, client: &mut Client) {
        let delays = &mut client.delays;
        let mut late = Parts::default().with(Part::Disk, std::mem::take(&mut delays.disk_ns));
        let stalled_ns = std::mem::take(&mut delays.stalled_ns);
        if stalled_ns != 0 {
            late.add(Part::Write, self.clock.monotonic_ns().saturating_sub(stalled_ns));
        }
        let ran_ns = std::mem::take(&mut delays.ran_ns);
        let unwritten = delays.take_unwritten();
        if late.total_ns() == 0 {
            return;
        }
        unwritten.iter().for_each(|id| self.logs.slow_requests.extend(*id, &late));
        let parts = late.with(Part::Run, ran_ns);
        if unwritten.is_empty() && parts.total_ns() >= self.logs.slow_requests.threshold_ns() {
            let command = client.shared.last_command.load(std::sync::atomic::Ordering::Relaxed);
            let Some(entry) = self.commands.entries().get(command as usize) else { return };
            self.logs.slow_requests.add(SlowRequest {
                at_ms: self.clock.now_ms(),
                parts,
                arguments: vec![entry.full_name.clone().into_bytes()],
                client: client.shared.id,
                address: client.shared.address.clone(),
                name: client.shared.names.lock().name.clone(),
                ..SlowRequest::default()
            });
        }
    }

    /// Takes up a request of the client that was held: it is timed by itself.
    #[cold]
    pub(super) fn resume_held(&self, client: &mut Client, batch: &mut Batch<'_>) {
        let Some(mut held) = client.delays.rare.as_mut().and_then(|rare| rare.held.take()) else { return };
        let part = if held.is_paused { Part::Pause } else { Part::Lock };
        held.add_wait(part, batch.clock_ns.saturating_sub(held.since_ns), batch.clock_ns);
        held.one_by_one = batch.thresholds.one_by_one;
        batch.thresholds.one_by_one = true;
        batch.held = Some(Box::new(held));
    }

    /// Keeps what is known of a request that the batch stopped before, as it has to wait.
    #[cold]
    pub(super) fn hold_request(&self, client: &mut Client, batch: &mut Batch<'_>, end: &BatchEnd) {
        let mut held = match batch.held.take() {
            Some(held) if end.executed == 0 => *held,
            _ => Held { client: client.shared.id, came_ns: batch.clock_ns, ..Held::default() },
        };
        let now_ns = self.clock.monotonic_ns();
        let lacks_room = std::mem::take(&mut batch.lacks_room);
        if lacks_room {
            held.ticket.get_or_insert_with(|| self.heavy.room.ticket()).line_up(&client.shared);
        } else if let Some(ticket) = &held.ticket {
            ticket.step_aside();
        }
        let gave_up_at = batch.gave_up_at.take();
        held.gave_up_at = gave_up_at.or(held.gave_up_at);
        let lets_by = std::mem::take(&mut batch.lets_by);
        held.is_heavy |= lets_by;
        if lacks_room || lets_by || gave_up_at.is_some() {
            // What it had done by then, in vain.
            let ran_ns = now_ns.saturating_sub(batch.clock_ns + batch.gave_up_ns);
            held.parts.add(Part::Run, ran_ns);
        }
        held.is_paused = end.stop == Some(Stop::Paused);
        if held.is_paused {
            // It needs no turn while it could not take it.
            held.turn = None;
        }
        held.blocked_by = batch.blocked_by.take();
        held.add_wait(Part::Lock, std::mem::take(&mut batch.gave_up_ns), now_ns);
        held.since_ns = now_ns;
        client.delays.rare.get_or_insert_default().held = Some(held);
    }

    /// Notes, as it has run, how long the command waited that was held before the batch, with what it waited since.
    /// Returns its time beside running before the batch.
    #[cold]
    pub(super) fn end_held(&self, done: &Done<'_>, batch: &mut Batch<'_>) -> Option<Box<Held>> {
        let held = batch.held.take_if(|held| held.client == done.client.id)?;
        batch.thresholds.one_by_one = held.one_by_one;
        let waited_ns = batch.waits.as_deref_mut().map_or(0, Waits::take_request_ns);
        self.stats.lock_waits.note(done.entry.counted_as, held.parts.ns(Part::Lock) + waited_ns);
        Some(held)
    }

    /// Counts what a request has waited that was refused at last: BUSY, or because things have changed meanwhile.
    #[cold]
    pub(super) fn end_refused(
        &self,
        client: &Client,
        entry: &Entry,
        arguments: &[&[u8]],
        batch: &mut Batch<'_>,
    ) {
        let mut held = batch.held.take().unwrap_or_default();
        let gave_up_ns = std::mem::take(&mut batch.gave_up_ns);
        held.add_wait(Part::Lock, gave_up_ns, self.clock.monotonic_ns());
        if held.client != 0 {
            batch.thresholds.one_by_one = held.one_by_one;
        }
        if held.parts.total_ns() == 0 || batch.is_silent {
            return;
        }
        if held.locked_ns() > 0 {
            self.stats.lock_waits.note(entry.counted_as, held.locked_ns());
        }
        let (request_bytes, reply_bytes, sleeps_ns) = (0, 0, 0);
        let done = Done { client: &client.shared, entry, arguments, request_bytes, reply_bytes, sleeps_ns };
        self.keep_slow(&done, 0, None, Some(held), batch);
    }

    /// Forgets the first request, which was held and has not run: it was refused, or waits for keys.
    #[cold]
    pub(super) fn forget_held(
        &self,
        client: &Client,
        words: &[&[u8]],
        request: &PlannedRequest,
        waits_for_keys: bool,
        batch: &mut Batch<'_>,
    ) {
        if let Ok(id) = &request.command
            && !waits_for_keys
        {
            self.end_refused(client, &self.commands.entries()[*id as usize], words, batch);
        }
        if let Some(held) = batch.held.take() {
            batch.thresholds.one_by_one = held.one_by_one;
        }
    }

    /// Keeps a request that took long with the parts of its time: `run_ns` for which its command ran, `waits`
    /// since it was taken up and `held` before that.
    #[cold]
    pub(super) fn keep_slow(
        &self,
        done: &Done<'_>,
        run_ns: u64,
        waits: Option<Box<Waits>>,
        held: Option<Box<Held>>,
        batch: &mut Batch<'_>,
    ) {
        let (waits, held) = (waits.unwrap_or_default(), held.unwrap_or_default());
        let mut parts = held.parts.with(Part::Lock, waits.lock_ns + waits.before_ns);
        parts.add(Part::Evict, waits.evict_ns);
        parts.add(Part::Run, run_ns);
        if parts.total_ns() < self.logs.slow_requests.threshold_ns() || done.is_look_from_inside() {
            return;
        }
        let longest = held.longest().filter(|longest| longest.waited_ns >= waits.lock_ns);
        let blocked_by =
            longest.map_or(waits.blocked_by, |longest| longest.holder.in_words_at(longest.until_ns));
        let id = self.logs.slow_requests.add(SlowRequest {
            id: 0,
            at_ms: self.clock.now_ms(),
            parts,
            arguments: cut(done.entry, done.arguments, self.kept_of_request()),
            bytes: done.bytes(),
            key: self.first_key(done.entry, done.arguments),
            program: self.program_in_words(done.entry, done.arguments),
            longest: if done.entry.spec.flags.has(Flags::RUNS_QUEUE) { batch.longest.take() } else { None },
            blocked_by,
            client: done.client.id,
            address: done.client.address.clone(),
            name: done.client.names.lock().name.clone(),
        });
        batch.slow.push(id);
    }

    /// Reads the directives of slow requests anew.
    pub(super) fn apply_slow_requests(&self) {
        let threshold_us = u64::try_from(self.config.int(Directive::SlowRequestsSlowerThan));
        let threshold_ns = threshold_us.map_or(u64::MAX, |us| us.saturating_mul(1000));
        let max_len = self.config.int(Directive::SlowRequestsMaxLen).max(0) as usize;
        self.logs.slow_requests.set(threshold_ns, max_len);
    }
}

impl Delays {
    /// Whether a request of the client is held.
    #[inline]
    pub(super) fn holds_request(&self) -> bool {
        self.rare.is_some()
    }

    /// Remembers slow requests whose replies are not written yet.
    #[cold]
    pub(super) fn add_unwritten(&mut self, ids: &mut Vec<u64>) {
        let unwritten = &mut self.rare.get_or_insert_default().unwritten;
        unwritten.append(ids);
        let excess = unwritten.len().saturating_sub(UNWRITTEN_MAX);
        unwritten.drain(..excess);
    }

    fn take_unwritten(&mut self) -> Vec<u64> {
        let Some(rare) = &mut self.rare else { return Vec::new() };
        let unwritten = std::mem::take(&mut rare.unwritten);
        if rare.held.is_none() {
            self.rare = None;
        }
        unwritten
    }
}

impl Held {
    /// When it came, and from whom.
    pub(super) fn came(&self) -> Came {
        Came { at_ns: self.came_ns, client: self.client }
    }

    /// Whether it is the request of this client: those of others are served in its batch.
    pub(super) fn is_of(&self, client: &Client) -> bool {
        self.client == client.shared.id
    }

    /// How long it has waited for locks, in nanoseconds.
    pub(super) fn locked_ns(&self) -> u64 {
        self.parts.ns(Part::Lock)
    }

    /// Adds so much to a part, which ends at `until_ns`: where it is the lock's, to the time that whoever is in its
    /// way has taken it.
    fn add_wait(&mut self, part: Part, ns: u64, until_ns: u64) {
        self.parts.add(part, ns);
        let Some(holder) = self.blocked_by.clone().filter(|_| part == Part::Lock) else { return };
        let known = self.holders.iter_mut().find(|known| known.holder.is_of_same(&holder));
        if let Some(known) = known {
            known.waited_ns += ns;
            known.until_ns = until_ns;
        } else if self.holders.len() < HOLDERS_MAX {
            self.holders.push(InTheWay { holder, waited_ns: ns, until_ns });
        }
    }

    /// Who was in its way for longest.
    fn longest(&self) -> Option<&InTheWay> {
        self.holders.iter().max_by_key(|one| one.waited_ns)
    }
}

impl Batch<'_> {
    /// What keeps the next request from running.
    #[inline]
    pub(super) fn is_blocked_by(&mut self, holder: Option<Arc<Holder>>) {
        self.blocked_by = holder;
    }
}
