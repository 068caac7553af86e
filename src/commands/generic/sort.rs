//! SORT and SORT_RO: the elements of a list, set or sorted set in order, by themselves or by the values of
//! other keys whose names are made of them.

use std::cmp::Ordering;

use crate::command::keys::{KeyPosition, KeyPositions, last_behind};
use crate::command::{Begin, Category, Find, Flags, Group, KeySpec, args};
use crate::commands::shared::collection;
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::string_bytes;
use crate::engine::context::{Context, Origin};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::key_slot;
use crate::keyspace::record::ValueRef;
use crate::keyspace::value::Object;
use crate::primitives::number::{parse_f64, parse_i64};
use crate::types::list::{End, List, ListElement};
use crate::types::packed::entry::Element;

const READS: u16 = KeySpec::RO | KeySpec::ACCESS;
const STORES: u16 = KeySpec::OW | KeySpec::UPDATE;

/// Key spec of keys that the arguments do not name.
const fn unknown(flags: u16) -> KeySpec {
    KeySpec { flags, begin: Begin::Unknown, find: Find::Unknown }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(1, READS), unknown(READS), unknown(STORES)],
        moving_keys: Some(sort_keys),
        alone: Some(|server, _, arguments| reaches_further(server, arguments, true)),
        leaves_slot: Some(|arguments| leaves_slot(arguments, true)),
        summary: "Returns the elements of a list, set or sorted set in order, or keeps them as a list.",
        syntax: "key [BY by-pattern:pattern@1] [LIMIT(offset count)] [GET get-pattern:pattern@1 [GET get-pattern:pattern@1 ...]] [ASC | DESC] [ALPHA] [STORE destination]",
        reply: "an array of the elements or of what stands under keys made of them, or the number stored",
        run: sort,
        ..entry("sort", "1.0.0")
    },
    Command {
        flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(1, READS), unknown(READS)],
        moving_keys: Some(sort_ro_keys),
        alone: Some(|server, _, arguments| reaches_further(server, arguments, false)),
        leaves_slot: Some(|arguments| leaves_slot(arguments, false)),
        summary: "Returns the elements of a list, set or sorted set in order.",
        syntax: "key [BY by-pattern:pattern@1] [LIMIT(offset count)] [GET get-pattern:pattern@1 [GET get-pattern:pattern@1 ...]] [ASC | DESC] [ALPHA]",
        reply: "an array of the elements or of what stands under keys made of them",
        run: sort_ro,
        ..entry("sort_ro", "7.0.0")
    },
];

const fn entry(name: &'static str, since: &'static str) -> Command {
    Command {
        name,
        arity: -2,
        categories: &[Category::Set, Category::SortedSet, Category::List, Category::Dangerous],
        group: Group::Generic,
        since,
        complexity: "O(N+M*log(M)) where N is the number of elements and M of those returned",
        ..Command::DEFAULT
    }
}

/// A name with a placeholder for an element: a key, or a field of the hash under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pattern<'a> {
    before: &'a [u8],
    after: &'a [u8],
    field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    /// Reads a pattern; `None` without `*`, which names nothing.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let star = memchr::memchr(b'*', text)?;
        let (before, after) = (&text[..star], &text[star + 1..]);
        let arrow = memchr::memmem::find(after, b"->").filter(|arrow| arrow + 2 < after.len());
        Some(match arrow {
            Some(arrow) => Pattern { before, after: &after[..arrow], field: Some(&after[arrow + 2..]) },
            None => Pattern { before, after, field: None },
        })
    }

    fn key_of(&self, element: &[u8]) -> Vec<u8> {
        [self.before, element, self.after].concat()
    }

    /// The slot of all keys made of the pattern, where a hash tag without the placeholder decides it.
    fn slot(&self) -> Option<usize> {
        // The placeholder stands for any element, so it must not be part of the tag, nor make one.
        let text = [self.before, b"*", self.after].concat();
        let open = memchr::memchr(b'{', &text)?;
        let close = open + memchr::memchr(b'}', &text[open..])?;
        (close > open + 1 && !text[..=close].contains(&b'*')).then(|| key_slot(&text))
    }
}

/// What GET returns for an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted<'a> {
    /// `#`
    Element,
    /// The value of the key made of the pattern; `None` for a pattern that names nothing.
    Value(Option<Pattern<'a>>),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    by: Option<Pattern<'a>>,
    /// BY with a pattern without placeholder: the order stays as it is.
    unsorted: bool,
    alpha: bool,
    descending: bool,
    limit: Option<(i64, i64)>,
    wanted: Vec<Wanted<'a>>,
    /// First option that reads keys which no argument names.
    reaching: Option<&'static str>,
    /// Index of the argument that is STORE's key.
    target: Option<usize>,
}

impl<'a> Options<'a> {
    fn parse(arguments: &[&'a [u8]], may_store: bool) -> Result<Self, CommandError> {
        let mut options = Options::default();
        let mut words = &arguments[2..];
        while let Some((word, rest)) = words.split_first() {
            let is = |option| args::is(word, option);
            words = match rest {
                _ if is("ASC") => {
                    options.descending = false;
                    rest
                }
                _ if is("DESC") => {
                    options.descending = true;
                    rest
                }
                _ if is("ALPHA") => {
                    options.alpha = true;
                    rest
                }
                [start, count, rest @ ..] if is("LIMIT") => {
                    options.limit = Some((args::int(start)?, args::int(count)?));
                    rest
                }
                [_, rest @ ..] if is("STORE") && may_store => {
                    options.target = Some(arguments.len() - rest.len() - 1);
                    rest
                }
                [pattern, rest @ ..] if is("BY") => {
                    options.by = Pattern::parse(pattern);
                    options.unsorted |= options.by.is_none();
                    if options.by.is_some() {
                        options.reaching.get_or_insert("BY");
                    }
                    rest
                }
                [pattern, rest @ ..] if is("GET") => {
                    options.reaching.get_or_insert("GET");
                    options.wanted.push(match *pattern {
                        b"#" => Wanted::Element,
                        pattern => Wanted::Value(Pattern::parse(pattern)),
                    });
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        if options.unsorted {
            options.by = None;
        }
        Ok(options)
    }

    /// An order, or its reverse with DESC.
    fn directed(&self, order: Ordering) -> Ordering {
        if self.descending { order.reverse() } else { order }
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern<'a>> {
        let of_values = self.wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Value(pattern) => pattern.as_ref(),
            Wanted::Element => None,
        });
        self.by.iter().chain(of_values)
    }

    /// In a cluster, the keys made of patterns have to be in the slot of the sorted key.
    fn check_slots(&self, key: &[u8]) -> CommandResult {
        let is_elsewhere = |pattern: &Pattern<'_>| pattern.slot() != Some(key_slot(key));
        let option = if self.by.as_ref().is_some_and(is_elsewhere) {
            "BY"
        } else if self.patterns().any(is_elsewhere) {
            "GET"
        } else {
            return Ok(());
        };
        Err(CommandError::new(format!(
            "ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
        )))
    }
}

fn sort_keys(arguments: &[&[u8]], found: &mut KeyPositions) {
    keys(arguments, found, true);
}

fn sort_ro_keys(arguments: &[&[u8]], found: &mut KeyPositions) {
    keys(arguments, found, false);
}

fn keys(arguments: &[&[u8]], found: &mut KeyPositions, may_store: bool) {
    found.push(KeyPosition { argument: 1, flags: READS });
    let target = match Options::parse(arguments, may_store) {
        Ok(options) => options.target,
        // A request with other errors still names the key, for COMMAND GETKEYS and for access control.
        Err(_) if may_store => last_behind(arguments, 2, &["STORE"], &[("LIMIT", 2), ("GET", 1), ("BY", 1)]),
        Err(_) => None,
    };
    found.extend(target.map(|argument| KeyPosition { argument, flags: STORES }));
}

/// Whether keys are read that no argument names. In a cluster they are all in the slot that is locked anyway, but
/// under a profile that only warns.
fn reaches_further(server: &Server, arguments: &[&[u8]], may_store: bool) -> bool {
    let Ok(options) = Options::parse(arguments, may_store) else { return false };
    if server.cluster.is_enabled() {
        return !server.keeps_to_slots() && options.check_slots(arguments[1]).is_err();
    }
    options.patterns().next().is_some()
}

/// Whether the keys that patterns make may be of other slots than the sorted key's.
fn leaves_slot(arguments: &[&[u8]], may_store: bool) -> bool {
    let options = Options::parse(arguments, may_store);
    options.is_ok_and(|options| options.check_slots(arguments[1]).is_err())
}

fn sort(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    run(cx, arguments, true)
}

fn sort_ro(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    run(cx, arguments, false)
}

fn run(cx: &mut Context<'_>, arguments: &[&[u8]], may_store: bool) -> CommandResult {
    let mut options = Options::parse(arguments, may_store)?;
    if cx.server.keeps_to_slots() {
        options.check_slots(arguments[1])?;
    }
    if let Some(option) = options.reaching
        && !cx.server.may_read_every_key(cx.client, cx.command, arguments)
    {
        return Err(CommandError::new(format!(
            "ERR {option} option of SORT denied due to insufficient ACL permissions."
        )));
    }
    let elements = elements(cx, arguments, &mut options)?;
    let order =
        if options.unsorted { (0..elements.len()).collect() } else { order(cx, &elements, &options)? };
    let ordered = Ordered { elements, order };
    match options.target {
        Some(target) => keep(cx, arguments, target, &options, &ordered),
        None => answer(cx, &options, &ordered),
    }
    Ok(())
}

/// Elements one behind the other, without an allocation for each.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    /// Where each element ends in `bytes`.
    ends: Vec<usize>,
}

impl Elements {
    fn push(&mut self, pieces: [&[u8]; 2]) {
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

/// The elements to be sorted; when they are not sorted, only those within LIMIT.
fn elements(
    cx: &Context<'_>,
    arguments: &[&[u8]],
    options: &mut Options<'_>,
) -> Result<Elements, CommandError> {
    let key = cx.key(arguments, 1);
    let mut elements = Elements::default();
    let Some(record) = cx.read(&key) else { return Ok(elements) };
    let ValueRef::Object(object) = record.value() else { return Err(CommandError::WrongType) };
    let range = |len| if options.unsorted { limits_of(options.limit, len) } else { 0..len };
    cx.keys.expect(if options.unsorted { 1 } else { 20 } * object.free_effort())?;
    match object {
        Object::List(list) => {
            let range = range(list.len());
            let mut push = |element: ListElement<'_>| elements.push([element.prefix, &element.rest]);
            if range.is_empty() {
                // Nothing is within LIMIT.
            } else if options.unsorted && options.descending {
                let last = list.len() - 1 - range.start;
                list.iter_back_from(last).take(range.len()).for_each(&mut push);
            } else {
                list.iter_from(range.start).take(range.len()).for_each(&mut push);
            }
        }
        Object::Zset(zset) => {
            let range = range(zset.len());
            let push = |(member, _): (Element<'_>, f64)| elements.push([&member, b""]);
            if options.unsorted && options.descending {
                let range = zset.len() - range.end..zset.len() - range.start;
                zset.iter_ranks_back(range).for_each(push);
            } else {
                zset.iter_ranks(range).for_each(push);
            }
        }
        Object::Set(set) => {
            // A set has no order, but what is stored, or replied to a script, has to be the same each time.
            if options.unsorted && (options.target.is_some() || cx.origin == Origin::Script) {
                (options.unsorted, options.alpha) = (false, true);
            }
            if options.target.is_some() {
                cx.keys.note_left_out(cx.keys.database, &key, set);
            }
            let set = set.at(cx.keys.ended_ms);
            let range = if options.unsorted { limits_of(options.limit, set.len()) } else { 0..set.len() };
            set.iter().skip(range.start).take(range.len()).for_each(|member| elements.push([&member, b""]));
        }
        _ => return Err(CommandError::WrongType),
    }
    Ok(elements)
}

/// The range of LIMIT within `len` elements.
fn limits_of(limit: Option<(i64, i64)>, len: usize) -> std::ops::Range<usize> {
    let Some((start, count)) = limit else { return 0..len };
    let start = usize::try_from(start).unwrap_or(0).min(len);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    start..start.saturating_add(count).min(len)
}

/// The indices of the elements within LIMIT, in their order.
fn order(
    cx: &mut Context<'_>,
    elements: &Elements,
    options: &Options<'_>,
) -> Result<Vec<usize>, CommandError> {
    let range = limits_of(options.limit, elements.len());
    let order = match (&options.by, options.alpha) {
        (_, false) => by_number(cx, elements, options)?,
        (None, true) => {
            // Equal elements cannot be told apart.
            let mut order: Vec<usize> = (0..elements.len()).collect();
            order.sort_unstable_by(|a, b| options.directed(elements.get(*a).cmp(elements.get(*b))));
            order
        }
        (Some(by), true) => {
            let all = 0..elements.len();
            // Elements without a value come first.
            let mut weighed: Vec<(Option<Vec<u8>>, usize)> =
                all.map(|index| (value_of(cx, by, elements.get(index)), index)).collect();
            weighed.sort_by(|(a, _), (b, _)| options.directed(a.cmp(b)));
            weighed.into_iter().map(|(_, index)| index).collect()
        }
    };
    Ok(order[range].into())
}

/// The indices of all elements in the order of numbers, those with equal ones in that of their bytes.
fn by_number(
    cx: &mut Context<'_>,
    elements: &Elements,
    options: &Options<'_>,
) -> Result<Vec<usize>, CommandError> {
    let mut weighed = Vec::with_capacity(elements.len());
    for index in 0..elements.len() {
        let element = elements.get(index);
        let weight = match &options.by {
            None => number(element)?,
            // A missing value counts as 0.
            Some(by) => value_of(cx, by, element).map_or(Ok(0.0), |value| number(&value))?,
        };
        let rank = rank(weight);
        weighed.push((if options.descending { !rank } else { rank }, index));
    }
    // Whole numbers are compared without a branch.
    weighed.sort_unstable_by_key(|(rank, _)| *rank);
    for equal in weighed.chunk_by_mut(|(a, _), (b, _)| a == b) {
        equal.sort_unstable_by(|(_, a), (_, b)| options.directed(elements.get(*a).cmp(elements.get(*b))));
    }
    Ok(weighed.into_iter().map(|(_, index)| index).collect())
}

/// A whole number for each number, in the same order. Not for NaN, which is no weight.
fn rank(weight: f64) -> u64 {
    // Makes 0 of -0.
    let bits = (weight + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn number(text: &[u8]) -> Result<f64, CommandError> {
    /// Digits of whole numbers that a float holds exactly.
    const EXACT: usize = 15;
    if text.len() <= EXACT
        && let Some(number) = parse_i64(text)
    {
        return Ok(number as f64);
    }
    parse_f64(text).ok_or(CommandError::text("ERR One or more scores can't be converted into double"))
}

/// The value of the key that a pattern makes of an element.
fn value_of(cx: &mut Context<'_>, pattern: &Pattern<'_>, element: &[u8]) -> Option<Vec<u8>> {
    let name = pattern.key_of(element);
    let key = cx.keys.keyspace.hasher().key(&name);
    if cx.keys.is_alone() {
        cx.keys.reach(&key);
    }
    let record = cx.read(&key)?;
    match (record.value(), pattern.field) {
        (ValueRef::Object(Object::Hash(hash)), Some(field)) => {
            hash.get(field, cx.keys.ended_ms).map(|value| value.to_vec())
        }
        (_, Some(_)) => None,
        (_, None) => string_bytes(record, &mut itoa::Buffer::new()).ok().map(<[u8]>::to_vec),
    }
}

/// Elements, and the indices of the wanted ones in their order.
struct Ordered {
    elements: Elements,
    order: Vec<usize>,
}

/// Calls `take` with each wanted value of each element.
fn for_each_wanted(
    cx: &mut Context<'_>,
    options: &Options<'_>,
    ordered: &Ordered,
    mut take: impl FnMut(&mut Context<'_>, Option<&[u8]>),
) {
    for index in &ordered.order {
        let element = ordered.elements.get(*index);
        if options.wanted.is_empty() {
            take(cx, Some(element));
        }
        for wanted in &options.wanted {
            match wanted {
                Wanted::Element => take(cx, Some(element)),
                Wanted::Value(None) => take(cx, None),
                Wanted::Value(Some(pattern)) => {
                    let value = value_of(cx, pattern, element);
                    take(cx, value.as_deref());
                }
            }
        }
    }
}

fn answer(cx: &mut Context<'_>, options: &Options<'_>, ordered: &Ordered) {
    cx.reply.array(ordered.order.len().saturating_mul(options.wanted.len().max(1)));
    for_each_wanted(cx, options, ordered, |cx, value| cx.reply.bulk_or_null(value));
}

fn keep(cx: &mut Context<'_>, arguments: &[&[u8]], target: usize, options: &Options<'_>, ordered: &Ordered) {
    let limits = cx.server.settings.collections.list();
    let mut list = List::new();
    for_each_wanted(cx, options, ordered, |_, value| {
        list.push(End::Tail, value.unwrap_or_default(), &limits);
    });
    let key = cx.key(arguments, target);
    let count = list.len();
    if count > 0 {
        collection::put(cx, &key, list);
        collection::changed(cx, &key, EventClass::LIST, "sortstore", count);
    } else if cx.keys.delete(&key) {
        cx.changed(&key, EventClass::GENERIC, "del");
    }
    cx.reply.count(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Option<(&str, &str, Option<&str>)> {
        let text_of = |bytes| std::str::from_utf8(bytes).unwrap();
        let Pattern { before, after, field } = Pattern::parse(text.as_bytes())?;
        Some((text_of(before), text_of(after), field.map(text_of)))
    }

    #[test]
    fn patterns_have_a_place_for_the_element() {
        assert_eq!(pattern("w_*"), Some(("w_", "", None)));
        assert_eq!(pattern("a*b*"), Some(("a", "b*", None)));
        assert_eq!(pattern("h_*->f"), Some(("h_", "", Some("f"))));
        assert_eq!(pattern("h->*x->f->g"), Some(("h->", "x", Some("f->g"))));
        assert_eq!(pattern("h_*->"), Some(("h_", "->", None)));
        assert_eq!(pattern("nosort"), None);
    }

    #[test]
    fn patterns_have_a_slot_where_the_tag_is_known() {
        let slot = |text: &'static str| Pattern::parse(text.as_bytes()).unwrap().slot();
        assert_eq!(slot("{a}*"), Some(key_slot(b"{a}")));
        assert_eq!(slot("x{a}y*->f"), Some(key_slot(b"{a}")));
        for unknown in ["a*", "{*}", "*{a}", "{a*", "{}*"] {
            assert_eq!(slot(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn options_are_read() {
        let parse = |text: &'static str, may_store| {
            let words: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            Options::parse(&words, may_store).map_err(|error| error.to_string())
        };
        let options =
            parse("sort k by w* limit -1 2 get # get v* get x desc alpha store a store b", true).unwrap();
        assert_eq!(options.target, Some(18));
        assert_eq!(options.limit, Some((-1, 2)));
        assert!(options.alpha && options.descending && !options.unsorted);
        assert_eq!(options.wanted.len(), 3);
        assert_eq!(options.wanted[2], Wanted::Value(None));
        assert_eq!(options.patterns().count(), 2);
        assert!(parse("sort k by nosort by w*", true).unwrap().unsorted);
        for wrong in ["sort k store d", "sort k by", "sort k limit 1", "sort k foo"] {
            assert_eq!(parse(wrong, false).unwrap_err(), "ERR syntax error", "{wrong}");
        }
    }

    #[test]
    fn ranks_are_in_the_order_of_numbers() {
        let numbers = [f64::NEG_INFINITY, -1e300, -2.5, -2.0, -1e-300, 0.0, 5e-324, 1.0, 3.0, f64::INFINITY];
        assert!(numbers.is_sorted_by(|a, b| rank(*a) < rank(*b)));
        assert_eq!(rank(-0.0), rank(0.0));
    }

    #[test]
    fn limits_are_clamped() {
        assert_eq!(limits_of(None, 5), 0..5);
        assert_eq!(limits_of(Some((1, 2)), 5), 1..3);
        assert_eq!(limits_of(Some((-5, 3)), 5), 0..3);
        assert_eq!(limits_of(Some((1, -1)), 5), 1..5);
        assert_eq!(limits_of(Some((i64::MAX, i64::MAX)), 5), 5..5);
    }
}
