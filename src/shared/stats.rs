//! [`Stats`]: the counters behind INFO, kept for each worker on cache lines of its own and added up by
//! readers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::lags::Lags;
use super::lock_waits::LockWaits;

/// What is counted for each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    ConnectionsReceived,
    CommandsProcessed,
    NetInputBytes,
    NetOutputBytes,
    /// Sent to replicas: copies and the stream.
    NetReplOutputBytes,
    /// Read from the primary.
    NetReplInputBytes,
    RejectedConnections,
    ExpiredKeys,
    ExpiredFields,
    /// Members of sets.
    ExpiredMembers,
    EvictedKeys,
    EvictedClients,
    KeyspaceHits,
    KeyspaceMisses,
    ErrorReplies,
    UnexpectedErrorReplies,
    ReadsProcessed,
    WritesProcessed,
    PrefetchBatches,
    PrefetchEntries,
    QueryBufferDisconnections,
    OutputBufferDisconnections,
    DeniedAuth,
    DeniedCommand,
    DeniedKey,
    DeniedChannel,
    DeniedDatabase,
    DeniedCertificate,
    Changes,
    ExpireCycleNs,
    /// Time that commands took, all threads together.
    ActiveNs,
}

const COUNTERS: usize = Counter::ActiveNs as usize + 1;

/// Counters of one command on one worker, locked by that worker and by readers (INFO) only.
type CommandCounters = Mutex<CommandCount>;

#[derive(Debug, Default)]
struct CommandCount {
    totals: CommandTotals,
    /// How long its calls took, in nanoseconds; made with the first one.
    latency: Option<Box<Histogram<u64>>>,
}

/// The longest latency that room is made for before there is a longer one: a second.
const LATENCY_USUAL_NS: u64 = 1_000_000_000;

/// The longest latency that is told from longer ones: a little more than an hour. On Redis it is a second, so that what
/// took ten of them looks as if it had taken one.
const LATENCY_MAX_NS: u64 = 1 << 42;

/// Digits by which latencies differ (Redis's figure).
const LATENCY_DIGITS: u8 = 2;

/// A command's counters, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandTotals {
    /// Times it ran.
    pub calls: u64,
    /// Nanoseconds it took together.
    pub total_ns: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it answered an error.
    pub failed: u64,
}

#[derive(Debug)]
struct Worker {
    counters: [AtomicU64; COUNTERS],
    commands: Box<[CommandCounters]>,
}

impl CommandCount {
    fn note_latency(&mut self, each_ns: u64, calls: u64) {
        if self.latency.is_none() {
            let made = Histogram::new_with_bounds(1, LATENCY_USUAL_NS, LATENCY_DIGITS).ok();
            self.latency = made.map(|mut made| {
                made.auto(true);
                Box::new(made)
            });
        }
        if let Some(latency) = &mut self.latency {
            // It grows for the first longer one, so there is a place for each.
            let _ = latency.record_n(each_ns.clamp(1, LATENCY_MAX_NS), calls);
        }
    }
}

/// Upper bound on distinct error codes that are counted (Redis's figure): beyond it all new ones are counted
/// as this one.
const ERROR_CODES_MAX: usize = 128;

/// Codes of the server's own errors. All others come from scripts, and only these are bounded.
const SERVER_CODES: &[&str] = &[
    "ERR",
    "WRONGTYPE",
    "NOGROUP",
    "EXECABORT",
    "NOAUTH",
    "BUSY",
    "WRONGPASS",
    "UNKILLABLE",
    "UNBLOCKED",
    "READONLY",
    "NOTBUSY",
    "NOSCRIPT",
    "NOPROTO",
    "INVALIDOBJ",
    "CROSSSLOT",
    "BUSYKEY",
    "BUSYGROUP",
    "MOVED",
    "OOM",
    "NOPERM",
    "NOSUB",
];

/// Code under which errors beyond [`ERROR_CODES_MAX`] are counted.
const ERROR_CODES_OVERFLOW: &str = "ERRORSTATS_OVERFLOW";

/// The statistics of a server.
#[derive(Debug)]
pub struct Stats {
    /// One for each worker, and one for all other threads.
    workers: Box<[CachePadded<Worker>]>,
    /// The sums at the last reset: a worker's own counters never go back.
    reset_at: [AtomicU64; COUNTERS],
    errors: Mutex<Vec<(String, u64)>>,
    /// How late the sweeper was.
    pub expiry_lags: Lags,
    tracks_latency: AtomicBool,
    /// How long commands waited for locks.
    pub lock_waits: LockWaits,
}

impl Stats {
    /// Makes counters for `workers` threads and `commands` entries, all zero.
    pub fn new(workers: usize, commands: usize) -> Self {
        let worker = || {
            CachePadded::new(Worker {
                counters: std::array::from_fn(|_| AtomicU64::new(0)),
                commands: (0..commands).map(|_| CommandCounters::default()).collect(),
            })
        };
        Self {
            workers: (0..=workers).map(|_| worker()).collect(),
            reset_at: std::array::from_fn(|_| AtomicU64::new(0)),
            errors: Mutex::new(Vec::new()),
            expiry_lags: Lags::default(),
            tracks_latency: AtomicBool::new(true),
            lock_waits: LockWaits::new(commands),
        }
    }

    /// Adds to a counter of this thread's. A worker's are written by nobody else, so it needs no atomic
    /// addition, which takes as long as twenty others; threads that are no workers share theirs.
    #[inline]
    pub fn add(&self, worker: usize, counter: Counter, by: u64) {
        if by == 0 {
            return;
        }
        let counter = &self.of(worker).counters[counter as usize];
        if worker < self.workers.len() - 1 {
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        } else {
            counter.fetch_add(by, Ordering::Relaxed);
        }
    }

    #[inline]
    fn of(&self, worker: usize) -> &Worker {
        &self.workers[worker.min(self.workers.len() - 1)]
    }

    /// The sum of a counter.
    pub fn sum(&self, counter: Counter) -> u64 {
        self.sum_ever(counter as usize)
            .saturating_sub(self.reset_at[counter as usize].load(Ordering::Relaxed))
    }

    fn sum_ever(&self, counter: usize) -> u64 {
        self.workers.iter().map(|worker| worker.counters[counter].load(Ordering::Relaxed)).sum()
    }

    /// Adds `calls` of a command and their time to the worker's counters.
    #[inline]
    pub fn commands_ran(&self, worker: usize, command: usize, calls: u64, took_ns: u64, failed: u64) {
        self.add(worker, Counter::ActiveNs, took_ns);
        let mut count = self.of(worker).commands[command].lock();
        count.totals.calls += calls;
        count.totals.total_ns += took_ns;
        count.totals.failed += failed;
        if self.tracks_latency.load(Ordering::Relaxed) {
            // Of calls that were timed together each counts as an equal part.
            count.note_latency(if calls > 1 { took_ns / calls } else { took_ns }, calls);
        }
    }

    /// Sets whether the latency of commands is kept (`latency-tracking`).
    pub fn set_tracks_latency(&self, tracks: bool) {
        self.tracks_latency.store(tracks, Ordering::Relaxed);
    }

    /// The latency of a command at these percentiles, in nanoseconds; `None` if none was kept.
    pub fn latency_ns(&self, command: usize, percentiles: &[f64]) -> Option<Vec<u64>> {
        let all = self.latencies(command)?;
        Some(percentiles.iter().map(|percentile| all.value_at_quantile(percentile / 100.0)).collect())
    }

    fn latencies(&self, command: usize) -> Option<Box<Histogram<u64>>> {
        let mut all: Option<Box<Histogram<u64>>> = None;
        for worker in &self.workers {
            let count = worker.commands[command].lock();
            match (&mut all, count.latency.as_ref()) {
                (_, None) => {}
                (None, Some(one)) => all = Some(one.clone()),
                // It grows as the other one did.
                (Some(all), Some(one)) => all.add(&**one).ok()?,
            }
        }
        all
    }

    /// How many calls of a command took at most how many microseconds, in steps that double; `None` if no
    /// latency was kept.
    pub fn latency_steps(&self, command: usize) -> Option<Vec<(u64, u64)>> {
        let all = self.latencies(command)?;
        let mut steps = Vec::new();
        let (mut step_ns, mut counted) = (1024, 0);
        while counted < all.len() {
            let at_most_ns = all.highest_equivalent(step_ns);
            let count = all.count_between(0, at_most_ns);
            if count > counted {
                steps.push((at_most_ns / 1000, count));
                counted = count;
            }
            if step_ns > 2 * LATENCY_MAX_NS {
                break;
            }
            step_ns *= 2;
        }
        Some(steps)
    }

    /// Counts a command that was refused before it ran.
    pub fn command_rejected(&self, worker: usize, command: usize) {
        self.of(worker).commands[command].lock().totals.rejected += 1;
    }

    /// A command's counters.
    pub fn command(&self, command: usize) -> CommandTotals {
        let mut totals = CommandTotals::default();
        for worker in &self.workers {
            let counted = worker.commands[command].lock().totals;
            totals.calls += counted.calls;
            totals.total_ns += counted.total_ns;
            totals.rejected += counted.rejected;
            totals.failed += counted.failed;
        }
        totals
    }

    /// Nanoseconds that all commands took together.
    pub fn total_command_ns(&self) -> u64 {
        let commands = self.workers.iter().flat_map(|worker| worker.commands.iter());
        commands.map(|command| command.lock().totals.total_ns).sum()
    }

    /// Counts an error reply by its code.
    pub fn error(&self, worker: usize, code: &str) {
        self.add(worker, Counter::ErrorReplies, 1);
        let mut errors = self.errors.lock();
        if let Some((_, count)) = errors.iter_mut().find(|(known, _)| known == code) {
            *count += 1;
        } else if errors.len() < ERROR_CODES_MAX || SERVER_CODES.contains(&code) {
            errors.push((code.to_owned(), 1));
        } else {
            match errors.iter_mut().find(|(known, _)| known == ERROR_CODES_OVERFLOW) {
                Some((_, count)) => *count += 1,
                None => errors.push((ERROR_CODES_OVERFLOW.to_owned(), 1)),
            }
        }
    }

    /// Error codes and how often they were answered, by code.
    pub fn errors(&self) -> Vec<(String, u64)> {
        let mut errors = self.errors.lock().clone();
        errors.sort();
        errors
    }

    /// Starts anew (CONFIG RESETSTAT).
    pub fn reset(&self) {
        for (index, reset_at) in self.reset_at.iter().enumerate() {
            // Changes are counted for the replication offset too, which never goes back.
            if index != Counter::Changes as usize {
                reset_at.store(self.sum_ever(index), Ordering::Relaxed);
            }
        }
        for command in self.workers.iter().flat_map(|worker| &worker.commands) {
            *command.lock() = CommandCount::default();
        }
        self.errors.lock().clear();
        self.lock_waits.reset();
        self.expiry_lags.reset();
    }
}

/// How much happens a second, between the last two looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Commands, as INFO's `total_commands_processed` counts them.
    pub commands_per_s: f64,
    /// Bytes read.
    pub input_bytes_per_s: f64,
    /// Bytes written.
    pub output_bytes_per_s: f64,
    /// Bytes read from the primary.
    pub repl_input_bytes_per_s: f64,
    /// Bytes sent to replicas.
    pub repl_output_bytes_per_s: f64,
    measured_ns: u64,
    totals: [u64; 5],
}

impl Rates {
    /// Takes note of the totals at a monotonic time: commands, bytes read and written, bytes from the primary
    /// and to replicas.
    pub fn measure(&mut self, now_ns: u64, totals: [u64; 5]) {
        let seconds = now_ns.saturating_sub(self.measured_ns) as f64 / 1e9;
        if seconds > 0.0 {
            // A reset makes totals smaller: that second counts as quiet.
            let rate = |index: usize| totals[index].saturating_sub(self.totals[index]) as f64 / seconds;
            self.commands_per_s = rate(0);
            self.input_bytes_per_s = rate(1);
            self.output_bytes_per_s = rate(2);
            self.repl_input_bytes_per_s = rate(3);
            self.repl_output_bytes_per_s = rate(4);
        }
        self.measured_ns = now_ns;
        self.totals = totals;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command of ten seconds is told from one of a second, also where another worker ran only short ones.
    #[test]
    fn long_latencies_are_told_apart() {
        let stats = Stats::new(2, 1);
        stats.commands_ran(0, 0, 90, 90 * 1_000, 0);
        stats.commands_ran(1, 0, 1, 2_000_000_000, 0);
        stats.commands_ran(1, 0, 1, 10_000_000_000, 0);
        stats.commands_ran(1, 0, 1, u64::MAX / 2, 0);
        let of = |percentile| stats.latency_ns(0, &[percentile]).expect("it was kept")[0] as f64 / 1e9;
        assert!((of(97.5) / 2.0 - 1.0).abs() < 0.01, "{}", of(97.5));
        assert!((of(98.5) / 10.0 - 1.0).abs() < 0.01, "{}", of(98.5));
        let steps = stats.latency_steps(0).expect("it was kept");
        let counts: Vec<u64> = steps.iter().map(|(_, calls)| *calls).collect();
        assert_eq!(counts, [90, 91, 92, 93]);
        let bounds_s: Vec<u64> = steps.iter().map(|(at_most_us, _)| at_most_us / 1_000_000).collect();
        assert_eq!(bounds_s[1..3], [2, 17], "{steps:?}");
    }
}
