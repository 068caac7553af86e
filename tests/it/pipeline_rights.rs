//! Rights and limits that change within a pipeline or a transaction, as Valkey has them.

use crate::harness::*;

/// What follows AUTH in one write is read with the limits of the new user.
#[test]
fn limits_follow_auth_within_a_pipeline() {
    let server = TestServer::with(&[("requirepass", "secret")]);
    let mut client = server.client();
    let many: Vec<&str> = ["MGET"].into_iter().chain(["a"; 40]).collect();
    let long = "v".repeat(20_000);
    let set = ["SET", "a", &long];
    let auth = encode(&["AUTH", "secret"]);
    client.send(&[&auth[..], &encode(&set), &encode(&many), &encode(&["ECHO", "end"])].concat());
    client.check_next("+OK~");
    client.check_next("+OK~");
    assert_eq!(client.read(), crate::value::Value::Array(vec![crate::value::Value::Bulk(long.into()); 40]));
    client.check_next("$3~end~");
}

/// Of several selectors that refuse a request, one that is for the database tells the reason.
#[test]
fn the_database_is_looked_at_first() {
    let server = TestServer::start();
    let mut admin = server.client();
    admin.check("ACL SETUSER one on nopass db=0 +@all ~*", "+OK~");
    admin.check("ACL SETUSER two on nopass (db=0,1 +@all -@read ~w*) (db=2,3 +@all -@write ~r*)", "+OK~");
    admin.check("ACL SETUSER three on nopass db=0 +@all -select ~* (db=1 +select)", "+OK~");
    let mut client = server.client();
    client.check("AUTH one x", "+OK~");
    client.check("SELECT 1", "-NOPERM No permissions to access database~");
    client.check("AUTH two x", "+OK~");
    client.check("GET w", "-NOPERM User two has no permissions to run the 'get' command~");
    client.check("SET foo 1", "-NOPERM No permissions to access a key~");
    client.check("SELECT 2", "+OK~");
    client.check("SET w 1", "-NOPERM User two has no permissions to run the 'set' command~");
    client.check("SELECT 4", "-NOPERM User two has no permissions to run the 'select' command~");
    client.check("AUTH three x", "+OK~");
    client.check("SELECT 0", "-NOPERM User three has no permissions to run the 'select' command~");
    client.check("SELECT 1", "+OK~");
    client.check("GET a", "-NOPERM User three has no permissions to run the 'get' command~");
    client.check("SELECT 3", "-NOPERM No permissions to access database~");
}

/// Requests between MULTI and EXEC are judged in the database in which they will run.
#[test]
fn queued_requests_are_judged_behind_a_queued_select() {
    let server = TestServer::start();
    server
        .client()
        .check("ACL SETUSER u on nopass (db=0,1 +@all -@read ~*) (db=2,3 +@all -@write ~*)", "+OK~");
    let mut client = server.client();
    client.check("AUTH u x", "+OK~");
    client.send(
        &["MULTI", "SET k v", "SELECT 2", "GET k", "SELECT 0", "SET k w", "EXEC"]
            .map(|line| encode(&line.split(' ').collect::<Vec<_>>()))
            .concat(),
    );
    client.check_next("+OK~");
    (0..5).for_each(|_| client.check_next("+QUEUED~"));
    client.check_next("*5~+OK~+OK~$-1~+OK~+OK~");
    for (select, request) in [("SELECT 2", "SET a 1"), ("SELECT 3", "SELECT 4")] {
        client.check("MULTI", "+OK~");
        client.check(select, "+QUEUED~");
        let name = request.split(' ').next().expect("a word").to_lowercase();
        client.check(request, &format!("-NOPERM User u has no permissions to run the '{name}' command~"));
        client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.~");
    }
    // A queue that is given up leaves nothing behind.
    client.check("MULTI", "+OK~");
    client.check("SELECT 2", "+QUEUED~");
    client.check("DISCARD", "+OK~");
    client.check("SET k v", "+OK~");
}

/// Clients know no subcommands of DEBUG: it is counted as a whole, and rules may name any first argument.
#[test]
fn debug_is_one_command() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("ACL SETUSER u reset -debug +debug|a +debug|b", "+OK~");
    client.check(
        "ACL SETUSER u +config|nonesuch",
        "-ERR Error in ACL SETUSER modifier '+config|nonesuch': Unknown command or category name in ACL~",
    );
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check("DEBUG SLEEP 0", "+OK~");
    let stats = client.value("INFO commandstats").text();
    assert!(stats.contains("cmdstat_debug:calls=1") && !stats.contains("debug|"), "{stats}");
}
