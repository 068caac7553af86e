//! `keys_with_volatile_items`: how many hashes have a field that is to end, and sets a member.

use kvarts::keyspace::database::{Holder, element_end};
use kvarts::keyspace::key_hash::SLOT_COUNT;
use kvarts::keyspace::record::Record;
use kvarts::keyspace::table;

use crate::harness::*;
use crate::random_commands;

/// The count that INFO gives for a database: none where it holds no key.
pub fn told(client: &mut Client, database: usize) -> usize {
    let text = client.value("INFO keyspace").text();
    let Some(line) = text.lines().find(|line| line.starts_with(&format!("db{database}:"))) else { return 0 };
    let (_, count) = line.rsplit_once(",keys_with_volatile_items=").expect("always there");
    count.parse().expect("a number")
}

/// The count of a walk over all keys, those that have ended and are still there included.
pub fn walked(server: &TestServer, database: usize, holder: Holder) -> usize {
    let keyspace = &server.handle().server().keyspace;
    let mapping = keyspace.gate.shared(0);
    let Some(database) = keyspace.physical_if_used(mapping[database]) else { return 0 };
    let is_volatile = |record: &&Record| element_end(record).is_some_and(|(of, _)| of == holder);
    let slots = (0..SLOT_COUNT).filter(|slot| database.slot_len(*slot) > 0);
    slots.map(|slot| table::iter(&database.read_slot(slot)).filter(is_volatile).count()).sum()
}

/// Each command that gives a field an end or takes it away, one after the other.
#[test]
fn every_change_of_a_fields_end_is_counted() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("SET lasting v", "+OK~");
    assert!(info(&mut client, "db0").ends_with(",keys_with_volatile_items=0"));
    let lines = "
        HSET h a 1 b 2 c 3 => 0
        HEXPIRE h 100 FIELDS 1 a => 1
        HEXPIRE h 100 FIELDS 2 a b => 1
        HSET h a 5 => 1
        HPERSIST h FIELDS 1 b => 0
        HSETEX h EX 100 FIELDS 1 d 4 => 1
        HDEL h d => 0
        HGETEX h EX 10 FIELDS 1 a => 1
        HGETDEL h FIELDS 1 a => 0
        HSETEX g EX 100 FIELDS 1 a 1 => 1
        HINCRBY g a 1 => 1
        HSETNX g b 1 => 1
        COPY g g2 => 2
        RENAME g2 g3 => 2
        COPY g g3 REPLACE => 2
        SET g3 text => 1
        HSETEX g3 EX 100 FIELDS 1 a 1 => 1
        MOVE g 1 => 0
        SWAPDB 0 1 => 1
        HSETEX g EX 0 FIELDS 1 a 1 => 0
        HSETEX h EXAT 1 FIELDS 1 a 1 => 0
        SWAPDB 0 1 => 0
        HSETEX h PX 50 FIELDS 1 a 1 => 1
        HEXPIRE h 0 FIELDS 1 a => 0
        HSETEX h PX 50 FIELDS 1 a 1 => 1
        DEBUG RELOAD => 1
        GETSET h v => 1
        DEL h => 0
        HSETEX h PX 50 FIELDS 1 a 1 => 1
        SORT lasting STORE h => 1
        FLUSHDB => 0
    ";
    for line in lines.lines().filter_map(|line| line.split_once(" => ")) {
        let (command, count) = (line.0.trim(), line.1.trim().parse::<usize>().expect("a number"));
        let reply = client.value(command);
        assert_eq!(told(&mut client, 0), count, "{command} ({reply:?})");
        assert_eq!(walked(&server, 0, Holder::Hash), count, "{command} ({reply:?})");
    }
    // The sweeper takes fields, and with the last of them the key.
    client.check("HSETEX h PX 10 FIELDS 1 a 1", ":1~");
    client.check("HSETEX i PX 10 FIELDS 1 a 1", ":1~");
    client.check("HSET i lasting 1", ":1~");
    assert_eq!(told(&mut client, 0), 2);
    server.advance_ms(20);
    assert_eq!((told(&mut client, 0), walked(&server, 0, Holder::Hash)), (0, 0));
    client.check("KEYS *", "*1~$1~i~");
}

/// A payload with ends of fields, restored over other keys, and what a transaction or script that fails puts
/// back.
#[test]
fn restored_and_undone_ends_are_counted() {
    let server = TestServer::with(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.check("HSETEX h EX 100 FIELDS 1 a 1", ":1~");
    let Value::Bulk(payload) = client.value("DUMP h") else { panic!("a payload") };
    for _ in 0..2 {
        client.call(&[b"RESTORE".as_slice(), b"copy", b"0", &payload, b"REPLACE"]);
        assert_eq!((told(&mut client, 0), walked(&server, 0, Holder::Hash)), (2, 2));
    }
    let script = "#!lua flags=atomic\nredis.call('hpersist','h','FIELDS',1,'a') redis.call('hsetex','new','EX',9,'FIELDS',1,'a',1) \
                  redis.call('del','copy') redis.call('nonsense')";
    let reply = client.call(&["EVAL", script, "3", "h", "new", "copy"]).text();
    assert!(reply.contains("Unknown"), "{reply}");
    assert_eq!((told(&mut client, 0), walked(&server, 0, Holder::Hash)), (2, 2));
    client.check("MULTI ATOMIC", "+OK~");
    client.check("FLUSHALL", "+QUEUED~");
    client.check("HSETEX new EX 9 FIELDS 1 a 1", "+QUEUED~");
    client.check("LPUSH new element", "+QUEUED~");
    assert!(client.value("EXEC").text().contains("rolled back"));
    assert_eq!((told(&mut client, 0), walked(&server, 0, Holder::Hash)), (2, 2));
}

#[test]
fn the_count_of_hashes_is_that_of_a_walk() {
    counts_are_those_of_walks(Holder::Hash, COMMANDS);
}

/// Random commands of these and of whole keys: the count is that of a walk, and no element outlives its time.
pub fn counts_are_those_of_walks(holder: Holder, commands: &[&str]) {
    random_commands::after_each(commands, 400, |server, clients, sent| {
        for (database, client) in clients.iter_mut().enumerate() {
            assert_eq!(told(client, database), walked(server, database, holder), "{sent}");
        }
    });
}

const COMMANDS: &[&str] = &[
    "HSET K F 1",
    "HSET K F 1 F 2",
    "HSETNX K F 1",
    "HDEL K F",
    "HDEL K F F",
    "HGETDEL K FIELDS 1 F",
    "HINCRBY K F 1",
    "HINCRBYFLOAT K F 1",
    "HPEXPIRE K T FIELDS 1 F",
    "HPEXPIRE K T FIELDS 2 F F",
    "HPEXPIRE K T GT FIELDS 1 F",
    "HPEXPIREAT K 1 FIELDS 1 F",
    "HPERSIST K FIELDS 1 F",
    "HGETEX K PX T FIELDS 1 F",
    "HGETEX K PERSIST FIELDS 1 F",
    "HSETEX K PX T FIELDS 1 F 1",
    "HSETEX K FXX KEEPTTL FIELDS 1 F 1",
    "HSETEX K PXAT 1 FIELDS 1 F 1",
];
