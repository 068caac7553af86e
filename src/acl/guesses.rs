//! Wrong passwords by the address they came from and the user they were tried for: who guesses has to wait longer and longer for each
//! answer. Other users of that address, perhaps many behind one router, are not held up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

/// Wrong passwords that cost nothing: everybody may err.
const FREE: u32 = 10;
/// The first wait, in milliseconds; each further wrong password doubles it.
const FIRST_WAIT_MS: u64 = 20;
/// The longest wait, in milliseconds.
const LONGEST_WAIT_MS: u64 = 1_000;
/// After so many milliseconds without a wrong password all is forgotten.
const FORGOTTEN_AFTER_MS: u64 = 60_000;
/// How many addresses with users are remembered.
const REMEMBERED_MAX: usize = 4_096;

/// Who guesses, and whose password. The address is `None` for the Unix socket; of the name a hash has to do, as anybody may send any.
type Guesser = (Option<IpAddr>, u64);

/// See the module's page.
#[derive(Debug, Default)]
pub struct Guesses {
    by_guesser: HashMap<Guesser, Guessed>,
    names: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Guessed {
    count: u32,
    last_ms: u64,
}

impl Guesses {
    /// How long the answer to a try from this address for this user is to be held back, right or wrong, so that not the wait tells which it is.
    pub fn wait_ms(&self, address: Option<IpAddr>, user: &[u8], now_ms: u64) -> u64 {
        let guesser = self.guesser(address, user);
        let Some(guessed) = self.by_guesser.get(&guesser).filter(|guessed| guessed.counts(now_ms)) else {
            return 0;
        };
        match guessed.count.checked_sub(FREE) {
            None => 0,
            Some(doublings) => LONGEST_WAIT_MS.min(FIRST_WAIT_MS << doublings.min(16)),
        }
    }

    /// Counts a wrong password.
    pub fn add(&mut self, address: Option<IpAddr>, user: &[u8], now_ms: u64) {
        let guesser = self.guesser(address, user);
        if self.by_guesser.len() >= REMEMBERED_MAX && !self.by_guesser.contains_key(&guesser) {
            self.make_room(now_ms);
        }
        let guessed = self.by_guesser.entry(guesser).or_insert(Guessed { count: 0, last_ms: now_ms });
        if !guessed.counts(now_ms) {
            guessed.count = 0;
        }
        guessed.count = guessed.count.saturating_add(1);
        guessed.last_ms = now_ms;
    }

    /// Of an IPv6 address the network counts, which is one household's or one machine's.
    fn guesser(&self, address: Option<IpAddr>, user: &[u8]) -> Guesser {
        let address = address.map(|address| match address {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address => address,
        });
        (address, self.names.hash_one(user))
    }

    fn make_room(&mut self, now_ms: u64) {
        self.by_guesser.retain(|_, guessed| guessed.counts(now_ms));
        if self.by_guesser.len() >= REMEMBERED_MAX {
            // A flood of addresses or names: those that guessed least go first.
            let mut counts: Vec<u32> = self.by_guesser.values().map(|guessed| guessed.count).collect();
            let middle = counts.len() / 2;
            let limit = *counts.select_nth_unstable(middle).1;
            self.by_guesser.retain(|_, guessed| guessed.count > limit);
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
            guesses.add(address(1), b"a", 0);
            waits.push(guesses.wait_ms(address(1), b"a", 0));
        }
        assert_eq!(waits[..9], [0; 9]);
        assert_eq!(waits[9..], [20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000, 1000]);
        (0..100).for_each(|_| guesses.add(address(1), b"a", 1));
        assert_eq!(guesses.wait_ms(address(1), b"a", 1), 1000);
        assert_eq!(guesses.wait_ms(address(2), b"a", 1), 0);
        assert_eq!(guesses.wait_ms(address(1), b"b", 1), 0);
        assert_eq!(guesses.wait_ms(None, b"a", 1), 0);
        assert_eq!(guesses.wait_ms(address(1), b"a", 60_001), 0);
        guesses.add(address(1), b"a", 60_001);
        assert_eq!(guesses.wait_ms(address(1), b"a", 60_001), 0);
    }

    #[test]
    fn a_network_of_the_new_protocol_is_one_guesser() {
        let mut guesses = Guesses::default();
        let from = |host: u128| Some(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | host)));
        (0..20).for_each(|host| guesses.add(from(host), b"a", 0));
        assert!(guesses.wait_ms(from(99), b"a", 0) > 0);
        assert_eq!(guesses.wait_ms(from(1 << 64), b"a", 0), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let mut guesses = Guesses::default();
        (0..50).for_each(|_| guesses.add(address(1), b"a", 0));
        for number in 2..20_000 {
            guesses.add(address(number), b"a", 0);
            assert!(guesses.by_guesser.len() <= REMEMBERED_MAX);
        }
        assert_eq!(guesses.wait_ms(address(1), b"a", 0), 1000);
    }
}
