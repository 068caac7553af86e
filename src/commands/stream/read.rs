//! XREAD, and XREADGROUP for the consumers of a group: reading entries behind an id, and waiting for new
//! ones.

use std::ops::Range;

use crate::command::keys::{KeyPosition, KeyPositions};
use crate::command::request::OwnedRequest;
use crate::command::{Begin, Find, Flags, Group as CommandGroup, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::stream::claim::{seen_consumer, tell_new_consumer};
use crate::commands::stream::entered::Member;
use crate::commands::stream::entries::{ENTRY_WORK, STREAM, id, write_entries, write_entry};
use crate::commands::stream::group::now_ms;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::thin::Owned;
use crate::resp::encode::Reply;
use crate::shared::waiter::{EmptyReply, WaitFor};
use crate::types::stream::{Stream, StreamId};

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xread",
        arity: -4,
        flags: Flags::READONLY.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec {
            flags: KeySpec::RO | KeySpec::ACCESS,
            begin: Begin::Keyword { word: "STREAMS", from: 1 },
            find: STREAM_KEYS,
        }],
        moving_keys: Some(|arguments, positions| find_keys(arguments, None, positions)),
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Returns the entries of streams behind an id; waits for some if asked to.",
        syntax: "[COUNT count] [BLOCK milliseconds] STREAMS(key [key ...] id [id ...])",
        since: "5.0.0",
        complexity: "O(N) for each stream, N being the number of entries returned",
        reply: "a map of streams to arrays of entries, or null when there are none",
        run: xread,
        ..Command::DEFAULT
    },
    Command {
        name: "xreadgroup",
        arity: -7,
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec {
            flags: KeySpec::RO | KeySpec::ACCESS,
            begin: Begin::Keyword { word: "STREAMS", from: 4 },
            find: STREAM_KEYS,
        }],
        moving_keys: Some(|arguments, positions| find_keys(arguments, Some(KeySpec::RW), positions)),
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Gives a consumer of a group entries that none of them had, or those that are pending with it.",
        syntax: "GROUP(group consumer) [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS(key [key ...] id [id ...])",
        since: "5.0.0",
        complexity: "O(N) for each stream, N being the number of entries returned",
        reply: "a map of streams to arrays of entries, or null when there are none",
        run: xreadgroup,
        ..Command::DEFAULT
    },
];

const STREAM_KEYS: Find = Find::Range { last: -1, step: 1, limit: 2 };

/// The arguments of XREAD and XREADGROUP.
struct Request<'a> {
    count: usize,
    /// BLOCK: `None` without it, `Some(None)` to wait without a limit, else the deadline in milliseconds of
    /// Unix time.
    wait_until_ms: Option<Option<u64>>,
    no_ack: bool,
    /// Group and consumer.
    member: Option<(&'a [u8], &'a [u8])>,
    keys: Range<usize>,
}

impl<'a> Request<'a> {
    fn parse(arguments: &[&'a [u8]], is_group: bool, now_ms: u64) -> Result<Self, CommandError> {
        let mut request =
            Self { count: usize::MAX, wait_until_ms: None, no_ack: false, member: None, keys: 0..0 };
        let mut at = 1;
        while let Some(word) = arguments.get(at) {
            let more = arguments.len() - at - 1;
            if args::is(word, "BLOCK") && more > 0 {
                request.wait_until_ms = Some(args::wait_milliseconds(arguments[at + 1], now_ms)?);
                at += 1;
            } else if args::is(word, "COUNT") && more > 0 {
                let count = usize::try_from(args::int(arguments[at + 1])?).unwrap_or(0);
                request.count = if count == 0 { usize::MAX } else { count };
                at += 1;
            } else if args::is(word, "STREAMS") && more > 0 {
                if !more.is_multiple_of(2) {
                    let (name, symbol) = if is_group { ("xreadgroup", '>') } else { ("xread", '$') };
                    return Err(CommandError::new(format!(
                        "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
                    )));
                }
                request.keys = at + 1..at + 1 + more / 2;
                break;
            } else if args::is(word, "GROUP") && more > 1 {
                if !is_group {
                    return Err(CommandError::text(
                        "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                request.member = Some((arguments[at + 1], arguments[at + 2]));
                at += 2;
            } else if args::is(word, "NOACK") {
                if !is_group {
                    return Err(CommandError::text(
                        "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                request.no_ack = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if request.keys.is_empty() {
            return Err(CommandError::Syntax);
        }
        if is_group && request.member.is_none() {
            return Err(CommandError::text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }

    /// Index of the argument that is a key's id.
    fn id_of(&self, key: usize) -> usize {
        key + self.keys.len()
    }
}

/// Finds the keys by the parser that the command itself uses.
fn find_keys(arguments: &[&[u8]], write: Option<u16>, positions: &mut KeyPositions) {
    let Ok(request) = Request::parse(arguments, write.is_some(), 0) else { return };
    let flags = write.unwrap_or(KeySpec::RO) | KeySpec::ACCESS;
    positions.extend(request.keys.map(|argument| KeyPosition { argument, flags }));
}

fn xread(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let request = Request::parse(arguments, false, cx.keys.now_ms)?;
    let mut behind = Vec::with_capacity(request.keys.len());
    for at in request.keys.clone() {
        let key = cx.key(arguments, at);
        let stream = collection::read::<Owned<Stream>>(&cx.keys, &key)?;
        if stream.is_none() {
            cx.missed(&key);
        }
        behind.push(match arguments[request.id_of(at)] {
            b"$" => stream.map_or(StreamId::MIN, |stream| stream.last_id()),
            b"+" => before_last(stream.map(|stream| &**stream)),
            b">" => {
                return Err(CommandError::text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
            given => id(given)?,
        });
    }
    let mut streams = Streams::new(cx.reply.position());
    for (at, behind) in request.keys.clone().zip(&behind) {
        let key = cx.key(arguments, at);
        let Some(stream) = cx.keys.peek(&key).map(collection::of_record::<Owned<Stream>>).transpose()? else {
            continue;
        };
        let Some(start) = behind.next() else { continue };
        let mut entries = stream.range(start, StreamId::MAX).take(request.count).peekable();
        if entries.peek().is_some() {
            streams.begin_one(&mut cx.reply, key.bytes);
            write_entries(&cx.keys, &mut cx.reply, entries);
        }
    }
    if streams.finish(&mut cx.reply) {
        return Ok(());
    }
    // `$` means the last id when the command was first called. It is replaced by that id: otherwise the
    // command, run again for the entry that wakes it, would skip that entry.
    let texts: Vec<_> = behind.iter().map(|id| id.text()).collect();
    let mut resolved = arguments.to_vec();
    for (at, text) in request.keys.clone().zip(&texts) {
        resolved[request.id_of(at)] = text;
    }
    wait_or_null(cx, &request, Some(OwnedRequest::new(&resolved)));
    Ok(())
}

/// The id before the stream's last one, so that reading behind it returns the last entry, if it still exists
/// (`+`).
fn before_last(stream: Option<&Stream>) -> StreamId {
    stream.and_then(|stream| stream.last_id().previous()).unwrap_or(StreamId::MIN)
}

/// Nothing was found: makes the client wait if it asked for that, else replies null.
fn wait_or_null(cx: &mut Context<'_>, request: &Request<'_>, resolved: Option<OwnedRequest>) {
    match request.wait_until_ms {
        None => cx.reply.null_array(),
        Some(until_ms) => cx.wait_for(WaitFor {
            keys: request.keys.clone(),
            type_name: "stream",
            wants_loss: request.member.is_some(),
            until_ms,
            acks: None,
            nothing: EmptyReply::NullArray,
            request: resolved,
        }),
    }
}

/// The streams of a reply, whose number is known only at its end.
struct Streams {
    start: usize,
    begun: Option<crate::resp::encode::Deferred>,
    count: usize,
}

impl Streams {
    fn new(start: usize) -> Self {
        Self { start, begun: None, count: 0 }
    }

    /// Writes the name of a further stream; its entries follow.
    fn begin_one(&mut self, reply: &mut Reply<'_>, name: &[u8]) {
        debug_assert!(self.count > 0 || reply.position() == self.start);
        self.begun.get_or_insert_with(|| reply.begin_array());
        self.count += 1;
        if !reply.is_resp3() {
            reply.array(2);
        }
        reply.bulk(name);
    }

    /// Writes the head. Returns whether there was any stream.
    fn finish(self, reply: &mut Reply<'_>) -> bool {
        let Some(begun) = self.begun else { return false };
        if reply.is_resp3() {
            reply.end_map(begun, self.count);
        } else {
            reply.end_array(begun, self.count);
        }
        true
    }
}

/// What a consumer reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// `>`: entries that were delivered to no consumer of the group.
    New,
    /// Entries pending with the consumer, behind this id.
    Pending(StreamId),
}

fn xreadgroup(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let request = Request::parse(arguments, true, cx.keys.now_ms)?;
    let Some((group, consumer)) = request.member else { return Err(CommandError::Syntax) };
    let mut froms = Vec::with_capacity(request.keys.len());
    for at in request.keys.clone() {
        let key = cx.key(arguments, at);
        let stream = collection::read::<Owned<Stream>>(&cx.keys, &key)?;
        if stream.and_then(|stream| stream.group(group)).is_none() {
            return Err(CommandError::new(format!(
                "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option",
                args::text(key.bytes),
                args::text(group)
            )));
        }
        froms.push(match arguments[request.id_of(at)] {
            symbol @ (b"$" | b"+") => {
                let symbol = args::text(symbol);
                return Err(CommandError::new(format!(
                    "ERR The {symbol} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The {symbol} ID would just return an empty result set."
                )));
            }
            b">" => From::New,
            given => From::Pending(id(given)?),
        });
    }
    let now_ms = now_ms(cx);
    let mut streams = Streams::new(cx.reply.position());
    for (at, from) in request.keys.clone().zip(froms) {
        let key = cx.key(arguments, at);
        expect_delivery(cx, &key, &request, from);
        let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else { continue };
        let Some(is_new) = stream.group_mut(group).map(|group| seen_consumer(group, consumer, now_ms).1)
        else {
            continue;
        };
        let ids = match from {
            From::New => read_new(stream, &request, now_ms, key.bytes, &mut streams, &mut cx.reply),
            From::Pending(behind) => {
                streams.begin_one(&mut cx.reply, key.bytes);
                read_pending(stream, &request, behind, now_ms, &mut cx.reply)
            }
        };
        // Counts as one change, however many entries there were.
        cx.dirty += u64::from(!ids.is_empty() || from != From::New);
        if cx.is_journaled() {
            let member = Member { key: &key, group, consumer };
            enter_read(cx, member, is_new, &ids, (from == From::New).then_some(request.no_ack));
        }
        tell_new_consumer(cx, &key, is_new);
    }
    if !streams.finish(&mut cx.reply) {
        wait_or_null(cx, &request, None);
    }
    Ok(())
}

/// Lets others know before very many entries are delivered.
fn expect_delivery(cx: &Context<'_>, key: &HashedKey<'_>, request: &Request<'_>, from: From) {
    /// Work of delivering an entry, in the units of `Access::work`.
    const UNITS: usize = 2 * ENTRY_WORK;
    /// So many entries are delivered without a word.
    const FEW: usize = 4096;
    let Some((name, consumer)) = request.member.filter(|_| request.count > FEW) else { return };
    let stream = cx.keys.peek(key).and_then(|record| collection::of_record::<Owned<Stream>>(record).ok());
    let Some((stream, group)) = stream.and_then(|stream| Some((stream, stream.group(name)?))) else { return };
    let pending = || group.find(consumer).map_or(0, |index| group.consumer(index).pending_count());
    let most = match from {
        From::Pending(_) => pending(),
        From::New => {
            let start = group.last_id.next().unwrap_or(StreamId::MAX);
            match stream.range(start, StreamId::MAX).nth(FEW) {
                Some(_) => stream.len(),
                None => 0,
            }
        }
    };
    cx.keys.expect(most.min(request.count) * UNITS);
}

/// Enters into the journal what a consumer has read. `no_ack` tells of new entries whether they are not
/// pending; it is `None` for entries that were delivered before.
fn enter_read(cx: &Context<'_>, member: Member<'_>, is_new: bool, ids: &[StreamId], no_ack: Option<bool>) {
    if is_new {
        member.enter_new(cx);
    }
    if no_ack != Some(true) {
        member.enter_pending(cx, ids);
    }
    if no_ack.is_some() && !ids.is_empty() {
        member.enter_progress(cx);
    }
    if !is_new && ids.is_empty() {
        // Nothing but the time when the consumer was seen has changed.
        cx.changes.enter_nothing();
    }
}

/// Delivers entries that no consumer of the group had. Returns their ids.
fn read_new(
    stream: &mut Stream,
    request: &Request<'_>,
    now_ms: i64,
    key: &[u8],
    streams: &mut Streams,
    reply: &mut Reply<'_>,
) -> Vec<StreamId> {
    let Some((name, consumer)) = request.member else { return Vec::new() };
    let Some(start) = stream.group(name).and_then(|group| group.last_id.next()) else { return Vec::new() };
    let mut entries = stream.range(start, StreamId::MAX).take(request.count).peekable();
    if entries.peek().is_none() {
        return Vec::new();
    }
    streams.begin_one(reply, key);
    let begun = reply.begin_array();
    let mut ids = Vec::new();
    for entry in entries {
        write_entry(reply, &entry);
        ids.push(entry.id);
    }
    reply.end_array(begun, ids.len());
    let progress = stream.progress();
    let Some(group) = stream.group_mut(name) else { return ids };
    if request.no_ack {
        ids.iter().for_each(|&id| progress.advance(group, id));
    } else if let Some(consumer) = group.find(consumer) {
        progress.deliver(group, consumer, &ids, now_ms);
    }
    ids
}

/// Delivers again the entries pending with a consumer. Returns the ids of those that are still in the stream.
fn read_pending(
    stream: &mut Stream,
    request: &Request<'_>,
    behind: StreamId,
    now_ms: i64,
    reply: &mut Reply<'_>,
) -> Vec<StreamId> {
    let Some((name, consumer)) = request.member else { return Vec::new() };
    let Some(group) = stream.group(name) else { return Vec::new() };
    let Some(index) = group.find(consumer) else { return Vec::new() };
    let begun = reply.begin_array();
    let (mut count, mut ids) = (0, Vec::new());
    let pending = behind.next().map(|start| group.consumer(index).pending_from(start));
    let mut lookup = stream.lookup();
    for id in pending.into_iter().flatten().take(request.count) {
        match lookup.get(id) {
            Some(entry) => {
                write_entry(reply, &entry);
                ids.push(id);
            }
            None => {
                // The entry was deleted from the stream, but is still pending.
                reply.array(2);
                reply.bulk(&id.text());
                reply.null_array();
            }
        }
        count += 1;
    }
    reply.end_array(begun, count);
    let Some(group) = stream.group_mut(name) else { return ids };
    for id in &ids {
        if let Some(pending) = group.pending_mut(*id) {
            pending.delivered_at_ms = now_ms;
            pending.deliveries = pending.deliveries.saturating_add(1);
        }
    }
    ids
}
