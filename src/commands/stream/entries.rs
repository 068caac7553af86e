//! Streams: adding, reading by range, deleting, trimming. Reading on from an id is in [`read`](super::read),
//! groups in [`group`](super::group).

use std::borrow::Cow;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::shared::collection::{self, Collection, InPlace};
use crate::commands::stream::entered;
use crate::commands::stream::producers::{self, Once};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::Access;
use crate::keyspace::change::EventClass;
use crate::keyspace::value::Object;
use crate::primitives::thin::Owned;
use crate::resp::encode::Reply;
use crate::types::stream::{
    AppendError, Entry, NewId, References, Stream, StreamId, StreamLimits, Trim, TrimTo, Trimmed,
};

pub(super) const STREAM: &[Category] = &[Category::Stream];
pub(super) const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const LOOK: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO)];
const REMOVE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)];
pub(super) const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)];

/// Entries of the commands in this file; the others are in the files named above.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xadd",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: UPDATE,
        categories: STREAM,
        group: Group::Stream,
        summary: "Appends an entry to a stream, which is created if there is none.",
        syntax: "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [IDMPAUTO producer-id | IDMP(producer-id idempotent-id)] [(MAXLEN | MINID) [= | ~] threshold [LIMIT count]] (* | id) field value [field value ...]",
        since: "5.0.0",
        complexity: "O(1) for adding, O(N) for trimming, N being the number of entries removed",
        reply: "the entry's id, or null where NOMKSTREAM kept it from being added",
        run: xadd,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "xlen",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: LOOK,
        categories: STREAM,
        group: Group::Stream,
        summary: "Counts the entries of a stream.",
        syntax: "key",
        since: "5.0.0",
        reply: "the number of entries, 0 without a key",
        run: xlen,
        ..Command::DEFAULT
    },
    Command {
        name: "xrange",
        arity: -4,
        flags: Flags::READONLY,
        keys: READ,
        categories: STREAM,
        group: Group::Stream,
        summary: "Returns the entries of a stream between two ids.",
        syntax: "key start:string end:string [COUNT count]",
        since: "5.0.0",
        complexity: "O(log(M) + N) where M is the stream's length and N the number of entries returned",
        reply: "an array of entries, each an id and an array of fields and values",
        run: xrange,
        ..Command::DEFAULT
    },
    Command {
        name: "xrevrange",
        arity: -4,
        flags: Flags::READONLY,
        keys: READ,
        categories: STREAM,
        group: Group::Stream,
        summary: "Returns the entries of a stream between two ids, the last one first.",
        syntax: "key end:string start:string [COUNT count]",
        since: "5.0.0",
        complexity: "O(log(M) + N) where M is the stream's length and N the number of entries returned",
        reply: "an array of entries, each an id and an array of fields and values",
        run: xrevrange,
        ..Command::DEFAULT
    },
    Command {
        name: "xdel",
        arity: -3,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: REMOVE,
        categories: STREAM,
        group: Group::Stream,
        summary: "Deletes entries of a stream.",
        syntax: "key id [id ...]",
        since: "5.0.0",
        complexity: "O(log(M)) for each id, M being the stream's length",
        reply: "how many were there",
        run: xdel,
        ..Command::DEFAULT
    },
    Command {
        name: "xtrim",
        arity: -4,
        flags: Flags::WRITE,
        keys: REMOVE,
        categories: STREAM,
        group: Group::Stream,
        summary: "Deletes the oldest entries of a stream, down to a number of entries or up to an id.",
        syntax: "key ((MAXLEN | MINID) [= | ~] threshold [LIMIT count]) [KEEPREF | DELREF | ACKED]",
        since: "5.0.0",
        complexity: "O(N) where N is the number of entries removed",
        reply: "how many were removed",
        run: xtrim,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "xsetid",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: UPDATE,
        categories: STREAM,
        group: Group::Stream,
        summary: "Sets the highest id of a stream, and what it counts of added and deleted entries.",
        syntax: "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        since: "5.0.0",
        reply: "OK",
        run: xsetid,
        ..Command::DEFAULT
    },
];

impl Collection for Owned<Stream> {
    fn of(object: &Object) -> Option<&Self> {
        if let Object::Stream(stream) = object { Some(stream) } else { None }
    }

    fn into_object(self) -> Object {
        Object::Stream(self)
    }
}

impl InPlace for Owned<Stream> {
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        if let Object::Stream(stream) = object { Some(stream) } else { None }
    }
}

pub(super) const INVALID_ID: CommandError =
    CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// Reads an entry's id; a missing second part is 0.
///
/// # Errors
/// Anything else.
pub(super) fn id(argument: &[u8]) -> Result<StreamId, CommandError> {
    StreamId::parse(argument, 0).ok_or(INVALID_ID)
}

/// Reads the lower end of a range; `(` excludes it.
///
/// # Errors
/// Not an id; the highest id, excluded.
pub(super) fn range_start(argument: &[u8]) -> Result<StreamId, CommandError> {
    match excluded(argument) {
        Some(excluded) => {
            id(excluded)?.next().ok_or(CommandError::text("ERR invalid start ID for the interval"))
        }
        None => StreamId::parse_end(argument, 0).ok_or(INVALID_ID),
    }
}

/// Reads the upper end of a range; `(` excludes it.
///
/// # Errors
/// Not an id; the lowest id, excluded.
pub(super) fn range_end(argument: &[u8]) -> Result<StreamId, CommandError> {
    match excluded(argument) {
        Some(excluded) => StreamId::parse(excluded, u64::MAX)
            .ok_or(INVALID_ID)?
            .previous()
            .ok_or(CommandError::text("ERR invalid end ID for the interval")),
        None => StreamId::parse_end(argument, u64::MAX).ok_or(INVALID_ID),
    }
}

fn excluded(argument: &[u8]) -> Option<&[u8]> {
    argument.strip_prefix(b"(").filter(|rest| !rest.is_empty())
}

/// Writes an entry as an array of its id and its fields.
pub(super) fn write_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    write_id_and_fields(reply, entry);
}

/// Writes an entry's id, and its fields as an array.
pub(super) fn write_id_and_fields(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.bulk(&entry.id.text());
    reply.array(entry.field_count() * 2);
    for (field, value) in entry.fields() {
        reply.bulk(&field);
        reply.bulk(&value);
    }
}

/// The trimming options of XADD and XTRIM, and the index behind them.
#[derive(Debug, Default)]
struct TrimWords<'a> {
    trim: Option<Trim>,
    references: References,
    no_create: bool,
    once: Option<Once<'a>>,
    end: usize,
}

impl<'a> TrimWords<'a> {
    /// Reads the options from argument 2 on. XADD's end before the id, which is not read.
    fn parse(cx: &Context<'_>, arguments: &[&'a [u8]], is_add: bool) -> Result<Self, CommandError> {
        let (mut to, mut approximate, mut limit, mut no_create) = (None, false, None, false);
        let (mut references, mut once) = (None, None);
        let mut at = 2;
        while let Some(word) = arguments.get(at) {
            let more = arguments.len() - 1 - at;
            let is_len = args::is(word, "MAXLEN");
            if is_add && *word == b"*" {
                break;
            } else if more > 0 && (is_len || args::is(word, "MINID")) {
                if to.is_some() {
                    return Err(CommandError::text(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                    ));
                }
                approximate = more > 1 && arguments[at + 1] == b"~";
                if approximate || (more > 1 && arguments[at + 1] == b"=") {
                    at += 1;
                }
                at += 1;
                to = Some(if is_len { max_len(arguments[at])? } else { TrimTo::MinId(id(arguments[at])?) });
            } else if more > 0 && args::is(word, "LIMIT") {
                at += 1;
                let count = args::int(arguments[at])?;
                let negative = CommandError::text("ERR The LIMIT argument must be >= 0.");
                limit = Some(u64::try_from(count).map_err(|_| negative)?);
            } else if is_add && args::is(word, "NOMKSTREAM") {
                no_create = true;
            } else if references.is_none()
                && let Some(wanted) = references_word(word)
            {
                references = Some(wanted);
            } else if is_add && let Some(words) = Once::words(word, more) {
                if once.is_some() {
                    return Err(producers::TWICE);
                }
                once = Some(Once::parse(&arguments[at + 1..=at + words])?);
                at += words;
            } else if is_add {
                break;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let references = references.unwrap_or_default();
        if cx.client.is_loader {
            // A primary or a file has `=` in the place of a client's `~`, with how far was trimmed; the client's LIMIT
            // still stands beside it, and has no meaning any more.
            limit = None;
        }
        let Some(to) = to else {
            if limit.is_some_and(|limit| limit > 0) {
                return Err(CommandError::text(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                ));
            }
            if !is_add {
                return Err(CommandError::text(
                    "ERR syntax error, XTRIM must be called with a trimming strategy",
                ));
            }
            return Ok(TrimWords { trim: None, references, no_create, once, end: at });
        };
        let limit = match limit {
            Some(_) if !approximate => {
                return Err(CommandError::text(
                    "ERR syntax error, LIMIT cannot be used without the special ~ option",
                ));
            }
            Some(limit) => limit,
            None if approximate && !cx.client.is_loader => default_limit(cx),
            None => 0,
        };
        let trim = Some(Trim { to, approximate, limit });
        Ok(TrimWords { trim, references, no_create, once, end: at })
    }

    /// Trims if asked to.
    fn trim(&self, stream: &mut Stream) -> Trimmed {
        self.trim.as_ref().map_or_else(Trimmed::default, |trim| stream.trim_with(trim, self.references))
    }
}

/// Reads one of the words that say what becomes of groups' references.
pub(super) fn references_word(word: &[u8]) -> Option<References> {
    match word {
        word if args::is(word, "KEEPREF") => Some(References::Keep),
        word if args::is(word, "DELREF") => Some(References::Delete),
        word if args::is(word, "ACKED") => Some(References::Acknowledged),
        _ => None,
    }
}

fn max_len(argument: &[u8]) -> Result<TrimTo, CommandError> {
    let negative = CommandError::text("ERR The MAXLEN argument must be >= 0.");
    Ok(TrimTo::MaxLen(u64::try_from(args::int(argument)?).map_err(|_| negative)?))
}

/// Most entries that an approximate trim removes at once by default: a hundred blocks' worth.
fn default_limit(cx: &Context<'_>) -> u64 {
    const WITHOUT_BLOCK_LIMIT: u64 = 10_000;
    const MAX: u64 = 1_000_000;
    match cx.server.settings.collections.stream().max_block_entries as u64 {
        0 => WITHOUT_BLOCK_LIMIT,
        entries => entries.saturating_mul(100).min(MAX),
    }
}

fn xadd(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let words = TrimWords::parse(cx, arguments, true)?;
    let wanted = match arguments.get(words.end) {
        Some(id) => NewId::parse(id).ok_or(INVALID_ID)?,
        None => return Err(wrong_arity(cx)),
    };
    if words.once.is_some() && wanted != NewId::Auto && !cx.client.is_loader {
        return Err(producers::NOT_AUTO);
    }
    let pairs = &arguments[words.end + 1..];
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(wrong_arity(cx));
    }
    if wanted == NewId::Given(StreamId::MIN) {
        return Err(CommandError::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let key = cx.key(arguments, 1);
    let once = words.once.as_ref().map(|once| once.named(pairs));
    if wanted == NewId::Auto
        && let Some(once) = &once
        && let Some(id) = once.entry_added_before(cx, &key)?
    {
        cx.reply.bulk(&id.text());
        return Ok(());
    }
    let collections = &cx.server.settings.collections;
    let (limits, producers, now_ms) = (collections.stream(), collections.producers(), cx.keys.now_ms);
    let trimmed;
    let id = match collection::write::<Owned<Stream>>(&mut cx.keys, &key)? {
        Some(stream) => {
            if stream.last_id() == StreamId::MAX {
                return Err(CommandError::text(
                    "ERR The stream has exhausted the last possible ID, unable to add more items",
                ));
            }
            let id = add(stream, wanted, now_ms, pairs, &limits)?;
            if let Some(once) = &once {
                once.keep(stream, id, producers);
            }
            trimmed = words.trim(stream);
            id
        }
        None if words.no_create => {
            cx.reply.null();
            return Ok(());
        }
        None => {
            let mut stream = Owned::<Stream>::default();
            let id = add(&mut stream, wanted, now_ms, pairs, &limits)?;
            if let Some(once) = &once {
                once.keep(&mut stream, id, producers);
            }
            trimmed = words.trim(&mut stream);
            collection::put(cx, &key, stream);
            id
        }
    };
    if cx.is_journaled() {
        let is_fixed = words.trim.is_none() && matches!(wanted, NewId::Given(_));
        if once.is_some() || !is_fixed {
            entered::enter_add(cx, &key, id, pairs, words.trim.is_some().then_some(&trimmed));
        }
        if let Some(once) = &once {
            once.enter(cx, &key, id);
        }
    }
    cx.changed(&key, EventClass::STREAM, "xadd");
    if trimmed.count() > 0 {
        collection::also(cx, &key, EventClass::STREAM, "xtrim");
    }
    cx.reply.bulk(&id.text());
    Ok(())
}

fn wrong_arity(cx: &Context<'_>) -> CommandError {
    CommandError::WrongArity(Cow::Borrowed(cx.command.spec.name))
}

fn add(
    stream: &mut Stream,
    wanted: NewId,
    now_ms: u64,
    pairs: &[&[u8]],
    limits: &StreamLimits,
) -> Result<StreamId, CommandError> {
    let refused = |error| match error {
        AppendError::IdTooLow => CommandError::text(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ),
        AppendError::TooLarge => CommandError::text("ERR Elements are too large to be stored"),
    };
    let id = stream.next_id(wanted, now_ms).map_err(refused)?;
    stream.append(id, pairs, limits).map_err(refused)?;
    Ok(id)
}

fn xlen(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    collection::write_len(cx, arguments, |stream: &Owned<Stream>| stream.len())
}

fn xrange(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let start = range_start(arguments[2])?;
    range(cx, arguments, start, range_end(arguments[3])?, false)
}

fn xrevrange(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let start = range_start(arguments[3])?;
    range(cx, arguments, start, range_end(arguments[2])?, true)
}

fn range(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    start: StreamId,
    end: StreamId,
    backwards: bool,
) -> CommandResult {
    let mut count = None;
    let mut options = &arguments[4..];
    while let [word, rest @ ..] = options {
        let ([value, rest @ ..], true) = (rest, args::is(word, "COUNT")) else {
            return Err(CommandError::Syntax);
        };
        count = Some(usize::try_from(args::int(value)?).unwrap_or(0));
        options = rest;
    }
    let key = cx.key(arguments, 1);
    let Some(stream) = collection::read::<Owned<Stream>>(&cx.keys, &key)? else {
        cx.missed(&key);
        cx.reply.array(0);
        return Ok(());
    };
    if count == Some(0) {
        cx.reply.null_array();
        return Ok(());
    }
    let count = count.unwrap_or(usize::MAX);
    if count > LONG_RANGE && cx.keys.is_room_scarce() && stream.range(start, end).nth(LONG_RANGE).is_some() {
        cx.keys.may_take_units(stream.len().min(count) * ENTRY_WORK)?;
    }
    if backwards {
        write_entries(&cx.keys, &mut cx.reply, stream.range_back(start, end).take(count));
    } else {
        write_entries(&cx.keys, &mut cx.reply, stream.range(start, end).take(count));
    }
    Ok(())
}

/// A range of so many entries may take long.
pub(super) const LONG_RANGE: usize = 10_000;

/// Work of writing an entry, in the units of [`Access::work`].
pub(super) const ENTRY_WORK: usize = 5;

/// An array of entries, which count as work of the command that has `keys`. Returns their number.
pub(super) fn write_entries<'e>(
    keys: &Access<'_, '_>,
    reply: &mut Reply<'_>,
    entries: impl Iterator<Item = Entry<'e>>,
) -> usize {
    let begun = reply.begin_array();
    let mut count = 0;
    for entry in entries {
        write_entry(reply, &entry);
        keys.work(ENTRY_WORK);
        count += 1;
    }
    reply.end_array(begun, count);
    count
}

fn xdel(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    // All ids are read before the first entry is deleted.
    let ids = arguments[2..].iter().map(|argument| id(argument)).collect::<Result<Vec<_>, _>>()?;
    let deleted = ids.into_iter().filter(|&id| stream.delete(id)).count();
    if deleted > 0 {
        collection::changed(cx, &key, EventClass::STREAM, "xdel", deleted);
    }
    cx.reply.count(deleted);
    Ok(())
}

/// How many entries a trim may remove: all of them where an id says what stays and much is below it.
fn most_to_trim(stream: &Stream, to: TrimTo) -> usize {
    const FEW: usize = 4096;
    match to {
        TrimTo::MaxLen(len) => stream.len().saturating_sub(usize::try_from(len).unwrap_or(usize::MAX)),
        TrimTo::MinId(id) => match stream.range(StreamId::MIN, id).nth(FEW) {
            Some(_) => stream.len(),
            None => FEW,
        },
    }
}

fn xtrim(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let words = TrimWords::parse(cx, arguments, false)?;
    let trim = words.trim.ok_or(CommandError::Syntax)?;
    let key = cx.key(arguments, 1);
    let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    // Where references are looked at, they are in each group.
    let each = if words.references == References::Keep { 1 } else { 1 + stream.groups().len() };
    let most = most_to_trim(stream, trim.to);
    cx.keys.expect_elements(&key, most, each)?;
    let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else { return Ok(()) };
    let trimmed = stream.trim_with(&trim, words.references);
    let removed = trimmed.count();
    if removed > 0 {
        if cx.is_journaled() {
            entered::enter_trim(cx, &key, &trimmed);
        }
        collection::changed(cx, &key, EventClass::STREAM, "xtrim", removed);
    }
    cx.reply.count(removed);
    Ok(())
}

fn xsetid(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let last = id(arguments[2])?;
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    let mut options = &arguments[3..];
    while let [word, rest @ ..] = options {
        let [value, rest @ ..] = rest else { return Err(CommandError::Syntax) };
        if args::is(word, "ENTRIESADDED") {
            let negative = CommandError::text("ERR entries_added must be positive");
            added = Some(u64::try_from(args::int(value)?).map_err(|_| negative)?);
        } else if args::is(word, "MAXDELETEDID") {
            max_deleted = id(value)?;
            if last < max_deleted {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(CommandError::Syntax);
        }
        options = rest;
    }
    let key = cx.key(arguments, 1);
    let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, &key)? else {
        return Err(CommandError::NoSuchKey);
    };
    if last < stream.max_deleted_id() {
        return Err(CommandError::text(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if stream.last_entry_id().is_some_and(|top| last < top) {
        return Err(CommandError::text(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if added.is_some_and(|added| stream.len() as u64 > added) {
        return Err(CommandError::text(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    stream.set_last_id(last);
    if let Some(added) = added {
        stream.set_entries_added(added);
    }
    if max_deleted != StreamId::MIN {
        stream.set_max_deleted_id(max_deleted);
    }
    cx.noted(&key, EventClass::STREAM, "xsetid");
    cx.reply.ok();
    Ok(())
}
