//! The journal, repeated by a real Valkey: what was changed here is the same there, by type, expiry and
//! content.

use std::time::{SystemTime, UNIX_EPOCH};

use kvarts::shared::clock::Clock;

use crate::differential::sequence;
use crate::differential_words::*;
use crate::harness::*;
use crate::journal::{ending, read_all, rewritten};
use crate::peer::{Peer, tool_of_peers};
use crate::peer_files::shown;
use crate::value::parse;

/// How far this server's clock is ahead of the peer's: what ends is ended by entries of the journal, and
/// never by the peer itself.
pub const AHEAD_MS: u64 = 3_600_000;

/// Requests sent before their replies are read.
const PIPELINE: usize = 50;

/// Has the peer repeat a journal. Returns what it answered with errors.
fn feed(peer: &mut Client, mut bytes: &[u8]) -> Vec<String> {
    let mut errors = Vec::new();
    while !bytes.is_empty() {
        let mut requests = Vec::new();
        let whole = bytes;
        while requests.len() < PIPELINE
            && let Some((request, len)) = parse(bytes)
        {
            requests.push(request);
            bytes = &bytes[len..];
        }
        assert!(!requests.is_empty(), "whole requests");
        peer.send(&whole[..whole.len() - bytes.len()]);
        for request in requests {
            let reply = peer.read();
            if format!("{reply:?}").contains("Error(") {
                errors.push(format!("{:?} => {reply:?}", request.texts()));
            }
        }
    }
    errors
}

/// All keys of databases 0 and 1 with what they hold, and the libraries of functions.
pub fn data(client: &mut Client) -> Vec<(String, Vec<Value>)> {
    data_of(client, &["0", "1"])
}

/// All keys of these databases with what they hold, and the libraries of functions.
pub fn data_of(client: &mut Client, databases: &[&str]) -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for database in databases {
        client.check(&format!("SELECT {database}"), "+OK~");
        let mut keys = client.call(&["KEYS", "*"]).texts();
        keys.sort();
        for key in keys {
            all.push((format!("{database} {key}"), shown(client, &key)));
        }
    }
    for library in client.call(&["FUNCTION", "LIST", "WITHCODE"]).items() {
        all.push((library.field("library_name").text(), vec![library.field("library_code")]));
    }
    all
}

/// Runs random pipelines and transactions, with the time moved in between, and has a peer repeat the journal.
fn repeat(generator: Generator, seeds: std::ops::RangeInclusive<u64>) {
    let Some(program) = tool_of_peers("valkey-server") else {
        return eprintln!("skipped: no valkey-server is installed");
    };
    let peer = Peer::of_program(program.to_str().expect("a path"), TempDir::new());
    let mut theirs = Client::tcp(local(peer.port));
    let mut keys = 0;
    for seed in seeds {
        println!("seed {seed}");
        theirs.check("FLUSHALL", "+OK~");
        theirs.check("FUNCTION FLUSH", "+OK~");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        let server = TestServer::with_clock(&[], Clock::manual(now.as_millis() as u64 + AHEAD_MS));
        let journal = server.handle().server().journal();
        let reader = journal.listen(|| {});
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut clients = [server.client(), server.client(), server.client()];
        clients[2].check("SELECT 1", "+OK~");
        for step in sequence(generator, seed) {
            step.run(&mut clients[step.connection]);
            server.advance_ms([0, 0, 1, 30, 500, 3000][rng.usize(..6)]);
        }
        let expected = data(&mut server.client());
        let entries = read_all(journal, &reader);
        println!("{} bytes of entries, {} keys", entries.len(), expected.len());
        keys += expected.len();
        let mut errors = feed(&mut theirs, &entries);
        // No peer here knows when members of sets end; that is all it may miss.
        errors.retain(|error| {
            !["[\"SPEXPIREAT\"", "[\"SPERSIST\""].iter().any(|unknown| error.starts_with(unknown))
        });
        assert_eq!(errors, [""; 0], "seed {seed}");
        let found = data(&mut theirs);
        for (ours, theirs) in expected.iter().zip(&found) {
            assert_eq!(ours, theirs, "seed {seed}");
        }
        assert_eq!(expected.len(), found.len(), "seed {seed}");
    }
    assert!(keys > 2, "there is something to compare");
}

#[test]
fn a_peer_repeats_strings_and_keys() {
    repeat(string, 1..=2);
    repeat(generic, 1..=2);
    repeat(bitmap, 1..=1);
    repeat(hyperloglog, 1..=1);
}

#[test]
fn a_peer_repeats_collections() {
    repeat(hash, 1..=2);
    repeat(list, 1..=2);
    repeat(set, 1..=2);
    repeat(sorted_set, 1..=2);
    repeat(geo, 1..=1);
    repeat(sort, 1..=1);
}

#[test]
fn a_peer_repeats_streams_with_their_groups() {
    repeat(stream, 1..=5);
}

#[test]
fn a_peer_repeats_commands_that_were_rewritten() {
    repeat(rewritten, 1..=6);
}

/// A peer that does not know that members of sets end loses nothing else, in transactions neither.
#[test]
fn a_peer_repeats_sets_of_which_members_end() {
    repeat(ending, 1..=6);
}
