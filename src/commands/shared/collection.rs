//! What the commands on collections share: reading a key's collection with its type checked, creating it, the
//! replies of the SCAN and RANDMEMBER families, and the limit of replies that repeat elements.

use crate::command::args;
use crate::commands::shared::scan_options::ScanOptions;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::{Access, OtherType};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;
use crate::primitives::number::parse_u64;
use crate::resp::encode::Reply;
use crate::types::hash::Hash;
use crate::types::set::Set;

/// Longest reply, in bytes, of a command that repeats elements as often as the client asks (SRANDMEMBER with
/// a negative count and its like). Redis has no limit and goes on until memory ends.
const REPEATED_REPLY_MAX: usize = 1 << 29;

/// Work of choosing an element at random and writing it, in the units of [`Access::work`].
pub const RANDOM_WORK: usize = 10;

/// The elements of a request that are to be prefetched before its element `number` is looked up: a group of
/// them before the first of it, none where the request has no more than one group.
#[inline]
pub fn ahead<T>(all: &[T], number: usize) -> &[T] {
    const TOGETHER: usize = 16;
    if all.len() <= TOGETHER || !number.is_multiple_of(TOGETHER) {
        return &[];
    }
    &all[number..all.len().min(number + TOGETHER)]
}

/// A type of value that an [`Object`] can hold.
pub trait Collection: Sized {
    /// The object as this type, if it is one.
    fn of(object: &Object) -> Option<&Self>;
    /// Makes an object of the value.
    fn into_object(self) -> Object;
}

/// A collection that a command may change in place. Not implemented for hashes and sets: [`change_hash`] and
/// [`change_set`] keep count of their elements' expiries.
pub trait InPlace: Collection {
    /// The object as this type, for changes, if it is one.
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
}

impl Collection for Set {
    fn of(object: &Object) -> Option<&Self> {
        if let Object::Set(set) = object { Some(set) } else { None }
    }

    fn into_object(self) -> Object {
        Object::Set(self)
    }
}

impl Collection for Hash {
    fn of(object: &Object) -> Option<&Self> {
        if let Object::Hash(hash) = object { Some(hash) } else { None }
    }

    fn into_object(self) -> Object {
        Object::Hash(self)
    }
}

/// Reads a key's collection: counts the hit or miss and stores the access clock. The caller reports a miss
/// ([`Context::missed`]). Borrows the keys alone, so that the caller can write the reply while it reads the
/// collection.
///
/// # Errors
/// The key holds another type.
#[inline]
pub fn read<'k, T: Collection>(
    keys: &'k Access<'_, '_>,
    key: &HashedKey<'_>,
) -> Result<Option<&'k T>, CommandError> {
    keys.read(key).map(of_record).transpose()
}

/// Elements in a piece of a collection that is read in pieces: a tenth of a millisecond and less.
pub const PIECE: usize = 2048;

/// Reads a big collection in pieces ([`Access::read_in_pieces`]): `piece` writes the one that begins at its
/// second argument, with the reply's head if that is 0, and returns where the next one begins. Where the key
/// has gone meanwhile, `nothing` writes the reply.
///
/// # Errors
/// The key holds another type meanwhile.
pub fn read_in_pieces<T: Collection>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    nothing: fn(&mut Reply<'_>),
    mut piece: impl FnMut(&T, usize, &mut Reply<'_>) -> Option<usize>,
) -> CommandResult {
    let start = cx.reply.position();
    let reply = &mut cx.reply;
    cx.keys.read_in_pieces(key, |record, at| {
        if at == 0 {
            reply.truncate(start);
        }
        match record {
            Some(record) => Ok(piece(of_record::<T>(record)?, at, reply)),
            None => {
                nothing(reply);
                Ok(None)
            }
        }
    })
}

/// The collection that a record holds.
///
/// # Errors
/// The key holds another type.
#[inline]
pub fn of_record<T: Collection>(record: &Record) -> Result<&T, CommandError> {
    match record.value() {
        ValueRef::Object(object) => T::of(object).ok_or(CommandError::WrongType),
        _ => Err(CommandError::WrongType),
    }
}

/// A key's collection, to be changed in place. The command has to delete one that it empties
/// ([`Context::delete_emptied`]).
///
/// # Errors
/// The key holds another type.
#[inline]
pub fn write<'k, T: InPlace>(
    keys: &'k mut Access<'_, '_>,
    key: &HashedKey<'_>,
) -> Result<Option<&'k mut T>, CommandError> {
    match keys.write(key) {
        None => Ok(None),
        Some(record) => record.object_mut().and_then(T::of_mut).map(Some).ok_or(CommandError::WrongType),
    }
}

/// Changes a key's hash in place. Returns `None` if there is no such key. The command has to delete a hash
/// that it empties ([`Context::delete_emptied`]).
///
/// # Errors
/// The key holds another type.
#[inline]
pub fn change_hash<T>(
    keys: &mut Access<'_, '_>,
    key: &HashedKey<'_>,
    change: impl FnOnce(&mut Hash) -> T,
) -> Result<Option<T>, CommandError> {
    keys.change_hash(key, change).map_err(|OtherType| CommandError::WrongType)
}

/// Changes a key's set in place, from which the members that have ended are gone. Returns `None` if there is no
/// such key. The command has to delete a set that it empties ([`Context::delete_emptied`]).
///
/// # Errors
/// The key holds another type.
#[inline]
pub fn change_set<T>(
    keys: &mut Access<'_, '_>,
    key: &HashedKey<'_>,
    change: impl FnOnce(&mut Set) -> T,
) -> Result<Option<T>, CommandError> {
    keys.change_set(key, change).map_err(|OtherType| CommandError::WrongType)
}

/// [`change_hash`] that creates a missing hash. One that is still empty after `change` is not stored.
///
/// # Errors
/// The key holds another type.
pub fn change_or_make_hash<T>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    change: impl FnOnce(&mut Hash) -> T,
) -> Result<T, CommandError> {
    let mut change = Some(change);
    let changed = change_hash(&mut cx.keys, key, |hash| change.take().map(|change| change(hash)))?;
    match (changed.flatten(), change) {
        (Some(result), _) => Ok(result),
        (None, Some(change)) => {
            let mut hash = Hash::new();
            let result = change(&mut hash);
            if !hash.is_empty() {
                put(cx, key, hash);
            }
            Ok(result)
        }
        (None, None) => unreachable!("taken only to be called, which gives a result"),
    }
}

/// Stores a new collection under a key, without expiry, and frees the old value.
pub fn put<T: Collection>(cx: &mut Context<'_>, key: &HashedKey<'_>, value: T) {
    cx.put(key, Record::new_object(key.bytes, value.into_object(), None));
}

/// Tells an event of these fields of a hash, each of which counts as a change.
pub fn changed_fields<'f>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    event: &'static str,
    fields: impl ExactSizeIterator<Item = &'f [u8]> + Clone,
) {
    changed(cx, key, EventClass::HASH, event, fields.len());
    cx.tell_fields(key, event, fields);
}

/// Tells an event of these members of a set, each of which counts as a change.
pub fn changed_members<'m>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    event: &'static str,
    members: impl ExactSizeIterator<Item = &'m [u8]> + Clone,
) {
    changed(cx, key, EventClass::SET, event, members.len());
    cx.tell_members(key, event, members);
}

/// Tells a further event of these members of a set, a change that is counted elsewhere.
pub fn also_of_members(cx: &Context<'_>, key: &HashedKey<'_>, event: &'static str, members: &[&[u8]]) {
    if !members.is_empty() {
        also(cx, key, EventClass::SET, event);
        cx.tell_members(key, event, members.iter().copied());
    }
}

/// Tells one event that counts as `count` changes.
pub fn changed(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    class: EventClass,
    event: &'static str,
    count: usize,
) {
    cx.changed(key, class, event);
    cx.dirty += (count as u64).saturating_sub(1);
}

/// Tells a further event of a change that is counted elsewhere.
pub fn also(cx: &Context<'_>, key: &HashedKey<'_>, class: EventClass, event: &'static str) {
    cx.event(key, class, event);
}

/// Reads a count whose sign has a meaning (SRANDMEMBER and its like, LREM).
///
/// # Errors
/// Not a number; the smallest number, which has no negative.
pub fn signed_count(argument: &[u8]) -> Result<i64, CommandError> {
    let count = args::int(argument)?;
    if count == i64::MIN {
        let (min, max) = (-i64::MAX, i64::MAX);
        let text = format!("ERR value is out of range, value must between {min} and {max}");
        return Err(CommandError::new(text));
    }
    Ok(count)
}

/// The largest count of HRANDFIELD WITHVALUES and ZRANDMEMBER WITHSCORES, whose elements are two replies each
/// (Redis's rule).
const PAIRS_MAX: u64 = i64::MAX.unsigned_abs() / 2;

/// Reads `[count [word]]` of HRANDFIELD and ZRANDMEMBER, checked in Redis's order. Answers the count, `None`
/// where there is none, and whether `word` (WITHVALUES, WITHSCORES) follows it.
///
/// # Errors
/// Not a number, another word, a count of pairs beyond [`PAIRS_MAX`].
pub fn random_options(words: &[&[u8]], word: &str) -> Result<(Option<i64>, bool), CommandError> {
    let Some((count, words)) = words.split_first() else { return Ok((None, false)) };
    let count = signed_count(count)?;
    match words {
        [] => Ok((Some(count), false)),
        [with] if args::is(with, word) => {
            if count.unsigned_abs() > PAIRS_MAX {
                return Err(CommandError::OutOfRange);
            }
            Ok((Some(count), true))
        }
        _ => Err(CommandError::Syntax),
    }
}

/// Replies for a missing key as SRANDMEMBER and its like do, and reports the miss: an empty array when a
/// count was given, else null.
pub fn write_none_at_random(cx: &mut Context<'_>, key: &HashedKey<'_>, count: Option<i64>) {
    cx.missed(key);
    match count {
        Some(_) => cx.reply.array(0),
        None => cx.reply.null(),
    }
}

/// Replies with the length of the first argument's collection, 0 where the key is missing: SCARD, HLEN and
/// their like.
///
/// # Errors
/// The key holds another type.
pub fn write_len<T: Collection>(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    len: impl FnOnce(&T) -> usize,
) -> CommandResult {
    let key = cx.key(arguments, 1);
    match read::<T>(&cx.keys, &key)? {
        Some(collection) => cx.reply.count(len(collection)),
        None => {
            cx.missed(&key);
            cx.reply.int(0);
        }
    }
    Ok(())
}

/// Calls `write_one`, which writes an element, `count` times.
///
/// # Errors
/// A reply beyond [`REPEATED_REPLY_MAX`], which is estimated from the first elements.
pub fn repeat(
    keys: &Access<'_, '_>,
    reply: &mut Reply<'_>,
    count: u64,
    mut write_one: impl FnMut(&mut Reply<'_>),
) -> CommandResult {
    keys.may_take_units(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(RANDOM_WORK))?;
    repeat_within(REPEATED_REPLY_MAX, reply, count, |reply| {
        keys.work(RANDOM_WORK);
        write_one(reply);
    })
}

fn repeat_within(
    max: usize,
    reply: &mut Reply<'_>,
    count: u64,
    mut write_one: impl FnMut(&mut Reply<'_>),
) -> CommandResult {
    /// Bytes of the shortest element, which is a number of one digit.
    const SHORTEST: u64 = 4;
    /// Number of elements after which the whole length is estimated.
    const SAMPLE: u64 = 64;
    if count.saturating_mul(SHORTEST) > max as u64 {
        return Err(CommandError::OutOfRange);
    }
    let start = reply.position();
    for index in 1..=count {
        write_one(reply);
        let written = reply.position() - start;
        let is_too_long = index == SAMPLE && (written as u64 / SAMPLE).saturating_mul(count) > max as u64;
        if is_too_long || written > max {
            return Err(CommandError::OutOfRange);
        }
    }
    Ok(())
}

/// Runs SSCAN, HSCAN and their like. `walk` visits elements from a cursor on, writes those that the options
/// select, and returns the next cursor and the number of replies written.
///
/// Checks in Redis's order: cursor, key, type, and options only if the key exists.
///
/// # Errors
/// Wrong cursor, type or options.
pub fn scan<T: Collection>(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    allows_no_values: bool,
    walk: impl FnOnce(&T, u64, &ScanOptions<'_>, &mut Reply<'_>) -> (u64, usize),
) -> CommandResult {
    let cursor = parse_u64(arguments[2]).ok_or(CommandError::InvalidCursor)?;
    let key = cx.key(arguments, 1);
    let Some(collection) = read::<T>(&cx.keys, &key)? else {
        cx.missed(&key);
        write_page(&mut cx.reply, 0, 0, &[]);
        return Ok(());
    };
    let options = ScanOptions::parse(&arguments[3..], false)?;
    if options.no_values && !allows_no_values {
        return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
    }
    cx.keys.expect_elements(&key, options.count, 10)?;
    // The reply has the cursor before the elements, but it is known only after them: they are written into a
    // buffer of their own first.
    let mut elements = Vec::new();
    let (next, count) =
        walk(collection, cursor, &options, &mut Reply::new(&mut elements, cx.reply.version()));
    write_page(&mut cx.reply, next, count, &elements);
    Ok(())
}

fn write_page(reply: &mut Reply<'_>, next: u64, count: usize, elements: &[u8]) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(count);
    reply.raw(elements);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Version;

    #[test]
    fn counts_are_symmetric() {
        assert_eq!(signed_count(b"-9223372036854775807"), Ok(-i64::MAX));
        assert_eq!(signed_count(b"9223372036854775808"), Err(CommandError::NotAnInteger));
        let text = signed_count(b"-9223372036854775808").unwrap_err().to_string();
        assert!(text.ends_with("between -9223372036854775807 and 9223372036854775807"), "{text}");
    }

    #[test]
    fn repetition_ends_where_replies_become_useless() {
        let mut out = b"before".to_vec();
        let mut reply = Reply::new(&mut out, Version::Resp2);
        let mut repeat = |count| repeat_within(40, &mut reply, count, |reply| reply.int(7));
        assert_eq!(repeat(10), Ok(()), "ten replies of four bytes are just within it");
        assert_eq!(repeat(11), Err(CommandError::OutOfRange));
        assert_eq!(repeat(u64::MAX), Err(CommandError::OutOfRange));
    }

    /// As many as were asked for were written until the reply was too long.
    #[test]
    fn long_repetitions_are_refused_by_what_the_first_ones_take() {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Version::Resp2);
        let mut written = 0;
        let mut repeat = |count, bytes: usize| {
            written = 0;
            let result = repeat_within(1 << 20, &mut reply, count, |reply| {
                written += 1;
                reply.bulk(&vec![b'x'; bytes]);
            });
            (result, written)
        };
        assert_eq!(repeat(1 << 20, 1), (Err(CommandError::OutOfRange), 0), "too many of any length");
        assert_eq!(repeat(100_000, 100), (Err(CommandError::OutOfRange), 64), "too many of this length");
        assert_eq!(repeat(1000, 100), (Ok(()), 1000));
    }

    #[test]
    fn random_options_are_checked_in_redis_order() {
        let parse = |text: &'static str| {
            random_options(
                &text.split_ascii_whitespace().map(str::as_bytes).collect::<Vec<_>>(),
                "WITHVALUES",
            )
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
}
