//! COMMAND: shows the command table to clients.

use crate::command::keys::{KeyPositions, told_keys};
use crate::command::syntax::{self, Argument};
use crate::command::table::Entry;
use crate::command::{Begin, Category, Find, Flags, Group, KeySpec, Spec, args};
use crate::commands::shared::help;
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::glob;
use crate::resp::encode::Reply;

const CONNECTION: &[Category] = &[Category::Connection];
const ANYTIME: Flags = Flags::LOADING.and(Flags::STALE);

const fn subcommand(name: &'static str, arity: i32, since: &'static str) -> Command {
    Command {
        name,
        arity,
        flags: ANYTIME,
        categories: CONNECTION,
        group: Group::Server,
        since,
        ..Command::DEFAULT
    }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    arity: -1,
    flags: ANYTIME,
    categories: CONNECTION,
    group: Group::Server,
    summary: "Describes all commands.",
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands",
    reply: "an array of descriptions",
    run: command,
    subcommands: &[
        Command {
            summary: "Counts the commands.",
            reply: "a number",
            run: count,
            ..subcommand("count", 2, "2.8.13")
        },
        Command {
            summary: "Describes commands for people: what they are for and what they take.",
            syntax: "[command-name [command-name ...]]",
            complexity: "O(N) where N is the number of commands asked for",
            reply: "a map of descriptions",
            run: docs,
            tips: &["nondeterministic_output_order"],
            ..subcommand("docs", -2, "7.0.0")
        },
        Command {
            summary: "Describes commands for programs: arity, flags, keys.",
            syntax: "[command-name [command-name ...]]",
            complexity: "O(N) where N is the number of commands asked for",
            reply: "an array of descriptions and nulls",
            run: info,
            tips: &["nondeterministic_output_order"],
            ..subcommand("info", -2, "2.8.13")
        },
        Command {
            summary: "Names the commands.",
            syntax: "[FILTERBY(MODULE module-name | ACLCAT category | PATTERN pattern)]",
            complexity: "O(N) where N is the number of commands",
            reply: "an array of names",
            run: list,
            tips: &["nondeterministic_output_order"],
            ..subcommand("list", -2, "7.0.0")
        },
        Command {
            summary: "Finds the keys in a whole command.",
            syntax: "command [arg ...]",
            complexity: "O(N) where N is the number of arguments",
            reply: "an array of keys",
            run: getkeys,
            ..subcommand("getkeys", -3, "2.8.13")
        },
        Command {
            summary: "Finds the keys in a whole command and what it does with them.",
            syntax: "command [arg ...]",
            complexity: "O(N) where N is the number of arguments",
            reply: "an array of keys and flags",
            run: getkeysandflags,
            ..subcommand("getkeysandflags", -3, "7.0.0")
        },
        help::entry("5.0.0", Group::Server, CONNECTION),
    ],
    tips: &["nondeterministic_output_order"],
    ..Command::DEFAULT
}];

fn command(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let server = cx.server;
    let shown: Vec<&Entry> = called(server).collect();
    cx.reply.array(shown.len());
    for entry in shown {
        describe(cx, entry);
    }
    Ok(())
}

/// The commands that `rename-command` has not taken away.
fn called(server: &Server) -> impl Iterator<Item = &Entry> {
    server.commands.commands().filter(|entry| !entry.called.is_empty())
}

fn count(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.count(called(cx.server).count());
    Ok(())
}

fn info(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if arguments.len() == 2 {
        return command(cx, arguments);
    }
    cx.reply.array(arguments.len() - 2);
    let server = cx.server;
    for name in &arguments[2..] {
        match server.commands.by_called_name(name) {
            Some(entry) => describe(cx, entry),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

/// First key, last key and step, as COMMAND showed them before there were key specs: for all specs with fixed
/// places together.
fn key_range(command: &Spec) -> (i64, i64, i64) {
    let mut range: Option<(i64, i64, i64)> = None;
    for spec in command.keys {
        let (Begin::Index(first), Find::Range { last, step, .. }) = (spec.begin, spec.find) else { continue };
        let first = first as i64;
        // A last key that counts from the end stays so, and lies behind any other.
        let last = if last >= 0 { first + i64::from(last) } else { i64::from(last) };
        range = Some(match range {
            None => (first, last, step as i64),
            Some((before, end, step)) if end < 0 || last < 0 => (before.min(first), end.min(last), step),
            Some((before, end, step)) => (before.min(first), end.max(last), step),
        });
    }
    range.unwrap_or((0, 0, 0))
}

fn describe(cx: &mut Context<'_>, entry: &Entry) {
    let server = cx.server;
    let command = &entry.spec;
    let (first, last, step) = key_range(command);
    let reply = &mut cx.reply;
    reply.array(10);
    reply.bulk(entry.full_name.as_bytes());
    reply.int(i64::from(command.arity));
    let flags = command.flags.words();
    reply.set(flags.len());
    for flag in flags {
        reply.simple(flag);
    }
    reply.int(first);
    reply.int(last);
    reply.int(step);
    let categories = command.all_categories();
    reply.set(categories.len());
    for category in categories {
        reply.simple(&format!("@{}", category.name()));
    }
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(command.keys.len());
    for spec in command.keys {
        describe_key_spec(reply, spec);
    }
    let subcommands = shown_subcommands(server, entry);
    reply.array(subcommands.len());
    for subcommand in subcommands {
        describe(cx, subcommand);
    }
}

fn describe_key_spec(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    let words = KeySpec::words(spec.flags);
    reply.set(words.len());
    for word in words {
        reply.simple(word);
    }
    let number = |reply: &mut Reply<'_>, name: &str, value: i64| {
        reply.bulk(name.as_bytes());
        reply.int(value);
    };
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    match spec.begin {
        Begin::Index(index) => {
            reply.bulk(b"index");
            reply.bulk(b"spec");
            reply.map(1);
            number(reply, "index", index as i64);
        }
        Begin::Keyword { word, from } => {
            reply.bulk(b"keyword");
            reply.bulk(b"spec");
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            number(reply, "startfrom", i64::from(from));
        }
        Begin::Unknown => {
            reply.bulk(b"unknown");
            reply.bulk(b"spec");
            reply.map(0);
        }
    }
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    match spec.find {
        Find::Range { last, step, limit } => {
            reply.bulk(b"range");
            reply.bulk(b"spec");
            reply.map(3);
            number(reply, "lastkey", i64::from(last));
            number(reply, "keystep", step as i64);
            number(reply, "limit", limit as i64);
        }
        Find::Count { count_at, first, step } => {
            reply.bulk(b"keynum");
            reply.bulk(b"spec");
            reply.map(3);
            number(reply, "keynumidx", count_at as i64);
            number(reply, "firstkey", first as i64);
            number(reply, "keystep", step as i64);
        }
        Find::Unknown => {
            reply.bulk(b"unknown");
            reply.bulk(b"spec");
            reply.map(0);
        }
    }
}

fn docs(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let server = cx.server;
    let entries: Vec<&Entry> = if arguments.len() == 2 {
        called(server).collect()
    } else {
        arguments[2..].iter().filter_map(|name| server.commands.by_called_name(name)).collect()
    };
    cx.reply.map(entries.len());
    for entry in entries {
        document(cx, entry);
    }
    Ok(())
}

fn document(cx: &mut Context<'_>, entry: &Entry) {
    let server = cx.server;
    let command = &entry.spec;
    let arguments = syntax::parse(command.syntax);
    let subcommands = shown_subcommands(server, entry);
    let reply = &mut cx.reply;
    reply.bulk(entry.full_name.as_bytes());
    reply.map(4 + usize::from(!arguments.is_empty()) + usize::from(!subcommands.is_empty()));
    let fields = [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
        ("complexity", command.complexity),
    ];
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        document_arguments(reply, &arguments, &mut 0);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        for subcommand in subcommands {
            document(cx, subcommand);
        }
    }
}

fn document_arguments(reply: &mut Reply<'_>, arguments: &[Argument], keys: &mut i64) {
    reply.array(arguments.len());
    for argument in arguments {
        let key_spec = match argument.kind {
            syntax::ArgumentKind::Key => Some(argument.key_spec.unwrap_or(*keys)),
            _ => argument.key_spec,
        };
        let is_plain = argument.children.is_empty();
        let is_token = argument.kind == syntax::ArgumentKind::PureToken;
        let flags = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.multiple_token, "multiple_token"),
        ];
        let flags: Vec<&str> =
            flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).collect();
        let fields = 2
            + usize::from(is_plain)
            + usize::from(key_spec.is_some())
            + usize::from(argument.token.is_some())
            + usize::from(!flags.is_empty())
            + usize::from(!is_plain);
        reply.map(fields);
        let text = |reply: &mut Reply<'_>, name: &str, value: &str| {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        };
        text(reply, "name", &argument.name);
        text(reply, "type", argument.kind.word());
        if is_plain {
            let shown = argument.token.as_deref().filter(|_| is_token).unwrap_or(&argument.name);
            text(reply, "display_text", shown);
        }
        if let Some(index) = key_spec {
            reply.bulk(b"key_spec_index");
            reply.int(index);
            *keys = (*keys).max(index + 1);
        }
        if let Some(token) = &argument.token {
            text(reply, "token", token);
        }
        if !flags.is_empty() {
            reply.bulk(b"flags");
            reply.set(flags.len());
            flags.iter().for_each(|flag| reply.simple(flag));
        }
        if !is_plain {
            reply.bulk(b"arguments");
            document_arguments(reply, &argument.children, keys);
        }
    }
}

fn list(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let wanted: Box<dyn Fn(&Entry) -> bool + '_> = match arguments {
        [_, _] => Box::new(|_| true),
        [_, _, filter, kind, value] if args::is(filter, "FILTERBY") => {
            if args::is(kind, "MODULE") {
                Box::new(|_| false)
            } else if args::is(kind, "ACLCAT") {
                let name = args::text(value).to_ascii_lowercase();
                Box::new(move |entry| {
                    entry.spec.all_categories().iter().any(|category| category.name() == name)
                })
            } else if args::is(kind, "PATTERN") {
                Box::new(move |entry| glob::matches(value, entry.full_name.as_bytes(), true))
            } else {
                return Err(CommandError::Syntax);
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    let entries = cx.server.commands.entries().iter();
    let names: Vec<&str> = entries
        .filter(|entry| is_shown(cx.server, entry) && wanted(entry))
        .map(|entry| entry.full_name.as_str())
        .collect();
    cx.reply.array(names.len());
    for name in names {
        cx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// Whether COMMAND shows a command: not one that was taken away. Subcommands that `enable-debug-command` and its
/// like protect are hidden, as in Valkey: tools that try all commands shown (valkey-benchmark --fuzz) would end
/// the server with them.
fn is_shown(server: &Server, entry: &Entry) -> bool {
    let container =
        entry.full_name.split_once('|').and_then(|(name, _)| server.commands.by_full_name(name.as_bytes()));
    let is_protected = container.is_some_and(|container| container.spec.flags.has(Flags::PROTECTED));
    !is_protected && !container.unwrap_or(entry).called.is_empty()
}

/// Subcommands that COMMAND shows.
fn shown_subcommands<'s>(server: &'s Server, entry: &Entry) -> Vec<&'s Entry> {
    server.commands.entries()[entry.subcommands.clone()]
        .iter()
        .filter(|entry| is_shown(server, entry))
        .collect()
}

/// The keys of the command that stands from the third argument on.
fn find_keys(cx: &Context<'_>, arguments: &[&[u8]]) -> Result<KeyPositions, CommandError> {
    let words = &arguments[2..];
    let entry =
        cx.server.commands.find(words).map_err(|_| CommandError::text("ERR Invalid command specified"))?;
    let command = &entry.spec;
    let has_keys = command.keys.iter().any(|spec| spec.flags & KeySpec::NOT_KEY == 0);
    if !has_keys && command.moving_keys.is_none() {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    if !command.arity_allows(words.len()) {
        return Err(CommandError::text("ERR Invalid number of arguments specified for command"));
    }
    let found = told_keys(command, words);
    if found.is_empty() && !command.flags.has(Flags::NO_MANDATORY_KEYS) {
        return Err(CommandError::text("ERR Invalid arguments specified for command"));
    }
    Ok(found)
}

fn getkeys(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let found = find_keys(cx, arguments)?;
    cx.reply.array(found.len());
    for key in found {
        cx.reply.bulk(arguments[2 + key.argument]);
    }
    Ok(())
}

fn getkeysandflags(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let found = find_keys(cx, arguments)?;
    cx.reply.array(found.len());
    for key in found {
        cx.reply.array(2);
        cx.reply.bulk(arguments[2 + key.argument]);
        let words = KeySpec::words(key.flags & !KeySpec::VARIABLE_FLAGS);
        cx.reply.set(words.len());
        for word in words {
            cx.reply.simple(word);
        }
    }
    Ok(())
}
