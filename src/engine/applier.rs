//! [`Applier`]: runs a primary's stream, and relays it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use thiserror::Error;

use super::Server;
use super::batch::{Scratch, Stop};
use super::client::Client;
use super::following::Primary;
use super::replies::errors;
use crate::aof::{PartError, WrongRequest};
use crate::command::spec::Flags;
use crate::config::Directive;
use crate::replication::{Due, Intake};
use crate::resp::decode::ProtocolError;
use crate::shared::client::SharedClient;
use crate::shared::pause::Purpose;

/// Why a primary's stream is not followed any further.
#[derive(Debug, Error)]
pub enum Fault {
    /// A request in it cannot be read.
    #[error("{0}")]
    Format(#[from] PartError),
    /// An argument in it is longer than this server lets one be.
    #[error(
        "a value whose length is not one from 0 to proto-max-bulk-len ({0} bytes); a full copy is asked for"
    )]
    LongValue(u64),
    /// A request or a transaction in it does not end.
    #[error("a request or transaction that takes more than {0} bytes of memory; a full copy is asked for")]
    TooLong(usize),
    /// A line in it is no request.
    #[error("a line that is no request")]
    NoRequest,
    /// Another primary is followed, or none.
    #[error("what is not followed any more")]
    Over,
    /// A request in it is none that a stream holds.
    #[error("a request that cannot be applied, so the data may differ now: {0}; a full copy is asked for")]
    Refused(String),
}

/// How errors begin that say that a request names no command, is none, stands in no stream, or is about a
/// database that is not there.
const NO_STREAM: [&[u8]; 5] = [
    b"ERR unknown command",
    b"ERR unknown subcommand",
    b"ERR wrong number of arguments for",
    b"ERR not in the stream of a primary",
    b"ERR DB index is out of range",
];

/// Bytes beyond `proto-max-bulk-len` that a request may take, however little memory there is.
const REQUEST_ROOM: u64 = 64 << 20;

/// What became of bytes of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether the primary asked for an acknowledgement.
    pub asked: bool,
    /// Whether something slow is in the way of the rest: it is to be tried again in a moment.
    pub waits: bool,
}

/// Runs a primary's stream, and relays what has run.
pub struct Applier {
    primary: Arc<Primary>,
    client: Client,
    scratch: Scratch,
    replies: Vec<u8>,
    intake: Intake,
    /// Of each request that has run, whether it changes no data.
    for_links: Vec<bool>,
}

impl Applier {
    /// Makes one for the stream of this primary, from the place on where the data are. `shared` is what others
    /// see of the client that runs it.
    pub fn new(server: &Server, primary: &Arc<Primary>, shared: Arc<SharedClient>) -> Self {
        let _stream = server.following.hold_stream();
        let mut client = Client::repeating(shared);
        client.is_primary = true;
        let database = server.journal().database().unwrap_or(0);
        if database < server.keyspace.database_count() {
            client.select(database);
        }
        Self {
            primary: Arc::clone(primary),
            client,
            scratch: Scratch::default(),
            replies: Vec::new(),
            intake: Intake::new(&server.following.standing),
            for_links: Vec::new(),
        }
    }

    /// Runs what has come.
    ///
    /// # Errors
    /// The link is to be closed.
    pub fn apply(&mut self, server: &Server, bytes: &[u8]) -> Result<Applied, Fault> {
        self.intake.take(&server.following.standing, bytes);
        let bulk_max = server.config.unsigned(Directive::ProtoMaxBulkLen);
        let mut waits = false;
        while !waits {
            let due = self.intake.due(bulk_max).map_err(|error| {
                // What the primary has at this offset would come again and again.
                server.following.standing.need_copy();
                match error.what {
                    WrongRequest::Protocol(ProtocolError::InvalidBulkLength) => Fault::LongValue(bulk_max),
                    _ => error.into(),
                }
            })?;
            match due {
                Due::Nothing => break,
                Due::Run(count) => waits = self.run_and_relay(server, count)?,
                Due::NoRequest => {
                    server.following.standing.need_copy();
                    return Err(Fault::NoRequest);
                }
            }
        }
        let room = server.following.unfinished_max.load(Ordering::Relaxed);
        let limit = (bulk_max.saturating_add(REQUEST_ROOM) as usize).max(room);
        if self.intake.unfinished_bytes() > limit {
            server.following.standing.need_copy();
            return Err(Fault::TooLong(limit));
        }
        Ok(Applied { asked: std::mem::take(&mut self.client.ack_asked), waits })
    }

    /// Runs the first `count` requests and relays those that ran: data and offset agree whenever the stream is
    /// held. Returns whether something slow is in the way of the others, or a pause (CLIENT PAUSE), which holds up
    /// the primary as any client.
    fn run_and_relay(&mut self, server: &Server, count: usize) -> Result<bool, Fault> {
        let _stream = server.following.hold_stream();
        if !server.following.is_followed(&self.primary) {
            return Err(Fault::Over);
        }
        if server.pause.is_for(Purpose::Client, server.clock.now_ms()) {
            return Ok(true);
        }
        if server.loading.is_active() {
            // Data are read again (DEBUG RELOAD): what was changed meanwhile would be lost.
            return Ok(true);
        }
        let (ran, fault) = self.run(server, count);
        // What ran counts, whatever becomes of the link: it must not run again.
        if let Err(error) = self.relay(server, ran) {
            server.following.standing.need_copy();
            return Err(error.into());
        }
        let Some(fault) = fault else { return Ok(ran == 0) };
        // It counts as applied, but is not.
        server.following.standing.need_copy();
        Err(fault)
    }

    /// Runs the first `count` requests. Returns how many have run, and what was wrong with them.
    fn run(&mut self, server: &Server, count: usize) -> (usize, Option<Fault>) {
        let Self { client, scratch, replies, intake, .. } = self;
        replies.clear();
        let (decoder, bytes) = intake.requests();
        let end = server.run_batch(client, scratch, decoder, bytes, count, replies);
        let text = |error| String::from_utf8_lossy(error).into_owned();
        let is_refusal = |error: &&[u8]| NO_STREAM.iter().any(|begin| error.starts_with(begin));
        // An error of another kind may stand before it.
        if let Some(error) = errors(replies).find(is_refusal) {
            return (end.executed, Some(Fault::Refused(text(error))));
        }
        if let Some(error) = errors(replies).next() {
            tracing::error!("a request of the primary was answered by an error: {}", text(error));
        }
        match end.stop {
            Some(Stop::After(after)) => (end.executed, Some(Fault::Refused(format!("{after:?}")))),
            Some(Stop::Busy | Stop::NoRoom | Stop::Paused) | None => (end.executed, None),
        }
    }

    /// Relays the first `count` requests, which have run.
    fn relay(&mut self, server: &Server, count: usize) -> Result<(), PartError> {
        let is_for_links = |id: Option<u32>| {
            id.is_some_and(|id| server.commands.entries()[id as usize].spec.flags.has(Flags::FOR_LINKS))
        };
        let Self { intake, scratch, client, for_links, .. } = self;
        for_links.clear();
        for_links.extend(scratch.commands().take(count).map(is_for_links));
        intake.ran(&server.following.standing, server.journal(), for_links, client.database)
    }
}
