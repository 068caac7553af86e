//! The server as a program: ROLE, TIME, LOLWUT, SHUTDOWN.

use std::sync::atomic::Ordering::Relaxed;

use crate::command::{Category, Flags, Group, args};
use crate::engine::command::Command;
use crate::engine::context::{After, Context, Origin};
use crate::engine::following::LinkState;
use crate::error::{CommandError, CommandResult};
use crate::replication::Stage;
use crate::shared::client::Door;

const ANYTIME: Flags = Flags::LOADING.and(Flags::STALE);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "role",
        arity: 1,
        flags: Flags::NOSCRIPT.and(ANYTIME).and(Flags::FAST),
        categories: &[Category::Admin, Category::Dangerous],
        group: Group::Server,
        summary: "Tells the server's part in replication.",
        since: "2.8.12",
        reply: "an array",
        run: role,
        ..Command::DEFAULT
    },
    Command {
        name: "time",
        arity: 1,
        flags: ANYTIME.and(Flags::FAST),
        group: Group::Server,
        summary: "Returns the server's time.",
        since: "2.6.0",
        reply: "seconds of Unix time and microseconds",
        run: time,
        tips: &["nondeterministic_output"],
        ..Command::DEFAULT
    },
    Command {
        name: "lolwut",
        arity: -1,
        flags: Flags::READONLY.and(Flags::FAST),
        group: Group::Server,
        summary: "Draws something and tells the version.",
        syntax: "[VERSION version:integer]",
        since: "5.0.0",
        reply: "lines of text",
        run: lolwut,
        ..Command::DEFAULT
    },
    Command {
        name: "shutdown",
        arity: -1,
        // The final snapshot waits until nobody else is in the keyspace, so this must not be there itself.
        flags: Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(ANYTIME)
            .and(Flags::NO_MULTI)
            .and(Flags::ALLOW_BUSY)
            .and(Flags::WHOLE_KEYSPACE),
        group: Group::Server,
        summary: "Ends the server.",
        syntax: "[[NOSAVE | SAVE] [NOW] [FORCE] [SAFE] [FAILOVER] | ABORT]",
        since: "1.0.0",
        reply: "nothing: the connection closes; OK with ABORT",
        run: shutdown,
        ..Command::DEFAULT
    },
];

fn role(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let endpoint = cx.server.endpoint(cx.client);
    let offset = cx.server.replication_offset() as i64;
    let reply = &mut cx.reply;
    if let Some(primary) = cx.server.following.primary() {
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(primary.host.as_bytes());
        reply.int(i64::from(primary.port));
        let state = cx.server.following.link().state;
        reply.bulk(state.word().as_bytes());
        reply.int(if state == LinkState::Connected { offset } else { -1 });
        return Ok(());
    }
    if cx.client.door == Door::ReadOnly {
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(endpoint.ip.as_bytes());
        reply.int(i64::from(endpoint.port));
        reply.bulk(b"connected");
        reply.int(offset);
        return Ok(());
    }
    reply.array(3);
    reply.bulk(b"master");
    reply.int(offset);
    let mut replicas: Vec<(String, u16, i64)> = Vec::new();
    if cx.server.own_replicas() > 0 {
        replicas.push((endpoint.ip, endpoint.read_only_port, offset));
    }
    for replica in cx.server.replication.replicas.all() {
        if replica.stage() == Stage::Online {
            let ip = replica.shown_ip().to_owned();
            replicas.push((ip, replica.announced.port, replica.acknowledged() as i64));
        }
    }
    reply.array(replicas.len());
    for (ip, port, offset) in replicas {
        reply.array(3);
        reply.bulk(ip.as_bytes());
        reply.bulk(port.to_string().as_bytes());
        reply.bulk_int(offset);
    }
    Ok(())
}

fn time(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    // Time stands still within a transaction or script.
    let now_us = if cx.origin == Origin::Client { cx.server.clock.now_us() } else { cx.now_us };
    cx.reply.array(2);
    cx.reply.bulk_int((now_us / 1_000_000) as i64);
    cx.reply.bulk_int((now_us % 1_000_000) as i64);
    Ok(())
}

/// Draws a field of quartz crystals of random heights.
fn lolwut(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if arguments.len() >= 3 && args::is(arguments[1], "VERSION") {
        args::int(arguments[2])?;
    }
    const WIDTH: usize = 13;
    const HEIGHT: usize = 7;
    let heights: Vec<usize> = (0..WIDTH).map(|_| fastrand::usize(1..=HEIGHT)).collect();
    let mut text = String::new();
    for level in (1..=HEIGHT + 1).rev() {
        for height in &heights {
            text.push_str(if level == height + 1 {
                " /\\ "
            } else if level <= *height {
                " || "
            } else {
                "    "
            });
        }
        text.push('\n');
    }
    text.push_str(&format!(
        "\nKvarts ver. {} (speaks Redis ver. {})\n",
        crate::VERSION,
        crate::REDIS_VERSION
    ));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn shutdown(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (mut save, mut nosave, mut abort, mut force, mut now) = (false, false, false, false, false);
    for word in &arguments[1..] {
        match *word {
            word if args::is(word, "SAVE") => save = true,
            word if args::is(word, "NOSAVE") => nosave = true,
            word if args::is(word, "ABORT") => abort = true,
            word if args::is(word, "FORCE") => force = true,
            word if args::is(word, "NOW") => now = true,
            // Without a cluster bus there is nothing unsafe and nobody to take over.
            word if ["SAFE", "FAILOVER"].iter().any(|known| args::is(word, known)) => {}
            _ => return Err(CommandError::Syntax),
        }
    }
    if (save && nosave) || (abort && arguments.len() > 2) {
        return Err(CommandError::Syntax);
    }
    if abort {
        if !cx.server.abort_end() {
            return Err(CommandError::text("ERR No shutdown in progress."));
        }
        cx.reply.ok();
        return Ok(());
    }
    // Before its thread's other work is handed on, which may have to wait for another such command.
    let blocked = &cx.client.shared.blocked;
    blocked.store(true, Relaxed);
    tracing::info!(client = cx.client.shared.id, "User requested shutdown...");
    cx.keys.announce(usize::MAX);
    let prepared = cx.server.prepare_end((save || nosave).then_some(save), force, !now);
    blocked.store(false, Relaxed);
    if prepared.is_err() {
        return Err(CommandError::text("ERR Errors trying to SHUTDOWN. Check logs."));
    }
    cx.after = Some(After::Shutdown);
    Ok(())
}
