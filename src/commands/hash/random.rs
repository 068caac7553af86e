//! Hash fields in no order of the client's: HRANDFIELD and HSCAN.

use crate::command::{Category, Command, Flags, Group, KeySpec, args};
use crate::commands::shared::collection;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::resp::encode::Reply;
use crate::types::hash::Hash;

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];

/// The entries.
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

/// The largest count with values, which are twice as many replies (Redis's rule).
const PAIRS_MAX: i64 = i64::MAX / 2;

fn hrandfield(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let (count, with_values) = options(&arguments[2..])?;
    let now_ms = cx.keys.ended_ms;
    let Some(hash) = collection::read::<Hash>(&cx.keys, &key)? else {
        cx.missed(&key);
        match count {
            Some(_) => cx.reply.array(0),
            None => cx.reply.null(),
        }
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
        write_head(&mut cx.reply, count, with_values);
        hash.random_distinct(count, &mut rng, now_ms, |field, value| {
            write_field(&mut cx.reply, field, with_values.then_some(value));
        });
        return Ok(());
    }
    let count = if there == 0 { 0 } else { count.unsigned_abs() };
    write_head(&mut cx.reply, count as usize, with_values);
    collection::repeat(&mut cx.reply, count, |reply| {
        if let Some((field, value)) = hash.random(&mut rng, now_ms) {
            write_field(reply, &field, with_values.then_some(&value));
        }
    })
}

fn options(words: &[&[u8]]) -> Result<(Option<i64>, bool), CommandError> {
    let Some((count, words)) = words.split_first() else { return Ok((None, false)) };
    let count = collection::signed_count(count)?;
    match words {
        [] => Ok((Some(count), false)),
        [word] if args::is(word, "WITHVALUES") => {
            if count.unsigned_abs() > PAIRS_MAX.unsigned_abs() {
                return Err(CommandError::OutOfRange);
            }
            Ok((Some(count), true))
        }
        _ => Err(CommandError::Syntax),
    }
}

/// With values, RESP3 has an array of pairs and RESP2 one array of all.
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
    fn options_are_checked_in_redis_order() {
        let parse = |text: &'static str| {
            options(&text.split_ascii_whitespace().map(str::as_bytes).collect::<Vec<_>>())
        };
        assert_eq!(parse(""), Ok((None, false)));
        assert_eq!(parse("-3"), Ok((Some(-3), false)));
        assert_eq!(parse("3 withValues"), Ok((Some(3), true)));
        assert_eq!(parse("x foo"), Err(CommandError::NotAnInteger));
        assert_eq!(parse("3 foo"), Err(CommandError::Syntax));
        assert_eq!(parse("3 withvalues foo"), Err(CommandError::Syntax));
        assert_eq!(parse("4611686018427387904 withvalues"), Err(CommandError::OutOfRange));
        assert_eq!(parse("-4611686018427387903 withvalues"), Ok((Some(-4611686018427387903), true)));
    }

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
