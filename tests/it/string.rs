//! Strings.

use crate::harness::*;

#[test]
fn set_and_its_options() {
    table(
        r#"
        SET k v => +OK~
        GET k => $1~v~
        SET k v2 NX => $-1~ => _~
        GET k => $1~v~
        SET missing v XX => $-1~ => _~
        EXISTS missing => :0~
        SET k v3 XX => +OK~
        SET k v4 GET => $2~v3~
        SET new v GET => $-1~ => _~
        SET new w NX GET => $1~v~
        SET other w NX GET => $-1~ => _~
        GET other => $1~w~
        SET k v IFEQ no => $-1~ => _~
        SET k v5 IFEQ v4 => +OK~
        SET nothing v IFEQ x => $-1~ => _~
        SET k v6 IFEQ v5 GET => $2~v5~
        SET k v6 IFEQ nope GET => $2~v6~
        SET k v EX 100 => +OK~
        TTL k => :100~
        SET k v KEEPTTL => +OK~
        TTL k => :100~
        SET k v => +OK~
        TTL k => :-1~
        SET k v PX 100000 => +OK~
        TTL k => :100~
        SET k v EXAT 99999999999 => +OK~
        EXPIRETIME k => :99999999999~
        SET k v PXAT 99999999999000 => +OK~
        PEXPIRETIME k => :99999999999000~
        SET k v EX 10 EX 20 => +OK~
        TTL k => :20~
        SET k v KEEPTTL KEEPTTL => +OK~
        TTL k => :20~
        SET k v XX XX => +OK~
        SET k v NX NX => $-1~ => _~
        SET k v KEEPTTL EX 10 => -ERR syntax error~
        SET k v IFEQ v IFEQ v => -ERR syntax error~
        SET k v XX NX => -ERR syntax error~
        SET k v EX 10 PX 10 => -ERR syntax error~
        SET k v EX 10 KEEPTTL => -ERR syntax error~
        SET k v NX XX => -ERR syntax error~
        SET k v IFEQ a NX => -ERR syntax error~
        SET k v IFEQ => -ERR syntax error~
        SET k v EX => -ERR syntax error~
        SET k v EX 0 => -ERR invalid expire time in 'set' command~
        SET k v EX -1 => -ERR invalid expire time in 'set' command~
        SET k v PX 0 => -ERR invalid expire time in 'set' command~
        SET k v EX x => -ERR value is not an integer or out of range~
        SET k v EX 9223372036854775807 => -ERR invalid expire time in 'set' command~
        SET k v PX 9223372036854775807 => -ERR invalid expire time in 'set' command~
        SET k v EXAT 0 => -ERR invalid expire time in 'set' command~
        SET k v EXAT -5 => -ERR invalid expire time in 'set' command~
        SET k v PXAT 1 => +OK~
        EXISTS k => :0~
        SET k v BLAH => -ERR syntax error~
        SET k => -ERR wrong number of arguments for 'set' command~
        SET => -ERR wrong number of arguments for 'set' command~
        SET k v nx => +OK~
        set K2 v => +OK~
        get K2 => $1~v~
        SET "a key" "with \x00 and \r\n" => +OK~
        GET "a key" => $13~with \x00 and ~~
        SET "" "" => +OK~
        GET "" => $0~~
        SADD s a => :1~
        SET s v GET => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SET s v IFEQ v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SET s v => +OK~
        TYPE s => +string~
        "#,
    );
}

#[test]
fn set_get_of_another_type() {
    table(
        r#"
        SADD s a => :1~
        GET s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SET s v GET => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GETSET s v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GETDEL s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GETEX s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        STRLEN s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        APPEND s x => -WRONGTYPE Operation against a key holding the wrong kind of value~
        INCR s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        INCRBYFLOAT s 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SETRANGE s 0 x => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GETRANGE s 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        DELIFEQ s a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        LCS s s => -ERR The specified keys must contain string values~
        MGET s => *1~$-1~ => *1~_~
        TYPE s => +set~
        "#,
    );
}

#[test]
fn get_getdel_getset_getex() {
    table(
        r#"
        GET k => $-1~ => _~
        GETDEL k => $-1~ => _~
        GETSET k v => $-1~ => _~
        GETSET k w => $1~v~
        GET k => $1~w~
        GETDEL k => $1~w~
        GET k => $-1~ => _~
        GETEX k => $-1~ => _~
        SET k v => +OK~
        GETEX k EX 100 => $1~v~
        TTL k => :100~
        GETEX k => $1~v~
        TTL k => :100~
        GETEX k PERSIST => $1~v~
        TTL k => :-1~
        GETEX k PX 100000 => $1~v~
        TTL k => :100~
        GETEX k EXAT 99999999999 => $1~v~
        GETEX k PXAT 99999999999000 => $1~v~
        EXPIRETIME k => :99999999999~
        GETEX k EX 0 => -ERR invalid expire time in 'getex' command~
        GETEX k EX x => -ERR value is not an integer or out of range~
        GETEX k EX -1 => -ERR invalid expire time in 'getex' command~
        GETEX k EX 10 EX 30 => $1~v~
        TTL k => :30~
        GETEX k PERSIST PERSIST => $1~v~
        TTL k => :-1~
        GETEX k PERSIST EX 10 => -ERR syntax error~
        GETEX k EX 10 PERSIST => -ERR syntax error~
        GETEX k EX 10 PX 10 => -ERR syntax error~
        GETEX k EX => -ERR syntax error~
        GETEX k KEEPTTL => -ERR syntax error~
        GETEX k BLAH => -ERR syntax error~
        GETEX nothing EX x => -ERR value is not an integer or out of range~
        GETEX k PXAT 1 => $1~v~
        EXISTS k => :0~
        GET => -ERR wrong number of arguments for 'get' command~
        GET a b => -ERR wrong number of arguments for 'get' command~
        GETDEL => -ERR wrong number of arguments for 'getdel' command~
        GETSET k => -ERR wrong number of arguments for 'getset' command~
        GETEX => -ERR wrong number of arguments for 'getex' command~
        "#,
    );
}

#[test]
fn setnx_setex_psetex() {
    table(
        r#"
        SETNX k v => :1~
        SETNX k w => :0~
        GET k => $1~v~
        SETEX k 100 x => +OK~
        TTL k => :100~
        PSETEX k 100000 y => +OK~
        TTL k => :100~
        GET k => $1~y~
        SETEX k 0 x => -ERR invalid expire time in 'setex' command~
        SETEX k -1 x => -ERR invalid expire time in 'setex' command~
        SETEX k x x => -ERR value is not an integer or out of range~
        SETEX k 9223372036854775807 x => -ERR invalid expire time in 'setex' command~
        PSETEX k 0 x => -ERR invalid expire time in 'psetex' command~
        PSETEX k -1 x => -ERR invalid expire time in 'psetex' command~
        PSETEX k 9223372036854775807 x => -ERR invalid expire time in 'psetex' command~
        PSETEX k 1.5 x => -ERR value is not an integer or out of range~
        SETEX k 1 => -ERR wrong number of arguments for 'setex' command~
        SETNX k => -ERR wrong number of arguments for 'setnx' command~
        PSETEX k => -ERR wrong number of arguments for 'psetex' command~
        "#,
    );
}

#[test]
fn mset_mget_msetnx_msetex() {
    table(
        r#"
        MSET a 1 b 2 => +OK~
        MGET a b c => *3~$1~1~$1~2~$-1~ => *3~$1~1~$1~2~_~
        MSET a 3 => +OK~
        MSET a 1 a 2 => +OK~
        GET a => $1~2~
        MSET a => -ERR wrong number of arguments for 'mset' command~
        MSET a 1 b => -ERR wrong number of arguments for 'mset' command~
        MGET => -ERR wrong number of arguments for 'mget' command~
        MSETNX a 1 z 2 => :0~
        EXISTS z => :0~
        MSETNX y 1 z 2 => :1~
        MGET y z => *2~$1~1~$1~2~
        MSETNX y => -ERR wrong number of arguments for 'msetnx' command~
        MSETNX y 1 z => -ERR wrong number of arguments for 'msetnx' command~
        MSETEX 2 a 1 b 2 EX 100 => :1~
        TTL a => :100~
        MSETEX 1 a 2 KEEPTTL => :1~
        TTL a => :100~
        MSETEX 1 a 3 => :1~
        TTL a => :-1~
        MSETEX 2 a 1 n 2 NX => :0~
        MSETEX 2 a 1 n 2 XX => :0~
        MSETEX 1 a 3 NX NX => :0~
        MSETEX 1 a 3 EX 5 EX 7 => :1~
        TTL a => :7~
        MSETEX 1 a 3 => :1~
        EXISTS n => :0~
        MSETEX 2 a 1 b 2 XX PX 100000 => :1~
        TTL b => :100~
        MSETEX 1 n 1 NX => :1~
        MSETEX 0 a 1 => -ERR invalid numkeys value or out of range~
        MSETEX -1 a 1 => -ERR invalid numkeys value or out of range~
        MSETEX x a 1 => -ERR invalid numkeys value or out of range~
        MSETEX 3 a 1 b 2 => -ERR syntax error~
        MSETEX 1 a 1 EX 0 => -ERR invalid expire time in 'msetex' command~
        MSETEX 1 a 1 EX x => -ERR value is not an integer or out of range~
        MSETEX 1 a 1 BLAH => -ERR syntax error~
        MSETEX 1 a 1 NX XX => -ERR syntax error~
        MSETEX 1 a => -ERR wrong number of arguments for 'msetex' command~
        MSETEX 99999999999 a 1 => -ERR invalid numkeys value or out of range~
        MSETEX => -ERR wrong number of arguments for 'msetex' command~
        SADD s x => :1~
        MGET a s => *2~$1~1~$-1~ => *2~$1~1~_~
        MSET s v => +OK~
        "#,
    );
}

#[test]
fn counters() {
    table(
        r#"
        INCR n => :1~
        INCR n => :2~
        DECR n => :1~
        INCRBY n 10 => :11~
        DECRBY n 3 => :8~
        INCRBY n -8 => :0~
        GET n => $1~0~
        INCRBY n x => -ERR value is not an integer or out of range~
        INCRBY n 1.5 => -ERR value is not an integer or out of range~
        INCRBY n 9223372036854775807 => :9223372036854775807~
        SET n 9223372036854775807 => +OK~
        INCR n => -ERR increment or decrement would overflow~
        INCRBY n 1 => -ERR increment or decrement would overflow~
        SET n -9223372036854775808 => +OK~
        DECR n => -ERR increment or decrement would overflow~
        DECRBY n 1 => -ERR increment or decrement would overflow~
        DECRBY n -9223372036854775808 => -ERR decrement would overflow~
        SET n abc => +OK~
        INCR n => -ERR value is not an integer or out of range~
        DECR n => -ERR value is not an integer or out of range~
        SET n " 1" => +OK~
        INCR n => -ERR value is not an integer or out of range~
        SET n 01 => +OK~
        INCR n => -ERR value is not an integer or out of range~
        SET n 1.0 => +OK~
        INCR n => -ERR value is not an integer or out of range~
        SET n "" => +OK~
        INCR n => -ERR value is not an integer or out of range~
        INCR => -ERR wrong number of arguments for 'incr' command~
        INCRBY n => -ERR wrong number of arguments for 'incrby' command~
        DECRBY n => -ERR wrong number of arguments for 'decrby' command~
        DECRBY m 5 => :-5~
        SET t 5 EX 100 => +OK~
        INCR t => :6~
        TTL t => :100~
        "#,
    );
}

#[test]
fn floats() {
    table(
        r#"
        INCRBYFLOAT f 10.5 => $4~10.5~
        INCRBYFLOAT f 0.1 => $4~10.6~
        INCRBYFLOAT f -5 => $3~5.6~
        INCRBYFLOAT f 5.0e3 => $22~5005.60000000000000009~
        INCRBYFLOAT f x => -ERR value is not a valid float~
        INCRBYFLOAT f nan => -ERR value is not a valid float~
        INCRBYFLOAT f inf => -ERR increment would produce NaN or Infinity~
        INCRBYFLOAT f -inf => -ERR increment would produce NaN or Infinity~
        SET f 3.0 => +OK~
        INCRBYFLOAT f 1 => $1~4~
        SET f 3 => +OK~
        INCRBYFLOAT f 1.000000000000000005 => $19~4.00000000000000001~
        SET f abc => +OK~
        INCRBYFLOAT f 1 => -ERR value is not a valid float~
        SET f 1e300 => +OK~
        INCRBYFLOAT f 1e300 => $301~2000000000000000000017994648159118387741047888546581495876520164642531293192361871511698304167500994380700745017228549671807185112369345967826192521041497292574654271283687306588168510215212033579453305864740061102765895241989080589545563779241212358535223254194821301134374772211380178849830208012288~
        SET f "1 " => +OK~
        INCRBYFLOAT f 1 => -ERR value is not a valid float~
        SET f 0.1 => +OK~
        INCRBYFLOAT f 0.2 => $3~0.3~
        INCRBYFLOAT f -0.3 => $1~0~
        INCRBYFLOAT f => -ERR wrong number of arguments for 'incrbyfloat' command~
        OBJECT ENCODING f => $6~embstr~
        SET i 1 => +OK~
        INCRBYFLOAT i 2 => $1~3~
        OBJECT ENCODING i => $6~embstr~
        "#,
    );
}

/// A string that was appended to keeps little more memory than it needs, however it has grown.
#[test]
fn strings_that_grow_keep_little_room() {
    const MIB: usize = 1 << 20;
    let server = TestServer::start();
    let mut client = server.client();
    let usage = |client: &mut Client, key: &str| client.value(&format!("MEMORY USAGE {key}")).int() as usize;
    let check = |client: &mut Client, key: &str, len: usize| {
        assert_eq!(client.value(&format!("STRLEN {key}")).int() as usize, len, "{key}");
        let usage = usage(client, key);
        // The allocator's own steps come on top.
        let most = kvarts::alloc::block_bytes(len + len.min(MIB)) + 1000;
        assert!((len..most).contains(&usage), "{key}: {usage} of {len}");
    };
    let append = encode(&["APPEND", "many", &"x".repeat(100)]);
    let mut len = 0;
    for count in [3, 100, 1000, 10_000, 20_000] {
        client.send(&append.repeat(count));
        (0..count).for_each(|_| drop(client.read()));
        len += 100 * count;
        check(&mut client, "many", len);
    }
    // Blocks this large come from the system.
    let mut len = 0;
    for number in 0..40 {
        client.call(&["APPEND", "large", &char::from(b'A' + number).to_string().repeat(MIB)]);
        client.call(&["APPEND", "large", "-"]);
        len += MIB + 1;
    }
    check(&mut client, "large", len);
    for number in 0..40_usize {
        let (first, letter) = (number * (MIB + 1), char::from(b'A' + number as u8));
        let ends = client.value(&format!("GETRANGE large {first} {}", first + MIB)).text();
        assert!(ends.ends_with('-') && ends.trim_end_matches('-').chars().all(|other| other == letter));
    }
    for step in 1..=24 {
        let len = step * MIB;
        client.check(&format!("SETRANGE range {} x", len - 1), &format!(":{len}~"));
        check(&mut client, "range", len);
        client.check(&format!("SETBIT bits {} 1", 8 * len - 1), ":0~");
        check(&mut client, "bits", len);
        client.check(&format!("BITFIELD field SET u8 {} 255", 8 * (len - 1)), "*1~:0~");
        check(&mut client, "field", len);
    }
    for step in 1..=24 {
        let at = step * MIB - 1;
        client.check(&format!("GETRANGE range {} {at}", at - 1), "$2~\\x00x~");
        client.check(&format!("GETBIT bits {}", 8 * at + 7), ":1~");
        client.check(&format!("BITFIELD_RO field GET u16 {}", 8 * (at - 1)), "*1~:255~");
    }
}

#[test]
fn append_strlen_ranges() {
    table(
        r#"
        APPEND k Hello => :5~
        APPEND k " World" => :11~
        GET k => $11~Hello World~
        STRLEN k => :11~
        STRLEN missing => :0~
        GETRANGE k 0 4 => $5~Hello~
        GETRANGE k -5 -1 => $5~World~
        GETRANGE k 0 -1 => $11~Hello World~
        GETRANGE k 5 2 => $0~~
        GETRANGE k 100 200 => $0~~
        GETRANGE k -100 3 => $4~Hell~
        GETRANGE k 0 100 => $11~Hello World~
        GETRANGE k -3 -10 => $0~~
        GETRANGE missing 0 -1 => $0~~
        GETRANGE k x 1 => -ERR value is not an integer or out of range~
        GETRANGE k 0 x => -ERR value is not an integer or out of range~
        GETRANGE k 0 => -ERR wrong number of arguments for 'getrange' command~
        SUBSTR k 0 4 => $5~Hello~
        SETRANGE k 6 Redis => :11~
        GET k => $11~Hello Redis~
        SETRANGE k 15 x => :16~
        GET k => $16~Hello Redis\x00\x00\x00\x00x~
        SETRANGE pad 3 x => :4~
        GET pad => $4~\x00\x00\x00x~
        SETRANGE none 0 "" => :0~
        EXISTS none => :0~
        SETRANGE k -1 x => -ERR offset is out of range~
        SETRANGE k x x => -ERR value is not an integer or out of range~
        SETRANGE k 536870912 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)~
        SETRANGE k 9223372036854775807 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)~
        SETRANGE k 0 "" => :16~
        SET n 123 => +OK~
        SETRANGE n 1 9 => :3~
        GET n => $3~193~
        OBJECT ENCODING n => $3~raw~
        APPEND n 4 => :4~
        OBJECT ENCODING n => $3~raw~
        GETRANGE n 1 2 => $2~93~
        STRLEN n => :4~
        INCR n => :1935~
        SET t v EX 100 => +OK~
        APPEND t w => :2~
        TTL t => :100~
        SETRANGE t 0 z => :2~
        TTL t => :100~
        APPEND k => -ERR wrong number of arguments for 'append' command~
        STRLEN => -ERR wrong number of arguments for 'strlen' command~
        SETRANGE k 0 => -ERR wrong number of arguments for 'setrange' command~
        "#,
    );
}

#[test]
fn delifeq() {
    table(
        r#"
        SET k v => +OK~
        DELIFEQ k x => :0~
        DELIFEQ k v => :1~
        EXISTS k => :0~
        DELIFEQ k v => :0~
        SET n 12 => +OK~
        DELIFEQ n 12 => :1~
        DELIFEQ k => -ERR wrong number of arguments for 'delifeq' command~
        "#,
    );
}

#[test]
fn longest_common_subsequence() {
    table(
        r#"
        MSET a ohmytext b mynewtext => +OK~
        LCS a b => $6~mytext~
        LCS a b LEN => :6~
        LCS a b IDX => *4~$7~matches~*2~*2~*2~:4~:7~*2~:5~:8~*2~*2~:2~:3~*2~:0~:1~$3~len~:6~ => %2~$7~matches~*2~*2~*2~:4~:7~*2~:5~:8~*2~*2~:2~:3~*2~:0~:1~$3~len~:6~
        LCS a b IDX MINMATCHLEN 4 => *4~$7~matches~*1~*2~*2~:4~:7~*2~:5~:8~$3~len~:6~ => %2~$7~matches~*1~*2~*2~:4~:7~*2~:5~:8~$3~len~:6~
        LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN => *4~$7~matches~*1~*3~*2~:4~:7~*2~:5~:8~:4~$3~len~:6~ => %2~$7~matches~*1~*3~*2~:4~:7~*2~:5~:8~:4~$3~len~:6~
        LCS a b IDX WITHMATCHLEN => *4~$7~matches~*2~*3~*2~:4~:7~*2~:5~:8~:4~*3~*2~:2~:3~*2~:0~:1~:2~$3~len~:6~ => %2~$7~matches~*2~*3~*2~:4~:7~*2~:5~:8~:4~*3~*2~:2~:3~*2~:0~:1~:2~$3~len~:6~
        LCS a b LEN IDX => -ERR If you want both the length and indexes, please just use IDX.~
        LCS a b BLAH => -ERR syntax error~
        LCS a b MINMATCHLEN => -ERR syntax error~
        LCS a b IDX MINMATCHLEN x => -ERR value is not an integer or out of range~
        LCS a b IDX MINMATCHLEN -1 => *4~$7~matches~*2~*2~*2~:4~:7~*2~:5~:8~*2~*2~:2~:3~*2~:0~:1~$3~len~:6~ => %2~$7~matches~*2~*2~*2~:4~:7~*2~:5~:8~*2~*2~:2~:3~*2~:0~:1~$3~len~:6~
        LCS a missing => $0~~
        LCS missing gone LEN => :0~
        LCS missing gone IDX => *4~$7~matches~*0~$3~len~:0~ => %2~$7~matches~*0~$3~len~:0~
        LCS a => -ERR wrong number of arguments for 'lcs' command~
        SADD s x => :1~
        LCS a s => -ERR The specified keys must contain string values~
        LCS a s BLAH => -ERR The specified keys must contain string values~
        LCS s a LEN IDX => -ERR The specified keys must contain string values~
        "#,
    );
}

#[test]
fn encodings() {
    table(
        r#"
        SET i 123 => +OK~
        OBJECT ENCODING i => $3~int~
        SET i 9223372036854775808 => +OK~
        OBJECT ENCODING i => $6~embstr~
        SET e 12345678901234567890123456789012345678901234 => +OK~
        OBJECT ENCODING e => $6~embstr~
        SET r 123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890 => +OK~
        OBJECT ENCODING r => $3~raw~
        SET z -0 => +OK~
        OBJECT ENCODING z => $6~embstr~
        SET z 007 => +OK~
        OBJECT ENCODING z => $6~embstr~
        SET z +1 => +OK~
        OBJECT ENCODING z => $6~embstr~
        OBJECT ENCODING missing => $-1~ => _~
        OBJECT REFCOUNT missing => $-1~ => _~
        OBJECT FREQ i => -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.~
        OBJECT FREQ missing => $-1~ => _~
        OBJECT IDLETIME i => :0~
        OBJECT IDLETIME missing => $-1~ => _~
        OBJECT BLAH i => -ERR unknown subcommand 'BLAH'. Try OBJECT HELP.~
        OBJECT ENCODING => -ERR wrong number of arguments for 'object|encoding' command~
        OBJECT => -ERR wrong number of arguments for 'object' command~
        "#,
    );
}
