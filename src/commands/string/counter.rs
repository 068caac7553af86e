//! Strings: INCREX, a counter with bounds whose expiry is set together with its value.

use std::cmp::Ordering;

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::generic::expire::{self, ExpireOption};
use crate::commands::string::set::enter_set;
use crate::engine::command::Command;
use crate::engine::context::{Context, string_bytes};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{Record, RecordBox};
use crate::primitives::long_double::LongDouble;
use crate::primitives::number::parse_i64;
use crate::resp::encode::Reply;

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "increx",
    arity: -2,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
    categories: &[Category::String],
    group: Group::String,
    summary: "Adds to the number under a key within bounds, and sets its expiry if wanted.",
    syntax: "key [BYFLOAT increment:double | BYINT increment:integer] [LBOUND lowerbound:string] \
             [UBOUND upperbound:string] [SATURATE] [NX | XX] [EX seconds | PX milliseconds | \
             EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] [ENX]",
    since: "8.8.0",
    family: Family::Each("8.8", "9.2"),
    reply: "the new number and what was added; the present one and 0 where that would be out of bounds",
    run: increx,
    ..Command::DEFAULT
}];

/// What is done to the key's expiry.
#[derive(Clone, Copy, Debug)]
enum End<'a> {
    Keep,
    Persist,
    Set(ExpireOption<'a>),
}

/// The options of INCREX as they were given.
struct Options<'a> {
    by_float: Option<&'a [u8]>,
    by_int: Option<&'a [u8]>,
    low: Option<&'a [u8]>,
    high: Option<&'a [u8]>,
    saturate: bool,
    /// NX or XX: whether the key has to be there.
    wants_key: Option<bool>,
    end: End<'a>,
    only_without_end: bool,
}

impl<'a> Options<'a> {
    fn parse(arguments: &[&'a [u8]]) -> Result<Self, CommandError> {
        let mut options = Options {
            by_float: None,
            by_int: None,
            low: None,
            high: None,
            saturate: false,
            wants_key: None,
            end: End::Keep,
            only_without_end: false,
        };
        let mut at = 2;
        while let Some(word) = arguments.get(at) {
            let value = |option: &mut Option<&'a [u8]>| match option.replace(args::value_of(arguments, at)?) {
                None => Ok(1),
                Some(_) => Err(CommandError::Syntax),
            };
            let no_amount = options.by_float.is_none() && options.by_int.is_none();
            let keeps = matches!(options.end, End::Keep);
            at += match *word {
                word if no_amount && args::is(word, "BYFLOAT") => value(&mut options.by_float)?,
                word if no_amount && args::is(word, "BYINT") => value(&mut options.by_int)?,
                word if args::is(word, "LBOUND") => value(&mut options.low)?,
                word if args::is(word, "UBOUND") => value(&mut options.high)?,
                word if args::is(word, "SATURATE") => {
                    options.saturate = true;
                    0
                }
                word if options.wants_key.is_none() && (args::is(word, "NX") || args::is(word, "XX")) => {
                    options.wants_key = Some(args::is(word, "XX"));
                    0
                }
                word if args::is(word, "ENX") => {
                    options.only_without_end = true;
                    0
                }
                word if keeps && args::is(word, "PERSIST") => {
                    options.end = End::Persist;
                    0
                }
                _ => match ExpireOption::parse(arguments, at).filter(|_| keeps) {
                    Some(expire) => {
                        options.end = End::Set(expire?);
                        1
                    }
                    None => return Err(CommandError::Syntax),
                },
            };
            at += 1;
        }
        match options.end {
            End::Persist if options.only_without_end => Err(CommandError::Syntax),
            End::Keep if options.only_without_end => {
                Err(CommandError::text("ERR ENX flag requires an expiration"))
            }
            _ => Ok(options),
        }
    }
}

/// A number that is counted with: whole, or of the extended format.
trait Number: Copy {
    const MIN: Self;
    const MAX: Self;
    const ZERO: Self;
    /// The event that tells of a change.
    const EVENT: &'static str;

    fn parse(text: &[u8]) -> Result<Self, CommandError>;
    fn compare(self, other: Self) -> Ordering;
    /// The sum, or how it lies to all numbers where it is none of them.
    fn add(self, by: Self) -> Result<Result<Self, Ordering>, CommandError>;
    /// What has to be added to `before` to come to this number.
    fn less(self, before: Self) -> Result<Self, CommandError>;
    fn text(self) -> Vec<u8>;
    fn record(self, key: &HashedKey<'_>, expire_at_ms: Option<u64>) -> crate::keyspace::record::RecordBox;
    fn write(self, reply: &mut Reply<'_>);
}

impl Number for i64 {
    const MIN: i64 = i64::MIN;
    const MAX: i64 = i64::MAX;
    const ZERO: i64 = 0;
    const EVENT: &'static str = "incrby";

    fn parse(text: &[u8]) -> Result<i64, CommandError> {
        parse_i64(text).ok_or(CommandError::NotAnInteger)
    }

    fn compare(self, other: i64) -> Ordering {
        self.cmp(&other)
    }

    fn add(self, by: i64) -> Result<Result<i64, Ordering>, CommandError> {
        Ok(self.checked_add(by).ok_or(by.cmp(&0)))
    }

    fn less(self, before: i64) -> Result<i64, CommandError> {
        self.checked_sub(before).ok_or(CommandError::IncrementOverflow)
    }

    fn text(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    fn record(self, key: &HashedKey<'_>, expire_at_ms: Option<u64>) -> RecordBox {
        Record::new_int(key.bytes, self, expire_at_ms)
    }

    fn write(self, reply: &mut Reply<'_>) {
        reply.int(self);
    }
}

impl Number for LongDouble {
    const MIN: LongDouble = LongDouble::MIN;
    const MAX: LongDouble = LongDouble::MAX;
    const ZERO: LongDouble = LongDouble::ZERO;
    const EVENT: &'static str = "incrbyfloat";

    fn parse(text: &[u8]) -> Result<LongDouble, CommandError> {
        LongDouble::parse(text).ok_or(CommandError::NotAFloat)
    }

    fn compare(self, other: LongDouble) -> Ordering {
        LongDouble::compare(self, other)
    }

    fn add(self, by: LongDouble) -> Result<Result<LongDouble, Ordering>, CommandError> {
        if !self.is_finite() || !by.is_finite() {
            return Err(CommandError::IncrementNotFinite);
        }
        Ok(self.checked_add(by).ok_or(by.compare(LongDouble::ZERO)))
    }

    fn less(self, before: LongDouble) -> Result<LongDouble, CommandError> {
        self.checked_add(before.negated()).ok_or(CommandError::IncrementNotFinite)
    }

    fn text(self) -> Vec<u8> {
        let mut text = Vec::new();
        self.format_into(&mut text);
        text
    }

    fn record(self, key: &HashedKey<'_>, expire_at_ms: Option<u64>) -> RecordBox {
        // A whole number is kept as text here too, as INCRBYFLOAT does.
        Record::new_string(key.bytes, &self.text(), expire_at_ms, false)
    }

    fn write(self, reply: &mut Reply<'_>) {
        reply.double_text(&args::text(&self.text()));
    }
}

fn increx(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let options = Options::parse(arguments)?;
    match options.by_float {
        Some(by) => add(cx, arguments, &options, LongDouble::parse(by).ok_or(CommandError::NotAFloat)?),
        None => add(cx, arguments, &options, options.by_int.map_or(Ok(1), args::int)?),
    }
}

fn add<N: Number>(cx: &mut Context<'_>, arguments: &[&[u8]], options: &Options<'_>, by: N) -> CommandResult {
    let low = options.low.map_or(Ok(N::MIN), N::parse)?;
    let high = options.high.map_or(Ok(N::MAX), N::parse)?;
    if low.compare(high) == Ordering::Greater {
        return Err(CommandError::text("ERR LBOUND can't be greater than UBOUND"));
    }
    let at_ms = match options.end {
        End::Set(expire) => Some(expire.resolve(cx, "increx")?),
        End::Keep | End::Persist => None,
    };
    let key = cx.key(arguments, 1);
    cx.reply.array(2);
    let record = cx.keys.write(&key);
    if options.wants_key.is_some_and(|wanted| wanted != record.is_some()) {
        cx.reply.null();
        N::ZERO.write(&mut cx.reply);
        return Ok(());
    }
    let (old, before_ms) = match record {
        Some(record) => (N::parse(string_bytes(record, &mut itoa::Buffer::new())?)?, record.expire_at_ms()),
        None => (N::ZERO, None),
    };
    let sum = old.add(by)?;
    let side = match sum {
        Err(side) => side,
        Ok(sum) if sum.compare(low) == Ordering::Less => Ordering::Less,
        Ok(sum) if sum.compare(high) == Ordering::Greater => Ordering::Greater,
        Ok(_) => Ordering::Equal,
    };
    let (new, added) = match (side, sum) {
        (Ordering::Equal, Ok(sum)) => (sum, by),
        _ if !options.saturate => {
            old.write(&mut cx.reply);
            N::ZERO.write(&mut cx.reply);
            return Ok(());
        }
        (Ordering::Less, _) => (low, low.less(old)?),
        _ => (high, high.less(old)?),
    };
    new.write(&mut cx.reply);
    added.write(&mut cx.reply);
    let end = match options.end {
        End::Persist => before_ms.map(|_| None),
        End::Set(_) if !options.only_without_end || before_ms.is_none() => Some(at_ms),
        End::Keep | End::Set(_) => None,
    };
    store(cx, &key, new, before_ms, end);
    Ok(())
}

/// Stores the new number and tells of it. `end` is its new expiry, or none; without it `before_ms` stays.
fn store<N: Number>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    new: N,
    before_ms: Option<u64>,
    end: Option<Option<u64>>,
) {
    if let Some(Some(at_ms)) = end
        && expire::delete_if_past(cx, key, at_ms)
    {
        return;
    }
    let end_ms = end.unwrap_or(before_ms);
    let replaced = cx.keys.put(key, new.record(key, end_ms));
    cx.keys.discard(replaced);
    enter_set(cx, key, &new.text(), end_ms);
    cx.changed(key, EventClass::STRING, N::EVENT);
    match end {
        None => {}
        Some(Some(_)) => cx.event(key, EventClass::GENERIC, "expire"),
        Some(None) => cx.event(key, EventClass::GENERIC, "persist"),
    }
}
