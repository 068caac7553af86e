//! Snapshots as files: SAVE, BGSAVE, LASTSAVE.

use crate::command::{Category, Flags, Group, args};
use crate::engine::command::Command;
use crate::engine::context::{Context, Origin};
use crate::engine::saving::Background;
use crate::error::{CommandError, CommandResult};

const SAVES: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "save",
        arity: 1,
        // It waits until nobody else is in the keyspace, so it must not be there itself.
        flags: SAVES.and(Flags::NO_MULTI).and(Flags::WHOLE_KEYSPACE).and(Flags::ALONE_LATER),
        group: Group::Server,
        summary: "Writes all data of one instant into a file; others go on meanwhile.",
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys in all databases",
        reply: "OK",
        run: save,
        ..Command::DEFAULT
    },
    Command {
        name: "bgsave",
        arity: -1,
        // As SAVE, until the snapshot has begun.
        flags: SAVES.and(Flags::WHOLE_KEYSPACE).and(Flags::ALONE_LATER),
        group: Group::Server,
        summary: "Writes all data of one instant into a file in the background.",
        syntax: "[SCHEDULE | CANCEL]",
        since: "1.0.0",
        reply: "what was begun",
        run: bgsave,
        ..Command::DEFAULT
    },
    Command {
        name: "lastsave",
        arity: 1,
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        categories: &[Category::Admin, Category::Dangerous],
        group: Group::Server,
        summary: "Returns when the data were last saved; before that, when the server started.",
        since: "1.0.0",
        reply: "seconds of Unix time",
        tips: &["nondeterministic_output"],
        run: lastsave,
        ..Command::DEFAULT
    },
];

/// What a server without files answers.
const NO_FILES: CommandError = CommandError::text("ERR this server has no files");

fn save(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let saving = cx.server.saving().ok_or(NO_FILES)?;
    cx.keys.announce(usize::MAX);
    saving.save()?;
    cx.reply.ok();
    Ok(())
}

fn bgsave(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let saving = cx.server.saving().ok_or(NO_FILES)?;
    let begin = |cx: &mut Context<'_>, how| {
        if cx.origin == Origin::Transaction {
            return saving.save_in_background(Background::InTransaction);
        }
        cx.keys.announce(usize::MAX);
        saving.save_in_background(how)
    };
    let answer = match &arguments[1..] {
        [] => begin(cx, Background::AtOnce)?,
        [word] if args::is(word, "SCHEDULE") => begin(cx, Background::Scheduled)?,
        [word] if args::is(word, "CANCEL") => {
            const NOTHING: CommandError =
                CommandError::text("ERR Background saving is currently not in progress or scheduled");
            saving.cancel().ok_or(NOTHING)?
        }
        _ => return Err(CommandError::Syntax),
    };
    cx.reply.simple(answer);
    Ok(())
}

fn lastsave(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let started_s = cx.server.identity.started_ms / 1000;
    cx.reply.int(cx.server.saving().map_or(started_s, |saving| saving.figures().last_save_s) as i64);
    Ok(())
}
