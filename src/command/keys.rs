//! Which arguments of a command are keys, and what it does with them.

use smallvec::SmallVec;

use super::spec::Spec;
use crate::keyspace::Keyspace;
use crate::keyspace::access::SlotLock;
use crate::keyspace::key_hash::{KeyHasher, SLOT_COUNT};
use crate::primitives::number::parse_i64;

/// One run of keys in a command's arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What is done with the keys: bits of [`KeySpec::RO`] and following.
    pub flags: u16,
    /// Where the run begins.
    pub begin: Begin,
    /// How the keys are found from there.
    pub find: Find,
}

/// Where a run of keys begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At this argument (the name is 0).
    Index(usize),
    /// Behind this word, searched from argument `from` on (from the end backwards if negative).
    Keyword {
        /// The word, in capitals.
        word: &'static str,
        /// Where the search starts.
        from: i32,
    },
    /// Known only to the command's own parser.
    Unknown,
}

/// How the keys of a run are found.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// From the begin to `last` (relative to it; negative from the end: -1 is the last argument), each
    /// `step`th. `limit`: with a negative `last`, only this share of the arguments (2: the first half).
    Range {
        /// Last argument relative to the begin.
        last: i32,
        /// Distance of two keys.
        step: usize,
        /// Divisor of the arguments that may be keys; 0 or 1 for all.
        limit: usize,
    },
    /// A count stands `count_at` behind the begin, the first key `first` behind it.
    Count {
        /// Where the count is, relative to the begin.
        count_at: usize,
        /// Where the first key is, relative to the begin.
        first: usize,
        /// Distance of two keys.
        step: usize,
    },
    /// Known only to the command's own parser.
    Unknown,
}

impl KeySpec {
    /// The key is read.
    pub const RO: u16 = 1;
    /// Read and written.
    pub const RW: u16 = 1 << 1;
    /// Overwritten without being read.
    pub const OW: u16 = 1 << 2;
    /// Removed.
    pub const RM: u16 = 1 << 3;
    /// The flags whose keys need the exclusive lock.
    pub const WRITES: u16 = Self::RW | Self::OW | Self::RM;
    /// Its data is returned or copied.
    pub const ACCESS: u16 = 1 << 4;
    /// Its data depends on what was there.
    pub const UPDATE: u16 = 1 << 5;
    /// Data is added.
    pub const INSERT: u16 = 1 << 6;
    /// Data is deleted.
    pub const DELETE: u16 = 1 << 7;
    /// Not a key, but routed like one (a shard channel).
    pub const NOT_KEY: u16 = 1 << 8;
    /// Not all keys may be found by this spec.
    pub const INCOMPLETE: u16 = 1 << 9;
    /// The flags depend on the arguments.
    pub const VARIABLE_FLAGS: u16 = 1 << 10;

    /// One key at argument `index`.
    pub const fn one(index: usize, flags: u16) -> KeySpec {
        KeySpec { flags, begin: Begin::Index(index), find: Find::Range { last: 0, step: 1, limit: 0 } }
    }

    /// All arguments from `index` on, each `step`th.
    pub const fn rest(index: usize, step: usize, flags: u16) -> KeySpec {
        KeySpec { flags, begin: Begin::Index(index), find: Find::Range { last: -1, step, limit: 0 } }
    }

    /// A count at argument `index`, the keys behind it.
    pub const fn counted(index: usize, step: usize, flags: u16) -> KeySpec {
        KeySpec { flags, begin: Begin::Index(index), find: Find::Count { count_at: 0, first: 1, step } }
    }

    /// The key, if it is one at a fixed place.
    pub const fn only(&self) -> Option<KeyPosition> {
        match (self.begin, self.find) {
            (Begin::Index(argument), Find::Range { last: 0, .. }) => {
                Some(KeyPosition { argument, flags: self.flags })
            }
            _ => None,
        }
    }

    /// Whether the keys stand at the same places whatever the arguments say.
    pub const fn is_fixed(&self) -> bool {
        matches!((self.begin, self.find), (Begin::Index(_), Find::Range { .. }))
    }

    /// Whether these keys need the exclusive lock.
    #[inline]
    pub const fn writes(&self) -> bool {
        self.flags & KeySpec::WRITES != 0
    }

    /// The words of COMMAND INFO.
    pub fn words(flags: u16) -> Vec<&'static str> {
        const WORDS: [(u16, &str); 11] = [
            (KeySpec::RO, "RO"),
            (KeySpec::RW, "RW"),
            (KeySpec::OW, "OW"),
            (KeySpec::RM, "RM"),
            (KeySpec::ACCESS, "access"),
            (KeySpec::UPDATE, "update"),
            (KeySpec::INSERT, "insert"),
            (KeySpec::DELETE, "delete"),
            (KeySpec::NOT_KEY, "not_key"),
            (KeySpec::INCOMPLETE, "incomplete"),
            (KeySpec::VARIABLE_FLAGS, "variable_flags"),
        ];
        WORDS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| *word).collect()
    }
}

/// A key found in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPosition {
    /// Index of the argument that is the key.
    pub argument: usize,
    /// Flags of its [`KeySpec`].
    pub flags: u16,
}

impl KeyPosition {
    /// Whether it names a key (some commands have words that only look like one).
    pub const fn is_key(&self) -> bool {
        self.flags & KeySpec::NOT_KEY == 0
    }
}

/// Keys found in a request.
pub type KeyPositions = SmallVec<[KeyPosition; 4]>;

/// Finds keys by the command's own parser. Wrong arguments give no keys, and the command itself answers the
/// error.
pub type MovingKeys = fn(&[&[u8]], &mut KeyPositions);

/// The flags that a request has instead of those of the [`KeySpec`].
pub type KeyAccess = fn(&[&[u8]]) -> u16;

/// Finds (database number, argument) of keys that are locked for writing in other databases.
pub type ForeignKeys = fn(&[&[u8]]) -> Option<(usize, usize)>;

/// A key of the batch, hashed.
#[derive(Clone, Copy, Debug)]
pub struct PlannedKey {
    /// Index of the key among the arguments of its request.
    pub argument: u32,
    /// Flags of its [`KeySpec`].
    pub flags: u16,
    /// Its hash.
    pub hash: u64,
}

impl PlannedKey {
    /// Its cluster slot.
    #[inline]
    pub fn slot(&self) -> usize {
        crate::keyspace::key_hash::slot_of_hash(self.hash)
    }

    /// The lock that it needs in a database.
    #[inline]
    pub fn lock(&self, database: usize) -> SlotLock {
        let write = self.flags & KeySpec::WRITES != 0;
        SlotLock { database: database as u16, slot: self.slot() as u16, write }
    }
}

/// Finds the keys of a request whose arity has been checked. Errors in counts and keywords give no keys.
#[inline]
pub fn for_each_key(command: &Spec, arguments: &[&[u8]], mut found: impl FnMut(KeyPosition)) {
    if let Some(parser) = command.moving_keys {
        let mut positions = KeyPositions::new();
        parser(arguments, &mut positions);
        positions.into_iter().for_each(found);
        return;
    }
    for spec in command.keys {
        // The commonest spec first.
        if let Some(key) = spec.only() {
            if key.argument < arguments.len() {
                found(key);
            }
        } else {
            for_each_key_of_spec(spec, arguments, &mut found);
        }
    }
}

/// The first key of a request whose arity has been checked, without a look at those behind it.
pub fn first_key<'r>(command: &Spec, arguments: &[&'r [u8]]) -> Option<&'r [u8]> {
    let is_key = |flags: u16| flags & KeySpec::NOT_KEY == 0;
    let place = if let Some(parser) = command.moving_keys {
        let mut positions = KeyPositions::new();
        parser(arguments, &mut positions);
        positions.into_iter().find(|key| is_key(key.flags)).map(|key| key.argument)
    } else {
        let runs = command.keys.iter().filter(|spec| is_key(spec.flags));
        let mut firsts = runs.filter_map(|spec| Some(keys_of_spec(spec, arguments)?.0.start));
        firsts.next()
    };
    arguments.get(place?).copied()
}

/// Does what [`for_each_key`] does, with the flags of this request where they depend on its arguments.
pub fn for_each_key_with_access(command: &Spec, arguments: &[&[u8]], mut found: impl FnMut(KeyPosition)) {
    let access = command.key_access.map(|access| access(arguments));
    for_each_key(command, arguments, |key| {
        found(KeyPosition { flags: access.unwrap_or(key.flags), ..key });
    });
}

fn for_each_key_of_spec(spec: &KeySpec, arguments: &[&[u8]], found: &mut impl FnMut(KeyPosition)) {
    let Some((range, step)) = keys_of_spec(spec, arguments) else { return };
    for argument in range.step_by(step) {
        found(KeyPosition { argument, flags: spec.flags });
    }
}

/// The arguments that a spec finds, one at least, and how far one key is from the next.
fn keys_of_spec(spec: &KeySpec, arguments: &[&[u8]]) -> Option<(std::ops::Range<usize>, usize)> {
    let Run { first, end, step } = run_of_spec(spec, arguments)?;
    if matches!(spec.find, Find::Count { .. }) && end > arguments.len() {
        return None;
    }
    let range = first..end.min(arguments.len());
    (!range.is_empty()).then_some((range, step))
}

/// The arguments that a spec means.
struct Run {
    first: usize,
    /// Behind the last key: of keys and values in turn the last value is not in the run.
    end: usize,
    step: usize,
}

/// Where a spec's keys stand, which may be beyond the end; `None` without the word or the count that would
/// tell it.
fn run_of_spec(spec: &KeySpec, arguments: &[&[u8]]) -> Option<Run> {
    let begin = match spec.begin {
        Begin::Index(index) => index,
        Begin::Keyword { word, from } => find_keyword(arguments, word, from)?,
        Begin::Unknown => return None,
    };
    let (first, end, step) = match spec.find {
        Find::Range { last, step, limit } => {
            let end = if last >= 0 {
                begin + last as usize + 1
            } else if limit > 1 && last == -1 {
                begin + arguments.len().saturating_sub(begin) / limit
            } else {
                (arguments.len() + 1).saturating_sub(last.unsigned_abs() as usize)
            };
            (begin, end, step)
        }
        Find::Count { count_at, first, step } => {
            let count = usize::try_from(parse_i64(arguments.get(begin + count_at)?)?).ok()?;
            let first = begin + first;
            let end = match count.checked_sub(1) {
                Some(further) => further.checked_mul(step)?.checked_add(first + 1)?,
                None => first,
            };
            (first, end, step)
        }
        Find::Unknown => return None,
    };
    Some(Run { first, end, step: step.max(1) })
}

/// Finds the keys that COMMAND GETKEYS shows: by the specs where each finds keys within the request and none
/// is incomplete, else by the command's own parser, else none.
pub fn told_keys(command: &Spec, arguments: &[&[u8]]) -> KeyPositions {
    if let Some(found) = keys_of_specs(command, arguments) {
        return found;
    }
    let mut found = KeyPositions::new();
    if let Some(parser) = command.moving_keys {
        parser(arguments, &mut found);
    }
    if let Some(access) = command.key_access {
        let flags = access(arguments);
        if found.is_empty() {
            for_each_key(command, arguments, |key| found.push(key));
        }
        found.iter_mut().for_each(|key| key.flags = flags);
    }
    found
}

/// The keys of all specs; `None` if one of them finds nothing, or does not know all.
fn keys_of_specs(command: &Spec, arguments: &[&[u8]]) -> Option<KeyPositions> {
    let mut found = KeyPositions::new();
    for spec in command.keys.iter().filter(|spec| spec.flags & KeySpec::NOT_KEY == 0) {
        if spec.flags & (KeySpec::VARIABLE_FLAGS | KeySpec::INCOMPLETE) != 0 {
            return None;
        }
        let Run { first, end, step } = run_of_spec(spec, arguments)?;
        if end <= first || end > arguments.len() {
            return None;
        }
        found.extend((first..end).step_by(step).map(|argument| KeyPosition { argument, flags: spec.flags }));
    }
    Some(found)
}

/// The argument behind the last of `words`, searched from argument `from` on: how the key under which a
/// result is kept is found in a request that is wrong elsewhere. Words of `skipped` take so many arguments
/// with them.
pub fn last_behind(
    arguments: &[&[u8]],
    from: usize,
    words: &[&str],
    skipped: &[(&str, usize)],
) -> Option<usize> {
    let is = |index: usize, word: &str| arguments[index].eq_ignore_ascii_case(word.as_bytes());
    let mut found = None;
    let mut index = from;
    while index < arguments.len() {
        if words.iter().any(|word| is(index, word)) && index + 1 < arguments.len() {
            found = Some(index + 1);
            index += 1;
        } else if let Some((_, taken)) = skipped.iter().find(|(word, _)| is(index, word)) {
            index += taken;
        }
        index += 1;
    }
    found
}

fn find_keyword(arguments: &[&[u8]], word: &str, from: i32) -> Option<usize> {
    let matches = |index: &usize| arguments[*index].eq_ignore_ascii_case(word.as_bytes());
    if from >= 0 {
        (from as usize..arguments.len()).find(matches).map(|index| index + 1)
    } else {
        (1..=arguments.len().checked_sub(from.unsigned_abs() as usize)?)
            .rev()
            .find(matches)
            .map(|index| index + 1)
    }
}

/// The locks of a request: sorted, each slot once, for writing if any of its keys is written.
pub type LockPlan = SmallVec<[SlotLock; 4]>;

/// Makes the lock plan of one request from its keys.
#[inline]
pub fn lock_plan(
    command: &Spec,
    arguments: &[&[u8]],
    keys: &[PlannedKey],
    database: usize,
    hasher: &KeyHasher,
    plan: &mut LockPlan,
) {
    plan.clear();
    for key in keys {
        if key.flags & KeySpec::NOT_KEY == 0 {
            plan.push(key.lock(database));
        }
    }
    if plan.len() > MANY_LOCKS {
        normalize_many(plan);
    }
    if let Some(foreign) = command.foreign_keys
        && let Some((database, argument)) = foreign(arguments)
        && let Some(key) = arguments.get(argument)
    {
        let slot = crate::keyspace::key_hash::slot_of_hash(hasher.hash(key)) as u16;
        plan.push(SlotLock { database: database as u16, slot, write: true });
    }
    if plan.len() > 1 {
        normalize(plan);
    }
}

/// The lock plan of a request whose keys are not hashed yet.
pub fn lock_plan_of(
    command: &Spec,
    arguments: &[&[u8]],
    database: usize,
    keyspace: &Keyspace,
    plan: &mut LockPlan,
) {
    let mut keys: SmallVec<[PlannedKey; 4]> = SmallVec::new();
    for_each_key(command, arguments, |position| {
        keys.push(PlannedKey {
            argument: position.argument as u32,
            flags: position.flags,
            hash: keyspace.hasher().hash(arguments[position.argument]),
        });
    });
    lock_plan(command, arguments, &keys, database, keyspace.hasher(), plan);
    drop_foreign(plan, keyspace);
}

/// Empties a plan that names a database which does not exist. The command then answers the error and touches
/// no key.
#[inline]
pub fn drop_foreign(plan: &mut LockPlan, keyspace: &Keyspace) {
    if plan.iter().any(|lock| usize::from(lock.database) >= keyspace.database_count()) {
        plan.clear();
    }
}

/// Plans longer than this are sorted by their slots at once.
const MANY_LOCKS: usize = 4096;

/// [`normalize`] for very many locks of one database, by one look at each lock and one at each slot.
fn normalize_many(plan: &mut LockPlan) {
    const PRESENT: u8 = 1;
    const WRITTEN: u8 = 2;
    let database = plan.first().map_or(0, |lock| lock.database);
    if plan.iter().any(|lock| lock.database != database) {
        return normalize(plan);
    }
    let mut slots = vec![0u8; SLOT_COUNT];
    for lock in plan.iter() {
        slots[usize::from(lock.slot)] |= PRESENT | if lock.write { WRITTEN } else { 0 };
    }
    plan.clear();
    let found = slots.iter().enumerate().filter(|(_, marks)| **marks != 0);
    plan.extend(found.map(|(slot, marks)| SlotLock {
        database,
        slot: slot as u16,
        write: marks & WRITTEN != 0,
    }));
}

/// Sorts a plan and joins the locks of one slot, the stronger mode winning.
pub fn normalize(plan: &mut LockPlan) {
    plan.sort_unstable_by_key(|lock| (lock.database, lock.slot, !lock.write));
    plan.dedup_by_key(|lock| (lock.database, lock.slot));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_locks_are_joined_like_few() {
        let mut rng = fastrand::Rng::with_seed(7);
        for databases in [1, 2] {
            let mut many: LockPlan = (0..3 * MANY_LOCKS)
                .map(|_| SlotLock {
                    database: rng.u16(..databases),
                    slot: rng.u16(..SLOT_COUNT as u16),
                    write: rng.u8(..4) == 0,
                })
                .collect();
            let mut few = many.clone();
            normalize_many(&mut many);
            normalize(&mut few);
            assert_eq!(many, few);
        }
    }

    fn positions(keys: &[KeySpec], arguments: &[&str]) -> Vec<usize> {
        use crate::engine::command::Command;
        let command = Command { keys: keys.to_vec().leak(), ..Command::DEFAULT }.spec();
        let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
        let mut found = Vec::new();
        for_each_key(&command, &arguments, |key| found.push(key.argument));
        assert_eq!(first_key(&command, &arguments), found.first().map(|at| arguments[*at]));
        found
    }

    #[test]
    fn keys_are_found_where_the_spec_says() {
        const RO: u16 = KeySpec::RO;
        assert_eq!(positions(&[KeySpec::one(1, RO)], &["get", "k"]), [1]);
        assert_eq!(positions(&[KeySpec::rest(1, 2, RO)], &["mset", "a", "1", "b", "2"]), [1, 3]);
        assert_eq!(positions(&[KeySpec::rest(1, 1, RO)], &["mget", "a", "b"]), [1, 2]);
        assert_eq!(
            positions(&[KeySpec::counted(1, 1, RO)], &["sintercard", "2", "a", "b", "LIMIT", "1"]),
            [2, 3]
        );
        for wrong in ["3", "-1", "x", "9999999999999999999", "9223372036854775807"] {
            assert!(positions(&[KeySpec::counted(1, 1, RO)], &["sintercard", wrong, "a", "b"]).is_empty());
        }
        const STREAMS: &[KeySpec] = &[KeySpec {
            flags: RO,
            begin: Begin::Keyword { word: "STREAMS", from: 1 },
            find: Find::Range { last: -1, step: 1, limit: 2 },
        }];
        assert_eq!(positions(STREAMS, &["xread", "count", "1", "streams", "a", "b", "0", "0"]), [4, 5]);
        assert!(positions(STREAMS, &["xread", "a"]).is_empty());
        const LAST: &[KeySpec] = &[KeySpec {
            flags: RO,
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1, limit: 0 },
        }];
        assert_eq!(positions(LAST, &["blpop", "a", "b", "0"]), [1, 2]);
    }

    #[test]
    fn plans_are_sorted_and_the_stronger_lock_wins() {
        let lock = |slot, write| SlotLock { database: 0, slot, write };
        let mut plan: LockPlan =
            [lock(9, false), lock(3, true), lock(9, true), lock(3, false)].into_iter().collect();
        normalize(&mut plan);
        assert_eq!(plan[..], [lock(3, true), lock(9, true)]);
    }
}
