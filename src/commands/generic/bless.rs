//! BLESS: keys that are never evicted, whatever `maxmemory-policy` says.
//!
//! The blessing is the key's: it stays when another value takes its place, goes along with RENAME, MOVE and COPY,
//! and ends with the key.

use std::cell::RefCell;

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::shared::help;
use crate::effects::told::{Note, Standing};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::database::{Database, ReadSlot};
use crate::keyspace::key_hash::{HashedKey, hash_of_parts};
use crate::keyspace::record::{Record, is_expired};
use crate::keyspace::table;
use crate::primitives::number::parse_u64;

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "bless",
    arity: -2,
    group: Group::Generic,
    summary: "Keeps keys from being evicted.",
    since: "8.12.0",
    family: Family::Redis("8.12"),
    complexity: "depends on the subcommand",
    subcommands: BLESS,
    ..Command::DEFAULT
}];

const CHANGED: &[KeySpec] = &[KeySpec::one(2, KeySpec::RW | KeySpec::UPDATE)];

const BLESS: &[Command] = &[
    Command {
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        summary: "Lets a key never be evicted.",
        reply: "1 if the key was not blessed before, else 0",
        run: set,
        ..changing("set")
    },
    Command {
        flags: Flags::WRITE.and(Flags::FAST),
        summary: "Lets a key be evicted again.",
        reply: "1 if the key was blessed, else 0",
        run: clear,
        ..changing("clear")
    },
    Command {
        name: "get",
        arity: 3,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::one(2, KeySpec::RO)],
        categories: &[Category::Keyspace],
        summary: "Tells what a key is kept from.",
        syntax: "key",
        reply: "an array, with NO-EVICT for a key that is blessed",
        run: get,
        ..of_blessed()
    },
    Command {
        name: "scan",
        arity: -4,
        flags: Flags::READONLY.and(Flags::WHOLE_KEYSPACE).and(Flags::BEGINS_ANEW),
        categories: &[Category::Keyspace],
        summary: "Walks over the blessed keys of the selected database, some at each call.",
        syntax: "cursor NO-EVICT [COUNT count]",
        complexity: "O(1) for every call, O(N) for a whole walk over N blessed keys",
        reply: "the next cursor and an array of keys",
        run: scan,
        tips: &["nondeterministic_output"],
        ..of_blessed()
    },
    help::entry("8.12.0", Group::Generic, &[Category::Keyspace]),
];

const fn changing(name: &'static str) -> Command {
    Command {
        name,
        arity: 4,
        keys: CHANGED,
        categories: &[Category::Dangerous],
        syntax: "key NO-EVICT",
        ..of_blessed()
    }
}

const fn of_blessed() -> Command {
    Command {
        group: Group::Generic,
        since: "8.12.0",
        family: Family::Redis("8.12"),
        complexity: "O(1)",
        ..Command::DEFAULT
    }
}

/// Keys of a step where COUNT says nothing.
const COUNT: usize = 1024;

fn check_flag(word: &[u8]) -> CommandResult {
    if args::is(word, "NO-EVICT") { Ok(()) } else { Err(CommandError::Syntax) }
}

fn set(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    change(cx, arguments, true, "bless")
}

fn clear(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    change(cx, arguments, false, "unbless")
}

fn change(cx: &mut Context<'_>, arguments: &[&[u8]], blessed: bool, event: &'static str) -> CommandResult {
    check_flag(arguments[3])?;
    let key = cx.key(arguments, 2);
    let changed = cx.keys.bless(&key, blessed).ok_or(CommandError::NoSuchKey)?;
    if changed {
        enter_blessing(cx, &key);
        cx.changed(&key, EventClass::GENERIC, event);
    }
    cx.reply.int(i64::from(changed));
    Ok(())
}

/// Enters whether a key is blessed, as it is at the end of the command, transaction or script.
fn enter_blessing(cx: &Context<'_>, key: &HashedKey<'_>) {
    cx.enter_note(key, &[b"BLESS", key.bytes], present_blessing);
}

/// [`enter_blessing`] of a key that is blessed, by a command that enters its value as that of a new key.
pub fn keep_blessing(cx: &Context<'_>, key: &HashedKey<'_>) {
    if cx.is_journaled() && cx.keys.peek(key).is_some_and(Record::is_blessed) {
        enter_blessing(cx, key);
    }
}

fn present_blessing(note: &Note, record: &Record, _now_ms: u64) -> Standing {
    let [_, key] = &note.words[..] else { return Standing::Gone };
    let word: &[u8] = if record.is_blessed() { b"SET" } else { b"CLEAR" };
    let words: [&[u8]; 4] = [b"BLESS", word, key, b"NO-EVICT"];
    Standing::As(vec![words.map(Into::into).to_vec()])
}

fn get(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let is_blessed = cx.keys.peek(&key).ok_or(CommandError::NoSuchKey)?.is_blessed();
    cx.reply.array(usize::from(is_blessed));
    if is_blessed {
        cx.reply.bulk(b"NO-EVICT");
    }
    Ok(())
}

fn scan(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let cursor = parse_u64(arguments[2]).ok_or(CommandError::InvalidCursor)?;
    check_flag(arguments[3])?;
    let count = match &arguments[4..] {
        [] => COUNT,
        [word, count] if args::is(word, "COUNT") => {
            let count = usize::try_from(args::int(count)?).ok();
            count.filter(|count| *count > 0).ok_or(CommandError::Syntax)?
        }
        _ => return Err(CommandError::Syntax),
    };
    let (ended_ms, number) = (cx.keys.ended_ms, cx.keys.database);
    let (keys, next) = cx
        .keys
        .with_database(number, |database| {
            let (places, next) = database.blessed.page(cursor, count);
            let lock = |slot| cx.keys.read_slot(number, database, slot);
            let found = |place| blessed_at(database, lock((place >> 32) as usize), place, ended_ms);
            let keys: Vec<_> = places.into_iter().flat_map(found).collect();
            (keys, next)
        })
        .unwrap_or_default();
    cx.reply.array(2);
    cx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    cx.reply.array(keys.len());
    keys.iter().for_each(|key| cx.reply.bulk(key));
    Ok(())
}

/// The live blessed keys at a place of the index, given the table of its slot: nearly always one.
fn blessed_at(database: &Database, table: Option<ReadSlot<'_>>, place: u64, ended_ms: u64) -> Vec<Vec<u8>> {
    let Some(table) = table else { return Vec::new() };
    let (slot, fingerprint) = ((place >> 32) as usize, place as u32);
    let hash = hash_of_parts(slot, fingerprint);
    let found = RefCell::new(Vec::new());
    // Nothing is wanted of the table but to show all that may have this hash.
    let look = |record: &Record| {
        let is_it = record.is_blessed() && database.hasher().hash(record.key()) == hash;
        if is_it && !is_expired(record, ended_ms) {
            found.borrow_mut().push(record.key().to_vec());
        }
        false
    };
    table::find_where(&table, hash, look);
    found.into_inner()
}
