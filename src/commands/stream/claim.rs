//! XCLAIM and XAUTOCLAIM: taking over entries that are pending with other consumers.

use crate::command::{Flags, Group as CommandGroup, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::stream::entered::Member;
use crate::commands::stream::entries::{STREAM, UPDATE, id, range_start, write_entry};
use crate::commands::stream::group::{no_key_or_group, now_ms};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::parse_i64;
use crate::primitives::thin::Owned;
use crate::types::stream::group::{ConsumerIndex, Pending, RELEASES_MAX};
use crate::types::stream::{Group, Stream, StreamId};

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xclaim",
        arity: -6,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: UPDATE,
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Gives pending entries that were idle for long enough to another consumer.",
        syntax: "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        since: "5.0.0",
        complexity: "O(log(P)) for each id, P being the number of pending entries",
        reply: "an array of the entries, or of their ids",
        run: xclaim,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "xautoclaim",
        arity: -6,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)],
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Finds pending entries that were idle for long enough and gives them to a consumer.",
        syntax: "key group consumer min-idle-time start:string [COUNT count] [JUSTID]",
        since: "6.2.0",
        complexity: "O(COUNT)",
        reply: "an id to go on from, an array of the entries, an array of the ids that are no longer there",
        run: xautoclaim,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
];

/// Finds or adds a consumer of a group and notes that it was seen now. Returns whether it was added.
pub(super) fn seen_consumer(group: &mut Group, name: &[u8], now_ms: i64) -> (ConsumerIndex, bool) {
    match group.find(name) {
        Some(consumer) => {
            group.consumer_mut(consumer).seen_at_ms = now_ms;
            (consumer, false)
        }
        None => (group.add_consumer(name, now_ms), true),
    }
}

/// The options of XCLAIM.
#[derive(Debug, Default)]
struct Claim {
    min_idle_ms: i64,
    ids: Vec<StreamId>,
    delivered_at_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_ids: bool,
    last_id: StreamId,
}

impl Claim {
    fn parse(arguments: &[&[u8]], now_ms: i64) -> Result<Self, CommandError> {
        let min_idle_ms = parse_i64(arguments[4])
            .ok_or(CommandError::text("ERR Invalid min-idle-time argument for XCLAIM"))?;
        let mut claim = Self { min_idle_ms: min_idle_ms.max(0), ..Self::default() };
        let mut options = &arguments[5..];
        while let [word, rest @ ..] = options
            && let Some(id) = StreamId::parse(word, 0)
        {
            claim.ids.push(id);
            options = rest;
        }
        while let [word, rest @ ..] = options {
            options = rest;
            if args::is(word, "FORCE") {
                claim.force = true;
            } else if args::is(word, "JUSTID") {
                claim.just_ids = true;
            } else if let [value, rest @ ..] = rest {
                options = rest;
                let int = |name: &str| {
                    let wrong =
                        || CommandError::new(format!("ERR Invalid {name} option argument for XCLAIM"));
                    parse_i64(value).ok_or_else(wrong)
                };
                if args::is(word, "IDLE") {
                    claim.delivered_at_ms = Some(now_ms.wrapping_sub(int("IDLE")?));
                } else if args::is(word, "TIME") {
                    claim.delivered_at_ms = Some(int("TIME")?);
                } else if args::is(word, "RETRYCOUNT") {
                    claim.deliveries = u64::try_from(int("RETRYCOUNT")?).ok();
                } else if args::is(word, "LASTID") {
                    claim.last_id = id(value)?;
                } else {
                    return Err(unknown_option(word));
                }
            } else {
                return Err(unknown_option(word));
            }
        }
        // A time in the future or before 1970 counts as now: clients compute it by their own clocks.
        claim.delivered_at_ms = claim.delivered_at_ms.filter(|at_ms| (0..=now_ms).contains(at_ms));
        Ok(claim)
    }
}

fn unknown_option(word: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unrecognized XCLAIM option '{}'", args::text(word)))
}

/// The stream of a command that needs one of its groups.
fn stream_with_group<'c>(
    cx: &'c mut Context<'_>,
    key: &HashedKey<'_>,
    group: &[u8],
) -> Result<&'c mut Stream, CommandError> {
    let bytes = key.bytes;
    collection::write::<Owned<Stream>>(&mut cx.keys, key)?
        .filter(|stream| stream.group(group).is_some())
        .map(|stream| &mut **stream)
        .ok_or_else(|| no_key_or_group(bytes, group))
}

fn xclaim(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let now_ms = now_ms(cx);
    let name = arguments[2];
    stream_with_group(cx, &key, name)?;
    let claim = Claim::parse(arguments, now_ms)?;
    let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else { return Ok(()) };
    let Some(group) = stream.group_mut(name) else { return Ok(()) };
    let mut dirty = u64::from(claim.last_id > group.last_id);
    group.last_id = group.last_id.max(claim.last_id);
    // So entries that were given back come from files and primaries.
    let is_release = arguments[3].is_empty()
        && claim.force
        && claim.delivered_at_ms.is_some_and(|order| order < RELEASES_MAX);
    let (consumer, is_new) =
        if is_release { (group.nobody(), false) } else { seen_consumer(group, arguments[3], now_ms) };
    let begun = cx.reply.begin_array();
    let mut count = 0;
    let (mut claimed, mut lost) = (Vec::new(), Vec::new());
    for &id in &claim.ids {
        if !stream.contains(id) {
            // An entry that was deleted from the stream is no longer pending.
            if stream.group_mut(name).is_some_and(|group| group.acknowledge(id)) {
                dirty += 1;
                lost.push(id);
            }
            continue;
        }
        let Some(group) = stream.group_mut(name) else { break };
        let before = group.pending(id).copied();
        let idle_enough = |pending: &Pending| {
            claim.min_idle_ms == 0 || now_ms.saturating_sub(pending.delivered_at_ms) >= claim.min_idle_ms
        };
        let deliveries = match before {
            None if !claim.force => continue,
            None => 1,
            Some(pending) if !idle_enough(&pending) => continue,
            Some(pending) => pending.deliveries,
        };
        let deliveries = match claim.deliveries {
            Some(deliveries) => deliveries,
            None => deliveries.saturating_add(u64::from(!claim.just_ids)),
        };
        let delivered_at_ms = claim.delivered_at_ms.unwrap_or(now_ms);
        group.assign(id, Pending { consumer, delivered_at_ms, deliveries });
        if !is_release {
            group.consumer_mut(consumer).active_at_ms = now_ms;
        }
        claimed.push(id);
        if claim.just_ids {
            cx.reply.bulk(&id.text());
        } else if let Some(entry) = stream.get(id) {
            write_entry(&mut cx.reply, &entry);
        }
        count += 1;
    }
    cx.reply.end_array(begun, count);
    let member = Member { key: &key, group: name, consumer: arguments[3] };
    enter_claim(cx, member, is_new, &claimed, &lost);
    if cx.is_journaled() && dirty > 0 {
        member.enter_progress(cx);
    }
    tell_new_consumer(cx, &key, is_new);
    if count > 0 && (claim.force || claim.delivered_at_ms.is_some()) {
        // Clients that wait to claim may do so sooner, or something at all.
        cx.serve_waiting_for(&key);
    }
    cx.dirty += dirty + count as u64;
    Ok(())
}

/// Enters into the journal what a claim has changed.
fn enter_claim(cx: &Context<'_>, member: Member<'_>, is_new: bool, claimed: &[StreamId], lost: &[StreamId]) {
    if cx.is_journaled() {
        is_new.then(|| member.enter_new(cx));
        member.enter_pending(cx, claimed);
        member.enter_acknowledged(cx, lost);
    }
}

/// Tells the event of a consumer that a command added by the way.
pub(super) fn tell_new_consumer(cx: &mut Context<'_>, key: &HashedKey<'_>, is_new: bool) {
    if is_new {
        cx.noted(key, EventClass::STREAM, "xgroup-createconsumer");
    }
}

/// Reads the options of XAUTOCLAIM: number of entries, and whether only ids are wanted.
fn auto_options(arguments: &[&[u8]]) -> Result<(usize, bool), CommandError> {
    const DEFAULT_COUNT: usize = 100;
    let (mut count, mut just_ids) = (DEFAULT_COUNT, false);
    let mut options = &arguments[6..];
    while let [word, rest @ ..] = options {
        options = rest;
        if let (true, [value, rest @ ..]) = (args::is(word, "COUNT"), rest) {
            const MAX: i64 = i64::MAX / 16;
            let wanted = parse_i64(value).filter(|count| (1..=MAX).contains(count));
            count = wanted.ok_or(CommandError::text("ERR COUNT must be > 0"))? as usize;
            options = rest;
        } else if args::is(word, "JUSTID") {
            just_ids = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((count, just_ids))
}

fn xautoclaim(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let min_idle_ms = parse_i64(arguments[4])
        .ok_or(CommandError::text("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?
        .max(0);
    let start = range_start(arguments[5])?;
    let (count, just_ids) = auto_options(arguments)?;
    let key = cx.key(arguments, 1);
    let now_ms = now_ms(cx);
    let name = arguments[2];
    stream_with_group(cx, &key, name)?;
    // Each that is asked for may cost a look at ten.
    cx.keys.expect_elements(&key, count.saturating_mul(10), 5)?;
    let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else { return Ok(()) };
    let Some(group) = stream.group_mut(name) else { return Ok(()) };
    let (consumer, is_new) = seen_consumer(group, arguments[3], now_ms);
    let Found { claimed, lost, next } = find(stream, name, start, count, |pending| {
        min_idle_ms == 0 || now_ms.saturating_sub(pending.delivered_at_ms) >= min_idle_ms
    });
    let reply = &mut cx.reply;
    reply.array(3);
    reply.bulk(&next.text());
    reply.array(claimed.len());
    let mut lookup = stream.lookup();
    for (id, _) in &claimed {
        match lookup.get(*id) {
            Some(entry) if !just_ids => write_entry(reply, &entry),
            _ => reply.bulk(&id.text()),
        }
    }
    reply.array(lost.len());
    lost.iter().for_each(|id| reply.bulk(&id.text()));
    if let Some(group) = stream.group_mut(name) {
        for (id, before) in &claimed {
            let deliveries = before.deliveries.saturating_add(u64::from(!just_ids));
            group.assign(*id, Pending { consumer, delivered_at_ms: now_ms, deliveries });
        }
        for id in &lost {
            group.acknowledge(*id);
        }
        if !claimed.is_empty() {
            group.consumer_mut(consumer).active_at_ms = now_ms;
        }
    }
    let ids: Vec<StreamId> = claimed.iter().map(|(id, _)| *id).collect();
    let member = Member { key: &key, group: name, consumer: arguments[3] };
    enter_claim(cx, member, is_new, &ids, &lost);
    tell_new_consumer(cx, &key, is_new);
    cx.dirty += (claimed.len() + lost.len()) as u64;
    Ok(())
}

/// What XAUTOCLAIM finds.
#[derive(Debug, Default)]
struct Found {
    /// Entries to take over.
    claimed: Vec<(StreamId, Pending)>,
    /// Pending ids that are no longer in the stream.
    lost: Vec<StreamId>,
    /// Id to go on from; 0-0 at the end.
    next: StreamId,
}

fn find(
    stream: &Stream,
    name: &[u8],
    start: StreamId,
    count: usize,
    is_idle: impl Fn(&Pending) -> bool,
) -> Found {
    /// Pending entries looked at for each one asked for.
    const LOOKS: usize = 10;
    let mut found = Found::default();
    let Some(group) = stream.group(name) else { return found };
    let mut lookup = stream.lookup();
    for (looked, (id, pending)) in group.pending_range(start, StreamId::MAX).enumerate() {
        // Lost entries count too: the count limits the reply.
        if looked == count.saturating_mul(LOOKS) || found.claimed.len() + found.lost.len() == count {
            found.next = id;
            break;
        }
        if lookup.get(id).is_none() {
            found.lost.push(id);
        } else if is_idle(pending) {
            found.claimed.push((id, *pending));
        }
    }
    found
}
