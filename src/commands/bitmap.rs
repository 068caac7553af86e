//! Bitmaps: strings looked at bit by bit. The first bit is the highest of the first byte.

use crate::command::context::string_bytes;
use crate::command::{Category, Command, Context, Flags, Group, KeySpec};
use crate::commands::string::change_bytes;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::EventClass;
use crate::types::number::parse_i64;

const BITMAP: &[Category] = &[Category::Bitmap];

/// The group's entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "setbit",
        arity: 4,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)],
        categories: BITMAP,
        group: Group::Bitmap,
        summary: "Sets or clears a bit, filling up with zero bytes where the string is too short.",
        syntax: "key offset value",
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
];

/// The place of a bit: its byte, and the mask within it.
fn bit_place(cx: &Context<'_>, argument: &[u8]) -> Result<(usize, u8), CommandError> {
    let max_bytes = cx.server.settings.bulk_max().max(0) as u64;
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
    let mut before = false;
    change_bytes(cx, &key, |bytes| {
        if bytes.len() <= byte {
            bytes.resize(byte + 1, 0);
        }
        before = bytes[byte] & mask != 0;
        if wanted {
            bytes[byte] |= mask;
        } else {
            bytes[byte] &= !mask;
        }
    })?;
    cx.changed(&key, EventClass::STRING, "setbit");
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
