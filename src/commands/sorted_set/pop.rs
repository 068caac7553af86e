//! Sorted sets: removing the members with the lowest or highest scores.

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::parse_i64;
use crate::resp::encode::Reply;
use crate::types::zset::ZSet;

const TAKEN: u16 = KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE;
const TAKE: &[KeySpec] = &[KeySpec::one(1, TAKEN)];
const SORTED_SET: &[Category] = &[Category::SortedSet];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Takes out the members with the lowest scores; an empty sorted set is deleted.",
        run: zpopmin,
        ..popping("zpopmin")
    },
    Command {
        summary: "Takes out the members with the highest scores; an empty sorted set is deleted.",
        run: zpopmax,
        ..popping("zpopmax")
    },
    Command {
        name: "zmpop",
        arity: -4,
        flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(1, 1, TAKEN)],
        categories: SORTED_SET,
        group: Group::SortedSet,
        summary: "Takes out the members with the lowest or highest scores of the first key that has any.",
        syntax: "numkeys key [key ...] (MIN | MAX) [COUNT count]",
        since: "7.0.0",
        complexity: "O(K+M*log(N)) where K is the number of keys, N that of members and M the count",
        reply: "the key and an array of members with their scores, or null",
        run: zmpop,
        ..Command::DEFAULT
    },
];

const fn popping(name: &'static str) -> Command {
    Command {
        name,
        arity: -2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: TAKE,
        categories: SORTED_SET,
        group: Group::SortedSet,
        syntax: "key [count]",
        since: "5.0.0",
        complexity: "O(M*log(N)) where N is the number of members and M the count",
        reply: "an array of members with their scores",
        ..Command::DEFAULT
    }
}

/// The end of a sorted set to pop from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The lowest scores.
    Min,
    /// The highest scores.
    Max,
}

impl Side {
    /// Reads MIN or MAX.
    ///
    /// # Errors
    /// Any other word.
    pub fn parse(word: &[u8]) -> Result<Self, CommandError> {
        if args::is(word, "MIN") {
            Ok(Side::Min)
        } else if args::is(word, "MAX") {
            Ok(Side::Max)
        } else {
            Err(CommandError::Syntax)
        }
    }
}

fn zpopmin(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, Side::Min)
}

fn zpopmax(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, Side::Max)
}

fn pop(cx: &mut Context<'_>, arguments: &[&[u8]], side: Side) -> CommandResult {
    let count = match arguments {
        [_, _] => None,
        [_, _, count] => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::MustBePositive)?)
        }
        _ => return Err(CommandError::Syntax),
    };
    let key = cx.key(arguments, 1);
    // Without a count, member and score are the reply; with one, RESP3 has an array of pairs.
    let in_pairs = count.is_some() && cx.reply.is_resp3();
    let begun = cx.reply.begin_array();
    let taken = take(cx, &key, side, count.unwrap_or(1), in_pairs)?;
    cx.reply.end_array(begun, if in_pairs { taken } else { taken * 2 });
    Ok(())
}

/// Removes up to `count` members of a key's sorted set and writes them with their scores, each as an array of
/// two if `in_pairs`. The caller has written the head of the whole. Returns the number of members: 0 only if
/// the key is missing or `count` is 0.
///
/// # Errors
/// The key holds another type.
pub fn take(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    side: Side,
    count: usize,
    in_pairs: bool,
) -> Result<usize, CommandError> {
    cx.keys.expect_elements(key, count, 10)?;
    let Some(zset) = collection::write::<ZSet>(&mut cx.keys, key)? else { return Ok(0) };
    let len = zset.len();
    let count = count.min(len);
    if count == 0 {
        return Ok(0);
    }
    let reply = &mut cx.reply;
    let mut write = |member: &[u8], score| write_pair(reply, member, score, in_pairs);
    let ranks = match side {
        Side::Min => 0..count,
        Side::Max => len - count..len,
    };
    if count == 1 && len > 1 {
        let popped = if side == Side::Min { zset.pop_min() } else { zset.pop_max() };
        popped.iter().for_each(|(member, score)| write(member, *score));
    } else {
        match side {
            Side::Min => zset.iter_ranks(ranks.clone()).for_each(|(member, score)| write(&member, score)),
            Side::Max => {
                zset.iter_ranks_back(ranks.clone()).for_each(|(member, score)| write(&member, score))
            }
        }
        if count < len {
            zset.remove_ranks(ranks, |_, _| ());
        }
    }
    let event = if side == Side::Min { "zpopmin" } else { "zpopmax" };
    collection::changed(cx, key, EventClass::ZSET, event, count);
    if count == len {
        cx.delete_emptied(key);
    }
    Ok(count)
}

/// Enters a pop from this key into the journal, in place of a request that names several keys or waits.
pub fn enter_pop(cx: &Context<'_>, key: &HashedKey<'_>, side: Side, count: usize) {
    if cx.is_journaled() {
        let name: &[u8] = if side == Side::Min { b"ZPOPMIN" } else { b"ZPOPMAX" };
        cx.enter(&[name, key.bytes, itoa::Buffer::new().format(count).as_bytes()]);
    }
}

fn write_pair(reply: &mut Reply<'_>, member: &[u8], score: f64, in_pairs: bool) {
    if in_pairs {
        reply.array(2);
    }
    reply.bulk(member);
    reply.double(score);
}

fn zmpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let request = MultiPop::parse(arguments, 1)?;
    if !pop_of_first(cx, arguments, &request)? {
        cx.reply.null_array();
    }
    Ok(())
}

/// Pops members of the first sorted set that exists and replies with its key and them.
///
/// # Errors
/// The key holds another type.
pub fn pop_of_first(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    request: &MultiPop,
) -> Result<bool, CommandError> {
    for index in request.keys.clone() {
        let key = cx.key(arguments, index);
        if collection::write::<ZSet>(&mut cx.keys, &key)?.is_some() {
            cx.reply.array(2);
            cx.reply.bulk(key.bytes);
            let begun = cx.reply.begin_array();
            let taken = take(cx, &key, request.side, request.count, true)?;
            cx.reply.end_array(begun, taken);
            enter_pop(cx, &key, request.side, taken);
            return Ok(true);
        }
    }
    Ok(false)
}

/// The arguments of ZMPOP and BZMPOP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiPop {
    /// Indices of the arguments that are keys.
    pub keys: std::ops::Range<usize>,
    /// The end to pop from.
    pub side: Side,
    /// Most members to pop, at least 1.
    pub count: usize,
}

impl MultiPop {
    /// Reads the arguments; the number of keys is argument `at`.
    ///
    /// # Errors
    /// Not numbers, or not positive ones; unknown words.
    pub fn parse(arguments: &[&[u8]], at: usize) -> Result<Self, CommandError> {
        let positive = |argument: &&[u8]| {
            parse_i64(argument).and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0)
        };
        let number_of_keys = arguments
            .get(at)
            .and_then(positive)
            .ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
        let end = number_of_keys.checked_add(at + 1).ok_or(CommandError::Syntax)?;
        let side = Side::parse(arguments.get(end).ok_or(CommandError::Syntax)?)?;
        let count = match &arguments[end + 1..] {
            [] => 1,
            [word, count, rest @ ..] if args::is(word, "COUNT") => {
                let count =
                    positive(count).ok_or(CommandError::text("ERR count should be greater than 0"))?;
                if !rest.is_empty() {
                    return Err(CommandError::Syntax);
                }
                count
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(Self { keys: at + 1..end, side, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<MultiPop, String> {
        let arguments: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
        MultiPop::parse(&arguments, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn requests_of_many_keys() {
        assert_eq!(parse("zmpop 2 a b min"), Ok(MultiPop { keys: 2..4, side: Side::Min, count: 1 }));
        assert_eq!(parse("zmpop 1 a MAX count 7"), Ok(MultiPop { keys: 2..3, side: Side::Max, count: 7 }));
        for (text, error) in [
            ("zmpop 0 a min", "ERR numkeys should be greater than 0"),
            ("zmpop x a min", "ERR numkeys should be greater than 0"),
            ("zmpop 3 a min", "ERR syntax error"),
            ("zmpop 2 a min", "ERR syntax error"),
            ("zmpop 9223372036854775807 a min", "ERR syntax error"),
            ("zmpop 1 a foo", "ERR syntax error"),
            ("zmpop 1 a min foo", "ERR syntax error"),
            ("zmpop 1 a min count", "ERR syntax error"),
            ("zmpop 1 a min count 1 count 1", "ERR syntax error"),
            ("zmpop 1 a min count 0", "ERR count should be greater than 0"),
            ("zmpop 1 a min count x", "ERR count should be greater than 0"),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
    }
}
