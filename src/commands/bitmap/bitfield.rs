//! BITFIELD and BITFIELD_RO: strings as arrays of integers of any width.

use smallvec::SmallVec;

use crate::command::keys::{KeyPosition, KeyPositions};
use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::string::value::{grow, try_change_bytes};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::context::string_bytes;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::primitives::bits::{IntKind, Overflow};
use crate::primitives::number::{parse_i64, parse_u64};

const WRITES: u16 = KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE;
const READS: u16 = KeySpec::RO | KeySpec::ACCESS;

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bitfield",
        arity: -2,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, WRITES | KeySpec::VARIABLE_FLAGS)],
        moving_keys: Some(bitfield_keys),
        categories: &[Category::Bitmap],
        group: Group::Bitmap,
        summary: "Reads, sets and adds to integers of any width that lie in a string.",
        syntax: "key [GET(encoding offset) | [OVERFLOW(WRAP | SAT | FAIL)] (SET(encoding offset value:integer) | INCRBY(encoding offset increment))] ...",
        since: "3.2.0",
        complexity: "O(1) for each operation",
        reply: "an array of each operation's integer, null where an overflow made it fail",
        run: bitfield,
        ..Command::DEFAULT
    },
    Command {
        name: "bitfield_ro",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: &[KeySpec::one(1, READS)],
        categories: &[Category::Bitmap],
        group: Group::Bitmap,
        summary: "Reads integers of any width that lie in a string.",
        syntax: "key [GET(encoding offset) [GET(encoding offset) ...]]",
        since: "6.0.0",
        complexity: "O(1) for each operation",
        reply: "an array of the integers",
        run: bitfield_ro,
        ..Command::DEFAULT
    },
];

/// One operation on one integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operation {
    kind: IntKind,
    bit: u64,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

type Operations = SmallVec<[Operation; 4]>;

/// Reads the operations behind the key. Offsets have to be within a string of `max_bytes`.
fn parse(mut words: &[&[u8]], max_bytes: u64) -> Result<Operations, CommandError> {
    let mut operations = Operations::new();
    let mut overflow = Overflow::Wrap;
    while let Some((word, rest)) = words.split_first() {
        words = match rest {
            [kind, offset, rest @ ..] if args::is(word, "GET") => {
                let kind = parse_kind(kind)?;
                let bit = parse_offset(offset, kind, max_bytes)?;
                operations.push(Operation { kind, bit, action: Action::Get });
                rest
            }
            [kind, offset, value, rest @ ..] if args::is(word, "SET") || args::is(word, "INCRBY") => {
                let kind = parse_kind(kind)?;
                let bit = parse_offset(offset, kind, max_bytes)?;
                let value = args::int(value)?;
                let sets = args::is(word, "SET");
                let action = if sets { Action::Set(value, overflow) } else { Action::Add(value, overflow) };
                operations.push(Operation { kind, bit, action });
                rest
            }
            [word_of_overflow, rest @ ..] if args::is(word, "OVERFLOW") => {
                overflow = match *word_of_overflow {
                    word if args::is(word, "WRAP") => Overflow::Wrap,
                    word if args::is(word, "SAT") => Overflow::Saturate,
                    word if args::is(word, "FAIL") => Overflow::Fail,
                    _ => return Err(CommandError::text("ERR Invalid OVERFLOW type specified")),
                };
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    Ok(operations)
}

fn parse_kind(word: &[u8]) -> Result<IntKind, CommandError> {
    let kind = match word {
        [b'i', bits @ ..] => parse_u64(bits).and_then(|bits| IntKind::new(true, bits)),
        [b'u', bits @ ..] => parse_u64(bits).and_then(|bits| IntKind::new(false, bits)),
        _ => None,
    };
    kind.ok_or(CommandError::text(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    ))
}

/// Reads an offset in bits: `100` is bit 100, `#100` the start of integer 100 of this kind.
fn parse_offset(word: &[u8], kind: IntKind, max_bytes: u64) -> Result<u64, CommandError> {
    let bit = match word {
        [b'#', index @ ..] => non_negative(index).and_then(|index| index.checked_mul(kind.bits())),
        _ => non_negative(word),
    };
    bit.filter(|bit| bit / 8 < max_bytes)
        .ok_or(CommandError::text("ERR bit offset is not an integer or out of range"))
}

fn non_negative(word: &[u8]) -> Option<u64> {
    parse_i64(word).and_then(|value| u64::try_from(value).ok())
}

fn writes(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| operation.action != Action::Get)
}

/// Finds the key; a BITFIELD that only reads declares it as read, and so locks it shared.
fn bitfield_keys(arguments: &[&[u8]], found: &mut KeyPositions) {
    let only_reads = parse(&arguments[2..], u64::MAX).is_ok_and(|operations| !writes(&operations));
    found.push(KeyPosition { argument: 1, flags: if only_reads { READS } else { WRITES } });
}

fn bitfield(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let max_bytes = cx.string_max() as u64;
    let operations = parse(&arguments[2..], max_bytes)?;
    if writes(&operations) { change(cx, arguments, &operations) } else { read(cx, arguments, &operations) }
}

fn bitfield_ro(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let max_bytes = cx.string_max() as u64;
    let operations = parse(&arguments[2..], max_bytes)?;
    if writes(&operations) {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(cx, arguments, &operations)
}

fn read(cx: &mut Context<'_>, arguments: &[&[u8]], operations: &[Operation]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let mut number = itoa::Buffer::new();
    let bytes = match cx.keys.read(&key) {
        Some(record) => string_bytes(record, &mut number)?,
        None => {
            cx.missed(&key);
            &[]
        }
    };
    cx.reply.array(operations.len());
    for operation in operations {
        cx.reply.int(operation.kind.read(bytes, operation.bit));
    }
    Ok(())
}

fn change(cx: &mut Context<'_>, arguments: &[&[u8]], operations: &[Operation]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let writes = operations.iter().filter(|operation| operation.action != Action::Get);
    // Redis makes the string this long even if every write then fails.
    let length =
        writes.map(|operation| (operation.bit + operation.kind.bits()).div_ceil(8)).max().unwrap_or(0);
    let mut replies: SmallVec<[Option<i64>; 4]> = SmallVec::new();
    let first = operations.iter().map(|operation| operation.bit / 8).min().unwrap_or(0);
    let touched = first as usize..length as usize;
    let (grew, changes) = try_change_bytes(cx, &key, touched, |bytes| {
        let mut written = 0u64;
        let grew = (bytes.len() as u64) < length;
        if grew {
            grow(bytes, length as usize);
        }
        for Operation { kind, bit, action } in operations {
            let old = kind.read(bytes, *bit);
            let new = match action {
                Action::Get => None,
                Action::Set(value, overflow) => kind.fit(kind.given(*value), *overflow),
                Action::Add(by, overflow) => kind.fit(i128::from(old) + i128::from(*by), *overflow),
            };
            if let Some(new) = new {
                kind.write(bytes, *bit, new);
                // An increment counts as a change even where the value stays, as in Redis.
                written += u64::from(grew || new != old || matches!(action, Action::Add(..)));
            }
            replies.push(match action {
                Action::Get => Some(old),
                Action::Set(..) => new.and(Some(old)),
                Action::Add(..) => new,
            });
        }
        // The value counts as modified even where no bit changes: OBJECT ENCODING shows `raw` then, as in
        // Redis.
        Ok(((grew, written), true))
    })?;
    if changes > 0 {
        cx.changed(&key, EventClass::STRING, "setbit");
        cx.dirty += changes - 1;
    } else if grew {
        // Redis publishes nothing when every write failed.
        cx.touched(&key);
    }
    cx.reply.array(replies.len());
    for reply in replies {
        match reply {
            Some(value) => cx.reply.int(value),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &'static str) -> Vec<&'static [u8]> {
        text.split_ascii_whitespace().map(str::as_bytes).collect()
    }

    #[test]
    fn operations_are_read_in_order() {
        let u8 = IntKind::new(false, 8).unwrap();
        let parsed = parse(&words("get u8 #2 overflow SAT set u8 5 -1 incrby u8 0 3"), 64).unwrap();
        let expected = [
            (16, Action::Get),
            (5, Action::Set(-1, Overflow::Saturate)),
            (0, Action::Add(3, Overflow::Saturate)),
        ];
        assert_eq!(parsed[..], expected.map(|(bit, action)| Operation { kind: u8, bit, action }));
        for (text, error) in [
            ("get u8", "ERR syntax error"),
            ("set u8 0", "ERR syntax error"),
            ("overflow", "ERR syntax error"),
            ("overflow x", "ERR Invalid OVERFLOW type specified"),
            ("get u8 -1", "ERR bit offset is not an integer or out of range"),
            ("get u8 512", "ERR bit offset is not an integer or out of range"),
            ("get u8 #9223372036854775807", "ERR bit offset is not an integer or out of range"),
            ("set u8 0 x", "ERR value is not an integer or out of range"),
        ] {
            assert_eq!(parse(&words(text), 64).unwrap_err().to_string(), error, "{text}");
        }
        for kind in ["u64", "i65", "u0", "U8", "8", "u", "u-1", "u08"] {
            assert!(parse_kind(kind.as_bytes()).is_err(), "{kind}");
        }
    }

    #[test]
    fn only_reads_lock_for_reading() {
        let flags = |text| {
            let mut found = KeyPositions::new();
            bitfield_keys(&words(text), &mut found);
            found[0].flags
        };
        assert_eq!(flags("bitfield k get u8 0 overflow sat get i5 3"), READS);
        assert_eq!(flags("bitfield k get u8 0 set u8 0 1"), WRITES);
        assert_eq!(flags("bitfield k"), READS);
        assert_eq!(flags("bitfield k nonsense"), WRITES);
    }
}
