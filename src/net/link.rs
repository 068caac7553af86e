//! A connection that is the link of a replica: it sends a copy and the stream, and reads acknowledgements.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::Session;
use super::connection::{Connection, End, Progress, Woken};
use crate::engine::client_text::describe;
use crate::replication::Step;
use crate::shared::stats::Counter;
use crate::worker;

/// Time between two looks after a link at which nothing happens.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes written before others are served.
const TURN: usize = 1 << 20;

impl Connection {
    /// Serves the replica until one side ends it.
    pub(super) async fn serve_link(&mut self) -> Result<(), End> {
        let mut unsent = Bytes::new();
        loop {
            let turn = poll_fn(|cx| self.poll_link(&mut unsent, cx));
            match tokio::time::timeout(LOOK, turn).await {
                Ok(Ok(())) => tokio::task::yield_now().await,
                Ok(Err(end)) => return Err(end),
                Err(_) => {}
            }
            if let Some(sign) = self.look_after_link()?
                && unsent.is_empty()
                && self.out.is_empty()
            {
                unsent = Bytes::from_static(sign);
            }
        }
    }

    /// Ends a link over its limits.
    fn look_after_link(&mut self) -> Result<Option<&'static [u8]>, End> {
        let Session { server, client } = &mut self.session;
        let Some(link) = &mut client.link else { return Err(End::Closed) };
        client.shared.reply_buffer[0].store(server.unread_by_link(link) as usize, Ordering::Relaxed);
        server.look_after_link(link).map_err(|reason| {
            tracing::warn!("closing the link of replica {}: {reason}", link.replica.name());
            client.shared.cut();
            End::Closed
        })
    }

    /// Reads what the replica says and writes what there is for it. Ready when others are to be served first.
    fn poll_link(&mut self, unsent: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.hear(cx);
        let shared = &self.session.client.shared;
        if shared.is_closing() {
            return Poll::Ready(Err(End::Closed));
        }
        shared.take_look();
        // Nobody else may write into the stream.
        shared.take_messages(&mut Vec::new());
        if let Poll::Ready(read) = self.poll_replica(cx) {
            return Poll::Ready(read);
        }
        // Replies to what it asked before.
        if !self.out.is_empty() {
            self.poll_write_out(cx).map_err(End::Failed)?;
            if !self.out.is_empty() {
                return Poll::Pending;
            }
        }
        let mut written = 0;
        while written < TURN {
            if unsent.is_empty() {
                let Session { server, client } = &mut self.session;
                let Some(link) = &mut client.link else { return Poll::Ready(Err(End::Closed)) };
                match server.next_of_link(link) {
                    Step::Send(bytes) => *unsent = bytes,
                    Step::Wait | Step::Online => return self.poll_flushed(cx),
                    Step::End(reason) => {
                        tracing::info!("closing the link of replica {}: {reason}", link.replica.name());
                        return Poll::Ready(Err(End::Closed));
                    }
                }
            }
            match Pin::new(&mut self.stream).poll_write(cx, unsent).map_err(End::Failed)? {
                Poll::Ready(0) => return Poll::Ready(Err(End::Closed)),
                Poll::Ready(count) => {
                    unsent.advance(count);
                    written += count;
                    let Session { server, client } = &self.session;
                    server.stats.add(worker::current(), Counter::WritesProcessed, 1);
                    server.stats.add(worker::current(), Counter::NetReplOutputBytes, count as u64);
                    super::connection::add(&client.shared.output_bytes, count as u64);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Logs that a link ends for this reply, in the words that Valkey has for it.
    fn log_reply(&self, reply: &[u8]) {
        let Session { server, client } = &self.session;
        let last = client.shared.last_command.load(Ordering::Relaxed) as usize;
        let name = server.commands.entries().get(last).map_or("NULL", |entry| entry.full_name.as_str());
        if let Some(error) = reply.strip_prefix(b"-") {
            let line = error.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            tracing::warn!(
                "== CRITICAL == This primary is sending an error to its replica: '{line}' after processing the \
                 command '{name}'"
            );
        }
        let shown = describe(server, &client.shared, server.clock.now_ms());
        tracing::warn!("Replica generated a reply to command '{name}', disconnecting it: {shown}");
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::Failed(error))),
            // TLS may write more when the socket takes it; the link is woken then.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Reads and runs what the replica sends. A reply would stand in the stream: it ends the link, as replicas
    /// send nothing that has one.
    fn poll_replica(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            if self.undecoded {
                let kept = self.out.len();
                let run = self.run_batches();
                if self.out.len() > kept {
                    self.log_reply(&self.out[kept..]);
                    self.out.truncate(kept);
                    return Poll::Ready(Err(End::Closed));
                }
                match run? {
                    Progress::All(_) => self.undecoded = false,
                    Progress::More => return Poll::Ready(Ok(())),
                    Progress::Stop(_) => return Poll::Ready(Err(End::Closed)),
                }
                self.check_limits()?;
            }
            match self.poll_read_in(cx).map_err(End::Failed)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Woken::Read) => {
                    let Session { server, client } = &self.session;
                    if let Some(link) = &client.link {
                        link.replica.heard(server.clock.now_ms());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Err(End::Closed)),
            }
        }
    }
}
