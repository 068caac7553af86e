//! Scripts: EVAL and its kin, and SCRIPT.

use std::sync::Arc;

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::shared::help;
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::lua::scripts::{Script, hex, sha1_hex};
use crate::scripting::run::{self, Program};

const SCRIPTING: &[Category] = &[Category::Scripting];
const KEYS: &[KeySpec] = &[KeySpec::counted(2, 1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)];
const READ_KEYS: &[KeySpec] = &[KeySpec::counted(2, 1, KeySpec::RO | KeySpec::ACCESS)];
const RUNS: Flags = Flags::NOSCRIPT
    .and(Flags::STALE)
    .and(Flags::SKIP_MONITOR)
    .and(Flags::NO_MANDATORY_KEYS)
    .and(Flags::MOVABLE_KEYS);
const MAY_WRITE: Flags = RUNS.and(Flags::MAY_REPLICATE);
const READS: Flags = RUNS.and(Flags::READONLY);

/// Hexadecimal digits of a SHA1.
const SHA_DIGITS: usize = 40;

const fn running(name: &'static str, flags: Flags, keys: &'static [KeySpec]) -> Command {
    Command {
        name,
        arity: -3,
        flags,
        keys,
        categories: SCRIPTING,
        group: Group::Scripting,
        complexity: "that of the script",
        reply: "what the script returns",
        ..Command::DEFAULT
    }
}

const fn of_script(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command { name, arity, flags, categories: SCRIPTING, group: Group::Scripting, ..Command::DEFAULT }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Runs a script in Lua.",
        syntax: "script numkeys [key [key ...]] [arg [arg ...]]",
        since: "2.6.0",
        alone: Some(|server, _, arguments| alone_by_source(server, arguments)),
        reads_only: Some(|server, arguments| {
            let script = server.scripting.scripts.of_source(arguments[1], &server.commands);
            script.is_ok_and(|script| script.flags.no_writes)
        }),
        program: Some(|arguments| of_sha(sha1_hex(arguments[1]).as_bytes())),
        run: eval,
        ..running("eval", MAY_WRITE, KEYS)
    },
    Command {
        summary: "Runs a script in Lua that may not write.",
        syntax: "script numkeys [key [key ...]] [arg [arg ...]]",
        since: "7.0.0",
        alone: Some(|server, _, arguments| alone_by_source(server, arguments)),
        program: Some(|arguments| of_sha(sha1_hex(arguments[1]).as_bytes())),
        run: eval_ro,
        ..running("eval_ro", READS, READ_KEYS)
    },
    Command {
        summary: "Runs a script that the server knows, by its SHA1.",
        syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]",
        since: "2.6.0",
        alone: Some(|server, _, arguments| alone_by_name(server, arguments)),
        reads_only: Some(|server, arguments| {
            let script = server.scripting.scripts.of_hex(arguments[1]);
            script.is_some_and(|script| script.flags.no_writes)
        }),
        program: Some(|arguments| of_sha(arguments[1])),
        run: evalsha,
        ..running("evalsha", MAY_WRITE, KEYS)
    },
    Command {
        summary: "Runs a script that the server knows and that may not write, by its SHA1.",
        syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]",
        since: "7.0.0",
        alone: Some(|server, _, arguments| alone_by_name(server, arguments)),
        program: Some(|arguments| of_sha(arguments[1])),
        run: evalsha_ro,
        ..running("evalsha_ro", READS, READ_KEYS)
    },
    Command {
        name: "script",
        arity: -2,
        group: Group::Scripting,
        summary: "Tells and changes which scripts the server knows, and ends those that run too long.",
        since: "2.6.0",
        subcommands: &[
            Command {
                summary: "Forgets all scripts.",
                syntax: "[ASYNC | SYNC]",
                since: "2.6.0",
                complexity: "O(N) where N is the number of scripts",
                reply: "OK",
                run: flush,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..of_script("flush", -2, Flags::NOSCRIPT.and(Flags::STALE).and(Flags::ACTS))
            },
            Command {
                summary: "Tells which scripts are known.",
                syntax: "sha1 [sha1 ...]",
                since: "2.6.0",
                complexity: "O(N) where N is the number of scripts asked for",
                reply: "an array of ones and zeros",
                run: exists,
                tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
                ..of_script("exists", -3, Flags::NOSCRIPT.and(Flags::STALE))
            },
            Command {
                summary: "Makes a script known without running it.",
                syntax: "script",
                since: "2.6.0",
                complexity: "O(N) where N is the length of the script",
                reply: "its SHA1",
                run: load,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..of_script("load", 3, Flags::NOSCRIPT.and(Flags::STALE).and(Flags::ACTS))
            },
            Command {
                summary: "Ends scripts that run too long and have written nothing that could not be put back.",
                since: "2.6.0",
                reply: "OK",
                run: kill,
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                ..of_script("kill", 2, Flags::NOSCRIPT.and(Flags::ALLOW_BUSY).and(Flags::ACTS))
            },
            Command {
                summary: "Returns the text of a script.",
                syntax: "sha1",
                since: "8.0.0",
                family: Family::Valkey("8.0"),
                reply: "the text",
                run: show,
                ..of_script("show", 3, Flags::NOSCRIPT.and(Flags::STALE))
            },
            Command {
                summary: "Sets how scripts are debugged: there is no debugger, so only NO is taken.",
                syntax: "(YES | SYNC | NO) [engine]",
                since: "3.2.0",
                reply: "OK",
                run: debug,
                ..of_script("debug", -3, Flags::NOSCRIPT)
            },
            help::entry("5.0.0", Group::Scripting, SCRIPTING),
        ],
        ..Command::DEFAULT
    },
];

/// The name of a script, by its SHA1 in hexadecimal.
fn of_sha(digits: &[u8]) -> Vec<u8> {
    [b"script ", &digits[..digits.len().min(SHA_DIGITS)]].concat()
}

fn alone_by_source(server: &Server, arguments: &[&[u8]]) -> bool {
    let script = server.scripting.scripts.of_source(arguments[1], &server.commands);
    script.is_ok_and(|script| run::runs_alone(server, &script.reach, &script.misjudged, arguments))
}

fn alone_by_name(server: &Server, arguments: &[&[u8]]) -> bool {
    let script = server.scripting.scripts.of_hex(arguments[1]);
    script.is_some_and(|script| run::runs_alone(server, &script.reach, &script.misjudged, arguments))
}

fn eval(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    eval_source(cx, arguments, false)
}

fn eval_ro(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    eval_source(cx, arguments, true)
}

fn eval_source(cx: &mut Context<'_>, arguments: &[&[u8]], read_only: bool) -> CommandResult {
    // Before what it calls.
    cx.show_to_monitors(arguments);
    run::key_count(arguments)?;
    let script = cx.server.scripting.scripts.of_source(arguments[1], &cx.server.commands)?;
    run_script(cx, script, arguments, read_only)
}

fn evalsha(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    eval_known(cx, arguments, false)
}

fn evalsha_ro(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    eval_known(cx, arguments, true)
}

fn eval_known(cx: &mut Context<'_>, arguments: &[&[u8]], read_only: bool) -> CommandResult {
    cx.show_to_monitors(arguments);
    let script = known(cx, arguments[1])?;
    if cx.server.simulation.forgets_script() && !cx.client.is_loader {
        return Err(NO_SCRIPT);
    }
    run_script(cx, script, arguments, read_only)
}

fn run_script(
    cx: &mut Context<'_>,
    script: Arc<Script>,
    arguments: &[&[u8]],
    read_only: bool,
) -> CommandResult {
    run::run(cx, &Program::Script(script), arguments, read_only)
}

const NO_SCRIPT: CommandError = CommandError::text("NOSCRIPT No matching script.");

fn known(cx: &Context<'_>, digest: &[u8]) -> Result<Arc<Script>, CommandError> {
    let script = cx.server.scripting.scripts.of_hex(digest);
    script.ok_or(NO_SCRIPT)
}

fn load(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let scripting = &cx.server.scripting;
    let script = scripting.scripts.of_source(arguments[2], &cx.server.commands)?;
    let limit = crate::lua::memory_limit(&cx.server.config);
    let compiled = scripting.with_machine(limit, |vm| vm.compiled(&script));
    let compiled = compiled.map_err(|error| CommandError::new(format!("ERR {error}")))?;
    if let Err(message) = compiled {
        scripting.scripts.forget(&script);
        return Err(CommandError::new(format!("ERR Error compiling script (new function): {message}")));
    }
    scripting.scripts.keep(&script);
    cx.reply.bulk(hex(&script.sha).as_bytes());
    Ok(())
}

fn flush(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    match arguments {
        [_, _] => {}
        [_, _, word] if args::is(word, "ASYNC") || args::is(word, "SYNC") => {}
        _ => return Err(CommandError::text("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
    cx.server.scripting.flush();
    cx.server.upkeep.keeper.wake_all();
    cx.reply.ok();
    Ok(())
}

fn exists(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.reply.array(arguments.len() - 2);
    for digest in &arguments[2..] {
        let is_known = cx.server.scripting.scripts.of_hex(digest).is_some();
        cx.reply.int(i64::from(is_known));
    }
    Ok(())
}

fn show(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let script = known(cx, arguments[2])?;
    cx.reply.bulk(&script.source);
    Ok(())
}

fn debug(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    match arguments[2] {
        word if args::is(word, "NO") => cx.reply.ok(),
        word if args::is(word, "YES") || args::is(word, "SYNC") => {
            return Err(CommandError::text("ERR There is no debugger of scripts"));
        }
        _ => return Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    }
    Ok(())
}

fn kill(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    kill_running(cx, false)
}

/// The error of other commands while a script or a function has been running for too long.
pub fn busy_text(is_function: bool) -> CommandError {
    CommandError::text(if is_function {
        "BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
    } else {
        "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
    })
}

/// Ends all slow scripts (or functions) that can be ended.
///
/// # Errors
/// There is none, or none that can be ended.
pub(super) fn kill_running(cx: &mut Context<'_>, functions: bool) -> CommandResult {
    let mut running = cx.server.scripting.slow.all();
    let any = !running.is_empty();
    running.retain(|running| running.start.function.is_some() == functions);
    if running.is_empty() && any {
        // Only those of the other kind are running, which the other command ends.
        return Err(busy_text(!functions));
    }
    if running.is_empty() {
        return Err(CommandError::text("NOTBUSY No scripts in execution right now."));
    }
    running.retain(|running| !running.start.is_streamed);
    if running.is_empty() {
        return Err(CommandError::text(
            "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.",
        ));
    }
    if running.iter().filter(|running| running.kill()).count() == 0 {
        return Err(CommandError::text(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
        ));
    }
    cx.reply.ok();
    Ok(())
}
