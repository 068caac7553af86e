//! COMMANDLOG, and SLOWLOG as the older name of its first log.

use crate::command::{Family, Flags, Group, args};
use crate::commands::shared::help;
use crate::config::Directive;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::primitives::number::parse_i64;
use crate::shared::commandlog::LogKind;

const OPERATOR: Flags = Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE);

/// Entries that SLOWLOG GET returns by default (Redis's figure).
const LATEST: usize = 10;

const fn of_log(name: &'static str, arity: i32, since: &'static str) -> Command {
    Command { name, arity, flags: OPERATOR, group: Group::Server, since, ..Command::DEFAULT }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "commandlog",
        arity: -2,
        group: Group::Server,
        summary: "Tells which commands took long, or had large requests or replies.",
        since: "8.1.0",
        family: Family::Valkey("8.1"),
        subcommands: &[
            Command {
                summary: "Returns the latest entries of a log; -1 for all.",
                syntax: "count (SLOW | LARGE-REQUEST | LARGE-REPLY)",
                complexity: "O(N) where N is the number of entries",
                reply: "an array of entries",
                run: get,
                tips: &["request_policy:all_nodes", "nondeterministic_output"],
                flags: OPERATOR.and(Flags::SHOWS),
                ..of_log("get", 4, "8.1.0")
            },
            Command {
                summary: "Returns the number of entries of a log.",
                syntax: "SLOW | LARGE-REQUEST | LARGE-REPLY",
                reply: "a number",
                run: len,
                tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
                flags: OPERATOR.and(Flags::SHOWS),
                ..of_log("len", 3, "8.1.0")
            },
            Command {
                summary: "Forgets all entries of a log.",
                syntax: "SLOW | LARGE-REQUEST | LARGE-REPLY",
                complexity: "O(N) where N is the number of entries",
                reply: "OK",
                run: reset,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..of_log("reset", 3, "8.1.0")
            },
            help::entry("8.1.0", Group::Server, &[]),
        ],
        ..Command::DEFAULT
    },
    Command {
        name: "slowlog",
        arity: -2,
        group: Group::Server,
        summary: "Tells which commands took long.",
        since: "2.2.12",
        subcommands: &[
            Command {
                summary: "Returns the latest entries, ten unless told otherwise; -1 for all.",
                syntax: "[count]",
                complexity: "O(N) where N is the number of entries",
                reply: "an array of entries",
                run: slow_get,
                tips: &["request_policy:all_nodes", "nondeterministic_output"],
                flags: OPERATOR.and(Flags::SHOWS),
                ..of_log("get", -2, "2.2.12")
            },
            Command {
                summary: "Returns the number of entries.",
                reply: "a number",
                run: slow_len,
                tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
                flags: OPERATOR.and(Flags::SHOWS),
                ..of_log("len", 2, "2.2.12")
            },
            Command {
                summary: "Forgets all entries.",
                complexity: "O(N) where N is the number of entries",
                reply: "OK",
                run: slow_reset,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..of_log("reset", 2, "2.2.12")
            },
            help::entry("6.2.0", Group::Server, &[]),
        ],
        ..Command::DEFAULT
    },
];

fn get(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let kind = kind(arguments[3])?;
    let count = count(arguments[2])?;
    reply_latest(cx, kind, count, false)
}

fn len(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    reply_len(cx, kind(arguments[2])?)
}

fn reset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    reply_reset(cx, kind(arguments[2])?)
}

fn slow_get(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let count = match &arguments[2..] {
        [] => LATEST,
        [word] => count(word)?,
        _ => return Err(help::wrong_subcommand(cx, arguments)),
    };
    let newer_fields = cx.server.config.flag(Directive::SlowlogEntryNewerFields);
    reply_latest(cx, LogKind::Slow, count, newer_fields)
}

fn slow_len(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    reply_len(cx, LogKind::Slow)
}

fn slow_reset(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    reply_reset(cx, LogKind::Slow)
}

fn kind(word: &[u8]) -> Result<LogKind, CommandError> {
    let kind = LogKind::ALL.into_iter().find(|kind| args::is(word, kind.name()));
    kind.ok_or(CommandError::text(
        "ERR type should be one of the following: slow, large-request, large-reply",
    ))
}

/// Reads a number of entries; -1 means all.
fn count(word: &[u8]) -> Result<usize, CommandError> {
    match parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(count as usize),
        _ => Err(CommandError::text("ERR count should be greater than or equal to -1")),
    }
}

/// Replies with the latest entries. With `counted` each has one element more than Valkey's: how many arguments
/// the whole command had. A client that expects six elements need not take seven, so `slowlog-entry-newer-fields`
/// asks for it.
fn reply_latest(cx: &mut Context<'_>, kind: LogKind, count: usize, counted: bool) -> CommandResult {
    let entries = cx.server.logs.commandlogs.latest(kind, count);
    let reply = &mut cx.reply;
    reply.array(entries.len());
    for entry in &entries {
        reply.array(if counted { 7 } else { 6 });
        reply.int(entry.id as i64);
        reply.int(entry.at_s as i64);
        reply.int(entry.value as i64);
        reply.array(entry.arguments.len());
        entry.arguments.iter().for_each(|argument| reply.bulk(argument));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(entry.name.as_bytes());
        if counted {
            reply.count(entry.argument_count);
        }
    }
    Ok(())
}

fn reply_len(cx: &mut Context<'_>, kind: LogKind) -> CommandResult {
    cx.reply.count(cx.server.logs.commandlogs.len(kind));
    Ok(())
}

fn reply_reset(cx: &mut Context<'_>, kind: LogKind) -> CommandResult {
    cx.server.logs.commandlogs.reset(kind);
    cx.reply.ok();
    Ok(())
}
