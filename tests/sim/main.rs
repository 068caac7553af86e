//! Replication in a simulation: nodes made of the machines that the server is made of, with a network, a clock
//! and disks that a seed moves. Nothing waits and nothing sleeps, so that thousands of histories pass in seconds,
//! and each can be seen again by its seed.
//!
//! `KVARTS_SEEDS=n` runs so many seeds, `KVARTS_SEED=n` one.

mod data;
mod network;
mod node;
mod truth;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use kvarts::replication::Limits;

use network::Network;
use node::{Node, Settings, World};
use truth::Truth;

/// Seeds of a usual run.
const SEEDS: u64 = 10_000;

/// Things that happen in the history of a seed, at most.
const ACTS: usize = 1000;

/// Turns within which all is to be equal once nothing fails any more.
const TURNS: usize = 2000;

struct Simulation {
    nodes: Vec<Node>,
    network: Network,
    truth: Truth,
    rng: fastrand::Rng,
    now_ms: u64,
}

/// What happened in a run, for those that ask whether anything did.
#[derive(Default)]
struct Tally {
    copies: AtomicU64,
    continued: AtomicU64,
    not_continued: AtomicU64,
    spilled: AtomicU64,
    failovers: AtomicU64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        // Ids of histories are taken from the thread's own generator.
        fastrand::seed(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = Settings {
            backlog_bytes: rng.u64(100..3000),
            spill_bytes: [0, 2000, 1 << 20][rng.usize(..3)],
            limits: Limits {
                hard_bytes: [0, 2000, 8000][rng.usize(..3)],
                soft_bytes: [0, 1000][rng.usize(..2)],
                soft_ms: 3000,
            },
        };
        let nodes = (0..rng.usize(2..5)).map(|number| Node::new(number, settings)).collect();
        let (network, truth) = (Network::default(), Truth::default());
        Self { nodes, network, truth, rng, now_ms: 1_000_000 }
    }

    /// Does something with a node, then checks what always holds.
    fn with<T>(&mut self, number: usize, work: impl FnOnce(&mut Node, &mut World<'_>) -> T) -> T {
        let Self { network, truth, rng, now_ms, .. } = self;
        let node = &mut self.nodes[number];
        let done = work(node, &mut World { now_ms: *now_ms, network, truth, rng });
        node.check(&self.truth);
        self.check_acknowledged(number);
        done
    }

    /// What replicas have acknowledged to a node, they have applied.
    fn check_acknowledged(&self, number: usize) {
        let node = &self.nodes[number];
        for replica in node.replicas.all() {
            let offset = replica.acknowledged();
            let reached = self.nodes[usize::from(replica.announced.port) - 1].reached.get(node.history.id());
            assert!(
                offset <= reached.copied().unwrap_or(0),
                "{offset} is acknowledged, and {reached:?} applied"
            );
        }
    }

    /// One of the things that happen to nodes.
    fn act(&mut self, tally: &Tally) {
        let number = self.rng.usize(..self.nodes.len());
        let max = if self.rng.u8(..3) == 0 { self.rng.usize(..20) } else { self.rng.usize(..2000) };
        match self.rng.u16(..1000) {
            0..150 => self.with(number, |node, world| node.write(world)),
            150..400 => self.with(number, |node, world| node.step_up(max, world)),
            400..650 => {
                let called_on = self.network.called_on(number);
                if let Some(connection) = self.rng.choice(called_on) {
                    self.with(number, |node, world| node.step_down(connection, max, world));
                }
            }
            650..720 => self.with(number, |node, world| node.step_copy(world)),
            720..800 => {
                let spilled = self.with(number, |node, _| node.step_file());
                tally.spilled.fetch_add(u64::from(spilled), Ordering::Relaxed);
            }
            800..860 => self.now_ms += self.rng.u64(..100),
            860..864 => self.now_ms += self.rng.u64(..6000),
            864..880 => self.with(number, |node, world| node.ping(world)),
            880..988 => self.turn(number),
            _ => self.disturb(number, tally),
        }
    }

    /// One of the things that ought not to happen, or seldom.
    fn disturb(&mut self, number: usize, tally: &Tally) {
        let other = self.rng.usize(..self.nodes.len());
        match self.rng.u8(..14) {
            0 | 1 => {
                let all: Vec<u64> = self.network.connections.keys().copied().collect();
                if let Some(connection) = self.rng.choice(all) {
                    self.network.cut(connection, &mut self.rng);
                }
            }
            2 => {
                self.network.parted.insert((number.min(other), number.max(other)));
            }
            3 | 4 => self.network.parted.clear(),
            5 | 6 if number != other => self.with(number, |node, world| node.follow(Some(other), world)),
            7 => self.with(number, |node, world| node.follow(None, world)),
            8 => self.with(number, |node, _| node.save()),
            9 if self.rng.bool() => self.with(number, |node, world| node.restart(world)),
            10 => self.nodes[number].fail_copy(),
            11 => {
                let fails = self.rng.bool();
                self.set_disk(number, fails);
            }
            12 => {
                let now_ms = self.now_ms;
                self.with(number, |node, _| node.begin_failover(now_ms));
            }
            13 => self.with(number, |node, world| node.give_up_failover(world)),
            _ => {}
        }
        self.look_after_failovers(tally);
    }

    fn set_disk(&mut self, number: usize, fails: bool) {
        self.nodes[number].file.fails = fails;
        if !fails {
            self.nodes[number].journal.retry_spill();
        }
    }

    /// Nobody takes over that has not applied everything.
    fn look_after_failovers(&mut self, tally: &Tally) {
        for number in 0..self.nodes.len() {
            if let Some(target) = self.with(number, |node, world| node.look_after_failover(world)) {
                tally.failovers.fetch_add(1, Ordering::Relaxed);
                let (old, new) = (&self.nodes[number], &self.nodes[target]);
                let reached = new.reached.get(old.history.id());
                let needed = old.failover.needed(old.offset());
                assert!(reached.is_some_and(|reached| *reached >= needed), "an answered write is lost");
            }
        }
    }

    /// Lets nothing fail any more, has all follow one node, some by way of another, and waits until they do.
    fn come_to_rest(&mut self, tally: &Tally) {
        self.network.parted.clear();
        let count = self.nodes.len();
        let mut order: Vec<usize> = (0..count).collect();
        self.rng.shuffle(&mut order);
        let mut wanted = vec![None; count];
        for (place, &number) in order.iter().enumerate() {
            self.set_disk(number, false);
            self.with(number, |node, world| node.give_up_failover(world));
            wanted[number] = (place > 0).then(|| order[self.rng.usize(..place)]);
        }
        for _ in 0..TURNS {
            self.now_ms += 50;
            for (number, &primary) in wanted.iter().enumerate() {
                // A failover's last words may still be on their way: said again, as Sentinel does.
                self.with(number, |node, world| node.follow(primary, world));
                self.turn(number);
            }
            self.network.forget_closed();
            let first = &self.nodes[order[0]];
            let place = (first.history.id(), first.offset(), first.data.fingerprint);
            let is_equal = |node: &Node| {
                (node.history.id(), node.offset(), node.data.fingerprint) == place && node.is_connected()
            };
            if order[1..].iter().all(|number| is_equal(&self.nodes[*number])) {
                return self.count(tally);
            }
        }
        let states: Vec<String> = self.nodes.iter().map(Node::state).collect();
        panic!("the nodes do not come to rest:\n{}", states.join("\n"));
    }

    /// All that a node does of itself.
    fn turn(&mut self, number: usize) {
        const ALL: usize = usize::MAX;
        self.with(number, |node, world| {
            node.ping(world);
            while node.step_file() {}
            node.step_copy(world);
            node.step_up(ALL, world);
        });
        for connection in self.network.called_on(number) {
            self.with(number, |node, world| node.step_down(connection, ALL, world));
        }
    }

    fn count(&self, tally: &Tally) {
        for Node { replicas, .. } in &self.nodes {
            for (from, to) in [
                (&replicas.full_copies, &tally.copies),
                (&replicas.continued, &tally.continued),
                (&replicas.not_continued, &tally.not_continued),
            ] {
                to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }
}

/// The whole history of a seed, in which fewer than `acts` things happen.
fn run(seed: u64, acts: usize, tally: &Tally) {
    let mut simulation = Simulation::new(seed);
    // Most histories begin as those of people do: all follow the first.
    if simulation.rng.u8(..4) > 0 {
        for number in 1..simulation.nodes.len() {
            simulation.with(number, |node, world| node.follow(Some(0), world));
        }
    }
    for _ in 0..simulation.rng.usize(100..acts) {
        simulation.act(tally);
    }
    simulation.come_to_rest(tally);
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Runs seeds on two threads, each in order, and fails with the least that failed.
fn run_all(seeds: std::ops::Range<u64>) -> Tally {
    let (tally, failed) = (Tally::default(), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (tally, failed, seeds) = (&tally, &failed, seeds.clone());
            scope.spawn(move || {
                for seed in seeds.filter(|seed| seed % 2 == part) {
                    if seed > failed.load(Ordering::Relaxed) {
                        return;
                    }
                    if catch_unwind(AssertUnwindSafe(|| run(seed, ACTS, tally))).is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed == u64::MAX, "the seed {failed} fails; KVARTS_SEED={failed} repeats it");
    tally
}

/// A replica that went on at the very beginning of what the backlog held was cut at once where its limit was not
/// above the backlog's size, and asked again, for ever: more waited for it than the limit, though memory held it
/// anyway.
#[test]
fn who_goes_on_where_the_backlog_begins_is_not_cut() {
    run(8558, 2000, &Tally::default());
}

/// Whatever happens to nodes, their links and their disks: what each has is at all times what its primary wrote,
/// byte for byte, and they end with the same data at the same offset.
#[test]
fn whatever_happens_all_end_with_the_same_data() {
    if let Some(seed) = number_of("KVARTS_SEED") {
        return run(seed, ACTS, &Tally::default());
    }
    let seeds = number_of("KVARTS_SEEDS").unwrap_or(SEEDS);
    let Tally { copies, continued, not_continued, spilled, failovers } = run_all(0..seeds);
    let counts = [copies, continued, not_continued, spilled, failovers].map(AtomicU64::into_inner);
    println!("{seeds} seeds: copies, continued, not continued, spilled, failovers: {counts:?}");
    // What never happened was not tried.
    assert!(counts.iter().all(|count| *count > seeds / 200), "{counts:?}");
}
