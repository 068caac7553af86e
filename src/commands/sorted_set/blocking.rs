//! Sorted sets: commands that block until there is a member.

use crate::command::{Begin, Category, Find, Flags, Group, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::sorted_set::pop::{self, MultiPop, Side};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::CommandResult;
use crate::shared::waiter::{EmptyReply, WaitFor};
use crate::types::zset::ZSet;

const SORTED_SET: &[Category] = &[Category::SortedSet];
const TAKEN: u16 = KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE;
const WAITS: Flags = Flags::WRITE.and(Flags::BLOCKING);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Takes the member with the lowest score of the first sorted set that has one; waits until there is one.",
        run: bzpopmin,
        ..popping("bzpopmin")
    },
    Command {
        summary: "Takes the member with the highest score of the first sorted set that has one; waits until there is one.",
        run: bzpopmax,
        ..popping("bzpopmax")
    },
    Command {
        name: "bzmpop",
        arity: -5,
        flags: WAITS.and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(2, 1, TAKEN)],
        categories: SORTED_SET,
        group: Group::SortedSet,
        summary: "Takes members with the lowest or highest scores of the first sorted set that has any; waits until there is one.",
        syntax: "timeout:double numkeys key [key ...] (MIN | MAX) [COUNT count]",
        since: "7.0.0",
        complexity: "O(K+M*log(N)) where K is the number of keys, N that of members and M the count",
        reply: "the key and an array of members with their scores, or null when the time is over",
        run: bzmpop,
        ..Command::DEFAULT
    },
];

const fn popping(name: &'static str) -> Command {
    Command {
        name,
        arity: -3,
        flags: WAITS.and(Flags::FAST),
        // All arguments but the last, the timeout.
        keys: &[KeySpec {
            flags: TAKEN,
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1, limit: 0 },
        }],
        categories: SORTED_SET,
        group: Group::SortedSet,
        syntax: "key [key ...] timeout:double",
        since: "5.0.0",
        complexity: "O(log(N)) where N is the number of members",
        reply: "the key, the member and its score, or null when the time is over",
        ..Command::DEFAULT
    }
}

/// Has the client wait until one of the sorted sets that these arguments name has a member.
pub(super) fn wait(cx: &mut Context<'_>, keys: std::ops::Range<usize>, until_ms: Option<u64>) {
    cx.wait_for(WaitFor {
        keys,
        type_name: "zset",
        wants_loss: false,
        until_ms,
        retry_at_ms: None,
        acks: None,
        nothing: EmptyReply::NullArray,
        request: None,
    });
}

fn bzpopmin(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, Side::Min)
}

fn bzpopmax(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, Side::Max)
}

fn pop(cx: &mut Context<'_>, arguments: &[&[u8]], side: Side) -> CommandResult {
    let last = arguments.len() - 1;
    let until_ms = args::wait_seconds(arguments[last], cx.keys.now_ms)?;
    for index in 1..last {
        let key = cx.key(arguments, index);
        if collection::write::<ZSet>(&mut cx.keys, &key)?.is_some() {
            cx.reply.array(3);
            cx.reply.bulk(key.bytes);
            pop::take(cx, &key, side, 1, false)?;
            pop::enter_pop(cx, &key, side, 1);
            return Ok(());
        }
    }
    wait(cx, 1..last, until_ms);
    Ok(())
}

fn bzmpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let until_ms = args::wait_seconds(arguments[1], cx.keys.now_ms)?;
    let request = MultiPop::parse(arguments, 2)?;
    if !pop::pop_of_first(cx, arguments, &request)? {
        wait(cx, request.keys, until_ms);
    }
    Ok(())
}
