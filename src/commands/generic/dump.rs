//! DUMP and RESTORE: values as bytes, exchanged with Redis and Valkey.

use std::sync::atomic::Ordering;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::config::Directive;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::reaper::FreeReason;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;
use crate::rdb;

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "dump",
        arity: 2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)],
        categories: &[Category::Keyspace],
        summary: "Returns a key's value as bytes that RESTORE takes, here or elsewhere.",
        syntax: "key",
        since: "2.6.0",
        complexity: "O(N) where N is the size of the value",
        reply: "the bytes or null",
        run: dump,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    restore_entry("restore"),
    Command {
        flags: RESTORE_FLAGS.and(Flags::ASKING),
        group: Group::Server,
        summary: "Makes a key from the bytes of DUMP while its slot moves here: what MIGRATE sends in cluster mode.",
        since: "3.0.0",
        ..restore_entry("restore-asking")
    },
];

const RESTORE_FLAGS: Flags = Flags::WRITE.and(Flags::DENYOOM);
const RESTORE_KEYS: &[KeySpec] = &[KeySpec::one(1, KeySpec::OW | KeySpec::UPDATE)];

const fn restore_entry(name: &'static str) -> Command {
    Command {
        name,
        arity: -4,
        flags: RESTORE_FLAGS,
        keys: RESTORE_KEYS,
        categories: &[Category::Keyspace, Category::Dangerous],
        summary: "Makes a key from the bytes of DUMP.",
        syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        since: "2.6.0",
        complexity: "O(N) where N is the size of the value",
        reply: "OK",
        run: restore,
        ..Command::DEFAULT
    }
}

fn dump(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    cx.keys.expect_elements(&key, usize::MAX, 5)?;
    match cx.keys.peek(&key).and_then(|record| payload(record, cx.keys.ended_ms)) {
        Some(payload) => cx.reply.bulk(&payload),
        None => {
            cx.missed(&key);
            cx.reply.null();
        }
    }
    Ok(())
}

/// The payload of a live record; `None` for a set all of whose members have ended at `ended_ms`.
pub fn payload(record: &Record, ended_ms: u64) -> Option<Vec<u8>> {
    match record.value() {
        ValueRef::Object(Object::Set(set)) if set.at(ended_ms).is_empty() => None,
        _ => Some(rdb::dump_at(record, ended_ms)),
    }
}

/// The options of RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u32>,
}

impl Options {
    fn parse(words: &[&[u8]]) -> Result<Self, CommandError> {
        let mut options = Options::default();
        let mut index = 0;
        while index < words.len() {
            let word = words[index];
            let has_more = index + 1 < words.len();
            if args::is(word, "REPLACE") {
                options.replace = true;
            } else if args::is(word, "ABSTTL") {
                options.absolute = true;
            } else if args::is(word, "IDLETIME") && has_more && options.frequency.is_none() {
                let seconds = args::int(words[index + 1])?;
                let invalid = CommandError::text("ERR Invalid IDLETIME value, must be >= 0");
                options.idle_s = Some(u64::try_from(seconds).map_err(|_| invalid)?);
                index += 1;
            } else if args::is(word, "FREQ") && has_more && options.idle_s.is_none() {
                let frequency = args::int(words[index + 1])?;
                let invalid = CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255");
                options.frequency = Some(u8::try_from(frequency).map_err(|_| invalid)?.into());
                index += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }
}

fn restore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let options = Options::parse(&arguments[4..])?;
    let key = cx.key(arguments, 1);
    if !options.replace && cx.keys.write(&key).is_some() {
        return Err(CommandError::text("BUSYKEY Target key name already exists."));
    }
    let ttl_ms = args::int(arguments[2])?;
    let ttl_ms =
        u64::try_from(ttl_ms).map_err(|_| CommandError::text("ERR Invalid TTL value, must be >= 0"))?;
    cx.keys.expect(arguments[3].len() / 16)?;
    let restored = rdb::restore(arguments[3], &limits(cx)).map_err(|error| {
        if let Some(further) = cx.server.upkeep.bad_payloads.take(cx.server.clock.now_ms()) {
            let kind = arguments[3].first().copied().unwrap_or_default();
            tracing::warn!(further, "a payload of RESTORE was refused: {}", error.log_text(kind));
        }
        CommandError::new(error.to_string())
    })?;
    let expire_at_ms = match ttl_ms {
        0 => None,
        at_ms if options.absolute => Some(at_ms),
        ttl_ms => Some(cx.keys.now_ms.saturating_add(ttl_ms)),
    };
    if expire_at_ms.is_some_and(|at_ms| at_ms <= cx.keys.past_ms()) {
        // A time in the past: the old value is deleted, and nothing is restored.
        if cx.keys.delete_as(&key, FreeReason::Overwritten) {
            cx.enter_removed(&key, FreeReason::Overwritten);
            cx.changed(&key, EventClass::GENERIC, "del");
        }
        cx.reply.ok();
        return Ok(());
    }
    let restored = restored.into_record(key.bytes, expire_at_ms);
    let new_type = restored.type_name();
    let old = cx.keys.replace_in(cx.keys.database, &key, restored);
    if cx.is_journaled() {
        // With an absolute time, or none, the request does the same again as it is.
        if let Some(at_ms) = expire_at_ms.filter(|_| !options.absolute) {
            let mut number = itoa::Buffer::new();
            let mut words = arguments.to_vec();
            words[2] = number.format(at_ms).as_bytes();
            words.push(b"ABSTTL");
            cx.enter(&words);
        }
    }
    cx.changed(&key, EventClass::GENERIC, "restore");
    date(cx, &key, &options);
    cx.tell_overwritten(cx.keys.database, &key, old.as_deref(), new_type);
    cx.keys.discard(old);
    cx.reply.ok();
    Ok(())
}

/// Sets the access clock that the options ask for, if the policy in force keeps that kind.
fn date(cx: &mut Context<'_>, key: &crate::keyspace::key_hash::HashedKey<'_>, options: &Options) {
    use crate::keyspace::access_clock::AccessClock;
    let access = match (cx.keys.clock(), options.idle_s, options.frequency) {
        (AccessClock::Lru(now) | AccessClock::Lrm(now), Some(idle_s), _) => {
            now.wrapping_sub(idle_s as u32) & 0xff_ffff
        }
        (AccessClock::Lfu { minutes, .. }, _, Some(frequency)) => minutes << 8 | frequency,
        _ => return,
    };
    if let Some(record) = cx.keys.peek(key) {
        record.set_access(access);
    }
}

/// Which footers of payloads are accepted, by the configuration.
pub fn footer_check(cx: &Context<'_>) -> rdb::FooterCheck {
    rdb::FooterCheck {
        any_version: cx.server.config.word(Directive::RdbVersionCheck) == "relaxed",
        any_checksum: cx.server.skips_checksums.load(Ordering::Relaxed),
    }
}

/// Which payloads are accepted, and when restored collections leave their compact form, by the configuration.
pub fn limits(cx: &Context<'_>) -> rdb::Limits {
    let settings = &cx.server.settings;
    settings.collections.of_payloads(footer_check(cx), cx.string_max())
}
