//! Keyspace notifications: which changes are published, on which channels, and when.

use crate::harness::*;

/// A server that publishes these events, a client that hears them all, and one that causes them.
fn listening(events: &str) -> (TestServer, Client, Client) {
    let server = TestServer::with(&[("notify-keyspace-events", events)]);
    let (mut listener, client) = (server.client(), server.client());
    listener.check("PSUBSCRIBE __key*", "*3~$10~psubscribe~$6~__key*~:1~");
    (server, listener, client)
}

/// The next event: its channel and what it says.
fn next(listener: &mut Client) -> String {
    let message = listener.read().texts();
    assert_eq!(message[0], "pmessage");
    format!("{} {}", message[2], message[3])
}

#[test]
fn both_kinds_of_channels() {
    let (_server, mut listener, mut client) = listening("KEA");
    client.check("SELECT 3", "+OK~");
    client.check("SET k v", "+OK~");
    assert_eq!(next(&mut listener), "__keyspace@3__:k set");
    assert_eq!(next(&mut listener), "__keyevent@3__:set k");
    client.check("CONFIG SET notify-keyspace-events Kg", "+OK~");
    client.check("SET k v", "+OK~");
    client.check("DEL k", ":1~");
    assert_eq!(next(&mut listener), "__keyspace@3__:k del");
    client.check("CONFIG SET notify-keyspace-events \"\"", "+OK~");
    client.check("SET k v", "+OK~");
    listener.check_silent();
}

#[test]
fn the_events_of_each_command() {
    let (_server, mut listener, mut client) = listening("EA");
    for (command, events) in [
        ("SET k v", &["set k"][..]),
        ("SET k v NX", &[]),
        ("SET k v EX 100", &["set k", "expire k"]),
        ("SETEX k 100 v", &["set k", "expire k"]),
        ("PSETEX k 100000 v", &["set k", "expire k"]),
        ("SETNX k v", &[]),
        ("SETNX n v", &["set n"]),
        ("GETSET n v", &["set n"]),
        ("GETDEL n", &["del n"]),
        ("GETDEL n", &[]),
        ("GETEX k", &[]),
        ("GETEX k EX 50", &["expire k"]),
        ("GETEX k PERSIST", &["persist k"]),
        ("GETEX k PERSIST", &[]),
        ("GETEX k PXAT 1", &["expired k"]),
        ("MSET a 1 b 2", &["set a", "set b"]),
        ("MSETNX a 1 c 2", &[]),
        ("MSETNX c 1 d 2", &["set c", "set d"]),
        ("INCR a", &["incrby a"]),
        ("DECRBY a 3", &["incrby a"]),
        ("INCRBYFLOAT a 1.5", &["incrbyfloat a"]),
        ("APPEND s x", &["append s"]),
        ("APPEND s y", &["append s"]),
        ("SETRANGE s 1 z", &["setrange s"]),
        ("SETRANGE s 1 \"\"", &[]),
        ("DELIFEQ s nothing", &[]),
        ("DELIFEQ s xz", &["del s"]),
        ("EXPIRE a 100", &["expire a"]),
        ("EXPIRE a 200 NX", &[]),
        ("PEXPIREAT a 99999999999999", &["expire a"]),
        ("PERSIST a", &["persist a"]),
        ("PERSIST a", &[]),
        ("EXPIRE a -1", &["expired a"]),
        ("RENAME b e", &["rename_from b", "rename_to e"]),
        ("RENAME e e", &[]),
        ("RENAMENX e c", &[]),
        ("RENAMENX e f", &["rename_from e", "rename_to f"]),
        ("COPY f g", &["copy_to g"]),
        ("COPY f g", &[]),
        ("COPY f g REPLACE", &["copy_to g"]),
        ("DEL f g nothing", &["del f", "del g"]),
        ("UNLINK c d", &["del c", "del d"]),
        ("GET nothing", &[]),
        ("SET k v", &["set k"]),
        ("FLUSHALL", &[]),
    ] {
        client.send_command(command);
        let reply = client.read();
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
        for event in events {
            assert_eq!(next(&mut listener), format!("__keyevent@0__:{event}"), "{command}");
        }
        listener.check_silent();
    }
}

#[test]
fn the_events_of_bits_hyperloglogs_places_and_sorting() {
    let (_server, mut listener, mut client) = listening("EA");
    for (command, events) in [
        ("SETBIT b 7 1", &["setbit b"][..]),
        ("SETBIT b 7 1", &[]),
        ("BITFIELD b GET u8 0", &[]),
        ("BITFIELD b SET u8 0 3 INCRBY u8 0 1", &["setbit b"]),
        ("BITFIELD b OVERFLOW FAIL INCRBY u2 0 100", &[]),
        // It is made, of zero bytes, and nobody hears of it: so it is in Redis.
        ("BITFIELD made OVERFLOW FAIL INCRBY u2 0 100", &[]),
        ("BITFIELD made OVERFLOW FAIL INCRBY u2 0 100 INCRBY u2 0 1", &["setbit made"]),
        ("BITOP NOT c b", &["set c"]),
        ("BITOP OR c none", &["del c"]),
        ("BITOP OR c none", &[]),
        ("PFADD h a b", &["pfadd h"]),
        ("PFADD h a b", &[]),
        ("PFCOUNT h", &[]),
        ("PFMERGE i h", &["pfadd i"]),
        ("PFDEBUG TODENSE i", &[]),
        ("PFDEBUG GETREG h", &[]),
        ("GEOADD g 10 10 m", &["zadd g"]),
        ("GEOADD g 10 10 m", &[]),
        ("GEOADD g NX 11 11 m", &[]),
        ("GEOSEARCH g FROMLONLAT 10 10 BYRADIUS 1 km", &[]),
        ("GEOSEARCHSTORE o g FROMLONLAT 10 10 BYRADIUS 1 km", &["geosearchstore o"]),
        ("GEOSEARCHSTORE o g FROMLONLAT 80 80 BYRADIUS 1 km", &["del o"]),
        ("GEORADIUS g 10 10 1 km STORE o", &["georadiusstore o"]),
        ("GEORADIUSBYMEMBER g m 1 km STORE o", &["georadiusstore o"]),
        ("RPUSH l 3 1 2", &["rpush l"]),
        ("SORT l", &[]),
        ("SORT l STORE o", &["sortstore o"]),
        ("SORT none STORE o", &["del o"]),
        ("SORT none STORE o", &[]),
    ] {
        client.send_command(command);
        let reply = client.read();
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
        for event in events {
            assert_eq!(next(&mut listener), format!("__keyevent@0__:{event}"), "{command}");
        }
        listener.check_silent();
    }
    client.check("PFDEBUG ENCODING h", "+dense~");
    client.check("STRLEN made", ":1~");
}

#[test]
fn moves_tell_both_databases() {
    let (_server, mut listener, mut client) = listening("EA");
    client.check("SET k v", "+OK~");
    client.check("MOVE k 1", ":1~");
    client.check("SELECT 1", "+OK~");
    client.check("COPY k k DB 2", ":1~");
    for expected in ["@0__:set k", "@0__:move_from k", "@1__:move_to k", "@2__:copy_to k"] {
        assert_eq!(next(&mut listener), format!("__keyevent{expected}"));
    }
}

#[test]
fn an_expired_event_comes_exactly_at_its_time() {
    let (server, mut listener, mut client) = listening("Ex");
    client.check("SET k v PX 1500", "+OK~");
    client.check("SET later v PX 1501", "+OK~");
    server.advance_ms(1499);
    listener.check_silent();
    client.check("PTTL k", ":1~");
    server.advance_ms(1);
    assert_eq!(next(&mut listener), "__keyevent@0__:expired k");
    listener.check_silent();
    client.check("DBSIZE", ":1~");
    assert_eq!(info(&mut client, "expired_keys"), "1");
    assert_eq!(info(&mut client, "expire_lag_milliseconds"), "0");
    assert_eq!(info(&mut client, "expire_next_in_milliseconds"), "1");
    server.advance_ms(1);
    assert_eq!(next(&mut listener), "__keyevent@0__:expired later");
    assert_eq!(info(&mut client, "expire_next_in_milliseconds"), "-1");
}

#[test]
fn misses_are_told_when_asked_for() {
    let (_server, mut listener, mut client) = listening("Em");
    client.check("GET k", "$-1~");
    assert_eq!(next(&mut listener), "__keyevent@0__:keymiss k");
    // Those that read the old value before they write: GETSET and SET GET told nothing.
    for request in ["GETSET k v", "SET k w GET XX", "GETDEL k", "GETEX k PERSIST", "SET k v GET"] {
        client.check("DEL k", if request.starts_with("SET k w") { ":1~" } else { ":0~" });
        client.check(request, "$-1~");
        assert_eq!(next(&mut listener), "__keyevent@0__:keymiss k", "{request}");
    }
    client.check("SET k v", "+OK~");
    client.check("GET k", "$1~v~");
    listener.check_silent();
    client.check("CONFIG SET notify-keyspace-events EA", "+OK~");
    client.check("GET none", "$-1~");
    listener.check_silent();
}

#[test]
fn an_expiry_is_told_once_though_a_read_finds_it_first() {
    let (server, mut listener, mut client) = listening("Ex");
    let mut control = server.client();
    drop(control.value("DEBUG SET-ACTIVE-EXPIRE 0"));
    client.check("SET k v PX 100", "+OK~");
    server.handle().server().clock.advance_ms(100);
    client.check("GET k", "$-1~");
    client.check("SET k w", "+OK~");
    assert_eq!(next(&mut listener), "__keyevent@0__:expired k");
    server.advance_ms(1000);
    listener.check_silent();
    client.check("GET k", "$1~w~");
}

/// A time in the past told `del` or a whole life of the key, and counted nothing.
#[test]
fn a_time_in_the_past_expires_at_once() {
    let (server, mut listener, mut client) = listening("EAn");
    let payload = {
        client.check("SELECT 1", "+OK~");
        client.check("SET source v", "+OK~");
        let Value::Bulk(payload) = client.value("DUMP source") else { panic!("a payload") };
        client.check("FLUSHDB", "+OK~");
        client.check("SELECT 0", "+OK~");
        payload
    };
    assert_eq!(next(&mut listener), "__keyevent@1__:new source");
    assert_eq!(next(&mut listener), "__keyevent@1__:set source");
    // What is there before, the command, its events, expired keys and fields.
    let key = "SET k v";
    let hash = "HSET k f 1 g 2";
    let lone = "HSET k f 1";
    for (setup, command, events, counts) in [
        (key, "EXPIRE k -1", &["expired"][..], [1, 0]),
        (key, "EXPIRE k 0", &["expired"], [1, 0]),
        (key, "PEXPIRE k -1", &["expired"], [1, 0]),
        (key, "EXPIREAT k 1", &["expired"], [1, 0]),
        (key, "PEXPIREAT k 1", &["expired"], [1, 0]),
        ("", "EXPIRE k -1", &[], [0, 0]),
        (key, "GETEX k EXAT 1", &["expired"], [1, 0]),
        (key, "GETEX k PXAT 1", &["expired"], [1, 0]),
        (key, "SET k w EXAT 1", &["expired"], [1, 0]),
        (key, "SET k w PXAT 1 GET", &["expired"], [1, 0]),
        (hash, "SET k w PXAT 1", &["expired"], [1, 0]),
        ("", "SET k w EXAT 1", &[], [0, 0]),
        ("", "MSETEX 1 k w EXAT 1", &["new", "set", "expire", "expired"], [1, 0]),
        (key, "RESTORE k 1 PAYLOAD ABSTTL REPLACE", &["del"], [0, 0]),
        ("", "RESTORE k 1 PAYLOAD ABSTTL", &[], [0, 0]),
        (hash, "HEXPIRE k 0 FIELDS 2 x f", &["hexpired"], [0, 1]),
        (hash, "HPEXPIRE k 0 FIELDS 2 f f", &["hexpired"], [0, 1]),
        (hash, "HEXPIREAT k 1 FIELDS 2 f g", &["hexpired", "del"], [0, 2]),
        (lone, "HPEXPIREAT k 1 FIELDS 1 f", &["hexpired", "del"], [0, 1]),
        (hash, "HSETEX k PXAT 1 FIELDS 2 f 9 n 1", &["hset", "hexpire", "hexpired"], [0, 2]),
        ("", "HSETEX k PXAT 1 FIELDS 1 f 9", &["new", "hset", "hexpire", "hexpired", "del"], [0, 1]),
        (hash, "HGETEX k EXAT 1 FIELDS 2 f x", &["hexpired"], [0, 1]),
        (lone, "HGETEX k PXAT 1 FIELDS 1 f", &["hexpired", "del"], [0, 1]),
    ] {
        client.check("CONFIG SET notify-keyspace-events \"\"", "+OK~");
        client.value("FLUSHALL");
        if !setup.is_empty() {
            client.value(setup);
        }
        client.check("CONFIG SET notify-keyspace-events EAn", "+OK~");
        let counted = || {
            ["expired_keys", "expired_fields"]
                .map(|field| server.info(field).parse::<i64>().expect("a number"))
        };
        let before = counted();
        let words: Vec<&[u8]> = command
            .split(' ')
            .map(|word| if word == "PAYLOAD" { &payload[..] } else { word.as_bytes() })
            .collect();
        let reply = client.call(&words);
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
        for event in events {
            assert_eq!(next(&mut listener), format!("__keyevent@0__:{event} k"), "{command}");
        }
        listener.check_silent();
        // What the sweeper removes it counts just behind the events.
        eventually(command, || {
            let after = counted();
            [after[0] - before[0], after[1] - before[1]] == counts
        });
    }
}

/// A key that is removed and made again is a new one, and that is told first.
#[test]
fn what_takes_the_place_of_a_key_is_new() {
    let (_server, mut listener, mut client) = listening("EAn");
    client.check("MSET j 1 k 2", "+OK~");
    let Value::Bulk(payload) = client.value("DUMP j") else { panic!("a payload") };
    for event in ["new j", "set j", "new k", "set k"] {
        assert_eq!(next(&mut listener).rsplit_once(':').expect("an event").1, event);
    }
    client.check("COPY j k REPLACE", ":1~");
    assert_eq!(next(&mut listener), "__keyevent@0__:new k");
    assert_eq!(next(&mut listener), "__keyevent@0__:copy_to k");
    assert_eq!(client.call(&[&b"RESTORE"[..], b"k", b"0", &payload, b"REPLACE"]).text(), "OK");
    assert_eq!(next(&mut listener), "__keyevent@0__:new k");
    assert_eq!(next(&mut listener), "__keyevent@0__:restore k");
    client.check("RENAME j k", "+OK~");
    assert_eq!(next(&mut listener), "__keyevent@0__:new k");
    assert_eq!(next(&mut listener), "__keyevent@0__:rename_from j");
    assert_eq!(next(&mut listener), "__keyevent@0__:rename_to k");
    listener.check_silent();
}

/// Sends each command and expects its events, as `event key`.
fn check_events(listener: &mut Client, client: &mut Client, commands: &[(&str, &[&str])]) {
    for (command, events) in commands {
        client.send_command(command);
        let reply = client.read();
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
        for event in *events {
            assert_eq!(next(listener), format!("__keyevent@0__:{event}"), "{command}");
        }
        listener.check_silent();
    }
}

/// What a value takes the place of is told: before the event of commands that store, behind that of those that
/// move whole keys. Each line is what Redis 8.6 does.
#[test]
fn values_in_the_place_of_others_are_told() {
    let (_server, mut listener, mut client) = listening("EAnoc");
    client.check("CONFIG GET notify-keyspace-events", "*2~$22~notify-keyspace-events~$2~AE~");
    check_events(
        &mut listener,
        &mut client,
        &[
            ("SET k v", &["new k", "set k"][..]),
            ("SET k w", &["overwritten k", "set k"]),
            ("SET k 5 GET", &["overwritten k", "set k"]),
            ("SET k a-value-that-is-longer-than-the-record-that-is-there", &["overwritten k", "set k"]),
            ("SETEX k 100 v", &["overwritten k", "set k", "expire k"]),
            ("SET k x KEEPTTL", &["overwritten k", "set k"]),
            ("GETSET k v", &["overwritten k", "set k"]),
            ("SETNX k v", &[]),
            ("SET k v NX", &[]),
            ("MSET k 1 j 2", &["overwritten k", "set k", "new j", "set j"]),
            ("MSETNX k 1", &[]),
            ("INCR k", &["incrby k"]),
            ("APPEND k x", &["append k"]),
            ("SETRANGE k 0 a", &["setrange k"]),
            ("INCRBYFLOAT j 1.5", &["incrbyfloat j"]),
            ("SETBIT k 0 1", &["setbit k"]),
            ("RPUSH l a", &["new l", "rpush l"]),
            ("SET l v", &["overwritten l", "type_changed l", "set l"]),
            ("DEL l k j", &["del l", "del k", "del j"]),
            ("SADD s a b", &["new s", "sadd s"]),
            ("SADD s2 b", &["new s2", "sadd s2"]),
            ("SUNIONSTORE s s s2", &["overwritten s", "sunionstore s"]),
            ("SINTERSTORE l s s2", &["new l", "sinterstore l"]),
            ("RPUSH li 3 1 2", &["new li", "rpush li"]),
            ("SORT li STORE li", &["overwritten li", "sortstore li"]),
            ("SORT li STORE s", &["overwritten s", "type_changed s", "sortstore s"]),
            ("SINTERSTORE s nothing", &["del s"]),
            ("ZADD z 1 a", &["new z", "zadd z"]),
            ("ZUNIONSTORE z 1 z", &["overwritten z", "zunionstore z"]),
            ("ZRANGESTORE li z 0 -1", &["overwritten li", "type_changed li", "zrangestore li"]),
            ("GEOADD g 10 10 m", &["new g", "zadd g"]),
            ("GEOSEARCHSTORE li g FROMLONLAT 10 10 BYRADIUS 1 km", &["overwritten li", "geosearchstore li"]),
            ("GEORADIUS g 10 10 1 km STORE s2", &["overwritten s2", "type_changed s2", "georadiusstore s2"]),
            ("SET a 1", &["new a", "set a"]),
            ("SET b 2", &["new b", "set b"]),
            ("RENAME a b", &["new b", "rename_from a", "rename_to b", "overwritten b"]),
            ("RENAME b l", &["new l", "rename_from b", "rename_to l", "overwritten l", "type_changed l"]),
            ("COPY l a", &["new a", "copy_to a"]),
            ("COPY l a REPLACE", &["new a", "copy_to a", "overwritten a"]),
            ("COPY z a REPLACE", &["new a", "copy_to a", "overwritten a", "type_changed a"]),
            ("PFADD h a", &["new h", "pfadd h"]),
            ("PFADD h2 b", &["new h2", "pfadd h2"]),
            ("PFMERGE h h2", &["pfadd h"]),
            ("BITOP OR a h h2", &["overwritten a", "type_changed a", "set a"]),
            ("BITOP OR a l", &["overwritten a", "set a"]),
            ("HSET hh f v", &["new hh", "hset hh"]),
            ("SET hh v", &["overwritten hh", "type_changed hh", "set hh"]),
            ("MSETEX 2 z a hh c", &["overwritten z", "type_changed z", "set z", "overwritten hh", "set hh"]),
            ("MSETNX l5 a l5 b", &["new l5", "set l5", "overwritten l5", "set l5"]),
        ],
    );
    let Value::Bulk(payload) = client.value("DUMP l5") else { panic!("a payload") };
    assert_eq!(client.call(&[&b"RESTORE"[..], b"li", b"0", &payload, b"REPLACE"]).text(), "OK");
    for event in ["new li", "restore li", "overwritten li", "type_changed li"] {
        assert_eq!(next(&mut listener), format!("__keyevent@0__:{event}"));
    }
    assert_eq!(client.call(&[&b"RESTORE"[..], b"li", b"1", &payload, b"REPLACE", b"ABSTTL"]).text(), "OK");
    assert_eq!(next(&mut listener), "__keyevent@0__:del li");
    listener.check_silent();
    client.check("CONFIG SET notify-keyspace-events Kc", "+OK~");
    client.check("SET k v", "+OK~");
    client.check("SET k w", "+OK~");
    client.check("LPUSH r v", ":1~");
    client.check("SET r v", "+OK~");
    assert_eq!(next(&mut listener), "__keyspace@0__:r type_changed");
    listener.check_silent();
}

/// A pipeline, a transaction, a script and several requests tell the same, and what is undone tells nothing.
#[test]
fn replaced_values_are_told_however_the_request_comes() {
    let (server, mut listener, mut client) = listening("Eoc");
    client.check("MSET a 1 b 2", "+OK~");
    client.check("LPUSH l v", ":1~");
    for _ in 0..3 {
        client.send_command("SET a v");
        client.send_command("SET b v");
    }
    for _ in 0..6 {
        client.check_next("+OK~");
        assert!(next(&mut listener).starts_with("__keyevent@0__:overwritten "));
    }
    client.check("MULTI", "+OK~");
    client.check("SET a w", "+QUEUED~");
    client.check("EXEC", "*1~+OK~");
    assert_eq!(next(&mut listener), "__keyevent@0__:overwritten a");
    client.check(r#"EVAL "return redis.call('set', KEYS[1], 'x')" 1 l"#, "+OK~");
    assert_eq!(next(&mut listener), "__keyevent@0__:overwritten l");
    assert_eq!(next(&mut listener), "__keyevent@0__:type_changed l");
    client.check("MULTI ATOMIC", "+OK~");
    client.check("SET a w", "+QUEUED~");
    client.check("LPUSH a v", "+QUEUED~");
    drop(client.value("EXEC"));
    listener.check_silent();
    client.check("MULTI ATOMIC", "+OK~");
    client.check("SET a w", "+QUEUED~");
    client.check("EXEC", "*1~+OK~");
    assert_eq!(next(&mut listener), "__keyevent@0__:overwritten a");
    // A value that has ended is not overwritten, though nobody has removed it yet.
    client.check("SET gone v PX 100", "+OK~");
    drop(server.client().value("DEBUG SET-ACTIVE-EXPIRE 0"));
    server.handle().server().clock.advance_ms(100);
    client.check("SET gone w", "+OK~");
    listener.check_silent();
}

/// Events of hashes with the fields that they are about: commands in order, each with its messages of the kind
/// `subkeyspace`.
#[test]
fn fields_of_hashes_are_told() {
    let server = TestServer::with(&[("notify-keyspace-events", "Sh")]);
    let (mut listener, mut client) = (server.client(), server.client());
    listener.check("PSUBSCRIBE __*", "*3~$10~psubscribe~$3~__*~:1~");
    for (command, events) in [
        ("HSET k a 1 b 2", &["hset|1:a,1:b"][..]),
        ("HSET k a 1 a 2", &["hset|1:a,1:a"]),
        ("HMSET k c 1", &["hset|1:c"]),
        ("HSETNX k a 1", &[]),
        ("HSETNX k d 1", &["hset|1:d"]),
        ("HSET k \"\" 1 \"x,1:y|\" 2", &["hset|0:,6:x,1:y|"]),
        ("HDEL k none", &[]),
        ("HDEL k \"\" none \"x,1:y|\"", &["hdel|0:,6:x,1:y|"]),
        ("HGETDEL k FIELDS 2 d none", &["hdel|1:d"]),
        ("HINCRBY k a 1", &["hincrby|1:a"]),
        ("HINCRBYFLOAT k a 1.5", &["hincrbyfloat|1:a"]),
        ("HEXPIRE k 100 FIELDS 3 a none b", &["hexpire|1:a,1:b"]),
        ("HEXPIRE k 100 NX FIELDS 2 a c", &["hexpire|1:c"]),
        ("HPERSIST k FIELDS 3 a b none", &["hpersist|1:a,1:b"]),
        ("HGETEX k FIELDS 1 a", &[]),
        ("HGETEX k PX 1000 FIELDS 2 a b", &["hexpire|1:a,1:b"]),
        ("HGETEX k PERSIST FIELDS 2 a none", &["hpersist|1:a"]),
        ("HSETEX k EX 100 FIELDS 2 a 1 e 2", &["hset|1:a,1:e", "hexpire|1:a,1:e"]),
        ("HSETEX k KEEPTTL FIELDS 1 a 2", &["hset|1:a"]),
        ("HPEXPIREAT k 1 FIELDS 2 a e", &["hexpired|1:a,1:e"]),
        ("HSETEX k PXAT 1 FIELDS 1 f 1", &["hset|1:f", "hexpire|1:f", "hexpired|1:f"]),
        ("HGETALL k", &[]),
        ("SET s v", &[]),
        ("SADD m v", &[]),
        ("COPY k j", &[]),
        ("DEL j", &[]),
    ] {
        client.send_command(command);
        let reply = client.read();
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
        for event in events {
            assert_eq!(next(&mut listener), format!("__subkeyspace@0__:k {event}"), "{command}");
        }
        listener.check_silent();
    }
    // Those whose time is over together are told together.
    client.check("HSET h p 1 q 2 r 3", ":3~");
    assert_eq!(next(&mut listener), "__subkeyspace@0__:h hset|1:p,1:q,1:r");
    client.check("HPEXPIRE h 100 FIELDS 3 p q r", "*3~:1~:1~:1~");
    assert_eq!(next(&mut listener), "__subkeyspace@0__:h hexpire|1:p,1:q,1:r");
    server.advance_ms(100);
    let told = next(&mut listener);
    let mut fields: Vec<&str> = told.rsplit_once('|').expect("fields").1.split(',').collect();
    fields.sort_unstable();
    assert_eq!(
        (fields, told.starts_with("__subkeyspace@0__:h hexpired|")),
        (vec!["1:p", "1:q", "1:r"], true)
    );
    listener.check_silent();
}

/// A field that has ended and was not removed yet is told before what sets it anew.
#[test]
fn fields_that_ended_before_a_command_are_told() {
    let server = TestServer::with(&[("notify-keyspace-events", "Sh")]);
    let (mut listener, mut client) = (server.client(), server.client());
    drop(server.client().value("DEBUG SET-ACTIVE-EXPIRE 0"));
    listener.check("PSUBSCRIBE __*", "*3~$10~psubscribe~$3~__*~:1~");
    for (command, event) in [
        ("HSET k g 1 f 1", "hset|1:g,1:f"),
        ("HMSET k f 1", "hset|1:f"),
        ("HSETNX k f 1", "hset|1:f"),
        ("HINCRBY k f 1", "hincrby|1:f"),
        ("HINCRBYFLOAT k f 1.5", "hincrbyfloat|1:f"),
        ("HSETEX k KEEPTTL FIELDS 2 g 1 f 2", "hset|1:g,1:f"),
    ] {
        drop(client.value("HSETEX k PX 10 FIELDS 1 f 1"));
        for event in ["hset|1:f", "hexpire|1:f"] {
            assert_eq!(next(&mut listener), format!("__subkeyspace@0__:k {event}"));
        }
        server.handle().server().clock.advance_ms(10);
        drop(client.value(command));
        assert_eq!(next(&mut listener), "__subkeyspace@0__:k hexpired|1:f", "{command}");
        assert_eq!(next(&mut listener), format!("__subkeyspace@0__:k {event}"), "{command}");
    }
    listener.check_silent();
}

#[test]
fn fields_are_told_on_four_kinds_of_channels() {
    let server = TestServer::with(&[("notify-keyspace-events", "KEhSTIV")]);
    let (mut listener, mut client) = (server.client(), server.client());
    client.check("CONFIG GET notify-keyspace-events", "*2~$22~notify-keyspace-events~$7~hKESTIV~");
    listener.check("PSUBSCRIBE __*", "*3~$10~psubscribe~$3~__*~:1~");
    client.check("SELECT 2", "+OK~");
    client.check("HSET key f 1 other 2", ":2~");
    for message in [
        "__keyspace@2__:key hset",
        "__keyevent@2__:hset key",
        "__subkeyspace@2__:key hset|1:f,5:other",
        "__subkeyevent@2__:hset 3:key|1:f,5:other",
        "__subkeyspaceitem@2__:key\nf hset",
        "__subkeyspaceitem@2__:key\nother hset",
        "__subkeyspaceevent@2__:hset|key 1:f,5:other",
    ] {
        assert_eq!(next(&mut listener), message);
    }
    // In a channel's name a line break parts the key from the field.
    client.call(&[&b"HDEL"[..], b"k\ney", b"f"]);
    client.call(&[&b"HSET"[..], b"k\ney", b"f", b"1"]);
    for message in [
        "__keyspace@2__:k\ney hset",
        "__keyevent@2__:hset k\ney",
        "__subkeyspace@2__:k\ney hset|1:f",
        "__subkeyevent@2__:hset 4:k\ney|1:f",
        "__subkeyspaceevent@2__:hset|k\ney 1:f",
    ] {
        assert_eq!(next(&mut listener), message);
    }
    // Not without the class of hashes, and each kind for itself.
    client.check("CONFIG SET notify-keyspace-events STIVg$", "+OK~");
    client.check("HSET key f 1", ":0~");
    client.check("CONFIG SET notify-keyspace-events Ih", "+OK~");
    client.check("HSET key f 1", ":0~");
    assert_eq!(next(&mut listener), "__subkeyspaceitem@2__:key\nf hset");
    client.check("CONFIG SET notify-keyspace-events VA", "+OK~");
    client.check("HDEL key f other", ":2~");
    assert_eq!(next(&mut listener), "__subkeyspaceevent@2__:hdel|key 1:f,5:other");
    client.check("CONFIG SET notify-keyspace-events TA", "+OK~");
    client.check("MULTI ATOMIC", "+OK~");
    client.check("HSET key a 1", "+QUEUED~");
    client.check("EXEC", "*1~:1~");
    assert_eq!(next(&mut listener), "__subkeyevent@2__:hset 3:key|1:a");
    client.check("MULTI ATOMIC", "+OK~");
    client.check("HSET key b 1", "+QUEUED~");
    client.check("INCR key", "+QUEUED~");
    drop(client.value("EXEC"));
    listener.check_silent();
    client.check(r#"EVAL "return redis.call('hset', KEYS[1], 'c', 1)" 1 key"#, ":1~");
    assert_eq!(next(&mut listener), "__subkeyevent@2__:hset 3:key|1:c");
    client.check("CONFIG SET notify-keyspace-events STXV", "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.~");
}
