//! BGREWRITEAOF: has the append-only file rewritten.

use crate::command::{Flags, Group};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "bgrewriteaof",
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    group: Group::Server,
    summary: "Rewrites the append-only file in the background.",
    syntax: "",
    since: "1.0.0",
    complexity: "O(1)",
    reply: "a line: it has begun",
    run: bgrewriteaof,
    ..Command::DEFAULT
}];

fn bgrewriteaof(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let append_only = cx.server.append_only();
    let append_only = append_only.ok_or(CommandError::text("ERR this server writes no files"))?;
    let answer = append_only.rewrite()?;
    cx.reply.simple(answer);
    Ok(())
}
