//! KVARTS HEALTH: whether all parts of the server answer.

use crate::engine::context::Context;
use crate::engine::holders::Held;
use crate::error::CommandResult;
use crate::primitives::printable::printable;
use crate::resp::encode::Reply;

/// Shows what the watch over all parts last found. Asks nobody, so that it answers whatever is stuck.
pub(super) fn health(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let now_ns = cx.server.clock.monotonic_ns();
    let findings = cx.server.health.findings();
    let is_ready = cx.server.is_ready();
    let reply = &mut cx.reply;
    let us = |ns: u64| (ns / 1000) as i64;
    reply.map(8);
    reply.bulk(b"status");
    reply.bulk(findings.status(now_ns).name().as_bytes());
    reply.bulk(b"ready");
    reply.bulk(if is_ready { b"yes" } else { b"no" });
    reply.bulk(b"looked-us-ago");
    reply.int(us(now_ns.saturating_sub(findings.looked_ns)));
    let slowest = findings.slowest();
    reply.bulk(b"slowest");
    reply.bulk(slowest.map(|part| part.name.as_bytes()).unwrap_or_default());
    reply.bulk(b"slowest-us");
    reply.int(slowest.map_or(0, |part| us(part.round_trip_ns.max(part.waits_ns))));
    reply.bulk(b"parts");
    reply.array(findings.parts.len());
    for part in &findings.parts {
        reply.map(5);
        reply.bulk(b"name");
        reply.bulk(part.name.as_bytes());
        reply.bulk(b"state");
        reply.bulk(part.state.name().as_bytes());
        reply.bulk(b"round-trip-us");
        reply.int(us(part.round_trip_ns));
        reply.bulk(b"waits-us");
        reply.int(us(part.waits_ns));
        reply.bulk(b"about");
        reply.bulk(part.about.as_bytes());
    }
    reply.bulk(b"holds-locks");
    reply.array(findings.holding.len());
    findings.holding.iter().for_each(|held| reply.bulk(held.in_words().as_bytes()));
    reply.bulk(b"holders");
    reply.array(findings.holding.len());
    for held in &findings.holding {
        reply_holder(held, reply);
    }
    Ok(())
}

/// The same of one of them for programs.
fn reply_holder(held: &Held, reply: &mut Reply<'_>) {
    let (program, client) = (held.program(), held.client());
    let fields = [
        ("command", Some(held.command().to_owned())),
        ("program", program.map(|(kind, _)| kind.to_owned())),
        ("program-name", program.map(|(_, name)| name.to_owned())),
        ("key", held.key()),
        ("client-address", client.map(|client| client.address.to_string())),
        ("user", client.map(|client| printable(&client.user.lock().name))),
    ];
    reply.map(fields.len() + 2);
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        match value {
            Some(value) => reply.bulk(value.as_bytes()),
            None => reply.null(),
        }
    }
    reply.bulk(b"client-id");
    reply.int(held.client_id() as i64);
    reply.bulk(b"running-us");
    reply.int((held.ran_ns() / 1000) as i64);
}
