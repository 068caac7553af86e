//! Commands for keys of any type: DEL, EXISTS, TYPE, RENAME, COPY, MOVE and their kin.

use crate::command::{Category, Flags, KeySpec, args};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::reaper::FreeReason;

const KEYSPACE: &[Category] = &[Category::Keyspace];

/// Entries of the commands in this file.
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
        let key = cx.key_in_turn(arguments, index, index - 1);
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
        let key = cx.key_in_turn(arguments, *index, index - 1);
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
        let key = cx.key_in_turn(arguments, index, index - 1);
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
    let new_type = record.type_name();
    let old = cx.keys.replace_in(cx.keys.database, &to, record.with_key(to.bytes));
    // The two keys count as one change.
    cx.event(&from, EventClass::GENERIC, "rename_from");
    cx.changed(&to, EventClass::GENERIC, "rename_to");
    cx.tell_overwritten(cx.keys.database, &to, old.as_deref(), new_type);
    cx.note_moved(&from, (cx.keys.database, &to));
    cx.keys.discard(old);
    Ok(true)
}

fn database_number(argument: &[u8], count: usize) -> Result<usize, CommandError> {
    let number = args::int(argument)?;
    usize::try_from(number).ok().filter(|number| *number < count).ok_or(CommandError::DatabaseOutOfRange)
}

/// The options of COPY: database and REPLACE. `None` for unknown words, for which COPY then fails.
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

/// Databases that options name, also those that a later option overrides.
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
    cx.keys.expect_elements(&from, usize::MAX, 5)?;
    let Some(copied) = cx.read(&from).map(|record| record.duplicate(to.bytes)) else {
        cx.reply.int(0);
        return Ok(());
    };
    if cx.keys.peek_in(target, &to).is_some() && !replace {
        cx.reply.int(0);
        return Ok(());
    }
    let new_type = copied.type_name();
    let old = cx.keys.replace_in(target, &to, copied);
    cx.changed_in(target, &to, EventClass::GENERIC, "copy_to");
    cx.tell_overwritten(target, &to, old.as_deref(), new_type);
    cx.note_moved(&from, (target, &to));
    cx.keys.discard(old);
    cx.reply.int(1);
    Ok(())
}

fn move_foreign_key(arguments: &[&[u8]]) -> Option<(usize, usize)> {
    Some((usize::try_from(args::int(arguments.get(2)?).ok()?).ok()?, 1))
}

fn move_key(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if cx.server.keeps_to_slots() {
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
    // The two keys count as one change.
    cx.event(&key, EventClass::GENERIC, "move_from");
    cx.changed_in(target, &key, EventClass::GENERIC, "move_to");
    cx.note_moved(&key, (target, &key));
    cx.reply.int(1);
    Ok(())
}
