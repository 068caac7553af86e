//! COMMANDLOG (and SLOWLOG): the latest commands that took long, whose request was large, or whose reply was.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::command::table::Entry;

/// How much of a request an entry keeps.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Arguments (`slowlog-entry-max-argc`): of more, the last place tells how many are missing.
    pub arguments: usize,
    /// Bytes of an argument (`slowlog-entry-max-string-len`).
    pub argument_bytes: usize,
}

/// One of the three logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// Commands that took long; their value is in microseconds.
    Slow,
    /// Large requests; in bytes.
    LargeRequest,
    /// Large replies; in bytes.
    LargeReply,
}

impl LogKind {
    /// All of them, in the order in which the logs stand.
    pub const ALL: [LogKind; 3] = [LogKind::Slow, LogKind::LargeRequest, LogKind::LargeReply];

    /// Name of the log in COMMANDLOG's arguments.
    pub fn name(self) -> &'static str {
        match self {
            LogKind::Slow => "slow",
            LogKind::LargeRequest => "large-request",
            LogKind::LargeReply => "large-reply",
        }
    }
}

/// A command that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Number of the entry, one more than that of the entry before in its log.
    pub id: u64,
    /// Time of the entry, in seconds of Unix time.
    pub at_s: u64,
    /// What the log measures: microseconds, or bytes of the request or reply.
    pub value: u64,
    /// The request, cut.
    pub arguments: Vec<Vec<u8>>,
    /// Number of words of the whole request, the command's name included.
    pub argument_count: usize,
    /// Address of the client.
    pub address: String,
    /// Name of the client (CLIENT SETNAME).
    pub name: String,
}

#[derive(Debug, Default)]
struct Log {
    entries: Mutex<(u64, VecDeque<LogEntry>)>,
    max_len: AtomicUsize,
}

/// The three logs.
#[derive(Debug, Default)]
pub struct CommandLogs([Log; 3]);

impl CommandLogs {
    /// Sets how many entries a log keeps; it is cut when the next one comes.
    pub fn set_max_len(&self, kind: LogKind, max_len: usize) {
        self.0[kind as usize].max_len.store(max_len, Ordering::Relaxed);
    }

    /// Adds an entry, whose id is given here.
    pub fn add(&self, kind: LogKind, mut entry: LogEntry) {
        let log = &self.0[kind as usize];
        let max_len = log.max_len.load(Ordering::Relaxed);
        if max_len == 0 {
            return;
        }
        let mut entries = log.entries.lock();
        entry.id = entries.0;
        entries.0 += 1;
        entries.1.push_front(entry);
        entries.1.truncate(max_len);
    }

    /// The latest entries, the newest first.
    pub fn latest(&self, kind: LogKind, count: usize) -> Vec<LogEntry> {
        self.0[kind as usize].entries.lock().1.iter().take(count).cloned().collect()
    }

    /// How many entries there are.
    pub fn len(&self, kind: LogKind) -> usize {
        self.0[kind as usize].entries.lock().1.len()
    }

    /// Forgets all entries; ids go on.
    pub fn reset(&self, kind: LogKind) {
        self.0[kind as usize].entries.lock().1 = VecDeque::new();
    }
}

/// A request as it is kept: secrets hidden, long arguments and long lists cut.
pub fn cut(entry: &Entry, arguments: &[&[u8]], most: Kept) -> Vec<Vec<u8>> {
    let count = arguments.len();
    let shown = if count > most.arguments { most.arguments.saturating_sub(1) } else { count };
    let mut kept: Vec<Vec<u8>> = (0..shown)
        .map(|index| cut_argument(entry.spec.shown(arguments, index), most.argument_bytes))
        .collect();
    if shown < arguments.len() {
        kept.push(format!("... ({} more arguments)", arguments.len() - shown).into_bytes());
    }
    kept
}

/// An argument as a log keeps it: no more than so many bytes, and how many more there were.
pub fn cut_argument(argument: &[u8], most: usize) -> Vec<u8> {
    let mut kept = argument[..argument.len().min(most)].to_vec();
    tell_left_out(&mut kept, argument.len());
    kept
}

/// Says behind the kept beginning of an argument how many bytes it had beyond that; `len` is that of all of it.
pub fn tell_left_out(kept: &mut Vec<u8>, len: usize) {
    if len > kept.len() {
        let more = len - kept.len();
        kept.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: u64) -> LogEntry {
        LogEntry {
            id: 0,
            at_s: 1,
            value,
            arguments: Vec::new(),
            argument_count: 0,
            address: String::new(),
            name: String::new(),
        }
    }

    #[test]
    fn a_log_keeps_the_latest() {
        let logs = CommandLogs::default();
        logs.add(LogKind::Slow, entry(1));
        assert_eq!(logs.len(LogKind::Slow), 0, "a log of no length keeps nothing");
        logs.set_max_len(LogKind::Slow, 2);
        (1..=3).for_each(|value| logs.add(LogKind::Slow, entry(value)));
        let latest: Vec<_> =
            logs.latest(LogKind::Slow, 10).iter().map(|entry| (entry.id, entry.value)).collect();
        assert_eq!(latest, [(2, 3), (1, 2)]);
        assert_eq!(logs.len(LogKind::LargeReply), 0);
        logs.reset(LogKind::Slow);
        logs.add(LogKind::Slow, entry(4));
        assert_eq!(logs.latest(LogKind::Slow, 1)[0].id, 3, "ids go on after a reset");
    }

    #[test]
    fn arguments_are_cut() {
        assert_eq!(cut_argument(&[b'a'; 128], 128), [b'a'; 128]);
        let long = cut_argument(&[b'a'; 130], 128);
        assert_eq!(long[..128], [b'a'; 128]);
        assert_eq!(long[128..], *b"... (2 more bytes)");
    }
}
