//! Finds where a value ends without reading it: a walk over its shape that can stop at any byte.

use smallvec::SmallVec;

use super::error::Fault;
use crate::rdb::kind;

/// A part of a value.
#[derive(Debug)]
enum Part {
    /// A string.
    Text,
    /// This many bytes.
    Bytes(usize),
    /// A length or another number in the same form.
    Number,
    /// A score as text.
    Decimal,
    /// A number, then the parts as many times.
    Each(&'static [Part]),
    /// What a module wrote: marked parts up to a mark of 0.
    Module,
}

use Part::{Bytes, Decimal, Each, Module, Number, Text};

const GROUP_1: &[Part] = &[Text, Number, Number, Each(PENDING), Each(CONSUMER_1)];
const GROUP_2: &[Part] = &[Text, Number, Number, Number, Each(PENDING), Each(CONSUMER_1)];
const GROUP_3: &[Part] = &[Text, Number, Number, Number, Each(PENDING), Each(CONSUMER_3)];
const GROUP_5: &[Part] = &[Text, Number, Number, Number, Each(PENDING), Each(CONSUMER_3), Each(&[Bytes(16)])];
const PENDING: &[Part] = &[Bytes(16 + 8), Number];
const CONSUMER_1: &[Part] = &[Text, Bytes(8), Each(&[Bytes(16)])];
const CONSUMER_3: &[Part] = &[Text, Bytes(8 + 8), Each(&[Bytes(16)])];
const BLOCKS: Part = Each(&[Text, Text]);
const PRODUCERS: Part = Each(&[Text, Each(&[Text, Number, Number])]);

/// The parts of a value of a type; `None` for a type that is not known.
fn shape(kind: u8) -> Option<&'static [Part]> {
    Some(match kind {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK
        | kind::HASH_LISTPACK_EX_PRE_GA => &[Text],
        kind::LIST | kind::SET | kind::LIST_QUICKLIST => &[Each(&[Text])],
        kind::ZSET => &[Each(&[Text, Decimal])],
        kind::HASH => &[Each(&[Text, Text])],
        kind::ZSET_2 => &[Each(&[Text, Bytes(8)])],
        kind::LIST_QUICKLIST_2 => &[Each(&[Number, Text])],
        kind::HASH_2 => &[Each(&[Text, Text, Bytes(8)])],
        kind::HASH_METADATA_PRE_GA => &[Each(&[Number, Text, Text])],
        kind::HASH_METADATA => &[Bytes(8), Each(&[Number, Text, Text])],
        kind::HASH_LISTPACK_EX => &[Bytes(8), Text],
        kind::MODULE_2 => &[Number, Module],
        // Entries, last id; then also first id, greatest deleted id, entries added.
        kind::STREAM_LISTPACKS => &[BLOCKS, Number, Number, Number, Each(GROUP_1)],
        kind::STREAM_LISTPACKS_2 => {
            &[BLOCKS, Number, Number, Number, Number, Number, Number, Number, Number, Each(GROUP_2)]
        }
        kind::STREAM_LISTPACKS_3 => {
            &[BLOCKS, Number, Number, Number, Number, Number, Number, Number, Number, Each(GROUP_3)]
        }
        kind::STREAM_LISTPACKS_4 => &[
            BLOCKS,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Each(GROUP_3),
            Number,
            Number,
            PRODUCERS,
            Number,
            Number,
        ],
        kind::STREAM_LISTPACKS_5 => &[
            BLOCKS,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Each(GROUP_5),
            Number,
            Number,
            PRODUCERS,
            Number,
            Number,
        ],
        _ => return None,
    })
}

/// What a module keeps beside its keys: its id, a mark and when it was written, then its parts.
const MODULE_AUX: &[Part] = &[Number, Number, Number, Module];
/// Slots that were being taken over: a name, then pairs of first and last slot.
const SLOT_IMPORT: &[Part] = &[Text, Each(&[Number, Number])];

/// Parts that are walked over, some times.
#[derive(Debug)]
struct Frame {
    parts: &'static [Part],
    /// Index of the next one.
    at: usize,
    /// How often all of them are still to come, this time included.
    times: u64,
}

/// A walk over a value.
#[derive(Debug)]
pub struct Skim {
    stack: SmallVec<[Frame; 4]>,
    /// Bytes that were walked over.
    walked: usize,
    string_max: usize,
}

/// Not all bytes are there yet, or they are wrong.
pub enum Stop {
    /// More bytes are needed.
    More,
    /// Wrong bytes.
    Wrong(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Wrong(fault)
    }
}

impl Skim {
    /// A walk over a value of this type; `None` for a type that is not known.
    pub fn value(kind: u8, string_max: usize) -> Option<Self> {
        shape(kind).map(|parts| Self::new(parts, string_max))
    }

    /// A walk over what a module keeps beside its keys.
    pub fn module_aux(string_max: usize) -> Self {
        Self::new(MODULE_AUX, string_max)
    }

    /// A walk over slots that were being taken over.
    pub fn slot_import(string_max: usize) -> Self {
        Self::new(SLOT_IMPORT, string_max)
    }

    fn new(parts: &'static [Part], string_max: usize) -> Self {
        let mut stack = SmallVec::new();
        stack.push(Frame { parts, at: 0, times: 1 });
        Self { stack, walked: 0, string_max }
    }

    /// Walks on. `bytes` begins where the value begins. Returns the value's length when all of it is there.
    pub fn walk(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        while let Some(frame) = self.stack.last_mut() {
            let Some(part) = frame.parts.get(frame.at) else {
                frame.times -= 1;
                frame.at = 0;
                if frame.times == 0 {
                    self.stack.pop();
                }
                continue;
            };
            let rest = &bytes[self.walked.min(bytes.len())..];
            match part {
                Text => self.walked += text_len(rest, self.string_max)?,
                Bytes(len) => self.walked += fixed(rest, *len)?,
                Number => self.walked += number(rest)?.1,
                Decimal => {
                    let len = match rest.first().ok_or(Stop::More)? {
                        253..=255 => 1,
                        len => 1 + usize::from(*len),
                    };
                    self.walked += fixed(rest, len)?;
                }
                Each(parts) => {
                    let (times, len) = number(rest)?;
                    self.walked += len;
                    frame.at += 1;
                    if times > 0 {
                        self.stack.push(Frame { parts, at: 0, times });
                    }
                    continue;
                }
                Module => {
                    let (len, is_end) = module_part(rest, self.string_max)?;
                    self.walked += len;
                    if !is_end {
                        continue;
                    }
                }
            }
            frame.at += 1;
        }
        Ok(self.walked)
    }
}

fn fixed(bytes: &[u8], len: usize) -> Result<usize, Stop> {
    if bytes.len() < len { Err(Stop::More) } else { Ok(len) }
}

/// A number and how many bytes it takes.
pub fn number(bytes: &[u8]) -> Result<(u64, usize), Stop> {
    match number_or_encoding(bytes)? {
        (Ok(number), len) => Ok((number, len)),
        (Err(_), _) => Err(Fault::Encoding.into()),
    }
}

/// A number, or the encoding of a special string, and how many bytes it takes.
fn number_or_encoding(bytes: &[u8]) -> Result<(Result<u64, u8>, usize), Stop> {
    let first = *bytes.first().ok_or(Stop::More)?;
    Ok(match first >> 6 {
        0 => (Ok(u64::from(first)), 1),
        1 => (Ok(u64::from(first & 0x3f) << 8 | u64::from(*bytes.get(1).ok_or(Stop::More)?)), 2),
        2 if first == 0x80 => {
            let number = bytes[1..].first_chunk().ok_or(Stop::More)?;
            (Ok(u64::from(u32::from_be_bytes(*number))), 5)
        }
        2 if first == 0x81 => {
            let number = bytes[1..].first_chunk().ok_or(Stop::More)?;
            (Ok(u64::from_be_bytes(*number)), 9)
        }
        3 => (Err(first & 0x3f), 1),
        _ => return Err(Fault::Encoding.into()),
    })
}

/// Bytes of a string with its length. Fails as soon as its length is known to be too great.
pub fn text_len(bytes: &[u8], string_max: usize) -> Result<usize, Stop> {
    let within = |len: u64| usize::try_from(len).ok().filter(|len| *len <= string_max).ok_or(Fault::TooLong);
    let (len, head) = match number_or_encoding(bytes)? {
        (Ok(len), head) => (within(len)?, head),
        (Err(0), head) => (1, head),
        (Err(1), head) => (2, head),
        (Err(2), head) => (4, head),
        (Err(3), head) => {
            let (packed, packed_len) = number(&bytes[head..])?;
            let (plain, plain_len) = number(&bytes[head + packed_len..])?;
            within(plain)?;
            (within(packed)?, head + packed_len + plain_len)
        }
        _ => return Err(Fault::Encoding.into()),
    };
    fixed(bytes, head.checked_add(len).ok_or(Fault::TooLong)?)
}

/// Bytes of a module's marked part, and whether it is the mark of the end.
fn module_part(bytes: &[u8], string_max: usize) -> Result<(usize, bool), Stop> {
    let (mark, head) = number(bytes)?;
    let rest = &bytes[head..];
    let len = match mark {
        0 => return Ok((head, true)),
        1 | 2 => number(rest)?.1,
        3 => fixed(rest, 4)?,
        4 => fixed(rest, 8)?,
        5 => text_len(rest, string_max)?,
        _ => return Err(Fault::Encoding.into()),
    };
    Ok((head + len, false))
}
