//! Strings: what Redis 8.4 to 8.8 and Valkey 9.2 added. Comparing before a change, and the counter with bounds.

use crate::harness::*;

#[test]
fn set_compares_by_value_and_by_digest() {
    table(
        r#"
        SET k a IFNE b => +OK~
        SET k b IFNE a => $-1~ => _~
        SET k b IFNE c => +OK~
        SET k c IFNE b GET => $1~b~
        SET k c IFNE x GET => $1~b~
        GET k => $1~c~
        SET k d IFEQ c => +OK~
        SET missing v IFEQ v => $-1~ => _~
        SET missing v IFDEQ 0123456789abcdef => $-1~ => _~
        SET missing v IFDEQ short => $-1~ => _~
        EXISTS missing => :0~
        SET missing v IFDNE short => +OK~
        SET other v IFNE v GET => $-1~ => _~
        GET other => $1~v~
        SET k b => +OK~
        DIGEST k => $16~575a0b1c44d8843f~
        SET k c IFDEQ 0000000000000000 => $-1~ => _~
        SET k c IFDEQ 575A0B1C44D8843F => +OK~
        SET k b IFDNE 575a0b1c44d8843f => +OK~
        SET k c IFDNE 575a0b1c44d8843f => $-1~ => _~
        SET k c IFDNE zzzzzzzzzzzzzzzz EX 100 => +OK~
        TTL k => :100~
        SET k c IFDEQ short => -ERR must be exactly 16 hexadecimal characters~
        SET k c IFDEQ short GET => -ERR must be exactly 16 hexadecimal characters~
        SET k c IFDNE "" => -ERR must be exactly 16 hexadecimal characters~
        SET k v IFNE => -ERR syntax error~
        SET k v IFDEQ => -ERR syntax error~
        SET k v IFNE a IFEQ b => -ERR syntax error~
        SET k v NX IFNE a => -ERR syntax error~
        SET k v IFDNE 575a0b1c44d8843f XX => -ERR syntax error~
        SET k c2 IFNE v KEEPTTL => +OK~
        TTL k => :100~
        SADD s m => :1~
        SET s v IFNE v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SET s v IFDEQ 575a0b1c44d8843f => -WRONGTYPE Operation against a key holding the wrong kind of value~
        MSETEX 1 k v IFEQ c => -ERR syntax error~
        COMMAND GETKEYSANDFLAGS SET k v IFNE x => *1~*2~$1~k~*2~+RW~+update~ => *1~*2~$1~k~~2~+RW~+update~
        "#,
    );
}

#[test]
fn digests_are_those_of_redis() {
    table(
        r#"
        DIGEST none => $-1~ => _~
        SET k "" => +OK~
        DIGEST k => $16~2d06800538d394c2~
        SET k b => +OK~
        DIGEST k => $16~575a0b1c44d8843f~
        SET k 10 => +OK~
        OBJECT ENCODING k => $3~int~
        DIGEST k => $16~d0698444ed39c832~
        SET k 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 => +OK~
        DIGEST k => $16~2b476d154b2d122c~
        SADD s m => :1~
        DIGEST s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        DIGEST => -ERR wrong number of arguments for 'digest' command~
        DIGEST k k => -ERR wrong number of arguments for 'digest' command~
        COMMAND GETKEYS DIGEST k => *1~$1~k~
        EVAL "return redis.call('digest', KEYS[1])" 1 k => $16~2b476d154b2d122c~
        "#,
    );
}

#[test]
fn delex_deletes_what_compares_so() {
    table(
        r#"
        DELEX none => :0~
        DELEX none IFEQ v => :0~
        DELEX none WHAT v => :0~
        DELEX none IFDEQ short => :0~
        SADD s m => :1~
        DELEX s IFEQ m => -ERR Key should be of string type if conditions are specified~
        DELEX s WHAT m => -ERR Key should be of string type if conditions are specified~
        DELEX s => :1~
        EXISTS s => :0~
        SET k b => +OK~
        DELEX k IFEQ a => :0~
        DELEX k IFNE b => :0~
        DELEX k IFDEQ 0000000000000000 => :0~
        DELEX k IFDNE 575A0b1c44d8843f => :0~
        DELEX k IFDEQ short => -ERR must be exactly 16 hexadecimal characters~
        DELEX k WHAT v => -ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE~
        DELEX k IFEQ => -ERR wrong number of arguments for 'delex' command~
        DELEX k IFEQ b c => -ERR wrong number of arguments for 'delex' command~
        DELEX => -ERR wrong number of arguments for 'delex' command~
        EXISTS k => :1~
        DELEX k ifdeq 575A0B1C44D8843F => :1~
        SET k 12 => +OK~
        DELEX k IFEQ 12 => :1~
        SET k v => +OK~
        DELEX k IFNE w => :1~
        SET k v => +OK~
        DELEX k IFDNE 575a0b1c44d8843f => :1~
        EXISTS k => :0~
        SET k v => +OK~
        EVAL "return redis.call('delex', KEYS[1], 'IFEQ', 'v')" 1 k => :1~
        COMMAND GETKEYSANDFLAGS DELEX k => *1~*2~$1~k~*2~+RM~+delete~ => *1~*2~$1~k~~2~+RM~+delete~
        COMMAND GETKEYSANDFLAGS DELEX k IFEQ v => *1~*2~$1~k~*2~+RW~+delete~ => *1~*2~$1~k~~2~+RW~+delete~
        MULTI => +OK~
        SET k v => +QUEUED~
        DELEX k IFEQ w => +QUEUED~
        DELEX k IFEQ v => +QUEUED~
        EXEC => *3~+OK~:0~:1~
        "#,
    );
}

const INCREX_LEAVES: &str = r#"
    INCREX i => *2~:1~:1~
    INCREX i BYINT 5 => *2~:6~:5~
    INCREX i BYINT -10 => *2~:-4~:-10~
    GET i => $2~-4~
    OBJECT ENCODING i => $3~int~
    INCREX f BYFLOAT 1.5 => *2~$3~1.5~$3~1.5~ => *2~,1.5~,1.5~
    INCREX f BYFLOAT 0.25 => *2~$4~1.75~$4~0.25~ => *2~,1.75~,0.25~
    GET f => $4~1.75~
    INCREX f => -ERR value is not an integer or out of range~
    INCREX i BYFLOAT 1 => *2~$2~-3~$1~1~ => *2~,-3~,1~
    INCREX i UBOUND -3 => *2~:-3~:0~
    INCREX i UBOUND -2 => *2~:-2~:1~
    INCREX i BYINT 10 UBOUND 5 SATURATE => *2~:5~:7~
    INCREX i BYINT -10 LBOUND 0 => *2~:5~:0~
    INCREX i BYINT -10 LBOUND 0 SATURATE => *2~:0~:-5~
    SET i 200 => +OK~
    INCREX i BYINT -50 UBOUND 100 => *2~:200~:0~
    INCREX i BYINT -50 UBOUND 100 SATURATE => *2~:100~:-100~
    INCREX none BYINT 5 UBOUND 3 => *2~:0~:0~
    EXISTS none => :0~
    INCREX none BYINT 5 UBOUND 3 SATURATE => *2~:3~:3~
    SET i 9223372036854775807 => +OK~
    INCREX i => *2~:9223372036854775807~:0~
    INCREX i SATURATE => *2~:9223372036854775807~:0~
    INCREX i BYINT 9 UBOUND 10 SATURATE => *2~:10~:-9223372036854775797~
    SET i -9223372036854775808 => +OK~
    INCREX i BYINT -1 => *2~:-9223372036854775808~:0~
    INCREX i BYINT 1 LBOUND 5 SATURATE => -ERR increment or decrement would overflow~
    GET i => $20~-9223372036854775808~
    SET f 1.5 => +OK~
    INCREX f BYFLOAT 100 UBOUND 1 => *2~$3~1.5~$1~0~ => *2~,1.5~,0~
    INCREX f BYFLOAT 100 UBOUND 1 SATURATE => *2~$1~1~$4~-0.5~ => *2~,1~,-0.5~
    INCREX f BYFLOAT -100 LBOUND 0.25 SATURATE => *2~$4~0.25~$5~-0.75~ => *2~,0.25~,-0.75~
    INCREX f BYFLOAT inf => -ERR increment would produce NaN or Infinity~
    INCREX f BYFLOAT nan => -ERR value is not a valid float~
    INCREX f BYFLOAT x => -ERR value is not a valid float~
    INCREX i BYINT 1.5 => -ERR value is not an integer or out of range~
    INCREX i BYINT 1 LBOUND 1.5 => -ERR value is not an integer or out of range~
    INCREX i LBOUND x => -ERR value is not an integer or out of range~
    INCREX f BYFLOAT 1 UBOUND x => -ERR value is not a valid float~
    INCREX i LBOUND 2 UBOUND 1 => -ERR LBOUND can't be greater than UBOUND~
    INCREX f BYFLOAT 1 LBOUND 2 UBOUND 1.5 => -ERR LBOUND can't be greater than UBOUND~
    SET t text => +OK~
    INCREX t => -ERR value is not an integer or out of range~
    INCREX t BYFLOAT 1 => -ERR value is not a valid float~
    SADD s m => :1~
    INCREX s => -WRONGTYPE Operation against a key holding the wrong kind of value~
    INCREX s BYFLOAT 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
    INCREX i BYINT 1 BYINT 2 => -ERR syntax error~
    INCREX i BYINT 1 BYFLOAT 2 => -ERR syntax error~
    INCREX i BYINT => -ERR syntax error~
    INCREX i LBOUND => -ERR syntax error~
    INCREX i LBOUND 1 LBOUND 1 => -ERR syntax error~
    INCREX i WHAT => -ERR syntax error~
    INCREX i EX => -ERR syntax error~
    INCREX i EX 1 PX 1 => -ERR syntax error~
    INCREX i EX 1 PERSIST => -ERR syntax error~
    INCREX i PERSIST PX 1 => -ERR syntax error~
    INCREX i PERSIST ENX => -ERR syntax error~
    INCREX i ENX => -ERR ENX flag requires an expiration~
    INCREX i EX x => -ERR value is not an integer or out of range~
    INCREX i EX 0 => -ERR invalid expire time in 'increx' command~
    INCREX i PX -5 => -ERR invalid expire time in 'increx' command~
    INCREX i NX XX => -ERR syntax error~
    INCREX => -ERR wrong number of arguments for 'increx' command~
    COMMAND GETKEYS INCREX i BYINT 1 => *1~$1~i~
"#;

#[test]
fn increx_counts_within_bounds() {
    table(INCREX_LEAVES);
}

#[test]
fn increx_sets_and_keeps_the_expiry() {
    table(
        r#"
        INCREX k EX 100 => *2~:1~:1~
        TTL k => :100~
        INCREX k => *2~:2~:1~
        TTL k => :100~
        INCREX k EX 50 ENX => *2~:3~:1~
        TTL k => :100~
        INCREX k PX 50000 => *2~:4~:1~
        TTL k => :50~
        INCREX k UBOUND 4 EX 10 => *2~:4~:0~
        TTL k => :50~
        INCREX k UBOUND 4 EX 10 SATURATE => *2~:4~:0~
        TTL k => :10~
        INCREX k BYFLOAT 0.5 => *2~$3~4.5~$3~0.5~ => *2~,4.5~,0.5~
        TTL k => :10~
        INCREX k BYFLOAT 0.5 PERSIST => *2~$1~5~$3~0.5~ => *2~,5~,0.5~
        TTL k => :-1~
        INCREX k ENX EXAT 99999999999 => *2~:6~:1~
        EXPIRETIME k => :99999999999~
        INCREX k NX => *2~$-1~:0~ => *2~_~:0~
        INCREX k NX BYFLOAT 1 => *2~$-1~$1~0~ => *2~_~,0~
        INCREX other XX => *2~$-1~:0~ => *2~_~:0~
        EXISTS other => :0~
        INCREX other NX PXAT 99999999999999 => *2~:1~:1~
        PEXPIRETIME other => :99999999999999~
        INCREX other XX PXAT 1 => *2~:2~:1~
        EXISTS other => :0~
        INCREX other PXAT 1 => *2~:1~:1~
        EXISTS other => :0~
        MULTI => +OK~
        INCREX m EX 5 => +QUEUED~
        INCREX m BYINT 2 => +QUEUED~
        EXEC => *2~*2~:1~:1~*2~:3~:2~
        EVAL "return redis.call('increx', KEYS[1], 'UBOUND', 3)" 1 m => *2~:3~:0~
        "#,
    );
}

/// What subscribers hear of each command.
#[test]
fn events_of_conditional_changes() {
    let server = TestServer::with(&[("notify-keyspace-events", "KA")]);
    let mut hears = server.client();
    hears.check("PSUBSCRIBE __keyspace@0__:*", "*3~$10~psubscribe~$16~__keyspace@0__:*~:1~");
    let mut client = server.client();
    for (command, events) in [
        ("SET k v IFNE x", &["set"][..]),
        ("SET k v IFNE v", &[]),
        ("DELEX k IFEQ x", &[]),
        ("DELEX k IFEQ v", &["del"]),
        ("INCREX k EX 5", &["incrby", "expire"]),
        ("INCREX k EX 5 ENX", &["incrby"]),
        ("INCREX k UBOUND 1", &[]),
        ("INCREX k PERSIST", &["incrby", "persist"]),
        ("INCREX k PERSIST", &["incrby"]),
        ("INCREX k BYFLOAT 1.5", &["incrbyfloat"]),
        ("INCREX k BYFLOAT 1.5 PXAT 1", &["expired"]),
    ] {
        client.call(&command.split(' ').collect::<Vec<_>>());
        for event in events {
            assert_eq!(hears.read().items()[3].text(), *event, "{command}");
        }
    }
    client.check("PUBLISH __keyspace@0__:end x", ":1~");
    assert_eq!(hears.read().items()[3].text(), "x", "nothing else was told");
}
