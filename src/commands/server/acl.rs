//! ACL: users, what they may do, and which requests were refused.

use std::collections::HashSet;
use std::sync::Arc;

use crate::acl::check::{Denied, Reason};
use crate::acl::log::LogEntry;
use crate::acl::rules::{category, has_blanks, join_selectors, without_passwords};
use crate::acl::selector::Selector;
use crate::acl::user::{DEFAULT_USER, User};
use crate::acl::{Changed, WrongRule, file, password};
use crate::command::spec::Category;
use crate::command::{Family, Flags, Group, args};
use crate::commands::shared::help;
use crate::config::Directive;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::primitives::number::parse_i64;

const ANYBODY: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);
const OPERATOR: Flags = ANYBODY.and(Flags::ADMIN);

/// Entries that ACL LOG returns by default (Redis's figure).
const LOG_ENTRIES: usize = 10;
/// Bits of a password from ACL GENPASS by default (Redis's figure).
const PASSWORD_BITS: i64 = 256;
const PASSWORD_BITS_MAX: i64 = 4096;

const NO_FILE: CommandError = CommandError::text(
    "ERR This instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a configuration file set) in order to store users in the configuration.",
);

const fn subcommand(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command { name, arity, flags, group: Group::Server, since: "6.0.0", ..Command::DEFAULT }
}

const fn of_roles(name: &'static str, arity: i32, flags: Flags) -> Command {
    Command { since: "9.2.0", family: Family::Valkey("9.2"), ..subcommand(name, arity, flags) }
}

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "acl",
    arity: -2,
    group: Group::Server,
    summary: "Tells and changes users and what they may do.",
    since: "6.0.0",
    subcommands: &[
        Command {
            summary: "Names the categories of commands, or the commands of one.",
            syntax: "[category]",
            complexity: "O(N) where N is the number of commands",
            reply: "an array of names",
            run: cat,
            ..subcommand("cat", -2, ANYBODY)
        },
        Command {
            summary: "Deletes users and closes their connections.",
            syntax: "username [username ...]",
            complexity: "O(N) where N is the number of connections",
            reply: "how many there were",
            run: deluser,
            secrets: Some(|_, index| index > 1),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..subcommand("deluser", -3, OPERATOR)
        },
        Command {
            summary: "Deletes roles, none of which a user may hold.",
            syntax: "rolename [rolename ...]",
            complexity: "O(N) where N is the number of roles to delete",
            reply: "how many there were",
            run: delrole,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..of_roles("delrole", -3, OPERATOR)
        },
        Command {
            summary: "Describes a role, and names the users that hold it.",
            syntax: "rolename",
            complexity: "O(N) where N is the number of its rules",
            reply: "a map of its properties, or null",
            run: getrole,
            ..of_roles("getrole", 3, OPERATOR.and(Flags::SHOWS))
        },
        Command {
            summary: "Names all roles.",
            complexity: "O(N) where N is the number of roles",
            reply: "an array of names",
            run: roles,
            ..of_roles("roles", 2, OPERATOR.and(Flags::SHOWS))
        },
        Command {
            summary: "Makes a role, or changes one by further rules, for all users that hold it.",
            syntax: "rolename [rule [rule ...]]",
            complexity: "O(N+M*C) where N is the number of rules, M of the role's users and C of connections",
            reply: "OK",
            run: setrole,
            secrets: Some(|_, index| index > 2),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..of_roles("setrole", -3, OPERATOR)
        },
        Command {
            summary: "Tells whether a user may run a command, without running it.",
            syntax: "username command [arg [arg ...]]",
            since: "7.0.0",
            reply: "OK, or why not",
            run: dryrun,
            secrets: Some(|_, index| index > 3),
            ..subcommand("dryrun", -4, OPERATOR.and(Flags::SHOWS))
        },
        Command {
            summary: "Makes a password that nobody guesses.",
            syntax: "[bits]",
            reply: "hex digits, four bits each",
            run: genpass,
            ..subcommand("genpass", -2, ANYBODY)
        },
        Command {
            summary: "Describes a user.",
            syntax: "username",
            complexity: "O(N) where N is the number of its rules",
            reply: "a map of its properties, or null",
            run: getuser,
            secrets: Some(|_, index| index > 1),
            ..subcommand("getuser", 3, OPERATOR.and(Flags::SHOWS))
        },
        Command {
            summary: "Describes all users in the form of the users' file.",
            complexity: "O(N) where N is the number of users",
            reply: "an array of lines",
            run: list,
            ..subcommand("list", 2, OPERATOR.and(Flags::SHOWS))
        },
        Command {
            summary: "Takes in the users' file, or nothing of it if a line is wrong.",
            complexity: "O(N) where N is the number of users and connections",
            reply: "OK",
            run: load,
            ..subcommand("load", 2, OPERATOR)
        },
        Command {
            summary: "Returns the latest refusals, or forgets them.",
            syntax: "[count | RESET]",
            complexity: "O(N) where N is the number of entries returned",
            reply: "an array of entries, or OK",
            run: log,
            ..subcommand("log", -2, OPERATOR)
        },
        Command {
            summary: "Writes all users into the users' file.",
            complexity: "O(N) where N is the number of users",
            reply: "OK",
            run: save,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..subcommand("save", 2, OPERATOR)
        },
        Command {
            summary: "Makes a user, or changes one by further rules.",
            syntax: "username [rule [rule ...]]",
            complexity: "O(N) where N is the number of rules",
            reply: "OK",
            run: setuser,
            secrets: Some(|_, index| index > 1),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..subcommand("setuser", -3, OPERATOR)
        },
        Command {
            summary: "Names all users.",
            complexity: "O(N) where N is the number of users",
            reply: "an array of names",
            run: users,
            ..subcommand("users", 2, OPERATOR.and(Flags::SHOWS))
        },
        Command {
            summary: "Returns the name of the connection's user.",
            reply: "the name",
            run: whoami,
            ..subcommand("whoami", 2, ANYBODY)
        },
        help::entry("6.0.0", Group::Server, &[]),
    ],
    ..Command::DEFAULT
}];

fn cat(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let names: Vec<&str> = match arguments {
        [_, _] => Category::ALL.iter().map(|category| category.name()).collect(),
        [_, _, name] => {
            let category = category(name)
                .ok_or_else(|| CommandError::new(format!("ERR Unknown category '{}'", args::text(name))))?;
            let entries = cx.server.commands.entries().iter();
            let members = entries.filter(|entry| entry.spec.all_categories().contains(&category));
            members.map(|entry| entry.full_name.as_str()).collect()
        }
        _ => return Err(help::wrong_subcommand(cx, arguments)),
    };
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
    Ok(())
}

fn whoami(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    cx.reply.bulk(&cx.client.rights.user.name);
    Ok(())
}

fn users(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let users = cx.server.acl.all_users();
    cx.reply.array(users.len());
    users.iter().for_each(|user| cx.reply.bulk(&user.name));
    Ok(())
}

fn list(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let users = cx.server.acl.all_users();
    cx.reply.array(users.len());
    for user in &users {
        cx.keys.work(100);
        cx.reply.bulk(&user.line());
    }
    Ok(())
}

fn getuser(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let Some(user) = cx.server.acl.user(arguments[2]) else {
        cx.reply.null();
        return Ok(());
    };
    cx.reply.map(7 + usize::from(!user.roles.is_empty()));
    cx.reply.bulk(b"flags");
    let mut flags = vec![if user.enabled { "on" } else { "off" }];
    flags.extend(user.needs_no_password.then_some("nopass"));
    cx.reply.set(flags.len());
    flags.iter().for_each(|flag| cx.reply.bulk(flag.as_bytes()));
    cx.reply.bulk(b"passwords");
    cx.reply.array(user.passwords.len());
    user.passwords.iter().for_each(|password| cx.reply.bulk(password.hex().as_bytes()));
    describe_selector(cx, &user.root);
    cx.reply.bulk(b"selectors");
    cx.reply.array(user.selectors.len());
    for selector in &user.selectors {
        cx.reply.map(4);
        describe_selector(cx, selector);
    }
    if !user.roles.is_empty() {
        cx.reply.bulk(b"roles");
        cx.reply.array(user.roles.len());
        user.roles.iter().for_each(|role| cx.reply.bulk(&role.name));
    }
    Ok(())
}

fn roles(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let roles = cx.server.acl.roles();
    cx.reply.array(roles.len());
    roles.keys().for_each(|name| cx.reply.bulk(name));
    Ok(())
}

fn getrole(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let Some(role) = cx.server.acl.roles().get(arguments[2]).cloned() else {
        cx.reply.null();
        return Ok(());
    };
    let users = cx.server.acl.all_users();
    let holders: Vec<_> = users.iter().filter(|user| user.holds(&role.name)).collect();
    cx.reply.map(6);
    describe_selector(cx, &role.root);
    cx.reply.bulk(b"selectors");
    cx.reply.array(role.selectors.len());
    for selector in &role.selectors {
        cx.reply.map(4);
        describe_selector(cx, selector);
    }
    cx.reply.bulk(b"users");
    cx.reply.array(holders.len());
    holders.iter().for_each(|user| cx.reply.bulk(&user.name));
    Ok(())
}

fn setrole(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (name, words) = (arguments[2], &arguments[3..]);
    let rules = cx.server.rules();
    if has_blanks(name) {
        return Err(CommandError::text("ERR Role names can't contain spaces or null characters"));
    }
    if name.is_empty() {
        return Err(CommandError::text("ERR Role names can't be empty"));
    }
    if rules.is_taken(name) {
        return Err(CommandError::text("ERR Role names can't be those of commands or categories"));
    }
    let words = joined(words)?;
    let changed = cx.server.acl.set_role(name, &words, &rules);
    let changed = changed.map_err(|wrong| wrong_rule("SETROLE", &words, wrong))?;
    for Changed { before, now } in &changed {
        before.iter().for_each(|before| cut_listeners(cx, before, now));
    }
    cx.reply.ok();
    Ok(())
}

fn delrole(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let removed = cx.server.acl.remove_roles(&arguments[2..]).map_err(|held| {
        let held = args::text(held);
        CommandError::new(format!(
            "ERR Role '{held}' is assigned to one or more users. Remove it from them first."
        ))
    })?;
    cx.reply.count(removed);
    Ok(())
}

/// The words of rules, those of each selector joined.
fn joined(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, CommandError> {
    join_selectors(words).map_err(|open| {
        let open = args::text(&without_passwords(&open));
        CommandError::new(format!("ERR Unmatched parenthesis in acl selector starting at '{open}'."))
    })
}

fn wrong_rule(command: &str, rules: &[Vec<u8>], WrongRule { index, error }: WrongRule) -> CommandError {
    let rule = args::text(&without_passwords(&rules[index]));
    CommandError::new(format!("ERR Error in ACL {command} modifier '{rule}': {error}"))
}

fn describe_selector(cx: &mut Context<'_>, selector: &Selector) {
    for (name, rules) in [
        ("commands", selector.describe_commands()),
        ("keys", selector.describe_keys()),
        ("channels", selector.describe_channels()),
        ("databases", selector.describe_databases()),
    ] {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(&rules);
    }
}

fn setuser(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (name, rules) = (arguments[2], &arguments[3..]);
    if has_blanks(name) {
        return Err(CommandError::text("ERR Usernames can't contain spaces or null characters"));
    }
    let rules = joined(rules)?;
    let changed = cx.server.acl.set_user(name, &rules, &cx.server.rules());
    let Changed { before, now } = changed.map_err(|wrong| wrong_rule("SETUSER", &rules, wrong))?;
    if let Some(before) = before {
        cut_listeners(cx, &before, &now);
    }
    cx.reply.ok();
    Ok(())
}

fn deluser(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let names = &arguments[2..];
    if names.contains(&DEFAULT_USER) {
        return Err(CommandError::text("ERR The 'default' user cannot be removed"));
    }
    let removed = cx.server.acl.remove(names);
    close_clients_of(cx, &removed);
    cx.reply.count(removed.len());
    Ok(())
}

/// Closes the connections of removed users.
fn close_clients_of(cx: &mut Context<'_>, users: &[Arc<User>]) {
    if users.is_empty() {
        return;
    }
    let ids: HashSet<_> = users.iter().map(|user| user.id).collect();
    for client in cx.server.clients.all() {
        let id = client.user.lock().id;
        if ids.contains(&id) {
            crate::commands::connection::client::end(cx, &client);
        }
    }
}

/// Closes the connections of a user that are subscribed to channels it has lost.
fn cut_listeners(cx: &mut Context<'_>, before: &User, now: &User) {
    for client in cx.server.listeners_to_cut(before, now) {
        crate::commands::connection::client::end(cx, &client);
    }
}

fn load(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let server = cx.server;
    let path = server.config.path(Directive::Aclfile).ok_or(NO_FILE)?;
    let before = server.acl.all_users();
    let name = server.config.text(Directive::Aclfile);
    file::load(&server.acl, &path, &name, &server.rules())
        .map_err(|error| CommandError::new(format!("ERR {error}")))?;
    let mut gone = Vec::new();
    for user in before {
        match server.acl.user(&user.name) {
            Some(now) => cut_listeners(cx, &user, &now),
            None => gone.push(user),
        }
    }
    close_clients_of(cx, &gone);
    tracing::info!(file = %name, "users loaded");
    cx.reply.ok();
    Ok(())
}

fn save(cx: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    let path = cx.server.config.path(Directive::Aclfile).ok_or(NO_FILE)?;
    file::save(&cx.server.acl, &path).map_err(|error| {
        tracing::warn!(%error, "could not save users");
        CommandError::text(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    tracing::info!("users saved");
    cx.reply.ok();
    Ok(())
}

fn genpass(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let bits = match arguments {
        [_, _] => PASSWORD_BITS,
        [_, _, bits] => args::int(bits)?,
        _ => return Err(help::wrong_subcommand(cx, arguments)),
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(CommandError::text(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ));
    }
    let password = password::generate(bits as usize)
        .map_err(|_| CommandError::text("ERR the system has no random numbers to make a password of"))?;
    cx.reply.bulk(password.as_bytes());
    Ok(())
}

fn dryrun(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (name, words) = (arguments[2], &arguments[3..]);
    let user = cx
        .server
        .acl
        .user(name)
        .ok_or_else(|| CommandError::new(format!("ERR User '{}' not found", args::text(name))))?;
    let entry = cx.server.commands.resolve(words).map_err(|error| match error {
        CommandError::WrongArity(_) => error,
        _ => CommandError::new(format!("ERR Command '{}' not found", args::text(words[0]))),
    })?;
    let Err(Denied { reason, argument }) = cx.server.examine_user(&user, entry, words, cx.client.database)
    else {
        cx.reply.ok();
        return Ok(());
    };
    let (user, object) = (args::text(name), args::text(words[argument]));
    let text = match reason {
        Reason::Key => format!("User {user} has no permissions to access the '{object}' key"),
        Reason::Channel => format!("User {user} has no permissions to access the '{object}' channel"),
        Reason::Database => format!("User {user} has no permissions to access database {object}"),
        Reason::Command | Reason::Auth | Reason::Certificate => {
            format!("User {user} has no permissions to run the '{}' command", entry.full_name)
        }
    };
    cx.reply.bulk(text.as_bytes());
    Ok(())
}

fn log(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let count = match arguments {
        [_, _] => LOG_ENTRIES,
        [_, _, word] if args::is(word, "RESET") => {
            cx.server.acl.log.lock().reset();
            cx.reply.ok();
            return Ok(());
        }
        [_, _, count] => {
            let count = parse_i64(count).ok_or(CommandError::NotAnInteger)?;
            usize::try_from(count).unwrap_or(0)
        }
        _ => return Err(help::wrong_subcommand(cx, arguments)),
    };
    let log = cx.server.acl.log.lock();
    cx.reply.array(count.min(log.entries().len()));
    for entry in log.entries().take(count) {
        describe_entry(&mut cx.reply, entry, cx.keys.now_ms);
    }
    Ok(())
}

fn describe_entry(reply: &mut crate::resp::encode::Reply<'_>, entry: &LogEntry, now_ms: u64) {
    let refusal = &entry.refusal;
    reply.map(10);
    reply.bulk(b"count");
    reply.int(entry.count as i64);
    for (name, value) in [
        ("reason", refusal.reason.word().as_bytes()),
        ("context", refusal.place.word().as_bytes()),
        ("object", &refusal.object),
        ("username", &refusal.user),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    }
    reply.bulk(b"age-seconds");
    reply.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(refusal.client.as_bytes());
    for (name, value) in [
        ("entry-id", entry.id),
        ("timestamp-created", entry.created_ms),
        ("timestamp-last-updated", entry.updated_ms),
    ] {
        reply.bulk(name.as_bytes());
        reply.int(value as i64);
    }
}
