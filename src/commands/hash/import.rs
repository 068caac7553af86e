//! Hashes in bulk: HIMPORT names fields once for a connection, and makes hashes of values alone.

use std::iter::zip;

use crate::command::{Category, Family, Flags, Group, KeySpec};
use crate::commands::generic::bless::keep_blessing;
use crate::commands::shared::{collection, help};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::field_sets::Fields;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::reaper::FreeReason;
use crate::types::hash::Hash;

const HASH: &[Category] = &[Category::Hash];
const EVERYWHERE: &[&str] = &["request_policy:all_shards"];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "himport",
    arity: -2,
    group: Group::Hash,
    summary: "Makes hashes with the same fields of their values alone.",
    since: "8.10.0",
    family: Family::Redis("8.10"),
    complexity: "depends on the subcommand",
    subcommands: HIMPORT,
    ..Command::DEFAULT
}];

const HIMPORT: &[Command] = &[
    Command {
        name: "prepare",
        arity: -4,
        flags: Flags::DENYOOM,
        categories: HASH,
        group: Group::Hash,
        summary: "Names a list of fields, for this connection alone.",
        syntax: "fieldset-name field [field ...]",
        since: "8.10.0",
        complexity: "O(N) where N is the number of fields",
        reply: "OK",
        run: prepare,
        tips: EVERYWHERE,
        ..Command::DEFAULT
    },
    Command {
        name: "set",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(2, KeySpec::OW | KeySpec::UPDATE)],
        categories: HASH,
        group: Group::Hash,
        summary: "Makes a hash of named fields and these values, in place of whatever the key held.",
        syntax: "key fieldset-name value [value ...]",
        since: "8.10.0",
        complexity: "O(N) where N is the number of fields",
        reply: "OK",
        run: set,
        ..Command::DEFAULT
    },
    Command {
        name: "discard",
        arity: 3,
        categories: HASH,
        group: Group::Hash,
        summary: "Forgets a named list of fields.",
        syntax: "fieldset-name",
        since: "8.10.0",
        reply: "1 if it was there, else 0",
        run: discard,
        tips: EVERYWHERE,
        ..Command::DEFAULT
    },
    Command {
        name: "discardall",
        arity: 2,
        categories: HASH,
        group: Group::Hash,
        summary: "Forgets all named lists of fields of this connection.",
        since: "8.10.0",
        complexity: "O(N) where N is the number of lists",
        reply: "how many there were",
        run: discard_all,
        tips: EVERYWHERE,
        ..Command::DEFAULT
    },
    help::entry("8.10.0", Group::Hash, HASH),
];

fn prepare(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    // What repeats a file was let in before.
    let bytes_max = if cx.client.is_loader { usize::MAX } else { cx.server.settings.query_max() };
    cx.client.change_field_sets(|sets| sets.prepare(arguments[2], &arguments[3..], bytes_max))?;
    cx.reply.ok();
    Ok(())
}

fn discard(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let was_there = cx.client.change_field_sets(|sets| sets.discard(arguments[2]));
    cx.reply.int(i64::from(was_there));
    Ok(())
}

fn discard_all(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let old = cx.client.swap_field_sets(None);
    cx.reply.count(old.map_or(0, |sets| sets.len()));
    Ok(())
}

fn set(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (key, values) = (cx.key(arguments, 2), &arguments[4..]);
    let Some(fields) = cx.client.field_sets.as_ref().and_then(|sets| sets.get(arguments[3])) else {
        return Err(CommandError::text("ERR no such fieldset"));
    };
    if fields.len() != values.len() {
        return Err(CommandError::text("ERR value count does not match fieldset field count"));
    }
    let (limits, now_ms) = (cx.server.settings.collections.hash(), cx.keys.ended_ms);
    let mut hash = Hash::new();
    hash.expect(fields.len(), &limits);
    for (field, value) in zip(&*fields, values) {
        hash.set(field, value, now_ms, &limits);
    }
    cx.keys.remove_if_ended(&key);
    let existed = cx.keys.peek(&key).is_some();
    collection::put(cx, &key, hash);
    collection::changed_fields(cx, &key, "hset", fields.iter().map(|field| &**field));
    enter(cx, &key, existed, &fields, values);
    cx.reply.ok();
    Ok(())
}

/// Enters the hash as requests that need no field set, which neither files nor replicas have.
fn enter(cx: &Context<'_>, key: &HashedKey<'_>, existed: bool, fields: &Fields, values: &[&[u8]]) {
    if !cx.is_journaled() {
        return;
    }
    if existed {
        cx.enter_removed(key, FreeReason::Overwritten);
    }
    let pairs = zip(&**fields, values).flat_map(|(field, &value)| [&**field, value]);
    let words: Vec<&[u8]> = [&b"HSET"[..], key.bytes].into_iter().chain(pairs).collect();
    cx.enter(&words);
    keep_blessing(cx, key);
}
