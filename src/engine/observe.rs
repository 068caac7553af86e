//! Which commands COMMANDLOG and the latency monitor hear of once they have run.
//!
//! Reading the clock around every command of a pipeline would cost a tenth of its speed, so commands of one
//! kind in a row (a streak) are timed together. A streak that took less than the least threshold holds no
//! command that took so long, so nothing is logged. A slow command is noticed while it runs: the sweeper's
//! thread counts ticks, one every few milliseconds, and a command during which the tick changed ends its
//! streak, and the clock is read. The time is then that command's own, and that of the few fast commands of
//! its kind that ran since the clock was read last.
//!
//! Each command is timed by itself where ticks are not fine enough: while a threshold is below [`FINE_NS`],
//! and for [`DISTRUST_MS`] after a streak has taken long without a tick. The sweeper's thread then got no
//! processor; which command took the time is not known, and nothing is logged that might be wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Server;
use crate::cluster::SlotUse;
use crate::command::keys::for_each_key;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::config::{Config, Directive};
use crate::keyspace::key_hash::key_slot;
use crate::shared::client::SharedClient;
use crate::shared::commandlog::{Kept, LogEntry, LogKind, cut};
use crate::shared::stats::Counter;

/// Thresholds below this are finer than ticks can tell.
const FINE_NS: u64 = 10_000_000;

/// How long every command is timed by itself after ticks did not come.
const DISTRUST_MS: u64 = 60_000;

/// Thresholds from which on a command is logged: nanoseconds and bytes, `u64::MAX` for never.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// The least of the thresholds of time: COMMANDLOG's, the latency monitor's and that of slow requests.
    pub slow_ns: u64,
    /// Bytes of a request.
    pub request_bytes: u64,
    /// Bytes of a reply.
    pub reply_bytes: u64,
    /// Whether each command is timed by itself, not as part of a streak.
    pub one_by_one: bool,
    /// Whether each is counted for the slot of its keys (`cluster-slot-stats-enabled`).
    pub by_slot: bool,
    /// Whether a session weighs each by its keys (HOTKEYS START).
    pub by_key: bool,
}

impl Thresholds {
    /// No command crosses these.
    pub const NONE: Thresholds = Thresholds {
        slow_ns: u64::MAX,
        request_bytes: u64::MAX,
        reply_bytes: u64::MAX,
        one_by_one: false,
        by_slot: false,
        by_key: false,
    };

    /// Returns whether a command with so many bytes may have to be logged.
    #[inline]
    pub fn are_met(&self, request_bytes: usize, reply_bytes: usize) -> bool {
        self.one_by_one
            || request_bytes as u64 >= self.request_bytes
            || reply_bytes as u64 >= self.reply_bytes
    }
}

/// Decides which commands COMMANDLOG and the latency monitor hear of. The thresholds are copies of directives
/// that every worker reads without a lock; the sweeper's thread counts the ticks.
#[derive(Debug)]
pub struct Observation {
    ticks: AtomicU64,
    slow_ns: AtomicU64,
    /// `commandlog-execution-slower-than` alone.
    logged_ns: AtomicU64,
    request_bytes: AtomicU64,
    reply_bytes: AtomicU64,
    by_slot: AtomicBool,
    by_key: AtomicBool,
    /// Until when ticks are not trusted, in milliseconds of Unix time.
    distrust_until_ms: AtomicU64,
}

/// A command that ran, as the logs need it.
#[derive(Clone, Copy)]
pub struct Done<'r> {
    /// The client that it ran for.
    pub client: &'r SharedClient,
    /// The command's entry.
    pub entry: &'r Entry,
    /// The request.
    pub arguments: &'r [&'r [u8]],
    /// Bytes of the request as it came; a script's command came as none.
    pub request_bytes: u64,
    /// Bytes of the reply.
    pub reply_bytes: u64,
    /// Nanoseconds that count as the command's beside those of its streak: DEBUG SLEEP's, or those it ran
    /// before it waited.
    pub sleeps_ns: u64,
}

impl Done<'_> {
    /// Bytes of the request and its reply, as far as they are known.
    pub(super) fn bytes(&self) -> u64 {
        let words: usize = self.arguments.iter().map(|word| word.len()).sum();
        self.request_bytes.max(words as u64) + self.reply_bytes
    }

    /// Whether it is one of those for operators that change nothing, and the console has sent it: its views do so again
    /// and again. Such requests keep nobody waiting, and would push the clients' out of the logs.
    pub(super) fn is_look_from_inside(&self) -> bool {
        self.entry.spec.flags.has(Flags::SHOWS) && self.client.is_inside.load(Ordering::Relaxed)
    }
}

impl Default for Observation {
    fn default() -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self {
            ticks: AtomicU64::new(0),
            slow_ns: never(),
            logged_ns: never(),
            request_bytes: never(),
            reply_bytes: never(),
            by_slot: AtomicBool::new(false),
            by_key: AtomicBool::new(false),
            distrust_until_ms: AtomicU64::new(0),
        }
    }
}

impl Observation {
    /// Reads the thresholds anew.
    pub fn load(&self, config: &Config) {
        let limit = |directive, unit: u64| match u64::try_from(config.int(directive)) {
            Ok(value) => value.saturating_mul(unit),
            Err(_) => u64::MAX,
        };
        let logged_ns = limit(Directive::CommandlogExecutionSlowerThan, 1000);
        let sampled_ns = match config.int(Directive::LatencyMonitorThreshold) {
            ms @ 1.. => (ms as u64).saturating_mul(1_000_000),
            _ => u64::MAX,
        };
        self.logged_ns.store(logged_ns, Ordering::Relaxed);
        let kept_ns = limit(Directive::SlowRequestsSlowerThan, 1000);
        self.slow_ns.store(logged_ns.min(sampled_ns).min(kept_ns), Ordering::Relaxed);
        self.request_bytes.store(limit(Directive::CommandlogRequestLargerThan, 1), Ordering::Relaxed);
        self.reply_bytes.store(limit(Directive::CommandlogReplyLargerThan, 1), Ordering::Relaxed);
        let by_slot =
            config.flag(Directive::ClusterEnabled) && config.flag(Directive::ClusterSlotStatsEnabled);
        self.by_slot.store(by_slot, Ordering::Relaxed);
        self.next_tick();
    }

    /// The thresholds in force.
    #[inline]
    pub fn thresholds(&self, now_ms: u64) -> Thresholds {
        let slow_ns = self.slow_ns.load(Ordering::Relaxed);
        let distrusted = now_ms < self.distrust_until_ms.load(Ordering::Relaxed);
        let by_slot = self.by_slot.load(Ordering::Relaxed);
        let by_key = self.by_key.load(Ordering::Relaxed);
        Thresholds {
            one_by_one: distrusted || by_slot || by_key || slow_ns < FINE_NS,
            by_slot,
            by_key,
            slow_ns,
            request_bytes: self.request_bytes.load(Ordering::Relaxed),
            reply_bytes: self.reply_bytes.load(Ordering::Relaxed),
        }
    }

    /// Sets whether each command is weighed by its keys.
    pub fn set_by_key(&self, is_on: bool) {
        self.by_key.store(is_on, Ordering::Relaxed);
        self.next_tick();
    }

    /// The present tick.
    #[inline]
    pub fn tick(&self) -> u64 {
        self.ticks.load(Ordering::Acquire)
    }

    /// Counts up the tick. The sweeper's thread calls it every few milliseconds, and a change of the
    /// thresholds does.
    pub fn next_tick(&self) {
        self.ticks.fetch_add(1, Ordering::Release);
    }

    /// Notes that a streak took long without a tick: for [`DISTRUST_MS`] every command is timed by itself.
    #[cold]
    pub fn distrust_ticks(&self, now_ms: u64) {
        self.distrust_until_ms.store(now_ms + DISTRUST_MS, Ordering::Relaxed);
        self.next_tick();
    }
}

impl Server {
    /// Counts a command that was timed by itself, and logs it where it crossed a threshold.
    pub fn count_alone(&self, done: &Done<'_>, took_ns: u64, failed: bool) {
        let worker = crate::worker::current();
        self.stats.add(worker, Counter::CommandsProcessed, 1);
        self.stats.commands_ran(worker, done.entry.counted_as, 1, took_ns, u64::from(failed));
        done.client.commands.fetch_add(1, Ordering::Relaxed);
        let limits = self.logs.observation.thresholds(0);
        if took_ns >= limits.slow_ns {
            self.took_long(done, took_ns);
        }
        if done.request_bytes >= limits.request_bytes || done.reply_bytes >= limits.reply_bytes {
            self.was_large(done);
        }
    }

    /// Counts a command for the slot of its first key, where it has keys.
    #[cold]
    pub fn count_for_slot(&self, done: &Done<'_>, took_ns: u64) {
        let mut first = None;
        for_each_key(&done.entry.spec, done.arguments, |key| first = first.or(Some(key.argument)));
        if let Some(key) = first.and_then(|argument| done.arguments.get(argument)) {
            let (bytes_in, bytes_out) = (done.request_bytes, done.reply_bytes);
            self.cluster.count_use(key_slot(key), SlotUse { ns: took_ns, bytes_in, bytes_out });
        }
    }

    /// Logs a command that took `took_ns`, which is more than the least threshold.
    #[cold]
    pub fn took_long(&self, done: &Done<'_>, took_ns: u64) {
        if took_ns >= self.logs.observation.logged_ns.load(Ordering::Relaxed) {
            self.log_command(LogKind::Slow, done, took_ns / 1000);
        }
        let is_fast = done.entry.spec.flags.has(Flags::FAST);
        let event = if is_fast { "fast-command" } else { "command" };
        self.logs.latency.note(event, took_ns / 1_000_000, self.clock.now_ms());
    }

    /// Logs a command whose request or reply may be large.
    #[cold]
    pub fn was_large(&self, done: &Done<'_>) {
        if done.request_bytes >= self.logs.observation.request_bytes.load(Ordering::Relaxed) {
            self.log_command(LogKind::LargeRequest, done, done.request_bytes);
        }
        if done.reply_bytes >= self.logs.observation.reply_bytes.load(Ordering::Relaxed) {
            self.log_command(LogKind::LargeReply, done, done.reply_bytes);
        }
    }

    /// How much a log keeps of a request.
    pub(super) fn kept_of_request(&self) -> Kept {
        Kept {
            arguments: self.config.int(Directive::SlowlogEntryMaxArgc).max(1) as usize,
            argument_bytes: self.config.int(Directive::SlowlogEntryMaxStringLen).max(1) as usize,
        }
    }

    fn log_command(&self, kind: LogKind, done: &Done<'_>, value: u64) {
        if done.entry.spec.flags.has(Flags::SKIP_COMMANDLOG) || done.is_look_from_inside() {
            return;
        }
        let entry = LogEntry {
            id: 0,
            at_s: self.clock.now_ms() / 1000,
            value,
            arguments: cut(done.entry, done.arguments, self.kept_of_request()),
            argument_count: done.arguments.len(),
            address: done.client.address.clone(),
            name: done.client.names.lock().name.clone(),
        };
        self.logs.commandlogs.add(kind, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_commands_are_timed_one_by_one() {
        let config = Config::new();
        let observation = Observation::default();
        observation.load(&config);
        let one_by_one = |now_ms| observation.thresholds(now_ms).one_by_one;
        assert_eq!(observation.thresholds(0).slow_ns, 10_000_000);
        assert!(!one_by_one(5000));
        observation.distrust_ticks(5000);
        assert!(one_by_one(5000 + DISTRUST_MS - 1));
        assert!(!one_by_one(5000 + DISTRUST_MS));
        let config = Config::from_pairs([("latency-monitor-threshold", "5")]).expect("a configuration");
        let tick = observation.tick();
        observation.load(&config);
        assert_ne!(observation.tick(), tick, "batches under way look at the thresholds again");
        assert_eq!(observation.thresholds(0).slow_ns, 5_000_000);
        assert!(one_by_one(u64::MAX));
        let off = [
            ("slowlog-log-slower-than", "-1"),
            ("slow-requests-slower-than", "-1"),
            ("commandlog-reply-larger-than", "-1"),
        ];
        observation.load(&Config::from_pairs(off).expect("a configuration"));
        let thresholds = observation.thresholds(0);
        assert_eq!((thresholds.slow_ns, thresholds.reply_bytes), (u64::MAX, u64::MAX));
    }
}
