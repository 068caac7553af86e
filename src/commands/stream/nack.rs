//! XNACK: giving pending entries back to their group, for others to claim at once.

use crate::command::{Family, Flags, Group as CommandGroup, args};
use crate::commands::shared::collection;
use crate::commands::stream::delete::Ids;
use crate::commands::stream::entered::Member;
use crate::commands::stream::entries::{STREAM, UPDATE};
use crate::commands::stream::group::no_key_or_group;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::primitives::number::parse_i64;
use crate::primitives::thin::Owned;
use crate::types::stream::Stream;
use crate::types::stream::group::DELIVERIES_MAX;

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "xnack",
    arity: -7,
    flags: Flags::WRITE.and(Flags::FAST),
    keys: UPDATE,
    categories: STREAM,
    group: CommandGroup::Stream,
    summary: "Gives pending entries back to their group, where they can be claimed at once.",
    syntax: "key group (SILENT | FAIL | FATAL) IDS(numids id [id ...]) [RETRYCOUNT count] [FORCE]",
    since: "8.8.0",
    family: Family::Redis("8.8"),
    complexity: "O(log(P)) for each id, P being the number of pending entries",
    reply: "how many were given back",
    run: xnack,
    ..Command::DEFAULT
}];

/// What giving an entry back does to the count of its deliveries.
#[derive(Clone, Copy)]
enum Mode {
    /// SILENT: the last delivery counts for nothing.
    Silent,
    /// FAIL: it stays.
    Fail,
    /// FATAL: the entry is not to be delivered again.
    Fatal,
}

impl Mode {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        match word {
            word if args::is(word, "SILENT") => Ok(Self::Silent),
            word if args::is(word, "FAIL") => Ok(Self::Fail),
            word if args::is(word, "FATAL") => Ok(Self::Fatal),
            _ => Err(CommandError::Syntax),
        }
    }

    /// The count of an entry that was delivered so often; of one that was not pending without it.
    fn deliveries(self, before: Option<u64>) -> u64 {
        match (self, before) {
            (Self::Fatal, _) => DELIVERIES_MAX,
            (_, None) => 0,
            (Self::Silent, Some(before)) => before.saturating_sub(1),
            (Self::Fail, Some(before)) => before,
        }
    }
}

/// The options behind the ids.
#[derive(Default)]
struct Options {
    deliveries: Option<u64>,
    force: bool,
}

impl Options {
    fn parse(mut words: &[&[u8]]) -> Result<Self, CommandError> {
        let mut options = Self::default();
        while let [word, rest @ ..] = words {
            words = rest;
            if args::is(word, "FORCE") {
                options.force = true;
            } else if let (true, [count, rest @ ..]) = (args::is(word, "RETRYCOUNT"), rest) {
                let count = parse_i64(count).and_then(|count| u64::try_from(count).ok());
                let wrong = CommandError::text("ERR Invalid RETRYCOUNT option argument for XNACK");
                options.deliveries = Some(count.ok_or(wrong)?);
                words = rest;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn xnack(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let key = cx.key(arguments, 1);
    let name = arguments[2];
    let stream = collection::write::<Owned<Stream>>(&mut cx.keys, &key)?;
    let mode = Mode::parse(arguments[3])?;
    if !args::is(arguments[4], "IDS") {
        return Err(CommandError::Syntax);
    }
    let ids = Ids::parse(arguments, 4)?;
    let options = Options::parse(&arguments[ids.end..])?;
    let Some(stream) = stream.filter(|stream| stream.group(name).is_some()) else {
        return Err(no_key_or_group(key.bytes, name));
    };
    let (mut released, mut lost) = (Vec::new(), Vec::new());
    for id in ids.read(arguments)? {
        let is_there = stream.contains(id);
        let Some(group) = stream.group_mut(name) else { break };
        let before = group.pending(id).map(|pending| pending.deliveries);
        if is_there && (before.is_some() || options.force) {
            group.release(id, options.deliveries.unwrap_or_else(|| mode.deliveries(before)));
            released.push(id);
        } else if before.is_some() {
            // An entry that was deleted from the stream is pending no more, as where it is claimed.
            group.acknowledge(id);
            lost.push(id);
        }
    }
    if cx.is_journaled() {
        let nobody = Member { key: &key, group: name, consumer: b"" };
        nobody.enter_pending(cx, &released);
        nobody.enter_acknowledged(cx, &lost);
    }
    if !released.is_empty() {
        // Clients that wait to claim are served.
        cx.noted(&key, EventClass::STREAM, "xnack");
    }
    cx.dirty += (released.len().saturating_sub(1) + lost.len()) as u64;
    cx.reply.count(released.len());
    Ok(())
}
