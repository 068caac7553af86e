//! LATENCY: events that took long, and the distribution of commands' times.

use crate::command::{Flags, Group};
use crate::commands::server::latency_text;
use crate::commands::shared::help;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::shared::latency::Event;

const OPERATOR: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE);

const fn of_latency(name: &'static str, arity: i32, since: &'static str) -> Command {
    Command { name, arity, flags: OPERATOR, group: Group::Server, since, ..Command::DEFAULT }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "latency",
    arity: -2,
    group: Group::Server,
    summary: "Tells what took long, and how long commands take.",
    since: "2.8.13",
    subcommands: &[
        Command {
            summary: "Describes in words what takes long now and what took long.",
            reply: "a text",
            run: doctor,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_latency("doctor", 2, "2.8.13")
        },
        Command {
            summary: "Draws how long an event took.",
            syntax: "event",
            reply: "a drawing",
            run: graph,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_latency("graph", 3, "2.8.13")
        },
        Command {
            summary: "Tells of commands how many calls took at most how long.",
            syntax: "[command [command ...]]",
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands",
            reply: "a map of commands",
            run: histogram,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_latency("histogram", -2, "7.0.0")
        },
        Command {
            summary: "Returns the samples of an event.",
            syntax: "event",
            reply: "an array of times and milliseconds",
            run: history,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_latency("history", 3, "2.8.13")
        },
        Command {
            summary: "Returns the latest sample of each event.",
            reply: "an array of events",
            run: latest,
            tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_latency("latest", 2, "2.8.13")
        },
        Command {
            summary: "Forgets events, or all of them.",
            syntax: "[event [event ...]]",
            reply: "how many were forgotten",
            run: reset,
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            ..of_latency("reset", -2, "2.8.13")
        },
        help::entry("2.8.13", Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];

fn doctor(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let readable = cx.server.readable_keys(cx.client, cx.command, arguments);
    let report = latency_text::report(cx.server, &readable);
    cx.reply.verbatim("txt", report.as_bytes());
    Ok(())
}

fn graph(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let name = arguments[2];
    let event: Event = cx.server.logs.latency.event(name).ok_or_else(|| {
        let name = String::from_utf8_lossy(name);
        CommandError::new(format!("ERR No samples available for event '{name}'"))
    })?;
    let drawing = latency_text::graph(&event, cx.keys.now_ms / 1000);
    cx.reply.verbatim("txt", drawing.as_bytes());
    Ok(())
}

fn histogram(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let named = cx.server.commands.by_called_names(&arguments[2..]);
    let begun = cx.reply.begin_array();
    let mut count = 0;
    for entry in named {
        let Some(steps) = cx.server.stats.latency_steps(entry.id) else { continue };
        let Some(&(_, calls)) = steps.last() else { continue };
        count += 1;
        cx.reply.bulk(entry.full_name.as_bytes());
        cx.reply.map(2);
        cx.reply.bulk(b"calls");
        cx.reply.int(calls as i64);
        cx.reply.bulk(b"histogram_usec");
        cx.reply.map(steps.len());
        for (at_most_us, calls) in steps {
            cx.reply.int(at_most_us as i64);
            cx.reply.int(calls as i64);
        }
    }
    cx.reply.end_map(begun, count);
    Ok(())
}

fn history(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let samples = cx.server.logs.latency.event(arguments[2]).map(|event| event.samples).unwrap_or_default();
    cx.reply.array(samples.len());
    for sample in samples {
        cx.reply.array(2);
        cx.reply.int(sample.at_s as i64);
        cx.reply.int(sample.ms as i64);
    }
    Ok(())
}

fn latest(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let events = cx.server.logs.latency.events();
    cx.reply.array(events.len());
    for event in events {
        let latest = event.samples.back().map_or((0, 0), |sample| (sample.at_s, sample.ms));
        cx.reply.array(6);
        cx.reply.bulk(event.name.as_bytes());
        for number in [latest.0, latest.1, event.max_ms, event.sum_ms, event.count] {
            cx.reply.int(number as i64);
        }
    }
    Ok(())
}

fn reset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.reply.count(cx.server.logs.latency.reset(&arguments[2..]));
    Ok(())
}
