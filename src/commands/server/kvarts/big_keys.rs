//! KVARTS BIGKEYS: the largest keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::prefixes::{NOT_KEPT, count_of, numbers};
use crate::command::args;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::sizes::KeySize;
use crate::keyspace::value::Object;

/// Keys that are returned unless told otherwise, and at most.
const COUNT: usize = 10;
const COUNT_MAX: usize = 1000;

/// A key with its database's number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct BigKey {
    bytes: u64,
    elements: u64,
    key: Box<[u8]>,
    number: usize,
    type_name: &'static str,
}

/// The greatest keys by one measure, as many as are wanted.
struct Top {
    most: usize,
    keys: BinaryHeap<Reverse<(u64, BigKey)>>,
}

impl Top {
    fn offer(&mut self, measure: u64, key: &[u8], number: usize, size: &KeySize) {
        let is_full = self.keys.len() >= self.most;
        if is_full && self.keys.peek().is_some_and(|Reverse((least, _))| *least >= measure) {
            return;
        }
        let &KeySize { bytes, elements, type_name, .. } = size;
        self.keys.push(Reverse((measure, BigKey { bytes, elements, key: key.into(), number, type_name })));
        if is_full {
            self.keys.pop();
        }
    }

    fn reply(self, cx: &mut Context<'_>, name: &str) {
        let reply = &mut cx.reply;
        reply.bulk(name.as_bytes());
        reply.array(self.keys.len());
        for Reverse((_, big)) in self.keys.into_sorted_vec() {
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
}

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
    let sizes = &cx.keys.keyspace.sizes;
    if !sizes.is_on() {
        return Err(CommandError::text(NOT_KEPT));
    }
    cx.keys.expect(sizes.known_max());
    let numbers = numbers(cx);
    let top = || Top { most: count, keys: BinaryHeap::new() };
    let (mut by_bytes, mut by_elements) = (top(), top());
    sizes.for_each(|key, size, _| {
        let Some(number) = numbers.get(&size.physical) else { return };
        if wanted.is_none_or(|wanted| wanted == size.type_name) {
            by_bytes.offer(size.bytes, key, *number, size);
            by_elements.offer(size.elements, key, *number, size);
        }
    });
    let (bytes, elements) = sizes.floors();
    cx.reply.map(4);
    by_bytes.reply(cx, "by-bytes");
    by_elements.reply(cx, "by-elements");
    cx.reply.bulk(b"complete-above-bytes");
    cx.reply.int(bytes as i64);
    cx.reply.bulk(b"complete-above-elements");
    cx.reply.int(elements as i64);
    Ok(())
}
