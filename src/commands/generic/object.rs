//! OBJECT: how values are kept.

use crate::command::{Category, Flags, Group, KeySpec};
use crate::commands::shared::help;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access_clock::{AccessClock, lfu_counter};

const KEYSPACE: &[Category] = &[Category::Keyspace];
const KEY: &[KeySpec] = &[KeySpec::one(2, KeySpec::RO)];

const fn of_object(name: &'static str) -> Command {
    Command {
        name,
        arity: 3,
        flags: Flags::READONLY.and(Flags::NO_ACCESS),
        keys: KEY,
        categories: KEYSPACE,
        group: Group::Generic,
        syntax: "key",
        since: "2.2.3",
        ..Command::DEFAULT
    }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "object",
    arity: -2,
    group: Group::Generic,
    summary: "Tells how a key's value is kept.",
    since: "2.2.3",
    subcommands: &[
        Command {
            summary: "Names the encoding of the value.",
            reply: "the name or null",
            run: encoding,
            tips: &["nondeterministic_output"],
            ..of_object("encoding")
        },
        Command {
            summary: "Returns how often the key is used, on a logarithmic scale.",
            since: "4.0.0",
            reply: "a number or null",
            run: freq,
            tips: &["nondeterministic_output"],
            ..of_object("freq")
        },
        Command {
            summary: "Returns for how many seconds the key was not used.",
            reply: "a number or null",
            run: idletime,
            tips: &["nondeterministic_output"],
            ..of_object("idletime")
        },
        Command {
            summary: "Returns how many times the value is referred to: always once.",
            reply: "1 or null",
            run: refcount,
            tips: &["nondeterministic_output"],
            ..of_object("refcount")
        },
        help::entry("6.2.0", Group::Generic, KEYSPACE),
    ],
    ..Command::DEFAULT
}];

fn encoding(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let name = cx.keys.peek(&key).map(|record| record.encoding());
    cx.reply.bulk_or_null(name.map(str::as_bytes));
    Ok(())
}

fn freq(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let Some(access) = cx.keys.peek(&key).map(|record| record.access()) else {
        cx.reply.null();
        return Ok(());
    };
    let AccessClock::Lfu { minutes, decay_minutes, .. } = cx.keys.clock() else {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    };
    cx.reply.int(i64::from(lfu_counter(access, minutes, decay_minutes)));
    Ok(())
}

fn idletime(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let Some(access) = cx.keys.peek(&key).map(|record| record.access()) else {
        cx.reply.null();
        return Ok(());
    };
    let (AccessClock::Lru(now) | AccessClock::Lrm(now)) = cx.keys.clock() else {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    };
    cx.reply.int(i64::from(now.wrapping_sub(access) & 0xff_ffff));
    Ok(())
}

fn refcount(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    match cx.keys.peek(&key) {
        Some(_) => cx.reply.int(1),
        None => cx.reply.null(),
    }
    Ok(())
}
