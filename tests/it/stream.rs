//! Streams and groups of consumers.

use crate::harness::{TestServer, eventually, table};

#[test]
fn entries_and_ranges() {
    table(
        r#"
        XADD s 1-1 a 1 => $3~1-1~
        XADD s 1-* a 2 b x => $3~1-2~
        XADD s 1-2 a 3 => -ERR The ID specified in XADD is equal or smaller than the target stream top item~
        XADD s 0-0 a 3 => -ERR The ID specified in XADD must be greater than 0-0~
        XADD s x a 3 => -ERR Invalid stream ID specified as stream command argument~
        XADD s 2 a => -ERR wrong number of arguments for 'xadd' command~
        XADD none NOMKSTREAM 2 a 1 => $-1~ => _~
        XLEN s => :2~
        XLEN none => :0~
        XRANGE s - + => *2~*2~$3~1-1~*2~$1~a~$1~1~*2~$3~1-2~*4~$1~a~$1~2~$1~b~$1~x~
        XRANGE s (1-1 + => *1~*2~$3~1-2~*4~$1~a~$1~2~$1~b~$1~x~
        XREVRANGE s + - COUNT 1 => *1~*2~$3~1-2~*4~$1~a~$1~2~$1~b~$1~x~
        XRANGE s - + COUNT 0 => *-1~ => _~
        XRANGE s (18446744073709551615-18446744073709551615 + => -ERR invalid start ID for the interval~
        XRANGE s - (0-0 => -ERR invalid end ID for the interval~
        XREAD STREAMS s 1-1 => *1~*2~$1~s~*1~*2~$3~1-2~*4~$1~a~$1~2~$1~b~$1~x~ => %1~$1~s~*1~*2~$3~1-2~*4~$1~a~$1~2~$1~b~$1~x~
        XREAD STREAMS s $ => *-1~ => _~
        XREAD STREAMS s s 1 => -ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.~
        XDEL s 1-1 9-9 => :1~
        XSETID s 1-1 => -ERR The ID specified in XSETID is smaller than the target stream top item~
        XSETID s 5-5 ENTRIESADDED 7 MAXDELETEDID 2-2 => +OK~
        XINFO STREAM s => *20~$6~length~:1~$15~radix-tree-keys~:1~$16~radix-tree-nodes~:2~$17~last-generated-id~$3~5-5~$20~max-deleted-entry-id~$3~2-2~$13~entries-added~:7~$23~recorded-first-entry-id~$3~1-2~$6~groups~:0~$11~first-entry~*2~$3~1-2~*4~$1~a~$1~2~$1~b~$1~x~$10~last-entry~*2~$3~1-2~*4~$1~a~$1~2~$1~b~$1~x~ => %10~...
        XTRIM s MAXLEN 0 => :1~
        TYPE s => +stream~
        OBJECT ENCODING s => $6~stream~
        SET k v => +OK~
        XADD k * a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        XADD m 18446744073709551615-18446744073709551615 a 1 => $41~18446744073709551615-18446744073709551615~
        XADD m * a 1 => -ERR The stream has exhausted the last possible ID, unable to add more items~
        "#,
    );
}

#[test]
fn groups() {
    table(
        r#"
        XGROUP CREATE s g $ => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.~
        XGROUP CREATE s g $ MKSTREAM => +OK~
        XGROUP CREATE s g $ => -BUSYGROUP Consumer Group name already exists~
        XADD s 1-1 a 1 => $3~1-1~
        XADD s 2-1 a 2 => $3~2-1~
        XREADGROUP GROUP no c STREAMS s > => -NOGROUP No such key 's' or consumer group 'no' in XREADGROUP with GROUP option~
        XREADGROUP GROUP g c COUNT 1 STREAMS s > => *1~*2~$1~s~*1~*2~$3~1-1~*2~$1~a~$1~1~ => %1~$1~s~*1~*2~$3~1-1~*2~$1~a~$1~1~
        XINFO GROUPS s => *1~*12~$4~name~$1~g~$9~consumers~:1~$7~pending~:1~$17~last-delivered-id~$3~1-1~$12~entries-read~:1~$3~lag~:1~ => *1~%6~...
        XPENDING s g => *4~:1~$3~1-1~$3~1-1~*1~*2~$1~c~$1~1~
        XCLAIM s g d 0 1-1 JUSTID => *1~$3~1-1~
        XPENDING s g - + 10 c => *0~
        XPENDING s g IDLE 0 - + 10 d => *1~*4~$3~1-1~$1~d~:...
        XDEL s 1-1 => :1~
        XREADGROUP GROUP g d STREAMS s 0 => *1~*2~$1~s~*1~*2~$3~1-1~*-1~ => %1~$1~s~*1~*2~$3~1-1~_~
        XAUTOCLAIM s g e 0 0 => *3~$3~0-0~*0~*1~$3~1-1~
        XPENDING s g => *4~:0~$-1~$-1~*-1~ => *4~:0~_~_~_~
        XREADGROUP GROUP g d NOACK STREAMS s > => *1~*2~$1~s~*1~*2~$3~2-1~*2~$1~a~$1~2~ => %1~$1~s~*1~*2~$3~2-1~*2~$1~a~$1~2~
        XREADGROUP GROUP g d STREAMS s > => *-1~ => _~
        XACK s g 2-1 => :0~
        XGROUP CREATECONSUMER s g d => :0~
        XGROUP DELCONSUMER s g d => :0~
        XGROUP DESTROY s g => :1~
        XINFO CONSUMERS s g => -NOGROUP No such consumer group 'g' for key name 's'~
        "#,
    );
}

#[test]
fn dumps_bring_back_everything() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    for number in 1..300 {
        client.call(&["XADD", "s", &format!("{number}-1"), "field", &number.to_string(), "other", "x"]);
    }
    client.check("XADD s 300-1 another field", "$5~300-1~");
    client.check("XGROUP CREATE s g 0", "+OK~");
    client.call(&["XREADGROUP", "GROUP", "g", "c", "COUNT", "50", "STREAMS", "s", ">"]);
    client.check("XDEL s 7-1 200-1", ":2~");
    client.check("COPY s copy", ":1~");
    let before = client.raw("XINFO STREAM s FULL COUNT 0");
    assert_eq!(client.raw("XINFO STREAM copy FULL COUNT 0"), before);
    let digest = client.raw("DEBUG DIGEST-VALUE s");
    client.check("DEBUG RELOAD", "+OK~");
    assert_eq!(client.raw("XINFO STREAM s FULL COUNT 0"), before);
    assert_eq!(client.raw("DEBUG DIGEST-VALUE s"), digest);
}

#[test]
fn readers_wait() {
    let server = TestServer::start();
    let (mut client, mut reader, mut member) = (server.client(), server.client(), server.client());
    client.check("XADD s 1-1 a 1", "$3~1-1~");
    client.check("XGROUP CREATE s g $", "+OK~");
    reader.send_command("XREAD BLOCK 0 STREAMS s $");
    member.send_command("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    eventually("both wait", || server.info("blocked_clients") == "2");
    client.check("XADD s 2-1 a 2", "$3~2-1~");
    let reply = "*1~*2~$1~s~*1~*2~$3~2-1~*2~$1~a~$1~2~";
    assert_eq!(crate::harness::show(&reader.read_raw()), reply);
    assert_eq!(crate::harness::show(&member.read_raw()), reply);
    for (command, error) in [
        ("DEL s", "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option~"),
        ("SET s v", "-WRONGTYPE Operation against a key holding the wrong kind of value~"),
        (
            "XGROUP DESTROY s g",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option~",
        ),
    ] {
        client.raw("DEL s");
        client.check("XGROUP CREATE s g $ MKSTREAM", "+OK~");
        member.send_command("XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
        eventually("it waits", || server.info("blocked_clients") == "1");
        client.raw(command);
        assert_eq!(crate::harness::show(&member.read_raw()), error, "after {command}");
    }
}

/// Each command on a stream of three entries and a group whose consumer `c` has the first: its events, and
/// whether a client that watches the keys minds. Groups are no part of the value.
#[test]
fn changes_are_told() {
    let server = TestServer::with(&[("notify-keyspace-events", "EA")]);
    let (mut client, mut watcher) = (server.client(), server.client());
    for (command, events, trips) in [
        ("XGROUP CREATE s h 0", &["xgroup-create s"][..], false),
        ("XGROUP CREATE s g 0", &[], false),
        ("XGROUP CREATE n h 0 MKSTREAM", &["xgroup-create n"], true),
        ("XGROUP CREATECONSUMER s g x", &["xgroup-createconsumer s"], false),
        ("XGROUP CREATECONSUMER s g c", &[], false),
        ("XGROUP DELCONSUMER s g c", &["xgroup-delconsumer s"], false),
        ("XGROUP DELCONSUMER s g d", &["xgroup-delconsumer s"], false),
        ("XGROUP DELCONSUMER s g x", &[], false),
        ("XGROUP DESTROY s g", &["xgroup-destroy s"], false),
        ("XGROUP DESTROY s no", &[], false),
        ("XGROUP SETID s g 2", &["xgroup-setid s"], false),
        ("XACK s g 1-1", &[], false),
        ("XACK s g 9-9", &[], false),
        ("XACK s no 1-1", &[], false),
        ("XCLAIM s g d 0 1-1", &[], false),
        ("XCLAIM s g x 0 1-1", &["xgroup-createconsumer s"], false),
        ("XCLAIM s g d 0 9-9", &[], false),
        ("XCLAIM s g x 0 9-9", &["xgroup-createconsumer s"], false),
        ("XCLAIM s g d 100000 1-1", &[], false),
        ("XCLAIM s g d 0 9-9 LASTID 5-5", &[], false),
        ("XCLAIM s g d 0 1-1 JUSTID", &[], false),
        ("XCLAIM s g d 0 2-1 FORCE", &[], false),
        ("XAUTOCLAIM s g d 0 0", &[], false),
        ("XAUTOCLAIM s g x 0 0", &["xgroup-createconsumer s"], false),
        ("XAUTOCLAIM s g d 100000 0", &[], false),
        ("XAUTOCLAIM s g x 100000 0", &["xgroup-createconsumer s"], false),
        ("XAUTOCLAIM s g d 0 5", &[], false),
        ("XREADGROUP GROUP g c STREAMS s >", &[], false),
        ("XREADGROUP GROUP g c NOACK STREAMS s >", &[], false),
        ("XREADGROUP GROUP g x STREAMS s >", &["xgroup-createconsumer s"], false),
        ("XREADGROUP GROUP g c STREAMS s 0", &[], false),
        ("XREADGROUP GROUP g d STREAMS s 0", &[], false),
        ("XREADGROUP GROUP g x STREAMS s 0", &["xgroup-createconsumer s"], false),
        ("XDEL s 1-1", &["xdel s"], true),
        ("XDEL s 9-9", &[], false),
        ("XTRIM s MAXLEN 1", &["xtrim s"], true),
        ("XTRIM s MAXLEN 9", &[], false),
        ("XSETID s 9-9", &["xsetid s"], false),
        ("XADD s MAXLEN 1 4-1 a 1", &["xadd s", "xtrim s"], true),
        ("XADD s 4-1 a 1", &["xadd s"], true),
        ("XADD n NOMKSTREAM * a 1", &[], false),
        ("XADD s MAXLEN 0 4-1 a 1", &["xadd s", "xtrim s"], true),
        ("XADD s MINID 9 4-1 a 1", &["xadd s", "xtrim s"], true),
        ("XDEL s 1-1 2-1 3-1", &["xdel s"], true),
    ] {
        client.raw("DEL s n");
        for entry in ["1-1", "2-1", "3-1"] {
            client.check(&format!("XADD s {entry} a 1"), &format!("$3~{entry}~"));
        }
        client.check("XGROUP CREATE s g 0", "+OK~");
        client.check("XGROUP CREATECONSUMER s g d", ":1~");
        client.raw("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
        let mut listener = server.client();
        listener.check("PSUBSCRIBE __keyevent*", "*3~$10~psubscribe~$11~__keyevent*~:1~");
        watcher.check("WATCH s n", "+OK~");
        client.raw(command);
        for event in events {
            let message = listener.read().texts();
            assert_eq!(
                format!("{} {}", message[2], message[3]),
                format!("__keyevent@0__:{event}"),
                "{command}"
            );
        }
        listener.check_silent();
        watcher.check("MULTI", "+OK~");
        let reply = watcher.raw("EXEC");
        assert_eq!(reply == "*-1~", trips, "{command} answered {reply}");
    }
}
