//! Replies that no command makes: of refused requests, and what CLIENT REPLY and pushes do to a reply.

use std::sync::atomic::Ordering;

use super::Server;
use super::client::{Client, ReplyMode};
use crate::command::spec::Flags;
use crate::command::table::Entry;
use crate::error::CommandError;
use crate::resp::encode::Reply;

impl Server {
    /// Refuses a request whose command could not be found or has the wrong number of arguments. Whoever has to
    /// authenticate first hears only that: which commands there are is not told to strangers.
    pub(super) fn refuse_unresolved(&self, client: &mut Client, error: &CommandError, out: &mut Vec<u8>) {
        let entry = match error {
            CommandError::WrongArity(name) => self.commands.by_full_name(name.as_bytes()),
            _ => None,
        };
        if !entry.is_some_and(|entry| entry.spec.flags.has(Flags::NO_AUTH)) && self.is_barred(client) {
            return self.refuse(client, entry, &CommandError::NoAuth, out);
        }
        self.refuse(client, entry, error, out);
    }

    /// Writes the error of a request that does not run.
    pub(super) fn refuse(
        &self,
        client: &mut Client,
        entry: Option<&Entry>,
        error: &CommandError,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let mut text = error.to_string();
        if entry.is_some_and(|entry| entry.spec.flags.has(Flags::RUNS_QUEUE)) {
            let leads_on = matches!(error, CommandError::Redirect(..) | CommandError::Moved { .. });
            if !leads_on && error.code() != "CROSSSLOT" {
                let reason = text.strip_prefix("ERR ").unwrap_or(&text);
                text = format!("EXECABORT Transaction discarded because of: {reason}");
            }
            if client.transaction.take().is_some() {
                client.shared.queued.store(-1, Ordering::Relaxed);
                self.unwatch(client);
            }
        } else if let Some(transaction) = &mut client.transaction {
            transaction.aborted = true;
        }
        Reply::new(out, client.version).error(&text);
        self.stats.error(crate::worker::current(), text.split(' ').next().unwrap_or_default());
        if let Some(entry) = entry {
            self.stats.command_rejected(crate::worker::current(), entry.counted_as);
        }
        self.finish_reply(client, start, out);
    }

    /// CLIENT REPLY, which may take back what was written from `start` on, and pushes that the command caused
    /// for its own client: they follow its reply.
    #[inline]
    pub(super) fn finish_reply(&self, client: &mut Client, start: usize, out: &mut Vec<u8>) {
        if client.reply_mode != ReplyMode::On {
            match client.reply_mode {
                ReplyMode::Off => out.truncate(start),
                ReplyMode::SkipNext => {
                    out.truncate(start);
                    client.reply_mode = ReplyMode::Skip;
                }
                ReplyMode::Skip => {
                    out.truncate(start);
                    client.reply_mode = ReplyMode::On;
                }
                ReplyMode::On => {}
            }
        }
        if client.shared.has_messages() {
            client.shared.take_messages(out);
        }
    }

    /// Logs that a client speaks HTTP, which is then disconnected.
    #[cold]
    pub(super) fn log_other_protocol(&self, client: &Client, now_ms: u64) {
        if let Some(further) = self.logs.log_limits.other_protocol.take(now_ms) {
            tracing::warn!(
                client = client.shared.id,
                address = client.shared.address,
                further,
                "Possible SECURITY ATTACK: a client sent POST or Host:, as a web page makes a browser do; it was disconnected"
            );
        }
    }
}

/// The first error among replies that are mostly short: each reply is a line, or begins with one that says
/// how much follows.
pub fn first_error(replies: &[u8]) -> Option<&[u8]> {
    errors(replies).next()
}

/// The errors among such replies.
pub fn errors(mut replies: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let end = memchr::memchr(b'\n', replies)?;
            let (line, rest) = replies.split_at(end + 1);
            let kind = *line.first()?;
            if kind == b'-' {
                replies = rest;
                return Some(line[1..].trim_ascii_end());
            }
            let len =
                std::str::from_utf8(&line[1..]).ok().and_then(|len| len.trim_end().parse::<usize>().ok());
            let skip = if kind == b'$' { len.map_or(0, |len| len + 2) } else { 0 };
            replies = rest.get(skip..)?;
        }
    })
}
