//! Random commands by two clients in two databases, in transactions as well, while time passes: what a server keeps
//! beside its keys, counts and indexes, is at all times that of a walk over them.

use crate::harness::*;

/// Commands on whole keys, for every kind of value. `FLUSHDB` comes besides, more rarely.
const OF_KEYS: &[&str] = &[
    "SET K v",
    "SET K v PX T",
    "DEL K",
    "UNLINK K",
    "GETDEL K",
    "RENAME K K",
    "COPY K K REPLACE",
    "COPY K K DB 1 REPLACE",
    "MOVE K 1",
    "MOVE K 0",
    "PEXPIRE K T",
    "PERSIST K",
    "SWAPDB 0 1",
    "DEBUG RELOAD",
];

/// Sends `commands` and those on whole keys at random, up to five at once. After each `rounds` of them calls `agrees`
/// with the clients of databases 0 and 1 and with what was sent, for an assertion's text.
pub fn after_each(commands: &[&str], rounds: usize, agrees: impl Fn(&TestServer, &mut [Client; 2], &str)) {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut clients = [server.client(), server.client()];
    clients[1].check("SELECT 1", "+OK~");
    let all = [commands, OF_KEYS].concat();
    for seed in [1, 2, fastrand::u64(..)] {
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for round in 0..rounds {
            let client = &mut clients[rng.usize(..2)];
            // None, one that stays, or one that may be undone.
            let multi = ["", "", "MULTI", "MULTI ATOMIC"][rng.usize(..4)];
            if !multi.is_empty() {
                client.check(multi, "+OK~");
            }
            let chosen: Vec<String> = (0..rng.usize(1..6)).map(|_| one_of(&mut rng, &all)).collect();
            for command in &chosen {
                client.value(command);
            }
            if !multi.is_empty() {
                client.value("EXEC");
            }
            server.advance_ms(rng.u64(..30));
            agrees(&server, &mut clients, &format!("seed {seed}, round {round}: {multi} {chosen:?}"));
        }
        clients[0].check("FLUSHALL", "+OK~");
    }
}

/// One of the commands, with words for `K` (a key), `F` (an element) and `T` (a time).
fn one_of(rng: &mut fastrand::Rng, commands: &[&str]) -> String {
    let line = if rng.u8(..60) == 0 { "FLUSHDB" } else { commands[rng.usize(..commands.len())] };
    let words = line.split(' ').map(|word| match word {
        "K" => format!("k{}", rng.u8(..4)),
        "F" => format!("f{}", rng.u8(..3)),
        "T" => rng.u16(..60).to_string(),
        _ => word.to_owned(),
    });
    let words: Vec<String> = words.collect();
    words.join(" ")
}
