//! Strings: what their values are compared with before a command changes them (IFEQ and its kin), the digest
//! of a value, and deleting what compares so.

use twox_hash::XxHash3_64;

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::engine::command::Command;
use crate::engine::context::{Context, string_bytes};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;

const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "digest",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Returns a digest of a key's string value: its XXH3 hash of 64 bits.",
        syntax: "key",
        since: "8.4.0",
        family: Family::Redis("8.4"),
        complexity: "O(N) where N is the length of the value",
        reply: "16 hexadecimal digits or null",
        run: digest,
        ..Command::DEFAULT
    },
    Command {
        name: "delex",
        arity: -2,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE | KeySpec::VARIABLE_FLAGS)],
        key_access: Some(|arguments| {
            KeySpec::DELETE | if arguments.len() > 2 { KeySpec::RW } else { KeySpec::RM }
        }),
        categories: &[Category::String],
        group: Group::String,
        summary: "Deletes a key, with a condition only if its string value compares so.",
        syntax: "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
        since: "8.4.0",
        family: Family::Each("8.4", "9.2"),
        complexity: "O(1), with a digest O(N) where N is the length of the value",
        reply: "1 if deleted, else 0",
        run: delex,
        ..Command::DEFAULT
    },
    Command {
        name: "delifeq",
        arity: 3,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RM | KeySpec::DELETE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Deletes a key if its string value is the given one.",
        syntax: "key value",
        since: "9.0.0",
        family: Family::Valkey("9.0"),
        reply: "1 if deleted, else 0",
        run: delifeq,
        ..Command::DEFAULT
    },
];

/// What a string value has to compare with for a command to change it.
#[derive(Clone, Copy, Debug)]
pub enum Comparison<'a> {
    /// IFEQ: it is this one.
    Equal(&'a [u8]),
    /// IFNE: it is another one.
    NotEqual(&'a [u8]),
    /// IFDEQ: its digest is this one.
    DigestEqual(&'a [u8]),
    /// IFDNE: its digest is another one.
    DigestNotEqual(&'a [u8]),
}

impl<'a> Comparison<'a> {
    /// Reads an option and the value behind it. `None` for any other word.
    pub fn parse(word: &[u8], value: &'a [u8]) -> Option<Self> {
        match word {
            word if args::is(word, "IFEQ") => Some(Self::Equal(value)),
            word if args::is(word, "IFNE") => Some(Self::NotEqual(value)),
            word if args::is(word, "IFDEQ") => Some(Self::DigestEqual(value)),
            word if args::is(word, "IFDNE") => Some(Self::DigestNotEqual(value)),
            _ => None,
        }
    }

    /// Whether it holds without a value.
    pub fn holds_without(self) -> bool {
        matches!(self, Self::NotEqual(_) | Self::DigestNotEqual(_))
    }

    /// Whether it holds for the value of a record.
    ///
    /// # Errors
    /// The value is no string; a digest that is none.
    pub fn holds(self, record: &Record) -> Result<bool, CommandError> {
        let mut number = itoa::Buffer::new();
        let value = string_bytes(record, &mut number)?;
        match self {
            Self::Equal(wanted) => Ok(value == wanted),
            Self::NotEqual(other) => Ok(value != other),
            Self::DigestEqual(wanted) => is_digest_of(wanted, value),
            Self::DigestNotEqual(other) => Ok(!is_digest_of(other, value)?),
        }
    }
}

/// Number of hexadecimal digits of a digest.
const DIGEST_LEN: usize = 16;

fn digest_of(value: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(value))
}

fn is_digest_of(digest: &[u8], value: &[u8]) -> Result<bool, CommandError> {
    if digest.len() != DIGEST_LEN {
        return Err(CommandError::text("ERR must be exactly 16 hexadecimal characters"));
    }
    Ok(digest.eq_ignore_ascii_case(digest_of(value).as_bytes()))
}

fn digest(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    cx.keys.expect_elements(&key, usize::MAX, 1)?;
    let mut number = itoa::Buffer::new();
    match cx.read_string(&key, &mut number)?.map(digest_of) {
        Some(digest) => cx.reply.bulk(digest.as_bytes()),
        None => cx.reply.null(),
    }
    Ok(())
}

fn delex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let condition = match arguments {
        [_, _] => None,
        [_, _, word, value] => Some((word, value)),
        _ => return Err(CommandError::WrongArity("delex".into())),
    };
    let key = cx.key(arguments, 1);
    // A condition that is none is no error without a value.
    let found = match (cx.keys.write(&key), condition) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(record), Some((word, value))) => {
            if matches!(record.value(), ValueRef::Object(object) if !matches!(object, Object::Text(_))) {
                return Err(CommandError::text(
                    "ERR Key should be of string type if conditions are specified",
                ));
            }
            let comparison = Comparison::parse(word, value)
                .ok_or(CommandError::text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?;
            comparison.holds(record)?
        }
    };
    delete(cx, arguments, found);
    Ok(())
}

fn delifeq(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let equal = match cx.keys.write(&key) {
        Some(record) => Comparison::Equal(arguments[2]).holds(record)?,
        None => false,
    };
    delete(cx, arguments, equal);
    Ok(())
}

/// Deletes the key at argument 1 if it is to be, and replies whether it was.
fn delete(cx: &mut Context<'_>, arguments: &[&[u8]], wanted: bool) {
    if wanted {
        let key = cx.key(arguments, 1);
        cx.keys.delete(&key);
        cx.enter_deleted(&key);
        cx.changed(&key, EventClass::GENERIC, "del");
    }
    cx.reply.int(i64::from(wanted));
}
