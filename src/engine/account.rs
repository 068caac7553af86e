//! Counting and timing what a batch runs. Commands of one kind in a row are a streak and are timed together;
//! why, and how slow ones are found all the same, [`super::observe`] says.

use std::sync::atomic::Ordering;

use super::Server;
use super::batch::Batch;
use super::blockers::Waits;
use super::client::Client;
use super::observe::Done;

/// The streak under way: commands of one kind that a batch ran one behind the other.
#[derive(Default)]
pub(super) struct Streak {
    command: usize,
    pub(super) calls: u64,
    failed: u64,
}

impl Server {
    /// Adds one command to the streak. Returns true if [`Self::conclude`] must follow: the command crossed a
    /// size threshold, or a clock tick passed during it.
    #[inline]
    pub(super) fn count_command(
        &self,
        failed: bool,
        request_bytes: usize,
        reply_bytes: usize,
        batch: &mut Batch<'_>,
    ) -> bool {
        self.count_streak(1, u64::from(failed), batch);
        batch.thresholds.are_met(request_bytes, reply_bytes) || self.logs.observation.tick() != batch.tick
    }

    /// Adds `executed` commands, `failed` of them with an error, to the streak.
    #[inline]
    pub(super) fn count_streak(&self, executed: u64, failed: u64, batch: &mut Batch<'_>) {
        batch.streak.calls += executed;
        batch.streak.failed += failed;
        batch.executed += executed;
    }

    /// Logs the command that ran last where it crossed a threshold, and ends the streak where no other
    /// command of its kind follows at once (`ends_streak`) or it has to be timed by itself.
    pub(super) fn conclude(&self, done: &Done<'_>, ends_streak: bool, batch: &mut Batch<'_>) {
        let tick = self.logs.observation.tick();
        let ticked = tick != batch.tick;
        if ticked {
            // A change of the thresholds counts as a tick.
            batch.tick = tick;
            if !batch.is_silent {
                batch.thresholds = self.logs.observation.thresholds(batch.now_ms);
            }
        }
        let thresholds = batch.thresholds;
        if done.request_bytes >= thresholds.request_bytes || done.reply_bytes >= thresholds.reply_bytes {
            self.was_large(done);
        }
        if ends_streak || ticked || thresholds.one_by_one {
            let (is_its_own, is_single) = (ticked || batch.streak.calls == 1, batch.streak.calls == 1);
            let held = if batch.held.is_some() { self.end_held(done, batch) } else { None };
            let (took_ns, waits) = self.end_streak_that_waited(done.sleeps_ns, batch);
            let beside_ns = waits.as_ref().map_or(0, |waits| waits.beside_ns());
            if thresholds.by_slot {
                self.count_for_slot(done, took_ns);
            }
            if thresholds.by_key && is_single {
                self.note_use(done, took_ns);
            }
            if took_ns + beside_ns >= thresholds.slow_ns || held.is_some() {
                if is_its_own {
                    self.took_long(done, took_ns);
                    self.keep_slow(done, took_ns, waits, held, batch);
                } else {
                    self.logs.observation.distrust_ticks(batch.now_ms);
                }
            }
        }
    }

    /// Counts one command by itself: one that served a waiting client, or ran alone in the keyspace.
    pub(super) fn count_one(&self, done: &Done<'_>, failed: bool, batch: &mut Batch<'_>) {
        self.count_command(failed, 0, 0, batch);
        let slow = batch.slow.len();
        self.conclude(done, true, batch);
        // Its reply is another client's to write.
        batch.slow.truncate(slow);
    }

    /// Counts an error that a command wrote as its reply itself: a script's.
    #[cold]
    pub(super) fn count_written_error(&self, reply: &[u8]) {
        let code = reply[1..].split(|byte| b" \r".contains(byte)).next().unwrap_or_default();
        self.stats.error(crate::worker::current(), &String::from_utf8_lossy(code));
    }

    /// Keeps the time that a request took before it began to wait. It is added when the request is served.
    #[cold]
    pub(super) fn begin_wait(&self, client: &Client, command: usize, batch: &mut Batch<'_>) {
        if batch.streak.calls > 0 {
            self.begin_streak(usize::MAX, batch);
        }
        let now_ns = self.clock.monotonic_ns();
        if let Some(waiter) = &client.waiter {
            debug_assert_eq!(waiter.command, command);
            let waited_ns = batch.waits.take().map_or(0, |waits| waits.beside_ns());
            waiter.ran_ns.store((now_ns - batch.clock_ns).saturating_sub(waited_ns), Ordering::Relaxed);
        }
        batch.clock_ns = now_ns;
    }

    /// Begins a streak of `command`, or goes on with the one under way. The clock is read when the kind
    /// changes.
    #[inline]
    pub(super) fn begin_streak(&self, command: usize, batch: &mut Batch<'_>) {
        if batch.streak.command != command {
            let took_ns = self.end_streak(0, batch);
            if took_ns >= batch.thresholds.slow_ns {
                self.logs.observation.distrust_ticks(batch.now_ms);
            }
            batch.streak.command = command;
        }
    }

    /// Ends the streak: adds its calls and the time that they ran to the statistics. Returns that time in
    /// nanoseconds. What its requests waited for locks and for evictions is no part of it.
    pub(super) fn end_streak(&self, sleeps_ns: u64, batch: &mut Batch<'_>) -> u64 {
        self.end_streak_that_waited(sleeps_ns, batch).0
    }

    /// [`end_streak`](Self::end_streak), which also returns what its requests waited for.
    fn end_streak_that_waited(&self, sleeps_ns: u64, batch: &mut Batch<'_>) -> (u64, Option<Box<Waits>>) {
        let Streak { command, calls, failed } = std::mem::take(&mut batch.streak);
        if calls == 0 {
            return (0, None);
        }
        let waits = batch.waits.take();
        let now_ns = self.clock.monotonic_ns();
        let mut took_ns = now_ns - batch.clock_ns;
        if let Some(waits) = &waits {
            took_ns = took_ns.saturating_sub(waits.beside_ns());
            batch.waits = waits.left();
        }
        took_ns += sleeps_ns;
        if !batch.is_silent {
            let counted_as = self.commands.entries()[command].counted_as;
            self.stats.commands_ran(crate::worker::current(), counted_as, calls, took_ns, failed);
        }
        batch.clock_ns = now_ns;
        (took_ns, waits)
    }
}
