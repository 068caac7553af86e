//! Commands about the connection itself: PING, ECHO, SELECT, AUTH, HELLO, QUIT, RESET.

use crate::acl::log::Place;
use crate::acl::user::DEFAULT_USER;
use crate::command::{Category, Flags, Group, args};
use crate::config::Directive;
use crate::engine::client::ReplyMode;
use crate::engine::command::Command;
use crate::engine::context::{After, Context, Origin};
use crate::error::{CommandError, CommandResult};
use crate::resp::Version;
use crate::shared::client::Door;

const CONNECTION: &[Category] = &[Category::Connection];
const ANYTIME: Flags =
    Flags::LOADING.and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY).and(Flags::NOSCRIPT);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ping",
        arity: -1,
        flags: Flags::FAST
            .and(Flags::WHILE_SUBSCRIBED)
            .and(Flags::TELLS_DISK_ERRORS)
            .and(Flags::IN_STREAMS)
            .and(Flags::FOR_LINKS),
        categories: CONNECTION,
        group: Group::Connection,
        summary: "Answers PONG, or what it is given.",
        syntax: "[message]",
        since: "1.0.0",
        reply: "PONG or the message",
        run: ping,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        ..Command::DEFAULT
    },
    Command {
        name: "echo",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        categories: CONNECTION,
        group: Group::Connection,
        summary: "Answers what it is given.",
        syntax: "message",
        since: "1.0.0",
        reply: "the message",
        run: echo,
        ..Command::DEFAULT
    },
    Command {
        name: "select",
        arity: 2,
        flags: Flags::LOADING
            .and(Flags::STALE)
            .and(Flags::FAST)
            .and(Flags::ALLOW_BUSY)
            .and(Flags::SELECTS)
            .and(Flags::IN_STREAMS),
        databases: Some(|arguments, found| found.extend(args::database_at(arguments, 1))),
        categories: CONNECTION,
        group: Group::Connection,
        summary: "Chooses the database for this connection.",
        syntax: "index",
        since: "1.0.0",
        reply: "OK",
        run: select,
        ..Command::DEFAULT
    },
    Command {
        name: "auth",
        arity: -2,
        flags: ANYTIME.and(Flags::NO_AUTH),
        categories: CONNECTION,
        group: Group::Connection,
        summary: "Proves who the client is.",
        syntax: "[username] password",
        since: "1.0.0",
        complexity: "O(N) where N is the number of passwords of the user",
        reply: "OK",
        secrets: Some(|_, index| index > 0),
        run: auth,
        ..Command::DEFAULT
    },
    Command {
        name: "hello",
        arity: -1,
        flags: ANYTIME.and(Flags::NO_AUTH),
        categories: CONNECTION,
        group: Group::Connection,
        summary: "Chooses the protocol version, authenticates and names the client if wanted, and describes the server.",
        syntax: "[protover [AUTH(username password)] [SETNAME clientname]]",
        since: "6.0.0",
        reply: "a map about the server",
        secrets: Some(hello_secret),
        run: hello,
        ..Command::DEFAULT
    },
    Command {
        name: "quit",
        arity: -1,
        flags: ANYTIME.and(Flags::NO_AUTH).and(Flags::WHILE_SUBSCRIBED).and(Flags::NOT_QUEUED),
        categories: CONNECTION,
        group: Group::Connection,
        summary: "Closes the connection.",
        since: "1.0.0",
        reply: "OK",
        run: quit,
        ..Command::DEFAULT
    },
    Command {
        name: "reset",
        arity: 1,
        flags: ANYTIME.and(Flags::NO_AUTH).and(Flags::WHILE_SUBSCRIBED).and(Flags::NOT_QUEUED),
        categories: CONNECTION,
        group: Group::Connection,
        summary: "Puts the connection into the state in which it began.",
        since: "6.2.0",
        reply: "RESET",
        run: reset,
        ..Command::DEFAULT
    },
];

fn ping(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if arguments.len() > 2 {
        return Err(CommandError::WrongArity("ping".into()));
    }
    let message = arguments.get(1).copied();
    if cx.client.version == Version::Resp2 && cx.client.subscriptions.any() {
        // A RESP2 subscriber reads arrays only.
        cx.reply.array(2);
        cx.reply.bulk(b"pong");
        cx.reply.bulk(message.unwrap_or_default());
    } else if let Some(message) = message {
        cx.reply.bulk(message);
    } else {
        cx.reply.simple("PONG");
    }
    Ok(())
}

fn echo(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    cx.reply.bulk(arguments[1]);
    Ok(())
}

fn select(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let number = args::int(arguments[1])?;
    if cx.server.cluster.is_enabled() && number != 0 && cx.keys.keyspace.database_count() == 1 {
        return Err(CommandError::text("ERR SELECT is not allowed in cluster mode"));
    }
    let database = usize::try_from(number)
        .ok()
        .filter(|number| *number < cx.keys.keyspace.database_count())
        .ok_or(CommandError::DatabaseOutOfRange)?;
    cx.client.select(database);
    cx.reply.ok();
    Ok(())
}

fn auth(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (user, password) = match arguments {
        [_, password] => (None, *password),
        [_, user, password] => (Some(*user), *password),
        _ => return Err(CommandError::Syntax),
    };
    if user.is_none() && cx.server.acl.default_user().needs_no_password {
        return Err(CommandError::text(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        ));
    }
    authenticate(cx, user.unwrap_or(DEFAULT_USER), password, arguments[0])?;
    cx.reply.ok();
    Ok(())
}

/// Checks name and password and makes the client that user. After many wrong passwords from an address the
/// refusal is held back for a while.
fn authenticate(cx: &mut Context<'_>, user: &[u8], password: &[u8], object: &[u8]) -> CommandResult {
    let place = if cx.origin == Origin::Transaction { Place::Transaction } else { Place::TopLevel };
    let (wait_ms, result) = cx.server.authenticate(cx.client, user, password, object, place);
    if wait_ms > 0 {
        cx.after = Some(After::Sleep(wait_ms));
    }
    result
}

fn hello(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let mut version = None;
    let mut next = 1;
    if let Some(argument) = arguments.get(1) {
        version = match crate::primitives::number::parse_i64(argument) {
            None => {
                return Err(CommandError::text("ERR Protocol version is not an integer or out of range"));
            }
            Some(2) => Some(Version::Resp2),
            Some(3) => Some(Version::Resp3),
            Some(_) => return Err(CommandError::NoProto),
        };
        next = 2;
    }
    let (mut credentials, mut name) = (None, None);
    while next < arguments.len() {
        let left = arguments.len() - next - 1;
        if args::is(arguments[next], "AUTH") && left >= 2 {
            credentials = Some((arguments[next + 1], arguments[next + 2]));
            next += 3;
        } else if args::is(arguments[next], "SETNAME") && left >= 1 {
            name = Some(arguments[next + 1]);
            next += 2;
        } else {
            return Err(CommandError::new(format!(
                "ERR Syntax error in HELLO option '{}'",
                args::text(arguments[next])
            )));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(cx, user, password, arguments[0])?;
    }
    if cx.client.rights.is_barred() {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        crate::commands::connection::client::set_name(cx, name)?;
    }
    if let Some(version) = version {
        cx.client.set_version(version);
        cx.reply.set_version(version);
    }
    describe_server(cx);
    Ok(())
}

/// Whether an argument is one of the two behind AUTH.
fn hello_secret(arguments: &[&[u8]], index: usize) -> bool {
    (2..index).rev().take(2).any(|before| args::is(arguments[before], "AUTH"))
}

fn describe_server(cx: &mut Context<'_>) {
    let mode = if cx.server.cluster.is_enabled() { "cluster" } else { "standalone" };
    let role = if cx.client.door == Door::ReadOnly { "replica" } else { "master" };
    let id = cx.client.shared.id as i64;
    let protocol = if cx.client.version == Version::Resp3 { 3 } else { 2 };
    let reply = &mut cx.reply;
    let zone = cx.server.config.text(Directive::AvailabilityZone);
    reply.map(if zone.is_empty() { 7 } else { 8 });
    // Client libraries look up features by this name and version, so it names the Redis version that Kvarts
    // is compatible with.
    for (name, value) in [("server", "redis"), ("version", crate::REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.int(protocol);
    reply.bulk(b"id");
    reply.int(id);
    for (name, value) in [("mode", mode), ("role", role)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    if !zone.is_empty() {
        reply.bulk(b"availability_zone");
        reply.bulk(zone.as_bytes());
    }
}

fn quit(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.ok();
    cx.after = Some(After::Close);
    Ok(())
}

fn reset(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let server = cx.server;
    server.unsubscribe_all(cx.client);
    server.unwatch(cx.client);
    server.end_monitor(cx.client);
    server.end_tracking(cx.client);
    let client = &mut *cx.client;
    client.transaction = None;
    client.shared.queued.store(-1, std::sync::atomic::Ordering::Relaxed);
    client.select(0);
    client.set_version(Version::Resp2);
    server.log_out(client);
    client.swap_field_sets(None);
    client.reply_mode = ReplyMode::On;
    client.readonly = false;
    client.asking = false;
    client.no_touch = false;
    client.capa_redirect = false;
    client.shared.capa_redirect.store(false, std::sync::atomic::Ordering::Relaxed);
    client.set_import_source(false);
    client.shared.no_touch.store(false, std::sync::atomic::Ordering::Relaxed);
    client.shared.readonly.store(false, std::sync::atomic::Ordering::Relaxed);
    client.shared.names.lock().name.clear();
    cx.reply.set_version(Version::Resp2);
    cx.reply.simple("RESET");
    Ok(())
}
