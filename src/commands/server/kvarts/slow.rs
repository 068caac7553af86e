//! KVARTS SLOW: requests that took long with the parts of their time, and how long commands waited for locks.

use crate::command::args;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::primitives::number::parse_i64;
use crate::shared::slow_requests::{Part, SlowRequest};

/// Requests that are returned unless told otherwise.
const LATEST: usize = 10;

const USAGE: &str = "ERR syntax error, expected GET [count], LEN, RESET or LOCKS [command ...]";

pub(super) fn slow(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    match &arguments[2..] {
        [] => get(cx, LATEST),
        [word] if args::is(word, "GET") => get(cx, LATEST),
        [word, count] if args::is(word, "GET") => get(cx, count_of(count)?),
        [word] if args::is(word, "LEN") => {
            cx.reply.count(cx.server.logs.slow_requests.len());
            Ok(())
        }
        [word] if args::is(word, "RESET") && cx.client.views_only => Err(CommandError::OnlyLooks),
        [word] if args::is(word, "RESET") => {
            cx.server.logs.slow_requests.reset();
            cx.reply.ok();
            Ok(())
        }
        [word, commands @ ..] if args::is(word, "LOCKS") => locks(cx, commands),
        _ => Err(CommandError::text(USAGE)),
    }
}

/// Reads a number of requests; -1 means all.
fn count_of(word: &[u8]) -> Result<usize, CommandError> {
    match parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(count as usize),
        _ => Err(CommandError::text("ERR count should be greater than or equal to -1")),
    }
}

fn get(cx: &mut Context<'_>, count: usize) -> CommandResult {
    let latest = cx.server.logs.slow_requests.latest(count);
    cx.reply.array(latest.len());
    latest.iter().for_each(|request| reply_request(cx, request));
    Ok(())
}

fn reply_request(cx: &mut Context<'_>, request: &SlowRequest) {
    let SlowRequest {
        id,
        at_ms,
        parts,
        arguments,
        key: _,
        program,
        longest,
        blocked_by,
        client,
        address,
        bytes: _,
        name,
    } = request;
    let reply = &mut cx.reply;
    let us = |ns: u64| (ns / 1000) as i64;
    reply.map(12);
    reply.bulk(b"id");
    reply.int(*id as i64);
    reply.bulk(b"time-ms");
    reply.int(*at_ms as i64);
    reply.bulk(b"command");
    reply.array(arguments.len());
    arguments.iter().for_each(|argument| reply.bulk(argument));
    reply.bulk(b"program");
    reply.bulk(program.as_bytes());
    reply.bulk(b"longest-command");
    let longest_words = longest.as_ref().map_or(&[][..], |longest| &longest.arguments);
    reply.array(longest_words.len());
    longest_words.iter().for_each(|word| reply.bulk(word));
    reply.bulk(b"longest-us");
    reply.int(us(longest.as_ref().map_or(0, |longest| longest.took_ns)));
    reply.bulk(b"total-us");
    reply.int(us(parts.total_ns()));
    reply.bulk(b"parts-us");
    reply.map(Part::ALL.len());
    for part in Part::ALL {
        reply.bulk(part.name().as_bytes());
        reply.int(us(parts.ns(part)));
    }
    reply.bulk(b"blocked-by");
    reply.bulk(blocked_by.as_bytes());
    reply.bulk(b"client-id");
    reply.int(*client as i64);
    reply.bulk(b"client-address");
    reply.bulk(address.as_bytes());
    reply.bulk(b"client-name");
    reply.bulk(name.as_bytes());
}

/// Replies with the waits of these commands, or of all.
fn locks(cx: &mut Context<'_>, names: &[&[u8]]) -> CommandResult {
    let named = cx.server.commands.by_called_names(names);
    let begun = cx.reply.begin_array();
    let mut count = 0;
    for entry in named {
        let Some(waited) = cx.server.stats.lock_waits.of(entry.id) else { continue };
        count += 1;
        // Each step that has waits of its own.
        let mut before = 0;
        let steps = waited.steps.iter().filter(|(_, waits)| std::mem::replace(&mut before, *waits) < *waits);
        let steps: Vec<(u64, u64)> = steps.copied().collect();
        let reply = &mut cx.reply;
        reply.bulk(entry.full_name.as_bytes());
        reply.map(4);
        reply.bulk(b"waits");
        reply.int(waited.count as i64);
        reply.bulk(b"total-us");
        reply.int((waited.total_ns / 1000) as i64);
        reply.bulk(b"longest-us");
        reply.int((waited.longest_ns / 1000) as i64);
        reply.bulk(b"histogram-us");
        reply.map(steps.len());
        for (at_most_us, waits) in steps {
            reply.int(at_most_us as i64);
            reply.int(waits as i64);
        }
    }
    cx.reply.end_map(begun, count);
    Ok(())
}
