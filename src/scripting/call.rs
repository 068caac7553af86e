//! `redis.call` and `redis.pcall`: a command of a script.

use std::sync::atomic::Ordering;

use mlua::{MultiValue, Value};
use smallvec::SmallVec;

use crate::command::keys::{LockPlan, PlannedKey, drop_foreign, for_each_key, lock_plan};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::command::{Group, Spec};
use crate::engine::Server;
use crate::engine::context::{Context, Origin};
use crate::engine::judge::changes_server;
use crate::engine::profile::ScriptReach;
use crate::error::CommandError;
use crate::keyspace::key_hash::{SLOT_COUNT, slot_of_hash};
use crate::lua::control::{Control, ForcedEnd};
use crate::lua::convert;
use crate::lua::vm::Vm;
use crate::lua::words::{Words, split};
use crate::resp::Version;
use crate::shared::client::Door;

/// What a script may do, and has done.
#[derive(Debug)]
pub struct Permits {
    /// It may not write.
    pub read_only: bool,
    /// It may need memory although that is over its limit.
    pub allow_oom: bool,
    /// Its keys may lie in several slots although this is a cluster.
    pub cross_slot: bool,
    /// The slot that its keys are in, once one is known; only looked at in a cluster.
    pub slot: Option<usize>,
    /// It has changed something: SCRIPT KILL leaves it alone.
    pub wrote: bool,
    /// It has run a command that may write, whether that changed anything or not: it is not stopped half way
    /// for lack of memory.
    pub ran_write: bool,
    /// Its user may not run the command that it called last.
    pub denied: bool,
    /// The text of the latest error of a command that it called; INFO has counted it.
    pub counted: Option<String>,
    /// It reached for a key whose lock it does not hold.
    pub reached_too_far: bool,
}

/// Whether the client's scripts may not write: on the read-only port, where the client only looks, and on a
/// replica but for its primary.
pub fn is_read_only(cx: &Context<'_>) -> bool {
    let simulated = || !cx.client.is_inside && cx.server.simulation.is_read_only(cx.keys.now_ms);
    cx.client.door == Door::ReadOnly
        || cx.client.views_only
        || (cx.server.following.refuses_writes() || simulated()) && !cx.client.is_loader
}

/// Runs a command that a script calls in a machine. Answers the reply as a Lua value, or the command's error.
///
/// # Errors
/// When the machine's memory is full.
pub fn call(
    cx: &mut Context<'_>,
    permits: &mut Permits,
    vm: &Vm,
    buffer: &mut Words,
    arguments: &MultiValue,
) -> mlua::Result<Result<Value, CommandError>> {
    if let Err(error) = buffer.fill(arguments, vm.limit()) {
        return Ok(Err(error));
    }
    let Words { bytes, ends, names } = buffer;
    let words = &split(bytes, ends);
    let resolved = resolve(cx.server, names, words);
    let start = match perform(cx, permits, Some(&vm.control), vm.version(), resolved, words) {
        Ok(start) => start,
        Err(error) => return Ok(Err(error)),
    };
    let reply = cx.reply.written_since(start);
    let value = match reply {
        [b':', ..] => convert::to_lua(&vm.lua, &vm.names, reply, 0),
        _ => vm.unasked(reply.len(), || convert::to_lua(&vm.lua, &vm.names, reply, 0)),
    };
    cx.reply.truncate(start);
    Ok(Ok(value?.0))
}

/// Runs a command that a script calls, in a machine or without. Answers where its reply begins, in that
/// version of the protocol: the caller takes it away again.
///
/// # Errors
/// The command's, or why the script may not run it. INFO has counted it.
pub fn perform<'c>(
    cx: &mut Context<'c>,
    permits: &mut Permits,
    control: Option<&Control>,
    version: Version,
    resolved: Result<&'c Entry, CommandError>,
    words: &[&[u8]],
) -> Result<usize, CommandError> {
    let outer = cx.reply.version();
    cx.reply.set_version(version);
    let start = cx.reply.position();
    let result = resolved.and_then(|entry| run(cx, permits, control, entry, words));
    cx.reply.set_version(outer);
    if let Err(error) = result {
        cx.reply.truncate(start);
        if !permits.reached_too_far {
            let code = if std::mem::take(&mut permits.denied) { "NOPERM".to_owned() } else { error.code() };
            cx.server.stats.error(crate::worker::current(), &code);
            permits.counted = Some(error.to_string());
        }
        return Err(error);
    }
    Ok(start)
}

/// `redis.acl_check_cmd`: whether the client's user may run a command with these arguments, however many it
/// wants.
///
/// # Errors
/// What is no command.
pub fn may_call(cx: &mut Context<'_>, arguments: &MultiValue) -> Result<bool, CommandError> {
    let mut buffer = Words::default();
    buffer.fill(arguments, crate::lua::memory_limit(&cx.server.config))?;
    let words = split(&buffer.bytes, &buffer.ends);
    let entry = cx
        .server
        .commands
        .find(&words)
        .map_err(|_| CommandError::text("ERR Invalid command passed to server.acl_check_cmd()"))?;
    cx.server.look_at_rights(cx.client);
    Ok(cx.server.examine(cx.client, entry, &words).is_ok())
}

/// Whether a command that scripts may not call is allowed for now: not one of a transaction or script, which
/// cannot be inside another.
fn is_allowed_for_tests(server: &Server, command: &Spec) -> bool {
    const NEVER: Flags = Flags::NO_MULTI.and(Flags::NOT_QUEUED).and(Flags::RUNS_QUEUE);
    server.scripting.allows_all.load(Ordering::Relaxed)
        && !command.flags.intersects(NEVER)
        && command.group != Group::Scripting
}

/// Names of commands that a machine remembers.
const NAMES_MAX: usize = 16;

/// Finds the command that a script means.
fn resolve<'t>(
    server: &'t Server,
    names: &mut Vec<(Box<[u8]>, usize)>,
    words: &[&[u8]],
) -> Result<&'t Entry, CommandError> {
    let table = &server.commands;
    let known = names.iter().find(|(name, _)| **name == *words[0]);
    let resolved = match known {
        Some((_, entry)) => table.resolve_again(words, *entry),
        None => table.resolve(words).inspect(|entry| {
            if names.len() >= NAMES_MAX {
                names.clear();
            }
            names.push((Box::from(words[0]), entry.id));
        }),
    };
    resolved.map_err(|error| unresolved(server, error, words))
}

/// What a script is told of a command that could not be resolved.
pub fn unresolved(server: &Server, error: CommandError, words: &[&[u8]]) -> CommandError {
    match error {
        CommandError::UnknownCommand { .. } => CommandError::text("ERR Unknown command called from script"),
        CommandError::WrongArity(_) => {
            if let Ok(entry) = server.commands.find(words) {
                server.stats.command_rejected(crate::worker::current(), entry.id);
            }
            CommandError::text("ERR Wrong number of args calling command from script")
        }
        other => other,
    }
}

/// The gate of a script's command, then the command.
fn run<'c>(
    cx: &mut Context<'c>,
    permits: &mut Permits,
    control: Option<&Control>,
    entry: &'c Entry,
    words: &[&[u8]],
) -> Result<(), CommandError> {
    let server = cx.server;
    if let Err(error) = judge(cx, permits, control, entry, words) {
        if !permits.reached_too_far {
            server.stats.command_rejected(crate::worker::current(), entry.id);
        }
        return Err(error);
    }
    let dirty = cx.dirty;
    permits.ran_write |= entry.spec.flags.has(Flags::WRITE);
    let result = cx.run_nested(entry, words, Origin::Script);
    if cx.dirty != dirty && !permits.wrote {
        permits.wrote = true;
        if let Some(control) = control {
            control.note_write();
        }
    }
    result
}

/// Whether a script may run a command, here and now.
fn judge(
    cx: &mut Context<'_>,
    permits: &mut Permits,
    control: Option<&Control>,
    entry: &Entry,
    words: &[&[u8]],
) -> Result<(), CommandError> {
    let (server, command) = (cx.server, &entry.spec);
    if command.flags.has(Flags::NOSCRIPT) && !is_allowed_for_tests(server, command) {
        return Err(CommandError::text("ERR This Valkey command is not allowed from script"));
    }
    server.permit_in_script(cx.client, entry, words).inspect_err(|_| permits.denied = true)?;
    let writes = command.flags.has(Flags::WRITE);
    if permits.read_only && (writes || command.flags.has(Flags::MAY_REPLICATE)) {
        return Err(CommandError::text("ERR Write commands are not allowed from read-only scripts."));
    }
    let stops_for_memory = cx.client.out_of_memory && !permits.allow_oom && !permits.ran_write;
    if command.flags.has(Flags::DENYOOM) && stops_for_memory {
        return Err(CommandError::OutOfMemory);
    }
    if writes && server.lacks_replicas() {
        return Err(CommandError::NoReplicas);
    }
    if writes && let Some(refused) = server.refusal_by_disk() {
        return Err(refused);
    }
    if cx.client.views_only && changes_server(command.flags) {
        return Err(CommandError::ReadOnlyReplica);
    }
    if writes && is_read_only(cx) {
        return Err(CommandError::ReadOnlyReplica);
    }
    if !command.flags.has(Flags::STALE) && server.following.refuses_reads() && !cx.client.is_loader {
        return Err(CommandError::text("ERR Can not execute the command on a stale replica"));
    }
    let mut keys: SmallVec<[PlannedKey; 4]> = SmallVec::new();
    for_each_key(command, words, |position| {
        let hash = cx.hash_of_nested(words[position.argument]);
        keys.push(PlannedKey { argument: position.argument as u32, flags: position.flags, hash });
    });
    if server.profile.is_some() {
        let slots = keys.iter().map(|key| slot_of_hash(key.hash)).collect();
        let reach = ScriptReach { slots, slot: permits.slot };
        server.judge_script_by_profile(cx.client, entry, words, &keys, &reach)?;
        permits.slot = reach.slot.or_else(|| reach.slots.first().copied());
    }
    let keyspace = cx.keys.keyspace;
    let mut plan = LockPlan::new();
    lock_plan(command, words, &keys, cx.client.database, keyspace.hasher(), &mut plan);
    drop_foreign(&mut plan, keyspace);
    if server.keeps_to_slots() && !permits.cross_slot {
        for lock in &plan {
            let slot = usize::from(lock.slot);
            debug_assert!(slot < SLOT_COUNT);
            if *permits.slot.get_or_insert(slot) != slot {
                return Err(CommandError::text(
                    "ERR Script attempted to access keys that do not hash to the same slot",
                ));
            }
        }
    }
    let too_far = !cx.keys.is_alone()
        && (plan.iter().any(|lock| !cx.keys.covers(*lock))
            || command.flags.intersects(Flags::WHOLE_KEYSPACE.and(Flags::SELECTS))
            || command.may_run_alone);
    if too_far || permits.reached_too_far {
        permits.reached_too_far = true;
        if let Some(control) = control {
            control.force_end(ForcedEnd::Undeclared);
        }
        return Err(CommandError::text("ERR Script reached for a key that it did not declare"));
    }
    Ok(())
}
