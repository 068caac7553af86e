//! MIGRATE: moves keys to another server.

use std::ops::Range;
use std::time::Duration;

use crate::command::keys::{KeyPosition, KeyPositions};
use crate::command::{Begin, Category, Find, Flags, KeySpec, args};
use crate::commands::generic::dump::payload;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::network::{Peer, PeerError};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::change::EventClass;
use crate::keyspace::reaper::FreeReason;
use crate::resp::Version;
use crate::resp::encode::Reply;

/// Flags of the keys: they are read, sent, and removed.
const MOVES: u16 = KeySpec::RW | KeySpec::ACCESS | KeySpec::DELETE;

/// Index of the first option.
const OPTIONS: usize = 6;

/// Index of the single key; with KEYS that argument is empty.
const ONLY_KEY: usize = 3;

/// Bytes of requests sent before their replies are awaited.
const BATCH_BYTES: usize = 1024 * 1024;

/// Time limit of each step where the timeout is 0 or less.
const DEFAULT_LIMIT: Duration = Duration::from_secs(1);

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "migrate",
    arity: -6,
    flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
    keys: &[
        KeySpec::one(ONLY_KEY, MOVES),
        KeySpec {
            flags: MOVES | KeySpec::INCOMPLETE,
            begin: Begin::Keyword { word: "KEYS", from: -2 },
            find: Find::Range { last: -1, step: 1, limit: 0 },
        },
    ],
    moving_keys: Some(find_keys),
    categories: &[Category::Keyspace, Category::Dangerous],
    summary: "Moves keys to another server.",
    syntax: "host port (key | \"\") destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2(username password)] [KEYS key [key ...]]",
    since: "2.6.0",
    complexity: "O(N) where N is the size of the values, here and there",
    reply: "OK, or NOKEY when there is none of the keys",
    secrets: Some(is_secret),
    tips: &["nondeterministic_output"],
    run: migrate,
    ..Command::DEFAULT
}];

/// The options of MIGRATE.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    copy: bool,
    replace: bool,
    /// Indices of the arguments for AUTH.
    login: Range<usize>,
    /// Indices of the keys; `None` without KEYS.
    keys: Option<Range<usize>>,
    /// Whether there was an unknown word.
    unknown: bool,
}

impl Options {
    /// Reads the options. Goes on behind unknown words, as Redis does when it searches for the keys.
    fn parse(arguments: &[&[u8]]) -> Options {
        let mut options = Options::default();
        let mut at = OPTIONS;
        while let Some(word) = arguments.get(at) {
            let more = arguments.len() - at - 1;
            let values = if args::is(word, "AUTH2") { 2 } else { 1 };
            if args::is(word, "COPY") {
                options.copy = true;
            } else if args::is(word, "REPLACE") {
                options.replace = true;
            } else if (args::is(word, "AUTH") || args::is(word, "AUTH2")) && more >= values {
                options.login = at + 1..at + 1 + values;
                at += values;
            } else if args::is(word, "KEYS") {
                options.keys = Some(at + 1..arguments.len());
                break;
            } else {
                options.unknown = true;
            }
            at += 1;
        }
        options
    }
}

fn find_keys(arguments: &[&[u8]], positions: &mut KeyPositions) {
    let keys = match Options::parse(arguments).keys {
        None => ONLY_KEY..ONLY_KEY + 1,
        Some(keys) if keys.is_empty() => ONLY_KEY..ONLY_KEY + 1,
        Some(_) if !arguments[ONLY_KEY].is_empty() => return,
        Some(keys) => keys,
    };
    positions.extend(keys.map(|argument| KeyPosition { argument, flags: MOVES }));
}

fn is_secret(arguments: &[&[u8]], index: usize) -> bool {
    Options::parse(arguments).login.contains(&index)
}

fn migrate(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let options = Options::parse(arguments);
    if options.unknown {
        return Err(CommandError::Syntax);
    }
    if options.keys.is_some() && !arguments[ONLY_KEY].is_empty() {
        return Err(CommandError::text(
            "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
        ));
    }
    let step_limit = match u64::try_from(args::int(arguments[5])?) {
        Ok(0) | Err(_) => DEFAULT_LIMIT,
        Ok(limit_ms) => Duration::from_millis(limit_ms),
    };
    let database = args::int(arguments[4])?;
    let keys = options.keys.clone().unwrap_or(ONLY_KEY..ONLY_KEY + 1);
    let there: Vec<usize> = keys.filter(|index| cx.read(&cx.key(arguments, *index)).is_some()).collect();
    if there.is_empty() {
        cx.reply.simple("NOKEY");
        return Ok(());
    }
    let failed = |error: PeerError| CommandError::new(error.to_string());
    // A port that is no number gets the error of a port where nobody listens.
    let port = args::int(arguments[2]).ok().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let host = args::text(arguments[1]);
    // From here to the last reply the keys stay locked and this thread waits, each step for a bounded time:
    // nobody may see or change a key between the moment its bytes are sent and the moment it is known where
    // it is. Its other connections go on elsewhere.
    cx.keys.announce(usize::MAX);
    let peer = cx.server.network().connect(&host, port, step_limit).map_err(failed)?;
    let mut target = Target { peer, requests: Vec::new(), sent: Vec::new(), refusal: None };
    // The greeting is exchanged before any key is sent: after a refused login or SELECT keys would go to a
    // place that nobody meant.
    let login = &arguments[options.login.clone()];
    target.greet(login, database).map_err(failed)?;
    if let Some(refusal) = target.refusal {
        return Err(refused(&refusal));
    }
    for index in there {
        target.add(cx, arguments, index, &options);
        if target.requests.len() >= BATCH_BYTES {
            target.exchange(cx, arguments, &options).map_err(failed)?;
        }
    }
    target.exchange(cx, arguments, &options).map_err(failed)?;
    match target.refusal {
        None => cx.reply.ok(),
        Some(refusal) => return Err(refused(&refusal)),
    }
    Ok(())
}

fn refused(refusal: &str) -> CommandError {
    CommandError::new(format!("ERR Target instance replied with error: {refusal}"))
}

/// The other server, and the requests sent to it whose replies are awaited.
struct Target {
    peer: Box<dyn Peer>,
    requests: Vec<u8>,
    /// Indices of the arguments that are keys whose replies are awaited.
    sent: Vec<usize>,
    /// First error reply.
    refusal: Option<String>,
}

impl Target {
    fn request(&mut self, words: &[&[u8]]) {
        let mut request = Reply::new(&mut self.requests, Version::Resp2);
        request.array(words.len());
        words.iter().for_each(|word| request.bulk(word));
    }

    /// Logs in, if need be, and selects the database.
    fn greet(&mut self, login: &[&[u8]], database: i64) -> Result<(), PeerError> {
        if !login.is_empty() {
            let words: Vec<&[u8]> =
                std::iter::once(b"AUTH".as_slice()).chain(login.iter().copied()).collect();
            self.request(&words);
        }
        self.request(&[b"SELECT", database.to_string().as_bytes()]);
        self.send()?;
        if !login.is_empty() {
            self.took()?;
        }
        self.took()?;
        Ok(())
    }

    /// Adds the request that restores a key.
    fn add(&mut self, cx: &Context<'_>, arguments: &[&[u8]], index: usize, options: &Options) {
        let key = cx.key(arguments, index);
        // A key that is named twice may be gone already.
        let Some(record) = cx.keys.peek(&key) else { return };
        let left_ms =
            record.expire_at_ms().map_or(0, |at_ms| at_ms.saturating_sub(cx.keys.now_ms).max(1)).to_string();
        let Some(payload) = payload(record, cx.keys.ended_ms) else { return };
        let name: &[u8] = if cx.server.cluster.is_enabled() { b"RESTORE-ASKING" } else { b"RESTORE" };
        let words = [name, key.bytes, left_ms.as_bytes(), &payload, b"REPLACE"];
        self.request(if options.replace { &words } else { &words[..4] });
        self.sent.push(index);
    }

    /// Sends the gathered requests, and removes each key whose restore succeeded.
    fn exchange(
        &mut self,
        cx: &mut Context<'_>,
        arguments: &[&[u8]],
        options: &Options,
    ) -> Result<(), PeerError> {
        self.send()?;
        for index in std::mem::take(&mut self.sent) {
            if self.took()? && !options.copy {
                let key = cx.key(arguments, index);
                if cx.keys.delete_as(&key, FreeReason::Overwritten) {
                    cx.enter_deleted(&key);
                    cx.changed(&key, EventClass::GENERIC, "del");
                }
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), PeerError> {
        let sent = self.peer.send(&self.requests);
        self.requests.clear();
        sent
    }

    /// Awaits a reply. Returns whether the request succeeded.
    fn took(&mut self) -> Result<bool, PeerError> {
        let line = self.peer.line()?;
        match line.split_first() {
            Some((b'+', _)) => Ok(true),
            Some((b'-', text)) => {
                self.refusal.get_or_insert_with(|| args::text(text));
                Ok(false)
            }
            // Another kind of reply: no server that keeps keys, so ours stay.
            _ => Err(PeerError::Read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<&[u8]> {
        line.split(' ').map(|word| if word == "''" { b"".as_slice() } else { word.as_bytes() }).collect()
    }

    fn keys(line: &str) -> Vec<usize> {
        let mut positions = KeyPositions::new();
        find_keys(&words(line), &mut positions);
        positions.iter().map(|position| position.argument).collect()
    }

    #[test]
    fn keys_are_one_or_behind_their_word() {
        assert_eq!(keys("migrate h 1 k 0 10"), [3]);
        assert_eq!(keys("migrate h 1 k 0 10 copy replace"), [3]);
        assert_eq!(keys("migrate h 1 '' 0 10 KEYS a b"), [7, 8]);
        assert_eq!(keys("migrate h 1 '' 0 10 copy what keys a b"), [9, 10]);
        assert_eq!(keys("migrate h 1 '' 0 10 AUTH KEYS KEYS a"), [9]);
        assert_eq!(keys("migrate h 1 '' 0 10 AUTH2 KEYS KEYS KEYS a"), [10]);
        assert_eq!(keys("migrate h 1 '' 0 10 KEYS"), [3]);
        assert_eq!(keys("migrate h 1 k 0 10 KEYS a"), [0; 0]);
    }

    #[test]
    fn passwords_are_secret_and_keys_are_not() {
        let secrets = |line: &str| {
            let words = words(line);
            (0..words.len()).filter(|index| is_secret(&words, *index)).collect::<Vec<_>>()
        };
        assert_eq!(secrets("migrate h 1 k 0 10 AUTH pw COPY"), [7]);
        assert_eq!(secrets("migrate h 1 k 0 10 AUTH2 bob pw COPY"), [7, 8]);
        assert_eq!(secrets("migrate h 1 '' 0 10 nothing AUTH pw"), [8]);
        assert_eq!(secrets("migrate h 1 '' 0 10 KEYS AUTH pw"), [0; 0]);
    }
}
