//! Bitmaps: strings looked at bit by bit. The first bit is the highest of the first byte.

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::string::set::enter_set;
use crate::commands::string::value::{grow, raw_string, try_change_bytes};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::context::string_bytes;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::bits::{self, Join, OnlyOnce};
use crate::primitives::number::parse_i64;

const BITMAP: &[Category] = &[Category::Bitmap];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "setbit",
        arity: 4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
        categories: BITMAP,
        group: Group::Bitmap,
        summary: "Sets or clears a bit, filling up with zero bytes where the string is too short.",
        syntax: "key offset value:integer",
        since: "2.2.0",
        reply: "the bit that was there",
        run: setbit,
        ..Command::DEFAULT
    },
    Command {
        name: "getbit",
        arity: 3,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)],
        categories: BITMAP,
        group: Group::Bitmap,
        summary: "Returns a bit; beyond the end all are 0.",
        syntax: "key offset",
        since: "2.2.0",
        reply: "the bit",
        run: getbit,
        ..Command::DEFAULT
    },
    Command {
        name: "bitcount",
        arity: -2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)],
        categories: BITMAP,
        group: Group::Bitmap,
        summary: "Counts the bits that are set, in all of a string or in a part of it.",
        syntax: "key [start [end [BYTE | BIT]]]",
        since: "2.6.0",
        complexity: "O(N) where N is the number of bytes looked at",
        reply: "the number of set bits",
        run: bitcount,
        ..Command::DEFAULT
    },
    Command {
        name: "bitpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)],
        categories: BITMAP,
        group: Group::Bitmap,
        summary: "Finds the first set or clear bit, in all of a string or in a part of it.",
        syntax: "key bit [start [end [BYTE | BIT]]]",
        since: "2.8.7",
        complexity: "O(N) where N is the number of bytes looked at",
        reply: "the bit's offset, -1 if there is none",
        run: bitpos,
        ..Command::DEFAULT
    },
    Command {
        name: "bitop",
        arity: -4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[
            KeySpec::one(2, KeySpec::OW | KeySpec::UPDATE),
            KeySpec::rest(3, 1, KeySpec::RO | KeySpec::ACCESS),
        ],
        categories: BITMAP,
        group: Group::Bitmap,
        summary: "Joins strings bit by bit, or complements one, and keeps the result under a key.",
        syntax: "(AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE) destination key [key ...]",
        since: "2.6.0",
        complexity: "O(N) where N is the number of bytes of all strings",
        reply: "the length of the result in bytes",
        run: bitop,
        ..Command::DEFAULT
    },
];

/// Index of a bit's byte, and the bit's mask within that byte.
fn bit_place(cx: &Context<'_>, argument: &[u8]) -> Result<(usize, u8), CommandError> {
    let max_bytes = cx.string_max() as u64;
    let offset = parse_i64(argument)
        .and_then(|offset| u64::try_from(offset).ok())
        .filter(|offset| offset / 8 < max_bytes)
        .ok_or(CommandError::text("ERR bit offset is not an integer or out of range"))?;
    Ok(((offset / 8) as usize, 0x80 >> (offset % 8)))
}

fn setbit(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (byte, mask) = bit_place(cx, arguments[2])?;
    let wanted = match arguments[3] {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::text("ERR bit is not an integer or out of range")),
    };
    let key = cx.key(arguments, 1);
    let (before, changed) = try_change_bytes(cx, &key, byte..byte + 1, |bytes| {
        let grows = bytes.len() <= byte;
        if grows {
            grow(bytes, byte + 1);
        }
        let before = bytes[byte] & mask != 0;
        if wanted {
            bytes[byte] |= mask;
        } else {
            bytes[byte] &= !mask;
        }
        // The value counts as modified even where no bit changes: OBJECT ENCODING shows `raw` then, as in
        // Redis.
        Ok(((before, grows || before != wanted), true))
    })?;
    if changed {
        cx.changed(&key, EventClass::STRING, "setbit");
    }
    cx.reply.int(i64::from(before));
    Ok(())
}

fn getbit(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (byte, mask) = bit_place(cx, arguments[2])?;
    let key = cx.key(arguments, 1);
    let mut number = itoa::Buffer::new();
    let bit = match cx.keys.read(&key) {
        Some(record) => string_bytes(record, &mut number)?.get(byte).is_some_and(|byte| byte & mask != 0),
        None => {
            cx.missed(&key);
            false
        }
    };
    cx.reply.int(i64::from(bit));
    Ok(())
}

/// The range of BITCOUNT and BITPOS. Negative ends count from the end of the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: i64,
    /// Last byte or bit, included; `None` where none was given.
    end: Option<i64>,
    in_bits: bool,
}

impl Part {
    /// Reads `[start [end [BYTE | BIT]]]`; without words the range is the whole string.
    fn parse(words: &[&[u8]]) -> Result<Self, CommandError> {
        if words.len() > 3 {
            return Err(CommandError::Syntax);
        }
        let start = words.first().map_or(Ok(0), |word| args::int(word))?;
        let in_bits = match words.get(2) {
            Some(unit) if args::is(unit, "BIT") => true,
            Some(unit) if !args::is(unit, "BYTE") => return Err(CommandError::Syntax),
            _ => false,
        };
        let end = words.get(1).map(|word| args::int(word)).transpose()?;
        Ok(Self { start, end, in_bits })
    }

    /// First and last bit of the range in a string of `len` bytes. `None`, or a first behind the last, for an
    /// empty range.
    fn bits_of(self, len: usize) -> Option<(u64, u64)> {
        let units = len as i64 * if self.in_bits { 8 } else { 1 };
        let place = |index: i64| if index < 0 { index.saturating_add(units).max(0) } else { index };
        let (start, end) = (place(self.start), place(self.end.unwrap_or(-1)).min(units - 1));
        if start > end {
            return None;
        }
        let (start, end) = (start as u64, end as u64);
        Some(if self.in_bits { (start, end) } else { (8 * start, 8 * end + 7) })
    }

    /// Whether both ends count from the end of the string and are in the wrong order. Asked before they are
    /// clipped: two ends before the start would become equal.
    fn is_backwards(self) -> bool {
        self.start < 0 && self.end.is_some_and(|end| end < self.start)
    }
}

fn bitcount(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let part = Part::parse(&arguments[2..])?;
    let key = cx.key(arguments, 1);
    let mut number = itoa::Buffer::new();
    let bytes = cx.read_string(&key, &mut number)?.unwrap_or_default();
    cx.keys.expect(bytes.len() / 64)?;
    let count = match part.bits_of(bytes.len()) {
        Some((first, last)) if !part.is_backwards() => bits::count_ones_between(bytes, first, last),
        _ => 0,
    };
    cx.reply.int(count as i64);
    Ok(())
}

fn bitpos(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    const NONE: i64 = -1;
    let wanted = match args::int(arguments[2])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR The bit argument must be 1 or 0.")),
    };
    let part = Part::parse(&arguments[3..])?;
    let key = cx.key(arguments, 1);
    let mut number = itoa::Buffer::new();
    let place = match cx.read_string(&key, &mut number)? {
        // A missing key is zeros without end.
        None if wanted => NONE,
        None => 0,
        Some(bytes) => match part.bits_of(bytes.len()) {
            None => NONE,
            Some((first, last)) => {
                cx.keys.expect(bytes.len() / 64)?;
                match bits::find(bytes, wanted, first, last) {
                    Some(bit) => bit as i64,
                    // Without an end in the request, the zeros behind the last byte count too.
                    None if !wanted && part.end.is_none() => 8 * bytes.len() as i64,
                    None => NONE,
                }
            }
        },
    };
    cx.reply.int(place);
    Ok(())
}

/// An operation of BITOP.
#[derive(Clone, Copy)]
enum Operation {
    /// The strings one by one.
    Join(Join),
    Not,
    /// The first string with all others together, which it is joined to, or is taken from.
    First(Join),
    /// DIFF1: all others without the first.
    WithoutFirst,
    One,
}

impl Operation {
    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word {
            word if args::is(word, "AND") => Self::Join(Join::And),
            word if args::is(word, "OR") => Self::Join(Join::Or),
            word if args::is(word, "XOR") => Self::Join(Join::Xor),
            word if args::is(word, "NOT") => Self::Not,
            word if args::is(word, "DIFF") => Self::First(Join::AndNot),
            word if args::is(word, "DIFF1") => Self::WithoutFirst,
            word if args::is(word, "ANDOR") => Self::First(Join::And),
            word if args::is(word, "ONE") => Self::One,
            _ => return None,
        })
    }

    /// Whether replicas of every version know it.
    fn is_old(self) -> bool {
        matches!(self, Self::Join(_) | Self::Not)
    }

    /// Checks the number of strings.
    ///
    /// # Errors
    /// More or fewer than the operation takes.
    fn check(self, word: &[u8], count: usize) -> CommandResult {
        match self {
            Self::Not if count > 1 => {
                Err(CommandError::text("ERR BITOP NOT must be called with a single source key."))
            }
            Self::First(_) | Self::WithoutFirst if count < 2 => Err(CommandError::new(format!(
                "ERR BITOP {} must be called with at least two source keys.",
                args::text(word).to_uppercase()
            ))),
            _ => Ok(()),
        }
    }
}

/// Enters a result into the journal as a value.
fn enter_result(cx: &Context<'_>, key: &HashedKey<'_>) {
    let mut number = itoa::Buffer::new();
    match cx.keys.peek(key).map(|record| string_bytes(record, &mut number)) {
        Some(Ok(value)) => enter_set(cx, key, value, None),
        _ => cx.enter_deleted(key),
    }
}

fn bitop(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let operation = Operation::parse(arguments[1]).ok_or(CommandError::Syntax)?;
    operation.check(arguments[1], arguments.len() - 3)?;
    let mut result: Option<Vec<u8>> = None;
    let (mut others, mut once) = (Vec::new(), OnlyOnce::default());
    for index in 3..arguments.len() {
        cx.keys.may_take(&cx.key(arguments, index), usize::MAX, 4)?;
    }
    for index in 3..arguments.len() {
        let key = cx.key(arguments, index);
        let mut number = itoa::Buffer::new();
        let bytes = cx.read_string(&key, &mut number)?.unwrap_or_default();
        cx.keys.announce(bytes.len() / 16);
        match (&mut result, operation) {
            (_, Operation::Not) => result = Some(bytes.iter().map(|byte| !byte).collect()),
            (_, Operation::One) => once.add(bytes),
            (None, _) => result = Some(bytes.to_vec()),
            (Some(result), Operation::Join(join)) => join.apply(result, bytes),
            (Some(_), _) => Join::Or.apply(&mut others, bytes),
        }
    }
    let mut result = result.unwrap_or_default();
    match operation {
        Operation::First(join) => join.apply(&mut result, &others),
        Operation::WithoutFirst => {
            Join::AndNot.apply(&mut others, &result);
            result = others;
        }
        Operation::One => result = once.finish(),
        Operation::Join(_) | Operation::Not => {}
    }
    let key = cx.key(arguments, 2);
    let length = result.len();
    if length > 0 {
        cx.put(&key, raw_string(&key, result, None));
        cx.changed(&key, EventClass::STRING, "set");
    } else if cx.keys.delete(&key) {
        cx.changed(&key, EventClass::GENERIC, "del");
    } else {
        cx.reply.int(0);
        return Ok(());
    }
    if !operation.is_old() {
        enter_result(cx, &key);
    }
    cx.reply.count(length);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_clamped() {
        let part = |text: &'static str, len| {
            let words: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            Part::parse(&words).unwrap().bits_of(len)
        };
        assert_eq!(part("", 2), Some((0, 15)));
        assert_eq!(part("", 0), None);
        assert_eq!(part("1", 2), Some((8, 15)));
        assert_eq!(part("2", 2), None);
        assert_eq!(part("-1 -1", 2), Some((8, 15)));
        assert_eq!(part("-20 -10", 2), Some((0, 7)));
        assert_eq!(part("-20 -10 bit", 2), Some((0, 6)));
        assert_eq!(part("3 4 BIT", 2), Some((3, 4)));
        assert_eq!(part("1 0", 2), None);
        assert_eq!(part("-9223372036854775808 9223372036854775807 bit", 2), Some((0, 15)));
    }
}
