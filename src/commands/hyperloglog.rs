//! HyperLogLogs: counting different elements without keeping them. A value is a string in Redis's format.

use std::ops::Range;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::string::value::try_change_bytes;
use crate::config::Directive;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::context::string_bytes;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::value::Object;
use crate::types::hyperloglog::{self, Form, Invalid, Registers};

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        arity: -2,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::INSERT)],
        summary: "Adds elements to a HyperLogLog, which is made if there is none.",
        syntax: "key [element [element ...]]",
        complexity: "O(1) for each element",
        reply: "1 if what it counts has changed or it is new, else 0",
        run: pfadd,
        ..entry("pfadd")
    },
    Command {
        arity: -2,
        flags: Flags::READONLY.and(Flags::MAY_REPLICATE),
        // PFCOUNT writes the estimate into the value's header. It may still be called where writes are
        // refused.
        keys: &[KeySpec::rest(1, 1, KeySpec::RW | KeySpec::ACCESS)],
        summary: "Estimates how many different elements HyperLogLogs have seen together.",
        syntax: "key [key ...]",
        complexity: "O(N) where N is the number of keys; one key whose estimate is known costs next to nothing",
        reply: "the estimate",
        run: pfcount,
        ..entry("pfcount")
    },
    Command {
        arity: -2,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::INSERT),
            KeySpec::rest(2, 1, KeySpec::RO | KeySpec::ACCESS),
        ],
        summary: "Lets a HyperLogLog count what it and others have seen together.",
        syntax: "destination [source [source ...]]",
        complexity: "O(N) where N is the number of keys",
        reply: "OK",
        run: pfmerge,
        ..entry("pfmerge")
    },
    Command {
        arity: 3,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::ADMIN),
        keys: &[KeySpec::one(2, KeySpec::RW | KeySpec::ACCESS)],
        summary: "Shows how a HyperLogLog is kept, for tests.",
        syntax: "subcommand key",
        complexity: "O(1), with a large constant",
        reply: "depends on the word",
        run: pfdebug,
        ..entry("pfdebug")
    },
    Command {
        arity: 1,
        flags: Flags::ADMIN,
        summary: "Looks whether HyperLogLogs count as they should.",
        complexity: "O(1), with a large constant",
        reply: "OK",
        run: pfselftest,
        ..entry("pfselftest")
    },
];

const fn entry(name: &'static str) -> Command {
    Command {
        name,
        categories: &[Category::HyperLogLog],
        group: Group::HyperLogLog,
        since: "2.8.9",
        ..Command::DEFAULT
    }
}

impl From<Invalid> for CommandError {
    fn from(invalid: Invalid) -> Self {
        CommandError::text(match invalid {
            Invalid::Foreign => "WRONGTYPE Key is not a valid HyperLogLog string value.",
            Invalid::Corrupt => "INVALIDOBJ Corrupted HLL object detected",
        })
    }
}

/// A value is changed as a whole: it is small.
const WHOLE: Range<usize> = 0..usize::MAX;

fn sparse_max(cx: &Context<'_>) -> usize {
    usize::try_from(cx.server.config.int(Directive::HllSparseMaxBytes)).unwrap_or(usize::MAX)
}

fn pfadd(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let elements = &arguments[2..];
    let sparse_max = sparse_max(cx);
    let is_new = cx.keys.peek(&key).is_none();
    let changes = try_change_bytes(cx, &key, WHOLE, |bytes| {
        if is_new {
            *bytes = hyperloglog::empty();
        }
        // A corrupt value may show only at a later element, and has to stay as it was then.
        let form = hyperloglog::form(bytes)?;
        let before = (form == Form::Sparse && elements.len() > 1).then(|| bytes.clone());
        let mut changes = u64::from(is_new);
        if is_new {
            // Redis marks the estimate as out of date even when no element is merged.
            hyperloglog::forget_estimate(bytes);
        }
        for element in elements {
            match hyperloglog::add(bytes, element, sparse_max) {
                Ok(changed) => changes += u64::from(changed),
                Err(invalid) => {
                    if let Some(before) = before {
                        *bytes = before;
                    }
                    return Err(invalid.into());
                }
            }
        }
        Ok((changes, changes > 0))
    })?;
    if changes > 0 {
        cx.changed(&key, EventClass::STRING, "pfadd");
        cx.dirty += changes - 1;
    }
    cx.reply.int(i64::from(changes > 0));
    Ok(())
}

fn pfcount(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let estimate = if arguments.len() == 2 {
        estimate_one(cx, &cx.key(arguments, 1))?
    } else {
        let mut registers = Registers::default();
        for index in 1..arguments.len() {
            join(cx, &cx.key(arguments, index), &mut registers)?;
        }
        registers.estimate()
    };
    cx.reply.int(i64::try_from(estimate).unwrap_or(i64::MAX));
    Ok(())
}

/// The estimate for one key, 0 if it is missing. Kept in the value's header for the next call.
fn estimate_one(cx: &mut Context<'_>, key: &HashedKey<'_>) -> Result<u64, CommandError> {
    let mut number = itoa::Buffer::new();
    let Some(bytes) = cx.read_string(key, &mut number)? else { return Ok(0) };
    hyperloglog::form(bytes)?;
    if let Some(estimate) = hyperloglog::known_estimate(bytes) {
        return Ok(estimate);
    }
    let estimate = hyperloglog::estimate(bytes)?;
    // No event and no change is told: the value counts the same elements. Its bytes change all the same.
    if cx.is_journaled() {
        cx.enter(&[b"PFCOUNT", key.bytes]);
    }
    if let Some(record) = cx.keys.write(key) {
        if let Some(Object::Text(text)) = record.object_mut() {
            text.change(WHOLE, |bytes| hyperloglog::keep_estimate(bytes, estimate));
        } else if let Some(bytes) = record.embedded_mut() {
            hyperloglog::keep_estimate(bytes, estimate);
        }
    }
    Ok(estimate)
}

/// Joins what a key has seen, if there is one, and answers its form.
fn join(
    cx: &Context<'_>,
    key: &HashedKey<'_>,
    registers: &mut Registers,
) -> Result<Option<Form>, CommandError> {
    let mut number = itoa::Buffer::new();
    let Some(bytes) = cx.read_string(key, &mut number)? else { return Ok(None) };
    cx.keys.work(1000);
    registers.join(bytes)?;
    Ok(Some(hyperloglog::form(bytes)?))
}

fn pfmerge(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let mut registers = Registers::default();
    let mut dense = false;
    for index in 1..arguments.len() {
        dense |= join(cx, &cx.key(arguments, index), &mut registers)? == Some(Form::Dense);
    }
    let key = cx.key(arguments, 1);
    let sparse_max = sparse_max(cx);
    let is_new = cx.keys.peek(&key).is_none();
    try_change_bytes(cx, &key, WHOLE, |bytes| {
        if is_new {
            *bytes = hyperloglog::empty();
        }
        hyperloglog::raise_all(bytes, &registers, dense, sparse_max)?;
        Ok(((), true))
    })?;
    cx.changed(&key, EventClass::STRING, "pfadd");
    cx.reply.ok();
    Ok(())
}

fn pfdebug(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if args::is(arguments[1], "SIMD") {
        return pfdebug_simd(cx, arguments[2]);
    }
    let key = cx.key(arguments, 2);
    let Some(record) = cx.keys.peek(&key) else {
        return Err(CommandError::text("ERR The specified key does not exist"));
    };
    let mut number = itoa::Buffer::new();
    let bytes = string_bytes(record, &mut number)?;
    let form = hyperloglog::form(bytes)?;
    match arguments[1] {
        word if args::is(word, "GETREG") => {
            let mut registers = Registers::default();
            registers.join(bytes)?;
            // Redis reads registers from dense ones only, and leaves it dense.
            make_dense(cx, &key)?;
            cx.reply.array(hyperloglog::REGISTERS);
            registers.as_slice().iter().for_each(|register| cx.reply.int(i64::from(*register)));
        }
        word if args::is(word, "DECODE") => {
            if form == Form::Dense {
                return Err(CommandError::text("ERR HLL encoding is not sparse"));
            }
            cx.reply.bulk(hyperloglog::describe(bytes)?.as_bytes());
        }
        word if args::is(word, "ENCODING") => cx.reply.simple(match form {
            Form::Dense => "dense",
            Form::Sparse => "sparse",
        }),
        word if args::is(word, "TODENSE") => {
            let changed = make_dense(cx, &key)?;
            cx.reply.int(i64::from(changed));
        }
        word => {
            return Err(CommandError::new(format!("ERR Unknown PFDEBUG subcommand '{}'", args::text(word))));
        }
    }
    Ok(())
}

/// PFDEBUG SIMD ON | OFF: in Valkey it chooses between two ways to join registers. There is one here, whose
/// results are the same, so nothing is switched.
fn pfdebug_simd(cx: &mut Context<'_>, word: &[u8]) -> CommandResult {
    let state = match word {
        word if args::is(word, "ON") => "enabled",
        word if args::is(word, "OFF") => "disabled",
        _ => return Err(CommandError::text("ERR Argument must be ON or OFF")),
    };
    cx.reply.simple(state);
    Ok(())
}

/// Makes a sparse one dense; whether it was sparse. It counts the same as before, and Redis has no event for
/// it.
fn make_dense(cx: &mut Context<'_>, key: &HashedKey<'_>) -> Result<bool, CommandError> {
    let changed = try_change_bytes(cx, key, WHOLE, |bytes| {
        let changed = hyperloglog::make_dense(bytes)?;
        Ok((changed, changed))
    })?;
    if changed {
        cx.touched(key);
    }
    Ok(changed)
}

/// Counts numbers with a sparse and with a dense one and compares their registers with each other and their
/// estimates with the truth.
fn pfselftest(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    const NUMBERS: u64 = 4096;
    /// More than six times the standard error of 1.04 / sqrt(16384).
    const TOLERANCE: f64 = 0.05;
    let (mut sparse, mut dense) = (hyperloglog::empty(), hyperloglog::empty());
    hyperloglog::make_dense(&mut dense)?;
    for number in 1..=NUMBERS {
        let element = number.to_le_bytes();
        // A limit that is never reached: it stays sparse to the end.
        let changed = hyperloglog::add(&mut sparse, &element, usize::MAX)?;
        if hyperloglog::add(&mut dense, &element, usize::MAX)? != changed {
            return Err(CommandError::text("TESTFAILED sparse and dense registers change differently"));
        }
        if number.is_power_of_two() || number == NUMBERS {
            let estimate = hyperloglog::estimate(&dense)?;
            if hyperloglog::estimate(&sparse)? != estimate {
                return Err(CommandError::text("TESTFAILED sparse and dense registers count differently"));
            }
            let error = estimate.abs_diff(number) as f64;
            if error > 1.0 + number as f64 * TOLERANCE {
                return Err(CommandError::new(format!("TESTFAILED {estimate} estimated for {number}")));
            }
        }
    }
    let mut registers = Registers::default();
    registers.join(&sparse)?;
    let mut joined = Registers::default();
    joined.join(&dense)?;
    if registers.as_slice() != joined.as_slice() {
        return Err(CommandError::text("TESTFAILED sparse and dense registers differ"));
    }
    cx.reply.ok();
    Ok(())
}
