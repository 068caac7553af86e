//! Expiries of hash fields: HEXPIRE and its family, HTTL and its family, HPERSIST.
//!
//! An expired field is absent here as in all other commands.

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::generic::expire::{Conditions, EARLIEST_END_MS};
use crate::commands::hash::fields::{WRONG_FIELD_COUNT, counted_fields, enter_fields, field_list};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::HashedKey;
use crate::shared::stats::Counter;
use crate::types::hash::Hash;

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)];
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Lets fields of a hash end after some seconds.",
        syntax: "key seconds [NX | XX | GT | LT] FIELDS(numfields field [field ...])",
        run: hexpire,
        ..setter("hexpire")
    },
    Command {
        summary: "Lets fields of a hash end after some milliseconds.",
        syntax: "key milliseconds [NX | XX | GT | LT] FIELDS(numfields@0 field [field ...])",
        run: hpexpire,
        ..setter("hpexpire")
    },
    Command {
        summary: "Lets fields of a hash end at a time in seconds.",
        syntax: "key unix-time-seconds:integer [NX | XX | GT | LT] FIELDS(numfields@0 field [field ...])",
        run: hexpireat,
        ..setter("hexpireat")
    },
    Command {
        summary: "Lets fields of a hash end at a time in milliseconds.",
        syntax: "key unix-time-milliseconds:integer [NX | XX | GT | LT] FIELDS(numfields@0 field [field ...])",
        run: hpexpireat,
        ..setter("hpexpireat")
    },
    Command { summary: "Returns how many seconds fields of a hash have left.", run: httl, ..getter("httl") },
    Command {
        summary: "Returns how many milliseconds fields of a hash have left.",
        run: hpttl,
        ..getter("hpttl")
    },
    Command {
        summary: "Returns the times at which fields of a hash end, in seconds.",
        run: hexpiretime,
        ..getter("hexpiretime")
    },
    Command {
        summary: "Returns the times at which fields of a hash end, in milliseconds.",
        run: hpexpiretime,
        ..getter("hpexpiretime")
    },
    Command {
        name: "hpersist",
        arity: -5,
        flags: FAST_WRITE,
        keys: UPDATE,
        syntax: "key FIELDS(numfields@0 field [field ...])",
        summary: "Lets fields of a hash stay that were to end.",
        reply: "for each field 1, or -1 if it was not to end, -2 if it is not there",
        run: hpersist,
        ..of_fields()
    },
];

/// Parts of an entry that the commands with `FIELDS` share.
pub const fn of_fields() -> Command {
    Command {
        categories: &[Category::Hash],
        group: Group::Hash,
        since: "9.0.0",
        family: Family::Each("7.4", "9.0"),
        complexity: "O(N) where N is the number of fields given",
        ..Command::DEFAULT
    }
}

const fn setter(name: &'static str) -> Command {
    Command {
        name,
        arity: -6,
        flags: FAST_WRITE,
        keys: UPDATE,
        reply: "for each field 1 if set, 2 if it ended at once, 0 if the condition did not hold, -2 if it is not there",
        ..of_fields()
    }
}

const fn getter(name: &'static str) -> Command {
    Command {
        name,
        arity: -5,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: READ,
        syntax: "key FIELDS(numfields@0 field [field ...])",
        reply: "for each field a number, or -1 if it stays, -2 if it is not there",
        ..of_fields()
    }
}

/// Replies for one field.
const MISSING: i64 = -2;
const STAYS: i64 = -1;
const REFUSED: i64 = 0;
const DONE: i64 = 1;
const ENDED: i64 = 2;

/// A time as arguments give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// The number, not read yet.
    pub amount: &'a [u8],
    /// Its unit.
    pub unit: Unit,
}

/// The unit of a time: its length in milliseconds, and whether the time counts from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    ms: i64,
    from_now: bool,
}

/// Seconds from now.
pub const SECONDS: Unit = Unit { ms: 1000, from_now: true };
/// Milliseconds from now.
pub const MILLISECONDS: Unit = Unit { ms: 1, from_now: true };
/// Seconds of Unix time.
pub const UNIX_SECONDS: Unit = Unit { ms: 1000, from_now: false };
/// Milliseconds of Unix time.
pub const UNIX_MILLISECONDS: Unit = Unit { ms: 1, from_now: false };

impl End<'_> {
    /// The time in milliseconds of Unix time. Zero is allowed, unlike in options of SET; a negative time is
    /// not, unlike in EXPIRE.
    ///
    /// # Errors
    /// Not a number; not a time.
    pub fn resolve(self, cx: &Context<'_>) -> Result<u64, CommandError> {
        let amount = args::int(self.amount)?;
        end_ms(amount, self.unit, cx.keys.now_ms)
            .ok_or_else(|| CommandError::InvalidExpireTime(cx.command.spec.name.into()))
    }
}

/// The time in milliseconds of Unix time; `None` for a negative amount and beyond 63 bits.
pub fn end_ms(amount: i64, unit: Unit, now_ms: u64) -> Option<u64> {
    let ms = u64::try_from(amount.checked_mul(unit.ms)?).ok()?;
    let at_ms = if unit.from_now { ms.checked_add(now_ms)? } else { ms.max(EARLIEST_END_MS) };
    i64::try_from(at_ms).is_ok().then_some(at_ms)
}

/// Index of the word `FIELDS`, searched from argument `from` on. As the last argument it does not count.
///
/// # Errors
/// When it is not there.
pub fn find_fields(arguments: &[&[u8]], from: usize) -> Result<usize, CommandError> {
    (from..arguments.len() - 1).find(|index| args::is(arguments[*index], "FIELDS")).ok_or(WRONG_FIELD_COUNT)
}

fn hexpire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, SECONDS)
}

fn hpexpire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, MILLISECONDS)
}

fn hexpireat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, UNIX_SECONDS)
}

fn hpexpireat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_ends(cx, arguments, UNIX_MILLISECONDS)
}

fn set_ends(cx: &mut Context<'_>, arguments: &[&[u8]], unit: Unit) -> CommandResult {
    let at = find_fields(arguments, 3)?;
    let conditions = Conditions::parse(&arguments[3..at])?;
    let fields = counted_fields(arguments, at, 1)?;
    let at_ms = End { amount: arguments[2], unit }.resolve(cx)?;
    let key = cx.key(arguments, 1);
    let (now_ms, past_ms) = (cx.keys.ended_ms, cx.keys.past_ms());
    let reply = &mut cx.reply;
    let change = collection::change_hash(&mut cx.keys, &key, |hash| {
        reply.array(fields.len());
        let mut changed = Vec::new();
        for &field in fields {
            if !hash.contains(field, now_ms) {
                reply.int(MISSING);
            } else if !conditions.hold(hash.expire_at_ms(field), at_ms as i64) {
                reply.int(REFUSED);
            } else {
                reply.int(if set_end(hash, field, at_ms, past_ms) { ENDED } else { DONE });
                changed.push(field);
            }
        }
        (changed, hash.is_empty())
    })?;
    let Some((changed, emptied)) = change else {
        all_missing(cx, fields);
        return Ok(());
    };
    tell_ends(cx, &key, at_ms, &changed, emptied);
    Ok(())
}

fn all_missing(cx: &mut Context<'_>, fields: &[&[u8]]) {
    cx.reply.array(fields.len());
    fields.iter().for_each(|_| cx.reply.int(MISSING));
}

/// Sets the expiry of a live field. If the time is not after [`past_ms`](Access::past_ms) the field is
/// removed at once, and true is returned.
pub fn set_end(hash: &mut Hash, field: &[u8], at_ms: u64, past_ms: u64) -> bool {
    let ends_now = at_ms <= past_ms;
    if ends_now {
        hash.remove(field, past_ms);
    } else {
        hash.set_expire(field, at_ms);
    }
    ends_now
}

/// Tells the event of fields that were all given the same expiry, and enters them into the journal.
pub fn tell_ends(cx: &mut Context<'_>, key: &HashedKey<'_>, at_ms: u64, changed: &[&[u8]], emptied: bool) {
    if !changed.is_empty() {
        let ends_now = at_ms <= cx.keys.past_ms();
        if cx.is_journaled() {
            enter_ends(cx, key, (!ends_now).then_some(at_ms), changed);
        }
        let event = if ends_now { "hexpired" } else { "hexpire" };
        collection::changed_fields(cx, key, event, changed.iter().copied());
        if ends_now {
            cx.count(Counter::ExpiredFields, changed.len() as u64);
        }
        if emptied {
            cx.delete_emptied(key);
        }
    }
}

/// Enters into the journal when fields end; `None` where they have ended at once.
fn enter_ends(cx: &Context<'_>, key: &HashedKey<'_>, at_ms: Option<u64>, fields: &[&[u8]]) {
    let Some(at_ms) = at_ms else { return enter_fields(cx, &[b"HDEL", key.bytes], fields) };
    let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (time, count) = (time.format(at_ms).as_bytes(), count.format(fields.len()).as_bytes());
    enter_fields(cx, &[b"HPEXPIREAT", key.bytes, time, b"FIELDS", count], fields);
}

/// Enters into the journal that fields stay.
pub fn enter_persisted(cx: &Context<'_>, key: &HashedKey<'_>, fields: &[&[u8]]) {
    if cx.is_journaled() {
        let mut count = itoa::Buffer::new();
        let count = count.format(fields.len()).as_bytes();
        enter_fields(cx, &[b"HPERSIST", key.bytes, b"FIELDS", count], fields);
    }
}

fn httl(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, now_ms| rounded_seconds(at_ms.saturating_sub(now_ms)))
}

fn hpttl(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, now_ms| at_ms.saturating_sub(now_ms))
}

fn hexpiretime(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, _| rounded_seconds(at_ms))
}

fn hpexpiretime(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_ends(cx, arguments, |at_ms, _| at_ms)
}

fn rounded_seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

fn show_ends(cx: &mut Context<'_>, arguments: &[&[u8]], show: fn(u64, u64) -> u64) -> CommandResult {
    // These commands have their own error text for a wrong number of fields.
    let fields = field_list(arguments, 2)
        .map_err(|error| if error == WRONG_FIELD_COUNT { CommandError::Syntax } else { error })?;
    let key = cx.key(arguments, 1);
    let (now_ms, ended_ms) = (cx.keys.now_ms, cx.keys.ended_ms);
    let hash = collection::read::<Hash>(&cx.keys, &key)?;
    if hash.is_none() {
        cx.missed(&key);
    }
    cx.reply.array(fields.len());
    for field in fields {
        cx.reply.int(match hash {
            Some(hash) if hash.contains(field, ended_ms) => {
                hash.expire_at_ms(field).map_or(STAYS, |at_ms| show(at_ms, now_ms) as i64)
            }
            _ => MISSING,
        });
    }
    Ok(())
}

fn hpersist(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let fields = field_list(arguments, 2)?;
    let key = cx.key(arguments, 1);
    let now_ms = cx.keys.ended_ms;
    let reply = &mut cx.reply;
    let change = collection::change_hash(&mut cx.keys, &key, |hash| {
        reply.array(fields.len());
        let mut changed = Vec::new();
        for &field in fields {
            if !hash.contains(field, now_ms) {
                reply.int(MISSING);
            } else if hash.persist(field) {
                changed.push(field);
                reply.int(DONE);
            } else {
                reply.int(STAYS);
            }
        }
        changed
    })?;
    match change {
        None => all_missing(cx, fields),
        Some(changed) if changed.is_empty() => {}
        Some(changed) => {
            enter_persisted(cx, &key, &changed);
            collection::changed_fields(cx, &key, "hpersist", changed.iter().copied());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &'static str) -> Vec<&'static [u8]> {
        text.split_ascii_whitespace().map(str::as_bytes).collect()
    }

    #[test]
    fn ends_are_unix_milliseconds() {
        assert_eq!(end_ms(10, SECONDS, 500), Some(10_500));
        assert_eq!(end_ms(10, MILLISECONDS, 500), Some(510));
        assert_eq!(end_ms(10, UNIX_SECONDS, 500), Some(10_000));
        assert_eq!(end_ms(0, UNIX_MILLISECONDS, 500), Some(EARLIEST_END_MS));
        assert_eq!(end_ms(0, SECONDS, 500), Some(500));
        assert_eq!(end_ms(-1, MILLISECONDS, 500), None);
        assert_eq!(end_ms(i64::MAX, UNIX_MILLISECONDS, 500), Some(i64::MAX as u64));
        assert_eq!(end_ms(i64::MAX, MILLISECONDS, 500), None);
        assert_eq!(end_ms(i64::MAX / 999, UNIX_SECONDS, 0), None);
    }

    #[test]
    fn conditions_compare_with_a_field_that_stays_as_the_latest() {
        let hold = |text, end_ms| Conditions::parse(&words(text)).unwrap().hold(end_ms, 100);
        assert!(hold("", None) && hold("", Some(5)));
        assert!(hold("NX", None) && !hold("NX", Some(5)));
        assert!(!hold("XX", None) && hold("xx", Some(5)));
        assert!(!hold("GT", None) && hold("GT", Some(99)) && !hold("GT", Some(100)));
        assert!(hold("LT", None) && !hold("LT", Some(100)) && hold("LT", Some(101)));
        assert!(!hold("XX LT", None) && hold("XX LT", Some(101)));
        for wrong in ["NX XX", "LT NX", "GT LT", "NX NX XX", "KEEPTTL"] {
            assert!(Conditions::parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
