//! Bugs that were there once.

use crate::harness::*;

/// A server that could not open its unix socket deleted the file that stood in the way.
#[test]
fn a_failed_start_deletes_nothing() {
    let dir = TempDir::new();
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").expect("a file");
    let text = path.display().to_string();
    let clock = kvarts::shared::clock::Clock::manual(START_MS);
    assert!(TestServer::try_with(&[("unixsocket", text.as_str())], clock, TempDir::new()).is_err());
    assert!(path.exists());
}

/// The name of the subcommand stood where the command's belongs.
#[test]
fn the_refusal_of_debug_names_the_right_directive() {
    let reply = TestServer::start().client().raw("DEBUG SLEEP 0");
    assert!(reply.contains("DEBUG command not allowed") && reply.contains("enable-debug-command"), "{reply}");
}

/// A subscriber that was cut for not reading was not counted.
#[test]
fn cut_subscribers_are_counted() {
    let server = TestServer::with(&[("client-output-buffer-limit", "pubsub 64kb 0 0")]);
    let mut subscriber = server.client();
    subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    let mut publisher = server.client();
    publisher.call(&["PUBLISH", "ch", &"x".repeat(100_000)]);
    eventually("it is forgotten", || server.handle().server().clients.count() == 1);
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), "1");
}

/// A sorted set that is too large for its packed form lost the sign of zero. Among equal scores the first one
/// stays.
#[test]
fn large_sorted_sets_keep_the_sign_of_zero() {
    let long = "m".repeat(100);
    table(&format!(
        r#"
        ZADD z -0 {long} 0 n -0 l => :3~
        ZSCORE z {long} => $2~-0~ => ,-0~
        ZSCORE z l => $2~-0~ => ,-0~
        ZSCORE z n => $1~0~ => ,0~
        ZADD z CH 0 l -0 n => :0~
        ZRANGE z 0 1 WITHSCORES => *4~$1~l~$2~-0~$100~{long}~$2~-0~ => *2~*2~$1~l~,-0~*2~$100~{long}~,-0~
        ZCOUNT z 0 0 => :3~
        ZADD small -0 m => :1~
        ZSCORE small m => $1~0~ => ,0~
        "#
    ));
}

/// EXEC with words too many left the transaction open, so that a pooled connection queued what came next.
#[test]
fn exec_with_a_wrong_number_of_arguments_ends_the_transaction() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(b"MULTI\r\nSET a 1\r\nEXEC x\r\nEXEC\r\nGET a\r\n");
    for reply in [
        "+OK~",
        "+QUEUED~",
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command~",
        "-ERR EXEC without MULTI~",
        "$-1~",
    ] {
        client.check_next(reply);
    }
}

/// One key named thousands of times had its set looked into as often.
#[test]
fn a_set_that_is_named_often_is_looked_into_once() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SADD s a b c", ":3~");
    client.check("SADD t b c d", ":3~");
    let mut words = vec!["SINTER"];
    words.extend(["s", "t"].repeat(3000));
    let reply = client.call(&words);
    let mut members: Vec<String> = reply.items().iter().map(Value::text).collect();
    members.sort();
    assert_eq!(members, ["b", "c"]);
    client.check(
        "LREM l -9223372036854775808 a",
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807~",
    );
}
