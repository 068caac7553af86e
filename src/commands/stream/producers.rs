//! Entries that producers add at most once: the words IDMP and IDMPAUTO of XADD, XCFGSET and XIDMPRECORD.

use std::borrow::Cow;

use twox_hash::XxHash3_128;

use crate::command::{Family, Flags, Group, args};
use crate::commands::shared::collection;
use crate::commands::stream::entries::{STREAM, UPDATE, id};
use crate::effects::told::{Note, Standing};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::HashedKey;
use crate::keyspace::record::Record;
use crate::primitives::thin::Owned;
use crate::types::stream::{ProducerLimits, Producers, Stream, StreamId};

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xcfgset",
        arity: -2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: UPDATE,
        categories: STREAM,
        group: Group::Stream,
        summary: "Sets for how long and how many ids of its producers a stream knows.",
        syntax: "key [IDMP-DURATION duration] [IDMP-MAXSIZE maxsize]",
        since: "8.6.0",
        family: Family::Redis("8.6"),
        reply: "OK",
        run: xcfgset,
        ..Command::DEFAULT
    },
    Command {
        name: "xidmprecord",
        arity: 5,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: UPDATE,
        categories: STREAM,
        group: Group::Stream,
        summary: "Says which entry a producer's id stands for; files and replicas are told so.",
        syntax: "key pid:string iid:string stream-id:string",
        since: "8.6.2",
        family: Family::Redis("8.6"),
        reply: "OK",
        run: xidmprecord,
        ..Command::DEFAULT
    },
];

/// Both words, or one of them twice.
pub(super) const TWICE: CommandError =
    CommandError::text("ERR syntax error, IDMP/IDMPAUTO specified multiple times");
/// An id that the entry is to have.
pub(super) const NOT_AUTO: CommandError =
    CommandError::text("ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs");

/// What an entry is known by to its producer, as the words of XADD say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Once<'a> {
    producer: &'a [u8],
    /// `None` for IDMPAUTO: what the entry holds names it.
    id: Option<&'a [u8]>,
}

/// What an entry is known by to its producer.
pub(super) struct Named<'a> {
    producer: &'a [u8],
    id: Cow<'a, [u8]>,
}

impl<'a> Once<'a> {
    /// How many arguments belong to a word; `None` where it is another one or fewer than that follow.
    pub(super) fn words(word: &[u8], following: usize) -> Option<usize> {
        let words = match word {
            word if args::is(word, "IDMP") => 2,
            word if args::is(word, "IDMPAUTO") => 1,
            _ => return None,
        };
        (following >= words).then_some(words)
    }

    /// Reads the arguments of IDMP or IDMPAUTO.
    ///
    /// # Errors
    /// One of them is empty.
    pub(super) fn parse(arguments: &[&'a [u8]]) -> Result<Self, CommandError> {
        match *arguments {
            [b""] => Err(CommandError::text("ERR syntax error, IDMPAUTO requires a non-empty producer ID")),
            [producer] => Ok(Self { producer, id: None }),
            [b"", _] => Err(CommandError::text("ERR syntax error, IDMP requires a non-empty producer ID")),
            [_, b""] => Err(CommandError::text("ERR syntax error, IDMP requires a non-empty idempotent ID")),
            [producer, id] => Ok(Self { producer, id: Some(id) }),
            _ => Err(CommandError::Syntax),
        }
    }

    /// The id of an entry with these fields and values.
    pub(super) fn named(&self, pairs: &[&[u8]]) -> Named<'a> {
        let id = self.id.map_or_else(|| Cow::Owned(digest(pairs).to_vec()), Cow::Borrowed);
        Named { producer: self.producer, id }
    }
}

/// A digest of an entry's fields and values, whatever their order is: that of Redis, so that an entry which
/// came from there (a file, RESTORE, a primary) is known when its producer sends it again here.
///
/// Each pair's XXH3 of 128 bits, over the field, its length and the value, goes into a sum and an exclusive or
/// of either half; each half of the sum is then mixed with the other half of the exclusive or.
fn digest(pairs: &[&[u8]]) -> [u8; 16] {
    let (mut sums, mut mixed) = ([0_u64; 2], [0_u64; 2]);
    for pair in pairs.chunks_exact(2) {
        let mut hasher = XxHash3_128::new();
        hasher.write(pair[0]);
        hasher.write(&(pair[0].len() as u64).to_le_bytes());
        hasher.write(pair[1]);
        let hash = hasher.finish_128();
        for (half, part) in [hash as u64, (hash >> 64) as u64].into_iter().enumerate() {
            sums[half] = sums[half].wrapping_add(part);
            mixed[half] ^= part;
        }
    }
    let (low, high) = (sums[0] ^ mixed[1].rotate_left(1), sums[1] ^ mixed[0].rotate_left(1));
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

impl Named<'_> {
    /// The entry that was added when the request came before, which is counted.
    ///
    /// # Errors
    /// A key with another type of value.
    pub(super) fn entry_added_before(
        &self,
        cx: &mut Context<'_>,
        key: &HashedKey<'_>,
    ) -> Result<Option<StreamId>, CommandError> {
        let (now_ms, limits) = (cx.keys.ended_ms, cx.server.settings.collections.producers());
        let stream = collection::read::<Owned<Stream>>(&cx.keys, key)?;
        let producers = stream.and_then(|stream| stream.producers());
        let Some(entry) = producers.and_then(|known| known.entry(self.producer, &self.id, now_ms)) else {
            return Ok(None);
        };
        if let Some(stream) = collection::write::<Owned<Stream>>(&mut cx.keys, key)? {
            stream.producers_mut(limits).duplicates += 1;
        }
        // Said again, so that it is counted where the journal is repeated as well.
        self.enter(cx, key, entry);
        Ok(Some(entry))
    }

    /// Keeps it for an entry that was added.
    pub(super) fn keep(&self, stream: &mut Stream, entry: StreamId, limits: ProducerLimits) {
        stream.producers_mut(limits).insert(self.producer, &self.id, entry);
    }

    /// Enters into the journal which entry it stands for.
    pub(super) fn enter(&self, cx: &Context<'_>, key: &HashedKey<'_>, entry: StreamId) {
        cx.enter_note(
            key,
            &[b"XIDMPRECORD", key.bytes, self.producer, &self.id, &entry.text()],
            record_standing,
        );
    }
}

/// The producers of the stream in a record.
fn producers_of(record: &Record) -> Option<&Producers> {
    collection::of_record::<Owned<Stream>>(record).ok()?.producers()
}

/// What has become of an id that was kept when the words of XIDMPRECORD were noted.
fn record_standing(note: &Note, record: &Record, now_ms: u64) -> Standing {
    let [_, _, producer, name, entry] = &note.words[..] else { return Standing::Gone };
    let known = producers_of(record).and_then(|known| known.entry(producer, name, now_ms));
    if known.is_some_and(|known| known.text()[..] == **entry) { Standing::Holds } else { Standing::Gone }
}

/// What has become of limits that the words of XCFGSET have set.
fn limits_standing(note: &Note, record: &Record, _now_ms: u64) -> Standing {
    let words: Vec<&[u8]> = note.words[2..].iter().map(|word| &**word).collect();
    let (Ok(wanted), Some(known)) = (Wanted::parse(&words), producers_of(record)) else {
        return Standing::Gone;
    };
    if wanted.over(known.limits()) == known.limits() { Standing::Holds } else { Standing::Passed }
}

/// What XCFGSET is to set.
#[derive(Default)]
struct Wanted {
    duration_s: Option<u64>,
    max_ids: Option<usize>,
}

impl Wanted {
    /// These limits, but for what is to be set.
    fn over(&self, before: ProducerLimits) -> ProducerLimits {
        ProducerLimits {
            duration_s: self.duration_s.unwrap_or(before.duration_s),
            max_ids: self.max_ids.unwrap_or(before.max_ids),
        }
    }

    fn parse(mut words: &[&[u8]]) -> Result<Self, CommandError> {
        let mut wanted = Self::default();
        while let [word, number, rest @ ..] = words {
            if args::is(word, "IDMP-DURATION") {
                if wanted.duration_s.is_some() {
                    return Err(CommandError::text("ERR IDMP-DURATION specified multiple times"));
                }
                let number = u64::try_from(args::int(number)?).ok();
                let number = number.filter(|number| (1..=ProducerLimits::DURATION_MAX_S).contains(number));
                let range = CommandError::text("ERR IDMP-DURATION must be between 1 and 86400 seconds");
                wanted.duration_s = Some(number.ok_or(range)?);
            } else if args::is(word, "IDMP-MAXSIZE") {
                if wanted.max_ids.is_some() {
                    return Err(CommandError::text("ERR IDMP-MAXSIZE specified multiple times"));
                }
                let number = usize::try_from(args::int(number)?).ok();
                let number = number.filter(|number| (1..=ProducerLimits::IDS_MAX).contains(number));
                let range = CommandError::text("ERR IDMP-MAXSIZE must be between 1 and 10000 entries");
                wanted.max_ids = Some(number.ok_or(range)?);
            } else {
                return Err(CommandError::Syntax);
            }
            words = rest;
        }
        match (words, &wanted) {
            ([], Self { duration_s: None, max_ids: None }) => {
                Err(CommandError::text("ERR At least one parameter must be specified"))
            }
            ([], _) => Ok(wanted),
            _ => Err(CommandError::Syntax),
        }
    }
}

fn xcfgset(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let limits = cx.server.settings.collections.producers();
    let stream = collection::write::<Owned<Stream>>(&mut cx.keys, &key)?.ok_or(CommandError::NoSuchKey)?;
    let wanted = Wanted::parse(&arguments[2..])?;
    let producers = stream.producers_mut(limits);
    producers.set_limits(wanted.over(producers.limits()));
    cx.enter_note(&key, arguments, limits_standing);
    cx.dirty += 1;
    cx.reply.ok();
    Ok(())
}

fn xidmprecord(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let entry = id(arguments[4])?;
    let (producer, name) = (arguments[2], arguments[3]);
    if producer.is_empty() {
        return Err(CommandError::text("ERR producer ID must be non-empty"));
    }
    if name.is_empty() {
        return Err(CommandError::text("ERR idempotent ID must be non-empty"));
    }
    let limits = cx.server.settings.collections.producers();
    // Where a file or a stream is repeated, also by a client that imports one, the entry may be gone: its id is
    // known as long as if it were there.
    let repeats = cx.keys.ended_ms == 0;
    let now_ms = if repeats { 0 } else { cx.keys.now_ms };
    let stream = collection::write::<Owned<Stream>>(&mut cx.keys, &key)?.ok_or(CommandError::NoSuchKey)?;
    if !repeats && !stream.contains(entry) {
        return Err(CommandError::text("ERR No such message in stream"));
    }
    match stream.producers().and_then(|known| known.entry(producer, name, now_ms)) {
        // Another request with this id came.
        Some(known) if known == entry && repeats => {
            stream.producers_mut(limits).duplicates += 1;
            cx.enter_note(&key, arguments, record_standing);
        }
        Some(known) if known == entry => {}
        Some(_) if !repeats => {
            let other = "ERR IID already exists for this producer with a different stream ID";
            return Err(CommandError::text(other));
        }
        _ => {
            stream.producers_mut(limits).insert(producer, name, entry);
            cx.enter_note(&key, arguments, record_standing);
            cx.dirty += 1;
        }
    }
    cx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests that a Redis 8.6 made.
    #[test]
    fn digests_are_those_of_redis() {
        for (pairs, expected) in [
            (&["f", "v"][..], 0x7900_7355_baff_ed4a_81f0_27e7_9e72_956e),
            (&["", ""], 0xa78d_e3a3_dab8_b630_1dd6_a1ae_bb7e_9f1a),
            (&["a", "1", "b", "2"], 0xf211_2a30_7aff_e123_31a5_775f_9382_b2c5),
            (&["b", "2", "a", "1"], 0xf211_2a30_7aff_e123_31a5_775f_9382_b2c5),
            (&["a", "1", "a", "1"], 0x5ba5_01f3_c306_273c_af2e_8468_7884_d87c),
        ] {
            let words: Vec<&[u8]> = pairs.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(u128::from_le_bytes(digest(&words)), expected, "{pairs:?}");
        }
    }
}
