//! The entry of a command. Everything that is known about a command stands here or is derived from it.

use super::Server;
use super::client::Client;
use super::context::Context;
use crate::command::keys::{ForeignKeys, KeyAccess, KeySpec, LockPlan, MovingKeys};
use crate::command::spec::{
    Category, Channels, Family, Flags, Group, LeavesSlot, NamedDatabases, Secrets, Spec, Subject,
};
use crate::command::table::{CommandTable, Entry, Listed, RenameError};
use crate::error::{CommandError, CommandResult};

/// A command's function: parses `arguments` (the name is the first), works on the keys that the entry's key
/// spec declares, and writes one reply. When it answers an error, what it wrote is taken back and the error
/// is the reply.
pub type Handler = fn(&mut Context<'_>, &[&[u8]]) -> CommandResult;

/// Whether a request has to be alone in the keyspace, because it may touch keys that nothing declares.
pub type Alone = fn(&Server, &Client, &[&[u8]]) -> bool;

/// Locks that a request needs beside those of its own keys.
pub type FurtherLocks = fn(&Server, &Client, &mut LockPlan);

/// Names the program that a request runs, for those who are told of it: a script, a function.
pub type ProgramName = fn(&[&[u8]]) -> Vec<u8>;

/// Whether a request writes nothing.
pub type ReadsOnly = fn(&Server, &[&[u8]]) -> bool;

/// A command or subcommand: what it is, and its functions. One flat entry, so that a reader of `commands/`
/// has all of a command in one place; the rooms below, which know no function of the engine, get a [`Spec`]
/// of it.
pub struct Command {
    /// Lower case; of a subcommand only its own word.
    pub name: &'static str,
    /// Number of arguments with the name (and the container's name); negative: at least so many.
    pub arity: i32,
    /// What the judge, the lock plan and COMMAND INFO go by.
    pub flags: Flags,
    /// Where the keys stand. Lock plan, slot routing and COMMAND GETKEYS come from it.
    pub keys: &'static [KeySpec],
    /// Where the keys stand when that depends on the arguments: the same parser that the command uses. Wins
    /// over `keys`.
    pub moving_keys: Option<MovingKeys>,
    /// Finds what a request does with its keys, where that depends on the arguments. The key spec declares
    /// the most it may do, and locks go by the spec.
    pub key_access: Option<KeyAccess>,
    /// Keys in other databases that the command locks as well.
    pub foreign_keys: Option<ForeignKeys>,
    /// Databases that its arguments name.
    pub databases: Option<NamedDatabases>,
    /// Channels among its arguments.
    pub channels: Channels,
    /// What it is about, where it names neither keys nor channels.
    pub subject: Subject,
    /// Finds whether a request leaves its slot, by patterns of keys.
    pub leaves_slot: Option<LeavesSlot>,
    /// Which argument is the first element of the collection under its key that it looks for: where many
    /// requests in a row are for one key, their elements are asked for ahead.
    pub element: Option<usize>,
    /// When it has to be alone in the keyspace; it then reaches undeclared keys through `Access::reach` or
    /// `Access::relock`.
    pub alone: Option<Alone>,
    /// Locks of keys that are not among its arguments (EXEC).
    pub further_locks: Option<FurtherLocks>,
    /// Whether clients know no subcommands of it: statistics name it as a whole, and ACL rules may name any
    /// first argument of it.
    pub is_whole: bool,
    /// ACL categories beside those that follow from the flags.
    pub categories: &'static [Category],
    /// The list in which it is documented.
    pub group: Group,
    /// One line in our own words.
    pub summary: &'static str,
    /// The arguments behind the name: `key [NX | XX] value [value ...]`. COMMAND DOCS reads it.
    pub syntax: &'static str,
    /// The version of Redis or Valkey that first had it.
    pub since: &'static str,
    /// Which of the two servers has it.
    pub family: Family,
    /// Complexity as COMMAND DOCS shows it: `O(1)`, `O(N) ...`.
    pub complexity: &'static str,
    /// Kind of reply, in a word or two.
    pub reply: &'static str,
    /// Whether a request of a command that may write promises not to: a script by its own flags.
    pub reads_only: Option<ReadsOnly>,
    /// Names the script or function that it runs.
    pub program: Option<ProgramName>,
    /// Whether the argument at an index is a secret, which no log and no monitor shows. What cannot be told
    /// apart is one.
    pub secrets: Option<Secrets>,
    /// Hints for clients and proxies: how to spread it over nodes, whether its reply is always the same.
    pub tips: &'static [&'static str],
    /// Subcommands; then `run` is called only for a missing one.
    pub subcommands: &'static [Command],
    /// Function that runs it.
    pub run: Handler,
}

impl Command {
    /// What entries leave unsaid.
    pub const DEFAULT: Command = Command {
        name: "",
        arity: 1,
        flags: Flags::NONE,
        keys: &[],
        moving_keys: None,
        key_access: None,
        foreign_keys: None,
        databases: None,
        channels: Channels::None,
        subject: Subject::None,
        leaves_slot: None,
        element: None,
        alone: None,
        further_locks: None,
        is_whole: false,
        categories: &[],
        group: Group::Generic,
        summary: "",
        syntax: "",
        since: "1.0.0",
        family: Family::Both,
        complexity: "O(1)",
        reply: "",
        reads_only: None,
        program: None,
        secrets: None,
        tips: &[],
        subcommands: &[],
        run: unfinished_container,
    };

    /// Makes its [`Spec`]: all of the entry but its functions.
    pub fn spec(&self) -> Spec {
        Spec {
            name: self.name,
            arity: self.arity,
            flags: self.flags,
            keys: self.keys,
            moving_keys: self.moving_keys,
            key_access: self.key_access,
            foreign_keys: self.foreign_keys,
            databases: self.databases,
            channels: self.channels,
            subject: self.subject,
            leaves_slot: self.leaves_slot,
            element: self.element,
            may_run_alone: self.alone.is_some(),
            has_further_locks: self.further_locks.is_some(),
            is_whole: self.is_whole,
            categories: self.categories,
            group: self.group,
            summary: self.summary,
            syntax: self.syntax,
            since: self.since,
            family: self.family,
            complexity: self.complexity,
            reply: self.reply,
            secrets: self.secrets,
            tips: self.tips,
        }
    }

    fn functions(&self) -> Functions {
        Functions {
            run: self.run,
            alone: self.alone,
            further_locks: self.further_locks,
            reads_only: self.reads_only,
            program: self.program,
        }
    }
}

/// A container without a subcommand never gets here: its arity asks for one and the table answers an unknown
/// one.
fn unfinished_container(_: &mut Context<'_>, _: &[&[u8]]) -> CommandResult {
    Err(CommandError::Syntax)
}

/// The functions of a command, apart from its spec so that those of all commands lie close together.
#[derive(Clone, Copy)]
pub struct Functions {
    /// Function that runs it.
    pub run: Handler,
    /// Whether a request of it has to be alone in the keyspace.
    pub alone: Option<Alone>,
    /// Adds locks of keys that are not among its arguments.
    pub further_locks: Option<FurtherLocks>,
    /// Whether a request of it promises to write nothing.
    pub reads_only: Option<ReadsOnly>,
    /// Names the script or function that a request of it runs.
    pub program: Option<ProgramName>,
}

/// All commands: the table of their specs, and their functions by the same ids.
pub struct Commands {
    table: CommandTable,
    functions: Box<[Functions]>,
}

impl Commands {
    /// Makes the table of all commands in `groups`.
    pub fn new(groups: &[&'static [Command]]) -> Self {
        let commands = || groups.iter().flat_map(|group| group.iter());
        let listed = commands().map(|command| Listed {
            spec: command.spec(),
            subcommands: command.subcommands.iter().map(Command::spec).collect(),
        });
        let table = CommandTable::new(listed);
        // As in the table: the commands, and behind them the subcommands of each.
        let subcommands = commands().flat_map(|command| command.subcommands);
        let functions: Box<[Functions]> = commands().chain(subcommands).map(Command::functions).collect();
        assert_eq!(functions.len(), table.entries().len(), "each entry has its functions");
        Self { table, functions }
    }

    /// Has a command called by another name: see [`CommandTable::rename`].
    ///
    /// # Errors
    /// As there.
    pub fn rename(&mut self, old: &[u8], new: &[u8]) -> Result<(), RenameError> {
        self.table.rename(old, new)
    }

    /// Has a command answer OK from here on, and do nothing.
    pub fn silence(&mut self, id: usize) {
        self.functions[id].run = |cx, _| {
            cx.reply.ok();
            Ok(())
        };
    }

    /// The functions of an entry of this table.
    #[inline]
    pub fn functions(&self, entry: &Entry) -> &Functions {
        &self.functions[entry.id]
    }
}

impl std::ops::Deref for Commands {
    type Target = CommandTable;

    #[inline]
    fn deref(&self) -> &CommandTable {
        &self.table
    }
}
