//! What LATENCY DOCTOR and MEMORY DOCTOR say of keys, clients and requests, in words.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::acl::readable::ReadableKeys;
use crate::command::table::Entry;
use crate::command::{Flags, Group};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::holders::reach_in_words;
use crate::engine::key_report::{BigKey, KeyReport, may_be_told};
use crate::primitives::printable::printable;
use crate::shared::client::SharedClient;
use crate::shared::slow_requests::{Part, SlowRequest};

/// Keys, clients and commands that are named at most.
const NAMED_MAX: usize = 3;

/// Bytes that are shown of a key or a word, and words of a request.
const SHOWN_MAX: usize = 60;
const WORDS_MAX: usize = 5;

/// A part of less than so many percent of the slow requests' time is not talked about.
const SHARE_MIN: u64 = 5;

/// What has held locks for less than this is not talked about: a tenth of a second.
const HOLDS_MIN_NS: u64 = 100_000_000;

/// A request with its reply of less than this is small: to copy as much takes some microseconds.
const LITTLE_BYTES: u64 = 64 << 10;

/// Commands that have waited for locks for less than this together are not talked about.
const WAITED_MIN_NS: u64 = 1_000_000;

/// A key or a word, cut, without what cannot be shown.
pub(super) fn shown(word: &[u8]) -> String {
    let cut = if word.len() > SHOWN_MAX { "..." } else { "" };
    format!("{}{cut}", printable(&word[..word.len().min(SHOWN_MAX)]))
}

/// A client by its id, address and name.
pub(super) fn client_in_words(id: u64, address: &str, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!(" ({})", shown(name.as_bytes())) };
    format!("client {id} at {address}{name}")
}

/// Large keys with their sizes.
pub(super) fn keys_in_words(keys: &[BigKey]) -> String {
    let named = keys.iter().take(NAMED_MAX).map(|big| {
        let BigKey { bytes, elements, key, number, type_name } = big;
        let of_elements = match *type_name {
            "string" => String::new(),
            _ => format!(", {elements} elements"),
        };
        format!("`{}` ({type_name} in db{number}, {bytes} bytes{of_elements})", shown(key))
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The clients whose buffers and messages take most, with those bytes, the largest first.
pub(super) fn largest_clients(server: &Server) -> Vec<(u64, Arc<SharedClient>)> {
    let bytes = |client: &SharedClient| {
        let buffers = client.query_buffer[1].load(Relaxed) + client.reply_buffer[1].load(Relaxed);
        (buffers + client.outbox_size().0) as u64
    };
    let mut all: Vec<_> = server.clients.all().into_iter().map(|client| (bytes(&client), client)).collect();
    all.sort_unstable_by_key(|(bytes, client)| (std::cmp::Reverse(*bytes), client.id));
    all.truncate(NAMED_MAX);
    all
}

/// A request by its first words; for readers who may not read every key by the first word alone, as any other may be
/// a key or what is in one.
fn request_in_words(request: &SlowRequest, readable: &ReadableKeys) -> String {
    let count = if readable.are_all() { WORDS_MAX } else { 1 };
    let words = request.arguments.iter().take(count).map(|word| shown(word));
    let mut text = format!("`{}", words.collect::<Vec<_>>().join(" "));
    text.push_str(if request.arguments.len() > count { " ...`" } else { "`" });
    if !request.program.is_empty() && readable.are_all() {
        // Its words are the source, or a digest: they do not say which keys it was given.
        let key = request.key.as_ref().map(|key| format!(", on key `{}`", shown(key)));
        text.push_str(&format!(" ({}{})", request.program, key.unwrap_or_default()));
    }
    if let Some(longest) = &request.longest {
        let words = longest.arguments.iter().take(count).map(|word| shown(word));
        let words = words.collect::<Vec<_>>().join(" ");
        text.push_str(&format!(" (longest of its requests: `{words}`, {} ms)", longest.took_ns / 1_000_000));
    }
    format!("{text} of {}", client_in_words(request.client, &request.address, &request.name))
}

/// What holds locks now, and what may be done; empty where nothing does for long.
pub(super) fn of_holders(server: &Server, readable: &ReadableKeys) -> String {
    let all = server.holds_now(HOLDS_MIN_NS);
    if all.is_empty() {
        return String::new();
    }
    let mut text = match server.clients_held_up() {
        0 => "These hold locks now:\n\n".to_owned(),
        1 => "These hold locks now, and a client waits:\n\n".to_owned(),
        count => format!("These hold locks now, and {count} clients wait:\n\n"),
    };
    let busy_after_ms = server.config.int(Directive::BusyReplyThreshold);
    for (held, slots) in all.iter().take(NAMED_MAX) {
        let meanwhile = if held.is_told_as_busy(busy_after_ms) { "hear BUSY" } else { "wait meanwhile" };
        let (reach, end) = (reach_in_words(*slots, meanwhile), held.end_in_words());
        // Who may not know all keys is not told of this one.
        let what = if readable.are_all() { held.in_words() } else { held.in_words_without_key() };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {what}. {reach}; {end}.");
    }
    if all.len() > NAMED_MAX {
        let _ = writeln!(text, "- {} others.", all.len() - NAMED_MAX);
    }
    text
}

/// What slow requests were slow for, and what may be done; empty where there are none. What stands in them is told
/// to readers of all keys.
pub(super) fn of_slow_requests(server: &Server, readable: &ReadableKeys) -> String {
    let latest = server.logs.slow_requests.latest(usize::MAX);
    let total_ns: u64 = latest.iter().map(|request| request.parts.total_ns()).sum();
    if total_ns == 0 {
        return String::new();
    }
    let sum_ns = |part| latest.iter().map(|request| request.parts.ns(part)).sum::<u64>();
    let share = |part| sum_ns(part).saturating_mul(100) / total_ns;
    let shares = Part::ALL.into_iter().filter(|part| sum_ns(*part) > 0);
    let shares: Vec<String> = shares.map(|part| format!("{} {} %", part.name(), share(part))).collect();
    let (ms, shares) = (total_ns / 1_000_000, shares.join(", "));
    let mut text = match latest.len() {
        1 => format!(
            "One request over slow-requests-slower-than took {ms} ms ({shares}). KVARTS SLOW GET has it.\n\n"
        ),
        count => format!(
            "The latest {count} requests over slow-requests-slower-than took {ms} ms together ({shares}). KVARTS SLOW GET has them.\n\n"
        ),
    };
    for part in Part::ALL.into_iter().filter(|part| share(*part) >= SHARE_MIN) {
        let Some(worst) = latest.iter().max_by_key(|request| request.parts.ns(part)) else { continue };
        let ms = worst.parts.ns(part) / 1_000_000;
        let help = help_for(part, worst, server);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {}: {} {ms} ms. {help}", part.name(), of_part(part, worst, readable));
    }
    text
}

fn of_part(part: Part, worst: &SlowRequest, readable: &ReadableKeys) -> String {
    let request = request_in_words(worst, readable);
    match part {
        Part::Lock if worst.blocked_by.is_empty() || !readable.are_all() => {
            format!("{request} waited for a lock for")
        }
        Part::Lock => format!("{request} waited for a lock (in the way: {}) for", worst.blocked_by),
        Part::Pause => format!("{request} was held by CLIENT PAUSE or a failover for"),
        Part::Evict => format!("{request} waited for evictions for"),
        Part::Run => format!("{request} ran for"),
        Part::Disk => format!("{request} waited for the disk for"),
        Part::Write => format!("{request} waited for its client to read for"),
    }
}

fn help_for(part: Part, worst: &SlowRequest, server: &Server) -> String {
    let setting = |directive| shown(&server.config.show(directive));
    match part {
        Part::Lock => {
            "Let commands on keys that others need be short (SCAN and its cousins go step by step), and spread what shares a hash tag.".to_owned()
        }
        Part::Pause => "CLIENT UNPAUSE ends a pause.".to_owned(),
        Part::Evict => format!(
            "maxmemory is {} and maxmemory-policy {}: raise the limit, or shorten expiries.",
            setting(Directive::Maxmemory),
            setting(Directive::MaxmemoryPolicy)
        ),
        Part::Run if !worst.program.is_empty() => {
            let keys = match worst.key {
                None => ", and declare its keys: others that need none of them then go on meanwhile",
                Some(_) => "",
            };
            format!(
                "Have it do less at a time{keys}. SCRIPT KILL and FUNCTION KILL end one that has changed nothing; SCRIPT SHOW and FUNCTION LIST show what it is."
            )
        }
        Part::Run if let Some(entry) = with_little_to_do(worst, server) => {
            let changes = match entry.spec.flags.has(Flags::WRITE) {
                true => ", unless the value that it changed or replaced is large",
                false => "",
            };
            format!(
                "It has little to do, with {} bytes of request and reply{changes}: the process or the machine was held up. Look for a process that was stopped, swapping, steal (other machines on the same processors) and more busy threads than processors.",
                worst.bytes
            )
        }
        Part::Run if entry_of(worst, server).is_some_and(works_on_strings) => {
            "It takes as long as its strings are large: keep a large value in parts under keys of their own, read and write parts of it (GETRANGE, SETRANGE), and name fewer keys at a time.".to_owned()
        }
        Part::Run => {
            "Commands that walk over many elements have cousins that go step by step; give ranges a LIMIT or a COUNT.".to_owned()
        }
        Part::Disk => format!(
            "appendfsync is {}: CONFIG SET appendfsync everysec waits for no disk, and may lose a second.",
            setting(Directive::Appendfsync)
        ),
        Part::Write => format!(
            "client-output-buffer-limit is {}: it cuts clients that do not read.",
            setting(Directive::ClientOutputBufferLimit)
        ),
    }
}

/// The entry of a request's command.
fn entry_of<'s>(request: &SlowRequest, server: &'s Server) -> Option<&'s Entry> {
    let words: Vec<&[u8]> = request.arguments.iter().map(Vec::as_slice).collect();
    server.commands.resolve_request(&words).ok()
}

/// Whether a command is slow for the bytes of its values, which have no elements.
fn works_on_strings(entry: &Entry) -> bool {
    matches!(entry.spec.group, Group::String | Group::Bitmap)
}

/// The entry of a request's command where that takes as long as what it was sent and has answered is large, and both
/// are small. Of those whose time grows with something that others cannot see nothing is known.
fn with_little_to_do<'s>(request: &SlowRequest, server: &'s Server) -> Option<&'s Entry> {
    let entry = entry_of(request, server)?;
    // Of strings these are keys, bytes written and bytes returned.
    let is_in_words =
        |what: &str| entry.spec.group == Group::String && what.starts_with("O(N) where N is the number of ");
    let complexity = entry.spec.complexity;
    let grows_with_words = complexity == "O(1)" || is_in_words(complexity);
    let has_little = (1..LITTLE_BYTES).contains(&request.bytes) && grows_with_words;
    (has_little && !entry.spec.keys.is_empty()).then_some(entry)
}

/// How often, in words.
pub(super) fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

/// Which commands have waited for locks for long, and which keys may be the reason; empty where none has.
pub(super) fn of_lock_waits(server: &Server, readable: &ReadableKeys) -> String {
    let entries = server.commands.entries().iter();
    let waits = entries.filter_map(|entry| Some((server.stats.lock_waits.of(entry.id)?, entry)));
    let mut waits: Vec<_> = waits.filter(|(waited, _)| waited.total_ns >= WAITED_MIN_NS).collect();
    if waits.is_empty() {
        return String::new();
    }
    waits.sort_unstable_by_key(|(waited, _)| std::cmp::Reverse(waited.total_ns));
    let mut text = "Commands that have waited for locks longest since the start:\n\n".to_owned();
    for (waited, entry) in waits.iter().take(NAMED_MAX) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "- {}: {}, {} ms together, {} ms at longest.",
            entry.full_name,
            times(waited.count),
            waited.total_ns / 1_000_000,
            waited.longest_ns / 1_000_000
        );
    }
    let last = server.hot_keys.windows.last();
    let hottest = last.keys.iter().filter(|hot| readable.has(Some(hot.database), &hot.key)).take(NAMED_MAX);
    let hottest: Vec<String> = hottest
        .map(|hot| format!("`{}` in db{} ({} a second)", shown(&hot.key), hot.database, hot.per_second))
        .collect();
    let is_watched = server.config.int(Directive::HotkeysTopK) > 0;
    if hottest.is_empty() && !last.keys.is_empty() {
        text.push_str("- The keys that are used most are none that you may read.\n");
    } else if hottest.is_empty() && is_watched {
        text.push_str("- HOTKEYS GET names no key: the last window of hotkeys-window-seconds had no accesses, or none has ended.\n");
    } else if hottest.is_empty() {
        text.push_str("- CONFIG SET hotkeys-top-k 10 has HOTKEYS GET name the keys that they may meet at.\n");
    } else {
        let _ = writeln!(text, "- Keys that are used most, where they may meet: {}.", hottest.join(", "));
    }
    let report = server.key_report(0).unwrap_or_default();
    let largest = report.by_elements.iter().filter(|big| may_be_told(readable, big.number, &big.key));
    let largest: Vec<BigKey> = largest.cloned().collect();
    if !largest.is_empty() {
        let _ = writeln!(text, "- Keys with most elements: {}.", keys_in_words(&largest));
    }
    text
}

/// What of memory the largest keys, prefixes and clients take, of `used` bytes; empty where that is little.
pub(super) fn of_large_things(
    used: u64,
    report: Option<&KeyReport>,
    clients: &[(u64, Arc<SharedClient>)],
) -> String {
    let mut text = String::new();
    let is_much = |bytes: u64| bytes >= used / 20;
    for (bytes, client) in clients.iter().filter(|(bytes, _)| is_much(*bytes)) {
        let unread = client.reply_buffer[0].load(Relaxed) + client.outbox_size().0;
        let who = client_in_words(client.id, &client.address, &client.names.lock().name);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "- {who} holds {bytes} bytes of buffers, {unread} of them unread: CLIENT KILL ID {} ends it; maxmemory-clients and client-output-buffer-limit bound what clients hold.",
            client.id
        );
    }
    let Some(report) = report else { return text };
    let large: Vec<BigKey> =
        report.by_bytes.iter().filter(|big| is_much(big.bytes)).take(NAMED_MAX).cloned().collect();
    if !large.is_empty() {
        let _ = writeln!(
            text,
            "- Large keys: {}. Split them, give them an expiry, or UNLINK them.",
            keys_in_words(&large)
        );
    }
    if let Some(first) = report.prefixes.first().filter(|prefix| prefix.sums.bytes >= used / 10) {
        let prefix = if first.prefix.is_empty() {
            "no prefix".to_owned()
        } else {
            format!("`{}`", shown(&first.prefix))
        };
        let keys = match first.sums.keys {
            1 => format!("one key with {prefix} in db{} takes", first.number),
            keys => format!("{keys} keys with {prefix} in db{} take", first.number),
        };
        let _ = writeln!(
            text,
            "- The {keys} {} bytes, {} % of all: KVARTS PREFIXES tells more.",
            first.sums.bytes,
            first.sums.bytes * 100 / used.max(1)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::key_report::{PrefixUse, Sums};
    use crate::shared::slow_requests::Longest;

    #[test]
    fn words_are_cut_and_cannot_break_a_line() {
        assert_eq!(shown(b"a\r\n\xff"), "a\\r\\n\\xff");
        assert_eq!(shown(&[b'x'; 61]), format!("{}...", "x".repeat(60)));
        let request = SlowRequest {
            arguments: (0..7).map(|number| vec![b'0' + number]).collect(),
            client: 3,
            address: "1.2.3.4:5".to_owned(),
            name: "me".to_owned(),
            ..SlowRequest::default()
        };
        let (every, none) = (ReadableKeys::every(), ReadableKeys::default());
        assert_eq!(request_in_words(&request, &every), "`0 1 2 3 4 ...` of client 3 at 1.2.3.4:5 (me)");
        assert_eq!(request_in_words(&request, &none), "`0 ...` of client 3 at 1.2.3.4:5 (me)");
        let script = SlowRequest {
            arguments: vec![b"EVAL".to_vec(), b"return 'x'".to_vec()],
            key: Some(b"it's".to_vec()),
            program: "script 1a".to_owned(),
            ..SlowRequest::default()
        };
        let transaction = SlowRequest {
            arguments: vec![b"EXEC".to_vec()],
            longest: Some(Box::new(Longest {
                took_ns: 7_000_000,
                arguments: vec![b"LPOS".to_vec(), b"l".to_vec()],
            })),
            ..SlowRequest::default()
        };
        let expected = "`EXEC` (longest of its requests: `LPOS l`, 7 ms) of client 0 at ";
        assert_eq!(request_in_words(&transaction, &every), expected);
        let expected = "`EXEC` (longest of its requests: `LPOS`, 7 ms) of client 0 at ";
        assert_eq!(request_in_words(&transaction, &none), expected);
        let expected = "`EVAL return 'x'` (script 1a, on key `it's`) of client 0 at ";
        assert_eq!(request_in_words(&script, &every), expected);
        assert_eq!(request_in_words(&script, &none), "`EVAL ...` of client 0 at ");
    }

    #[test]
    fn one_key_is_told_of_as_one() {
        for (keys, expected) in [
            (
                1,
                "- The one key with no prefix in db3 takes 60 bytes, 60 % of all: KVARTS PREFIXES tells more.\n",
            ),
            (
                2,
                "- The 2 keys with no prefix in db3 take 60 bytes, 60 % of all: KVARTS PREFIXES tells more.\n",
            ),
        ] {
            let mut one = PrefixUse { prefix: Box::default(), number: 3, sums: Sums::default() };
            (one.sums.keys, one.sums.bytes) = (keys, 60);
            let report = KeyReport { prefixes: vec![one], ..KeyReport::default() };
            assert_eq!(of_large_things(100, Some(&report), &[]), expected);
        }
    }
}
