//! Hash fields read or set together with their expiries: HGETEX and HSETEX.

use crate::command::{Family, Flags, KeySpec, args};
use crate::commands::hash::expiry::{End, enter_persisted, find_fields, of_fields, tell_ends};
use crate::commands::hash::fields::{counted_fields, enter_fields, enter_set, has_lapsed, tell_lapsed};
use crate::commands::shared::collection;
use crate::commands::shared::ending::{Unit, set_end};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::shared::stats::Counter;
use crate::types::hash::{Hash, HashLimits};

const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hgetex",
        arity: -5,
        flags: FAST_WRITE,
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
        syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] \
                 FIELDS(numfields@0 field [field ...])",
        summary: "Returns the values of fields of a hash and sets or removes their ends.",
        reply: "an array of values and nulls",
        family: Family::Each("8.0", "9.0"),
        run: hgetex,
        ..of_fields()
    },
    Command {
        name: "hsetex",
        arity: -6,
        flags: FAST_WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::INSERT)],
        syntax: "key [NX | XX] [FNX | FXX] \
                 [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
                 FIELDS(numfields@0 field value [field value ...])",
        summary: "Sets fields of a hash together with their ends, with conditions if wanted.",
        reply: "1 if set, else 0",
        family: Family::Each("8.0", "9.0"),
        run: hsetex,
        ..of_fields()
    },
];

/// What HGETEX and HSETEX do to the expiries of their fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ends<'a> {
    /// No option: HGETEX keeps them, HSETEX removes them.
    #[default]
    Default,
    /// PERSIST of HGETEX.
    Remove,
    /// KEEPTTL of HSETEX.
    Keep,
    /// EX, PX, EXAT, PXAT.
    Set(End<'a>),
}

impl<'a> Ends<'a> {
    /// Adds another option. An option of the same kind replaces the earlier one; two kinds exclude each
    /// other.
    fn and(self, other: Ends<'a>) -> Result<Self, CommandError> {
        match (self, other) {
            (Ends::Default, _) => Ok(other),
            (Ends::Set(old), Ends::Set(new)) if old.unit == new.unit => Ok(other),
            _ if self == other => Ok(other),
            _ => Err(CommandError::Syntax),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    ends: Ends<'a>,
    /// NX (`false`) or XX (`true`): whether the key has to exist.
    key: Option<bool>,
    /// FNX (`false`) or FXX (`true`): whether the fields have to exist.
    fields: Option<bool>,
}

impl<'a> Options<'a> {
    /// Reads the words between the key and `FIELDS`.
    fn parse(words: &[&'a [u8]], sets: bool) -> Result<Self, CommandError> {
        let mut options = Options::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let Some(unit) = Unit::of_option(word) else {
                options.take(word, sets)?;
                continue;
            };
            let amount = words.next().ok_or(CommandError::Syntax)?;
            options.ends = options.ends.and(Ends::Set(End { amount, unit }))?;
        }
        Ok(options)
    }

    /// Reads an option without a value.
    fn take(&mut self, word: &[u8], sets: bool) -> CommandResult {
        let set = |condition: &mut Option<bool>, wanted| match condition.replace(wanted) {
            Some(before) if before != wanted => Err(CommandError::Syntax),
            _ => Ok(()),
        };
        match word {
            _ if !sets && args::is(word, "PERSIST") => self.ends = self.ends.and(Ends::Remove)?,
            _ if sets && args::is(word, "KEEPTTL") => self.ends = self.ends.and(Ends::Keep)?,
            _ if sets && args::is(word, "NX") => set(&mut self.key, false)?,
            _ if sets && args::is(word, "XX") => set(&mut self.key, true)?,
            _ if sets && args::is(word, "FNX") => set(&mut self.fields, false)?,
            _ if sets && args::is(word, "FXX") => set(&mut self.fields, true)?,
            _ => return Err(CommandError::Syntax),
        }
        Ok(())
    }
}

fn hgetex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let at = find_fields(arguments, 2)?;
    let options = Options::parse(&arguments[2..at], false)?;
    let fields = counted_fields(arguments, at, 1)?;
    let key = cx.key(arguments, 1);
    // The command counts as a read of the key, and a wrong type is reported before a wrong time.
    if collection::read::<Hash>(&cx.keys, &key)?.is_none() {
        cx.missed(&key);
    }
    let at_ms = if let Ends::Set(end) = options.ends { Some(end.resolve(cx)?) } else { None };
    let (now_ms, past_ms) = (cx.keys.ended_ms, cx.keys.past_ms());
    let reply = &mut cx.reply;
    let change = collection::change_hash(&mut cx.keys, &key, |hash| {
        reply.array(fields.len());
        let mut changed = Vec::new();
        for &field in fields {
            match hash.get(field, now_ms) {
                Some(value) => reply.bulk(&value),
                None => {
                    reply.null();
                    continue;
                }
            }
            if let Some(at_ms) = at_ms {
                set_end(hash, field, at_ms, past_ms);
                changed.push(field);
            } else if options.ends == Ends::Remove && hash.persist(field) {
                changed.push(field);
            }
        }
        (changed, hash.is_empty())
    })?;
    let Some((changed, emptied)) = change else {
        cx.reply.array(fields.len());
        fields.iter().for_each(|_| cx.reply.null());
        return Ok(());
    };
    match at_ms {
        Some(at_ms) => tell_ends(cx, &key, at_ms, &changed, emptied),
        None if !changed.is_empty() => {
            enter_persisted(cx, &key, &changed);
            collection::changed_fields(cx, &key, "hpersist", changed.iter().copied());
        }
        None => {}
    }
    Ok(())
}

fn hsetex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let at = find_fields(arguments, 2)?;
    let options = Options::parse(&arguments[2..at], true)?;
    let pairs = counted_fields(arguments, at, 2)?;
    let key = cx.key(arguments, 1);
    let is_there = collection::change_hash(&mut cx.keys, &key, |_| ())?.is_some();
    if options.key.is_some_and(|wanted| wanted != is_there) {
        cx.reply.int(0);
        return Ok(());
    }
    let at_ms = if let Ends::Set(end) = options.ends { Some(end.resolve(cx)?) } else { None };
    let (limits, now_ms, past_ms) =
        (cx.server.settings.collections.hash(), cx.keys.ended_ms, cx.keys.past_ms());
    let set = |hash: &mut Hash| {
        let holds = |wanted| pairs.chunks_exact(2).all(|pair| hash.contains(pair[0], now_ms) == wanted);
        options.fields.is_none_or(holds).then(|| {
            let keep = options.ends == Ends::Keep;
            let lapsed = set_with_ends(hash, pairs, keep, at_ms, (now_ms, past_ms), &limits);
            (lapsed, hash.has_expiries(), hash.is_empty())
        })
    };
    let mut done = collection::change_hash(&mut cx.keys, &key, set)?;
    if done.is_none() {
        let mut hash = Hash::new();
        done = Some(set(&mut hash));
        if done != Some(None) {
            collection::put(cx, &key, hash);
        }
    }
    let Some((lapsed, has_expiries, emptied)) = done.flatten() else {
        cx.reply.int(0);
        return Ok(());
    };
    let ends_now = at_ms.is_some_and(|at_ms| at_ms <= past_ms);
    if cx.is_journaled() {
        enter_pairs(
            cx,
            &key,
            pairs,
            options.ends == Ends::Keep && has_expiries,
            at_ms.map(|at_ms| (at_ms, ends_now)),
            &lapsed,
        );
    }
    tell_lapsed(cx, &key, if ends_now { &[] } else { &lapsed });
    let fields = pairs.iter().step_by(2).copied();
    collection::changed_fields(cx, &key, "hset", fields.clone());
    if at_ms.is_some() {
        collection::also(cx, &key, EventClass::HASH, "hexpire");
        cx.tell_fields(&key, "hexpire", fields.clone());
    }
    if ends_now {
        collection::also(cx, &key, EventClass::HASH, "hexpired");
        cx.tell_fields(&key, "hexpired", fields);
        cx.count(Counter::ExpiredFields, pairs.len() as u64 / 2);
        if emptied {
            cx.delete_emptied(&key);
        }
    }
    cx.reply.int(1);
    Ok(())
}

/// Sets fields with their expiries. The two times are those up to which fields have expired, and up to which
/// a new expiry ends its field at once. Returns those of the fields that had expired and were not removed
/// yet.
fn set_with_ends<'a>(
    hash: &mut Hash,
    pairs: &[&'a [u8]],
    keep: bool,
    at_ms: Option<u64>,
    (now_ms, past_ms): (u64, u64),
    limits: &HashLimits,
) -> Vec<&'a [u8]> {
    let mut lapsed = Vec::new();
    hash.expect(pairs.len() / 2, limits);
    for pair in pairs.chunks_exact(2) {
        let (field, value) = (pair[0], pair[1]);
        if has_lapsed(hash, field, now_ms) {
            lapsed.push(field);
        }
        if keep {
            hash.set_keeping_expiry(field, value, now_ms, limits);
        } else {
            hash.set(field, value, now_ms, limits);
        }
        if let Some(at_ms) = at_ms {
            set_end(hash, field, at_ms, past_ms);
        }
    }
    lapsed
}

/// Enters into the journal that pairs of fields and values were set: keeping their expiries, or with a new
/// one (and whether that has ended them at once). Fields that had `lapsed` have kept nothing.
fn enter_pairs(
    cx: &Context<'_>,
    key: &HashedKey<'_>,
    pairs: &[&[u8]],
    keep: bool,
    end: Option<(u64, bool)>,
    lapsed: &[&[u8]],
) {
    let mut count = itoa::Buffer::new();
    let count = count.format(pairs.len() / 2).as_bytes();
    match end {
        Some((_, true)) => {
            let fields: Vec<&[u8]> = pairs.iter().step_by(2).copied().collect();
            enter_fields(cx, &[b"HDEL", key.bytes], &fields);
        }
        Some((at_ms, false)) => {
            let mut time = itoa::Buffer::new();
            let time = time.format(at_ms).as_bytes();
            enter_fields(cx, &[b"HSETEX", key.bytes, b"PXAT", time, b"FIELDS", count], pairs);
        }
        None if !keep => enter_fields(cx, &[b"HSET", key.bytes], pairs),
        None if lapsed.is_empty() => {
            enter_fields(cx, &[b"HSETEX", key.bytes, b"KEEPTTL", b"FIELDS", count], pairs);
        }
        None => {
            for pair in pairs.chunks_exact(2) {
                enter_set(cx, key, pair[0], pair[1], lapsed.contains(&pair[0]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::shared::ending::{SECONDS, UNIX_MILLISECONDS};

    fn words(text: &'static str) -> Vec<&'static [u8]> {
        text.split_ascii_whitespace().map(str::as_bytes).collect()
    }

    #[test]
    fn options_of_one_kind_may_be_repeated() {
        let parse = |text, sets| Options::parse(&words(text), sets);
        let end = |amount, unit| Ends::Set(End { amount, unit });
        assert_eq!(parse("", true), Ok(Options::default()));
        assert_eq!(parse("ex 10 EX 20", true).unwrap().ends, end(b"20", SECONDS));
        assert_eq!(parse("pxat abc", false).unwrap().ends, end(b"abc", UNIX_MILLISECONDS));
        assert_eq!(parse("PERSIST persist", false).unwrap().ends, Ends::Remove);
        let all = parse("fnx KEEPTTL NX nx KEEPTTL", true).unwrap();
        assert_eq!(all, Options { ends: Ends::Keep, key: Some(false), fields: Some(false) });
        for wrong in ["EX", "EX 10 PX 10", "EX 10 KEEPTTL", "NX XX", "FXX FNX", "PERSIST", "GET", "10"] {
            assert_eq!(parse(wrong, true), Err(CommandError::Syntax), "{wrong}");
        }
        for wrong in ["KEEPTTL", "NX", "FXX", "PERSIST EX 10", "EX 10 PERSIST"] {
            assert_eq!(parse(wrong, false), Err(CommandError::Syntax), "{wrong}");
        }
    }

    #[test]
    fn fields_are_set_with_their_ends() {
        let limits = HashLimits::default();
        let mut hash = Hash::new();
        let mut set = |pairs, keep, at_ms, now_ms| {
            set_with_ends(&mut hash, &words(pairs), keep, at_ms, (now_ms, now_ms), &limits)
        };
        let none: [&[u8]; 0] = [];
        assert_eq!(set("a 1 b 2", false, Some(50), 10), none);
        assert_eq!(set("a 3", true, None, 20), none);
        assert_eq!(set("b 4", false, None, 20), none);
        assert_eq!(set("a 5 c 6", false, Some(60), 55), [b"a"], "a was over");
        assert_eq!(set("c 7 d 8", false, Some(55), 55), none, "gone at once");
        let left = hash.iter(55).map(|(field, value)| (field.to_vec(), value.to_vec()));
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, [(b"a".to_vec(), b"5".to_vec()), (b"b".to_vec(), b"4".to_vec())]);
        assert_eq!((hash.expire_at_ms(b"a"), hash.expire_at_ms(b"b")), (Some(60), None));
    }
}
