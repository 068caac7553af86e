//! Random transactions and scripts: what WATCH sees is what Redis sees, and what fails leaves no trace.

use kvarts::shared::clock::Clock;

use crate::differential_words::{Generator, Words, hash, list, set, sorted_set, stream, string};
use crate::harness::*;
use crate::peer::Peer;

/// What changes keys of each type, and reads them.
const GENERATORS: [Generator; 6] = [string, set, hash, list, sorted_set, stream];

/// Commands that wait are left out (none of them is to wait here), and those whose replies need not be the
/// same.
fn command(words: &mut Words) -> Vec<String> {
    loop {
        let generator = GENERATORS[words.0.usize(..GENERATORS.len())];
        let command = generator(words);
        if !command.iter().any(|word| word.eq_ignore_ascii_case("BLOCK")) {
            return command;
        }
    }
}

#[test]
fn watch_sees_what_redis_sees() {
    /// Commands after which the servers may differ although both are right: random picks, and Valkey's own.
    const APART: [&str; 5] = ["SPOP", "SET", "DELIFEQ", "GETEX", "XADD"];
    const ROUNDS: usize = 600;
    let peer = Peer::start();
    let server = TestServer::with_clock(&[], Clock::system());
    for seed in [1, 2, fastrand::u64(..)] {
        println!("seed {seed}");
        let mut words = Words(fastrand::Rng::with_seed(seed));
        let (mut ours, mut our_other) = (server.client(), server.client());
        let (mut theirs, mut their_other) = (Client::tcp(local(peer.port)), Client::tcp(local(peer.port)));
        let (mut tripped, mut passed) = (0, 0);
        for client in [&mut ours, &mut theirs] {
            client.check("FLUSHALL", "+OK~");
        }
        for round in 0..ROUNDS {
            let watched: Vec<String> = (0..words.0.usize(1..3)).map(|_| words.key()).collect();
            let watch = [vec!["WATCH".to_owned()], watched.clone()].concat();
            let mut commands = Vec::new();
            let count = words.0.usize(0..4);
            while commands.len() < count {
                let command = command(&mut words);
                let name = command[0].to_uppercase();
                let plain_set = name == "SET" && command.len() == 3;
                if plain_set || !APART.contains(&name.as_str()) {
                    commands.push(command);
                }
            }
            let mut replies = Vec::new();
            for (client, other) in [(&mut ours, &mut our_other), (&mut theirs, &mut their_other)] {
                assert_eq!(client.call(&watch), Value::Simple("OK".into()));
                for command in &commands {
                    other.call(command);
                }
                client.value("MULTI");
                client.value("PING");
                replies.push(client.value("EXEC"));
            }
            assert_eq!(
                replies[0], replies[1],
                "seed {seed}, round {round}: watched {watched:?}, then {commands:?}"
            );
            if replies[0] == Value::NullArray { tripped += 1 } else { passed += 1 }
        }
        // Most commands read, or find a key of another type.
        assert!(tripped >= 10 && passed >= 10, "{tripped} tripped, {passed} passed");
    }
}

/// All that is known of every key, but when it was last read: what failed has read it all the same.
fn snapshot(client: &mut Client) -> Vec<(String, [Value; 3])> {
    let mut keys = client.value("KEYS *").texts();
    keys.sort();
    let of = |client: &mut Client, key: &str| {
        ["DUMP K", "PEXPIRETIME K", "OBJECT ENCODING K"].map(|line| client.value(&line.replace('K', key)))
    };
    keys.into_iter().map(|key| (key.clone(), of(client, &key))).collect()
}

/// Words of Lua that are these bytes.
fn quoted(word: &str) -> String {
    let escaped: String = word.bytes().map(|byte| format!("\\{byte:03}")).collect();
    format!("'{escaped}'")
}

/// Has `try_it` run random commands on keys that random commands have made, many times. It is given the
/// client, the commands, and what was there before.
fn in_rounds(mut try_it: impl FnMut(&mut Client, &[Vec<String>], &[(String, [Value; 3])])) {
    let server = TestServer::start();
    let mut client = server.client();
    for seed in [1, 2, fastrand::u64(..)] {
        println!("seed {seed}");
        let mut words = Words(fastrand::Rng::with_seed(seed));
        client.check("FLUSHALL", "+OK~");
        for _ in 0..ROUNDS {
            for _ in 0..words.0.usize(0..6) {
                client.call(&command(&mut words));
            }
            server.advance_ms(words.0.u64(0..3_000));
            let before = snapshot(&mut client);
            let commands: Vec<_> = (0..words.0.usize(1..12)).map(|_| command(&mut words)).collect();
            try_it(&mut client, &commands, &before);
        }
    }
}

/// Rounds for each seed.
const ROUNDS: usize = 200;

#[test]
fn a_script_that_fails_anywhere_leaves_no_trace() {
    let mut changed = 0;
    in_rounds(|client, commands, before| {
        let lines = commands.iter().map(|command| {
            let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
            format!("redis.pcall({})\n", words.join(", "))
        });
        let body = lines.collect::<String>();
        let atomic = format!("#!lua flags=atomic\n{body}error('enough')");
        let reply = client.call(&["EVAL", &atomic, "0"]).text();
        assert!(reply.contains("enough"), "{reply}");
        assert_eq!(snapshot(client), before, "{commands:?}");
        // The same without an error stays.
        client.call(&["EVAL", &format!("#!lua flags=atomic\n{body}"), "0"]);
        changed += usize::from(snapshot(client) != before);
    });
    assert!(changed > 3 * ROUNDS / 4, "{changed} scripts changed anything");
}

#[test]
fn a_transaction_that_fails_leaves_no_trace() {
    let mut rolled_back = 0;
    in_rounds(|client, commands, before| {
        client.value("MULTI ATOMIC");
        for command in commands {
            client.call(command);
        }
        // Whatever the others do, this one fails.
        client.value("SET fails text");
        client.value("LPUSH fails element");
        let reply = client.value("EXEC").text();
        assert!(reply.starts_with("EXECABORT"), "{reply}");
        rolled_back += usize::from(reply.contains("rolled back"));
        assert_eq!(snapshot(client), before, "{commands:?}");
    });
    assert!(rolled_back > 3 * ROUNDS / 4, "{rolled_back} were rolled back");
}
