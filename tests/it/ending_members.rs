//! Members of sets that end: SEXPIRE and its family, SADDEX, and what all other commands make of such members.

use kvarts::keyspace::database::Holder;
use kvarts::shared::clock::Clock;

use crate::harness::*;
use crate::journal::{BEGIN_MS, check_entered, data};
use crate::value::Value;

const LATER: &str = "4102444800000";

#[test]
fn members_get_and_lose_their_ends() {
    table(
        r#"
        SADD s a b 1 => :3~
        OBJECT ENCODING s => $8~listpack~
        SEXPIRE s 100 MEMBERS 3 a none 1 => *3~:1~:-2~:1~
        OBJECT ENCODING s => $9~hashtable~
        STTL s MEMBERS 4 a b 1 none => *4~:100~:-1~:100~:-2~
        SPTTL s MEMBERS 2 a none => *2~:100000~:-2~
        SPEXPIRE s 1500 MEMBERS 1 b => *1~:1~
        STTL s MEMBERS 1 b => *1~:2~
        SPTTL s MEMBERS 1 b => *1~:1500~
        SEXPIREAT s 4102444800 MEMBERS 1 a => *1~:1~
        SEXPIRETIME s MEMBERS 2 a none => *2~:4102444800~:-2~
        SPEXPIREAT s 4102444800001 MEMBERS 1 a => *1~:1~
        SEXPIRETIME s MEMBERS 1 a => *1~:4102444801~
        SPEXPIRETIME s MEMBERS 1 a => *1~:4102444800001~
        sexpire s 10 nx members 1 a => *1~:0~
        SEXPIRE s 10 MEMBERS 1 a XX => *1~:1~
        SEXPIRE s 10 GT MEMBERS 1 a => *1~:0~
        SEXPIRE s 11 GT MEMBERS 1 a => *1~:1~
        SEXPIRE s 11 LT MEMBERS 1 a => *1~:0~
        SEXPIRE s 10 LT MEMBERS 1 a => *1~:1~
        SPERSIST s MEMBERS 4 a a b none => *4~:1~:-1~:1~:-2~
        SEXPIRE s 10 GT MEMBERS 1 a => *1~:0~
        SEXPIRE s 10 LT MEMBERS 1 a => *1~:1~
        SPERSIST s MEMBERS 2 a 1 => *2~:1~:1~
        OBJECT ENCODING s => $9~hashtable~
        SEXPIRE s 10 NX MEMBERS 2 a a => *2~:1~:0~
        # A time that has passed removes at once.
        SEXPIRE s 0 MEMBERS 2 b b => *2~:2~:-2~
        SCARD s => :2~
        SEXPIREAT s 1 MEMBERS 2 a 1 => *2~:2~:2~
        EXISTS s => :0~
        SEXPIRE s 10 MEMBERS 2 a b => *2~:-2~:-2~
        STTL s MEMBERS 1 a => *1~:-2~
        SPERSIST s MEMBERS 1 a => *1~:-2~
        # Adding what is there changes nothing.
        SADDEX s EX 100 MEMBERS 1 a => :1~
        SADD s a => :0~
        STTL s MEMBERS 1 a => *1~:100~
        SREM s a => :1~
        SADD s a => :1~
        STTL s MEMBERS 1 a => *1~:-1~
        "#,
    );
}

#[test]
fn members_are_added_with_their_ends() {
    table(
        r#"
        SADDEX s EX 100 MEMBERS 2 a b => :1~
        STTL s MEMBERS 2 a b => *2~:100~:100~
        SADDEX s MNX PX 5000 MEMBERS 2 c a => :0~
        SMISMEMBER s a c => *2~:1~:0~
        SADDEX s MEMBERS 2 c d MNX PX 5000 => :1~
        SPTTL s MEMBERS 3 a c d => *3~:100000~:5000~:5000~
        SADDEX s MXX EX 7 MEMBERS 2 c e => :0~
        SADDEX s mxx exat 4102444800 members 2 c d => :1~
        SPEXPIRETIME s MEMBERS 2 c d => *2~:4102444800000~:4102444800000~
        SADDEX s PXAT 4102444800009 MEMBERS 1 c => :1~
        SPEXPIRETIME s MEMBERS 2 c d => *2~:4102444800009~:4102444800000~
        SADDEX s KEEPTTL MEMBERS 2 c e => :1~
        SPEXPIRETIME s MEMBERS 2 c e => *2~:4102444800009~:-1~
        SADDEX s MEMBERS 2 c f => :1~
        SPEXPIRETIME s MEMBERS 2 c f => *2~:-1~:-1~
        SADDEX s EXAT 1 MEMBERS 3 a none b => :1~
        SADDEX none PX 0 MEMBERS 1 a => :1~
        SADDEX none MXX MEMBERS 1 a => :0~
        EXISTS none => :0~
        SORT s ALPHA => *4~$1~c~$1~d~$1~e~$1~f~
        # Dragonfly's form answers how many were new.
        SADDEX t 10 a b a => :2~
        STTL t MEMBERS 2 a b => *2~:10~:10~
        SADDEX t 20 b c => :1~
        STTL t MEMBERS 3 a b c => *3~:10~:20~:20~
        SADDEX t keepttl 30 a d => :1~
        STTL t MEMBERS 2 a d => *2~:10~:30~
        SADD t e => :1~
        SADDEX t KEEPTTL 30 e => :0~
        SADDEX t 30 e => :0~
        STTL t MEMBERS 1 e => *1~:30~
        SADDEX t 10 MEMBERS 1 x => :3~
        SISMEMBER t MEMBERS => :1~
        "#,
    );
}

#[test]
fn wrong_requests_about_ends_of_members_are_refused() {
    table(
        r#"
        SADD s a => :1~
        SET k v => +OK~
        SEXPIRE s 1 MEMBERS 1 => -ERR wrong number of arguments for 'sexpire' command~
        SEXPIRE k x MEMBERS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        STTL k FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SPERSIST k FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SADDEX k EX 1 MEMBERS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SADDEX k EX 0 MEMBERS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SADDEX k 10 a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SEXPIRE s x MEMBERS 1 a => -ERR value is not an integer or out of range~
        SEXPIRE s -1 MEMBERS 1 a => -ERR invalid expire time, must be >= 0~
        SEXPIRE s 9223372036854775807 MEMBERS 1 a => -ERR invalid expire time in 'sexpire' command~
        SPEXPIRE s 9223372036854775807 MEMBERS 1 a => -ERR invalid expire time in 'spexpire' command~
        SEXPIRE s 1 NX XX MEMBERS 1 a => -ERR Multiple condition flags specified~
        SEXPIRE s 1 FIELDS 1 a => -ERR unknown argument: FIELDS~
        SEXPIRE s 1 NX NX NX => -ERR missing MEMBERS argument~
        SEXPIRE s 1 MEMBERS 0 a => -ERR Parameter `numMembers` should be greater than 0~
        SEXPIRE s 1 MEMBERS 2 a => -ERR wrong number of arguments~
        SEXPIRE s 1 MEMBERS 1 a b => -ERR unknown argument: b~
        SEXPIRE s 1 MEMBERS 1 a MEMBERS => -ERR MEMBERS keyword specified multiple times~
        SEXPIRE s 1 NX NX MEMBERS 1 => -ERR MEMBERS requires at least nummembers and one member argument~
        SEXPIRE none x MEMBERS 1 a => -ERR value is not an integer or out of range~
        STTL s a 1 a => -ERR Mandatory argument MEMBERS is missing or not at the right position~
        STTL s MEMBERS 0 a => -ERR Number of members must be a positive integer~
        STTL s MEMBERS x a => -ERR Number of members must be a positive integer~
        STTL s MEMBERS 2 a => -ERR The `nummembers` parameter must match the number of arguments~
        SPERSIST s MEMBERS 1 a b => -ERR The `nummembers` parameter must match the number of arguments~
        SPERSIST none MEMBERS 1 a b => -ERR The `nummembers` parameter must match the number of arguments~
        SADDEX s a => -ERR wrong number of arguments for 'saddex' command~
        SADDEX s EX 1 => -ERR missing MEMBERS argument~
        SADDEX s MNX MEMBERS => -ERR wrong number of arguments for 'saddex' command~
        SADDEX s MEMBERS 0 a => -ERR invalid number of members~
        SADDEX s MEMBERS 2 a => -ERR wrong number of arguments~
        SADDEX s MEMBERS 1 a b => -ERR unknown argument: b~
        SADDEX s MEMBERS 1 a EX => -ERR missing expire time~
        SADDEX s MEMBERS 1 a EX x => -ERR value is not an integer or out of range~
        SADDEX s MEMBERS 1 a EX -5 => -ERR invalid expire time, must be >= 0~
        SADDEX s EX 1 KEEPTTL MEMBERS 1 a => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified~
        SADDEX s EX 1 PXAT 1 MEMBERS 1 a => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified~
        SADDEX s MNX MXX MEMBERS 1 a => -ERR Only one of MXX or MNX arguments can be specified~
        SADDEX s MEMBERS 1 a MEMBERS 1 b => -ERR MEMBERS keyword specified multiple times~
        SADDEX s NX MEMBERS 1 a => -ERR unknown argument: NX~
        SADDEX s KEEPTTL 10 => -ERR wrong number of arguments for 'saddex' command~
        SADDEX s 0 a => -ERR value is not an integer or out of range~
        SADDEX s -1 a => -ERR value is not an integer or out of range~
        SADDEX s 67108865 a => -ERR value is not an integer or out of range~
        STTL s MEMBERS 1 a => *1~:-1~
        SCARD s => :1~
        "#,
    );
}

/// A set of which `gone` and `5` have ended, and nobody has removed them yet, beside one with other members.
fn with_ended(server: &TestServer, client: &mut Client) {
    for line in [
        "FLUSHALL",
        "SADD s gone 5 a b",
        "SPEXPIRE s 10 MEMBERS 2 gone 5",
        "SADD t gone a x",
        "SADD all gone 5",
        "SPEXPIRE all 10 MEMBERS 2 gone 5",
    ] {
        let reply = client.value(line);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    }
    server.handle().server().clock.advance_ms(10);
}

#[test]
fn an_ended_member_is_no_member_to_any_command() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    with_ended(&server, &mut client);
    for (command, reply) in [
        ("SCARD s", ":2~"),
        ("SISMEMBER s gone", ":0~"),
        ("SMISMEMBER s gone a 5", "*3~:0~:1~:0~"),
        ("SORT s ALPHA", "*2~$1~a~$1~b~"),
        ("SORT s ALPHA STORE l", ":2~"),
        ("SORT all STORE l", "*"),
        ("SINTER s t", "*1~$1~a~"),
        ("SINTERCARD 2 s t", ":1~"),
        ("SINTERSTORE d s t", ":1~"),
        ("SUNIONCARD 1 s", ":2~"),
        ("SUNIONCARD 2 s t", ":4~"),
        ("SUNIONCARD 1 s APPROX", ":2~"),
        ("SUNIONSTORE d s s", ":2~"),
        ("SDIFFSTORE d t s", ":2~"),
        ("SDIFFCARD 2 t s", ":2~"),
        ("SDIFF all t", "*0~"),
        ("SUNION all", "*0~"),
        ("ZUNIONSTORE d 2 s t", ":4~"),
        ("ZINTER 2 s t", "*1~$1~a~"),
        ("ZINTERCARD 2 all t", ":0~"),
        ("ZDIFFSTORE d 2 t s", ":2~"),
        ("SMEMBERS all", "*0~"),
        ("SRANDMEMBER all", "$-1~"),
        ("SRANDMEMBER all 3", "*0~"),
        ("SRANDMEMBER all -3", "*0~"),
        ("SCARD all", ":0~"),
        ("DUMP all", "$-1~"),
        ("STTL s MEMBERS 2 gone a", "*2~:-2~:-1~"),
        ("SPERSIST s MEMBERS 2 gone a", "*2~:-2~:-1~"),
        ("SPERSIST all MEMBERS 1 gone", "*1~:-2~"),
        ("SEXPIRE s 100 MEMBERS 2 gone a", "*2~:-2~:1~"),
        ("SEXPIRE all 100 MEMBERS 1 gone", "*1~:-2~"),
        ("SADD s gone", ":1~"),
        ("SADD all a gone", ":2~"),
        ("SREM s gone a", ":1~"),
        ("SREM all gone", ":0~"),
        ("SMOVE s t gone", ":0~"),
        ("SMOVE t s gone", ":1~"),
        ("SMOVE all t gone", ":0~"),
        ("SPOP all", "$-1~"),
        ("SPOP all 3", "*0~"),
        ("SADDEX s MXX EX 10 MEMBERS 1 gone", ":0~"),
        ("SADDEX s MNX EX 10 MEMBERS 2 gone 5", ":1~"),
        ("SADDEX all 10 gone", ":1~"),
        ("SADDEX all KEEPTTL MEMBERS 1 gone", ":1~"),
        ("EVAL \"return redis.call('scard', KEYS[1])\" 1 s", ":2~"),
    ] {
        with_ended(&server, &mut client);
        if reply == "*" {
            assert!(!client.raw(command).starts_with('-'), "{command}");
        } else {
            assert_eq!(client.raw(command), reply, "{command}");
        }
        for list in [client.value("SMEMBERS s").texts(), client.value("SSCAN s 0").items()[1].texts()] {
            let is_new = command.contains("SADD") || command.starts_with("SMOVE t s");
            assert!(is_new || !list.iter().any(|member| member == "gone" || member == "5"), "{command}");
        }
        client.check("EXISTS d", if command.contains("STORE d") { ":1~" } else { ":0~" });
    }
}

#[test]
fn what_becomes_of_sets_with_members_that_have_ended() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    with_ended(&server, &mut client);
    client.check("SADD plain a b", ":2~");
    let digests = client.value("DEBUG DIGEST-VALUE s plain").texts();
    assert_eq!(digests[0], digests[1]);
    let Value::Bulk(payload) = client.value("DUMP s") else { panic!("a payload") };
    // Those that come back have no end.
    with_ended(&server, &mut client);
    client.check("SADD s gone", ":1~");
    client.check("STTL s MEMBERS 1 gone", "*1~:-1~");
    client.check("SADDEX all KEEPTTL MEMBERS 1 gone", ":1~");
    client.check("STTL all MEMBERS 2 gone 5", "*2~:-1~:-2~");
    // Chosen at random, only the others come.
    with_ended(&server, &mut client);
    for _ in 0..50 {
        let one = client.value("SRANDMEMBER s").text();
        let some = client.value("SRANDMEMBER s -4").texts();
        let distinct = client.value("SRANDMEMBER s 4").texts();
        assert_eq!((some.len(), distinct.len()), (4, 2));
        assert!(some.iter().chain(&distinct).chain([&one]).all(|member| member == "a" || member == "b"));
    }
    let mut popped = client.value("SPOP s 9").texts();
    popped.sort();
    assert_eq!(popped, ["a", "b"]);
    client.check("EXISTS s", ":0~");
    // A copy keeps the ends, a payload has none.
    with_ended(&server, &mut client);
    client.check("SEXPIRE s 100 MEMBERS 1 a", "*1~:1~");
    client.check("COPY s copy", ":1~");
    client.check("RENAME s renamed", "+OK~");
    for key in ["copy", "renamed"] {
        client.check(&format!("STTL {key} MEMBERS 3 a b gone"), "*3~:100~:-1~:-2~");
    }
    client.call(&[b"RESTORE".as_slice(), b"restored", b"0", &payload]);
    client.check("SORT restored ALPHA", "*2~$1~a~$1~b~");
    client.check("STTL restored MEMBERS 1 a", "*1~:-1~");
}

#[test]
fn members_leave_by_themselves() {
    let server = TestServer::with(&[("notify-keyspace-events", "Esg")]);
    let (mut listener, mut client) = (server.client(), server.client());
    listener.check("PSUBSCRIBE __key*", "*3~$10~psubscribe~$6~__key*~:1~");
    let next = |listener: &mut Client| listener.read().texts()[2..].join(" ");
    for command in ["SADD s a b c", "SPEXPIRE s 100 MEMBERS 1 a", "SPEXPIRE s 200 MEMBERS 1 b"] {
        client.value(command);
    }
    for event in ["sadd s", "sexpire s", "sexpire s"] {
        assert_eq!(next(&mut listener), format!("__keyevent@0__:{event}"));
    }
    server.advance_ms(99);
    client.check("SCARD s", ":3~");
    listener.check_silent();
    server.advance_ms(1);
    assert_eq!(next(&mut listener), "__keyevent@0__:sexpired s");
    client.check("SCARD s", ":2~");
    assert_eq!(server.info("expired_set_members"), "1");
    // Pushed back: the old time comes and nothing happens. Brought forward, and under another name.
    client.check("SPEXPIRE s 1000 MEMBERS 1 b", "*1~:1~");
    server.advance_ms(500);
    client.check("SCARD s", ":2~");
    client.check("SADDEX s PX 100 MEMBERS 2 b c", ":1~");
    client.check("RENAME s r", "+OK~");
    for event in ["sexpire s", "sadd s", "sexpire s", "rename_from s", "rename_to r"] {
        assert_eq!(next(&mut listener), format!("__keyevent@0__:{event}"));
    }
    server.advance_ms(100);
    assert_eq!(next(&mut listener), "__keyevent@0__:sexpired r");
    assert_eq!(next(&mut listener), "__keyevent@0__:del r");
    client.check("DBSIZE", ":0~");
    assert_eq!((server.info("expired_set_members"), server.info("expired_keys")), ("3".into(), "0".into()));
    // A time that has passed, no end any more, and members that a command finds ended.
    client.check("SADD s a b c d", ":4~");
    client.check("SEXPIRE s 0 MEMBERS 1 a", "*1~:2~");
    client.check("SADDEX s PX 0 MEMBERS 1 b", ":1~");
    client.check("SEXPIRE s 100 MEMBERS 1 c", "*1~:1~");
    client.check("SPERSIST s MEMBERS 2 c d", "*2~:1~:-1~");
    for event in ["sadd", "srem", "srem", "sexpire", "spersist"] {
        assert_eq!(next(&mut listener), format!("__keyevent@0__:{event} s"));
    }
    listener.check_silent();
}

#[test]
fn members_that_events_are_about_are_told() {
    let server = TestServer::with(&[("notify-keyspace-events", "Ss"), ("enable-debug-command", "yes")]);
    let (mut listener, mut client) = (server.client(), server.client());
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    client.check("SADD k a b c", ":3~");
    listener.check("PSUBSCRIBE __*", "*3~$10~psubscribe~$3~__*~:1~");
    for (command, events) in [
        ("SPEXPIRE k 10 MEMBERS 3 a none b", &["sexpire|1:a,1:b"][..]),
        ("SPERSIST k MEMBERS 3 b c none", &["spersist|1:b"]),
        // `sadd` and `srem` tell no members, as those of SADD and SREM tell none.
        ("SADDEX k EX 100 MEMBERS 2 b d", &["sexpire|1:b,1:d"]),
        ("SADDEX k 100 d e", &["sexpire|1:d,1:e"]),
        ("SEXPIRE k 0 MEMBERS 2 d e", &[]),
    ] {
        client.value(command);
        for event in events {
            let told = listener.read().texts()[2..].join(" ");
            assert_eq!(told, format!("__subkeyspace@0__:k {event}"), "{command}");
        }
        listener.check_silent();
    }
    server.handle().server().clock.advance_ms(10);
    client.check("SREM k none", ":0~");
    assert_eq!(listener.read().texts()[2..].join(" "), "__subkeyspace@0__:k sexpired|1:a");
}

/// Transactions, scripts and pipelines get what single requests get; what is undone puts the ends back.
#[test]
fn ends_in_transactions_scripts_and_pipelines() {
    let server = TestServer::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.send(b"SADD s a b\r\nSEXPIRE s 100 MEMBERS 1 a\r\nSTTL s MEMBERS 2 a b\r\nSCARD s\r\n");
    for reply in [":2~", "*1~:1~", "*2~:100~:-1~", ":2~"] {
        client.check_next(reply);
    }
    client.check("MULTI", "+OK~");
    for command in
        ["SEXPIRE s 50 MEMBERS 1 b", "RENAME s t", "SADDEX t PX 7 MEMBERS 1 c", "STTL t MEMBERS 2 a b"]
    {
        client.check(command, "+QUEUED~");
    }
    other.check("STTL s MEMBERS 1 b", "*1~:-1~");
    client.check("EXEC", "*4~*1~:1~+OK~:1~*2~:100~:50~");
    other.check("WATCH t", "+OK~");
    client.check("SPERSIST t MEMBERS 1 b", "*1~:1~");
    other.check("MULTI", "+OK~");
    other.check("SCARD t", "+QUEUED~");
    other.check("EXEC", "*-1~");
    let script = "redis.call('sexpire', KEYS[1], 9, 'MEMBERS', 1, 'a') return redis.call('sttl', KEYS[1], 'MEMBERS', 1, 'a')";
    assert_eq!(client.call(&["EVAL", script, "1", "t"]), Value::Array(vec![Value::Int(9)]));
    client.check("MULTI ATOMIC", "+OK~");
    for command in ["SPERSIST t MEMBERS 1 a", "SEXPIRE t 0 MEMBERS 2 b c", "INCR t"] {
        client.check(command, "+QUEUED~");
    }
    assert!(client.value("EXEC").text().contains("rolled back"));
    client.check("SPTTL t MEMBERS 3 a b c", "*3~:9000~:-1~:7~");
    server.advance_ms(7);
    other.check("SPTTL t MEMBERS 3 a b c", "*3~:8993~:-1~:-2~");
}

#[test]
fn the_count_of_sets_is_that_of_a_walk() {
    crate::field_ends::counts_are_those_of_walks(Holder::Set, COMMANDS);
}

const COMMANDS: &[&str] = &[
    "SADD K F",
    "SADD K F F F",
    "SREM K F",
    "SMOVE K K F",
    "SPOP K",
    "SPOP K 2",
    "SPEXPIRE K T MEMBERS 1 F",
    "SPEXPIRE K T MEMBERS 2 F F",
    "SPEXPIRE K T GT MEMBERS 1 F",
    "SPEXPIREAT K 1 MEMBERS 1 F",
    "SPERSIST K MEMBERS 1 F",
    "SADDEX K PX T MEMBERS 2 F F",
    "SADDEX K MXX KEEPTTL MEMBERS 1 F",
    "SADDEX K MNX PX T MEMBERS 1 F",
    "SADDEX K PXAT 1 MEMBERS 1 F",
    "SADDEX K 1 F F",
    "SUNIONSTORE K K K",
];

/// A small set, one that is read member by member, and one that is not.
fn fill(client: &mut Client) {
    client.check(&format!("SADDEX small PXAT {LATER} MEMBERS 2 a 1"), ":1~");
    client.check("SADD small b", ":1~");
    client.check("SADD plain a b", ":2~");
    let members: Vec<String> = (0..2000).map(|number| format!("member {number}")).collect();
    client.call(&[vec!["SADD".to_owned(), "large".to_owned()], members.clone()].concat());
    for (number, member) in members.iter().enumerate().step_by(3) {
        let at_ms = (BEGIN_MS + 1000 * (1 + number as u64 % 7)).to_string();
        client.call(&["SPEXPIREAT", "large", &at_ms, "MEMBERS", "1", member]);
    }
}

/// Files keep the ends: snapshots, and append-only files with bases of either kind; members that have ended
/// meanwhile do not come back.
#[test]
fn files_keep_when_members_end() {
    for preamble in ["yes", "no", ""] {
        let pairs: &[(&str, &str)] = match preamble {
            "" => &[],
            _ => &[("appendonly", "yes"), ("aof-use-rdb-preamble", preamble)],
        };
        let server = TestServer::with_clock(pairs, Clock::manual(BEGIN_MS));
        let mut client = server.client();
        fill(&mut client);
        if preamble.is_empty() {
            client.check("SAVE", "+OK~");
        } else {
            client.call(&["BGREWRITEAOF"]);
            eventually("rewritten", || server.info("aof_rewrite_in_progress") == "0");
            client.check("SPEXPIRE small 7000 MEMBERS 1 b", "*1~:1~");
        }
        let before = data(&server);
        let dir = server.stop_and_keep();
        let again = TestServer::try_with(pairs, Clock::manual(BEGIN_MS), dir).expect("started again");
        eventually("loaded", || again.info("loading") == "0");
        assert_eq!(data(&again), before, "{preamble:?}");
        let dir = again.stop_and_keep();
        let late = TestServer::try_with(pairs, Clock::manual(BEGIN_MS + 4000), dir).expect("started again");
        eventually("loaded", || late.info("loading") == "0");
        late.advance_ms(1);
        let mut client = late.client();
        client.check("SISMEMBER large \"member 0\"", ":0~");
        client.check("SISMEMBER large \"member 6\"", ":1~");
        client.check("SISMEMBER large \"member 1\"", ":1~");
        client.check(
            "STTL small MEMBERS 1 1",
            &format!("*1~:{}~", (4_102_444_800_000 - BEGIN_MS - 4001).div_ceil(1000)),
        );
    }
}

/// What a transaction or script has changed goes to replicas and files in one piece, but when members end
/// behind it and by itself: servers that do not know it lose nothing else. It is as things are then.
#[test]
fn ends_of_members_are_entered_apart_and_as_they_are_at_the_end() {
    let server = TestServer::with_clock(&[("enable-debug-command", "yes")], Clock::manual(BEGIN_MS));
    let reader = server.handle().server().journal().listen(|| {});
    let entered = || crate::journal::entries_of(&server, &reader);
    let mut client = server.client();
    for (commands, expected) in [
        ("SADD s a b c", "SADD s a b c"),
        ("SPEXPIRE s 10 MEMBERS 3 a none b", "SPEXPIREAT s 1700000000010 MEMBERS 2 a b"),
        ("SPEXPIRE s 10 NX MEMBERS 1 a", ""),
        ("SPERSIST s MEMBERS 2 a c", "SPERSIST s MEMBERS 1 a"),
        ("SADDEX s PX 7 MEMBERS 2 c d", "SADD s c d | SPEXPIREAT s 1700000000007 MEMBERS 2 c d"),
        ("SADDEX s MEMBERS 2 c e", "SADD s c e | SPERSIST s MEMBERS 1 c"),
        ("SADDEX s KEEPTTL MEMBERS 1 d", "SADD s d"),
        ("SADDEX s MNX MEMBERS 1 d", ""),
        ("SADDEX s 10 d f", "SADD s f | SPEXPIREAT s 1700000010000 MEMBERS 2 d f"),
        ("SADDEX s 20 d", "SPEXPIREAT s 1700000020000 MEMBERS 1 d"),
        ("SEXPIRE s 0 MEMBERS 2 e none", "SREM s e"),
        ("SADDEX s PXAT 1 MEMBERS 2 f none", "SREM s f"),
        (
            "MULTI ; SET k v ; SEXPIRE s 1 MEMBERS 2 a d ; SREM s d ; SADD s d ; INCR n ; EXEC",
            "MULTI | SET k v | SREM s d | SADD s d | INCR n | EXEC | SPERSIST s MEMBERS 1 d \
             | SPEXPIREAT s 1700000001000 MEMBERS 1 a",
        ),
        (
            "MULTI ; SEXPIRE s 2 MEMBERS 1 a ; RENAME s t ; COPY t u ; DEL t ; EXEC",
            "MULTI | RENAME s t | COPY t u | DEL t | EXEC | SPEXPIREAT u 1700000002000 MEMBERS 1 a",
        ),
        (
            "MULTI ; SEXPIRE u 3 MEMBERS 1 a ; SWAPDB 0 1 ; EXEC",
            "SWAPDB 0 1 | SPEXPIREAT u 1700000003000 MEMBERS 1 a",
        ),
        ("SWAPDB 0 1", "SWAPDB 0 1"),
        ("MULTI ; SEXPIRE u 3 MEMBERS 1 b ; DEL u ; EXEC", "DEL u"),
    ] {
        check_entered(&mut client, commands, expected, entered);
    }
    let script = "redis.call('set', KEYS[2], 1) redis.call('saddex', KEYS[1], 5, 'x') return redis.call('incr', KEYS[2])";
    client.call(&["EVAL", script, "2", "s", "n"]);
    assert_eq!(
        entered(),
        ["MULTI", "set n 1", "SADD s x", "incr n", "EXEC", "SPEXPIREAT s 1700000005000 MEMBERS 1 x"]
    );
    // What was undone is not entered.
    for command in ["MULTI ATOMIC", "SEXPIRE s 3 MEMBERS 1 x", "LPUSH s x", "EXEC"] {
        client.value(command);
    }
    assert_eq!(entered(), Vec::<String>::new());
    // Members that a command takes for absent are absent where it is repeated.
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    client.check("SADD s y", ":1~");
    server.handle().server().clock.advance_ms(5000);
    entered();
    client.check("SUNIONSTORE d s", ":1~");
    assert_eq!(entered(), ["MULTI", "SREM s x", "SUNIONSTORE d s", "EXEC"]);
    client.check("SADD s x", ":1~");
    assert_eq!(entered(), ["SREM s x", "SADD s x"]);
}

/// What has ended and was not removed yet is there after DEBUG RELOAD as well: the journal has not heard that it is
/// gone, and what changes it next would be repeated on something else.
#[test]
fn what_has_ended_is_not_lost_unheard_where_data_are_read_again() {
    let entered_after = |reload: &[&str]| {
        let settings = [("enable-debug-command", "yes"), ("appendonly", "yes")];
        let server = TestServer::with_clock(&settings, Clock::manual(BEGIN_MS));
        let reader = server.handle().server().journal().listen(|| {});
        let mut client = server.client();
        client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
        for command in [
            "SADDEX s PX 10 MEMBERS 2 a b",
            "SADD s c",
            "SADDEX all PX 10 MEMBERS 1 a",
            "HSETEX h PX 10 FIELDS 2 a 5 b 6",
            "HSET h c 7",
            "HSETEX none PX 10 FIELDS 1 a 5",
            "SET n 5 PX 10",
        ] {
            client.value(command);
        }
        server.handle().server().clock.advance_ms(20);
        crate::journal::entries_of(&server, &reader);
        reload.iter().for_each(|command| drop(client.value(command)));
        let replies: Vec<Value> = [
            "SADD s a",
            "SMEMBERS s",
            "SADD all a",
            "HINCRBY h a 1",
            "HGETALL h",
            "HINCRBY none a 1",
            "INCR n",
            "DBSIZE",
        ]
        .map(|command| client.value(command))
        .into();
        let entered = crate::journal::entries_of(&server, &reader);
        let all = client.value("DEBUG DIGEST");
        let dir = server.stop_and_keep();
        let again =
            TestServer::try_with(&settings, Clock::manual(BEGIN_MS + 20), dir).expect("started again");
        eventually("loaded", || again.info("loading") == "0");
        again.advance_ms(1);
        assert_eq!(again.client().value("DEBUG DIGEST"), all, "{reload:?}");
        (replies, entered)
    };
    let expected = entered_after(&[]);
    assert!(expected.1.iter().any(|entry| entry.starts_with("SREM s")), "{expected:?}");
    for reload in [&["DEBUG RELOAD"][..], &["MULTI", "DEBUG RELOAD", "EXEC"], &["DEBUG LOADAOF"]] {
        assert_eq!(entered_after(reload), expected, "{reload:?}");
    }
}
