//! SADDEX: members with an expiry, in the form of Redis and in that of Dragonfly.

use crate::command::{Flags, KeySpec, args};
use crate::commands::set::expiry::{
    MEMBERS_TWICE, NO_MEMBERS, TOO_FEW_WORDS, enter_ends, member_count, of_members, tell_removed, time,
    unknown,
};
use crate::commands::shared::collection;
use crate::commands::shared::ending::{SECONDS, Unit};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::parse_i64;
use crate::types::set::{Set, SetLimits};

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "saddex",
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::INSERT)],
    summary: "Adds members to a set together with their ends, with a condition if wanted. \
              As Dragonfly has it: `SADDEX key [KEEPTTL] seconds member [member ...]`.",
    syntax: "key [MNX | MXX] \
             [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
             MEMBERS(nummembers:integer member [member ...])",
    reply: "1 if all were added or updated, else 0; with seconds right behind the key, as Dragonfly has it, how many were new",
    run: saddex,
    ..of_members()
}];

/// Most seconds that Dragonfly's form takes (its figure).
const SECONDS_MAX: i64 = 1 << 26;

fn saddex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let is_number = |at: usize| arguments.get(at).is_some_and(|word| parse_i64(word).is_some());
    if is_number(2) {
        return add_for_seconds(cx, arguments, 2, false);
    }
    if args::is(arguments[2], "KEEPTTL") && is_number(3) {
        return add_for_seconds(cx, arguments, 3, true);
    }
    let words = Words::parse(cx, arguments)?;
    let key = cx.key(arguments, 1);
    let condition = words.must_exist;
    let holds = |set: &mut Set| {
        let mut are_there = words.members.iter().map(|member| set.at(0).contains(member));
        match condition {
            None => true,
            Some(true) => are_there.all(|is_there| is_there),
            Some(false) => !are_there.any(|is_there| is_there),
        }
    };
    let holds = collection::change_set(&mut cx.keys, &key, holds)?.unwrap_or(condition != Some(true));
    if !holds {
        cx.reply.int(0);
        return Ok(());
    }
    match words.end {
        End::At(at_ms) if at_ms <= cx.keys.past_ms() => remove(cx, &key, words.members)?,
        End::At(at_ms) => {
            add(cx, &key, words.members, |set, member, limits| {
                set.add(member, limits);
                set.set_expire(member, at_ms)
            })?;
            tell(cx, &key, words.members, words.members);
            collection::also_of_members(cx, &key, "sexpire", words.members);
        }
        end => {
            // Members that were there and had an expiry have none any more.
            let changed = add(cx, &key, words.members, |set, member, limits| {
                !set.add(member, limits) && end == End::None && set.persist(member)
            })?;
            tell(cx, &key, words.members, &changed);
        }
    }
    cx.reply.int(1);
    Ok(())
}

/// The form of Dragonfly: `SADDEX key [KEEPTTL] seconds member [member ...]`, with the number `at` this place.
/// With `keeps`, members that are there keep what expiry they have.
fn add_for_seconds(cx: &mut Context<'_>, arguments: &[&[u8]], at: usize, keeps: bool) -> CommandResult {
    let members = &arguments[at + 1..];
    if members.is_empty() {
        return Err(CommandError::WrongArity(cx.command.spec.name.into()));
    }
    let seconds = args::int(arguments[at])?;
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(CommandError::NotAnInteger);
    }
    let at_ms = time(cx, arguments[at], SECONDS)?;
    let key = cx.key(arguments, 1);
    let mut added = Vec::new();
    let ending = add(cx, &key, members, |set, member, limits| {
        let is_new = set.add(member, limits);
        if is_new {
            added.push(member);
        }
        (is_new || !keeps) && set.set_expire(member, at_ms)
    })?;
    if !added.is_empty() {
        tell(cx, &key, &added, &ending);
    } else if !ending.is_empty() {
        enter_ends(cx, &key, &ending);
        cx.dirty += ending.len() as u64;
    }
    collection::also_of_members(cx, &key, "sexpire", &ending);
    cx.reply.count(added.len());
    Ok(())
}

/// Calls `change` for each member, with the set, which is made if there is none. Returns the members for which
/// `change` answers true.
fn add<'a>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    members: &[&'a [u8]],
    mut change: impl FnMut(&mut Set, &'a [u8], &SetLimits) -> bool,
) -> Result<Vec<&'a [u8]>, CommandError> {
    let limits = cx.server.settings.collections.set();
    let mut all = |set: &mut Set| {
        members.iter().copied().filter(|member| change(set, member, &limits)).collect::<Vec<_>>()
    };
    let changed = collection::change_set(&mut cx.keys, key, |set| {
        set.expect(members.len(), &limits);
        all(set)
    })?;
    Ok(match changed {
        Some(changed) => changed,
        None => {
            let mut set = Set::new_for(members[0], &limits, members.len());
            let changed = all(&mut set);
            collection::put(cx, key, set);
            changed
        }
    })
}

/// Removes members that are there, since the time that they were to be given has passed.
fn remove(cx: &mut Context<'_>, key: &HashedKey<'_>, members: &[&[u8]]) -> CommandResult {
    let removed = collection::change_set(&mut cx.keys, key, |set| {
        let removed: Vec<&[u8]> = members.iter().copied().filter(|member| set.remove(member)).collect();
        (removed, set.is_empty())
    })?;
    if let Some((removed, emptied)) = removed {
        tell_removed(cx, key, &removed, emptied);
    }
    Ok(())
}

/// Tells that members were added or updated, and enters them, and when those of `ending` end, if they still do.
fn tell(cx: &mut Context<'_>, key: &HashedKey<'_>, members: &[&[u8]], ending: &[&[u8]]) {
    if cx.is_journaled() {
        cx.enter(&[&[b"SADD", key.bytes], members].concat());
        enter_ends(cx, key, ending);
    }
    collection::changed(cx, key, EventClass::SET, "sadd", members.len());
}

/// When members are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Never, whatever was said before.
    None,
    /// As they did; new ones never.
    Keep,
    /// At a time, in milliseconds of Unix time.
    At(u64),
}

/// The arguments in Redis' form.
struct Words<'a> {
    /// Whether all members have to be there (MXX) or none (MNX).
    must_exist: Option<bool>,
    end: End,
    members: &'a [&'a [u8]],
}

impl<'a> Words<'a> {
    fn parse(cx: &Context<'_>, arguments: &'a [&'a [u8]]) -> Result<Self, CommandError> {
        let (mut must_exist, mut end, mut members) = (None, None, None);
        let mut index = 2;
        while let Some(&word) = arguments.get(index) {
            index += 1;
            if args::is(word, "MEMBERS") {
                if members.is_some() {
                    return Err(MEMBERS_TWICE);
                }
                let Some(count) = arguments.get(index) else {
                    return Err(CommandError::WrongArity(cx.command.spec.name.into()));
                };
                let count = member_count(count, "ERR invalid number of members")?;
                let first = index + 1;
                index =
                    first.checked_add(count).filter(|end| *end <= arguments.len()).ok_or(TOO_FEW_WORDS)?;
                members = Some(&arguments[first..index]);
                continue;
            }
            let unit = Unit::of_option(word);
            if unit.is_some() || args::is(word, "KEEPTTL") {
                if end.is_some() {
                    let text = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
                    return Err(CommandError::text(text));
                }
                end = Some(match unit {
                    None => End::Keep,
                    Some(unit) => {
                        let amount =
                            arguments.get(index).ok_or(CommandError::text("ERR missing expire time"))?;
                        index += 1;
                        End::At(time(cx, amount, unit)?)
                    }
                });
            } else if args::is(word, "MXX") || args::is(word, "MNX") {
                if must_exist.is_some() {
                    return Err(CommandError::text("ERR Only one of MXX or MNX arguments can be specified"));
                }
                must_exist = Some(args::is(word, "MXX"));
            } else {
                return Err(unknown(word));
            }
        }
        Ok(Self { must_exist, end: end.unwrap_or(End::None), members: members.ok_or(NO_MEMBERS)? })
    }
}
