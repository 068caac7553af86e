//! HOTKEYS: the keys that are used most. GET answers about the session that START began, as in Redis, as long
//! as there is one (RESET forgets it), and otherwise about the last window of `hotkeys-top-k`, as in Valkey.

use crate::acl::readable::ReadableKeys;
use crate::command::{Family, Flags, Group, args};
use crate::commands::shared::help;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::SLOT_COUNT;
use crate::primitives::number::parse_i64;
use crate::primitives::space_saving::Heavy;
use crate::shared::hot_keys::{Report, SessionOptions};

const fn of_hotkeys(name: &'static str, arity: i32) -> Command {
    Command {
        name,
        arity,
        flags: Flags::ADMIN.and(Flags::NOSCRIPT),
        group: Group::Server,
        since: "8.6.0",
        tips: &["request_policy:special"],
        ..Command::DEFAULT
    }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "hotkeys",
    arity: -2,
    group: Group::Server,
    summary: "Finds the keys that are used most.",
    since: "8.6.0",
    family: Family::Each("8.6", "9.2"),
    subcommands: &[
        Command {
            summary: "Begins a session, in which keys are weighed by the time or the bytes of their commands.",
            syntax: "METRICS count [CPU] [NET] [COUNT k] [DURATION seconds] [SAMPLE ratio] [SLOTS count slot [slot ...]]",
            family: Family::Redis("8.6"),
            reply: "OK",
            run: start,
            ..of_hotkeys("start", -2)
        },
        Command {
            summary: "Ends the session; what it found stays until RESET.",
            family: Family::Redis("8.6"),
            reply: "OK or null",
            run: stop,
            ..of_hotkeys("stop", 2)
        },
        Command {
            summary: "Returns what the session has found, or without one the hottest keys of the last window, of those that the user may read.",
            complexity: "O(N) where N is the number of keys that are counted",
            reply: "an array of maps or null",
            run: get,
            tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
            flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::SHOWS),
            ..of_hotkeys("get", 2)
        },
        Command {
            summary: "Forgets what the last session and the windows have found.",
            reply: "OK",
            run: reset,
            ..of_hotkeys("reset", 2)
        },
        help::entry("8.6.1", Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];

fn start(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if cx.server.has_session() {
        return Err(in_progress());
    }
    let now_ms = cx.server.clock.now_ms();
    let options = options(&arguments[2..], cx.server.cluster.is_enabled(), now_ms)?;
    if !cx.server.begin_session(options) {
        return Err(in_progress());
    }
    cx.reply.ok();
    Ok(())
}

fn in_progress() -> CommandError {
    CommandError::text("ERR hotkey tracking session already in progress")
}

/// Reads the options of START. Within METRICS, words that name no metric are passed over, as in Redis.
fn options(words: &[&[u8]], is_cluster: bool, now_ms: u64) -> Result<SessionOptions, CommandError> {
    let error = |text: &'static str| Err(CommandError::text(text));
    let [first, count, rest @ ..] = words else {
        return error("ERR METRICS parameter is required");
    };
    if !args::is(first, "METRICS") {
        return error("ERR METRICS parameter is required");
    }
    let Some(count @ 1..=2) = parse_i64(count) else {
        return error("ERR METRICS count must be > 0 and <= 2");
    };
    if rest.len() < count as usize {
        return error("ERR METRICS count does not match number of metric types provided");
    }
    let (metrics, rest) = rest.split_at(count as usize);
    let mut options = SessionOptions { count: 10, ratio: 1, ..SessionOptions::default() };
    for word in metrics {
        if args::is(word, "CPU") {
            if std::mem::replace(&mut options.cpu, true) {
                return error("ERR METRICS CPU defined more than once!");
            }
        } else if args::is(word, "NET") && std::mem::replace(&mut options.net, true) {
            return error("ERR METRICS NET defined more than once!");
        }
    }
    if !options.cpu && !options.net {
        return error("ERR METRICS no valid metrics passed. Supported: CPU|NET");
    }
    further_options(&mut options, rest, is_cluster, now_ms)?;
    Ok(options)
}

fn further_options(
    options: &mut SessionOptions,
    mut rest: &[&[u8]],
    is_cluster: bool,
    now_ms: u64,
) -> CommandResult {
    let error = |text: &'static str| Err(CommandError::text(text));
    while let [name, value, behind @ ..] = rest {
        rest = behind;
        let number = parse_i64(value);
        if args::is(name, "COUNT") {
            let Some(count @ 1..=64) = number else { return error("ERR COUNT must be between 1 and 64") };
            options.count = count as usize;
        } else if args::is(name, "DURATION") {
            let Some(seconds @ 1..=1_000_000) = number else {
                return error("ERR DURATION must be between 1 and 1000000");
            };
            options.ends_ms = Some(now_ms + seconds as u64 * 1000);
        } else if args::is(name, "SAMPLE") {
            let ratio = number.and_then(|ratio| i32::try_from(ratio).ok()).filter(|ratio| *ratio > 0);
            let Some(ratio) = ratio else { return error("ERR SAMPLE ratio must be positive") };
            options.ratio = ratio.unsigned_abs();
        } else if args::is(name, "SLOTS") {
            if !is_cluster {
                return error("ERR SLOTS parameter cannot be used in non-cluster mode");
            }
            if !options.slots.is_empty() {
                return error("ERR SLOTS parameter already specified");
            }
            (options.slots, rest) = slots(number, rest)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(CommandError::Syntax) }
}

/// Reads so many slots, and returns them sorted with what stands behind them. All slots are served here.
fn slots<'r, 'w>(
    count: Option<i64>,
    words: &'r [&'w [u8]],
) -> Result<(Vec<u16>, &'r [&'w [u8]]), CommandError> {
    let count =
        count.and_then(|count| usize::try_from(count).ok()).filter(|count| (1..=SLOT_COUNT).contains(count));
    let Some(count) = count else {
        return Err(CommandError::text("ERR SLOTS count must be between 1 and 16384"));
    };
    let Some((named, rest)) = words.split_at_checked(count) else {
        return Err(CommandError::text("ERR not enough slot numbers provided"));
    };
    let mut slots = Vec::with_capacity(count);
    for word in named {
        let slot = parse_i64(word).and_then(|slot| u16::try_from(slot).ok());
        let Some(slot) = slot.filter(|slot| usize::from(*slot) < SLOT_COUNT) else {
            return Err(CommandError::text("ERR Invalid or out of range slot"));
        };
        slots.push(slot);
    }
    slots.sort_unstable();
    if slots.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(CommandError::text("ERR duplicate slot number"));
    }
    Ok((slots, rest))
}

fn stop(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    if cx.server.end_session() {
        cx.reply.ok();
    } else {
        cx.reply.null();
    }
    Ok(())
}

fn reset(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    if !cx.server.forget_session() {
        return Err(CommandError::text("ERR hotkey tracking session in progress, stop tracking first"));
    }
    cx.server.forget_hot_keys();
    cx.reply.ok();
    Ok(())
}

fn get(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let readable = cx.server.readable_keys(cx.client, cx.command, arguments);
    if let Some(report) = cx.server.session_report() {
        reply_report(cx, &report, &readable);
        return Ok(());
    }
    if !cx.server.hot_keys.windows.are_on() {
        cx.reply.null();
        return Ok(());
    }
    cx.server.look_at_hot_keys();
    let last = cx.server.hot_keys.windows.last();
    let shown = last.keys.iter().filter(|hot| readable.has(Some(hot.database), &hot.key));
    cx.reply.array(shown.clone().count());
    for hot in shown {
        cx.reply.map(3);
        cx.reply.bulk(b"key");
        cx.reply.bulk(&hot.key);
        cx.reply.bulk(b"db");
        cx.reply.count(hot.database);
        cx.reply.bulk(b"qps");
        cx.reply.int(hot.per_second as i64);
    }
    Ok(())
}

/// A field of the reply about a session.
enum Field<'r> {
    Count(u64),
    Slots(Vec<(u16, u16)>),
    Keys(&'r [Heavy], u64),
}

fn reply_report(cx: &mut Context<'_>, report: &Report, readable: &ReadableKeys) {
    const NS_PER_US: u64 = 1000;
    let options = &report.options;
    let by_slot = !options.slots.is_empty();
    let is_sampled = by_slot && options.ratio > 1;
    let us = |ns: u64| Field::Count(ns / NS_PER_US);
    let fields = [
        (true, "tracking-active", Field::Count(report.is_active.into())),
        (true, "sample-ratio", Field::Count(options.ratio.into())),
        (true, "selected-slots", Field::Slots(ranges(&options.slots))),
        (is_sampled, "sampled-commands-selected-slots-us", us(report.sampled.ns)),
        (by_slot, "all-commands-selected-slots-us", us(report.selected.ns)),
        (true, "all-commands-all-slots-us", us(report.all.ns)),
        (is_sampled, "net-bytes-sampled-commands-selected-slots", Field::Count(report.sampled.bytes)),
        (by_slot, "net-bytes-all-commands-selected-slots", Field::Count(report.selected.bytes)),
        (true, "net-bytes-all-commands-all-slots", Field::Count(report.all.bytes)),
        (true, "collection-start-time-unix-ms", Field::Count(report.began_ms)),
        (true, "collection-duration-ms", Field::Count(report.duration_ms)),
        (options.cpu, "total-cpu-time-user-ms", Field::Count(report.processor_ms.0)),
        (options.cpu, "total-cpu-time-sys-ms", Field::Count(report.processor_ms.1)),
        (options.net, "total-net-bytes", Field::Count(report.weighed.bytes)),
        (options.cpu, "by-cpu-time-us", Field::Keys(&report.by_cpu, NS_PER_US)),
        (options.net, "by-net-bytes", Field::Keys(&report.by_net, 1)),
    ];
    let reply = &mut cx.reply;
    reply.array(1);
    reply.map(fields.iter().filter(|field| field.0).count());
    for (_, name, field) in fields.into_iter().filter(|field| field.0) {
        reply.bulk(name.as_bytes());
        match field {
            Field::Count(count) => reply.int(count as i64),
            Field::Slots(ranges) => {
                reply.array(ranges.len());
                for (first, last) in ranges {
                    reply.array(if first == last { 1 } else { 2 });
                    reply.int(first.into());
                    if first != last {
                        reply.int(last.into());
                    }
                }
            }
            Field::Keys(keys, unit) => {
                let shown = keys.iter().filter(|heavy| heavy.count >= unit && readable.has(None, &heavy.key));
                reply.array(2 * shown.clone().count());
                for heavy in shown {
                    reply.bulk(&heavy.key);
                    reply.int((heavy.count / unit) as i64);
                }
            }
        }
    }
}

/// Sorted slots as ranges; all of them where none is named.
fn ranges(slots: &[u16]) -> Vec<(u16, u16)> {
    if slots.is_empty() {
        return vec![(0, SLOT_COUNT as u16 - 1)];
    }
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for &slot in slots {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == slot => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    ranges
}
