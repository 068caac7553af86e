//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::config::Directive;
use crate::engine::command::Command;
use crate::engine::context::{Context, Origin};
use crate::engine::transaction::{QueuedRequest, Transaction, Watch};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::SlotLock;
use crate::shared::client::names;

const TRANSACTION: &[Category] = &[Category::Transaction];
const CONTROL: Flags =
    Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY).and(Flags::FAST);

const fn of_transactions(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command {
        name,
        arity,
        flags,
        categories: TRANSACTION,
        group: Group::Transactions,
        reply: "OK",
        ..Command::DEFAULT
    }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Queues the requests that follow, to be run together by EXEC; with ATOMIC all of them or none.",
        syntax: "[ATOMIC]",
        since: "1.2.0",
        run: multi,
        ..of_transactions("multi", -1, CONTROL.and(Flags::NO_MULTI).and(Flags::IN_STREAMS))
    },
    Command {
        summary: "Runs the queued requests, alone with their keys.",
        since: "1.2.0",
        complexity: "that of the queued requests",
        reply: "an array of their replies, or null when a watched key has changed",
        alone: Some(|server, client, _| server.transaction_runs_alone(client)),
        further_locks: Some(|server, client, plan| server.transaction_locks(client, plan)),
        run: exec,
        ..of_transactions(
            "exec",
            1,
            Flags::NOSCRIPT
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::SKIP_COMMANDLOG)
                .and(Flags::NOT_QUEUED)
                .and(Flags::RUNS_QUEUE),
        )
    },
    Command {
        summary: "Forgets the queued requests.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of queued requests",
        run: discard,
        ..of_transactions("discard", 1, CONTROL.and(Flags::NOT_QUEUED))
    },
    Command {
        summary: "Watches keys: when one of them changes, the next EXEC does nothing.",
        syntax: "key [key ...]",
        since: "2.2.0",
        complexity: "O(1) for each key",
        keys: &[KeySpec::rest(1, 1, KeySpec::RO)],
        // WATCH removes expired keys, so its keys are locked exclusively, where nothing slow has them.
        further_locks: Some(|_, _, plan| plan.iter_mut().for_each(|lock| lock.write = true)),
        run: watch,
        ..of_transactions("watch", -2, CONTROL.and(Flags::NO_MULTI).and(Flags::LOCKS_IF_FREE))
    },
    Command {
        summary: "Ends the watch over all keys.",
        since: "2.2.0",
        run: unwatch,
        ..of_transactions("unwatch", 1, CONTROL)
    },
];

fn multi(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let mut undoable = cx.server.config.flag(Directive::TransactionRollback);
    match &arguments[1..] {
        [] => {}
        [word] if args::is(word, "ATOMIC") => undoable = true,
        _ => return Err(CommandError::WrongArity("multi".into())),
    }
    cx.client.transaction = Some(Box::new(Transaction::new(undoable)));
    cx.client.shared.queued.store(0, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn discard(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    end_transaction(cx).ok_or(CommandError::text("ERR DISCARD without MULTI"))?;
    cx.server.unwatch(cx.client);
    cx.reply.ok();
    Ok(())
}

fn end_transaction(cx: &mut Context<'_>) -> Option<Box<Transaction>> {
    cx.client.shared.queued.store(-1, Ordering::Relaxed);
    cx.client.transaction.take()
}

fn watch(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let Watch { keys, wire } = &mut cx.client.watch;
    let wire = wire.get_or_insert_with(Arc::default);
    let mut bytes = 0;
    // Where something slow has the keys, what it changes from here on counts; so does the end of an expired one.
    let are_locked = cx.keys.held().next().is_some();
    // If a watched key has changed already, EXEC fails whatever else happens.
    if !wire.is_tripped() {
        for name in &arguments[1..] {
            let id = (cx.keys.database, Box::from(*name));
            if !keys.contains(&id) {
                // An expired key is removed now: its later removal must not count as a change.
                if are_locked {
                    cx.keys.remove_if_ended(&cx.keys.keyspace.hasher().key(name));
                }
                cx.server.effects.watches.add(id.clone(), wire);
                bytes += 2 * name.len() + names::KEY_BYTES;
                keys.insert(id);
            }
        }
        cx.client.shared.watched.store(keys.len(), Ordering::Relaxed);
        cx.client.shared.name_bytes[names::WATCHED].fetch_add(bytes, Ordering::Relaxed);
    }
    cx.reply.ok();
    Ok(())
}

fn unwatch(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.server.unwatch(cx.client);
    cx.reply.ok();
    Ok(())
}

fn exec(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let transaction = end_transaction(cx).ok_or(CommandError::text("ERR EXEC without MULTI"))?;
    let changed = has_watched_change(cx);
    cx.server.unwatch(cx.client);
    if transaction.aborted {
        return Err(CommandError::text("EXECABORT Transaction discarded because of previous errors."));
    }
    if changed {
        cx.reply.null_array();
        return Ok(());
    }
    if transaction.undoable {
        return exec_undoable(cx, &transaction);
    }
    cx.reply.array(transaction.requests.len());
    for queued in &transaction.requests {
        if let Err(error) = run_queued(cx, queued) {
            cx.reply_error(&error);
        }
    }
    if transaction.flags.has(Flags::CHANGES_ROLE) {
        // A replica that became a primary has entered nothing when EXEC began.
        cx.append_up_to_here();
    }
    Ok(())
}

/// Runs one queued request, if the client's user is still allowed to, and the server has not become a replica
/// by an earlier one.
fn run_queued(cx: &mut Context<'_>, queued: &QueuedRequest) -> CommandResult {
    let entry = &cx.server.commands.entries()[queued.command];
    let arguments = queued.request.arguments();
    if entry.spec.flags.has(Flags::WRITE) && !cx.client.is_loader && cx.server.following.refuses_writes() {
        return Err(CommandError::ReadOnlyReplica);
    }
    cx.server.permit_queued(cx.client, entry, &arguments)?;
    cx.run_nested(entry, &arguments, Origin::Transaction)
}

/// Runs all requests. At the first error the changes are undone and the error is the reply.
fn exec_undoable(cx: &mut Context<'_>, transaction: &Transaction) -> CommandResult {
    let (database, dirty) = (cx.client.database, cx.dirty);
    let field_sets = cx.client.field_sets.clone();
    cx.begin_undoable();
    cx.reply.array(transaction.requests.len());
    for (index, queued) in transaction.requests.iter().enumerate() {
        if let Err(error) = run_queued(cx, queued) {
            cx.undo();
            cx.client.select(database);
            cx.client.swap_field_sets(field_sets);
            cx.keys.database = database;
            cx.dirty = dirty;
            return Err(CommandError::new(format!(
                "EXECABORT Transaction rolled back because of request {} ('{}'): {error}",
                index + 1,
                cx.server.commands.entries()[queued.command].full_name,
            )));
        }
    }
    cx.commit();
    Ok(())
}

/// Whether a watched key has changed or expired since WATCH. The keys are locked, or the gate is held
/// exclusively.
fn has_watched_change(cx: &mut Context<'_>) -> bool {
    let Watch { keys, wire } = &cx.client.watch;
    wire.as_ref().is_some_and(|wire| wire.is_tripped()) || (!keys.is_empty() && any_ended(cx))
}

fn any_ended(cx: &mut Context<'_>) -> bool {
    let keys = cx.client.watch.keys.clone();
    keys.iter().any(|(database, name)| {
        let key = cx.keys.keyspace.hasher().key(name);
        if cx.keys.is_alone() {
            cx.keys.relock(&[SlotLock { database: *database as u16, slot: key.slot() as u16, write: false }]);
        }
        cx.keys.has_ended(*database, &key)
    })
}
