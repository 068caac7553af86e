//! The program is killed at random moments under load: what it acknowledged is there when it starts again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::harness::*;
use crate::program::Program;
use crate::value::parse;

/// How often it is killed; the environment variable has it done more often.
fn kills() -> u64 {
    std::env::var("KVARTS_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(4)
}

const CLIENTS: usize = 4;

/// Requests of one round of a client; `I` is the client's number and `N` that of the round.
const ROUND: &[&[&str]] = &[
    &["SET one:I N"],
    &["MULTI", "SET {left}:I N", "SET {right}:I N", "RPUSH list:I N", "EXEC"],
    &["XADD stream:I * n N"],
    &["EVAL SCRIPT 2 first:I second:I N"],
];

const SCRIPT: &str = "redis.call('set', KEYS[1], ARGV[1]) redis.call('set', KEYS[2], ARGV[1]) return ARGV[1]";

/// How far each client has come.
#[derive(Debug, Default)]
struct Ledger {
    /// Rounds that were begun, of which all replies have come, and parts of the last one that were
    /// acknowledged.
    begun: AtomicU64,
    acknowledged: [AtomicU64; 4],
}

fn request(line: &str, client: usize, round: u64) -> Vec<u8> {
    let (client, round) = (client.to_string(), round.to_string());
    let words = line.split(' ').map(|word| match word {
        "N" => round.clone(),
        "SCRIPT" => SCRIPT.to_owned(),
        word => word.replace(":I", &format!(":{client}")),
    });
    encode(&words.collect::<Vec<_>>())
}

/// Reads `count` replies. Returns false where the connection has ended before.
fn replies(stream: &mut TcpStream, buffer: &mut Vec<u8>, mut count: usize) -> bool {
    loop {
        while let Some((value, len)) = parse(buffer) {
            let shown = format!("{value:?}");
            assert!(!shown.contains("Error"), "{shown}");
            buffer.drain(..len);
            count -= 1;
            if count == 0 {
                return true;
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(read) => buffer.extend_from_slice(&piece[..read]),
        }
    }
}

/// Writes rounds until the program is gone.
fn write_rounds(port: u16, client: usize, ledger: &Ledger) {
    let Ok(mut stream) = TcpStream::connect(local(port)) else { return };
    let mut buffer = Vec::new();
    loop {
        let round = ledger.begun.fetch_add(1, SeqCst) + 1;
        for (part, lines) in ROUND.iter().enumerate() {
            let bytes: Vec<u8> = lines.iter().flat_map(|line| request(line, client, round)).collect();
            if stream.write_all(&bytes).is_err() || !replies(&mut stream, &mut buffer, lines.len()) {
                return;
            }
            ledger.acknowledged[part].store(round, SeqCst);
        }
    }
}

/// Asks for rewrites until the program is gone.
fn rewrite_often(port: u16, stop: &AtomicBool) {
    let Ok(mut stream) = TcpStream::connect(local(port)) else { return };
    let mut buffer = Vec::new();
    while !stop.load(SeqCst) {
        if stream.write_all(&encode(&["BGREWRITEAOF"])).is_err() {
            return;
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => buffer.extend_from_slice(&piece[..read]),
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(1..40)));
    }
}

fn number(client: &mut Client, line: &str) -> u64 {
    match client.value(line) {
        Value::Null => 0,
        Value::Int(number) => number as u64,
        other => other.text().parse().expect("a number"),
    }
}

/// What the manifest names and which files there are, to be told where something is missing.
fn listing(program: &Program) -> String {
    let folder = program.dir().join("appendonlydir");
    let mut text = std::fs::read_to_string(folder.join("appendonly.aof.manifest")).unwrap_or_default();
    for entry in std::fs::read_dir(&folder).expect("the folder") {
        let entry = entry.expect("an entry");
        let len = entry.metadata().map_or(0, |metadata| metadata.len());
        text.push_str(&format!("{:?} {len}\n", entry.file_name()));
    }
    text + &program.log()
}

/// Compares the data with the ledger, and lets the ledger go on from the data.
fn check(program: &Program, ledgers: &[Ledger], kill: u64) {
    let mut client = program.client();
    for (index, ledger) in ledgers.iter().enumerate() {
        let mut get = |key: &str| number(&mut client, &format!("GET {key}:{index}"));
        let one = get("one");
        let (left, right, first, second) = (get("{left}"), get("{right}"), get("first"), get("second"));
        let list = number(&mut client, &format!("LLEN list:{index}"));
        let stream = number(&mut client, &format!("XLEN stream:{index}"));
        assert_eq!((left, first), (right, second), "half a transaction or script, kill {kill}");
        let begun = ledger.begun.load(SeqCst);
        for (part, found) in [one, left, stream, first].into_iter().enumerate() {
            let acknowledged = ledger.acknowledged[part].load(SeqCst);
            assert!(
                (acknowledged..=begun).contains(&found),
                "kill {kill}, client {index}, part {part}: {found} of {acknowledged} acknowledged, {begun} sent\n{}",
                listing(program)
            );
        }
        assert_eq!(list, left, "the transaction's list, kill {kill}");
        // A round that was torn is made whole, so that lengths and numbers stay the same.
        let mut finish = |part: usize, found: u64| {
            if found < begun {
                for line in ROUND[part] {
                    client.send(&request(line, index, begun));
                    client.read_raw();
                }
            }
        };
        [one, left, stream, first].into_iter().enumerate().for_each(|(part, found)| finish(part, found));
    }
}

/// kill -9 with `appendfsync always`: no acknowledged write is lost and no half transaction or script is
/// seen, while rewrites run; over strings, transactions with several keys, streams and scripts.
#[test]
fn nothing_acknowledged_is_lost() {
    let ledgers: Arc<Vec<Ledger>> = Arc::new((0..CLIENTS).map(|_| Ledger::default()).collect());
    let flags = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut program = Program::start(&flags);
    for kill in 1..=kills() {
        let port = program.port();
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let ledgers = Arc::clone(&ledgers);
                std::thread::spawn(move || write_rounds(port, client, &ledgers[client]))
            })
            .collect();
        let stopped = Arc::clone(&stop);
        threads.push(std::thread::spawn(move || rewrite_often(port, &stopped)));
        std::thread::sleep(Duration::from_millis(fastrand::u64(5..120)));
        let dir = program.kill();
        stop.store(true, SeqCst);
        threads.into_iter().for_each(|thread| thread.join().expect("a client saw no error"));
        program = Program::start_at(port, dir, "", &flags);
        check(&program, &ledgers, kill);
    }
    let rounds: u64 = ledgers.iter().map(|ledger| ledger.begun.load(SeqCst)).sum();
    println!("{} kills, {rounds} rounds of 4 acknowledged writes", kills());
    assert!(rounds > 0);
}

/// kill -9 with `everysec`: what was acknowledged two seconds before is there.
#[test]
fn everysec_loses_two_seconds_at_most() {
    let flags = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let program = Program::start(&flags);
    let mut client = program.client();
    let mut written: Vec<(Instant, u64)> = Vec::new();
    let began = Instant::now();
    for number in 1.. {
        client.check(&format!("SET number {number}"), "+OK~");
        written.push((Instant::now(), number));
        if began.elapsed() > Duration::from_millis(2500) {
            break;
        }
    }
    let dir = program.kill();
    let killed = Instant::now();
    let safe = written.iter().rev().find(|(at, _)| killed.duration_since(*at) > Duration::from_secs(2));
    let safe = safe.expect("writes before that").1;
    let program = Program::start_in(dir, "", &flags);
    let found = number(&mut program.client(), "GET number");
    println!("{found} of {} writes are there", written.len());
    assert!(found >= safe, "{found} of {safe}");
}
