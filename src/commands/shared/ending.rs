//! Elements that end: fields of hashes and members of sets. HEXPIRE, SEXPIRE and their families are one mechanism
//! with two ways to write the arguments, to tell the changes and to enter them into the journal.

use crate::command::{Flags, KeySpec, args};
use crate::commands::generic::expire::{Conditions, EARLIEST_END_MS};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::CommandError;
use crate::keyspace::access::Access;
use crate::keyspace::key_hash::HashedKey;
use crate::types::hash::Hash;
use crate::types::set::Set;

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];
const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)];

/// Entry of a command that gives elements an expiry (HEXPIRE), with the rest of it from `like`.
pub const fn setter(name: &'static str, like: Command) -> Command {
    Command { name, arity: -6, flags: Flags::WRITE.and(Flags::FAST).and(like.flags), keys: UPDATE, ..like }
}

/// Entry of a command that says when elements end (HTTL), with the rest of it from `like`.
pub const fn getter(name: &'static str, like: Command) -> Command {
    Command { name, arity: -5, flags: Flags::READONLY.and(Flags::FAST), keys: READ, ..like }
}

/// Entry of a command that takes elements their expiry (HPERSIST), with the rest of it from `like`.
pub const fn persister(name: &'static str, like: Command) -> Command {
    Command { name, arity: -5, flags: Flags::WRITE.and(Flags::FAST), keys: UPDATE, ..like }
}

/// The unit of a time: its length in milliseconds, and whether the time counts from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    ms: i64,
    from_now: bool,
}

/// Seconds from now.
pub const SECONDS: Unit = Unit { ms: 1000, from_now: true };
/// Milliseconds from now.
pub const MILLISECONDS: Unit = Unit { ms: 1, from_now: true };
/// Seconds of Unix time.
pub const UNIX_SECONDS: Unit = Unit { ms: 1000, from_now: false };
/// Milliseconds of Unix time.
pub const UNIX_MILLISECONDS: Unit = Unit { ms: 1, from_now: false };

impl Unit {
    /// The unit of the time behind this option of HSETEX and its like; `None` where the word is no such option.
    pub fn of_option(word: &[u8]) -> Option<Self> {
        const OPTIONS: [(&str, Unit); 4] =
            [("EX", SECONDS), ("PX", MILLISECONDS), ("EXAT", UNIX_SECONDS), ("PXAT", UNIX_MILLISECONDS)];
        OPTIONS.into_iter().find(|(name, _)| args::is(word, name)).map(|(_, unit)| unit)
    }

    /// The time in milliseconds of Unix time. Zero is allowed, unlike in options of SET; a negative time is not,
    /// unlike in EXPIRE.
    ///
    /// # Errors
    /// Negative, or beyond 63 bits.
    pub fn end_ms(self, amount: i64, cx: &Context<'_>) -> Result<u64, CommandError> {
        self.after(amount, cx.keys.now_ms)
            .ok_or_else(|| CommandError::InvalidExpireTime(cx.command.spec.name.into()))
    }

    /// [`end_ms`](Self::end_ms) at the time `now_ms`.
    fn after(self, amount: i64, now_ms: u64) -> Option<u64> {
        let ms = u64::try_from(amount.checked_mul(self.ms)?).ok()?;
        let at_ms = if self.from_now { ms.checked_add(now_ms)? } else { ms.max(EARLIEST_END_MS) };
        i64::try_from(at_ms).is_ok().then_some(at_ms)
    }
}

/// A collection whose elements may have an expiry. Times are in milliseconds of Unix time.
pub trait Ending: collection::Collection {
    /// Changes a key's collection in place; `None` without the key.
    ///
    /// # Errors
    /// The key holds another type.
    fn change<T>(
        keys: &mut Access<'_, '_>,
        key: &HashedKey<'_>,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<Option<T>, CommandError>;

    /// Whether the element is there and has not ended by `ended_ms`.
    fn holds(&self, element: &[u8], ended_ms: u64) -> bool;

    /// An element's expiry.
    fn ends_at_ms(&self, element: &[u8]) -> Option<u64>;

    /// Gives an element that is there an expiry.
    fn end_at(&mut self, element: &[u8], at_ms: u64);

    /// Removes an element, whose time of `past_ms` or earlier is over.
    fn end_now(&mut self, element: &[u8], past_ms: u64);

    /// Takes an element its expiry. Returns whether it had one.
    fn stay(&mut self, element: &[u8]) -> bool;

    /// Whether no element is left.
    fn is_emptied(&self) -> bool;
}

impl Ending for Hash {
    fn change<T>(
        keys: &mut Access<'_, '_>,
        key: &HashedKey<'_>,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<Option<T>, CommandError> {
        collection::change_hash(keys, key, change)
    }

    fn holds(&self, field: &[u8], ended_ms: u64) -> bool {
        self.contains(field, ended_ms)
    }

    fn ends_at_ms(&self, field: &[u8]) -> Option<u64> {
        self.expire_at_ms(field)
    }

    fn end_at(&mut self, field: &[u8], at_ms: u64) {
        self.set_expire(field, at_ms);
    }

    fn end_now(&mut self, field: &[u8], past_ms: u64) {
        self.remove(field, past_ms);
    }

    fn stay(&mut self, field: &[u8]) -> bool {
        self.persist(field)
    }

    fn is_emptied(&self) -> bool {
        self.is_empty()
    }
}

impl Ending for Set {
    fn change<T>(
        keys: &mut Access<'_, '_>,
        key: &HashedKey<'_>,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<Option<T>, CommandError> {
        collection::change_set(keys, key, change)
    }

    fn holds(&self, member: &[u8], ended_ms: u64) -> bool {
        self.at(ended_ms).contains(member)
    }

    fn ends_at_ms(&self, member: &[u8]) -> Option<u64> {
        self.expire_at_ms(member)
    }

    fn end_at(&mut self, member: &[u8], at_ms: u64) {
        self.set_expire(member, at_ms);
    }

    fn end_now(&mut self, member: &[u8], _past_ms: u64) {
        self.remove(member);
    }

    fn stay(&mut self, member: &[u8]) -> bool {
        self.persist(member)
    }

    fn is_emptied(&self) -> bool {
        self.is_empty()
    }
}

/// Gives an element that is there an expiry. If that is not after `past_ms` ([`Access::past_ms`]) the element is
/// removed at once, and true is returned.
pub fn set_end(collection: &mut impl Ending, element: &[u8], at_ms: u64, past_ms: u64) -> bool {
    let ends_now = at_ms <= past_ms;
    match ends_now {
        true => collection.end_now(element, past_ms),
        false => collection.end_at(element, at_ms),
    }
    ends_now
}

/// Replies for one element.
const MISSING: i64 = -2;
const STAYS: i64 = -1;
const REFUSED: i64 = 0;
const DONE: i64 = 1;
const ENDED: i64 = 2;

/// What a command has done to elements.
#[derive(Debug, Default)]
pub struct Changed<'e> {
    /// The elements that were changed, in the order of the arguments.
    pub elements: Vec<&'e [u8]>,
    /// Whether none is left, so that the key has to be deleted.
    pub emptied: bool,
}

/// Gives those of the elements an expiry for which `conditions` hold, and writes the reply.
///
/// # Errors
/// The key holds another type.
pub fn set_ends<'e, C: Ending>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    elements: &[&'e [u8]],
    conditions: &Conditions,
    at_ms: u64,
) -> Result<Changed<'e>, CommandError> {
    let past_ms = cx.keys.past_ms();
    change_each::<C>(cx, key, elements, |collection, element| {
        if !conditions.hold(collection.ends_at_ms(element), at_ms as i64) {
            return (REFUSED, false);
        }
        (if set_end(collection, element, at_ms, past_ms) { ENDED } else { DONE }, true)
    })
}

/// Takes the elements their expiries, and writes the reply.
///
/// # Errors
/// The key holds another type.
pub fn persist<'e, C: Ending>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    elements: &[&'e [u8]],
) -> Result<Changed<'e>, CommandError> {
    change_each::<C>(cx, key, elements, |collection, element| match collection.stay(element) {
        true => (DONE, true),
        false => (STAYS, false),
    })
}

/// Calls `change` for each of the elements that is there; it returns the element's reply and whether it has changed
/// the element. Writes the reply.
fn change_each<'e, C: Ending>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    elements: &[&'e [u8]],
    mut change: impl FnMut(&mut C, &[u8]) -> (i64, bool),
) -> Result<Changed<'e>, CommandError> {
    let (ended_ms, reply) = (cx.keys.ended_ms, &mut cx.reply);
    let changed = C::change(&mut cx.keys, key, |collection| {
        reply.array(elements.len());
        let mut changed = Vec::new();
        for &element in elements {
            if !collection.holds(element, ended_ms) {
                reply.int(MISSING);
                continue;
            }
            let (code, is_changed) = change(collection, element);
            reply.int(code);
            if is_changed {
                changed.push(element);
            }
        }
        Changed { elements: changed, emptied: collection.is_emptied() }
    })?;
    Ok(changed.unwrap_or_else(|| {
        cx.reply.array(elements.len());
        elements.iter().for_each(|_| cx.reply.int(MISSING));
        Changed::default()
    }))
}

/// Replies with when the elements end, as `show` makes it of an expiry and the present time. `collection` is what
/// the key holds.
pub fn show_ends<C: Ending>(
    cx: &mut Context<'_>,
    key: &HashedKey<'_>,
    elements: &[&[u8]],
    show: fn(at_ms: u64, now_ms: u64) -> u64,
) -> Result<(), CommandError> {
    let (now_ms, ended_ms) = (cx.keys.now_ms, cx.keys.ended_ms);
    let collection = collection::read::<C>(&cx.keys, key)?;
    if collection.is_none() {
        cx.missed(key);
    }
    cx.reply.array(elements.len());
    for element in elements {
        cx.reply.int(match collection {
            Some(collection) if collection.holds(element, ended_ms) => {
                collection.ends_at_ms(element).map_or(STAYS, |at_ms| show(at_ms, now_ms) as i64)
            }
            _ => MISSING,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_unix_milliseconds() {
        assert_eq!(SECONDS.after(10, 500), Some(10_500));
        assert_eq!(MILLISECONDS.after(10, 500), Some(510));
        assert_eq!(UNIX_SECONDS.after(10, 500), Some(10_000));
        assert_eq!(UNIX_MILLISECONDS.after(0, 500), Some(EARLIEST_END_MS));
        assert_eq!(SECONDS.after(0, 500), Some(500));
        assert_eq!(MILLISECONDS.after(-1, 500), None);
        assert_eq!(UNIX_MILLISECONDS.after(i64::MAX, 500), Some(i64::MAX as u64));
        assert_eq!(MILLISECONDS.after(i64::MAX, 500), None);
        assert_eq!(UNIX_SECONDS.after(i64::MAX / 999, 0), None);
    }

    #[test]
    fn conditions_compare_with_an_element_that_stays_as_the_latest() {
        let words = |text: &'static str| text.split_ascii_whitespace().map(str::as_bytes).collect::<Vec<_>>();
        let hold = |text, end_ms| Conditions::parse(&words(text)).unwrap().hold(end_ms, 100);
        assert!(hold("", None) && hold("", Some(5)));
        assert!(hold("NX", None) && !hold("NX", Some(5)));
        assert!(!hold("XX", None) && hold("xx", Some(5)));
        assert!(!hold("GT", None) && hold("GT", Some(99)) && !hold("GT", Some(100)));
        assert!(hold("LT", None) && !hold("LT", Some(100)) && hold("LT", Some(101)));
        assert!(!hold("XX LT", None) && hold("XX LT", Some(101)));
        for wrong in ["NX XX", "LT NX", "GT LT", "NX NX XX", "KEEPTTL"] {
            assert!(Conditions::parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
