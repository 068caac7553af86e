//! One connection: bytes in, batches of requests through the server, bytes out.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::Session;
use super::buffer_pool::{self, Input, READ_CHUNK};
use super::stream::NetStream;
use super::turn;
use crate::config::Directive;
use crate::engine::batch::Stop;
use crate::engine::client::ReplyMode;
use crate::engine::context::After;
use crate::engine::serve_waiting::EndOfWait;
use crate::resp::decode::{Decoder, Limits};
use crate::resp::encode::Reply;
use crate::shared::stats::Counter;
use crate::shared::waiter::{NEVER, Waiter};
use crate::worker;

/// Replies are written once they have reached this, even if more requests are waiting.
const WRITE_CHUNK: usize = 64 * 1024;

/// Bytes of replies, not read by the client yet, from which on no more of its requests are run. Clients that
/// send a long pipeline before they read its first reply need it to be large.
const OUTPUT_MAX: usize = 256 * 1024 * 1024;

/// Batches run before replies are written and other clients are served.
const BATCHES_MAX: usize = 4;

/// Bytes of a write buffer that are taken out of it once written, while more of it waits for the client to
/// read.
const WRITTEN_MAX: usize = 256 * 1024;

/// Bytes of further requests that are read while a request of the client is held up.
const HELD_INPUT_MAX: usize = 32 * 1024 * 1024;

/// With less than so many bytes of further requests a client that waits for the disk is not looked after by a
/// timer.
const HELD_INPUT_FEW: usize = READ_CHUNK;

/// Room made at once for an argument whose length a client has announced. The rest of a longer one follows as
/// it comes.
const ANNOUNCED_MAX: usize = 1024 * 1024;

/// Time between two checks whether a client whose bytes are not read has left.
const LEFT_CHECK: Duration = Duration::from_secs(1);

/// How long a connection that is to close waits for the disk with its last replies.
const KEPT_MAX: Duration = Duration::from_secs(5);

/// A waiting client's task looks at its times at least so often, in milliseconds.
const FAR_MS: u64 = 3_600_000;

/// How long a waiting client's request that is due, but held up, rests before it is tried again, in milliseconds.
const HELD_RETRY_MS: u64 = 100;

/// How long a client waits on for room that has closed its side.
const ROOM_LEFT: Duration = Duration::from_millis(250);

/// Longest time for which a client waits for room without a look whether there is some: it is woken before.
const ROOM_RETRY: Duration = Duration::from_secs(1);

/// Why a connection ends.
pub(super) enum End {
    /// The client left or broke the protocol, or the server closes it. Replies were written as far as
    /// possible.
    Closed,
    /// It asked for the end of the server.
    Shutdown,
    /// Something went wrong on the way.
    Failed(io::Error),
}

/// What ended a wait.
pub(super) enum Woken {
    /// Bytes came.
    Read,
    /// The client closed its side.
    Eof,
    /// Another task called: to close, to look, or with messages.
    Called,
}

/// Why reading and running requests was left off.
enum Event {
    /// Another task called, or the client closed its side.
    Woken(Woken),
    /// More requests wait; other clients are to be served before them.
    More,
    /// A request asked for something of the connection, or has to wait.
    Stop(Stop),
    /// The connection's own read buffer is empty; it is kept for a bounded time.
    Idle,
    /// The last replies have to wait until what they tell of is on disk.
    Kept,
}

/// Result of `run_batches`.
pub(super) enum Progress {
    /// All whole requests were run: their number.
    All(usize),
    /// More whole requests wait.
    More,
    /// The last request needs the connection (close, sleep, wait) before the next one runs.
    Stop(Stop),
}

/// A connection and its buffers.
pub struct Connection {
    pub(super) session: Session,
    pub(super) stream: NetStream,
    /// Waker of the task, registered with the client for calls from other tasks.
    waker: Option<Waker>,
    decoder: Decoder,
    input: Input,
    /// Whether the input may hold whole requests.
    pub(super) undecoded: bool,
    /// Whether a request had come in part only when there was nothing more to read.
    in_parts: bool,
    /// Whether the connection keeps a read buffer of its own for a while, also when that is empty.
    keeps_input: bool,
    /// Whether nothing of an announced argument has come for a while; no room is kept for it then.
    is_stalled: bool,
    pub(super) out: Vec<u8>,
    /// The last replies were longer than the connection's own buffer, so the next ones begin in the thread's
    /// large one.
    gives_back_out: bool,
    /// The pause's [turn](crate::shared::pause::Pause::turn) before the last batch was judged.
    pause_turn: u64,
    written: usize,
}

impl Connection {
    /// Makes a connection, without buffers yet.
    pub fn new(session: Session, stream: NetStream) -> Self {
        Self {
            session,
            stream,
            waker: None,
            decoder: Decoder::new(),
            input: Input::default(),
            undecoded: false,
            in_parts: false,
            keeps_input: false,
            is_stalled: false,
            out: Vec::new(),
            gives_back_out: false,
            pause_turn: 0,
            written: 0,
        }
    }

    /// Serves the client until one side ends it.
    pub async fn serve(mut self) {
        let end = self.run().await;
        self.session.server.replies_written(&mut self.session.client);
        match end {
            // A client that was cut for not reading is not waited for.
            End::Closed if self.session.client.shared.is_cut() => {}
            End::Closed => {
                self.flush_before_close().await;
                self.stream.say_goodbye().await;
            }
            End::Shutdown => self.session.server.ending.take_connection(self.stream),
            End::Failed(error) => {
                tracing::debug!(client = self.session.client.shared.id, %error, "connection lost");
                self.run_what_came().await;
            }
        }
    }

    /// Runs the whole requests that were read from a client that takes no replies any more: it may have sent them and
    /// left.
    async fn run_what_came(&mut self) {
        while self.undecoded && !self.session.client.shared.is_closing() {
            let progress = self.run_batches();
            self.out.clear();
            self.written = 0;
            if !matches!(progress, Ok(Progress::More)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn run(&mut self) -> End {
        loop {
            let event = match poll_fn(|cx| self.poll_requests(cx)).await {
                Ok(event) => event,
                Err(end) => return end,
            };
            let done = match event {
                Event::Woken(woken) => self.follow_call(woken),
                Event::More => self.let_others_run().await,
                Event::Stop(stop) => {
                    let is_broken_off = !matches!(stop, Stop::Busy | Stop::NoRoom);
                    let done = self.wait_for_stop(stop).await;
                    // What stands behind a request that waited in vain does not run without it.
                    self.undecoded &= done.is_ok() || !is_broken_off;
                    done
                }
                Event::Idle => self.wait_for_request().await,
                Event::Kept => self.wait_for_disk().await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Reads requests, runs them and writes replies, until there is nothing to read or something else comes
    /// up. A plain function, not futures within futures: what a single request costs is mostly the way there
    /// and back.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, End>> {
        loop {
            let mut executed = 0;
            if self.undecoded {
                turn::served();
                match self.run_batches()? {
                    Progress::All(count) => executed = count,
                    Progress::More => return Poll::Ready(Ok(Event::More)),
                    Progress::Stop(stop) => return Poll::Ready(Ok(Event::Stop(stop))),
                }
                self.undecoded = false;
                self.check_limits()?;
                self.show_buffers();
                if self.keeps_replies() {
                    return Poll::Ready(Ok(Event::Kept));
                }
            }
            if executed > 1 && turn::is_crowded() {
                // Behind the others; its replies are written then.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.keeps_input && self.input.is_empty() {
                return Poll::Ready(Ok(Event::Idle));
            }
            match self.poll_input(cx) {
                Poll::Ready(Ok(Woken::Read)) => {}
                Poll::Ready(Ok(woken)) => return Poll::Ready(Ok(Event::Woken(woken))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Failed(error))),
                Poll::Pending if self.input.has_unused_room() => return Poll::Ready(Ok(Event::Idle)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Runs whole requests, a bounded number.
    pub(super) fn run_batches(&mut self) -> Result<Progress, End> {
        let mut executed = 0;
        // One that was started a moment ago may come here before it has ever rested.
        self.session.server.health.workers.take();
        for _ in 0..BATCHES_MAX {
            let limits = Limits {
                bulk_max: self.session.server.settings.bulk_max(),
                authenticated: !self.session.client.rights.is_barred(),
            };
            let count = match self.decoder.decode(&self.input, limits) {
                Ok(count) => count,
                Err(error) => {
                    let client = self.session.client.shared.id;
                    // The text may quote what the client sent.
                    if self.session.server.config.flag(Directive::HideUserDataFromLog) {
                        tracing::debug!(client, "protocol error");
                    } else {
                        tracing::debug!(client, %error, "protocol error");
                    }
                    Reply::new(&mut self.out, self.session.client.version).error(&format!("ERR {error}"));
                    return Err(End::Closed);
                }
            };
            if count == 0 {
                let dropped = self.decoder.consume(0);
                self.drop_input(dropped);
                return Ok(Progress::All(executed));
            }
            // Not before there is something to run: a connection that has no replies to write would keep it.
            if self.out.capacity() == 0 || self.gives_back_out {
                self.lend_out();
            }
            self.pause_turn = self.session.server.pause.turn();
            let Self { session, decoder, input, out, .. } = self;
            let Session { server, client } = session;
            let run = || {
                buffer_pool::with_scratch(|scratch| {
                    server.run_batch(client, scratch, decoder, input, count, out)
                })
            };
            let Ok(end) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) else {
                // A bug, which was logged. The requests before it were answered; the client is not to lose
                // that.
                self.out.truncate(self.session.client.replied);
                // How far these changed anything is not known any more.
                let end = self.session.server.journal().end();
                (self.session.client.changed_to, self.session.client.seen_to) = (end, end);
                return Err(End::Closed);
            };
            executed += end.executed;
            let dropped = self.decoder.consume(end.executed);
            self.drop_input(dropped);
            if let Some(stop) = end.stop {
                return Ok(Progress::Stop(stop));
            }
            if self.session.client.shared.is_closing() {
                return Err(End::Closed);
            }
            if self.out.len() - self.written >= WRITE_CHUNK {
                return Ok(Progress::More);
            }
            if self.input.is_empty() {
                return Ok(Progress::All(executed));
            }
        }
        Ok(Progress::More)
    }

    /// Takes a write buffer: the first of the connection, or the thread's large one where the last replies
    /// needed it.
    #[cold]
    fn lend_out(&mut self) {
        if self.out.is_empty() {
            buffer_pool::lend_out(&mut self.out, self.gives_back_out);
        }
        self.gives_back_out = false;
    }

    /// Does what another task called for.
    fn follow_call(&mut self, woken: Woken) -> Result<(), End> {
        match woken {
            Woken::Read => {}
            Woken::Eof => return Err(End::Closed),
            Woken::Called => {
                let shared = &self.session.client.shared;
                if shared.is_closing() {
                    return Err(End::Closed);
                }
                shared.take_look();
                shared.take_messages(&mut self.out);
            }
        }
        Ok(())
    }

    /// Writes what can be written without waiting, and lets others run; more requests wait.
    async fn let_others_run(&mut self) -> Result<(), End> {
        self.check_limits()?;
        self.show_buffers();
        if self.keeps_replies() {
            return self.wait_for_disk().await;
        }
        self.write_some().await.map_err(End::Failed)?;
        if self.has_room_for_replies() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        // The client reads nothing: its requests wait until it does.
        self.wait_to_write().await
    }

    /// Waits until the reason for which the batch ended is over.
    async fn wait_for_stop(&mut self, stop: Stop) -> Result<(), End> {
        match stop {
            Stop::After(after) => self.follow(after).await?,
            Stop::Paused => self.wait_for_pause().await?,
            Stop::Busy => {
                self.write_some().await.map_err(End::Failed)?;
                let Session { server, client } = &self.session;
                let held_up = server.held_up.enter(client.is_inside);
                tokio::time::sleep(held_up.pause()).await;
            }
            Stop::NoRoom => self.wait_for_room().await?,
        }
        if self.session.client.shared.is_closing() { Err(End::Closed) } else { Ok(()) }
    }

    /// Waits until the client is woken, as there may be room for its request. Bytes that come meanwhile wait in the
    /// input.
    async fn wait_for_room(&mut self) -> Result<(), End> {
        self.write_some().await.map_err(End::Failed)?;
        let shared = std::sync::Arc::clone(&self.session.client.shared);
        shared.blocked.store(true, Ordering::Relaxed);
        let end = self.woken_for_room().await;
        shared.blocked.store(false, Ordering::Relaxed);
        end
    }

    /// A client that has closed its side may still read its replies, and so waits on; but not for long, as mostly
    /// nobody does, and those who try again and again would take each other's room.
    async fn woken_for_room(&mut self) -> Result<(), End> {
        loop {
            match self.wait_held(ROOM_RETRY).await? {
                Some(Woken::Read) => {}
                Some(Woken::Eof) => {
                    let called = self.wait_to_be_called(ROOM_LEFT).await?;
                    return called.map_or(Err(End::Closed), |woken| self.follow_call(woken));
                }
                Some(woken) => return self.follow_call(woken),
                None => return Ok(()),
            }
        }
    }

    /// Does what a command asked the connection for.
    async fn follow(&mut self, after: After) -> Result<(), End> {
        match after {
            After::Close => {
                // Before its last reply: a client that has read it must no longer be in CLIENT LIST.
                self.session.client.shared.set_gone();
                Err(End::Closed)
            }
            After::CloseNow => {
                self.out.clear();
                self.written = 0;
                Err(End::Closed)
            }
            After::Shutdown => {
                self.session.server.request_shutdown();
                Err(End::Shutdown)
            }
            After::Sleep(ms) => self.sleep(Duration::from_millis(ms)).await,
            After::Wait => self.wait_to_be_served().await,
            After::Link => self.serve_link().await,
        }
    }

    /// Waits until the client's request is served, or its time is over, and appends the reply to the write
    /// buffer. Bytes that come meanwhile wait in the input.
    async fn wait_to_be_served(&mut self) -> Result<(), End> {
        let Some(waiter) = self.session.client.waiter.clone() else { return Ok(()) };
        let end = loop {
            if let Some((reply, position)) = waiter.take_reply() {
                let client = &mut self.session.client;
                client.changed_to = client.changed_to.max(position);
                client.seen_to = client.seen_to.max(position);
                client.delays.reply_came(self.session.server.clock.monotonic_ns());
                if self.session.client.reply_mode == ReplyMode::On {
                    self.out.extend_from_slice(&reply);
                }
                break Ok(());
            }
            let Some(wake) = self.look_at_times(&waiter) else { continue };
            match self.wait_held(wake).await {
                Ok(None | Some(Woken::Read)) => {}
                Ok(Some(Woken::Eof)) => break Err(End::Closed),
                Ok(Some(Woken::Called)) => {
                    let shared = &self.session.client.shared;
                    if shared.is_closing() {
                        break Err(End::Closed);
                    }
                    shared.take_look();
                    if waiter.is_being_served() {
                        // Messages that come meanwhile are about the reply that is to come.
                        tokio::task::yield_now().await;
                    } else {
                        shared.take_messages(&mut self.out);
                    }
                }
                Err(end) => break Err(end),
            }
        };
        if end.is_err() {
            self.session.server.effects.waiting.abandon(&waiter);
        }
        if waiter.wait.acks.is_some() {
            self.session.server.durability.remove_waiter(&waiter);
        }
        self.session.client.waiter = None;
        *self.session.client.shared.waiter.lock() = None;
        end
    }

    /// Runs a waiting client's request again where the time for that has come, and ends the wait where its time
    /// is over. Returns how long nothing else comes by time, `None` where the wait has ended.
    fn look_at_times(&self, waiter: &Waiter) -> Option<Duration> {
        let server = &self.session.server;
        let now_ms = server.clock.now_ms();
        let mut look_at_ms = now_ms.saturating_add(FAR_MS);
        if waiter.retry_at_ms() <= now_ms {
            // What its request does is a write.
            if server.pause.in_force(now_ms).is_none() {
                server.retry_wait(waiter);
            }
            if waiter.is_over() {
                return None;
            }
            if waiter.retry_at_ms() <= now_ms {
                // It is held up: by a pause, or by something slow, whose end runs it.
                look_at_ms = now_ms + HELD_RETRY_MS;
            }
        }
        // If its request is being run at this moment, the client is woken when that is decided.
        let until_ms = waiter.wait.until_ms.unwrap_or(NEVER);
        if until_ms <= now_ms && server.end_wait(waiter, EndOfWait::Timeout) {
            return None;
        }
        // A clock that is moved by hand wakes waiting clients; with the machine's a timer has to.
        if !server.clock.is_manual() {
            let coming = [until_ms, waiter.retry_at_ms()].into_iter().filter(|at_ms| *at_ms > now_ms);
            look_at_ms = coming.fold(look_at_ms, u64::min);
        }
        Some(Duration::from_millis(look_at_ms - now_ms))
    }

    /// Waits until nothing is paused, or the client is told to look. Bytes that come meanwhile wait in the
    /// input.
    async fn wait_for_pause(&mut self) -> Result<(), End> {
        self.session.client.shared.blocked.store(true, Ordering::Relaxed);
        let end = self.pause_over().await;
        self.session.client.shared.blocked.store(false, Ordering::Relaxed);
        end
    }

    async fn pause_over(&mut self) -> Result<(), End> {
        let mut scope = None;
        loop {
            let server = &self.session.server;
            let now_ms = server.clock.now_ms();
            let Some(pause) = server.pause.in_force(now_ms) else { return Ok(()) };
            // One of several pauses may be over: what is left may hold up less.
            if server.pause.turn() != self.pause_turn || *scope.get_or_insert(pause.scope) != pause.scope {
                return Ok(());
            }
            let left_ms = pause.end_ms.saturating_sub(now_ms).clamp(1, HELD_RETRY_MS);
            if let Some(woken) = self.wait_held(Duration::from_millis(left_ms)).await? {
                self.follow_call(woken)?;
            }
        }
    }

    /// Holds back the last reply, and what the client sends next. The client can be closed meanwhile.
    async fn sleep(&mut self, time: Duration) -> Result<(), End> {
        let shared = std::sync::Arc::clone(&self.session.client.shared);
        shared.blocked.store(true, Ordering::Relaxed);
        let closed = poll_fn(|cx| {
            self.hear(cx);
            shared.take_look();
            if shared.is_closing() { Poll::Ready(()) } else { Poll::Pending }
        });
        let end = tokio::time::timeout(time, closed).await;
        shared.blocked.store(false, Ordering::Relaxed);
        if end.is_ok() { Err(End::Closed) } else { Ok(()) }
    }

    /// Waits while a request of the client is held up: until bytes come, another task calls, the client
    /// leaves or `time` is over (`None`). Bytes are read up to [`HELD_INPUT_MAX`]; the rest waits in the
    /// socket, so that the client has to wait as well.
    async fn wait_held(&mut self, time: Duration) -> Result<Option<Woken>, End> {
        if self.input.len() < HELD_INPUT_MAX.min(self.session.server.settings.query_max() / 2) {
            return match tokio::time::timeout(time, self.wait()).await {
                Err(_) => Ok(None),
                Ok(Ok(woken)) => {
                    self.check_output()?;
                    self.show_buffers();
                    Ok(Some(woken))
                }
                Ok(Err(error)) => Err(End::Failed(error)),
            };
        }
        let woken = self.wait_to_be_called(time.min(LEFT_CHECK)).await?;
        Ok(if woken.is_none() && self.stream.is_left().await { Some(Woken::Eof) } else { woken })
    }

    /// Waits until another task calls or `time` is over (`None`), and writes meanwhile what it can: nothing is read.
    async fn wait_to_be_called(&mut self, time: Duration) -> Result<Option<Woken>, End> {
        let called = poll_fn(|cx| match self.poll_write_and_calls(cx) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        match tokio::time::timeout(time, called).await {
            Ok(Ok(())) => Ok(Some(Woken::Called)),
            Ok(Err(error)) => Err(End::Failed(error)),
            Err(_) => Ok(None),
        }
    }

    /// Waits with a read buffer of its own, and gives back after a while what is empty of it.
    async fn wait_for_request(&mut self) -> Result<(), End> {
        match tokio::time::timeout(buffer_pool::KEEP_TIME, self.wait()).await {
            Ok(Ok(woken)) => self.follow_call(woken),
            Ok(Err(error)) => Err(End::Failed(error)),
            Err(_) => {
                if self.input.is_empty() {
                    self.keeps_input = false;
                    self.input.give_back();
                } else {
                    self.is_stalled = true;
                    self.input.give_back_room();
                }
                self.show_buffers();
                Ok(())
            }
        }
    }

    /// Waits until bytes come or another task calls, and writes out meanwhile what it can.
    async fn wait(&mut self) -> io::Result<Woken> {
        poll_fn(|cx| self.poll_input(cx)).await
    }

    /// Writes out what it can, and registers the waker. Returns whether another task has called.
    #[inline]
    fn poll_write_and_calls(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        self.hear(cx);
        self.poll_write_out(cx)?;
        Ok(self.session.client.shared.is_called())
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Woken>> {
        if self.poll_write_and_calls(cx)? {
            return Poll::Ready(Ok(Woken::Called));
        }
        self.poll_read_in(cx)
    }

    /// Reads bytes: [`Woken::Read`] or [`Woken::Eof`].
    pub(super) fn poll_read_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Woken>> {
        if self.input.is_empty() {
            self.input.lend();
        } else {
            self.make_room();
        }
        match self.input.poll_read(Pin::new(&mut self.stream), cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Woken::Eof)),
            Poll::Ready(Ok(count)) => {
                self.undecoded = true;
                self.is_stalled = false;
                let Session { server, client } = &self.session;
                let worker = worker::current();
                server.stats.add(worker, Counter::ReadsProcessed, 1);
                server.stats.add(worker, Counter::NetInputBytes, count as u64);
                add(&client.shared.input_bytes, count as u64);
                Poll::Ready(Ok(Woken::Read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if !self.input.is_empty() {
                    self.in_parts = true;
                } else if !self.keeps_input {
                    self.input.give_back();
                }
                Poll::Pending
            }
        }
    }

    /// Makes room behind the bytes of a request that has not come whole.
    fn make_room(&mut self) {
        let (len, room) = (self.input.len(), self.input.room());
        let missing = self.decoder.missing_bytes(len);
        let is_known = !self.session.client.rights.is_barred();
        let announced = if is_known && !self.is_stalled { missing.min(ANNOUNCED_MAX) } else { 0 };
        if room < READ_CHUNK / 4 {
            // A long argument gets its room step by step as it arrives, so that an announced length alone
            // costs little. The steps grow, so that all copying together stays in proportion to what comes.
            let step = missing.clamp(READ_CHUNK.max(len / 4), (len * 2).max(READ_CHUNK));
            self.input.reserve(step.max(announced));
        } else if room < announced {
            self.input.reserve(announced);
        } else {
            return;
        }
        self.show_buffers();
    }

    /// Registers the task to be woken by calls from other tasks. Has to come before the look whether there
    /// was one.
    #[inline]
    pub(super) fn hear(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.session.client.shared.register(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Whether so few replies wait to be read that more may be made. Many clients that ask for much and read
    /// nothing must not take the machine's memory together.
    fn has_room_for_replies(&self) -> bool {
        let is_scarce = self.session.server.clients.has_too_many_unread();
        self.out.len() - self.written < if is_scarce { WRITE_CHUNK } else { OUTPUT_MAX }
    }

    /// Waits until fewer replies wait to be read.
    async fn wait_to_write(&mut self) -> Result<(), End> {
        while !self.has_room_for_replies() {
            poll_fn(|cx| {
                self.hear(cx);
                self.poll_write_out(cx)?;
                if !self.has_room_for_replies() && !self.session.client.shared.is_called() {
                    return Poll::Pending;
                }
                Poll::Ready(Ok(()))
            })
            .await
            .map_err(End::Failed)?;
            let shared = &self.session.client.shared;
            if shared.is_closing() {
                return Err(End::Closed);
            }
            shared.take_look();
            shared.take_messages(&mut self.out);
            self.check_limits()?;
            self.show_buffers();
        }
        Ok(())
    }

    /// Writes as much as goes out at once.
    async fn write_some(&mut self) -> io::Result<()> {
        poll_fn(|cx| Poll::Ready(self.poll_write_out(cx))).await
    }

    /// Writes as much as goes out at once; the task is woken when more can.
    pub(super) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.out.is_empty() {
            // Nothing was replied: the client waits, or wants no replies.
            self.give_back_out();
            return Ok(());
        }
        if self.keeps_replies() {
            return Ok(());
        }
        let Session { server, client } = &mut self.session;
        if client.delays.waits_for_disk() {
            client.delays.end_wait_for_disk(server.clock.monotonic_ns());
        }
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            let count = match self.stream.try_write(rest)? {
                0 => match Pin::new(&mut self.stream).poll_write(cx, rest)? {
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(count) => count,
                    Poll::Pending => break,
                },
                count => count,
            };
            self.written += count;
            let Session { server, client } = &self.session;
            let worker = worker::current();
            server.stats.add(worker, Counter::WritesProcessed, 1);
            server.stats.add(worker, Counter::NetOutputBytes, count as u64);
            add(&client.shared.output_bytes, count as u64);
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            self.session.client.shared.has_read_all();
            self.give_back_out();
            if self.session.client.delays.all_written() {
                self.session.server.replies_written(&mut self.session.client);
            }
        } else if self.written >= WRITTEN_MAX {
            self.out.drain(..self.written);
            self.written = 0;
        }
        // Bytes that the client has not taken yet, for CLIENT LIST and the limits.
        let waiting = self.out.len() - self.written;
        let Session { server, client } = &mut self.session;
        if waiting > 0 && client.delays.begins_to_stall() {
            client.delays.stall(server.clock.monotonic_ns());
        }
        client.shared.reply_buffer[0].store(waiting, Ordering::Relaxed);
        server.clients.note_unread(&client.shared, waiting);
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Keeps a small write buffer in place of a large one that is empty.
    #[inline]
    fn give_back_out(&mut self) {
        if self.out.capacity() > buffer_pool::OWN_OUT_MAX {
            self.gives_back_out = true;
            buffer_pool::give_back_out(&mut self.out);
            self.session.client.shared.reply_buffer[1].store(self.out.capacity(), Ordering::Relaxed);
        }
    }

    /// Whether the replies in the write buffer may show changes that are not as safe yet as `appendfsync`
    /// asks for, the client's own or others'. The client is called then when they are.
    #[inline]
    fn keeps_replies(&self) -> bool {
        let Session { server, client } = &self.session;
        client.seen_to != 0 && !server.durability.is_released(client.seen_to) && self.is_kept()
    }

    #[cold]
    fn is_kept(&self) -> bool {
        let Session { server, client } = &self.session;
        // While the file cannot be written, reading goes on: only what the client changed itself is waited
        // for.
        let position = if server.durability.refuses_writes() { client.changed_to } else { client.seen_to };
        server.durability.call_when_released(position, &client.shared);
        !server.durability.is_released(position)
    }

    /// Waits until the last replies may be sent, and sends them. No further requests run meanwhile: one sync
    /// of the file serves what all connections have run before it.
    async fn wait_for_disk(&mut self) -> Result<(), End> {
        let now_ns = self.session.server.clock.monotonic_ns();
        self.session.client.delays.wait_for_disk(now_ns);
        while self.keeps_replies() {
            // A timer would cost as much as the request. Input that is full is rare.
            let woken = if self.input.len() < HELD_INPUT_FEW {
                let woken = self.wait().await.map_err(End::Failed)?;
                self.check_output()?;
                self.show_buffers();
                Some(woken)
            } else {
                self.wait_held(LEFT_CHECK).await?
            };
            // What a client sent before it closed its side runs all the same, unless the disk hangs.
            let woken = match woken {
                Some(Woken::Eof) => Some(self.wait_to_be_called(KEPT_MAX).await?.ok_or(End::Closed)?),
                woken => woken,
            };
            match woken {
                None | Some(Woken::Read | Woken::Eof) => {}
                Some(Woken::Called) => {
                    let shared = &self.session.client.shared;
                    if shared.is_closing() {
                        return Err(End::Closed);
                    }
                    shared.take_look();
                    shared.take_messages(&mut self.out);
                }
            }
        }
        // What was read meanwhile may hold requests.
        self.undecoded = !self.input.is_empty();
        self.write_some().await.map_err(End::Failed)
    }

    /// Before closing: waits a bounded time until the last replies may be sent, and drops them where they may
    /// not.
    async fn wait_for_disk_before_close(&mut self) {
        let deadline = tokio::time::Instant::now() + KEPT_MAX;
        while self.keeps_replies() {
            let called = poll_fn(|cx| {
                self.hear(cx);
                self.session.client.shared.take_look();
                if self.keeps_replies() { Poll::Pending } else { Poll::Ready(()) }
            });
            if tokio::time::timeout_at(deadline, called).await.is_err() {
                self.out.clear();
                self.written = 0;
                return;
            }
        }
    }

    /// Before closing: the last replies (an error, QUIT's OK), for a bounded time.
    async fn flush_before_close(&mut self) {
        self.wait_for_disk_before_close().await;
        let Self { stream, out, written, .. } = self;
        let write_all = poll_fn(|cx| {
            while *written < out.len() {
                match Pin::new(&mut *stream).poll_write(cx, &out[*written..]) {
                    Poll::Ready(Ok(count)) if count > 0 => *written += count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Pin::new(&mut *stream).poll_flush(cx).map(|_| ())
        });
        // A client that does not read is not waited for.
        drop(tokio::time::timeout(Duration::from_secs(1), write_all).await);
    }

    /// Ends the connection where it exceeds `client-query-buffer-limit` or `client-output-buffer-limit`.
    pub(super) fn check_limits(&mut self) -> Result<(), End> {
        if self.input.len() > self.session.server.settings.query_max() {
            tracing::warn!(
                client = self.session.client.shared.id,
                "closing client that reached its query buffer limit"
            );
            self.session.server.stats.add(worker::current(), Counter::QueryBufferDisconnections, 1);
            return Err(End::Closed);
        }
        self.check_output()
    }

    /// Ends the connection where it exceeds `client-output-buffer-limit`.
    fn check_output(&mut self) -> Result<(), End> {
        let waiting = self.out.len() - self.written;
        let client = &self.session.client;
        if client.rights.is_barred() && !client.is_known {
            if waiting > self.session.server.settings.stranger_output_max() {
                tracing::warn!(
                    client = client.shared.id,
                    "closing client that does not authenticate and does not read"
                );
                client.shared.cut_over_limit();
                return Err(End::Closed);
            }
            return Ok(());
        }
        // What a batch has just made is not held against a client that has had no chance to read it.
        if waiting <= WRITE_CHUNK {
            return Ok(());
        }
        let Session { server, client } = &self.session;
        let limit = server.settings.output_limit(&client.shared);
        if client.shared.exceeds(limit, waiting, server.clock.now_ms()) {
            client.shared.cut_over_limit();
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Publishes the sizes of the buffers for CLIENT LIST.
    fn show_buffers(&self) {
        let shared = &self.session.client.shared;
        shared.query_buffer[0].store(self.input.len(), Ordering::Relaxed);
        shared.query_buffer[1].store(self.input.capacity(), Ordering::Relaxed);
        shared.reply_buffer[1].store(self.out.capacity(), Ordering::Relaxed);
    }

    fn drop_input(&mut self, bytes: usize) {
        if bytes < self.input.len() {
            self.input.advance(bytes);
        } else if bytes > 0 {
            let in_parts = std::mem::take(&mut self.in_parts);
            self.keeps_input = self.input.keep_or_give_back(bytes, in_parts);
        }
    }
}

/// Adds to a counter that only this task changes.
pub(super) fn add(counter: &std::sync::atomic::AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
