//! Expiries of keys: EXPIRE and its family, TTL and its family, PERSIST; and the expiry options of other
//! commands.

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::reaper::FreeReason;
use crate::shared::stats::Counter;

const WRITE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)];
const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        syntax: "key seconds [NX | XX | GT | LT]",
        since: "1.0.0",
        summary: "Lets a key end after some seconds.",
        run: expire,
        ..setter("expire")
    },
    Command {
        syntax: "key milliseconds [NX | XX | GT | LT]",
        since: "2.6.0",
        summary: "Lets a key end after some milliseconds.",
        run: pexpire,
        ..setter("pexpire")
    },
    Command {
        syntax: "key unix-time-seconds [NX | XX | GT | LT]",
        since: "1.2.0",
        summary: "Lets a key end at a time in seconds.",
        run: expireat,
        ..setter("expireat")
    },
    Command {
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
        since: "2.6.0",
        summary: "Lets a key end at a time in milliseconds.",
        run: pexpireat,
        ..setter("pexpireat")
    },
    Command {
        since: "1.0.0",
        summary: "Returns how many seconds a key has left.",
        run: ttl,
        tips: &["nondeterministic_output"],
        ..getter("ttl")
    },
    Command {
        since: "2.6.0",
        summary: "Returns how many milliseconds a key has left.",
        run: pttl,
        tips: &["nondeterministic_output"],
        ..getter("pttl")
    },
    Command {
        since: "7.0.0",
        summary: "Returns the time at which a key ends, in seconds.",
        run: expiretime,
        ..getter("expiretime")
    },
    Command {
        since: "7.0.0",
        summary: "Returns the time at which a key ends, in milliseconds.",
        run: pexpiretime,
        ..getter("pexpiretime")
    },
    Command {
        name: "persist",
        arity: 2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: WRITE,
        categories: &[Category::Keyspace],
        summary: "Lets a key stay that was to end.",
        syntax: "key",
        since: "2.2.0",
        reply: "1 if it was to end, else 0",
        run: persist,
        ..Command::DEFAULT
    },
];

const fn setter(name: &'static str) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: WRITE,
        categories: &[Category::Keyspace],
        group: Group::Generic,
        reply: "1 if the expiry was set, else 0",
        ..Command::DEFAULT
    }
}

const fn getter(name: &'static str) -> Command {
    Command {
        name,
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: READ,
        categories: &[Category::Keyspace],
        group: Group::Generic,
        syntax: "key",
        reply: "a number; -1 without an expiry, -2 without a key",
        ..Command::DEFAULT
    }
}

/// The unit of a time, and whether it counts from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

/// An expiry as an argument gives it.
#[derive(Clone, Copy, Debug)]
pub struct ExpireOption<'a> {
    unit: Unit,
    amount: &'a [u8],
}

impl<'a> ExpireOption<'a> {
    /// Whether the request means the same time whenever it is repeated, to the millisecond.
    pub fn is_exact(&self) -> bool {
        matches!(self.unit, Unit::UnixMilliseconds)
    }

    /// Seconds from now.
    pub fn seconds(amount: &'a [u8]) -> Self {
        Self { unit: Unit::Seconds, amount }
    }

    /// Milliseconds from now.
    pub fn milliseconds(amount: &'a [u8]) -> Self {
        Self { unit: Unit::Milliseconds, amount }
    }

    /// Reads EX, PX, EXAT or PXAT with its amount at `index`; `None` if another word stands there.
    pub fn parse(arguments: &[&'a [u8]], index: usize) -> Option<Result<Self, CommandError>> {
        let unit = match arguments[index] {
            word if args::is(word, "EX") => Unit::Seconds,
            word if args::is(word, "PX") => Unit::Milliseconds,
            word if args::is(word, "EXAT") => Unit::UnixSeconds,
            word if args::is(word, "PXAT") => Unit::UnixMilliseconds,
            _ => return None,
        };
        Some(args::value_of(arguments, index).map(|amount| Self { unit, amount }))
    }

    /// Whether it may stand behind this option: one that is said twice counts as it is said last, and two kinds
    /// exclude each other.
    pub fn may_follow(&self, before: Option<Self>) -> bool {
        before.is_none_or(|before| before.unit == self.unit)
    }

    /// The time in milliseconds of Unix time. Zero and less is an error, as in all commands but the EXPIRE
    /// family.
    ///
    /// # Errors
    /// Not a number; not a time.
    pub fn resolve(&self, cx: &Context<'_>, command: &'static str) -> Result<u64, CommandError> {
        let amount = args::int(self.amount)?;
        if amount <= 0 {
            return Err(CommandError::InvalidExpireTime(command.into()));
        }
        let at_ms = end_ms(amount, self.unit, cx.keys.now_ms)
            .ok_or(CommandError::InvalidExpireTime(command.into()))?;
        Ok(at_ms.max(0) as u64)
    }
}

/// Earliest expiry that a key or field is given, in milliseconds of Unix time. Earlier ones mean the same; 0
/// is the time of a client for which nothing has ended.
pub const EARLIEST_END_MS: u64 = 1;

/// The time in milliseconds of Unix time; `None` beyond 64 bits.
fn end_ms(amount: i64, unit: Unit, now_ms: u64) -> Option<i64> {
    let ms = match unit {
        Unit::Seconds | Unit::UnixSeconds => amount.checked_mul(1000)?,
        Unit::Milliseconds | Unit::UnixMilliseconds => amount,
    };
    match unit {
        Unit::Seconds | Unit::Milliseconds => ms.checked_add(now_ms as i64),
        Unit::UnixSeconds | Unit::UnixMilliseconds => Some(ms),
    }
}

/// Deletes a key whose new expiry is not in the future, instead of setting it. Returns whether it is not in
/// the future.
pub fn delete_if_past(cx: &mut Context<'_>, key: &HashedKey<'_>, at_ms: u64) -> bool {
    if at_ms > cx.keys.past_ms() {
        return false;
    }
    if cx.keys.delete_as(key, FreeReason::Expired) {
        cx.enter_removed(key, FreeReason::Expired);
        cx.changed(key, EventClass::EXPIRED, "expired");
        cx.count(Counter::ExpiredKeys, 1);
    }
    true
}

/// Enters into the journal when a key ends, in milliseconds of Unix time.
pub fn enter_end(cx: &Context<'_>, key: &HashedKey<'_>, at_ms: u64) {
    if cx.is_journaled() {
        cx.enter(&[b"PEXPIREAT", key.bytes, itoa::Buffer::new().format(at_ms).as_bytes()]);
    }
}

fn expire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_end(cx, arguments, Unit::Seconds)
}

fn pexpire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_end(cx, arguments, Unit::Milliseconds)
}

fn expireat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_end(cx, arguments, Unit::UnixSeconds)
}

fn pexpireat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_end(cx, arguments, Unit::UnixMilliseconds)
}

/// The conditions of the EXPIRE family, for keys and for hash fields.
#[derive(Clone, Copy, Default)]
pub struct Conditions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Conditions {
    /// Reads the words.
    ///
    /// # Errors
    /// Unknown words, words that exclude each other.
    pub fn parse(words: &[&[u8]]) -> Result<Self, CommandError> {
        let mut conditions = Conditions::default();
        for word in words {
            match *word {
                word if args::is(word, "NX") => conditions.if_none = true,
                word if args::is(word, "XX") => conditions.if_some = true,
                word if args::is(word, "GT") => conditions.if_later = true,
                word if args::is(word, "LT") => conditions.if_earlier = true,
                word => {
                    return Err(CommandError::new(format!("ERR Unsupported option {}", args::text(word))));
                }
            }
        }
        let Conditions { if_none, if_some, if_later, if_earlier } = conditions;
        if if_none && (if_some || if_later || if_earlier) {
            return Err(CommandError::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if if_later && if_earlier {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether the conditions hold for the present expiry and the wanted one, in milliseconds of Unix time.
    /// No expiry counts as infinitely late.
    pub fn hold(self, now: Option<u64>, wanted: i64) -> bool {
        let is_later = now.is_some_and(|now| wanted > now as i64);
        let is_earlier = now.is_none_or(|now| wanted < now as i64);
        (!self.if_none || now.is_none())
            && (!self.if_some || now.is_some())
            && (!self.if_later || is_later)
            && (!self.if_earlier || is_earlier)
    }
}

fn set_end(cx: &mut Context<'_>, arguments: &[&[u8]], unit: Unit) -> CommandResult {
    let conditions = Conditions::parse(&arguments[3..])?;
    let amount = args::int(arguments[2])?;
    let invalid = || CommandError::InvalidExpireTime(cx.command.spec.name.into());
    let at_ms = end_ms(amount, unit, cx.keys.now_ms).ok_or_else(invalid)?;
    let key = cx.key(arguments, 1);
    let Some(record) = cx.keys.write(&key) else {
        cx.reply.int(0);
        return Ok(());
    };
    if !conditions.hold(record.expire_at_ms(), at_ms) {
        cx.reply.int(0);
        return Ok(());
    }
    let at_ms = (at_ms.max(0) as u64).max(EARLIEST_END_MS);
    if !delete_if_past(cx, &key, at_ms) {
        cx.keys.set_expire_at_ms(&key, Some(at_ms));
        enter_end(cx, &key, at_ms);
        cx.changed(&key, EventClass::GENERIC, "expire");
    }
    cx.reply.int(1);
    Ok(())
}

fn ttl(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_end(cx, arguments, |at_ms, now_ms| (at_ms.saturating_sub(now_ms) + 500) / 1000)
}

fn pttl(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_end(cx, arguments, |at_ms, now_ms| at_ms.saturating_sub(now_ms))
}

fn expiretime(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_end(cx, arguments, |at_ms, _| (at_ms + 500) / 1000)
}

fn pexpiretime(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    show_end(cx, arguments, |at_ms, _| at_ms)
}

fn show_end(cx: &mut Context<'_>, arguments: &[&[u8]], show: fn(u64, u64) -> u64) -> CommandResult {
    let key = cx.key(arguments, 1);
    // Reading the expiry does not count as a use of the key: the access clock stays.
    let shown = match cx.keys.peek(&key) {
        None => {
            cx.missed(&key);
            -2
        }
        Some(record) => record.expire_at_ms().map_or(-1, |at_ms| show(at_ms, cx.keys.now_ms) as i64),
    };
    cx.reply.int(shown);
    Ok(())
}

fn persist(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let ends = cx.keys.write(&key).is_some_and(|record| record.expire_at_ms().is_some());
    if ends {
        cx.keys.set_expire_at_ms(&key, None);
        cx.changed(&key, EventClass::GENERIC, "persist");
    }
    cx.reply.int(i64::from(ends));
    Ok(())
}
