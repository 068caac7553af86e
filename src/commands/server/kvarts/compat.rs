//! KVARTS COMPAT: what the profile refuses, or would refuse, as it was found so far.

use crate::command::args;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};

/// Tells all findings, or forgets them.
pub(super) fn compat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let Some(profile) = &cx.server.profile else {
        return Err(CommandError::text("ERR the server runs without a profile"));
    };
    match &arguments[2..] {
        [] => {}
        [word] if args::is(word, "RESET") && cx.client.views_only => return Err(CommandError::OnlyLooks),
        [word] if args::is(word, "RESET") => {
            profile.findings.reset();
            cx.reply.ok();
            return Ok(());
        }
        _ => return Err(CommandError::Syntax),
    }
    let (findings, left_out) = profile.found();
    let reply = &mut cx.reply;
    reply.map(4);
    reply.bulk(b"profile");
    reply.bulk(profile.name.as_bytes());
    reply.bulk(b"mode");
    reply.bulk(if profile.warns() { b"warn" } else { b"enforce" });
    reply.bulk(b"findings");
    reply.array(findings.len());
    for finding in &findings {
        reply.map(11);
        for (name, text) in [
            ("rule", &*finding.rule),
            ("command", &finding.command),
            ("keys", &finding.keys),
            ("client", &finding.client),
            ("library", &finding.library),
            ("address", &finding.address),
            ("fix", &finding.fix),
            ("basis", finding.basis),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        for (name, number) in
            [("count", finding.count), ("first-ms", finding.first_ms), ("last-ms", finding.last_ms)]
        {
            reply.bulk(name.as_bytes());
            reply.int(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
    reply.bulk(b"left-out");
    reply.int(i64::try_from(left_out).unwrap_or(i64::MAX));
    Ok(())
}
