//! Counts wrong passwords by address, and delays the answer to each further one. The right password is never
//! delayed and names are not looked at, so that others behind the same address are not held up, and nobody
//! learns which users exist.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Wrong passwords without delay: everybody may err.
const FREE: u32 = 10;
/// First delay in milliseconds; each further wrong password doubles it.
const FIRST_WAIT_MS: u64 = 20;
/// Longest delay in milliseconds.
const LONGEST_WAIT_MS: u64 = 1_000;
/// Milliseconds without a wrong password after which an address is forgotten.
const FORGOTTEN_AFTER_MS: u64 = 60_000;
/// Most addresses that are counted.
const REMEMBERED_MAX: usize = 4_096;

/// The wrong passwords of the last minute.
#[derive(Debug, Default)]
pub struct Guesses {
    /// By address; `None` is the Unix socket.
    by_address: HashMap<Option<IpAddr>, Guessed>,
}

#[derive(Clone, Copy, Debug)]
struct Guessed {
    count: u32,
    last_ms: u64,
}

impl Guesses {
    /// Counts a wrong password. Returns the milliseconds by which the refusal is to be delayed.
    pub fn add(&mut self, address: Option<IpAddr>, now_ms: u64) -> u64 {
        let address = address.map(network);
        if self.by_address.len() >= REMEMBERED_MAX && !self.by_address.contains_key(&address) {
            self.make_room(now_ms);
        }
        let guessed = self.by_address.entry(address).or_insert(Guessed { count: 0, last_ms: now_ms });
        if !guessed.counts(now_ms) {
            guessed.count = 0;
        }
        let before = guessed.count;
        guessed.count = before.saturating_add(1);
        guessed.last_ms = now_ms;
        match before.checked_sub(FREE) {
            None => 0,
            Some(doublings) => LONGEST_WAIT_MS.min(FIRST_WAIT_MS << doublings.min(16)),
        }
    }

    fn make_room(&mut self, now_ms: u64) {
        self.by_address.retain(|_, guessed| guessed.counts(now_ms));
        if self.by_address.len() >= REMEMBERED_MAX {
            // Too many addresses: those with the fewest guesses are forgotten first.
            let mut counts: Vec<u32> = self.by_address.values().map(|guessed| guessed.count).collect();
            let middle = counts.len() / 2;
            let limit = *counts.select_nth_unstable(middle).1;
            self.by_address.retain(|_, guessed| guessed.count > limit);
        }
    }
}

/// The address that wrong passwords are counted for. For IPv6 it is the network, which belongs to one
/// household or machine.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
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
        let waits: Vec<u64> = (0..20).map(|_| guesses.add(address(1), 0)).collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000]);
        for _ in 0..100 {
            guesses.add(address(1), 1);
        }
        assert_eq!(guesses.add(address(1), 1), 1000);
        assert_eq!(guesses.add(address(2), 1), 0);
        assert_eq!(guesses.add(None, 1), 0);
        assert_eq!(guesses.add(address(1), 60_001), 0);
    }

    #[test]
    fn a_network_of_the_new_protocol_is_one_guesser() {
        let mut guesses = Guesses::default();
        let from = |host: u128| Some(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | host)));
        for host in 0..20 {
            guesses.add(from(host), 0);
        }
        assert!(guesses.add(from(99), 0) > 0);
        assert_eq!(guesses.add(from(1 << 64), 0), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let mut guesses = Guesses::default();
        for _ in 0..50 {
            guesses.add(address(1), 0);
        }
        for number in 2..20_000 {
            guesses.add(address(number), 0);
            assert!(guesses.by_address.len() <= REMEMBERED_MAX);
        }
        assert_eq!(guesses.add(address(1), 0), 1000);
    }
}
