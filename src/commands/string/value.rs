//! Strings: reading them and changing them in place.

use std::ops::Range;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::generic::expire::{self, ExpireOption};
use crate::commands::string::set::store;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::context::string_bytes;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{EMBEDDED_STRING_MAX, Record, RecordBox, ValueRef};
use crate::keyspace::value::Object;
use crate::primitives::long_double::LongDouble;
use crate::primitives::number::parse_i64;
use crate::primitives::thin::Owned;
use crate::types::text::{Text, make_room};

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)];
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: READ,
        categories: &[Category::String],
        group: Group::String,
        summary: "Returns a key's string value.",
        syntax: "key",
        since: "1.0.0",
        reply: "the value or null",
        run: get,
        ..Command::DEFAULT
    },
    Command {
        name: "mget",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::rest(1, 1, KeySpec::RO | KeySpec::ACCESS)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Returns the string values of several keys.",
        syntax: "key [key ...]",
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys",
        reply: "an array of values and nulls",
        run: mget,
        tips: &["request_policy:multi_shard"],
        ..Command::DEFAULT
    },
    Command {
        name: "getdel",
        arity: 2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Returns a key's string value and deletes the key.",
        syntax: "key",
        since: "6.2.0",
        reply: "the value or null",
        run: getdel,
        ..Command::DEFAULT
    },
    Command {
        name: "getex",
        arity: -2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: UPDATE,
        categories: &[Category::String],
        group: Group::String,
        summary: "Returns a key's string value and sets or removes its expiry.",
        syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
        since: "6.2.0",
        reply: "the value or null",
        run: getex,
        ..Command::DEFAULT
    },
    Command {
        name: "strlen",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RO)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Returns the length of a key's string value in bytes.",
        syntax: "key",
        since: "2.2.0",
        reply: "the length, 0 without a key",
        run: strlen,
        ..Command::DEFAULT
    },
    Command {
        name: "getrange",
        arity: 4,
        flags: Flags::READONLY,
        keys: READ,
        categories: &[Category::String],
        group: Group::String,
        summary: "Returns the bytes of a string value from one index to another; negative ones count from the end.",
        syntax: "key start end",
        since: "2.4.0",
        complexity: "O(N) where N is the number of bytes returned",
        reply: "the bytes",
        run: getrange,
        ..Command::DEFAULT
    },
    Command {
        name: "substr",
        arity: 4,
        flags: Flags::READONLY,
        keys: READ,
        categories: &[Category::String],
        group: Group::String,
        summary: "An older name of GETRANGE.",
        syntax: "key start end",
        since: "1.0.0",
        complexity: "O(N) where N is the number of bytes returned",
        reply: "the bytes",
        run: getrange,
        ..Command::DEFAULT
    },
    Command {
        name: "setrange",
        arity: 4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Overwrites a string value from an offset on, filling up with zero bytes where it is too short.",
        syntax: "key offset value",
        since: "2.2.0",
        complexity: "O(N) where N is the number of bytes written",
        reply: "the new length",
        run: setrange,
        ..Command::DEFAULT
    },
    Command {
        name: "append",
        arity: 3,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::INSERT)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Adds bytes to the end of a string value.",
        syntax: "key value",
        since: "2.0.0",
        reply: "the new length",
        run: append,
        ..Command::DEFAULT
    },
    Command {
        name: "incr",
        arity: 2,
        flags: FAST_WRITE,
        keys: UPDATE,
        categories: &[Category::String],
        group: Group::String,
        summary: "Adds one to a number; a missing key counts as 0.",
        syntax: "key",
        since: "1.0.0",
        reply: "the new number",
        run: incr,
        ..Command::DEFAULT
    },
    Command {
        name: "decr",
        arity: 2,
        flags: FAST_WRITE,
        keys: UPDATE,
        categories: &[Category::String],
        group: Group::String,
        summary: "Takes one from a number; a missing key counts as 0.",
        syntax: "key",
        since: "1.0.0",
        reply: "the new number",
        run: decr,
        ..Command::DEFAULT
    },
    Command {
        name: "incrby",
        arity: 3,
        flags: FAST_WRITE,
        keys: UPDATE,
        categories: &[Category::String],
        group: Group::String,
        summary: "Adds to a number; a missing key counts as 0.",
        syntax: "key increment",
        since: "1.0.0",
        reply: "the new number",
        run: incrby,
        ..Command::DEFAULT
    },
    Command {
        name: "decrby",
        arity: 3,
        flags: FAST_WRITE,
        keys: UPDATE,
        categories: &[Category::String],
        group: Group::String,
        summary: "Takes from a number; a missing key counts as 0.",
        syntax: "key decrement",
        since: "1.0.0",
        reply: "the new number",
        run: decrby,
        ..Command::DEFAULT
    },
    Command {
        name: "incrbyfloat",
        arity: 3,
        flags: FAST_WRITE,
        keys: UPDATE,
        categories: &[Category::String],
        group: Group::String,
        summary: "Adds a floating point number to a number; a missing key counts as 0.",
        syntax: "key increment:double",
        since: "2.6.0",
        reply: "the new number as text",
        run: incrbyfloat,
        ..Command::DEFAULT
    },
    Command {
        name: "lcs",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec {
            flags: KeySpec::RO | KeySpec::ACCESS,
            begin: crate::command::Begin::Index(1),
            find: crate::command::Find::Range { last: 1, step: 1, limit: 0 },
        }],
        categories: &[Category::String],
        group: Group::String,
        summary: "Finds the longest common subsequence of two string values.",
        syntax: "key1 key2@0 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
        since: "7.0.0",
        complexity: "O(N*M) where N and M are the lengths of the two values",
        reply: "the subsequence, its length, or where it matches",
        run: crate::commands::string::lcs::lcs,
        ..Command::DEFAULT
    },
];

fn get(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    match cx.keys.read(&key) {
        Some(record) => {
            let mut number = itoa::Buffer::new();
            let bytes = string_bytes(record, &mut number)?;
            if cx.is_read_in_pieces(bytes.len() / 64)? {
                return get_in_pieces(cx, &key);
            }
            cx.reply.bulk(bytes);
        }
        None => {
            cx.missed(&key);
            cx.reply.null();
        }
    }
    Ok(())
}

/// GET of a string of megabytes.
#[cold]
fn get_in_pieces(cx: &mut Context<'_>, key: &HashedKey<'_>) -> CommandResult {
    const PIECE: usize = 256 * 1024;
    let start = cx.reply.position();
    let reply = &mut cx.reply;
    cx.keys.read_in_pieces(key, |record, at| {
        if at == 0 {
            reply.truncate(start);
        }
        let Some(record) = record else {
            reply.null();
            return Ok(None);
        };
        let mut number = itoa::Buffer::new();
        let bytes = string_bytes(record, &mut number)?;
        if at == 0 {
            reply.begin_bulk(bytes.len());
        }
        let end = bytes.len().min(at + PIECE);
        reply.raw(&bytes[at..end]);
        if end < bytes.len() {
            return Ok(Some(end));
        }
        reply.raw(b"\r\n");
        Ok(None)
    })
}

fn mget(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.reply.array(arguments.len() - 1);
    for index in 1..arguments.len() {
        let key = cx.key_in_turn(arguments, index, index - 1);
        match cx.keys.read(&key) {
            // MGET never fails: a value of another type counts as missing.
            Some(record) => match string_bytes(record, &mut itoa::Buffer::new()) {
                Ok(bytes) => {
                    cx.keys.work(bytes.len() / 64);
                    cx.reply.bulk(bytes);
                }
                Err(_) => cx.reply.null(),
            },
            None => {
                cx.missed(&key);
                cx.reply.null();
            }
        }
    }
    Ok(())
}

fn getdel(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    match cx.keys.read(&key) {
        Some(record) => cx.reply.bulk(string_bytes(record, &mut itoa::Buffer::new())?),
        None => {
            cx.missed(&key);
            cx.reply.null();
            return Ok(());
        }
    }
    cx.keys.delete(&key);
    cx.enter_deleted(&key);
    cx.changed(&key, EventClass::GENERIC, "del");
    Ok(())
}

fn getex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let mut expire = None;
    let mut persist = false;
    let mut index = 2;
    while index < arguments.len() {
        // What is said twice counts as it is said last.
        if expire.is_none() && args::is(arguments[index], "PERSIST") {
            persist = true;
            index += 1;
        } else if !persist && let Some(option) = ExpireOption::parse(arguments, index) {
            let option = option?;
            if !option.may_follow(expire) {
                return Err(CommandError::Syntax);
            }
            expire = Some(option);
            index += 2;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let expire_at_ms = expire.map(|option| option.resolve(cx, "getex")).transpose()?;
    match cx.keys.read(&key) {
        Some(record) => {
            string_bytes(record, &mut itoa::Buffer::new())?;
        }
        None => {
            cx.missed(&key);
            cx.reply.null();
            return Ok(());
        }
    }
    if let Some(record) = cx.keys.peek(&key) {
        cx.reply.bulk(string_bytes(record, &mut itoa::Buffer::new())?);
    }
    if let Some(at_ms) = expire_at_ms {
        if !expire::delete_if_past(cx, &key, at_ms) {
            cx.keys.set_expire_at_ms(&key, Some(at_ms));
            expire::enter_end(cx, &key, at_ms);
            cx.changed(&key, EventClass::GENERIC, "expire");
        }
    } else if persist && cx.keys.peek(&key).is_some_and(|record| record.expire_at_ms().is_some()) {
        cx.keys.set_expire_at_ms(&key, None);
        if cx.is_journaled() {
            cx.enter(&[b"PERSIST", key.bytes]);
        }
        cx.changed(&key, EventClass::GENERIC, "persist");
    }
    Ok(())
}

fn strlen(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let mut number = itoa::Buffer::new();
    let length = cx.read_string(&key, &mut number)?.map_or(0, <[u8]>::len);
    cx.reply.count(length);
    Ok(())
}

fn getrange(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (start, end) = (args::int(arguments[2])?, args::int(arguments[3])?);
    let key = cx.key(arguments, 1);
    match cx.keys.read(&key) {
        Some(record) => {
            let mut number = itoa::Buffer::new();
            let bytes = string_bytes(record, &mut number)?;
            let range = clamp_range(bytes.len(), start, end);
            cx.keys.expect(range.len() / 64)?;
            cx.reply.bulk(&bytes[range]);
        }
        None => {
            cx.missed(&key);
            cx.reply.bulk(b"");
        }
    }
    Ok(())
}

/// Converts an inclusive range of indices, which count from the end if negative, to a range of bytes.
fn clamp_range(length: usize, start: i64, end: i64) -> std::ops::Range<usize> {
    if length == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    let length = length as i64;
    let absolute = |index: i64| if index < 0 { (length.saturating_add(index)).max(0) } else { index };
    let (start, end) = (absolute(start), absolute(end).min(length - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

fn setrange(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let offset = args::int(arguments[2])?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let patch = arguments[3];
    let key = cx.key(arguments, 1);
    let length = match cx.keys.write(&key) {
        Some(record) => string_bytes(record, &mut itoa::Buffer::new())?.len(),
        None => 0,
    };
    if patch.is_empty() {
        cx.reply.count(length);
        return Ok(());
    }
    check_length(cx, offset, patch.len())?;
    let end = offset + patch.len();
    cx.keys.announce(patch.len() / 64);
    let new_length = change_bytes(cx, &key, offset..end, |bytes| {
        if bytes.len() < end {
            grow(bytes, end);
        }
        bytes[offset..end].copy_from_slice(patch);
    })?;
    cx.changed(&key, EventClass::STRING, "setrange");
    cx.reply.count(new_length);
    Ok(())
}

fn append(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let tail = arguments[2];
    let length = match cx.keys.write(&key) {
        Some(record) => string_bytes(record, &mut itoa::Buffer::new())?.len(),
        None => {
            store(cx, &key, tail, None);
            cx.changed(&key, EventClass::STRING, "append");
            cx.reply.count(tail.len());
            return Ok(());
        }
    };
    check_length(cx, length, tail.len())?;
    cx.keys.announce(tail.len() / 64);
    let new_length = change_bytes(cx, &key, length..length, |bytes| {
        make_room(bytes, tail.len());
        bytes.extend_from_slice(tail);
    })?;
    cx.changed(&key, EventClass::STRING, "append");
    cx.reply.count(new_length);
    Ok(())
}

fn check_length(cx: &Context<'_>, length: usize, more: usize) -> CommandResult {
    let max = cx.string_max();
    if length.checked_add(more).is_none_or(|total| total > max) {
        return Err(CommandError::StringTooLong);
    }
    Ok(())
}

/// Makes a string longer with zero bytes at its end. Where most of it is to be zeros, they come from the
/// allocator, which has pages of zeros that take no time until they are used.
pub fn grow(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len / 2 {
        let mut grown = vec![0; len];
        grown[..bytes.len()].copy_from_slice(bytes);
        *bytes = grown;
    } else {
        make_room(bytes, len.saturating_sub(bytes.len()));
        bytes.resize(len, 0);
    }
}

/// A record for a string that commands change in place. Long bytes are taken over, not copied.
pub fn raw_string(key: &HashedKey<'_>, bytes: Vec<u8>, expire_at_ms: Option<u64>) -> RecordBox {
    if bytes.len() > EMBEDDED_STRING_MAX {
        Record::new_object(key.bytes, Object::Text(Owned::new(Text::new(bytes))), expire_at_ms)
    } else {
        Record::new_string(key.bytes, &bytes, expire_at_ms, true)
    }
}

/// Changes a string's bytes in place and keeps its expiry; a missing key is an empty string. `touched` is the
/// range that is changed; beyond it `change` may only append. Returns the new length.
pub fn change_bytes(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    touched: Range<usize>,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, CommandError> {
    try_change_bytes(cx, key, touched, |bytes| {
        change(bytes);
        Ok((bytes.len(), true))
    })
}

/// [`change_bytes`] with a `change` that may fail, or return `false` beside its result when there is nothing
/// to change. In both cases it has to leave the bytes as they were.
pub fn try_change_bytes<T>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    touched: Range<usize>,
    change: impl FnOnce(&mut Vec<u8>) -> Result<(T, bool), CommandError>,
) -> Result<T, CommandError> {
    let (mut bytes, expire_at_ms, access) = match cx.keys.write(key) {
        None => (Vec::new(), None, 0),
        Some(record) => {
            if let Some(Object::Text(text)) = record.object_mut() {
                return text.change(touched, change).map(|(result, _)| result);
            }
            let bytes = string_bytes(record, &mut itoa::Buffer::new())?.to_vec();
            (bytes, record.expire_at_ms(), record.access())
        }
    };
    let (result, changed) = change(&mut bytes)?;
    if changed {
        let record = raw_string(key, bytes, expire_at_ms);
        record.set_access(access);
        let old = cx.keys.put(key, record);
        cx.keys.discard(old);
    }
    Ok(result)
}

fn incr(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    add(cx, arguments, 1)
}

fn decr(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    add(cx, arguments, -1)
}

fn incrby(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    add(cx, arguments, args::int(arguments[2])?)
}

fn decrby(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let by = args::int(arguments[2])?;
    add(cx, arguments, by.checked_neg().ok_or(CommandError::DecrementOverflow)?)
}

fn add(cx: &mut Context<'_>, arguments: &[&[u8]], by: i64) -> CommandResult {
    let key = cx.key(arguments, 1);
    let (old, expire_at_ms) = match cx.keys.write(&key) {
        None => (0, None),
        Some(record) => {
            let old = match record.value() {
                ValueRef::Int(value) => value,
                _ => {
                    let bytes = string_bytes(record, &mut itoa::Buffer::new())?.to_vec();
                    parse_i64(&bytes).ok_or(CommandError::NotAnInteger)?
                }
            };
            let new = old.checked_add(by).ok_or(CommandError::IncrementOverflow)?;
            if record.overwrite_int(new) {
                cx.changed(&key, EventClass::STRING, "incrby");
                cx.reply.int(new);
                return Ok(());
            }
            (old, record.expire_at_ms())
        }
    };
    let new = old.checked_add(by).ok_or(CommandError::IncrementOverflow)?;
    let replaced = cx.keys.put(&key, Record::new_int(key.bytes, new, expire_at_ms));
    cx.keys.discard(replaced);
    cx.changed(&key, EventClass::STRING, "incrby");
    cx.reply.int(new);
    Ok(())
}

fn incrbyfloat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let (old, expire_at_ms) = match cx.keys.write(&key) {
        None => (LongDouble::parse(b"0"), None),
        Some(record) => {
            let mut number = itoa::Buffer::new();
            (LongDouble::parse(string_bytes(record, &mut number)?), record.expire_at_ms())
        }
    };
    let old = old.ok_or(CommandError::NotAFloat)?;
    let by = LongDouble::parse(arguments[2]).ok_or(CommandError::NotAFloat)?;
    let mut text = Vec::new();
    old.checked_add(by).ok_or(CommandError::IncrementNotFinite)?.format_into(&mut text);
    // A whole number is kept as text here too: OBJECT ENCODING shows that, as in Redis.
    let replaced = cx.keys.put(&key, Record::new_string(key.bytes, &text, expire_at_ms, false));
    cx.keys.discard(replaced);
    super::set::enter_set(cx, &key, &text, expire_at_ms);
    cx.changed(&key, EventClass::STRING, "incrbyfloat");
    cx.reply.bulk(&text);
    Ok(())
}
