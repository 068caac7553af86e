//! An append-only file that is repeated on several threads gives what its requests give one by one.

use std::fmt::Write as _;

use kvarts::shared::clock::Clock;

use crate::harness::*;

const LANES: &[(&str, &str)] = &[("appendonly", "yes"), ("io-threads", "4")];

/// Requests of one file: most of them on one key, all in an order that shows in the data.
struct Writer {
    rng: fastrand::Rng,
    lines: Vec<Vec<String>>,
    /// Of 1,000 requests so many are barriers.
    barriers: u32,
}

impl Writer {
    fn key(&mut self) -> String {
        format!("key:{}", self.rng.u32(..50))
    }

    fn push(&mut self, words: &[&str]) {
        self.lines.push(words.iter().map(|word| (*word).to_owned()).collect());
    }

    fn on_one_key(&mut self) {
        let (key, number) = (self.key(), self.lines.len().to_string());
        match self.rng.u32(..9) {
            0 => self.push(&["APPEND", &format!("text:{key}"), &number]),
            1 => self.push(&["RPUSH", &format!("list:{key}"), &number]),
            2 => self.push(&["LPOP", &format!("list:{key}")]),
            3 => self.push(&["HSET", &format!("hash:{key}"), &key, &number]),
            4 => self.push(&["ZADD", &format!("sorted:{key}"), &number, "member"]),
            5 => self.push(&["SET", &format!("text:{key}"), &number]),
            6 => self.push(&["XADD", &format!("stream:{key}"), &format!("{number}-1"), "f", &number]),
            7 => self.push(&["DEL", &format!("hash:{key}")]),
            _ => self.push(&["PEXPIREAT", &format!("text:{key}"), &(START_MS + 1_000_000).to_string()]),
        }
    }

    /// A request that is none of one key, or a transaction.
    fn barrier(&mut self) {
        let (a, b, number) = (self.key(), self.key(), self.lines.len().to_string());
        match self.rng.u32(..7) {
            0 => {
                let database = self.rng.u32(..3).to_string();
                self.push(&["SELECT", &database]);
            }
            1 => self.push(&["MSET", &format!("text:{a}"), &number, &format!("text:{b}"), &number]),
            2 => self.push(&["RENAME", &format!("list:{a}"), &format!("list:{b}")]),
            3 => self.push(&["SDIFFSTORE", &a, &format!("list:{a}"), &b]),
            4 => self.push(&["COPY", &format!("text:{a}"), &format!("text:{b}"), "DB", "1", "REPLACE"]),
            5 if self.rng.u32(..20) == 0 => self.push(&["FLUSHDB"]),
            _ => {
                self.push(&["MULTI"]);
                for _ in 0..self.rng.u32(..50) {
                    self.on_one_key();
                }
                self.push(&["EXEC"]);
            }
        }
    }

    fn write(seed: u64, count: usize, barriers: u32) -> Self {
        let mut writer = Self { rng: fastrand::Rng::with_seed(seed), lines: Vec::new(), barriers };
        while writer.lines.len() < count {
            match writer.rng.u32(..1000) < writer.barriers {
                true => writer.barrier(),
                false => writer.on_one_key(),
            }
        }
        writer
    }

    fn bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|words| encode(words)).collect()
    }
}

fn with_file(bytes: &[u8]) -> TempDir {
    let dir = TempDir::new();
    let folder = dir.path().join("appendonlydir");
    std::fs::create_dir(&folder).expect("a folder");
    let manifest = "file appendonly.aof.1.incr.aof seq 1 type i\n";
    std::fs::write(folder.join("appendonly.aof.manifest"), manifest).expect("a file");
    std::fs::write(folder.join("appendonly.aof.1.incr.aof"), bytes).expect("a file");
    dir
}

fn data(server: &TestServer) -> String {
    let mut client = server.client();
    let mut all = String::new();
    for database in 0..3 {
        client.check(&format!("SELECT {database}"), "+OK~");
        let mut keys = client.value("KEYS *").texts();
        keys.sort();
        for key in keys {
            let (dump, end) = (client.raw(&format!("DUMP {key}")), client.raw(&format!("PEXPIRETIME {key}")));
            writeln!(all, "{database} {key} {end} {dump}").expect("written");
        }
    }
    all
}

/// Whatever stands between them: few barriers and pieces that fill, many and pieces that are run aside.
#[test]
fn the_data_are_those_of_the_requests_one_by_one() {
    for (count, barriers) in [(20_000, 0), (20_000, 2), (8_000, 30), (4_000, 300)] {
        let seed = fastrand::u64(..);
        println!("seed {seed}, barriers {barriers}");
        let writer = Writer::write(seed, count, barriers);
        let bytes = writer.bytes();
        let one_by_one = TestServer::with_clock(&[], Clock::manual(START_MS));
        let mut client = one_by_one.client();
        // Few replies wait at any time, so that sending never does.
        for lines in writer.lines.chunks(100) {
            client.send(&lines.iter().flat_map(|words| encode(words)).collect::<Vec<_>>());
            lines.iter().for_each(|_| drop(client.read()));
        }
        let loaded = TestServer::try_with(LANES, Clock::manual(START_MS), with_file(&bytes));
        let loaded = loaded.expect("it starts");
        assert_eq!(data(&loaded), data(&one_by_one), "seed {seed}");
    }
}

/// The place of a request that cannot be repeated is told, wherever it stands: among what lanes run, in what
/// is run aside, before what is torn.
#[test]
fn the_first_wrong_request_is_told() {
    for count in [10, 300, 30_000] {
        let mut writer = Writer::write(count as u64, count, 0);
        let offset = writer.bytes().len();
        writer.push(&["CLUSTER", "SLOTS", "more"]);
        let mut bytes = writer.bytes();
        bytes.extend(Writer::write(1, count, 0).bytes());
        bytes.extend(encode(&["NONESUCH"]));
        bytes.extend(b"*x\r\n");
        let error = TestServer::try_with(LANES, Clock::manual(START_MS), with_file(&bytes));
        let error = error.err().expect("it does not start").to_string();
        assert!(error.contains("wrong number of arguments for 'cluster|slots'"), "{error}");
        assert!(error.contains(&format!("at offset {offset} ")), "{offset}: {error}");
    }
}

/// A long request is no lane's, a torn end is cut behind what lanes ran.
#[test]
fn long_requests_and_torn_ends() {
    let long = "v".repeat(3 << 20);
    let mut writer = Writer::write(7, 3000, 5);
    writer.push(&["SELECT", "0"]);
    writer.push(&["SET", "long", &long]);
    writer.push(&["APPEND", "long", "end"]);
    writer.push(&["SELECT", "2"]);
    writer.push(&["SET", "last", "1"]);
    let mut bytes = writer.bytes();
    let whole = bytes.len();
    bytes.extend(b"*3\r\n$3\r\nSET\r\n$4\r\nlast\r\n$1\r\n");
    let server = TestServer::try_with(LANES, Clock::manual(START_MS), with_file(&bytes)).expect("it starts");
    let mut client = server.client();
    client.check("STRLEN long", &format!(":{}~", long.len() + 3));
    client.check("SELECT 2", "+OK~");
    client.check("GET last", "$1~1~");
    let file = server.dir().join("appendonlydir/appendonly.aof.1.incr.aof");
    assert_eq!(std::fs::metadata(file).expect("a file").len(), whole as u64);
}

/// While the file is loaded, CONFIG SET and INFO are answered at once, and a signal is not forgotten.
#[test]
fn others_go_on_while_the_file_is_loaded() {
    let script = "local n = 0 for i = 1, 30000000 do n = n + i end return redis.call('SET', KEYS[1], n)";
    let slow = encode(&["EVAL", script, "1", "sum"]).repeat(3);
    let server = TestServer::loading(LANES, with_file(&slow));
    let mut client = server.client();
    client.check("CONFIG SET appendfsync always", "+OK~");
    client.check("CONFIG SET hz 20", "+OK~");
    assert!(client.raw("CONFIG SET appendonly no").starts_with("-LOADING"));
    assert_eq!(server.info("loading"), "1");
    assert_eq!(server.info("aof_enabled"), "1");
    assert!(client.raw("GET sum").starts_with("-LOADING"));
    eventually("it has loaded", || client.raw("GET sum") == "$15~450000015000000~");
    client.check("SET a 1", "+OK~");
    assert_eq!(server.info("aof_enabled"), "1");
}

/// A request of the file that asks for something of the file itself gets an error, and the rest is loaded.
#[test]
fn requests_that_touch_the_file_are_refused_while_it_is_loaded() {
    let mut writer = Writer::write(3, 100, 0);
    writer.push(&["BGREWRITEAOF"]);
    writer.push(&["INFO"]);
    writer.push(&["CONFIG", "SET", "hash-max-listpack-entries", "8"]);
    writer.push(&["CONFIG", "SET", "appendonly", "no"]);
    writer.push(&["SET", "last", "1"]);
    let loaded = TestServer::try_with(LANES, Clock::manual(START_MS), with_file(&writer.bytes()));
    let loaded = loaded.expect("it starts");
    loaded.client().check("GET last", "$1~1~");
    assert_eq!(loaded.info("aof_enabled"), "1");
}
