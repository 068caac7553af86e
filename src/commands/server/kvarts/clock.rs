//! KVARTS CLOCK: moves the server's clock, for tests of whoever uses the server: a session of half an hour ends in a
//! millisecond.

use crate::command::args;
use crate::config::Directive;
use crate::engine::context::{After, Context};
use crate::error::{CommandError, CommandResult};

/// The latest time that the clock can be set to, in milliseconds of Unix time: the end of the year 9999.
const LATEST_MS: u64 = 253_402_300_799_999;

const TOO_FAR: CommandError = CommandError::text(
    "ERR milliseconds are out of range, must be 0 or more, and the clock cannot be advanced beyond the year 9999",
);

const NO_TIME: CommandError =
    CommandError::text("ERR time is out of range, must be between 1970 and the end of the year 9999");

const USAGE: &str =
    "ERR syntax error, expected ADVANCE milliseconds, SET unix-time-milliseconds, FREEZE, RESUME or GET";

/// Moves or shows the clock. Everything that depends on it has followed when the reply is sent.
pub(super) fn clock(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if !cx.server.is_enabled_for(cx.client, Directive::EnableDebugCommand) {
        return Err(CommandError::text(
            "ERR KVARTS CLOCK is not allowed. Set enable-debug-command to \"yes\", or to \"local\" for clients of the same machine, and restart the server.",
        ));
    }
    let clock = &cx.server.clock;
    match &arguments[2..] {
        [word] if args::is(word, "GET") => return show(cx),
        [word] if args::is(word, "FREEZE") => clock.freeze(),
        [word] if args::is(word, "RESUME") => clock.resume(),
        [word, ms] if args::is(word, "ADVANCE") => {
            let longest_ms = LATEST_MS.saturating_sub(clock.now_ms());
            let by_ms = between(args::int(ms)?, longest_ms, TOO_FAR)?;
            clock.advance_ms(by_ms);
        }
        [word, ms] if args::is(word, "SET") => clock.set_ms(between(args::int(ms)?, LATEST_MS, NO_TIME)?),
        _ => return Err(CommandError::text(USAGE)),
    }
    tracing::warn!(
        now_ms = clock.now_ms(),
        offset_ms = clock.offset_ms(),
        frozen = clock.is_manual(),
        "the clock was moved by KVARTS CLOCK"
    );
    cx.server.clock_was_moved();
    // A batch asks for the time once: what follows this request is to be run in another one.
    cx.after = Some(After::Sleep(0));
    cx.reply.ok();
    Ok(())
}

fn show(cx: &mut Context<'_>) -> CommandResult {
    let clock = &cx.server.clock;
    let reply = &mut cx.reply;
    reply.map(3);
    reply.bulk(b"unix-time-ms");
    reply.int(clock.now_ms() as i64);
    reply.bulk(b"state");
    reply.bulk(if clock.is_manual() { b"frozen" } else { b"running" });
    reply.bulk(b"offset-ms");
    reply.int(clock.offset_ms());
    Ok(())
}

/// Milliseconds between 0 and `most`.
fn between(ms: i64, most: u64, error: CommandError) -> Result<u64, CommandError> {
    u64::try_from(ms).ok().filter(|ms| *ms <= most).ok_or(error)
}
