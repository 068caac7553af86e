//! Random commands of those that newer versions of Redis and Valkey added, compared with every peer that has them: as
//! the tests in differential.rs, in pipelines and transactions, and with requests that are wrong in many ways. What a
//! peer knows, it is asked (COMMAND DOCS): lines with a command or an option that it has not are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::differential::compare_with;
use crate::differential_words::*;
use crate::harness::*;
use crate::peer::{Peer, tool_of_peers};

/// Programs to compare with, where they are installed: Valkey 9.1, Redis 8.0 and Redis 8.6.
const PEERS: [&str; 3] = ["valkey-server", "redis8-server", "redis86-server"];

/// The options of commands as a server documents them, subcommands among them; of no command it does not know.
struct Known(BTreeMap<String, BTreeSet<String>>);

impl Known {
    /// Asks a server for the commands of these lines.
    fn ask(client: &mut Client, lines: &[&str]) -> Self {
        let names: BTreeSet<&str> = lines.iter().map(|line| name_of(line)).collect();
        let mut words = vec!["COMMAND", "DOCS"];
        words.extend(&names);
        let Value::Map(docs) = client.call(&words) else { panic!("a map of commands") };
        let options = docs.into_iter().map(|(name, docs)| {
            let mut options = BTreeSet::new();
            collect_options(&docs, &mut options);
            (name.text().to_uppercase(), options)
        });
        Self(options.collect())
    }

    /// Whether the server has a line's command, and those of its words that are options to `ours`.
    fn covers(&self, line: &str, ours: &Self) -> bool {
        let (Some(theirs), Some(ours)) = (self.0.get(name_of(line)), ours.0.get(name_of(line))) else {
            return false;
        };
        let words = line.split(' ').skip(1).map(str::to_uppercase);
        words.filter(|word| ours.contains(word)).all(|word| theirs.contains(&word))
    }
}

fn name_of(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Adds the words of options, and the names of subcommands, of a command's documentation.
fn collect_options(docs: &Value, options: &mut BTreeSet<String>) {
    match docs {
        Value::Map(fields) => {
            for (name, value) in fields {
                match name.text().as_str() {
                    "token" => drop(options.insert(value.text().to_uppercase())),
                    "subcommands" => {
                        let Value::Map(subcommands) = value else { continue };
                        for (name, docs) in subcommands {
                            let name = name.text().to_uppercase();
                            options.extend(name.split('|').nth(1).map(str::to_owned));
                            collect_options(docs, options);
                        }
                    }
                    _ => collect_options(value, options),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_options(item, options)),
        _ => {}
    }
}

/// A command from one of the lines, one in six of them spoilt: a word too few or too many, or one that makes no
/// sense. None of it is a time that ends within the test.
fn command(words: &mut Words, lines: &[&str]) -> Vec<String> {
    const ODD: [&str; 6] = ["", "-1", "x", "9223372036854775808", "nan", "a b"];
    let line = words.of(lines);
    let mut command = from_stream_line(words, line);
    if words.0.u8(..6) == 0 {
        let at = words.0.usize(..command.len());
        match words.0.u8(..4) {
            0 if at > 0 => drop(command.remove(at)),
            1 if at > 0 => command.insert(at, command[at].clone()),
            2 if at > 0 => command[at] = words.of(&ODD).to_owned(),
            _ => command[at] = command[at].to_lowercase(),
        }
    }
    command
}

/// Compares with each peer the lines that it knows.
fn compare(group: &str, lines: &[&str]) {
    let server = TestServer::start();
    let ours = Known::ask(&mut server.client3(), lines);
    let unknown: Vec<&&str> = lines.iter().filter(|line| !ours.covers(line, &ours)).collect();
    assert!(unknown.is_empty(), "of no command of this server: {unknown:?}");
    for name in PEERS {
        let Some(program) = tool_of_peers(name) else {
            eprintln!("{group}: skipped, no {name} is installed");
            continue;
        };
        let program = program.to_str().expect("a path");
        let theirs = {
            let peer = Peer::of_program(program, TempDir::new());
            Known::ask(&mut Client::tcp(local(peer.port)).resp3(), lines)
        };
        let known: Vec<&str> = lines.iter().copied().filter(|line| theirs.covers(line, &ours)).collect();
        println!("{group}: {name} knows {} of {} lines", known.len(), lines.len());
        compare_with(program, &format!("{group}, {name}"), &|words| command(words, &known));
    }
}

/// Comparing before a change. NX behind a comparison is left out: 8.6 took it, 8.10 and this server do not.
#[test]
fn comparing_before_a_change_as_the_peers() {
    compare(
        "compared",
        &[
            "SET K V",
            "SET K V IFEQ V",
            "SET K V IFNE V",
            "SET K V IFDEQ D",
            "SET K V IFDNE D",
            "SET K V IFNE V GET",
            "SET K V GET IFEQ V",
            "SET K V IFEQ V EX T",
            "SET K V IFNE V KEEPTTL",
            "SET K V XX IFDEQ D",
            "SET K V IFDEQ short",
            "SET K V IFEQ",
            "DIGEST K",
            "DELEX K",
            "DELEX K IFEQ V",
            "DELEX K IFNE V",
            "DELEX K IFDEQ D",
            "DELEX K IFDNE D",
            "DELEX K IFDNE short",
            "DELEX K WHAT V",
            "DELIFEQ K V",
            "MSETEX 2 K V K V",
            "MSETEX 2 K V K V EX T",
            "MSETEX 2 K V K V NX",
            "MSETEX 2 K V K V XX KEEPTTL",
            "MSETEX 1 K V NX PX 100000",
            "INCREX K",
            "INCREX K BYINT N",
            "INCREX K BYINT N LBOUND -5 UBOUND 5",
            "INCREX K BYFLOAT V UBOUND 5 SATURATE",
            "INCREX K BYINT N EX T ENX",
            "INCREX K PERSIST",
            "INCR K",
            "APPEND K V",
            "GET K",
            "TTL K",
            "OBJECT ENCODING K",
            "SADD K M",
            "DEL K",
        ],
    );
}

/// Deleting entries with a say in groups' references to them, claiming, and what producers add.
#[test]
fn newer_requests_for_streams_as_the_peers() {
    compare(
        "streams",
        &[
            "XADD K I f V",
            "XADD K I f V g M",
            "XADD K I f V",
            "XADD K DELREF MAXLEN 5 I f V",
            "XADD K MAXLEN 5 KEEPREF I f V",
            "XADD K ACKED NOMKSTREAM I f V",
            "XADD K KEEPREF DELREF I f V",
            "XADD K IDMP p M I f V",
            "XADD K IDMPAUTO p I f V",
            "XADD K IDMP p I f V",
            "XCFGSET K IDMP-DURATION N",
            "XCFGSET K IDMP-MAXSIZE N IDMP-DURATION 5",
            "XCFGSET K",
            "XIDMPRECORD K p M I",
            "XDEL K I I",
            "XDELEX K IDS 2 I I",
            "XDELEX K KEEPREF IDS 1 I",
            "XDELEX K DELREF IDS 2 I I",
            "XDELEX K ACKED IDS 3 I I I",
            "XDELEX K IDS 1 I DELREF",
            "XDELEX K IDS N I I",
            "XDELEX K DELREF DELREF IDS 1 I",
            "XACKDEL K gr IDS 2 I I",
            "XACKDEL K gr DELREF IDS 2 I I",
            "XACKDEL K gr ACKED IDS 2 I I",
            "XACKDEL K gr2 ACKED IDS 3 I I I",
            "XACKDEL K gr IDS N I I",
            "XNACK K gr FAIL IDS 2 I I",
            "XNACK K gr FATAL IDS 1 I FORCE",
            "XTRIM K MAXLEN 3 DELREF",
            "XTRIM K MAXLEN 3 KEEPREF",
            "XTRIM K DELREF MINID I",
            "XTRIM K MAXLEN 3 ACKED",
            "XTRIM K ACKED MINID I",
            "XTRIM K DELREF ACKED MAXLEN 3",
            "XGROUP CREATE K gr 0 MKSTREAM",
            "XGROUP CREATE K gr2 0 MKSTREAM",
            "XGROUP CREATE K gr2 I MKSTREAM",
            "XGROUP DESTROY K gr2",
            "XREAD MAXCOUNT 3 STREAMS K K I I",
            "XREADGROUP GROUP gr M STREAMS K >",
            "XREADGROUP GROUP gr M COUNT 2 STREAMS K >",
            "XREADGROUP GROUP gr2 M COUNT 2 STREAMS K >",
            "XREADGROUP GROUP gr M CLAIM 100000000 STREAMS K >",
            "XREADGROUP GROUP gr2 M CLAIM 100000000 COUNT 2 STREAMS K >",
            "XREADGROUP GROUP gr M CLAIM 100000000 NOACK STREAMS K K > >",
            "XACK K gr I I",
            "XPENDING K gr",
            "XPENDING K gr2",
            "XRANGE K - +",
            "SET K V",
            "DEL K",
        ],
    );
}

/// Joining bits, and what collections have of late.
#[test]
fn newer_requests_for_other_types_as_the_peers() {
    compare(
        "other types",
        &[
            "SET K V",
            "SETBIT K 70 1",
            "SETBIT K 9 1",
            "APPEND K V",
            "BITOP DIFF K K K",
            "BITOP DIFF K K K K",
            "BITOP DIFF1 K K K K",
            "BITOP ANDOR K K K K",
            "BITOP ONE K K K K",
            "BITOP one K K",
            "BITOP ONE K K K K K",
            "BITOP DIFF K K",
            "BITOP DIFF1 K K",
            "BITOP ANDOR K K",
            "BITOP NAND K K K",
            "ZADD K 1 M 2 M",
            "ZUNIONSTORE K 2 K K AGGREGATE COUNT",
            "ZINTER 2 K K AGGREGATE COUNT WITHSCORES",
            "ZMOVE K K MIN COUNT N",
            "ZMOVE K K BYSCORE -5 5",
            "ZMOVEMEMBER K K NX MEMBERS 2 M M",
            "RPUSH K V V",
            "LMOVEM K K LEFT RIGHT",
            "LMOVEM K K LEFT LEFT COUNT N OBO",
            "LMOVEM K K RIGHT LEFT EXACTLY 2 BULK",
            "SADD K M M",
            "SUNIONCARD 2 K K",
            "SUNIONCARD 2 K K LIMIT N",
            "SDIFFCARD 2 K K LIMIT N",
            "SEXPIRE K T NX MEMBERS 2 M M",
            "STTL K MEMBERS 2 M M",
            "SPERSIST K MEMBERS 1 M",
            "SADDEX K MNX EX T MEMBERS 2 M M",
            "HSET K M V",
            "HIMPORT PREPARE u a b",
            "HIMPORT SET K u V V",
            "BLESS SET K NO-EVICT",
            "BLESS GET K",
            "DEL K",
            "GET K",
            "EXPIRE K 1000",
        ],
    );
}
