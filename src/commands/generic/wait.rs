//! WAIT and WAITAOF: waiting for replicas and for the disk.

use crate::command::{Category, Flags, Group, args};
use crate::config::Directive;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::serve_waiting::NO_FILE;
use crate::error::{CommandError, CommandResult};
use crate::shared::client::Door;
use crate::shared::waiter::{AckWait, WaitFor};

const CONNECTION: &[Category] = &[Category::Connection];
const WAITS: Flags = Flags::BLOCKING;

const fn waiting(name: &'static str, arity: i32) -> Command {
    Command { name, arity, flags: WAITS, categories: CONNECTION, group: Group::Generic, ..Command::DEFAULT }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Waits until replicas have what this connection wrote.",
        syntax: "numreplicas timeout",
        since: "3.0.0",
        reply: "how many replicas have it",
        run: wait_for_replicas,
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        ..waiting("wait", 3)
    },
    Command {
        summary: "Waits until what this connection wrote is in append-only files, here and at replicas.",
        syntax: "numlocal numreplicas timeout",
        since: "7.2.0",
        reply: "how many files here and how many replicas have it",
        run: waitaof,
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        ..waiting("waitaof", 4)
    },
];

/// Reads a number of replicas, from 0 on. There is one error for all that is none.
fn count(argument: &[u8]) -> Result<i64, CommandError> {
    args::int(argument).ok().filter(|count| *count >= 0).ok_or(CommandError::MustBePositive)
}

fn wait_for_replicas(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    refuse_on_replica(
        cx,
        "ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
    )?;
    let wanted = args::int(arguments[1])?;
    let until_ms = args::wait_milliseconds(arguments[2], cx.keys.now_ms)?;
    let acks = acks_of(cx, false, wanted, false);
    wait(cx, until_ms, acks);
    Ok(())
}

fn waitaof(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let local = args::int(arguments[1])?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = count(arguments[2])?;
    let until_ms = args::wait_milliseconds(arguments[3], cx.keys.now_ms)?;
    refuse_on_replica(
        cx,
        "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
    )?;
    if local > 0 && !cx.server.config.flag(Directive::Appendonly) {
        return Err(CommandError::text(NO_FILE));
    }
    let acks = acks_of(cx, local > 0, replicas, true);
    wait(cx, until_ms, acks);
    Ok(())
}

/// What a wait is for: all that this connection has changed.
fn acks_of(cx: &Context<'_>, local: bool, replicas: i64, of_disks: bool) -> AckWait {
    let position = cx.client.changed_to.max(cx.changes.position());
    let offset = cx.server.offset_of_changes(position);
    AckWait { position, offset, local, replicas: replicas.max(0) as usize, of_disks }
}

/// Answers at once where everything is acknowledged, and waits for it otherwise.
fn wait(cx: &mut Context<'_>, until_ms: Option<u64>, acks: AckWait) {
    let nothing = cx.server.count_acks(&acks);
    if cx.server.is_acknowledged(&acks) {
        nothing.write(&mut cx.reply);
        return;
    }
    cx.wait_for(WaitFor {
        keys: 0..0,
        type_name: "none",
        wants_loss: false,
        until_ms,
        retry_at_ms: None,
        acks: Some(acks),
        nothing,
        request: None,
    });
}

fn refuse_on_replica(cx: &Context<'_>, text: &'static str) -> CommandResult {
    if cx.client.door == Door::Main && !cx.server.following.is_replica() {
        Ok(())
    } else {
        Err(CommandError::text(text))
    }
}
