//! Random commands, the same for Kvarts and for a real Redis server, and every reply compared, and at the end
//! all data.
//!
//! Commands go in pipelines of 1 to 100, cut at random bytes, some of them in MULTI, from several connections
//! in turn: a short cut that is right for one request at a time is not taken for right here. A sequence that
//! fails is shrunk to the few commands that matter. What may differ stands in differences.rs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use kvarts::shared::clock::Clock;

use crate::differences::{DIFFERENCES, NEWER, sets_data_apart};
use crate::differential_data::compare_data;
use crate::differential_words::*;
use crate::harness::*;
use crate::peer::{self, Peer};

/// Commands of one sequence.
const LENGTH: usize = 1500;

/// Clients that take turns in a sequence.
const CONNECTIONS: usize = 3;

/// Sequences of every group, the same each time.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

/// How often a failing sequence is run again to find out which of its commands matter.
const SHRINKING_RUNS: usize = 400;

/// One pipeline: what one client sends at once.
#[derive(Clone, Debug)]
pub struct Step {
    pub connection: usize,
    /// Between MULTI and EXEC.
    transaction: bool,
    commands: Vec<Vec<String>>,
    /// Where the bytes are cut into writes, in thousandths of their length.
    cuts: Vec<usize>,
}

impl Step {
    /// All requests of the step.
    fn requests(&self) -> Vec<Vec<String>> {
        let around = |word: &str| vec![vec![word.to_owned()]];
        match self.transaction {
            true => [around("MULTI"), self.commands.clone(), around("EXEC")].concat(),
            false => self.commands.clone(),
        }
    }

    /// Sends the step's requests in pieces and reads a reply for each.
    pub fn run(&self, client: &mut Client) -> Vec<Value> {
        let requests = self.requests();
        let bytes: Vec<u8> = requests.iter().flat_map(|words| encode(words)).collect();
        let mut sent = 0;
        for cut in &self.cuts {
            let until = bytes.len() * cut / 1000;
            client.send(&bytes[sent..until]);
            sent = until;
        }
        client.send(&bytes[sent..]);
        requests.iter().map(|_| client.read()).collect()
    }
}

/// The steps of one sequence. A command that is known to leave the two servers with different data is a step
/// of its own.
pub fn sequence(generator: impl Fn(&mut Words) -> Vec<String>, seed: u64) -> Vec<Step> {
    let mut words = Words(fastrand::Rng::with_seed(seed));
    let mut steps = Vec::new();
    let mut count = 0;
    let mut apart = None;
    while count < LENGTH {
        let connection = words.0.usize(..CONNECTIONS);
        let length = match words.0.u8(..4) {
            0 => 1,
            1 => words.0.usize(2..8),
            _ => words.0.usize(8..=100),
        };
        let mut transaction = words.0.u8(..4) == 0;
        let mut commands: Vec<Vec<String>> = Vec::new();
        if let Some(command) = apart.take() {
            transaction = false;
            commands.push(command);
        } else {
            while commands.len() < length {
                let command = generator(&mut words);
                if sets_data_apart(&command) {
                    apart = Some(command);
                    break;
                }
                commands.push(command);
            }
        }
        let mut cuts: Vec<usize> = (0..words.0.usize(..6)).map(|_| words.0.usize(..1000)).collect();
        cuts.sort_unstable();
        count += commands.len();
        steps.push(Step { connection, transaction, commands, cuts });
    }
    steps
}

/// Why a reply of one server may stand for the other's: the index of a known difference, or nothing where
/// both are the same.
fn explanation(
    words: &[String],
    ours: &Value,
    theirs: &Value,
    peer_is_newer: bool,
) -> Result<Option<usize>, String> {
    if ours == theirs {
        return Ok(None);
    }
    let name: Vec<String> = words.iter().map(|word| word.to_uppercase()).collect();
    let known = DIFFERENCES.iter().position(|difference| {
        (peer_is_newer || difference.group != NEWER) && (difference.explains)(&name, ours, theirs)
    });
    known.map(Some).ok_or_else(|| format!("{words:?}\n  ours   {ours:?}\n  theirs {theirs:?}"))
}

/// Two servers that are asked the same.
struct Pair {
    server: TestServer,
    theirs: SocketAddr,
    version: u8,
    /// Whether the other is newer than the usual one.
    peer_is_newer: bool,
}

impl Pair {
    fn clients(&self) -> [Client; 2] {
        [self.server.address(), self.theirs].map(|address| {
            let client = Client::tcp(address);
            if self.version == 3 { client.resp3() } else { client }
        })
    }

    /// Runs a sequence on both and compares. Adds the indices of the known differences that it met.
    fn run(&self, steps: &[Step], met: &mut BTreeSet<usize>) -> Result<(), String> {
        let mut connections: Vec<[Client; 2]> = (0..CONNECTIONS).map(|_| self.clients()).collect();
        for client in &mut connections[0] {
            client.check("FLUSHALL", "+OK~");
        }
        for step in steps {
            let clients = &mut connections[step.connection];
            let [ours, theirs] = clients.each_mut().map(|client| step.run(client));
            let parted = compare_step(step, [&ours, &theirs], self.peer_is_newer, met)?;
            if parted {
                for client in clients {
                    client.call(&["DEL", &step.commands[0][1]]);
                }
            }
        }
        let [mut ours, mut theirs] = self.clients();
        compare_data(&mut ours, &mut theirs, &mut |words, ours, theirs| {
            let explained = explanation(words, ours, theirs, self.peer_is_newer);
            met.extend(explained.map_err(|text| format!("at the end, {text}"))?);
            Ok(())
        })
    }
}

/// Compares the replies to one step. Answers whether its command did to one server's data what it did not to
/// the other's.
fn compare_step(
    step: &Step,
    [ours, theirs]: [&[Value]; 2],
    peer_is_newer: bool,
    met: &mut BTreeSet<usize>,
) -> Result<bool, String> {
    let mut parted = false;
    let requests = step.requests();
    for ((words, ours), theirs) in requests.iter().zip(ours).zip(theirs) {
        match (words[0].as_str(), ours, theirs) {
            ("EXEC", Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
                for ((words, ours), theirs) in step.commands.iter().zip(ours).zip(theirs) {
                    let explained = explanation(words, ours, theirs, peer_is_newer);
                    met.extend(explained.map_err(|text| format!("in EXEC, {text}"))?);
                }
            }
            _ => {
                met.extend(explanation(words, ours, theirs, peer_is_newer)?);
                parted |= ours != theirs && sets_data_apart(words);
            }
        }
    }
    Ok(parted)
}

/// Leaves out of a failing sequence what it fails without: ever smaller runs of commands.
fn shrink(pair: &Pair, steps: &[Step]) -> Vec<Step> {
    let without = |steps: &[Step], from: usize, count: usize| -> Vec<Step> {
        let mut at = 0;
        let mut kept = steps.to_vec();
        for step in &mut kept {
            step.commands.retain(|_| {
                at += 1;
                at <= from || at > from + count
            });
        }
        kept.retain(|step| !step.commands.is_empty());
        kept
    };
    let length = |steps: &[Step]| steps.iter().map(|step| step.commands.len()).sum::<usize>();
    let mut steps = steps.to_vec();
    let mut chunk = length(&steps) / 2;
    let mut runs = 0;
    while chunk > 0 {
        // From the end: what comes behind the failure goes first.
        let mut from = length(&steps).saturating_sub(chunk);
        loop {
            let fewer = without(&steps, from, chunk);
            runs += 1;
            if pair.run(&fewer, &mut BTreeSet::new()).is_err() {
                steps = fewer;
            }
            if from == 0 || runs >= SHRINKING_RUNS {
                break;
            }
            from = from.saturating_sub(chunk);
        }
        if runs >= SHRINKING_RUNS {
            break;
        }
        chunk /= 2;
    }
    steps
}

/// Runs the sequences of a group against a program that is newer than the usual one, whose differences are not
/// all met.
pub fn compare_with(program: &str, group: &str, generator: &dyn Fn(&mut Words) -> Vec<String>) {
    let peer = Peer::of_program(program, TempDir::new());
    run_all(&peer, true, group, generator, SEEDS.chain([fastrand::u64(..)]), &mut |_, _| {});
}

/// Runs the sequences of a group: those of [`SEEDS`], of `further_seeds` (which meet what is rare) and a
/// random one. `group` is what [`Difference::group`](crate::differences::Difference) names.
fn compare(group: &str, generator: Generator, further_seeds: &[u64]) {
    let random_seed = fastrand::u64(..);
    let mut met = BTreeSet::new();
    let seeds = SEEDS.chain(further_seeds.iter().copied()).chain([random_seed]);
    run_all(&Peer::start(), false, group, &generator, seeds, &mut |seed, differences| {
        if seed != random_seed {
            met.extend(differences);
        }
    });
    if peer::is_the_usual_one() {
        let stale = DIFFERENCES.iter().enumerate();
        let stale: Vec<&str> = stale
            .filter(|(index, difference)| difference.group == group && !met.contains(index))
            .map(|(_, difference)| difference.reason)
            .collect();
        assert!(stale.is_empty(), "{group}: no fixed seed meets these known differences any more: {stale:?}");
    }
}

/// Runs the sequences of these seeds in both versions of the protocol. `met` hears which known differences each
/// has met.
fn run_all(
    peer: &Peer,
    peer_is_newer: bool,
    group: &str,
    generator: &dyn Fn(&mut Words) -> Vec<String>,
    seeds: impl Iterator<Item = u64> + Clone,
    met: &mut dyn FnMut(u64, BTreeSet<usize>),
) {
    for version in [2, 3] {
        let server = TestServer::with_clock(&[], Clock::system());
        let pair = Pair { server, theirs: local(peer.port), version, peer_is_newer };
        for seed in seeds.clone() {
            let steps = sequence(generator, seed);
            let mut differences = BTreeSet::new();
            if let Err(failure) = pair.run(&steps, &mut differences) {
                let fewer = shrink(&pair, &steps);
                let last = pair.run(&fewer, &mut BTreeSet::new()).err();
                panic!(
                    "{group}, seed {seed}, RESP{version}: {failure}\nthe commands that matter:\n{}which give {}",
                    listing(&fewer),
                    last.as_deref().unwrap_or("no difference when run once more")
                );
            }
            let reasons: Vec<&str> = differences.iter().map(|&index| DIFFERENCES[index].reason).collect();
            println!("{group}, seed {seed}, RESP{version}: known differences met: {reasons:?}");
            met(seed, differences);
        }
    }
}

fn listing(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let kind = if step.transaction { "transaction" } else { "pipeline" };
        writeln!(text, "  connection {}, {kind}: {:?}", step.connection, step.commands).expect("a string");
    }
    text
}

#[test]
fn strings_as_redis() {
    compare("string", string, &[]);
}

#[test]
fn keys_and_expiry_as_redis() {
    compare("generic", generic, &[]);
}

#[test]
fn sets_as_redis() {
    compare("set", set, &[]);
}

#[test]
fn hashes_as_redis() {
    compare("hash", hash, &[]);
}

#[test]
fn lists_as_redis() {
    compare("list", list, &[]);
}

#[test]
fn sorted_sets_as_redis() {
    compare("sorted set", sorted_set, &[14]);
}

#[test]
fn bitmaps_as_redis() {
    compare("bitmap", bitmap, &[]);
}

#[test]
fn hyperloglogs_as_redis() {
    compare("hyperloglog", hyperloglog, &[]);
}

#[test]
fn geo_as_redis() {
    compare("geo", geo, &[]);
}

#[test]
fn sort_as_redis() {
    compare("sort", sort, &[]);
}

#[test]
fn streams_as_redis() {
    compare("stream", stream, &[25]);
}
