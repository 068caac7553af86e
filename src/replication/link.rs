//! [`Link`]: what a replica's connection sends: a copy of all data, then the stream of changes.

use std::sync::Arc;

use bytes::Bytes;

use super::{Copy, CopyEnd, CopyRead, History, Limits, Replica, Stage};
use crate::journal::{Hold, Journal, Reader, Waiting};

/// Milliseconds between two signs of life for a replica that waits for its copy.
const SIGN_MS: u64 = 1000;

/// The link to a replica, as its connection holds it. [`Link::end`] ends it.
#[derive(Debug)]
pub struct Link {
    /// The replica at its other end.
    pub replica: Arc<Replica>,
    source: Source,
    /// Reads the stream for it.
    reader: Option<Reader>,
    /// Whether anything of its copy was sent.
    has_copied: bool,
    /// Whether the replica was too far behind.
    was_over: bool,
    sign_ms: u64,
}

#[derive(Debug)]
enum Source {
    /// No copy has begun.
    Nothing,
    /// The line that answers the replica, then the stream.
    Answer(Vec<u8>),
    /// What it begins with.
    Copy(Arc<Copy>),
    /// The copy was sent, and the replica has not acknowledged it.
    Unconfirmed,
    /// Changes, as they come.
    Stream,
}

/// What a connection does next for its link.
#[derive(Debug)]
pub enum Step {
    /// Send this.
    Send(Bytes),
    /// Tell whoever waits for replicas that one more follows, and ask again.
    Online,
    /// Wait to be called.
    Wait,
    /// Close, with what is to be logged.
    End(&'static str),
}

/// What a link is given before it is cut.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Silence, in milliseconds.
    pub timeout_ms: u64,
    /// Bytes that wait.
    pub limits: Limits,
}

impl Link {
    /// A replica that goes on in the stream, and the line that tells it so.
    pub fn going_on(replica: Arc<Replica>, reader: Reader, line: Vec<u8>) -> Self {
        let source = Source::Answer(line);
        Self { source, reader: Some(reader), ..Self::waiting(replica) }
    }

    /// A replica that waits for a copy.
    pub fn waiting(replica: Arc<Replica>) -> Self {
        let sign_ms = replica.asked_ms;
        Self { replica, source: Source::Nothing, reader: None, has_copied: false, was_over: false, sign_ms }
    }

    /// What is to be sent next.
    pub fn next(&mut self, journal: &Journal, now_ms: u64) -> Step {
        match &mut self.source {
            Source::Nothing => match self.replica.take_start() {
                None => Step::Wait,
                Some(start) => {
                    self.reader = start.reader;
                    self.source = Source::Copy(start.copy);
                    if start.line.is_empty() {
                        self.next(journal, now_ms)
                    } else {
                        Step::Send(start.line.into())
                    }
                }
            },
            Source::Answer(line) => {
                let line = std::mem::take(line);
                self.source = Source::Stream;
                Step::Send(line.into())
            }
            Source::Copy(copy) => match copy.read(&self.replica) {
                CopyRead::Bytes(bytes) => {
                    self.has_copied = true;
                    self.replica.is_sent(!copy.is_marked);
                    self.replica.takes(now_ms);
                    Step::Send(bytes)
                }
                CopyRead::NotYet => {
                    // It is not the one that is waited for.
                    self.replica.takes(now_ms);
                    Step::Wait
                }
                CopyRead::End(CopyEnd::Failed) => Step::End("the copy could not be made"),
                CopyRead::End(CopyEnd::Whole) if self.reader.is_none() => {
                    Step::End("it has the copy, and wanted nothing else")
                }
                CopyRead::End(CopyEnd::Whole) => {
                    let is_marked = copy.is_marked;
                    copy.leave(&self.replica);
                    self.source = if is_marked { Source::Unconfirmed } else { Source::Stream };
                    if is_marked {
                        self.replica.has_been_sent(now_ms);
                        self.next(journal, now_ms)
                    } else {
                        self.set_online(now_ms)
                    }
                }
            },
            Source::Unconfirmed if self.replica.has_acknowledged() => {
                self.source = Source::Stream;
                self.set_online(now_ms)
            }
            Source::Unconfirmed => Step::Wait,
            Source::Stream => {
                let Some(reader) = &self.reader else { return Step::Wait };
                match journal.read(reader) {
                    Some(stretch) => Step::Send(stretch.bytes),
                    None if journal.is_lost(reader) => {
                        Step::End("what waits for it in the spill file cannot be read")
                    }
                    None => Step::Wait,
                }
            }
        }
    }

    fn set_online(&self, now_ms: u64) -> Step {
        self.replica.set_online(now_ms);
        Step::Online
    }

    /// Takes what the replica acknowledges. One of what was never sent would have WAIT promise what is not so.
    ///
    /// # Errors
    /// The link has to end: the stream ends before, at the offset that is returned.
    pub fn acknowledge(
        &self,
        journal: &Journal,
        history: &History,
        (offset, on_disk): (u64, Option<u64>),
        now_ms: u64,
    ) -> Result<(), u64> {
        let end = history.offset(journal.end());
        if offset.max(on_disk.unwrap_or(0)) > end {
            return Err(end);
        }
        self.replica.acknowledge(offset, on_disk, now_ms);
        let position = history.position(offset);
        // An offset before the stream's beginning has no position.
        if let Some(reader) = self.reader.as_ref().filter(|_| position <= journal.end()) {
            journal.acknowledged(reader, position);
        }
        self.replica.wake();
        Ok(())
    }

    /// Looks after the link from time to time. Returns a sign of life that is to be sent.
    ///
    /// # Errors
    /// The link has to end, with what is to be logged.
    pub fn look(
        &mut self,
        journal: &Journal,
        patience: Patience,
        now_ms: u64,
    ) -> Result<Option<&'static [u8]>, &'static str> {
        let Patience { timeout_ms, limits } = patience;
        let waits = match &self.source {
            Source::Nothing => true,
            Source::Copy(copy) => !copy.is_marked && !self.has_copied,
            _ => false,
        };
        if waits && now_ms.saturating_sub(self.sign_ms) >= SIGN_MS {
            self.sign_ms = now_ms;
            return Ok(Some(b"\n"));
        }
        match self.replica.stage() {
            Stage::Waits => {}
            Stage::Copies => {
                if now_ms.saturating_sub(self.replica.heard_ms()) > timeout_ms {
                    return Err("it takes nothing of its copy: timed out (full sync)");
                }
            }
            Stage::Online => {
                if !self.replica.announced.is_old && self.replica.lag_s(now_ms) > timeout_ms / 1000 {
                    return Err("it acknowledges nothing: timed out (streaming sync)");
                }
            }
        }
        if limits.are_over(&self.replica, self.waiting_for_it(journal), now_ms) {
            self.was_over = true;
            return Err("more waits for it than client-output-buffer-limit allows");
        }
        Ok(None)
    }

    /// What waits for it of the stream.
    pub fn waiting_for_it(&self, journal: &Journal) -> Waiting {
        self.reader.as_ref().map_or_else(Waiting::default, |reader| journal.waiting(reader))
    }

    /// Gives back what it holds of the stream and of a copy. What a replica that followed has not acknowledged
    /// is kept for it, where there is a spill file: it will be back.
    pub fn end(&mut self, journal: &Journal) -> Option<Hold> {
        let start = self.replica.leave();
        if let Source::Copy(copy) = &self.source {
            copy.leave(&self.replica);
        }
        if let Some(start) = &start {
            start.copy.leave(&self.replica);
        }
        let is_expected = !self.was_over
            && self.replica.stage() == Stage::Online
            && self.replica.has_acknowledged()
            && self.replica.announced.port != 0;
        let untaken = start.and_then(|start| start.reader);
        let mut hold = None;
        for reader in self.reader.take().into_iter().chain(untaken) {
            // While the end of the stream is kept, the journal stays heard without readers.
            if is_expected && !journal.is_lost(&reader) {
                hold = journal.leave_and_hold(&reader);
            } else {
                journal.leave(&reader);
            }
        }
        hold
    }
}
