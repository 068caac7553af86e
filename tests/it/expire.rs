//! When keys end.

use crate::harness::*;

#[test]
fn expire_and_its_options() {
    table(
        r#"
        EXPIRE k 100 => :0~
        SET k v => +OK~
        TTL k => :-1~
        PTTL k => :-1~
        EXPIRETIME k => :-1~
        PEXPIRETIME k => :-1~
        TTL missing => :-2~
        PTTL missing => :-2~
        EXPIRETIME missing => :-2~
        PEXPIRETIME missing => :-2~
        EXPIRE k 100 => :1~
        TTL k => :100~
        EXPIRE k 200 NX => :0~
        EXPIRE k 200 XX => :1~
        TTL k => :200~
        EXPIRE k 100 GT => :0~
        EXPIRE k 300 GT => :1~
        EXPIRE k 400 LT => :0~
        EXPIRE k 250 LT => :1~
        TTL k => :250~
        EXPIRE k 100 XX LT => :1~
        EXPIRE k 100 XX GT => :0~
        EXPIRE k 100 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible~
        EXPIRE k 100 NX GT => -ERR NX and XX, GT or LT options at the same time are not compatible~
        EXPIRE k 100 NX LT => -ERR NX and XX, GT or LT options at the same time are not compatible~
        EXPIRE k 100 GT LT => -ERR GT and LT options at the same time are not compatible~
        EXPIRE k 100 BLAH => -ERR Unsupported option BLAH~
        EXPIRE k 100 NX BLAH => -ERR Unsupported option BLAH~
        PERSIST k => :1~
        PERSIST k => :0~
        PERSIST missing => :0~
        EXPIRE k 100 GT => :0~
        EXPIRE k 100 XX => :0~
        EXPIRE k 100 LT => :1~
        TTL k => :100~
        PERSIST k => :1~
        EXPIRE k 100 NX => :1~
        PEXPIRE k 200000 => :1~
        TTL k => :200~
        EXPIREAT k 99999999999 => :1~
        EXPIRETIME k => :99999999999~
        PEXPIREAT k 99999999999123 => :1~
        PEXPIRETIME k => :99999999999123~
        EXPIRETIME k => :99999999999~
        EXPIRE k x => -ERR value is not an integer or out of range~
        EXPIRE k 1.5 => -ERR value is not an integer or out of range~
        EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command~
        EXPIRE k -9223372036854775808 => -ERR invalid expire time in 'expire' command~
        PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command~
        EXPIREAT k 9223372036854775807 => -ERR invalid expire time in 'expireat' command~
        PEXPIREAT k 9223372036854775807 => :1~
        PEXPIRETIME k => :9223372036854775807~
        EXPIRE missing x => -ERR value is not an integer or out of range~
        EXPIRE k => -ERR wrong number of arguments for 'expire' command~
        EXPIRE => -ERR wrong number of arguments for 'expire' command~
        PEXPIRE k => -ERR wrong number of arguments for 'pexpire' command~
        EXPIREAT k => -ERR wrong number of arguments for 'expireat' command~
        PEXPIREAT k => -ERR wrong number of arguments for 'pexpireat' command~
        TTL => -ERR wrong number of arguments for 'ttl' command~
        PTTL => -ERR wrong number of arguments for 'pttl' command~
        PERSIST => -ERR wrong number of arguments for 'persist' command~
        EXPIRETIME => -ERR wrong number of arguments for 'expiretime' command~
        PEXPIRETIME => -ERR wrong number of arguments for 'pexpiretime' command~
        EXPIRE k -1 => :1~
        EXISTS k => :0~
        SET k v => +OK~
        EXPIRE k 0 => :1~
        EXISTS k => :0~
        SET k v => +OK~
        PEXPIRE k -1 => :1~
        EXISTS k => :0~
        SET k v => +OK~
        EXPIREAT k 1 => :1~
        EXISTS k => :0~
        SET k v => +OK~
        PEXPIREAT k 1 => :1~
        EXISTS k => :0~
        SET k v => +OK~
        EXPIREAT k -1 => :1~
        EXISTS k => :0~
        "#,
    );
}

#[test]
fn what_ends_an_expiry_and_what_keeps_it() {
    table(
        r#"
        SET k v EX 100 => +OK~
        SET k v => +OK~
        TTL k => :-1~
        SET k v EX 100 => +OK~
        APPEND k x => :2~
        TTL k => :100~
        SETRANGE k 0 y => :2~
        TTL k => :100~
        GETSET k v => $2~yx~
        TTL k => :-1~
        SET k 1 EX 100 => +OK~
        INCR k => :2~
        TTL k => :100~
        INCRBYFLOAT k 1 => $1~3~
        TTL k => :100~
        GETDEL k => $1~3~
        TTL k => :-2~
        SET k v EX 100 => +OK~
        MSET k w => +OK~
        TTL k => :-1~
        SET k v EX 100 => +OK~
        RENAME k k2 => +OK~
        TTL k2 => :100~
        COPY k2 k3 => :1~
        TTL k3 => :100~
        DEL k2 => :1~
        SET k2 v => +OK~
        TTL k2 => :-1~
        "#,
    );
}

#[test]
fn keys_end_at_their_time() {
    table(
        "
        SET k v PX 100 => +OK~
        SET s v EX 2 => +OK~
        +99 ms
        PTTL k => :1~
        GET k => $1~v~
        EXISTS k => :1~
        +1 ms
        GET k => $-1~ => _~
        PTTL k => :-2~
        TTL k => :-2~
        EXISTS k => :0~
        TYPE k => +none~
        STRLEN k => :0~
        DEL k => :0~
        DBSIZE => :1~
        TTL s => :2~
        PTTL s => :1900~
        +500 ms
        TTL s => :1~
        +901 ms
        TTL s => :0~
        PTTL s => :499~
        SET s w KEEPTTL => +OK~
        PTTL s => :499~
        INCRBYFLOAT n 1 => $1~1~
        PEXPIRE n 1 => :1~
        INCR n => :2~
        PTTL n => :1~
        +1 ms
        INCR n => :1~
        PTTL n => :-1~
        +498 ms
        GET s => $-1~ => _~
        DBSIZE => :1~
        ",
    );
}

#[test]
fn an_ended_key_is_no_key_to_any_command() {
    // With the sweeper off, commands themselves have to see that a key has ended.
    for (command, reply) in [
        ("GET k", "$-1~"),
        ("SET k w NX", "+OK~"),
        ("SET k w XX", "$-1~"),
        ("SET k w GET", "$-1~"),
        ("SET k w IFEQ 5", "$-1~"),
        ("SETNX k w", ":1~"),
        ("GETSET k w", "$-1~"),
        ("GETDEL k", "$-1~"),
        ("GETEX k", "$-1~"),
        ("MGET k k", "*2~$-1~$-1~"),
        ("MSETNX k w", ":1~"),
        ("STRLEN k", ":0~"),
        ("APPEND k w", ":1~"),
        ("SETRANGE k 1 w", ":2~"),
        ("GETRANGE k 0 -1", "$0~~"),
        ("INCR k", ":1~"),
        ("INCRBYFLOAT k 1", "$1~1~"),
        ("DELIFEQ k 5", ":0~"),
        ("DEL k", ":0~"),
        ("UNLINK k", ":0~"),
        ("EXISTS k", ":0~"),
        ("TOUCH k", ":0~"),
        ("TYPE k", "+none~"),
        ("RENAME k k2", "-ERR no such key~"),
        ("RENAMENX other k", ":1~"),
        ("COPY k k2", ":0~"),
        ("COPY other k", ":1~"),
        ("MOVE k 1", ":0~"),
        ("EXPIRE k 100", ":0~"),
        ("PERSIST k", ":0~"),
        ("TTL k", ":-2~"),
        ("EXPIRETIME k", ":-2~"),
        ("OBJECT ENCODING k", "$-1~"),
        ("MEMORY USAGE k", "$-1~"),
        ("KEYS k", "*0~"),
        ("SCAN 0 MATCH k COUNT 1000000", "*2~$1~0~*0~"),
        ("LCS k other", "$0~~"),
    ] {
        let server = TestServer::with(&[("enable-debug-command", "yes")]);
        let mut client = server.client();
        client.check("DEBUG SET-ACTIVE-EXPIRE 0", "+OK~");
        client.check("SET k 5 PX 10", "+OK~");
        client.check("SET other 5", "+OK~");
        server.handle().server().clock.advance_ms(10);
        client.check(command, reply);
        assert!(client.value("DBSIZE").int() <= 2);
    }
}

#[test]
fn active_expiry_finds_every_key_and_its_lag_is_shown() {
    let server = TestServer::start();
    let mut client = server.client();
    let requests: Vec<u8> = (0..5000)
        .flat_map(|number| {
            encode(&["SET", &format!("key:{number}"), "v", "PX", &(1 + number % 1000).to_string()])
        })
        .collect();
    client.send(&requests);
    for _ in 0..5000 {
        client.read();
    }
    client.check("DBSIZE", ":5000~");
    assert_eq!(info(&mut client, "expire_next_in_milliseconds"), "1");
    server.advance_ms(400);
    client.check("DBSIZE", ":3000~");
    assert_eq!(info(&mut client, "expired_keys"), "2000");
    assert_eq!(info(&mut client, "expire_lag_max_milliseconds"), "399");
    assert_eq!(info(&mut client, "expire_next_in_milliseconds"), "1");
    client.check("CONFIG RESETSTAT", "+OK~");
    for _ in 0..600 {
        server.advance_ms(1);
    }
    client.check("DBSIZE", ":0~");
    assert_eq!(info(&mut client, "expired_keys"), "3000");
    assert_eq!(info(&mut client, "expire_lag_max_milliseconds"), "0");
    assert_eq!(info(&mut client, "expire_next_in_milliseconds"), "-1");
}

#[test]
fn renewed_keys_stay_and_the_others_go() {
    let server = TestServer::start();
    let mut client = server.client();
    // All in one slot, as sessions of one tag are: half of them are renewed again and again.
    for number in 0..200 {
        client.check(&format!("SET {{s}}:{number} v PX 1000"), "+OK~");
    }
    for round in 0..50 {
        server.advance_ms(100);
        for number in (0..200).step_by(2) {
            client.check(&format!("PEXPIRE {{s}}:{number} 1000"), ":1~");
        }
        let left = if round < 9 { 200 } else { 100 };
        client.check("DBSIZE", &format!(":{left}~"));
    }
    // Earlier again, never, and gone.
    client.check("PEXPIRE {s}:0 10", ":1~");
    client.check("PERSIST {s}:2", ":1~");
    client.check("DEL {s}:4", ":1~");
    server.advance_ms(10);
    client.check("EXISTS {s}:0 {s}:2 {s}:4", ":1~");
    server.advance_ms(990);
    client.check("KEYS *", "*1~$5~{s}:2~");
    assert_eq!(info(&mut client, "expired_keys"), "198");
    assert_eq!(info(&mut client, "expire_lag_max_milliseconds"), "0");
}

#[test]
fn a_renamed_or_moved_key_takes_its_end_along() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET a v PX 100", "+OK~");
    client.check("RENAME a b", "+OK~");
    client.check("SET c v PX 100", "+OK~");
    client.check("MOVE c 1", ":1~");
    client.check("COPY b d", ":1~");
    client.check("COPY b d DB 2", ":1~");
    // The old names may be used again and do not end.
    client.check("MSET a v c v", "+OK~");
    server.advance_ms(99);
    client.check("EXISTS a b c d", ":4~");
    server.advance_ms(1);
    client.check("EXISTS a b c d", ":2~");
    assert_eq!(info(&mut client, "expired_keys"), "4");
    client.check("SELECT 1", "+OK~");
    client.check("DBSIZE", ":0~");
}

#[test]
fn swapped_databases_keep_their_ends() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET k v PX 100", "+OK~");
    client.check("SWAPDB 0 5", "+OK~");
    server.advance_ms(100);
    client.check("SELECT 5", "+OK~");
    client.check("DBSIZE", ":0~");
    client.check("FLUSHALL", "+OK~");
    client.check("SET k v PX 100", "+OK~");
    client.check("FLUSHDB", "+OK~");
    client.check("SET k v", "+OK~");
    server.advance_ms(100);
    client.check("GET k", "$1~v~");
}

#[test]
fn fields_that_end_leave_by_themselves() {
    let server = TestServer::with(&[("notify-keyspace-events", "Ehg")]);
    let (mut listener, mut client) = (server.client(), server.client());
    listener.check("PSUBSCRIBE __key*", "*3~$10~psubscribe~$6~__key*~:1~");
    let next = |listener: &mut Client| listener.read().texts()[2..].join(" ");
    for command in ["HSET h a 1 b 2 c 3", "HPEXPIRE h 100 FIELDS 1 a", "HPEXPIRE h 200 FIELDS 1 b"] {
        client.value(command);
    }
    for event in ["hset h", "hexpire h", "hexpire h"] {
        assert_eq!(next(&mut listener), format!("__keyevent@0__:{event}"));
    }
    server.advance_ms(99);
    client.check("HLEN h", ":3~");
    listener.check_silent();
    server.advance_ms(1);
    assert_eq!(next(&mut listener), "__keyevent@0__:hexpired h");
    client.check("HLEN h", ":2~");
    assert_eq!(server.info("expired_fields"), "1");
    // Pushed back: the old time comes and nothing happens.
    client.check("HPEXPIRE h 1000 FIELDS 1 b", "*1~:1~");
    assert_eq!(next(&mut listener), "__keyevent@0__:hexpire h");
    server.advance_ms(500);
    client.check("HLEN h", ":2~");
    // Brought forward, and under another name.
    client.check("HPEXPIRE h 100 FIELDS 2 b c", "*2~:1~:1~");
    client.check("RENAME h i", "+OK~");
    for event in ["hexpire h", "rename_from h", "rename_to i"] {
        assert_eq!(next(&mut listener), format!("__keyevent@0__:{event}"));
    }
    server.advance_ms(100);
    assert_eq!(next(&mut listener), "__keyevent@0__:hexpired i");
    assert_eq!(next(&mut listener), "__keyevent@0__:del i");
    client.check("EXISTS i", ":0~");
    client.check("DBSIZE", ":0~");
    assert_eq!(server.info("expired_fields"), "3");
    assert_eq!(server.info("expired_keys"), "0");
}

#[test]
fn fields_end_however_they_came_to_be() {
    table(
        r#"
        HSETEX h PX 100 FIELDS 2 a 1 b 2 => :1~
        COPY h copy => :1~
        HSET other a 1 => :1~
        HSETEX other PX 200 FIELDS 1 b 2 => :1~
        HSET third a 1 b 2 => :2~
        HGETEX third PX 300 FIELDS 1 a => *1~$1~1~
        PEXPIRE third 250 => :1~
        PERSIST third => :1~
        DBSIZE => :4~
        +100 ms
        DBSIZE => :2~
        +100 ms
        HLEN other => :1~
        HLEN third => :2~
        +100 ms
        HLEN third => :1~
        HGETALL third => *2~$1~b~$1~2~ => %1~$1~b~$1~2~
        DBSIZE => :2~
        "#,
    );
}

#[test]
fn where_a_big_value_is_freed_is_said_by_the_way_it_goes() {
    let server = TestServer::start();
    let mut client = server.client();
    let members: Vec<String> = (0..500).map(|number| format!("m{number}")).collect();
    let fill = format!("SADD k {}", members.join(" "));
    let freed = |client: &mut Client| {
        eventually("nothing waits to be freed", || info(client, "lazyfree_pending_objects") == "0");
        info(client, "lazyfreed_objects")
    };
    for directive in ["expire", "user-del", "server-del"] {
        for (value, expected) in [("no", "0"), ("yes", "1")] {
            client.check(&format!("CONFIG SET lazyfree-lazy-{directive} {value}"), "+OK~");
            client.check("CONFIG RESETSTAT", "+OK~");
            client.check(&fill, ":500~");
            match directive {
                "expire" => {
                    client.check("PEXPIRE k 10", ":1~");
                    server.advance_ms(20);
                    client.check("EXISTS k", ":0~");
                }
                "user-del" => client.check("DEL k", ":1~"),
                _ => {
                    client.check("SET k v", "+OK~");
                    client.check("DEL k", ":1~");
                }
            }
            assert_eq!(freed(&mut client), expected, "{directive} {value}");
        }
    }
    // UNLINK has the same meaning whatever is configured.
    client.check("CONFIG SET lazyfree-lazy-user-del no", "+OK~");
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check(&fill, ":500~");
    client.check("UNLINK k", ":1~");
    assert_eq!(freed(&mut client), "1");
    // A read that finds it ended frees it where it is, too.
    client.check("CONFIG SET lazyfree-lazy-expire no", "+OK~");
    client.check("CONFIG RESETSTAT", "+OK~");
    client.check(&fill, ":500~");
    client.check("PEXPIRE k 10", ":1~");
    client.check("PEXPIREAT k 1", ":1~");
    client.check("EXISTS k", ":0~");
    assert_eq!(freed(&mut client), "0");
}
