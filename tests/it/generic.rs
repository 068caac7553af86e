//! Commands for keys of any type.

use crate::harness::*;

#[test]
fn del_unlink_exists_touch_type() {
    table(
        r#"
        DEL a => :0~
        MSET a 1 b 2 c 3 => +OK~
        EXISTS a b c d => :3~
        EXISTS a a => :2~
        TOUCH a b x => :2~
        DEL a a => :1~
        DEL b c d => :2~
        MSET a 1 b 2 => +OK~
        UNLINK a b x => :2~
        UNLINK a => :0~
        SET k v => +OK~
        TYPE k => +string~
        TYPE missing => +none~
        SADD s a => :1~
        TYPE s => +set~
        HSET h f v => :1~
        TYPE h => +hash~
        DEL => -ERR wrong number of arguments for 'del' command~
        UNLINK => -ERR wrong number of arguments for 'unlink' command~
        EXISTS => -ERR wrong number of arguments for 'exists' command~
        TOUCH => -ERR wrong number of arguments for 'touch' command~
        TYPE => -ERR wrong number of arguments for 'type' command~
        TYPE a b => -ERR wrong number of arguments for 'type' command~
        "#,
    );
}

#[test]
fn rename_and_renamenx() {
    table(
        r#"
        SET a 1 => +OK~
        RENAME a b => +OK~
        GET a => $-1~ => _~
        GET b => $1~1~
        RENAME a b => -ERR no such key~
        RENAME b b => +OK~
        SET c 3 EX 100 => +OK~
        RENAME c b => +OK~
        GET b => $1~3~
        TTL b => :100~
        RENAMENX b b => :0~
        RENAMENX missing b => -ERR no such key~
        SET d 4 => +OK~
        RENAMENX b d => :0~
        RENAMENX b e => :1~
        EXISTS b => :0~
        TTL e => :100~
        RENAME a => -ERR wrong number of arguments for 'rename' command~
        RENAMENX a => -ERR wrong number of arguments for 'renamenx' command~
        SADD s x => :1~
        RENAME s d => +OK~
        TYPE d => +set~
        "#,
    );
}

#[test]
fn copy_within_and_across_databases() {
    table(
        r#"
        SET a 1 EX 100 => +OK~
        COPY a b => :1~
        TTL b => :100~
        COPY a b => :0~
        SET a 2 => +OK~
        COPY a b REPLACE => :1~
        GET b => $1~2~
        TTL b => :-1~
        COPY a a => -ERR source and destination objects are the same~
        COPY missing c => :0~
        COPY a c DB 1 => :1~
        SELECT 1 => +OK~
        GET c => $1~2~
        FLUSHDB => +OK~
        SELECT 0 => +OK~
        COPY a a DB 3 => :1~
        COPY a a DB 3 REPLACE => :1~
        SELECT 3 => +OK~
        GET a => $1~2~
        FLUSHDB => +OK~
        SELECT 0 => +OK~
        COPY a c DB 99 => -ERR DB index is out of range~
        COPY a c DB -1 => -ERR DB index is out of range~
        COPY a c DB x => -ERR value is not an integer or out of range~
        COPY a c DB => -ERR syntax error~
        COPY a c BLAH => -ERR syntax error~
        COPY a => -ERR wrong number of arguments for 'copy' command~
        SADD s m => :1~
        COPY s t => :1~
        SMEMBERS t => *1~$1~m~ => ~1~$1~m~
        SADD s m2 => :1~
        SCARD t => :1~
        "#,
    );
}

#[test]
fn move_between_databases() {
    table(
        r#"
        SET a 1 => +OK~
        MOVE a 1 => :1~
        EXISTS a => :0~
        SELECT 1 => +OK~
        GET a => $1~1~
        SELECT 0 => +OK~
        SET a 2 => +OK~
        MOVE a 1 => :0~
        MOVE a 0 => -ERR source and destination objects are the same~
        MOVE missing 1 => :0~
        MOVE a 99 => -ERR DB index is out of range~
        MOVE a -1 => -ERR DB index is out of range~
        MOVE a x => -ERR value is not an integer or out of range~
        MOVE a => -ERR wrong number of arguments for 'move' command~
        SELECT 1 => +OK~
        DEL a => :1~
        SELECT 0 => +OK~
        SET b v EX 100 => +OK~
        MOVE b 1 => :1~
        SELECT 1 => +OK~
        TTL b => :100~
        FLUSHDB => +OK~
        "#,
    );
}

#[test]
fn select_and_swapdb() {
    table(
        r#"
        SELECT 1 => +OK~
        SET k one => +OK~
        SELECT 0 => +OK~
        SET k zero => +OK~
        SWAPDB 0 1 => +OK~
        GET k => $3~one~
        SELECT 1 => +OK~
        GET k => $4~zero~
        SWAPDB 1 1 => +OK~
        SWAPDB 0 99 => -ERR DB index is out of range~
        SWAPDB x 1 => -ERR invalid first DB index~
        SWAPDB 0 x => -ERR invalid second DB index~
        SWAPDB 0 => -ERR wrong number of arguments for 'swapdb' command~
        SELECT 16 => -ERR DB index is out of range~
        SELECT -1 => -ERR DB index is out of range~
        SELECT x => -ERR value is not an integer or out of range~
        SELECT => -ERR wrong number of arguments for 'select' command~
        SELECT 0 => +OK~
        FLUSHALL => +OK~
        DBSIZE => :0~
        SELECT 1 => +OK~
        DBSIZE => :0~
        "#,
    );
}

#[test]
fn keys_scan_dbsize_randomkey() {
    table(
        r#"
        RANDOMKEY => $-1~ => _~
        DBSIZE => :0~
        KEYS * => *0~
        SCAN 0 => *2~$1~0~*0~
        SET foo 1 => +OK~
        KEYS * => *1~$3~foo~
        KEYS f?o => *1~$3~foo~
        KEYS f[aeiou]o => *1~$3~foo~
        KEYS f[^o]o => *0~
        KEYS f[a-z]* => *1~$3~foo~
        KEYS \f\o\o => *1~$3~foo~
        KEYS bar* => *0~
        KEYS foo => *1~$3~foo~
        KEYS => -ERR wrong number of arguments for 'keys' command~
        RANDOMKEY => $3~foo~
        DBSIZE => :1~
        SCAN 0 => *2~$1~0~*1~$3~foo~
        SCAN 0 COUNT 100 => *2~$1~0~*1~$3~foo~
        SCAN 0 MATCH f* => *2~$1~0~*1~$3~foo~
        SCAN 0 MATCH b* => *2~$1~0~*0~
        SCAN 0 TYPE string => *2~$1~0~*1~$3~foo~
        SCAN 0 TYPE hash => *2~$1~0~*0~
        SCAN 0 MATCH f* COUNT 5 TYPE string => *2~$1~0~*1~$3~foo~
        SCAN 0 COUNT 0 => -ERR syntax error~
        SCAN 0 COUNT -1 => -ERR syntax error~
        SCAN 0 COUNT x => -ERR value is not an integer or out of range~
        SCAN 0 BLAH => -ERR syntax error~
        SCAN 0 MATCH => -ERR syntax error~
        SCAN 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN~
        SCAN x => -ERR invalid cursor~
        SCAN -1 => -ERR invalid cursor~
        SCAN => -ERR wrong number of arguments for 'scan' command~
        SCAN 99999999999999999999 => -ERR invalid cursor~
        FLUSHDB ASYNC => +OK~
        DBSIZE => :0~
        SET a 1 => +OK~
        FLUSHDB SYNC => +OK~
        SET a 1 => +OK~
        FLUSHALL ASYNC => +OK~
        DBSIZE => :0~
        FLUSHALL SYNC => +OK~
        FLUSHALL BLAH => -ERR syntax error~
        FLUSHDB BLAH => -ERR syntax error~
        FLUSHDB SYNC ASYNC => -ERR syntax error~
        RANDOMKEY x => -ERR wrong number of arguments for 'randomkey' command~
        DBSIZE x => -ERR wrong number of arguments for 'dbsize' command~
        "#,
    );
}

#[test]
fn memory_and_object() {
    table(
        r#"
        SET k v => +OK~
        MEMORY USAGE missing => $-1~ => _~
        MEMORY USAGE k SAMPLES x => -ERR value is not an integer or out of range~
        MEMORY USAGE k SAMPLES -1 => -ERR syntax error~
        MEMORY USAGE k BLAH => -ERR syntax error~
        MEMORY USAGE => -ERR wrong number of arguments for 'memory|usage' command~
        MEMORY BLAH => -ERR unknown subcommand 'BLAH'. Try MEMORY HELP.~
        MEMORY => -ERR wrong number of arguments for 'memory' command~
        OBJECT REFCOUNT missing => $-1~ => _~
        OBJECT IDLETIME k => :0~
        OBJECT ENCODING k extra => -ERR wrong number of arguments for 'object|encoding' command~
        "#,
    );
}

#[test]
fn unknown_commands_and_arity() {
    table(
        r#"
        BLAH => -ERR unknown command 'BLAH', with args beginning with: ~
        BLAH a b c => -ERR unknown command 'BLAH', with args beginning with: 'a' 'b' 'c' ~
        "BLAH\r\nx" a => -ERR unknown command 'BLAH  x', with args beginning with: 'a' ~
        get => -ERR wrong number of arguments for 'get' command~
        GET a b c => -ERR wrong number of arguments for 'get' command~
        CONFIG => -ERR wrong number of arguments for 'config' command~
        CONFIG BLAH => -ERR unknown subcommand 'BLAH'. Try CONFIG HELP.~
        CONFIG|GET save => -ERR unknown command 'CONFIG|GET', with args beginning with: 'save' ~
        CLIENT => -ERR wrong number of arguments for 'client' command~
        CLIENT BLAH => -ERR unknown subcommand 'BLAH'. Try CLIENT HELP.~
        OBJECT ENCODING => -ERR wrong number of arguments for 'object|encoding' command~
        aVeryLongCommandNameThatIsLongerThanAnyLimitThatSomebodyMightHaveSetForNamesOfCommandsBecauseItMayBeEchoedBackAndThenItIsCutSomewhereButWhere with args => -ERR unknown command 'aVeryLongCommandNameThatIsLongerThanAnyLimitThatSomebodyMightHaveSetForNamesOfCommandsBecauseItMayBeEchoedBackAndThenItIsCutSome', with args beginning with: 'with' 'args' ~
        X aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccc => -ERR unknown command 'X', with args beginning with: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' 'bbbbbbbbbbbbbbbbbbbbb' ~
        "#,
    );
}

#[test]
fn big_values_are_freed_in_the_background_however_they_go() {
    let server = TestServer::with(&[]);
    let mut client = server.client();
    let members: Vec<String> = (0..2000).map(|number| format!("member:{number}")).collect();
    for (freed_before, end) in ["DEL k", "UNLINK k", "SET k v", "RENAME other k"].into_iter().enumerate() {
        client.check("SET other v", "+OK~");
        client.check("DEL k", ":0~");
        let mut command = vec!["SADD".to_owned(), "k".to_owned()];
        command.extend_from_slice(&members);
        assert_eq!(client.call(&command), Value::Int(2000));
        client.send_command(end);
        client.read();
        let freed = (freed_before + 1).to_string();
        eventually("it is freed", || info(&mut client, "lazyfreed_objects") == freed);
        assert_eq!(info(&mut client, "lazyfree_pending_objects"), "0");
        if client.value("TYPE k").text() == "string" {
            client.check("DEL k", ":1~");
        }
    }
}

#[test]
fn what_moves_counts_as_one_change() {
    let server = TestServer::start();
    let mut client = server.client();
    for (first, second) in
        [("LPUSH l a", "LMOVE l m LEFT LEFT"), ("SET k v", "RENAME k k2"), ("SET other v", "MOVE other 1")]
    {
        let before: u64 = server.info("rdb_changes_since_last_save").parse().expect("a number");
        drop(client.value(first));
        drop(client.value(second));
        let after: u64 = server.info("rdb_changes_since_last_save").parse().expect("a number");
        assert_eq!(after - before, 2, "{first}, {second}");
    }
}

#[test]
fn an_element_set_in_a_full_list_makes_it_a_quicklist() {
    table(
        "
        CONFIG SET list-max-listpack-size 3 => +OK~
        RPUSH l a b => :2~
        LSET l 0 c => +OK~
        OBJECT ENCODING l => $8~listpack~
        RPUSH l c => :3~
        OBJECT ENCODING l => $8~listpack~
        LSET l 0 d => +OK~
        OBJECT ENCODING l => $9~quicklist~
        CONFIG SET list-max-listpack-size -2 => +OK~
    ",
    );
}

/// Small collections write what their members begin with once; replies do not show it.
#[test]
fn what_begins_alike_is_replied_whole() {
    table(
        r#"
        SADD s user:1 user:2 user:3 user:4 other 17 => :6~
        SMEMBERS s => *6~$6~user:1~$6~user:2~$6~user:3~$6~user:4~$5~other~$2~17~ => ~6~$6~user:1~$6~user:2~$6~user:3~$6~user:4~$5~other~$2~17~
        SUNION s => *6~$6~user:1~$6~user:2~$6~user:3~$6~user:4~$5~other~$2~17~ => ~6~$6~user:1~$6~user:2~$6~user:3~$6~user:4~$5~other~$2~17~
        SMISMEMBER s user:4 4 user: other 17 => *5~:1~:0~:0~:1~:1~
        HSET h field1 a field2 field2 field3 3 field4 d => :4~
        HGETALL h => *8~$6~field1~$1~a~$6~field2~$6~field2~$6~field3~$1~3~$6~field4~$1~d~ => %4~$6~field1~$1~a~$6~field2~$6~field2~$6~field3~$1~3~$6~field4~$1~d~
        HKEYS h => *4~$6~field1~$6~field2~$6~field3~$6~field4~
        HGET h field2 => $6~field2~
        ZADD z 1 user:1 2 user:2 2.5 user:3 3 user:4 4 other => :5~
        ZRANGE z 1 3 => *3~$6~user:2~$6~user:3~$6~user:4~
        ZRANGE z 1 3 REV => *3~$6~user:4~$6~user:3~$6~user:2~
        ZRANGE z 2 3 WITHSCORES => *4~$6~user:3~$3~2.5~$6~user:4~$1~3~ => *2~*2~$6~user:3~,2.5~*2~$6~user:4~,3~
        ZRANK z user:3 => :2~
        ZADD z 0 user:3 => :0~
        ZRANGE z 0 0 => *1~$6~user:3~
        OBJECT ENCODING z => $8~listpack~
        SPOP s 6 => *6~$6~user:1~$6~user:2~$6~user:3~$6~user:4~$5~other~$2~17~ => ~6~$6~user:1~$6~user:2~$6~user:3~$6~user:4~$5~other~$2~17~
        "#,
    );
}

/// Keys were told that a request with wrong arguments does not have, and others were missed.
#[test]
fn command_getkeys_of_requests_that_are_wrong_elsewhere() {
    table(
        r#"
        COMMAND GETKEYS ZUNIONSTORE out 2 a b => *3~$3~out~$1~a~$1~b~
        COMMAND GETKEYS ZUNIONSTORE out -2 a b => -ERR Invalid arguments specified for command~
        COMMAND GETKEYS ZUNIONSTORE out 0 a => -ERR Invalid arguments specified for command~
        COMMAND GETKEYS ZDIFFSTORE out abc a => -ERR Invalid arguments specified for command~
        COMMAND GETKEYS PFMERGE out => -ERR Invalid arguments specified for command~
        COMMAND GETKEYS SPUBLISH c m => -ERR The command has no key arguments~
        COMMAND GETKEYS SSUBSCRIBE c => -ERR The command has no key arguments~
        COMMAND GETKEYS PING a b c => -ERR The command has no key arguments~
        COMMAND GETKEYS GET => -ERR Invalid number of arguments specified for command~
        COMMAND GETKEYS NOTHING => -ERR Invalid command specified~
        COMMAND GETKEYS EVAL x 0 => *0~
        COMMAND GETKEYS XREAD COUNT 1 STREAMS a b 0 => *1~$1~a~
        COMMAND GETKEYS XREADGROUP GROUP g c STREAMS a b c 0 0 => *2~$1~a~$1~b~
        COMMAND GETKEYSANDFLAGS XREADGROUP GROUP g c STREAMS a > => *1~*2~$1~a~*2~+RO~+access~ => *1~*2~$1~a~~2~+RO~+access~
        COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 9 => *2~$1~a~$1~b~
        COMMAND GETKEYS GEORADIUS k 1 2 3 km WITHCOORD STORE out => *2~$1~k~$3~out~
        COMMAND GETKEYS GEORADIUS k 1 2 3 km BLAH STORE a STOREDIST b => *2~$1~k~$1~b~
        COMMAND GETKEYS GEORADIUSBYMEMBER k m 3 km COUNT 0 STORE out => *2~$1~k~$3~out~
        COMMAND GETKEYS SORT k BY store LIMIT 0 STORE GET x STORE out BLAH => *2~$1~k~$3~out~
        COMMAND GETKEYS SORT k => *1~$1~k~
        "#,
    );
}

/// A payload of Redis 3.2, and one that is corrupt.
#[test]
fn payloads_of_old_versions_are_restored() {
    let server = TestServer::start();
    let mut client = server.client();
    let list = b"\x0e\x01\x10\x10\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01a\x03\xf2\xff\x09\x00\x0a\x5b\xac\x5e\xb8\xd7\xc9\x29";
    assert_eq!(client.call(&[&b"RESTORE"[..], b"l", b"0", list]).text(), "OK");
    client.check("LRANGE l 0 -1", "*2~$1~a~$1~1~");
    let mut corrupt = list.to_vec();
    corrupt[7] = 0x0c;
    let without_checksum = corrupt.len() - 8;
    corrupt[without_checksum..].fill(0);
    assert_eq!(client.call(&[&b"RESTORE"[..], b"m", b"0", &corrupt]).text(), "ERR Bad data format");
}

/// Fields that have ended are in a payload with their ends, as on Valkey: a hash of nothing else is one that
/// RESTORE takes.
#[test]
fn dump_keeps_fields_that_have_ended() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
    client.check("HSETEX h PX 10 FIELDS 2 a 1 b 2", ":1~");
    client.check("HSETEX all PX 10 FIELDS 2 a 1 b 2", ":1~");
    client.check("HSET h lasting 3", ":1~");
    server.advance_ms(20);
    for (key, fields, live) in [("h", 3, "*2~$7~lasting~$1~3~"), ("all", 2, "*0~")] {
        assert_eq!(client.value(&format!("HLEN {key}")), Value::Int(fields), "{key}");
        let Value::Bulk(payload) = client.value(&format!("DUMP {key}")) else { panic!("a payload") };
        client.check(&format!("DEL {key}"), ":1~");
        assert_eq!(client.call(&[&b"RESTORE"[..], key.as_bytes(), b"0", &payload]).text(), "OK");
        assert_eq!(client.value(&format!("HLEN {key}")), Value::Int(fields), "{key}");
        client.check(&format!("HGETALL {key}"), live);
    }
    client.check("DEBUG SET-ACTIVE-EXPIRE 1", "+OK~");
    server.advance_ms(1);
    client.check("EXISTS h all", ":1~");
    client.check("HLEN h", ":1~");
}

/// RESTORE takes the versions of both families that are known. `rdb-version-check relaxed` takes every version, DEBUG
/// SET-SKIP-CHECKSUM-VALIDATION every checksum; broken values stay refused.
#[test]
fn restore_can_be_made_to_take_more() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    const WRONG: &str = "ERR DUMP payload version or checksum are wrong";
    let payload = |version: u16, checksum: u64| {
        [&b"\x00\x01a"[..], &version.to_le_bytes(), &checksum.to_le_bytes()].concat()
    };
    // A checksum of zero stands for none.
    for version in [15, 20, 79, 82, 222, 5000] {
        for (mode, expected) in [("strict", WRONG), ("relaxed", "OK")] {
            client.check(&format!("CONFIG SET rdb-version-check {mode}"), "+OK~");
            let reply = client.call(&[&b"RESTORE"[..], b"k", b"0", &payload(version, 0), b"REPLACE"]);
            assert_eq!(reply.text(), expected, "{version} {mode}");
        }
    }
    client.check("CONFIG SET rdb-version-check strict", "+OK~");
    for version in [1, 11, 12, 14, 80, 81] {
        let reply = client.call(&[&b"RESTORE"[..], b"k", b"0", &payload(version, 0), b"REPLACE"]);
        assert_eq!(reply.text(), "OK", "{version}");
    }
    let zipmap_of_overlong_length =
        [&b"\x09\x0e\x01\xfe\x01\x00\x00\x00a\x01\x00b\xff\x00\x00\x00"[..], &[11, 0], &[1; 8]].concat();
    for (on, expected) in [("0", WRONG), ("1", "OK"), ("0", WRONG)] {
        client.check(&format!("DEBUG SET-SKIP-CHECKSUM-VALIDATION {on}"), "+OK~");
        let reply = client.call(&[&b"RESTORE"[..], b"k", b"0", &payload(11, 1), b"REPLACE"]);
        assert_eq!(reply.text(), expected, "{on}");
        let reply = client.call(&[&b"RESTORE"[..], b"z", b"0", &zipmap_of_overlong_length]);
        assert_eq!(reply.text(), if on == "1" { "ERR Bad data format" } else { WRONG });
    }
    client.check("DEBUG SET-SKIP-CHECKSUM-VALIDATION x", "-ERR value is not an integer or out of range~");
}

/// In no-touch mode TOUCH dated nothing either.
#[test]
fn touch_dates_keys_in_no_touch_mode() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v", "+OK~");
    client.check("CLIENT NO-TOUCH on", "+OK~");
    server.advance_ms(60_000);
    client.check("GET k", "$1~v~");
    client.check("OBJECT IDLETIME k", ":60~");
    client.check("TOUCH k none", ":1~");
    client.check("OBJECT IDLETIME k", ":0~");
}

/// They wrote a gigabyte before they answered an error.
#[test]
fn what_would_reply_too_much_is_refused_at_once() {
    table(
        r#"
        SADD s a => :1~
        HSET h f v => :1~
        ZADD z 1 m => :1~
        SRANDMEMBER s -9223372036854775807 => -ERR value is out of range~
        SRANDMEMBER s -1000000000 => -ERR value is out of range~
        HRANDFIELD h -1000000000 => -ERR value is out of range~
        HRANDFIELD h -4611686018427387903 WITHVALUES => -ERR value is out of range~
        ZRANDMEMBER z -1000000000 => -ERR value is out of range~
        ZRANDMEMBER z -4611686018427387903 WITHSCORES => -ERR value is out of range~
        SRANDMEMBER s -3 => *3~$1~a~$1~a~$1~a~
        SETRANGE a 20000 x => :20001~
        SETRANGE b 20000 x => :20001~
        LCS a b => -ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len~
        LCS a b LEN => -ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len~
        LCS a b IDX => -ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len~
        "#,
    );
}
