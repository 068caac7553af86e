//! Functions: FCALL, FCALL_RO and FUNCTION.

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::scripting::eval::kill_running;
use crate::commands::shared::help;
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::glob;
use crate::lua::control::Running;
use crate::lua::functions::{Policy, Turn};
use crate::rdb::functions as payload;
use crate::scripting::run::{self, Program};

const SCRIPTING: &[Category] = &[Category::Scripting];
const CALLS: Flags = Flags::NOSCRIPT
    .and(Flags::STALE)
    .and(Flags::SKIP_MONITOR)
    .and(Flags::NO_MANDATORY_KEYS)
    .and(Flags::MOVABLE_KEYS);

const fn calling(name: &'static str, flags: Flags, key_flags: &'static [KeySpec]) -> Command {
    Command {
        name,
        arity: -3,
        flags,
        keys: key_flags,
        categories: SCRIPTING,
        group: Group::Scripting,
        syntax: "function numkeys [key [key ...]] [arg [arg ...]]",
        since: "7.0.0",
        complexity: "that of the function",
        reply: "what the function returns",
        alone: Some(|server, _, arguments| alone(server, arguments)),
        program: Some(|arguments| [b"function ", arguments[1]].concat()),
        ..Command::DEFAULT
    }
}

const fn of_function(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command {
        name,
        arity,
        flags,
        categories: SCRIPTING,
        group: Group::Scripting,
        since: "7.0.0",
        ..Command::DEFAULT
    }
}

const CHANGES: Flags = Flags::NOSCRIPT.and(Flags::WRITE);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Calls a function.",
        reads_only: Some(|server, arguments| {
            let flags = server.scripting.libraries.flags(arguments[1]);
            flags.is_some_and(|flags| flags.no_writes)
        }),
        run: fcall,
        ..calling(
            "fcall",
            CALLS.and(Flags::MAY_REPLICATE),
            &[KeySpec::counted(2, 1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
        )
    },
    Command {
        summary: "Calls a function that does not write.",
        run: fcall_ro,
        ..calling(
            "fcall_ro",
            CALLS.and(Flags::READONLY),
            &[KeySpec::counted(2, 1, KeySpec::RO | KeySpec::ACCESS)],
        )
    },
    Command {
        name: "function",
        arity: -2,
        group: Group::Scripting,
        summary: "Loads, lists and deletes libraries of functions.",
        since: "7.0.0",
        subcommands: &[
            Command {
                summary: "Adds a library.",
                syntax: "[REPLACE] function-code",
                complexity: "O(N) where N is the number of functions",
                reply: "the library's name",
                run: load,
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                ..of_function("load", -3, CHANGES.and(Flags::DENYOOM))
            },
            Command {
                summary: "Deletes a library.",
                syntax: "library-name",
                reply: "OK",
                run: delete,
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                ..of_function("delete", 3, CHANGES)
            },
            Command {
                summary: "Deletes all libraries.",
                syntax: "[ASYNC | SYNC]",
                complexity: "O(N) where N is the number of functions",
                reply: "OK",
                run: flush,
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                ..of_function("flush", -2, CHANGES)
            },
            Command {
                summary: "Lists the libraries.",
                syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
                complexity: "O(N) where N is the number of functions",
                reply: "an array of libraries",
                run: list,
                tips: &["nondeterministic_output_order"],
                ..of_function("list", -2, Flags::NOSCRIPT)
            },
            Command {
                summary: "Returns all libraries in a form that RESTORE takes.",
                complexity: "O(N) where N is the number of functions",
                reply: "bytes",
                run: dump,
                ..of_function("dump", 2, Flags::NOSCRIPT)
            },
            Command {
                summary: "Adds the libraries that DUMP returned.",
                syntax: "serialized-value [FLUSH | APPEND | REPLACE]",
                complexity: "O(N) where N is the number of functions",
                reply: "OK",
                run: restore,
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                ..of_function("restore", -3, CHANGES.and(Flags::DENYOOM))
            },
            Command {
                summary: "Ends functions that run too long and have written nothing that could not be put back.",
                reply: "OK",
                run: kill,
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                ..of_function("kill", 2, Flags::NOSCRIPT.and(Flags::ALLOW_BUSY).and(Flags::ACTS))
            },
            Command {
                summary: "Tells which function is running, and how many there are.",
                reply: "a map",
                run: stats,
                tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                ..of_function("stats", 2, Flags::NOSCRIPT.and(Flags::ALLOW_BUSY))
            },
            help::entry("7.0.0", Group::Scripting, SCRIPTING),
        ],
        ..Command::DEFAULT
    },
];

fn alone(server: &Server, arguments: &[&[u8]]) -> bool {
    // A missing function fails before it touches anything.
    server
        .scripting
        .libraries
        .find(arguments[1])
        .is_some_and(|(library, _)| run::runs_alone(server, &library.reach, &library.misjudged, arguments))
}

fn fcall(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    call(cx, arguments, false)
}

fn fcall_ro(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    call(cx, arguments, true)
}

fn call(cx: &mut Context<'_>, arguments: &[&[u8]], read_only: bool) -> CommandResult {
    // Before what it calls.
    cx.show_to_monitors(arguments);
    let (library, place) = cx
        .server
        .scripting
        .libraries
        .find(arguments[1])
        .ok_or(CommandError::text("ERR Function not found"))?;
    let function = &library.functions[place];
    if read_only && !function.flags.no_writes {
        return Err(CommandError::text("ERR Can not execute a script with write flag using *_ro command."));
    }
    let program = Program::Function { name: function.name.clone(), flags: function.flags, library };
    run::run(cx, &program, arguments, read_only)
}

fn load(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (policy, source) = match &arguments[2..] {
        [source] => (Policy::Load, *source),
        [word, source] if args::is(word, "REPLACE") => (Policy::Replace, *source),
        [word, ..] => {
            let word = args::text(word);
            return Err(CommandError::new(format!("ERR Unknown option given: {word}")));
        }
        [] => return Err(CommandError::WrongArity("function|load".into())),
    };
    cx.keys.announce(source.len());
    let turn = change(cx)?;
    let names = add(cx, &turn, &[source], policy)?;
    enter_now(cx, arguments);
    drop(turn);
    cx.dirty += 1;
    cx.reply.bulk(names.first().map_or(b"", |name| name.as_bytes()));
    Ok(())
}

/// Takes the turn to change libraries.
///
/// # Errors
/// They are being read again: the files that they come from do not hold what would change now.
fn change<'c>(cx: &Context<'c>) -> Result<Turn<'c>, CommandError> {
    let server = cx.server;
    let turn = server.scripting.libraries.change();
    if server.loading.is_active() && !cx.client.is_loader {
        return Err(CommandError::loading(server.config.flag(Directive::ExtendedRedisCompatibility)));
    }
    Ok(turn)
}

/// Enters the request into the journal while other changes of libraries are kept out.
fn enter_now(cx: &Context<'_>, arguments: &[&[u8]]) {
    if cx.is_journaled() {
        cx.changes.enter_now(cx.keys.database, arguments);
    }
}

fn add(
    cx: &Context<'_>,
    turn: &Turn<'_>,
    sources: &[&[u8]],
    policy: Policy,
) -> Result<Vec<String>, CommandError> {
    let limit = crate::lua::memory_limit(&cx.server.config);
    cx.server.scripting.add_libraries(turn, limit, &cx.server.commands, sources, policy)
}

fn delete(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let turn = change(cx)?;
    if !cx.server.scripting.libraries.delete(&turn, arguments[2]) {
        return Err(CommandError::text("ERR Library not found"));
    }
    enter_now(cx, arguments);
    drop(turn);
    cx.dirty += 1;
    cx.reply.ok();
    Ok(())
}

fn flush(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    match arguments {
        [_, _] => {}
        [_, _, word] if args::is(word, "ASYNC") || args::is(word, "SYNC") => {}
        [_, _, _] => return Err(CommandError::text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")),
        [_, _, _, ..] => return Err(help::wrong_subcommand(cx, arguments)),
        _ => return Err(CommandError::WrongArity("function|flush".into())),
    }
    let turn = change(cx)?;
    cx.server.scripting.libraries.flush(&turn);
    enter_now(cx, arguments);
    drop(turn);
    cx.dirty += 1;
    cx.reply.ok();
    Ok(())
}

fn list(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (mut pattern, mut with_code) = (None, false);
    let mut rest = &arguments[2..];
    while let [word, others @ ..] = rest {
        rest = others;
        if args::is(word, "WITHCODE") && !with_code {
            with_code = true;
        } else if args::is(word, "LIBRARYNAME") && pattern.is_none() {
            let [given, others @ ..] = rest else {
                return Err(CommandError::text("ERR library name argument was not given"));
            };
            (pattern, rest) = (Some(*given), others);
        } else {
            return Err(CommandError::new(format!("ERR Unknown argument {}", args::text(word))));
        }
    }
    let mut libraries = cx.server.scripting.libraries.all();
    libraries.retain(|library| {
        pattern.is_none_or(|pattern| glob::matches(pattern, library.name.as_bytes(), true))
    });
    let reply = &mut cx.reply;
    reply.array(libraries.len());
    for library in libraries {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk(b"library_name");
        reply.bulk(library.name.as_bytes());
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        reply.array(library.functions.len());
        for function in &library.functions {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(function.name.as_bytes());
            reply.bulk(b"description");
            reply.bulk_or_null(function.description.as_deref());
            reply.bulk(b"flags");
            let flags = function.flags.names();
            reply.set(flags.len());
            flags.into_iter().for_each(|flag| reply.simple(flag));
        }
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(&library.source);
        }
    }
    Ok(())
}

fn dump(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let libraries = cx.server.scripting.libraries.all();
    cx.reply.bulk(&payload::dump(libraries.iter().map(|library| &*library.source)));
    Ok(())
}

fn restore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let policy = match &arguments[3..] {
        [] => Policy::Append,
        [word] if args::is(word, "APPEND") => Policy::Append,
        [word] if args::is(word, "REPLACE") => Policy::Replace,
        [word] if args::is(word, "FLUSH") => Policy::Flush,
        [_] => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(help::wrong_subcommand(cx, arguments)),
    };
    cx.keys.announce(arguments[2].len());
    let max = cx.server.settings.bulk_max().max(0) as usize;
    let sources = payload::restore(arguments[2], crate::commands::generic::dump::footer_check(cx), max)
        .ok_or(CommandError::text("ERR DUMP payload version or checksum are wrong"))?;
    let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
    let turn = change(cx)?;
    add(cx, &turn, &sources, policy)?;
    enter_now(cx, arguments);
    drop(turn);
    cx.dirty += 1;
    cx.reply.ok();
    Ok(())
}

fn kill(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    kill_running(cx, true)
}

fn stats(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let scripting = &cx.server.scripting;
    let slow = scripting.slow.all();
    let threshold_ms = cx.server.config.int(Directive::BusyReplyThreshold);
    let is_busy = |running: &Running| threshold_ms > 0 && running.elapsed_ms() >= threshold_ms as u64;
    let running = slow.iter().find(|running| running.start.function.is_some());
    if running.is_none() && slow.iter().any(|running| is_busy(running)) {
        // A script is running, not a function: FUNCTION STATS tells of functions only.
        return Err(CommandError::busy(false));
    }
    let reply = &mut cx.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some(running) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(running.name().as_bytes());
            reply.bulk(b"command");
            reply.array(running.start.command.len());
            running.start.command.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.int(running.elapsed_ms() as i64);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.count(scripting.libraries.all().len());
    reply.bulk(b"functions_count");
    reply.count(scripting.libraries.function_count());
    Ok(())
}
