//! KVARTS BIGKEYS: the largest keys.

use super::prefixes::{count_of, expect_sizes, numbers};
use crate::command::args;
use crate::engine::context::Context;
use crate::engine::key_report::{self, BigKey};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::share::Shares;
use crate::keyspace::value::Object;

/// Keys that are returned unless told otherwise, and at most.
const COUNT: usize = 10;
const COUNT_MAX: usize = 1000;

pub(super) fn big_keys(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (mut count, mut wanted) = (COUNT, None);
    let mut index = 2;
    while let Some(word) = arguments.get(index) {
        let value = args::value_of(arguments, index)?;
        if args::is(word, "COUNT") {
            count = count_of(value, COUNT_MAX)?;
        } else if args::is(word, "TYPE") {
            let found =
                Object::TYPE_NAMES.into_iter().find(|name| args::is(value, &name.to_ascii_uppercase()));
            wanted = Some(found.ok_or_else(|| {
                CommandError::new(format!("ERR unknown type name '{}'", args::text(value)))
            })?);
        } else {
            return Err(CommandError::Syntax);
        }
        index += 2;
    }
    let keyspace = cx.keys.keyspace;
    let sizes = &keyspace.sizes;
    expect_sizes(sizes)?;
    cx.keys.expect(sizes.known_max())?;
    cx.keys.measure_stale();
    let readable = cx.server.readable_keys(cx.client, cx.command, arguments);
    let numbers = numbers(cx);
    let shares = Shares::look(keyspace, numbers.keys().copied());
    let (by_bytes, by_elements) =
        key_report::big_keys(sizes, &shares, &numbers, count, |number, key, size| {
            wanted.is_none_or(|wanted| wanted == size.type_name)
                && key_report::may_be_told(&readable, number, key)
        });
    // They are those of records.
    let (bytes, elements) = sizes.floors();
    let bytes = bytes + shares.most();
    cx.reply.map(4);
    reply_keys(cx, "by-bytes", &by_bytes);
    reply_keys(cx, "by-elements", &by_elements);
    cx.reply.bulk(b"complete-above-bytes");
    cx.reply.int(bytes as i64);
    cx.reply.bulk(b"complete-above-elements");
    cx.reply.int(elements as i64);
    Ok(())
}

fn reply_keys(cx: &mut Context<'_>, name: &str, keys: &[BigKey]) {
    let reply = &mut cx.reply;
    reply.bulk(name.as_bytes());
    reply.array(keys.len());
    for big in keys {
        reply.map(5);
        reply.bulk(b"key");
        reply.bulk(&big.key);
        reply.bulk(b"db");
        reply.count(big.number);
        reply.bulk(b"type");
        reply.bulk(big.type_name.as_bytes());
        reply.bulk(b"bytes");
        reply.int(big.bytes as i64);
        reply.bulk(b"elements");
        reply.int(big.elements as i64);
    }
}
