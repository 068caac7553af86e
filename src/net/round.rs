//! How many clients a thread serves before it has nothing to do.
//!
//! Where there are many, replies to a pipeline are better written when the others have been served: who waits for them is then woken once
//! for many, and runs while the server has nothing to do. Where there are few, the detour costs more than it gains.

use std::cell::Cell;

/// So many are many.
const CROWD: u32 = 8;

/// After so many clients, about half a millisecond with pipelines of 16, a thread offers its core to others. Those are often the clients themselves, on one
/// machine with the server, and would wait for the end of a time slice of several milliseconds while replies lie ready for them.
const YIELD_EVERY: u32 = 64;

thread_local! {
    static TURN: Cell<u32> = const { Cell::new(0) };
    /// In the present round, and in the one before it.
    static SERVED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// A client's requests were run.
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

/// Whether this round or the one before it serves many: what comes next is likely to be like what was.
#[inline]
pub(super) fn is_crowded() -> bool {
    let (now, before) = SERVED.get();
    now.max(before) >= CROWD
}

/// The thread has nothing more to do.
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
