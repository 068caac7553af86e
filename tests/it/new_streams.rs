//! Streams: what Redis 8.2 to 8.10 added.

use crate::harness::*;

/// Two groups, one of which has read more than the other.
const TWO_GROUPS: &str = r#"
    XADD s 1-1 f v => $3~1-1~
    XADD s 2-1 f v => $3~2-1~
    XADD s 3-1 f v => $3~3-1~
    XADD s 4-1 f v => $3~4-1~
    XGROUP CREATE s g 0 => +OK~
    XGROUP CREATE s h 0 => +OK~
    XREADGROUP GROUP g c COUNT 3 STREAMS s > => ...
    XREADGROUP GROUP h c COUNT 2 STREAMS s > => ...
    XACK s h 1-1 => :1~
"#;

#[test]
fn xdelex_deletes_as_references_allow() {
    table(
        &(TWO_GROUPS.to_owned()
            + r#"
        XDELEX s IDS 2 1-1 9-9 => *2~:1~:-1~
        XPENDING s g => *4~:3~$3~1-1~$3~3-1~*1~*2~$1~c~$1~3~
        XDELEX s DELREF IDS 1 1-1 => *1~:-1~
        XPENDING s g => *4~:2~$3~2-1~$3~3-1~*1~*2~$1~c~$1~2~
        XDELEX s ACKED IDS 3 2-1 3-1 9-9 => *3~:2~:2~:2~
        XACK s g 2-1 3-1 => :2~
        XACK s h 2-1 => :1~
        XDELEX s ACKED IDS 2 2-1 3-1 => *2~:1~:2~
        XREADGROUP GROUP h c STREAMS s > => ...
        XACK s h 3-1 => :1~
        XDELEX s ACKED IDS 2 3-1 3-1 => *2~:1~:-1~
        XRANGE s - + => *1~*2~$3~4-1~*2~$1~f~$1~v~
        XPENDING s h => *4~:1~$3~4-1~$3~4-1~*1~*2~$1~c~$1~1~
        XDELEX s IDS 1 4-1 DELREF => *1~:1~
        XPENDING s h => *4~:0~$-1~$-1~*-1~ => *4~:0~_~_~_~
        XLEN s => :0~
        EXISTS s => :1~
        XDELEX none IDS 2 1-1 x => *2~:-1~:-1~
        XDELEX s IDS 1 x => -ERR Invalid stream ID specified as stream command argument~
        XDELEX s IDS 2 1-1 => -ERR The `numids` parameter must match the number of arguments~
        XDELEX s IDS 0 1-1 => -ERR Number of IDs must be a positive integer~
        XDELEX s IDS x 1-1 => -ERR Number of IDs must be a positive integer~
        XDELEX s IDS 9223372036854775807 1-1 => -ERR The `numids` parameter must match the number of arguments~
        XDELEX s IDS 1 => -ERR wrong number of arguments for 'xdelex' command~
        XDELEX s KEEPREF DELREF IDS 1 1-1 => -ERR syntax error~
        XDELEX s IDS 1 1-1 IDS 1 1-1 => -ERR syntax error~
        XDELEX s WHAT IDS 1 1-1 => -ERR syntax error~
        XDELEX s KEEPREF 1 1-1 => -ERR syntax error~
        SET k v => +OK~
        XDELEX k IDS 1 x => -WRONGTYPE Operation against a key holding the wrong kind of value~
        COMMAND GETKEYSANDFLAGS XDELEX s IDS 1 1-1 => *1~*2~$1~s~*2~+RW~+delete~ => *1~*2~$1~s~~2~+RW~+delete~
        "#),
    );
}

#[test]
fn xackdel_acknowledges_and_deletes() {
    table(
        &(TWO_GROUPS.to_owned()
            + r#"
        XACKDEL s g IDS 3 1-1 4-1 9-9 => *3~:1~:-1~:-1~
        XPENDING s g => *4~:2~$3~2-1~$3~3-1~*1~*2~$1~c~$1~2~
        XACKDEL s g ACKED IDS 2 2-1 3-1 => *2~:2~:2~
        XPENDING s g => *4~:0~$-1~$-1~*-1~ => *4~:0~_~_~_~
        XLEN s => :3~
        XACKDEL s g ACKED IDS 1 2-1 => *1~:-1~
        XACKDEL s h ACKED IDS 1 2-1 => *1~:1~
        XREADGROUP GROUP g c STREAMS s > => ...
        XREADGROUP GROUP h c STREAMS s > => ...
        XACKDEL s g DELREF IDS 1 4-1 => *1~:1~
        XPENDING s h => *4~:1~$3~3-1~$3~3-1~*1~*2~$1~c~$1~1~
        XDEL s 3-1 => :1~
        XACKDEL s h IDS 1 3-1 => *1~:1~
        XACKDEL s nogroup IDS 1 3-1 => *1~:-1~
        XACKDEL none g IDS 1 3-1 => *1~:-1~
        XACKDEL s g IDS 1 x => -ERR Invalid stream ID specified as stream command argument~
        XACKDEL s g IDS 2 1-1 => -ERR The `numids` parameter must match the number of arguments~
        XACKDEL s g ACKED DELREF IDS 1 1-1 => -ERR syntax error~
        XACKDEL s g IDS 1 => -ERR wrong number of arguments for 'xackdel' command~
        SET k v => +OK~
        XACKDEL k g IDS 1 1-1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#),
    );
}

#[test]
fn trimming_respects_references() {
    table(
        &(TWO_GROUPS.to_owned()
            + r#"
        XTRIM s MAXLEN 1 ACKED => :0~
        XACK s g 1-1 3-1 => :2~
        XTRIM s MAXLEN 0 ACKED => :1~
        XACK s g 2-1 => :1~
        XREADGROUP GROUP h c COUNT 1 STREAMS s > => ...
        XACK s h 3-1 => :1~
        XTRIM s ACKED MAXLEN 0 => :1~
        XRANGE s - + => *2~*2~$3~2-1~*2~$1~f~$1~v~*2~$3~4-1~*2~$1~f~$1~v~
        XADD s MAXLEN 1 ACKED 5-1 f v => $3~5-1~
        XLEN s => :3~
        XADD s DELREF MAXLEN 2 6-1 f v => $3~6-1~
        XPENDING s h => *4~:0~$-1~$-1~*-1~ => *4~:0~_~_~_~
        XRANGE s - + => *2~*2~$3~5-1~*2~$1~f~$1~v~*2~$3~6-1~*2~$1~f~$1~v~
        XREADGROUP GROUP g c STREAMS s > => ...
        XTRIM s MAXLEN ~ 1 KEEPREF => :0~
        XTRIM s MAXLEN ~ 1 DELREF => :1~
        XPENDING s g => *4~:1~$3~6-1~$3~6-1~*1~*2~$1~c~$1~1~
        XTRIM s MINID 7 KEEPREF => :1~
        XPENDING s g => *4~:1~$3~6-1~$3~6-1~*1~*2~$1~c~$1~1~
        XTRIM s MAXLEN 0 KEEPREF DELREF => -ERR syntax error~
        XTRIM s KEEPREF MAXLEN => -ERR syntax error~
        XADD s KEEPREF ACKED 9-1 f v => -ERR Invalid stream ID specified as stream command argument~
        XADD s ACKED NOMKSTREAM 9-1 f v => $3~9-1~
        "#),
    );
}

#[test]
fn xreadgroup_claims_what_was_pending_long() {
    let server = TestServer::start();
    for version in [2, 3] {
        let mut client = if version == 3 { server.client().resp3() } else { server.client() };
        client.check("FLUSHALL", "+OK~");
        for id in 1..=5 {
            client.check(&format!("XADD s {id}-1 f v"), &format!("$3~{id}-1~"));
        }
        client.check("XGROUP CREATE s g 0", "+OK~");
        client.call(&["XREADGROUP", "GROUP", "g", "a", "COUNT", "1", "STREAMS", "s", ">"]);
        server.advance_ms(100);
        client.call(&["XREADGROUP", "GROUP", "g", "b", "COUNT", "2", "STREAMS", "s", ">"]);
        server.advance_ms(50);
        let head = if version == 3 { "%1~$1~s~" } else { "*1~*2~$1~s~" };
        let nothing = if version == 3 { "_~" } else { "*-1~" };
        let claim = "XREADGROUP GROUP g c CLAIM";
        client.check(
            &format!("{claim} 150 COUNT 2 STREAMS s >"),
            &format!("{head}*2~*4~$3~1-1~*2~$1~f~$1~v~:150~:1~*4~$3~4-1~*2~$1~f~$1~v~:0~:0~"),
        );
        client.check("XCLAIM s g b 0 3-1 IDLE 900 JUSTID", "*1~$3~3-1~");
        client.check("XDEL s 2-1", ":1~");
        // The longest first; what was deleted stays pending where it is.
        client.check(
            &format!("{claim} 0 NOACK STREAMS s >"),
            &format!(
                "{head}*4~*4~$3~3-1~*2~$1~f~$1~v~:900~:1~*4~$3~1-1~*2~$1~f~$1~v~:0~:2~*4~$3~4-1~*2~$1~f~$1~v~:0~:1~*4~$3~5-1~*2~$1~f~$1~v~:0~:0~"
            ),
        );
        client.check(
            "XPENDING s g - + 10",
            "*4~*4~$3~1-1~$1~c~:0~:3~*4~$3~2-1~$1~b~:50~:1~*4~$3~3-1~$1~c~:0~:2~*4~$3~4-1~$1~c~:0~:2~",
        );
        client.check(&format!("{claim} 40 STREAMS s >"), nothing);
        client.check(&format!("{claim} 0 COUNT 1 STREAMS s 3"), &format!("{head}*1~*2~$3~3-1~*2~$1~f~$1~v~"));
        client.check(&format!("{claim} -1 STREAMS s >"), "-ERR min-idle-time must be a positive integer~");
        let not_a_number = "-ERR min-idle-time is not an integer or out of range~";
        client.check(&format!("{claim} x STREAMS s >"), not_a_number);
        client.check(&format!("{claim} STREAMS s >"), not_a_number);
        client.check(
            "XREAD CLAIM 1 STREAMS s 0",
            "-ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.~",
        );
    }
}

#[test]
fn replies_of_many_streams_have_one_limit() {
    let entry = |id: u8| format!("*2~$3~{id}-1~*2~$1~f~$5~value~");
    let stream = |name: &str, ids: &[u8]| {
        let entries: String = ids.iter().map(|&id| entry(id)).collect();
        format!("*2~$1~{name}~*{}~{entries}", ids.len())
    };
    let server = TestServer::start();
    let mut client = server.client();
    for name in ["a", "b"] {
        for id in 1..=3 {
            client.check(&format!("XADD {name} {id}-1 f value"), &format!("$3~{id}-1~"));
        }
        client.check(&format!("XGROUP CREATE {name} g 0"), "+OK~");
    }
    let both = |first: &[u8], second: &[u8]| format!("*2~{}{}", stream("a", first), stream("b", second));
    client.check("XREAD COUNT 2 MAXCOUNT 3 STREAMS a b 0 0", &both(&[1, 2], &[1]));
    client.check("XREAD MAXCOUNT 4 STREAMS a b 0 0", &both(&[1, 2, 3], &[1]));
    client.check("XREAD MAXCOUNT 3 STREAMS a b 0 0", &format!("*1~{}", stream("a", &[1, 2, 3])));
    client.check("XREAD MAXSIZE 1 STREAMS a b 0 0", &format!("*1~{}", stream("a", &[1])));
    // A reply of 90 bytes holds its first stream's head and two entries.
    client.check("XREAD MAXSIZE 90 STREAMS a b 0 0", &format!("*1~{}", stream("a", &[1, 2])));
    client.check("XREAD MAXSIZE 100000 STREAMS a b 2-1 2-1", &both(&[3], &[3]));
    client.check("XREAD MAXCOUNT 1 STREAMS a b 3-1 2-1", &format!("*1~{}", stream("b", &[3])));
    let read = "XREADGROUP GROUP g c";
    client.check(&format!("{read} MAXCOUNT 4 STREAMS a b > >"), &both(&[1, 2, 3], &[1]));
    client.check("XPENDING b g", "*4~:1~$3~1-1~$3~1-1~*1~*2~$1~c~$1~1~");
    client.check(&format!("{read} MAXSIZE 1 STREAMS a b > >"), &format!("*1~{}", stream("b", &[2])));
    client.check("XPENDING b g", "*4~:2~$3~1-1~$3~2-1~*1~*2~$1~c~$1~2~");
    client.check(&format!("{read} MAXCOUNT 2 STREAMS a b 0 0"), &format!("*1~{}", stream("a", &[1, 2])));
    client.check(&format!("{read} MAXCOUNT 9 STREAMS a b 3-1 0"), &both(&[], &[1, 2]));
    client.check(
        &format!("{read} MAXCOUNT 1 CLAIM 0 STREAMS a b > >"),
        "*1~*2~$1~a~*1~*4~$3~1-1~*2~$1~f~$5~value~:0~:2~",
    );
    for (words, error) in [
        ("MAXCOUNT 0", "MAXCOUNT must be a positive integer"),
        ("MAXCOUNT x", "MAXCOUNT must be a positive integer"),
        ("MAXSIZE -1", "MAXSIZE must be a positive integer"),
        ("COUNT 5 MAXCOUNT 4", "MAXCOUNT must be greater than or equal to COUNT"),
        ("MAXCOUNT 4 COUNT 5", "MAXCOUNT must be greater than or equal to COUNT"),
    ] {
        client.check(&format!("XREAD {words} STREAMS a 0"), &format!("-ERR {error}~"));
        client.check(&format!("{read} {words} STREAMS a >"), &format!("-ERR {error}~"));
    }
}

/// What was given back is claimed in the order in which it was, before all else; also after a restart and by a
/// server that has followed. Clients are told no order, but a time of 0.
#[test]
fn what_is_given_back_is_claimed_in_its_order() {
    let server = TestServer::with(&[("enable-debug-command", "yes"), ("appendonly", "yes")]);
    let mut client = server.client();
    for id in 1..=5 {
        client.check(&format!("XADD s {id}-1 f v"), &format!("$3~{id}-1~"));
    }
    client.check("XGROUP CREATE s g 0", "+OK~");
    client.value("XREADGROUP GROUP g c STREAMS s >");
    client.check("XNACK s g FAIL IDS 1 4-1", ":1~");
    client.check("XNACK s g SILENT IDS 2 5-1 2-1", ":2~");
    client.check("XNACK s g FAIL IDS 1 3-1", ":1~");
    // Given back once more, it is the last.
    client.check("XNACK s g FAIL IDS 1 5-1", ":1~");
    client.check("DEBUG RELOAD", "+OK~");
    client.check("DEBUG LOADAOF", "+OK~");
    let mut order = Vec::new();
    for _ in 0..5 {
        let read = client.value("XREADGROUP GROUP g d COUNT 1 CLAIM 0 STREAMS s >");
        order.push(read.items()[0].items()[1].items()[0].items()[0].text());
    }
    assert_eq!(order, ["4-1", "2-1", "3-1", "5-1", "1-1"]);
    client.check("XNACK s g FAIL IDS 2 3-1 2-1", ":2~");
    let shown = client.raw("XINFO STREAM s FULL");
    assert!(shown.contains("*4~$3~2-1~$0~~:0~") && shown.contains("*4~$3~3-1~$0~~:0~"), "{shown}");
}

#[test]
fn xnack_gives_entries_back() {
    table(
        &(TWO_GROUPS.to_owned()
            + r#"
        XREADGROUP GROUP g c STREAMS s 0 => ...
        XNACK s g FAIL IDS 2 1-1 9-9 => :1~
        XNACK s g SILENT IDS 1 2-1 => :1~
        XNACK s g FATAL IDS 1 3-1 => :1~
        XPENDING s g - + 10 => *3~*4~$3~1-1~$0~~:-1~:2~*4~$3~2-1~$0~~:-1~:1~*4~$3~3-1~$0~~:-1~:9223372036854775807~
        XPENDING s g => *4~:3~$3~1-1~$3~3-1~*0~
        XINFO CONSUMERS s g => *1~*8~$4~name~$1~c~$7~pending~:0~$4~idle~:0~$8~inactive~:0~ => *1~%4~$4~name~$1~c~$7~pending~:0~$4~idle~:0~$8~inactive~:0~
        XNACK s g FAIL IDS 1 1-1 RETRYCOUNT 7 => :1~
        XNACK s g FAIL IDS 1 4-1 => :0~
        XNACK s g FAIL IDS 1 4-1 FORCE => :1~
        XNACK s g FAIL IDS 1 9-9 FORCE => :0~
        XPENDING s g - + 10 => *4~*4~$3~1-1~$0~~:-1~:7~*4~$3~2-1~$0~~:-1~:1~*4~$3~3-1~$0~~:-1~:9223372036854775807~*4~$3~4-1~$0~~:-1~:0~
        XDEL s 2-1 => :1~
        XNACK s g FAIL IDS 1 2-1 => :0~
        XREADGROUP GROUP g d COUNT 1 CLAIM 1000 STREAMS s > => *1~*2~$1~s~*1~*4~$3~3-1~*2~$1~f~$1~v~:1700000000000~:9223372036854775807~ => %1~$1~s~*1~*4~$3~3-1~*2~$1~f~$1~v~:1700000000000~:9223372036854775807~
        XCLAIM s g d 1000 4-1 JUSTID => *1~$3~4-1~
        XAUTOCLAIM s g d 1000 0 JUSTID => *3~$3~0-0~*1~$3~1-1~*0~
        XPENDING s g - + 10 => *3~*4~$3~1-1~$1~d~:0~:7~*4~$3~3-1~$1~d~:0~:9223372036854775807~*4~$3~4-1~$1~d~:0~:0~
        XCLAIM s g d 0 3-1 => ...
        XAUTOCLAIM s g d 0 3-1 COUNT 1 => ...
        XREADGROUP GROUP g d STREAMS s 2-1 => ...
        XREADGROUP GROUP g e CLAIM 0 STREAMS s > => ...
        XPENDING s g 3-1 3-1 1 => *1~*4~$3~3-1~$1~e~:0~:9223372036854775807~
        XINFO STREAM s FULL => ...
        XCLAIM s g d 0 1-1 3-1 4-1 RETRYCOUNT 9223372036854775807 => ...
        XCLAIM s g d 0 1-1 => ...
        XPENDING s g - + 1 => *1~*4~$3~1-1~$1~d~:0~:9223372036854775807~
        XACK s g 1-1 3-1 4-1 => :3~
        XNACK s g FAIL IDS 1 1-1 => :0~
        XNACK s none FAIL IDS 1 1-1 => -NOGROUP No such key 's' or consumer group 'none'~
        XNACK none g FAIL IDS 1 1-1 => -NOGROUP No such key 'none' or consumer group 'g'~
        XNACK s g LOUD IDS 1 1-1 => -ERR syntax error~
        XNACK s g FAIL 1 1-1 x => -ERR syntax error~
        XNACK s g FAIL IDS 2 1-1 => -ERR The `numids` parameter must match the number of arguments~
        XNACK s g FAIL IDS 0 1-1 => -ERR Number of IDs must be a positive integer~
        XNACK s g FAIL IDS 1 x => -ERR Invalid stream ID specified as stream command argument~
        XNACK s g FAIL IDS 1 1-1 RETRYCOUNT -1 => -ERR Invalid RETRYCOUNT option argument for XNACK~
        XNACK s g FAIL IDS 1 1-1 RETRYCOUNT => -ERR syntax error~
        XNACK s g FAIL IDS 1 1-1 WHAT => -ERR syntax error~
        XNACK s g FAIL IDS 1 => -ERR wrong number of arguments for 'xnack' command~
        SET k v => +OK~
        XNACK k g FAIL IDS 1 1-1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#),
    );
}

/// What was given back is so after a restart, in a copy and where the journal is repeated.
#[test]
fn what_was_given_back_stays_so() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("XADD s 1-1 f v", "$3~1-1~");
    client.check("XGROUP CREATE s g 0", "+OK~");
    client.call(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
    client.check("XNACK s g FAIL IDS 1 1-1", ":1~");
    let pending = "*1~*4~$3~1-1~$0~~:-1~:1~";
    let consumers = client.value("XINFO CONSUMERS s g");
    for step in ["DEBUG RELOAD", "DEBUG LOADAOF", "COPY s t", "RENAME t s"] {
        client.call(&step.split(' ').collect::<Vec<_>>());
        client.check("XPENDING s g - + 10", pending);
        assert_eq!(client.value("XINFO CONSUMERS s g"), consumers, "{step}");
    }
    let Value::Bulk(payload) = client.value("DUMP s") else { panic!("a payload") };
    assert_eq!(client.call(&[&b"RESTORE"[..], b"r", b"0", &payload]).text(), "OK");
    client.check("XPENDING r g - + 10", pending);
    client.check(
        "XREADGROUP GROUP g d CLAIM 5 STREAMS r >",
        "*1~*2~$1~r~*1~*4~$3~1-1~*2~$1~f~$1~v~:1700000000000~:1~",
    );
}

/// A client that waits with CLAIM gets what another gives back.
#[test]
fn what_is_given_back_serves_who_waits() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("XADD s 1-1 f v", "$3~1-1~");
    client.check("XGROUP CREATE s g 0", "+OK~");
    client.call(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
    let mut waits = crate::waiting::waiting(&server, "XREADGROUP GROUP g d BLOCK 0 CLAIM 1000 STREAMS s >");
    client.check("XNACK s g SILENT IDS 1 1-1", ":1~");
    waits.check_next("*1~*2~$1~s~*1~*4~$3~1-1~*2~$1~f~$1~v~:1700000000000~:0~");
}
