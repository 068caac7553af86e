//! Sorted sets: members one by one, at random, and walking over them. Ranges are in [`range`](super::range),
//! several sets in [`algebra`](super::algebra), taking from the ends in [`pop`](super::pop).

use smallvec::SmallVec;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::shared::collection::{self, Collection, InPlace};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::value::Object;
use crate::primitives::number::format_f64;
use crate::resp::encode::Reply;
use crate::types::zset::{ZSet, ZSetLimits};

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const SORTED_SET: &[Category] = &[Category::SortedSet];
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const LOG: &str = "O(log(N)) where N is the number of members";

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zadd",
        arity: -4,
        flags: FAST_WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)],
        categories: SORTED_SET,
        group: Group::SortedSet,
        summary: "Adds members to a sorted set or gives them new scores; it is created if there is none.",
        syntax: "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        since: "1.2.0",
        complexity: "O(log(N)) for each member, where N is the number of members",
        reply: "how many were new, with CH how many changed; with INCR the new score or null",
        element: Some(3),
        run: zadd,
        ..Command::DEFAULT
    },
    Command {
        name: "zincrby",
        arity: 4,
        flags: FAST_WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
        categories: SORTED_SET,
        group: Group::SortedSet,
        summary: "Adds to a member's score, which is 0 for a new one.",
        syntax: "key increment member",
        since: "1.2.0",
        complexity: LOG,
        reply: "the new score",
        element: Some(3),
        run: zincrby,
        ..Command::DEFAULT
    },
    Command {
        name: "zrem",
        arity: -3,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)],
        categories: SORTED_SET,
        group: Group::SortedSet,
        summary: "Removes members from a sorted set; an empty one is deleted.",
        syntax: "key member [member ...]",
        since: "1.2.0",
        complexity: "O(M*log(N)) where N is the number of members and M of those to be removed",
        reply: "how many were there",
        element: Some(2),
        run: zrem,
        ..Command::DEFAULT
    },
    Command {
        keys: &[KeySpec::one(1, KeySpec::RO)],
        summary: "Counts the members of a sorted set.",
        syntax: "key",
        since: "1.2.0",
        reply: "the number of members, 0 without a key",
        run: zcard,
        ..reading("zcard", 2, FAST_READ)
    },
    Command {
        summary: "Returns the score of a member.",
        syntax: "key member",
        since: "1.2.0",
        reply: "the score or null",
        element: Some(2),
        run: zscore,
        ..reading("zscore", 3, FAST_READ)
    },
    Command {
        summary: "Returns the scores of several members.",
        syntax: "key member [member ...]",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members given",
        reply: "an array of scores and nulls",
        run: zmscore,
        ..reading("zmscore", -3, FAST_READ)
    },
    Command {
        summary: "Tells how many members come before this one.",
        syntax: "key member [WITHSCORE]",
        since: "2.0.0",
        complexity: LOG,
        reply: "the rank, with its score if wanted, or null",
        element: Some(2),
        run: zrank,
        ..reading("zrank", -3, FAST_READ)
    },
    Command {
        summary: "Tells how many members come before this one when the highest score is first.",
        syntax: "key member [WITHSCORE]",
        since: "2.0.0",
        complexity: LOG,
        reply: "the rank, with its score if wanted, or null",
        element: Some(2),
        run: zrevrank,
        ..reading("zrevrank", -3, FAST_READ)
    },
    Command {
        summary: "Returns members of a sorted set chosen at random; a negative count may repeat them.",
        syntax: "key [count [WITHSCORES]]",
        since: "6.2.0",
        complexity: "O(N) where N is the count",
        reply: "a member or null; with a count an array of members, with their scores if wanted",
        run: zrandmember,
        tips: &["nondeterministic_output"],
        ..reading("zrandmember", -2, Flags::READONLY)
    },
    Command {
        summary: "Walks over the members of a sorted set and their scores, some at each call.",
        syntax: "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for a whole walk",
        reply: "the next cursor and an array of members and scores",
        run: zscan,
        tips: &["nondeterministic_output"],
        ..reading("zscan", -3, Flags::READONLY)
    },
];

const fn reading(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command {
        name,
        arity,
        flags,
        keys: READ,
        categories: SORTED_SET,
        group: Group::SortedSet,
        ..Command::DEFAULT
    }
}

impl Collection for ZSet {
    fn of(object: &Object) -> Option<&Self> {
        if let Object::Zset(zset) = object { Some(zset) } else { None }
    }

    fn into_object(self) -> Object {
        Object::Zset(self)
    }
}

impl InPlace for ZSet {
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        if let Object::Zset(zset) = object { Some(zset) } else { None }
    }
}

/// Writes the head of an array of members: with scores RESP3 has an array of pairs, RESP2 one array of all.
pub fn write_head(reply: &mut Reply<'_>, count: usize, with_scores: bool) {
    reply.array(if with_scores && !reply.is_resp3() { count.saturating_mul(2) } else { count });
}

/// Writes a member of such an array.
#[inline]
pub fn write_member(reply: &mut Reply<'_>, member: &[u8], score: Option<f64>) {
    if score.is_some() && reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(member);
    if let Some(score) = score {
        reply.double(score);
    }
}

/// Stores a result under the destination (the first argument), or deletes it if the result is empty, and
/// replies with its length. All inputs were read before: the destination may be one of them.
pub fn store(cx: &mut Context<'_>, arguments: &[&[u8]], result: ZSet, event: &'static str) {
    let key = cx.key(arguments, 1);
    let count = result.len();
    if count > 0 {
        collection::put(cx, &key, result);
        cx.changed(&key, EventClass::ZSET, event);
    } else if cx.keys.delete(&key) {
        cx.changed(&key, EventClass::GENERIC, "del");
    }
    cx.reply.count(count);
}

/// The options of ZADD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddOptions {
    /// NX: only add new members.
    pub nx: bool,
    /// XX: only change members that are there.
    pub xx: bool,
    /// GT: only raise the scores of members that are there.
    pub gt: bool,
    /// LT: only lower the scores of members that are there.
    pub lt: bool,
    /// CH: reply with the number of changed members, not of new ones.
    pub changed: bool,
    /// INCR: add the number to the score.
    pub increment: bool,
}

impl AddOptions {
    /// Reads the options. `words` are all behind the key; returns the options and the scores and members that
    /// follow.
    fn parse<'w, 'a>(words: &'w [&'a [u8]]) -> Result<(Self, &'w [&'a [u8]]), CommandError> {
        let mut options = Self::default();
        let mut pairs = words;
        while let Some((word, rest)) = pairs.split_first() {
            let option = match word.len() {
                2 if args::is(word, "NX") => &mut options.nx,
                2 if args::is(word, "XX") => &mut options.xx,
                2 if args::is(word, "GT") => &mut options.gt,
                2 if args::is(word, "LT") => &mut options.lt,
                2 if args::is(word, "CH") => &mut options.changed,
                4 if args::is(word, "INCR") => &mut options.increment,
                _ => break,
            };
            *option = true;
            pairs = rest;
        }
        if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if options.nx && options.xx {
            return Err(CommandError::text("ERR XX and NX options at the same time are not compatible"));
        }
        if (options.nx && (options.gt || options.lt)) || (options.gt && options.lt) {
            return Err(CommandError::text(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if options.increment && pairs.len() > 2 {
            return Err(CommandError::text("ERR INCR option supports a single increment-element pair"));
        }
        Ok((options, pairs))
    }

    /// Whether a member's present score decides what happens to it.
    fn are_conditions(self) -> bool {
        self.nx || self.xx || self.gt || self.lt || self.increment
    }

    /// Sets one member's score. Returns the score it has now and what happened; `None` where the options
    /// forbid the change.
    fn apply(
        self,
        zset: &mut ZSet,
        member: &[u8],
        score: f64,
        limits: &ZSetLimits,
    ) -> Result<Option<(f64, Change)>, CommandError> {
        let old = if self.are_conditions() { zset.score(member) } else { zset.set(member, score, limits) };
        let Some(old) = old else {
            if self.xx {
                return Ok(None);
            }
            if self.are_conditions() {
                zset.set(member, score, limits);
            }
            return Ok(Some((score, Change::Added)));
        };
        if self.nx {
            return Ok(None);
        }
        let new = if self.increment { old + score } else { score };
        if new.is_nan() {
            return Err(CommandError::text("ERR resulting score is not a number (NaN)"));
        }
        if (self.gt && new <= old) || (self.lt && new >= old) {
            return Ok(None);
        }
        if new == old {
            return Ok(Some((old, Change::None)));
        }
        if self.are_conditions() {
            zset.set(member, new, limits);
        }
        Ok(Some((new, Change::Rescored)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    Added,
    Rescored,
}

fn zadd(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (options, pairs) = AddOptions::parse(&arguments[2..])?;
    add(cx, &cx.key(arguments, 1), options, &parse_pairs(pairs)?)
}

fn zincrby(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let options = AddOptions { increment: true, ..AddOptions::default() };
    add(cx, &cx.key(arguments, 1), options, &parse_pairs(&arguments[2..])?)
}

/// Members with the scores that they are to have.
type ScoredMembers<'a> = SmallVec<[(f64, &'a [u8]); 4]>;

/// Reads all scores and members before anything changes: a wrong score changes nothing.
fn parse_pairs<'a>(words: &[&'a [u8]]) -> Result<ScoredMembers<'a>, CommandError> {
    let (pairs, _) = words.as_chunks::<2>();
    pairs.iter().map(|[score, member]| Ok((args::float(score)?, *member))).collect()
}

/// What ZADD has done.
#[derive(Default)]
struct Added {
    added: usize,
    rescored: usize,
    /// The last member's score; `None` where the options forbade the change.
    score: Option<f64>,
}

/// Sets members' scores, as ZADD does, and replies.
///
/// # Errors
/// Another type; a score that is no number.
pub fn add(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    options: AddOptions,
    pairs: &[(f64, &[u8])],
) -> CommandResult {
    let limits = cx.server.settings.collections.zset();
    let longest = pairs.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
    let add_all = |zset: &mut ZSet| {
        zset.expect(pairs.len(), longest, &limits);
        let mut done = Added::default();
        for (number, (score, member)) in pairs.iter().enumerate() {
            collection::ahead(pairs, number).iter().for_each(|(_, member)| zset.prefetch(member));
            let outcome = options.apply(zset, member, *score, &limits)?;
            done.score = outcome.map(|(score, _)| score);
            match outcome {
                Some((_, Change::Added)) => done.added += 1,
                Some((_, Change::Rescored)) => done.rescored += 1,
                _ => {}
            }
        }
        Ok::<Added, CommandError>(done)
    };
    let done = match collection::write::<ZSet>(&mut cx.keys, key)? {
        Some(zset) => add_all(zset)?,
        None if options.xx => Added::default(),
        None => {
            let mut zset = ZSet::new();
            let done = add_all(&mut zset)?;
            collection::put(cx, key, zset);
            done
        }
    };
    let changed = done.added + done.rescored;
    if changed > 0 {
        let event = if options.increment { "zincr" } else { "zadd" };
        collection::changed(cx, key, EventClass::ZSET, event, changed);
    }
    match done.score {
        Some(score) if options.increment => cx.reply.double(score),
        None if options.increment => cx.reply.null(),
        _ => cx.reply.count(if options.changed { changed } else { done.added }),
    }
    Ok(())
}

fn zrem(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let Some(zset) = collection::write::<ZSet>(&mut cx.keys, &key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let removed = arguments[2..].iter().filter(|member| zset.remove(member).is_some()).count();
    let emptied = zset.is_empty();
    if removed > 0 {
        collection::changed(cx, &key, EventClass::ZSET, "zrem", removed);
        if emptied {
            cx.delete_emptied(&key);
        }
    }
    cx.reply.count(removed);
    Ok(())
}

fn zcard(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    collection::write_len(cx, arguments, ZSet::len)
}

fn zscore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let zset = collection::read::<ZSet>(&cx.keys, &key)?;
    if zset.is_none() {
        cx.missed(&key);
    }
    write_score(&mut cx.reply, zset.and_then(|zset| zset.score(arguments[2])));
    Ok(())
}

fn zmscore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let members = &arguments[2..];
    let zset = collection::read::<ZSet>(&cx.keys, &key)?;
    if zset.is_none() {
        cx.missed(&key);
    }
    cx.reply.array(members.len());
    for member in members {
        write_score(&mut cx.reply, zset.and_then(|zset| zset.score(member)));
    }
    Ok(())
}

fn write_score(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zrank(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    rank(cx, arguments, "zrank", |rank, _| rank)
}

fn zrevrank(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    rank(cx, arguments, "zrevrank", |rank, len| len - 1 - rank)
}

/// Replies with a member's rank. `shown` converts the rank, given the set's length.
fn rank(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    name: &'static str,
    shown: impl FnOnce(usize, usize) -> usize,
) -> CommandResult {
    let with_score = match arguments {
        [_, _, _] => false,
        [_, _, _, word] if args::is(word, "WITHSCORE") => true,
        [_, _, _, _] => return Err(CommandError::Syntax),
        _ => return Err(CommandError::WrongArity(name.into())),
    };
    let key = cx.key(arguments, 1);
    let zset = collection::read::<ZSet>(&cx.keys, &key)?;
    if zset.is_none() {
        cx.missed(&key);
    }
    match zset.and_then(|zset| zset.rank(arguments[2]).map(|(rank, score)| (shown(rank, zset.len()), score)))
    {
        Some((rank, score)) if with_score => {
            cx.reply.array(2);
            cx.reply.count(rank);
            cx.reply.double(score);
        }
        Some((rank, _)) => cx.reply.count(rank),
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
    }
    Ok(())
}

fn zrandmember(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let (count, with_scores) = collection::random_options(&arguments[2..], "WITHSCORES")?;
    let Some(zset) = collection::read::<ZSet>(&cx.keys, &key)? else {
        collection::write_none_at_random(cx, &key, count);
        return Ok(());
    };
    let mut rng = fastrand::Rng::new();
    match count {
        None => cx.reply.bulk_or_null(zset.random(&mut rng).map(|(member, _)| member).as_deref()),
        Some(count @ 0..) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(zset.len());
            cx.keys.expect(count * collection::RANDOM_WORK)?;
            write_head(&mut cx.reply, count, with_scores);
            zset.random_distinct(count, &mut rng, |member, score| {
                write_member(&mut cx.reply, member, with_scores.then_some(score));
            });
        }
        Some(count) => {
            let count = count.unsigned_abs();
            write_head(&mut cx.reply, count as usize, with_scores);
            collection::repeat(&cx.keys, &mut cx.reply, count, |reply| {
                if let Some((member, score)) = zset.random(&mut rng) {
                    write_member(reply, &member, with_scores.then_some(score));
                }
            })?;
        }
    }
    Ok(())
}

fn zscan(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (arguments, no_scores) = without_noscores(arguments);
    collection::scan::<ZSet>(cx, &arguments, false, |zset, cursor, options, reply| {
        let mut count = 0;
        let next = zset.scan(cursor, options.count, |member, score| {
            if options.matches(member) {
                reply.bulk(member);
                count += 1;
                if !no_scores {
                    // Text in RESP3 too, unlike everywhere else.
                    reply.bulk(&format_f64(score));
                    count += 1;
                }
            }
        });
        (next, count)
    })
}

/// Removes NOSCORES, which is an option of ZSCAN alone, from the arguments. Returns the others, and whether
/// it was there.
fn without_noscores<'a>(arguments: &[&'a [u8]]) -> (SmallVec<[&'a [u8]; 9]>, bool) {
    let (start, mut words) = arguments.split_at(arguments.len().min(3));
    let mut kept = SmallVec::from_slice(start);
    let mut found = false;
    while let Some((word, rest)) = words.split_first() {
        if args::is(word, "NOSCORES") {
            found = true;
            words = rest;
        } else {
            // An option and its value. The value may be the word NOSCORES.
            let (option, rest) = words.split_at(words.len().min(2));
            kept.extend_from_slice(option);
            words = rest;
        }
    }
    (kept, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Version;

    fn words(text: &'static str) -> Vec<&'static [u8]> {
        text.split_ascii_whitespace().map(str::as_bytes).collect()
    }

    #[test]
    fn zadd_options_are_checked_in_redis_order() {
        let parse = |text| {
            let words = words(text);
            AddOptions::parse(&words)
                .map(|(options, pairs)| (options, pairs.len()))
                .map_err(|error| error.to_string())
        };
        let none = AddOptions::default();
        assert_eq!(parse("1 a"), Ok((none, 2)));
        assert_eq!(
            parse("ch Xx gT ch 1 a 2 b"),
            Ok((AddOptions { xx: true, gt: true, changed: true, ..none }, 4))
        );
        assert_eq!(parse("incr 1 nx"), Ok((AddOptions { increment: true, ..none }, 2)));
        for (text, error) in [
            ("nx", "ERR syntax error"),
            ("nx 1", "ERR syntax error"),
            ("nx xx 1 a 2", "ERR syntax error"),
            ("foo 1 a", "ERR syntax error"),
            ("nx xx gt 1 a", "ERR XX and NX options at the same time are not compatible"),
            ("nx gt 1 a", "ERR GT, LT, and/or NX options at the same time are not compatible"),
            ("nx lt 1 a", "ERR GT, LT, and/or NX options at the same time are not compatible"),
            ("lt gt incr 1 a 2 b", "ERR GT, LT, and/or NX options at the same time are not compatible"),
            ("incr 1 a 2 b", "ERR INCR option supports a single increment-element pair"),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn zadd_options_decide_what_happens() {
        let limits = ZSetLimits::default();
        let after = |text: &'static str, score: f64| {
            let mut zset = ZSet::new();
            zset.set(b"a", 5.0, &limits);
            let words = words(text);
            let options = AddOptions::parse(&words).unwrap().0;
            let there = options.apply(&mut zset, b"a", score, &limits).unwrap().map(|(_, change)| change);
            let new = options.apply(&mut zset, b"b", score, &limits).unwrap().map(|(_, change)| change);
            (zset.score(b"a").unwrap(), there, zset.score(b"b"), new)
        };
        let added = Some(Change::Added);
        assert_eq!(after("x x", 6.0), (6.0, Some(Change::Rescored), Some(6.0), added));
        assert_eq!(after("x x", 5.0), (5.0, Some(Change::None), Some(5.0), added));
        assert_eq!(after("nx x x", 6.0), (5.0, None, Some(6.0), added));
        assert_eq!(after("xx x x", 6.0), (6.0, Some(Change::Rescored), None, None));
        assert_eq!(after("gt x x", 4.0), (5.0, None, Some(4.0), added));
        assert_eq!(after("gt x x", 5.0), (5.0, None, Some(5.0), added));
        assert_eq!(after("gt x x", 6.0), (6.0, Some(Change::Rescored), Some(6.0), added));
        assert_eq!(after("lt xx x x", 4.0), (4.0, Some(Change::Rescored), None, None));
        assert_eq!(after("incr x x", 2.0), (7.0, Some(Change::Rescored), Some(2.0), added));
        assert_eq!(after("incr lt x x", 2.0), (5.0, None, Some(2.0), added));

        let mut zset = ZSet::new();
        zset.set(b"a", f64::INFINITY, &limits);
        let increment = AddOptions { increment: true, ..AddOptions::default() };
        let error = increment.apply(&mut zset, b"a", f64::NEG_INFINITY, &limits).unwrap_err();
        assert_eq!(error.to_string(), "ERR resulting score is not a number (NaN)");
        assert_eq!(zset.score(b"a"), Some(f64::INFINITY));
    }

    #[test]
    fn random_options_are_checked_in_redis_order() {
        let parse = |text| collection::random_options(&words(text), "WITHSCORES");
        assert_eq!(parse(""), Ok((None, false)));
        assert_eq!(parse("-3 withScores"), Ok((Some(-3), true)));
        assert_eq!(parse("x foo"), Err(CommandError::NotAnInteger));
        assert_eq!(parse("3 foo"), Err(CommandError::Syntax));
        assert_eq!(parse("3 withscores foo"), Err(CommandError::Syntax));
        assert_eq!(parse("4611686018427387904 withscores"), Err(CommandError::OutOfRange));
        assert_eq!(parse("4611686018427387904"), Ok((Some(4_611_686_018_427_387_904), false)));
    }

    #[test]
    fn noscores_is_found_among_options_only() {
        let split = |text| {
            let words = words(text);
            let (kept, found) = without_noscores(&words);
            (String::from_utf8(kept.join(&b' ')).unwrap(), found)
        };
        assert_eq!(split("zscan k 0"), ("zscan k 0".to_owned(), false));
        assert_eq!(split("zscan k 0 NoScores count 1"), ("zscan k 0 count 1".to_owned(), true));
        assert_eq!(split("zscan k 0 match noscores"), ("zscan k 0 match noscores".to_owned(), false));
        assert_eq!(split("zscan k 0 match a noscores match"), ("zscan k 0 match a match".to_owned(), true));
        assert_eq!(split("zscan noscores 0"), ("zscan noscores 0".to_owned(), false));
    }

    #[test]
    fn pairs_are_nested_in_resp3_only() {
        let written = |version, score: Option<f64>| {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, version);
            write_head(&mut reply, 1, score.is_some());
            write_member(&mut reply, b"m", score);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Version::Resp2, None), "*1\r\n$1\r\nm\r\n");
        assert_eq!(written(Version::Resp2, Some(1.5)), "*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n");
        assert_eq!(written(Version::Resp3, None), "*1\r\n$1\r\nm\r\n");
        assert_eq!(written(Version::Resp3, Some(1.5)), "*1\r\n*2\r\n$1\r\nm\r\n,1.5\r\n");
    }
}
