//! Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use crate::command::{Category, Flags, Group, args};
use crate::engine::command::{Alone, Command};
use crate::engine::context::{Context, Origin};
use crate::error::{CommandError, CommandResult};

const DANGEROUS: &[Category] = &[Category::Keyspace, Category::Dangerous];

/// They change all keys at one instant for everybody else.
const ALONE: Option<Alone> = Some(|_, _, _| true);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY
            .and(Flags::FAST)
            .and(Flags::WHOLE_KEYSPACE)
            .and(Flags::LOCKS_NO_SLOT)
            .and(Flags::BEGINS_ANEW),
        categories: &[Category::Keyspace],
        group: Group::Server,
        summary: "Counts the keys of the database.",
        since: "1.0.0",
        reply: "the number of keys",
        run: dbsize,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        ..Command::DEFAULT
    },
    Command {
        name: "flushdb",
        arity: -1,
        flags: Flags::WRITE.and(Flags::WHOLE_KEYSPACE),
        categories: DANGEROUS,
        group: Group::Server,
        summary: "Deletes all keys of the database.",
        syntax: "[ASYNC | SYNC]",
        since: "1.0.0",
        complexity: "O(1); the memory is freed in the background",
        reply: "OK",
        alone: ALONE,
        run: flushdb,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..Command::DEFAULT
    },
    Command {
        name: "flushall",
        arity: -1,
        flags: Flags::WRITE.and(Flags::WHOLE_KEYSPACE).and(Flags::ALL_DATABASES),
        categories: DANGEROUS,
        group: Group::Server,
        summary: "Deletes all keys of all databases.",
        syntax: "[ASYNC | SYNC]",
        since: "1.0.0",
        complexity: "O(1); the memory is freed in the background",
        reply: "OK",
        alone: ALONE,
        run: flushall,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..Command::DEFAULT
    },
    Command {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.and(Flags::FAST).and(Flags::WHOLE_KEYSPACE),
        databases: Some(|arguments, found| {
            found.extend(args::database_at(arguments, 1));
            found.extend(args::database_at(arguments, 2));
        }),
        categories: DANGEROUS,
        group: Group::Server,
        summary: "Exchanges two databases.",
        syntax: "index1 index2",
        since: "4.0.0",
        reply: "OK",
        alone: ALONE,
        run: swapdb,
        ..Command::DEFAULT
    },
];

fn dbsize(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let count = cx.keys.with_database(cx.keys.database, |database| database.len());
    cx.reply.count(count.unwrap_or(0));
    Ok(())
}

fn check_flush_option(arguments: &[&[u8]]) -> CommandResult {
    match arguments {
        [_] => Ok(()),
        [_, word] if args::is(word, "ASYNC") || args::is(word, "SYNC") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

fn flushdb(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_flush_option(arguments)?;
    cx.dirty += cx.keys.flush(Some(cx.keys.database)) as u64;
    cx.server.forget_hot_keys();
    cx.reply.ok();
    Ok(())
}

fn flushall(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_flush_option(arguments)?;
    let flushed = cx.keys.flush(None) as u64;
    cx.server.forget_hot_keys();
    let saving = cx.server.saving().filter(|_| !cx.client.is_loader || cx.client.is_primary);
    // A transaction or script has the keyspace for itself, so that no snapshot can begin before its end; nor
    // can one while a primary's stream is applied.
    let waits = saving.is_some()
        && cx.origin == Origin::Client
        && !cx.client.is_primary
        && !cx.server.config.save_points().is_empty();
    if waits {
        // It waits for a snapshot, which waits until nobody is alone in the keyspace.
        cx.keys.let_others_in();
        cx.keys.announce(usize::MAX);
    }
    let is_saved = saving.is_some_and(|saving| saving.flushed(waits));
    if !is_saved {
        cx.dirty += flushed;
    }
    cx.reply.ok();
    Ok(())
}

fn swapdb(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if cx.server.keeps_to_slots() {
        return Err(CommandError::text("ERR SWAPDB is not allowed in cluster mode"));
    }
    let number =
        |argument: &[u8], text: &'static str| args::int(argument).map_err(|_| CommandError::text(text));
    let first = number(arguments[1], "ERR invalid first DB index")?;
    let second = number(arguments[2], "ERR invalid second DB index")?;
    let count = cx.keys.keyspace.database_count();
    let index = |number: i64| {
        usize::try_from(number).ok().filter(|n| *n < count).ok_or(CommandError::DatabaseOutOfRange)
    };
    let (first, second) = (index(first)?, index(second)?);
    cx.keys.swap_databases(first, second);
    cx.dirty += 1;
    cx.reply.ok();
    Ok(())
}
