//! [`Simulation`]: faults that are rehearsed. What a client of a managed service meets now and then (cut connections,
//! a failover, slots that move) happens here when it is asked for.
//!
//! All chances are drawn from one generator with a seed, so that a single client meets the same again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Longest time that a fault may take, in milliseconds.
const TIME_MAX_MS: u64 = 3_600_000;

/// A chance in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Chance(u32);

/// How much later replies are sent, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Latency {
    fixed_ms: u64,
    /// Up to so much more, evenly.
    jitter_ms: u64,
    /// How often `tail_ms` comes on top.
    tail: Chance,
    tail_ms: u64,
}

/// Something that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Latency(Latency),
    /// A connection is cut before its requests run.
    Cut(Chance),
    /// A script that is known is not found.
    NoScript(Chance),
    /// There is no memory for a command that may need some.
    OutOfMemory(Chance),
    /// A key's slot is said to have moved, to where it is.
    Moved(Chance),
    /// A key's slot is said to be on its way, to where it is.
    Ask(Chance),
    /// Data are being loaded, for so many milliseconds.
    Loading(u64),
    /// Connections are cut, nodes have new ids, and writes are refused for so many milliseconds.
    Failover(u64),
    /// Nobody can connect to the read-only port.
    ReadOnlyPortDown,
    ReadOnlyPortUp,
    /// Reads through the read-only port are so many milliseconds late.
    Stale(u64),
}

/// What follows at once from a fault that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// All clients are cut, and nodes have new ids.
    Failover,
    /// The clients of the read-only port are cut.
    ReadOnlyPortDown,
}

/// The faults that are rehearsed; none by default.
#[derive(Debug, Default)]
pub struct Simulation {
    is_on: AtomicBool,
    injected: AtomicU64,
    stale_ms: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    seed: u64,
    latency: Latency,
    cut: Chance,
    no_script: Chance,
    out_of_memory: Chance,
    moved: Chance,
    ask: Chance,
    /// Until when data are said to be loaded, in milliseconds of Unix time.
    loading_until_ms: u64,
    /// Until when writes are refused.
    read_only_until_ms: u64,
    read_only_port_down: bool,
    stale_ms: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            random: fastrand::Rng::with_seed(0),
            seed: 0,
            latency: Latency::default(),
            cut: Chance::default(),
            no_script: Chance::default(),
            out_of_memory: Chance::default(),
            moved: Chance::default(),
            ask: Chance::default(),
            loading_until_ms: 0,
            read_only_until_ms: 0,
            read_only_port_down: false,
            stale_ms: 0,
        }
    }
}

/// What a client is told of a fault that cannot be read.
pub const USAGE: &str = "syntax error, expected LATENCY ms [JITTER ms] [TAIL percent ms], CUT percent, NOSCRIPT percent, OOM percent, MOVED percent, ASK percent, LOADING ms, FAILOVER ms, READ-ONLY-PORT DOWN|UP, STALE ms, SEED number or OFF";

impl Simulation {
    /// Whether any fault is rehearsed: one relaxed load.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Begins a fault, or ends all (OFF). `None` for words that name none.
    pub fn set(&self, words: &[&str], now_ms: u64) -> Option<Effect> {
        let mut state = self.state.lock();
        let effect = match words {
            [word] if is(word, "OFF") => {
                *state = State::default();
                Effect::None
            }
            [word, seed] if is(word, "SEED") => {
                state.seed = seed.parse().ok()?;
                state.random = fastrand::Rng::with_seed(state.seed);
                Effect::None
            }
            _ => state.begin(parse(words)?, now_ms),
        };
        self.stale_ms.store(state.stale_ms, Ordering::Relaxed);
        self.is_on.store(state.is_any(), Ordering::Relaxed);
        Some(effect)
    }

    /// Forgets faults whose time is over; called once a second. Returns whether there was one.
    pub fn settle(&self, now_ms: u64) -> bool {
        if !self.is_on() {
            return false;
        }
        let mut state = self.state.lock();
        let State { loading_until_ms, read_only_until_ms, .. } = &mut *state;
        let mut has_ended = false;
        for until_ms in [loading_until_ms, read_only_until_ms] {
            if *until_ms != 0 && *until_ms <= now_ms {
                *until_ms = 0;
                has_ended = true;
            }
        }
        self.is_on.store(state.is_any(), Ordering::Relaxed);
        has_ended
    }

    /// Begins the faults of a text (`latency 5; cut 1`).
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn set_all(&self, text: &str, now_ms: u64) -> Result<(), String> {
        for fault in text.split(';').map(str::trim).filter(|fault| !fault.is_empty()) {
            let words: Vec<&str> = fault.split_ascii_whitespace().collect();
            self.set(&words, now_ms).ok_or_else(|| format!("'{fault}': {USAGE}"))?;
        }
        Ok(())
    }

    /// The faults that are rehearsed now, each in the words that begin it.
    pub fn faults(&self, now_ms: u64) -> Vec<String> {
        self.state.lock().shown(now_ms)
    }

    /// The seed of all chances.
    pub fn seed(&self) -> u64 {
        self.state.lock().seed
    }

    /// How often a fault has happened to a request or connection since the start.
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::Relaxed)
    }

    /// How much later the replies of a batch are sent, in milliseconds; 0 for at once.
    pub fn delay_ms(&self) -> u64 {
        let mut state = self.state.lock();
        let Latency { fixed_ms, jitter_ms, tail, tail_ms } = state.latency;
        if state.latency == Latency::default() {
            return 0;
        }
        let jitter_ms = if jitter_ms > 0 { state.random.u64(0..=jitter_ms) } else { 0 };
        let tail_ms = if state.happens(tail) { tail_ms } else { 0 };
        self.count(fixed_ms + jitter_ms + tail_ms)
    }

    /// Whether a connection is cut before its next requests run.
    pub fn cuts(&self) -> bool {
        self.draw(|state| state.cut)
    }

    /// Whether a script is not found although it is known.
    pub fn forgets_script(&self) -> bool {
        self.is_on() && self.draw(|state| state.no_script)
    }

    /// Whether there is no memory for a command.
    pub fn lacks_memory(&self) -> bool {
        self.is_on() && self.draw(|state| state.out_of_memory)
    }

    /// Whether a key's slot is said to have moved.
    pub fn says_moved(&self) -> bool {
        self.draw(|state| state.moved)
    }

    /// Whether a key's slot is said to be on its way.
    pub fn says_ask(&self) -> bool {
        self.draw(|state| state.ask)
    }

    /// Whether data are said to be loaded.
    pub fn is_loading(&self, now_ms: u64) -> bool {
        self.state.lock().loading_until_ms > now_ms
    }

    /// Whether writes are refused, as those of a primary that has lost its part.
    pub fn is_read_only(&self, now_ms: u64) -> bool {
        self.is_on() && self.state.lock().read_only_until_ms > now_ms
    }

    /// Whether nobody can connect to the read-only port.
    pub fn closes_read_only_port(&self) -> bool {
        self.is_on() && self.state.lock().read_only_port_down
    }

    /// How late reads through the read-only port are, in milliseconds.
    #[inline]
    pub fn stale_ms(&self) -> u64 {
        self.stale_ms.load(Ordering::Relaxed)
    }

    /// Counts a fault that has happened.
    pub fn note(&self) {
        self.injected.fetch_add(1, Ordering::Relaxed);
    }

    fn draw(&self, chance: fn(&State) -> Chance) -> bool {
        let mut state = self.state.lock();
        let chance = chance(&state);
        let happens = state.happens(chance);
        if happens {
            self.note();
        }
        happens
    }

    fn count(&self, delay_ms: u64) -> u64 {
        if delay_ms > 0 {
            self.note();
        }
        delay_ms
    }
}

impl State {
    /// Draws from the generator only where something may happen, so that faults do not disturb each other's
    /// sequence more than needed.
    fn happens(&mut self, chance: Chance) -> bool {
        chance.0 > 0 && self.random.u32(0..1_000_000) < chance.0
    }

    fn begin(&mut self, fault: Fault, now_ms: u64) -> Effect {
        match fault {
            Fault::Latency(latency) => self.latency = latency,
            Fault::Cut(chance) => self.cut = chance,
            Fault::NoScript(chance) => self.no_script = chance,
            Fault::OutOfMemory(chance) => self.out_of_memory = chance,
            Fault::Moved(chance) => self.moved = chance,
            Fault::Ask(chance) => self.ask = chance,
            Fault::Loading(ms) => self.loading_until_ms = now_ms + ms,
            Fault::Failover(ms) => {
                self.read_only_until_ms = now_ms + ms;
                return Effect::Failover;
            }
            Fault::ReadOnlyPortDown => {
                self.read_only_port_down = true;
                return Effect::ReadOnlyPortDown;
            }
            Fault::ReadOnlyPortUp => self.read_only_port_down = false,
            Fault::Stale(ms) => self.stale_ms = ms,
        }
        Effect::None
    }

    fn is_any(&self) -> bool {
        !self.shown(0).is_empty()
    }

    fn shown(&self, now_ms: u64) -> Vec<String> {
        let mut all = Vec::new();
        let Latency { fixed_ms, jitter_ms, tail, tail_ms } = self.latency;
        if self.latency != Latency::default() {
            let jitter = if jitter_ms > 0 { format!(" jitter {jitter_ms}") } else { String::new() };
            let tail = if tail.0 > 0 { format!(" tail {} {tail_ms}", tail.percent()) } else { String::new() };
            all.push(format!("latency {fixed_ms}{jitter}{tail}"));
        }
        for (name, chance) in [
            ("cut", self.cut),
            ("noscript", self.no_script),
            ("oom", self.out_of_memory),
            ("moved", self.moved),
            ("ask", self.ask),
        ] {
            if chance.0 > 0 {
                all.push(format!("{name} {}", chance.percent()));
            }
        }
        for (name, until_ms) in [("loading", self.loading_until_ms), ("failover", self.read_only_until_ms)] {
            if until_ms > now_ms {
                all.push(format!("{name} {}", until_ms - now_ms));
            }
        }
        if self.read_only_port_down {
            all.push("read-only-port down".to_owned());
        }
        if self.stale_ms > 0 {
            all.push(format!("stale {}", self.stale_ms));
        }
        all
    }
}

impl Chance {
    fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

fn is(word: &str, expected: &str) -> bool {
    word.eq_ignore_ascii_case(expected)
}

fn parse(words: &[&str]) -> Option<Fault> {
    Some(match words {
        [word, rest @ ..] if is(word, "LATENCY") => Fault::Latency(latency(rest)?),
        [word, percent] if is(word, "CUT") => Fault::Cut(chance(percent)?),
        [word, percent] if is(word, "NOSCRIPT") => Fault::NoScript(chance(percent)?),
        [word, percent] if is(word, "OOM") => Fault::OutOfMemory(chance(percent)?),
        [word, percent] if is(word, "MOVED") => Fault::Moved(chance(percent)?),
        [word, percent] if is(word, "ASK") => Fault::Ask(chance(percent)?),
        [word, ms] if is(word, "STALE") => Fault::Stale(time(ms)?),
        [word, ms] if is(word, "LOADING") => Fault::Loading(time(ms)?),
        [word, ms] if is(word, "FAILOVER") => Fault::Failover(time(ms)?),
        [word, state] if is(word, "READ-ONLY-PORT") && is(state, "DOWN") => Fault::ReadOnlyPortDown,
        [word, state] if is(word, "READ-ONLY-PORT") && is(state, "UP") => Fault::ReadOnlyPortUp,
        _ => return None,
    })
}

fn latency(words: &[&str]) -> Option<Latency> {
    let (fixed_ms, mut rest) = words.split_first()?;
    let mut latency = Latency { fixed_ms: time(fixed_ms)?, ..Latency::default() };
    loop {
        rest = match rest {
            [] => return Some(latency),
            [word, ms, further @ ..] if is(word, "JITTER") => {
                latency.jitter_ms = time(ms)?;
                further
            }
            [word, percent, ms, further @ ..] if is(word, "TAIL") => {
                (latency.tail, latency.tail_ms) = (chance(percent)?, time(ms)?);
                further
            }
            _ => return None,
        };
    }
}

fn chance(percent: &str) -> Option<Chance> {
    let percent: f64 = percent.trim_end_matches('%').parse().ok()?;
    (0.0..=100.0).contains(&percent).then(|| Chance((percent * 10_000.0).round() as u32))
}

fn time(ms: &str) -> Option<u64> {
    ms.parse().ok().filter(|ms| *ms <= TIME_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        text.split(' ').collect()
    }

    #[test]
    fn faults_are_shown_in_the_words_that_begin_them() {
        for text in [
            "latency 5",
            "latency 0 jitter 3",
            "latency 5 jitter 3 tail 0.1 800",
            "cut 0.5",
            "noscript 100",
            "oom 12.25",
            "moved 50",
            "ask 50",
            "loading 1500",
            "failover 2000",
            "read-only-port down",
            "stale 200",
        ] {
            let simulation = Simulation::default();
            assert!(simulation.set(&words(text), 1000).is_some(), "{text}");
            assert_eq!((simulation.is_on(), simulation.faults(1000)), (true, vec![text.to_owned()]));
            assert_eq!(simulation.set(&["OFF"], 1000), Some(Effect::None));
            assert_eq!((simulation.is_on(), simulation.faults(1000)), (false, Vec::new()));
        }
        let simulation = Simulation::default();
        for text in [
            "",
            "x",
            "latency",
            "latency x",
            "latency 5 jitter",
            "latency 5 tail 1",
            "cut",
            "cut 101",
            "cut -1",
            "cut nan",
            "loading 3600001",
            "read-only-port",
            "seed x",
            "off 1",
        ] {
            assert_eq!(simulation.set(&words(text), 1000), None, "{text}");
        }
        assert!(simulation.set_all(" latency 5;; cut 1 ", 1000).is_ok());
        assert_eq!(simulation.faults(1000), ["latency 5", "cut 1"]);
        assert!(simulation.set_all("cut 1; nothing", 1000).is_err());
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let simulation = Simulation::default();
        simulation.set(&["loading", "100"], 1000);
        simulation.set(&["failover", "200"], 1000);
        for (now_ms, has_ended, is_on) in [
            (1099, false, true),
            (1100, true, true),
            (1199, false, true),
            (1200, true, false),
            (1201, false, false),
        ] {
            assert_eq!((simulation.settle(now_ms), simulation.is_on()), (has_ended, is_on), "{now_ms}");
        }
        simulation.set(&["cut", "1"], 1300);
        assert!(!simulation.settle(u64::MAX));
        assert!(simulation.is_on());
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let drawn = |seed: &str| -> Vec<bool> {
            let simulation = Simulation::default();
            simulation.set(&["seed", seed], 0);
            simulation.set(&["cut", "50"], 0);
            (0..64).map(|_| simulation.cuts()).collect()
        };
        assert_eq!(drawn("7"), drawn("7"));
        assert_ne!(drawn("7"), drawn("8"));
        let count = drawn("7").into_iter().filter(|cut| *cut).count();
        assert!((16..=48).contains(&count), "{count}");
    }

    #[test]
    fn delays_stay_within_what_was_asked_for() {
        let simulation = Simulation::default();
        simulation.set(&words("latency 5 jitter 3"), 0);
        let delays: Vec<u64> = (0..200).map(|_| simulation.delay_ms()).collect();
        assert!((5..=8).all(|ms| delays.contains(&ms)) && delays.iter().all(|ms| (5..=8).contains(ms)));
        simulation.set(&words("latency 1 tail 10 500"), 0);
        let tail = (0..1000).filter(|_| simulation.delay_ms() == 501).count();
        assert!((50..200).contains(&tail), "{tail}");
        assert_eq!(simulation.injected(), 1200);
    }
}
