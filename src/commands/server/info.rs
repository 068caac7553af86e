//! INFO: the table of figures, section by section. Every field is true, or constant for the reason that
//! docs/info-constants.md gives.

use std::fmt::Write;

use crate::command::{Category, Flags, Group, args};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::CommandResult;
use crate::figures::sight::DatabaseCounts;
use crate::figures::{SECTIONS, Section, Shown, Sight};

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING
        .and(Flags::STALE)
        .and(Flags::WHOLE_KEYSPACE)
        .and(Flags::LOCKS_NO_SLOT)
        .and(Flags::PASSES_NO_GATE),
    categories: &[Category::Dangerous],
    group: Group::Server,
    summary: "Describes the server and what it has done.",
    syntax: "[section [section ...]]",
    since: "1.0.0",
    reply: "lines of fields",
    run: info,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    ..Command::DEFAULT
}];

/// INFO [section ...]
fn info(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let words = &arguments[1..];
    let asks = |word: &str| words.iter().any(|given| args::is(given, word));
    let everything = asks("ALL") || asks("EVERYTHING");
    let default = words.is_empty() || asks("DEFAULT");
    let is_shown = |section: &Section| match section.shown {
        Shown::Always => default || everything || asks(section.name),
        Shown::Asked => everything || asks(section.name),
        Shown::ClusterInfo | Shown::Never => false,
    };
    let (keys, now_ms) = (&cx.keys, cx.keys.now_ms);
    let count = || {
        let of = |number| keys.glance(number, |database| DatabaseCounts::of(number, database, now_ms));
        Some((0..keys.keyspace.database_count()).filter_map(of).collect())
    };
    let at = Sight::new(cx.server, Some(&*cx.client), now_ms, &count);
    if SECTIONS.iter().any(|section| section.name == "memory" && is_shown(section)) {
        // Before the reply itself takes some.
        at.memory();
    }
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| is_shown(section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "# {}\r\n", section.title);
        for figure in section.figures.iter().flat_map(|figures| *figures) {
            figure.add_lines(&mut text, &at);
        }
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}
