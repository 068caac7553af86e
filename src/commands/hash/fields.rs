//! Hashes: fields one by one and all of them.

use smallvec::SmallVec;

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::resp::encode::Reply;
use crate::types::hash::Hash;
use crate::types::packed::entry::Element;

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const LOOK: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO)];
const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)];
const HASH: &[Category] = &[Category::Hash];
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);

/// The group's entries; the rest of it is in [`number`](super::number), [`random`](super::random) and
/// [`expiry`](super::expiry).
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hset",
        arity: -4,
        flags: FAST_WRITE.and(Flags::DENYOOM),
        keys: UPDATE,
        categories: HASH,
        group: Group::Hash,
        summary: "Sets fields of a hash, which is created if there is none.",
        syntax: "key field value [field value ...]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        reply: "how many fields were new",
        element: Some(2),
        run: hset,
        ..Command::DEFAULT
    },
    Command {
        name: "hmset",
        arity: -4,
        flags: FAST_WRITE.and(Flags::DENYOOM),
        keys: UPDATE,
        categories: HASH,
        group: Group::Hash,
        summary: "An older form of HSET.",
        syntax: "key field value [field value ...]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        reply: "OK",
        run: hmset,
        ..Command::DEFAULT
    },
    Command {
        name: "hsetnx",
        arity: 4,
        flags: FAST_WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::INSERT)],
        categories: HASH,
        group: Group::Hash,
        summary: "Sets a field of a hash unless it is there.",
        syntax: "key field value",
        since: "2.0.0",
        reply: "1 if set, else 0",
        element: Some(2),
        run: hsetnx,
        ..Command::DEFAULT
    },
    Command {
        name: "hget",
        arity: 3,
        flags: FAST_READ,
        keys: READ,
        categories: HASH,
        group: Group::Hash,
        summary: "Returns the value of a hash's field.",
        syntax: "key field",
        since: "2.0.0",
        reply: "the value or null",
        element: Some(2),
        run: hget,
        ..Command::DEFAULT
    },
    Command {
        name: "hmget",
        arity: -3,
        flags: FAST_READ,
        keys: READ,
        categories: HASH,
        group: Group::Hash,
        summary: "Returns the values of several fields of a hash.",
        syntax: "key field [field ...]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        reply: "an array of values and nulls",
        run: hmget,
        ..Command::DEFAULT
    },
    Command {
        name: "hgetall",
        arity: 2,
        flags: Flags::READONLY,
        keys: READ,
        categories: HASH,
        group: Group::Hash,
        summary: "Returns all fields of a hash with their values.",
        syntax: "key",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields",
        reply: "a map of fields to values",
        run: hgetall,
        tips: &["nondeterministic_output_order"],
        ..Command::DEFAULT
    },
    Command {
        name: "hkeys",
        arity: 2,
        flags: Flags::READONLY,
        keys: READ,
        categories: HASH,
        group: Group::Hash,
        summary: "Returns all fields of a hash.",
        syntax: "key",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields",
        reply: "an array of fields",
        run: hkeys,
        tips: &["nondeterministic_output_order"],
        ..Command::DEFAULT
    },
    Command {
        name: "hvals",
        arity: 2,
        flags: Flags::READONLY,
        keys: READ,
        categories: HASH,
        group: Group::Hash,
        summary: "Returns the values of all fields of a hash.",
        syntax: "key",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields",
        reply: "an array of values",
        run: hvals,
        tips: &["nondeterministic_output_order"],
        ..Command::DEFAULT
    },
    Command {
        name: "hlen",
        arity: 2,
        flags: FAST_READ,
        keys: LOOK,
        categories: HASH,
        group: Group::Hash,
        summary: "Counts the fields of a hash.",
        syntax: "key",
        since: "2.0.0",
        reply: "the number of fields, 0 without a key",
        run: hlen,
        ..Command::DEFAULT
    },
    Command {
        name: "hexists",
        arity: 3,
        flags: FAST_READ,
        keys: LOOK,
        categories: HASH,
        group: Group::Hash,
        summary: "Tells whether a hash has a field.",
        syntax: "key field",
        since: "2.0.0",
        reply: "1 if it has, else 0",
        element: Some(2),
        run: hexists,
        ..Command::DEFAULT
    },
    Command {
        name: "hstrlen",
        arity: 3,
        flags: FAST_READ,
        keys: LOOK,
        categories: HASH,
        group: Group::Hash,
        summary: "Returns the length of the value of a hash's field in bytes.",
        syntax: "key field",
        since: "3.2.0",
        reply: "the length, 0 without the field",
        element: Some(2),
        run: hstrlen,
        ..Command::DEFAULT
    },
    Command {
        name: "hdel",
        arity: -3,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)],
        categories: HASH,
        group: Group::Hash,
        summary: "Removes fields from a hash; an empty hash is deleted.",
        syntax: "key field [field ...]",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        reply: "how many were there",
        element: Some(2),
        run: hdel,
        ..Command::DEFAULT
    },
    Command {
        name: "hgetdel",
        arity: -5,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE)],
        categories: HASH,
        group: Group::Hash,
        summary: "Returns the values of fields and removes them from a hash.",
        syntax: "key FIELDS(numfields@0 field [field ...])",
        since: "9.1.0",
        family: Family::Each("8.0", "9.1"),
        complexity: "O(N) where N is the number of fields given",
        reply: "an array of values and nulls",
        run: hgetdel,
        ..Command::DEFAULT
    },
];

/// Whether a field has expired and was not removed yet. A command that sets it anew tells its expiry first.
#[inline]
pub fn has_lapsed(hash: &Hash, field: &[u8], now_ms: u64) -> bool {
    hash.has_expiries() && hash.expire_at_ms(field).is_some_and(|at_ms| at_ms <= now_ms)
}

/// Tells `hexpired` for fields that had expired, before the event of the command that set them anew.
pub fn tell_lapsed(cx: &Context<'_>, key: &HashedKey<'_>, lapsed: &[&[u8]]) {
    if !lapsed.is_empty() {
        collection::also(cx, key, EventClass::HASH, "hexpired");
        cx.tell_fields(key, "hexpired", lapsed.iter().copied());
    }
}

/// Enters into the journal that a field was set: `anew`, or with the expiry that it has kept. In a hash without
/// expiries both are the same, and HSET is what every replica knows.
pub fn enter_set(cx: &Context<'_>, key: &HashedKey<'_>, field: &[u8], value: &[u8], anew: bool) {
    if anew {
        cx.enter(&[b"HSET", key.bytes, field, value]);
    } else {
        cx.enter(&[b"HSETEX", key.bytes, b"KEEPTTL", b"FIELDS", b"1", field, value]);
    }
}

/// Enters a request for fields of a hash into the journal: the words before them, then the fields.
pub fn enter_fields(cx: &Context<'_>, words: &[&[u8]], fields: &[&[u8]]) {
    cx.enter(&[words, fields].concat());
}

fn hset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let created = set_pairs(cx, arguments)?;
    cx.reply.count(created);
    Ok(())
}

fn hmset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_pairs(cx, arguments)?;
    cx.reply.ok();
    Ok(())
}

fn set_pairs(cx: &mut Context<'_>, arguments: &[&[u8]]) -> Result<usize, CommandError> {
    if !arguments.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(cx.command.spec.name.into()));
    }
    let key = cx.key(arguments, 1);
    let count = arguments.len() / 2 - 1;
    let (limits, now_ms) = (cx.server.settings.collections.hash(), cx.keys.ended_ms);
    let (mut created, mut lapsed) = (0, Vec::new());
    collection::change_or_make_hash(cx, &key, |hash| {
        hash.expect(count, &limits);
        let (pairs, _) = arguments[2..].as_chunks::<2>();
        for (number, [field, value]) in pairs.iter().enumerate() {
            collection::ahead(pairs, number).iter().for_each(|[field, _]| hash.prefetch(field));
            if has_lapsed(hash, field, now_ms) {
                lapsed.push(*field);
            }
            created += usize::from(hash.set(field, value, now_ms, &limits));
        }
    })?;
    tell_lapsed(cx, &key, &lapsed);
    collection::changed_fields(cx, &key, "hset", arguments[2..].iter().step_by(2).copied());
    Ok(created)
}

fn hsetnx(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let (field, value) = (arguments[2], arguments[3]);
    let (limits, now_ms) = (cx.server.settings.collections.hash(), cx.keys.ended_ms);
    let set = collection::change_or_make_hash(cx, &key, |hash| {
        let lapsed = has_lapsed(hash, field, now_ms);
        (!hash.contains(field, now_ms)).then(|| {
            hash.set(field, value, now_ms, &limits);
            lapsed
        })
    })?;
    let Some(lapsed) = set else {
        cx.reply.int(0);
        return Ok(());
    };
    tell_lapsed(cx, &key, if lapsed { &arguments[2..3] } else { &[] });
    if lapsed && cx.is_journaled() {
        enter_set(cx, &key, field, value, true);
    }
    collection::changed_fields(cx, &key, "hset", [field].into_iter());
    cx.reply.int(1);
    Ok(())
}

fn hget(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    match collection::read::<Hash>(&cx.keys, &key)? {
        Some(hash) => cx.reply.bulk_or_null(hash.get(arguments[2], cx.keys.ended_ms).as_deref()),
        None => {
            cx.missed(&key);
            cx.reply.null();
        }
    }
    Ok(())
}

fn hmget(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let fields = &arguments[2..];
    let hash = collection::read::<Hash>(&cx.keys, &key)?;
    if hash.is_none() {
        cx.missed(&key);
    }
    cx.reply.array(fields.len());
    for field in fields {
        cx.reply.bulk_or_null(hash.and_then(|hash| hash.get(field, cx.keys.ended_ms)).as_deref());
    }
    Ok(())
}

fn hgetall(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let now_ms = cx.keys.ended_ms;
    let Some(hash) = collection::read::<Hash>(&cx.keys, &key)? else {
        cx.missed(&key);
        cx.reply.map(0);
        return Ok(());
    };
    let count = hash.live_len(now_ms);
    if cx.is_read_in_pieces(2 * count)? {
        let empty = |reply: &mut Reply<'_>| reply.map(0);
        return collection::read_in_pieces::<Hash>(cx, &key, empty, |hash, at, reply| {
            if at == 0 {
                reply.map(hash.live_len(now_ms));
            }
            let (fields, next) = hash.iter_part(at, now_ms);
            let mut bulks = reply.bulks(collection::PIECE);
            for (field, value) in fields {
                bulks.push(&field);
                bulks.push(&value);
            }
            next
        });
    }
    cx.reply.map(count);
    let mut bulks = cx.reply.bulks(2 * count);
    match hash.pieces() {
        Some(pieces) => bulks.extend_pieces(pieces),
        None => hash.iter(now_ms).for_each(|(field, value)| {
            bulks.push(&field);
            bulks.push(&value);
        }),
    }
    Ok(())
}

fn hkeys(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    list(cx, arguments, |(field, _)| field)
}

fn hvals(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    list(cx, arguments, |(_, value)| value)
}

fn list(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    choose: for<'e> fn((Element<'e>, Element<'e>)) -> Element<'e>,
) -> CommandResult {
    let key = cx.key(arguments, 1);
    let now_ms = cx.keys.ended_ms;
    let Some(hash) = collection::read::<Hash>(&cx.keys, &key)? else {
        cx.missed(&key);
        cx.reply.array(0);
        return Ok(());
    };
    let count = hash.live_len(now_ms);
    if cx.is_read_in_pieces(2 * count)? {
        let empty = |reply: &mut Reply<'_>| reply.array(0);
        return collection::read_in_pieces::<Hash>(cx, &key, empty, |hash, at, reply| {
            if at == 0 {
                reply.array(hash.live_len(now_ms));
            }
            let (fields, next) = hash.iter_part(at, now_ms);
            let mut bulks = reply.bulks(collection::PIECE);
            fields.map(choose).for_each(|element| bulks.push(&element));
            next
        });
    }
    cx.reply.array(count);
    let mut bulks = cx.reply.bulks(count);
    hash.iter(now_ms).map(choose).for_each(|element| bulks.push(&element));
    Ok(())
}

fn hlen(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    collection::write_len(cx, arguments, Hash::len)
}

fn hexists(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    match collection::read::<Hash>(&cx.keys, &key)? {
        Some(hash) => cx.reply.int(i64::from(hash.contains(arguments[2], cx.keys.ended_ms))),
        None => {
            cx.missed(&key);
            cx.reply.int(0);
        }
    }
    Ok(())
}

fn hstrlen(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    match collection::read::<Hash>(&cx.keys, &key)? {
        Some(hash) => {
            cx.reply.count(hash.get(arguments[2], cx.keys.ended_ms).map_or(0, |value| value.len()));
        }
        None => {
            cx.missed(&key);
            cx.reply.int(0);
        }
    }
    Ok(())
}

fn hdel(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let now_ms = cx.keys.ended_ms;
    let removal = collection::change_hash(&mut cx.keys, &key, |hash| {
        // An expired field is left to the sweeper, which tells of its expiry.
        let remove = |field: &&&[u8]| !has_lapsed(hash, field, now_ms) && hash.remove(field, now_ms);
        let removed: SmallVec<[&[u8]; 4]> = arguments[2..].iter().filter(remove).copied().collect();
        (removed, hash.is_empty())
    })?;
    let (removed, emptied) = removal.unwrap_or_default();
    tell_removed(cx, &key, &removed, emptied);
    cx.reply.count(removed.len());
    Ok(())
}

fn hgetdel(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let fields = field_list(arguments, 2)?;
    let key = cx.key(arguments, 1);
    let now_ms = cx.keys.ended_ms;
    let reply = &mut cx.reply;
    let removal = collection::change_hash(&mut cx.keys, &key, |hash| {
        reply.array(fields.len());
        let mut removed = Vec::new();
        for &field in fields {
            match hash.get(field, now_ms) {
                Some(value) => reply.bulk(&value),
                None => {
                    reply.null();
                    continue;
                }
            }
            if hash.remove(field, now_ms) {
                removed.push(field);
            }
        }
        (removed, hash.is_empty())
    })?;
    let Some((removed, emptied)) = removal else {
        cx.reply.array(fields.len());
        fields.iter().for_each(|_| cx.reply.null());
        return Ok(());
    };
    tell_removed(cx, &key, &removed, emptied);
    Ok(())
}

fn tell_removed(cx: &mut Context<'_>, key: &HashedKey<'_>, removed: &[&[u8]], emptied: bool) {
    if !removed.is_empty() {
        if cx.is_journaled() {
            enter_fields(cx, &[b"HDEL", key.bytes], removed);
        }
        collection::changed_fields(cx, key, "hdel", removed.iter().copied());
        if emptied {
            cx.delete_emptied(key);
        }
    }
}

/// The fields behind the word `FIELDS` at argument `at` and the number behind that, up to the last argument.
///
/// # Errors
/// Another word there; not a number; not the number of the fields that follow.
pub fn field_list<'a, 'k>(arguments: &'a [&'k [u8]], at: usize) -> Result<&'a [&'k [u8]], CommandError> {
    match arguments.get(at) {
        Some(word) if args::is(word, "FIELDS") => counted_fields(arguments, at, 1),
        _ => Err(CommandError::Syntax),
    }
}

/// [`field_list`] for a `FIELDS` that was found before, with several arguments a field.
///
/// # Errors
/// Not a number; not the number of the fields that follow.
pub fn counted_fields<'a, 'k>(
    arguments: &'a [&'k [u8]],
    at: usize,
    width: usize,
) -> Result<&'a [&'k [u8]], CommandError> {
    let number = arguments.get(at + 1).ok_or(WRONG_FIELD_COUNT)?;
    let number = args::int(number)?;
    let fields = &arguments[at + 2..];
    match usize::try_from(number).ok().and_then(|number| number.checked_mul(width)) {
        Some(wanted @ 1..) if wanted == fields.len() => Ok(fields),
        _ => Err(WRONG_FIELD_COUNT),
    }
}

/// The number behind `FIELDS` is not that of the fields that follow.
pub const WRONG_FIELD_COUNT: CommandError =
    CommandError::text("ERR numfields should be greater than 0 and match the provided number of fields");
