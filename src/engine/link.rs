//! [`Link`]: what a replica's connection sends: a copy of all data, then the stream of changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Server;
use crate::config::Directive;
use crate::journal::Reader;
use crate::replication::{Copy, CopyEnd, CopyRead, Replica, Stage};
use crate::shared::client::OutputLimit;

/// Milliseconds between two signs of life for a replica that waits for its copy.
const SIGN_MS: u64 = 1000;

/// The link to a replica, as its connection holds it. [`Server::end_link`] ends it.
#[derive(Debug)]
pub struct Link {
    /// The replica at its other end.
    pub replica: Arc<Replica>,
    source: Source,
    /// Reads the stream for it.
    reader: Option<Reader>,
    /// Whether anything of its copy was sent.
    has_copied: bool,
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
    /// Wait to be called.
    Wait,
    /// Close, with what is to be logged.
    End(&'static str),
}

impl Link {
    /// A replica that goes on in the stream, and the line that tells it so.
    pub(super) fn going_on(replica: Arc<Replica>, reader: Reader, line: Vec<u8>) -> Self {
        Self { replica, source: Source::Answer(line), reader: Some(reader), has_copied: false, sign_ms: 0 }
    }

    /// A replica that waits for a copy.
    pub(super) fn waiting(replica: Arc<Replica>) -> Self {
        let sign_ms = replica.asked_ms;
        Self { replica, source: Source::Nothing, reader: None, has_copied: false, sign_ms }
    }

    /// What is to be sent next.
    pub fn next(&mut self, server: &Server) -> Step {
        match &mut self.source {
            Source::Nothing => match self.replica.take_start() {
                None => Step::Wait,
                Some(start) => {
                    self.reader = start.reader;
                    self.source = Source::Copy(start.copy);
                    if start.line.is_empty() { self.next(server) } else { Step::Send(start.line.into()) }
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
                    self.replica.heard(server.clock.now_ms());
                    Step::Send(bytes)
                }
                CopyRead::NotYet => {
                    // It is not the one that is waited for.
                    self.replica.heard(server.clock.now_ms());
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
                    if !is_marked {
                        self.set_online(server);
                    }
                    self.next(server)
                }
            },
            Source::Unconfirmed if self.replica.has_acknowledged() => {
                self.set_online(server);
                self.source = Source::Stream;
                self.next(server)
            }
            Source::Unconfirmed => Step::Wait,
            Source::Stream => {
                let stretch = self.reader.as_ref().and_then(|reader| server.journal().read(reader));
                stretch.map_or(Step::Wait, |stretch| Step::Send(stretch.bytes))
            }
        }
    }

    fn set_online(&self, server: &Server) {
        self.replica.set_online(server.clock.now_ms());
        tracing::info!("Synchronization with replica {} succeeded", self.replica.name());
        server.replica_acknowledged();
    }

    /// Looks after the link from time to time. Returns a sign of life that is to be sent.
    ///
    /// # Errors
    /// The link has to end, with what is to be logged.
    pub fn look(&mut self, server: &Server) -> Result<Option<&'static [u8]>, &'static str> {
        let now_ms = server.clock.now_ms();
        let timeout_s = server.config.int(Directive::ReplTimeout).max(1) as u64;
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
                if now_ms.saturating_sub(self.replica.heard_ms()) > timeout_s * 1000 {
                    return Err("it takes nothing of its copy: timed out (full sync)");
                }
            }
            Stage::Online => {
                if !self.replica.announced.is_old && self.replica.lag_s(now_ms) > timeout_s {
                    return Err("it acknowledges nothing: timed out (streaming sync)");
                }
            }
        }
        if self.is_over_limit(server, now_ms) {
            return Err("more waits for it than client-output-buffer-limit allows");
        }
        Ok(None)
    }

    /// Bytes of the stream that wait for it.
    pub fn unread(&self, server: &Server) -> u64 {
        self.reader.as_ref().map_or(0, |reader| server.journal().unread(reader))
    }

    /// Whether more waits for it than `client-output-buffer-limit` allows. What the backlog holds anyway
    /// costs nothing, so a smaller limit has no effect.
    fn is_over_limit(&self, server: &Server, now_ms: u64) -> bool {
        let waiting = self.unread(server);
        let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = server.settings.replica_limit();
        let hard_bytes = (hard_bytes as u64).max(server.config.unsigned(Directive::ReplBacklogSize));
        let since = &self.replica.over_soft_since_ms;
        if soft_bytes == 0 || waiting <= soft_bytes as u64 {
            since.store(0, Ordering::Relaxed);
        } else if since.load(Ordering::Relaxed) == 0 {
            since.store(now_ms, Ordering::Relaxed);
        }
        let since_ms = since.load(Ordering::Relaxed);
        let has_hard = server.settings.replica_limit().hard_bytes > 0;
        has_hard && waiting > hard_bytes
            || since_ms > 0 && now_ms.saturating_sub(since_ms) > soft_seconds * 1000
    }

    /// Gives back what it holds of the stream and of a copy.
    pub(super) fn end(&mut self, server: &Server) {
        let start = self.replica.leave();
        if let Source::Copy(copy) = &self.source {
            copy.leave(&self.replica);
        }
        if let Some(start) = &start {
            start.copy.leave(&self.replica);
        }
        let untaken = start.and_then(|start| start.reader);
        for reader in self.reader.take().into_iter().chain(untaken) {
            // While the end of the stream is kept, the journal stays heard without readers.
            server.journal().leave(&reader);
        }
    }
}
