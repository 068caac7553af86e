//! KVARTS PREFIXES: keys, bytes, accesses and expiries by what keys begin with.

use std::collections::HashMap;

use memchr::memmem;

use crate::command::args;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::primitives::number::parse_i64;

pub(super) const NOT_KEPT: &str =
    "ERR sizes of keys are not kept: the server has to be started with key-sizes yes";

/// Prefixes that are returned unless told otherwise, and at most.
const COUNT: usize = 100;
const COUNT_MAX: usize = 10_000;

/// Parts of a key that a prefix has at most.
const DEPTH_MAX: usize = 16;

/// What is known of the keys with one prefix.
#[derive(Default)]
struct Sums {
    keys: u64,
    bytes: u64,
    /// Of the squares of the keys' bytes.
    squares: f64,
    accesses: f64,
    expired: f64,
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
    let all = 0..cx.keys.keyspace.database_count();
    all.filter_map(|number| Some((cx.keys.physical(number)?.physical_number(), number))).collect()
}

/// The beginning of a key up to and with its `depth`th separator; with fewer of them up to the last one.
fn prefix_of<'k>(key: &'k [u8], separator: &memmem::Finder<'_>, depth: usize) -> &'k [u8] {
    let ends = separator.find_iter(key).take(depth).map(|at| at + separator.needle().len());
    &key[..ends.last().unwrap_or(0)]
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
    if !cx.keys.keyspace.sizes.is_on() {
        return Err(CommandError::text(NOT_KEPT));
    }
    cx.keys.expect(cx.keys.keyspace.sizes.known_max());
    let all = sums(cx, &memmem::Finder::new(separator), depth);
    reply(cx, all, count);
    Ok(())
}

/// Adds up what is known of the selected database.
fn sums(
    cx: &Context<'_>,
    separator: &memmem::Finder<'_>,
    depth: usize,
) -> HashMap<Box<[u8]>, Sums, foldhash::fast::RandomState> {
    let mut all: HashMap<Box<[u8]>, Sums, foldhash::fast::RandomState> = HashMap::default();
    let mut add = |key: &[u8], change: &dyn Fn(&mut Sums)| {
        let prefix = prefix_of(key, separator, depth);
        match all.get_mut(prefix) {
            Some(sums) => change(sums),
            None => change(all.entry(prefix.into()).or_default()),
        }
    };
    let (server, number, now_ms) = (cx.server, cx.keys.database, cx.keys.now_ms);
    let sizes = &cx.keys.keyspace.sizes;
    let physical = cx.keys.physical(number).map(|database| database.physical_number());
    sizes.for_each(|key, size, is_sampled| {
        if is_sampled && Some(size.physical) == physical {
            add(key, &|sums| {
                sums.keys += 1;
                sums.bytes += size.bytes;
                sums.squares += (size.bytes as f64).powi(2);
            });
        }
    });
    let share = server.hot_keys.sampler.probability();
    server
        .hot_keys
        .recent
        .for_each(number, now_ms, |key, rate| add(key, &|sums| sums.accesses += rate / share));
    let scale = sizes.scale() as f64;
    sizes.expired.for_each(number, now_ms, |key, rate| add(key, &|sums| sums.expired += rate * scale));
    all
}

fn reply(cx: &mut Context<'_>, all: HashMap<Box<[u8]>, Sums, foldhash::fast::RandomState>, count: usize) {
    let scale = cx.keys.keyspace.sizes.scale();
    // One key in `scale` is known, each with the same chance: the variance of what is told of all of them.
    let error = |squares: f64| (squares * (scale * (scale - 1)) as f64).sqrt().ceil() as i64;
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
        reply.int((sums.keys * scale) as i64);
        reply.bulk(b"keys-error");
        reply.int(error(sums.keys as f64));
        reply.bulk(b"bytes");
        reply.int(sums.bytes.saturating_mul(scale) as i64);
        reply.bulk(b"bytes-error");
        reply.int(error(sums.squares));
        reply.bulk(b"accesses-per-second");
        reply.int(sums.accesses.round() as i64);
        reply.bulk(b"expired-per-second");
        reply.int(sums.expired.round() as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_behind_separators() {
        let of = |key: &'static str, separator: &str, depth| {
            let finder = memmem::Finder::new(separator);
            std::str::from_utf8(prefix_of(key.as_bytes(), &finder, depth)).expect("text").to_owned()
        };
        assert_eq!(of("user:12:name", ":", 1), "user:");
        assert_eq!(of("user:12:name", ":", 2), "user:12:");
        assert_eq!(of("user:12:name", ":", 9), "user:12:");
        assert_eq!((of("user", ":", 1), of("", ":", 3)), (String::new(), String::new()));
        assert_eq!((of("a--b--c", "--", 2), of("::x", ":", 1)), ("a--b--".to_owned(), ":".to_owned()));
    }
}
