//! Expiries of hash fields: HEXPIRE and its family, HTTL and its family, HPERSIST.
//!
//! An expired field is absent here as in all other commands.

use crate::command::{Category, Family, Group, args};
use crate::commands::generic::expire::Conditions;
use crate::commands::hash::fields::{WRONG_FIELD_COUNT, counted_fields, enter_fields, field_list};
use crate::commands::shared::collection;
use crate::commands::shared::ending::{
    self, Changed, MILLISECONDS, SECONDS, UNIX_MILLISECONDS, UNIX_SECONDS, Unit, getter, persister, setter,
};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::HashedKey;
use crate::shared::stats::Counter;
use crate::types::hash::Hash;

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Lets fields of a hash end after some seconds.",
        syntax: "key seconds [NX | XX | GT | LT] FIELDS(numfields field [field ...])",
        run: hexpire,
        ..setter("hexpire", SETTER)
    },
    Command {
        summary: "Lets fields of a hash end after some milliseconds.",
        syntax: "key milliseconds [NX | XX | GT | LT] FIELDS(numfields@0 field [field ...])",
        run: hpexpire,
        ..setter("hpexpire", SETTER)
    },
    Command {
        summary: "Lets fields of a hash end at a time in seconds.",
        syntax: "key unix-time-seconds:integer [NX | XX | GT | LT] FIELDS(numfields@0 field [field ...])",
        run: hexpireat,
        ..setter("hexpireat", SETTER)
    },
    Command {
        summary: "Lets fields of a hash end at a time in milliseconds.",
        syntax: "key unix-time-milliseconds:integer [NX | XX | GT | LT] FIELDS(numfields@0 field [field ...])",
        run: hpexpireat,
        ..setter("hpexpireat", SETTER)
    },
    Command {
        summary: "Returns how many seconds fields of a hash have left.",
        run: httl,
        ..getter("httl", GETTER)
    },
    Command {
        summary: "Returns how many milliseconds fields of a hash have left.",
        run: hpttl,
        ..getter("hpttl", GETTER)
    },
    Command {
        summary: "Returns the times at which fields of a hash end, in seconds.",
        run: hexpiretime,
        ..getter("hexpiretime", GETTER)
    },
    Command {
        summary: "Returns the times at which fields of a hash end, in milliseconds.",
        run: hpexpiretime,
        ..getter("hpexpiretime", GETTER)
    },
    Command {
        syntax: "key FIELDS(numfields@0 field [field ...])",
        summary: "Lets fields of a hash stay that were to end.",
        reply: "for each field 1, or -1 if it was not to end, -2 if it is not there",
        run: hpersist,
        ..persister("hpersist", of_fields())
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

const SETTER: Command = Command {
    reply: "for each field 1 if set, 2 if it ended at once, 0 if the condition did not hold, -2 if it is not there",
    ..of_fields()
};

const GETTER: Command = Command {
    syntax: "key FIELDS(numfields@0 field [field ...])",
    reply: "for each field a number, or -1 if it stays, -2 if it is not there",
    ..of_fields()
};

/// A time as arguments give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// The number, not read yet.
    pub amount: &'a [u8],
    /// Its unit.
    pub unit: Unit,
}

impl End<'_> {
    /// The time in milliseconds of Unix time. Zero is allowed, unlike in options of SET; a negative time is
    /// not, unlike in EXPIRE.
    ///
    /// # Errors
    /// Not a number; not a time.
    pub fn resolve(self, cx: &Context<'_>) -> Result<u64, CommandError> {
        self.unit.end_ms(args::int(self.amount)?, cx)
    }
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
    let Changed { elements: changed, emptied } =
        ending::set_ends::<Hash>(cx, &key, fields, &conditions, at_ms)?;
    tell_ends(cx, &key, at_ms, &changed, emptied);
    Ok(())
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
    ending::show_ends::<Hash>(cx, &key, fields, show)
}

fn hpersist(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let fields = field_list(arguments, 2)?;
    let key = cx.key(arguments, 1);
    let changed = ending::persist::<Hash>(cx, &key, fields)?.elements;
    if !changed.is_empty() {
        enter_persisted(cx, &key, &changed);
        collection::changed_fields(cx, &key, "hpersist", changed.iter().copied());
    }
    Ok(())
}
