//! XDELEX and XACKDEL: deleting entries with a say in what becomes of groups' references to them.

use crate::command::{Family, Flags, Group as CommandGroup, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::stream::entered;
use crate::commands::stream::entries::{STREAM, id, references_word};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::key_hash::HashedKey;
use crate::primitives::number::parse_i64;
use crate::primitives::thin::Owned;
use crate::types::stream::{Deletion, References, Stream, StreamId};

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xdelex",
        arity: -5,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::DELETE)],
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Deletes entries of a stream, and says what becomes of groups' references to them.",
        syntax: "key [KEEPREF | DELREF | ACKED] IDS(numids id [id ...])",
        since: "8.2.0",
        family: Family::Redis("8.2"),
        complexity: "O(log(M) + G) for each id, M being the stream's length and G the number of its groups",
        reply: "for each id 1 if deleted, -1 if it was not there, 2 if a group still needs it",
        run: xdelex,
        ..Command::DEFAULT
    },
    Command {
        name: "xackdel",
        arity: -6,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE | KeySpec::DELETE)],
        categories: STREAM,
        group: CommandGroup::Stream,
        summary: "Acknowledges entries in a group and deletes them.",
        syntax: "key group [KEEPREF | DELREF | ACKED] IDS(numids id [id ...])",
        since: "8.2.0",
        family: Family::Redis("8.2"),
        complexity: "O(log(M) + G) for each id, M being the stream's length and G the number of its groups",
        reply: "for each id 1 if deleted, -1 if it was not pending, 2 if another group still needs it",
        run: xackdel,
        ..Command::DEFAULT
    },
];

/// The ids of XDELEX and its kin, and the index of the argument behind them.
pub(super) struct Ids {
    /// Their index among the arguments.
    pub(super) first: usize,
    /// Index behind the last.
    pub(super) end: usize,
}

impl Ids {
    /// Reads the number behind `IDS` at `at` and finds the ids.
    ///
    /// # Errors
    /// No positive number, or fewer arguments than it says.
    pub(super) fn parse(arguments: &[&[u8]], at: usize) -> Result<Self, CommandError> {
        let count = parse_i64(args::value_of(arguments, at)?)
            .filter(|count| *count > 0)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(CommandError::text("ERR Number of IDs must be a positive integer"))?;
        let ids = Ids { first: at + 2, end: count.saturating_add(at + 2) };
        if ids.end > arguments.len() {
            return Err(CommandError::text("ERR The `numids` parameter must match the number of arguments"));
        }
        Ok(ids)
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// One that is no id.
    pub(super) fn read(&self, arguments: &[&[u8]]) -> Result<Vec<StreamId>, CommandError> {
        arguments[self.first..self.end].iter().map(|argument| id(argument)).collect()
    }
}

/// Reads what stands behind the key (and the group): one word about references, and the ids.
fn options(arguments: &[&[u8]], first: usize) -> Result<(References, Ids), CommandError> {
    let (mut references, mut ids) = (None, None);
    let mut at = first;
    while let Some(word) = arguments.get(at) {
        if references.is_none()
            && let Some(wanted) = references_word(word)
        {
            references = Some(wanted);
            at += 1;
        } else if ids.is_none() && args::is(word, "IDS") {
            let found = Ids::parse(arguments, at)?;
            at = found.end;
            ids = Some(found);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((references.unwrap_or_default(), ids.ok_or(CommandError::Syntax)?))
}

fn xdelex(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let stream = collection::write::<Owned<Stream>>(&mut cx.keys, &key)?;
    let (references, ids) = options(arguments, 2)?;
    let Some(stream) = stream else { return write_missing(cx, &ids) };
    let ids = ids.read(arguments)?;
    let groups = stream.groups().len();
    let mut done = Done::default();
    cx.reply.array(ids.len());
    for id in ids {
        if references == References::Delete && stream.remove_references(id) {
            done.unreferenced.push(id);
        }
        let deletion = stream.delete_with(id, references);
        cx.reply.int(done.add(id, deletion));
    }
    cx.keys.work(done.deleted.len() * (1 + groups));
    done.tell(cx, &key);
    Ok(())
}

fn xackdel(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let stream = collection::write::<Owned<Stream>>(&mut cx.keys, &key)?;
    let (references, ids) = options(arguments, 3)?;
    let name = arguments[2];
    let Some(stream) = stream.filter(|stream| stream.group(name).is_some()) else {
        return write_missing(cx, &ids);
    };
    let ids = ids.read(arguments)?;
    let groups = stream.groups().len();
    let mut done = Done::default();
    let mut acknowledged = Vec::new();
    cx.reply.array(ids.len());
    for id in ids {
        if !stream.group_mut(name).is_some_and(|group| group.acknowledge(id)) {
            cx.reply.int(done.add(id, Deletion::Missing));
            continue;
        }
        acknowledged.push(id);
        if references == References::Delete && stream.remove_references(id) {
            done.unreferenced.push(id);
        }
        // An entry that was pending and is gone counts as deleted.
        let deletion = match stream.delete_with(id, references) {
            Deletion::Kept => Deletion::Kept,
            deletion => {
                done.was_there(id, deletion);
                Deletion::Deleted
            }
        };
        cx.reply.int(code(deletion));
    }
    cx.keys.work(acknowledged.len() * (1 + groups));
    if cx.is_journaled() {
        entered::enter_acknowledged(cx, &key, name, &acknowledged);
    }
    cx.dirty += acknowledged.len() as u64;
    done.tell(cx, &key);
    Ok(())
}

/// Without a stream, or without the group, no id is there.
fn write_missing(cx: &mut Context<'_>, ids: &Ids) -> CommandResult {
    cx.reply.array(ids.end - ids.first);
    (ids.first..ids.end).for_each(|_| cx.reply.int(code(Deletion::Missing)));
    Ok(())
}

fn code(deletion: Deletion) -> i64 {
    match deletion {
        Deletion::Missing => -1,
        Deletion::Deleted => 1,
        Deletion::Kept => 2,
    }
}

/// What a command has done so far.
#[derive(Default)]
struct Done {
    deleted: Vec<StreamId>,
    unreferenced: Vec<StreamId>,
}

impl Done {
    fn was_there(&mut self, id: StreamId, deletion: Deletion) {
        if deletion == Deletion::Deleted {
            self.deleted.push(id);
        }
    }

    fn add(&mut self, id: StreamId, deletion: Deletion) -> i64 {
        self.was_there(id, deletion);
        code(deletion)
    }

    /// Enters all of it into the journal and tells of it.
    fn tell(self, cx: &mut Context<'_>, key: &HashedKey<'_>) {
        if cx.is_journaled() {
            entered::enter_deleted(cx, key, &self.deleted);
            entered::enter_unreferenced(cx, key, &self.unreferenced);
        }
        if self.deleted.is_empty() {
            cx.dirty += self.unreferenced.len() as u64;
        } else {
            collection::changed(cx, key, EventClass::STREAM, "xdel", self.deleted.len());
        }
    }
}
