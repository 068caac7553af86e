//! Counting and timing what a batch runs: commands of one kind in a row are a run, see [`super::observe`].

use std::sync::atomic::Ordering;

use super::Server;
use super::client::Client;
use super::dispatch::Batch;
use super::observe::Done;

/// Commands of one kind in a row.
#[derive(Default)]
pub(super) struct Run {
    command: usize,
    pub(super) calls: u64,
    failed: u64,
}

impl Server {
    /// Counts a command that ran. Whether something may have to be told of it, or its run ends: then [`Self::conclude`] is to follow.
    #[inline]
    pub(super) fn count_run(
        &self,
        failed: bool,
        request_bytes: usize,
        reply_bytes: usize,
        batch: &mut Batch<'_>,
    ) -> bool {
        self.count_row(1, u64::from(failed), batch);
        batch.thresholds.are_met(request_bytes, reply_bytes) || self.observation.tick() != batch.tick
    }

    /// Counts commands of the present run.
    #[inline]
    pub(super) fn count_row(&self, executed: u64, failed: u64, batch: &mut Batch<'_>) {
        batch.run.calls += executed;
        batch.run.failed += failed;
        batch.executed += executed;
    }

    /// Ends the run, or tells of the command that ran last. With `ends_run` no other of its kind follows at once.
    pub(super) fn conclude(&self, done: &Done<'_>, ends_run: bool, batch: &mut Batch<'_>) {
        let tick = self.observation.tick();
        let ticked = tick != batch.tick;
        if ticked {
            // A change of the thresholds counts as a tick.
            batch.tick = tick;
            batch.thresholds = self.observation.thresholds(batch.now_ms);
        }
        let thresholds = batch.thresholds;
        if done.request_bytes >= thresholds.request_bytes || done.reply_bytes >= thresholds.reply_bytes {
            self.was_large(done);
        }
        if ends_run || ticked || thresholds.one_by_one {
            let is_its_own = ticked || batch.run.calls == 1;
            let took_ns = self.end_run(done.sleeps_ns, batch);
            if took_ns >= thresholds.slow_ns {
                if is_its_own {
                    self.took_long(done, took_ns);
                } else {
                    self.observation.distrust_ticks(batch.now_ms);
                }
            }
        }
    }

    /// Counts a command that ran for a client that waited, or alone.
    pub(super) fn count_one(&self, done: &Done<'_>, failed: bool, batch: &mut Batch<'_>) {
        self.count_run(failed, 0, 0, batch);
        self.conclude(done, true, batch);
    }

    /// Counts an error that a command wrote as its reply itself: a script's.
    #[cold]
    pub(super) fn count_written_error(&self, reply: &[u8], worker: usize) {
        let code = reply[1..].split(|byte| b" \r".contains(byte)).next().unwrap_or_default();
        self.stats.error(worker, &String::from_utf8_lossy(code));
    }

    /// Notes how long a request took to find out that it waits.
    #[cold]
    pub(super) fn begin_wait(&self, client: &Client, command: usize, batch: &mut Batch<'_>) {
        if batch.run.calls > 0 {
            self.begin_run(usize::MAX, batch);
        }
        let now_ns = self.clock.monotonic_ns();
        if let Some(waiter) = &client.waiter {
            debug_assert_eq!(waiter.command, command);
            waiter.ran_ns.store(now_ns - batch.clock_ns, Ordering::Relaxed);
        }
        batch.clock_ns = now_ns;
    }

    /// Commands of one kind in a row are counted and timed together: the clock is read when the kind changes.
    #[inline]
    pub(super) fn begin_run(&self, command: usize, batch: &mut Batch<'_>) {
        if batch.run.command != command {
            let took_ns = self.end_run(0, batch);
            if took_ns >= batch.thresholds.slow_ns {
                self.observation.distrust_ticks(batch.now_ms);
            }
            batch.run.command = command;
        }
    }

    /// Adds what ran last to the statistics. Answers how long it took.
    pub(super) fn end_run(&self, sleeps_ns: u64, batch: &mut Batch<'_>) -> u64 {
        let Run { command, calls, failed } = std::mem::take(&mut batch.run);
        if calls == 0 {
            return 0;
        }
        let now_ns = self.clock.monotonic_ns();
        let took_ns = now_ns - batch.clock_ns + sleeps_ns;
        self.stats.commands_ran(batch.worker, command, calls, took_ns, failed);
        batch.clock_ns = now_ns;
        took_ns
    }
}
