//! Publish and subscribe.

use crate::harness::*;

#[test]
fn publish_and_pubsub_without_listeners() {
    table(
        r#"
        PUBLISH ch hello => :0~
        SPUBLISH ch hello => :0~
        PUBLISH ch => -ERR wrong number of arguments for 'publish' command~
        SPUBLISH ch => -ERR wrong number of arguments for 'spublish' command~
        PUBSUB CHANNELS => *0~
        PUBSUB CHANNELS a* => *0~
        PUBSUB CHANNELS a b => -ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.~
        PUBSUB NUMSUB => *0~
        PUBSUB NUMSUB a b => *4~$1~a~:0~$1~b~:0~
        PUBSUB NUMPAT => :0~
        PUBSUB NUMPAT x => -ERR wrong number of arguments for 'pubsub|numpat' command~
        PUBSUB SHARDCHANNELS => *0~
        PUBSUB SHARDNUMSUB => *0~
        PUBSUB SHARDNUMSUB a => *2~$1~a~:0~
        PUBSUB BLAH => -ERR unknown subcommand 'BLAH'. Try PUBSUB HELP.~
        PUBSUB => -ERR wrong number of arguments for 'pubsub' command~
        SUBSCRIBE => -ERR wrong number of arguments for 'subscribe' command~
        PSUBSCRIBE => -ERR wrong number of arguments for 'psubscribe' command~
        SSUBSCRIBE => -ERR wrong number of arguments for 'ssubscribe' command~
        UNSUBSCRIBE => *3~$11~unsubscribe~$-1~:0~ => >3~$11~unsubscribe~_~:0~
        PUNSUBSCRIBE => *3~$12~punsubscribe~$-1~:0~ => >3~$12~punsubscribe~_~:0~
        SUNSUBSCRIBE => *3~$12~sunsubscribe~$-1~:0~ => >3~$12~sunsubscribe~_~:0~
        UNSUBSCRIBE x => *3~$11~unsubscribe~$1~x~:0~ => >3~$11~unsubscribe~$1~x~:0~
        PUNSUBSCRIBE x* => *3~$12~punsubscribe~$2~x*~:0~ => >3~$12~punsubscribe~$2~x*~:0~
        SUNSUBSCRIBE x => *3~$12~sunsubscribe~$1~x~:0~ => >3~$12~sunsubscribe~$1~x~:0~
        "#,
    );
}

#[test]
fn messages_reach_channels_and_patterns() {
    let server = TestServer::start();
    let (mut two, mut three, mut publisher) = (server.client(), server.client3(), server.client());
    two.check("SUBSCRIBE ch other", "*3~$9~subscribe~$2~ch~:1~");
    two.check_next("*3~$9~subscribe~$5~other~:2~");
    two.check("PSUBSCRIBE c*", "*3~$10~psubscribe~$2~c*~:3~");
    three.check("SUBSCRIBE ch", ">3~$9~subscribe~$2~ch~:1~");
    three.check("PSUBSCRIBE c? nothing*", ">3~$10~psubscribe~$2~c?~:2~");
    three.check_next(">3~$10~psubscribe~$8~nothing*~:3~");
    publisher.check("PUBLISH ch hello", ":4~");
    two.check_next("*3~$7~message~$2~ch~$5~hello~");
    two.check_next("*4~$8~pmessage~$2~c*~$2~ch~$5~hello~");
    three.check_next(">3~$7~message~$2~ch~$5~hello~");
    three.check_next(">4~$8~pmessage~$2~c?~$2~ch~$5~hello~");
    publisher.check("PUBLISH other x", ":1~");
    two.check_next("*3~$7~message~$5~other~$1~x~");
    publisher.check("PUBLISH none x", ":0~");
    publisher.check("PUBSUB NUMPAT", ":3~");
    publisher.check("PUBSUB NUMSUB ch other none", "*6~$2~ch~:2~$5~other~:1~$4~none~:0~");
    publisher.check("PUBSUB CHANNELS o*", "*1~$5~other~");
    assert_eq!(info(&mut publisher, "pubsub_channels"), "2");
    assert_eq!(info(&mut publisher, "pubsub_patterns"), "3");
    assert_eq!(info(&mut publisher, "pubsub_clients"), "2");
    // Doubled subscriptions count once.
    two.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:3~");
    two.check("UNSUBSCRIBE ch", "*3~$11~unsubscribe~$2~ch~:2~");
    two.check("UNSUBSCRIBE", "*3~$11~unsubscribe~$5~other~:1~");
    two.check("UNSUBSCRIBE", "*3~$11~unsubscribe~$-1~:1~");
    two.check("PUNSUBSCRIBE", "*3~$12~punsubscribe~$2~c*~:0~");
    two.check("PUNSUBSCRIBE", "*3~$12~punsubscribe~$-1~:0~");
    two.check("GET k", "$-1~");
    three.check("UNSUBSCRIBE none", ">3~$11~unsubscribe~$4~none~:3~");
    three.check("PUNSUBSCRIBE nothing*", ">3~$12~punsubscribe~$8~nothing*~:2~");
    drop(three);
    eventually("it is forgotten", || publisher.raw("PUBSUB NUMPAT") == ":0~");
    publisher.check("PUBSUB CHANNELS", "*0~");
    publisher.check("PUBLISH ch hello", ":0~");
}

#[test]
fn shard_channels_are_apart() {
    let server = TestServer::start();
    let (mut two, mut three, mut publisher) = (server.client(), server.client3(), server.client());
    two.check("SSUBSCRIBE ch", "*3~$10~ssubscribe~$2~ch~:1~");
    three.check("SSUBSCRIBE ch", ">3~$10~ssubscribe~$2~ch~:1~");
    three.check("SUBSCRIBE ch", ">3~$9~subscribe~$2~ch~:1~");
    publisher.check("PUBLISH ch all", ":1~");
    publisher.check("SPUBLISH ch shard", ":2~");
    two.check_next("*3~$8~smessage~$2~ch~$5~shard~");
    three.check_next(">3~$7~message~$2~ch~$3~all~");
    three.check_next(">3~$8~smessage~$2~ch~$5~shard~");
    publisher.check("PUBSUB SHARDCHANNELS", "*1~$2~ch~");
    publisher.check("PUBSUB SHARDCHANNELS x*", "*0~");
    publisher.check("PUBSUB SHARDNUMSUB ch none", "*4~$2~ch~:2~$4~none~:0~");
    assert_eq!(info(&mut publisher, "pubsubshard_channels"), "1");
    two.check("SUNSUBSCRIBE", "*3~$12~sunsubscribe~$2~ch~:0~");
    two.check("SUNSUBSCRIBE", "*3~$12~sunsubscribe~$-1~:0~");
    three.check("SUNSUBSCRIBE other", ">3~$12~sunsubscribe~$5~other~:1~");
    publisher.check("SPUBLISH ch x", ":1~");
}

#[test]
fn a_resp2_subscriber_may_say_little_else() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    client.check("GET k", "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context~");
    client.check("CLIENT ID", "-ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context~");
    client.check("PING", "*2~$4~pong~$0~~");
    client.check("PING hello", "*2~$4~pong~$5~hello~");
    client.check("RESET", "+RESET~");
    client.check("GET k", "$-1~");
    server.client().check("PUBLISH ch x", ":0~");
    client.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    client.check("QUIT", "+OK~");
    client.expect_closed();
    let mut client = server.client3();
    client.check("SUBSCRIBE ch", ">3~$9~subscribe~$2~ch~:1~");
    client.check("GET k", "_~");
    client.check("PING", "+PONG~");
}

#[test]
fn a_publisher_hears_itself_after_its_reply() {
    let server = TestServer::start();
    let mut client = server.client3();
    client.check("SUBSCRIBE ch", ">3~$9~subscribe~$2~ch~:1~");
    client.check("PUBLISH ch hello", ":1~");
    client.check_next(">3~$7~message~$2~ch~$5~hello~");
    client.send(b"PUBLISH ch 1\r\nPUBLISH ch 2\r\nPING\r\n");
    for expected in [":1~", ">3~$7~message~$2~ch~$1~1~", ":1~", ">3~$7~message~$2~ch~$1~2~", "+PONG~"] {
        client.check_next(expected);
    }
}

#[test]
fn messages_of_one_publisher_come_in_order() {
    let server = TestServer::start();
    let mut subscribers: Vec<Client> = (0..10).map(|_| server.client()).collect();
    for subscriber in &mut subscribers {
        subscriber.check("SUBSCRIBE ch", "*3~$9~subscribe~$2~ch~:1~");
    }
    let mut publisher = server.client();
    let requests: Vec<u8> =
        (0..2000).flat_map(|number| encode(&["PUBLISH", "ch", &number.to_string()])).collect();
    publisher.send(&requests);
    for _ in 0..2000 {
        assert_eq!(publisher.read(), Value::Int(10));
    }
    for subscriber in &mut subscribers {
        for number in 0..2000 {
            assert_eq!(subscriber.read().items()[2].text(), number.to_string());
        }
    }
}
