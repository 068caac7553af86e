//! REPLICAOF and its old name: which primary this server follows.

use crate::command::{Category, Flags, Group, args};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::following::Primary;
use crate::error::{CommandError, CommandResult};
use crate::replication::failover::Step;

const fn follows(name: &'static str) -> Command {
    Command {
        name,
        arity: 3,
        flags: Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(Flags::STALE)
            .and(Flags::NO_ASYNC_LOADING)
            .and(Flags::WHOLE_KEYSPACE)
            .and(Flags::CHANGES_ROLE),
        categories: &[Category::Admin, Category::Dangerous],
        group: Group::Server,
        syntax: "<host:string port:integer | NO ONE>",
        reply: "OK",
        run: replicaof,
        ..Command::DEFAULT
    }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Follows a primary, or with NO ONE becomes one.",
        since: "5.0.0",
        ..follows("replicaof")
    },
    Command { summary: "The old name of REPLICAOF.", since: "1.0.0", ..follows("slaveof") },
];

fn replicaof(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if cx.server.cluster.is_enabled() {
        return Err(CommandError::text("ERR REPLICAOF not allowed in cluster mode."));
    }
    if cx.server.failover_step() != Step::None {
        return Err(CommandError::text("ERR REPLICAOF not allowed while failing over."));
    }
    if args::is(arguments[1], "NO") && args::is(arguments[2], "ONE") {
        if follow(cx, None) {
            tracing::info!("PRIMARY MODE enabled (user request)");
        }
        cx.reply.ok();
        return Ok(());
    }
    let port = args::int(arguments[2]).ok().filter(|port| (0..=65535).contains(port));
    let Some(port) = port else { return Err(CommandError::text("ERR Invalid master port")) };
    let host = args::text(arguments[1]);
    if follow(cx, Some(Primary { host, port: port as u16 })) {
        tracing::info!("Connecting to a primary (user request)");
        cx.reply.ok();
    } else {
        cx.reply.simple("OK Already connected to specified master");
    }
    Ok(())
}

/// Follows a primary from now on, or none. What a transaction has changed up to here is still of the history of
/// before. Returns false where the role was that already.
fn follow(cx: &mut Context<'_>, primary: Option<Primary>) -> bool {
    cx.append_up_to_here();
    let server = cx.server;
    cx.keys.alone(|| server.follow_primary(primary))
}
