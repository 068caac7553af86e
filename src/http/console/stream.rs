//! A stream of messages: what a client with subscriptions, or one that said MONITOR, is sent, a line of JSON each,
//! for as long as the page reads it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::Interval;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Slot;
use super::reply::{self, Finder};
use crate::engine::Server;
use crate::http::places::Place;

/// Bytes of a message.
const MESSAGE_MAX_BYTES: usize = 1 << 20;

/// Bytes read at once.
const CHUNK_BYTES: usize = 32 << 10;

/// How often an empty line is sent: where the browser has gone, that is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What the answer sends. It is asked for more only when the browser has read; one that does not is cut after
/// the time in which an answer has to be read, and before that, where much comes, by its limit as a client
/// (`client-output-buffer-limit`).
pub(super) struct Lines {
    stream: UnixStream,
    finder: Finder,
    buffer: Vec<u8>,
    place: Arc<Place>,
    server: Weak<Server>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    sign: Interval,
    has_ended: bool,
    _slot: Slot,
}

impl Lines {
    /// Messages that come through `stream`, until it or the session ends.
    pub fn new(
        stream: UnixStream,
        place: Arc<Place>,
        server: Weak<Server>,
        ended: CancellationToken,
        slot: Slot,
    ) -> Self {
        let mut sign = tokio::time::interval(SIGN_OF_LIFE);
        sign.reset();
        Self {
            stream,
            finder: Finder::default(),
            buffer: Vec::new(),
            place,
            server,
            ended: Box::pin(ended.cancelled_owned()),
            sign,
            has_ended: false,
            _slot: slot,
        }
    }

    /// The messages that are whole.
    fn lines(&mut self) -> String {
        let (mut json, mut taken) = (String::new(), 0);
        loop {
            match self.finder.find(&self.buffer[taken..]) {
                Ok(Some(size)) => {
                    reply::write(&self.buffer[taken..taken + size], &mut json);
                    json.push('\n');
                    taken += size;
                }
                Ok(None) => break,
                Err(_) => {
                    self.end("a message could not be read", &mut json);
                    break;
                }
            }
        }
        self.buffer.drain(..taken);
        if self.buffer.len() > MESSAGE_MAX_BYTES {
            self.end("a message is larger than 1 MB", &mut json);
        }
        json
    }

    fn end(&mut self, reason: &str, json: &mut String) {
        self.has_ended = true;
        json.push_str("{\"end\":");
        reply::quote(reason, json);
        json.push_str("}\n");
    }

    /// Sends a text, which the browser now has to read.
    fn send(&self, text: String) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(server) = self.server.upgrade() {
            self.place.answers(server.clock.now_ms());
        }
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        if this.ended.as_mut().poll(cx).is_ready() {
            let mut json = String::new();
            this.end("the session has ended", &mut json);
            return this.send(json);
        }
        loop {
            let mut chunk = [0; CHUNK_BYTES];
            let mut read = ReadBuf::new(&mut chunk);
            match Pin::new(&mut this.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    this.buffer.extend_from_slice(read.filled());
                    let json = this.lines();
                    if !json.is_empty() {
                        return this.send(json);
                    }
                }
                Poll::Ready(_) => {
                    let mut json = String::new();
                    this.end("the server closed the connection", &mut json);
                    return this.send(json);
                }
                Poll::Pending if this.sign.poll_tick(cx).is_ready() => return this.send("\n".to_owned()),
                Poll::Pending => {
                    this.place.has_sent_all();
                    return Poll::Pending;
                }
            }
        }
    }
}
