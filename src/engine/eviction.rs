//! `maxmemory`: keys are evicted before a command that may need memory, a bounded share, and the rest in the
//! background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use super::Server;
use super::batch::Batch;
use super::client::Client;
use super::giving_back::GivingBack;
use super::request::Request;
use crate::command::spec::Flags;
use crate::config::Directive;
use crate::keyspace::evict::Look;
use crate::shared::client::SharedClient;
use crate::shared::stats::Counter;

/// Keys evicted between two looks at the clock and the memory, as long as they are small: bytes of keys after which
/// memory is looked at at once. Large ones are not to take others with them.
const STEP: u64 = 8;
const STEP_BYTES: usize = 16 << 10;

/// How long the background evicts before it lets others through.
const TURN_US: u64 = 500;

/// Pause between two turns in the background, and between two looks at the memory while there is a limit.
const PAUSE: Duration = Duration::from_micros(200);
const LOOK: Duration = Duration::from_millis(20);

/// Pause between two looks at the memory while there is no limit.
const LOOK_IDLE: Duration = Duration::from_millis(100);

/// Least time between two looks at clients' memory for the sake of keys.
const CLIENTS_LOOK_NS: u64 = 1_000_000;

/// Where something heavy holds the slots of all that could be evicted, nobody is refused as long as memory is over its
/// limit by no more than this share of it, or these bytes: eviction goes on when the slots are free.
const HELD_SHARE: u64 = 16;
const HELD_MIN: u64 = 8 << 20;

/// How long a refusal for want of memory is remembered, in milliseconds.
pub(super) const REFUSAL_MS: u64 = 10_000;

/// What the server holds for a request while that runs, as a multiple of its bytes: its buffer has grown in steps, and
/// what is stored is copied from it.
const HELD_FOR_REQUEST: u64 = 4;

/// What may be held for requests that run beside it, in bytes: where less is free than that, the next request like it
/// is taken to be refused as well, until one has run.
const HELD_BESIDE: u64 = 2 * 1024 * 1024;

/// What an attempt to get below the limit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// The limit holds.
    Made,
    /// It does not yet hold: what is evicted is still being freed, or the time was over.
    Coming,
    /// There is nothing to evict.
    None,
}

impl Server {
    /// Bytes above `maxmemory`; 0 while it holds. What the journal takes does not count, nor what a snapshot
    /// still has to write though it has changed or gone since: evicting more would not make that less. Nor does what
    /// was evicted and is being freed.
    #[inline]
    pub fn bytes_over_limit(&self) -> u64 {
        let limit = self.settings.maxmemory();
        let over = if limit == 0 { 0 } else { self.used_memory().saturating_sub(limit) };
        if over == 0 { 0 } else { self.without_uncounted(over) }
    }

    #[cold]
    fn without_uncounted(&self, over: u64) -> u64 {
        over.saturating_sub(self.uncounted_bytes())
    }

    /// Bytes in use that do not count against `maxmemory`.
    fn uncounted_bytes(&self) -> u64 {
        let (handed_over, freed) =
            (self.keyspace.handover.bytes(), self.keyspace.reaper.pending_evicted_bytes());
        self.journal().all_memory_bytes() + (handed_over + freed) as u64
    }

    /// Evicts before a command if memory is over `maxmemory`. Returns false for a command with DENYOOM where
    /// nothing more can be evicted. The caller holds no slot's lock.
    pub(super) fn has_room(&self, client: &mut Client, request: &Request<'_>, batch: &mut Batch<'_>) -> bool {
        let simulated = !client.is_inside && !client.is_loader && self.simulation.lacks_memory();
        let room = !simulated && (client.is_loader || self.bytes_over_limit() == 0 || self.evict_for(batch));
        // Scripts judge their own commands by it.
        client.out_of_memory = !room;
        let flags = request.entry.spec.flags;
        let needs_memory = flags.has(Flags::DENYOOM)
            || flags.has(Flags::RUNS_QUEUE)
                && client.transaction.as_ref().is_some_and(|queued| queued.flags.has(Flags::DENYOOM));
        let is_refused = !room && needs_memory;
        if needs_memory && !simulated && (is_refused || self.upkeep.memory_refusals.has_any()) {
            self.note_refusal(client, request, is_refused, batch.now_ms);
        }
        !is_refused
    }

    #[cold]
    fn note_refusal(&self, client: &Client, request: &Request<'_>, is_refused: bool, now_ms: u64) {
        let queued =
            client.transaction.as_ref().map_or(0, |_| client.shared.queued_bytes.load(Ordering::Relaxed));
        let bytes = queued + request.arguments.iter().map(|argument| argument.len()).sum::<usize>();
        if is_refused {
            self.upkeep.memory_refusals.note(bytes as u64, now_ms);
        } else {
            self.upkeep.memory_refusals.forget_up_to(bytes as u64, now_ms);
        }
    }

    /// The bytes of a request that was refused a moment ago for want of memory and does not fit in now either, and
    /// those that are free; `None` where there is none, or memory is over its limit without it.
    pub(super) fn request_without_room(&self, now_ms: u64) -> Option<(u64, u64)> {
        let limit = self.settings.maxmemory();
        let bytes = self.upkeep.memory_refusals.recent(now_ms)?;
        if limit == 0 || self.bytes_over_limit() > 0 {
            return None;
        }
        let room = limit.saturating_add(self.uncounted_bytes()).saturating_sub(self.used_memory());
        (bytes.saturating_mul(HELD_FOR_REQUEST).max(HELD_BESIDE) > room).then_some((bytes, room))
    }

    /// Whether nothing is evicted, however much memory is used: as long as no key is removed at all, but for a
    /// replica that is not to leave it to its primary (`replica-ignore-maxmemory no`).
    fn evicts_nothing(&self, now_ms: u64) -> bool {
        if self.following.is_replica() && !self.config.flag(Directive::ReplicaIgnoreMaxmemory) {
            return self.keeps_all_keys(now_ms);
        }
        self.keeps_keys(now_ms)
    }

    fn note_room(&self, room: Room) {
        let found_nothing = &self.upkeep.found_nothing_to_evict;
        // Written only where it changes: threads that refuse share it.
        if found_nothing.load(Ordering::Relaxed) != (room == Room::None) {
            found_nothing.store(room == Room::None, Ordering::Relaxed);
        }
    }

    /// Bytes over `maxmemory` for which nothing can be evicted, so that commands that need memory are refused; `None`
    /// where none is.
    pub(super) fn bytes_over_what_can_be_evicted(&self, now_ms: u64) -> Option<u64> {
        let over = self.bytes_over_limit();
        let refuses = over > 0
            && !self.evicts_nothing(now_ms)
            && (self.settings.eviction().policy.is_none()
                || self.upkeep.found_nothing_to_evict.load(Ordering::Relaxed));
        refuses.then_some(over)
    }

    #[cold]
    fn evict_for(&self, batch: &mut Batch<'_>) -> bool {
        // Eviction enters the gate by itself, and its time is that of the request that follows.
        batch.shared = None;
        self.begin_streak(usize::MAX, batch);
        let began_ns = self.clock.monotonic_ns();
        let limit_us = self.settings.eviction().limit_us;
        let room = self.evict_within(batch, limit_us);
        self.note_room(room);
        batch.waits.get_or_insert_default().evict_ns += self.clock.monotonic_ns() - began_ns;
        match room {
            Room::Made => true,
            Room::Coming => {
                self.upkeep.keeper.wake();
                true
            }
            Room::None => false,
        }
    }

    fn evict_within(&self, batch: &mut Batch<'_>, limit_us: Option<u64>) -> Room {
        let settings = self.settings.eviction();
        if self.evicts_nothing(batch.now_ms) {
            return Room::Made; // Nobody is refused for it.
        }
        let start_ns = self.clock.monotonic_ns();
        if self.settings.clients_limit() > 0 && self.clients_make_room(start_ns) {
            return Room::Coming;
        }
        let Some(policy) = settings.policy else { return Room::None };
        // What is alone in the keyspace may be so for long; nothing is written meanwhile.
        let worker = crate::worker::current();
        if self.is_slow() && self.keyspace.gate.shared_unless(worker, || true).is_none() {
            return Room::Coming;
        }
        // While another thread evicts, memory is on its way.
        let Some(mut evictor) = self.upkeep.evictor.try_lock() else { return Room::Coming };
        // Files that are read again hold what would be evicted now.
        if self.loading.is_active() {
            return Room::Made;
        }
        let look =
            Look { policy, samples: settings.samples, clock: self.settings.access_clock(batch.now_ms) };
        evictor.saw_held = false;
        let limit = self.settings.maxmemory();
        let mut evicted = 0;
        let room = loop {
            if self.bytes_over_limit() == 0 {
                break Room::Made;
            }
            if evicted > 0 && self.keyspace.reaper.pending() > 0 {
                break Room::Coming;
            }
            let mut bytes = 0;
            for _ in 0..STEP {
                let Some(of_key) = evictor.evict_one(&self.keyspace, &batch.changes, &look) else { break };
                evicted += 1;
                bytes += of_key;
                if bytes >= STEP_BYTES {
                    break;
                }
            }
            if evicted == 0 {
                let is_held = evictor.saw_held && self.bytes_over_limit() <= HELD_MIN.max(limit / HELD_SHARE);
                break if is_held || self.keyspace.reaper.pending() > 0 { Room::Coming } else { Room::None };
            }
            let took_us = (self.clock.monotonic_ns() - start_ns) / 1000;
            if limit_us.is_some_and(|limit_us| took_us >= limit_us) {
                break if self.bytes_over_limit() == 0 { Room::Made } else { Room::Coming };
            }
        };
        let took_ms = (self.clock.monotonic_ns() - start_ns) / 1_000_000;
        self.logs.latency.note("eviction-cycle", took_ms, self.clock.now_ms());
        self.stats.add(crate::worker::current(), Counter::EvictedKeys, evicted);
        self.count_changes(evicted);
        room
    }

    /// Whether clients over `maxmemory-clients`, which are looked for once a millisecond, hold as much as is over
    /// the limit: no key is evicted for what they are about to give back.
    fn clients_make_room(&self, now_ns: u64) -> bool {
        let looked_ns = &self.upkeep.clients_looked_ns;
        let last_ns = looked_ns.load(Ordering::Relaxed);
        if now_ns.saturating_sub(last_ns) >= CLIENTS_LOOK_NS
            && looked_ns.compare_exchange(last_ns, now_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.evict_clients();
        }
        self.upkeep.leaving_bytes.load(Ordering::Relaxed) >= self.bytes_over_limit().max(1)
    }

    /// Disconnects the clients with the most memory until all together are within `maxmemory-clients`.
    /// Clients with CLIENT NO-EVICT on are spared. Replicas have a limit of their own and do not count. The
    /// [`Keeper`] does it every few milliseconds, and CLIENT LIST before it looks.
    pub fn evict_clients(&self) {
        let limit = self.settings.clients_limit();
        if limit == 0 {
            self.upkeep.leaving_bytes.store(0, Ordering::Relaxed);
            return;
        }
        // Two at a time would count those twice that both find too large.
        let _one = self.upkeep.evicting_clients.lock();
        let mut total = 0;
        let mut clients = Vec::new();
        // What a client that is being closed still holds is as good as free: nobody else has to go for it.
        let is_link = |client: &Arc<SharedClient>| {
            client.replica.load(Ordering::Relaxed) || client.primary.load(Ordering::Relaxed)
        };
        let mut leaving = 0;
        for client in self.clients.all().into_iter().filter(|client| !is_link(client)) {
            let bytes = client.memory_bytes();
            if client.is_closing() {
                leaving += bytes;
                continue;
            }
            total += bytes;
            if !client.no_evict.load(Ordering::Relaxed) {
                clients.push((bytes, client));
            }
        }
        self.upkeep.leaving_bytes.store(leaving as u64, Ordering::Relaxed);
        if total <= limit {
            return;
        }
        clients.sort_unstable_by_key(|(bytes, client)| (std::cmp::Reverse(*bytes), client.id));
        for (bytes, client) in clients {
            if total <= limit {
                break;
            }
            total -= bytes;
            self.upkeep.leaving_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            // Before it can see that it is closed.
            self.stats.add(crate::worker::NONE, Counter::EvictedClients, 1);
            client.cut();
            tracing::info!(
                client = client.id,
                bytes,
                "disconnected: clients take more than maxmemory-clients"
            );
        }
    }

    /// Evicts for one turn of [`TURN_US`]. Returns whether there is more to do.
    fn evict_in_background(&self) -> bool {
        if self.bytes_over_limit() == 0 || self.evicts_nothing(self.clock.now_ms()) {
            return false;
        }
        let mut batch = self.new_batch();
        let room = self.evict_within(&mut batch, Some(TURN_US));
        self.note_room(room);
        self.account_batch(&mut batch);
        room == Room::Coming
    }
}

/// The latest commands that were refused for want of memory.
#[derive(Debug, Default)]
pub struct MemoryRefusals {
    /// When the last one was; 0 for never.
    at_ms: AtomicU64,
    /// Bytes of the largest one that is remembered.
    bytes: AtomicU64,
}

impl MemoryRefusals {
    /// Notes one of so many bytes.
    #[cold]
    fn note(&self, bytes: u64, now_ms: u64) {
        // Both are written only where they change: threads that refuse share them.
        if self.recent(now_ms).is_none_or(|known| known < bytes) {
            self.bytes.store(bytes, Ordering::Relaxed);
        }
        if self.at_ms.load(Ordering::Relaxed) != now_ms {
            self.at_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Whether any is remembered.
    #[inline]
    fn has_any(&self) -> bool {
        self.at_ms.load(Ordering::Relaxed) != 0
    }

    /// Forgets them where a command of so many bytes has run that is as large as all of them, and those of long ago.
    fn forget_up_to(&self, bytes: u64, now_ms: u64) {
        if self.recent(now_ms).is_none_or(|known| bytes >= known) {
            self.at_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Bytes of the largest one, where the last one was in the last [`REFUSAL_MS`].
    fn recent(&self, now_ms: u64) -> Option<u64> {
        let at_ms = self.at_ms.load(Ordering::Relaxed);
        let is_recent = at_ms > 0 && now_ms.saturating_sub(at_ms) <= REFUSAL_MS;
        is_recent.then(|| self.bytes.load(Ordering::Relaxed))
    }
}

/// How long the memory has been over its limit, as far as the [`Keeper`] has seen.
#[derive(Debug, Default)]
pub struct TimeOver {
    /// Nanoseconds over the limit, without the present time.
    total_ns: AtomicU64,
    /// Monotonic time at which the limit was last exceeded; 0 while it holds.
    since_ns: AtomicU64,
}

impl TimeOver {
    fn note(&self, is_over: bool, now_ns: u64) {
        let since_ns = self.since_ns.load(Ordering::Relaxed);
        if is_over && since_ns == 0 {
            self.since_ns.store(now_ns.max(1), Ordering::Relaxed);
        } else if !is_over && since_ns > 0 {
            self.since_ns.store(0, Ordering::Relaxed);
            self.total_ns.fetch_add(now_ns.saturating_sub(since_ns), Ordering::Relaxed);
        }
    }

    /// Milliseconds over the limit: altogether, and since it was last exceeded.
    pub fn ms(&self, now_ns: u64) -> (u64, u64) {
        let current_ns = match self.since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since_ns => now_ns.saturating_sub(since_ns),
        };
        ((self.total_ns.load(Ordering::Relaxed) + current_ns) / 1_000_000, current_ns / 1_000_000)
    }

    /// Begins anew (CONFIG RESETSTAT).
    pub fn reset(&self) {
        self.total_ns.store(0, Ordering::Relaxed);
    }
}

/// Wakes the [`Keeper`]'s thread.
#[derive(Debug, Default)]
pub struct KeeperCall {
    /// Set to have all threads that run commands woken.
    stir: AtomicBool,
    thread: parking_lot::RwLock<Option<Thread>>,
}

impl KeeperCall {
    /// Has all threads that run commands woken, so that they return free memory.
    pub fn wake_all(&self) {
        self.stir.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Wakes the thread, as there is something to evict.
    pub fn wake(&self) {
        if let Some(thread) = &*self.thread.read() {
            thread.unpark();
        }
    }
}

/// The thread that keeps the memory within its limit, and gives what is free back to the system; ends when
/// dropped.
#[derive(Debug)]
pub struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it. `stir` has the threads that run commands do something, each for so long, so that they give back
    /// memory although nobody sends anything.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(server: Arc<Server>, stir: impl Fn(Duration) + Send + 'static) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watched = Arc::clone(&server);
        server.health.keeper.set_rests(false);
        let thread = std::thread::Builder::new().name("kvarts-memory".into()).spawn(move || {
            watched.health.keeper.belongs_here();
            let mut giving_back = GivingBack::new(&watched);
            while !stopped.load(Ordering::Acquire) {
                watched.answer(&watched.health.keeper);
                let more = watched.evict_in_background();
                watched.upkeep.time_over.note(watched.bytes_over_limit() > 0, watched.clock.monotonic_ns());
                watched.evict_clients();
                let is_asked = watched.upkeep.keeper.stir.swap(false, Ordering::Relaxed);
                giving_back.look(&watched, is_asked, &stir);
                let has_limit = watched.settings.maxmemory() > 0 || watched.settings.clients_limit() > 0;
                let pause = match (more, has_limit) {
                    (true, _) => PAUSE,
                    (false, true) => LOOK,
                    (false, false) => LOOK_IDLE,
                };
                std::thread::park_timeout(pause);
            }
        })?;
        *server.upkeep.keeper.thread.write() = Some(thread.thread().clone());
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refused requests are remembered until one as large has run, or for a while: smaller ones that run say nothing of
    /// them, and are not to look for ever.
    #[test]
    fn refusals_are_forgotten() {
        let refusals = MemoryRefusals::default();
        assert!(!refusals.has_any());
        refusals.note(100, 5_000);
        refusals.note(10, 6_000);
        assert_eq!(refusals.recent(16_000), Some(100));
        refusals.forget_up_to(99, 16_000);
        assert!(refusals.has_any());
        refusals.forget_up_to(99, 16_001);
        assert!(!refusals.has_any(), "it is long ago");
        refusals.note(10, 20_000);
        refusals.forget_up_to(10, 20_000);
        assert_eq!(refusals.recent(20_000), None);
    }
}
