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
