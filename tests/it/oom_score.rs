//! `oom-score-adj`, and the local address of links. The score is the process's, so a program of its own is asked.

use crate::harness::*;
use crate::program::Program;

fn score(program: &Program) -> i64 {
    let pid = info(&mut program.client(), "process_id");
    let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("a score");
    score.trim().parse().expect("a number")
}

/// The score follows the directives and the role, and what was there before is put back.
#[test]
fn the_score_follows_the_role() {
    let program = Program::start(&["--oom-score-adj", "yes", "--oom-score-adj-values", "1 2 3"]);
    let mut client = program.client();
    let base = score(&program) - 1;
    client.check("CONFIG SET oom-score-adj-values \"10 20 30\"", "+OK~");
    assert_eq!(score(&program), base + 10);
    client.check("REPLICAOF 127.0.0.1 1", "+OK~");
    assert_eq!(score(&program), base + 20);
    client.check("REPLICAOF NO ONE", "+OK~");
    assert_eq!(score(&program), base + 10);
    client.check("CONFIG SET oom-score-adj absolute oom-score-adj-values \"900 20 30\"", "+OK~");
    assert_eq!(score(&program), 900);
    client.check("CONFIG SET oom-score-adj no", "+OK~");
    assert_eq!(score(&program), base);
    // Switched off, the values tell the system nothing.
    client.check("CONFIG SET oom-score-adj-values \"11 20 30\"", "+OK~");
    assert_eq!(score(&program), base);
}

/// With `bind-source-addr` the link to a primary begins there; an address that is none of this machine ends the
/// attempt, and the next one is made with what is set then.
#[test]
fn links_begin_at_the_local_address() {
    let primary = TestServer::with(&[("repl-diskless-sync-delay", "0")]);
    let replica = TestServer::with(&[("bind-source-addr", "192.0.2.1")]);
    let port = primary.address().port();
    replica.client().check(&format!("REPLICAOF 127.0.0.1 {port}"), "+OK~");
    eventually("it has tried", || replica.info("master_link_status") == "down");
    replica.client().check("CONFIG SET bind-source-addr 127.0.0.2", "+OK~");
    eventually("the link is up", || replica.info("master_link_status") == "up");
    assert!(primary.info("slave0").contains("ip=127.0.0.2,"), "{}", primary.info("slave0"));
}
