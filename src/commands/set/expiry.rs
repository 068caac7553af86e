//! Expiries of set members: SEXPIRE and its family, STTL and its family, SPERSIST.
//!
//! A member that has ended is absent here as in all other commands.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Category, Family, Flags, Group, args};
use crate::commands::generic::expire::Conditions;
use crate::commands::shared::collection;
use crate::commands::shared::ending::{
    self, Changed, MILLISECONDS, SECONDS, UNIX_MILLISECONDS, UNIX_SECONDS, Unit, getter, persister, setter,
};
use crate::effects::told::{Note, Standing};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::Record;
use crate::types::set::Set;

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Lets members of a set end after some seconds.",
        syntax: "key seconds [NX | XX | GT | LT] MEMBERS(nummembers:integer member [member ...])",
        run: sexpire,
        ..setter("sexpire", SETTER)
    },
    Command {
        summary: "Lets members of a set end after some milliseconds.",
        syntax: "key milliseconds [NX | XX | GT | LT] MEMBERS(nummembers:integer member [member ...])",
        run: spexpire,
        ..setter("spexpire", SETTER)
    },
    Command {
        summary: "Lets members of a set end at a time in seconds.",
        syntax: "key unix-time-seconds [NX | XX | GT | LT] MEMBERS(nummembers:integer member [member ...])",
        run: sexpireat,
        ..setter("sexpireat", SETTER)
    },
    Command {
        summary: "Lets members of a set end at a time in milliseconds.",
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT] MEMBERS(nummembers:integer member [member ...])",
        run: spexpireat,
        ..setter("spexpireat", SETTER)
    },
    Command {
        summary: "Returns how many seconds members of a set have left.",
        run: sttl,
        ..getter("sttl", GETTER)
    },
    Command {
        summary: "Returns how many milliseconds members of a set have left.",
        run: spttl,
        ..getter("spttl", GETTER)
    },
    Command {
        summary: "Returns the times at which members of a set end, in seconds.",
        run: sexpiretime,
        ..getter("sexpiretime", GETTER)
    },
    Command {
        summary: "Returns the times at which members of a set end, in milliseconds.",
        run: spexpiretime,
        ..getter("spexpiretime", GETTER)
    },
    Command {
        syntax: "key MEMBERS(nummembers:integer member [member ...])",
        summary: "Lets members of a set stay that were to end.",
        reply: "for each member 1, or -1 if it was not to end, -2 if it is not there",
        run: spersist,
        ..persister("spersist", of_members())
    },
];

/// Parts of an entry that the commands with `MEMBERS` share.
pub const fn of_members() -> Command {
    Command {
        categories: &[Category::Set],
        group: Group::Set,
        since: "8.12.0",
        family: Family::Redis("8.12"),
        complexity: "O(N) where N is the number of members given",
        ..Command::DEFAULT
    }
}

const SETTER: Command = Command {
    flags: Flags::DENYOOM,
    reply: "for each member 1 if set, 2 if it ended at once, 0 if the condition did not hold, -2 if it is not there",
    ..of_members()
};

const GETTER: Command = Command {
    syntax: "key MEMBERS(nummembers:integer member [member ...])",
    reply: "for each member a number, or -1 if it stays, -2 if it is not there",
    ..of_members()
};

/// Most members in one request of the journal.
const ENTERED_MAX: usize = 1024;

fn sexpire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, SECONDS)
}

fn spexpire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, MILLISECONDS)
}

fn sexpireat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, UNIX_SECONDS)
}

fn spexpireat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, UNIX_MILLISECONDS)
}

/// Reads a time: milliseconds of Unix time. Zero is allowed.
///
/// # Errors
/// Not a number, a negative one, not a time.
pub fn time(cx: &Context<'_>, amount: &[u8], unit: Unit) -> Result<u64, CommandError> {
    let amount = args::int(amount)?;
    if amount < 0 {
        return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
    }
    unit.end_ms(amount, cx)
}

/// What stands behind the time: one condition and the members, in either order.
struct SetterWords<'a> {
    conditions: Conditions,
    members: &'a [&'a [u8]],
}

impl<'a> SetterWords<'a> {
    fn parse(words: &'a [&'a [u8]]) -> Result<Self, CommandError> {
        let (mut conditions, mut members) = (Vec::new(), None);
        let mut index = 0;
        while index < words.len() {
            let word = words[index];
            index += 1;
            if args::is(word, "MEMBERS") {
                if members.is_some() {
                    return Err(MEMBERS_TWICE);
                }
                let (Some(count), true) = (words.get(index), index + 1 < words.len()) else {
                    return Err(CommandError::text(
                        "ERR MEMBERS requires at least nummembers and one member argument",
                    ));
                };
                let count = member_count(count, "ERR Parameter `numMembers` should be greater than 0")?;
                let first = index + 1;
                index = first.checked_add(count).filter(|end| *end <= words.len()).ok_or(TOO_FEW_WORDS)?;
                members = Some(&words[first..index]);
            } else if ["NX", "XX", "GT", "LT"].iter().any(|condition| args::is(word, condition)) {
                conditions.push(word);
            } else {
                return Err(unknown(word));
            }
        }
        let members = members.ok_or(NO_MEMBERS)?;
        // Said twice is said once.
        conditions.sort_unstable_by_key(|word| word.to_ascii_uppercase());
        conditions.dedup_by_key(|word| word.to_ascii_uppercase());
        if conditions.len() > 1 {
            return Err(CommandError::text("ERR Multiple condition flags specified"));
        }
        Ok(Self { conditions: Conditions::parse(&conditions)?, members })
    }
}

/// MEMBERS stands twice.
pub const MEMBERS_TWICE: CommandError = CommandError::text("ERR MEMBERS keyword specified multiple times");
/// MEMBERS is missing.
pub const NO_MEMBERS: CommandError = CommandError::text("ERR missing MEMBERS argument");
/// Fewer members follow than their number says.
pub const TOO_FEW_WORDS: CommandError = CommandError::text("ERR wrong number of arguments");

/// A word that is no option.
pub fn unknown(word: &[u8]) -> CommandError {
    CommandError::new(format!("ERR unknown argument: {}", args::text(word)))
}

/// Reads how many members follow, up to 31 bits.
///
/// # Errors
/// `text` where it is no such number or 0.
pub fn member_count(count: &[u8], text: &'static str) -> Result<usize, CommandError> {
    args::int(count)
        .ok()
        .and_then(|count| i32::try_from(count).ok())
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or(CommandError::text(text))
}

fn set_ends(cx: &mut Context<'_>, arguments: &[&[u8]], unit: Unit) -> CommandResult {
    let key = cx.key(arguments, 1);
    // Another type is an error before anything else is looked at.
    collection::change_set(&mut cx.keys, &key, |_| ())?;
    let at_ms = time(cx, arguments[2], unit)?;
    let SetterWords { conditions, members } = SetterWords::parse(&arguments[3..])?;
    let Changed { elements: changed, emptied } =
        ending::set_ends::<Set>(cx, &key, members, &conditions, at_ms)?;
    match at_ms <= cx.keys.past_ms() {
        true => tell_removed(cx, &key, &changed, emptied),
        false => tell_ends(cx, &key, &changed),
    }
    Ok(())
}

/// Tells that members were removed since the time that they were given had passed.
pub fn tell_removed(cx: &mut Context<'_>, key: &HashedKey<'_>, removed: &[&[u8]], emptied: bool) {
    if removed.is_empty() {
        return;
    }
    if cx.is_journaled() {
        cx.enter(&[&[b"SREM", key.bytes], removed].concat());
    }
    collection::changed(cx, key, EventClass::SET, "srem", removed.len());
    if emptied {
        cx.delete_emptied(key);
    }
}

/// Tells that members were given an expiry, by a command that changes nothing else.
fn tell_ends(cx: &mut Context<'_>, key: &HashedKey<'_>, changed: &[&[u8]]) {
    if !changed.is_empty() {
        enter_ends(cx, key, changed);
        collection::changed_members(cx, key, "sexpire", changed.iter().copied());
    }
}

/// Enters when members end that got or lost an expiry, as it is at the end of the command, transaction or script.
pub fn enter_ends(cx: &Context<'_>, key: &HashedKey<'_>, members: &[&[u8]]) {
    if !members.is_empty() {
        cx.enter_note(key, &[&[b"SPEXPIREAT", key.bytes], members].concat(), present_ends);
    }
}

/// The requests that say when those members of a set end, or that they stay, that stand behind the note's key.
fn present_ends(note: &Note, record: &Record, _now_ms: u64) -> Standing {
    let (Ok(set), [_, key, members @ ..]) = (collection::of_record::<Set>(record), &note.words[..]) else {
        return Standing::Gone;
    };
    let mut by_end: BTreeMap<Option<u64>, BTreeSet<&[u8]>> = BTreeMap::new();
    for member in members.iter().filter(|member| set.at(0).contains(member)) {
        by_end.entry(set.expire_at_ms(member)).or_default().insert(member);
    }
    let mut requests = Vec::new();
    for (at_ms, members) in by_end {
        for members in members.into_iter().collect::<Vec<_>>().chunks(ENTERED_MAX) {
            let head = match at_ms {
                Some(at_ms) => vec![b"SPEXPIREAT".to_vec(), key.to_vec(), at_ms.to_string().into_bytes()],
                None => vec![b"SPERSIST".to_vec(), key.to_vec()],
            };
            let count = [b"MEMBERS".to_vec(), members.len().to_string().into_bytes()];
            let members = members.iter().map(|member| member.to_vec());
            requests.push(head.into_iter().chain(count).chain(members).map(Vec::into_boxed_slice).collect());
        }
    }
    Standing::As(requests)
}

fn sttl(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, now_ms| at_ms.saturating_sub(now_ms).div_ceil(1000))
}

fn spttl(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, now_ms| at_ms.saturating_sub(now_ms))
}

fn sexpiretime(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, _| at_ms.div_ceil(1000))
}

fn spexpiretime(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, _| at_ms)
}

/// The members behind the word MEMBERS, which stands right behind the key, and their number.
fn member_list<'a, 'k>(arguments: &'a [&'k [u8]]) -> Result<&'a [&'k [u8]], CommandError> {
    if !args::is(arguments[2], "MEMBERS") {
        return Err(CommandError::text(
            "ERR Mandatory argument MEMBERS is missing or not at the right position",
        ));
    }
    let count = args::int(arguments[3]).ok().filter(|count| *count > 0);
    let count = count.ok_or(CommandError::text("ERR Number of members must be a positive integer"))?;
    let members = &arguments[4..];
    if usize::try_from(count) != Ok(members.len()) {
        return Err(CommandError::text("ERR The `nummembers` parameter must match the number of arguments"));
    }
    Ok(members)
}

fn show_ends(cx: &mut Context<'_>, arguments: &[&[u8]], show: fn(u64, u64) -> u64) -> CommandResult {
    let key = cx.key(arguments, 1);
    // Another type is an error before the words are looked at.
    collection::read::<Set>(&cx.keys, &key)?;
    let members = member_list(arguments)?;
    ending::show_ends::<Set>(cx, &key, members, show)
}

fn spersist(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    collection::change_set(&mut cx.keys, &key, |_| ())?;
    let members = member_list(arguments)?;
    let changed = ending::persist::<Set>(cx, &key, members)?.elements;
    if !changed.is_empty() {
        enter_ends(cx, &key, &changed);
        collection::changed_members(cx, &key, "spersist", changed.iter().copied());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_the_time_stand_in_any_order() {
        let parse = |text: &str| {
            let words: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            SetterWords::parse(&words).map(|words| words.members.len()).map_err(|error| error.to_string())
        };
        assert_eq!(parse("MEMBERS 2 a b"), Ok(2));
        assert_eq!(parse("nx members 1 NX nx"), Ok(1));
        assert_eq!(parse("MEMBERS 1 a LT"), Ok(1));
        for (words, text) in [
            ("NX XX MEMBERS 1 a", "Multiple condition flags specified"),
            ("MEMBERS 1 a GT LT", "Multiple condition flags specified"),
            ("NX", "missing MEMBERS argument"),
            ("NX MEMBERS", "MEMBERS requires at least nummembers and one member argument"),
            ("MEMBERS 1", "MEMBERS requires at least nummembers and one member argument"),
            ("MEMBERS 0 a", "Parameter `numMembers` should be greater than 0"),
            ("MEMBERS x a", "Parameter `numMembers` should be greater than 0"),
            ("MEMBERS 2147483648 a", "Parameter `numMembers` should be greater than 0"),
            ("MEMBERS 3 a b", "wrong number of arguments"),
            ("MEMBERS 1 a MEMBERS 1 b", "MEMBERS keyword specified multiple times"),
            ("MEMBERS 1 a b", "unknown argument: b"),
            ("KEEPTTL MEMBERS 1 a", "unknown argument: KEEPTTL"),
        ] {
            assert_eq!(parse(words), Err(format!("ERR {text}")), "{words}");
        }
    }
}
