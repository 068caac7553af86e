//! MONITOR: clients that are shown every command that others run.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use super::Server;
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::shared::client::{OutputLimit, SharedClient};

/// Commands that monitors are not shown, or that show themselves at the right moment.
pub const UNSEEN: Flags = Flags::SKIP_MONITOR.and(Flags::ADMIN);

/// Where a command that is shown came from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A client, or its transaction.
    Client(&'a SharedClient),
    /// A command that a script called; a line names no client then.
    Script,
}

/// Clients in MONITOR. Without them a command costs one relaxed load.
#[derive(Debug, Default)]
pub struct Monitors {
    watching: RwLock<Vec<Arc<SharedClient>>>,
    count: AtomicUsize,
}

impl Monitors {
    /// Returns whether any client watches.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Adds a client that does not watch yet.
    pub fn add(&self, client: &Arc<SharedClient>) {
        self.watching.write().push(Arc::clone(client));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a client away, if it watches.
    pub fn remove(&self, client: &SharedClient) {
        let mut watching = self.watching.write();
        let before = watching.len();
        watching.retain(|other| other.id != client.id);
        self.count.fetch_sub(before - watching.len(), Ordering::Relaxed);
    }

    /// Sends a command to all watching clients. A client whose output has grown over its limit is cut; the
    /// others go on.
    #[cold]
    pub fn show(
        &self,
        entry: &Entry,
        arguments: &[&[u8]],
        database: usize,
        source: Source<'_>,
        now_us: u64,
        limit: OutputLimit,
    ) {
        let line = Bytes::from(line(entry, arguments, database, source, now_us));
        for client in self.watching.read().iter() {
            client.send(line.clone(), limit, now_us / 1000);
        }
    }
}

impl Server {
    /// Shows a command to the clients that said MONITOR.
    #[cold]
    pub fn show_to_monitors(&self, entry: &Entry, arguments: &[&[u8]], database: usize, source: Source<'_>) {
        let limit = self.settings.monitor_limit();
        self.logs.monitors.show(entry, arguments, database, source, self.clock.now_us(), limit);
    }
}

fn line(entry: &Entry, arguments: &[&[u8]], database: usize, source: Source<'_>, now_us: u64) -> Vec<u8> {
    let mut line = Vec::with_capacity(64);
    // Writing to a vector cannot fail.
    let _ = write!(line, "+{}.{:06} [{database} ", now_us / 1_000_000, now_us % 1_000_000);
    let _ = match source {
        Source::Script => write!(line, "lua]"),
        Source::Client(client) if client.is_unix() => {
            write!(line, "unix:{}]", client.address.trim_end_matches(":0"))
        }
        Source::Client(client) => write!(line, "{}]", client.address),
    };
    for index in 0..arguments.len() {
        line.push(b' ');
        quote(&mut line, entry.spec.shown(arguments, index));
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// An argument between quotes, with what cannot be printed written as an escape.
fn quote(line: &mut Vec<u8>, argument: &[u8]) {
    line.push(b'"');
    for &byte in argument {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            7 => line.extend_from_slice(b"\\a"),
            8 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted() {
        let mut line = Vec::new();
        quote(&mut line, b"a\x01\"\\\n\r\t\x07\x08\xff b");
        assert_eq!(line, br#""a\x01\"\\\n\r\t\a\b\xff b""#);
    }
}
