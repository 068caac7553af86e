//! CONFIG: shows the directives, changes them and writes them into their file.

use crate::command::{Flags, Group, Subject};
use crate::commands::shared::help;
use crate::config::table::find;
use crate::config::{Access, Change, Directive, Refusal, RewriteError, SetError};
use crate::engine::Server;
use crate::engine::command::Command;
use crate::engine::context::{Context, Origin};
use crate::error::{CommandError, CommandResult};

const OPERATOR: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE);

const fn of_config(name: &'static str, arity: i32) -> Command {
    Command { name, arity, flags: OPERATOR, group: Group::Server, since: "2.0.0", ..Command::DEFAULT }
}

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    arity: -2,
    group: Group::Server,
    summary: "Tells and changes the configuration.",
    since: "2.0.0",
    subcommands: &[
        Command {
            summary: "Returns the values of directives whose names match patterns.",
            syntax: "parameter [parameter ...]",
            complexity: "O(N) where N is the number of directives",
            reply: "a map of names and values",
            subject: Subject::Words(2, 1),
            run: config_get,
            flags: OPERATOR.and(Flags::SHOWS),
            ..of_config("get", -3)
        },
        Command {
            summary: "Changes directives: all of them, or none.",
            syntax: "parameter value [parameter value ...]",
            complexity: "O(N) where N is the number of directives",
            reply: "OK",
            secrets: Some(config_secret),
            subject: Subject::Words(2, 2),
            run: config_set,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..of_config("set", -4)
        },
        Command {
            summary: "Lets the statistics begin anew.",
            reply: "OK",
            run: config_resetstat,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..of_config("resetstat", 2)
        },
        Command {
            summary: "Writes the configuration in force into its file.",
            since: "2.8.0",
            reply: "OK",
            run: config_rewrite,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..of_config("rewrite", 2)
        },
        help::entry("5.0.0", Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];

fn config_get(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let found = cx.server.config.get(&arguments[2..]);
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(&name);
        cx.reply.bulk(&value);
    }
    Ok(())
}

fn config_set(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    if !arguments.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity("config|set".into()));
    }
    let pairs: Vec<(&[u8], &[u8])> = arguments[2..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let access = if cx.client.is_local() { Access::Local } else { Access::Remote };
    let Server { acl, config, loading, .. } = cx.server;
    if loading.is_active() && config.waits_for_data(&pairs, access) {
        return Err(CommandError::loading(config.flag(Directive::ExtendedRedisCompatibility)));
    }
    let set = config.set(&pairs, access, |changes| {
        switch_append_only(cx.server, changes)?;
        // Ports are opened first: that may be refused.
        cx.server.network().relisten(changes)?;
        set_oom_score(cx.server, changes)?;
        if let Some(change) = changes.iter().find(|change| change.directive == Directive::Requirepass) {
            acl.set_default_password(&change.text());
        }
        Ok::<(), Refusal>(())
    });
    set.map_err(|error: SetError| CommandError::new(format!("ERR {error}")))?;
    cx.server.apply_settings();
    if let Some(append_only) = cx.server.append_only() {
        append_only.settings_changed();
    }
    if cx.origin == Origin::Client {
        // The keeper is woken to reach a lower maxmemory at once. Not within a transaction, where a CLIENT
        // PAUSE may follow that forbids it; the keeper looks by itself soon after.
        cx.server.upkeep.keeper.wake();
    }
    cx.reply.ok();
    Ok(())
}

/// Switches the append-only file on or off where `appendonly` changes.
fn switch_append_only(server: &Server, changes: &[Change]) -> Result<(), Refusal> {
    let directive = Directive::Appendonly;
    if let Some(change) = changes.iter().find(|change| change.directive == directive)
        && let Some(append_only) = server.append_only()
    {
        let on = change.text() == b"yes";
        append_only.switch(on).map_err(|reason| Refusal { directive, reason })?;
    }
    Ok(())
}

/// Tells the system another `oom-score-adj` where it changes.
fn set_oom_score(server: &Server, changes: &[Change]) -> Result<(), Refusal> {
    const OURS: [Directive; 2] = [Directive::OomScoreAdj, Directive::OomScoreAdjValues];
    let Some(change) = changes.iter().find(|change| OURS.contains(&change.directive)) else { return Ok(()) };
    server.tell_oom_score(changes).map_err(|error| Refusal {
        directive: change.directive,
        reason: format!("Failed to set oom_score_adj: {error}"),
    })
}

/// Whether an argument is the value of a secret directive.
fn config_secret(arguments: &[&[u8]], index: usize) -> bool {
    index >= 3 && index % 2 == 1 && find(arguments[index - 1]).is_some_and(|(spec, _)| spec.secret)
}

fn config_resetstat(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.server.stats.reset();
    cx.server.cluster.reset_use();
    cx.server.scripting.scripts.reset_evicted();
    cx.server.replication.replicas.reset_counts();
    cx.keys.keyspace.reaper.reset_freed();
    cx.server.upkeep.time_over.reset();
    cx.reply.ok();
    Ok(())
}

fn config_rewrite(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.server
        .rewrite_config(false)
        .map_err(|error: RewriteError| CommandError::new(format!("ERR {error}")))?;
    tracing::info!("configuration file rewritten");
    cx.reply.ok();
    Ok(())
}
