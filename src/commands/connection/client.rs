//! CLIENT: what a connection says of itself, and what it can see and do of others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::command::{Category, Family, Flags, Group, args};
use crate::commands::connection::client_filter::Filter;
use crate::commands::connection::tracking;
use crate::commands::shared::help;
use crate::engine::client::ReplyMode;
use crate::engine::client_text;
use crate::engine::command::Command;
use crate::engine::context::{After, Context};
use crate::engine::serve_waiting::EndOfWait;
use crate::error::{CommandError, CommandResult};
use crate::primitives::number::parse_i64;
use crate::shared::pause::{Purpose, Scope};

const CONNECTION: &[Category] = &[Category::Connection];
const PLAIN: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::KEEPS_CACHING);
const SELF: Flags = PLAIN.and(Flags::ALLOW_BUSY);
const OTHERS: Flags = PLAIN.and(Flags::ADMIN);

const fn subcommand(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command { name, arity, flags, categories: CONNECTION, group: Group::Connection, ..Command::DEFAULT }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    arity: -2,
    group: Group::Connection,
    summary: "Tells and changes what is known of connections.",
    since: "2.4.0",
    subcommands: &[
        Command {
            summary: "Returns the connection's number.",
            since: "5.0.0",
            reply: "a number",
            run: id,
            ..subcommand("id", 2, SELF)
        },
        Command {
            summary: "Describes the connection.",
            since: "6.2.0",
            reply: "a line of fields",
            run: info,
            tips: &["nondeterministic_output"],
            ..subcommand("info", 2, PLAIN)
        },
        Command {
            summary: "Describes all connections that pass the filters.",
            syntax: "[TYPE(NORMAL | MASTER | REPLICA | PUBSUB)] [ID client-id [client-id ...]] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME(YES | NO)] [MAXAGE maxage:integer] [NAME name] [IDLE idle:integer] [FLAGS flags] [LIB-NAME lib-name] [LIB-VER lib-ver] [DB db] [CAPA capa] [IP ip] [NOT-TYPE(NORMAL | MASTER | REPLICA | PUBSUB)] [NOT-ID not-client-id:integer [not-client-id:integer ...]] [NOT-USER not-username] [NOT-ADDR ip:port] [NOT-LADDR ip:port] [NOT-NAME not-name] [NOT-FLAGS not-flags] [NOT-LIB-NAME not-lib-name] [NOT-LIB-VER not-lib-ver] [NOT-DB not-db:integer] [NOT-CAPA not-capa] [NOT-IP not-ip]",
            since: "2.4.0",
            complexity: "O(N) where N is the number of connections",
            reply: "a line of fields for each",
            run: list,
            tips: &["nondeterministic_output"],
            ..subcommand("list", -2, OTHERS.and(Flags::SHOWS))
        },
        Command {
            summary: "Closes all connections that pass the filters.",
            syntax: "ip:port | ([ID client-id [client-id ...]] | [TYPE(NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB)] | [USER username] | [ADDR ip:port] | [LADDR ip:port] | [SKIPME(YES | NO)] | [MAXAGE maxage:integer] | [NAME name] | [IDLE idle:integer] | [FLAGS flags] | [LIB-NAME lib-name] | [LIB-VER lib-ver] | [DB db] | [CAPA capa] | [IP ip] | [NOT-TYPE(NORMAL | MASTER | PRIMARY | SLAVE | REPLICA | PUBSUB)] | [NOT-ID not-client-id:integer [not-client-id:integer ...]] | [NOT-USER not-username] | [NOT-ADDR ip:port] | [NOT-LADDR ip:port] | [NOT-NAME not-name] | [NOT-FLAGS not-flags] | [NOT-LIB-NAME not-lib-name] | [NOT-LIB-VER not-lib-ver] | [NOT-DB not-db:integer] | [NOT-CAPA not-capa] | [NOT-IP not-ip]) ...",
            since: "2.4.0",
            complexity: "O(N) where N is the number of connections",
            reply: "OK for one address, else how many were closed",
            run: kill,
            ..subcommand("kill", -3, OTHERS)
        },
        Command {
            summary: "Names the connection.",
            syntax: "connection-name",
            since: "2.6.9",
            reply: "OK",
            run: setname,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..subcommand("setname", 3, SELF)
        },
        Command {
            summary: "Returns the connection's name.",
            since: "2.6.9",
            reply: "the name or null",
            run: getname,
            ..subcommand("getname", 2, SELF)
        },
        Command {
            summary: "Says which client library is in use.",
            syntax: "LIB-NAME libname | LIB-VER libver",
            since: "7.2.0",
            reply: "OK",
            run: setinfo,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..subcommand("setinfo", 4, SELF)
        },
        Command {
            summary: "Turns the replies to this connection on or off, or skips the next one.",
            syntax: "ON | OFF | SKIP",
            since: "3.2.0",
            reply: "OK, or nothing",
            run: reply,
            ..subcommand("reply", 3, SELF.and(Flags::NO_MULTI))
        },
        Command {
            summary: "Keeps the connection from being closed to save memory.",
            syntax: "ON | OFF",
            since: "7.0.0",
            reply: "OK",
            run: no_evict,
            ..subcommand("no-evict", 3, OTHERS.and(Flags::ALLOW_BUSY))
        },
        Command {
            summary: "Keeps the connection's reads from counting as uses of keys.",
            syntax: "ON | OFF",
            since: "7.2.0",
            reply: "OK",
            run: no_touch,
            ..subcommand("no-touch", 3, SELF)
        },
        Command {
            summary: "Lets commands wait for a time, all of them or those that write.",
            syntax: "timeout [WRITE | ALL]",
            since: "3.0.0",
            reply: "OK",
            run: pause,
            // No request that was judged before runs after it.
            alone: Some(|_, _, _| true),
            ..subcommand("pause", -3, OTHERS)
        },
        Command {
            summary: "Ends a pause.",
            since: "6.2.0",
            reply: "OK",
            run: unpause,
            ..subcommand("unpause", 2, OTHERS)
        },
        Command {
            summary: "Ends the waiting of a blocked connection, as if its time were over or with an error.",
            syntax: "client-id [TIMEOUT | ERROR]",
            since: "5.0.0",
            reply: "1 if it was waiting, else 0",
            run: unblock,
            ..subcommand("unblock", -3, OTHERS)
        },
        Command {
            summary: "Says what the client can do beyond the protocol.",
            syntax: "capability [capability ...]",
            since: "8.0.0",
            family: Family::Valkey("8.0"),
            reply: "OK",
            run: capa,
            ..subcommand("capa", -3, SELF)
        },
        Command {
            summary: "Marks the connection as one that brings data from elsewhere.",
            syntax: "ON | OFF",
            since: "8.1.0",
            family: Family::Valkey("8.1"),
            reply: "OK",
            run: import_source,
            ..subcommand("import-source", 3, PLAIN)
        },
        Command {
            summary: "Has the server tell when keys change that the connection has read, or whose names begin with prefixes.",
            syntax: "(ON | OFF) [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
            since: "6.0.0",
            complexity: "O(N) where N is the number of prefixes",
            reply: "OK",
            run: tracking::tracking,
            ..subcommand("tracking", -3, PLAIN.and(Flags::ACTS))
        },
        Command {
            summary: "Says whether what the next command reads is tracked.",
            syntax: "YES | NO",
            since: "6.0.0",
            reply: "OK",
            run: tracking::caching,
            ..subcommand("caching", 3, SELF)
        },
        Command {
            summary: "Tells to which connection the tracked keys are told.",
            since: "6.0.0",
            reply: "its number, 0 for this one, -1 if nothing is tracked",
            run: tracking::getredir,
            ..subcommand("getredir", 2, SELF)
        },
        Command {
            summary: "Tells how the connection tracks keys.",
            since: "6.2.0",
            reply: "a map of flags, connection and prefixes",
            run: tracking::trackinginfo,
            ..subcommand("trackinginfo", 2, PLAIN)
        },
        help::entry("5.0.0", Group::Connection, CONNECTION),
    ],
    ..Command::DEFAULT
}];

fn id(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.int(cx.client.shared.id as i64);
    Ok(())
}

fn info(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let line = client_text::describe(cx.server, &cx.client.shared, cx.keys.now_ms);
    cx.reply.verbatim("txt", format!("{line}\n").as_bytes());
    Ok(())
}

fn list(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let filter = Filter::parse(cx, &arguments[2..])?;
    // The list shows nobody who is over the limit and would be gone in a moment.
    cx.server.evict_clients();
    let now_ms = cx.keys.now_ms;
    let mut text = String::new();
    for client in cx.server.clients.all() {
        cx.keys.work(100);
        // A client that is being closed counts as gone.
        if !client.is_gone() && filter.matches(&client, cx, now_ms) {
            text.push_str(&client_text::describe(cx.server, &client, now_ms));
            text.push('\n');
        }
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn kill(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if arguments.len() == 3 {
        let address = args::text(arguments[2]);
        let mut all = cx.server.clients.all().into_iter();
        let found = all.find(|client| client.address == address && !client.is_gone());
        let Some(client) = found else { return Err(CommandError::text("ERR No such client")) };
        end(cx, &client);
        cx.reply.ok();
        return Ok(());
    }
    let mut filter = Filter::parse(cx, &arguments[2..])?;
    // Without SKIPME, KILL spares the calling client; LIST does not.
    filter.skip_me.get_or_insert(true);
    let now_ms = cx.keys.now_ms;
    let mut closed = 0;
    for client in cx.server.clients.all() {
        if !client.is_gone() && filter.matches(&client, cx, now_ms) {
            end(cx, &client);
            closed += 1;
        }
    }
    cx.reply.int(closed);
    Ok(())
}

/// Closes a client. If it is the caller, its reply is sent first.
pub(in crate::commands) fn end(cx: &mut Context<'_>, client: &Arc<crate::shared::client::SharedClient>) {
    if client.id == cx.client.shared.id {
        cx.after = Some(After::Close);
    } else {
        client.close();
    }
}

fn setname(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    set_name(cx, arguments[2])?;
    cx.reply.ok();
    Ok(())
}

/// Sets the client's name: printable ASCII without spaces, or empty for none.
///
/// # Errors
/// Other characters.
pub fn set_name(cx: &mut Context<'_>, name: &[u8]) -> CommandResult {
    check_name(name, "Client names")?;
    cx.client.shared.names.lock().name = args::text(name);
    Ok(())
}

fn check_name(name: &[u8], what: &str) -> CommandResult {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(CommandError::new(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
}

fn getname(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let name = cx.client.shared.names.lock().name.clone();
    cx.reply.bulk_or_null((!name.is_empty()).then_some(name.as_bytes()));
    Ok(())
}

fn setinfo(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let word = args::text(arguments[2]);
    let value = arguments[3];
    if args::is(arguments[2], "LIB-NAME") {
        check_name(value, &word)?;
        cx.client.shared.names.lock().lib_name = args::text(value);
    } else if args::is(arguments[2], "LIB-VER") {
        check_name(value, &word)?;
        cx.client.shared.names.lock().lib_version = args::text(value);
    } else {
        return Err(CommandError::new(format!("ERR Unrecognized option '{word}'")));
    }
    cx.reply.ok();
    Ok(())
}

fn reply(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let word = arguments[2];
    if args::is(word, "ON") {
        cx.client.reply_mode = ReplyMode::On;
        cx.reply.ok();
    } else if args::is(word, "OFF") {
        cx.client.reply_mode = ReplyMode::Off;
    } else if args::is(word, "SKIP") {
        if cx.client.reply_mode != ReplyMode::Off {
            cx.client.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

fn on_or_off(word: &[u8]) -> Result<bool, CommandError> {
    match word {
        word if args::is(word, "ON") => Ok(true),
        word if args::is(word, "OFF") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

fn no_evict(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.client.shared.no_evict.store(on_or_off(arguments[2])?, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn no_touch(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.client.no_touch = on_or_off(arguments[2])?;
    cx.client.shared.no_touch.store(cx.client.no_touch, Ordering::Relaxed);
    cx.reply.ok();
    Ok(())
}

fn pause(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let scope = match arguments {
        [_, _, _] => Scope::All,
        [_, _, _, word] if args::is(word, "ALL") => Scope::All,
        [_, _, _, word] if args::is(word, "WRITE") => Scope::Write,
        [_, _, _, _] => return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(CommandError::Syntax),
    };
    let timeout_ms =
        parse_i64(arguments[2]).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    let end_ms = cx
        .keys
        .now_ms
        .checked_add(timeout_ms)
        .filter(|end| *end < 1 << 62)
        .ok_or(CommandError::text("ERR timeout is out of range"))?;
    cx.server.pause.start(Purpose::Client, scope, end_ms, cx.keys.now_ms);
    cx.reply.ok();
    Ok(())
}

fn unpause(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.server.end_pause(Purpose::Client);
    cx.reply.ok();
    Ok(())
}

fn unblock(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if let Some(reason) = arguments.get(3)
        && !args::is(reason, "TIMEOUT")
        && !args::is(reason, "ERROR")
    {
        return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    let id = args::int(arguments[2])?;
    let why = match arguments.get(3) {
        Some(reason) if args::is(reason, "ERROR") => EndOfWait::Unblocked,
        _ => EndOfWait::Timeout,
    };
    let client = u64::try_from(id).ok().and_then(|id| cx.server.clients.by_id(id));
    let waiter = client.and_then(|client| client.waiter.lock().clone());
    let ended = waiter.is_some_and(|waiter| cx.server.end_wait(&waiter, why));
    cx.reply.int(i64::from(ended));
    Ok(())
}

fn capa(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if arguments[2..].iter().any(|word| args::is(word, "REDIRECT")) {
        cx.client.capa_redirect = true;
        cx.client.shared.capa_redirect.store(true, Ordering::Relaxed);
    }
    cx.reply.ok();
    Ok(())
}

fn import_source(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let is_on = on_or_off(arguments[2])?;
    if is_on && !cx.server.settings.import_mode() {
        return Err(CommandError::text("ERR Server is not in import mode"));
    }
    cx.client.set_import_source(is_on);
    cx.reply.ok();
    Ok(())
}
