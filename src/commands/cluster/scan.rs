//! CLUSTERSCAN: a walk over the keys of a cluster whose cursor says by itself which node goes on with it.

use super::nodes::{check_enabled, slot_argument};
use crate::cluster::slot_tag;
use crate::command::{Category, Family, Group, KeySpec, args};
use crate::commands::generic::scan::{WALKS, page_of_keys, slots_of_pattern};
use crate::commands::shared::scan_options::ScanOptions;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::{SLOT_COUNT, key_slot};
use crate::primitives::number::parse_u64;

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "clusterscan",
    arity: -2,
    flags: WALKS,
    keys: &[KeySpec::one(1, KeySpec::NOT_KEY)],
    categories: &[Category::Keyspace],
    group: Group::Cluster,
    summary: "Walks over the names of all keys of a cluster, some at each call; the cursor leads from node to node.",
    syntax: "cursor:string [MATCH match-pattern] [COUNT count] [TYPE type] [SLOT slot]",
    since: "9.1.0",
    family: Family::Valkey("9.1"),
    complexity: "O(1) for every call, O(N) for a whole walk",
    reply: "the next cursor and an array of keys",
    run: clusterscan,
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    ..Command::DEFAULT
}];

/// Where a walk begins that has no cursor yet, and what says that it is over.
const EDGE: &[u8] = b"0";

/// Digits of the run id that cursors carry. Where they differ, another process has made the cursor, which
/// orders the keys of a slot in another way.
const FINGERPRINT_LEN: usize = 8;

fn clusterscan(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    check_enabled(cx)?;
    let (slot, words) = take_slot(&arguments[2..])?;
    let options = ScanOptions::parse(&words, true)?;
    let wanted = options.pattern.map_or(0..SLOT_COUNT, |pattern| slots_of_pattern(cx, pattern));
    let one_slot = (wanted.len() == 1).then_some(wanted.start);
    let nowhere = slot.is_some() && one_slot.is_some() && slot != one_slot;
    if arguments[1] == EDGE {
        let first = slot.or(one_slot).unwrap_or(0);
        let cursor = if nowhere { EDGE.to_vec() } else { beginning_of(first) };
        reply_page(cx, &cursor, &[]);
        return Ok(());
    }
    let fingerprint = &cx.server.identity.run_id.as_bytes()[..FINGERPRINT_LEN];
    let (is_own, position) = parse_cursor(arguments[1], fingerprint)?;
    let at = key_slot(arguments[1]);
    if slot.is_some_and(|slot| slot != at) {
        return Err(CommandError::text("ERR Cursor slot mismatch with SLOT argument"));
    }
    if nowhere || one_slot.is_some_and(|one| one != at) {
        // Another slot than the cursor's has all keys that match.
        let next = one_slot.filter(|one| slot.is_none() && *one > at);
        reply_page(cx, &next.map_or_else(|| EDGE.to_vec(), beginning_of), &[]);
        return Ok(());
    }
    let end = if slot.or(one_slot).is_some() { at + 1 } else { SLOT_COUNT };
    let from = if is_own { u64::from(u32::try_from(position).unwrap_or(0)) } else { 0 };
    let (next, found) = page_of_keys(cx, (at as u64) << 32 | from, &options, at..end)?;
    let cursor = match next {
        0 => EDGE.to_vec(),
        next => {
            let (slot, position) = ((next >> 32) as usize, next as u32);
            [fingerprint, b"-{", &slot_tag(slot), b"}-", position.to_string().as_bytes()].concat()
        }
    };
    reply_page(cx, &cursor, &found);
    Ok(())
}

/// Takes SLOT and its value out of the options.
fn take_slot<'a>(words: &[&'a [u8]]) -> Result<(Option<usize>, Vec<&'a [u8]>), CommandError> {
    let (mut slot, mut rest) = (None, Vec::with_capacity(words.len()));
    for pair in words.chunks(2) {
        match pair {
            [word, value] if args::is(word, "SLOT") => {
                const INVALID: &str = "ERR Invalid or out of range slot";
                if slot.is_some() {
                    return Err(CommandError::text("ERR SLOT option can only be specified once"));
                }
                slot = Some(slot_argument(value, INVALID).map_err(|_| CommandError::text(INVALID))?);
            }
            _ => rest.extend_from_slice(pair),
        }
    }
    Ok((slot, rest))
}

/// Reads `fingerprint-{tag}-position`: whether the fingerprint is this one, and the position. The tag's slot
/// is that of the whole cursor, as it is for whoever chooses the node.
fn parse_cursor(cursor: &[u8], fingerprint: &[u8]) -> Result<(bool, u64), CommandError> {
    let mut parts = cursor.splitn(3, |byte| *byte == b'-');
    match (parts.next(), parts.next(), parts.next().and_then(parse_u64)) {
        (Some(made_by), Some(_), Some(position)) => Ok((made_by == fingerprint, position)),
        _ => Err(CommandError::text("ERR Invalid cursor")),
    }
}

/// A cursor for the first key of a slot, for whichever node has the slot.
fn beginning_of(slot: usize) -> Vec<u8> {
    [b"0-{", &slot_tag(slot)[..], b"}-0"].concat()
}

fn reply_page(cx: &mut Context<'_>, cursor: &[u8], keys: &[Vec<u8>]) {
    cx.reply.array(2);
    cx.reply.bulk(cursor);
    cx.reply.array(keys.len());
    keys.iter().for_each(|key| cx.reply.bulk(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_have_three_parts() {
        let parse = |text: &str| parse_cursor(text.as_bytes(), b"me").ok();
        assert_eq!(parse("me-{06S}-7"), Some((true, 7)));
        assert_eq!(parse("0-{06S}-7"), Some((false, 7)));
        assert_eq!(parse("-{}-0"), Some((false, 0)));
        assert_eq!(parse("0-06S-0"), Some((false, 0)));
        for wrong in ["", "me", "me-{06S}", "me-{06S}-", "me-{06S}-x", "me-{06S}-0-1", "me-{06S}--1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
