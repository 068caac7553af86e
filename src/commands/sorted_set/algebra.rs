//! Unions, intersections and differences of sorted sets, sets taking part as sorted sets whose scores are all
//! 1.

use std::ops::Range;

use smallvec::SmallVec;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::sorted_set::entered::enter_whole;
use crate::commands::sorted_set::members::store;
use crate::commands::sorted_set::range::write_ranks;
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::Access;
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;
use crate::primitives::number::{parse_f64, parse_i64};
use crate::types::set::Live;
use crate::types::zset::{ZSet, ZSetLimits};

const SORTED_SET: &[Category] = &[Category::SortedSet];
const INPUT: u16 = KeySpec::RO | KeySpec::ACCESS;
const INPUTS: &[KeySpec] = &[KeySpec::counted(1, 1, INPUT)];
const TARGET_AND_INPUTS: &[KeySpec] =
    &[KeySpec::one(1, KeySpec::OW | KeySpec::UPDATE), KeySpec::counted(2, 1, INPUT)];
const ALL_SORTED: &str = "O(N+M*log(M)) where N is the number of members of all inputs and M of the result";
const SMALLEST: &str =
    "O(N*K+M*log(M)) where N is the size of the smallest input, K their number and M the size of the result";

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Returns the members that any of the sorted sets has, with their scores put together.",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE(SUM | MIN | MAX | COUNT)] [WITHSCORES]",
        since: "6.2.0",
        complexity: ALL_SORTED,
        run: zunion,
        ..reading("zunion")
    },
    Command {
        summary: "Returns the members that all sorted sets have in common, with their scores put together.",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE(SUM | MIN | MAX | COUNT)] [WITHSCORES]",
        since: "6.2.0",
        complexity: SMALLEST,
        run: zinter,
        ..reading("zinter")
    },
    Command {
        summary: "Returns the members of the first sorted set that none of the others has.",
        syntax: "numkeys key [key ...] [WITHSCORES]",
        since: "6.2.0",
        complexity: ALL_SORTED,
        run: zdiff,
        ..reading("zdiff")
    },
    Command {
        summary: "Keeps the members that any of the sorted sets has as a sorted set under a key.",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE(SUM | MIN | MAX | COUNT)]",
        since: "2.0.0",
        complexity: ALL_SORTED,
        run: zunionstore,
        ..storing("zunionstore")
    },
    Command {
        summary: "Keeps the members that all sorted sets have in common as a sorted set under a key.",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE(SUM | MIN | MAX | COUNT)]",
        since: "2.0.0",
        complexity: SMALLEST,
        run: zinterstore,
        ..storing("zinterstore")
    },
    Command {
        summary: "Keeps the members of the first sorted set that none of the others has as a sorted set under a key.",
        syntax: "destination numkeys key [key ...]",
        since: "6.2.0",
        complexity: ALL_SORTED,
        run: zdiffstore,
        ..storing("zdiffstore")
    },
    Command {
        summary: "Counts the members that all sorted sets have in common, up to a limit if wanted.",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        since: "7.0.0",
        complexity: "O(N*K) where N is the size of the smallest input and K their number",
        reply: "the number of members",
        run: zintercard,
        ..reading("zintercard")
    },
];

const fn reading(name: &'static str) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: INPUTS,
        categories: SORTED_SET,
        group: Group::SortedSet,
        reply: "an array of members, with their scores if wanted",
        ..Command::DEFAULT
    }
}

const fn storing(name: &'static str) -> Command {
    Command {
        name,
        arity: -4,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: TARGET_AND_INPUTS,
        categories: SORTED_SET,
        group: Group::SortedSet,
        reply: "the number of members of the result",
        ..Command::DEFAULT
    }
}

fn zunion(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    answer(cx, arguments, Operation::Union, "zunion")
}

fn zinter(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    answer(cx, arguments, Operation::Intersection, "zinter")
}

fn zdiff(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    answer(cx, arguments, Operation::Difference, "zdiff")
}

fn zunionstore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    keep(cx, arguments, Operation::Union, "zunionstore")
}

fn zinterstore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    keep(cx, arguments, Operation::Intersection, "zinterstore")
}

fn zdiffstore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    keep(cx, arguments, Operation::Difference, "zdiffstore")
}

fn answer(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    operation: Operation,
    name: &'static str,
) -> CommandResult {
    let limits = cx.server.settings.collections.zset();
    let keys = inputs(cx, arguments, 1, name)?;
    let mut sources = read_all(&cx.keys, cx.server, &keys)?;
    let shape =
        Shape { takes_weights: operation != Operation::Difference, shows_scores: true, counts: false };
    let options = Options::parse(&arguments[2 + keys.len()..], &mut sources, shape)?;
    let result = operation.run(sources, options.aggregate, &limits);
    write_ranks(&mut cx.reply, &result, 0..result.len(), false, options.with_scores);
    Ok(())
}

fn keep(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    operation: Operation,
    name: &'static str,
) -> CommandResult {
    let limits = cx.server.settings.collections.zset();
    let keys = inputs(cx, arguments, 2, name)?;
    let mut sources = read_all(&cx.keys, cx.server, &keys)?;
    let shape =
        Shape { takes_weights: operation != Operation::Difference, shows_scores: false, counts: false };
    let options = Options::parse(&arguments[3 + keys.len()..], &mut sources, shape)?;
    let result = operation.run(sources, options.aggregate, &limits);
    let is_count = options.aggregate == Aggregate::Count;
    let dirty = cx.dirty;
    store(cx, arguments, result, name);
    // Not every replica knows COUNT.
    if is_count && cx.dirty > dirty {
        enter_whole(cx, &cx.key(arguments, 1));
    }
    Ok(())
}

fn zintercard(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let keys = inputs(cx, arguments, 1, "zintercard")?;
    let mut sources = read_all(&cx.keys, cx.server, &keys)?;
    let shape = Shape { takes_weights: false, shows_scores: false, counts: true };
    let options = Options::parse(&arguments[2 + keys.len()..], &mut sources, shape)?;
    let mut count = 0;
    intersect(sources, Aggregate::Sum, options.limit, |_, _| count += 1);
    cx.reply.count(count);
    Ok(())
}

/// The input keys, argument `at` being their number.
fn inputs<'k>(
    cx: &Context<'_>,
    arguments: &[&'k [u8]],
    at: usize,
    name: &'static str,
) -> Result<SmallVec<[HashedKey<'k>; 4]>, CommandError> {
    Ok(input_range(arguments, at, name)?.map(|index| cx.key(arguments, index)).collect())
}

fn input_range(arguments: &[&[u8]], at: usize, name: &'static str) -> Result<Range<usize>, CommandError> {
    let count = args::int(arguments.get(at).ok_or(CommandError::Syntax)?)?;
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        return Err(CommandError::new(format!("ERR at least 1 input key is needed for '{name}' command")));
    };
    let end = count.checked_add(at + 1).filter(|end| *end <= arguments.len()).ok_or(CommandError::Syntax)?;
    Ok(at + 1..end)
}

/// What stands under the keys, in their order. Every key is looked at, so that any of another type is an
/// error.
fn read_all<'k>(
    access: &'k Access<'_, '_>,
    server: &Server,
    keys: &[HashedKey<'_>],
) -> Result<Sources<'k>, CommandError> {
    let read = |key| {
        let members = match access.read(key).map(Record::value) {
            Some(ValueRef::Object(Object::Zset(zset))) => Members::Sorted(zset),
            Some(ValueRef::Object(Object::Set(set))) => {
                access.note_left_out(access.database, key, set);
                Members::Plain(set.at(access.ended_ms))
            }
            Some(_) => return Err(CommandError::WrongType),
            None => {
                server.effects.event(access.database, key, EventClass::KEY_MISS, "keymiss");
                Members::None
            }
        };
        Ok(Source { members, weight: 1.0 })
    };
    let sources: Sources<'k> = keys.iter().map(read).collect::<Result<_, CommandError>>()?;
    access.expect(sources.iter().map(Source::len).sum::<usize>() * 20)?;
    Ok(sources)
}

/// Which options a command knows.
#[derive(Clone, Copy)]
struct Shape {
    /// WEIGHTS and AGGREGATE.
    takes_weights: bool,
    /// WITHSCORES.
    shows_scores: bool,
    /// LIMIT.
    counts: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

impl Options {
    /// Reads all that stands behind the keys; weights go to their sources.
    fn parse(words: &[&[u8]], sources: &mut [Source<'_>], shape: Shape) -> Result<Self, CommandError> {
        let mut options = Self { aggregate: Aggregate::Sum, with_scores: false, limit: usize::MAX };
        let mut left = words;
        while let Some((word, rest)) = left.split_first() {
            left = rest;
            if shape.takes_weights && args::is(word, "WEIGHTS") && rest.len() >= sources.len() {
                let (weights, rest) = rest.split_at(sources.len());
                for (source, weight) in sources.iter_mut().zip(weights) {
                    source.weight =
                        parse_f64(weight).ok_or(CommandError::text("ERR weight value is not a float"))?;
                }
                left = rest;
            } else if let (true, [value, rest @ ..]) =
                (shape.takes_weights && args::is(word, "AGGREGATE"), rest)
            {
                options.aggregate = Aggregate::parse(value)?;
                left = rest;
            } else if shape.shows_scores && args::is(word, "WITHSCORES") {
                options.with_scores = true;
            } else if let (true, [value, rest @ ..]) = (shape.counts && args::is(word, "LIMIT"), rest) {
                let limit = parse_i64(value)
                    .and_then(|limit| usize::try_from(limit).ok())
                    .ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
                options.limit = if limit == 0 { usize::MAX } else { limit };
                left = rest;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// How the scores of one member in several sets become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The sum of the weights of the sets that have the member, whatever its scores.
    Count,
}

impl Aggregate {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        if args::is(word, "SUM") {
            Ok(Aggregate::Sum)
        } else if args::is(word, "MIN") {
            Ok(Aggregate::Min)
        } else if args::is(word, "MAX") {
            Ok(Aggregate::Max)
        } else if args::is(word, "COUNT") {
            Ok(Aggregate::Count)
        } else {
            Err(CommandError::Syntax)
        }
    }

    /// What a source adds for a member with this score.
    fn weighted(self, source: &Source<'_>, score: f64) -> f64 {
        source.weight * if self == Aggregate::Count { 1.0 } else { score }
    }

    /// A sum that is no number is 0, and what is no number is neither less nor more than anything (Redis's
    /// rules).
    fn join(self, so_far: f64, score: f64) -> f64 {
        match self {
            Aggregate::Sum | Aggregate::Count => number_or_zero(so_far + score),
            Aggregate::Min => {
                if score < so_far {
                    score
                } else {
                    so_far
                }
            }
            Aggregate::Max => {
                if score > so_far {
                    score
                } else {
                    so_far
                }
            }
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

impl Operation {
    fn run(self, sources: Sources<'_>, aggregate: Aggregate, limits: &ZSetLimits) -> ZSet {
        match self {
            Operation::Union => unite(sources, aggregate, limits),
            Operation::Intersection => {
                let mut result = ZSet::new();
                intersect(sources, aggregate, usize::MAX, |member, score| {
                    result.set(member, score, limits);
                });
                result
            }
            Operation::Difference => subtract(&sources, limits),
        }
    }
}

type Sources<'k> = SmallVec<[Source<'k>; 4]>;

/// An input.
#[derive(Clone, Copy)]
struct Source<'k> {
    members: Members<'k>,
    weight: f64,
}

#[derive(Clone, Copy)]
enum Members<'k> {
    None,
    Plain(Live<'k>),
    Sorted(&'k ZSet),
}

impl Source<'_> {
    fn len(&self) -> usize {
        match self.members {
            Members::None => 0,
            Members::Plain(set) => set.len(),
            Members::Sorted(zset) => zset.len(),
        }
    }

    fn contains(&self, member: &[u8]) -> bool {
        self.score(member).is_some()
    }

    /// A member's score, without the weight.
    fn score(&self, member: &[u8]) -> Option<f64> {
        match self.members {
            Members::None => None,
            Members::Plain(set) => set.contains(member).then_some(1.0),
            Members::Sorted(zset) => zset.score(member),
        }
    }

    /// Visits members and scores, without the weight, until `visit` answers false.
    fn visit_while(&self, mut visit: impl FnMut(&[u8], f64) -> bool) {
        match self.members {
            Members::None => {}
            Members::Plain(set) => {
                set.iter().all(|member| visit(&member, 1.0));
            }
            Members::Sorted(zset) => {
                zset.iter().all(|(member, score)| visit(&member, score));
            }
        }
    }

    fn visit(&self, mut visit: impl FnMut(&[u8], f64)) {
        self.visit_while(|member, score| {
            visit(member, score);
            true
        });
    }
}

fn unite(mut sources: Sources<'_>, aggregate: Aggregate, limits: &ZSetLimits) -> ZSet {
    // Scores are put together from the smallest set to the largest, as Redis does: sums depend on it.
    sources.sort_by_key(Source::len);
    if let [first, second] = &sources[..] {
        return unite_two(first, second, aggregate, limits);
    }
    let mut result = ZSet::new();
    result.expect(sources.last().map_or(0, Source::len), 0, limits);
    for source in sources {
        source.visit(|member, score| {
            let score = number_or_zero(aggregate.weighted(&source, score));
            let score = match result.score(member) {
                Some(so_far) => aggregate.join(so_far, score),
                None => score,
            };
            result.set(member, score, limits);
        });
    }
    result
}

/// [`unite`] of two sources. Each member's score is known before it is entered, and members are entered in
/// the order of their scores: none is moved, and neighbours in the result are entered one behind the other.
fn unite_two(first: &Source<'_>, second: &Source<'_>, aggregate: Aggregate, limits: &ZSetLimits) -> ZSet {
    let weighted = |source: &Source<'_>, score| number_or_zero(aggregate.weighted(source, score));
    // Members in a row; scores with where their members begin and end there.
    let (mut names, mut scores) = (Vec::new(), Vec::with_capacity(second.len()));
    let mut add = |member: &[u8], score: f64| {
        let start = names.len();
        names.extend_from_slice(member);
        scores.push((score, start..names.len()));
    };
    first.visit(|member, score| {
        let score = weighted(first, score);
        let other = second.score(member).map(|other| weighted(second, other));
        add(member, other.map_or(score, |other| aggregate.join(score, other)));
    });
    second.visit(|member, score| {
        if !first.contains(member) {
            add(member, weighted(second, score));
        }
    });
    scores.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut result = ZSet::new();
    result.expect(scores.len(), 0, limits);
    for (score, name) in scores {
        result.set(&names[name], score, limits);
    }
    result
}

/// Visits what all sources have in common, up to `limit`.
fn intersect(
    mut sources: Sources<'_>,
    aggregate: Aggregate,
    limit: usize,
    mut visit: impl FnMut(&[u8], f64),
) {
    // The smallest gives the candidates, and small ones refuse most of them first.
    sources.sort_by_key(Source::len);
    let Some((smallest, others)) = sources.split_first() else { return };
    let mut found = 0;
    smallest.visit_while(|member, score| {
        let first = number_or_zero(aggregate.weighted(smallest, score));
        let joined = others.iter().try_fold(first, |so_far, other| {
            Some(aggregate.join(so_far, aggregate.weighted(other, other.score(member)?)))
        });
        if let Some(score) = joined {
            visit(member, score);
            found += 1;
        }
        found < limit
    });
}

/// What the first source has and no other, with the first's scores.
fn subtract(sources: &[Source<'_>], limits: &ZSetLimits) -> ZSet {
    let mut result = ZSet::new();
    let Some((first, others)) = sources.split_first() else { return result };
    // Either every member is looked for in the others, until one has it, or all members of the others are
    // taken from a copy. The first costs half of its worst case on average.
    let look_up = first.len().saturating_mul(others.len()) / 2;
    let take_out = first.len() + others.iter().map(Source::len).sum::<usize>();
    if look_up <= take_out {
        let mut others: SmallVec<[Source<'_>; 4]> = SmallVec::from_slice(others);
        // The largest is the likeliest to have it.
        others.sort_by_key(|source| std::cmp::Reverse(source.len()));
        first.visit(|member, score| {
            if !others.iter().any(|other| other.contains(member)) {
                result.set(member, score, limits);
            }
        });
        return result;
    }
    first.visit(|member, score| {
        result.set(member, score, limits);
    });
    for other in others {
        other.visit_while(|member, _| {
            result.remove(member);
            !result.is_empty()
        });
    }
    result.compact(limits);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::set::{Set, SetLimits};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const LIMITS: ZSetLimits = ZSetLimits { max_listpack_entries: 8, max_listpack_value: 8 };
    const SET_LIMITS: SetLimits =
        SetLimits { max_intset_entries: 8, max_listpack_entries: 8, max_listpack_value: 8 };

    type Model = BTreeMap<Vec<u8>, f64>;

    enum Owned {
        None,
        Plain(Set),
        Sorted(ZSet),
    }

    /// A model, and whether it is a plain set.
    fn model() -> impl Strategy<Value = (Model, bool)> {
        let member = prop_oneof![
            (0u8..20).prop_map(|number| number.to_string().into_bytes()),
            (0u8..12).prop_map(|number| format!("m{number}").into_bytes()),
        ];
        let scores = prop::collection::btree_map(member, (-8i32..8).prop_map(f64::from), 0..20);
        (scores, any::<bool>()).prop_map(|(mut model, is_plain)| {
            if is_plain {
                model.values_mut().for_each(|score| *score = 1.0);
            }
            (model, is_plain)
        })
    }

    fn owned(model: &Model, is_plain: bool) -> Owned {
        if model.is_empty() {
            return Owned::None;
        }
        if is_plain {
            let mut set = Set::new_for(b"0", &SET_LIMITS, 0);
            model.keys().for_each(|member| assert!(set.add(member, &SET_LIMITS)));
            return Owned::Plain(set);
        }
        let mut zset = ZSet::new();
        model.iter().for_each(|(member, score)| assert!(zset.set(member, *score, &LIMITS).is_none()));
        Owned::Sorted(zset)
    }

    fn source(owned: &Owned, weight: f64) -> Source<'_> {
        let members = match owned {
            Owned::None => Members::None,
            Owned::Plain(set) => Members::Plain(set.at(0)),
            Owned::Sorted(zset) => Members::Sorted(zset),
        };
        Source { members, weight }
    }

    fn shown(zset: &ZSet) -> Model {
        zset.iter().map(|(member, score)| (member.to_vec(), score)).collect()
    }

    proptest! {
        #[test]
        fn algebra_agrees_with_plain_maps(
            inputs in prop::collection::vec((model(), -3i32..4), 1..7),
            aggregate in prop::sample::select(vec![Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::Count]),
            limit in 1usize..6,
        ) {
            let all: Vec<Owned> = inputs.iter().map(|((model, is_plain), _)| owned(model, *is_plain)).collect();
            let sources: Sources<'_> =
                all.iter().zip(&inputs).map(|(owned, (_, weight))| source(owned, f64::from(*weight))).collect();

            let mut union = Model::new();
            for ((model, _), weight) in &inputs {
                for (member, score) in model {
                    let score = if aggregate == Aggregate::Count { 1.0 } else { *score } * f64::from(*weight);
                    let joined = match (union.get(member), aggregate) {
                        (None, _) => score,
                        (Some(old), Aggregate::Sum | Aggregate::Count) => old + score,
                        (Some(old), Aggregate::Min) => old.min(score),
                        (Some(old), Aggregate::Max) => old.max(score),
                    };
                    union.insert(member.clone(), joined);
                }
            }
            let common: Model = union
                .iter()
                .filter(|(member, _)| inputs.iter().all(|((model, _), _)| model.contains_key(*member)))
                .map(|(member, score)| (member.clone(), *score))
                .collect();
            prop_assert_eq!(shown(&Operation::Union.run(sources.clone(), aggregate, &LIMITS)), union);
            let result = Operation::Intersection.run(sources.clone(), aggregate, &LIMITS);
            prop_assert_eq!(&shown(&result), &common);
            let mut count = 0;
            intersect(sources.clone(), aggregate, limit, |_, _| count += 1);
            prop_assert_eq!(count, common.len().min(limit));

            let ((first, _), _) = &inputs[0];
            let difference: Model = first
                .iter()
                .filter(|(member, _)| !inputs[1..].iter().any(|((model, _), _)| model.contains_key(*member)))
                .map(|(member, score)| (member.clone(), *score))
                .collect();
            let result = Operation::Difference.run(sources, aggregate, &LIMITS);
            prop_assert_eq!(result.encoding() == "listpack", difference.len() <= LIMITS.max_listpack_entries);
            prop_assert_eq!(shown(&result), difference);
        }
    }

    #[test]
    fn taking_from_a_copy_finds_the_same() {
        let numbers =
            |range: Range<u32>| range.map(|number| (number.to_string().into_bytes(), 2.0)).collect();
        let first = owned(&numbers(0..100), false);
        let small: Vec<Owned> = (0..95).map(|number| owned(&numbers(number..number + 1), false)).collect();
        let sources: Sources<'_> =
            std::iter::once(&first).chain(&small).map(|owned| source(owned, 1.0)).collect();
        let result = subtract(&sources, &LIMITS);
        assert_eq!(shown(&result), numbers(95..100));
        assert_eq!(result.encoding(), "listpack");
        assert_eq!(sources[0].len(), 100);
    }

    #[test]
    fn infinities_that_cancel_are_zero() {
        let infinite = |score| owned(&Model::from([(b"a".to_vec(), score)]), false);
        let (low, high) = (infinite(f64::NEG_INFINITY), infinite(f64::INFINITY));
        let run = |operation: Operation, weights: [f64; 2], aggregate| {
            let sources = Sources::from_slice(&[source(&high, weights[0]), source(&low, weights[1])]);
            operation.run(sources, aggregate, &LIMITS).score(b"a")
        };
        let (union, intersection) = (Operation::Union, Operation::Intersection);
        assert_eq!(run(union, [1.0, 1.0], Aggregate::Sum), Some(0.0));
        assert_eq!(run(intersection, [1.0, 1.0], Aggregate::Sum), Some(0.0));
        // A weight of 0 makes an infinite score no number, which the two treat differently.
        assert_eq!(run(union, [1.0, 0.0], Aggregate::Min), Some(0.0));
        assert_eq!(run(intersection, [1.0, 0.0], Aggregate::Min), Some(f64::INFINITY));
    }

    #[test]
    fn options_are_read_as_the_command_knows_them() {
        const UNION: Shape = Shape { takes_weights: true, shows_scores: true, counts: false };
        const CARD: Shape = Shape { takes_weights: false, shows_scores: false, counts: true };
        let parse = |text: &'static str, shape| {
            let words: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            let mut sources = [Source { members: Members::None, weight: 1.0 }; 2];
            let options = Options::parse(&words, &mut sources, shape).map_err(|error| error.to_string())?;
            Ok::<_, String>((options, sources.map(|source| source.weight)))
        };
        let plain = || Options { aggregate: Aggregate::Sum, with_scores: false, limit: usize::MAX };
        assert_eq!(parse("", UNION), Ok((plain(), [1.0, 1.0])));
        assert_eq!(
            parse("weights 2 -inf Aggregate min WITHscores", UNION),
            Ok((
                Options { aggregate: Aggregate::Min, with_scores: true, ..plain() },
                [2.0, f64::NEG_INFINITY]
            ))
        );
        assert_eq!(parse("limit 3", CARD), Ok((Options { limit: 3, ..plain() }, [1.0, 1.0])));
        assert_eq!(parse("limit 3 limit 0", CARD), Ok((plain(), [1.0, 1.0])));
        for (text, shape, error) in [
            ("weights 1", UNION, "ERR syntax error"),
            ("weights 1 nan", UNION, "ERR weight value is not a float"),
            ("aggregate", UNION, "ERR syntax error"),
            ("aggregate avg", UNION, "ERR syntax error"),
            ("limit 1", UNION, "ERR syntax error"),
            ("weights 1 2", CARD, "ERR syntax error"),
            ("withscores", CARD, "ERR syntax error"),
            ("limit", CARD, "ERR syntax error"),
            ("limit -1", CARD, "ERR LIMIT can't be negative"),
            ("limit x", CARD, "ERR LIMIT can't be negative"),
        ] {
            assert_eq!(parse(text, shape), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn inputs_are_counted() {
        let range = |text: &'static str| {
            let arguments: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            input_range(&arguments, 1, "zunion").map_err(|error| error.to_string())
        };
        assert_eq!(range("zunion 2 a b withscores"), Ok(2..4));
        assert_eq!(
            range("zunion 0 a"),
            Err("ERR at least 1 input key is needed for 'zunion' command".to_owned())
        );
        assert_eq!(range("zunion x a"), Err("ERR value is not an integer or out of range".to_owned()));
        assert_eq!(range("zunion 3 a b"), Err("ERR syntax error".to_owned()));
        assert_eq!(range("zunion 9223372036854775807 a"), Err("ERR syntax error".to_owned()));
    }
}
