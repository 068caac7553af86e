//! DEBUG HTSTATS and its kin: figures of tables and packed values; DEBUG POPULATE, which makes keys.

use std::fmt::Write;

use crate::command::args;
use crate::command::keys::LockPlan;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::SlotLock;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;
use crate::primitives::number::parse_i64;
use crate::primitives::occupancy::Occupancy;

/// Most keys of one DEBUG POPULATE: no other client is served meanwhile.
const POPULATE_MAX: i64 = 100_000_000;

fn is_full(arguments: &[&[u8]]) -> bool {
    arguments.get(3).is_some_and(|word| args::is(word, "FULL"))
}

/// DEBUG HTSTATS
///
/// # Errors
/// No such database.
pub fn htstats(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let number = parse_i64(arguments[2]).ok_or(CommandError::NotAnInteger)?;
    let number = usize::try_from(number)
        .ok()
        .filter(|number| *number < cx.keys.keyspace.database_count())
        .ok_or(CommandError::text("ERR Out of range database"))?;
    let full = is_full(arguments);
    let mut text = String::from("[Dictionary HT]\n");
    let found = cx.keys.with_database(number, |database| {
        let lock = |slot| cx.keys.read_slot(number, database, slot);
        let (occupancy, slots) = database.occupancy(lock);
        (occupancy, slots, database.volatile_len(), database.expiry.entry_count())
    });
    if let Some((occupancy, slots, ..)) = &found
        && *slots > 0
    {
        describe(&mut text, occupancy, full);
        if full {
            let _ = writeln!(text, " slots with a table: {slots}");
        }
    }
    text.push_str("[Expires HT]\n");
    if let Some((_, _, volatile, heap_entries)) = found
        && heap_entries > 0
    {
        let _ = writeln!(text, "Heaps of the slots:\n number of entries: {volatile}");
        let _ = writeln!(text, " number of entries with those that are out of date: {heap_entries}");
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// DEBUG HTSTATS-KEY
///
/// # Errors
/// No such key, or a value without a table.
pub fn htstats_key(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let record = cx.keys.peek(&key).ok_or(CommandError::NoSuchKey)?;
    let occupancy = match record.value() {
        ValueRef::Object(object) => object.occupancy(),
        _ => None,
    };
    let occupancy = occupancy.ok_or(CommandError::text(
        "ERR The value stored at the specified key is not represented using an hash table",
    ))?;
    let mut text = String::new();
    describe(&mut text, &occupancy, is_full(arguments));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn describe(text: &mut String, occupancy: &Occupancy, full: bool) {
    let Occupancy { capacity, entries, displaced, buckets_by_entries } = occupancy;
    let _ = writeln!(text, "Hash table 0 stats (main hash table):");
    // These tables are never between two sizes, so nothing is rehashing.
    let _ = writeln!(text, " table size: {capacity}\n number of entries: {entries}\n rehashing index: -1");
    if !full {
        return;
    }
    let buckets = occupancy.buckets();
    let _ = writeln!(text, " buckets: {buckets}\n entries away from their bucket: {displaced}");
    let _ = writeln!(text, " most entries in a bucket: {}", buckets_by_entries.len().saturating_sub(1));
    let _ = writeln!(text, " buckets by number of entries:");
    for (entries, count) in buckets_by_entries.iter().enumerate().filter(|(_, count)| **count > 0) {
        let percent = *count as f64 * 100.0 / buckets as f64;
        let _ = writeln!(text, "   {entries}: {count} ({percent:.2}%)");
    }
}

/// DEBUG LISTPACK
///
/// # Errors
/// No such key, or a value that is not packed.
pub fn listpack(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let record = cx.keys.peek(&key).ok_or(CommandError::NoSuchKey)?;
    if record.encoding() != "listpack" {
        return Err(CommandError::text("ERR Not a listpack encoded object."));
    }
    let mut count = 0;
    let mut element = |bytes: &[u8]| {
        tracing::info!("listpack: element {count} of {} bytes", bytes.len());
        count += 1;
    };
    match record.value() {
        ValueRef::Object(Object::List(list)) => list.iter().for_each(|one| element(&one.joined())),
        ValueRef::Object(Object::Set(set)) => set.at(cx.keys.ended_ms).iter().for_each(|one| element(&one)),
        ValueRef::Object(Object::Zset(zset)) => zset.iter().for_each(|(one, _)| element(&one)),
        ValueRef::Object(Object::Hash(hash)) => hash.iter(cx.keys.ended_ms).for_each(|(field, value)| {
            element(&field);
            element(&value);
        }),
        _ => {}
    }
    tracing::info!("listpack: {count} elements in a record of {} bytes", record.memory_bytes());
    cx.reply.simple("Listpack structure printed on stdout");
    Ok(())
}

/// DEBUG POPULATE
///
/// # Errors
/// Not numbers, or out of range.
pub fn populate(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (prefix, size) = match &arguments[3..] {
        [] => (&b"key"[..], None),
        [prefix] => (*prefix, None),
        [prefix, size] => (*prefix, Some(number_up_to(size, cx.server.settings.bulk_max())?)),
        _ => return Err(crate::commands::shared::help::wrong_subcommand(cx, arguments)),
    };
    for number in 0..number_up_to(arguments[2], POPULATE_MAX)? {
        let name = [prefix, format!(":{number}").as_bytes()].concat();
        let key = cx.keys.keyspace.hasher().key(&name);
        let database = cx.keys.database as u16;
        cx.keys.relock(&LockPlan::from_iter([SlotLock { database, slot: key.slot() as u16, write: true }]));
        if cx.keys.peek(&key).is_some() {
            continue;
        }
        let mut value = format!("value:{number}").into_bytes();
        if let Some(size) = size {
            value.resize(size as usize, 0);
        }
        cx.keys.put(&key, Record::new_string(&name, &value, None, false));
        cx.touched(&key);
    }
    cx.reply.ok();
    Ok(())
}

/// Reads a number from 0 to `max`.
fn number_up_to(word: &[u8], max: i64) -> Result<i64, CommandError> {
    parse_i64(word).filter(|number| (0..=max).contains(number)).ok_or(CommandError::MustBePositive)
}
