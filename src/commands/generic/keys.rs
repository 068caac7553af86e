//! Commands for keys of any type: DEL, EXISTS, TYPE, RENAME, COPY, MOVE, SCAN and their kin.

use crate::command::{Category, Command, Flags, Group, KeySpec, args};
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::glob;
use crate::keyspace::access::{EventClass, is_expired};
use crate::keyspace::key_hash::{SLOT_COUNT, key_slot};
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::scan;
use crate::primitives::number::parse_u64;

const KEYSPACE: &[Category] = &[Category::Keyspace];
const DANGEROUS: &[Category] = &[Category::Keyspace, Category::Dangerous];

/// The group's entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "del",
        arity: -2,
        flags: Flags::WRITE,
        keys: &[KeySpec::rest(1, 1, KeySpec::RM | KeySpec::DELETE)],
        categories: KEYSPACE,
        summary: "Deletes keys.",
        syntax: "key [key ...]",
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys; big values are freed in the background",
        reply: "how many were there",
        run: del,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        ..Command::DEFAULT
    },
    Command {
        name: "unlink",
        arity: -2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: &[KeySpec::rest(1, 1, KeySpec::RM | KeySpec::DELETE)],
        categories: KEYSPACE,
        summary: "Deletes keys; their memory is freed in the background.",
        syntax: "key [key ...]",
        since: "4.0.0",
        complexity: "O(N) where N is the number of keys",
        reply: "how many were there",
        run: unlink,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        ..Command::DEFAULT
    },
    Command {
        name: "exists",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::rest(1, 1, KeySpec::RO)],
        categories: KEYSPACE,
        summary: "Counts which of the keys exist; one named twice counts twice.",
        syntax: "key [key ...]",
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys",
        reply: "how many exist",
        run: exists,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        ..Command::DEFAULT
    },
    Command {
        name: "touch",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::rest(1, 1, KeySpec::RO)],
        categories: KEYSPACE,
        summary: "Makes keys count as just used.",
        syntax: "key [key ...]",
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys",
        reply: "how many exist",
        run: touch,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        ..Command::DEFAULT
    },
    Command {
        name: "type",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RO)],
        categories: KEYSPACE,
        summary: "Names the type of a key's value.",
        syntax: "key",
        since: "1.0.0",
        reply: "the type, or none",
        run: type_of,
        ..Command::DEFAULT
    },
    Command {
        name: "rename",
        arity: 3,
        flags: Flags::WRITE,
        keys: &[
            KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE),
            KeySpec::one(2, KeySpec::OW | KeySpec::UPDATE),
        ],
        categories: KEYSPACE,
        summary: "Gives a key another name; a key of that name is overwritten.",
        syntax: "key newkey",
        since: "1.0.0",
        reply: "OK",
        run: rename,
        ..Command::DEFAULT
    },
    Command {
        name: "renamenx",
        arity: 3,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: &[
            KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE),
            KeySpec::one(2, KeySpec::OW | KeySpec::INSERT),
        ],
        categories: KEYSPACE,
        summary: "Gives a key another name if no key has it.",
        syntax: "key newkey",
        since: "1.0.0",
        reply: "1 if renamed, else 0",
        run: renamenx,
        ..Command::DEFAULT
    },
    Command {
        name: "copy",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS),
            KeySpec::one(2, KeySpec::OW | KeySpec::UPDATE),
        ],
        foreign_keys: Some(copy_foreign_key),
        databases: Some(copy_databases),
        categories: KEYSPACE,
        summary: "Copies a key's value and expiry to another key, in another database if wanted.",
        syntax: "source destination [DB destination-db] [REPLACE]",
        since: "6.2.0",
        complexity: "O(N) where N is the number of elements",
        reply: "1 if copied, else 0",
        run: copy,
        ..Command::DEFAULT
    },
    Command {
        name: "move",
        arity: 3,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
        foreign_keys: Some(move_foreign_key),
        databases: Some(|arguments, found| found.extend(args::database_at(arguments, 2))),
        categories: KEYSPACE,
        summary: "Moves a key to another database, unless it has one of that name.",
        syntax: "key db",
        since: "1.0.0",
        reply: "1 if moved, else 0",
        run: move_key,
        ..Command::DEFAULT
    },
    Command {
        name: "randomkey",
        arity: 1,
        flags: Flags::READONLY.and(Flags::WHOLE_KEYSPACE),
        categories: KEYSPACE,
        summary: "Returns the name of a key chosen at random.",
        since: "1.0.0",
        reply: "a key, or null when there is none",
        run: randomkey,
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "keys",
        arity: 2,
        flags: Flags::READONLY.and(Flags::WHOLE_KEYSPACE),
        categories: DANGEROUS,
        summary: "Returns the names of all keys that match a pattern.",
        syntax: "pattern",
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys",
        reply: "an array of keys",
        run: keys,
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        ..Command::DEFAULT
    },
    Command {
        name: "scan",
        arity: -2,
        flags: Flags::READONLY.and(Flags::WHOLE_KEYSPACE),
        categories: KEYSPACE,
        summary: "Walks over the names of all keys, some at each call.",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for a whole walk",
        reply: "the next cursor and an array of keys",
        run: scan_keys,
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        ..Command::DEFAULT
    },
    Command {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY.and(Flags::FAST).and(Flags::WHOLE_KEYSPACE),
        categories: KEYSPACE,
        group: Group::Server,
        summary: "Counts the keys of the database.",
        since: "1.0.0",
        reply: "the number of keys",
        run: dbsize,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        ..Command::DEFAULT
    },
    Command {
        name: "flushdb",
        arity: -1,
        flags: Flags::WRITE.and(Flags::WHOLE_KEYSPACE),
        categories: DANGEROUS,
        group: Group::Server,
        summary: "Deletes all keys of the database.",
        syntax: "[ASYNC | SYNC]",
        since: "1.0.0",
        complexity: "O(1); the memory is freed in the background",
        reply: "OK",
        run: flushdb,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..Command::DEFAULT
    },
    Command {
        name: "flushall",
        arity: -1,
        flags: Flags::WRITE.and(Flags::WHOLE_KEYSPACE).and(Flags::ALL_DATABASES),
        categories: DANGEROUS,
        group: Group::Server,
        summary: "Deletes all keys of all databases.",
        syntax: "[ASYNC | SYNC]",
        since: "1.0.0",
        complexity: "O(1); the memory is freed in the background",
        reply: "OK",
        run: flushall,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..Command::DEFAULT
    },
    Command {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.and(Flags::FAST).and(Flags::WHOLE_KEYSPACE),
        databases: Some(|arguments, found| {
            found.extend(args::database_at(arguments, 1));
            found.extend(args::database_at(arguments, 2));
        }),
        categories: DANGEROUS,
        group: Group::Server,
        summary: "Exchanges two databases.",
        syntax: "index1 index2",
        since: "4.0.0",
        reply: "OK",
        run: swapdb,
        ..Command::DEFAULT
    },
];

fn del(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    delete(cx, arguments, FreeReason::Deleted)
}

fn unlink(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    delete(cx, arguments, FreeReason::Unlinked)
}

fn delete(cx: &mut Context<'_>, arguments: &[&[u8]], loss: FreeReason) -> CommandResult {
    let mut deleted = 0;
    for index in 1..arguments.len() {
        let key = cx.key(arguments, index);
        if cx.keys.delete_as(&key, loss) {
            cx.changed(&key, EventClass::GENERIC, "del");
            deleted += 1;
        }
    }
    cx.reply.int(deleted);
    Ok(())
}

fn exists(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let there = |index: &usize| {
        let key = cx.key(arguments, *index);
        let found = cx.keys.peek(&key).is_some();
        if !found {
            cx.missed(&key);
        }
        found
    };
    let count = (1..arguments.len()).filter(there).count();
    cx.reply.count(count);
    Ok(())
}

fn touch(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let mut count = 0;
    for index in 1..arguments.len() {
        let key = cx.key(arguments, index);
        if cx.read(&key).is_some() {
            cx.keys.touch(&key);
            count += 1;
        }
    }
    cx.reply.count(count);
    Ok(())
}

fn type_of(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    match cx.keys.peek(&key) {
        Some(record) => cx.reply.simple(record.type_name()),
        None => {
            cx.missed(&key);
            cx.reply.simple("none");
        }
    }
    Ok(())
}

fn rename(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    rename_to(cx, arguments, true)?;
    cx.reply.ok();
    Ok(())
}

fn renamenx(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let renamed = rename_to(cx, arguments, false)?;
    cx.reply.int(i64::from(renamed));
    Ok(())
}

fn rename_to(cx: &mut Context<'_>, arguments: &[&[u8]], overwrite: bool) -> Result<bool, CommandError> {
    let (from, to) = (cx.key(arguments, 1), cx.key(arguments, 2));
    if cx.keys.write(&from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    if from.bytes == to.bytes {
        return Ok(overwrite);
    }
    if cx.keys.write(&to).is_some() && !overwrite {
        return Ok(false);
    }
    let Some(record) = cx.keys.remove(&from) else { return Err(CommandError::NoSuchKey) };
    let old = cx.keys.replace_in(cx.keys.database, &to, record.with_key(to.bytes));
    cx.keys.discard(old);
    // It counts as one change.
    cx.event(&from, EventClass::GENERIC, "rename_from");
    cx.changed(&to, EventClass::GENERIC, "rename_to");
    Ok(true)
}

fn database_number(argument: &[u8], count: usize) -> Result<usize, CommandError> {
    let number = args::int(argument)?;
    usize::try_from(number).ok().filter(|number| *number < count).ok_or(CommandError::DatabaseOutOfRange)
}

/// The options of COPY: database and REPLACE. `None` for wrong ones, which the command then reports.
fn copy_options<'a>(arguments: &[&'a [u8]]) -> Option<(Option<&'a [u8]>, bool)> {
    let (mut database, mut replace, mut index) = (None, false, 3);
    while index < arguments.len() {
        if args::is(arguments[index], "REPLACE") {
            replace = true;
        } else if args::is(arguments[index], "DB") && index + 1 < arguments.len() {
            database = Some(arguments[index + 1]);
            index += 1;
        } else {
            return None;
        }
        index += 1;
    }
    Some((database, replace))
}

fn copy_foreign_key(arguments: &[&[u8]]) -> Option<(usize, usize)> {
    let (database, _) = copy_options(arguments)?;
    Some((usize::try_from(args::int(database?).ok()?).ok()?, 2))
}

/// Each that an option names, even where a later option wins.
fn copy_databases(arguments: &[&[u8]], found: &mut smallvec::SmallVec<[(usize, usize); 2]>) {
    let mut index = 3;
    while index + 1 < arguments.len() {
        if args::is(arguments[index], "DB") {
            index += 1;
            found.extend(args::database_at(arguments, index));
        }
        index += 1;
    }
}

fn copy(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (database, replace) = copy_options(arguments).ok_or(CommandError::Syntax)?;
    let target = match database {
        Some(text) => database_number(text, cx.keys.keyspace.database_count())?,
        None => cx.keys.database,
    };
    let (from, to) = (cx.key(arguments, 1), cx.key(arguments, 2));
    if from.bytes == to.bytes && target == cx.keys.database {
        return Err(CommandError::SameObject);
    }
    let Some(copied) = cx.read(&from).map(|record| record.duplicate(to.bytes)) else {
        cx.reply.int(0);
        return Ok(());
    };
    if cx.keys.peek_in(target, &to).is_some() && !replace {
        cx.reply.int(0);
        return Ok(());
    }
    let old = cx.keys.replace_in(target, &to, copied);
    cx.keys.discard(old);
    cx.changed_in(target, &to, EventClass::GENERIC, "copy_to");
    cx.reply.int(1);
    Ok(())
}

fn move_foreign_key(arguments: &[&[u8]]) -> Option<(usize, usize)> {
    Some((usize::try_from(args::int(arguments.get(2)?).ok()?).ok()?, 1))
}

fn move_key(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if cx.server.cluster.is_enabled() {
        return Err(CommandError::text("ERR MOVE is not allowed in cluster mode"));
    }
    let target = database_number(arguments[2], cx.keys.keyspace.database_count())?;
    if target == cx.keys.database {
        return Err(CommandError::SameObject);
    }
    let key = cx.key(arguments, 1);
    if cx.keys.write(&key).is_none() || cx.keys.peek_in(target, &key).is_some() {
        cx.reply.int(0);
        return Ok(());
    }
    if let Some(record) = cx.keys.remove(&key) {
        let replaced = cx.keys.put_in(target, &key, record);
        cx.keys.discard(replaced);
    }
    // It counts as one change.
    cx.event(&key, EventClass::GENERIC, "move_from");
    cx.changed_in(target, &key, EventClass::GENERIC, "move_to");
    cx.reply.int(1);
    Ok(())
}

fn randomkey(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let (ended_ms, keeps_keys) = (cx.keys.ended_ms, cx.server.keeps_keys(cx.keys.now_ms));
    let key = cx.keys.with_database(cx.keys.database, |database| {
        scan::random_key(database, ended_ms, keeps_keys, &mut fastrand::Rng::new())
    });
    cx.reply.bulk_or_null(key.flatten().as_deref());
    Ok(())
}

fn keys(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let pattern = arguments[1];
    let now_ms = cx.keys.ended_ms;
    let begun = cx.reply.begin_array();
    let mut count = 0;
    let slots = slots_of_pattern(cx, pattern);
    let database = cx.keys.database;
    let reply = &mut cx.reply;
    cx.keys.with_database_alone(database, |database| {
        scan::scan(database, 0, usize::MAX, slots, |record| {
            if !is_expired(record, now_ms) && (pattern == b"*" || glob::matches(pattern, record.key(), false))
            {
                reply.bulk(record.key());
                count += 1;
            }
        })
    });
    cx.reply.end_array(begun, count);
    Ok(())
}

/// In cluster mode a pattern with a literal hash tag can match keys of one slot only.
fn slots_of_pattern(cx: &Context<'_>, pattern: &[u8]) -> std::ops::Range<usize> {
    let all = 0..SLOT_COUNT;
    if !cx.server.cluster.is_enabled() {
        return all;
    }
    let is_special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    let Some(open) = memchr::memchr(b'{', pattern) else {
        let literal = !pattern.iter().any(is_special);
        return if literal { key_slot(pattern)..key_slot(pattern) + 1 } else { all };
    };
    let Some(close) = memchr::memchr(b'}', &pattern[open..]).map(|at| open + at) else { return all };
    if close == open + 1 || pattern[..close].iter().any(is_special) {
        return all;
    }
    let slot = key_slot(&pattern[..=close]);
    slot..slot + 1
}

fn scan_keys(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let cursor = parse_u64(arguments[1]).ok_or(CommandError::InvalidCursor)?;
    let options = ScanOptions::parse(&arguments[2..], true)?;
    let now_ms = cx.keys.ended_ms;
    let slots = options.pattern.map_or(0..SLOT_COUNT, |pattern| slots_of_pattern(cx, pattern));
    let number = cx.keys.database;
    let (mut found, mut stale) = (Vec::new(), Vec::new());
    let next = cx.keys.with_database(number, |database| {
        scan::scan(database, cursor, options.count, slots, |record| {
            let is_type = |name: &[u8]| record.type_name().as_bytes().eq_ignore_ascii_case(name);
            if !options.type_name.is_none_or(is_type) || !options.matches(record.key()) {
                return;
            }
            if is_expired(record, now_ms) {
                stale.push(record.key().to_vec());
            } else {
                found.push(record.key().to_vec());
            }
        })
    });
    stale.iter().for_each(|key| cx.keys.note_stale(number, key));
    cx.reply.array(2);
    cx.reply.bulk(itoa::Buffer::new().format(next.unwrap_or(0)).as_bytes());
    cx.reply.array(found.len());
    for key in found {
        cx.reply.bulk(&key);
    }
    Ok(())
}

/// The types that SCAN knows, in capitals.
const TYPE_NAMES: [&str; 6] = ["STRING", "LIST", "SET", "ZSET", "HASH", "STREAM"];

/// The options of the SCAN family.
pub struct ScanOptions<'a> {
    /// MATCH.
    pub pattern: Option<&'a [u8]>,
    /// COUNT.
    pub count: usize,
    /// TYPE.
    pub type_name: Option<&'a [u8]>,
    /// NOVALUES of HSCAN.
    pub no_values: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads what stands behind the cursor. `of_keys`: SCAN, which knows TYPE.
    ///
    /// # Errors
    /// Unknown words, a count below one.
    pub fn parse(words: &[&'a [u8]], of_keys: bool) -> Result<Self, CommandError> {
        let mut options = Self { pattern: None, count: 10, type_name: None, no_values: false };
        let mut index = 0;
        while index < words.len() {
            let word = words[index];
            if args::is(word, "NOVALUES") {
                if of_keys {
                    return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.no_values = true;
                index += 1;
                continue;
            }
            let value = args::value_of(words, index)?;
            if args::is(word, "MATCH") {
                // `*` matches everything: leaving it out saves the matching.
                options.pattern = (value != b"*").then_some(value);
            } else if args::is(word, "COUNT") {
                let count = args::int(value)?;
                options.count =
                    usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if args::is(word, "TYPE") && of_keys {
                if !TYPE_NAMES.iter().any(|name| args::is(value, name)) {
                    return Err(CommandError::new(format!("ERR unknown type name '{}'", args::text(value))));
                }
                options.type_name = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
            index += 2;
        }
        Ok(options)
    }

    /// Whether an element's name matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

fn dbsize(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let count = cx.keys.with_database(cx.keys.database, |database| database.len());
    cx.reply.count(count.unwrap_or(0));
    Ok(())
}

fn check_flush_option(arguments: &[&[u8]]) -> CommandResult {
    match arguments {
        [_] => Ok(()),
        [_, word] if args::is(word, "ASYNC") || args::is(word, "SYNC") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

fn flushdb(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_flush_option(arguments)?;
    cx.dirty += cx.keys.flush(Some(cx.keys.database)) as u64;
    cx.reply.ok();
    Ok(())
}

fn flushall(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_flush_option(arguments)?;
    cx.dirty += cx.keys.flush(None) as u64;
    cx.reply.ok();
    Ok(())
}

fn swapdb(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if cx.server.cluster.is_enabled() {
        return Err(CommandError::text("ERR SWAPDB is not allowed in cluster mode"));
    }
    let number =
        |argument: &[u8], text: &'static str| args::int(argument).map_err(|_| CommandError::text(text));
    let first = number(arguments[1], "ERR invalid first DB index")?;
    let second = number(arguments[2], "ERR invalid second DB index")?;
    let count = cx.keys.keyspace.database_count();
    let index = |number: i64| {
        usize::try_from(number).ok().filter(|n| *n < count).ok_or(CommandError::DatabaseOutOfRange)
    };
    let (first, second) = (index(first)?, index(second)?);
    cx.keys.swap_databases(first, second);
    cx.dirty += 1;
    cx.reply.ok();
    Ok(())
}
