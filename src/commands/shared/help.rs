//! HELP, the subcommand of every container command. Its text is made from the container's entries.

use crate::command::syntax;
use crate::command::{Category, Flags, Group};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};

/// Makes the entry of a container's HELP.
pub const fn entry(since: &'static str, group: Group, categories: &'static [Category]) -> Command {
    Command {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        categories,
        group,
        summary: "Lists the subcommands.",
        since,
        reply: "lines of text",
        run: help,
        ..Command::DEFAULT
    }
}

fn help(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let container = cx.command.full_name.split('|').next().unwrap_or_default().to_owned();
    let Some(parent) = cx.server.commands.by_full_name(container.as_bytes()) else {
        return Err(CommandError::Syntax);
    };
    let mut lines = vec![format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        container.to_uppercase()
    )];
    for subcommand in &cx.server.commands.entries()[parent.subcommands.clone()] {
        let subcommand = &subcommand.spec;
        lines.push(
            format!("{} {}", subcommand.name.to_uppercase(), syntax::shown(subcommand.syntax))
                .trim_end()
                .to_owned(),
        );
        lines.push(format!("    {}", subcommand.summary));
    }
    cx.reply.array(lines.len());
    for line in lines {
        cx.reply.simple(&line);
    }
    Ok(())
}

/// The error for a subcommand with the wrong arguments.
pub fn wrong_subcommand(cx: &Context<'_>, arguments: &[&[u8]]) -> CommandError {
    let container = cx.command.full_name.split('|').next().unwrap_or_default().to_uppercase();
    let word = arguments.get(1).map(|word| crate::command::args::text(word)).unwrap_or_default();
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{word}'. Try {container} HELP."
    ))
}
