//! [`LockWaits`]: how long commands waited for locks of slots and for the gate of the keyspace, by command.
//!
//! Only waits of a microsecond or more are told here, so a lock that is free costs nothing. KVARTS SLOW LOCKS
//! and Prometheus read them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Waits below this are not counted.
const LEAST_NS: u64 = 1_000;

/// Steps of a histogram: the bound of the first is [`LEAST_NS`], each other one's is four times the one
/// before, the last is 17 seconds.
const STEPS: usize = 13;

/// The waits of all commands. Room for a command's is made with its first.
#[derive(Debug)]
pub struct LockWaits {
    commands: Box<[OnceLock<Box<CommandWaits>>]>,
}

/// The waits of one command. The last step has those above all bounds.
#[derive(Debug, Default)]
struct CommandWaits {
    steps: [AtomicU64; STEPS + 1],
    total_ns: AtomicU64,
    longest_ns: AtomicU64,
}

/// What is known of one command's waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// How many there were.
    pub count: u64,
    /// How long they took together.
    pub total_ns: u64,
    /// How long the longest took.
    pub longest_ns: u64,
    /// For each bound in microseconds how many took no longer.
    pub steps: [(u64, u64); STEPS],
}

impl LockWaits {
    /// Of so many commands.
    pub fn new(commands: usize) -> Self {
        Self { commands: (0..commands).map(|_| OnceLock::new()).collect() }
    }

    /// Notes that the command with this id has waited.
    pub fn note(&self, command: usize, waited_ns: u64) {
        let Some(waits) = self.commands.get(command).filter(|_| waited_ns >= LEAST_NS) else { return };
        let waits = waits.get_or_init(Box::default);
        waits.steps[step_of(waited_ns)].fetch_add(1, Ordering::Relaxed);
        waits.total_ns.fetch_add(waited_ns, Ordering::Relaxed);
        waits.longest_ns.fetch_max(waited_ns, Ordering::Relaxed);
    }

    /// What is known of a command's waits; `None` where there were none.
    pub fn of(&self, command: usize) -> Option<Waited> {
        let waits = self.commands.get(command)?.get()?;
        let mut count = 0;
        let mut steps = [(0, 0); STEPS];
        for (number, step) in steps.iter_mut().enumerate() {
            count += waits.steps[number].load(Ordering::Relaxed);
            *step = (bound_ns(number) / 1000, count);
        }
        count += waits.steps[STEPS].load(Ordering::Relaxed);
        (count > 0).then(|| Waited {
            count,
            total_ns: waits.total_ns.load(Ordering::Relaxed),
            longest_ns: waits.longest_ns.load(Ordering::Relaxed),
            steps,
        })
    }

    /// Begins anew (CONFIG RESETSTAT).
    pub fn reset(&self) {
        for waits in self.commands.iter().filter_map(OnceLock::get) {
            let CommandWaits { steps, total_ns, longest_ns } = &**waits;
            steps.iter().chain([total_ns, longest_ns]).for_each(|count| count.store(0, Ordering::Relaxed));
        }
    }
}

fn bound_ns(step: usize) -> u64 {
    LEAST_NS << (2 * step)
}

/// The first step whose bound is not exceeded.
fn step_of(waited_ns: u64) -> usize {
    let bits = u64::BITS - (waited_ns.saturating_sub(1) / LEAST_NS).leading_zeros();
    (bits.div_ceil(2) as usize).min(STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_in_the_first_step_that_holds_it() {
        for step in 0..STEPS {
            assert_eq!(step_of(bound_ns(step)), step);
            assert_eq!(step_of(bound_ns(step) + 1), step + 1);
        }
        assert_eq!((step_of(0), step_of(u64::MAX)), (0, STEPS));
    }

    #[test]
    fn waits_are_told_by_command() {
        let waits = LockWaits::new(2);
        waits.note(0, 999);
        waits.note(7, 5_000);
        assert_eq!(waits.of(0), None, "too short to be one");
        for waited_ns in [1_000, 3_000, 17_000_000_000, 18_000_000_000] {
            waits.note(1, waited_ns);
        }
        let told = waits.of(1).expect("waits");
        assert_eq!((told.count, told.total_ns, told.longest_ns), (4, 35_000_004_000, 18_000_000_000));
        assert_eq!(told.steps[..3], [(1, 1), (4, 2), (16, 2)]);
        assert_eq!(told.steps[STEPS - 1], (16_777_216, 2), "two are above all bounds");
        waits.reset();
        assert_eq!(waits.of(1), None);
    }
}
