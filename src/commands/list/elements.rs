//! Lists: pushing, popping, reading and changing.

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::shared::collection::{self, Collection, InPlace};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::Access;
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::value::Object;
use crate::primitives::number::parse_i64;
use crate::resp::encode::Reply;
use crate::types::list::{End, List};

const LIST: &[Category] = &[Category::List];
const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const INSERT: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::INSERT)];
const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)];
const DELETE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)];
const POP: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE)];
const MOVE: &[KeySpec] = &[
    KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE),
    KeySpec::one(2, KeySpec::RW | KeySpec::INSERT),
];
const PUSH_FLAGS: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);

/// LREM counts its work in lists longer than this.
const LONG_SEARCH: usize = 10_000;

const fn of_list(name: &'static str, arity: i32, flags: Flags, keys: &'static [KeySpec]) -> Command {
    Command { name, arity, flags, keys, categories: LIST, group: Group::List, ..Command::DEFAULT }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Adds elements at the head of a list, each before the last.",
        syntax: "key element [element ...]",
        complexity: "O(N) where N is the number of elements added",
        reply: "the new length",
        run: lpush,
        ..of_list("lpush", -3, PUSH_FLAGS, INSERT)
    },
    Command {
        summary: "Adds elements at the tail of a list.",
        syntax: "key element [element ...]",
        complexity: "O(N) where N is the number of elements added",
        reply: "the new length",
        run: rpush,
        ..of_list("rpush", -3, PUSH_FLAGS, INSERT)
    },
    Command {
        summary: "Adds elements at the head of a list that exists.",
        syntax: "key element [element ...]",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements added",
        reply: "the new length, 0 without a list",
        run: lpushx,
        ..of_list("lpushx", -3, PUSH_FLAGS, INSERT)
    },
    Command {
        summary: "Adds elements at the tail of a list that exists.",
        syntax: "key element [element ...]",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements added",
        reply: "the new length, 0 without a list",
        run: rpushx,
        ..of_list("rpushx", -3, PUSH_FLAGS, INSERT)
    },
    Command {
        summary: "Takes elements from the head of a list.",
        syntax: "key [count]",
        complexity: "O(N) where N is the number of elements taken",
        reply: "an element, with a count an array of them, or null",
        run: lpop,
        ..of_list("lpop", -2, Flags::WRITE.and(Flags::FAST), POP)
    },
    Command {
        summary: "Takes elements from the tail of a list.",
        syntax: "key [count]",
        complexity: "O(N) where N is the number of elements taken",
        reply: "an element, with a count an array of them, or null",
        run: rpop,
        ..of_list("rpop", -2, Flags::WRITE.and(Flags::FAST), POP)
    },
    Command {
        summary: "Returns the length of a list.",
        syntax: "key",
        reply: "the length",
        run: llen,
        ..of_list("llen", 2, Flags::READONLY.and(Flags::FAST), &[KeySpec::one(1, KeySpec::RO)])
    },
    Command {
        summary: "Returns the element at an index; negative ones count from the tail.",
        syntax: "key index",
        complexity: "O(N) where N is the number of blocks passed on the way",
        reply: "the element or null",
        run: lindex,
        ..of_list("lindex", 3, Flags::READONLY, READ)
    },
    Command {
        summary: "Puts another element at an index.",
        syntax: "key index element",
        complexity: "O(N) where N is the number of blocks passed on the way",
        reply: "OK",
        run: lset,
        ..of_list("lset", 4, Flags::WRITE.and(Flags::DENYOOM), UPDATE)
    },
    Command {
        summary: "Adds an element before or after another.",
        syntax: "key (BEFORE | AFTER) pivot element",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements passed on the way",
        reply: "the new length, -1 without the other element, 0 without a list",
        run: linsert,
        ..of_list("linsert", 5, Flags::WRITE.and(Flags::DENYOOM), INSERT)
    },
    Command {
        summary: "Returns the elements from one index to another; negative ones count from the tail.",
        syntax: "key start stop",
        complexity: "O(S+N) where S is the distance to the start and N the number of elements returned",
        reply: "an array of elements",
        run: lrange,
        ..of_list("lrange", 4, Flags::READONLY, READ)
    },
    Command {
        summary: "Removes elements that equal a value: some from the head, from the tail, or all.",
        syntax: "key count element",
        complexity: "O(N) where N is the length of the list",
        reply: "how many were removed",
        run: lrem,
        ..of_list("lrem", 4, Flags::WRITE, DELETE)
    },
    Command {
        summary: "Keeps only the elements from one index to another.",
        syntax: "key start stop",
        complexity: "O(N) where N is the number of elements removed",
        reply: "OK",
        run: ltrim,
        ..of_list("ltrim", 4, Flags::WRITE, DELETE)
    },
    Command {
        summary: "Finds where elements stand that equal a value.",
        syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        since: "6.0.6",
        complexity: "O(N) where N is the length of the list",
        reply: "an index, with COUNT an array of them, or null",
        run: lpos,
        ..of_list("lpos", -3, Flags::READONLY, READ)
    },
    Command {
        summary: "Takes an element from one end of a list and adds it at one end of another, at once.",
        syntax: "source destination (LEFT | RIGHT) (LEFT | RIGHT)",
        since: "6.2.0",
        reply: "the element or null",
        run: lmove,
        ..of_list("lmove", 5, Flags::WRITE.and(Flags::DENYOOM), MOVE)
    },
    Command {
        summary: "Takes an element from the tail of a list and adds it at the head of another.",
        syntax: "source destination",
        since: "1.2.0",
        reply: "the element or null",
        run: rpoplpush,
        ..of_list("rpoplpush", 3, Flags::WRITE.and(Flags::DENYOOM), MOVE)
    },
    Command {
        summary: "Takes elements from the first list that is not empty.",
        syntax: "numkeys key [key ...] (LEFT | RIGHT) [COUNT count]",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements taken",
        reply: "the key and an array of elements, or null",
        run: lmpop,
        ..of_list(
            "lmpop",
            -4,
            Flags::WRITE.and(Flags::MOVABLE_KEYS),
            &[KeySpec::counted(1, 1, KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE)],
        )
    },
];

impl Collection for List {
    fn of(object: &Object) -> Option<&Self> {
        if let Object::List(list) = object { Some(list) } else { None }
    }

    fn into_object(self) -> Object {
        Object::List(self)
    }
}

impl InPlace for List {
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        if let Object::List(list) = object { Some(list) } else { None }
    }
}

fn lpush(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    push(cx, arguments, End::Head, true)
}

fn rpush(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    push(cx, arguments, End::Tail, true)
}

fn lpushx(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    push(cx, arguments, End::Head, false)
}

fn rpushx(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    push(cx, arguments, End::Tail, false)
}

/// The event of a push at an end.
pub(super) fn push_event(end: End) -> &'static str {
    if end == End::Head { "lpush" } else { "rpush" }
}

fn pop_event(end: End) -> &'static str {
    if end == End::Head { "lpop" } else { "rpop" }
}

fn push(cx: &mut Context<'_>, arguments: &[&[u8]], end: End, create: bool) -> CommandResult {
    let key = cx.key(arguments, 1);
    let limits = cx.server.settings.collections.list();
    let elements = arguments[2..].iter().copied();
    let length = match collection::write::<List>(&mut cx.keys, &key)? {
        Some(list) => {
            list.push_all(end, elements, &limits);
            list.len()
        }
        None if create => {
            let mut list = List::new();
            list.push_all(end, elements, &limits);
            let length = list.len();
            collection::put(cx, &key, list);
            length
        }
        None => {
            cx.reply.int(0);
            return Ok(());
        }
    };
    collection::changed(cx, &key, EventClass::LIST, push_event(end), arguments.len() - 2);
    cx.reply.count(length);
    Ok(())
}

fn lpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, End::Head)
}

fn rpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    pop(cx, arguments, End::Tail)
}

fn pop(cx: &mut Context<'_>, arguments: &[&[u8]], end: End) -> CommandResult {
    if arguments.len() > 3 {
        return Err(CommandError::WrongArity(cx.command.spec.name.into()));
    }
    let count = arguments.get(2).map(|count| positive(count)).transpose()?;
    let key = cx.key(arguments, 1);
    let limits = cx.server.settings.collections.list();
    let Some(list) = collection::write::<List>(&mut cx.keys, &key)? else {
        if count.is_some() {
            cx.reply.null_array()
        } else {
            cx.reply.null()
        }
        return Ok(());
    };
    match count {
        None => {
            let reply = &mut cx.reply;
            list.pop_with(end, &limits, |element| reply.bulk(element));
            after_pop(cx, &key, end, 1);
        }
        Some(0) => cx.reply.array(0),
        Some(count) => {
            let taken = count.min(list.len());
            cx.reply.array(taken);
            take(cx, &key, end, taken)?;
        }
    }
    Ok(())
}

/// Reads a count from 0 on; every other argument gets the same error.
fn positive(argument: &[u8]) -> Result<usize, CommandError> {
    parse_i64(argument).and_then(|count| usize::try_from(count).ok()).ok_or(CommandError::MustBePositive)
}

/// Pops `count` elements from an end into the reply, whose head is written already.
fn take(cx: &mut Context<'_>, key: &HashedKey<'_>, end: End, count: usize) -> CommandResult {
    let limits = cx.server.settings.collections.list();
    cx.keys.expect_elements(key, count, 3)?;
    if let Some(list) = collection::write::<List>(&mut cx.keys, key)? {
        if end == End::Head {
            let mut bulks = cx.reply.bulks(count);
            list.visit(0, count, |run| bulks.extend(run));
            drop(bulks);
            list.remove_range(0, count, &limits);
        } else {
            let last = list.len().saturating_sub(1);
            let elements = list.iter_back_from(last).take(count);
            elements.for_each(|element| cx.reply.bulk_joined(element.prefix, &element.rest));
            list.remove_range(list.len().saturating_sub(count), count, &limits);
        }
    }
    after_pop(cx, key, end, count);
    Ok(())
}

pub(super) fn after_pop(cx: &mut Context<'_>, key: &HashedKey<'_>, end: End, count: usize) {
    collection::changed(cx, key, EventClass::LIST, pop_event(end), count);
    delete_if_empty(cx, key);
}

/// Enters a pop from this key into the journal, in place of a request that names several keys or waits.
fn enter_pop(cx: &Context<'_>, key: &HashedKey<'_>, end: End, count: Option<usize>) {
    if !cx.is_journaled() {
        return;
    }
    let name: &[u8] = if end == End::Head { b"LPOP" } else { b"RPOP" };
    match count {
        None => cx.enter(&[name, key.bytes]),
        Some(count) => cx.enter(&[name, key.bytes, itoa::Buffer::new().format(count).as_bytes()]),
    }
}

fn delete_if_empty(cx: &mut Context<'_>, key: &HashedKey<'_>) {
    if let Ok(Some(list)) = collection::write::<List>(&mut cx.keys, key)
        && list.is_empty()
    {
        cx.delete_emptied(key);
    }
}

fn llen(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    collection::write_len(cx, arguments, List::len)
}

/// Converts an index, which counts from the end if negative; `None` when it is outside.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(length as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn lindex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let Some(list) = collection::read::<List>(&cx.keys, &key)? else {
        cx.missed(&key);
        cx.reply.null();
        return Ok(());
    };
    let element = place(args::int(arguments[2])?, list.len()).and_then(|place| list.get(place));
    match element {
        Some(element) => cx.reply.bulk_joined(element.prefix, &element.rest),
        None => cx.reply.null(),
    }
    Ok(())
}

fn lset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let limits = cx.server.settings.collections.list();
    let list = collection::write::<List>(&mut cx.keys, &key)?.ok_or(CommandError::NoSuchKey)?;
    let place = place(args::int(arguments[2])?, list.len());
    let place = place.ok_or(CommandError::text("ERR index out of range"))?;
    list.set(place, arguments[3], &limits);
    cx.changed(&key, EventClass::LIST, "lset");
    cx.reply.ok();
    Ok(())
}

fn linsert(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let after = match arguments[2] {
        word if args::is(word, "BEFORE") => 0,
        word if args::is(word, "AFTER") => 1,
        _ => return Err(CommandError::Syntax),
    };
    let key = cx.key(arguments, 1);
    let limits = cx.server.settings.collections.list();
    if collection::write::<List>(&mut cx.keys, &key)?.is_none() {
        cx.reply.int(0);
        return Ok(());
    }
    cx.keys.may_take(&key, usize::MAX, 1)?;
    let Some(place) = first_place(&cx.keys, &key, arguments[3], End::Head) else {
        cx.reply.int(-1);
        return Ok(());
    };
    let Some(list) = collection::write::<List>(&mut cx.keys, &key)? else { return Ok(()) };
    list.insert(place + after, arguments[4], &limits);
    let length = list.len();
    cx.changed(&key, EventClass::LIST, "linsert");
    cx.reply.count(length);
    Ok(())
}

/// Where the first element, seen from an end, stands that equals a value. What the search takes is counted.
fn first_place(keys: &Access<'_, '_>, key: &HashedKey<'_>, value: &[u8], from: End) -> Option<usize> {
    let list = keys.peek(key).and_then(|record| collection::of_record::<List>(record).ok())?;
    list.positions(value, from, usize::MAX, |count| keys.work(count)).next()
}

/// Converts an inclusive range of indices, which count from the end if negative, to the first index and the
/// number of elements.
fn span(start: i64, stop: i64, length: usize) -> (usize, usize) {
    let length = length as i64;
    let absolute = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let (start, stop) = (absolute(start).max(0), absolute(stop).min(length - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

fn lrange(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (start, stop) = (args::int(arguments[2])?, args::int(arguments[3])?);
    let key = cx.key(arguments, 1);
    let Some(list) = collection::read::<List>(&cx.keys, &key)? else {
        cx.missed(&key);
        cx.reply.array(0);
        return Ok(());
    };
    let (first, count) = span(start, stop, list.len());
    if cx.is_read_in_pieces(count)? {
        let empty = |reply: &mut Reply<'_>| reply.array(0);
        return collection::read_in_pieces::<List>(cx, &key, empty, |list, at, reply| {
            let (first, count) = span(start, stop, list.len());
            if at == 0 {
                reply.array(count);
            }
            let part = collection::PIECE.min(count - at);
            let mut bulks = reply.bulks(part);
            list.visit(first + at, part, |run| bulks.extend(run));
            (at + part < count).then_some(at + part)
        });
    }
    cx.reply.array(count);
    if count > 0 {
        let mut bulks = cx.reply.bulks(count);
        list.visit(first, count, |run| bulks.extend(run));
    }
    Ok(())
}

fn lrem(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let count = collection::signed_count(arguments[2])?;
    let key = cx.key(arguments, 1);
    let limits = cx.server.settings.collections.list();
    let Some(list) = collection::write::<List>(&mut cx.keys, &key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let from = if count < 0 { End::Tail } else { End::Head };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    if list.len() > LONG_SEARCH {
        cx.keys.may_take(&key, usize::MAX, 1)?;
        // The search is counted; to remove what it finds is as much work again at most.
        if first_place(&cx.keys, &key, arguments[3], from).is_none() {
            cx.reply.int(0);
            return Ok(());
        }
        cx.keys.announce_elements(&key, if most > 1 { usize::MAX } else { 1 }, 1);
    }
    let Some(list) = collection::write::<List>(&mut cx.keys, &key)? else { return Ok(()) };
    let removed = list.remove_value(arguments[3], most, from, &limits);
    if removed > 0 {
        collection::changed(cx, &key, EventClass::LIST, "lrem", removed);
        delete_if_empty(cx, &key);
    }
    cx.reply.count(removed);
    Ok(())
}

fn ltrim(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (start, stop) = (args::int(arguments[2])?, args::int(arguments[3])?);
    let key = cx.key(arguments, 1);
    let limits = cx.server.settings.collections.list();
    if let Some(list) = collection::write::<List>(&mut cx.keys, &key)? {
        let before = list.len();
        let (first, count) = span(start, stop, before);
        cx.keys.expect_elements(&key, before - count, 1)?;
        let Some(list) = collection::write::<List>(&mut cx.keys, &key)? else { return Ok(()) };
        list.keep_range(first, count, &limits);
        collection::changed(cx, &key, EventClass::LIST, "ltrim", before - count);
        delete_if_empty(cx, &key);
    }
    cx.reply.ok();
    Ok(())
}

fn lpos(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (mut rank, mut count, mut max_compared) = (1i64, None, 0usize);
    let mut index = 3;
    while index < arguments.len() {
        let value = args::value_of(arguments, index)?;
        let not_negative = |text| usize::try_from(args::int(value)?).map_err(|_| CommandError::text(text));
        if args::is(arguments[index], "RANK") {
            rank = collection::signed_count(value)?;
            if rank == 0 {
                return Err(CommandError::text(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ));
            }
        } else if args::is(arguments[index], "COUNT") {
            count = Some(not_negative("ERR COUNT can't be negative")?);
        } else if args::is(arguments[index], "MAXLEN") {
            max_compared = not_negative("ERR MAXLEN can't be negative")?;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 2;
    }
    let key = cx.key(arguments, 1);
    let Some(list) = collection::read::<List>(&cx.keys, &key)? else {
        cx.missed(&key);
        if count.is_some() {
            cx.reply.array(0)
        } else {
            cx.reply.null()
        }
        return Ok(());
    };
    let from = if rank < 0 { End::Tail } else { End::Head };
    let max_compared = if max_compared == 0 { usize::MAX } else { max_compared };
    let skipped = rank.unsigned_abs() as usize - 1;
    cx.keys.may_take(&key, max_compared, 1)?;
    let mut found =
        list.positions(arguments[2], from, max_compared, |count| cx.keys.work(count)).skip(skipped);
    match count {
        None => match found.next() {
            Some(place) => cx.reply.count(place),
            None => cx.reply.null(),
        },
        Some(count) => {
            let most = if count == 0 { usize::MAX } else { count };
            let places: Vec<usize> = found.take(most).collect();
            cx.reply.array(places.len());
            places.into_iter().for_each(|place| cx.reply.count(place));
        }
    }
    Ok(())
}

fn end_argument(argument: &[u8]) -> Result<End, CommandError> {
    match argument {
        word if args::is(word, "LEFT") => Ok(End::Head),
        word if args::is(word, "RIGHT") => Ok(End::Tail),
        _ => Err(CommandError::Syntax),
    }
}

fn lmove(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (from, to) = ends_of_move(arguments)?;
    move_or_null(cx, arguments, from, to)
}

fn rpoplpush(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    move_or_null(cx, arguments, End::Tail, End::Head)
}

fn move_or_null(cx: &mut Context<'_>, arguments: &[&[u8]], from: End, to: End) -> CommandResult {
    if !move_element(cx, arguments, from, to)? {
        cx.reply.null();
    }
    Ok(())
}

/// The ends that LMOVE and BLMOVE name.
///
/// # Errors
/// Other words.
pub(super) fn ends_of_move(arguments: &[&[u8]]) -> Result<(End, End), CommandError> {
    Ok((end_argument(arguments[3])?, end_argument(arguments[4])?))
}

/// Moves an element from the list at argument 1 to the list at argument 2 and replies with it.
///
/// # Errors
/// A key holds another type.
pub(super) fn move_element(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    from: End,
    to: End,
) -> Result<bool, CommandError> {
    let (source, target) = (cx.key(arguments, 1), cx.key(arguments, 2));
    let limits = cx.server.settings.collections.list();
    if collection::write::<List>(&mut cx.keys, &source)?.is_none() {
        return Ok(false);
    }
    // The other key's type is checked before anything is popped.
    let target_exists = collection::write::<List>(&mut cx.keys, &target)?.is_some();
    let taken = collection::write::<List>(&mut cx.keys, &source)?.and_then(|list| list.pop(from, &limits));
    let Some(element) = taken else { return Ok(false) };
    if target_exists {
        if let Some(list) = collection::write::<List>(&mut cx.keys, &target)? {
            list.push(to, &element, &limits);
        }
    } else {
        let mut list = List::new();
        list.push(to, &element, &limits);
        collection::put(cx, &target, list);
    }
    // The two keys count as one change.
    cx.event(&target, EventClass::LIST, push_event(to));
    after_pop(cx, &source, from, 1);
    cx.reply.bulk(&element);
    Ok(true)
}

fn lmpop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let request = MultiPop::parse(arguments, 1)?;
    if !pop_of_first(cx, arguments, &request)? {
        cx.reply.null_array();
    }
    Ok(())
}

/// The arguments of LMPOP and BLMPOP.
pub(super) struct MultiPop {
    /// Indices of the arguments that are keys.
    pub(super) keys: std::ops::Range<usize>,
    end: End,
    count: usize,
}

impl MultiPop {
    /// Reads the arguments; the number of keys is argument `at`.
    ///
    /// # Errors
    /// Not numbers, or not positive ones; unknown words.
    pub(super) fn parse(arguments: &[&[u8]], at: usize) -> Result<Self, CommandError> {
        let greater_than_zero = |argument: &[u8], text: &'static str| {
            parse_i64(argument)
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| *n > 0)
                .ok_or(CommandError::text(text))
        };
        let keys = greater_than_zero(arguments[at], "ERR numkeys should be greater than 0")?;
        let first = at + 1;
        let where_at =
            keys.checked_add(first).filter(|at| *at < arguments.len()).ok_or(CommandError::Syntax)?;
        let end = end_argument(arguments[where_at])?;
        let count = match &arguments[where_at + 1..] {
            [] => 1,
            [word, count] if args::is(word, "COUNT") => {
                greater_than_zero(count, "ERR count should be greater than 0")?
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(Self { keys: first..where_at, end, count })
    }
}

/// Pops elements from the first list that exists and replies with its key and them.
///
/// # Errors
/// A key holds another type.
pub(super) fn pop_of_first(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    request: &MultiPop,
) -> Result<bool, CommandError> {
    for index in request.keys.clone() {
        let key = cx.key(arguments, index);
        let Some(list) = collection::write::<List>(&mut cx.keys, &key)? else { continue };
        let taken = request.count.min(list.len());
        cx.reply.array(2);
        cx.reply.bulk(key.bytes);
        cx.reply.array(taken);
        take(cx, &key, request.end, taken)?;
        enter_pop(cx, &key, request.end, Some(taken));
        return Ok(true);
    }
    Ok(false)
}

/// Pops an element from the first list that exists and replies with key and element (BLPOP).
///
/// # Errors
/// A key holds another type.
pub(super) fn pop_with_key(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    keys: std::ops::Range<usize>,
    end: End,
) -> Result<bool, CommandError> {
    for index in keys {
        let key = cx.key(arguments, index);
        if collection::write::<List>(&mut cx.keys, &key)?.is_some() {
            cx.reply.array(2);
            cx.reply.bulk(key.bytes);
            take(cx, &key, end, 1)?;
            enter_pop(cx, &key, end, None);
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_clamped() {
        assert_eq!(span(0, -1, 5), (0, 5));
        assert_eq!(span(-3, -2, 5), (2, 2));
        assert_eq!(span(3, 1, 5), (0, 0));
        assert_eq!(span(i64::MIN, i64::MAX, 5), (0, 5));
        assert_eq!(span(5, 9, 5), (0, 0));
        assert_eq!(span(0, -1, 0), (0, 0));
        assert_eq!(place(-5, 5), Some(0));
        assert_eq!(place(-6, 5), None);
        assert_eq!(place(5, 5), None);
    }
}
