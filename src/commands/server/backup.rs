//! BACKUP: an append-only file of its own in `backupdirname`, begun with a snapshot and sealed on request.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::command::{Family, Flags, Group};
use crate::commands::shared::help;
use crate::engine::backup::Backups;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};

const fn of_backup(name: &'static str) -> Command {
    Command {
        name,
        arity: 2,
        flags: Flags::ADMIN.and(Flags::NOSCRIPT),
        group: Group::Server,
        since: "8.10.0",
        ..Command::DEFAULT
    }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "backup",
    arity: -2,
    group: Group::Server,
    summary: "Makes backups while the server runs.",
    since: "8.10.0",
    family: Family::Redis("8.10"),
    subcommands: &[
        Command {
            summary: "Gives up a backup that is not sealed, and removes its files.",
            complexity: "O(1)",
            reply: "OK",
            run: abort,
            ..of_backup("abort")
        },
        Command {
            summary: "Removes the files of the last backup.",
            complexity: "O(1)",
            reply: "OK",
            run: cleanup,
            ..of_backup("cleanup")
        },
        Command {
            summary: "Lists the files of the backup that do not change any more.",
            complexity: "O(1)",
            reply: "an array of absolute paths",
            run: list,
            flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::SHOWS),
            ..of_backup("list")
        },
        Command {
            summary: "Completes the backup with all changes up to now.",
            complexity: "O(N) where N is the number of changes that are not written yet",
            reply: "OK, when it is on disk",
            run: seal,
            ..of_backup("seal")
        },
        Command {
            summary: "Begins a backup in the background, in the folder backupdirname.",
            complexity: "O(1)",
            reply: "OK",
            run: start,
            ..of_backup("start")
        },
        Command {
            summary: "Tells how far the backup has come.",
            complexity: "O(1)",
            reply: "a map of state, error, start_time and end_time",
            run: status,
            flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::SHOWS),
            ..of_backup("status")
        },
        help::entry("8.10.0", Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];

fn backups(cx: &Context<'_>) -> Result<Arc<dyn Backups>, CommandError> {
    cx.server.backups().ok_or(CommandError::text("ERR this server writes no files"))
}

fn done(cx: &mut Context<'_>, result: CommandResult) -> CommandResult {
    result?;
    cx.reply.ok();
    Ok(())
}

fn start(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let result = backups(cx)?.start();
    done(cx, result)
}

fn seal(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let backups = backups(cx)?;
    // It waits for the disk.
    cx.keys.announce(usize::MAX);
    done(cx, backups.seal())
}

fn abort(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let result = backups(cx)?.abort();
    done(cx, result)
}

fn cleanup(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let result = backups(cx)?.clean_up();
    done(cx, result)
}

fn list(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let files = backups(cx)?.files();
    cx.reply.array(files.len());
    files.iter().for_each(|file| cx.reply.bulk(file.as_os_str().as_bytes()));
    Ok(())
}

fn status(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let status = backups(cx)?.status();
    cx.reply.map(4);
    cx.reply.bulk(b"state");
    cx.reply.bulk(status.phase.word().as_bytes());
    cx.reply.bulk(b"error");
    cx.reply.bulk(status.error.as_bytes());
    // Times are texts, as Redis has them.
    for (name, seconds) in [("start_time", status.start_s), ("end_time", status.end_s)] {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk_int(seconds as i64);
    }
    Ok(())
}
