//! Snapshots: what they return is what was there at their instant, whatever is done meanwhile.

use kvarts::keyspace::record::{Record, ValueRef};
use kvarts::keyspace::snapshot::{Head, Kind, Sink, Snapshot};
use kvarts::keyspace::value::Object;
use kvarts::shared::clock::Clock;

use crate::differential::{Step, sequence};
use crate::differential_words::*;
use crate::harness::*;
use crate::journal::{BEGIN_MS, data, ending, rewritten};

/// Enters what a snapshot returns into a server.
struct Copy {
    server: TestServer,
    client: Client,
    large: Option<(Head, usize)>,
    /// Large values that came in pieces.
    pieces: usize,
}

impl Copy {
    fn new(now_ms: u64) -> Self {
        let server = TestServer::with_clock(&[], Clock::manual(now_ms));
        let client = server.client();
        Self { server, client, large: None, pieces: 0 }
    }

    fn run(&mut self, words: &[&[u8]]) {
        let request = encode(words);
        self.client.send(&request);
        let reply = self.client.read();
        assert!(!matches!(reply, Value::Error(_)), "{reply:?} to {}", String::from_utf8_lossy(&request));
        if let Value::Int(added) = reply
            && matches!(words[0], b"SADD" | b"ZADD" | b"HSET")
        {
            assert_eq!(added, 1, "each member comes once");
        }
    }

    /// One member of a large value is there; at the last one the key gets its expiry.
    fn one_more(&mut self) {
        let (head, count) = self.large.as_mut().expect("members come behind a head");
        *count += 1;
        if *count == head.count {
            let (head, _) = self.large.take().expect("a head");
            self.pieces += 1;
            if let Some(at_ms) = head.expire_at_ms {
                self.run(&[b"PEXPIREAT", &head.key, at_ms.to_string().as_bytes()]);
            }
        }
    }

    fn key(&self) -> Vec<u8> {
        self.large.as_ref().expect("a head").0.key.to_vec()
    }
}

impl Sink for Copy {
    fn database(&mut self, number: usize, _: usize, _: usize) {
        assert!(self.large.is_none(), "a large value is returned whole before anything else");
        self.run(&[b"SELECT", number.to_string().as_bytes()]);
    }

    fn record(&mut self, record: &Record) {
        assert!(self.large.is_none(), "a large value is returned whole before anything else");
        let at_ms = record.expire_at_ms().unwrap_or(0).to_string();
        let payload = kvarts::rdb::dump(record);
        self.run(&[b"RESTORE", record.key(), at_ms.as_bytes(), &payload, b"ABSTTL"]);
        // Payloads have no place for when members end.
        if let ValueRef::Object(Object::Set(set)) = record.value() {
            for (end_ms, member) in set.expiries() {
                let end_ms = end_ms.to_string();
                self.run(&[b"SPEXPIREAT", record.key(), end_ms.as_bytes(), b"MEMBERS", b"1", member]);
            }
        }
    }

    fn begin(&mut self, head: &Head) {
        self.large = Some((head.clone(), 0));
    }

    fn element(&mut self, element: &[u8]) {
        let (head, count) = self.large.as_ref().expect("elements come behind a head");
        assert_eq!(head.kind, Kind::List);
        let wanted = Value::Int(*count as i64 + 1);
        let key = self.key();
        self.client.send(&encode(&[b"RPUSH", &key[..], element]));
        assert_eq!(self.client.read(), wanted, "the elements of the list come from head to tail");
        self.one_more();
    }

    fn member(&mut self, member: &[u8], end_ms: Option<u64>) {
        let key = self.key();
        self.run(&[b"SADD", &key, member]);
        if let Some(end_ms) = end_ms {
            assert!(matches!(self.large, Some((Head { kind: Kind::Set { with_ends: true }, .. }, _))));
            self.run(&[b"SPEXPIREAT", &key, end_ms.to_string().as_bytes(), b"MEMBERS", b"1", member]);
        }
        self.one_more();
    }

    fn scored(&mut self, member: &[u8], score: f64) {
        self.run(&[b"ZADD", &self.key(), score.to_string().as_bytes(), member]);
        self.one_more();
    }

    fn field(&mut self, field: &[u8], value: &[u8], end_ms: Option<u64>) {
        let key = self.key();
        self.run(&[b"HSET", &key, field, value]);
        if let Some(end_ms) = end_ms {
            assert!(matches!(self.large, Some((Head { kind: Kind::Hash { with_ends: true }, .. }, _))));
            self.run(&[b"HPEXPIREAT", &key, end_ms.to_string().as_bytes(), b"FIELDS", b"1", field]);
        }
        self.one_more();
    }
}

/// Values that are frozen or copied, under names that the generators use.
pub fn fill_with_large_values(client: &mut Client, rng: &mut fastrand::Rng) {
    let mut run = |words: Vec<String>| {
        client.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
    };
    for (command, key) in [
        ("SADD", "set0"),
        ("SADD", "k1"),
        ("HSET", "hash0"),
        ("HSET", "k2"),
        ("ZADD", "zset0"),
        ("RPUSH", "list0"),
        ("RPUSH", "k3"),
    ] {
        let count = rng.usize(500..1500);
        let mut words = vec![command.to_owned(), key.to_owned()];
        for number in 0..count {
            match command {
                "ZADD" => words.extend([format!("{}", number * 7 % 100), format!("m{number}")]),
                "HSET" => words.extend([format!("m{number}"), format!("value{number}")]),
                _ => words.push(if number % 3 == 0 { number.to_string() } else { format!("m{number}") }),
            }
        }
        run(words);
    }
    run(vec!["SET".into(), "k4".into(), "x".repeat(30_000)]);
    let long: String = (0..300_000).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    for key in ["k5", "k6", "string0"] {
        run(vec!["SET".into(), key.into(), long.clone()]);
    }
    // More blocks than are written at once.
    let add = "for i = 1, 7000 do redis.call('XADD', KEYS[1], i .. '-1', 'f', i) end";
    for key in ["stream0", "k7"] {
        run(["EVAL", add, "1", key].map(String::from).to_vec());
        run(["XGROUP", "CREATE", key, "g0", "0"].map(String::from).to_vec());
        run(["XREADGROUP", "GROUP", "g0", "c", "COUNT", "30", "STREAMS", key, ">"]
            .map(String::from)
            .to_vec());
    }
    run(["HPEXPIRE", "hash0", "2000", "FIELDS", "3", "m1", "m2", "m3"].map(String::from).to_vec());
    run(["HPEXPIRE", "hash0", "100000", "FIELDS", "3", "m4", "m5", "m6"].map(String::from).to_vec());
    run(["PEXPIRE", "zset0", "5000"].map(String::from).to_vec());
    for number in 0..300 {
        // Many keys of one slot, so that the walk stops within it.
        run(vec!["SET".into(), format!("{{k0}}{number}"), number.to_string()]);
    }
}

/// Takes snapshots while random pipelines and transactions run between their pieces.
fn take_snapshots(generator: Generator, seeds: std::ops::RangeInclusive<u64>) {
    let mut pieces = 0;
    for seed in seeds.chain([fastrand::u64(..)]) {
        println!("seed {seed}");
        let server = TestServer::with_clock(&[], Clock::manual(BEGIN_MS));
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut clients = [server.client(), server.client(), server.client()];
        fill_with_large_values(&mut clients[0], &mut rng);
        clients[2].check("SELECT 1", "+OK~");
        let mut now_ms = BEGIN_MS;
        let mut steps = sequence(generator, seed).into_iter();
        let mut run = |step: &Step, rng: &mut fastrand::Rng| {
            step.run(&mut clients[step.connection]);
            let by_ms = [0, 0, 0, 1, 30, 700][rng.usize(..6)];
            server.advance_ms(by_ms);
            now_ms += by_ms;
            now_ms
        };
        for round in 0..3 {
            let Some(step) = steps.next() else { break };
            let instant_ms = run(&step, &mut rng);
            let expected = data(&server);
            let mut copy = Copy::new(instant_ms);
            let mut snapshot =
                server.handle().server().begin_snapshot(&|| false, || ()).expect("no other runs");
            assert!(server.handle().server().begin_snapshot(&|| false, || ()).is_none(), "one at a time");
            // One that is given up leaves nothing behind.
            let given_up = rng.u8(..3) == 0;
            // Some change much at the beginning of the walk, some little all along it.
            let often = [30, 150, 2000][rng.usize(..3)];
            while next(&mut snapshot, &mut copy) {
                if rng.u16(..) < often
                    && let Some(step) = steps.next()
                {
                    run(&step, &mut rng);
                    if given_up && rng.u8(..8) == 0 {
                        break;
                    }
                }
            }
            drop(snapshot);
            if given_up {
                continue;
            }
            let mut found = data(&copy.server);
            found.insert("functions".into(), expected["functions"].clone());
            for (key, value) in &expected {
                assert_eq!(Some(value), found.get(key), "{key}, seed {seed}, round {round}");
            }
            assert_eq!(found.len(), expected.len(), "{:?}", found.keys());
            pieces += copy.pieces;
        }
    }
    assert!(pieces > 0, "large values were read in pieces");
}

fn next(snapshot: &mut Snapshot<'_>, copy: &mut Copy) -> bool {
    snapshot.next(copy).expect("it can be finished")
}

#[test]
fn snapshots_are_of_one_instant() {
    take_snapshots(rewritten, 1..=6);
    take_snapshots(ending, 1..=4);
}

#[test]
fn snapshots_with_keys_that_are_renamed_and_deleted() {
    take_snapshots(generic, 1..=4);
}

#[test]
fn snapshots_of_sets_that_change() {
    take_snapshots(set, 1..=4);
}

#[test]
fn snapshots_of_hashes_that_change() {
    take_snapshots(hash, 1..=4);
}

#[test]
fn snapshots_of_sorted_sets_that_change() {
    take_snapshots(sorted_set, 1..=4);
}

#[test]
fn snapshots_of_lists_that_change() {
    take_snapshots(list, 1..=4);
}

#[test]
fn snapshots_of_strings_that_change() {
    take_snapshots(string, 1..=4);
}

#[test]
fn snapshots_of_bitmaps_that_change() {
    take_snapshots(bitmap, 1..=4);
}

#[test]
fn snapshots_of_streams_that_change() {
    take_snapshots(stream, 1..=4);
}
