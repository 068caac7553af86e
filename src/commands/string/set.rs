//! Strings: SET and the commands that replace a whole value.

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::generic::expire::{self, ExpireOption};
use crate::commands::string::compare::Comparison;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::context::string_bytes;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::Record;
use crate::primitives::number::parse_i64;

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE | KeySpec::VARIABLE_FLAGS)],
        key_access: Some(|arguments| {
            let has = |words: &[&str]| {
                arguments.iter().skip(3).any(|word| words.iter().any(|wanted| args::is(word, wanted)))
            };
            if has(&["GET"]) {
                KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE
            } else if has(&["IFNE", "IFDEQ", "IFDNE"]) {
                KeySpec::RW | KeySpec::UPDATE
            } else {
                KeySpec::OW | KeySpec::UPDATE
            }
        }),
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives a key a string value, whatever it held, with conditions and an expiry if wanted.",
        syntax: "key value [NX | XX | IFEQ comparison-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        since: "1.0.0",
        reply: "OK, null when the condition did not hold, or with GET the old value",
        run: set,
        ..Command::DEFAULT
    },
    Command {
        name: "setnx",
        arity: 3,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::OW | KeySpec::INSERT)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives a key a string value if the key does not exist.",
        syntax: "key value",
        since: "1.0.0",
        reply: "1 if set, else 0",
        run: setnx,
        ..Command::DEFAULT
    },
    Command {
        name: "setex",
        arity: 4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::OW | KeySpec::UPDATE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives a key a string value that lasts some seconds.",
        syntax: "key seconds value",
        since: "2.0.0",
        reply: "OK",
        run: setex,
        ..Command::DEFAULT
    },
    Command {
        name: "psetex",
        arity: 4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::OW | KeySpec::UPDATE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives a key a string value that lasts some milliseconds.",
        syntax: "key milliseconds value",
        since: "2.6.0",
        reply: "OK",
        run: psetex,
        ..Command::DEFAULT
    },
    Command {
        name: "getset",
        arity: 3,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives a key a string value and returns the one it had.",
        syntax: "key value",
        since: "1.0.0",
        reply: "the old value or null",
        run: getset,
        ..Command::DEFAULT
    },
    Command {
        name: "mset",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::rest(1, 2, KeySpec::OW | KeySpec::UPDATE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives several keys string values, all at once.",
        syntax: "key value [key value ...]",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        reply: "OK",
        run: mset,
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        ..Command::DEFAULT
    },
    Command {
        name: "msetnx",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::rest(1, 2, KeySpec::OW | KeySpec::INSERT)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives several keys string values, all at once, if none of them exists.",
        syntax: "key value [key value ...]",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        reply: "1 if set, else 0",
        run: msetnx,
        ..Command::DEFAULT
    },
    Command {
        name: "msetex",
        arity: -4,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::counted(1, 2, KeySpec::OW | KeySpec::UPDATE)],
        categories: &[Category::String],
        group: Group::String,
        summary: "Gives several keys string values, all at once, with conditions and one expiry for all if wanted.",
        syntax: "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        since: "9.1.0",
        family: Family::Each("8.4", "9.1"),
        complexity: "O(N) where N is the number of keys",
        reply: "1 if set, else 0",
        run: msetex,
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        ..Command::DEFAULT
    },
];

/// The options of SET and MSETEX.
#[derive(Default)]
struct SetOptions<'a> {
    if_missing: bool,
    if_there: bool,
    comparison: Option<Comparison<'a>>,
    get: bool,
    keep_ttl: bool,
    expire: Option<ExpireOption<'a>>,
}

fn set(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    if arguments.len() == 3 {
        store(cx, &key, arguments[2], None);
        cx.changed(&key, EventClass::STRING, "set");
        cx.reply.ok();
        return Ok(());
    }
    let options = set_options(arguments, 3, true)?;
    let expire_at_ms = options.expire.as_ref().map(|expire| expire.resolve(cx, "set")).transpose()?;
    if options.get && write_old_value(cx, &key)? && options.if_missing {
        return Ok(());
    }
    let holds = condition_holds(cx, &key, &options)?;
    if !holds {
        if !options.get {
            cx.reply.null();
        }
        return Ok(());
    }
    if let Some(at_ms) = expire_at_ms
        && expire::delete_if_past(cx, &key, at_ms)
    {
        // The old value has expired, and the new one is in the past too.
        if !options.get {
            cx.reply.ok();
        }
        return Ok(());
    }
    let kept =
        if options.keep_ttl { cx.keys.write(&key).and_then(|record| record.expire_at_ms()) } else { None };
    store(cx, &key, arguments[2], expire_at_ms.or(kept));
    // SET key value PXAT time does the same again as it is.
    if arguments.len() != 5 || !options.expire.is_some_and(|expire| expire.is_exact()) {
        enter_set(cx, &key, arguments[2], expire_at_ms.or(kept));
    }
    cx.changed(&key, EventClass::STRING, "set");
    if expire_at_ms.is_some() {
        cx.event(&key, EventClass::GENERIC, "expire");
    }
    if !options.get {
        cx.reply.ok();
    }
    Ok(())
}

fn condition_holds(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    options: &SetOptions<'_>,
) -> Result<bool, CommandError> {
    if !options.if_missing && !options.if_there && options.comparison.is_none() {
        return Ok(true);
    }
    let Some(record) = cx.keys.write(key) else {
        return Ok(options.if_missing || options.comparison.is_some_and(Comparison::holds_without));
    };
    match options.comparison {
        Some(comparison) => comparison.holds(record),
        None => Ok(options.if_there),
    }
}

/// Replies with the old value, as SET GET and GETSET do.
fn write_old_value(cx: &mut Context<'_>, key: &HashedKey<'_>) -> Result<bool, CommandError> {
    let mut number = itoa::Buffer::new();
    match cx.keys.read(key) {
        Some(record) => {
            cx.reply.bulk(string_bytes(record, &mut number)?);
            Ok(true)
        }
        None => {
            cx.missed(key);
            cx.reply.null();
            Ok(false)
        }
    }
}

fn set_options<'a>(
    arguments: &[&'a [u8]],
    first: usize,
    is_set: bool,
) -> Result<SetOptions<'a>, CommandError> {
    let mut options = SetOptions::default();
    let mut index = first;
    while index < arguments.len() {
        let word = arguments[index];
        // What is said twice counts as it is said last.
        let no_comparison = options.comparison.is_none();
        if args::is(word, "NX") && no_comparison && !options.if_there {
            options.if_missing = true;
        } else if args::is(word, "XX") && no_comparison && !options.if_missing {
            options.if_there = true;
        } else if is_set && args::is(word, "GET") {
            options.get = true;
        } else if args::is(word, "KEEPTTL") && options.expire.is_none() {
            options.keep_ttl = true;
        } else if !options.keep_ttl
            && let Some(expire) = ExpireOption::parse(arguments, index)
        {
            let expire = expire?;
            if !expire.may_follow(options.expire) {
                return Err(CommandError::Syntax);
            }
            options.expire = Some(expire);
            index += 1;
        } else if is_set
            && no_comparison
            && !options.if_missing
            && !options.if_there
            && let Some(value) = arguments.get(index + 1)
            && let Some(comparison) = Comparison::parse(word, value)
        {
            options.comparison = Some(comparison);
            index += 1;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 1;
    }
    Ok(options)
}

fn setnx(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    if cx.keys.write(&key).is_some() {
        cx.reply.int(0);
        return Ok(());
    }
    store(cx, &key, arguments[2], None);
    cx.changed(&key, EventClass::STRING, "set");
    cx.reply.int(1);
    Ok(())
}

fn setex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_with_ttl(cx, arguments, ExpireOption::seconds(arguments[2]))
}

fn psetex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_with_ttl(cx, arguments, ExpireOption::milliseconds(arguments[2]))
}

fn set_with_ttl(cx: &mut Context<'_>, arguments: &[&[u8]], expire: ExpireOption<'_>) -> CommandResult {
    let key = cx.key(arguments, 1);
    let at_ms = expire.resolve(cx, cx.command.spec.name)?;
    store(cx, &key, arguments[3], Some(at_ms));
    enter_set(cx, &key, arguments[3], Some(at_ms));
    cx.changed(&key, EventClass::STRING, "set");
    cx.event(&key, EventClass::GENERIC, "expire");
    cx.reply.ok();
    Ok(())
}

fn getset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    write_old_value(cx, &key)?;
    store(cx, &key, arguments[2], None);
    enter_set(cx, &key, arguments[2], None);
    cx.changed(&key, EventClass::STRING, "set");
    Ok(())
}

fn mset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_pairs(cx, arguments)?;
    store_pairs(cx, &arguments[1..], 1, arguments);
    cx.reply.ok();
    Ok(())
}

fn msetnx(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_pairs(cx, arguments)?;
    let any = (1..arguments.len()).step_by(2).any(|index| {
        let key = cx.key(arguments, index);
        cx.keys.write(&key).is_some()
    });
    if any {
        cx.reply.int(0);
        return Ok(());
    }
    store_pairs(cx, &arguments[1..], 1, arguments);
    cx.reply.int(1);
    Ok(())
}

fn msetex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let pairs = parse_i64(arguments[1])
        .filter(|count| (1..=i64::from(i32::MAX)).contains(count))
        .ok_or(CommandError::text("ERR invalid numkeys value or out of range"))? as usize;
    let end = 2 + pairs * 2;
    if end > arguments.len() {
        return Err(CommandError::Syntax);
    }
    let options = set_options(arguments, end, false)?;
    let expire_at_ms = options.expire.as_ref().map(|expire| expire.resolve(cx, "msetex")).transpose()?;
    let keys: Vec<HashedKey<'_>> = (2..end).step_by(2).map(|index| cx.key(arguments, index)).collect();
    let there = keys.iter().filter(|key| cx.keys.write(key).is_some()).count();
    if (options.if_missing && there > 0) || (options.if_there && there < keys.len()) {
        cx.reply.int(0);
        return Ok(());
    }
    for (key, value) in keys.iter().zip(arguments[3..end].iter().step_by(2)) {
        let kept =
            if options.keep_ttl { cx.keys.write(key).and_then(|record| record.expire_at_ms()) } else { None };
        store(cx, key, value, expire_at_ms.or(kept));
        // Not every replica knows MSETEX, but all know SET.
        enter_set(cx, key, value, expire_at_ms.or(kept));
        cx.changed(key, EventClass::STRING, "set");
        if expire_at_ms.is_some() {
            cx.event(key, EventClass::GENERIC, "expire");
        }
    }
    cx.reply.int(1);
    Ok(())
}

fn check_pairs(cx: &Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if arguments.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(cx.command.spec.name.into()));
    }
    Ok(())
}

fn store_pairs(cx: &mut Context<'_>, pairs: &[&[u8]], first: usize, arguments: &[&[u8]]) {
    for (number, pair) in pairs.chunks_exact(2).enumerate() {
        let key = cx.key_in_turn(arguments, first + number * 2, number);
        store(cx, &key, pair[1], None);
        cx.changed(&key, EventClass::STRING, "set");
    }
}

/// Enters into the journal that a key was set, with its expiry as a point in time and without conditions.
pub fn enter_set(cx: &Context<'_>, key: &HashedKey<'_>, value: &[u8], expire_at_ms: Option<u64>) {
    if !cx.is_journaled() {
        return;
    }
    match expire_at_ms {
        None => cx.enter(&[b"SET", key.bytes, value]),
        Some(at_ms) => {
            let mut number = itoa::Buffer::new();
            cx.enter(&[b"SET", key.bytes, value, b"PXAT", number.format(at_ms).as_bytes()]);
        }
    }
}

/// Longest decimal of a 64-bit number.
const INT_TEXT_MAX: usize = 20;

/// Stores a string under a key, in place where the record's size fits. The caller tells of the change.
pub fn store(cx: &mut Context<'_>, key: &HashedKey<'_>, value: &[u8], expire_at_ms: Option<u64>) {
    let number = if value.len() <= INT_TEXT_MAX { parse_i64(value) } else { None };
    if let Some(record) = cx.keys.write(key)
        && record.expire_at_ms() == expire_at_ms
    {
        let done = match number {
            Some(number) => record.overwrite_int(number),
            None => record.overwrite_string(value),
        };
        if done {
            cx.changes.overwritten(cx.keys.database, key, false);
            return;
        }
    }
    cx.keys.announce(value.len() / 64);
    let record = match number {
        Some(number) => Record::new_int(key.bytes, number, expire_at_ms),
        None => Record::new_string(key.bytes, value, expire_at_ms, false),
    };
    cx.put(key, record);
}
