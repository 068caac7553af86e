//! All data at one position of the journal, as the base of an append-only file.

use std::io::{self, Write};

use crate::engine::Server;
use crate::journal::Entries;
use crate::keyspace::database::Database;
use crate::keyspace::key_hash::SLOT_COUNT;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::table;
use crate::rdb;

/// Makes snapshots.
pub trait Snapshot: Send + Sync {
    /// Whether what is written is an RDB file; else it is requests.
    fn is_rdb(&self) -> bool;

    /// Writes all data as it is at one position. `at_begin` is called with that position while nobody else is
    /// in the keyspace: what is changed from there on stands in the journal behind it.
    ///
    /// # Errors
    /// What writing says.
    fn write(&self, server: &Server, at_begin: &mut dyn FnMut(u64), out: &mut dyn Write) -> io::Result<()>;
}

/// Writes all data as requests, alone in the keyspace for the whole time: every client waits for it. It stands
/// here until a snapshot that lets others go on takes its place.
#[derive(Debug)]
pub struct StoppedWorld;

impl Snapshot for StoppedWorld {
    fn is_rdb(&self) -> bool {
        false
    }

    fn write(&self, server: &Server, at_begin: &mut dyn FnMut(u64), out: &mut dyn Write) -> io::Result<()> {
        let alone = server.keyspace.gate.exclusive(|| {});
        at_begin(server.journal().begin_part());
        let mut entries = Entries::default();
        for library in server.scripting.libraries.all() {
            entries.push(0, &[b"FUNCTION", b"LOAD", b"REPLACE", &library.source]);
        }
        out.write_all(entries.bytes())?;
        entries.clear();
        let mut number = itoa::Buffer::new();
        for (index, physical) in alone.mapping().iter().enumerate() {
            let Some(database) = server.keyspace.physical_if_used(*physical) else { continue };
            if database.is_empty() {
                continue;
            }
            entries.push(0, &[b"SELECT", number.format(index).as_bytes()]);
            write_database(database, &mut entries, out)?;
            out.write_all(entries.bytes())?;
            entries.clear();
        }
        Ok(())
    }
}

fn write_database(database: &Database, entries: &mut Entries, out: &mut dyn Write) -> io::Result<()> {
    for slot in (0..SLOT_COUNT).filter(|slot| database.slot_len(*slot) > 0) {
        let table = database.read_slot(slot);
        for record in table::iter(&table) {
            write_record(record, entries);
            if entries.bytes().len() > 64 << 10 {
                out.write_all(entries.bytes())?;
                entries.clear();
            }
        }
    }
    Ok(())
}

/// Writes a key: SET where it is a string, else RESTORE.
fn write_record(record: &Record, entries: &mut Entries) {
    let (mut number, mut end) = (itoa::Buffer::new(), itoa::Buffer::new());
    let end_ms = record.expire_at_ms().map(|end_ms| end.format(end_ms).as_bytes());
    let text = match record.value() {
        ValueRef::Bytes(bytes) => Some(bytes),
        ValueRef::Int(value) => Some(number.format(value).as_bytes()),
        ValueRef::Object(_) => None,
    };
    match (text, end_ms) {
        (Some(text), None) => entries.push(0, &[b"SET", record.key(), text]),
        (Some(text), Some(end_ms)) => entries.push(0, &[b"SET", record.key(), text, b"PXAT", end_ms]),
        (None, end_ms) => {
            let payload = rdb::dump(record);
            let end_ms = end_ms.unwrap_or(b"0");
            entries.push(0, &[b"RESTORE", record.key(), end_ms, &payload, b"ABSTTL"]);
        }
    }
}
