//! KVARTS PREFIXES: keys, bytes, accesses and expiries by what keys begin with.

use std::collections::HashMap;

use crate::command::args;
use crate::engine::context::Context;
use crate::engine::key_report::{Prefixes, Sums, may_be_told};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::sizes::Sizes;
use crate::primitives::number::parse_i64;

const NOT_KEPT: &str = "ERR sizes of keys are not kept: CONFIG SET key-sizes yes has the server keep them";
const NOT_KNOWN: &str =
    "ERR sizes of keys are not known yet: key-sizes was switched on a moment ago, and all keys are looked at";

/// Prefixes that are returned unless told otherwise, and at most.
const COUNT: usize = 100;
const COUNT_MAX: usize = 10_000;

/// Parts of a key that a prefix has at most.
const DEPTH_MAX: usize = 16;

/// Whether sizes can be told.
///
/// # Errors
/// Why not.
pub(super) fn expect_sizes(sizes: &Sizes) -> CommandResult {
    if !sizes.is_wanted() {
        return Err(CommandError::text(NOT_KEPT));
    }
    if sizes.are_known() { Ok(()) } else { Err(CommandError::text(NOT_KNOWN)) }
}

/// Reads a COUNT.
pub(super) fn count_of(value: &[u8], most: usize) -> Result<usize, CommandError> {
    let count = parse_i64(value).and_then(|count| usize::try_from(count).ok());
    count
        .filter(|count| (1..=most).contains(count))
        .ok_or_else(|| CommandError::new(format!("ERR COUNT must be between 1 and {most}")))
}

/// The numbers of the databases by their physical ones.
pub(super) fn numbers(cx: &Context<'_>) -> HashMap<u16, usize> {
    cx.keys.numbers_by_physical()
}

pub(super) fn prefixes(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (mut count, mut depth, mut separator) = (COUNT, 1, &b":"[..]);
    let mut index = 2;
    while let Some(word) = arguments.get(index) {
        let value = args::value_of(arguments, index)?;
        if args::is(word, "COUNT") {
            count = count_of(value, COUNT_MAX)?;
        } else if args::is(word, "DEPTH") {
            let wanted = parse_i64(value).and_then(|depth| usize::try_from(depth).ok());
            depth = wanted
                .filter(|depth| (1..=DEPTH_MAX).contains(depth))
                .ok_or(CommandError::text("ERR DEPTH must be between 1 and 16"))?;
        } else if args::is(word, "SEPARATOR") {
            separator = value;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 2;
    }
    if separator.is_empty() {
        return Err(CommandError::text("ERR SEPARATOR must not be empty"));
    }
    expect_sizes(&cx.keys.keyspace.sizes)?;
    cx.keys.expect(cx.keys.keyspace.sizes.known_max())?;
    cx.keys.measure_stale();
    let (number, now_ms) = (cx.keys.database, cx.keys.now_ms);
    let mut selected = numbers(cx);
    selected.retain(|_, other| *other == number);
    let readable = cx.server.readable_keys(cx.client, cx.command, arguments);
    let may_be_told = |number, key: &[u8]| may_be_told(&readable, number, key);
    let mut all = cx.server.prefix_sums(&selected, (separator, depth), now_ms, may_be_told);
    reply(cx, all.remove(&number).unwrap_or_default(), count);
    Ok(())
}

fn reply(cx: &mut Context<'_>, all: Prefixes, count: usize) {
    let mut all: Vec<(Box<[u8]>, Sums)> = all.into_iter().collect();
    all.sort_unstable_by(|(first_key, first), (second_key, second)| {
        second.bytes.cmp(&first.bytes).then_with(|| first_key.cmp(second_key))
    });
    all.truncate(count);
    let reply = &mut cx.reply;
    reply.array(all.len());
    for (prefix, sums) in all {
        reply.map(7);
        reply.bulk(b"prefix");
        reply.bulk(&prefix);
        reply.bulk(b"keys");
        reply.int(sums.keys as i64);
        reply.bulk(b"keys-error");
        reply.int(sums.keys_error() as i64);
        reply.bulk(b"bytes");
        reply.int(sums.bytes as i64);
        reply.bulk(b"bytes-error");
        reply.int(sums.bytes_error() as i64);
        reply.bulk(b"accesses-per-second");
        reply.int(sums.accesses as i64);
        reply.bulk(b"expired-per-second");
        reply.int(sums.expired as i64);
    }
}
