//! DEBUG: subcommands for tests of the server itself, allowed only where `enable-debug-command` says so.

use crate::command::{Flags, Group, KeySpec, args};
use crate::commands::server::debug_tables;
use crate::commands::shared::help;
use crate::config::{Directive, parse_memory};
use crate::engine::command::Command;
use crate::engine::context::{After, Context, Origin};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::Access;
use crate::keyspace::access_clock::AccessClock;
use crate::keyspace::key_hash::SLOT_COUNT;
use crate::keyspace::record::is_expired;
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::scan;
use crate::keyspace::value::Object;
use crate::primitives::number::{parse_f64, parse_i64};
use crate::rdb::{self, Restored};
use crate::types::stream::StreamId;

const FLAGS: Flags = Flags::ADMIN
    .and(Flags::NOSCRIPT)
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::PROTECTED)
    .and(Flags::NO_ACCESS);

const fn subcommand(name: &'static str, arity: i32) -> Command {
    Command { name, arity, flags: FLAGS, group: Group::Server, since: "1.0.0", ..Command::DEFAULT }
}

/// Entry of a subcommand that walks over the whole keyspace.
const fn walk(name: &'static str, arity: i32) -> Command {
    Command { flags: FLAGS.and(Flags::WHOLE_KEYSPACE).and(Flags::BEGINS_ANEW), ..subcommand(name, arity) }
}

/// Entry of a subcommand that exchanges all data.
const fn alone_later(name: &'static str, arity: i32) -> Command {
    Command { flags: FLAGS.and(Flags::WHOLE_KEYSPACE).and(Flags::ALONE_LATER), ..subcommand(name, arity) }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    flags: FLAGS,
    group: Group::Server,
    summary: "For tests of the server itself.",
    is_whole: true,
    since: "1.0.0",
    subcommands: &[
        Command {
            summary: "Lets this connection sleep, and no other: CLIENT PAUSE holds all.",
            syntax: "seconds",
            reply: "OK",
            run: sleep,
            ..subcommand("sleep", 3)
        },
        Command {
            summary: "Describes a key's value.",
            syntax: "key",
            keys: &[KeySpec::one(2, KeySpec::RO)],
            reply: "a line of fields",
            run: object,
            ..subcommand("object", -3)
        },
        Command {
            summary: "Turns active expiry on or off.",
            syntax: "0 | 1",
            reply: "OK",
            run: set_active_expire,
            ..subcommand("set-active-expire", 3)
        },
        Command {
            summary: "Has the append-only file's writer wait before it writes.",
            syntax: "microseconds",
            reply: "OK",
            run: aof_flush_sleep,
            ..subcommand("aof-flush-sleep", 3)
        },
        Command {
            summary: "Lets RESTORE take payloads whose checksum is wrong.",
            syntax: "0 | 1",
            reply: "OK",
            run: set_skip_checksum_validation,
            ..subcommand("set-skip-checksum-validation", 3)
        },
        Command {
            summary: "Lets scripts call commands that they may not call otherwise, but for transactions and other scripts.",
            syntax: "0 | 1",
            reply: "OK",
            run: set_disable_deny_scripts,
            ..subcommand("set-disable-deny-scripts", 3)
        },
        Command {
            summary: "Replies with a value of the named type.",
            syntax: "STRING | INTEGER | DOUBLE | NULL | ARRAY | SET | MAP | ATTRIB | PUSH | VERBATIM | TRUE | FALSE | BIGNUM",
            reply: "that value",
            run: protocol,
            ..subcommand("protocol", 3)
        },
        Command {
            summary: "Returns a digest of keys' values, the same for equal values however they are kept.",
            syntax: "key [key ...]",
            keys: &[KeySpec::rest(2, 1, KeySpec::RO)],
            reply: "an array of digests",
            run: digest_value,
            ..subcommand("digest-value", -2)
        },
        Command {
            summary: "Returns a digest of all keys and values.",
            reply: "a digest",
            run: digest,
            ..walk("digest", 2)
        },
        Command {
            summary: "Writes every value in the format of DUMP and puts what is read back in its place.",
            syntax: "[MERGE] [NOFLUSH] [NOSAVE]",
            reply: "OK",
            run: reload,
            ..alone_later("reload", -2)
        },
        Command {
            summary: "Replaces all data by what the append-only file holds; without one encodes and decodes every value.",
            reply: "OK",
            run: load_aof,
            ..alone_later("loadaof", 2)
        },
        Command {
            summary: "Replies with an error of this text.",
            syntax: "text",
            reply: "that error",
            run: error,
            ..subcommand("error", 3)
        },
        Command {
            summary: "Writes a line into the server's log.",
            syntax: "text",
            reply: "OK",
            run: log,
            ..subcommand("log", 3)
        },
        Command {
            summary: "Does nothing: lists here hold elements of every length in the same way. Tests of other servers ask for it.",
            syntax: "size",
            reply: "OK",
            run: quicklist_packed_threshold,
            ..subcommand("quicklist-packed-threshold", 3)
        },
        Command {
            summary: "Does nothing: no work here waits for a timer that could be stopped. Tests of other servers ask for it.",
            syntax: "0 | 1",
            reply: "OK",
            run: pause_cron,
            ..subcommand("pause-cron", 3)
        },
        Command {
            summary: "Panics, which costs this connection.",
            reply: "nothing",
            run: panic,
            ..subcommand("panic", 2)
        },
        Command {
            summary: "Ends the process at once, as a crash would.",
            reply: "nothing",
            run: crash,
            ..subcommand("segfault", 2)
        },
        Command {
            summary: "Counts every reply to a client that has never authenticated as one that waits unread.",
            syntax: "0 | 1",
            reply: "OK",
            run: client_enforce_reply_list,
            ..subcommand("client-enforce-reply-list", 3)
        },
        Command {
            summary: "Tells how full the tables of a database are.",
            syntax: "db [FULL]",
            reply: "lines of text",
            run: debug_tables::htstats,
            ..walk("htstats", -3)
        },
        Command {
            summary: "Tells how full the hash table of a large set, hash or sorted set is.",
            syntax: "key [FULL]",
            keys: &[KeySpec::one(2, KeySpec::RO)],
            reply: "lines of text",
            run: debug_tables::htstats_key,
            ..subcommand("htstats-key", -3)
        },
        Command {
            summary: "Writes the elements of a value that is kept packed into the server's log.",
            syntax: "key",
            keys: &[KeySpec::one(2, KeySpec::RO)],
            reply: "a line of text",
            run: debug_tables::listpack,
            ..subcommand("listpack", 3)
        },
        Command {
            summary: "Makes keys with strings, named after a number; those that are there stay.",
            syntax: "count [prefix [size]]",
            reply: "OK",
            alone: Some(|_, _, _| true),
            run: debug_tables::populate,
            ..subcommand("populate", -3)
        },
        Command {
            summary: "Takes another replication id.",
            reply: "OK",
            run: change_repl_id,
            ..subcommand("change-repl-id", 2)
        },
        Command {
            summary: "CONFIG REWRITE, with every directive.",
            reply: "OK",
            run: config_rewrite_force_all,
            ..subcommand("config-rewrite-force-all", 2)
        },
        Command {
            summary: "Does nothing: no timer changes the size of reply buffers here. Tests of other servers ask for it.",
            syntax: "PEAK-RESET-TIME NEVER | RESET | milliseconds | RESIZING 0 | 1",
            reply: "OK",
            run: replybuffer,
            ..subcommand("replybuffer", 4)
        },
        Command {
            summary: "Does nothing: tables here change their size as keys come and go, never by a timer. Tests of other servers ask for it.",
            syntax: "0 | 1",
            reply: "OK",
            run: dict_resizing,
            ..subcommand("dict-resizing", 3)
        },
        Command { flags: FLAGS, ..help::entry("5.0.0", Group::Server, &[]) },
    ],
    ..Command::DEFAULT
}];

fn crash(_: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    std::process::abort();
}

fn client_enforce_reply_list(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let is_on = args::int_in(arguments[2], 0, 1)? == 1;
    cx.server.settings.count_replies_to_strangers(is_on);
    cx.reply.ok();
    Ok(())
}

fn pause_cron(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    args::int_in(arguments[2], 0, 1)?;
    cx.reply.ok();
    Ok(())
}

fn change_repl_id(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.server.replication.history.write().forget_ids();
    cx.reply.ok();
    Ok(())
}

fn config_rewrite_force_all(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let failed = |error| CommandError::new(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {error}"));
    cx.server.rewrite_config(true).map_err(failed)?;
    cx.reply.ok();
    Ok(())
}

fn replybuffer(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    match arguments[2] {
        word if args::is(word, "RESIZING") => {
            args::int_in(arguments[3], 0, 1)?;
        }
        word if args::is(word, "PEAK-RESET-TIME") => {
            if !args::is(arguments[3], "NEVER") && !args::is(arguments[3], "RESET") {
                parse_i64(arguments[3]).ok_or(CommandError::NotAnInteger)?;
            }
        }
        _ => return Err(help::wrong_subcommand(cx, arguments)),
    }
    cx.reply.ok();
    Ok(())
}

fn dict_resizing(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    args::int_in(arguments[2], 0, 1)?;
    cx.reply.ok();
    Ok(())
}

fn sleep(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    /// Longest DEBUG SLEEP in seconds: a test that sleeps for more than an hour has a mistake in it.
    const MAX_S: f64 = 3600.0;
    let seconds = parse_f64(arguments[2])
        .filter(|seconds| (0.0..=MAX_S).contains(seconds))
        .ok_or(CommandError::NotAFloat)?;
    let milliseconds = (seconds * 1000.0) as u64;
    if cx.origin == Origin::Client {
        cx.after = Some(After::Sleep(milliseconds));
    } else {
        // The rest of the transaction or script has to happen later, so this thread sleeps: nothing else can
        // delay it. Its other connections go on elsewhere.
        cx.keys.announce(usize::MAX);
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    }
    cx.reply.ok();
    Ok(())
}

fn object(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let Some(record) = cx.keys.peek_even_ended(&key) else { return Err(CommandError::NoSuchKey) };
    let idle_s = match cx.keys.clock() {
        AccessClock::Lru(now) | AccessClock::Lrm(now) => now.wrapping_sub(record.access()) & 0xff_ffff,
        AccessClock::Lfu { .. } => 0,
    };
    let mut line = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{idle_s}",
        record.address(),
        record.encoding(),
        rdb::dumped_len(record),
        record.access(),
    );
    if let ValueRef::Object(Object::List(list)) = record.value()
        && let Some((nodes, bytes)) = list.nodes()
    {
        let average = list.len() as f64 / nodes as f64;
        let config = &cx.server.config;
        let listpack_max = config.int(Directive::ListMaxListpackSize);
        // Nothing is compressed here; the field tells whether it was asked for.
        let compressed = u8::from(config.int(Directive::ListCompressDepth) > 0);
        line += &format!(
            " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{listpack_max} ql_compressed:{compressed} \
             ql_uncompressed_size:{bytes}"
        );
    }
    cx.reply.simple(&line);
    Ok(())
}

fn set_active_expire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let on = parse_i64(arguments[2]).ok_or(CommandError::NotAnInteger)? != 0;
    cx.server.upkeep.active_expiry.store(on, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn aof_flush_sleep(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    /// An hour: what waits longer is no use to any test.
    const MAX_US: i64 = 3_600_000_000;
    let delay_us = args::int_in(arguments[2], 0, MAX_US)?;
    cx.server.upkeep.aof_flush_sleep_us.store(delay_us as u64, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn set_skip_checksum_validation(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let on = parse_i64(arguments[2]).ok_or(CommandError::NotAnInteger)? != 0;
    cx.server.skips_checksums.store(on, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn set_disable_deny_scripts(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let on = parse_i64(arguments[2]).ok_or(CommandError::NotAnInteger)? != 0;
    cx.server.scripting.allows_all.store(on, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

#[expect(clippy::approx_constant, reason = "the number that Redis answers")]
fn protocol(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let word = args::text(arguments[2]).to_ascii_lowercase();
    let reply = &mut cx.reply;
    match word.as_str() {
        "string" => reply.bulk(b"Hello World"),
        "integer" => reply.int(12345),
        "double" => reply.double(3.141),
        "null" => reply.null(),
        "array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.int(number));
        }
        "set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.int(number));
        }
        "map" => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.boolean(number == 1);
            }
        }
        "attrib" => {
            if reply.is_resp3() {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        "push" if !reply.is_resp3() => {
            return Err(CommandError::text("ERR RESP2 is not supported by this command"));
        }
        "push" => {
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        "verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        "true" => reply.boolean(true),
        "false" => reply.boolean(false),
        "bignum" => reply.big_number("1234567999999999999999999999999999999"),
        _ => {
            return Err(CommandError::text(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// A SHA-1 digest, shown as 40 hex digits.
type Digest = [u8; 20];

fn hash(parts: &[&[u8]]) -> Digest {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Combines digests so that their order does not matter.
fn join(into: &mut Digest, digest: Digest) {
    into.iter_mut().zip(digest).for_each(|(a, b)| *a ^= b);
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Work that an element's digest is, and that of so many bytes of a string.
const ELEMENT_WORK: usize = 40;
const BYTES_A_UNIT: usize = 10;

/// Digest of a live record's value: of its content, whatever its encoding.
fn digest_of(record: &Record, keys: &Access<'_, '_>) -> Digest {
    let now_ms = keys.now_ms;
    let mut digest = Digest::default();
    let hash = |parts: &[&[u8]]| {
        keys.work(ELEMENT_WORK);
        hash(parts)
    };
    match record.value() {
        ValueRef::Int(value) => digest = hash(&[value.to_string().as_bytes()]),
        ValueRef::Bytes(text) => digest = hash(&[text]),
        ValueRef::Object(Object::Text(text)) => {
            keys.announce(text.len() / BYTES_A_UNIT);
            digest = hash(&[text]);
        }
        ValueRef::Object(Object::List(list)) => {
            list.iter().for_each(|element| digest = hash(&[&digest, &element.joined()]));
        }
        ValueRef::Object(Object::Set(set)) => {
            set.at(now_ms).iter().for_each(|member| join(&mut digest, hash(&[&member])))
        }
        ValueRef::Object(Object::Hash(fields)) => {
            fields.iter(now_ms).for_each(|(field, value)| join(&mut digest, hash(&[&field, &value])));
        }
        ValueRef::Object(Object::Stream(stream)) => {
            for entry in stream.range(StreamId::MIN, StreamId::MAX) {
                digest = hash(&[&digest, &entry.id.to_bytes()]);
                entry.fields().for_each(|(field, value)| digest = hash(&[&digest, &field, &value]));
            }
        }
        ValueRef::Object(Object::Zset(zset)) => {
            zset.iter().for_each(|(member, score)| {
                join(&mut digest, hash(&[&*member, &score.to_bits().to_le_bytes()[..]]))
            });
        }
    }
    if record.expire_at_ms().is_some() {
        join(&mut digest, hash(&[b"expires"]));
    }
    digest
}

fn digest_value(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.reply.array(arguments.len() - 2);
    for index in 2..arguments.len() {
        let key = cx.key(arguments, index);
        cx.keys.may_take(&key, usize::MAX, ELEMENT_WORK)?;
        let digest = cx.keys.peek(&key).map(|record| digest_of(record, &cx.keys)).unwrap_or_default();
        cx.reply.bulk(hex(&digest).as_bytes());
    }
    Ok(())
}

fn digest(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let mut all = Digest::default();
    let now_ms = cx.keys.now_ms;
    // How much it is nobody knows before.
    cx.keys.may_take_units(usize::MAX)?;
    for number in 0..cx.keys.keyspace.database_count() {
        cx.keys.with_database(number, |database| {
            let lock = |slot| cx.keys.read_slot(number, database, slot);
            scan::scan(database, lock, 0, usize::MAX, 0..SLOT_COUNT, |record| {
                if !is_expired(record, now_ms) {
                    let value = digest_of(record, &cx.keys);
                    join(&mut all, hash(&[&number.to_le_bytes(), record.key(), &value]));
                }
            })
        });
    }
    cx.reply.simple(&hex(&all));
    Ok(())
}

/// Refuses what reads all data again while they are being loaded, or others beside them: a file that was written now
/// would have a part of them, and two would load into one keyspace.
fn refuse_while_loading(cx: &Context<'_>) -> Result<(), CommandError> {
    match cx.server.loading.is_active() || cx.server.loading.is_beside() {
        true => Err(CommandError::loading(cx.server.config.flag(Directive::ExtendedRedisCompatibility))),
        false => Ok(()),
    }
}

fn reload(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (mut merge, mut flush, mut save) = (false, true, true);
    for option in &arguments[2..] {
        match option {
            option if args::is(option, "MERGE") => merge = true,
            option if args::is(option, "NOFLUSH") => flush = false,
            option if args::is(option, "NOSAVE") => save = false,
            _ => {
                return Err(CommandError::text(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    refuse_while_loading(cx)?;
    let failed = || CommandError::text("ERR Error trying to load the RDB dump, check server logs.");
    // Keys that are there already are only replaced where that is asked for.
    if !flush && !merge && !is_empty(cx) {
        return Err(failed());
    }
    if cx.origin != Origin::Client {
        // A transaction may hold what the loading needs: its values are read again where they are. That is no
        // way to bring in what a file has.
        if merge || !flush || !save {
            return Err(CommandError::text("ERR DEBUG RELOAD in a transaction or script takes no options"));
        }
        return read_again(cx);
    }
    let saving = cx.server.saving().ok_or_else(failed)?;
    cx.keys.announce(usize::MAX);
    saving.reload(save, flush).map_err(|error| {
        tracing::error!(error, "DEBUG RELOAD");
        failed()
    })?;
    cx.reply.ok();
    Ok(())
}

/// Whether there are neither keys nor libraries of functions.
fn is_empty(cx: &Context<'_>) -> bool {
    let mut databases = 0..cx.keys.keyspace.database_count();
    cx.server.scripting.libraries.all().is_empty()
        && databases
            .all(|number| cx.keys.with_database(number, |database| database.is_empty()).unwrap_or(true))
}

fn load_aof(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    refuse_while_loading(cx)?;
    // A transaction may hold what the loading needs: its values are read again where they are.
    let append_only = cx.server.append_only().filter(|_| cx.origin == Origin::Client);
    let Some(append_only) = append_only else { return read_again(cx) };
    // The thread's other clients hear LOADING meanwhile, from another thread. What is heavy would stand in
    // the way of the requests that are repeated, so this is not told to be.
    (cx.server.scripting.give_way())(std::time::Duration::from_millis(1));
    let reloaded = append_only.reload().map_err(|error| {
        tracing::error!(error, "DEBUG LOADAOF");
        CommandError::text("ERR Error trying to load the AOF files, check server logs.")
    })?;
    if !reloaded {
        return read_again(cx);
    }
    cx.reply.ok();
    Ok(())
}

/// Encodes every value and replaces it by what decoding gives.
fn read_again(cx: &mut Context<'_>) -> CommandResult {
    let limits = crate::commands::generic::dump::limits(cx);
    let mut wrong = None;
    for number in 0..cx.keys.keyspace.database_count() {
        cx.keys.with_database(number, |database| {
            // What has ended stays, as nobody has heard that it is gone.
            let read_again = |record: &Record| {
                let payload = rdb::dump(record);
                cx.keys.announce(payload.len() / BYTES_A_UNIT);
                cx.keys.work(ELEMENT_WORK + payload.len() / BYTES_A_UNIT);
                match rdb::restore(&payload, &limits) {
                    Ok(mut restored) => {
                        add_beside_payload(record, &mut restored);
                        Some(restored.into_record(record.key(), record.expire_at_ms()))
                    }
                    Err(error) => {
                        wrong.get_or_insert(error);
                        None
                    }
                }
            };
            database.replace_all(read_again);
        });
    }
    if let Some(error) = wrong {
        return Err(CommandError::new(error.to_string()));
    }
    cx.reply.ok();
    Ok(())
}

/// Adds to a value that was read from a record's payload what payloads have no place for: when members of a set
/// end, and what a stream knows of its producers.
fn add_beside_payload(record: &Record, restored: &mut Restored) {
    let (ValueRef::Object(old), Restored::Object(new)) = (record.value(), restored) else { return };
    match (old, new) {
        (Object::Set(old), Object::Set(new)) => old.expiries().for_each(|(at_ms, member)| {
            new.set_expire(member, at_ms);
        }),
        (Object::Stream(old), Object::Stream(new)) => {
            if let Some(producers) = old.producers() {
                new.set_producers(producers.clone());
            }
        }
        _ => {}
    }
}

fn error(_: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    Err(CommandError::new(args::text(arguments[2])))
}

fn log(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    tracing::warn!("DEBUG LOG: {}", args::text(arguments[2]));
    cx.reply.ok();
    Ok(())
}

fn quicklist_packed_threshold(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    const MAX: u64 = 1 << 32;
    if parse_memory(arguments[2]).is_none_or(|size| size >= MAX) {
        return Err(CommandError::text(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ));
    }
    cx.reply.ok();
    Ok(())
}

/// Panics, for the test that a bug in one command costs one connection and nothing else.
fn panic(_: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    panic!("asked for by DEBUG PANIC");
}
