//! Groups of consumers: XGROUP makes and removes them and their consumers, XACK and XPENDING look after what
//! they have not acknowledged. Reading is in [`read`](super::read), taking over in [`claim`](super::claim).

use crate::command::{Flags, Group as CommandGroup, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::shared::help;
use crate::commands::stream::entries::{INVALID_ID, READ, STREAM, UPDATE, id, range_end, range_start};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::thin::Owned;
use crate::types::stream::group::Pending;
use crate::types::stream::{Group, Stream, StreamId};

const NAMED: &[KeySpec] = &[KeySpec::one(2, KeySpec::RW | KeySpec::UPDATE)];
const NAMED_INSERT: &[KeySpec] = &[KeySpec::one(2, KeySpec::RW | KeySpec::INSERT)];
const NAMED_DELETE: &[KeySpec] = &[KeySpec::one(2, KeySpec::RW | KeySpec::DELETE)];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xgroup",
        arity: -2,
        group: CommandGroup::Stream,
        summary: "Makes, changes and removes groups of consumers.",
        since: "5.0.0",
        complexity: "depends on the subcommand",
        subcommands: XGROUP,
        ..Command::DEFAULT
    },
    Command {
        name: "xack",
        arity: -4,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: UPDATE,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Acknowledges entries: they are no longer pending in the group.",
        syntax: "key group id [id ...]",
        since: "5.0.0",
        complexity: "O(log(P)) for each id, P being the number of pending entries",
        reply: "how many were pending",
        run: xack,
        ..Command::DEFAULT
    },
    Command {
        name: "xpending",
        arity: -3,
        flags: Flags::READONLY,
        keys: READ,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Tells which entries of a group were delivered and not yet acknowledged.",
        syntax: "key group [[IDLE min-idle-time:integer] start:string end:string count [consumer]]",
        since: "5.0.0",
        complexity: "O(N) where N is the number of pending entries looked at; O(C) without a range, C being the number of consumers",
        reply: "number, lowest and highest id and counts of consumers; with a range an array of entries",
        run: xpending,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
];

const XGROUP: &[Command] = &[
    Command {
        name: "create",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: NAMED_INSERT,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Makes a group that has read up to an id.",
        syntax: "key group (id | $) [MKSTREAM] [ENTRIESREAD entries-read]",
        since: "5.0.0",
        reply: "OK",
        run: create,
        ..Command::DEFAULT
    },
    Command {
        name: "createconsumer",
        arity: 5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: NAMED_INSERT,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Adds a consumer to a group.",
        syntax: "key group consumer",
        since: "6.2.0",
        reply: "1 if added, 0 if it was there",
        run: create_consumer,
        ..Command::DEFAULT
    },
    Command {
        name: "delconsumer",
        arity: 5,
        flags: Flags::WRITE,
        keys: NAMED_DELETE,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Removes a consumer from a group, and what is pending with it.",
        syntax: "key group consumer",
        since: "5.0.0",
        complexity: "O(P) where P is the number of entries pending with it",
        reply: "how many entries were pending with it",
        run: delete_consumer,
        ..Command::DEFAULT
    },
    Command {
        name: "destroy",
        arity: 4,
        flags: Flags::WRITE,
        keys: NAMED_DELETE,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Removes a group.",
        syntax: "key group",
        since: "5.0.0",
        complexity: "O(P) where P is the number of pending entries",
        reply: "1 if removed, 0 if there was none",
        run: destroy,
        ..Command::DEFAULT
    },
    Command {
        name: "setid",
        arity: -5,
        flags: Flags::WRITE,
        keys: NAMED,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Sets up to which id a group has read.",
        syntax: "key group (id | $) [ENTRIESREAD entries-read]",
        since: "5.0.0",
        reply: "OK",
        run: set_id,
        ..Command::DEFAULT
    },
    help::entry("5.0.0", CommandGroup::Stream, STREAM),
];

/// The error of a missing group in an existing stream.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    CommandError::new(format!(
        "NOGROUP No such consumer group '{}' for key name '{}'",
        args::text(group),
        args::text(key)
    ))
}

/// The error of a missing key or group.
pub(super) fn no_key_or_group(key: &[u8], group: &[u8]) -> CommandError {
    CommandError::new(format!(
        "NOGROUP No such key '{}' or consumer group '{}'",
        args::text(key),
        args::text(group)
    ))
}

/// The present time as groups keep it, in milliseconds of Unix time.
pub(super) fn now_ms(cx: &Context<'_>) -> i64 {
    i64::try_from(cx.keys.now_ms).unwrap_or(i64::MAX)
}

/// The options of XGROUP CREATE and SETID behind the id.
#[derive(Debug, Default)]
struct GroupOptions {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl GroupOptions {
    fn parse(cx: &Context<'_>, arguments: &[&[u8]], is_create: bool) -> Result<Self, CommandError> {
        let mut parsed = Self::default();
        let mut options = &arguments[5..];
        while let [word, rest @ ..] = options {
            options = rest;
            if is_create && args::is(word, "MKSTREAM") {
                parsed.make_stream = true;
            } else if let (true, [value, rest @ ..]) = (args::is(word, "ENTRIESREAD"), options) {
                let count = args::int(value)?;
                if count < -1 {
                    return Err(CommandError::text("ERR value for ENTRIESREAD must be positive or -1"));
                }
                parsed.entries_read = u64::try_from(count).ok();
                options = rest;
            } else {
                return Err(help::wrong_subcommand(cx, arguments));
            }
        }
        Ok(parsed)
    }
}

/// The stream of an XGROUP subcommand.
fn stream_of<'c>(cx: &'c mut Context<'_>, key: &HashedKey<'_>) -> Result<&'c mut Stream, CommandError> {
    match collection::write::<Owned<Stream>>(&mut cx.keys, key)? {
        Some(stream) => Ok(stream),
        None => Err(NO_STREAM),
    }
}

const NO_STREAM: CommandError = CommandError::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
);

/// The group of an XGROUP subcommand.
fn group_of<'c>(
    cx: &'c mut Context<'_>,
    key: &HashedKey<'_>,
    name: &[u8],
) -> Result<&'c mut Group, CommandError> {
    let bytes = key.bytes;
    stream_of(cx, key)?.group_mut(name).ok_or_else(|| no_group(bytes, name))
}

fn create(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let options = GroupOptions::parse(cx, arguments, true)?;
    let key = cx.key(arguments, 2);
    let (name, start) = (arguments[3], arguments[4]);
    let stream = collection::write::<Owned<Stream>>(&mut cx.keys, &key)?;
    if stream.is_none() && !options.make_stream {
        return Err(NO_STREAM);
    }
    let last = stream.as_ref().map_or(StreamId::MIN, |stream| stream.last_id());
    let start = if start == b"$" { last } else { id(start)? };
    let group = Group::new(start, options.entries_read);
    match stream {
        Some(stream) => {
            if !stream.add_group(name, group) {
                return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
            }
            cx.noted(&key, EventClass::STREAM, "xgroup-create");
        }
        None => {
            let mut stream = Owned::<Stream>::default();
            stream.add_group(name, group);
            collection::put(cx, &key, stream);
            cx.changed(&key, EventClass::STREAM, "xgroup-create");
        }
    }
    cx.reply.ok();
    Ok(())
}

fn set_id(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let options = GroupOptions::parse(cx, arguments, false)?;
    let key = cx.key(arguments, 2);
    let last = stream_of(cx, &key)?.last_id();
    let group = group_of(cx, &key, arguments[3])?;
    group.last_id = match arguments[4] {
        b"$" => last,
        given => StreamId::parse_end(given, 0).ok_or(INVALID_ID)?,
    };
    group.entries_read = options.entries_read;
    cx.noted(&key, EventClass::STREAM, "xgroup-setid");
    cx.reply.ok();
    Ok(())
}

fn create_consumer(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let now_ms = now_ms(cx);
    let group = group_of(cx, &key, arguments[3])?;
    let is_new = group.find(arguments[4]).is_none();
    if is_new {
        group.add_consumer(arguments[4], now_ms);
        cx.noted(&key, EventClass::STREAM, "xgroup-createconsumer");
    }
    cx.reply.int(i64::from(is_new));
    Ok(())
}

fn delete_consumer(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let removed = group_of(cx, &key, arguments[3])?.remove_consumer(arguments[4]);
    if removed.is_some() {
        cx.noted(&key, EventClass::STREAM, "xgroup-delconsumer");
    }
    cx.reply.count(removed.unwrap_or(0));
    Ok(())
}

fn destroy(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let removed = stream_of(cx, &key)?.remove_group(arguments[3]);
    if removed {
        cx.noted(&key, EventClass::STREAM, "xgroup-destroy");
    }
    cx.reply.int(i64::from(removed));
    Ok(())
}

fn xack(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let stream = collection::write::<Owned<Stream>>(&mut cx.keys, &key)?;
    let Some(group) = stream.and_then(|stream| stream.group_mut(arguments[2])) else {
        cx.reply.int(0);
        return Ok(());
    };
    // All ids are read before the first is acknowledged.
    let ids = arguments[3..].iter().map(|argument| id(argument)).collect::<Result<Vec<_>, _>>()?;
    let acknowledged = ids.into_iter().filter(|&id| group.acknowledge(id)).count();
    cx.dirty += acknowledged as u64;
    cx.reply.count(acknowledged);
    Ok(())
}

/// The range that XPENDING lists, in its form with a range.
struct PendingRange<'a> {
    start: StreamId,
    end: StreamId,
    count: usize,
    min_idle_ms: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> PendingRange<'a> {
    fn parse(arguments: &[&'a [u8]]) -> Result<Option<Self>, CommandError> {
        let mut words = &arguments[3..];
        if words.is_empty() {
            return Ok(None);
        }
        if !(3..=6).contains(&words.len()) {
            return Err(CommandError::Syntax);
        }
        let mut min_idle_ms = 0;
        if args::is(words[0], "IDLE") {
            min_idle_ms = args::int(words[1])?;
            words = &words[2..];
        }
        let [start, end, count, rest @ ..] = words else { return Err(CommandError::Syntax) };
        let count = usize::try_from(args::int(count)?).unwrap_or(0);
        let (start, end) = (range_start(start)?, range_end(end)?);
        Ok(Some(Self { start, end, count, min_idle_ms, consumer: rest.first().copied() }))
    }
}

fn xpending(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let range = PendingRange::parse(arguments)?;
    let key = cx.key(arguments, 1);
    let stream = collection::read::<Owned<Stream>>(&cx.keys, &key)?;
    if stream.is_none() {
        cx.missed(&key);
    }
    let group = stream
        .and_then(|stream| stream.group(arguments[2]))
        .ok_or_else(|| no_key_or_group(key.bytes, arguments[2]))?;
    let now_ms = now_ms(cx);
    let reply = &mut cx.reply;
    let Some(range) = range else {
        reply.array(4);
        reply.count(group.pending_count());
        let Some((first, last)) = group.pending_ends() else {
            reply.null();
            reply.null();
            reply.null_array();
            return Ok(());
        };
        reply.bulk(&first.text());
        reply.bulk(&last.text());
        let begun = reply.begin_array();
        let mut count = 0;
        for consumer in group.shown_consumers().filter(|consumer| consumer.pending_count() > 0) {
            reply.array(2);
            reply.bulk(consumer.name());
            reply.bulk_int(consumer.pending_count() as i64);
            count += 1;
        }
        reply.end_array(begun, count);
        return Ok(());
    };
    let wanted: Box<dyn Iterator<Item = (StreamId, &Pending)>> =
        match range.consumer.map(|name| group.find(name)) {
            None => Box::new(group.pending_range(range.start, range.end)),
            Some(None) => Box::new(std::iter::empty()),
            Some(Some(consumer)) => {
                let ids = group.consumer(consumer).pending_from(range.start);
                let within = ids.take_while(|id| *id <= range.end);
                Box::new(within.filter_map(|id| Some((id, group.pending(id)?))))
            }
        };
    cx.keys.may_take_units(group.pending_count().min(range.count).saturating_mul(5))?;
    let begun = reply.begin_array();
    let mut count = 0;
    let wanted = wanted.inspect(|_| cx.keys.work(5));
    let idle_ms = |pending: &Pending| now_ms.saturating_sub(pending.delivered_at_ms);
    let is_idle = |pending: &Pending| range.min_idle_ms == 0 || idle_ms(pending) >= range.min_idle_ms;
    for (id, pending) in wanted.filter(|(_, pending)| is_idle(pending)).take(range.count) {
        reply.array(4);
        reply.bulk(&id.text());
        let consumer = group.consumer(pending.consumer);
        reply.bulk(consumer.name());
        reply.int(if consumer.is_nobody() { -1 } else { idle_ms(pending).max(0) });
        reply.int(pending.deliveries as i64);
        count += 1;
    }
    reply.end_array(begun, count);
    Ok(())
}
