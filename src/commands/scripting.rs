//! FUNCTION and SCRIPT as far as they make sense before there are scripts: what clients and test suites send to start clean.

use super::help;
use crate::command::{Category, Command, Context, Flags, Group, args};
use crate::error::{CommandError, CommandResult};

const SCRIPTING: &[Category] = &[Category::Scripting];

/// The entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "function",
        arity: -2,
        group: Group::Scripting,
        summary: "Tells about libraries of functions: there are none yet.",
        since: "7.0.0",
        subcommands: &[
            Command {
                name: "flush",
                arity: -2,
                flags: Flags::NOSCRIPT.and(Flags::WRITE),
                categories: SCRIPTING,
                group: Group::Scripting,
                summary: "Deletes all libraries.",
                syntax: "[ASYNC | SYNC]",
                since: "7.0.0",
                reply: "OK",
                run: flush,
                ..Command::DEFAULT
            },
            Command {
                name: "list",
                arity: -2,
                flags: Flags::NOSCRIPT,
                categories: SCRIPTING,
                group: Group::Scripting,
                summary: "Lists the libraries.",
                syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
                since: "7.0.0",
                reply: "an array of libraries",
                run: list_functions,
                ..Command::DEFAULT
            },
            help::entry("7.0.0", Group::Scripting, SCRIPTING),
        ],
        ..Command::DEFAULT
    },
    Command {
        name: "script",
        arity: -2,
        group: Group::Scripting,
        summary: "Tells about scripts: there are none yet.",
        since: "2.6.0",
        subcommands: &[
            Command {
                name: "flush",
                arity: -2,
                flags: Flags::NOSCRIPT,
                categories: SCRIPTING,
                group: Group::Scripting,
                summary: "Forgets all scripts.",
                syntax: "[ASYNC | SYNC]",
                since: "2.6.0",
                reply: "OK",
                run: flush,
                ..Command::DEFAULT
            },
            Command {
                name: "exists",
                arity: -3,
                flags: Flags::NOSCRIPT,
                categories: SCRIPTING,
                group: Group::Scripting,
                summary: "Tells which scripts are known.",
                syntax: "sha1 [sha1 ...]",
                since: "2.6.0",
                reply: "an array of ones and zeros",
                run: exists,
                ..Command::DEFAULT
            },
            help::entry("5.0.0", Group::Scripting, SCRIPTING),
        ],
        ..Command::DEFAULT
    },
];

/// There is nothing to flush; a wrong word is told all the same.
fn flush(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    match arguments {
        [_, _] => {}
        [_, _, word] if args::is(word, "ASYNC") || args::is(word, "SYNC") => {}
        _ => {
            let name = cx.command.full_name.replace('|', " ").to_uppercase();
            return Err(CommandError::new(format!("ERR {name} only supports SYNC|ASYNC option")));
        }
    }
    cx.reply.ok();
    Ok(())
}

fn list_functions(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.array(0);
    Ok(())
}

fn exists(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.reply.array(arguments.len() - 2);
    for _ in &arguments[2..] {
        cx.reply.int(0);
    }
    Ok(())
}
