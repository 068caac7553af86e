//! XINFO: details of a stream, its groups and their consumers.

use crate::command::{Flags, Group as CommandGroup, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::shared::help;
use crate::commands::stream::entries::{STREAM, write_entries, write_entry};
use crate::commands::stream::group::{no_group, now_ms};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::Access;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::thin::Owned;
use crate::resp::encode::Reply;
use crate::types::stream::{Group, Stream, StreamId};

const NAMED: &[KeySpec] = &[KeySpec::one(2, KeySpec::RO | KeySpec::ACCESS)];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "xinfo",
    arity: -2,
    group: CommandGroup::Stream,
    summary: "Tells about streams, groups and consumers.",
    since: "5.0.0",
    complexity: "depends on the subcommand",
    subcommands: XINFO,
    ..Command::DEFAULT
}];

const XINFO: &[Command] = &[
    Command {
        name: "consumers",
        arity: 4,
        flags: Flags::READONLY,
        keys: NAMED,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Tells about the consumers of a group.",
        syntax: "key group",
        since: "5.0.0",
        reply: "an array of maps",
        run: consumers,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "groups",
        arity: 3,
        flags: Flags::READONLY,
        keys: NAMED,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Tells about the groups of a stream.",
        syntax: "key",
        since: "5.0.0",
        reply: "an array of maps",
        run: groups,
        ..Command::DEFAULT
    },
    Command {
        name: "stream",
        arity: -3,
        flags: Flags::READONLY,
        keys: NAMED,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Tells about a stream; with FULL also its entries, groups and consumers.",
        syntax: "key [FULL [COUNT count]]",
        since: "5.0.0",
        reply: "a map",
        run: stream,
        ..Command::DEFAULT
    },
    help::entry("5.0.0", CommandGroup::Stream, STREAM),
];

fn stream_of<'c>(cx: &'c Context<'_>, key: &HashedKey<'_>) -> Result<&'c Stream, CommandError> {
    match collection::read::<Owned<Stream>>(&cx.keys, key)? {
        Some(stream) => Ok(stream),
        None => {
            cx.missed(key);
            Err(CommandError::NoSuchKey)
        }
    }
}

fn text(reply: &mut Reply<'_>, name: &str, value: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(value);
}

fn int(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.int(value);
}

fn int_or_null(reply: &mut Reply<'_>, name: &str, value: Option<i64>) {
    reply.bulk(name.as_bytes());
    match value {
        Some(value) => reply.int(value),
        None => reply.null(),
    }
}

fn consumers(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let group = stream_of(cx, &key)?.group(arguments[3]).ok_or_else(|| no_group(key.bytes, arguments[3]))?;
    let now_ms = now_ms(cx);
    let mut out = Vec::new();
    let reply = &mut Reply::new(&mut out, cx.reply.version());
    reply.array(group.shown_consumers().count());
    for consumer in group.shown_consumers() {
        let since = |at_ms: i64| now_ms.saturating_sub(at_ms).max(0);
        reply.map(4);
        text(reply, "name", consumer.name());
        int(reply, "pending", consumer.pending_count() as i64);
        int(reply, "idle", since(consumer.seen_at_ms));
        let inactive_ms = if consumer.active_at_ms == -1 { -1 } else { since(consumer.active_at_ms) };
        int(reply, "inactive", inactive_ms);
    }
    cx.reply.raw(&out);
    Ok(())
}

fn groups(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let stream = stream_of(cx, &key)?;
    let progress = stream.progress();
    let mut out = Vec::new();
    let reply = &mut Reply::new(&mut out, cx.reply.version());
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        text(reply, "name", name);
        int(reply, "consumers", group.shown_consumers().count() as i64);
        int(reply, "pending", group.pending_count() as i64);
        text(reply, "last-delivered-id", &group.last_id.text());
        int_or_null(reply, "entries-read", group.entries_read.map(|read| read as i64));
        int_or_null(reply, "lag", progress.lag(group));
    }
    cx.reply.raw(&out);
    Ok(())
}

fn stream(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    const DEFAULT_COUNT: usize = 10;
    let key = cx.key(arguments, 2);
    // A missing key is reported before wrong options.
    stream_of(cx, &key)?;
    let full = match &arguments[3..] {
        [] => None,
        [full, rest @ ..] if args::is(full, "FULL") => match rest {
            [] => Some(DEFAULT_COUNT),
            [word, count] if args::is(word, "COUNT") => {
                let count = args::int(count)?;
                Some(usize::try_from(count).unwrap_or(DEFAULT_COUNT))
            }
            _ => return Err(help::wrong_subcommand(cx, arguments)),
        },
        _ => return Err(help::wrong_subcommand(cx, arguments)),
    };
    let full = full.map(|count| if count == 0 { usize::MAX } else { count });
    cx.keys.expect_elements(&key, full.unwrap_or(0), 20)?;
    let stream = stream_of(cx, &key)?;
    let mut out = Vec::new();
    let reply = &mut Reply::new(&mut out, cx.reply.version());
    let producers = stream.producers();
    reply.map(if full.is_some() { 9 } else { 10 } + if producers.is_some() { 6 } else { 0 });
    int(reply, "length", stream.len() as i64);
    int(reply, "radix-tree-keys", stream.block_count() as i64);
    int(reply, "radix-tree-nodes", stream.block_count() as i64 + 1);
    text(reply, "last-generated-id", &stream.last_id().text());
    text(reply, "max-deleted-entry-id", &stream.max_deleted_id().text());
    int(reply, "entries-added", stream.entries_added() as i64);
    text(reply, "recorded-first-entry-id", &stream.first_id().text());
    if let Some(producers) = producers {
        let (limits, (known, ids)) = (producers.limits(), producers.known(cx.keys.now_ms));
        int(reply, "idmp-duration", limits.duration_s as i64);
        int(reply, "idmp-maxsize", limits.max_ids as i64);
        int(reply, "pids-tracked", known as i64);
        int(reply, "iids-tracked", ids as i64);
        int(reply, "iids-added", producers.added as i64);
        int(reply, "iids-duplicates", producers.duplicates as i64);
    }
    match full {
        Some(count) => write_full(&cx.keys, reply, stream, count),
        None => {
            int(reply, "groups", stream.groups().len() as i64);
            let first = stream.range(StreamId::MIN, StreamId::MAX).next();
            let last = stream.range_back(StreamId::MIN, StreamId::MAX).next();
            for (name, entry) in [("first-entry", first), ("last-entry", last)] {
                reply.bulk(name.as_bytes());
                match entry {
                    Some(entry) => write_entry(reply, &entry),
                    None => reply.null(),
                }
            }
        }
    }
    cx.reply.raw(&out);
    Ok(())
}

/// The entries and groups of XINFO STREAM FULL, at most `count` of each list.
fn write_full(keys: &Access<'_, '_>, reply: &mut Reply<'_>, stream: &Stream, count: usize) {
    reply.bulk(b"entries");
    write_entries(keys, reply, stream.range(StreamId::MIN, StreamId::MAX).take(count));
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    let progress = stream.progress();
    for (name, group) in stream.groups() {
        reply.map(7);
        text(reply, "name", name);
        text(reply, "last-delivered-id", &group.last_id.text());
        int_or_null(reply, "entries-read", group.entries_read.map(|read| read as i64));
        int_or_null(reply, "lag", progress.lag(group));
        int(reply, "pel-count", group.pending_count() as i64);
        write_full_group(reply, group, count);
    }
}

fn write_full_group(reply: &mut Reply<'_>, group: &Group, count: usize) {
    reply.bulk(b"pending");
    reply.array(group.pending_count().min(count));
    for (id, pending) in group.pending_range(StreamId::MIN, StreamId::MAX).take(count) {
        reply.array(4);
        reply.bulk(&id.text());
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(group.shown_delivery_ms(pending));
        reply.int(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.shown_consumers().count());
    for consumer in group.shown_consumers() {
        reply.map(5);
        text(reply, "name", consumer.name());
        int(reply, "seen-time", consumer.seen_at_ms);
        int(reply, "active-time", consumer.active_at_ms);
        int(reply, "pel-count", consumer.pending_count() as i64);
        reply.bulk(b"pending");
        reply.array(consumer.pending_count().min(count));
        for id in consumer.pending_from(StreamId::MIN).take(count) {
            let pending = group.pending(id);
            reply.array(3);
            reply.bulk(&id.text());
            reply.int(pending.map_or(0, |pending| group.shown_delivery_ms(pending)));
            reply.int(pending.map_or(0, |pending| pending.deliveries as i64));
        }
    }
}
