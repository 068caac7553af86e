//! Sorted sets by ranges: reading, counting, removing and storing members.

use std::ops::Range;

use crate::command::{Category, Flags, Group, KeySpec};
use crate::commands::shared::collection;
use crate::commands::sorted_set::members::{self};
use crate::commands::sorted_set::window::{Axis, Form, Window};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::CommandResult;
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::resp::encode::Reply;
use crate::types::packed::entry::Element;
use crate::types::zset::ZSet;

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const REMOVE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)];
const SORTED_SET: &[Category] = &[Category::SortedSet];
const LOG_AND_RANGE: &str = "O(log(N)+M) where N is the number of members and M how many are returned";

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Returns a range of a sorted set: by rank, by score or by name.",
        syntax: "key start:string stop:string [BYSCORE | BYLEX] [REV] [LIMIT(offset count)] [WITHSCORES]",
        since: "1.2.0",
        run: zrange,
        ..reading("zrange")
    },
    Command {
        summary: "Returns the members of a range of scores.",
        syntax: "key min max [WITHSCORES] [LIMIT(offset count)]",
        since: "1.0.5",
        run: zrangebyscore,
        ..reading("zrangebyscore")
    },
    Command {
        summary: "Returns the members of a range of names, in a sorted set of one score.",
        syntax: "key min:string max:string [LIMIT(offset count)]",
        since: "2.8.9",
        run: zrangebylex,
        ..reading("zrangebylex")
    },
    Command {
        summary: "Returns a range of ranks, the highest score first.",
        syntax: "key start stop [WITHSCORES]",
        since: "1.2.0",
        run: zrevrange,
        ..reading("zrevrange")
    },
    Command {
        summary: "Returns the members of a range of scores, the highest first.",
        syntax: "key max min [WITHSCORES] [LIMIT(offset count)]",
        since: "2.2.0",
        run: zrevrangebyscore,
        ..reading("zrevrangebyscore")
    },
    Command {
        summary: "Returns the members of a range of names, the highest first, in a sorted set of one score.",
        syntax: "key max:string min:string [LIMIT(offset count)]",
        since: "2.8.9",
        run: zrevrangebylex,
        ..reading("zrevrangebylex")
    },
    Command {
        name: "zrangestore",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeySpec::OW | KeySpec::UPDATE),
            KeySpec::one(2, KeySpec::RO | KeySpec::ACCESS),
        ],
        categories: SORTED_SET,
        group: Group::SortedSet,
        summary: "Keeps a range of a sorted set as a sorted set under a key.",
        syntax: "destination source min:string max:string [BYSCORE | BYLEX] [REV] [LIMIT(offset count)]",
        since: "6.2.0",
        complexity: "O(log(N)+M) where N is the number of members and M how many are kept",
        reply: "the number of members of the result",
        run: zrangestore,
        ..Command::DEFAULT
    },
    Command {
        summary: "Counts the members of a range of scores.",
        since: "2.0.0",
        run: zcount,
        ..counting("zcount")
    },
    Command {
        summary: "Counts the members of a range of names, in a sorted set of one score.",
        syntax: "key min:string max:string",
        since: "2.8.9",
        run: zlexcount,
        ..counting("zlexcount")
    },
    Command {
        summary: "Removes the members of a range of ranks; an empty sorted set is deleted.",
        syntax: "key start stop",
        since: "2.0.0",
        run: zremrangebyrank,
        ..removing("zremrangebyrank")
    },
    Command {
        summary: "Removes the members of a range of scores; an empty sorted set is deleted.",
        syntax: "key min max",
        since: "1.2.0",
        run: zremrangebyscore,
        ..removing("zremrangebyscore")
    },
    Command {
        summary: "Removes the members of a range of names, in a sorted set of one score; an empty one is deleted.",
        syntax: "key min:string max:string",
        since: "2.8.9",
        run: zremrangebylex,
        ..removing("zremrangebylex")
    },
];

const fn reading(name: &'static str) -> Command {
    Command {
        name,
        arity: -4,
        flags: Flags::READONLY,
        keys: READ,
        categories: SORTED_SET,
        group: Group::SortedSet,
        complexity: LOG_AND_RANGE,
        reply: "an array of members, with their scores if wanted",
        ..Command::DEFAULT
    }
}

const fn counting(name: &'static str) -> Command {
    Command {
        name,
        arity: 4,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: READ,
        categories: SORTED_SET,
        group: Group::SortedSet,
        syntax: "key min max",
        complexity: "O(log(N)) where N is the number of members",
        reply: "the number of members",
        ..Command::DEFAULT
    }
}

const fn removing(name: &'static str) -> Command {
    Command {
        name,
        arity: 4,
        flags: Flags::WRITE,
        keys: REMOVE,
        categories: SORTED_SET,
        group: Group::SortedSet,
        complexity: "O(log(N)+M) where N is the number of members and M how many are removed",
        reply: "how many were removed",
        ..Command::DEFAULT
    }
}

fn zrange(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    range(cx, arguments, Form { axis: None, reverse: None, shows_scores: true })
}

fn zrangebyscore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    range(cx, arguments, fixed(Axis::Score, false))
}

fn zrangebylex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    range(cx, arguments, fixed(Axis::Lex, false))
}

fn zrevrange(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    range(cx, arguments, fixed(Axis::Rank, true))
}

fn zrevrangebyscore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    range(cx, arguments, fixed(Axis::Score, true))
}

fn zrevrangebylex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    range(cx, arguments, fixed(Axis::Lex, true))
}

const fn fixed(axis: Axis, reverse: bool) -> Form {
    Form { axis: Some(axis), reverse: Some(reverse), shows_scores: true }
}

fn range(cx: &mut Context<'_>, arguments: &[&[u8]], form: Form) -> CommandResult {
    let (window, with_scores) = Window::parse(&arguments[2..], form)?;
    let key = cx.key(arguments, 1);
    let Some(zset) = collection::read::<ZSet>(&cx.keys, &key)? else {
        cx.missed(&key);
        cx.reply.array(0);
        return Ok(());
    };
    let ranks = window.ranks(zset);
    if cx.is_read_in_pieces(ranks.len() * if with_scores { 10 } else { 2 })? {
        return range_in_pieces(cx, &key, &window, with_scores);
    }
    write_ranks(&mut cx.reply, zset, ranks, window.reverse, with_scores);
    Ok(())
}

fn range_in_pieces(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    window: &Window<'_>,
    with_scores: bool,
) -> CommandResult {
    let empty = |reply: &mut Reply<'_>| reply.array(0);
    collection::read_in_pieces::<ZSet>(cx, key, empty, |zset, at, reply| {
        let ranks = window.ranks(zset);
        if at == 0 {
            members::write_head(reply, ranks.len(), with_scores);
        }
        let part = collection::PIECE.min(ranks.len() - at);
        let first = if window.reverse { ranks.end - at - part } else { ranks.start + at };
        write_members(reply, zset, first..first + part, window.reverse, with_scores);
        (at + part < ranks.len()).then_some(at + part)
    })
}

/// Writes the members of a range of ranks, with their scores if wanted: in RESP3 an array of pairs.
pub fn write_ranks(
    reply: &mut Reply<'_>,
    zset: &ZSet,
    ranks: Range<usize>,
    reverse: bool,
    with_scores: bool,
) {
    members::write_head(reply, ranks.len(), with_scores);
    write_members(reply, zset, ranks, reverse, with_scores);
}

fn write_members(reply: &mut Reply<'_>, zset: &ZSet, ranks: Range<usize>, reverse: bool, with_scores: bool) {
    if with_scores {
        let write = |(member, score): (Element<'_>, f64)| members::write_member(reply, &member, Some(score));
        return match reverse {
            true => zset.iter_ranks_back(ranks).for_each(write),
            false => zset.iter_ranks(ranks).for_each(write),
        };
    }
    let mut bulks = reply.bulks(ranks.len());
    if reverse {
        zset.iter_ranks_back(ranks).for_each(|(member, _)| bulks.push(&member));
    } else if let Some(pieces) = zset.pieces(ranks.clone()) {
        bulks.extend_pieces(pieces);
    } else {
        zset.iter_ranks(ranks).for_each(|(member, _)| bulks.push(&member));
    }
}

fn zrangestore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let form = Form { axis: None, reverse: None, shows_scores: false };
    let (window, _) = Window::parse(&arguments[3..], form)?;
    let source = cx.key(arguments, 2);
    let limits = cx.server.settings.collections.zset();
    let mut result = ZSet::new();
    match collection::read::<ZSet>(&cx.keys, &source)? {
        Some(zset) => {
            let ranks = window.ranks(zset);
            cx.keys.expect(ranks.len() * 20)?;
            result.expect(ranks.len(), 0, &limits);
            for (member, score) in zset.iter_ranks(ranks) {
                result.set(&member, score, &limits);
            }
        }
        None => cx.missed(&source),
    }
    members::store(cx, arguments, result, "zrangestore");
    Ok(())
}

fn zcount(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    count(cx, arguments, Axis::Score)
}

fn zlexcount(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    count(cx, arguments, Axis::Lex)
}

fn count(cx: &mut Context<'_>, arguments: &[&[u8]], axis: Axis) -> CommandResult {
    let window = Window::of(axis, arguments[2], arguments[3])?;
    let key = cx.key(arguments, 1);
    match collection::read::<ZSet>(&cx.keys, &key)? {
        Some(zset) => cx.reply.count(window.ranks(zset).len()),
        None => {
            cx.missed(&key);
            cx.reply.int(0);
        }
    }
    Ok(())
}

fn zremrangebyrank(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    remove(cx, arguments, Axis::Rank, "zremrangebyrank")
}

fn zremrangebyscore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    remove(cx, arguments, Axis::Score, "zremrangebyscore")
}

fn zremrangebylex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    remove(cx, arguments, Axis::Lex, "zremrangebylex")
}

fn remove(cx: &mut Context<'_>, arguments: &[&[u8]], axis: Axis, event: &'static str) -> CommandResult {
    let window = Window::of(axis, arguments[2], arguments[3])?;
    let key = cx.key(arguments, 1);
    let Some(zset) = collection::write::<ZSet>(&mut cx.keys, &key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let ranks = window.ranks(zset);
    let removed = ranks.len();
    let emptied = removed == zset.len();
    cx.keys.expect_elements(&key, if emptied { 0 } else { removed }, 10)?;
    let Some(zset) = collection::write::<ZSet>(&mut cx.keys, &key)? else { return Ok(()) };
    // A key that becomes empty is removed as a whole, and a big value freed in the background.
    if !emptied {
        zset.remove_ranks(ranks, |_, _| ());
    }
    if removed > 0 {
        collection::changed(cx, &key, EventClass::ZSET, event, removed);
        if emptied {
            cx.delete_emptied(&key);
        }
    }
    cx.reply.count(removed);
    Ok(())
}
