//! MODULE: no module exists and none can be loaded. The command is for clients that ask.

use crate::command::{Category, Flags, Group};
use crate::commands::shared::help;
use crate::config::Directive;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};

const fn change(name: &'static str, arity: i32, since: &'static str) -> Command {
    Command {
        name,
        arity,
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        group: Group::Server,
        since,
        reply: "an error",
        ..Command::DEFAULT
    }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "module",
    arity: -2,
    group: Group::Server,
    summary: "Tells of modules: there are none.",
    since: "4.0.0",
    subcommands: &[
        Command {
            name: "list",
            arity: 2,
            flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::SHOWS),
            group: Group::Server,
            summary: "Lists the loaded modules: none.",
            since: "4.0.0",
            reply: "an empty array",
            tips: &["nondeterministic_output_order"],
            run: list,
            ..Command::DEFAULT
        },
        Command {
            summary: "Refused: modules are programs for another server.",
            syntax: "path [arg [arg ...]]",
            run: load,
            ..change("load", -3, "4.0.0")
        },
        Command {
            summary: "Refused, as LOAD is.",
            syntax: "path [CONFIG(name value) [CONFIG(name value) ...]] [ARGS args [args ...]]",
            run: load,
            ..change("loadex", -3, "7.0.0")
        },
        Command {
            summary: "Refused: none is loaded.",
            syntax: "name",
            run: unload,
            ..change("unload", 3, "4.0.0")
        },
        help::entry("5.0.0", Group::Server, &[Category::Slow]),
    ],
    ..Command::DEFAULT
}];

fn list(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.array(0);
    Ok(())
}

fn load(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    may_change(cx)?;
    Err(CommandError::text("ERR Error loading the extension. Please check the server logs."))
}

fn unload(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    may_change(cx)?;
    Err(CommandError::text("ERR Error unloading module: no such module with that name"))
}

/// Refuses clients that `enable-module-command` does not admit.
fn may_change(cx: &Context<'_>) -> CommandResult {
    let refused = cx.server.refuse_unless_enabled(cx.client, Directive::EnableModuleCommand, "module");
    refused.map_or(Ok(()), Err)
}
