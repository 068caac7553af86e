//! MONITOR: shows a client all commands that run.

use std::sync::atomic::Ordering;

use crate::command::{Flags, Group};
use crate::engine::command::Command;
use crate::engine::context::{Context, Origin};
use crate::error::{CommandError, CommandResult};

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "monitor",
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::SHOWS),
    group: Group::Server,
    summary: "Shows the connection every command that is run from now on.",
    since: "1.0.0",
    reply: "OK, then a line for each command",
    run: monitor,
    ..Command::DEFAULT
}];

fn monitor(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    if cx.origin != Origin::Client {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if cx.client.monitor {
        return Ok(()); // A second one is not answered (Redis's rule).
    }
    cx.client.monitor = true;
    cx.client.shared.monitor.store(true, Ordering::Relaxed);
    cx.server.logs.monitors.add(&cx.client.shared);
    cx.reply.ok();
    Ok(())
}
