//! One turn of a worker: all clients that it serves between two moments without work.
//!
//! With many clients in a turn, replies to a pipeline are written after the other clients were served: the
//! kernel then wakes a load of clients at once, and they run while the server is idle. With few clients the
//! detour costs more than it gains (docs/performance.md).

use std::cell::Cell;

/// From this many clients served in one turn, deferring the replies to pipelines pays off
/// (docs/performance.md).
const CROWD: u32 = 8;

/// After so many clients, about half a millisecond with pipelines of 16, a thread offers its core to others.
/// Those are often the clients themselves, on one machine with the server, and would wait for the end of a
/// time slice of several milliseconds while replies lie ready for them.
const YIELD_EVERY: u32 = 64;

thread_local! {
    static TURN: Cell<u32> = const { Cell::new(0) };
    /// Clients served in the present turn, and in the one before it.
    static SERVED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Counts a client whose requests were run, and offers the core to other threads from time to time.
#[inline]
pub(super) fn served() {
    let (now, before) = SERVED.get();
    SERVED.set((now.saturating_add(1), before));
    let turn = TURN.get() + 1;
    TURN.set(turn % YIELD_EVERY);
    if turn == YIELD_EVERY {
        std::thread::yield_now();
    }
}

/// Whether this turn or the one before it serves many clients. The next turn is likely to be like the last.
#[inline]
pub(super) fn is_crowded() -> bool {
    let (now, before) = SERVED.get();
    now.max(before) >= CROWD
}

/// Ends the turn: the worker has nothing more to do.
pub fn end() {
    let (now, _) = SERVED.get();
    SERVED.set((0, now));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_remembered_for_a_round() {
        (1..CROWD).for_each(|_| served());
        assert!(!is_crowded());
        served();
        assert!(is_crowded());
        end();
        served();
        assert!(is_crowded());
        end();
        assert!(!is_crowded());
    }
}
