//! Lists: commands that block until there is an element.

use crate::command::{Begin, Category, Find, Flags, Group, KeySpec, args};
use crate::commands::list::elements;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::CommandResult;
use crate::shared::waiter::{EmptyReply, WaitFor};
use crate::types::list::End;

const LIST: &[Category] = &[Category::List];
const TAKEN: u16 = KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE;
const WAITS: Flags = Flags::WRITE.and(Flags::BLOCKING);
/// Key spec of all arguments but the last, which is the timeout.
const ALL_BUT_LAST: &[KeySpec] =
    &[KeySpec { flags: TAKEN, begin: Begin::Index(1), find: Find::Range { last: -2, step: 1, limit: 0 } }];
const MOVE: &[KeySpec] = &[KeySpec::one(1, TAKEN), KeySpec::one(2, KeySpec::RW | KeySpec::INSERT)];

const fn waiting(name: &'static str, arity: i32, flags: Flags, keys: &'static [KeySpec]) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        categories: LIST,
        group: Group::List,
        since: "2.0.0",
        ..Command::DEFAULT
    }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Takes an element from the head of the first list that has one; waits until there is one.",
        syntax: "key [key ...] timeout:double",
        complexity: "O(N) where N is the number of keys",
        reply: "the key and the element, or null when the time is over",
        run: blpop,
        ..waiting("blpop", -3, WAITS, ALL_BUT_LAST)
    },
    Command {
        summary: "Takes an element from the tail of the first list that has one; waits until there is one.",
        syntax: "key [key ...] timeout:double",
        complexity: "O(N) where N is the number of keys",
        reply: "the key and the element, or null when the time is over",
        run: brpop,
        ..waiting("brpop", -3, WAITS, ALL_BUT_LAST)
    },
    Command {
        summary: "Moves an element between ends of lists as LMOVE does; waits until there is one.",
        syntax: "source destination (LEFT | RIGHT) (LEFT | RIGHT) timeout:double",
        since: "6.2.0",
        reply: "the element, or null when the time is over",
        run: blmove,
        ..waiting("blmove", 6, WAITS.and(Flags::DENYOOM), MOVE)
    },
    Command {
        summary: "Moves an element from the tail of a list to the head of another; waits until there is one.",
        syntax: "source destination timeout:double",
        since: "2.2.0",
        reply: "the element, or null when the time is over",
        run: brpoplpush,
        ..waiting("brpoplpush", 4, WAITS.and(Flags::DENYOOM), MOVE)
    },
    Command {
        summary: "Takes elements from the first list that has any; waits until there is one.",
        syntax: "timeout:double numkeys key [key ...] (LEFT | RIGHT) [COUNT count]",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements taken",
        reply: "the key and an array of elements, or null when the time is over",
        run: blmpop,
        ..waiting("blmpop", -5, WAITS.and(Flags::MOVABLE_KEYS), &[KeySpec::counted(2, 1, TAKEN)])
    },
];

/// Waits for a list at one of these arguments.
/// Has the client wait until one of the lists that these arguments name has an element; `nothing` is the reply
/// when the time is over.
pub(super) fn wait(
    cx: &mut Context<'_>,
    keys: std::ops::Range<usize>,
    until_ms: Option<u64>,
    nothing: EmptyReply,
) {
    cx.wait_for(WaitFor {
        keys,
        type_name: "list",
        wants_loss: false,
        until_ms,
        retry_at_ms: None,
        acks: None,
        nothing,
        request: None,
    });
}

fn blpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, End::Head)
}

fn brpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, End::Tail)
}

fn pop(cx: &mut Context<'_>, arguments: &[&[u8]], end: End) -> CommandResult {
    let last = arguments.len() - 1;
    let until_ms = args::wait_seconds(arguments[last], cx.keys.now_ms)?;
    if !elements::pop_with_key(cx, arguments, 1..last, end)? {
        wait(cx, 1..last, until_ms, EmptyReply::NullArray);
    }
    Ok(())
}

fn blmove(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (from, to) = elements::ends_of_move(arguments)?;
    let until_ms = args::wait_seconds(arguments[5], cx.keys.now_ms)?;
    let repeated = [b"LMOVE", arguments[1], arguments[2], arguments[3], arguments[4]];
    move_or_wait(cx, arguments, (from, to), until_ms, &repeated)
}

fn brpoplpush(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let until_ms = args::wait_seconds(arguments[3], cx.keys.now_ms)?;
    let repeated = [b"RPOPLPUSH", arguments[1], arguments[2]];
    move_or_wait(cx, arguments, (End::Tail, End::Head), until_ms, &repeated)
}

/// Moves an element between two ends, or waits for one. `repeated` is what the journal gets: the request that
/// does not wait.
fn move_or_wait(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    (from, to): (End, End),
    until_ms: Option<u64>,
    repeated: &[&[u8]],
) -> CommandResult {
    if !elements::move_element(cx, arguments, from, to)? {
        wait(cx, 1..2, until_ms, EmptyReply::Null);
    } else if cx.is_journaled() {
        cx.enter(repeated);
    }
    Ok(())
}

fn blmpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let until_ms = args::wait_seconds(arguments[1], cx.keys.now_ms)?;
    let request = elements::MultiPop::parse(arguments, 2)?;
    if !elements::pop_of_first(cx, arguments, &request)? {
        wait(cx, request.keys, until_ms, EmptyReply::NullArray);
    }
    Ok(())
}
