//! DEBUG: for tests of the server itself. Allowed only where `enable-debug-command` says so.

use super::help;
use crate::command::{After, Command, Context, Flags, Group, KeySpec, args};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::AccessClock;
use crate::types::number::{parse_f64, parse_i64};

const FLAGS: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::PROTECTED);

const fn subcommand(name: &'static str, arity: i32) -> Command {
    Command { name, arity, flags: FLAGS, group: Group::Server, since: "1.0.0", ..Command::DEFAULT }
}

/// The group's entry.
pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    flags: FLAGS,
    group: Group::Server,
    summary: "For tests of the server itself.",
    since: "1.0.0",
    subcommands: &[
        Command {
            summary: "Lets this connection sleep.",
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
            summary: "Replies with a value of the named type.",
            syntax: "STRING | INTEGER | DOUBLE | NULL | ARRAY | SET | MAP | ATTRIB | PUSH | VERBATIM | TRUE | FALSE | BIGNUM",
            reply: "that value",
            run: protocol,
            ..subcommand("protocol", 3)
        },
        Command { summary: "Panics, which costs this connection.", reply: "nothing", run: panic, ..subcommand("panic", 2) },
        help::entry("5.0.0", Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];

fn sleep(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    /// An hour: a test that sleeps longer has a mistake in it.
    const MAX_S: f64 = 3600.0;
    let seconds = parse_f64(arguments[2])
        .filter(|seconds| (0.0..=MAX_S).contains(seconds))
        .ok_or(CommandError::NotAFloat)?;
    cx.after = Some(After::Sleep((seconds * 1000.0) as u64));
    cx.reply.ok();
    Ok(())
}

fn object(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 2);
    let Some(record) = cx.keys.peek(&key) else { return Err(CommandError::NoSuchKey) };
    let idle_s = match cx.keys.clock() {
        AccessClock::Lru(now) => now.wrapping_sub(record.access()) & 0xff_ffff,
        AccessClock::Lfu { .. } => 0,
    };
    let line = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{idle_s}",
        record.address(),
        record.encoding(),
        record.memory_bytes(),
        record.access(),
    );
    cx.reply.simple(&line);
    Ok(())
}

fn set_active_expire(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let on = parse_i64(arguments[2]).ok_or(CommandError::NotAnInteger)? != 0;
    cx.server.active_expiry.store(on, std::sync::atomic::Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

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

/// The test that a bug in one command costs one connection and nothing else needs a bug.
fn panic(_: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    panic!("asked for by DEBUG PANIC");
}
