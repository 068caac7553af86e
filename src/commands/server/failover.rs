//! FAILOVER: hands the primary's role to a replica.

use crate::command::{Category, Flags, Group, args};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::failover::FailoverRequest;
use crate::error::{CommandError, CommandResult};

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "failover",
    arity: -1,
    flags: Flags::ADMIN
        .and(Flags::NOSCRIPT)
        .and(Flags::STALE)
        .and(Flags::WHOLE_KEYSPACE)
        .and(Flags::CHANGES_ROLE),
    categories: &[Category::Admin, Category::Dangerous],
    group: Group::Server,
    summary: "Hands the role of the primary to one of its replicas, and follows it.",
    syntax: "[TO host:string port:integer [FORCE]] [ABORT] [TIMEOUT milliseconds:integer]",
    since: "6.2.0",
    reply: "OK when it has begun",
    run: failover,
    ..Command::DEFAULT
}];

fn failover(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if cx.server.cluster.is_enabled() {
        return Err(CommandError::text(
            "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.",
        ));
    }
    let server = cx.server;
    if let [_, word] = arguments
        && args::is(word, "ABORT")
    {
        if !cx.keys.alone(|| server.abort_failover("Failover manually aborted")) {
            return Err(CommandError::text("ERR No failover in progress."));
        }
    } else {
        let request = read(&arguments[1..])?;
        cx.keys.alone(|| server.begin_failover(request))?;
    }
    cx.reply.ok();
    Ok(())
}

fn read(mut options: &[&[u8]]) -> Result<FailoverRequest, CommandError> {
    let mut request = FailoverRequest::default();
    loop {
        options = match options {
            [] => return Ok(request),
            [word, timeout, rest @ ..] if args::is(word, "TIMEOUT") && request.timeout_ms.is_none() => {
                let timeout_ms = args::int(timeout)?;
                if timeout_ms <= 0 {
                    return Err(CommandError::text("ERR FAILOVER timeout must be greater than 0"));
                }
                request.timeout_ms = Some(timeout_ms as u64);
                rest
            }
            [word, host, port, rest @ ..] if args::is(word, "TO") && request.target.is_none() => {
                let port = args::int(port)?;
                // No replica has a port beyond those that there are.
                request.target = Some((args::text(host), u16::try_from(port).unwrap_or_default()));
                rest
            }
            [word, rest @ ..] if args::is(word, "FORCE") && !request.is_forced => {
                request.is_forced = true;
                rest
            }
            _ => return Err(CommandError::Syntax),
        }
    }
}
