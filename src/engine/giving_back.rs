//! [`GivingBack`]: when memory that was freed goes back to the system.
//!
//! The allocator keeps pages that have become free for a second, and gives back those that are older when threads
//! allocate. Blocks that one thread frees of another's pages wait until that other one looks. So where nothing happens
//! any more nothing is given back: the keeper's thread sees to that.

use std::time::{Duration, Instant};

use super::Server;
use crate::alloc;
use crate::shared::stats::Counter;

/// Least difference, in bytes, of memory in use to its last peak from which on all threads are asked to return free
/// pages. It is an eighth of the peak where that is more.
const FELL_MIN_BYTES: u64 = 4 << 20;

/// The same while hardly anything happens: what is given back then is missed by nobody.
const FELL_IDLE_BYTES: u64 = 1 << 20;

/// Time between two looks at how much happens, and at pages that have been free for long.
const TICK: Duration = Duration::from_secs(1);

/// Commands in such a time up to which hardly anything happens.
const IDLE_COMMANDS: u64 = 100;

/// Time between two attempts to wake the threads that have not given back yet, and how many there are.
const STIR_EVERY: Duration = Duration::from_millis(20);
const STIRS_MAX: u32 = 50;

/// How long a thread that is woken is kept while hardly anything happens, so that the next one is woken as well.
const KEPT: Duration = Duration::from_micros(300);

/// What the keeper knows of memory to be given back.
#[derive(Debug)]
pub(super) struct GivingBack {
    /// The most that was in use since all threads were asked.
    high_bytes: u64,
    next_tick: Instant,
    /// Commands up to the last tick.
    commands: u64,
    /// Whether hardly anything has happened between the last two ticks.
    is_idle: bool,
    next_stir: Instant,
    stirs_left: u32,
}

impl GivingBack {
    pub(super) fn new(server: &Server) -> Self {
        let now = Instant::now();
        let commands = server.stats.sum(Counter::CommandsProcessed);
        Self { high_bytes: 0, next_tick: now + TICK, commands, is_idle: false, next_stir: now, stirs_left: 0 }
    }

    /// Looks at the memory, and has threads give back what is free where that is worth it, or `is_asked` for. `stir`
    /// has the threads that run commands do something, each for so long.
    pub(super) fn look(&mut self, server: &Server, is_asked: bool, stir: impl Fn(Duration)) {
        let now = Instant::now();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            let commands = server.stats.sum(Counter::CommandsProcessed);
            // CONFIG RESETSTAT lets it begin anew.
            self.is_idle = commands.wrapping_sub(self.commands) < IDLE_COMMANDS;
            self.commands = commands;
            alloc::give_back_old();
        }
        let used_bytes = alloc::allocated_bytes().unwrap_or(0);
        self.high_bytes = self.high_bytes.max(used_bytes);
        let least = if self.is_idle { FELL_IDLE_BYTES } else { FELL_MIN_BYTES.max(self.high_bytes / 8) };
        let is_due = used_bytes + least < self.high_bytes && server.keyspace.reaper.pending() == 0;
        if is_due || is_asked {
            alloc::ask_back();
            self.high_bytes = used_bytes;
            (self.stirs_left, self.next_stir) = (STIRS_MAX, now);
        }
        if self.stirs_left > 0 && now >= self.next_stir {
            self.next_stir = now + STIR_EVERY;
            self.stir(server, stir);
        }
    }

    /// Wakes threads that sleep and have not given back yet. Those that do not sleep do it when they next have nothing
    /// to do.
    fn stir(&mut self, server: &Server, stir: impl Fn(Duration)) {
        let asked = alloc::asked_back();
        let waits = server.health.workers.lives().any(|life| life.rests && life.gave_back != asked);
        self.stirs_left = if waits { self.stirs_left - 1 } else { 0 };
        if waits {
            stir(if self.is_idle { KEPT } else { Duration::ZERO });
        }
        if self.stirs_left == 0 {
            // Pages that one thread gave back while another one was at it.
            alloc::give_back_all();
        }
    }
}
