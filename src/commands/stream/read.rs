//! XREAD, and XREADGROUP for the consumers of a group: reading entries behind an id, and waiting for new
//! ones.

use std::ops::Range;

use crate::command::keys::{KeyPosition, KeyPositions};
use crate::command::request::OwnedRequest;
use crate::command::{Begin, Find, Flags, Group as CommandGroup, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::stream::budget::{Budget, Limits};
use crate::commands::stream::claim::{seen_consumer, tell_new_consumer};
use crate::commands::stream::entered::Member;
use crate::commands::stream::entries::{
    ENTRY_WORK, LONG_RANGE, STREAM, id, write_entry, write_id_and_fields,
};
use crate::commands::stream::group::now_ms;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::NoRoom;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::parse_i64;
use crate::primitives::thin::Owned;
use crate::resp::encode::{Deferred, Reply};
use crate::shared::waiter::{EmptyReply, WaitFor};
use crate::types::stream::group::Pending;
use crate::types::stream::{Entry, Stream, StreamId};

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
        syntax: "[COUNT count] [MAXCOUNT maxcount:integer] [MAXSIZE maxsize:integer] [BLOCK milliseconds] STREAMS(key [key ...] id [id ...])",
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
        syntax: "GROUP(group consumer) [COUNT count] [MAXCOUNT maxcount:integer] [MAXSIZE maxsize:integer] [BLOCK milliseconds] [CLAIM min-idle-time:integer] [NOACK] STREAMS(key [key ...] id [id ...])",
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
    limits: Limits,
    /// CLAIM: entries that were pending for so many milliseconds are delivered as well.
    claim_idle_ms: Option<i64>,
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
        let mut request = Self {
            limits: Limits::default(),
            claim_idle_ms: None,
            wait_until_ms: None,
            no_ack: false,
            member: None,
            keys: 0..0,
        };
        let mut at = 1;
        while let Some(word) = arguments.get(at) {
            let more = arguments.len() - at - 1;
            if args::is(word, "BLOCK") && more > 0 {
                request.wait_until_ms = Some(args::wait_milliseconds(arguments[at + 1], now_ms)?);
                at += 1;
            } else if args::is(word, "COUNT") && more > 0 {
                let count = usize::try_from(args::int(arguments[at + 1])?).unwrap_or(0);
                request.limits.count = Some(count).filter(|count| *count > 0);
                at += 1;
            } else if more > 0 && request.limits.parse(word, arguments[at + 1])? {
                at += 1;
            } else if args::is(word, "CLAIM") && more > 0 {
                if !is_group {
                    return Err(CommandError::text(
                        "ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                request.claim_idle_ms = Some(min_idle_ms(arguments[at + 1])?);
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
        request.limits.check()?;
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

/// Reads the time of CLAIM.
fn min_idle_ms(argument: &[u8]) -> Result<i64, CommandError> {
    match parse_i64(argument) {
        None => Err(CommandError::text("ERR min-idle-time is not an integer or out of range")),
        Some(ms) if ms < 0 => Err(CommandError::text("ERR min-idle-time must be a positive integer")),
        Some(ms) => Ok(ms),
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
    let mut streams = Streams::new(&cx.reply, &request.limits);
    for (at, behind) in request.keys.clone().zip(&behind) {
        let key = cx.key(arguments, at);
        let Some(stream) = cx.keys.peek(&key).map(collection::of_record::<Owned<Stream>>).transpose()? else {
            continue;
        };
        let Some(start) = behind.next() else { continue };
        if cx.keys.is_room_scarce() && stream.range(start, StreamId::MAX).nth(LONG_RANGE).is_some() {
            cx.keys.may_take_units(stream.len().min(request.limits.most()) * ENTRY_WORK)?;
        }
        let one = streams.begin_one(&mut cx.reply, key.bytes);
        let mut count = 0;
        for entry in stream.range(start, StreamId::MAX) {
            if !streams.budget.add(&mut cx.reply, |reply| write_entry(reply, &entry)) {
                break;
            }
            cx.keys.work(ENTRY_WORK);
            count += 1;
        }
        streams.end_one(&mut cx.reply, one, count, false);
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
    wait_or_null(cx, &request, None, Some(OwnedRequest::new(&resolved)));
    Ok(())
}

/// The id before the stream's last one, so that reading behind it returns the last entry, if it still exists
/// (`+`).
fn before_last(stream: Option<&Stream>) -> StreamId {
    stream.and_then(|stream| stream.last_id().previous()).unwrap_or(StreamId::MIN)
}

/// Nothing was found: makes the client wait if it asked for that, else replies null.
fn wait_or_null(
    cx: &mut Context<'_>,
    request: &Request<'_>,
    retry_at_ms: Option<u64>,
    resolved: Option<OwnedRequest>,
) {
    match request.wait_until_ms {
        None => cx.reply.null_array(),
        Some(until_ms) => cx.wait_for(WaitFor {
            keys: request.keys.clone(),
            type_name: "stream",
            wants_loss: request.member.is_some(),
            until_ms,
            retry_at_ms,
            acks: None,
            nothing: EmptyReply::NullArray,
            request: resolved,
        }),
    }
}

/// The streams of a reply, whose number is known only at its end.
struct Streams {
    begun: Option<Deferred>,
    count: usize,
    budget: Budget,
}

/// A stream of a reply, while its entries are written.
struct One {
    /// Where its name begins.
    position: usize,
    entries: Deferred,
}

impl Streams {
    fn new(reply: &Reply<'_>, limits: &Limits) -> Self {
        Self { begun: None, count: 0, budget: limits.budget(reply) }
    }

    /// Writes the name of a further stream; its entries follow.
    fn begin_one(&mut self, reply: &mut Reply<'_>, name: &[u8]) -> One {
        self.begun.get_or_insert_with(|| reply.begin_array());
        self.budget.begin_stream();
        let position = reply.position();
        if !reply.is_resp3() {
            reply.array(2);
        }
        reply.bulk(name);
        One { position, entries: reply.begin_array() }
    }

    /// Ends a stream that has got so many entries. Without any it is taken back unless it is to be shown.
    fn end_one(&mut self, reply: &mut Reply<'_>, one: One, count: usize, is_shown: bool) {
        if count == 0 && !is_shown {
            return reply.truncate(one.position);
        }
        reply.end_array(one.entries, count);
        self.count += 1;
    }

    /// Writes the head. Returns whether there was any stream.
    fn finish(self, reply: &mut Reply<'_>) -> bool {
        let Some(begun) = self.begun.filter(|_| self.count > 0) else { return false };
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
    for (at, from) in request.keys.clone().zip(&froms) {
        expect_delivery(cx, &cx.key(arguments, at), &request, *from)?;
    }
    let mut streams = Streams::new(&cx.reply, &request.limits);
    for (at, from) in request.keys.clone().zip(froms) {
        let key = cx.key(arguments, at);
        let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else { continue };
        let Some(is_new) = stream.group_mut(group).map(|group| seen_consumer(group, consumer, now_ms).1)
        else {
            continue;
        };
        let one = streams.begin_one(&mut cx.reply, key.bytes);
        let out = (&mut streams.budget, &mut cx.reply);
        let Delivered { claimed, new: ids, shown } = match from {
            From::New => read_new(stream, &request, now_ms, out),
            From::Pending(behind) => read_pending(stream, &request, behind, now_ms, out),
        };
        let is_shown = from != From::New && !streams.budget.is_used_up();
        streams.end_one(&mut cx.reply, one, shown, is_shown);
        // Counts as one change, however many entries there were.
        cx.dirty += u64::from(!claimed.is_empty() || !ids.is_empty() || from != From::New);
        if cx.is_journaled() {
            let member = Member { key: &key, group, consumer };
            member.enter_pending(cx, &claimed);
            let no_ack = (from == From::New).then_some(request.no_ack);
            enter_read(cx, member, is_new, (&ids, claimed.len()), no_ack);
        }
        tell_new_consumer(cx, &key, is_new);
    }
    if !streams.finish(&mut cx.reply) {
        let claims = request.claim_idle_ms.filter(|_| request.wait_until_ms.is_some());
        let due_ms =
            claims.and_then(|idle_ms| next_claim_ms(cx, arguments, &request, group, idle_ms, now_ms));
        wait_or_null(cx, &request, due_ms, None);
    }
    Ok(())
}

/// Lets others know before very many entries are delivered.
///
/// # Errors
/// There is no room for so much work.
fn expect_delivery(
    cx: &Context<'_>,
    key: &HashedKey<'_>,
    request: &Request<'_>,
    from: From,
) -> Result<(), NoRoom> {
    /// Work of delivering an entry, in the units of `Access::work`.
    const UNITS: usize = 2 * ENTRY_WORK;
    /// So many entries are delivered without a word.
    const FEW: usize = 4096;
    let Some((name, consumer)) = request.member.filter(|_| request.limits.most() > FEW) else {
        return Ok(());
    };
    let stream = cx.keys.peek(key).and_then(|record| collection::of_record::<Owned<Stream>>(record).ok());
    let Some((stream, group)) = stream.and_then(|stream| Some((stream, stream.group(name)?))) else {
        return Ok(());
    };
    let pending = || group.find(consumer).map_or(0, |index| group.consumer(index).pending_count());
    let most = match from {
        From::Pending(_) => pending(),
        From::New => {
            let start = group.last_id.next().unwrap_or(StreamId::MAX);
            let unread = match stream.range(start, StreamId::MAX).nth(FEW) {
                Some(_) => stream.len(),
                None => 0,
            };
            unread + request.claim_idle_ms.map_or(0, |_| group.pending_count())
        }
    };
    cx.keys.expect(most.min(request.limits.most()) * UNITS)
}

/// Enters into the journal what a consumer has read. `no_ack` tells of new entries whether they are not
/// pending; it is `None` for entries that were delivered before.
fn enter_read(
    cx: &Context<'_>,
    member: Member<'_>,
    is_new: bool,
    (ids, claimed): (&[StreamId], usize),
    no_ack: Option<bool>,
) {
    if is_new {
        member.enter_new(cx);
    }
    if no_ack != Some(true) {
        member.enter_pending(cx, ids);
    }
    if no_ack.is_some() && !ids.is_empty() {
        member.enter_progress(cx);
    }
    if !is_new && ids.is_empty() && claimed == 0 {
        // Nothing but the time when the consumer was seen has changed.
        cx.changes.enter_nothing();
    }
}

/// What a consumer got from a stream.
#[derive(Default)]
struct Delivered {
    /// Entries that were pending for long.
    claimed: Vec<StreamId>,
    /// The other entries that are in the stream.
    new: Vec<StreamId>,
    /// How many are in the reply.
    shown: usize,
}

/// Where entries are written, and how many may be.
type Out<'o, 'r> = (&'o mut Budget, &'o mut Reply<'r>);

/// Delivers entries that no consumer of the group had; with CLAIM first those that were pending for long
/// enough, the longest first.
fn read_new(
    stream: &mut Stream,
    request: &Request<'_>,
    now_ms: i64,
    (budget, reply): Out<'_, '_>,
) -> Delivered {
    let mut done = Delivered::default();
    let Some((name, consumer)) = request.member else { return done };
    if let Some(min_idle_ms) = request.claim_idle_ms {
        done.claimed = claim_idle(stream, (name, consumer), min_idle_ms, now_ms, (budget, reply));
    }
    done.shown = done.claimed.len();
    let Some(start) = stream.group(name).and_then(|group| group.last_id.next()) else { return done };
    for entry in stream.range(start, StreamId::MAX) {
        let is_claim = request.claim_idle_ms.is_some();
        let write = |reply: &mut Reply<'_>| match is_claim {
            true => write_claimed(reply, &entry, 0, 0),
            false => write_entry(reply, &entry),
        };
        if !budget.add(reply, write) {
            break;
        }
        done.new.push(entry.id);
    }
    done.shown += done.new.len();
    if done.new.is_empty() {
        return done;
    }
    let progress = stream.progress();
    let Some(group) = stream.group_mut(name) else { return done };
    if request.no_ack {
        done.new.iter().for_each(|&id| progress.advance(group, id));
    } else if let Some(consumer) = group.find(consumer) {
        progress.deliver(group, consumer, &done.new, now_ms);
    }
    done
}

/// Gives a consumer the entries that were pending for so long. Those that were deleted from the stream are left
/// where they are. Returns their ids.
fn claim_idle(
    stream: &mut Stream,
    (name, consumer): (&[u8], &[u8]),
    min_idle_ms: i64,
    now_ms: i64,
    (budget, reply): Out<'_, '_>,
) -> Vec<StreamId> {
    let Some(group) = stream.group_mut(name) else { return Vec::new() };
    group.index_by_time();
    let mut claimed = Vec::new();
    let Some(group) = stream.group(name) else { return claimed };
    for (id, pending) in group.delivered_until(now_ms.saturating_sub(min_idle_ms)) {
        let Some(entry) = stream.get(id) else { continue };
        let idle_ms = now_ms.saturating_sub(group.shown_delivery_ms(pending)).max(0);
        let deliveries = i64::try_from(pending.deliveries).unwrap_or(i64::MAX);
        if !budget.add(reply, |reply| write_claimed(reply, &entry, idle_ms, deliveries)) {
            break;
        }
        claimed.push(id);
    }
    let Some(group) = stream.group_mut(name) else { return claimed };
    let Some(consumer) = group.find(consumer) else { return claimed };
    for &id in &claimed {
        let deliveries = group.pending(id).map_or(0, |pending| pending.deliveries).saturating_add(1);
        group.assign(id, Pending { consumer, delivered_at_ms: now_ms, deliveries });
    }
    if !claimed.is_empty() {
        group.consumer_mut(consumer).active_at_ms = now_ms;
    }
    claimed
}

/// When the next entry that is pending in one of the streams has been so for long enough to be claimed, in
/// milliseconds of Unix time. Entries that were deleted from their stream are never claimed.
fn next_claim_ms(
    cx: &Context<'_>,
    arguments: &[&[u8]],
    request: &Request<'_>,
    group: &[u8],
    idle_ms: i64,
    now_ms: i64,
) -> Option<u64> {
    let of_key = |at: usize| {
        let record = cx.keys.peek(&cx.key(arguments, at))?;
        let stream = collection::of_record::<Owned<Stream>>(record).ok()?;
        let mut later = stream.group(group)?.delivered_after(now_ms.saturating_sub(idle_ms));
        let (_, pending) = later.find(|(id, _)| stream.contains(*id))?;
        u64::try_from(pending.delivered_at_ms.saturating_add(idle_ms)).ok()
    };
    request.keys.clone().filter_map(of_key).min()
}

/// An entry as CLAIM returns it: with how long it was pending and how often it was delivered before.
fn write_claimed(reply: &mut Reply<'_>, entry: &Entry<'_>, idle_ms: i64, deliveries: i64) {
    reply.array(4);
    write_id_and_fields(reply, entry);
    reply.int(idle_ms);
    reply.int(deliveries);
}

/// Delivers again the entries pending with a consumer.
fn read_pending(
    stream: &mut Stream,
    request: &Request<'_>,
    behind: StreamId,
    now_ms: i64,
    (budget, reply): Out<'_, '_>,
) -> Delivered {
    let mut done = Delivered::default();
    let Some((name, consumer)) = request.member else { return done };
    let Some(group) = stream.group(name) else { return done };
    let Some(index) = group.find(consumer) else { return done };
    let pending = behind.next().map(|start| group.consumer(index).pending_from(start));
    let mut lookup = stream.lookup();
    for id in pending.into_iter().flatten() {
        let entry = lookup.get(id);
        let write = |reply: &mut Reply<'_>| match &entry {
            Some(entry) => write_entry(reply, entry),
            None => {
                // The entry was deleted from the stream, but is still pending.
                reply.array(2);
                reply.bulk(&id.text());
                reply.null_array();
            }
        };
        if !budget.add(reply, write) {
            break;
        }
        done.shown += 1;
        done.new.extend(entry.map(|entry| entry.id));
    }
    let Some(group) = stream.group_mut(name) else { return done };
    for id in &done.new {
        group.deliver_again(*id, now_ms);
    }
    done
}
