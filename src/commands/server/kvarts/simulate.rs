//! KVARTS SIMULATE: rehearses faults, so that an application meets them before its users do.

use crate::config::Directive;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::shared::simulation::USAGE;

/// Begins a fault, ends all, or tells which are rehearsed.
pub(super) fn simulate(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if !cx.server.is_enabled_for(cx.client, Directive::EnableDebugCommand) {
        return Err(CommandError::text(
            "ERR KVARTS SIMULATE is not allowed. Set enable-debug-command to \"yes\", or to \"local\" for clients of the same machine, and restart the server.",
        ));
    }
    if arguments.len() == 2 {
        return show(cx);
    }
    let usage = || CommandError::new(format!("ERR {USAGE}"));
    let words = arguments[2..].iter().map(|word| std::str::from_utf8(word));
    let words = words.collect::<Result<Vec<&str>, _>>().map_err(|_| usage())?;
    if !cx.server.simulate(&words, cx.client.shared.id) {
        return Err(usage());
    }
    cx.reply.ok();
    Ok(())
}

fn show(cx: &mut Context<'_>) -> CommandResult {
    let simulation = &cx.server.simulation;
    let faults = simulation.faults(cx.server.clock.now_ms());
    let reply = &mut cx.reply;
    reply.map(3);
    reply.bulk(b"faults");
    reply.array(faults.len());
    faults.iter().for_each(|fault| reply.bulk(fault.as_bytes()));
    reply.bulk(b"seed");
    reply.bulk(simulation.seed().to_string().as_bytes());
    reply.bulk(b"happened");
    reply.int(i64::try_from(simulation.injected()).unwrap_or(i64::MAX));
    Ok(())
}
