//! Random commands of those that newer versions of Redis added, compared with one that has them: as the tests in
//! differential.rs, in pipelines and transactions.

use crate::differential::compare_with;
use crate::differential_words::*;
use crate::peer::tool_of_peers;

/// Redis 8.6, where it is installed.
fn compare(group: &str, generator: Generator) {
    match tool_of_peers("redis86-server") {
        Some(program) => compare_with(program.to_str().expect("a path"), group, generator),
        None => eprintln!("skipped: no redis86-server is installed"),
    }
}

/// Comparing before a change. NX behind a comparison is left out: 8.6 took it, 8.10 and this server do not.
pub fn compared(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
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
        "MSETEX 2 K V K V",
        "MSETEX 2 K V K V EX T",
        "MSETEX 2 K V K V NX",
        "MSETEX 2 K V K V XX KEEPTTL",
        "MSETEX 1 K V NX PX 100000",
        "INCR K",
        "APPEND K V",
        "GET K",
        "TTL K",
        "OBJECT ENCODING K",
        "SADD K M",
        "DEL K",
    ];
    let line = words.of(LINES);
    from_line(words, line)
}

#[test]
fn comparing_before_a_change_as_redis() {
    compare("compared", compared);
}

/// Deleting entries with a say in groups' references to them.
pub fn references(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "XADD K I f V",
        "XADD K I f V g M",
        "XADD K I f V",
        "XADD K DELREF MAXLEN 5 I f V",
        "XADD K MAXLEN 5 KEEPREF I f V",
        "XADD K ACKED NOMKSTREAM I f V",
        "XADD K KEEPREF DELREF I f V",
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
        "XREADGROUP GROUP gr M STREAMS K >",
        "XREADGROUP GROUP gr M COUNT 2 STREAMS K >",
        "XREADGROUP GROUP gr2 M COUNT 2 STREAMS K >",
        "XREADGROUP GROUP gr M CLAIM 100000000 STREAMS K >",
        "XREADGROUP GROUP gr2 M CLAIM 100000000 COUNT 2 STREAMS K >",
        "XACK K gr I I",
        "XPENDING K gr",
        "XPENDING K gr2",
        "XRANGE K - +",
        "SET K V",
        "DEL K",
    ];
    let line = words.of(LINES);
    from_stream_line(words, line)
}

#[test]
fn references_to_entries_as_redis() {
    compare("references", references);
}

/// Joining bits in the newer ways.
pub fn joined(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
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
        "SADD K M",
        "DEL K",
        "GET K",
        "EXPIRE K 1000",
    ];
    let line = words.of(LINES);
    from_line(words, line)
}

#[test]
fn bits_joined_in_further_ways_as_redis() {
    compare("joined", joined);
}
