//! How much XREAD and XREADGROUP may return: entries and bytes, in one stream and in all together.

use crate::command::args;
use crate::error::CommandError;
use crate::primitives::number::parse_i64;
use crate::resp::encode::Reply;

/// The options that limit a reply, as they were given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// COUNT: entries of each stream; `None` without a limit.
    pub(super) count: Option<usize>,
    /// MAXCOUNT: entries of all streams together.
    max_count: Option<usize>,
    /// MAXSIZE: bytes of the whole reply.
    max_size: Option<usize>,
}

impl Limits {
    /// Reads MAXCOUNT or MAXSIZE with its value. Returns whether the word is one of them.
    ///
    /// # Errors
    /// The value is no positive number.
    pub(super) fn parse(&mut self, word: &[u8], value: &[u8]) -> Result<bool, CommandError> {
        let (limit, wrong) = if args::is(word, "MAXCOUNT") {
            (&mut self.max_count, "ERR MAXCOUNT must be a positive integer")
        } else if args::is(word, "MAXSIZE") {
            (&mut self.max_size, "ERR MAXSIZE must be a positive integer")
        } else {
            return Ok(false);
        };
        let given = parse_i64(value).and_then(|value| usize::try_from(value).ok());
        *limit = Some(given.filter(|value| *value > 0).ok_or(CommandError::text(wrong))?);
        Ok(true)
    }

    /// Checks the limits against each other.
    ///
    /// # Errors
    /// The one for all streams is lower than that for each.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        match (self.count, self.max_count) {
            (Some(count), Some(max_count)) if max_count < count => {
                Err(CommandError::text("ERR MAXCOUNT must be greater than or equal to COUNT"))
            }
            _ => Ok(()),
        }
    }

    /// The most entries that a reply can have from one stream.
    pub(super) fn most(&self) -> usize {
        self.count.unwrap_or(usize::MAX).min(self.max_count.unwrap_or(usize::MAX))
    }

    /// What a reply that begins here may have.
    pub(super) fn budget(&self, reply: &Reply<'_>) -> Budget {
        Budget { limits: *self, start: reply.position(), entries: 0, of_stream: 0, is_used_up: false }
    }
}

/// What is left of the limits while a reply is written.
pub(super) struct Budget {
    limits: Limits,
    start: usize,
    entries: usize,
    of_stream: usize,
    is_used_up: bool,
}

impl Budget {
    /// Begins with another stream.
    pub(super) fn begin_stream(&mut self) {
        self.of_stream = 0;
    }

    /// Whether there is nothing left for any stream.
    pub(super) fn is_used_up(&self) -> bool {
        self.is_used_up || self.limits.max_count.is_some_and(|max| self.entries >= max)
    }

    /// Has an entry written unless that is more than there may be; the first one always may. What was written
    /// too much is taken back. Returns whether the entry is in the reply.
    pub(super) fn add(&mut self, reply: &mut Reply<'_>, write: impl FnOnce(&mut Reply<'_>)) -> bool {
        if self.is_used_up() || self.limits.count.is_some_and(|count| self.of_stream >= count) {
            return false;
        }
        let position = reply.position();
        write(reply);
        let is_too_much = self.limits.max_size.is_some_and(|max| reply.position() - self.start > max);
        if is_too_much && self.entries > 0 {
            reply.truncate(position);
            self.is_used_up = true;
            return false;
        }
        self.entries += 1;
        self.of_stream += 1;
        true
    }
}
