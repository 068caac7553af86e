//! Lists: moving several elements at once, also waiting for them.

use std::borrow::Cow;

use crate::command::{Category, Family, Flags, Group, KeySpec, args};
use crate::commands::list::blocking::wait;
use crate::commands::list::elements::{after_pop, ends_of_move, push_event};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::parse_i64;
use crate::shared::waiter::EmptyReply;
use crate::types::list::{End, List};

const KEYS: &[KeySpec] = &[
    KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE),
    KeySpec::one(2, KeySpec::RW | KeySpec::INSERT),
];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "lmovem",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        summary: "Moves elements between ends of lists and returns them.",
        syntax: "source destination (LEFT | RIGHT) (LEFT | RIGHT) [(COUNT count | EXACTLY exactly:integer) (OBO | BULK)]",
        reply: "an array of the elements in the order of the destination, or null where EXACTLY found too few",
        run: lmovem,
        ..moving()
    },
    Command {
        name: "blmovem",
        arity: -6,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::BLOCKING),
        summary: "Moves elements between ends of lists as LMOVEM does; waits until there are enough.",
        syntax: "source destination (LEFT | RIGHT) (LEFT | RIGHT) timeout:double [(COUNT count | EXACTLY exactly:integer) (OBO | BULK)]",
        reply: "an array of the elements, or null when the time is over",
        run: blmovem,
        ..moving()
    },
];

const fn moving() -> Command {
    Command {
        keys: KEYS,
        categories: &[Category::List],
        group: Group::List,
        since: "8.10.0",
        family: Family::Redis("8.10"),
        complexity: "O(N) where N is the number of elements moved",
        ..Command::DEFAULT
    }
}

/// What is moved, and how.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: End,
    to: End,
    count: usize,
    /// Whether fewer elements are none.
    exactly: bool,
    /// Whether they go one by one, which may turn their order.
    one_by_one: bool,
}

impl Move {
    /// Reads the ends, and the words about the number from argument `at` on.
    fn parse(arguments: &[&[u8]], at: usize) -> Result<Self, CommandError> {
        let (from, to) = ends_of_move(arguments)?;
        let one = Self { from, to, count: 1, exactly: false, one_by_one: false };
        let [selector, count, order] = match &arguments[at..] {
            [] => return Ok(one),
            [selector, count, order] => [selector, count, order],
            _ => return Err(CommandError::Syntax),
        };
        let exactly = args::is(selector, "EXACTLY");
        let one_by_one = args::is(order, "OBO");
        if !(exactly || args::is(selector, "COUNT")) || !(one_by_one || args::is(order, "BULK")) {
            return Err(CommandError::Syntax);
        }
        let count = parse_i64(count)
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count > 0)
            .ok_or(CommandError::Other(Cow::Borrowed(if exactly {
                "ERR exactly should be greater than 0"
            } else {
                "ERR count should be greater than 0"
            })))?;
        Ok(Self { count, exactly, one_by_one, ..one })
    }

    /// Moves elements from the list at argument 1 to that at argument 2 and replies with them. Returns whether
    /// there were enough.
    ///
    /// # Errors
    /// A key holds another type.
    fn run(self, cx: &mut Context<'_>, arguments: &[&[u8]]) -> Result<bool, CommandError> {
        let (source, target) = (cx.key(arguments, 1), cx.key(arguments, 2));
        let limits = cx.server.settings.collections.list();
        let least = if self.exactly { self.count } else { 1 };
        match collection::write::<List>(&mut cx.keys, &source)? {
            Some(list) if list.len() >= least => {}
            _ => return Ok(false),
        }
        // The other key's type is checked before anything is popped.
        let target_exists = collection::write::<List>(&mut cx.keys, &target)?.is_some();
        cx.keys.expect_elements(&source, self.count, 4)?;
        let mut moved = Vec::new();
        if let Some(list) = collection::write::<List>(&mut cx.keys, &source)? {
            for _ in 0..self.count.min(list.len()) {
                moved.extend(list.pop(self.from, &limits));
            }
        }
        // As they stood in the source, unless each was put before the one that came before it.
        let is_turned = self.one_by_one && self.from == self.to;
        if (self.from == End::Tail) != is_turned {
            moved.reverse();
        }
        let push = |list: &mut List| match self.to {
            End::Tail => moved.iter().for_each(|element| list.push(End::Tail, element, &limits)),
            End::Head => moved.iter().rev().for_each(|element| list.push(End::Head, element, &limits)),
        };
        if target_exists {
            if let Some(list) = collection::write::<List>(&mut cx.keys, &target)? {
                push(list);
            }
        } else {
            let mut list = List::new();
            push(&mut list);
            collection::put(cx, &target, list);
        }
        self.enter(cx, (&source, &target), &moved);
        cx.event(&target, EventClass::LIST, push_event(self.to));
        after_pop(cx, &source, self.from, moved.len());
        cx.reply.array(moved.len());
        moved.iter().for_each(|element| cx.reply.bulk(element));
        Ok(true)
    }

    /// Enters into the journal a pop and a push.
    fn enter(self, cx: &Context<'_>, (source, target): (&HashedKey<'_>, &HashedKey<'_>), moved: &[Vec<u8>]) {
        if !cx.is_journaled() {
            return;
        }
        let (pop, push): (&[u8], &[u8]) = (
            if self.from == End::Head { b"LPOP" } else { b"RPOP" },
            if self.to == End::Head { b"LPUSH" } else { b"RPUSH" },
        );
        cx.enter(&[pop, source.bytes, itoa::Buffer::new().format(moved.len()).as_bytes()]);
        let mut words = vec![push, target.bytes];
        words.extend(moved.iter().map(|element| &**element));
        if self.to == End::Head {
            words[2..].reverse();
        }
        cx.enter(&words);
    }
}

fn lmovem(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let wanted = Move::parse(arguments, 5)?;
    if !wanted.run(cx, arguments)? {
        match wanted.exactly {
            true => cx.reply.null_array(),
            false => cx.reply.array(0),
        }
    }
    Ok(())
}

fn blmovem(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let wanted = Move::parse(arguments, 6)?;
    let until_ms = args::wait_seconds(arguments[5], cx.keys.now_ms)?;
    if !wanted.run(cx, arguments)? {
        wait(cx, 1..2, until_ms, EmptyReply::NullArray);
    }
    Ok(())
}
