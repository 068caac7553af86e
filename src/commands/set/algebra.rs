//! Intersections, unions and differences of sets.

use smallvec::SmallVec;

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::set::members::write_members;
use crate::commands::shared::collection;
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::Access;
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::parse_i64;
use crate::types::hyperloglog;
use crate::types::set::{Live, Set, SetLimits};

const SET: &[Category] = &[Category::Set];
const INPUTS: &[KeySpec] = &[KeySpec::rest(1, 1, KeySpec::RO | KeySpec::ACCESS)];
const COUNTED: &[KeySpec] = &[KeySpec::counted(1, 1, KeySpec::RO | KeySpec::ACCESS)];
const TARGET_AND_INPUTS: &[KeySpec] =
    &[KeySpec::one(1, KeySpec::OW | KeySpec::UPDATE), KeySpec::rest(2, 1, KeySpec::RO | KeySpec::ACCESS)];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Returns the members that all sets have in common.",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        run: sinter,
        tips: &["nondeterministic_output_order"],
        ..reading("sinter")
    },
    Command {
        summary: "Returns the members that any of the sets has.",
        complexity: "O(N) where N is the number of members of all sets",
        run: sunion,
        tips: &["nondeterministic_output_order"],
        ..reading("sunion")
    },
    Command {
        summary: "Returns the members of the first set that none of the others has.",
        complexity: "O(N) where N is the number of members of all sets",
        run: sdiff,
        tips: &["nondeterministic_output_order"],
        ..reading("sdiff")
    },
    Command {
        summary: "Keeps the members that all sets have in common as a set under a key.",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        run: sinterstore,
        ..storing("sinterstore")
    },
    Command {
        summary: "Keeps the members that any of the sets has as a set under a key.",
        complexity: "O(N) where N is the number of members of all sets",
        run: sunionstore,
        ..storing("sunionstore")
    },
    Command {
        summary: "Keeps the members of the first set that none of the others has as a set under a key.",
        complexity: "O(N) where N is the number of members of all sets",
        run: sdiffstore,
        ..storing("sdiffstore")
    },
    Command {
        name: "sintercard",
        arity: -3,
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(1, 1, KeySpec::RO | KeySpec::ACCESS)],
        categories: SET,
        group: Group::Set,
        summary: "Counts the members that all sets have in common, up to a limit if wanted.",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        since: "7.0.0",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        reply: "the number of members",
        run: sintercard,
        ..Command::DEFAULT
    },
    Command {
        name: "sunioncard",
        summary: "Counts the members that any of the sets has, up to a limit if wanted, or roughly.",
        syntax: "numkeys key [key ...] [APPROX] [LIMIT limit]",
        complexity: "O(N) where N is the number of members of all sets",
        run: sunioncard,
        ..counting()
    },
    Command {
        name: "sdiffcard",
        summary: "Counts the members of the first set that none of the others has, up to a limit if wanted.",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        complexity: "O(N) where N is the number of members of all sets",
        run: sdiffcard,
        ..counting()
    },
];

const fn counting() -> Command {
    Command {
        arity: -3,
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: COUNTED,
        categories: SET,
        group: Group::Set,
        since: "8.10.0",
        family: Family::Redis("8.10"),
        reply: "the number of members",
        ..Command::DEFAULT
    }
}

const fn reading(name: &'static str) -> Command {
    Command {
        name,
        arity: -2,
        flags: Flags::READONLY,
        keys: INPUTS,
        categories: SET,
        group: Group::Set,
        syntax: "key [key ...]",
        since: "1.0.0",
        reply: "a set of members",
        ..Command::DEFAULT
    }
}

const fn storing(name: &'static str) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: TARGET_AND_INPUTS,
        categories: SET,
        group: Group::Set,
        syntax: "destination key [key ...]",
        since: "1.0.0",
        reply: "the number of members of the result",
        ..Command::DEFAULT
    }
}

fn sinter(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let keys = keys_in(cx, arguments, 1..arguments.len());
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let begun = cx.reply.begin_array();
    let count = intersect(&sets, usize::MAX, |member| cx.reply.bulk(member));
    cx.reply.end_set(begun, count);
    Ok(())
}

/// The arguments of SINTERCARD and its kin.
struct Counted {
    keys: std::ops::Range<usize>,
    limit: usize,
    is_rough: bool,
}

impl Counted {
    fn parse(arguments: &[&[u8]], may_be_rough: bool) -> Result<Self, CommandError> {
        let count = parse_i64(arguments[1])
            .filter(|count| *count > 0)
            .ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_add(2))
            .filter(|end| *end <= arguments.len())
            .ok_or(CommandError::text("ERR Number of keys can't be greater than number of args"))?;
        let mut counted = Self { keys: 2..end, limit: usize::MAX, is_rough: false };
        let mut index = end;
        while index < arguments.len() {
            if may_be_rough && args::is(arguments[index], "APPROX") {
                counted.is_rough = true;
                index += 1;
                continue;
            }
            if !args::is(arguments[index], "LIMIT") {
                return Err(CommandError::Syntax);
            }
            let given = parse_i64(args::value_of(arguments, index)?)
                .and_then(|limit| usize::try_from(limit).ok())
                .ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
            counted.limit = if given == 0 { usize::MAX } else { given };
            index += 2;
        }
        Ok(counted)
    }
}

fn sintercard(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let counted = Counted::parse(arguments, false)?;
    let keys = keys_in(cx, arguments, counted.keys);
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let count = intersect(&sets, counted.limit, |_| ());
    cx.reply.count(count);
    Ok(())
}

fn sunioncard(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let counted = Counted::parse(arguments, true)?;
    let keys = keys_in(cx, arguments, counted.keys);
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let count = if counted.is_rough {
        count_roughly(&sets)
    } else {
        count_of_union(&sets, counted.limit, &cx.server.settings.collections.set())
    };
    cx.reply.count(count.min(counted.limit));
    Ok(())
}

fn sdiffcard(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let counted = Counted::parse(arguments, false)?;
    let keys = keys_in(cx, arguments, counted.keys);
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let mut count = 0;
    subtract_while(&sets, |_| {
        count += 1;
        count < counted.limit
    });
    cx.reply.count(count);
    Ok(())
}

fn sunion(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let keys = keys_in(cx, arguments, 1..arguments.len());
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let mut there = sets.iter().copied().flatten();
    if let (Some(only), None) = (there.next(), there.next()) {
        cx.reply.set(only.len());
        write_members(&mut cx.reply, only);
        return Ok(());
    }
    let all = unite(&sets, &cx.server.settings.collections.set());
    let all = all.at(0);
    cx.reply.set(all.len());
    write_members(&mut cx.reply, all);
    Ok(())
}

fn sdiff(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let keys = keys_in(cx, arguments, 1..arguments.len());
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let begun = cx.reply.begin_array();
    let mut count = 0;
    subtract(&sets, |member| {
        count += 1;
        cx.reply.bulk(member);
    });
    cx.reply.end_set(begun, count);
    Ok(())
}

fn sinterstore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let keys = keys_in(cx, arguments, 2..arguments.len());
    let limits = cx.server.settings.collections.set();
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let mut result = empty_set(&limits);
    intersect(&sets, usize::MAX, |member| {
        result.add(member, &limits);
    });
    drop(sets);
    store(cx, arguments, result, "sinterstore");
    Ok(())
}

fn sunionstore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let keys = keys_in(cx, arguments, 2..arguments.len());
    let result = unite(&read_all(&cx.keys, cx.server, &keys)?, &cx.server.settings.collections.set());
    store(cx, arguments, result, "sunionstore");
    Ok(())
}

fn sdiffstore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let keys = keys_in(cx, arguments, 2..arguments.len());
    let limits = cx.server.settings.collections.set();
    let sets = read_all(&cx.keys, cx.server, &keys)?;
    let mut result = empty_set(&limits);
    subtract(&sets, |member| {
        result.add(member, &limits);
    });
    drop(sets);
    store(cx, arguments, result, "sdiffstore");
    Ok(())
}

/// Stores a result under the destination, or deletes it if the result is empty. All inputs were read before:
/// the destination may be one of them.
fn store(cx: &mut Context<'_>, arguments: &[&[u8]], result: Set, event: &'static str) {
    let key = cx.key(arguments, 1);
    let count = result.at(0).len();
    if count > 0 {
        collection::put(cx, &key, result);
        cx.changed(&key, EventClass::SET, event);
    } else if cx.keys.delete(&key) {
        cx.changed(&key, EventClass::GENERIC, "del");
    }
    cx.reply.count(count);
}

type Keys<'k> = SmallVec<[HashedKey<'k>; 4]>;
type Sets<'k> = SmallVec<[Option<Live<'k>>; 4]>;

fn keys_in<'k>(cx: &Context<'_>, arguments: &[&'k [u8]], range: std::ops::Range<usize>) -> Keys<'k> {
    range.map(|index| cx.key(arguments, index)).collect()
}

/// Reads the sets of these keys, in their order. All keys are looked at, so that any of another type is an
/// error.
fn read_all<'k>(
    access: &'k Access<'_, '_>,
    server: &Server,
    keys: &[HashedKey<'_>],
) -> Result<Sets<'k>, CommandError> {
    let read = |key| {
        let set = collection::read::<Set>(access, key)?;
        match set {
            Some(set) => access.note_left_out(access.database, key, set),
            None => server.effects.event(access.database, key, EventClass::KEY_MISS, "keymiss"),
        }
        Ok(set.map(|set| set.at(access.ended_ms)))
    };
    let sets: Sets<'k> = keys.iter().map(read).collect::<Result<_, CommandError>>()?;
    access.expect(sets.iter().flatten().map(|set| set.len()).sum::<usize>() * 10)?;
    Ok(sets)
}

/// An empty result. It begins in the smallest encoding and grows as its members need, whatever encodings the
/// inputs have.
fn empty_set(limits: &SetLimits) -> Set {
    Set::new_for(b"0", limits, 0)
}

/// Visits the members that all sets have, up to `limit`. Returns their number.
fn intersect(sets: &[Option<Live<'_>>], limit: usize, mut visit: impl FnMut(&[u8])) -> usize {
    let Some(mut sets) = sets.iter().copied().collect::<Option<SmallVec<[Live<'_>; 4]>>>() else { return 0 };
    // The smallest set gives the candidates, and small sets reject most of them first.
    sets.sort_by_cached_key(|set| (set.len(), set.address()));
    // A key may be named several times: its set is searched once.
    sets.dedup_by(|a, b| a.is_same(*b));
    let Some((smallest, others)) = sets.split_first() else { return 0 };
    let common = |member: &[u8]| others.iter().all(|set| set.contains(member));
    let mut count = 0;
    for member in smallest.iter().filter(|member| common(member)).take(limit) {
        visit(&member);
        count += 1;
    }
    count
}

fn unite(sets: &[Option<Live<'_>>], limits: &SetLimits) -> Set {
    let mut all = empty_set(limits);
    for member in sets.iter().copied().flatten().flat_map(Live::iter) {
        all.add(&member, limits);
    }
    all
}

/// Counts the members that any of the sets has, up to `limit`. The largest set is not copied.
fn count_of_union(sets: &[Option<Live<'_>>], limit: usize, limits: &SetLimits) -> usize {
    let mut sets: SmallVec<[Live<'_>; 4]> = sets.iter().copied().flatten().collect();
    sets.sort_by_cached_key(|set| std::cmp::Reverse(set.len()));
    let Some((largest, others)) = sets.split_first() else { return 0 };
    let most = largest.len();
    let mut more = empty_set(limits);
    for member in others.iter().flat_map(|set| set.iter()) {
        if most + more.at(0).len() >= limit {
            break;
        }
        if !largest.contains(&member) {
            more.add(&member, limits);
        }
    }
    most + more.at(0).len()
}

/// Estimates how many members any of the sets has, as a HyperLogLog does. The union is not made.
fn count_roughly(sets: &[Option<Live<'_>>]) -> usize {
    let mut estimator = hyperloglog::empty();
    for member in sets.iter().copied().flatten().flat_map(Live::iter) {
        // What it refuses is a broken value, which a new one is not.
        let _ = hyperloglog::add(&mut estimator, &member, SPARSE_MAX);
    }
    hyperloglog::estimate(&estimator).unwrap_or(0) as usize
}

/// Bytes up to which an estimator keeps only what is not zero.
const SPARSE_MAX: usize = 3000;

/// Visits the members of the first set that no other set has.
fn subtract(sets: &[Option<Live<'_>>], mut visit: impl FnMut(&[u8])) {
    subtract_while(sets, |member| {
        visit(member);
        true
    });
}

/// [`subtract`] until `visit` answers false.
fn subtract_while(sets: &[Option<Live<'_>>], mut visit: impl FnMut(&[u8]) -> bool) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    let mut others: SmallVec<[Live<'_>; 4]> = others.iter().copied().flatten().collect();
    // Either each member is searched in the other sets, until one has it, or all members of the others are
    // removed from a copy. A search finds a member after half of the sets on average (Redis's estimate).
    let look_up = first.len().saturating_mul(others.len()) / 2;
    let take_out = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    if look_up <= take_out {
        // The largest set is the likeliest to have a member.
        others.sort_by_cached_key(|set| std::cmp::Reverse(set.len()));
        let missing = |member: &[u8]| !others.iter().any(|set| set.contains(member));
        first.iter().filter(|member| missing(member)).all(|member| visit(&member));
        return;
    }
    let mut rest = first.to_set();
    for member in others.into_iter().flat_map(Live::iter) {
        rest.remove(&member);
        if rest.is_empty() {
            return;
        }
    }
    rest.at(0).iter().all(|member| visit(&member));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const LIMITS: SetLimits =
        SetLimits { max_intset_entries: 8, max_listpack_entries: 8, max_listpack_value: 8 };

    type Model = BTreeSet<Vec<u8>>;

    fn model() -> impl Strategy<Value = Option<Model>> {
        let member = prop_oneof![
            (0u8..20).prop_map(|number| number.to_string().into_bytes()),
            (0u8..12).prop_map(|number| format!("m{number}").into_bytes()),
        ];
        prop::option::weighted(0.9, prop::collection::btree_set(member, 1..20))
    }

    fn set_of(model: &Model) -> Set {
        let mut set = empty_set(&LIMITS);
        model.iter().for_each(|member| assert!(set.add(member, &LIMITS)));
        set
    }

    fn collected(visit: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        visit(&mut |member| found.push(member.to_vec()));
        found.sort();
        found
    }

    proptest! {
        #[test]
        fn algebra_agrees_with_plain_sets(models in prop::collection::vec(model(), 1..9), limit in 1usize..6) {
            let owned: Vec<Option<Set>> = models.iter().map(|model| model.as_ref().map(set_of)).collect();
            let sets: Sets<'_> = owned.iter().map(|set| set.as_ref().map(|set| set.at(0))).collect();
            let plain: Vec<Model> = models.iter().map(|model| model.clone().unwrap_or_default()).collect();

            let union: Model = plain.iter().flatten().cloned().collect();
            prop_assert_eq!(collected(|visit| unite(&sets, &LIMITS).at(0).iter().for_each(|m| visit(&m))),
                union.into_iter().collect::<Vec<_>>());

            let difference = plain[0].iter().filter(|member| !plain[1..].iter().any(|set| set.contains(*member)));
            prop_assert_eq!(collected(|visit| subtract(&sets, visit)), difference.cloned().collect::<Vec<_>>());

            let common = plain[0].iter().filter(|member| plain.iter().all(|set| set.contains(*member)));
            let common: Vec<Vec<u8>> = common.cloned().collect();
            prop_assert_eq!(&collected(|visit| { intersect(&sets, usize::MAX, visit); }), &common);
            prop_assert_eq!(intersect(&sets, limit, |_| ()), common.len().min(limit));
            let all = unite(&sets, &LIMITS).at(0).len();
            prop_assert_eq!(count_of_union(&sets, usize::MAX, &LIMITS), all);
            prop_assert_eq!(count_of_union(&sets, limit, &LIMITS).min(limit), all.min(limit));
            prop_assert!(count_roughly(&sets).abs_diff(all) <= 1 + all / 20);
        }
    }

    #[test]
    fn taking_from_a_copy_leaves_the_first_set_alone() {
        let numbers =
            |range: std::ops::Range<u32>| range.map(|number| number.to_string().into_bytes()).collect();
        let first = set_of(&numbers(0..100));
        let small: Vec<Set> = (0..50).map(|number| set_of(&numbers(number..number + 1))).collect();
        let sets: Sets<'_> = std::iter::once(&first).chain(&small).map(|set| Some(set.at(0))).collect();
        assert_eq!(collected(|visit| subtract(&sets, visit)).len(), 50);
        assert_eq!(first.at(0).len(), 100);
    }
}
