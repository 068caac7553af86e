//! CLIENT TRACKING and its kin: of which keys a connection wants invalidation messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::command::args;
use crate::engine::client_text::redirect_of;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::shared::client::names;
use crate::shared::tracker::Tracker;

/// The options of CLIENT TRACKING, and the words that are known only to be refused.
struct Options {
    tracker: Tracker,
    has_prefix: bool,
}

/// CLIENT TRACKING ON | OFF [option ...]
pub fn tracking(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let Options { mut tracker, has_prefix } = options(cx, &arguments[3..])?;
    let word = arguments[2];
    if args::is(word, "OFF") {
        cx.server.end_tracking(cx.client);
        cx.reply.ok();
        return Ok(());
    }
    if !args::is(word, "ON") {
        return Err(CommandError::Syntax);
    }
    if has_prefix && !tracker.broadcast {
        return Err(CommandError::text("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    let before = cx.client.tracker.clone();
    if before.as_ref().is_some_and(|before| before.broadcast != tracker.broadcast) {
        return Err(CommandError::text(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
        ));
    }
    if tracker.broadcast && (tracker.opt_in || tracker.opt_out) {
        return Err(CommandError::text("ERR OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if tracker.opt_in && tracker.opt_out {
        return Err(CommandError::text("ERR You can't specify both OPTIN mode and OPTOUT mode"));
    }
    if before
        .as_ref()
        .is_some_and(|before| (tracker.opt_in && before.opt_out) || (tracker.opt_out && before.opt_in))
    {
        return Err(CommandError::text(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
        ));
    }
    if tracker.broadcast {
        let known = before.as_ref().map_or(&[][..], |before| &before.prefixes);
        refuse_overlaps(&tracker.prefixes, known)?;
        tracker.prefixes.extend_from_slice(known);
        if tracker.prefixes.is_empty() {
            tracker.prefixes.push(Bytes::new());
        }
        tracker.prefixes.sort();
        tracker.prefixes.dedup();
    }
    if let Some(before) = before {
        cx.server.effects.tracking.end(&before);
    }
    let bytes: usize = tracker.prefixes.iter().map(|prefix| names::prefix_bytes(prefix)).sum();
    cx.client.shared.name_bytes[names::TRACKED].store(bytes, Ordering::Relaxed);
    let tracker = Arc::new(tracker);
    cx.server.effects.tracking.begin(&tracker);
    cx.client.tracker = Some(tracker);
    cx.reply.ok();
    Ok(())
}

fn options(cx: &Context<'_>, words: &[&[u8]]) -> Result<Options, CommandError> {
    let mut tracker = Tracker::new(&cx.client.shared);
    let mut has_prefix = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().ok_or(CommandError::Syntax);
        if args::is(word, "REDIRECT") {
            let value = value()?;
            if tracker.redirect.is_some() {
                return Err(CommandError::text("ERR A client can only redirect to a single other client"));
            }
            let id = args::int(value)?;
            // A missing target of REDIRECT is an error at once: a mistake rather than bad luck.
            let client = u64::try_from(id).ok().and_then(|id| cx.server.clients.by_id(id));
            // A primary reads nothing.
            let client = client.filter(|client| !client.primary.load(Ordering::Relaxed));
            tracker.redirect = Some(
                client.ok_or(CommandError::text("ERR The client ID you want redirect to does not exist"))?,
            );
        } else if args::is(word, "PREFIX") {
            tracker.prefixes.push(Bytes::copy_from_slice(value()?));
            has_prefix = true;
        } else if args::is(word, "BCAST") {
            tracker.broadcast = true;
        } else if args::is(word, "OPTIN") {
            tracker.opt_in = true;
        } else if args::is(word, "OPTOUT") {
            tracker.opt_out = true;
        } else if args::is(word, "NOLOOP") {
            tracker.no_loop = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(Options { tracker, has_prefix })
}

/// Whether a prefix covers another one. In sorted order it then covers the one right behind it, too.
fn any_overlaps(new: &[Bytes], known: &[Bytes]) -> bool {
    let mut sorted: Vec<&Bytes> = new.iter().chain(known).collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[1].starts_with(pair[0]))
}

/// Refuses prefixes of one client that cover each other: it would get each message twice.
fn refuse_overlaps(new: &[Bytes], known: &[Bytes]) -> CommandResult {
    let overlap = |one: &Bytes, other: &Bytes| one.starts_with(other) || other.starts_with(one);
    let text = |prefix: &Bytes| String::from_utf8_lossy(prefix).into_owned();
    if !any_overlaps(new, known) {
        return Ok(());
    }
    for (index, prefix) in new.iter().enumerate() {
        if let Some(other) = known.iter().find(|other| overlap(prefix, other)) {
            return Err(CommandError::new(format!(
                "ERR Prefix '{}' overlaps with an existing prefix '{}'. Prefixes for a single client must not overlap.",
                text(prefix),
                text(other)
            )));
        }
        if let Some(other) = new[index + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(CommandError::new(format!(
                "ERR Prefix '{}' overlaps with another provided prefix '{}'. Prefixes for a single client must not overlap.",
                text(prefix),
                text(other)
            )));
        }
    }
    Ok(())
}

/// CLIENT CACHING YES | NO
pub fn caching(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let modes = cx.client.tracker.as_ref().map(|tracker| (tracker.opt_in, tracker.opt_out));
    let Some((opt_in, opt_out)) = modes else {
        let says_off = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
        return Err(CommandError::text(says_off));
    };
    match arguments[2] {
        word if args::is(word, "YES") && !opt_in => {
            return Err(CommandError::text(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
        word if args::is(word, "NO") && !opt_out => {
            return Err(CommandError::text(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
        word if args::is(word, "YES") || args::is(word, "NO") => {}
        _ => return Err(CommandError::Syntax),
    }
    cx.client.caching = true;
    cx.reply.ok();
    Ok(())
}

/// CLIENT GETREDIR
pub fn getredir(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.int(redirect_of(&cx.client.shared));
    Ok(())
}

/// CLIENT TRACKINGINFO
pub fn trackinginfo(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let tracker = cx.client.tracker.clone();
    let mut flags = Vec::new();
    let mut prefixes: &[Bytes] = &[];
    match &tracker {
        None => flags.push("off"),
        Some(tracker) => {
            let caching = cx.client.caching;
            let all = [
                (true, "on"),
                (tracker.broadcast, "bcast"),
                (tracker.opt_in, "optin"),
                (tracker.opt_in && caching, "caching-yes"),
                (tracker.opt_out, "optout"),
                (tracker.opt_out && caching, "caching-no"),
                (tracker.no_loop, "noloop"),
                (tracker.is_broken(), "broken_redirect"),
            ];
            flags.extend(all.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name));
            prefixes = &tracker.prefixes;
        }
    }
    let redirect = redirect_of(&cx.client.shared);
    let reply = &mut cx.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(redirect);
    reply.bulk(b"prefixes");
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}
