//! The access clock of a record: 24 bits that say when it was last used (LRU), how often (LFU),
//! or when it was last changed (LRM).

use super::record::Record;

/// The present reading of the access clock, which reads and writes store in the record they use; under LRM
/// only changes do.
#[derive(Clone, Copy, Debug)]
pub enum AccessClock {
    /// Least recently used: seconds of Unix time, 24 bits.
    Lru(u32),
    /// Least recently modified: seconds as under LRU.
    Lrm(u32),
    /// Least frequently used: minutes (16 bits) above a logarithmic counter (8 bits).
    Lfu {
        /// Minutes of Unix time, 16 bits.
        minutes: u32,
        /// `lfu-log-factor`.
        log_factor: u32,
        /// `lfu-decay-time` in minutes.
        decay_minutes: u32,
    },
}

/// LFU counter of a new key: not 0, or the key would be evicted before its first use (Redis's figure).
const LFU_INITIAL: u32 = 5;

/// Access clock that a new record gets.
pub fn fresh_access(clock: AccessClock) -> u32 {
    match clock {
        AccessClock::Lru(seconds) | AccessClock::Lrm(seconds) => seconds,
        AccessClock::Lfu { minutes, .. } => minutes << 8 | LFU_INITIAL,
    }
}

/// The LFU counter of an access value, decayed to now.
pub fn lfu_counter(access: u32, minutes: u32, decay_minutes: u32) -> u32 {
    let idle = minutes.wrapping_sub(access >> 8) & 0xffff;
    let periods = idle.checked_div(decay_minutes).unwrap_or(0);
    (access & 0xff).saturating_sub(periods)
}

/// Stores the present reading in a record that is being read or written.
#[inline]
pub fn date(record: &Record, clock: AccessClock) {
    let old = record.access();
    let new = match clock {
        AccessClock::Lru(seconds) => seconds,
        AccessClock::Lrm(_) => old,
        AccessClock::Lfu { minutes, log_factor, decay_minutes } => {
            let counter = lfu_counter(old, minutes, decay_minutes);
            minutes << 8 | lfu_increment(counter, log_factor)
        }
    };
    // Stored only when it changed, so that most reads of a hot key leave its cache line clean.
    if new != old {
        record.set_access(new);
    }
}

/// Stores the present reading in a record that a command has changed.
#[inline]
pub fn date_change(record: &Record, clock: AccessClock) {
    if let AccessClock::Lrm(seconds) = clock
        && record.access() != seconds
    {
        record.set_access(seconds);
    }
}

/// Logarithmic counting: the higher the counter, the less probable the next step (Redis's rule).
fn lfu_increment(counter: u32, log_factor: u32) -> u32 {
    if counter >= 255 {
        return 255;
    }
    let base = counter.saturating_sub(LFU_INITIAL);
    let probability = 1.0 / (f64::from(base) * f64::from(log_factor) + 1.0);
    if fastrand::f64() < probability { counter + 1 } else { counter }
}
