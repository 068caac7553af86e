//! Hash fields as numbers: HINCRBY and HINCRBYFLOAT.

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::hash::fields::{enter_set, has_lapsed, tell_lapsed};
use crate::commands::shared::collection;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::primitives::long_double::LongDouble;
use crate::primitives::number::parse_i64;

const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeySpec::RW | KeySpec::ACCESS | KeySpec::UPDATE)];

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        summary: "Adds to the number in a hash's field; a missing field counts as 0.",
        since: "2.0.0",
        reply: "the new number",
        element: Some(2),
        run: hincrby,
        ..adding("hincrby")
    },
    Command {
        summary: "Adds a floating point number to the number in a hash's field; a missing field counts as 0.",
        syntax: "key field increment:double",
        since: "2.6.0",
        reply: "the new number as text",
        element: Some(2),
        run: hincrbyfloat,
        ..adding("hincrbyfloat")
    },
];

const fn adding(name: &'static str) -> Command {
    Command {
        name,
        arity: 4,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: UPDATE,
        categories: &[Category::Hash],
        group: Group::Hash,
        syntax: "key field increment",
        ..Command::DEFAULT
    }
}

fn hincrby(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let by = args::int(arguments[3])?;
    let (mut sum, mut text) = (0, itoa::Buffer::new());
    let (new, written) = (&mut sum, &mut text);
    change(cx, arguments, "hincrby", false, move |old| {
        let old = old.map_or(Ok(0), |old| parse_i64(old).ok_or(CommandError::HashValueNotAnInteger))?;
        *new = old.checked_add(by).ok_or(CommandError::IncrementOverflow)?;
        Ok(written.format(*new).as_bytes())
    })?;
    cx.reply.int(sum);
    Ok(())
}

fn hincrbyfloat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let by = LongDouble::parse(arguments[3]).ok_or(CommandError::NotAFloat)?;
    // Only infinity has no sum with zero. It is refused with an error of its own here, before the key is
    // looked at.
    by.checked_add(LongDouble::ZERO).ok_or(CommandError::ValueNotFinite)?;
    let mut text = Vec::new();
    let written = &mut text;
    change(cx, arguments, "hincrbyfloat", true, move |old| {
        let old = old.map_or(Ok(LongDouble::ZERO), |old| {
            LongDouble::parse(old).ok_or(CommandError::HashValueNotAFloat)
        })?;
        old.checked_add(by).ok_or(CommandError::IncrementNotFinite)?.format_into(written);
        Ok(written)
    })?;
    cx.reply.bulk(&text);
    Ok(())
}

/// Replaces a field's value by what `compute` makes of it; the expiry stays. The journal gets the result
/// instead of the request where that is `rounded`, which others may do differently, or where the old value
/// had ended.
fn change<'t>(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    event: &'static str,
    rounded: bool,
    compute: impl FnOnce(Option<&[u8]>) -> Result<&'t [u8], CommandError>,
) -> CommandResult {
    let key = cx.key(arguments, 1);
    let field = arguments[2];
    let (limits, now_ms) = (cx.server.settings.collections.hash(), cx.keys.ended_ms);
    let (lapsed, has_expiries, value) = collection::change_or_make_hash(cx, &key, |hash| {
        let value = compute(hash.get(field, now_ms).as_deref())?;
        let lapsed = has_lapsed(hash, field, now_ms);
        hash.set_keeping_expiry(field, value, now_ms, &limits);
        Ok::<_, CommandError>((lapsed, hash.has_expiries(), value))
    })??;
    tell_lapsed(cx, &key, if lapsed { &arguments[2..3] } else { &[] });
    if (lapsed || rounded) && cx.is_journaled() {
        enter_set(cx, &key, field, value, lapsed || !has_expiries);
    }
    collection::changed_fields(cx, &key, event, [field].into_iter());
    Ok(())
}
