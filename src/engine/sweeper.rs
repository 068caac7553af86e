//! The sweeper: a thread that removes keys when they end, so that their events come on time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Server;
use crate::keyspace::sweep::{self, Swept};
use crate::keyspace::turns::Trying;
use crate::shared::stats::Counter;

/// Most keys, fields and members removed in one pass, before the gate of the keyspace is left.
const BUDGET: u64 = 256;

/// Sleeps no shorter than this between passes: so many keys due within it are removed together.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// Sleeps no longer than this: a key with a short TTL that is set while the sweeper sleeps is found within
/// it. This is what bounds the lag, and looking at the next times costs microseconds.
const SLEEP_MAX: Duration = Duration::from_millis(4);

/// Sleeps no longer than this while no key has a TTL.
const SLEEP_IDLE: Duration = Duration::from_millis(8);

/// The sweeper's thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Sweeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(server: Arc<Server>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        server.health.sweeper.set_rests(false);
        let thread = std::thread::Builder::new().name("kvarts-expiry".into()).spawn(move || {
            server.health.sweeper.belongs_here();
            while !stopped.load(Ordering::Acquire) {
                server.answer(&server.health.sweeper);
                server.clock.follow();
                server.logs.observation.next_tick();
                server.keyspace.fill_sizes();
                server.retry_postponed();
                let sleep = if server.upkeep.active_expiry.load(Ordering::Relaxed) {
                    server.expire_some(false);
                    sleep_for(&server)
                } else {
                    *server.upkeep.sweeping.lock() = Trying::default();
                    SLEEP_IDLE
                };
                std::thread::park_timeout(sleep);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

impl Server {
    /// Returns whether expiry and eviction rest: during CLIENT PAUSE (Redis's rule), in `import-mode`, on a
    /// replica, where the primary decides, and while the data are loaded: what has ended may be needed by the
    /// changes that are repeated.
    pub fn keeps_keys(&self, now_ms: u64) -> bool {
        self.following.is_replica() || self.keeps_all_keys(now_ms)
    }

    /// Whether no key is removed at all that is not deleted.
    pub(super) fn keeps_all_keys(&self, now_ms: u64) -> bool {
        self.settings.import_mode() || self.pause.in_force(now_ms).is_some() || self.loading.is_active()
    }

    /// How long something that was due could not be looked at, as somebody holds its slot or all of them, in
    /// milliseconds; 0 where nobody does. It may be an entry that is out of date.
    pub fn expiry_held_up_ms(&self) -> u64 {
        let now_ms = self.clock.now_ms();
        if !self.upkeep.active_expiry.load(Ordering::Relaxed) || self.keeps_keys(now_ms) {
            return 0;
        }
        now_ms.saturating_sub(self.upkeep.expiry_held_up_ms.load(Ordering::Relaxed))
    }

    /// Removes everything that is due now. Returns the number of keys, fields and members.
    pub fn expire_due(&self) -> u64 {
        self.expire_some(true)
    }

    /// [`expire_due`](Self::expire_due), which waits for the end of what is alone in the keyspace where it
    /// `waits`, and else removes nothing meanwhile.
    fn expire_some(&self, waits: bool) -> u64 {
        // One sweep at a time: when this call returns, no other sweep has a key half removed.
        let mut trying = self.upkeep.sweeping.lock();
        let mut held_up = std::mem::take(&mut *trying);
        let now_ms = self.clock.now_ms();
        if self.following.is_replica() && !self.keeps_all_keys(now_ms) {
            return self.expire_own_keys(now_ms);
        }
        if self.keeps_keys(now_ms) {
            return 0; // What has ended reads as absent, and is removed later.
        }
        let mut total = 0;
        let mut took_ns = 0;
        loop {
            self.answer(&self.health.sweeper);
            let mut batch = self.new_batch();
            let clock_ns = || self.clock.monotonic_ns();
            let (now_ms, began_ns) = (self.clock.now_ms(), clock_ns());
            let swept = sweep::expire_due(&self.keyspace, &batch.changes, now_ms, BUDGET, &clock_ns);
            let Swept {
                expired,
                expired_fields,
                expired_members,
                lag_max_ms,
                more,
                is_shut_out,
                held_up_at,
                waited_ns,
            } = swept;
            let is_left = is_shut_out || held_up_at.is_some();
            match held_up_at {
                Some((physical, slot)) => held_up.failed(&self.keyspace, physical, slot),
                None => held_up = Trying::default(),
            }
            let left_ms = if is_left { sweep::next_due_ms(&self.keyspace) } else { u64::MAX };
            self.upkeep.expiry_held_up_ms.store(left_ms, Ordering::Relaxed);
            // Neither waiting for others nor what runs for clients that waited is the work of expiry.
            took_ns += clock_ns().saturating_sub(began_ns + waited_ns);
            if batch.changes.any_ready() {
                self.serve_waiting(&mut batch);
                self.account_batch(&mut batch);
            }
            let ended = swept.removed();
            if ended > 0 {
                total += ended;
                self.stats.add(crate::worker::NONE, Counter::ExpiredKeys, expired);
                self.stats.add(crate::worker::NONE, Counter::ExpiredFields, expired_fields);
                self.stats.add(crate::worker::NONE, Counter::ExpiredMembers, expired_members);
                self.stats.expiry_lags.note(lag_max_ms, now_ms);
                self.count_changes(ended);
            }
            if !(more || is_shut_out && waits) {
                self.stats.add(crate::worker::NONE, Counter::ExpireCycleNs, took_ns);
                self.logs.latency.note_work("expire-cycle", took_ns / 1_000_000, self.clock.now_ms(), total);
                *trying = held_up;
                return total;
            }
        }
    }
}

fn sleep_for(server: &Server) -> Duration {
    let next_ms = sweep::next_due_ms(&server.keyspace);
    if next_ms == u64::MAX {
        return SLEEP_IDLE;
    }
    Duration::from_millis(next_ms.saturating_sub(server.clock.now_ms())).clamp(SLEEP_MIN, SLEEP_MAX)
}
