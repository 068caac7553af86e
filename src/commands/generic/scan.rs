//! Walks over the names of all keys: SCAN, KEYS, RANDOMKEY.

use crate::command::{Category, Flags, Subject};
use crate::commands::shared::scan_options::ScanOptions;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::glob;
use crate::keyspace::access::NoRoom;
use crate::keyspace::database::Database;
use crate::keyspace::key_hash::{SLOT_COUNT, key_slot};
use crate::keyspace::record::is_expired;
use crate::keyspace::table::SlotTable;
use crate::keyspace::{scan, table};
use crate::primitives::number::parse_u64;
use crate::resp::encode::Reply;

const KEYSPACE: &[Category] = &[Category::Keyspace];

/// Flags of walks over all keys.
pub const WALKS: Flags = Flags::READONLY.and(Flags::WHOLE_KEYSPACE).and(Flags::BEGINS_ANEW);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "randomkey",
        arity: 1,
        flags: WALKS,
        categories: KEYSPACE,
        summary: "Returns the name of a key chosen at random.",
        since: "1.0.0",
        reply: "a key, or null when there is none",
        run: randomkey,
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "keys",
        arity: 2,
        flags: WALKS,
        categories: &[Category::Keyspace, Category::Dangerous],
        summary: "Returns the names of all keys that match a pattern. Others go on meanwhile: a key that is made, renamed or deleted \
                  during the walk may be missing, all others are there. In MULTI and scripts it shows one instant.",
        syntax: "pattern",
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys",
        reply: "an array of keys",
        subject: Subject::Pattern(1),
        run: keys,
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        ..Command::DEFAULT
    },
    Command {
        name: "scan",
        arity: -2,
        flags: WALKS,
        categories: KEYSPACE,
        summary: "Walks over the names of all keys, some at each call.",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for a whole walk",
        reply: "the next cursor and an array of keys",
        run: scan_keys,
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        ..Command::DEFAULT
    },
];

fn randomkey(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let (ended_ms, keeps_keys) = (cx.keys.ended_ms, cx.server.keeps_keys(cx.keys.now_ms));
    let mut ended = std::collections::BTreeSet::new();
    let number = cx.keys.database;
    let key = cx.keys.with_database(number, |database| {
        let lock = |slot| cx.keys.read_slot(number, database, slot);
        scan::random_key(database, lock, ended_ms, keeps_keys, &mut fastrand::Rng::new(), &mut |name| {
            ended.insert(name.to_vec());
        })
    });
    // As any read, it has what it finds ended removed.
    ended.iter().for_each(|name| cx.keys.note_stale(cx.keys.database, name));
    cx.reply.bulk_or_null(key.flatten().as_deref());
    Ok(())
}

fn keys(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let pattern = arguments[1];
    let now_ms = cx.keys.ended_ms;
    let slots = slots_of_pattern(cx, pattern);
    if slots.len() == SLOT_COUNT && cx.keys.is_room_scarce() {
        let keys = cx.keys.glance(cx.keys.database, Database::len).unwrap_or(0);
        cx.keys.may_take_units(keys.saturating_mul(KEY_WORK))?;
    }
    let begun = cx.reply.begin_array();
    let find = |table: &SlotTable, reply: &mut Reply<'_>, count: &mut usize| {
        table::for_each(table, |record| {
            if !is_expired(record, now_ms) && (pattern == b"*" || glob::matches(pattern, record.key(), false))
            {
                reply.bulk(record.key());
                *count += 1;
            }
        });
    };
    // What is found on another thread is put behind the rest.
    let (mut count, mut count_there, mut names_there) = (0, 0, Vec::new());
    let (reply, version) = (&mut cx.reply, cx.client.version);
    cx.keys.walk_on_two(
        cx.keys.database,
        slots,
        |table| find(table, reply, &mut count),
        |table| find(table, &mut Reply::new(&mut names_there, version), &mut count_there),
    );
    cx.reply.raw(&names_there);
    cx.reply.end_array(begun, count + count_there);
    Ok(())
}

/// The slots that may have matching keys: in cluster mode a pattern with a literal hash tag matches keys of
/// one slot only.
pub fn slots_of_pattern(cx: &Context<'_>, pattern: &[u8]) -> std::ops::Range<usize> {
    let all = 0..SLOT_COUNT;
    if !cx.server.cluster.is_enabled() {
        return all;
    }
    let is_special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let Some(open) = memchr::memchr(b'{', pattern) else {
        let literal = !pattern.iter().any(is_special);
        return if literal { key_slot(pattern)..key_slot(pattern) + 1 } else { all };
    };
    let Some(close) = memchr::memchr(b'}', &pattern[open..]).map(|at| open + at) else { return all };
    if close == open + 1 || pattern[..close].iter().any(is_special) {
        return all;
    }
    let slot = key_slot(&pattern[..=close]);
    slot..slot + 1
}

/// A step of so many keys may take long.
const LONG_STEP: usize = 10_000;
/// Work of visiting a key and writing its name.
const KEY_WORK: usize = 5;

fn scan_keys(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let cursor = parse_u64(arguments[1]).ok_or(CommandError::InvalidCursor)?;
    let options = ScanOptions::parse(&arguments[2..], true)?;
    let slots = options.pattern.map_or(0..SLOT_COUNT, |pattern| slots_of_pattern(cx, pattern));
    let (next, found) = page_of_keys(cx, cursor, &options, slots)?;
    cx.reply.array(2);
    cx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    cx.reply.array(found.len());
    for key in found {
        cx.reply.bulk(&key);
    }
    Ok(())
}

/// A step of a walk over the keys of `slots`: the next cursor, 0 at the end, and the names that the options
/// select.
///
/// # Errors
/// There is no room for so long a step.
pub fn page_of_keys(
    cx: &mut Context<'_>,
    cursor: u64,
    options: &ScanOptions<'_>,
    slots: std::ops::Range<usize>,
) -> Result<(u64, Vec<Vec<u8>>), NoRoom> {
    let now_ms = cx.keys.ended_ms;
    let number = cx.keys.database;
    let (mut found, mut stale) = (Vec::new(), Vec::new());
    if options.count >= LONG_STEP {
        let keys = cx.keys.with_database(number, Database::len).unwrap_or(0);
        cx.keys.expect(options.count.min(keys).saturating_mul(KEY_WORK))?;
    }
    let next = cx.keys.with_database(number, |database| {
        let lock = |slot| cx.keys.read_slot(number, database, slot);
        scan::scan(database, lock, cursor, options.count, slots, |record| {
            let is_type = |name: &[u8]| record.type_name().as_bytes().eq_ignore_ascii_case(name);
            if !options.type_name.is_none_or(is_type) || !options.matches(record.key()) {
                return;
            }
            if is_expired(record, now_ms) {
                stale.push(record.key().to_vec());
            } else {
                found.push(record.key().to_vec());
            }
        })
    });
    stale.iter().for_each(|key| cx.keys.note_stale(number, key));
    Ok((next.unwrap_or(0), found))
}
