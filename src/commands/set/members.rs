//! Sets: members one by one, at random, and all of them.

use crate::command::{Category, Flags, Group, KeySpec};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::reaper::FreeReason;
use crate::primitives::number::parse_i64;
use crate::resp::encode::Reply;
use crate::types::set::{Live, Set};

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const LOOK: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO)];
const TAKE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE)];
const SET: &[Category] = &[Category::Set];
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);

/// The group's entries; those on several sets are in [`algebra`](super::algebra).
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        arity: -3,
        flags: FAST_WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::INSERT)],
        categories: SET,
        group: Group::Set,
        summary: "Adds members to a set, which is created if there is none.",
        syntax: "key member [member ...]",
        since: "1.0.0",
        complexity: "O(N) where N is the number of members given",
        reply: "how many were new",
        element: Some(2),
        run: sadd,
        ..Command::DEFAULT
    },
    Command {
        name: "srem",
        arity: -3,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)],
        categories: SET,
        group: Group::Set,
        summary: "Removes members from a set; an empty set is deleted.",
        syntax: "key member [member ...]",
        since: "1.0.0",
        complexity: "O(N) where N is the number of members given",
        reply: "how many were there",
        element: Some(2),
        run: srem,
        ..Command::DEFAULT
    },
    Command {
        name: "smove",
        arity: 4,
        flags: FAST_WRITE,
        keys: &[
            KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE),
            KeySpec::one(2, KeySpec::RW | KeySpec::INSERT),
        ],
        categories: SET,
        group: Group::Set,
        summary: "Moves a member from one set to another.",
        syntax: "source destination member",
        since: "1.0.0",
        reply: "1 if moved, else 0",
        run: smove,
        ..Command::DEFAULT
    },
    Command {
        name: "sismember",
        arity: 3,
        flags: FAST_READ,
        keys: LOOK,
        categories: SET,
        group: Group::Set,
        summary: "Tells whether a set has a member.",
        syntax: "key member",
        since: "1.0.0",
        reply: "1 if it has, else 0",
        element: Some(2),
        run: sismember,
        ..Command::DEFAULT
    },
    Command {
        name: "smismember",
        arity: -3,
        flags: FAST_READ,
        keys: READ,
        categories: SET,
        group: Group::Set,
        summary: "Tells of several members whether a set has them.",
        syntax: "key member [member ...]",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members given",
        reply: "an array of 1 and 0",
        run: smismember,
        ..Command::DEFAULT
    },
    Command {
        name: "scard",
        arity: 2,
        flags: FAST_READ,
        keys: LOOK,
        categories: SET,
        group: Group::Set,
        summary: "Counts the members of a set.",
        syntax: "key",
        since: "1.0.0",
        reply: "the number of members, 0 without a key",
        run: scard,
        ..Command::DEFAULT
    },
    Command {
        name: "smembers",
        arity: 2,
        flags: Flags::READONLY,
        keys: READ,
        categories: SET,
        group: Group::Set,
        summary: "Returns all members of a set.",
        syntax: "key",
        since: "1.0.0",
        complexity: "O(N) where N is the number of members",
        reply: "a set of members",
        run: smembers,
        tips: &["nondeterministic_output_order"],
        ..Command::DEFAULT
    },
    Command {
        name: "spop",
        arity: -2,
        flags: FAST_WRITE,
        keys: TAKE,
        categories: SET,
        group: Group::Set,
        summary: "Takes members out of a set at random; an empty set is deleted.",
        syntax: "key [count]",
        since: "1.0.0",
        complexity: "O(N) where N is the count",
        reply: "a member or null; with a count a set of members",
        run: spop,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "srandmember",
        arity: -2,
        flags: Flags::READONLY,
        keys: READ,
        categories: SET,
        group: Group::Set,
        summary: "Returns members of a set chosen at random; a negative count may repeat them.",
        syntax: "key [count]",
        since: "1.0.0",
        complexity: "O(N) where N is the count",
        reply: "a member or null; with a count an array of members",
        run: srandmember,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "sscan",
        arity: -3,
        flags: Flags::READONLY,
        keys: READ,
        categories: SET,
        group: Group::Set,
        summary: "Walks over the members of a set, some at each call.",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for a whole walk",
        reply: "the next cursor and an array of members",
        run: sscan,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
];

fn sadd(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let members = &arguments[2..];
    let limits = cx.server.settings.collections.set();
    let add_all = |set: &mut Set| {
        let mut added = 0;
        for (number, member) in members.iter().enumerate() {
            collection::ahead(members, number).iter().for_each(|member| set.prefetch(member));
            added += usize::from(set.add(member, &limits));
        }
        added
    };
    let change = |set: &mut Set| {
        set.expect(members.len(), &limits);
        add_all(set)
    };
    let added = match collection::change_set(&mut cx.keys, &key, change)? {
        Some(added) => added,
        None => {
            let mut set = Set::new_for(members[0], &limits, members.len());
            let added = add_all(&mut set);
            collection::put(cx, &key, set);
            added
        }
    };
    if added > 0 {
        collection::changed(cx, &key, EventClass::SET, "sadd", added);
    }
    cx.reply.count(added);
    Ok(())
}

fn srem(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let remove = |set: &mut Set| {
        let removed = arguments[2..].iter().filter(|member| set.remove(member)).count();
        (removed, set.is_empty())
    };
    let Some((removed, emptied)) = collection::change_set(&mut cx.keys, &key, remove)? else {
        cx.reply.int(0);
        return Ok(());
    };
    if removed > 0 {
        collection::changed(cx, &key, EventClass::SET, "srem", removed);
        if emptied {
            cx.delete_emptied(&key);
        }
    }
    cx.reply.count(removed);
    Ok(())
}

fn smove(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (from, to) = (cx.key(arguments, 1), cx.key(arguments, 2));
    let member = arguments[3];
    // A missing source ends the command before the destination's type is looked at; a wrong type is an error
    // before anything changes.
    let is_member = collection::change_set(&mut cx.keys, &from, |set| set.at(0).contains(member))?;
    if is_member.is_some() {
        collection::change_set(&mut cx.keys, &to, |_| ())?;
    }
    if is_member != Some(true) || from.bytes == to.bytes {
        cx.reply.int(i64::from(is_member == Some(true)));
        return Ok(());
    }
    let remove = |set: &mut Set| {
        set.remove(member);
        set.is_empty()
    };
    let emptied = collection::change_set(&mut cx.keys, &from, remove)? == Some(true);
    cx.changed(&from, EventClass::SET, "srem");
    if emptied {
        cx.delete_emptied(&from);
    }
    let limits = cx.server.settings.collections.set();
    let added = match collection::change_set(&mut cx.keys, &to, |set| set.add(member, &limits))? {
        Some(added) => added,
        None => {
            let mut set = Set::new_for(member, &limits, 1);
            set.add(member, &limits);
            collection::put(cx, &to, set);
            true
        }
    };
    if added {
        cx.changed(&to, EventClass::SET, "sadd");
    }
    cx.reply.int(1);
    Ok(())
}

fn sismember(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    match collection::read::<Set>(&cx.keys, &key)? {
        Some(set) => {
            let is_member = set.at(cx.keys.ended_ms).contains(arguments[2]);
            cx.reply.int(i64::from(is_member));
        }
        None => {
            cx.missed(&key);
            cx.reply.int(0);
        }
    }
    Ok(())
}

fn smismember(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let members = &arguments[2..];
    let set = collection::read::<Set>(&cx.keys, &key)?.map(|set| set.at(cx.keys.ended_ms));
    if set.is_none() {
        cx.missed(&key);
    }
    cx.reply.array(members.len());
    for member in members {
        cx.reply.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

fn scard(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let ended_ms = cx.keys.ended_ms;
    collection::write_len(cx, arguments, |set: &Set| set.at(ended_ms).len())
}

/// Writes all members of a set.
pub fn write_members(reply: &mut Reply<'_>, set: Live<'_>) {
    let mut bulks = reply.bulks(set.len());
    match set.pieces() {
        Some(pieces) => bulks.extend_pieces(pieces),
        None => set.iter().for_each(|member| bulks.push(&member)),
    }
}

fn smembers(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let ended_ms = cx.keys.ended_ms;
    match collection::read::<Set>(&cx.keys, &key)?.map(|set| set.at(ended_ms)) {
        Some(set) if cx.is_read_in_pieces(set.len())? => {
            let empty = |reply: &mut Reply<'_>| reply.set(0);
            return collection::read_in_pieces::<Set>(cx, &key, empty, |set, at, reply| {
                let set = set.at(ended_ms);
                if at == 0 {
                    reply.set(set.len());
                }
                let (members, next) = set.iter_part(at);
                let mut bulks = reply.bulks(members.size_hint().1.unwrap_or(0));
                members.for_each(|member| bulks.push(&member));
                next
            });
        }
        Some(set) => {
            cx.reply.set(set.len());
            write_members(&mut cx.reply, set);
        }
        None => {
            cx.missed(&key);
            cx.reply.set(0);
        }
    }
    Ok(())
}

/// Members in one request of the journal that removes what SPOP has taken.
const ENTERED_MAX: usize = 1024;

fn spop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let count = match arguments {
        [_, _] => None,
        [_, _, count] => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::MustBePositive)?)
        }
        _ => return Err(CommandError::Syntax),
    };
    cx.keys.expect_elements(&key, count.unwrap_or(1), 10)?;
    let (reply, is_journaled) = (&mut cx.reply, cx.changes.is_journaled());
    let take = |set: &mut Set| {
        let len = set.at(0).len();
        let wanted = count.unwrap_or(1).min(len);
        if count.is_some() {
            reply.set(wanted);
        }
        let mut popped = Vec::new();
        if wanted == len {
            // The key is removed with all its members: none need be taken out singly.
            write_members(reply, set.at(0));
        } else {
            let mut rng = fastrand::Rng::new();
            for member in (0..wanted).map_while(|_| set.pop(&mut rng)) {
                reply.bulk(&member);
                if is_journaled {
                    popped.push(member);
                }
            }
        }
        (wanted, wanted == len, popped)
    };
    let Some((wanted, emptied, popped)) = collection::change_set(&mut cx.keys, &key, take)? else {
        match count {
            Some(_) => cx.reply.set(0),
            None => cx.reply.null(),
        }
        return Ok(());
    };
    if wanted == 0 {
        return Ok(());
    }
    if emptied {
        cx.enter_removed(&key, FreeReason::Overwritten);
    }
    // As on the peers no request has more than so many, whatever was popped together.
    for popped in popped.chunks(ENTERED_MAX) {
        let mut words: Vec<&[u8]> = vec![b"SREM", key.bytes];
        words.extend(popped.iter().map(|member| &**member));
        cx.enter(&words);
    }
    collection::changed(cx, &key, EventClass::SET, "spop", wanted);
    if emptied {
        cx.delete_emptied(&key);
    }
    Ok(())
}

fn srandmember(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let count = match arguments {
        [_, _] => None,
        [_, _, count] => Some(collection::signed_count(count)?),
        _ => return Err(CommandError::Syntax),
    };
    let Some(set) = collection::read::<Set>(&cx.keys, &key)? else {
        collection::write_none_at_random(cx, &key, count);
        return Ok(());
    };
    let set = set.at(cx.keys.ended_ms);
    let len = set.len();
    let mut rng = fastrand::Rng::new();
    match count {
        None => cx.reply.bulk_or_null(set.random_of(len, &mut rng).as_deref()),
        Some(count @ 0..) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(len);
            cx.keys.expect(count * collection::RANDOM_WORK)?;
            cx.reply.array(count);
            set.random_distinct(count, &mut rng, |member| cx.reply.bulk(member));
        }
        // All members of the set have ended: there is none to repeat.
        Some(_) if len == 0 => cx.reply.array(0),
        Some(count) => {
            let count = count.unsigned_abs();
            cx.reply.array(count as usize);
            collection::repeat(&cx.keys, &mut cx.reply, count, |reply| {
                reply.bulk_or_null(set.random_of(len, &mut rng).as_deref());
            })?;
        }
    }
    Ok(())
}

fn sscan(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let ended_ms = cx.keys.ended_ms;
    collection::scan::<Set>(cx, arguments, false, |set, cursor, options, reply| {
        let mut count = 0;
        let next = set.at(ended_ms).scan(cursor, options.count, |member| {
            if options.matches(member) {
                reply.bulk(member);
                count += 1;
            }
        });
        (next, count)
    })
}
