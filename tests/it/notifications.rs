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
        let after = counted();
        assert_eq!([after[0] - before[0], after[1] - before[1]], counts, "{command}");
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
