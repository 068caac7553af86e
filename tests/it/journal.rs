//! The journal: what it holds, repeated in an empty server, gives the same data.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kvarts::journal::{Journal, Reader};
use kvarts::shared::clock::Clock;

use crate::differential::sequence;
use crate::differential_words::*;
use crate::harness::*;
use crate::value::{Value, parse};

pub const BEGIN_MS: u64 = 1_700_000_000_000;

/// Commands with relative times, chance, several keys or waits, beside those of the other generators.
const REWRITTEN: &[&str] = &[
    "SET K V PX T",
    "SET K V EX T GET",
    "SET K V EXAT 1700000005",
    "SET K V PXAT 1600000000000",
    "SET K V IFEQ V",
    "SETEX K T V",
    "PSETEX K T V",
    "GETEX K PX T",
    "GETEX K EXAT 1600000000",
    "GETEX K PERSIST",
    "GETDEL K",
    "SET K V IFNE V PX T",
    "SET K V IFDEQ D",
    "SET K V IFDNE D GET",
    "DELIFEQ K V",
    "DELEX K IFEQ V",
    "DELEX K IFNE V",
    "DELEX K IFDNE D",
    "DELEX K",
    "INCREX K",
    "INCREX K BYINT 5 UBOUND 20 SATURATE PX T",
    "INCREX K BYINT -3 LBOUND 0 EX T ENX",
    "INCREX K BYFLOAT 0.1 PERSIST",
    "INCREX K NX EXAT 1600000000",
    "CALL INCREX K XX PX T",
    "MSETEX 2 K V K V PX T",
    "MSETEX 2 K V K V KEEPTTL",
    "MSETEX 1 K V NX EXAT 1600000000",
    "INCRBYFLOAT K 1.5",
    "INCR K",
    "APPEND K V",
    "PEXPIRE K T",
    "EXPIRE K T NX",
    "EXPIRE K T GT",
    "EXPIREAT K 1600000000",
    "PERSIST K",
    "COPY K K REPLACE",
    "COPY K K DB 1 REPLACE",
    "MOVE K 1",
    "RENAME K K",
    "RENAMENX K K",
    "DEL K K",
    "UNLINK K",
    "SORT K ALPHA STORE K",
    "HSET H M V M V",
    "HSETNX H M V",
    "HINCRBY H M 5",
    "HINCRBYFLOAT H M 1.25",
    "HEXPIRE H T FIELDS 1 M",
    "HPEXPIRE H T FIELDS 2 M M",
    "HPEXPIRE H T NX FIELDS 2 M M",
    "HEXPIREAT H 1600000000 FIELDS 1 M",
    "HPERSIST H FIELDS 2 M M",
    "HGETEX H PX T FIELDS 2 M M",
    "HGETEX H PERSIST FIELDS 1 M",
    "HGETEX H EXAT 1600000000 FIELDS 1 M",
    "HSETEX H PX T FIELDS 2 M V M V",
    "HSETEX H KEEPTTL FIELDS 2 M V M V",
    "HSETEX H FNX EX T FIELDS 1 M V",
    "HSETEX H FXX KEEPTTL FIELDS 1 M V",
    "HSETEX H PXAT 1600000000000 FIELDS 1 M V",
    "HGETDEL H FIELDS 2 M M",
    "HDEL H M M",
    "PEXPIRE H T",
    "RPUSH L V V V",
    "LPUSH L V",
    "LPOP L",
    "RPOP L 2",
    "LMPOP 2 L L RIGHT COUNT 2",
    "CALL BLPOP L L 0.01",
    "CALL BRPOP L 0.01",
    "CALL BLMPOP 0.01 2 L L LEFT COUNT 2",
    "CALL BLMOVE L L LEFT RIGHT 0.01",
    "CALL BRPOPLPUSH L L 0.01",
    "LMOVE L L RIGHT LEFT",
    "LMOVEM L L RIGHT LEFT COUNT 2 OBO",
    "LMOVEM L L LEFT LEFT COUNT 3 OBO",
    "LMOVEM L L RIGHT RIGHT EXACTLY 2 BULK",
    "CALL BLMOVEM L L LEFT LEFT 0.01 COUNT 2 BULK",
    "SADD S M M M",
    "SPOP S",
    "SPOP S 2",
    "SPOP S 100",
    "SMOVE S S M",
    "SUNIONSTORE S S S",
    "SDIFFSTORE S S S",
    "PEXPIRE S T",
    "HIMPORT PREPARE u a f",
    "HIMPORT PREPARE u f M n",
    "HIMPORT SET H u V M",
    "HIMPORT SET H u 1 V M",
    "ZADD Z 1 M 2 M",
    "ZADD Z INCR 1.5 M",
    "ZINCRBY Z 0.1 M",
    "ZMPOP 2 Z Z MAX COUNT 2",
    "CALL BZPOPMIN Z Z 0.01",
    "CALL BZPOPMAX Z 0.01",
    "CALL BZMPOP 0.01 1 Z MIN",
    "ZPOPMIN Z",
    "ZMOVE Z Z MAX COUNT 2",
    "ZMOVE Z Z BYSCORE 0.1 (2",
    "ZMOVEMEMBER Z Z MEMBERS 2 M M",
    "ZMOVEMEMBER Z Z NX MEMBERS 2 M M",
    "CALL BZMOVE Z Z MIN 0.01",
    "ZUNIONSTORE Z 2 Z S",
    "ZINTERSTORE Z 2 Z S",
    "ZUNIONSTORE Z 2 Z S AGGREGATE COUNT",
    "ZINTERSTORE Z 2 Z S WEIGHTS 1 0.3 AGGREGATE COUNT",
    "ZRANGESTORE Z Z 0 1",
    "PEXPIRE Z T",
    "PFADD K M M",
    "PFCOUNT K",
    "PFMERGE K K",
    "SETBIT K 9 1",
    "BITFIELD K INCRBY u8 0 3",
    "BITOP NOT K K",
    "BITOP DIFF K K K",
    "BITOP ONE K K K K",
    "BITOP ANDOR K K K",
    "XADD X * f V",
    "XADD X MAXLEN ~ 3 * f V",
    "XADD X MAXLEN 3 * f V",
    "XADD X MINID ~ 1700000000500 * f V",
    "XTRIM X MAXLEN ~ 2",
    "XTRIM X MINID 1700000001000",
    "XGROUP CREATE X gr $ MKSTREAM",
    "XGROUP CREATE X gr 0",
    "XREADGROUP GROUP gr M COUNT 2 STREAMS X >",
    "XREADGROUP GROUP gr M NOACK STREAMS X >",
    "XREADGROUP GROUP gr M STREAMS X 0",
    "CALL XREADGROUP GROUP gr M BLOCK 10 STREAMS X X > >",
    "XAUTOCLAIM X gr M 0 0",
    "XAUTOCLAIM X gr M 0 0 COUNT 1 JUSTID",
    "XREADGROUP GROUP gr M CLAIM 5 COUNT 3 STREAMS X >",
    "XNACK X gr FAIL IDS 2 1900000000000-I 1900000000000-I",
    "XNACK X gr SILENT IDS 1 1900000000000-I FORCE",
    "XNACK X gr FATAL IDS 2 1900000000000-I 1900000000000-I RETRYCOUNT 4",
    "XREADGROUP GROUP gr M MAXCOUNT 3 STREAMS X X > >",
    "XREADGROUP GROUP gr M MAXSIZE 60 STREAMS X X > >",
    "XADD X MAXLEN 3 DELREF * f V",
    "XADD X MAXLEN 3 ACKED * f V",
    "XTRIM X MAXLEN ~ 2 DELREF",
    "XTRIM X MAXLEN 1 ACKED",
    "XADD X 1900000000000-I f V",
    "XDELEX X DELREF IDS 2 1900000000000-I 1900000000000-I",
    "XDELEX X ACKED IDS 2 1900000000000-I 1900000000000-I",
    "XDELEX X IDS 1 1900000000000-I",
    "XACKDEL X gr IDS 2 1900000000000-I 1900000000000-I",
    "XACKDEL X gr DELREF IDS 2 1900000000000-I 1900000000000-I",
    "XACKDEL X gr ACKED IDS 2 1900000000000-I 1900000000000-I",
    "CALL XACKDEL X gr IDS 1 1900000000000-I",
    "PEXPIRE X T",
    "SELECT 0",
    "SELECT 1",
    "SWAPDB 0 1",
    "EVAL S1 2 K L",
    "EVAL S2 2 K L",
    "EVAL S3 0",
    "FUNCTION FLUSH",
    "FUNCTION LOAD REPLACE F",
    "FCALL work 1 K",
    "RESTORE K T P REPLACE",
    "FLUSHDB",
    "PUBLISH a b",
];

/// Entries that producers add once, beside what else changes their streams. Peers do not know all of it.
const PRODUCED: &[&str] = &[
    "XADD X IDMP pid M * f V",
    "XADD X IDMP pid M MAXLEN ~ 3 * f V",
    "XADD X IDMPAUTO M MAXLEN 0 * f V",
    "CALL XADD X IDMPAUTO pid ACKED MAXLEN 2 * f M",
    "XCFGSET X IDMP-MAXSIZE 3",
    "XCFGSET X IDMP-DURATION 2 IDMP-MAXSIZE 2",
    "XADD X IDMPAUTO pid DELREF MAXLEN 4 * f M",
    "XADD X * f V",
    "XTRIM X MAXLEN 1",
    "XGROUP CREATE X gr 0 MKSTREAM",
    "XREADGROUP GROUP gr M COUNT 2 STREAMS X >",
    "COPY X X REPLACE",
    "RENAME X X",
    "DEL X",
    "PEXPIRE X T",
];

/// Members of sets that end, beside what else changes their sets. Peers do not know their ends.
const ENDING: &[&str] = &[
    "SADD S M M M",
    "SREM S M",
    "SPOP S",
    "SMOVE S S M",
    "SPEXPIRE S T MEMBERS 2 M M",
    "SPEXPIRE S T GT MEMBERS 1 M",
    "SPERSIST S MEMBERS 2 M M",
    "SADDEX S PX T MEMBERS 2 M M",
    "SADDEX S T M M",
    "SADDEX S MEMBERS 2 M M",
    "SEXPIREAT S 1600000000 MEMBERS 2 M M",
    "CALL SPEXPIRE S T MEMBERS 2 M M",
    "RENAME S S",
    "COPY S S REPLACE",
    "SINTERSTORE S S S",
    "SUNIONSTORE S S S",
    "ZUNIONSTORE Z 2 Z S",
    "SORT S ALPHA STORE L",
    "COPY S S DB 1 REPLACE",
    "SWAPDB 0 1",
    "DEL S",
    "SET K V",
    "PEXPIRE S T",
];

pub fn ending(words: &mut Words) -> Vec<String> {
    let line = words.of(ENDING);
    of_line(words, line)
}

pub fn rewritten(words: &mut Words) -> Vec<String> {
    let mut line = words.of(REWRITTEN);
    if matches!(line, "FLUSHDB" | "FUNCTION FLUSH" | "SWAPDB 0 1") && words.0.u8(..4) > 0 {
        line = "SET K V";
    }
    of_line(words, line)
}

fn produced(words: &mut Words) -> Vec<String> {
    let line = words.of(PRODUCED);
    of_line(words, line)
}

fn of_line(words: &mut Words, line: &str) -> Vec<String> {
    let mut line: Vec<String> = line.split(' ').map(|word| word_of(words, word)).collect();
    if line[0] == "CALL" {
        // Within a script it does not wait.
        let is_key = |word: &&String| ["list", "zset", "stream"].iter().any(|kind| word.starts_with(kind));
        let keys: Vec<String> = line.iter().filter(is_key).cloned().collect();
        let script = "return redis.call(unpack(ARGV))".to_owned();
        line = [vec!["EVAL".to_owned(), script, keys.len().to_string()], keys, line.split_off(1)].concat();
    }
    line
}

fn word_of(words: &mut Words, word: &str) -> String {
    let place = words.0.u8(..3);
    match word {
        "K" => words.key(),
        "M" => words.member(),
        "V" => words.value(),
        "T" => ["1", "3", "40", "700", "2000", "100000"][words.0.usize(..6)].to_owned(),
        "H" => format!("hash{place}"),
        "L" => format!("list{place}"),
        "S" => format!("set{place}"),
        "Z" => format!("zset{place}"),
        "X" => format!("stream{place}"),
        "S1" => "redis.call('set', KEYS[1], 1, 'px', 700); redis.call('rpush', KEYS[2], 'x', 'y'); return 1".into(),
        "S2" => "redis.call('incr', KEYS[1]); redis.pcall('lpush', KEYS[1], 'x'); error('no more')".into(),
        "S3" => "redis.call('select', 1); redis.call('sadd', 'set0', 'of a script'); return redis.call('spop', 'set0')".into(),
        "F" => "#!lua name=lib\nserver.register_function('work', function(keys) return server.call('append', keys[1], 'f') end)".into(),
        "P" => "\0\u{1}".into(), // Broken: refused.
        "D" => words.digest(),
        other => match other.strip_suffix("-I") {
            Some(ms) => format!("{ms}-{}", words.0.u8(..20)),
            None => other.to_owned(),
        },
    }
}

/// All data of a server, as a text for each key.
pub fn data(server: &TestServer) -> BTreeMap<String, String> {
    let mut client = server.client();
    let mut all = BTreeMap::new();
    let functions = client.call(&["FUNCTION", "DUMP"]);
    all.insert("functions".to_owned(), format!("{functions:?}"));
    for database in ["0", "1"] {
        client.call(&["SELECT", database]);
        for key in client.call(&["KEYS", "*"]).texts() {
            all.insert(format!("{database} {key}"), content(&mut client, &key));
        }
    }
    all
}

pub fn content(client: &mut Client, key: &str) -> String {
    let kind = client.call(&["TYPE", key]).text();
    let mut text = format!("{kind} ends {:?}: ", client.call(&["PEXPIRETIME", key]));
    let mut show = |value: Value| write!(text, "{value:?} ").expect("a string");
    match kind.as_str() {
        "string" | "list" | "zset" => show(client.call(&["DUMP", key])),
        "set" => {
            let mut members = client.call(&["SMEMBERS", key]).texts();
            members.sort();
            for member in members {
                // Peers have no ends of members.
                let end = client.call(&["SPEXPIRETIME", key, "MEMBERS", "1", &member]);
                if !matches!(end, Value::Error(_)) {
                    show(end);
                }
                show(Value::Simple(member));
            }
        }
        "hash" => {
            let mut fields = client.call(&["HKEYS", key]).texts();
            fields.sort();
            for field in fields {
                show(client.call(&["HGET", key, &field]));
                show(client.call(&["HPEXPIRETIME", key, "FIELDS", "1", &field]));
                show(Value::Simple(field));
            }
        }
        "stream" => {
            show(client.call(&["XRANGE", key, "-", "+"]));
            let groups = client.call(&["XINFO", "GROUPS", key]);
            for group in groups.items() {
                let name = group.items()[1].text();
                show(client.call(&["XPENDING", key, &name, "-", "+", "1000"]));
                for consumer in client.call(&["XINFO", "CONSUMERS", key, &name]).items() {
                    show(consumer.items()[1].clone());
                    show(consumer.items()[3].clone());
                }
            }
            show(groups);
            let stream = client.call(&["XINFO", "STREAM", key]).items();
            for pair in stream.chunks(2) {
                // Requests that come again change nothing else, and are counted where they came; so are ids that
                // were forgotten before their transaction was over.
                let counted = ["iids-duplicates", "iids-added"];
                let name = pair[0].text();
                if !name.starts_with("radix-tree") && !counted.contains(&&*name) {
                    pair.iter().cloned().for_each(&mut show);
                }
            }
        }
        other => panic!("a key of type {other}"),
    }
    text
}

pub fn read_all(journal: &Journal, reader: &Reader) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(kvarts::journal::Stretch { bytes, .. }) = journal.read(reader) {
        all.extend_from_slice(&bytes);
    }
    all
}

/// A server that has repeated a journal, at the time of another server. Returns also what it answered with
/// errors.
fn repeated(bytes: &[u8], now_ms: u64) -> (TestServer, Vec<String>) {
    let server = TestServer::with_clock(&[("import-mode", "yes")], Clock::manual(now_ms));
    let mut client = server.client();
    client.check("CLIENT IMPORT-SOURCE ON", "+OK~");
    let mut errors = Vec::new();
    let mut left = bytes;
    while let Some((request, len)) = parse(left) {
        client.send(&left[..len]);
        left = &left[len..];
        let reply = client.read();
        let failed = matches!(&reply, Value::Error(_))
            || matches!(&reply, Value::Array(replies) if replies.iter().any(|reply| matches!(reply, Value::Error(_))));
        if failed {
            errors.push(format!("{request:?} => {reply:?}"));
        }
    }
    assert!(left.is_empty(), "whole requests");
    client.check("CONFIG SET import-mode no", "+OK~");
    (server, errors)
}

/// Runs random pipelines and transactions on several connections, with the time moved in between, and repeats
/// the journal.
fn repeat(generator: Generator, seeds: std::ops::RangeInclusive<u64>) {
    for seed in seeds.chain([fastrand::u64(..)]) {
        println!("seed {seed}");
        let server = TestServer::with_clock(&[], Clock::manual(BEGIN_MS));
        let journal = server.handle().server().journal();
        let reader = journal.listen(|| {});
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut clients = [server.client(), server.client(), server.client()];
        clients[2].check("SELECT 1", "+OK~");
        let mut now_ms = BEGIN_MS;
        for step in sequence(generator, seed) {
            step.run(&mut clients[step.connection]);
            let by_ms = [0, 0, 1, 30, 500, 3000][rng.usize(..6)];
            server.advance_ms(by_ms);
            now_ms += by_ms;
        }
        let expected = data(&server);
        let bytes = read_all(journal, &reader);
        let (copy, errors) = repeated(&bytes, now_ms);
        let found = data(&copy);
        for (key, value) in &expected {
            assert_eq!(Some(value), found.get(key), "{key}, seed {seed}");
        }
        assert_eq!(found.len(), expected.len(), "{:?}", found.keys());
        assert_eq!(errors, [""; 0], "seed {seed}");
    }
}

#[test]
fn repeated_strings_are_the_same() {
    repeat(string, 1..=3);
}

#[test]
fn repeated_keys_are_the_same() {
    repeat(generic, 1..=3);
}

#[test]
fn repeated_hashes_are_the_same() {
    repeat(hash, 1..=3);
}

#[test]
fn repeated_lists_are_the_same() {
    repeat(list, 1..=3);
}

#[test]
fn repeated_sets_are_the_same() {
    repeat(set, 1..=3);
}

#[test]
fn repeated_sorted_sets_are_the_same() {
    repeat(sorted_set, 1..=3);
    repeat(geo, 1..=3);
}

#[test]
fn repeated_bits_are_the_same() {
    repeat(bitmap, 1..=3);
    repeat(hyperloglog, 1..=3);
}

#[test]
fn repeated_results_of_sort_are_the_same() {
    repeat(sort, 1..=3);
}

#[test]
fn repeated_streams_are_the_same() {
    repeat(stream, 1..=6);
}

#[test]
fn repeated_commands_that_were_rewritten_give_the_same() {
    repeat(rewritten, 1..=8);
}

#[test]
fn repeated_ends_of_members_give_the_same() {
    repeat(ending, 1..=8);
}

#[test]
fn repeated_entries_of_producers_give_the_same() {
    repeat(produced, 1..=8);
}

/// A server whose journal is read.
struct Heard {
    server: TestServer,
    reader: Reader,
}

impl Heard {
    fn with(pairs: &[(&str, &str)]) -> Self {
        let server = TestServer::with_clock(pairs, Clock::manual(BEGIN_MS));
        let reader = server.handle().server().journal().listen(|| {});
        Self { server, reader }
    }

    /// What was entered since the last call, without SELECT.
    fn entered(&self) -> Vec<String> {
        entries_of(&self.server, &self.reader)
    }
}

/// What was entered since the last call, without SELECT.
pub fn entries_of(server: &TestServer, reader: &Reader) -> Vec<String> {
    let bytes = read_all(server.handle().server().journal(), reader);
    let (mut left, mut entries) = (&bytes[..], Vec::new());
    while let Some((request, len)) = parse(left) {
        entries.push(request.texts().join(" "));
        left = &left[len..];
    }
    entries.retain(|entry| !entry.starts_with("SELECT"));
    entries
}

/// Sends commands, between which stand semicolons, and expects what they enter, with bars in between.
pub fn check_entered(
    client: &mut Client,
    commands: &str,
    expected: &str,
    entered: impl FnOnce() -> Vec<String>,
) {
    commands.split(" ; ").for_each(|command| drop(client.value(command)));
    let expected: Vec<&str> = expected.split('|').map(str::trim).filter(|one| !one.is_empty()).collect();
    assert_eq!(entered(), expected, "{commands}");
}

/// Each line is a command and what it enters.
fn enters(heard: &Heard, text: &str) {
    let mut client = heard.server.client();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once("=>").expect("an arrow");
        check_entered(&mut client, command.trim(), expected, || heard.entered());
    }
}

#[test]
fn entries_mean_the_same_at_any_time() {
    enters(
        &Heard::with(&[]),
        "
        SET k v => SET k v
        GET k =>
        SET k v EX 10 => SET k v PXAT 1700000010000
        SET k w KEEPTTL => SET k w PXAT 1700000010000
        SET k x NX =>
        SET k x GET => SET k x
        SETEX k 1 y => SET k y PXAT 1700000001000
        GETEX k PX 5 => PEXPIREAT k 1700000000005
        GETEX k =>
        GETEX k PERSIST => PERSIST k
        EXPIRE k 100 => PEXPIREAT k 1700000100000
        EXPIRE k 50 GT =>
        EXPIRE k -1 => UNLINK k
        INCRBYFLOAT f 1.5 => SET f 1.5
        GETDEL f => DEL f
        APPEND s abc => APPEND s abc
        DELIFEQ s no =>
        DELIFEQ s abc => DEL s
        DEL s s =>
        MSETEX 2 a 1 b 2 EX 1 => MULTI | SET a 1 PXAT 1700000001000 | SET b 2 PXAT 1700000001000 | EXEC
        MSETEX 1 a 2 XX pxat 1700000001000 => SET a 2 PXAT 1700000001000
        MSETEX 1 a 2 NX =>
        MSETEX 1 a 2 KEEPTTL => SET a 2 PXAT 1700000001000
        HSET h a 1 b 2 => HSET h a 1 b 2
        HINCRBY h a 1 => HINCRBY h a 1
        HINCRBYFLOAT h a 0.5 => HSET h a 2.5
        HSETEX h KEEPTTL FIELDS 1 a 2.5 => HSET h a 2.5
        HSETEX h FIELDS 1 a 2.5 => HSET h a 2.5
        HEXPIRE h 10 FIELDS 1 b => HPEXPIREAT h 1700000010000 FIELDS 1 b
        HINCRBYFLOAT h a 0 => HSETEX h KEEPTTL FIELDS 1 a 2.5
        HSETEX h KEEPTTL FIELDS 1 a 2.5 => HSETEX h KEEPTTL FIELDS 1 a 2.5
        HPERSIST h FIELDS 1 b => HPERSIST h FIELDS 1 b
        HEXPIRE h 10 FIELDS 2 a none => HPEXPIREAT h 1700000010000 FIELDS 1 a
        HPERSIST h FIELDS 2 a b => HPERSIST h FIELDS 1 a
        HGETEX h EX 1 FIELDS 1 b => HPEXPIREAT h 1700000001000 FIELDS 1 b
        HSETEX h PX 7 FIELDS 1 c 3 => HSETEX h PXAT 1700000000007 FIELDS 1 c 3
        HGETDEL h FIELDS 2 b none => HDEL h b
        HEXPIREAT h 1 FIELDS 1 a => HDEL h a
        HIMPORT PREPARE u a b =>
        HIMPORT SET j u 1 2 => HSET j a 1 b 2
        HIMPORT SET j u 3 4 => MULTI | UNLINK j | HSET j a 3 b 4 | EXEC
        HIMPORT SET j u 5 =>
        HIMPORT DISCARDALL =>
        RPUSH l 1 2 3 4 => RPUSH l 1 2 3 4
        LMPOP 2 none l LEFT COUNT 2 => LPOP l 2
        BRPOP none l 0 => RPOP l
        BLMOVE l m LEFT RIGHT 0 => LMOVE l m LEFT RIGHT
        BRPOPLPUSH m l 0 => RPOPLPUSH m l
        ZADD z 1 a 2 b 3 c => ZADD z 1 a 2 b 3 c
        ZMPOP 1 z MAX => ZPOPMAX z 1
        BZPOPMIN z 0 => ZPOPMIN z 1
        SADD t 1 => SADD t 1
        SPOP t => UNLINK t
        XADD y IDMP p i * f v => XADD y 1700000000000-0 f v | XIDMPRECORD y p i 1700000000000-0
        XADD y IDMP p i * f w => XIDMPRECORD y p i 1700000000000-0
        XADD y IDMP p j MAXLEN 1 * f v => XADD y MAXLEN = 1 1700000000000-1 f v | XIDMPRECORD y p j 1700000000000-1
        XCFGSET y IDMP-MAXSIZE 7 => XCFGSET y IDMP-MAXSIZE 7
        XADD x * f v => XADD x 1700000000000-0 f v
        XADD x MAXLEN ~ 1 * f v => XADD x MAXLEN = 2 1700000000000-1 f v
        XADD x 1800000000000-0 f v => XADD x 1800000000000-0 f v
        XGROUP CREATE x g 0 => XGROUP CREATE x g 0
        XREADGROUP GROUP g c COUNT 2 STREAMS x > => MULTI | XGROUP CREATECONSUMER x g c | XCLAIM x g c 0 1700000000000-0 1700000000000-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1700000000000-1 | XGROUP SETID x g 1700000000000-1 ENTRIESREAD 2 | EXEC
        XREADGROUP GROUP g c STREAMS x 1900000000000-0 =>
        XACK x g 1700000000000-0 => XACK x g 1700000000000-0
        XAUTOCLAIM x g c 0 0 JUSTID => XCLAIM x g c 0 1700000000000-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1700000000000-1
        XADD x 1900000000000-0 f v => XADD x 1900000000000-0 f v
        XREADGROUP GROUP g c STREAMS x 0 CLAIM 0 =>
        XREADGROUP GROUP g c CLAIM 0 COUNT 1 STREAMS x > => XCLAIM x g c 0 1700000000000-1 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID LASTID 1700000000000-1
        XDELEX x ACKED IDS 1 1700000000000-1 =>
        XDELEX x DELREF IDS 1 1700000000000-1 => MULTI | XDEL x 1700000000000-1 | XACK x g 1700000000000-1 | EXEC
        XREADGROUP GROUP g c COUNT 1 STREAMS x > => MULTI | XCLAIM x g c 0 1800000000000-0 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1800000000000-0 | XGROUP SETID x g 1800000000000-0 ENTRIESREAD -1 | EXEC
        XNACK x g FAIL IDS 2 1800000000000-0 9-9 => XCLAIM x g  0 1800000000000-0 TIME 0 RETRYCOUNT 1 FORCE JUSTID LASTID 1800000000000-0
        XNACK x g FAIL IDS 1 9-9 =>
        XACKDEL x g ACKED IDS 1 1800000000000-0 => MULTI | XACK x g 1800000000000-0 | XDEL x 1800000000000-0 | EXEC
        XTRIM x MAXLEN 0 ACKED => XTRIM x MAXLEN = 1
        XTRIM x MAXLEN 0 DELREF => XTRIM x MAXLEN = 0
        PFADD p a => PFADD p a
        PFCOUNT p => PFCOUNT p
        PFCOUNT p =>
        SWAPDB 1 2 => SWAPDB 1 2
        FLUSHDB ASYNC => FLUSHDB
        FLUSHALL => FLUSHALL
        EVAL return 0 => 
        PUBLISH a b =>
        ",
    );
}

/// What older replicas do not know is entered as what they do.
#[test]
fn entries_of_newer_commands_are_older_ones() {
    enters(
        &Heard::with(&[]),
        "
        MSETEX 1 c 2 => SET c 2
        SET c 3 IFNE 4 => SET c 3
        SET c 3 IFNE 3 =>
        SET c 4 IFDNE 0000000000000000 PX 7 => SET c 4 PXAT 1700000000007
        DELEX c IFEQ 5 =>
        DELEX c IFNE 5 => DEL c
        INCREX c => SET c 1
        INCREX c BYINT 9 UBOUND 5 =>
        INCREX c BYINT 9 UBOUND 5 SATURATE EX 1 => SET c 5 PXAT 1700000001000
        INCREX c BYFLOAT 0.5 EX 9 ENX => SET c 5.5 PXAT 1700000001000
        INCREX c BYFLOAT 0.5 PERSIST => SET c 6
        INCREX c PXAT 1 => UNLINK c
        RPUSH o 1 2 3 4 => RPUSH o 1 2 3 4
        LMOVEM o p2 RIGHT LEFT COUNT 2 BULK => MULTI | RPOP o 2 | LPUSH p2 4 3 | EXEC
        BLMOVEM o p2 LEFT RIGHT 0 EXACTLY 2 OBO => MULTI | LPOP o 2 | RPUSH p2 1 2 | EXEC
        LMOVEM o p2 LEFT RIGHT =>
        ZADD y 1 a 2.5 b => ZADD y 1 a 2.5 b
        ZMOVE y v MAX => MULTI | ZREM y b | ZADD v 2.5 b | EXEC
        BZMOVE y v MIN 0 => MULTI | ZREM y a | ZADD v 1 a | EXEC
        ZMOVEMEMBER v y MEMBERS 2 a b => MULTI | ZREM v a b | ZADD y 1 a 2.5 b | EXEC
        ZMOVE none y MIN =>
        ZUNIONSTORE y 1 y AGGREGATE COUNT => MULTI | DEL y | ZADD y 1 a 1 b | EXEC
        SET b1 a => SET b1 a
        GEOADD places 13.361389 38.115556 p 2.349014 48.864716 q => GEOADD places 13.361389 38.115556 p 2.349014 48.864716 q
        GEOSEARCHSTORE in places BYPOLYGON 3 12 37 15 37 13 40 => MULTI | DEL in | ZADD in 3479099956230698 p | EXEC
        GEOSEARCHSTORE in places BYPOLYGON 3 12 0 15 0 13 1 => DEL in
        GEOSEARCHSTORE in places BYPOLYGON 3 12 0 15 0 13 1 =>
        GEOSEARCHSTORE in places FROMMEMBER p BYRADIUS 1 m => GEOSEARCHSTORE in places FROMMEMBER p BYRADIUS 1 m
        BITOP DIFF b2 b1 none => SET b2 a
        BITOP DIFF b2 none none => DEL b2
        BITOP ANDOR b2 none none =>
        ",
    );
}

/// What replicas may not know is entered behind the transaction or script, as requests of their own, and only
/// as far as it is true then: so it costs a replica that refuses it nothing else.
#[test]
fn notes_stand_behind_their_group() {
    let heard = Heard::with(&[("enable-debug-command", "yes")]);
    let mut client = heard.server.client();
    let mut group = |lines: &[&str], expected: &str| {
        client.check("MULTI", "+OK~");
        for line in lines {
            client.check(line, "+QUEUED~");
        }
        client.value("EXEC");
        assert_eq!(heard.entered().join(" | "), expected, "{lines:?}");
    };
    let add = "XADD s IDMP p i * f v";
    group(
        &["SET a 1", add, "XCFGSET s IDMP-MAXSIZE 7", "SET b 2"],
        "MULTI | SET a 1 | XADD s 1700000000000-0 f v | SET b 2 | EXEC | XCFGSET s IDMP-MAXSIZE 7",
    );
    group(
        &[add, "SET b 2"],
        "MULTI | XADD s 1700000000000-1 f v | SET b 2 | EXEC | XIDMPRECORD s p i 1700000000000-1",
    );
    // One is no transaction; what was added before is not added again, but counted.
    group(&["XCFGSET s IDMP-MAXSIZE 8"], "XCFGSET s IDMP-MAXSIZE 8");
    let record = "XIDMPRECORD s p i 1700000000000-2";
    group(&[add, add], &format!("XADD s 1700000000000-2 f v | {record} | {record}"));
    // What is gone when the transaction is over is not said, what was moved is said of where it is.
    group(
        &["DEL s", add, "DEL s", "SET s 1"],
        "MULTI | DEL s | XADD s 1700000000000-0 f v | DEL s | SET s 1 | EXEC",
    );
    group(
        &["DEL s", add, "RENAME s t", "COPY t u", "MOVE u 1"],
        "MULTI | DEL s | XADD s 1700000000000-0 f v | RENAME s t | COPY t u | MOVE u 1 | EXEC | \
         XIDMPRECORD t p i 1700000000000-0 | XIDMPRECORD u p i 1700000000000-0",
    );
    group(
        &["XADD t IDMP p j * f v", "SWAPDB 0 2"],
        "MULTI | XADD t 1700000000000-1 f v | SWAPDB 0 2 | EXEC | XIDMPRECORD t p j 1700000000000-1",
    );
    group(&[add, "FLUSHALL"], "MULTI | XADD s 1700000000000-0 f v | FLUSHALL | EXEC");
    // Of several limits all are said as long as the last one holds, since each made it forget what it knew.
    group(
        &[
            "XADD s 1-1 f v",
            "XCFGSET s IDMP-MAXSIZE 3",
            "XCFGSET s IDMP-MAXSIZE 4",
            "XCFGSET s IDMP-DURATION 5",
        ],
        "XADD s 1-1 f v | XCFGSET s IDMP-MAXSIZE 3 | XCFGSET s IDMP-MAXSIZE 4 | XCFGSET s IDMP-DURATION 5",
    );
    group(&["XCFGSET s IDMP-MAXSIZE 9", "DEL s", "XADD s 1-1 f v"], "MULTI | DEL s | XADD s 1-1 f v | EXEC");
    let script = "redis.call('SET', 'a', 3) redis.call('XADD', KEYS[1], 'IDMP', 'p', 'i', '*', 'f', 'v') \
                  redis.call('SET', 'b', 4) return redis.call('LPUSH', 'a', 1)";
    for keys in [&["s"][..], &["s", "a", "b"]] {
        let mut words = vec!["EVAL", script, if keys.len() == 1 { "1" } else { "3" }];
        words.extend(keys);
        client.call(&words);
        client.check("DEL s", ":1~");
        assert_eq!(
            heard.entered().join(" | "),
            "MULTI | SET a 3 | XADD s 1700000000000-0 f v | SET b 4 | EXEC | \
             XIDMPRECORD s p i 1700000000000-0 | DEL s"
        );
    }
    client.check("SELECT 5", "+OK~");
    client.check("XADD s 1-1 f v", "$3~1-1~");
    client.check("XADD s 1700000000000-1 f v", "$15~1700000000000-1~");
    client.check("XIDMPRECORD s p i 1700000000000-1", "+OK~");
    client.check("XIDMPRECORD s p i 1700000000000-1", "+OK~");
    // It has ended already.
    client.check("XIDMPRECORD s p j 1-1", "+OK~");
    let expected = ["XADD s 1-1 f v", "XADD s 1700000000000-1 f v", "XIDMPRECORD s p i 1700000000000-1"];
    assert_eq!(heard.entered(), expected);
}

/// Keys and fields that end, are evicted or taken for absent are entered by whoever finds it out, before what
/// is done in their place.
#[test]
fn what_ends_is_entered_once_and_in_its_place() {
    let heard = Heard::with(&[("maxmemory-policy", "allkeys-random"), ("enable-debug-command", "yes")]);
    let mut client = heard.server.client();
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    client.check("MSET a 1 b 2", "+OK~");
    client.check("HSET h f 1 g 2 i 3", ":3~");
    client.check("PEXPIRE a 10", ":1~");
    client.check("PEXPIRE b 10", ":1~");
    client.check("HPEXPIRE h 10 FIELDS 2 f g", "*2~:1~:1~");
    heard.entered();
    heard.server.advance_ms(20);
    client.check("GET a", "$-1~");
    assert_eq!(heard.entered(), ["UNLINK a"], "a read removes it");
    client.check("INCR b", ":1~");
    assert_eq!(heard.entered(), ["UNLINK b", "INCR b"]);
    client.check("HINCRBY h f 5", ":5~");
    assert_eq!(heard.entered(), ["HSET h f 5"], "the old value counts as absent");
    client.check("DEBUG SET-ACTIVE-EXPIRE 1", "+OK~");
    heard.server.advance_ms(1);
    eventually("the sweeper comes by", || heard.entered() == ["HDEL h g"]);
    client.check("SELECT 5", "+OK~");
    client.check("SET only 1 PX 5", "+OK~");
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    heard.entered();
    heard.server.advance_ms(20);
    client.check("RANDOMKEY", "$-1~");
    assert_eq!(heard.entered(), ["UNLINK only"], "what it finds ended");
    client.check("SELECT 0", "+OK~");
    client.check("PEXPIRE b 5", ":1~");
    client.check("SADD s 1", ":1~");
    heard.entered();
    heard.server.advance_ms(20);
    client.send(b"MULTI\r\nSET c 1\r\nSET b 1\r\nEXEC\r\n");
    (0..4).for_each(|_| drop(client.read()));
    assert_eq!(heard.entered(), ["MULTI", "SET c 1", "UNLINK b", "SET b 1", "EXEC"]);
    client.check("PEXPIRE s 5", ":1~");
    heard.entered();
    heard.server.advance_ms(20);
    client.check("SUNIONSTORE t s s", ":0~");
    client.check("SADD s 2", ":1~");
    client.check("CONFIG SET maxmemory 1", "+OK~");
    client.call(&["SET", "more", "v"]);
    let mut entered = heard.entered();
    assert_eq!(entered[..2], ["UNLINK s", "SADD s 2"]);
    eventually("the set is evicted", || {
        entered.extend(heard.entered());
        entered[2..].iter().any(|entry| entry == "UNLINK s")
    });
}

/// An UNLINK stands for what was freed in the background, a DEL for what was freed at once, for each reason by
/// its directive. A key that has ended is not removed before SWAPDB for a client that waits for it.
#[test]
fn the_word_for_a_removal_follows_how_values_are_freed() {
    let heard = Heard::with(&[("enable-debug-command", "yes")]);
    let mut client = heard.server.client();
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    let mut removals = |lazily: &str| {
        for reason in ["expire", "server-del"] {
            client.check(&format!("CONFIG SET lazyfree-lazy-{reason} {lazily}"), "+OK~");
        }
        client.check("SADD s 1 2", ":2~");
        client.call(&["SPOP", "s", "2"]);
        client.check("MSET a 1 b 2 c 3", "+OK~");
        client.check("EXPIRE a 0", ":1~");
        client.check("SET b 2 PXAT 1", "+OK~");
        let Value::Bulk(payload) = client.call(&["DUMP", "c"]) else { panic!("no payload") };
        let restore = [&b"RESTORE"[..], b"c", b"1", &payload, b"REPLACE", b"ABSTTL"];
        assert_eq!(client.call(&restore).text(), "OK");
        client.check("SET d 1 PX 10", "+OK~");
        heard.server.advance_ms(20);
        client.check("GET d", "$-1~");
        heard
            .entered()
            .into_iter()
            .filter(|entry| entry.contains("DEL") || entry.contains("UNLINK"))
            .collect::<Vec<_>>()
    };
    assert_eq!(removals("yes"), ["UNLINK s", "UNLINK a", "UNLINK b", "UNLINK c", "UNLINK d"]);
    assert_eq!(removals("no"), ["DEL s", "DEL a", "DEL b", "DEL c", "DEL d"]);
    client.check("CONFIG SET lazyfree-lazy-expire yes", "+OK~");
    client.check("SELECT 1", "+OK~");
    client.check("RPUSH k hello", ":1~");
    client.check("PEXPIRE k 10", ":1~");
    let mut waiting = heard.server.client();
    waiting.send(b"BRPOP k 0\r\n");
    eventually("the client waits", || client.call(&["INFO", "clients"]).text().contains("blocked_clients:1"));
    heard.server.advance_ms(20);
    heard.entered();
    client.check("SWAPDB 1 0", "+OK~");
    assert_eq!(heard.entered(), ["SWAPDB 1 0"], "nobody has touched the key");
    client.check("SELECT 0", "+OK~");
    client.check("EXISTS k", ":0~");
    assert_eq!(heard.entered(), ["UNLINK k"]);
}

/// RESTORE with a time from now on is entered with that time, any other one as it came.
#[test]
fn a_restored_value_is_entered_with_an_absolute_time() {
    let heard = Heard::with(&[]);
    let mut client = heard.server.client();
    client.check("SET c 3", "+OK~");
    let Value::Bulk(payload) = client.call(&["DUMP", "c"]) else { panic!("no payload") };
    for (words, entered) in [
        (&["a", "0"][..], &["RESTORE", "a", "0"][..]),
        (&["b", "5000"], &["RESTORE", "b", "1700000005000"]),
        (&["c", "1800000000000", "absttl", "replace"], &["RESTORE", "c", "1800000000000"]),
    ] {
        heard.entered();
        let mut request = vec![&b"RESTORE"[..], words[0].as_bytes(), words[1].as_bytes(), &payload];
        request.extend(words[2..].iter().map(|word| word.as_bytes()));
        assert_eq!(client.call(&request).text(), "OK");
        let [entry] = &heard.entered()[..] else { panic!("one entry") };
        assert!(entry.starts_with(&entered.join(" ")), "{entry:?}");
        assert_eq!(entry.ends_with(" ABSTTL"), words[0] == "b", "{entry:?}");
        assert_eq!(entry.ends_with(" absttl replace"), words[0] == "c", "{entry:?}");
    }
}

#[test]
fn transactions_and_scripts_are_entered_whole_or_not_at_all() {
    let heard = Heard::with(&[]);
    let mut client = heard.server.client();
    let mut run = |lines: &[&str]| {
        for line in lines {
            client.call(&line.split(' ').collect::<Vec<_>>());
        }
        heard.entered()
    };
    assert_eq!(run(&["MULTI", "SET a 1", "EXEC"]), ["SET a 1"], "one change needs no frame");
    assert_eq!(
        run(&["MULTI", "SET a 1", "LPUSH a 1", "DEL none", "INCR a", "EXEC"]),
        ["MULTI", "SET a 1", "INCR a", "EXEC"]
    );
    assert_eq!(run(&["MULTI ATOMIC", "SET a 1", "LPUSH a 1", "EXEC"]), [""; 0], "undone");
    assert_eq!(run(&["MULTI ATOMIC", "SET a 1", "INCR a", "EXEC"]), ["MULTI", "SET a 1", "INCR a", "EXEC"]);
    assert_eq!(run(&["MULTI", "GET a", "EXEC"]), [""; 0]);
    assert_eq!(run(&["MULTI", "SET a 1", "DISCARD"]), [""; 0]);
    assert_eq!(
        run(&["MULTI", "SELECT 3", "SET a 1", "FLUSHDB", "SET b 1", "EXEC", "SELECT 0"]),
        ["MULTI", "SET a 1", "FLUSHDB", "SET b 1", "EXEC"]
    );
    let mut script = |text: &str| {
        client.call(&["EVAL", text, "1", "a"]);
        heard.entered()
    };
    assert_eq!(script("return redis.call('get', KEYS[1])"), [""; 0]);
    assert_eq!(script("redis.call('incr', KEYS[1])"), ["incr a"]);
    let two = "redis.call('incr', KEYS[1]); redis.call('set', KEYS[1], 1, 'ex', 1); error('too late')";
    assert_eq!(script(two), ["MULTI", "incr a", "SET a 1 PXAT 1700000001000", "EXEC"]);
    let far = "redis.call('set', 'undeclared', 1); redis.call('set', KEYS[1], 1)";
    assert_eq!(script(far), ["MULTI", "set undeclared 1", "set a 1", "EXEC"], "it runs again, alone");
}

/// A client that waited is served within another's batch: what it did stands behind what served it.
#[test]
fn what_a_served_client_did_is_entered() {
    let heard = Heard::with(&[]);
    let (mut waiting, mut client) = (heard.server.client(), heard.server.client());
    waiting.send(&encode(&["BLPOP", "l", "0"]));
    eventually("it waits", || info(&mut client, "blocked_clients") == "1");
    assert_eq!(heard.entered(), [""; 0]);
    client.check("RPUSH l a b", ":2~");
    waiting.check_next("*2~$1~l~$1~a~");
    assert_eq!(heard.entered(), ["RPUSH l a b", "LPOP l"]);
}

/// Entries of one key stand in the order of its changes, whichever connection made them.
#[test]
fn entries_stand_in_the_order_of_the_changes() {
    let heard = Heard::with(&[]);
    let threads: Vec<_> = (0..4)
        .map(|number: u64| {
            let mut client = heard.server.client();
            std::thread::spawn(move || {
                let mut rng = fastrand::Rng::with_seed(number);
                for _ in 0..200 {
                    let mut pipeline = Vec::new();
                    let mut replies = 0;
                    for _ in 0..rng.usize(1..40) {
                        let key = format!("k{}", rng.u8(..4));
                        let text = rng.u8(..).to_string();
                        let lines: Vec<Vec<&str>> = match rng.u8(..8) {
                            0 => vec![vec!["SET", &key, &text]],
                            1 => vec![
                                vec!["MULTI"],
                                vec!["APPEND", &key, &text],
                                vec!["APPEND", "k9", &text],
                                vec!["EXEC"],
                            ],
                            2 => vec![vec!["FLUSHALL"]],
                            3 => vec![vec![
                                "EVAL",
                                "redis.call('append', KEYS[1], 's'); redis.call('append', KEYS[1], 't')",
                                "1",
                                &key,
                            ]],
                            _ => vec![vec!["APPEND", &key, &text]],
                        };
                        replies += lines.len();
                        lines.iter().for_each(|line| pipeline.extend(encode(line)));
                    }
                    client.send(&pipeline);
                    (0..replies).for_each(|_| drop(client.read()));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let expected = data(&heard.server);
    let bytes = read_all(heard.server.handle().server().journal(), &heard.reader);
    let (copy, errors) = repeated(&bytes, BEGIN_MS);
    assert_eq!(data(&copy), expected);
    assert_eq!(errors, [""; 0]);
}
