//! Hash fields in the server's order: HRANDFIELD and HSCAN.

use crate::command::{Category, Flags, Group, KeySpec};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::CommandResult;
use crate::resp::encode::Reply;
use crate::types::hash::Hash;

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hrandfield",
        arity: -2,
        flags: Flags::READONLY,
        keys: READ,
        categories: &[Category::Hash],
        group: Group::Hash,
        summary: "Returns fields of a hash chosen at random; a negative count may repeat them.",
        syntax: "key [count [WITHVALUES]]",
        since: "6.2.0",
        complexity: "O(N) where N is the count",
        reply: "a field or null; with a count an array of fields, with their values if wanted",
        run: hrandfield,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "hscan",
        arity: -3,
        flags: Flags::READONLY,
        keys: READ,
        categories: &[Category::Hash],
        group: Group::Hash,
        summary: "Walks over the fields of a hash and their values, some at each call.",
        syntax: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for a whole walk",
        reply: "the next cursor and an array of fields and values",
        run: hscan,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
];

fn hrandfield(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let (count, with_values) = collection::random_options(&arguments[2..], "WITHVALUES")?;
    let now_ms = cx.keys.ended_ms;
    let Some(hash) = collection::read::<Hash>(&cx.keys, &key)? else {
        collection::write_none_at_random(cx, &key, count);
        return Ok(());
    };
    let mut rng = fastrand::Rng::new();
    let Some(count) = count else {
        cx.reply.bulk_or_null(hash.random(&mut rng, now_ms).map(|(field, _)| field).as_deref());
        return Ok(());
    };
    let there = hash.live_len(now_ms);
    if count >= 0 {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(there);
        cx.keys.expect(count * collection::RANDOM_WORK)?;
        write_head(&mut cx.reply, count, with_values);
        hash.random_distinct(count, &mut rng, now_ms, |field, value| {
            write_field(&mut cx.reply, field, with_values.then_some(value));
        });
        return Ok(());
    }
    let count = if there == 0 { 0 } else { count.unsigned_abs() };
    write_head(&mut cx.reply, count as usize, with_values);
    collection::repeat(&cx.keys, &mut cx.reply, count, |reply| {
        if let Some((field, value)) = hash.random(&mut rng, now_ms) {
            write_field(reply, &field, with_values.then_some(&value));
        }
    })
}

/// Writes the head of the reply: with values RESP3 has an array of pairs, RESP2 one array of all.
fn write_head(reply: &mut Reply<'_>, count: usize, with_values: bool) {
    reply.array(if with_values && !reply.is_resp3() { count * 2 } else { count });
}

fn write_field(reply: &mut Reply<'_>, field: &[u8], value: Option<&[u8]>) {
    if value.is_some() && reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(field);
    if let Some(value) = value {
        reply.bulk(value);
    }
}

fn hscan(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let now_ms = cx.keys.ended_ms;
    collection::scan::<Hash>(cx, arguments, true, |hash, cursor, options, reply| {
        let mut count = 0;
        let next = hash.scan(cursor, options.count, now_ms, |field, value| {
            if options.matches(field) {
                reply.bulk(field);
                count += 1;
                if !options.no_values {
                    reply.bulk(value);
                    count += 1;
                }
            }
        });
        (next, count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Version;

    #[test]
    fn pairs_are_nested_in_resp3_only() {
        let written = |version, value| {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, version);
            write_head(&mut reply, 1, value);
            write_field(&mut reply, b"f", value.then_some(b"v"));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Version::Resp2, false), "*1\r\n$1\r\nf\r\n");
        assert_eq!(written(Version::Resp2, true), "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
        assert_eq!(written(Version::Resp3, false), "*1\r\n$1\r\nf\r\n");
        assert_eq!(written(Version::Resp3, true), "*1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    }
}
