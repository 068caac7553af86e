//! Sorted sets: moving members from one to another with their scores, also waiting for them.

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::sorted_set::blocking::wait;
use crate::commands::sorted_set::entered::{enter_added, enter_removed};
use crate::commands::sorted_set::window::score_bound;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::primitives::number::parse_i64;
use crate::types::zset::{ScoreBound, ZSet};

const KEYS: &[KeySpec] = &[
    KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE),
    KeySpec::one(2, KeySpec::RW | KeySpec::UPDATE),
];
const MOVES: Flags = Flags::WRITE.and(Flags::DENYOOM);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zmove",
        arity: -4,
        summary: "Moves members with the lowest or highest scores, or scores in a range, to another sorted set.",
        syntax: "source destination (MIN | MAX | BYSCORE(score-min:double score-max:double)) [COUNT count]",
        reply: "an array of the members, or null where none was moved",
        run: zmove,
        ..moving()
    },
    Command {
        name: "bzmove",
        arity: -5,
        flags: MOVES.and(Flags::BLOCKING),
        summary: "Moves members with the lowest or highest scores to another sorted set; waits until there is one.",
        syntax: "source destination (MIN | MAX) timeout:double [COUNT count]",
        reply: "an array of the members, or null when the time is over",
        run: bzmove,
        ..moving()
    },
    Command {
        name: "zmovemember",
        arity: -6,
        summary: "Moves members to another sorted set, on condition that it has them or not if wanted.",
        syntax: "source destination [NX | XX] MEMBERS(num-members:integer member [member ...])",
        reply: "an array of the members, or null where none was moved",
        run: zmovemember,
        ..moving()
    },
];

const fn moving() -> Command {
    Command {
        flags: MOVES,
        keys: KEYS,
        categories: &[Category::SortedSet],
        group: Group::SortedSet,
        since: "8.12.0",
        family: Family::Redis("8.12"),
        complexity: "O(K*(log(N)+log(M))) where K members are moved between sorted sets of N and M members",
        ..Command::DEFAULT
    }
}

/// Which members are moved.
#[derive(Clone, Copy, Debug)]
enum Selection {
    Lowest(usize),
    Highest(usize),
    Scores(ScoreBound, ScoreBound, usize),
}

type Moved = Vec<(Vec<u8>, f64)>;

impl Selection {
    /// Reads the words from argument 3 on; `waits` for BZMOVE, whose timeout stands between them.
    fn parse(arguments: &[&[u8]], waits: bool) -> Result<Self, CommandError> {
        let bound =
            |text: &[u8]| score_bound(text).ok_or(CommandError::text("ERR min or max is not a float"));
        let by_score = !waits && args::is(arguments[3], "BYSCORE");
        let end = if by_score { 6 } else { 4 + usize::from(waits) };
        let count = match arguments.get(end..) {
            Some([]) => None,
            Some([word, count]) if args::is(word, "COUNT") => {
                let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
                let wrong = CommandError::text("ERR count should be greater than 0");
                Some(count.filter(|count| *count > 0).ok_or(wrong)?)
            }
            _ => return Err(CommandError::Syntax),
        };
        match arguments[3] {
            word if args::is(word, "MIN") => Ok(Self::Lowest(count.unwrap_or(1))),
            word if args::is(word, "MAX") => Ok(Self::Highest(count.unwrap_or(1))),
            _ if by_score => {
                Ok(Self::Scores(bound(arguments[4])?, bound(arguments[5])?, count.unwrap_or(usize::MAX)))
            }
            _ => Err(CommandError::Syntax),
        }
    }

    /// Takes them out, in the order in which they are returned.
    fn take(self, zset: &mut ZSet) -> Moved {
        let len = zset.len();
        let ranks = match self {
            Self::Lowest(count) => 0..count.min(len),
            Self::Highest(count) => len - count.min(len)..len,
            Self::Scores(min, max, count) => {
                let ranks = zset.score_range(min, max);
                ranks.start..ranks.end.min(ranks.start.saturating_add(count)).max(ranks.start)
            }
        };
        let mut taken = Moved::new();
        if !ranks.is_empty() {
            zset.remove_ranks(ranks, |member, score| taken.push((member.to_vec(), score)));
        }
        if matches!(self, Self::Highest(_)) {
            taken.reverse();
        }
        taken
    }

    /// The most members that are moved.
    fn most(self) -> usize {
        match self {
            Self::Lowest(count) | Self::Highest(count) | Self::Scores(_, _, count) => count,
        }
    }
}

/// Moves what `take` takes out of the sorted set at argument 1 to that at argument 2 and replies with it. `take`
/// is given both. Returns whether anything was moved.
///
/// # Errors
/// There is a source, and a key holds another type.
fn move_members(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    most: usize,
    take: impl FnOnce(&mut ZSet, Option<&ZSet>) -> Moved,
) -> Result<bool, CommandError> {
    let (source, target) = (cx.key(arguments, 1), cx.key(arguments, 2));
    if collection::write::<ZSet>(&mut cx.keys, &source)?.is_none() || source.bytes == target.bytes {
        return Ok(false);
    }
    let limits = cx.server.settings.collections.zset();
    cx.keys.expect_elements(&source, most, 20)?;
    // The target is taken out while the source is changed. Its record keeps its expiry.
    let mut into = collection::write::<ZSet>(&mut cx.keys, &target)?.map(std::mem::take);
    let moved = match collection::write::<ZSet>(&mut cx.keys, &source) {
        Ok(Some(zset)) => take(zset, into.as_ref()),
        _ => Moved::new(),
    };
    let is_new = into.is_none();
    let mut zset = into.take().unwrap_or_default();
    for (member, score) in &moved {
        zset.set(member, *score, &limits);
    }
    if !is_new {
        if let Some(place) = collection::write::<ZSet>(&mut cx.keys, &target)? {
            *place = zset;
        }
    } else if !moved.is_empty() {
        collection::put(cx, &target, zset);
    }
    if moved.is_empty() {
        return Ok(false);
    }
    if cx.is_journaled() {
        enter_removed(cx, &source, &moved);
        enter_added(cx, &target, &moved);
    }
    collection::changed(cx, &source, EventClass::ZSET, "zrem", moved.len());
    cx.event(&target, EventClass::ZSET, "zadd");
    if collection::write::<ZSet>(&mut cx.keys, &source)?.is_some_and(|zset| zset.is_empty()) {
        cx.delete_emptied(&source);
    }
    cx.reply.array(moved.len());
    moved.iter().for_each(|(member, _)| cx.reply.bulk(member));
    Ok(true)
}

fn zmove(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let selection = Selection::parse(arguments, false)?;
    if !move_members(cx, arguments, selection.most(), |zset, _| selection.take(zset))? {
        cx.reply.null_array();
    }
    Ok(())
}

fn bzmove(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let selection = Selection::parse(arguments, true)?;
    let until_ms = args::wait_seconds(arguments[4], cx.keys.now_ms)?;
    if move_members(cx, arguments, selection.most(), |zset, _| selection.take(zset))? {
        return Ok(());
    }
    // A sorted set is never moved to itself, so there is nothing to wait for.
    if arguments[1] == arguments[2] {
        cx.reply.null_array();
        return Ok(());
    }
    wait(cx, 1..2, until_ms);
    Ok(())
}

fn zmovemember(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (condition, at) = match arguments[3] {
        word if args::is(word, "NX") => (Some(false), 4),
        word if args::is(word, "XX") => (Some(true), 4),
        _ => (None, 3),
    };
    if !args::is(arguments[at], "MEMBERS") {
        return Err(CommandError::Syntax);
    }
    let count = parse_i64(args::value_of(arguments, at)?)
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or(CommandError::text("ERR Number of members must be a positive integer"))?;
    let members = &arguments[at + 2..];
    if members.len() != count {
        return Err(CommandError::text("ERR The `num-members` parameter must match the number of arguments"));
    }
    let take = |zset: &mut ZSet, target: Option<&ZSet>| {
        let mut moved = Moved::new();
        for member in members {
            let is_there = target.is_some_and(|target| target.score(member).is_some());
            if condition.is_none_or(|wanted| wanted == is_there)
                && let Some(score) = zset.remove(member)
            {
                moved.push((member.to_vec(), score));
            }
        }
        moved
    };
    if !move_members(cx, arguments, count, take)? {
        cx.reply.null_array();
    }
    Ok(())
}
