//! Wrong passwords by the address they came from: who guesses has to wait longer and longer for each answer.

use std::collections::HashMap;
use std::net::IpAddr;

/// Wrong passwords of one address that cost nothing: everybody may err.
const FREE: u32 = 10;
/// The first wait, in milliseconds; each further wrong password doubles it.
const FIRST_WAIT_MS: u64 = 20;
/// The longest wait, in milliseconds.
const LONGEST_WAIT_MS: u64 = 2_000;
/// After so many milliseconds without a wrong password all is forgotten.
const FORGOTTEN_AFTER_MS: u64 = 60_000;
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 4_096;

/// See the module's page. The key is `None` for the Unix socket.
#[derive(Debug, Default)]
pub struct Guesses {
    by_address: HashMap<Option<IpAddr>, Guessed>,
}

#[derive(Clone, Copy, Debug)]
struct Guessed {
    count: u32,
    last_ms: u64,
}

impl Guesses {
    /// How long the answer to a try from this address is to be held back, right or wrong, so that not the wait tells which it is.
    pub fn wait_ms(&self, address: Option<IpAddr>, now_ms: u64) -> u64 {
        let Some(guessed) = self.by_address.get(&address).filter(|guessed| guessed.counts(now_ms)) else {
            return 0;
        };
        match guessed.count.checked_sub(FREE) {
            None => 0,
            Some(doublings) => LONGEST_WAIT_MS.min(FIRST_WAIT_MS << doublings.min(16)),
        }
    }

    /// Counts a wrong password.
    pub fn add(&mut self, address: Option<IpAddr>, now_ms: u64) {
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&address) {
            self.make_room(now_ms);
        }
        let guessed = self.by_address.entry(address).or_insert(Guessed { count: 0, last_ms: now_ms });
        if !guessed.counts(now_ms) {
            guessed.count = 0;
        }
        guessed.count = guessed.count.saturating_add(1);
        guessed.last_ms = now_ms;
    }

    fn make_room(&mut self, now_ms: u64) {
        self.by_address.retain(|_, guessed| guessed.counts(now_ms));
        if self.by_address.len() >= ADDRESSES_MAX {
            // A flood of addresses: those that guessed least go first.
            let mut counts: Vec<u32> = self.by_address.values().map(|guessed| guessed.count).collect();
            let middle = counts.len() / 2;
            let limit = *counts.select_nth_unstable(middle).1;
            self.by_address.retain(|_, guessed| guessed.count > limit);
        }
    }
}

impl Guessed {
    fn counts(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) < FORGOTTEN_AFTER_MS
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_forgotten() {
        let mut guesses = Guesses::default();
        let mut waits = Vec::new();
        for _ in 0..20 {
            guesses.add(address(1), 0);
            waits.push(guesses.wait_ms(address(1), 0));
        }
        assert_eq!(waits[..9], [0; 9]);
        assert_eq!(waits[9..], [20, 40, 80, 160, 320, 640, 1280, 2000, 2000, 2000, 2000]);
        (0..100).for_each(|_| guesses.add(address(1), 1));
        assert_eq!(guesses.wait_ms(address(1), 1), 2000);
        assert_eq!(guesses.wait_ms(address(2), 1), 0);
        assert_eq!(guesses.wait_ms(None, 1), 0);
        assert_eq!(guesses.wait_ms(address(1), 60_001), 0);
        guesses.add(address(1), 60_001);
        assert_eq!(guesses.wait_ms(address(1), 60_001), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let mut guesses = Guesses::default();
        (0..50).for_each(|_| guesses.add(address(1), 0));
        for number in 2..20_000 {
            guesses.add(address(number), 0);
            assert!(guesses.by_address.len() <= ADDRESSES_MAX);
        }
        assert_eq!(guesses.wait_ms(address(1), 0), 2000);
    }
}
